#include "common/chain/ommers.h"

#include "common/base/assert.h"
#include "common/crypto/keccak.h"

static bool was_included(coh_hash_t const *hash,
                         coh_ancestor_t const *const *ancestors,
                         size_t ancestor_cnt)
{
    for (size_t i = 0; i < ancestor_cnt; i++) {
        for (uint32_t k = 0; k < ancestors[i]->ommer_cnt; k++) {
            if (coh_hash_eq(hash, &ancestors[i]->ommers[k])) {
                return true;
            }
        }
    }
    return false;
}

static coh_ancestor_t const *find(coh_hash_t const *hash,
                                  coh_ancestor_t const *const *ancestors,
                                  size_t ancestor_cnt)
{
    for (size_t i = 0; i < ancestor_cnt; i++) {
        if (coh_hash_eq(hash, &ancestors[i]->self.hash)) {
            return ancestors[i];
        }
    }
    return NULL;
}

static coh_block_err_t check_one(coh_block_fault_t *fault,
                                 coh_bytes_t raw,
                                 coh_hash_t const *hash,
                                 coh_schedule_t const *schedule,
                                 coh_ancestor_t const *const *ancestors,
                                 size_t ancestor_cnt)
{
    coh_header_t ommer;
    coh_fork_t shape;
    coh_err_t decoded = coh_header_decode(&ommer, &shape, raw);
    COH_ASSERT(decoded == COH_OK); /* coh_block_decode has seen to it */
    if (was_included(hash, ancestors, ancestor_cnt)) {
        return COH_BLOCK_OMMER_REPEATED;
    }
    if (find(hash, ancestors, ancestor_cnt) != NULL) {
        return COH_BLOCK_OMMER_ANCESTOR;
    }
    coh_ancestor_t const *parent = find(&ommer.parent_hash, ancestors, ancestor_cnt);
    if (parent == NULL || parent == ancestors[0]) {
        return COH_BLOCK_OMMER_PARENT;
    }
    coh_rules_t rules =
        coh_schedule_rules(schedule, ommer.number, ommer.timestamp, &parent->self.total_difficulty);
    fault->ommer_err = coh_header_check(&ommer, shape, &parent->self, &rules);
    return fault->ommer_err == COH_BLOCK_OK ? COH_BLOCK_OK : COH_BLOCK_OMMER_HEADER;
}

coh_block_err_t coh_ommers_check(coh_block_fault_t *fault,
                                 coh_block_t const *block,
                                 coh_schedule_t const *schedule,
                                 coh_ancestor_t const *const *ancestors,
                                 size_t ancestor_cnt)
{
    COH_ASSERT(ancestor_cnt >= 1);
    ancestor_cnt = COH_MIN(ancestor_cnt, COH_OMMER_GENERATION_MAX);
    if (block->ommer_cnt > COH_OMMER_MAX) {
        return fault->err = COH_BLOCK_OMMER_CNT;
    }
    coh_rlp_t list = coh_block_ommer_iter(block);
    coh_bytes_t raw;
    coh_hash_t hash[COH_OMMER_MAX];
    for (uint32_t i = 0; coh_block_ommer_next(&list, &raw); i++) {
        coh_keccak256(&hash[i], raw.p, raw.n);
        fault->idx = i;
        fault->err = i == 1 && coh_hash_eq(&hash[0], &hash[1])
                         ? COH_BLOCK_OMMER_REPEATED
                         : check_one(fault, raw, &hash[i], schedule, ancestors, ancestor_cnt);
        if (fault->err != COH_BLOCK_OK) {
            return fault->err;
        }
    }
    return COH_BLOCK_OK;
}

void coh_ommers_hashes(coh_ancestor_t *out, coh_block_t const *block)
{
    coh_rlp_t list = coh_block_ommer_iter(block);
    coh_bytes_t raw;
    out->ommer_cnt = 0;
    while (coh_block_ommer_next(&list, &raw)) {
        COH_ASSERT(out->ommer_cnt < COH_OMMER_MAX);
        coh_keccak256(&out->ommers[out->ommer_cnt++], raw.p, raw.n);
    }
}
