#include "shard/tracer.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/hex.h"
#include "common/base/utf8.h"
#include "common/codec/tx.h"
#include "common/evm/gas.h"
#include "common/evm/opcodes.h"
#include "common/evm/revert.h"

/* Memory kept from transaction to transaction. */
#define KEEP_BYTES ((size_t)1 << 20)
#define NONE       UINT32_MAX
/* Beside the kinds that can be asked for. */
#define KIND_ACCESS COH_TRACER_CNT

/* Marks of an account in the set of a prestate. */
enum { MARK_DELETED = 1 };

/* callTracer: a call, creation or SELFDESTRUCT. */
typedef struct {
    coh_addr_t from, to;
    coh_u256_t value;
    uint64_t gas;
    uint64_t gas_used;
    coh_bytes_t input;  /* in the arena */
    coh_bytes_t output; /* likewise */
    uint32_t parent;
    uint32_t depth;
    uint32_t status;
    uint32_t child_cnt;
    uint32_t first_log, last_log;
    uint8_t opcode;
    bool failed; /* it, or one around it */
} call_t;

typedef struct {
    coh_addr_t addr;
    uint32_t topic_cnt;
    coh_hash_t topics[4];
    coh_bytes_t data;  /* in the arena */
    uint32_t position; /* calls of its frame before it */
    uint32_t next;
} log_t;

struct coh_call_tracer {
    coh_tracer_t hooks; /* first: it is cast back */
    uint32_t kind;
    uint32_t flags;
    size_t byte_max;
    bool overflown;
    coh_tx_t const *tx;
    coh_addr_t sender;
    coh_block_env_t const *block;

    /* Struct logs: the text so far; of the last instruction the cost, and what a load brought, are not known yet. */
    coh_buf_t text;
    uint64_t limit;     /* 0: none */
    uint64_t entry_cnt; /* in the text */
    bool open;
    uint8_t open_opcode;
    uint32_t open_depth;
    uint64_t open_gas;
    uint64_t open_cost; /* static */
    coh_addr_t open_self;
    coh_u256_t open_slot;
    uint64_t gas_at[COH_CALL_DEPTH_MAX + 2]; /* by depth: what was given */
    bool creates_at[COH_CALL_DEPTH_MAX + 2];

    /* callTracer */
    coh_arena_t arena;
    call_t *calls;
    uint32_t call_cnt, call_cap;
    uint32_t cur; /* innermost that is not over, or NONE */
    log_t *logs;
    uint32_t log_cnt, log_cap;

    /* Slots by account (struct logs), accounts and slots (prestate, accesses). */
    coh_overlay_t set;
    coh_overlay_t excluded;
};

static coh_call_tracer_t *of(coh_tracer_t *hooks) { return (coh_call_tracer_t *)hooks; }

size_t coh_call_tracer_bytes(coh_call_tracer_t const *t)
{
    return t->text.n + t->arena.total + t->call_cnt * sizeof(call_t) + t->log_cnt * sizeof(log_t) +
           coh_overlay_bytes(&t->set);
}

static bool is_full(coh_call_tracer_t *t)
{
    t->overflown = t->overflown || coh_call_tracer_bytes(t) > t->byte_max;
    return t->overflown;
}

static coh_bytes_t keep(coh_call_tracer_t *t, coh_bytes_t in)
{
    if (in.n == 0 || in.n > t->byte_max) {
        t->overflown = t->overflown || in.n != 0;
        return (coh_bytes_t){0};
    }
    uint8_t *p = coh_arena_alloc(&t->arena, in.n);
    memcpy(p, in.p, in.n);
    return coh_bytes(p, in.n);
}

/* ---- JSON ---- */

static void put_text(coh_buf_t *out, char const *text) { coh_buf_put(out, text, strlen(text)); }

static void put_digits(coh_buf_t *out, coh_bytes_t in)
{
    static char const digits[] = "0123456789abcdef";
    uint8_t *p                 = coh_buf_extend(out, 2 * in.n);
    for (size_t i = 0; i < in.n; i++) {
        p[2 * i]     = (uint8_t)digits[in.p[i] >> 4];
        p[2 * i + 1] = (uint8_t)digits[in.p[i] & 15];
    }
}

/* "0x..", all octets. */
static void put_data(coh_buf_t *out, coh_bytes_t in)
{
    put_text(out, "\"0x");
    put_digits(out, in);
    put_text(out, "\"");
}

static void put_addr(coh_buf_t *out, coh_addr_t const *addr)
{
    put_data(out, coh_bytes(addr->b, sizeof(addr->b)));
}

/* "0x..", without leading zeros. */
static void put_quantity(coh_buf_t *out, coh_u256_t const *v)
{
    char text[COH_HEX_QUANTITY_SZ];
    (void)coh_hex_quantity(text, v);
    coh_buf_printf(out, "\"%s\"", text);
}

static void put_word(coh_buf_t *out, coh_u256_t const *v)
{
    uint8_t be[32];
    coh_u256_to_be(be, v);
    put_digits(out, coh_bytes(be, sizeof(be)));
}

