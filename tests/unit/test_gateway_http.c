/* links: coh_gateway_http */
/* JSON-RPC's sockets under clients that mean no good: bytes at random, heads that two readers understand differently, hosts and origins that may not call, bodies too large,
   nested too deep or never finished, WebSockets that break the protocol, never read, or vanish. Each gets a clear answer or loses its connection; afterwards
   the next client is served. No coordinator is attached: calls are answered with busy, which is an answer. */
#include "coordinator/gateway/gateway_http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/rng.h"

#define PATIENCE_MS   10000
#define TOKEN         "0123456789abcdef-token"
#define CHAIN_ID_CALL "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_chainId\"}"
/* RFC 6455, 1.3 */
#define WS_KEY    "dGhlIHNhbXBsZSBub25jZQ=="
#define WS_ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

static coh_config_t config;
static coh_genesis_t genesis = {.chain_id = 1337};
static coh_metrics_t *metrics;
static coh_gateway_http_t *gw;
static coh_buf_t got; /* what the last exchange brought, NUL-terminated */
static coh_rng_t rng;

static int setup(void **state)
{
    (void)state;
    static char const path[] = "test_gateway_http.token";
    FILE *f                  = fopen(path, "we");
    assert_non_null(f);
    assert_true(fputs(TOKEN "\n", f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, 0600), 0);
    coh_config_default(&config);
    coh_buf_t text = COH_BUF_INIT;
    assert_int_equal(coh_config_set(&config, "http-listen", "127.0.0.1:0", &text), COH_OK);
    assert_int_equal(coh_config_set(&config, "http-token-file", path, &text), COH_OK);
    assert_int_equal(
        coh_config_set(&config, "http-cors", "http://a.example, http://b.example", &text), COH_OK);
    assert_int_equal(coh_config_set(&config, "http-hosts", "localhost,node.example", &text),
                     COH_OK);
    config.http_body_bytes_max   = 100000;
    config.http_memory_bytes_max = 4 << 20;
    config.http_queue_bytes_max  = 200000;
    config.http_batch_max        = 3000;
    config.http_idle_seconds     = 2;
    config.http_transfer_seconds = 2;
    metrics                      = coh_metrics_new(0);
    coh_err_t err                = coh_gateway_http_open(&gw, &config, &genesis, metrics, &text);
    assert_int_equal(err, COH_OK);
    coh_buf_free(&text);
    uint64_t seed = coh_clock_mono_us();
    printf("seed %llu\n", (unsigned long long)seed);
    coh_rng_seed(&rng, seed);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    coh_gateway_http_free(gw);
    coh_metrics_free(metrics);
    coh_buf_free(&got);
    return unlink("test_gateway_http.token");
}

static int dial(void)
{
    int fd                  = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in addr = {.sin_family      = AF_INET,
                               .sin_port        = htons(coh_gateway_http_port(gw)),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    return fd;
}

/* False: the other end has closed. */
static bool put(int fd, void const *p, size_t n)
{
    uint8_t const *at = p;
    while (n > 0) {
        ssize_t sent = send(fd, at, n, MSG_NOSIGNAL);
        if (sent <= 0) {
            return false;
        }
        at += sent;
        n -= (size_t)sent;
    }
    return true;
}

/* take reads into got until it holds until (or to the end if that is NULL). False: the connection ended before. */
static bool take(int fd, char const *until)
{
    coh_buf_clear(&got);
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, PATIENCE_MS) != 1) {
            fail_msg("no answer in time");
        }
        uint8_t *at = coh_buf_extend(&got, 65537);
        ssize_t n   = recv(fd, at, 65536, 0);
        got.n -= 65537 - (size_t)(n > 0 ? n : 0);
        coh_buf_put_u8(&got, 0);
        got.n--;
        if (n <= 0) {
            return until == NULL;
        }
        if (until != NULL && memmem(got.p, got.n, until, strlen(until)) != NULL) {
            return true;
        }
    }
}

/* exchange sends a request on a connection of its own and reads to the end. Returns the HTTP status, 0 without one. */
static int exchange(char const *request, size_t n)
{
    int fd = dial();
    (void)put(fd, request, n);
    (void)shutdown(fd, SHUT_WR);
    (void)take(fd, NULL);
    close(fd);
    int status = 0;
    (void)sscanf((char const *)got.p, "HTTP/1.%*d %d", &status);
    return status;
}

static int send_text(char const *request) { return exchange(request, strlen(request)); }

#define POST_HEAD "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"

