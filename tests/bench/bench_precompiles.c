/* Cost of each precompiled contract under Osaka: one line of JSON. ns is the time of a call in CPU, gas what it
   costs, mgas_s the rate that both make.
   usage: bench_precompiles [MILLISECONDS_PER_FIGURE] */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/rng.h"
#include "common/crypto/ecdsa.h"
#include "common/evm/precompiles.h"
#include "tests/support/data.h"

static uint64_t figure_ms = 200;
static bool first         = true;

/* Prints the figures of calls with this input, which must be valid. */
static void measure(char const *label, uint32_t number, coh_bytes_t in)
{
    coh_addr_t addr           = {.b = {[18] = (uint8_t)(number >> 8), [19] = (uint8_t)number}};
    coh_precompile_t const *p = coh_precompile_at(COH_FORK_OSAKA, &addr);
    coh_buf_t out             = COH_BUF_INIT;
    if (!coh_precompile_run(p, COH_FORK_OSAKA, &out, in) || out.n == 0) {
        fprintf(stderr, "%s: the input is not valid\n", label);
        exit(1);
    }
    uint64_t calls = 0, ns, step = 1;
    uint64_t start = coh_clock_thread_cpu_ns();
    do {
        for (uint64_t i = 0; i < step; i++) {
            (void)coh_precompile_run(p, COH_FORK_OSAKA, &out, in);
        }
        calls += step;
        step *= 2;
        ns = coh_clock_thread_cpu_ns() - start;
    } while (ns < figure_ms * 1000000);
    double each  = (double)ns / (double)calls;
    uint64_t gas = coh_precompile_gas(p, COH_FORK_OSAKA, in);
    printf("%s{\"call\":\"%s\",\"ns\":%.0f,\"gas\":%llu,\"mgas_s\":%.1f}",
           first ? "" : ",",
           label,
           each,
           (unsigned long long)gas,
           (double)gas * 1e3 / each);
    first = false;
    coh_buf_free(&out);
}

/* The same for input that is spelled, times over. */
static void measure_hex(char const *label, uint32_t number, char const *hex, size_t times)
{
    coh_buf_t unit = COH_BUF_INIT, in = COH_BUF_INIT;
    COH_ASSERT(coh_test_hex(&unit, hex));
    for (size_t i = 0; i < times; i++) {
        coh_buf_put(&in, unit.p, unit.n);
    }
    measure(label, number, coh_buf_bytes(&in));
    coh_buf_free(&unit);
    coh_buf_free(&in);
}

/* Base, exponent and odd modulus of n octets each. */
static void measure_modexp(char const *label, uint32_t n)
{
    coh_rng_t rng;
    coh_rng_seed(&rng, n);
    coh_buf_t in = COH_BUF_INIT;
    for (int i = 0; i < 3; i++) {
        uint8_t *word = coh_buf_extend(&in, 32);
        memset(word, 0, 32);
        word[30] = (uint8_t)(n >> 8);
        word[31] = (uint8_t)n;
    }
    for (uint32_t i = 0; i < 3 * n; i++) {
        coh_buf_put_u8(&in, (uint8_t)(coh_rng_next(&rng) | 1));
    }
    measure(label, 0x05, coh_buf_bytes(&in));
    coh_buf_free(&in);
}

static void measure_ecrecover(void)
{
    coh_hash_t digest        = {{1, 2, 3}};
    uint8_t const secret[32] = {[31] = 7};
    coh_sig_t sig;
    COH_ASSERT(coh_ecdsa_sign(&sig, &digest, secret) == COH_OK);
    uint8_t in[128] = {0};
    memcpy(in, digest.b, 32);
    in[63] = (uint8_t)(27 + sig.parity);
    memcpy(in + 64, sig.r, 32);
    memcpy(in + 96, sig.s, 32);
    measure("ecrecover", 0x01, coh_bytes(in, sizeof(in)));
}

static void measure_octets(char const *label, uint32_t number, size_t n)
{
    static uint8_t const zeros[4096];
    measure(label, number, coh_bytes(zeros, n));
}

