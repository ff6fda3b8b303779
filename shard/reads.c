#include "shard/reads.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/crypto/keccak.h"
#include "shard/store.h"

/* Keys in one request to the disk. */
#define DISK_MAX 256u

/* A read that waits: for its block, to be handed to the disk, or for the disk. */
typedef struct read {
    struct read *next;
    coh_key_t key;
    uint64_t block;
    coh_read_done_fn *done; /* NULL: for rank src */
    void *arg;
    uint32_t src;
    uint64_t number; /* of src */
} read_t;

/* What one disk request reads: one allocation with the reads, so that whoever ends with the request in hand frees them. */
typedef struct {
    coh_disk_req_t req; /* first: it is cast back */
    read_t *reads;      /* req.key_cnt of them */
} batch_t;

struct coh_reads {
    coh_mvstore_t *mv;
    coh_past_t *past;
    coh_codes_t *codes;
    coh_env_t *env;
    uint32_t tag;
    uint32_t remote_cnt;
    uint32_t disk_cnt; /* requests under way */
    read_t *early;     /* of blocks that are not committed here yet */
    read_t *waiting;   /* for the next request */
};

coh_reads_t *coh_reads_new(coh_mvstore_t *mv,
                           coh_past_t *past,
                           coh_codes_t *codes,
                           coh_env_t *env,
                           uint32_t tag)
{
    coh_reads_t *reads = coh_calloc(1, sizeof(*reads));
    reads->mv          = mv;
    reads->past        = past;
    reads->codes       = codes;
    reads->env         = env;
    reads->tag         = tag;
    return reads;
}

static void free_list(read_t *r)
{
    while (r != NULL) {
        read_t *next = r->next;
        free(r);
        r = next;
    }
}

void coh_reads_free(coh_reads_t *reads)
{
    if (reads != NULL) {
        free_list(reads->early);
        free_list(reads->waiting);
        free(reads);
    }
}

static void put(read_t **list, read_t *r)
{
    r->next = *list;
    *list   = r;
}

/* Answers from memory, if that is possible. */
static bool find(coh_reads_t *reads,
                 coh_key_t const *key,
                 uint64_t block,
                 coh_read_answer_t *answer)
{
    *answer = (coh_read_answer_t){0};
    if (key->kind == COH_KEY_CODE) {
        coh_hash_t hash = coh_codes_hash(key);
        return coh_codes_bytes(reads->codes, &hash, &answer->code);
    }
    switch (coh_past_find(reads->past, key, block, &answer->value)) {
    case COH_PAST_FOUND: return true;
    case COH_PAST_GONE: answer->gone = true; return true;
    case COH_PAST_PRESENT: break;
    }
    return coh_mv_peek(reads->mv, key, &answer->value);
}

coh_read_status_t coh_reads_get(coh_reads_t *reads,
                                coh_key_t const *key,
                                uint64_t block,
                                coh_read_answer_t *answer,
                                coh_read_done_fn *done,
                                void *arg)
{
    if (find(reads, key, block, answer)) {
        return COH_READ_HERE;
    }
    read_t *r = coh_calloc(1, sizeof(*r));
    *r        = (read_t){.key = *key, .block = block, .done = done, .arg = arg};
    put(&reads->waiting, r);
    return COH_READ_LATER;
}

static void finish(coh_reads_t *reads, read_t const *r, coh_read_answer_t const *answer)
{
    if (r->done != NULL) {
        r->done(r->arg, answer);
    } else {
        coh_wire_put_state(reads->env->outbox(reads->env, r->src),
                           &(coh_msg_state_t){.read       = r->number,
                                              .gone       = answer->gone,
                                              .nonce      = answer->value.nonce,
                                              .word       = answer->value.word,
                                              .flags      = answer->value.flags,
                                              .generation = answer->value.generation,
                                              .code_hash  = answer->value.code_hash,
                                              .code       = answer->code});
        coh_metric_add(reads->env->metrics, COH_M_net_message_sent, 1);
        reads->remote_cnt--;
    }
}

/* Goes on with a read whose block is committed. */
static void begin(coh_reads_t *reads, read_t *r)
{
    coh_read_answer_t answer;
    if (find(reads, &r->key, r->block, &answer)) {
        finish(reads, r, &answer);
        free(r);
    } else {
        put(&reads->waiting, r);
    }
}

coh_err_t coh_reads_on_message(coh_reads_t *reads,
                               uint32_t src,
                               coh_msg_read_state_t const *m,
                               bool owned)
{
    if (m->kind > COH_KEY_CODE || !owned || m->generation > UINT32_MAX ||
        (m->kind != COH_KEY_SLOT && m->generation != 0) ||
        (m->kind == COH_KEY_ACCOUNT && !coh_u256_is_zero(&m->slot))) {
        return COH_EPROTO;
    }
    if (reads->remote_cnt >= COH_READS_REMOTE_MAX) {
        return COH_ETOOBIG;
    }
    read_t *r = coh_calloc(1, sizeof(*r));
    *r        = (read_t){
               .key    = {.slot = m->slot, .addr = m->addr, .kind = m->kind, .generation = m->generation},
               .block  = m->block,
               .src    = src,
               .number = m->read};
    reads->remote_cnt++;
    if (r->block > coh_past_head(reads->past)) {
        put(&reads->early, r);
    } else {
        begin(reads, r);
    }
    return COH_OK;
}

