/* Block-level access lists (EIP-7928) out of the sequential reference: of a recorded block, which is executed as a whole and held against what its header says of gas, receipts,
   logs and requests, the list that the makers of ethereumjs' tooling published for it; and of a block of our own the list as read off the EIP. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/hex.h"
#include "common/chain/access_list.h"
#include "common/chain/execute.h"
#include "common/crypto/keccak.h"
#include "tests/support/data.h"
#include "tests/support/evmasm.h"
#include "tests/support/txgen.h"

#define RECORDED "24476005" /* the one of the published lists whose state before it is recorded */

/* ---- The published form, as RLP ---- */

static int compare_addresses(void const *a, void const *b)
{
    return strcmp(coh_test_str(*(json_t *const *)a, "address"),
                  coh_test_str(*(json_t *const *)b, "address"));
}

/* "0x" is zero. */
static coh_u256_t quantity(json_t const *v)
{
    char const *text = json_string_value(v);
    return strcmp(text, "0x") == 0 ? COH_U256_ZERO : coh_test_u256(text);
}

/* By number: the published lists are sorted by the text, which has no leading zeros. */
static int compare_slots(void const *a, void const *b)
{
    coh_u256_t x = quantity(json_object_get(*(json_t *const *)a, "slot"));
    coh_u256_t y = quantity(json_object_get(*(json_t *const *)b, "slot"));
    return coh_u256_lt(&x, &y) ? -1 : coh_u256_lt(&y, &x);
}

/* The members of list in order; to be freed. */
static json_t **sorted_items(json_t const *list, int (*compare)(void const *, void const *))
{
    size_t cnt     = json_array_size(list);
    json_t **items = calloc(cnt + 1, sizeof(*items));
    assert_non_null(items);
    for (size_t i = 0; i < cnt; i++) {
        items[i] = json_array_get(list, i);
    }
    qsort(items, cnt, sizeof(*items), compare);
    return items;
}

static void put_quantity(coh_buf_t *out, json_t const *v)
{
    coh_u256_t word = quantity(v);
    coh_rlp_put_u256(out, &word);
}

/* [[index, value], ...]. The published lists hold each value that a transaction wrote on its way too; EIP-7928 wants the one after it, the last with its index. */
static void put_changes(coh_buf_t *out, json_t const *changes, char const *value_key)
{
    size_t at = out->n;
    size_t i;
    json_t *change;
    json_array_foreach (changes, i, change) {
        json_t const *next = json_array_get(changes, i + 1);
        if (next != NULL && json_equal(json_object_get(next, "blockAccessIndex"),
                                       json_object_get(change, "blockAccessIndex"))) {
            continue;
        }
        size_t change_at = out->n;
        put_quantity(out, json_object_get(change, "blockAccessIndex"));
        if (strcmp(value_key, "newCode") == 0) {
            coh_buf_t code = COH_BUF_INIT;
            assert_true(coh_test_hex(&code, coh_test_str(change, value_key)));
            coh_rlp_put_string(out, code.p, code.n);
            coh_buf_free(&code);
        } else {
            put_quantity(out, json_object_get(change, value_key));
        }
        coh_rlp_wrap_list(out, change_at);
    }
    coh_rlp_wrap_list(out, at);
}

static void put_account(coh_buf_t *out, json_t const *account)
{
    size_t at       = out->n;
    coh_addr_t addr = coh_test_addr(coh_test_str(account, "address"));
    size_t i;
    json_t *v;
    coh_rlp_put_string(out, addr.b, sizeof(addr.b));
    size_t slots_at = out->n;
    json_t **slots  = sorted_items(json_object_get(account, "storageChanges"), compare_slots);
    for (i = 0; slots[i] != NULL; i++) {
        size_t slot_at = out->n;
        put_quantity(out, json_object_get(slots[i], "slot"));
        put_changes(out, json_object_get(slots[i], "slotChanges"), "postValue");
        coh_rlp_wrap_list(out, slot_at);
    }
    free(slots);
    coh_rlp_wrap_list(out, slots_at);
    size_t reads_at = out->n;
    json_array_foreach (json_object_get(account, "storageReads"), i, v) {
        put_quantity(out, v);
    }
    coh_rlp_wrap_list(out, reads_at);
    put_changes(out, json_object_get(account, "balanceChanges"), "postBalance");
    put_changes(out, json_object_get(account, "nonceChanges"), "postNonce");
    put_changes(out, json_object_get(account, "codeChanges"), "newCode");
    coh_rlp_wrap_list(out, at);
}

