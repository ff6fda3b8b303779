#include "shard/mvstore.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/hook.h"
#include "common/base/spin.h"

#define STRIPE_CNT 1024u
/* A sum over this many versions or fewer is a scan; over more, a Fenwick tree is built (see sum_below). */
#define SCAN_MAX 64u
/* Arena memory kept from block to block, per context. */
#define ARENA_KEEP_BYTES ((size_t)64 << 20)
#define VERSION_ESTIMATE 512u
#define SETTER           (uint32_t)(COH_WRITE_NONCE | COH_WRITE_VALUE | COH_WRITE_CODE)
/* What a version keeps of a write's flags, COH_WRITE_NO_CODE aside, which is a read. */
#define WRITTEN \
    (SETTER | COH_WRITE_DELTA | COH_WRITE_NEGATIVE | COH_WRITE_EXISTS | (uint32_t)COH_WRITE_GONE)
#define READ_BALANCE (uint32_t)(COH_READ_WORD | COH_READ_AT_LEAST)

/* A sum of deltas: 320 bits, two's complement. Between a retraction and the next incarnation a sum may well be below zero, or above
   2^256: an order of values that wrapped would let a reader keep what it must lose. */
typedef struct {
    uint64_t w[5];
} sum_t;

typedef struct {
    uint32_t tx_idx;
    uint32_t incarnation;
    uint32_t home;
    uint32_t flags; /* COH_WRITE_*, VERSION_ESTIMATE; none of WRITTEN: a tombstone */
    uint64_t nonce;
    coh_write_code_t const *code; /* with COH_WRITE_CODE; in an arena, without bytes */
    coh_u256_t word;
} version_t;

/* Touched entries are listed in pieces of so many, which one thread fills: threads that count together share a cache line. No more threads than TOUCH_THREADS_MAX use a store. */
#define TOUCH_CNT         64u
#define TOUCH_THREADS_MAX 1024u

/* Outcomes that a reader saw, beside its COH_READ_* in fields. */
#define SAW_ENOUGH 256u
#define SAW_EXISTS 512u

typedef struct {
    coh_mv_tx_t tx;
    uint32_t fields;              /* COH_READ_*, SAW_* */
    uint64_t nonce;               /* seen */
    coh_write_code_t const *code; /* seen; NULL: what the account has under the block */
    coh_u256_t word;              /* WORD: seen; else AT_LEAST: the bound */
} reader_t;

typedef struct {
    reader_t *v;
    uint32_t cnt, cap;
    uint32_t max_idx;
} readers_t;

/* What one block did to one key. Memory: the contexts' arenas. */
typedef struct {
    version_t *setters; /* set nonce, value or code; sorted by tx_idx */
    version_t *deltas;  /* all others; unsorted: paying a hot account is an append */
    readers_t
        balance; /* of word or at least; apart, so that changes of a contract's balance pass all those over that came for its code */
    readers_t rest;
    sum_t *fenwick; /* sums of deltas by tx_idx, 1-based; NULL until needed */
    sum_t total;    /* of all deltas, those in setters too */
    uint32_t setter_cnt, setter_cap;
    uint32_t delta_cnt, delta_cap;
    uint32_t max_idx;  /* highest writer; valid if there is one */
    uint32_t live_cnt; /* versions that are no tombstones */
    uint32_t estimate_cnt;
    uint32_t assumed_cnt; /* versions with COH_WRITE_NO_CODE */
    uint32_t
        sensitive_cnt; /* readers that a mere increase may invalidate: of the exact word, or refused by AT_LEAST */
    uint32_t exists_cnt;   /* readers of EXISTS */
    uint32_t repeated_end; /* above all writers whose incarnation was above 0 */
    uint64_t repeated;     /* the same writers: bits by tx_idx, modulo their number */
    bool has_nonce;        /* some setter writes NONCE */
    bool has_value;        /* some setter writes VALUE */
    bool has_code;         /* some setter writes CODE */
    bool has_gone;         /* some setter is GONE */
} history_t;

enum { STATE_FREE, STATE_LOADING, STATE_READY };

typedef struct {
    coh_waiter_t *v;
    uint32_t cnt, cap;
} waiters_t;

/* A plain transfer needs the first two cache lines: the key, and down to the latest nonce. */
typedef struct {
    COH_ALIGNED(COH_CACHE_LINE) coh_key_t key;
    uint32_t next; /* in the bucket or the free list */
    /* under the stripe's lock while workers are inside */
    uint8_t state : 2;
    uint8_t recent : 1; /* second chance before eviction */
    uint8_t latest_has_code : 1;
    uint8_t latest_is_bare : 1; /* it has neither code nor generation nor HAS_STORAGE */
    bool
        is_queued; /* under the stripe's lock, too: its load is outstanding, even if somebody was faster */
    /* the communication thread's */
    bool dirty;
    bool flushing; /* in the running flush, and not changed since */
    history_t *history;
    waiters_t *waiters;
    coh_value_t latest;
    coh_value_t committed;
    uint32_t undecided; /* diffs that hold this entry */
} entry_t;

typedef struct {
    COH_ALIGNED(COH_CACHE_LINE) coh_spin_t lock;
} stripe_t;

struct coh_mvstore {
    entry_t *entries; /* 1..entry_max; 0 means none */
    uint32_t *buckets;
    size_t bucket_mask;
    size_t entry_max;
    uint64_t seed;
    uint32_t self;
    uint32_t rank_cnt;
    coh_metrics_t *metrics;
    coh_past_t *past;
    stripe_t *stripes;

    size_t slot_cnt; /* entries that there is address space for */
    uint32_t *
        touched; /* entries with a history in this block; pieces of it are given to threads, 0 where they did not use them up */
    uint32_t tx_cnt;
    bool executing;
    uint64_t block_no; /* of this store: counts what began */
    coh_mv_source_fn *source;
    void *source_arg;

    /* What workers change, apart from what they only read: */
    COH_ALIGNED(COH_CACHE_LINE)
    coh_spin_t free_lock; /* of the free list, the counts, the loads and the queries below */
    _Atomic bool is_exhausted;
    uint32_t free_first;
    uint32_t fresh; /* entries above were never used */
    size_t entry_cnt;
    size_t reserved; /* entries that the executing block may still create */
    coh_key_t *loads;
    size_t load_cnt, load_cap;
    coh_waiter_t *queries; /* whose key has been loaded */
    uint32_t query_cnt, query_cap;
    _Atomic size_t loads_outstanding; /* queries among them */
    _Atomic uint32_t touched_cnt;     /* of touched, in pieces given away */

    /* The communication thread's: */
    COH_ALIGNED(COH_CACHE_LINE) size_t clock_hand;
    coh_buf_t scratch; /* for the source */

    uint32_t *dirty;
    size_t dirty_cnt;
    uint32_t *flushing;
    size_t flushing_cnt;
    uint64_t *
        effects; /* by home; written by the communication thread only, which handles remote writes */
};

_Static_assert(sizeof(entry_t) == 256,
               "an entry is four cache lines: state.cache_entries is documented by it");
_Static_assert(offsetof(entry_t, latest.code_hash) == 2 * COH_CACHE_LINE, "as said there");

/* ---- contexts ---- */

void coh_mv_ctx_reset(coh_mv_ctx_t *ctx)
{
    coh_arena_reset(&ctx->arena, ARENA_KEEP_BYTES);
    ctx->retracted_cnt = 0;
    ctx->woken_cnt     = 0;
}

void coh_mv_ctx_free(coh_mv_ctx_t *ctx)
{
    coh_arena_free(&ctx->arena);
    free(ctx->retracted);
    free(ctx->woken);
    coh_buf_free(&ctx->scratch);
    memset(ctx, 0, sizeof(*ctx));
}

static void *grow(void *p, uint32_t cnt, uint32_t *cap, size_t elem)
{
    if (cnt < *cap) {
        return p;
    }
    *cap = *cap == 0 ? 8 : *cap * 2;
    return coh_realloc(p, *cap * elem);
}

static void push_retracted(coh_mv_ctx_t *ctx, coh_mv_tx_t tx, bool reads_code)
{
    ctx->retracted =
        grow(ctx->retracted, ctx->retracted_cnt, &ctx->retracted_cap, sizeof(*ctx->retracted));
    ctx->retracted[ctx->retracted_cnt++] =
        (coh_mv_retraction_t){.tx = tx, .reads_code = reads_code};
}

void coh_mv_ctx_push_woken(coh_mv_ctx_t *ctx, coh_waiter_t const *waiter)
{
    ctx->woken = grow(ctx->woken, ctx->woken_cnt, &ctx->woken_cap, sizeof(*ctx->woken));
    ctx->woken[ctx->woken_cnt++] = *waiter;
}

static void free_waiters(entry_t *e)
{
    free(e->waiters->v);
    free(e->waiters);
    e->waiters = NULL;
}

