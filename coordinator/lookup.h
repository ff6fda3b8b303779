/* lookup.h: accounts, slots and code of committed state, asked of their owners. One lookup becomes at most one QUERY to each shard, all sent in one go: so they stand
   between the same two COMMITs in every lane, and the answers are one consistent cut (PROTOCOL 4). Only a shard without room for so many keys may
   answer for a later block; then all are asked again. The state of an earlier block can be asked for as long as the owners remember it.

   coh_lookup_new, fill keys ─coh_lookups_ask─▶ ASKED ─last ANSWER─▶ done(arg, lookup): the callee's, who frees it
                                                  ▲        │ of several blocks
                                                  └────────┘

   Communication thread only. */
#ifndef COH_LOOKUP_H
#define COH_LOOKUP_H

#include "common/state/directory.h"
#include "common/state/key.h"
#include "common/wire/wire.h"
#include "coordinator/ids.h"

typedef struct coh_lookup coh_lookup_t;
typedef void coh_lookup_done_fn(void *arg, coh_lookup_t *lookup);
/* Where messages for a shard (0..) go. */
typedef coh_buf_t *coh_lookup_outbox_fn(void *arg, uint32_t shard);

struct coh_lookup {
    uint32_t cnt;
    coh_rec_key_t
        *keys; /* owned; cnt, filled in by the caller; repetitions allowed; as they are, accounts */
    uint64_t wanted; /* committed block whose state is asked for; as it is, the latest */
    coh_rec_state_value_t *values; /* owned with their code; cnt, out */
    uint64_t block;                /* out: committed block that all values belong to */
    bool is_gone; /* out: an owner does not remember block any more, and there are no values */
    coh_lookup_done_fn *done;
    void *arg;
    uint64_t tag; /* the caller's own */
    /* The module's own. */
    uint32_t *order;    /* places grouped by owner */
    uint32_t *starts;   /* by shard, cnt + 1: where its group starts in order */
    uint32_t asked_cnt; /* shards that were asked and have not answered */
    bool has_block;
    bool is_torn; /* answers of several blocks came */
    coh_directory_t const *dir;
    coh_lookup_outbox_fn *outbox;
    void *outbox_arg;
};

typedef struct {
    uint32_t shard_cnt;
    coh_ids_t ids;
    coh_buf_t keys; /* scratch */
} coh_lookups_t;

void coh_lookups_init(coh_lookups_t *ls, uint32_t shard_cnt);
/* coh_lookups_fini frees what is under way without calling done. */
void coh_lookups_fini(coh_lookups_t *ls);

/* coh_lookup_new: cnt is at most COH_LOOKUP_KEYS_MAX, a slot counting as two, and COH_LOOKUP_CODES_MAX of the keys may ask for code. */
#define COH_LOOKUP_KEYS_MAX  8192u
#define COH_LOOKUP_CODES_MAX 64u
coh_lookup_t *coh_lookup_new(coh_lookups_t const *ls,
                             uint32_t cnt,
                             coh_lookup_done_fn *done,
                             void *arg);
void coh_lookup_free(coh_lookup_t *lookup);

/* coh_lookups_ask takes lookup (cnt at least 1) until done is called; dir and arg are borrowed as long. */
void coh_lookups_ask(coh_lookups_t *ls,
                     coh_lookup_t *lookup,
                     coh_directory_t const *dir,
                     coh_lookup_outbox_fn *outbox,
                     void *arg);

/* coh_lookups_answer takes a shard's answer. COH_EPROTO if it was not asked this, or answers with another number of values. */
coh_err_t coh_lookups_answer(coh_lookups_t *ls, uint32_t shard, coh_msg_answer_t const *msg);

#endif
