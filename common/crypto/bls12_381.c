#include "common/crypto/bls12_381.h"

#include <blst.h>
#include <stdlib.h>

#include "common/base/alloc.h"

/* Octets of a field element, of the zeros before it, bits of a reduced scalar. */
enum { FP_RAW = 48, FP_PAD = COH_BLS12_381_FP_SZ - FP_RAW, SCALAR_BITS = 255 };

static bool fp_decode(blst_fp *out, uint8_t const in[COH_BLS12_381_FP_SZ])
{
    static uint8_t const limit[COH_BLS12_381_FP_SZ] = {
        /* the prime */
        0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,
        0,    0,    0,    0x1a, 0x01, 0x11, 0xea, 0x39, 0x7f, 0xe6, 0x9a, 0x4b, 0x1b,
        0xa7, 0xb6, 0x43, 0x4b, 0xac, 0xd7, 0x64, 0x77, 0x4b, 0x84, 0xf3, 0x85, 0x12,
        0xbf, 0x67, 0x30, 0xd2, 0xa0, 0xf6, 0xb0, 0xf6, 0x24, 0x1e, 0xab, 0xff, 0xfe,
        0xb1, 0x53, 0xff, 0xff, 0xb9, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xaa, 0xab,
    };
    if (memcmp(in, limit, sizeof(limit)) >= 0) {
        return false;
    }
    blst_fp_from_bendian(out, in + FP_PAD);
    return true;
}

static void fp_encode(uint8_t out[COH_BLS12_381_FP_SZ], blst_fp const *a)
{
    memset(out, 0, FP_PAD);
    blst_bendian_from_fp(out + FP_PAD, a);
}

static bool fp2_decode(blst_fp2 *out, uint8_t const in[COH_BLS12_381_FP2_SZ])
{
    return fp_decode(&out->fp[0], in) && fp_decode(&out->fp[1], in + COH_BLS12_381_FP_SZ);
}

static void fp2_encode(uint8_t out[COH_BLS12_381_FP2_SZ], blst_fp2 const *a)
{
    fp_encode(out, &a->fp[0]);
    fp_encode(out + COH_BLS12_381_FP_SZ, &a->fp[1]);
}

/* blst, too, has all zeros for an affine point at infinity. */
static bool g1_decode(blst_p1_affine *out, uint8_t const in[COH_BLS12_381_G1_SZ])
{
    return fp_decode(&out->x, in) && fp_decode(&out->y, in + COH_BLS12_381_FP_SZ) &&
           (blst_p1_affine_is_inf(out) || blst_p1_affine_on_curve(out));
}

static void g1_encode(uint8_t out[COH_BLS12_381_G1_SZ], blst_p1 const *a)
{
    blst_p1_affine affine;
    blst_p1_to_affine(&affine, a);
    fp_encode(out, &affine.x);
    fp_encode(out + COH_BLS12_381_FP_SZ, &affine.y);
}

static bool g2_decode(blst_p2_affine *out, uint8_t const in[COH_BLS12_381_G2_SZ])
{
    return fp2_decode(&out->x, in) && fp2_decode(&out->y, in + COH_BLS12_381_FP2_SZ) &&
           (blst_p2_affine_is_inf(out) || blst_p2_affine_on_curve(out));
}

static void g2_encode(uint8_t out[COH_BLS12_381_G2_SZ], blst_p2 const *a)
{
    blst_p2_affine affine;
    blst_p2_to_affine(&affine, a);
    fp2_encode(out, &affine.x);
    fp2_encode(out + COH_BLS12_381_FP2_SZ, &affine.y);
}

static bool g1_decode_member(blst_p1_affine *out, uint8_t const in[COH_BLS12_381_G1_SZ])
{
    return g1_decode(out, in) && (blst_p1_affine_is_inf(out) || blst_p1_affine_in_g1(out));
}

static bool g2_decode_member(blst_p2_affine *out, uint8_t const in[COH_BLS12_381_G2_SZ])
{
    return g2_decode(out, in) && (blst_p2_affine_is_inf(out) || blst_p2_affine_in_g2(out));
}

coh_err_t coh_bls12_381_g1_add(uint8_t out[COH_BLS12_381_G1_SZ],
                               uint8_t const a[COH_BLS12_381_G1_SZ],
                               uint8_t const b[COH_BLS12_381_G1_SZ])
{
    blst_p1_affine p, q;
    if (!g1_decode(&p, a) || !g1_decode(&q, b)) {
        return COH_EMALFORMED;
    }
    blst_p1 sum;
    blst_p1_from_affine(&sum, &p);
    blst_p1_add_or_double_affine(&sum, &sum, &q);
    g1_encode(out, &sum);
    return COH_OK;
}

coh_err_t coh_bls12_381_g2_add(uint8_t out[COH_BLS12_381_G2_SZ],
                               uint8_t const a[COH_BLS12_381_G2_SZ],
                               uint8_t const b[COH_BLS12_381_G2_SZ])
{
    blst_p2_affine p, q;
    if (!g2_decode(&p, a) || !g2_decode(&q, b)) {
        return COH_EMALFORMED;
    }
    blst_p2 sum;
    blst_p2_from_affine(&sum, &p);
    blst_p2_add_or_double_affine(&sum, &sum, &q);
    g2_encode(out, &sum);
    return COH_OK;
}

/* Reads a scalar modulo the group's order, which blst expects. */
static void scalar_decode(blst_scalar *out, uint8_t const in[COH_BLS12_381_SCALAR_SZ])
{
    (void)blst_scalar_from_be_bytes(out, in, COH_BLS12_381_SCALAR_SZ);
}

