/* links: coh_gateway_http PkgConfig::SSL */
/* TLS: what is said of files that are wrong; JSON-RPC, WebSockets and status pages over it, asked by OpenSSL's and curl's clients, which verify the certificate; and clients
   that mean no good: old versions, no TLS at all, handshakes of bytes at random, cut off, never finished, and connections that vanish. */
#include "common/obs/tls.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/base/rng.h"
#include "common/obs/httpd.h"
#include "coordinator/gateway/gateway_http.h"

#define CHAIN_ID_CALL "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_chainId\"}"
#define PATIENCE_MS   20000

static char dir[] = "/tmp/cohort-tls.XXXXXX";
static coh_config_t config;
static coh_genesis_t genesis = {.chain_id = 1337};
static coh_gateway_http_t *gw;
static coh_httpd_t *status;
static coh_buf_t got;

COH_PRINTF(1, 2) static int sh(char const *fmt, ...)
{
    char command[1024];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(command, sizeof(command), fmt, args);
    va_end(args);
    assert_true(n > 0 && (size_t)n < sizeof(command));
    return system(command);
}

static char const *in_dir(char const *name)
{
    static char paths[4][128];
    static unsigned at;
    char *path = paths[at++ % COH_CNT(paths)];
    (void)snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
    return path;
}

/* ---- Files ---- */

static void make_files(void)
{
    static char const make[] =
        "cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
        "-subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 "
        "-keyout %s.key -out %s.crt 2>/dev/null && chmod 600 %s.key";
    assert_int_equal(sh(make, dir, "good", "good", "good"), 0);
    assert_int_equal(sh(make, dir, "other", "other", "other"), 0);
    assert_int_equal(
        sh("cd %s && cat good.crt other.crt >chain.crt && head -n 5 good.crt >cut.crt && "
           "(cat good.crt; head -n 5 other.crt) >cut-chain.crt && head -n 2 good.key >cut.key && "
           "cp good.key open.key && chmod 604 open.key && echo hello >text && chmod 600 *.key && "
           "chmod 604 open.key && openssl ec -aes128 -passout pass:secret -in good.key -out "
           "locked.key 2>/dev/null && chmod 600 locked.key text && "
           "head -c 1100000 /dev/zero >huge && printf 'a\\0b' >nul",
           dir),
        0);
}

/* Expects success, or with why an error that names a file and says why. */
static void load(char const *cert, char const *key, char const *file, char const *why)
{
    coh_tls_t tls;
    coh_buf_t text = COH_BUF_INIT;
    coh_err_t rc   = coh_tls_load(&tls,
                                "http",
                                cert[0] != '\0' ? in_dir(cert) : "",
                                key[0] != '\0' ? in_dir(key) : "",
                                &text);
    coh_buf_put_u8(&text, 0);
    if (why == NULL) {
        if (rc != COH_OK) {
            fail_msg("%s", (char *)text.p);
        }
        assert_non_null(tls.cert);
        assert_non_null(tls.key);
        coh_tls_free(&tls);
    } else {
        assert_int_equal(rc, COH_EINVAL);
        if (strstr((char *)text.p, why) == NULL || strstr((char *)text.p, file) == NULL) {
            fail_msg("%s", (char *)text.p);
        }
        assert_null(strstr((char *)text.p, "BEGIN"));
    }
    assert_null(tls.cert);
    assert_null(tls.key);
    coh_buf_free(&text);
}