static void put_string(coh_buf_t *out, coh_bytes_t in)
{
    put_text(out, "\"");
    for (size_t i = 0; i < in.n;) {
        uint8_t c = in.p[i];
        size_t n  = coh_utf8_len(in.p + i, in.n - i);
        if (n == 0) {
            put_text(out, "\\ufffd");
            n = 1;
        } else if (c == '"' || c == '\\') {
            coh_buf_printf(out, "\\%c", c);
        } else if (c < 0x20) {
            coh_buf_printf(out, "\\u%04x", c);
        } else {
            coh_buf_put(out, in.p + i, n);
        }
        i += n;
    }
    put_text(out, "\"");
}

static void put_cstring(coh_buf_t *out, char const *text)
{
    put_string(out, coh_bytes(text, strlen(text)));
}

/* ---- accounts and slots ---- */

/* In the set an account's nonce leads to the last of its slots, a slot's nonce to the one before: number of the item plus 1, 0 for none. */
static coh_value_t *mark_account(coh_call_tracer_t *t, coh_addr_t const *addr, uint32_t mark)
{
    coh_key_t key = coh_key_account(addr);
    if (coh_overlay_find(&t->set, &key) == NULL) {
        (void)coh_overlay_put(&t->set, &key, &(coh_value_t){0});
    }
    coh_value_t *there = coh_overlay_find(&t->set, &key);
    there->flags |= mark;
    return there;
}

/* The account itself was accessed. */
static void access_account(coh_call_tracer_t *t, coh_addr_t const *addr, uint32_t mark)
{
    coh_key_t key = coh_key_account(addr);
    if (coh_overlay_find(&t->excluded, &key) == NULL) {
        (void)mark_account(t, addr, mark);
    }
}

static void mark_slot(coh_call_tracer_t *t,
                      coh_addr_t const *addr,
                      coh_u256_t const *slot,
                      coh_u256_t const *word)
{
    coh_key_t key      = coh_key_slot(addr, 0, slot);
    coh_value_t *there = coh_overlay_find(&t->set, &key);
    if (there != NULL) {
        there->word = *word;
        return;
    }
    coh_value_t value = {.word = *word, .nonce = mark_account(t, addr, 0)->nonce};
    (void)coh_overlay_put(&t->set, &key, &value);
    uint32_t number                 = t->set.cnt;
    mark_account(t, addr, 0)->nonce = number;
}

/* The slots of addr: *at, 0 at first, is moved to the next one; NULL: no more. */
static coh_overlay_item_t const *next_slot(coh_call_tracer_t const *t,
                                           coh_addr_t const *addr,
                                           uint64_t *at)
{
    coh_key_t key            = coh_key_account(addr);
    coh_value_t const *first = *at == 0 ? coh_overlay_find(&t->set, &key) : NULL;
    *at = *at != 0 ? t->set.items[*at - 1].value.nonce : first != NULL ? first->nonce : 0;
    return *at != 0 ? &t->set.items[*at - 1] : NULL;
}

/* ---- struct logs ---- */

static void put_storage(coh_call_tracer_t *t, coh_u256_t const *value)
{
    mark_slot(t, &t->open_self, &t->open_slot, value);
    put_text(&t->text, ",\"storage\":{");
    char const *sep = "\"";
    uint64_t at     = 0;
    coh_overlay_item_t const *item;
    while (!is_full(t) && (item = next_slot(t, &t->open_self, &at)) != NULL) {
        put_text(&t->text, sep);
        put_word(&t->text, &item->key.slot);
        put_text(&t->text, "\":\"");
        put_word(&t->text, &item->value.word);
        put_text(&t->text, "\"");
        sep = ",\"";
    }
    put_text(&t->text, "}");
}

/* Ends the last entry; value: of an SLOAD what it brought, else NULL. */
static void close_step(coh_call_tracer_t *t,
                       uint64_t gas_cost,
                       coh_u256_t const *value,
                       char const *error)
{
    if (!t->open) {
        return;
    }
    t->open = false;
    coh_buf_printf(&t->text, ",\"gasCost\":%" PRIu64, gas_cost);
    if (value != NULL && !(t->flags & COH_TRACE_NO_STORAGE)) {
        put_storage(t, value);
    }
    if (error != NULL) {
        put_text(&t->text, ",\"error\":");
        put_cstring(&t->text, error);
    }
    put_text(&t->text, "}");
}

static void put_memory(coh_buf_t *out, coh_bytes_t memory)
{
    put_text(out, ",\"memory\":[");
    for (size_t i = 0; i < memory.n; i += 32) {
        put_text(out, i == 0 ? "\"" : ",\"");
        put_digits(out, coh_bytes(memory.p + i, COH_MIN(memory.n - i, (size_t)32)));
        put_text(out, "\"");
    }
    put_text(out, "]");
}

/* Of entries alone, as geth counts: there is a comma between any two. */
static bool is_over_limit(coh_call_tracer_t const *t)
{
    return t->limit != 0 && t->entry_cnt != 0 && t->text.n - (t->entry_cnt - 1) > t->limit;
}

