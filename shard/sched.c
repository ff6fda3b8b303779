#include "shard/sched.h"

#include <sched.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/hook.h"
#include "shard/sched_private.h"

enum { TX_READY, TX_RUNNING, TX_RETRACTED, TX_DONE };
/* With T workers a block goes on in order when one transaction in ORDER_SHARE / T has run again in spite of hints, and at least ORDER_MIN: then more workers do not
   help, and who waits for whom is not told by what they have in common. */
#define ORDER_SHARE 8u
#define ORDER_MIN   32u
/* It also does when hints put so many in a row behind the one before each: that is the same at less cost. */
#define ORDER_ROW 32u
/* Of so many that ran in order at least this many must read what the one before them wrote: else others could have run beside them. The next block begins in order then; one
   that began so, or because of a row, goes on as others do otherwise. */
#define ORDER_WINDOW    64u
#define ORDER_FOLLOWERS 48u
/* The guard goes up when one transaction in so many has run again, and at least GUARD_MIN. */
#define GUARD_SHARE 32u
#define GUARD_MIN   2u
/* From this incarnation on a transaction goes in order: it waits for all below it. What it read before has been fetched by then. */
#define ORDER_INCARNATION 2u
/* Steps down to find a retraction that is on its way: a worker that loses its core in the middle of a transaction lets the others get so far ahead. */
#define WAVE_MAX 1024u

/* Of those of which something was expected, and which ran once, one in so many is learned from. */
#define KNOWN_SHARE 4u

/* Positions that a held transaction keeps. */
#define BEFORES_KEPT 4u

enum { CHAIN_QUEUED, CHAIN_RUNNING, CHAIN_PARKED, CHAIN_IDLE };

typedef struct {
    uint32_t chain;
    uint32_t next; /* in the chain; COH_SCHED_NONE at its end */
    uint32_t incarnation;
    _Atomic uint8_t
        state;    /* written under the chain's lock; others look whether it is DONE (hold) */
    bool is_held; /* hold_lock: in another's list */
    /* relaxed, both: of use to hints only */
    _Atomic uint32_t before;      /* whom it was expected to come after when it started */
    _Atomic uint32_t clean_epoch; /* of the retractions, when those before it were all DONE */
    /* Under the chain's lock: whom hints told it to wait for when it was held, to look no further than these when it is woken; 0: nobody, or too many. */
    uint32_t befores[BEFORES_KEPT];
    uint32_t before_cnt;
    uint32_t held_first; /* hold_lock: those that wait for this one */
    uint32_t held_next;  /* hold_lock: in the list of the one that this waits for */
} tx_t;

typedef struct {
    coh_spin_t lock;
    uint8_t state;
    bool woken; /* RUNNING: a wake came before the park that it belongs to */
    uint32_t first, last;
    uint32_t cursor; /* no READY transaction stands before it in the chain */
    uint32_t limit;  /* positions below it are handed out */
} chain_t;

/* A chain that is to run again, and the position that it had come to when it was queued: what was retracted since may lie before it. */
typedef struct {
    uint32_t pos;
    uint32_t chain;
} again_t;

struct coh_sched {
    /* Read all the time, written when a block begins, or seldom. */
    coh_sched_ops_t const *ops;
    coh_hints_t *hints; /* NULL: it takes none */
    tx_t *txs;
    chain_t *chains;
    uint32_t tx_cnt, tx_cap;
    uint32_t chain_cnt, chain_cap;
    again_t *
        again; /* a heap of chains to run again, the lowest position on top; each is QUEUED, so at most once in it */
    uint32_t worker_cnt;
    uint32_t guarded_tx_cnt; /* of the last block */
    _Atomic bool
        is_in_order; /* each waits for the position before it, and one worker runs them; relaxed, as is_guarded */
    _Atomic bool
        is_guarded; /* hints count; relaxed: who sees it late holds one transaction later */
    _Atomic bool open;

    /* Written for each transaction, by any worker: a cache line each. */
    COH_ALIGNED(COH_CACHE_LINE)
    _Atomic uint32_t fresh; /* positions below it have been handed out */
    COH_ALIGNED(COH_CACHE_LINE) _Atomic uint32_t done_cnt;
    COH_ALIGNED(COH_CACHE_LINE) _Atomic uint32_t inside;

