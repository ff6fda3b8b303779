#include "deploy/cohort/chain_store.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "coordinator/decision_log.h"
#include "deploy/cohort/datadir.h"

/* Of RocksDB; blocks are read once. */
#define CACHE_BYTES ((size_t)16 << 20)

struct coh_chain_store {
    coh_datadir_t *datadir;
    coh_kv_t *kv;
    coh_genesis_t genesis;
    uint64_t head;
};

/* ---- Opening --------------------------------------------------------------------------------------------------------------------- */

bool coh_chain_store_has(char const *dir)
{
    coh_buf_t path = COH_BUF_INIT;
    struct stat st;
    coh_buf_printf(&path, "%s/rank-0", dir);
    coh_buf_put_u8(&path, 0);
    bool has = stat((char const *)path.p, &st) == 0 && S_ISDIR(st.st_mode);
    coh_buf_free(&path);
    return has;
}

static bool visit_head(void *arg, coh_bytes_t key, coh_bytes_t value)
{
    (void)value;
    if (key.n == COH_DECISION_KEY_SZ) {
        *(uint64_t *)arg = coh_load_u64_be(key.p);
    }
    return false;
}

static coh_err_t open_parts(coh_chain_store_t *store,
                            char const *dir,
                            char const *genesis_path,
                            coh_buf_t *err_text)
{
    COH_TRY(coh_datadir_open(&store->datadir, dir, 0, 0, err_text));
    char const *copy = coh_datadir_genesis_path(store->datadir);
    if (genesis_path == NULL && access(copy, F_OK) != 0) {
        coh_buf_printf(
            err_text, "%s holds no copy of its genesis: give the file with --genesis", dir);
        return COH_ENOTFOUND;
    }
    COH_TRY(
        coh_genesis_load(&store->genesis, genesis_path != NULL ? genesis_path : copy, err_text));
    COH_TRY(
        coh_datadir_open_kv(store->datadir, &store->kv, &store->genesis, CACHE_BYTES, err_text));
    store->head   = store->genesis.number;
    coh_err_t err = store->kv->ops->iterate(
        store->kv, COH_KV_BLOCKS, (coh_bytes_t){0}, true, visit_head, &store->head);
    if (err != COH_OK) {
        coh_buf_printf(err_text, "reading %s: %s", dir, coh_err_str(err));
    }
    return err;
}

coh_err_t coh_chain_store_open(coh_chain_store_t **out,
                               char const *dir,
                               char const *genesis_path,
                               coh_buf_t *err_text)
{
    if (!coh_chain_store_has(dir)) {
        coh_buf_printf(err_text, "%s holds no data of rank 0", dir);
        return COH_ENOTFOUND;
    }
    coh_chain_store_t *store = coh_calloc(1, sizeof(*store));
    coh_err_t err            = open_parts(store, dir, genesis_path, err_text);
    if (err != COH_OK) {
        coh_chain_store_close(store);
        return err;
    }
    *out = store;
    return COH_OK;
}

void coh_chain_store_close(coh_chain_store_t *store)
{
    if (store == NULL) {
        return;
    }
    if (store->kv != NULL) {
        store->kv->ops->close(store->kv);
    }
    coh_genesis_free(&store->genesis);
    if (store->datadir != NULL) {
        coh_datadir_close(store->datadir);
    }
    free(store);
}

coh_genesis_t const *coh_chain_store_genesis(coh_chain_store_t const *store)
{
    return &store->genesis;
}

coh_kv_t *coh_chain_store_kv(coh_chain_store_t *store) { return store->kv; }

uint64_t coh_chain_store_head(coh_chain_store_t const *store) { return store->head; }

/* ---- Headers --------------------------------------------------------------------------------------------------------------------- */

coh_err_t coh_chain_store_header(coh_chain_store_t const *store, coh_buf_t *out, uint64_t number)
{
    uint8_t key[COH_DECISION_KEY_SZ];
    coh_decision_key(key, number);
    return store->kv->ops->get(store->kv, COH_KV_HEADERS, coh_bytes(key, sizeof(key)), out);
}

coh_err_t coh_chain_store_hash(coh_chain_store_t const *store, coh_hash_t *out, uint64_t number)
{
    coh_buf_t value = COH_BUF_INIT;
    if (number == store->genesis.number) {
        *out = store->genesis.hash;
        return COH_OK;
    }
    coh_err_t err = coh_chain_store_header(store, &value, number);
    if (err == COH_OK && value.n < sizeof(*out)) {
        err = COH_ECORRUPT;
    }
    if (err == COH_OK) {
        memcpy(out->b, value.p, sizeof(out->b));
    }
    coh_buf_free(&value);
    return err;
}

/* A walk over headers, up to one. */
typedef struct {
    uint64_t last;
    coh_header_t header; /* the last one seen */
    coh_fork_t shape;
    coh_u256_t td; /* its own included */
    bool is_damaged;
} walk_t;

