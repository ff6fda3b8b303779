#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/codec/rlp.h"
#include "common/crypto/keccak.h"
#include "common/evm/evm_private.h"
#include "common/evm/opcodes.h"
#include "common/evm/precompiles.h"

static coh_call_t failed(coh_frame_t *f, coh_evm_status_t status)
{
    f->status = status;
    return COH_CALL_FAILED;
}

static void push_word(coh_frame_t *f, coh_u256_t word)
{
    COH_DASSERT(f->stack_cnt < COH_STACK_MAX);
    f->stack[++f->stack_cnt] = word;
}

/* A frame on top of the others; the caller fills in the rest. */
static coh_frame_t *push_frame(coh_evm_t *evm, coh_code_t const *code, uint64_t gas)
{
    COH_ASSERT(evm->depth <= COH_CALL_DEPTH_MAX);
    if (evm->frames[evm->depth] == NULL) {
        evm->frames[evm->depth]          = coh_realloc(NULL, sizeof(coh_frame_t));
        evm->frames[evm->depth]->mem     = NULL;
        evm->frames[evm->depth]->mem_cap = 0;
    }
    coh_frame_t *f = evm->frames[evm->depth++];
    evm->depth_max = COH_MAX(evm->depth_max, evm->depth);
    f->code        = code;
    f->pc          = 0;
    f->stack_cnt   = 0;
    f->gas         = gas;
    f->gas_begin   = gas;
    f->mem_sz      = 0;
    f->mem_gas     = 0;
    f->at_block    = true;
    f->checked     = false;
    f->retried     = false;
    f->owns_code   = false;
    f->is_create   = false;
    f->out_sz      = 0;
    f->out_off     = 0;
    return f;
}

static void transfer(coh_evm_t *evm,
                     coh_account_t *from,
                     coh_account_t *to,
                     coh_u256_t const *value)
{
    if (!coh_u256_is_zero(value)) {
        coh_state_debit(evm->state, from, value);
        coh_state_credit(evm->state, to, value);
    }
}

/* A call reached a: it is touched (EIP-161), or comes to exist before that. What has code is not empty and exists. */
static void touch(coh_evm_t *evm, coh_account_t *a)
{
    if ((a->have & COH_READ_CODE) == 0 || !coh_value_has_code(&a->cur)) {
        coh_state_set_flags(evm->state, a, COH_ACCT_TOUCHED);
    }
}

static bool is_warm(coh_evm_t const *evm, coh_account_t const *a)
{
    return (a->flags & COH_ACCT_WARM) != 0 || coh_fork_is_precompile(evm->fork, &a->addr);
}

static void warm(coh_evm_t *evm, coh_account_t *a)
{
    if (evm->fork >= COH_FORK_BERLIN && (a->flags & COH_ACCT_WARM) == 0) {
        coh_state_set_flags(evm->state, a, COH_ACCT_WARM); /* EIP-2929 */
    }
}

static bool is_watched(coh_evm_t const *evm)
{
    return COH_UNLIKELY(evm->tracer != NULL) && evm->tracer->enter != NULL;
}

/* Tells the tracer of what begins on top of f (NULL: the transaction's own). */
static void trace_enter(coh_evm_t *evm,
                        coh_frame_t const *f,
                        uint8_t opcode,
                        coh_addr_t const *from,
                        coh_addr_t const *to,
                        coh_u256_t const *value,
                        uint64_t gas,
                        coh_bytes_t input)
{
    if (is_watched(evm)) {
        coh_trace_call_t call = {.opcode     = opcode,
                                 .depth      = evm->depth + 1,
                                 .from       = *from,
                                 .to         = *to,
                                 .value      = *value,
                                 .gas        = gas,
                                 .caller_gas = f != NULL ? f->gas : 0,
                                 .input      = input};
        evm->tracer->enter(evm->tracer, &call);
    }
}

