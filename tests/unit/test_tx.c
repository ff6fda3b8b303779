/* Transactions: published examples, every static rule at its bound, and real blocks. The published
   suites: tests/conformance/test_transactions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/alloc.h"
#include "common/base/hex.h"
#include "common/codec/rlp.h"
#include "common/codec/tx.h"
#include "common/crypto/keccak.h"
#include "tests/support/data.h"

/* EIP-155's example: key, payload, digest, signed form. */
static char const eip155_raw[] =
    "f86c098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a76400008025a0"
    "28ef61340bd939bc2195fe537567866003e1a15d3c71ff63e1590620aa636276a0"
    "67cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d83";
static char const eip155_payload[] =
    "ec098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a764000080018080";
static char const eip155_sender[]      = "9d8a62f656a8d1615c1294fd71e9cfb3e4855a4f";
static uint8_t const eip155_secret[32] = {
    0x46, 0x46, 0x46, 0x46, 0x46, 0x46, 0x46, 0x46, 0x46, 0x46, 0x46, 0x46, 0x46, 0x46, 0x46, 0x46,
    0x46, 0x46, 0x46, 0x46, 0x46, 0x46, 0x46, 0x46, 0x46, 0x46, 0x46, 0x46, 0x46, 0x46, 0x46, 0x46};

static coh_tx_err_t decode_hex(coh_tx_t *tx, coh_buf_t *raw, char const *hex)
{
    assert_true(coh_test_hex(raw, hex));
    return coh_tx_decode(tx, coh_buf_bytes(raw));
}

static void assert_bytes(coh_buf_t const *got, char const *want_hex)
{
    coh_buf_t want = COH_BUF_INIT;
    assert_true(coh_test_hex(&want, want_hex));
    assert_true(coh_bytes_eq(coh_buf_bytes(got), coh_buf_bytes(&want)));
    coh_buf_free(&want);
}

/* Payloads of lists: versioned hashes 0x01..0a and 0x01..0b; one authorization [2, 0x77.., 3, 1, 5, 6]. */
static uint8_t const two_blobs[66] = {0xa0, 1, [32] = 0x0a, [33] = 0xa0, [34] = 1, [65] = 0x0b};
static uint8_t const one_auth[27]  = {0xda, 2,    0x94, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77,
                                      0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77,
                                      0x77, 0x77, 0x77, 0x77, 0x77, 3,    1,    5,    6};

/* A plain transfer of the given type that passes every check on chain 1 with the rules of Osaka,
   once signed. */
static coh_tx_t transfer(coh_tx_type_t type)
{
    coh_tx_t tx = {
        .type         = type,
        .has_chain_id = true,
        .chain_id     = 1,
        .nonce        = 5,
        .gas_limit    = 21000,
        .max_fee      = coh_u256(1000),
        .max_tip      = coh_u256(type >= COH_TX_DYNAMIC_FEE ? 10 : 1000),
        .value        = coh_u256(1),
    };
    memset(tx.to.b, 0x35, sizeof(tx.to.b));
    if (type == COH_TX_BLOB) {
        tx.max_fee_per_blob_gas = coh_u256(7);
        tx.blob_hashes          = coh_bytes(two_blobs, sizeof(two_blobs));
        tx.blob_cnt             = 2;
    } else if (type == COH_TX_SET_CODE) {
        tx.gas_limit = 21000 + 25000;
        tx.auth_list = coh_bytes(one_auth, sizeof(one_auth));
        tx.auth_cnt  = 1;
    }
    return tx;
}

static void sign(coh_tx_t *tx) { assert_int_equal(coh_tx_sign(tx, eip155_secret), COH_OK); }

static coh_tx_err_t recover(coh_tx_t const *tx, coh_hash_t *hash, coh_addr_t *sender)
{
    coh_buf_t scratch    = COH_BUF_INIT;
    coh_tx_recover_t one = {.tx = tx};
    (void)coh_tx_recover_batch(&one, 1, &scratch);
    coh_buf_free(&scratch);
    *hash   = one.hash;
    *sender = one.sender;
    return one.err;
}

static void tx_reads_and_signs_eip_155s_example(void **state)
{
    (void)state;
    coh_buf_t raw = COH_BUF_INIT;
    coh_buf_t out = COH_BUF_INIT;
    coh_tx_t tx;
    assert_int_equal(decode_hex(&tx, &raw, eip155_raw), COH_TX_OK);
    assert_int_equal(tx.type, COH_TX_LEGACY);
    assert_true(tx.has_chain_id && tx.chain_id == 1 && tx.nonce == 9 && tx.gas_limit == 21000);
    assert_true(tx.max_fee.w[0] == UINT64_C(20000000000));
    assert_true(coh_u256_eq(&tx.max_fee, &tx.max_tip));
    assert_true(tx.value.w[0] == UINT64_C(1000000000000000000));
    assert_false(tx.is_create);
    assert_int_equal(tx.data.n, 0);
    assert_int_equal(tx.parity, 0);
    coh_tx_put_signing_payload(&out, &tx);
    assert_bytes(&out, eip155_payload);
    coh_hash_t hash;
    coh_addr_t sender;
    coh_addr_t want = coh_test_addr(eip155_sender);
    assert_int_equal(recover(&tx, &hash, &sender), COH_TX_OK);
    assert_memory_equal(sender.b, want.b, 20);
    memset(tx.r, 0, sizeof(tx.r));
    memset(tx.s, 0, sizeof(tx.s));
    tx.parity = 1;
    sign(&tx);
    coh_buf_clear(&out);
    coh_tx_encode(&out, &tx);
    assert_bytes(&out, eip155_raw);
    coh_buf_free(&raw);
    coh_buf_free(&out);
}

