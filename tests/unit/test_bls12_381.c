/* The curve of EIP-2537 against @noble/curves 2.4.0, which computed all vectors here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/crypto/bls12_381.h"
#include "tests/support/data.h"

enum { G1 = COH_BLS12_381_G1_SZ, G2 = COH_BLS12_381_G2_SZ };

/* Points that occur more than once. */
#define G2_A                                                           \
    "00000000000000000000000000000000041f91f1366756a95aee208b8a27c8d2" \
    "40f9fe4ab483c775f6944fb5bb250c4a160f67efa33583df4baabaa3c27b6204" \
    "0000000000000000000000000000000014a219e3de2a86ae73105724aa0211b1" \
    "fc1288c84a177a023b08afda90ebaf631decd8a9b564c5cb1503221db7f3693e" \
    "000000000000000000000000000000000f90e63628c175fc928a2bd2db5c6e56" \
    "21ac413313d3e02ac01b83d7864f5c6c58e474e4779c4db48600dbedc16c864e" \
    "000000000000000000000000000000000e435f347574b06e6242ae219ae93a2b" \
    "23ca114611d5cc3c39b10c8c57b429dc177ff1e73dfd97e3d7b0b1b87d97680f"
#define G2_B                                                           \
    "000000000000000000000000000000000778883ab79796517b8ecd4bfb6142e4" \
    "07b890725c125d51f0c9d6fd3bc137356366dd563183e0065ced1034d79980b4" \
    "000000000000000000000000000000000dd1152cd78f0ec4b4a525da41739257" \
    "de5b0006d3b87a8112c6a594152acfb2564ac5a2c282c35143b6de5b1aaab8e1" \
    "000000000000000000000000000000001192a348fdfd25bbfe26cb57bed3c07f" \
    "cfe26b374d2400a4fe2fd330be6781e344361899537dbe5209e9ad0ddfe6f7c2" \
    "0000000000000000000000000000000007c06b5307abfecc27bad74761f00bec" \
    "0345584554ed09e03f09da0835a9d4c1ac07ee02abd5460b345839e6d8dd59ce"
#define G2_C                                                           \
    "0000000000000000000000000000000012e5dc5f3554cf7207a205caba67dac9" \
    "2b98c0561add1e50fdac8962c03697fdf0ff051599c06297e9c02b2c9d4e5192" \
    "0000000000000000000000000000000011a29ff104a5ff30c540166d2cc479b2" \
    "f5f8350e4e8dad6994fe145176953f432e5667006915b78ba1d8b5316f72fa65" \
    "00000000000000000000000000000000123557ee0af161bed69e9150288db0aa" \
    "00ad1d262aebb224f68addbedc4d0deb79ee8b6b5b7492a61fb8b236a4ec9725" \
    "000000000000000000000000000000000299c6e83af2c81256489c825956a7f8" \
    "8f1430d944144e1af826eb1ed9380085937a5727ae9a8e783b7d631c3dd366aa"
#define G2_D                                                           \
    "000000000000000000000000000000000778883ab79796517b8ecd4bfb6142e4" \
    "07b890725c125d51f0c9d6fd3bc137356366dd563183e0065ced1034d79980b4" \
    "000000000000000000000000000000000dd1152cd78f0ec4b4a525da41739257" \
    "de5b0006d3b87a8112c6a594152acfb2564ac5a2c282c35143b6de5b1aaab8e1" \
    "00000000000000000000000000000000086e6ea13b82c0de4cf4dc5e8477ec57" \
    "9494e04da661121a6900ff7038497440da75e7655dd641adb01552f22018b2e9" \
    "000000000000000000000000000000001240a69731d3e7ce2360d06ee15ba0eb" \
    "6131f33f9e9808df2826f898c107216272a411fc057eb9f485a6c619272250dd"
#define G2_INFINITY                                                    \
    "0000000000000000000000000000000000000000000000000000000000000000" \
    "0000000000000000000000000000000000000000000000000000000000000000" \
    "0000000000000000000000000000000000000000000000000000000000000000" \
    "0000000000000000000000000000000000000000000000000000000000000000" \
    "0000000000000000000000000000000000000000000000000000000000000000" \
    "0000000000000000000000000000000000000000000000000000000000000000" \
    "0000000000000000000000000000000000000000000000000000000000000000" \
    "0000000000000000000000000000000000000000000000000000000000000000"
