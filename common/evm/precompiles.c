#include "common/evm/precompiles.h"

#include "common/base/assert.h"
#include "common/base/u256.h"
#include "common/crypto/blake2f.h"
#include "common/crypto/bls12_381.h"
#include "common/crypto/bn254.h"
#include "common/crypto/ecdsa.h"
#include "common/crypto/kzg.h"
#include "common/crypto/modexp.h"
#include "common/crypto/p256.h"
#include "common/crypto/ripemd160.h"
#include "common/crypto/sha256.h"

typedef struct {
    coh_fork_t fork;
    coh_bytes_t in;
} call_t;

struct coh_precompile {
    uint32_t number;
    coh_fork_t since;
    char const *name;
    uint64_t (*gas)(call_t const *call);
    /* Appends the result; on false, what it appended is dropped. */
    bool (*run)(coh_buf_t *out, call_t const *call);
};

enum { WORD = 32 };

/* Copies n octets of the input from at on; beyond its end there are zeros, without limit. */
static void input_copy(uint8_t *out, call_t const *call, size_t at, size_t n)
{
    size_t have = at < call->in.n ? COH_MIN(n, call->in.n - at) : 0;
    if (have > 0) {
        memcpy(out, call->in.p + at, have);
    }
    memset(out + have, 0, n - have);
}

/* base + word for each begun word of the input. */
static uint64_t linear_gas(call_t const *call, uint64_t base, uint64_t word)
{
    return base + word * (call->in.n / WORD + (call->in.n % WORD != 0));
}

/* ---- 0x01: recovery of a signer; Yellow Paper, Appendix E (209) ---- */

static uint64_t ecrecover_gas(call_t const *call)
{
    (void)call;
    return 3000;
}

static bool ecrecover_run(coh_buf_t *out, call_t const *call)
{
    struct {
        coh_hash_t digest;
        uint8_t v[WORD], r[WORD], s[WORD];
    } in;
    _Static_assert(sizeof(in) == (size_t)4 * WORD, "the input, as it lies there");
    input_copy((uint8_t *)&in, call, 0, sizeof(in));
    coh_u256_t v = coh_u256_from_be(in.v, WORD);
    if ((v.w[1] | v.w[2] | v.w[3]) != 0 || (v.w[0] != 27 && v.w[0] != 28)) {
        return true; /* an empty result, no failure */
    }
    coh_sig_t sig = {.parity = (uint8_t)(v.w[0] - 27)};
    memcpy(sig.r, in.r, WORD);
    memcpy(sig.s, in.s, WORD);
    coh_addr_t addr;
    if (coh_ecdsa_recover(&addr, &in.digest, &sig) == COH_OK) {
        memset(coh_buf_extend(out, WORD - sizeof(addr)), 0, WORD - sizeof(addr));
        coh_buf_put(out, addr.b, sizeof(addr));
    }
    return true;
}

/* ---- 0x02..0x04: hashes and the identity; Appendix E (217, 220, 226) ---- */

static uint64_t sha256_gas(call_t const *call) { return linear_gas(call, 60, 12); }

static bool sha256_run(coh_buf_t *out, call_t const *call)
{
    coh_hash_t hash;
    coh_sha256(&hash, call->in.p, call->in.n);
    coh_buf_put(out, hash.b, sizeof(hash));
    return true;
}

static uint64_t ripemd160_gas(call_t const *call) { return linear_gas(call, 600, 120); }

static bool ripemd160_run(coh_buf_t *out, call_t const *call)
{
    uint8_t word[WORD] = {0};
    coh_ripemd160(word + WORD - COH_RIPEMD160_SZ, call->in.p, call->in.n);
    coh_buf_put(out, word, WORD);
    return true;
}

static uint64_t identity_gas(call_t const *call) { return linear_gas(call, 15, 3); }

static bool identity_run(coh_buf_t *out, call_t const *call)
{
    coh_buf_put(out, call->in.p, call->in.n);
    return true;
}

/* ---- 0x05: modular exponentiation; EIP-198 ---- */