void coh_reads_refuse(coh_reads_t *reads, uint32_t src, coh_msg_read_state_t const *m)
{
    coh_wire_put_state(reads->env->outbox(reads->env, src),
                       &(coh_msg_state_t){.read = m->read, .gone = 1});
    coh_metric_add(reads->env->metrics, COH_M_net_message_sent, 1);
}

bool coh_reads_is_idle(coh_reads_t const *reads)
{
    return reads->waiting == NULL && reads->disk_cnt == 0;
}

/* Takes those of early whose block has come. */
static void take_early(coh_reads_t *reads)
{
    read_t **link = &reads->early;
    while (*link != NULL) {
        read_t *r = *link;
        if (r->block <= coh_past_head(reads->past)) {
            *link = r->next;
            begin(reads, r);
        } else {
            link = &r->next;
        }
    }
}

static coh_kv_table_t table_of(coh_key_t const *key)
{
    return key->kind == COH_KEY_CODE ? COH_KV_CODE : coh_store_table(key);
}

/* One allocation, so that coh_disk_req_free frees it wherever it waits: batch, reads, keys, lens, errs, and the keys' octets, where space points. */
static batch_t *new_batch(size_t cnt, uint8_t **space)
{
    batch_t *b  = coh_calloc(1,
                            sizeof(*b) + cnt * (sizeof(*b->reads) + sizeof(*b->req.keys) +
                                                sizeof(*b->req.lens) + sizeof(*b->req.errs) +
                                                COH_STORE_KEY_MAX));
    b->reads    = (read_t *)(void *)(b + 1);
    b->req.keys = (coh_bytes_t *)(void *)(b->reads + cnt);
    b->req.lens = (size_t *)(void *)(b->req.keys + cnt);
    b->req.errs = (coh_err_t *)(void *)(b->req.lens + cnt);
    *space      = (uint8_t *)(b->req.errs + cnt);
    b->req.kind = COH_DISK_READ;
    coh_kv_batch_init(&b->req.batch);
    coh_kv_batch_init(&b->req.after);
    return b;
}

/* Hands out one request for waiting reads of table; false: there are none. */
static bool ask_disk(coh_reads_t *reads, coh_kv_table_t table)
{
    size_t cnt = 0;
    for (read_t const *r = reads->waiting; r != NULL && cnt < DISK_MAX; r = r->next) {
        cnt += table_of(&r->key) == table;
    }
    if (cnt == 0) {
        return false;
    }
    uint8_t *space;
    batch_t *b          = new_batch(cnt, &space);
    coh_disk_req_t *req = &b->req;
    read_t **link       = &reads->waiting;
    while (req->key_cnt < cnt) {
        read_t *r = *link;
        if (table_of(&r->key) != table) {
            link = &r->next;
            continue;
        }
        *link = r->next;
        if (table == COH_KV_CODE) {
            coh_hash_t hash = coh_codes_hash(&r->key);
            memcpy(space, hash.b, sizeof(hash.b));
            req->keys[req->key_cnt] = coh_bytes(space, sizeof(hash.b));
        } else {
            req->keys[req->key_cnt] = coh_store_key(space, &r->key);
        }
        space += COH_STORE_KEY_MAX;
        b->reads[req->key_cnt++] = *r;
        free(r);
    }
    req->table = table;
    req->tag   = reads->tag;
    reads->disk_cnt++;
    reads->env->disk(reads->env, req);
    return true;
}

bool coh_reads_poll(coh_reads_t *reads)
{
    take_early(reads);
    static coh_kv_table_t const tables[] = {COH_KV_ACCOUNTS, COH_KV_STORAGE, COH_KV_CODE};
    bool any                             = reads->waiting != NULL;
    for (size_t i = 0; reads->waiting != NULL && i < COH_CNT(tables); i++) {
        while (ask_disk(reads, tables[i])) {
        }
    }
    return any;
}

/* Takes what was read of one key. */
static coh_err_t take(coh_reads_t *reads, read_t const *r, coh_bytes_t in, bool found)
{
    coh_read_answer_t answer = {0};
    if (r->key.kind == COH_KEY_CODE) {
        coh_hash_t hash = coh_codes_hash(&r->key);
        coh_hash_t is;
        coh_keccak256(&is, in.p, in.n);
        if (!found || !coh_hash_eq(&is, &hash)) {
            return COH_ECORRUPT; /* an account that was read has it */
        }
        answer.code = in;
    } else if (!find(reads, &r->key, r->block, &answer) && found) {
        COH_TRY(coh_store_get_value(&answer.value, r->key.kind, in));
    }
    finish(reads, r, &answer);
    return COH_OK;
}

coh_err_t coh_reads_on_disk(coh_reads_t *reads, coh_disk_req_t *req)
{
    reads->disk_cnt--;
    batch_t *b = (batch_t *)req;
    size_t at  = 0;
    COH_TRY(req->err);
    for (size_t i = 0; i < req->key_cnt; i++) {
        bool found     = req->errs[i] == COH_OK;
        coh_bytes_t in = {0};
        if (found) {
            in = coh_bytes(req->values.p + at, req->lens[i]);
            at += req->lens[i];
        }
        COH_TRY(take(reads, &b->reads[i], in, found));
    }
    return COH_OK;
}
