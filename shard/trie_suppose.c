#include "shard/trie_suppose.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/crypto/keccak.h"
#include "common/trie/history.h"

/* Octets of records that are walked over at most: some tenths of a second. */
#define WALK_BYTES_MAX ((coh_u128_t)1 << 34)

static int compare_ids(void const *a, void const *b)
{
    coh_mpt_id_t const *x = a;
    coh_mpt_id_t const *y = b;
    return x->n != y->n ? (int)x->n - (int)y->n : memcmp(x->b, y->b, x->n);
}

/* Lists the tries that items are in, each once; at most two for each item. */
static size_t list_tries(coh_mpt_id_t *ids, coh_mv_item_t const *items, size_t cnt)
{
    size_t n = 0;
    for (size_t i = 0; i < cnt; i++) {
        coh_key_t const *key = &items[i].key;
        coh_hash_t account;
        coh_keccak256(&account, key->addr.b, sizeof(key->addr.b));
        ids[n++] = coh_mpt_id_bucket((uint32_t)account.b[0] << 4 | account.b[1] >> 4);
        if (key->kind == COH_KEY_SLOT) {
            ids[n++] = coh_mpt_id_storage(&account, (uint32_t)key->generation);
        }
    }
    qsort(ids, n, sizeof(*ids), compare_ids);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (kept == 0 || compare_ids(&ids[kept - 1], &ids[i]) != 0) {
            ids[kept++] = ids[i];
        }
    }
    return kept;
}

/* Takes these tries of the view back. */
static coh_err_t rewind_tries(coh_mpt_t *view,
                              coh_mpt_id_t const *ids,
                              size_t cnt,
                              coh_bytes_t const *records,
                              size_t record_cnt)
{
    coh_u128_t bytes = 0;
    for (size_t i = 0; i < record_cnt; i++) {
        bytes += records[i].n;
    }
    if (bytes * cnt > WALK_BYTES_MAX) {
        return COH_ETOOBIG;
    }
    for (size_t i = 0; i < cnt && record_cnt != 0; i++) {
        coh_mpt_node_t node;
        COH_TRY(coh_history_rewind(view, &ids[i], records, record_cnt, &node));
    }
    return COH_OK;
}

coh_err_t coh_trie_suppose(coh_mpt_t *mpt,
                           coh_trie_outcome_t *out,
                           coh_mv_item_t const *items,
                           size_t cnt,
                           coh_bytes_t const *records,
                           size_t record_cnt,
                           coh_arena_t *scratch)
{
    coh_mpt_t *view   = coh_mpt_view_new(mpt);
    coh_mpt_id_t *ids = coh_calloc(2 * cnt + 1, sizeof(*ids));
    size_t trie_cnt   = list_tries(ids, items, cnt);
    coh_err_t rc      = rewind_tries(view, ids, trie_cnt, records, record_cnt);
    rc = rc == COH_OK ? coh_trie_update(view, 0, items, cnt, scratch, out, NULL) : rc;
    free(ids);
    coh_mpt_free(view);
    return rc;
}
