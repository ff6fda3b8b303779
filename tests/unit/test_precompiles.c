/* The table of precompiled contracts: which there are, what they cost, what lengths of input they take, and one result of
   each. Their arithmetic has tests of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "common/evm/precompiles.h"
#include "tests/support/data.h"

static coh_precompile_t const *at(coh_fork_t fork, uint32_t number)
{
    coh_addr_t addr = {.b = {[18] = (uint8_t)(number >> 8), [19] = (uint8_t)number}};
    return coh_precompile_at(fork, &addr);
}

static uint64_t gas_of(coh_fork_t fork, uint32_t number, coh_bytes_t in)
{
    coh_precompile_t const *p = at(fork, number);
    assert_non_null(p);
    return coh_precompile_gas(p, fork, in);
}

/* Gas of n octets of zeros. */
static uint64_t gas_of_zeros(coh_fork_t fork, uint32_t number, size_t n)
{
    static uint8_t const zeros[200 * 384];
    assert_true(n <= sizeof(zeros));
    return gas_of(fork, number, coh_bytes(zeros, n));
}

/* A call whose input is spelled: expects this gas and result; no result: the call fails. */
static void expect(coh_fork_t fork,
                   uint32_t number,
                   char const *in_hex,
                   uint64_t gas,
                   char const *out_hex)
{
    coh_precompile_t const *p = at(fork, number);
    assert_non_null(p);
    coh_buf_t in = COH_BUF_INIT, want = COH_BUF_INIT, out = COH_BUF_INIT;
    assert_true(coh_test_hex(&in, in_hex));
    assert_int_equal(coh_precompile_gas(p, fork, coh_buf_bytes(&in)), gas);
    coh_buf_put(&out, "what was there before", 21);
    bool done = coh_precompile_run(p, fork, &out, coh_buf_bytes(&in));
    assert_int_equal(done, out_hex != NULL);
    assert_true(coh_test_hex(&want, done ? out_hex : ""));
    assert_int_equal(out.n, want.n);
    if (want.n > 0) {
        assert_memory_equal(out.p, want.p, want.n);
    }
    coh_buf_free(&in);
    coh_buf_free(&want);
    coh_buf_free(&out);
}

/* True if the call succeeds with n octets of zeros. */
static bool takes_zeros(coh_fork_t fork, uint32_t number, size_t n)
{
    static uint8_t const zeros[2048];
    assert_true(n <= sizeof(zeros));
    coh_buf_t out = COH_BUF_INIT;
    bool done     = coh_precompile_run(at(fork, number), fork, &out, coh_bytes(zeros, n));
    assert_true(done || out.n == 0);
    coh_buf_free(&out);
    return done;
}

/* One valid call of each contract that keeps something from its first use on, made from several threads at once. Run first,
   under the thread sanitizer above all. */
static void *use_all(void *unused)
{
    (void)unused;
    static uint32_t const numbers[] = {0x02, 0x03, 0x06, 0x07, 0x08, 0x0c, 0x0f, 0x10, 0x11, 0x100};
    static size_t const lengths[]   = {64, 64, 128, 96, 192, 160, 384, 64, 128, 160};
    for (size_t i = 0; i < COH_CNT(numbers); i++) {
        if (!takes_zeros(COH_FORK_OSAKA, numbers[i], lengths[i])) {
            return (void *)"failed";
        }
    }
    return NULL;
}

static void precompiles_run_in_many_threads(void **state)
{
    (void)state;
    pthread_t threads[4];
    for (size_t i = 0; i < COH_CNT(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, use_all, NULL), 0);
    }
    for (size_t i = 0; i < COH_CNT(threads); i++) {
        void *trouble;
        assert_int_equal(pthread_join(threads[i], &trouble), 0);
        assert_null(trouble);
    }
}