#define G1_A                                                           \
    "00000000000000000000000000000000070a540962e670ee67a91243cc7e6f42" \
    "087e6ea1df02820b374eeb04b1d6c44b4c32436110a51ea96bc06000e16b6664" \
    "0000000000000000000000000000000011539d3180992979f13ef94453c47d95" \
    "e6ed164fd5d57e0b168dbba994502a92d7b3b08765df68a5790de1ac7991750f"
#define G1_B                                                           \
    "00000000000000000000000000000000055adf3750419a64e651af3eacc7ddd8" \
    "925fa61d618cd7f40dda8a7dbff31bae66886d85faf436f5daa404978450a7fa" \
    "0000000000000000000000000000000012357117ebeab7c3b729279031d4b0bb" \
    "b2d335f9dfaa648afa73675a0e169a57e40be50dbc183a988c3566aa9ca6a97d"
#define G1_C                                                           \
    "00000000000000000000000000000000038a7f6e91334f89a90353bd93ddc703" \
    "3553b25d22f85d4064a7586a4560dea8d8d1776423c3b5a3465dd5407667fc7f" \
    "000000000000000000000000000000000666b1e925b96d5535252b8de1592896" \
    "7ec4a84c98d4fbc5a1bf127f446d076d35c4ec537c1b5794f2a1f0533a5963c8"
#define G1_D                                                           \
    "00000000000000000000000000000000055adf3750419a64e651af3eacc7ddd8" \
    "925fa61d618cd7f40dda8a7dbff31bae66886d85faf436f5daa404978450a7fa" \
    "0000000000000000000000000000000007cba0d24d952ed693f280261176fc1b" \
    "b1a4158b13daae346cbd6b46e89a5bcc3aa01af0f53bc5672dc999556359012e"
#define G1_INFINITY                                                    \
    "0000000000000000000000000000000000000000000000000000000000000000" \
    "0000000000000000000000000000000000000000000000000000000000000000" \
    "0000000000000000000000000000000000000000000000000000000000000000" \
    "0000000000000000000000000000000000000000000000000000000000000000"

static char const prime[] = "000000000000000000000000000000001a0111ea397fe69a4b1ba7b6434bacd7"
                            "64774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab";
/* On the curve and its twist, outside the subgroups. */
static char const g1_outside[] = G1_A;
static char const g2_outside[] = G2_A;

static void bls12_381_adds_in_g1(void **state)
{
    (void)state;
    static struct {
        char const *a, *b, *sum;
    } const vectors[] = {
        {G1_B,
         G1_C,
         "000000000000000000000000000000000ca4bd733c1c3f201c581b7dc2ad459f"
         "c5f0a5d67fab725138d9f3d60953c5e6544b6f801c57e288d680e9f7002f1cd8"
         "000000000000000000000000000000000ebacbb53e31d33d6bf33d267b6eb82d"
         "05edff3f014282946457238cf81d8c4a3a8bc2c199b1d3c048ed368277bbe2af"},
        {G1_B,
         G1_B,
         "000000000000000000000000000000000ef2056de3e40b617b1c54d2467abeb2"
         "6d823d62abd0c465c3113c0af8e64b4818c08f23d24e5dfb02fa11223350f0b1"
         "000000000000000000000000000000001471ee6b51c8baba8d5ce2295bd759f0"
         "32749bc6ba19d280e8885d85b53d0845af250a4bc7b053b5497989eb7b583c0f"},
        {G1_B, G1_D, G1_INFINITY},
        {G1_INFINITY, G1_C, G1_C},
        {G1_A,
         G1_B,
         "0000000000000000000000000000000013124877feff5f20841c5460a70d0d7b"
         "98f072096536ef17fd4718c40a1607fe21b0fa0baa650bd3d0891f4fdb1ed5cf"
         "00000000000000000000000000000000083f80960c2a52e0d6e535221608a1be"
         "46c7df7e96619836f9be5c12d4b00132581c40772acc48ad494732643c57ec05"},

    };
    for (size_t i = 0; i < COH_CNT(vectors); i++) {
        uint8_t a[G1], b[G1], want[G1], got[G1];
        coh_test_decode(a, G1, vectors[i].a);
        coh_test_decode(b, G1, vectors[i].b);
        coh_test_decode(want, G1, vectors[i].sum);
        assert_int_equal(coh_bls12_381_g1_add(got, a, b), COH_OK);
        assert_memory_equal(got, want, G1);
        assert_int_equal(coh_bls12_381_g1_add(got, b, a), COH_OK);
        assert_memory_equal(got, want, G1);
    }
}