static void wake_all(coh_mv_ctx_t *ctx, entry_t *e)
{
    waiters_t *w = e->waiters;
    if (w == NULL) {
        return;
    }
    for (uint32_t i = 0; i < w->cnt; i++) {
        coh_mv_ctx_push_woken(ctx, &w->v[i]);
    }
    free_waiters(e);
}

static void add_waiter(entry_t *e, coh_waiter_t const *waiter)
{
    if (e->waiters == NULL) {
        e->waiters = coh_calloc(1, sizeof(*e->waiters));
    }
    waiters_t *w   = e->waiters;
    w->v           = grow(w->v, w->cnt, &w->cap, sizeof(*w->v));
    w->v[w->cnt++] = *waiter;
}

/* ---- entries ---- */

static uint64_t hash_key(coh_mvstore_t const *mv, coh_key_t const *key)
{
    uint64_t h = mv->seed ^ coh_load_u64_le(key->addr.b);
    h          = coh_mix64(h) ^ coh_load_u64_le(key->addr.b + 8);
    h          = coh_mix64(h) ^ (coh_load_u32_le(key->addr.b + 16) | (uint64_t)key->kind << 32);
    if (key->kind == COH_KEY_SLOT) {
        h = coh_mix64(h) ^ key->generation;
        for (int i = 0; i < 4; i++) {
            h = coh_mix64(h) ^ key->slot.w[i];
        }
    }
    return coh_mix64(h);
}

/* Locks the stripe of key's bucket and returns the bucket. A bucket is in one stripe, since there are no fewer buckets than stripes. */
static size_t lock_bucket(coh_mvstore_t *mv, coh_key_t const *key)
{
    size_t bucket = hash_key(mv, key) & mv->bucket_mask;
    coh_spin_lock(&mv->stripes[bucket % STRIPE_CNT].lock);
    return bucket;
}

static void unlock_bucket(coh_mvstore_t *mv, size_t bucket)
{
    coh_spin_unlock(&mv->stripes[bucket % STRIPE_CNT].lock);
}

static entry_t *find(coh_mvstore_t *mv, size_t bucket, coh_key_t const *key)
{
    for (uint32_t i = mv->buckets[bucket]; i != 0; i = mv->entries[i].next) {
        if (coh_key_eq(&mv->entries[i].key, key)) {
            return &mv->entries[i];
        }
    }
    return NULL;
}

/* Has key loaded; under free_lock. */
static void queue_load(coh_mvstore_t *mv, coh_key_t const *key)
{
    if (mv->load_cnt == mv->load_cap) {
        mv->load_cap = mv->load_cap == 0 ? 256 : mv->load_cap * 2;
        mv->loads    = coh_realloc(mv->loads, mv->load_cap * sizeof(*mv->loads));
    }
    mv->loads[mv->load_cnt++] = *key;
}

/* A new entry of the locked bucket, on its way from disk, or, unless queued, from who asks for it. A block uses up what was reserved for it and then spills over, a query uses what
   it was told is left. NULL: the spill is used up. */
static entry_t *create(coh_mvstore_t *mv,
                       size_t bucket,
                       coh_key_t const *key,
                       bool for_block,
                       bool queued)
{
    coh_spin_lock(&mv->free_lock);
    uint32_t idx = mv->free_first;
    if (idx == 0 && mv->fresh == mv->slot_cnt) {
        coh_spin_unlock(&mv->free_lock);
        atomic_store_explicit(&mv->is_exhausted, true, memory_order_relaxed);
        return NULL;
    }
    if (idx != 0) {
        mv->free_first = mv->entries[idx].next;
    } else {
        idx = ++mv->fresh;
    }
    mv->reserved -= for_block && mv->reserved != 0;
    bool spills = ++mv->entry_cnt > mv->entry_max && for_block;
    if (queued) {
        queue_load(mv, key);
    }
    coh_spin_unlock(&mv->free_lock);
    if (spills) {
        coh_metric_add(mv->metrics, COH_M_mvstore_spilled, 1);
    }
    /* relaxed: the count is compared with 0 only by the communication thread, after the scheduler's release of the transaction that caused the load */
    atomic_fetch_add_explicit(&mv->loads_outstanding, 1, memory_order_relaxed);

    entry_t *e          = &mv->entries[idx];
    *e                  = (entry_t){.key       = *key,
                                    .next      = mv->buckets[bucket],
                                    .state     = STATE_LOADING,
                                    .recent    = true,
                                    .is_queued = queued};
    mv->buckets[bucket] = idx;
    return e;
}

/* Writes only what changes: other threads read the line too. */
static void note_use(entry_t *e)
{
    if (!e->recent) {
        e->recent = true;
    }
}

static entry_t *find_or_create(coh_mvstore_t *mv, size_t bucket, coh_key_t const *key)
{
    entry_t *e = find(mv, bucket, key);
    if (e == NULL) {
        return create(mv, bucket, key, true, true);
    }
    note_use(e);
    return e;
}

/* What touched has room for: all entries, and what the threads have not used up. */
static size_t touched_max(coh_mvstore_t const *mv)
{
    return mv->slot_cnt + TOUCH_CNT * TOUCH_THREADS_MAX;
}

static history_t *history(coh_mvstore_t *mv, coh_mv_ctx_t *ctx, entry_t *e)
{
    if (e->history == NULL) {
        e->history = coh_arena_alloc(&ctx->arena, sizeof(*e->history));
        memset(e->history, 0, sizeof(*e->history));
        if (ctx->touch_at == ctx->touch_end || ctx->touch_block != mv->block_no) {
            ctx->touch_at =
                atomic_fetch_add_explicit(&mv->touched_cnt, TOUCH_CNT, memory_order_relaxed);
            ctx->touch_end   = ctx->touch_at + TOUCH_CNT;
            ctx->touch_block = mv->block_no;
            COH_ASSERT(ctx->touch_end <= touched_max(mv));
            memset(mv->touched + ctx->touch_at, 0, TOUCH_CNT * sizeof(*mv->touched));
        }
        mv->touched[ctx->touch_at++] = (uint32_t)(e - mv->entries);
    }
    return e->history;
}

/* Address space that costs memory only where it is used; zeroed. is_random: used all over, so better in large pages, if it may be. */
static void *reserve(size_t cnt, size_t elem, bool is_random)
{
    void *p = mmap(NULL,
                   cnt * elem,
                   PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1,
                   0);
    COH_ASSERT(p != MAP_FAILED);
    if (is_random) {
        (void)madvise(p, cnt * elem, MADV_HUGEPAGE);
    }
    return p;
}

coh_mvstore_t *coh_mvstore_new(size_t entry_max,
                               uint64_t seed,
                               uint32_t self,
                               uint32_t rank_cnt,
                               coh_metrics_t *metrics)
{
    COH_ASSERT(entry_max < UINT32_MAX - COH_MV_QUERY_MAX - COH_MV_SPILL_MAX);
    coh_mvstore_t *mv = aligned_alloc(COH_CACHE_LINE, sizeof(*mv));
    COH_ASSERT(mv != NULL);
    memset(mv, 0, sizeof(*mv));
    size_t bucket_cnt = STRIPE_CNT;
    while (bucket_cnt < entry_max) {
        bucket_cnt *= 2;
    }
    mv->entry_max   = entry_max;
    mv->seed        = seed;
    mv->self        = self;
    mv->rank_cnt    = rank_cnt;
    mv->metrics     = metrics;
    mv->bucket_mask = bucket_cnt - 1;
    mv->buckets     = reserve(bucket_cnt, sizeof(*mv->buckets), true);
    mv->slot_cnt    = entry_max + COH_MV_QUERY_MAX + COH_MV_SPILL_MAX;
    mv->entries     = reserve(mv->slot_cnt + 1, sizeof(*mv->entries), true);
    mv->touched     = reserve(touched_max(mv), sizeof(*mv->touched), false);
    mv->dirty       = reserve(mv->slot_cnt, sizeof(*mv->dirty), false);
    mv->flushing    = reserve(mv->slot_cnt, sizeof(*mv->flushing), false);
    mv->effects     = coh_calloc(rank_cnt, sizeof(*mv->effects));
    mv->stripes     = aligned_alloc(COH_CACHE_LINE, STRIPE_CNT * sizeof(*mv->stripes));
    COH_ASSERT(mv->stripes != NULL);
    for (uint32_t i = 0; i < STRIPE_CNT; i++) {
        mv->stripes[i].lock = COH_SPIN_INIT;
    }
    mv->free_lock = COH_SPIN_INIT;
    return mv;
}

void coh_mvstore_free(coh_mvstore_t *mv)
{
    if (mv == NULL) {
        return;
    }
    for (size_t i = 1; i <= mv->fresh; i++) {
        if (mv->entries[i].waiters != NULL) {
            free_waiters(&mv->entries[i]);
        }
    }
    (void)munmap(mv->buckets, (mv->bucket_mask + 1) * sizeof(*mv->buckets));
    (void)munmap(mv->entries, (mv->slot_cnt + 1) * sizeof(*mv->entries));
    (void)munmap(mv->touched, touched_max(mv) * sizeof(*mv->touched));
    (void)munmap(mv->dirty, mv->slot_cnt * sizeof(*mv->dirty));
    (void)munmap(mv->flushing, mv->slot_cnt * sizeof(*mv->flushing));
    free(mv->effects);
    free(mv->stripes);
    free(mv->loads);
    free(mv->queries);
    coh_buf_free(&mv->scratch);
    free(mv);
}

