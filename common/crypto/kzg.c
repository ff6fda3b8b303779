#include "common/crypto/kzg.h"

#include <ckzg.h>
#include <pthread.h>

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"

/* The second of g2_monomial in trusted_setup_4096.json of ethereum/consensus-specs, presets/mainnet. */
uint8_t const coh_kzg_setup[COH_KZG_SETUP_SZ] = {
    0xb5, 0xbf, 0xd7, 0xdd, 0x8c, 0xde, 0xb1, 0x28, 0x84, 0x3b, 0xc2, 0x87, 0x23, 0x0a, 0xf3, 0x89,
    0x26, 0x18, 0x70, 0x75, 0xcb, 0xfb, 0xef, 0xa8, 0x10, 0x09, 0xa2, 0xce, 0x61, 0x5a, 0xc5, 0x3d,
    0x29, 0x14, 0xe5, 0x87, 0x0c, 0xb4, 0x52, 0xd2, 0xaf, 0xaa, 0xab, 0x24, 0xf3, 0x49, 0x9f, 0x72,
    0x18, 0x5c, 0xbf, 0xee, 0x53, 0x49, 0x27, 0x14, 0x73, 0x44, 0x29, 0xb7, 0xb3, 0x86, 0x08, 0xe2,
    0x39, 0x26, 0xc9, 0x11, 0xcc, 0xec, 0xea, 0xc9, 0xa3, 0x68, 0x51, 0x47, 0x7b, 0xa4, 0xc6, 0x0b,
    0x08, 0x70, 0x41, 0xde, 0x62, 0x10, 0x00, 0xed, 0xc9, 0x8e, 0xda, 0xda, 0x20, 0xc1, 0xde, 0xf2,
};

/* The last of g2_monomial there: the generator times the 64th power of the secret. */
static uint8_t const setup_g2_64[COH_KZG_SETUP_SZ] = {
    0x92, 0xdc, 0xc5, 0xa1, 0xc8, 0xc3, 0xe1, 0xb2, 0x8b, 0x15, 0x24, 0xe3, 0xdd, 0x6d, 0xbe, 0xcd,
    0x63, 0x01, 0x7c, 0x92, 0x01, 0xda, 0x9d, 0xbe, 0x07, 0x7f, 0x1b, 0x82, 0xad, 0xc0, 0x8c, 0x50,
    0x16, 0x9f, 0x56, 0xfc, 0x7b, 0x5a, 0x3b, 0x28, 0xec, 0x6b, 0x89, 0x25, 0x4d, 0xe3, 0xe2, 0xfd,
    0x12, 0x83, 0x8a, 0x76, 0x10, 0x53, 0x43, 0x78, 0x83, 0xc3, 0xe0, 0x1b, 0xa6, 0x16, 0x67, 0x0c,
    0xea, 0x84, 0x37, 0x54, 0x54, 0x8e, 0xf8, 0x4b, 0xcc, 0x39, 0x7d, 0xe2, 0x36, 0x9a, 0xdc, 0xca,
    0x2a, 0xb5, 0x4c, 0xd7, 0x3c, 0x55, 0xdc, 0x68, 0xd8, 0x7a, 0xec, 0x3f, 0xc2, 0xfe, 0x4f, 0x10,
};

static uint8_t const setup_g1[FIELD_ELEMENTS_PER_CELL * COH_KZG_POINT_SZ] = {
#include "common/crypto/kzg_setup.def"
};

/* Of order 8192 in the field: 7 to the power of (order of the group - 1) / 8192, least significant word first. */
static uint64_t const root_of_unity[4] = {UINT64_C(0x6fdd00bfc78c8967),
                                          UINT64_C(0x146b58bc434906ac),
                                          UINT64_C(0x2ccddea2972e89ed),
                                          UINT64_C(0x485d512737b1da3d)};

/* Of c-kzg's settings, verify_kzg_proof reads g2_values_monomial[1] alone. So it is the only one filled in:
   loading all of them takes seconds. Written once, then only read. */
static g2_t monomials[2];
static KZGSettings settings;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fill_settings(void)
{
    blst_p2_affine point;
    COH_ASSERT(blst_p2_uncompress(&point, coh_kzg_setup) == BLST_SUCCESS);
    monomials[0] = *blst_p2_generator();
    blst_p2_from_affine(&monomials[1], &point);
    settings.g2_values_monomial = monomials;
}

coh_err_t coh_kzg_verify(uint8_t const commitment[COH_KZG_POINT_SZ],
                         uint8_t const z[COH_KZG_SCALAR_SZ],
                         uint8_t const y[COH_KZG_SCALAR_SZ],
                         uint8_t const proof[COH_KZG_POINT_SZ])
{
    COH_ASSERT(pthread_once(&once, fill_settings) == 0);
    Bytes48 commitment_bytes, proof_bytes;
    Bytes32 z_bytes, y_bytes;
    memcpy(commitment_bytes.bytes, commitment, sizeof(commitment_bytes.bytes));
    memcpy(proof_bytes.bytes, proof, sizeof(proof_bytes.bytes));
    memcpy(z_bytes.bytes, z, sizeof(z_bytes.bytes));
    memcpy(y_bytes.bytes, y, sizeof(y_bytes.bytes));
    bool ok;
    if (verify_kzg_proof(&ok, &commitment_bytes, &z_bytes, &y_bytes, &proof_bytes, &settings) !=
        C_KZG_OK) {
        return COH_EMALFORMED;
    }
    return ok ? COH_OK : COH_EMISMATCH;
}

