#include "deploy/cohort/bench_world.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/rng.h"
#include "common/codec/tx.h"
#include "common/evm/code.h"
#include "coordinator/placement.h"
#include "deploy/cohort/bench_draw.h"
#include "deploy/cohort/realblock_chain.h"
#include "deploy/cohort/realblock_import.h"
#include "deploy/cohort/solo.h"

/* The newest rules. */
#define FORK ((coh_fork_t)(COH_FORK_CNT - 1))

#define BASE_FEE   7
#define TIP        2
#define TX_GAS     400000u
#define GAME_GAS   4000000u
#define STEPS      2 /* of a game's move */
#define COPIES_MAX 15
#define DEADLINE   UINT64_C(100000000000)
#define RICH_ZERO  30 /* zeros of an account's balance in wei, and of a token's supply */
#define POOL_ZERO  27 /* of what a pool has of either token */
#define HAVE_ZERO  24 /* of what an account has of a token */
#define PAY_ZERO   14 /* of what a transaction moves: an account can pay 10^10 of them */
#define TOKENS     15u
#define POOLS_MAX  (TOKENS * (TOKENS - 1) / 2)
#define GROUPS_MAX 64u
/* Of Uniswap V3: a pool's fee in millionths, and how far from the price of 1 its only position reaches either way, in ticks. */
#define POOL3_FEE  3000u
#define POOL3_TICK 600000u
/* Of the swaps by definition: what is sold, and the zeros of what an account has and of what a pool is filled with. */
#define GIGA_SWAP      2000u
#define GIGA_HAVE      18
#define GIGA_POOL      23
#define GIGA_TOKEN_GAS 35000u
#define GIGA_SWAP_GAS  200000u
#define BLOCK_S        12
#define START_S        2000
/* Draws of an account before it is taken wherever it is. */
#define DRAWS_MAX 1000u

static struct {
    char const *name;
    coh_bench_uses_t uses;
    uint32_t txs;
} const works[] = {
#define COH_BENCH_WORK(ID, name, uses, txs, about) {name, uses, txs},
#include "deploy/cohort/bench_world.def"
#undef COH_BENCH_WORK
};

char const *coh_bench_work_str(coh_bench_work_t work) { return works[work].name; }

coh_bench_uses_t coh_bench_work_uses(coh_bench_work_t work) { return works[work].uses; }

uint32_t coh_bench_work_txs(coh_bench_work_t work) { return works[work].txs; }

coh_err_t coh_bench_work_parse(coh_bench_work_t *out, char const *text)
{
    for (int i = 0; i < COH_BENCH_WORK_CNT; i++) {
        if (strcmp(works[i].name, text) == 0) {
            *out = (coh_bench_work_t)i;
            return COH_OK;
        }
    }
    return COH_ENOTFOUND;
}

coh_err_t coh_bench_skew_parse(coh_bench_skew_t *out, char const *text)
{
    double theta = 0;
    char rest;
    if (strcmp(text, "uniform") == 0) {
        *out = (coh_bench_skew_t){.kind = COH_BENCH_SKEW_UNIFORM};
    } else if (strcmp(text, "hot") == 0) {
        *out = (coh_bench_skew_t){.kind = COH_BENCH_SKEW_HOT};
    } else if (sscanf(text, "zipf:%lf%c", &theta, &rest) == 1 && theta > 0 && theta < 10) {
        *out = (coh_bench_skew_t){.kind          = COH_BENCH_SKEW_ZIPF,
                                  .theta_percent = (uint32_t)(100 * theta + 0.5)};
    } else {
        return COH_EINVAL;
    }
    return COH_OK;
}

char const *coh_bench_skew_str(char out[COH_BENCH_SKEW_SZ], coh_bench_skew_t skew)
{
    if (skew.kind == COH_BENCH_SKEW_ZIPF) {
        (void)snprintf(out, COH_BENCH_SKEW_SZ, "zipf:%.2f", skew.theta_percent / 100.0);
    } else {
        (void)snprintf(
            out, COH_BENCH_SKEW_SZ, "%s", skew.kind == COH_BENCH_SKEW_UNIFORM ? "uniform" : "hot");
    }
    return out;
}

/* ---- while it is built ---- */

/* Contracts of one kind that transactions are spread over. */
typedef struct {
    coh_addr_t at[COPIES_MAX];
    uint32_t cnt;
} copies_t;

typedef struct {
    coh_bench_world_spec_t const *spec;
    coh_buf_t *why;
    coh_rng_t rng;
    coh_solo_t solo;
    coh_addr_t rich; /* deploys, and holds what nobody else does */
    coh_addr_t *accounts;
    uint64_t *nonces;
    double *weights; /* ZIPF: summed up to each account */
    coh_directory_t dir;
    uint32_t *shards; /* of accounts */
    uint32_t next;    /* SELF, CHAIN: whose turn it is */

    coh_addr_t tokens[TOKENS];
    uint32_t token_cnt;
    uint32_t token_draw_cnt; /* of which transfers are drawn */
    coh_addr_t router;
    coh_addr_t factory;  /* Uniswap's */
    coh_addr_t filler;   /* V3 */
    coh_addr_t *singles; /* GIGASWAP: of accounts */
    struct {
        coh_addr_t router;
        coh_addr_t tokens[2];
    } groups[GROUPS_MAX];
    uint32_t group_cnt;
    uint8_t pools[POOLS_MAX][2]; /* tokens */
    uint32_t pool_cnt;
    copies_t banks, games;
    coh_addr_t nft, market, goods;
    uint64_t item_cnt;
} build_t;

