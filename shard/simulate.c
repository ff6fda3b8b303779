/* One block of a simulation (eth_simulateV1): overrides, then steps and unsigned transactions, each on the state that the one before leaves; all of it on a committed block and on what the
   simulated blocks before have read and changed, which came along. What has been read and changed by then goes back. */
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/codec/receipt.h"
#include "common/crypto/keccak.h"
#include "common/evm/code.h"
#include "common/evm/gas.h"
#include "common/evm/opcodes.h"
#include "common/state/state.h"
#include "shard/callrun_private.h"

/* Depths that the EVM tells its tracer: of frames, and one more of what begins on top of the last. */
#define DEPTH_CNT (COH_CALL_DEPTH_MAX + 3u)

/* keccak256("Transfer(address,address,uint256)"), and who logs it of ether (ERC-7528). */
static coh_hash_t const TRANSFER_TOPIC  = {{0xdd, 0xf2, 0x52, 0xad, 0x1b, 0xe2, 0xc8, 0x9b,
                                            0x69, 0xc2, 0xb0, 0x68, 0xfc, 0x37, 0x8d, 0xaa,
                                            0x95, 0x2b, 0xa7, 0xf1, 0x63, 0xc4, 0xa1, 0x16,
                                            0x28, 0xf5, 0x5a, 0x4d, 0xf5, 0x23, 0xb3, 0xef}};
static coh_addr_t const TRANSFER_LOGGER = {{0xee, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee,
                                            0xee, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee,
                                            0xee, 0xee, 0xee, 0xee, 0xee, 0xee}};

/* A transfer of ether, and how many logs there were before it. */
typedef struct {
    coh_addr_t from;
    coh_addr_t to;
    coh_u256_t value;
    uint32_t log_cnt;
} transfer_t;

/* Listens for transfers; those of calls that fail are forgotten. */
typedef struct {
    coh_tracer_t hooks; /* first: it is cast back */
    coh_transition_t const *transition;
    transfer_t *v; /* owned */
    size_t cnt, cap;
    size_t marks[DEPTH_CNT]; /* by depth: how many there were when it was entered */
} transfers_t;

typedef struct {
    uint64_t nonce;
    uint64_t gas;
    uint32_t status;
    uint64_t gas_used;
    uint64_t gas_max;
    size_t output_end, logs_end, shown_end; /* in texts, each behind the one before */
} outcome_t;

struct coh_simulation {
    uint32_t flags;    /* COH_SIM_* */
    uint64_t budget;   /* gas that is left */
    uint64_t gas_used; /* in the block */
    uint8_t *given;    /* owned; by transaction */
    uint32_t asked;    /* overrides whose accounts were asked for... */
    uint32_t override; /* ...and the next one to be applied */
    coh_overlay_t
        added; /* keys that blocks simulated so far have changed; generation: of an account, at the committed block */
    bool *is_new; /* owned; by number of a code: it came with the simulation */
    uint32_t new_cap;
    transfers_t *transfers; /* owned; NULL: not wanted */
    outcome_t *outcomes;    /* owned; of what has been executed */
    uint32_t outcome_cnt;
    coh_buf_t texts;
    coh_rec_sim_result_t *results; /* owned, as what follows; made at the end */
    coh_rec_sim_account_t *accounts;
    uint32_t account_cnt;
    coh_rec_sim_slot_t *slots;
    uint32_t slot_cnt;
    coh_rec_sim_code_t *codes;
    uint32_t code_cnt;
    uint64_t sender_nonce; /* of the sender that was refused */
    coh_u256_t sender_balance;
};

/* ---- transfers ---- */