static void struct_step(coh_call_tracer_t *t, coh_trace_step_t const *s)
{
    if (t->open) { /* in the same frame: others end by an enter or leave */
        bool loaded = t->open_opcode == COH_OP_SLOAD && s->stack_cnt != 0;
        close_step(t, t->open_gas - s->gas, loaded ? &s->stack[s->stack_cnt - 1] : NULL, NULL);
    }
    if (is_full(t) || is_over_limit(t)) {
        return;
    }
    coh_buf_t *out   = &t->text;
    char const *name = coh_opcode_name(s->opcode, t->block->fork);
    coh_buf_printf(out, "%s{\"pc\":%u,\"op\":\"", out->n != 0 ? "," : "", s->pc);
    if (name != NULL) {
        put_text(out, name);
    } else {
        coh_buf_printf(out, "opcode 0x%x not defined", s->opcode);
    }
    coh_buf_printf(out, "\",\"gas\":%" PRIu64 ",\"depth\":%u", s->gas, s->depth);
    if (!(t->flags & COH_TRACE_NO_STACK)) {
        put_text(out, ",\"stack\":[");
        for (uint32_t i = 0; i < s->stack_cnt; i++) {
            put_text(out, i == 0 ? "" : ",");
            put_quantity(out, &s->stack[i]);
        }
        put_text(out, "]");
    }
    if ((t->flags & COH_TRACE_MEMORY) && s->memory.n != 0) {
        put_memory(out, s->memory);
    }
    if ((t->flags & COH_TRACE_RETURN_DATA) && s->return_data.n != 0) {
        put_text(out, ",\"returnData\":");
        put_data(out, s->return_data);
    }
    if (s->refund > 0) {
        coh_buf_printf(out, ",\"refund\":%" PRId64, s->refund);
    }
    t->entry_cnt++;
    t->open        = true;
    t->open_opcode = s->opcode;
    t->open_depth  = s->depth;
    t->open_gas    = s->gas;
    t->open_cost   = s->gas_cost;
    t->open_self   = *s->self;
    if ((s->opcode == COH_OP_SLOAD && s->stack_cnt >= 1) ||
        (s->opcode == COH_OP_SSTORE && s->stack_cnt >= 2)) {
        t->open_slot = s->stack[s->stack_cnt - 1];
        if (s->opcode == COH_OP_SSTORE && !(t->flags & COH_TRACE_NO_STORAGE)) {
            put_storage(t, &s->stack[s->stack_cnt - 2]);
        }
    }
}

static void struct_enter(coh_call_tracer_t *t, coh_trace_call_t const *c)
{
    close_step(t, t->open_gas - c->caller_gas, NULL, NULL);
    t->gas_at[c->depth]     = c->gas;
    t->creates_at[c->depth] = c->opcode == COH_OP_CREATE || c->opcode == COH_OP_CREATE2;
}

static void struct_leave(coh_call_tracer_t *t,
                         uint32_t depth,
                         uint32_t status,
                         uint64_t gas_used,
                         coh_bytes_t output)
{
    if (!t->open || t->open_depth != depth) {
        return;
    }
    if (status == COH_EVM_SUCCESS || status == COH_EVM_REVERT) {
        uint64_t left = t->gas_at[depth] - gas_used;
        if (t->creates_at[depth] && status == COH_EVM_SUCCESS) {
            left += (uint64_t)output.n * COH_GAS_CODE_OCTET; /* charged after the instruction */
        }
        close_step(t, t->open_gas - left, NULL, NULL);
    } else {
        close_step(t, t->open_cost, NULL, coh_evm_status_str((coh_evm_status_t)status));
    }
}

static void struct_finish(coh_call_tracer_t *t,
                          coh_buf_t *out,
                          coh_outcome_t const *outcome,
                          coh_evm_status_t halt)
{
    coh_buf_printf(out,
                   "{\"gas\":%" PRIu64 ",\"failed\":%s,\"returnValue\":",
                   outcome->gas_used,
                   outcome->status != 0 ? "false" : "true");
    /* Of a creation, the code. */
    bool shows = halt == COH_EVM_SUCCESS || halt == COH_EVM_REVERT;
    put_data(out, shows ? outcome->output : (coh_bytes_t){0});
    put_text(out, ",\"structLogs\":[");
    coh_buf_put(out, t->text.p, t->text.n);
    put_text(out, "]}");
}

/* ---- callTracer ---- */

static void calls_enter(coh_call_tracer_t *t, coh_trace_call_t const *c)
{
    if ((c->depth > 1 && (t->flags & COH_TRACE_ONLY_TOP)) || is_full(t)) {
        return;
    }
    if (t->call_cnt == t->call_cap) {
        t->call_cap = t->call_cap == 0 ? 16 : t->call_cap * 2;
        t->calls    = coh_realloc(t->calls, t->call_cap * sizeof(*t->calls));
    }
    call_t *call = &t->calls[t->call_cnt];
    *call        = (call_t){.from      = c->from,
                            .to        = c->to,
                            .value     = c->value,
                            .gas       = c->gas,
                            .input     = keep(t, c->input),
                            .parent    = t->cur,
                            .depth     = c->depth,
                            .opcode    = c->opcode,
                            .first_log = NONE,
                            .last_log  = NONE};
    if (t->cur != NONE) {
        t->calls[t->cur].child_cnt++;
    }
    t->cur = t->call_cnt++;
}