static uint32_t shard_of(build_t const *b, coh_addr_t const *addr)
{
    return coh_directory_owner(&b->dir, addr, coh_directory_bucket(addr));
}

static coh_err_t send(build_t *b,
                      coh_addr_t const *sender,
                      coh_addr_t const *to,
                      char const *signature,
                      coh_abi_t const *args,
                      size_t arg_cnt)
{
    coh_buf_t data = COH_BUF_INIT;
    coh_abi_call(&data, signature, args, arg_cnt);
    coh_outcome_t const *outcome = coh_solo_send(&b->solo, sender, to, 0, coh_buf_bytes(&data));
    coh_buf_free(&data);
    return coh_solo_ok(outcome, signature, b->why) ? COH_OK : COH_EINVAL;
}

static coh_err_t deploy_from(build_t *b,
                             coh_addr_t *out,
                             char const *dir,
                             char const *name,
                             coh_abi_t const *args,
                             size_t arg_cnt)
{
    coh_contract_t contract;
    COH_TRY(coh_contract_load(&contract, dir, name, b->why));
    coh_err_t rc = coh_solo_deploy(out, &b->solo, &b->rich, &contract, args, arg_cnt, b->why);
    coh_contract_free(&contract);
    return rc;
}

static coh_err_t deploy(build_t *b,
                        coh_addr_t *out,
                        char const *name,
                        coh_abi_t const *args,
                        size_t arg_cnt)
{
    return deploy_from(b, out, b->spec->contracts, name, args, arg_cnt);
}

/* As many of a contract as instances are asked for, at least one. */
static coh_err_t deploy_copies(build_t *b, copies_t *copies, char const *name)
{
    uint32_t cnt = COH_MIN(COH_MAX(b->spec->instance_cnt, 1), COPIES_MAX);
    for (; copies->cnt < cnt; copies->cnt++) {
        COH_TRY(deploy(b, &copies->at[copies->cnt], name, NULL, 0));
    }
    return COH_OK;
}

static coh_err_t deploy_peer(build_t *b,
                             coh_addr_t *out,
                             char const *name,
                             coh_abi_t const *args,
                             size_t arg_cnt)
{
    return deploy_from(b, out, b->spec->peers, name, args, arg_cnt);
}

static coh_err_t deploy_token(build_t *b, coh_addr_t *out)
{
    char const *dir        = b->spec->peers != NULL ? b->spec->peers : b->spec->contracts;
    coh_u256_t supply      = coh_bench_power_of_ten(RICH_ZERO);
    coh_abi_t const made[] = {coh_abi_string("Bench token"),
                              coh_abi_string("BENCH"),
                              coh_abi_addr(&b->rich),
                              coh_abi_u256(&supply)};
    return deploy_from(b, out, dir, "Token", made, COH_CNT(made));
}

static coh_err_t give(build_t *b, coh_addr_t const *token, coh_addr_t const *to, unsigned zeros)
{
    coh_u256_t share        = coh_bench_power_of_ten(zeros);
    coh_abi_t const given[] = {coh_abi_addr(to), coh_abi_u256(&share)};
    return send(b, &b->rich, token, "transfer(address,uint256)", given, COH_CNT(given));
}

static coh_err_t allow(build_t *b,
                       coh_addr_t const *owner,
                       coh_addr_t const *token,
                       coh_addr_t const *spender)
{
    coh_u256_t all            = {{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}};
    coh_abi_t const consent[] = {coh_abi_addr(spender), coh_abi_u256(&all)};
    return send(b, owner, token, "approve(address,uint256)", consent, COH_CNT(consent));
}

/* ---- contracts ---- */

/* So many tokens at least, of which everybody has something. */
static coh_err_t set_up_tokens(build_t *b, uint32_t cnt)
{
    for (; b->token_cnt < COH_MIN(cnt, TOKENS); b->token_cnt++) {
        coh_addr_t *token = &b->tokens[b->token_cnt];
        COH_TRY(deploy_token(b, token));
        for (uint32_t i = 0; i < b->spec->account_cnt; i++) {
            COH_TRY(give(b, token, &b->accounts[i], HAVE_ZERO));
        }
    }
    b->token_draw_cnt = COH_MIN(cnt, TOKENS);
    return COH_OK;
}

/* A token of which only the first account has something. */
static coh_err_t set_up_chain(build_t *b)
{
    b->token_cnt = 1;
    COH_TRY(deploy_token(b, &b->tokens[0]));
    return give(b, &b->tokens[0], &b->accounts[0], PAY_ZERO);
}

