/* Blocks of real networks, contracts and all, through clusters of several layouts, in two ways.

   Only their transactions: gas, status and number of logs of each, the block's gas and bloom, and the state root afterwards are those that were recorded. The recording
   holds the state that the block reads, which is taken as all there is; what it expects was computed by another implementation, and gas and bloom are the real header's.

   Whole: with the steps before and after them, by the rules of the fork, under the real header, every field of which that follows from something in the recording is
   compared. What each field is held against:
   - roots of transactions and (since Byzantium) receipts, gas, blob gas, bloom, hash of requests: what the cluster computes;
   - hash of ommers, root of withdrawals: the recorded body, by which the cluster credits;
   - state root, with a witness: the state that is read out of the shards' stores after the block, laid over the witness;
   - before Byzantium the receipts root, with a witness: the cluster's receipts with the state roots in them replaced by those of the whole state, which the sequential
     reference yields after each transaction with the witness. The cluster computes these roots of the recorded part of the state: they must be the reference's;
   - parent's hash, number, timestamp, gas limit, difficulty, base fee, excess blob gas: the parent's header, where that was recorded too; extra data of the DAO's block: EIP-779.
   A recording that lacks what a step needs is named, and replayed without steps; all else is compared then, too.

   COHORT_TEST_LONG=1 replays them whole in 72 layouts: 1, 2, 3 and 8 shards, each with 1, 2 and 4 threads and with each scheduler, at random places, and again at the worst ones (adversary.h)
   with messages delayed by up to 200 us. Another seed of these: COHORT_TEST_SEED. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/alloc.h"
#include "common/chain/header.h"
#include "common/codec/rlp.h"
#include "common/evm/code.h"
#include "common/obs/log.h"
#include "common/state/memview.h"
#include "common/trie/state_root.h"
#include "deploy/cohort/adversary.h"
#include "deploy/cohort/block_cluster.h"
#include "deploy/cohort/realblock_import.h"
#include "deploy/cohort/realblock_state.h"
#include "tests/support/realblocks.h"
#include "tests/support/seed.h"

/* As a layout's placement: by what the block does. */
#define WORST    "adversarial"
#define DELAY_US 200u

static bool is_worst(coh_block_cluster_layout_t const *layout)
{
    return layout->placement != NULL && strcmp(layout->placement, WORST) == 0;
}

/* The placement that is worst for a block, in a layout. */
static char const *place(coh_adversary_t *a, coh_block_cluster_layout_t const *layout)
{
    char const *policy = coh_adversary_policy(a, layout->shard_cnt);
    assert_non_null(policy);
    return policy;
}

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
    coh_block_cluster_visitor_t const visitor = {
        .block = take_block, .walker = {.state = state}, .arg = &a};
    coh_import_block_t const block = coh_realblock_import(&r->block);
    coh_buf_t why                  = COH_BUF_INIT;
    coh_block_cluster_t *cluster   = coh_block_cluster_new(layout);
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
    {.shard_cnt = 4, .thread_cnt = 1, .placement = "random:2", .home = "random:2", .seed = 2},
    {.shard_cnt = 5, .thread_cnt = 2, .placement = WORST, .delay_us = DELAY_US, .seed = 3}};

