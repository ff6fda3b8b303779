#include "common/obs/httpd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/obs/log.h"

#define HOST_SZ                 256
#define PORT_SZ                 6
#define CONNECTION_MEMORY_BYTES 16384 /* request line and headers; longer ones: 431 */
#define TEXT_PLAIN              "text/plain; charset=utf-8"

struct coh_httpd {
    struct MHD_Daemon *daemon;
    char *hosts; /* owned */
    coh_httpd_route_t routes[COH_HTTPD_ROUTE_MAX];
    size_t route_cnt;
};

struct coh_page {
    pthread_mutex_t lock; /* guards the two below */
    coh_buf_t text;
    unsigned http_status;
    char const *content_type;
};

typedef struct {
    char const *name;
    char const *value; /* NULL: without this one */
} header_t;

bool coh_httpd_is_listed(char const *list, char const *name, size_t n)
{
    if (strcmp(list, "*") == 0) {
        return true;
    }
    while (*list != '\0') {
        size_t len = strcspn(list, ",");
        if (len == n && n > 0 && strncasecmp(list, name, n) == 0) {
            return true;
        }
        list += len;
        list += *list == ',';
        list += strspn(list, " ");
    }
    return false;
}

bool coh_httpd_host_is_allowed(char const *host, char const *names)
{
    char name[256];
    size_t n;
    char const *port;
    uint8_t addr[16];
    if (host[0] == '[') { /* [v6] or [v6]:port */
        char const *end = strchr(host, ']');
        if (end == NULL || (end[1] != '\0' && end[1] != ':')) {
            return false;
        }
        port = end + 1;
        host++;
        n = (size_t)(end - host);
    } else {
        n    = strcspn(host, ":");
        port = host + n;
    }
    if (n == 0 || n >= sizeof(name) ||
        (*port == ':' && port[1 + strspn(port + 1, "0123456789")] != '\0')) {
        return false;
    }
    memcpy(name, host, n);
    name[n] = '\0';
    return inet_pton(AF_INET, name, addr) == 1 || inet_pton(AF_INET6, name, addr) == 1 ||
           coh_httpd_is_listed(names, name, n);
}

/* Queues response with the headers and those that all answers have, and drops it. */
static enum MHD_Result queue(struct MHD_Connection *connection,
                             unsigned http_status,
                             struct MHD_Response *response,
                             header_t const *headers,
                             size_t header_cnt)
{
    static header_t const always[] = {
        {MHD_HTTP_HEADER_X_CONTENT_TYPE_OPTIONS, "nosniff"},
        {MHD_HTTP_HEADER_CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"},
        {"Referrer-Policy", "no-referrer"},
    };
    enum MHD_Result rc = response != NULL ? MHD_YES : MHD_NO;
    for (size_t i = 0; rc == MHD_YES && i < COH_CNT(always) + header_cnt; i++) {
        header_t const *h = i < COH_CNT(always) ? &always[i] : &headers[i - COH_CNT(always)];
        if (h->value != NULL) {
            rc = MHD_add_response_header(response, h->name, h->value);
        }
    }
    if (rc == MHD_YES) {
        rc = MHD_queue_response(connection, http_status, response);
    }
    if (response != NULL) {
        MHD_destroy_response(response);
    }
    return rc;
}

/* Hands body over to libmicrohttpd, and queues it. */
static enum MHD_Result respond(struct MHD_Connection *connection,
                               unsigned http_status,
                               char const *content_type,
                               coh_buf_t *body)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(body->n, body->p, MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        coh_buf_free(body);
    }
    *body                    = COH_BUF_INIT;
    header_t const headers[] = {
        {MHD_HTTP_HEADER_CONTENT_TYPE, content_type},
        {MHD_HTTP_HEADER_CACHE_CONTROL, "no-store"},
        {MHD_HTTP_HEADER_CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"},
        {MHD_HTTP_HEADER_ALLOW, http_status == MHD_HTTP_METHOD_NOT_ALLOWED ? "GET, HEAD" : NULL},
    };
    return queue(connection, http_status, response, headers, COH_CNT(headers));
}

/* Whether the client has this file already: If-None-Match names its tag, or any (RFC 9110, 13.1.2). */
static bool is_known(struct MHD_Connection *connection, char const *etag)
{
    char const *known =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_IF_NONE_MATCH);
    return known != NULL && (strcmp(known, "*") == 0 || strstr(known, etag) != NULL);
}

