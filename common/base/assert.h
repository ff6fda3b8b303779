/* assert.h: the net under our own mistakes. COH_ASSERT is always compiled in and cheap; COH_DASSERT may
   walk whole structures and is on in debug, asan and tsan builds. Input from clients, peers or disk is never
   asserted: it is returned as an error. */
#ifndef COH_ASSERT_H
#define COH_ASSERT_H

#include "common/base/base.h"

typedef void coh_assert_hook_t(char const *expr, char const *file, int line, char const *func);

/* coh_assert_set_hook installs what runs before the process aborts (log the rank and block, say). NULL removes it. */
void coh_assert_set_hook(coh_assert_hook_t *hook);

__attribute__((noreturn, cold)) void coh_assert_fail(char const *expr,
                                                     char const *file,
                                                     int line,
                                                     char const *func);

#define COH_ASSERT(x) (COH_LIKELY(x) ? (void)0 : coh_assert_fail(#x, __FILE__, __LINE__, __func__))

#ifdef COH_DEEP_CHECKS
#define COH_DASSERT(x) COH_ASSERT(x)
#else
#define COH_DASSERT(x) ((void)sizeof(!(x)))
#endif

#endif
