/* Ommers: which headers a block may carry (Yellow Paper 11.1), on a chain of headers built here; and what they earn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/chain/ommers.h"
#include "common/chain/steps.h"
#include "common/crypto/keccak.h"

#define LENGTH 10u

typedef struct {
    coh_schedule_t schedule;
    coh_ancestor_t blocks[LENGTH];           /* by number */
    coh_ancestor_t const *ancestors[LENGTH]; /* of the next one, the parent first */
    coh_buf_t ommers;                        /* payload of the list */
    coh_block_t block;
    coh_block_fault_t fault;
} chain_t;

/* A valid child of parent. */
static coh_header_t child_of(coh_parent_t const *parent, uint64_t seconds, uint8_t mark)
{
    coh_difficulty_parent_t const before = {.difficulty = parent->header.difficulty,
                                            .timestamp  = parent->header.timestamp};
    coh_header_t h                       = {.parent_hash = parent->hash,
                                            .ommers_hash = COH_EMPTY_LIST_HASH,
                                            .coinbase    = {{mark}},
                                            .number      = parent->header.number + 1,
                                            .gas_limit   = 5000,
                                            .timestamp   = parent->header.timestamp + seconds};
    h.difficulty = coh_difficulty_next(&before, COH_FORK_FRONTIER, 0, h.number, h.timestamp);
    return h;
}

static void add_block(chain_t *c, coh_header_t const *h)
{
    coh_parent_t *self = &c->blocks[h->number].self;
    *self              = (coh_parent_t){.header      = *h,
                                        .hash        = coh_header_hash(h, COH_FORK_FRONTIER),
                                        .header_fork = COH_FORK_FRONTIER};
}

static void open_chain(chain_t *c)
{
    *c             = (chain_t){.ommers = COH_BUF_INIT};
    coh_header_t h = {.gas_limit   = 5000,
                      .timestamp   = 1000,
                      .difficulty  = coh_u256(0x200000),
                      .ommers_hash = COH_EMPTY_LIST_HASH};
    coh_schedule_init(&c->schedule, COH_FORK_FRONTIER, 1);
    add_block(c, &h);
    for (uint32_t i = 1; i < LENGTH; i++) {
        h = child_of(&c->blocks[i - 1].self, 10, 1);
        add_block(c, &h);
    }
    for (uint32_t i = 0; i < LENGTH; i++) {
        c->ancestors[i] = &c->blocks[LENGTH - 1 - i];
    }
    c->block.header = child_of(&c->blocks[LENGTH - 1].self, 10, 1);
}

static void close_chain(chain_t *c) { coh_buf_free(&c->ommers); }

static void no_ommers(chain_t *c)
{
    coh_buf_clear(&c->ommers);
    c->block.ommer_cnt = 0;
}

static void add_ommer(chain_t *c, coh_header_t const *h)
{
    coh_header_encode(&c->ommers, h, COH_FORK_FRONTIER);
    c->block.ommers = coh_buf_bytes(&c->ommers);
    c->block.ommer_cnt++;
}

static coh_block_err_t check(chain_t *c)
{
    c->fault = (coh_block_fault_t){.err = COH_BLOCK_OK};
    return coh_ommers_check(&c->fault, &c->block, &c->schedule, c->ancestors, LENGTH);
}

static void ommers_are_children_of_ancestors(void **state)
{
    (void)state;
    chain_t c;
    open_chain(&c);
    assert_int_equal(check(&c), COH_BLOCK_OK);
    /* The block has number 10: parents 3 to 8 are its second to seventh ancestors; 9 is its parent, whose children are its brothers. */
    for (uint32_t parent = 0; parent < LENGTH; parent++) {
        no_ommers(&c);
        coh_header_t h = child_of(&c.blocks[parent].self, 11, 2);
        add_ommer(&c, &h);
        bool good = parent >= 3 && parent <= 8;
        assert_int_equal(check(&c), good ? COH_BLOCK_OK : COH_BLOCK_OMMER_PARENT);
    }
    close_chain(&c);
}

