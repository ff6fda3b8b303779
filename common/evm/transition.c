#include "common/evm/transition.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/crypto/keccak.h"
#include "common/evm/code.h"

#define GAS_AUTH_REFUND          12500 /* EIP-7702: PER_EMPTY_ACCOUNT_COST - PER_AUTH_BASE_COST */
#define REFUND_QUOTIENT_FRONTIER 2u
#define REFUND_QUOTIENT_LONDON   5u /* EIP-3529 */

/* What is to be done next; each stage asks for what it needs before it changes anything. */
typedef enum {
    STAGE_CHECK,     /* validate */
    STAGE_AUTHORIZE, /* EIP-7702: one authorization after the other */
    STAGE_MESSAGE,   /* plain transfers are done here; else the EVM gets the message */
    STAGE_EXECUTE,   /* in the EVM */
    STAGE_FINALIZE,  /* fees are settled */
    STAGE_STEP, /* in place of all that: credits and balances are moved here; the EVM gets the system's call */
    STAGE_STEP_CALL, /* in the EVM */
    STAGE_STEP_FINALIZE,
    STAGE_DONE,
} stage_t;

struct coh_transition {
    stage_t stage;
    coh_block_env_t const *block;
    coh_tx_t const *tx;
    coh_step_t const *step;
    coh_hash_t parent_hash;
    /* data of the step, if that is CALL_PARENT */ /* of which either is in use */
    coh_addr_t sender_addr;
    coh_account_t *sender;
    uint64_t intrinsic;
    uint64_t floor; /* EIP-7623; 0 before Prague */
    coh_u256_t price;
    coh_rlp_t auths;   /* those that are left */
    coh_rlp_t patches; /* of the step, if that is PATCH: those that are left */
    bool has_auth;     /* auth, with its authority if it has one, waits for the view */
    coh_tx_auth_t auth;
    coh_evm_result_t plain; /* of a message that the EVM did not see */
    coh_evm_result_t const *result;
    uint64_t gas_max;
    bool is_call;      /* tx and block are these copies */
    bool keeps_nonce;  /* a call whose nonce is checked */
    bool is_free;      /* a call that pays no fee, whatever the block's is... */
    bool is_blob_free; /* ...and none for its blobs */
    coh_tx_t call_tx;
    coh_block_env_t call_block;
    coh_outcome_t outcome;
    coh_evm_env_t env;
    coh_tracer_t *tracer;
    coh_evm_move_t const *moves;
    uint32_t move_cnt;
    coh_evm_t *evm;
    coh_state_t state;
};

coh_transition_t *coh_transition_new(void)
{
    coh_transition_t *t = coh_calloc(1, sizeof(*t));
    t->stage            = STAGE_DONE;
    t->evm              = coh_evm_new();
    coh_state_init(&t->state, &coh_code_coder);
    return t;
}

void coh_transition_free(coh_transition_t *t)
{
    if (t == NULL) {
        return;
    }
    coh_evm_free(t->evm);
    coh_state_fini(&t->state);
    free(t);
}

void coh_transition_set_loop(coh_transition_t *t, coh_evm_loop_t loop)
{
    coh_evm_set_loop(t->evm, loop);
}

void coh_transition_set_tracer(coh_transition_t *t, coh_tracer_t *tracer) { t->tracer = tracer; }

void coh_transition_set_moves(coh_transition_t *t, coh_evm_move_t const *moves, uint32_t cnt)
{
    t->moves    = moves;
    t->move_cnt = cnt;
}

void coh_transition_set_slice(coh_transition_t *t, uint64_t instructions)
{
    coh_evm_set_slice(t->evm, instructions);
}

void coh_transition_begin(coh_transition_t *t,
                          coh_block_env_t const *block,
                          coh_tx_t const *tx,
                          coh_addr_t const *sender,
                          coh_view_t *view)
{
    t->stage       = STAGE_CHECK;
    t->block       = block;
    t->tx          = tx;
    t->sender_addr = *sender;
    t->is_call     = false;
    t->keeps_nonce = false;
    t->is_free = t->is_blob_free = false;
    t->has_auth                  = false;
    t->outcome                   = (coh_outcome_t){.verdict = COH_TX_OK};
    coh_state_begin(&t->state, view, block->fork);
    t->sender = coh_state_account(&t->state, sender);
}

