/* disk.h: the disk threads of a rank. Requests (common/node/env.h) go in on the communication thread and come back to
   it when done; a writer carries out writes and ingests in the order handed out, a reader serves reads beside it.

   Group commit: of the synced writes that wait, all but the last are written without sync, the last with it, and then all are done: one
   log, written in order, so the last sync covers those before. After a failed write the writer refuses all that
   follows with the same error, for what is durable must be a prefix of what was handed out.

   Backups: the writer makes a checkpoint in its turn, a thread of its own copies it. */
#ifndef COH_DISK_H
#define COH_DISK_H

#include "common/node/env.h"

typedef struct coh_disk coh_disk_t;

typedef void coh_disk_wake_fn(void *arg);

/* How backups are made (backup.h). A request that does not get COH_OK says why in req->backup->failed. */
typedef struct {
    coh_err_t (*checkpoint)(void *arg, coh_disk_req_t *req); /* writer thread, of BACKUP */
    /* BACKUP after that, MANIFEST; on a thread of its own, which is to end soon once *ending. */
    coh_err_t (*copy)(void *arg, coh_disk_req_t *req, _Atomic bool const *ending);
    void *arg;
} coh_disk_backups_t;

/* coh_disk_new starts the threads. kv, metrics: borrowed until free. wake(arg) is called, on a disk thread, when something
   was done. backups: borrowed until free; NULL: they are refused. */
coh_disk_t *coh_disk_new(coh_kv_t *kv,
                         coh_metrics_t *metrics,
                         int log_rank,
                         coh_disk_backups_t const *backups,
                         coh_disk_wake_fn *wake,
                         void *arg);

/* coh_disk_stop carries out what is queued, but for backups, and ends the threads; finished requests can still be taken. What is put
   from then on comes back with COH_ECLOSED. */
void coh_disk_stop(coh_disk_t *disk);
/* Assumes: stopped, and all requests taken back */
void coh_disk_free(coh_disk_t *disk);

/* coh_disk_put hands a request in; taken until coh_disk_take returns it. */
void coh_disk_put(coh_disk_t *disk, coh_disk_req_t *req);

/* coh_disk_take returns the finished requests, linked by next, writes and ingests in the order handed in; NULL if none.
   Cheap if there is none. */
coh_disk_req_t *coh_disk_take(coh_disk_t *disk);

#endif
