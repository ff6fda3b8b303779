#include "tests/support/vm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/assert.h"
#include "common/evm/code.h"
#include "tests/support/data.h"
#include "tests/support/evmasm.h"

coh_addr_t coh_vm_addr(uint64_t number)
{
    coh_u256_t word = coh_u256(number);
    return coh_u256_to_addr(&word);
}

void coh_vm_put_code(coh_vm_t *vm, uint64_t number, uint64_t balance, char const *text)
{
    coh_buf_t code     = COH_BUF_INIT;
    coh_addr_t addr    = coh_vm_addr(number);
    coh_u256_t const b = coh_u256(balance);
    coh_test_asm(&code, text);
    coh_memview_put_account(vm->mv, &addr, 1, &b, coh_buf_bytes(&code));
    coh_buf_free(&code);
}

void coh_vm_put_slot(coh_vm_t *vm, uint64_t number, uint64_t slot, uint64_t value)
{
    coh_addr_t addr    = coh_vm_addr(number);
    coh_u256_t const k = coh_u256(slot);
    coh_u256_t const v = coh_u256(value);
    coh_memview_put_slot(vm->mv, &addr, &k, &v);
}

void coh_vm_put_eoa(coh_vm_t *vm, uint64_t number, uint64_t nonce, uint64_t balance)
{
    coh_addr_t addr    = coh_vm_addr(number);
    coh_u256_t const b = coh_u256(balance);
    coh_memview_put_account(vm->mv, &addr, nonce, &b, coh_bytes(NULL, 0));
}

static void block_hash(void *arg, coh_u256_t *out, uint64_t number)
{
    (void)arg;
    *out = coh_u256(number + 7000000);
}

/* A world with a rich sender (nonce 3) and, at COH_VM_SELF with 1000 wei, text. */
void coh_vm_init(coh_vm_t *vm, coh_fork_t fork, char const *text)
{
    coh_u256_t const rich = {{0, 0, 1, 0}};
    coh_addr_t sender     = coh_vm_addr(COH_VM_SENDER);
    *vm                   = (coh_vm_t){.evm = coh_evm_new(), .gas = 10000000};
    vm->mv                = coh_memview_new(&coh_code_coder, fork);
    vm->block             = (coh_block_env_t){.number        = 1000,
                                              .timestamp     = 1234567890,
                                              .gas_limit     = 30000000,
                                              .chain_id      = 1337,
                                              .base_fee      = coh_u256(9),
                                              .blob_base_fee = coh_u256(11),
                                              .prev_randao   = {{4, 3, 2, 1}},
                                              .coinbase      = coh_vm_addr(0xc0ffee),
                                              .fork          = fork};
    vm->env               = (coh_evm_env_t){
                      .block = &vm->block, .origin = coh_vm_addr(0x0c0c0c), .gas_price = coh_u256(13)};
    coh_state_init(&vm->state, &coh_code_coder);
    coh_memview_set_block_hash(vm->mv, block_hash, NULL);
    coh_memview_put_account(vm->mv, &sender, 3, &rich, coh_bytes(NULL, 0));
    coh_vm_put_code(vm, COH_VM_SELF, 1000, text);
}

void coh_vm_fini(coh_vm_t *vm)
{
    coh_evm_free(vm->evm);
    coh_state_fini(&vm->state);
    coh_memview_free(vm->mv);
    coh_buf_free(&vm->output);
}

static void run_once(coh_vm_t *vm, coh_evm_loop_t loop, bool stutter, coh_addr_t const *to)
{
    coh_state_t *s      = &vm->state;
    coh_addr_t sender   = coh_vm_addr(COH_VM_SENDER);
    coh_evm_message_t m = {.is_create = vm->is_create,
                           .sender    = sender,
                           .to        = *to,
                           .value     = vm->value,
                           .gas       = vm->gas,
                           .input     = vm->input};
    if (vm->is_create) {
        m.to = coh_tx_created_address(&sender, 3);
    }
    coh_memview_set_stutter(vm->mv, stutter);
    coh_memview_begin_tx(vm->mv);
    coh_state_begin(s, coh_memview_view(vm->mv), vm->block.fork);
    coh_account_t *a = coh_state_account(s, &sender);
    while (coh_state_need(s, a, COH_READ_NONCE) == COH_VIEW_NEED) {
    }
    coh_state_set_nonce(s, a, 4);
    if (vm->block.fork >= COH_FORK_BERLIN) { /* as a transaction warms them */
        coh_state_set_flags(s, a, COH_ACCT_WARM);
        if (!vm->is_create) {
            coh_state_set_flags(s, coh_state_account(s, &m.to), COH_ACCT_WARM);
        }
    }
    coh_evm_set_loop(vm->evm, loop);
    coh_evm_begin(vm->evm, &vm->env, s, &m);
    while (coh_evm_run(vm->evm) == COH_EVM_NEED) {
        assert_true(stutter);
    }
    coh_memview_set_stutter(vm->mv, false);
}

/* How much of a result is Ethereum's: 0 success, 1 reverted, 2 failed. */
int coh_vm_class(coh_evm_status_t status) { return status <= COH_EVM_REVERT ? (int)status : 2; }

