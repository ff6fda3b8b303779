/* acks: load for a cluster that is about to be killed, and the check afterwards, for the tests whose cluster is not a child of theirs
   (test_kill.c is the same in one process).

     acks load  --requests ADDR --publications ADDR --seed S --accounts N --count N FILE
         hands in signed transfers as fast as they are taken and appends every receipt that is published to FILE; ends when all have receipts,
         or when nothing has come for ten seconds, or by SIGTERM. What was written to FILE counts as acknowledged.
     acks check --requests ADDR --seed S --accounts N FILE
         every receipt in FILE must be there unchanged, and balances and burnt fees must add up to what genesis gave; prints how many
         there are. Exit code 1 if not.

   The genesis is that of `cohort bench transfers --seed S --accounts N --write-genesis`. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "tests/mpi/acks.h"
#include "tests/mpi/cluster.h"

#define BATCH       200u
#define PATIENCE_US UINT64_C(10000000)

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    (void)number;
    stop = 1;
}

typedef struct {
    char const *requests;
    char const *publications;
    char const *path;
    uint64_t seed;
    size_t account_cnt;
    size_t tx_cnt;
} options_t;

/* Appends what was published, as it came: its length in 4 octets, then the bytes. */
static void write_down(FILE *file, coh_pub_t const *pub)
{
    coh_buf_t text = COH_BUF_INIT;
    coh_pub_put_receipts(&text, &pub->u.receipts);
    uint32_t n = (uint32_t)text.n;
    COH_ASSERT(fwrite(&n, sizeof(n), 1, file) == 1 && fwrite(text.p, 1, n, file) == n &&
               fflush(file) == 0);
    coh_buf_free(&text);
}

static int load(options_t const *o)
{
    coh_bench_accounts_t accounts;
    coh_bench_accounts_new(&accounts, o->seed, o->account_cnt, 2);
    coh_client_options_t options = COH_CLIENT_OPTIONS_DEFAULT;
    coh_client_t *client;
    COH_ASSERT(coh_client_open(&client, o->requests, &options, NULL) == COH_OK);
    (void)coh_test_refresh(client, &accounts);
    coh_client_close(client);
    coh_bench_load_t txs;
    coh_bench_load_plan(&txs, &accounts, coh_clock_unix_us(), o->tx_cnt, 0, COH_BENCH_UNIFORM);
    coh_bench_load_sign(&txs, &accounts, 2);
    FILE *file = fopen(o->path, "ae");
    coh_client_pipeline_t *pipeline;
    coh_client_subscription_t *subscription;
    COH_ASSERT(
        file != NULL &&
        coh_client_pipeline_open(
            &pipeline, o->requests, &options, NULL, coh_test_acks_ignore_answer, NULL) == COH_OK &&
        coh_client_subscribe(&subscription, o->publications, "R", 64u << 20, NULL) == COH_OK);
    (void)printf("loading\n");
    (void)fflush(stdout);
    size_t next      = 0;
    size_t acked     = 0;
    uint64_t last_us = coh_clock_mono_us();
    while (!stop && acked < txs.cnt && coh_clock_mono_us() - last_us < PATIENCE_US) {
        coh_bytes_t raws[BATCH];
        uint32_t cnt = (uint32_t)COH_MIN(txs.cnt - next, BATCH);
        for (size_t i = 0; i < cnt; i++) {
            raws[i] = txs.v[next + i].raw;
        }
        coh_op_submit_request_t request = {.raws = {.v = raws, .cnt = cnt}};
        if (cnt != 0 && coh_client_pipeline_submit(pipeline, &request, next) == COH_OK) {
            next += cnt;
        }
        (void)coh_client_pipeline_poll(pipeline, 1);
        coh_pub_t pub;
        while (coh_client_next(subscription, &pub, 1) == COH_OK) {
            if (pub.topic == COH_PUB_RECEIPTS) {
                write_down(file, &pub);
                acked += pub.u.receipts.receipts.cnt;
                last_us = coh_clock_mono_us();
            }
        }
    }
    (void)printf("%zu receipts of %zu transactions handed in\n", acked, next);
    (void)fclose(file);
    coh_client_unsubscribe(subscription);
    coh_client_pipeline_close(pipeline);
    coh_bench_load_free(&txs);
    coh_bench_accounts_free(&accounts);
    return 0;
}

