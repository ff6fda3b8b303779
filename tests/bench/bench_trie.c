/* Cost of state roots: blocks of random changes in states of several sizes, on kv_mem and on RocksDB; one line of JSON for each, and one
   for Keccak-256, single and multi-buffer, against OpenSSL's SHA3-256.
   usage: bench_trie [--dir DIR] [--accounts N]... [--changes N]... [--blocks N] [--page BYTES] [--flush-every N] [--puts] [--keccak]
   DIR is made and removed; without it, only kv_mem. Time is CPU time of the whole process, with RocksDB's threads. */
/* links: coh_rocks */
#include <dirent.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/rng.h"
#include "common/codec/block.h"
#include "common/crypto/keccak.h"
#include "common/trie/account.h"
#include "common/trie/roots.h"

/* FILL_CNT: accounts that the first state is made of at a time. */
enum { BUCKET_CNT = COH_ROOTS_BUCKET_CNT, LIST_MAX = 8, FILL_CNT = 1 << 20 };

typedef struct {
    char const *dir;
    size_t accounts[LIST_MAX];
    size_t account_n;
    size_t changes[LIST_MAX];
    size_t change_n;
    size_t block_cnt;
    uint32_t page_bytes;
    size_t flush_every; /* blocks until every trie has been flushed once */
    bool puts_only;
    bool keccak;
} options_t;

/* ---- Keccak ---- */

typedef struct {
    coh_hash_t *out;
    coh_bytes_t *in;
    size_t cnt;
} inputs_t;

static void single(inputs_t const *x)
{
    for (size_t i = 0; i < x->cnt; i++) {
        coh_keccak256(&x->out[i], x->in[i].p, x->in[i].n);
    }
}

static void many(inputs_t const *x) { coh_keccak256_many(x->out, x->in, x->cnt); }

static void openssl(inputs_t const *x)
{
    static EVP_MD_CTX *ctx;
    static EVP_MD *md;
    if (ctx == NULL) {
        ctx = EVP_MD_CTX_new();
        md  = EVP_MD_fetch(NULL, "SHA3-256", NULL);
    }
    for (size_t i = 0; i < x->cnt; i++) {
        unsigned n = 0;
        int ok     = EVP_DigestInit_ex(ctx, md, NULL) &&
                 EVP_DigestUpdate(ctx, x->in[i].p, x->in[i].n) &&
                 EVP_DigestFinal_ex(ctx, x->out[i].b, &n);
        COH_ASSERT(ok && n == sizeof(coh_hash_t));
    }
}

/* Nanoseconds for each input: the best of several turns, since the machine is not ours alone. */
static double measure(inputs_t const *x, void (*hash)(inputs_t const *))
{
    double best = 1e9;
    for (int turn = 0; turn < 20; turn++) {
        uint64_t start = coh_clock_thread_cpu_ns();
        hash(x);
        best = COH_MIN(best, (double)(coh_clock_thread_cpu_ns() - start) / (double)x->cnt);
    }
    return best;
}

static void bench_keccak(void)
{
    static size_t const lengths[] = {110, 532}; /* a leaf, a full branch */
    enum { CNT = 8192 };
    uint8_t *text = coh_calloc(CNT, lengths[1]);
    inputs_t x = {coh_calloc(CNT, sizeof(coh_hash_t)), coh_calloc(CNT, sizeof(coh_bytes_t)), CNT};
    printf("{\"bench\":\"trie_keccak\",\"backend\":\"%s\",\"ns_per_input\":[",
           coh_keccak_backend());
    for (size_t k = 0; k < COH_CNT(lengths); k++) {
        for (size_t i = 0; i < CNT; i++) {
            x.in[i] = coh_bytes(text + i * lengths[1], lengths[k]);
        }
        double one = measure(&x, single);
        double all = measure(&x, many);
        double ssl = measure(&x, openssl);
        printf("%s{\"bytes\":%zu,\"single\":%.0f,\"many\":%.0f,\"openssl_sha3\":%.0f,"
               "\"single_to_many\":%.2f}",
               k == 0 ? "" : ",",
               lengths[k],
               one,
               all,
               ssl,
               one / all);
    }
    printf("]}\n");
    free(text);
    free(x.in);
    free(x.out);
}

/* ---- State ---- */

typedef struct {
    coh_hash_t key;
    uint64_t nonce;
} account_t;

