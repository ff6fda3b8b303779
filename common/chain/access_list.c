#include "common/chain/access_list.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/codec/rlp.h"

/* In the order of an account's members; what stands for no member comes first. */
typedef enum { EVENT_ACCOUNT, EVENT_SLOT, EVENT_BALANCE, EVENT_NONCE, EVENT_CODE } event_kind_t;

/* An access, or a change. */
typedef struct {
    coh_addr_t addr;
    uint32_t kind;
    bool is_access; /* only addr, kind and slot mean something */
    coh_u256_t slot;
    uint32_t at;
    uint32_t seq; /* in the order of happening */
    coh_u256_t before;
    coh_u256_t after; /* of code its hash */
} event_t;

struct coh_access_list {
    coh_access_source_t source;
    event_t *events;
    size_t cnt, cap;
};

coh_access_list_t *coh_access_list_new(void) { return coh_calloc(1, sizeof(coh_access_list_t)); }

void coh_access_list_free(coh_access_list_t *list)
{
    if (list != NULL) {
        free(list->events);
        free(list);
    }
}

void coh_access_list_begin(coh_access_list_t *list, coh_access_source_t const *source)
{
    list->source = *source;
    list->cnt    = 0;
}

size_t coh_access_list_bytes(coh_access_list_t const *list)
{
    return sizeof(*list) + list->cap * sizeof(*list->events);
}

static coh_value_t memview_value(void const *arg, coh_key_t const *key)
{
    coh_memview_t const *mv = arg;
    if (key->kind == COH_KEY_ACCOUNT) {
        return coh_memview_account(mv, &key->addr);
    }
    return (coh_value_t){.word = coh_memview_slot(mv, &key->addr, &key->slot)};
}

static coh_bytes_t memview_code(void const *arg, coh_hash_t const *hash)
{
    return coh_memview_code(arg, hash);
}

coh_access_source_t coh_access_source_memview(coh_memview_t const *mv)
{
    return (coh_access_source_t){.value = memview_value, .code = memview_code, .arg = mv};
}

/* ---- Recording ------------------------------------------------------------------------------------------------------------------- */

static void add(coh_access_list_t *list, event_t event)
{
    if (list->cnt == list->cap) {
        list->cap    = list->cap == 0 ? 1024 : list->cap * 2;
        list->events = coh_realloc(list->events, list->cap * sizeof(*list->events));
    }
    event.seq                 = (uint32_t)list->cnt;
    list->events[list->cnt++] = event;
}

static void add_change(coh_access_list_t *list,
                       uint32_t at,
                       event_kind_t kind,
                       coh_key_t const *key,
                       coh_u256_t before,
                       coh_u256_t after)
{
    add(list,
        (event_t){.addr   = key->addr,
                  .kind   = kind,
                  .slot   = kind == EVENT_SLOT ? key->slot : COH_U256_ZERO,
                  .at     = at,
                  .before = before,
                  .after  = after});
}

static coh_u256_t word_of(coh_hash_t const *hash)
{
    return coh_u256_from_be(hash->b, sizeof(hash->b));
}

static void add_write(coh_access_list_t *list, uint32_t at, coh_write_t const *w)
{
    coh_key_t const *key = &w->key;
    if (key->kind == COH_KEY_SLOT) {
        coh_value_t before = list->source.value(list->source.arg, key);
        add_change(list, at, EVENT_SLOT, key, before.word, w->word);
        return;
    }
    coh_value_t before = list->source.value(list->source.arg, key);
    coh_value_t after  = before;
    coh_write_apply(&after, w);
    add_change(list, at, EVENT_BALANCE, key, before.word, after.word);
    add_change(list, at, EVENT_NONCE, key, coh_u256(before.nonce), coh_u256(after.nonce));
    add_change(list, at, EVENT_CODE, key, word_of(&before.code_hash), word_of(&after.code_hash));
}

/* Whether execution has reached a, which may stand in the overlay for being warm alone, or for an instruction that could not be paid. */
static bool was_reached(coh_state_t const *state, coh_account_t const *a)
{
    if (a->have != 0 || coh_fork_is_precompile(state->fork, &a->addr)) {
        return true;
    }
    return (a->flags & (COH_ACCT_TOUCHED | COH_ACCT_CREATED)) != 0;
}

void coh_access_list_watch(void *arg,
                           uint32_t at,
                           coh_outcome_t const *outcome,
                           coh_state_t const *state)
{
    coh_access_list_t *list = arg;
    for (coh_account_t const *a = state->first; a != NULL; a = a->next) {
        if (was_reached(state, a)) {
            add(list, (event_t){.addr = a->addr, .kind = EVENT_ACCOUNT, .is_access = true});
        }
        for (coh_slot_t const *slot = a->slots; slot != NULL; slot = slot->next) {
            if (slot->have) {
                add(list,
                    (event_t){
                        .addr = a->addr, .kind = EVENT_SLOT, .is_access = true, .slot = slot->key});
            }
        }
    }
    for (uint32_t i = 0; i < outcome->write_cnt; i++) {
        add_write(list, at, &outcome->writes[i]);
    }
}