static enum MHD_Result respond_file(struct MHD_Connection *connection, coh_httpd_file_t const *file)
{
    bool known = is_known(connection, file->etag);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(known ? 0 : file->body.n,
                                        (void *)(uintptr_t)file->body.p, /* it is only read */
                                        MHD_RESPMEM_PERSISTENT);
    header_t const headers[] = {
        {MHD_HTTP_HEADER_CONTENT_TYPE, known ? NULL : file->content_type},
        {MHD_HTTP_HEADER_CACHE_CONTROL, "no-cache"},
        {MHD_HTTP_HEADER_CONTENT_SECURITY_POLICY, file->policy},
        {MHD_HTTP_HEADER_ETAG, file->etag},
    };
    return queue(connection,
                 known ? MHD_HTTP_NOT_MODIFIED : MHD_HTTP_OK,
                 response,
                 headers,
                 COH_CNT(headers));
}

static coh_httpd_route_t const *find_route(coh_httpd_t const *httpd, char const *path)
{
    for (size_t i = 0; i < httpd->route_cnt; i++) {
        if (strcmp(httpd->routes[i].path, path) == 0) {
            return &httpd->routes[i];
        }
    }
    return NULL;
}

static enum MHD_Result count_host(void *arg,
                                  enum MHD_ValueKind kind,
                                  char const *name,
                                  char const *value)
{
    (void)kind;
    (void)value;
    *(unsigned *)arg += strcasecmp(name, MHD_HTTP_HEADER_HOST) == 0;
    return MHD_YES;
}

/* is_addressed: the client means this server by a name that it has, and says so once. Who names none (HTTP/1.0, as load balancers' checks
   do) is no browser. */
static bool is_addressed(struct MHD_Connection *connection, char const *hosts)
{
    unsigned cnt     = 0;
    char const *host = NULL;
    size_t n         = 0;
    (void)MHD_get_connection_values(connection, MHD_HEADER_KIND, count_host, &cnt);
    if (cnt == 0) {
        return true;
    }
    return cnt == 1 &&
           MHD_lookup_connection_value_n(connection,
                                         MHD_HEADER_KIND,
                                         MHD_HTTP_HEADER_HOST,
                                         strlen(MHD_HTTP_HEADER_HOST),
                                         &host,
                                         &n) == MHD_YES &&
           host != NULL && strlen(host) == n && coh_httpd_host_is_allowed(host, hosts);
}

/* MHD_AccessHandlerCallback: called once with the headers, again for each piece of a body, and once
   more at its end. */
