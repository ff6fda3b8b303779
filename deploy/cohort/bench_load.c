#include "deploy/cohort/bench_load.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/hex.h"
#include "common/base/rng.h"
#include "common/codec/rlp.h"
#include "common/crypto/keccak.h"
#include "deploy/cohort/bench_text.h"

#define GWEI UINT64_C(1000000000)
/* A million ether: 10^24 wei, as 10^6 times 10^18. */
#define FUND_ETHER    UINT64_C(1000000)
#define WEI_PER_ETHER UINT64_C(1000000000000000000)
/* Yellow Paper G_transaction; EIP-2930 for each address. */
#define GAS_TRANSFER    21000u
#define GAS_ACCESS_ADDR 2400u
/* The default of block-tx-max transfers of the dearest type stay below half of it. */
#define GENESIS_GAS_LIMIT UINT64_C(400000000)

coh_u256_t coh_bench_max_fee(void) { return coh_u256(100 * GWEI); }

coh_u256_t coh_bench_max_tip(void) { return coh_u256(2 * GWEI); }

/* Work shared out to threads: fn(arg, thread) each. */
typedef struct {
    void (*fn)(void *arg, uint32_t thread);
    void *arg;
    uint32_t thread;
} piece_t;

static void *piece_main(void *arg)
{
    piece_t *piece = arg;
    piece->fn(piece->arg, piece->thread);
    return NULL;
}

static pthread_t *start_threads(piece_t *pieces, uint32_t cnt)
{
    pthread_t *threads = coh_calloc(cnt, sizeof(*threads));
    for (uint32_t i = 0; i < cnt; i++) {
        COH_ASSERT(pthread_create(&threads[i], NULL, piece_main, &pieces[i]) == 0);
    }
    return threads;
}

static piece_t *make_pieces(void (*fn)(void *, uint32_t), void *arg, uint32_t cnt)
{
    piece_t *pieces = coh_calloc(cnt, sizeof(*pieces));
    for (uint32_t i = 0; i < cnt; i++) {
        pieces[i] = (piece_t){.fn = fn, .arg = arg, .thread = i};
    }
    return pieces;
}

static void join_threads(pthread_t *threads, piece_t *pieces, uint32_t cnt)
{
    for (uint32_t i = 0; i < cnt; i++) {
        COH_ASSERT(pthread_join(threads[i], NULL) == 0);
    }
    free(threads);
    free(pieces);
}

/* 32 octets that depend on what, seed and idx. */
static coh_hash_t derive(char const *what, uint64_t seed, uint64_t idx)
{
    coh_buf_t buf = COH_BUF_INIT;
    coh_buf_printf(&buf, "cohort bench %s", what);
    coh_buf_put_u64_le(&buf, seed);
    coh_buf_put_u64_le(&buf, idx);
    coh_hash_t out;
    coh_keccak256(&out, buf.p, buf.n);
    coh_buf_free(&buf);
    return out;
}

typedef struct {
    coh_bench_accounts_t *accounts;
    uint64_t seed;
    uint32_t thread_cnt;
} derive_job_t;

static void derive_piece(void *arg, uint32_t thread)
{
    derive_job_t *job = arg;
    for (size_t i = thread; i < job->accounts->cnt; i += job->thread_cnt) {
        coh_bench_account_t *a = &job->accounts->v[i];
        coh_hash_t secret      = derive("key", job->seed, i);
        memcpy(a->secret, secret.b, sizeof(a->secret));
        /* A hash is no valid key with a probability of 2^-127. */
        COH_ASSERT(coh_ecdsa_address(&a->addr, a->secret) == COH_OK);
    }
}

void coh_bench_accounts_new(coh_bench_accounts_t *out,
                            uint64_t seed,
                            size_t cnt,
                            uint32_t thread_cnt)
{
    *out                = (coh_bench_accounts_t){.cnt = cnt, .v = coh_calloc(cnt, sizeof(*out->v))};
    coh_hash_t coinbase = derive("coinbase", seed, 0);
    memcpy(out->coinbase.b, coinbase.b, sizeof(out->coinbase.b));
    derive_job_t job = {.accounts = out, .seed = seed, .thread_cnt = thread_cnt};
    piece_t *pieces  = make_pieces(derive_piece, &job, thread_cnt);
    join_threads(start_threads(pieces, thread_cnt), pieces, thread_cnt);
}

void coh_bench_accounts_free(coh_bench_accounts_t *accounts)
{
    free(accounts->v);
    *accounts = (coh_bench_accounts_t){0};
}