/* The payloads are written out by hand from EIP-2930 and EIP-1559. */
static void tx_typed_payloads_follow_their_eips(void **state)
{
    (void)state;
    /* [[35..35, [00..00]]]: an address and one key. */
    coh_buf_t list = COH_BUF_INIT;
    assert_true(coh_test_hex(&list,
                             "f7943535353535353535353535353535353535353535e1a0"
                             "0000000000000000000000000000000000000000000000000000000000000000"));
    coh_buf_t out  = COH_BUF_INIT;
    coh_tx_t tx    = transfer(COH_TX_ACCESS_LIST);
    tx.access_list = coh_buf_bytes(&list);
    coh_tx_put_signing_payload(&out, &tx);
    assert_bytes(&out,
                 "01f85901058203e882520894353535353535353535353535353535353535353501"
                 "80f838f7943535353535353535353535353535353535353535e1a0"
                 "0000000000000000000000000000000000000000000000000000000000000000");
    tx      = transfer(COH_TX_DYNAMIC_FEE);
    tx.data = coh_bytes("\x01\x02", 2);
    coh_buf_clear(&out);
    coh_tx_put_signing_payload(&out, &tx);
    assert_bytes(&out,
                 "02e301050a8203e882520894353535353535353535353535353535353535353501820102c0");
    tx = transfer(COH_TX_BLOB); /* EIP-4844 */
    coh_buf_clear(&out);
    coh_tx_put_signing_payload(&out, &tx);
    assert_bytes(&out,
                 "03f86601050a8203e882520894"
                 "3535353535353535353535353535353535353535"
                 "0180c007f842"
                 "a0010000000000000000000000000000000000000000000000000000000000000a"
                 "a0010000000000000000000000000000000000000000000000000000000000000b");
    tx = transfer(COH_TX_SET_CODE); /* EIP-7702 */
    coh_buf_clear(&out);
    coh_tx_put_signing_payload(&out, &tx);
    assert_bytes(&out,
                 "04f83d01050a8203e882b3b094"
                 "3535353535353535353535353535353535353535"
                 "0180c0"
                 "dbda0294"
                 "7777777777777777777777777777777777777777"
                 "03010506");
    coh_buf_free(&out);
    coh_buf_free(&list);
}

static void tx_decode_undoes_encode_for_every_type(void **state)
{
    (void)state;
    static uint64_t const chain_ids[] = {0, 1, 1337, UINT64_C(0x8000000000000000), UINT64_MAX};
    coh_addr_t owner                  = coh_test_addr(eip155_sender);
    for (int type = COH_TX_LEGACY; type < COH_TX_TYPE_CNT; type++) {
        for (size_t i = 0; i < COH_CNT(chain_ids); i++) {
            coh_tx_t tx  = transfer((coh_tx_type_t)type);
            tx.chain_id  = chain_ids[i];
            tx.is_create = i == 2;
            tx.data      = coh_bytes("cohort", i == 3 ? 6 : 0);
            sign(&tx);
            coh_buf_t raw = COH_BUF_INIT;
            coh_tx_encode(&raw, &tx);
            coh_tx_t back;
            assert_int_equal(coh_tx_decode(&back, coh_buf_bytes(&raw)), COH_TX_OK);
            assert_int_equal(back.type, tx.type);
            assert_true(back.has_chain_id);
            assert_true(back.chain_id == tx.chain_id);
            assert_true(back.nonce == tx.nonce && back.gas_limit == tx.gas_limit);
            assert_true(coh_u256_eq(&back.max_fee, &tx.max_fee));
            assert_true(coh_u256_eq(&back.max_tip, &tx.max_tip));
            assert_true(coh_u256_eq(&back.value, &tx.value));
            assert_true(coh_bytes_eq(back.data, tx.data));
            assert_true(coh_u256_eq(&back.max_fee_per_blob_gas, &tx.max_fee_per_blob_gas));
            assert_true(coh_bytes_eq(back.blob_hashes, tx.blob_hashes));
            assert_true(coh_bytes_eq(back.auth_list, tx.auth_list));
            assert_int_equal(back.blob_cnt, tx.blob_cnt);
            assert_int_equal(back.auth_cnt, tx.auth_cnt);
            assert_int_equal(back.is_create, tx.is_create);
            assert_int_equal(back.parity, tx.parity);
            assert_memory_equal(back.r, tx.r, 32);
            assert_memory_equal(back.s, tx.s, 32);
            coh_hash_t hash, want;
            coh_addr_t sender;
            assert_int_equal(recover(&back, &hash, &sender), COH_TX_OK);
            assert_memory_equal(sender.b, owner.b, 20);
            coh_keccak256(&want, raw.p, raw.n);
            assert_memory_equal(hash.b, want.b, 32);
            coh_buf_free(&raw);
        }
    }
}

/* A legacy transaction with v (hex of its RLP item) and r = s = 1. */
static coh_tx_err_t decode_with_v(coh_tx_t *tx, char const *v_item)
{
    static char const head[] = "09018252089435353535353535353535353535353535353535350180";
    coh_buf_t raw            = COH_BUF_INIT;
    coh_buf_t part           = COH_BUF_INIT;
    assert_true(coh_test_hex(&raw, head));
    assert_true(coh_test_hex(&part, v_item));
    coh_buf_put(&raw, part.p, part.n);
    coh_buf_put(&raw, "\x01\x01", 2);
    coh_rlp_wrap_list(&raw, 0);
    coh_tx_err_t err = coh_tx_decode(tx, coh_buf_bytes(&raw));
    coh_buf_free(&raw);
    coh_buf_free(&part);
    return err;
}

static void tx_legacy_v_spans_64_bit_chain_ids(void **state)
{
    (void)state;
    static struct {
        char const *v;
        bool has_chain_id;
        uint64_t chain_id;
        uint8_t parity;
    } const good[] = {
        {"1b", false, 0, 0},
        {"1c", false, 0, 1},
        {"23", true, 0, 0},
        {"24", true, 0, 1},
        {"25", true, 1, 0},
        {"89020000000000000021", true, UINT64_MAX, 0},
        {"89020000000000000022", true, UINT64_MAX, 1},
    };
    static char const *const bad[] = {
        "80",
        "01",
        "1a",
        "1d",
        "22",
        "00",
        "811b",
        "82001b",
        "89020000000000000023",   /* chain id 2^64 */
        "8a01000000000000000000", /* 2^72 */
        "a0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "c0",
    };
    coh_tx_t tx;
    for (size_t i = 0; i < COH_CNT(good); i++) {
        assert_int_equal(decode_with_v(&tx, good[i].v), COH_TX_OK);
        assert_int_equal(tx.has_chain_id, good[i].has_chain_id);
        assert_true(tx.chain_id == good[i].chain_id);
        assert_int_equal(tx.parity, good[i].parity);
    }
    for (size_t i = 0; i < COH_CNT(bad); i++) {
        assert_int_equal(decode_with_v(&tx, bad[i]), COH_TX_MALFORMED);
    }
}

/* A signed access list transaction whose list is what hex spells. */
static coh_tx_err_t decode_with_access_list(coh_tx_t *tx, coh_buf_t *raw, char const *hex)
{
    coh_buf_t list = COH_BUF_INIT;
    assert_true(coh_test_hex(&list, hex));
    coh_tx_t made    = transfer(COH_TX_ACCESS_LIST);
    made.access_list = coh_buf_bytes(&list);
    sign(&made);
    coh_buf_clear(raw);
    coh_tx_encode(raw, &made);
    coh_buf_free(&list);
    return coh_tx_decode(tx, coh_buf_bytes(raw));
}

#define ADDR "943535353535353535353535353535353535353535"
#define KEY  "a00000000000000000000000000000000000000000000000000000000000000001"