static void on_enter(coh_tracer_t *hooks, coh_trace_call_t const *call)
{
    transfers_t *t = (transfers_t *)(void *)hooks;
    COH_ASSERT(call->depth < DEPTH_CNT);
    t->marks[call->depth] = t->cnt;
    bool moves            = call->opcode != COH_OP_DELEGATECALL && call->opcode != COH_OP_CALLCODE;
    if (!moves || coh_u256_is_zero(&call->value)) {
        return;
    }
    if (t->cnt == t->cap) {
        t->cap = t->cap * 2 + 8;
        t->v   = coh_realloc(t->v, t->cap * sizeof(*t->v));
    }
    t->v[t->cnt++] = (transfer_t){.from    = call->from,
                                  .to      = call->to,
                                  .value   = call->value,
                                  .log_cnt = coh_transition_state(t->transition)->log_cnt};
}

static void on_leave(coh_tracer_t *hooks,
                     uint32_t depth,
                     uint32_t status,
                     uint64_t gas_used,
                     coh_bytes_t output)
{
    transfers_t *t = (transfers_t *)(void *)hooks;
    (void)gas_used;
    (void)output;
    if (status != COH_EVM_SUCCESS) {
        t->cnt = t->marks[depth];
    }
}

static coh_hash_t topic_of(coh_addr_t const *addr)
{
    coh_hash_t topic = {{0}};
    memcpy(topic.b + sizeof(topic.b) - sizeof(addr->b), addr->b, sizeof(addr->b));
    return topic;
}

static void put_transfer(coh_buf_t *out, transfer_t const *t)
{
    coh_hash_t topics[] = {TRANSFER_TOPIC, topic_of(&t->from), topic_of(&t->to)};
    uint8_t value[32];
    coh_u256_to_be(value, &t->value);
    coh_log_put(out, &TRANSFER_LOGGER, topics, COH_CNT(topics), coh_bytes(value, sizeof(value)));
}

/* Logs and transfers as they came. */
static void put_shown(coh_buf_t *out, coh_outcome_t const *o, transfers_t const *t)
{
    size_t start = out->n;
    size_t next  = 0;
    for (uint32_t i = 0; i <= o->log_cnt; i++) {
        while (next < t->cnt && t->v[next].log_cnt <= i) {
            put_transfer(out, &t->v[next++]);
        }
        if (i < o->log_cnt) {
            coh_log_t const *log = &o->logs[i];
            coh_log_put(out, &log->addr, log->topics, log->topic_cnt, log->data);
        }
    }
    coh_rlp_wrap_list(out, start);
}

/* ---- what has changed ---- */

/* Notes that key changes; its value is at hand. */
static void note(coh_call_t *c, coh_key_t const *key)
{
    coh_overlay_t *added = &c->sim->added;
    if (coh_overlay_find(added, key) == NULL) {
        coh_value_t const *is = coh_overlay_find(&c->state, key);
        (void)coh_overlay_put(added, key, &(coh_value_t){.generation = is->generation});
    }
}

/* Takes the reference. */
static void add_code(coh_call_t *c, coh_code_t const *code)
{
    coh_simulation_t *sim = c->sim;
    uint32_t number       = coh_call_add_code(c, code);
    if (number >= sim->new_cap) {
        uint32_t cap = c->code_cap;
        sim->is_new  = coh_realloc(sim->is_new, cap * sizeof(*sim->is_new));
        memset(sim->is_new + sim->new_cap, 0, (cap - sim->new_cap) * sizeof(*sim->is_new));
        sim->new_cap = cap;
    }
    sim->is_new[number] = true;
}

static void take_account(coh_call_t *c, coh_rec_sim_account_t const *a)
{
    coh_key_t key = coh_key_account(&a->addr);
    (void)coh_overlay_put(&c->state,
                          &key,
                          &(coh_value_t){.word       = a->balance,
                                         .nonce      = a->nonce,
                                         .code_hash  = a->code_hash,
                                         .generation = a->generation,
                                         .flags      = a->flags});
    if (a->changed != 0) {
        (void)coh_overlay_put(&c->sim->added, &key, &(coh_value_t){.generation = a->base});
    }
}