static coh_u256_t fund(void)
{
    coh_u256_t out = coh_u256(WEI_PER_ETHER);
    (void)coh_u256_mul_u64(&out, &out, FUND_ETHER);
    return out;
}

coh_u256_t coh_bench_supply(coh_bench_accounts_t const *accounts)
{
    coh_u256_t out = fund();
    (void)coh_u256_mul_u64(&out, &out, accounts->cnt);
    return out;
}

void coh_bench_genesis_put(coh_buf_t *out, coh_bench_accounts_t const *accounts)
{
    static char const *const block_forks[] = {"homestead",
                                              "eip150",
                                              "eip155",
                                              "eip158",
                                              "byzantium",
                                              "constantinople",
                                              "petersburg",
                                              "istanbul",
                                              "berlin",
                                              "london"};
    static char const *const time_forks[]  = {"shanghai", "cancun", "prague", "osaka"};
    char hex[2 * sizeof(coh_addr_t) + 1];
    char balance[COH_U256_DEC_SZ];
    coh_u256_t each = fund();
    coh_u256_to_dec(balance, &each);

    coh_buf_printf(
        out, "{\n  \"config\": {\n    \"chainId\": %llu", (unsigned long long)COH_BENCH_CHAIN_ID);
    for (size_t i = 0; i < COH_CNT(block_forks); i++) {
        coh_buf_printf(out, ",\n    \"%sBlock\": 0", block_forks[i]);
    }
    coh_buf_printf(out, ",\n    \"terminalTotalDifficulty\": 0");
    for (size_t i = 0; i < COH_CNT(time_forks); i++) {
        coh_buf_printf(out, ",\n    \"%sTime\": 0", time_forks[i]);
    }
    coh_hex_encode(hex, accounts->coinbase.b, sizeof(accounts->coinbase.b));
    coh_buf_printf(out,
                   "\n  },\n  \"timestamp\": \"0x0\",\n  \"difficulty\": \"0x0\",\n  \"gasLimit\": "
                   "\"0x%llx\",\n"
                   "  \"baseFeePerGas\": \"0x%llx\",\n  \"coinbase\": \"0x%s\",\n  \"alloc\": {",
                   (unsigned long long)GENESIS_GAS_LIMIT,
                   (unsigned long long)GWEI,
                   hex);
    for (size_t i = 0; i < accounts->cnt; i++) {
        coh_hex_encode(hex, accounts->v[i].addr.b, sizeof(accounts->v[i].addr.b));
        coh_buf_printf(
            out, "%s\n    \"0x%s\": {\"balance\": \"%s\"}", i == 0 ? "" : ",", hex, balance);
    }
    coh_buf_printf(out, "\n  }\n}\n");
}

/* Accounts in the order of their shards, to draw from one shard or from all others in one step. */
typedef struct {
    uint32_t *by_shard;
    size_t *first; /* by shard; [shard_cnt] is the end */
    uint32_t shard_cnt;
    size_t cnt;
} groups_t;

static groups_t groups_new(coh_bench_accounts_t const *accounts)
{
    groups_t g = {.cnt = accounts->cnt};
    for (size_t i = 0; i < accounts->cnt; i++) {
        g.shard_cnt = COH_MAX(g.shard_cnt, (uint32_t)accounts->v[i].shard + 1);
    }
    g.by_shard = coh_calloc(accounts->cnt, sizeof(*g.by_shard));
    g.first    = coh_calloc((size_t)g.shard_cnt + 2, sizeof(*g.first));
    for (size_t i = 0; i < accounts->cnt; i++) {
        g.first[accounts->v[i].shard + 2]++;
    }
    for (uint32_t s = 0; s < g.shard_cnt; s++) {
        g.first[s + 2] += g.first[s + 1];
    }
    for (size_t i = 0; i < accounts->cnt; i++) {
        g.by_shard[g.first[accounts->v[i].shard + 1]++] = (uint32_t)i;
    }
    return g;
}

/* An account on this shard, or on any other; other than self where there is another. */
static uint32_t groups_draw(groups_t const *g,
                            coh_rng_t *rng,
                            uint32_t shard,
                            bool elsewhere,
                            uint32_t self)
{
    size_t first = g->first[shard];
    size_t here  = g->first[shard + 1] - first;
    size_t there = g->cnt - here;
    if (elsewhere && there > 0) {
        size_t at = coh_rng_below(rng, there);
        return g->by_shard[at < first ? at : at + here];
    }
    uint32_t drawn = g->by_shard[first + coh_rng_below(rng, here)];
    while (drawn == self && here > 1) {
        drawn = g->by_shard[first + coh_rng_below(rng, here)];
    }
    return drawn;
}

