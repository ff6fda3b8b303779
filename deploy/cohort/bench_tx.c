/* Whole transactions on a state in memory: accounts that hold everything, and random ones that pay random others. */
#include <stdlib.h>

#include "common/base/alloc.h"
#include "deploy/cohort/bench_draw.h"
#include "deploy/cohort/bench_evm.h"
#include "deploy/cohort/bench_text.h"

/* The newest rules. */
#define FORK ((coh_fork_t)(COH_FORK_CNT - 1))

#define TX_CNT    8192u /* different transactions, gone through in turn */
#define FEE_MAX   20    /* above the base fee */
#define FEE_TIP   2
#define TX_GAS    400000u
#define DEADLINE  UINT64_C(100000000000)
#define RICH_ZERO 30 /* zeros of an account's balance in wei */
#define POOL_ZERO 27 /* of what the pool has of either token */
#define HAVE_ZERO 24 /* of what an account has of a token */
#define PAY_ZERO  14 /* of what a transaction moves: an account can pay 10^10 of them */

typedef struct {
    coh_bench_evm_options_t const *options;
    coh_solo_t solo;
    coh_addr_t *accounts;
    uint64_t *nonces;
    size_t account_cnt;
    coh_tx_t *txs;   /* TX_CNT; nonces are set when they run */
    uint32_t *from;  /* of each */
    coh_buf_t *data; /* of each; owned */
    uint32_t next;   /* which comes next */
    uint64_t done;
    uint64_t gas;    /* of the done */
    uint64_t failed; /* invalid, or reverted */
    coh_addr_t rich; /* deploys, and holds what nobody else does */
    coh_addr_t deployed[4];
} load_t;

static void load_init(load_t *load, coh_bench_evm_options_t const *options)
{
    coh_rng_t rng;
    coh_rng_seed(&rng, options->seed);
    *load = (load_t){.options = options, .account_cnt = (size_t)options->account_cnt};
    coh_solo_init(&load->solo, FORK);
    load->accounts     = coh_calloc(load->account_cnt, sizeof(*load->accounts));
    load->nonces       = coh_calloc(load->account_cnt, sizeof(*load->nonces));
    load->txs          = coh_calloc(TX_CNT, sizeof(*load->txs));
    load->from         = coh_calloc(TX_CNT, sizeof(*load->from));
    load->data         = coh_calloc(TX_CNT, sizeof(*load->data));
    load->rich         = coh_bench_addr(&rng);
    coh_u256_t balance = coh_bench_power_of_ten(RICH_ZERO);
    coh_solo_fund(&load->solo, &load->rich, &balance);
    for (size_t i = 0; i < load->account_cnt; i++) {
        load->accounts[i] = coh_bench_addr(&rng);
        coh_solo_fund(&load->solo, &load->accounts[i], &balance);
    }
}

static void load_fini(load_t *load)
{
    for (size_t i = 0; i < TX_CNT; i++) {
        coh_buf_free(&load->data[i]);
    }
    free(load->accounts);
    free(load->nonces);
    free(load->txs);
    free(load->from);
    free(load->data);
    coh_solo_fini(&load->solo);
}

/* Calls a function of a contract and keeps its effects. */
static coh_err_t send(load_t *load,
                      coh_addr_t const *sender,
                      coh_addr_t const *to,
                      char const *signature,
                      coh_abi_t const *args,
                      size_t arg_cnt,
                      coh_buf_t *why)
{
    coh_buf_t data = COH_BUF_INIT;
    coh_abi_call(&data, signature, args, arg_cnt);
    coh_outcome_t const *outcome = coh_solo_send(&load->solo, sender, to, 0, coh_buf_bytes(&data));
    coh_buf_free(&data);
    return coh_solo_ok(outcome, signature, why) ? COH_OK : COH_EINVAL;
}

/* Calls a function that answers with one word. */
static coh_err_t ask(coh_u256_t *out,
                     load_t *load,
                     coh_addr_t const *to,
                     char const *signature,
                     coh_abi_t const *args,
                     size_t arg_cnt,
                     coh_buf_t *why)
{
    coh_buf_t data = COH_BUF_INIT;
    coh_abi_call(&data, signature, args, arg_cnt);
    coh_outcome_t const *outcome =
        coh_solo_call(&load->solo, &load->rich, to, coh_buf_bytes(&data));
    coh_buf_free(&data);
    if (!coh_solo_ok(outcome, signature, why)) {
        return COH_EINVAL;
    }
    if (outcome->output.n != 32) {
        coh_buf_printf(why, "%s: answered %zu octets", signature, outcome->output.n);
        return COH_EINVAL;
    }
    *out = coh_u256_from_be(outcome->output.p, 32);
    return COH_OK;
}