static void calls_leave(coh_call_tracer_t *t,
                        uint32_t depth,
                        uint32_t status,
                        uint64_t gas_used,
                        coh_bytes_t output)
{
    if (t->cur == NONE || t->calls[t->cur].depth != depth) {
        return; /* one that was not taken */
    }
    call_t *call   = &t->calls[t->cur];
    call->status   = status;
    call->gas_used = gas_used;
    call->output   = keep(t, output);
    t->cur         = call->parent;
}

/* A log is taken when it is about to be written: a frame in which that fails is one whose logs do not count. */
static void calls_step(coh_call_tracer_t *t, coh_trace_step_t const *s)
{
    if (!(t->flags & COH_TRACE_WITH_LOG) || s->opcode < COH_OP_LOG0 || s->opcode > COH_OP_LOG4 ||
        t->cur == NONE || t->calls[t->cur].depth != s->depth || is_full(t)) {
        return;
    }
    uint32_t topic_cnt    = s->opcode - (uint32_t)COH_OP_LOG0;
    coh_u256_t const *top = &s->stack[s->stack_cnt - 1];
    if (s->stack_cnt < 2 + topic_cnt || !coh_u256_fits_u64(&top[-1]) ||
        top[-1].w[0] > t->byte_max || (top[-1].w[0] != 0 && !coh_u256_fits_u64(&top[0]))) {
        return;
    }
    size_t size    = top[-1].w[0];
    uint64_t off   = top[0].w[0];
    uint8_t *bytes = coh_arena_alloc(&t->arena, size + 1);
    memset(bytes, 0, size);
    if (size != 0 && off < s->memory.n) {
        memcpy(bytes, s->memory.p + off, COH_MIN(size, s->memory.n - off));
    }
    if (t->log_cnt == t->log_cap) {
        t->log_cap = t->log_cap == 0 ? 16 : t->log_cap * 2;
        t->logs    = coh_realloc(t->logs, t->log_cap * sizeof(*t->logs));
    }
    call_t *call = &t->calls[t->cur];
    log_t *log   = &t->logs[t->log_cnt];
    *log         = (log_t){.addr      = *s->self,
                           .topic_cnt = topic_cnt,
                           .data      = coh_bytes(bytes, size),
                           .position  = call->child_cnt,
                           .next      = NONE};
    for (uint32_t i = 0; i < topic_cnt; i++) {
        coh_u256_to_be(log->topics[i].b, top - 2 - i);
    }
    if (call->last_log != NONE) {
        t->logs[call->last_log].next = t->log_cnt;
    } else {
        call->first_log = t->log_cnt;
    }
    call->last_log = t->log_cnt++;
}

static bool put_reason(coh_buf_t *out, coh_bytes_t output)
{
    coh_buf_t reason = COH_BUF_INIT;
    bool has_reason  = coh_evm_revert_reason(&reason, output);
    if (has_reason) {
        put_string(out, coh_buf_bytes(&reason));
    }
    coh_buf_free(&reason);
    return has_reason;
}

static void put_logs(coh_call_tracer_t const *t, coh_buf_t *out, call_t const *call)
{
    put_text(out, ",\"logs\":[");
    for (uint32_t l = call->first_log; l != NONE; l = t->logs[l].next) {
        log_t const *log = &t->logs[l];
        put_text(out, l == call->first_log ? "{\"address\":" : ",{\"address\":");
        put_addr(out, &log->addr);
        put_text(out, ",\"topics\":[");
        for (uint32_t i = 0; i < log->topic_cnt; i++) {
            put_text(out, i == 0 ? "" : ",");
            put_data(out, coh_bytes(log->topics[i].b, sizeof(log->topics[i].b)));
        }
        put_text(out, "],\"data\":");
        put_data(out, log->data);
        coh_buf_printf(out, ",\"position\":\"0x%x\"}", log->position);
    }
    put_text(out, "]");
}

/* A call's own members; the object stays open. */
static void put_call(coh_call_tracer_t const *t, coh_buf_t *out, call_t const *call)
{
    bool creates = call->opcode == COH_OP_CREATE || call->opcode == COH_OP_CREATE2;
    bool ok      = call->status == COH_EVM_SUCCESS;
    put_text(out, "{\"from\":");
    put_addr(out, &call->from);
    coh_buf_printf(
        out, ",\"gas\":\"0x%" PRIx64 "\",\"gasUsed\":\"0x%" PRIx64 "\"", call->gas, call->gas_used);
    if (!creates || ok) {
        put_text(out, ",\"to\":");
        put_addr(out, &call->to);
    }
    put_text(out, ",\"input\":");
    put_data(out, call->input);
    if (call->output.n != 0 && (ok || call->status == COH_EVM_REVERT)) {
        put_text(out, ",\"output\":");
        put_data(out, call->output);
    }
    if (!ok) {
        put_text(out, ",\"error\":");
        put_cstring(out, coh_evm_status_str((coh_evm_status_t)call->status));
        size_t at = out->n;
        put_text(out, ",\"revertReason\":");
        if (call->status != COH_EVM_REVERT || !put_reason(out, call->output)) {
            out->n = at;
        }
    }
    if (call->first_log != NONE && !call->failed) {
        put_logs(t, out, call);
    }
    if (call->opcode != COH_OP_STATICCALL) {
        put_text(out, ",\"value\":");
        put_quantity(out, &call->value);
    }
    put_text(out, ",\"type\":\"");
    put_text(out, coh_opcode_name(call->opcode, t->block->fork));
    put_text(out, "\"");
}

