/* Sealing: header fields by fork, roots of encodings spelt out by hand, the decision record there and back, and every kind of damage to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/alloc.h"
#include "common/base/rng.h"
#include "common/codec/receipt.h"
#include "common/crypto/keccak.h"
#include "common/trie/root.h"
#include "coordinator/chain.h"
#include "coordinator/decision_log.h"
#include "coordinator/seal.h"
#include "coordinator/txmap.h"

#define CNT 150u /* more than two batches of 64 */

typedef struct {
    coh_buf_t raws[CNT];
    coh_tx_t txs[CNT];
    coh_hash_t hashes[CNT];
    coh_addr_t senders[CNT];
    coh_block_tx_t block[CNT];
    coh_block_env_t env;
    coh_sealed_t *genesis;
} fixture_t;

static int setup(void **state)
{
    fixture_t *f = coh_calloc(1, sizeof(*f));
    f->env       = (coh_block_env_t){
              .number    = 1,
              .fork      = COH_FORK_SHANGHAI,
              .timestamp = 1700000000,
              .gas_limit = 30000000,
              .base_fee  = coh_u256(100),
              .coinbase  = {{0xcb}},
    };
    for (uint32_t i = 0; i < CNT; i++) {
        coh_tx_t tx = {
            .type         = COH_TX_DYNAMIC_FEE,
            .has_chain_id = true,
            .chain_id     = 1,
            .nonce        = i,
            .gas_limit    = 21000,
            .max_fee      = coh_u256(1000 + i),
            .max_tip      = coh_u256(i),
            .is_create    = i == 3,
            .to           = {{0x70, (uint8_t)i}},
        };
        /* Any signature will do: sealing does not look at it. */
        memset(tx.r, 1, sizeof(tx.r));
        memset(tx.s, 1, sizeof(tx.s));
        coh_tx_encode(&f->raws[i], &tx);
        assert_int_equal(coh_tx_decode(&f->txs[i], coh_buf_bytes(&f->raws[i])), COH_TX_OK);
        coh_keccak256(&f->hashes[i], f->raws[i].p, f->raws[i].n);
        f->senders[i] = (coh_addr_t){{0x5e, (uint8_t)i}};
        f->block[i]   = (coh_block_tx_t){
              .tx       = &f->txs[i],
              .hash     = &f->hashes[i],
              .sender   = &f->senders[i],
              .reported = true,
              .status   = 1,
              .gas_used = 21000 + i,
        };
    }
    coh_genesis_t genesis = {.gas_limit = 30000000, .hash = {{0x9e}}};
    f->genesis            = coh_seal_genesis(&genesis);
    *state                = f;
    return 0;
}

static int teardown(void **state)
{
    fixture_t *f = *state;
    for (uint32_t i = 0; i < CNT; i++) {
        coh_buf_free(&f->raws[i]);
    }
    coh_sealed_free(f->genesis);
    free(f);
    return 0;
}

static coh_sealed_t *seal(fixture_t *f)
{
    coh_buf_t scratch = COH_BUF_INIT;
    coh_hash_t root   = {{77}};
    coh_sealed_t *s   = coh_seal(&f->env, f->genesis, f->block, CNT, &root, &scratch);
    coh_buf_free(&scratch);
    return s;
}

