#include "coordinator/recovery.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/checksum.h"
#include "common/base/hex.h"
#include "common/crypto/keccak.h"
#include "common/node/disk_req.h"
#include "common/node/version.h"
#include "coordinator/decision_log.h"
#include "coordinator/placement.h"

#define FORMAT 1u
/* META key; value: format u32, rank_cnt u32, chain_id u64, directory epoch u64 (little-endian), identity of the genesis. */
#define IDENTITY_KEY "coordinator/identity"
#define IDENTITY_SZ  56u
/* META key; value: format u32, block u64 (little-endian), checksum u64: see coh_recovery_relayout. */
#define SINCE_KEY "coordinator/since"
#define SINCE_SZ  20u

static coh_bytes_t text_key(char const *key) { return coh_bytes(key, strlen(key)); }

static void put_identity(uint8_t out[IDENTITY_SZ], coh_recovery_t const *rec, uint64_t epoch)
{
    coh_store_u32_le(out, FORMAT);
    coh_store_u32_le(out + 4, rec->rank_cnt);
    coh_store_u64_le(out + 8, rec->chain_id);
    coh_store_u64_le(out + 16, epoch);
    memcpy(out + 24, rec->genesis.b, 32);
}

coh_err_t coh_recovery_since(uint64_t *since, coh_kv_t *kv)
{
    coh_buf_t value = COH_BUF_INIT;
    coh_err_t err   = kv->ops->get(kv, COH_KV_META, text_key(SINCE_KEY), &value);
    *since          = 0;
    if (err == COH_ENOTFOUND) {
        err = COH_OK;
    } else if (err == COH_OK) {
        bool fits = value.n == SINCE_SZ && coh_load_u32_le(value.p) == FORMAT &&
                    coh_load_u64_le(value.p + 12) == coh_checksum64(value.p, 12);
        *since = fits ? coh_load_u64_le(value.p + 4) : 0;
        err    = fits ? COH_OK : COH_ECORRUPT;
    }
    coh_buf_free(&value);
    return err;
}

/* check_identity compares the stored identity with ours and reads the directory that it names. */
static coh_err_t check_identity(coh_recovery_t *rec,
                                coh_kv_t *kv,
                                coh_bytes_t id,
                                coh_buf_t *err_text)
{
    if (id.n != IDENTITY_SZ || coh_load_u32_le(id.p) != FORMAT) {
        coh_buf_printf(
            err_text, "the coordinator's data has another format than this program's (%u)", FORMAT);
        return COH_EMISMATCH;
    }
    if (coh_load_u64_le(id.p + 8) != rec->chain_id) {
        coh_buf_printf(err_text,
                       "the data belongs to chain id %" PRIu64 ", the genesis says %" PRIu64,
                       coh_load_u64_le(id.p + 8),
                       rec->chain_id);
        return COH_EMISMATCH;
    }
    if (memcmp(id.p + 24, rec->genesis.b, 32) != 0) {
        char found[65];
        char expected[65];
        coh_hex_encode(found, id.p + 24, 32);
        coh_hex_encode(expected, rec->genesis.b, 32);
        coh_buf_printf(err_text, "the data belongs to genesis %s, given is %s", found, expected);
        return COH_EMISMATCH;
    }
    if (coh_load_u32_le(id.p + 4) != rec->rank_cnt) {
        coh_buf_printf(err_text,
                       "the data was laid out for %u shards, this cluster has %u",
                       coh_load_u32_le(id.p + 4) - 1,
                       rec->rank_cnt - 1);
        return COH_EMISMATCH;
    }
    uint64_t epoch = coh_load_u64_le(id.p + 16);
    uint8_t key[8];
    coh_store_u64_be(key, epoch);
    coh_buf_t value = COH_BUF_INIT;
    coh_err_t err   = kv->ops->get(kv, COH_KV_DIRECTORY, coh_bytes(key, sizeof(key)), &value);
    if (err == COH_OK) {
        err = coh_directory_decode(&rec->dir, epoch, rec->rank_cnt - 1, coh_buf_bytes(&value));
    }
    coh_buf_free(&value);
    if (err != COH_OK) {
        coh_buf_printf(err_text, "directory of epoch %" PRIu64 ": %s", epoch, coh_err_str(err));
        return err == COH_EIO ? err : COH_ECORRUPT;
    }
    return COH_OK;
}