static void calls_finish(coh_call_tracer_t *t, coh_buf_t *out, coh_outcome_t const *outcome)
{
    COH_ASSERT(t->call_cnt != 0 || t->overflown);
    if (t->call_cnt == 0) {
        put_text(out, "{}");
        return;
    }
    t->calls[0].gas      = t->tx->gas_limit;
    t->calls[0].gas_used = outcome->gas_used;
    for (uint32_t i = 0; i < t->call_cnt; i++) {
        call_t *call = &t->calls[i];
        call->failed = call->status != COH_EVM_SUCCESS ||
                       (call->parent != NONE && t->calls[call->parent].failed);
    }
    /* They stand in the order in which they began: each is followed by its own ones. */
    size_t start = out->n;
    for (uint32_t i = 0; i < t->call_cnt && !t->overflown; i++) {
        t->overflown = out->n - start > t->byte_max;
        put_call(t, out, &t->calls[i]);
        uint32_t depth = t->calls[i].depth;
        uint32_t next  = i + 1 < t->call_cnt ? t->calls[i + 1].depth : 1;
        if (next > depth) {
            put_text(out, ",\"calls\":[");
            continue;
        }
        put_text(out, "}");
        for (; depth > next; depth--) {
            put_text(out, "]}");
        }
        if (i + 1 < t->call_cnt) {
            put_text(out, ",");
        }
    }
}

/* ---- prestateTracer, access lists ---- */

static void access_step(coh_call_tracer_t *t, coh_trace_step_t const *s)
{
    coh_u256_t const zero = COH_U256_ZERO;
    coh_u256_t const *top = &s->stack[s->stack_cnt - 1];
    if (is_full(t)) {
        return;
    }
    switch (s->opcode) {
    case COH_OP_SLOAD:
    case COH_OP_SSTORE:
        if (s->stack_cnt >= 1) {
            mark_slot(t, s->self, top, &zero);
        }
        break;
    case COH_OP_EXTCODECOPY:
    case COH_OP_EXTCODEHASH:
    case COH_OP_EXTCODESIZE:
    case COH_OP_BALANCE:
    case COH_OP_SELFDESTRUCT:
        if (s->stack_cnt >= 1) {
            coh_addr_t addr = coh_u256_to_addr(top);
            access_account(t, &addr, 0);
            if (s->opcode == COH_OP_SELFDESTRUCT && t->kind == COH_TRACER_PRESTATE) {
                access_account(t, s->self, MARK_DELETED);
            }
        }
        break;
    case COH_OP_CALL:
    case COH_OP_CALLCODE:
    case COH_OP_DELEGATECALL:
    case COH_OP_STATICCALL:
        if (s->stack_cnt >= 5) {
            coh_addr_t addr = coh_u256_to_addr(top - 1);
            access_account(t, &addr, 0);
        }
        break;
    default: break;
    }
}

static void prestate_enter(coh_call_tracer_t *t, coh_trace_call_t const *c)
{
    if ((c->opcode == COH_OP_CREATE || c->opcode == COH_OP_CREATE2) && !is_full(t)) {
        access_account(t, &c->to, 0);
    }
}

static void prestate_begin(coh_call_tracer_t *t)
{
    access_account(t, &t->sender, 0);
    if (!t->tx->is_create) {
        access_account(t, &t->tx->to, 0);
    }
    access_account(t, &t->block->coinbase, 0);
    coh_rlp_t auths = coh_tx_auth_iter(t->tx);
    coh_tx_auth_t auth;
    while (t->tx->auth_cnt != 0 && coh_tx_auth_next(&auths, &auth)) {
        coh_addr_t authority;
        if (coh_tx_auth_recover(&authority, &auth)) {
            access_account(t, &authority, 0);
        }
    }
}

/* What one account had and has; code is borrowed. */
typedef struct {
    coh_value_t was, is;
    coh_bytes_t code_was, code_is;
} change_t;

static coh_view_status_t code_of(coh_trace_state_t const *state,
                                 coh_bytes_t *out,
                                 coh_addr_t const *addr,
                                 coh_value_t const *value)
{
    *out = (coh_bytes_t){0};
    return coh_value_has_code(value) ? state->code(state->arg, out, addr, &value->code_hash)
                                     : COH_VIEW_OK;
}

/* The values of what the transaction wrote, afterwards. */
static coh_view_status_t apply_writes(coh_overlay_t *after,
                                      coh_outcome_t const *outcome,
                                      coh_trace_state_t const *state)
{
    for (uint32_t i = 0; i < outcome->write_cnt; i++) {
        coh_write_t const *w = &outcome->writes[i];
        coh_value_t value;
        if (state->value(state->arg, &value, &w->key) == COH_VIEW_NEED) {
            return COH_VIEW_NEED;
        }
        coh_write_apply(&value, w);
        (void)coh_overlay_put(after, &w->key, &value);
    }
    return COH_VIEW_OK;
}

