#include "common/chain/steps.h"

#include "common/base/assert.h"

#define ETHER UINT64_C(1000000000000000000)
#define GWEI  UINT64_C(1000000000)

enum { OMMER_DEPTH_MAX = 8, NEPHEW_DIVISOR = 32 };

/* EIP-7685 types */
enum { REQUEST_WITHDRAWAL = 1, REQUEST_CONSOLIDATION = 2 };

coh_addr_t const COH_SYSTEM_CONTRACTS[COH_SYSTEM_CNT] = {
    [COH_SYSTEM_BEACON_ROOTS]   = {{0x00, 0x0f, 0x3d, 0xf6, 0xd7, 0x32, 0x80, 0x7e, 0xf1, 0x31,
                                    0x9f, 0xb7, 0xb8, 0xbb, 0x85, 0x22, 0xd0, 0xbe, 0xac, 0x02}},
    [COH_SYSTEM_HISTORY]        = {{0x00, 0x00, 0xf9, 0x08, 0x27, 0xf1, 0xc5, 0x3a, 0x10, 0xcb,
                                    0x7a, 0x02, 0x33, 0x5b, 0x17, 0x53, 0x20, 0x00, 0x29, 0x35}},
    [COH_SYSTEM_WITHDRAWALS]    = {{0x00, 0x00, 0x09, 0x61, 0xef, 0x48, 0x0e, 0xb5, 0x5e, 0x80,
                                    0xd1, 0x9a, 0xd8, 0x35, 0x79, 0xa6, 0x4c, 0x00, 0x70, 0x02}},
    [COH_SYSTEM_CONSOLIDATIONS] = {{0x00, 0x00, 0xbb, 0xdd, 0xc7, 0xce, 0x48, 0x86, 0x42, 0xfb,
                                    0x57, 0x9f, 0x8b, 0x00, 0xf3, 0xa5, 0x90, 0x00, 0x72, 0x51}},
};

static void add(coh_steps_t *out, coh_step_t step)
{
    COH_ASSERT(out->cnt < COH_STEPS_MAX);
    out->steps[out->cnt++] = step;
}

static bool is_off(coh_rules_t const *rules, coh_system_t contract)
{
    return (rules->steps_off >> contract & 1) != 0;
}

static void add_call(coh_steps_t *out,
                     coh_rules_t const *rules,
                     coh_system_t contract,
                     coh_bytes_t data)
{
    if (!is_off(rules, contract)) {
        add(out,
            (coh_step_t){
                .kind = COH_STEP_CALL, .to = COH_SYSTEM_CONTRACTS[contract], .data = data});
    }
}

static void add_requests(coh_steps_t *out,
                         coh_rules_t const *rules,
                         coh_system_t contract,
                         uint8_t type)
{
    if (is_off(rules, contract)) {
        return;
    }
    out->use[out->cnt]          = COH_STEPS_REQUESTS;
    out->request_type[out->cnt] = type;
    add_call(out, rules, contract, (coh_bytes_t){0});
}

void coh_steps_before(coh_steps_t *out, coh_block_t const *block, coh_rules_t const *rules)
{
    coh_header_t const *h = &block->header;
    *out                  = (coh_steps_t){.cnt = 0};
    if (rules->dao_moves) {
        add(out, (coh_step_t){.kind = COH_STEP_DAO});
    }
    if (rules->fork >= COH_FORK_CANCUN) {
        add_call(out, rules, COH_SYSTEM_BEACON_ROOTS, coh_bytes(h->parent_beacon_root.b, 32));
    }
    if (rules->fork >= COH_FORK_PRAGUE) {
        add_call(out, rules, COH_SYSTEM_HISTORY, coh_bytes(h->parent_hash.b, 32));
    }
}

coh_u256_t coh_steps_reward(coh_fork_t fork)
{
    uint64_t ethers = fork >= COH_FORK_PARIS            ? 0
                      : fork >= COH_FORK_CONSTANTINOPLE ? 2 /* EIP-1234 */
                      : fork >= COH_FORK_BYZANTIUM      ? 3 /* EIP-649 */
                                                        : 5;     /* Yellow Paper 11.3 */
    return coh_u256(ethers * ETHER);
}

static void put_rewards(coh_buf_t *list, coh_block_t const *block, coh_fork_t fork)
{
    coh_u256_t reward = coh_steps_reward(fork);
    coh_u256_t all    = reward;
    coh_u256_t part;
    coh_rlp_t ommers = coh_block_ommer_iter(block);
    coh_bytes_t raw;
    while (coh_block_ommer_next(&ommers, &raw)) {
        coh_header_t ommer;
        coh_fork_t shape;
        coh_err_t decoded = coh_header_decode(&ommer, &shape, raw);
        COH_ASSERT(decoded == COH_OK && ommer.number < block->header.number &&
                   block->header.number - ommer.number < OMMER_DEPTH_MAX);
        uint64_t eighths = OMMER_DEPTH_MAX - (block->header.number - ommer.number);
        (void)coh_u256_mul_u64(&part, &reward, eighths);
        (void)coh_u256_divmod_u64(&part, &part, OMMER_DEPTH_MAX);
        coh_step_put_credit(list, &ommer.coinbase, &part);
        (void)coh_u256_divmod_u64(&part, &reward, NEPHEW_DIVISOR);
        (void)coh_u256_add(&all, &all, &part);
    }
    coh_step_put_credit(list, &block->header.coinbase, &all);
}

static void put_withdrawals(coh_buf_t *list, coh_block_t const *block)
{
    coh_rlp_t it = coh_block_withdrawal_iter(block);
    coh_withdrawal_t withdrawal;
    while (coh_block_withdrawal_next(&it, &withdrawal)) {
        coh_u256_t amount = coh_u256(withdrawal.amount_gwei);
        (void)coh_u256_mul_u64(&amount, &amount, GWEI);
        coh_step_put_credit(list, &withdrawal.addr, &amount);
    }
}

void coh_steps_after(coh_steps_t *out,
                     coh_buf_t *list,
                     coh_block_t const *block,
                     coh_rules_t const *rules)
{
    *out = (coh_steps_t){.cnt = 0};
    coh_buf_clear(list);
    if (rules->fork < COH_FORK_PARIS) {
        put_rewards(list, block, rules->fork);
    } else if (rules->fork >= COH_FORK_SHANGHAI) { /* EIP-4895 */
        put_withdrawals(list, block);
    }
    if (list->n != 0) {
        add(out, (coh_step_t){.kind = COH_STEP_CREDIT, .list = coh_buf_bytes(list)});
    }
    if (rules->fork >= COH_FORK_PRAGUE) {
        add_requests(out, rules, COH_SYSTEM_WITHDRAWALS, REQUEST_WITHDRAWAL);
        add_requests(out, rules, COH_SYSTEM_CONSOLIDATIONS, REQUEST_CONSOLIDATION);
    }
}
