/* jsonrpc.h: the client's side of JSON-RPC for tests and benches: HTTP requests on one kept connection, and WebSockets. Texts are written and read by the caller; nothing is
   parsed but what ends an answer. It trusts the server: lengths that it says are read. Each connection is for one thread. */
#ifndef COH_TEST_JSONRPC_H
#define COH_TEST_JSONRPC_H

#include "common/base/buf.h"

typedef struct {
    int fd;
    coh_buf_t in; /* what was received: an answer with its head, or frames */
    size_t at;    /* WebSocket: where the next frame begins */
} coh_test_rpc_t;

/* coh_test_rpc_open connects to host (dotted) and port; false: nobody listens. After silence_s seconds without an octet a connection counts as lost. */
bool coh_test_rpc_open(coh_test_rpc_t *rpc, char const *host, uint16_t port, unsigned silence_s);
void coh_test_rpc_close(coh_test_rpc_t *rpc);

/* coh_test_rpc_put_request appends the whole HTTP request that posts body. */
void coh_test_rpc_put_request(coh_buf_t *out, coh_bytes_t body);
/* coh_test_rpc_exchange sends such a request and reads the answer, whose body is borrowed until the next one. False: the connection is lost. */
bool coh_test_rpc_exchange(coh_test_rpc_t *rpc, coh_bytes_t *body, coh_bytes_t request);
/* coh_test_rpc_post does both. */
bool coh_test_rpc_post(coh_test_rpc_t *rpc, coh_bytes_t *answer, coh_bytes_t body);

/* coh_test_ws_start makes a fresh connection a WebSocket (RFC 6455). */
bool coh_test_ws_start(coh_test_rpc_t *rpc);
/* coh_test_ws_send sends one message, shorter than 65536 octets. */
bool coh_test_ws_send(coh_test_rpc_t *rpc, coh_bytes_t text);
/* coh_test_ws_next waits up to wait_ms for a message, borrowed until the next call. 1: there is one; 0: none yet; -1: the connection is lost, or the server has ended it. */
int coh_test_ws_next(coh_test_rpc_t *rpc, coh_bytes_t *text, int wait_ms);

/* coh_test_count tells how often what stands in text. */
uint32_t coh_test_count(coh_bytes_t text, char const *what);

#endif