static coh_err_t deploy(coh_addr_t *out,
                        load_t *load,
                        char const *dir,
                        char const *name,
                        coh_abi_t const *args,
                        size_t arg_cnt,
                        coh_buf_t *why)
{
    coh_contract_t contract;
    coh_err_t rc = coh_contract_load(&contract, dir, name, why);
    if (rc != COH_OK) {
        coh_buf_printf(why, " (see --contracts and --with-peers)");
        return rc;
    }
    rc = coh_solo_deploy(out, &load->solo, &load->rich, &contract, args, arg_cnt, why);
    coh_contract_free(&contract);
    return rc;
}

/* A token of which every account has something. */
static coh_err_t deploy_token(coh_addr_t *out, load_t *load, char const *dir, coh_buf_t *why)
{
    coh_u256_t supply      = coh_bench_power_of_ten(RICH_ZERO);
    coh_u256_t share       = coh_bench_power_of_ten(HAVE_ZERO);
    coh_abi_t const made[] = {coh_abi_string("Bench token"),
                              coh_abi_string("BENCH"),
                              coh_abi_addr(&load->rich),
                              coh_abi_u256(&supply)};
    COH_TRY(deploy(out, load, dir, "Token", made, COH_CNT(made), why));
    for (size_t i = 0; i < load->account_cnt; i++) {
        coh_abi_t const given[] = {coh_abi_addr(&load->accounts[i]), coh_abi_u256(&share)};
        COH_TRY(
            send(load, &load->rich, out, "transfer(address,uint256)", given, COH_CNT(given), why));
    }
    return COH_OK;
}

/* Prepares TX_CNT transactions to to, or to random accounts if that is NULL; put appends the data of one. */
typedef void put_data_fn(load_t *load, coh_buf_t *out, coh_rng_t *rng, uint32_t from, uint32_t to);

static void prepare(load_t *load, coh_addr_t const *to, put_data_fn *put)
{
    coh_rng_t rng;
    coh_rng_seed(&rng, load->options->seed + 1);
    for (size_t i = 0; i < load->account_cnt; i++) {
        load->nonces[i] = coh_solo_nonce(&load->solo, &load->accounts[i]);
    }
    coh_u256_t max_fee = coh_u256(FEE_MAX);
    (void)coh_u256_add(&max_fee, &max_fee, &load->solo.block.base_fee);
    for (uint32_t i = 0; i < TX_CNT; i++) {
        uint32_t from = (uint32_t)coh_rng_below(&rng, load->account_cnt);
        uint32_t peer = (uint32_t)coh_rng_below(&rng, load->account_cnt);
        load->from[i] = from;
        if (put != NULL) {
            put(load, &load->data[i], &rng, from, peer);
        }
        load->txs[i] = (coh_tx_t){
            .type         = COH_TX_DYNAMIC_FEE,
            .has_chain_id = true,
            .chain_id     = load->solo.block.chain_id,
            .gas_limit    = TX_GAS,
            .max_fee      = max_fee,
            .max_tip      = coh_u256(FEE_TIP),
            .value        = coh_u256(to == NULL ? 1 : 0),
            .to           = to == NULL ? load->accounts[peer] : *to,
            .data         = coh_buf_bytes(&load->data[i]),
        };
    }
}

static void run_next(void *arg)
{
    load_t *load                 = arg;
    uint32_t i                   = load->next;
    uint32_t from                = load->from[i];
    coh_tx_t *tx                 = &load->txs[i];
    load->next                   = (i + 1) % TX_CNT;
    tx->nonce                    = load->nonces[from]++;
    coh_outcome_t const *outcome = coh_solo_run(&load->solo, tx, &load->accounts[from]);
    load->done++;
    load->gas += outcome->gas_used;
    load->failed += outcome->verdict != COH_TX_OK || outcome->status != 1;
}

/* Runs what was prepared. With a contract, also the bare call of the first transaction. */
static coh_err_t measure(coh_bench_tx_cost_t *out, load_t *load, char const *name, coh_buf_t *why)
{
    coh_bench_samples_t *samples = coh_calloc(1, sizeof(*samples));
    for (uint64_t i = 0; i < load->options->sample_cnt; i++) {
        coh_bench_sample(samples, load->options->sample_ms, run_next, load);
    }
    *out = (coh_bench_tx_cost_t){
        .name = name, .gas = load->gas / load->done, .tx_ns = coh_bench_median(samples)};
    free(samples);
    if (load->failed != 0) {
        coh_buf_printf(why,
                       "%s: %llu of %llu transactions failed",
                       name,
                       (unsigned long long)load->failed,
                       (unsigned long long)load->done);
        return COH_EINVAL;
    }
    if (load->txs[0].data.n != 0) {
        coh_evm_message_t msg = {.sender = load->accounts[load->from[0]],
                                 .to     = load->txs[0].to,
                                 .gas    = TX_GAS,
                                 .input  = load->txs[0].data};
        out->has_call         = true;
        coh_bench_call_measure(&out->call,
                               load->solo.state,
                               &load->solo.block,
                               &msg,
                               load->options->sample_cnt,
                               load->options->sample_ms);
        if (out->call.status != COH_EVM_SUCCESS) {
            coh_buf_printf(why, "%s: call: %s", name, coh_evm_status_str(out->call.status));
            return COH_EINVAL;
        }
    }
    return COH_OK;
}

