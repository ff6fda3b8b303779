/* rpc_format.h: blocks, transactions, receipts and logs as Ethereum's JSON-RPC shows them (ethereum/execution-apis, with the fields that geth gives), and in
   their raw forms. Members come in no particular order; a missing member means that the block's fork has not got it. */
#ifndef COH_RPC_FORMAT_H
#define COH_RPC_FORMAT_H

#include "common/config/genesis.h"
#include "coordinator/gateway/rpc_json.h"
#include "coordinator/seal.h"

/* A committed block in the hands of the JSON-RPC thread. */
typedef struct {
    uint32_t ref_cnt;
    coh_sealed_t *sealed; /* a reference */
    coh_buf_t record;     /* owned; what raws points into */
    coh_bytes_t *raws;    /* owned; the transactions' raw forms; NULL: not at hand */
} coh_rpc_block_t;

/* coh_rpc_block_of takes a reference to sealed: a block without raw forms. */
coh_rpc_block_t *coh_rpc_block_of(coh_sealed_t *sealed);
/* coh_rpc_block_decode makes a block of a decision record, whose memory it takes. COH_ECORRUPT if it does not hold together. */
coh_err_t coh_rpc_block_decode(coh_rpc_block_t **out, coh_buf_t *record);
void coh_rpc_block_free(coh_rpc_block_t *block);
/* True if transactions can be shown: all raw forms are there, or there are no transactions. */
static inline bool coh_rpc_block_has_bodies(coh_rpc_block_t const *block)
{
    return block->raws != NULL || block->sealed->tx_cnt == 0;
}

/* A header as eth_subscribe newHeads shows it. */
void coh_rpc_put_header(coh_buf_t *out, coh_sealed_t const *sealed);
/* A block with its transactions' hashes, or, if full, the transactions themselves (bodies needed). */
void coh_rpc_put_block(coh_buf_t *out, coh_rpc_block_t const *block, bool full);
/* How many ommers a block has, and one of them as a block without a body; false, and nothing appended, if there are not so many. */
uint32_t coh_rpc_ommer_cnt(coh_sealed_t const *sealed);
bool coh_rpc_put_ommer(coh_buf_t *out, coh_sealed_t const *sealed, uint32_t idx);
/* The block that would come after sealed under env, as it stands now: without transactions. */
void coh_rpc_put_pending_block(coh_buf_t *out,
                               coh_sealed_t const *head,
                               coh_block_env_t const *env,
                               bool header_only);
/* Transaction idx of block, bodies needed. */
void coh_rpc_put_block_tx(coh_buf_t *out, coh_rpc_block_t const *block, uint32_t idx);
/* A transaction in no block. COH_EMALFORMED, and nothing appended, if raw is none. */
coh_err_t coh_rpc_put_pooled_tx(coh_buf_t *out,
                                coh_bytes_t raw,
                                coh_hash_t const *hash,
                                coh_addr_t const *sender);

/* coh_rpc_put_unsigned_tx appends a transaction without signature as geth's eth_fillTransaction shows it; hash: of its raw form. */
void coh_rpc_put_unsigned_tx(coh_buf_t *out, coh_tx_t const *tx, coh_hash_t const *hash);

/* An access list, of the payload of its RLP list (EIP-2930), which must be one. */
void coh_rpc_put_access_list(coh_buf_t *out, coh_bytes_t payload);

/* coh_rpc_receipt_needs_body: what receipt idx shows of blobs stands in its transaction. */
bool coh_rpc_receipt_needs_body(coh_sealed_t const *sealed, uint32_t idx);
void coh_rpc_put_receipt(coh_buf_t *out,
                         coh_rpc_block_t const *block,
                         uint32_t idx,
                         coh_genesis_t const *genesis);

/* What logs are looked for: of one of the addresses (any if none is named), with at each place one of the topics named (any if none is). */
#define COH_RPC_TOPIC_PLACES 4u
typedef struct {
    coh_addr_t *addrs; /* owned */
    uint32_t addr_cnt;
    coh_hash_t *topics; /* owned; those of all places one after another */
    uint32_t topic_cnt[COH_RPC_TOPIC_PLACES];
    uint32_t place_cnt; /* a log has at least so many topics */
} coh_rpc_filter_t;

void coh_rpc_filter_fini(coh_rpc_filter_t *filter);
/* coh_rpc_filter_may is false only if no log with this bloom passes. */
bool coh_rpc_filter_may(coh_rpc_filter_t const *filter, uint8_t const bloom[COH_BLOOM_SZ]);

/* coh_rpc_put_logs appends the logs of sealed that pass filter, each preceded by a comma unless *first, which it clears; stops once out is longer than
   max octets. Returns how many. */
uint32_t coh_rpc_put_logs(coh_buf_t *out,
                          coh_sealed_t const *sealed,
                          coh_rpc_filter_t const *filter,
                          size_t max,
                          bool *first);
/* coh_rpc_visit_logs does the same for a visitor: text is one log. removed: of a block that is gone. */
typedef void coh_rpc_log_fn(void *arg, coh_bytes_t text);
void coh_rpc_visit_logs(coh_sealed_t const *sealed,
                        coh_rpc_filter_t const *filter,
                        bool removed,
                        coh_rpc_log_fn *fn,
                        void *arg);

/* coh_rpc_put_log_list appends logs (as in coh_block_tx_t) as those of transaction idx of sealed; *log_idx: place in the block of the first, and then of the one behind the last. */
void coh_rpc_put_log_list(coh_buf_t *out,
                          coh_sealed_t const *sealed,
                          uint32_t idx,
                          coh_bytes_t logs,
                          uint32_t *log_idx);

/* Raw forms: a block's RLP (bodies needed), a receipt's (EIP-2718). Octets, not text. */
void coh_rpc_raw_block(coh_buf_t *out, coh_rpc_block_t const *block);
void coh_rpc_raw_receipt(coh_buf_t *out, coh_sealed_t const *sealed, uint32_t idx);

#endif
