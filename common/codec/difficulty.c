#include "common/codec/difficulty.h"

#include "common/base/assert.h"

enum {
    DIFFICULTY_MIN   = 131072,
    BOUND_DIVISOR    = 2048,
    FRONTIER_SECONDS = 13,
    BOMB_BLOCKS      = 100000,
    STEPS_DOWN_MAX   = 99,
};

static coh_u256_t const ceiling = {{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}};

uint64_t coh_difficulty_bomb_delay(coh_fork_t fork)
{
    if (fork >= COH_FORK_LONDON) {
        return 9700000; /* EIP-3554 */
    }
    if (fork >= COH_FORK_BERLIN) {
        return COH_BOMB_DELAY_MUIR_GLACIER;
    }
    if (fork >= COH_FORK_CONSTANTINOPLE) {
        return 5000000; /* EIP-1234 */
    }
    return fork >= COH_FORK_BYZANTIUM ? 3000000 : 0; /* EIP-649 */
}

/* Steps of a 2048th up (or, if negative, down) after elapsed seconds. */
static int steps_up(coh_difficulty_parent_t const *parent, coh_fork_t fork, uint64_t elapsed)
{
    if (fork < COH_FORK_HOMESTEAD) {
        return elapsed < FRONTIER_SECONDS ? 1 : -1;
    }
    uint64_t slow = elapsed / (fork < COH_FORK_BYZANTIUM ? 10 : 9);           /* EIP-2, EIP-100 */
    int fast      = fork >= COH_FORK_BYZANTIUM && parent->has_ommers ? 2 : 1; /* EIP-100 */
    return slow > (uint64_t)(fast + STEPS_DOWN_MAX) ? -STEPS_DOWN_MAX : fast - (int)slow;
}

static void add_capped(coh_u256_t *a, coh_u256_t const *b)
{
    if (coh_u256_add(a, a, b)) {
        *a = ceiling;
    }
}

/* 2^(number / 100000 - 2), from 200000 on. */
static coh_u256_t bomb(uint64_t number)
{
    coh_u256_t out   = COH_U256_ZERO;
    uint64_t periods = number / BOMB_BLOCKS;
    if (periods < 2) {
        return out;
    }
    uint64_t bit = periods - 2;
    if (bit > 255) {
        return ceiling;
    }
    out.w[bit / 64] = UINT64_C(1) << bit % 64;
    return out;
}

coh_u256_t coh_difficulty_next(coh_difficulty_parent_t const *parent,
                               coh_fork_t fork,
                               uint64_t bomb_delay,
                               uint64_t number,
                               uint64_t timestamp)
{
    COH_ASSERT(fork < COH_FORK_PARIS); /* since EIP-3675 it is 0 */
    uint64_t elapsed = timestamp > parent->timestamp ? timestamp - parent->timestamp : 0;
    int steps        = steps_up(parent, fork, elapsed);
    coh_u256_t out   = parent->difficulty;
    coh_u256_t change;
    (void)coh_u256_divmod_u64(&change, &out, BOUND_DIVISOR);
    (void)coh_u256_mul_u64(&change, &change, (uint64_t)(steps < 0 ? -steps : steps));
    if (steps < 0) {
        (void)coh_u256_sub(&out, &out, &change); /* at most 99/2048 of it */
    } else {
        add_capped(&out, &change);
    }
    coh_u256_t more = bomb(number > bomb_delay ? number - bomb_delay : 0);
    add_capped(&out, &more);
    coh_u256_t least = coh_u256(DIFFICULTY_MIN);
    return coh_u256_lt(&out, &least) ? least : out;
}