static void take_before(coh_call_t *c, coh_msg_call_t const *m)
{
    for (uint32_t i = 0; i < m->accounts.cnt; i++) {
        take_account(c, &m->accounts.v[i]);
    }
    for (uint32_t i = 0; i < m->storage.cnt; i++) {
        coh_rec_sim_slot_t const *s = &m->storage.v[i];
        coh_key_t key               = coh_key_slot(&s->addr, s->generation, &s->slot);
        (void)coh_overlay_put(&c->state, &key, &(coh_value_t){.word = s->value});
        if (s->changed != 0) {
            note(c, &key);
        }
    }
    for (uint32_t i = 0; i < m->codes.cnt; i++) {
        coh_hash_t hash;
        coh_bytes_t code = m->codes.v[i].code;
        coh_keccak256(&hash, code.p, code.n);
        add_code(c, coh_code_new(code, c->env.fork, &hash));
    }
    for (size_t i = 0; i < m->hashes.n / sizeof(coh_hash_t); i++) {
        coh_key_t key = {.kind = COH_KEY_BLOCK_HASH, .slot = coh_u256(m->block + 1 + i)};
        coh_u256_t is = coh_u256_load_be(m->hashes.p + i * sizeof(coh_hash_t));
        (void)coh_overlay_put(&c->state, &key, &(coh_value_t){.word = is});
    }
}

bool coh_simulation_new(coh_call_t *c, coh_msg_call_t const *m)
{
    if ((m->trace_flags & ~(uint32_t)COH_SIM_MASK) != 0 || m->given.n != m->txs.cnt ||
        m->hashes.n % sizeof(coh_hash_t) != 0 ||
        m->hashes.n > COH_SIM_BLOCK_MAX * sizeof(coh_hash_t) ||
        m->accounts.cnt > COH_SIM_STATE_MAX || m->storage.cnt > COH_SIM_STATE_MAX ||
        m->codes.cnt > COH_SIM_STATE_MAX) {
        return false;
    }
    coh_simulation_t *sim = coh_calloc(1, sizeof(*sim));
    c->sim                = sim;
    sim->flags            = m->trace_flags;
    sim->budget           = m->budget;
    sim->given            = coh_calloc(m->given.n + 1, 1);
    sim->outcomes         = coh_calloc((size_t)m->txs.cnt + 1, sizeof(*sim->outcomes));
    if (m->given.n != 0) {
        memcpy(sim->given, m->given.p, m->given.n);
    }
    coh_overlay_init(&sim->added, c->limits.seed);
    coh_buf_grow(&sim->texts, 1);
    if (sim->flags & COH_SIM_TRANSFERS) {
        sim->transfers             = coh_calloc(1, sizeof(*sim->transfers));
        sim->transfers->hooks      = (coh_tracer_t){.enter = on_enter, .leave = on_leave};
        sim->transfers->transition = c->transition;
        coh_transition_set_tracer(c->transition, &sim->transfers->hooks);
    }
    take_before(c, m);
    return true;
}

void coh_simulation_free(coh_simulation_t *sim)
{
    if (sim == NULL) {
        return;
    }
    if (sim->transfers != NULL) {
        free(sim->transfers->v);
        free(sim->transfers);
    }
    coh_overlay_fini(&sim->added);
    coh_buf_free(&sim->texts);
    free(sim->given);
    free(sim->is_new);
    free(sim->outcomes);
    free(sim->results);
    free(sim->accounts);
    free(sim->slots);
    free(sim->codes);
    free(sim);
}

size_t coh_simulation_bytes(coh_simulation_t const *sim)
{
    return sizeof(*sim) + coh_overlay_bytes(&sim->added) + sim->texts.cap +
           (sim->transfers != NULL ? sim->transfers->cap * sizeof(transfer_t) : 0);
}

/* ---- overrides ---- */

static void override_code(coh_call_t *c, coh_value_t *value, coh_bytes_t code)
{
    value->code_hash = (coh_hash_t){{0}};
    if (code.n != 0) {
        coh_keccak256(&value->code_hash, code.p, code.n);
        add_code(c, coh_code_new(code, c->env.fork, &value->code_hash));
    }
}