/* Every address below 2^16 under every fork, against the rule that transactions are judged by. */
static void precompiles_are_those_of_the_fork(void **state)
{
    (void)state;
    for (int fork = 0; fork < COH_FORK_CNT; fork++) {
        for (uint32_t number = 0; number <= 0xffff; number++) {
            coh_addr_t addr = {.b = {[18] = (uint8_t)(number >> 8), [19] = (uint8_t)number}};
            coh_precompile_t const *p = coh_precompile_at((coh_fork_t)fork, &addr);
            assert_int_equal(p != NULL, coh_fork_is_precompile((coh_fork_t)fork, &addr));
            if (p != NULL) {
                assert_int_equal(coh_precompile_number(p), number);
                assert_true(strlen(coh_precompile_name(p)) > 0);
            }
        }
    }
    for (size_t i = 0; i < 18; i++) {
        coh_addr_t addr = {.b = {[19] = 1}};
        addr.b[i]       = 1;
        assert_null(coh_precompile_at(COH_FORK_OSAKA, &addr));
    }
    assert_string_equal(coh_precompile_name(at(COH_FORK_OSAKA, 0x01)), "ECREC");
    assert_string_equal(coh_precompile_name(at(COH_FORK_OSAKA, 0x11)), "BLS12_MAP_FP2_TO_G2");
    assert_string_equal(coh_precompile_name(at(COH_FORK_OSAKA, 0x100)), "P256VERIFY");
}

/* Yellow Paper, Appendix E; EIP-1108; EIP-4844; EIP-2537; EIP-7951. */
static void precompiles_cost_what_the_eips_say(void **state)
{
    (void)state;
    static struct {
        coh_fork_t fork;
        uint32_t number;
        size_t n;
        uint64_t gas;
    } const costs[] = {
        {COH_FORK_FRONTIER, 0x01, 0, 3000},
        {COH_FORK_OSAKA, 0x01, 500, 3000},
        {COH_FORK_FRONTIER, 0x02, 0, 60},
        {COH_FORK_FRONTIER, 0x02, 1, 72},
        {COH_FORK_FRONTIER, 0x02, 32, 72},
        {COH_FORK_FRONTIER, 0x02, 33, 84},
        {COH_FORK_FRONTIER, 0x03, 0, 600},
        {COH_FORK_FRONTIER, 0x03, 33, 840},
        {COH_FORK_FRONTIER, 0x04, 0, 15},
        {COH_FORK_FRONTIER, 0x04, 64, 21},
        {COH_FORK_FRONTIER, 0x04, 65, 24},
        {COH_FORK_BYZANTIUM, 0x06, 128, 500},
        {COH_FORK_PETERSBURG, 0x06, 0, 500},
        {COH_FORK_ISTANBUL, 0x06, 128, 150},
        {COH_FORK_PETERSBURG, 0x07, 96, 40000},
        {COH_FORK_ISTANBUL, 0x07, 96, 6000},
        {COH_FORK_PETERSBURG, 0x08, 0, 100000},
        {COH_FORK_PETERSBURG, 0x08, 384, 260000},
        {COH_FORK_ISTANBUL, 0x08, 0, 45000},
        {COH_FORK_ISTANBUL, 0x08, 383, 79000},
        {COH_FORK_ISTANBUL, 0x08, 384, 113000},
        {COH_FORK_CANCUN, 0x0a, 192, 50000},
        {COH_FORK_CANCUN, 0x0a, 0, 50000},
        {COH_FORK_PRAGUE, 0x0b, 256, 375},
        {COH_FORK_PRAGUE, 0x0c, 0, 0},
        {COH_FORK_PRAGUE, 0x0c, 160, 12000},
        {COH_FORK_PRAGUE, 0x0c, 320, 22776},
        {COH_FORK_PRAGUE, 0x0c, 160 * 128, 797184},
        {COH_FORK_PRAGUE, 0x0c, 160 * 200, 1245600},
        {COH_FORK_PRAGUE, 0x0d, 512, 600},
        {COH_FORK_PRAGUE, 0x0e, 288, 22500},
        {COH_FORK_PRAGUE, 0x0e, 288 * 3, 62302},
        {COH_FORK_PRAGUE, 0x0f, 0, 37700},
        {COH_FORK_PRAGUE, 0x0f, 768, 102900},
        {COH_FORK_PRAGUE, 0x10, 64, 5500},
        {COH_FORK_PRAGUE, 0x11, 128, 23800},
        {COH_FORK_OSAKA, 0x100, 160, 6900},
        {COH_FORK_OSAKA, 0x100, 0, 6900},
    };
    for (size_t i = 0; i < COH_CNT(costs); i++) {
        assert_int_equal(gas_of_zeros(costs[i].fork, costs[i].number, costs[i].n), costs[i].gas);
    }
}

/* EIP-2537's discounts, all of them: sums over 1 to 129 terms; the one for G2 of the gas in
   ethereum/execution-spec-tests, prague/eip2537_bls_12_381_precompiles, test_valid_gas_g2msm. */
