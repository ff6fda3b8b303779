/* evmput.h: contract code instruction by instruction, for tests that draw it; code that is known beforehand is easier read as text (evmasm.h). */
#ifndef COH_TEST_EVMPUT_H
#define COH_TEST_EVMPUT_H

#include "common/base/buf.h"
#include "common/evm/opcodes.h"

/* asm_push pushes a number, in as few octets as hold it. */
void asm_push(coh_buf_t *out, uint64_t v);
void asm_push_addr(coh_buf_t *out, coh_addr_t const *addr);
/* asm_op appends one instruction, by its octet. */
static inline void asm_op(coh_buf_t *out, uint8_t op) { coh_buf_put_u8(out, op); }

/* asm_jumpi jumps forward if the top of the stack is not zero; asm_land, given what it returned, says where to. */
size_t asm_jumpi(coh_buf_t *out);
void asm_land(coh_buf_t *out, size_t jump);

/* asm_init_code appends code that deploys runtime. */
void asm_init_code(coh_buf_t *out, coh_bytes_t runtime);

#endif
