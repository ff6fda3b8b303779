/* sim_disk.h: a rank's store as a crash would leave it. What was written is visible at once; it is durable only up to the last
   sync, and of what was written after that a crash keeps an arbitrary prefix, as a torn write-ahead log does. Ingested files are durable when they are taken in,
   whatever becomes of the writes before them (kv.h).

   writes ──▶ visible (what reads see)
      └────▶ tail of unsynced writes ──sync──▶ durable
                     └──crash: a prefix──▶ durable = visible of the next life */
#ifndef COH_SIM_DISK_H
#define COH_SIM_DISK_H

#include "common/base/rng.h"
#include "common/node/env.h"

typedef struct sim_disk sim_disk_t;

sim_disk_t *sim_disk_new(void);
void sim_disk_free(sim_disk_t *disk);

/* sim_disk_kv is the store as the rank's state machine sees it; valid until the next crash. Writes made through it are synced when asked. */
coh_kv_t *sim_disk_kv(sim_disk_t *disk);

/* sim_disk_carry_out does what req asks, except for the sync, and sets req->err. */
void sim_disk_carry_out(sim_disk_t *disk, coh_disk_req_t *req);

/* sim_disk_copy is what a BACKUP with number as its arg has copied, since the last crash; NULL if that was not the last one. Valid until the next, and the caller's to change. */
coh_kv_t *sim_disk_copy(sim_disk_t *disk, uint64_t number);

/* sim_disk_half_write: the write req failed, but a crash may turn up what it wrote. */
void sim_disk_half_write(sim_disk_t *disk, coh_disk_req_t const *req);

/* sim_disk_sync makes all that was written durable. */
void sim_disk_sync(sim_disk_t *disk);

/* sim_disk_unsynced: writes that a crash may lose. */
size_t sim_disk_unsynced(sim_disk_t const *disk);

/* sim_disk_crash keeps the first keep_cnt unsynced writes and forgets the others. */
void sim_disk_crash(sim_disk_t *disk, size_t keep_cnt);

/* sim_disk_is_durable tells whether key is in table whatever happens. */
bool sim_disk_is_durable(sim_disk_t *disk, coh_kv_table_t table, coh_bytes_t key);

#endif
