#include "common/evm/evm.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/evm/evm_private.h"

/* Kept from message to message: this many frames, and this much memory of each. */
#define FRAMES_KEPT 16u
#define MEMORY_KEPT ((size_t)256 << 10)

char const *coh_evm_status_str(coh_evm_status_t status)
{
    static char const *const texts[COH_EVM_STATUS_CNT] = {
#define COH_EVM_STATUS(name, text) [COH_EVM_##name] = (text),
#include "common/evm/evm_status.def"
#undef COH_EVM_STATUS
    };
    return (unsigned)status < COH_EVM_STATUS_CNT ? texts[status] : "unknown";
}

coh_evm_t *coh_evm_new(void) { return coh_calloc(1, sizeof(coh_evm_t)); }

static void drop_code(coh_evm_t *evm)
{
    while (evm->depth != 0) {
        coh_frame_t *f = evm->frames[--evm->depth];
        if (f->owns_code) {
            coh_code_unref(f->code);
        }
    }
}

/* Gives back what only an unusual message needed, from frame first on. */
static void trim(coh_evm_t *evm, uint32_t first)
{
    for (uint32_t i = first; i < evm->depth_max; i++) {
        coh_frame_t *f = evm->frames[i];
        if (i >= FRAMES_KEPT) {
            free(f->mem);
            free(f);
            evm->frames[i] = NULL;
        } else if (f->mem_cap > MEMORY_KEPT) {
            free(f->mem);
            f->mem     = NULL;
            f->mem_cap = 0;
        }
    }
    evm->depth_max = COH_MIN(evm->depth_max, first);
}

void coh_evm_free(coh_evm_t *evm)
{
    if (evm == NULL) {
        return;
    }
    drop_code(evm);
    for (size_t i = 0; i < COH_CNT(evm->frames); i++) {
        if (evm->frames[i] != NULL) {
            free(evm->frames[i]->mem);
            free(evm->frames[i]);
        }
    }
    coh_buf_free(&evm->precompiled);
    free(evm);
}

void coh_evm_set_loop(coh_evm_t *evm, coh_evm_loop_t loop) { evm->loop = loop; }

void coh_evm_set_slice(coh_evm_t *evm, uint64_t instructions) { evm->slice = instructions; }

void coh_evm_begin(coh_evm_t *evm,
                   coh_evm_env_t const *env,
                   coh_state_t *state,
                   coh_evm_message_t const *msg)
{
    drop_code(evm);
    trim(evm, 0);
    if (evm->precompiled.cap > MEMORY_KEPT) {
        coh_buf_free(&evm->precompiled);
    }
    evm->env         = env;
    evm->block       = env->block;
    evm->fork        = env->block->fork;
    evm->rows        = coh_opcode_rows(evm->fork);
    evm->tracer      = env->tracer;
    evm->state       = state;
    evm->msg         = *msg;
    evm->started     = false;
    evm->return_data = (coh_bytes_t){0};
}

coh_evm_run_t coh_evm_run(coh_evm_t *evm)
{
    evm->slice_left = evm->slice != 0 ? evm->slice : UINT64_MAX;
    if (!evm->started) {
        if (coh_call_message(evm) == COH_CALL_NEED) {
            return COH_EVM_NEED;
        }
        evm->started = true;
    }
    bool by_switch = evm->loop == COH_EVM_SWITCH || evm->tracer != NULL;
    while (evm->depth != 0) {
        coh_frame_t *f  = evm->frames[evm->depth - 1];
        coh_exit_t exit = by_switch ? coh_interp_switch(evm, f) : coh_interp_fast(evm, f);
        if (exit == COH_EXIT_NEED) {
            return COH_EVM_NEED;
        }
        if (exit == COH_EXIT_END) {
            coh_call_return(evm);
        }
    }
    trim(evm, 1); /* the output is in the first one's memory */
    return COH_EVM_DONE;
}

coh_evm_result_t const *coh_evm_result(coh_evm_t const *evm) { return &evm->result; }

size_t coh_evm_bytes(coh_evm_t const *evm)
{
    size_t bytes = evm->precompiled.cap;
    for (size_t i = 0; i < COH_CNT(evm->frames) && evm->frames[i] != NULL; i++) {
        bytes += sizeof(coh_frame_t) + evm->frames[i]->mem_cap;
    }
    for (size_t i = 0; i < evm->depth; i++) {
        bytes += evm->frames[i]->owns_code ? coh_code_bytes(evm->frames[i]->code) : 0;
    }
    return bytes;
}
