/* gas.h: what instructions cost beyond their static part (opcodes.def), each rule with its EIP. All amounts are gas. */
#ifndef COH_GAS_H
#define COH_GAS_H

#include "common/base/u256.h"
#include "common/codec/fork.h"

/* EIP-2929: added to the warm price (the static part) at the first access in a transaction. */
#define COH_GAS_COLD_ACCOUNT 2500u
#define COH_GAS_COLD_SLOAD   2000u
/* SSTORE and SELFDESTRUCT have no warm part in their static cost: the whole price. */
#define COH_GAS_COLD_SSTORE         2100u
#define COH_GAS_COLD_BENEFICIARY    2600u
#define COH_GAS_DELEGATE            100u /* EIP-7702: a warm delegate */
#define COH_GAS_COPY_WORD           3u
#define COH_GAS_KECCAK_WORD         6u
#define COH_GAS_LOG_OCTET           8u
#define COH_GAS_CALL_VALUE          9000u
#define COH_GAS_CALL_STIPEND        2300u
#define COH_GAS_NEW_ACCOUNT         25000u
#define COH_GAS_CODE_OCTET          200u
#define COH_GAS_INITCODE_WORD       2u    /* EIP-3860 */
#define COH_GAS_SSTORE_SENTRY       2300u /* EIP-2200 */
#define COH_GAS_SELFDESTRUCT_REFUND 24000

/* EIP-170. EIP-3860: COH_INITCODE_SIZE_MAX, codec/tx.h. */
#define COH_CODE_SIZE_MAX  24576u
#define COH_CALL_DEPTH_MAX 1024u

/* Words of 32 octets that hold n. */
static inline uint64_t coh_gas_words(uint64_t n) { return (n >> 5) + ((n & 31) != 0); }

/* Total cost of a memory of words (Yellow Paper, Appendix H: 3 w + w^2 / 512); words below 2^32. */
static inline uint64_t coh_gas_memory(uint64_t words) { return 3 * words + ((words * words) >> 9); }

/* Cost of each octet of EXP's exponent (EIP-160). */
static inline uint64_t coh_gas_exp_octet(coh_fork_t fork)
{
    return fork >= COH_FORK_SPURIOUS ? 50 : 10;
}

/* coh_gas_sstore: cost of storing value where current stands and original stood when the transaction began, without the cold surcharge;
   *refund gets the change of the refund counter. EIP-1283 in Constantinople only, EIP-2200 since Istanbul with the prices of EIP-2929 since
   Berlin and the refunds of EIP-3529 since London. */
uint64_t coh_gas_sstore(int64_t *refund,
                        coh_fork_t fork,
                        coh_u256_t const *original,
                        coh_u256_t const *current,
                        coh_u256_t const *value);

#endif