    /* Written where transactions run again or are held. */
    COH_ALIGNED(COH_CACHE_LINE) coh_spin_t again_lock; /* of the heap */
    _Atomic uint32_t again_cnt;
    COH_ALIGNED(COH_CACHE_LINE)
    coh_spin_t hold_lock;        /* of the lists of those that wait for another */
    _Atomic uint32_t held_cnt;   /* in these lists */
    _Atomic uint32_t held_block; /* times in this block */
    _Atomic uint32_t retried;    /* transactions of this block that ran again, counted each time */
    _Atomic bool is_kept;        /* in order to the end of the block, since so many ran again */
    _Atomic bool has_lapsed;     /* so it would not be in order any more but for that */
    _Atomic uint32_t row;     /* that hints put behind the one before, without another in between */
    _Atomic uint32_t ordered; /* that ran in order */
    _Atomic uint32_t
        followers; /* of the last ORDER_WINDOW of them: that read what the one before had written */
    _Atomic uint64_t held_sum; /* since take_held */
    _Atomic uint32_t
        done_end; /* those below were DONE; relaxed, and falls behind: a place to look from */
    _Atomic uint32_t retract_epoch; /* counts transactions that were DONE and are to run again */
};

static coh_sched_ops_t const *const kinds[COH_SCHED_KIND_CNT] = {
    [COH_SCHED_SEQUENTIAL] = &coh_sched_sequential,
    [COH_SCHED_LOCKING]    = &coh_sched_locking,
    [COH_SCHED_OPTIMISTIC] = &coh_sched_optimistic,
};

char const *coh_sched_kind_str(coh_sched_kind_t kind) { return kinds[kind]->name; }

coh_err_t coh_sched_kind_parse(coh_sched_kind_t *out, char const *text)
{
    for (int kind = 0; kind < COH_SCHED_KIND_CNT; kind++) {
        if (strcmp(text, kinds[kind]->name) == 0) {
            *out = (coh_sched_kind_t)kind;
            return COH_OK;
        }
    }
    return COH_ENOTFOUND;
}

coh_sched_t *coh_sched_new(coh_sched_kind_t kind, uint32_t worker_cnt)
{
    coh_sched_t *s = aligned_alloc(COH_CACHE_LINE, sizeof(*s));
    COH_ASSERT(s != NULL);
    memset(s, 0, sizeof(*s));
    s->ops        = kinds[kind];
    s->worker_cnt = worker_cnt;
    s->hints      = s->ops->proof_min != 0 ? coh_hints_new(s->ops->proof_min) : NULL;
    s->again_lock = COH_SPIN_INIT;
    s->hold_lock  = COH_SPIN_INIT;
    return s;
}

void coh_sched_free(coh_sched_t *s)
{
    if (s != NULL) {
        coh_hints_free(s->hints);
        free(s->txs);
        free(s->chains);
        free(s->again);
        free(s);
    }
}

static void push_again(coh_sched_t *s, uint32_t chain, uint32_t pos)
{
    coh_spin_lock(&s->again_lock);
    uint32_t cnt = atomic_load_explicit(&s->again_cnt, memory_order_relaxed);
    COH_ASSERT(cnt < s->chain_cnt);
    uint32_t at = cnt;
    while (at != 0 && pos < s->again[(at - 1) / 2].pos) {
        s->again[at] = s->again[(at - 1) / 2];
        at           = (at - 1) / 2;
    }
    s->again[at] = (again_t){.pos = pos, .chain = chain};
    atomic_store_explicit(&s->again_cnt, cnt + 1, memory_order_release);
    coh_spin_unlock(&s->again_lock);
}

static void reserve(coh_sched_t *s, uint32_t tx_cnt, uint32_t chain_cnt)
{
    if (tx_cnt > s->tx_cap) {
        s->tx_cap = tx_cnt;
        s->txs    = coh_realloc(s->txs, tx_cnt * sizeof(*s->txs));
    }
    if (chain_cnt > s->chain_cap) {
        s->chain_cap = chain_cnt;
        s->chains    = coh_realloc(s->chains, chain_cnt * sizeof(*s->chains));
        s->again     = coh_realloc(s->again, chain_cnt * sizeof(*s->again));
    }
    s->tx_cnt    = tx_cnt;
    s->chain_cnt = chain_cnt;
}

