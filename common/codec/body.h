/* body.h: whole blocks as they travel between Ethereum nodes and lie in exported chains: rlp([header, transactions, ommers]), with [withdrawals] behind it
   since Shanghai (EIP-4895). A decoded block borrows from its octets; its lists are walked, and what they hold is decoded where it is wanted. */
#ifndef COH_BODY_H
#define COH_BODY_H

#include "common/codec/block.h"
#include "common/codec/receipt.h"
#include "common/codec/rlp.h"

/* EIP-7934: largest block since Osaka, in octets: 10 MiB less a margin of 2 MiB. */
#define COH_BLOCK_RLP_MAX ((size_t)8388608)

typedef struct {
    coh_bytes_t raw; /* all of it */
    coh_header_t header;
    coh_fork_t header_fork; /* earliest that has the header's fields */
    coh_hash_t hash;        /* keccak256 of the header */
    coh_bytes_t txs;        /* payloads of the lists */
    coh_bytes_t ommers;
    coh_bytes_t withdrawals;
    coh_hash_t ommers_hash; /* keccak256 of the list of ommers */
    uint32_t tx_cnt;
    uint32_t ommer_cnt;
    uint32_t withdrawal_cnt;
    bool has_withdrawals; /* there is a list of them */
} coh_block_t;

/* coh_block_decode reads one that fills raw. The form of headers, ommers' too, and of withdrawals is checked; transactions are only told apart.
   Returns: COH_OK; COH_ETOOBIG extra data of a header is too long; COH_EMALFORMED, COH_ETRUNCATED */
coh_err_t coh_block_decode(coh_block_t *out, coh_bytes_t raw);

/* coh_block_next_raw finds the next block in octets that hold many, one behind the other, and moves *at past it.
   Returns: COH_OK; COH_ENOTFOUND at the end; COH_EMALFORMED, COH_ETRUNCATED */
coh_err_t coh_block_next_raw(coh_bytes_t *out, coh_bytes_t chain, size_t *at);

/* Cursors over a decoded block's lists, and their next items; false at the end. A transaction is handed out in its raw form (EIP-2718), an ommer as
   its header's RLP. */
coh_rlp_t coh_block_tx_iter(coh_block_t const *block);
bool coh_block_tx_next(coh_rlp_t *list, coh_bytes_t *raw);
coh_rlp_t coh_block_ommer_iter(coh_block_t const *block);
bool coh_block_ommer_next(coh_rlp_t *list, coh_bytes_t *raw);
coh_rlp_t coh_block_withdrawal_iter(coh_block_t const *block);
bool coh_block_withdrawal_next(coh_rlp_t *list, coh_withdrawal_t *out);

/* coh_block_put appends a block: of fork's header, cnt raw transactions, ommers (payload of their list), and since Shanghai withdrawals (likewise). */
void coh_block_put(coh_buf_t *out,
                   coh_header_t const *header,
                   coh_fork_t fork,
                   coh_bytes_t const *txs,
                   size_t tx_cnt,
                   coh_bytes_t ommers,
                   coh_bytes_t withdrawals);

#endif