static void seal_leaves_out_the_invalid_and_numbers_the_rest(void **state)
{
    fixture_t *f         = *state;
    f->block[1].verdict  = COH_TX_FUNDS;
    f->block[70].verdict = COH_TX_NONCE_TOO_HIGH;
    coh_sealed_t *s      = seal(f);
    assert_int_equal(s->tx_cnt, CNT - 2);
    uint64_t gas = 0;
    uint32_t at  = 0;
    coh_bytes_t raws[CNT];
    for (uint32_t i = 0; i < CNT; i++) {
        if (i == 1 || i == 70) {
            continue;
        }
        coh_op_receipt_t const *r = &s->receipts[at];
        gas += 21000 + i;
        assert_memory_equal(r->tx_hash.b, f->hashes[i].b, 32);
        assert_int_equal(r->tx_idx, at);
        assert_int_equal(r->cumulative_gas, gas);
        assert_int_equal(r->effective_price.w[0], 100 + i); /* base fee + tip, below the cap */
        raws[at++] = coh_buf_bytes(&f->raws[i]);
    }
    assert_int_equal(s->header.gas_used, gas);
    assert_int_equal(s->burnt.w[0], 100 * gas);
    assert_int_equal(s->burnt_total.w[0], 100 * gas);
    coh_hash_t want;
    coh_root_list(&want, raws, at);
    assert_memory_equal(s->header.tx_root.b, want.b, 32);
    coh_sealed_free(s);
}

/* The list's root and the filter's bits are tested against published values elsewhere (test_tries, test_receipt). */
static void seal_commits_to_each_receipt(void **state)
{
    fixture_t *f = *state;
    /* One log of address 0x5e00..00 without topics or data: [[0x5e00..00, [], ""]] */
    static uint8_t const logs[25] = {0xd8, 0xd7, 0x94, 0x5e, [23] = 0xc0, [24] = 0x80};
    f->block[5].logs              = coh_bytes(logs, sizeof(logs));
    f->block[9].status            = 0;
    coh_sealed_t *s               = seal(f);
    /* The encoding spelt out: type 2, then [status, gas so far, bloom, logs]. */
    static uint8_t text[CNT][320];
    coh_bytes_t values[CNT];
    uint64_t gas = 0;
    for (uint32_t i = 0; i < CNT; i++) {
        gas += 21000 + i;
        uint32_t gas_sz = gas < 65536 ? 2 : 3;
        uint32_t log_sz = i == 5 ? sizeof(logs) : 1;
        uint32_t body   = 1 + 1 + gas_sz + 3 + COH_BLOOM_SZ + log_sz;
        uint8_t *p      = text[i];
        *p++            = 2;
        *p++            = 0xf9;
        *p++            = (uint8_t)(body >> 8);
        *p++            = (uint8_t)body;
        *p++            = i == 9 ? 0x80 : 1;
        *p++            = (uint8_t)(0x80 + gas_sz);
        for (uint32_t k = gas_sz; k > 0; k--) {
            *p++ = (uint8_t)(gas >> (8 * (k - 1)));
        }
        memcpy(p, "\xb9\x01\x00", 3);
        p += 3;
        memset(p, 0, COH_BLOOM_SZ);
        if (i == 5) {
            uint8_t own[COH_BLOOM_SZ] = {0};
            coh_bloom_add(own, logs + 3, 20);
            memcpy(p, own, COH_BLOOM_SZ);
            assert_memory_equal(s->header.bloom, own, COH_BLOOM_SZ);
        }
        p += COH_BLOOM_SZ;
        if (i == 5) {
            memcpy(p, logs, sizeof(logs));
        } else {
            *p = 0xc0;
        }
        p += log_sz;
        values[i] = coh_bytes(text[i], (size_t)(p - text[i]));
    }
    coh_hash_t want;
    coh_root_list(&want, values, CNT);
    assert_memory_equal(s->header.receipts_root.b, want.b, 32);
    coh_sealed_free(s);
}

