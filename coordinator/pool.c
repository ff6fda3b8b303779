#include "coordinator/pool.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/state/directory.h"
#include "coordinator/auth_counts.h"

/* Raw bytes that fit beside a transaction in its slab: every plain transfer, and most token calls.
   Longer ones are allocated one by one. */
#define RAW_INLINE_MAX 192
#define HUGE_PAGE      ((size_t)2 << 20)
/* Entries ahead of the one in use for which memory is fetched. */
#define FETCH_SPARE       4u
#define SENDER_CHUNK_BITS 15
#define SENDER_CHUNK_CNT  (1u << SENDER_CHUNK_BITS)
/* Transactions of one sender that need no array of their own. */
#define REF_INLINE_CNT 2u
#define HEAP_ARITY     4u
/* Last places of the heap's first and second level, where what a turn will need is fetched. */
#define HEAP_FETCH_HEAD   HEAP_ARITY
#define HEAP_FETCH_SENDER (HEAP_ARITY + HEAP_ARITY * HEAP_ARITY)
/* Stale turns tolerated before they are swept away, beside as many as there are live ones. */
#define STALE_SLACK 1024u
/* Turns ahead for which memory is fetched: first the sender's record, then, by what it says, the
   transaction. */
#define FETCH_SENDER 24u
#define FETCH_HEAD   12u
/* Calls of coh_pool_prefetch between fetching a sender's place in the table and fetching its
   record. */
#define FETCH_STAGE 12u
#define NO_SENDER   UINT32_MAX
/* By which part of its fees a transaction must outbid the one that it replaces: a tenth; with blobs, whose spreading costs others
   much, as much again (as geth has it). */
#define BUMP_PART      10u
#define BLOB_BUMP_PART 1u

typedef enum { STATE_POOLED, STATE_TAKEN } state_t;

/* A transaction with what only the pool needs to know; pub.priv points back here. */
typedef struct coh_pool_priv {
    coh_pool_tx_t pub;
    uint64_t arrival_no; /* place among all arrivals; a replacement inherits it */
    uint32_t sender;
    uint8_t state; /* state_t */
    bool in_slab;
    uint8_t raw[];
} entry_t;

typedef struct {
    uint64_t nonce; /* of e: searched without touching it */
    entry_t *e;
} ref_t;

/* An account and its transactions, refs[0..tx_cnt-1] by nonce (a ring, so that appending and
   removing the first are cheap):

     0 ............ live_cnt ............ live_cnt+ready_cnt ............ tx_cnt
     TAKEN, each        POOLED and next in         the rest: behind a gap, or
     following the      line: may be taken,        TAKEN behind one that was dropped or
     one before         in this order              returned ("orphans", to be returned)

   One follows the one before if its nonce is that plus one, or at most the account's. (One below
   the account's nonce is no longer valid, which the block that takes it finds and reports.) */
typedef struct {
    coh_addr_t addr;
    uint32_t fp;       /* of addr in the table */
    uint64_t nonce;    /* of the account: highest known committed */
    ref_t *refs;       /* inline_refs, or owned */
    uint32_t ref_mask; /* capacity - 1 */
    uint32_t ref_first;
    uint32_t tx_cnt;
    uint32_t live_cnt;
    uint32_t ready_cnt;
    bool in_use;
    bool recent;   /* used since the clock hand passed */
    bool doubtful; /* a transaction was dropped: nonce or balance are not what they seem */
    bool aside;    /* in pool->aside */
    /* second cache line */
    coh_u256_t balance; /* as of balance_block, less what was spent since */
    coh_u256_t upfront; /* sum over refs; upfront_high counts its carries */
    /* third */
    uint64_t balance_block;
    entry_t const *queued; /* what the valid heap entry stands for; NULL if there is none */
    uint32_t upfront_high;
    uint32_t ticket; /* of the valid heap entry; outlives the record's reuse */
    ref_t inline_refs[REF_INLINE_CNT];
    uint32_t free_next;
    uint16_t bucket; /* of addr */
    bool has_code;   /* as of balance_block */
} COH_ALIGNED(COH_CACHE_LINE) sender_t;
_Static_assert(sizeof(sender_t) == 3 * COH_CACHE_LINE, "three cache lines");

/* A sender waiting for its turn; smallest first. It is stale, and passed over, unless ticket is the
   sender's. (Nonce order never rests on it: should a stale entry live on until its ticket comes
   round again, its sender has a turn early.) */
typedef struct {
    uint64_t tip_inverse; /* ~tip: the highest comes first; the same for all in arrival order */
    uint64_t arrival_no;
    uint32_t sender;
    uint32_t ticket;
} turn_t;

typedef struct {
    uint64_t fp;
    entry_t *e; /* NULL: free */
} hash_slot_t;

typedef struct {
    uint32_t fp;
    uint32_t sender; /* index + 1; 0: free */
} sender_slot_t;

struct coh_pool {
    coh_pool_limits_t limits;
    coh_auth_counts_t authorities;
    uint64_t key[3]; /* of the tables: nobody outside can aim at a chain of collisions */
    uint64_t arrival_no;
    size_t tx_cnt;
    size_t ready_cnt;
    size_t sender_cnt;       /* with transactions */
    uint64_t ready_since_us; /* see coh_pool_oldest_ready_us */
    uint64_t turn_no;        /* see coh_pool_turn_no */

    hash_slot_t *hashes; /* by transaction hash; linear probing, at most half full */
    size_t hash_mask;
    sender_slot_t *addrs; /* by address; linear probing, at most half full */
    size_t addr_mask;

    sender_t **chunks;   /* records, by index */
    uint32_t record_cnt; /* indices handed out so far */
    uint32_t record_max;
    uint32_t record_free; /* chain of unused records */
    uint32_t clock_hand;

    /* Turns: a line, and a heap for those that come too late to stand at its end. In arrival order
       nearly all stand in the line, where the next ones are known in advance. */
    turn_t *line; /* a ring, ascending */
    size_t line_first;
    size_t line_cnt;
    size_t line_mask; /* capacity - 1 */
    turn_t *heap;
    size_t heap_cnt;
    size_t heap_cap;
    size_t turn_cnt; /* of both, that are not stale */

    bool taking;
    coh_u256_t base_fee; /* of the block being taken... */
    coh_u256_t blob_fee;
    bool blobs_wait; /* a sender was passed over for the price of blobs */
    uint32_t *aside; /* senders whose turn is to be computed anew at take_end */
    size_t aside_cnt;
    size_t aside_cap;

    size_t fetching[FETCH_STAGE]; /* see coh_pool_prefetch */
    size_t fetch_no;

    void **slabs;
    size_t slab_cnt;
    entry_t **spares; /* free entries of the slabs; the last one is taken first */
    size_t spare_cnt;
};