void coh_mv_set_source(coh_mvstore_t *mv, coh_mv_source_fn *source, void *arg)
{
    mv->source     = source;
    mv->source_arg = arg;
}

/* ---- eviction ---- */

/* Entries that queries may create, beside those that the executing block may. */
static size_t query_room(coh_mvstore_t *mv)
{
    coh_spin_lock(&mv->free_lock);
    size_t used = mv->entry_cnt + mv->reserved;
    coh_spin_unlock(&mv->free_lock);
    size_t slots = mv->entry_max + COH_MV_QUERY_MAX;
    return used < slots ? slots - used : 0;
}

static void remove_entry(coh_mvstore_t *mv, uint32_t idx)
{
    entry_t *e     = &mv->entries[idx];
    uint32_t *link = &mv->buckets[hash_key(mv, &e->key) & mv->bucket_mask];
    while (*link != idx) {
        link = &mv->entries[*link].next;
    }
    *link          = e->next;
    e->state       = STATE_FREE;
    e->next        = mv->free_first;
    mv->free_first = idx;
    mv->entry_cnt--;
}

/* One step of the clock hand: evicts the entry there if nothing depends on it and nobody used it since the hand last came by
   (then it loses that chance if take_chances). No worker is inside. */
static void step_clock(coh_mvstore_t *mv, bool take_chances)
{
    mv->clock_hand = mv->clock_hand % mv->fresh + 1;
    uint32_t idx   = (uint32_t)mv->clock_hand;
    entry_t *e     = &mv->entries[idx];
    if (e->state != STATE_READY || e->is_queued || e->dirty || e->flushing || e->undecided != 0 ||
        e->waiters != NULL) {
        return;
    }
    if (e->recent) {
        e->recent = !take_chances;
        return;
    }
    remove_entry(mv, idx);
    coh_metric_add(mv->metrics, COH_M_mvstore_evicted, 1);
}

void coh_mv_forget(coh_mvstore_t *mv, bool (*picked)(void *arg, coh_addr_t const *addr), void *arg)
{
    for (uint32_t idx = 1; idx <= mv->fresh; idx++) {
        entry_t const *e = &mv->entries[idx];
        if (e->state == STATE_READY && !e->is_queued && picked(arg, &e->key.addr)) {
            COH_ASSERT(!e->dirty && !e->flushing && e->undecided == 0 && e->waiters == NULL);
            remove_entry(mv, idx);
        }
    }
}

bool coh_mv_query_begin(coh_mvstore_t *mv, size_t key_cnt)
{
    COH_ASSERT(key_cnt <= COH_MV_QUERY_MAX);
    for (size_t steps = mv->executing ? 0 : mv->fresh; query_room(mv) < key_cnt && steps > 0;
         steps--) {
        step_clock(mv, false);
    }
    return query_room(mv) >= key_cnt;
}

bool coh_mv_block_begin(coh_mvstore_t *mv, uint32_t tx_cnt, size_t new_max)
{
    COH_ASSERT(new_max <= mv->entry_max);
    mv->reserved = 0;
    /* Two turns of the clock: the first takes the second chances away. Queries may have gone beyond entry_max. */
    for (size_t steps = 2 * (size_t)mv->fresh; mv->entry_cnt + new_max > mv->entry_max && steps > 0;
         steps--) {
        step_clock(mv, true);
    }
    coh_metric_set(mv->metrics, COH_M_mvstore_entry, mv->entry_cnt);
    if (mv->entry_cnt + new_max > mv->entry_max) {
        return false;
    }
    mv->reserved  = new_max;
    mv->executing = true;
    mv->block_no++;
    COH_ASSERT(atomic_load(&mv->touched_cnt) == 0);
    mv->tx_cnt = tx_cnt;
    memset(mv->effects, 0, mv->rank_cnt * sizeof(*mv->effects));
    return true;
}

bool coh_mv_is_exhausted(coh_mvstore_t const *mv)
{
    return atomic_load_explicit(&mv->is_exhausted, memory_order_relaxed);
}

/* Notes what latest has, so that readers need not touch its third cache line. */
static void note_latest(entry_t *e)
{
    coh_value_t const *v = &e->latest;
    e->latest_has_code   = coh_value_has_code(v);
    e->latest_is_bare =
        !e->latest_has_code && v->generation == 0 && (v->flags & COH_ACCOUNT_HAS_STORAGE) == 0;
}

/* ---- resolution ---- */

