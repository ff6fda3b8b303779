#include "common/crypto/keccak.h"

#include <stdatomic.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* Octets absorbed per permutation: 1600 bits less twice the digest's. */
enum { RATE = 136, WORD_CNT = 25, RATE_WORDS = RATE / 8, LANES_MAX = 8 };

static uint64_t const round_constants[24] = {
    UINT64_C(0x0000000000000001), UINT64_C(0x0000000000008082), UINT64_C(0x800000000000808a),
    UINT64_C(0x8000000080008000), UINT64_C(0x000000000000808b), UINT64_C(0x0000000080000001),
    UINT64_C(0x8000000080008081), UINT64_C(0x8000000000008009), UINT64_C(0x000000000000008a),
    UINT64_C(0x0000000000000088), UINT64_C(0x0000000080008009), UINT64_C(0x000000008000000a),
    UINT64_C(0x000000008000808b), UINT64_C(0x800000000000008b), UINT64_C(0x8000000000008089),
    UINT64_C(0x8000000000008003), UINT64_C(0x8000000000008002), UINT64_C(0x8000000000000080),
    UINT64_C(0x000000000000800a), UINT64_C(0x800000008000000a), UINT64_C(0x8000000080008081),
    UINT64_C(0x8000000000008080), UINT64_C(0x0000000080000001), UINT64_C(0x8000000080008008),
};

#define SCALAR_ROL(a, n) ((a) << (n) | (a) >> ((64 - (n)) & 63))

#define KECCAK_NAME permute_x1
#define KECCAK_TARGET
#define KECCAK_LANE          uint64_t
#define KECCAK_LOAD(i)       st[i]
#define KECCAK_STORE(i, v)   st[i] = (v)
#define KECCAK_XOR(a, b)     ((a) ^ (b))
#define KECCAK_XOR3(a, b, c) ((a) ^ (b) ^ (c))
#define KECCAK_ROL(a, n)     SCALAR_ROL(a, n)
#define KECCAK_CHI(a, b, c)  ((a) ^ (~(b) & (c)))
#define KECCAK_RC(v)         (v)
#include "common/crypto/keccak_permute.h"

#if defined(__x86_64__)

/* The same with ANDN for chi and RORX, which saves the copies that two-operand rotations need. */
#define KECCAK_NAME          permute_x1_bmi
#define KECCAK_TARGET        __attribute__((target("bmi,bmi2")))
#define KECCAK_LANE          uint64_t
#define KECCAK_LOAD(i)       st[i]
#define KECCAK_STORE(i, v)   st[i] = (v)
#define KECCAK_XOR(a, b)     ((a) ^ (b))
#define KECCAK_XOR3(a, b, c) ((a) ^ (b) ^ (c))
#define KECCAK_ROL(a, n)     SCALAR_ROL(a, n)
#define KECCAK_CHI(a, b, c)  ((a) ^ (~(b) & (c)))
#define KECCAK_RC(v)         (v)
#include "common/crypto/keccak_permute.h"

#define AVX2_ROL(a, n) _mm256_or_si256(_mm256_slli_epi64(a, n), _mm256_srli_epi64(a, 64 - (n)))

#define KECCAK_NAME          permute_x4
#define KECCAK_TARGET        __attribute__((target("avx2")))
#define KECCAK_LANE          __m256i
#define KECCAK_LOAD(i)       _mm256_load_si256((__m256i const *)(void *)(st + (size_t)4 * (i)))
#define KECCAK_STORE(i, v)   _mm256_store_si256((__m256i *)(void *)(st + (size_t)4 * (i)), (v))
#define KECCAK_XOR(a, b)     _mm256_xor_si256(a, b)
#define KECCAK_XOR3(a, b, c) _mm256_xor_si256(_mm256_xor_si256(a, b), c)
#define KECCAK_ROL(a, n)     AVX2_ROL(a, n)
#define KECCAK_CHI(a, b, c)  _mm256_xor_si256(a, _mm256_andnot_si256(b, c))
#define KECCAK_RC(v)         _mm256_set1_epi64x((long long)(v))
#include "common/crypto/keccak_permute.h"

