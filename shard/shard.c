#include "shard/shard.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/hex.h"
#include "common/crypto/keccak.h"
#include "common/node/disk_req.h"
#include "common/node/recover.h"
#include "common/node/version.h"
#include "common/obs/log.h"
#include "common/wire/wire.h"
#include "shard/callq.h"
#include "shard/executor.h"
#include "shard/flush.h"
#include "shard/guests.h"
#include "shard/moves.h"
#include "shard/participant.h"
#include "shard/query.h"
#include "shard/reads.h"
#include "shard/recovery.h"
#include "shard/snapshots.h"
#include "shard/tries.h"
#include "shard/usage.h"

/* Keys in one read request to the disk. */
#define LOAD_MAX 1024u
/* Accounts of genesis written in one batch. */
#define GENESIS_BATCH 131072u
/* Gas of reading something for the first time in a transaction (EIP-2929). */
#define TOUCH_GAS UINT64_C(2100)
#define STATS_US  UINT64_C(1000000)
/* Every so many pieces of work, of which each is about a millisecond, a worker begins with a slice of a call. */
#define CALL_TURN 8u
/* Slots in one PROVE. */
#define PROVE_SLOTS_MAX 1024u

typedef enum {
    SHARD_NEW,
    SHARD_HELLO_SENT,
    SHARD_RECOVERING,
    SHARD_RUNNING,
    SHARD_FLUSHING,
    SHARD_STOPPED,
    SHARD_FAILED
} shard_state_t;

static char const *const state_names[] =
    {"new", "waiting", "recovering", "running", "flushing", "stopped", "failed"};

enum {
    TAG_LOAD = 1,
    TAG_LOAD_CODE,
    TAG_REDO,
    TAG_DROP,
    TAG_FLUSH,
    TAG_LOADED, /* flat values of genesis or of redo records */
    TAG_PAGES,  /* of the tries, at start */
    TAG_RECOVERY_MARK,
    TAG_READS,
    TAG_BACKUP,
    TAG_MOVE,
};

/* At start, for genesis and redo records alike: LOADING (the flat tables and the tries get values; again for as long as there are some) ─▶ TAKING (what the tries have to write) ─▶
   MARKING ─▶ ASKING (for the nodes of all buckets) ─▶ READY. A crash on the way does no harm: the values are absolute, and until the mark is there they are given again. */
typedef enum { LOADING, TAKING, MARKING, ASKING } start_step_t;

/* A message kept until its block begins: encoded again, with an envelope of its own. */
typedef struct kept {
    struct kept *next;
    uint32_t src;
    uint64_t block;
    uint32_t attempt;
    coh_buf_t frame;
} kept_t;

typedef struct {
    kept_t *first;
    kept_t **last;
} kept_list_t;

/* A prepared, undecided block. */
typedef struct {
    coh_mv_diff_t diff;
    coh_mv_step_t *trail; /* owned, until the tries take it; before Byzantium */
    size_t trail_cnt;
    coh_code_list_t codes;      /* that the diff gave to accounts */
    coh_guest_changes_t guests; /* until the tries take them */
    bool waits_for_hosts;       /* nothing is written before their CHANGES are here */
    uint32_t attempt;           /* of the block */
    uint64_t serial; /* of its redo write: a late completion of an aborted one does not count */
    coh_buf_t
        nodes; /* NODES and the yes, encoded, until the redo record is durable and the tries are updated */
    coh_buf_t vote;
    size_t redo_bytes;
    bool redo_done, redo_ok;
    bool tries_done;
    uint64_t settled_us;
    uint64_t settled_exec_us; /* executing_us then */
} slot_t;

/* Pieces of work that a worker has looked for; its own. */
typedef struct {
    COH_ALIGNED(COH_CACHE_LINE) uint32_t cnt;
} turn_t;

struct coh_shard {
    coh_node_t node;
    coh_config_t const *config;
    coh_genesis_t const *genesis;
    coh_env_t *env;
    coh_kv_t *kv;
    shard_state_t state;
    coh_buf_t fail_text; /* NUL-terminated once failed */

    coh_directory_t directory;
    coh_guests_t guests;
    coh_kv_batch_t guest_notes; /* of committed blocks: for the next flush */
    coh_mvstore_t *mv;
    coh_past_t *past;
    coh_snapshots_t *snapshots; /* of a dev chain, else NULL */
    coh_buf_t patch;            /* scratch: of a restore */
    coh_codes_t *codes;
    coh_code_list_t unwritten; /* code of committed blocks that no flush has taken */
    coh_executor_t *ex;
    coh_flush_t *flush;
    coh_tries_t *tries;
    coh_queries_t *queries;
    coh_reads_t *reads;
    coh_moves_t *moves;
    coh_usage_t *usage; /* NULL: placement does not learn */
    coh_callq_t *calls;
    turn_t *turns; /* by worker */
    coh_recoverq_t *recoverq;
    coh_wire_reader_t *reader;
    coh_wire_reader_t *kept_reader;
    uint64_t told_executions, told_retractions, told_cpu_ns; /* counters when the block began */
    coh_recovery_t found;                                    /* at start */
    coh_store_mark_t mark;

    coh_participant_t part;
    slot_t slots[COH_PARTICIPANT_WINDOW];
    uint64_t serial;
    uint32_t attempt;

    bool executing;
    uint64_t exec_block;
    uint64_t exec_since_us;
    uint64_t exec_us; /* time that blocks executed so far, the present one aside */
    coh_addr_t exec_coinbase;
    coh_fork_t exec_fork;
    uint32_t exec_serial;
    uint32_t wave;
    bool reported;
    uint64_t reported_sent, reported_received;
    kept_list_t blocks; /* BLOCKs that wait their turn */
    kept_list_t early;  /* messages of other shards for blocks that have not begun here */
    kept_list_t
        hosts; /* CHANGES of blocks that are not prepared here, or of which others are missing */

    start_step_t step; /* while recovering */
    bool flat_done;    /* LOADING: both halves */
    bool tries_done;
    bool is_loaded;       /* nothing is left to load */
    bool flush_wanted;    /* begins when the tries are at a committed block */
    uint64_t aborted;     /* the block of the last ABORT... */
    uint32_t abort_waits; /* ...and what must be done before its ACK */
    size_t redo_bytes;    /* since the last flush */
    uint64_t flush_us;    /* when that began */
    uint64_t stats_us;
    uint64_t genesis_pos; /* next account of genesis to write */
    uint32_t reads_outstanding;
    uint32_t writes_outstanding;
};

static coh_shard_t *shard_of(coh_node_t *node) { return (coh_shard_t *)node; }

COH_PRINTF(2, 3) static void fail(coh_shard_t *s, char const *fmt, ...)
{
    if (s->state == SHARD_FAILED) {
        return; /* the first reason is the one that matters */
    }
    char text[512];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    coh_buf_clear(&s->fail_text);
    coh_buf_put(&s->fail_text, text, strlen(text) + 1);
    s->state = SHARD_FAILED;
    COH_LOG_ERR("shard", "failed", "reason=\"%s\"", text);
}

/* ---- sending ---- */

static coh_buf_t *to_coordinator(coh_shard_t *s)
{
    coh_metric_add(s->env->metrics, COH_M_net_message_sent, 1);
    return s->env->outbox(s->env, 0);
}

static void send_hello(coh_shard_t *s)
{
    coh_msg_hello_t m = {.build    = coh_bytes(COH_VERSION, strlen(COH_VERSION)),
                         .chain_id = s->genesis->chain_id,
                         .genesis  = s->genesis->identity,
                         .config   = coh_config_hash(s->config),
                         .rank_cnt = s->found.mark.rank_cnt,
                         .flushed  = s->found.fresh ? s->genesis->number : s->found.mark.flushed,
                         .prepared = s->found.fresh ? s->genesis->number : s->found.prepared,
                         .epoch    = s->found.mark.epoch};
    coh_wire_put_hello(to_coordinator(s), &m);
    s->state = SHARD_HELLO_SENT;
}

static void send_ready(coh_shard_t *s)
{
    coh_tries_start(s->tries, s->part.committed);
    coh_wire_put_ready(to_coordinator(s), &(coh_msg_ready_t){.head = s->part.committed});
    s->state = SHARD_RUNNING;
    COH_LOG_INF("shard", "ready", "head=%" PRIu64, s->part.committed);
}

static void send_ack(coh_shard_t *s, uint64_t block, bool aborted)
{
    coh_wire_put_ack(to_coordinator(s), &(coh_msg_ack_t){.block = block, .aborted = aborted});
}

static void send_no(coh_shard_t *s, uint64_t block, coh_abort_t reason)
{
    COH_LOG_WRN(
        "participant", "vote no", "block=%" PRIu64 " reason=\"%s\"", block, coh_abort_str(reason));
    coh_metric_add(s->env->metrics, COH_M_participant_vote_no, 1);
    coh_wire_put_vote(to_coordinator(s), &(coh_msg_vote_t){.block = block, .reason = reason});
}

/* ---- disk ---- */

static void hand_out(coh_shard_t *s, coh_disk_req_t *req)
{
    s->writes_outstanding++;
    s->env->disk(s->env, req);
}

static void hand_out_read(coh_shard_t *s, coh_disk_req_t *req)
{
    if (req->key_cnt == 0) {
        coh_disk_req_free(req);
        return;
    }
    s->reads_outstanding++;
    s->env->disk(s->env, req);
}

static void request_loads(coh_shard_t *s)
{
    coh_key_t keys[LOAD_MAX];
    size_t cnt;
    while ((cnt = coh_mv_take_loads(s->mv, keys, LOAD_MAX)) != 0) {
        for (uint32_t kind = COH_KEY_ACCOUNT; kind <= COH_KEY_SLOT; kind++) {
            coh_kv_table_t table = kind == COH_KEY_ACCOUNT ? COH_KV_ACCOUNTS : COH_KV_STORAGE;
            coh_disk_req_t *req  = coh_disk_read_new(TAG_LOAD, table, cnt, COH_STORE_KEY_MAX);
            uint8_t *space       = (uint8_t *)(req->keys + cnt);
            for (size_t i = 0; i < cnt; i++) {
                if (keys[i].kind == kind) {
                    req->keys[req->key_cnt++] = coh_store_key(space, &keys[i]);
                    space += COH_STORE_KEY_MAX;
                }
            }
            hand_out_read(s, req);
        }
    }
    coh_hash_t hashes[64];
    while ((cnt = coh_codes_take_loads(s->codes, hashes, COH_CNT(hashes))) != 0) {
        coh_disk_req_t *req = coh_disk_read_new(TAG_LOAD_CODE, COH_KV_CODE, cnt, sizeof(hashes[0]));
        req->key_cnt        = cnt;
        uint8_t *space      = (uint8_t *)(req->keys + cnt);
        memcpy(space, hashes, cnt * sizeof(hashes[0]));
        for (size_t i = 0; i < cnt; i++) {
            req->keys[i] = coh_bytes(space + i * sizeof(hashes[0]), sizeof(hashes[0]));
        }
        hand_out_read(s, req);
    }
}