static void append(coh_sched_t *s, uint32_t chain_id, uint32_t pos)
{
    COH_ASSERT(chain_id < s->chain_cnt);
    chain_t *chain = &s->chains[chain_id];
    s->txs[pos]    = (tx_t){.chain      = chain_id,
                            .next       = COH_SCHED_NONE,
                            .state      = TX_READY,
                            .held_first = COH_SCHED_NONE,
                            .held_next  = COH_SCHED_NONE,
                            .before     = COH_SCHED_NONE};
    if (chain->first == COH_SCHED_NONE) {
        chain->first  = pos;
        chain->cursor = pos;
    } else {
        s->txs[chain->last].next = pos;
    }
    chain->last = pos;
}

/* The guard stays up from block to block while it holds one transaction in GUARD_SHARE: else nobody is in anybody's way any more, or they come in order anyhow. */
static void begin_guard(coh_sched_t *s, uint32_t tx_cnt)
{
    bool is_in_order = atomic_load(&s->is_in_order) && !atomic_load(&s->has_lapsed);
    bool useful      = is_in_order || (atomic_load(&s->is_guarded) &&
                                  atomic_load(&s->held_block) >= s->guarded_tx_cnt / GUARD_SHARE);
    atomic_store(&s->is_in_order, is_in_order);
    atomic_store(&s->has_lapsed, false);
    atomic_store(&s->is_guarded, useful || s->ops->is_guarded);
    atomic_store(&s->held_block, 0);
    atomic_store(&s->retried, 0);
    atomic_store(&s->is_kept, false);
    atomic_store(&s->row, 0);
    atomic_store(&s->ordered, 0);
    atomic_store(&s->followers, 0);
    atomic_store(&s->retract_epoch, 1);
    s->guarded_tx_cnt = tx_cnt;
}

void coh_sched_begin(coh_sched_t *s,
                     uint32_t const *chain_of,
                     uint32_t tx_cnt,
                     uint32_t chain_cnt,
                     coh_sched_traits_fn *traits,
                     void *arg)
{
    COH_ASSERT(!atomic_load(&s->open));
    bool one_chain = s->ops->one_chain && tx_cnt != 0;
    reserve(s, tx_cnt, one_chain ? 1 : chain_cnt);
    for (uint32_t c = 0; c < s->chain_cnt; c++) {
        s->chains[c] = (chain_t){.lock   = COH_SPIN_INIT,
                                 .state  = CHAIN_IDLE,
                                 .first  = COH_SCHED_NONE,
                                 .cursor = COH_SCHED_NONE};
    }
    for (uint32_t pos = 0; pos < tx_cnt; pos++) {
        append(s, one_chain ? 0 : chain_of[pos], pos);
    }
    atomic_store(&s->again_cnt, 0);
    atomic_store(&s->fresh, 0);
    atomic_store(&s->done_cnt, 0);
    atomic_store(&s->done_end, 0);
    atomic_store(&s->held_cnt, 0);
    if (one_chain) { /* all at once, to one worker */
        s->chains[0].limit = tx_cnt;
        s->chains[0].state = CHAIN_QUEUED;
        atomic_store(&s->fresh, tx_cnt);
        push_again(s, 0, 0);
    }
    if (s->hints != NULL) {
        begin_guard(s, tx_cnt);
        coh_hints_begin(s->hints, tx_cnt, traits, arg);
    }
    /* seq_cst, as enter and close: a worker that saw open also sees all of the above, and close sees that worker inside */
    atomic_store(&s->open, true);
}

bool coh_sched_enter(coh_sched_t *s)
{
    atomic_fetch_add(&s->inside, 1);
    if (atomic_load(&s->open)) {
        return true;
    }
    atomic_fetch_sub(&s->inside, 1);
    return false;
}