static coh_err_t open_identity(coh_recovery_t *rec,
                               coh_kv_t *kv,
                               coh_config_t const *config,
                               coh_buf_t *err_text)
{
    coh_buf_t id  = COH_BUF_INIT;
    coh_err_t err = kv->ops->get(kv, COH_KV_META, text_key(IDENTITY_KEY), &id);
    if (err == COH_OK) {
        err = check_identity(rec, kv, coh_buf_bytes(&id), err_text);
    } else if (err == COH_ENOTFOUND) {
        rec->fresh = true;
        err =
            coh_placement_initial(&rec->dir, config->placement_policy, rec->rank_cnt - 1, err_text);
    } else {
        coh_buf_printf(err_text, "reading the coordinator's identity: %s", coh_err_str(err));
    }
    coh_buf_free(&id);
    return err;
}

static coh_err_t open_mark(uint64_t *mark, coh_kv_t *kv, uint64_t none)
{
    coh_buf_t value = COH_BUF_INIT;
    coh_err_t err   = kv->ops->get(kv, COH_KV_META, text_key(COH_CHAIN_INDEX_MARK), &value);
    if (err == COH_OK) {
        *mark = value.n == 8 ? coh_load_u64_le(value.p) : none;
        err   = value.n == 8 ? COH_OK : COH_ECORRUPT;
    } else if (err == COH_ENOTFOUND) {
        *mark = none;
        err   = COH_OK;
    }
    coh_buf_free(&value);
    return err;
}

/* A walk over the decision log. */
typedef struct {
    coh_recovery_t *rec;
    coh_chain_limits_t const *limits;
    coh_buf_t *err_text;
    uint64_t now_us;
    uint64_t seed;
    uint64_t mark;
    uint64_t last; /* number of the record before, 0 for none */
    coh_hash_t last_hash;
    coh_sealed_t *head; /* the last block read; not in the chain yet */
    coh_err_t err;
} walk_t;

static bool fail_walk(walk_t *w, coh_bytes_t key, char const *what)
{
    uint64_t number = key.n == COH_DECISION_KEY_SZ ? coh_load_u64_be(key.p) : 0;
    coh_buf_printf(w->err_text, "decision record of block %" PRIu64 ": %s", number, what);
    w->err = COH_ECORRUPT;
    return false;
}

static bool visit_head(void *arg, coh_bytes_t key, coh_bytes_t value)
{
    walk_t *w           = arg;
    coh_recovery_t *rec = w->rec;
    coh_decision_t d;
    coh_decision_cursor_t cur;
    if (key.n != COH_DECISION_KEY_SZ || coh_decision_read(&d, &cur, value) != COH_OK ||
        d.number != coh_load_u64_be(key.p) || coh_seal_restore(&w->head, value) != COH_OK) {
        return fail_walk(w, key, "damaged");
    }
    if (d.number <= rec->since) {
        return false; /* all that it speaks of was in the flat tables when the layout changed */
    }
    if (d.shard_cnt != rec->rank_cnt - 1) {
        return fail_walk(w, key, "written for another number of shards");
    }
    for (uint32_t i = 0; i < d.shard_cnt; i++) {
        rec->last_redo[i] = coh_decision_last_redo(&cur, i);
    }
    return false; /* the last record is all that this walk is after */
}

static bool visit_unindexed(void *arg, coh_bytes_t key, coh_bytes_t value)
{
    walk_t *w = arg;
    coh_sealed_t *block;
    if (key.n != COH_DECISION_KEY_SZ || coh_seal_restore(&block, value) != COH_OK ||
        block->header.number != coh_load_u64_be(key.p)) {
        return fail_walk(w, key, "damaged");
    }
    uint64_t number = block->header.number;
    bool linked     = w->last == 0 ||
                  (number == w->last + 1 && coh_hash_eq(&block->header.parent_hash, &w->last_hash));
    w->last      = number;
    w->last_hash = block->hash;
    if (linked) {
        coh_chain_index(w->rec->chain, block, w->now_us);
        w->rec->block_cnt++;
    }
    coh_sealed_free(block);
    return linked ? true : fail_walk(w, key, "does not follow the one before");
}

