/* Guests: who has to do with whom, what a host says of a block and what an owner takes from it; what it must refuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "shard/guests.h"

/* Two shards that share the buckets, a guest of 0 at 1, one of 1 at 0; and one account of each that is none. */
typedef struct {
    coh_directory_t dir;
    coh_guests_t at[3];
    coh_addr_t home[2];
    coh_addr_t guest[2]; /* of the bucket's owner 0, 1 */
} world_t;

static coh_addr_t find_addr(coh_directory_t const *dir, uint32_t owner, uint8_t *next)
{
    for (;;) {
        coh_addr_t addr = {.b = {[19] = ++*next}};
        if (coh_directory_shard(dir, coh_directory_bucket(&addr)) == owner) {
            return addr;
        }
    }
}

static int set_up(void **state)
{
    world_t *w = calloc(1, sizeof(*w));
    w->dir     = (coh_directory_t){.epoch = 1, .shard_cnt = 3};
    for (uint32_t b = 0; b < COH_BUCKET_CNT; b++) {
        w->dir.shard_of[b] = b % 2;
    }
    uint8_t next = 0;
    for (uint32_t s = 0; s < 2; s++) {
        w->home[s]  = find_addr(&w->dir, s, &next);
        w->guest[s] = find_addr(&w->dir, s, &next);
        assert_int_equal(coh_directory_pin(&w->dir, &w->guest[s], 1 - s), COH_OK);
    }
    for (uint32_t s = 0; s < 3; s++) {
        coh_guests_init(&w->at[s], &w->dir, s);
    }
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    world_t *w = *state;
    for (uint32_t s = 0; s < 3; s++) {
        coh_guests_fini(&w->at[s]);
    }
    coh_directory_free(&w->dir);
    free(w);
    return 0;
}

static void guests_know_hosts_and_owners(void **state)
{
    world_t *w = *state;
    for (uint32_t s = 0; s < 2; s++) {
        assert_int_equal(w->at[s].host_cnt, 1);
        assert_int_equal(w->at[s].owner_cnt, 1);
        assert_int_equal(w->at[s].is_host[1 - s], 1);
        assert_int_equal(w->at[s].is_owner[1 - s], 1);
        assert_int_equal(coh_guests_trie_shard(&w->at[s], &w->home[s]), s);
        assert_int_equal(coh_guests_trie_shard(&w->at[s], &w->guest[1 - s]), 1 - s);
    }
    assert_int_equal(w->at[2].host_cnt + w->at[2].owner_cnt, 0);
}

static coh_msg_changes_t read_back(coh_wire_reader_t *reader, coh_buf_t *frame)
{
    coh_envelope_t envelope;
    coh_msg_t m;
    assert_int_equal(coh_wire_reader_begin(reader, coh_buf_bytes(frame), &envelope), COH_OK);
    assert_int_equal(coh_wire_reader_next(reader, &m), COH_OK);
    assert_int_equal(m.id, COH_MSG_CHANGES);
    return m.u.changes;
}

