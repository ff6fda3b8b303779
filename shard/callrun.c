#include "shard/callrun.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/spin.h"
#include "common/crypto/keccak.h"
#include "common/evm/code.h"
#include "shard/callrun_private.h"
#include "shard/codes.h"

#define CODE_CNT    256u
#define GAS_PLAIN   UINT64_C(21000) /* of a transfer without data (Yellow Paper, Appendix G) */
#define GAS_STIPEND UINT64_C(2300)
/* Precompiled contracts have addresses below this, or 0x100 (EIP-7951). */
#define PRECOMPILE_END 0x20u
#define PRECOMPILE_256 0x100u
/* Of accesses in memory. */
#define ACCESS_BYTES_MAX ((size_t)64 << 20)

/* ---- shared code ---- */

struct coh_call_codes {
    coh_spin_t lock;
    coh_code_t const *slots[CODE_CNT]; /* by hash; a reference each */
    _Atomic uint32_t scout_cnt;
};

coh_call_codes_t *coh_call_codes_new(void)
{
    coh_call_codes_t *codes = coh_calloc(1, sizeof(*codes));
    codes->lock             = COH_SPIN_INIT;
    return codes;
}

void coh_call_codes_free(coh_call_codes_t *codes)
{
    if (codes != NULL) {
        for (size_t i = 0; i < CODE_CNT; i++) {
            coh_code_unref(codes->slots[i]);
        }
        free(codes);
    }
}

_Atomic uint32_t *coh_call_scout_cnt(coh_call_t const *c) { return &c->shared->scout_cnt; }

/* A reference for the caller; NULL: not here. */
static coh_code_t const *share(coh_call_codes_t *codes, coh_hash_t const *hash, coh_fork_t fork)
{
    coh_spin_lock(&codes->lock);
    coh_code_t const *code = codes->slots[hash->b[0] % CODE_CNT];
    bool hit               = code != NULL && code->fork == fork && coh_hash_eq(&code->hash, hash);
    code                   = hit ? coh_code_ref(code) : NULL;
    coh_spin_unlock(&codes->lock);
    return code;
}

static void offer(coh_call_codes_t *codes, coh_code_t const *code)
{
    coh_code_t const **slot = &codes->slots[code->hash.b[0] % CODE_CNT];
    coh_spin_lock(&codes->lock);
    coh_code_t const *old = *slot;
    *slot                 = coh_code_ref(code);
    coh_spin_unlock(&codes->lock);
    coh_code_unref(old);
}

/* ---- the call ---- */

static coh_key_t code_key(coh_hash_t const *hash)
{
    static coh_addr_t const nobody;
    return coh_codes_key(&nobody, hash);
}

uint32_t coh_call_add_code(coh_call_t *c, coh_code_t const *code)
{
    coh_key_t key            = code_key(&code->hash);
    coh_value_t const *there = coh_overlay_find(&c->state, &key);
    if (there != NULL) {
        coh_code_unref(code);
        return (uint32_t)there->nonce;
    }
    if (c->code_cnt == c->code_cap) {
        c->code_cap = c->code_cap == 0 ? 8 : c->code_cap * 2;
        c->codes    = coh_realloc(c->codes, c->code_cap * sizeof(*c->codes));
    }
    (void)coh_overlay_put(&c->state, &key, &(coh_value_t){.nonce = c->code_cnt});
    c->codes[c->code_cnt++] = code;
    c->code_bytes += coh_code_bytes(code);
    return c->code_cnt - 1;
}

/* Code is the same whoever has it. */
static bool is_same(coh_key_t const *a, coh_key_t const *b)
{
    return a->kind == COH_KEY_CODE ? b->kind == COH_KEY_CODE && coh_u256_eq(&a->slot, &b->slot)
                                   : coh_key_eq(a, b);
}

bool coh_call_want(coh_call_t *c, coh_key_t const *key)
{
    for (uint32_t i = 0; i < c->wanted_cnt; i++) {
        if (is_same(&c->wanted[i].key, key)) {
            return true;
        }
    }
    if (c->wanted_cnt == c->limits.wanted_max) {
        return false;
    }
    if (c->wanted_cnt == c->wanted_cap) {
        c->wanted_cap = COH_MIN(COH_MAX(2 * c->wanted_cap, 1u), c->limits.wanted_max);
        c->wanted     = coh_realloc(c->wanted, c->wanted_cap * sizeof(*c->wanted));
    }
    c->wanted[c->wanted_cnt++] = (wish_t){.key = *key};
    c->left                    = c->wanted_cnt;
    return true;
}

/* What the execution itself waits for: it comes before what scouts want, so there is room for it. */
static void want(coh_call_t *c, coh_key_t const *key)
{
    c->wants = true;
    (void)coh_call_want(c, key);
}

bool coh_call_want_account(coh_call_t *c, coh_addr_t const *addr)
{
    coh_key_t key = coh_key_account(addr);
    if (coh_overlay_find(&c->state, &key) != NULL) {
        return true;
    }
    c->wants = true;
    return coh_call_want(c, &key);
}

coh_call_run_t coh_call_want_parties(coh_call_t *c)
{
    for (; c->ahead < 2 * c->tx_cnt; c->ahead++) {
        call_tx_t const *t  = &c->txs[c->ahead / 2];
        bool is_receiver    = c->ahead % 2 != 0;
        bool is_none        = t->is_step || (is_receiver && t->tx.is_create);
        coh_addr_t const *a = is_receiver ? &t->tx.to : &t->sender;
        if (!is_none && !coh_call_want_account(c, a)) {
            break;
        }
    }
    return c->wants ? COH_CALL_RUN_WANTS : COH_CALL_RUN_DONE;
}