static coh_err_t open_log(coh_recovery_t *rec,
                          walk_t *w,
                          coh_kv_t *kv,
                          coh_genesis_t const *genesis)
{
    coh_err_t err = kv->ops->iterate(kv, COH_KV_BLOCKS, coh_bytes(NULL, 0), true, visit_head, w);
    if (err != COH_OK || w->err != COH_OK) {
        return err != COH_OK ? err : w->err;
    }
    if (w->head != NULL && (rec->fresh || w->head->header.number <= genesis->number)) {
        coh_buf_printf(w->err_text, "decision records without the identity that they belong to");
        coh_sealed_free(w->head);
        return COH_ECORRUPT;
    }
    if (w->head == NULL) {
        w->head = coh_seal_genesis(genesis);
    }
    rec->head  = w->head->header.number;
    rec->chain = coh_chain_new(w->limits, w->head, w->mark, w->seed);
    uint8_t key[COH_DECISION_KEY_SZ];
    coh_decision_key(key, w->mark + 1);
    err =
        kv->ops->iterate(kv, COH_KV_BLOCKS, coh_bytes(key, sizeof(key)), false, visit_unindexed, w);
    return err != COH_OK ? err : w->err;
}

/* The hashes of the last blocks, newest first. */
typedef struct {
    coh_hash_t v[COH_BLOCK_HASHES];
    uint32_t cnt;
    bool is_damaged;
} hashes_t;

static bool visit_hash(void *arg, coh_bytes_t key, coh_bytes_t value)
{
    (void)key;
    hashes_t *hashes   = arg;
    coh_bytes_t header = coh_decision_peek_header(value);
    hashes->is_damaged = header.n == 0;
    if (hashes->is_damaged || hashes->cnt == COH_BLOCK_HASHES) {
        return false;
    }
    coh_keccak256(&hashes->v[hashes->cnt++], header.p, header.n);
    return true;
}

/* Below the decided blocks come the genesis block and those that it names. */
static coh_err_t open_hashes(coh_recovery_t *rec, coh_kv_t *kv, coh_genesis_t const *genesis)
{
    hashes_t hashes = {0};
    COH_TRY(kv->ops->iterate(kv, COH_KV_BLOCKS, coh_bytes(NULL, 0), true, visit_hash, &hashes));
    if (hashes.is_damaged) {
        return COH_ECORRUPT;
    }
    if (genesis->ancestor_cnt == 0 && hashes.cnt < COH_BLOCK_HASHES) {
        hashes.v[hashes.cnt++] = genesis->hash;
    }
    for (uint32_t i = genesis->ancestor_cnt; i-- > 0 && hashes.cnt < COH_BLOCK_HASHES;) {
        hashes.v[hashes.cnt++] = genesis->ancestors[i];
    }
    while (hashes.cnt > 0) {
        coh_buf_put(&rec->hashes, &hashes.v[--hashes.cnt], sizeof(coh_hash_t));
    }
    return COH_OK;
}

coh_err_t coh_recovery_open(coh_recovery_t *out,
                            coh_kv_t *kv,
                            coh_genesis_t const *genesis,
                            coh_config_t const *config,
                            coh_chain_limits_t const *limits,
                            uint32_t rank_cnt,
                            uint64_t now_us,
                            uint64_t seed,
                            coh_buf_t *err_text)
{
    COH_ASSERT(rank_cnt > 1);
    *out = (coh_recovery_t){
        .rank_cnt    = rank_cnt,
        .chain_id    = genesis->chain_id,
        .genesis     = genesis->identity,
        .config_hash = coh_config_hash(config),
        .last_redo   = coh_calloc(rank_cnt - 1, sizeof(uint64_t)),
    };
    walk_t w = {.rec = out, .limits = limits, .err_text = err_text, .now_us = now_us, .seed = seed};
    coh_err_t err = open_identity(out, kv, config, err_text);
    if (err == COH_OK) {
        err = coh_recovery_since(&out->since, kv);
    }
    if (err == COH_OK) {
        err = open_mark(&w.mark, kv, genesis->number);
    }
    if (err == COH_OK) {
        err = open_log(out, &w, kv, genesis);
    }
    if (err == COH_OK) {
        err = open_hashes(out, kv, genesis);
    }
    if (err != COH_OK) {
        if (err_text->n == 0) {
            coh_buf_printf(err_text, "reading the coordinator's store: %s", coh_err_str(err));
        }
        coh_chain_free(out->chain);
        free(out->last_redo);
        coh_directory_free(&out->dir);
        coh_buf_free(&out->hashes);
        *out = (coh_recovery_t){0};
    }
    return err;
}

/* Adds identity and directory. */
static void put_layout(coh_kv_batch_t *batch, coh_recovery_t const *rec, coh_directory_t const *of)
{
    uint8_t id[IDENTITY_SZ];
    put_identity(id, rec, of->epoch);
    coh_kv_batch_put(batch, COH_KV_META, text_key(IDENTITY_KEY), coh_bytes(id, sizeof(id)));
    uint8_t key[8];
    coh_store_u64_be(key, of->epoch);
    coh_buf_t dir = COH_BUF_INIT;
    coh_directory_encode(&dir, of);
    coh_kv_batch_put(batch, COH_KV_DIRECTORY, coh_bytes(key, sizeof(key)), coh_buf_bytes(&dir));
    coh_buf_free(&dir);
}