void coh_sched_leave(coh_sched_t *s) { atomic_fetch_sub(&s->inside, 1); }

void coh_sched_close(coh_sched_t *s)
{
    atomic_store(&s->open, false);
    while (atomic_load(&s->inside) != 0) {
        (void)sched_yield();
    }
}

/* Takes the top of the heap of cnt chains. */
static uint32_t take_lowest(again_t *heap, uint32_t cnt)
{
    uint32_t chain = heap[0].chain;
    again_t last   = heap[cnt - 1];
    uint32_t at    = 0;
    for (uint32_t child = 1; child < cnt - 1; child = 2 * at + 1) {
        if (child + 1 < cnt - 1 && heap[child + 1].pos < heap[child].pos) {
            child++;
        }
        if (last.pos <= heap[child].pos) {
            break;
        }
        heap[at] = heap[child];
        at       = child;
    }
    heap[at] = last;
    return chain;
}

/* The lowest first: what it has to write the others may be about to read. */
static uint32_t pop_again(coh_sched_t *s)
{
    /* relaxed: a hint; the truth is read under the lock */
    if (atomic_load_explicit(&s->again_cnt, memory_order_relaxed) == 0) {
        return COH_SCHED_NONE;
    }
    uint32_t chain = COH_SCHED_NONE;
    coh_spin_lock(&s->again_lock);
    uint32_t cnt = atomic_load_explicit(&s->again_cnt, memory_order_relaxed);
    if (cnt != 0) {
        chain = take_lowest(s->again, cnt);
        atomic_store_explicit(&s->again_cnt, cnt - 1, memory_order_relaxed);
    }
    coh_spin_unlock(&s->again_lock);
    return chain;
}

static bool is_done(coh_sched_t const *s, uint32_t pos)
{
    return atomic_load(&s->txs[pos].state) == TX_DONE;
}

/* Whether the next position would have to wait for the one before it anyhow, whose worker comes for it then. */
static bool is_someone_elses(coh_sched_t *s)
{
    uint32_t pos = atomic_load_explicit(&s->fresh, memory_order_relaxed);
    return atomic_load_explicit(&s->is_in_order, memory_order_relaxed) && pos != 0 &&
           pos < s->tx_cnt && !is_done(s, pos - 1);
}

/* Takes the next position nobody was given yet: its chain, if that is not at work already; else it will come to it. */
static uint32_t pop_fresh(coh_sched_t *s)
{
    if (is_someone_elses(s)) {
        return COH_SCHED_NONE;
    }
    while (atomic_load_explicit(&s->fresh, memory_order_relaxed) < s->tx_cnt) {
        uint32_t pos = atomic_fetch_add_explicit(&s->fresh, 1, memory_order_relaxed);
        if (pos >= s->tx_cnt) {
            break;
        }
        uint32_t id    = s->txs[pos].chain;
        chain_t *chain = &s->chains[id];
        coh_spin_lock(&chain->lock);
        chain->limit = COH_MAX(chain->limit, pos + 1);
        bool idle    = chain->state == CHAIN_IDLE;
        if (idle) {
            chain->state = CHAIN_RUNNING;
            chain->woken = false;
        }
        coh_spin_unlock(&chain->lock);
        if (idle) {
            return id;
        }
    }
    return COH_SCHED_NONE;
}

uint32_t coh_sched_pop(coh_sched_t *s, bool may_begin)
{
    uint32_t id = pop_again(s);
    if (id == COH_SCHED_NONE) {
        return may_begin ? pop_fresh(s) : COH_SCHED_NONE;
    }
    chain_t *chain = &s->chains[id];
    coh_spin_lock(&chain->lock);
    COH_ASSERT(chain->state == CHAIN_QUEUED);
    chain->state = CHAIN_RUNNING;
    chain->woken = false;
    coh_spin_unlock(&chain->lock);
    return id;
}

/* ---- who waits for whom by a hint ---- */

/* Puts pos into the list of dep. False: dep is DONE. The counter is raised before dep's state is looked at, and finish sets the state before it
   looks at the counter (both seq_cst): one of them sees the other. */