static void bls12_381_adds_in_g2(void **state)
{
    (void)state;
    static struct {
        char const *a, *b, *sum;
    } const vectors[] = {
        {G2_B,
         G2_C,
         "000000000000000000000000000000000315915cb8d2c73d65ce95bc987343fb"
         "ffb0cca215ecd7ba642284e8e95983c54e79e9fc72bd871b3bd003df23069a94"
         "000000000000000000000000000000000af280e99fa6bcfc94f8f411d315628d"
         "4571bf8ee2fe5316f5d317c4ef8a617e07c645b49c30e7a9e96f25762b1d2e00"
         "000000000000000000000000000000000a365b2999d74f92b85e8dc57578bbd5"
         "e20f34546eafb445976d42d2265df7edd24bcf9201d71bed94e94d737258e424"
         "0000000000000000000000000000000002295b6610f08590dd5e9f3b6b079d58"
         "6045f277400caa9ab18718c9edbc480c95d53ff0fb87aa5cfd7f4ed9bf513ddc"},
        {G2_B,
         G2_B,
         "000000000000000000000000000000000e7aa545e6f61f4013916faeceda38f1"
         "40cb0c65d41df03e18adb53da70a237a31f11badc41118d0f8866c12d2bbe31d"
         "0000000000000000000000000000000015a4d643d926497316a63070b7cc52c8"
         "e7e55aa761c9dd427b0ba2ec75ae5b077e9b3e6f1aece98fde91bb42fef1feea"
         "000000000000000000000000000000000a34c42dcfc5c1ecdd7183819c9bdae8"
         "6466029c4365a55f5cbc7f4106b5d648a57dc31aee52a7e064647456f1b3571d"
         "0000000000000000000000000000000002c986d2ac17ca1208d505b41763644a"
         "1e560e1035c5ce47317f23ccb0dadfdf60861a6c46141f0bbf8eb3a185309b7e"},
        {G2_B, G2_D, G2_INFINITY},
        {G2_B, G2_INFINITY, G2_B},
        {G2_A,
         G2_B,
         "00000000000000000000000000000000188f46f6c405ea0eef145c96c28175e1"
         "64b46c3da448d100095bd87bd7f8947d66ecb98793fcba87b933ac264ef65a40"
         "000000000000000000000000000000000671f65eadced5bebf7b780e3cc1061f"
         "e7210f15565214f73519ba60c606d5d6f4b5479b623f8c885fcc858e1ab07866"
         "00000000000000000000000000000000186fe495bcf85780071e1f981aab09ec"
         "8c385da115031b3a213cfaa827fc754d6a944188d9a32cec29b845ee8814515c"
         "000000000000000000000000000000000ad6a9ad6e0ccbc5afdb3dfc3072ba20"
         "c6052b5b47821094e426c1b0e8c12b95f1cf0b4a4415d931d358e723eeeda64f"},

    };
    for (size_t i = 0; i < COH_CNT(vectors); i++) {
        uint8_t a[G2], b[G2], want[G2], got[G2];
        coh_test_decode(a, G2, vectors[i].a);
        coh_test_decode(b, G2, vectors[i].b);
        coh_test_decode(want, G2, vectors[i].sum);
        assert_int_equal(coh_bls12_381_g2_add(got, a, b), COH_OK);
        assert_memory_equal(got, want, G2);
        assert_int_equal(coh_bls12_381_g2_add(got, b, a), COH_OK);
        assert_memory_equal(got, want, G2);
    }
}