static void tx_access_list_structure_is_checked(void **state)
{
    (void)state;
    coh_tx_t tx;
    coh_buf_t raw = COH_BUF_INIT;
    assert_int_equal(decode_with_access_list(&tx, &raw, ""), COH_TX_OK);
    assert_int_equal(tx.access_addr_cnt, 0);
    assert_int_equal(decode_with_access_list(&tx, &raw, "d6" ADDR "c0"), COH_TX_OK);
    assert_int_equal(tx.access_addr_cnt, 1);
    assert_int_equal(tx.access_key_cnt, 0);
    assert_int_equal(
        decode_with_access_list(&tx, &raw, "f859" ADDR "f842" KEY KEY "f7" ADDR "e1" KEY),
        COH_TX_OK);
    assert_int_equal(tx.access_addr_cnt, 2);
    assert_int_equal(tx.access_key_cnt, 3);
    assert_true(coh_tx_intrinsic_gas(&tx, COH_FORK_BERLIN) == 21000 + 2 * 2400 + 3 * 1900);
    static char const *const bad[] = {
        "80",                                               /* a string for an entry */
        "c0",                                               /* an entry without fields */
        "d5" ADDR,                                          /* no keys */
        "d6" ADDR "80",                                     /* a string for the keys */
        "d7" ADDR "c0c0",                                   /* a third field */
        "d59335353535353535353535353535353535353535c0",     /* address of 19 octets */
        "d795353535353535353535353535353535353535353535c0", /* of 21 */
        "f6" ADDR "e09f00000000000000000000000000000000000000000000000000000000000000",
        "d7" ADDR "c1c0", /* a list for a key */
    };
    for (size_t i = 0; i < COH_CNT(bad); i++) {
        assert_int_equal(decode_with_access_list(&tx, &raw, bad[i]), COH_TX_MALFORMED);
    }
    coh_buf_free(&raw);
}

/* A signed transaction of the type whose own list is what hex spells. */
static coh_tx_err_t decode_with_list(coh_tx_t *tx,
                                     coh_buf_t *raw,
                                     coh_tx_type_t type,
                                     char const *hex)
{
    coh_buf_t list = COH_BUF_INIT;
    assert_true(coh_test_hex(&list, hex));
    coh_tx_t made                                                = transfer(type);
    *(type == COH_TX_BLOB ? &made.blob_hashes : &made.auth_list) = coh_buf_bytes(&list);
    sign(&made);
    coh_buf_clear(raw);
    coh_tx_encode(raw, &made);
    coh_buf_free(&list);
    return coh_tx_decode(tx, coh_buf_bytes(raw));
}

static void tx_blob_hashes_structure_is_checked(void **state)
{
    (void)state;
    coh_tx_t tx;
    coh_buf_t raw = COH_BUF_INIT;
    assert_int_equal(decode_with_list(&tx, &raw, COH_TX_BLOB, ""), COH_TX_OK);
    assert_int_equal(tx.blob_cnt, 0);
    assert_int_equal(decode_with_list(&tx, &raw, COH_TX_BLOB, KEY KEY KEY), COH_TX_OK);
    assert_int_equal(tx.blob_cnt, 3);
    static char const *const bad[] = {"80", "c0", KEY "01", ADDR, "e1" KEY, KEY "a0"};
    for (size_t i = 0; i < COH_CNT(bad); i++) {
        assert_int_equal(decode_with_list(&tx, &raw, COH_TX_BLOB, bad[i]), COH_TX_MALFORMED);
    }
    /* The form of the network, with its sidecar: [transaction, blobs, commitments, proofs]. */
    coh_tx_t made = transfer(COH_TX_BLOB);
    sign(&made);
    coh_buf_clear(&raw);
    coh_tx_encode(&raw, &made);
    coh_buf_put(&raw, "\xc0\xc0\xc0", 3);
    coh_rlp_wrap_list(&raw, 1);
    assert_int_equal(coh_tx_decode(&tx, coh_buf_bytes(&raw)), COH_TX_MALFORMED);
    coh_buf_free(&raw);
}

#define ONES_64  "88ffffffffffffffff"
#define ONES_256 "a0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
#define OVER_64  "89010000000000000000"
#define OVER_256 "a1010000000000000000000000000000000000000000000000000000000000000000"

/* As decode_with_list, of one authorization with the fields that hex spells. */
static coh_tx_err_t decode_with_auth(coh_tx_t *tx, coh_buf_t *raw, char const *hex)
{
    coh_buf_t item = COH_BUF_INIT;
    assert_true(coh_test_hex(&item, hex));
    coh_rlp_wrap_list(&item, 0);
    char text[512];
    coh_hex_encode(text, item.p, item.n);
    coh_buf_free(&item);
    return decode_with_list(tx, raw, COH_TX_SET_CODE, text);
}

/* EIP-7702: chain id, r and s below 2^256, nonce below 2^64, parity below 2^8. */
static void tx_authorization_structure_is_checked(void **state)
{
    (void)state;
    static char const *const good[] = {
        "80" ADDR "80808080",
        "01" ADDR "017f0101",
        "01" ADDR "0181ff0101",
        ONES_256 ADDR ONES_64 "80" ONES_256 ONES_256,
    };
    static char const *const bad[] = {
        "",
        "80" ADDR "808080",
        "80" ADDR "8080808080",
        "00" ADDR "80808080", /* zero is the empty string */
        "80" ADDR "00808080",
        "80" ADDR "80008080",
        "80" ADDR "80800080",
        "80" ADDR "80808000",
        OVER_256 ADDR "80808080",
        "80" ADDR OVER_64 "808080",
        "80" ADDR "808201008080", /* parity 256 */
        "80" ADDR "8080" OVER_256 "80",
        "80" ADDR "808080" OVER_256,
        "80"
        "80"
        "80808080", /* no address */
        "80"
        "933535353535353535353535353535353535353535"
        "80808080",
        "80" ADDR "808080c0",
        "c0" ADDR "80808080",
    };
    coh_tx_t tx;
    coh_buf_t raw = COH_BUF_INIT;
    assert_int_equal(decode_with_list(&tx, &raw, COH_TX_SET_CODE, ""), COH_TX_OK);
    assert_int_equal(tx.auth_cnt, 0);
    assert_int_equal(decode_with_list(&tx, &raw, COH_TX_SET_CODE, "80"), COH_TX_MALFORMED);
    assert_int_equal(decode_with_list(&tx, &raw, COH_TX_SET_CODE, "c0"), COH_TX_MALFORMED);
    for (size_t i = 0; i < COH_CNT(good); i++) {
        assert_int_equal(decode_with_auth(&tx, &raw, good[i]), COH_TX_OK);
        assert_int_equal(tx.auth_cnt, 1);
    }
    for (size_t i = 0; i < COH_CNT(bad); i++) {
        assert_int_equal(decode_with_auth(&tx, &raw, bad[i]), COH_TX_MALFORMED);
    }
    coh_buf_free(&raw);
}

