#include "shard/callq.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/spin.h"
#include "common/crypto/keccak.h"

/* Instructions in a slice: some tenths of a millisecond, most cost 10 to 50 ns. */
#define SLICE UINT64_C(10000)
/* Keys that a call may want at a time; fewer in a cluster of so many shards that all of them could ask one for more than it takes. */
#define WANTED_MAX 256u
/* Hashes that BLOCKHASH reaches back. */
#define HASH_REACH 256u

typedef enum { CALL_WAITING, CALL_RUNNING, CALL_PARKED } place_t;

typedef struct item item_t;

/* A key that a parked call wants. */
typedef struct {
    item_t *item;
    uint32_t idx;
    uint32_t owner; /* rank that was asked; 0: read here, or come */
} wish_t;

/* A call. While it runs it is the workers', but for what only the communication thread touches. */
struct item {
    item_t *next_free; /* in the ready or the back queue; under the lock */
    item_t *
        next; /* of all; the communication thread's, as all of the rest but run, bytes and status */
    coh_callq_t *q;
    coh_call_t *run;
    uint64_t id;
    uint64_t block;
    uint64_t deadline_us;
    place_t place;
    bool answered;  /* too late: what it still waits for is for nobody */
    bool gone;      /* something that it wanted */
    wish_t *wishes; /* owned; what it waits for... */
    uint32_t room;  /* ...and room for so many */
    uint32_t cnt;   /* keys that it wants... */
    uint32_t left;  /* ...of which so many have not come */
    uint64_t read;  /* number of the first one's READ_STATE; of the others behind it */
    coh_call_run_t status;
    size_t bytes;         /* counted */
    _Atomic bool is_late; /* relaxed: seen by a worker sooner or later */
};

typedef struct {
    item_t *first;
    item_t **last;
} queue_t;

struct coh_callq {
    coh_config_t const *config;
    coh_env_t *env;
    coh_directory_t const *directory;
    coh_past_t *past;
    coh_reads_t *reads;
    coh_call_codes_t *codes;
    coh_call_limits_t limits;

    item_t *all; /* waiting ones behind the others, in order of arrival */
    item_t **all_last;
    uint32_t cnt;
    uint32_t active;
    uint64_t read_number;

    coh_hash_t *hashes; /* by number modulo hash_max */
    uint64_t hash_max;
    uint64_t hash_head;
    uint64_t hash_cnt;

    coh_spin_t lock; /* of both queues */
    queue_t ready;
    queue_t back; /* done, or wanting */
    _Atomic size_t bytes;
};

static void queue_init(queue_t *q)
{
    q->first = NULL;
    q->last  = &q->first;
}

static void push(coh_callq_t *q, queue_t *to, item_t *item)
{
    item->next_free = NULL;
    coh_spin_lock(&q->lock);
    *to->last = item;
    to->last  = &item->next_free;
    coh_spin_unlock(&q->lock);
}

static item_t *pop(coh_callq_t *q, queue_t *from)
{
    coh_spin_lock(&q->lock);
    item_t *item = from->first;
    if (item != NULL) {
        from->first = item->next_free;
        if (from->first == NULL) {
            from->last = &from->first;
        }
    }
    coh_spin_unlock(&q->lock);
    return item;
}

coh_callq_t *coh_callq_new(coh_config_t const *config,
                           coh_env_t *env,
                           coh_directory_t const *directory,
                           coh_past_t *past,
                           coh_reads_t *reads,
                           uint64_t seed)
{
    coh_callq_t *q = coh_calloc(1, sizeof(*q));
    q->config      = config;
    q->env         = env;
    q->directory   = directory;
    q->past        = past;
    q->reads       = reads;
    q->codes       = coh_call_codes_new();
    q->limits      = (coh_call_limits_t){.gas_max         = config->call_gas_max,
                                         .trace_bytes_max = config->call_trace_bytes_max,
                                         .any_sender      = config->node_dev,
                                         .slice           = SLICE,
                                         .seed            = seed};
    q->hash_max    = config->state_past_blocks + HASH_REACH + 1;
    q->hashes      = coh_calloc(q->hash_max, sizeof(*q->hashes));
    q->all_last    = &q->all;
    q->lock        = COH_SPIN_INIT;
    queue_init(&q->ready);
    queue_init(&q->back);
    return q;
}