static void is_served(void)
{
    char text[512];
    (void)snprintf(text,
                   sizeof(text),
                   POST_HEAD "Connection: close\r\nContent-Length: %zu\r\n\r\n%s",
                   strlen(CHAIN_ID_CALL),
                   CHAIN_ID_CALL);
    assert_int_equal(send_text(text), 200);
    assert_non_null(strstr((char *)got.p, "\"code\":-32005"));
}

static int dial_ws(void)
{
    static char const request[] =
        "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: "
        "websocket\r\nSec-WebSocket-Key: " WS_KEY "\r\nSec-WebSocket-Version: 13\r\n\r\n";
    int fd = dial();
    assert_true(put(fd, request, sizeof(request) - 1));
    assert_true(take(fd, "\r\n\r\n"));
    assert_non_null(strstr((char *)got.p, "HTTP/1.1 101"));
    assert_non_null(strstr((char *)got.p, "Sec-WebSocket-Accept: " WS_ACCEPT "\r\n"));
    return fd;
}

/* put_frame sends one masked frame (mask 0, so that the payload stands as it is). */
static bool put_frame(int fd, uint8_t first, void const *payload, size_t n)
{
    coh_buf_t frame = COH_BUF_INIT;
    coh_buf_put_u8(&frame, first);
    if (n < 126) {
        coh_buf_put_u8(&frame, (uint8_t)(0x80 | n));
    } else {
        uint8_t size[8];
        coh_buf_put_u8(&frame, 0xff);
        coh_store_u64_be(size, n);
        coh_buf_put(&frame, size, sizeof(size));
    }
    coh_buf_put(&frame, "\0\0\0\0", 4);
    coh_buf_put(&frame, payload, n);
    bool ok = put(fd, frame.p, frame.n);
    coh_buf_free(&frame);
    return ok;
}

#define TEXT 0x81