/* What the checks of whole blobs read: the roots of unity in three orders, and of the setup what cell proofs take. The points that
   it takes to make proofs are left out here too. */
static struct {
    KZGSettings settings;
    fr_t roots[FIELD_ELEMENTS_PER_EXT_BLOB + 1];
    fr_t reverse_roots[FIELD_ELEMENTS_PER_EXT_BLOB + 1];
    fr_t brp_roots[FIELD_ELEMENTS_PER_EXT_BLOB];
    g1_t g1[FIELD_ELEMENTS_PER_CELL];
    g2_t g2[FIELD_ELEMENTS_PER_CELL + 1];
} whole;
static pthread_once_t whole_once = PTHREAD_ONCE_INIT;

static size_t reverse_bits(size_t i)
{
    size_t out = 0;
    for (size_t width = FIELD_ELEMENTS_PER_EXT_BLOB; width > 1; width /= 2, i /= 2) {
        out = out * 2 + i % 2;
    }
    return out;
}

static void fill_roots(void)
{
    size_t const cnt = FIELD_ELEMENTS_PER_EXT_BLOB;
    fr_t root;
    uint64_t const one[4] = {1};
    blst_fr_from_uint64(&root, root_of_unity);
    blst_fr_from_uint64(&whole.roots[0], one);
    for (size_t i = 1; i <= cnt; i++) {
        blst_fr_mul(&whole.roots[i], &whole.roots[i - 1], &root);
    }
    for (size_t i = 0; i <= cnt; i++) {
        whole.reverse_roots[i] = whole.roots[cnt - i];
    }
    for (size_t i = 0; i < cnt; i++) {
        whole.brp_roots[i] = whole.roots[reverse_bits(i)];
    }
}

static void fill_g2(g2_t *out, uint8_t const compressed[COH_KZG_SETUP_SZ])
{
    blst_p2_affine point;
    COH_ASSERT(blst_p2_uncompress(&point, compressed) == BLST_SUCCESS);
    blst_p2_from_affine(out, &point);
}

static void fill_whole(void)
{
    fill_roots();
    for (size_t i = 0; i < FIELD_ELEMENTS_PER_CELL; i++) {
        blst_p1_affine point;
        COH_ASSERT(blst_p1_uncompress(&point, setup_g1 + i * COH_KZG_POINT_SZ) == BLST_SUCCESS);
        blst_p1_from_affine(&whole.g1[i], &point);
    }
    fill_g2(&whole.g2[1], coh_kzg_setup);
    fill_g2(&whole.g2[FIELD_ELEMENTS_PER_CELL], setup_g2_64);
    whole.settings = (KZGSettings){.roots_of_unity         = whole.roots,
                                   .reverse_roots_of_unity = whole.reverse_roots,
                                   .brp_roots_of_unity     = whole.brp_roots,
                                   .g1_values_monomial     = whole.g1,
                                   .g2_values_monomial     = whole.g2};
}

static coh_err_t verdict(C_KZG_RET rc, bool ok)
{
    COH_ASSERT(rc != C_KZG_MALLOC);
    return rc != C_KZG_OK ? COH_EMALFORMED : ok ? COH_OK : COH_EMISMATCH;
}

/* c-kzg's structs are arrays of octets. */
coh_err_t coh_kzg_verify_blobs(uint8_t const *blobs,
                               uint8_t const *commitments,
                               uint8_t const *proofs,
                               size_t cnt)
{
    bool ok = false;
    COH_ASSERT(pthread_once(&whole_once, fill_whole) == 0);
    C_KZG_RET rc = verify_blob_kzg_proof_batch(&ok,
                                               (Blob const *)(void const *)blobs,
                                               (Bytes48 const *)(void const *)commitments,
                                               (Bytes48 const *)(void const *)proofs,
                                               cnt,
                                               &whole.settings);
    return verdict(rc, ok);
}

coh_err_t coh_kzg_verify_cells(uint8_t const *blobs,
                               uint8_t const *commitments,
                               uint8_t const *proofs,
                               size_t cnt)
{
    COH_ASSERT(pthread_once(&whole_once, fill_whole) == 0);
    bool ok           = false;
    C_KZG_RET rc      = C_KZG_OK;
    size_t all        = cnt * COH_KZG_CELL_CNT;
    Cell *cells       = coh_calloc(all, sizeof(*cells));
    uint64_t *indices = coh_calloc(all, sizeof(*indices));
    Bytes48 *of       = coh_calloc(all, sizeof(*of));
    for (size_t i = 0; i < cnt && rc == C_KZG_OK; i++) {
        rc = compute_cells_and_kzg_proofs(cells + i * COH_KZG_CELL_CNT,
                                          NULL,
                                          (Blob const *)(void const *)blobs + i,
                                          &whole.settings);
        for (size_t k = 0; k < COH_KZG_CELL_CNT; k++) {
            indices[i * COH_KZG_CELL_CNT + k] = k;
            memcpy(&of[i * COH_KZG_CELL_CNT + k],
                   commitments + i * COH_KZG_POINT_SZ,
                   COH_KZG_POINT_SZ);
        }
    }
    if (rc == C_KZG_OK) {
        rc = verify_cell_kzg_proof_batch(
            &ok, of, indices, cells, (Bytes48 const *)(void const *)proofs, all, &whole.settings);
    }
    free(cells);
    free(indices);
    free(of);
    return verdict(rc, ok);
}

char const *coh_kzg_library(void) { return COHORT_CKZG_VERSION; }
