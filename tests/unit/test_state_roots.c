/* The coordinator's side of state roots: what shards may say of buckets, roots of blocks and of transactions, going back, proofs of older blocks. Expected roots are built at once
   by coh_root_sorted from the accounts themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/codec/block.h"
#include "common/trie/root.h"
#include "coordinator/state_roots.h"

enum { KEYS = 12, BLOCKS = 9 };

/* Keys that share one, two or three nibbles, so that buckets are lifted and branches come and go; two in a bucket never. */
static coh_hash_t key_of(uint32_t i)
{
    static uint16_t const buckets[KEYS] = {
        0x000, 0x001, 0x010, 0x100, 0x101, 0x7ff, 0x800, 0x801, 0xabc, 0xfe0, 0xfff, 0xffe};
    coh_hash_t key = {{(uint8_t)(buckets[i] >> 4), (uint8_t)(buckets[i] << 4), 0x55}};
    key.b[31]      = (uint8_t)i;
    return key;
}

static uint32_t bucket_of(coh_hash_t const *key)
{
    return (uint32_t)key->b[0] << 4 | key->b[1] >> 4;
}

/* A state: by key its value, 0 for none. */
typedef struct {
    uint8_t v[KEYS];
} state_t;

static coh_bytes_t value_of(uint8_t out[40], uint8_t v)
{
    memset(out, v, 40);
    out[0] = 0xa7; /* a string of 39 octets */
    return coh_bytes(out, 40);
}

static coh_hash_t root_of(state_t const *s)
{
    coh_root_item_t items[KEYS];
    coh_hash_t keys[KEYS];
    uint8_t values[KEYS][40];
    size_t cnt = 0;
    coh_hash_t root;
    for (uint32_t i = 0; i < KEYS; i++) {
        keys[i] = key_of(i);
        if (s->v[i] != 0) {
            items[cnt++] = (coh_root_item_t){.key   = coh_bytes(keys[i].b, sizeof(keys[i].b)),
                                             .value = value_of(values[i], s->v[i])};
        }
    }
    qsort(items, cnt, sizeof(*items), coh_root_compare);
    coh_root_sorted(&root, items, cnt);
    return root;
}

static coh_mpt_node_t node_of(uint32_t i, uint8_t v)
{
    coh_mpt_node_t node = {.kind = COH_NODE_EMPTY};
    coh_hash_t key      = key_of(i);
    uint8_t text[40];
    if (v != 0) {
        node.kind = COH_NODE_LEAF;
        node.n    = (uint8_t)coh_node_put_leaf(node.b, key.b, 3, value_of(text, v));
    }
    return node;
}

/* Says what changed from one state to the next, as the shard that owns all. */
static void say(coh_bucket_nodes_t *nodes,
                coh_directory_t const *dir,
                state_t const *from,
                state_t const *to)
{
    for (uint32_t b = 0; b < COH_ROOTS_BUCKET_CNT; b++) { /* ascending by bucket */
        for (uint32_t i = 0; i < KEYS; i++) {
            coh_hash_t key = key_of(i);
            if (bucket_of(&key) != b || from->v[i] == to->v[i]) {
                continue;
            }
            coh_mpt_node_t node = node_of(i, to->v[i]);
            coh_rec_node_t rec  = {
                 .bucket = b, .kind = node.kind, .node = coh_bytes(node.b, node.n)};
            coh_msg_nodes_t m = {.nodes = {.v = &rec, .cnt = 1}};
            assert_int_equal(coh_bucket_nodes_add(nodes, dir, 0, &m), COH_OK);
        }
    }
}