/* Setters of transactions below r: their number. */
static uint32_t setters_below(history_t const *h, uint32_t r)
{
    uint32_t lo = 0;
    uint32_t hi = h->setter_cnt;
    if (hi != 0 && h->setters[hi - 1].tx_idx < r) {
        return hi;
    }
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (h->setters[mid].tx_idx < r) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

static void sum_add(sum_t *sum, sum_t const *v)
{
    coh_u128_t t = 0;
    for (int i = 0; i < 5; i++) {
        t += (coh_u128_t)sum->w[i] + v->w[i];
        sum->w[i] = (uint64_t)t;
        t >>= 64;
    }
}

static void sum_negate(sum_t *sum)
{
    uint64_t carry = 1;
    for (int i = 0; i < 5; i++) {
        sum->w[i] = ~sum->w[i] + carry;
        carry     = carry != 0 && sum->w[i] == 0;
    }
}

static bool sum_is_negative(sum_t const *sum) { return sum->w[4] >> 63; }

static bool sum_is_zero(sum_t const *sum)
{
    return (sum->w[0] | sum->w[1] | sum->w[2] | sum->w[3] | sum->w[4]) == 0;
}

/* What a version adds: zero unless it is a delta. */
static sum_t delta_of(version_t const *v)
{
    sum_t d = {{0}};
    if (v->flags & COH_WRITE_DELTA) {
        memcpy(d.w, v->word.w, sizeof(v->word.w));
        if (v->flags & COH_WRITE_NEGATIVE) {
            sum_negate(&d);
        }
    }
    return d;
}

/* base + sum, held within 0..2^256-1. */
static coh_u256_t apply(coh_u256_t const *base, sum_t const *sum)
{
    sum_t s = {{base->w[0], base->w[1], base->w[2], base->w[3], 0}};
    sum_add(&s, sum);
    if (sum_is_negative(&s)) {
        return COH_U256_ZERO;
    }
    if (s.w[4] != 0) {
        return (coh_u256_t){{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}};
    }
    return (coh_u256_t){{s.w[0], s.w[1], s.w[2], s.w[3]}};
}

static void fenwick_add(history_t *h, uint32_t tx_cnt, uint32_t tx_idx, sum_t const *delta)
{
    for (uint32_t i = tx_idx + 1; i <= tx_cnt; i += i & -i) {
        sum_add(&h->fenwick[i], delta);
    }
}

static void fenwick_build(history_t *h, coh_arena_t *arena, uint32_t tx_cnt)
{
    h->fenwick = coh_arena_alloc(arena, ((size_t)tx_cnt + 1) * sizeof(*h->fenwick));
    memset(h->fenwick, 0, ((size_t)tx_cnt + 1) * sizeof(*h->fenwick));
    for (uint32_t i = 0; i < h->setter_cnt + h->delta_cnt; i++) {
        version_t const *v = i < h->setter_cnt ? &h->setters[i] : &h->deltas[i - h->setter_cnt];
        sum_t delta        = delta_of(v);
        fenwick_add(h, tx_cnt, v->tx_idx, &delta);
    }
}

/* The sum of deltas of transactions below r. */
static sum_t sum_scan(history_t const *h, uint32_t r)
{
    sum_t sum = {{0}};
    for (uint32_t i = 0; i < h->setter_cnt + h->delta_cnt; i++) {
        version_t const *v = i < h->setter_cnt ? &h->setters[i] : &h->deltas[i - h->setter_cnt];
        if (v->tx_idx < r) {
            sum_t delta = delta_of(v);
            sum_add(&sum, &delta);
        }
    }
    return sum;
}

/* The same of those above setter at - 1, which is below r, as are the setters before below: what is no delta is not looked at, and of a slot nothing is. */
static sum_t sum_since(history_t const *h, uint32_t at, uint32_t below, uint32_t r)
{
    sum_t sum   = {{0}};
    uint32_t lo = h->setters[at - 1].tx_idx + 1;
    for (uint32_t i = at; i < below; i++) {
        sum_t delta = delta_of(&h->setters[i]);
        sum_add(&sum, &delta);
    }
    for (uint32_t i = 0; i < h->delta_cnt; i++) {
        version_t const *v = &h->deltas[i];
        if (v->tx_idx >= lo && v->tx_idx < r) {
            sum_t delta = delta_of(v);
            sum_add(&sum, &delta);
        }
    }
    return sum;
}

/* The sum of deltas below r: the running total where r is above all writers (transactions mostly come in order), a scan of few, else a
   Fenwick tree. Trees are for keys written by at least a 64th of the block, so that their memory stays linear in its size. */
static sum_t sum_below(coh_mvstore_t const *mv, coh_arena_t *arena, history_t *h, uint32_t r)
{
    if (r > h->max_idx) {
        return h->total;
    }
    uint32_t cnt = h->setter_cnt + h->delta_cnt;
    if (cnt <= SCAN_MAX || cnt <= mv->tx_cnt / 64) {
        return sum_scan(h, r);
    }
    if (h->fenwick == NULL) {
        fenwick_build(h, arena, mv->tx_cnt);
    }
    sum_t sum = {{0}};
    for (uint32_t i = COH_MIN(r, mv->tx_cnt); i != 0; i -= i & -i) {
        sum_add(&sum, &h->fenwick[i]);
    }
    return sum;
}

static bool is_live(version_t const *v) { return (v->flags & WRITTEN) != 0; }

/* Whether the account exists for r: every write makes it, until it is GONE. */
static bool exists_for(entry_t const *e, uint32_t r)
{
    history_t const *h = e->history;
    bool base          = (e->latest.flags & COH_ACCOUNT_EXISTS) != 0;
    if (!h->has_gone && (base || r > h->max_idx)) {
        return base || h->live_cnt != 0;
    }
    uint32_t lo = 0;
    for (uint32_t i = h->has_gone ? setters_below(h, r) : 0; i != 0; i--) {
        if (h->setters[i - 1].flags & COH_WRITE_GONE) {
            base = false;
            lo   = h->setters[i - 1].tx_idx + 1;
            break;
        }
    }
    for (uint32_t i = 0; !base && i < h->setter_cnt + h->delta_cnt; i++) {
        version_t const *v = i < h->setter_cnt ? &h->setters[i] : &h->deltas[i - h->setter_cnt];
        base               = v->tx_idx >= lo && v->tx_idx < r && is_live(v);
    }
    return base;
}

/* The code that r sees: NULL is what the account has under the block. below: setters below r. */
static coh_write_code_t const *code_for(history_t const *h, uint32_t below)
{
    for (uint32_t i = h->has_code ? below : 0; i != 0; i--) {
        if (h->setters[i - 1].flags & COH_WRITE_CODE) {
            return h->setters[i - 1].code;
        }
    }
    return NULL;
}

static coh_u256_t word_for(coh_mvstore_t const *mv,
                           coh_arena_t *arena,
                           entry_t const *e,
                           uint32_t r,
                           uint32_t below)
{
    history_t *h = e->history;
    if (h->has_value) {
        for (uint32_t i = below; i != 0; i--) {
            version_t const *v = &h->setters[i - 1];
            if (v->flags & COH_WRITE_VALUE) {
                sum_t sum = sum_since(h, i, below, r);
                return apply(&v->word, &sum);
            }
        }
    }
    if (h->setter_cnt + h->delta_cnt != 0) {
        sum_t sum = sum_below(mv, arena, h, r);
        return apply(&e->latest.word, &sum);
    }
    return e->latest.word;
}

/* What transaction r sees of an entry that has a history: word and nonce always, of the rest what fields ask for. Returns the code. */
static coh_write_code_t const *resolve(coh_mvstore_t const *mv,
                                       coh_arena_t *arena,
                                       coh_value_t *out,
                                       entry_t const *e,
                                       uint32_t r,
                                       uint32_t fields)
{
    history_t *h                 = e->history;
    uint32_t below               = setters_below(h, r);
    coh_write_code_t const *code = NULL;
    *out = (coh_value_t){.nonce = e->latest.nonce, .word = word_for(mv, arena, e, r, below)};
    for (uint32_t i = h->has_nonce ? below : 0; i != 0; i--) {
        if (h->setters[i - 1].flags & COH_WRITE_NONCE) {
            out->nonce = h->setters[i - 1].nonce;
            break;
        }
    }
    if (fields & COH_READ_CODE) {
        code = code_for(h, below);
        if (code != NULL) {
            out->code_hash  = code->hash;
            out->generation = code->generation;
            out->flags      = code->flags & COH_ACCOUNT_HAS_STORAGE;
        } else if (!e->latest_is_bare) {
            out->code_hash  = e->latest.code_hash;
            out->generation = e->latest.generation;
            out->flags      = e->latest.flags & COH_ACCOUNT_HAS_STORAGE;
        }
    }
    if ((fields & COH_READ_EXISTS) && exists_for(e, r)) {
        out->flags |= COH_ACCOUNT_EXISTS;
    }
    return code;
}

/* What of a version a reader of fields depends on. */
static uint32_t written_fields(uint32_t fields)
{
    return ((fields & COH_READ_NONCE) ? COH_WRITE_NONCE : 0) |
           ((fields & READ_BALANCE) ? COH_WRITE_VALUE | COH_WRITE_DELTA : 0) |
           ((fields & COH_READ_CODE) ? COH_WRITE_CODE : 0) |
           ((fields & COH_READ_EXISTS) ? WRITTEN : 0);
}

static bool estimate_below(history_t const *h, uint32_t r, uint32_t fields)
{
    if (h->estimate_cnt == 0) {
        return false;
    }
    uint32_t flags = written_fields(fields);
    for (uint32_t i = 0; i < h->setter_cnt && h->setters[i].tx_idx < r; i++) {
        if ((h->setters[i].flags & VERSION_ESTIMATE) && (h->setters[i].flags & flags)) {
            return true;
        }
    }
    for (uint32_t i = 0; i < h->delta_cnt; i++) {
        if (h->deltas[i].tx_idx < r && (h->deltas[i].flags & VERSION_ESTIMATE) &&
            (h->deltas[i].flags & flags)) {
            return true;
        }
    }
    return false;
}

static bool at_least(coh_u256_t const *word, coh_u256_t const *bound)
{
    return !coh_u256_lt(word, bound);
}

/* A reader that an increase may invalidate. */
static bool is_sensitive(reader_t const *r)
{
    return (r->fields & COH_READ_WORD) ||
           ((r->fields & COH_READ_AT_LEAST) && !(r->fields & SAW_ENOUGH));
}

static void add_reader(coh_arena_t *arena, history_t *h, reader_t const *r)
{
    readers_t *list = (r->fields & READ_BALANCE) ? &h->balance : &h->rest;
    list->v         = coh_arena_grow(
        arena, list->v, list->cnt, &list->cap, (size_t)list->cnt + 1, sizeof(*list->v));
    list->v[list->cnt++] = *r;
    list->max_idx        = COH_MAX(list->max_idx, r->tx.tx_idx);
    h->sensitive_cnt += is_sensitive(r);
    h->exists_cnt += (r->fields & COH_READ_EXISTS) != 0;
}

static void check_assumptions(coh_mv_ctx_t *ctx, entry_t *e, uint32_t first);

/* The value of an entry has come, which is still counted as outstanding; its bucket is locked. */
static void finish_load(coh_mvstore_t *mv, coh_mv_ctx_t *ctx, entry_t *e, coh_value_t const *value)
{
    COH_ASSERT(e->state == STATE_LOADING);
    e->latest    = *value;
    e->committed = *value;
    e->state     = STATE_READY;
    note_latest(e);
    if (e->history != NULL && e->history->assumed_cnt != 0 &&
        (e->latest_has_code || e->history->has_code)) {
        check_assumptions(ctx, e, 0);
    }
    uint32_t query_cnt = 0;
    for (uint32_t i = 0; e->waiters != NULL && i < e->waiters->cnt; i++) {
        coh_waiter_t const *w = &e->waiters->v[i];
        if (w->kind != COH_WAIT_QUERY) {
            coh_mv_ctx_push_woken(ctx, w);
            continue;
        }
        coh_spin_lock(&mv->free_lock);
        mv->queries = grow(mv->queries, mv->query_cnt, &mv->query_cap, sizeof(*mv->queries));
        mv->queries[mv->query_cnt++] = *w;
        coh_spin_unlock(&mv->free_lock);
        query_cnt++;
    }
    if (e->waiters != NULL) {
        free_waiters(e);
    }
    /* So many queries more, and then a load less: never 0 in between. */
    atomic_fetch_add_explicit(&mv->loads_outstanding, query_cnt, memory_order_relaxed);
    coh_metric_add(mv->metrics, COH_M_mvstore_load, 1);
}

static void end_load(coh_mvstore_t *mv)
{
    atomic_fetch_sub_explicit(&mv->loads_outstanding, 1, memory_order_relaxed);
}

/* Gives an entry of the locked bucket that is on its way its value, if the source has it. In between the bucket is not locked: others may ask the source too, and the disk's answer
   may come; the first one counts. */
static void read_now(coh_mvstore_t *mv, coh_mv_ctx_t *ctx, size_t bucket, entry_t *e)
{
    coh_key_t key = e->key;
    unlock_bucket(mv, bucket);
    coh_value_t value = {0};
    bool here         = mv->source(mv->source_arg, &key, &ctx->scratch, &value);
    coh_spin_lock(&mv->stripes[bucket % STRIPE_CNT].lock);
    if (!here || e->state != STATE_LOADING) {
        return;
    }
    finish_load(mv, ctx, e, &value);
    if (!e->is_queued) {
        end_load(mv);
    }
    coh_metric_add(mv->metrics, COH_M_mvstore_load_at_once, 1);
}

/* A new entry of the locked bucket, with its value if the source has it. */
static entry_t *create_now(coh_mvstore_t *mv,
                           coh_mv_ctx_t *ctx,
                           size_t bucket,
                           coh_key_t const *key)
{
    entry_t *e = create(mv, bucket, key, true, mv->source == NULL);
    if (e == NULL || mv->source == NULL) {
        return e;
    }
    read_now(mv, ctx, bucket, e);
    if (e->state == STATE_LOADING) {
        e->is_queued = true;
        coh_spin_lock(&mv->free_lock);
        queue_load(mv, key);
        coh_spin_unlock(&mv->free_lock);
    }
    return e;
}

coh_mv_status_t coh_mv_read(coh_mvstore_t *mv,
                            coh_mv_ctx_t *ctx,
                            coh_value_t *out,
                            coh_key_t const *key,
                            coh_mv_tx_t reader,
                            uint32_t fields,
                            coh_u256_t const *bound,
                            coh_waiter_t const *waiter)
{
    if (fields & COH_READ_WORD) {
        fields &= ~(uint32_t)COH_READ_AT_LEAST; /* the exact word says that too */
    }
    size_t bucket = lock_bucket(mv, key);
    entry_t *e    = find(mv, bucket, key);
    if (e == NULL) {
        e = create_now(mv, ctx, bucket, key);
    } else {
        note_use(e);
        if (e->state == STATE_LOADING && mv->source != NULL) {
            read_now(mv, ctx, bucket, e);
        }
    }
    if (e == NULL || e->state == STATE_LOADING ||
        (e->history != NULL && estimate_below(e->history, reader.tx_idx, fields) &&
         !COH_HOOK("mvstore:ignore_estimate"))) {
        if (e != NULL) {
            add_waiter(e, waiter);
        }
        unlock_bucket(mv, bucket);
        return COH_MV_WAIT;
    }
    history_t *h = history(mv, ctx, e);
    reader_t r   = {.tx = reader, .fields = fields};
    r.code       = resolve(mv, &ctx->arena, out, e, reader.tx_idx, fields);
    if (h->live_cnt != 0 && h->max_idx < reader.tx_idx &&
        (fields != COH_READ_CODE || h->has_code)) {
        ctx->writer_end = COH_MAX(ctx->writer_end, h->max_idx + 1);
    }
    r.nonce = out->nonce;
    r.word  = out->word;
    if (fields & COH_READ_AT_LEAST) {
        r.word = *bound;
        r.fields |= at_least(&out->word, bound) ? SAW_ENOUGH : 0;
    }
    r.fields |= (out->flags & COH_ACCOUNT_EXISTS) ? SAW_EXISTS : 0;
    if (COH_HOOK("mvstore:drop_code_read")) {
        r.fields &= ~(uint32_t)COH_READ_CODE;
    }
    if (!COH_HOOK("mvstore:drop_read")) {
        add_reader(&ctx->arena, h, &r);
    }
    unlock_bucket(mv, bucket);
    return COH_MV_OK;
}

/* ---- publishing ---- */

uint64_t coh_mv_effect_digest(coh_write_t const *w, uint32_t tx_idx)
{
    uint32_t flags = w->flags & WRITTEN;
    if (flags == 0) {
        return 0;
    }
    uint64_t h = coh_mix64(((uint64_t)tx_idx << 16 | flags) + UINT64_C(0x9e3779b97f4a7c15));
    h          = coh_mix64(h ^ coh_load_u64_le(w->key.addr.b));
    h          = coh_mix64(h ^ coh_load_u64_le(w->key.addr.b + 8));
    h          = coh_mix64(h ^ (coh_load_u32_le(w->key.addr.b + 16) | (uint64_t)w->key.kind << 32));
    h          = coh_mix64(h ^ ((flags & COH_WRITE_NONCE) ? w->nonce : 0));
    for (int i = 0; i < 4; i++) {
        h = coh_mix64(h ^ w->word.w[i]);
        h = w->key.kind == COH_KEY_SLOT ? coh_mix64(h ^ w->key.slot.w[i]) : h;
    }
    if (w->key.kind == COH_KEY_SLOT) {
        h = coh_mix64(h ^ w->key.generation);
    }
    if (flags & COH_WRITE_CODE) {
        for (size_t i = 0; i < sizeof(w->code->hash.b); i += 8) {
            h = coh_mix64(h ^ coh_load_u64_le(w->code->hash.b + i));
        }
        h = coh_mix64(h ^ (w->code->generation | (uint64_t)w->code->flags << 32));
    }
    return h;
}

/* is_first: it is certain that writer has none yet. Who looks for one mostly wrote lately. */
static version_t *find_version(history_t *h, uint32_t tx_idx, bool is_first)
{
    uint32_t at = is_first ? h->setter_cnt : setters_below(h, tx_idx);
    if (at < h->setter_cnt && h->setters[at].tx_idx == tx_idx) {
        return &h->setters[at];
    }
    for (uint32_t i = is_first ? 0 : h->delta_cnt; i != 0; i--) {
        if (h->deltas[i - 1].tx_idx == tx_idx) {
            return &h->deltas[i - 1];
        }
    }
    return NULL;
}

static bool is_setter(history_t const *h, version_t const *v)
{
    return h->setter_cnt != 0 && v >= h->setters && v < h->setters + h->setter_cnt;
}

static void remove_version(history_t *h, version_t *v)
{
    if (is_setter(h, v)) {
        size_t at = (size_t)(v - h->setters);
        memmove(v, v + 1, (h->setter_cnt - at - 1) * sizeof(*v));
        h->setter_cnt--;
    } else {
        *v = h->deltas[--h->delta_cnt];
    }
}

static version_t *insert_version(history_t *h, coh_arena_t *arena, version_t const *v)
{
    if (!(v->flags & SETTER)) {
        h->deltas = coh_arena_grow(
            arena, h->deltas, h->delta_cnt, &h->delta_cap, (size_t)h->delta_cnt + 1, sizeof(*v));
        h->deltas[h->delta_cnt] = *v;
        return &h->deltas[h->delta_cnt++];
    }
    h->setters = coh_arena_grow(
        arena, h->setters, h->setter_cnt, &h->setter_cap, (size_t)h->setter_cnt + 1, sizeof(*v));
    uint32_t at = setters_below(h, v->tx_idx);
    memmove(&h->setters[at + 1], &h->setters[at], (h->setter_cnt - at) * sizeof(*v));
    h->setters[at] = *v;
    h->setter_cnt++;
    return &h->setters[at];
}

static bool code_eq(coh_write_code_t const *a, coh_write_code_t const *b)
{
    return a == b || (a != NULL && b != NULL && coh_hash_eq(&a->hash, &b->hash) &&
                      a->generation == b->generation && a->flags == b->flags);
}

/* a is what a reader saw, b what it would see now; NULL: as the account has it under the block. */
static bool sees_same_code(entry_t const *e, coh_write_code_t const *a, coh_write_code_t const *b)
{
    coh_write_code_t base = {.hash       = e->latest.code_hash,
                             .generation = e->latest.generation,
                             .flags      = e->latest.flags & COH_ACCOUNT_HAS_STORAGE};
    return a == b || code_eq(a != NULL ? a : &base, b != NULL ? b : &base);
}

static bool still_holds(coh_mvstore_t *mv, coh_arena_t *arena, entry_t const *e, reader_t const *r)
{
    coh_value_t now;
    coh_write_code_t const *code = resolve(mv, arena, &now, e, r->tx.tx_idx, r->fields);
    bool exists                  = (now.flags & COH_ACCOUNT_EXISTS) != 0;
    return (!(r->fields & COH_READ_NONCE) || now.nonce == r->nonce) &&
           (!(r->fields & COH_READ_WORD) || coh_u256_eq(&now.word, &r->word)) &&
           (!(r->fields & COH_READ_AT_LEAST) ||
            at_least(&now.word, &r->word) == ((r->fields & SAW_ENOUGH) != 0)) &&
           (!(r->fields & COH_READ_CODE) || sees_same_code(e, r->code, code)) &&
           (!(r->fields & COH_READ_EXISTS) || exists == ((r->fields & SAW_EXISTS) != 0));
}

/* Retracts the readers of list above tx_idx that see something else now; changed: COH_READ_* that may have. */
static void check_readers(coh_mvstore_t *mv,
                          coh_mv_ctx_t *ctx,
                          entry_t *e,
                          readers_t *list,
                          uint32_t tx_idx,
                          uint32_t changed)
{
    if (list->cnt == 0 || list->max_idx <= tx_idx) {
        return;
    }
    history_t *h  = e->history;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < list->cnt; i++) {
        reader_t *r = &list->v[i];
        if (r->tx.tx_idx <= tx_idx || !(r->fields & changed) ||
            still_holds(mv, &ctx->arena, e, r)) {
            if (kept != i) {
                list->v[kept] = *r;
            }
            kept++;
            continue;
        }
        h->sensitive_cnt -= is_sensitive(r);
        h->exists_cnt -= (r->fields & COH_READ_EXISTS) != 0;
        push_retracted(ctx, r->tx, false);
    }
    list->cnt = kept;
}