static void tx_iterators_give_each_member(void **state)
{
    (void)state;
    coh_tx_t tx;
    coh_buf_t raw = COH_BUF_INIT;
    /* No key, then two, then one. */
    assert_int_equal(decode_with_access_list(&tx,
                                             &raw,
                                             "d6941111111111111111111111111111111111111111c0"
                                             "f859" ADDR "f842" KEY
                                             "a0ee00000000000000000000000000000000000000000000"
                                             "0000000000000000ff"
                                             "f7" ADDR "e1" KEY),
                     COH_TX_OK);
    static uint32_t const key_cnts[] = {0, 2, 1};
    coh_rlp_t list                   = coh_tx_access_iter(&tx);
    coh_rlp_t keys;
    coh_addr_t addr;
    coh_hash_t key;
    for (size_t i = 0; i < COH_CNT(key_cnts); i++) {
        assert_true(coh_tx_access_next(&list, &addr, &keys));
        assert_int_equal(addr.b[0], i == 0 ? 0x11 : 0x35);
        assert_int_equal(addr.b[19], i == 0 ? 0x11 : 0x35);
        for (uint32_t k = 0; k < key_cnts[i]; k++) {
            assert_true(coh_tx_access_key_next(&keys, &key));
            assert_int_equal(key.b[0], k == 0 ? 0 : 0xee);
            assert_int_equal(key.b[31], k == 0 ? 1 : 0xff);
        }
        assert_false(coh_tx_access_key_next(&keys, &key));
    }
    assert_false(coh_tx_access_next(&list, &addr, &keys));

    tx   = transfer(COH_TX_BLOB);
    list = coh_tx_blob_iter(&tx);
    for (uint8_t last = 0x0a; last <= 0x0b; last++) {
        assert_true(coh_tx_blob_next(&list, &key));
        assert_int_equal(key.b[0], 1);
        assert_int_equal(key.b[31], last);
    }
    assert_false(coh_tx_blob_next(&list, &key));

    tx = transfer(COH_TX_SET_CODE);
    coh_tx_auth_t auth;
    list = coh_tx_auth_iter(&tx);
    assert_true(coh_tx_auth_next(&list, &auth));
    assert_true(auth.chain_id.w[0] == 2 && auth.nonce == 3 && auth.parity == 1);
    assert_int_equal(auth.addr.b[0], 0x77);
    assert_int_equal(auth.addr.b[19], 0x77);
    assert_int_equal(auth.r[31], 5);
    assert_int_equal(auth.s[31], 6);
    assert_false(auth.has_authority);
    assert_false(coh_tx_auth_next(&list, &auth));

    tx   = transfer(COH_TX_LEGACY);
    list = coh_tx_access_iter(&tx);
    assert_false(coh_tx_access_next(&list, &addr, &keys));
    list = coh_tx_blob_iter(&tx);
    assert_false(coh_tx_blob_next(&list, &key));
    list = coh_tx_auth_iter(&tx);
    assert_false(coh_tx_auth_next(&list, &auth));
    coh_buf_free(&raw);
}

/* Signed here, recovered here; those that others signed: tests/conformance/test_transactions. */
static void tx_authorizations_have_signers(void **state)
{
    (void)state;
    coh_addr_t owner   = coh_test_addr(eip155_sender);
    coh_tx_auth_t made = {
        .chain_id = coh_u256(1), .addr = {{0x77}}, .nonce = UINT64_C(0x0102030405060708)};
    assert_int_equal(coh_tx_auth_sign(&made, eip155_secret), COH_OK);
    coh_addr_t got;
    assert_true(coh_tx_auth_recover(&got, &made));
    assert_memory_equal(got.b, owner.b, 20);
    coh_buf_t raw = COH_BUF_INIT;
    coh_tx_auth_put(&raw, &made);
    coh_tx_t tx    = transfer(COH_TX_SET_CODE);
    tx.auth_list   = coh_buf_bytes(&raw);
    coh_rlp_t list = coh_tx_auth_iter(&tx);
    coh_tx_auth_t auth;
    assert_true(coh_tx_auth_next(&list, &auth));
    assert_true(coh_tx_auth_recover(&got, &auth));
    assert_memory_equal(got.b, owner.b, 20);
    coh_buf_free(&raw);

    auth        = made;
    auth.parity = 2;
    assert_false(coh_tx_auth_recover(&got, &auth));
    auth.parity = made.parity;
    memset(auth.r, 0, sizeof(auth.r));
    assert_false(coh_tx_auth_recover(&got, &auth));
    auth = made;
    memset(auth.s, 0, sizeof(auth.s));
    assert_false(coh_tx_auth_recover(&got, &auth));
    /* The same signature with n - s for s, which is above n / 2, and the other parity. */
    coh_hash_t order =
        coh_test_hash("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");
    coh_u256_t n = coh_u256_from_be(order.b, 32);
    coh_u256_t s = coh_u256_from_be(made.s, 32);
    (void)coh_u256_sub(&s, &n, &s);
    auth = made;
    coh_u256_to_be(auth.s, &s);
    auth.parity ^= 1;
    assert_false(coh_tx_auth_recover(&got, &auth));
    auth = made;
    auth.nonce++;
    assert_true(!coh_tx_auth_recover(&got, &auth) || !coh_addr_eq(&got, &owner));
    static uint8_t const none[32];
    assert_int_equal(coh_tx_auth_sign(&auth, none), COH_ESIG);
}

static void tx_decode_sorts_out_types_and_sizes(void **state)
{
    (void)state;
    coh_tx_t tx;
    coh_buf_t raw = COH_BUF_INIT;
    assert_int_equal(coh_tx_decode(&tx, coh_bytes(NULL, 0)), COH_TX_MALFORMED);
    assert_int_equal(decode_hex(&tx, &raw, "03f800"), COH_TX_MALFORMED);
    assert_int_equal(decode_hex(&tx, &raw, "04f800"), COH_TX_MALFORMED);
    assert_int_equal(decode_hex(&tx, &raw, "00c0"), COH_TX_MALFORMED);
    assert_int_equal(decode_hex(&tx, &raw, "05c0"), COH_TX_MALFORMED);
    assert_int_equal(decode_hex(&tx, &raw, "80"), COH_TX_MALFORMED);
    assert_int_equal(decode_hex(&tx, &raw, "01"), COH_TX_MALFORMED);
    assert_int_equal(decode_hex(&tx, &raw, "c0"), COH_TX_MALFORMED);
    /* The largest admitted size, and one octet more. */
    uint8_t *data = coh_calloc(1, COH_TX_RAW_MAX);
    coh_tx_t big  = transfer(COH_TX_DYNAMIC_FEE);
    sign(&big);
    coh_buf_clear(&raw);
    coh_tx_encode(&raw, &big);
    size_t overhead = raw.n + 2 + 3; /* longer headers of list and data */
    for (size_t more = 0; more < 2; more++) {
        big.data = coh_bytes(data, COH_TX_RAW_MAX - overhead + more);
        coh_buf_clear(&raw);
        coh_tx_encode(&raw, &big);
        assert_int_equal(raw.n, COH_TX_RAW_MAX + more);
        assert_int_equal(coh_tx_decode(&tx, coh_buf_bytes(&raw)),
                         more == 0 ? COH_TX_OK : COH_TX_TOO_LARGE);
    }
    free(data);
    coh_buf_free(&raw);
}

