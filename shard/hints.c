#include "shard/hints.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/spin.h"

/* Slots of each table: so many for each transaction of the largest block so far, between these. */
#define SLOTS_EACH   32u
#define SLOT_CNT_MIN 1024u
#define SLOT_CNT_MAX 65536u
#define NO_SLOT      UINT32_MAX
/* Neighbouring slots in which a trait or a piece of state may stand. */
#define WAYS 4u
/* Pieces of state remembered for a trait, and traits for a piece of state. */
#define STATES_EACH 8u
#define TRAITS_EACH 8u
/* Sightings after which old ones count half. */
#define SEEN_MAX 64u
/* Of a transaction's, those of which it is remembered that they were looked at. */
#define TRAITS_SEEN_MAX 32u

typedef struct {
    uint64_t hash;
    uint32_t block;      /* the last one in which a transaction had it */
    uint32_t seen;       /* transactions with it that were learned from */
    uint32_t first, cnt; /* its transactions in that block, among the members */
    uint32_t put;        /* of them, while they are laid out */
    uint64_t states[STATES_EACH];
    uint8_t proofs[STATES_EACH]; /* sightings of the state; 0: free */
} trait_t;

typedef struct {
    uint64_t hash;
    uint32_t block; /* the last one in which it was touched by somebody who was learned from */
    uint32_t
        traits[TRAITS_EACH]; /* slots of traits that may go with it; whether they do, they know */
    uint32_t cnt;
} state_t;

struct coh_hints {
    uint32_t proof_min;
    coh_spin_t lock;   /* of all below */
    uint32_t slot_cnt; /* of each table, a power of two; 0: nothing was ever learned */
    trait_t *traits;
    state_t *states;
    uint32_t block; /* counts from 1 */

    /* Of the block, once it is laid out. */
    coh_sched_traits_fn *traits_of;
    void *arg;
    uint32_t tx_cnt;
    bool is_laid_out;
    uint32_t *firsts; /* by position, and one more: into of */
    uint32_t *of;     /* slots of traits */
    uint32_t *members;
    size_t first_cap, of_cap, member_cap;
};

/* Zeroed memory, in large pages, if it may be, and all at once: it is read and written all over from the first block on, by whoever holds the lock, and single pages would be faulted
   in twice each, to be read and to be written. */
static void *map(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    COH_ASSERT(p != MAP_FAILED);
    (void)madvise(p, bytes, MADV_HUGEPAGE);
    (void)madvise(p, bytes, MADV_POPULATE_WRITE);
    return p;
}

static void unmap(void *p, size_t bytes)
{
    if (p != NULL) {
        (void)munmap(p, bytes);
    }
}

coh_hints_t *coh_hints_new(uint32_t proof_min)
{
    coh_hints_t *h = coh_calloc(1, sizeof(*h));
    h->proof_min   = proof_min;
    h->lock        = COH_SPIN_INIT;
    return h;
}

static void free_tables(coh_hints_t *h)
{
    unmap(h->traits, h->slot_cnt * sizeof(*h->traits));
    unmap(h->states, h->slot_cnt * sizeof(*h->states));
}

/* Tables that are too small for the block give way to larger ones, which know nothing yet: large blocks come early. */
static void size_tables(coh_hints_t *h)
{
    uint32_t cnt = SLOT_CNT_MIN;
    while (cnt < SLOT_CNT_MAX && cnt < (uint64_t)SLOTS_EACH * h->tx_cnt) {
        cnt *= 2;
    }
    if (cnt > h->slot_cnt) {
        free_tables(h);
        h->slot_cnt = cnt;
        h->traits   = map(cnt * sizeof(*h->traits));
        h->states   = map(cnt * sizeof(*h->states));
    }
}

void coh_hints_free(coh_hints_t *h)
{
    if (h != NULL) {
        free_tables(h);
        free(h->firsts);
        free(h->of);
        free(h->members);
        free(h);
    }
}

void coh_hints_begin(coh_hints_t *h, uint32_t tx_cnt, coh_sched_traits_fn *traits, void *arg)
{
    h->is_laid_out = false;
    h->tx_cnt      = tx_cnt;
    h->traits_of   = traits;
    h->arg         = arg;
    h->block++;
}

/* ---- tables ---- */