/* Ours, which makes its pools itself, or Uniswap V2's with its factory. Whose wrapped ether that one holds does not matter: no swap here uses it. */
static coh_err_t deploy_router(build_t *b)
{
    if (b->spec->peers == NULL) {
        return deploy(b, &b->router, "Router", NULL, 0);
    }
    coh_abi_t const made[] = {coh_abi_addr(&b->rich)};
    COH_TRY(deploy_peer(b, &b->factory, "UniswapV2Factory", made, COH_CNT(made)));
    coh_abi_t const routed[] = {coh_abi_addr(&b->factory), coh_abi_addr(&b->rich)};
    return deploy_peer(b, &b->router, "UniswapV2Router02", routed, COH_CNT(routed));
}

static coh_err_t fill_pool(build_t *b, coh_addr_t const *tokenA, coh_addr_t const *tokenB)
{
    coh_u256_t amount        = coh_bench_power_of_ten(POOL_ZERO);
    coh_abi_t const filled[] = {coh_abi_addr(tokenA),
                                coh_abi_addr(tokenB),
                                coh_abi_u256(&amount),
                                coh_abi_u256(&amount),
                                coh_abi_u64(0),
                                coh_abi_u64(0),
                                coh_abi_addr(&b->rich),
                                coh_abi_u64(DEADLINE)};
    return send(b,
                &b->rich,
                &b->router,
                "addLiquidity(address,address,uint256,uint256,uint256,uint256,address,uint256)",
                filled,
                COH_CNT(filled));
}

static coh_err_t deploy_router3(build_t *b)
{
    COH_TRY(deploy_peer(b, &b->factory, "UniswapV3Factory", NULL, 0));
    coh_abi_t const routed[] = {coh_abi_addr(&b->factory), coh_abi_addr(&b->rich)};
    return deploy_peer(b, &b->router, "SwapRouter", routed, COH_CNT(routed));
}

/* A pool of Uniswap V3 at a price of 1, with one position of so much liquidity from about 10^-26 to 10^26, which costs about as much of either token. */
static coh_err_t fill_pool3(build_t *b,
                            coh_addr_t const *tokenA,
                            coh_addr_t const *tokenB,
                            unsigned zeros)
{
    coh_u256_t const price = {{0, UINT64_C(1) << 32, 0, 0}}; /* 2^96 */
    coh_u256_t const low   = {{-(uint64_t)POOL3_TICK, UINT64_MAX, UINT64_MAX, UINT64_MAX}};
    coh_u256_t liquidity   = coh_bench_power_of_ten(zeros);
    coh_addr_t pool;
    coh_buf_t data         = COH_BUF_INIT;
    coh_abi_t const made[] = {coh_abi_addr(tokenA), coh_abi_addr(tokenB), coh_abi_u64(POOL3_FEE)};
    coh_abi_call(&data, "createPool(address,address,uint24)", made, COH_CNT(made));
    coh_outcome_t const *outcome =
        coh_solo_send(&b->solo, &b->rich, &b->factory, 0, coh_buf_bytes(&data));
    coh_buf_free(&data);
    if (!coh_solo_ok(outcome, "createPool", b->why) || outcome->output.n != 32) {
        return COH_EINVAL;
    }
    memcpy(pool.b, outcome->output.p + 12, sizeof(pool.b));
    coh_abi_t const priced[] = {coh_abi_u256(&price)};
    COH_TRY(send(b, &b->rich, &pool, "initialize(uint160)", priced, COH_CNT(priced)));
    COH_TRY(give(b, tokenA, &b->filler, zeros));
    COH_TRY(give(b, tokenB, &b->filler, zeros));
    coh_abi_t const filled[] = {
        coh_abi_addr(&pool), coh_abi_u256(&low), coh_abi_u64(POOL3_TICK), coh_abi_u256(&liquidity)};
    return send(
        b, &b->rich, &b->filler, "fill(address,int24,int24,uint128)", filled, COH_CNT(filled));
}

static coh_err_t set_up_pools(build_t *b, uint32_t cnt, bool is_v3)
{
    cnt = COH_MIN(cnt, POOLS_MAX);
    COH_TRY(is_v3 ? deploy_router3(b) : deploy_router(b));
    if (is_v3) {
        COH_TRY(deploy(b, &b->filler, "Filler", NULL, 0));
    }
    COH_TRY(set_up_tokens(b, cnt == 1 ? 2 : TOKENS));
    for (uint32_t t = 0; t < b->token_cnt; t++) {
        COH_TRY(allow(b, &b->rich, &b->tokens[t], &b->router));
        for (uint32_t i = 0; i < b->spec->account_cnt; i++) {
            COH_TRY(allow(b, &b->accounts[i], &b->tokens[t], &b->router));
        }
    }
    for (uint8_t x = 0; x < b->token_cnt; x++) {
        for (uint8_t y = (uint8_t)(x + 1); y < b->token_cnt && b->pool_cnt < cnt; y++) {
            COH_TRY(is_v3 ? fill_pool3(b, &b->tokens[x], &b->tokens[y], POOL_ZERO)
                          : fill_pool(b, &b->tokens[x], &b->tokens[y]));
            b->pools[b->pool_cnt][0]   = x;
            b->pools[b->pool_cnt++][1] = y;
        }
    }
    return COH_OK;
}

