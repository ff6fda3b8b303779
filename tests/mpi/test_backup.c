/* `cohort backup` of clusters under load and `cohort restore`: what is restored is the chain up to one block with exactly its state, and goes on; a backup that was killed on the way, or is damaged
   anywhere, is not restored. COHORT_TEST_SEED repeats a run; more rounds with COHORT_TEST_LONG=1. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/base/hex.h"
#include "tests/mpi/operate.h"
#include "tests/mpi/traffic.h"
#include "tests/support/seed.h"

#define SHARDS 3u

/* Of the cluster under test. */
static char token_option[128];
static uint64_t seed;
static bool is_long;

/* What a backup says of itself. */
typedef struct {
    unsigned long long block;
    char root[67];
    char hash[67];
} said_t;

static said_t read_manifest(char const *dir)
{
    coh_buf_t text = COH_BUF_INIT;
    said_t said    = {0};
    assert_int_equal(coh_test_ops_run(&text, "cat '%s/manifest.json'", dir), 0);
    char const *block = strstr((char const *)text.p, "\"block\":");
    char const *hash  = strstr((char const *)text.p, "\"hash\":\"");
    char const *root  = strstr((char const *)text.p, "\"state_root\":\"");
    assert_true(block != NULL && hash != NULL && root != NULL);
    assert_int_equal(sscanf(block, "\"block\":%llu", &said.block), 1);
    assert_int_equal(sscanf(hash, "\"hash\":\"%66[^\"]", said.hash), 1);
    assert_int_equal(sscanf(root, "\"state_root\":\"%66[^\"]", said.root), 1);
    coh_buf_free(&text);
    return said;
}

/* Backups one after the other while the load is put on. */
typedef struct {
    coh_test_cluster_t const *c;
    pid_t pid; /* of the one under way; 0: none */
    uint32_t cnt;
    uint32_t cnt_max;
} backups_t;

static void end_backup(backups_t *b, int flags)
{
    int status;
    if (b->pid != 0 && waitpid(b->pid, &status, flags) == b->pid) {
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        b->pid = 0;
        b->cnt++;
    }
}

static void next_backup(void *arg)
{
    backups_t *b = arg;
    end_backup(b, WNOHANG);
    if (b->pid != 0 || b->cnt == b->cnt_max) {
        return;
    }
    char to[128];
    char token[128];
    (void)snprintf(to, sizeof(to), "%s/backups/%u", b->c->dir, b->cnt);
    (void)snprintf(token, sizeof(token), "%s/token", b->c->dir);
    b->pid = fork();
    assert_true(b->pid >= 0);
    if (b->pid == 0) {
        execl(COHORT_PROGRAM,
              COHORT_PROGRAM,
              "backup",
              "--connect",
              b->c->requests,
              "--client-token-file",
              token,
              "--to",
              to,
              (char *)NULL);
        _exit(127);
    }
}

/* A command with the path of backup number. */
static void with_backup(char *out,
                        size_t n,
                        coh_test_cluster_t const *c,
                        uint32_t number,
                        char const *more)
{
    (void)snprintf(out, n, "restore --from '%s/backups/%u' %s", c->dir, number, more);
}

static void init(coh_test_cluster_t *c,
                 coh_bench_accounts_t *accounts,
                 uint64_t salt,
                 char *option,
                 size_t option_n)
{
    coh_bench_accounts_new(accounts, seed + salt, 150, 2);
    coh_test_cluster_init(c, SHARDS, accounts);
    coh_test_traffic_genesis(c, 500);
    coh_test_sh("umask 077 && echo the-token-of-the-operator > '%s/token'", c->dir);
    (void)snprintf(option, option_n, "--node-backups '%s/backups'", c->dir);
    (void)snprintf(token_option, sizeof(token_option), "--client-token-file '%s/token'", c->dir);
    c->options[0] = "--block-tx-max 60 --state-cache-entries 400";
    c->options[1] = token_option;
    c->options[2] = option;
}