/* The slot of a trait of this block, which may take that of one that is older; NO_SLOT: there is no room. */
static uint32_t take_trait(coh_hints_t *h, uint64_t hash)
{
    uint32_t victim = NO_SLOT;
    for (uint32_t i = 0; i < WAYS; i++) {
        uint32_t at      = (uint32_t)(hash + i) & (h->slot_cnt - 1);
        trait_t const *t = &h->traits[at];
        if (t->hash == hash) {
            return at;
        }
        if (t->block != h->block && (victim == NO_SLOT || t->seen < h->traits[victim].seen)) {
            victim = at;
        }
    }
    if (victim != NO_SLOT) {
        h->traits[victim] = (trait_t){.hash = hash};
    }
    return victim;
}

static state_t *find_state(coh_hints_t *h, uint64_t hash)
{
    for (uint32_t i = 0; i < WAYS; i++) {
        state_t *s = &h->states[(hash + i) & (h->slot_cnt - 1)];
        if (s->hash == hash) {
            return s;
        }
    }
    return NULL;
}

/* The state, which may take the place of the one that was not touched for longest. */
static state_t *take_state(coh_hints_t *h, uint64_t hash)
{
    state_t *s = find_state(h, hash);
    if (s == NULL) {
        s = &h->states[hash & (h->slot_cnt - 1)];
        for (uint32_t i = 1; i < WAYS; i++) {
            state_t *other = &h->states[(hash + i) & (h->slot_cnt - 1)];
            s              = other->block < s->block ? other : s;
        }
        *s = (state_t){.hash = hash};
    }
    s->block = h->block;
    return s;
}

/* Expected is what at least half of those seen touched. */
static bool expects_at(coh_hints_t const *h, trait_t const *t, uint32_t i)
{
    return t->proofs[i] >= h->proof_min && 2u * t->proofs[i] >= t->seen;
}

static bool expects(coh_hints_t const *h, trait_t const *t, uint64_t state)
{
    for (uint32_t i = 0; i < STATES_EACH; i++) {
        if (t->states[i] == state && expects_at(h, t, i)) {
            return true;
        }
    }
    return false;
}

static void join(state_t *s, uint32_t trait)
{
    for (uint32_t i = 0; i < COH_MIN(s->cnt, TRAITS_EACH); i++) {
        if (s->traits[i] == trait) {
            return;
        }
    }
    s->traits[s->cnt++ % TRAITS_EACH] = trait; /* beyond that many the oldest goes */
}

/* A sighting of state with a trait. Strangers wear the weakest down until they take its place: what is frequent stays. */
static void sight(coh_hints_t *h, uint32_t trait, state_t *s)
{
    trait_t *t       = &h->traits[trait];
    uint32_t weakest = 0;
    for (uint32_t i = 0; i < STATES_EACH; i++) {
        if (t->proofs[i] != 0 && t->states[i] == s->hash) {
            t->proofs[i] = (uint8_t)COH_MIN(t->proofs[i] + 1u, UINT8_MAX);
            join(s, trait);
            return;
        }
        weakest = t->proofs[i] < t->proofs[weakest] ? i : weakest;
    }
    if (t->proofs[weakest] > 1) {
        t->proofs[weakest]--;
        return;
    }
    t->states[weakest] = s->hash;
    t->proofs[weakest] = 1;
    join(s, trait);
}

static void count(trait_t *t)
{
    if (++t->seen == SEEN_MAX) {
        t->seen /= 2;
        for (uint32_t i = 0; i < STATES_EACH; i++) {
            t->proofs[i] /= 2;
        }
    }
}

/* ---- the transactions of the block ---- */

static void *at_least(void *p, size_t *cap, size_t cnt, size_t elem)
{
    if (cnt <= *cap) {
        return p;
    }
    *cap = cnt;
    return coh_realloc(p, cnt * elem);
}

/* Finds the traits of all transactions. */
static size_t find_traits(coh_hints_t *h)
{
    h->firsts = at_least(h->firsts, &h->first_cap, (size_t)h->tx_cnt + 1, sizeof(*h->firsts));
    h->of = at_least(h->of, &h->of_cap, (size_t)h->tx_cnt * COH_SCHED_TRAITS_MAX, sizeof(*h->of));
    uint32_t of_cnt = 0;
    for (uint32_t pos = 0; pos < h->tx_cnt; pos++) {
        coh_sched_trait_t traits[COH_SCHED_TRAITS_MAX];
        uint32_t cnt   = h->traits_of(h->arg, pos, traits);
        h->firsts[pos] = of_cnt;
        for (uint32_t i = 0; i < cnt; i++) {
            uint32_t at = take_trait(h, traits[i].hash);
            if (at == NO_SLOT) {
                continue;
            }
            trait_t *t = &h->traits[at];
            if (t->block != h->block) {
                t->block = h->block;
                t->cnt   = 0;
                t->put   = 0;
            }
            if (traits[i].is_key && t->seen == 0) {
                t->seen      = h->proof_min;
                t->states[0] = t->hash;
                t->proofs[0] = (uint8_t)h->proof_min;
                join(take_state(h, t->hash), at);
            }
            t->cnt++;
            h->of[of_cnt++] = at;
        }
    }
    h->firsts[h->tx_cnt] = of_cnt;
    return of_cnt;
}

