/* base.h: the few types and macros that every file of Cohort may use.

   Byte strings travel as coh_bytes_t, a borrowed pointer with its length: it never owns, and is valid
   as long as what it points into. Fixed-size values (hash, address) are plain structs, copied freely. */
#ifndef COH_BASE_H
#define COH_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define COH_LIKELY(x)         __builtin_expect(!!(x), 1)
#define COH_UNLIKELY(x)       __builtin_expect(!!(x), 0)
#define COH_CNT(a)            (sizeof(a) / sizeof((a)[0]))
#define COH_CACHE_LINE        64
#define COH_ALIGNED(n)        __attribute__((aligned(n)))
#define COH_UNUSED            __attribute__((unused))
#define COH_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define COH_MIN(a, b)         ((a) < (b) ? (a) : (b))
#define COH_MAX(a, b)         ((a) > (b) ? (a) : (b))

_Static_assert(sizeof(void *) == 8, "64-bit targets only");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "little-endian targets only");

/* A borrowed run of bytes. p may be NULL only if n is 0. */
typedef struct {
    uint8_t const *p;
    size_t n;
} coh_bytes_t;

typedef struct {
    uint8_t b[32];
} coh_hash_t;

typedef struct {
    uint8_t b[20];
} coh_addr_t;

static inline coh_bytes_t coh_bytes(void const *p, size_t n)
{
    return (coh_bytes_t){.p = p, .n = n};
}

static inline bool coh_bytes_eq(coh_bytes_t a, coh_bytes_t b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool coh_hash_eq(coh_hash_t const *a, coh_hash_t const *b)
{
    return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

static inline bool coh_addr_eq(coh_addr_t const *a, coh_addr_t const *b)
{
    return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

/* Fixed-width integers at unaligned places; _be for keys that must sort by value, _le elsewhere. */
static inline uint64_t coh_load_u64_le(uint8_t const *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static inline uint64_t coh_load_u64_be(uint8_t const *p)
{
    return __builtin_bswap64(coh_load_u64_le(p));
}

static inline uint32_t coh_load_u32_le(uint8_t const *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static inline void coh_store_u64_le(uint8_t *p, uint64_t v) { memcpy(p, &v, sizeof(v)); }

static inline void coh_store_u32_be(uint8_t *p, uint32_t v)
{
    v = __builtin_bswap32(v);
    memcpy(p, &v, sizeof(v));
}

static inline uint32_t coh_load_u32_be(uint8_t const *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return __builtin_bswap32(v);
}

static inline void coh_store_u64_be(uint8_t *p, uint64_t v)
{
    coh_store_u64_le(p, __builtin_bswap64(v));
}

static inline void coh_store_u32_le(uint8_t *p, uint32_t v) { memcpy(p, &v, sizeof(v)); }

/* A cheap, well-mixing 64-bit finaliser (splitmix64). Not for anything that an adversary may aim at
   without a secret seed mixed in. */
static inline uint64_t coh_mix64(uint64_t x)
{
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

#endif
