/* rpcworld.h: the JSON-RPC face over a chain that the test lays down, without sockets, threads or a coordinator: what it asks waits until the test lets it
   be answered, from the blocks added, as the coordinator would. */
#ifndef COH_TEST_RPCWORLD_H
#define COH_TEST_RPCWORLD_H

#include "coordinator/gateway/rpc.h"

/* A transaction of a block that is added. */
typedef struct {
    coh_bytes_t raw;
    coh_addr_t sender;
    uint32_t status;
    uint64_t gas_used;
    coh_bytes_t logs;
} coh_rpcworld_tx_t;

typedef struct {
    coh_config_t config;
    coh_genesis_t genesis; /* the test's; not freed here */
    coh_rpc_t *rpc;
    coh_rpc_peer_t *peer; /* subscribes, is trusted */
    coh_buf_t *records;   /* decision records of blocks, from the first on; owned */
    coh_sealed_t **blocks;
    uint32_t block_cnt;
    uint64_t first;
    coh_bytes_t extra; /* what blocks that are added have behind their transactions; borrowed */
    bool
        on_disk; /* blocks come as records even where bodies are not wanted, and transactions without their block */
    coh_ask_t *asks;     /* posted, not answered */
    uint32_t ask_cnt;    /* posted so far... */
    uint32_t submit_cnt; /* ...and transactions handed in... */
    uint32_t batch_cnt;  /* ...in so many batches */
    bool wants_pooled;
    coh_tx_err_t verdict;              /* of transactions handed in */
    coh_msg_call_result_t call_result; /* what calls end with; borrowed */
    uint64_t oldest;                   /* block whose state is remembered */
    coh_err_t proof_err;               /* of proofs; if it is COH_OK... */
    coh_op_get_proof_answer_t proof;   /* ...what they say; each slot has its nodes; borrowed */
    coh_msg_call_t call;               /* the last one asked for, without its lists, of which... */
    coh_buf_t call_tx;                 /* ...the last transaction's raw form... */
    coh_rec_override_t
        call_override; /* ...and the first overrides are here; code: only its length */
    coh_rec_override_slot_t call_slot;
    coh_rec_call_env_t call_last_env; /* of the last transaction, if it has one of its own */
    uint32_t call_cnt;
    coh_err_t root_err;        /* of supposed state roots; if it is COH_OK... */
    coh_hash_t root;           /* ...what they are */
    uint32_t root_cnt;         /* asked for so far, the last one with... */
    uint32_t root_account_cnt; /* ...so many accounts */
    uint64_t now_us;
    char *answer; /* the last one, NUL-terminated; owned */
    uint32_t answer_cnt;
    char **notes; /* notifications; owned */
    uint32_t note_cnt;
} coh_rpcworld_t;

/* coh_rpcworld_init starts with defaults and no block; change config before the first call. */
void coh_rpcworld_init(coh_rpcworld_t *w, coh_genesis_t const *genesis);
/* coh_rpcworld_init_dev: with the methods of a dev chain, whose coordinator does nothing and answers that it is done. */
void coh_rpcworld_init_dev(coh_rpcworld_t *w, coh_genesis_t const *genesis);
void coh_rpcworld_fini(coh_rpcworld_t *w);
/* coh_rpcworld_add makes a block the new head, by its header's RLP. The sum of gas_used must be the header's. */
void coh_rpcworld_add(coh_rpcworld_t *w,
                      coh_bytes_t header,
                      coh_fork_t fork,
                      coh_rpcworld_tx_t const *txs,
                      uint32_t cnt);
/* coh_rpcworld_go_back takes the cnt last blocks away, as a dev chain does. */
void coh_rpcworld_go_back(coh_rpcworld_t *w, uint32_t cnt);
/* coh_rpcworld_answer answers all that is asked, until nothing is. */
void coh_rpcworld_answer(coh_rpcworld_t *w);
/* coh_rpcworld_call sends one request and returns its answer, valid until the next. */
char const *coh_rpcworld_call(coh_rpcworld_t *w, char const *request);

#endif
