/* httpd.h: a small HTTP server for the pages by which a rank is watched: /livez, /readyz, /status,
   /metrics.

   A table names the paths; GET and HEAD of a path call its handler or send its file, any other path
   is 404, any other method 405. What handlers say is data: nobody may store it, or take it for
   something else than it is (nosniff, and a content policy that allows nothing). A file may be kept
   by browsers, which ask each time whether it is still the same (ETag). One thread of its own (libmicrohttpd with epoll) serves at most
   COH_HTTPD_CONNECTION_MAX connections and closes those idle for COH_HTTPD_IDLE_SECONDS.

   Who asks must mean this server: a Host header is there at most once and is an IP address or one of the names given at the start, else the answer is 403. Otherwise a web page could
   have its own name point to this port, and its browser would let it read what is served (DNS rebinding).

   Handlers run on that thread. They may call what is safe from any thread (metrics, atomics);
   whatever belongs to another thread is shown through a page: its owner sets the text when it
   likes, the server hands out the last one.

     coh_page_t *page = coh_page_new("text/plain", "starting\n", 503);
     coh_httpd_route_t routes[] = {{.path = "/readyz", .fn = coh_page_serve, .arg = page}};
     coh_httpd_start(&httpd, "127.0.0.1:7550", "localhost", NULL, routes, 1);
     coh_page_set(page, 200, coh_bytes("ready\n", 6));    from any thread, any time later */
#ifndef COH_HTTPD_H
#define COH_HTTPD_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/obs/tls.h"

#define COH_HTTPD_CONNECTION_MAX 64
#define COH_HTTPD_IDLE_SECONDS   15
#define COH_HTTPD_ROUTE_MAX      32

typedef struct coh_httpd coh_httpd_t;
typedef struct coh_page coh_page_t;

/* coh_httpd_fn_t appends the answer to body (empty before) and returns the HTTP status.
   *content_type is "text/plain" with UTF-8 unless changed to another text that outlives the server.
   Runs on the server's thread, one call at a time. */
typedef unsigned coh_httpd_fn_t(void *arg, coh_buf_t *body, char const **content_type);

/* Something that stays as it is. */
typedef struct {
    coh_bytes_t body;
    char const *content_type;
    char const *policy; /* Content-Security-Policy */
    char const *etag;   /* with its quotes; differs where body does */
} coh_httpd_file_t;

typedef struct {
    char const *path; /* exact, "/metrics"; borrowed as long as the server runs */
    coh_httpd_fn_t *fn;
    void *arg; /* borrowed as long as the server runs */
    coh_httpd_file_t const
        *file; /* instead of fn, if not NULL; it and all in it borrowed so long */
} coh_httpd_route_t;

/* coh_httpd_start listens on addr, "host:port" or "[v6]:port" (port 0: any free one), and serves
   until coh_httpd_stop.
   In:      hosts   names of this server beside IP addresses, comma-separated; "*": any; copied
            tls     used during the call only; NULL or an empty one: in the clear
            routes  at most COH_HTTPD_ROUTE_MAX; the table is copied
   Returns: COH_OK; COH_EINVAL no such address; COH_EIO cannot listen there (in use, no right): errno
            says why, 0: it is not known */
coh_err_t coh_httpd_start(coh_httpd_t **out,
                          char const *addr,
                          char const *hosts,
                          coh_tls_t const *tls,
                          coh_httpd_route_t const *routes,
                          size_t route_cnt);

/* coh_httpd_port is the port that the server listens on. */
uint16_t coh_httpd_port(coh_httpd_t const *httpd);

/* coh_httpd_stop closes every connection, waits for a running handler, and frees. NULL: nothing
   happens. */
void coh_httpd_stop(coh_httpd_t *httpd);

/* coh_page_new makes a page; content_type is borrowed as long as the page lives, text is copied. */
coh_page_t *coh_page_new(char const *content_type, char const *text, unsigned http_status);
/* coh_page_free: after the server has stopped. */
void coh_page_free(coh_page_t *page);
/* coh_page_set replaces text (copied) and HTTP status. Any thread; holds a lock only
   for the copy. */
void coh_page_set(coh_page_t *page, unsigned http_status, coh_bytes_t text);
/* coh_page_serve is the handler for a page; arg: coh_page_t *. */
coh_httpd_fn_t coh_page_serve;

/* coh_httpd_host_is_allowed tells whether a Host header, with or without a port, is an IP address or one of names (comma-separated; "*": any).
   coh_httpd_is_listed: whether the n characters at name are one of the list, letters' case aside. */
bool coh_httpd_host_is_allowed(char const *host, char const *names);
bool coh_httpd_is_listed(char const *list, char const *name, size_t n);

/* coh_httpd_resolve finds where "host:port" or "[v6]:port" is: a list for freeaddrinfo(3). COH_EINVAL if that is no address. */
struct addrinfo;
coh_err_t coh_httpd_resolve(struct addrinfo **found, char const *addr);

#endif
