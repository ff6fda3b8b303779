#include "tests/support/data.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/hex.h"

static bool is_dir(char const *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Runs script, which unpacks once and prints the folder; two tests at the same time take turns. */
static bool unpack(char dir[PATH_MAX], char const *script)
{
    int lock = open(script, O_RDONLY | O_CLOEXEC);
    if (lock < 0) {
        return false;
    }
    (void)flock(lock, LOCK_EX);
    char command[PATH_MAX + 16];
    (void)snprintf(command, sizeof(command), "bash '%s'", script);
    FILE *pipe = popen(command, "r");
    bool found = false;
    if (pipe != NULL) {
        found = fgets(dir, PATH_MAX, pipe) != NULL;
        found = pclose(pipe) == 0 && found;
    }
    (void)close(lock);
    if (found) {
        dir[strcspn(dir, "\n")] = '\0';
    }
    return found && is_dir(dir);
}

char const *coh_test_data_dir(void)
{
    static char dir[PATH_MAX];
    static enum { UNKNOWN, FOUND, MISSING } known;
    if (known == UNKNOWN) {
        char const *env = getenv("COHORT_TEST_DATA");
        if (env != NULL && env[0] != '\0') {
            (void)snprintf(dir, sizeof(dir), "%s", env);
            known = is_dir(dir) ? FOUND : MISSING;
        } else {
            known = unpack(dir, COH_SOURCE_DIR "/../shared/data/unpack.sh") ? FOUND : MISSING;
        }
    }
    return known == FOUND ? dir : NULL;
}

void coh_test_skip(char const *what)
{
    fprintf(
        stderr,
        "SKIPPED: ALL cases of %s: no conformance data here (set COHORT_TEST_DATA to its folder)\n",
        what);
}

/* nftw has no context argument. */
static char **walk_files;
static size_t walk_cnt;
static char const *walk_suffix;

static int visit(char const *path, struct stat const *st, int kind, struct FTW *at)
{
    (void)st;
    (void)at;
    size_t n        = strlen(path);
    size_t suffix_n = strlen(walk_suffix);
    if (kind == FTW_F && n >= suffix_n && strcmp(path + n - suffix_n, walk_suffix) == 0) {
        walk_files             = coh_realloc(walk_files, (walk_cnt + 2) * sizeof(*walk_files));
        walk_files[walk_cnt++] = coh_strdup(path);
        walk_files[walk_cnt]   = NULL;
    }
    return 0;
}

static int by_name(void const *a, void const *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

size_t coh_test_files(char ***out, char const *dir, char const *sub, char const *suffix)
{
    char root[PATH_MAX];
    (void)snprintf(root, sizeof(root), "%s/%s", dir, sub);
    walk_files  = coh_calloc(1, sizeof(*walk_files));
    walk_cnt    = 0;
    walk_suffix = suffix;
    (void)nftw(root, visit, 16, FTW_PHYS);
    qsort(walk_files, walk_cnt, sizeof(*walk_files), by_name);
    *out       = walk_files;
    walk_files = NULL;
    return walk_cnt;
}

void coh_test_files_free(char **files)
{
    for (size_t i = 0; files[i] != NULL; i++) {
        free(files[i]);
    }
    free(files);
}

void coh_test_file(coh_buf_t *out, char const *dir, char const *name)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *file = fopen(path, "rbe");
    if (file == NULL) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
    }
    COH_ASSERT(file != NULL);
    size_t const piece = 1 << 16;
    size_t got;
    do {
        got = fread(coh_buf_extend(out, piece), 1, piece, file);
        out->n -= piece - got;
    } while (got == piece);
    COH_ASSERT(ferror(file) == 0);
    (void)fclose(file);
}

json_t *coh_test_json(char const *path)
{
    json_error_t err;
    json_t *doc = json_load_file(path, JSON_ALLOW_NUL, &err);
    if (doc == NULL) {
        fprintf(stderr, "%s:%d: %s\n", path, err.line, err.text);
    }
    COH_ASSERT(doc != NULL);
    return doc;
}

char const *coh_test_str(json_t const *obj, char const *key)
{
    char const *text = json_string_value(json_object_get(obj, key));
    if (text == NULL) {
        fprintf(stderr, "fixture lacks the string \"%s\"\n", key);
    }
    COH_ASSERT(text != NULL);
    return text;
}

bool coh_test_hex(coh_buf_t *out, char const *text)
{
    coh_buf_clear(out);
    return coh_hex_append(out, text, strlen(text)) == COH_OK;
}

void coh_test_decode(void *out, size_t n, char const *text)
{
    COH_ASSERT(coh_hex_decode(out, n, text, strlen(text)) == COH_OK);
}

coh_hash_t coh_test_hash(char const *text)
{
    coh_hash_t hash;
    coh_test_decode(hash.b, sizeof(hash.b), text);
    return hash;
}

coh_addr_t coh_test_addr(char const *text)
{
    coh_addr_t addr;
    coh_test_decode(addr.b, sizeof(addr.b), text);
    return addr;
}

coh_u256_t coh_test_u256(char const *text)
{
    coh_u256_t v;
    COH_ASSERT(coh_u256_parse(&v, text, strlen(text)) == COH_OK);
    return v;
}

uint64_t coh_test_u64(char const *text)
{
    coh_u256_t v = coh_test_u256(text);
    COH_ASSERT((v.w[1] | v.w[2] | v.w[3]) == 0);
    return v.w[0];
}
