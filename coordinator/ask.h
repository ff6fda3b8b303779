/* ask.h: what the JSON-RPC face asks of the coordinator, as plain values: a thread of its own parses and formats, the communication thread only looks up. So
   an ask says what is wanted, and comes back with references to blocks, copies of transactions, values of state; a block that is no longer in memory comes as its decision
   record, for the asker to decode.

   coh_ask_new, fill in ─coh_coordinator_ask─▶ done(arg, ask), once, now or later ─▶ coh_ask_free, by any thread

   Decision records are large: only COH_ASK_RECORDS_MAX exist at a time, from the start of their reading until their ask is freed; further asks wait. */
#ifndef COH_ASK_H
#define COH_ASK_H

#include <stdatomic.h>

#include "common/node/call.h"
#include "common/state/key.h"
#include "common/wire/wire.h"
#include "coordinator/seal.h"

#define COH_ASK_RECORDS_MAX 32u
/* Headers of one ask. */
#define COH_ASK_HEADERS_MAX 256u
/* Proofs that are made at a time; further asks for some wait. */
#define COH_ASK_PROOFS_MAX 32u
/* Slots of one proof, here and for GET_PROOF. */
#define COH_ASK_PROOF_SLOTS_MAX 1024u

typedef enum {
    COH_ASK_SUBMIT,  /* hand in signed transactions */
    COH_ASK_STATE,   /* accounts, slots, codes of committed state */
    COH_ASK_PROOF,   /* of an account and slots of committed state (EIP-1186) */
    COH_ASK_CALL,    /* execution on committed state (calls.h) */
    COH_ASK_ROOT,    /* the state root if accounts and slots of committed state were so */
    COH_ASK_BLOCK,   /* a committed block, by number or hash */
    COH_ASK_TX,      /* where a transaction is */
    COH_ASK_HEADERS, /* of consecutive committed blocks */
    COH_ASK_POOL,    /* what waits in the pool */
    COH_ASK_SHARDS,  /* JSON about shards, or about who owns an account */
    COH_ASK_DEV,     /* of a dev chain (dev.h); COH_ENOTFOUND: it is none */
    COH_ASK_STATS,   /* JSON about how a block was executed */
} coh_ask_kind_t;

/* Octets in coh_ask_t.bytes. */
typedef struct {
    size_t at;
    size_t n;
} coh_ask_part_t;

/* What became of a transaction handed in. */
typedef struct {
    coh_tx_err_t err;
    coh_hash_t hash;
    bool has_account; /* the pool knows the sender's account: */
    uint64_t nonce;   /* the next one it would take */
    coh_u256_t balance;
} coh_ask_verdict_t;

typedef struct {
    coh_hash_t hash;
    coh_addr_t sender;
    bool is_ready;
    coh_ask_part_t raw;
} coh_ask_pooled_t;

typedef struct {
    bool found;
    coh_hash_t hash;
    coh_ask_part_t rlp;
} coh_ask_header_t;

typedef enum {
    COH_ASK_TX_UNKNOWN,
    COH_ASK_TX_PENDING,   /* sender; bytes hold the raw transaction */
    COH_ASK_TX_DROPPED,   /* verdict */
    COH_ASK_TX_COMMITTED, /* number, idx */
} coh_ask_tx_state_t;

/* What simulated blocks have changed. */
typedef struct {
    coh_rec_sim_account_t *accounts; /* owned, as all here */
    uint32_t account_cnt;
    coh_rec_sim_slot_t *slots;
    uint32_t slot_cnt;
    coh_rec_sim_code_t *codes; /* pointing into bytes */
    uint32_t code_cnt;
    coh_buf_t bytes;
} coh_sim_state_t;

/* coh_sim_state_set makes state what a shard's result says; copied. */
void coh_sim_state_set(coh_sim_state_t *state, coh_msg_call_result_t const *result);
void coh_sim_state_free(coh_sim_state_t *state);