/* Cut short anywhere, or followed by anything, a transaction is none. */
static void tx_decode_wants_exactly_one(void **state)
{
    (void)state;
    for (int type = COH_TX_LEGACY; type < COH_TX_TYPE_CNT; type++) {
        coh_tx_t tx = transfer((coh_tx_type_t)type);
        sign(&tx);
        coh_buf_t raw = COH_BUF_INIT;
        coh_tx_encode(&raw, &tx);
        for (size_t n = 0; n < raw.n; n++) {
            assert_int_equal(coh_tx_decode(&tx, coh_bytes(raw.p, n)), COH_TX_MALFORMED);
        }
        coh_buf_put_u8(&raw, 0x80);
        assert_int_equal(coh_tx_decode(&tx, coh_buf_bytes(&raw)), COH_TX_MALFORMED);
        coh_buf_free(&raw);
    }
}

static coh_tx_err_t check(coh_tx_t const *tx, coh_fork_t fork)
{
    return coh_tx_check_static(tx, fork, 1, true);
}

static void tx_check_accepts_transfers_since_their_fork(void **state)
{
    (void)state;
    static coh_fork_t const since[COH_TX_TYPE_CNT] = {
        COH_FORK_SPURIOUS, COH_FORK_BERLIN, COH_FORK_LONDON, COH_FORK_CANCUN, COH_FORK_PRAGUE};
    static coh_tx_err_t const before[COH_TX_TYPE_CNT] = {COH_TX_SIGNATURE,
                                                         COH_TX_TYPE_UNSUPPORTED,
                                                         COH_TX_TYPE_UNSUPPORTED,
                                                         COH_TX_TYPE_UNSUPPORTED,
                                                         COH_TX_TYPE_UNSUPPORTED};
    for (int type = COH_TX_LEGACY; type < COH_TX_TYPE_CNT; type++) {
        coh_tx_t tx = transfer((coh_tx_type_t)type);
        sign(&tx);
        for (int fork = 0; fork < COH_FORK_CNT; fork++) {
            assert_int_equal(check(&tx, (coh_fork_t)fork),
                             (coh_fork_t)fork >= since[type] ? COH_TX_OK : before[type]);
        }
    }
}

static void tx_check_chain_ids(void **state)
{
    (void)state;
    coh_tx_t tx = transfer(COH_TX_LEGACY);
    sign(&tx);
    assert_int_equal(coh_tx_check_static(&tx, COH_FORK_OSAKA, 1, false), COH_TX_OK);
    assert_int_equal(coh_tx_check_static(&tx, COH_FORK_OSAKA, 2, false), COH_TX_CHAIN_ID);
    assert_int_equal(coh_tx_check_static(&tx, COH_FORK_OSAKA, 2, true), COH_TX_CHAIN_ID);
    tx.has_chain_id = false;
    sign(&tx);
    assert_int_equal(coh_tx_check_static(&tx, COH_FORK_OSAKA, 1, false), COH_TX_UNPROTECTED);
    assert_int_equal(coh_tx_check_static(&tx, COH_FORK_OSAKA, 1, true), COH_TX_OK);
    assert_int_equal(coh_tx_check_static(&tx, COH_FORK_FRONTIER, 1, true), COH_TX_OK);
    tx          = transfer(COH_TX_DYNAMIC_FEE);
    tx.chain_id = 0;
    sign(&tx);
    assert_int_equal(check(&tx, COH_FORK_OSAKA), COH_TX_CHAIN_ID);
}

static void tx_check_signature_ranges(void **state)
{
    (void)state;
    coh_hash_t order =
        coh_test_hash("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");
    coh_hash_t half =
        coh_test_hash("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0");
    coh_tx_t good     = transfer(COH_TX_LEGACY);
    good.has_chain_id = false;
    sign(&good);
    coh_tx_t tx = good;
    memset(tx.r, 0, 32);
    assert_int_equal(check(&tx, COH_FORK_OSAKA), COH_TX_SIGNATURE);
    memcpy(tx.r, order.b, 32);
    assert_int_equal(check(&tx, COH_FORK_OSAKA), COH_TX_SIGNATURE);
    tx.r[31]--;
    assert_int_equal(check(&tx, COH_FORK_OSAKA), COH_TX_OK);
    tx = good;
    memset(tx.s, 0, 32);
    assert_int_equal(check(&tx, COH_FORK_OSAKA), COH_TX_SIGNATURE);
    memcpy(tx.s, half.b, 32);
    assert_int_equal(check(&tx, COH_FORK_HOMESTEAD), COH_TX_OK);
    tx.s[31]++;
    assert_int_equal(check(&tx, COH_FORK_HOMESTEAD), COH_TX_SIGNATURE);
    assert_int_equal(check(&tx, COH_FORK_FRONTIER), COH_TX_OK);
    memcpy(tx.s, order.b, 32);
    assert_int_equal(check(&tx, COH_FORK_FRONTIER), COH_TX_SIGNATURE);
}

