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

/* Longest encoding: two octets of header, numbers of 8 and 32 octets, two hashes, an octet of length each. */
#define COH_TRIE_ACCOUNT_MAX 110u
/* Behind the storage root come 33 octets, whatever the account. */
#define COH_TRIE_ACCOUNT_ROOT_FROM_END 65u

/* coh_trie_account_write writes it to out, and returns the length: more than 55 octets in all, so that its list has a header of two. */
static inline size_t coh_trie_account_write(uint8_t out[COH_TRIE_ACCOUNT_MAX],
                                            coh_trie_account_t const *account)
{
    coh_u256_t const numbers[2] = {coh_u256(account->nonce), account->balance};
    uint8_t *p                  = out + 2;
    for (size_t i = 0; i < 2; i++) {
        uint8_t be[32];
        size_t len = coh_u256_be_len(&numbers[i]);
        coh_u256_to_be(be, &numbers[i]);
        if (len != 1 || be[31] >= 0x80) {
            *p++ = (uint8_t)(0x80 + len);
        }
        memcpy(p, be + 32 - len, len);
        p += len;
    }
    *p++ = 0xa0;
    memcpy(p, account->storage_root.b, 32);
    p += 32;
    *p++ = 0xa0;
    memcpy(p, account->code_hash.b, 32);
    p += 32;
    out[0] = 0xf8;
    out[1] = (uint8_t)(p - out - 2);
    return (size_t)(p - out);
}

/* coh_trie_account_put appends it. */
static inline void coh_trie_account_put(coh_buf_t *out, coh_trie_account_t const *account)
{
    uint8_t *p = coh_buf_extend(out, COH_TRIE_ACCOUNT_MAX);
    out->n -= COH_TRIE_ACCOUNT_MAX - coh_trie_account_write(p, account);
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