static void free_item(item_t *item)
{
    coh_call_free(item->run);
    free(item->wishes);
    free(item);
}

void coh_callq_free(coh_callq_t *q)
{
    if (q == NULL) {
        return;
    }
    while (q->all != NULL) {
        item_t *item = q->all;
        q->all       = item->next;
        free_item(item);
    }
    coh_call_codes_free(q->codes);
    free(q->hashes);
    free(q);
}

void coh_callq_add_hash(coh_callq_t *q, uint64_t number, coh_hash_t const *hash)
{
    bool next                       = q->hash_cnt != 0 && number == q->hash_head + 1;
    q->hash_cnt                     = next ? COH_MIN(q->hash_cnt + 1, q->hash_max) : 1;
    q->hash_head                    = number;
    q->hashes[number % q->hash_max] = *hash;
}

/* ---- answers ---- */

static void send(coh_callq_t *q, coh_msg_call_result_t const *result)
{
    coh_wire_put_call_result(q->env->outbox(q->env, 0), result);
    coh_metric_add(q->env->metrics, COH_M_net_message_sent, 1);
    coh_metric_add(q->env->metrics, COH_M_call_done, 1);
}

static void send_err(coh_callq_t *q, uint64_t id, coh_call_err_t err)
{
    send(q, &(coh_msg_call_result_t){.call = id, .err = (uint32_t)err});
}

/* Forgets a call that no worker has. */
static void drop(coh_callq_t *q, item_t *item)
{
    item_t **link = &q->all;
    while (*link != item) {
        link = &(*link)->next;
    }
    *link = item->next;
    if (q->all_last == &item->next) {
        q->all_last = link;
    }
    q->cnt--;
    q->active -= item->place != CALL_WAITING;
    atomic_fetch_sub_explicit(&q->bytes, item->bytes, memory_order_relaxed);
    free_item(item);
}

static void end(coh_callq_t *q, item_t *item, coh_call_err_t err)
{
    if (!item->answered) {
        send_err(q, item->id, err);
    }
    drop(q, item);
}

/* ---- state ---- */

static void resume(coh_callq_t *q, item_t *item)
{
    item->place = CALL_RUNNING;
    push(q, &q->ready, item);
    q->env->wake_workers(q->env);
}

/* One of what it wanted has come from here; gone: from nowhere. */
static void take(coh_callq_t *q, wish_t const *wish, coh_read_answer_t const *answer)
{
    item_t *item = wish->item;
    COH_ASSERT(item->left > 0);
    if (answer->gone) {
        item->gone = true;
    } else {
        coh_call_give(item->run, wish->idx, &answer->value, answer->code);
    }
    if (--item->left > 0) {
        return;
    }
    if (item->answered) {
        drop(q, item);
    } else if (item->gone) {
        end(q, item, COH_CALL_GONE);
    } else {
        resume(q, item);
    }
}

static void on_read(void *arg, coh_read_answer_t const *answer)
{
    wish_t const *wish = arg;
    take(wish->item->q, wish, answer);
}

/* The hash of a block up to the one on which the call runs; zero of others. */
static coh_value_t block_hash(coh_callq_t const *q, item_t const *item, uint64_t number)
{
    coh_value_t value = {0};
    if (number <= item->block && number <= q->hash_head && q->hash_head - number < q->hash_cnt) {
        value.word = coh_u256_from_be(q->hashes[number % q->hash_max].b, sizeof(coh_hash_t));
    }
    return value;
}

