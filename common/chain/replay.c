#include "common/chain/replay.h"

#include "common/base/assert.h"
#include "common/chain/steps.h"
#include "common/crypto/keccak.h"

void coh_replay_schedule(coh_schedule_t *out, coh_genesis_t const *genesis)
{
    coh_schedule_init(out, COH_FORK_FRONTIER, genesis->chain_id);
    if (genesis->has_deposit_addr) {
        out->deposit_addr = genesis->deposit_addr;
    }
    for (int fork = 1; fork < COH_FORK_CNT; fork++) {
        out->fork_at[fork] = genesis->fork_at[fork];
    }
    for (int step = 0; step < COH_BLOB_STEP_CNT; step++) {
        if (genesis->blob_params[step].max != 0) {
            out->blob_params[step] = genesis->blob_params[step];
        }
        if (step >= COH_BLOB_BPO1 && genesis->blob_params[step].max != 0) {
            out->blob_at[step] = genesis->bpo_at[step - COH_BLOB_BPO1];
        }
    }
}

/* The code at addr; empty: none. */
static coh_bytes_t code_at(coh_genesis_t const *genesis, coh_addr_t const *addr)
{
    size_t low = 0;
    size_t end = genesis->alloc_cnt;
    while (low < end) {
        size_t mid = low + (end - low) / 2;
        int order  = memcmp(genesis->alloc[mid].addr.b, addr->b, sizeof(addr->b));
        if (order == 0) {
            return genesis->alloc[mid].code;
        }
        low = order < 0 ? mid + 1 : low;
        end = order < 0 ? end : mid;
    }
    return (coh_bytes_t){0};
}

void coh_replay_produced(coh_schedule_t *schedule,
                         coh_genesis_t const *genesis,
                         uint64_t root_every)
{
    /* keccak256 of the code in EIP-7002 and in EIP-7251; zero: any */
    static coh_hash_t const codes[COH_SYSTEM_CNT] = {
        [COH_SYSTEM_WITHDRAWALS]    = {{0x03, 0x45, 0xa3, 0x65, 0xd2, 0xf4, 0xc5, 0x97,
                                        0x5b, 0x9f, 0x15, 0x99, 0xab, 0xe0, 0xa2, 0xee,
                                        0x76, 0xb7, 0xa3, 0xa7, 0x31, 0xbc, 0x68, 0x78,
                                        0x1b, 0xd0, 0x4c, 0x84, 0xe4, 0x85, 0x8f, 0x50}},
        [COH_SYSTEM_CONSOLIDATIONS] = {{0x78, 0xc6, 0xcb, 0x52, 0x02, 0x68, 0x52, 0x28,
                                        0xbb, 0xcb, 0xfb, 0x99, 0x2b, 0x1c, 0x4e, 0x11,
                                        0x6c, 0x7e, 0xc5, 0xef, 0x11, 0xe2, 0x5b, 0x8e,
                                        0x92, 0x71, 0x6c, 0xfc, 0x62, 0x8d, 0xdd, 0x60}},
    };
    static coh_hash_t const any;
    schedule->equal_times = true;
    schedule->steps_off   = 0;
    schedule->root_every  = root_every;
    for (int i = 0; i < COH_SYSTEM_CNT; i++) {
        coh_bytes_t code = code_at(genesis, &COH_SYSTEM_CONTRACTS[i]);
        coh_hash_t hash;
        coh_keccak256(&hash, code.p, code.n);
        if (code.n == 0 || (!coh_hash_eq(&codes[i], &any) && !coh_hash_eq(&codes[i], &hash))) {
            schedule->steps_off |= (uint8_t)(1u << i);
        }
    }
}

void coh_replay_fill(void *arg, coh_memview_t *mv)
{
    coh_genesis_t const *genesis = arg;
    for (size_t i = 0; i < genesis->alloc_cnt; i++) {
        coh_genesis_account_t const *a = &genesis->alloc[i];
        coh_memview_put_account(mv, &a->addr, a->nonce, &a->balance, a->code);
        for (size_t k = 0; k < a->slot_cnt; k++) {
            coh_memview_put_slot(mv, &a->addr, &a->slots[k].key, &a->slots[k].value);
        }
    }
}

coh_block_fault_t const *coh_replay(coh_branches_t *b,
                                    uint64_t *cnt,
                                    coh_bytes_t chain,
                                    coh_replay_fn *fn,
                                    void *arg)
{
    static coh_block_fault_t const malformed = {.err = COH_BLOCK_MALFORMED};
    size_t at                                = 0;
    coh_bytes_t raw;
    coh_err_t err;
    *cnt = 0;
    while ((err = coh_block_next_raw(&raw, chain, &at)) == COH_OK) {
        coh_hash_t before              = coh_branches_head(b)->self.hash;
        coh_block_fault_t const *fault = coh_branches_import(b, raw);
        if (fault != NULL) {
            return fault;
        }
        coh_ancestor_t const *head = coh_branches_head(b);
        if (!coh_hash_eq(&before, &head->self.hash)) {
            ++*cnt;
            if (fn != NULL) {
                fn(arg, head);
            }
        }
    }
    return err == COH_ENOTFOUND ? NULL : &malformed;
}