static bool has_code_for(entry_t const *e, uint32_t r)
{
    static coh_hash_t const none;
    coh_write_code_t const *code = code_for(e->history, setters_below(e->history, r));
    return code != NULL ? !coh_hash_eq(&code->hash, &none) : e->latest_has_code;
}

/* Retracts a writer that assumed that there is no code, if there is. */
static void check_assumption(coh_mv_ctx_t *ctx, entry_t *e, version_t *v)
{
    if ((v->flags & COH_WRITE_NO_CODE) && has_code_for(e, v->tx_idx)) {
        push_retracted(
            ctx,
            (coh_mv_tx_t){.tx_idx = v->tx_idx, .incarnation = v->incarnation, .home = v->home},
            true);
        v->flags &= ~(uint32_t)COH_WRITE_NO_CODE;
        e->history->assumed_cnt--;
    }
}

/* The same of all writers from first on. */
static void check_assumptions(coh_mv_ctx_t *ctx, entry_t *e, uint32_t first)
{
    history_t *h = e->history;
    for (uint32_t i = 0; h->assumed_cnt != 0 && i < h->setter_cnt + h->delta_cnt; i++) {
        version_t *v = i < h->setter_cnt ? &h->setters[i] : &h->deltas[i - h->setter_cnt];
        if (v->tx_idx >= first) {
            check_assumption(ctx, e, v);
        }
    }
}

