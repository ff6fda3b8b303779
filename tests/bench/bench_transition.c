/* links: coh_tools */
/* Whole transactions by one thread over state in memory, the writes applied: plain transfers, and transfers of an ERC-20 token compiled by
   solc. Signatures are not part of it. Prints one line of JSON.
   usage: bench_transition [ACCOUNTS [MILLISECONDS_PER_FIGURE]] */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/rng.h"
#include "common/evm/code.h"
#include "common/evm/transition.h"
#include "common/state/memview.h"
#include "deploy/cohort/contracts.h"

#define ARTIFACTS COHORT_SOURCE_DIR "/tests/contracts/artifacts"
#define BATCH     1024u
#define DATA_SZ   68u /* transfer(address,uint256) */

typedef struct {
    coh_rng_t rng;
    uint32_t account_cnt;
    coh_addr_t *addrs;
    uint64_t *nonces;
    coh_addr_t token;
    coh_memview_t *mv;
    coh_transition_t *transition;
    coh_block_env_t block;
    coh_tx_t txs[BATCH];
    uint32_t senders[BATCH];
    uint8_t data[BATCH][DATA_SZ];
} bench_t;

static void make(bench_t *b, uint32_t at, uint32_t sender, uint32_t receiver, bool of_token)
{
    b->senders[at] = sender;
    b->txs[at]     = (coh_tx_t){.type      = COH_TX_DYNAMIC_FEE,
                                .chain_id  = 1,
                                .nonce     = b->nonces[sender]++,
                                .gas_limit = of_token ? 100000 : 21000,
                                .max_fee   = coh_u256(100),
                                .max_tip   = coh_u256(2),
                                .value     = coh_u256(of_token ? 0 : 1),
                                .to        = of_token ? b->token : b->addrs[receiver]};
    if (of_token) {
        memset(b->data[at], 0, DATA_SZ);
        coh_abi_selector(b->data[at], "transfer(address,uint256)");
        memcpy(b->data[at] + 16, b->addrs[receiver].b, 20);
        b->data[at][DATA_SZ - 1] = 1;
        b->txs[at].data          = coh_bytes(b->data[at], DATA_SZ);
    }
}

static uint64_t execute(bench_t *b, coh_tx_t const *tx, uint32_t sender)
{
    coh_transition_begin(b->transition, &b->block, tx, &b->addrs[sender], coh_memview_view(b->mv));
    COH_ASSERT(coh_transition_run(b->transition) == COH_TRANSITION_DONE);
    coh_outcome_t const *out = coh_transition_outcome(b->transition);
    COH_ASSERT(out->verdict == COH_TX_OK && out->status == 1);
    coh_memview_apply(b->mv, out);
    return out->gas_used;
}

static void deploy_token(bench_t *b)
{
    coh_contract_t contract;
    coh_buf_t why = COH_BUF_INIT;
    if (coh_contract_load(&contract, ARTIFACTS, "Token", &why) != COH_OK) {
        fprintf(stderr, "%.*s\n", (int)why.n, (char const *)why.p);
        exit(1);
    }
    coh_u256_t supply      = {{0, 1}};
    coh_abi_t const args[] = {coh_abi_string("Token"),
                              coh_abi_string("TOK"),
                              coh_abi_addr(&b->addrs[0]),
                              coh_abi_u256(&supply)};
    coh_abi_encode(&contract.creation, args, COH_CNT(args));
    coh_tx_t tx = {.type      = COH_TX_DYNAMIC_FEE,
                   .is_create = true,
                   .nonce     = b->nonces[0]++,
                   .gas_limit = 10000000,
                   .max_fee   = coh_u256(100),
                   .data      = coh_buf_bytes(&contract.creation)};
    (void)execute(b, &tx, 0);
    b->token = coh_transition_outcome(b->transition)->created;
    coh_contract_free(&contract);
    /* Everybody gets some. */
    for (uint32_t i = 1; i < b->account_cnt; i++) {
        make(b, 0, 0, i, true);
        b->data[0][DATA_SZ - 5] = 1;
        (void)execute(b, &b->txs[0], 0);
    }
}

/* Nanoseconds of CPU for a transfer, between accounts by chance. */
static double measure(bench_t *b, bool of_token, uint64_t ms, uint64_t *gas)
{
    uint64_t ns  = 0;
    uint64_t cnt = 0;
    *gas         = 0;
    while (ns < ms * 1000000) {
        for (uint32_t i = 0; i < BATCH; i++) {
            make(b,
                 i,
                 (uint32_t)coh_rng_below(&b->rng, b->account_cnt),
                 (uint32_t)coh_rng_below(&b->rng, b->account_cnt),
                 of_token);
        }
        uint64_t start = coh_clock_thread_cpu_ns();
        for (uint32_t i = 0; i < BATCH; i++) {
            *gas += execute(b, &b->txs[i], b->senders[i]);
        }
        ns += coh_clock_thread_cpu_ns() - start;
        cnt += BATCH;
    }
    *gas /= cnt;
    return (double)ns / (double)cnt;
}

int main(int argc, char **argv)
{
    bench_t *b     = coh_calloc(1, sizeof(*b));
    b->account_cnt = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 10000;
    uint64_t ms    = argc > 2 ? strtoul(argv[2], NULL, 10) : 1000;
    if (b->account_cnt == 0) {
        fprintf(stderr, "usage: %s [ACCOUNTS [MILLISECONDS_PER_FIGURE]]\n", argv[0]);
        return 2;
    }
    coh_rng_seed(&b->rng, 1);
    b->addrs      = coh_calloc(b->account_cnt, sizeof(*b->addrs));
    b->nonces     = coh_calloc(b->account_cnt, sizeof(*b->nonces));
    b->mv         = coh_memview_new(&coh_code_coder, COH_FORK_PRAGUE);
    b->transition = coh_transition_new();
    b->block      = (coh_block_env_t){.number    = 1,
                                      .gas_limit = 1000000000,
                                      .chain_id  = 1,
                                      .base_fee  = coh_u256(7),
                                      .coinbase  = {{0xc0}},
                                      .fork      = COH_FORK_PRAGUE};
    for (uint32_t i = 0; i < b->account_cnt; i++) {
        for (size_t at = 0; at < sizeof(b->addrs[i].b); at++) {
            b->addrs[i].b[at] = (uint8_t)coh_rng_next(&b->rng);
        }
        coh_memview_put_account(b->mv, &b->addrs[i], 0, &(coh_u256_t){{0, 1}}, (coh_bytes_t){0});
    }
    deploy_token(b);
    uint64_t native_gas, token_gas;
    double native = measure(b, false, ms, &native_gas);
    double token  = measure(b, true, ms, &token_gas);
    printf("{\"bench\":\"transition\",\"accounts\":%u,\"native_ns\":%.1f,\"native_per_s\":%.0f,"
           "\"token_ns\":%.1f,\"token_per_s\":%.0f,\"token_gas\":%llu}\n",
           b->account_cnt,
           native,
           1e9 / native,
           token,
           1e9 / token,
           (unsigned long long)token_gas);
    coh_transition_free(b->transition);
    coh_memview_free(b->mv);
    free(b->addrs);
    free(b->nonces);
    free(b);
    return 0;
}
