/* links: coh_httpd */
#include "common/obs/httpd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static coh_httpd_t *httpd;
static coh_page_t *page;
static coh_buf_t answer;

static unsigned hello(void *arg, coh_buf_t *body, char const **content_type)
{
    unsigned *calls = arg;
    (*calls)++;
    coh_buf_printf(body, "hello %u\n", *calls);
    *content_type = "application/json";
    return 200;
}

static unsigned empty(void *arg, coh_buf_t *body, char const **content_type)
{
    (void)arg;
    (void)body;
    (void)content_type;
    return 503;
}

static unsigned calls;

static coh_httpd_file_t const file = {.body         = {.p = (uint8_t const *)"<p>it", .n = 5},
                                      .content_type = "text/html; charset=utf-8",
                                      .policy       = "default-src 'none'; img-src data:",
                                      .etag         = "\"abc\""};

static int setup(void **state)
{
    (void)state;
    calls                            = 0;
    page                             = coh_page_new("text/html", "first", 503);
    coh_httpd_route_t const routes[] = {{.path = "/hello", .fn = hello, .arg = &calls},
                                        {.path = "/empty", .fn = empty},
                                        {.path = "/page", .fn = coh_page_serve, .arg = page},
                                        {.path = "/file", .file = &file}};
    return coh_httpd_start(&httpd, "127.0.0.1:0", "localhost,x", NULL, routes, COH_CNT(routes)) ==
                   COH_OK
               ? 0
               : -1;
}

static int teardown(void **state)
{
    (void)state;
    coh_httpd_stop(httpd);
    coh_page_free(page);
    coh_buf_free(&answer);
    return 0;
}