static void tls_files(void **state)
{
    (void)state;
    coh_tls_t tls  = {0};
    coh_buf_t text = COH_BUF_INIT;
    assert_int_equal(coh_tls_load(&tls, "http", "", "", &text), COH_OK);
    assert_null(tls.cert);
    coh_buf_free(&text);
    load("good.crt", "good.key", NULL, NULL);
    load("chain.crt", "good.key", NULL, NULL);
    load("good.crt", "", "http-tls-key", "go together");
    load("", "good.key", "http-tls-cert", "go together");
    load("absent.crt", "good.key", "absent.crt", "No such file");
    load("good.crt", "absent.key", "absent.key", "No such file");
    load("good.crt", "other.key", "other.key", "not the key of the certificate");
    load("text", "good.key", "text", "not a chain of certificates");
    load("cut.crt", "good.key", "cut.crt", "not a chain of certificates");
    load("cut-chain.crt", "good.key", "cut-chain.crt", "not a chain of certificates");
    load("good.key", "good.key", "good.key", "not a chain of certificates");
    load("good.crt", "text", "text", "not a private key");
    load("good.crt", "cut.key", "cut.key", "not a private key");
    load("good.crt", "good.crt", "good.crt", "open to others");
    load("good.crt", "open.key", "open.key", "open to others (mode 0604)");
    load("good.crt", "locked.key", "locked.key", "passphrase");
    load("huge", "good.key", "huge", "1 MiB");
    load("nul", "good.key", "nul", "cannot be read as text");
}

/* ---- Servers ---- */

static unsigned serve_hello(void *arg, coh_buf_t *body, char const **content_type)
{
    (void)arg;
    (void)content_type;
    coh_buf_printf(body, "hello\n");
    return 200;
}

static int setup(void **state)
{
    (void)state;
    coh_buf_t text = COH_BUF_INIT;
    assert_non_null(mkdtemp(dir));
    make_files();
    coh_config_default(&config);
    assert_int_equal(coh_config_set(&config, "http-listen", "127.0.0.1:0", &text), COH_OK);
    assert_int_equal(coh_config_set(&config, "http-tls-cert", in_dir("good.crt"), &text), COH_OK);
    assert_int_equal(coh_config_set(&config, "http-tls-key", in_dir("good.key"), &text), COH_OK);
    config.http_body_bytes_max   = 200000;
    config.http_idle_seconds     = 2;
    config.http_transfer_seconds = 2;
    assert_int_equal(coh_gateway_http_open(&gw, &config, &genesis, NULL, &text), COH_OK);
    coh_tls_t tls;
    assert_int_equal(coh_tls_load(&tls, "status", in_dir("good.crt"), in_dir("good.key"), &text),
                     COH_OK);
    coh_httpd_route_t const routes[] = {{.path = "/hello", .fn = serve_hello}};
    assert_int_equal(coh_httpd_start(&status, "127.0.0.1:0", "localhost", &tls, routes, 1), COH_OK);
    coh_tls_free(&tls);
    coh_buf_free(&text);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    coh_gateway_http_free(gw);
    coh_httpd_stop(status);
    coh_buf_free(&got);
    return sh("rm -rf %s", dir);
}

/* ---- Clients ---- */

static int dial(uint16_t port)
{
    int fd                  = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in addr = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    return fd;
}

/* A client over TLS of one version, 0: any, that trusts only our certificate, for localhost. NULL: no handshake. */
static SSL *dial_tls(uint16_t port, int version)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    assert_non_null(ctx);
    assert_int_equal(SSL_CTX_load_verify_locations(ctx, in_dir("good.crt"), NULL), 1);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_security_level(ctx, 0); /* or the library itself refuses old versions */
    if (version != 0) {
        assert_int_equal(SSL_CTX_set_min_proto_version(ctx, version), 1);
        assert_int_equal(SSL_CTX_set_max_proto_version(ctx, version), 1);
    }
    SSL *ssl = SSL_new(ctx);
    SSL_CTX_free(ctx);
    assert_int_equal(SSL_set1_host(ssl, "localhost"), 1);
    assert_int_equal(SSL_set_fd(ssl, dial(port)), 1);
    if (SSL_connect(ssl) != 1) {
        close(SSL_get_fd(ssl));
        SSL_free(ssl);
        ERR_clear_error();
        return NULL;
    }
    return ssl;
}

