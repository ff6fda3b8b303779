/* chain_store.h: the blocks in a data directory, while no cluster uses it: rank 0's decision records. And, for anybody who has such a record, the block in it as
   Ethereum writes it. */
#ifndef COH_CHAIN_STORE_H
#define COH_CHAIN_STORE_H

#include "common/chain/line.h"
#include "common/config/genesis.h"
#include "common/kv/kv.h"

typedef struct coh_chain_store coh_chain_store_t;

/* coh_chain_store_has tells whether dir holds data of rank 0. */
bool coh_chain_store_has(char const *dir);

/* coh_chain_store_open opens rank 0's store in dir, with its genesis: the copy in the folder or, where there is none, the file genesis_path (NULL: none).
   Returns: COH_OK; COH_ENOTFOUND there is no data, or no genesis; COH_ELOCKED a node uses it; errors of datadir.h, genesis.h; all with err_text */
coh_err_t coh_chain_store_open(coh_chain_store_t **out,
                               char const *dir,
                               char const *genesis_path,
                               coh_buf_t *err_text);
void coh_chain_store_close(coh_chain_store_t *store);

coh_genesis_t const *coh_chain_store_genesis(coh_chain_store_t const *store);
coh_kv_t *coh_chain_store_kv(coh_chain_store_t *store);
/* The last block; the genesis' number if there is no other. */
uint64_t coh_chain_store_head(coh_chain_store_t const *store);
/* The hash of block number, which may be the genesis'. COH_ENOTFOUND, COH_ECORRUPT, COH_EIO */
coh_err_t coh_chain_store_hash(coh_chain_store_t const *store, coh_hash_t *out, uint64_t number);
/* The entry of a block behind the genesis in table HEADERS, appended: its hash, its header. COH_ENOTFOUND, COH_EIO */
coh_err_t coh_chain_store_header(coh_chain_store_t const *store, coh_buf_t *out, uint64_t number);
/* coh_chain_store_line begins line at the head, so that it can go on there. Cost: reads the headers of all blocks.
   Returns: COH_OK; COH_ECORRUPT, COH_EIO with err_text */
coh_err_t coh_chain_store_line(coh_chain_store_t const *store,
                               coh_line_t *line,
                               coh_schedule_t const *schedule,
                               coh_buf_t *err_text);

/* coh_stored_block_read replaces record by the decision record of block number. COH_ENOTFOUND, COH_EIO. Any thread that kv allows. */
coh_err_t coh_stored_block_read(coh_kv_t *kv, coh_buf_t *record, uint64_t number);
/* coh_stored_block_put appends the block in a decision record: rlp([header, transactions, ommers]), with withdrawals since Shanghai. A block that Cohort produced has no ommers
   and no withdrawals. scratch is replaced.
   Returns: COH_OK; COH_ECORRUPT the record is damaged: nothing is appended */
coh_err_t coh_stored_block_put(coh_buf_t *out, coh_buf_t *scratch, coh_bytes_t record);

#endif
