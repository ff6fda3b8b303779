/* statetest_case.h: official state tests (JSON, "GeneralStateTests" and their successor "state_tests"), taken apart into cases: one
   transaction on one state under one fork, and what must come of it. Both forms are read: one case a test, as newer files have it, and all
   forks and combinations of data, gas and value in one test, as older ones do.

   Quantities that are out of range belong to cases that expect this; they are kept as such (tx_err). All else that is not as it should be makes
   the file unreadable. */
#ifndef COH_STATETEST_CASE_H
#define COH_STATETEST_CASE_H

#include "common/base/arena.h"
#include "common/codec/tx.h"
#include "common/config/genesis.h"
#include "common/state/block_env.h"

typedef struct {
    coh_genesis_account_t *accounts; /* codes and slots, too, in the file's arena; in no order */
    size_t account_cnt;
} coh_statetest_state_t;

/* Which element of transaction.data, .gasLimit and .value. */
typedef struct {
    uint32_t data;
    uint32_t gas;
    uint32_t value;
} coh_statetest_idx_t;

typedef struct {
    char const *id;        /* of the test in its file */
    char const *fork_name; /* as the file has it */
    coh_statetest_idx_t idx;
    coh_block_env_t env;
    coh_statetest_state_t const *pre;
    coh_tx_t fields; /* from the member transaction, unsigned; raw is empty */
    coh_addr_t sender;
    bool has_secret;
    uint8_t secret[32];
    coh_bytes_t raw;            /* post.txbytes; empty if not given */
    char const *tx_err;         /* why fields hold not what the file says; NULL: they do */
    char const *exception;      /* post.expectException; NULL: the transaction is valid */
    coh_hash_t root;            /* state root afterwards */
    coh_hash_t logs_hash;       /* keccak256(rlp(logs)) */
    bool has_post;              /* ... */
    coh_statetest_state_t post; /* ...the full state afterwards */
    bool is_legacy; /* of a file without config: see coh_statetest_run about rejected ones */
} coh_statetest_case_t;

/* All of one file. */
typedef struct {
    coh_statetest_case_t *cases;
    size_t case_cnt;
    coh_arena_t arena; /* what cases point to */
} coh_statetest_file_t;

/* Which cases to take. */
typedef struct {
    char const *fork; /* by the file's name or ours (fork.h); NULL: all */
    char const *
        filter; /* part of the id, or a POSIX extended regular expression that matches some of it; NULL: all */
    bool has_idx;            /* ... */
    coh_statetest_idx_t idx; /* ...only these */
} coh_statetest_select_t;

/* coh_statetest_load reads the selected cases of a file. out need not be initialised; release it with coh_statetest_free, also after a
   failure. Any thread.
   Returns: COH_OK; COH_EIO, COH_EMALFORMED with what is wrong in err_text */
coh_err_t coh_statetest_load(coh_statetest_file_t *out,
                             char const *path,
                             coh_statetest_select_t const *select,
                             coh_buf_t *err_text);
void coh_statetest_free(coh_statetest_file_t *file);

/* coh_statetest_fork finds a rule set by its name in tests, where several are names of one. False if there is none. */
bool coh_statetest_fork(coh_fork_t *out, char const *name);

#endif
