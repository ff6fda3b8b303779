/* Lookups: every account's value comes from its owner and lands in its place; answers of different blocks are asked for again, all of them, until
   they are of one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "coordinator/lookup.h"
#include "coordinator/placement.h"

enum { SHARDS = 3, ACCOUNTS = 40 };

typedef struct {
    coh_lookups_t lookups;
    coh_directory_t dir;
    coh_buf_t outbox[SHARDS];
    coh_wire_reader_t *reader;
    uint32_t done_cnt;
    coh_lookup_t *done;
} world_t;

static void init(world_t *w)
{
    coh_buf_t why = COH_BUF_INIT;
    *w            = (world_t){.reader = coh_wire_reader_new()};
    coh_lookups_init(&w->lookups, SHARDS);
    assert_int_equal(coh_placement_initial(&w->dir, "hash", SHARDS, &why), COH_OK);
    coh_buf_free(&why);
}

static void fini(world_t *w)
{
    for (uint32_t s = 0; s < SHARDS; s++) {
        coh_buf_free(&w->outbox[s]);
    }
    coh_lookups_fini(&w->lookups);
    coh_wire_reader_free(w->reader);
}

static coh_buf_t *outbox(void *arg, uint32_t shard)
{
    world_t *w = arg;
    if (w->outbox[shard].n == 0) {
        coh_wire_put_envelope(&w->outbox[shard], &(coh_envelope_t){0});
    }
    return &w->outbox[shard];
}

static void done(void *arg, coh_lookup_t *lookup)
{
    world_t *w = arg;
    w->done_cnt++;
    w->done = lookup;
}

/* Shard s answers what it was asked, for block: the nonce tells the account, the word the block. */
static void answer(world_t *w, uint32_t s, uint64_t block)
{
    coh_envelope_t envelope;
    coh_msg_t m;
    assert_int_equal(coh_wire_reader_begin(w->reader, coh_buf_bytes(&w->outbox[s]), &envelope),
                     COH_OK);
    assert_int_equal(coh_wire_reader_next(w->reader, &m), COH_OK);
    assert_int_equal(m.id, COH_MSG_QUERY);
    coh_rec_state_value_t values[ACCOUNTS];
    for (uint32_t i = 0; i < m.u.query.keys.cnt; i++) {
        values[i] = (coh_rec_state_value_t){.nonce = m.u.query.keys.v[i].addr.b[0],
                                            .word  = coh_u256(block)};
    }
    coh_msg_answer_t a = {.query  = m.u.query.query,
                          .block  = block,
                          .values = {.v = values, .cnt = m.u.query.keys.cnt}};
    coh_buf_clear(&w->outbox[s]);
    assert_int_equal(coh_lookups_answer(&w->lookups, s, &a), COH_OK);
    assert_int_equal(coh_lookups_answer(&w->lookups, s, &a), COH_EPROTO); /* not asked twice */
}

static void lookup_asks_again_until_all_answers_are_of_one_block(void **state)
{
    (void)state;
    world_t w;
    init(&w);
    coh_lookup_t *one = coh_lookup_new(&w.lookups, ACCOUNTS, done, &w);
    for (uint32_t i = 0; i < ACCOUNTS; i++) {
        one->keys[i].addr.b[0] = (uint8_t)i;
    }
    coh_lookups_ask(&w.lookups, one, &w.dir, outbox, &w);
    uint64_t const rounds[][SHARDS] = {{7, 8, 7}, {8, 8, 9}, {9, 9, 9}};
    for (size_t round = 0; round < COH_CNT(rounds); round++) {
        assert_int_equal(w.done_cnt, 0);
        for (uint32_t s = 0; s < SHARDS; s++) {
            answer(&w, s, rounds[round][s]);
        }
    }
    assert_int_equal(w.done_cnt, 1);
    assert_ptr_equal(w.done, one);
    assert_int_equal(one->block, 9);
    for (uint32_t i = 0; i < ACCOUNTS; i++) {
        assert_int_equal(one->values[i].nonce, i);
        assert_int_equal(one->values[i].word.w[0], 9);
    }
    coh_lookup_free(one);
    fini(&w);
}

/* Answers what shard s was asked, as if it remembered block, or not. */
static coh_err_t answer_state(world_t *w, uint32_t s, uint64_t block, bool gone)
{
    coh_envelope_t envelope;
    coh_msg_t m;
    assert_int_equal(coh_wire_reader_begin(w->reader, coh_buf_bytes(&w->outbox[s]), &envelope),
                     COH_OK);
    assert_int_equal(coh_wire_reader_next(w->reader, &m), COH_OK);
    coh_rec_state_value_t values[ACCOUNTS];
    uint8_t code[2] = {0xc0, 0};
    assert_int_equal(m.u.query.block, 5);
    for (uint32_t i = 0; i < m.u.query.keys.cnt; i++) {
        coh_rec_key_t const *k = &m.u.query.keys.v[i];
        if (k->kind == COH_KEY_CODE) {
            code[1] = k->addr.b[0];
        }
        values[i]      = (coh_rec_state_value_t){.word = k->slot, .nonce = k->kind};
        values[i].code = k->kind == COH_KEY_CODE ? coh_bytes(code, 2) : (coh_bytes_t){0};
    }
    coh_msg_answer_t a = {.query = m.u.query.query, .block = block, .gone = gone};
    if (!gone) {
        a.values.v   = values;
        a.values.cnt = m.u.query.keys.cnt;
    }
    coh_err_t rc = coh_lookups_answer(&w->lookups, s, &a);
    if (rc == COH_OK) {
        coh_buf_clear(&w->outbox[s]);
    }
    return rc;
}

/* Slots and code at a block by its number; some owner may have forgotten it. */
static void lookup_of_an_earlier_block(void **state)
{
    (void)state;
    for (uint32_t forgets = 0; forgets < 2; forgets++) {
        world_t w;
        init(&w);
        coh_lookup_t *one = coh_lookup_new(&w.lookups, ACCOUNTS, done, &w);
        one->wanted       = 5;
        /* One key of code for a shard at most: its octets are the same buffer's. */
        for (uint32_t i = 0; i < ACCOUNTS; i++) {
            one->keys[i] = (coh_rec_key_t){.kind = i == 3 ? COH_KEY_CODE : COH_KEY_SLOT,
                                           .addr = {{(uint8_t)i}},
                                           .slot = coh_u256(i)};
        }
        coh_lookups_ask(&w.lookups, one, &w.dir, outbox, &w);
        assert_int_equal(answer_state(&w, 0, 6, false), COH_EPROTO);
        assert_int_equal(answer_state(&w, 0, 5, forgets != 0), COH_OK);
        assert_int_equal(answer_state(&w, 1, 5, false), COH_OK);
        assert_int_equal(w.done_cnt, 0);
        assert_int_equal(answer_state(&w, 2, 5, false), COH_OK);
        assert_int_equal(w.done_cnt, 1);
        assert_int_equal(one->block, 5);
        assert_int_equal(one->is_gone, forgets);
        for (uint32_t i = 0; i < ACCOUNTS && !one->is_gone; i++) {
            assert_int_equal(one->values[i].word.w[0], i);
            assert_int_equal(one->values[i].nonce, i == 3 ? COH_KEY_CODE : COH_KEY_SLOT);
        }
        assert_true(one->is_gone ||
                    coh_bytes_eq(one->values[3].code, coh_bytes(((uint8_t[]){0xc0, 3}), 2)));
        coh_lookup_free(one);
        fini(&w);
    }
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(lookup_asks_again_until_all_answers_are_of_one_block),
        cmocka_unit_test(lookup_of_an_earlier_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