void coh_transition_begin_step(coh_transition_t *t,
                               coh_block_env_t const *block,
                               coh_step_t const *step,
                               coh_view_t *view)
{
    t->stage   = STAGE_STEP;
    t->block   = block;
    t->step    = step;
    t->outcome = (coh_outcome_t){.verdict = COH_TX_OK, .status = COH_STEP_RAN};
    t->patches = coh_step_credit_iter(step);
    coh_state_begin(&t->state, view, block->fork);
}

void coh_transition_begin_call(coh_transition_t *t,
                               coh_block_env_t const *block,
                               coh_tx_t const *tx,
                               coh_addr_t const *sender,
                               coh_view_t *view)
{
    t->call_block = *block;
    t->call_tx    = *tx;
    if (coh_u256_is_zero(&tx->max_fee)) {
        t->call_block.base_fee = COH_U256_ZERO;
    }
    if (coh_u256_is_zero(&tx->max_fee_per_blob_gas)) {
        t->call_block.blob_base_fee = COH_U256_ZERO;
    }
    coh_transition_begin(t, &t->call_block, &t->call_tx, sender, view);
    t->is_call = true;
}

void coh_transition_begin_simulated(coh_transition_t *t,
                                    coh_block_env_t const *block,
                                    coh_tx_t const *tx,
                                    coh_addr_t const *sender,
                                    coh_view_t *view,
                                    bool validates)
{
    t->call_block = *block;
    t->call_tx    = *tx;
    coh_transition_begin(t, &t->call_block, &t->call_tx, sender, view);
    t->is_call     = true;
    t->keeps_nonce = validates;
    if (!validates) {
        t->is_free      = coh_u256_is_zero(&tx->max_fee) && coh_u256_is_zero(&tx->max_tip);
        t->is_blob_free = coh_u256_is_zero(&tx->max_fee_per_blob_gas);
    }
}

static coh_transition_status_t refuse(coh_transition_t *t, coh_tx_err_t verdict)
{
    t->outcome = (coh_outcome_t){.verdict = verdict};
    t->stage   = STAGE_DONE;
    return COH_TRANSITION_DONE;
}

static void mul_gas(coh_u256_t *out, coh_u256_t const *price, uint64_t gas)
{
    COH_ASSERT(!coh_u256_mul_u64(out, price, gas)); /* at most what was found to fit */
}

/* The rules that need no more than the block. */
static coh_tx_err_t check_by_block(coh_transition_t *t)
{
    coh_tx_t const *tx           = t->tx;
    coh_block_env_t const *block = t->block;
    coh_fork_t fork              = block->fork;
    if (!t->is_call && tx->gas_limit > block->gas_limit) { /* Yellow Paper 6.1 */
        return COH_TX_GAS_LIMIT;
    }
    if (!t->is_call && fork >= COH_FORK_OSAKA &&
        tx->gas_limit > COH_TX_GAS_LIMIT_MAX) { /* EIP-7825 */
        return COH_TX_GAS_CAP;
    }
    t->intrinsic = coh_tx_intrinsic_gas(tx, fork);
    t->floor     = coh_tx_floor_gas(tx, fork);
    if (tx->gas_limit < t->intrinsic) {
        return COH_TX_INTRINSIC_GAS;
    }
    if (tx->gas_limit < t->floor) { /* EIP-7623 */
        return COH_TX_FLOOR_GAS;
    }
    if (tx->is_create && fork >= COH_FORK_SHANGHAI &&
        tx->data.n > COH_INITCODE_SIZE_MAX) { /* EIP-3860 */
        return COH_TX_INITCODE_SIZE;
    }
    return coh_tx_check_blob_cnt(tx, block->blob_max); /* EIP-4844, EIP-7691 */
}