static void precompiles_discount_sums_of_terms(void **state)
{
    (void)state;
    uint64_t g1 = 0, g2 = 0;
    for (size_t cnt = 1; cnt <= 129; cnt++) {
        g1 += gas_of_zeros(COH_FORK_PRAGUE, 0x0c, cnt * 160);
        g2 += gas_of_zeros(COH_FORK_PRAGUE, 0x0e, cnt * 288);
    }
    assert_int_equal(g1, 56233224);
    assert_int_equal(g2, 106704569);
}

/* Three lengths and the octets after them. */
static uint64_t modexp_gas(coh_fork_t fork,
                           coh_u256_t base_len,
                           coh_u256_t exp_len,
                           coh_u256_t mod_len,
                           char const *rest)
{
    coh_buf_t in = COH_BUF_INIT, tail = COH_BUF_INIT;
    coh_u256_to_be(coh_buf_extend(&in, 32), &base_len);
    coh_u256_to_be(coh_buf_extend(&in, 32), &exp_len);
    coh_u256_to_be(coh_buf_extend(&in, 32), &mod_len);
    assert_true(coh_test_hex(&tail, rest));
    coh_buf_put(&in, tail.p, tail.n);
    uint64_t gas = gas_of(fork, 0x05, coh_buf_bytes(&in));
    coh_buf_free(&tail);
    coh_buf_free(&in);
    return gas;
}

static void modexp_costs_what_the_eips_say(void **state)
{
    (void)state;
    coh_fork_t const eip198 = COH_FORK_BYZANTIUM, eip2565 = COH_FORK_BERLIN,
                     eip7883   = COH_FORK_OSAKA;
    static char const fermat[] = "03"
                                 "fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2e"
                                 "fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f";
    coh_u256_t const none = COH_U256_ZERO, one = coh_u256(1), word = coh_u256(32);
    coh_u256_t const max    = {{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}};
    coh_u256_t const two_64 = {{0, 1, 0, 0}};
    /* EIP-198's first example costs 13056; 32^2 * 255 / 20. */
    assert_int_equal(modexp_gas(eip198, one, word, word, fermat), 13056);
    assert_int_equal(modexp_gas(COH_FORK_ISTANBUL, one, word, word, fermat), 13056);
    assert_int_equal(modexp_gas(eip2565, one, word, word, fermat), 1360); /* 4^2 * 255 / 3 */
    assert_int_equal(modexp_gas(COH_FORK_PRAGUE, one, word, word, fermat), 1360);
    assert_int_equal(modexp_gas(eip7883, one, word, word, fermat), 4080); /* 16 * 255 */
    /* Least prices. */
    assert_int_equal(modexp_gas(eip198, none, none, none, ""), 0);
    assert_int_equal(modexp_gas(eip2565, none, none, none, ""), 200);
    assert_int_equal(modexp_gas(eip7883, none, none, none, ""), 500);
    assert_int_equal(gas_of_zeros(eip7883, 0x05, 0), 500);
    /* The steps of EIP-198 and EIP-7883: an exponent of 1 counts as one iteration. */
    static struct {
        uint64_t len, eip198, eip2565, eip7883;
    } const steps[] = {
        {32, 51, 200, 500},
        {33, 54, 200, 500},
        {64, 204, 200, 500},
        {65, 211, 200, 500},           /* 4225/4 + 6240 - 3072 = 4224 */
        {1024, 17868, 5461, 32768},    /* 262144 + 98304 - 3072 = 357376; 128^2; 2 * 128^2 */
        {1025, 17899, 5547, 33282},    /* 65664 + 492000 - 199680 = 357984 */
        {4096, 140748, 87381, 524288}, /* 1048576 + 1966080 - 199680 = 2814976 */
    };
    for (size_t i = 0; i < COH_CNT(steps); i++) {
        coh_u256_t len = coh_u256(steps[i].len);
        assert_int_equal(modexp_gas(eip198, none, none, len, ""), steps[i].eip198);
        assert_int_equal(modexp_gas(eip198, len, none, none, ""), steps[i].eip198);
        assert_int_equal(modexp_gas(eip2565, none, none, len, ""), steps[i].eip2565);
        assert_int_equal(modexp_gas(eip7883, none, none, len, ""), steps[i].eip7883);
    }
    /* Octets of the exponent beyond the first word count 8, since EIP-7883 16; its first word counts by its
       highest bit, here 7 in the third octet: 8 * 29 + 7 = 239. */
    coh_u256_t const long_exp = coh_u256(42);
    static char const head[]  = "000080";
    assert_int_equal(modexp_gas(eip198, none, long_exp, word, head), 1024 * (80 + 239) / 20);
    assert_int_equal(modexp_gas(eip2565, none, long_exp, word, head), 16 * (80 + 239) / 3);
    assert_int_equal(modexp_gas(eip7883, none, long_exp, word, head), 16 * (160 + 239));
    assert_int_equal(modexp_gas(eip7883, none, long_exp, word, ""), 16 * 160);
    /* What cannot be paid, and factors of zero. */
    assert_int_equal(modexp_gas(eip198, none, max, none, ""), 0);
    assert_int_equal(modexp_gas(eip2565, none, max, none, ""), 200);
    assert_int_equal(modexp_gas(eip7883, none, max, none, ""), UINT64_MAX);
    for (int i = 0; i < 3; i++) {
        coh_fork_t fork = (coh_fork_t[]){eip198, eip2565, eip7883}[i];
        assert_int_equal(modexp_gas(fork, max, none, none, ""), UINT64_MAX);
        assert_int_equal(modexp_gas(fork, none, none, max, ""), UINT64_MAX);
        assert_int_equal(modexp_gas(fork, max, max, max, ""), UINT64_MAX);
        assert_int_equal(modexp_gas(fork, two_64, one, one, "ff"), UINT64_MAX);
    }
    /* 2^64 octets of exponent are not taken for none. */
    assert_true(modexp_gas(eip198, none, two_64, one, "") > UINT64_MAX / 4);
}