static void tx_check_amounts_at_their_bounds(void **state)
{
    (void)state;
    coh_tx_t tx = transfer(COH_TX_DYNAMIC_FEE);
    sign(&tx);
    tx.nonce = UINT64_MAX - 1;
    assert_int_equal(check(&tx, COH_FORK_OSAKA), COH_TX_OK);
    tx.nonce = UINT64_MAX;
    assert_int_equal(check(&tx, COH_FORK_OSAKA), COH_TX_NONCE_MAX);
    tx.nonce     = 0;
    tx.gas_limit = 20999;
    assert_int_equal(check(&tx, COH_FORK_OSAKA), COH_TX_INTRINSIC_GAS);
    tx.gas_limit = 16777216; /* EIP-7825 */
    assert_int_equal(check(&tx, COH_FORK_OSAKA), COH_TX_OK);
    tx.gas_limit++;
    assert_int_equal(check(&tx, COH_FORK_OSAKA), COH_TX_GAS_CAP);
    assert_int_equal(check(&tx, COH_FORK_PRAGUE), COH_TX_OK);
    tx.gas_limit = 21000;
    tx.max_tip   = tx.max_fee;
    assert_int_equal(check(&tx, COH_FORK_OSAKA), COH_TX_OK);
    tx.max_tip.w[0]++;
    assert_int_equal(check(&tx, COH_FORK_OSAKA), COH_TX_TIP_ABOVE_CAP);
    /* gas * fee + value is 2^256 - 1, then 2^256; then the product alone overflows. */
    tx.gas_limit = 32768;
    tx.max_fee   = (coh_u256_t){{0, 0, 0, UINT64_C(1) << 48}};
    tx.value     = (coh_u256_t){{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX >> 1}};
    assert_int_equal(check(&tx, COH_FORK_OSAKA), COH_TX_OK);
    coh_u256_t upfront;
    assert_false(coh_tx_upfront(&upfront, &tx));
    assert_true((upfront.w[0] & upfront.w[1] & upfront.w[2] & upfront.w[3]) == UINT64_MAX);
    tx.max_fee.w[0] = 1;
    assert_int_equal(check(&tx, COH_FORK_OSAKA), COH_TX_FEE_OVERFLOW);
    tx.value = COH_U256_ZERO;
    assert_int_equal(check(&tx, COH_FORK_OSAKA), COH_TX_OK);
    tx.max_fee.w[3] <<= 1;
    assert_int_equal(check(&tx, COH_FORK_OSAKA), COH_TX_FEE_OVERFLOW);
}

/* cnt versioned hashes of the given version. */
static void put_blobs(coh_buf_t *out, uint32_t cnt, uint8_t version)
{
    coh_buf_clear(out);
    for (uint32_t i = 0; i < cnt; i++) {
        uint8_t hash[32] = {version, [31] = (uint8_t)i};
        coh_rlp_put_string(out, hash, sizeof(hash));
    }
}

static void tx_check_blobs(void **state)
{
    (void)state;
    coh_buf_t list = COH_BUF_INIT;
    coh_tx_t tx    = transfer(COH_TX_BLOB);
    sign(&tx);
    put_blobs(&list, 6, 1);
    tx.blob_hashes = coh_buf_bytes(&list);
    tx.blob_cnt    = 6;
    assert_int_equal(check(&tx, COH_FORK_OSAKA), COH_TX_OK);
    assert_int_equal(coh_tx_check_blob_cnt(&tx, 6), COH_TX_OK);
    assert_int_equal(coh_tx_check_blob_cnt(&tx, 5), COH_TX_BLOB_CNT);
    assert_true(coh_tx_blob_gas(&tx) == 786432);
    put_blobs(&list, 7, 1);
    tx.blob_hashes = coh_buf_bytes(&list);
    tx.blob_cnt    = 7;
    assert_int_equal(check(&tx, COH_FORK_OSAKA), COH_TX_BLOB_CNT);
    assert_int_equal(check(&tx, COH_FORK_PRAGUE), COH_TX_OK);
    list.p[33 * 6 + 1] = 2; /* the last one's version */
    assert_int_equal(check(&tx, COH_FORK_PRAGUE), COH_TX_BLOB_VERSION);
    tx.is_create = true;
    assert_int_equal(check(&tx, COH_FORK_PRAGUE), COH_TX_BLOB_CREATE);
    tx.is_create   = false;
    tx.blob_hashes = coh_bytes(NULL, 0);
    tx.blob_cnt    = 0;
    assert_int_equal(check(&tx, COH_FORK_CANCUN), COH_TX_BLOB_NONE);
    coh_buf_free(&list);
    /* 21000 * 1000 + 1 + 2 * 131072 * 7; then a blob fee of 2^255 - 1 a gas, too much alone. */
    coh_u256_t upfront;
    tx = transfer(COH_TX_BLOB);
    sign(&tx);
    assert_false(coh_tx_upfront(&upfront, &tx));
    assert_true(upfront.w[0] == 22835009);
    tx.max_fee_per_blob_gas = (coh_u256_t){{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX >> 1}};
    assert_int_equal(check(&tx, COH_FORK_CANCUN), COH_TX_FEE_OVERFLOW);
    /* 2^256 - 2^18 for blobs leaves 2^18 - 1 for the rest. */
    tx.max_fee_per_blob_gas = (coh_u256_t){{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX >> 18}};
    tx.max_tip = tx.max_fee = coh_u256(12);
    tx.value                = coh_u256(262143 - 252000);
    assert_int_equal(check(&tx, COH_FORK_CANCUN), COH_TX_OK);
    tx.value = coh_u256(262144 - 252000);
    assert_int_equal(check(&tx, COH_FORK_CANCUN), COH_TX_FEE_OVERFLOW);
}

static void tx_check_authorizations(void **state)
{
    (void)state;
    coh_tx_t tx = transfer(COH_TX_SET_CODE);
    sign(&tx);
    assert_int_equal(check(&tx, COH_FORK_PRAGUE), COH_TX_OK);
    assert_true(coh_tx_intrinsic_gas(&tx, COH_FORK_PRAGUE) == 46000);
    assert_true(coh_tx_floor_gas(&tx, COH_FORK_PRAGUE) == 21000);
    tx.gas_limit--;
    assert_int_equal(check(&tx, COH_FORK_PRAGUE), COH_TX_INTRINSIC_GAS);
    tx.is_create = true;
    assert_int_equal(check(&tx, COH_FORK_PRAGUE), COH_TX_AUTH_CREATE);
    tx.is_create = false;
    tx.auth_list = coh_bytes(NULL, 0);
    tx.auth_cnt  = 0;
    assert_int_equal(check(&tx, COH_FORK_PRAGUE), COH_TX_AUTH_NONE);
}

static void tx_check_counts_code_of_creations(void **state)
{
    (void)state;
    coh_tx_t tx  = transfer(COH_TX_LEGACY);
    tx.is_create = true;
    tx.gas_limit = 53000;
    sign(&tx);
    assert_int_equal(check(&tx, COH_FORK_OSAKA), COH_TX_OK);
    tx.gas_limit = 52999;
    assert_int_equal(check(&tx, COH_FORK_OSAKA), COH_TX_INTRINSIC_GAS);
    tx.data      = coh_bytes("\0", 1); /* 4 gas, and 2 for a word of init code (EIP-3860) */
    tx.gas_limit = 53006;
    assert_int_equal(check(&tx, COH_FORK_OSAKA), COH_TX_OK);
    tx.gas_limit = 53005;
    assert_int_equal(check(&tx, COH_FORK_OSAKA), COH_TX_INTRINSIC_GAS);
    uint8_t *code = coh_calloc(1, 49153);
    tx.gas_limit  = 10000000;
    tx.data       = coh_bytes(code, 49153); /* EIP-3860 */
    assert_int_equal(check(&tx, COH_FORK_PARIS), COH_TX_OK);
    assert_int_equal(check(&tx, COH_FORK_SHANGHAI), COH_TX_INITCODE_SIZE);
    tx.data.n--;
    assert_int_equal(check(&tx, COH_FORK_SHANGHAI), COH_TX_OK);
    free(code);
}

