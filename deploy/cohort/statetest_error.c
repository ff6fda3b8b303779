#include "deploy/cohort/statetest_error.h"

_Static_assert(COH_TX_ERR_CNT <= 64, "sets of errors are words");

#define ERR(name) (UINT64_C(1) << COH_TX_##name)

/* A price or cost above 2^256 is one that nobody can pay: where tests name the lack of funds, we may name the overflow. */
#define UNPAID (ERR(FUNDS) | ERR(FEE_OVERFLOW))

/* Newer names stand behind "TransactionException."; the others are those of older tests. */
static struct {
    char const *name;
    uint64_t errs;
} const names[] = {
    /* What the sender has */
    {"INSUFFICIENT_ACCOUNT_FUNDS", UNPAID},
    {"GASLIMIT_PRICE_PRODUCT_OVERFLOW", UNPAID},
    {"NONCE_MISMATCH_TOO_LOW", ERR(NONCE_TOO_LOW)},
    {"NONCE_MISMATCH_TOO_HIGH", ERR(NONCE_TOO_HIGH)},
    {"NONCE_IS_MAX", ERR(NONCE_MAX)},
    {"SENDER_NOT_EOA", ERR(SENDER_CODE)},
    {"TR_NoFunds", UNPAID},
    {"TR_NoFundsOrGas", UNPAID | ERR(INTRINSIC_GAS)},
    {"TR_FeeCapLessThanBlocksORNoFunds", UNPAID | ERR(FEE_TOO_LOW)},
    {"TR_NonceTooLow", ERR(NONCE_TOO_LOW)},
    {"TR_NonceTooHigh", ERR(NONCE_TOO_HIGH)},
    {"TR_NonceHasMaxValue", ERR(NONCE_MAX)},
    {"SenderNotEOA", ERR(SENDER_CODE)},
    {"SenderNotEOAorNoCASH", ERR(SENDER_CODE) | UNPAID},
    /* Gas and fees */
    {"INTRINSIC_GAS_TOO_LOW", ERR(INTRINSIC_GAS)},
    {"INTRINSIC_GAS_BELOW_FLOOR_GAS_COST", ERR(FLOOR_GAS)},
    {"GAS_ALLOWANCE_EXCEEDED", ERR(GAS_LIMIT)},
    {"GAS_LIMIT_EXCEEDS_MAXIMUM", ERR(GAS_CAP)},
    {"INSUFFICIENT_MAX_FEE_PER_GAS", ERR(FEE_TOO_LOW)},
    {"INSUFFICIENT_MAX_FEE_PER_BLOB_GAS", ERR(BLOB_FEE_TOO_LOW)},
    {"PRIORITY_GREATER_THAN_MAX_FEE_PER_GAS", ERR(TIP_ABOVE_CAP)},
    {"PRIORITY_GREATER_THAN_MAX_FEE_PER_GAS_2", ERR(TIP_ABOVE_CAP)},
    {"INITCODE_SIZE_EXCEEDED", ERR(INITCODE_SIZE)},
    {"IntrinsicGas", ERR(INTRINSIC_GAS)},
    {"TR_IntrinsicGas", ERR(INTRINSIC_GAS)},
    {"TR_GasLimitReached", ERR(GAS_LIMIT)},
    {"TR_FeeCapLessThanBlocks", ERR(FEE_TOO_LOW)},
    {"TR_TipGtFeeCap", ERR(TIP_ABOVE_CAP)},
    {"TR_InitCodeLimitExceeded", ERR(INITCODE_SIZE)},
    /* Types */
    {"TYPE_NOT_SUPPORTED", ERR(TYPE_UNSUPPORTED) | ERR(MALFORMED)},
    {"TYPE_1_TX_PRE_FORK", ERR(TYPE_UNSUPPORTED)},
    {"TYPE_2_TX_PRE_FORK", ERR(TYPE_UNSUPPORTED)},
    {"TYPE_3_TX_PRE_FORK", ERR(TYPE_UNSUPPORTED)},
    {"TYPE_4_TX_PRE_FORK", ERR(TYPE_UNSUPPORTED)},
    {"TR_TypeNotSupported", ERR(TYPE_UNSUPPORTED)},
    {"TYPE_3_TX_ZERO_BLOBS", ERR(BLOB_NONE)},
    {"TYPE_3_TX_ZERO_BLOBS_PRE_FORK", ERR(BLOB_NONE) | ERR(TYPE_UNSUPPORTED)},
    {"TYPE_3_TX_INVALID_BLOB_VERSIONED_HASH", ERR(BLOB_VERSION)},
    {"TYPE_3_TX_CONTRACT_CREATION", ERR(BLOB_CREATE) | ERR(MALFORMED)},
    {"TYPE_3_TX_BLOB_COUNT_EXCEEDED", ERR(BLOB_CNT)},
    {"TYPE_3_TX_MAX_BLOB_GAS_ALLOWANCE_EXCEEDED", ERR(BLOB_CNT)},
    {"TYPE_3_TX_WITH_FULL_BLOBS", ERR(MALFORMED)},
    {"TR_EMPTYBLOB", ERR(BLOB_NONE)},
    /* A blob transaction's receiver is an address in its encoding: without one it is malformed (EIP-4844). */
    {"TR_BLOBCREATE", ERR(BLOB_CREATE) | ERR(MALFORMED)},
    {"TYPE_4_TX_CONTRACT_CREATION", ERR(AUTH_CREATE) | ERR(MALFORMED)},
    {"TYPE_4_EMPTY_AUTHORIZATION_LIST", ERR(AUTH_NONE)},
    {"TYPE_4_INVALID_AUTHORIZATION_FORMAT", ERR(MALFORMED)},
    /* Signature */
    {"INVALID_CHAINID", ERR(CHAIN_ID)},
    {"INVALID_SIGNATURE_VRS", ERR(SIGNATURE) | ERR(MALFORMED)},
    {"EC_RECOVERY_FAIL", ERR(SIGNATURE)},
    /* Encoding: a number that does not fit its field makes a transaction malformed */
    {"TR_RLP_WRONGVALUE", ERR(MALFORMED)},
    {"VALUE_OVERFLOW", ERR(MALFORMED)},
    {"GASLIMIT_OVERFLOW", ERR(MALFORMED)},
    {"GASPRICE_OVERFLOW", ERR(MALFORMED)},
    {"PRIORITY_OVERFLOW", ERR(MALFORMED)},
    {"NONCE_OVERFLOW", ERR(MALFORMED) | ERR(NONCE_MAX)},
    {"NONCE_TOO_BIG", ERR(MALFORMED) | ERR(NONCE_MAX)},
    {"ADDRESS_TOO_SHORT", ERR(MALFORMED)},
    {"ADDRESS_TOO_LONG", ERR(MALFORMED)},
};