/* With infinity among the points, scalars of the order and of 2^256 - 1, and terms that cancel. */
static void bls12_381_sums_terms_in_g1(void **state)
{
    (void)state;
    static struct {
        char const *terms, *sum;
    } const vectors[] = {
        {G1_B "aff43ff085ba970b3f6aa8f28885836195313653f5dc6f9f09baa36a6db56ed7",
         "000000000000000000000000000000000670b5ee21e1daf00e4de6a1160ea8d6"
         "2ec1880a310fa8915e0350cb205025c7fea0dd3d66cc69a098bb0b9a51cc4e79"
         "00000000000000000000000000000000126f90bfbea027e9fc523925601237d6"
         "a5367bdf9d480d4751e6fba8ac6338ea215ecee84e2b4898c5848d2d364b6a2a"},
        {G1_B "aff43ff085ba970b3f6aa8f28885836195313653f5dc6f9f09baa36a6db56ed7" G1_INFINITY
              "a03be704b9e81c976e399c0c33826333998e500be2f6ef5c0233a9544a1874c6" G1_C
              "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
         "0000000000000000000000000000000010277a32eedec7b644abb30f880a737b"
         "8da5238ede7f9d0beb7adb59e23a97906d503ef6b0b5bc44a31ecf5f82171988"
         "000000000000000000000000000000000ff735fc06f64893b738bf71c6719a4a"
         "0dcf3e2941b752c47f6e559ba6fc0f9e831e82aebfa58dd4a89dfe4defee1c0f"},
        {G1_B "73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001", G1_INFINITY},
        {G1_B "0000000000000000000000000000000000000000000000000000000000000001" G1_B
              "0000000000000000000000000000000000000000000000000000000000000001" G1_D
              "0000000000000000000000000000000000000000000000000000000000000002",
         G1_INFINITY},

    };
    for (size_t i = 0; i < COH_CNT(vectors); i++) {
        coh_buf_t terms = COH_BUF_INIT;
        uint8_t want[G1], got[G1];
        assert_true(coh_test_hex(&terms, vectors[i].terms));
        coh_test_decode(want, G1, vectors[i].sum);
        assert_int_equal(coh_bls12_381_g1_msm(got, terms.p, terms.n / COH_BLS12_381_G1_TERM_SZ),
                         COH_OK);
        assert_memory_equal(got, want, G1);
        coh_buf_free(&terms);
    }
}

static void bls12_381_sums_terms_in_g2(void **state)
{
    (void)state;
    static struct {
        char const *terms, *sum;
    } const vectors[] = {
        {G2_B "aff43ff085ba970b3f6aa8f28885836195313653f5dc6f9f09baa36a6db56ed7",
         "000000000000000000000000000000000956c4d56f14adf1ff010298509234d3"
         "2b4d4a5ab618daba7973222f87ce87a2b34cec8f4439a631ef7a255e49a929d8"
         "000000000000000000000000000000000587258b48a5bf83d2b68b0afe42c802"
         "33da02dafe5e1b6f86aadbad8e7612b50150b241941e76e034f42761c6615e40"
         "00000000000000000000000000000000157a6a2a64bf634e301afc590eb79046"
         "f5267586b45e074a12abf1f5d51342d78aecdcb490d21115cadbc33a4282df77"
         "00000000000000000000000000000000039fd8c5697af08b056de748f03f343c"
         "67ffcaddd45491015332e29acec34ce0a879bc98760ac8b457f31a6be687323b"},
        {G2_B "aff43ff085ba970b3f6aa8f28885836195313653f5dc6f9f09baa36a6db56ed7" G2_INFINITY
              "a03be704b9e81c976e399c0c33826333998e500be2f6ef5c0233a9544a1874c6" G2_C
              "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
         "00000000000000000000000000000000092093e7dc88979b408809880971d0a8"
         "027da5ba2b355a2c9e50a43c5d1dd590ef3fbd05e0e52fce25849b79560b2116"
         "0000000000000000000000000000000014eb9c9a17dd47f8bea74b0119a0142c"
         "f6ce29d871217cad26bbeba9a5cc12b22e60a412ff99ddfc8a49732c4e360e78"
         "000000000000000000000000000000000aa94f6f2fd6703576153b095f95112c"
         "3b3d940d53425f8b740c7f826250411e3e4ee1f8cc18732fc393b8e318e371e2"
         "0000000000000000000000000000000014f71ba22b3d068634a2a3945e77c4e6"
         "b862d561cc94bbbd915171671108cc20803487c59a28cf6bc9385760b12dca92"},
        {G2_B "73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001", G2_INFINITY},
        {G2_B "0000000000000000000000000000000000000000000000000000000000000001" G2_B
              "0000000000000000000000000000000000000000000000000000000000000001" G2_D
              "0000000000000000000000000000000000000000000000000000000000000002",
         G2_INFINITY},

    };
    for (size_t i = 0; i < COH_CNT(vectors); i++) {
        coh_buf_t terms = COH_BUF_INIT;
        uint8_t want[G2], got[G2];
        assert_true(coh_test_hex(&terms, vectors[i].terms));
        coh_test_decode(want, G2, vectors[i].sum);
        assert_int_equal(coh_bls12_381_g2_msm(got, terms.p, terms.n / COH_BLS12_381_G2_TERM_SZ),
                         COH_OK);
        assert_memory_equal(got, want, G2);
        coh_buf_free(&terms);
    }
}