static int connect_to(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    struct timeval const patience = {.tv_sec = 20};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr    = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

/* Sends request bytes and reads until the server closes; the answer is a string. */
static char const *ask_raw(char const *request)
{
    int fd   = connect_to(coh_httpd_port(httpd));
    size_t n = strlen(request);
    assert_int_equal(send(fd, request, n, MSG_NOSIGNAL), n);
    coh_buf_clear(&answer);
    ssize_t got;
    do {
        got = recv(fd, coh_buf_extend(&answer, 4096), 4096, 0);
        assert_true(got >= 0);
        answer.n -= 4096 - (size_t)got;
    } while (got > 0);
    assert_int_equal(close(fd), 0);
    coh_buf_put_u8(&answer, 0);
    return (char const *)answer.p;
}

static char const *ask(char const *method, char const *path)
{
    char request[512];
    (void)snprintf(request,
                   sizeof(request),
                   "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
                   method,
                   path);
    return ask_raw(request);
}

static void assert_status(char const *text, unsigned http_status)
{
    char line[32];
    (void)snprintf(line, sizeof(line), "HTTP/1.1 %u ", http_status);
    if (strncmp(text, line, strlen(line)) != 0) {
        fail_msg("not '%s': %.60s", line, text);
    }
}

static char const *body_of(char const *text)
{
    char const *end = strstr(text, "\r\n\r\n");
    assert_non_null(end);
    return end + 4;
}

static void httpd_get(void **state)
{
    (void)state;
    char const *text = ask("GET", "/hello");
    assert_status(text, 200);
    assert_non_null(strstr(text, "Content-Type: application/json\r\n"));
    assert_string_equal(body_of(text), "hello 1\n");
    text = ask("GET", "/hello?pretty=1");
    assert_string_equal(body_of(text), "hello 2\n");
}

static void httpd_head_has_no_body(void **state)
{
    (void)state;
    char const *text = ask("HEAD", "/hello");
    assert_status(text, 200);
    assert_non_null(strstr(text, "Content-Length: 8\r\n"));
    assert_string_equal(body_of(text), "");
}

/* The value of a header in an answer's head, up to 127 characters; NULL if it is not there, and a failure if it is there twice. */
static char const *header(char const *text, char const *name)
{
    static char value[128];
    char line[64];
    int n             = snprintf(line, sizeof(line), "\r\n%s: ", name);
    char const *found = strcasestr(text, line);
    if (found == NULL || found > body_of(text)) {
        return NULL;
    }
    found += n;
    char const *again = strcasestr(found, line);
    assert_true(again == NULL || again > body_of(text));
    (void)snprintf(value, sizeof(value), "%.*s", (int)strcspn(found, "\r"), found);
    return value;
}

static void httpd_headers_of_data(void **state)
{
    (void)state;
    static char const *const requests[][2] = {
        {"GET", "/hello"}, {"HEAD", "/hello"}, {"GET", "/page"}, {"GET", "/nowhere"}, {"PUT", "/"}};
    for (size_t i = 0; i < COH_CNT(requests); i++) {
        char const *text = ask(requests[i][0], requests[i][1]);
        assert_string_equal(header(text, "Cache-Control"), "no-store");
        assert_string_equal(header(text, "X-Content-Type-Options"), "nosniff");
        assert_string_equal(header(text, "Content-Security-Policy"),
                            "default-src 'none'; frame-ancestors 'none'");
        assert_string_equal(header(text, "Cross-Origin-Resource-Policy"), "same-origin");
        assert_null(header(text, "ETag"));
        assert_null(header(text, "Access-Control-Allow-Origin"));
    }
}

static void httpd_sends_a_file(void **state)
{
    (void)state;
    static char const *const methods[] = {"GET", "HEAD"};
    for (size_t i = 0; i < COH_CNT(methods); i++) {
        char const *text = ask(methods[i], "/file");
        assert_status(text, 200);
        assert_string_equal(header(text, "Content-Type"), file.content_type);
        assert_string_equal(header(text, "Content-Length"), "5");
        assert_string_equal(header(text, "Cache-Control"), "no-cache");
        assert_string_equal(header(text, "ETag"), "\"abc\"");
        assert_string_equal(header(text, "Content-Security-Policy"), file.policy);
        assert_string_equal(header(text, "X-Content-Type-Options"), "nosniff");
        assert_string_equal(body_of(text), i == 0 ? "<p>it" : "");
    }
    assert_status(ask("POST", "/file"), 405);
}

static void httpd_sends_a_file_once(void **state)
{
    (void)state;
    static char const *const known[]   = {"\"abc\"", "\"x\", W/\"abc\"", "*"};
    static char const *const unknown[] = {"\"x\"", "abc", "", "\"abcd\""};
    char request[256];
    for (size_t i = 0; i < COH_CNT(known) + COH_CNT(unknown); i++) {
        bool same = i < COH_CNT(known);
        (void)snprintf(
            request,
            sizeof(request),
            "GET /file HTTP/1.1\r\nHost: x\r\nIf-None-Match: %s\r\nConnection: close\r\n\r\n",
            same ? known[i] : unknown[i - COH_CNT(known)]);
        char const *text = ask_raw(request);
        assert_status(text, same ? 304 : 200);
        assert_string_equal(header(text, "ETag"), "\"abc\"");
        assert_string_equal(body_of(text), same ? "" : "<p>it");
    }
}

static void httpd_empty_answer(void **state)
{
    (void)state;
    char const *text = ask("GET", "/empty");
    assert_status(text, 503);
    assert_non_null(strstr(text, "Content-Type: text/plain"));
    assert_string_equal(body_of(text), "");
}

static void httpd_unknown_path(void **state)
{
    (void)state;
    static char const *const paths[] = {"/", "/hell", "/hello/", "/../etc/passwd", "/HELLO"};
    for (size_t i = 0; i < COH_CNT(paths); i++) {
        char const *text = ask("GET", paths[i]);
        assert_status(text, 404);
        assert_non_null(strstr(body_of(text), "/hello\n"));
    }
    assert_int_equal(calls, 0);
}

static void httpd_other_methods(void **state)
{
    (void)state;
    static char const *const methods[] = {"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "FOO"};
    for (size_t i = 0; i < COH_CNT(methods); i++) {
        char const *text = ask(methods[i], "/hello");
        assert_status(text, 405);
        assert_non_null(strstr(text, "Allow: GET, HEAD\r\n"));
    }
    assert_status(
        ask_raw(
            "POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc"),
        405);
    assert_int_equal(calls, 0);
}

static void httpd_get_with_body(void **state)
{
    (void)state;
    char const *text = ask_raw(
        "GET /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc");
    assert_status(text, 200);
    assert_int_equal(calls, 1);
}

/* Against DNS rebinding: a name that a page has given to this address is not one of this server's. */
static void httpd_hosts(void **state)
{
    (void)state;
    static struct {
        char const *headers;
        unsigned http_status;
    } const cases[] = {
        {"Host: localhost\r\n", 200},
        {"Host: LOCALHOST:7550\r\n", 200},
        {"Host: x\r\n", 200},
        {"Host: 10.1.2.3:7550\r\n", 200},
        {"Host: [::1]:7550\r\n", 200},
        {"Host: evil.example\r\n", 403},
        {"Host: localhost.evil.example\r\n", 403},
        {"Host: 127.0.0.1.evil.example\r\n", 403},
        {"Host: [::1].evil.example\r\n", 403},
        {"Host: localhost:80.evil.example\r\n", 403},
        {"Host: localhost,x\r\n", 403},
        {"Host: \r\n", 403},
        {"Host: localhost\r\nHost: evil.example\r\n", 403},
    };
    static char const *const paths[] = {"/hello", "/page", "/file", "/nowhere"};
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        for (size_t p = 0; p < COH_CNT(paths); p++) {
            char request[256];
            (void)snprintf(request,
                           sizeof(request),
                           "GET %s HTTP/1.1\r\n%sConnection: close\r\n\r\n",
                           paths[p],
                           cases[i].headers);
            char const *text = ask_raw(request);
            if (cases[i].http_status != 200) {
                assert_status(text, 403);
                assert_string_equal(body_of(text),
                                    "invalid host specified: neither an IP address nor a name of "
                                    "--status-hosts\n");
            } else {
                assert_null(strstr(text, " 403 "));
            }
        }
    }
    assert_int_equal(calls, 5); /* none of those refused */
    /* Only what is no browser leaves it out. */
    assert_status(ask_raw("GET /hello HTTP/1.0\r\n\r\n"), 200);
    assert_status(ask_raw("GET /hello HTTP/1.0\r\nHost: evil.example\r\n\r\n"), 403);
    assert_status(ask_raw("POST /hello HTTP/1.1\r\nHost: evil.example\r\nConnection: "
                          "close\r\nContent-Length: 1\r\n\r\nx"),
                  403);
    coh_httpd_t *any;
    coh_httpd_route_t const routes[] = {{.path = "/hello", .fn = hello, .arg = &calls}};
    assert_int_equal(coh_httpd_start(&any, "127.0.0.1:0", "*", NULL, routes, 1), COH_OK);
    coh_httpd_t *mine = httpd;
    httpd             = any;
    assert_status(ask_raw("GET /hello HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"),
                  200);
    httpd = mine;
    coh_httpd_stop(any);
}

static void httpd_survives_garbage(void **state)
{
    (void)state;
    (void)ask_raw("\r\n\x01\x02 not http\r\n\r\n");
    char request[40000];
    memset(request, 'a', sizeof(request));
    memcpy(request, "GET /", 5);
    memcpy(request + sizeof(request) - 13, " HTTP/1.1\r\n\r\n", 13);
    int fd = connect_to(coh_httpd_port(httpd));
    (void)send(
        fd, request, sizeof(request), MSG_NOSIGNAL); /* the server may refuse before all is sent */
    assert_int_equal(close(fd), 0);
    assert_status(ask("GET", "/hello"), 200);
}

static void httpd_page_shows_the_last_text(void **state)
{
    (void)state;
    char const *text = ask("GET", "/page");
    assert_status(text, 503);
    assert_non_null(strstr(text, "Content-Type: text/html\r\n"));
    assert_string_equal(body_of(text), "first");
    coh_page_set(page, 200, coh_bytes("second", 6));
    text = ask("GET", "/page");
    assert_status(text, 200);
    assert_string_equal(body_of(text), "second");
}

/* A page is never seen half written. */
static void *rewrite(void *arg)
{
    static char letters[2][4000];
    memset(letters[0], 'a', sizeof(letters[0]));
    memset(letters[1], 'b', sizeof(letters[1]));
    for (int i = 0; i < 20000; i++) {
        coh_page_set(arg, 200, coh_bytes(letters[i % 2], sizeof(letters[0])));
    }
    return NULL;
}

static void httpd_page_is_whole(void **state)
{
    (void)state;
    pthread_t writer;
    coh_page_set(page, 200, coh_bytes("", 0));
    assert_int_equal(pthread_create(&writer, NULL, rewrite, page), 0);
    for (int i = 0; i < 50; i++) {
        char const *body = body_of(ask("GET", "/page"));
        size_t n         = strlen(body);
        assert_true(n == 0 || n == 4000);
        assert_int_equal(strspn(body, n == 0 ? "" : (char const[]){body[0], '\0'}), n);
    }
    assert_int_equal(pthread_join(writer, NULL), 0);
}

/* With every place taken by an idle client the next one waits, and is served when a
   place is free. */
static void httpd_bounds_connections(void **state)
{
    (void)state;
    int idle[COH_HTTPD_CONNECTION_MAX];
    for (size_t i = 0; i < COH_CNT(idle); i++) {
        idle[i] = connect_to(coh_httpd_port(httpd));
    }
    int fd                      = connect_to(coh_httpd_port(httpd));
    static char const request[] = "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_int_equal(send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL), sizeof(request) - 1);
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&poll_fd, 1, 300),
                     0); /* a right server never answers here, however slow the machine */
    for (size_t i = 0; i < COH_CNT(idle); i++) {
        assert_int_equal(close(idle[i]), 0);
    }
    char text[512] = {0};
    assert_true(recv(fd, text, sizeof(text) - 1, 0) > 0);
    assert_status(text, 200);
    assert_int_equal(close(fd), 0);
}

