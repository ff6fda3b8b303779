/* The same cases over both stores, against a model that is an array of slots; and what only a store
   on disk can show: what is there after a crash, a torn log, a damaged log, a second opening. */
/* links: coh_rocks */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/rng.h"
#include "common/kv/kv.h"
#include "tests/support/seed.h"

#define CACHE_BYTES ((size_t)1 << 20)

typedef struct {
    coh_kv_t *kv;
    bool disk;
    char dir[64];
    char path[96];
} fixture_t;

static void remove_tree(char const *path)
{
    char command[256];
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", path);
    assert_int_equal(system(command), 0);
}

static fixture_t *fixture_new(bool disk)
{
    fixture_t *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    f->disk = disk;
    if (disk) {
        (void)snprintf(f->dir, sizeof(f->dir), "/tmp/coh-test-kv-XXXXXX");
        assert_non_null(mkdtemp(f->dir));
        (void)snprintf(f->path, sizeof(f->path), "%s/db", f->dir);
        assert_int_equal(coh_kv_rocks_open(&f->kv, f->path, CACHE_BYTES, NULL), COH_OK);
    } else {
        assert_int_equal(coh_kv_mem_open(&f->kv), COH_OK);
    }
    return f;
}

static int setup_mem(void **state)
{
    *state = fixture_new(false);
    return 0;
}

static int setup_rocks(void **state)
{
    *state = fixture_new(true);
    return 0;
}

static int teardown(void **state)
{
    fixture_t *f = *state;
    if (f->kv != NULL) {
        f->kv->ops->close(f->kv);
    }
    if (f->disk) {
        remove_tree(f->dir);
    }
    free(f);
    return 0;
}

static coh_bytes_t str(char const *s) { return coh_bytes(s, strlen(s)); }

static void put(coh_kv_t *kv, coh_kv_table_t table, char const *key, char const *value, bool sync)
{
    coh_kv_batch_t batch;
    coh_kv_batch_init(&batch);
    coh_kv_batch_put(&batch, table, str(key), str(value));
    assert_int_equal(kv->ops->write(kv, &batch, sync), COH_OK);
    coh_kv_batch_free(&batch);
}

/* The value as text in a static buffer, or NULL. */
static char const *get(coh_kv_t *kv, coh_kv_table_t table, char const *key)
{
    static char text[256];
    coh_buf_t out = COH_BUF_INIT;
    coh_buf_put_u8(&out, '>'); /* get appends */
    coh_err_t rc = kv->ops->get(kv, table, str(key), &out);
    assert_true(rc == COH_OK || rc == COH_ENOTFOUND);
    assert_int_equal(out.p[0], '>');
    assert_true(out.n <= sizeof(text));
    if (rc == COH_OK) {
        memcpy(text, out.p + 1, out.n - 1);
        text[out.n - 1] = '\0';
    } else {
        assert_int_equal(out.n, 1);
    }
    coh_buf_free(&out);
    return rc == COH_OK ? text : NULL;
}

typedef struct {
    coh_buf_t text;
    int left;
} collect_t;

static bool collect(void *arg, coh_bytes_t key, coh_bytes_t value)
{
    collect_t *c = arg;
    coh_buf_printf(&c->text,
                   "%.*s=%.*s ",
                   (int)key.n,
                   (char const *)key.p,
                   (int)value.n,
                   (char const *)value.p);
    return --c->left != 0;
}

static void assert_listing(coh_kv_t *kv,
                           char const *first,
                           bool descending,
                           int max,
                           char const *want)
{
    collect_t c = {.left = max};
    assert_int_equal(kv->ops->iterate(kv, COH_KV_ACCOUNTS, str(first), descending, collect, &c),
                     COH_OK);
    coh_buf_put_u8(&c.text, 0);
    assert_string_equal((char *)c.text.p, want);
    coh_buf_free(&c.text);
}

static void kv_tables_are_apart(void **state)
{
    coh_kv_t *kv = ((fixture_t *)*state)->kv;
    for (int table = 0; table < COH_KV_TABLE_CNT; table++) {
        char value[8];
        (void)snprintf(value, sizeof(value), "v%d", table);
        put(kv, (coh_kv_table_t)table, "key", value, false);
    }
    for (int table = 0; table < COH_KV_TABLE_CNT; table++) {
        char value[8];
        (void)snprintf(value, sizeof(value), "v%d", table);
        assert_string_equal(get(kv, (coh_kv_table_t)table, "key"), value);
        assert_null(get(kv, (coh_kv_table_t)table, "ke"));
        assert_null(get(kv, (coh_kv_table_t)table, "keyy"));
    }
}

