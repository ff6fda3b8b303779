/* The log of large values: there and back, after reopening, across files, and every kind of damage. */
/* links: coh_rocks */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/rng.h"
#include "common/kv/vlog.h"

#define FILE_BYTES ((uint64_t)64 << 10)

typedef struct {
    char folder[64];
    coh_vlog_t *vlog;
} fixture_t;

static int setup(void **state)
{
    fixture_t *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    (void)snprintf(f->folder, sizeof(f->folder), "/tmp/coh-test-vlog-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    assert_int_equal(coh_vlog_open(&f->vlog, f->folder, FILE_BYTES), COH_OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture_t *f = *state;
    coh_vlog_close(f->vlog);
    char command[128];
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", f->folder);
    assert_int_equal(system(command), 0);
    free(f);
    return 0;
}

/* n octets that follow from seed; the caller frees them. */
static coh_buf_t value_of(uint64_t seed, size_t n)
{
    coh_rng_t rng;
    coh_rng_seed(&rng, seed);
    coh_buf_t value = COH_BUF_INIT;
    uint8_t *p      = coh_buf_extend(&value, n);
    for (size_t i = 0; i < n; i++) {
        p[i] = (uint8_t)coh_rng_next(&rng);
    }
    return value;
}

static void expect(coh_vlog_t *vlog, uint8_t const *ref, uint64_t seed, size_t n)
{
    coh_buf_t want = value_of(seed, n);
    coh_buf_t out  = COH_BUF_INIT;
    coh_buf_put_u8(&out, '>'); /* read appends */
    assert_int_equal(coh_vlog_read(vlog, coh_bytes(ref, COH_VLOG_REF_SZ), &out), COH_OK);
    assert_int_equal(out.n, 1 + n);
    assert_memory_equal(out.p + 1, want.p, n);
    coh_buf_free(&out);
    coh_buf_free(&want);
}

static void append(coh_vlog_t *vlog, uint8_t *ref, uint64_t seed, size_t n)
{
    coh_buf_t value = value_of(seed, n);
    assert_int_equal(coh_vlog_append(vlog, coh_buf_bytes(&value), ref), COH_OK);
    coh_buf_free(&value);
}

static int file_cnt(fixture_t const *f)
{
    int cnt  = 0;
    DIR *dir = opendir(f->folder);
    assert_non_null(dir);
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        cnt += entry->d_name[0] != '.';
    }
    (void)closedir(dir);
    return cnt;
}

static void vlog_keeps_values_across_files_and_openings(void **state)
{
    fixture_t *f                = *state;
    static size_t const sizes[] = {0, 1, 4095, 4096, 4097, 100000, 20000, 70000, 3};
    enum { CNT = sizeof(sizes) / sizeof(sizes[0]) };
    uint8_t refs[2 * CNT][COH_VLOG_REF_SZ];
    assert_int_equal(file_cnt(f), 0);
    for (size_t i = 0; i < CNT; i++) {
        append(f->vlog, refs[i], i, sizes[i]);
        expect(f->vlog, refs[i], i, sizes[i]);
    }
    /* The header and the first four take 16 KiB of 64, the fifth and sixth fill it; then 20,000 and 70,000; then 3. */
    assert_int_equal(file_cnt(f), 3);
    coh_vlog_close(f->vlog);
    assert_int_equal(coh_vlog_open(&f->vlog, f->folder, FILE_BYTES), COH_OK);
    for (size_t i = 0; i < CNT; i++) {
        append(f->vlog, refs[CNT + i], CNT + i, sizes[i]);
    }
    assert_int_equal(file_cnt(f), 6);
    for (size_t i = 0; i < 2 * CNT; i++) {
        expect(f->vlog, refs[i], i, sizes[i % CNT]);
    }
}

static void expect_damaged(coh_vlog_t *vlog, uint8_t const *ref, size_t ref_n)
{
    coh_buf_t out = COH_BUF_INIT;
    coh_buf_put_u8(&out, '>');
    assert_int_equal(coh_vlog_read(vlog, coh_bytes(ref, ref_n), &out), COH_ECORRUPT);
    assert_int_equal(out.n, 1);
    coh_buf_free(&out);
}

