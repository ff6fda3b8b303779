/* tracer.h: what a traced transaction did, as geth's tracers tell it in JSON: struct logs, callTracer, prestateTracer; and the accesses that an access list is made of. It listens to the EVM
   (common/evm/trace.h), and writes the text when the transaction is over.

   begin ─▶ hooks while it runs ─▶ finish: true, or false while it wants state that is not at hand: again then

   One thread at a time. */
#ifndef COH_CALL_TRACER_H
#define COH_CALL_TRACER_H

#include "common/evm/transition.h"
#include "common/node/call.h"
#include "shard/overlay.h"

typedef struct coh_call_tracer coh_call_tracer_t;

/* coh_call_tracer_new: flags are COH_TRACE_*; byte_max bounds what it keeps and writes: beyond it stops listening, and has overflown. limit: once the entries of struct logs are more octets, no more are added (0: all are). seed: of tables.
   coh_access_tracer_new collects accesses alone (EIP-2930, as geth's eth_createAccessList counts them). */
coh_call_tracer_t *coh_call_tracer_new(coh_tracer_kind_t kind,
                                       uint32_t flags,
                                       size_t byte_max,
                                       uint64_t limit,
                                       uint64_t seed);
coh_call_tracer_t *coh_access_tracer_new(size_t byte_max, uint64_t seed);
void coh_call_tracer_free(coh_call_tracer_t *t);

/* coh_call_tracer_begin forgets what was; tx, sender and block are borrowed until finish. */
void coh_call_tracer_begin(coh_call_tracer_t *t,
                           coh_tx_t const *tx,
                           coh_addr_t const *sender,
                           coh_block_env_t const *block);
coh_tracer_t *coh_call_tracer_hooks(coh_call_tracer_t *t);
bool coh_call_tracer_is_overflown(coh_call_tracer_t const *t);
/* Octets held. */
size_t coh_call_tracer_bytes(coh_call_tracer_t const *t);

/* State under the transaction. Both say NEED if it is not at hand. */
typedef struct {
    coh_view_status_t (*value)(void *arg, coh_value_t *out, coh_key_t const *key);
    /* Code that an account had or that the transaction deployed; borrowed until finish returns. */
    coh_view_status_t (*code)(void *arg,
                              coh_bytes_t *out,
                              coh_addr_t const *addr,
                              coh_hash_t const *hash);
    void *arg;
} coh_trace_state_t;

/* coh_call_tracer_finish appends one JSON value to out once the transaction is executed: outcome with verdict OK, halt as coh_transition_halt. NEED: out is as it was. */
coh_view_status_t coh_call_tracer_finish(coh_call_tracer_t *t,
                                         coh_buf_t *out,
                                         coh_outcome_t const *outcome,
                                         coh_evm_status_t halt,
                                         coh_trace_state_t const *state);

/* How many accounts and slots were accessed, each counted once; coh_access_tracer_put appends them as the payload of an access list, with their numbers. */
uint32_t coh_access_tracer_cnt(coh_call_tracer_t const *t);
void coh_access_tracer_put(coh_call_tracer_t const *t,
                           coh_buf_t *out,
                           uint32_t *addr_cnt,
                           uint32_t *key_cnt);
/* coh_access_tracer_exclude: accesses of the account itself do not count, those of its slots do. coh_access_tracer_add enters what is known before. Both after begin. */
void coh_access_tracer_exclude(coh_call_tracer_t *t, coh_addr_t const *addr);
void coh_access_tracer_add(coh_call_tracer_t *t, coh_key_t const *key);

#endif