/* Goes on with queries whose keys or codes have come. */
static void finish_queries(coh_shard_t *s)
{
    coh_waiter_t waiter;
    while (coh_mv_take_query(s->mv, &waiter) || coh_codes_take_query(s->codes, &waiter)) {
        coh_queries_on_loaded(s->queries, &waiter);
    }
}

/* Of coh_mv_set_source. What is damaged is asked of the disk again, and reported then. */
static bool read_at_once(void *arg, coh_key_t const *key, coh_buf_t *scratch, coh_value_t *out)
{
    coh_shard_t const *s = arg;
    uint8_t space[COH_STORE_KEY_MAX];
    coh_buf_clear(scratch);
    coh_err_t rc = s->env->peek(s->env, coh_store_table(key), coh_store_key(space, key), scratch);
    return rc == COH_ENOTFOUND ||
           (rc == COH_OK && coh_store_get_value(out, key->kind, coh_buf_bytes(scratch)) == COH_OK);
}

/* Of coh_codes_set_source, likewise. */
static bool read_code_at_once(void *arg, coh_hash_t const *hash, coh_buf_t *out)
{
    coh_shard_t const *s = arg;
    coh_hash_t is;
    if (s->env->peek(s->env, COH_KV_CODE, coh_bytes(hash->b, sizeof(hash->b)), out) != COH_OK) {
        return false;
    }
    coh_keccak256(&is, out->p, out->n);
    return coh_hash_eq(&is, hash);
}

static void fail_damaged(coh_shard_t *s, char const *what, coh_bytes_t key)
{
    char hex[2 * COH_STORE_KEY_MAX + 1];
    coh_hex_encode(hex, key.p, key.n);
    fail(
        s, "the stored %s 0x%s is damaged; restore this rank's directory from a backup", what, hex);
}

static void on_loads(coh_shard_t *s, coh_disk_req_t *req)
{
    s->reads_outstanding--;
    if (req->err != COH_OK) {
        fail(s, "accounts cannot be read from disk: %s", coh_err_str(req->err));
        return;
    }
    size_t at = 0;
    for (size_t i = 0; i < req->key_cnt; i++) {
        coh_key_t key;
        coh_value_t value = {0};
        coh_err_t rc      = coh_store_read_key(&key, req->table, req->keys[i]);
        COH_ASSERT(rc == COH_OK); /* we wrote it */
        if (req->errs[i] == COH_OK) {
            coh_bytes_t in = coh_bytes(req->values.p + at, req->lens[i]);
            if (coh_store_get_value(&value, key.kind, in) != COH_OK) {
                fail_damaged(s, "value of", req->keys[i]);
                return;
            }
            at += req->lens[i];
        }
        coh_executor_on_loaded(s->ex, &key, &value);
    }
    finish_queries(s);
}

static void on_codes_loaded(coh_shard_t *s, coh_disk_req_t *req)
{
    s->reads_outstanding--;
    if (req->err != COH_OK) {
        fail(s, "code cannot be read from disk: %s", coh_err_str(req->err));
        return;
    }
    size_t at = 0;
    for (size_t i = 0; i < req->key_cnt; i++) {
        coh_hash_t hash;
        coh_hash_t is = {{0}};
        memcpy(hash.b, req->keys[i].p, sizeof(hash.b));
        coh_bytes_t code = {0};
        if (req->errs[i] == COH_OK) {
            code = coh_bytes(req->values.p + at, req->lens[i]);
            at += req->lens[i];
            coh_keccak256(&is, code.p, code.n);
        }
        if (!coh_hash_eq(&is, &hash)) { /* an account that was read has it */
            fail_damaged(s, "code", req->keys[i]);
            return;
        }
        coh_executor_on_code_loaded(s->ex, &hash, code);
    }
    finish_queries(s);
}

/* ---- recovery ---- */

/* What one batch of genesis puts. */
typedef struct {
    coh_mv_item_t *v;
    size_t cnt, cap;
} items_t;

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

/* Notes the generations of guests whose storage was wiped. */
static void note_guests(coh_kv_batch_t *batch, coh_mv_item_t const *items, size_t cnt)
{
    for (size_t i = 0; i < cnt; i++) {
        if (items[i].is_guest && items[i].wiped) {
            coh_store_put_guest(batch, &items[i].key.addr, items[i].value.generation);
        }
    }
}

