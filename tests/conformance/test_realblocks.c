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

#include "common/base/alloc.h"
#include "common/codec/blob.h"
#include "common/codec/rlp.h"
#include "common/crypto/keccak.h"
#include "common/evm/code.h"
#include "common/obs/log.h"
#include "common/state/memview.h"
#include "common/trie/state_root.h"
#include "deploy/cohort/block_cluster.h"
#include "tests/support/data.h"

static struct {
    char const *name;
    coh_fork_t fork;
    coh_blob_step_t blobs;
} const forks[] = {
    {"chainstart", COH_FORK_FRONTIER, COH_BLOB_STEP_CNT},
    {"homestead", COH_FORK_HOMESTEAD, COH_BLOB_STEP_CNT},
    {"dao", COH_FORK_HOMESTEAD, COH_BLOB_STEP_CNT},
    {"tangerineWhistle", COH_FORK_TANGERINE, COH_BLOB_STEP_CNT},
    {"spuriousDragon", COH_FORK_SPURIOUS, COH_BLOB_STEP_CNT},
    {"byzantium", COH_FORK_BYZANTIUM, COH_BLOB_STEP_CNT},
    {"petersburg", COH_FORK_PETERSBURG, COH_BLOB_STEP_CNT},
    {"istanbul", COH_FORK_ISTANBUL, COH_BLOB_STEP_CNT},
    {"muirGlacier", COH_FORK_ISTANBUL, COH_BLOB_STEP_CNT},
    {"berlin", COH_FORK_BERLIN, COH_BLOB_STEP_CNT},
    {"london", COH_FORK_LONDON, COH_BLOB_STEP_CNT},
    {"arrowGlacier", COH_FORK_LONDON, COH_BLOB_STEP_CNT},
    {"grayGlacier", COH_FORK_LONDON, COH_BLOB_STEP_CNT},
    {"paris", COH_FORK_PARIS, COH_BLOB_STEP_CNT},
    {"shanghai", COH_FORK_SHANGHAI, COH_BLOB_STEP_CNT},
    {"cancun", COH_FORK_CANCUN, COH_BLOB_CANCUN},
    {"prague", COH_FORK_PRAGUE, COH_BLOB_PRAGUE},
    {"bpo2", COH_FORK_OSAKA, COH_BLOB_BPO2},
};

typedef struct {
    json_t *root;
    coh_fork_t fork;
    coh_import_block_t block;
    coh_genesis_t genesis;
} recording_t;

static coh_bytes_t octets(char const *text)
{
    coh_buf_t buf = COH_BUF_INIT;
    assert_true(coh_test_hex(&buf, text));
    coh_bytes_t out = coh_buf_bytes(&buf);
    return out.p != NULL ? out : coh_bytes(coh_calloc(1, 1), 0);
}

static void load_block(recording_t *r)
{
    json_t *header = json_object_get(r->root, "header");
    json_t *raws   = json_object_get(r->root, "transactions");
    size_t cnt     = json_array_size(raws);
    size_t f       = 0;
    while (f < COH_CNT(forks) && strcmp(forks[f].name, coh_test_str(r->root, "fork")) != 0) {
        f++;
    }
    assert_true(f < COH_CNT(forks));
    r->fork  = forks[f].fork;
    r->block = (coh_import_block_t){.number    = coh_test_u64(coh_test_str(header, "number")),
                                    .fork      = r->fork,
                                    .timestamp = coh_test_u64(coh_test_str(header, "timestamp")),
                                    .gas_limit = coh_test_u64(coh_test_str(header, "gasLimit")),
                                    .coinbase  = coh_test_addr(coh_test_str(header, "coinbase")),
                                    .tx_cnt    = (uint32_t)cnt};
    if (r->fork >= COH_FORK_LONDON) {
        r->block.base_fee = coh_test_u256(coh_test_str(header, "baseFeePerGas"));
    }
    if (r->fork >= COH_FORK_PARIS) {
        coh_hash_t mix       = coh_test_hash(coh_test_str(header, "mixHash"));
        r->block.prev_randao = coh_u256_from_be(mix.b, sizeof(mix.b));
    } else {
        r->block.prev_randao = coh_test_u256(coh_test_str(header, "difficulty"));
    }
    if (r->fork >= COH_FORK_CANCUN) {
        coh_blob_params_t blobs = coh_blob_params_default(forks[f].blobs);
        r->block.blob_max       = blobs.max;
        r->block.blob_base_fee  = coh_blob_base_fee(
            coh_test_u64(coh_test_str(header, "excessBlobGas")), blobs.update_fraction);
    }
    coh_bytes_t *bytes   = coh_calloc(cnt, sizeof(*bytes));
    coh_addr_t *senders  = coh_calloc(cnt, sizeof(*senders));
    json_t *sender_texts = json_object_get(r->root, "senders");
    for (size_t i = 0; i < cnt; i++) {
        bytes[i]   = octets(json_string_value(json_array_get(raws, i)));
        senders[i] = coh_test_addr(json_string_value(json_array_get(sender_texts, i)));
    }
    r->block.raws    = bytes;
    r->block.senders = senders;
}

