/* nibbles.h: paths in a trie: half octets of keys, the upper one first, and their hex-prefix form (Yellow Paper, Appendix C). */
#ifndef COH_NIBBLES_H
#define COH_NIBBLES_H

#include "common/base/base.h"
#include "common/base/err.h"

/* Nibbles of a key that is a keccak256: the depth of a state or storage trie. */
#define COH_DEPTH_MAX 64u
/* Longest key, in octets, that has a hex-prefix form here. */
#define COH_HEX_PREFIX_KEY_MAX 64u

static inline uint32_t coh_nibble(uint8_t const *key, size_t i)
{
    return i % 2 == 0 ? (uint32_t)key[i / 2] >> 4 : (uint32_t)key[i / 2] & 15;
}

static inline void coh_nibble_set(uint8_t *key, size_t i, uint32_t nibble)
{
    uint32_t octet = key[i / 2];
    key[i / 2]     = (uint8_t)(i % 2 == 0 ? (octet & 15) | nibble << 4 : (octet & 0xf0) | nibble);
}

/* The first nibble of from..to in which a and b differ; to if there is none. */
static inline size_t coh_nibbles_fork(uint8_t const *a, uint8_t const *b, size_t from, size_t to)
{
    while (from < to && coh_nibble(a, from) == coh_nibble(b, from)) {
        from += from % 2 == 0 && from + 1 < to && a[from / 2] == b[from / 2] ? 2 : 1;
    }
    return from;
}

/* coh_hex_prefix_put writes the nibbles from..to of key in hex-prefix form.
   Out: out    room for (to - from) / 2 + 1 octets
   Returns: how many octets */
static inline size_t coh_hex_prefix_put(uint8_t *out,
                                        uint8_t const *key,
                                        size_t from,
                                        size_t to,
                                        bool is_leaf)
{
    uint32_t odd = (to - from) % 2;
    size_t n     = (to - from) / 2;
    out[0]       = (uint8_t)((is_leaf ? 0x20u : 0) | odd << 4 | (odd ? coh_nibble(key, from) : 0));
    from += odd;
    if (from % 2 == 0) {
        if (n != 0) {
            memcpy(out + 1, key + from / 2, n);
        }
    } else {
        for (size_t i = 0; i < n; i++) {
            uint8_t const *pair = key + from / 2 + i;
            out[1 + i]          = (uint8_t)(pair[0] << 4 | pair[1] >> 4);
        }
    }
    return n + 1;
}

/* coh_hex_prefix_get reads one back as a key that begins at nibble 0.
   Out: path   room for in.n - 1 octets and one more; nibbles beyond *cnt are 0
   Returns: COH_OK; COH_EMALFORMED */
static inline coh_err_t coh_hex_prefix_get(uint8_t *path,
                                           size_t *cnt,
                                           bool *is_leaf,
                                           coh_bytes_t in)
{
    if (in.n == 0 || in.n > COH_HEX_PREFIX_KEY_MAX + 1 || in.p[0] >= 0x40 ||
        ((in.p[0] & 0x10) == 0 && (in.p[0] & 15) != 0)) {
        return COH_EMALFORMED;
    }
    uint32_t odd = in.p[0] >> 4 & 1;
    *is_leaf     = (in.p[0] & 0x20) != 0;
    *cnt         = (in.n - 1) * 2 + odd;
    memset(path, 0, in.n);
    if (odd == 0) {
        memcpy(path, in.p + 1, in.n - 1);
        return COH_OK;
    }
    coh_nibble_set(path, 0, in.p[0] & 15);
    for (size_t i = 1; i < *cnt; i++) {
        coh_nibble_set(path, i, coh_nibble(in.p, i + 1));
    }
    return COH_OK;
}

#endif