void coh_bench_load_plan(coh_bench_load_t *out,
                         coh_bench_accounts_t const *accounts,
                         uint64_t seed,
                         size_t cnt,
                         uint32_t cross_percent,
                         coh_bench_spot_t spot)
{
    COH_ASSERT(accounts->cnt >= 2 && cross_percent <= 100);
    *out             = (coh_bench_load_t){.cnt = cnt, .v = coh_calloc(cnt, sizeof(*out->v))};
    groups_t groups  = groups_new(accounts);
    uint64_t *nonces = coh_calloc(accounts->cnt, sizeof(*nonces));
    for (size_t i = 0; i < accounts->cnt; i++) {
        nonces[i] = accounts->v[i].nonce;
    }
    coh_rng_t rng;
    coh_rng_seed(&rng, seed);
    for (size_t i = 0; i < cnt; i++) {
        coh_bench_tx_t *tx = &out->v[i];
        bool cross         = (i + 1) * cross_percent / 100 > i * cross_percent / 100;
        /* The hot account is the first; else one end is drawn freely, and the other to suit it. */
        uint32_t one = spot == COH_BENCH_UNIFORM ? (uint32_t)coh_rng_below(&rng, accounts->cnt) : 0;
        uint32_t other = groups_draw(&groups, &rng, accounts->v[one].shard, cross, one);
        tx->from       = spot == COH_BENCH_HOT_TO ? other : one;
        tx->to         = spot == COH_BENCH_HOT_TO ? one : other;
        tx->is_cross   = accounts->v[tx->from].shard != accounts->v[tx->to].shard;
        tx->nonce      = nonces[tx->from]++;
        tx->value      = GWEI + coh_rng_below(&rng, 1000 * GWEI);
        tx->type       = (uint8_t)(i % 3);
        tx->gas = tx->type == COH_TX_ACCESS_LIST ? GAS_TRANSFER + GAS_ACCESS_ADDR : GAS_TRANSFER;
        out->cross_cnt += tx->is_cross;
    }
    free(nonces);
    free(groups.by_shard);
    free(groups.first);
}

typedef struct {
    coh_bench_load_t *load;
    coh_bench_accounts_t const *accounts;
    uint32_t thread_cnt;
    _Atomic size_t done;     /* for the progress line only: relaxed */
    _Atomic uint32_t leaves; /* threads that finished */
} sign_job_t;

/* Raw forms of a chunk are hashed together with the multi-buffer Keccak. */
#define SIGN_CHUNK 64u

/* The access list of one address without keys: [[address, []]], as its RLP payload. */
static void put_access_list(coh_buf_t *out, coh_addr_t const *addr)
{
    coh_rlp_put_string(out, addr->b, sizeof(addr->b));
    coh_rlp_put_list_header(out, 0);
    coh_rlp_wrap_list(out, 0);
}

