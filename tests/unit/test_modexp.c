/* Modular exponentiation: vectors computed with JavaScript's BigInt, and the edges of EIP-198. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/crypto/modexp.h"
#include "tests/support/data.h"

static coh_modexp_num_t number(coh_buf_t *buf, char const *text)
{
    assert_true(coh_test_hex(buf, text));
    return (coh_modexp_num_t){coh_buf_bytes(buf), buf->n};
}

/* base^exp mod mod is want, all in hexadecimal. */
static void expect(char const *base, char const *exp, char const *mod, char const *want)
{
    coh_buf_t b = COH_BUF_INIT, e = COH_BUF_INIT, m = COH_BUF_INIT, w = COH_BUF_INIT;
    assert_true(coh_test_hex(&w, want));
    coh_modexp_num_t modulus = number(&m, mod);
    uint8_t out[300];
    memset(out, 0xee, sizeof(out));
    assert_int_equal(modulus.len, w.n);
    coh_modexp(out, number(&b, base), number(&e, exp), modulus);
    if (w.n > 0) {
        assert_memory_equal(out, w.p, w.n);
    }
    assert_int_equal(out[w.n], 0xee);
    coh_buf_free(&b);
    coh_buf_free(&e);
    coh_buf_free(&m);
    coh_buf_free(&w);
}

static void modexp_computes_as_others_do(void **state)
{
    (void)state;
    static struct {
        char const *base, *exp, *mod, *result;
    } const vectors[] = {
        {"6f687633a1c473d6e5da5ec0feb597d98fb7c814806f4b56afcffb17f165308e",
         "d682ef01e8a867716df1e6ddf520fb578f4b163e19769818f2f16ec21a845244",
         "ccdcd2f968a6ea698bc3754bbb3783f1069d04f7d6333a3805ab716e9d5618bb",
         "170fb35890209fca93abd779150ddef0f6b0ab99972a0509d668dbf05934a8c4"},
        {"313d5fb37c69f6dcf73f77273c8919d45ff85177cdead20a7b3be4f145bd637a",
         "e6f29983d7c5a913903cfa6d4c6d0fb1cce0abb8fdfeb430243ae0da90fe1c33",
         "2577ec8e66aa2726a3e90f98668a382b3b99f559a690a83c30426590b10f5600",
         "13f4dfece48a530c998831b28d351b0be7f1e6d09a44022ba0f4bca11a035800"},
        {"fe2a670f1bef9a07bff0669777d83ee425065ac3b5290fc0e186bb40b9574a87"
         "00b2f3797e66f3a85754dbff78270a2413266bdb773caffeb0c3714b8c20bea6",
         "de7d90",
         "ede43b505507ed3a0738fa96380d89abf99c8b2ad191f54c3a9b5a495f223fa3"
         "e862daf69ed8e416e529cea0dfe41e01bba7271ef13c13711dbc014ea913e9ef",
         "d1eea68a05a9f9c18c9eeb948f654eeb1b584ae8d9193e98ce0cc9642a3cb93f"
         "80206c9a253716ba362297a1c0ef87a198426aa7e21e1537f9286e9a42a3681e"},
        {"b2", "14", "a3", "1a"},
        {"b2d6e7d5425019a015d04547ebe5f7f423864c6ae577be7ca26a014107956935"
         "f24ac2a1cd8ab8ea8e7d3b69a1fb8645f2d6283660178600f46af424ccfb0085"
         "81e4a54db5ddd41243f999734533374bd1fe6f491159a7f79192db12b76562a0"
         "0c149c62",
         "3e20bf8e3ecfac7f628e1b9ccf5ef229504ead8d76828e1af2d3f14f87c67dde"
         "db222d5b0ca84b68",
         "4fab135a394b24eb771996c45e26fa201e38dfe3d2d561c86b1349dfc5a5aae1"
         "d0e797a749f36e48254f098eb446d3b9aafa0802e74b2746d20bbf8ca6717e36"
         "d208e3d02a0e770b00",
         "03f8fb32edfdef24183571d72dc4b96aae03c8cebe9ceb58344c7a0dd0ab7763"
         "df846feb6639385ef1bf3f164df9a705ab0d9527594bfa29daa53fcf28e2bce5"
         "622f6b0b8f43fe5b00"},
        {"0092dd9c2d",
         "61d10425076a424fc9f6b36d90bc7a8ec53d48e4538327041dadb5658615b812"
         "8fb54af05be95a930afa9ba5851e6149be75274456d90f6e4cd51f3981d4789e",
         "8f8dd093ee94d2f7c9c8051aeaf05db03c75e461e84da2755828109266ab5a70"
         "ad6af732c744429306061b35ee904648bbcad1f1cbc82cac03610049ed72e911"
         "8914a6cd9d4c5986cdceec105f04c7ec3d0d67304554afabed880459e03d3cc6"
         "cf6cdb54b68f8edba4255e7db96d7d85e5fb9e84fa59b6b3abb502323360ae35"
         "e6bb",
         "0d3dad6012dc31a0d956fbb5ecb82470aa37d8d94274bc33d2d559c30fbc4072"
         "dbb23c04aa9aeddfba7d59df00841e53af6ad94ef56dc925a84c1586c4a7baab"
         "d37a91054977d5ba15243dd910d5aa26ecdd1f49147117eb4cb66bee1dbbfc2d"
         "f4458537cde8f782327f9ef6d20c1c979fd6e120469e5a9f556ebf394525d498"
         "a152"},
        {"f462fd62a0f7e1fac09af46ec4fb0efe16bfaee50fd8db76b15681bcc34f7968"
         "644cbc5558a5785f9e9dc0b46bf249392792c087c8b8bf784622504043b22bbc"
         "53592734ba450f20df5d4a7d26d5ee33a0a5ab89d3956c27401903e9bc56f380"
         "f8e4e84d7886876a9769db6f0c0f27e136526172494742cf80fbac11a1d56c8f"
         "eaee662bb00de099a6b285ab53eb68564470bbec7a5a75185a75f41969a9a695"
         "662f0c7c03de88115a7a04d3c5589db205ed691c0e8b5aa4621728de88e496a1"
         "b73dfbb54f3f76c51a9fb7670d9a41934ba033aaa36645189e1231056dc67b8b"
         "2490b3380892bfe06b85c58353f9457c1a5c44106d9b1438007907ac19770e74",
         "844a",
         "120860585e2d6b3973ff3f45d1701200214c2d34688fb81b84b660513fdd843e"
         "fc972e0df9b929876648754720bbbe9ab364a49abcf72206461729c1faf2a613"
         "234cbf38fb2ba00afe150311fb969dd5c62179b215d5fa0f9e1a9ce06f747e51"
         "6ec853c8f200488e1d46585ce45d583a260f041056b21f445595151739c91c42"
         "c79257529e9c44d783b1355253c01c37af1a375f268110deb6971eaca27ab721"
         "69649afaf3258db18bea3f5ae96b173dc4f46dba66042678e277c2dc4fb1c684"
         "d16a6199788ddccde94f24e3bf6cfc90e3adc55f03329b671d5e62dbc150b387"
         "8aea5bbf4b887593a81075dee1c5d2c0423ac45cb94836fc8ba991fd0ae76100",
         "0534e8f95e78e415f55630c1c3c1689e654c0489968f9639782c83b8bfe40cf7"
         "f21507e6d5127a6c323df57815711966370664433fa9d29d43e3c9f8b34f97ae"
         "ad0ba5e25255c1357b1d5da414a5c056f610ffba1862720213ee3cfff56b5b31"
         "855de14e43a7264676aecd04b3e35b946a8455e52a6ccb611c9ffea3e006f609"
         "2b78b99632f748de9fcb5cf5aa0cbd12a28a1689a5c789d01f5efa36213c189f"
         "96da7e83ffed4a8cb489f80eed510ed9e91430c2d5503609e4485add0e85aab8"
         "cefe1839b6852909fd045ef1a3a6905637e8c47776033d1a3e4c82213c4ccd20"
         "86bc737893dbf4e0ee4317228c9b2a58eaccfb868bf63a8abe17046d5ee11f00"},

    };
    for (size_t i = 0; i < COH_CNT(vectors); i++) {
        expect(vectors[i].base, vectors[i].exp, vectors[i].mod, vectors[i].result);
    }
}

