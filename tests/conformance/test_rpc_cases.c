/* The conformance cases of ethereum/execution-apis that a chain's blocks and transactions answer: the chain of the suite is laid down block by block, and every answer is
   compared with the recorded one, member by member. Cases that ask for what comes from execution (receipts, logs, state) need a node that has imported the chain:
   rpc.mjs compares all cases with one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/alloc.h"
#include "common/codec/rlp.h"
#include "common/codec/tx.h"
#include "tests/support/data.h"
#include "tests/support/rpcworld.h"

/* Folders whose cases are answered by blocks and transactions, and by the head. */
static char const *const folders[] = {
    "debug_getRawBlock",
    "debug_getRawHeader",
    "debug_getRawTransaction",
    "eth_baseFee",
    "eth_blobBaseFee",
    "eth_blockNumber",
    "eth_chainId",
    "eth_config",
    "eth_getBlockByHash",
    "eth_getBlockByNumber",
    "eth_getBlockTransactionCountByHash",
    "eth_getBlockTransactionCountByNumber",
    "eth_getTransactionByBlockHashAndIndex",
    "eth_getTransactionByBlockNumberAndIndex",
    "eth_getTransactionByHash",
    "eth_sendRawTransaction",
    "eth_syncing",
    "net_version",
};

static coh_genesis_t genesis;
static coh_rpcworld_t world;

/* add_block lays down one block of chain.rlp: [header, transactions, ommers, withdrawals]. */
static void add_block(coh_rlp_t *chain)
{
    coh_rlp_t block;
    coh_rlp_t list;
    coh_rlp_kind_t kind;
    coh_bytes_t payload;
    coh_bytes_t header;
    coh_header_t h;
    coh_fork_t by_fields;
    coh_buf_t scratch         = COH_BUF_INIT;
    coh_rpcworld_tx_t txs[64] = {{.status = 0}};
    uint32_t cnt              = 0;
    assert_int_equal(coh_rlp_list(chain, &block), COH_OK);
    assert_int_equal(coh_rlp_next_raw(&block, &kind, &payload, &header), COH_OK);
    assert_int_equal(coh_header_decode(&h, &by_fields, header), COH_OK);
    assert_int_equal(coh_rlp_list(&block, &list), COH_OK);
    while (!coh_rlp_at_end(&list)) {
        coh_tx_t tx;
        coh_bytes_t item;
        assert_true(cnt < COH_CNT(txs));
        assert_int_equal(coh_rlp_next_raw(&list, &kind, &payload, &item), COH_OK);
        txs[cnt].raw = kind == COH_RLP_LIST ? item : payload;
        assert_int_equal(coh_tx_decode(&tx, txs[cnt].raw), COH_TX_OK);
        coh_tx_recover_t recovered = {.tx = &tx};
        (void)coh_tx_recover_batch(&recovered, 1, &scratch);
        assert_int_equal(recovered.err, COH_TX_OK);
        txs[cnt].sender   = recovered.sender;
        txs[cnt].gas_used = cnt == 0 ? h.gas_used : 0; /* whose it is, nobody asks here */
        cnt++;
    }
    world.extra = coh_bytes(block.p, (size_t)(block.end - block.p));
    coh_rpcworld_add(&world, header, coh_genesis_fork(&genesis, h.number, h.timestamp), txs, cnt);
    coh_buf_free(&scratch);
}

/* Cases that are left out. */
static struct {
    char const *name;
    char const *why;
} const left_outs[] = {
    {"get-genesis.io", "the chain's file begins after the genesis block"},
};

static bool is_left_out(char const *file)
{
    for (size_t i = 0; i < COH_CNT(left_outs); i++) {
        if (strstr(file, left_outs[i].name) != NULL) {
            printf("left out: %s: %s\n", file, left_outs[i].why);
            return true;
        }
    }
    return false;
}

/* run_case compares one case; false if its file holds no request. */
static bool run_case(char const *path)
{
    coh_buf_t text = COH_BUF_INIT;
    coh_test_file(&text, "", path);
    coh_buf_put_u8(&text, 0);
    char *request = strstr((char *)text.p, ">> ");
    char *answer  = strstr((char *)text.p, "<< ");
    bool there    = request != NULL && answer != NULL;
    if (there) {
        request += 3;
        request[strcspn(request, "\n")] = '\0';
        answer += 3;
        answer[strcspn(answer, "\n")] = '\0';
        json_t *expected              = json_loads(answer, JSON_DECODE_ANY, NULL);
        json_t *got = json_loads(coh_rpcworld_call(&world, request), JSON_DECODE_ANY, NULL);
        assert_non_null(expected);
        if (!json_equal(expected, got)) {
            fail_msg("%s\n got      %s\n expected %s", path, world.answer, answer);
        }
        json_decref(expected);
        json_decref(got);
    }
    coh_buf_free(&text);
    return there;
}

static void run_cases(char const *dir, bool on_disk, uint32_t *run)
{
    world.on_disk = on_disk;
    for (size_t i = 0; i < COH_CNT(folders); i++) {
        char sub[64];
        char **files;
        (void)snprintf(sub, sizeof(sub), "rpc/%s", folders[i]);
        size_t cnt = coh_test_files(&files, dir, sub, ".io");
        assert_true(cnt > 0);
        for (size_t k = 0; k < cnt; k++) {
            *run += !is_left_out(files[k]) && run_case(files[k]);
        }
        coh_test_files_free(files);
    }
}

static void rpc_answers_as_recorded(void **state)
{
    (void)state;
    char const *dir = coh_test_data_dir();
    if (dir == NULL) {
        coh_test_skip("cases of ethereum/execution-apis");
        return;
    }
    char path[1024];
    coh_buf_t text = COH_BUF_INIT;
    coh_buf_t file = COH_BUF_INIT;
    (void)snprintf(path, sizeof(path), "%s/rpc/genesis.json", dir);
    assert_int_equal(coh_genesis_load(&genesis, path, &text), COH_OK);
    coh_rpcworld_init(&world, &genesis);
    coh_test_file(&file, dir, "rpc/chain.rlp");
    coh_rlp_t chain = coh_rlp_reader(coh_buf_bytes(&file));
    while (!coh_rlp_at_end(&chain)) {
        add_block(&chain);
    }
    assert_int_equal(world.block_cnt, 54);
    uint32_t run = 0;
    run_cases(dir, false, &run);
    run_cases(dir, true, &run);
    printf("%u answers equal\n", run);
    assert_true(run >= 40);
    coh_rpcworld_fini(&world);
    coh_genesis_free(&genesis);
    coh_buf_free(&file);
    coh_buf_free(&text);
}

int main(void)
{
    struct CMUnitTest const tests[] = {cmocka_unit_test(rpc_answers_as_recorded)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
