/* interp_loop.h: the interpreter's loop, included twice by interp.c: with INTERP_SWITCH 0 as coh_interp_fast (computed goto; gas and stack
   are checked once for each block of code, but for the first time that it is entered), with INTERP_SWITCH 1 as coh_interp_switch (a switch; each instruction checked and
   charged by itself, and traced if somebody watches). The effect of each instruction stands here once.

   sp points at the top item. An instruction that says NEED has changed nothing: it is executed again from its beginning. */

/* Labels and the macros behind them read as a table. */
/* clang-format off */
#if INTERP_SWITCH
#define OP(name) case COH_OP_##name:
#define NEXT(n)    \
    {              \
        ip += (n); \
        goto next; \
    }
#define NEXT_BLOCK(n) NEXT(n)
#define GIVE_BACK     gas += row->gas; /* it is charged again when the instruction is */
#else
#define OP(name) L_##name:
/* relaxed: whether another thread has fused this instruction with the next ones in the meantime makes no difference */
#define OPCODE __atomic_load_n(ip, __ATOMIC_RELAXED)
#define NEXT(n)                 \
    {                           \
        ip += (n);              \
        goto *table[OPCODE];    \
    }
#define NEXT_BLOCK(n) \
    {                 \
        ip += (n);    \
        goto enter;   \
    }
/* A checked instruction is charged again when it comes again. */
#define GIVE_BACK                                          \
    if (table != labels) {                                 \
        gas += rows[code->bytes[ip - exec]].gas;      \
    }
#endif

/* The 16 bits at ip + n. */
#define IMM16(n) ((uint32_t)ip[n] << 8 | ip[(n) + 1])
#define FAIL(why)                  \
    {                              \
        f->status = COH_EVM_##why; \
        goto fail;                 \
    }
#define CHARGE(amount)                   \
    do {                                 \
        uint64_t amount_ = (amount);     \
        if (COH_UNLIKELY(gas < amount_)) \
            goto out_of_gas;             \
        gas -= amount_;                  \
    } while (0)
/* Memory [off, off + size) is there; size is not zero. The copy of gas keeps gas itself in a register. */
#define EXPAND(off, size)                                                \
    do {                                                                 \
        uint64_t gas_ = gas;                                             \
        if (COH_UNLIKELY(!coh_frame_expand(f, &gas_, (off), (size))))    \
            goto out_of_gas;                                             \
        gas = gas_;                                                      \
    } while (0)
/* The same where size may be zero: then off may be anything. */
#define EXPAND_IF(off, size)         \
    if (!coh_u256_is_zero(size))     \
    EXPAND(off, size)
#define STORE_FRAME                                \
    f->pc        = (uint32_t)(ip - exec);          \
    f->stack_cnt = (uint32_t)(sp - &f->stack[0]);  \
    f->gas       = gas
#define PUSH_U64(v)                     \
    {                                   \
        *++sp = coh_u256((uint64_t)(v)); \
        NEXT(1)                         \
    }
#define PUSH_ADDR(a)                       \
    {                                      \
        *++sp = coh_u256_from_addr((a));   \
        NEXT(1)                            \
    }
#define PUSH_SMALL(n)                            \
    {                                            \
        *++sp = coh_u256(small_at(ip + 1, (n))); \
        NEXT((n) + 1)                            \
    }
#define PUSH_LARGE(n)                \
    {                                \
        push_large(++sp, ip + 1, n); \
        NEXT((n) + 1)                \
    }
#define BINARY(function)                 \
    {                                    \
        sp--;                            \
        function(&sp[0], &sp[1], &sp[0]); \
        NEXT(1)                          \
    }
#define COMPARE(result)                 \
    {                                   \
        bool result_ = (result);        \
        sp--;                           \
        sp[0] = coh_u256(result_);      \
        NEXT(1)                         \
    }