coh_err_t coh_bls12_381_g1_msm(uint8_t out[COH_BLS12_381_G1_SZ], uint8_t const *terms, size_t cnt)
{
    coh_err_t err          = COH_OK;
    blst_p1_affine *points = coh_calloc(cnt, sizeof(*points));
    blst_scalar *scalars   = coh_calloc(cnt, sizeof(*scalars));
    limb_t *scratch        = NULL;
    blst_p1 sum            = {0};
    /* Terms with infinity add nothing, and blst's sum does not allow them. */
    size_t used = 0;
    for (size_t i = 0; i < cnt; i++, terms += COH_BLS12_381_G1_TERM_SZ) {
        if (!g1_decode_member(&points[used], terms)) {
            err = COH_EMALFORMED;
            goto out;
        }
        scalar_decode(&scalars[used], terms + COH_BLS12_381_G1_SZ);
        used += !blst_p1_affine_is_inf(&points[used]);
    }
    if (used > 0) {
        scratch = coh_calloc(1, blst_p1s_mult_pippenger_scratch_sizeof(used));
        blst_p1_affine const *const at[] = {points, NULL};
        byte const *const at_scalars[]   = {scalars[0].b, NULL};
        blst_p1s_mult_pippenger(&sum, at, used, at_scalars, SCALAR_BITS, scratch);
    }
    g1_encode(out, &sum);
out:
    free(scratch);
    free(scalars);
    free(points);
    return err;
}

coh_err_t coh_bls12_381_g2_msm(uint8_t out[COH_BLS12_381_G2_SZ], uint8_t const *terms, size_t cnt)
{
    coh_err_t err          = COH_OK;
    blst_p2_affine *points = coh_calloc(cnt, sizeof(*points));
    blst_scalar *scalars   = coh_calloc(cnt, sizeof(*scalars));
    limb_t *scratch        = NULL;
    blst_p2 sum            = {0};
    size_t used            = 0; /* as above */
    for (size_t i = 0; i < cnt; i++, terms += COH_BLS12_381_G2_TERM_SZ) {
        if (!g2_decode_member(&points[used], terms)) {
            err = COH_EMALFORMED;
            goto out;
        }
        scalar_decode(&scalars[used], terms + COH_BLS12_381_G2_SZ);
        used += !blst_p2_affine_is_inf(&points[used]);
    }
    if (used > 0) {
        scratch = coh_calloc(1, blst_p2s_mult_pippenger_scratch_sizeof(used));
        blst_p2_affine const *const at[] = {points, NULL};
        byte const *const at_scalars[]   = {scalars[0].b, NULL};
        blst_p2s_mult_pippenger(&sum, at, used, at_scalars, SCALAR_BITS, scratch);
    }
    g2_encode(out, &sum);
out:
    free(scratch);
    free(scalars);
    free(points);
    return err;
}

/* Pairs whose loops run together and share its squarings; blst itself takes 16. */
enum { BATCH = 16 };

static void multiply_pairings(blst_fp12 *f,
                              blst_p1_affine const p[BATCH],
                              blst_p2_affine const q[BATCH],
                              size_t cnt)
{
    blst_p1_affine const *const ps[] = {p, NULL};
    blst_p2_affine const *const qs[] = {q, NULL};
    blst_fp12 product;
    blst_miller_loop_n(&product, qs, ps, cnt);
    blst_fp12_mul(f, f, &product);
}

coh_err_t coh_bls12_381_pairing_check(bool *is_one, uint8_t const *pairs, size_t cnt)
{
    blst_p1_affine p[BATCH];
    blst_p2_affine q[BATCH];
    size_t used = 0;
    blst_fp12 f = *blst_fp12_one();
    for (size_t i = 0; i < cnt; i++, pairs += COH_BLS12_381_PAIR_SZ) {
        if (!g1_decode_member(&p[used], pairs) ||
            !g2_decode_member(&q[used], pairs + COH_BLS12_381_G1_SZ)) {
            return COH_EMALFORMED;
        }
        /* A pairing with infinity is one. */
        if (!blst_p1_affine_is_inf(&p[used]) && !blst_p2_affine_is_inf(&q[used]) &&
            ++used == BATCH) {
            multiply_pairings(&f, p, q, used);
            used = 0;
        }
    }
    if (used > 0) {
        multiply_pairings(&f, p, q, used);
    }
    blst_final_exp(&f, &f);
    *is_one = blst_fp12_is_one(&f);
    return COH_OK;
}

coh_err_t coh_bls12_381_map_to_g1(uint8_t out[COH_BLS12_381_G1_SZ],
                                  uint8_t const in[COH_BLS12_381_FP_SZ])
{
    blst_fp u;
    if (!fp_decode(&u, in)) {
        return COH_EMALFORMED;
    }
    blst_p1 point;
    blst_map_to_g1(&point, &u, NULL);
    g1_encode(out, &point);
    return COH_OK;
}

coh_err_t coh_bls12_381_map_to_g2(uint8_t out[COH_BLS12_381_G2_SZ],
                                  uint8_t const in[COH_BLS12_381_FP2_SZ])
{
    blst_fp2 u;
    if (!fp2_decode(&u, in)) {
        return COH_EMALFORMED;
    }
    blst_p2 point;
    blst_map_to_g2(&point, &u, NULL);
    g2_encode(out, &point);
    return COH_OK;
}