static void guests_changes_arrive_as_they_are(void **state)
{
    world_t *w      = *state;
    coh_u256_t slot = coh_u256(7);
    /* At shard 1 a block changed its own account, its guest, and three slots of that, one of them to zero. */
    coh_mv_item_t items[] = {
        {.key = coh_key_account(&w->home[1]), .value = {.nonce = 5, .flags = COH_ACCOUNT_EXISTS}},
        {.key   = coh_key_account(&w->guest[0]),
         .value = {.word = {.w = {9}}, .nonce = 3, .generation = 2, .flags = COH_ACCOUNT_EXISTS},
         .wiped = true},
        {.key = coh_key_slot(&w->guest[0], 2, &slot), .value = {.word = {.w = {1, 0, 0, 8}}}},
        {.key = coh_key_slot(&w->home[1], 0, &slot), .value = {.word = {.w = {1}}}},
        {.key = coh_key_slot(&w->guest[0], 1, &slot)}};
    coh_mv_step_t trail[] = {{.tx_idx = 0, .item = items[1]}, {.tx_idx = 4, .item = items[2]}};
    coh_buf_t frame       = COH_BUF_INIT;
    coh_wire_put_envelope(&frame, &(coh_envelope_t){.sender = 2});
    coh_guests_put_changes(&w->at[1], &frame, 0, 12, 3, items, COH_CNT(items), trail, 2);
    coh_wire_reader_t *reader = coh_wire_reader_new();
    coh_msg_changes_t m       = read_back(reader, &frame);
    assert_int_equal(m.block, 12);
    assert_int_equal(m.attempt, 3);
    coh_guest_changes_t got = {0};
    assert_int_equal(coh_guests_take_changes(&w->at[0], &got, 1, &m), COH_OK);
    assert_int_equal(got.cnt, 3);
    static size_t const is[] = {1, 2, 4};
    for (size_t i = 0; i < 3; i++) {
        assert_true(coh_key_eq(&got.items[i].key, &items[is[i]].key));
        assert_true(coh_value_eq(&got.items[i].value, &items[is[i]].value));
        assert_int_equal(got.items[i].wiped, items[is[i]].wiped);
        assert_true(got.items[i].is_guest);
    }
    assert_int_equal(got.trail_cnt, 2);
    assert_int_equal(got.trail[0].tx_idx, 0);
    assert_int_equal(got.trail[1].tx_idx, 4);
    assert_true(coh_key_eq(&got.trail[1].item.key, &items[2].key));
    coh_guest_changes_free(&got);
    /* Into its own tries shard 1 puts what is left; what came from hosts stays. */
    coh_mv_item_t all[] = {items[0], items[1], items[2], items[3], items[0]};
    all[4].key          = coh_key_account(&w->guest[1]);
    all[4].is_guest     = true;
    assert_int_equal(coh_guests_keep(&w->at[1], all, COH_CNT(all)), 3);
    assert_true(coh_key_eq(&all[1].key, &items[3].key));
    assert_true(all[2].is_guest);
    coh_wire_reader_free(reader);
    coh_buf_free(&frame);
}

static void guests_refuse_what_a_host_cannot_say(void **state)
{
    world_t *w                = *state;
    uint8_t const account[]   = {1, 5, 0, 0, 0, 0, 0, 0, 0};
    coh_rec_change_t const ok = {
        .kind = COH_KEY_ACCOUNT, .addr = w->guest[0], .value = coh_bytes(account, sizeof(account))};
    struct {
        coh_rec_change_t rec;
        uint32_t owner, host;
        coh_err_t err;
    } cases[]               = {{ok, 0, 1, COH_OK},
                               {ok, 0, 2, COH_EPROTO},  /* not its host */
                               {ok, 1, 0, COH_EPROTO},  /* not our bucket */
                               {ok, 0, 1, COH_EPROTO},  /* an account that is no guest */
                               {ok, 0, 1, COH_EPROTO},  /* neither account nor slot */
                               {ok, 0, 1, COH_EPROTO},  /* no flat value */
                               {ok, 0, 1, COH_EPROTO},  /* a generation that there is not */
                               {ok, 0, 1, COH_EPROTO}}; /* a slot that was wiped */
    cases[3].rec.addr       = w->home[0];
    cases[4].rec.kind       = COH_KEY_CODE;
    cases[5].rec.value.n    = 8;
    cases[6].rec.kind       = COH_KEY_SLOT;
    cases[6].rec.value      = coh_bytes(account, 1);
    cases[6].rec.generation = UINT64_C(1) << 32;
    cases[7].rec            = cases[6].rec;
    cases[7].rec.generation = 0;
    cases[7].rec.wiped      = 1;
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        coh_guest_changes_t got = {0};
        coh_msg_changes_t m     = {.block = 1};
        m.changes.v             = &cases[i].rec;
        m.changes.cnt           = 1;
        assert_int_equal(coh_guests_take_changes(&w->at[cases[i].owner], &got, cases[i].host, &m),
                         cases[i].err);
        coh_guest_changes_free(&got);
    }
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test_setup_teardown(guests_know_hosts_and_owners, set_up, tear_down),
        cmocka_unit_test_setup_teardown(guests_changes_arrive_as_they_are, set_up, tear_down),
        cmocka_unit_test_setup_teardown(guests_refuse_what_a_host_cannot_say, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("guests", tests, NULL, NULL);
}