static void put_published(coh_buf_t *out, json_t const *list)
{
    json_t **accounts = sorted_items(list, compare_addresses);
    size_t at         = out->n;
    for (size_t i = 0; accounts[i] != NULL; i++) {
        put_account(out, accounts[i]);
    }
    coh_rlp_wrap_list(out, at);
    free(accounts);
}

/* ---- Comparison ---- */

/* Items of a list, printed in short. */
static void print_item(char const *whose, coh_bytes_t item)
{
    coh_buf_t text = COH_BUF_INIT;
    uint8_t *p     = coh_buf_extend(&text, 2 * item.n + 1);
    coh_hex_encode((char *)p, item.p, item.n);
    printf("%s %.400s%s\n", whose, (char const *)p, item.n > 200 ? "..." : "");
    coh_buf_free(&text);
}

static bool next_account(coh_rlp_t *list, coh_bytes_t *item, coh_addr_t *addr)
{
    if (coh_rlp_at_end(list)) {
        memset(addr->b, 0xff, sizeof(addr->b));
        return false;
    }
    coh_rlp_kind_t kind;
    coh_bytes_t payload;
    assert_int_equal(coh_rlp_next_raw(list, &kind, &payload, item), COH_OK);
    coh_rlp_t fields = coh_rlp_reader(payload);
    assert_int_equal(coh_rlp_fixed(&fields, addr->b, sizeof(addr->b)), COH_OK);
    return true;
}

/* Walks both lists; returns how many accounts differ, and prints them. */
static size_t compare_lists(coh_bytes_t got, coh_bytes_t want, size_t *account_cnt)
{
    coh_rlp_t whole = coh_rlp_reader(got);
    coh_rlp_t a;
    coh_rlp_t b;
    assert_int_equal(coh_rlp_list(&whole, &a), COH_OK);
    whole = coh_rlp_reader(want);
    assert_int_equal(coh_rlp_list(&whole, &b), COH_OK);
    coh_bytes_t x;
    coh_bytes_t y;
    coh_addr_t p;
    coh_addr_t q;
    size_t differ = 0;
    *account_cnt  = 0;
    bool has_x    = next_account(&a, &x, &p);
    bool has_y    = next_account(&b, &y, &q);
    while (has_x || has_y) {
        int order = memcmp(p.b, q.b, sizeof(p.b));
        ++*account_cnt;
        if (order != 0 || !coh_bytes_eq(x, y)) {
            differ++;
            if (order <= 0 && has_x) {
                print_item("got     ", x);
            }
            if (order >= 0 && has_y) {
                print_item("expected", y);
            }
        }
        has_x = order <= 0 ? next_account(&a, &x, &p) : has_x;
        has_y = order >= 0 ? next_account(&b, &y, &q) : has_y;
    }
    return differ;
}

/* ---- A recorded block ---- */

static void fill(coh_memview_t *mv, json_t const *root)
{
    json_t *codes  = json_object_get(root, "codes");
    coh_buf_t code = COH_BUF_INIT;
    char const *key;
    json_t *account;
    json_object_foreach (json_object_get(root, "pre"), key, account) {
        coh_addr_t addr    = coh_test_addr(key);
        char const *hash   = json_string_value(json_object_get(account, "codeHash"));
        char const *text   = hash == NULL ? NULL : json_string_value(json_object_get(codes, hash));
        coh_u256_t balance = coh_test_u256(coh_test_str(account, "balance"));
        uint64_t nonce     = coh_test_u64(coh_test_str(account, "nonce"));
        coh_buf_clear(&code);
        assert_true(text == NULL || coh_test_hex(&code, text));
        coh_memview_put_account(mv, &addr, nonce, &balance, coh_buf_bytes(&code));
        char const *slot_text;
        json_t *value;
        json_object_foreach (json_object_get(account, "storage"), slot_text, value) {
            coh_u256_t slot = coh_test_u256(slot_text);
            coh_u256_t word = coh_test_u256(json_string_value(value));
            coh_memview_put_slot(mv, &addr, &slot, &word);
        }
    }
    coh_buf_free(&code);
}

