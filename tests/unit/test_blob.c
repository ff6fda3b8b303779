/* Blobs: the price's published examples and its bounds, the parameters of each fork, and the excess
   blob gas of every block of the official tests around EIP-4844 and EIP-7918. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/codec/blob.h"
#include "common/codec/block.h"
#include "common/codec/rlp.h"
#include "tests/support/data.h"

#define MAX_256 "0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"

/* The first rows are EIP-4844's and go-ethereum's examples; the others come from a direct
   transcription of fake_exponential into Python, whose integers have no bounds. */
static void blob_base_fee_is_the_known_one(void **state)
{
    (void)state;
    static struct {
        uint64_t excess;
        uint64_t fraction;
        char const *want;
    } const cases[] = {
        {0, 3338477, "1"},
        {2314057, 3338477, "1"},
        {2314058, 3338477, "2"},
        {10485760, 3338477, "23"},
        {0, 1, "1"},
        {2, 1, "6"},
        {4, 2, "6"},
        {3, 1, "16"},
        {6, 2, "18"},
        {8, 2, "50"},
        {5, 1, "136"},
        {5, 2, "11"},
        {50000000, 2225652, "5709098764"},
        {1, 1, "2"},
        {39321600, 3338477, "0x1fd58"},
        {200308640, 5007716, "0x34441a72f17e877"},
        {1752700650, 11684671, "0x152cac298225930759501f3ac6a4cd43a3f5ab76b37e5973ef18364"},
        /* the last that fits, and the first that does not */
        {592398315, 3338477, "0xfffffd7f37d871923e777c8e1698f4a355b593742cb7f676ce08cf31f51e8874"},
        {592398316, 3338477, MAX_256},
        {177, 1, "0xa3ef3f14b98c47625f22f1693ec89c27052649a6d9530006ce9c8bca6b7b6379"},
        {178, 1, MAX_256},
        {UINT64_MAX, 1, MAX_256},
        {UINT64_MAX, 3338477, MAX_256},
        {UINT64_MAX, UINT64_MAX, "2"},
        {1, UINT64_MAX, "1"},
        {UINT64_MAX, UINT64_C(1) << 57, "0x195e54c5dd421772a4c8cf64399121729d5e3ae2b7f816a"},
        {UINT64_MAX, UINT64_C(5) << 55, "0xd498a25f26910b2b710944b4149c92837c9bc"},
    };
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        coh_u256_t want = coh_test_u256(cases[i].want);
        coh_u256_t got  = coh_blob_base_fee(cases[i].excess, cases[i].fraction);
        if (!coh_u256_eq(&got, &want)) {
            fail_msg("case %zu: not %s", i, cases[i].want);
        }
    }
}

static void blob_excess_moves_by_the_difference_to_the_target(void **state)
{
    (void)state;
    enum { G = 131072 };
    coh_blob_params_t cancun = {3, 6, 3338477};
    static struct {
        uint64_t excess, used, want;
    } const cases[] = {
        {0, 0, 0},
        {0, 3 * G, 0},
        {0, 4 * G, G},
        {0, 6 * G, 3 * G},
        {2 * G, G, 0},
        {2 * G, 0, 0},
        {3 * G, 0, 0},
        {3 * G + 1, 0, 1},
        {5 * G, 2 * G, 4 * G},
        {UINT64_MAX, 3 * G, UINT64_MAX},
        {UINT64_MAX, 6 * G, UINT64_MAX},
        {UINT64_MAX, UINT64_MAX, UINT64_MAX},
    };
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        coh_blob_parent_t parent = {cases[i].excess, cases[i].used, coh_u256(1)};
        assert_true(coh_blob_next_excess(&parent, COH_FORK_CANCUN, &cancun) == cases[i].want);
    }
}

