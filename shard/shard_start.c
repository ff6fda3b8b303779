#include "shard/shard_private.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/crypto/keccak.h"
#include "common/node/version.h"
#include "common/obs/log.h"

/* Accounts of genesis written in one batch. */
#define GENESIS_BATCH 131072u

/* What one batch of genesis puts. */
typedef struct {
    coh_mv_item_t *v;
    size_t cnt, cap;
} items_t;

void coh_sh_send_hello(coh_shard_t *s)
{
    coh_msg_hello_t m = {.build    = coh_bytes(COH_VERSION, strlen(COH_VERSION)),
                         .chain_id = s->genesis->chain_id,
                         .genesis  = s->genesis->identity,
                         .config   = coh_config_hash(s->config),
                         .rank_cnt = s->found.mark.rank_cnt,
                         .flushed  = s->found.fresh ? s->genesis->number : s->found.mark.flushed,
                         .prepared = s->found.fresh ? s->genesis->number : s->found.prepared,
                         .epoch    = s->found.mark.epoch};
    coh_wire_put_hello(coh_sh_to_coordinator(s), &m);
    s->state = COH_SH_HELLO_SENT;
}

static void send_ready(coh_shard_t *s)
{
    coh_tries_start(s->tries, s->part.committed);
    coh_wire_put_ready(coh_sh_to_coordinator(s), &(coh_msg_ready_t){.head = s->part.committed});
    s->state = COH_SH_RUNNING;
    COH_LOG_INF("shard", "ready", "head=%" PRIu64, s->part.committed);
}

static void add_item(items_t *items, coh_key_t key, coh_value_t const *value, bool is_guest)
{
    if (items->cnt == items->cap) {
        items->cap = items->cap == 0 ? 1024 : items->cap * 2;
        items->v   = coh_realloc(items->v, items->cap * sizeof(*items->v));
    }
    items->v[items->cnt++] = (coh_mv_item_t){.key = key, .value = *value, .is_guest = is_guest};
}

static void add_genesis_account(items_t *items, coh_genesis_account_t const *a, bool is_guest)
{
    coh_value_t value = {.word = a->balance, .nonce = a->nonce, .flags = COH_ACCOUNT_EXISTS};
    if (a->code.n != 0) {
        coh_keccak256(&value.code_hash, a->code.p, a->code.n);
    } else if (a->nonce == 0 && a->slot_cnt != 0) {
        value.flags |= COH_ACCOUNT_HAS_STORAGE;
    }
    add_item(items, coh_key_account(&a->addr), &value, is_guest);
    for (size_t i = 0; i < a->slot_cnt; i++) {
        add_item(items,
                 coh_key_slot(&a->addr, 0, &a->slots[i].key),
                 &(coh_value_t){.word = a->slots[i].value},
                 is_guest);
    }
}

/* Makes the disk requests for those items that are no guests'. */
static uint32_t request_flat(coh_disk_req_t *req[COH_FLUSH_REQ_MAX],
                             coh_mv_item_t const *items,
                             size_t cnt)
{
    coh_mv_item_t *own = coh_calloc(cnt + 1, sizeof(*own));
    size_t own_cnt     = 0;
    for (size_t i = 0; i < cnt; i++) {
        if (!items[i].is_guest) {
            own[own_cnt++] = items[i];
        }
    }
    uint32_t req_cnt = coh_flush_requests(req, own, own_cnt);
    free(own);
    return req_cnt;
}

/* Gives items to the flat tables, with codes, and to the tries; takes their memory. */
static void load_items(coh_shard_t *s, coh_mv_item_t *items, size_t cnt, coh_kv_batch_t *codes)
{
    coh_disk_req_t *req[COH_FLUSH_REQ_MAX];
    s->step       = COH_SH_LOADING;
    s->flat_done  = false;
    s->tries_done = false;
    coh_store_sort_items(items, cnt);
    uint32_t req_cnt = s->guests.host_cnt == 0 ? coh_flush_requests(req, items, cnt)
                                               : request_flat(req, items, cnt);
    coh_guests_note(codes, items, cnt);
    coh_tries_load(s->tries, items, coh_guests_keep(&s->guests, items, cnt));
    size_t at = 0;
    coh_kv_op_t op;
    while (coh_kv_batch_next(codes, &at, &op)) {
        coh_kv_batch_put(&req[req_cnt - 1]->batch, op.table, op.key, op.value);
    }
    coh_kv_batch_free(codes);
    for (uint32_t i = 0; i < req_cnt; i++) {
        req[i]->tag = COH_SH_TAG_LOADED;
        req[i]->arg = i + 1 == req_cnt; /* the last one */
        coh_sh_hand_out(s, req[i]);
    }
}

