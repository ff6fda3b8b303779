/* Recovery and signing against published vectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "common/crypto/ecdsa.h"
#include "common/crypto/keccak.h"
#include "tests/support/data.h"

static coh_sig_t signature(char const *r, char const *s, uint8_t parity)
{
    coh_sig_t sig   = {.parity = parity};
    coh_hash_t word = coh_test_hash(r);
    memcpy(sig.r, word.b, 32);
    word = coh_test_hash(s);
    memcpy(sig.s, word.b, 32);
    return sig;
}

static void assert_addr(coh_addr_t const *got, char const *want)
{
    coh_addr_t addr = coh_test_addr(want);
    assert_memory_equal(got->b, addr.b, 20);
}

/* go-ethereum, core/vm/testdata/precompiles/ecRecover.json; its s is in the upper half. */
static void ecdsa_recovers_the_published_sender(void **state)
{
    (void)state;
    coh_hash_t digest =
        coh_test_hash("18c547e4f7b0f325ad1e56f57e26c745b09a3e503d86e00e5255ff7f715d3d1c");
    coh_sig_t sig = signature("73b1693892219d736caba55bdb67216e485557ea6b6af75f37096c9aa6a5a75f",
                              "eeb940b1d03b21e36b0e47e79769f095fe2ab855bd91e3a38756b7d75a9c4549",
                              1);
    coh_addr_t addr;
    assert_int_equal(coh_ecdsa_recover(&addr, &digest, &sig), COH_OK);
    assert_addr(&addr, "a94f5374fce5edbc8e2a8697c15331677e6ebf0b");
    assert_false(coh_ecdsa_is_low_s(sig.s));
}

static void ecdsa_refuses_values_out_of_range(void **state)
{
    (void)state;
    static char const zero[]  = "0000000000000000000000000000000000000000000000000000000000000000";
    static char const one[]   = "0000000000000000000000000000000000000000000000000000000000000001";
    static char const order[] = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
    static char const good[]  = "73b1693892219d736caba55bdb67216e485557ea6b6af75f37096c9aa6a5a75f";
    coh_hash_t digest         = coh_test_hash(good);
    coh_addr_t addr;
    coh_sig_t bad[] = {
        signature(zero, one, 0),
        signature(good, zero, 0),
        signature(order, one, 0),
        signature(good, order, 0),
        signature(good, one, 2),
        signature(good, one, 27),
        /* No point has x = 5: 5^3 + 7 = 132 is no square modulo the field's prime. */
        signature("0000000000000000000000000000000000000000000000000000000000000005", one, 0),
    };
    for (size_t i = 0; i < COH_CNT(bad); i++) {
        assert_int_equal(coh_ecdsa_recover(&addr, &digest, &bad[i]), COH_ESIG);
    }
}

static void ecdsa_derives_known_addresses(void **state)
{
    (void)state;
    static struct {
        char const *secret;
        char const *addr;
    } const vectors[] = {
        {"0000000000000000000000000000000000000000000000000000000000000001",
         "7e5f4552091a69125d5dfcb7b8c2659029395bdf"},
        {"0000000000000000000000000000000000000000000000000000000000000002",
         "2b5ad5c4795c026514f8317c7a215e218dccd6cf"},
        {"4646464646464646464646464646464646464646464646464646464646464646", /* EIP-155 */
         "9d8a62f656a8d1615c1294fd71e9cfb3e4855a4f"},
        {"45a915e4d060149eb4365960e6a7a45f334393093061116b197e3240065ff2d8", /* ethereum/tests */
         "a94f5374fce5edbc8e2a8697c15331677e6ebf0b"},
    };
    for (size_t i = 0; i < COH_CNT(vectors); i++) {
        coh_hash_t secret = coh_test_hash(vectors[i].secret);
        coh_addr_t addr;
        assert_int_equal(coh_ecdsa_address(&addr, secret.b), COH_OK);
        assert_addr(&addr, vectors[i].addr);
    }
}

static void ecdsa_refuses_invalid_secrets(void **state)
{
    (void)state;
    coh_hash_t digest = {{1}};
    coh_hash_t zero   = {{0}};
    coh_hash_t order =
        coh_test_hash("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");
    coh_addr_t addr;
    coh_sig_t sig;
    assert_int_equal(coh_ecdsa_address(&addr, zero.b), COH_ESIG);
    assert_int_equal(coh_ecdsa_address(&addr, order.b), COH_ESIG);
    assert_int_equal(coh_ecdsa_sign(&sig, &digest, zero.b), COH_ESIG);
    assert_int_equal(coh_ecdsa_sign(&sig, &digest, order.b), COH_ESIG);
}

/* EIP-155's example is signed with the nonce of RFC 6979. */
static void ecdsa_signs_deterministically(void **state)
{
    (void)state;
    coh_hash_t secret =
        coh_test_hash("4646464646464646464646464646464646464646464646464646464646464646");
    coh_hash_t digest =
        coh_test_hash("daf5a779ae972f972197303d7b574746c7ef83eadac0f2791ad23db92e4c8e53");
    coh_sig_t want = signature("28ef61340bd939bc2195fe537567866003e1a15d3c71ff63e1590620aa636276",
                               "67cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d83",
                               0);
    coh_sig_t got;
    assert_int_equal(coh_ecdsa_sign(&got, &digest, secret.b), COH_OK);
    assert_memory_equal(got.r, want.r, 32);
    assert_memory_equal(got.s, want.s, 32);
    assert_int_equal(got.parity, want.parity);
}

static void ecdsa_recovers_what_it_signed(void **state)
{
    (void)state;
    uint64_t const seed = 256;
    print_message("seed %llu\n", (unsigned long long)seed);
    coh_rng_t rng;
    coh_rng_seed(&rng, seed);
    for (int turn = 0; turn < 100; turn++) {
        coh_hash_t secret, digest;
        for (size_t i = 0; i < 4; i++) {
            coh_store_u64_be(secret.b + 8 * i, coh_rng_next(&rng) >> 1);
            coh_store_u64_be(digest.b + 8 * i, coh_rng_next(&rng));
        }
        coh_sig_t sig;
        coh_addr_t owner, found;
        assert_int_equal(coh_ecdsa_sign(&sig, &digest, secret.b), COH_OK);
        assert_true(coh_ecdsa_is_low_s(sig.s));
        assert_int_equal(coh_ecdsa_address(&owner, secret.b), COH_OK);
        assert_int_equal(coh_ecdsa_recover(&found, &digest, &sig), COH_OK);
        assert_true(coh_addr_eq(&owner, &found));
        sig.parity ^= 1;
        if (coh_ecdsa_recover(&found, &digest, &sig) == COH_OK) {
            assert_false(coh_addr_eq(&owner, &found));
        }
    }
}

static void ecdsa_low_s_includes_the_half(void **state)
{
    (void)state;
    coh_hash_t half =
        coh_test_hash("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0");
    assert_true(coh_ecdsa_is_low_s(half.b));
    half.b[31]++;
    assert_false(coh_ecdsa_is_low_s(half.b));
    half.b[0] = 0;
    assert_true(coh_ecdsa_is_low_s(half.b));
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(ecdsa_recovers_the_published_sender),
        cmocka_unit_test(ecdsa_refuses_values_out_of_range),
        cmocka_unit_test(ecdsa_derives_known_addresses),
        cmocka_unit_test(ecdsa_refuses_invalid_secrets),
        cmocka_unit_test(ecdsa_signs_deterministically),
        cmocka_unit_test(ecdsa_recovers_what_it_signed),
        cmocka_unit_test(ecdsa_low_s_includes_the_half),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