/* Without modulus there is no result, however long the exponent is said to be; lengths above 1024 fail since EIP-7823. */
static void modexp_takes_lengths_within_bounds(void **state)
{
    (void)state;
#define LEN(n)  "000000000000000000000000000000000000000000000000000000000000" n
#define LEN_MAX "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
    expect(COH_FORK_BYZANTIUM, 0x05, "", 0, "");
    expect(COH_FORK_BYZANTIUM, 0x05, LEN("0000") LEN_MAX LEN("0000"), 0, "");
    expect(COH_FORK_BERLIN, 0x05, LEN("0000") LEN_MAX LEN("0000"), 200, "");
    expect(COH_FORK_OSAKA, 0x05, "", 500, "");
    expect(COH_FORK_PRAGUE, 0x05, LEN("0401") LEN("0001") LEN("0001") "01", 5547, "00");
    expect(COH_FORK_OSAKA, 0x05, LEN("0401") LEN("0001") LEN("0001") "01", 33282, NULL);
    expect(COH_FORK_OSAKA, 0x05, LEN("0001") LEN("0401") LEN("0001") "01", 16 * 16 * 993, NULL);
    expect(COH_FORK_OSAKA, 0x05, LEN("0000") LEN("0000") LEN("0401"), 33282, NULL);
    expect(COH_FORK_OSAKA, 0x05, LEN("0400") LEN("0001") LEN("0001") "01", 32768, "00");
    expect(COH_FORK_OSAKA, 0x05, LEN("0001") LEN("0400") LEN("0001") "01", 16 * 16 * 992, "00");
    /* 3^5 mod 7, octets in excess; the modulus cut off, so 0; the exponent too, so 3^0. */
    expect(COH_FORK_BERLIN, 0x05, LEN("0001") LEN("0001") LEN("0001") "030507ff", 200, "05");
    expect(COH_FORK_BERLIN, 0x05, LEN("0001") LEN("0001") LEN("0001") "0305", 200, "00");
    expect(COH_FORK_BERLIN, 0x05, LEN("0001") LEN("0000") LEN("0001") "0307", 200, "01");
    /* Cut within the last length: its 31 octets that spell 1 are read as 2^8, and all beyond as zeros. */
    char zeros[2 * 256 + 1];
    memset(zeros, '0', sizeof(zeros) - 1);
    zeros[sizeof(zeros) - 1] = 0;
    expect(COH_FORK_BERLIN,
           0x05,
           LEN("0000") LEN("0000") "00000000000000000000000000000000000000000000000000000000000001",
           341,
           zeros);
#undef LEN
#undef LEN_MAX
}

