#include "common/crypto/blake2f.h"

/* RFC 7693, section 2.6: the same as SHA-512's. */
static uint64_t const iv[8] = {
    UINT64_C(0x6a09e667f3bcc908),
    UINT64_C(0xbb67ae8584caa73b),
    UINT64_C(0x3c6ef372fe94f82b),
    UINT64_C(0xa54ff53a5f1d36f1),
    UINT64_C(0x510e527fade682d1),
    UINT64_C(0x9b05688c2b3e6c1f),
    UINT64_C(0x1f83d9abfb41bd6b),
    UINT64_C(0x5be0cd19137e2179),
};

/* RFC 7693, section 2.7: the message word that each step of a round takes; round i uses row i mod 10. */
static uint8_t const sigma[10][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
    {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
    {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
    {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
    {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

#define ROTR(x, n) ((x) >> (n) | (x) << (64 - (n)))

/* RFC 7693, section 3.1, on four words of v and two of the message. */
#define MIX(a, b, c, d, x, y)         \
    do {                              \
        v[a] += v[b] + (x);           \
        v[d] = ROTR(v[d] ^ v[a], 32); \
        v[c] += v[d];                 \
        v[b] = ROTR(v[b] ^ v[c], 24); \
        v[a] += v[b] + (y);           \
        v[d] = ROTR(v[d] ^ v[a], 16); \
        v[c] += v[d];                 \
        v[b] = ROTR(v[b] ^ v[c], 63); \
    } while (0)

void coh_blake2f(coh_blake2f_t *s, uint32_t rounds)
{
    uint64_t v[16];
    uint64_t const *m = s->m;
    memcpy(v, s->h, sizeof(s->h));
    memcpy(v + 8, iv, sizeof(iv));
    v[12] ^= s->t[0];
    v[13] ^= s->t[1];
    v[14] ^= s->final ? UINT64_MAX : 0;
    uint32_t row = 0;
    for (uint32_t i = 0; i < rounds; i++) {
        uint8_t const *w = sigma[row];
        MIX(0, 4, 8, 12, m[w[0]], m[w[1]]);
        MIX(1, 5, 9, 13, m[w[2]], m[w[3]]);
        MIX(2, 6, 10, 14, m[w[4]], m[w[5]]);
        MIX(3, 7, 11, 15, m[w[6]], m[w[7]]);
        MIX(0, 5, 10, 15, m[w[8]], m[w[9]]);
        MIX(1, 6, 11, 12, m[w[10]], m[w[11]]);
        MIX(2, 7, 8, 13, m[w[12]], m[w[13]]);
        MIX(3, 4, 9, 14, m[w[14]], m[w[15]]);
        row = row == 9 ? 0 : row + 1;
    }
    for (size_t i = 0; i < 8; i++) {
        s->h[i] ^= v[i] ^ v[i + 8];
    }
}
