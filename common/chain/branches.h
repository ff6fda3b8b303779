/* branches.h: a chain of blocks in memory with its side branches, as official tests want it and as the reference replays exported chains: each block is validated and executed (execute.h) on its parent,
   whichever branch that is on; the head is chosen by total difficulty, and after the Merge it is the block that came last.

   The state is kept for one block; to come to another that does not follow it, execution begins again at the genesis. Octets of all blocks are kept.
   One thread at a time. */
#ifndef COH_BRANCHES_H
#define COH_BRANCHES_H

#include "common/chain/execute.h"
#include "common/chain/ommers.h"

typedef struct coh_branches coh_branches_t;

/* Fills the genesis state into mv; may be called several times. */
typedef void coh_branches_fill_fn(void *arg, coh_memview_t *mv);

/* Something else than the reference that executes blocks, and holds the state after the last one. */
typedef struct coh_branches_engine coh_branches_engine_t;
struct coh_branches_engine {
    /* Makes the state that of the genesis, again. False if it cannot, or if that has another root than its header says. */
    bool (*restart)(coh_branches_engine_t *engine);
    /* Executes a checked block on the state, as coh_execute_block does. */
    coh_block_fault_t const *(*execute)(coh_branches_engine_t *engine,
                                        coh_block_t const *block,
                                        coh_rules_t const *rules);
    /* The state, borrowed until the next call of any of these. */
    coh_memview_t *(*state)(coh_branches_engine_t *engine);
};

typedef struct {
    coh_schedule_t schedule;
    coh_header_t genesis;
    coh_fork_t genesis_shape;      /* earliest fork that has its fields */
    coh_branches_engine_t *engine; /* borrowed; NULL: the reference, for which is what follows */
    coh_world_roots_t roots;
    coh_branches_fill_fn *fill;
    void *fill_arg;
    coh_execute_t *executor; /* borrowed */
} coh_branches_config_t;

/* coh_branches_new makes a chain of the genesis alone. NULL if its state root is not that of the state. */
coh_branches_t *coh_branches_new(coh_branches_config_t const *config);
void coh_branches_free(coh_branches_t *b);

/* coh_branches_import validates, executes and adds a block (copied). One that is there already is fine.
   Returns: NULL; else what is wrong, and the chain is as it was. Valid until the next call */
coh_block_fault_t const *coh_branches_import(coh_branches_t *b, coh_bytes_t raw);

/* coh_branches_head is the head; valid until the next import. */
coh_ancestor_t const *coh_branches_head(coh_branches_t const *b);
/* coh_branches_state is the state after the head. */
coh_memview_t *coh_branches_state(coh_branches_t *b);

#endif