static void http_heads(void **state)
{
    (void)state;
    static struct {
        char const *request;
        int status;
    } const cases[] = {
        {"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 200},
        {"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n", 404},
        {"PUT / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405},
        /* DNS rebinding: names that are not ours */
        {"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403},
        {"GET / HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n", 403},
        {"GET / HTTP/1.1\r\nHost: 127.0.0.1.evil.example\r\n\r\n", 403},
        {"GET / HTTP/1.1\r\nHost: \r\n\r\n", 403},
        {"GET / HTTP/1.1\r\nHost: node.example:8545\r\nConnection: close\r\n\r\n", 200},
        {"GET / HTTP/1.1\r\nHost: 10.1.2.3:8545\r\nConnection: close\r\n\r\n", 200},
        {"GET / HTTP/1.1\r\nHost: [::1]:8545\r\nConnection: close\r\n\r\n", 200},
        {"GET / HTTP/1.1\r\nHost: [::1\r\nConnection: close\r\n\r\n", 403},
        {"GET / HTTP/1.1\r\nHost: [::1].evil.example\r\n\r\n", 403},
        {"GET / HTTP/1.1\r\nHost: localhost:80.evil.example\r\n\r\n", 403},
        {"GET / HTTP/1.1\r\nHost: localhost@evil.example\r\n\r\n", 403},
        {"GET / HTTP/1.1\r\nHost: evil.example,localhost\r\n\r\n", 403},
        {"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 404},
        /* where does it end? */
        {POST_HEAD "Host: localhost\r\nContent-Length: 0\r\n\r\n", 400},
        {POST_HEAD "Content-Length: 5\r\nContent-Length: 50\r\n\r\nhello", 400},
        {POST_HEAD "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
        {POST_HEAD "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
         400},
        {POST_HEAD "Content-Length: -1\r\n\r\n", 400},
        {POST_HEAD "Content-Length: 5x\r\n\r\n", 400},
        {POST_HEAD "Content-Length: +2\r\n\r\n{}", 400},
        {POST_HEAD "Content-Length: 0x2\r\n\r\n{}", 400},
        {POST_HEAD "Content-Length: 2, 2\r\n\r\n{}", 400},
        {POST_HEAD "Content-Length: \r\n\r\n{}", 400},
        {POST_HEAD "Content-Length: 18446744073709551618\r\n\r\n{}", 413},
        {POST_HEAD "\r\n{}", 411},
        {POST_HEAD "Content-Length : 2\r\n\r\n{}", 400},
        {POST_HEAD "Transfer-Encoding : chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 400},
        {POST_HEAD "Transfer-Encoding: xchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 400},
        {POST_HEAD "Transfer-Encoding: chunked, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 400},
        {POST_HEAD "Transfer-Encoding: identity\r\n\r\n{}", 400},
        {POST_HEAD "Transfer-Encoding: \vchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 400},
        {"POST / HTTP/1.0\r\nHost: localhost\r\nContent-Type: "
         "application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
         400},
        /* lines that are folded (RFC 9112, 5.2), or ended by half of CR LF */
        {POST_HEAD "Content-Length: 5\r\n 0\r\n\r\n{}", 400},
        {POST_HEAD "Content-Length: 2\r\nTransfer-Encoding:\r\n chunked\r\n\r\n{}", 400},
        {POST_HEAD "Transfer-Encoding:\r\n chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 400},
        {POST_HEAD "Content-Length: 2\r\nX: a\r\n\tb\r\n\r\n{}", 400},
        {"POST / HTTP/1.1\r\n X: a\r\nHost: localhost\r\nContent-Type: "
         "application/json\r\nContent-Length: 2\r\n\r\n{}",
         400},
        {POST_HEAD "X: a\rContent-Length: 2\r\n\r\n{}", 400},
        {POST_HEAD "X: a\nContent-Length: 2\r\n\r\n{}", 400},
        {POST_HEAD "Content-Length: 2\r\n: a\r\n\r\n{}", 400},
        {POST_HEAD "Content-Length: 2\r\nX\r\n\r\n{}", 400},
        {POST_HEAD "Content-Length: 2\r\nX(: a\r\n\r\n{}", 400},
        {POST_HEAD "Content-Length: 2\r\nX: a\x01\r\n\r\n{}", 400},
        {POST_HEAD "Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}", 400},
        {POST_HEAD "Authorization: Bearer " TOKEN "\r\nAuthorization: Bearer " TOKEN
                   "\r\nContent-Length: 2\r\n\r\n{}",
         400},
        {POST_HEAD "X:\r\nY: \t \r\nZ:a: b \r\nConnection: close\r\nContent-Length: "
                   "2\r\n\r\n{}",
         200},
        {"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: "
         "2\r\n\r\n{}",
         415},
        {"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}", 415},
        {POST_HEAD "Content-Length: 100001\r\n\r\n", 413},
        {POST_HEAD "Authorization: Bearer wrong\r\nContent-Length: 2\r\n\r\n{}", 401},
        {POST_HEAD "Authorization: Basic " TOKEN "\r\nContent-Length: 2\r\n\r\n{}", 401},
        {POST_HEAD "Authorization: Bearer " TOKEN
                   "\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
         200},
        {POST_HEAD "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
         200},
        {"OPTIONS / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 204},
        /* WebSocket: no version, no key, another origin */
        {"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: "
         "websocket\r\nSec-WebSocket-Key: " WS_KEY "\r\n\r\n",
         400},
        {"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: "
         "websocket\r\nSec-WebSocket-Key: short\r\nSec-WebSocket-Version: 13\r\n\r\n",
         400},
        {"GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\nConnection: "
         "Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: " WS_KEY
         "\r\nSec-WebSocket-Version: 13\r\n\r\n",
         403},
        {"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: Upgrade\r\nUpgrade: "
         "websocket\r\nSec-WebSocket-Key: " WS_KEY "\r\nSec-WebSocket-Version: 13\r\n\r\n",
         403},
    };
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        int status = send_text(cases[i].request);
        if (status != cases[i].status) {
            fail_msg("%d instead of %d for\n%s\n%s",
                     status,
                     cases[i].status,
                     cases[i].request,
                     (char *)got.p);
        }
    }
    is_served();
}

/* What is behind a refused request is never taken for another one. */
static void http_smuggling(void **state)
{
    (void)state;
    char text[1024];
    char inner[512];
    (void)snprintf(inner,
                   sizeof(inner),
                   POST_HEAD "Content-Length: %zu\r\n\r\n%s",
                   strlen(CHAIN_ID_CALL),
                   CHAIN_ID_CALL);
    (void)snprintf(text,
                   sizeof(text),
                   POST_HEAD "Content-Length: %zu\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n%s",
                   strlen(inner) + 5,
                   inner);
    assert_int_equal(send_text(text), 400);
    assert_null(strstr((char *)got.p, "jsonrpc"));
    assert_null(strstr((char *)got.p + 1, "HTTP/1.1"));
    /* Two honest ones behind each other are both answered. */
    (void)snprintf(text, sizeof(text), "%s%s", inner, inner);
    assert_int_equal(send_text(text), 200);
    assert_non_null(strstr(strstr((char *)got.p, "jsonrpc") + 7, "jsonrpc"));
}

/* NUL in a head, of which the rest of a value would not be seen. */
static void http_nul(void **state)
{
    (void)state;
    static char const name[] = "GET / HTTP/1.1\r\nHost: localhost\0.evil.example\r\n\r\n";
    static char const last[] = "GET / HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n";
    assert_int_equal(exchange(name, sizeof(name) - 1), 400);
    assert_int_equal(exchange(last, sizeof(last) - 1), 400);
    is_served();
}

/* A request is a request, however it is cut into pieces: one octet at a time, with a head nearly as large as may be. */
static void http_in_pieces(void **state)
{
    (void)state;
    coh_buf_t text = COH_BUF_INIT;
    coh_buf_printf(
        &text, POST_HEAD "Connection: close\r\nContent-Length: %zu\r\n", strlen(CHAIN_ID_CALL));
    for (int i = 0; i < 60; i++) {
        coh_buf_printf(&text, "X-Filler-%d: %0100d\r\n", i, i);
    }
    coh_buf_printf(&text, "\r\n" CHAIN_ID_CALL);
    static size_t const sizes[] = {1, 7, 1000};
    for (size_t i = 0; i < COH_CNT(sizes); i++) {
        int const one = 1;
        int fd        = dial();
        assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)), 0);
        for (size_t at = 0; at < text.n; at += sizes[i]) {
            assert_true(put(fd, text.p + at, COH_MIN(sizes[i], text.n - at)));
        }
        assert_true(take(fd, NULL));
        assert_non_null(strstr((char *)got.p, "HTTP/1.1 200"));
        assert_non_null(strstr((char *)got.p, "-32005"));
        close(fd);
    }
    coh_buf_free(&text);
}

/* What is private is so for who has no token, on both kinds of connection; with it, it is answered. */
static void private_methods(void **state)
{
    (void)state;
    static char const call[] =
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"admin_nodeInfo\",\"params\":[]}";
    static char const upgrade[] =
        "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: "
        "websocket\r\nSec-WebSocket-Key: " WS_KEY "\r\nSec-WebSocket-Version: 13\r\n";
    static char const *const tokens[] = {
        "", "Authorization: Bearer " TOKEN "\r\n", "Authorization: bearer " TOKEN "\r\n"};
    static char const *const wrong[] = {"Authorization: Bearer " TOKEN "x\r\n",
                                        "Authorization: Bearer 0123456789abcdef-toke\r\n",
                                        "Authorization: Bearer \r\n",
                                        "Authorization: Bearer\r\n",
                                        "Authorization: \r\n",
                                        "Authorization: Bearer  " TOKEN "\r\n"};
    char text[1024];
    for (size_t i = 0; i < COH_CNT(tokens); i++) {
        (void)snprintf(text,
                       sizeof(text),
                       POST_HEAD "%sConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
                       tokens[i],
                       strlen(call),
                       call);
        assert_int_equal(send_text(text), 200);
        assert_true((strstr((char *)got.p, "unauthorised") != NULL) == (i == 0));
        assert_true((strstr((char *)got.p, "-32005") != NULL) == (i != 0));
        int fd = dial();
        (void)snprintf(text, sizeof(text), "%s%s\r\n", upgrade, tokens[i]);
        assert_true(put(fd, text, strlen(text)));
        assert_true(take(fd, "\r\n\r\n"));
        assert_true(put_frame(fd, TEXT, call, strlen(call)));
        assert_true(take(fd, i == 0 ? "unauthorised" : "-32005"));
        close(fd);
    }
    for (size_t i = 0; i < COH_CNT(wrong); i++) {
        (void)snprintf(text,
                       sizeof(text),
                       POST_HEAD "%sConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
                       wrong[i],
                       strlen(call),
                       call);
        assert_int_equal(send_text(text), 401);
        (void)snprintf(text, sizeof(text), "%s%s\r\n", upgrade, wrong[i]);
        assert_int_equal(send_text(text), 401);
    }
    is_served();
}

/* drips sends one octet after the other until the connection is closed, without ever being silent for long. */
static void drips(int fd, char const *octet)
{
    int i = 0;
    for (; i < 600; i++) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        char c;
        if (!put(fd, octet, 1) || (poll(&p, 1, 50) == 1 && recv(fd, &c, 1, 0) <= 0)) {
            break;
        }
    }
    assert_true(i < 600); /* half a minute; http-idle-seconds and http-transfer-seconds are 4 s */
    close(fd);
}

static void slow_writers_end(void **state)
{
    (void)state;
    int fd = dial();
    assert_true(put(fd, POST_HEAD "X: ", strlen(POST_HEAD "X: ")));
    drips(fd, "x");
    fd                       = dial();
    static char const head[] = POST_HEAD "Content-Length: 90000\r\n\r\n";
    assert_true(put(fd, head, sizeof(head) - 1));
    drips(fd, " ");
    /* Behind a request that was in order, too. */
    fd = dial();
    char text[512];
    (void)snprintf(text,
                   sizeof(text),
                   POST_HEAD "Content-Length: %zu\r\n\r\n%s",
                   strlen(CHAIN_ID_CALL),
                   CHAIN_ID_CALL);
    assert_true(put(fd, text, strlen(text)));
    assert_true(take(fd, "-32005"));
    drips(fd, "P");
    is_served();
}

/* WebSockets that announce messages and do not finish them hold memory for a while only: then it is there for others again. */
static void ws_slow_writers_end(void **state)
{
    (void)state;
    int fds[40];
    for (size_t i = 0; i < COH_CNT(fds); i++) {
        static uint8_t const start[] = {0x81, 0xff, 0, 0, 0, 0, 0, 1, 0x80, 0, 0, 0, 0, 0, ' '};
        fds[i]                       = dial_ws();
        assert_true(put(fds[i], start, sizeof(start))); /* 98304 octets, of 4 MiB */
    }
    drips(fds[0], " ");
    for (size_t i = 1; i < COH_CNT(fds); i++) {
        (void)take(fds[i], NULL);
        close(fds[i]);
    }
    for (size_t i = 0; i < COH_CNT(fds); i++) {
        char body[98304];
        memset(body, ' ', sizeof(body));
        int fd = dial_ws();
        assert_true(put_frame(fd, TEXT, body, sizeof(body)));
        assert_true(take(fd, "-32700"));
        close(fd);
    }
}

/* One that is silent on its WebSocket, or says little, is left alone. */
static void ws_quiet_ones_stay(void **state)
{
    (void)state;
    int quiet = dial_ws();
    int calls = dial_ws();
    for (int i = 0; i < 14; i++) {
        (void)poll(NULL, 0, 500);
        assert_true(put_frame(calls, TEXT, CHAIN_ID_CALL, strlen(CHAIN_ID_CALL)));
        assert_true(take(calls, "-32005"));
    }
    assert_true(put_frame(quiet, TEXT, CHAIN_ID_CALL, strlen(CHAIN_ID_CALL)));
    assert_true(take(quiet, "-32005"));
    close(quiet);
    close(calls);
}

/* Answers that nobody reads are given up, whether their client is silent or reads an octet now and then. */
static void slow_readers_end(void **state)
{
    (void)state;
    coh_buf_t text = COH_BUF_INIT;
    coh_buf_t body = COH_BUF_INIT;
    for (int i = 0; i < 1000; i++) {
        coh_buf_printf(&body, "%s" CHAIN_ID_CALL, i == 0 ? "[" : ",");
    }
    coh_buf_put_u8(&body, ']');
    coh_buf_printf(&text, POST_HEAD "Content-Length: %zu\r\n\r\n", body.n);
    coh_buf_put(&text, body.p, body.n);
    int const small = 4096;
    for (int octets = 0; octets < 2; octets++) {
        int fd = dial();
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
        /* Many behind each other: their answers fill all that lies between, and the first one that does not fit waits. */
        struct timeval brief = {.tv_usec = 500000};
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &brief, sizeof(brief)), 0);
        int i = 0;
        while (i < 1000 && put(fd, text.p, text.n)) {
            i++;
        }
        assert_true(i < 1000);
        for (i = 0; i < 600; i++) {
            struct pollfd p = {.fd = fd, .events = 0};
            char c;
            if (poll(&p, 1, 50) == 1) {
                break; /* reset, with what was not read */
            }
            if (octets == 1) {
                (void)recv(fd, &c, 1, MSG_DONTWAIT);
            }
        }
        assert_true(i < 600);
        close(fd);
    }
    coh_buf_free(&text);
    coh_buf_free(&body);
    is_served();
}

static void http_cors(void **state)
{
    (void)state;
    assert_int_equal(send_text("OPTIONS / HTTP/1.1\r\nHost: localhost\r\nOrigin: "
                               "http://b.example\r\nConnection: close\r\n\r\n"),
                     204);
    assert_non_null(strstr((char *)got.p, "Access-Control-Allow-Origin: http://b.example\r\n"));
    assert_int_equal(send_text("OPTIONS / HTTP/1.1\r\nHost: localhost\r\nOrigin: "
                               "http://c.example\r\nConnection: close\r\n\r\n"),
                     204);
    assert_null(strstr((char *)got.p, "Access-Control"));
}

static void http_random_bytes(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        uint8_t bytes[512];
        size_t n = 1 + coh_rng_below(&rng, sizeof(bytes));
        for (size_t k = 0; k < n; k++) {
            bytes[k] = (uint8_t)coh_rng_next(&rng);
        }
        int fd = dial();
        (void)put(fd, bytes, n);
        if (i % 4 == 0) {
            (void)put(fd, "\r\n\r\n", 4);
        }
        close(fd);
    }
    is_served();
}

static void http_bodies(void **state)
{
    (void)state;
    /* Deep, and as long as is allowed. */
    coh_buf_t text = COH_BUF_INIT;
    coh_buf_printf(&text, POST_HEAD "Connection: close\r\nContent-Length: 100000\r\n\r\n");
    memset(coh_buf_extend(&text, 100000), '[', 100000);
    assert_int_equal(exchange((char *)text.p, text.n), 200);
    assert_non_null(strstr((char *)got.p, "nested deeper than"));
    /* Longer, which chunks do not say before. */
    coh_buf_clear(&text);
    coh_buf_printf(&text, POST_HEAD "Transfer-Encoding: chunked\r\n\r\n30d40\r\n");
    memset(coh_buf_extend(&text, 200000), ' ', 200000);
    coh_buf_printf(&text, "\r\n0\r\n\r\n");
    assert_int_equal(exchange((char *)text.p, text.n), 413);
    coh_buf_free(&text);
    /* Bodies that are begun and not finished take no more than http-memory-bytes-max together; who goes away gives it back. */
    char piece[90000];
    memset(piece, ' ', sizeof(piece));
    int fds[100];
    for (size_t i = 0; i < COH_CNT(fds); i++) {
        fds[i] = dial();
        (void)put(fds[i],
                  POST_HEAD "Content-Length: 100000\r\n\r\n",
                  strlen(POST_HEAD "Content-Length: 100000\r\n\r\n"));
        (void)put(fds[i], piece, sizeof(piece));
    }
    int busy = 0;
    for (size_t i = 0; i < COH_CNT(fds); i++) {
        (void)put(fds[i], piece, 10000);
        assert_true(take(fds[i], "\n"));
        busy += strstr((char *)got.p, "503") != NULL;
        close(fds[i]);
    }
    assert_in_range(
        busy, 30, 80); /* 4 MiB hold 46 of them, or less what others give back meanwhile */
    is_served();
}

static void http_thousand_dropped(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        int fd = dial();
        if (i % 3 == 1) {
            (void)put(fd, POST_HEAD, strlen(POST_HEAD));
        } else if (i % 3 == 2) {
            (void)put(fd,
                      POST_HEAD "Content-Length: 100\r\n\r\n{",
                      strlen(POST_HEAD "Content-Length: 100\r\n\r\n{"));
        }
        close(fd);
    }
    is_served();
}

/* ---- WebSockets ---- */

static void ws_calls(void **state)
{
    (void)state;
    int fd = dial_ws();
    assert_true(put_frame(fd, TEXT, CHAIN_ID_CALL, strlen(CHAIN_ID_CALL)));
    assert_true(take(fd, "-32005"));
    assert_int_equal(got.p[0], 0x81);                    /* one unmasked text frame */
    assert_true(put_frame(fd, 0x01, CHAIN_ID_CALL, 10)); /* in two fragments, with a ping between */
    assert_true(put_frame(fd, 0x89, "hey", 3));
    assert_true(put_frame(fd, 0x80, &CHAIN_ID_CALL[10], strlen(CHAIN_ID_CALL) - 10));
    assert_true(take(fd, "-32005"));
    assert_memory_equal(got.p, "\x8a\x03hey", 5); /* the pong came first */
    assert_true(put_frame(fd, 0x88, "\x03\xe8", 2));
    assert_true(take(fd, NULL)); /* good-bye, and the end */
    assert_memory_equal(got.p, "\x88\x02\x03\xe8", 4);
    close(fd);
}

/* What came was a good-bye with this code and a reason that begins so, or the end without one: then octets that were not read make the kernel cut the connection off. */
static void assert_good_bye(unsigned code, char const *reason)
{
    if (got.n == 0) {
        return;
    }
    assert_int_equal(got.p[0], 0x88);
    if (code == 0) {
        assert_int_equal(got.n, 2);
        return;
    }
    assert_true(got.n >= 4);
    assert_int_equal(got.p[2] << 8 | got.p[3], code);
    assert_true(got.n >= 4 + strlen(reason));
    assert_memory_equal(got.p + 4, reason, strlen(reason));
}

static void ws_breaches(void **state)
{
    (void)state;
    static char const unmasked[] = "\x81\x02{}";
    static char const reserved[] = "\xf1\x82\0\0\0\0{}";
    static char const opcode[]   = "\x83\x82\0\0\0\0{}";
    static char const fat_ping[] = "\x89\xfe\x00\x80\0\0\0\0";
    static char const enormous[] = "\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0x";
    static char const not_utf8[] = "\x81\x82\0\0\0\0\xff\xff";
    static char const lone[]     = "\x80\x82\0\0\0\0{}";                 /* goes on with nothing */
    static char const between[]  = "\x01\x81\0\0\0\0{\x81\x81\0\0\0\0}"; /* a text in a text */
    static char const cut_ping[] = "\x09\x80\0\0\0\0";                   /* in fragments */
    static char const bad_code[] = "\x88\x82\0\0\0\0\x03\xec";           /* good-bye with 1004 */
    static struct {
        char const *bytes;
        size_t n;
        unsigned code; /* RFC 6455, 7.4.1; 0: wslay gives none */
    } const cases[] = {{unmasked, sizeof(unmasked) - 1, 1002},
                       {reserved, sizeof(reserved) - 1, 1002},
                       {opcode, sizeof(opcode) - 1, 1002},
                       {fat_ping, sizeof(fat_ping) - 1, 0},
                       {enormous, sizeof(enormous) - 1, 1009},
                       {not_utf8, sizeof(not_utf8) - 1, 1007},
                       {lone, sizeof(lone) - 1, 1002},
                       {between, sizeof(between) - 1, 1002},
                       {cut_ping, sizeof(cut_ping) - 1, 0},
                       {bad_code, sizeof(bad_code) - 1, 1002}};
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        int fd = dial_ws();
        assert_true(put(fd, cases[i].bytes, cases[i].n));
        assert_true(take(fd, NULL));
        assert_good_bye(cases[i].code, "");
        close(fd);
    }
    int fd = dial_ws(); /* longer than http-body-bytes-max */
    char body[100001];
    memset(body, ' ', sizeof(body));
    (void)put_frame(fd, TEXT, body, sizeof(body));
    (void)take(fd, NULL);
    assert_good_bye(1009, "");
    close(fd);
    for (int i = 0; i < 50; i++) {
        fd = dial_ws();
        uint8_t bytes[256];
        for (size_t k = 0; k < sizeof(bytes); k++) {
            bytes[k] = (uint8_t)coh_rng_next(&rng);
        }
        (void)put(fd, bytes, sizeof(bytes));
        close(fd);
    }
    is_served();
}

/* A message may come in pieces, and pings between them, but not in so many that what they are kept in is the larger part; and no flood of pings, answered or not, holds memory. */
static void ws_fragments_and_pings(void **state)
{
    (void)state;
    static char const ping[]  = "\x89\x80\0\0\0\0";
    static char const piece[] = "\x00\x81\0\0\0\0 ";
    int fd                    = dial_ws();
    assert_true(put_frame(fd, 0x01, "", 0));
    for (size_t i = 0; i < 1000; i++) {
        assert_true(put(fd, piece, sizeof(piece) - 1));
        assert_true(put(fd, ping, sizeof(ping) - 1));
    }
    assert_true(put_frame(fd, 0x80, CHAIN_ID_CALL, strlen(CHAIN_ID_CALL)));
    assert_true(take(fd, "-32005"));
    for (size_t i = 0; i < 1000; i++) {
        assert_memory_equal(got.p + 2 * i, "\x8a\0", 2);
    }
    close(fd);
    fd = dial_ws();
    assert_true(put_frame(fd, 0x01, "", 0));
    uint64_t before = coh_metric_get(metrics, COH_M_rpc_reader_dropped);
    for (size_t i = 0; i < 16384; i++) { /* with the last one they are too many */
        assert_true(put(fd, piece, sizeof(piece) - 1));
    }
    assert_true(take(fd, NULL));
    assert_true(got.n > 4);
    assert_good_bye(1008, "a message in too many fragments");
    assert_int_equal(coh_metric_get(metrics, COH_M_rpc_reader_dropped), before + 1);
    close(fd);
    fd                   = dial_ws(); /* does not read its pongs */
    struct timeval brief = {.tv_usec = 300000};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &brief, sizeof(brief)), 0);
    static char pings[600 * (sizeof(ping) - 1)];
    for (size_t i = 0; i < 600; i++) {
        memcpy(&pings[i * (sizeof(ping) - 1)], ping, sizeof(ping) - 1);
    }
    uint64_t sent = 0;
    while (sent < 200000 && put(fd, pings, sizeof(pings))) {
        sent++;
    }
    assert_true(sent < 200000); /* 0.7 GB: somewhere it was made to wait */
    is_served();
    close(fd);
    is_served();
}