/* EIP-7918: at base fee 16 a blob of price 1 costs exactly the reserve; 17 is above it. */
static void blob_excess_heeds_the_reserve_price(void **state)
{
    (void)state;
    enum { G = 131072 };
    coh_blob_params_t osaka  = {6, 9, 5007716};
    coh_blob_parent_t parent = {10 * G, 9 * G, coh_u256(16)};
    assert_true(coh_blob_next_excess(&parent, COH_FORK_OSAKA, &osaka) == 13 * G);
    parent.base_fee = coh_u256(17);
    assert_true(coh_blob_next_excess(&parent, COH_FORK_PRAGUE, &osaka) == 13 * G);
    assert_true(coh_blob_next_excess(&parent, COH_FORK_OSAKA, &osaka) == 13 * G); /* 10 + 9 * 3/9 */
    parent.blob_gas_used = 6 * G;
    assert_true(coh_blob_next_excess(&parent, COH_FORK_OSAKA, &osaka) == 12 * G);
    parent.base_fee = coh_u256(16);
    assert_true(coh_blob_next_excess(&parent, COH_FORK_OSAKA, &osaka) == 10 * G);
    parent.blob_gas_used = 0;
    parent.base_fee      = coh_u256(17);
    assert_true(coh_blob_next_excess(&parent, COH_FORK_OSAKA, &osaka) == 10 * G);
    assert_true(coh_blob_next_excess(&parent, COH_FORK_PRAGUE, &osaka) == 4 * G);
    parent.excess_blob_gas = 6 * G - 1; /* below the target the reserve does not matter */
    assert_true(coh_blob_next_excess(&parent, COH_FORK_OSAKA, &osaka) == 0);
    /* A division that rounds down, and extremes of either price. */
    coh_blob_params_t bpo2 = {14, 21, 11684671};
    parent                 = (coh_blob_parent_t){14 * G, 1000, coh_u256(UINT64_MAX)};
    assert_true(coh_blob_next_excess(&parent, COH_FORK_OSAKA, &bpo2) == 14 * G + 333);
    parent = (coh_blob_parent_t){UINT64_MAX, 0, coh_test_u256(MAX_256)};
    assert_true(coh_blob_next_excess(&parent, COH_FORK_OSAKA, &bpo2) == UINT64_MAX - 14 * G);
}

static void blob_params_are_those_of_their_eips(void **state)
{
    (void)state;
    static coh_blob_params_t const want[COH_BLOB_STEP_CNT] = {
        {3, 6, 3338477},
        {6, 9, 5007716},
        {6, 9, 5007716},
        {10, 15, 8346193},
        {14, 21, 11684671},
        {21, 32, 20609697},
        {14, 21, 13739630},
        {0, 0, 0},
    };
    for (int step = 0; step < COH_BLOB_STEP_CNT; step++) {
        coh_blob_params_t got = coh_blob_params_default((coh_blob_step_t)step);
        assert_int_equal(got.target, want[step].target);
        assert_int_equal(got.max, want[step].max);
        assert_true(got.update_fraction == want[step].update_fraction);
    }
}

/* ---- official tests ---- */

/* What "network" says: the rules before and from the time on. */
static struct {
    char const *name;
    coh_fork_t before;
    coh_fork_t after;
    uint64_t at;
} const networks[] = {
    {"Berlin", COH_FORK_BERLIN, COH_FORK_BERLIN, 0},
    {"London", COH_FORK_LONDON, COH_FORK_LONDON, 0},
    {"Paris", COH_FORK_PARIS, COH_FORK_PARIS, 0},
    {"Shanghai", COH_FORK_SHANGHAI, COH_FORK_SHANGHAI, 0},
    {"Cancun", COH_FORK_CANCUN, COH_FORK_CANCUN, 0},
    {"Prague", COH_FORK_PRAGUE, COH_FORK_PRAGUE, 0},
    {"Osaka", COH_FORK_OSAKA, COH_FORK_OSAKA, 0},
    {"ShanghaiToCancunAtTime15k", COH_FORK_SHANGHAI, COH_FORK_CANCUN, 15000},
    {"CancunToPragueAtTime15k", COH_FORK_CANCUN, COH_FORK_PRAGUE, 15000},
    {"PragueToOsakaAtTime15k", COH_FORK_PRAGUE, COH_FORK_OSAKA, 15000},
};