/* Of the static rules those that a call has to keep. */
static coh_tx_err_t check_form(coh_tx_t const *tx)
{
    if (coh_u256_lt(&tx->max_fee, &tx->max_tip)) { /* EIP-1559 */
        return COH_TX_TIP_ABOVE_CAP;
    }
    if (tx->type == COH_TX_BLOB && (tx->is_create || tx->blob_cnt == 0)) { /* EIP-4844 */
        return tx->is_create ? COH_TX_BLOB_CREATE : COH_TX_BLOB_NONE;
    }
    if (tx->type == COH_TX_SET_CODE && (tx->is_create || tx->auth_cnt == 0)) { /* EIP-7702 */
        return tx->is_create ? COH_TX_AUTH_CREATE : COH_TX_AUTH_NONE;
    }
    return COH_TX_OK;
}

static coh_transition_status_t check(coh_transition_t *t)
{
    coh_tx_t const *tx    = t->tx;
    coh_account_t *sender = t->sender;
    coh_u256_t upfront;
    if (coh_tx_upfront(&upfront, tx)) {
        return refuse(t, COH_TX_FEE_OVERFLOW);
    }
    coh_tx_err_t unfit = t->is_call ? check_form(tx) : COH_TX_OK;
    if (unfit != COH_TX_OK) {
        return refuse(t, unfit);
    }
    if (coh_state_read(
            &t->state, sender, COH_READ_NONCE | COH_READ_CODE | COH_READ_AT_LEAST, &upfront) ==
        COH_VIEW_NEED) {
        return COH_TRANSITION_NEED;
    }
    if (t->is_call && !t->keeps_nonce) {
        t->call_tx.nonce = sender->cur.nonce;
    } else if (tx->nonce != sender->cur.nonce) {
        return refuse(t,
                      tx->nonce < sender->cur.nonce ? COH_TX_NONCE_TOO_LOW : COH_TX_NONCE_TOO_HIGH);
    } else if (tx->nonce == UINT64_MAX) { /* EIP-2681 */
        return refuse(t, COH_TX_NONCE_MAX);
    }
    if (COH_UNLIKELY(coh_value_has_code(&sender->cur)) && !t->is_call && !t->block->any_sender) {
        if (coh_state_code(&t->state, sender) == COH_VIEW_NEED) {
            return COH_TRANSITION_NEED;
        }
        if (!sender->code->is_delegation) { /* EIP-3607, EIP-7702 */
            return refuse(t, COH_TX_SENDER_CODE);
        }
    }
    if (!t->is_free && coh_u256_lt(&tx->max_fee, &t->block->base_fee)) { /* EIP-1559 */
        return refuse(t, COH_TX_FEE_TOO_LOW);
    }
    if (tx->blob_cnt != 0 && !t->is_blob_free &&
        coh_u256_lt(&tx->max_fee_per_blob_gas, &t->block->blob_base_fee)) { /* EIP-4844 */
        return refuse(t, COH_TX_BLOB_FEE_TOO_LOW);
    }
    if (coh_u256_lt(&sender->cur.word, &upfront)) {
        return refuse(t, COH_TX_FUNDS);
    }
    coh_tx_err_t err = check_by_block(t);
    return err == COH_TX_OK ? COH_TRANSITION_DONE : refuse(t, err);
}

