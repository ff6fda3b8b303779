/* rpc_private.h: the inside of rpc.h, shared by rpc.c (requests, calls, asks), rpc_eth.c (chain, state, transactions, pool), rpc_call.c (calls and traces), rpc_simulate.c (eth_simulateV1),
   rpc_logs.c (logs, filters, subscriptions), rpc_cohort.c (Cohort's own), and rpc_dev.c (dev chains). */
#ifndef COH_RPC_PRIVATE_H
#define COH_RPC_PRIVATE_H

#include "coordinator/gateway/rpc.h"
#include "coordinator/gateway/rpc_format.h"

/* Values in the JSON of one request. */
#define COH_RPC_VALUES_MAX 200000u
#define COH_RPC_DEPTH_MAX  32u
/* Blocks with their bodies kept at hand. */
#define COH_RPC_CACHE_CNT 16u
/* Traces and simulations under way: each holds a block's transactions, and comes back with up to call.trace_bytes_max. */
#define COH_RPC_TRACES_MAX 16u
/* Keys of all proofs under way, counting one more for each: those of 16 of the largest. */
#define COH_RPC_PROOF_KEYS_MAX (16u * (COH_ASK_PROOF_SLOTS_MAX + 1u))
#define COH_RPC_ID_SZ          16u
#define COH_RPC_FILTERS_MAX    4096u
#define COH_RPC_FILTER_AGE_US  UINT64_C(300000000)
/* Logs of blocks that are gone, kept for filters until they are polled. */
#define COH_RPC_GONE_BYTES_MAX ((size_t)64 << 20)
#define COH_RPC_PEER_SUBS_MAX  128u
/* Hashes of pooled transactions remembered for filters. */
#define COH_RPC_POOLED_CNT 65536u
/* Criteria of one log filter. */
#define COH_RPC_CRITERIA_MAX 1000u
/* Octets of the criteria of all filters and subscriptions: each block is held against all of them. */
#define COH_RPC_CRITERIA_BYTES_MAX ((size_t)16 << 20)
#define COH_RPC_SYNC_MS            2000u
#define COH_RPC_PERCENTILES_MAX    100u

typedef struct coh_rpc_call coh_rpc_call_t;
typedef struct coh_rpc_request coh_rpc_request_t;

/* What an ask's owner points to first. */
typedef enum { COH_RPC_OWNER_CALL, COH_RPC_OWNER_PUMP, COH_RPC_OWNER_POOLED } coh_rpc_owner_t;

typedef void coh_rpc_method_fn(coh_rpc_t *rpc, coh_rpc_call_t *call, json_t const *params);
/* Goes on with what was asked; ask is freed afterwards. */
typedef void coh_rpc_step_fn(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_ask_t *ask);
/* Goes on with a block, borrowed for the call; NULL: there is no such block. */
typedef void coh_rpc_block_fn(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_rpc_block_t *block);

typedef enum { COH_RPC_PUBLIC, COH_RPC_PRIVATE, COH_RPC_DEV } coh_rpc_access_t;

typedef struct {
    char const *name;
    coh_rpc_method_fn *fn;
    uint32_t min, max;
    coh_rpc_access_t access;
} coh_rpc_method_t;

/* What a call about a block or a transaction shows of it. */
typedef enum {
    COH_RPC_SHOW_BLOCK,
    COH_RPC_SHOW_FULL_BLOCK,
    COH_RPC_SHOW_HEADER,
    COH_RPC_SHOW_RECEIPTS,
    COH_RPC_SHOW_TX_CNT,
    COH_RPC_SHOW_UNCLE_CNT,
    COH_RPC_SHOW_UNCLE,
    COH_RPC_SHOW_TX,
    COH_RPC_SHOW_RAW_TX,
    COH_RPC_SHOW_RECEIPT,
    COH_RPC_SHOW_RAW_BLOCK,
    COH_RPC_SHOW_RAW_HEADER,
    COH_RPC_SHOW_RAW_RECEIPTS,
} coh_rpc_show_t;