void coh_vm_run_to(coh_vm_t *vm, coh_addr_t const *to)
{
    static struct {
        coh_evm_loop_t loop;
        bool stutter;
    } const ways[] = {{COH_EVM_FAST, false},
                      {COH_EVM_FAST, true},
                      {COH_EVM_SWITCH, true},
                      {COH_EVM_SWITCH, false}};
    for (size_t i = 0; i < COH_CNT(ways); i++) {
        run_once(vm, ways[i].loop, ways[i].stutter, to);
        coh_evm_result_t const *r = coh_evm_result(vm->evm);
        assert_true(r->gas_left <= vm->gas);
        if (i != 0) {
            assert_int_equal(r->status, vm->status);
            assert_int_equal(vm->gas - r->gas_left, vm->used);
            assert_int_equal(vm->state.refund, vm->refund);
            assert_true(coh_bytes_eq(r->output, coh_buf_bytes(&vm->output)));
        }
        vm->status = r->status;
        vm->used   = vm->gas - r->gas_left;
        vm->refund = vm->state.refund;
        coh_buf_clear(&vm->output);
        coh_buf_put(&vm->output, r->output.p, r->output.n);
    }
}

void coh_vm_run_once(coh_vm_t *vm, coh_evm_loop_t loop, bool stutter)
{
    coh_addr_t self = coh_vm_addr(COH_VM_SELF);
    run_once(vm, loop, stutter, &self);
}

void coh_vm_run_at(coh_vm_t *vm, uint64_t to)
{
    coh_addr_t addr = coh_vm_addr(to);
    coh_vm_run_to(vm, &addr);
}

void coh_vm_run(coh_vm_t *vm) { coh_vm_run_at(vm, COH_VM_SELF); }

void coh_vm_run_ok(coh_vm_t *vm)
{
    coh_vm_run(vm);
    assert_string_equal(coh_evm_status_str(vm->status), "success");
}

coh_u256_t coh_vm_word(coh_vm_t const *vm, size_t at)
{
    assert_true(vm->output.n >= 32 * at + 32);
    return coh_u256_load_be(vm->output.p + 32 * at);
}

void coh_vm_assert_word(coh_u256_t got, char const *wanted)
{
    coh_u256_t want = coh_test_u256(wanted);
    if (!coh_u256_eq(&got, &want)) {
        char text[COH_U256_DEC_SZ];
        coh_u256_to_dec(text, &got);
        fail_msg("%s instead of %s", text, wanted);
    }
}

uint64_t coh_vm_u64(coh_vm_t const *vm, size_t at)
{
    coh_u256_t word = coh_vm_word(vm, at);
    assert_true(coh_u256_fits_u64(&word));
    return word.w[0];
}

/* What the last run left. */
coh_account_t *coh_vm_account(coh_vm_t *vm, uint64_t number)
{
    coh_addr_t addr  = coh_vm_addr(number);
    coh_account_t *a = coh_state_account(&vm->state, &addr);
    assert_int_equal(coh_state_need(&vm->state, a, COH_READ_NONCE | COH_READ_WORD | COH_READ_CODE),
                     COH_VIEW_OK);
    return a;
}

uint64_t coh_vm_balance(coh_vm_t *vm, uint64_t number)
{
    coh_u256_t const *word = &coh_vm_account(vm, number)->cur.word;
    assert_true(coh_u256_fits_u64(word));
    return word->w[0];
}

uint64_t coh_vm_slot(coh_vm_t *vm, uint64_t number, uint64_t key)
{
    coh_account_t *a   = coh_vm_account(vm, number);
    coh_u256_t const k = coh_u256(key);
    coh_slot_t *s;
    assert_int_equal(coh_state_slot(&vm->state, &s, a, &k), COH_VIEW_OK);
    assert_true(coh_u256_fits_u64(&s->cur));
    return s->cur.w[0];
}

/* Runs text in a new world, and succeeds. */
uint64_t coh_vm_gas_of(coh_fork_t fork, char const *text)
{
    coh_vm_t vm;
    coh_vm_init(&vm, fork, text);
    coh_vm_run_ok(&vm);
    uint64_t used = vm.used;
    coh_vm_fini(&vm);
    return used;
}

coh_evm_status_t coh_vm_status_of(coh_fork_t fork, char const *text)
{
    coh_vm_t vm;
    coh_vm_init(&vm, fork, text);
    coh_vm_run(&vm);
    coh_evm_status_t status = vm.status;
    assert_int_equal(vm.output.n != 0 && coh_vm_class(status) == 2, 0);
    assert_true(coh_vm_class(status) != 2 || vm.used == vm.gas); /* failures take all */
    coh_vm_fini(&vm);
    return status;
}

/* text leaves one word on the stack. */
void coh_vm_assert_leaves(coh_fork_t fork, char const *text, char const *wanted)
{
    char all[1024];
    coh_vm_t vm;
    COH_ASSERT(snprintf(all, sizeof(all), "%s 0 MSTORE 32 0 RETURN", text) < (int)sizeof(all));
    coh_vm_init(&vm, fork, all);
    coh_vm_run_ok(&vm);
    assert_int_equal(vm.output.n, 32);
    coh_vm_assert_word(coh_vm_word(&vm, 0), wanted);
    coh_vm_fini(&vm);
}
