#include "deploy/cohort/blocktest_error.h"

#include <stdio.h>

_Static_assert(COH_BLOCK_ERR_CNT <= 64, "sets of errors are words");

#define ERR(name) (UINT64_C(1) << COH_BLOCK_##name)

/* Newer names stand behind "BlockException."; the others are those of older tests. What is wrong with an ommer's header is named as if it were the block's. */
static struct {
    char const *name;
    uint64_t errs;
} const names[] = {
    /* Form */
    {"INCORRECT_BLOCK_FORMAT", ERR(FIELDS) | ERR(MALFORMED)},
    {"RLP_STRUCTURES_ENCODING", ERR(MALFORMED)},
    {"RLP_WITHDRAWALS_NOT_READ", ERR(MALFORMED) | ERR(NO_WITHDRAWALS)},
    {"RLP_BLOCK_LIMIT_EXCEEDED", ERR(TOO_LARGE)},
    {"EXTRA_DATA_TOO_BIG", ERR(EXTRA_SIZE)},
    {"INPUT_UNMARSHAL_ERROR", ERR(MALFORMED)},
    {"RLP_ExpectedAsList", ERR(MALFORMED) | ERR(NO_WITHDRAWALS)},
    {"ExtraDataTooBig", ERR(EXTRA_SIZE)},
    {"LegacyBlockImportImpossible2", ERR(FIELDS)},
    /* Header */
    {"UNKNOWN_PARENT", ERR(UNKNOWN_PARENT)},
    {"UNKNOWN_PARENT_ZERO", ERR(UNKNOWN_PARENT)},
    {"INVALID_BLOCK_NUMBER", ERR(NUMBER)},
    {"INVALID_BLOCK_TIMESTAMP_OLDER_THAN_PARENT", ERR(TIMESTAMP)},
    {"INVALID_GASLIMIT", ERR(GAS_LIMIT)},
    {"INVALID_BASEFEE_PER_GAS", ERR(BASE_FEE)},
    {"INCORRECT_EXCESS_BLOB_GAS", ERR(EXCESS_BLOB_GAS)},
    {"TransactionException.TYPE_3_TX_MAX_BLOB_GAS_ALLOWANCE_EXCEEDED", ERR(BLOB_GAS)},
    {"INCORRECT_BLOB_GAS_USED", ERR(BLOB_GAS) | ERR(BLOB_GAS_USED)},
    {"BLOB_GAS_USED_ABOVE_LIMIT", ERR(BLOB_GAS)},
    {"INVALID_DIFFICULTY", ERR(DIFFICULTY)},
    {"IMPORT_IMPOSSIBLE_DIFFICULTY_OVER_PARIS", ERR(POS_DIFFICULTY)},
    {"IMPORT_IMPOSSIBLE_UNCLES_OVER_PARIS", ERR(POS_OMMERS)},
    {"EXTRA_DATA_INVALID_DAO", ERR(DAO_EXTRA)},
    {"UnknownParent", ERR(UNKNOWN_PARENT)},
    {"UnknownParent2", ERR(UNKNOWN_PARENT)},
    {"InvalidNumber", ERR(NUMBER)},
    {"InvalidTimestampOlderParent", ERR(TIMESTAMP)},
    {"InvalidGasLimit2", ERR(GAS_LIMIT)},
    {"InvalidDifficulty", ERR(DIFFICULTY) | ERR(POS_DIFFICULTY)},
    {"1559BlockImportImpossible_BaseFeeWrong", ERR(BASE_FEE)},
    {"3675PoSBlockRejected", ERR(DIFFICULTY)}, /* 0, and it is not the Merge yet */
    {"3675PreParis1559BlockRejected", ERR(POS_DIFFICULTY) | ERR(POS_OMMERS)},
    {"PostParisDifficultyIsNot0", ERR(POS_DIFFICULTY)},
    {"PostParisUncleHashIsNotEmpty", ERR(POS_OMMERS)},
    {"ExtraDataIncorrectDAO", ERR(DAO_EXTRA)},
    /* Body */
    {"INVALID_TRANSACTIONS_ROOT", ERR(TX_ROOT)},
    {"INVALID_WITHDRAWALS_ROOT", ERR(WITHDRAWALS_ROOT)},
    {"INVALID_UNCLES_HASH", ERR(OMMERS_HASH)},
    {"TOO_MANY_UNCLES", ERR(OMMER_CNT)},
    {"UNCLE_IN_CHAIN", ERR(OMMER_REPEATED)},
    {"UNCLE_IS_ANCESTOR", ERR(OMMER_ANCESTOR)},
    {"UNCLE_PARENT_INCORRECT", ERR(OMMER_PARENT)},
    {"UNCLE_UNKNOWN_PARENT", ERR(OMMER_PARENT)},
    {"InvalidTransactionsRoot", ERR(TX_ROOT)},
    {"TooManyUncles", ERR(OMMER_CNT)},
    {"UncleIsAncestor", ERR(OMMER_ANCESTOR)},
    {"InvalidUncleParentHash", ERR(OMMER_PARENT)},
    /* Execution */
    {"INVALID_GAS_USED", ERR(GAS_USED)},
    {"INVALID_GAS_USED_ABOVE_LIMIT", ERR(GAS_ABOVE_LIMIT)},
    {"INVALID_STATE_ROOT", ERR(STATE_ROOT)},
    {"INVALID_RECEIPTS_ROOT", ERR(RECEIPTS_ROOT)},
    {"INVALID_LOG_BLOOM", ERR(BLOOM)},
    {"INVALID_REQUESTS", ERR(REQUESTS_HASH)},
    {"INVALID_DEPOSIT_EVENT_LAYOUT", ERR(DEPOSIT_LAYOUT)},
    {"SYSTEM_CONTRACT_EMPTY", ERR(SYSTEM_NO_CODE)},
    {"SYSTEM_CONTRACT_CALL_FAILED", ERR(SYSTEM_FAILED)},
    {"InvalidGasUsed", ERR(GAS_USED)},
    {"InvalidStateRoot", ERR(STATE_ROOT)},
    /* The block's hash and the blobs' hashes are arguments of the Engine API: in a block alone there is nothing to compare them with. */
    {"INVALID_BLOCK_HASH", 0},
    {"INVALID_VERSIONED_HASHES", 0},
};