static coh_fork_t fork_of(char const *network, uint64_t timestamp)
{
    for (size_t i = 0; i < COH_CNT(networks); i++) {
        if (strcmp(networks[i].name, network) == 0) {
            return timestamp < networks[i].at ? networks[i].before : networks[i].after;
        }
    }
    fail_msg("unknown network %s", network);
    return COH_FORK_CNT;
}

static coh_blob_params_t params_of(coh_fork_t fork)
{
    return coh_blob_params_default(fork == COH_FORK_CANCUN   ? COH_BLOB_CANCUN
                                   : fork == COH_FORK_PRAGUE ? COH_BLOB_PRAGUE
                                                             : COH_BLOB_OSAKA);
}

/* The default parameters are those of the tests' config.blobSchedule. */
static void check_schedule(json_t const *test)
{
    json_t *schedule = json_object_get(json_object_get(test, "config"), "blobSchedule");
    char const *name;
    json_t *row;
    json_object_foreach (schedule, name, row) {
        coh_blob_params_t want = params_of(fork_of(name, 0));
        assert_int_equal(coh_test_u64(coh_test_str(row, "target")), want.target);
        assert_int_equal(coh_test_u64(coh_test_str(row, "max")), want.max);
        assert_true(coh_test_u64(coh_test_str(row, "baseFeeUpdateFraction")) ==
                    want.update_fraction);
    }
}

/* The header at the head of a block's RLP; false if it is none. */
static bool read_header(coh_header_t *out, coh_fork_t *fields, char const *hex)
{
    coh_buf_t rlp = COH_BUF_INIT;
    coh_rlp_t block, items;
    coh_rlp_kind_t kind;
    coh_bytes_t payload, header;
    assert_true(coh_test_hex(&rlp, hex));
    block     = coh_rlp_reader(coh_buf_bytes(&rlp));
    bool good = coh_rlp_list(&block, &items) == COH_OK &&
                coh_rlp_next_raw(&items, &kind, &payload, &header) == COH_OK &&
                coh_header_decode(out, fields, header) == COH_OK;
    coh_buf_free(&rlp);
    return good;
}

typedef struct {
    size_t right; /* blocks whose excess blob gas is what we compute */
    size_t wrong; /* blocks that must be refused for theirs, which is not */
} excess_cnt_t;

static void check_chain(char const *name, json_t const *test, excess_cnt_t *cnt)
{
    char const *network = coh_test_str(test, "network");
    coh_header_t parent;
    coh_fork_t fields;
    assert_true(read_header(&parent, &fields, coh_test_str(test, "genesisRLP")));
    size_t i;
    json_t *block;
    json_array_foreach (json_object_get(test, "blocks"), i, block) {
        json_t *exception = json_object_get(block, "expectException");
        coh_header_t h;
        if (!read_header(&h, &fields, coh_test_str(block, "rlp"))) {
            assert_non_null(exception);
            continue;
        }
        coh_fork_t fork = fork_of(network, h.timestamp);
        if (fork < COH_FORK_CANCUN || fields < COH_FORK_CANCUN) {
            assert_true(exception != NULL || (fork < COH_FORK_CANCUN && fields < COH_FORK_CANCUN));
        } else {
            coh_blob_params_t params  = params_of(fork);
            coh_blob_parent_t figures = {
                parent.excess_blob_gas, parent.blob_gas_used, parent.base_fee};
            bool equal = coh_blob_next_excess(&figures, fork, &params) == h.excess_blob_gas;
            bool bad   = exception != NULL && strcmp(json_string_value(exception),
                                                   "BlockException.INCORRECT_EXCESS_BLOB_GAS") == 0;
            if (bad == equal) {
                fail_msg("%s, block %zu: excess blob gas", name, i);
            }
            *(bad ? &cnt->wrong : &cnt->right) += 1;
        }
        if (exception == NULL) {
            parent = h;
        }
    }
}