static void kv_batch_applies_in_order(void **state)
{
    coh_kv_t *kv = ((fixture_t *)*state)->kv;
    put(kv, COH_KV_ACCOUNTS, "a", "old", false);
    coh_kv_batch_t batch;
    coh_kv_batch_init(&batch);
    coh_kv_batch_delete(&batch, COH_KV_ACCOUNTS, str("a"));
    coh_kv_batch_put(&batch, COH_KV_ACCOUNTS, str("a"), str("1"));
    coh_kv_batch_put(&batch, COH_KV_ACCOUNTS, str("b"), str("2"));
    coh_kv_batch_put(&batch, COH_KV_ACCOUNTS, str("c"), str("3"));
    coh_kv_batch_delete_range(&batch, COH_KV_ACCOUNTS, str("b"), str("c"));
    memcpy(coh_kv_batch_put_space(&batch, COH_KV_ACCOUNTS, str("d"), 2), "44", 2);
    coh_kv_batch_put(&batch, COH_KV_ACCOUNTS, str("d"), str(""));
    assert_int_equal(batch.cnt, 7);
    assert_int_equal(kv->ops->write(kv, &batch, true), COH_OK);
    coh_kv_batch_free(&batch);
    assert_listing(kv, "", false, 0, "a=1 c=3 d= ");
}

static void kv_iterates_both_ways(void **state)
{
    coh_kv_t *kv = ((fixture_t *)*state)->kv;
    assert_listing(kv, "", false, 0, "");
    assert_listing(kv, "", true, 0, "");
    assert_listing(kv, "x", true, 0, "");
    put(kv, COH_KV_ACCOUNTS, "ba", "2", false);
    put(kv, COH_KV_ACCOUNTS, "b", "1", false);
    put(kv, COH_KV_ACCOUNTS, "d", "4", false);
    put(kv, COH_KV_ACCOUNTS, "c\xff", "3", false);
    put(kv, COH_KV_REDO, "c", "another table", false);
    assert_listing(kv, "", false, 0, "b=1 ba=2 c\xff=3 d=4 ");
    assert_listing(kv, "", true, 0, "d=4 c\xff=3 ba=2 b=1 ");
    assert_listing(kv, "b", false, 2, "b=1 ba=2 ");
    assert_listing(kv, "bb", false, 0, "c\xff=3 d=4 ");
    assert_listing(kv, "bb", true, 0, "ba=2 b=1 ");
    assert_listing(kv, "d", true, 1, "d=4 ");
    assert_listing(kv, "z", true, 0, "d=4 c\xff=3 ba=2 b=1 ");
    assert_listing(kv, "z", false, 0, "");
    assert_listing(kv, "a", true, 0, "");
}

static void kv_ingests_sorted_puts_only(void **state)
{
    coh_kv_t *kv = ((fixture_t *)*state)->kv;
    put(kv, COH_KV_ACCOUNTS, "b", "unflushed", false);
    coh_kv_batch_t batch;
    coh_kv_batch_init(&batch);
    assert_int_equal(kv->ops->ingest(kv, &batch), COH_OK);
    coh_kv_batch_put(&batch, COH_KV_ACCOUNTS, str("a"), str("1"));
    coh_kv_batch_put(&batch, COH_KV_ACCOUNTS, str("b"), str("2"));
    coh_kv_batch_put(&batch, COH_KV_ACCOUNTS, str("bb"), str("3"));
    assert_int_equal(kv->ops->ingest(kv, &batch), COH_OK);
    assert_listing(kv, "", false, 0, "a=1 b=2 bb=3 ");
    put(kv, COH_KV_ACCOUNTS, "b", "4", false);
    assert_listing(kv, "", false, 0, "a=1 b=4 bb=3 ");

    coh_kv_batch_put(&batch, COH_KV_ACCOUNTS, str("bb"), str("again"));
    assert_int_equal(kv->ops->ingest(kv, &batch), COH_EINVAL);
    coh_buf_clear(&batch.ops);
    coh_kv_batch_put(&batch, COH_KV_ACCOUNTS, str("e"), str("1"));
    coh_kv_batch_put(&batch, COH_KV_REDO, str("f"), str("2"));
    assert_int_equal(kv->ops->ingest(kv, &batch), COH_EINVAL);
    coh_buf_clear(&batch.ops);
    coh_kv_batch_delete(&batch, COH_KV_ACCOUNTS, str("a"));
    assert_int_equal(kv->ops->ingest(kv, &batch), COH_EINVAL);
    coh_kv_batch_free(&batch);
    assert_listing(kv, "", false, 0, "a=1 b=4 bb=3 ");
}

