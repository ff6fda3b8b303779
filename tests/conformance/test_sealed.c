/* What recorded blocks commit to, executed here one transaction after another: receipts, blooms and the roots of lists against the headers (receipts from Byzantium on) and
   against what npm's @ethereumjs/vm, an independent implementation, computed of the same pre-state (all receipts and both state roots). The
   state roots come out of incremental tries, fed with each block's writes, or each transaction's where receipts hold the root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/codec/receipt.h"
#include "common/crypto/keccak.h"
#include "common/evm/transition.h"
#include "common/state/memview.h"
#include "common/trie/account.h"
#include "common/trie/root.h"
#include "common/trie/roots.h"
#include "tests/support/realblocks.h"

/* ---- State in tries ---- */

/* A slot or account that was written since the tries were last brought up to date. */
typedef struct {
    coh_hash_t account; /* keccak256 of the address */
    coh_hash_t slot;    /* keccak256 of the slot; of accounts zero */
    coh_addr_t addr;
    coh_u256_t slot_word;
    bool is_slot;
} touch_t;

typedef struct {
    coh_memview_t *mv;
    coh_kv_t *kv;
    coh_mpt_t *mpt;
    coh_roots_t *roots;
    uint64_t block;
    touch_t *touches;
    size_t cnt;
    size_t cap;
} tries_t;

static void touch(tries_t *t, coh_addr_t const *addr, coh_u256_t const *slot)
{
    if (t->cnt == t->cap) {
        t->cap     = t->cap == 0 ? 64 : t->cap * 2;
        t->touches = coh_realloc(t->touches, t->cap * sizeof(*t->touches));
    }
    touch_t *touch = &t->touches[t->cnt++];
    *touch         = (touch_t){.addr = *addr, .is_slot = slot != NULL};
    coh_keccak256(&touch->account, addr->b, sizeof(addr->b));
    if (slot != NULL) {
        uint8_t text[32];
        coh_u256_to_be(text, slot);
        touch->slot_word = *slot;
        coh_keccak256(&touch->slot, text, sizeof(text));
    }
}

/* By account; the account itself before its slots. */
static int compare_touches(void const *a, void const *b)
{
    touch_t const *x = a;
    touch_t const *y = b;
    int order        = memcmp(x->account.b, y->account.b, sizeof(coh_hash_t));
    if (order == 0) {
        order = (int)x->is_slot - (int)y->is_slot;
    }
    return order != 0 ? order : memcmp(x->slot.b, y->slot.b, sizeof(coh_hash_t));
}

static void add_slot(void *arg, coh_u256_t const *slot, coh_u256_t const *value)
{
    void **args = arg;
    (void)value;
    touch(args[0], args[1], slot);
}

static void add_account(void *arg, coh_addr_t const *addr, coh_value_t const *value)
{
    tries_t *t = arg;
    void *args[2];
    coh_addr_t copy = *addr;
    (void)value;
    args[0] = t;
    args[1] = &copy;
    touch(t, addr, NULL);
    coh_memview_slots(t->mv, addr, add_slot, args);
}

/* Brings the storage of the account whose touches are lo..hi-1 up to date; its present generation. */
static void update_storage(tries_t *t, coh_hash_t *root, size_t lo, size_t hi)
{
    coh_addr_t const *addr    = &t->touches[lo].addr;
    coh_value_t value         = coh_memview_account(t->mv, addr);
    coh_mpt_change_t *changes = coh_calloc(hi - lo, sizeof(*changes));
    coh_buf_t text            = COH_BUF_INIT;
    coh_mpt_job_t job = {.id      = coh_mpt_id_storage(&t->touches[lo].account, value.generation),
                         .changes = changes};
    coh_buf_grow(&text, (hi - lo) * 33);
    for (size_t i = lo; i < hi; i++) {
        touch_t const *touch = &t->touches[i];
        if (touch->is_slot &&
            (job.cnt == 0 || !coh_hash_eq(&changes[job.cnt - 1].key, &touch->slot))) {
            coh_u256_t word = coh_memview_slot(t->mv, addr, &touch->slot_word);
            size_t start    = text.n;
            if (!coh_u256_is_zero(&word)) {
                coh_rlp_put_u256(&text, &word);
            }
            changes[job.cnt].key     = touch->slot;
            changes[job.cnt++].value = coh_bytes(text.p + start, text.n - start);
        }
    }
    assert_int_equal(coh_mpt_update(t->mpt, t->block, &job, 1, NULL), COH_OK);
    coh_node_root(root, &job.node);
    coh_buf_free(&text);
    free(changes);
}