static void run_recording(void *arg, coh_test_realblock_t const *r)
{
    coh_genesis_t genesis;
    coh_buf_t why = COH_BUF_INIT;
    assert_int_equal(coh_realblock_genesis(&genesis, &r->block, &why), COH_OK);
    coh_adversary_t *adversary     = coh_adversary_new();
    coh_import_block_t const block = coh_realblock_import(&r->block);
    coh_adversary_learn(adversary, &genesis, &block, 1);
    for (size_t l = 0; l < COH_CNT(layouts); l++) {
        coh_block_cluster_layout_t layout = layouts[l];
        layout.placement = is_worst(&layout) ? place(adversary, &layout) : layout.placement;
        run_layout(r, &genesis, &layout);
    }
    coh_adversary_free(adversary);
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

/* ---- whole blocks ---- */

/* One block in all layouts. */
typedef struct {
    char const *path;
    coh_block_cluster_layout_t const *layout;
    coh_realblock_t const *block;
    coh_realblock_whole_t whole;
    coh_realblock_reference_t reference;
    coh_witness_t *witness;
    coh_hash_t part_root; /* of the recorded part of the state after the block */
    coh_hash_t hash;      /* of the header that the first layout made */
    bool has_hash;
    bool has_result;
    uint32_t fields; /* confirmed in this layout */
} run_t;

COH_PRINTF(2, 3) static void fail_run(run_t const *run, char const *fmt, ...)
{
    char text[300];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    fail_msg("%s, %u shards, %u threads, %s scheduler, placement %s: %s",
             run->path,
             run->layout->shard_cnt,
             run->layout->thread_cnt,
             run->layout->scheduler != NULL ? run->layout->scheduler : "default",
             run->layout->placement != NULL ? run->layout->placement : "default",
             text);
}

/* Receipts before Byzantium hold state roots: see above. */
static void check_old_receipts(run_t *run, coh_sealed_t const *sealed)
{
    if (run->reference.whole_roots == NULL) {
        return;
    }
    coh_hash_t root;
    coh_buf_t why = COH_BUF_INIT;
    if (coh_realblock_receipts_root(&root, run->block, sealed, &run->reference, &why) != COH_OK) {
        fail_run(run, "%.*s", (int)why.n, (char const *)why.p);
    }
    if (!coh_hash_eq(&root, &run->whole.block.header.receipts_root)) {
        fail_run(run, "the header has another root of receipts");
    }
    run->fields |= 1u << COH_REALFIELD_RECEIPTS_ROOT;
}

static void take_whole_block(void *arg, coh_import_result_t const *result)
{
    run_t *run = arg;
    if (result->err != COH_OK) {
        coh_buf_t why = COH_BUF_INIT;
        coh_block_fault_put(&why, &result->fault);
        fail_run(run, "%s: %.*s", coh_err_str(result->err), (int)why.n, (char const *)why.p);
    }
    run->has_result = true;
    run->fields     = run->whole.body_fields | run->whole.run_fields;
    if (!coh_hash_eq(&result->sealed->header.state_root, &run->part_root)) {
        fail_run(run, "the recorded part of the state has another root");
    }
    if (!run->has_hash) {
        run->hash     = result->hash;
        run->has_hash = true;
    } else if (!coh_hash_eq(&run->hash, &result->hash)) {
        fail_run(run, "another header than in the first layout");
    }
    check_old_receipts(run, result->sealed);
}

/* arg of the visitor is the run; that of these is the state. */
typedef struct {
    run_t run; /* first: callbacks for the block take it as theirs */
    coh_realstate_t after;
} whole_t;

static void take_account(void *arg, coh_addr_t const *addr, coh_value_t const *value)
{
    whole_t *w = arg;
    coh_realstate_add_account(&w->after, addr, value);
}

static void take_slot(void *arg,
                      coh_addr_t const *addr,
                      coh_u256_t const *slot,
                      coh_u256_t const *value)
{
    whole_t *w = arg;
    coh_realstate_add_slot(&w->after, addr, slot, value);
}

static void check_state_root(whole_t *w)
{
    run_t *run = &w->run;
    if (run->witness == NULL || run->whole.lacks != NULL) {
        return;
    }
    coh_hash_t root;
    coh_buf_t why = COH_BUF_INIT;
    if (coh_realblock_state_root(&root, run->witness, run->block, &w->after, &why) != COH_OK) {
        fail_run(run, "%.*s", (int)why.n, (char const *)why.p);
    }
    if (!coh_hash_eq(&root, &run->whole.block.header.state_root)) {
        fail_run(run, "the header has another state root");
    }
    run->fields |= 1u << COH_REALFIELD_STATE_ROOT;
}

static void run_whole(whole_t *w, coh_genesis_t const *genesis, coh_block_cluster_t *cluster)
{
    coh_block_cluster_visitor_t const visitor = {
        .block  = take_whole_block,
        .walker = {.account = take_account, .slot = take_slot, .arg = w},
        .arg    = w};
    coh_buf_t why     = COH_BUF_INIT;
    w->run.has_result = false;
    if (coh_block_cluster_run(cluster, genesis, &w->run.whole.import.block, 1, &visitor, &why) !=
        COH_OK) {
        fail_run(&w->run, "%.*s", (int)why.n, (char const *)why.p);
    }
    assert_true(w->run.has_result);
    check_state_root(w);
    coh_realstate_free(&w->after);
    coh_buf_free(&why);
}

/* What all recordings come to. */
typedef struct {
    size_t whole_cnt;
    size_t tx_cnt;
    size_t run_cnt;
    size_t confirmed[COH_REALFIELD_CNT]; /* blocks */
    size_t field_cnt;                    /* of all these headers */
    coh_block_cluster_layout_t *layouts;
    coh_block_cluster_t **clusters; /* by layout */
    size_t layout_cnt;
    coh_parent_t *headers; /* of all recordings */
    coh_rules_t *rules;
    size_t header_cnt;
    size_t dao_cnt; /* of these, those whose extra data is given */
} tally_t;

static void make_expectations(run_t *run, coh_test_realblock_t const *r)
{
    coh_buf_t why = COH_BUF_INIT;
    if (coh_realblock_whole_init(&run->whole, run->block, &why) != COH_OK) {
        fail_msg("%s: %.*s", run->path, (int)why.n, (char const *)why.p);
    }
    if (run->whole.lacks != NULL) {
        print_message("only the transactions of %s: %s\n", run->path, run->whole.lacks);
        run->part_root =
            coh_test_hash(coh_test_str(json_object_get(r->root, "txOnly"), "postStateRoot"));
        return;
    }
    if (coh_realblock_reference_run(&run->reference, run->block, &run->whole, &why) != COH_OK) {
        fail_msg("%s, reference: %.*s", run->path, (int)why.n, (char const *)why.p);
    }
    run->part_root = run->reference.sums.state_root;
}

static void note_header(tally_t *t, run_t const *run)
{
    static char const dao_extra[] = "dao-hard-fork"; /* EIP-779 */
    coh_block_t const *block      = &run->whole.block;
    if (run->whole.rules.dao_extra) {
        assert_int_equal(block->header.extra_sz, strlen(dao_extra));
        assert_memory_equal(block->header.extra, dao_extra, strlen(dao_extra));
        t->dao_cnt++;
    }
    assert_true(t->header_cnt < 100);
    t->headers[t->header_cnt] = (coh_parent_t){
        .header = block->header, .hash = block->hash, .header_fork = block->header_fork};
    t->rules[t->header_cnt++] = run->whole.rules;
}

/* By what the file holds. */
static uint32_t confirmable_fields(coh_test_realblock_t const *r)
{
    bool has_witness = !json_is_null(json_object_get(r->root, "witness"));
    bool has_ommers  = !json_is_null(json_object_get(r->root, "ommers"));
    uint32_t fields  = coh_realfields(r->block.fork);
    if (!has_ommers) {
        fields &= ~(1u << COH_REALFIELD_OMMERS_HASH);
    }
    if (!has_witness) {
        fields &= ~(1u << COH_REALFIELD_STATE_ROOT);
    }
    if (!has_witness && r->block.fork < COH_FORK_BYZANTIUM) {
        fields &= ~(1u << COH_REALFIELD_RECEIPTS_ROOT);
    }
    return fields;
}

static void run_whole_recording(void *arg, coh_test_realblock_t const *r)
{
    tally_t *t    = arg;
    whole_t w     = {.run = {.path = r->path, .block = &r->block}};
    coh_buf_t why = COH_BUF_INIT;
    coh_genesis_t genesis;
    uint32_t fields = coh_realfields(r->block.fork);
    make_expectations(&w.run, r);
    w.run.witness = r->block.has_witness ? coh_realblock_witness(&r->block) : NULL;
    assert_int_equal(coh_realblock_genesis(&genesis, &r->block, &why), COH_OK);
    coh_adversary_t *adversary = coh_adversary_new();
    coh_adversary_learn(adversary, &genesis, &w.run.whole.import.block, 1);
    for (size_t l = 0; l < t->layout_cnt; l++) {
        w.run.layout = &t->layouts[l];
        if (is_worst(w.run.layout)) {
            coh_block_cluster_place(t->clusters[l], place(adversary, w.run.layout));
        }
        run_whole(&w, &genesis, t->clusters[l]);
        fields &= w.run.fields;
        t->run_cnt++;
    }
    coh_adversary_free(adversary);
    uint32_t confirmable = confirmable_fields(r);
    if (fields != confirmable) {
        fail_msg("%s: fields %x confirmed, not %x", r->path, fields, confirmable);
    }
    for (uint32_t f = 0; f < COH_REALFIELD_CNT; f++) {
        t->confirmed[f] += fields >> f & 1;
        t->field_cnt += coh_realfields(r->block.fork) >> f & 1;
    }
    t->whole_cnt += w.run.whole.lacks == NULL;
    t->tx_cnt += r->block.tx_cnt;
    note_header(t, &w.run);
    if (w.run.witness != NULL) {
        coh_witness_free(w.run.witness);
    }
    coh_genesis_free(&genesis);
    coh_realblock_reference_free(&w.run.reference);
    coh_realblock_whole_fini(&w.run.whole);
    coh_buf_free(&why);
}

/* Headers whose parent's was recorded too, by the rules for a header on its parent. Returns how many there are. */
static size_t check_lineage(tally_t const *t)
{
    size_t cnt = 0;
    for (size_t i = 0; i < t->header_cnt; i++) {
        for (size_t p = 0; p < t->header_cnt; p++) {
            if (!coh_hash_eq(&t->headers[i].header.parent_hash, &t->headers[p].hash)) {
                continue;
            }
            coh_block_err_t err = coh_header_check(
                &t->headers[i].header, t->headers[i].header_fork, &t->headers[p], &t->rules[i]);
            if (err != COH_BLOCK_OK) {
                fail_msg("header of block %llu: %s",
                         (unsigned long long)t->headers[i].header.number,
                         coh_block_err_str(err));
            }
            cnt++;
            break;
        }
    }
    return cnt;
}

static void print_tally(tally_t const *t, size_t cnt)
{
    size_t confirmed = 0;
    print_message("%zu blocks, %zu of them whole, %zu transactions, %zu layouts, %zu runs\n",
                  cnt,
                  t->whole_cnt,
                  t->tx_cnt,
                  t->layout_cnt,
                  t->run_cnt);
    for (uint32_t f = 0; f < COH_REALFIELD_CNT; f++) {
        print_message("  %-18s confirmed in %zu headers\n",
                      coh_realfield_str((coh_realfield_t)f),
                      t->confirmed[f]);
        confirmed += t->confirmed[f];
    }
    print_message("%zu of %zu computed fields confirmed\n", confirmed, t->field_cnt);
}

static void replay_whole(coh_block_cluster_layout_t *use, size_t layout_cnt)
{
    tally_t t = {.layouts    = use,
                 .layout_cnt = layout_cnt,
                 .clusters   = coh_calloc(layout_cnt, sizeof(*t.clusters)),
                 .headers    = coh_calloc(100, sizeof(*t.headers)),
                 .rules      = coh_calloc(100, sizeof(*t.rules))};
    for (size_t l = 0; l < layout_cnt; l++) {
        t.clusters[l] = coh_block_cluster_new(&use[l]);
    }
    size_t cnt = coh_test_realblocks("whole real blocks", run_whole_recording, &t);
    if (coh_test_data_dir() != NULL) {
        print_tally(&t, cnt);
        size_t heirs = check_lineage(&t);
        print_message("%zu headers follow from their parents'\n", heirs);
        assert_int_equal(cnt, 75);
        assert_int_equal(t.whole_cnt, 67);
        assert_int_equal(t.confirmed[COH_REALFIELD_STATE_ROOT], 33);
        assert_int_equal(heirs, 7);
        assert_int_equal(t.dao_cnt, 1);
    }
    for (size_t l = 0; l < layout_cnt; l++) {
        coh_block_cluster_free(t.clusters[l]);
    }
    free(t.clusters);
    free(t.headers);
    free(t.rules);
}

static void whole_realblocks_confirm_their_headers(void **state)
{
    (void)state;
    static uint32_t const shards[]        = {1, 2, 3, 8};
    static uint32_t const threads[]       = {1, 2, 4};
    static char const *const schedulers[] = {"optimistic", "locking", "sequential"};
    static char placements[72][24];
    coh_block_cluster_layout_t use[72];
    size_t cnt = 0;
    if (getenv("COHORT_TEST_LONG") == NULL) {
        memcpy(use, layouts, sizeof(layouts));
        replay_whole(use, COH_CNT(layouts));
        return;
    }
    uint64_t seed = coh_test_seed_or(1);
    for (size_t s = 0; s < COH_CNT(shards); s++) {
        for (size_t t = 0; t < COH_CNT(threads); t++) {
            for (size_t k = 0; k < 2 * COH_CNT(schedulers); k++) {
                bool worst       = k >= COH_CNT(schedulers);
                char const *home = worst ? NULL : placements[cnt];
                (void)snprintf(placements[cnt],
                               sizeof(placements[cnt]),
                               worst ? WORST : "random:%u",
                               (unsigned)(seed * 100 + cnt));
                use[cnt] = (coh_block_cluster_layout_t){.shard_cnt  = shards[s],
                                                        .thread_cnt = threads[t],
                                                        .scheduler  = schedulers[k % 3],
                                                        .placement  = placements[cnt],
                                                        .home       = home,
                                                        .delay_us   = worst ? DELAY_US : 0,
                                                        .seed       = seed * 100 + cnt};
                cnt++;
            }
        }
    }
    replay_whole(use, cnt);
}

int main(void)
{
    (void)coh_log_init("error", "");
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(realblocks_come_out_as_recorded_in_every_layout),
        cmocka_unit_test(whole_realblocks_confirm_their_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