/* Random operations against a model: slot k of the model is the key of k as two big-endian bytes.
 */
enum { MODEL_KEYS = 600, MODEL_ROUNDS = 1500 };

typedef struct {
    uint32_t const *model;
    int next;
    int step;
} walk_t;

static void model_key(uint8_t key[2], int k)
{
    key[0] = (uint8_t)(k >> 8);
    key[1] = (uint8_t)k;
}

static int walk_skip(walk_t *w)
{
    while (w->next >= 0 && w->next < MODEL_KEYS && w->model[w->next] == 0) {
        w->next += w->step;
    }
    return w->next;
}

static bool walk(void *arg, coh_bytes_t key, coh_bytes_t value)
{
    walk_t *w = arg;
    uint8_t want[2];
    model_key(want, walk_skip(w));
    assert_true(coh_bytes_eq(key, coh_bytes(want, 2)));
    assert_int_equal(value.n, 4 + w->model[w->next] % 50);
    assert_int_equal(coh_load_u32_le(value.p), w->model[w->next]);
    w->next += w->step;
    return true;
}

static void kv_equals_model(void **state)
{
    coh_kv_t *kv = ((fixture_t *)*state)->kv;
    static uint32_t model[MODEL_KEYS];
    memset(model, 0, sizeof(model));
    uint64_t seed = coh_test_seed();
    coh_rng_t rng;
    coh_rng_seed(&rng, seed);
    uint32_t stamp = 0;
    for (int round = 0; round < MODEL_ROUNDS; round++) {
        coh_kv_batch_t batch;
        coh_kv_batch_init(&batch);
        for (uint64_t ops = coh_rng_below(&rng, 20); ops > 0; ops--) {
            int k = (int)coh_rng_below(&rng, MODEL_KEYS);
            uint8_t key[2];
            model_key(key, k);
            uint64_t dice = coh_rng_below(&rng, 100);
            if (dice < 70) {
                model[k]          = ++stamp;
                uint8_t value[64] = {0};
                coh_store_u32_le(value, stamp);
                coh_kv_batch_put(
                    &batch, COH_KV_ACCOUNTS, coh_bytes(key, 2), coh_bytes(value, 4 + stamp % 50));
            } else if (dice < 97) {
                model[k] = 0;
                coh_kv_batch_delete(&batch, COH_KV_ACCOUNTS, coh_bytes(key, 2));
            } else {
                int end = k + (int)coh_rng_below(&rng, 80);
                uint8_t end_key[2];
                model_key(end_key, end);
                for (int i = k; i < end && i < MODEL_KEYS; i++) {
                    model[i] = 0;
                }
                coh_kv_batch_delete_range(
                    &batch, COH_KV_ACCOUNTS, coh_bytes(key, 2), coh_bytes(end_key, 2));
            }
        }
        assert_int_equal(kv->ops->write(kv, &batch, false), COH_OK);
        coh_kv_batch_free(&batch);
        if (round % 100 != 99) {
            continue;
        }
        walk_t up = {.model = model, .next = 0, .step = 1};
        assert_int_equal(
            kv->ops->iterate(kv, COH_KV_ACCOUNTS, coh_bytes(NULL, 0), false, walk, &up), COH_OK);
        assert_int_equal(walk_skip(&up), MODEL_KEYS);
        int from = 1 + (int)coh_rng_below(&rng, MODEL_KEYS - 1);
        uint8_t from_key[2];
        model_key(from_key, from);
        walk_t down = {.model = model, .next = from, .step = -1};
        assert_int_equal(
            kv->ops->iterate(kv, COH_KV_ACCOUNTS, coh_bytes(from_key, 2), true, walk, &down),
            COH_OK);
        assert_int_equal(walk_skip(&down), -1);

        enum { ASKED = 200 };
        uint8_t keys_raw[ASKED][2];
        int asked[ASKED];
        coh_bytes_t keys[ASKED];
        coh_err_t errs[ASKED];
        size_t lens[ASKED];
        for (int i = 0; i < ASKED; i++) {
            asked[i] = (int)coh_rng_below(&rng, MODEL_KEYS);
            model_key(keys_raw[i], asked[i]);
            keys[i] = coh_bytes(keys_raw[i], 2);
        }
        coh_buf_t values = COH_BUF_INIT;
        assert_int_equal(kv->ops->multi_get(kv, COH_KV_ACCOUNTS, ASKED, keys, errs, lens, &values),
                         COH_OK);
        size_t at = 0;
        for (int i = 0; i < ASKED; i++) {
            uint32_t want = model[asked[i]];
            assert_int_equal(errs[i], want != 0 ? COH_OK : COH_ENOTFOUND);
            assert_int_equal(lens[i], want != 0 ? 4 + want % 50 : 0);
            if (want != 0) {
                assert_int_equal(coh_load_u32_le(values.p + at), want);
            }
            at += lens[i];
        }
        assert_int_equal(at, values.n);
        for (int i = 0; i < ASKED; i++) {
            coh_buf_clear(&values);
            coh_err_t rc = kv->ops->peek(kv, COH_KV_ACCOUNTS, keys[i], &values);
            if (rc != COH_EBUSY) { /* else it would take the device */
                assert_int_equal(rc, errs[i]);
                assert_int_equal(values.n, lens[i]);
                assert_int_equal(rc == COH_OK ? coh_load_u32_le(values.p) : 0, model[asked[i]]);
            }
        }
        coh_buf_free(&values);
    }
}