/* The same of its end; depth: its own. */
static void trace_leave(coh_evm_t *evm,
                        uint32_t depth,
                        coh_evm_status_t status,
                        uint64_t gas_used,
                        coh_bytes_t output)
{
    if (is_watched(evm) && evm->tracer->leave != NULL) {
        evm->tracer->leave(evm->tracer, depth, status, gas_used, output);
    }
}

/* The gas of a call or creation out of what is left (EIP-150: all but a 64th). */
static uint64_t all_but_a_64th(uint64_t gas) { return gas - gas / 64; }

/* The precompiled contract at addr, or NULL. */
static coh_precompile_t const *precompile_at(coh_evm_t const *evm, coh_addr_t const *addr)
{
    static coh_addr_t const none;
    for (uint32_t i = 0; i < evm->env->move_cnt; i++) {
        coh_evm_move_t const *move = &evm->env->moves[i];
        if (coh_addr_eq(&move->at, addr)) {
            return coh_addr_eq(&move->is, &none) ? NULL : coh_precompile_at(evm->fork, &move->is);
        }
    }
    return coh_precompile_at(evm->fork, addr);
}

/* Runs a precompiled contract on *gas, which is what is left afterwards. */
static bool run_precompile(coh_evm_t *evm,
                           coh_precompile_t const *p,
                           uint64_t *gas,
                           coh_bytes_t input)
{
    uint64_t cost = coh_precompile_gas(p, evm->fork, input);
    if (*gas < cost || !coh_precompile_run(p, evm->fork, &evm->precompiled, input)) {
        *gas             = 0;
        evm->return_data = (coh_bytes_t){0};
        return false;
    }
    *gas -= cost;
    evm->return_data = coh_buf_bytes(&evm->precompiled);
    return true;
}

static void copy_output(coh_frame_t *f, uint64_t off, uint64_t size, coh_bytes_t output)
{
    size_t n = COH_MIN((size_t)size, output.n);
    if (n != 0) {
        memcpy(f->mem + off, output.p, n);
    }
}

static bool expand_if(coh_frame_t *f, coh_u256_t const *off, coh_u256_t const *size)
{
    return coh_u256_is_zero(size) || coh_frame_expand(f, &f->gas, off, size);
}