/* EIP-2929, EIP-2930, EIP-3651: what is warm from the beginning. Precompiles are without being marked. */
static void warm(coh_transition_t *t)
{
    coh_state_t *s = &t->state;
    coh_state_set_flags(s, t->sender, COH_ACCT_WARM);
    if (!t->tx->is_create) { /* the EVM warms the account it creates */
        coh_state_set_flags(s, coh_state_account(s, &t->tx->to), COH_ACCT_WARM);
    }
    if (t->block->fork >= COH_FORK_SHANGHAI) {
        coh_state_set_flags(s, coh_state_account(s, &t->block->coinbase), COH_ACCT_WARM);
    }
    if (t->tx->access_addr_cnt == 0) {
        return;
    }
    coh_rlp_t list = coh_tx_access_iter(t->tx);
    coh_rlp_t keys;
    coh_addr_t addr;
    coh_hash_t key;
    while (coh_tx_access_next(&list, &addr, &keys)) {
        coh_account_t *a = coh_state_account(s, &addr);
        coh_state_set_flags(s, a, COH_ACCT_WARM);
        while (coh_tx_access_key_next(&keys, &key)) {
            coh_u256_t slot = coh_u256_from_be(key.b, sizeof(key.b));
            coh_state_warm_slot(s, coh_state_slot_record(s, a, &slot));
        }
    }
}

/* Takes all gas that the transaction may use, and the fee for its blobs, which is burnt. */
static void charge(coh_transition_t *t)
{
    coh_tx_t const *tx = t->tx;
    coh_u256_t fee;
    coh_tx_effective_price(&t->price, tx, &t->block->base_fee);
    mul_gas(&fee, &t->price, tx->gas_limit);
    if (tx->blob_cnt != 0 && !t->is_blob_free) { /* EIP-4844 */
        coh_u256_t blob_fee;
        mul_gas(&blob_fee, &t->block->blob_base_fee, coh_tx_blob_gas(tx));
        (void)coh_u256_add(&fee, &fee, &blob_fee);
    }
    coh_state_debit(&t->state, t->sender, &fee);
    coh_state_set_nonce(&t->state, t->sender, tx->nonce + 1);
    if (t->block->fork >= COH_FORK_BERLIN) {
        warm(t);
    }
    if (tx->auth_cnt != 0) {
        t->auths = coh_tx_auth_iter(tx);
    }
}

static void set_delegation(coh_state_t *s, coh_account_t *a, coh_addr_t const *delegate)
{
    static coh_addr_t const none;
    uint8_t designator[COH_DELEGATION_SZ] = {0xef, 0x01, 0x00};
    coh_hash_t hash;
    if (coh_addr_eq(delegate, &none)) {
        coh_state_set_code(s, a, (coh_bytes_t){0}, NULL);
        return;
    }
    memcpy(designator + 3, delegate->b, sizeof(delegate->b));
    coh_keccak256(&hash, designator, sizeof(designator));
    coh_state_set_code(s, a, coh_bytes(designator, sizeof(designator)), &hash);
}

/* Applies t->auth (EIP-7702, "Behavior"). Once it asks the view, only what a second turn repeats has happened. */
static coh_view_status_t authorize(coh_transition_t *t)
{
    coh_state_t *s      = &t->state;
    coh_tx_auth_t *auth = &t->auth;
    coh_u256_t chain_id = coh_u256(t->block->chain_id);
    if ((!coh_u256_is_zero(&auth->chain_id) && !coh_u256_eq(&auth->chain_id, &chain_id)) ||
        auth->nonce == UINT64_MAX) {
        return COH_VIEW_OK;
    }
    if (!auth->has_authority) {
        if (!coh_tx_auth_recover(&auth->authority, auth)) {
            return COH_VIEW_OK;
        }
        auth->has_authority = true;
    }
    coh_account_t *a = coh_state_account(s, &auth->authority);
    coh_state_set_flags(s, a, COH_ACCT_WARM);
    if (coh_state_need(s, a, COH_READ_NONCE | COH_READ_CODE) == COH_VIEW_NEED ||
        coh_state_code(s, a) == COH_VIEW_NEED) {
        return COH_VIEW_NEED;
    }
    if ((a->code != NULL && !a->code->is_delegation) || a->cur.nonce != auth->nonce) {
        return COH_VIEW_OK;
    }
    bool exists = a->cur.nonce != 0 || a->code != NULL;
    if (!exists && coh_state_exists(s, a, &exists) == COH_VIEW_NEED) {
        return COH_VIEW_NEED;
    }
    if (exists) {
        s->refund += GAS_AUTH_REFUND;
    }
    set_delegation(s, a, &auth->addr);
    coh_state_set_nonce(s, a, a->cur.nonce + 1);
    return COH_VIEW_OK;
}