/* 1 P + 2 P + ... + n P = (n (n + 1) / 2) P, for every n around which the library changes its method. */
static void bls12_381_sums_many_terms(void **state)
{
    (void)state;
    static uint8_t terms[200 * COH_BLS12_381_G1_TERM_SZ], terms2[100 * COH_BLS12_381_G2_TERM_SZ];
    uint8_t point[G1], point2[G2], u[COH_BLS12_381_FP2_SZ] = {0};
    assert_int_equal(coh_bls12_381_map_to_g1(point, u), COH_OK);
    assert_int_equal(coh_bls12_381_map_to_g2(point2, u), COH_OK);
    for (size_t n = 1; n <= 200; n++) {
        uint8_t one[COH_BLS12_381_G2_TERM_SZ], got[G2], want[G2];
        uint8_t *term = terms + (n - 1) * COH_BLS12_381_G1_TERM_SZ;
        memcpy(term, point, G1);
        term[G1 + 31] = (uint8_t)n;
        memset(one, 0, sizeof(one));
        memcpy(one, point, G1);
        one[G1 + 30] = (uint8_t)(n * (n + 1) / 2 >> 8);
        one[G1 + 31] = (uint8_t)(n * (n + 1) / 2);
        assert_int_equal(coh_bls12_381_g1_msm(got, terms, n), COH_OK);
        assert_int_equal(coh_bls12_381_g1_msm(want, one, 1), COH_OK);
        assert_memory_equal(got, want, G1);
        if (n <= 100) {
            term = terms2 + (n - 1) * COH_BLS12_381_G2_TERM_SZ;
            memcpy(term, point2, G2);
            term[G2 + 31] = (uint8_t)n;
            memset(one, 0, sizeof(one));
            memcpy(one, point2, G2);
            one[G2 + 30] = (uint8_t)(n * (n + 1) / 2 >> 8);
            one[G2 + 31] = (uint8_t)(n * (n + 1) / 2);
            assert_int_equal(coh_bls12_381_g2_msm(got, terms2, n), COH_OK);
            assert_int_equal(coh_bls12_381_g2_msm(want, one, 1), COH_OK);
            assert_memory_equal(got, want, G2);
        }
    }
}

/* e(aP, bQ) e(-abP, Q) = 1; the first pair alone is not. Then the same over again, so that more pairs come than run
   together. */
