#include "shard/trie_proof.h"

#include <stdlib.h>

#include "common/codec/block.h"
#include "common/crypto/keccak.h"
#include "common/trie/account.h"
#include "common/trie/history.h"

void coh_trie_proof_free(coh_trie_proof_t *proof)
{
    for (size_t i = 0; i < proof->slot_cnt; i++) {
        coh_buf_free(&proof->slots[i].nodes);
    }
    free(proof->slots);
    coh_buf_free(&proof->nodes);
    *proof = (coh_trie_proof_t){0};
}

static void put_nodes(coh_buf_t *out, coh_proof_t const *proof)
{
    coh_buf_clear(out);
    for (size_t i = 0; i < proof->cnt; i++) {
        coh_bytes_t node = coh_proof_node(proof, i);
        coh_rlp_put_string(out, node.p, node.n);
    }
    coh_rlp_wrap_list(out, 0);
}

/* Takes the storage's trie of the highest generation that has this root into the view. */
static coh_err_t find_storage(coh_mpt_t *view,
                              coh_mpt_id_t *id,
                              coh_hash_t const *root,
                              coh_hash_t const *addr,
                              uint32_t generation,
                              coh_bytes_t const *records,
                              size_t record_cnt)
{
    for (uint32_t back = 0; back <= generation; back++) {
        coh_mpt_node_t node;
        coh_hash_t is;
        *id = coh_mpt_id_storage(addr, generation - back);
        COH_TRY(coh_history_rewind(view, id, records, record_cnt, &node));
        coh_node_root(&is, &node);
        if (coh_hash_eq(&is, root)) {
            return COH_OK;
        }
    }
    return COH_ECORRUPT;
}

static coh_err_t prove(coh_mpt_t *view,
                       coh_trie_proof_t *out,
                       coh_addr_t const *addr,
                       uint32_t generation,
                       coh_bytes_t const *records,
                       size_t record_cnt,
                       coh_proof_t *proof,
                       coh_buf_t *leaf)
{
    coh_hash_t key;
    coh_mpt_node_t node;
    coh_keccak256(&key, addr->b, sizeof(addr->b));
    coh_mpt_id_t id = coh_mpt_id_bucket((uint32_t)key.b[0] << 4 | key.b[1] >> 4);
    COH_TRY(coh_history_rewind(view, &id, records, record_cnt, &node));
    COH_TRY(coh_mpt_prove(view, proof, &id, &key));
    put_nodes(&out->nodes, proof);
    coh_trie_account_t account = {.storage_root = COH_EMPTY_TRIE_ROOT};
    coh_err_t rc               = coh_mpt_get(view, &id, &key, leaf);
    if (rc == COH_OK && coh_trie_account_get(&account, coh_buf_bytes(leaf)) != COH_OK) {
        return COH_ECORRUPT;
    }
    if (rc != COH_OK && rc != COH_ENOTFOUND) {
        return rc;
    }
    bool is_empty = coh_hash_eq(&account.storage_root, &COH_EMPTY_TRIE_ROOT);
    if (!is_empty && out->slot_cnt != 0) {
        COH_TRY(
            find_storage(view, &id, &account.storage_root, &key, generation, records, record_cnt));
    }
    for (size_t i = 0; i < out->slot_cnt; i++) {
        uint8_t text[32];
        coh_u256_to_be(text, &out->slots[i].slot);
        coh_keccak256(&key, text, sizeof(text));
        proof->cnt = 0; /* an empty trie's proof is empty */
        if (!is_empty) {
            COH_TRY(coh_mpt_prove(view, proof, &id, &key));
        }
        put_nodes(&out->slots[i].nodes, proof);
    }
    return COH_OK;
}

coh_err_t coh_trie_prove(coh_mpt_t *mpt,
                         coh_trie_proof_t *out,
                         coh_addr_t const *addr,
                         uint32_t generation,
                         coh_bytes_t const *records,
                         size_t record_cnt)
{
    coh_mpt_t *view   = coh_mpt_view_new(mpt);
    coh_proof_t proof = COH_PROOF_INIT;
    coh_buf_t leaf    = COH_BUF_INIT;
    coh_err_t rc      = prove(view, out, addr, generation, records, record_cnt, &proof, &leaf);
    coh_buf_free(&leaf);
    coh_proof_free(&proof);
    coh_mpt_free(view);
    return rc;
}