struct coh_rpc_call {
    coh_rpc_owner_t owner;
    coh_rpc_request_t *req;
    coh_rpc_method_t const *method;
    coh_buf_t id;  /* JSON */
    coh_buf_t out; /* the result, or the error object */
    bool has_id;
    bool finished;
    bool is_error;
    coh_rpc_step_fn *step;
    coh_rpc_block_fn *on_block;
    coh_rpc_step_fn *after; /* what on_block asks goes on with it */
    /* The method's own. */
    coh_rpc_show_t show;
    coh_hash_t hash;
    uint64_t number;
    uint32_t idx;
    void *extra; /* owned; freed by extra_free */
    void (*extra_free)(void *extra);
    /* Waiting for its transaction to be committed. */
    bool waits;
    bool is_asking;
    uint64_t wait_until_us;
    coh_rpc_call_t *wait_prev;
    coh_rpc_call_t *wait_next;
};

struct coh_rpc_request {
    coh_rpc_t *rpc;
    coh_rpc_peer_t *peer; /* NULL: gone */
    coh_rpc_request_t *peer_prev, *peer_next;
    coh_rpc_request_t *due_prev, *due_next; /* by deadline */
    uint64_t due_us;
    bool is_batch;
    bool is_over;   /* answered, or nobody waits */
    uint32_t holds; /* asks under way, and whoever works on it */
    uint32_t cnt;
    uint32_t left; /* calls not finished */
    size_t out_bytes;
    coh_rpc_call_t calls[];
};

typedef enum {
    COH_RPC_SUB_HEADS,
    COH_RPC_SUB_LOGS,
    COH_RPC_SUB_RECEIPTS,
    COH_RPC_SUB_POOLED,
    COH_RPC_SUB_CNT
} coh_rpc_sub_kind_t;

typedef struct coh_rpc_sub {
    uint8_t id[COH_RPC_ID_SZ];
    coh_rpc_sub_kind_t kind;
    coh_rpc_peer_t *peer;
    coh_rpc_filter_t filter; /* LOGS */
    coh_hash_t *hashes;      /* owned; RECEIPTS: only of these, any if there are none */
    uint32_t hash_cnt;
    bool full; /* POOLED */
    struct coh_rpc_sub *peer_next;
    struct coh_rpc_sub *prev, *next; /* of its kind */
} coh_rpc_sub_t;

typedef enum {
    COH_RPC_FILTER_LOGS,
    COH_RPC_FILTER_BLOCKS,
    COH_RPC_FILTER_POOLED
} coh_rpc_filter_kind_t;

typedef struct {
    uint8_t id[COH_RPC_ID_SZ];
    coh_rpc_filter_kind_t kind;
    coh_rpc_filter_t filter;
    uint64_t from, to; /* LOGS: blocks that it is about */
    bool floats;       /* LOGS: from is where the head was, not a block that the client named */
    coh_buf_t gone;    /* LOGS: logs told before whose blocks are gone, JSON, with commas between */
    uint64_t seen;     /* LOGS, BLOCKS: last block told */
    uint64_t pooled_no; /* POOLED: hashes told, of all there were */
    uint64_t used_us;
} coh_rpc_filter_entry_t;

struct coh_rpc_peer {
    coh_rpc_t *rpc;
    bool subscribes;
    bool trusted;
    coh_rpc_send_fn *send;
    void *arg;
    coh_rpc_request_t *requests; /* linked by peer_next */
    uint32_t open_cnt;
    coh_rpc_sub_t *subs;
    uint32_t sub_cnt;
};

typedef struct coh_rpc_dev coh_rpc_dev_t;