/* Gives items to the flat tables, with codes, and to the tries; takes their memory. */
static void load_items(coh_shard_t *s, coh_mv_item_t *items, size_t cnt, coh_kv_batch_t *codes)
{
    coh_disk_req_t *req[COH_FLUSH_REQ_MAX];
    s->step       = LOADING;
    s->flat_done  = false;
    s->tries_done = false;
    coh_store_sort_items(items, cnt);
    uint32_t req_cnt = s->guests.host_cnt == 0 ? coh_flush_requests(req, items, cnt)
                                               : request_flat(req, items, cnt);
    note_guests(codes, items, cnt);
    coh_tries_load(s->tries, items, coh_guests_keep(&s->guests, items, cnt));
    size_t at = 0;
    coh_kv_op_t op;
    while (coh_kv_batch_next(codes, &at, &op)) {
        coh_kv_batch_put(&req[req_cnt - 1]->batch, op.table, op.key, op.value);
    }
    coh_kv_batch_free(codes);
    for (uint32_t i = 0; i < req_cnt; i++) {
        req[i]->tag = TAG_LOADED;
        req[i]->arg = i + 1 == req_cnt; /* the last one */
        hand_out(s, req[i]);
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
    s->step             = MARKING;
    coh_disk_req_t *req = coh_disk_req_new(COH_DISK_WRITE_SYNC, TAG_RECOVERY_MARK, 0);
    s->mark             = (coh_store_mark_t){
                    .rank_cnt = s->env->rank_cnt, .epoch = s->directory.epoch, .flushed = s->part.committed};
    coh_store_put_mark(&req->batch, &s->mark);
    coh_store_drop_redo(&req->batch, 0, UINT64_MAX - 1);
    coh_moves_recover(s->moves, &req->batch);
    hand_out(s, req);
}

/* Goes on with the start when what was under way is done. */
static void next_step(coh_shard_t *s)
{
    switch (s->step) {
    case LOADING:
        if (!s->flat_done || !s->tries_done) {
            break;
        }
        if (s->is_loaded || coh_tries_is_full(s->tries)) {
            s->step = TAKING;
            coh_tries_take(s->tries);
        } else {
            load_genesis(s);
        }
        break;
    case TAKING:
        if (s->is_loaded) {
            write_mark(s);
        } else {
            load_genesis(s);
        }
        break;
    case MARKING:
        s->step = ASKING;
        coh_tries_ask_nodes(s->tries, &s->directory, s->env->rank - 1);
        break;
    case ASKING: send_ready(s); break;
    }
}

static coh_err_t on_welcome(coh_shard_t *s, coh_msg_welcome_t const *m)
{
    if (s->state != SHARD_HELLO_SENT) {
        return COH_EPROTO;
    }
    COH_TRY(coh_directory_decode(&s->directory, m->epoch, s->env->rank_cnt - 1, m->directory));
    coh_guests_init(&s->guests, &s->directory, s->env->rank - 1);
    uint64_t flushed = s->found.fresh ? s->genesis->number : s->found.mark.flushed;
    if (m->head < flushed) {
        fail(s,
             "the coordinator's head %" PRIu64 " is below block %" PRIu64 " that this shard holds",
             m->head,
             flushed);
        return COH_OK;
    }
    size_t hash_cnt = m->hashes.n / sizeof(coh_hash_t);
    if (m->hashes.n % sizeof(coh_hash_t) != 0 || hash_cnt > COH_EXECUTOR_HASH_CNT ||
        hash_cnt > m->head + 1) {
        return COH_EPROTO;
    }
    for (size_t i = 0; i < hash_cnt; i++) {
        coh_hash_t hash;
        memcpy(hash.b, m->hashes.p + i * sizeof(hash.b), sizeof(hash.b));
        coh_executor_add_hash(s->ex, m->head + 1 - hash_cnt + i, &hash);
        coh_callq_add_hash(s->calls, m->head + 1 - hash_cnt + i, &hash);
    }
    s->state = SHARD_RECOVERING;
    coh_participant_init(&s->part, m->head);
    coh_past_start(s->past, m->head);
    if (s->found.fresh) {
        if (m->head != s->genesis->number) {
            fail(s,
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
        fail(s, "redo records cannot be read: %s", coh_err_str(rc));
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

/* ---- messages kept for later ---- */

static void keep_init(kept_list_t *list)
{
    list->first = NULL;
    list->last  = &list->first;
}

static kept_t *keep(coh_shard_t *s,
                    kept_list_t *list,
                    uint32_t src,
                    uint64_t block,
                    uint32_t attempt)
{
    kept_t *k  = coh_calloc(1, sizeof(*k));
    k->src     = src;
    k->block   = block;
    k->attempt = attempt;
    coh_wire_put_envelope(&k->frame, &(coh_envelope_t){.sender = s->env->rank});
    *list->last = k;
    list->last  = &k->next;
    return k;
}

static void free_kept(kept_t *k)
{
    coh_buf_free(&k->frame);
    free(k);
}

/* Drops what the caller does not want any more: of a block from first on, or of an older attempt. */
static void drop_kept(kept_list_t *list, uint64_t first, uint32_t attempt)
{
    kept_t **link = &list->first;
    while (*link != NULL) {
        kept_t *k = *link;
        if (k->block >= first && k->attempt < attempt) {
            *link = k->next;
            free_kept(k);
        } else {
            link = &k->next;
        }
    }
    list->last = link;
}

static void open_kept(coh_shard_t *s, kept_t const *k, coh_msg_t *m)
{
    coh_envelope_t envelope;
    coh_err_t rc = coh_wire_reader_begin(s->kept_reader, coh_buf_bytes(&k->frame), &envelope);
    rc           = rc == COH_OK ? coh_wire_reader_next(s->kept_reader, m) : rc;
    COH_ASSERT(rc == COH_OK); /* we encoded it */
}

/* ---- execution ---- */

static coh_err_t give_to_executor(coh_shard_t *s, uint32_t src, coh_msg_t const *m)
{
    switch (m->id) {
    case COH_MSG_PUBLISH: return coh_executor_on_publish(s->ex, src, &m->u.publish);
    case COH_MSG_READ: return coh_executor_on_read(s->ex, src, &m->u.read);
    case COH_MSG_VALUE: return coh_executor_on_value(s->ex, &m->u.value);
    case COH_MSG_RETRACT: return coh_executor_on_retract(s->ex, &m->u.retract);
    default: return COH_EPROTO;
    }
}

/* Asks for a flush, which begins when the tries are at a committed block: it takes from both what they are at the same one. */
static void start_flush(coh_shard_t *s)
{
    if (!coh_flush_is_running(s->flush) && !s->flush_wanted) {
        s->flush_wanted = true;
        coh_tries_hold(s->tries);
    }
}

static bool poll_flush(coh_shard_t *s)
{
    bool did = coh_flush_poll(s->flush, TAG_FLUSH);
    if (s->flush_wanted && coh_tries_is_committed(s->tries)) {
        s->flush_wanted = false;
        coh_tries_take(s->tries);
        coh_flush_begin(s->flush,
                        &(coh_store_mark_t){.rank_cnt = s->env->rank_cnt,
                                            .epoch    = s->directory.epoch,
                                            .flushed  = s->part.committed},
                        &s->unwritten,
                        &s->guest_notes);
        s->redo_bytes = 0;
        s->flush_us   = s->env->mono_us(s->env);
        did           = true;
    }
    return did;
}

/* Entries that a block may be expected to need: sender and receiver of each transaction, the coinbase, and what contracts touch, of which a
   quarter is enough for most: more spills over. */
static size_t expected_entries(coh_shard_t const *s, coh_msg_block_t const *m)
{
    size_t plain   = 2 * (size_t)m->tx_cnt + 2;
    size_t touched = m->fees_exact ? (size_t)COH_MIN(m->gas_limit / TOUCH_GAS,
                                                     s->config->state_cache_entries / 4)
                                   : 0;
    return COH_MIN(plain + touched, s->config->state_cache_entries);
}

/* On a dev chain: makes a PATCH of a RESTORE. Scratch lives until the block has begun. */
static coh_err_t expand_restore(coh_shard_t *s, coh_msg_block_t *m, coh_rec_block_tx_t *only)
{
    coh_step_t step;
    if (s->snapshots == NULL || m->txs.cnt != 1 || m->txs.v[0].is_step == 0 ||
        coh_step_decode(&step, m->txs.v[0].raw) != COH_OK || step.kind != COH_STEP_RESTORE) {
        return COH_OK;
    }
    if (!coh_snapshots_has(s->snapshots, s->past, step.snapshot)) {
        return COH_EPROTO; /* it was checked */
    }
    coh_buf_clear(&s->patch);
    coh_snapshots_patch(s->snapshots, s->past, step.snapshot, &s->patch);
    *only     = m->txs.v[0];
    only->raw = coh_buf_bytes(&s->patch);
    m->txs.v  = only;
    return COH_OK;
}

/* By how much a counter has grown since this was asked last. */
static uint64_t since_last(coh_shard_t const *s, coh_metric_id_t id, uint64_t *told)
{
    uint64_t before = *told;
    *told           = coh_metric_get(s->env->metrics, id);
    return *told - before;
}

/* Begins the next waiting block, if its turn has come and memory has room for what it may touch. */
static bool try_begin(coh_shard_t *s)
{
    kept_t *k = s->blocks.first;
    if (s->executing || k == NULL || k->block != s->part.committed + s->part.cnt + 1) {
        return false;
    }
    coh_msg_t m;
    open_kept(s, k, &m);
    if (!coh_mv_block_begin(s->mv, m.u.block.tx_cnt, expected_entries(s, &m.u.block))) {
        if (coh_mv_dirty_cnt(s->mv) != 0) {
            start_flush(s);
        }
        return false;
    }
    s->blocks.first = k->next;
    if (s->blocks.first == NULL) {
        s->blocks.last = &s->blocks.first;
    }
    coh_codes_trim(s->codes);
    (void)since_last(s, COH_M_executor_incarnation, &s->told_executions);
    (void)since_last(s, COH_M_mvstore_retraction, &s->told_retractions);
    (void)since_last(s, COH_M_executor_cpu, &s->told_cpu_ns);
    coh_rec_block_tx_t only;
    coh_err_t rc = expand_restore(s, &m.u.block, &only);
    if (rc == COH_OK) {
        rc = coh_executor_begin(s->ex, &m.u.block, ++s->exec_serial);
    }
    if (rc != COH_OK) {
        fail(s,
             "BLOCK %" PRIu64 " from the coordinator cannot be used: %s",
             k->block,
             coh_err_str(rc));
        free_kept(k);
        return true;
    }
    s->executing     = true;
    s->exec_since_us = s->env->mono_us(s->env);
    s->exec_block    = k->block;
    s->exec_coinbase = m.u.block.coinbase;
    s->exec_fork     = (coh_fork_t)m.u.block.fork;
    s->wave          = 0;
    s->reported      = false;
    free_kept(k);

    kept_t **link = &s->early.first;
    while (*link != NULL && s->state != SHARD_FAILED) {
        kept_t *e = *link;
        if (e->block != s->exec_block || e->attempt != s->attempt) {
            link = &e->next;
            continue;
        }
        *link = e->next;
        open_kept(s, e, &m);
        rc = give_to_executor(s, e->src, &m);
        if (rc != COH_OK) {
            fail(s,
                 "%s of block %" PRIu64 " from rank %u cannot be used: %s",
                 coh_wire_msg_name(m.id),
                 e->block,
                 e->src,
                 coh_err_str(rc));
        }
        free_kept(e);
    }
    while (*link != NULL) {
        link = &(*link)->next;
    }
    s->early.last = link;
    return true;
}

static coh_err_t on_block(coh_shard_t *s, coh_msg_block_t const *m)
{
    uint64_t expected = s->part.committed + s->part.cnt + s->executing + 1;
    for (kept_t *k = s->blocks.first; k != NULL; k = k->next) {
        expected++;
    }
    if (s->state != SHARD_RUNNING || m->number != expected || m->attempt != s->attempt ||
        m->fork >= COH_FORK_CNT || m->tx_cnt > s->config->block_tx_max + COH_STEP_CNT_MAX ||
        m->txs.cnt > m->tx_cnt) {
        return COH_EPROTO;
    }
    kept_t *k = keep(s, &s->blocks, 0, m->number, m->attempt);
    coh_wire_put_block(&k->frame, m);
    (void)try_begin(s);
    return COH_OK;
}

/* Messages between shards: for the executing block, or early, or of an attempt that is over. */
static coh_err_t on_shard_message(coh_shard_t *s,
                                  uint32_t src,
                                  coh_msg_t const *m,
                                  uint64_t block,
                                  uint32_t attempt)
{
    if (src == 0 || src == s->env->rank) {
        return COH_EPROTO;
    }
    if (attempt < s->attempt) {
        return COH_OK;
    }
    if (attempt == s->attempt && s->executing && block == s->exec_block) {
        return give_to_executor(s, src, m);
    }
    uint64_t begun = s->part.committed + s->part.cnt + s->executing;
    if (attempt == s->attempt && block <= begun) {
        return COH_EPROTO; /* a settled block has no messages under way */
    }
    kept_t *k = keep(s, &s->early, src, block, attempt);
    switch (m->id) {
    case COH_MSG_PUBLISH: coh_wire_put_publish(&k->frame, &m->u.publish); break;
    case COH_MSG_READ: coh_wire_put_read(&k->frame, &m->u.read); break;
    case COH_MSG_VALUE: coh_wire_put_value(&k->frame, &m->u.value); break;
    default: coh_wire_put_retract(&k->frame, &m->u.retract); break;
    }
    return COH_OK;
}

/* Reports IDLE when there is something new to say. */
static bool report_if_idle(coh_shard_t *s)
{
    if (!s->executing || !coh_executor_is_idle(s->ex)) {
        return false;
    }
    uint64_t sent     = coh_executor_sent(s->ex);
    uint64_t received = coh_executor_received(s->ex);
    if (s->reported && s->reported_sent == sent && s->reported_received == received) {
        return false;
    }
    coh_rec_digest_t *effects = coh_calloc(s->env->rank_cnt - 1, sizeof(*effects));
    for (uint32_t r = 1; r < s->env->rank_cnt; r++) {
        effects[r - 1].effects = coh_executor_effects_to(s->ex, r);
    }
    coh_msg_idle_t m = {
        .block = s->exec_block, .wave = s->wave, .sent = sent, .received = received};
    m.effects.v   = effects;
    m.effects.cnt = s->env->rank_cnt - 1;
    coh_executor_sums(s->ex, &m.gas_used, &m.blob_gas, &m.tips);
    coh_wire_put_idle(to_coordinator(s), &m);
    free(effects);
    s->reported          = true;
    s->reported_sent     = sent;
    s->reported_received = received;
    return true;
}

static coh_err_t on_wave(coh_shard_t *s, coh_msg_wave_t const *m)
{
    if (!s->executing || m->block != s->exec_block || m->wave <= s->wave) {
        return COH_EPROTO;
    }
    s->wave     = m->wave;
    s->reported = false;
    return COH_OK;
}

/* ---- commit ---- */

static slot_t *slot_of(coh_shard_t *s, uint64_t block)
{
    return &s->slots[block % COH_PARTICIPANT_WINDOW];
}

static void encode_vote(coh_shard_t *s, slot_t *slot, bool has_redo)
{
    coh_msg_vote_t m = {.block = slot->diff.block, .yes = 1, .has_redo = has_redo};
    uint32_t cnt     = 0;
    m.results.v      = coh_executor_results(s->ex, &cnt);
    m.results.cnt    = cnt;
    coh_metric_add(s->env->metrics, COH_M_executor_tx, cnt);
    uint64_t across = 0;
    uint64_t kept   = 0; /* of these, in the block */
    for (uint32_t i = 0; i < cnt; i++) {
        bool is_across = coh_executor_is_across(s->ex, i);
        across += is_across;
        kept += is_across && m.results.v[i].verdict == COH_TX_OK;
    }
    coh_metric_add(s->env->metrics, COH_M_executor_tx_across, across);
    if (s->usage != NULL) {
        coh_usage_add(s->usage, s->ex, m.results.v, cnt, across);
    }
    coh_buf_clear(&slot->vote);
    if (s->env->metrics != NULL) {
        coh_msg_executed_t e = {.block = slot->diff.block, .across_cnt = kept};
        e.executions         = since_last(s, COH_M_executor_incarnation, &s->told_executions);
        e.retractions        = since_last(s, COH_M_mvstore_retraction, &s->told_retractions);
        e.cpu_ns             = since_last(s, COH_M_executor_cpu, &s->told_cpu_ns);
        coh_wire_put_executed(&slot->vote, &e);
    }
    coh_wire_put_vote(&slot->vote, &m);
}

static void send_yes(coh_shard_t *s, slot_t *slot)
{
    coh_metric_add(s->env->metrics, COH_M_participant_vote_yes, 1);
    coh_buf_t *out = to_coordinator(s);
    coh_buf_put(out, slot->nodes.p, slot->nodes.n);
    coh_buf_put(out, slot->vote.p, slot->vote.n);
    coh_buf_free(&slot->nodes);
    coh_buf_free(&slot->vote);
}

/* Nodes as the wire has them, borrowing from nodes; the caller's, free(). */
static coh_rec_node_t *node_recs(coh_trie_node_t const *nodes, size_t cnt)
{
    coh_rec_node_t *recs = coh_calloc(cnt + 1, sizeof(*recs));
    for (size_t i = 0; i < cnt; i++) {
        coh_mpt_node_t const *node = &nodes[i].node;
        recs[i]                    = (coh_rec_node_t){
                               .bucket = nodes[i].bucket, .kind = node->kind, .node = coh_bytes(node->b, node->n)};
    }
    return recs;
}

static void put_nodes(coh_buf_t *out, uint64_t block, coh_trie_node_t const *nodes, size_t cnt)
{
    coh_rec_node_t *recs = node_recs(nodes, cnt);
    coh_msg_nodes_t m    = {.block = block};
    m.nodes.v            = recs;
    m.nodes.cnt          = (uint32_t)cnt;
    coh_wire_put_nodes(out, &m);
    free(recs);
}

static void put_trail(coh_buf_t *out, uint64_t block, coh_trail_node_t const *nodes, size_t cnt)
{
    coh_rec_trail_node_t *recs = coh_calloc(cnt + 1, sizeof(*recs));
    for (size_t i = 0; i < cnt; i++) {
        coh_mpt_node_t const *node = &nodes[i].node.node;
        recs[i]                    = (coh_rec_trail_node_t){.tx_idx = nodes[i].tx_idx,
                                                            .bucket = nodes[i].node.bucket,
                                                            .kind   = node->kind,
                                                            .node   = coh_bytes(node->b, node->n)};
    }
    coh_msg_trail_t m = {.block = block};
    m.nodes.v         = recs;
    m.nodes.cnt       = (uint32_t)cnt;
    coh_wire_put_trail(out, &m);
    free(recs);
}

/* Whether the executing block, or the one that has just settled, gets a state root of its own. */
static bool has_root(coh_shard_t const *s, uint64_t block)
{
    return s->exec_fork < COH_FORK_BYZANTIUM || block % s->config->block_root_every == 0;
}

/* Whether the settled block of slot has a redo record. Before Byzantium it may have changed back. What hosts will say of it is not known when it settles. */
static bool is_changed(coh_shard_t const *s, slot_t const *slot)
{
    return slot->diff.cnt != 0 || slot->trail_cnt != 0 || s->guests.host_cnt != 0;
}

/* Lists what the block changed here, with room for guests'. */
static coh_mv_item_t *list_items(coh_shard_t *s, slot_t const *slot)
{
    coh_mv_diff_t const *diff = &slot->diff;
    coh_mv_item_t *items      = coh_calloc(diff->cnt + slot->guests.cnt + 1, sizeof(*items));
    for (size_t i = 0; i < diff->cnt; i++) {
        items[i] = (coh_mv_item_t){.key   = *coh_mv_entry_key(s->mv, diff->v[i].entry),
                                   .value = diff->v[i].value,
                                   .wiped = diff->v[i].wiped};
    }
    return items;
}

/* Puts what transactions left in guests between what they left here. */
static void merge_trails(coh_shard_t *s, slot_t *slot)
{
    coh_guest_changes_t *guests = &slot->guests;
    size_t own                  = coh_guests_keep_steps(&s->guests, slot->trail, slot->trail_cnt);
    coh_mv_step_t *all          = coh_calloc(own + guests->trail_cnt + 1, sizeof(*all));
    if (own != 0) {
        memcpy(all, slot->trail, own * sizeof(*all));
    }
    if (guests->trail_cnt != 0) {
        memcpy(all + own, guests->trail, guests->trail_cnt * sizeof(*all));
    }
    free(slot->trail);
    slot->trail     = all;
    slot->trail_cnt = own + guests->trail_cnt;
    coh_mv_sort_steps(slot->trail, slot->trail_cnt);
}

/* Gives the block's changes to the tries. */
static void update_tries(coh_shard_t *s, slot_t *slot)
{
    coh_guest_changes_t *guests = &slot->guests;
    coh_mv_item_t *items        = list_items(s, slot);
    size_t cnt                  = coh_guests_keep(&s->guests, items, slot->diff.cnt);
    if (guests->cnt != 0) {
        memcpy(items + cnt, guests->items, guests->cnt * sizeof(*items));
        cnt += guests->cnt;
    }
    if (s->directory.override_cnt != 0 && slot->trail_cnt + guests->trail_cnt != 0) {
        merge_trails(s, slot);
    }
    if (has_root(s, slot->diff.block)) {
        coh_tries_update(s->tries, slot->diff.block, items, cnt, slot->trail, slot->trail_cnt);
        slot->trail     = NULL;
        slot->trail_cnt = 0;
    } else {
        coh_tries_defer(s->tries, slot->diff.block, items, cnt);
    }
}

/* Tells the owners of our guests' buckets what the block changed in them. */
static void send_changes(coh_shard_t *s, slot_t const *slot)
{
    coh_mv_item_t *items = list_items(s, slot);
    for (uint32_t r = 1; r < s->env->rank_cnt; r++) {
        if (s->guests.is_owner[r - 1] != 0) {
            coh_guests_put_changes(&s->guests,
                                   s->env->outbox(s->env, r),
                                   r - 1,
                                   slot->diff.block,
                                   slot->attempt,
                                   items,
                                   slot->diff.cnt,
                                   slot->trail,
                                   slot->trail_cnt);
            coh_metric_add(s->env->metrics, COH_M_net_message_sent, 1);
        }
    }
    free(items);
}

/* Makes the block durable and its root: what it changed here and in guests is known. */
static void write_block(coh_shard_t *s, slot_t *slot)
{
    slot->waits_for_hosts = false;
    bool writes_redo      = !slot->redo_done;
    if (writes_redo) {
        coh_disk_req_t *req = coh_disk_req_new(COH_DISK_WRITE_SYNC, TAG_REDO, slot->serial);
        slot->redo_bytes    = coh_store_put_redo(&req->batch,
                                              s->mv,
                                              &slot->diff,
                                              slot->guests.items,
                                              slot->guests.cnt,
                                              s->codes,
                                              &slot->codes);
        coh_metric_add(s->env->metrics, COH_M_participant_redo, slot->redo_bytes);
        hand_out(s, req);
    }
    update_tries(s, slot);
}

/* Goes on with a prepared block if all its hosts' CHANGES are here. COH_EPROTO: they do not fit */
static coh_err_t take_changes(coh_shard_t *s, slot_t *slot)
{
    uint32_t cnt = 0;
    for (kept_t *k = s->hosts.first; k != NULL; k = k->next) {
        cnt += k->block == slot->diff.block && k->attempt == slot->attempt;
    }
    if (!slot->waits_for_hosts || cnt < s->guests.host_cnt) {
        return COH_OK;
    }
    kept_t **link = &s->hosts.first;
    coh_err_t rc  = COH_OK;
    while (*link != NULL) {
        kept_t *k = *link;
        if (k->block != slot->diff.block || k->attempt != slot->attempt) {
            link = &k->next;
            continue;
        }
        coh_msg_t m;
        *link = k->next;
        open_kept(s, k, &m);
        if (rc == COH_OK) {
            rc = coh_guests_take_changes(&s->guests, &slot->guests, k->src - 1, &m.u.changes);
        }
        free_kept(k);
    }
    s->hosts.last = link;
    if (rc == COH_OK) {
        write_block(s, slot);
    }
    return rc;
}

static coh_err_t on_changes(coh_shard_t *s, uint32_t src, coh_msg_changes_t const *m)
{
    if (src == 0 || src == s->env->rank || s->state != SHARD_RUNNING ||
        s->guests.is_host[src - 1] == 0) {
        return COH_EPROTO;
    }
    /* A block has the attempt in which it began, also when one above it is aborted. */
    slot_t *slot     = slot_of(s, m->block);
    bool is_prepared = m->block > s->part.committed && m->block - s->part.committed <= s->part.cnt;
    uint32_t attempt = is_prepared ? slot->attempt : s->attempt;
    if (m->attempt < attempt) {
        return COH_OK;
    }
    is_prepared = is_prepared && m->attempt == attempt;
    if (m->block <= s->part.committed || (is_prepared && !slot->waits_for_hosts)) {
        return COH_EPROTO; /* its hosts have spoken */
    }
    for (kept_t *k = s->hosts.first; k != NULL; k = k->next) {
        if (k->src == src && k->block == m->block && k->attempt == m->attempt) {
            return COH_EPROTO;
        }
    }
    kept_t *k = keep(s, &s->hosts, src, m->block, m->attempt);
    coh_wire_put_changes(&k->frame, m);
    return is_prepared ? take_changes(s, slot) : COH_OK;
}

static void do_part(coh_shard_t *s, uint64_t block, coh_part_action_t action, coh_abort_t reason)
{
    slot_t *slot = slot_of(s, block);
    switch (action) {
    case COH_PART_DO_NOTHING: break;
    case COH_PART_DO_WRITE:
        slot->serial          = ++s->serial;
        slot->redo_done       = !is_changed(s, slot);
        slot->redo_ok         = true;
        slot->tries_done      = !has_root(s, block);
        slot->waits_for_hosts = s->guests.host_cnt != 0;
        if (!slot->waits_for_hosts) {
            write_block(s, slot);
        }
        break;
    case COH_PART_DO_VOTE_YES: send_yes(s, slot); break;
    case COH_PART_DO_VOTE_NO: send_no(s, block, reason); break;
    case COH_PART_DO_APPLY:
        coh_mv_commit(s->mv, &slot->diff);
        coh_tries_commit(s->tries, block);
        note_guests(&s->guest_notes, slot->guests.items, slot->guests.cnt);
        coh_guest_changes_free(&slot->guests);
        coh_code_list_move(&s->unwritten, &slot->codes);
        s->redo_bytes += slot->redo_bytes;
        slot->redo_bytes = 0;
        coh_mv_diff_free(&slot->diff);
        send_ack(s, block, false);
        if (s->usage != NULL && block % COH_USAGE_WINDOW == 0) {
            coh_usage_report(s->usage, to_coordinator(s), block);
        }
        break;
    }
}

static void end_executing(coh_shard_t *s)
{
    s->executing = false;
    s->exec_us += s->env->mono_us(s->env) - s->exec_since_us;
}

/* Time that blocks executed up to now. */
static uint64_t executing_us(coh_shard_t const *s, uint64_t now_us)
{
    return s->exec_us + (s->executing ? now_us - s->exec_since_us : 0);
}

static coh_err_t on_prepare(coh_shard_t *s, coh_msg_prepare_t const *m)
{
    /* Once reported idle, the block stays so: only another shard's message could change it, and settlement excludes those. (A
       query may be loading keys meanwhile: none that the block touched.) */
    if (!s->executing || m->block != s->exec_block || !s->reported ||
        m->effects.cnt != s->env->rank_cnt - 1) {
        return COH_EPROTO;
    }
    uint64_t start_ns = coh_clock_thread_cpu_ns();
    coh_executor_end(s->ex);
    coh_abort_t reason = COH_ABORT_NONE;
    for (uint32_t r = 1; r < s->env->rank_cnt; r++) {
        if (m->effects.v[r - 1].effects != coh_mv_effects_from(s->mv, r)) {
            COH_LOG_ERR("participant", "effects differ", "block=%" PRIu64 " from=%u", m->block, r);
            reason = COH_ABORT_EFFECTS;
        }
    }
    slot_t *slot     = slot_of(s, m->block);
    slot->diff.block = m->block;
    slot->attempt    = s->attempt;
    uint32_t bucket  = coh_directory_bucket(&s->exec_coinbase);
    bool owns = 1 + coh_directory_owner(&s->directory, &s->exec_coinbase, bucket) == s->env->rank;
    coh_addr_t const *coinbase = owns && m->coinbase_paid != 0 ? &s->exec_coinbase : NULL;
    if (s->exec_fork < COH_FORK_BYZANTIUM) {
        slot->trail_cnt = coh_mv_trail(s->mv, &slot->trail);
    }
    coh_mv_settle(s->mv, &slot->diff, coinbase, &m->coinbase_credit);
    end_executing(s);
    slot->settled_us      = s->env->mono_us(s->env);
    slot->settled_exec_us = s->exec_us;
    for (size_t i = 0; i < slot->diff.cnt; i++) {
        if (slot->diff.v[i].new_code) {
            coh_codes_pin(s->codes, &slot->codes, &slot->diff.v[i].value.code_hash);
        }
    }

    coh_part_action_t action;
    bool changed = is_changed(s, slot);
    bool writes  = changed || (has_root(s, m->block) && coh_tries_is_behind(s->tries));
    COH_TRY(coh_participant_on_settled(&s->part, m->block, writes, reason, &action));
    if (reason == COH_ABORT_NONE) {
        encode_vote(s, slot, changed);
    }
    if (s->guests.owner_cnt != 0) {
        send_changes(s, slot);
    }
    do_part(s, m->block, action, reason);
    COH_TRY(take_changes(s, slot));
    coh_metric_add(
        s->env->metrics, COH_M_participant_cpu_prepare, coh_clock_thread_cpu_ns() - start_ns);
    (void)try_begin(s);
    return COH_OK;
}

/* Votes, once the redo record is durable and the tries are updated. */
static void maybe_vote(coh_shard_t *s, uint64_t block)
{
    slot_t const *slot = slot_of(s, block);
    if (slot->redo_done && slot->tries_done) {
        coh_part_action_t action;
        coh_participant_on_written(&s->part, block, slot->redo_ok, &action);
        do_part(s, block, action, COH_ABORT_DISK);
    }
}

static void on_redo_written(coh_shard_t *s, coh_disk_req_t const *req)
{
    for (uint32_t i = 0; i < s->part.cnt; i++) {
        uint64_t block = s->part.committed + 1 + i;
        slot_t *slot   = slot_of(s, block);
        if (slot->serial == req->arg) {
            slot->redo_done = true;
            slot->redo_ok   = req->err == COH_OK;
            maybe_vote(s, block);
            return;
        }
    }
}

static coh_err_t on_commit(coh_shard_t *s, coh_msg_commit_t const *m)
{
    uint64_t start_ns = coh_clock_thread_cpu_ns();
    coh_part_action_t action;
    COH_TRY(coh_participant_on_commit(&s->part, m->block, &action));
    coh_executor_add_hash(s->ex, m->block, &m->hash);
    coh_callq_add_hash(s->calls, m->block, &m->hash);
    coh_past_begin(s->past);
    do_part(s, m->block, action, COH_ABORT_NONE);
    coh_metric_add(
        s->env->metrics, COH_M_participant_cpu_prepare, coh_clock_thread_cpu_ns() - start_ns);
    return COH_OK;
}

static coh_err_t on_abort(coh_shard_t *s, coh_msg_abort_t const *m)
{
    if (m->attempt <= s->attempt) {
        return COH_EPROTO;
    }
    s->attempt = m->attempt;
    drop_kept(&s->blocks, m->block, m->attempt);
    drop_kept(&s->early, 0, m->attempt);
    drop_kept(&s->hosts, m->block, m->attempt);
    if (s->executing && s->exec_block >= m->block) {
        coh_executor_end(s->ex);
        coh_mv_discard_block(s->mv);
        coh_codes_drop_waiters(s->codes);
        end_executing(s);
    }
    uint32_t prepared  = s->part.cnt;
    uint32_t discarded = 0;
    COH_TRY(coh_participant_on_abort(&s->part, m->block, &discarded));
    coh_mv_diff_t *gone[COH_PARTICIPANT_WINDOW];
    coh_mv_diff_t *stay[COH_PARTICIPANT_WINDOW];
    uint32_t kept = prepared - discarded;
    bool on_disk  = false;
    for (uint32_t i = 0; i < prepared; i++) {
        slot_t *slot = slot_of(s, s->part.committed + 1 + i);
        if (i < kept) {
            stay[i] = &slot->diff;
        } else {
            gone[i - kept] = &slot->diff;
            on_disk        = on_disk || slot->redo_bytes != 0;
        }
    }
    coh_mv_abort(s->mv, gone, discarded, stay, kept);
    /* One further down may come before the last is through: then one ACK answers both. */
    s->aborted = m->block;
    s->abort_waits += coh_tries_abort(s->tries, m->block);
    for (uint32_t i = kept; i < prepared; i++) {
        slot_t *slot = slot_of(s, s->part.committed + 1 + i);
        coh_mv_diff_free(&slot->diff);
        free(slot->trail);
        slot->trail           = NULL;
        slot->trail_cnt       = 0;
        slot->waits_for_hosts = false;
        coh_guest_changes_free(&slot->guests);
        coh_codes_release(s->codes, &slot->codes);
        coh_buf_free(&slot->nodes);
        coh_buf_free(&slot->vote);
        slot->serial     = 0;
        slot->redo_bytes = 0;
    }
    COH_LOG_WRN("participant",
                "aborted",
                "block=%" PRIu64 " attempt=%u discarded=%u",
                m->block,
                m->attempt,
                discarded);
    if (on_disk) {
        /* A later block of the same number may change nothing here and leave no record: this one's must be gone before, for good. */
        coh_disk_req_t *req = coh_disk_req_new(COH_DISK_WRITE_SYNC, TAG_DROP, m->block);
        coh_store_drop_redo(&req->batch, m->block, UINT64_MAX - 1);
        hand_out(s, req);
        s->abort_waits++;
    }
    if (s->abort_waits == 0) {
        send_ack(s, m->block, true);
    }
    return COH_OK;
}

/* Something that an ABORT waits for is done. */
static void abort_step(coh_shard_t *s)
{
    COH_ASSERT(s->abort_waits > 0);
    if (--s->abort_waits == 0) {
        send_ack(s, s->aborted, true);
    }
}

/* ---- dev chains ---- */

/* The last committed block is called m->head from here on: what leads to it counts, and nothing above. */
static coh_err_t rewind_to(coh_shard_t *s, coh_msg_dev_t const *m)
{
    size_t hash_cnt = m->hashes.n / sizeof(coh_hash_t);
    if (m->head > s->part.committed || m->attempt <= s->attempt || hash_cnt == 0 ||
        m->hashes.n % sizeof(coh_hash_t) != 0 || hash_cnt > COH_EXECUTOR_HASH_CNT ||
        hash_cnt > m->head + 1) {
        return COH_EPROTO;
    }
    s->attempt        = m->attempt;
    s->part.committed = m->head;
    drop_kept(&s->early, 0, m->attempt);
    coh_past_rewind(s->past, m->head);
    coh_tries_rewind(s->tries, m->head);
    coh_snapshots_drop(s->snapshots, m->snapshot);
    for (size_t i = 0; i < hash_cnt; i++) {
        coh_hash_t hash;
        memcpy(hash.b, m->hashes.p + i * sizeof(hash.b), sizeof(hash.b));
        coh_executor_add_hash(s->ex, m->head + 1 - hash_cnt + i, &hash);
        coh_callq_add_hash(s->calls, m->head + 1 - hash_cnt + i, &hash);
    }
    return COH_OK;
}

static coh_err_t on_dev(coh_shard_t *s, coh_msg_dev_t const *m)
{
    if (s->snapshots == NULL || s->state != SHARD_RUNNING || s->executing || s->part.cnt != 0 ||
        s->blocks.first != NULL || m->op >= COH_DEV_OP_CNT) {
        return COH_EPROTO;
    }
    coh_msg_dev_done_t done = {.op = m->op, .ok = 1};
    switch ((coh_dev_op_t)m->op) {
    case COH_DEV_TAKE: COH_TRY(coh_snapshots_take(s->snapshots, s->past, m->snapshot)); break;
    case COH_DEV_CHECK: done.ok = coh_snapshots_has(s->snapshots, s->past, m->snapshot); break;
    default: COH_TRY(rewind_to(s, m));
    }
    coh_wire_put_dev_done(to_coordinator(s), &done);
    return COH_OK;
}

/* ---- proofs ---- */

static coh_err_t on_prove(coh_shard_t *s, coh_msg_prove_t const *m)
{
    if (s->state != SHARD_RUNNING || m->block > s->part.committed ||
        m->slots.cnt > PROVE_SLOTS_MAX) {
        return COH_EPROTO;
    }
    coh_u256_t slots[PROVE_SLOTS_MAX];
    for (uint32_t i = 0; i < m->slots.cnt; i++) {
        slots[i] = m->slots.v[i].slot;
    }
    coh_tries_prove(s->tries, m->query, m->block, &m->addr, slots, m->slots.cnt);
    return COH_OK;
}

static void send_proof(coh_shard_t *s, coh_tries_done_t const *done)
{
    coh_trie_proof_t const *p  = &done->proof;
    coh_rec_slot_proof_t *recs = coh_calloc(p->slot_cnt + 1, sizeof(*recs));
    for (size_t i = 0; i < p->slot_cnt; i++) {
        recs[i] = (coh_rec_slot_proof_t){.nodes = coh_buf_bytes(&p->slots[i].nodes)};
    }
    uint32_t failed   = done->err == COH_OK ? 0 : done->err == COH_ENOTFOUND ? 1 : 2;
    coh_msg_proof_t m = {.query = done->query, .failed = failed, .nodes = coh_buf_bytes(&p->nodes)};
    m.slots.v         = recs;
    m.slots.cnt       = (uint32_t)p->slot_cnt;
    coh_wire_put_proof(to_coordinator(s), &m);
    free(recs);
}

static coh_err_t on_suppose(coh_shard_t *s, coh_msg_suppose_t const *m)
{
    size_t cnt = m->accounts.cnt + m->storage.cnt;
    if (s->state != SHARD_RUNNING || m->block > s->part.committed || cnt > COH_SIM_STATE_MAX) {
        return COH_EPROTO;
    }
    coh_mv_item_t *items = coh_calloc(cnt + 1, sizeof(*items));
    for (uint32_t i = 0; i < m->accounts.cnt; i++) {
        coh_rec_sim_account_t const *a = &m->accounts.v[i];
        items[i]                       = (coh_mv_item_t){.key   = coh_key_account(&a->addr),
                                                         .value = {.word       = a->balance,
                                                                   .nonce      = a->nonce,
                                                                   .code_hash  = a->code_hash,
                                                                   .generation = a->generation,
                                                                   .flags      = a->flags},
                                                         .wiped = a->generation != a->base};
    }
    for (uint32_t i = 0; i < m->storage.cnt; i++) {
        coh_rec_sim_slot_t const *slot = &m->storage.v[i];
        items[m->accounts.cnt + i] =
            (coh_mv_item_t){.key   = coh_key_slot(&slot->addr, slot->generation, &slot->slot),
                            .value = {.word = slot->value}};
    }
    coh_tries_suppose(s->tries, m->query, m->block, items, cnt);
    return COH_OK;
}

static void send_supposed(coh_shard_t *s, coh_tries_done_t const *done)
{
    uint32_t failed      = done->err == COH_OK ? 0 : done->err == COH_ENOTFOUND ? 1 : 2;
    coh_msg_supposed_t m = {.query = done->query, .failed = failed};
    coh_rec_node_t *recs = node_recs(done->nodes, done->node_cnt);
    m.nodes.v            = recs;
    m.nodes.cnt          = (uint32_t)done->node_cnt;
    coh_wire_put_supposed(to_coordinator(s), &m);
    free(recs);
}

/* ---- what the tries have done ---- */

static void on_tries_updated(coh_shard_t *s, coh_tries_done_t const *done)
{
    slot_t *slot = slot_of(s, done->block);
    COH_ASSERT(slot->diff.block == done->block && !slot->tries_done);
    coh_buf_clear(&slot->nodes);
    if (done->trail_cnt != 0) {
        put_trail(&slot->nodes, done->block, done->trail, done->trail_cnt);
    }
    put_nodes(&slot->nodes, done->block, done->nodes, done->node_cnt);
    slot->tries_done = true;
    uint64_t now_us  = s->env->mono_us(s->env);
    coh_metric_observe(s->env->metrics, COH_M_tries_root_latency, now_us - slot->settled_us);
    coh_metric_add(s->env->metrics, COH_M_tries_busy, (now_us - slot->settled_us) * 1000);
    coh_metric_add(s->env->metrics,
                   COH_M_tries_overlap,
                   (executing_us(s, now_us) - slot->settled_exec_us) * 1000);
    maybe_vote(s, done->block);
}

/* The pages of a flush, or of the start. */
static void on_tries_taken(coh_shard_t *s, coh_tries_done_t *done)
{
    if (s->state != SHARD_RECOVERING) {
        coh_flush_pages(s->flush, &done->pages, done->ingest);
        return;
    }
    coh_disk_req_t *req =
        coh_disk_req_new(done->ingest ? COH_DISK_INGEST : COH_DISK_WRITE_SYNC, TAG_PAGES, 0);
    req->batch = done->pages;
    coh_kv_batch_init(&done->pages);
    hand_out(s, req);
}

static bool poll_tries(coh_shard_t *s)
{
    coh_tries_done_t done;
    bool did = false;
    while (s->state != SHARD_FAILED && coh_tries_poll(s->tries, &done)) {
        did = true;
        if (done.kind == COH_TRIES_PROVED) {
            send_proof(s, &done);
        } else if (done.kind == COH_TRIES_SUPPOSED) {
            send_supposed(s, &done);
        } else if (done.err != COH_OK) {
            fail(s, "%.*s", (int)done.text.n, (char const *)done.text.p);
        } else {
            switch (done.kind) {
            case COH_TRIES_UPDATED: on_tries_updated(s, &done); break;
            case COH_TRIES_UNDONE: abort_step(s); break;
            case COH_TRIES_PROVED:
            case COH_TRIES_SUPPOSED: break; /* above */
            case COH_TRIES_TAKEN: on_tries_taken(s, &done); break;
            case COH_TRIES_LOADED:
                s->tries_done = true;
                next_step(s);
                break;
            case COH_TRIES_NODES:
                put_nodes(to_coordinator(s), s->part.committed, done.nodes, done.node_cnt);
                next_step(s);
                break;
            }
        }
        coh_tries_done_free(&done);
    }
    return did;
}

/* ---- backups ---- */

/* The store is copied as it is after all writes handed out so far. Whatever flush is among those is of committed blocks, which the coordinator's copy has; and of each block that has been voted
   on the redo record is there. */
static coh_err_t on_backup(coh_shard_t *s, coh_msg_backup_t const *m)
{
    if (s->state != SHARD_RUNNING) {
        return COH_EPROTO;
    }
    s->env->disk(s->env, coh_disk_backup_new(COH_DISK_BACKUP, TAG_BACKUP, m->backup, m->path));
    return COH_OK;
}

static void on_backup_done(coh_shard_t *s, coh_disk_req_t const *req)
{
    coh_disk_backup_t const *b = req->backup;
    coh_msg_backed_up_t m      = {
             .backup     = req->arg,
             .list       = b->list,
             .file_cnt   = b->file_cnt,
             .file_bytes = b->file_bytes,
    };
    if (req->err != COH_OK) {
        char const *text = coh_err_str(req->err);
        m.failed = b->failed.n != 0 ? coh_buf_bytes(&b->failed) : coh_bytes(text, strlen(text));
    }
    coh_wire_put_backed_up(to_coordinator(s), &m);
}

/* ---- sender recovery for the coordinator ---- */

static coh_err_t on_recover(coh_shard_t *s, coh_msg_recover_t const *m)
{
    coh_recover_rules_t rules = {.check_static = false};
    coh_recover_job_t *job    = coh_recover_job_new(m->txs.cnt, &rules);
    job->tag                  = m->job;
    for (uint32_t i = 0; i < m->txs.cnt; i++) {
        coh_err_t rc = coh_recover_job_add(job, m->txs.v[i].raw);
        if (rc != COH_OK) {
            coh_recover_job_free(job);
            return rc;
        }
    }
    coh_err_t rc = coh_recoverq_push(s->recoverq, job);
    if (rc != COH_OK) {
        coh_recover_job_free(job);
        return rc;
    }
    s->env->wake_workers(s->env);
    return COH_OK;
}

static bool send_recovered(coh_shard_t *s)
{
    coh_recover_job_t *job = coh_recoverq_pop(s->recoverq);
    if (job == NULL) {
        return false;
    }
    coh_rec_recovered_tx_t *txs = coh_calloc(job->cnt, sizeof(*txs));
    for (uint32_t i = 0; i < job->cnt; i++) {
        txs[i] = (coh_rec_recovered_tx_t){.err         = (uint32_t)job->results[i].err,
                                          .hash        = job->results[i].hash,
                                          .sender      = job->results[i].sender,
                                          .authorities = job->txs[i].authorities};
    }
    coh_msg_recovered_t m = {.job = job->tag};
    m.txs.v               = txs;
    m.txs.cnt             = job->cnt;
    coh_wire_put_recovered(to_coordinator(s), &m);
    free(txs);
    coh_recover_job_free(job);
    return true;
}

static void recovered_one(void *arg)
{
    coh_shard_t *s = arg;
    s->env->wake_node(s->env);
}

/* ---- the node ---- */

static coh_err_t on_stop(coh_shard_t *s)
{
    if (s->state != SHARD_RUNNING || s->executing || s->part.cnt != 0) {
        return COH_EPROTO;
    }
    s->state = SHARD_FLUSHING;
    return COH_OK;
}

/* ---- state of committed blocks, for other shards ---- */

static coh_err_t on_read_state(coh_shard_t *s, uint32_t src, coh_msg_read_state_t const *m)
{
    if (src == 0 || src == s->env->rank || s->state < SHARD_RECOVERING) {
        return COH_EPROTO;
    }
    uint32_t bucket = coh_directory_bucket(&m->addr);
    bool owned      = 1 + coh_directory_owner(&s->directory, &m->addr, bucket) == s->env->rank ||
                 coh_moves_has(s->moves, &m->addr);
    if (!owned && s->directory.epoch > 1) { /* it was sent before the account moved */
        coh_reads_refuse(s->reads, src, m);
        return COH_OK;
    }
    return coh_reads_on_message(s->reads, src, m, owned);
}

/* ---- moves ---- */

static coh_err_t on_move(coh_shard_t *s, coh_msg_move_t const *m)
{
    bool is_quiet = s->state == SHARD_RUNNING && !s->executing && s->part.cnt == 0 &&
                    s->blocks.first == NULL && s->abort_waits == 0;
    return coh_moves_on_move(s->moves, m, is_quiet);
}

static coh_err_t on_move_end(coh_shard_t *s, coh_msg_move_end_t const *m)
{
    COH_TRY(coh_moves_on_end(s->moves, m, &s->mark));
    if (m->committed != 0) {
        coh_guests_fini(&s->guests);
        coh_guests_init(&s->guests, &s->directory, s->env->rank - 1);
    }
    return COH_OK;
}

static bool poll_moves(coh_shard_t *s)
{
    bool needs_flush;
    bool did = coh_moves_poll(s->moves);
    if (coh_moves_err(s->moves) != COH_OK) {
        fail(s,
             "an account that is to move cannot be read: %s; restore this rank's directory from a "
             "backup",
             coh_err_str(coh_moves_err(s->moves)));
        return true;
    }
    if (coh_moves_is_waiting(s->moves, &needs_flush) && !coh_flush_is_running(s->flush) &&
        !s->flush_wanted) {
        if (needs_flush && s->mark.flushed != s->part.committed) {
            start_flush(s);
        } else if (coh_moves_go(s->moves) != COH_OK) {
            fail(s, "MIGRATE of another shard cannot be used");
        }
        did = true;
    }
    if (coh_moves_has_leftovers(s->moves) && !s->executing && s->reads_outstanding == 0 &&
        coh_mv_loads_outstanding(s->mv) == 0 && coh_reads_is_idle(s->reads) &&
        coh_queries_is_idle(s->queries)) {
        coh_moves_drop(s->moves, s->mv);
        did = true;
    }
    return did;
}

static coh_err_t on_coordinator_message(coh_shard_t *s, coh_msg_t const *m)
{
    switch (m->id) {
    case COH_MSG_WELCOME: return on_welcome(s, &m->u.welcome);
    case COH_MSG_REFUSE:
        fail(s,
             "the coordinator refused this shard: %.*s",
             (int)COH_MIN(m->u.refuse.reason.n, 400),
             (char const *)m->u.refuse.reason.p);
        return COH_OK;
    case COH_MSG_BLOCK: return on_block(s, &m->u.block);
    case COH_MSG_WAVE: return on_wave(s, &m->u.wave);
    case COH_MSG_PREPARE: return on_prepare(s, &m->u.prepare);
    case COH_MSG_COMMIT: return on_commit(s, &m->u.commit);
    case COH_MSG_ABORT: return on_abort(s, &m->u.abort);
    case COH_MSG_QUERY: return coh_queries_add(s->queries, &m->u.query);
    case COH_MSG_CALL:
        return s->state == SHARD_RUNNING ? coh_callq_add(s->calls, &m->u.call) : COH_EPROTO;
    case COH_MSG_PROVE: return on_prove(s, &m->u.prove);
    case COH_MSG_SUPPOSE: return on_suppose(s, &m->u.suppose);
    case COH_MSG_RECOVER: return on_recover(s, &m->u.recover);
    case COH_MSG_BACKUP: return on_backup(s, &m->u.backup);
    case COH_MSG_DEV: return on_dev(s, &m->u.dev);
    case COH_MSG_MOVE: return on_move(s, &m->u.move);
    case COH_MSG_MOVE_END: return on_move_end(s, &m->u.move_end);
    case COH_MSG_STOP: return on_stop(s);
    default: return COH_EPROTO;
    }
}

static coh_err_t on_message(coh_shard_t *s, uint32_t src, coh_msg_t const *m)
{
    switch (m->id) {
    case COH_MSG_PUBLISH:
        return on_shard_message(s, src, m, m->u.publish.block, m->u.publish.attempt);
    case COH_MSG_READ: return on_shard_message(s, src, m, m->u.read.block, m->u.read.attempt);
    case COH_MSG_VALUE: return on_shard_message(s, src, m, m->u.value.block, m->u.value.attempt);
    case COH_MSG_STATE: return coh_callq_on_state(s->calls, src, &m->u.state);
    case COH_MSG_READ_STATE: return on_read_state(s, src, &m->u.read_state);
    case COH_MSG_CHANGES: return on_changes(s, src, &m->u.changes);
    case COH_MSG_MIGRATE:
        return s->state == SHARD_RUNNING ? coh_moves_on_migrate(s->moves, src, &m->u.migrate)
                                         : COH_EPROTO;
    case COH_MSG_MIGRATED:
        return s->state == SHARD_RUNNING ? coh_moves_on_migrated(s->moves, src, &m->u.migrated)
                                         : COH_EPROTO;
    case COH_MSG_RETRACT:
        return on_shard_message(s, src, m, m->u.retract.block, m->u.retract.attempt);
    default: return src == 0 ? on_coordinator_message(s, m) : COH_EPROTO;
    }
}

static void shard_on_frame(coh_node_t *node, uint32_t src, coh_bytes_t frame)
{
    coh_shard_t *s = shard_of(node);
    if (s->state == SHARD_FAILED) {
        return;
    }
    coh_envelope_t envelope;
    coh_err_t rc = coh_wire_reader_begin(s->reader, frame, &envelope);
    if (rc == COH_OK && envelope.sender != src) {
        rc = COH_EPROTO;
    }
    if (rc != COH_OK) {
        fail(s, "a frame from rank %u cannot be used: %s", src, coh_err_str(rc));
        return;
    }
    coh_msg_t m;
    while (s->state != SHARD_FAILED && (rc = coh_wire_reader_next(s->reader, &m)) == COH_OK) {
        rc = on_message(s, src, &m);
        if (rc != COH_OK) {
            fail(s,
                 "%s from rank %u cannot be used: %s",
                 coh_wire_msg_name(m.id),
                 src,
                 coh_err_str(rc));
        }
    }
    if (rc != COH_OK && rc != COH_ENOTFOUND) {
        fail(s, "a message from rank %u cannot be decoded: %s", src, coh_err_str(rc));
    }
}

static void shard_on_disk_done(coh_node_t *node, coh_disk_req_t *req)
{
    coh_shard_t *s = shard_of(node);
    if (req->tag == TAG_READS) {
        coh_err_t rc = coh_reads_on_disk(s->reads, req);
        coh_disk_req_free(req);
        if (rc != COH_OK) {
            fail(s,
                 "state cannot be read from disk: %s; if it is damaged, restore this rank's "
                 "directory from a backup",
                 coh_err_str(rc));
        }
        return;
    }
    if (req->tag == TAG_BACKUP) {
        on_backup_done(s, req);
        coh_disk_req_free(req);
        return;
    }
    if (req->kind != COH_DISK_READ) {
        /* Flushes and moves are handed out by their own modules. */
        s->writes_outstanding -= req->tag != TAG_FLUSH && req->tag != TAG_MOVE;
    }
    bool ok = req->err == COH_OK;
    switch (req->tag) {
    case TAG_LOAD: on_loads(s, req); break;
    case TAG_LOAD_CODE: on_codes_loaded(s, req); break;
    case TAG_REDO: on_redo_written(s, req); break;
    case TAG_DROP:
        if (ok) {
            abort_step(s);
        } else {
            fail(
                s, "redo records of an aborted block cannot be deleted: %s", coh_err_str(req->err));
        }
        break;
    case TAG_FLUSH:
        if (ok) {
            coh_flush_on_done(s->flush, &s->mark);
            if (!coh_flush_is_running(s->flush)) {
                coh_tries_written(s->tries);
            }
        } else {
            fail(
                s, "changed state cannot be written to the flat tables: %s", coh_err_str(req->err));
        }
        break;
    case TAG_MOVE:
        coh_moves_on_disk(s->moves, req);
        if (!ok) {
            fail(s, "moved accounts cannot be written: %s", coh_err_str(req->err));
        }
        break;
    case TAG_LOADED:
    case TAG_PAGES:
    case TAG_RECOVERY_MARK:
        if (!ok) {
            fail(s,
                 "%s cannot be written: %s",
                 s->found.fresh ? "genesis" : "recovery",
                 coh_err_str(req->err));
        } else if (req->tag != TAG_LOADED || req->arg == 1) {
            s->flat_done = true;
            if (req->tag == TAG_PAGES) {
                coh_tries_written(s->tries);
            }
            next_step(s);
        }
        break;
    default: COH_ASSERT(false); /* no other tag is handed out */
    }
    coh_disk_req_free(req);
}

static void send_stats(coh_shard_t *s)
{
    coh_rec_figure_t figures[COH_METRIC_CNT];
    for (int i = 0; i < COH_METRIC_CNT; i++) {
        figures[i].v = coh_metric_get(s->env->metrics, (coh_metric_id_t)i);
    }
    coh_msg_stats_t m = {0};
    m.figures.v       = figures;
    m.figures.cnt     = COH_METRIC_CNT;
    coh_wire_put_stats(to_coordinator(s), &m);
}

static void maybe_flush(coh_shard_t *s, uint64_t now)
{
    uint64_t due_us =
        s->redo_bytes != 0 ? s->flush_us + s->config->state_flush_seconds * 1000000 : UINT64_MAX;
    bool due = s->redo_bytes >= s->config->state_flush_bytes || now >= due_us ||
               coh_mv_dirty_cnt(s->mv) > s->config->state_cache_entries / 2 ||
               coh_tries_is_full(s->tries);
    if (due && !coh_flush_is_running(s->flush) && !coh_moves_is_active(s->moves)) {
        start_flush(s);
    } else if (!due) {
        s->env->due_us = COH_MIN(s->env->due_us, due_us);
    }
}

static bool tick_flushing(coh_shard_t *s)
{
    if (coh_flush_is_running(s->flush) || s->flush_wanted || s->writes_outstanding != 0 ||
        coh_moves_is_active(s->moves) || coh_moves_has_leftovers(s->moves)) {
        return false;
    }
    if (s->mark.flushed != s->part.committed) {
        start_flush(s);
        return true;
    }
    coh_wire_put_stopped(to_coordinator(s), &(coh_msg_stopped_t){.head = s->part.committed});
    s->state = SHARD_STOPPED;
    COH_LOG_INF("shard", "stopped", "head=%" PRIu64, s->part.committed);
    return true;
}

static bool shard_on_tick(coh_node_t *node)
{
    coh_shard_t *s = shard_of(node);
    bool did       = false;
    uint64_t now   = s->env->mono_us(s->env);
    if (s->state == SHARD_NEW) {
        send_hello(s);
        did = true;
    }
    if (s->state == SHARD_FAILED || s->state == SHARD_STOPPED) {
        return did;
    }
    if (coh_mv_is_exhausted(s->mv)) {
        fail(s,
             "a block needs more than state-cache-entries (%" PRIu64
             ") and %zu entries of memory more: raise it",
             s->config->state_cache_entries,
             COH_MV_SPILL_MAX);
        return true;
    }
    finish_queries(s);
    request_loads(s);
    if (s->executing) {
        did = coh_executor_drain(s->ex) != 0 || did;
        did = report_if_idle(s) || did;
    } else {
        did = try_begin(s) || did;
    }
    while (send_recovered(s)) {
        did = true;
    }
    coh_queries_poll(s->queries);
    request_loads(s);
    did = coh_callq_poll(s->calls) || did;
    did = coh_reads_poll(s->reads) || did;
    did = poll_tries(s) || did;
    if (s->state == SHARD_RUNNING) {
        maybe_flush(s, now); /* poll_flush begins it */
    }
    did = poll_flush(s) || did;
    did = poll_moves(s) || did;
    if (s->state == SHARD_FLUSHING) {
        did = tick_flushing(s) || did;
    }
    if (now - s->stats_us >= STATS_US) {
        s->stats_us = now;
        send_stats(s);
    }
    s->env->due_us = COH_MIN(s->env->due_us, s->stats_us + STATS_US);
    return did;
}

static bool shard_work(coh_node_t *node, uint32_t worker)
{
    coh_shard_t *s = shard_of(node);
    uint32_t turn  = s->turns[worker].cnt++;
    /* Calls get a slice now and then, however much there is to do, and half of what blocks leave. */
    if (turn % CALL_TURN == 0 && coh_callq_work(s->calls)) {
        return true;
    }
    /* What blocks wait for comes first. */
    if (coh_tries_work(s->tries) || coh_executor_work(s->ex, worker) || coh_flush_work(s->flush) ||
        coh_moves_work(s->moves)) {
        return true;
    }
    return turn % 2 == 0 ? coh_callq_work(s->calls) || coh_recoverq_work(s->recoverq)
                         : coh_recoverq_work(s->recoverq) || coh_callq_work(s->calls);
}

/* A shard ends when the coordinator says so: a signal reaches all ranks, and rank 0 sees to the rest. */
static void shard_stop(coh_node_t *node) { (void)node; }

static bool shard_finished(coh_node_t const *node)
{
    coh_shard_t const *s = (coh_shard_t const *)node;
    return s->state == SHARD_STOPPED || s->state == SHARD_FAILED;
}

static char const *shard_failed(coh_node_t const *node)
{
    coh_shard_t const *s = (coh_shard_t const *)node;
    return s->state == SHARD_FAILED ? (char const *)s->fail_text.p : NULL;
}

static void free_list(kept_list_t *list)
{
    while (list->first != NULL) {
        kept_t *k   = list->first;
        list->first = k->next;
        free_kept(k);
    }
}

static void shard_free(coh_node_t *node)
{
    coh_shard_t *s = shard_of(node);
    free_list(&s->blocks);
    free_list(&s->early);
    free_list(&s->hosts);
    coh_guests_fini(&s->guests);
    coh_directory_free(&s->directory);
    coh_kv_batch_free(&s->guest_notes);
    for (uint32_t i = 0; i < COH_PARTICIPANT_WINDOW; i++) {
        coh_mv_diff_free(&s->slots[i].diff);
        free(s->slots[i].trail);
        coh_guest_changes_free(&s->slots[i].guests);
        free(s->slots[i].codes.v);
        coh_buf_free(&s->slots[i].nodes);
        coh_buf_free(&s->slots[i].vote);
    }
    free(s->unwritten.v);
    coh_executor_free(s->ex);
    coh_flush_free(s->flush);
    coh_tries_free(s->tries);
    coh_queries_free(s->queries);
    coh_callq_free(s->calls);
    free(s->turns);
    coh_reads_free(s->reads);
    coh_moves_free(s->moves);
    coh_usage_free(s->usage);
    coh_recoverq_free(s->recoverq);
    coh_codes_free(s->codes);
    coh_mvstore_free(s->mv);
    coh_past_free(s->past);
    free(s->snapshots);
    coh_buf_free(&s->patch);
    coh_wire_reader_free(s->reader);
    coh_wire_reader_free(s->kept_reader);
    coh_buf_free(&s->fail_text);
    free(s);
}

static coh_node_ops_t const shard_ops = {.on_frame     = shard_on_frame,
                                         .on_disk_done = shard_on_disk_done,
                                         .on_tick      = shard_on_tick,
                                         .work         = shard_work,
                                         .stop         = shard_stop,
                                         .finished     = shard_finished,
                                         .failed       = shard_failed,
                                         .free         = shard_free};

coh_err_t coh_shard_new(coh_shard_t **out,
                        coh_config_t const *config,
                        coh_genesis_t const *genesis,
                        coh_env_t *env,
                        coh_kv_t *kv,
                        uint32_t worker_cnt,
                        coh_buf_t *err_text)
{
    if (config->state_cache_entries < 2 * config->block_tx_max + 2) {
        coh_buf_printf(err_text,
                       "state-cache-entries (%" PRIu64
                       ") must be at least 2 * block-tx-max + 2 (%" PRIu64
                       "): raise it or lower block-tx-max",
                       config->state_cache_entries,
                       2 * config->block_tx_max + 2);
        return COH_EINVAL;
    }
    coh_sched_kind_t scheduler;
    if (coh_sched_kind_parse(&scheduler, config->shard_scheduler) != COH_OK) {
        coh_buf_printf(err_text,
                       "shard-scheduler: \"%s\" is neither optimistic, locking nor sequential",
                       config->shard_scheduler);
        return COH_EINVAL;
    }
    coh_recovery_t found;
    coh_err_t rc;
    COH_TRY(coh_recovery_scan(kv, &found, err_text));
    coh_shard_t *s = coh_calloc(1, sizeof(*s));
    s->node.ops    = &shard_ops;
    s->config      = config;
    s->genesis     = genesis;
    s->env         = env;
    s->kv          = kv;
    s->found       = found;
    s->mark        = found.mark;
    keep_init(&s->blocks);
    keep_init(&s->early);
    keep_init(&s->hosts);
    coh_kv_batch_init(&s->guest_notes);
    uint64_t seed = coh_mix64(env->unix_us(env)) ^ coh_mix64(env->mono_us(env) + env->rank);
    s->mv =
        coh_mvstore_new(config->state_cache_entries, seed, env->rank, env->rank_cnt, env->metrics);
    s->past = coh_past_new(config->state_past_blocks, config->state_past_bytes, coh_mix64(seed));
    coh_mv_set_past(s->mv, s->past);
    if (env->peek != NULL) {
        coh_mv_set_source(s->mv, read_at_once, s);
    }
    if (config->node_dev) {
        s->snapshots = coh_calloc(1, sizeof(*s->snapshots));
    }
    s->codes = coh_codes_new(config->state_code_cache_bytes);
    if (env->peek != NULL) {
        coh_codes_set_source(s->codes, read_code_at_once, s);
    }
    s->ex = coh_executor_new(s->mv, s->codes, env, &s->directory, worker_cnt, scheduler);
    if (config->node_dev) {
        coh_executor_allow_any_sender(s->ex);
    }
    s->flush   = coh_flush_new(s->mv, s->codes, env);
    s->queries = coh_queries_new(s->mv, s->past, s->codes, env);
    s->reads   = coh_reads_new(s->mv, s->past, s->codes, env, TAG_READS);
    s->usage   = strcmp(config->placement_policy, "affinity") == 0
                     ? coh_usage_new(coh_mix64(seed + 2))
                     : NULL;
    s->moves =
        coh_moves_new(env, kv, &s->directory, s->past, config->placement_round_bytes, TAG_MOVE);
    s->tries = coh_tries_new(kv,
                             env,
                             &(coh_tries_limits_t){.cache_bytes    = config->state_trie_cache_bytes,
                                                   .history_blocks = config->state_history_blocks,
                                                   .history_bytes  = config->state_history_bytes,
                                                   .root_every     = config->block_root_every},
                             coh_mix64(seed));
    s->calls = coh_callq_new(config, env, &s->directory, s->past, s->reads, coh_mix64(seed + 1));
    s->turns = aligned_alloc(COH_CACHE_LINE, worker_cnt * sizeof(*s->turns));
    COH_ASSERT(s->turns != NULL);
    memset(s->turns, 0, worker_cnt * sizeof(*s->turns));
    s->recoverq = coh_recoverq_new(config->client_inflight_tx_max, env->metrics, recovered_one, s);
    s->reader   = coh_wire_reader_new();
    s->kept_reader = coh_wire_reader_new();
    s->flush_us    = env->mono_us(env);
    rc             = coh_moves_scan(s->moves);
    if (rc != COH_OK) {
        coh_buf_printf(err_text,
                       "the note of accounts that moved (META node/move) cannot be used: %s; "
                       "restore this rank's directory from a backup",
                       coh_err_str(rc));
        shard_free(&s->node);
        return rc;
    }
    *out = s;
    return COH_OK;
}

coh_node_t *coh_shard_node(coh_shard_t *s) { return &s->node; }

bool coh_shard_is_ready(coh_shard_t const *s) { return s->state == SHARD_RUNNING; }

void coh_shard_status_json(coh_shard_t *s, coh_buf_t *out)
{
    json_t *metrics = json_object();
    for (int i = 0; i < COH_METRIC_CNT; i++) {
        (void)json_object_set_new(
            metrics,
            coh_metric_name((coh_metric_id_t)i),
            json_integer((json_int_t)coh_metric_get(s->env->metrics, (coh_metric_id_t)i)));
    }
    json_t *root = json_pack("{s:s, s:s, s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:o}",
                             "version",
                             COH_VERSION,
                             "role",
                             "shard",
                             "rank",
                             (json_int_t)s->env->rank,
                             "state",
                             state_names[s->state],
                             "committed",
                             (json_int_t)s->part.committed,
                             "undecided",
                             (json_int_t)s->part.cnt,
                             "flushed",
                             (json_int_t)s->mark.flushed,
                             "entries",
                             (json_int_t)coh_mv_entry_cnt(s->mv),
                             "dirty",
                             (json_int_t)coh_mv_dirty_cnt(s->mv),
                             "metrics",
                             metrics);
    char *text   = json_dumps(root, JSON_INDENT(2));
    COH_ASSERT(text != NULL);
    coh_buf_put(out, text, strlen(text));
    free(text);
    json_decref(root);
}