static void tx_may_run_code_unless_all_its_gas_is_its_own(void **state)
{
    (void)state;
    coh_tx_t tx = transfer(COH_TX_LEGACY);
    assert_int_equal(tx.gas_limit, 21000);
    assert_false(coh_tx_may_run_code(&tx));
    tx.gas_limit = 21001;
    assert_true(coh_tx_may_run_code(&tx));
    tx.gas_limit = 21000;
    tx.data      = coh_bytes("", 1);
    assert_true(coh_tx_may_run_code(&tx));
    tx.data      = coh_bytes(NULL, 0);
    tx.is_create = true; /* 21000 are enough for one in Frontier */
    assert_true(coh_tx_may_run_code(&tx));
}

/* Nonces 0 to 2 of the first are well known; 127 and above, where the encoding of the nonce changes, computed with Python. The second
   is what mainnet's block 47205 created. */
static void tx_created_address_is_the_known_one(void **state)
{
    (void)state;
    static struct {
        char const *sender;
        uint64_t nonce;
        char const *want;
    } const cases[] = {
        {"6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0", 0, "cd234a471b72ba2f1ccf0a70fcaba648a5eecd8d"},
        {"6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0", 1, "343c43a37d37dff08ae8c4a11544c718abb4fcf8"},
        {"6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0", 2, "f778b86fa74e846c4f0a1fbd1335fe81c00a0c91"},
        {"6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0",
         127,
         "06d9a77f5e4b311bae8d559db9cdb4df94104aa0"},
        {"6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0",
         128,
         "08e190dcb7b73f5fcdabb43e102215c83659a76d"},
        {"6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0",
         256,
         "3837c1ae70354f670550c746580199ac6a73cb0a"},
        {"6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0",
         UINT64_MAX - 1,
         "9ab3917bcc9efbcf7de35bced143ed95c3b3cbf5"},
        {"fbe0afcd7658ba86be41922059dd879c192d4c73", 0, "c669eaad75042be84daaf9b461b0e868b9ac1871"},
    };
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        coh_addr_t sender = coh_test_addr(cases[i].sender);
        coh_addr_t want   = coh_test_addr(cases[i].want);
        coh_addr_t got    = coh_tx_created_address(&sender, cases[i].nonce);
        assert_memory_equal(got.b, want.b, sizeof(got.b));
        coh_tx_t tx = {.is_create = true, .nonce = cases[i].nonce, .to = {{0x77}}};
        got         = coh_tx_receiver(&tx, &sender);
        assert_memory_equal(got.b, want.b, sizeof(got.b));
        tx.is_create = false;
        got          = coh_tx_receiver(&tx, &sender);
        assert_memory_equal(got.b, tx.to.b, sizeof(got.b));
    }
}

/* Figures added up by hand from the EIPs. */
static void tx_gas_follows_the_fork(void **state)
{
    (void)state;
    coh_tx_t tx = transfer(COH_TX_LEGACY);
    tx.data     = coh_bytes("\0\0\0abcd", 7); /* 3 zeros, 4 others */
    assert_true(coh_tx_intrinsic_gas(&tx, COH_FORK_FRONTIER) == 21000 + 3 * 4 + 4 * 68);
    assert_true(coh_tx_intrinsic_gas(&tx, COH_FORK_PETERSBURG) == 21000 + 3 * 4 + 4 * 68);
    assert_true(coh_tx_intrinsic_gas(&tx, COH_FORK_ISTANBUL) == 21000 + 3 * 4 + 4 * 16);
    assert_true(coh_tx_floor_gas(&tx, COH_FORK_CANCUN) == 0);
    assert_true(coh_tx_floor_gas(&tx, COH_FORK_PRAGUE) == 21000 + 10 * (3 + 4 * 4));
    sign(&tx);
    tx.gas_limit = 21076;
    assert_int_equal(check(&tx, COH_FORK_CANCUN), COH_TX_OK);
    tx.gas_limit = 21189;
    assert_int_equal(check(&tx, COH_FORK_PRAGUE), COH_TX_FLOOR_GAS);
    tx.gas_limit = 21190;
    assert_int_equal(check(&tx, COH_FORK_PRAGUE), COH_TX_OK);
    uint8_t code[33] = {0};
    tx.is_create     = true;
    tx.data          = coh_bytes(code, 33);
    assert_true(coh_tx_intrinsic_gas(&tx, COH_FORK_FRONTIER) == 21000 + 33 * 4);
    assert_true(coh_tx_intrinsic_gas(&tx, COH_FORK_HOMESTEAD) == 53000 + 33 * 4);
    assert_true(coh_tx_intrinsic_gas(&tx, COH_FORK_SHANGHAI) == 53000 + 33 * 4 + 2 * 2);
}

static void tx_effective_price_is_capped(void **state)
{
    (void)state;
    coh_tx_t tx = transfer(COH_TX_DYNAMIC_FEE); /* cap 1000, tip 10 */
    coh_u256_t price;
    coh_u256_t base_fee = coh_u256(900);
    coh_tx_effective_price(&price, &tx, &base_fee);
    assert_true(price.w[0] == 910);
    base_fee = coh_u256(995);
    coh_tx_effective_price(&price, &tx, &base_fee);
    assert_true(price.w[0] == 1000);
    tx.max_fee = (coh_u256_t){{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}};
    base_fee   = tx.max_fee;
    coh_tx_effective_price(&price, &tx, &base_fee);
    assert_true(coh_u256_eq(&price, &tx.max_fee));
}

static void tx_errors_have_texts(void **state)
{
    (void)state;
    for (int i = 0; i < COH_TX_ERR_CNT; i++) {
        assert_true(strlen(coh_tx_err_str((coh_tx_err_t)i)) > 1);
    }
    assert_string_equal(coh_tx_err_str(COH_TX_NONCE_TOO_LOW), "nonce too low");
    assert_non_null(coh_tx_err_str((coh_tx_err_t)COH_TX_ERR_CNT));
}

