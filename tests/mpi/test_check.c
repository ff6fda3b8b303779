/* `cohort check` on the data that a killed cluster left: nothing is wrong with it; after each of several kinds of damage it says what and where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "common/base/assert.h"
#include "common/kv/kv.h"
#include "common/state/directory.h"
#include "common/trie/mpt.h"
#include "tests/mpi/operate.h"

#define SHARDS   2u
#define ACCOUNTS 100u
/* An account with storage, whose trie has more than one page. */
#define STORED_ACCOUNT "00000000000000000000000000000000005701ed"
#define STORED_SLOTS   300

static coh_test_cluster_t cluster;
static coh_bench_accounts_t accounts;

/* Runs a cluster of many small blocks and kills it, so that redo records are left. is_pinned: half of the accounts, and the one with storage, live apart from their buckets. */
static int run_cluster(bool is_pinned)
{
    coh_bench_accounts_new(&accounts, 1, ACCOUNTS, 1);
    coh_test_cluster_init(&cluster, SHARDS, &accounts);
    coh_test_sh("slots=$(seq -f '\"0x%%g\":\"0x2a\"' -s , 1 %d) && "
                "sed -i 's/\"alloc\": *{/&\"0x%s\":{\"balance\":\"0x1\",\"code\":\"0x6001600055\","
                "\"storage\":{'\"$slots\"'}},/' '%s'",
                STORED_SLOTS,
                STORED_ACCOUNT,
                cluster.genesis);
    char pins[160];
    char pinned[200];
    (void)snprintf(pins, sizeof(pins), "%s/pins", cluster.dir);
    (void)snprintf(pinned, sizeof(pinned), "--placement-policy 'pinned:%s'", pins);
    coh_test_ops_pin(pins, &accounts, STORED_ACCOUNT, SHARDS);
    cluster.options[0] = "--block-tx-max 300";
    cluster.options[1] = is_pinned ? pinned : NULL;
    coh_test_cluster_start(&cluster);
    if (coh_test_cluster_wait_ready(&cluster) < 0) {
        return -1;
    }
    coh_test_sh(COHORT_PROGRAM " bench transfers --accounts %u --count 3000 --client-listen %s "
                               "--client-publish %s > '%s/bench' 2>&1",
                ACCOUNTS,
                cluster.requests,
                cluster.publications,
                cluster.dir);
    coh_test_cluster_kill(&cluster, -1);
    return 0;
}

static int make_data(void **state)
{
    (void)state;
    return run_cluster(false);
}

static int remove_data(void **state)
{
    (void)state;
    coh_test_cluster_fini(&cluster);
    coh_bench_accounts_free(&accounts);
    return 0;
}

/* Runs the command on the folder `copy`; returns its exit code, what it printed in text (freed by the caller). */
static int check(coh_buf_t *text)
{
    char command[512];
    (void)snprintf(command, sizeof(command), COHORT_PROGRAM " check '%s/copy' 2>&1", cluster.dir);
    FILE *out = popen(command, "r");
    assert_non_null(out);
    char chunk[4096];
    size_t n;
    while ((n = fread(chunk, 1, sizeof(chunk), out)) > 0) {
        coh_buf_put(text, chunk, n);
    }
    coh_buf_put_u8(text, 0);
    int status = pclose(out);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void expect_sound(char const *context, char const *expected)
{
    coh_buf_t text = COH_BUF_INIT;
    int code       = check(&text);
    if (code != 0 || strstr((char const *)text.p, expected) == NULL) {
        fail_msg("%s: exit code %d\n%s", context, code, (char const *)text.p);
    }
    coh_buf_free(&text);
}

static void expect_finding(char const *expected)
{
    coh_buf_t text = COH_BUF_INIT;
    int code       = check(&text);
    if (code != 1 || strstr((char const *)text.p, expected) == NULL) {
        fail_msg(
            "expected exit code 1 and \"%s\", got %d\n%s", expected, code, (char const *)text.p);
    }
    coh_buf_free(&text);
}

static coh_kv_t *open_copy(uint32_t rank)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/copy/rank-%u/db", cluster.dir, rank);
    coh_kv_t *kv = NULL;
    assert_int_equal(coh_kv_rocks_open(&kv, path, (size_t)1 << 20, NULL), COH_OK);
    return kv;
}

/* The entry at a place of a table. */
typedef struct {
    size_t place;
    coh_buf_t key;
    coh_buf_t value;
} entry_t;