static coh_view_status_t authorize_all(coh_transition_t *t)
{
    if (t->tx->auth_cnt == 0) {
        return COH_VIEW_OK;
    }
    while (t->has_auth || coh_tx_auth_next(&t->auths, &t->auth)) {
        t->has_auth = true;
        if (authorize(t) == COH_VIEW_NEED) {
            return COH_VIEW_NEED;
        }
        t->has_auth = false;
    }
    return COH_VIEW_OK;
}

/* A transfer to whom runs no code needs no EVM; *is_plain says whether it was one, done then. */
static coh_view_status_t transfer(coh_transition_t *t, bool *is_plain)
{
    coh_tx_t const *tx = t->tx;
    coh_state_t *s     = &t->state;
    *is_plain          = false;
    if ((t->tracer != NULL && t->tracer->enter != NULL) || t->move_cnt != 0) {
        return COH_VIEW_OK; /* it is the EVM that tells the tracer, and knows what has moved */
    }
    if (tx->is_create || coh_fork_is_precompile(t->block->fork, &tx->to)) {
        return COH_VIEW_OK;
    }
    coh_account_t *to = coh_state_account(s, &tx->to);
    if (coh_state_need(s, to, COH_READ_CODE) == COH_VIEW_NEED) {
        return COH_VIEW_NEED;
    }
    if (coh_value_has_code(&to->cur)) {
        return COH_VIEW_OK;
    }
    coh_state_set_flags(s, to, COH_ACCT_TOUCHED); /* EIP-161 */
    coh_state_debit(s, t->sender, &tx->value);
    coh_state_credit(s, to, &tx->value);
    t->plain =
        (coh_evm_result_t){.status = COH_EVM_SUCCESS, .gas_left = tx->gas_limit - t->intrinsic};
    t->result = &t->plain;
    *is_plain = true;
    return COH_VIEW_OK;
}

static void begin_message(coh_transition_t *t)
{
    coh_tx_t const *tx          = t->tx;
    t->env                      = (coh_evm_env_t){.block     = t->block,
                                                  .tx        = tx,
                                                  .origin    = t->sender_addr,
                                                  .gas_price = t->price,
                                                  .tracer    = t->tracer,
                                                  .moves     = t->moves,
                                                  .move_cnt  = t->move_cnt};
    coh_evm_message_t const msg = {.is_create = tx->is_create,
                                   .sender    = t->sender_addr,
                                   .to        = coh_tx_receiver(tx, &t->sender_addr),
                                   .value     = tx->value,
                                   .gas       = tx->gas_limit - t->intrinsic,
                                   .input     = tx->data};
    coh_evm_begin(t->evm, &t->env, &t->state, &msg);
    t->result = coh_evm_result(t->evm);
}

/* Refunds (Yellow Paper 6.2, EIP-3529), floor (EIP-7623), what the sender gets back, and the coinbase. */
static void settle(coh_transition_t *t)
{
    coh_state_t *s     = &t->state;
    coh_tx_t const *tx = t->tx;
    COH_ASSERT(t->result->gas_left <= tx->gas_limit - t->intrinsic);
    uint64_t used = tx->gas_limit - t->result->gas_left;
    uint64_t quotient =
        t->block->fork >= COH_FORK_LONDON ? REFUND_QUOTIENT_LONDON : REFUND_QUOTIENT_FRONTIER;
    uint64_t refund = s->refund > 0 ? (uint64_t)s->refund : 0;
    t->gas_max      = COH_MAX(used, t->floor);
    used -= COH_MIN(refund, used / quotient);
    used = COH_MAX(used, t->floor);

    coh_u256_t amount;
    mul_gas(&amount, &t->price, tx->gas_limit - used);
    coh_state_credit(s, t->sender, &amount);
    (void)coh_u256_sub(&amount, &t->price, &t->block->base_fee); /* EIP-1559: the rest is burnt */
    if (t->is_free) {
        amount = COH_U256_ZERO;
    }
    mul_gas(&amount, &amount, used);
    if (t->block->fees_exact) {
        coh_account_t *coinbase = coh_state_account(s, &t->block->coinbase);
        coh_state_set_flags(s, coinbase, COH_ACCT_TOUCHED); /* EIP-161; before it, it is made */
        coh_state_credit(s, coinbase, &amount);
    } else {
        t->outcome.tip = amount;
    }
    t->outcome.status   = t->result->status == COH_EVM_SUCCESS;
    t->outcome.gas_used = used;
}

