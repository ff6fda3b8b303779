#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "shard/callrun_private.h"

/* Executions under way at a time: each wants one key after the other, all of them several at once. */
#define SCOUT_CNT 48u
/* Of all calls. */
#define SCOUT_CNT_MAX 512u
/* Octets that the scouts of one call hold: most of it never touched. Whoever exceeds it goes. */
#define SCOUT_BYTES_MAX ((size_t)24 << 20)
/* Slices of one transaction; whoever computes for longer gains little by knowing its keys early. */
#define SCOUT_SLICES 8u
/* Executions that one call goes on with. */
#define SCOUT_STEPS 64u

typedef struct {
    coh_view_t view; /* first: it is cast back */
    coh_call_t *c;
    coh_transition_t *transition; /* NULL: none yet */
    uint32_t idx;                 /* of its transaction */
    bool runs;
    bool wants;
    uint32_t slices; /* left */
} scout_t;

struct coh_scouts {
    scout_t scouts[SCOUT_CNT];
    uint32_t at;   /* the next one to go on with; SCOUT_CNT: the round is over */
    uint32_t next; /* the first transaction that none has looked at */
};

/* Gives a scout back to all calls. */
static void dismiss(scout_t *s)
{
    if (s->transition != NULL) {
        coh_transition_free(s->transition);
        s->transition = NULL;
        s->runs       = false;
        atomic_fetch_sub_explicit(coh_call_scout_cnt(s->c), 1, memory_order_relaxed);
    }
}

/* Takes one; false: all are in use. The count is a bound and orders nothing: relaxed. */
static bool hire(scout_t *s)
{
    _Atomic uint32_t *cnt = coh_call_scout_cnt(s->c);
    if (atomic_fetch_add_explicit(cnt, 1, memory_order_relaxed) >= SCOUT_CNT_MAX) {
        atomic_fetch_sub_explicit(cnt, 1, memory_order_relaxed);
        return false;
    }
    s->transition = coh_transition_new();
    coh_transition_set_loop(s->transition, COH_EVM_SWITCH);
    coh_transition_set_slice(s->transition, s->c->limits.slice);
    return true;
}

void coh_scouts_free(coh_scouts_t *s)
{
    if (s != NULL) {
        for (uint32_t i = 0; i < SCOUT_CNT; i++) {
            dismiss(&s->scouts[i]);
        }
        free(s);
    }
}

size_t coh_scouts_bytes(coh_scouts_t const *s)
{
    size_t bytes = sizeof(*s);
    for (uint32_t i = 0; i < SCOUT_CNT; i++) {
        coh_transition_t const *t = s->scouts[i].transition;
        bytes += t != NULL ? coh_transition_bytes(t) : 0;
    }
    return bytes;
}

/* If there is no room to ask for the key it is wanted again in the next round. */
static coh_view_status_t need(scout_t *s, coh_key_t const *key)
{
    s->wants = true;
    (void)coh_call_want(s->c, key);
    return COH_VIEW_NEED;
}

static coh_view_status_t scout_read(coh_view_t *view,
                                    coh_value_t *out,
                                    coh_key_t const *key,
                                    uint32_t fields,
                                    coh_u256_t const *bound)
{
    (void)fields;
    (void)bound;
    scout_t *s               = (scout_t *)view;
    coh_value_t const *value = coh_overlay_find(&s->c->state, key);
    if (value == NULL) {
        return need(s, key);
    }
    *out = *value;
    return COH_VIEW_OK;
}

static coh_view_status_t scout_code(coh_view_t *view,
                                    coh_code_t const **out,
                                    coh_addr_t const *addr,
                                    coh_hash_t const *hash)
{
    scout_t *s = (scout_t *)view;
    coh_key_t key;
    *out = coh_call_code(s->c, &key, addr, hash);
    return *out == NULL ? need(s, &key) : COH_VIEW_OK;
}

/* Begins with the next transaction that none has looked at; false: there is none, or no scout for it. */
static bool begin(coh_scouts_t *scouts, scout_t *s)
{
    coh_call_t *c = s->c;
    scouts->next  = COH_MAX(scouts->next, c->idx + 1);
    while (scouts->next < c->end && c->txs[scouts->next].is_step) {
        scouts->next++;
    }
    if (scouts->next >= c->end) {
        return false;
    }
    if (s->transition == NULL && !hire(s)) {
        return false;
    }
    s->idx    = scouts->next++;
    s->slices = SCOUT_SLICES;
    s->runs   = true;
    /* As a call: the sender's transactions before it have not raised the nonce yet. */
    coh_transition_begin_call(
        s->transition, &c->env, &c->txs[s->idx].tx, &c->txs[s->idx].sender, &s->view);
    return true;
}

static coh_scouts_t *new_scouts(coh_call_t *c)
{
    coh_scouts_t *scouts = coh_calloc(1, sizeof(*scouts));
    for (uint32_t i = 0; i < SCOUT_CNT; i++) {
        scouts->scouts[i] = (scout_t){.view = {.read = scout_read, .code = scout_code}, .c = c};
    }
    return scouts;
}

bool coh_call_scout(coh_call_t *c)
{
    if (c->scouts == NULL) {
        c->scouts = new_scouts(c);
    }
    coh_scouts_t *scouts = c->scouts;
    if (!c->scouting) {
        scouts->at = 0;
    }
    for (uint32_t steps = 0; scouts->at < SCOUT_CNT && c->wanted_cnt < c->limits.wanted_max;) {
        scout_t *s = &scouts->scouts[scouts->at];
        if (!s->runs || s->idx <= c->idx) { /* done, or the execution has caught up with it */
            s->runs = false;
            if (!begin(scouts, s)) {
                dismiss(s);
                scouts->at++;
                continue;
            }
        }
        if (steps++ == SCOUT_STEPS) {
            return false;
        }
        s->wants = false;
        if (coh_scouts_bytes(scouts) > SCOUT_BYTES_MAX) {
            dismiss(s);
            scouts->at++;
        } else if (coh_transition_run(s->transition) == COH_TRANSITION_DONE) {
            s->runs = false;
        } else if (s->wants) {
            scouts->at++;
        } else { /* its slice is over, and so is this one */
            s->runs = --s->slices > 0;
            return false;
        }
    }
    return true;
}