static bool visit_header(void *arg, coh_bytes_t key, coh_bytes_t value)
{
    walk_t *w = arg;
    if (key.n != COH_DECISION_KEY_SZ || coh_load_u64_be(key.p) > w->last) {
        return false;
    }
    coh_bytes_t rlp = coh_bytes(value.p + sizeof(coh_hash_t), value.n - sizeof(coh_hash_t));
    uint64_t before = w->header.number;
    w->is_damaged   = value.n < sizeof(coh_hash_t) ||
                    coh_header_decode(&w->header, &w->shape, rlp) != COH_OK ||
                    w->header.number != before + 1;
    (void)coh_u256_add(&w->td, &w->td, &w->header.difficulty);
    return !w->is_damaged;
}

static coh_err_t push_stored(coh_chain_store_t const *store, coh_line_t *line, uint64_t number)
{
    coh_buf_t record  = COH_BUF_INIT;
    coh_buf_t raw     = COH_BUF_INIT;
    coh_buf_t scratch = COH_BUF_INIT;
    coh_block_t block;
    coh_err_t err = coh_stored_block_read(store->kv, &record, number);
    if (err == COH_OK) {
        err = coh_stored_block_put(&raw, &scratch, coh_buf_bytes(&record));
    }
    if (err == COH_OK) {
        err = coh_block_decode(&block, coh_buf_bytes(&raw)) == COH_OK ? COH_OK : COH_ECORRUPT;
    }
    if (err == COH_OK) {
        coh_line_push(line, &block);
    }
    coh_buf_free(&record);
    coh_buf_free(&raw);
    coh_buf_free(&scratch);
    return err;
}

coh_err_t coh_chain_store_line(coh_chain_store_t const *store,
                               coh_line_t *line,
                               coh_schedule_t const *schedule,
                               coh_buf_t *err_text)
{
    coh_genesis_t const *g = &store->genesis;
    uint64_t above         = store->head - g->number;
    walk_t w               = {
                      .last =
                          g->number + (above > COH_OMMER_GENERATION_MAX ? above - COH_OMMER_GENERATION_MAX : 0),
                      .header = g->header,
                      .shape  = coh_genesis_fork(g, g->number, g->timestamp),
                      .td     = g->header.difficulty,
    };
    coh_err_t err = store->kv->ops->iterate(
        store->kv, COH_KV_HEADERS, (coh_bytes_t){0}, false, visit_header, &w);
    if (err == COH_OK && (w.is_damaged || w.header.number != w.last)) {
        err = COH_ECORRUPT;
    }
    coh_line_init(line, schedule, &w.header, w.shape, &w.td);
    for (uint64_t n = w.last + 1; err == COH_OK && n <= store->head; n++) {
        err = push_stored(store, line, n);
    }
    if (err != COH_OK) {
        coh_buf_printf(err_text,
                       "block %" PRIu64 " of the data directory: %s",
                       coh_line_tip(line)->self.header.number + 1,
                       coh_err_str(err));
    }
    return err;
}

/* ---- Blocks ---------------------------------------------------------------------------------------------------------------------- */

coh_err_t coh_stored_block_read(coh_kv_t *kv, coh_buf_t *record, uint64_t number)
{
    uint8_t key[COH_DECISION_KEY_SZ];
    coh_decision_key(key, number);
    coh_buf_clear(record);
    return kv->ops->get(kv, COH_KV_BLOCKS, coh_bytes(key, sizeof(key)), record);
}

/* Appends what is behind the transactions. */
static coh_err_t put_extra(coh_buf_t *out, coh_decision_t const *d)
{
    coh_header_t header;
    coh_fork_t shape;
    if (d->extra.n != 0) {
        coh_buf_put(out, d->extra.p, d->extra.n);
        return COH_OK;
    }
    if (coh_header_decode(&header, &shape, d->header) != COH_OK) {
        return COH_ECORRUPT;
    }
    coh_rlp_put_list_header(out, 0);
    if (shape >= COH_FORK_SHANGHAI) {
        coh_rlp_put_list_header(out, 0);
    }
    return COH_OK;
}

coh_err_t coh_stored_block_put(coh_buf_t *out, coh_buf_t *scratch, coh_bytes_t record)
{
    coh_decision_t d;
    coh_decision_cursor_t cur;
    COH_TRY(coh_decision_read(&d, &cur, record));
    coh_buf_clear(scratch);
    for (uint32_t i = 0; i < d.tx_cnt; i++) {
        coh_decision_tx_t tx;
        COH_TRY(coh_decision_next_tx(&cur, &tx));
        if (tx.raw.n != 0 && tx.raw.p[0] >= 0xc0) { /* legacy: a list */
            coh_buf_put(scratch, tx.raw.p, tx.raw.n);
        } else { /* EIP-2718 */
            coh_rlp_put_string(scratch, tx.raw.p, tx.raw.n);
        }
    }
    coh_buf_t rest = COH_BUF_INIT;
    coh_buf_put(&rest, d.header.p, d.header.n);
    coh_rlp_put_list_header(&rest, scratch->n);
    coh_buf_put(&rest, scratch->p, scratch->n);
    coh_err_t err = put_extra(&rest, &d);
    if (err == COH_OK) {
        coh_rlp_put_list_header(out, rest.n);
        coh_buf_put(out, rest.p, rest.n);
    }
    coh_buf_free(&rest);
    return err;
}