static bool take(void *arg, coh_bytes_t key, coh_bytes_t value)
{
    entry_t *e = arg;
    if (e->place-- != 0) {
        return true;
    }
    coh_buf_put(&e->key, key.p, key.n);
    coh_buf_put(&e->value, value.p, value.n);
    return false;
}

static entry_t entry_of(coh_kv_t *kv, coh_kv_table_t table, size_t place)
{
    entry_t e = {.place = place};
    assert_int_equal(kv->ops->iterate(kv, table, coh_bytes(NULL, 0), false, take, &e), COH_OK);
    assert_true(e.key.n != 0);
    return e;
}

static void free_entry(entry_t *e)
{
    coh_buf_free(&e->key);
    coh_buf_free(&e->value);
}

static void write_batch(coh_kv_t *kv, coh_kv_batch_t *batch)
{
    assert_int_equal(kv->ops->write(kv, batch, true), COH_OK);
    coh_kv_batch_free(batch);
    kv->ops->close(kv);
}

static void fresh_copy(void)
{
    coh_test_sh(
        "rm -rf '%s/copy' && cp -r '%s/data' '%s/copy'", cluster.dir, cluster.dir, cluster.dir);
}

/* Turns a bit of the value at a place of a table: octet at from its start, or, if negative, from its end. */
static void spoil(uint32_t rank, coh_kv_table_t table, size_t place, int at)
{
    fresh_copy();
    coh_kv_t *kv = open_copy(rank);
    entry_t e    = entry_of(kv, table, place);
    e.value.p[at >= 0 ? (size_t)at : e.value.n - (size_t)-at] ^= 0x10;
    coh_kv_batch_t batch;
    coh_kv_batch_init(&batch);
    coh_kv_batch_put(&batch, table, coh_buf_bytes(&e.key), coh_buf_bytes(&e.value));
    write_batch(kv, &batch);
    free_entry(&e);
}

static void check_passes_what_a_kill_left(void **state)
{
    (void)state;
    fresh_copy();
    expect_sound("after kill -9", "3 ranks, nothing wrong");
    expect_sound("a second time: checking changes nothing", "3 ranks, nothing wrong");
}

static void check_finds_damaged_records(void **state)
{
    (void)state;
    spoil(0, COH_KV_BLOCKS, 2, 120);
    expect_finding("rank 0: WRONG: block 3: the decision record is damaged");
    spoil(0, COH_KV_BLOCKS, 0, -1); /* its checksum */
    expect_finding("rank 0: WRONG: block 1: the decision record is damaged");
    spoil(2, COH_KV_REDO, 1, 40);
    expect_finding("rank 2: WRONG: the redo record of block 2 is damaged");
    spoil(1, COH_KV_ACCOUNTS, 3, 0);
    expect_finding("rank 1: WRONG: account 0x");
    spoil(1, COH_KV_META, 0, 0); /* the identity: the folder's */
    expect_finding("rank 1: WRONG: ");
    spoil(0, COH_KV_DIRECTORY, 0, 1);
    expect_finding("rank 0: WRONG: directory of epoch");
}

/* The rank that holds the slots of the account with storage, and its first page of a storage trie. */
static uint32_t find_storage(size_t *place)
{
    for (uint32_t rank = 1; rank <= SHARDS; rank++) {
        coh_kv_t *kv = open_copy(rank);
        entry_t e    = {0};
        assert_int_equal(kv->ops->iterate(kv, COH_KV_TRIE, coh_bytes("s", 1), false, take, &e),
                         COH_OK);
        bool found = e.key.n != 0;
        free_entry(&e);
        *place = 0;
        for (bool is_bucket = found; is_bucket; *place += is_bucket) {
            e         = entry_of(kv, COH_KV_TRIE, *place);
            is_bucket = e.key.p[0] == 'a';
            free_entry(&e);
        }
        kv->ops->close(kv);
        if (found) {
            return rank;
        }
    }
    fail_msg("no shard has a storage trie");
    return 0;
}