/* go-ethereum, core/vm/testdata/precompiles/ecRecover.json; its s is in the upper half, which is allowed here. */
static void ecrecover_gives_the_address_or_nothing(void **state)
{
    (void)state;
#define DIGEST "18c547e4f7b0f325ad1e56f57e26c745b09a3e503d86e00e5255ff7f715d3d1c"
#define R_S                                                            \
    "73b1693892219d736caba55bdb67216e485557ea6b6af75f37096c9aa6a5a75f" \
    "eeb940b1d03b21e36b0e47e79769f095fe2ab855bd91e3a38756b7d75a9c4549"
#define V(octet) "00000000000000000000000000000000000000000000000000000000000000" octet
    static char const signer[] = "000000000000000000000000a94f5374fce5edbc8e2a8697c15331677e6ebf0b";
    expect(COH_FORK_FRONTIER, 0x01, DIGEST V("1c") R_S, 3000, signer);
    expect(COH_FORK_OSAKA, 0x01, DIGEST V("1c") R_S "ffff", 3000, signer);
    /* The example of EIP-155, with an even y. */
    expect(COH_FORK_FRONTIER,
           0x01,
           "daf5a779ae972f972197303d7b574746c7ef83eadac0f2791ad23db92e4c8e53" V(
               "1b") "28ef61340bd939bc2195fe537567866003e1a15d3c71ff63e1590620aa636276"
                     "67cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d83",
           3000,
           "0000000000000000000000009d8a62f656a8d1615c1294fd71e9cfb3e4855a4f");
    static char const *const invalid[] = {
        "",
        DIGEST V("1a") R_S,
        DIGEST V("1d") R_S,
        DIGEST V("00") R_S,
        DIGEST V("01") R_S,
        /* 28 + 2^8, 28 + 2^64, 28 + 2^248 */
        DIGEST "000000000000000000000000000000000000000000000000000000000000011c" R_S,
        DIGEST "000000000000000000000000000000000000000000000001000000000000001c" R_S,
        DIGEST "010000000000000000000000000000000000000000000000000000000000001c" R_S,
        /* s: cut off; the order; r: none, the order */
        DIGEST V("1c") "73b1693892219d736caba55bdb67216e485557ea6b6af75f37096c9aa6a5a75f",
        DIGEST V("1c") "73b1693892219d736caba55bdb67216e485557ea6b6af75f37096c9aa6a5a75f"
                       "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141",
        DIGEST V("1c") V("00") "eeb940b1d03b21e36b0e47e79769f095fe2ab855bd91e3a38756b7d75a9c4549",
        DIGEST V("1c") "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"
                       "eeb940b1d03b21e36b0e47e79769f095fe2ab855bd91e3a38756b7d75a9c4549",
    };
    for (size_t i = 0; i < COH_CNT(invalid); i++) {
        expect(COH_FORK_FRONTIER, 0x01, invalid[i], 3000, "");
    }
#undef DIGEST
#undef R_S
#undef V
}

/* FIPS 180-4's and the RIPEMD-160 paper's digests of nothing, of "abc" and of 56 letters (two blocks). */
static void hashes_give_the_published_digests(void **state)
{
    (void)state;
    static char const letters[] =
        "6162636462636465636465666465666765666768666768696768696a68696a6b696a6b6c6a6b6c6d6b6c6d6e"
        "6c6d6e6f6d6e6f706e6f7071";
    expect(COH_FORK_FRONTIER,
           0x02,
           "",
           60,
           "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    expect(COH_FORK_FRONTIER,
           0x02,
           "616263",
           72,
           "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    expect(COH_FORK_OSAKA,
           0x02,
           letters,
           84,
           "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    expect(COH_FORK_FRONTIER,
           0x03,
           "",
           600,
           "0000000000000000000000009c1185a5c5e9fc54612808977ee8f548b2258d31");
    expect(COH_FORK_FRONTIER,
           0x03,
           "616263",
           720,
           "0000000000000000000000008eb208f7e05d987a9b044a8e98c6b087f15a0bfc");
    expect(COH_FORK_OSAKA,
           0x03,
           letters,
           840,
           "00000000000000000000000012a053384a9c0c88e405a06c27dcf49ada62eb2b");
    expect(COH_FORK_FRONTIER, 0x04, "", 15, "");
    expect(COH_FORK_OSAKA, 0x04, letters, 21, letters);
}

