/* fuzz.h: the one entry of every fuzzer, as libFuzzer defines it. A fuzzer checks what must hold
   for any input by COH_ASSERT, returns 0, and keeps no state between calls. */
#ifndef COH_TEST_FUZZ_H
#define COH_TEST_FUZZ_H

#include "common/base/base.h"

int LLVMFuzzerTestOneInput(uint8_t const *data, size_t size);

#endif