/* Applies one override: an account that it names exists afterwards, empty or not, as in geth. */
static void override_account(coh_call_t *c, override_t const *o, coh_value_t value)
{
    coh_key_t key = coh_key_account(&o->addr);
    note(c, &key);
    bool any = o->fields != 0;
    if (o->fields & COH_OVERRIDE_NONCE) {
        value.nonce = o->nonce;
    }
    if (o->fields & COH_OVERRIDE_BALANCE) {
        value.word = o->balance;
    }
    if (o->fields & COH_OVERRIDE_CODE) {
        override_code(c, &value, o->code);
    }
    if (o->fields & COH_OVERRIDE_STATE) {
        value.generation++; /* no slot of that has been written at this block or before */
    }
    uint32_t cnt;
    override_slot_t const *slots = coh_call_slots_of(c, &o->addr, &cnt);
    for (uint32_t i = 0; i < cnt; i++) {
        coh_key_t slot = coh_key_slot(&o->addr, value.generation, &slots[i].slot);
        (void)coh_overlay_put(&c->state, &slot, &(coh_value_t){.word = slots[i].value});
        note(c, &slot);
    }
    value.flags |= any || cnt > 0 ? COH_ACCOUNT_EXISTS : 0u;
    (void)coh_overlay_put(&c->state, &key, &value);
}

static coh_call_run_t override_all(coh_call_t *c)
{
    coh_simulation_t *sim = c->sim;
    while (sim->asked < c->override_cnt &&
           coh_call_want_account(c, &c->overrides[sim->asked].addr)) {
        sim->asked++;
    }
    if (c->wants) {
        return COH_CALL_RUN_WANTS;
    }
    for (; sim->override < c->override_cnt; sim->override++) {
        override_t const *o = &c->overrides[sim->override];
        coh_key_t key       = coh_key_account(&o->addr);
        coh_value_t value;
        if (coh_call_find(c, &value, &key) == COH_VIEW_NEED) {
            return COH_CALL_RUN_WANTS;
        }
        override_account(c, o, value);
    }
    return COH_CALL_RUN_DONE;
}

/* ---- executing ---- */

/* Begins transaction c->idx: with its own nonce and gas, or with what there is. */
static coh_call_run_t begin_tx(coh_call_t *c)
{
    coh_simulation_t *sim = c->sim;
    call_tx_t const *t    = &c->txs[c->idx];
    uint8_t given         = sim->given[c->idx];
    coh_key_t key         = coh_key_account(&t->sender);
    coh_value_t sender;
    if (coh_call_find(c, &sender, &key) == COH_VIEW_NEED) {
        return COH_CALL_RUN_WANTS;
    }
    sim->sender_nonce   = sender.nonce;
    sim->sender_balance = sender.word;
    c->tx               = t->tx;
    if (!(given & COH_SIM_GIVEN_NONCE)) {
        c->tx.nonce = sender.nonce;
    }
    uint64_t left = c->env.gas_limit - sim->gas_used;
    if (!(given & COH_SIM_GIVEN_GAS)) {
        c->tx.gas_limit = left;
    }
    outcome_t *o = &sim->outcomes[c->idx];
    o->nonce     = c->tx.nonce;
    if (c->tx.gas_limit > left) {
        c->result.verdict  = COH_TX_GAS_LIMIT;
        c->result.gas_used = sim->gas_used;
        c->result.tx_idx   = c->idx;
        return coh_call_fail(c, COH_CALL_REFUSED);
    }
    c->tx.gas_limit = COH_MIN(c->tx.gas_limit, sim->budget);
    o->gas          = c->tx.gas_limit;
    if (sim->transfers != NULL) {
        sim->transfers->cnt = 0;
    }
    coh_transition_begin_simulated(
        c->transition, &c->env, &c->tx, &t->sender, &c->view, (sim->flags & COH_SIM_VALIDATE) != 0);
    return COH_CALL_RUN_DONE;
}

