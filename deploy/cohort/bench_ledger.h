/* bench_ledger.h: the bench's own books. It notes what was sent, what was taken, and what every receipt says, and moves money between accounts by
   itself; at the end the cluster's word is held against it. Nothing here asks the cluster anything.

   A transaction:  UNSENT ─sent─▶ SENT ─taken─▶ TAKEN ─receipt or dropped─▶ closed
                                    └─refused─▶ REFUSED (closed)
   A receipt may come before the answer that says that the transaction was taken. */
#ifndef COH_BENCH_LEDGER_H
#define COH_BENCH_LEDGER_H

#include "common/client/ops.h"
#include "deploy/cohort/bench_load.h"

typedef enum {
    COH_BENCH_CHECK_RECEIPTS, /* one for each transaction taken */
    COH_BENCH_CHECK_FIELDS,   /* they say what was sent */
    COH_BENCH_CHECK_NONCES,
    COH_BENCH_CHECK_BALANCES, /* of every account */
    COH_BENCH_CHECK_SUPPLY,   /* sum of balances and burnt fees */
    COH_BENCH_CHECK_CNT
} coh_bench_check_t;

/* Texts kept of what went wrong, at most, in each check. */
#define COH_BENCH_FAULTS_SHOWN 3u

typedef struct {
    uint64_t fault_cnt;
    coh_buf_t text; /* of the first COH_BENCH_FAULTS_SHOWN, a line each */
} coh_bench_verdict_t;

typedef struct coh_bench_ledger coh_bench_ledger_t;

typedef struct {
    uint64_t sent; /* each counted once, however often it was tried */
    uint64_t taken;
    uint64_t refused;
    uint64_t dropped;
    uint64_t receipts;
    uint64_t blocks; /* with receipts */
    uint64_t gas_used;
} coh_bench_counts_t;

/* coh_bench_ledger_new opens the books. load and accounts are borrowed until free; base_fee and gas_limit are those of the block after head. */
coh_bench_ledger_t *coh_bench_ledger_new(coh_bench_load_t const *load,
                                         coh_bench_accounts_t const *accounts,
                                         coh_u256_t const *coinbase_balance,
                                         uint64_t head,
                                         coh_u256_t const *base_fee,
                                         uint64_t gas_limit);
void coh_bench_ledger_free(coh_bench_ledger_t *ledger);

/* Transaction tx of the load was handed in for the first time at now_us; was answered: err is COH_TX_OK, or a final refusal. */
void coh_bench_ledger_sent(coh_bench_ledger_t *ledger, size_t tx, uint64_t now_us);
void coh_bench_ledger_answered(coh_bench_ledger_t *ledger, size_t tx, coh_tx_err_t err);
void coh_bench_ledger_dropped(coh_bench_ledger_t *ledger, coh_hash_t const *hash, uint32_t verdict);

/* coh_bench_ledger_block enters the receipts of the block after the last one entered; they arrived at now_us. */
void coh_bench_ledger_block(coh_bench_ledger_t *ledger,
                            uint64_t number,
                            coh_op_receipt_t const *receipts,
                            uint32_t cnt,
                            uint64_t now_us);

/* Number of the block entered last. */
uint64_t coh_bench_ledger_head(coh_bench_ledger_t const *ledger);
coh_bench_counts_t coh_bench_ledger_counts(coh_bench_ledger_t const *ledger);
/* Transactions sent that are not closed. */
uint64_t coh_bench_ledger_open_cnt(coh_bench_ledger_t const *ledger);

/* Latencies from handing in to receipt, in microseconds: of all (quantile of 0..1), and of those since the last call with recent. */
uint32_t coh_bench_ledger_latency(coh_bench_ledger_t *ledger, double quantile);
void coh_bench_ledger_recent(coh_bench_ledger_t *ledger, uint32_t *p50, uint32_t *p99);

/* coh_bench_ledger_close compares the books with what the cluster says: of every account of the load (state, in their order, followed by the coinbase), and of
   the fees burnt since genesis (when the books were opened, and now). Balances and burnt fees must add up to supply. */
void coh_bench_ledger_close(coh_bench_ledger_t *ledger,
                            coh_op_account_t const *state,
                            coh_u256_t const *supply,
                            coh_u256_t const *burnt_before,
                            coh_u256_t const *burnt_after);
coh_bench_verdict_t const *coh_bench_ledger_verdict(coh_bench_ledger_t const *ledger,
                                                    coh_bench_check_t check);
char const *coh_bench_check_str(coh_bench_check_t check);
/* Fees burnt in the blocks entered. */
coh_u256_t coh_bench_ledger_burnt(coh_bench_ledger_t const *ledger);

#endif
