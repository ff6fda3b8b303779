#include "deploy/cohort/realblock_whole.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/chain/execute.h"

/* Mainnet's: EIP-779, EIP-2384, EIP-4345, EIP-5133. */
enum {
    MAINNET  = 1,
    DAO_AT   = 1920000,
    MUIR_AT  = 9200000,
    ARROW_AT = 13773000,
    GRAY_AT  = 15050000,
};

static struct {
    char const *name;
    coh_fork_t since;
} const fields[COH_REALFIELD_CNT] = {
    [COH_REALFIELD_OMMERS_HASH]      = {"ommers hash", COH_FORK_FRONTIER},
    [COH_REALFIELD_STATE_ROOT]       = {"state root", COH_FORK_FRONTIER},
    [COH_REALFIELD_TX_ROOT]          = {"transactions root", COH_FORK_FRONTIER},
    [COH_REALFIELD_RECEIPTS_ROOT]    = {"receipts root", COH_FORK_FRONTIER},
    [COH_REALFIELD_BLOOM]            = {"bloom", COH_FORK_FRONTIER},
    [COH_REALFIELD_GAS_USED]         = {"gas used", COH_FORK_FRONTIER},
    [COH_REALFIELD_WITHDRAWALS_ROOT] = {"withdrawals root", COH_FORK_SHANGHAI},
    [COH_REALFIELD_BLOB_GAS]         = {"blob gas used", COH_FORK_CANCUN},
    [COH_REALFIELD_REQUESTS_HASH]    = {"requests hash", COH_FORK_PRAGUE},
};

char const *coh_realfield_str(coh_realfield_t field) { return fields[field].name; }

uint32_t coh_realfields(coh_fork_t fork)
{
    uint32_t set = 0;
    for (uint32_t f = 0; f < COH_REALFIELD_CNT; f++) {
        set |= (uint32_t)(fork >= fields[f].since) << f;
    }
    return set;
}

static coh_rules_t make_rules(coh_realblock_t const *from)
{
    coh_schedule_t schedule;
    coh_schedule_init(&schedule, from->fork, from->chain_id);
    if (from->blobs >= COH_BLOB_BPO1 && from->blobs < COH_BLOB_STEP_CNT) {
        schedule.blob_at[from->blobs] = 0;
    }
    if (from->chain_id == MAINNET) {
        schedule.dao_at   = DAO_AT;
        schedule.muir_at  = MUIR_AT;
        schedule.arrow_at = ARROW_AT;
        schedule.gray_at  = GRAY_AT;
    }
    return coh_schedule_rules(&schedule, from->number, from->timestamp, &COH_U256_ZERO);
}

/* The body around the header as it was recorded. */
static void put_block(coh_buf_t *out, coh_realblock_t const *from)
{
    size_t all = 0;
    coh_buf_put(out, from->header_rlp.p, from->header_rlp.n);
    size_t txs_at = out->n;
    for (size_t i = 0; i < from->tx_cnt; i++) {
        if (from->txs[i].type == COH_TX_LEGACY) {
            coh_buf_put(out, from->raws[i].p, from->raws[i].n);
        } else {
            coh_rlp_put_string(out, from->raws[i].p, from->raws[i].n);
        }
    }
    coh_rlp_wrap_list(out, txs_at);
    coh_rlp_put_list_header(out, from->ommers.n);
    coh_buf_put(out, from->ommers.p, from->ommers.n);
    if (from->fork >= COH_FORK_SHANGHAI) {
        coh_rlp_put_list_header(out, from->withdrawals.n);
        coh_buf_put(out, from->withdrawals.p, from->withdrawals.n);
    }
    coh_rlp_wrap_list(out, all);
}

static bool has_code(coh_realblock_t const *from, coh_addr_t const *addr)
{
    for (size_t i = 0; i < from->account_cnt; i++) {
        if (coh_addr_eq(&from->accounts[i].addr, addr)) {
            return from->accounts[i].code.n != 0;
        }
    }
    return false;
}

/* What a recording does not have that a step needs; NULL: nothing. */
static char const *find_lack(coh_realblock_whole_t const *whole, coh_realblock_t const *from)
{
    if (!from->has_ommers && !coh_hash_eq(&whole->block.header.ommers_hash, &COH_EMPTY_LIST_HASH)) {
        return "its ommers were not recorded";
    }
    coh_steps_t const *const lists[] = {&whole->plan.before, &whole->plan.after};
    for (size_t l = 0; l < COH_CNT(lists); l++) {
        for (uint32_t i = 0; i < lists[l]->cnt; i++) {
            coh_step_t const *step = &lists[l]->steps[i];
            if (step->kind == COH_STEP_CALL && !has_code(from, &step->to)) {
                return "a contract that the system calls was not recorded";
            }
        }
    }
    return NULL;
}