static void kv_mem_clone_is_independent(void **state)
{
    coh_kv_t *kv = ((fixture_t *)*state)->kv;
    put(kv, COH_KV_ACCOUNTS, "a", "1", false);
    put(kv, COH_KV_ACCOUNTS, "b", "2", false);
    coh_kv_t *copy = coh_kv_mem_clone(kv);
    put(copy, COH_KV_ACCOUNTS, "a", "changed", false);
    put(kv, COH_KV_ACCOUNTS, "c", "3", false);
    assert_listing(copy, "", true, 0, "b=2 a=changed ");
    assert_listing(kv, "", false, 0, "a=1 b=2 c=3 ");
    copy->ops->close(copy);
}

static void reopen(fixture_t *f)
{
    if (f->kv != NULL) {
        f->kv->ops->close(f->kv);
        f->kv = NULL;
    }
    assert_int_equal(coh_kv_rocks_open(&f->kv, f->path, CACHE_BYTES, NULL), COH_OK);
}

/* Writes in another process that ends without closing, as kill -9 would. */
static void write_and_die(fixture_t *f, int key_cnt)
{
    f->kv->ops->close(f->kv);
    f->kv     = NULL;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        coh_kv_t *kv = NULL;
        if (coh_kv_rocks_open(&kv, f->path, CACHE_BYTES, NULL) != COH_OK) {
            _exit(1);
        }
        for (int i = 0; i < key_cnt; i++) {
            char key[16];
            (void)snprintf(key, sizeof(key), "k%03d", i);
            coh_kv_batch_t batch;
            coh_kv_batch_init(&batch);
            /* Two tables: a batch is there in both or in none. */
            coh_kv_batch_put(&batch, COH_KV_REDO, str(key), str("redo"));
            coh_kv_batch_put(&batch, COH_KV_META, str(key), str("meta"));
            if (kv->ops->write(kv, &batch, i % 3 == 0) != COH_OK) {
                _exit(2);
            }
            coh_kv_batch_free(&batch);
        }
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* How many of k000, k001, ... are there without a gap; none may follow. */
static int prefix_len(coh_kv_t *kv, int key_cnt)
{
    int len = 0;
    for (int i = 0; i < key_cnt; i++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "k%03d", i);
        bool redo = get(kv, COH_KV_REDO, key) != NULL;
        assert_int_equal(get(kv, COH_KV_META, key) != NULL, redo);
        assert_true(!redo || len == i);
        len += redo ? 1 : 0;
    }
    return len;
}

