#include "coordinator/placement.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/hex.h"
#include "common/base/rng.h"

#define RANDOM "random:"
#define PINNED "pinned:"
/* Of a line in a file of pins. */
#define LINE_MAX_SZ 256u
#define BLANKS      " \t\r\n"
#define SHARDS_MAX  ((uint32_t)UINT16_MAX + 1)

static void by_hash(coh_directory_t *dir)
{
    for (uint32_t b = 0; b < COH_BUCKET_CNT; b++) {
        dir->shard_of[b] = (uint16_t)((uint64_t)b * dir->shard_cnt / COH_BUCKET_CNT);
    }
}

/* Shuffles the buckets (Fisher and Yates), then deals them out in turn. */
static void by_chance(coh_directory_t *dir, uint64_t seed)
{
    coh_rng_t rng;
    coh_rng_seed(&rng, seed);
    uint16_t deck[COH_BUCKET_CNT];
    for (uint32_t i = 0; i < COH_BUCKET_CNT; i++) {
        deck[i] = (uint16_t)i;
    }
    for (uint32_t i = COH_BUCKET_CNT - 1; i > 0; i--) {
        uint64_t at     = coh_rng_below(&rng, (uint64_t)i + 1);
        uint16_t bucket = deck[i];
        deck[i]         = deck[at];
        deck[at]        = bucket;
    }
    for (uint32_t i = 0; i < COH_BUCKET_CNT; i++) {
        dir->shard_of[deck[i]] = (uint16_t)(i % dir->shard_cnt);
    }
}

/* Reads all of text as a number, decimal or after 0x hexadecimal. */
static bool parse_u64(uint64_t *out, char const *text)
{
    if (text[0] < '0' || text[0] > '9') {
        return false;
    }
    char *end;
    errno = 0;
    *out  = strtoull(text, &end, strncmp(text, "0x", 2) == 0 ? 16 : 10);
    return errno == 0 && *end == '\0';
}

/* Reads a line: an address, a shard, maybe a comment. On failure err_text says what is wrong with it. */
static coh_err_t pin_line(coh_directory_t *dir, char *line, coh_buf_t *err_text)
{
    line[strcspn(line, "#")] = '\0';
    char *state;
    char const *addr_text  = strtok_r(line, BLANKS, &state);
    char const *shard_text = addr_text != NULL ? strtok_r(NULL, BLANKS, &state) : NULL;
    if (addr_text == NULL) {
        return COH_OK;
    }
    coh_addr_t addr;
    uint64_t shard;
    if (shard_text == NULL || strtok_r(NULL, BLANKS, &state) != NULL) {
        coh_buf_printf(err_text, "not an address and a shard");
        return COH_EINVAL;
    }
    if (coh_hex_decode(addr.b, sizeof(addr.b), addr_text, strlen(addr_text)) != COH_OK) {
        coh_buf_printf(err_text, "\"%s\" is no address", addr_text);
        return COH_EINVAL;
    }
    if (!parse_u64(&shard, shard_text) || shard >= dir->shard_cnt) {
        coh_buf_printf(err_text, "\"%s\" is no shard, of 0..%u", shard_text, dir->shard_cnt - 1);
        return COH_EINVAL;
    }
    if (coh_directory_override(dir, &addr) != NULL) {
        coh_buf_printf(err_text, "%s was placed before", addr_text);
        return COH_EINVAL;
    }
    if (coh_directory_pin(dir, &addr, (uint32_t)shard) != COH_OK) {
        coh_buf_printf(err_text, "more than %u accounts", COH_DIRECTORY_OVERRIDE_MAX);
        return COH_EINVAL;
    }
    return COH_OK;
}

/* Places single accounts as the file says, all others by hash. */
static coh_err_t by_file(coh_directory_t *dir, char const *path, coh_buf_t *err_text)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        coh_buf_printf(err_text, "placement-policy: %s: %s", path, strerror(errno));
        return COH_EINVAL;
    }
    by_hash(dir);
    char line[LINE_MAX_SZ];
    coh_buf_t what = COH_BUF_INIT;
    coh_err_t rc   = COH_OK;
    for (uint32_t no = 1; rc == COH_OK && fgets(line, sizeof(line), file) != NULL; no++) {
        if (strlen(line) == sizeof(line) - 1) {
            coh_buf_printf(&what, "longer than %zu octets", sizeof(line) - 2);
            rc = COH_EINVAL;
        } else {
            rc = pin_line(dir, line, &what);
        }
        if (rc != COH_OK) {
            coh_buf_printf(err_text,
                           "placement-policy: %s, line %u: %.*s",
                           path,
                           no,
                           (int)what.n,
                           (char const *)what.p);
        }
    }
    if (rc == COH_OK && ferror(file) != 0) {
        coh_buf_printf(err_text, "placement-policy: %s cannot be read", path);
        rc = COH_EINVAL;
    }
    (void)fclose(file);
    coh_buf_free(&what);
    if (rc != COH_OK) {
        coh_directory_free(dir);
    }
    return rc;
}

coh_err_t coh_placement_initial(coh_directory_t *out,
                                char const *policy,
                                uint32_t shard_cnt,
                                coh_buf_t *err_text)
{
    if (shard_cnt == 0 || shard_cnt > SHARDS_MAX) {
        coh_buf_printf(err_text, "%u shards: not in 1..%u", shard_cnt, SHARDS_MAX);
        return COH_EINVAL;
    }
    coh_directory_t dir = {.epoch = 1, .shard_cnt = shard_cnt};
    uint64_t seed;
    if (strcmp(policy, "hash") == 0 || strcmp(policy, "affinity") == 0) {
        by_hash(&dir);
    } else if (strncmp(policy, RANDOM, strlen(RANDOM)) == 0 &&
               parse_u64(&seed, policy + strlen(RANDOM))) {
        by_chance(&dir, seed);
    } else if (strncmp(policy, PINNED, strlen(PINNED)) == 0) {
        COH_TRY(by_file(&dir, policy + strlen(PINNED), err_text));
    } else {
        coh_buf_printf(
            err_text,
            "placement policy \"%s\": neither hash, affinity, pinned:FILE, nor random:SEED with a "
            "number as SEED",
            policy);
        return COH_EINVAL;
    }
    *out = dir;
    return COH_OK;
}