/* Also of encoding: "RLP_" and what is wrong in it. */
static char const encoding_prefix[] = "RLP_";

static bool find(uint64_t *errs, char const *name, size_t n)
{
    static char const prefix[] = "TransactionException.";
    size_t const prefix_sz     = sizeof(prefix) - 1;
    bool is_new                = n > prefix_sz && memcmp(name, prefix, prefix_sz) == 0;
    if (is_new) {
        name += prefix_sz;
        n -= prefix_sz;
    }
    for (size_t i = 0; i < COH_CNT(names); i++) {
        if (strlen(names[i].name) == n && memcmp(names[i].name, name, n) == 0) {
            *errs = names[i].errs;
            return true;
        }
    }
    size_t const encoding_sz = sizeof(encoding_prefix) - 1;
    *errs                    = ERR(MALFORMED);
    return is_new && n > encoding_sz && memcmp(name, encoding_prefix, encoding_sz) == 0;
}

coh_statetest_error_t coh_statetest_error_check(char const *expected, coh_tx_err_t err)
{
    uint64_t all = 0;
    for (char const *p = expected;; p++) {
        size_t n = strcspn(p, "|");
        uint64_t errs;
        if (!find(&errs, p, n)) {
            return COH_STATETEST_ERROR_UNKNOWN;
        }
        all |= errs;
        p += n;
        if (*p == '\0') {
            break;
        }
    }
    bool met = err != COH_TX_OK && (all >> err & 1) != 0;
    return met ? COH_STATETEST_ERROR_MET : COH_STATETEST_ERROR_OTHER;
}