/* Reads a key, or asks its owner. The item may be gone afterwards, or run. */
static void grant(coh_callq_t *q, wish_t *wish)
{
    item_t *item             = wish->item;
    coh_key_t const *key     = coh_call_wanted(item->run, wish->idx);
    coh_read_answer_t answer = {.gone = false};
    coh_metric_add(q->env->metrics, COH_M_call_read, 1);
    if (key->kind == COH_KEY_BLOCK_HASH) {
        answer.value = block_hash(q, item, key->slot.w[0]);
        take(q, wish, &answer);
        return;
    }
    uint32_t owner =
        1 + coh_directory_owner(q->directory, &key->addr, coh_directory_bucket(&key->addr));
    if (owner != q->env->rank) {
        wish->owner = owner;
        coh_wire_put_read_state(q->env->outbox(q->env, owner),
                                &(coh_msg_read_state_t){.read       = item->read + wish->idx,
                                                        .block      = item->block,
                                                        .kind       = key->kind,
                                                        .addr       = key->addr,
                                                        .slot       = key->slot,
                                                        .generation = key->generation});
        coh_metric_add(q->env->metrics, COH_M_net_message_sent, 1);
    } else if (coh_reads_get(q->reads, key, item->block, &answer, on_read, wish) == COH_READ_HERE) {
        take(q, wish, &answer);
    }
}

static void serve(coh_callq_t *q, item_t *item)
{
    uint32_t cnt = coh_call_wanted_cnt(item->run);
    if (cnt > item->room) {
        item->wishes = coh_realloc(item->wishes, cnt * sizeof(*item->wishes));
        item->room   = cnt;
    }
    item->place = CALL_PARKED;
    item->gone  = false;
    item->cnt   = cnt;
    item->left  = cnt;
    item->read  = q->read_number + 1;
    q->read_number += cnt;
    for (uint32_t i = 0; i < cnt; i++) {
        item->wishes[i] = (wish_t){.item = item, .idx = i};
    }
    for (uint32_t i = 0; i < cnt; i++) { /* with the last one the item may go */
        grant(q, &item->wishes[i]);
    }
}

/* The wish that rank src was asked for under this number. */
static wish_t *find_wish(coh_callq_t const *q, uint32_t src, uint64_t read)
{
    for (item_t *item = q->all; item != NULL; item = item->next) {
        if (item->place == CALL_PARKED && read >= item->read && read - item->read < item->cnt) {
            wish_t *wish = &item->wishes[read - item->read];
            return wish->owner == src ? wish : NULL;
        }
    }
    return NULL;
}

coh_err_t coh_callq_on_state(coh_callq_t *q, uint32_t src, coh_msg_state_t const *m)
{
    wish_t *wish = find_wish(q, src, m->read);
    if (wish == NULL || src == 0) {
        return COH_EPROTO;
    }
    coh_read_answer_t answer = {.gone = m->gone != 0};
    coh_key_t const *key     = coh_call_wanted(wish->item->run, wish->idx);
    if (key->kind == COH_KEY_CODE) {
        coh_hash_t wanted = coh_codes_hash(key);
        coh_hash_t is;
        coh_keccak256(&is, m->code.p, m->code.n);
        if (answer.gone || !coh_hash_eq(&is, &wanted)) {
            return COH_EPROTO;
        }
        answer.code = m->code;
    } else if (key->kind == COH_KEY_ACCOUNT) {
        answer.value = (coh_value_t){.word       = m->word,
                                     .nonce      = m->nonce,
                                     .code_hash  = m->code_hash,
                                     .generation = m->generation,
                                     .flags      = m->flags};
    } else {
        answer.value.word = m->word;
    }
    wish->owner = 0;
    take(q, wish, &answer);
    return COH_OK;
}

/* ---- arrival ---- */