/* COH_READ_* whose results the step from one version to the other may change. change: of the sum of deltas. */
static uint32_t changed_fields(history_t const *h,
                               version_t const *before,
                               version_t const *now,
                               sum_t const *change)
{
    uint32_t flipped = before->flags ^ now->flags;
    uint32_t out     = 0;
    if ((flipped & COH_WRITE_NONCE) ||
        ((now->flags & COH_WRITE_NONCE) && now->nonce != before->nonce)) {
        out |= COH_READ_NONCE;
    }
    if ((flipped & COH_WRITE_VALUE) ||
        ((now->flags & COH_WRITE_VALUE) && !coh_u256_eq(&now->word, &before->word)) ||
        (!sum_is_zero(change) && (sum_is_negative(change) || h->sensitive_cnt != 0))) {
        out |= READ_BALANCE;
    }
    if ((flipped & COH_WRITE_CODE) ||
        ((now->flags & COH_WRITE_CODE) && !code_eq(now->code, before->code))) {
        out |= COH_READ_CODE;
    }
    if (h->exists_cnt != 0 && (is_live(before) != is_live(now) || (flipped & COH_WRITE_GONE))) {
        out |= COH_READ_EXISTS;
    }
    return out;
}

static coh_write_t write_of(coh_key_t const *key, version_t const *v)
{
    return (coh_write_t){
        .key = *key, .flags = v->flags, .nonce = v->nonce, .word = v->word, .code = v->code};
}

static version_t new_version(coh_mv_ctx_t *ctx, coh_write_t const *write, coh_mv_tx_t writer)
{
    uint32_t flags =
        (write->flags & COH_WRITE_REMOVED) ? 0 : write->flags & (WRITTEN | COH_WRITE_NO_CODE);
    version_t v = {.tx_idx      = writer.tx_idx,
                   .incarnation = writer.incarnation,
                   .home        = writer.home,
                   .flags       = flags,
                   .nonce       = (flags & COH_WRITE_NONCE) ? write->nonce : 0,
                   .word =
                       (flags & (COH_WRITE_DELTA | COH_WRITE_VALUE)) ? write->word : COH_U256_ZERO};
    if (flags & COH_WRITE_CODE) {
        coh_write_code_t *code = coh_arena_alloc(&ctx->arena, sizeof(*code));
        *code                  = *write->code;
        code->bytes            = (coh_bytes_t){0};
        v.code                 = code;
    }
    return v;
}

static uint64_t repeated_bit(uint32_t tx_idx) { return UINT64_C(1) << (tx_idx % 64); }

void coh_mv_publish(coh_mvstore_t *mv,
                    coh_mv_ctx_t *ctx,
                    coh_write_t const *write,
                    coh_mv_tx_t writer)
{
    size_t bucket = lock_bucket(mv, &write->key);
    entry_t *e    = find_or_create(mv, bucket, &write->key);
    if (e == NULL) {
        unlock_bucket(mv, bucket);
        return;
    }
    history_t *h = history(mv, ctx, e);
    /* A first incarnation has no version here yet, unless it comes by a message that a later one overtook. */
    bool is_first  = writer.incarnation == 0 && (writer.tx_idx >= h->repeated_end ||
                                                (h->repeated & repeated_bit(writer.tx_idx)) == 0);
    version_t *old = find_version(h, writer.tx_idx, is_first); /* later its successor */
    if (old != NULL && old->incarnation >= writer.incarnation) {
        unlock_bucket(mv, bucket);
        return;
    }
    if (writer.incarnation != 0) {
        h->repeated_end = COH_MAX(h->repeated_end, writer.tx_idx + 1);
        h->repeated |= repeated_bit(writer.tx_idx);
    }

    version_t now     = new_version(ctx, write, writer);
    version_t before  = old != NULL ? *old : (version_t){0};
    bool was_estimate = (before.flags & VERSION_ESTIMATE) != 0;
    before.flags &= ~VERSION_ESTIMATE;
    if (writer.home != mv->self) {
        coh_write_t gone = write_of(&write->key, &before);
        coh_write_t came = write_of(&write->key, &now);
        mv->effects[writer.home] +=
            coh_mv_effect_digest(&came, writer.tx_idx) - coh_mv_effect_digest(&gone, writer.tx_idx);
    }

    /* The new version takes the old one's place, or its own. */
    if (old != NULL && ((now.flags & SETTER) != 0) == is_setter(h, old)) {
        *old = now;
    } else {
        if (old != NULL) {
            remove_version(h, old);
        }
        old = insert_version(h, &ctx->arena, &now);
    }
    h->max_idx   = COH_MAX(h->max_idx, now.tx_idx);
    h->has_nonce = h->has_nonce || (now.flags & COH_WRITE_NONCE);
    h->has_value = h->has_value || (now.flags & COH_WRITE_VALUE);
    h->has_code  = h->has_code || (now.flags & COH_WRITE_CODE);
    h->has_gone  = h->has_gone || (now.flags & COH_WRITE_GONE);
    h->live_cnt += (uint32_t)is_live(&now) - (uint32_t)is_live(&before);
    h->assumed_cnt += ((now.flags & COH_WRITE_NO_CODE) != 0);
    h->assumed_cnt -= ((before.flags & COH_WRITE_NO_CODE) != 0);
    h->estimate_cnt -= was_estimate;
    sum_t change = delta_of(&before);
    sum_negate(&change);
    sum_t added = delta_of(&now);
    sum_add(&change, &added);
    if (!sum_is_zero(&change)) {
        sum_add(&h->total, &change);
        if (h->fenwick != NULL) {
            fenwick_add(h, mv->tx_cnt, now.tx_idx, &change);
        }
    }

    if (h->balance.cnt + h->rest.cnt + h->assumed_cnt != 0) {
        uint32_t changed = changed_fields(h, &before, &now, &change);
        if (changed != 0) {
            check_readers(mv, ctx, e, &h->balance, now.tx_idx, changed);
        }
        if (changed & ~READ_BALANCE) {
            check_readers(mv, ctx, e, &h->rest, now.tx_idx, changed);
        }
        if (e->state == STATE_READY) {
            if (changed & COH_READ_CODE) {
                check_assumptions(ctx, e, now.tx_idx);
            } else if ((now.flags & COH_WRITE_NO_CODE) && (e->latest_has_code || h->has_code)) {
                check_assumption(ctx, e, old);
            }
        }
    }
    if (was_estimate && e->state == STATE_READY) {
        wake_all(ctx, e);
    }
    unlock_bucket(mv, bucket);
}