static void check_finds_damaged_tries(void **state)
{
    (void)state;
    for (size_t place = 0; place < 3; place++) { /* of buckets */
        spoil(1, COH_KV_TRIE, place, -1);
        expect_finding("rank 1: WRONG: the page of trie 0x61");
    }
    fresh_copy();
    size_t place;
    uint32_t rank = find_storage(&place);
    for (size_t i = 0; i < 4; i++) { /* the root, then pages below */
        spoil(rank, COH_KV_TRIE, place + i, -1);
        expect_finding("WRONG: the page of trie 0x73");
    }

    /* A page that is gone below others; then one that was all of its trie, of an account that no redo record has. */
    fresh_copy();
    coh_kv_t *kv = open_copy(rank);
    entry_t e    = entry_of(kv, COH_KV_TRIE, place + 1);
    coh_kv_batch_t batch;
    coh_kv_batch_init(&batch);
    coh_kv_batch_delete(&batch, COH_KV_TRIE, coh_buf_bytes(&e.key));
    write_batch(kv, &batch);
    free_entry(&e);
    expect_finding("WRONG: the page of trie 0x73");

    fresh_copy();
    kv              = open_copy(rank);
    coh_addr_t addr = {{[17] = 0x57, 0x01, 0xed}};
    coh_mpt_id_t id = coh_mpt_id_bucket(coh_directory_bucket(&addr));
    e               = (entry_t){0};
    assert_int_equal(kv->ops->iterate(kv, COH_KV_TRIE, coh_bytes(id.b, id.n), false, take, &e),
                     COH_OK);
    assert_memory_equal(e.key.p, id.b, id.n);
    coh_kv_batch_init(&batch);
    coh_kv_batch_delete(&batch, COH_KV_TRIE, coh_buf_bytes(&e.key));
    write_batch(kv, &batch);
    free_entry(&e);
    expect_finding("WRONG: the trie of bucket ");
    expect_finding("WRONG: account 0x" STORED_ACCOUNT " is not in the trie");
}

static void check_finds_what_tries_do_not_have(void **state)
{
    (void)state;
    fresh_copy();
    size_t place;
    uint32_t rank = find_storage(&place);
    coh_kv_t *kv  = open_copy(rank);
    entry_t e     = entry_of(kv, COH_KV_STORAGE, 7);
    coh_kv_batch_t batch;
    coh_kv_batch_init(&batch);
    coh_kv_batch_put(&batch, COH_KV_STORAGE, coh_buf_bytes(&e.key), coh_bytes("\x2b", 1));
    write_batch(kv, &batch);
    free_entry(&e);
    expect_finding("WRONG: the storage trie of account 0x" STORED_ACCOUNT
                   " is not that of its slots");
    expect_finding("of account 0x" STORED_ACCOUNT " has another value in the storage trie");
    expect_finding("WRONG: account 0x" STORED_ACCOUNT " is another one in the trie");

    /* An account that neither redo records nor anything else can know of. */
    fresh_copy();
    kv = open_copy(rank);
    e  = entry_of(kv, COH_KV_ACCOUNTS, 0);
    coh_kv_batch_init(&batch);
    coh_kv_batch_delete(&batch, COH_KV_ACCOUNTS, coh_buf_bytes(&e.key));
    assert_memory_equal(e.key.p + 17, "\x57\x01\xed", 3);
    write_batch(kv, &batch);
    free_entry(&e);
    expect_finding("WRONG: the trie of bucket ");
}

static void check_finds_what_is_missing(void **state)
{
    (void)state;
    fresh_copy();
    coh_kv_t *kv = open_copy(0);
    entry_t e    = entry_of(kv, COH_KV_BLOCKS, 3);
    coh_kv_batch_t batch;
    coh_kv_batch_init(&batch);
    coh_kv_batch_delete(&batch, COH_KV_BLOCKS, coh_buf_bytes(&e.key));
    write_batch(kv, &batch);
    free_entry(&e);
    expect_finding("rank 0: WRONG: block 5: expected the decision record of 4");

    /* A shard whose last records are gone; presumed abort must not eat what was decided. */
    fresh_copy();
    kv = open_copy(2);
    coh_kv_batch_init(&batch);
    coh_kv_batch_delete_range(
        &batch, COH_KV_REDO, coh_bytes("\0\0\0\0\0\0\0\3", 8), coh_bytes("\xff", 1));
    write_batch(kv, &batch);
    expect_finding("rank 2: WRONG: its effects of block ");
    expect_finding("are gone, it holds up to 2");

    fresh_copy();
    coh_test_sh("rm '%s/copy/rank-1/genesis.json'", cluster.dir);
    expect_finding("rank 1: WRONG: ");
}