/* Short input is continued by zeros, long input cut: EIP-196. The pairing takes whole pairs only: EIP-197. */
static void bn254_takes_input_of_any_length(void **state)
{
    (void)state;
#define ZERO "0000000000000000000000000000000000000000000000000000000000000000"
#define ONE  "0000000000000000000000000000000000000000000000000000000000000001"
#define TWO  "0000000000000000000000000000000000000000000000000000000000000002"
    expect(COH_FORK_BYZANTIUM, 0x06, "", 500, ZERO ZERO);
    expect(COH_FORK_ISTANBUL, 0x06, ONE TWO, 150, ONE TWO);
    expect(COH_FORK_ISTANBUL, 0x06, ONE TWO ZERO ZERO "ff", 150, ONE TWO);
    expect(COH_FORK_ISTANBUL, 0x06, ONE, 150, NULL); /* (1, 0) */
    expect(COH_FORK_ISTANBUL, 0x06, ONE TWO ONE ONE, 150, NULL);
    expect(COH_FORK_BYZANTIUM, 0x07, "", 40000, ZERO ZERO);
    expect(COH_FORK_ISTANBUL, 0x07, ONE TWO, 6000, ZERO ZERO);
    expect(COH_FORK_ISTANBUL, 0x07, ONE TWO ONE "ff", 6000, ONE TWO);
    expect(COH_FORK_ISTANBUL, 0x07, ONE ONE ONE, 6000, NULL);
    expect(COH_FORK_BYZANTIUM, 0x08, "", 100000, ONE);
    expect(COH_FORK_ISTANBUL, 0x08, ZERO ZERO ZERO ZERO ZERO ZERO, 79000, ONE);
    expect(COH_FORK_ISTANBUL, 0x08, ZERO ZERO ZERO ZERO ZERO, 45000, NULL);
    expect(COH_FORK_ISTANBUL, 0x08, ZERO ZERO ZERO ZERO ZERO ZERO "00", 79000, NULL);
    expect(COH_FORK_ISTANBUL, 0x08, ONE ONE ZERO ZERO ZERO ZERO, 79000, NULL);
#undef ZERO
#undef ONE
#undef TWO
}

/* EIP-152's test vectors 0 to 3 and 5; and gas is the count of rounds, all 32 bits of it. */
static void blake2f_takes_exactly_its_input(void **state)
{
    (void)state;
#define STATE                                                          \
    "48c9bdf267e6096a3ba7ca8485ae67bb2bf894fe72f36e3cf1361d5f3af54fa5" \
    "d182e6ad7f520e511f6c3e2b8c68059b6bbd41fbabd9831f79217e1319cde05b"
#define WORD    "0000000000000000000000000000000000000000000000000000000000000000"
#define ABC     "6162630000000000000000000000000000000000000000000000000000000000" WORD WORD WORD
#define COUNTER "03000000000000000000000000000000"
    expect(COH_FORK_ISTANBUL,
           0x09,
           "0000000c" STATE ABC COUNTER "01",
           12,
           "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
           "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923");
    expect(COH_FORK_ISTANBUL, 0x09, "", 0, NULL);
    expect(COH_FORK_ISTANBUL, 0x09, "00000c" STATE ABC COUNTER "01", 0, NULL);
    expect(COH_FORK_ISTANBUL, 0x09, "000000000c" STATE ABC COUNTER "01", 0, NULL);
    expect(COH_FORK_ISTANBUL, 0x09, "0000000c" STATE ABC COUNTER "02", 12, NULL);
    expect(COH_FORK_ISTANBUL, 0x09, "ffffffff" STATE ABC COUNTER "02", UINT32_MAX, NULL);
#undef STATE
#undef WORD
#undef ABC
#undef COUNTER
}

/* go-ethereum, core/vm/testdata/precompiles/pointEvaluation.json. */
static void point_evaluation_checks_hash_and_proof(void **state)
{
    (void)state;
#define HASH "e798154708fe7789429634053cbf9f99b619f9f084048927333fce637f549b"
#define Z    "564c0a11a0f704f4fc3e8acfe0f8245f0ad1347b378fbf96e206da11a5d36306"
#define Y    "24d25032e67a7e6a4910df5834b8fe70e6bcfeeac0352434196bdf4b2485d5a1"
#define COMMITMENT                                                                                 \
    "8f59a8d2a1a625a17f3fea0fe5eb8c896db3764f3185481bc22f91b4aaffcca25f26936857bc3a7c2539ea8ec3a9" \
    "52b7"
#define PROOF                                                                                      \
    "873033e038326e87ed3e1276fd140253fa08e9fc25fb2d9a98527fc22a2c9612fbeafdad446cbc7bcdbdcd780af2" \
    "c16a"
    static char const result[] = "0000000000000000000000000000000000000000000000000000000000001000"
                                 "73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001";
    expect(
        COH_FORK_CANCUN, 0x0a, "01" HASH "56" Z Y COMMITMENT PROOF, 50000, NULL); /* 193 octets */
    expect(COH_FORK_CANCUN, 0x0a, "01" HASH Z Y COMMITMENT PROOF, 50000, result);
    expect(COH_FORK_CANCUN, 0x0a, "00" HASH Z Y COMMITMENT PROOF, 50000, NULL);
    expect(COH_FORK_CANCUN, 0x0a, "02" HASH Z Y COMMITMENT PROOF, 50000, NULL);
    expect(COH_FORK_CANCUN, 0x0a, "01" HASH Y Z COMMITMENT PROOF, 50000, NULL);
    expect(COH_FORK_CANCUN, 0x0a, "01" HASH Z Y PROOF COMMITMENT, 50000, NULL);
    expect(COH_FORK_CANCUN, 0x0a, "", 50000, NULL);
#undef HASH
#undef Z
#undef Y
#undef COMMITMENT
#undef PROOF
}