static coh_err_t fail(coh_buf_t *err_text, coh_block_fault_t const *fault)
{
    coh_block_fault_put(err_text, fault);
    return COH_EINVAL;
}

static coh_err_t check_senders(coh_realblock_whole_t const *whole,
                               coh_realblock_t const *from,
                               coh_buf_t *err_text)
{
    for (size_t i = 0; i < from->tx_cnt; i++) {
        if (!coh_addr_eq(&whole->plan.txs[i].sender, &from->senders[i])) {
            coh_buf_printf(err_text, "transaction %zu: recovered another sender than recorded", i);
            return COH_EINVAL;
        }
    }
    return COH_OK;
}

/* What the header says of the body. */
static coh_err_t check_body(coh_realblock_whole_t *whole,
                            coh_realblock_t const *from,
                            coh_buf_t *err_text)
{
    coh_block_t body        = whole->block;
    coh_fork_t fork         = whole->rules.fork;
    coh_block_fault_t fault = {.err = COH_BLOCK_OK};
    if (from->has_ommers || body.ommer_cnt != 0 ||
        coh_hash_eq(&body.header.ommers_hash, &COH_EMPTY_LIST_HASH)) {
        whole->body_fields |= 1u << COH_REALFIELD_OMMERS_HASH;
    } else {
        body.ommers_hash = body.header.ommers_hash; /* it was not recorded */
    }
    if (fork >= COH_FORK_SHANGHAI) {
        whole->body_fields |= 1u << COH_REALFIELD_WITHDRAWALS_ROOT;
    }
    fault.err = coh_body_check(&body, &whole->rules);
    return fault.err == COH_BLOCK_OK ? COH_OK : fail(err_text, &fault);
}

static void choose_comparisons(coh_realblock_whole_t *whole)
{
    coh_fork_t fork   = whole->rules.fork;
    uint32_t skips    = COH_IMPORT_SKIP_STATE_ROOT;
    whole->run_fields = coh_realfields(fork) & ~(1u << COH_REALFIELD_OMMERS_HASH) &
                        ~(1u << COH_REALFIELD_WITHDRAWALS_ROOT) & ~(1u << COH_REALFIELD_STATE_ROOT);
    if (fork < COH_FORK_BYZANTIUM) {
        skips |= COH_IMPORT_SKIP_RECEIPTS_ROOT;
        whole->run_fields &= ~(1u << COH_REALFIELD_RECEIPTS_ROOT);
    }
    if (whole->lacks != NULL) {
        skips |= COH_IMPORT_SKIP_REQUESTS_HASH;
        whole->run_fields &= ~(1u << COH_REALFIELD_REQUESTS_HASH);
    }
    whole->import.expect.skips = skips;
}

coh_err_t coh_realblock_whole_init(coh_realblock_whole_t *out,
                                   coh_realblock_t const *from,
                                   coh_buf_t *err_text)
{
    *out = (coh_realblock_whole_t){.rules = make_rules(from)};
    coh_plan_init(&out->plan);
    put_block(&out->raw, from);
    if (coh_block_decode(&out->block, coh_buf_bytes(&out->raw)) != COH_OK) {
        coh_buf_printf(err_text, "header and body make no block");
        return COH_EINVAL;
    }
    coh_block_fault_t fault;
    if (!coh_plan_make(&out->plan, &fault, &out->block, &out->rules)) {
        return fail(err_text, &fault);
    }
    COH_TRY(check_senders(out, from, err_text));
    COH_TRY(check_body(out, from, err_text));
    out->lacks = find_lack(out, from);
    if (out->lacks != NULL) {
        out->plan.before.cnt = 0;
        out->plan.after.cnt  = 0;
    }
    if (coh_chain_import_make(&out->import, &out->plan, &out->block, &out->rules) != COH_OK) {
        coh_buf_printf(err_text, "a step of it is too large");
        return COH_EINVAL;
    }
    choose_comparisons(out);
    return COH_OK;
}

void coh_realblock_whole_fini(coh_realblock_whole_t *whole)
{
    coh_chain_import_free(&whole->import);
    coh_plan_fini(&whole->plan);
    coh_buf_free(&whole->raw);
}
