/* `cohort reshard` on the data of real clusters, killed and stopped: the same state root before and after, the chain goes on with other shards, every acknowledged receipt
   is there, and the chain verifies. And that it refuses what is not whole, leaving it as it was, and survives being killed. More accounts with COHORT_TEST_LONG=1; COHORT_TEST_SEED
   repeats a run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/kv/kv.h"
#include "tests/mpi/operate.h"
#include "tests/mpi/traffic.h"
#include "tests/support/seed.h"

static uint64_t seed;
static bool is_long;

typedef struct {
    uint32_t shard_cnt;
    char const *options;
    bool is_pinned; /* afterwards, as pins-K says */
    bool is_killed; /* the cluster before: so there are redo records */
} step_t;

/* Reshards a cluster, of two shards at first, again and again. */
static void go_through(uint64_t salt, bool begins_pinned, step_t const *steps, size_t cnt)
{
    coh_rng_t rng;
    coh_rng_seed(&rng, seed + salt);
    coh_bench_accounts_t accounts;
    coh_bench_accounts_new(&accounts, seed + salt, is_long ? 4000 : 200, 2);
    coh_test_cluster_t cluster;
    coh_test_cluster_init(&cluster, 2, &accounts);
    coh_test_traffic_genesis(&cluster, 800);
    char pins[160];
    char pinned[200];
    (void)snprintf(pins, sizeof(pins), "%s/pins-2", cluster.dir);
    (void)snprintf(pinned, sizeof(pinned), "--placement-policy 'pinned:%s'", pins);
    coh_test_ops_pin(pins, &accounts, COH_TEST_TRAFFIC_STORE, 2);
    cluster.options[0]   = "--block-tx-max 200";
    cluster.options[1]   = begins_pinned ? pinned : NULL;
    coh_test_acks_t acks = {0};
    size_t tx_cnt        = is_long ? 20000 : 1200;
    coh_test_ops_start(&cluster, 2);
    cluster.options[1] = NULL; /* said on the first start only */
    for (size_t i = 0; i <= cnt; i++) {
        coh_test_traffic(&cluster, &accounts, &acks, &rng, tx_cnt, tx_cnt / 2, NULL, NULL);
        bool is_last = i == cnt;
        if (is_last || !steps[i].is_killed) {
            assert_int_equal(coh_test_cluster_stop(&cluster), 0);
        } else {
            coh_test_cluster_kill(&cluster, -1);
        }
        coh_test_ops_expect(0, "check", cluster.data, "nothing wrong");
        coh_test_ops_expect(0, "verify --data", cluster.data, "verified up to block");
        if (is_last) {
            break;
        }
        coh_hash_t before = coh_test_ops_head_root(cluster.data);
        char command[400] = "";
        if (steps[i].is_pinned) {
            (void)snprintf(pins, sizeof(pins), "%s/pins-%u", cluster.dir, steps[i].shard_cnt);
            coh_test_ops_pin(pins, &accounts, COH_TEST_TRAFFIC_STORE, steps[i].shard_cnt);
            (void)snprintf(pinned, sizeof(pinned), "--placement-policy 'pinned:%s'", pins);
        }
        (void)snprintf(command,
                       sizeof(command),
                       "reshard %s %s --json --data",
                       steps[i].options,
                       steps[i].is_pinned ? pinned : "");
        coh_test_ops_expect(0, command, cluster.data, "\"result\":\"done\"");
        coh_hash_t after = coh_test_ops_flat_root(cluster.data, steps[i].shard_cnt);
        coh_hash_t head  = coh_test_ops_head_root(cluster.data);
        assert_memory_equal(after.b, before.b, sizeof(before.b));
        assert_memory_equal(head.b, before.b, sizeof(before.b));
        coh_test_ops_expect(0, "check", cluster.data, "nothing wrong");
        coh_test_ops_start(&cluster, steps[i].shard_cnt);
        coh_test_ops_expect_acks(&cluster, &acks, UINT64_MAX);
        printf("%u shards: %zu acknowledged receipts are there\n", steps[i].shard_cnt, acks.cnt);
    }
    assert_true(acks.cnt >= tx_cnt / 2 * (cnt + 1));
    coh_test_acks_free(&acks);
    coh_test_cluster_fini(&cluster);
    coh_bench_accounts_free(&accounts);
}

static void reshard_keeps_the_state(void **state)
{
    (void)state;
    static step_t const steps[] = {
        {5, "--to 5", false, true},
        {1, "--to 1", false, false},
        {3, "--to 3 --placement-policy random:7", false, true},
        {2, "--to 2", false, true},
    };
    go_through(0, false, steps, COH_CNT(steps));
}

/* From accounts that live apart from their buckets, and to such. */
static void reshard_brings_accounts_home(void **state)
{
    (void)state;
    static step_t const steps[] = {
        {5, "--to 5", false, true},
        {3, "--to 3", true, true},
        {1, "--to 1", false, false},
    };
    go_through(3, true, steps, COH_CNT(steps));
}

/* A list of all files in the rank folders with their checksums. */
static void list(coh_buf_t *out, char const *data)
{
    assert_int_equal(
        coh_test_ops_run(out,
                         "cd '%s' && find rank-* -type f ! -name '*LOG*' ! -name '*.lock' ! -name "
                         "'OPTIONS*' -path '*/db/*.sst' -exec sha256sum {} + | sort -k2",
                         data),
        0);
}