coh_disk_req_t *coh_recovery_identity(coh_recovery_t const *rec)
{
    coh_disk_req_t *req = coh_disk_req_new(COH_DISK_WRITE_SYNC, 0, 0);
    put_layout(&req->batch, rec, &rec->dir);
    return req;
}

coh_disk_req_t *coh_recovery_move(coh_recovery_t const *rec, coh_directory_t const *next)
{
    coh_disk_req_t *req = coh_disk_req_new(COH_DISK_WRITE_SYNC, 0, 0);
    put_layout(&req->batch, rec, next);
    uint8_t key[8];
    coh_store_u64_be(key, rec->dir.epoch);
    coh_kv_batch_delete(&req->batch, COH_KV_DIRECTORY, coh_bytes(key, sizeof(key)));
    return req;
}

void coh_recovery_relayout(coh_kv_batch_t *batch,
                           coh_genesis_t const *genesis,
                           coh_directory_t const *dir,
                           uint64_t head)
{
    coh_recovery_t rec = {
        .dir      = *dir,
        .rank_cnt = dir->shard_cnt + 1,
        .chain_id = genesis->chain_id,
        .genesis  = genesis->identity,
    };
    put_layout(batch, &rec, dir);
    uint8_t since[SINCE_SZ];
    coh_store_u32_le(since, FORMAT);
    coh_store_u64_le(since + 4, head);
    coh_store_u64_le(since + 12, coh_checksum64(since, 12));
    coh_kv_batch_put(batch, COH_KV_META, text_key(SINCE_KEY), coh_bytes(since, sizeof(since)));
}

static coh_err_t unfit(coh_buf_t *err_text,
                       uint32_t rank,
                       char const *what,
                       uint64_t found,
                       uint64_t expected)
{
    coh_buf_printf(
        err_text, "rank %u: %s: found %" PRIu64 ", expected %" PRIu64, rank, what, found, expected);
    return COH_EMISMATCH;
}

coh_err_t coh_recovery_check_hello(coh_recovery_t const *rec,
                                   coh_msg_hello_t const *hello,
                                   uint32_t rank,
                                   coh_buf_t *err_text)
{
    if (!coh_bytes_eq(hello->build, text_key(COH_VERSION))) {
        coh_buf_printf(err_text,
                       "rank %u: program version: found %.*s, expected " COH_VERSION,
                       rank,
                       (int)COH_MIN(hello->build.n, 64u),
                       (char const *)hello->build.p);
        return COH_EMISMATCH;
    }
    if (hello->chain_id != rec->chain_id) {
        return unfit(err_text, rank, "chain id", hello->chain_id, rec->chain_id);
    }
    if (!coh_hash_eq(&hello->genesis, &rec->genesis)) {
        char found[65];
        char expected[65];
        coh_hex_encode(found, hello->genesis.b, 32);
        coh_hex_encode(expected, rec->genesis.b, 32);
        coh_buf_printf(err_text, "rank %u: genesis: found %s, expected %s", rank, found, expected);
        return COH_EMISMATCH;
    }
    if (hello->config != rec->config_hash) {
        return unfit(err_text,
                     rank,
                     "hash of the CLUSTER options (all ranks must agree on them)",
                     hello->config,
                     rec->config_hash);
    }
    if (hello->rank_cnt != 0 && hello->rank_cnt != rec->rank_cnt) {
        return unfit(
            err_text, rank, "ranks in the layout of its data", hello->rank_cnt, rec->rank_cnt);
    }
    /* A shard may not have heard of the last move's decision. */
    if (hello->rank_cnt != 0 && hello->epoch != rec->dir.epoch &&
        hello->epoch + 1 != rec->dir.epoch) {
        return unfit(err_text, rank, "directory epoch of its data", hello->epoch, rec->dir.epoch);
    }
    if (hello->flushed > rec->head) {
        return unfit(err_text,
                     rank,
                     "state above the last decided block (the coordinator lost decisions)",
                     hello->flushed,
                     rec->head);
    }
    if (hello->prepared < rec->last_redo[rank - 1]) {
        return unfit(err_text,
                     rank,
                     "last block that it holds (the shard lost its state)",
                     hello->prepared,
                     rec->last_redo[rank - 1]);
    }
    return COH_OK;
}