static coh_view_status_t find_change(coh_call_tracer_t *t,
                                     change_t *out,
                                     coh_key_t const *key,
                                     coh_overlay_t const *after,
                                     coh_trace_state_t const *state)
{
    if (state->value(state->arg, &out->was, key) == COH_VIEW_NEED) {
        return COH_VIEW_NEED;
    }
    coh_value_t const *is = coh_overlay_find(after, key);
    out->is               = is != NULL ? *is : out->was;
    out->code_was         = (coh_bytes_t){0};
    out->code_is          = (coh_bytes_t){0};
    if (key->kind == COH_KEY_ACCOUNT && !(t->flags & COH_TRACE_NO_CODE)) {
        if (code_of(state, &out->code_was, &key->addr, &out->was) == COH_VIEW_NEED) {
            return COH_VIEW_NEED;
        }
        return code_of(state, &out->code_is, &key->addr, &out->is);
    }
    return COH_VIEW_OK;
}

/* Appends `"name":{` or, if something of the object is there, a comma before it. */
typedef struct {
    coh_buf_t text;
    bool any;
} object_t;

static void put_member(object_t *o, char const *name)
{
    put_text(&o->text, o->any ? ",\"" : "\"");
    put_text(&o->text, name);
    put_text(&o->text, "\":");
    o->any = true;
}

static void put_account_key(object_t *o, coh_addr_t const *addr)
{
    put_text(&o->text, o->any ? "," : "");
    put_addr(&o->text, addr);
    put_text(&o->text, ":");
    o->any = true;
}

static void put_slot(object_t *o, coh_u256_t const *slot, coh_u256_t const *value)
{
    put_text(&o->text, o->any ? ",\"0x" : "\"0x");
    put_word(&o->text, slot);
    put_text(&o->text, "\":\"0x");
    put_word(&o->text, value);
    put_text(&o->text, "\"");
    o->any = true;
}

static void reset(object_t *o)
{
    coh_buf_clear(&o->text);
    o->any = false;
}

static void put_storage_of(object_t *account, object_t *storage)
{
    if (storage->any) {
        put_member(account, "storage");
        put_text(&account->text, "{");
        coh_buf_put(&account->text, storage->text.p, storage->text.n);
        put_text(&account->text, "}");
    }
}

typedef struct {
    object_t pre, post;                 /* whole */
    object_t account_pre, account_post; /* of one account */
    object_t slots_pre, slots_post;
} report_t;

/* Slots of addr; *modified: one has another value than before. */
static coh_view_status_t report_slots(coh_call_tracer_t *t,
                                      report_t *r,
                                      coh_addr_t const *addr,
                                      change_t const *account,
                                      coh_overlay_t const *after,
                                      coh_trace_state_t const *state,
                                      bool *modified)
{
    bool diff   = (t->flags & COH_TRACE_DIFF) != 0;
    uint64_t at = 0;
    coh_overlay_item_t const *item;
    while ((item = next_slot(t, addr, &at)) != NULL) {
        coh_key_t const *marked = &item->key;
        coh_key_t key           = coh_key_slot(addr, account->was.generation, &marked->slot);
        coh_value_t was;
        if (state->value(state->arg, &was, &key) == COH_VIEW_NEED) {
            return COH_VIEW_NEED;
        }
        coh_key_t now         = coh_key_slot(addr, account->is.generation, &marked->slot);
        coh_value_t const *is = coh_overlay_find(after, &now);
        coh_u256_t word       = is != NULL                         ? is->word
                                : now.generation == key.generation ? was.word
                                                                   : COH_U256_ZERO;
        if (!diff) {
            put_slot(&r->slots_pre, &marked->slot, &was.word);
            continue;
        }
        if (coh_u256_eq(&was.word, &word)) {
            continue;
        }
        *modified = true;
        if (!coh_u256_is_zero(&was.word)) {
            put_slot(&r->slots_pre, &marked->slot, &was.word);
        }
        if (!coh_u256_is_zero(&word)) {
            put_slot(&r->slots_post, &marked->slot, &word);
        }
    }
    return COH_VIEW_OK;
}

static void report_fields(object_t *o, coh_value_t const *v, coh_bytes_t code)
{
    put_member(o, "balance");
    put_quantity(&o->text, &v->word);
    if (code.n != 0) {
        put_member(o, "code");
        put_data(&o->text, code);
    }
    if (v->nonce != 0) {
        put_member(o, "nonce");
        coh_buf_printf(&o->text, "%" PRIu64, v->nonce);
    }
}