/* ---- Writing --------------------------------------------------------------------------------------------------------------------- */

static int compare_events(void const *a, void const *b)
{
    event_t const *x = a;
    event_t const *y = b;
    int order        = memcmp(x->addr.b, y->addr.b, sizeof(x->addr.b));
    if (order == 0 && x->kind != y->kind) {
        order = x->kind < y->kind ? -1 : 1;
    }
    if (order == 0 && !coh_u256_eq(&x->slot, &y->slot)) {
        order = coh_u256_lt(&x->slot, &y->slot) ? -1 : 1;
    }
    return order != 0 ? order : x->seq < y->seq ? -1 : 1;
}

/* Appends [index, value]. */
static void put_change(coh_access_list_t const *list,
                       coh_buf_t *out,
                       event_t const *e,
                       coh_u256_t const *after)
{
    size_t at = out->n;
    coh_rlp_put_u64(out, e->at);
    if (e->kind == EVENT_CODE) {
        coh_hash_t hash;
        coh_u256_to_be(hash.b, after);
        coh_bytes_t code = list->source.code(list->source.arg, &hash);
        coh_rlp_put_string(out, code.p, code.n);
    } else {
        coh_rlp_put_u256(out, after);
    }
    coh_rlp_wrap_list(out, at);
}

/* Appends what the events lo..hi of one piece of state come to, the transitions of an index taken together; returns how many changes. */
static size_t put_changes(coh_access_list_t const *list, coh_buf_t *out, size_t lo, size_t hi)
{
    size_t cnt           = 0;
    event_t const *first = NULL; /* change of an index... */
    event_t const *last  = NULL;
    for (size_t i = lo; i <= hi; i++) {
        event_t const *e = i < hi ? &list->events[i] : NULL;
        if (e != NULL && e->is_access) {
            continue;
        }
        if (first != NULL && (e == NULL || e->at != first->at)) { /* ...is complete */
            if (!coh_u256_eq(&first->before, &last->after)) {
                put_change(list, out, first, &last->after);
                cnt++;
            }
            first = NULL;
        }
        first = first == NULL ? e : first;
        last  = e;
    }
    return cnt;
}

/* The events of an account from i on that are of this kind; returns their end. */
static size_t end_of_kind(coh_access_list_t const *list, size_t i, size_t hi, event_kind_t kind)
{
    while (i < hi && list->events[i].kind == kind) {
        i++;
    }
    return i;
}

static void put_slots(coh_access_list_t const *list,
                      coh_buf_t *out,
                      coh_buf_t *reads,
                      size_t lo,
                      size_t hi)
{
    coh_buf_clear(reads);
    size_t list_at = out->n;
    for (size_t i = lo; i < hi;) {
        size_t end = i + 1;
        while (end < hi && coh_u256_eq(&list->events[end].slot, &list->events[i].slot)) {
            end++;
        }
        size_t at = out->n;
        coh_rlp_put_u256(out, &list->events[i].slot);
        size_t changes_at = out->n;
        if (put_changes(list, out, i, end) == 0) {
            coh_buf_put(reads, out->p + at, changes_at - at);
            out->n = at;
        } else {
            coh_rlp_wrap_list(out, changes_at);
            coh_rlp_wrap_list(out, at);
        }
        i = end;
    }
    coh_rlp_wrap_list(out, list_at);
    coh_rlp_put_list_header(out, reads->n);
    coh_buf_put(out, reads->p, reads->n);
}

static void put_account(coh_access_list_t const *list,
                        coh_buf_t *out,
                        coh_buf_t *reads,
                        size_t lo,
                        size_t hi)
{
    size_t at = out->n;
    coh_rlp_put_string(out, list->events[lo].addr.b, sizeof(coh_addr_t));
    size_t i   = end_of_kind(list, lo, hi, EVENT_ACCOUNT);
    size_t end = end_of_kind(list, i, hi, EVENT_SLOT);
    put_slots(list, out, reads, i, end);
    for (event_kind_t kind = EVENT_BALANCE; kind <= EVENT_CODE; kind++) {
        i              = end;
        end            = end_of_kind(list, i, hi, kind);
        size_t list_at = out->n;
        (void)put_changes(list, out, i, end);
        coh_rlp_wrap_list(out, list_at);
    }
    coh_rlp_wrap_list(out, at);
}

void coh_access_list_put(coh_buf_t *out, coh_access_list_t *list)
{
    coh_buf_t reads = COH_BUF_INIT;
    size_t at       = out->n;
    if (list->cnt != 0) {
        qsort(list->events, list->cnt, sizeof(*list->events), compare_events);
    }
    for (size_t i = 0; i < list->cnt;) {
        size_t end = i + 1;
        while (end < list->cnt && coh_addr_eq(&list->events[end].addr, &list->events[i].addr)) {
            end++;
        }
        put_account(list, out, &reads, i, end);
        i = end;
    }
    coh_rlp_wrap_list(out, at);
    coh_buf_free(&reads);
}