typedef struct coh_ask coh_ask_t;
struct coh_ask {
    coh_ask_kind_t kind;
    coh_err_t
        err; /* out: COH_OK; COH_ENOTFOUND no such block, or its state is not remembered any more; COH_EBUSY, COH_ECLOSED, COH_ECORRUPT, COH_EIO */
    void *owner;     /* the asker's own */
    coh_ask_t *next; /* whoever holds it */
    coh_buf_t bytes; /* in: raw transactions; out: by kind */
    union {
        struct {
            uint32_t cnt;
            uint32_t cap;
            coh_ask_part_t *raws;        /* owned */
            void **owners;               /* owned; the asker's own, by transaction */
            coh_ask_verdict_t *verdicts; /* owned; out */
        } submit;
        struct {
            uint32_t cnt;
            coh_key_t *keys;               /* owned; kind, addr, slot */
            coh_rec_state_value_t *values; /* owned, with the codes; out */
            uint64_t
                block; /* in: of which block, or COH_BLOCK_LATEST; out: the committed block that they belong to */
            bool pending; /* in: nonces behind the transactions in the pool */
        } state;
        struct {
            uint64_t block; /* in: of which block, or COH_BLOCK_LATEST; out: of which */
            coh_addr_t addr;
            uint32_t slot_cnt;               /* at most COH_ASK_PROOF_SLOTS_MAX */
            coh_u256_t *slots;               /* owned */
            bool *is_word;                   /* owned; the asker's own, by slot */
            coh_op_get_proof_answer_t is;    /* out: borrows from what follows, and from bytes */
            coh_op_storage_proof_t *storage; /* owned; out */
        } proof;
        struct {
            coh_msg_call_t m; /* in: the lists borrow from what follows, and from bytes */
            coh_rec_block_tx_t *txs;
            coh_rec_override_t *overrides; /* owned, as those before and after */
            coh_rec_override_slot_t *slots;
            uint32_t place; /* of the transaction by which the shard is chosen... */
            coh_addr_t at;  /* ...or of SIMULATE and ACCESSES the account by which it is */
            coh_msg_call_result_t result; /* out: err is a coh_call_err_t; borrows from bytes */
            coh_rec_trace_t *traces;      /* owned; out */
            coh_rec_precompile_t *moves;  /* owned; in */
            coh_rec_call_env_t last_env;  /* in, as m says */
            coh_buf_t given;              /* in: SIMULATE, as the next */
            coh_buf_t hashes;
            coh_sim_state_t before;
            coh_sim_state_t after;         /* out */
            coh_rec_sim_result_t *results; /* owned; out */
        } call;
        struct {
            uint64_t block;                  /* in */
            coh_rec_sim_account_t *accounts; /* owned; in, as the next */
            uint32_t account_cnt;
            coh_rec_sim_slot_t *slots; /* owned; of these accounts */
            uint32_t slot_cnt;
            coh_hash_t root; /* out */
        } root;
        struct {
            bool by_hash;
            coh_hash_t hash;
            uint64_t number;      /* in, or out */
            bool want_record;     /* in: with the transactions' bodies */
            coh_sealed_t *sealed; /* out: a reference; NULL: bytes hold the decision record */
        } block;
        struct {
            coh_hash_t hash;
            coh_ask_tx_state_t state;
            coh_tx_err_t verdict;
            coh_addr_t sender;
            uint64_t number;
            uint32_t idx;
            coh_sealed_t *sealed; /* a reference, if the block is in memory */
        } tx;
        struct {
            uint64_t first;
            uint32_t cnt;              /* 1..COH_ASK_HEADERS_MAX */
            coh_ask_header_t *headers; /* owned; out */
        } headers;
        struct {
            bool one_sender;
            coh_addr_t sender;
            uint32_t max;         /* in: transactions to copy; 0: only count */
            size_t bytes_max;     /* in: of their raw forms */
            uint32_t cnt;         /* out... */
            uint32_t pending_cnt; /* ...of all in the pool, or of the sender */
            uint32_t queued_cnt;
            bool is_cut;           /* there are more than max */
            coh_ask_pooled_t *txs; /* owned; out; by sender and nonce */
        } pool;
        struct {
            bool one_account;
            coh_addr_t addr;
        } shards; /* bytes: the text */
        struct {
            uint32_t op; /* coh_dev_kind_t, which tells what of the rest counts */
            uint64_t a, b;
            coh_addr_t addr;
            coh_hash_t hash;
            uint64_t result;           /* out */
            coh_ask_verdict_t verdict; /* out: of SEND */
            char text[160];            /* out: why it was refused; empty: it was not */
        } dev;
        struct {
            uint64_t number;
        } stats; /* likewise; null: of that block it is not known (any more) */
    } u;
    /* The coordinator's own. */
    coh_ask_t *prev_open;
    coh_ask_t *next_open;
    coh_ask_t *next_waiting;
    bool is_held;                 /* until a dev chain has changed its state */
    void *read;                   /* under way */
    _Atomic uint32_t *record_cnt; /* counts the record that it holds; NULL: it holds none */
};

coh_ask_t *coh_ask_new(coh_ask_kind_t kind);
void coh_ask_free(coh_ask_t *ask);
/* coh_ask_submit_add adds a transaction (copied) to an ask of kind SUBMIT. */
void coh_ask_submit_add(coh_ask_t *ask, coh_bytes_t raw, void *owner);

/* Who asks. All functions are called on the communication thread. */
typedef struct coh_asker {
    void (*done)(void *arg, coh_ask_t *ask);
    /* There is a new head; block is a reference, the callee's. next: the environment of the block that comes then, as of now. Called once before the
       first ask is answered. */
    void (*head)(void *arg, coh_sealed_t *block, coh_block_env_t const *next);
    /* NULL, or: a dev chain goes back, and block (a reference, the callee's) is not in it any more. Ascending, one going back after the other; the head is told afterwards. */
    void (*gone)(void *arg, coh_sealed_t *block);
    /* A transaction was taken into the pool. */
    void (*pooled)(void *arg, coh_hash_t const *hash);
    void *arg;
    _Atomic uint32_t *record_cnt; /* outlives coordinator and asks */
} coh_asker_t;

/* Asks under way, as the coordinator keeps them. */
typedef struct {
    coh_asker_t asker;        /* done is NULL: there is none */
    coh_ask_t *open;          /* linked by next_open */
    coh_ask_t *waiting_first; /* for their turn to read a record; linked by next_waiting */
    coh_ask_t *waiting_last;
    coh_ask_t *proofs_first; /* for their turn to be proved; linked likewise */
    coh_ask_t *proofs_last;
    uint32_t proof_cnt; /* being proved */
} coh_asks_t;

#endif
