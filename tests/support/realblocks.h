/* realblocks.h: recorded blocks of real networks as fixtures: read by the program's own loader, and as JSON for what a test expects of them. All
   functions are for one thread, and fail the test where a recording is damaged. */
#ifndef COH_TEST_REALBLOCKS_H
#define COH_TEST_REALBLOCKS_H

#include "common/state/memview.h"
#include "deploy/cohort/realblock.h"
#include "tests/support/data.h"

typedef struct {
    char const *path;
    json_t *root;
    coh_realblock_t block;
} coh_test_realblock_t;

/* coh_test_realblocks calls fn with every recording. Says through coh_test_skip that what was not run if there is no data.
   Returns: how many there were */
size_t coh_test_realblocks(char const *what,
                           void (*fn)(void *arg, coh_test_realblock_t const *recording),
                           void *arg);

/* coh_test_load_pre: the state before the block, which answers BLOCKHASH too; borrows from block until it is freed with coh_memview_free. */
coh_memview_t *coh_test_load_pre(coh_realblock_t const *block);

#endif