coh_exit_t INTERP_NAME(coh_evm_t *evm, coh_frame_t *f)
{
    coh_code_t const *code   = f->code;
    uint8_t const *exec      = INTERP_SWITCH ? code->bytes : code->exec;
    uint8_t const *ip        = exec + f->pc;
    coh_u256_t *sp           = &f->stack[f->stack_cnt];
    uint64_t gas             = f->gas;
    coh_state_t *state       = evm->state;
    coh_fork_t const fork    = evm->fork;
    coh_opcode_row_t const *rows = evm->rows;

#if INTERP_SWITCH
    coh_opcode_row_t const *row;
next:
    row = &rows[*ip];
    if (COH_UNLIKELY(evm->slice_left-- == 0)) {
        STORE_FRAME;
        return COH_EXIT_NEED;
    }
    if (evm->tracer != NULL && evm->tracer->step != NULL && !f->retried) {
        STORE_FRAME;
        trace_step(evm, f, *ip, row->gas);
    }
    f->retried = false;
    {
        ptrdiff_t height = sp - &f->stack[0];
        if (!row->defined) {
            FAIL(UNDEFINED)
        }
        if (height < row->pops) {
            FAIL(STACK_UNDERFLOW)
        }
        if (height - row->pops + row->push > (ptrdiff_t)COH_STACK_MAX) {
            FAIL(STACK_OVERFLOW)
        }
        CHARGE(row->gas);
    }
    switch (*ip) {
#else
    static void const *const labels[256] = {
#define COH_OP(byte, name, imm, pops, push, gas, since) [byte] = &&L_##name,
#define COH_UN(byte)                                    [byte] = &&L_UNDEFINED,
#define COH_FU(byte, name)                              [byte] = &&F_##name,
#include "common/evm/opcodes.def"
    };
    /* Of a block that is entered for the first time, or fails: each instruction is checked and charged by itself, as in the switch loop. */
    static void const *const checked[256] = {
#define COH_OP(byte, name, imm, pops, push, gas, since) [byte] = &&C_##name,
#define COH_UN(byte)                                    [byte] = &&L_UNDEFINED,
#define COH_FU(byte, name)                              [byte] = &&unfuse,
#include "common/evm/opcodes.def"
    };
    void const *const *table = f->checked ? checked : labels;
    if (f->at_block) {
        goto enter;
    }
    goto *table[OPCODE];

#define COH_OP(byte, name, imm, pops, push, gas_, since)                                         \
    C_##name : if ((COH_FORK_##since) != COH_FORK_FRONTIER && fork < (COH_FORK_##since)) FAIL(UNDEFINED) \
    if (sp - &f->stack[0] < (pops)) FAIL(STACK_UNDERFLOW)                                        \
    if ((push) > (pops) && sp - &f->stack[0] > (ptrdiff_t)COH_STACK_MAX - ((push) - (pops)))     \
        FAIL(STACK_OVERFLOW)                                                                     \
    CHARGE(rows[byte].gas);                                                                      \
    goto L_##name;
#include "common/evm/opcodes.def"
unfuse: /* another thread has added the block up meanwhile; or the code has this byte itself */
    if (!rows[code->bytes[ip - exec]].defined) {
        FAIL(UNDEFINED)
    }
    goto *checked[code->bytes[ip - exec]];

enter: {
    coh_code_block_t block = coh_code_block(code, (uint32_t)(ip - exec));
    uint64_t height        = (uint64_t)(sp - &f->stack[0]);
entered:
    if (COH_UNLIKELY(height < COH_CODE_BLOCK_NEED(block) ||
                     height + COH_CODE_BLOCK_GROWTH(block) > COH_STACK_MAX ||
                     gas < COH_CODE_BLOCK_GAS(block))) {
        if (block == COH_CODE_BLOCK_SEEN) {
            block = coh_code_add_up(code, (uint32_t)(ip - exec));
            goto entered;
        }
        if (block == COH_CODE_BLOCK_UNKNOWN) {
            coh_code_see(code, (uint32_t)(ip - exec));
        }
        /* Or it will fail: at which instruction, the checks find out, so that what comes before is done, and read, as in any other loop. */
        table = checked;
        goto *checked[OPCODE];
    }
    gas -= COH_CODE_BLOCK_GAS(block);
    table = labels;
    ip += (OPCODE & 0x7f) == COH_OP_JUMPDEST; /* it is charged, and does no more; so is DEST_ENTER */
    goto *labels[OPCODE];
}
#endif

    OP(STOP)
    {
        f->output = (coh_bytes_t){0};
        goto success;
    }
    OP(ADD)
    {
        sp--;
        (void)coh_u256_add(&sp[0], &sp[1], &sp[0]);
        NEXT(1)
    }
    OP(MUL) BINARY(coh_u256_mul)
    OP(SUB)
    {
        sp--;
        (void)coh_u256_sub(&sp[0], &sp[1], &sp[0]);
        NEXT(1)
    }
    OP(DIV) BINARY(coh_u256_div)
    OP(SDIV) BINARY(coh_u256_sdiv)
    OP(MOD) BINARY(coh_u256_mod)
    OP(SMOD) BINARY(coh_u256_smod)
    OP(ADDMOD)
    {
        sp -= 2;
        coh_u256_addmod(&sp[0], &sp[2], &sp[1], &sp[0]);
        NEXT(1)
    }
    OP(MULMOD)
    {
        sp -= 2;
        coh_u256_mulmod(&sp[0], &sp[2], &sp[1], &sp[0]);
        NEXT(1)
    }
    OP(EXP)
    {
        CHARGE(coh_gas_exp_octet(fork) * coh_u256_be_len(&sp[-1]));
        BINARY(coh_u256_exp)
    }
    OP(SIGNEXTEND) BINARY(coh_u256_signextend)

    OP(LT) COMPARE(coh_u256_lt(&sp[0], &sp[-1]))
    OP(GT) COMPARE(coh_u256_lt(&sp[-1], &sp[0]))
    OP(SLT) COMPARE(coh_u256_slt(&sp[0], &sp[-1]))
    OP(SGT) COMPARE(coh_u256_slt(&sp[-1], &sp[0]))
    OP(EQ) COMPARE(coh_u256_eq(&sp[0], &sp[-1]))
    OP(ISZERO)
    {
        sp[0] = coh_u256(coh_u256_is_zero(&sp[0]));
        NEXT(1)
    }
    OP(AND) BINARY(coh_u256_and)
    OP(OR) BINARY(coh_u256_or)
    OP(XOR) BINARY(coh_u256_xor)
    OP(NOT)
    {
        coh_u256_not(&sp[0], &sp[0]);
        NEXT(1)
    }
    OP(BYTE) BINARY(coh_u256_byte)
    OP(SHL) BINARY(coh_u256_shl)
    OP(SHR) BINARY(coh_u256_shr)
    OP(SAR) BINARY(coh_u256_sar)
    OP(CLZ)
    {
        sp[0] = coh_u256(coh_u256_clz(&sp[0]));
        NEXT(1)
    }

    OP(KECCAK256)
    {
        EXPAND_IF(&sp[0], &sp[-1]);
        coh_bytes_t text = memory_at(f, &sp[0], &sp[-1]);
        CHARGE(COH_GAS_KECCAK_WORD * coh_gas_words(text.n));
        coh_hash_t hash;
        coh_keccak256(&hash, text.p, text.n);
        sp--;
        sp[0] = coh_u256_load_be(hash.b);
        NEXT(1)
    }

    OP(ADDRESS) PUSH_ADDR(&f->self->addr)
    OP(BALANCE)
    {
        coh_account_t *a = account_at(state, &sp[0]);
        uint64_t cold    = cold_account(fork, a);
        if (COH_UNLIKELY(gas < cold)) {
            goto out_of_gas;
        }
        if (coh_state_need(state, a, COH_READ_WORD) == COH_VIEW_NEED) {
            goto need;
        }
        gas -= cold;
        warm_account(state, fork, a);
        sp[0] = a->cur.word;
        NEXT(1)
    }
    OP(ORIGIN) PUSH_ADDR(&evm->env->origin)
    OP(CALLER) PUSH_ADDR(&f->caller)
    OP(CALLVALUE)
    {
        *++sp = f->value;
        NEXT(1)
    }
    OP(CALLDATALOAD)
    {
        sp[0] = load_padded(f->input, &sp[0]);
        NEXT(1)
    }
    OP(CALLDATASIZE) PUSH_U64(f->input.n)
    OP(CALLDATACOPY)
    {
        EXPAND_IF(&sp[0], &sp[-2]);
        uint64_t size = sp[-2].w[0];
        CHARGE(COH_GAS_COPY_WORD * coh_gas_words(size));
        copy_padded(f, sp[0].w[0], f->input, &sp[-1], size);
        sp -= 3;
        NEXT(1)
    }
    OP(CODESIZE) PUSH_U64(code->size)
    OP(CODECOPY)
    {
        EXPAND_IF(&sp[0], &sp[-2]);
        uint64_t size = sp[-2].w[0];
        CHARGE(COH_GAS_COPY_WORD * coh_gas_words(size));
        copy_padded(f, sp[0].w[0], coh_bytes(code->bytes, code->size), &sp[-1], size);
        sp -= 3;
        NEXT(1)
    }
    OP(GASPRICE)
    {
        *++sp = evm->env->gas_price;
        NEXT(1)
    }
    OP(EXTCODESIZE)
    {
        coh_account_t *a = account_at(state, &sp[0]);
        uint64_t cold    = cold_account(fork, a);
        if (COH_UNLIKELY(gas < cold)) {
            goto out_of_gas;
        }
        if (coh_state_code(state, a) == COH_VIEW_NEED) {
            goto need;
        }
        gas -= cold;
        warm_account(state, fork, a);
        sp[0] = coh_u256(a->code != NULL ? a->code->size : 0);
        NEXT(1)
    }
    OP(EXTCODECOPY)
    {
        coh_account_t *a = account_at(state, &sp[0]);
        EXPAND_IF(&sp[-1], &sp[-3]);
        uint64_t kept = gas; /* the memory stays, paid for, should this instruction come again */
        uint64_t size = sp[-3].w[0];
        CHARGE(COH_GAS_COPY_WORD * coh_gas_words(size) + cold_account(fork, a));
        if (coh_state_code(state, a) == COH_VIEW_NEED) {
            gas = kept;
            goto need;
        }
        warm_account(state, fork, a);
        copy_padded(f, sp[-1].w[0], code_bytes(a->code), &sp[-2], size);
        sp -= 4;
        NEXT(1)
    }
    OP(RETURNDATASIZE) PUSH_U64(evm->return_data.n)
    OP(RETURNDATACOPY)
    {
        uint64_t off;
        if (!range_within(&off, &sp[-1], &sp[-2], evm->return_data.n)) { /* EIP-211 */
            FAIL(RETURN_BOUNDS)
        }
        EXPAND_IF(&sp[0], &sp[-2]);
        uint64_t size = sp[-2].w[0];
        CHARGE(COH_GAS_COPY_WORD * coh_gas_words(size));
        if (size != 0) {
            memcpy(f->mem + sp[0].w[0], evm->return_data.p + off, size);
        }
        sp -= 3;
        NEXT(1)
    }
    OP(EXTCODEHASH)
    {
        coh_account_t *a = account_at(state, &sp[0]);
        uint64_t cold    = cold_account(fork, a);
        if (COH_UNLIKELY(gas < cold)) {
            goto out_of_gas;
        }
        bool dead;
        if (coh_state_is_dead(state, a, &dead) == COH_VIEW_NEED) {
            goto need;
        }
        gas -= cold;
        warm_account(state, fork, a);
        if (dead) {
            sp[0] = COH_U256_ZERO; /* EIP-1052 */
        } else {
            sp[0] = coh_u256_load_be(coh_value_has_code(&a->cur) ? a->cur.code_hash.b
                                                                 : COH_KECCAK_EMPTY.b);
        }
        NEXT(1)
    }

    OP(BLOCKHASH)
    {
        uint64_t number = sp[0].w[0];
        coh_u256_t hash = COH_U256_ZERO;
        if (coh_u256_fits_u64(&sp[0]) && number < evm->block->number &&
            evm->block->number - number <= 256 &&
            coh_state_block_hash(state, &hash, number) == COH_VIEW_NEED) {
            goto need;
        }
        sp[0] = hash;
        NEXT(1)
    }
    OP(COINBASE) PUSH_ADDR(&evm->block->coinbase)
    OP(TIMESTAMP) PUSH_U64(evm->block->timestamp)
    OP(NUMBER) PUSH_U64(evm->block->number)
    OP(PREVRANDAO)
    {
        *++sp = evm->block->prev_randao;
        NEXT(1)
    }
    OP(GASLIMIT) PUSH_U64(evm->block->gas_limit)
    OP(CHAINID) PUSH_U64(evm->block->chain_id)
    OP(SELFBALANCE)
    {
        if (coh_state_need(state, f->self, COH_READ_WORD) == COH_VIEW_NEED) {
            goto need;
        }
        *++sp = f->self->cur.word;
        NEXT(1)
    }
    OP(BASEFEE)
    {
        *++sp = evm->block->base_fee;
        NEXT(1)
    }
    OP(BLOBHASH)
    {
        sp[0] = blob_hash(evm->env->tx, &sp[0]);
        NEXT(1)
    }
    OP(BLOBBASEFEE)
    {
        *++sp = evm->block->blob_base_fee;
        NEXT(1)
    }

    OP(POP)
    {
        sp--;
        NEXT(1)
    }
    OP(MLOAD)
    {
        if (COH_UNLIKELY(!within_memory(f, &sp[0]))) {
            EXPAND(&sp[0], &word_size);
        }
        sp[0] = coh_u256_load_be(f->mem + sp[0].w[0]);
        NEXT(1)
    }
    OP(MSTORE)
    {
        if (COH_UNLIKELY(!within_memory(f, &sp[0]))) {
            EXPAND(&sp[0], &word_size);
        }
        coh_u256_store_be(f->mem + sp[0].w[0], &sp[-1]);
        sp -= 2;
        NEXT(1)
    }
    OP(MSTORE8)
    {
        EXPAND(&sp[0], &octet_size);
        f->mem[sp[0].w[0]] = (uint8_t)sp[-1].w[0];
        sp -= 2;
        NEXT(1)
    }
    OP(SLOAD)
    {
        coh_slot_t *slot = coh_state_slot_record(state, f->self, &sp[0]);
        uint64_t cold    = fork >= COH_FORK_BERLIN && !slot->warm ? COH_GAS_COLD_SLOAD : 0;
        if (COH_UNLIKELY(gas < cold)) {
            goto out_of_gas;
        }
        if (COH_UNLIKELY(!slot->have) &&
            coh_state_slot(state, &slot, f->self, &sp[0]) == COH_VIEW_NEED) {
            goto need;
        }
        gas -= cold;
        if (cold != 0) {
            coh_state_warm_slot(state, slot);
        }
        sp[0] = slot->cur;
        NEXT(1)
    }
    OP(SSTORE)
    {
        if (f->is_static) {
            FAIL(STATIC_CALL)
        }
        if (fork >= COH_FORK_ISTANBUL && gas <= COH_GAS_SSTORE_SENTRY) { /* EIP-2200 */
            goto out_of_gas;
        }
        coh_slot_t *slot = coh_state_slot_record(state, f->self, &sp[0]);
        uint64_t cold    = fork >= COH_FORK_BERLIN && !slot->warm ? COH_GAS_COLD_SSTORE : 0;
        if (COH_UNLIKELY(gas < cold)) {
            goto out_of_gas;
        }
        if (COH_UNLIKELY(!slot->have) &&
            coh_state_slot(state, &slot, f->self, &sp[0]) == COH_VIEW_NEED) {
            goto need;
        }
        int64_t refund;
        CHARGE(cold + coh_gas_sstore(&refund, fork, &slot->base, &slot->cur, &sp[-1]));
        state->refund += refund;
        if (cold != 0) {
            coh_state_warm_slot(state, slot);
        }
        coh_state_set_slot(state, slot, &sp[-1]);
        sp -= 2;
        NEXT_BLOCK(1)
    }
    OP(JUMP)
    {
        if (COH_UNLIKELY(!is_destination(code, &sp[0]))) {
            FAIL(BAD_JUMP)
        }
        ip = exec + sp[0].w[0];
        sp--;
        NEXT_BLOCK(0)
    }
    OP(JUMPI)
    {
        sp -= 2;
        if (coh_u256_is_zero(&sp[1])) {
            NEXT_BLOCK(1)
        }
        if (COH_UNLIKELY(!is_destination(code, &sp[2]))) {
            FAIL(BAD_JUMP)
        }
        ip = exec + sp[2].w[0];
        NEXT_BLOCK(0)
    }
    OP(PC) PUSH_U64(ip - exec)
    OP(MSIZE) PUSH_U64(f->mem_sz)
    OP(GAS)
    {
        *++sp = coh_u256(gas);
        NEXT_BLOCK(1)
    }
    OP(JUMPDEST) NEXT(1)
    OP(TLOAD)
    {
        sp[0] = coh_state_slot_record(state, f->self, &sp[0])->transient;
        NEXT(1)
    }
    OP(TSTORE)
    {
        if (f->is_static) {
            FAIL(STATIC_CALL)
        }
        coh_state_set_transient(state, coh_state_slot_record(state, f->self, &sp[0]), &sp[-1]);
        sp -= 2;
        NEXT(1)
    }
    OP(MCOPY)
    {
        EXPAND_IF(&sp[0], &sp[-2]);
        EXPAND_IF(&sp[-1], &sp[-2]);
        uint64_t size = sp[-2].w[0];
        CHARGE(COH_GAS_COPY_WORD * coh_gas_words(size));
        if (size != 0) {
            memmove(f->mem + sp[0].w[0], f->mem + sp[-1].w[0], size);
        }
        sp -= 3;
        NEXT(1)
    }

    OP(PUSH0)
    {
        *++sp = COH_U256_ZERO;
        NEXT(1)
    }
    OP(PUSH1) PUSH_SMALL(1)
    OP(PUSH2) PUSH_SMALL(2)
    OP(PUSH3) PUSH_SMALL(3)
    OP(PUSH4) PUSH_SMALL(4)
    OP(PUSH5) PUSH_SMALL(5)
    OP(PUSH6) PUSH_SMALL(6)
    OP(PUSH7) PUSH_SMALL(7)
    OP(PUSH8) PUSH_SMALL(8)
    OP(PUSH9) PUSH_LARGE(9)
    OP(PUSH10) PUSH_LARGE(10)
    OP(PUSH11) PUSH_LARGE(11)
    OP(PUSH12) PUSH_LARGE(12)
    OP(PUSH13) PUSH_LARGE(13)
    OP(PUSH14) PUSH_LARGE(14)
    OP(PUSH15) PUSH_LARGE(15)
    OP(PUSH16) PUSH_LARGE(16)
    OP(PUSH17) PUSH_LARGE(17)
    OP(PUSH18) PUSH_LARGE(18)
    OP(PUSH19) PUSH_LARGE(19)
    OP(PUSH20) PUSH_LARGE(20)
    OP(PUSH21) PUSH_LARGE(21)
    OP(PUSH22) PUSH_LARGE(22)
    OP(PUSH23) PUSH_LARGE(23)
    OP(PUSH24) PUSH_LARGE(24)
    OP(PUSH25) PUSH_LARGE(25)
    OP(PUSH26) PUSH_LARGE(26)
    OP(PUSH27) PUSH_LARGE(27)
    OP(PUSH28) PUSH_LARGE(28)
    OP(PUSH29) PUSH_LARGE(29)
    OP(PUSH30) PUSH_LARGE(30)
    OP(PUSH31) PUSH_LARGE(31)
    OP(PUSH32)
    {
        *++sp = coh_u256_load_be(ip + 1);
        NEXT(33)
    }

#define DUP(n)                        \
    {                                 \
        sp++;                         \
        copy_word(&sp[0], &sp[-(n)]); \
        NEXT(1)                       \
    }
    OP(DUP1) DUP(1)
    OP(DUP2) DUP(2)
    OP(DUP3) DUP(3)
    OP(DUP4) DUP(4)
    OP(DUP5) DUP(5)
    OP(DUP6) DUP(6)
    OP(DUP7) DUP(7)
    OP(DUP8) DUP(8)
    OP(DUP9) DUP(9)
    OP(DUP10) DUP(10)
    OP(DUP11) DUP(11)
    OP(DUP12) DUP(12)
    OP(DUP13) DUP(13)
    OP(DUP14) DUP(14)
    OP(DUP15) DUP(15)
    OP(DUP16) DUP(16)
#undef DUP
#define SWAP(n)                     \
    {                               \
        swap_words(&sp[0], &sp[-(n)]); \
        NEXT(1)                     \
    }
    OP(SWAP1) SWAP(1)
    OP(SWAP2) SWAP(2)
    OP(SWAP3) SWAP(3)
    OP(SWAP4) SWAP(4)
    OP(SWAP5) SWAP(5)
    OP(SWAP6) SWAP(6)
    OP(SWAP7) SWAP(7)
    OP(SWAP8) SWAP(8)
    OP(SWAP9) SWAP(9)
    OP(SWAP10) SWAP(10)
    OP(SWAP11) SWAP(11)
    OP(SWAP12) SWAP(12)
    OP(SWAP13) SWAP(13)
    OP(SWAP14) SWAP(14)
    OP(SWAP15) SWAP(15)
    OP(SWAP16) SWAP(16)
#undef SWAP

    OP(LOG0) goto log;
    OP(LOG1) goto log;
    OP(LOG2) goto log;
    OP(LOG3) goto log;
    OP(LOG4) goto log;

    OP(CREATE) goto create;
    OP(CREATE2) goto create;
    OP(CALL) goto call;
    OP(CALLCODE) goto call;
    OP(DELEGATECALL) goto call;
    OP(STATICCALL) goto call;

    OP(RETURN)
    {
        EXPAND_IF(&sp[0], &sp[-1]);
        f->output = memory_at(f, &sp[0], &sp[-1]);
        goto success;
    }
    OP(REVERT)
    {
        EXPAND_IF(&sp[0], &sp[-1]);
        f->output = memory_at(f, &sp[0], &sp[-1]);
        f->status = COH_EVM_REVERT;
        goto end;
    }
    OP(INVALID) goto undefined;
    OP(SELFDESTRUCT)
    {
        STORE_FRAME;
        switch (coh_selfdestruct_op(evm, f)) {
        case COH_CALL_NEED: gas = f->gas; goto need;
        case COH_CALL_FAILED: goto fail;
        default: gas = f->gas; break;
        }
        f->output = (coh_bytes_t){0};
        goto success;
    }
#if !INTERP_SWITCH
F_DEST_ENTER: goto enter;
    /* Sequences. Their blocks have been charged, so only memory can still fail. */
F_PUSH2_JUMP:
    ip = exec + IMM16(1);
    goto enter;
F_PUSH2_JUMPI:
    sp--;
    ip = coh_u256_is_zero(&sp[1]) ? ip + 4 : exec + IMM16(1);
    goto enter;
F_ISZERO_PUSH2_JUMPI:
    sp--;
    ip = coh_u256_is_zero(&sp[1]) ? exec + IMM16(2) : ip + 5;
    goto enter;
F_SELECTOR_JUMPI: /* DUP1, PUSH4, EQ, PUSH2, JUMPI */
    ip = sp[0].w[0] == small_at(ip + 2, 4) && coh_u256_fits_u64(&sp[0]) ? exec + IMM16(8)
                                                                                   : ip + 11;
    goto enter;
F_PUSH1_ADD: {
    coh_u256_t imm = coh_u256(ip[1]);
    (void)coh_u256_add(&sp[0], &sp[0], &imm);
    NEXT(3)
}
F_PUSH1_SHL: {
    coh_u256_t imm = coh_u256(ip[1]);
    coh_u256_shl(&sp[0], &imm, &sp[0]);
    NEXT(3)
}
F_PUSH1_SHR: {
    coh_u256_t imm = coh_u256(ip[1]);
    coh_u256_shr(&sp[0], &imm, &sp[0]);
    NEXT(3)
}
F_PUSH1_MLOAD:
    *++sp = coh_u256(ip[1]);
    ip += 2;
    goto L_MLOAD;
F_PUSH2_MLOAD:
    *++sp = coh_u256(IMM16(1));
    ip += 3;
    goto L_MLOAD;
F_PUSH1_MSTORE:
    *++sp = coh_u256(ip[1]);
    ip += 2;
    goto L_MSTORE;
F_PUSH2_MSTORE:
    *++sp = coh_u256(IMM16(1));
    ip += 3;
    goto L_MSTORE;
F_SWAP1_POP:
    copy_word(&sp[-1], &sp[0]);
    sp--;
    NEXT(2)
F_SWAP2_POP:
    copy_word(&sp[-2], &sp[0]);
    sp--;
    NEXT(2)
F_SWAP3_POP:
    copy_word(&sp[-3], &sp[0]);
    sp--;
    NEXT(2)
F_POP_POP:
    sp -= 2;
    NEXT(2)
F_DUP2_MSTORE:
    if (COH_UNLIKELY(!within_memory(f, &sp[-1]))) {
        EXPAND(&sp[-1], &word_size);
    }
    coh_u256_store_be(f->mem + sp[-1].w[0], &sp[0]);
    sp--;
    NEXT(2)
F_ADD_MLOAD:
    sp--;
    (void)coh_u256_add(&sp[0], &sp[1], &sp[0]);
    ip++;
    goto L_MLOAD;
F_ADDRESS_MASK: /* PUSH1 1, PUSH1 1, PUSH1 160, SHL, SUB */
    *++sp = address_mask;
    NEXT(8)
F_ADDRESS_MASK_AND:
    sp[0].w[2] &= UINT32_MAX;
    sp[0].w[3] = 0;
    NEXT(9)
#endif

#if INTERP_SWITCH
    default: break; /* not reached: undefined opcodes were sorted out */
    }
#else
L_UNDEFINED:
#endif
undefined:
    FAIL(UNDEFINED)

log: {
    uint32_t topic_cnt = *ip - (uint32_t)COH_OP_LOG0;
    if (f->is_static) {
        FAIL(STATIC_CALL)
    }
    EXPAND_IF(&sp[0], &sp[-1]);
    coh_bytes_t data = memory_at(f, &sp[0], &sp[-1]);
    CHARGE(COH_GAS_LOG_OCTET * data.n);
    coh_log_t entry = {.addr      = f->self->addr,
                       .topic_cnt = topic_cnt,
                       .data      = data};
    for (uint32_t i = 0; i < topic_cnt; i++) {
        coh_u256_store_be(entry.topics[i].b, &sp[-2 - (int)i]);
    }
    coh_state_add_log(state, &entry);
    sp -= 2 + topic_cnt;
    NEXT(1)
}
create:
call: {
    bool is_create = *ip == COH_OP_CREATE || *ip == COH_OP_CREATE2;
    STORE_FRAME;
    switch (is_create ? coh_create_op(evm, f, *ip) : coh_call_op(evm, f, *ip)) {
    case COH_CALL_NEED: gas = f->gas; goto need; /* memory may have been paid for */
    case COH_CALL_FAILED: goto fail;
    case COH_CALL_PUSHED:
        f->pc++;
        f->at_block = true;
        return COH_EXIT_PUSH;
    case COH_CALL_DONE: break;
    }
    gas = f->gas;
    sp  = &f->stack[f->stack_cnt];
    NEXT_BLOCK(1)
}

need:
    GIVE_BACK
    STORE_FRAME;
#if !INTERP_SWITCH
    f->checked = table != labels;
#endif
    f->at_block = false;
    f->retried  = true;
    return COH_EXIT_NEED;
out_of_gas:
#if !INTERP_SWITCH
    /* Perhaps only what comes later in the block, and has been charged, cannot be paid. The instruction has changed nothing, but for memory that is paid. */
    if (table == labels) {
        gas += coh_code_rest(code, (uint32_t)(ip - exec));
        table = checked;
        goto *checked[OPCODE];
    }
#endif
    f->status = COH_EVM_OUT_OF_GAS;
fail:
    gas       = 0;
    f->output = (coh_bytes_t){0};
    goto end;
success:
    f->status = COH_EVM_SUCCESS;
end:
    STORE_FRAME;
    return COH_EXIT_END;
}

#undef OP
#undef NEXT
#undef OPCODE
#undef IMM16
#undef NEXT_BLOCK
#undef GIVE_BACK
#undef FAIL
#undef CHARGE
#undef EXPAND
#undef EXPAND_IF
#undef STORE_FRAME
#undef PUSH_U64
#undef PUSH_ADDR
#undef PUSH_SMALL
#undef PUSH_LARGE
#undef BINARY
#undef COMPARE
#undef INTERP_NAME
#undef INTERP_SWITCH
