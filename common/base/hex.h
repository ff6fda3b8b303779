/* hex.h: bytes as text. */
#ifndef COH_HEX_H
#define COH_HEX_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/u256.h"

/* coh_hex_encode writes 2n lower-case digits and a NUL to out; no prefix. */
void coh_hex_encode(char *out, void const *p, size_t n);

/* coh_hex_quantity writes v as JSON-RPC has quantities: 0x, lower-case digits without leading zeros, at least one, and a NUL. Returns how many characters, without the NUL. */
#define COH_HEX_QUANTITY_SZ 67u
size_t coh_hex_quantity(char out[COH_HEX_QUANTITY_SZ], coh_u256_t const *v);

/* coh_hex_decode reads exactly n bytes from text of len characters, with or without 0x.
   Returns: COH_OK; COH_EMALFORMED wrong length or a character that is no digit */
coh_err_t coh_hex_decode(uint8_t *out, size_t n, char const *text, size_t len);

/* coh_hex_append decodes any even number of digits and appends the bytes to out (unchanged on failure). */
coh_err_t coh_hex_append(coh_buf_t *out, char const *text, size_t len);

#endif