/* EIP-2537: only the lengths given there, and for sums and pairings at least one term. Zeros are infinity, or the
   field's zero. */
static void bls12_381_takes_exact_lengths(void **state)
{
    (void)state;
    static struct {
        uint32_t number;
        size_t n;
        bool any_multiple;
    } const lengths[] = {
        {0x0b, 256, false},
        {0x0c, 160, true},
        {0x0d, 512, false},
        {0x0e, 288, true},
        {0x0f, 384, true},
        {0x10, 64, false},
        {0x11, 128, false},
    };
    for (size_t i = 0; i < COH_CNT(lengths); i++) {
        for (size_t n = 0; n <= 3 * lengths[i].n; n++) {
            bool want =
                n == lengths[i].n || (lengths[i].any_multiple && n > 0 && n % lengths[i].n == 0);
            assert_int_equal(takes_zeros(COH_FORK_PRAGUE, lengths[i].number, n), want);
        }
    }
}

/* All of EIP-2537 by the generators: G + G = 2 G by the addition and as a sum of terms, e(G1, G2) e(-G1, G2) = 1. */
static void bls12_381_contracts_agree(void **state)
{
    (void)state;
#define G1_X                                                           \
    "0000000000000000000000000000000017f1d3a73197d7942695638c4fa9ac0f" \
    "c3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb"
#define G1                                                                  \
    G1_X "0000000000000000000000000000000008b3f481e3aaa0f1a09e30ed741d8ae4" \
         "fcf5e095d5d00af600db18cb2c04b3edd03cc744a2888ae40caa232946c5e7e1"
#define G1_MINUS                                                            \
    G1_X "00000000000000000000000000000000114d1d6855d545a8aa7d76c8cf2e21f2" \
         "67816aef1db507c96655b9d5caac42364e6f38ba0ecb751bad54dcd6b939c2ca"
#define G2                                                             \
    "00000000000000000000000000000000024aa2b2f08f0a91260805272dc51051" \
    "c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8" \
    "0000000000000000000000000000000013e02b6052719f607dacd3a088274f65" \
    "596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e" \
    "000000000000000000000000000000000ce5d527727d6e118cc9cdc6da2e351a" \
    "adfd9baa8cbdd3a76d429a695160d12c923ac9cc3baca289e193548608b82801" \
    "000000000000000000000000000000000606c4a02ea734cc32acd2b02bc28b99" \
    "cb3e287e85a763af267492ab572e99ab3f370d275cec1da1aaa9075ff05f79be"
#define TWO "0000000000000000000000000000000000000000000000000000000000000002"
/* 2^381 */
#define TOO_BIG                                                        \
    "0000000000000000000000000000000020000000000000000000000000000000" \
    "0000000000000000000000000000000000000000000000000000000000000000"
    /* EIP-2537, assets/eip-2537/add_G1_bls.json: 2 G1; doubling in G2 from @noble/curves 2.4.0. */
    static char const twice1[] = "000000000000000000000000000000000572cbea904d67468808c8eb50a9450c"
                                 "9721db309128012543902d0ac358a62ae28f75bb8f1c7c42c39a8c5529bf0f4e"
                                 "00000000000000000000000000000000166a9d8cabc673a322fda673779d8e38"
                                 "22ba3ecb8670e461f73bb9021d5fd76a4c56d9d4cd16bd1bba86881979749d28";
    static char const twice2[] = "000000000000000000000000000000001638533957d540a9d2370f17cc7ed586"
                                 "3bc0b995b8825e0ee1ea1e1e4d00dbae81f14b0bf3611b78c952aacab827a053"
                                 "000000000000000000000000000000000a4edef9c1ed7f729f520e47730a124f"
                                 "d70662a904ba1074728114d1031e1572c6c886f6b57ec72a6178288c47c33577"
                                 "000000000000000000000000000000000468fb440d82b0630aeb8dca2b525678"
                                 "9a66da69bf91009cbfe6bd221e47aa8ae88dece9764bf3bd999d95d71e4c9899"
                                 "000000000000000000000000000000000f6d4552fa65dd2638b361543f887136"
                                 "a43253d9c66c411697003f7a13c308f5422e1aa0a59c8967acdefd8b6e36ccf3";
    static char const one[]    = "0000000000000000000000000000000000000000000000000000000000000001";
    static char const zero[]   = "0000000000000000000000000000000000000000000000000000000000000000";
    for (coh_fork_t fork = COH_FORK_PRAGUE; fork < COH_FORK_CNT; fork++) {
        expect(fork, 0x0b, G1 G1, 375, twice1);
        expect(fork, 0x0c, G1 TWO, 12000, twice1);
        expect(fork, 0x0d, G2 G2, 600, twice2);
        expect(fork, 0x0e, G2 TWO, 22500, twice2);
        expect(fork, 0x0f, G1 G2 G1_MINUS G2, 102900, one);
        expect(fork, 0x0f, G1 G2, 70300, zero);
        expect(fork, 0x0b, G1 G1_X G1_X, 375, NULL);
        expect(fork, 0x0c, G1_X G1_X TWO, 12000, NULL);
        expect(fork, 0x0d, G2 G1 G1, 600, NULL);
        expect(fork, 0x0e, G1 G1 TWO, 22500, NULL);
        expect(fork, 0x0f, G1 G1 G1, 70300, NULL);
        expect(fork, 0x10, TOO_BIG, 5500, NULL);
        expect(fork, 0x11, G1_X TOO_BIG, 23800, NULL);
    }
#undef G1_X
#undef G1
#undef G1_MINUS
#undef G2
#undef TWO
#undef TOO_BIG
}