static void backup_under_load_is_one_block(void **state)
{
    (void)state;
    coh_rng_t rng;
    coh_rng_seed(&rng, seed);
    coh_bench_accounts_t accounts;
    coh_test_cluster_t cluster;
    char option[128];
    init(&cluster, &accounts, 0, option, sizeof(option));
    coh_test_acks_t acks = {0};
    coh_test_ops_start(&cluster, SHARDS);
    backups_t backups = {.c = &cluster};
    for (uint32_t i = 0; i < (is_long ? 40u : 5u); i++) { /* one or two in each part of the load */
        backups.cnt_max = backups.cnt + 2;
        coh_test_traffic(&cluster, &accounts, &acks, &rng, 1500, 1500, next_backup, &backups);
        end_backup(&backups, 0);
    }
    assert_true(backups.cnt >= 5);

    /* Each is a part of the chain that went on. */
    coh_client_t *client = coh_test_client(&cluster, 10000);
    said_t last          = {0};
    for (uint32_t i = 0; i < backups.cnt; i++) {
        char path[128];
        (void)snprintf(path, sizeof(path), "%s/backups/%u", cluster.dir, i);
        said_t said                     = read_manifest(path);
        coh_op_block_request_t of_block = {.number = said.block};
        coh_op_block_answer_t block     = {0};
        coh_hash_t hash;
        assert_true(said.block >= last.block);
        last = said;
        if (said.block == 0) {
            continue; /* made before the first one */
        }
        assert_int_equal(coh_client_block(client, &block, &of_block), COH_OK);
        assert_int_equal(coh_hex_decode(hash.b, sizeof(hash.b), said.hash, 66), COH_OK);
        assert_memory_equal(hash.b, block.hash.b, sizeof(hash.b));
    }
    coh_client_close(client);
    coh_test_cluster_kill(&cluster, -1);

    char command[256];
    char restored[128];
    (void)snprintf(restored, sizeof(restored), "%s/restored", cluster.dir);
    uint64_t middle_cnt = 0;
    bool has_flushed    = false; /* flat tables of some had gone on, on every shard... */
    bool has_redo       = false; /* ...and redo records were needed */
    for (uint32_t i = 0; i < backups.cnt; i++) {
        char path[128];
        (void)snprintf(path, sizeof(path), "%s/backups/%u", cluster.dir, i);
        said_t said = read_manifest(path);
        middle_cnt += said.block > 0;
        coh_test_sh("rm -rf '%s'", restored);
        with_backup(command, sizeof(command), &cluster, i, "--data");
        coh_test_ops_expect(0, command, restored, "restored: block ");
        coh_buf_t text = COH_BUF_INIT;
        int code       = coh_test_ops_run(&text, COHORT_PROGRAM " check '%s' 2>&1", restored);
        if (code != 0) {
            fail_msg("%s", (char const *)text.p);
        }
        has_flushed = has_flushed || strstr((char const *)text.p, "flushed up to 0,") == NULL;
        has_redo    = has_redo || strstr((char const *)text.p, " 0 redo records") == NULL;
        coh_buf_free(&text);
        if (said.block != 0) {
            coh_hash_t root = coh_test_ops_head_root(restored);
            coh_hash_t wanted;
            assert_int_equal(coh_hex_decode(wanted.b, sizeof(wanted.b), said.root, 66), COH_OK);
            assert_memory_equal(root.b, wanted.b, sizeof(root.b));
        }
    }
    assert_true(middle_cnt >= 2 && has_flushed && has_redo);
    printf("%u backups under load, the last of block %llu, of %zu acknowledged transactions\n",
           backups.cnt,
           last.block,
           acks.cnt);

    /* The last one goes on elsewhere, with as many shards and with others. */
    (void)snprintf(cluster.data, sizeof(cluster.data), "%s", restored);
    coh_test_ops_start(&cluster, SHARDS);
    coh_test_ops_expect_acks(&cluster, &acks, last.block);
    coh_test_acks_t more = {0};
    coh_test_traffic(&cluster, &accounts, &more, &rng, 300, 300, NULL, NULL);
    assert_int_equal(coh_test_cluster_stop(&cluster), 0);
    coh_test_ops_expect(0, "check", restored, "nothing wrong");
    coh_test_ops_expect(0, "verify --data", restored, "verified up to block");
    coh_test_ops_expect(0, "reshard --to 2 --data", restored, "3 shards -> 2");
    coh_test_ops_start(&cluster, 2);
    coh_test_ops_expect_acks(&cluster, &acks, last.block);
    coh_test_ops_expect_acks(&cluster, &more, UINT64_MAX);
    assert_int_equal(coh_test_cluster_stop(&cluster), 0);
    coh_hash_t head = coh_test_ops_head_root(restored);
    coh_hash_t flat = coh_test_ops_flat_root(restored, 2);
    assert_memory_equal(flat.b, head.b, sizeof(head.b));
    coh_test_acks_free(&more);
    coh_test_acks_free(&acks);
    coh_test_cluster_fini(&cluster);
    coh_bench_accounts_free(&accounts);
}