coh_call_t coh_call_op(coh_evm_t *evm, coh_frame_t *f, uint8_t opcode)
{
    coh_state_t *state      = evm->state;
    bool has_value          = opcode == COH_OP_CALL || opcode == COH_OP_CALLCODE;
    coh_u256_t const *top   = &f->stack[f->stack_cnt];
    coh_u256_t const *range = has_value ? &top[-3] : &top[-2]; /* input, output: offset, size */
    coh_u256_t wanted       = top[0];
    coh_u256_t value        = has_value ? top[-2] : COH_U256_ZERO;
    bool pays               = !coh_u256_is_zero(&value);
    if (pays && f->is_static && opcode == COH_OP_CALL) {
        return failed(f, COH_EVM_STATIC_CALL); /* EIP-214 */
    }
    /* The memory stays, paid for, should the instruction come again. */
    if (!expand_if(f, &range[0], &range[-1]) || !expand_if(f, &range[-2], &range[-3])) {
        return failed(f, COH_EVM_OUT_OF_GAS);
    }

    coh_addr_t addr  = coh_u256_to_addr(&top[-1]);
    coh_account_t *a = coh_state_account(state, &addr);
    uint64_t cost    = evm->fork >= COH_FORK_BERLIN && !is_warm(evm, a) ? COH_GAS_COLD_ACCOUNT : 0;
    cost += pays ? COH_GAS_CALL_VALUE : 0;
    if (f->gas < cost) {
        return failed(f, COH_EVM_OUT_OF_GAS);
    }
    /* EIP-161: a call that brings value to a dead account; before, any to one that does not exist. */
    if (opcode == COH_OP_CALL && (pays || evm->fork < COH_FORK_SPURIOUS)) {
        bool dead;
        if (coh_state_is_dead(state, a, &dead) == COH_VIEW_NEED) {
            return COH_CALL_NEED;
        }
        cost += dead ? COH_GAS_NEW_ACCOUNT : 0;
        if (f->gas < cost) {
            return failed(f, COH_EVM_OUT_OF_GAS);
        }
    }
    coh_precompile_t const *precompile = precompile_at(evm, &addr);
    coh_account_t *delegate            = NULL;
    coh_code_t const *code             = NULL;
    if (precompile == NULL) {
        if (coh_state_code(state, a) == COH_VIEW_NEED) {
            return COH_CALL_NEED;
        }
        code = a->code;
        if (code != NULL && code->is_delegation) { /* EIP-7702: one step */
            delegate = coh_state_account(state, &code->delegate);
            /* a itself is warm by now */
            cost += COH_GAS_DELEGATE;
            cost += delegate == a || is_warm(evm, delegate) ? 0 : COH_GAS_COLD_ACCOUNT;
            if (f->gas < cost) {
                return failed(f, COH_EVM_OUT_OF_GAS);
            }
            if (coh_state_code(state, delegate) == COH_VIEW_NEED) {
                return COH_CALL_NEED;
            }
            code = delegate->code;
        }
    }
    if (pays && coh_state_read(state, f->self, COH_READ_AT_LEAST, &value) == COH_VIEW_NEED) {
        return COH_CALL_NEED;
    }
    f->gas -= cost;
    uint64_t gas;
    if (evm->fork >= COH_FORK_TANGERINE) {
        gas = all_but_a_64th(f->gas);
        gas = coh_u256_fits_u64(&wanted) && wanted.w[0] < gas ? wanted.w[0] : gas;
    } else if (coh_u256_fits_u64(&wanted) && wanted.w[0] <= f->gas) {
        gas = wanted.w[0];
    } else {
        return failed(f, COH_EVM_OUT_OF_GAS);
    }
    f->gas -= gas;
    gas += pays ? COH_GAS_CALL_STIPEND : 0;

    /* Nothing asks for state from here on. */
    warm(evm, a);
    if (delegate != NULL) {
        warm(evm, delegate);
    }
    coh_bytes_t input =
        coh_bytes(coh_u256_is_zero(&range[-1]) ? NULL : f->mem + range[0].w[0], range[-1].w[0]);
    uint64_t out_off = range[-2].w[0];
    uint64_t out_sz  = range[-3].w[0];
    f->stack_cnt -= has_value ? 7 : 6;
    evm->return_data = (coh_bytes_t){0};
    trace_enter(evm,
                f,
                opcode,
                &f->self->addr,
                &addr,
                opcode == COH_OP_DELEGATECALL ? &f->value : &value,
                gas,
                input);
    if (evm->depth > COH_CALL_DEPTH_MAX || coh_u256_lt(&f->self->cur.word, &value)) {
        trace_leave(evm,
                    evm->depth + 1,
                    evm->depth > COH_CALL_DEPTH_MAX ? COH_EVM_DEPTH : COH_EVM_BALANCE,
                    0,
                    (coh_bytes_t){0});
        f->gas += gas;
        push_word(f, COH_U256_ZERO);
        return COH_CALL_DONE;
    }
    coh_mark_t mark = coh_state_mark(state);
    if (opcode == COH_OP_CALL || opcode == COH_OP_STATICCALL) {
        touch(evm, a);
    }
    if (opcode == COH_OP_CALL) {
        transfer(evm, f->self, a, &value);
    }
    if (precompile != NULL) {
        uint64_t given = gas;
        bool ok        = run_precompile(evm, precompile, &gas, input);
        if (!ok) {
            coh_state_rollback(state, mark);
        }
        trace_leave(evm,
                    evm->depth + 1,
                    ok ? COH_EVM_SUCCESS : COH_EVM_PRECOMPILE,
                    given - gas,
                    evm->return_data);
        f->gas += gas;
        copy_output(f, out_off, out_sz, evm->return_data);
        push_word(f, coh_u256(ok));
        return COH_CALL_DONE;
    }
    if (code == NULL) {
        trace_leave(evm, evm->depth + 1, COH_EVM_SUCCESS, 0, (coh_bytes_t){0});
        f->gas += gas;
        push_word(f, coh_u256(1));
        return COH_CALL_DONE;
    }
    coh_frame_t *g = push_frame(evm, code, gas);
    bool same      = opcode == COH_OP_DELEGATECALL;
    g->self        = opcode == COH_OP_CALL || opcode == COH_OP_STATICCALL ? a : f->self;
    g->caller      = same ? f->caller : f->self->addr;
    g->value       = same ? f->value : value;
    g->input       = input;
    g->mark        = mark;
    g->is_static   = f->is_static || opcode == COH_OP_STATICCALL;
    g->out_off     = out_off;
    g->out_sz      = out_sz;
    return COH_CALL_PUSHED;
}