/* Loads the next accounts of genesis. */
static void load_genesis(coh_shard_t *s)
{
    coh_genesis_t const *g = s->genesis;
    items_t items          = {0};
    coh_kv_batch_t codes;
    uint16_t buckets[256];
    coh_addr_t addrs[256];
    coh_kv_batch_init(&codes);
    while (s->genesis_pos < g->alloc_cnt && items.cnt < GENESIS_BATCH) {
        size_t cnt = COH_MIN(COH_CNT(addrs), g->alloc_cnt - s->genesis_pos);
        for (size_t i = 0; i < cnt; i++) {
            addrs[i] = g->alloc[s->genesis_pos + i].addr;
        }
        coh_directory_buckets(buckets, addrs, cnt);
        for (size_t i = 0; i < cnt; i++) {
            coh_genesis_account_t const *a = &g->alloc[s->genesis_pos + i];
            bool is_here =
                1 + coh_directory_owner(&s->directory, &a->addr, buckets[i]) == s->env->rank;
            if (!is_here && 1 + coh_directory_shard(&s->directory, buckets[i]) != s->env->rank) {
                continue;
            }
            add_genesis_account(&items, a, !is_here);
            if (a->code.n != 0 && is_here) {
                coh_hash_t hash;
                coh_keccak256(&hash, a->code.p, a->code.n);
                coh_store_put_code(&codes, &hash, a->code);
            }
        }
        s->genesis_pos += cnt;
    }
    s->is_loaded = s->genesis_pos == g->alloc_cnt;
    load_items(s, items.v, items.cnt, &codes);
}

/* Puts the mark at the coordinator's head and deletes all redo records: applied or undecided. A fresh directory's mark comes last, too: without it genesis is written again. */
static void write_mark(coh_shard_t *s)
{
    s->step             = COH_SH_MARKING;
    coh_disk_req_t *req = coh_disk_req_new(COH_DISK_WRITE_SYNC, COH_SH_TAG_RECOVERY_MARK, 0);
    s->mark             = (coh_store_mark_t){
                    .rank_cnt = s->env->rank_cnt, .epoch = s->directory.epoch, .flushed = s->part.committed};
    coh_store_put_mark(&req->batch, &s->mark);
    coh_store_drop_redo(&req->batch, 0, UINT64_MAX - 1);
    coh_moves_recover(s->moves, &req->batch);
    coh_sh_hand_out(s, req);
}

/* Goes on with the start when what was under way is done. */
static void next_step(coh_shard_t *s)
{
    switch (s->step) {
    case COH_SH_LOADING:
        if (!s->flat_done || !s->tries_done) {
            break;
        }
        if (s->is_loaded || coh_tries_is_full(s->tries)) {
            s->step = COH_SH_TAKING;
            coh_tries_take(s->tries);
        } else {
            load_genesis(s);
        }
        break;
    case COH_SH_TAKING:
        if (s->is_loaded) {
            write_mark(s);
        } else {
            load_genesis(s);
        }
        break;
    case COH_SH_MARKING:
        s->step = COH_SH_ASKING;
        coh_tries_ask_nodes(s->tries, &s->directory, s->env->rank - 1);
        break;
    case COH_SH_ASKING: send_ready(s); break;
    }
}

void coh_sh_add_hash(coh_shard_t *s, uint64_t block, coh_hash_t const *hash)
{
    coh_executor_add_hash(s->ex, block, hash);
    coh_callq_add_hash(s->calls, block, hash);
}

