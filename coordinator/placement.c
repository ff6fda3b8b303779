#include "coordinator/placement.h"

#include <errno.h>
#include <stdlib.h>

#include "common/base/rng.h"

#define RANDOM     "random:"
#define SHARDS_MAX ((uint32_t)UINT16_MAX + 1)

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
    if (strcmp(policy, "hash") == 0) {
        by_hash(&dir);
    } else if (strncmp(policy, RANDOM, strlen(RANDOM)) == 0 &&
               parse_u64(&seed, policy + strlen(RANDOM))) {
        by_chance(&dir, seed);
    } else {
        coh_buf_printf(
            err_text,
            "placement policy \"%s\": neither hash nor random:SEED with a number as SEED",
            policy);
        return COH_EINVAL;
    }
    *out = dir;
    return COH_OK;
}