/* The lengths of base, exponent and modulus, UINT64_MAX for what exceeds 64 bits. */
typedef struct {
    uint64_t base, exp, mod;
} modexp_t;

static modexp_t modexp_lengths(call_t const *call)
{
    uint64_t len[3];
    for (size_t i = 0; i < 3; i++) {
        uint8_t word[WORD];
        input_copy(word, call, i * WORD, WORD);
        coh_u256_t v = coh_u256_from_be(word, WORD);
        len[i]       = (v.w[1] | v.w[2] | v.w[3]) != 0 ? UINT64_MAX : v.w[0];
    }
    return (modexp_t){len[0], len[1], len[2]};
}

/* Where in the input something lies that follows len octets: at its end if that is where or beyond. */
static size_t modexp_skip(call_t const *call, size_t at, uint64_t len)
{
    return at < call->in.n && len < call->in.n - at ? at + (size_t)len : call->in.n;
}

/* The number of len octets at at. */
static coh_modexp_num_t modexp_num(call_t const *call, size_t at, uint64_t len)
{
    size_t end = modexp_skip(call, at, len);
    return (coh_modexp_num_t){coh_bytes(at < end ? call->in.p + at : NULL, at < end ? end - at : 0),
                              (size_t)len};
}

/* Index of the highest bit that is set in the first word of the exponent; 0 if none is. */
static uint64_t modexp_exp_bits(call_t const *call, modexp_t const *len)
{
    uint8_t head[WORD];
    size_t n = (size_t)COH_MIN(len->exp, (uint64_t)WORD);
    input_copy(head, call, modexp_skip(call, (size_t)3 * WORD, len->base), n);
    for (size_t i = 0; i < n; i++) {
        if (head[i] != 0) {
            return 8 * (n - 1 - i) + (31 - (uint64_t)__builtin_clz(head[i]));
        }
    }
    return 0;
}

static uint64_t modexp_gas(call_t const *call)
{
    modexp_t len = modexp_lengths(call);
    uint64_t max = COH_MAX(len.base, len.mod);
    /* Such lengths cost more than 2^54 gas under all the rules below. */
    if (max >= UINT64_C(1) << 31) {
        return UINT64_MAX;
    }
    uint64_t words      = (max + 7) / 8;
    uint64_t complexity = 0;
    uint64_t divisor    = 1;
    uint64_t min        = 0;
    uint64_t octet_gas  = 8;            /* for each octet of the exponent beyond its first word */
    if (call->fork >= COH_FORK_OSAKA) { /* EIP-7883 */
        complexity = max <= 32 ? 16 : 2 * words * words;
        min        = 500;
        octet_gas  = 16;
    } else if (call->fork >= COH_FORK_BERLIN) { /* EIP-2565 */
        complexity = words * words;
        divisor    = 3;
        min        = 200;
    } else { /* EIP-198 */
        if (max <= 64) {
            complexity = max * max;
        } else if (max <= 1024) {
            complexity = max * max / 4 + 96 * max - 3072;
        } else {
            complexity = max * max / 16 + 480 * max - 199680;
        }
        divisor = 20;
    }
    coh_u128_t iterations = modexp_exp_bits(call, &len);
    if (len.exp > WORD) {
        iterations += (coh_u128_t)octet_gas * (len.exp - WORD);
    }
    /* Below 2^58 * 2^69. */
    coh_u128_t gas = complexity * COH_MAX(iterations, (coh_u128_t)1) / divisor;
    return gas > UINT64_MAX ? UINT64_MAX : COH_MAX((uint64_t)gas, min);
}

static bool modexp_run(coh_buf_t *out, call_t const *call)
{
    modexp_t len = modexp_lengths(call);
    if (call->fork >= COH_FORK_OSAKA && COH_MAX(COH_MAX(len.base, len.exp), len.mod) > 1024) {
        return false; /* EIP-7823 */
    }
    if (len.mod == 0) {
        return true; /* the exponent's length may then be without bound, as its factor is 0 */
    }
    size_t at_base = (size_t)3 * WORD;
    size_t at_exp  = modexp_skip(call, at_base, len.base);
    size_t at_mod  = modexp_skip(call, at_exp, len.exp);
    coh_modexp(coh_buf_extend(out, len.mod),
               modexp_num(call, at_base, len.base),
               modexp_num(call, at_exp, len.exp),
               modexp_num(call, at_mod, len.mod));
    return true;
}