/* Says the same of a transaction of a block of 5. */
static void say_after(coh_root_trail_t *trail,
                      coh_directory_t const *dir,
                      state_t const *from,
                      state_t const *to,
                      uint32_t tx_idx)
{
    for (uint32_t b = 0; b < COH_ROOTS_BUCKET_CNT; b++) {
        for (uint32_t i = 0; i < KEYS; i++) {
            coh_hash_t key = key_of(i);
            if (bucket_of(&key) != b || from->v[i] == to->v[i]) {
                continue;
            }
            coh_mpt_node_t node      = node_of(i, to->v[i]);
            coh_rec_trail_node_t rec = {.tx_idx = tx_idx,
                                        .bucket = b,
                                        .kind   = node.kind,
                                        .node   = coh_bytes(node.b, node.n)};
            coh_msg_trail_t m        = {.nodes = {.v = &rec, .cnt = 1}};
            assert_int_equal(coh_root_trail_add(trail, dir, 0, 5, &m), COH_OK);
        }
    }
}

static state_t next_state(state_t const *s, uint32_t n)
{
    state_t next = *s;
    for (uint32_t i = 0; i < KEYS; i++) {
        if ((i * 7 + n * 5) % 3 == 0) {
            next.v[i] = (uint8_t)((i + n) % 4 == 0 ? 0 : 1 + (i * n) % 200);
        }
    }
    return next;
}

static coh_directory_t const dir = {.epoch = 1, .shard_cnt = 1};

static void expect(coh_hash_t const *is, state_t const *s)
{
    coh_hash_t should = root_of(s);
    assert_memory_equal(is->b, should.b, sizeof(should.b));
}

static void prove(coh_state_roots_t *roots, uint64_t block, state_t const *s, coh_err_t expected)
{
    for (uint32_t i = 0; i < KEYS; i++) {
        coh_proof_t in_bucket = COH_PROOF_INIT;
        coh_proof_t out       = COH_PROOF_INIT;
        coh_bytes_t value     = {0};
        coh_hash_t root;
        coh_hash_t key      = key_of(i);
        coh_mpt_node_t node = node_of(i, s->v[i]);
        uint8_t text[40];
        if (node.kind != COH_NODE_EMPTY) {
            coh_proof_add(&in_bucket, coh_bytes(node.b, node.n));
        }
        assert_int_equal(coh_state_roots_prove(roots, block, &root, &out, &value, &in_bucket, &key),
                         expected);
        if (expected == COH_OK) {
            expect(&root, s);
            assert_true(s->v[i] == 0 ? value.n == 0 : coh_bytes_eq(value, value_of(text, s->v[i])));
        }
        coh_proof_free(&in_bucket);
        coh_proof_free(&out);
    }
}

/* What would be if a block on an older one had led to other. */
static void suppose(coh_state_roots_t const *roots,
                    uint64_t block,
                    state_t const *from,
                    state_t const *other,
                    coh_err_t expected)
{
    coh_bucket_nodes_t nodes = {0};
    coh_hash_t root;
    say(&nodes, &dir, from, other);
    assert_int_equal(coh_state_roots_suppose(roots, block, &root, &nodes), expected);
    if (expected == COH_OK) {
        expect(&root, other);
    }
    coh_bucket_nodes_free(&nodes);
}