static void sign_piece(void *arg, uint32_t thread)
{
    sign_job_t *job        = arg;
    coh_bench_load_t *load = job->load;
    coh_buf_t *bytes       = &load->bytes[thread];
    coh_buf_t access       = COH_BUF_INIT;
    size_t first           = load->cnt * thread / job->thread_cnt;
    size_t end             = load->cnt * (thread + 1) / job->thread_cnt;
    for (size_t at = first; at < end; at += SIGN_CHUNK) {
        size_t cnt = COH_MIN(end - at, SIGN_CHUNK);
        size_t offsets[SIGN_CHUNK + 1];
        for (size_t i = 0; i < cnt; i++) {
            coh_bench_tx_t const *plan = &load->v[at + i];
            coh_tx_t tx                = {
                               .type         = (coh_tx_type_t)plan->type,
                               .has_chain_id = true,
                               .chain_id     = COH_BENCH_CHAIN_ID,
                               .nonce        = plan->nonce,
                               .gas_limit    = plan->gas,
                               .max_fee      = coh_bench_max_fee(),
                               .max_tip =
                    plan->type == COH_TX_DYNAMIC_FEE ? coh_bench_max_tip() : coh_bench_max_fee(),
                               .value = coh_u256(plan->value),
                               .to    = job->accounts->v[plan->to].addr,
            };
            if (plan->type == COH_TX_ACCESS_LIST) {
                coh_buf_clear(&access);
                put_access_list(&access, &tx.to);
                tx.access_list     = coh_buf_bytes(&access);
                tx.access_addr_cnt = 1;
            }
            COH_ASSERT(coh_tx_sign(&tx, job->accounts->v[plan->from].secret) == COH_OK);
            offsets[i] = bytes->n;
            coh_tx_encode(bytes, &tx);
        }
        offsets[cnt] = bytes->n;
        coh_bytes_t in[SIGN_CHUNK];
        coh_hash_t hashes[SIGN_CHUNK];
        for (size_t i = 0; i < cnt; i++) {
            in[i] = coh_bytes(bytes->p + offsets[i], offsets[i + 1] - offsets[i]);
        }
        coh_keccak256_many(hashes, in, cnt);
        for (size_t i = 0; i < cnt; i++) {
            load->v[at + i].hash  = hashes[i];
            load->v[at + i].raw.n = in[i].n;
        }
        atomic_fetch_add_explicit(&job->done, cnt, memory_order_relaxed);
    }
    /* The buffer no longer moves. */
    size_t offset = 0;
    for (size_t i = first; i < end; i++) {
        load->v[i].raw.p = bytes->p + offset;
        offset += load->v[i].raw.n;
    }
    coh_buf_free(&access);
    atomic_fetch_add_explicit(&job->leaves, 1, memory_order_release);
}

void coh_bench_load_sign(coh_bench_load_t *load,
                         coh_bench_accounts_t const *accounts,
                         uint32_t thread_cnt)
{
    load->bytes        = coh_calloc(thread_cnt, sizeof(*load->bytes));
    load->bytes_cnt    = thread_cnt;
    sign_job_t job     = {.load = load, .accounts = accounts, .thread_cnt = thread_cnt};
    piece_t *pieces    = make_pieces(sign_piece, &job, thread_cnt);
    pthread_t *threads = start_threads(pieces, thread_cnt);
    while (atomic_load_explicit(&job.leaves, memory_order_acquire) < thread_cnt) {
        usleep(20000);
        size_t done = atomic_load_explicit(&job.done, memory_order_relaxed);
        coh_bench_progress(false,
                           "signing   %5.1f %% of %zu transactions",
                           100.0 * (double)done / (double)load->cnt,
                           load->cnt);
    }
    join_threads(threads, pieces, thread_cnt);
    coh_bench_progress(true, "signed    %zu transactions", load->cnt);
}

void coh_bench_load_free(coh_bench_load_t *load)
{
    for (uint32_t i = 0; i < load->bytes_cnt; i++) {
        coh_buf_free(&load->bytes[i]);
    }
    free(load->bytes);
    free(load->v);
    *load = (coh_bench_load_t){0};
}

typedef struct {
    coh_hash_t digest;
    coh_sig_t sig;
    coh_addr_t signer;
    uint64_t end_us;
    _Atomic uint64_t recovered;
} rate_job_t;

static void rate_piece(void *arg, uint32_t thread)
{
    (void)thread;
    rate_job_t *job = arg;
    uint64_t cnt    = 0;
    while (coh_clock_mono_us() < job->end_us) {
        for (int i = 0; i < 64; i++) {
            coh_addr_t addr;
            COH_ASSERT(coh_ecdsa_recover(&addr, &job->digest, &job->sig) == COH_OK);
            COH_ASSERT(coh_addr_eq(&addr, &job->signer));
            cnt++;
        }
    }
    atomic_fetch_add(&job->recovered, cnt);
}

double coh_bench_recover_rate(uint32_t thread_cnt)
{
    rate_job_t job    = {.digest = derive("digest", 0, 0)};
    coh_hash_t secret = derive("calibration", 0, 0);
    COH_ASSERT(coh_ecdsa_sign(&job.sig, &job.digest, secret.b) == COH_OK);
    COH_ASSERT(coh_ecdsa_address(&job.signer, secret.b) == COH_OK);
    uint64_t start  = coh_clock_mono_us();
    job.end_us      = start + 1000000;
    piece_t *pieces = make_pieces(rate_piece, &job, thread_cnt);
    join_threads(start_threads(pieces, thread_cnt), pieces, thread_cnt);
    double elapsed = (double)(coh_clock_mono_us() - start) / 1e6;
    return (double)atomic_load(&job.recovered) / elapsed;
}