static void block_hash(void *arg, coh_u256_t *out, uint64_t number)
{
    char key[24];
    (void)snprintf(key, sizeof(key), "%llu", (unsigned long long)number);
    json_t const *hash = json_object_get((json_t *)arg, key);
    *out               = hash == NULL ? COH_U256_ZERO : coh_test_u256(json_string_value(hash));
}

/* The block as it was on the wire. */
static void put_block(coh_buf_t *out, json_t const *root)
{
    coh_buf_t raw = COH_BUF_INIT;
    coh_header_t header;
    coh_fork_t shape;
    assert_true(coh_test_hex(&raw, coh_test_str(root, "headerRlp")));
    assert_int_equal(coh_header_decode(&header, &shape, coh_buf_bytes(&raw)), COH_OK);
    json_t *list     = json_object_get(root, "transactions");
    size_t cnt       = json_array_size(list);
    coh_buf_t *bufs  = calloc(cnt + 1, sizeof(*bufs));
    coh_bytes_t *txs = calloc(cnt + 1, sizeof(*txs));
    assert_true(bufs != NULL && txs != NULL);
    for (size_t i = 0; i < cnt; i++) {
        assert_true(coh_test_hex(&bufs[i], json_string_value(json_array_get(list, i))));
        txs[i] = coh_buf_bytes(&bufs[i]);
    }
    coh_buf_t withdrawals = COH_BUF_INIT;
    size_t i;
    json_t *v;
    json_array_foreach (json_object_get(root, "withdrawals"), i, v) {
        coh_withdrawal_put(
            &withdrawals,
            &(coh_withdrawal_t){.index       = coh_test_u64(coh_test_str(v, "index")),
                                .validator   = coh_test_u64(coh_test_str(v, "validatorIndex")),
                                .addr        = coh_test_addr(coh_test_str(v, "address")),
                                .amount_gwei = coh_test_u64(coh_test_str(v, "amountGwei"))});
    }
    coh_block_put(out, &header, shape, txs, cnt, (coh_bytes_t){0}, coh_buf_bytes(&withdrawals));
    for (i = 0; i < cnt; i++) {
        coh_buf_free(&bufs[i]);
    }
    free(bufs);
    free(txs);
    coh_buf_free(&withdrawals);
    coh_buf_free(&raw);
}

