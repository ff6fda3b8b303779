#include "deploy/cohort/bench_world_private.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/codec/tx.h"

#define TIP      2
#define TX_GAS   400000u
#define GAME_GAS 4000000u
#define STEPS    2 /* of a game's move */
/* Of the swaps by definition: what is sold. */
#define GIGA_SWAP      2000u
#define GIGA_TOKEN_GAS 35000u
#define GIGA_SWAP_GAS  200000u
#define BLOCK_S        12
/* Draws of an account before it is taken wherever it is. */
#define DRAWS_MAX 1000u

static uint32_t draw(coh_bench_build_t *b)
{
    uint32_t cnt = b->spec->account_cnt;
    if (b->spec->skew.kind == COH_BENCH_SKEW_HOT && coh_rng_percent(&b->rng, 90)) {
        return (uint32_t)coh_rng_below(&b->rng, COH_MAX(1, cnt / 10));
    }
    if (b->spec->skew.kind != COH_BENCH_SKEW_ZIPF) {
        return (uint32_t)coh_rng_below(&b->rng, cnt);
    }
    double at   = (double)(coh_rng_next(&b->rng) >> 11) / 9007199254740992.0 * b->weights[cnt - 1];
    uint32_t lo = 0;
    uint32_t hi = cnt - 1;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (b->weights[mid] <= at) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

/* An account that is on shard home, or elsewhere, as the share across shards asks. */
static uint32_t draw_for(coh_bench_build_t *b, uint32_t home)
{
    uint32_t percent = b->spec->cross_percent;
    uint32_t i       = draw(b);
    if (percent == COH_BENCH_CROSS_ANY || b->dir.shard_cnt < 2) {
        return i;
    }
    bool cross = coh_rng_percent(&b->rng, percent);
    for (uint32_t n = 0; n < DRAWS_MAX && (b->shards[i] != home) != cross; n++) {
        i = draw(b);
    }
    return i;
}

/* A transaction to be. */
typedef struct {
    uint32_t from;
    coh_addr_t to;
    uint64_t value;
    uint64_t gas;
    coh_buf_t data;
} plan_t;

static void call(plan_t *p, char const *signature, coh_abi_t const *args, size_t cnt)
{
    coh_abi_call(&p->data, signature, args, cnt);
}

/* Who calls the contract. */
static void plan_call(coh_bench_build_t *b, plan_t *p, coh_addr_t const *contract)
{
    p->to   = *contract;
    p->from = draw_for(b, coh_bench_shard_of(b, contract));
}

static void plan_transfer(coh_bench_build_t *b, plan_t *p)
{
    p->from  = draw(b);
    p->to    = b->accounts[draw_for(b, b->shards[p->from])];
    p->value = 1;
    p->gas   = 21000;
}

static void plan_self(coh_bench_build_t *b, plan_t *p)
{
    p->from  = b->next++ % b->spec->account_cnt;
    p->to    = b->accounts[p->from];
    p->value = 1;
    p->gas   = 21000;
}

static coh_addr_t const *draw_copy(coh_bench_build_t *b, coh_bench_copies_t const *copies)
{
    return &copies->at[copies->cnt > 1 ? coh_rng_below(&b->rng, copies->cnt) : 0];
}

static void plan_token(coh_bench_build_t *b, plan_t *p)
{
    plan_call(b, p, &b->tokens[coh_rng_below(&b->rng, b->token_draw_cnt)]);
    coh_u256_t amount      = coh_bench_power_of_ten(COH_BENCH_PAY_ZERO);
    coh_abi_t const args[] = {coh_abi_addr(&b->accounts[draw(b)]), coh_abi_u256(&amount)};
    call(p, "transfer(address,uint256)", args, COH_CNT(args));
}

static void plan_chain(coh_bench_build_t *b, plan_t *p)
{
    p->from                = b->next++ % b->spec->account_cnt;
    p->to                  = b->tokens[0];
    coh_u256_t amount      = coh_bench_power_of_ten(COH_BENCH_PAY_ZERO);
    coh_abi_t const args[] = {coh_abi_addr(&b->accounts[b->next % b->spec->account_cnt]),
                              coh_abi_u256(&amount)};
    call(p, "transfer(address,uint256)", args, COH_CNT(args));
}

static void plan_nft(coh_bench_build_t *b, plan_t *p)
{
    plan_call(b, p, &b->nft);
    coh_abi_t const args[] = {coh_abi_addr(&b->accounts[p->from])};
    call(p, "mint(address)", args, COH_CNT(args));
}

/* Either way at random, so that pools stay about where they are. */
static void swap(coh_bench_build_t *b,
                 plan_t *p,
                 coh_addr_t const *tokenA,
                 coh_addr_t const *tokenB)
{
    bool back              = coh_rng_percent(&b->rng, 50);
    coh_u256_t amount      = coh_bench_power_of_ten(COH_BENCH_PAY_ZERO);
    coh_abi_t const path[] = {coh_abi_addr(back ? tokenB : tokenA),
                              coh_abi_addr(back ? tokenA : tokenB)};
    coh_abi_t const args[] = {coh_abi_u256(&amount),
                              coh_abi_u64(1),
                              coh_abi_array(path, COH_CNT(path)),
                              coh_abi_addr(&b->accounts[p->from]),
                              coh_abi_u64(COH_BENCH_DEADLINE)};
    call(p,
         "swapExactTokensForTokens(uint256,uint256,address[],address,uint256)",
         args,
         COH_CNT(args));
}

static void plan_swap(coh_bench_build_t *b, plan_t *p)
{
    plan_call(b, p, &b->router);
    uint8_t const *pool = b->pools[coh_rng_below(&b->rng, b->pool_cnt)];
    swap(b, p, &b->tokens[pool[0]], &b->tokens[pool[1]]);
}

static void plan_groups(coh_bench_build_t *b, plan_t *p)
{
    p->from            = draw(b);
    uint32_t const of  = p->from % b->group_cnt;
    p->to              = b->groups[of].router;
    coh_addr_t *tokens = b->groups[of].tokens;
    swap(b, p, &tokens[0], &tokens[1]);
}

static void plan_swap3(coh_bench_build_t *b, plan_t *p)
{
    plan_call(b, p, &b->router);
    uint8_t const *pool    = b->pools[coh_rng_below(&b->rng, b->pool_cnt)];
    bool back              = coh_rng_percent(&b->rng, 50);
    coh_u256_t amount      = coh_bench_power_of_ten(COH_BENCH_PAY_ZERO);
    coh_abi_t const args[] = {coh_abi_addr(&b->tokens[pool[back]]),
                              coh_abi_addr(&b->tokens[pool[!back]]),
                              coh_abi_u64(COH_BENCH_POOL3_FEE),
                              coh_abi_addr(&b->accounts[p->from]),
                              coh_abi_u64(COH_BENCH_DEADLINE),
                              coh_abi_u256(&amount),
                              coh_abi_u64(1),
                              coh_abi_u64(0)};
    /* A structure of words stands there as they would alone. */
    call(p,
         "exactInputSingle((address,address,uint24,address,uint256,uint256,uint256,uint160))",
         args,
         COH_CNT(args));
}

/* Whose turn it is, each account once in a block. */
static void plan_giga_token(coh_bench_build_t *b, plan_t *p)
{
    p->from                = b->next++ % b->spec->account_cnt;
    p->to                  = b->tokens[0];
    p->gas                 = GIGA_TOKEN_GAS;
    coh_abi_t const args[] = {coh_abi_addr(&b->accounts[p->from]),
                              coh_abi_u64(coh_rng_below(&b->rng, 256))};
    call(p, "transfer(address,uint256)", args, COH_CNT(args));
}

static void plan_giga_swap(coh_bench_build_t *b, plan_t *p)
{
    p->from                = b->next++ % b->spec->account_cnt;
    p->to                  = b->singles[p->from];
    p->gas                 = GIGA_SWAP_GAS;
    coh_abi_t const args[] = {coh_abi_u64(GIGA_SWAP)};
    call(p, "sellToken0(uint256)", args, COH_CNT(args));
}

static void plan_bank(coh_bench_build_t *b, plan_t *p)
{
    plan_call(b, p, draw_copy(b, &b->banks));
    coh_abi_t who    = coh_abi_u64(p->from);
    coh_abi_t whom   = coh_abi_u64(draw(b));
    coh_abi_t amount = coh_abi_u64(1 + coh_rng_below(&b->rng, 100));
    switch (coh_rng_below(&b->rng, 5)) {
    case 0: call(p, "depositChecking(uint256,int256)", (coh_abi_t[]){who, amount}, 2); break;
    case 1: call(p, "transactSavings(uint256,int256)", (coh_abi_t[]){who, amount}, 2); break;
    case 2:
        call(p, "sendPayment(uint256,uint256,int256)", (coh_abi_t[]){who, whom, amount}, 3);
        break;
    case 3: call(p, "writeCheck(uint256,int256)", (coh_abi_t[]){who, amount}, 2); break;
    default: call(p, "amalgamate(uint256,uint256)", (coh_abi_t[]){who, whom}, 2); break;
    }
}

static void plan_lending(coh_bench_build_t *b, plan_t *p)
{
    static char const *const calls[] = {
        "deposit(uint256)", "withdraw(uint256)", "borrow(uint256)", "repay(uint256)"};
    plan_call(b, p, &b->market);
    coh_u256_t amount      = coh_bench_power_of_ten(COH_BENCH_PAY_ZERO);
    coh_abi_t const args[] = {coh_abi_u256(&amount)};
    call(p, calls[coh_rng_below(&b->rng, COH_CNT(calls))], args, COH_CNT(args));
}

static void plan_game(coh_bench_build_t *b, plan_t *p)
{
    plan_call(b, p, draw_copy(b, &b->games));
    p->gas                 = GAME_GAS;
    coh_abi_t const args[] = {coh_abi_u64(STEPS)};
    call(p, "play(uint256)", args, COH_CNT(args));
}

static void plan_goods(coh_bench_build_t *b, plan_t *p)
{
    plan_call(b, p, &b->goods);
    coh_abi_t reading = coh_abi_u64(coh_rng_next(&b->rng));
    if (coh_rng_percent(&b->rng, 20)) {
        call(p, "make(bytes32)", &reading, 1);
    } else {
        call(p, "record(uint256,bytes32)", (coh_abi_t[]){coh_abi_u64(p->from + 1), reading}, 2);
    }
}

typedef void plan_fn(coh_bench_build_t *b, plan_t *p);

static plan_fn *const plans[COH_BENCH_WORK_CNT] = {
    [COH_BENCH_WORK_TRANSFER]  = plan_transfer,
    [COH_BENCH_WORK_SELF]      = plan_self,
    [COH_BENCH_WORK_TOKEN]     = plan_token,
    [COH_BENCH_WORK_CHAIN]     = plan_chain,
    [COH_BENCH_WORK_NFT]       = plan_nft,
    [COH_BENCH_WORK_POOL]      = plan_swap,
    [COH_BENCH_WORK_POOLS]     = plan_swap,
    [COH_BENCH_WORK_GROUPS]    = plan_groups,
    [COH_BENCH_WORK_BANK]      = plan_bank,
    [COH_BENCH_WORK_LENDING]   = plan_lending,
    [COH_BENCH_WORK_GAME]      = plan_game,
    [COH_BENCH_WORK_GOODS]     = plan_goods,
    [COH_BENCH_WORK_POOL3]     = plan_swap3,
    [COH_BENCH_WORK_POOLS3]    = plan_swap3,
    [COH_BENCH_WORK_GIGASELF]  = plan_self,
    [COH_BENCH_WORK_GIGATOKEN] = plan_giga_token,
    [COH_BENCH_WORK_GIGASWAP]  = plan_giga_swap,
};

/* Kinds of a mix, in percent. */
static struct {
    coh_bench_work_t work;
    uint32_t percent;
} const shares[] = {
    {COH_BENCH_WORK_TRANSFER, 30},
    {COH_BENCH_WORK_TOKEN, 30},
    {COH_BENCH_WORK_POOLS, 20},
    {COH_BENCH_WORK_NFT, 5},
    {COH_BENCH_WORK_BANK, 5},
    {COH_BENCH_WORK_LENDING, 5},
    {COH_BENCH_WORK_GOODS, 5},
};

static coh_bench_work_t draw_work(coh_bench_build_t *b)
{
    if (b->spec->work != COH_BENCH_WORK_MIX) {
        return b->spec->work;
    }
    uint64_t at = coh_rng_below(&b->rng, 100);
    size_t i    = 0;
    while (at >= shares[i].percent) {
        at -= shares[i++].percent;
    }
    return shares[i].work;
}

/* Appends an encoded transaction to bytes; returns its length. */
static size_t put_tx(coh_bench_build_t *b, coh_buf_t *bytes, coh_addr_t *sender)
{
    plan_t p = {.gas = TX_GAS};
    plans[draw_work(b)](b, &p);
    coh_tx_t tx = {.type         = COH_TX_DYNAMIC_FEE,
                   .has_chain_id = true,
                   .chain_id     = b->solo.block.chain_id,
                   .nonce        = b->nonces[p.from]++,
                   .gas_limit    = p.gas,
                   .max_fee      = coh_u256(COH_BENCH_BASE_FEE + TIP),
                   .max_tip      = coh_u256(TIP),
                   .value        = coh_u256(p.value),
                   .to           = p.to,
                   .data         = coh_buf_bytes(&p.data),
                   .r            = {[31] = 1},
                   .s            = {[31] = 1}};
    *sender     = b->accounts[p.from];
    size_t n    = bytes->n;
    coh_tx_encode(bytes, &tx);
    coh_buf_free(&p.data);
    return bytes->n - n;
}

void coh_bench_world_put_blocks(coh_bench_build_t *b, coh_bench_world_t *out)
{
    uint32_t tx_cnt = b->spec->tx_cnt;
    size_t all      = (size_t)b->spec->block_cnt * tx_cnt;
    out->blocks     = coh_calloc(b->spec->block_cnt, sizeof(*out->blocks));
    out->raws       = coh_calloc(all, sizeof(*out->raws));
    out->senders    = coh_calloc(all, sizeof(*out->senders));
    for (uint32_t i = 0; i < b->spec->account_cnt; i++) {
        b->nonces[i] = coh_solo_nonce(&b->solo, &b->accounts[i]);
    }
    for (size_t i = 0; i < all; i++) {
        out->raws[i].n = put_tx(b, &out->bytes, &out->senders[i]);
    }
    size_t at = 0;
    for (size_t i = 0; i < all; i++) {
        out->raws[i].p = out->bytes.p + at;
        at += out->raws[i].n;
    }
    for (uint32_t k = 0; k < b->spec->block_cnt; k++) {
        out->blocks[k] = (coh_import_block_t){.number    = k + 1,
                                              .fork      = COH_BENCH_FORK,
                                              .timestamp = COH_BENCH_START_S + BLOCK_S * (k + 1),
                                              .gas_limit = b->solo.block.gas_limit,
                                              .base_fee  = coh_u256(COH_BENCH_BASE_FEE),
                                              .blob_base_fee = coh_u256(1),
                                              .prev_randao   = coh_u256(k + 1),
                                              .blob_max      = 6,
                                              .coinbase      = b->solo.block.coinbase,
                                              .tx_cnt        = tx_cnt,
                                              .raws          = out->raws + (size_t)k * tx_cnt,
                                              .senders       = out->senders + (size_t)k * tx_cnt};
    }
    out->block_cnt = b->spec->block_cnt;
}