struct coh_rpc {
    coh_rpc_deps_t d;
    coh_rpc_dev_t *dev; /* owned; NULL: no dev chain */
    uint64_t now_us;
    coh_rpc_method_t const **by_name; /* owned; sorted */
    uint32_t call_cnt;                /* not finished */
    coh_rpc_request_t *due_first, *due_last;
    coh_ask_t *out_first, *out_last; /* to post */
    coh_ask_t *submit;               /* being gathered */
    uint32_t trace_cnt;              /* under way */
    uint32_t proof_keys;             /* COH_RPC_PROOF_KEYS_MAX */

    coh_sealed_t *head; /* a reference; NULL until the first */
    coh_block_env_t next;
    coh_u256_t tip; /* suggested */
    coh_rpc_block_t
        *cache[COH_RPC_CACHE_CNT]; /* with bodies, or from disk; most recently used first */

    coh_rpc_sub_t *subs[COH_RPC_SUB_CNT];
    coh_rpc_owner_t pump; /* asks for blocks to tell of */
    bool is_pumping;
    bool pump_bodies;        /* the next block is told of with its bodies */
    uint64_t told;           /* last block that subscribers were told of */
    coh_rpc_call_t *waiting; /* linked by wait_next */

    coh_rpc_filter_entry_t *filters; /* owned */
    uint32_t filter_cnt;
    size_t gone_bytes;     /* in all filters' gone */
    size_t criteria_bytes; /* of filters and subscriptions */
    coh_hash_t *pooled;    /* owned; ring */
    uint64_t pooled_no;
    uint32_t pooled_wanted; /* filters and subscriptions */
    coh_rpc_owner_t pooled_owner;
    uint32_t pooled_asks;
};

/* ---- calls ---- */

/* coh_rpc_done: out holds the result. coh_rpc_fail: the call fails; data: JSON for the error's data, or NULL. */
void coh_rpc_done(coh_rpc_call_t *call);
COH_PRINTF(3, 4) void coh_rpc_fail(coh_rpc_call_t *call, int code, char const *fmt, ...);
void coh_rpc_fail_data(coh_rpc_call_t *call, int code, char const *text, char const *data);
void coh_rpc_fail_fault(coh_rpc_call_t *call, coh_rpc_fault_t const *fault);
/* coh_rpc_fail_err: the coordinator could not answer. */
void coh_rpc_fail_err(coh_rpc_call_t *call, coh_err_t err);
void coh_rpc_null(coh_rpc_call_t *call);
/* coh_rpc_is_full fails the call if its answer has become too large. */
bool coh_rpc_is_full(coh_rpc_call_t *call);
/* coh_rpc_post asks for call, which goes on with step. */
void coh_rpc_post(coh_rpc_call_t *call, coh_ask_t *ask, coh_rpc_step_fn *step);
void coh_rpc_post_for(coh_rpc_t *rpc, coh_ask_t *ask, void *owner);
/* coh_rpc_submit hands a transaction in; the call goes on in coh_rpc_take_verdict. */
void coh_rpc_submit(coh_rpc_call_t *call, coh_bytes_t raw);
void coh_rpc_take_verdict(coh_rpc_call_t *call, coh_ask_verdict_t const *verdict, coh_bytes_t raw);
void coh_rpc_wait_for_tx(coh_rpc_call_t *call);
void coh_rpc_stop_waiting(coh_rpc_call_t *call);
void coh_rpc_ask_waiting(coh_rpc_t *rpc);

/* Reads argument idx with get, or fails the call and returns. */
#define COH_RPC_READ(get, out, call, params, idx)                           \
    do {                                                                    \
        coh_rpc_fault_t fault_;                                             \
        if (!get((out), json_array_get((params), (idx)), (idx), &fault_)) { \
            coh_rpc_fail_fault((call), &fault_);                            \
            return;                                                         \
        }                                                                   \
    } while (0)

/* ---- blocks (rpc_eth.c) ---- */

