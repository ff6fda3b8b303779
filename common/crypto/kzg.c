#include "common/crypto/kzg.h"

#include <ckzg.h>
#include <pthread.h>

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

char const *coh_kzg_library(void) { return COHORT_CKZG_VERSION; }
