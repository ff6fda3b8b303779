/* checksum.h: a fast 64-bit checksum against accidents on records that we write and read ourselves (not against forgers). */
#ifndef COH_CHECKSUM_H
#define COH_CHECKSUM_H

#include "common/base/base.h"

/* coh_checksum64 covers length and content: two 64-bit lanes, each multiplied by an odd constant and folded, per 16 octets. */
static inline uint64_t coh_checksum64(void const *p, size_t n)
{
    uint8_t const *b = p;
    uint64_t h0      = UINT64_C(0x243f6a8885a308d3) ^ n;
    uint64_t h1      = UINT64_C(0x13198a2e03707344);
    size_t left      = n;
    for (; left >= 16; left -= 16, b += 16) {
        h0 = (h0 ^ coh_load_u64_le(b)) * UINT64_C(0x9e3779b97f4a7c15);
        h0 ^= h0 >> 32;
        h1 = (h1 ^ coh_load_u64_le(b + 8)) * UINT64_C(0xc2b2ae3d27d4eb4f);
        h1 ^= h1 >> 29;
    }
    uint8_t tail[16] = {0};
    if (left != 0) {
        memcpy(tail, b, left);
    }
    h0 = (h0 ^ coh_load_u64_le(tail)) * UINT64_C(0x9e3779b97f4a7c15);
    h1 = (h1 ^ coh_load_u64_le(tail + 8)) * UINT64_C(0xc2b2ae3d27d4eb4f);
    return coh_mix64(h0 ^ coh_mix64(h1));
}

#endif