static void bls12_381_pairs(void **state)
{
    (void)state;
    static char const text[] = "0000000000000000000000000000000000431b6760f04245c219de2c94ea09fe"
                               "4d05abde98c24e1fd12f2de345ae809b77f665f5c608c47748aeac3f1bfa3b51"
                               "000000000000000000000000000000000ca78d705f478468a4152d7433b151e4"
                               "e0e6b0940c1f946339a5e8b4061803c99fef7606ac5af8c4cafb51795ee3ebba"
                               "00000000000000000000000000000000156e3965859de55762742b8c3a6463bc"
                               "4496993de578c5b3a30ab9e59d2a5494634672ac5ee605a32dbf6d646b64c0db"
                               "000000000000000000000000000000000942513d26f6e110004a57e1cd91d43a"
                               "4937b106fd98b0b8bffd5f305a7b0438a6be06e87c1fa19f43690ce59c9e0b16"
                               "000000000000000000000000000000000c38deb1419680fc55bc30f60852efa8"
                               "95446177e63183d2bb11d81a0f997c94f7b253b1ec4c068f65dde6d1572c15d3"
                               "000000000000000000000000000000000049a761207fe4dd7166ebc4559e198f"
                               "ee00219c9d82bd302c66fa8d2404ecc53944b16c12f44e652c7da63f23f0c16a"
                               "000000000000000000000000000000000d5fdb07f32960a3383240dcff644889"
                               "ec7ab296b7778427493013754c95aaab0650ed16a5b162cfcd6c51b42f9f7e09"
                               "000000000000000000000000000000001030776d7e1bbfcd83769f9fd6c72edf"
                               "174c8e92ad12bc0dc654e52dae5db3cc18899562e9cc973daefaa4c5b9e50981"
                               "00000000000000000000000000000000024aa2b2f08f0a91260805272dc51051"
                               "c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8"
                               "0000000000000000000000000000000013e02b6052719f607dacd3a088274f65"
                               "596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e"
                               "000000000000000000000000000000000ce5d527727d6e118cc9cdc6da2e351a"
                               "adfd9baa8cbdd3a76d429a695160d12c923ac9cc3baca289e193548608b82801"
                               "000000000000000000000000000000000606c4a02ea734cc32acd2b02bc28b99"
                               "cb3e287e85a763af267492ab572e99ab3f370d275cec1da1aaa9075ff05f79be";
    enum { TWO = 2 * COH_BLS12_381_PAIR_SZ, TIMES = 10 };
    static uint8_t pairs[TIMES * TWO];
    for (size_t i = 0; i < TIMES; i++) {
        coh_test_decode(pairs + i * TWO, TWO, text);
    }
    bool is_one = false;
    for (size_t cnt = 0; cnt <= (size_t)2 * TIMES; cnt++) {
        assert_int_equal(coh_bls12_381_pairing_check(&is_one, pairs, cnt), COH_OK);
        assert_int_equal(is_one, cnt % 2 == 0);
    }
    /* A pair with infinity on either side changes nothing. */
    memset(pairs, 0, G1);
    memset(pairs + COH_BLS12_381_PAIR_SZ + G1, 0, G2);
    assert_int_equal(coh_bls12_381_pairing_check(&is_one, pairs, 4), COH_OK);
    assert_true(is_one);
}

static void bls12_381_maps_to_g1(void **state)
{
    (void)state;
    static struct {
        char const *u, *point;
    } const vectors[] = {
        {"0000000000000000000000000000000000000000000000000000000000000000"
         "0000000000000000000000000000000000000000000000000000000000000000",
         "0000000000000000000000000000000011a9a0372b8f332d5c30de9ad14e5037"
         "2a73fa4c45d5f2fa5097f2d6fb93bcac592f2e1711ac43db0519870c7d0ea415"
         "00000000000000000000000000000000092c0f994164a0719f51c24ba3788de2"
         "40ff926b55f58c445116e8bc6a47cd63392fd4e8e22bdf9feaa96ee773222133"},
        {"000000000000000000000000000000001a0111ea397fe69a4b1ba7b6434bacd7"
         "64774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaaa",
         "000000000000000000000000000000001073311196f8ef19477219ccee3a4803"
         "5ff432295aa9419eed45d186027d88b90832e14c4f0e2aa4d15f54d1c3ed0f93"
         "0000000000000000000000000000000016b3a3b2e3dddf6a11459ddaf657fde2"
         "1c4f10282a56029d9b55ab3ce1f41e1cf39ad27e0ea35823c7d3250e81ff3d66"},
        {"000000000000000000000000000000000b726ffd9944f5055d021d76fcaf23c6"
         "0d05311734f4bd8ae54da3346359e6395f29b351975a5c7690f6b53f065806ac",
         "000000000000000000000000000000000c4876619a2078149170d418e84a26bd"
         "266b432042f4691b629d696cf8b83bef6199f4b8fd22ae5000386cdcb01550e6"
         "00000000000000000000000000000000011fa5049c581492f7007bda42efd275"
         "b8bc3385e0de4a65c9ad797fbfaeb25ec505a9292a99914e1b88268549015d0a"},

    };
    for (size_t i = 0; i < COH_CNT(vectors); i++) {
        uint8_t u[COH_BLS12_381_FP_SZ], want[G1], got[G1];
        coh_test_decode(u, sizeof(u), vectors[i].u);
        coh_test_decode(want, G1, vectors[i].point);
        assert_int_equal(coh_bls12_381_map_to_g1(got, u), COH_OK);
        assert_memory_equal(got, want, G1);
    }
}