/* Steps */

/* Begins the system's call, if there is code to be called. */
static coh_view_status_t begin_call(coh_transition_t *t, coh_bytes_t data)
{
    coh_state_t *s   = &t->state;
    coh_account_t *a = coh_state_account(s, &t->step->to);
    if (coh_state_need(s, a, COH_READ_CODE) == COH_VIEW_NEED) {
        return COH_VIEW_NEED;
    }
    if (!coh_value_has_code(&a->cur)) {
        t->outcome.status = COH_STEP_NO_CODE;
        t->stage          = STAGE_STEP_FINALIZE;
        return COH_VIEW_OK;
    }
    coh_state_set_flags(s, a, COH_ACCT_WARM);
    t->env                      = (coh_evm_env_t){.block = t->block, .origin = COH_SYSTEM_ADDR};
    coh_evm_message_t const msg = {
        .sender = COH_SYSTEM_ADDR, .to = t->step->to, .gas = COH_STEP_GAS, .input = data};
    coh_evm_begin(t->evm, &t->env, s, &msg);
    t->stage = STAGE_STEP_CALL;
    return COH_VIEW_OK;
}

/* The call whose data is the parent's hash. */
static coh_view_status_t begin_parent_call(coh_transition_t *t)
{
    coh_u256_t hash;
    if (coh_state_block_hash(&t->state, &hash, t->block->number - 1) == COH_VIEW_NEED) {
        return COH_VIEW_NEED;
    }
    coh_u256_to_be(t->parent_hash.b, &hash);
    return begin_call(t, coh_bytes(t->parent_hash.b, sizeof(t->parent_hash.b)));
}

/* Whom a withdrawal or reward reaches is touched (EIP-161; EIP-4895: amounts of 0 too); before that rule it comes to exist. */
static void credit(coh_transition_t *t)
{
    coh_rlp_t list = coh_step_credit_iter(t->step);
    coh_addr_t addr;
    coh_u256_t amount;
    while (coh_step_credit_next(&list, &addr, &amount)) {
        coh_account_t *a = coh_state_account(&t->state, &addr);
        coh_state_set_flags(&t->state, a, COH_ACCT_TOUCHED);
        coh_state_credit(&t->state, a, &amount);
    }
}

/* EIP-779. All the accounts exist afterwards. */
static coh_view_status_t move_dao(coh_transition_t *t)
{
    coh_state_t *s = &t->state;
    for (size_t i = 0; i < COH_DAO_ACCOUNT_CNT; i++) {
        coh_account_t *a = coh_state_account(s, &COH_DAO_ACCOUNTS[i]);
        if (coh_state_need(s, a, COH_READ_WORD) == COH_VIEW_NEED) {
            return COH_VIEW_NEED;
        }
    }
    coh_account_t *refund = coh_state_account(s, &COH_DAO_REFUND_ADDR);
    coh_state_set_flags(s, refund, COH_ACCT_TOUCHED);
    for (size_t i = 0; i < COH_DAO_ACCOUNT_CNT; i++) {
        coh_account_t *a   = coh_state_account(s, &COH_DAO_ACCOUNTS[i]);
        coh_u256_t balance = a->cur.word;
        coh_state_set_flags(s, a, COH_ACCT_TOUCHED);
        coh_state_debit(s, a, &balance);
        coh_state_credit(s, refund, &balance);
    }
    return COH_VIEW_OK;
}