static coh_view_status_t report_account(coh_call_tracer_t *t,
                                        report_t *r,
                                        coh_overlay_item_t const *item,
                                        coh_overlay_t const *after,
                                        coh_trace_state_t const *state)
{
    bool diff = (t->flags & COH_TRACE_DIFF) != 0;
    change_t c;
    if (find_change(t, &c, &item->key, after, state) == COH_VIEW_NEED) {
        return COH_VIEW_NEED;
    }
    bool modified = false;
    reset(&r->account_pre);
    reset(&r->account_post);
    reset(&r->slots_pre);
    reset(&r->slots_post);
    if (!(t->flags & COH_TRACE_NO_STORAGE) &&
        report_slots(t, r, &item->key.addr, &c, after, state, &modified) == COH_VIEW_NEED) {
        return COH_VIEW_NEED;
    }
    bool deleted =
        (item->value.flags & MARK_DELETED) != 0 && (c.is.flags & COH_ACCOUNT_EXISTS) == 0;
    if (diff && !deleted) {
        if (!coh_u256_eq(&c.was.word, &c.is.word)) {
            put_member(&r->account_post, "balance");
            put_quantity(&r->account_post.text, &c.is.word);
            modified = true;
        }
        if (!coh_hash_eq(&c.was.code_hash, &c.is.code_hash) && !(t->flags & COH_TRACE_NO_CODE)) {
            put_member(&r->account_post, "code");
            put_data(&r->account_post.text, c.code_is);
            modified = true;
        }
        if (c.was.nonce != c.is.nonce) {
            put_member(&r->account_post, "nonce");
            coh_buf_printf(&r->account_post.text, "%" PRIu64, c.is.nonce);
            modified = true;
        }
        put_storage_of(&r->account_post, &r->slots_post);
        if (modified) {
            put_account_key(&r->post, &item->key.addr);
            coh_buf_printf(&r->post.text,
                           "{%.*s}",
                           (int)r->account_post.text.n,
                           (char const *)r->account_post.text.p);
        } else {
            return COH_VIEW_OK; /* and what it was is not told either */
        }
    }
    if (coh_value_is_empty(&c.was) && !(t->flags & COH_TRACE_INCLUDE_EMPTY)) {
        return COH_VIEW_OK;
    }
    report_fields(&r->account_pre, &c.was, c.code_was);
    put_storage_of(&r->account_pre, &r->slots_pre);
    put_account_key(&r->pre, &item->key.addr);
    coh_buf_printf(
        &r->pre.text, "{%.*s}", (int)r->account_pre.text.n, (char const *)r->account_pre.text.p);
    return COH_VIEW_OK;
}

static coh_view_status_t prestate_finish(coh_call_tracer_t *t,
                                         coh_buf_t *out,
                                         coh_outcome_t const *outcome,
                                         coh_trace_state_t const *state)
{
    report_t r          = {0};
    coh_overlay_t after = {0};
    coh_overlay_init(&after, t->set.seed);
    coh_view_status_t status = apply_writes(&after, outcome, state);
    for (uint32_t i = 0; i < t->set.cnt && status == COH_VIEW_OK && !t->overflown; i++) {
        if (t->set.items[i].key.kind == COH_KEY_ACCOUNT) {
            status       = report_account(t, &r, &t->set.items[i], &after, state);
            t->overflown = r.pre.text.n + r.post.text.n > t->byte_max;
        }
    }
    if (status == COH_VIEW_OK) {
        put_text(out, (t->flags & COH_TRACE_DIFF) ? "{\"pre\":{" : "{");
        coh_buf_put(out, r.pre.text.p, r.pre.text.n);
        put_text(out, "}");
        if (t->flags & COH_TRACE_DIFF) {
            put_text(out, ",\"post\":{");
            coh_buf_put(out, r.post.text.p, r.post.text.n);
            put_text(out, "}}");
        }
    }
    coh_overlay_fini(&after);
    coh_buf_free(&r.pre.text);
    coh_buf_free(&r.post.text);
    coh_buf_free(&r.account_pre.text);
    coh_buf_free(&r.account_post.text);
    coh_buf_free(&r.slots_pre.text);
    coh_buf_free(&r.slots_post.text);
    return status;
}

/* ---- hooks ---- */

static void on_step(coh_tracer_t *hooks, coh_trace_step_t const *s)
{
    coh_call_tracer_t *t = of(hooks);
    switch (t->kind) {
    case COH_TRACER_STRUCT: struct_step(t, s); break;
    case COH_TRACER_CALLS: calls_step(t, s); break;
    default: access_step(t, s); break;
    }
}

static void on_enter(coh_tracer_t *hooks, coh_trace_call_t const *c)
{
    coh_call_tracer_t *t = of(hooks);
    switch (t->kind) {
    case COH_TRACER_STRUCT: struct_enter(t, c); break;
    case COH_TRACER_CALLS: calls_enter(t, c); break;
    case COH_TRACER_PRESTATE: prestate_enter(t, c); break;
    default: break;
    }
}

static void on_leave(coh_tracer_t *hooks,
                     uint32_t depth,
                     uint32_t status,
                     uint64_t gas_used,
                     coh_bytes_t output)
{
    coh_call_tracer_t *t = of(hooks);
    if (t->kind == COH_TRACER_STRUCT) {
        struct_leave(t, depth, status, gas_used, output);
    } else if (t->kind == COH_TRACER_CALLS) {
        calls_leave(t, depth, status, gas_used, output);
    }
}

