/* disk_req.h: making, freeing and carrying out disk requests (env.h). */
#ifndef COH_DISK_REQ_H
#define COH_DISK_REQ_H

#include "common/node/env.h"

/* coh_disk_req_new makes an empty request with its two batches initialised. */
coh_disk_req_t *coh_disk_req_new(coh_disk_kind_t kind, uint32_t tag, uint64_t arg);

/* coh_disk_read_new makes a read of at most cnt keys of table; key_cnt is still 0. Behind its keys are cnt times key_sz octets for what they point to:
   (uint8_t *)(req->keys + cnt). */
coh_disk_req_t *coh_disk_read_new(uint32_t tag, coh_kv_table_t table, size_t cnt, size_t key_sz);

/* coh_disk_backup_new makes a BACKUP or MANIFEST. path: copied */
coh_disk_req_t *coh_disk_backup_new(coh_disk_kind_t kind,
                                    uint32_t tag,
                                    uint64_t arg,
                                    coh_bytes_t path);

/* coh_disk_req_free frees a request and what hangs on it; also one at the beginning of a larger allocation, which goes with it. */
void coh_disk_req_free(coh_disk_req_t *req);

/* coh_disk_req_carry_out does at once what req asks of kv, for worlds without disk threads, and sets req->err. sync: synced writes are. */
void coh_disk_req_carry_out(coh_disk_req_t *req, coh_kv_t *kv, bool sync);

#endif