/* Contracts that call each other, and nobody else's. Account i is a customer of group i modulo their number. */
static coh_err_t set_up_groups(build_t *b, uint32_t cnt)
{
    for (; b->group_cnt < COH_MIN(cnt, GROUPS_MAX); b->group_cnt++) {
        coh_addr_t *tokens = b->groups[b->group_cnt].tokens;
        COH_TRY(deploy_router(b));
        b->groups[b->group_cnt].router = b->router;
        for (uint32_t t = 0; t < 2; t++) {
            COH_TRY(deploy_token(b, &tokens[t]));
            COH_TRY(allow(b, &b->rich, &tokens[t], &b->router));
            for (uint32_t i = b->group_cnt; i < b->spec->account_cnt; i += cnt) {
                COH_TRY(give(b, &tokens[t], &b->accounts[i], HAVE_ZERO));
                COH_TRY(allow(b, &b->accounts[i], &tokens[t], &b->router));
            }
        }
        COH_TRY(fill_pool(b, &tokens[0], &tokens[1]));
    }
    return COH_OK;
}

/* To each account all of its own. */
static coh_err_t set_up_giga_swap(build_t *b)
{
    COH_TRY(deploy(b, &b->filler, "Filler", NULL, 0));
    b->singles = coh_calloc(b->spec->account_cnt, sizeof(*b->singles));
    for (uint32_t i = 0; i < b->spec->account_cnt; i++) {
        coh_addr_t tokens[2];
        COH_TRY(deploy_router3(b));
        for (size_t t = 0; t < COH_CNT(tokens); t++) {
            COH_TRY(deploy_token(b, &tokens[t]));
            COH_TRY(give(b, &tokens[t], &b->accounts[i], GIGA_HAVE));
        }
        if (memcmp(tokens[0].b, tokens[1].b, sizeof(tokens[0].b)) > 0) {
            coh_addr_t first = tokens[1];
            tokens[1]        = tokens[0];
            tokens[0]        = first;
        }
        COH_TRY(fill_pool3(b, &tokens[0], &tokens[1], GIGA_POOL));
        coh_abi_t const made[] = {coh_abi_addr(&b->router),
                                  coh_abi_addr(&tokens[0]),
                                  coh_abi_addr(&tokens[1]),
                                  coh_abi_u64(POOL3_FEE)};
        COH_TRY(deploy(b, &b->singles[i], "SingleSwap", made, COH_CNT(made)));
        COH_TRY(allow(b, &b->accounts[i], &tokens[0], &b->singles[i]));
        COH_TRY(allow(b, &b->accounts[i], &tokens[1], &b->singles[i]));
    }
    return COH_OK;
}

static coh_err_t set_up_nft(build_t *b)
{
    coh_abi_t const made[] = {coh_abi_string("Bench"), coh_abi_string("NFT")};
    return deploy(b, &b->nft, "Nft", made, COH_CNT(made));
}

static coh_err_t set_up_banks(build_t *b)
{
    COH_TRY(deploy_copies(b, &b->banks, "SmallBank"));
    for (uint32_t i = 0; i < b->banks.cnt * b->spec->account_cnt; i++) {
        coh_addr_t const *bank = &b->banks.at[i % b->banks.cnt];
        coh_u256_t funds       = coh_bench_power_of_ten(PAY_ZERO);
        coh_abi_t const args[] = {
            coh_abi_u64(i / b->banks.cnt), coh_abi_u256(&funds), coh_abi_u256(&funds)};
        COH_TRY(send(b, &b->rich, bank, "open(uint256,int256,int256)", args, COH_CNT(args)));
    }
    return COH_OK;
}

/* Everybody has deposited and borrowed something. */
static coh_err_t set_up_market(build_t *b)
{
    COH_TRY(set_up_tokens(b, 2));
    coh_abi_t const made[] = {coh_abi_addr(&b->tokens[0]), coh_abi_addr(&b->tokens[1])};
    COH_TRY(deploy(b, &b->market, "Lending", made, COH_CNT(made)));
    COH_TRY(give(b, &b->tokens[1], &b->market, POOL_ZERO));
    coh_u256_t deposit      = coh_bench_power_of_ten(HAVE_ZERO - 1);
    coh_u256_t loan         = coh_bench_power_of_ten(HAVE_ZERO - 2);
    coh_abi_t const gives[] = {coh_abi_u256(&deposit)};
    coh_abi_t const takes[] = {coh_abi_u256(&loan)};
    for (uint32_t i = 0; i < b->spec->account_cnt; i++) {
        coh_addr_t const *who = &b->accounts[i];
        COH_TRY(allow(b, who, &b->tokens[0], &b->market));
        COH_TRY(allow(b, who, &b->tokens[1], &b->market));
        COH_TRY(send(b, who, &b->market, "deposit(uint256)", gives, 1));
        COH_TRY(send(b, who, &b->market, "borrow(uint256)", takes, 1));
    }
    return COH_OK;
}