static void reshard_refuses_what_is_not_whole(void **state)
{
    (void)state;
    coh_rng_t rng;
    coh_rng_seed(&rng, seed + 1);
    coh_bench_accounts_t accounts;
    coh_bench_accounts_new(&accounts, seed + 1, 100, 2);
    coh_test_cluster_t cluster;
    coh_test_cluster_init(&cluster, 2, &accounts);
    coh_test_traffic_genesis(&cluster, 300);
    coh_test_acks_t acks = {0};
    coh_test_ops_start(&cluster, 2);
    coh_test_ops_expect(1, "reshard --to 3 --data", cluster.data, "is in use by process");
    coh_test_traffic(&cluster, &accounts, &acks, &rng, 300, 300, NULL, NULL);
    assert_int_equal(coh_test_cluster_stop(&cluster), 0);
    char copy[160];
    (void)snprintf(copy, sizeof(copy), "%s/copy", cluster.dir);

    coh_test_ops_expect(2, "reshard --to 0 --data", cluster.data, "--to SHARDS");
    coh_test_ops_expect(2, "reshard --to 2000 --data", cluster.data, "1024");
    coh_test_sh("cp -r '%s' '%s' && mv '%s/rank-2' '%s/away'", cluster.data, copy, copy, copy);
    coh_test_ops_expect(1, "reshard --to 3 --data", copy, "holds no data of rank 2");
    coh_test_sh(
        "mv '%s/away' '%s/rank-2' && cp -r '%s/rank-2' '%s/rank-3'", copy, copy, copy, copy);
    coh_test_ops_expect(
        1, "reshard --to 3 --data", copy, "holds data of rank 3, which the cluster has not");
    coh_test_sh("rm -r '%s/rank-3'", copy);

    /* A damaged page of a trie: found before anything is replaced. */
    coh_kv_t *kv = coh_test_ops_open_store(copy, 1);
    coh_kv_batch_t batch;
    coh_kv_batch_init(&batch);
    coh_kv_batch_delete_range(&batch, COH_KV_TRIE, coh_bytes("a\0\0", 3), coh_bytes("a\3", 2));
    assert_int_equal(kv->ops->write(kv, &batch, true), COH_OK);
    coh_kv_batch_free(&batch);
    kv->ops->close(kv);
    coh_buf_t before = COH_BUF_INIT;
    coh_buf_t after  = COH_BUF_INIT;
    coh_test_ops_expect(1, "check", copy, "rank 1: WRONG: the trie of bucket ");
    list(&before, copy);
    coh_test_ops_expect(1, "reshard --to 3 --data", copy, "the data is damaged");
    list(&after, copy);
    assert_int_equal(before.n, after.n);
    assert_memory_equal(before.p, after.p, before.n);
    coh_test_ops_expect(1, "check", copy, "coordinator of 2 shards");
    coh_buf_free(&before);
    coh_buf_free(&after);

    coh_test_acks_free(&acks);
    coh_test_cluster_fini(&cluster);
    coh_bench_accounts_free(&accounts);
}

/* Killed at any moment, it leaves the old data or the new, or what running it again completes. */
static void reshard_survives_being_killed(void **state)
{
    (void)state;
    coh_rng_t rng;
    coh_rng_seed(&rng, seed + 2);
    coh_bench_accounts_t accounts;
    coh_bench_accounts_new(&accounts, seed + 2, 100, 2);
    coh_test_cluster_t cluster;
    coh_test_cluster_init(&cluster, 2, &accounts);
    coh_test_traffic_genesis(&cluster, 300);
    coh_test_acks_t acks = {0};
    coh_test_ops_start(&cluster, 2);
    coh_test_traffic(&cluster, &accounts, &acks, &rng, 300, 300, NULL, NULL);
    coh_test_cluster_kill(&cluster, -1);
    coh_hash_t before = coh_test_ops_head_root(cluster.data);
    uint32_t kill_cnt = 0;
    for (int i = 0; i < (is_long ? 40 : 6); i++) {
        uint64_t us = coh_rng_below(&rng, UINT64_C(2500000));
        pid_t pid   = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            assert_non_null(freopen("/dev/null", "w", stderr));
            execl(COHORT_PROGRAM,
                  COHORT_PROGRAM,
                  "reshard",
                  "--to",
                  i % 2 == 0 ? "3" : "2",
                  "--json",
                  "--data",
                  cluster.data,
                  (char *)NULL);
            _exit(127);
        }
        (void)usleep((useconds_t)us);
        (void)kill(pid, SIGKILL);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        kill_cnt += WIFSIGNALED(status);
        char mark[160];
        (void)snprintf(mark, sizeof(mark), "%s/swap", cluster.data);
        if (access(mark, F_OK) == 0) {
            coh_test_ops_expect(1, "check", cluster.data, "run the command that did it");
            coh_test_ops_expect(
                0, "reshard --to 2 --json --data", cluster.data, "\"result\":\"finished\"");
        }
        coh_test_ops_expect(0, "check", cluster.data, "nothing wrong");
        coh_hash_t root = coh_test_ops_head_root(cluster.data);
        assert_memory_equal(root.b, before.b, sizeof(before.b));
    }
    printf("killed %u times\n", kill_cnt);
    coh_test_ops_expect(0, "reshard --to 1 --json --data", cluster.data, "\"result\":\"done\"");
    coh_hash_t root = coh_test_ops_flat_root(cluster.data, 1);
    assert_memory_equal(root.b, before.b, sizeof(before.b));
    coh_test_ops_start(&cluster, 1);
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
        cmocka_unit_test(reshard_keeps_the_state),
        cmocka_unit_test(reshard_brings_accounts_home),
        cmocka_unit_test(reshard_refuses_what_is_not_whole),
        cmocka_unit_test(reshard_survives_being_killed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