static void blob_excess_passes_the_published_suite(void **state)
{
    (void)state;
    static char const *const dirs[] = {"eest/blockchain_tests/cancun/eip4844_blobs",
                                       "eest/blockchain_tests/cancun/eip7516_blobgasfee",
                                       "eest/blockchain_tests/osaka"};
    char const *dir                 = coh_test_data_dir();
    if (dir == NULL) {
        coh_test_skip("blocks with blobs of eest/blockchain_tests");
        return;
    }
    excess_cnt_t cnt = {0};
    for (size_t d = 0; d < COH_CNT(dirs); d++) {
        char **files;
        size_t file_cnt = coh_test_files(&files, dir, dirs[d], ".json");
        assert_true(file_cnt > 0);
        for (size_t i = 0; i < file_cnt; i++) {
            json_t *doc = coh_test_json(files[i]);
            char const *name;
            json_t *test;
            json_object_foreach (doc, name, test) {
                check_schedule(test);
                check_chain(name, test, &cnt);
            }
            json_decref(doc);
        }
        coh_test_files_free(files);
    }
    print_message(
        "%zu blocks with the right excess blob gas, %zu with a wrong one\n", cnt.right, cnt.wrong);
    assert_true(cnt.right > 0 && cnt.wrong > 0);
}

/* The chain of the RPC tests goes from Frontier to BPO2; its blocks with time stamps from Cancun's
   on. */
static void blob_excess_passes_a_chain_with_bpo_forks(void **state)
{
    (void)state;
    char const *dir = coh_test_data_dir();
    if (dir == NULL) {
        coh_test_skip("rpc/chain.rlp");
        return;
    }
    static struct {
        uint64_t at;
        coh_fork_t fork;
        coh_blob_step_t step;
    } const steps[] = {
        {420, COH_FORK_CANCUN, COH_BLOB_CANCUN},
        {450, COH_FORK_PRAGUE, COH_BLOB_PRAGUE},
        {480, COH_FORK_OSAKA, COH_BLOB_OSAKA},
        {510, COH_FORK_OSAKA, COH_BLOB_BPO1},
        {540, COH_FORK_OSAKA, COH_BLOB_BPO2},
    };
    coh_buf_t chain = COH_BUF_INIT;
    coh_test_file(&chain, dir, "rpc/chain.rlp");
    coh_rlp_t blocks    = coh_rlp_reader(coh_buf_bytes(&chain));
    coh_header_t parent = {0};
    size_t cnts[5]      = {0};
    bool any_above      = false;
    while (!coh_rlp_at_end(&blocks)) {
        coh_rlp_t items;
        coh_rlp_kind_t kind;
        coh_bytes_t payload, rlp;
        coh_header_t h;
        coh_fork_t fields;
        assert_int_equal(coh_rlp_list(&blocks, &items), COH_OK);
        assert_int_equal(coh_rlp_next_raw(&items, &kind, &payload, &rlp), COH_OK);
        assert_int_equal(coh_header_decode(&h, &fields, rlp), COH_OK);
        size_t step = COH_CNT(steps);
        while (step > 0 && h.timestamp < steps[step - 1].at) {
            step--;
        }
        if (step > 0) {
            coh_blob_params_t params  = coh_blob_params_default(steps[step - 1].step);
            coh_blob_parent_t figures = {
                parent.excess_blob_gas, parent.blob_gas_used, parent.base_fee};
            assert_true(coh_blob_next_excess(&figures, steps[step - 1].fork, &params) ==
                        h.excess_blob_gas);
            cnts[step - 1]++;
            any_above |= h.excess_blob_gas != 0 || h.blob_gas_used != 0;
        }
        parent = h;
    }
    coh_buf_free(&chain);
    for (size_t i = 0; i < COH_CNT(steps); i++) {
        print_message("%zu blocks from time %d on\n", cnts[i], (int)steps[i].at);
        assert_true(cnts[i] > 0);
    }
    assert_true(any_above);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(blob_base_fee_is_the_known_one),
        cmocka_unit_test(blob_excess_moves_by_the_difference_to_the_target),
        cmocka_unit_test(blob_excess_heeds_the_reserve_price),
        cmocka_unit_test(blob_params_are_those_of_their_eips),
        cmocka_unit_test(blob_excess_passes_the_published_suite),
        cmocka_unit_test(blob_excess_passes_a_chain_with_bpo_forks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