static bool hold(coh_sched_t *s, uint32_t pos, uint32_t dep)
{
    tx_t *tx = &s->txs[pos];
    coh_spin_lock(&s->hold_lock);
    bool held = tx->is_held; /* already, by whomever: that one will wake it */
    if (!held) {
        atomic_fetch_add(&s->held_cnt, 1);
        held = !is_done(s, dep);
        if (held) {
            tx->is_held            = true;
            tx->held_next          = s->txs[dep].held_first;
            s->txs[dep].held_first = pos;
        } else {
            atomic_fetch_sub(&s->held_cnt, 1);
        }
    }
    coh_spin_unlock(&s->hold_lock);
    return held;
}

/* Takes a parked chain for the calling worker. */
static bool claim(coh_sched_t *s, uint32_t chain_id)
{
    chain_t *chain = &s->chains[chain_id];
    coh_spin_lock(&chain->lock);
    bool mine = chain->state == CHAIN_PARKED;
    if (mine) {
        chain->state = CHAIN_RUNNING;
        chain->woken = false;
    }
    coh_spin_unlock(&chain->lock);
    return mine;
}

/* Lets go of those that wait for pos: the first goes to the calling worker, if *next has room, the others are woken. Returns how many were woken. */
static uint32_t release(coh_sched_t *s, uint32_t pos, uint32_t *next)
{
    if (atomic_load(&s->held_cnt) == 0) {
        return 0;
    }
    coh_spin_lock(&s->hold_lock);
    uint32_t first         = s->txs[pos].held_first;
    s->txs[pos].held_first = COH_SCHED_NONE;
    coh_spin_unlock(&s->hold_lock);
    uint32_t cnt = 0;
    while (first != COH_SCHED_NONE) {
        tx_t *tx       = &s->txs[first];
        uint32_t chain = tx->chain;
        coh_spin_lock(&s->hold_lock);
        first         = tx->held_next;
        tx->held_next = COH_SCHED_NONE;
        tx->is_held   = false;
        coh_spin_unlock(&s->hold_lock);
        atomic_fetch_sub(&s->held_cnt, 1);
        if (*next == COH_SCHED_NONE && claim(s, chain)) {
            *next = chain;
        } else {
            coh_sched_wake(s, chain);
            cnt++;
        }
    }
    return cnt;
}

/* Of pos and those that it came after, the next one that is not DONE, or COH_SCHED_NONE. A retraction of one of them will come down to pos, retracting one after the
   other; who starts upon what pos wrote meanwhile runs ahead of that wave, and all run twice to the end of the block. */
static uint32_t find_unclean(coh_sched_t *s, uint32_t pos)
{
    uint32_t epoch = atomic_load_explicit(&s->retract_epoch, memory_order_relaxed);
    uint32_t at    = pos;
    for (uint32_t step = 0; step < WAVE_MAX; step++) {
        tx_t *tx = &s->txs[at];
        if (!is_done(s, at)) {
            return at;
        }
        if (atomic_load_explicit(&tx->clean_epoch, memory_order_relaxed) == epoch) {
            break;
        }
        if (atomic_load_explicit(&s->is_in_order, memory_order_relaxed)) {
            at = at != 0 ? at - 1 : COH_SCHED_NONE;
        } else {
            at = atomic_load_explicit(&tx->before, memory_order_relaxed);
        }
        if (at == COH_SCHED_NONE) {
            break;
        }
    }
    atomic_store_explicit(&s->txs[pos].clean_epoch, epoch, memory_order_relaxed);
    return COH_SCHED_NONE;
}

/* Whom pos has to come after. */
static uint32_t find_before(coh_sched_t *s, uint32_t pos, uint32_t out[COH_HINTS_BEFORE_MAX])
{
    if (!atomic_load_explicit(&s->is_in_order, memory_order_relaxed)) {
        return coh_hints_before(s->hints, pos, out);
    }
    out[0] = pos - 1;
    return pos != 0;
}

/* The highest below pos that is not DONE, or COH_SCHED_NONE. */
static uint32_t find_undone(coh_sched_t *s, uint32_t pos)
{
    uint32_t end = atomic_load_explicit(&s->done_end, memory_order_relaxed);
    for (uint32_t at = pos; at > end; at--) {
        if (!is_done(s, at - 1)) {
            return at - 1;
        }
    }
    if (end < pos) {
        atomic_store_explicit(&s->done_end, pos, memory_order_relaxed);
    }
    return COH_SCHED_NONE;
}