/* Checks that everybody's tokens add up to the supply; pool: who has some besides the accounts, or NULL. */
static coh_err_t check_supply(load_t *load,
                              coh_addr_t const *token,
                              coh_addr_t const *pool,
                              coh_buf_t *why)
{
    coh_u256_t sum = COH_U256_ZERO;
    coh_u256_t supply;
    COH_TRY(ask(&supply, load, token, "totalSupply()", NULL, 0, why));
    for (size_t i = 0; i < load->account_cnt + 2; i++) {
        coh_addr_t const *owner = i < load->account_cnt    ? &load->accounts[i]
                                  : i == load->account_cnt ? &load->rich
                                                           : pool;
        if (owner != NULL) {
            coh_u256_t balance;
            coh_abi_t const arg = coh_abi_addr(owner);
            COH_TRY(ask(&balance, load, token, "balanceOf(address)", &arg, 1, why));
            (void)coh_u256_add(&sum, &sum, &balance);
        }
    }
    if (!coh_u256_eq(&sum, &supply)) {
        coh_buf_printf(why, "tokens appeared or vanished");
        return COH_EMISMATCH;
    }
    return COH_OK;
}

static coh_err_t measure_transfer(coh_bench_tx_cost_t *out, load_t *load, coh_buf_t *why)
{
    prepare(load, NULL, NULL);
    return measure(out, load, "native transfer", why);
}

static void put_token_transfer(load_t *load,
                               coh_buf_t *out,
                               coh_rng_t *rng,
                               uint32_t from,
                               uint32_t to)
{
    (void)rng;
    (void)from;
    coh_u256_t amount      = coh_bench_power_of_ten(PAY_ZERO);
    coh_abi_t const args[] = {coh_abi_addr(&load->accounts[to]), coh_abi_u256(&amount)};
    coh_abi_call(out, "transfer(address,uint256)", args, COH_CNT(args));
}

static coh_err_t measure_token(coh_bench_tx_cost_t *out,
                               load_t *load,
                               char const *dir,
                               char const *name,
                               coh_buf_t *why)
{
    coh_addr_t token;
    COH_TRY(deploy_token(&token, load, dir, why));
    prepare(load, &token, put_token_transfer);
    COH_TRY(measure(out, load, name, why));
    return check_supply(load, &token, NULL, why);
}

enum { TOKEN_A, TOKEN_B, ROUTER, FACTORY };

/* Either way at random, so that the pool stays about where it is. */
static void put_swap(load_t *load, coh_buf_t *out, coh_rng_t *rng, uint32_t from, uint32_t to)
{
    (void)to;
    coh_u256_t amount      = coh_bench_power_of_ten(PAY_ZERO);
    bool back              = coh_rng_percent(rng, 50);
    coh_abi_t const path[] = {coh_abi_addr(&load->deployed[back ? TOKEN_B : TOKEN_A]),
                              coh_abi_addr(&load->deployed[back ? TOKEN_A : TOKEN_B])};
    coh_abi_t const args[] = {coh_abi_u256(&amount),
                              coh_abi_u64(1),
                              coh_abi_array(path, COH_CNT(path)),
                              coh_abi_addr(&load->accounts[from]),
                              coh_abi_u64(DEADLINE)};
    coh_abi_call(out,
                 "swapExactTokensForTokens(uint256,uint256,address[],address,uint256)",
                 args,
                 COH_CNT(args));
}

