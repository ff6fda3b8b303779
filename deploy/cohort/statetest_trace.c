#include "deploy/cohort/statetest_trace.h"

#include <inttypes.h>

#include "common/base/assert.h"
#include "common/base/hex.h"
#include "common/evm/evm.h"
#include "common/evm/opcodes.h"

static void put_word(coh_buf_t *out, coh_u256_t const *v)
{
    char text[COH_HEX_QUANTITY_SZ];
    (void)coh_hex_quantity(text, v);
    coh_buf_printf(out, "\"%s\"", text);
}

static void write_buf(FILE *file, coh_buf_t const *buf) { (void)fwrite(buf->p, 1, buf->n, file); }

/* Writes the pending line; error: how the instruction failed, NULL: it did not. */
static void flush(coh_statetest_tracer_t *t, uint64_t gas_cost, char const *error)
{
    if (!t->has_pending) {
        return;
    }
    t->has_pending = false;
    write_buf(t->file, &t->head);
    (void)fprintf(t->file, "\"gasCost\":\"0x%" PRIx64 "\",", gas_cost);
    write_buf(t->file, &t->tail);
    if (error != NULL) {
        (void)fprintf(t->file, ",\"error\":\"%s\"", error);
    }
    (void)fputs("}\n", t->file);
}

static void on_step(coh_tracer_t *tracer, coh_trace_step_t const *step)
{
    coh_statetest_tracer_t *t = (coh_statetest_tracer_t *)tracer;
    bool same_frame           = step->depth == t->depth && step->gas <= t->gas;
    flush(t, same_frame ? t->gas - step->gas : t->gas_cost, NULL);

    COH_ASSERT(step->depth < COH_STATETEST_DEPTH_MAX);
    if (!t->entered[step->depth]) {
        t->entered[step->depth]      = true;
        t->gas_at_entry[step->depth] = step->gas;
    }
    t->has_pending = true;
    t->depth       = step->depth;
    t->gas         = step->gas;
    t->gas_cost    = step->gas_cost;
    coh_buf_clear(&t->head);
    coh_buf_clear(&t->tail);
    coh_buf_printf(&t->head,
                   "{\"pc\":%" PRIu32 ",\"op\":%u,\"gas\":\"0x%" PRIx64 "\",",
                   step->pc,
                   step->opcode,
                   step->gas);
    coh_buf_printf(&t->tail, "\"memSize\":%zu,\"stack\":[", step->memory.n);
    for (uint32_t i = 0; i < step->stack_cnt; i++) {
        if (i != 0) {
            coh_buf_put_u8(&t->tail, ',');
        }
        put_word(&t->tail, &step->stack[i]);
    }
    coh_buf_printf(&t->tail,
                   "],\"depth\":%" PRIu32 ",\"refund\":%" PRId64 ",\"opName\":",
                   step->depth,
                   step->refund);
    char const *name = coh_opcode_name(step->opcode, t->fork);
    if (name != NULL) {
        coh_buf_printf(&t->tail, "\"%s\"", name);
    } else {
        coh_buf_printf(&t->tail, "\"opcode 0x%x not defined\"", step->opcode);
    }
}

static void on_exit_frame(coh_tracer_t *tracer,
                          uint32_t depth,
                          uint32_t status,
                          uint64_t gas_used,
                          coh_bytes_t output)
{
    coh_statetest_tracer_t *t = (coh_statetest_tracer_t *)tracer;
    coh_evm_status_t end      = (coh_evm_status_t)status;
    COH_ASSERT(depth < COH_STATETEST_DEPTH_MAX);
    bool failed = end != COH_EVM_SUCCESS && end != COH_EVM_REVERT;
    if (t->depth == depth) {
        /* What the frame has used tells what its last instruction took. */
        uint64_t before = t->gas_at_entry[depth] - t->gas;
        bool known      = !failed && t->entered[depth] && gas_used >= before;
        flush(t, known ? gas_used - before : t->gas_cost, failed ? coh_evm_status_str(end) : NULL);
    } else {
        flush(t, t->gas_cost, NULL);
    }
    t->entered[depth] = false;
    if (depth > 1) {
        return;
    }
    coh_buf_clear(&t->head);
    char *digits = (char *)coh_buf_extend(&t->head, output.n * 2 + 1);
    coh_hex_encode(digits, output.p, output.n);
    (void)fprintf(t->file, "{\"output\":\"%s\",\"gasUsed\":\"0x%" PRIx64 "\"", digits, gas_used);
    if (end != COH_EVM_SUCCESS) {
        (void)fprintf(t->file, ",\"error\":\"%s\"", coh_evm_status_str(end));
    }
    (void)fputs("}\n", t->file);
}

void coh_statetest_tracer_init(coh_statetest_tracer_t *t, FILE *file, coh_fork_t fork)
{
    *t = (coh_statetest_tracer_t){
        .tracer = {.step = on_step, .exit = on_exit_frame},
        .file   = file,
        .fork   = fork,
    };
}

void coh_statetest_tracer_fini(coh_statetest_tracer_t *t)
{
    coh_buf_free(&t->head);
    coh_buf_free(&t->tail);
}

void coh_statetest_trace_root(FILE *file, coh_hash_t const *root)
{
    char digits[65];
    coh_hex_encode(digits, root->b, sizeof(root->b));
    (void)fprintf(file, "{\"stateRoot\":\"0x%s\"}\n", digits);
}