static bool hold_counted(coh_sched_t *s, uint32_t pos, uint32_t dep)
{
    if (dep == COH_SCHED_NONE || !hold(s, pos, dep)) {
        return false;
    }
    atomic_fetch_add_explicit(&s->held_sum, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->held_block, 1, memory_order_relaxed);
    return true;
}

/* Notes whom hints put pos behind. Whole rows of such are a chain: then hints need not be asked. */
static void note_row(coh_sched_t *s, uint32_t pos, uint32_t const *before, uint32_t cnt)
{
    bool follows = false;
    for (uint32_t i = 0; i < cnt; i++) {
        follows = follows || before[i] + 1 == pos;
    }
    if (!follows) {
        atomic_store_explicit(&s->row, 0, memory_order_relaxed);
    } else if (atomic_fetch_add_explicit(&s->row, 1, memory_order_relaxed) + 1 == ORDER_ROW) {
        atomic_store_explicit(&s->is_in_order, true, memory_order_relaxed);
    }
}

/* Whether pos, which is READY, has to wait; then it is in the list of one that will wake its chain. */
static bool is_held(coh_sched_t *s, uint32_t pos)
{
    if (s->hints != NULL && s->txs[pos].incarnation >= ORDER_INCARNATION &&
        hold_counted(s, pos, find_undone(s, pos))) {
        return true;
    }
    if (!atomic_load_explicit(&s->is_guarded, memory_order_relaxed)) {
        return false;
    }
    tx_t *tx = &s->txs[pos];
    uint32_t before[COH_HINTS_BEFORE_MAX];
    uint32_t cnt     = tx->before_cnt;
    uint32_t highest = COH_SCHED_NONE;
    bool is_in_order = atomic_load_explicit(&s->is_in_order, memory_order_relaxed);
    if (cnt != 0 && !is_in_order) {
        memcpy(before, tx->befores, cnt * sizeof(*before));
    } else {
        cnt = find_before(s, pos, before);
        if (!is_in_order) {
            note_row(s, pos, before, cnt);
        }
    }
    for (uint32_t i = 0; i < cnt; i++) {
        uint32_t unclean = find_unclean(s, before[i]);
        if (hold_counted(s, pos, unclean)) {
            tx->before_cnt = cnt <= BEFORES_KEPT ? cnt : 0;
            memcpy(tx->befores, before, tx->before_cnt * sizeof(*before));
            return true;
        }
        highest = highest == COH_SCHED_NONE ? before[i] : COH_MAX(highest, before[i]);
    }
    tx->before_cnt = 0; /* if it has to run again, ask anew */
    atomic_store_explicit(&tx->before, highest, memory_order_relaxed);
    return false;
}

uint64_t coh_sched_take_held(coh_sched_t *s)
{
    return atomic_exchange_explicit(&s->held_sum, 0, memory_order_relaxed);
}

uint32_t coh_sched_start(coh_sched_t *s, uint32_t chain_id, uint32_t *incarnation)
{
    chain_t *chain = &s->chains[chain_id];
    coh_spin_lock(&chain->lock);
    uint32_t pos = chain->cursor;
    while (pos < chain->limit &&
           atomic_load_explicit(&s->txs[pos].state, memory_order_relaxed) != TX_READY) {
        pos = s->txs[pos].next;
    }
    chain->cursor = pos;
    if (pos >= chain->limit) { /* COH_SCHED_NONE, too */
        chain->state = CHAIN_IDLE;
        pos          = COH_SCHED_NONE;
    } else if (is_held(s, pos)) {
        /* Who wakes the chain needs its lock: it comes after this. */
        chain->state = CHAIN_PARKED;
        pos          = COH_SCHED_NONE;
    } else {
        atomic_store_explicit(&s->txs[pos].state, TX_RUNNING, memory_order_relaxed);
        *incarnation = s->txs[pos].incarnation;
    }
    coh_spin_unlock(&chain->lock);
    return pos;
}

