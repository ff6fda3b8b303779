/* difficulty.h: the difficulty of a block before Paris (Yellow Paper 4.4.4; EIP-2, EIP-100) with the
   delays of its exponential part, the bomb (EIP-649, 1234, 2384, 3554, 4345, 5133). */
#ifndef COH_DIFFICULTY_H
#define COH_DIFFICULTY_H

#include "common/base/u256.h"
#include "common/codec/fork.h"

/* Blocks by which the bomb lags, where no fork of fork.h says so. */
#define COH_BOMB_DELAY_MUIR_GLACIER  UINT64_C(9000000)  /* EIP-2384 */
#define COH_BOMB_DELAY_ARROW_GLACIER UINT64_C(10700000) /* EIP-4345 */
#define COH_BOMB_DELAY_GRAY_GLACIER  UINT64_C(11400000) /* EIP-5133 */

/* What counts of the parent's header. */
typedef struct {
    coh_u256_t difficulty;
    uint64_t timestamp;
    bool has_ommers;
} coh_difficulty_parent_t;

/* coh_difficulty_bomb_delay is the delay that comes with fork itself: 0 before Byzantium. */
uint64_t coh_difficulty_bomb_delay(coh_fork_t fork);

/* coh_difficulty_next is the difficulty of block number with this timestamp under fork, before Paris;
   at least 131072, at most 2^256-1. A timestamp not after the parent's counts as the parent's.
   The minimum is applied last, as in the Yellow Paper; go-ethereum adds the bomb to it, which only
   differs for parents near the minimum. */
coh_u256_t coh_difficulty_next(coh_difficulty_parent_t const *parent,
                               coh_fork_t fork,
                               uint64_t bomb_delay,
                               uint64_t number,
                               uint64_t timestamp);

#endif
