/* standalone.c: runs a fuzzer without libFuzzer, so that every compiler builds it and ctest runs
   it: all files of the corpus first, then seeded random inputs and mutations of the corpus and
   of what it made before.

   usage: fuzz_<parser> [--seconds S] [--seed X] [CORPUS_DIR_OR_FILE...]

   The seed is printed first. An input that fails is written to crash.bin in the working folder;
   give that file as the argument with --seconds 0 to run it alone. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/rng.h"
#include "tests/fuzz/fuzz.h"

enum { INPUT_MAX = 4096, POOL_CNT = 256 };

typedef struct {
    uint8_t *p; /* owned */
    size_t n;
} input_t;

static input_t pool[POOL_CNT]; /* corpus, then a window of mutants */
static size_t pool_cnt;
static uint8_t const *running; /* for the handler of a crash */
static size_t running_sz;

static void on_crash(int sig)
{
    int fd = open("crash.bin", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd >= 0) {
        ssize_t wrote = write(fd, running, running_sz);
        (void)wrote;
        (void)close(fd);
    }
    (void)signal(sig, SIG_DFL);
    (void)raise(sig);
}

static void run(uint8_t const *p, size_t n)
{
    /* An exact heap copy lets the sanitizers see a read beyond its end. */
    uint8_t *copy = coh_calloc(1, n);
    if (n != 0) {
        memcpy(copy, p, n);
    }
    running    = copy;
    running_sz = n;
    COH_ASSERT(LLVMFuzzerTestOneInput(copy, n) == 0);
    free(copy);
}

static void keep(coh_rng_t *rng, uint8_t const *p, size_t n)
{
    input_t *slot = &pool[pool_cnt < POOL_CNT ? pool_cnt++ : coh_rng_below(rng, POOL_CNT)];
    free(slot->p);
    slot->p = coh_calloc(1, n);
    slot->n = n;
    if (n != 0) {
        memcpy(slot->p, p, n);
    }
}

static void load_file(coh_rng_t *rng, char const *path)
{
    static uint8_t text[1 << 20];
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fprintf(stderr, "cannot read %s\n", path);
        exit(2);
    }
    size_t n = fread(text, 1, sizeof(text), file);
    (void)fclose(file);
    run(text, n);
    if (n <= INPUT_MAX) {
        keep(rng, text, n);
    }
}

static void load(coh_rng_t *rng, char const *path)
{
    struct dirent **names;
    int cnt = scandir(path, &names, NULL, alphasort);
    if (cnt < 0) {
        load_file(rng, path);
        return;
    }
    for (int i = 0; i < cnt; i++) {
        char name[4096];
        (void)snprintf(name, sizeof(name), "%s/%s", path, names[i]->d_name);
        struct stat st;
        if (stat(name, &st) == 0 && S_ISREG(st.st_mode)) {
            load_file(rng, name);
        }
        free(names[i]);
    }
    free(names);
}

/* Values at which lengths and prefixes of our formats change meaning. */
static uint8_t edge_byte(coh_rng_t *rng)
{
    static uint8_t const edges[] = {0x00, 0x01, 0x02, 0x37, 0x38, 0x7f, 0x80, 0x81, 0x94, 0xa0,
                                    0xb7, 0xb8, 0xb9, 0xbf, 0xc0, 0xc1, 0xf7, 0xf8, 0xf9, 0xff};
    return coh_rng_percent(rng, 50) ? edges[coh_rng_below(rng, COH_CNT(edges))]
                                    : (uint8_t)coh_rng_next(rng);
}

static size_t mutate(coh_rng_t *rng, uint8_t *p, size_t n)
{
    enum { FLIP_BIT, SET_BYTE, INSERT_BYTE, REMOVE_RUN, REPEAT_RUN, CUT_END, ACTION_CNT };
    size_t at    = n == 0 ? 0 : coh_rng_below(rng, n);
    size_t len   = n == 0 ? 0 : 1 + coh_rng_below(rng, COH_MIN(n - at, 40));
    uint8_t edge = edge_byte(rng);
    switch (coh_rng_below(rng, ACTION_CNT)) {
    case FLIP_BIT:
        if (n != 0) {
            p[at] ^= (uint8_t)(1U << coh_rng_below(rng, 8));
        }
        return n;
    case SET_BYTE:
        if (n != 0) {
            p[at] = edge;
        }
        return n;
    case INSERT_BYTE:
        if (n == INPUT_MAX) {
            return n;
        }
        memmove(p + at + 1, p + at, n - at);
        p[at] = edge;
        return n + 1;
    case REMOVE_RUN: memmove(p + at, p + at + len, n - at - len); return n - len;
    case REPEAT_RUN:
        if (n + len > INPUT_MAX) {
            return n;
        }
        memmove(p + at + len, p + at, n - at);
        return n + len;
    default: return at;
    }
}

static size_t generate(coh_rng_t *rng, uint8_t out[INPUT_MAX])
{
    if (pool_cnt == 0 || coh_rng_percent(rng, 10)) {
        size_t n = coh_rng_below(rng, coh_rng_percent(rng, 90) ? 80 : INPUT_MAX);
        for (size_t i = 0; i < n; i++) {
            out[i] = edge_byte(rng);
        }
        return n;
    }
    input_t const *from = &pool[coh_rng_below(rng, pool_cnt)];
    size_t n            = from->n;
    if (n != 0) {
        memcpy(out, from->p, n);
    }
    for (uint64_t step = coh_rng_below(rng, 4); step < 4; step++) {
        n = mutate(rng, out, n);
    }
    return n;
}

int main(int argc, char **argv)
{
    double seconds = 2;
    uint64_t seed  = coh_clock_unix_us();
    int arg        = 1;
    for (; arg + 1 < argc && strncmp(argv[arg], "--", 2) == 0; arg += 2) {
        if (strcmp(argv[arg], "--seconds") == 0) {
            seconds = strtod(argv[arg + 1], NULL);
        } else if (strcmp(argv[arg], "--seed") == 0) {
            seed = strtoull(argv[arg + 1], NULL, 0);
        } else {
            fprintf(stderr, "usage: %s [--seconds S] [--seed X] [CORPUS...]\n", argv[0]);
            return 2;
        }
    }
    printf("seed %llu\n", (unsigned long long)seed);
    (void)fflush(stdout);
    (void)signal(SIGABRT, on_crash);
    coh_rng_t rng;
    coh_rng_seed(&rng, seed);
    for (; arg < argc; arg++) {
        load(&rng, argv[arg]);
    }
    uint64_t run_cnt  = 0;
    uint64_t until_us = coh_clock_mono_us() + (uint64_t)(seconds * 1e6);
    uint8_t input[INPUT_MAX];
    while (coh_clock_mono_us() < until_us) {
        for (int i = 0; i < 64; i++, run_cnt++) {
            size_t n = generate(&rng, input);
            run(input, n);
            if (coh_rng_percent(&rng, 1)) {
                keep(&rng, input, n);
            }
        }
    }
    printf("%llu inputs\n", (unsigned long long)run_cnt);
    for (size_t i = 0; i < pool_cnt; i++) {
        free(pool[i].p);
    }
    return 0;
}