coh_view_status_t coh_call_find(void *arg, coh_value_t *out, coh_key_t const *key)
{
    coh_call_t *c            = arg;
    coh_value_t const *value = coh_overlay_find(&c->state, key);
    if (value == NULL) {
        want(c, key);
        return COH_VIEW_NEED;
    }
    *out = *value;
    return COH_VIEW_OK;
}

coh_code_t const *coh_call_code(coh_call_t *c,
                                coh_key_t *wanted,
                                coh_addr_t const *addr,
                                coh_hash_t const *hash)
{
    coh_key_t key            = code_key(hash);
    coh_value_t const *there = coh_overlay_find(&c->state, &key);
    if (there != NULL) {
        return c->codes[there->nonce];
    }
    coh_code_t const *code = share(c->shared, hash, c->env.fork);
    if (code != NULL) {
        uint32_t number = coh_call_add_code(c, code);
        return c->codes[number];
    }
    *wanted = coh_codes_key(addr, hash);
    return NULL;
}

static coh_view_status_t find_code(coh_call_t *c,
                                   coh_code_t const **out,
                                   coh_addr_t const *addr,
                                   coh_hash_t const *hash)
{
    coh_key_t key;
    *out = coh_call_code(c, &key, addr, hash);
    if (*out == NULL) {
        want(c, &key);
        return COH_VIEW_NEED;
    }
    return COH_VIEW_OK;
}

static coh_view_status_t find_code_bytes(void *arg,
                                         coh_bytes_t *out,
                                         coh_addr_t const *addr,
                                         coh_hash_t const *hash)
{
    coh_code_t const *code;
    if (find_code(arg, &code, addr, hash) == COH_VIEW_NEED) {
        return COH_VIEW_NEED;
    }
    *out = coh_bytes(code->bytes, code->size);
    return COH_VIEW_OK;
}

static coh_view_status_t view_read(coh_view_t *view,
                                   coh_value_t *out,
                                   coh_key_t const *key,
                                   uint32_t fields,
                                   coh_u256_t const *bound)
{
    (void)fields;
    (void)bound;
    return coh_call_find((coh_call_t *)view, out, key);
}

static coh_view_status_t view_code(coh_view_t *view,
                                   coh_code_t const **out,
                                   coh_addr_t const *addr,
                                   coh_hash_t const *hash)
{
    return find_code((coh_call_t *)view, out, addr, hash);
}

/* ---- taking a call in ---- */

static coh_bytes_t keep(coh_call_t *c, coh_bytes_t in)
{
    uint8_t *p = coh_buf_extend(&c->bytes, in.n); /* reserved: does not move */
    if (in.n != 0) {
        memcpy(p, in.p, in.n);
    }
    return coh_bytes(p, in.n);
}

static bool is_block(coh_msg_call_t const *m)
{
    return m->mode == COH_CALL_TRACE_BLOCK || m->mode == COH_CALL_SIMULATE ||
           m->mode == COH_CALL_ACCESSES;
}

static bool take_txs(coh_call_t *c, coh_msg_call_t const *m)
{
    c->tx_cnt = m->txs.cnt;
    c->txs    = coh_calloc((size_t)c->tx_cnt + 1, sizeof(*c->txs));
    for (uint32_t i = 0; i < c->tx_cnt; i++) {
        call_tx_t *t    = &c->txs[i];
        coh_bytes_t raw = keep(c, m->txs.v[i].raw);
        t->sender       = m->txs.v[i].sender;
        t->is_step      = m->txs.v[i].is_step != 0;
        bool may_step   = is_block(m) || (m->mode == COH_CALL_TRACE && i + 1 < c->tx_cnt);
        if (t->is_step ? !may_step || coh_step_decode(&t->step, raw) != COH_OK
                       : coh_tx_decode_mined(&t->tx, raw) != COH_TX_OK) {
            return false;
        }
    }
    return true;
}

static int by_account(void const *a, void const *b)
{
    override_slot_t const *x = a;
    override_slot_t const *y = b;
    return memcmp(x->addr.b, y->addr.b, sizeof(x->addr.b));
}