static coh_err_t set_up_games(build_t *b)
{
    COH_TRY(deploy_copies(b, &b->games, "Game"));
    for (uint32_t i = 0; i < b->games.cnt * b->spec->account_cnt; i++) {
        coh_addr_t const *player = &b->accounts[i / b->games.cnt];
        coh_u256_t board         = {{coh_rng_next(&b->rng), coh_rng_next(&b->rng), 0, 7}};
        coh_abi_t const boards[] = {coh_abi_u256(&board)};
        COH_TRY(send(b, player, &b->games.at[i % b->games.cnt], "set(uint256)", boards, 1));
    }
    return COH_OK;
}

/* Item i + 1 is account i's. */
static coh_err_t set_up_goods(build_t *b)
{
    COH_TRY(deploy(b, &b->goods, "SupplyChain", NULL, 0));
    for (uint32_t i = 0; i < b->spec->account_cnt; i++) {
        coh_abi_t const what[] = {coh_abi_u64(i)};
        COH_TRY(send(b, &b->accounts[i], &b->goods, "make(bytes32)", what, 1));
    }
    return COH_OK;
}

static coh_err_t set_up(build_t *b)
{
    uint32_t cnt = b->spec->instance_cnt;
    switch (b->spec->work) {
    case COH_BENCH_WORK_TRANSFER:
    case COH_BENCH_WORK_SELF:
    case COH_BENCH_WORK_GIGASELF: return COH_OK;
    case COH_BENCH_WORK_GIGATOKEN: return set_up_tokens(b, 1);
    case COH_BENCH_WORK_GIGASWAP: return set_up_giga_swap(b);
    case COH_BENCH_WORK_TOKEN: return set_up_tokens(b, cnt != 0 ? cnt : 1);
    case COH_BENCH_WORK_CHAIN: return set_up_chain(b);
    case COH_BENCH_WORK_NFT: return set_up_nft(b);
    case COH_BENCH_WORK_POOL: return set_up_pools(b, 1, false);
    case COH_BENCH_WORK_POOLS: return set_up_pools(b, cnt != 0 ? cnt : 100, false);
    case COH_BENCH_WORK_POOL3: return set_up_pools(b, 1, true);
    case COH_BENCH_WORK_POOLS3: return set_up_pools(b, cnt != 0 ? cnt : 100, true);
    case COH_BENCH_WORK_GROUPS:
        return set_up_groups(b, cnt != 0 ? COH_MIN(cnt, GROUPS_MAX) : GROUPS_MAX);
    case COH_BENCH_WORK_BANK: return set_up_banks(b);
    case COH_BENCH_WORK_LENDING: return set_up_market(b);
    case COH_BENCH_WORK_GAME: return set_up_games(b);
    case COH_BENCH_WORK_GOODS: return set_up_goods(b);
    case COH_BENCH_WORK_MIX:
        COH_TRY(set_up_pools(b, cnt != 0 ? cnt : 100, false));
        COH_TRY(set_up_nft(b));
        COH_TRY(set_up_banks(b));
        COH_TRY(set_up_market(b));
        b->token_draw_cnt = TOKENS;
        return set_up_goods(b);
    case COH_BENCH_WORK_CNT: break;
    }
    return COH_EINVAL;
}

/* ---- transactions ---- */

static uint32_t draw(build_t *b)
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
static uint32_t draw_for(build_t *b, uint32_t home)
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
static void plan_call(build_t *b, plan_t *p, coh_addr_t const *contract)
{
    p->to   = *contract;
    p->from = draw_for(b, shard_of(b, contract));
}

static void plan_transfer(build_t *b, plan_t *p)
{
    p->from  = draw(b);
    p->to    = b->accounts[draw_for(b, b->shards[p->from])];
    p->value = 1;
    p->gas   = 21000;
}

static void plan_self(build_t *b, plan_t *p)
{
    p->from  = b->next++ % b->spec->account_cnt;
    p->to    = b->accounts[p->from];
    p->value = 1;
    p->gas   = 21000;
}

static coh_addr_t const *draw_copy(build_t *b, copies_t const *copies)
{
    return &copies->at[copies->cnt > 1 ? coh_rng_below(&b->rng, copies->cnt) : 0];
}

static void plan_token(build_t *b, plan_t *p)
{
    plan_call(b, p, &b->tokens[coh_rng_below(&b->rng, b->token_draw_cnt)]);
    coh_u256_t amount      = coh_bench_power_of_ten(PAY_ZERO);
    coh_abi_t const args[] = {coh_abi_addr(&b->accounts[draw(b)]), coh_abi_u256(&amount)};
    call(p, "transfer(address,uint256)", args, COH_CNT(args));
}

