/* Difficulty: each formula on both sides of its steps, and real blocks. The published suites:
   tests/conformance/test_basic. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/codec/block.h"
#include "common/codec/difficulty.h"
#include "common/codec/rlp.h"
#include "tests/support/data.h"

#define MAX_256 "0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"

/* Expected values from a transcription of the formulas of EIP-2, EIP-100 and the Yellow Paper into
   Python. The parent is at time 100. */
static void difficulty_follows_the_fork(void **state)
{
    (void)state;
    static struct {
        coh_fork_t fork;
        char const *parent;
        bool ommers;
        uint64_t number;
        uint64_t timestamp;
        char const *want;
    } const cases[] = {
        {COH_FORK_FRONTIER, "2048000000", false, 1, 112, "0x7a214240"},
        {COH_FORK_FRONTIER, "2048000000", false, 1, 113, "0x7a02bdc0"},
        {COH_FORK_FRONTIER, "2048000000", false, 1, 99, "0x7a214240"},
        {COH_FORK_FRONTIER, "2048000000", false, 199999, 100, "0x7a214240"},
        {COH_FORK_FRONTIER, "2048000000", false, 200000, 100, "0x7a214241"},
        {COH_FORK_FRONTIER,
         "2048000000",
         false,
         25799999,
         100,
         "0x800000000000000000000000000000000000000000000000000000007a214240"},
        {COH_FORK_FRONTIER, "2048000000", false, 25800000, 100, MAX_256},
        {COH_FORK_FRONTIER, MAX_256, false, 1, 100, MAX_256},
        {COH_FORK_HOMESTEAD, "2048000000", true, 1, 109, "0x7a214240"},
        {COH_FORK_HOMESTEAD, "2048000000", true, 1, 110, "0x7a120000"},
        {COH_FORK_TANGERINE, "2048000000", false, 1, 119, "0x7a120000"},
        {COH_FORK_SPURIOUS, "2048000000", false, 1, 120, "0x7a02bdc0"},
        {COH_FORK_SPURIOUS, "2048000000", false, 1, 1099, "0x743aa380"},
        {COH_FORK_SPURIOUS, "2048000000", false, 1, 1100, "0x742b6140"},
        {COH_FORK_SPURIOUS, "2048000000", false, 1, UINT64_MAX, "0x742b6140"},
        {COH_FORK_BYZANTIUM, "2048000000", false, 3199999, 108, "0x7a214240"},
        {COH_FORK_BYZANTIUM, "2048000000", true, 3200000, 108, "0x7a308481"},
        {COH_FORK_BYZANTIUM, "2048000000", true, 3300000, 109, "0x7a214242"},
        {COH_FORK_BYZANTIUM, "2048000000", false, 3300000, 109, "0x7a120002"},
        {COH_FORK_LONDON, "2048000000", true, 1, 1008, "0x743aa380"},
        {COH_FORK_LONDON, "2048000000", true, 1, 1009, "0x742b6140"},
        {COH_FORK_LONDON, "2048000000", true, 1, 1018, "0x742b6140"},
        {COH_FORK_LONDON, "2048000000", false, UINT64_MAX, 100, MAX_256},
        {COH_FORK_LONDON, "131072", false, 1, 1000, "131072"},
    };
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        coh_difficulty_parent_t parent = {coh_test_u256(cases[i].parent), 100, cases[i].ommers};
        coh_u256_t want                = coh_test_u256(cases[i].want);
        coh_u256_t got                 = coh_difficulty_next(&parent,
                                             cases[i].fork,
                                             coh_difficulty_bomb_delay(cases[i].fork),
                                             cases[i].number,
                                             cases[i].timestamp);
        if (!coh_u256_eq(&got, &want)) {
            fail_msg("case %zu: not %s", i, cases[i].want);
        }
    }
}