void coh_mv_estimate(coh_mvstore_t *mv, coh_key_t const *key, coh_mv_tx_t writer)
{
    size_t bucket = lock_bucket(mv, key);
    entry_t *e    = find(mv, bucket, key);
    if (e != NULL && e->history != NULL) {
        version_t *v = find_version(e->history, writer.tx_idx, false); /* or a later one's */
        if (v != NULL && v->incarnation == writer.incarnation && !(v->flags & VERSION_ESTIMATE)) {
            v->flags |= VERSION_ESTIMATE;
            e->history->estimate_cnt++;
        }
    }
    unlock_bucket(mv, bucket);
}

uint32_t coh_mv_touch(coh_mvstore_t *mv, coh_key_t const *key)
{
    size_t bucket    = lock_bucket(mv, key);
    entry_t const *e = find_or_create(mv, bucket, key);
    unlock_bucket(mv, bucket);
    return e != NULL ? (uint32_t)(e - mv->entries) : 0;
}

void coh_mv_prefetch_entry(coh_mvstore_t const *mv, uint32_t entry)
{
    __builtin_prefetch(&mv->entries[entry]);
    __builtin_prefetch(&mv->entries[entry].history);
}

void coh_mv_prefetch(coh_mvstore_t const *mv, coh_key_t const *key, int stage)
{
    uint32_t const *bucket = &mv->buckets[hash_key(mv, key) & mv->bucket_mask];
    if (stage == 0) {
        __builtin_prefetch(bucket);
    } else {
        /* the first of the bucket; most have no more. What lies behind its key is for the transaction that comes. */
        __builtin_prefetch(&mv->entries[*bucket]);
        __builtin_prefetch(&mv->entries[*bucket].history);
    }
}

uint64_t coh_mv_effects_from(coh_mvstore_t const *mv, uint32_t home) { return mv->effects[home]; }

/* ---- loading ---- */

size_t coh_mv_take_loads(coh_mvstore_t *mv, coh_key_t *out, size_t max)
{
    coh_spin_lock(&mv->free_lock);
    size_t cnt = COH_MIN(max, mv->load_cnt);
    mv->load_cnt -= cnt;
    if (cnt != 0) {
        memcpy(out, mv->loads + mv->load_cnt, cnt * sizeof(*out));
    }
    coh_spin_unlock(&mv->free_lock);
    return cnt;
}

void coh_mv_loaded(coh_mvstore_t *mv,
                   coh_mv_ctx_t *ctx,
                   coh_key_t const *key,
                   coh_value_t const *value)
{
    size_t bucket = lock_bucket(mv, key);
    entry_t *e    = find(mv, bucket, key);
    COH_ASSERT(e != NULL && e->is_queued);
    e->is_queued = false;
    if (e->state == STATE_LOADING) { /* else somebody was faster */
        finish_load(mv, ctx, e, value);
    }
    end_load(mv);
    unlock_bucket(mv, bucket);
}

bool coh_mv_take_query(coh_mvstore_t *mv, coh_waiter_t *out)
{
    if (coh_mv_loads_outstanding(mv) == 0) {
        return false;
    }
    coh_spin_lock(&mv->free_lock);
    bool any = mv->query_cnt != 0;
    if (any) {
        *out = mv->queries[--mv->query_cnt];
    }
    coh_spin_unlock(&mv->free_lock);
    if (any) {
        atomic_fetch_sub_explicit(&mv->loads_outstanding, 1, memory_order_relaxed);
    }
    return any;
}

size_t coh_mv_loads_outstanding(coh_mvstore_t const *mv)
{
    return atomic_load_explicit(&mv->loads_outstanding, memory_order_relaxed);
}

/* ---- from block to block ---- */

static void end_block(coh_mvstore_t *mv)
{
    atomic_store_explicit(&mv->touched_cnt, 0, memory_order_relaxed);
    mv->reserved  = 0;
    mv->executing = false;
}

void coh_mv_diff_free(coh_mv_diff_t *diff)
{
    free(diff->v);
    diff->v   = NULL;
    diff->cnt = 0;
    diff->cap = 0;
}

static void add_change(coh_mvstore_t *mv, coh_mv_diff_t *diff, entry_t *e, coh_value_t const *value)
{
    if (diff->cnt == diff->cap) {
        diff->cap = diff->cap == 0 ? 256 : diff->cap * 2;
        diff->v   = coh_realloc(diff->v, diff->cap * sizeof(*diff->v));
    }
    bool new_code =
        coh_value_has_code(value) && !coh_hash_eq(&value->code_hash, &e->latest.code_hash);
    diff->v[diff->cnt++] = (coh_mv_change_t){.entry    = (uint32_t)(e - mv->entries),
                                             .new_code = new_code,
                                             .wiped    = value->generation != e->latest.generation,
                                             .value    = *value};
    e->latest            = *value;
    note_latest(e);
    e->undecided++;
}

typedef struct {
    coh_mv_step_t *v;
    size_t cnt, cap;
} trail_t;

static int compare_idx(void const *a, void const *b)
{
    uint32_t x = *(uint32_t const *)a;
    uint32_t y = *(uint32_t const *)b;
    return (x > y) - (x < y);
}

/* Who wrote the entry, ascending, without repetition. The caller's, free(). */
static uint32_t *list_writers(history_t const *h, size_t *cnt)
{
    uint32_t *v = coh_calloc((size_t)h->setter_cnt + h->delta_cnt, sizeof(*v));
    size_t n    = 0;
    for (uint32_t i = 0; i < h->setter_cnt; i++) {
        v[n++] = h->setters[i].tx_idx;
    }
    for (uint32_t i = 0; i < h->delta_cnt; i++) {
        v[n++] = h->deltas[i].tx_idx;
    }
    qsort(v, n, sizeof(*v), compare_idx);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || v[i] != v[i - 1]) {
            v[kept++] = v[i];
        }
    }
    *cnt = kept;
    return v;
}

static void add_steps(coh_mvstore_t *mv, coh_arena_t *arena, trail_t *trail, entry_t *e)
{
    uint32_t fields = e->key.kind == COH_KEY_ACCOUNT ? COH_READ_CODE | COH_READ_EXISTS : 0;
    bool had_sums   = e->history->fenwick != NULL;
    size_t cnt;
    uint32_t *writers  = list_writers(e->history, &cnt);
    coh_value_t before = e->latest;
    for (size_t i = 0; i < cnt; i++) {
        coh_value_t value;
        (void)resolve(mv, arena, &value, e, writers[i] + 1, fields);
        if (coh_value_eq(&value, &before)) {
            continue;
        }
        if (trail->cnt == trail->cap) {
            trail->cap = trail->cap * 2 + 64;
            trail->v   = coh_realloc(trail->v, trail->cap * sizeof(*trail->v));
        }
        trail->v[trail->cnt++] = (coh_mv_step_t){
            .tx_idx = writers[i],
            .item   = {
                  .key = e->key, .value = value, .wiped = value.generation != before.generation}};
        before = value;
    }
    free(writers);
    if (!had_sums) {
        e->history->fenwick = NULL; /* it lies in arena */
    }
}

static int compare_steps(void const *a, void const *b)
{
    return compare_idx(&((coh_mv_step_t const *)a)->tx_idx, &((coh_mv_step_t const *)b)->tx_idx);
}

void coh_mv_sort_steps(coh_mv_step_t *steps, size_t cnt)
{
    if (cnt != 0) {
        qsort(steps, cnt, sizeof(*steps), compare_steps);
    }
}

size_t coh_mv_trail(coh_mvstore_t *mv, coh_mv_step_t **out)
{
    trail_t trail     = {0};
    coh_arena_t arena = COH_ARENA_INIT;
    uint32_t cnt      = atomic_load_explicit(&mv->touched_cnt, memory_order_relaxed);
    for (uint32_t i = 0; i < cnt; i++) {
        if (mv->touched[i] != 0) {
            add_steps(mv, &arena, &trail, &mv->entries[mv->touched[i]]);
        }
    }
    coh_mv_sort_steps(trail.v, trail.cnt);
    coh_arena_free(&arena);
    *out = trail.v;
    return trail.cnt;
}

/* Fees for the coinbase; nothing is a payment, too: what is paid and empty is removed (EIP-161). */
static void pay(coh_value_t *value, coh_u256_t const *credit)
{
    (void)coh_u256_add(&value->word, &value->word, credit);
    if (!coh_value_is_empty(value)) {
        value->flags |= COH_ACCOUNT_EXISTS;
    } else if (value->flags & COH_ACCOUNT_EXISTS) {
        bool had_storage = (value->flags & COH_ACCOUNT_HAS_STORAGE) != 0;
        *value           = (coh_value_t){.generation = value->generation + had_storage};
    }
}