bool coh_sched_is_in_order(coh_sched_t const *s)
{
    return atomic_load_explicit(&s->is_in_order, memory_order_relaxed);
}

void coh_sched_note_order(coh_sched_t *s, bool follows)
{
    if (follows) {
        atomic_fetch_add_explicit(&s->followers, 1, memory_order_relaxed);
    }
    uint32_t cnt = 1 + atomic_fetch_add_explicit(&s->ordered, 1, memory_order_relaxed);
    if (cnt % ORDER_WINDOW != 0) {
        return;
    }
    bool is_chain =
        atomic_exchange_explicit(&s->followers, 0, memory_order_relaxed) >= ORDER_FOLLOWERS;
    if (atomic_load_explicit(&s->is_kept, memory_order_relaxed)) {
        atomic_store_explicit(&s->has_lapsed, !is_chain, memory_order_relaxed);
    } else if (!is_chain) {
        atomic_store_explicit(&s->row, 0, memory_order_relaxed);
        atomic_store_explicit(&s->is_in_order, false, memory_order_relaxed);
    }
}

bool coh_sched_learns(coh_sched_t *s, uint32_t incarnation)
{
    return s->hints != NULL &&
           (incarnation != 0 || atomic_load_explicit(&s->is_guarded, memory_order_relaxed));
}

void coh_sched_learn(coh_sched_t *s,
                     uint32_t pos,
                     uint32_t incarnation,
                     uint64_t const *touched,
                     uint32_t cnt)
{
    COH_ASSERT(s->hints != NULL);
    if (incarnation != 0) {
        uint32_t retried = 1 + atomic_fetch_add_explicit(&s->retried, 1, memory_order_relaxed);
        uint32_t done    = atomic_load_explicit(&s->done_cnt, memory_order_relaxed);
        if (retried >= GUARD_MIN && retried >= done / GUARD_SHARE) {
            atomic_store_explicit(&s->is_guarded, true, memory_order_relaxed);
        }
        if (retried >= ORDER_MIN && retried >= (uint64_t)done * s->worker_cnt / ORDER_SHARE) {
            atomic_store_explicit(&s->has_lapsed, true, memory_order_relaxed);
            atomic_store_explicit(&s->is_kept, true, memory_order_relaxed);
            atomic_store_explicit(&s->is_in_order, true, memory_order_relaxed);
        }
    }
    bool is_known =
        incarnation == 0 &&
        atomic_load_explicit(&s->txs[pos].before, memory_order_relaxed) != COH_SCHED_NONE;
    if (!atomic_load_explicit(&s->is_guarded, memory_order_relaxed) ||
        (is_known && pos % KNOWN_SHARE != 0)) {
        return;
    }
    coh_hints_learn(
        s->hints, pos, incarnation, touched, cnt, incarnation != 0 || s->ops->is_guarded);
}

/* Chains are walked forward from the cursor: put it back where something before it is READY again. */
static void rewind_to(chain_t *chain, uint32_t pos)
{
    if (chain->cursor == COH_SCHED_NONE || pos < chain->cursor) {
        chain->cursor = pos;
    }
}

static void again(chain_t *chain, tx_t *tx, uint32_t pos)
{
    tx->incarnation++;
    tx->state = TX_READY;
    rewind_to(chain, pos);
}

bool coh_sched_finish(coh_sched_t *s,
                      uint32_t chain_id,
                      uint32_t pos,
                      uint32_t *woken,
                      uint32_t *next)
{
    chain_t *chain = &s->chains[chain_id];
    tx_t *tx       = &s->txs[pos];
    coh_spin_lock(&chain->lock);
    bool done = tx->state == TX_RUNNING;
    if (done) {
        atomic_store(&tx->state, TX_DONE);
        /* release: who sees all done sees what was published before */
        atomic_fetch_add_explicit(&s->done_cnt, 1, memory_order_release);
    } else {
        COH_ASSERT(tx->state == TX_RETRACTED);
        again(chain, tx, pos);
    }
    coh_spin_unlock(&chain->lock);
    *woken = done ? release(s, pos, next) : 0;
    return done;
}