/* Path and size of the largest write-ahead log. */
static off_t find_log(fixture_t *f, char *log, size_t cap)
{
    off_t size = -1;
    DIR *dir   = opendir(f->path);
    assert_non_null(dir);
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        char const *dot = strrchr(entry->d_name, '.');
        if (dot != NULL && strcmp(dot, ".log") == 0) {
            char name[512];
            struct stat st;
            (void)snprintf(name, sizeof(name), "%s/%s", f->path, entry->d_name);
            assert_int_equal(stat(name, &st), 0);
            if (st.st_size > size) {
                size = st.st_size;
                (void)snprintf(log, cap, "%s", name);
            }
        }
    }
    (void)closedir(dir);
    assert_true(size > 0);
    return size;
}

static void kv_rocks_survives_a_kill(void **state)
{
    fixture_t *f = *state;
    write_and_die(f, 100);
    reopen(f);
    assert_int_equal(prefix_len(f->kv, 100), 100);
}

static void kv_rocks_drops_a_torn_tail_only(void **state)
{
    fixture_t *f = *state;
    write_and_die(f, 100);
    char log[512];
    off_t size = find_log(f, log, sizeof(log));
    assert_int_equal(truncate(log, size - 5), 0);
    reopen(f);
    assert_int_equal(prefix_len(f->kv, 100), 99);
}

static void kv_rocks_refuses_a_damaged_log(void **state)
{
    fixture_t *f = *state;
    write_and_die(f, 100);
    char log[512];
    off_t size = find_log(f, log, sizeof(log));
    int fd     = open(log, O_RDWR);
    assert_true(fd >= 0);
    uint8_t byte = 0;
    assert_int_equal(pread(fd, &byte, 1, size / 2), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, size / 2), 1);
    (void)close(fd);
    coh_buf_t text = COH_BUF_INIT;
    assert_int_equal(coh_kv_rocks_open(&f->kv, f->path, CACHE_BYTES, &text), COH_ECORRUPT);
    coh_buf_put_u8(&text, 0);
    assert_non_null(strstr((char *)text.p, "Corruption"));
    coh_buf_free(&text);
    f->kv = NULL;
}

static void kv_rocks_is_opened_once(void **state)
{
    fixture_t *f     = *state;
    coh_kv_t *second = NULL;
    coh_buf_t text   = COH_BUF_INIT;
    assert_int_equal(coh_kv_rocks_open(&second, f->path, CACHE_BYTES, &text), COH_ELOCKED);
    assert_true(text.n > 0);
    coh_buf_clear(&text);
    assert_int_equal(coh_kv_rocks_open(&second, "/nonexistent/db", CACHE_BYTES, &text), COH_EIO);
    assert_true(text.n > 0);
    coh_buf_free(&text);
}

/* n octets, all c. */
static coh_buf_t big(size_t n, uint8_t c)
{
    coh_buf_t value = COH_BUF_INIT;
    memset(coh_buf_extend(&value, n), c, n);
    return value;
}