/* ---- memory ---- */

/* Zeroed memory for what is large and touched at random: in huge pages where the system has them,
   because there a look-up costs a TLB miss beside each cache miss. */
static void *region_new(size_t bytes)
{
    bool is_huge = bytes >= HUGE_PAGE;
    size_t align = is_huge ? HUGE_PAGE : COH_CACHE_LINE;
    bytes        = (bytes + align - 1) & ~(align - 1);
    void *p      = aligned_alloc(align, bytes);
    COH_ASSERT(p != NULL);
    if (is_huge) {
        (void)madvise(p, bytes, MADV_HUGEPAGE); /* a wish: without them it is only slower */
    }
    memset(p, 0, bytes);
    return p;
}

/* ---- tables ---- */

/* Multiplies and folds: each bit of the result depends on all of both. */
static inline uint64_t fold(uint64_t a, uint64_t b)
{
    coh_u128_t m = (coh_u128_t)a * b;
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static inline uint64_t hash_fp(coh_pool_t const *pool, coh_hash_t const *hash)
{
    return fold(coh_load_u64_le(hash->b) ^ pool->key[0],
                coh_load_u64_le(hash->b + 8) ^ pool->key[1]);
}

static inline uint32_t addr_fp(coh_pool_t const *pool, coh_addr_t const *addr)
{
    uint64_t h =
        fold(coh_load_u64_le(addr->b) ^ pool->key[0], coh_load_u64_le(addr->b + 8) ^ pool->key[1]);
    return (uint32_t)fold(h ^ coh_load_u32_le(addr->b + 16), pool->key[2]);
}

/* Smallest power of two that is at least twice cnt. */
static size_t table_cap(size_t cnt)
{
    size_t cap = 16;
    while (cap < 2 * cnt) {
        cap *= 2;
    }
    return cap;
}

/* In linear probing, whether the member at `at`, whose own place is home, may move into the hole:
   that is, whether the hole lies on its way from home. */
static inline bool may_fill(size_t hole, size_t home, size_t at, size_t mask)
{
    return ((at - home) & mask) >= ((at - hole) & mask);
}

static entry_t *hash_find(coh_pool_t const *pool, coh_hash_t const *hash)
{
    uint64_t fp = hash_fp(pool, hash);
    for (size_t i = fp & pool->hash_mask; pool->hashes[i].e != NULL;
         i        = (i + 1) & pool->hash_mask) {
        if (pool->hashes[i].fp == fp && coh_hash_eq(&pool->hashes[i].e->pub.hash, hash)) {
            return pool->hashes[i].e;
        }
    }
    return NULL;
}

static void hash_insert(coh_pool_t *pool, entry_t *e)
{
    uint64_t fp = hash_fp(pool, &e->pub.hash);
    size_t i    = fp & pool->hash_mask;
    while (pool->hashes[i].e != NULL) {
        i = (i + 1) & pool->hash_mask;
    }
    pool->hashes[i] = (hash_slot_t){.fp = fp, .e = e};
}

static void hash_remove(coh_pool_t *pool, entry_t const *e)
{
    size_t mask = pool->hash_mask;
    size_t hole = hash_fp(pool, &e->pub.hash) & mask;
    while (pool->hashes[hole].e != e) {
        COH_ASSERT(pool->hashes[hole].e != NULL);
        hole = (hole + 1) & mask;
    }
    for (size_t i = (hole + 1) & mask; pool->hashes[i].e != NULL; i = (i + 1) & mask) {
        if (may_fill(hole, pool->hashes[i].fp & mask, i, mask)) {
            pool->hashes[hole] = pool->hashes[i];
            hole               = i;
        }
    }
    pool->hashes[hole].e = NULL;
}

static inline sender_t *sender_at(coh_pool_t const *pool, uint32_t idx)
{
    return &pool->chunks[idx >> SENDER_CHUNK_BITS][idx & (SENDER_CHUNK_CNT - 1)];
}

static uint32_t sender_find(coh_pool_t const *pool, coh_addr_t const *addr)
{
    uint32_t fp = addr_fp(pool, addr);
    for (size_t i = fp & pool->addr_mask; pool->addrs[i].sender != 0;
         i        = (i + 1) & pool->addr_mask) {
        if (pool->addrs[i].fp == fp &&
            coh_addr_eq(&sender_at(pool, pool->addrs[i].sender - 1)->addr, addr)) {
            return pool->addrs[i].sender - 1;
        }
    }
    return NO_SENDER;
}

static void sender_remove(coh_pool_t *pool, uint32_t idx)
{
    sender_t *s = sender_at(pool, idx);
    COH_ASSERT(s->in_use && s->tx_cnt == 0 && s->queued == NULL && !s->aside);
    size_t mask = pool->addr_mask;
    size_t hole = s->fp & mask;
    while (pool->addrs[hole].sender != idx + 1) {
        COH_ASSERT(pool->addrs[hole].sender != 0);
        hole = (hole + 1) & mask;
    }
    for (size_t i = (hole + 1) & mask; pool->addrs[i].sender != 0; i = (i + 1) & mask) {
        if (may_fill(hole, pool->addrs[i].fp & mask, i, mask)) {
            pool->addrs[hole] = pool->addrs[i];
            hole              = i;
        }
    }
    pool->addrs[hole].sender = 0;
    s->in_use                = false;
    s->free_next             = pool->record_free;
    pool->record_free        = idx;
}

/* Forgets an account without transactions that was not used lately (the clock algorithm). There is
   one: at most tx_max of the 2 * tx_max records have transactions. */
static void sender_evict(coh_pool_t *pool)
{
    for (;;) {
        uint32_t idx     = pool->clock_hand;
        pool->clock_hand = idx + 1 == pool->record_cnt ? 0 : idx + 1;
        sender_t *s      = sender_at(pool, idx);
        if (!s->in_use || s->tx_cnt != 0) {
            continue;
        }
        if (!s->recent) {
            sender_remove(pool, idx);
            return;
        }
        s->recent = false;
    }
}

static uint32_t sender_insert(coh_pool_t *pool, coh_addr_t const *addr)
{
    if (pool->record_free == NO_SENDER && pool->record_cnt == pool->record_max) {
        sender_evict(pool);
    }
    uint32_t idx = pool->record_free;
    if (idx != NO_SENDER) {
        pool->record_free = sender_at(pool, idx)->free_next;
    } else {
        idx              = pool->record_cnt++;
        sender_t **chunk = &pool->chunks[idx >> SENDER_CHUNK_BITS];
        if (*chunk == NULL) {
            *chunk =
                region_new(COH_MIN(pool->record_max - idx, SENDER_CHUNK_CNT) * sizeof(sender_t));
        }
    }
    sender_t *s = sender_at(pool, idx);
    COH_ASSERT(!s->in_use);
    uint32_t ticket = s->ticket;
    *s              = (sender_t){
                     .addr     = *addr,
                     .fp       = addr_fp(pool, addr),
                     .bucket   = (uint16_t)coh_directory_bucket(addr),
                     .refs     = s->inline_refs,
                     .ref_mask = REF_INLINE_CNT - 1,
                     .in_use   = true,
                     .recent   = true,
                     .ticket   = ticket,
    };
    size_t i = s->fp & pool->addr_mask;
    while (pool->addrs[i].sender != 0) {
        i = (i + 1) & pool->addr_mask;
    }
    pool->addrs[i] = (sender_slot_t){.fp = s->fp, .sender = idx + 1};
    return idx;
}

/* ---- memory of transactions ---- */

/* Adds a slab of free entries. */
static void slab_new(coh_pool_t *pool)
{
    size_t const entry_sz =
        (sizeof(entry_t) + RAW_INLINE_MAX + COH_CACHE_LINE - 1) & ~(size_t)(COH_CACHE_LINE - 1);
    size_t bytes = COH_MIN(HUGE_PAGE, pool->limits.tx_max * entry_sz);
    char *slab   = region_new(bytes);
    size_t cnt   = bytes / entry_sz;
    pool->slabs  = coh_realloc(pool->slabs, (pool->slab_cnt + 1) * sizeof(*pool->slabs));
    pool->slabs[pool->slab_cnt++] = slab;
    pool->spares = coh_realloc(pool->spares, pool->slab_cnt * cnt * sizeof(entry_t *));
    while (cnt-- > 0) {
        pool->spares[pool->spare_cnt++] = (entry_t *)(void *)(slab + cnt * entry_sz);
    }
}

/* Fetches an entry to be written. It was used last when its block was decided. */
static inline void fetch_spare(entry_t const *e, size_t raw_n)
{
    char const *p = (char const *)e;
    for (size_t at = 0; at < offsetof(entry_t, raw) + raw_n; at += COH_CACHE_LINE) {
        __builtin_prefetch(p + at, 1);
    }
}

static entry_t *entry_new(coh_pool_t *pool, coh_tx_t const *tx)
{
    entry_t *e;
    size_t raw_n = tx->raw.n + tx->authorities.n;
    bool in_slab = raw_n <= RAW_INLINE_MAX;
    if (in_slab) {
        if (pool->spare_cnt == 0) {
            slab_new(pool);
        }
        e = pool->spares[--pool->spare_cnt];
        if (pool->spare_cnt >= FETCH_SPARE) {
            fetch_spare(pool->spares[pool->spare_cnt - FETCH_SPARE], raw_n);
        }
    } else {
        size_t n = sizeof(*e) + raw_n;
        e = aligned_alloc(COH_CACHE_LINE, (n + COH_CACHE_LINE - 1) & ~(size_t)(COH_CACHE_LINE - 1));
        COH_ASSERT(e != NULL);
    }
    e->in_slab = in_slab;
    memcpy(e->raw, tx->raw.p, tx->raw.n);
    if (tx->authorities.n != 0) {
        memcpy(e->raw + tx->raw.n, tx->authorities.p, tx->authorities.n);
    }
    return e;
}

/* Who signed the next authorization that can be of use on this chain; false: there is none. */
static bool next_authority(coh_tx_t const *tx,
                           coh_rlp_t *list,
                           uint32_t *i,
                           coh_addr_t *authority,
                           uint64_t *nonce)
{
    static coh_addr_t const nobody;
    coh_tx_auth_t auth;
    while ((*i + 1) * sizeof(*authority) <= tx->authorities.n && coh_tx_auth_next(list, &auth)) {
        coh_u256_t chain = coh_u256(tx->chain_id);
        memcpy(authority->b, tx->authorities.p + *i * sizeof(*authority), sizeof(*authority));
        (*i)++;
        *nonce = auth.nonce;
        if (!coh_addr_eq(authority, &nobody) &&
            (coh_u256_is_zero(&auth.chain_id) || coh_u256_eq(&auth.chain_id, &chain))) {
            return true;
        }
    }
    return false;
}

/* Counts the authorizations of a transaction that comes or goes. */
static void count_authorities(coh_pool_t *pool, coh_tx_t const *tx, bool comes)
{
    coh_rlp_t list = coh_tx_auth_iter(tx);
    uint32_t i     = 0;
    coh_addr_t authority;
    uint64_t nonce;
    while (next_authority(tx, &list, &i, &authority, &nonce)) {
        if (comes) {
            coh_auth_counts_add(&pool->authorities, &authority, nonce);
        } else {
            coh_auth_counts_remove(&pool->authorities, &authority);
        }
    }
}

static void entry_free(coh_pool_t *pool, entry_t *e)
{
    if (e->pub.tx.type == COH_TX_SET_CODE) {
        count_authorities(pool, &e->pub.tx, false);
    }
    if (e->in_slab) {
        pool->spares[pool->spare_cnt++] = e; /* it has room for all there are */
    } else {
        free(e);
    }
}

/* What lies in `from` at the same place in `to`. */
static coh_bytes_t rebase(coh_bytes_t part, coh_bytes_t from, uint8_t const *to)
{
    if (part.n == 0) {
        return coh_bytes(NULL, 0);
    }
    COH_ASSERT(part.p >= from.p && part.p + part.n <= from.p + from.n);
    return coh_bytes(to + (part.p - from.p), part.n);
}

/* ---- turns ---- */

static inline ref_t *ref_at(sender_t const *s, uint32_t i)
{
    return &s->refs[(s->ref_first + i) & s->ref_mask];
}

/* Fetching is a wish to the processor: it reads nothing, and any address will do. */
static inline void fetch_sender(sender_t const *s)
{
    char const *p = (char const *)s;
    __builtin_prefetch(p);
    __builtin_prefetch(p + COH_CACHE_LINE);
    __builtin_prefetch(p + (ptrdiff_t)2 * COH_CACHE_LINE);
}

/* Fetches the lines of a sender's first ready transaction that taking it reads, and the place of
   the one after it in the order. The sender's record should be here already. */
static inline void fetch_head(sender_t const *s)
{
    char const *p = (char const *)s->queued;
    if (p == NULL) {
        return; /* a stale turn */
    }
    __builtin_prefetch(p);
    __builtin_prefetch(p + offsetof(entry_t, pub.tx));
    __builtin_prefetch(p + offsetof(entry_t, pub.tx.max_fee));
    __builtin_prefetch(p + offsetof(entry_t, arrival_no));
    if (s->ready_cnt > 1) {
        __builtin_prefetch(&ref_at(s, s->live_cnt + 1)->e->arrival_no);
    }
}

static inline bool turn_before(turn_t const *a, turn_t const *b)
{
    return a->tip_inverse != b->tip_inverse ? a->tip_inverse < b->tip_inverse
                                            : a->arrival_no < b->arrival_no;
}

static void heap_up(turn_t *heap, size_t i, turn_t turn)
{
    while (i > 0) {
        size_t parent = (i - 1) / HEAP_ARITY;
        if (!turn_before(&turn, &heap[parent])) {
            break;
        }
        heap[i] = heap[parent];
        i       = parent;
    }
    heap[i] = turn;
}

/* Lets turn sink from place i. Fetches what the turns that come near the top will need. */
static void heap_down(coh_pool_t const *pool, size_t i, turn_t turn)
{
    turn_t *heap = pool->heap;
    size_t cnt   = pool->heap_cnt;
    for (;;) {
        size_t child = i * HEAP_ARITY + 1;
        if (child >= cnt) {
            break;
        }
        size_t end  = COH_MIN(child + HEAP_ARITY, cnt);
        size_t best = child;
        for (size_t c = child + 1; c < end; c++) {
            if (turn_before(&heap[c], &heap[best])) {
                best = c;
            }
        }
        if (!turn_before(&heap[best], &turn)) {
            break;
        }
        heap[i] = heap[best];
        if (i <= HEAP_FETCH_HEAD) {
            fetch_head(sender_at(pool, heap[i].sender));
        } else if (i <= HEAP_FETCH_SENDER) {
            fetch_sender(sender_at(pool, heap[i].sender));
        }
        i = best;
    }
    heap[i] = turn;
}

static inline bool turn_is_stale(coh_pool_t const *pool, turn_t const *turn)
{
    sender_t const *s = sender_at(pool, turn->sender);
    return s->queued == NULL || s->ticket != turn->ticket;
}

static inline turn_t *line_at(coh_pool_t const *pool, size_t i)
{
    return &pool->line[(pool->line_first + i) & pool->line_mask];
}

/* Removes the stale turns. */
static void turns_sweep(coh_pool_t *pool)
{
    size_t kept = 0;
    for (size_t i = 0; i < pool->line_cnt; i++) {
        if (!turn_is_stale(pool, line_at(pool, i))) {
            *line_at(pool, kept++) = *line_at(pool, i);
        }
    }
    pool->line_cnt = kept;
    kept           = 0;
    for (size_t i = 0; i < pool->heap_cnt; i++) {
        if (!turn_is_stale(pool, &pool->heap[i])) {
            pool->heap[kept++] = pool->heap[i];
        }
    }
    pool->heap_cnt = kept;
    for (size_t i = kept / HEAP_ARITY + 1; i-- > 0;) {
        if (i < kept) {
            heap_down(pool, i, pool->heap[i]);
        }
    }
}

/* Puts a turn at the end of the line if that is its place, else into the heap. */
static void turns_put(coh_pool_t *pool, turn_t turn)
{
    if (pool->line_cnt == 0 || !turn_before(&turn, line_at(pool, pool->line_cnt - 1))) {
        if (pool->line_cnt > pool->line_mask || pool->line == NULL) {
            size_t cap   = pool->line == NULL ? 1024 : 2 * (pool->line_mask + 1);
            turn_t *line = region_new(cap * sizeof(*line));
            for (size_t i = 0; i < pool->line_cnt; i++) {
                line[i] = *line_at(pool, i);
            }
            free(pool->line);
            pool->line       = line;
            pool->line_first = 0;
            pool->line_mask  = cap - 1;
        }
        *line_at(pool, pool->line_cnt++) = turn;
        return;
    }
    if (pool->heap_cnt == pool->heap_cap) {
        pool->heap_cap = pool->heap_cap == 0 ? 1024 : 2 * pool->heap_cap;
        pool->heap     = coh_realloc(pool->heap, pool->heap_cap * sizeof(*pool->heap));
    }
    heap_up(pool->heap, pool->heap_cnt++, turn);
}

/* Takes a sender out of the queue: its turn, if there is one, is stale from now on. */
static inline void turn_withdraw(coh_pool_t *pool, sender_t *s)
{
    if (s->queued != NULL) {
        s->queued = NULL;
        s->ticket++;
        pool->turn_cnt--;
    }
}

/* Queues a sender whose first ready transaction is head; tip counts in tip order alone. */
static void turn_push(coh_pool_t *pool,
                      uint32_t idx,
                      sender_t *s,
                      entry_t const *head,
                      uint64_t tip)
{
    turn_withdraw(pool, s);
    if (pool->heap_cnt + pool->line_cnt > 2 * pool->turn_cnt + STALE_SLACK) {
        turns_sweep(pool);
    }
    s->queued = head;
    pool->turn_cnt++;
    turns_put(pool,
              (turn_t){.tip_inverse = ~tip,
                       .arrival_no  = head->arrival_no,
                       .sender      = idx,
                       .ticket      = s->ticket});
}

/* Pops the next sender's turn; false if there is none. */
static bool turn_pop(coh_pool_t *pool, turn_t *out)
{
    while (pool->line_cnt + pool->heap_cnt > 0) {
        if (pool->heap_cnt == 0 ||
            (pool->line_cnt > 0 && turn_before(line_at(pool, 0), &pool->heap[0]))) {
            *out = *line_at(pool, 0);
            pool->line_first++;
            pool->line_cnt--;
            if (pool->line_cnt > FETCH_SENDER) {
                fetch_sender(sender_at(pool, line_at(pool, FETCH_SENDER)->sender));
                fetch_head(sender_at(pool, line_at(pool, FETCH_HEAD)->sender));
            }
        } else {
            *out = pool->heap[0];
            pool->heap_cnt--;
            if (pool->heap_cnt > 0) {
                heap_down(pool, 0, pool->heap[pool->heap_cnt]);
            }
        }
        if (!turn_is_stale(pool, out)) {
            turn_withdraw(pool, sender_at(pool, out->sender));
            return true;
        }
    }
    return false;
}

/* Tips above 2^64-1 wei per gas are all the same to the order. */
static uint64_t tip_clamp(coh_u256_t const *tip)
{
    return (tip->w[1] | tip->w[2] | tip->w[3]) != 0 ? UINT64_MAX : tip->w[0];
}

/* What the block's producer gets for each gas: min(max_tip, max_fee - base_fee), EIP-1559. */
static uint64_t tip_effective(coh_tx_t const *tx, coh_u256_t const *base_fee)
{
    coh_u256_t left;
    coh_u256_sub(&left, &tx->max_fee, base_fee);
    return tip_clamp(coh_u256_lt(&left, &tx->max_tip) ? &left : &tx->max_tip);
}

/* ---- a sender's transactions ---- */

/* Index of the first with at least this nonce. */
static uint32_t ref_lower_bound(sender_t const *s, uint64_t nonce)
{
    if (s->tx_cnt == 0 || ref_at(s, s->tx_cnt - 1)->nonce < nonce) {
        return s->tx_cnt;
    }
    uint32_t lo = 0;
    uint32_t hi = s->tx_cnt - 1; /* the answer is in lo..hi */
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (ref_at(s, mid)->nonce < nonce) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

static uint32_t ref_find(sender_t const *s, entry_t const *e)
{
    if (s->tx_cnt > 0 && ref_at(s, 0)->e == e) {
        return 0;
    }
    uint32_t i = ref_lower_bound(s, e->pub.tx.nonce);
    COH_ASSERT(i < s->tx_cnt && ref_at(s, i)->e == e);
    return i;
}

static void ref_insert(sender_t *s, uint32_t i, entry_t *e)
{
    uint32_t cap = s->ref_mask + 1;
    if (s->tx_cnt == cap) {
        ref_t *grown = coh_calloc(4 * (size_t)cap, sizeof(*grown));
        for (uint32_t k = 0; k < cap; k++) {
            grown[k] = *ref_at(s, k);
        }
        if (s->refs != s->inline_refs) {
            free(s->refs);
        }
        s->refs      = grown;
        s->ref_first = 0;
        s->ref_mask  = 4 * cap - 1;
    }
    for (uint32_t k = s->tx_cnt++; k > i; k--) {
        *ref_at(s, k) = *ref_at(s, k - 1);
    }
    *ref_at(s, i) = (ref_t){.nonce = e->pub.tx.nonce, .e = e};
}

static void ref_remove(sender_t *s, uint32_t i)
{
    COH_ASSERT(i < s->tx_cnt);
    s->tx_cnt--;
    if (i == 0) {
        s->ref_first = (s->ref_first + 1) & s->ref_mask;
    } else {
        for (uint32_t k = i; k < s->tx_cnt; k++) {
            *ref_at(s, k) = *ref_at(s, k + 1);
        }
    }
    if (s->tx_cnt == 0 && s->refs != s->inline_refs) {
        free(s->refs);
        s->refs      = s->inline_refs;
        s->ref_first = 0;
        s->ref_mask  = REF_INLINE_CNT - 1;
    }
}

static inline void upfront_add(sender_t *s, coh_u256_t const *v)
{
    s->upfront_high += coh_u256_add(&s->upfront, &s->upfront, v);
}

static inline void upfront_sub(sender_t *s, coh_u256_t const *v)
{
    s->upfront_high -= coh_u256_sub(&s->upfront, &s->upfront, v);
}

/* Whether the balance covers upfront and the upfront costs of the first i transactions. It mostly covers those of all; else the
   shorter side is added up. */
static bool can_afford(sender_t const *s, uint32_t i, coh_u256_t const *upfront)
{
    coh_u256_t sum = COH_U256_ZERO;
    uint32_t high  = s->upfront_high + coh_u256_add(&sum, &s->upfront, upfront);
    if (high == 0 && !coh_u256_lt(&s->balance, &sum)) {
        return true;
    }
    sum  = COH_U256_ZERO;
    high = 0;
    if (i >= s->tx_cnt / 2) {
        sum  = s->upfront;
        high = s->upfront_high;
        for (uint32_t k = i; k < s->tx_cnt; k++) {
            high -= coh_u256_sub(&sum, &sum, &ref_at(s, k)->e->pub.upfront);
        }
    } else {
        for (uint32_t k = 0; k < i; k++) {
            high += coh_u256_add(&sum, &sum, &ref_at(s, k)->e->pub.upfront);
        }
    }
    high += coh_u256_add(&sum, &sum, upfront);
    return high == 0 && !coh_u256_lt(&s->balance, &sum);
}

/* Whether transaction i follows the one before it (see sender_t). */
static inline bool follows(sender_t const *s, uint32_t i)
{
    uint64_t nonce = ref_at(s, i)->nonce;
    return nonce <= s->nonce || (i > 0 && nonce == ref_at(s, i - 1)->nonce + 1);
}

/* COH_DASSERT's view of sender_t. */
COH_UNUSED static bool sender_is_sound(sender_t const *s)
{
    bool in_line = true;
    for (uint32_t i = 0; i < s->tx_cnt; i++) {
        ref_t const *ref = ref_at(s, i);
        bool taken       = ref->e->state == STATE_TAKEN;
        in_line          = in_line && follows(s, i) && (i < s->live_cnt || !taken);
        bool counted     = i < s->live_cnt + s->ready_cnt;
        if (ref->nonce != ref->e->pub.tx.nonce || (i < s->live_cnt && !taken) ||
            (i > 0 && ref->nonce <= ref_at(s, i - 1)->nonce) || in_line != counted) {
            return false;
        }
    }
    return s->live_cnt + s->ready_cnt <= s->tx_cnt;
}

/* To be called after every change of a sender, with its ready_cnt before it; live_cnt and ready_cnt
   are right as far as they go. Counts in what has come in line, and renews the sender's turn if
   another transaction is first now. */
static void sender_changed(coh_pool_t *pool, uint32_t idx, sender_t *s, uint32_t ready_before)
{
    for (uint32_t i = s->live_cnt + s->ready_cnt;
         i < s->tx_cnt && ref_at(s, i)->e->state == STATE_POOLED && follows(s, i);
         i++) {
        s->ready_cnt++;
    }
    COH_DASSERT(sender_is_sound(s));
    pool->ready_cnt += s->ready_cnt;
    pool->ready_cnt -= ready_before;

    entry_t const *head = s->ready_cnt > 0 ? ref_at(s, s->live_cnt)->e : NULL;
    if (pool->ready_cnt == 0) {
        pool->ready_since_us = UINT64_MAX;
    } else if (pool->ready_since_us == UINT64_MAX) {
        COH_ASSERT(head != NULL);
        pool->ready_since_us = head->pub.arrival_us;
    }
    if (head == NULL) {
        turn_withdraw(pool, s);
    } else if (head != s->queued) {
        pool->turn_no++;
        bool by_tip = pool->limits.order == COH_POOL_TIP;
        turn_push(pool, idx, s, head, by_tip ? tip_clamp(&head->pub.tx.max_tip) : 0);
    }
}

/* Takes entry i out of everything, and frees it. The caller has mended live_cnt and ready_cnt. */
static void sender_forget(coh_pool_t *pool, sender_t *s, uint32_t i)
{
    entry_t *e = ref_at(s, i)->e;
    upfront_sub(s, &e->pub.upfront);
    ref_remove(s, i);
    hash_remove(pool, e);
    entry_free(pool, e);
    pool->tx_cnt--;
    pool->sender_cnt -= s->tx_cnt == 0;
}

/* ---- the interface ---- */

coh_pool_t *coh_pool_new(coh_pool_limits_t const *limits)
{
    COH_ASSERT(limits->tx_max > 0 && limits->tx_max < NO_SENDER / 4 && limits->sender_tx_max > 0);
    coh_pool_t *pool = coh_calloc(1, sizeof(*pool));
    pool->limits     = *limits;
    /* Nothing that anyone can observe depends on this key: a simulation stays reproducible. */
    COH_ASSERT(getentropy(pool->key, sizeof(pool->key)) == 0);
    pool->authorities    = coh_auth_counts(pool->key);
    pool->ready_since_us = UINT64_MAX;
    pool->record_max     = (uint32_t)(2 * limits->tx_max);
    pool->record_free    = NO_SENDER;
    pool->hash_mask      = table_cap(limits->tx_max) - 1;
    pool->hashes         = region_new((pool->hash_mask + 1) * sizeof(*pool->hashes));
    pool->addr_mask      = table_cap(pool->record_max) - 1;
    pool->addrs          = region_new((pool->addr_mask + 1) * sizeof(*pool->addrs));
    pool->chunks         = coh_calloc(pool->record_max / SENDER_CHUNK_CNT + 1, sizeof(sender_t *));
    return pool;
}

void coh_pool_free(coh_pool_t *pool)
{
    if (pool == NULL) {
        return;
    }
    for (uint32_t idx = 0; idx < pool->record_cnt; idx++) {
        sender_t *s = sender_at(pool, idx);
        for (uint32_t i = 0; i < s->tx_cnt; i++) {
            entry_free(pool, ref_at(s, i)->e);
        }
        if (s->refs != s->inline_refs) {
            free(s->refs);
        }
    }
    for (size_t i = 0; i < pool->record_max / SENDER_CHUNK_CNT + 1; i++) {
        free(pool->chunks[i]);
    }
    for (size_t i = 0; i < pool->slab_cnt; i++) {
        free(pool->slabs[i]);
    }
    free(pool->chunks);
    free(pool->slabs);
    free(pool->spares);
    coh_auth_counts_fini(&pool->authorities);
    free(pool->hashes);
    free(pool->addrs);
    free(pool->line);
    free(pool->heap);
    free(pool->aside);
    free(pool);
}

void coh_pool_prefetch(coh_pool_t *pool, coh_hash_t const *hash, coh_addr_t const *sender)
{
    size_t at = addr_fp(pool, sender) & pool->addr_mask;
    __builtin_prefetch(&pool->hashes[hash_fp(pool, hash) & pool->hash_mask]);
    __builtin_prefetch(&pool->addrs[at]);
    /* The slot named some calls ago is here by now, and most likely leads to that sender's record.
       Not comparing addresses: that would wait for what is being fetched. */
    size_t *named     = &pool->fetching[pool->fetch_no++ % FETCH_STAGE];
    uint32_t sender_1 = pool->addrs[*named].sender;
    if (sender_1 != 0) {
        fetch_sender(sender_at(pool, sender_1 - 1));
    }
    *named = at;
}

bool coh_pool_knows_account(coh_pool_t const *pool, coh_addr_t const *addr)
{
    uint32_t idx = sender_find(pool, addr);
    return idx != NO_SENDER && !sender_at(pool, idx)->doubtful;
}

void coh_pool_set_account(coh_pool_t *pool,
                          coh_addr_t const *addr,
                          uint64_t nonce,
                          coh_u256_t const *balance,
                          bool has_code,
                          uint64_t block)
{
    COH_ASSERT(!pool->taking);
    uint32_t idx = sender_find(pool, addr);
    if (idx == NO_SENDER) {
        idx = sender_insert(pool, addr);
    }
    sender_t *s = sender_at(pool, idx);
    s->recent   = true;
    s->doubtful = false;
    if (block >= s->balance_block) {
        s->balance       = *balance;
        s->has_code      = has_code;
        s->balance_block = block;
    }
    if (nonce > s->nonce) {
        s->nonce = nonce;
        sender_changed(pool, idx, s, s->ready_cnt);
    }
}

bool coh_pool_may_lag(coh_pool_t const *pool,
                      coh_addr_t const *addr,
                      uint64_t nonce,
                      uint64_t now_block)
{
    uint32_t idx = sender_find(pool, addr);
    if (idx == NO_SENDER) {
        return true;
    }
    sender_t const *s = sender_at(pool, idx);
    return s->doubtful ||
           (nonce > s->nonce && s->live_cnt + s->ready_cnt == 0 && s->balance_block < now_block);
}

bool coh_pool_doubt(coh_pool_t *pool, coh_addr_t const *addr)
{
    uint32_t idx = sender_find(pool, addr);
    if (idx == NO_SENDER) {
        return false;
    }
    sender_t *s = sender_at(pool, idx);
    s->doubtful = true;
    return s->tx_cnt != 0;
}

/* Whether fee is at least a part-th above old (and above it at all). */
static bool is_bump(coh_u256_t const *fee, coh_u256_t const *old, uint64_t part)
{
    coh_u256_t least;
    bool rest      = coh_u256_divmod_u64(&least, old, part) != 0;
    coh_u256_t one = coh_u256(rest || coh_u256_is_zero(&least) ? 1 : 0);
    coh_u256_add(&least, &least, &one);
    return !coh_u256_add(&least, &least, old) && !coh_u256_lt(fee, &least);
}

/* Whether tx offers so much more than old, at the same nonce, that it replaces it. */
static bool outbids(coh_tx_t const *tx, coh_tx_t const *old)
{
    bool blobs    = tx->blob_cnt != 0 || old->blob_cnt != 0;
    uint64_t part = blobs ? BLOB_BUMP_PART : BUMP_PART;
    return is_bump(&tx->max_fee, &old->max_fee, part) &&
           is_bump(&tx->max_tip, &old->max_tip, part) &&
           (tx->blob_cnt == 0 || old->blob_cnt == 0 ||
            is_bump(&tx->max_fee_per_blob_gas, &old->max_fee_per_blob_gas, part));
}

/* The nonce behind a sender's transactions that are taken or in line. */
static uint64_t next_nonce(sender_t const *s)
{
    uint32_t in_line = s->live_cnt + s->ready_cnt;
    return in_line > 0 ? COH_MAX(s->nonce, ref_at(s, in_line - 1)->nonce + 1) : s->nonce;
}

/* The rule for delegated accounts, of a transaction that replaces none. */
static coh_tx_err_t check_delegated(coh_pool_t const *pool, sender_t const *s, coh_tx_t const *tx)
{
    if (!s->has_code && !coh_auth_counts_any(&pool->authorities, &s->addr, s->nonce)) {
        return COH_TX_OK;
    }
    size_t max       = pool->limits.delegated_tx_max;
    uint32_t in_line = s->live_cnt + s->ready_cnt;
    if (tx->nonce == next_nonce(s) && in_line < max) {
        return COH_TX_OK; /* what it had waiting behind this one before it was delegated does not keep it out */
    }
    if (s->tx_cnt >= max) {
        return COH_TX_DELEGATED_LIMIT;
    }
    bool may_wait = max > 1; /* and leaves room for what comes before it */
    return may_wait ? COH_TX_OK : COH_TX_DELEGATED_GAP;
}

/* Likewise, of those whose authorizations it has. */
static coh_tx_err_t check_authorities(coh_pool_t const *pool, coh_tx_t const *tx)
{
    coh_rlp_t list = coh_tx_auth_iter(tx);
    uint32_t i     = 0;
    coh_addr_t authority;
    uint64_t nonce;
    while (next_authority(tx, &list, &i, &authority, &nonce)) {
        uint32_t idx      = sender_find(pool, &authority);
        sender_t const *s = idx != NO_SENDER ? sender_at(pool, idx) : NULL;
        if (s != NULL && s->tx_cnt > pool->limits.delegated_tx_max && nonce >= s->nonce) {
            return COH_TX_AUTH_RESERVED;
        }
    }
    return COH_TX_OK;
}

coh_tx_err_t coh_pool_add(coh_pool_t *pool,
                          coh_tx_t const *tx,
                          coh_hash_t const *hash,
                          coh_addr_t const *sender,
                          coh_fork_t fork,
                          uint64_t arrival_us,
                          uint64_t now_block,
                          bool *stale)
{
    COH_ASSERT(!pool->taking);
    *stale = false;
    if (hash_find(pool, hash) != NULL) {
        return COH_TX_KNOWN;
    }
    uint32_t idx = sender_find(pool, sender);
    if (idx == NO_SENDER) {
        return COH_TX_BUSY;
    }
    sender_t *s = sender_at(pool, idx);
    s->recent   = true;
    if (tx->nonce < s->nonce) {
        return COH_TX_NONCE_TOO_LOW;
    }
    coh_u256_t upfront;
    if (coh_tx_upfront(&upfront, tx)) {
        return COH_TX_FEE_OVERFLOW;
    }
    uint32_t i   = ref_lower_bound(s, tx->nonce);
    entry_t *old = i < s->tx_cnt && ref_at(s, i)->nonce == tx->nonce ? ref_at(s, i)->e : NULL;
    if (old != NULL && (old->state == STATE_TAKEN || !outbids(tx, &old->pub.tx))) {
        return COH_TX_UNDERPRICED;
    }
    coh_tx_err_t err = COH_TX_OK;
    if (pool->limits.delegated_tx_max != 0) {
        err = old == NULL ? check_delegated(pool, s, tx) : COH_TX_OK;
        err = err == COH_TX_OK && tx->type == COH_TX_SET_CODE ? check_authorities(pool, tx) : err;
    }
    if (err != COH_TX_OK) {
        return err;
    }
    if (old == NULL && s->tx_cnt >= pool->limits.sender_tx_max) {
        return COH_TX_SENDER_LIMIT;
    }
    if (old == NULL && pool->tx_cnt >= pool->limits.tx_max) {
        return COH_TX_POOL_FULL;
    }
    if (!can_afford(s, i, &upfront)) {
        *stale = s->balance_block < now_block;
        return COH_TX_FUNDS;
    }

    entry_t *e            = entry_new(pool, tx);
    e->pub.tx             = *tx;
    e->pub.tx.raw         = coh_bytes(e->raw, tx->raw.n);
    e->pub.tx.data        = rebase(tx->data, tx->raw, e->raw);
    e->pub.tx.access_list = rebase(tx->access_list, tx->raw, e->raw);
    e->pub.tx.blob_hashes = rebase(tx->blob_hashes, tx->raw, e->raw);
    e->pub.tx.auth_list   = rebase(tx->auth_list, tx->raw, e->raw);
    e->pub.tx.authorities = coh_bytes(e->raw + tx->raw.n, tx->authorities.n);
    e->pub.hash           = *hash;
    e->pub.sender         = *sender;
    e->pub.sender_bucket  = s->bucket;
    e->pub.upfront        = upfront;
    e->pub.fork           = fork;
    e->pub.arrival_us     = arrival_us;
    e->pub.priv           = e;
    e->arrival_no         = old != NULL ? old->arrival_no : ++pool->arrival_no;
    e->sender             = idx;
    e->state              = STATE_POOLED;

    uint32_t ready_before = s->ready_cnt;
    if (old != NULL) {
        hash_remove(pool, old);
        upfront_sub(s, &old->pub.upfront);
        ref_at(s, i)->e = e;
    } else {
        ref_insert(s, i, e);
        pool->tx_cnt++;
        pool->sender_cnt += s->tx_cnt == 1;
    }
    upfront_add(s, &upfront);
    hash_insert(pool, e);
    if (tx->type == COH_TX_SET_CODE) {
        count_authorities(pool, &e->pub.tx, true);
    }
    sender_changed(pool, idx, s, ready_before);
    if (old != NULL) {
        entry_free(pool, old); /* after its turn, which names it, is renewed */
    }
    return COH_TX_OK;
}

bool coh_pool_has(coh_pool_t const *pool, coh_hash_t const *hash)
{
    return hash_find(pool, hash) != NULL;
}

coh_pool_tx_t const *coh_pool_find(coh_pool_t const *pool, coh_hash_t const *hash)
{
    entry_t const *e = hash_find(pool, hash);
    return e != NULL ? &e->pub : NULL;
}

bool coh_pool_account(coh_pool_t const *pool,
                      coh_addr_t const *addr,
                      uint64_t *nonce,
                      uint64_t *next,
                      coh_u256_t *balance)
{
    uint32_t idx = sender_find(pool, addr);
    if (idx == NO_SENDER) {
        return false;
    }
    sender_t const *s = sender_at(pool, idx);
    *nonce            = s->nonce;
    *next             = next_nonce(s);
    *balance          = s->balance;
    return true;
}

/* False: visit has seen enough. */
static bool visit_sender(sender_t const *s, coh_pool_visit_t *visit, void *arg)
{
    for (uint32_t i = 0; i < s->tx_cnt; i++) {
        if (!visit(arg, &ref_at(s, i)->e->pub, i < s->live_cnt + s->ready_cnt)) {
            return false;
        }
    }
    return true;
}

void coh_pool_visit(coh_pool_t const *pool,
                    coh_addr_t const *addr,
                    coh_pool_visit_t *visit,
                    void *arg)
{
    if (addr != NULL) {
        uint32_t idx = sender_find(pool, addr);
        if (idx != NO_SENDER) {
            (void)visit_sender(sender_at(pool, idx), visit, arg);
        }
        return;
    }
    for (uint32_t idx = 0; idx < pool->record_cnt; idx++) {
        sender_t const *s = sender_at(pool, idx);
        if (s->in_use && !visit_sender(s, visit, arg)) {
            return;
        }
    }
}

size_t coh_pool_ready_cnt(coh_pool_t const *pool) { return pool->ready_cnt; }

size_t coh_pool_tx_cnt(coh_pool_t const *pool) { return pool->tx_cnt; }

size_t coh_pool_sender_cnt(coh_pool_t const *pool) { return pool->sender_cnt; }

uint64_t coh_pool_turn_no(coh_pool_t const *pool) { return pool->turn_no; }

uint64_t coh_pool_oldest_ready_us(coh_pool_t const *pool) { return pool->ready_since_us; }

void coh_pool_take_begin(coh_pool_t *pool, coh_u256_t const *base_fee, coh_u256_t const *blob_fee)
{
    COH_ASSERT(!pool->taking && pool->aside_cnt == 0);
    pool->taking     = true;
    pool->base_fee   = *base_fee;
    pool->blob_fee   = *blob_fee;
    pool->blobs_wait = false;
}

bool coh_pool_blobs_wait(coh_pool_t const *pool) { return pool->blobs_wait; }

/* Has the sender's turn computed anew at take_end. */
static void set_aside(coh_pool_t *pool, uint32_t idx, sender_t *s)
{
    if (s->aside) {
        return;
    }
    s->aside = true;
    if (pool->aside_cnt == pool->aside_cap) {
        pool->aside_cap = pool->aside_cap == 0 ? 256 : 2 * pool->aside_cap;
        pool->aside     = coh_realloc(pool->aside, pool->aside_cap * sizeof(*pool->aside));
    }
    pool->aside[pool->aside_cnt++] = idx;
}

coh_pool_tx_t *coh_pool_take(coh_pool_t *pool)
{
    COH_ASSERT(pool->taking);
    turn_t turn;
    while (turn_pop(pool, &turn)) {
        sender_t *s = sender_at(pool, turn.sender);
        COH_ASSERT(s->ready_cnt > 0);
        entry_t *e = ref_at(s, s->live_cnt)->e;
        if (coh_u256_lt(&e->pub.tx.max_fee, &pool->base_fee)) {
            set_aside(pool, turn.sender, s);
            continue;
        }
        if (COH_UNLIKELY(e->pub.tx.type == COH_TX_BLOB) &&
            coh_u256_lt(&e->pub.tx.max_fee_per_blob_gas, &pool->blob_fee)) {
            pool->blobs_wait = true;
            set_aside(pool, turn.sender, s);
            continue;
        }
        if (pool->limits.order == COH_POOL_TIP) {
            /* The turn was queued for max_tip, which its tip at this base fee may fall short of,
               but never exceeds: queue it for what it really pays, until it comes first even so. */
            uint64_t tip = tip_effective(&e->pub.tx, &pool->base_fee);
            if (tip < ~turn.tip_inverse) {
                set_aside(pool, turn.sender, s);
                turn_push(pool, turn.sender, s, e, tip);
                continue;
            }
        }
        e->state              = STATE_TAKEN;
        uint32_t ready_before = s->ready_cnt--;
        s->live_cnt++;
        sender_changed(pool, turn.sender, s, ready_before);
        return &e->pub;
    }
    return NULL;
}

void coh_pool_take_end(coh_pool_t *pool)
{
    COH_ASSERT(pool->taking);
    pool->taking = false;
    for (size_t k = 0; k < pool->aside_cnt; k++) {
        uint32_t idx = pool->aside[k];
        sender_t *s  = sender_at(pool, idx);
        s->aside     = false;
        turn_withdraw(pool, s);
        sender_changed(pool, idx, s, s->ready_cnt);
    }
    pool->aside_cnt = 0;
}

static void give_back(coh_pool_t *pool, entry_t *e)
{
    COH_ASSERT(e->state == STATE_TAKEN);
    sender_t *s           = sender_at(pool, e->sender);
    uint32_t i            = ref_find(s, e);
    uint32_t ready_before = s->ready_cnt;
    e->state              = STATE_POOLED;
    if (i + 1 == s->live_cnt) {
        s->live_cnt--; /* right in front of what is ready */
        s->ready_cnt++;
    } else if (i < s->live_cnt) {
        s->live_cnt  = i; /* those above are orphans now */
        s->ready_cnt = 1;
    }
    sender_changed(pool, e->sender, s, ready_before);
}

void coh_pool_untake(coh_pool_t *pool, coh_pool_tx_t *tx)
{
    COH_ASSERT(pool->taking);
    give_back(pool, tx->priv);
}

void coh_pool_pass(coh_pool_t *pool, coh_pool_tx_t *tx)
{
    COH_ASSERT(pool->taking);
    uint32_t idx = tx->priv->sender;
    sender_t *s  = sender_at(pool, idx);
    give_back(pool, tx->priv);
    turn_withdraw(pool, s);
    set_aside(pool, idx, s);
}

void coh_pool_returned(coh_pool_t *pool, coh_pool_tx_t *tx)
{
    COH_ASSERT(!pool->taking);
    give_back(pool, tx->priv);
}

void coh_pool_committed(coh_pool_t *pool, coh_pool_tx_t *tx, coh_u256_t const *spent)
{
    COH_ASSERT(!pool->taking);
    entry_t *e = tx->priv;
    COH_ASSERT(e->state == STATE_TAKEN);
    uint32_t idx          = e->sender;
    sender_t *s           = sender_at(pool, idx);
    uint32_t i            = ref_find(s, e);
    uint32_t ready_before = s->ready_cnt;
    s->nonce              = COH_MAX(s->nonce, tx->tx.nonce + 1);
    s->recent             = true;
    if (coh_u256_sub(&s->balance, &s->balance, spent)) {
        s->balance = COH_U256_ZERO; /* it was credited since it was last known */
    }
    if (i < s->live_cnt) {
        s->live_cnt--;
    }
    sender_forget(pool, s, i);
    sender_changed(pool, idx, s, ready_before);
}

void coh_pool_dropped(coh_pool_t *pool, coh_pool_tx_t *tx)
{
    entry_t *e = tx->priv;
    COH_ASSERT(e->state == STATE_TAKEN);
    uint32_t idx          = e->sender;
    sender_t *s           = sender_at(pool, idx);
    uint32_t i            = ref_find(s, e);
    uint32_t ready_before = s->ready_cnt;
    if (i < s->live_cnt) {
        if (tx->tx.nonce < s->nonce) {
            s->live_cnt--; /* nothing rested on it */
        } else {
            s->live_cnt  = i;
            s->ready_cnt = 0;
        }
    }
    s->doubtful = true;
    sender_forget(pool, s, i);
    sender_changed(pool, idx, s, ready_before);
}