static void vlog_finds_damage(void **state)
{
    fixture_t *f = *state;
    uint8_t refs[2][COH_VLOG_REF_SZ];
    append(f->vlog, refs[0], 1, 5000);
    append(f->vlog, refs[1], 2, 5000);
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/values-00000001.val", f->folder);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    uint8_t byte = 0;
    assert_int_equal(pread(fd, &byte, 1, 4096 + 4999), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, 4096 + 4999), 1);
    expect_damaged(f->vlog, refs[0], COH_VLOG_REF_SZ);
    expect(f->vlog, refs[1], 2, 5000);
    assert_int_equal(ftruncate(fd, 4096 + 8192 + 4999), 0);
    (void)close(fd);
    expect_damaged(f->vlog, refs[1], COH_VLOG_REF_SZ);
    expect_damaged(f->vlog, refs[1], COH_VLOG_REF_SZ - 1);
    for (size_t i = 0; i < COH_VLOG_REF_SZ; i++) {
        uint8_t ref[COH_VLOG_REF_SZ];
        memcpy(ref, refs[1], sizeof(ref));
        ref[i] ^= 0x80;
        expect_damaged(f->vlog, ref, sizeof(ref));
    }
    assert_int_equal(unlink(path), 0);
    expect_damaged(f->vlog, refs[0], COH_VLOG_REF_SZ);
}

static void vlog_says_what_it_cannot_open(void **state)
{
    fixture_t *f     = *state;
    coh_vlog_t *none = NULL;
    assert_int_equal(coh_vlog_open(&none, "/nonexistent", FILE_BYTES), COH_EIO);
    /* Its folder is gone: an append fails, and nothing refers to anything. */
    assert_int_equal(rmdir(f->folder), 0);
    uint8_t ref[COH_VLOG_REF_SZ];
    assert_int_equal(coh_vlog_append(f->vlog, coh_bytes("x", 1), ref), COH_EIO);
}

/* Writes text to the beginning of a file of the folder. */
static void put_beginning(fixture_t const *f, char const *name, void const *text, size_t n)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/%s", f->folder, name);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, text, n, 0), n);
    (void)close(fd);
}

static void vlog_knows_its_files_by_their_header(void **state)
{
    fixture_t *f = *state;
    uint8_t ref[COH_VLOG_REF_SZ];
    append(f->vlog, ref, 1, 5000);
    coh_vlog_close(f->vlog);
    f->vlog = NULL;
    /* Files that were begun and not gone on with. */
    static uint8_t const zeros[4096];
    put_beginning(f, "values-00000002.val", zeros, 0);
    put_beginning(f, "values-00000003.val", zeros, sizeof(zeros));
    assert_int_equal(coh_vlog_open(&f->vlog, f->folder, FILE_BYTES), COH_OK);
    expect(f->vlog, ref, 1, 5000);
    coh_vlog_close(f->vlog);
    put_beginning(f, "values-00000001.val", "cohort values 2\n", 16);
    coh_vlog_t *none = NULL;
    assert_int_equal(coh_vlog_open(&none, f->folder, FILE_BYTES), COH_EMISMATCH);
    put_beginning(f, "values-00000001.val", "cohort values 1\n", 16);
    assert_int_equal(coh_vlog_open(&f->vlog, f->folder, FILE_BYTES), COH_OK);
}

