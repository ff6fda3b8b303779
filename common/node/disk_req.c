#include "common/node/disk_req.h"

#include <stdlib.h>

#include "common/base/alloc.h"

static coh_disk_req_t *make(coh_disk_kind_t kind, size_t more)
{
    coh_disk_req_t *req = coh_calloc(1, sizeof(*req) + more);
    req->kind           = kind;
    coh_kv_batch_init(&req->batch);
    coh_kv_batch_init(&req->after);
    return req;
}

coh_disk_req_t *coh_disk_req_new(coh_disk_kind_t kind, uint32_t tag, uint64_t arg)
{
    coh_disk_req_t *req = make(kind, 0);
    req->tag            = tag;
    req->arg            = arg;
    return req;
}

coh_disk_req_t *coh_disk_read_new(uint32_t tag, coh_kv_table_t table, size_t cnt, size_t key_sz)
{
    /* One allocation: request, lens, errs, keys, their octets. An even number of errs keeps keys aligned. */
    size_t err_cnt = (cnt + 1) & ~(size_t)1;
    _Static_assert(sizeof(coh_disk_req_t) % sizeof(void *) == 0 &&
                       2 * sizeof(coh_err_t) % sizeof(void *) == 0,
                   "what lies behind is aligned");
    coh_disk_req_t *req = make(COH_DISK_READ,
                               cnt * (sizeof(*req->lens) + sizeof(*req->keys) + key_sz) +
                                   err_cnt * sizeof(*req->errs));
    req->tag            = tag;
    req->table          = table;
    req->lens           = (size_t *)(void *)(req + 1);
    req->errs           = (coh_err_t *)(void *)(req->lens + cnt);
    req->keys           = (coh_bytes_t *)(void *)(req->errs + err_cnt);
    return req;
}

coh_disk_req_t *coh_disk_backup_new(coh_disk_kind_t kind,
                                    uint32_t tag,
                                    uint64_t arg,
                                    coh_bytes_t path)
{
    coh_disk_req_t *req = coh_disk_req_new(kind, tag, arg);
    req->backup         = coh_calloc(1, sizeof(*req->backup));
    req->backup->path   = coh_calloc(path.n + 1, 1);
    if (path.n != 0) {
        memcpy(req->backup->path, path.p, path.n);
    }
    return req;
}

void coh_disk_req_free(coh_disk_req_t *req)
{
    if (req->backup != NULL) {
        free(req->backup->path);
        coh_buf_free(&req->backup->text);
        coh_buf_free(&req->backup->failed);
        free(req->backup);
    }
    coh_kv_batch_free(&req->batch);
    coh_kv_batch_free(&req->after);
    coh_buf_free(&req->values);
    free(req);
}

void coh_disk_req_carry_out(coh_disk_req_t *req, coh_kv_t *kv, bool sync)
{
    switch (req->kind) {
    case COH_DISK_WRITE: req->err = kv->ops->write(kv, &req->batch, false); break;
    case COH_DISK_WRITE_SYNC: req->err = kv->ops->write(kv, &req->batch, sync); break;
    case COH_DISK_INGEST:
        req->err = kv->ops->ingest(kv, &req->batch);
        if (req->err == COH_OK && req->after.cnt != 0) {
            req->err = kv->ops->write(kv, &req->after, false);
        }
        break;
    case COH_DISK_READ:
        req->err = kv->ops->multi_get(
            kv, req->table, req->key_cnt, req->keys, req->errs, req->lens, &req->values);
        break;
    case COH_DISK_BACKUP:
    case COH_DISK_MANIFEST: req->err = COH_EUNSUPPORTED; break;
    }
}