/* keccak256(0xff, creator, salt, keccak256(init code)) (EIP-1014). */
static coh_addr_t salted_address(coh_addr_t const *creator,
                                 coh_u256_t const *salt,
                                 coh_bytes_t init)
{
    uint8_t text[85] = {0xff};
    memcpy(text + 1, creator->b, 20);
    coh_u256_store_be(text + 21, salt);
    coh_hash_t hash;
    coh_keccak256(&hash, init.p, init.n);
    memcpy(text + 53, hash.b, 32);
    coh_keccak256(&hash, text, sizeof(text));
    coh_addr_t addr;
    memcpy(addr.b, hash.b + 12, sizeof(addr.b));
    return addr;
}

/* EIP-684, EIP-7610; NONCE and CODE are at hand. */
static bool is_taken(coh_account_t const *a)
{
    return a->cur.nonce != 0 || coh_value_has_code(&a->cur) ||
           (a->cur.flags & COH_ACCOUNT_HAS_STORAGE) != 0;
}

/* Makes the account, pays it, and pushes the frame of its init code. */
static coh_frame_t *begin_create(coh_evm_t *evm,
                                 coh_account_t *a,
                                 coh_account_t *creator,
                                 coh_u256_t const *value,
                                 coh_bytes_t init,
                                 uint64_t gas)
{
    coh_mark_t mark = coh_state_mark(evm->state);
    coh_state_set_flags(evm->state, a, COH_ACCT_CREATED | COH_ACCT_TOUCHED);
    if (evm->fork >= COH_FORK_SPURIOUS) {
        coh_state_set_nonce(evm->state, a, 1); /* EIP-161 */
    }
    transfer(evm, creator, a, value);
    coh_frame_t *g = push_frame(evm, coh_code_new(init, evm->fork, NULL), gas);
    g->self        = a;
    g->caller      = creator->addr;
    g->value       = *value;
    g->input       = (coh_bytes_t){0};
    g->mark        = mark;
    g->is_static   = false;
    g->is_create   = true;
    g->owns_code   = true;
    return g;
}

