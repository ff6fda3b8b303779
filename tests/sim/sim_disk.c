#include "tests/sim/sim_disk.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/node/disk_req.h"

/* A write that is not durable yet, or an ingest (durable from the start) between such writes: kept in order, because the later
   of two values of a key wins even if the earlier one is replayed after a crash. */
typedef struct {
    coh_kv_batch_t batch;
    bool ingest;
} entry_t;

struct sim_disk {
    coh_kv_t face; /* what the state machine holds */
    coh_kv_t *visible;
    coh_kv_t *durable; /* without the ingests of tail */
    entry_t *tail;
    size_t tail_cnt;
    size_t tail_cap;
    coh_buf_t scratch;
    coh_kv_t *copy; /* owned; of the last backup, or NULL */
    uint64_t copy_of;
};

static sim_disk_t *disk_of(coh_kv_t *face)
{
    return (sim_disk_t *)((char *)face - offsetof(sim_disk_t, face));
}

static void must(coh_err_t err) { COH_ASSERT(err == COH_OK); }

static void remember(sim_disk_t *disk, coh_kv_batch_t const *batch, bool ingest)
{
    if (disk->tail_cnt == disk->tail_cap) {
        disk->tail_cap = disk->tail_cap * 2 + 16;
        disk->tail     = coh_realloc(disk->tail, disk->tail_cap * sizeof(*disk->tail));
    }
    entry_t *entry = &disk->tail[disk->tail_cnt++];
    *entry         = (entry_t){.ingest = ingest};
    coh_kv_batch_init(&entry->batch);
    coh_buf_put(&entry->batch.ops, batch->ops.p, batch->ops.n);
    entry->batch.cnt = batch->cnt;
}

static void write_visible(sim_disk_t *disk, coh_kv_batch_t const *batch)
{
    if (batch->cnt != 0) {
        must(disk->visible->ops->write(disk->visible, batch, false));
        remember(disk, batch, false);
    }
}

static coh_err_t ingest_visible(sim_disk_t *disk, coh_kv_batch_t const *batch)
{
    if (batch->cnt != 0) {
        COH_TRY(disk->visible->ops->ingest(disk->visible, batch));
        remember(disk, batch, true);
    }
    return COH_OK;
}

static coh_err_t face_get(coh_kv_t *face, coh_kv_table_t table, coh_bytes_t key, coh_buf_t *out)
{
    coh_kv_t *kv = disk_of(face)->visible;
    return kv->ops->get(kv, table, key, out);
}

static coh_err_t face_multi_get(coh_kv_t *face,
                                coh_kv_table_t table,
                                size_t cnt,
                                coh_bytes_t const *keys,
                                coh_err_t *errs,
                                size_t *lens,
                                coh_buf_t *out)
{
    coh_kv_t *kv = disk_of(face)->visible;
    return kv->ops->multi_get(kv, table, cnt, keys, errs, lens, out);
}

static coh_err_t face_write(coh_kv_t *face, coh_kv_batch_t const *batch, bool sync)
{
    sim_disk_t *disk = disk_of(face);
    write_visible(disk, batch);
    if (sync) {
        sim_disk_sync(disk);
    }
    return COH_OK;
}

static coh_err_t face_ingest(coh_kv_t *face, coh_kv_batch_t const *batch)
{
    return ingest_visible(disk_of(face), batch);
}

static coh_err_t face_iterate(coh_kv_t *face,
                              coh_kv_table_t table,
                              coh_bytes_t first,
                              bool descending,
                              coh_kv_visit_t *visit,
                              void *arg)
{
    coh_kv_t *kv = disk_of(face)->visible;
    return kv->ops->iterate(kv, table, first, descending, visit, arg);
}

/* The disk outlives the state machines: sim_disk_free ends it. */
static void face_close(coh_kv_t *face) { (void)face; }

static coh_kv_ops_t const FACE_OPS = {
    .get       = face_get,
    .peek      = face_get,
    .multi_get = face_multi_get,
    .write     = face_write,
    .ingest    = face_ingest,
    .iterate   = face_iterate,
    .close     = face_close,
};

sim_disk_t *sim_disk_new(void)
{
    sim_disk_t *disk = coh_calloc(1, sizeof(*disk));
    disk->face.ops   = &FACE_OPS;
    must(coh_kv_mem_open(&disk->visible));
    must(coh_kv_mem_open(&disk->durable));
    return disk;
}

static void forget_tail(sim_disk_t *disk)
{
    for (size_t i = 0; i < disk->tail_cnt; i++) {
        coh_kv_batch_free(&disk->tail[i].batch);
    }
    disk->tail_cnt = 0;
}

static void drop_copy(sim_disk_t *disk)
{
    if (disk->copy != NULL) {
        disk->copy->ops->close(disk->copy);
        disk->copy = NULL;
    }
}

coh_kv_t *sim_disk_copy(sim_disk_t *disk, uint64_t number)
{
    return disk->copy_of == number ? disk->copy : NULL;
}

void sim_disk_free(sim_disk_t *disk)
{
    drop_copy(disk);
    forget_tail(disk);
    free(disk->tail);
    disk->visible->ops->close(disk->visible);
    disk->durable->ops->close(disk->durable);
    coh_buf_free(&disk->scratch);
    free(disk);
}

coh_kv_t *sim_disk_kv(sim_disk_t *disk) { return &disk->face; }

void sim_disk_carry_out(sim_disk_t *disk, coh_disk_req_t *req)
{
    if (req->kind == COH_DISK_BACKUP) {
        drop_copy(disk);
        disk->copy    = coh_kv_mem_clone(disk->visible);
        disk->copy_of = req->arg;
        req->err      = COH_OK;
    } else if (req->kind == COH_DISK_MANIFEST) {
        req->err = COH_OK;
    } else {
        coh_disk_req_carry_out(req, &disk->face, false);
    }
}

void sim_disk_half_write(sim_disk_t *disk, coh_disk_req_t const *req)
{
    if (req->kind != COH_DISK_INGEST && req->batch.cnt != 0) {
        remember(disk, &req->batch, false);
    }
}

/* Writes the unsynced entries below keep_cnt, and every ingest, to durable. */
static void make_durable(sim_disk_t *disk, size_t keep_cnt)
{
    for (size_t i = 0; i < disk->tail_cnt; i++) {
        entry_t const *entry = &disk->tail[i];
        if (entry->ingest) {
            must(disk->durable->ops->ingest(disk->durable, &entry->batch));
        } else if (keep_cnt > 0) {
            must(disk->durable->ops->write(disk->durable, &entry->batch, true));
            keep_cnt--;
        }
    }
    forget_tail(disk);
}

void sim_disk_sync(sim_disk_t *disk) { make_durable(disk, SIZE_MAX); }

size_t sim_disk_unsynced(sim_disk_t const *disk)
{
    size_t cnt = 0;
    for (size_t i = 0; i < disk->tail_cnt; i++) {
        cnt += !disk->tail[i].ingest;
    }
    return cnt;
}

void sim_disk_crash(sim_disk_t *disk, size_t keep_cnt)
{
    drop_copy(disk);
    make_durable(disk, keep_cnt);
    disk->visible->ops->close(disk->visible);
    disk->visible = coh_kv_mem_clone(disk->durable);
}

bool sim_disk_is_durable(sim_disk_t *disk, coh_kv_table_t table, coh_bytes_t key)
{
    coh_buf_clear(&disk->scratch);
    return disk->durable->ops->get(disk->durable, table, key, &disk->scratch) == COH_OK;
}
