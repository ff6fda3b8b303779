#include "tests/mpi/traffic.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/clock.h"

#define BATCH         100u
#define WAIT_US_MAX   UINT64_C(20000000)
#define GAS_LIMIT     200000u
#define SLOTS_TOUCHED 2000u

void coh_test_traffic_genesis(coh_test_cluster_t const *c, uint32_t slot_cnt)
{
    coh_test_sh(
        "slots=$(seq -f '\"0x%%g\":\"0x2a\"' -s , 1 %u) && "
        "sed -i 's/\"alloc\": *{/&\"0x%s\":{\"balance\":\"0x1\",\"code\":\"0x602035600035550"
        "0\",\"storage\":{'\"$slots\"'}},/' '%s'",
        slot_cnt,
        COH_TEST_TRAFFIC_STORE,
        c->genesis);
}

/* Deploys `code`, a counter of its calls that is different for each salt: PUSH4 salt POP, then SLOAD(0) + 1 -> slot 0. */
static void put_creation(coh_buf_t *data, uint32_t salt)
{
    static uint8_t const counter[] = {0x50, 0x60, 0, 0x54, 0x60, 1, 0x01, 0x60, 0, 0x55, 0x00};
    uint8_t code[5 + sizeof(counter)];
    code[0] = 0x63; /* PUSH4 */
    coh_store_u32_be(code + 1, salt);
    memcpy(code + 5, counter, sizeof(counter));
    /* PUSH16 code PUSH0 MSTORE, PUSH1 16 PUSH1 16 RETURN: code is the word's lower half. */
    _Static_assert(sizeof(code) == 16, "PUSH16");
    coh_buf_put_u8(data, 0x6f);
    coh_buf_put(data, code, sizeof(code));
    static uint8_t const rest[] = {0x5f, 0x52, 0x60, 16, 0x60, 16, 0xf3};
    coh_buf_put(data, rest, sizeof(rest));
}

/* One transaction of account from. */
static void put_tx(coh_buf_t *raw,
                   coh_bench_accounts_t *accounts,
                   size_t from,
                   coh_rng_t *rng,
                   coh_addr_t *created)
{
    coh_bench_account_t *sender = &accounts->v[from];
    coh_buf_t data              = COH_BUF_INIT;
    coh_tx_t tx                 = {
                        .type      = COH_TX_DYNAMIC_FEE,
                        .chain_id  = COH_BENCH_CHAIN_ID,
                        .nonce     = sender->nonce,
                        .gas_limit = GAS_LIMIT,
                        .max_fee   = coh_bench_max_fee(),
                        .max_tip   = coh_bench_max_tip(),
    };
    uint64_t kind = coh_rng_below(rng, 10);
    if (kind < 4) {
        tx.to    = accounts->v[coh_rng_below(rng, accounts->cnt)].addr;
        tx.value = coh_u256(1 + coh_rng_below(rng, 1000000));
    } else if (kind < 7) { /* the store */
        uint8_t *words  = coh_buf_extend(&data, 64);
        coh_u256_t slot = coh_u256(1 + coh_rng_below(rng, SLOTS_TOUCHED));
        coh_u256_t word = coh_u256(coh_rng_below(rng, 3)); /* 0 clears it */
        coh_u256_to_be(words, &slot);
        coh_u256_to_be(words + 32, &word);
        memcpy(tx.to.b, (uint8_t[20]){[17] = 0x57, 0x01, 0xed}, 20);
    } else if (kind < 8) {
        tx.is_create = true;
        put_creation(&data, (uint32_t)coh_rng_next(rng));
        *created = coh_tx_created_address(&sender->addr, sender->nonce);
    } else { /* a contract created before, or nobody */
        tx.to = *created;
    }
    tx.data      = coh_buf_bytes(&data);
    coh_err_t rc = coh_tx_sign(&tx, sender->secret);
    COH_ASSERT(rc == COH_OK);
    coh_tx_encode(raw, &tx);
    sender->nonce++;
    coh_buf_free(&data);
}

/* Hands in the next batch; those that were not taken are an error of the test. */
static void submit(coh_client_t *client, coh_buf_t const *raws, uint32_t cnt)
{
    coh_bytes_t v[BATCH];
    for (uint32_t i = 0; i < cnt; i++) {
        v[i] = coh_buf_bytes(&raws[i]);
    }
    coh_op_submit_request_t request = {.raws = {.v = v, .cnt = cnt}};
    coh_op_submit_answer_t answer;
    coh_err_t rc = coh_client_submit(client, &answer, &request);
    COH_ASSERT(rc == COH_OK && answer.txs.cnt == cnt);
    for (uint32_t i = 0; i < cnt; i++) {
        COH_ASSERT(answer.txs.v[i].err == 0);
    }
}

void coh_test_traffic(coh_test_cluster_t const *c,
                      coh_bench_accounts_t *accounts,
                      coh_test_acks_t *acks,
                      coh_rng_t *rng,
                      size_t cnt,
                      size_t ack_cnt,
                      void (*each)(void *arg),
                      void *arg)
{
    coh_client_t *client = coh_test_client(c, 20000);
    coh_client_subscription_t *subscription;
    coh_err_t rc = coh_client_subscribe(&subscription, c->publications, "R", 64u << 20, NULL);
    COH_ASSERT(rc == COH_OK);
    (void)coh_test_refresh(client, accounts); /* by then the subscription stands */
    size_t wanted      = acks->cnt + ack_cnt;
    coh_addr_t created = accounts->v[0].addr;
    coh_pub_t pub;
    size_t next = 0;
    for (size_t left = cnt; left != 0;) {
        coh_buf_t raws[BATCH] = {0};
        uint32_t n            = (uint32_t)COH_MIN(left, (size_t)BATCH);
        for (uint32_t i = 0; i < n; i++) {
            put_tx(&raws[i], accounts, next++ % accounts->cnt, rng, &created);
        }
        submit(client, raws, n);
        left -= n;
        for (uint32_t i = 0; i < n; i++) {
            coh_buf_free(&raws[i]);
        }
        while (coh_client_next(subscription, &pub, 0) == COH_OK) {
            coh_test_acks_add(acks, &pub);
        }
        if (each != NULL) {
            each(arg);
        }
    }
    uint64_t give_up_us = coh_clock_mono_us() + WAIT_US_MAX;
    while (acks->cnt < wanted && coh_clock_mono_us() < give_up_us) {
        if (coh_client_next(subscription, &pub, 20) == COH_OK) {
            coh_test_acks_add(acks, &pub);
        }
    }
    coh_client_unsubscribe(subscription);
    coh_client_close(client);
}
