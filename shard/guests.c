#include "shard/guests.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "shard/store.h"

void coh_guest_changes_free(coh_guest_changes_t *changes)
{
    free(changes->items);
    free(changes->trail);
    *changes = (coh_guest_changes_t){0};
}

void coh_guests_init(coh_guests_t *g, coh_directory_t const *dir, uint32_t shard)
{
    *g = (coh_guests_t){.dir      = dir,
                        .shard    = shard,
                        .is_host  = coh_calloc(dir->shard_cnt, 1),
                        .is_owner = coh_calloc(dir->shard_cnt, 1)};
    for (size_t i = 0; dir->override_cnt != 0 && i <= dir->override_mask; i++) {
        coh_override_t const *o = &dir->overrides[i];
        if (o->bucket == COH_DIRECTORY_NO_BUCKET) {
            continue;
        }
        uint32_t owner = coh_directory_shard(dir, o->bucket);
        if (owner == shard && g->is_host[o->shard] == 0) {
            g->is_host[o->shard] = 1;
            g->host_cnt++;
        }
        if (o->shard == shard && g->is_owner[owner] == 0) {
            g->is_owner[owner] = 1;
            g->owner_cnt++;
        }
    }
}

void coh_guests_fini(coh_guests_t *g)
{
    free(g->is_host);
    free(g->is_owner);
    *g = (coh_guests_t){0};
}

uint32_t coh_guests_trie_shard(coh_guests_t const *g, coh_addr_t const *addr)
{
    coh_override_t const *o = coh_directory_override(g->dir, addr);
    return o != NULL ? coh_directory_shard(g->dir, o->bucket) : g->shard;
}

static bool is_kept(coh_guests_t const *g, coh_mv_item_t const *item)
{
    return item->is_guest || coh_guests_trie_shard(g, &item->key.addr) == g->shard;
}

size_t coh_guests_keep(coh_guests_t const *g, coh_mv_item_t *items, size_t cnt)
{
    if (g->owner_cnt == 0) {
        return cnt;
    }
    size_t kept = 0;
    for (size_t i = 0; i < cnt; i++) {
        if (is_kept(g, &items[i])) {
            items[kept++] = items[i];
        }
    }
    return kept;
}

size_t coh_guests_keep_steps(coh_guests_t const *g, coh_mv_step_t *steps, size_t cnt)
{
    size_t kept = 0;
    for (size_t i = 0; i < cnt; i++) {
        if (is_kept(g, &steps[i].item)) {
            steps[kept++] = steps[i];
        }
    }
    return kept;
}

void coh_guests_note(coh_kv_batch_t *batch, coh_mv_item_t const *items, size_t cnt)
{
    for (size_t i = 0; i < cnt; i++) {
        if (items[i].is_guest && items[i].wiped) {
            coh_store_put_guest(batch, &items[i].key.addr, items[i].value.generation);
        }
    }
}

/* A change on its way, with its flat value. */
typedef struct {
    coh_rec_change_t *recs;
    uint8_t (*flat)[COH_STORE_FLAT_MAX];
    uint32_t cnt;
} list_t;

static void add_change(list_t *list, coh_mv_item_t const *item, uint32_t after)
{
    uint8_t *flat           = list->flat[list->cnt];
    size_t n                = coh_store_put_flat(flat, item->key.kind, &item->value);
    list->recs[list->cnt++] = (coh_rec_change_t){.after      = after,
                                                 .kind       = item->key.kind,
                                                 .addr       = item->key.addr,
                                                 .slot       = item->key.slot,
                                                 .generation = item->key.generation,
                                                 .wiped      = item->wiped,
                                                 .value      = coh_bytes(flat, n)};
}

void coh_guests_put_changes(coh_guests_t const *g,
                            coh_buf_t *out,
                            uint32_t owner,
                            uint64_t block,
                            uint32_t attempt,
                            coh_mv_item_t const *items,
                            size_t cnt,
                            coh_mv_step_t const *trail,
                            size_t trail_cnt)
{
    size_t max  = cnt + trail_cnt + 1;
    list_t list = {.recs = coh_calloc(max, sizeof(*list.recs)),
                   .flat = coh_calloc(max, sizeof(*list.flat))};
    for (size_t i = 0; i < trail_cnt; i++) {
        if (coh_guests_trie_shard(g, &trail[i].item.key.addr) == owner) {
            add_change(&list, &trail[i].item, trail[i].tx_idx + 1);
        }
    }
    for (size_t i = 0; i < cnt; i++) {
        if (coh_guests_trie_shard(g, &items[i].key.addr) == owner) {
            add_change(&list, &items[i], 0);
        }
    }
    coh_msg_changes_t m = {.block = block, .attempt = attempt};
    m.changes.v         = list.recs;
    m.changes.cnt       = list.cnt;
    coh_wire_put_changes(out, &m);
    free(list.recs);
    free(list.flat);
}

static coh_err_t read_change(coh_guests_t const *g,
                             coh_mv_item_t *out,
                             uint32_t host,
                             coh_rec_change_t const *rec)
{
    coh_override_t const *o = coh_directory_override(g->dir, &rec->addr);
    bool is_slot            = rec->kind == COH_KEY_SLOT;
    if (o == NULL || o->shard != host || coh_directory_shard(g->dir, o->bucket) != g->shard ||
        (!is_slot && rec->kind != COH_KEY_ACCOUNT) || rec->generation > UINT32_MAX ||
        rec->wiped > !is_slot) {
        return COH_EPROTO;
    }
    *out = (coh_mv_item_t){
        .key      = is_slot ? coh_key_slot(&rec->addr, (uint32_t)rec->generation, &rec->slot)
                            : coh_key_account(&rec->addr),
        .wiped    = rec->wiped != 0,
        .is_guest = true};
    if (rec->value.n != 0 && coh_store_get_value(&out->value, rec->kind, rec->value) != COH_OK) {
        return COH_EPROTO;
    }
    return COH_OK;
}

static size_t room_for(size_t cap, size_t want) { return COH_MAX(want, cap * 2); }

coh_err_t coh_guests_take_changes(coh_guests_t const *g,
                                  coh_guest_changes_t *out,
                                  uint32_t host,
                                  coh_msg_changes_t const *m)
{
    for (uint32_t i = 0; i < m->changes.cnt; i++) {
        coh_rec_change_t const *rec = &m->changes.v[i];
        coh_mv_item_t item;
        COH_TRY(read_change(g, &item, host, rec));
        if (rec->after == 0) {
            if (out->cnt == out->cap) {
                out->cap   = room_for(out->cap, 64);
                out->items = coh_realloc(out->items, out->cap * sizeof(*out->items));
            }
            out->items[out->cnt++] = item;
        } else {
            if (out->trail_cnt == out->trail_cap) {
                out->trail_cap = room_for(out->trail_cap, 64);
                out->trail     = coh_realloc(out->trail, out->trail_cap * sizeof(*out->trail));
            }
            out->trail[out->trail_cnt++] = (coh_mv_step_t){.tx_idx = rec->after - 1, .item = item};
        }
    }
    return COH_OK;
}