static void bls12_381_maps_to_g2(void **state)
{
    (void)state;
    static struct {
        char const *u, *point;
    } const vectors[] = {
        {G1_INFINITY,
         "00000000000000000000000000000000018320896ec9eef9d5e619848dc29ce2"
         "66f413d02dd31d9b9d44ec0c79cd61f18b075ddba6d7bd20b7ff27a4b324bfce"
         "000000000000000000000000000000000a67d12118b5a35bb02d2e86b3ebfa7e"
         "23410db93de39fb06d7025fa95e96ffa428a7a27c3ae4dd4b40bd251ac658892"
         "000000000000000000000000000000000260e03644d1a2c321256b3246bad2b8"
         "95cad13890cbe6f85df55106a0d334604fb143c7a042d878006271865bc35941"
         "0000000000000000000000000000000004c69777a43f0bda07679d5805e63f18"
         "cf4e0e7c6112ac7f70266d199b4f76ae27c6269a3ceebdae30806e9a76aadf5c"},
        {"000000000000000000000000000000001a0111ea397fe69a4b1ba7b6434bacd7"
         "64774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaaa"
         "0000000000000000000000000000000000000000000000000000000000000000"
         "0000000000000000000000000000000000000000000000000000000000000001",
         "000000000000000000000000000000001192902dd01ecb3aabbbef02287fb213"
         "9a8d87dd87bbd5507ba8fd6ccb828cd3780b5d8b998171f85976e42b5bc0a976"
         "000000000000000000000000000000000607ac8f6ee4aae172e48db3b3550481"
         "8e20b09a5d44b30bc2b52526be1ba1ce9d3f70eeb5f95f8605e24fff59fd69c0"
         "000000000000000000000000000000000fceddd31af29f758285169a054323d8"
         "52d5fe59eabde7ec41e70de392de58976154c604756178b9235e7b7a9144e5e3"
         "000000000000000000000000000000001677e72edd39f978688cd4d9589d3970"
         "dc6a12260ba12e91f83be8575fd8c34dc21ea9b28ae509ed035782e15bc7046b"},
        {"000000000000000000000000000000000b726ffd9944f5055d021d76fcaf23c6"
         "0d05311734f4bd8ae54da3346359e6395f29b351975a5c7690f6b53f065806ac"
         "000000000000000000000000000000000499b0128ad511d5d417520aac38f4de"
         "7066d381208cce5d9b06861b303ddc279b309e841e15b3d45379592ceb679e30",
         "0000000000000000000000000000000016a2477a9001d7232863a999271142d3"
         "6d97da815afc34dae11621c7bc10015971ed29ff25afcc08aee3ad1770be92a9"
         "00000000000000000000000000000000197d357d4d1bcb95329ffc04784cbb98"
         "1c3a2edba16d49054dcddb046522831dd9d9034ffe092d24c683d2e0b555a1ad"
         "000000000000000000000000000000000bfa42ee940cea7367617541743e3e55"
         "d4554444a02e822f48ae79ee6f06d8e4090596e26abbc46ce5dad18ddbba92ac"
         "00000000000000000000000000000000102ab0e3358e5252fa82bd733deb6625"
         "2ed4f8700e35c9f8f48059c97bd9550b14432cc06fe83fd7c22e9d4c6de28806"},

    };
    for (size_t i = 0; i < COH_CNT(vectors); i++) {
        uint8_t u[COH_BLS12_381_FP2_SZ], want[G2], got[G2];
        coh_test_decode(u, sizeof(u), vectors[i].u);
        coh_test_decode(want, G2, vectors[i].point);
        assert_int_equal(coh_bls12_381_map_to_g2(got, u), COH_OK);
        assert_memory_equal(got, want, G2);
    }
}

/* Any of the calls with point where a point of G1 is expected; with whether it is in the subgroup. */
static void expect_g1(uint8_t const point[G1], coh_err_t as_point, coh_err_t as_member)
{
    uint8_t out[G1], term[COH_BLS12_381_G1_TERM_SZ] = {0}, pair[COH_BLS12_381_PAIR_SZ] = {0};
    bool is_one;
    memcpy(term, point, G1);
    memcpy(pair, point, G1);
    assert_int_equal(coh_bls12_381_g1_add(out, point, pair + G1), as_point); /* + infinity */
    assert_int_equal(coh_bls12_381_g1_add(out, pair + G1, point), as_point);
    assert_int_equal(coh_bls12_381_g1_msm(out, term, 1), as_member); /* times 0 */
    assert_int_equal(coh_bls12_381_pairing_check(&is_one, pair, 1), as_member);
}