static void lay_out(coh_hints_t *h)
{
    if (h->is_laid_out) {
        return;
    }
    h->is_laid_out = true;
    size_tables(h);
    size_t of_cnt  = find_traits(h);
    h->members     = at_least(h->members, &h->member_cap, of_cnt, sizeof(*h->members));
    uint32_t first = 0;
    for (uint32_t pos = 0; pos < h->tx_cnt; pos++) {
        for (uint32_t i = h->firsts[pos]; i < h->firsts[pos + 1]; i++) {
            trait_t *t = &h->traits[h->of[i]];
            if (t->put == 0) {
                t->first = first;
                first += t->cnt;
            }
            h->members[t->first + t->put++] = pos;
        }
    }
}

/* The highest position below pos with the trait, or COH_SCHED_NONE. */
static uint32_t next_below(coh_hints_t const *h, trait_t const *t, uint32_t pos)
{
    uint32_t const *members = h->members + t->first;
    uint32_t lo             = 0;
    uint32_t hi             = t->cnt;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (members[mid] < pos) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo == 0 ? COH_SCHED_NONE : members[lo - 1];
}

/* Notes a sighting with each trait down to the first that expects the state: what that one tells, the others need not. */
static void sight_all(coh_hints_t *h, uint32_t pos, state_t *state)
{
    for (uint32_t i = h->firsts[pos]; i < h->firsts[pos + 1]; i++) {
        sight(h, h->of[i], state);
        if (expects(h, &h->traits[h->of[i]], state->hash)) {
            return;
        }
    }
}

void coh_hints_learn(coh_hints_t *h,
                     uint32_t pos,
                     uint32_t incarnation,
                     uint64_t const *touched,
                     uint32_t cnt,
                     bool is_news)
{
    coh_spin_lock(&h->lock);
    lay_out(h);
    for (uint32_t i = h->firsts[pos]; incarnation == 0 && i < h->firsts[pos + 1]; i++) {
        count(&h->traits[h->of[i]]);
    }
    for (uint32_t k = 0; k < cnt; k++) {
        state_t *state = is_news ? take_state(h, touched[k]) : find_state(h, touched[k]);
        if (state != NULL) {
            state->block = h->block;
            sight_all(h, pos, state);
        }
    }
    coh_spin_unlock(&h->lock);
}

/* Traits that were looked at for one transaction. */
typedef struct {
    uint32_t traits[TRAITS_SEEN_MAX];
    uint32_t cnt;
} seen_t;

static bool is_seen(seen_t *seen, uint32_t trait)
{
    for (uint32_t i = 0; i < seen->cnt; i++) {
        if (seen->traits[i] == trait) {
            return true;
        }
    }
    if (seen->cnt < TRAITS_SEEN_MAX) {
        seen->traits[seen->cnt++] = trait;
    }
    return false;
}

uint32_t coh_hints_before(coh_hints_t *h, uint32_t pos, uint32_t out[COH_HINTS_BEFORE_MAX])
{
    uint32_t cnt = 0;
    seen_t seen  = {.cnt = 0};
    coh_spin_lock(&h->lock);
    lay_out(h);
    for (uint32_t i = h->firsts[pos]; i < h->firsts[pos + 1]; i++) {
        trait_t const *t = &h->traits[h->of[i]];
        for (uint32_t k = 0; k < STATES_EACH; k++) {
            state_t const *s = expects_at(h, t, k) ? find_state(h, t->states[k]) : NULL;
            for (uint32_t g = 0; s != NULL && g < COH_MIN(s->cnt, TRAITS_EACH); g++) {
                trait_t const *other = &h->traits[s->traits[g]];
                if (other->block != h->block || !expects(h, other, s->hash) ||
                    is_seen(&seen, s->traits[g])) {
                    continue;
                }
                uint32_t below = next_below(h, other, pos);
                if (below != COH_SCHED_NONE && cnt < COH_HINTS_BEFORE_MAX) {
                    out[cnt++] = below;
                }
            }
        }
    }
    coh_spin_unlock(&h->lock);
    return cnt;
}