/* Both tokens; everybody lets the router have what it asks for; the pool is filled. */
static coh_err_t fill_pool(load_t *load, char const *dir, coh_buf_t *why)
{
    coh_addr_t const *router  = &load->deployed[ROUTER];
    coh_u256_t all            = {{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}};
    coh_u256_t amount         = coh_bench_power_of_ten(POOL_ZERO);
    coh_abi_t const consent[] = {coh_abi_addr(router), coh_abi_u256(&all)};
    for (int i = TOKEN_A; i <= TOKEN_B; i++) {
        coh_addr_t *token = &load->deployed[i];
        COH_TRY(deploy_token(token, load, dir, why));
        for (size_t k = 0; k < load->account_cnt + 1; k++) {
            coh_addr_t const *owner = k < load->account_cnt ? &load->accounts[k] : &load->rich;
            COH_TRY(send(
                load, owner, token, "approve(address,uint256)", consent, COH_CNT(consent), why));
        }
    }
    coh_abi_t const filled[] = {coh_abi_addr(&load->deployed[TOKEN_A]),
                                coh_abi_addr(&load->deployed[TOKEN_B]),
                                coh_abi_u256(&amount),
                                coh_abi_u256(&amount),
                                coh_abi_u64(0),
                                coh_abi_u64(0),
                                coh_abi_addr(&load->rich),
                                coh_abi_u64(DEADLINE)};
    return send(load,
                &load->rich,
                router,
                "addLiquidity(address,address,uint256,uint256,uint256,uint256,address,uint256)",
                filled,
                COH_CNT(filled),
                why);
}

static coh_err_t measure_pool(coh_bench_tx_cost_t *out,
                              load_t *load,
                              char const *dir,
                              char const *name,
                              char const *pair_signature,
                              coh_buf_t *why)
{
    COH_TRY(fill_pool(load, dir, why));
    prepare(load, &load->deployed[ROUTER], put_swap);
    COH_TRY(measure(out, load, name, why));
    coh_abi_t const tokens[] = {coh_abi_addr(&load->deployed[TOKEN_A]),
                                coh_abi_addr(&load->deployed[TOKEN_B])};
    coh_u256_t word;
    COH_TRY(
        ask(&word, load, &load->deployed[FACTORY], pair_signature, tokens, COH_CNT(tokens), why));
    uint8_t octets[32];
    coh_addr_t pool;
    coh_u256_to_be(octets, &word);
    memcpy(pool.b, octets + 12, sizeof(pool.b));
    COH_TRY(check_supply(load, &load->deployed[TOKEN_A], &pool, why));
    return check_supply(load, &load->deployed[TOKEN_B], &pool, why);
}

/* Our router makes the pools itself. */
static coh_err_t measure_swap(coh_bench_tx_cost_t *out,
                              load_t *load,
                              char const *name,
                              coh_buf_t *why)
{
    char const *dir = load->options->contracts;
    COH_TRY(deploy(&load->deployed[ROUTER], load, dir, "Router", NULL, 0, why));
    load->deployed[FACTORY] = load->deployed[ROUTER];
    return measure_pool(out, load, dir, name, "pairOf(address,address)", why);
}

static coh_err_t measure_peer_swap(coh_bench_tx_cost_t *out,
                                   load_t *load,
                                   char const *name,
                                   coh_buf_t *why)
{
    char const *dir        = load->options->peers;
    coh_abi_t const made[] = {coh_abi_addr(&load->rich)};
    COH_TRY(
        deploy(&load->deployed[FACTORY], load, dir, "UniswapV2Factory", made, COH_CNT(made), why));
    /* Whose wrapped ether it is does not matter: no trade here uses it. */
    coh_abi_t const routed[] = {coh_abi_addr(&load->deployed[FACTORY]), coh_abi_addr(&load->rich)};
    COH_TRY(deploy(
        &load->deployed[ROUTER], load, dir, "UniswapV2Router02", routed, COH_CNT(routed), why));
    return measure_pool(out, load, dir, name, "getPair(address,address)", why);
}

coh_err_t coh_bench_tx_measure(coh_bench_tx_cost_t out[COH_BENCH_TX_KIND_MAX],
                               size_t *cnt,
                               coh_bench_evm_options_t const *options,
                               coh_buf_t *why)
{
    size_t kind_cnt = options->peers == NULL ? 3 : COH_BENCH_TX_KIND_MAX;
    *cnt            = 0;
    for (size_t kind = 0; kind < kind_cnt; kind++) {
        load_t load;
        coh_err_t rc = COH_OK;
        coh_bench_progress(false, "transactions: kind %zu of %zu", kind + 1, kind_cnt);
        load_init(&load, options);
        switch (kind) {
        case 0: rc = measure_transfer(&out[0], &load, why); break;
        case 1:
            rc = measure_token(&out[1], &load, options->contracts, "token transfer", why);
            break;
        case 2: rc = measure_swap(&out[2], &load, "swap", why); break;
        case 3:
            rc = measure_token(&out[3], &load, options->peers, "OpenZeppelin transfer", why);
            break;
        case 4: rc = measure_peer_swap(&out[4], &load, "Uniswap V2 swap", why); break;
        default: break;
        }
        load_fini(&load);
        COH_TRY(rc);
        *cnt = kind + 1;
    }
    return COH_OK;
}