static int compare_accounts(void const *a, void const *b)
{
    return memcmp(((account_t const *)a)->key.b, ((account_t const *)b)->key.b, sizeof(coh_hash_t));
}

static int compare_sizes(void const *a, void const *b)
{
    size_t x = *(size_t const *)a;
    size_t y = *(size_t const *)b;
    return (x > y) - (x < y);
}

static uint32_t bucket_of(coh_hash_t const *key)
{
    return (uint32_t)key->b[0] << 4 | key->b[1] >> 4;
}

typedef struct {
    account_t *accounts; /* sorted */
    size_t cnt;
    coh_kv_t *kv;
    coh_mpt_t *mpt;
    coh_roots_t *roots;
    uint64_t block;
    /* Of one block. */
    coh_mpt_change_t *changes;
    coh_mpt_job_t *jobs;
    coh_buf_t values;
} state_t;

/* Sets the accounts whose places are listed, ascending; returns the octets of their keys and values. */
static size_t change(state_t *s, size_t const *at, size_t cnt, coh_buf_t *undo, coh_hash_t *root)
{
    coh_trie_account_t account = {.storage_root = COH_EMPTY_TRIE_ROOT,
                                  .code_hash    = COH_KECCAK_EMPTY};
    size_t *ends               = coh_calloc(cnt + 1, sizeof(*ends));
    size_t job_cnt             = 0;
    coh_buf_clear(&s->values);
    for (size_t i = 0; i < cnt; i++) {
        account_t *a    = &s->accounts[at[i]];
        account.nonce   = a->nonce++;
        account.balance = coh_u256_from_be(a->key.b, 9); /* below 2^72 wei */
        coh_trie_account_put(&s->values, &account);
        ends[i + 1]       = s->values.n;
        s->changes[i].key = a->key;
    }
    for (size_t i = 0; i < cnt; i++) {
        uint32_t bucket     = bucket_of(&s->changes[i].key);
        s->changes[i].value = coh_bytes(s->values.p + ends[i], ends[i + 1] - ends[i]);
        if (i == 0 || bucket_of(&s->changes[i - 1].key) != bucket) {
            s->jobs[job_cnt++] =
                (coh_mpt_job_t){.id = coh_mpt_id_bucket(bucket), .changes = &s->changes[i]};
        }
        s->jobs[job_cnt - 1].cnt++;
    }
    free(ends);
    coh_err_t rc = coh_mpt_update(s->mpt, ++s->block, s->jobs, job_cnt, undo);
    COH_ASSERT(rc == COH_OK);
    for (size_t i = 0; i < job_cnt; i++) {
        coh_roots_put(s->roots, bucket_of(&s->jobs[i].changes[0].key), &s->jobs[i].node, NULL);
    }
    coh_roots_compute(s->roots, root);
    return s->values.n + cnt * sizeof(coh_hash_t);
}

static void flush(state_t *s, size_t bytes_max, bool puts_only)
{
    coh_kv_batch_t batch;
    coh_kv_batch_init(&batch);
    coh_mpt_flush(s->mpt, &batch, bytes_max, puts_only);
    coh_err_t rc =
        puts_only ? s->kv->ops->ingest(s->kv, &batch) : s->kv->ops->write(s->kv, &batch, false);
    COH_ASSERT(rc == COH_OK);
    coh_mpt_flush_done(s->mpt);
    coh_kv_batch_free(&batch);
}

/* Octets that this process has written to files so far. */
static uint64_t written(void)
{
    FILE *f = fopen("/proc/self/io", "re");
    char line[128];
    unsigned long long bytes = 0;
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        (void)sscanf(line, "wchar: %llu", &bytes);
    }
    if (f != NULL) {
        (void)fclose(f);
    }
    return bytes;
}

/* Waits until nothing is written any more. */
static void settle(void)
{
    for (uint64_t last = 0; last != written();) {
        last = written();
        usleep(1500000);
    }
}