/* ---- 0x06..0x08: alt_bn128; EIP-196, EIP-197, repriced by EIP-1108 ---- */

static uint64_t bn254_add_gas(call_t const *call)
{
    return call->fork >= COH_FORK_ISTANBUL ? 150 : 500;
}

static bool bn254_add_run(coh_buf_t *out, call_t const *call)
{
    uint8_t in[2 * COH_BN254_G1_SZ];
    input_copy(in, call, 0, sizeof(in));
    return coh_bn254_add(coh_buf_extend(out, COH_BN254_G1_SZ), in, in + COH_BN254_G1_SZ) == COH_OK;
}

static uint64_t bn254_mul_gas(call_t const *call)
{
    return call->fork >= COH_FORK_ISTANBUL ? 6000 : 40000;
}

static bool bn254_mul_run(coh_buf_t *out, call_t const *call)
{
    uint8_t in[COH_BN254_G1_SZ + COH_BN254_SCALAR_SZ];
    input_copy(in, call, 0, sizeof(in));
    return coh_bn254_mul(coh_buf_extend(out, COH_BN254_G1_SZ), in, in + COH_BN254_G1_SZ) == COH_OK;
}

/* Appends a word that is 1 or 0. */
static void put_flag(coh_buf_t *out, bool flag)
{
    uint8_t word[WORD] = {0};
    word[WORD - 1]     = flag;
    coh_buf_put(out, word, WORD);
}

static uint64_t bn254_pairing_gas(call_t const *call)
{
    uint64_t pairs = call->in.n / COH_BN254_PAIR_SZ;
    return call->fork >= COH_FORK_ISTANBUL ? 45000 + 34000 * pairs : 100000 + 80000 * pairs;
}

static bool bn254_pairing_run(coh_buf_t *out, call_t const *call)
{
    bool is_one;
    if (call->in.n % COH_BN254_PAIR_SZ != 0 ||
        coh_bn254_pairing_check(&is_one, call->in.p, call->in.n / COH_BN254_PAIR_SZ) != COH_OK) {
        return false;
    }
    put_flag(out, is_one);
    return true;
}

/* ---- 0x09: BLAKE2's F; EIP-152 ---- */

enum { BLAKE2F_SZ = 4 + 64 + 128 + 16 + 1 };

static uint32_t blake2f_rounds(call_t const *call)
{
    return __builtin_bswap32(coh_load_u32_le(call->in.p));
}

static uint64_t blake2f_gas(call_t const *call)
{
    return call->in.n == BLAKE2F_SZ ? blake2f_rounds(call) : 0; /* it fails anyway */
}

static bool blake2f_run(coh_buf_t *out, call_t const *call)
{
    uint8_t const *p = call->in.p;
    if (call->in.n != BLAKE2F_SZ || p[BLAKE2F_SZ - 1] > 1) {
        return false;
    }
    coh_blake2f_t state;
    memcpy(state.h, p + 4, sizeof(state.h)); /* words are little-endian, as ours */
    memcpy(state.m, p + 68, sizeof(state.m));
    memcpy(state.t, p + 196, sizeof(state.t));
    state.final = p[BLAKE2F_SZ - 1] == 1;
    coh_blake2f(&state, blake2f_rounds(call));
    coh_buf_put(out, state.h, sizeof(state.h));
    return true;
}

/* ---- 0x0a: a KZG proof; EIP-4844, "Point evaluation precompile" ---- */

static uint64_t point_evaluation_gas(call_t const *call)
{
    (void)call;
    return 50000;
}