/* coh_rpc_cached returns a block at hand, with bodies if wanted, borrowed; or NULL. */
coh_rpc_block_t *coh_rpc_cached(coh_rpc_t *rpc, uint64_t number, bool bodies);
/* coh_rpc_take_block makes a block of an answered ask of kind BLOCK, borrowed until the next; NULL if there is none, with *err. */
coh_rpc_block_t *coh_rpc_take_block(coh_rpc_t *rpc, coh_ask_t *ask, coh_err_t *err);
/* coh_rpc_ask_block asks for a block by number; the call goes on with on_block. */
void coh_rpc_ask_block(coh_rpc_call_t *call,
                       uint64_t number,
                       bool bodies,
                       coh_rpc_block_fn *on_block);
/* coh_rpc_with_block goes on with the block that at means: at once if it is at hand. coh_rpc_ask_for_tx asks where the transaction call->hash is. */
void coh_rpc_with_block(coh_rpc_t *rpc,
                        coh_rpc_call_t *call,
                        coh_rpc_at_t const *at,
                        bool bodies,
                        coh_rpc_block_fn *on_block);
void coh_rpc_ask_for_tx(coh_rpc_call_t *call, coh_rpc_step_fn *step);
/* coh_rpc_fail_gone: the state of block is not remembered any more. */
void coh_rpc_fail_gone(coh_rpc_call_t *call, uint64_t block);
/* coh_rpc_at_number: the number that at means, but for hashes. */
uint64_t coh_rpc_at_number(coh_rpc_t const *rpc, coh_rpc_at_t const *at);
/* The suggested tip after block. */
void coh_rpc_suggest_tip(coh_rpc_t *rpc, coh_sealed_t const *block);

/* coh_rpc_read_tx (rpc_call.c) reads a transaction that nobody signed; gas is 0 if it is not given, and what is not given of fees. tx borrows from data, access_list and auth_list, which are replaced; of blobs it has only
   the number. */
bool coh_rpc_read_tx(coh_rpc_t const *rpc,
                     coh_tx_t *tx,
                     coh_addr_t *from,
                     coh_buf_t *data,
                     coh_buf_t *access_list,
                     coh_buf_t *auth_list,
                     json_t const *args,
                     coh_rpc_fault_t *fault);
/* coh_rpc_ask_nonce asks for the nonce behind the transactions of addr in the pool: step finds it in values[0]. */
void coh_rpc_ask_nonce(coh_rpc_call_t *call, coh_addr_t const *addr, coh_rpc_step_fn *step);
/* coh_rpc_fail_verdict: the pool refused raw. */
void coh_rpc_fail_verdict(coh_rpc_call_t *call, coh_ask_verdict_t const *v, coh_bytes_t raw);

/* ---- dev chains (rpc_dev.c) ---- */

coh_rpc_dev_t *coh_rpc_dev_new(void);
void coh_rpc_dev_free(coh_rpc_dev_t *dev);
void coh_rpc_dev_put_accounts(coh_rpc_dev_t const *dev, coh_buf_t *out);
/* coh_rpc_dev_wait ends the call with the hash of a transaction, once that is in a block if blocks are made at once. */
void coh_rpc_dev_wait(coh_rpc_call_t *call, coh_hash_t const *hash);

/* ---- logs, filters, subscriptions (rpc_logs.c) ---- */

bool coh_rpc_has_subs(coh_rpc_t const *rpc); /* to blocks */
void coh_rpc_tell_of(coh_rpc_t *rpc, coh_ask_t *ask);
void coh_rpc_tell_pooled(coh_rpc_t *rpc, coh_ask_t *ask);
void coh_rpc_end_subs(coh_rpc_peer_t *peer);
void coh_rpc_age_filters(coh_rpc_t *rpc);

#define COH_RPC(method, function, min, max, access) coh_rpc_method_fn coh_rpc_do_##function;
#include "coordinator/gateway/rpc_methods.def"
#undef COH_RPC

#endif