static void httpd_start_errors(void **state)
{
    (void)state;
    coh_httpd_t *other               = NULL;
    coh_httpd_route_t const routes[] = {{.path = "/hello", .fn = hello, .arg = &calls}};
    static char const *const bad[]   = {"",
                                        "localhost",
                                        ":",
                                        "127.0.0.1:",
                                        "127.0.0.1:http",
                                        "127.0.0.1:99999",
                                        ":80",
                                        "127.0.0.1:1234567890",
                                        "no such host:80",
                                        "300.1.1.1:80"};
    for (size_t i = 0; i < COH_CNT(bad); i++) {
        assert_int_equal(coh_httpd_start(&other, bad[i], "", NULL, routes, 1), COH_EINVAL);
    }
    char addr[32];
    (void)snprintf(addr, sizeof(addr), "127.0.0.1:%u", coh_httpd_port(httpd));
    assert_int_equal(coh_httpd_start(&other, addr, "", NULL, routes, 1), COH_EIO);
    assert_int_equal(errno, EADDRINUSE);
    coh_httpd_stop(NULL);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test_setup_teardown(httpd_get, setup, teardown),
        cmocka_unit_test_setup_teardown(httpd_head_has_no_body, setup, teardown),
        cmocka_unit_test_setup_teardown(httpd_headers_of_data, setup, teardown),
        cmocka_unit_test_setup_teardown(httpd_sends_a_file, setup, teardown),
        cmocka_unit_test_setup_teardown(httpd_sends_a_file_once, setup, teardown),
        cmocka_unit_test_setup_teardown(httpd_empty_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(httpd_unknown_path, setup, teardown),
        cmocka_unit_test_setup_teardown(httpd_other_methods, setup, teardown),
        cmocka_unit_test_setup_teardown(httpd_get_with_body, setup, teardown),
        cmocka_unit_test_setup_teardown(httpd_hosts, setup, teardown),
        cmocka_unit_test_setup_teardown(httpd_survives_garbage, setup, teardown),
        cmocka_unit_test_setup_teardown(httpd_page_shows_the_last_text, setup, teardown),
        cmocka_unit_test_setup_teardown(httpd_page_is_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(httpd_bounds_connections, setup, teardown),
        cmocka_unit_test_setup_teardown(httpd_start_errors, setup, teardown),
    };
    return cmocka_run_group_tests_name("httpd", tests, NULL, NULL);
}
