#include "shard/ahead.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/spin.h"

#define TRAIT_CNT 8192u
/* Neighbouring slots in which a trait may stand. */
#define WAYS 4u
/* Sightings after which old ones count half. */
#define SEEN_MAX 64u
/* Of the most general trait, one sighting may be chance: every call of a function has it. */
#define PROOF_MIN_GENERAL 2u

typedef struct {
    coh_ahead_read_t reads[COH_AHEAD_EACH];
    uint8_t proofs[COH_AHEAD_EACH]; /* sightings of the read; 0: free */
    uint32_t seen;                  /* transactions with it that were learned from */
    uint64_t hash;
} trait_t;

struct coh_ahead {
    coh_spin_t lock;        /* of the traits */
    _Atomic bool is_in_use; /* something was learned; relaxed: who sees it late asks later */
    trait_t *traits;
};

coh_ahead_t *coh_ahead_new(void)
{
    coh_ahead_t *a = coh_calloc(1, sizeof(*a));
    a->lock        = COH_SPIN_INIT;
    return a;
}

void coh_ahead_free(coh_ahead_t *a)
{
    if (a == NULL) {
        return;
    }
    if (a->traits != NULL) {
        (void)munmap(a->traits, TRAIT_CNT * sizeof(*a->traits));
    }
    free(a);
}

static trait_t *find(coh_ahead_t *a, uint64_t hash)
{
    for (uint32_t i = 0; i < WAYS; i++) {
        trait_t *t = &a->traits[(hash + i) % TRAIT_CNT];
        if (t->hash == hash) {
            return t;
        }
    }
    return NULL;
}

/* The trait, which may take the place of one that was seen less; strangers wear that one down. NULL: it still holds out. */
static trait_t *take(coh_ahead_t *a, uint64_t hash)
{
    trait_t *t = find(a, hash);
    if (t != NULL) {
        return t;
    }
    t = &a->traits[hash % TRAIT_CNT];
    for (uint32_t i = 1; i < WAYS; i++) {
        trait_t *other = &a->traits[(hash + i) % TRAIT_CNT];
        t              = other->seen < t->seen ? other : t;
    }
    if (t->seen > 1) {
        t->seen--;
        return NULL;
    }
    *t = (trait_t){.hash = hash};
    return t;
}

static void count(trait_t *t)
{
    if (++t->seen == SEEN_MAX) {
        t->seen /= 2;
        for (uint32_t i = 0; i < COH_AHEAD_EACH; i++) {
            t->proofs[i] /= 2;
        }
    }
}

/* Expected is what at least half of those seen read. */
static bool expects_at(trait_t const *t, uint32_t i, bool is_general)
{
    return t->proofs[i] >= (is_general ? PROOF_MIN_GENERAL : 1u) && 2u * t->proofs[i] >= t->seen;
}

/* A sighting of a read; true: the trait expects it. Strangers wear the weakest down until they take its place. */
static bool sight(trait_t *t, coh_ahead_read_t const *read, bool is_general)
{
    uint32_t weakest = 0;
    for (uint32_t i = 0; i < COH_AHEAD_EACH; i++) {
        if (t->proofs[i] != 0 && coh_key_eq(&t->reads[i].key, &read->key)) {
            t->reads[i].fields |= read->fields;
            t->proofs[i] = (uint8_t)COH_MIN(t->proofs[i] + 1u, SEEN_MAX);
            return expects_at(t, i, is_general);
        }
        weakest = t->proofs[i] < t->proofs[weakest] ? i : weakest;
    }
    if (t->proofs[weakest] > 1) {
        t->proofs[weakest]--;
        return false;
    }
    t->reads[weakest]  = *read;
    t->proofs[weakest] = 1;
    return expects_at(t, weakest, is_general);
}

void coh_ahead_learn(coh_ahead_t *a,
                     uint64_t const *traits,
                     uint32_t trait_cnt,
                     coh_ahead_read_t const *reads,
                     uint32_t cnt)
{
    if (trait_cnt == 0 ||
        (cnt == 0 && !atomic_load_explicit(&a->is_in_use, memory_order_relaxed))) {
        return;
    }
    coh_spin_lock(&a->lock);
    if (a->traits == NULL) {
        void *p = mmap(NULL,
                       TRAIT_CNT * sizeof(*a->traits),
                       PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS,
                       -1,
                       0);
        COH_ASSERT(p != MAP_FAILED);
        a->traits = p;
        atomic_store_explicit(&a->is_in_use, true, memory_order_relaxed);
    }
    trait_t *found[COH_AHEAD_MAX];
    trait_cnt = COH_MIN(trait_cnt, COH_AHEAD_MAX);
    for (uint32_t i = 0; i < trait_cnt; i++) {
        found[i] = cnt != 0 ? take(a, traits[i]) : find(a, traits[i]);
        if (found[i] != NULL) {
            count(found[i]);
        }
    }
    for (uint32_t k = 0; k < cnt; k++) {
        /* Down to the first that expects it: what that one tells, the others need not. */
        bool is_told = false;
        for (uint32_t i = 0; !is_told && i < trait_cnt; i++) {
            /* a later one may have taken the place of an earlier one */
            bool is_there = found[i] != NULL && found[i]->hash == traits[i];
            is_told       = is_there && sight(found[i], &reads[k], i == 0);
        }
    }
    coh_spin_unlock(&a->lock);
}

static uint32_t add(coh_ahead_read_t out[COH_AHEAD_MAX], uint32_t cnt, coh_ahead_read_t const *read)
{
    for (uint32_t i = 0; i < cnt; i++) {
        if (coh_key_eq(&out[i].key, &read->key)) {
            out[i].fields |= read->fields;
            return cnt;
        }
    }
    if (cnt < COH_AHEAD_MAX) {
        out[cnt++] = *read;
    }
    return cnt;
}

uint32_t coh_ahead_expect(coh_ahead_t *a,
                          uint64_t const *traits,
                          uint32_t trait_cnt,
                          coh_ahead_read_t out[COH_AHEAD_MAX])
{
    if (!atomic_load_explicit(&a->is_in_use, memory_order_relaxed)) {
        return 0;
    }
    uint32_t cnt = 0;
    coh_spin_lock(&a->lock);
    for (uint32_t i = 0; i < trait_cnt; i++) {
        trait_t const *t = find(a, traits[i]);
        for (uint32_t k = 0; t != NULL && k < COH_AHEAD_EACH; k++) {
            if (expects_at(t, k, i == 0)) {
                cnt = add(out, cnt, &t->reads[k]);
            }
        }
    }
    coh_spin_unlock(&a->lock);
    return cnt;
}