static void state_roots_go_on_and_back(void **state)
{
    (void)state;
    state_t states[BLOCKS]   = {{{0}}};
    coh_state_roots_t *roots = coh_state_roots_new(4, 1 << 20);
    coh_hash_t root;
    states[0]                = next_state(&states[0], 1);
    coh_bucket_nodes_t nodes = {0};
    say(&nodes, &dir, &(state_t){{0}}, &states[0]);
    coh_state_roots_start(roots, 100, &root, &nodes);
    coh_bucket_nodes_free(&nodes);
    expect(&root, &states[0]);
    for (uint32_t b = 1; b < BLOCKS; b++) {
        states[b] = next_state(&states[b - 1], b + 1);
        /* First a block that is not to be. */
        state_t other = next_state(&states[b - 1], b + 50);
        say(&nodes, &dir, &states[b - 1], &other);
        coh_state_roots_apply(roots, 100 + b, &root, &nodes);
        coh_bucket_nodes_free(&nodes);
        expect(&root, &other);
        coh_state_roots_revert(roots);
        if (b % 2 == 0) { /* transactions 1 and 3 of 5 change something */
            coh_hash_t tx_roots[5];
            coh_root_trail_t trail = {0};
            say_after(
                &trail, &dir, &other, &states[b], 3); /* as another shard might: later first */
            say_after(&trail, &dir, &states[b - 1], &other, 1);
            coh_state_roots_follow(roots, tx_roots, 5, &trail);
            coh_root_trail_free(&trail);
            expect(&tx_roots[0], &states[b - 1]);
            expect(&tx_roots[1], &other);
            expect(&tx_roots[2], &other);
            expect(&tx_roots[3], &states[b]);
            expect(&tx_roots[4], &states[b]);
        }
        say(&nodes, &dir, &states[b - 1], &states[b]);
        coh_state_roots_apply(roots, 100 + b, &root, &nodes);
        coh_bucket_nodes_free(&nodes);
        expect(&root, &states[b]);
        for (uint32_t back = 0; back <= b; back++) {
            coh_err_t expected = back <= 4 ? COH_OK : COH_ENOTFOUND;
            prove(roots, 100 + b - back, &states[b - back], expected);
            suppose(roots, 100 + b - back, &states[b - back], &other, expected);
        }
        prove(roots, 100 + b + 1, &states[b], COH_ENOTFOUND);
    }
    /* A proof of another state is none. */
    coh_proof_t in_bucket = COH_PROOF_INIT;
    coh_proof_t out       = COH_PROOF_INIT;
    coh_bytes_t value;
    coh_hash_t key      = key_of(3);
    coh_mpt_node_t node = node_of(3, 250);
    coh_proof_add(&in_bucket, coh_bytes(node.b, node.n));
    assert_int_equal(
        coh_state_roots_prove(roots, 100 + BLOCKS - 1, &root, &out, &value, &in_bucket, &key),
        COH_EMISMATCH);
    coh_proof_free(&in_bucket);
    coh_proof_free(&out);
    coh_state_roots_free(roots);
}

static void state_roots_take_nodes_of_their_owner_only(void **state)
{
    (void)state;
    coh_directory_t two = {.epoch = 1, .shard_cnt = 2};
    two.shard_of[7]     = 1;
    coh_mpt_node_t good = {.kind = COH_NODE_BRANCH, .n = 32};
    coh_rec_node_t recs[2];
    coh_bucket_nodes_t nodes = {0};
    coh_msg_nodes_t m        = {.nodes = {.v = recs, .cnt = 2}};
    for (uint32_t i = 0; i < 2; i++) {
        recs[i] =
            (coh_rec_node_t){.bucket = 3 + i, .kind = good.kind, .node = coh_bytes(good.b, good.n)};
    }
    assert_int_equal(coh_bucket_nodes_add(&nodes, &two, 0, &m), COH_OK);
    assert_int_equal(nodes.cnt, 2);
    coh_rec_node_t const ok = recs[1];
    recs[1].bucket          = 7; /* the other shard's */
    assert_int_equal(coh_bucket_nodes_add(&nodes, &two, 0, &m), COH_EPROTO);
    recs[1].bucket = 3; /* twice */
    assert_int_equal(coh_bucket_nodes_add(&nodes, &two, 0, &m), COH_EPROTO);
    recs[1].bucket = COH_ROOTS_BUCKET_CNT;
    assert_int_equal(coh_bucket_nodes_add(&nodes, &two, 0, &m), COH_EPROTO);
    recs[1]      = ok;
    recs[1].kind = COH_NODE_LEAF; /* 32 zeros are no leaf */
    assert_int_equal(coh_bucket_nodes_add(&nodes, &two, 0, &m), COH_EPROTO);
    recs[1]        = ok;
    recs[1].node.n = 33;
    assert_int_equal(coh_bucket_nodes_add(&nodes, &two, 0, &m), COH_EPROTO);
    recs[1]      = ok;
    recs[1].kind = 9;
    assert_int_equal(coh_bucket_nodes_add(&nodes, &two, 0, &m), COH_EPROTO);
    coh_bucket_nodes_free(&nodes);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(state_roots_go_on_and_back),
        cmocka_unit_test(state_roots_take_nodes_of_their_owner_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
