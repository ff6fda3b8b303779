#include "deploy/cohort/bench_world_private.h"

#include <stdlib.h>

#include "common/base/alloc.h"

/* How far from the price of 1 the only position of a pool of Uniswap V3 reaches either way, in ticks. */
#define POOL3_TICK 600000u
#define POOL_ZERO  27 /* of what a pool has of either token */
#define HAVE_ZERO  24 /* of what an account has of a token */
/* Of the swaps by definition: the zeros of what an account has, and of what a pool is filled with. */
#define GIGA_HAVE 18
#define GIGA_POOL 23

static coh_err_t send(coh_bench_build_t *b,
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

static coh_err_t deploy_from(coh_bench_build_t *b,
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

static coh_err_t deploy(coh_bench_build_t *b,
                        coh_addr_t *out,
                        char const *name,
                        coh_abi_t const *args,
                        size_t arg_cnt)
{
    return deploy_from(b, out, b->spec->contracts, name, args, arg_cnt);
}

/* As many of a contract as instances are asked for, at least one. */
static coh_err_t deploy_copies(coh_bench_build_t *b, coh_bench_copies_t *copies, char const *name)
{
    uint32_t cnt = COH_MIN(COH_MAX(b->spec->instance_cnt, 1), COH_BENCH_COPIES_MAX);
    for (; copies->cnt < cnt; copies->cnt++) {
        COH_TRY(deploy(b, &copies->at[copies->cnt], name, NULL, 0));
    }
    return COH_OK;
}

static coh_err_t deploy_peer(coh_bench_build_t *b,
                             coh_addr_t *out,
                             char const *name,
                             coh_abi_t const *args,
                             size_t arg_cnt)
{
    return deploy_from(b, out, b->spec->peers, name, args, arg_cnt);
}

static coh_err_t deploy_token(coh_bench_build_t *b, coh_addr_t *out)
{
    char const *dir        = b->spec->peers != NULL ? b->spec->peers : b->spec->contracts;
    coh_u256_t supply      = coh_bench_power_of_ten(COH_BENCH_RICH_ZERO);
    coh_abi_t const made[] = {coh_abi_string("Bench token"),
                              coh_abi_string("BENCH"),
                              coh_abi_addr(&b->rich),
                              coh_abi_u256(&supply)};
    return deploy_from(b, out, dir, "Token", made, COH_CNT(made));
}

static coh_err_t give(coh_bench_build_t *b,
                      coh_addr_t const *token,
                      coh_addr_t const *to,
                      unsigned zeros)
{
    coh_u256_t share        = coh_bench_power_of_ten(zeros);
    coh_abi_t const given[] = {coh_abi_addr(to), coh_abi_u256(&share)};
    return send(b, &b->rich, token, "transfer(address,uint256)", given, COH_CNT(given));
}

static coh_err_t allow(coh_bench_build_t *b,
                       coh_addr_t const *owner,
                       coh_addr_t const *token,
                       coh_addr_t const *spender)
{
    coh_u256_t all            = {{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}};
    coh_abi_t const consent[] = {coh_abi_addr(spender), coh_abi_u256(&all)};
    return send(b, owner, token, "approve(address,uint256)", consent, COH_CNT(consent));
}

/* So many tokens at least, of which everybody has something. */
static coh_err_t set_up_tokens(coh_bench_build_t *b, uint32_t cnt)
{
    for (; b->token_cnt < COH_MIN(cnt, COH_BENCH_TOKENS); b->token_cnt++) {
        coh_addr_t *token = &b->tokens[b->token_cnt];
        COH_TRY(deploy_token(b, token));
        for (uint32_t i = 0; i < b->spec->account_cnt; i++) {
            COH_TRY(give(b, token, &b->accounts[i], HAVE_ZERO));
        }
    }
    b->token_draw_cnt = COH_MIN(cnt, COH_BENCH_TOKENS);
    return COH_OK;
}

/* A token of which only the first account has something. */
static coh_err_t set_up_chain(coh_bench_build_t *b)
{
    b->token_cnt = 1;
    COH_TRY(deploy_token(b, &b->tokens[0]));
    return give(b, &b->tokens[0], &b->accounts[0], COH_BENCH_PAY_ZERO);
}

/* Ours, which makes its pools itself, or Uniswap V2's with its factory. Whose wrapped ether that one holds does not matter: no swap here uses it. */
static coh_err_t deploy_router(coh_bench_build_t *b)
{
    if (b->spec->peers == NULL) {
        return deploy(b, &b->router, "Router", NULL, 0);
    }
    coh_abi_t const made[] = {coh_abi_addr(&b->rich)};
    COH_TRY(deploy_peer(b, &b->factory, "UniswapV2Factory", made, COH_CNT(made)));
    coh_abi_t const routed[] = {coh_abi_addr(&b->factory), coh_abi_addr(&b->rich)};
    return deploy_peer(b, &b->router, "UniswapV2Router02", routed, COH_CNT(routed));
}

static coh_err_t fill_pool(coh_bench_build_t *b, coh_addr_t const *tokenA, coh_addr_t const *tokenB)
{
    coh_u256_t amount        = coh_bench_power_of_ten(POOL_ZERO);
    coh_abi_t const filled[] = {coh_abi_addr(tokenA),
                                coh_abi_addr(tokenB),
                                coh_abi_u256(&amount),
                                coh_abi_u256(&amount),
                                coh_abi_u64(0),
                                coh_abi_u64(0),
                                coh_abi_addr(&b->rich),
                                coh_abi_u64(COH_BENCH_DEADLINE)};
    return send(b,
                &b->rich,
                &b->router,
                "addLiquidity(address,address,uint256,uint256,uint256,uint256,address,uint256)",
                filled,
                COH_CNT(filled));
}

static coh_err_t deploy_router3(coh_bench_build_t *b)
{
    COH_TRY(deploy_peer(b, &b->factory, "UniswapV3Factory", NULL, 0));
    coh_abi_t const routed[] = {coh_abi_addr(&b->factory), coh_abi_addr(&b->rich)};
    return deploy_peer(b, &b->router, "SwapRouter", routed, COH_CNT(routed));
}

/* A pool of Uniswap V3 at a price of 1, with one position of so much liquidity from about 10^-26 to 10^26, which costs about as much of either token. */
static coh_err_t fill_pool3(coh_bench_build_t *b,
                            coh_addr_t const *tokenA,
                            coh_addr_t const *tokenB,
                            unsigned zeros)
{
    coh_u256_t const price = {{0, UINT64_C(1) << 32, 0, 0}}; /* 2^96 */
    coh_u256_t const low   = {{-(uint64_t)POOL3_TICK, UINT64_MAX, UINT64_MAX, UINT64_MAX}};
    coh_u256_t liquidity   = coh_bench_power_of_ten(zeros);
    coh_addr_t pool;
    coh_buf_t data         = COH_BUF_INIT;
    coh_abi_t const made[] = {
        coh_abi_addr(tokenA), coh_abi_addr(tokenB), coh_abi_u64(COH_BENCH_POOL3_FEE)};
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

static coh_err_t set_up_pools(coh_bench_build_t *b, uint32_t cnt, bool is_v3)
{
    cnt = COH_MIN(cnt, COH_BENCH_POOLS_MAX);
    COH_TRY(is_v3 ? deploy_router3(b) : deploy_router(b));
    if (is_v3) {
        COH_TRY(deploy(b, &b->filler, "Filler", NULL, 0));
    }
    COH_TRY(set_up_tokens(b, cnt == 1 ? 2 : COH_BENCH_TOKENS));
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
static coh_err_t set_up_groups(coh_bench_build_t *b, uint32_t cnt)
{
    for (; b->group_cnt < COH_MIN(cnt, COH_BENCH_GROUPS_MAX); b->group_cnt++) {
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
static coh_err_t set_up_giga_swap(coh_bench_build_t *b)
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
                                  coh_abi_u64(COH_BENCH_POOL3_FEE)};
        COH_TRY(deploy(b, &b->singles[i], "SingleSwap", made, COH_CNT(made)));
        COH_TRY(allow(b, &b->accounts[i], &tokens[0], &b->singles[i]));
        COH_TRY(allow(b, &b->accounts[i], &tokens[1], &b->singles[i]));
    }
    return COH_OK;
}

static coh_err_t set_up_nft(coh_bench_build_t *b)
{
    coh_abi_t const made[] = {coh_abi_string("Bench"), coh_abi_string("NFT")};
    return deploy(b, &b->nft, "Nft", made, COH_CNT(made));
}

static coh_err_t set_up_banks(coh_bench_build_t *b)
{
    COH_TRY(deploy_copies(b, &b->banks, "SmallBank"));
    for (uint32_t i = 0; i < b->banks.cnt * b->spec->account_cnt; i++) {
        coh_addr_t const *bank = &b->banks.at[i % b->banks.cnt];
        coh_u256_t funds       = coh_bench_power_of_ten(COH_BENCH_PAY_ZERO);
        coh_abi_t const args[] = {
            coh_abi_u64(i / b->banks.cnt), coh_abi_u256(&funds), coh_abi_u256(&funds)};
        COH_TRY(send(b, &b->rich, bank, "open(uint256,int256,int256)", args, COH_CNT(args)));
    }
    return COH_OK;
}

/* Everybody has deposited and borrowed something. */
static coh_err_t set_up_market(coh_bench_build_t *b)
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

static coh_err_t set_up_games(coh_bench_build_t *b)
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
static coh_err_t set_up_goods(coh_bench_build_t *b)
{
    COH_TRY(deploy(b, &b->goods, "SupplyChain", NULL, 0));
    for (uint32_t i = 0; i < b->spec->account_cnt; i++) {
        coh_abi_t const what[] = {coh_abi_u64(i)};
        COH_TRY(send(b, &b->accounts[i], &b->goods, "make(bytes32)", what, 1));
    }
    return COH_OK;
}

coh_err_t coh_bench_world_set_up(coh_bench_build_t *b)
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
        return set_up_groups(b,
                             cnt != 0 ? COH_MIN(cnt, COH_BENCH_GROUPS_MAX) : COH_BENCH_GROUPS_MAX);
    case COH_BENCH_WORK_BANK: return set_up_banks(b);
    case COH_BENCH_WORK_LENDING: return set_up_market(b);
    case COH_BENCH_WORK_GAME: return set_up_games(b);
    case COH_BENCH_WORK_GOODS: return set_up_goods(b);
    case COH_BENCH_WORK_MIX:
        COH_TRY(set_up_pools(b, cnt != 0 ? cnt : 100, false));
        COH_TRY(set_up_nft(b));
        COH_TRY(set_up_banks(b));
        COH_TRY(set_up_market(b));
        b->token_draw_cnt = COH_BENCH_TOKENS;
        return set_up_goods(b);
    case COH_BENCH_WORK_CNT: break;
    }
    return COH_EINVAL;
}