/* The state root after all that was touched. */
static void update_tries(tries_t *t, coh_hash_t *root)
{
    t->block++;
    if (t->cnt != 0) {
        qsort(t->touches, t->cnt, sizeof(*t->touches), compare_touches);
    }
    for (size_t lo = 0; lo < t->cnt;) {
        size_t hi = lo + 1;
        while (hi < t->cnt && coh_hash_eq(&t->touches[hi].account, &t->touches[lo].account)) {
            hi++;
        }
        coh_value_t value     = coh_memview_account(t->mv, &t->touches[lo].addr);
        coh_mpt_change_t self = {.key = t->touches[lo].account};
        coh_buf_t rlp         = COH_BUF_INIT;
        if ((value.flags & COH_ACCOUNT_EXISTS) != 0) {
            coh_trie_account_t account = {
                .nonce     = value.nonce,
                .balance   = value.word,
                .code_hash = coh_value_has_code(&value) ? value.code_hash : COH_KECCAK_EMPTY};
            update_storage(t, &account.storage_root, lo, hi);
            coh_trie_account_put(&rlp, &account);
            coh_trie_account_t back;
            assert_int_equal(coh_trie_account_get(&back, coh_buf_bytes(&rlp)), COH_OK);
            assert_memory_equal(&back, &account, sizeof(back));
            self.value = coh_buf_bytes(&rlp);
        }
        uint32_t bucket   = (uint32_t)self.key.b[0] << 4 | self.key.b[1] >> 4;
        coh_mpt_job_t job = {.id = coh_mpt_id_bucket(bucket), .changes = &self, .cnt = 1};
        assert_int_equal(coh_mpt_update(t->mpt, t->block, &job, 1, NULL), COH_OK);
        coh_roots_put(t->roots, bucket, &job.node, NULL);
        coh_buf_free(&rlp);
        lo = hi;
    }
    t->cnt = 0;
    coh_roots_compute(t->roots, root);
}

static void tries_init(tries_t *t, coh_memview_t *mv)
{
    *t = (tries_t){.mv = mv, .roots = coh_roots_new()};
    assert_int_equal(coh_kv_mem_open(&t->kv), COH_OK);
    coh_mpt_config_t config = {.kv              = t->kv,
                               .table           = COH_KV_TRIE,
                               .cache_bytes     = (size_t)16 << 20,
                               .dirty_bytes_max = SIZE_MAX,
                               .page_bytes      = 1000};
    t->mpt                  = coh_mpt_new(&config);
    coh_memview_accounts(mv, add_account, t);
}

static void tries_fini(tries_t *t)
{
    coh_mpt_free(t->mpt);
    t->kv->ops->close(t->kv);
    coh_roots_free(t->roots);
    free(t->touches);
}

/* ---- Blocks ---- */

/* The receipts of a block. */
typedef struct {
    coh_buf_t text;
    size_t *ends;
    size_t cnt;
    uint8_t bloom[COH_BLOOM_SZ];
    uint64_t gas_used;
} receipts_t;

static void execute(receipts_t *out,
                    tries_t *t,
                    coh_transition_t *transition,
                    coh_block_env_t const *env,
                    coh_bytes_t raw,
                    coh_addr_t const *sender)
{
    coh_tx_t tx;
    assert_int_equal(coh_tx_decode(&tx, raw), COH_TX_OK);
    coh_transition_begin(transition, env, &tx, sender, coh_memview_view(t->mv));
    assert_int_equal(coh_transition_run(transition), COH_TRANSITION_DONE);
    coh_outcome_t const *outcome = coh_transition_outcome(transition);
    assert_int_equal(outcome->verdict, COH_TX_OK);
    coh_memview_apply(t->mv, outcome);
    for (uint32_t i = 0; i < outcome->write_cnt; i++) {
        coh_key_t const *key = &outcome->writes[i].key;
        if (key->kind == COH_KEY_ACCOUNT || key->kind == COH_KEY_SLOT) {
            touch(t, &key->addr, NULL); /* of a slot, the account too: its storage root changes */
        }
        if (key->kind == COH_KEY_SLOT) {
            touch(t, &key->addr, &key->slot);
        }
    }
    out->gas_used += outcome->gas_used;
    coh_receipt_t receipt = {.type           = tx.type,
                             .status         = outcome->status,
                             .has_root       = env->fork < COH_FORK_BYZANTIUM,
                             .cumulative_gas = out->gas_used};
    coh_buf_t logs        = COH_BUF_INIT;
    coh_outcome_put_logs(&logs, outcome);
    receipt.logs = coh_buf_bytes(&logs);
    assert_true(coh_bloom_add_logs(receipt.bloom, receipt.logs));
    if (receipt.has_root) {
        update_tries(t, &receipt.root);
    }
    coh_bloom_merge(out->bloom, receipt.bloom);
    coh_receipt_put(&out->text, &receipt);
    out->ends[out->cnt++] = out->text.n;
    coh_buf_free(&logs);
}