/* VPROLQ rotates and VPTERNLOGQ takes any function of three words: 0x96 adds, 0xd2 is chi. */
#define KECCAK_NAME          permute_x8
#define KECCAK_TARGET        __attribute__((target("avx512f")))
#define KECCAK_LANE          __m512i
#define KECCAK_LOAD(i)       _mm512_load_si512(st + (size_t)8 * (i))
#define KECCAK_STORE(i, v)   _mm512_store_si512(st + (size_t)8 * (i), (v))
#define KECCAK_XOR(a, b)     _mm512_xor_si512(a, b)
#define KECCAK_XOR3(a, b, c) _mm512_ternarylogic_epi64(a, b, c, 0x96)
#define KECCAK_ROL(a, n)     _mm512_rol_epi64(a, n)
#define KECCAK_CHI(a, b, c)  _mm512_ternarylogic_epi64(a, b, c, 0xd2)
#define KECCAK_RC(v)         _mm512_set1_epi64((long long)(v))
#include "common/crypto/keccak_permute.h"

#endif

typedef void permute_t(uint64_t *st);
typedef void hash_many_t(coh_hash_t *out, coh_bytes_t const *in, size_t cnt);

typedef struct {
    char const *name;
    permute_t *permute; /* of one state */
    hash_many_t *many;
} backend_t;

/* Adds one whole block to the state whose words lie stride apart. */
static inline void absorb_block(uint64_t *st, size_t stride, uint8_t const *p)
{
    for (size_t i = 0; i < RATE_WORDS; i++) {
        st[i * stride] ^= coh_load_u64_le(p + 8 * i);
    }
}

/* Adds the last, partial block of n < RATE octets and the padding 0x01 0x00... 0x80. */
static inline void absorb_tail(uint64_t *st, size_t stride, uint8_t const *p, size_t n)
{
    size_t words = n / 8;
    size_t rest  = n % 8;
    for (size_t i = 0; i < words; i++) {
        st[i * stride] ^= coh_load_u64_le(p + 8 * i);
    }
    uint64_t last = UINT64_C(1) << (8 * rest);
    for (size_t i = 0; i < rest; i++) {
        last |= (uint64_t)p[8 * words + i] << (8 * i);
    }
    st[words * stride] ^= last;
    st[(RATE_WORDS - 1) * stride] ^= UINT64_C(1) << 63;
}

static inline void squeeze(coh_hash_t *out, uint64_t const *st, size_t stride)
{
    for (size_t i = 0; i < 4; i++) {
        coh_store_u64_le(out->b + 8 * i, st[i * stride]);
    }
}

/* Absorbs the rest of an input into a single state, and squeezes. */
static void finish_one(coh_hash_t *out, uint64_t st[WORD_CNT], coh_bytes_t in, permute_t *permute)
{
    for (; in.n >= RATE; in.p += RATE, in.n -= RATE) {
        absorb_block(st, 1, in.p);
        permute(st);
    }
    absorb_tail(st, 1, in.p, in.n);
    permute(st);
    squeeze(out, st, 1);
}

/* An input on its way through one lane of a vector. */
typedef struct {
    coh_bytes_t rest;
    coh_hash_t *out; /* NULL while the lane is idle */
    bool is_last;    /* the block absorbed now is the input's last */
} lane_t;

/* Hashes cnt inputs, lane_cnt at a time. A lane whose input is finished takes the next one at
   once, so that inputs of different lengths keep all lanes busy until there are none left; the
   very last one alone is finished in a single state, which is faster. Inlined with constant
   lane_cnt and permute. */