static void plan_chain(build_t *b, plan_t *p)
{
    p->from                = b->next++ % b->spec->account_cnt;
    p->to                  = b->tokens[0];
    coh_u256_t amount      = coh_bench_power_of_ten(PAY_ZERO);
    coh_abi_t const args[] = {coh_abi_addr(&b->accounts[b->next % b->spec->account_cnt]),
                              coh_abi_u256(&amount)};
    call(p, "transfer(address,uint256)", args, COH_CNT(args));
}

static void plan_nft(build_t *b, plan_t *p)
{
    plan_call(b, p, &b->nft);
    coh_abi_t const args[] = {coh_abi_addr(&b->accounts[p->from])};
    call(p, "mint(address)", args, COH_CNT(args));
}

/* Either way at random, so that pools stay about where they are. */
static void swap(build_t *b, plan_t *p, coh_addr_t const *tokenA, coh_addr_t const *tokenB)
{
    bool back              = coh_rng_percent(&b->rng, 50);
    coh_u256_t amount      = coh_bench_power_of_ten(PAY_ZERO);
    coh_abi_t const path[] = {coh_abi_addr(back ? tokenB : tokenA),
                              coh_abi_addr(back ? tokenA : tokenB)};
    coh_abi_t const args[] = {coh_abi_u256(&amount),
                              coh_abi_u64(1),
                              coh_abi_array(path, COH_CNT(path)),
                              coh_abi_addr(&b->accounts[p->from]),
                              coh_abi_u64(DEADLINE)};
    call(p,
         "swapExactTokensForTokens(uint256,uint256,address[],address,uint256)",
         args,
         COH_CNT(args));
}

static void plan_swap(build_t *b, plan_t *p)
{
    plan_call(b, p, &b->router);
    uint8_t const *pool = b->pools[coh_rng_below(&b->rng, b->pool_cnt)];
    swap(b, p, &b->tokens[pool[0]], &b->tokens[pool[1]]);
}

static void plan_groups(build_t *b, plan_t *p)
{
    p->from            = draw(b);
    uint32_t const of  = p->from % b->group_cnt;
    p->to              = b->groups[of].router;
    coh_addr_t *tokens = b->groups[of].tokens;
    swap(b, p, &tokens[0], &tokens[1]);
}