static enum MHD_Result on_request(void *user,
                                  struct MHD_Connection *connection,
                                  char const *path,
                                  char const *method,
                                  char const *version,
                                  char const *upload,
                                  size_t *upload_sz,
                                  void **request)
{
    static char seen; /* its address marks a request whose headers were seen */
    coh_httpd_t *httpd = user;
    (void)version;
    (void)upload;
    coh_buf_t body = COH_BUF_INIT;
    if (!is_addressed(connection, httpd->hosts)) {
        coh_buf_printf(
            &body, "invalid host specified: neither an IP address nor a name of --status-hosts\n");
        return respond(connection, MHD_HTTP_FORBIDDEN, TEXT_PLAIN, &body);
    }
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
        coh_buf_printf(&body, "only GET and HEAD\n");
        return respond(connection, MHD_HTTP_METHOD_NOT_ALLOWED, TEXT_PLAIN, &body);
    }
    if (*request == NULL) {
        *request = &seen;
        return MHD_YES;
    }
    if (*upload_sz != 0) { /* the body of a GET means nothing */
        *upload_sz = 0;
        return MHD_YES;
    }
    coh_httpd_route_t const *route = find_route(httpd, path);
    if (route == NULL) {
        for (size_t i = 0; i < httpd->route_cnt; i++) {
            coh_buf_printf(&body, "%s\n", httpd->routes[i].path);
        }
        return respond(connection, MHD_HTTP_NOT_FOUND, TEXT_PLAIN, &body);
    }
    if (route->file != NULL) {
        return respond_file(connection, route->file);
    }
    char const *content_type = TEXT_PLAIN;
    unsigned http_status     = route->fn(route->arg, &body, &content_type);
    return respond(connection, http_status, content_type, &body);
}

/* MHD_LogCallback. What it says is about single connections: nothing that an operator
   must act on. */
COH_PRINTF(2, 0) static void on_log(void *user, char const *fmt, va_list args)
{
    (void)user;
    if (!coh_log_enabled(COH_LOG_DEBUG)) {
        return;
    }
    char text[256];
    char quoted[512];
    int n      = vsnprintf(text, sizeof(text), fmt, args);
    size_t len = n < 0 ? 0 : COH_MIN((size_t)n, sizeof(text) - 1);
    while (len > 0 && text[len - 1] == '\n') {
        len--;
    }
    COH_LOG_DBG("httpd", "library", "text=%s", coh_log_quote(quoted, sizeof(quoted), text, len));
}

/* Splits "host:port" or "[v6]:port". The port is checked here: getaddrinfo takes 99999 and keeps
   its lower 16 bits. */
static coh_err_t split_addr(char host[HOST_SZ], char port[PORT_SZ], char const *addr)
{
    char const *colon = strrchr(addr, ':');
    if (colon == NULL) {
        return COH_EINVAL;
    }
    size_t port_len = strlen(colon + 1);
    if (port_len == 0 || port_len >= PORT_SZ || strspn(colon + 1, "0123456789") != port_len ||
        strtoul(colon + 1, NULL, 10) > UINT16_MAX) {
        return COH_EINVAL;
    }
    size_t host_len = (size_t)(colon - addr);
    if (host_len >= 2 && addr[0] == '[' && addr[host_len - 1] == ']') {
        addr++;
        host_len -= 2;
    }
    if (host_len == 0 || host_len >= HOST_SZ) {
        return COH_EINVAL;
    }
    memcpy(host, addr, host_len);
    host[host_len] = '\0';
    memcpy(port, colon + 1, port_len + 1);
    return COH_OK;
}

coh_err_t coh_httpd_resolve(struct addrinfo **found, char const *addr)
{
    char host[HOST_SZ];
    char port[PORT_SZ];
    COH_TRY(split_addr(host, port, addr));
    struct addrinfo const hints = {.ai_flags    = AI_PASSIVE | AI_NUMERICSERV,
                                   .ai_family   = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM};
    return getaddrinfo(host, port, &hints, found) == 0 ? COH_OK : COH_EINVAL;
}