static inline __attribute__((always_inline)) void hash_lanes(coh_hash_t *out,
                                                             coh_bytes_t const *in,
                                                             size_t cnt,
                                                             size_t lane_cnt,
                                                             permute_t *permute,
                                                             permute_t *permute_one)
{
    COH_ALIGNED(64) uint64_t st[WORD_CNT * LANES_MAX];
    lane_t lanes[LANES_MAX] = {0};
    size_t next             = 0;
    size_t busy             = 0;
    for (;;) {
        if (busy == 0) {
            memset(st, 0, sizeof(st[0]) * WORD_CNT * lane_cnt);
        }
        bool clean = busy == 0;
        for (size_t j = 0; j < lane_cnt && next < cnt; j++) {
            if (lanes[j].out == NULL) {
                for (size_t i = 0; i < WORD_CNT && !clean; i++) {
                    st[i * lane_cnt + j] = 0;
                }
                lanes[j] = (lane_t){.rest = in[next], .out = &out[next]};
                next++;
                busy++;
            }
        }
        if (busy <= 1) {
            break;
        }
        for (size_t j = 0; j < lane_cnt; j++) {
            lane_t *lane = &lanes[j];
            if (lane->out == NULL) {
                continue;
            }
            lane->is_last = lane->rest.n < RATE;
            if (lane->is_last) {
                absorb_tail(st + j, lane_cnt, lane->rest.p, lane->rest.n);
            } else {
                absorb_block(st + j, lane_cnt, lane->rest.p);
                lane->rest.p += RATE;
                lane->rest.n -= RATE;
            }
        }
        permute(st);
        for (size_t j = 0; j < lane_cnt; j++) {
            if (lanes[j].out != NULL && lanes[j].is_last) {
                squeeze(lanes[j].out, st + j, lane_cnt);
                lanes[j].out = NULL;
                busy--;
            }
        }
    }
    for (size_t j = 0; j < lane_cnt; j++) {
        if (lanes[j].out != NULL) {
            uint64_t one[WORD_CNT];
            for (size_t i = 0; i < WORD_CNT; i++) {
                one[i] = st[i * lane_cnt + j];
            }
            finish_one(lanes[j].out, one, lanes[j].rest, permute_one);
        }
    }
}

static void many_portable(coh_hash_t *out, coh_bytes_t const *in, size_t cnt)
{
    for (size_t i = 0; i < cnt; i++) {
        coh_keccak256(&out[i], in[i].p, in[i].n);
    }
}

#if defined(__x86_64__)

static void many_avx2(coh_hash_t *out, coh_bytes_t const *in, size_t cnt)
{
    hash_lanes(out, in, cnt, 4, permute_x4, permute_x1_bmi);
}

static void many_avx512(coh_hash_t *out, coh_bytes_t const *in, size_t cnt)
{
    hash_lanes(out, in, cnt, 8, permute_x8, permute_x1_bmi);
}

#endif

static backend_t const portable = {"portable", permute_x1, many_portable};

/* The backend called name, or the best one if name is NULL; NULL if this processor lacks it. */
static backend_t const *find_backend(char const *name)
{
#if defined(__x86_64__)
    static backend_t const avx512 = {"avx512", permute_x1_bmi, many_avx512};
    static backend_t const avx2   = {"avx2", permute_x1_bmi, many_avx2};
    bool has_bmi                  = __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
    if (has_bmi && __builtin_cpu_supports("avx512f") &&
        (name == NULL || strcmp(name, avx512.name) == 0)) {
        return &avx512;
    }
    if (has_bmi && __builtin_cpu_supports("avx2") &&
        (name == NULL || strcmp(name, avx2.name) == 0)) {
        return &avx2;
    }
#endif
    return name == NULL || strcmp(name, portable.name) == 0 ? &portable : NULL;
}

/* NULL until first used. Threads that race here store the same pointer, to constant data: no
   order needed. */
static _Atomic(backend_t const *) chosen;

static inline backend_t const *backend(void)
{
    backend_t const *b = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (COH_UNLIKELY(b == NULL)) {
        b = find_backend(NULL);
        atomic_store_explicit(&chosen, b, memory_order_relaxed);
    }
    return b;
}

void coh_keccak256(coh_hash_t *out, void const *p, size_t n)
{
    uint64_t st[WORD_CNT] = {0};
    finish_one(out, st, coh_bytes(p, n), backend()->permute);
}

void coh_keccak256_many(coh_hash_t *out, coh_bytes_t const *in, size_t cnt)
{
    backend()->many(out, in, cnt);
}

char const *coh_keccak_backend(void) { return backend()->name; }

bool coh_keccak_force_backend(char const *name)
{
    backend_t const *b = find_backend(name);
    if (b == NULL) {
        return false;
    }
    atomic_store_explicit(&chosen, b, memory_order_relaxed);
    return true;
}

coh_hash_t const COH_KECCAK_EMPTY = {{0xc5, 0xd2, 0x46, 0x01, 0x86, 0xf7, 0x23, 0x3c,
                                      0x92, 0x7e, 0x7d, 0xb2, 0xdc, 0xc7, 0x03, 0xc0,
                                      0xe5, 0x00, 0xb6, 0x53, 0xca, 0x82, 0x27, 0x3b,
                                      0x7b, 0xfa, 0xd8, 0x04, 0x5d, 0x85, 0xa4, 0x70}};