static void ommers_come_once(void **state)
{
    (void)state;
    chain_t c;
    open_chain(&c);
    coh_header_t one   = child_of(&c.blocks[8].self, 11, 2);
    coh_header_t two   = child_of(&c.blocks[7].self, 12, 2);
    coh_header_t three = child_of(&c.blocks[7].self, 13, 2);
    add_ommer(&c, &one);
    add_ommer(&c, &two);
    assert_int_equal(check(&c), COH_BLOCK_OK);
    add_ommer(&c, &three);
    assert_int_equal(check(&c), COH_BLOCK_OMMER_CNT);
    no_ommers(&c);
    add_ommer(&c, &one);
    add_ommer(&c, &one);
    assert_int_equal(check(&c), COH_BLOCK_OMMER_REPEATED);
    assert_int_equal(c.fault.idx, 1);

    no_ommers(&c); /* an ancestor had it; the seventh one is looked at, the eighth not */
    coh_header_t old = child_of(&c.blocks[3].self, 11, 2);
    add_ommer(&c, &old);
    assert_int_equal(check(&c), COH_BLOCK_OK);
    c.blocks[5].ommer_cnt = 1;
    c.blocks[5].ommers[0] = coh_header_hash(&old, COH_FORK_FRONTIER);
    assert_int_equal(check(&c), COH_BLOCK_OMMER_REPEATED);
    assert_int_equal(c.fault.idx, 0);

    for (uint32_t i = 4; i < LENGTH; i++) { /* ancestors are no ommers */
        no_ommers(&c);
        add_ommer(&c, &c.blocks[i].self.header);
        assert_int_equal(check(&c), COH_BLOCK_OMMER_ANCESTOR);
    }
    close_chain(&c);
}

static void ommers_are_valid_headers(void **state)
{
    (void)state;
    chain_t c;
    open_chain(&c);
    coh_header_t const good = child_of(&c.blocks[8].self, 11, 2);
    for (int i = 0; i < 5; i++) {
        coh_header_t h       = good;
        coh_block_err_t want = COH_BLOCK_OK;
        switch (i) {
        case 0:
            want = COH_BLOCK_NUMBER;
            h.number++;
            break;
        case 1:
            want        = COH_BLOCK_TIMESTAMP;
            h.timestamp = c.blocks[8].self.header.timestamp;
            break;
        case 2:
            want = COH_BLOCK_GAS_LIMIT;
            h.gas_limit += 5000 / 1024;
            break;
        case 3:
            want       = COH_BLOCK_GAS_ABOVE_LIMIT;
            h.gas_used = h.gas_limit + 1;
            break;
        default:
            want = COH_BLOCK_DIFFICULTY;
            h.difficulty.w[0]++;
            break;
        }
        no_ommers(&c);
        add_ommer(&c, &h);
        assert_int_equal(check(&c), COH_BLOCK_OMMER_HEADER);
        assert_int_equal(c.fault.ommer_err, want);
    }
    coh_header_t late = child_of(
        &c.blocks[8].self, 1000000, 2); /* later than the block itself: no rule against it */
    no_ommers(&c);
    add_ommer(&c, &late);
    assert_int_equal(check(&c), COH_BLOCK_OK);
    close_chain(&c);
}

/* Yellow Paper 11.3: an ommer of generation n earns (8 - n) eighths, the block a 32nd for each. */
static void ommers_and_nephews_earn(void **state)
{
    (void)state;
    static struct {
        coh_fork_t fork;
        uint64_t ethers;
    } const rewards[]    = {{COH_FORK_FRONTIER, 5},
                            {COH_FORK_SPURIOUS, 5},
                            {COH_FORK_BYZANTIUM, 3},
                            {COH_FORK_CONSTANTINOPLE, 2},
                            {COH_FORK_LONDON, 2},
                            {COH_FORK_PARIS, 0}};
    uint64_t const ether = UINT64_C(1000000000000000000);
    chain_t c;
    coh_buf_t list = COH_BUF_INIT;
    open_chain(&c);
    coh_header_t brother = child_of(&c.blocks[8].self, 11, 0xa1);
    coh_header_t old     = child_of(&c.blocks[3].self, 11, 0xa6);
    add_ommer(&c, &brother);
    add_ommer(&c, &old);
    for (size_t i = 0; i < COH_CNT(rewards); i++) {
        coh_rules_t rules = {.fork = rewards[i].fork};
        uint64_t reward   = rewards[i].ethers * ether;
        coh_steps_t steps;
        coh_steps_after(&steps, &list, &c.block, &rules);
        if (reward == 0) {
            assert_int_equal(steps.cnt, 0);
            continue;
        }
        assert_int_equal(steps.cnt, 1);
        uint64_t const want[] = {reward / 8 * 7, reward / 8 * 2, reward + 2 * (reward / 32)};
        uint8_t const who[]   = {0xa1, 0xa6, 1};
        coh_rlp_t it          = coh_step_credit_iter(&steps.steps[0]);
        coh_addr_t addr;
        coh_u256_t amount;
        for (int k = 0; k < 3; k++) {
            assert_true(coh_step_credit_next(&it, &addr, &amount));
            assert_int_equal(addr.b[0], who[k]);
            assert_true(amount.w[0] == want[k] && coh_u256_fits_u64(&amount));
        }
        assert_false(coh_step_credit_next(&it, &addr, &amount));
    }
    coh_buf_free(&list);
    close_chain(&c);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(ommers_are_children_of_ancestors),
        cmocka_unit_test(ommers_come_once),
        cmocka_unit_test(ommers_are_valid_headers),
        cmocka_unit_test(ommers_and_nephews_earn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