bool coh_sched_park(coh_sched_t *s, uint32_t chain_id, uint32_t pos)
{
    chain_t *chain = &s->chains[chain_id];
    tx_t *tx       = &s->txs[pos];
    coh_spin_lock(&chain->lock);
    bool parked = false;
    if (tx->state == TX_RETRACTED) {
        again(chain, tx, pos);
    } else {
        tx->state = TX_READY;
        rewind_to(chain, pos);
        /* Something earlier in the chain may have been retracted: then there is work at once. */
        parked = !chain->woken && chain->cursor == pos;
    }
    chain->woken = false;
    if (parked) {
        chain->state = CHAIN_PARKED;
    }
    coh_spin_unlock(&chain->lock);
    return parked;
}

void coh_sched_put_back(coh_sched_t *s, uint32_t chain_id)
{
    chain_t *chain = &s->chains[chain_id];
    coh_spin_lock(&chain->lock);
    COH_ASSERT(chain->state == CHAIN_RUNNING);
    chain->state = CHAIN_QUEUED;
    uint32_t pos = chain->cursor;
    coh_spin_unlock(&chain->lock);
    push_again(s, chain_id, pos);
}

void coh_sched_wake(coh_sched_t *s, uint32_t chain_id)
{
    COH_ASSERT(chain_id < s->chain_cnt);
    chain_t *chain = &s->chains[chain_id];
    coh_spin_lock(&chain->lock);
    bool queue   = chain->state == CHAIN_PARKED;
    uint32_t pos = chain->cursor;
    if (queue) {
        chain->state = CHAIN_QUEUED;
    } else if (chain->state == CHAIN_RUNNING) {
        chain->woken = true;
    }
    coh_spin_unlock(&chain->lock);
    if (queue) {
        push_again(s, chain_id, pos);
    }
}

bool coh_sched_retract(coh_sched_t *s, uint32_t pos, uint32_t incarnation)
{
    if (COH_HOOK("sched:drop_retract")) {
        return false;
    }
    COH_ASSERT(pos < s->tx_cnt);
    tx_t *tx       = &s->txs[pos];
    chain_t *chain = &s->chains[tx->chain];
    bool was_done  = false;
    bool queue     = false;
    coh_spin_lock(&chain->lock);
    if (tx->incarnation == incarnation) {
        if (tx->state == TX_RUNNING) {
            tx->state = TX_RETRACTED;
        } else if (tx->state != TX_RETRACTED) {
            /* DONE; or READY, parked in mid-execution, when what it read before may be what changed: it starts over under its next
               incarnation, and does not wait for keys that the old one asked for. */
            was_done = tx->state == TX_DONE;
            if (was_done) {
                atomic_fetch_sub_explicit(&s->done_cnt, 1, memory_order_relaxed);
                atomic_fetch_add_explicit(&s->retract_epoch, 1, memory_order_relaxed);
                if (pos < atomic_load_explicit(&s->done_end, memory_order_relaxed)) {
                    atomic_store_explicit(&s->done_end, pos, memory_order_relaxed);
                }
            }
            again(chain, tx, pos);
            queue = chain->state == CHAIN_IDLE || chain->state == CHAIN_PARKED;
            if (queue) {
                chain->state = CHAIN_QUEUED;
            }
        }
    }
    coh_spin_unlock(&chain->lock);
    if (queue) {
        push_again(s, tx->chain, pos);
    }
    return was_done;
}

uint32_t coh_sched_lock_tx(coh_sched_t *s, uint32_t pos)
{
    coh_spin_lock(&s->chains[s->txs[pos].chain].lock);
    return s->txs[pos].incarnation;
}

void coh_sched_unlock_tx(coh_sched_t *s, uint32_t pos)
{
    coh_spin_unlock(&s->chains[s->txs[pos].chain].lock);
}

uint32_t coh_sched_chain_of(coh_sched_t const *s, uint32_t pos) { return s->txs[pos].chain; }

bool coh_sched_all_done(coh_sched_t const *s)
{
    return atomic_load_explicit(&s->done_cnt, memory_order_acquire) == s->tx_cnt;
}