static void hang_up(SSL *ssl)
{
    (void)SSL_shutdown(ssl);
    close(SSL_get_fd(ssl));
    SSL_free(ssl);
}

static void say(SSL *ssl, void const *p, size_t n)
{
    assert_int_equal(SSL_write(ssl, p, (int)n), n);
}

/* Reads until what was read holds until; NULL: to the end. False: it ended before. */
static bool hear(SSL *ssl, char const *until)
{
    coh_buf_clear(&got);
    for (;;) {
        uint8_t *at = coh_buf_extend(&got, 65537);
        int n       = SSL_read(ssl, at, 65536);
        got.n -= 65537 - (size_t)(n > 0 ? n : 0);
        coh_buf_put_u8(&got, 0);
        got.n--;
        if (n <= 0) {
            ERR_clear_error();
            return until == NULL;
        }
        if (until != NULL && memmem(got.p, got.n, until, strlen(until)) != NULL) {
            return true;
        }
    }
}

static void call(SSL *ssl)
{
    char request[256];
    int n = snprintf(request,
                     sizeof(request),
                     "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                     "Content-Length: %zu\r\n\r\n%s",
                     strlen(CHAIN_ID_CALL),
                     CHAIN_ID_CALL);
    say(ssl, request, (size_t)n);
    assert_true(hear(ssl, "}}"));
    assert_non_null(strstr((char *)got.p, "\"code\":-32005"));
    assert_memory_equal(got.p, "HTTP/1.1 200", 12);
}

static void is_served(void)
{
    SSL *ssl = dial_tls(coh_gateway_http_port(gw), 0);
    assert_non_null(ssl);
    call(ssl);
    hang_up(ssl);
}

static void tls_versions(void **state)
{
    (void)state;
    uint16_t ports[] = {coh_gateway_http_port(gw), coh_httpd_port(status)};
    for (size_t i = 0; i < COH_CNT(ports); i++) {
        static int const taken[]   = {TLS1_3_VERSION, TLS1_2_VERSION};
        static int const refused[] = {TLS1_1_VERSION, TLS1_VERSION};
        for (size_t k = 0; k < 2; k++) {
            SSL *ssl = dial_tls(ports[i], taken[k]);
            assert_non_null(ssl);
            assert_int_equal(SSL_version(ssl), taken[k]);
            hang_up(ssl);
            assert_null(dial_tls(ports[i], refused[k]));
        }
    }
    is_served();
}

static void tls_http(void **state)
{
    (void)state;
    SSL *ssl = dial_tls(coh_gateway_http_port(gw), 0);
    for (int i = 0; i < 20; i++) { /* one connection, many calls */
        call(ssl);
    }
    hang_up(ssl);
    ssl                     = dial_tls(coh_httpd_port(status), 0);
    static char const get[] = "GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n";
    say(ssl, get, sizeof(get) - 1);
    assert_true(hear(ssl, "\r\n\r\nhello\n"));
    hang_up(ssl);
    /* A client that is not ours, by name and by address. */
    assert_int_equal(sh("curl -fs --cacert %s/good.crt https://localhost:%u/ -H 'Content-Type: "
                        "application/json' -d '%s' | grep -q -e -32005",
                        dir,
                        coh_gateway_http_port(gw),
                        CHAIN_ID_CALL),
                     0);
    assert_int_equal(sh("curl -fs --cacert %s/good.crt https://127.0.0.1:%u/hello | grep -q hello",
                        dir,
                        coh_httpd_port(status)),
                     0);
    assert_int_not_equal(sh("curl -fs https://localhost:%u/", coh_gateway_http_port(gw)), 0);
}

/* ---- WebSockets ---- */