static coh_view_status_t patch_slot(coh_transition_t *t, coh_step_patch_t const *p)
{
    coh_state_t *s   = &t->state;
    coh_account_t *a = coh_state_account(s, &p->addr);
    coh_slot_t *slot;
    bool is_known   = (p->fields & COH_PATCH_GENERATION) != 0;
    uint32_t needed = is_known ? COH_READ_CODE : COH_READ_CODE | COH_READ_NONCE | COH_READ_WORD;
    if (coh_state_need(s, a, needed) == COH_VIEW_NEED) {
        return COH_VIEW_NEED;
    }
    if (is_known && p->number != a->base.generation) {
        return COH_VIEW_OK; /* out of reach */
    }
    if (!is_known && coh_value_is_empty(&a->cur)) { /* EIP-161 takes it away, and its storage */
        t->outcome.status = COH_STEP_FAILED;
        return COH_VIEW_OK;
    }
    if (!is_known && !coh_value_has_code(&a->cur) && !coh_u256_is_zero(&p->word)) {
        a->cur.flags |= COH_ACCOUNT_HAS_STORAGE;
    }
    coh_u256_t key = coh_u256_load_be(p->hash.b);
    if (coh_state_slot(s, &slot, a, &key) == COH_VIEW_NEED) {
        return COH_VIEW_NEED;
    }
    coh_state_set_slot(s, slot, &p->word);
    return COH_VIEW_OK;
}

static coh_view_status_t patch_account(coh_transition_t *t, coh_step_patch_t const *p)
{
    coh_state_t *s   = &t->state;
    coh_account_t *a = coh_state_account(s, &p->addr);
    uint32_t needed  = COH_READ_NONCE | COH_READ_WORD | COH_READ_CODE | COH_READ_EXISTS;
    if (coh_state_need(s, a, needed) == COH_VIEW_NEED) {
        return COH_VIEW_NEED;
    }
    coh_state_set_flags(s, a, COH_ACCT_TOUCHED);
    if (p->fields & COH_PATCH_NONCE) {
        coh_state_set_nonce(s, a, p->number);
    }
    if (p->fields & COH_PATCH_BALANCE) {
        coh_u256_t balance = a->cur.word;
        coh_state_debit(s, a, &balance);
        coh_state_credit(s, a, &p->word);
    }
    if (p->fields & COH_PATCH_CODE) {
        coh_state_set_code(s, a, p->code, &p->hash);
        a->cur.code_hash = p->hash; /* of code that is known, too */
    }
    if ((p->fields & COH_PATCH_ACCOUNT) == COH_PATCH_ACCOUNT) {
        a->cur.flags &= ~(uint32_t)COH_ACCOUNT_HAS_STORAGE;
        a->cur.flags |= (p->fields & COH_PATCH_STORAGE) != 0 ? COH_ACCOUNT_HAS_STORAGE : 0;
    }
    return COH_VIEW_OK;
}

/* New values for accounts and slots; goes on where it was. */
static coh_view_status_t patch(coh_transition_t *t)
{
    coh_rlp_t next = t->patches;
    coh_step_patch_t p;
    while (coh_step_patch_next(&next, &p)) {
        bool is_slot = (p.fields & COH_PATCH_SLOT) != 0;
        if ((is_slot ? patch_slot(t, &p) : patch_account(t, &p)) == COH_VIEW_NEED) {
            return COH_VIEW_NEED;
        }
        t->patches = next;
    }
    return COH_VIEW_OK;
}

static coh_view_status_t do_step(coh_transition_t *t)
{
    switch (t->step->kind) {
    case COH_STEP_CALL: return begin_call(t, t->step->data);
    case COH_STEP_CALL_PARENT: return begin_parent_call(t);
    case COH_STEP_CREDIT: credit(t); break;
    case COH_STEP_PATCH:
        if (patch(t) == COH_VIEW_NEED) {
            return COH_VIEW_NEED;
        }
        break;
    default:
        COH_ASSERT(t->step->kind == COH_STEP_DAO);
        if (move_dao(t) == COH_VIEW_NEED) {
            return COH_VIEW_NEED;
        }
    }
    t->stage = STAGE_STEP_FINALIZE;
    return COH_VIEW_OK;
}