static void load_state(recording_t *r)
{
    coh_genesis_t *g = &r->genesis;
    json_t *pre      = json_object_get(r->root, "pre");
    json_t *codes    = json_object_get(r->root, "codes");
    char const *key;
    json_t *v;
    *g = (coh_genesis_t){.chain_id  = coh_test_u64(coh_test_str(r->root, "chainId")),
                         .number    = r->block.number - 1,
                         .gas_limit = r->block.gas_limit,
                         .base_fee  = r->block.base_fee,
                         .alloc     = coh_calloc(json_object_size(pre), sizeof(*g->alloc))};
    for (int fork = 0; fork < COH_FORK_CNT; fork++) {
        g->fork_at[fork] = fork <= (int)r->fork ? 0 : UINT64_MAX;
    }
    json_object_foreach (pre, key, v) {
        coh_genesis_account_t *a = &g->alloc[g->alloc_cnt++];
        json_t *storage          = json_object_get(v, "storage");
        *a                       = (coh_genesis_account_t){.addr    = coh_test_addr(key),
                                                           .nonce   = coh_test_u64(coh_test_str(v, "nonce")),
                                                           .balance = coh_test_u256(coh_test_str(v, "balance")),
                                                           .slots =
                                                               coh_calloc(json_object_size(storage), sizeof(*a->slots))};
        if (json_object_get(v, "codeHash") != NULL) {
            a->code = octets(coh_test_str(codes, coh_test_str(v, "codeHash")));
        }
        char const *slot;
        json_t *word;
        json_object_foreach (storage, slot, word) {
            a->slots[a->slot_cnt++] = (coh_genesis_slot_t){
                .key = coh_test_u256(slot), .value = coh_test_u256(json_string_value(word))};
        }
    }
    g->ancestor_cnt = (uint32_t)COH_MIN(r->block.number, 256);
    g->ancestors    = coh_calloc(g->ancestor_cnt, sizeof(*g->ancestors));
    json_object_foreach (json_object_get(r->root, "blockHashes"), key, v) {
        uint64_t back = r->block.number - strtoull(key, NULL, 10);
        assert_true(back >= 1 && back <= g->ancestor_cnt);
        g->ancestors[g->ancestor_cnt - back] = coh_test_hash(json_string_value(v));
    }
    coh_buf_t why = COH_BUF_INIT;
    assert_int_equal(coh_genesis_finish(g, &why), COH_OK);
    coh_buf_free(&why);
}

static void free_recording(recording_t *r)
{
    for (uint32_t i = 0; i < r->block.tx_cnt; i++) {
        free((void *)(uintptr_t)r->block.raws[i].p);
    }
    free((void *)(uintptr_t)r->block.raws);
    free((void *)(uintptr_t)r->block.senders);
    coh_genesis_free(&r->genesis);
    json_decref(r->root);
}

/* ---- what a cluster makes of it ---- */