static void list_root(coh_hash_t *root, coh_buf_t const *text, size_t const *ends, size_t cnt)
{
    coh_bytes_t *values = coh_calloc(cnt + 1, sizeof(*values));
    for (size_t i = 0; i < cnt; i++) {
        size_t start = i == 0 ? 0 : ends[i - 1];
        values[i]    = coh_bytes(text->p + start, ends[i] - start);
    }
    coh_root_list(root, values, cnt);
    free(values);
}

static void expect_hash(char const *path,
                        char const *what,
                        coh_hash_t const *got,
                        char const *want_text)
{
    coh_hash_t want = coh_test_hash(want_text);
    if (!coh_hash_eq(got, &want)) {
        fail_msg("%s: wrong %s", path, what);
    }
}

static void check_withdrawals(char const *path, json_t const *root)
{
    json_t *list     = json_object_get(root, "withdrawals");
    json_t *header   = json_object_get(root, "header");
    char const *want = json_string_value(json_object_get(header, "withdrawalsRoot"));
    if (want == NULL) {
        return;
    }
    size_t cnt     = json_array_size(list);
    size_t *ends   = coh_calloc(cnt + 1, sizeof(*ends));
    coh_buf_t text = COH_BUF_INIT;
    for (size_t i = 0; i < cnt; i++) {
        json_t *item       = json_array_get(list, i);
        coh_withdrawal_t w = {.index       = coh_test_u64(coh_test_str(item, "index")),
                              .validator   = coh_test_u64(coh_test_str(item, "validatorIndex")),
                              .addr        = coh_test_addr(coh_test_str(item, "address")),
                              .amount_gwei = coh_test_u64(coh_test_str(item, "amountGwei"))};
        coh_withdrawal_put(&text, &w);
        ends[i] = text.n;
    }
    coh_hash_t got;
    list_root(&got, &text, ends, cnt);
    expect_hash(path, "withdrawals root", &got, want);
    coh_buf_free(&text);
    free(ends);
}

static void check_block(void *arg, coh_test_realblock_t const *r)
{
    (void)arg;
    char const *path     = r->path;
    json_t const *root   = r->root;
    json_t *header       = json_object_get(root, "header");
    json_t *tx_only      = json_object_get(root, "txOnly");
    coh_block_env_t env  = coh_realblock_env(&r->block);
    coh_memview_t *mv    = coh_test_load_pre(&r->block);
    receipts_t receipts  = {.ends = coh_calloc(r->block.tx_cnt + 1, sizeof(size_t))};
    coh_transition_t *tr = coh_transition_new();
    tries_t tries;
    coh_hash_t got;
    tries_init(&tries, mv);
    update_tries(&tries, &got);
    expect_hash(path, "state root before", &got, coh_test_str(tx_only, "preStateRoot"));
    for (size_t i = 0; i < r->block.tx_cnt; i++) {
        execute(&receipts, &tries, tr, &env, r->block.raws[i], &r->block.senders[i]);
    }
    update_tries(&tries, &got);
    expect_hash(path, "state root after", &got, coh_test_str(tx_only, "postStateRoot"));
    list_root(&got, &receipts.text, receipts.ends, receipts.cnt);
    expect_hash(path, "receipts root", &got, coh_test_str(tx_only, "receiptsRoot"));
    if (env.fork >= COH_FORK_BYZANTIUM) {
        expect_hash(path, "receipts root in the header", &got, coh_test_str(header, "receiptTrie"));
    }
    assert_int_equal(receipts.gas_used, coh_test_u64(coh_test_str(header, "gasUsed")));
    coh_buf_t bloom = COH_BUF_INIT;
    assert_true(coh_test_hex(&bloom, coh_test_str(header, "logsBloom")));
    assert_int_equal(bloom.n, COH_BLOOM_SZ);
    if (memcmp(bloom.p, receipts.bloom, COH_BLOOM_SZ) != 0) {
        fail_msg("%s: wrong bloom", path);
    }
    check_withdrawals(path, root);
    coh_buf_free(&bloom);
    coh_buf_free(&receipts.text);
    free(receipts.ends);
    coh_transition_free(tr);
    tries_fini(&tries);
    coh_memview_free(mv);
}

static void sealed_recorded_blocks(void **state)
{
    (void)state;
    size_t cnt = coh_test_realblocks("receipts and roots of recorded blocks", check_block, NULL);
    if (coh_test_data_dir() != NULL) {
        assert_int_equal(cnt, 75);
    }
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(sealed_recorded_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