void coh_mv_settle(coh_mvstore_t *mv,
                   coh_mv_diff_t *diff,
                   coh_addr_t const *coinbase,
                   coh_u256_t const *credit)
{
    entry_t *paid = NULL;
    if (coinbase != NULL) {
        coh_key_t key = coh_key_account(coinbase);
        paid          = find(mv, hash_key(mv, &key) & mv->bucket_mask, &key);
        COH_ASSERT(paid != NULL && paid->state == STATE_READY);
        if (paid->history == NULL) {
            coh_value_t value = paid->latest;
            pay(&value, credit);
            if (!coh_value_eq(&value, &paid->latest)) {
                add_change(mv, diff, paid, &value);
            }
            paid = NULL;
        }
    }
    uint32_t cnt     = atomic_load_explicit(&mv->touched_cnt, memory_order_relaxed);
    coh_arena_t none = COH_ARENA_INIT;
    for (uint32_t i = 0; i < cnt; i++) {
        if (i + 8 < cnt) {
            __builtin_prefetch(&mv->entries[mv->touched[i + 8]].history);
            __builtin_prefetch(&mv->entries[mv->touched[i + 8]].latest);
        }
        if (mv->touched[i] == 0) {
            continue;
        }
        entry_t *e = &mv->entries[mv->touched[i]];
        COH_ASSERT(e->state == STATE_READY && e->waiters == NULL && e->history->estimate_cnt == 0);
        uint32_t fields = e->key.kind == COH_KEY_ACCOUNT ? COH_READ_CODE | COH_READ_EXISTS : 0;
        coh_value_t value;
        (void)resolve(mv, &none, &value, e, UINT32_MAX, fields);
        if (e == paid) {
            pay(&value, credit);
        }
        e->history = NULL;
        if (!coh_value_eq(&value, &e->latest)) {
            add_change(mv, diff, e, &value);
        }
    }
    end_block(mv);
}

void coh_mv_discard_block(coh_mvstore_t *mv)
{
    uint32_t cnt = atomic_load_explicit(&mv->touched_cnt, memory_order_relaxed);
    for (uint32_t i = 0; i < cnt; i++) {
        mv->entries[mv->touched[i]].history = NULL; /* entry 0 is none, and has none */
    }
    end_block(mv);
    /* Waiters of the block would keep their entries from being evicted. Queries go on waiting. */
    for (uint32_t i = 1; i <= mv->fresh; i++) {
        waiters_t *w = mv->entries[i].waiters;
        if (w == NULL) {
            continue;
        }
        uint32_t kept = 0;
        for (uint32_t j = 0; j < w->cnt; j++) {
            if (w->v[j].kind == COH_WAIT_QUERY) {
                w->v[kept++] = w->v[j];
            }
        }
        w->cnt = kept;
        if (kept == 0) {
            free(w->v);
            free(w);
            mv->entries[i].waiters = NULL;
        }
    }
}

void coh_mv_set_past(coh_mvstore_t *mv, coh_past_t *past) { mv->past = past; }

/* How far ahead of an entry its memory, and its bucket in the past, are fetched. */
#define COMMIT_AHEAD 8u

static void fetch_for_commit(coh_mvstore_t const *mv,
                             coh_mv_diff_t const *diff,
                             size_t i,
                             uint64_t hashes[COMMIT_AHEAD])
{
    if (i + COMMIT_AHEAD < diff->cnt) {
        uint8_t const *e = (uint8_t const *)&mv->entries[diff->v[i + COMMIT_AHEAD].entry];
        for (size_t line = 0; line < sizeof(entry_t); line += COH_CACHE_LINE) {
            __builtin_prefetch(e + line, 1);
        }
    }
    if (i < diff->cnt && mv->past != NULL) {
        hashes[i % COMMIT_AHEAD] = coh_past_hash(mv->past, &mv->entries[diff->v[i].entry].key);
        coh_past_prefetch(mv->past, hashes[i % COMMIT_AHEAD]);
    }
}

void coh_mv_commit(coh_mvstore_t *mv, coh_mv_diff_t const *diff)
{
    uint64_t hashes[COMMIT_AHEAD];
    for (size_t i = 0; i < COMMIT_AHEAD; i++) {
        fetch_for_commit(mv, diff, i, hashes);
    }
    for (size_t i = 0; i < diff->cnt; i++) {
        entry_t *e = &mv->entries[diff->v[i].entry];
        if (mv->past != NULL) {
            coh_past_add(mv->past, hashes[i % COMMIT_AHEAD], &e->key, &e->committed);
        }
        fetch_for_commit(mv, diff, i + COMMIT_AHEAD, hashes);
        e->committed = diff->v[i].value;
        e->undecided--;
        e->flushing = false;
        if (!e->dirty) {
            e->dirty                   = true;
            mv->dirty[mv->dirty_cnt++] = diff->v[i].entry;
        }
    }
    coh_metric_set(mv->metrics, COH_M_store_dirty, mv->dirty_cnt);
}

void coh_mv_abort(coh_mvstore_t *mv,
                  coh_mv_diff_t *const *discarded,
                  size_t cnt,
                  coh_mv_diff_t *const *kept,
                  size_t kept_cnt)
{
    for (size_t d = 0; d < cnt; d++) {
        for (size_t i = 0; i < discarded[d]->cnt; i++) {
            entry_t *e = &mv->entries[discarded[d]->v[i].entry];
            e->latest  = e->committed;
            note_latest(e);
            e->undecided--;
        }
    }
    for (size_t d = 0; d < kept_cnt; d++) {
        for (size_t i = 0; i < kept[d]->cnt; i++) {
            entry_t *e = &mv->entries[kept[d]->v[i].entry];
            e->latest  = kept[d]->v[i].value;
            note_latest(e);
        }
    }
}

coh_key_t const *coh_mv_entry_key(coh_mvstore_t const *mv, uint32_t entry)
{
    return &mv->entries[entry].key;
}

coh_mv_status_t coh_mv_committed(coh_mvstore_t *mv,
                                 coh_key_t const *key,
                                 coh_value_t *out,
                                 coh_waiter_t const *waiter)
{
    size_t bucket = lock_bucket(mv, key);
    entry_t *e    = find(mv, bucket, key);
    if (e == NULL && mv->source != NULL) {
        unlock_bucket(mv, bucket);
        *out = (coh_value_t){0};
        if (mv->source(mv->source_arg, key, &mv->scratch, out)) {
            return COH_MV_OK; /* what a worker may do to the key meanwhile does not touch what is committed */
        }
        bucket = lock_bucket(mv, key);
        e      = find(mv, bucket, key);
    }
    if (e == NULL) {
        e = create(mv, bucket, key, false, true);
        COH_ASSERT(e != NULL); /* the query was told that there is room */
        e->recent = false;
    }
    coh_mv_status_t status = COH_MV_OK;
    if (e->state == STATE_LOADING) {
        add_waiter(e, waiter);
        status = COH_MV_WAIT;
    } else {
        *out = e->committed;
    }
    unlock_bucket(mv, bucket);
    return status;
}

bool coh_mv_peek(coh_mvstore_t *mv, coh_key_t const *key, coh_value_t *out)
{
    size_t bucket    = lock_bucket(mv, key);
    entry_t const *e = find(mv, bucket, key);
    bool here        = e != NULL && e->state == STATE_READY;
    if (here) {
        *out = e->committed;
    }
    unlock_bucket(mv, bucket);
    if (!here && mv->source != NULL) {
        *out = (coh_value_t){0};
        here = mv->source(mv->source_arg, key, &mv->scratch, out);
    }
    return here;
}

/* ---- flushing ---- */

size_t coh_mv_flush_begin(coh_mvstore_t *mv, coh_mv_item_t **out)
{
    COH_ASSERT(mv->flushing_cnt == 0);
    coh_mv_item_t *items = coh_calloc(mv->dirty_cnt, sizeof(*items));
    for (size_t i = 0; i < mv->dirty_cnt; i++) {
        if (i + 8 < mv->dirty_cnt) {
            __builtin_prefetch(&mv->entries[mv->dirty[i + 8]]);
            __builtin_prefetch(&mv->entries[mv->dirty[i + 8]].committed);
        }
        entry_t *e  = &mv->entries[mv->dirty[i]];
        e->flushing = true;
        items[i]    = (coh_mv_item_t){.key = e->key, .value = e->committed};
    }
    uint32_t *swap   = mv->flushing;
    mv->flushing     = mv->dirty;
    mv->flushing_cnt = mv->dirty_cnt;
    mv->dirty        = swap;
    mv->dirty_cnt    = 0;
    *out             = items;
    return mv->flushing_cnt;
}

void coh_mv_flush_end(coh_mvstore_t *mv)
{
    for (size_t i = 0; i < mv->flushing_cnt; i++) {
        entry_t *e = &mv->entries[mv->flushing[i]];
        if (e->flushing) {
            e->flushing = false;
            e->dirty    = false;
        } else {
            mv->dirty[mv->dirty_cnt++] =
                mv->flushing[i]; /* changed since: goes with the next flush */
        }
    }
    mv->flushing_cnt = 0;
    coh_metric_set(mv->metrics, COH_M_store_dirty, mv->dirty_cnt);
}

size_t coh_mv_dirty_cnt(coh_mvstore_t const *mv) { return mv->dirty_cnt + mv->flushing_cnt; }

size_t coh_mv_entry_cnt(coh_mvstore_t const *mv) { return mv->entry_cnt; }