/* The bomb's first unit comes 200000 blocks after the delay. */
static void difficulty_bomb_lags_by_its_delay(void **state)
{
    (void)state;
    static struct {
        coh_fork_t fork;
        uint64_t delay;
    } const cases[] = {
        {COH_FORK_FRONTIER, 0},
        {COH_FORK_SPURIOUS, 0},
        {COH_FORK_BYZANTIUM, 3000000},
        {COH_FORK_CONSTANTINOPLE, 5000000},
        {COH_FORK_ISTANBUL, 5000000},
        {COH_FORK_ISTANBUL, COH_BOMB_DELAY_MUIR_GLACIER},
        {COH_FORK_BERLIN, 9000000},
        {COH_FORK_LONDON, 9700000},
        {COH_FORK_LONDON, COH_BOMB_DELAY_ARROW_GLACIER},
        {COH_FORK_LONDON, COH_BOMB_DELAY_GRAY_GLACIER},
    };
    coh_difficulty_parent_t parent = {coh_u256(2048000), 100, false};
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        for (uint64_t more = 0; more < 2; more++) {
            coh_u256_t got = coh_difficulty_next(
                &parent, cases[i].fork, cases[i].delay, cases[i].delay + 199999 + more, 100);
            assert_true(got.w[0] == 2049000 + more);
        }
        if (i != 5 && i < 8) {
            assert_true(coh_difficulty_bomb_delay(cases[i].fork) == cases[i].delay);
        }
    }
}

static coh_difficulty_parent_t figures(coh_header_t const *h)
{
    return (coh_difficulty_parent_t){
        h->difficulty, h->timestamp, !coh_hash_eq(&h->ommers_hash, &COH_EMPTY_LIST_HASH)};
}

static void difficulty_of_mainnets_first_blocks(void **state)
{
    (void)state;
    char const *dir = coh_test_data_dir();
    if (dir == NULL) {
        coh_test_skip("chains/mainnet-0 (8191 blocks)");
        return;
    }
    coh_buf_t chain = COH_BUF_INIT;
    coh_test_file(&chain, dir, "chains/mainnet-0/chain.rlp");
    coh_rlp_t blocks               = coh_rlp_reader(coh_buf_bytes(&chain));
    coh_difficulty_parent_t parent = {coh_u256(UINT64_C(17179869184)), 0, false}; /* genesis */
    size_t cnt                     = 0;
    while (!coh_rlp_at_end(&blocks)) {
        coh_rlp_t items;
        coh_rlp_kind_t kind;
        coh_bytes_t payload, rlp;
        coh_header_t h;
        coh_fork_t fields;
        assert_int_equal(coh_rlp_list(&blocks, &items), COH_OK);
        assert_int_equal(coh_rlp_next_raw(&items, &kind, &payload, &rlp), COH_OK);
        assert_int_equal(coh_header_decode(&h, &fields, rlp), COH_OK);
        assert_true(h.number == ++cnt);
        coh_u256_t got = coh_difficulty_next(&parent, COH_FORK_FRONTIER, 0, h.number, h.timestamp);
        assert_true(coh_u256_eq(&got, &h.difficulty));
        parent = figures(&h);
    }
    coh_buf_free(&chain);
    print_message("%zu blocks\n", cnt);
    assert_int_equal(cnt, 8191);
}

/* Recorded blocks of mainnet that follow one another: Homestead's first two, with the bomb. */
static void difficulty_of_recorded_neighbours(void **state)
{
    (void)state;
    char const *dir = coh_test_data_dir();
    if (dir == NULL) {
        coh_test_skip("realblocks around Homestead");
        return;
    }
    static char const *const files[] = {"realblocks/mainnet-1149999.json",
                                        "realblocks/mainnet-1150000.json",
                                        "realblocks/mainnet-1150001w.json"};
    coh_header_t last                = {0};
    for (size_t i = 0; i < COH_CNT(files); i++) {
        coh_buf_t path = COH_BUF_INIT;
        coh_buf_t rlp  = COH_BUF_INIT;
        coh_header_t h;
        coh_fork_t fields;
        coh_buf_printf(&path, "%s/%s", dir, files[i]);
        coh_buf_put_u8(&path, 0);
        json_t *doc = coh_test_json((char const *)path.p);
        assert_true(coh_test_hex(&rlp, coh_test_str(doc, "headerRlp")));
        assert_int_equal(coh_header_decode(&h, &fields, coh_buf_bytes(&rlp)), COH_OK);
        if (i > 0) {
            coh_difficulty_parent_t parent = figures(&last);
            assert_true(h.number == last.number + 1);
            coh_u256_t got =
                coh_difficulty_next(&parent, COH_FORK_HOMESTEAD, 0, h.number, h.timestamp);
            assert_true(coh_u256_eq(&got, &h.difficulty));
        }
        last = h;
        json_decref(doc);
        coh_buf_free(&rlp);
        coh_buf_free(&path);
    }
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(difficulty_follows_the_fork),
        cmocka_unit_test(difficulty_bomb_lags_by_its_delay),
        cmocka_unit_test(difficulty_of_mainnets_first_blocks),
        cmocka_unit_test(difficulty_of_recorded_neighbours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
