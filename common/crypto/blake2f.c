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

#define ROTR(x, n) ((x) >> (n) | (x) << (64 - (n)))

/* RFC 7693, section 3.1, on four words of v and two of the message. */
#define MIX(a, b, c, d, x, y)         \
    do {                              \
        v##a += v##b + (x);           \
        v##d = ROTR(v##d ^ v##a, 32); \
        v##c += v##d;                 \
        v##b = ROTR(v##b ^ v##c, 24); \
        v##a += v##b + (y);           \
        v##d = ROTR(v##d ^ v##a, 16); \
        v##c += v##d;                 \
        v##b = ROTR(v##b ^ v##c, 63); \
    } while (0)

/* One round. The arguments are the row of RFC 7693, section 2.7, that says which message word each step takes. They are constants, so that
   v stays in registers and no index is looked up. */
#define ROUND(s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15) \
    do {                                                                            \
        MIX(0, 4, 8, 12, m[s0], m[s1]);                                             \
        MIX(1, 5, 9, 13, m[s2], m[s3]);                                             \
        MIX(2, 6, 10, 14, m[s4], m[s5]);                                            \
        MIX(3, 7, 11, 15, m[s6], m[s7]);                                            \
        MIX(0, 5, 10, 15, m[s8], m[s9]);                                            \
        MIX(1, 6, 11, 12, m[s10], m[s11]);                                          \
        MIX(2, 7, 8, 13, m[s12], m[s13]);                                           \
        MIX(3, 4, 9, 14, m[s14], m[s15]);                                           \
    } while (0)

void coh_blake2f(coh_blake2f_t *s, uint32_t rounds)
{
    uint64_t const *m = s->m;
    uint64_t *h       = s->h;
    uint64_t v0 = h[0], v1 = h[1], v2 = h[2], v3 = h[3];
    uint64_t v4 = h[4], v5 = h[5], v6 = h[6], v7 = h[7];
    uint64_t v8 = iv[0], v9 = iv[1], v10 = iv[2], v11 = iv[3];
    uint64_t v12 = iv[4] ^ s->t[0], v13 = iv[5] ^ s->t[1];
    uint64_t v14 = iv[6] ^ (s->final ? UINT64_MAX : 0), v15 = iv[7];
    /* Row i mod 10 in round i: the loop goes through all ten, and leaves where the rounds end. */
    for (uint32_t left = rounds; left != 0; left--) {
        ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        if (--left == 0) {
            break;
        }
        ROUND(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3);
        if (--left == 0) {
            break;
        }
        ROUND(11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4);
        if (--left == 0) {
            break;
        }
        ROUND(7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8);
        if (--left == 0) {
            break;
        }
        ROUND(9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13);
        if (--left == 0) {
            break;
        }
        ROUND(2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9);
        if (--left == 0) {
            break;
        }
        ROUND(12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11);
        if (--left == 0) {
            break;
        }
        ROUND(13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10);
        if (--left == 0) {
            break;
        }
        ROUND(6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5);
        if (--left == 0) {
            break;
        }
        ROUND(10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0);
    }
    h[0] ^= v0 ^ v8;
    h[1] ^= v1 ^ v9;
    h[2] ^= v2 ^ v10;
    h[3] ^= v3 ^ v11;
    h[4] ^= v4 ^ v12;
    h[5] ^= v5 ^ v13;
    h[6] ^= v6 ^ v14;
    h[7] ^= v7 ^ v15;
}