static void plan_swap3(build_t *b, plan_t *p)
{
    plan_call(b, p, &b->router);
    uint8_t const *pool    = b->pools[coh_rng_below(&b->rng, b->pool_cnt)];
    bool back              = coh_rng_percent(&b->rng, 50);
    coh_u256_t amount      = coh_bench_power_of_ten(PAY_ZERO);
    coh_abi_t const args[] = {coh_abi_addr(&b->tokens[pool[back]]),
                              coh_abi_addr(&b->tokens[pool[!back]]),
                              coh_abi_u64(POOL3_FEE),
                              coh_abi_addr(&b->accounts[p->from]),
                              coh_abi_u64(DEADLINE),
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
static void plan_giga_token(build_t *b, plan_t *p)
{
    p->from                = b->next++ % b->spec->account_cnt;
    p->to                  = b->tokens[0];
    p->gas                 = GIGA_TOKEN_GAS;
    coh_abi_t const args[] = {coh_abi_addr(&b->accounts[p->from]),
                              coh_abi_u64(coh_rng_below(&b->rng, 256))};
    call(p, "transfer(address,uint256)", args, COH_CNT(args));
}

static void plan_giga_swap(build_t *b, plan_t *p)
{
    p->from                = b->next++ % b->spec->account_cnt;
    p->to                  = b->singles[p->from];
    p->gas                 = GIGA_SWAP_GAS;
    coh_abi_t const args[] = {coh_abi_u64(GIGA_SWAP)};
    call(p, "sellToken0(uint256)", args, COH_CNT(args));
}

static void plan_bank(build_t *b, plan_t *p)
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

static void plan_lending(build_t *b, plan_t *p)
{
    static char const *const calls[] = {
        "deposit(uint256)", "withdraw(uint256)", "borrow(uint256)", "repay(uint256)"};
    plan_call(b, p, &b->market);
    coh_u256_t amount      = coh_bench_power_of_ten(PAY_ZERO);
    coh_abi_t const args[] = {coh_abi_u256(&amount)};
    call(p, calls[coh_rng_below(&b->rng, COH_CNT(calls))], args, COH_CNT(args));
}

static void plan_game(build_t *b, plan_t *p)
{
    plan_call(b, p, draw_copy(b, &b->games));
    p->gas                 = GAME_GAS;
    coh_abi_t const args[] = {coh_abi_u64(STEPS)};
    call(p, "play(uint256)", args, COH_CNT(args));
}

static void plan_goods(build_t *b, plan_t *p)
{
    plan_call(b, p, &b->goods);
    coh_abi_t reading = coh_abi_u64(coh_rng_next(&b->rng));
    if (coh_rng_percent(&b->rng, 20)) {
        call(p, "make(bytes32)", &reading, 1);
    } else {
        call(p, "record(uint256,bytes32)", (coh_abi_t[]){coh_abi_u64(p->from + 1), reading}, 2);
    }
}

typedef void plan_fn(build_t *b, plan_t *p);

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

static coh_bench_work_t draw_work(build_t *b)
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
static size_t put_tx(build_t *b, coh_buf_t *bytes, coh_addr_t *sender)
{
    plan_t p = {.gas = TX_GAS};
    plans[draw_work(b)](b, &p);
    coh_tx_t tx = {.type         = COH_TX_DYNAMIC_FEE,
                   .has_chain_id = true,
                   .chain_id     = b->solo.block.chain_id,
                   .nonce        = b->nonces[p.from]++,
                   .gas_limit    = p.gas,
                   .max_fee      = coh_u256(BASE_FEE + TIP),
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

static void put_blocks(build_t *b, coh_bench_world_t *out)
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
        out->blocks[k] = (coh_import_block_t){.number        = k + 1,
                                              .fork          = FORK,
                                              .timestamp     = START_S + BLOCK_S * (k + 1),
                                              .gas_limit     = b->solo.block.gas_limit,
                                              .base_fee      = coh_u256(BASE_FEE),
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

/* ---- the state as a genesis ---- */

typedef struct {
    coh_genesis_t *genesis;
    coh_memview_t *state;
    size_t cap;
} export_t;

static void export_slot(void *arg, coh_u256_t const *slot, coh_u256_t const *value)
{
    coh_genesis_account_t *a = arg;
    if ((a->slot_cnt & (a->slot_cnt - 1)) == 0) { /* full at each power of two */
        a->slots = coh_realloc(a->slots, COH_MAX(1, 2 * a->slot_cnt) * sizeof(*a->slots));
    }
    a->slots[a->slot_cnt++] = (coh_genesis_slot_t){.key = *slot, .value = *value};
}

static void export_account(void *arg, coh_addr_t const *addr, coh_value_t const *value)
{
    export_t *x      = arg;
    coh_genesis_t *g = x->genesis;
    if (g->alloc_cnt == x->cap) {
        x->cap   = COH_MAX(64, 2 * x->cap);
        g->alloc = coh_realloc(g->alloc, x->cap * sizeof(*g->alloc));
    }
    coh_genesis_account_t *a = &g->alloc[g->alloc_cnt++];
    *a = (coh_genesis_account_t){.addr = *addr, .nonce = value->nonce, .balance = value->word};
    if (coh_value_has_code(value)) {
        coh_bytes_t code = coh_memview_code(x->state, &value->code_hash);
        uint8_t *copy    = coh_calloc(1, code.n);
        memcpy(copy, code.p, code.n);
        a->code = coh_bytes(copy, code.n);
    }
    coh_memview_slots(x->state, addr, export_slot, a);
}

static coh_err_t put_genesis(build_t *b, coh_genesis_t *g)
{
    *g         = (coh_genesis_t){.chain_id  = b->solo.block.chain_id,
                                 .timestamp = START_S,
                                 .gas_limit = b->solo.block.gas_limit,
                                 .base_fee  = coh_u256(BASE_FEE)};
    export_t x = {.genesis = g, .state = b->solo.state};
    coh_memview_accounts(b->solo.state, export_account, &x);
    return coh_genesis_finish(g, b->why);
}

static void start(build_t *b)
{
    uint32_t cnt = b->spec->account_cnt;
    coh_rng_seed(&b->rng, b->spec->seed);
    coh_solo_init(&b->solo, FORK);
    coh_u256_t balance = coh_bench_power_of_ten(RICH_ZERO);
    b->rich            = coh_bench_addr(&b->rng);
    coh_solo_fund(&b->solo, &b->rich, &balance);
    b->accounts = coh_calloc(cnt, sizeof(*b->accounts));
    b->nonces   = coh_calloc(cnt, sizeof(*b->nonces));
    b->shards   = coh_calloc(cnt, sizeof(*b->shards));
    b->weights  = coh_calloc(cnt, sizeof(*b->weights));
    double sum  = 0;
    for (uint32_t i = 0; i < cnt; i++) {
        b->accounts[i] = coh_bench_addr(&b->rng);
        coh_solo_fund(&b->solo, &b->accounts[i], &balance);
        b->shards[i] = shard_of(b, &b->accounts[i]);
        sum += pow(i + 1.0, -(double)b->spec->skew.theta_percent / 100.0);
        b->weights[i] = sum;
    }
}

coh_err_t coh_bench_world_new(coh_bench_world_t *out,
                              coh_bench_world_spec_t const *spec,
                              coh_buf_t *why)
{
    COH_ASSERT(spec->account_cnt > 1);
    build_t b = {.spec = spec, .why = why};
    *out      = (coh_bench_world_t){0};
    if (works[spec->work].uses == COH_BENCH_PEERS && spec->peers == NULL) {
        coh_buf_printf(
            why, "%s needs published contracts (see --with-peers)", works[spec->work].name);
        return COH_ENOTFOUND;
    }
    COH_TRY(coh_placement_initial(&b.dir, "hash", COH_MAX(1, spec->shard_cnt), why));
    start(&b);
    coh_err_t rc = set_up(&b);
    if (rc == COH_OK) {
        rc = put_genesis(&b, &out->genesis);
    }
    if (rc == COH_OK) {
        put_blocks(&b, out);
    }
    free(b.accounts);
    free(b.nonces);
    free(b.shards);
    free(b.weights);
    free(b.singles);
    coh_solo_fini(&b.solo);
    return rc;
}

typedef struct {
    char *text; /* owned: the names, each with a NUL behind it */
    char const **names;
    coh_realblock_t *blocks;
    size_t cnt;
} recordings_t;

/* The names between the plus signs. */
static void split_paths(recordings_t *r, char const *paths)
{
    r->text = coh_strdup(paths);
    r->cnt  = 1;
    for (char *p = r->text; *p != '\0'; p++) {
        r->cnt += *p == '+';
    }
    r->names  = coh_calloc(r->cnt, sizeof(*r->names));
    r->blocks = coh_calloc(r->cnt, sizeof(*r->blocks));
    char *at  = r->text;
    for (size_t i = 0; i < r->cnt; i++) {
        size_t n    = strcspn(at, "+");
        r->names[i] = at;
        at[n]       = '\0';
        at += n + 1; /* not used behind the last */
    }
}

static coh_err_t load_recordings(recordings_t *r, coh_buf_t *why)
{
    for (size_t i = 0; i < r->cnt; i++) {
        coh_buf_t what = COH_BUF_INIT;
        coh_err_t rc   = coh_realblock_load(&r->blocks[i], r->names[i], &what);
        if (rc == COH_OK && coh_realblock_kind(&r->blocks[i]) == COH_REALBLOCK_TYPE) {
            coh_buf_printf(&what, "%s", coh_realblock_kind_str(COH_REALBLOCK_TYPE));
            rc = COH_EUNSUPPORTED;
        }
        if (rc != COH_OK) {
            coh_buf_printf(why, "%s: %.*s", r->names[i], (int)what.n, (char const *)what.p);
        }
        coh_buf_free(&what);
        COH_TRY(rc);
    }
    return COH_OK;
}

/* The blocks, under consecutive numbers. */
static void put_recorded(coh_bench_world_t *out, recordings_t const *r)
{
    size_t tx_cnt = 0;
    size_t size   = 0;
    for (size_t b = 0; b < r->cnt; b++) {
        tx_cnt += r->blocks[b].tx_cnt;
        size += r->blocks[b].bytes.n;
    }
    out->is_recorded = true;
    out->block_cnt   = r->cnt;
    out->blocks      = coh_calloc(r->cnt, sizeof(*out->blocks));
    out->raws        = coh_calloc(tx_cnt + 1, sizeof(*out->raws));
    out->senders     = coh_calloc(tx_cnt + 1, sizeof(*out->senders));
    coh_buf_grow(&out->bytes, size); /* so that it does not move */
    size_t at = 0;
    for (size_t b = 0; b < r->cnt; b++) {
        coh_realblock_t const *block = &r->blocks[b];
        out->blocks[b]               = coh_realblock_import(block);
        out->blocks[b].number        = r->blocks[0].number + b;
        out->blocks[b].raws          = out->raws + at;
        out->blocks[b].senders       = out->senders + at;
        for (size_t i = 0; i < block->tx_cnt; i++, at++) {
            coh_bytes_t raw  = block->raws[i];
            out->senders[at] = block->senders[i];
            out->raws[at]    = coh_bytes(out->bytes.p + out->bytes.n, raw.n);
            coh_buf_put(&out->bytes, raw.p, raw.n);
        }
    }
}

coh_err_t coh_bench_world_load(coh_bench_world_t *out, char const *paths, coh_buf_t *why)
{
    recordings_t r = {0};
    *out           = (coh_bench_world_t){0};
    split_paths(&r, paths);
    coh_err_t rc = load_recordings(&r, why);
    if (rc == COH_OK && r.cnt == 1) {
        rc = coh_realblock_genesis(&out->genesis, &r.blocks[0], why);
    } else if (rc == COH_OK) {
        coh_realblock_chain_t chain;
        rc                 = coh_realblock_chain(&chain, r.blocks, r.names, r.cnt, why);
        out->genesis       = chain.genesis;
        out->tx_cnt        = chain.tx_cnt;
        out->gas_used      = chain.gas_used;
        out->other_gas_cnt = chain.other_gas_cnt;
    }
    if (rc == COH_OK) {
        put_recorded(out, &r);
    }
    for (size_t i = 0; i < r.cnt; i++) {
        coh_realblock_free(&r.blocks[i]);
    }
    free(r.blocks);
    free(r.names);
    free(r.text);
    return rc;
}

void coh_bench_world_free(coh_bench_world_t *world)
{
    coh_genesis_free(&world->genesis);
    free(world->blocks);
    free(world->raws);
    free(world->senders);
    coh_buf_free(&world->bytes);
    *world = (coh_bench_world_t){0};
}
