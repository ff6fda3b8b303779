#include "tests/support/jsonrpc.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/assert.h"

#define READ_SZ (1u << 18)

bool coh_test_rpc_open(coh_test_rpc_t *rpc, char const *host, uint16_t port, unsigned silence_s)
{
    *rpc          = (coh_test_rpc_t){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    int const one = 1;
    struct timeval patience = {.tv_sec = (time_t)silence_s};
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(port)};
    COH_ASSERT(rpc->fd >= 0 && inet_pton(AF_INET, host, &addr.sin_addr) == 1);
    if (connect(rpc->fd, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
        coh_test_rpc_close(rpc);
        return false;
    }
    (void)setsockopt(rpc->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    (void)setsockopt(rpc->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    (void)setsockopt(rpc->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    return true;
}

void coh_test_rpc_close(coh_test_rpc_t *rpc)
{
    (void)close(rpc->fd);
    coh_buf_free(&rpc->in);
    rpc->fd = -1;
}

static bool send_all(coh_test_rpc_t const *rpc, void const *p, size_t n)
{
    for (size_t at = 0; at < n;) {
        ssize_t sent = send(rpc->fd, (uint8_t const *)p + at, n - at, MSG_NOSIGNAL);
        if (sent <= 0) {
            return false;
        }
        at += (size_t)sent;
    }
    return true;
}

static bool receive(coh_test_rpc_t *rpc)
{
    coh_buf_grow(&rpc->in, READ_SZ);
    ssize_t n = recv(rpc->fd, rpc->in.p + rpc->in.n, rpc->in.cap - rpc->in.n, 0);
    if (n <= 0) {
        return false;
    }
    rpc->in.n += (size_t)n;
    return true;
}

void coh_test_rpc_put_request(coh_buf_t *out, coh_bytes_t body)
{
    coh_buf_printf(out,
                   "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                   "Content-Length: %zu\r\n\r\n",
                   body.n);
    coh_buf_put(out, body.p, body.n);
}

/* body_length reads Content-Length out of a head of n octets; SIZE_MAX: there is none. */
static size_t body_length(uint8_t const *head, size_t n)
{
    static char const name[] = "\r\ncontent-length:";
    for (size_t i = 0; i + sizeof(name) < n; i++) {
        if (strncasecmp((char const *)head + i, name, sizeof(name) - 1) == 0) {
            return strtoul((char const *)head + i + sizeof(name) - 1, NULL, 10);
        }
    }
    return SIZE_MAX;
}

bool coh_test_rpc_exchange(coh_test_rpc_t *rpc, coh_bytes_t *body, coh_bytes_t request)
{
    size_t head  = 0; /* with the empty line; 0: not whole yet */
    size_t total = SIZE_MAX;
    coh_buf_clear(&rpc->in);
    if (!send_all(rpc, request.p, request.n)) {
        return false;
    }
    while (rpc->in.n < total) {
        if (!receive(rpc)) {
            return false;
        }
        uint8_t const *end = head == 0 ? memmem(rpc->in.p, rpc->in.n, "\r\n\r\n", 4) : NULL;
        if (end != NULL) {
            head          = (size_t)(end - rpc->in.p) + 4;
            size_t length = body_length(rpc->in.p, head);
            if (length == SIZE_MAX) {
                return false;
            }
            total = head + length;
        }
    }
    *body = coh_bytes(rpc->in.p + head, total - head);
    return true;
}

bool coh_test_rpc_post(coh_test_rpc_t *rpc, coh_bytes_t *answer, coh_bytes_t body)
{
    coh_buf_t request = COH_BUF_INIT;
    coh_test_rpc_put_request(&request, body);
    bool ok = coh_test_rpc_exchange(rpc, answer, coh_buf_bytes(&request));
    coh_buf_free(&request);
    return ok;
}

/* ---- WebSockets ---- */

bool coh_test_ws_start(coh_test_rpc_t *rpc)
{
    static char const request[] =
        "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    if (!send_all(rpc, request, sizeof(request) - 1)) {
        return false;
    }
    for (;;) {
        if (!receive(rpc)) {
            return false;
        }
        uint8_t const *end = memmem(rpc->in.p, rpc->in.n, "\r\n\r\n", 4);
        if (end != NULL) {
            rpc->at = (size_t)(end - rpc->in.p) + 4;
            return memmem(rpc->in.p, rpc->at, " 101 ", 5) != NULL;
        }
    }
}

bool coh_test_ws_send(coh_test_rpc_t *rpc, coh_bytes_t text)
{
    static uint8_t const mask[4] = {0x5a, 0x17, 0xc3, 0x88}; /* a client must mask, 5.3 */
    coh_buf_t frame              = COH_BUF_INIT;
    COH_ASSERT(text.n < 65536);
    coh_buf_put_u8(&frame, 0x81);
    if (text.n < 126) {
        coh_buf_put_u8(&frame, (uint8_t)(0x80u | text.n));
    } else {
        coh_buf_put_u8(&frame, 0x80 | 126);
        coh_buf_put_u8(&frame, (uint8_t)(text.n >> 8));
        coh_buf_put_u8(&frame, (uint8_t)text.n);
    }
    coh_buf_put(&frame, mask, sizeof(mask));
    for (size_t i = 0; i < text.n; i++) {
        coh_buf_put_u8(&frame, (uint8_t)(text.p[i] ^ mask[i % sizeof(mask)]));
    }
    bool ok = send_all(rpc, frame.p, frame.n);
    coh_buf_free(&frame);
    return ok;
}

/* take_frame takes one whole frame off what was received; false: there is none. */
static bool take_frame(coh_test_rpc_t *rpc, uint8_t *opcode, coh_bytes_t *text)
{
    uint8_t const *p = rpc->in.p + rpc->at;
    size_t n         = rpc->in.n - rpc->at;
    if (n < 2) {
        return false;
    }
    size_t head   = 2;
    size_t length = p[1] & 0x7fu;
    if (length >= 126) {
        head += length == 126 ? 2 : 8;
        length = 0;
        for (size_t i = 2; i < head && head <= n; i++) {
            length = length << 8 | p[i];
        }
    }
    if (n < head || n - head < length) {
        return false;
    }
    *opcode = p[0] & 0x0fu;
    *text   = coh_bytes(p + head, length);
    rpc->at += head + length;
    return true;
}

int coh_test_ws_next(coh_test_rpc_t *rpc, coh_bytes_t *text, int wait_ms)
{
    uint8_t opcode;
    for (;;) {
        while (take_frame(rpc, &opcode, text)) {
            if (opcode == 0x1) {
                return 1;
            }
            if (opcode == 0x8) {
                return -1;
            }
        }
        if (rpc->at > 0) {
            memmove(rpc->in.p, rpc->in.p + rpc->at, rpc->in.n - rpc->at);
            rpc->in.n -= rpc->at;
            rpc->at = 0;
        }
        struct pollfd ready = {.fd = rpc->fd, .events = POLLIN};
        if (poll(&ready, 1, wait_ms) <= 0) {
            return 0;
        }
        if (!receive(rpc)) {
            return -1;
        }
    }
}

uint32_t coh_test_count(coh_bytes_t text, char const *what)
{
    uint32_t n           = 0;
    size_t len           = strlen(what);
    uint8_t const *end   = text.p + text.n;
    uint8_t const *found = text.p;
    while ((found = memmem(found, (size_t)(end - found), what, len)) != NULL) {
        n++;
        found += len;
    }
    return n;
}
