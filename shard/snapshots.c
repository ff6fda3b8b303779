#include "shard/snapshots.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"

coh_err_t coh_snapshots_take(coh_snapshots_t *s, coh_past_t const *past, uint64_t id)
{
    if (s->cnt == COH_DEV_SNAPSHOT_MAX || (s->cnt != 0 && id <= s->v[s->cnt - 1].id)) {
        return COH_EPROTO;
    }
    s->v[s->cnt].id   = id;
    s->v[s->cnt].mark = coh_past_mark(past);
    s->cnt++;
    return COH_OK;
}

/* The place of id; s->cnt: it is not kept. */
static uint32_t find(coh_snapshots_t const *s, uint64_t id)
{
    uint32_t i = 0;
    while (i < s->cnt && s->v[i].id != id) {
        i++;
    }
    return i;
}

bool coh_snapshots_has(coh_snapshots_t const *s, coh_past_t const *past, uint64_t id)
{
    uint32_t i = find(s, id);
    return i < s->cnt && coh_past_holds(past, s->v[i].mark) &&
           coh_past_since(past, s->v[i].mark) <= COH_STEP_PATCH_CNT_MAX;
}

void coh_snapshots_drop(coh_snapshots_t *s, uint64_t id)
{
    while (s->cnt != 0 && s->v[s->cnt - 1].id >= id) {
        s->cnt--;
    }
}

/* The keys that a patch has so far, found by a hash. */
typedef struct {
    coh_past_t const *past;
    coh_buf_t *list;
    coh_key_t *keys;
    uint32_t cnt;
    uint32_t *table; /* place in keys + 1; 0: free */
    uint64_t mask;
} patch_t;

/* False: key was there already. */
static bool add_key(patch_t *p, coh_key_t const *key)
{
    uint64_t at = coh_past_hash(p->past, key) & p->mask;
    for (; p->table[at] != 0; at = (at + 1) & p->mask) {
        if (coh_key_eq(&p->keys[p->table[at] - 1], key)) {
            return false;
        }
    }
    p->keys[p->cnt] = *key;
    p->table[at]    = ++p->cnt;
    return true;
}

static void visit(void *arg, coh_key_t const *key, coh_value_t const *old)
{
    patch_t *p = arg;
    if (!add_key(p, key)) {
        return; /* a later change */
    }
    coh_step_patch_t entry = {.addr = key->addr, .word = old->word};
    if (key->kind == COH_KEY_SLOT) {
        entry.fields = COH_PATCH_SLOT | COH_PATCH_GENERATION;
        entry.number = key->generation;
        coh_u256_to_be(entry.hash.b, &key->slot);
    } else {
        entry.fields = COH_PATCH_ACCOUNT |
                       ((old->flags & COH_ACCOUNT_HAS_STORAGE) != 0 ? COH_PATCH_STORAGE : 0);
        entry.number = old->nonce;
        entry.hash   = old->code_hash;
    }
    coh_step_put_patch(p->list, &entry);
}

void coh_snapshots_patch(coh_snapshots_t const *s,
                         coh_past_t const *past,
                         uint64_t id,
                         coh_buf_t *out)
{
    COH_ASSERT(coh_snapshots_has(s, past, id));
    uint64_t mark  = s->v[find(s, id)].mark;
    uint64_t cnt   = coh_past_since(past, mark);
    coh_buf_t list = COH_BUF_INIT;
    patch_t p      = {.past = past, .list = &list, .mask = 15};
    while (p.mask < 2 * cnt) {
        p.mask = 2 * p.mask + 1;
    }
    p.keys  = coh_calloc(cnt + 1, sizeof(*p.keys));
    p.table = coh_calloc(p.mask + 1, sizeof(*p.table));
    coh_past_visit(past, mark, visit, &p);
    coh_step_put(out, &(coh_step_t){.kind = COH_STEP_PATCH, .list = coh_buf_bytes(&list)});
    coh_buf_free(&list);
    free(p.keys);
    free(p.table);
}
