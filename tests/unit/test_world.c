/* The world: roots out of incremental tries against roots computed anew, over random blocks of which some are undone half-way or at the end: accounts appear, vanish and come back,
   storage is written, cleared and wiped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "common/chain/world.h"
#include "common/trie/state_root.h"
#include "tests/support/seed.h"

#define ACCOUNT_CNT 40u
#define WRITE_MAX   12u
#define BLOCK_CNT   400u

static coh_addr_t addr_of(uint32_t i) { return (coh_addr_t){{(uint8_t)(i * 37), (uint8_t)i}}; }

/* Random writes to what the state is, as a transition would make them: one a key. */
typedef struct {
    coh_write_t writes[WRITE_MAX];
    coh_write_code_t codes[WRITE_MAX];
    coh_outcome_t outcome;
} effects_t;

static bool is_there(effects_t const *e, coh_key_t const *key)
{
    for (uint32_t i = 0; i < e->outcome.write_cnt; i++) {
        if (coh_addr_eq(&e->writes[i].key.addr, &key->addr) &&
            (key->kind == COH_KEY_ACCOUNT || coh_key_eq(&e->writes[i].key, key) ||
             e->writes[i].flags & COH_WRITE_GONE)) {
            return true;
        }
    }
    return false;
}

static void draw(effects_t *e, coh_memview_t const *mv, coh_rng_t *rng)
{
    *e                = (effects_t){.outcome = {.verdict = COH_TX_OK}};
    e->outcome.writes = e->writes;
    uint32_t want     = (uint32_t)coh_rng_below(rng, WRITE_MAX);
    for (uint32_t i = 0; i < want; i++) {
        coh_addr_t addr        = addr_of((uint32_t)coh_rng_below(rng, ACCOUNT_CNT));
        coh_value_t v          = coh_memview_account(mv, &addr);
        coh_write_t w          = {.key = coh_key_account(&addr)};
        uint32_t kind          = (uint32_t)coh_rng_below(rng, 10);
        coh_write_code_t *code = &e->codes[e->outcome.write_cnt];
        bool exists            = (v.flags & COH_ACCOUNT_EXISTS) != 0;
        if (kind < 4 && exists) { /* a slot, to 0 at times */
            coh_u256_t slot = coh_u256(coh_rng_below(rng, 6));
            w.key           = coh_key_slot(&addr, v.generation, &slot);
            w.word          = coh_u256(coh_rng_below(rng, 3));
            w.flags         = COH_WRITE_VALUE;
        } else if (kind == 4 && exists) { /* gone, with its storage */
            code->generation = v.generation + 1;
            w.code           = code;
            w.flags          = COH_WRITE_GONE | COH_WRITE_NONCE | COH_WRITE_VALUE | COH_WRITE_CODE;
        } else {
            w.nonce = coh_rng_below(rng, 1000);
            w.word  = coh_u256(coh_rng_below(rng, 1000));
            w.flags = COH_WRITE_NONCE | COH_WRITE_DELTA;
        }
        if (!is_there(e, &w.key)) {
            e->writes[e->outcome.write_cnt++] = w;
        }
    }
}

static void expect_root(coh_world_t *w, coh_hash_t *out)
{
    coh_hash_t want;
    coh_state_root(&want, coh_world_state(w));
    coh_world_root(w, out);
    assert_memory_equal(out->b, want.b, 32);
}

static void world_roots_are_those_computed_anew(void **state)
{
    (void)state;
    uint64_t seed = coh_test_seed();
    coh_rng_t rng;
    coh_rng_seed(&rng, seed);
    coh_world_t *w    = coh_world_new(COH_FORK_LONDON, COH_WORLD_INCREMENTAL);
    coh_memview_t *mv = coh_world_state(w);
    coh_hash_t root;
    for (uint32_t i = 0; i < ACCOUNT_CNT / 2; i++) {
        coh_addr_t addr    = addr_of(i);
        coh_u256_t balance = coh_u256(i);
        coh_memview_put_account(mv, &addr, i, &balance, (coh_bytes_t){0});
        for (uint32_t k = 0; k < i % 4; k++) {
            coh_u256_t slot = coh_u256(k);
            coh_memview_put_slot(mv, &addr, &slot, &balance);
        }
    }
    if (coh_rng_percent(&rng, 50)) {
        expect_root(w, &root);
    }
    uint32_t undone = 0;
    for (uint32_t block = 0; block < BLOCK_CNT; block++) {
        coh_hash_t before;
        coh_state_root(&before, mv);
        coh_world_begin(w, COH_FORK_LONDON);
        for (uint64_t tx = coh_rng_below(&rng, 6); tx > 0; tx--) {
            effects_t e;
            draw(&e, mv, &rng);
            coh_world_apply(w, &e.outcome);
            if (coh_rng_percent(&rng, 20)) { /* as before Byzantium */
                expect_root(w, &root);
            }
        }
        if (coh_rng_percent(&rng, 30)) {
            coh_world_undo(w);
            undone++;
            coh_state_root(&root, mv);
            assert_memory_equal(root.b, before.b, 32);
        }
        if (coh_rng_percent(&rng, 70)) {
            expect_root(w, &root);
        }
    }
    printf("%u of %u blocks undone\n", undone, BLOCK_CNT);
    expect_root(w, &root);
    coh_world_free(w);
}

/* An account is wiped in a block that is undone, and wiped again: nothing of the first time may be left in the storage that it gets. */
static void world_undo_empties_later_generations(void **state)
{
    (void)state;
    coh_world_t *w        = coh_world_new(COH_FORK_LONDON, COH_WORLD_INCREMENTAL);
    coh_memview_t *mv     = coh_world_state(w);
    coh_addr_t addr       = addr_of(1);
    coh_u256_t one        = coh_u256(1);
    coh_u256_t two        = coh_u256(2);
    coh_write_code_t code = {.generation = 1};
    coh_write_t gone      = {.key  = coh_key_account(&addr),
                             .code = &code,
                             .flags =
                                 COH_WRITE_GONE | COH_WRITE_NONCE | COH_WRITE_VALUE | COH_WRITE_CODE};
    coh_write_t back      = {.key = coh_key_account(&addr), .nonce = 1, .flags = COH_WRITE_NONCE};
    coh_write_t first     = {
            .key = coh_key_slot(&addr, 1, &one), .word = one, .flags = COH_WRITE_VALUE};
    coh_write_t other = {
        .key = coh_key_slot(&addr, 1, &two), .word = two, .flags = COH_WRITE_VALUE};
    coh_write_t const *steps[2][3] = {{&gone, &back, &first}, {&gone, &back, &other}};
    coh_hash_t root;
    coh_memview_put_account(mv, &addr, 1, &one, (coh_bytes_t){0});
    coh_memview_put_slot(mv, &addr, &one, &two);
    expect_root(w, &root);
    for (int round = 0; round < 2; round++) {
        coh_world_begin(w, COH_FORK_LONDON);
        for (int i = 0; i < 3; i++) {
            coh_world_apply(w, &(coh_outcome_t){.writes = steps[round][i], .write_cnt = 1});
        }
        expect_root(w, &root);
        if (round == 0) {
            coh_world_undo(w);
            expect_root(w, &root);
        }
    }
    coh_world_free(w);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(world_roots_are_those_computed_anew),
        cmocka_unit_test(world_undo_empties_later_generations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
