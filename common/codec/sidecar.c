#include "common/codec/sidecar.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/crypto/kzg.h"
#include "common/crypto/sha256.h"

/* Of a wrapped transaction with cell proofs (EIP-7594). */
#define VERSION_CELLS 1u
/* EIP-4844: first octet of a versioned hash. */
#define HASH_VERSION_KZG 0x01

static bool open_list(coh_rlp_t *list, coh_bytes_t raw)
{
    if (raw.n == 0 || raw.p[0] != COH_TX_BLOB) {
        return false;
    }
    coh_rlp_t whole = coh_rlp_reader(coh_bytes(raw.p + 1, raw.n - 1));
    return coh_rlp_list(&whole, list) == COH_OK && coh_rlp_end(&whole) == COH_OK;
}

bool coh_sidecar_is_network(coh_bytes_t raw)
{
    coh_rlp_t list;
    coh_rlp_kind_t kind;
    coh_bytes_t first;
    return open_list(&list, raw) && coh_rlp_next(&list, &kind, &first) == COH_OK &&
           kind == COH_RLP_LIST;
}

coh_tx_err_t coh_sidecar_split(coh_sidecar_t *out, coh_bytes_t raw)
{
    coh_rlp_t list;
    coh_rlp_kind_t kind;
    coh_bytes_t payload;
    *out = (coh_sidecar_t){.has_cell_proofs = false};
    if (raw.n > COH_TX_NETWORK_MAX) {
        return COH_TX_TOO_LARGE;
    }
    if (!open_list(&list, raw) || coh_rlp_next_raw(&list, &kind, &payload, &out->tx) != COH_OK ||
        kind != COH_RLP_LIST) {
        return COH_TX_MALFORMED;
    }
    coh_rlp_t ahead = list;
    if (coh_rlp_next(&ahead, &kind, &payload) == COH_OK && kind == COH_RLP_STRING) {
        uint64_t version;
        if (coh_rlp_u64(&list, &version) != COH_OK || version != VERSION_CELLS) {
            return COH_TX_MALFORMED;
        }
        out->has_cell_proofs = true;
    }
    return coh_rlp_list(&list, &out->blobs) == COH_OK &&
                   coh_rlp_list(&list, &out->commitments) == COH_OK &&
                   coh_rlp_list(&list, &out->proofs) == COH_OK && coh_rlp_end(&list) == COH_OK
               ? COH_TX_OK
               : COH_TX_MALFORMED;
}

/* gather copies cnt strings of n octets each out of list, one after another; false unless these are all. */
static bool gather(uint8_t *out, coh_rlp_t list, size_t cnt, size_t n)
{
    for (size_t i = 0; i < cnt; i++) {
        if (coh_rlp_fixed(&list, out + i * n, n) != COH_OK) {
            return false;
        }
    }
    return coh_rlp_at_end(&list);
}

static bool hashes_fit(uint8_t const *commitments, coh_tx_t const *tx)
{
    coh_rlp_t list = coh_tx_blob_iter(tx);
    coh_hash_t given;
    for (size_t i = 0; coh_tx_blob_next(&list, &given); i++) {
        coh_hash_t hash;
        coh_sha256(&hash, commitments + i * COH_KZG_POINT_SZ, COH_KZG_POINT_SZ);
        hash.b[0] = HASH_VERSION_KZG;
        if (!coh_hash_eq(&hash, &given)) {
            return false;
        }
    }
    return true;
}

static coh_tx_err_t check(coh_sidecar_t const *s, coh_tx_t const *tx, uint8_t *bytes)
{
    size_t cnt           = tx->blob_cnt;
    size_t proof_cnt     = s->has_cell_proofs ? cnt * COH_KZG_CELL_CNT : cnt;
    uint8_t *blobs       = bytes;
    uint8_t *commitments = blobs + cnt * COH_KZG_BLOB_SZ;
    uint8_t *proofs      = commitments + cnt * COH_KZG_POINT_SZ;
    if (!gather(commitments, s->commitments, cnt, COH_KZG_POINT_SZ) ||
        !gather(proofs, s->proofs, proof_cnt, COH_KZG_POINT_SZ) ||
        !gather(blobs, s->blobs, cnt, COH_KZG_BLOB_SZ)) {
        return COH_TX_BLOB_SIDECAR;
    }
    if (!hashes_fit(commitments, tx)) {
        return COH_TX_BLOB_HASH;
    }
    coh_err_t rc = s->has_cell_proofs ? coh_kzg_verify_cells(blobs, commitments, proofs, cnt)
                                      : coh_kzg_verify_blobs(blobs, commitments, proofs, cnt);
    return rc == COH_OK ? COH_TX_OK : COH_TX_BLOB_PROOF;
}

coh_tx_err_t coh_sidecar_check(coh_sidecar_t const *sidecar, coh_tx_t const *tx)
{
    size_t each = COH_KZG_BLOB_SZ + COH_KZG_POINT_SZ * (1 + (size_t)COH_KZG_CELL_CNT);
    /* Before anything is allocated for them. */
    if ((size_t)(sidecar->blobs.end - sidecar->blobs.p) / COH_KZG_BLOB_SZ != tx->blob_cnt) {
        return COH_TX_BLOB_SIDECAR;
    }
    uint8_t *bytes   = coh_calloc(tx->blob_cnt, each);
    coh_tx_err_t err = check(sidecar, tx, bytes);
    free(bytes);
    return err;
}