static bool point_evaluation_run(coh_buf_t *out, call_t const *call)
{
    struct {
        uint8_t versioned_hash[WORD], z[WORD], y[WORD];
        uint8_t commitment[COH_KZG_POINT_SZ], proof[COH_KZG_POINT_SZ];
    } in;
    _Static_assert(sizeof(in) == 192, "the input, as it lies there");
    if (call->in.n != sizeof(in)) {
        return false;
    }
    memcpy(&in, call->in.p, sizeof(in));
    coh_hash_t hash; /* kzg_to_versioned_hash */
    coh_sha256(&hash, in.commitment, sizeof(in.commitment));
    hash.b[0] = 0x01;
    if (memcmp(hash.b, in.versioned_hash, WORD) != 0 ||
        coh_kzg_verify(in.commitment, in.z, in.y, in.proof) != COH_OK) {
        return false;
    }
    /* FIELD_ELEMENTS_PER_BLOB, BLS_MODULUS */
    static uint8_t const result[2 * WORD] = {
        0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,
        0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,
        0,    0,    0,    0,    0x10, 0x00, 0x73, 0xed, 0xa7, 0x53, 0x29, 0x9d, 0x7d,
        0x48, 0x33, 0x39, 0xd8, 0x08, 0x09, 0xa1, 0xd8, 0x05, 0x53, 0xbd, 0xa4, 0x02,
        0xff, 0xfe, 0x5b, 0xfe, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x01,
    };
    coh_buf_put(out, result, sizeof(result));
    return true;
}

/* ---- 0x0b..0x11: BLS12-381; EIP-2537 ---- */

static uint64_t bls_g1_add_gas(call_t const *call)
{
    (void)call;
    return 375;
}

static bool bls_g1_add_run(coh_buf_t *out, call_t const *call)
{
    return call->in.n == (size_t)2 * COH_BLS12_381_G1_SZ &&
           coh_bls12_381_g1_add(coh_buf_extend(out, COH_BLS12_381_G1_SZ),
                                call->in.p,
                                call->in.p + COH_BLS12_381_G1_SZ) == COH_OK;
}

static uint64_t bls_g2_add_gas(call_t const *call)
{
    (void)call;
    return 600;
}

static bool bls_g2_add_run(coh_buf_t *out, call_t const *call)
{
    return call->in.n == (size_t)2 * COH_BLS12_381_G2_SZ &&
           coh_bls12_381_g2_add(coh_buf_extend(out, COH_BLS12_381_G2_SZ),
                                call->in.p,
                                call->in.p + COH_BLS12_381_G2_SZ) == COH_OK;
}

/* What a term costs in thousandths of a multiplication, by the count of terms; the last for all above. */
enum { DISCOUNT_CNT = 128 };
static uint16_t const g1_discount[DISCOUNT_CNT] = {
    1000, 949, 848, 797, 764, 750, 738, 728, 719, 712, 705, 698, 692, 687, 682, 677, 673, 669, 665,
    661,  658, 654, 651, 648, 645, 642, 640, 637, 635, 632, 630, 627, 625, 623, 621, 619, 617, 615,
    613,  611, 609, 608, 606, 604, 603, 601, 599, 598, 596, 595, 593, 592, 591, 589, 588, 586, 585,
    584,  582, 581, 580, 579, 577, 576, 575, 574, 573, 572, 570, 569, 568, 567, 566, 565, 564, 563,
    562,  561, 560, 559, 558, 557, 556, 555, 554, 553, 552, 551, 550, 549, 548, 547, 547, 546, 545,
    544,  543, 542, 541, 540, 540, 539, 538, 537, 536, 536, 535, 534, 533, 532, 532, 531, 530, 529,
    528,  528, 527, 526, 525, 525, 524, 523, 522, 522, 521, 520, 520, 519};
static uint16_t const g2_discount[DISCOUNT_CNT] = {
    1000, 1000, 923, 884, 855, 832, 812, 796, 782, 770, 759, 749, 740, 732, 724, 717, 711, 704, 699,
    693,  688,  683, 679, 674, 670, 666, 663, 659, 655, 652, 649, 646, 643, 640, 637, 634, 632, 629,
    627,  624,  622, 620, 618, 615, 613, 611, 609, 607, 606, 604, 602, 600, 598, 597, 595, 593, 592,
    590,  589,  587, 586, 584, 583, 582, 580, 579, 578, 576, 575, 574, 573, 571, 570, 569, 568, 567,
    566,  565,  563, 562, 561, 560, 559, 558, 557, 556, 555, 554, 553, 552, 552, 551, 550, 549, 548,
    547,  546,  545, 545, 544, 543, 542, 541, 541, 540, 539, 538, 537, 537, 536, 535, 535, 534, 533,
    532,  532,  531, 530, 530, 529, 528, 528, 527, 526, 526, 525, 524, 524};