/* One that asks and asks and does not read: its requests wait in its socket, and what it does not read stays bounded. */
static void ws_slow_reader(void **state)
{
    (void)state;
    char batch[16384] = "[";
    for (int i = 0; i < 100; i++) {
        (void)snprintf(batch + strlen(batch),
                       sizeof(batch) - strlen(batch),
                       "%s" CHAIN_ID_CALL,
                       i == 0 ? "" : ",");
    }
    (void)strcat(batch, "]");
    int fd               = dial_ws();
    struct timeval brief = {.tv_usec = 300000};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &brief, sizeof(brief)), 0);
    uint64_t sent = 0;
    while (sent < 100000 && put_frame(fd, TEXT, batch, strlen(batch))) {
        sent++;
    }
    assert_true(sent < 100000); /* 0.5 GB: somewhere it was made to wait */
    is_served();
    close(fd);
    is_served();
}

/* An answer alone that is longer than what may be left unread: no fault of who asks. */
static void ws_long_answer(void **state)
{
    (void)state;
    static char const call[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\"}";
    coh_buf_t batch          = COH_BUF_INIT;
    for (int i = 0; i < 2500; i++) {
        coh_buf_printf(&batch, "%c%s", i == 0 ? '[' : ',', call);
    }
    coh_buf_put_u8(&batch, ']');
    int fd = dial_ws();
    assert_true(put_frame(fd, TEXT, batch.p, batch.n));
    assert_true(take(fd, "}}]"));
    assert_true(got.n > config.http_queue_bytes_max);
    assert_true(put_frame(fd, TEXT, CHAIN_ID_CALL, strlen(CHAIN_ID_CALL)));
    assert_true(take(fd, "-32005"));
    close(fd);
    coh_buf_free(&batch);
    is_served();
}

/* wait_connections waits until so many WebSockets are open. */
static void wait_connections(uint64_t cnt)
{
    for (int i = 0; i < 1000 && coh_metric_get(metrics, COH_M_rpc_connection) != cnt; i++) {
        (void)poll(NULL, 0, 10);
    }
    assert_int_equal(coh_metric_get(metrics, COH_M_rpc_connection), cnt);
}

static void ws_many_idle(void **state)
{
    (void)state;
    static int fds[500];
    for (size_t i = 0; i < COH_CNT(fds); i++) {
        fds[i] = dial_ws();
    }
    wait_connections(COH_CNT(fds));
    is_served();
    for (size_t i = 0; i < COH_CNT(fds); i++) {
        close(fds[i]);
    }
    wait_connections(0);
    is_served();
}

/* One that sends its head a letter a second holds no more than its connection, and that for http-idle-seconds at most after the last. */
static void http_silence_ends(void **state)
{
    (void)state;
    int fd = dial();
    assert_true(put(fd, "POST / HTT", 10));
    assert_true(take(fd, NULL));
    close(fd);
}

/* It ends with clients connected, calling and silent. */
static void http_stops(void **state)
{
    (void)state;
    int ws   = dial_ws();
    int idle = dial();
    coh_gateway_http_stop(gw);
    assert_true(take(ws, NULL));
    assert_memory_equal(got.p, "\x88\x02\x03\xe9", 4); /* going away */
    close(ws);
    close(idle);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(http_heads),
        cmocka_unit_test(http_smuggling),
        cmocka_unit_test(http_nul),
        cmocka_unit_test(http_in_pieces),
        cmocka_unit_test(private_methods),
        cmocka_unit_test(http_cors),
        cmocka_unit_test(http_random_bytes),
        cmocka_unit_test(http_bodies),
        cmocka_unit_test(http_thousand_dropped),
        cmocka_unit_test(ws_calls),
        cmocka_unit_test(ws_breaches),
        cmocka_unit_test(ws_fragments_and_pings),
        cmocka_unit_test(ws_slow_reader),
        cmocka_unit_test(ws_long_answer),
        cmocka_unit_test(ws_many_idle),
        cmocka_unit_test(slow_writers_end),
        cmocka_unit_test(slow_readers_end),
        cmocka_unit_test(ws_slow_writers_end),
        cmocka_unit_test(ws_quiet_ones_stay),
        cmocka_unit_test(http_silence_ends),
        cmocka_unit_test(http_stops),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