/* Linked files do not change any more, whatever is appended. */
static void vlog_links_what_it_holds(void **state)
{
    fixture_t *f = *state;
    uint8_t refs[3][COH_VLOG_REF_SZ];
    append(f->vlog, refs[0], 1, 70000);
    append(f->vlog, refs[1], 2, 5000);
    char folder[80];
    (void)snprintf(folder, sizeof(folder), "%s/links", f->folder);
    assert_int_equal(coh_vlog_link(f->vlog, folder), COH_EIO);
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_int_equal(coh_vlog_link(f->vlog, folder), COH_OK);
    append(f->vlog, refs[2], 3, 5000);
    coh_vlog_t *links;
    assert_int_equal(coh_vlog_open(&links, folder, FILE_BYTES), COH_OK);
    expect(links, refs[0], 1, 70000);
    expect(links, refs[1], 2, 5000);
    expect_damaged(links, refs[2], COH_VLOG_REF_SZ);
    expect(f->vlog, refs[2], 3, 5000);
    /* Nor do appends to one of them touch the other's. */
    uint8_t ref[COH_VLOG_REF_SZ];
    append(links, ref, 4, 5000);
    expect(links, ref, 4, 5000);
    expect(f->vlog, refs[2], 3, 5000);
    coh_vlog_close(links);
    assert_int_equal(coh_vlog_link(f->vlog, folder), COH_EIO); /* they are there */
}

static uint64_t file_of(uint8_t const *ref) { return coh_load_u64_le(ref); }

/* A file whose name could not be made durable may be gone after a crash: no value goes into it. */
static void vlog_leaves_a_file_whose_name_may_be_lost(void **state)
{
    fixture_t *f = *state;
    uint8_t ref[COH_VLOG_REF_SZ];
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    int next = dup(STDIN_FILENO);
    assert_true(next >= 0);
    (void)close(next);
    /* One descriptor is left: for the file, not for its folder. */
    struct rlimit one = {.rlim_cur = (rlim_t)next + 1, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &one), 0);
    assert_int_equal(coh_vlog_append(f->vlog, coh_bytes("x", 1), ref), COH_EIO);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(file_cnt(f), 1);
    append(f->vlog, ref, 5, 5000);
    assert_int_equal(file_of(ref), 2);
    expect(f->vlog, ref, 5, 5000);
}

/* No room for more than a part of a page: an error, soon, and the next value goes elsewhere. */
static void no_room_in(char const *where)
{
    char folder[64];
    (void)snprintf(folder, sizeof(folder), "%s/coh-test-vlog-XXXXXX", where);
    assert_non_null(mkdtemp(folder));
    coh_vlog_t *vlog;
    uint8_t refs[2][COH_VLOG_REF_SZ];
    assert_int_equal(coh_vlog_open(&vlog, folder, FILE_BYTES), COH_OK);
    append(vlog, refs[0], 1, 4000);
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct rlimit small = {.rlim_cur = 10000, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    coh_buf_t value = value_of(2, 20000);
    uint8_t none[COH_VLOG_REF_SZ];
    coh_err_t err = coh_vlog_append(vlog, coh_buf_bytes(&value), none);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(err, COH_EIO);
    append(vlog, refs[1], 2, 20000);
    assert_int_equal(file_of(refs[1]), 2);
    expect(vlog, refs[0], 1, 4000);
    expect(vlog, refs[1], 2, 20000);
    coh_buf_free(&value);
    coh_vlog_close(vlog);
    char command[128];
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    assert_int_equal(system(command), 0);
}

static void vlog_ends_where_there_is_no_room(void **state)
{
    (void)state;
    (void)signal(SIGXFSZ, SIG_IGN);
    no_room_in("/tmp");
    if (access("/dev/shm", W_OK) == 0) { /* where nothing is written past the cache */
        no_room_in("/dev/shm");
    }
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test_setup_teardown(
            vlog_keeps_values_across_files_and_openings, setup, teardown),
        cmocka_unit_test_setup_teardown(vlog_finds_damage, setup, teardown),
        cmocka_unit_test_setup_teardown(vlog_knows_its_files_by_their_header, setup, teardown),
        cmocka_unit_test_setup_teardown(vlog_links_what_it_holds, setup, teardown),
        cmocka_unit_test_setup_teardown(vlog_says_what_it_cannot_open, setup, teardown),
        cmocka_unit_test_setup_teardown(vlog_leaves_a_file_whose_name_may_be_lost, setup, teardown),
        cmocka_unit_test(vlog_ends_where_there_is_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
