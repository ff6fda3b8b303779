/* flush.h: the write-behind of changed state. RocksDB costs several times a transfer for each random key, so committed changes stay in the store as dirty
   entries, many blocks' changes to a key become one, and now and then they are written to the flat table in key order; the redo records
   that they cover are then deleted.

   IDLE ─begin─▶ SORTING (a worker) ─▶ SORTED ─poll─▶ WRITING (disk) ─on_done─▶ IDLE

   Threads: coh_flush_work from any worker, everything else from the communication thread. */
#ifndef COH_FLUSH_H
#define COH_FLUSH_H

#include "common/node/env.h"
#include "shard/store.h"

typedef struct coh_flush coh_flush_t;

coh_flush_t *coh_flush_new(coh_mvstore_t *mv, coh_env_t *env);
void coh_flush_free(coh_flush_t *f);

bool coh_flush_is_running(coh_flush_t const *f);
/* coh_flush_begin takes all dirty entries; mark is what the flat tables will hold, with flushed the committed block. */
void coh_flush_begin(coh_flush_t *f, coh_store_mark_t const *mark);
/* Sorts and builds the batch, if that is to be done. */
bool coh_flush_work(coh_flush_t *f);
/* coh_flush_poll hands a sorted batch to the disk; its request carries tag. */
bool coh_flush_poll(coh_flush_t *f, uint32_t tag);
/* The request came back without error: entries become clean, *mark is what is on disk now. */
void coh_flush_on_done(coh_flush_t *f, coh_store_mark_t *mark);

#endif