static void seal_follows_the_fork_and_the_parent(void **state)
{
    fixture_t *f    = *state;
    coh_sealed_t *s = seal(f);
    coh_header_t h;
    coh_fork_t fork;
    assert_int_equal(coh_header_decode(&h, &fork, coh_buf_bytes(&s->header_rlp)), COH_OK);
    assert_int_equal(fork, COH_FORK_SHANGHAI);
    assert_memory_equal(h.parent_hash.b, f->genesis->hash.b, 32);
    assert_memory_equal(h.withdrawals_root.b, COH_EMPTY_TRIE_ROOT.b, 32);
    assert_memory_equal(h.extra, "cohort", 6);
    assert_int_equal(h.extra_sz, 6);
    coh_hash_t want = {{77}};
    assert_memory_equal(h.state_root.b, want.b, 32);
    want = coh_header_hash(&h, fork);
    assert_memory_equal(s->hash.b, want.b, 32);
    coh_sealed_free(s);
    f->env.fork = COH_FORK_PRAGUE;
    s           = seal(f);
    assert_int_equal(coh_header_decode(&h, &fork, coh_buf_bytes(&s->header_rlp)), COH_OK);
    assert_int_equal(fork, COH_FORK_PRAGUE);
    assert_memory_equal(h.requests_hash.b, COH_EMPTY_REQUESTS_HASH.b, 32);
    coh_sealed_free(s);
}

/* keccak256(rlp([0x6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0, n]))[12:], the known example of a contract's address. */
static void seal_names_the_created_contract(void **state)
{
    fixture_t *f                    = *state;
    static uint8_t const sender[20] = {0x6a, 0xc7, 0xea, 0x33, 0xf8, 0x83, 0x1e, 0xa9, 0xdc, 0xc5,
                                       0x33, 0x93, 0xaa, 0xa8, 0x8b, 0x25, 0xa7, 0x85, 0xdb, 0xf0};
    static uint8_t const nonce0[20] = {0xcd, 0x23, 0x4a, 0x47, 0x1b, 0x72, 0xba, 0x2f, 0x1c, 0xcf,
                                       0x0a, 0x70, 0xfc, 0xab, 0xa6, 0x48, 0xa5, 0xee, 0xcd, 0x8d};
    memcpy(f->senders[3].b, sender, 20);
    f->txs[3].nonce = 0;
    coh_sealed_t *s = seal(f);
    assert_memory_equal(s->receipts[3].to.b, nonce0, 20);
    assert_memory_equal(s->receipts[4].to.b, f->txs[4].to.b, 20);
    coh_sealed_free(s);
}

static coh_buf_t record_of(fixture_t *f, coh_sealed_t const *s)
{
    static uint64_t const last_redo[2] = {1, 0};
    coh_decision_t d                   = {
                          .number      = 1,
                          .fork        = f->env.fork,
                          .burnt       = s->burnt,
                          .burnt_total = s->burnt_total,
                          .shard_cnt   = 2,
                          .last_redo   = last_redo,
                          .tx_cnt      = CNT,
                          .header      = coh_buf_bytes(&s->header_rlp),
    };
    for (uint32_t i = 0; i < CNT; i++) {
        d.raw_bytes += f->raws[i].n;
    }
    coh_buf_t out = COH_BUF_INIT;
    uint8_t *p    = coh_buf_extend(&out, coh_decision_size(&d));
    coh_decision_cursor_t cur;
    coh_decision_begin(&cur, p, &d);
    for (uint32_t i = 0; i < CNT; i++) {
        coh_decision_tx_t tx = {.raw      = coh_buf_bytes(&f->raws[i]),
                                .sender   = f->senders[i],
                                .status   = 1,
                                .gas_used = f->block[i].gas_used};
        coh_decision_put_tx(&cur, &tx);
    }
    coh_decision_end(&cur, p);
    return out;
}

