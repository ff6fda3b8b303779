/* flush.h: the write-behind of changed state. RocksDB costs several times a transfer for each random key, so committed changes stay in the store as dirty
   entries, many blocks' changes to a key become one, and now and then they are written to the flat tables in key order, with the code that blocks
   deployed; the redo records that they cover are then deleted.

   IDLE ─begin─▶ SORTING (a worker) ─▶ SORTED ─poll, pages are there─▶ WRITING (disk) ─on_done─▶ IDLE

   The tries' pages of the same block go with them: in one ingest before all else, or in the batch that has the mark. So after a crash the tries are at some block from the
   flushed one on, whole. (A batch with pages is synced, lest a later ingest survive it.)

   Threads: coh_flush_work from any worker, everything else from the communication thread. */
#ifndef COH_FLUSH_H
#define COH_FLUSH_H

#include "common/node/env.h"
#include "shard/store.h"

typedef struct coh_flush coh_flush_t;

/* coh_flush_requests makes of sorted items the disk requests that write them, for as many as there are up to COH_FLUSH_REQ_MAX in req[]: ingests of what
   is enough for a file, and last one batch (COH_DISK_WRITE) of all else, to which the caller may add. Returns their number. The requests, to be
   handed out in order, are the caller's, from malloc. */
#define COH_FLUSH_REQ_MAX 3u
uint32_t coh_flush_requests(coh_disk_req_t *req[COH_FLUSH_REQ_MAX],
                            coh_mv_item_t const *items,
                            size_t cnt);

coh_flush_t *coh_flush_new(coh_mvstore_t *mv, coh_codes_t *codes, coh_env_t *env);
void coh_flush_free(coh_flush_t *f);

bool coh_flush_is_running(coh_flush_t const *f);
/* coh_flush_begin takes all dirty entries, and the code of committed blocks that is not on disk (codes is empty afterwards); mark is what the
   flat tables will hold, with flushed the committed block; besides is written with it, and empty afterwards. */
void coh_flush_begin(coh_flush_t *f,
                     coh_store_mark_t const *mark,
                     coh_code_list_t *codes,
                     coh_kv_batch_t *besides);
/* coh_flush_work sorts and builds the requests, if that is to be done; false: it is not. */
bool coh_flush_work(coh_flush_t *f);
/* coh_flush_pages gives what the tries have to write with this flush (from coh_tries_take; taken), which waits for it. */
void coh_flush_pages(coh_flush_t *f, coh_kv_batch_t *pages, bool ingest);
/* coh_flush_poll hands sorted batches to the disk; their requests carry tag. True: it did. */
bool coh_flush_poll(coh_flush_t *f, uint32_t tag);
/* A request came back without error. The last one: entries become clean, *mark is what is on disk now. */
void coh_flush_on_done(coh_flush_t *f, coh_store_mark_t *mark);

#endif