/* `cohort backup` to a folder below the cluster's, which is to end with code and to say expected. */
static void expect_backup(coh_test_cluster_t const *c,
                          int code,
                          char const *to,
                          char const *expected)
{
    char command[256];
    (void)snprintf(
        command, sizeof(command), "backup --connect %s %s --to", c->requests, token_option);
    char path[256];
    (void)snprintf(
        path, sizeof(path), "%s%s%s", to[0] == '/' ? "" : c->dir, to[0] == '/' ? "" : "/", to);
    coh_test_ops_expect(code, command, path, expected);
}

static void backups_are_refused_that_are_not_sound(void **state)
{
    (void)state;
    coh_rng_t rng;
    coh_rng_seed(&rng, seed + 1);
    coh_bench_accounts_t accounts;
    coh_test_cluster_t cluster;
    char option[128];
    init(&cluster, &accounts, 1, option, sizeof(option));
    coh_test_acks_t acks = {0};
    coh_test_ops_start(&cluster, SHARDS);
    coh_test_traffic(&cluster, &accounts, &acks, &rng, 300, 300, NULL, NULL);
    char command[256];
    (void)snprintf(command, sizeof(command), "backup --connect %s --to", cluster.requests);
    coh_test_ops_expect(2, command, "/nowhere", "--client-token-file FILE");
    coh_test_sh("umask 077 && echo another-token-of-16-or-more > '%s/other'", cluster.dir);
    (void)snprintf(command,
                   sizeof(command),
                   "backup --connect %s --client-token-file '%s/other' --to",
                   cluster.requests,
                   cluster.dir);
    coh_test_ops_expect(1, command, "/nowhere", "unauthorised");
    coh_test_sh("chmod 644 '%s/other'", cluster.dir);
    coh_test_ops_expect(1, command, "/nowhere", "chmod 600");
    expect_backup(&cluster, 1, "elsewhere", "is not below");
    expect_backup(&cluster, 1, "/tmp/../tmp", "is not below");
    expect_backup(&cluster, 1, "backups/../x", "is not below");
    expect_backup(&cluster, 1, "backups/..", "is not below");
    expect_backup(&cluster, 1, "backups/no/folder", "cannot make");
    expect_backup(&cluster, 0, "backups/0", "state root 0x");
    expect_backup(&cluster, 1, "backups/0", "holds a backup");
    coh_test_cluster_kill(&cluster, -1);
    cluster.options[2] = NULL;
    coh_test_ops_start(&cluster, SHARDS);
    expect_backup(&cluster, 1, "backups/1", "no backups may be made here");
    assert_int_equal(coh_test_cluster_stop(&cluster), 0);

    char sound[128];
    char to[128];
    char spoilt[128];
    (void)snprintf(sound, sizeof(sound), "%s/backups/0", cluster.dir);
    (void)snprintf(spoilt, sizeof(spoilt), "%s/backups/7", cluster.dir);
    (void)snprintf(to, sizeof(to), "%s/restored", cluster.dir);
    with_backup(command, sizeof(command), &cluster, 7, "--data");
    static struct {
        char const *damage; /* in the backup's folder */
        char const *expected;
    } const cases[] = {
        {"rm manifest.json", "has no manifest.json"},
        {"rm -r rank-2", "rank-2 is missing"},
        {"mv rank-2 rank-2.partial", "rank-2 is missing"},
        {"rm rank-1/files", "files: No such file"},
        {"sed -i 2d rank-1/files", "is not the one that the manifest names"},
        {"cp rank-2/files rank-1/files", "is not the one that the manifest names"},
        {"rm rank-3/db/CURRENT", "CURRENT: No such file"},
        {"for f in rank-1/db/*.sst; do printf X | dd of=$f bs=1 seek=20 conv=notrunc status=none; "
         "done",
         "is damaged: its checksum is not the list's"},
        {"truncate -s -1 rank-0/db/MANIFEST*", "is damaged: its checksum is not the list's"},
        {"sed -i s/cohort/other/ manifest.json", "is no manifest of a backup"},
        {"sed -i 's/\"format\":1/\"format\":9/' manifest.json",
         "has format 9, this program reads 1"},
        {"sed -i 's/\"shards\":3/\"shards\":2/' manifest.json", "manifest.json is damaged"},
        {"sed -i 's/\"block\":/\"block\":1/' manifest.json", "the manifest says 1"},
        {"truncate -s 100 manifest.json", "is no manifest of a backup"},
    };
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        coh_test_sh("rm -rf '%s' && cp -r '%s' '%s' && cd '%s' && %s",
                    spoilt,
                    sound,
                    spoilt,
                    spoilt,
                    cases[i].damage);
        coh_test_ops_expect(1, command, to, cases[i].expected);
        coh_test_sh("test ! -e '%s/rank-0' && test ! -e '%s/rank-1'", to, to);
    }

    /* Nothing is overwritten, and what is sound is restored where the attempts before were made. */
    with_backup(command, sizeof(command), &cluster, 0, "--data");
    coh_test_ops_expect(1, command, cluster.data, "is not empty");
    coh_test_ops_expect(0, command, to, "restored: block ");
    coh_test_ops_expect(1, command, to, "is not empty");
    coh_test_ops_expect(0, "check", to, "nothing wrong");
    coh_test_sh("rm -r '%s'", to);
    with_backup(command, sizeof(command), &cluster, 0, "--rank 2 --rank 0 --data");
    coh_test_ops_expect(0, command, to, "restored: block ");
    coh_test_sh("test -e '%s/rank-0' && test ! -e '%s/rank-1' && test -e '%s/rank-2'", to, to, to);
    coh_test_ops_expect(0, "check", to, "2 ranks, nothing wrong");
    coh_test_acks_free(&acks);
    coh_test_cluster_fini(&cluster);
    coh_bench_accounts_free(&accounts);
}

