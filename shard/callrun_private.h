/* callrun_private.h: the inside of callrun.h, shared by callrun.c and simulate.c. */
#ifndef COH_CALLRUN_PRIVATE_H
#define COH_CALLRUN_PRIVATE_H

#include "common/chain/access_list.h"
#include "shard/callrun.h"

typedef struct coh_simulation coh_simulation_t;

typedef struct {
    bool is_step;
    coh_tx_t tx; /* both borrow from the call's bytes */
    coh_step_t step;
    coh_addr_t sender;
} call_tx_t;

typedef struct {
    coh_addr_t addr;
    uint32_t fields;
    uint64_t nonce;
    coh_u256_t balance;
    coh_bytes_t code; /* in the call's bytes */
} override_t;

typedef struct {
    coh_addr_t addr;
    coh_u256_t slot;
    coh_u256_t value;
} override_slot_t;

/* A key that is wanted, and what was given. */
typedef struct {
    coh_key_t key;
    bool given;
    coh_value_t value;
    coh_buf_t code;
} wish_t;

/* scouts.c */
typedef struct coh_scouts coh_scouts_t;

typedef enum {
    STAGE_BEGIN,
    STAGE_RUN,
    STAGE_TRACE,
    STAGE_APPLY,
    STAGE_PLAIN,  /* ESTIMATE: as a plain transfer */
    STAGE_FIRST,  /* ESTIMATE: with all the gas there is */
    STAGE_HOPE,   /* ESTIMATE: with what the first run lets hope for */
    STAGE_SEARCH, /* ESTIMATE: with what lies between */
    STAGE_DONE,
} stage_t;

struct coh_call {
    coh_view_t view; /* first: it is cast back */
    coh_call_limits_t limits;
    coh_call_codes_t *shared;
    coh_call_mode_t mode;
    coh_block_env_t env;
    coh_buf_t bytes;
    call_tx_t *txs;
    uint32_t tx_cnt;
    override_t *overrides;
    uint32_t override_cnt;
    override_slot_t *slots;
    uint32_t slot_cnt;

    coh_overlay_t state;      /* of a key CODE the value's nonce is its number among codes */
    coh_code_t const **codes; /* a reference each */
    uint32_t code_cnt, code_cap;
    size_t code_bytes;

    bool
        wants; /* the execution itself, or accounts ahead of it; what scouts want comes behind it */
    wish_t *wanted; /* owned */
    uint32_t wanted_cnt, wanted_cap;
    uint32_t left;        /* of them that are not given */
    coh_scouts_t *scouts; /* NULL: none yet */
    uint32_t end;         /* behind the last transaction that scouts look at; 0: none does */
    bool scouting;        /* the execution waits for them */
    bool is_overridden;   /* overrides hold: what comes of their accounts is changed by them */
    bool has_last_env;
    coh_block_env_t last_env; /* TRACE: of the last transaction */
    uint32_t ahead;           /* senders and receivers asked for ahead, two for each transaction */

    stage_t stage;
    uint32_t idx; /* of the transaction under way */
    coh_tx_t tx;  /* as it is executed */
    coh_transition_t *transition;
    coh_call_tracer_t *tracer;
    uint32_t traced;
    uint64_t lo, hi, gas; /* ESTIMATE */
    uint32_t ratio;
    uint32_t access_cnt;
    coh_buf_t access_list;

    coh_msg_call_result_t result;
    coh_buf_t output;
    coh_buf_t logs;
    coh_buf_t *traces;
    coh_rec_trace_t *trace_recs;
    uint32_t trace_cnt;
    size_t trace_bytes;

    coh_evm_move_t *moves;
    uint32_t move_cnt;
    coh_simulation_t *sim;       /* SIMULATE */
    coh_access_list_t *accesses; /* ACCESSES */
};

/* Comes back from the function around unless e is DONE, and if that has ended the call c. */
#define RUN_TRY(e)                       \
    do {                                 \
        coh_call_run_t run_ = (e);       \
        if (run_ != COH_CALL_RUN_DONE) { \
            return run_;                 \
        }                                \
        if (c->stage == STAGE_DONE) {    \
            return COH_CALL_RUN_DONE;    \
        }                                \
    } while (0)

/* The number of a code among c->codes; takes the reference. */
uint32_t coh_call_add_code(coh_call_t *c, coh_code_t const *code);
/* The value of key, as far as it is at hand; NEED: it is wanted. */
coh_view_status_t coh_call_find(void *c, coh_value_t *out, coh_key_t const *key);
/* coh_call_want asks for a key beside what is wanted already, unless that is wanted too; false: no more can be asked for at a time. */
bool coh_call_want(coh_call_t *c, coh_key_t const *key);
/* coh_call_want_account asks for an account likewise, unless it is at hand. */
bool coh_call_want_account(coh_call_t *c, coh_addr_t const *addr);
/* coh_call_code finds code at hand, of this call or of all; NULL: *wanted is the key to ask for. */
coh_code_t const *coh_call_code(coh_call_t *c,
                                coh_key_t *wanted,
                                coh_addr_t const *addr,
                                coh_hash_t const *hash);
/* coh_call_want_parties asks for the accounts of all transactions' senders and receivers, part by part. */
coh_call_run_t coh_call_want_parties(coh_call_t *c);
/* coh_call_slots_of returns where the overrides of addr's slots begin, and how many they are. */
override_slot_t const *coh_call_slots_of(coh_call_t const *c,
                                         coh_addr_t const *addr,
                                         uint32_t *cnt);
/* What a call returned; of a creation that succeeded the code that it deployed. Lives as long as o. */
coh_bytes_t coh_call_output(coh_outcome_t const *o);
/* Goes on with the transition: DONE, or how run comes back. */
coh_call_run_t coh_call_execute(coh_call_t *c);
coh_call_run_t coh_call_fail(coh_call_t *c, coh_call_err_t err);

/* ---- scouts.c: what the transactions ahead will want ----

   While an execution of many transactions waits for a key, scouts execute those behind it, each for itself, on what is known of the state before the block, until each wants a key
   too. All of these are asked for together. So a block costs as many round trips as its transactions want keys one after the other, divided by the number of scouts. What a scout computes
   is thrown away: with the effects of transactions before it missing it may be wrong, and then the execution itself asks for what it missed. */

/* The number of scouts that all calls have together. Any thread. */
_Atomic uint32_t *coh_call_scout_cnt(coh_call_t const *c);

/* coh_call_scout lets scouts look ahead from the transaction under way to c->end, adding to what is wanted; false: the slice is over, call it again. */
bool coh_call_scout(coh_call_t *c);
void coh_scouts_free(coh_scouts_t *s);
size_t coh_scouts_bytes(coh_scouts_t const *s);

/* ---- simulate.c ---- */

/* coh_simulation_new takes what is particular to SIMULATE; false: it is more than a call may be. coh_simulation_run is coh_call_run's. */
bool coh_simulation_new(coh_call_t *c, coh_msg_call_t const *m);
void coh_simulation_free(coh_simulation_t *sim);
coh_call_run_t coh_simulation_run(coh_call_t *c);
size_t coh_simulation_bytes(coh_simulation_t const *sim);
void coh_simulation_result(coh_simulation_t *sim, coh_msg_call_result_t *out);

#endif