static void kv_rocks_keeps_ingested(void **state)
{
    fixture_t *f = *state;
    coh_kv_batch_t batch;
    coh_kv_batch_init(&batch);
    for (uint64_t i = 0; i < 20000; i++) {
        uint8_t key[8];
        coh_store_u64_be(key, i);
        coh_kv_batch_put(&batch, COH_KV_ACCOUNTS, coh_bytes(key, 8), coh_bytes(key, 8));
    }
    assert_int_equal(f->kv->ops->ingest(f->kv, &batch), COH_OK);
    coh_kv_batch_free(&batch);
    coh_kv_rocks_stats_t stats;
    coh_kv_rocks_stats(f->kv, &stats);
    assert_true(stats.sst_bytes >= 20000 * 16 / 2);
    /* What a crash may leave of an unfinished ingest is cleared away. */
    char leftover[128];
    (void)snprintf(leftover, sizeof(leftover), "%s/ingest-7.tmp", f->path);
    int fd = open(leftover, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
    reopen(f);
    assert_int_equal(access(leftover, F_OK), -1);
    coh_buf_t out = COH_BUF_INIT;
    uint8_t key[8];
    coh_store_u64_be(key, 19999);
    assert_int_equal(f->kv->ops->get(f->kv, COH_KV_ACCOUNTS, coh_bytes(key, 8), &out), COH_OK);
    assert_true(coh_bytes_eq(coh_buf_bytes(&out), coh_bytes(key, 8)));
    coh_buf_free(&out);
    put(f->kv, COH_KV_META, "k", "v", true);
    coh_kv_rocks_stats(f->kv, &stats);
    assert_true(stats.bytes_written > 0);
    /* The table that was read is open. */
    assert_true(stats.reader_bytes > 0);
    assert_in_range(stats.cache_bytes, 1, CACHE_BYTES);
    assert_true(stats.cache_pinned_bytes <= stats.cache_bytes);
    uint64_t before = stats.memtable_bytes;
    coh_kv_batch_init(&batch);
    coh_buf_t value = big(1 << 20, 7);
    coh_kv_batch_put(&batch, COH_KV_STORAGE, coh_bytes(key, 8), coh_buf_bytes(&value));
    assert_int_equal(f->kv->ops->write(f->kv, &batch, false), COH_OK);
    coh_buf_free(&value);
    coh_kv_batch_free(&batch);
    coh_kv_rocks_stats(f->kv, &stats);
    assert_in_range(stats.memtable_bytes, before + (1 << 20), before + (4 << 20));
}

typedef struct {
    size_t lens[4];
    uint8_t first[4];
    size_t cnt;
} sizes_t;

static bool note_size(void *arg, coh_bytes_t key, coh_bytes_t value)
{
    sizes_t *s        = arg;
    s->first[s->cnt]  = value.p[0];
    s->lens[s->cnt++] = value.n;
    assert_int_equal(key.n, 1);
    return s->cnt < 4;
}

/* Values around the size from which on they are kept apart. */
static void kv_rocks_keeps_large_values(void **state)
{
    static size_t const lens[4] = {1, 65535, 65536, 300000};
    fixture_t *f                = *state;
    for (uint8_t i = 0; i < 4; i++) {
        coh_buf_t value = big(lens[i], (uint8_t)('a' + i));
        coh_kv_batch_t batch;
        coh_kv_batch_init(&batch);
        coh_kv_batch_put(&batch, COH_KV_BLOCKS, coh_bytes(&i, 1), coh_buf_bytes(&value));
        coh_kv_batch_put(&batch, COH_KV_META, str("last"), str("x"));
        assert_int_equal(f->kv->ops->write(f->kv, &batch, i % 2 == 0), COH_OK);
        coh_kv_batch_free(&batch);
        coh_buf_free(&value);
    }
    for (int round = 0; round < 2; round++) {
        sizes_t s = {0};
        assert_int_equal(f->kv->ops->iterate(
                             f->kv, COH_KV_BLOCKS, coh_bytes(NULL, 0), round == 1, note_size, &s),
                         COH_OK);
        assert_int_equal(s.cnt, 4);
        for (size_t i = 0; i < 4; i++) {
            size_t at = round == 1 ? 3 - i : i;
            assert_int_equal(s.lens[i], lens[at]);
            assert_int_equal(s.first[i], 'a' + at);
        }
        reopen(f);
    }
    static uint8_t const keys[3] = {2, 9, 0};
    coh_bytes_t const asked[3]   = {
          coh_bytes(&keys[0], 1), coh_bytes(&keys[1], 1), coh_bytes(&keys[2], 1)};
    coh_err_t errs[3];
    size_t got[3];
    coh_buf_t out = COH_BUF_INIT;
    assert_int_equal(f->kv->ops->multi_get(f->kv, COH_KV_BLOCKS, 3, asked, errs, got, &out),
                     COH_OK);
    assert_int_equal(errs[0], COH_OK);
    assert_int_equal(errs[1], COH_ENOTFOUND);
    assert_int_equal(errs[2], COH_OK);
    assert_int_equal(got[0], lens[2]);
    assert_int_equal(got[1], 0);
    assert_int_equal(got[2], lens[0]);
    assert_int_equal(out.n, lens[2] + lens[0]);
    assert_int_equal(out.p[lens[2] - 1], 'c');
    assert_int_equal(out.p[lens[2]], 'a');
    coh_buf_clear(&out);
    /* A damaged one is told from one that is not there; the others stay readable. */
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/values-00000001.val", f->path);
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "X", 1, 65000), 1);
    (void)close(fd);
    uint8_t key = 2;
    assert_int_equal(f->kv->ops->get(f->kv, COH_KV_BLOCKS, coh_bytes(&key, 1), &out), COH_ECORRUPT);
    assert_int_equal(out.n, 0);
    assert_int_equal(f->kv->ops->multi_get(f->kv, COH_KV_BLOCKS, 3, asked, errs, got, &out),
                     COH_ECORRUPT);
    coh_buf_clear(&out);
    key = 3;
    assert_int_equal(f->kv->ops->get(f->kv, COH_KV_BLOCKS, coh_bytes(&key, 1), &out), COH_OK);
    assert_int_equal(out.n, lens[3]);
    coh_buf_clear(&out);
    coh_kv_batch_t batch;
    coh_kv_batch_init(&batch);
    coh_kv_batch_delete(&batch, COH_KV_BLOCKS, coh_bytes(&key, 1));
    assert_int_equal(f->kv->ops->write(f->kv, &batch, true), COH_OK);
    coh_kv_batch_free(&batch);
    assert_int_equal(f->kv->ops->get(f->kv, COH_KV_BLOCKS, coh_bytes(&key, 1), &out),
                     COH_ENOTFOUND);
    coh_buf_free(&out);
}