/* EIP-198: Fermat's little theorem modulo secp256k1's prime, and 0 to a power. */
static void modexp_gives_the_examples_of_eip_198(void **state)
{
    (void)state;
    expect("03",
           "fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2e",
           "fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f",
           "0000000000000000000000000000000000000000000000000000000000000001");
    expect("",
           "fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2e",
           "fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f",
           "0000000000000000000000000000000000000000000000000000000000000000");
}

static void modexp_handles_zeros_and_ones(void **state)
{
    (void)state;
    expect("00", "00", "05", "01");     /* 0^0 is 1 */
    expect("", "", "05", "01");         /* the same */
    expect("00", "00", "01", "00");     /* but 0 modulo 1 */
    expect("07", "00", "01", "00");     /* as is all */
    expect("07", "03", "00", "00");     /* modulo 0 all is 0 */
    expect("07", "03", "0000", "0000"); /* at any length */
    expect("07", "03", "", "");         /* no room, no result */
    expect("00", "03", "05", "00");
    expect("0000000007", "0003", "000a", "0003"); /* zeros in front */
    expect("ff", "01", "10", "0f");               /* the base is above the modulus */
}

/* Numbers are continued by zeros up to their length. */
static void modexp_reads_zeros_beyond_the_head(void **state)
{
    (void)state;
    uint8_t const three[] = {3}, ten[] = {10};
    uint8_t out[2];
    /* 0x0300^3 mod 0x0a00 = 768^3 mod 2560: 452984832 = 176947 * 2560 + 512 */
    coh_modexp(out,
               (coh_modexp_num_t){coh_bytes(three, 1), 2},
               (coh_modexp_num_t){coh_bytes(three, 1), 1},
               (coh_modexp_num_t){coh_bytes(ten, 1), 2});
    assert_int_equal(out[0], 2);
    assert_int_equal(out[1], 0);
    /* 3^(3 * 2^800) mod 2560: 3 has the order 128 there, so 1 */
    coh_modexp(out,
               (coh_modexp_num_t){coh_bytes(three, 1), 1},
               (coh_modexp_num_t){coh_bytes(three, 1), 101},
               (coh_modexp_num_t){coh_bytes(ten, 1), 2});
    assert_int_equal(out[0], 0);
    assert_int_equal(out[1], 1);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(modexp_computes_as_others_do),
        cmocka_unit_test(modexp_gives_the_examples_of_eip_198),
        cmocka_unit_test(modexp_handles_zeros_and_ones),
        cmocka_unit_test(modexp_reads_zeros_beyond_the_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