/* Whether one of names names fault; known: whether it is known at all. */
static bool check_one(bool *known, char const *name, size_t n, coh_block_fault_t const *fault)
{
    static char const prefix[] = "BlockException.";
    size_t const prefix_sz     = sizeof(prefix) - 1;
    char text[96];
    *known = n < sizeof(text);
    if (!*known) {
        return false;
    }
    memcpy(text, name, n);
    text[n]           = '\0';
    bool is_new       = strncmp(text, prefix, prefix_sz) == 0;
    char const *found = is_new ? text + prefix_sz : text;
    bool in_table     = false;
    for (size_t i = 0; i < COH_CNT(names); i++) {
        if (strcmp(names[i].name, found) == 0) {
            in_table      = true;
            uint64_t bits = names[i].errs >> fault->err;
            uint64_t ommers =
                fault->err == COH_BLOCK_OMMER_HEADER ? names[i].errs >> fault->ommer_err : 0;
            if (((bits | ommers) & 1) != 0) {
                return true;
            }
        }
    }
    coh_tx_err_t tx_err        = fault->err == COH_BLOCK_TX ? fault->tx_err : COH_TX_OK;
    coh_statetest_error_t said = coh_statetest_error_check(text, tx_err);
    *known                     = in_table || said != COH_STATETEST_ERROR_UNKNOWN;
    return said == COH_STATETEST_ERROR_MET;
}

coh_statetest_error_t coh_blocktest_error_check(char const *expected,
                                                coh_block_fault_t const *fault)
{
    bool met = false;
    for (char const *p = expected;; p++) {
        size_t n = strcspn(p, "|");
        bool known;
        met |= check_one(&known, p, n, fault);
        if (!known) {
            return COH_STATETEST_ERROR_UNKNOWN;
        }
        p += n;
        if (*p == '\0') {
            break;
        }
    }
    return met ? COH_STATETEST_ERROR_MET : COH_STATETEST_ERROR_OTHER;
}