coh_call_t coh_create_op(coh_evm_t *evm, coh_frame_t *f, uint8_t opcode)
{
    coh_state_t *state    = evm->state;
    bool salted           = opcode == COH_OP_CREATE2;
    coh_u256_t const *top = &f->stack[f->stack_cnt];
    coh_u256_t value      = top[0];
    if (f->is_static) {
        return failed(f, COH_EVM_STATIC_CALL);
    }
    if (!expand_if(f, &top[-1], &top[-2])) {
        return failed(f, COH_EVM_OUT_OF_GAS);
    }
    uint64_t size  = top[-2].w[0];
    uint64_t words = coh_gas_words(size);
    uint64_t cost  = salted ? COH_GAS_KECCAK_WORD * words : 0; /* EIP-1014 */
    if (evm->fork >= COH_FORK_SHANGHAI) {                      /* EIP-3860 */
        if (size > COH_INITCODE_SIZE_MAX) {
            return failed(f, COH_EVM_OUT_OF_GAS);
        }
        cost += COH_GAS_INITCODE_WORD * words;
    }
    if (f->gas < cost) {
        return failed(f, COH_EVM_OUT_OF_GAS);
    }
    uint32_t wanted =
        COH_READ_NONCE | (coh_u256_is_zero(&value) ? 0u : (uint32_t)COH_READ_AT_LEAST);
    if (coh_state_read(state, f->self, wanted, &value) == COH_VIEW_NEED) {
        return COH_CALL_NEED;
    }
    bool refused = evm->depth > COH_CALL_DEPTH_MAX || coh_u256_lt(&f->self->cur.word, &value) ||
                   f->self->cur.nonce == UINT64_MAX; /* EIP-2681 */
    coh_account_t *a = NULL;
    coh_bytes_t init = coh_bytes(size == 0 ? NULL : f->mem + top[-1].w[0], size);
    coh_addr_t addr  = {{0}};
    if (!refused || is_watched(evm)) {
        addr = salted ? salted_address(&f->self->addr, &top[-3], init)
                      : coh_tx_created_address(&f->self->addr, f->self->cur.nonce);
    }
    if (!refused) {
        a = coh_state_account(state, &addr);
        if (coh_state_need(state, a, COH_READ_NONCE | COH_READ_CODE) == COH_VIEW_NEED) {
            return COH_CALL_NEED;
        }
    }
    f->gas -= cost;
    f->stack_cnt -= salted ? 4 : 3;
    evm->return_data = (coh_bytes_t){0};
    uint64_t gas     = evm->fork >= COH_FORK_TANGERINE ? all_but_a_64th(f->gas) : f->gas;
    f->gas -= gas;
    trace_enter(evm, f, opcode, &f->self->addr, &addr, &value, gas, init);
    if (refused) {
        coh_evm_status_t why = evm->depth > COH_CALL_DEPTH_MAX           ? COH_EVM_DEPTH
                               : coh_u256_lt(&f->self->cur.word, &value) ? COH_EVM_BALANCE
                                                                         : COH_EVM_NONCE;
        trace_leave(evm, evm->depth + 1, why, 0, (coh_bytes_t){0});
        f->gas += gas;
        push_word(f, COH_U256_ZERO);
        return COH_CALL_DONE;
    }
    coh_state_set_nonce(state, f->self, f->self->cur.nonce + 1);
    warm(evm, a); /* it stays warm if the creation fails */
    if (is_taken(a)) {
        trace_leave(evm, evm->depth + 1, COH_EVM_COLLISION, gas, (coh_bytes_t){0});
        push_word(f, COH_U256_ZERO);
        return COH_CALL_DONE;
    }
    (void)begin_create(evm, a, f->self, &value, init, gas);
    return COH_CALL_PUSHED;
}

/* The end of a creation that ran to its end: stores the code, or fails. */
static coh_evm_status_t deposit(coh_evm_t *evm, coh_frame_t *f)
{
    coh_bytes_t code = f->output;
    uint64_t cost    = (uint64_t)code.n * COH_GAS_CODE_OCTET;
    if (evm->fork >= COH_FORK_SPURIOUS && code.n > COH_CODE_SIZE_MAX) {
        return COH_EVM_CODE_SIZE; /* EIP-170 */
    }
    if (evm->fork >= COH_FORK_LONDON && code.n != 0 && code.p[0] == 0xef) {
        return COH_EVM_CODE_PREFIX; /* EIP-3541 */
    }
    if (f->gas < cost) {
        if (evm->fork >= COH_FORK_HOMESTEAD) {
            return COH_EVM_OUT_OF_GAS; /* EIP-2 */
        }
        return COH_EVM_SUCCESS; /* Frontier: an account without code */
    }
    f->gas -= cost;
    if (code.n != 0) {
        coh_hash_t hash;
        coh_keccak256(&hash, code.p, code.n);
        coh_state_set_code(evm->state, f->self, code, &hash);
    }
    return COH_EVM_SUCCESS;
}