static void expect_g2(uint8_t const point[G2], coh_err_t as_point, coh_err_t as_member)
{
    static uint8_t const infinity[G2];
    uint8_t out[G2], term[COH_BLS12_381_G2_TERM_SZ] = {0}, pair[COH_BLS12_381_PAIR_SZ] = {0};
    bool is_one;
    memcpy(term, point, G2);
    memcpy(pair + G1, point, G2);
    assert_int_equal(coh_bls12_381_g2_add(out, point, infinity), as_point);
    assert_int_equal(coh_bls12_381_g2_add(out, infinity, point), as_point);
    assert_int_equal(coh_bls12_381_g2_msm(out, term, 1), as_member);
    assert_int_equal(coh_bls12_381_pairing_check(&is_one, pair, 1), as_member);
}

static void bls12_381_refuses_what_is_no_point(void **state)
{
    (void)state;
    uint8_t good1[G1], good2[G2], bad1[G1], bad2[G2], zero[COH_BLS12_381_FP2_SZ] = {0}, p[64];
    coh_test_decode(p, sizeof(p), prime);
    assert_int_equal(coh_bls12_381_map_to_g1(good1, zero), COH_OK);
    assert_int_equal(coh_bls12_381_map_to_g2(good2, zero), COH_OK);
    expect_g1(good1, COH_OK, COH_OK);
    expect_g2(good2, COH_OK, COH_OK);
    coh_test_decode(bad1, G1, g1_outside);
    expect_g1(bad1, COH_OK, COH_EMALFORMED);
    coh_test_decode(bad2, G2, g2_outside);
    expect_g2(bad2, COH_OK, COH_EMALFORMED);
    /* Each coordinate in turn: wrong; the prime; an octet before it that is not zero. */
    for (size_t at = 0; at < G2; at += 64) {
        for (int kind = 0; kind < 3; kind++) {
            memcpy(bad1, good1, G1);
            memcpy(bad2, good2, G2);
            if (kind == 0) {
                bad1[at % G1 + 63] ^= 1;
                bad2[at + 63] ^= 1;
            } else if (kind == 1) {
                memcpy(bad1 + at % G1, p, 64);
                memcpy(bad2 + at, p, 64);
            } else {
                bad1[at % G1 + 15] = 1;
                bad2[at]           = 1;
            }
            expect_g1(bad1, COH_EMALFORMED, COH_EMALFORMED);
            expect_g2(bad2, COH_EMALFORMED, COH_EMALFORMED);
        }
    }
}

static void bls12_381_refuses_to_map_what_is_no_field_element(void **state)
{
    (void)state;
    uint8_t out[G2], u[COH_BLS12_381_FP2_SZ] = {0};
    coh_test_decode(u + COH_BLS12_381_FP_SZ, COH_BLS12_381_FP_SZ, prime);
    assert_int_equal(coh_bls12_381_map_to_g1(out, u + COH_BLS12_381_FP_SZ), COH_EMALFORMED);
    assert_int_equal(coh_bls12_381_map_to_g2(out, u), COH_EMALFORMED);
    memset(u, 0, sizeof(u));
    u[0] = 1;
    assert_int_equal(coh_bls12_381_map_to_g1(out, u), COH_EMALFORMED);
    assert_int_equal(coh_bls12_381_map_to_g2(out, u), COH_EMALFORMED);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(bls12_381_adds_in_g1),
        cmocka_unit_test(bls12_381_adds_in_g2),
        cmocka_unit_test(bls12_381_sums_terms_in_g1),
        cmocka_unit_test(bls12_381_sums_terms_in_g2),
        cmocka_unit_test(bls12_381_sums_many_terms),
        cmocka_unit_test(bls12_381_pairs),
        cmocka_unit_test(bls12_381_maps_to_g1),
        cmocka_unit_test(bls12_381_maps_to_g2),
        cmocka_unit_test(bls12_381_refuses_what_is_no_point),
        cmocka_unit_test(bls12_381_refuses_to_map_what_is_no_field_element),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
