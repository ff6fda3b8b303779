/* evmasm.h: contract code from readable text, for tests. Words are separated by blanks:

       ADD          an instruction by its name
       5  0xff      a number: the shortest push of it, PUSH1 for 0
       PUSH3 5      a push of that width
       loop:        a JUMPDEST, called so
       @loop        PUSH2 with where it is
       .600c        octets as they are */
#ifndef COH_TEST_EVMASM_H
#define COH_TEST_EVMASM_H

#include "common/base/buf.h"

/* coh_test_asm replaces out's contents by the code that text says; stops on a word that it does not know. */
void coh_test_asm(coh_buf_t *out, char const *text);

#endif
