/* callrun.h: one call (CALL), executed piece by piece over what it is given of the state: whoever runs it looks up what it wants next, wherever that is, and gives it.

   new ─▶ run: WANTS(keys) ─give each─▶ run: SLICE ─▶ run: ... ─▶ run: DONE (result)

   What is known to be wanted before anything is executed (accounts that a simulation overrides, senders and receivers of a block) is wanted several keys at a time. So is what the execution of a
   block's transactions comes to: while one waits for a key, scouts (callrun_private.h) find out what those behind it will want. Everything else is wanted one by one.

   What an execution reads is kept, with the overrides laid over it: further executions of the same call (a search for a gas limit, the next transaction of a block) want only what is new.

   One thread at a time, but for coh_call_codes_t, which all calls share. */
#ifndef COH_CALLRUN_H
#define COH_CALLRUN_H

#include "common/node/call.h"
#include "common/wire/wire.h"
#include "shard/tracer.h"

/* What calls share: code analysed for them, few hundred at a time, for the blocks' own (codes.h) may be analysed for another fork; and the number of scouts. Any thread. */
typedef struct coh_call_codes coh_call_codes_t;
coh_call_codes_t *coh_call_codes_new(void);
void coh_call_codes_free(coh_call_codes_t *codes);

typedef struct {
    uint64_t gas_max;         /* of one execution; a signed transaction's is its own */
    uint64_t trace_bytes_max; /* of all traces */
    uint64_t slice;           /* instructions that one run executes, about */
    uint64_t seed;            /* of tables */
    uint32_t wanted_max;      /* keys at a time; 1 or more */
    bool any_sender;          /* of transactions that are traced (coh_block_env_t) */
} coh_call_limits_t;

typedef struct coh_call coh_call_t;

/* coh_call_new takes what m says (copied); codes is borrowed. NULL: it does not decode, or is more than a call may be. */
coh_call_t *coh_call_new(coh_msg_call_t const *m,
                         coh_call_limits_t const *limits,
                         coh_call_codes_t *codes);
void coh_call_free(coh_call_t *c);

typedef enum {
    COH_CALL_RUN_DONE,
    COH_CALL_RUN_WANTS, /* coh_call_wanted */
    COH_CALL_RUN_SLICE, /* call run again */
} coh_call_run_t;

coh_call_run_t coh_call_run(coh_call_t *c);
/* After WANTS: how many keys, and which; of kind ACCOUNT, SLOT, CODE (addr has it) or BLOCK_HASH. Each must be given, in any order, before the call is run again. */
uint32_t coh_call_wanted_cnt(coh_call_t const *c);
coh_key_t const *coh_call_wanted(coh_call_t const *c, uint32_t idx);
/* coh_call_give answers one: value, or code (copied), whose keccak256 the caller has checked. coh_call_end ends the call with an error instead: run says DONE next. */
void coh_call_give(coh_call_t *c, uint32_t idx, coh_value_t const *value, coh_bytes_t code);
void coh_call_end(coh_call_t *c, coh_call_err_t err);

/* After DONE; lives as long as c. */
coh_msg_call_result_t const *coh_call_result(coh_call_t *c);
/* Octets held. */
size_t coh_call_bytes(coh_call_t const *c);

#endif
