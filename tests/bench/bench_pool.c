/* bench_pool: nanoseconds per transaction to add to the pool, to take into a block and to commit,
   with 100 000 senders in random order and a backlog that keeps most of them queued. Prints one
   line of JSON for each order. */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/rng.h"
#include "coordinator/pool.h"

enum {
    SENDERS = 100000,
    BLOCK   = 8192,
    BACKLOG = 14 * BLOCK,
    ROUNDS  = 60,
    RAW_SZ  = 115,
    AHEAD   = 24
};

static coh_rng_t rng;
static uint8_t raw[RAW_SZ];
static coh_addr_t addrs[SENDERS];
static uint64_t nonces[SENDERS];

/* One block's worth of transactions, as the gateway would hand them over: decoded, hashed, sender
   recovered. */
typedef struct {
    coh_tx_t tx;
    coh_hash_t hash;
    coh_addr_t sender;
} arrived_t;

static void random_bytes(void *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        ((uint8_t *)p)[i] = (uint8_t)coh_rng_next(&rng);
    }
}

static void arrive(arrived_t *out)
{
    for (size_t i = 0; i < BLOCK; i++) {
        uint32_t s = (uint32_t)coh_rng_below(&rng, SENDERS);
        out[i]     = (arrived_t){.sender = addrs[s]};
        out[i].tx  = (coh_tx_t){
             .raw       = coh_bytes(raw, RAW_SZ),
             .type      = COH_TX_DYNAMIC_FEE,
             .nonce     = nonces[s]++,
             .gas_limit = 21000,
             .max_fee   = coh_u256(UINT64_C(2000000000)),
             .max_tip   = coh_u256(coh_rng_below(&rng, UINT64_C(1000000000))),
             .value     = coh_u256(1),
        };
        random_bytes(&out[i].hash, sizeof(out[i].hash));
    }
}

static void run(char const *name, coh_pool_order_t order)
{
    static coh_pool_tx_t *taken[BLOCK];
    arrived_t *arrived = coh_calloc(BLOCK, sizeof(*arrived));
    coh_pool_t *pool =
        coh_pool_new(&(coh_pool_limits_t){.tx_max = 131072, .sender_tx_max = 4096, .order = order});
    coh_u256_t const balance = {{0, 0, 1, 0}};
    coh_u256_t const fee     = coh_u256(UINT64_C(1000000000));
    coh_u256_t const spent   = coh_u256(1);
    memset(nonces, 0, sizeof(nonces));
    for (size_t i = 0; i < SENDERS; i++) {
        random_bytes(&addrs[i], sizeof(addrs[i]));
        coh_pool_set_account(pool, &addrs[i], 0, &balance, false, 0);
    }
    uint64_t add_ns    = 0;
    uint64_t take_ns   = 0;
    uint64_t commit_ns = 0;
    for (int round = -BACKLOG / BLOCK; round < ROUNDS; round++) {
        arrive(arrived);
        uint64_t at_start = coh_clock_thread_cpu_ns();
        for (size_t i = 0; i < BLOCK; i++) {
            if (i + AHEAD < BLOCK) {
                coh_pool_prefetch(pool, &arrived[i + AHEAD].hash, &arrived[i + AHEAD].sender);
            }
            bool stale;
            COH_ASSERT(coh_pool_add(pool,
                                    &arrived[i].tx,
                                    &arrived[i].hash,
                                    &arrived[i].sender,
                                    COH_FORK_PRAGUE,
                                    1,
                                    1,
                                    &stale) == COH_TX_OK);
        }
        uint64_t at_added = coh_clock_thread_cpu_ns();
        if (round < 0) {
            continue;
        }
        coh_pool_take_begin(pool, &fee, &(coh_u256_t){{0}});
        for (size_t i = 0; i < BLOCK; i++) {
            taken[i] = coh_pool_take(pool);
            COH_ASSERT(taken[i] != NULL);
        }
        coh_pool_take_end(pool);
        uint64_t at_taken = coh_clock_thread_cpu_ns();
        for (size_t i = 0; i < BLOCK; i++) {
            if (i + AHEAD < BLOCK) {
                coh_pool_prefetch(pool, &taken[i + AHEAD]->hash, &taken[i + AHEAD]->sender);
            }
            coh_pool_committed(pool, taken[i], &spent);
        }
        commit_ns += coh_clock_thread_cpu_ns() - at_taken;
        take_ns += at_taken - at_added;
        add_ns += at_added - at_start;
    }
    double txs = (double)BLOCK * ROUNDS;
    printf("{\"bench\":\"pool\",\"order\":\"%s\",\"senders\":%d,\"backlog\":%d,\"add_ns\":%.0f,"
           "\"take_ns\":%.0f,\"commit_ns\":%.0f,\"total_ns\":%.0f}\n",
           name,
           SENDERS,
           BACKLOG,
           (double)add_ns / txs,
           (double)take_ns / txs,
           (double)commit_ns / txs,
           (double)(add_ns + take_ns + commit_ns) / txs);
    coh_pool_free(pool);
    free(arrived);
}

int main(void)
{
    coh_rng_seed(&rng, 1);
    random_bytes(raw, sizeof(raw));
    run("arrival", COH_POOL_ARRIVAL);
    run("tip", COH_POOL_TIP);
    return 0;
}