coh_err_t coh_callq_add(coh_callq_t *q, coh_msg_call_t const *m)
{
    if (m->block > coh_past_head(q->past)) {
        return COH_EPROTO;
    }
    if (m->block < coh_past_first(q->past)) {
        send_err(q, m->call, COH_CALL_GONE);
        return COH_OK;
    }
    if (q->cnt >= q->config->call_inflight_max ||
        atomic_load_explicit(&q->bytes, memory_order_relaxed) > COH_CALLQ_BYTES_MAX) {
        send_err(q, m->call, COH_CALL_BUSY);
        return COH_OK;
    }
    uint32_t fair =
        COH_READS_REMOTE_MAX / COH_CALLQ_ACTIVE_MAX / COH_MAX(q->directory->shard_cnt, 1u);
    q->limits.wanted_max = COH_MAX(COH_MIN(fair, WANTED_MAX), 1u);
    coh_call_t *run      = coh_call_new(m, &q->limits, q->codes);
    if (run == NULL) {
        send_err(q, m->call, COH_CALL_INVALID);
        return COH_OK;
    }
    item_t *item      = coh_calloc(1, sizeof(*item));
    item->q           = q;
    item->run         = run;
    item->bytes       = coh_call_bytes(run);
    item->id          = m->call;
    item->block       = m->block;
    uint64_t time_ms  = m->time_ms != 0 ? m->time_ms : UINT64_MAX;
    item->deadline_us = q->env->mono_us(q->env) + COH_MIN(time_ms, q->config->call_time_ms) * 1000;
    atomic_fetch_add_explicit(&q->bytes, item->bytes, memory_order_relaxed);
    *q->all_last = item;
    q->all_last  = &item->next;
    q->cnt++;
    return COH_OK;
}

/* Ends what is late: at once what is parked or waits; a worker ends what it has. */
static bool end_late(coh_callq_t *q)
{
    uint64_t now = q->env->mono_us(q->env);
    bool any     = false;
    for (item_t *item = q->all; item != NULL;) {
        item_t *next = item->next;
        if (!item->answered && item->deadline_us > now) {
            q->env->due_us = COH_MIN(q->env->due_us, item->deadline_us);
        } else if (!item->answered) {
            any = true;
            switch (item->place) {
            case CALL_WAITING: end(q, item, COH_CALL_TIMEOUT); break;
            case CALL_PARKED:
                send_err(q, item->id, COH_CALL_TIMEOUT);
                item->answered = true;
                break;
            case CALL_RUNNING:
                any = !atomic_exchange_explicit(&item->is_late, true, memory_order_relaxed);
                break;
            }
        }
        item = next;
    }
    return any;
}

bool coh_callq_poll(coh_callq_t *q)
{
    bool any = false;
    item_t *item;
    while ((item = pop(q, &q->back)) != NULL) {
        any = true;
        if (item->status == COH_CALL_RUN_WANTS) {
            serve(q, item);
        } else {
            send(q, coh_call_result(item->run));
            drop(q, item);
        }
    }
    if (q->cnt != 0) {
        any = end_late(q) || any;
    }
    for (item = q->all; item != NULL && q->active < COH_CALLQ_ACTIVE_MAX; item = item->next) {
        if (item->place == CALL_WAITING) {
            q->active++;
            resume(q, item);
            any = true;
        }
    }
    coh_metric_set(q->env->metrics, COH_M_call_inflight, q->cnt);
    return any;
}

/* ---- workers ---- */

bool coh_callq_work(coh_callq_t *q)
{
    item_t *item = pop(q, &q->ready);
    if (item == NULL) {
        return false;
    }
    uint64_t start_ns = coh_clock_thread_cpu_ns();
    item->status      = coh_call_run(item->run);
    size_t bytes      = coh_call_bytes(item->run);
    size_t total = atomic_fetch_add_explicit(&q->bytes, bytes - item->bytes, memory_order_relaxed) +
                   bytes - item->bytes;
    item->bytes = bytes;
    if (item->status != COH_CALL_RUN_DONE && total > COH_CALLQ_BYTES_MAX) {
        coh_call_end(item->run, COH_CALL_MEMORY);
        item->status = COH_CALL_RUN_DONE;
    }
    if (item->status != COH_CALL_RUN_DONE &&
        atomic_load_explicit(&item->is_late, memory_order_relaxed)) {
        coh_call_end(item->run, COH_CALL_TIMEOUT);
        item->status = COH_CALL_RUN_DONE;
    }
    coh_metric_add(q->env->metrics, COH_M_call_cpu, coh_clock_thread_cpu_ns() - start_ns);
    if (item->status == COH_CALL_RUN_SLICE) {
        push(q, &q->ready, item);
    } else {
        push(q, &q->back, item);
        q->env->wake_node(q->env);
    }
    return true;
}