typedef struct {
    recording_t const *recording;
    coh_memview_t *state;
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

static void take_block(void *arg, coh_import_result_t const *result)
{
    answer_t *a    = arg;
    json_t *wanted = json_object_get(a->recording->root, "txOnly");
    json_t *txs    = json_object_get(wanted, "txs");
    if (result->err != COH_OK || result->sealed->tx_cnt != json_array_size(txs)) {
        differ(a,
               "%s, transaction %u: %s",
               coh_err_str(result->err),
               result->bad_tx_idx,
               coh_tx_err_str((coh_tx_err_t)result->bad_verdict));
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
    coh_bytes_t bloom = octets(coh_test_str(wanted, "logsBloom"));
    if (!coh_bytes_eq(
            bloom, coh_bytes(result->sealed->header.bloom, sizeof(result->sealed->header.bloom)))) {
        differ(a, "another bloom");
    }
    free((void *)(uintptr_t)bloom.p);
    if (result->gas_used != number_of(wanted, "gasUsed")) {
        differ(a, "another sum of gas");
    }
}

/* An account by its hash of code: the state root needs no more, but the view wants the bytes. */
typedef struct {
    coh_hash_t hash;
    coh_bytes_t code;
} code_t;

static struct {
    code_t *v;
    size_t cnt;
} codes;

static void take_code(void *arg, coh_hash_t const *hash, coh_bytes_t code)
{
    (void)arg;
    codes.v              = coh_realloc(codes.v, (codes.cnt + 1) * sizeof(*codes.v));
    uint8_t *copy        = coh_calloc(1, code.n + 1);
    codes.v[codes.cnt++] = (code_t){.hash = *hash, .code = coh_bytes(copy, code.n)};
    memcpy(copy, code.p, code.n);
}

static void take_account(void *arg, coh_addr_t const *addr, coh_value_t const *value)
{
    answer_t *a = arg;
    size_t i    = 0;
    while (i < codes.cnt && !coh_hash_eq(&codes.v[i].hash, &value->code_hash)) {
        i++;
    }
    if (i == codes.cnt && coh_value_has_code(value)) {
        differ(a, "code is missing");
    }
    coh_memview_put_account(a->state,
                            addr,
                            value->nonce,
                            &value->word,
                            i < codes.cnt ? codes.v[i].code : (coh_bytes_t){0});
}

static void take_slot(void *arg,
                      coh_addr_t const *addr,
                      coh_u256_t const *slot,
                      coh_u256_t const *value)
{
    coh_memview_put_slot(((answer_t *)arg)->state, addr, slot, value);
}

static void run_recording(recording_t const *r,
                          char const *path,
                          coh_block_cluster_layout_t const *layout)
{
    static coh_coder_t const coder = {.make = coh_code_new, .release = coh_code_unref};
    answer_t a                     = {.recording = r, .state = coh_memview_new(&coder, r->fork)};
    coh_block_cluster_visitor_t const visitor = {.block   = take_block,
                                                 .account = take_account,
                                                 .slot    = take_slot,
                                                 .code    = take_code,
                                                 .arg     = &a};
    coh_buf_t why                             = COH_BUF_INIT;
    coh_block_cluster_t *cluster              = coh_block_cluster_new(layout);
    if (coh_block_cluster_run(cluster, &r->genesis, &r->block, 1, &visitor, &why) != COH_OK) {
        differ(&a, "%.*s", (int)why.n, (char const *)why.p);
    }
    coh_block_cluster_free(cluster);
    coh_buf_free(&why);
    coh_hash_t root;
    coh_hash_t should =
        coh_test_hash(coh_test_str(json_object_get(r->root, "txOnly"), "postStateRoot"));
    coh_state_root(&root, a.state);
    if (!coh_hash_eq(&root, &should)) {
        differ(&a, "another state root");
    }
    coh_memview_free(a.state);
    for (size_t i = 0; i < codes.cnt; i++) {
        free((void *)(uintptr_t)codes.v[i].code.p);
    }
    free(codes.v);
    codes.v   = NULL;
    codes.cnt = 0;
    if (a.wrong_cnt != 0) {
        fail_msg(
            "%s, %u shards, %u threads: %s", path, layout->shard_cnt, layout->thread_cnt, a.wrong);
    }
}

static void realblocks_come_out_as_recorded_in_every_layout(void **state)
{
    (void)state;
    static coh_block_cluster_layout_t const layouts[] = {
        {.shard_cnt = 1, .thread_cnt = 1},
        {.shard_cnt = 2, .thread_cnt = 2, .placement = "random:1", .seed = 1},
        {.shard_cnt = 4, .thread_cnt = 1, .placement = "random:2", .home = "random:2", .seed = 2}};
    char const *dir = coh_test_data_dir();
    if (dir == NULL) {
        coh_test_skip("real blocks");
        return;
    }
    char **files;
    size_t cnt    = coh_test_files(&files, dir, "realblocks", ".json");
    size_t tx_cnt = 0;
    for (size_t i = 0; i < cnt; i++) {
        recording_t r = {.root = coh_test_json(files[i])};
        load_block(&r);
        load_state(&r);
        for (size_t l = 0; l < COH_CNT(layouts); l++) {
            run_recording(&r, files[i], &layouts[l]);
        }
        tx_cnt += r.block.tx_cnt;
        free_recording(&r);
    }
    coh_test_files_free(files);
    print_message("%zu blocks, %zu transactions, %zu layouts\n", cnt, tx_cnt, COH_CNT(layouts));
    assert_true(cnt > 0 && tx_cnt > 0);
}

int main(void)
{
    (void)coh_log_init("error", "");
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(realblocks_come_out_as_recorded_in_every_layout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
