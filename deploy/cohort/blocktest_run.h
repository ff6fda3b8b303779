/* blocktest_run.h: runs a case of an official blockchain test and holds what comes of it against what is expected. Judging does not know how blocks are executed:
   an engine does that; the one here is the sequential reference (common/chain). */
#ifndef COH_BLOCKTEST_RUN_H
#define COH_BLOCKTEST_RUN_H

#include "common/chain/branches.h"
#include "deploy/cohort/blocktest_case.h"
#include "deploy/cohort/vector_layout.h"

typedef struct {
    coh_evm_loop_t loop;
    bool stutter;        /* each first read of a key is answered by "not at hand" (memview.h) */
    bool incremental;    /* state roots from incremental tries, instead of computed anew */
    uint64_t timeout_us; /* a case that takes longer fails; 0: none */
    coh_vector_layout_t layout; /* if it is set, in a cluster */
} coh_blocktest_options_t;

/* Executes the blocks of one case after the other. */
typedef struct coh_blocktest_engine coh_blocktest_engine_t;
struct coh_blocktest_engine {
    /* Begins a case: a chain of its genesis, decoded, alone. False, with the reason in why, if it is none. */
    bool (*open)(coh_blocktest_engine_t *engine,
                 coh_blocktest_case_t const *test,
                 coh_block_t const *genesis,
                 coh_buf_t *why);
    /* Imports a block: NULL, or what is wrong. */
    coh_block_fault_t const *(*import)(coh_blocktest_engine_t *engine, coh_bytes_t raw);
    /* The hash of the head, and the state after it (borrowed until close). */
    coh_hash_t (*head)(coh_blocktest_engine_t *engine);
    coh_memview_t *(*state)(coh_blocktest_engine_t *engine);
    /* Ends a case; also one whose open failed. What failed beside the blocks is appended to why. */
    void (*close)(coh_blocktest_engine_t *engine, coh_buf_t *why);
    void (*free)(coh_blocktest_engine_t *engine);
};

/* The reference; and a cluster of the layout in options. */
coh_blocktest_engine_t *coh_blocktest_sequential(coh_blocktest_options_t const *options);
coh_blocktest_engine_t *coh_blocktest_clustered(coh_blocktest_options_t const *options);

typedef struct {
    bool pass;
    coh_hash_t head;
    coh_hash_t root;
    uint32_t valid_cnt; /* blocks */
    uint32_t invalid_cnt;
    uint64_t elapsed_us;
    coh_buf_t why;  /* what is wrong, one line of text */
    coh_buf_t diff; /* first differences of the states, lines; empty if the file has no state */
} coh_blocktest_result_t;

/* coh_blocktest_run runs one case on engine. out need not be initialised; release it with coh_blocktest_result_free. */
void coh_blocktest_run(coh_blocktest_engine_t *engine,
                       coh_blocktest_result_t *out,
                       coh_blocktest_case_t const *test,
                       coh_blocktest_options_t const *options);
void coh_blocktest_result_free(coh_blocktest_result_t *result);

#endif