int main(int argc, char **argv)
{
    /* Generators, negated ones, and products of them by numbers without a pattern. */
    static char const bn254_g1[] =
        "0000000000000000000000000000000000000000000000000000000000000001"
        "0000000000000000000000000000000000000000000000000000000000000002";
    static char const scalar[] = "2a9c51b6d1f0c34e87aa90f3bd1e6c5570193f8ed2b64ac1e95d0873fb216ec4";
    static char const bn254_pair[] =
        "0000000000000000000000000000000000000000000000000000000000000001"
        "0000000000000000000000000000000000000000000000000000000000000002"
        "198e9393920d483a7260bfb731fb5d25f1aa493335a9e71297e485b7aef312c2"
        "1800deef121f1e76426a00665e5c4479674322d4f75edadd46debd5cd992f6ed"
        "090689d0585ff075ec9e99ad690c3395bc4b313370b38ef355acdadcd122975b"
        "12c85ea5db8c6deb4aab71808dcb408fe3d1e7690c43d37b4ce6cc0166fa7daa";
    static char const blake2f[] =
        "0000000c48c9bdf267e6096a3ba7ca8485ae67bb2bf894fe72f36e3cf1361d5f3af54fa5d182e6ad7f520e"
        "511f6c3e2b8c68059b6bbd41fbabd9831f79217e1319cde05b616263000000000000000000000000000000"
        "00000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
        "00000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
        "0000000000000000000000000000000000000000000000000300000000000000000000000000000001";
    /* go-ethereum, core/vm/testdata/precompiles/pointEvaluation.json. */
    static char const kzg[]    = "01e798154708fe7789429634053cbf9f99b619f9f084048927333fce637f549b"
                                 "564c0a11a0f704f4fc3e8acfe0f8245f0ad1347b378fbf96e206da11a5d36306"
                                 "24d25032e67a7e6a4910df5834b8fe70e6bcfeeac0352434196bdf4b2485d5a1"
                                 "8f59a8d2a1a625a17f3fea0fe5eb8c896db3764f3185481bc22f91b4aaffcca2"
                                 "5f26936857bc3a7c2539ea8ec3a952b7873033e038326e87ed3e1276fd140253"
                                 "fa08e9fc25fb2d9a98527fc22a2c9612fbeafdad446cbc7bcdbdcd780af2c16a";
    static char const bls_g1[] = "0000000000000000000000000000000017f1d3a73197d7942695638c4fa9ac0f"
                                 "c3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb"
                                 "0000000000000000000000000000000008b3f481e3aaa0f1a09e30ed741d8ae4"
                                 "fcf5e095d5d00af600db18cb2c04b3edd03cc744a2888ae40caa232946c5e7e1";
    static char const bls_g2[] = "00000000000000000000000000000000024aa2b2f08f0a91260805272dc51051"
                                 "c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8"
                                 "0000000000000000000000000000000013e02b6052719f607dacd3a088274f65"
                                 "596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e"
                                 "000000000000000000000000000000000ce5d527727d6e118cc9cdc6da2e351a"
                                 "adfd9baa8cbdd3a76d429a695160d12c923ac9cc3baca289e193548608b82801"
                                 "000000000000000000000000000000000606c4a02ea734cc32acd2b02bc28b99"
                                 "cb3e287e85a763af267492ab572e99ab3f370d275cec1da1aaa9075ff05f79be";
    /* ethereum/execution-spec-tests, osaka/eip7951_p256verify_precompiles, test_valid, valid_r1_sig. */
    static char const p256[] = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"
                               "434287fa699ff2be2a4475ccd9c063d1a22a424b6ab357d9bb0b31f7a71307b9"
                               "be6af716032d408183c53f6f76945363144555fad2a5ff7854159166e52fc1d0"
                               "da3c553a4215893e6d95d5818df2519e13233a1e0e56e0ea7b4817a92a6973f9"
                               "d8c8877a49383e20c3fdc21d4e8e280ef1feeb72c333036770369a4387168d33";
    if (argc > 1) {
        figure_ms = strtoul(argv[1], NULL, 10);
    }
    coh_buf_t text = COH_BUF_INIT;
    printf("{\"bench\":\"precompiles\",\"fork\":\"%s\",\"calls\":[", coh_fork_name(COH_FORK_OSAKA));
    measure_ecrecover();
    measure_octets("sha256_0", 0x02, 0);
    measure_octets("sha256_4096", 0x02, 4096);
    measure_octets("ripemd160_0", 0x03, 0);
    measure_octets("ripemd160_4096", 0x03, 4096);
    measure_octets("identity_4096", 0x04, 4096);
    measure_modexp("modexp_32", 32);
    measure_modexp("modexp_256", 256);
    measure_modexp("modexp_1024", 1024);
    measure_hex("bn254_add", 0x06, bn254_g1, 2);
    coh_buf_printf(&text, "%s%s%c", bn254_g1, scalar, '\0');
    measure_hex("bn254_mul", 0x07, (char const *)text.p, 1);
    measure_hex("bn254_pairing_1", 0x08, bn254_pair, 1);
    measure_hex("bn254_pairing_2", 0x08, bn254_pair, 2);
    measure_hex("bn254_pairing_8", 0x08, bn254_pair, 8);
    measure_hex("blake2f_12", 0x09, blake2f, 1);
    measure_hex("point_evaluation", 0x0a, kzg, 1);
    measure_hex("bls_g1_add", 0x0b, bls_g1, 2);
    coh_buf_clear(&text);
    coh_buf_printf(&text, "%s%s%c", bls_g1, scalar, '\0');
    measure_hex("bls_g1_msm_1", 0x0c, (char const *)text.p, 1);
    measure_hex("bls_g1_msm_128", 0x0c, (char const *)text.p, 128);
    measure_hex("bls_g2_add", 0x0d, bls_g2, 2);
    coh_buf_clear(&text);
    coh_buf_printf(&text, "%s%s%c", bls_g2, scalar, '\0');
    measure_hex("bls_g2_msm_1", 0x0e, (char const *)text.p, 1);
    measure_hex("bls_g2_msm_128", 0x0e, (char const *)text.p, 128);
    coh_buf_clear(&text);
    coh_buf_printf(&text, "%s%s%c", bls_g1, bls_g2, '\0');
    measure_hex("bls_pairing_1", 0x0f, (char const *)text.p, 1);
    measure_hex("bls_pairing_2", 0x0f, (char const *)text.p, 2);
    measure_hex("bls_map_fp", 0x10, bls_g1 + 128, 1);
    measure_hex("bls_map_fp2", 0x11, bls_g1, 1);
    measure_hex("p256_verify", 0x100, p256, 1);
    printf("]}\n");
    coh_buf_free(&text);
    return 0;
}