static uint64_t msm_gas(size_t cnt, uint64_t mul_gas, uint16_t const discount[DISCOUNT_CNT])
{
    return cnt == 0 ? 0 : cnt * mul_gas * discount[COH_MIN(cnt, (size_t)DISCOUNT_CNT) - 1] / 1000;
}

static uint64_t bls_g1_msm_gas(call_t const *call)
{
    return msm_gas(call->in.n / COH_BLS12_381_G1_TERM_SZ, 12000, g1_discount);
}

static bool bls_g1_msm_run(coh_buf_t *out, call_t const *call)
{
    return call->in.n != 0 && call->in.n % COH_BLS12_381_G1_TERM_SZ == 0 &&
           coh_bls12_381_g1_msm(coh_buf_extend(out, COH_BLS12_381_G1_SZ),
                                call->in.p,
                                call->in.n / COH_BLS12_381_G1_TERM_SZ) == COH_OK;
}

static uint64_t bls_g2_msm_gas(call_t const *call)
{
    return msm_gas(call->in.n / COH_BLS12_381_G2_TERM_SZ, 22500, g2_discount);
}

static bool bls_g2_msm_run(coh_buf_t *out, call_t const *call)
{
    return call->in.n != 0 && call->in.n % COH_BLS12_381_G2_TERM_SZ == 0 &&
           coh_bls12_381_g2_msm(coh_buf_extend(out, COH_BLS12_381_G2_SZ),
                                call->in.p,
                                call->in.n / COH_BLS12_381_G2_TERM_SZ) == COH_OK;
}

static uint64_t bls_pairing_gas(call_t const *call)
{
    return 37700 + 32600 * (uint64_t)(call->in.n / COH_BLS12_381_PAIR_SZ);
}

static bool bls_pairing_run(coh_buf_t *out, call_t const *call)
{
    bool is_one;
    if (call->in.n == 0 || call->in.n % COH_BLS12_381_PAIR_SZ != 0 ||
        coh_bls12_381_pairing_check(&is_one, call->in.p, call->in.n / COH_BLS12_381_PAIR_SZ) !=
            COH_OK) {
        return false;
    }
    put_flag(out, is_one);
    return true;
}

static uint64_t bls_map_fp_gas(call_t const *call)
{
    (void)call;
    return 5500;
}

static bool bls_map_fp_run(coh_buf_t *out, call_t const *call)
{
    return call->in.n == COH_BLS12_381_FP_SZ &&
           coh_bls12_381_map_to_g1(coh_buf_extend(out, COH_BLS12_381_G1_SZ), call->in.p) == COH_OK;
}

static uint64_t bls_map_fp2_gas(call_t const *call)
{
    (void)call;
    return 23800;
}

static bool bls_map_fp2_run(coh_buf_t *out, call_t const *call)
{
    return call->in.n == COH_BLS12_381_FP2_SZ &&
           coh_bls12_381_map_to_g2(coh_buf_extend(out, COH_BLS12_381_G2_SZ), call->in.p) == COH_OK;
}

/* ---- 0x100: a secp256r1 signature; EIP-7951 ---- */

static uint64_t p256_verify_gas(call_t const *call)
{
    (void)call;
    return 6900;
}

static bool p256_verify_run(coh_buf_t *out, call_t const *call)
{
    coh_p256_t in;
    _Static_assert(sizeof(in) == (size_t)5 * WORD, "the input, as it lies there");
    if (call->in.n == sizeof(in)) {
        memcpy(&in, call->in.p, sizeof(in));
        if (coh_p256_verify(&in) == COH_OK) {
            put_flag(out, true);
        }
    }
    return true; /* an empty result, no failure, for what is invalid */
}