/* Reads FILE; a last record that was cut short was not acknowledged. */
static void read_acks(coh_test_acks_t *acks, char const *path)
{
    FILE *file              = fopen(path, "re");
    coh_op_reader_t *reader = coh_op_reader_new();
    coh_buf_t text          = COH_BUF_INIT;
    uint32_t n;
    while (file != NULL && fread(&n, sizeof(n), 1, file) == 1) {
        coh_buf_clear(&text);
        if (fread(coh_buf_extend(&text, n), 1, n, file) != n) {
            break;
        }
        coh_pub_t pub;
        COH_ASSERT(coh_op_read_publication(reader, &pub, coh_buf_bytes(&text)) == COH_OK);
        coh_test_acks_add(acks, &pub);
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    coh_op_reader_free(reader);
    coh_buf_free(&text);
}

static int check(options_t const *o)
{
    coh_test_acks_t acks = {0};
    read_acks(&acks, o->path);
    coh_bench_accounts_t accounts;
    coh_bench_accounts_new(&accounts, o->seed, o->account_cnt, 2);
    coh_client_options_t options = COH_CLIENT_OPTIONS_DEFAULT;
    coh_client_t *client;
    coh_buf_t text = COH_BUF_INIT;
    COH_ASSERT(coh_client_open(&client, o->requests, &options, NULL) == COH_OK);
    bool ok          = coh_test_acks_check(&acks, client, &text);
    coh_u256_t sum   = coh_test_refresh(client, &accounts);
    coh_u256_t total = coh_bench_supply(&accounts);
    coh_u256_t burnt;
    if (ok && (coh_test_burnt(&burnt, client) != COH_OK || coh_u256_add(&sum, &sum, &burnt) ||
               !coh_u256_eq(&sum, &total))) {
        coh_buf_printf(&text, "balances and burnt fees do not add up to what genesis gave");
        ok = false;
    }
    (void)printf("%zu acknowledged receipts, %s%.*s\n",
                 acks.cnt,
                 ok ? "all there" : "but ",
                 (int)text.n,
                 (char const *)text.p);
    coh_client_close(client);
    coh_bench_accounts_free(&accounts);
    coh_test_acks_free(&acks);
    coh_buf_free(&text);
    return ok ? 0 : 1;
}

int main(int argc, char **argv)
{
    static struct option const names[] = {{"requests", required_argument, NULL, 'r'},
                                          {"publications", required_argument, NULL, 'p'},
                                          {"seed", required_argument, NULL, 's'},
                                          {"accounts", required_argument, NULL, 'a'},
                                          {"count", required_argument, NULL, 'c'},
                                          {NULL, 0, NULL, 0}};
    options_t o                        = {.seed = 1, .account_cnt = 100, .tx_cnt = 1000};
    int c;
    while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (c) {
        case 'r': o.requests = optarg; break;
        case 'p': o.publications = optarg; break;
        case 's': o.seed = strtoull(optarg, NULL, 10); break;
        case 'a': o.account_cnt = strtoull(optarg, NULL, 10); break;
        case 'c': o.tx_cnt = strtoull(optarg, NULL, 10); break;
        default: return 2;
        }
    }
    bool loads = argc - optind == 2 && strcmp(argv[optind], "load") == 0;
    if (argc - optind != 2 || o.requests == NULL || (loads && o.publications == NULL) ||
        (!loads && strcmp(argv[optind], "check") != 0)) {
        (void)fprintf(stderr, "acks load|check OPTIONS FILE: see the top of acks.c\n");
        return 2;
    }
    o.path = argv[optind + 1];
    (void)signal(SIGTERM, on_signal);
    return loads ? load(&o) : check(&o);
}