coh_err_t coh_sh_add_hashes(coh_shard_t *s, uint64_t head, coh_bytes_t hashes)
{
    size_t cnt = hashes.n / sizeof(coh_hash_t);
    if (hashes.n % sizeof(coh_hash_t) != 0 || cnt > COH_EXECUTOR_HASH_CNT || cnt > head + 1) {
        return COH_EPROTO;
    }
    for (size_t i = 0; i < cnt; i++) {
        coh_hash_t hash;
        memcpy(hash.b, hashes.p + i * sizeof(hash.b), sizeof(hash.b));
        coh_sh_add_hash(s, head + 1 - cnt + i, &hash);
    }
    return COH_OK;
}

coh_err_t coh_sh_on_welcome(coh_shard_t *s, coh_msg_welcome_t const *m)
{
    if (s->state != COH_SH_HELLO_SENT) {
        return COH_EPROTO;
    }
    COH_TRY(coh_directory_decode(&s->directory, m->epoch, s->env->rank_cnt - 1, m->directory));
    coh_guests_init(&s->guests, &s->directory, s->env->rank - 1);
    uint64_t flushed = s->found.fresh ? s->genesis->number : s->found.mark.flushed;
    if (m->head < flushed) {
        coh_sh_fail(s,
                    "the coordinator's head %" PRIu64 " is below block %" PRIu64
                    " that this shard holds",
                    m->head,
                    flushed);
        return COH_OK;
    }
    COH_TRY(coh_sh_add_hashes(s, m->head, m->hashes));
    s->state = COH_SH_RECOVERING;
    coh_participant_init(&s->part, m->head);
    coh_past_start(s->past, m->head);
    if (s->found.fresh) {
        if (m->head != s->genesis->number) {
            coh_sh_fail(s,
                        "this shard's directory is empty, but the chain is at block %" PRIu64
                        "; restore the directory from a backup",
                        m->head);
            return COH_OK;
        }
        load_genesis(s);
        return COH_OK;
    }
    coh_mv_item_t *items = NULL;
    size_t cnt           = 0;
    coh_kv_batch_t codes;
    coh_kv_batch_init(&codes);
    coh_err_t rc = coh_recovery_collect(s->kv, flushed, m->head, &items, &cnt, &codes);
    if (rc != COH_OK) {
        coh_kv_batch_free(&codes);
        coh_sh_fail(s, "redo records cannot be read: %s", coh_err_str(rc));
        return COH_OK;
    }
    COH_LOG_INF("recovery",
                "applying redo records",
                "flushed=%" PRIu64 " prepared=%" PRIu64 " head=%" PRIu64 " entries=%zu",
                flushed,
                s->found.prepared,
                m->head,
                cnt);
    s->is_loaded = true;
    load_items(s, items, cnt, &codes);
    return COH_OK;
}

void coh_sh_on_start_written(coh_shard_t *s, coh_disk_req_t const *req)
{
    if (req->err != COH_OK) {
        coh_sh_fail(s,
                    "%s cannot be written: %s",
                    s->found.fresh ? "genesis" : "recovery",
                    coh_err_str(req->err));
    } else if (req->tag != COH_SH_TAG_LOADED || req->arg == 1) {
        s->flat_done = true;
        if (req->tag == COH_SH_TAG_PAGES) {
            coh_tries_written(s->tries);
        }
        next_step(s);
    }
}

void coh_sh_on_start_loaded(coh_shard_t *s)
{
    s->tries_done = true;
    next_step(s);
}

void coh_sh_on_start_pages(coh_shard_t *s, coh_tries_done_t *done)
{
    coh_disk_req_t *req =
        coh_disk_req_new(done->ingest ? COH_DISK_INGEST : COH_DISK_WRITE_SYNC, COH_SH_TAG_PAGES, 0);
    req->batch = done->pages;
    coh_kv_batch_init(&done->pages);
    coh_sh_hand_out(s, req);
}

void coh_sh_on_start_nodes(coh_shard_t *s, coh_tries_done_t const *done)
{
    coh_sh_put_nodes(coh_sh_to_coordinator(s), s->part.committed, done->nodes, done->node_cnt);
    next_step(s);
}