static void access_list_of_a_recorded_block(void **state)
{
    (void)state;
    char const *dir = coh_test_data_dir();
    if (dir == NULL) {
        coh_test_skip("the access list of block " RECORDED);
        return;
    }
    coh_buf_t path = COH_BUF_INIT;
    coh_buf_printf(&path, "%s/realblocks/mainnet-" RECORDED ".json%c", dir, 0);
    json_t *root = coh_test_json((char const *)path.p);
    coh_buf_clear(&path);
    coh_buf_printf(&path, "%s/bals/" RECORDED ".bal.json%c", dir, 0);
    json_t *published = coh_test_json((char const *)path.p);

    coh_schedule_t schedule;
    coh_schedule_init(&schedule, COH_FORK_OSAKA, 1);
    schedule.blob_at[COH_BLOB_BPO1] = 0;
    schedule.blob_at[COH_BLOB_BPO2] = 0;
    coh_rules_t rules               = coh_schedule_rules(&schedule, 0, 0, &COH_U256_ZERO);
    coh_buf_t raw                   = COH_BUF_INIT;
    put_block(&raw, root);
    coh_block_t block;
    assert_int_equal(coh_block_decode(&block, coh_buf_bytes(&raw)), COH_OK);
    coh_hash_t hash = coh_test_hash(coh_test_str(root, "hash"));
    assert_memory_equal(block.hash.b, hash.b, 32);
    assert_int_equal(coh_body_check(&block, &rules), COH_BLOCK_OK);

    coh_world_t *w    = coh_world_new(COH_FORK_OSAKA, COH_WORLD_REBUILD);
    coh_memview_t *mv = coh_world_state(w);
    fill(mv, root);
    coh_memview_set_block_hash(mv, block_hash, json_object_get(root, "blockHashes"));
    coh_execute_t *ex          = coh_execute_new();
    coh_access_list_t *list    = coh_access_list_new();
    coh_access_source_t source = coh_access_source_memview(mv);
    coh_access_list_begin(list, &source);
    coh_execute_set_watch(ex, coh_access_list_watch, list);
    assert_null(coh_execute_unchecked(ex, w, &block, &rules));
    coh_executed_t const *out =
        coh_execute_result(ex); /* all but the state root, of which there is a part only */
    assert_int_equal(out->sums.gas_used, block.header.gas_used);
    assert_int_equal(out->sums.blob_gas_used, block.header.blob_gas_used);
    assert_memory_equal(out->sums.bloom, block.header.bloom, COH_BLOOM_SZ);
    assert_memory_equal(out->sums.tx_root.b, block.header.tx_root.b, 32);
    assert_memory_equal(out->sums.receipts_root.b, block.header.receipts_root.b, 32);
    assert_memory_equal(out->sums.requests_hash.b, block.header.requests_hash.b, 32);

    coh_buf_t got  = COH_BUF_INIT;
    coh_buf_t want = COH_BUF_INIT;
    size_t account_cnt;
    coh_access_list_put(&got, list);
    put_published(&want, published);
    size_t differ = compare_lists(coh_buf_bytes(&got), coh_buf_bytes(&want), &account_cnt);
    printf("%zu accounts, %zu octets; %zu accounts differ\n", account_cnt, got.n, differ);
    assert_int_equal(differ, 0);

    coh_access_list_free(list);
    coh_execute_free(ex);
    coh_world_free(w);
    json_decref(root);
    json_decref(published);
    coh_buf_free(&path);
    coh_buf_free(&raw);
    coh_buf_free(&got);
    coh_buf_free(&want);
}

/* ---- A block of our own ---- */

static coh_addr_t own_addr(uint8_t n) { return (coh_addr_t){{[19] = n}}; }

static void put_contract(coh_memview_t *mv, uint8_t n, char const *text)
{
    coh_buf_t code  = COH_BUF_INIT;
    coh_addr_t addr = own_addr(n);
    coh_test_asm(&code, text);
    coh_memview_put_account(mv, &addr, 1, &COH_U256_ZERO, coh_buf_bytes(&code));
    coh_buf_free(&code);
}

/* What the EIP says of: slots read, written with their own value, written by a frame that failed, changed and changed back in one transaction, changed in two; an account that is
   asked for its balance, or stands in an access list only; a precompiled contract; a creation; fees; withdrawals, of nothing too. */