/* ---- the table ---- */

static coh_precompile_t const table[] = {
    {0x01, COH_FORK_FRONTIER, "ECREC", ecrecover_gas, ecrecover_run},
    {0x02, COH_FORK_FRONTIER, "SHA256", sha256_gas, sha256_run},
    {0x03, COH_FORK_FRONTIER, "RIPEMD160", ripemd160_gas, ripemd160_run},
    {0x04, COH_FORK_FRONTIER, "ID", identity_gas, identity_run},
    {0x05, COH_FORK_BYZANTIUM, "MODEXP", modexp_gas, modexp_run},
    {0x06, COH_FORK_BYZANTIUM, "BN254_ADD", bn254_add_gas, bn254_add_run},
    {0x07, COH_FORK_BYZANTIUM, "BN254_MUL", bn254_mul_gas, bn254_mul_run},
    {0x08, COH_FORK_BYZANTIUM, "BN254_PAIRING", bn254_pairing_gas, bn254_pairing_run},
    {0x09, COH_FORK_ISTANBUL, "BLAKE2F", blake2f_gas, blake2f_run},
    {0x0a, COH_FORK_CANCUN, "KZG_POINT_EVALUATION", point_evaluation_gas, point_evaluation_run},
    {0x0b, COH_FORK_PRAGUE, "BLS12_G1ADD", bls_g1_add_gas, bls_g1_add_run},
    {0x0c, COH_FORK_PRAGUE, "BLS12_G1MSM", bls_g1_msm_gas, bls_g1_msm_run},
    {0x0d, COH_FORK_PRAGUE, "BLS12_G2ADD", bls_g2_add_gas, bls_g2_add_run},
    {0x0e, COH_FORK_PRAGUE, "BLS12_G2MSM", bls_g2_msm_gas, bls_g2_msm_run},
    {0x0f, COH_FORK_PRAGUE, "BLS12_PAIRING_CHECK", bls_pairing_gas, bls_pairing_run},
    {0x10, COH_FORK_PRAGUE, "BLS12_MAP_FP_TO_G1", bls_map_fp_gas, bls_map_fp_run},
    {0x11, COH_FORK_PRAGUE, "BLS12_MAP_FP2_TO_G2", bls_map_fp2_gas, bls_map_fp2_run},
    {0x100, COH_FORK_OSAKA, "P256VERIFY", p256_verify_gas, p256_verify_run},
};

/* All but the last lie by their number. */
enum { LAST = COH_CNT(table) - 1, LAST_NUMBER = 0x100 };
_Static_assert(LAST == 0x11, "the order of the table");

coh_precompile_t const *coh_precompile_at(coh_fork_t fork, coh_addr_t const *addr)
{
    static uint8_t const zeros[18];
    if (COH_LIKELY(memcmp(addr->b, zeros, sizeof(zeros)) != 0)) {
        return NULL;
    }
    uint32_t number           = (uint32_t)addr->b[18] << 8 | addr->b[19];
    coh_precompile_t const *p = NULL;
    if (number >= 1 && number <= LAST) {
        p = &table[number - 1];
    } else if (number == LAST_NUMBER) {
        p = &table[LAST];
    }
    if (p == NULL || fork < p->since) {
        return NULL;
    }
    COH_DASSERT(p->number == number && coh_fork_is_precompile(fork, addr));
    return p;
}

uint64_t coh_precompile_number(coh_precompile_t const *p) { return p->number; }

char const *coh_precompile_name(coh_precompile_t const *p) { return p->name; }

uint64_t coh_precompile_gas(coh_precompile_t const *p, coh_fork_t fork, coh_bytes_t in)
{
    return p->gas(&(call_t){fork, in});
}

bool coh_precompile_run(coh_precompile_t const *p, coh_fork_t fork, coh_buf_t *out, coh_bytes_t in)
{
    coh_buf_clear(out);
    if (!p->run(out, &(call_t){fork, in})) {
        coh_buf_clear(out);
        return false;
    }
    return true;
}
