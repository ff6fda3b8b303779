/* utf8.h: text that may not be what it claims to be. */
#ifndef COH_UTF8_H
#define COH_UTF8_H

#include "common/base/base.h"

/* coh_utf8_len tells how many of the n octets (at least one) at p are the UTF-8 character that begins there: 1 to 4; 0 if none does (RFC 3629:
   no surrogates, no overlong forms, nothing above U+10FFFF). */
size_t coh_utf8_len(uint8_t const *p, size_t n);

#endif