static void access_list_of_our_own(void **state)
{
    (void)state;
    coh_txgen_t *gen  = coh_txgen_new();
    coh_addr_t sender = coh_txgen_addr(gen, 1);
    coh_world_t *w    = coh_world_new(COH_FORK_SHANGHAI, COH_WORLD_REBUILD);
    coh_memview_t *mv = coh_world_state(w);
    coh_u256_t rich   = coh_u256(UINT64_C(1000000000000000000));
    coh_memview_put_account(mv, &sender, 0, &rich, (coh_bytes_t){0});
    put_contract(mv,
                 0xc0,
                 "1 SLOAD POP 5 2 SSTORE 3 SLOAD 1 ADD 3 SSTORE 9 6 SSTORE 0 6 SSTORE "
                 "0 0 0 0 0 0xd0 100000 CALL POP 0 0 0 0 4 100 STATICCALL POP 0xee BALANCE POP");
    put_contract(mv, 0xd0, "9 4 SSTORE 0 0 REVERT");
    coh_addr_t contract = own_addr(0xc0);
    coh_u256_t two      = coh_u256(2);
    coh_u256_t five     = coh_u256(5);
    coh_memview_put_slot(mv, &contract, &two, &five);

    coh_txgen_spec_t call   = {.key              = 1,
                               .type             = COH_TX_DYNAMIC_FEE,
                               .chain_id         = 1,
                               .gas_limit        = 300000,
                               .max_fee          = coh_u256(100),
                               .max_tip          = coh_u256(1),
                               .to               = contract,
                               .access_addr_cnt  = 2,
                               .access_keys_each = 1};
    coh_txgen_spec_t again  = call;
    again.nonce             = 1;
    coh_txgen_spec_t create = call;
    create.nonce            = 2;
    create.is_create        = true;
    create.access_addr_cnt  = 0;
    create.data = coh_bytes("\x60\x5b\x60\x00\x53\x60\x01\x60\x00\xf3", 10); /* deploys 5b */
    coh_bytes_t const txs[] = {coh_txgen_make(gen, &call)->raw,
                               coh_txgen_make(gen, &again)->raw,
                               coh_txgen_make(gen, &create)->raw};
    coh_buf_t withdrawals   = COH_BUF_INIT;
    coh_withdrawal_put(&withdrawals, &(coh_withdrawal_t){.addr = own_addr(0xf0), .amount_gwei = 3});
    coh_withdrawal_put(&withdrawals,
                       &(coh_withdrawal_t){.index = 1, .addr = own_addr(0xf1), .amount_gwei = 0});
    coh_withdrawal_put(&withdrawals,
                       &(coh_withdrawal_t){.index = 2, .addr = own_addr(0xf0), .amount_gwei = 4});
    coh_header_t header = {
        .number = 1, .gas_limit = 30000000, .base_fee = coh_u256(7), .coinbase = own_addr(0xcb)};
    coh_buf_t raw = COH_BUF_INIT;
    coh_block_put(&raw,
                  &header,
                  COH_FORK_SHANGHAI,
                  txs,
                  COH_CNT(txs),
                  (coh_bytes_t){0},
                  coh_buf_bytes(&withdrawals));
    coh_block_t block;
    assert_int_equal(coh_block_decode(&block, coh_buf_bytes(&raw)), COH_OK);
    coh_schedule_t schedule;
    coh_schedule_init(&schedule, COH_FORK_SHANGHAI, 1);
    coh_rules_t rules          = coh_schedule_rules(&schedule, 1, 1, &COH_U256_ZERO);
    coh_execute_t *ex          = coh_execute_new();
    coh_access_list_t *list    = coh_access_list_new();
    coh_access_source_t source = coh_access_source_memview(mv);
    coh_access_list_begin(list, &source);
    coh_execute_set_watch(ex, coh_access_list_watch, list);
    assert_null(coh_execute_unchecked(ex, w, &block, &rules));
    coh_executed_tx_t const *done = coh_execute_result(ex)->txs;
    uint64_t gas[3];
    for (int i = 0; i < 3; i++) {
        assert_int_equal(done[i].status, 1);
        gas[i] = done[i].gas_used + (i == 0 ? 0 : gas[i - 1]);
    }

    coh_addr_t created = coh_tx_created_address(&sender, 2);
    char sender_text[41];
    char created_text[41];
    coh_hex_encode(sender_text, sender.b, 20);
    coh_hex_encode(created_text, created.b, 20);
#define ACCOUNT(n)  "\"address\":\"0x00000000000000000000000000000000000000" n "\""
#define NO_STORAGE  ",\"storageChanges\":[],\"storageReads\":[]"
#define NO_BALANCE  ",\"balanceChanges\":[]"
#define NO_NONCE    ",\"nonceChanges\":[]"
#define NO_CODE     ",\"codeChanges\":[]"
#define AT(i, k, v) "{\"blockAccessIndex\":\"" i "\",\"" k "\":\"" v "\"}"
    coh_buf_t json = COH_BUF_INIT;
    uint64_t eth   = UINT64_C(1000000000000000000);
    coh_buf_printf(
        &json,
        "[{" ACCOUNT("04") NO_STORAGE NO_BALANCE NO_NONCE NO_CODE
        "},"
        "{" ACCOUNT("ee") NO_STORAGE NO_BALANCE NO_NONCE NO_CODE
        "},"
        "{" ACCOUNT(
            "d0") ",\"storageChanges\":[],\"storageReads\":[\"0x04\"]" NO_BALANCE NO_NONCE NO_CODE
                  "},"
                  "{" ACCOUNT("c0") ",\"storageChanges\":[{\"slot\":\"0x03\",\"slotChanges\":[" AT(
                      "0x01",
                      "postValue",
                      "0x01") "," AT("0x02",
                                     "postValue",
                                     "0x02") "]}],\"storageReads\":[\"0x01\",\"0x02\","
                                             "\"0x06\"]" NO_BALANCE NO_NONCE NO_CODE "},"
                                             "{" ACCOUNT("cb") NO_STORAGE
        ",\"balanceChanges\":[" AT("0x01", "postBalance", "%llu") "," AT(
            "0x02", "postBalance", "%llu") "," AT("0x03",
                                                  "postBalance",
                                                  "%llu") "]" NO_NONCE NO_CODE "},"
                                                          "{" ACCOUNT("f0") NO_STORAGE
        ",\"balanceChanges\":[" AT(
            "0x04", "postBalance", "7000000000") "]" NO_NONCE NO_CODE "},"
                                                 "{" ACCOUNT("f1")
                                                     NO_STORAGE NO_BALANCE NO_NONCE NO_CODE
        "},"
        "{\"address\":\"0x%s\"" NO_STORAGE
        ",\"balanceChanges\":[" AT("0x01", "postBalance", "%llu") "," AT("0x02", "postBalance", "%llu") "," AT(
            "0x03",
            "postBalance",
            "%llu") "],\"nonceChanges\":[" AT("0x01",
                                              "postNonce",
                                              "0x01") "," AT("0x02",
                                                             "postNonce",
                                                             "0x02") "," AT("0x03",
                                                                            "postNonce",
                                                                            "0x03") "]" NO_CODE "},"
                                                                                    "{\"address\":"
                                                                                    "\"0x%"
                                                                                    "s\"" NO_STORAGE
                                                                                        NO_BALANCE
                                                                                    ",\"nonceChange"
                                                                                    "s\":[" AT(
                                                                                        "0x03",
                                                                                        "postNonce",
                                                                                        "0x01") "]"
                                                                                                ","
                                                                                                "\""
                                                                                                "co"
                                                                                                "de"
                                                                                                "Ch"
                                                                                                "an"
                                                                                                "ge"
                                                                                                "s"
                                                                                                "\""
                                                                                                ":"
                                                                                                "[" AT(
                                                                                                    "0x03",
                                                                                                    "newCode",
                                                                                                    "0x5b") "]}]",
        (unsigned long long)gas[0],
        (unsigned long long)gas[1],
        (unsigned long long)gas[2],
        sender_text,
        (unsigned long long)(eth - 8 * gas[0]),
        (unsigned long long)(eth - 8 * gas[1]),
        (unsigned long long)(eth - 8 * gas[2]),
        created_text);
    json_error_t error;
    json_t *expected = json_loadb((char const *)json.p, json.n, 0, &error);
    assert_non_null(expected);
    coh_buf_t got  = COH_BUF_INIT;
    coh_buf_t want = COH_BUF_INIT;
    size_t account_cnt;
    coh_access_list_put(&got, list);
    put_published(&want, expected);
    assert_int_equal(compare_lists(coh_buf_bytes(&got), coh_buf_bytes(&want), &account_cnt), 0);
    assert_int_equal(account_cnt, 9);

    json_decref(expected);
    coh_access_list_free(list);
    coh_execute_free(ex);
    coh_world_free(w);
    coh_txgen_free(gen);
    coh_buf_free(&json);
    coh_buf_free(&raw);
    coh_buf_free(&withdrawals);
    coh_buf_free(&got);
    coh_buf_free(&want);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(access_list_of_our_own),
        cmocka_unit_test(access_list_of_a_recorded_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
