/* rpc.h: Ethereum's JSON-RPC without its sockets: texts of requests in, texts of answers and notifications out. It parses, checks, looks the method up in
   rpc_methods.def, asks the coordinator (coordinator/ask.h) for what the method needs, and formats what comes back. A method may be answered at once or later; a
   request's answer is sent when all of its calls are.

   REQUEST ─parse─▶ calls, each: RUNNING ─▶ FINISHED
                                   │  ▲         ▲
                     post(ask) ────┘  │answered │ time is up, or its peer has gone (what is asked then comes back to nobody)
                                      └─────────┘

   Bounds: size of a request (the caller's), depth and values of its JSON, calls of a batch, calls in flight, octets of an answer, blocks of a log search, filters,
   subscriptions of a peer. Transactions handed in until coh_rpc_flush go to the coordinator as one batch, whoever sent them.

   All functions: the one thread of the JSON-RPC face. */
#ifndef COH_RPC_H
#define COH_RPC_H

#include "common/config/config.h"
#include "common/config/genesis.h"
#include "common/obs/metrics.h"
#include "coordinator/ask.h"

typedef struct coh_rpc coh_rpc_t;
typedef struct coh_rpc_peer coh_rpc_peer_t;

typedef struct {
    coh_config_t const *config; /* borrowed until free, as all here */
    coh_genesis_t const *genesis;
    coh_metrics_t *metrics; /* may be NULL */
    /* Takes a list of asks, linked by next, to the coordinator. */
    void (*post)(void *arg, coh_ask_t *first);
    /* Tells whether transactions taken into the pool are to be told by coh_rpc_pooled. */
    void (*want_pooled)(void *arg, bool wanted);
    void *arg;
} coh_rpc_deps_t;

coh_rpc_t *coh_rpc_new(coh_rpc_deps_t const *deps);
/* Peers are freed before. Asks under way are not waited for: the caller hands those that come back later to coh_rpc_discard, which frees them. */
void coh_rpc_free(coh_rpc_t *rpc);
void coh_rpc_discard(coh_ask_t *first);

/* Takes a text: the answer to a request (empty if it asked for none), or a notification. May not free the peer. text is the callee's. */
typedef void coh_rpc_send_fn(void *arg, coh_buf_t *text, bool is_answer);

/* coh_rpc_peer_new makes a peer: a WebSocket connection, or one HTTP request. subscribes: notifications can be sent; trusted: it may call what is private. */
coh_rpc_peer_t *coh_rpc_peer_new(coh_rpc_t *rpc,
                                 bool subscribes,
                                 bool trusted,
                                 coh_rpc_send_fn *send,
                                 void *arg);
/* coh_rpc_peer_free ends its subscriptions; what it has asked is answered to nobody. */
void coh_rpc_peer_free(coh_rpc_peer_t *peer);
/* Requests not answered yet. */
uint32_t coh_rpc_peer_open_cnt(coh_rpc_peer_t const *peer);

/* coh_rpc_request takes one request text, borrowed for the call; it is answered by exactly one send, maybe before this returns. */
void coh_rpc_request(coh_rpc_peer_t *peer, coh_bytes_t text);
/* coh_rpc_flush posts what was asked since the last flush. */
void coh_rpc_flush(coh_rpc_t *rpc);

/* coh_rpc_answered takes a list of asks that are done. */
void coh_rpc_answered(coh_rpc_t *rpc, coh_ask_t *first);
/* coh_rpc_head takes a reference to the new head; to be called before the asks that were answered after it. */
void coh_rpc_head(coh_rpc_t *rpc, coh_sealed_t *head, coh_block_env_t const *next);
/* coh_rpc_gone: a dev chain has gone back, and these blocks (taken, with the references) are not in it any more: ascending, one going back after the other. To be called before the head that
   followed, and after the asks that were answered before. Logs that were told of them are told again as removed; heads go on behind the one that is left. */
void coh_rpc_gone(coh_rpc_t *rpc, coh_sealed_t **blocks, size_t cnt);
void coh_rpc_pooled(coh_rpc_t *rpc, coh_hash_t const *hashes, size_t cnt);
/* coh_rpc_tell tells subscribers of the next block that they have not been told of, if it is at hand, and asks for it otherwise. True if there is another one: whoever has
   sent what came of this one calls again. So subscribers, however many, hold up calls by one block at most, and a sender that falls behind loses nothing. */
bool coh_rpc_tell(coh_rpc_t *rpc);

/* coh_rpc_tick ends what has waited too long. Returns in how many ms to call again, at most 1000. */
uint32_t coh_rpc_tick(coh_rpc_t *rpc, uint64_t now_us);

#endif