static void remove_dir(char const *path)
{
    DIR *dir = opendir(path);
    for (struct dirent *e = dir == NULL ? NULL : readdir(dir); e != NULL; e = readdir(dir)) {
        (void)unlinkat(dirfd(dir), e->d_name, 0);
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    (void)rmdir(path);
}

static uint64_t dir_bytes(char const *path)
{
    uint64_t bytes = 0;
    DIR *dir       = opendir(path);
    for (struct dirent *e = dir == NULL ? NULL : readdir(dir); e != NULL; e = readdir(dir)) {
        struct stat st;
        if (fstatat(dirfd(dir), e->d_name, &st, 0) == 0 && S_ISREG(st.st_mode)) {
            bytes += (uint64_t)st.st_size;
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    return bytes;
}

static void bench(options_t const *o, bool on_disk, size_t account_cnt, size_t change_cnt)
{
    state_t s = {.cnt   = account_cnt,
                 .roots = coh_roots_new(),
                 .changes =
                     coh_calloc(COH_MAX((size_t)FILL_CNT, change_cnt), sizeof(coh_mpt_change_t)),
                 .jobs = coh_calloc(BUCKET_CNT, sizeof(coh_mpt_job_t))};
    coh_rng_t rng;
    coh_rng_seed(&rng, account_cnt);
    s.accounts = coh_calloc(account_cnt, sizeof(*s.accounts));
    for (size_t i = 0; i < account_cnt; i++) {
        coh_keccak256(&s.accounts[i].key, &i, sizeof(i));
    }
    qsort(s.accounts, account_cnt, sizeof(*s.accounts), compare_accounts);
    if (on_disk) {
        remove_dir(o->dir);
        coh_err_t rc = coh_kv_rocks_open(&s.kv, o->dir, (size_t)64 << 20, NULL);
        COH_ASSERT(rc == COH_OK);
    } else {
        (void)coh_kv_mem_open(&s.kv);
    }
    coh_mpt_config_t config = {.kv              = s.kv,
                               .table           = COH_KV_TRIE,
                               .cache_bytes     = (size_t)4 << 30,
                               .dirty_bytes_max = (size_t)4 << 30,
                               .page_bytes      = o->page_bytes,
                               .seed            = 1};
    s.mpt                   = coh_mpt_new(&config);

    size_t *at = coh_calloc(COH_MAX((size_t)FILL_CNT, change_cnt), sizeof(*at));
    coh_hash_t root;
    for (size_t done = 0; done < account_cnt;) {
        size_t n = COH_MIN(account_cnt - done, (size_t)FILL_CNT);
        for (size_t i = 0; i < n; i++) {
            at[i] = done++;
        }
        change(&s, at, n, NULL, &root);
        flush(&s, SIZE_MAX, o->puts_only);
    }
    if (on_disk) {
        settle();
    }

    coh_mpt_stats_t stats;
    coh_mpt_stats(s.mpt, &stats);
    uint64_t hashes_at  = stats.hash_cnt;
    uint64_t written_at = written();
    uint64_t update_ns  = 0;
    uint64_t flush_ns   = 0;
    uint64_t changed    = 0;
    uint64_t octets     = 0;
    uint64_t undo_bytes = 0;
    size_t budget =
        0; /* of each flush: so much that all that is dirty is flushed in flush_every blocks */
    for (size_t b = 0; b < o->block_cnt; b++) {
        size_t n = 0;
        for (size_t i = 0; i < change_cnt; i++) {
            at[i] = coh_rng_below(&rng, account_cnt);
        }
        qsort(at, change_cnt, sizeof(*at), compare_sizes);
        for (size_t i = 0; i < change_cnt; i++) {
            if (n == 0 || at[n - 1] != at[i]) {
                at[n++] = at[i];
            }
        }
        coh_buf_t undo = COH_BUF_INIT;
        uint64_t start = coh_clock_process_cpu_ns();
        octets += change(&s, at, n, &undo, &root);
        update_ns += coh_clock_process_cpu_ns() - start;
        undo_bytes += undo.n;
        coh_buf_free(&undo);
        changed += n;
        start = coh_clock_process_cpu_ns();
        coh_mpt_stats(s.mpt, &stats);
        budget = COH_MAX(budget, stats.page_bytes / o->flush_every);
        flush(&s, budget, o->puts_only);
        flush_ns += coh_clock_process_cpu_ns() - start;
    }
    coh_mpt_stats(s.mpt, &stats);
    uint64_t start = coh_clock_process_cpu_ns();
    if (on_disk) {
        flush(&s, SIZE_MAX, o->puts_only);
        settle();
    }
    uint64_t settle_ns = coh_clock_process_cpu_ns() - start;
    double per         = 1.0 / (double)changed;
    printf(
        "{\"bench\":\"trie\",\"kv\":\"%s\",\"accounts\":%zu,\"changes_per_block\":%zu,\"blocks\":%"
        "zu,"
        "\"page\":%u,\"flush_every\":%zu,\"ingest\":%s,\"us_per_change\":{\"root\":%.2f,\"flush\":%"
        ".2f,"
        "\"settling\":%.2f},\"bytes_per_change\":{\"changed\":%.0f,\"undo\":%.0f,\"written\":%.0f},"
        "\"hashes_per_change\":%.2f,\"memory_per_account\":%.0f,\"disk_bytes\":%" PRIu64
        ",\"root\":\"%02x%02x%02x%02x\"}\n",
        on_disk ? "rocks" : "mem",
        account_cnt,
        change_cnt,
        o->block_cnt,
        o->page_bytes,
        o->flush_every,
        o->puts_only ? "true" : "false",
        (double)update_ns * per / 1000,
        (double)flush_ns * per / 1000,
        (double)settle_ns * per / 1000,
        (double)octets * per,
        (double)undo_bytes * per,
        (double)(written() - written_at) * per,
        (double)(stats.hash_cnt - hashes_at) * per,
        (double)stats.page_bytes / (double)account_cnt,
        on_disk ? dir_bytes(o->dir) : 0,
        root.b[0],
        root.b[1],
        root.b[2],
        root.b[3]);
    fflush(stdout);
    coh_mpt_free(s.mpt);
    s.kv->ops->close(s.kv);
    coh_roots_free(s.roots);
    coh_buf_free(&s.values);
    free(s.accounts);
    free(s.changes);
    free(s.jobs);
    free(at);
    if (on_disk) {
        remove_dir(o->dir);
    }
}

static int usage(char const *program)
{
    fprintf(stderr,
            "usage: %s [--dir DIR] [--accounts N]... [--changes N]... [--blocks N] [--page BYTES] "
            "[--flush-every N] [--puts] [--keccak]\n",
            program);
    return 2;
}

int main(int argc, char **argv)
{
    options_t o = {.block_cnt = 20, .page_bytes = COH_MPT_PAGE_DEFAULT, .flush_every = 10};
    for (int i = 1; i < argc; i++) {
        char const *name = argv[i];
        if (strcmp(name, "--puts") == 0) {
            o.puts_only = true;
            continue;
        }
        if (strcmp(name, "--keccak") == 0) {
            o.keccak = true;
            continue;
        }
        if (i + 1 == argc) {
            return usage(argv[0]);
        }
        char const *text = argv[++i];
        size_t n         = strtoul(text, NULL, 10);
        if (strcmp(name, "--dir") == 0) {
            o.dir = text;
        } else if (n == 0) {
            return usage(argv[0]);
        } else if (strcmp(name, "--accounts") == 0 && o.account_n < LIST_MAX) {
            o.accounts[o.account_n++] = n;
        } else if (strcmp(name, "--changes") == 0 && o.change_n < LIST_MAX) {
            o.changes[o.change_n++] = n;
        } else if (strcmp(name, "--blocks") == 0) {
            o.block_cnt = n;
        } else if (strcmp(name, "--page") == 0 && n >= COH_MPT_PAGE_MIN && n <= UINT16_MAX) {
            o.page_bytes = (uint32_t)n;
        } else if (strcmp(name, "--flush-every") == 0) {
            o.flush_every = n;
        } else {
            return usage(argv[0]);
        }
    }
    if (o.account_n == 0) {
        static size_t const sizes[] = {1000, 10000, 100000, 1000000};
        memcpy(o.accounts, sizes, sizeof(sizes));
        o.account_n = COH_CNT(sizes);
    }
    if (o.change_n == 0) {
        static size_t const sizes[] = {1000, 10000, 50000};
        memcpy(o.changes, sizes, sizeof(sizes));
        o.change_n = COH_CNT(sizes);
    }
    bench_keccak();
    if (o.keccak) {
        return 0;
    }
    for (int on_disk = 0; on_disk <= (o.dir != NULL); on_disk++) {
        for (size_t i = 0; i < o.account_n; i++) {
            for (size_t k = 0; k < o.change_n; k++) {
                bench(&o, on_disk, o.accounts[i], o.changes[k]);
            }
        }
    }
    return 0;
}
