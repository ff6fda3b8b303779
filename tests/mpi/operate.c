#include "tests/mpi/operate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "common/base/hex.h"
#include "coordinator/placement.h"
#include "tests/support/flat_root.h"

#define RANKS_MAX 8u

int coh_test_ops_run(coh_buf_t *text, char const *fmt, ...)
{
    char command[512];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(command, sizeof(command), fmt, args);
    va_end(args);
    assert_true(n > 0 && (size_t)n < sizeof(command));
    FILE *out = popen(command, "r");
    assert_non_null(out);
    char chunk[4096];
    size_t got;
    while ((got = fread(chunk, 1, sizeof(chunk), out)) > 0) {
        if (text != NULL) {
            coh_buf_put(text, chunk, got);
        }
    }
    if (text != NULL) {
        coh_buf_put_u8(text, 0);
    }
    int status = pclose(out);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void coh_test_ops_expect(int code, char const *command, char const *dir, char const *expected)
{
    coh_buf_t text = COH_BUF_INIT;
    int found      = coh_test_ops_run(&text, COHORT_PROGRAM " %s '%s' 2>&1", command, dir);
    if (found != code || strstr((char const *)text.p, expected) == NULL) {
        fail_msg("cohort %s: exit code %d, expected %d and \"%s\":\n%s",
                 command,
                 found,
                 code,
                 expected,
                 (char const *)text.p);
    }
    coh_buf_free(&text);
}

coh_kv_t *coh_test_ops_open_store(char const *data, uint32_t rank)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/rank-%u/db", data, rank);
    coh_kv_t *kv = NULL;
    assert_int_equal(coh_kv_rocks_open(&kv, path, (size_t)1 << 20, NULL), COH_OK);
    return kv;
}

coh_hash_t coh_test_ops_head_root(char const *data)
{
    coh_hash_t root;
    coh_kv_t *kv = coh_test_ops_open_store(data, 0);
    assert_true(coh_test_head_root(&root, kv));
    kv->ops->close(kv);
    return root;
}

coh_hash_t coh_test_ops_flat_root(char const *data, uint32_t shard_cnt)
{
    coh_kv_t *kvs[RANKS_MAX] = {0};
    coh_hash_t root;
    for (uint32_t s = 0; s < shard_cnt; s++) {
        kvs[s] = coh_test_ops_open_store(data, s + 1);
    }
    assert_true(coh_test_flat_root(&root, kvs, shard_cnt));
    for (uint32_t s = 0; s < shard_cnt; s++) {
        kvs[s]->ops->close(kvs[s]);
    }
    return root;
}

static void pin(FILE *file, coh_directory_t const *dir, coh_addr_t const *addr)
{
    char hex[41];
    uint32_t shard = coh_directory_shard(dir, coh_directory_bucket(addr));
    coh_hex_encode(hex, addr->b, sizeof(addr->b));
    assert_true(fprintf(file, "0x%s %u\n", hex, (shard + 1) % dir->shard_cnt) > 0);
}

void coh_test_ops_pin(char const *path,
                      coh_bench_accounts_t const *accounts,
                      char const *more,
                      uint32_t shard_cnt)
{
    FILE *file = fopen(path, "w");
    coh_directory_t dir;
    coh_addr_t addr;
    assert_non_null(file);
    assert_int_equal(coh_placement_initial(&dir, "hash", shard_cnt, NULL), COH_OK);
    for (size_t i = 0; i < accounts->cnt; i += 2) {
        pin(file, &dir, &accounts->v[i].addr);
    }
    assert_int_equal(coh_hex_decode(addr.b, sizeof(addr.b), more, strlen(more)), COH_OK);
    pin(file, &dir, &addr);
    assert_int_equal(fclose(file), 0);
    coh_directory_free(&dir);
}

void coh_test_ops_start(coh_test_cluster_t *c, uint32_t shard_cnt)
{
    c->shard_cnt = shard_cnt;
    coh_test_cluster_start(c);
    if (coh_test_cluster_wait_ready(c) < 0) {
        fail_msg("%u shards: not ready\n%s", shard_cnt, coh_test_cluster_log(c));
    }
}

void coh_test_ops_expect_acks(coh_test_cluster_t const *c,
                              coh_test_acks_t const *acks,
                              uint64_t last)
{
    coh_test_acks_t some = {.v = acks->v};
    while (some.cnt < acks->cnt && acks->v[some.cnt].block <= last) {
        some.cnt++; /* they came in the order of blocks */
    }
    coh_client_t *client = coh_test_client(c, 10000);
    coh_buf_t text       = COH_BUF_INIT;
    if (!coh_test_acks_check(&some, client, &text)) {
        fail_msg("%.*s", (int)text.n, (char const *)text.p);
    }
    coh_buf_free(&text);
    coh_client_close(client);
}