override_slot_t const *coh_call_slots_of(coh_call_t const *c, coh_addr_t const *addr, uint32_t *cnt)
{
    uint32_t lo = 0;
    uint32_t hi = c->slot_cnt;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (memcmp(c->slots[mid].addr.b, addr->b, sizeof(addr->b)) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    while (hi < c->slot_cnt && coh_addr_eq(&c->slots[hi].addr, addr)) {
        hi++;
    }
    *cnt = hi - lo;
    return &c->slots[lo];
}

static bool take_overrides(coh_call_t *c, coh_msg_call_t const *m)
{
    c->override_cnt = m->overrides.cnt;
    c->overrides    = coh_calloc((size_t)c->override_cnt + 1, sizeof(*c->overrides));
    for (uint32_t i = 0; i < c->override_cnt; i++) {
        coh_rec_override_t const *o = &m->overrides.v[i];
        if ((o->fields & ~(uint32_t)COH_OVERRIDE_MASK) != 0) {
            return false;
        }
        c->overrides[i] = (override_t){.addr    = o->addr,
                                       .fields  = o->fields,
                                       .nonce   = o->nonce,
                                       .balance = o->balance,
                                       .code    = keep(c, o->code)};
    }
    c->slot_cnt = m->slots.cnt;
    c->slots    = coh_calloc((size_t)c->slot_cnt + 1, sizeof(*c->slots));
    for (uint32_t i = 0; i < c->slot_cnt; i++) {
        coh_rec_override_slot_t const *s = &m->slots.v[i];
        c->slots[i] = (override_slot_t){.addr = s->addr, .slot = s->slot, .value = s->value};
    }
    qsort(c->slots, c->slot_cnt, sizeof(*c->slots), by_account);
    return true;
}

/* More than what decodes: what a mode asks for. */
static bool is_fit(coh_msg_call_t const *m)
{
    bool traces = m->mode == COH_CALL_TRACE || m->mode == COH_CALL_TRACE_BLOCK;
    return m->mode < COH_CALL_MODE_CNT && m->fork < COH_FORK_CNT &&
           (is_block(m)                 ? m->txs.cnt <= COH_CALL_TX_MAX
            : m->mode == COH_CALL_TRACE ? m->txs.cnt >= 1 && m->txs.cnt <= COH_CALL_TX_MAX
                                        : m->txs.cnt == 1) &&
           m->last_env.cnt <= (m->mode == COH_CALL_TRACE ? 1u : 0u) &&
           m->overrides.cnt <= COH_OVERRIDE_MAX && m->slots.cnt <= COH_OVERRIDE_SLOT_MAX &&
           m->moves.cnt <= COH_CALL_MOVE_MAX &&
           (!traces ||
            (m->tracer < COH_TRACER_CNT && (m->trace_flags & ~(uint32_t)COH_TRACE_MASK) == 0));
}

/* Of what transactions write, before they do. */
static coh_value_t accessed_value(void const *arg, coh_key_t const *key)
{
    coh_call_t const *c = arg;
    return *coh_overlay_find(&c->state, key); /* at hand: apply has seen to it */
}

static coh_bytes_t accessed_code(void const *arg, coh_hash_t const *hash)
{
    static coh_hash_t const none;
    coh_call_t const *c = arg;
    if (coh_hash_eq(hash, &none)) {
        return (coh_bytes_t){0};
    }
    coh_key_t key            = code_key(hash);
    coh_value_t const *there = coh_overlay_find(&c->state, &key);
    COH_ASSERT(there != NULL); /* it came with the write */
    coh_code_t const *code = c->codes[there->nonce];
    return coh_bytes(code->bytes, code->size);
}

static void take_moves(coh_call_t *c, coh_msg_call_t const *m)
{
    c->move_cnt = m->moves.cnt;
    c->moves    = coh_calloc((size_t)c->move_cnt + 1, sizeof(*c->moves));
    for (uint32_t i = 0; i < c->move_cnt; i++) {
        c->moves[i] = (coh_evm_move_t){.at = m->moves.v[i].at, .is = m->moves.v[i].is};
    }
    if (c->is_overridden) {
        coh_transition_set_moves(c->transition, c->moves, c->move_cnt);
    }
}

/* TRACE: what the last transaction finds when those before it are executed. */
static void take_last_env(coh_call_t *c, coh_msg_call_t const *m)
{
    c->has_last_env = m->last_env.cnt != 0;
    if (c->has_last_env) {
        coh_rec_call_env_t const *e = &m->last_env.v[0];
        c->last_env                 = c->env;
        c->last_env.number          = e->number;
        c->last_env.timestamp       = e->timestamp;
        c->last_env.gas_limit       = e->gas_limit;
        c->last_env.base_fee        = e->base_fee;
        c->last_env.blob_base_fee   = e->blob_base_fee;
        c->last_env.prev_randao     = e->prev_randao;
        c->last_env.coinbase        = e->coinbase;
    }
}

coh_call_t *coh_call_new(coh_msg_call_t const *m,
                         coh_call_limits_t const *limits,
                         coh_call_codes_t *codes)
{
    if (!is_fit(m)) {
        return NULL;
    }
    coh_call_t *c = coh_calloc(1, sizeof(*c));
    c->view       = (coh_view_t){.read = view_read, .code = view_code};
    c->limits     = *limits;
    c->shared     = codes;
    c->mode       = (coh_call_mode_t)m->mode;
    c->env        = (coh_block_env_t){.number        = m->number,
                                      .timestamp     = m->timestamp,
                                      .gas_limit     = m->gas_limit,
                                      .chain_id      = m->chain_id,
                                      .base_fee      = m->base_fee,
                                      .blob_base_fee = m->blob_base_fee,
                                      .prev_randao   = m->prev_randao,
                                      .coinbase      = m->coinbase,
                                      .fork          = (coh_fork_t)m->fork,
                                      .blob_max      = m->blob_max,
                                      .any_sender    = limits->any_sender,
                                      .fees_exact    = true};
    c->traced     = c->mode == COH_CALL_TRACE_BLOCK || c->mode == COH_CALL_ACCESSES ? m->traced : 0;
    if (c->mode == COH_CALL_TRACE) {
        c->traced = m->txs.cnt - 1;
    }
    c->is_overridden = m->txs.cnt == 1 || is_block(m);
    c->ratio         = m->ratio;
    take_last_env(c, m);
    c->result = (coh_msg_call_result_t){.call = m->call};
    coh_overlay_init(&c->state, limits->seed);
    size_t bytes = 1;
    for (uint32_t i = 0; i < m->txs.cnt; i++) {
        bytes += m->txs.v[i].raw.n;
    }
    for (uint32_t i = 0; i < m->overrides.cnt; i++) {
        bytes += m->overrides.v[i].code.n;
    }
    coh_buf_grow(&c->bytes, bytes);
    if (!take_txs(c, m) || !take_overrides(c, m)) {
        coh_call_free(c);
        return NULL;
    }
    if (c->mode == COH_CALL_TRACE || c->mode == COH_CALL_TRACE_BLOCK) {
        c->tracer     = coh_call_tracer_new((coh_tracer_kind_t)m->tracer,
                                        m->trace_flags,
                                        limits->trace_bytes_max,
                                        m->trace_limit,
                                        limits->seed);
        size_t traces = c->tx_cnt > c->traced ? c->tx_cnt - c->traced : 0;
        c->traces     = coh_calloc(traces + 1, sizeof(*c->traces));
        c->trace_recs = coh_calloc(traces + 1, sizeof(*c->trace_recs));
    } else if (c->mode == COH_CALL_ACCESS_LIST) {
        c->tracer = coh_access_tracer_new(ACCESS_BYTES_MAX, limits->seed);
    } else if (c->mode == COH_CALL_ACCESSES) {
        coh_access_source_t source = {.value = accessed_value, .code = accessed_code, .arg = c};
        c->accesses                = coh_access_list_new();
        coh_access_list_begin(c->accesses, &source);
    }
    c->transition = coh_transition_new();
    coh_transition_set_loop(c->transition, COH_EVM_SWITCH);
    coh_transition_set_slice(c->transition, limits->slice);
    take_moves(c, m);
    if (c->mode == COH_CALL_SIMULATE && !coh_simulation_new(c, m)) {
        coh_call_free(c);
        return NULL;
    }
    return c;
}

static void forget_wanted(coh_call_t *c)
{
    for (uint32_t i = 0; i < c->wanted_cnt; i++) {
        coh_buf_free(&c->wanted[i].code);
    }
    c->wants      = false;
    c->wanted_cnt = 0;
    c->left       = 0;
}

void coh_call_free(coh_call_t *c)
{
    if (c == NULL) {
        return;
    }
    coh_scouts_free(c->scouts);
    coh_transition_free(c->transition);
    coh_call_tracer_free(c->tracer);
    for (uint32_t i = 0; i < c->code_cnt; i++) {
        coh_code_unref(c->codes[i]);
    }
    for (uint32_t i = 0; i < c->trace_cnt; i++) {
        coh_buf_free(&c->traces[i]);
    }
    coh_simulation_free(c->sim);
    coh_access_list_free(c->accesses);
    free(c->moves);
    forget_wanted(c);
    free(c->wanted);
    free(c->codes);
    free(c->traces);
    free(c->trace_recs);
    free(c->txs);
    free(c->overrides);
    free(c->slots);
    coh_buf_free(&c->bytes);
    coh_buf_free(&c->access_list);
    coh_buf_free(&c->output);
    coh_buf_free(&c->logs);
    coh_overlay_fini(&c->state);
    free(c);
}

size_t coh_call_bytes(coh_call_t const *c)
{
    return sizeof(*c) + c->bytes.cap + c->access_list.cap + c->output.cap + c->logs.cap +
           c->trace_bytes + c->code_bytes + c->tx_cnt * sizeof(*c->txs) +
           c->wanted_cap * sizeof(*c->wanted) +
           (c->scouts != NULL ? coh_scouts_bytes(c->scouts) : 0) +
           c->override_cnt * sizeof(*c->overrides) + c->slot_cnt * sizeof(*c->slots) +
           coh_overlay_bytes(&c->state) + coh_transition_bytes(c->transition) +
           (c->tracer != NULL ? coh_call_tracer_bytes(c->tracer) : 0) +
           (c->sim != NULL ? coh_simulation_bytes(c->sim) : 0) +
           (c->accesses != NULL ? coh_access_list_bytes(c->accesses) : 0);
}

/* ---- what is given ---- */

static override_t const *override_of(coh_call_t const *c, coh_addr_t const *addr)
{
    for (uint32_t i = 0; i < c->override_cnt; i++) {
        if (coh_addr_eq(&c->overrides[i].addr, addr)) {
            return &c->overrides[i];
        }
    }
    return NULL;
}

/* Lays the overrides of its account over an account's value, and puts those of its slots beside it. */
static void override_account(coh_call_t *c, coh_addr_t const *addr, coh_value_t *value)
{
    override_t const *o = override_of(c, addr);
    if (o == NULL) {
        return;
    }
    if (o->fields != 0) {
        value->flags |= COH_ACCOUNT_EXISTS;
    }
    if (o->fields & COH_OVERRIDE_NONCE) {
        value->nonce = o->nonce;
    }
    if (o->fields & COH_OVERRIDE_BALANCE) {
        value->word = o->balance;
    }
    if (o->fields & COH_OVERRIDE_CODE) {
        value->code_hash = (coh_hash_t){{0}};
        if (o->code.n != 0) {
            coh_keccak256(&value->code_hash, o->code.p, o->code.n);
            (void)coh_call_add_code(c, coh_code_new(o->code, c->env.fork, &value->code_hash));
        }
    }
    if (o->fields & COH_OVERRIDE_STATE) {
        value->generation++; /* no slot of that has been written at this block or before */
    }
    uint32_t cnt;
    override_slot_t const *slots = coh_call_slots_of(c, addr, &cnt);
    for (uint32_t i = 0; i < cnt; i++) {
        coh_key_t key = coh_key_slot(addr, value->generation, &slots[i].slot);
        (void)coh_overlay_put(&c->state, &key, &(coh_value_t){.word = slots[i].value});
    }
}

/* Keeps a value that has come; a simulation lays its overrides over it by itself. */
static void put_value(coh_call_t *c, coh_key_t const *key, coh_value_t *value)
{
    if (key->kind == COH_KEY_ACCOUNT && c->sim == NULL && c->is_overridden) {
        override_account(c, &key->addr, value);
    }
    (void)coh_overlay_put(&c->state, key, value);
}

uint32_t coh_call_wanted_cnt(coh_call_t const *c) { return c->wanted_cnt; }

coh_key_t const *coh_call_wanted(coh_call_t const *c, uint32_t idx)
{
    COH_ASSERT(idx < c->wanted_cnt);
    return &c->wanted[idx].key;
}

void coh_call_give(coh_call_t *c, uint32_t idx, coh_value_t const *value, coh_bytes_t code)
{
    COH_ASSERT(idx < c->wanted_cnt);
    wish_t *wish = &c->wanted[idx];
    COH_ASSERT(!wish->given && c->left > 0);
    wish->given = true;
    wish->value = *value;
    coh_buf_put(&wish->code, code.p, code.n);
    c->left--;
}

void coh_call_end(coh_call_t *c, coh_call_err_t err)
{
    forget_wanted(c);
    c->result.err = (uint32_t)err;
    c->stage      = STAGE_DONE;
}

static void take_given(coh_call_t *c)
{
    COH_ASSERT(c->left == 0);
    for (uint32_t i = 0; i < c->wanted_cnt; i++) {
        wish_t *wish = &c->wanted[i];
        if (wish->key.kind == COH_KEY_CODE) {
            coh_hash_t hash        = coh_codes_hash(&wish->key);
            coh_code_t const *code = coh_code_new(coh_buf_bytes(&wish->code), c->env.fork, &hash);
            offer(c->shared, code);
            (void)coh_call_add_code(c, code);
        } else {
            put_value(c, &wish->key, &wish->value);
        }
    }
    forget_wanted(c);
}

/* ---- executing ---- */

static void begin_tracer(coh_call_t *c, bool on)
{
    coh_transition_set_tracer(c->transition, on ? coh_call_tracer_hooks(c->tracer) : NULL);
}

/* Begins the execution of c->tx with this much gas. */
static void begin_with(coh_call_t *c, uint64_t gas)
{
    c->tx.gas_limit = gas;
    c->gas          = gas;
    coh_transition_begin_call(c->transition, &c->env, &c->tx, &c->txs[c->idx].sender, &c->view);
}

coh_call_run_t coh_call_execute(coh_call_t *c)
{
    if (coh_transition_run(c->transition) == COH_TRANSITION_NEED) {
        return c->wants ? COH_CALL_RUN_WANTS : COH_CALL_RUN_SLICE;
    }
    return COH_CALL_RUN_DONE;
}

coh_bytes_t coh_call_output(coh_outcome_t const *o)
{
    for (uint32_t i = 0; i < o->write_cnt; i++) {
        coh_write_t const *w = &o->writes[i];
        if ((w->flags & COH_WRITE_CODE) && coh_addr_eq(&w->key.addr, &o->created)) {
            return w->code->bytes;
        }
    }
    return o->output;
}

/* Takes the outcome into the result; false: the transaction was refused. */
static bool take_outcome(coh_call_t *c)
{
    coh_outcome_t const *o    = coh_transition_outcome(c->transition);
    coh_msg_call_result_t *to = &c->result;
    to->tx_idx                = c->idx;
    if (o->verdict != COH_TX_OK) {
        to->err     = COH_CALL_REFUSED;
        to->verdict = (uint32_t)o->verdict;
        return false;
    }
    to->status         = (uint32_t)coh_transition_halt(c->transition);
    to->gas_used       = o->gas_used;
    to->created        = o->created;
    coh_bytes_t output = coh_call_output(o);
    coh_buf_clear(&c->output);
    coh_buf_put(&c->output, output.p, output.n);
    coh_buf_clear(&c->logs);
    if (o->log_cnt != 0) {
        coh_outcome_put_logs(&c->logs, o);
    }
    return true;
}

static coh_call_run_t done(coh_call_t *c)
{
    c->stage = STAGE_DONE;
    return COH_CALL_RUN_DONE;
}

coh_call_run_t coh_call_fail(coh_call_t *c, coh_call_err_t err)
{
    c->result.err = (uint32_t)err;
    return done(c);
}

/* Code that the transaction deployed, for the trace and for the transactions after it. */
static void take_new_code(coh_call_t *c, coh_outcome_t const *o)
{
    for (uint32_t i = 0; i < o->write_cnt; i++) {
        coh_write_code_t const *code = o->writes[i].code;
        if ((o->writes[i].flags & COH_WRITE_CODE) && code->bytes.n != 0) {
            (void)coh_call_add_code(c, coh_code_new(code->bytes, c->env.fork, &code->hash));
        }
    }
}

static coh_call_run_t trace(coh_call_t *c)
{
    coh_outcome_t const *o  = coh_transition_outcome(c->transition);
    coh_trace_state_t state = {.value = coh_call_find, .code = find_code_bytes, .arg = c};
    coh_buf_t *out          = &c->traces[c->trace_cnt];
    if (coh_call_tracer_finish(c->tracer, out, o, coh_transition_halt(c->transition), &state) ==
        COH_VIEW_NEED) {
        return COH_CALL_RUN_WANTS;
    }
    c->trace_recs[c->trace_cnt++].json = coh_buf_bytes(out);
    c->trace_bytes += out->n;
    if (coh_call_tracer_is_overflown(c->tracer) || c->trace_bytes > c->limits.trace_bytes_max) {
        return coh_call_fail(c, COH_CALL_MEMORY);
    }
    return COH_CALL_RUN_DONE;
}

/* The block access index (EIP-7928) of what has just been executed: 0 before the transactions, then theirs from 1 on, then one more. */
static uint32_t index_of(coh_call_t const *c)
{
    uint32_t tx_cnt = 0;
    if (c->idx < c->traced) {
        return 0;
    }
    if (!c->txs[c->idx].is_step) {
        return c->idx - c->traced + 1;
    }
    for (uint32_t i = c->traced; i < c->tx_cnt && !c->txs[i].is_step; i++) {
        tx_cnt++;
    }
    return tx_cnt + 1;
}

/* Makes the outcome part of the state that the next transaction finds. */
static coh_call_run_t apply(coh_call_t *c)
{
    coh_outcome_t const *o = coh_transition_outcome(c->transition);
    for (uint32_t i = 0; i < o->write_cnt; i++) {
        coh_value_t ignored;
        if (coh_call_find(c, &ignored, &o->writes[i].key) == COH_VIEW_NEED) {
            return COH_CALL_RUN_WANTS;
        }
    }
    if (c->accesses != NULL) {
        coh_access_list_watch(c->accesses, index_of(c), o, coh_transition_state(c->transition));
        if (coh_access_list_bytes(c->accesses) > ACCESS_BYTES_MAX) {
            return coh_call_fail(c, COH_CALL_MEMORY);
        }
    }
    for (uint32_t i = 0; i < o->write_cnt; i++) {
        coh_write_apply(coh_overlay_find(&c->state, &o->writes[i].key), &o->writes[i]);
    }
    return COH_CALL_RUN_DONE;
}

/* Executes transactions and steps up to number cnt as a block has them. What is not a transaction leaves no trace, and nothing in the result. */
static coh_call_run_t run_txs(coh_call_t *c, uint32_t cnt)
{
    RUN_TRY(coh_call_want_parties(c));
    c->end = cnt;
    while (c->idx < cnt) {
        call_tx_t const *t = &c->txs[c->idx];
        bool traced        = c->tracer != NULL && c->idx >= c->traced && !t->is_step;
        switch (c->stage) {
        case STAGE_BEGIN:
            if (traced) {
                coh_call_tracer_begin(c->tracer, &t->tx, &t->sender, &c->env);
            }
            if (c->tracer != NULL) {
                begin_tracer(c, traced);
            }
            if (t->is_step) {
                coh_transition_begin_step(c->transition, &c->env, &t->step, &c->view);
            } else {
                coh_transition_begin(c->transition, &c->env, &t->tx, &t->sender, &c->view);
            }
            c->stage = STAGE_RUN;
            /* fall through */
        case STAGE_RUN:
            RUN_TRY(coh_call_execute(c));
            if (!t->is_step && !take_outcome(c)) { /* a step is never refused */
                return done(c);
            }
            take_new_code(c, coh_transition_outcome(c->transition));
            c->stage = STAGE_TRACE;
            /* fall through */
        case STAGE_TRACE:
            if (traced) {
                RUN_TRY(trace(c));
            }
            c->stage = STAGE_APPLY;
            /* fall through */
        default:
            RUN_TRY(apply(c));
            c->stage = STAGE_BEGIN;
            c->idx++;
        }
    }
    return COH_CALL_RUN_DONE;
}

/* TRACE_BLOCK, ACCESSES. */
static coh_call_run_t run_block(coh_call_t *c)
{
    RUN_TRY(run_txs(c, c->tx_cnt));
    if (c->accesses != NULL) {
        coh_access_list_put(&c->access_list, c->accesses);
    }
    return done(c);
}

/* TRACE: what comes before the last transaction; then the overrides and the environment that it is to find. */
static coh_call_run_t run_before(coh_call_t *c)
{
    RUN_TRY(run_txs(c, c->tx_cnt - 1));
    for (uint32_t i = 0; i < c->override_cnt; i++) {
        if (!coh_call_want_account(c, &c->overrides[i].addr)) {
            break;
        }
    }
    if (c->wants) {
        return COH_CALL_RUN_WANTS;
    }
    c->is_overridden = true;
    c->end           = 0;
    for (uint32_t i = 0; i < c->override_cnt; i++) {
        coh_key_t key     = coh_key_account(&c->overrides[i].addr);
        coh_value_t value = *coh_overlay_find(&c->state, &key);
        put_value(c, &key, &value);
    }
    coh_transition_set_moves(c->transition, c->moves, c->move_cnt);
    if (c->has_last_env) {
        c->env = c->last_env;
    }
    return COH_CALL_RUN_DONE;
}

/* EXECUTE, TRACE. */
static coh_call_run_t run_one(coh_call_t *c)
{
    if (!c->is_overridden) {
        RUN_TRY(run_before(c));
    }
    switch (c->stage) {
    case STAGE_BEGIN:
        c->tx = c->txs[c->idx].tx;
        if (c->tracer != NULL) {
            c->tx.gas_limit = COH_MIN(c->tx.gas_limit, c->limits.gas_max);
            coh_call_tracer_begin(c->tracer, &c->tx, &c->txs[c->idx].sender, &c->env);
            begin_tracer(c, true);
        }
        begin_with(c, COH_MIN(c->tx.gas_limit, c->limits.gas_max));
        c->stage = STAGE_RUN;
        /* fall through */
    case STAGE_RUN:
        RUN_TRY(coh_call_execute(c));
        if (!take_outcome(c) || c->tracer == NULL) {
            return done(c);
        }
        take_new_code(c, coh_transition_outcome(c->transition));
        c->stage = STAGE_TRACE;
        /* fall through */
    default: RUN_TRY(trace(c)); return done(c);
    }
}

/* ---- ESTIMATE: the search of geth's gas estimator ---- */

/* The highest gas limit to try: of the call or the block, the cap (EIP-7825), what the sender can pay, and the option. */
static coh_call_run_t find_highest(coh_call_t *c)
{
    coh_tx_t const *tx = &c->txs[0].tx;
    c->hi              = tx->gas_limit >= GAS_PLAIN ? tx->gas_limit : c->env.gas_limit;
    if (c->env.fork >= COH_FORK_OSAKA) {
        c->hi = COH_MIN(c->hi, COH_TX_GAS_LIMIT_MAX);
    }
    if (!coh_u256_is_zero(&tx->max_fee)) {
        coh_key_t key = coh_key_account(&c->txs[0].sender);
        coh_value_t sender;
        if (coh_call_find(c, &sender, &key) == COH_VIEW_NEED) {
            return COH_CALL_RUN_WANTS;
        }
        coh_u256_t left = sender.word;
        coh_u256_t blobs;
        if (coh_u256_sub(&left, &left, &tx->value) ||
            coh_u256_mul_u64(&blobs, &tx->max_fee_per_blob_gas, coh_tx_blob_gas(tx)) ||
            coh_u256_sub(&left, &left, &blobs)) {
            c->result.verdict = COH_TX_FUNDS;
            return coh_call_fail(c, COH_CALL_REFUSED);
        }
        coh_u256_div(&left, &left, &tx->max_fee);
        if (coh_u256_fits_u64(&left)) {
            c->hi = COH_MIN(c->hi, left.w[0]);
        }
    }
    c->hi = COH_MIN(c->hi, c->limits.gas_max);
    return COH_CALL_RUN_DONE;
}

/* Whether the last execution failed, for want of gas or otherwise; if it cannot be executed at all, the call is over. */
static bool has_failed(coh_call_t *c)
{
    coh_outcome_t const *o = coh_transition_outcome(c->transition);
    if (o->verdict == COH_TX_INTRINSIC_GAS || o->verdict == COH_TX_FLOOR_GAS) {
        return true;
    }
    if (o->verdict != COH_TX_OK) {
        (void)take_outcome(c);
        c->stage = STAGE_DONE;
        return true;
    }
    return o->status == 0;
}

/* The next gas limit to try, or the end. */
static coh_call_run_t search(coh_call_t *c)
{
    c->stage = STAGE_SEARCH;
    if (c->lo + 1 >= c->hi || (coh_u128_t)(c->hi - c->lo) * 1000 < (coh_u128_t)c->hi * c->ratio) {
        c->result.gas = c->hi;
        return done(c);
    }
    uint64_t mid = c->lo + (c->hi - c->lo) / 2;
    if (mid - c->lo > c->lo) { /* most need little more than they use */
        mid = c->lo * 2;
    }
    begin_with(c, mid);
    return COH_CALL_RUN_DONE;
}

/* The first execution is over, with all the gas there is. */
static coh_call_run_t after_first(coh_call_t *c)
{
    bool failed            = has_failed(c);
    coh_outcome_t const *o = coh_transition_outcome(c->transition);
    if (c->stage == STAGE_DONE) {
        return COH_CALL_RUN_DONE;
    }
    if (failed) {
        bool short_of_gas =
            o->verdict != COH_TX_OK || coh_transition_halt(c->transition) == COH_EVM_OUT_OF_GAS;
        if (!short_of_gas) {
            (void)take_outcome(c);
        }
        c->result.gas = c->hi;
        return coh_call_fail(c, short_of_gas ? COH_CALL_ALLOWANCE : COH_CALL_FAILED);
    }
    (void)take_outcome(c);
    c->lo         = o->gas_used - 1;
    uint64_t hope = (coh_transition_gas_max(c->transition) + GAS_STIPEND) * 64 / 63;
    if (hope >= c->hi) {
        return search(c);
    }
    c->stage = STAGE_HOPE;
    begin_with(c, hope);
    return COH_CALL_RUN_DONE;
}

/* A transfer to whom has no code, if it is one, is tried as such. */
static coh_call_run_t begin_estimate(coh_call_t *c)
{
    coh_tx_t const *tx = &c->txs[0].tx;
    c->tx              = *tx;
    RUN_TRY(find_highest(c));
    if (tx->data.n == 0 && !tx->is_create) {
        coh_key_t key = coh_key_account(&tx->to);
        coh_value_t to;
        if (coh_call_find(c, &to, &key) == COH_VIEW_NEED) {
            return COH_CALL_RUN_WANTS;
        }
        if (!coh_value_has_code(&to)) {
            c->stage = STAGE_PLAIN;
            begin_with(c, GAS_PLAIN);
            return COH_CALL_RUN_DONE;
        }
    }
    c->stage = STAGE_FIRST;
    begin_with(c, c->hi);
    return COH_CALL_RUN_DONE;
}

static coh_call_run_t run_estimate(coh_call_t *c)
{
    if (c->stage == STAGE_BEGIN) {
        RUN_TRY(begin_estimate(c));
    }
    for (;;) {
        RUN_TRY(coh_call_execute(c));
        switch (c->stage) {
        case STAGE_PLAIN: {
            coh_outcome_t const *o = coh_transition_outcome(c->transition);
            if (o->verdict == COH_TX_OK && o->status != 0) {
                (void)take_outcome(c);
                c->result.gas = GAS_PLAIN;
                return done(c);
            }
            c->stage = STAGE_FIRST;
            begin_with(c, c->hi);
            break;
        }
        case STAGE_FIRST: RUN_TRY(after_first(c)); break;
        default:
            if (has_failed(c)) {
                c->lo = c->gas;
            } else {
                c->hi = c->gas;
            }
            if (c->stage == STAGE_DONE) {
                return COH_CALL_RUN_DONE;
            }
            RUN_TRY(search(c));
            break;
        }
    }
}

/* ---- ACCESS_LIST: executed again until the list does not grow, as geth's eth_createAccessList ---- */

static void use_list(coh_call_t *c)
{
    coh_buf_clear(&c->access_list);
    coh_access_tracer_put(
        c->tracer, &c->access_list, &c->tx.access_addr_cnt, &c->tx.access_key_cnt);
    c->tx.access_list = coh_buf_bytes(&c->access_list);
    c->access_cnt     = coh_access_tracer_cnt(c->tracer);
    begin_with(c, COH_MIN(c->tx.gas_limit, c->limits.gas_max));
}

/* Sender, receiver, precompiled contracts and authorities need no place in the list. */
static void exclude(coh_call_t *c, coh_addr_t const *to)
{
    coh_access_tracer_exclude(c->tracer, &c->txs[0].sender);
    coh_access_tracer_exclude(c->tracer, to);
    for (uint32_t i = 1; i <= PRECOMPILE_END; i++) {
        coh_u256_t number = coh_u256(i < PRECOMPILE_END ? i : PRECOMPILE_256);
        coh_addr_t addr   = coh_u256_to_addr(&number);
        if (coh_fork_is_precompile(c->env.fork, &addr)) {
            coh_access_tracer_exclude(c->tracer, &addr);
        }
    }
    coh_rlp_t auths = coh_tx_auth_iter(&c->tx);
    coh_tx_auth_t auth;
    while (c->tx.auth_cnt != 0 && coh_tx_auth_next(&auths, &auth)) {
        coh_addr_t authority;
        if (coh_tx_auth_recover(&authority, &auth)) {
            coh_access_tracer_exclude(c->tracer, &authority);
        }
    }
}

static coh_call_run_t begin_access(coh_call_t *c)
{
    coh_key_t key = coh_key_account(&c->txs[0].sender);
    coh_value_t sender;
    c->tx = c->txs[0].tx;
    if (coh_call_find(c, &sender, &key) == COH_VIEW_NEED) {
        return COH_CALL_RUN_WANTS;
    }
    c->tx.nonce   = sender.nonce;
    coh_addr_t to = coh_tx_receiver(&c->tx, &c->txs[0].sender);
    coh_call_tracer_begin(c->tracer, &c->tx, &c->txs[0].sender, &c->env);
    begin_tracer(c, true);
    exclude(c, &to);
    if (c->tx.access_addr_cnt != 0) {
        coh_rlp_t list = coh_tx_access_iter(&c->txs[0].tx);
        coh_rlp_t keys;
        coh_addr_t addr;
        coh_hash_t word;
        while (coh_tx_access_next(&list, &addr, &keys)) {
            coh_key_t account = coh_key_account(&addr);
            coh_access_tracer_add(c->tracer, &account);
            while (coh_tx_access_key_next(&keys, &word)) {
                coh_u256_t slot = coh_u256_from_be(word.b, sizeof(word.b));
                coh_key_t k     = coh_key_slot(&addr, 0, &slot);
                coh_access_tracer_add(c->tracer, &k);
            }
        }
    }
    c->stage = STAGE_RUN;
    use_list(c);
    return COH_CALL_RUN_DONE;
}

static coh_call_run_t run_access(coh_call_t *c)
{
    if (c->stage == STAGE_BEGIN) {
        RUN_TRY(begin_access(c));
    }
    for (;;) {
        RUN_TRY(coh_call_execute(c));
        if (coh_call_tracer_is_overflown(c->tracer)) {
            return coh_call_fail(c, COH_CALL_MEMORY);
        }
        if (!take_outcome(c) || coh_access_tracer_cnt(c->tracer) == c->access_cnt) {
            return done(c);
        }
        use_list(c);
    }
}

/* ---- running ---- */

static coh_call_run_t run(coh_call_t *c)
{
    switch (c->mode) {
    case COH_CALL_ESTIMATE: return run_estimate(c);
    case COH_CALL_ACCESS_LIST: return run_access(c);
    case COH_CALL_TRACE_BLOCK:
    case COH_CALL_ACCESSES: return run_block(c);
    case COH_CALL_SIMULATE: return coh_simulation_run(c);
    default: return run_one(c);
    }
}

coh_call_run_t coh_call_run(coh_call_t *c)
{
    if (c->stage == STAGE_DONE) {
        return COH_CALL_RUN_DONE;
    }
    coh_call_run_t how = COH_CALL_RUN_WANTS;
    if (!c->scouting) {
        if (c->wanted_cnt != 0) {
            take_given(c);
        }
        how = run(c);
    }
    if (how == COH_CALL_RUN_WANTS && c->end != 0) {
        c->scouting = !coh_call_scout(c);
        how         = c->scouting ? COH_CALL_RUN_SLICE : COH_CALL_RUN_WANTS;
    }
    if (how == COH_CALL_RUN_SLICE && c->tracer != NULL && coh_call_tracer_is_overflown(c->tracer)) {
        how = coh_call_fail(c, COH_CALL_MEMORY);
    }
    return how;
}

coh_msg_call_result_t const *coh_call_result(coh_call_t *c)
{
    coh_msg_call_result_t *r = &c->result;
    r->output                = coh_buf_bytes(&c->output);
    r->logs                  = coh_buf_bytes(&c->logs);
    r->access_list           = coh_buf_bytes(&c->access_list);
    r->traces.v              = c->trace_recs;
    r->traces.cnt            = c->trace_cnt;
    if (c->sim != NULL) {
        coh_simulation_result(c->sim, r);
    }
    return r;
}
