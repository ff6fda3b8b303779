#include "tests/support/realblocks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/evm/code.h"

size_t coh_test_realblocks(char const *what,
                           void (*fn)(void *arg, coh_test_realblock_t const *recording),
                           void *arg)
{
    char const *dir = coh_test_data_dir();
    if (dir == NULL) {
        coh_test_skip(what);
        return 0;
    }
    char **files;
    size_t cnt = coh_test_files(&files, dir, "realblocks", ".json");
    for (size_t i = 0; i < cnt; i++) {
        coh_test_realblock_t r = {.path = files[i], .root = coh_test_json(files[i])};
        coh_buf_t why          = COH_BUF_INIT;
        if (coh_realblock_load(&r.block, files[i], &why) != COH_OK) {
            fail_msg("%s: %.*s", files[i], (int)why.n, (char const *)why.p);
        }
        fn(arg, &r);
        coh_realblock_free(&r.block);
        json_decref(r.root);
    }
    coh_test_files_free(files);
    return cnt;
}

static void block_hash(void *arg, coh_u256_t *out, uint64_t number)
{
    coh_realblock_t const *block = arg;
    uint64_t back                = block->number - number;
    *out                         = COH_U256_ZERO;
    if (back >= 1 && back <= COH_CNT(block->ancestors)) {
        coh_hash_t const *hash = &block->ancestors[COH_CNT(block->ancestors) - back];
        *out                   = coh_u256_from_be(hash->b, sizeof(hash->b));
    }
}

coh_memview_t *coh_test_load_pre(coh_realblock_t const *block)
{
    coh_memview_t *mv = coh_memview_new(&coh_code_coder, block->fork);
    coh_memview_put_alloc(mv, block->accounts, block->account_cnt);
    coh_memview_set_block_hash(mv, block_hash, (void *)(uintptr_t)block);
    return mv;
}