void coh_call_return(coh_evm_t *evm)
{
    coh_frame_t *g       = evm->frames[evm->depth - 1];
    coh_bytes_t returned = g->output;
    if (g->is_create && g->status == COH_EVM_SUCCESS) {
        g->status = deposit(evm, g);
        g->output = (coh_bytes_t){0};
        g->gas    = g->status == COH_EVM_SUCCESS ? g->gas : 0;
    }
    if (g->status != COH_EVM_SUCCESS) {
        coh_state_rollback(evm->state, g->mark);
    }
    if (evm->tracer != NULL && evm->tracer->exit != NULL) {
        evm->tracer->exit(evm->tracer, evm->depth, g->status, g->gas_begin - g->gas, g->output);
    }
    trace_leave(evm, evm->depth, g->status, g->gas_begin - g->gas, returned);
    if (g->owns_code) {
        coh_code_unref(g->code);
    }
    evm->depth--;
    if (evm->depth == 0) {
        evm->result =
            (coh_evm_result_t){.status = g->status, .gas_left = g->gas, .output = g->output};
        return;
    }
    coh_frame_t *f = evm->frames[evm->depth - 1];
    f->gas += g->gas;
    evm->return_data = g->output;
    if (!g->is_create) {
        copy_output(f, g->out_off, g->out_sz, g->output);
        push_word(f, coh_u256(g->status == COH_EVM_SUCCESS));
    } else {
        push_word(
            f, g->status == COH_EVM_SUCCESS ? coh_u256_from_addr(&g->self->addr) : COH_U256_ZERO);
    }
}

static coh_call_t finish(coh_evm_t *evm, coh_evm_status_t status, uint64_t gas)
{
    evm->result = (coh_evm_result_t){.status = status, .gas_left = gas, .output = evm->return_data};
    return COH_CALL_DONE;
}

coh_call_t coh_call_message(coh_evm_t *evm)
{
    coh_state_t *state           = evm->state;
    coh_evm_message_t const *msg = &evm->msg;
    coh_account_t *from          = coh_state_account(state, &msg->sender);
    coh_account_t *a             = coh_state_account(state, &msg->to);
    if (msg->is_create) {
        if (coh_state_need(state, a, COH_READ_NONCE | COH_READ_CODE) == COH_VIEW_NEED) {
            return COH_CALL_NEED;
        }
        warm(evm, a);
        trace_enter(
            evm, NULL, COH_OP_CREATE, &msg->sender, &msg->to, &msg->value, msg->gas, msg->input);
        if (is_taken(a)) {
            trace_leave(evm, 1, COH_EVM_COLLISION, msg->gas, (coh_bytes_t){0});
            return finish(evm, COH_EVM_COLLISION, 0);
        }
        (void)begin_create(evm, a, from, &msg->value, msg->input, msg->gas);
        return COH_CALL_PUSHED;
    }
    coh_precompile_t const *precompile = precompile_at(evm, &msg->to);
    coh_code_t const *code             = NULL;
    if (precompile == NULL) {
        if (coh_state_code(state, a) == COH_VIEW_NEED) {
            return COH_CALL_NEED;
        }
        code = a->code;
        if (code != NULL &&
            code->is_delegation) { /* EIP-7702: the delegate is warm, and costs nothing here */
            coh_account_t *delegate = coh_state_account(state, &code->delegate);
            if (coh_state_code(state, delegate) == COH_VIEW_NEED) {
                return COH_CALL_NEED;
            }
            warm(evm, delegate);
            code = delegate->code;
        }
    }
    trace_enter(evm, NULL, COH_OP_CALL, &msg->sender, &msg->to, &msg->value, msg->gas, msg->input);
    coh_mark_t mark = coh_state_mark(state);
    touch(evm, a);
    transfer(evm, from, a, &msg->value);
    if (precompile != NULL) {
        uint64_t gas = msg->gas;
        bool ok      = run_precompile(evm, precompile, &gas, msg->input);
        if (!ok) {
            coh_state_rollback(state, mark);
        }
        trace_leave(
            evm, 1, ok ? COH_EVM_SUCCESS : COH_EVM_PRECOMPILE, msg->gas - gas, evm->return_data);
        return finish(evm, ok ? COH_EVM_SUCCESS : COH_EVM_PRECOMPILE, gas);
    }
    if (code == NULL) {
        trace_leave(evm, 1, COH_EVM_SUCCESS, 0, (coh_bytes_t){0});
        return finish(evm, COH_EVM_SUCCESS, msg->gas);
    }
    coh_frame_t *g = push_frame(evm, code, msg->gas);
    g->self        = a;
    g->caller      = msg->sender;
    g->value       = msg->value;
    g->input       = msg->input;
    g->mark        = mark;
    g->is_static   = false;
    return COH_CALL_PUSHED;
}