static coh_call_run_t begin(coh_call_t *c)
{
    if (!c->txs[c->idx].is_step) {
        return begin_tx(c);
    }
    coh_transition_begin_step(c->transition, &c->env, &c->txs[c->idx].step, &c->view);
    return COH_CALL_RUN_DONE;
}

/* Keeps what came of it; false: the transaction was refused. */
static bool take_outcome(coh_call_t *c)
{
    coh_simulation_t *sim  = c->sim;
    coh_outcome_t const *o = coh_transition_outcome(c->transition);
    outcome_t *to          = &sim->outcomes[c->idx];
    coh_buf_t *texts       = &sim->texts;
    if (o->verdict != COH_TX_OK) {
        c->result.verdict = (uint32_t)o->verdict;
        c->result.tx_idx  = c->idx;
        c->result.gas     = to->gas;
        return false;
    }
    bool is_step       = c->txs[c->idx].is_step;
    coh_bytes_t output = is_step ? o->output : coh_call_output(o);
    coh_buf_put(texts, output.p, output.n);
    to->output_end = texts->n;
    to->status     = is_step ? o->status : (uint32_t)coh_transition_halt(c->transition);
    if (!is_step) {
        to->gas_used = o->gas_used;
        to->gas_max  = coh_transition_gas_max(c->transition);
        sim->gas_used += o->gas_used;
        sim->budget -= o->gas_used;
        if (o->log_cnt != 0) {
            coh_outcome_put_logs(texts, o);
        }
    }
    to->logs_end = texts->n;
    if (!is_step && sim->transfers != NULL && sim->transfers->cnt != 0) {
        put_shown(texts, o, sim->transfers);
    }
    to->shown_end = texts->n;
    for (uint32_t i = 0; i < o->write_cnt; i++) {
        coh_write_code_t const *code = o->writes[i].code;
        if ((o->writes[i].flags & COH_WRITE_CODE) && code->bytes.n != 0) {
            add_code(c, coh_code_new(code->bytes, c->env.fork, &code->hash));
        }
    }
    return true;
}

static coh_call_run_t apply(coh_call_t *c)
{
    coh_outcome_t const *o = coh_transition_outcome(c->transition);
    coh_value_t ignored;
    for (uint32_t i = 0; i < o->write_cnt; i++) {
        if (coh_call_find(c, &ignored, &o->writes[i].key) == COH_VIEW_NEED) {
            return COH_CALL_RUN_WANTS;
        }
    }
    for (uint32_t i = 0; i < o->write_cnt; i++) {
        note(c, &o->writes[i].key);
        coh_write_apply(coh_overlay_find(&c->state, &o->writes[i].key), &o->writes[i]);
    }
    return COH_CALL_RUN_DONE;
}

/* Adds an account, or a slot that its account can still see, to what goes back. */
static void list_item(coh_call_t *c, coh_overlay_item_t const *item)
{
    coh_simulation_t *sim    = c->sim;
    coh_key_t const *key     = &item->key;
    coh_value_t const *is    = &item->value;
    coh_value_t const *added = coh_overlay_find(&sim->added, key);
    if (key->kind == COH_KEY_ACCOUNT) {
        sim->accounts[sim->account_cnt++] =
            (coh_rec_sim_account_t){.addr       = key->addr,
                                    .nonce      = is->nonce,
                                    .balance    = is->word,
                                    .code_hash  = is->code_hash,
                                    .flags      = is->flags,
                                    .generation = is->generation,
                                    .base    = added != NULL ? added->generation : is->generation,
                                    .changed = added != NULL};
        return;
    }
    coh_key_t account      = coh_key_account(&key->addr);
    coh_value_t const *has = coh_overlay_find(&c->state, &account);
    if (key->kind == COH_KEY_SLOT && has != NULL && has->generation == key->generation) {
        sim->slots[sim->slot_cnt++] = (coh_rec_sim_slot_t){.addr       = key->addr,
                                                           .generation = (uint32_t)key->generation,
                                                           .slot       = key->slot,
                                                           .value      = is->word,
                                                           .changed    = added != NULL};
    }
}