static SSL *dial_ws(void)
{
    static char const request[] =
        "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: "
        "websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: "
        "13\r\n\r\n";
    SSL *ssl = dial_tls(coh_gateway_http_port(gw), 0);
    assert_non_null(ssl);
    say(ssl, request, sizeof(request) - 1);
    assert_true(hear(ssl, "\r\n\r\n"));
    assert_non_null(strstr((char *)got.p, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    return ssl;
}

static void say_frame(SSL *ssl, uint8_t first, void const *payload, size_t n)
{
    coh_buf_t frame = COH_BUF_INIT;
    uint8_t size[8];
    coh_buf_put_u8(&frame, first);
    coh_buf_put_u8(&frame, 0xff);
    coh_store_u64_be(size, n);
    if (n < 126) {
        frame.p[1] = (uint8_t)(0x80 | n);
    } else {
        coh_buf_put(&frame, size, sizeof(size));
    }
    coh_buf_put(&frame, "\0\0\0\0", 4);
    coh_buf_put(&frame, payload, n);
    say(ssl, frame.p, frame.n);
    coh_buf_free(&frame);
}

static void tls_websocket(void **state)
{
    (void)state;
    SSL *ssl = dial_ws();
    for (int i = 0; i < 20; i++) {
        say_frame(ssl, 0x81, CHAIN_ID_CALL, strlen(CHAIN_ID_CALL));
        assert_true(hear(ssl, "}}"));
        assert_int_equal(got.p[0], 0x81);
        assert_non_null(strstr((char *)got.p, "-32005"));
    }
    say_frame(ssl, 0x89, "hey", 3);
    assert_true(hear(ssl, "hey"));
    assert_memory_equal(got.p, "\x8a\x03", 2);
    /* More than a record, and an answer of many. */
    coh_buf_t batch = COH_BUF_INIT;
    for (int i = 0; i < 1000; i++) {
        coh_buf_printf(&batch, "%s" CHAIN_ID_CALL, i == 0 ? "[" : ",                      ");
    }
    coh_buf_put_u8(&batch, ']');
    assert_true(batch.n > 65536);
    say_frame(ssl, 0x81, batch.p, batch.n);
    assert_true(hear(ssl, "}}]"));
    assert_true(got.n > 50000);
    coh_buf_free(&batch);
    say_frame(ssl, 0x88, "\x03\xe8", 2);
    assert_true(hear(ssl, NULL));
    assert_memory_equal(got.p, "\x88\x02\x03\xe8", 4);
    hang_up(ssl);
    for (int i = 0; i < 100; i++) { /* some vanish without a word */
        ssl = dial_ws();
        if (i % 2 == 0) {
            say_frame(ssl, 0x81, "[", 1);
        }
        close(SSL_get_fd(ssl));
        SSL_free(ssl);
    }
    is_served();
}

/* ---- No good ---- */

/* Waits for the other end to close; what it sends before must not be HTTP. */
static void expect_close(int fd)
{
    char text[4096];
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, PATIENCE_MS) != 1) {
            fail_msg("the connection stays open");
        }
        ssize_t n = recv(fd, text, sizeof(text) - 1, 0);
        if (n <= 0) {
            break;
        }
        text[n] = '\0';
        assert_null(strstr(text, "HTTP"));
    }
    close(fd);
}

static void tls_refuses_what_is_none(void **state)
{
    (void)state;
    static char const plain[] = "GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n";
    uint16_t ports[]          = {coh_gateway_http_port(gw), coh_httpd_port(status)};
    coh_rng_t rng;
    uint64_t seed = coh_clock_mono_us();
    printf("seed %llu\n", (unsigned long long)seed);
    coh_rng_seed(&rng, seed);
    for (size_t i = 0; i < COH_CNT(ports); i++) {
        int fd = dial(ports[i]);
        assert_int_equal(send(fd, plain, sizeof(plain) - 1, MSG_NOSIGNAL), sizeof(plain) - 1);
        expect_close(fd);
    }
    for (int i = 0; i < 200; i++) {
        uint8_t bytes[600] = {0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3};
        size_t head        = i % 2 == 0 ? 0 : 11; /* half of them begin like a ClientHello */
        for (size_t k = head; k < sizeof(bytes); k++) {
            bytes[k] = (uint8_t)coh_rng_next(&rng);
        }
        int fd = dial(ports[0]);
        (void)send(fd, bytes, 1 + coh_rng_below(&rng, sizeof(bytes)), MSG_NOSIGNAL);
        close(fd);
    }
    is_served();
}

