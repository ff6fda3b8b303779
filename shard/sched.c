#include "shard/sched.h"

#include <sched.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/hook.h"
#include "common/base/spin.h"

enum { TX_READY, TX_RUNNING, TX_RETRACTED, TX_DONE };
enum { CHAIN_QUEUED, CHAIN_RUNNING, CHAIN_PARKED, CHAIN_IDLE };

typedef struct {
    uint32_t chain;
    uint32_t next; /* in the chain; COH_SCHED_NONE at its end */
    uint32_t incarnation;
    uint8_t state;
} tx_t;

typedef struct {
    coh_spin_t lock;
    uint8_t state;
    bool woken; /* RUNNING: a wake came before the park that it belongs to */
    uint32_t first, last;
    uint32_t cursor; /* no READY transaction stands before it in the chain */
} chain_t;

struct coh_sched {
    tx_t *txs;
    uint32_t tx_cnt, tx_cap;
    chain_t *chains;
    uint32_t chain_cnt, chain_cap;

    _Atomic uint32_t fresh; /* chains 0..fresh-1 have been handed out once */
    coh_spin_t again_lock;
    uint32_t *again; /* a ring of chains to run again; each is QUEUED, so at most once in it */
    uint32_t again_first;
    _Atomic uint32_t again_cnt;

    _Atomic uint32_t done_cnt;
    _Atomic bool open;
    _Atomic uint32_t inside;
};

coh_sched_t *coh_sched_new(void)
{
    coh_sched_t *s = coh_calloc(1, sizeof(*s));
    s->again_lock  = COH_SPIN_INIT;
    return s;
}

void coh_sched_free(coh_sched_t *s)
{
    if (s != NULL) {
        free(s->txs);
        free(s->chains);
        free(s->again);
        free(s);
    }
}

void coh_sched_begin(coh_sched_t *s, uint32_t const *chain_of, uint32_t tx_cnt, uint32_t chain_cnt)
{
    COH_ASSERT(!atomic_load(&s->open));
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
    for (uint32_t c = 0; c < chain_cnt; c++) {
        s->chains[c] =
            (chain_t){.lock = COH_SPIN_INIT, .state = CHAIN_QUEUED, .first = COH_SCHED_NONE};
    }
    for (uint32_t pos = 0; pos < tx_cnt; pos++) {
        COH_ASSERT(chain_of[pos] < chain_cnt);
        chain_t *chain = &s->chains[chain_of[pos]];
        s->txs[pos]    = (tx_t){.chain = chain_of[pos], .next = COH_SCHED_NONE, .state = TX_READY};
        if (chain->first == COH_SCHED_NONE) {
            chain->first  = pos;
            chain->cursor = pos;
        } else {
            s->txs[chain->last].next = pos;
        }
        chain->last = pos;
    }
    s->again_first = 0;
    atomic_store(&s->again_cnt, 0);
    atomic_store(&s->fresh, 0);
    atomic_store(&s->done_cnt, 0);
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

static void push_again(coh_sched_t *s, uint32_t chain)
{
    coh_spin_lock(&s->again_lock);
    uint32_t cnt = atomic_load_explicit(&s->again_cnt, memory_order_relaxed);
    COH_ASSERT(cnt < s->chain_cnt);
    s->again[(s->again_first + cnt) % s->chain_cnt] = chain;
    atomic_store_explicit(&s->again_cnt, cnt + 1, memory_order_release);
    coh_spin_unlock(&s->again_lock);
}

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
        chain          = s->again[s->again_first];
        s->again_first = (s->again_first + 1) % s->chain_cnt;
        atomic_store_explicit(&s->again_cnt, cnt - 1, memory_order_relaxed);
    }
    coh_spin_unlock(&s->again_lock);
    return chain;
}

uint32_t coh_sched_pop(coh_sched_t *s)
{
    uint32_t id = pop_again(s);
    if (id == COH_SCHED_NONE) {
        if (atomic_load_explicit(&s->fresh, memory_order_relaxed) >= s->chain_cnt) {
            return COH_SCHED_NONE;
        }
        id = atomic_fetch_add_explicit(&s->fresh, 1, memory_order_relaxed);
        if (id >= s->chain_cnt) {
            return COH_SCHED_NONE;
        }
    }
    chain_t *chain = &s->chains[id];
    coh_spin_lock(&chain->lock);
    COH_ASSERT(chain->state == CHAIN_QUEUED);
    chain->state = CHAIN_RUNNING;
    chain->woken = false;
    coh_spin_unlock(&chain->lock);
    return id;
}

uint32_t coh_sched_start(coh_sched_t *s, uint32_t chain_id, uint32_t *incarnation)
{
    chain_t *chain = &s->chains[chain_id];
    coh_spin_lock(&chain->lock);
    uint32_t pos = chain->cursor;
    while (pos != COH_SCHED_NONE && s->txs[pos].state != TX_READY) {
        pos = s->txs[pos].next;
    }
    chain->cursor = pos;
    if (pos == COH_SCHED_NONE) {
        chain->state = CHAIN_IDLE;
    } else {
        s->txs[pos].state = TX_RUNNING;
        *incarnation      = s->txs[pos].incarnation;
    }
    coh_spin_unlock(&chain->lock);
    return pos;
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

bool coh_sched_finish(coh_sched_t *s, uint32_t chain_id, uint32_t pos)
{
    chain_t *chain = &s->chains[chain_id];
    tx_t *tx       = &s->txs[pos];
    coh_spin_lock(&chain->lock);
    bool done = tx->state == TX_RUNNING;
    if (done) {
        tx->state = TX_DONE;
        /* release: who sees all done sees what was published before */
        atomic_fetch_add_explicit(&s->done_cnt, 1, memory_order_release);
    } else {
        COH_ASSERT(tx->state == TX_RETRACTED);
        again(chain, tx, pos);
    }
    coh_spin_unlock(&chain->lock);
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

void coh_sched_wake(coh_sched_t *s, uint32_t chain_id)
{
    COH_ASSERT(chain_id < s->chain_cnt);
    chain_t *chain = &s->chains[chain_id];
    coh_spin_lock(&chain->lock);
    bool queue = chain->state == CHAIN_PARKED;
    if (queue) {
        chain->state = CHAIN_QUEUED;
    } else if (chain->state == CHAIN_RUNNING) {
        chain->woken = true;
    }
    coh_spin_unlock(&chain->lock);
    if (queue) {
        push_again(s, chain_id);
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
        push_again(s, tx->chain);
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