/* ---- life ---- */

static coh_call_tracer_t *new_tracer(uint32_t kind, uint32_t flags, size_t byte_max, uint64_t seed)
{
    coh_call_tracer_t *t = coh_calloc(1, sizeof(*t));
    t->hooks             = (coh_tracer_t){.step = on_step, .enter = on_enter, .leave = on_leave};
    t->kind              = kind;
    t->flags             = flags;
    t->byte_max          = byte_max;
    coh_overlay_init(&t->set, seed);
    coh_overlay_init(&t->excluded, seed);
    return t;
}

coh_call_tracer_t *coh_call_tracer_new(coh_tracer_kind_t kind,
                                       uint32_t flags,
                                       size_t byte_max,
                                       uint64_t limit,
                                       uint64_t seed)
{
    COH_ASSERT(kind < COH_TRACER_CNT);
    coh_call_tracer_t *t = new_tracer(kind, flags, byte_max, seed);
    t->limit             = limit;
    return t;
}

coh_call_tracer_t *coh_access_tracer_new(size_t byte_max, uint64_t seed)
{
    return new_tracer(KIND_ACCESS, 0, byte_max, seed);
}

void coh_call_tracer_free(coh_call_tracer_t *t)
{
    if (t == NULL) {
        return;
    }
    coh_buf_free(&t->text);
    coh_arena_free(&t->arena);
    coh_overlay_fini(&t->set);
    coh_overlay_fini(&t->excluded);
    free(t->calls);
    free(t->logs);
    free(t);
}

void coh_call_tracer_begin(coh_call_tracer_t *t,
                           coh_tx_t const *tx,
                           coh_addr_t const *sender,
                           coh_block_env_t const *block)
{
    t->tx        = tx;
    t->sender    = *sender;
    t->block     = block;
    t->overflown = false;
    t->open      = false;
    t->cur       = NONE;
    t->call_cnt  = 0;
    t->log_cnt   = 0;
    t->entry_cnt = 0;
    coh_buf_clear(&t->text);
    coh_arena_reset(&t->arena, KEEP_BYTES);
    coh_overlay_clear(&t->set);
    coh_overlay_clear(&t->excluded);
    if (t->kind == COH_TRACER_PRESTATE) {
        prestate_begin(t);
    }
}

coh_tracer_t *coh_call_tracer_hooks(coh_call_tracer_t *t) { return &t->hooks; }

bool coh_call_tracer_is_overflown(coh_call_tracer_t const *t) { return t->overflown; }

coh_view_status_t coh_call_tracer_finish(coh_call_tracer_t *t,
                                         coh_buf_t *out,
                                         coh_outcome_t const *outcome,
                                         coh_evm_status_t halt,
                                         coh_trace_state_t const *state)
{
    switch (t->kind) {
    case COH_TRACER_STRUCT: struct_finish(t, out, outcome, halt); return COH_VIEW_OK;
    case COH_TRACER_CALLS: calls_finish(t, out, outcome); return COH_VIEW_OK;
    default: return prestate_finish(t, out, outcome, state);
    }
}

uint32_t coh_access_tracer_cnt(coh_call_tracer_t const *t) { return t->set.cnt; }

void coh_access_tracer_put(coh_call_tracer_t const *t,
                           coh_buf_t *out,
                           uint32_t *addr_cnt,
                           uint32_t *key_cnt)
{
    uint32_t *slots = coh_calloc((size_t)t->set.cnt + 1, sizeof(*slots)); /* of one account */
    *addr_cnt       = 0;
    *key_cnt        = 0;
    for (uint32_t i = 0; i < t->set.cnt; i++) {
        coh_key_t const *account = &t->set.items[i].key;
        if (account->kind != COH_KEY_ACCOUNT) {
            continue;
        }
        uint32_t cnt = 0;
        uint64_t at  = 0;
        while (next_slot(t, &account->addr, &at) != NULL) {
            slots[cnt++] = (uint32_t)at - 1;
        }
        size_t entry = out->n;
        coh_rlp_put_string(out, account->addr.b, sizeof(account->addr.b));
        size_t keys = out->n;
        for (uint32_t k = cnt; k-- > 0;) { /* in the order of access */
            uint8_t be[32];
            coh_u256_to_be(be, &t->set.items[slots[k]].key.slot);
            coh_rlp_put_string(out, be, sizeof(be));
        }
        coh_rlp_wrap_list(out, keys);
        coh_rlp_wrap_list(out, entry);
        (*addr_cnt)++;
        *key_cnt += cnt;
    }
    free(slots);
}

void coh_access_tracer_exclude(coh_call_tracer_t *t, coh_addr_t const *addr)
{
    coh_key_t key = coh_key_account(addr);
    (void)coh_overlay_put(&t->excluded, &key, &(coh_value_t){0});
}

void coh_access_tracer_add(coh_call_tracer_t *t, coh_key_t const *key)
{
    if (key->kind == COH_KEY_SLOT) {
        mark_slot(t, &key->addr, &key->slot, &(coh_u256_t){{0}});
    } else {
        access_account(t, &key->addr, 0);
    }
}