/* Lists what has been read and changed, and new codes. What was only read saves the next block the way to its owner. */
static void list_state(coh_call_t *c)
{
    coh_simulation_t *sim = c->sim;
    sim->accounts         = coh_calloc((size_t)c->state.cnt + 1, sizeof(*sim->accounts));
    sim->slots            = coh_calloc((size_t)c->state.cnt + 1, sizeof(*sim->slots));
    sim->codes            = coh_calloc((size_t)c->code_cnt + 1, sizeof(*sim->codes));
    for (uint32_t i = 0; i < c->state.cnt; i++) {
        list_item(c, &c->state.items[i]);
    }
    for (uint32_t i = 0; i < COH_MIN(c->code_cnt, sim->new_cap); i++) {
        if (sim->is_new[i]) {
            sim->codes[sim->code_cnt++] =
                (coh_rec_sim_code_t){.code = coh_bytes(c->codes[i]->bytes, c->codes[i]->size)};
        }
    }
}

coh_call_run_t coh_simulation_run(coh_call_t *c)
{
    coh_simulation_t *sim = c->sim;
    RUN_TRY(override_all(c));
    RUN_TRY(coh_call_want_parties(c));
    while (c->idx < c->tx_cnt) {
        switch (c->stage) {
        case STAGE_BEGIN:
            RUN_TRY(begin(c));
            c->stage = STAGE_RUN;
            /* fall through */
        case STAGE_RUN:
            RUN_TRY(coh_call_execute(c));
            if (!take_outcome(c)) {
                return coh_call_fail(c, COH_CALL_REFUSED);
            }
            c->stage = STAGE_APPLY;
            /* fall through */
        default:
            RUN_TRY(apply(c));
            c->stage = STAGE_BEGIN;
            c->idx++;
            sim->outcome_cnt++;
        }
        if (c->state.cnt > COH_SIM_STATE_MAX || sim->texts.n > c->limits.trace_bytes_max) {
            return coh_call_fail(c, COH_CALL_MEMORY);
        }
    }
    list_state(c);
    c->stage = STAGE_DONE;
    return COH_CALL_RUN_DONE;
}

void coh_simulation_result(coh_simulation_t *sim, coh_msg_call_result_t *out)
{
    if (out->err != COH_CALL_OK) {
        out->nonce   = sim->sender_nonce;
        out->balance = sim->sender_balance;
        return;
    }
    if (sim->results == NULL) {
        sim->results = coh_calloc((size_t)sim->outcome_cnt + 1, sizeof(*sim->results));
    }
    size_t at = 0;
    for (uint32_t i = 0; i < sim->outcome_cnt; i++) {
        outcome_t const *o = &sim->outcomes[i];
        uint8_t const *p   = sim->texts.p;
        sim->results[i]    = (coh_rec_sim_result_t){
               .nonce    = o->nonce,
               .gas      = o->gas,
               .status   = o->status,
               .gas_used = o->gas_used,
               .gas_max  = o->gas_max,
               .output   = coh_bytes(p + at, o->output_end - at),
               .logs     = coh_bytes(p + o->output_end, o->logs_end - o->output_end),
               .shown    = coh_bytes(p + o->logs_end, o->shown_end - o->logs_end)};
        at = o->shown_end;
    }
    out->results.v    = sim->results;
    out->results.cnt  = sim->outcome_cnt;
    out->accounts.v   = sim->accounts;
    out->accounts.cnt = sim->account_cnt;
    out->storage.v    = sim->slots;
    out->storage.cnt  = sim->slot_cnt;
    out->codes.v      = sim->codes;
    out->codes.cnt    = sim->code_cnt;
}