/* More than one chunk, with members passed over and members that nobody signed. */
static void tx_recover_batch_handles_each_member(void **state)
{
    (void)state;
    enum { CNT = 150 };
    static coh_tx_t txs[CNT];
    static coh_buf_t raws[CNT];
    static coh_tx_recover_t batch[CNT];
    coh_addr_t owner = coh_test_addr(eip155_sender);
    for (size_t i = 0; i < CNT; i++) {
        coh_tx_t tx = transfer((coh_tx_type_t)(i % COH_TX_TYPE_CNT));
        tx.nonce    = i;
        sign(&tx);
        if (i % 10 == 7) { /* no point has x = 5 */
            memset(tx.r, 0, 32);
            tx.r[31] = 5;
        }
        coh_tx_encode(&raws[i], &tx);
        assert_int_equal(coh_tx_decode(&txs[i], coh_buf_bytes(&raws[i])), COH_TX_OK);
        batch[i] = (coh_tx_recover_t){.tx = &txs[i], .err = i % 10 == 3 ? COH_TX_CHAIN_ID : 0};
    }
    coh_buf_t scratch = COH_BUF_INIT;
    uint64_t ns       = coh_tx_recover_batch(batch, CNT, &scratch);
    assert_true(ns > 0);
    for (size_t i = 0; i < CNT; i++) {
        coh_tx_err_t want = i % 10 == 3   ? COH_TX_CHAIN_ID
                            : i % 10 == 7 ? COH_TX_SIGNATURE
                                          : COH_TX_OK;
        assert_int_equal(batch[i].err, want);
        if (want != COH_TX_CHAIN_ID) {
            coh_hash_t hash;
            coh_keccak256(&hash, raws[i].p, raws[i].n);
            assert_memory_equal(batch[i].hash.b, hash.b, 32);
        }
        if (want == COH_TX_OK) {
            assert_memory_equal(batch[i].sender.b, owner.b, 20);
        }
        coh_buf_free(&raws[i]);
    }
    assert_true(coh_tx_recover_batch(NULL, 0, &scratch) == 0);
    coh_buf_free(&scratch);
}

/* All transactions of one block: decoded, encoded again, recovered in one batch. */
static void check_real_block(char const *path,
                             size_t type_cnt[COH_TX_TYPE_CNT],
                             uint64_t *recover_ns)
{
    json_t *doc             = coh_test_json(path);
    json_t const *list      = json_object_get(doc, "transactions");
    json_t const *senders   = json_object_get(doc, "senders");
    size_t cnt              = json_array_size(list);
    coh_buf_t *raws         = coh_calloc(cnt, sizeof(*raws));
    coh_tx_t *txs           = coh_calloc(cnt, sizeof(*txs));
    coh_tx_recover_t *batch = coh_calloc(cnt, sizeof(*batch));
    coh_buf_t scratch       = COH_BUF_INIT;
    for (size_t i = 0; i < cnt; i++) {
        char const *text = json_string_value(json_array_get(list, i));
        coh_tx_err_t err = decode_hex(&txs[i], &raws[i], text);
        if (err != COH_TX_OK) {
            fail_msg("%s, transaction %zu: %s", path, i, coh_tx_err_str(err));
        }
        batch[i] = (coh_tx_recover_t){.tx = &txs[i]};
        type_cnt[txs[i].type]++;
        coh_buf_clear(&scratch);
        coh_tx_encode(&scratch, &txs[i]);
        assert_true(coh_bytes_eq(coh_buf_bytes(&scratch), coh_buf_bytes(&raws[i])));
    }
    *recover_ns += coh_tx_recover_batch(batch, cnt, &scratch);
    for (size_t i = 0; i < cnt; i++) {
        assert_int_equal(batch[i].err, COH_TX_OK);
        coh_addr_t want = coh_test_addr(json_string_value(json_array_get(senders, i)));
        assert_memory_equal(batch[i].sender.b, want.b, 20);
        coh_buf_free(&raws[i]);
    }
    coh_buf_free(&scratch);
    free(raws);
    free(txs);
    free(batch);
    json_decref(doc);
}

static void tx_recovers_the_senders_of_real_blocks(void **state)
{
    (void)state;
    char const *dir = coh_test_data_dir();
    if (dir == NULL) {
        coh_test_skip("realblocks (10134 transactions)");
        return;
    }
    char **files;
    size_t cnt                       = coh_test_files(&files, dir, "realblocks", ".json");
    size_t type_cnt[COH_TX_TYPE_CNT] = {0};
    size_t tx_cnt                    = 0;
    uint64_t ns                      = 0;
    for (size_t i = 0; i < cnt; i++) {
        check_real_block(files[i], type_cnt, &ns);
    }
    coh_test_files_free(files);
    for (size_t type = 0; type < COH_TX_TYPE_CNT; type++) {
        print_message("%zu transactions of type %zu\n", type_cnt[type], type);
        assert_true(type_cnt[type] > 0);
        tx_cnt += type_cnt[type];
    }
    print_message("%zu transactions recovered, %zu ns each\n", tx_cnt, (size_t)(ns / tx_cnt));
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(tx_reads_and_signs_eip_155s_example),
        cmocka_unit_test(tx_typed_payloads_follow_their_eips),
        cmocka_unit_test(tx_decode_undoes_encode_for_every_type),
        cmocka_unit_test(tx_legacy_v_spans_64_bit_chain_ids),
        cmocka_unit_test(tx_access_list_structure_is_checked),
        cmocka_unit_test(tx_blob_hashes_structure_is_checked),
        cmocka_unit_test(tx_authorization_structure_is_checked),
        cmocka_unit_test(tx_iterators_give_each_member),
        cmocka_unit_test(tx_authorizations_have_signers),
        cmocka_unit_test(tx_decode_sorts_out_types_and_sizes),
        cmocka_unit_test(tx_decode_wants_exactly_one),
        cmocka_unit_test(tx_check_accepts_transfers_since_their_fork),
        cmocka_unit_test(tx_check_chain_ids),
        cmocka_unit_test(tx_check_signature_ranges),
        cmocka_unit_test(tx_check_amounts_at_their_bounds),
        cmocka_unit_test(tx_check_blobs),
        cmocka_unit_test(tx_check_authorizations),
        cmocka_unit_test(tx_check_counts_code_of_creations),
        cmocka_unit_test(tx_may_run_code_unless_all_its_gas_is_its_own),
        cmocka_unit_test(tx_created_address_is_the_known_one),
        cmocka_unit_test(tx_may_run_code_unless_all_its_gas_is_its_own),
        cmocka_unit_test(tx_gas_follows_the_fork),
        cmocka_unit_test(tx_effective_price_is_capped),
        cmocka_unit_test(tx_errors_have_texts),
        cmocka_unit_test(tx_recover_batch_handles_each_member),
        cmocka_unit_test(tx_recovers_the_senders_of_real_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