/* The first octets of a real handshake. */
static coh_buf_t client_hello(void)
{
    coh_buf_t out = COH_BUF_INIT;
    SSL_CTX *ctx  = SSL_CTX_new(TLS_client_method());
    SSL *ssl      = SSL_new(ctx);
    BIO *to       = BIO_new(BIO_s_mem());
    BIO *from     = BIO_new(BIO_s_mem());
    assert_non_null(from);
    SSL_set_bio(ssl, from, to);
    assert_int_not_equal(SSL_connect(ssl), 1);
    char *p = NULL;
    long n  = BIO_get_mem_data(to, &p);
    assert_true(n > 100);
    coh_buf_put(&out, p, (size_t)n);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    return out;
}

static void tls_unfinished_handshakes_end(void **state)
{
    (void)state;
    coh_buf_t hello = client_hello();
    int fds[300];
    for (size_t i = 0; i < COH_CNT(fds);
         i++) { /* nothing, half of it, all of it and then nothing */
        fds[i]   = dial(coh_gateway_http_port(gw));
        size_t n = i % 3 == 0 ? 0 : i % 3 == 1 ? hello.n / 2 : hello.n;
        assert_int_equal(send(fds[i], hello.p, n, MSG_NOSIGNAL), n);
    }
    is_served();
    for (size_t i = 0; i < COH_CNT(fds); i++) {
        expect_close(fds[i]);
    }
    /* One that never pauses for long, and never ends. */
    int fd      = dial(coh_gateway_http_port(gw));
    size_t sent = 0;
    for (; sent < hello.n; sent++) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (send(fd, hello.p + sent, 1, MSG_NOSIGNAL) != 1 || poll(&p, 1, 100) != 0) {
            break;
        }
    }
    assert_true(sent < hello.n);
    expect_close(fd);
    coh_buf_free(&hello);
    is_served();
}

/* Behind a good handshake the bounds are those of connections in the clear. */
static void tls_slow_requests_end(void **state)
{
    (void)state;
    static char const head[] = "POST / HTTP/1.1\r\nHost: localhost\r\nX: ";
    SSL *ssl                 = dial_tls(coh_gateway_http_port(gw), 0);
    say(ssl, head, sizeof(head) - 1);
    int i = 0;
    for (; i < 600; i++) {
        struct pollfd p = {.fd = SSL_get_fd(ssl), .events = POLLIN};
        char octet;
        if (SSL_write(ssl, "x", 1) != 1) {
            break;
        }
        if (poll(&p, 1, 50) != 0 && recv(p.fd, &octet, 1, MSG_PEEK) <= 0) {
            break;
        }
    }
    assert_true(i < 600);
    close(SSL_get_fd(ssl));
    SSL_free(ssl);
    is_served();
}

static void tls_stops(void **state)
{
    (void)state;
    SSL *ws  = dial_ws();
    int idle = dial(coh_gateway_http_port(gw));
    coh_gateway_http_stop(gw);
    assert_true(hear(ws, NULL));
    close(SSL_get_fd(ws));
    SSL_free(ws);
    close(idle);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(tls_files),
        cmocka_unit_test(tls_versions),
        cmocka_unit_test(tls_http),
        cmocka_unit_test(tls_websocket),
        cmocka_unit_test(tls_refuses_what_is_none),
        cmocka_unit_test(tls_unfinished_handshakes_end),
        cmocka_unit_test(tls_slow_requests_end),
        cmocka_unit_test(tls_stops),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