coh_err_t coh_httpd_start(coh_httpd_t **out,
                          char const *addr,
                          char const *hosts,
                          coh_tls_t const *tls,
                          coh_httpd_route_t const *routes,
                          size_t route_cnt)
{
    COH_ASSERT(route_cnt <= COH_HTTPD_ROUTE_MAX);
    struct addrinfo *found = NULL;
    COH_TRY(coh_httpd_resolve(&found, addr));
    coh_httpd_t *httpd = coh_calloc(1, sizeof(*httpd));
    memcpy(httpd->routes, routes, route_cnt * sizeof(*routes));
    httpd->route_cnt = route_cnt;
    httpd->hosts     = coh_calloc(strlen(hosts) + 1, 1);
    memcpy(httpd->hosts, hosts, strlen(hosts) + 1);
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ERROR_LOG;
    if (found->ai_family == AF_INET6) {
        flags |= MHD_USE_IPv6;
    }
    struct MHD_OptionItem options[] = {
        {MHD_OPTION_SOCK_ADDR, 0, found->ai_addr},
        {MHD_OPTION_CONNECTION_LIMIT, COH_HTTPD_CONNECTION_MAX, NULL},
        {MHD_OPTION_CONNECTION_TIMEOUT, COH_HTTPD_IDLE_SECONDS, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY_BYTES, NULL},
        {MHD_OPTION_END, 0, NULL}, /* in place of those of TLS */
        {MHD_OPTION_HTTPS_MEM_KEY, 0, NULL},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, COH_TLS_PRIORITIES},
        {MHD_OPTION_END, 0, NULL},
    };
    if (tls != NULL && tls->cert != NULL) {
        flags |= MHD_USE_TLS;
        options[4]           = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, tls->cert};
        options[5].ptr_value = tls->key;
    }
    errno = 0;
    /* The log callback is first: it hears what is wrong with the others. */
    httpd->daemon = MHD_start_daemon(flags,
                                     0,
                                     NULL,
                                     NULL,
                                     on_request,
                                     httpd,
                                     MHD_OPTION_EXTERNAL_LOGGER,
                                     on_log,
                                     NULL,
                                     MHD_OPTION_ARRAY,
                                     options,
                                     MHD_OPTION_END);
    int number    = errno;
    freeaddrinfo(found);
    if (httpd->daemon == NULL) {
        free(httpd->hosts);
        free(httpd);
        errno = number;
        return COH_EIO;
    }
    *out = httpd;
    return COH_OK;
}

uint16_t coh_httpd_port(coh_httpd_t const *httpd)
{
    union MHD_DaemonInfo const *info =
        MHD_get_daemon_info(httpd->daemon, MHD_DAEMON_INFO_BIND_PORT);
    COH_ASSERT(info != NULL);
    return info->port;
}

void coh_httpd_stop(coh_httpd_t *httpd)
{
    if (httpd != NULL) {
        MHD_stop_daemon(httpd->daemon);
        free(httpd->hosts);
        free(httpd);
    }
}

static void lock(coh_page_t *page)
{
    int rc = pthread_mutex_lock(&page->lock);
    COH_ASSERT(rc == 0);
}

static void unlock(coh_page_t *page)
{
    int rc = pthread_mutex_unlock(&page->lock);
    COH_ASSERT(rc == 0);
}

coh_page_t *coh_page_new(char const *content_type, char const *text, unsigned http_status)
{
    coh_page_t *page = coh_calloc(1, sizeof(*page));
    int rc           = pthread_mutex_init(&page->lock, NULL);
    COH_ASSERT(rc == 0);
    page->content_type = content_type;
    coh_page_set(page, http_status, coh_bytes(text, strlen(text)));
    return page;
}

void coh_page_free(coh_page_t *page)
{
    if (page != NULL) {
        (void)pthread_mutex_destroy(&page->lock);
        coh_buf_free(&page->text);
        free(page);
    }
}

void coh_page_set(coh_page_t *page, unsigned http_status, coh_bytes_t text)
{
    lock(page);
    coh_buf_clear(&page->text);
    coh_buf_put(&page->text, text.p, text.n);
    page->http_status = http_status;
    unlock(page);
}

unsigned coh_page_serve(void *arg, coh_buf_t *body, char const **content_type)
{
    coh_page_t *page = arg;
    lock(page);
    coh_buf_put(body, page->text.p, page->text.n);
    unsigned http_status = page->http_status;
    unlock(page);
    *content_type = page->content_type;
    return http_status;
}