static void seal_restores_a_block_from_its_record(void **state)
{
    fixture_t *f    = *state;
    coh_sealed_t *s = seal(f);
    coh_buf_t rec   = record_of(f, s);
    coh_sealed_t *r = NULL;
    assert_int_equal(coh_seal_restore(&r, coh_buf_bytes(&rec)), COH_OK);
    assert_memory_equal(r->hash.b, s->hash.b, 32);
    assert_int_equal(r->tx_cnt, s->tx_cnt);
    for (uint32_t i = 0; i < CNT; i++) {
        coh_op_receipt_t const *a = &r->receipts[i];
        coh_op_receipt_t const *b = &s->receipts[i];
        assert_memory_equal(a->tx_hash.b, b->tx_hash.b, 32);
        assert_memory_equal(a->from.b, b->from.b, 20);
        assert_memory_equal(a->to.b, b->to.b, 20);
        assert_true(coh_u256_eq(&a->effective_price, &b->effective_price));
        assert_int_equal(a->cumulative_gas, b->cumulative_gas);
        assert_int_equal(a->gas_used, b->gas_used);
        assert_int_equal(a->block, 1);
    }
    coh_decision_t d;
    coh_decision_cursor_t cur;
    assert_int_equal(coh_decision_read(&d, &cur, coh_buf_bytes(&rec)), COH_OK);
    assert_int_equal(coh_decision_last_redo(&cur, 0), 1);
    assert_int_equal(coh_decision_last_redo(&cur, 1), 0);
    coh_sealed_free(r);
    coh_sealed_free(s);
    coh_buf_free(&rec);
}

static void decision_log_finds_damage(void **state)
{
    fixture_t *f    = *state;
    coh_sealed_t *s = seal(f);
    coh_buf_t rec   = record_of(f, s);
    coh_rng_t rng;
    coh_rng_seed(&rng, 4711);
    coh_sealed_t *r = NULL;
    for (int i = 0; i < 300; i++) {
        size_t at   = (size_t)coh_rng_below(&rng, rec.n);
        uint8_t bit = (uint8_t)(1u << coh_rng_below(&rng, 8));
        rec.p[at] ^= bit;
        assert_int_equal(coh_seal_restore(&r, coh_buf_bytes(&rec)), COH_ECORRUPT);
        rec.p[at] ^= bit;
    }
    for (size_t n = 0; n < rec.n; n += 97) {
        /* A copy of its own size, so that asan sees a read past the end. */
        uint8_t *cut = coh_calloc(n, 1);
        memcpy(cut, rec.p, n);
        assert_int_equal(coh_seal_restore(&r, coh_bytes(cut, n)), COH_ECORRUPT);
        free(cut);
    }
    coh_sealed_free(s);
    coh_buf_free(&rec);
}

static void txmap_sorts_and_finds(void **state)
{
    (void)state;
    coh_txmap_t map;
    coh_txmap_init(&map, 99);
    coh_rng_t rng;
    coh_rng_seed(&rng, 5);
    coh_hash_t probe[3000];
    for (uint32_t i = 0; i < 3000; i++) {
        for (int k = 0; k < 4; k++) {
            coh_store_u64_le(probe[i].b + 8 * k, coh_rng_next(&rng));
        }
        probe[i].b[0] &= 3; /* crowd the radix */
        coh_txmap_put(&map, &probe[i], i, i * 2);
    }
    coh_txmap_put(&map, &probe[7], 1000000, 1);
    assert_int_equal(map.cnt, 3000);
    for (uint32_t i = 0; i < 3000; i++) {
        assert_int_equal(coh_txmap_get(&map, &probe[i])->block, i == 7 ? 1000000 : i);
    }
    assert_null(coh_txmap_get(&map, &(coh_hash_t){{0xff}}));
    uint32_t *order = coh_txmap_sorted(&map);
    for (uint32_t i = 1; i < 3000; i++) {
        assert_true(memcmp(map.entries[order[i - 1]].hash.b, map.entries[order[i]].hash.b, 32) < 0);
    }
    free(order);
    coh_txmap_clear(&map);
    assert_null(coh_txmap_get(&map, &probe[0]));
    coh_txmap_fini(&map);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    struct CMUnitTest const tests[] = {
        CASE(seal_leaves_out_the_invalid_and_numbers_the_rest),
        CASE(seal_commits_to_each_receipt),
        CASE(seal_follows_the_fork_and_the_parent),
        CASE(seal_names_the_created_contract),
        CASE(seal_restores_a_block_from_its_record),
        CASE(decision_log_finds_damage),
        cmocka_unit_test(txmap_sorts_and_finds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