/* A rank dies while a backup is made: either it was whole by then, or it is none. The next one, after the start, is. */
static void backup_that_was_killed_is_none(void **state)
{
    (void)state;
    coh_rng_t rng;
    coh_rng_seed(&rng, seed + 2);
    coh_bench_accounts_t accounts;
    coh_test_cluster_t cluster;
    char option[128];
    init(&cluster, &accounts, 2, option, sizeof(option));
    coh_test_acks_t acks = {0};
    char command[256];
    char restored[128];
    (void)snprintf(restored, sizeof(restored), "%s/restored", cluster.dir);
    uint32_t none_cnt = 0;
    uint32_t rounds   = is_long ? 20 : 4;
    for (uint32_t i = 0; i < rounds; i++) {
        coh_test_ops_start(&cluster, SHARDS);
        coh_test_traffic(&cluster, &accounts, &acks, &rng, 300, 300, NULL, NULL);
        coh_test_sh(COHORT_PROGRAM " backup --timeout-ms 500 --connect %s %s --to '%s/backups/%u' "
                                   "> '%s/backup.log' 2>&1 &",
                    cluster.requests,
                    token_option,
                    cluster.dir,
                    i,
                    cluster.dir);
        (void)usleep((useconds_t)coh_rng_below(&rng, i % 2 == 0 ? 40000 : 400000));
        int victim = (int)coh_rng_below(&rng, SHARDS + 2) - 1;
        coh_test_cluster_kill(&cluster, victim);
        with_backup(command, sizeof(command), &cluster, i, "--data");
        coh_test_sh("rm -rf '%s'", restored);
        coh_buf_t text = COH_BUF_INIT;
        int code       = coh_test_ops_run(&text, COHORT_PROGRAM " %s '%s' 2>&1", command, restored);
        if (code == 0) {
            coh_test_ops_expect(0, "check", restored, "nothing wrong");
        } else {
            assert_non_null(strstr((char const *)text.p, "has no manifest.json"));
            none_cnt++;
        }
        coh_buf_free(&text);
    }
    printf("%u of %u backups were killed before they were whole\n", none_cnt, rounds);
    coh_test_ops_start(&cluster, SHARDS);
    coh_test_ops_expect_acks(&cluster, &acks, UINT64_MAX);
    expect_backup(&cluster, 0, "backups/last", "state root 0x");
    coh_test_sh("test ! -e '%s/rank-0/checkpoint' && test ! -e '%s/rank-1/checkpoint'",
                cluster.data,
                cluster.data);
    assert_int_equal(coh_test_cluster_stop(&cluster), 0);
    coh_test_acks_free(&acks);
    coh_test_cluster_fini(&cluster);
    coh_bench_accounts_free(&accounts);
}

