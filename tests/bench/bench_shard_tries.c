/* What state roots cost a shard: blocks of random balance changes as they come from settlement, through coh_trie_update (hash of addresses, order, leaves, tries) to the root; one line
   of JSON. CPU time of the process, over kv_mem.
   usage: bench_shard_tries [ACCOUNTS [CHANGES [BLOCKS]]] */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/rng.h"
#include "common/trie/roots.h"
#include "shard/trie_update.h"

static size_t number(char const *text, size_t otherwise)
{
    return text == NULL ? otherwise : strtoul(text, NULL, 10);
}

static coh_mv_item_t item_of(size_t account, uint64_t value)
{
    coh_addr_t addr = {{0}};
    coh_store_u64_le(addr.b, account * UINT64_C(0x9e3779b97f4a7c15));
    return (coh_mv_item_t){.key   = coh_key_account(&addr),
                           .value = {.word  = {{value << 32 | value, value & 0xff, 0, 0}},
                                     .nonce = value & 0xffff,
                                     .flags = COH_ACCOUNT_EXISTS}};
}

static void flush(coh_mpt_t *mpt, coh_kv_t *kv)
{
    coh_kv_batch_t batch;
    coh_kv_batch_init(&batch);
    coh_mpt_flush(mpt, &batch, SIZE_MAX, true);
    coh_err_t rc = kv->ops->ingest(kv, &batch);
    COH_ASSERT(rc == COH_OK);
    coh_mpt_flush_done(mpt);
    coh_kv_batch_free(&batch);
}

/* Returns the CPU time of the update, in ns. */
static uint64_t apply(coh_mpt_t *mpt,
                      coh_roots_t *roots,
                      coh_arena_t *scratch,
                      coh_mv_item_t const *items,
                      size_t cnt)
{
    coh_buf_t undo = COH_BUF_INIT;
    coh_trie_outcome_t out;
    coh_hash_t root;
    uint64_t start = coh_clock_process_cpu_ns();
    coh_err_t rc   = coh_trie_update(mpt, 1, items, cnt, scratch, &out, &undo);
    uint64_t took  = coh_clock_process_cpu_ns() - start;
    COH_ASSERT(rc == COH_OK);
    for (size_t i = 0; i < out.node_cnt; i++) {
        coh_roots_put(roots, out.nodes[i].bucket, &out.nodes[i].node, NULL);
    }
    coh_roots_compute(roots, &root);
    free(out.nodes);
    coh_buf_free(&undo);
    return took;
}

int main(int argc, char **argv)
{
    size_t accounts = number(argc > 1 ? argv[1] : NULL, 1000000);
    size_t changes  = number(argc > 2 ? argv[2] : NULL, 4000);
    size_t blocks   = number(argc > 3 ? argv[3] : NULL, 50);
    coh_kv_t *kv;
    COH_ASSERT(coh_kv_mem_open(&kv) == COH_OK);
    coh_mpt_config_t config = {.kv              = kv,
                               .table           = COH_KV_TRIE,
                               .cache_bytes     = (size_t)1 << 30,
                               .dirty_bytes_max = (size_t)1 << 30,
                               .seed            = 1};
    coh_mpt_t *mpt          = coh_mpt_new(&config);
    coh_roots_t *roots      = coh_roots_new();
    coh_arena_t scratch     = COH_ARENA_INIT;
    coh_mv_item_t *items    = coh_calloc(COH_MAX(accounts, changes), sizeof(*items));
    coh_rng_t rng;
    coh_rng_seed(&rng, 1);
    for (size_t i = 0; i < accounts; i++) {
        items[i] = item_of(i, i + 1);
    }
    (void)apply(mpt, roots, &scratch, items, accounts);
    flush(mpt, kv);
    uint64_t took = 0;
    size_t done   = 0;
    for (size_t b = 0; b < blocks; b++) {
        size_t cnt    = COH_MIN(changes, accounts);
        size_t first  = coh_rng_below(&rng, accounts); /* a stride visits each account once */
        size_t stride = accounts / cnt;
        for (size_t i = 0; i < cnt; i++) {
            items[i] = item_of((first + i * stride) % accounts, coh_rng_next(&rng) >> 34);
        }
        took += apply(mpt, roots, &scratch, items, cnt);
        done += cnt;
    }
    uint64_t start = coh_clock_process_cpu_ns();
    flush(mpt, kv);
    uint64_t flush_ns = coh_clock_process_cpu_ns() - start;
    printf("{\"bench\":\"shard_tries\",\"accounts\":%zu,\"changes_per_block\":%zu,\"blocks\":%zu,"
           "\"us_per_change\":%.2f,\"flush_us_per_change\":%.2f}\n",
           accounts,
           changes,
           blocks,
           (double)took / 1e3 / (double)done,
           (double)flush_ns / 1e3 / (double)done);
    coh_mpt_free(mpt);
    coh_roots_free(roots);
    coh_arena_free(&scratch);
    free(items);
    kv->ops->close(kv);
    return 0;
}
