/* Blocks of real networks, contracts and all, through clusters of several layouts: gas, status and number of logs of each transaction, the block's gas and bloom,
   and the state root afterwards are those that were recorded. The recording holds the state that the block reads, which is taken as all there is;
   what it expects was computed by another implementation, and gas and bloom are the real header's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/codec/rlp.h"
#include "common/evm/code.h"
#include "common/obs/log.h"
#include "common/state/memview.h"
#include "common/trie/state_root.h"
#include "deploy/cohort/block_cluster.h"
#include "deploy/cohort/realblock_import.h"
#include "tests/support/realblocks.h"

/* What a cluster makes of a recording. */
typedef struct {
    coh_test_realblock_t const *recording;
    uint32_t wrong_cnt;
    char wrong[160];
} answer_t;

COH_PRINTF(2, 3) static void differ(answer_t *a, char const *fmt, ...)
{
    if (a->wrong_cnt++ == 0) {
        va_list args;
        va_start(args, fmt);
        (void)vsnprintf(a->wrong, sizeof(a->wrong), fmt, args);
        va_end(args);
    }
}

static uint64_t number_of(json_t const *obj, char const *key)
{
    json_t const *v = json_object_get(obj, key);
    return json_is_integer(v) ? (uint64_t)json_integer_value(v)
                              : coh_test_u64(json_string_value(v));
}

/* Logs of a receipt: members of the list. */
static uint64_t log_cnt(coh_bytes_t logs)
{
    uint64_t cnt = 0;
    if (logs.n != 0) {
        coh_rlp_t outer = coh_rlp_reader(logs);
        coh_rlp_t list;
        coh_rlp_t log;
        assert_int_equal(coh_rlp_list(&outer, &list), COH_OK);
        for (; !coh_rlp_at_end(&list); cnt++) {
            assert_int_equal(coh_rlp_list(&list, &log), COH_OK);
        }
    }
    return cnt;
}

static void expect_root(answer_t *a, char const *what, coh_hash_t const *is, char const *should)
{
    coh_hash_t hash = coh_test_hash(should);
    if (!coh_hash_eq(is, &hash)) {
        differ(a, "the header has another root of %s", what);
    }
}

static void take_block(void *arg, coh_import_result_t const *result)
{
    answer_t *a    = arg;
    json_t *wanted = json_object_get(a->recording->root, "txOnly");
    json_t *txs    = json_object_get(wanted, "txs");
    if (result->err != COH_OK || result->sealed->tx_cnt != json_array_size(txs)) {
        differ(a,
               "%s, transaction %u: %s",
               coh_err_str(result->err),
               result->fault.idx,
               coh_tx_err_str(result->fault.tx_err));
        return;
    }
    for (uint32_t i = 0; i < result->sealed->tx_cnt; i++) {
        coh_op_receipt_t const *is = &result->sealed->receipts[i];
        json_t const *should       = json_array_get(txs, i);
        if (is->gas_used != number_of(should, "gasUsed") ||
            (json_object_get(should, "status") != NULL && /* receipts have it since Byzantium */
             is->status != number_of(should, "status")) ||
            log_cnt(coh_sealed_logs(result->sealed, i)) != number_of(should, "logs")) {
            differ(a, "transaction %u: another outcome", i);
        }
    }
    coh_buf_t bloom = COH_BUF_INIT;
    assert_true(coh_test_hex(&bloom, coh_test_str(wanted, "logsBloom")));
    if (!coh_bytes_eq(
            coh_buf_bytes(&bloom),
            coh_bytes(result->sealed->header.bloom, sizeof(result->sealed->header.bloom)))) {
        differ(a, "another bloom");
    }
    coh_buf_free(&bloom);
    if (result->gas_used != number_of(wanted, "gasUsed")) {
        differ(a, "another sum of gas");
    }
    coh_header_t const *header = &result->sealed->header;
    json_t *real               = json_object_get(a->recording->root, "header");
    expect_root(a, "state", &header->state_root, coh_test_str(wanted, "postStateRoot"));
    expect_root(a, "transactions", &header->tx_root, coh_test_str(real, "transactionsTrie"));
    expect_root(a, "receipts", &header->receipts_root, coh_test_str(wanted, "receiptsRoot"));
    if (a->recording->block.fork >=
        COH_FORK_BYZANTIUM) { /* before, it holds roots of the whole state */
        expect_root(a, "receipts", &header->receipts_root, coh_test_str(real, "receiptTrie"));
    }
}

static void run_layout(coh_test_realblock_t const *r,
                       coh_genesis_t const *genesis,
                       coh_block_cluster_layout_t const *layout)
{
    answer_t a                                = {.recording = r};
    coh_memview_t *state                      = coh_memview_new(&coh_code_coder, r->block.fork);
    coh_block_cluster_visitor_t const visitor = {.block = take_block, .state = state, .arg = &a};
    coh_import_block_t const block            = coh_realblock_import(&r->block);
    coh_buf_t why                             = COH_BUF_INIT;
    coh_block_cluster_t *cluster              = coh_block_cluster_new(layout);
    if (coh_block_cluster_run(cluster, genesis, &block, 1, &visitor, &why) != COH_OK) {
        differ(&a, "%.*s", (int)why.n, (char const *)why.p);
    }
    coh_block_cluster_free(cluster);
    coh_buf_free(&why);
    coh_hash_t root;
    coh_hash_t should =
        coh_test_hash(coh_test_str(json_object_get(r->root, "txOnly"), "postStateRoot"));
    coh_state_root(&root, state);
    if (!coh_hash_eq(&root, &should)) {
        differ(&a, "the flat tables have another state root");
    }
    coh_memview_free(state);
    if (a.wrong_cnt != 0) {
        fail_msg("%s, %u shards, %u threads: %s",
                 r->path,
                 layout->shard_cnt,
                 layout->thread_cnt,
                 a.wrong);
    }
}

static coh_block_cluster_layout_t const layouts[] = {
    {.shard_cnt = 1, .thread_cnt = 1},
    {.shard_cnt = 2, .thread_cnt = 2, .placement = "random:1", .seed = 1},
    {.shard_cnt = 4, .thread_cnt = 1, .placement = "random:2", .home = "random:2", .seed = 2}};

static void run_recording(void *arg, coh_test_realblock_t const *r)
{
    coh_genesis_t genesis;
    coh_buf_t why = COH_BUF_INIT;
    assert_int_equal(coh_realblock_genesis(&genesis, &r->block, &why), COH_OK);
    for (size_t l = 0; l < COH_CNT(layouts); l++) {
        run_layout(r, &genesis, &layouts[l]);
    }
    coh_genesis_free(&genesis);
    coh_buf_free(&why);
    *(size_t *)arg += r->block.tx_cnt;
}

static void realblocks_come_out_as_recorded_in_every_layout(void **state)
{
    (void)state;
    size_t tx_cnt = 0;
    size_t cnt    = coh_test_realblocks("real blocks", run_recording, &tx_cnt);
    if (coh_test_data_dir() != NULL) {
        print_message("%zu blocks, %zu transactions, %zu layouts\n", cnt, tx_cnt, COH_CNT(layouts));
        assert_int_equal(cnt, 75);
        assert_true(tx_cnt > 0);
    }
}

int main(void)
{
    (void)coh_log_init("error", "");
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(realblocks_come_out_as_recorded_in_every_layout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