#define BOTH(test)                                                                                 \
    {.name = #test "/mem", .test_func = test, .setup_func = setup_mem, .teardown_func = teardown}, \
    {                                                                                              \
        .name = #test "/rocks", .test_func = test, .setup_func = setup_rocks,                      \
        .teardown_func = teardown                                                                  \
    }

/* Out of memory alone: what an ingested file holds is not there before somebody has read it from the device. */
static void kv_rocks_peeks_at_what_is_in_memory(void **state)
{
    fixture_t *f = *state;
    coh_kv_batch_t batch;
    coh_kv_batch_init(&batch);
    coh_kv_batch_put(&batch, COH_KV_STORAGE, str("cold"), str("deep"));
    assert_int_equal(f->kv->ops->ingest(f->kv, &batch), COH_OK);
    coh_kv_batch_free(&batch);
    reopen(f);
    put(f->kv, COH_KV_STORAGE, "warm", "near", false);
    coh_buf_t out = COH_BUF_INIT;
    assert_int_equal(f->kv->ops->peek(f->kv, COH_KV_STORAGE, str("warm"), &out), COH_OK);
    assert_true(coh_bytes_eq(coh_buf_bytes(&out), str("near")));
    coh_buf_clear(&out);
    assert_int_equal(f->kv->ops->peek(f->kv, COH_KV_STORAGE, str("cold"), &out), COH_EBUSY);
    assert_int_equal(out.n, 0);
    assert_string_equal(get(f->kv, COH_KV_STORAGE, "cold"), "deep");
    assert_int_equal(f->kv->ops->peek(f->kv, COH_KV_STORAGE, str("cold"), &out), COH_OK);
    assert_true(coh_bytes_eq(coh_buf_bytes(&out), str("deep")));
    coh_buf_clear(&out);
    assert_int_equal(f->kv->ops->peek(f->kv, COH_KV_STORAGE, str("none"), &out), COH_ENOTFOUND);
    assert_int_equal(out.n, 0);
    coh_buf_free(&out);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        BOTH(kv_tables_are_apart),
        BOTH(kv_batch_applies_in_order),
        BOTH(kv_iterates_both_ways),
        BOTH(kv_ingests_sorted_puts_only),
        BOTH(kv_equals_model),
        cmocka_unit_test_setup_teardown(kv_mem_clone_is_independent, setup_mem, teardown),
        cmocka_unit_test_setup_teardown(kv_rocks_survives_a_kill, setup_rocks, teardown),
        cmocka_unit_test_setup_teardown(kv_rocks_drops_a_torn_tail_only, setup_rocks, teardown),
        cmocka_unit_test_setup_teardown(kv_rocks_refuses_a_damaged_log, setup_rocks, teardown),
        cmocka_unit_test_setup_teardown(kv_rocks_is_opened_once, setup_rocks, teardown),
        cmocka_unit_test_setup_teardown(kv_rocks_keeps_ingested, setup_rocks, teardown),
        cmocka_unit_test_setup_teardown(kv_rocks_keeps_large_values, setup_rocks, teardown),
        cmocka_unit_test_setup_teardown(kv_rocks_peeks_at_what_is_in_memory, setup_rocks, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
