/* account.h: an account as the state trie holds it (Yellow Paper 4.1): rlp([nonce, balance, storage root, code hash]). */
#ifndef COH_TRIE_ACCOUNT_H
#define COH_TRIE_ACCOUNT_H

#include "common/codec/rlp.h"

typedef struct {
    uint64_t nonce;
    coh_u256_t balance;
    coh_hash_t storage_root;
    coh_hash_t code_hash;
} coh_trie_account_t;

/* coh_trie_account_put appends it: at most 110 octets. */
static inline void coh_trie_account_put(coh_buf_t *out, coh_trie_account_t const *account)
{
    size_t start = out->n;
    coh_rlp_put_u64(out, account->nonce);
    coh_rlp_put_u256(out, &account->balance);
    coh_rlp_put_string(out, account->storage_root.b, sizeof(account->storage_root.b));
    coh_rlp_put_string(out, account->code_hash.b, sizeof(account->code_hash.b));
    coh_rlp_wrap_list(out, start);
}

/* coh_trie_account_get reads one that fills in.    Returns: COH_OK; COH_EMALFORMED, COH_ETRUNCATED */
static inline coh_err_t coh_trie_account_get(coh_trie_account_t *out, coh_bytes_t in)
{
    coh_rlp_t reader = coh_rlp_reader(in);
    coh_rlp_t list;
    COH_TRY(coh_rlp_list(&reader, &list));
    COH_TRY(coh_rlp_end(&reader));
    COH_TRY(coh_rlp_u64(&list, &out->nonce));
    COH_TRY(coh_rlp_u256(&list, &out->balance));
    COH_TRY(coh_rlp_fixed(&list, out->storage_root.b, sizeof(out->storage_root.b)));
    COH_TRY(coh_rlp_fixed(&list, out->code_hash.b, sizeof(out->code_hash.b)));
    return coh_rlp_end(&list);
}

#endif