/* A cluster in one process, on the data of the ranks that ran before. */
static void one_process_is_backed_up_as_well(void **state)
{
    (void)state;
    static char const ready[] =
        "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    coh_rng_t rng;
    coh_rng_seed(&rng, seed + 3);
    coh_bench_accounts_t accounts;
    coh_test_cluster_t cluster;
    char option[128];
    init(&cluster, &accounts, 3, option, sizeof(option));
    coh_test_acks_t acks = {0};
    coh_test_ops_start(&cluster, SHARDS);
    assert_int_equal(coh_test_cluster_stop(&cluster), 0);
    coh_test_sh(COHORT_PROGRAM
                " node --data '%s' --shards %u --client-listen %s --client-publish %s "
                "--status-listen 127.0.0.1:%d %s %s > '%s/node.log' 2>&1 & "
                "echo $! > '%s/pid'",
                cluster.data,
                SHARDS,
                cluster.requests,
                cluster.publications,
                cluster.status_port,
                option,
                token_option,
                cluster.dir,
                cluster.dir);
    uint64_t give_up_us = coh_clock_mono_us() + UINT64_C(30000000);
    while (coh_test_http(&cluster, coh_bytes(ready, sizeof(ready) - 1)) != 200) {
        assert_true(coh_clock_mono_us() < give_up_us);
        (void)usleep(20000);
    }
    backups_t backups = {.c = &cluster, .cnt_max = 2};
    coh_test_traffic(&cluster, &accounts, &acks, &rng, 1500, 1500, next_backup, &backups);
    end_backup(&backups, 0);
    expect_backup(&cluster, 0, "backups/last", "state root 0x");
    coh_test_sh("kill -9 $(cat '%s/pid')", cluster.dir);
    char path[128];
    char command[256];
    (void)snprintf(path, sizeof(path), "%s/backups/last", cluster.dir);
    said_t said = read_manifest(path);
    assert_true(said.block > 0);
    (void)snprintf(command, sizeof(command), "restore --from '%s' --data", path);
    (void)snprintf(cluster.data, sizeof(cluster.data), "%s/restored", cluster.dir);
    coh_test_ops_expect(0, command, cluster.data, "restored: block ");
    coh_test_ops_expect(0, "check", cluster.data, "nothing wrong");
    coh_test_ops_expect(0, "verify --data", cluster.data, "verified up to block");
    coh_test_ops_start(&cluster, SHARDS);
    coh_test_ops_expect_acks(&cluster, &acks, UINT64_MAX);
    assert_int_equal(coh_test_cluster_stop(&cluster), 0);
    coh_test_acks_free(&acks);
    coh_test_cluster_fini(&cluster);
    coh_bench_accounts_free(&accounts);
}

int main(void)
{
    is_long                         = getenv("COHORT_TEST_LONG") != NULL;
    seed                            = coh_test_seed();
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(backup_under_load_is_one_block),
        cmocka_unit_test(backups_are_refused_that_are_not_sound),
        cmocka_unit_test(backup_that_was_killed_is_none),
        cmocka_unit_test(one_process_is_backed_up_as_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