coh_call_t coh_selfdestruct_op(coh_evm_t *evm, coh_frame_t *f)
{
    coh_state_t *state = evm->state;
    coh_account_t *a   = f->self;
    if (f->is_static) {
        return failed(f, COH_EVM_STATIC_CALL);
    }
    coh_addr_t addr  = coh_u256_to_addr(&f->stack[f->stack_cnt]);
    coh_account_t *b = coh_state_account(state, &addr);
    uint64_t cost = evm->fork >= COH_FORK_BERLIN && !is_warm(evm, b) ? COH_GAS_COLD_BENEFICIARY : 0;
    if (f->gas < cost) {
        return failed(f, COH_EVM_OUT_OF_GAS);
    }
    if (coh_state_need(state, a, COH_READ_WORD) == COH_VIEW_NEED) {
        return COH_CALL_NEED;
    }
    coh_u256_t balance = a->cur.word;
    /* EIP-150: a beneficiary that does not exist; EIP-161: a dead one that gets something. */
    if (evm->fork >= COH_FORK_TANGERINE &&
        (evm->fork < COH_FORK_SPURIOUS || !coh_u256_is_zero(&balance))) {
        bool dead;
        if (coh_state_is_dead(state, b, &dead) == COH_VIEW_NEED) {
            return COH_CALL_NEED;
        }
        cost += dead ? COH_GAS_NEW_ACCOUNT : 0;
        if (f->gas < cost) {
            return failed(f, COH_EVM_OUT_OF_GAS);
        }
    }
    f->gas -= cost;
    trace_enter(evm, f, COH_OP_SELFDESTRUCT, &a->addr, &addr, &balance, 0, (coh_bytes_t){0});
    trace_leave(evm, evm->depth + 1, COH_EVM_SUCCESS, 0, (coh_bytes_t){0});
    warm(evm, b);
    touch(evm, b);
    if (evm->fork >= COH_FORK_CANCUN && (a->flags & COH_ACCT_CREATED) == 0) {
        transfer(evm, a, b, &balance); /* EIP-6780: the account lives on */
        return COH_CALL_DONE;
    }
    if (evm->fork < COH_FORK_LONDON && (a->flags & COH_ACCT_DESTROYED) == 0) {
        state->refund += COH_GAS_SELFDESTRUCT_REFUND; /* until EIP-3529 */
    }
    if (!coh_u256_is_zero(&balance)) {
        coh_state_debit(state, a, &balance);
        if (b != a) { /* what goes to itself is burnt */
            coh_state_credit(state, b, &balance);
        }
    }
    coh_state_set_flags(state, a, COH_ACCT_DESTROYED);
    return COH_CALL_DONE;
}