/* ethereum/execution-spec-tests, osaka/eip7951_p256verify_precompiles, valid_r1_sig. Whatever is wrong gives no result. */
static void p256_verify_gives_one_or_nothing(void **state)
{
    (void)state;
#define HASH "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"
#define REST                                                           \
    "434287fa699ff2be2a4475ccd9c063d1a22a424b6ab357d9bb0b31f7a71307b9" \
    "be6af716032d408183c53f6f76945363144555fad2a5ff7854159166e52fc1d0" \
    "da3c553a4215893e6d95d5818df2519e13233a1e0e56e0ea7b4817a92a6973f9" \
    "d8c8877a49383e20c3fdc21d4e8e280ef1feeb72c333036770369a4387168d"
    expect(COH_FORK_OSAKA,
           0x100,
           HASH REST "33",
           6900,
           "0000000000000000000000000000000000000000000000000000000000000001");
    expect(COH_FORK_OSAKA, 0x100, HASH REST "32", 6900, "");
    expect(COH_FORK_OSAKA, 0x100, HASH REST, 6900, "");
    expect(COH_FORK_OSAKA, 0x100, HASH REST "3300", 6900, "");
    expect(COH_FORK_OSAKA, 0x100, "", 6900, "");
#undef HASH
#undef REST
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(precompiles_run_in_many_threads),
        cmocka_unit_test(precompiles_are_those_of_the_fork),
        cmocka_unit_test(precompiles_cost_what_the_eips_say),
        cmocka_unit_test(precompiles_discount_sums_of_terms),
        cmocka_unit_test(modexp_costs_what_the_eips_say),
        cmocka_unit_test(modexp_takes_lengths_within_bounds),
        cmocka_unit_test(ecrecover_gives_the_address_or_nothing),
        cmocka_unit_test(hashes_give_the_published_digests),
        cmocka_unit_test(bn254_takes_input_of_any_length),
        cmocka_unit_test(blake2f_takes_exactly_its_input),
        cmocka_unit_test(point_evaluation_checks_hash_and_proof),
        cmocka_unit_test(bls12_381_takes_exact_lengths),
        cmocka_unit_test(bls12_381_contracts_agree),
        cmocka_unit_test(p256_verify_gives_one_or_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
