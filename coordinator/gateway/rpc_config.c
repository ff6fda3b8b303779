/* eth_config (EIP-7910): the chain's rules as they are, as they will be next, and as the last fork that is known will leave them. */
#include <inttypes.h>

#include "common/chain/replay.h"
#include "common/chain/steps.h"
#include "coordinator/gateway/rpc_private.h"

#define PUT COH_RPC_PUT

/* By address, from 1 on. */
static char const *const precompile_names[] = {
    "ECREC",
    "SHA256",
    "RIPEMD160",
    "ID",
    "MODEXP",
    "BN254_ADD",
    "BN254_MUL",
    "BN254_PAIRING",
    "BLAKE2F",
    "KZG_POINT_EVALUATION",
    "BLS12_G1ADD",
    "BLS12_G1MSM",
    "BLS12_G2ADD",
    "BLS12_G2MSM",
    "BLS12_PAIRING_CHECK",
    "BLS12_MAP_FP_TO_G1",
    "BLS12_MAP_FP2_TO_G2",
};
#define P256VERIFY 0x100u

static void put_member(coh_buf_t *out, bool *first, char const *name, coh_addr_t const *addr)
{
    coh_buf_printf(out, "%s\"%s\":", *first ? "" : ",", name);
    coh_rpc_put_addr(out, addr);
    *first = false;
}

static void put_precompiles(coh_buf_t *out, coh_fork_t fork)
{
    bool first = true;
    PUT(out, "\"precompiles\":{");
    for (uint32_t i = 0; i <= COH_CNT(precompile_names); i++) {
        bool is_last      = i == COH_CNT(precompile_names);
        coh_u256_t number = coh_u256(is_last ? P256VERIFY : i + 1);
        coh_addr_t addr   = coh_u256_to_addr(&number);
        if (coh_fork_is_precompile(fork, &addr)) {
            put_member(out, &first, is_last ? "P256VERIFY" : precompile_names[i], &addr);
        }
    }
    PUT(out, "}");
}

static void put_contracts(coh_buf_t *out, coh_genesis_t const *genesis, coh_fork_t fork)
{
    coh_addr_t const *c = COH_SYSTEM_CONTRACTS;
    bool first          = true;
    PUT(out, "\"systemContracts\":{");
    if (fork >= COH_FORK_CANCUN) {
        put_member(out, &first, "BEACON_ROOTS_ADDRESS", &c[COH_SYSTEM_BEACON_ROOTS]);
    }
    if (fork >= COH_FORK_PRAGUE) {
        coh_schedule_t schedule;
        coh_replay_schedule(&schedule, genesis);
        put_member(
            out, &first, "CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS", &c[COH_SYSTEM_CONSOLIDATIONS]);
        put_member(out, &first, "DEPOSIT_CONTRACT_ADDRESS", &schedule.deposit_addr);
        put_member(out, &first, "HISTORY_STORAGE_ADDRESS", &c[COH_SYSTEM_HISTORY]);
        put_member(out, &first, "WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS", &c[COH_SYSTEM_WITHDRAWALS]);
    }
    PUT(out, "}");
}

/* The rules that begin at this time; COH_SCHEDULE_NEVER: null. */
static void put_config(coh_buf_t *out, coh_genesis_t const *g, uint64_t at)
{
    if (at == COH_SCHEDULE_NEVER) {
        PUT(out, "null");
        return;
    }
    coh_fork_t fork         = coh_genesis_fork(g, UINT64_MAX, at);
    coh_blob_params_t blobs = coh_genesis_blob_params(g, at);
    coh_buf_printf(out, "{\"activationTime\":%" PRIu64 ",\"blobSchedule\":", at);
    if (blobs.max == 0) {
        PUT(out, "null");
    } else {
        coh_buf_printf(out,
                       "{\"baseFeeUpdateFraction\":%" PRIu64 ",\"max\":%" PRIu32
                       ",\"target\":%" PRIu32 "}",
                       blobs.update_fraction,
                       blobs.max,
                       blobs.target);
    }
    PUT(out, ",\"chainId\":");
    coh_rpc_put_quantity(out, g->chain_id);
    coh_buf_printf(out, ",\"forkId\":\"0x%08" PRIx32 "\",", coh_genesis_fork_id(g, at));
    put_precompiles(out, fork);
    PUT(out, ",");
    put_contracts(out, g, fork);
    PUT(out, "}");
}

void coh_rpc_do_config(coh_rpc_t *rpc, coh_rpc_call_t *call, json_t const *params)
{
    coh_genesis_t const *g = rpc->d.genesis;
    uint64_t now           = rpc->head->header.timestamp;
    uint64_t current       = COH_SCHEDULE_NEVER;
    uint64_t next          = COH_SCHEDULE_NEVER;
    uint64_t last          = COH_SCHEDULE_NEVER;
    (void)params;
    for (size_t i = COH_FORK_SHANGHAI; i < COH_FORK_CNT + COH_CNT(g->bpo_at); i++) {
        size_t bpo    = i - COH_FORK_CNT;
        bool is_bpo   = i >= COH_FORK_CNT;
        uint64_t at   = is_bpo ? g->bpo_at[bpo] : g->fork_at[i];
        bool is_never = is_bpo && g->blob_params[COH_BLOB_BPO1 + bpo].max == 0;
        if (is_never || at == COH_SCHEDULE_NEVER) {
            continue;
        }
        if (at > now) {
            next = COH_MIN(next, at);
        } else if (rpc->head->fork >= COH_FORK_SHANGHAI) {
            current = current == COH_SCHEDULE_NEVER ? at : COH_MAX(current, at);
        }
        last = last == COH_SCHEDULE_NEVER ? at : COH_MAX(last, at);
    }
    PUT(&call->out, "{\"current\":");
    put_config(&call->out, g, current);
    PUT(&call->out, ",\"next\":");
    put_config(&call->out, g, next);
    PUT(&call->out, ",\"last\":");
    put_config(&call->out, g, next == COH_SCHEDULE_NEVER ? next : last); /* none is ahead: null */
    PUT(&call->out, "}");
    coh_rpc_done(call);
}