static coh_transition_status_t run_step(coh_transition_t *t)
{
    if (t->stage == STAGE_STEP && do_step(t) == COH_VIEW_NEED) {
        return COH_TRANSITION_NEED;
    }
    if (t->stage == STAGE_STEP_CALL) {
        if (coh_evm_run(t->evm) == COH_EVM_NEED) {
            return COH_TRANSITION_NEED;
        }
        coh_evm_result_t const *result = coh_evm_result(t->evm);
        t->outcome.output              = result->output;
        t->outcome.status = result->status == COH_EVM_SUCCESS ? COH_STEP_RAN : COH_STEP_FAILED;
        t->stage          = STAGE_STEP_FINALIZE;
    }
    if (coh_state_finalize(&t->state) == COH_VIEW_NEED) {
        return COH_TRANSITION_NEED;
    }
    t->outcome.writes = coh_state_diff(&t->state, &t->outcome.write_cnt);
    t->stage          = STAGE_DONE;
    return COH_TRANSITION_DONE;
}

/* Transactions */

static void report(coh_transition_t *t)
{
    coh_outcome_t *out = &t->outcome;
    out->writes        = coh_state_diff(&t->state, &out->write_cnt);
    out->logs          = t->state.logs;
    out->log_cnt       = t->state.log_cnt;
    out->output        = t->result->output;
    if (t->tx->is_create && out->status != 0) {
        out->created = coh_tx_receiver(t->tx, &t->sender_addr);
    }
}

coh_transition_status_t coh_transition_run(coh_transition_t *t)
{
    bool is_plain = false;
    switch (t->stage) {
    case STAGE_CHECK:
        if (check(t) == COH_TRANSITION_NEED) {
            return COH_TRANSITION_NEED;
        }
        if (t->stage == STAGE_DONE) { /* refused */
            return COH_TRANSITION_DONE;
        }
        charge(t);
        t->stage = STAGE_AUTHORIZE;
        /* fall through */
    case STAGE_AUTHORIZE:
        if (authorize_all(t) == COH_VIEW_NEED) {
            return COH_TRANSITION_NEED;
        }
        t->stage = STAGE_MESSAGE;
        /* fall through */
    case STAGE_MESSAGE:
        if (transfer(t, &is_plain) == COH_VIEW_NEED) {
            return COH_TRANSITION_NEED;
        }
        if (!is_plain) {
            begin_message(t);
        }
        t->stage = STAGE_EXECUTE;
        /* fall through */
    case STAGE_EXECUTE:
        if (!is_plain && coh_evm_run(t->evm) == COH_EVM_NEED) {
            return COH_TRANSITION_NEED;
        }
        settle(t);
        t->stage = STAGE_FINALIZE;
        /* fall through */
    case STAGE_FINALIZE:
        if (coh_state_finalize(&t->state) == COH_VIEW_NEED) {
            return COH_TRANSITION_NEED;
        }
        report(t);
        t->stage = STAGE_DONE;
        /* fall through */
    case STAGE_DONE: break;
    case STAGE_STEP:
    case STAGE_STEP_CALL:
    case STAGE_STEP_FINALIZE: return run_step(t);
    }
    return COH_TRANSITION_DONE;
}

coh_outcome_t const *coh_transition_outcome(coh_transition_t const *t)
{
    COH_ASSERT(t->stage == STAGE_DONE);
    return &t->outcome;
}

coh_evm_status_t coh_transition_halt(coh_transition_t const *t) { return t->result->status; }

uint64_t coh_transition_gas_max(coh_transition_t const *t) { return t->gas_max; }

coh_state_t const *coh_transition_state(coh_transition_t const *t) { return &t->state; }

size_t coh_transition_bytes(coh_transition_t const *t)
{
    return coh_state_bytes(&t->state) + coh_evm_bytes(t->evm);
}