static void check_finds_what_lies_in_the_wrong_place(void **state)
{
    (void)state;
    fresh_copy();
    coh_kv_t *from = open_copy(1);
    entry_t e      = entry_of(from, COH_KV_ACCOUNTS, 0);
    from->ops->close(from);
    coh_kv_t *kv = open_copy(2);
    coh_kv_batch_t batch;
    coh_kv_batch_init(&batch);
    coh_kv_batch_put(&batch, COH_KV_ACCOUNTS, coh_buf_bytes(&e.key), coh_buf_bytes(&e.value));
    uint8_t hash[32] = {1};
    coh_kv_batch_put(&batch, COH_KV_CODE, coh_bytes(hash, sizeof(hash)), coh_bytes("code", 4));
    write_batch(kv, &batch);
    free_entry(&e);
    expect_finding("lies here, and belongs to rank 1");
    expect_finding("rank 2: WRONG: the code 0x01");

    /* Two folders that changed places. */
    fresh_copy();
    coh_test_sh("cd '%s/copy' && mv rank-1 x && mv rank-2 rank-1 && mv x rank-2", cluster.dir);
    expect_finding("holds the data of rank 2");
}

/* Accounts live at one shard and are in the tries of the other. */
static void check_knows_who_lives_elsewhere(void **state)
{
    assert_int_equal(remove_data(state), 0);
    assert_int_equal(run_cluster(true), 0);
    fresh_copy();
    expect_sound("with overrides, after kill -9", "3 ranks, nothing wrong");
    size_t place;
    uint32_t owner = find_storage(&place);
    uint32_t host  = 3 - owner;
    char wrong[160];

    /* A slot at the host; then a page of the trie at the owner; then an account. */
    coh_kv_t *kv = open_copy(host);
    entry_t e    = entry_of(kv, COH_KV_STORAGE, 7);
    coh_kv_batch_t batch;
    coh_kv_batch_init(&batch);
    coh_kv_batch_put(&batch, COH_KV_STORAGE, coh_buf_bytes(&e.key), coh_bytes("\x2b", 1));
    write_batch(kv, &batch);
    free_entry(&e);
    (void)snprintf(wrong,
                   sizeof(wrong),
                   "rank %u: WRONG: the storage trie of account 0x" STORED_ACCOUNT
                   " is not that of its slots",
                   owner);
    expect_finding(wrong);

    spoil(owner, COH_KV_TRIE, place + 1, -1);
    (void)snprintf(wrong, sizeof(wrong), "rank %u: WRONG: the page of trie 0x73", owner);
    expect_finding(wrong);

    fresh_copy();
    kv = open_copy(host);
    e  = entry_of(kv, COH_KV_ACCOUNTS, 0);
    assert_memory_equal(e.key.p + 17, "\x57\x01\xed", 3);
    coh_kv_batch_init(&batch);
    coh_kv_batch_delete(&batch, COH_KV_ACCOUNTS, coh_buf_bytes(&e.key));
    write_batch(kv, &batch);
    (void)snprintf(wrong, sizeof(wrong), "rank %u: WRONG: the trie of bucket ", owner);
    expect_finding(wrong);

    /* It lies with its bucket. */
    fresh_copy();
    kv = open_copy(owner);
    coh_kv_batch_init(&batch);
    coh_kv_batch_put(&batch, COH_KV_ACCOUNTS, coh_buf_bytes(&e.key), coh_buf_bytes(&e.value));
    write_batch(kv, &batch);
    free_entry(&e);
    (void)snprintf(wrong,
                   sizeof(wrong),
                   "rank %u: WRONG: account 0x" STORED_ACCOUNT " lies here, and belongs to rank %u",
                   owner,
                   host);
    expect_finding(wrong);

    /* Some of the folders: nothing is said of what is elsewhere, and damage of what is here is found. */
    for (uint32_t rank = 0; rank <= SHARDS; rank++) {
        fresh_copy();
        coh_test_sh("rm -r '%s/copy/rank-%u'", cluster.dir, rank);
        expect_sound("with overrides, two of three", "2 ranks, nothing wrong");
    }
    spoil(owner, COH_KV_TRIE, 0, -1);
    coh_test_sh("rm -r '%s/copy/rank-%u'", cluster.dir, host);
    expect_finding("WRONG: the page of trie 0x61");
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(check_passes_what_a_kill_left),
        cmocka_unit_test(check_finds_damaged_records),
        cmocka_unit_test(check_finds_damaged_tries),
        cmocka_unit_test(check_finds_what_tries_do_not_have),
        cmocka_unit_test(check_finds_what_is_missing),
        cmocka_unit_test(check_finds_what_lies_in_the_wrong_place),
        cmocka_unit_test(check_knows_who_lives_elsewhere),
    };
    return cmocka_run_group_tests(tests, make_data, remove_data);
}
