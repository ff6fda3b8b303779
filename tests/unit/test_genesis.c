#include "common/config/genesis.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/hex.h"
#include "common/obs/log.h"

static coh_genesis_t g;
static coh_buf_t why;

static int setup(void **state)
{
    (void)state;
    coh_buf_clear(&why);
    return coh_log_init("error", "") == COH_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    coh_genesis_free(&g);
    coh_buf_free(&why);
    return 0;
}

static coh_err_t parse(char const *json)
{
    coh_genesis_free(&g);
    coh_buf_clear(&why);
    return coh_genesis_parse(&g, coh_bytes(json, strlen(json)), &why);
}

static void assert_why_has(char const *part)
{
    if (memmem(why.p, why.n, part, strlen(part)) == NULL) {
        fail_msg("'%.*s' does not say '%s'", (int)why.n, (char const *)why.p, part);
    }
}

static void assert_parses(char const *json)
{
    if (parse(json) != COH_OK) {
        fail_msg("%.*s", (int)why.n, (char const *)why.p);
    }
}

/* Forks as in geth's genesis of the Sepolia test network (times shortened to three), all of the
   allocation made up. */
#define FULL                                                                                      \
    "{\"config\": {\"chainId\": 11155111, \"homesteadBlock\": 0, \"daoForkSupport\": true, "      \
    "\"eip150Block\": 0,"                                                                         \
    "\"eip155Block\": 0, \"eip158Block\": 0, \"byzantiumBlock\": 0, \"constantinopleBlock\": 0,"  \
    "\"petersburgBlock\": 0, \"istanbulBlock\": 0, \"muirGlacierBlock\": 0, \"berlinBlock\": 0, " \
    "\"londonBlock\": 0,"                                                                         \
    "\"mergeNetsplitBlock\": 1735371, \"shanghaiTime\": 1677557088, \"cancunTime\": 1706655072,"  \
    "\"pragueTime\": 1741159776, \"terminalTotalDifficulty\": 17000000000000000,"                 \
    "\"depositContractAddress\": \"0x7f02c3e3c98b133055b8b348b2ac625669ed295d\","                 \
    "\"blobSchedule\": {\"cancun\": {\"target\": 3, \"max\": 6, \"baseFeeUpdateFraction\": "      \
    "3338477}}, \"ethash\": {}},"                                                                 \
    "\"nonce\": \"0x0\", \"timestamp\": \"0x6159af19\", \"extraData\": \"0x5365706f6c6961\","     \
    "\"gasLimit\": \"0x1c9c380\", \"difficulty\": \"0x20000\", \"mixHash\":"                      \
    "\"0x0000000000000000000000000000000000000000000000000000000000000000\","                     \
    "\"coinbase\": \"0x00000000000000000000000000000000000000aa\", \"number\": \"0x0\", "         \
    "\"gasUsed\": \"0x0\","                                                                       \
    "\"baseFeePerGas\": null, \"alloc\": {"                                                       \
    "\"0xa2a6d93439144ffe4d27c9e088dcd8b783946263\": {\"balance\": \"0xd3c21bcecceda1000000\"},"  \
    "\"8BC11295936AA79D594139DE1B2E12629414F3BD\": {\"balance\": \"17\", \"nonce\": \"0x05\", "   \
    "\"code\": \"0x\","                                                                           \
    "\"storage\": {}},"                                                                           \
    "\"0x0000000000000000000000000000000000000001\": {\"balance\": 9, \"nonce\": 3}}}"

/* The smallest genesis, with room for members of config and accounts. */
#define SMALL(config, top, alloc)                                                                \
    "{\"config\": {\"chainId\": 7" config "}, \"gasLimit\": 30000000" top ", \"alloc\": {" alloc \
    "}}"
#define ADDR_1 "\"0x0000000000000000000000000000000000000001\""
#define TO_LONDON                                                                                 \
    ", \"homesteadBlock\": 0, \"eip150Block\": 0, \"eip155Block\": 0, \"eip158Block\": 0, "       \
    "\"byzantiumBlock\": 0,"                                                                      \
    "\"constantinopleBlock\": 0, \"petersburgBlock\": 0, \"istanbulBlock\": 0, \"berlinBlock\": " \
    "0,"                                                                                          \
    "\"londonBlock\": 0"
#define TO_PARIS TO_LONDON ", \"terminalTotalDifficulty\": 0"
#define TO_OSAKA                                                                   \
    TO_PARIS ", \"shanghaiTime\": 390, \"cancunTime\": 420, \"pragueTime\": 450, " \
             "\"osakaTime\": 480"

static void genesis_reads_geths_file(void **state)
{
    (void)state;
    assert_parses(FULL);
    assert_true(g.chain_id == 11155111);
    assert_true(g.timestamp == 1633267481);
    assert_true(g.gas_limit == 30000000);
    assert_true(g.number == 0);
    assert_int_equal(g.coinbase.b[19], 0xaa);
    assert_true(g.fork_at[COH_FORK_FRONTIER] == 0);
    assert_true(g.fork_at[COH_FORK_LONDON] == 0);
    assert_true(g.fork_at[COH_FORK_PARIS] == 1735371);
    assert_true(g.fork_at[COH_FORK_SHANGHAI] == 1677557088);
    assert_true(g.fork_at[COH_FORK_CANCUN] == 1706655072);
    assert_true(g.fork_at[COH_FORK_PRAGUE] == 1741159776);
    assert_true(g.fork_at[COH_FORK_OSAKA] == UINT64_MAX);
    assert_true(g.base_fee.w[0] == 1000000000);
    assert_int_equal(g.deposit_addr.b[0], 0x7f);

    assert_int_equal(g.alloc_cnt, 3);
    assert_int_equal(g.alloc[0].addr.b[19], 1);
    assert_true(g.alloc[0].nonce == 3 && g.alloc[0].balance.w[0] == 9);
    assert_int_equal(g.alloc[1].addr.b[0], 0x8b);
    assert_true(g.alloc[1].nonce == 5 && g.alloc[1].balance.w[0] == 17);
    assert_int_equal(g.alloc[2].addr.b[0], 0xa2);
    char dec[COH_U256_DEC_SZ];
    coh_u256_to_dec(dec, &g.alloc[2].balance);
    assert_string_equal(dec, "1000000000000000000000000");
    coh_u256_to_dec(dec, &g.supply);
    assert_string_equal(dec, "1000000000000000000000026");
}

static void assert_hash(coh_hash_t const *hash, char const *expected)
{
    char hex[65];
    coh_hex_encode(hex, hash->b, sizeof(hash->b));
    assert_string_equal(hex, expected);
}

/* The genesis block, and the identity that data directories carry. Computed by an independent program from the Yellow Paper and the encoding
   described in genesis_block.c. */
static void genesis_hash_is_fixed(void **state)
{
    (void)state;
    assert_parses(FULL);
    assert_hash(&g.header.state_root,
                "bd708221a355f7361837b1e049705d8882f25ec590f7ece8f994751eebd25c5d");
    assert_hash(&g.hash, "34dee26916d76ba657dd0a36cb5e985e36e662558630c13185328fe59cfc9e2d");
    assert_hash(&g.identity, "588c6889ee9708c91bb87fbfa79223fab76892e1682022f27783536d5df1d144");
    assert_parses(SMALL("", "", ""));
    assert_hash(&g.hash, "1b3eb629f88b402a923282cd63134580adb282f3fac70ecbda522cc719c766c3");
    assert_hash(&g.identity, "4baa89023cfb5538b22975bab71486e5684af8c1e892a10342fa1822adec4127");
}

static void genesis_identity_covers_everything(void **state)
{
    (void)state;
    static char const *const others[] = {
        SMALL("", "", ADDR_1 ": {\"balance\": 1}"),
        SMALL("", "", ADDR_1 ": {\"balance\": 2}"),
        SMALL("", "", ADDR_1 ": {\"balance\": 1, \"nonce\": 1}"),
        SMALL("", "", "\"0x0000000000000000000000000000000000000002\": {\"balance\": 1}"),
        SMALL("", ", \"timestamp\": 1", ""),
        SMALL("", ", \"number\": 1", ""),
        SMALL("", ", \"coinbase\": " ADDR_1, ""),
        SMALL("", ", \"nonce\": 1", ""),
        SMALL("", ", \"extraData\": \"0x00\"", ""),
        SMALL("", ", \"difficulty\": 1", ""),
        SMALL("", ", \"gasUsed\": 1", ""),
        SMALL("",
              ", \"mixHash\": "
              "\"0x0000000000000000000000000000000000000000000000000000000000000001\"",
              ""),
        SMALL("",
              ", \"parentHash\": "
              "\"0x0000000000000000000000000000000000000000000000000000000000000001\"",
              ""),
        SMALL(", \"homesteadBlock\": 0", "", ""),
        SMALL(", \"homesteadBlock\": 1", "", ""),
        SMALL(TO_LONDON, "", ""),
        SMALL(TO_LONDON, ", \"baseFeePerGas\": 1000000001", ""),
        SMALL(TO_OSAKA, "", ""),
        SMALL(TO_OSAKA ", \"bpo1Time\": 480", "", ""),
        SMALL(TO_OSAKA ", \"bpo1Time\": 481", "", ""),
        SMALL(TO_OSAKA ", \"blobSchedule\": {\"osaka\": {\"target\": 6, \"max\": 9, "
                       "\"baseFeeUpdateFraction\": 5007717}}",
              "",
              ""),
        SMALL(", \"depositContractAddress\": " ADDR_1, "", ""),
        "{\"config\": {\"chainId\": 8}, \"gasLimit\": 30000000, \"alloc\": {}}",
        "{\"config\": {\"chainId\": 7}, \"gasLimit\": 30000001, \"alloc\": {}}",
        SMALL("", "", ""),
    };
    coh_hash_t hash[COH_CNT(others)];
    for (size_t i = 0; i < COH_CNT(others); i++) {
        assert_parses(others[i]);
        hash[i] = g.identity;
        for (size_t j = 0; j < i; j++) {
            assert_false(coh_hash_eq(&hash[i], &hash[j]));
        }
    }
}

/* EIP-2124's and EIP-6122's own test vectors: mainnet's forks, by its genesis hash. */
static void genesis_fork_ids(void **state)
{
    (void)state;
    static uint64_t const numbers[] = {[COH_FORK_HOMESTEAD]      = 1150000,
                                       [COH_FORK_TANGERINE]      = 2463000,
                                       [COH_FORK_SPURIOUS]       = 2675000,
                                       [COH_FORK_BYZANTIUM]      = 4370000,
                                       [COH_FORK_CONSTANTINOPLE] = 7280000,
                                       [COH_FORK_PETERSBURG]     = 7280000,
                                       [COH_FORK_ISTANBUL]       = 9069000,
                                       [COH_FORK_BERLIN]         = 12244000,
                                       [COH_FORK_LONDON]         = 12965000,
                                       [COH_FORK_PARIS]          = UINT64_MAX,
                                       [COH_FORK_SHANGHAI]       = 1681338455,
                                       [COH_FORK_CANCUN]         = 1710338135,
                                       [COH_FORK_PRAGUE]         = UINT64_MAX,
                                       [COH_FORK_OSAKA]          = UINT64_MAX};
    coh_genesis_t mainnet = {.other_at = {1920000, 9200000, 13773000, 15050000, UINT64_MAX}};
    _Static_assert(COH_CNT(numbers) == COH_FORK_CNT, "each fork");
    memcpy(mainnet.fork_at, numbers, sizeof(numbers));
    assert_int_equal(
        coh_hex_decode(mainnet.hash.b,
                       sizeof(mainnet.hash.b),
                       "d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3",
                       64),
        COH_OK);
    assert_int_equal(coh_genesis_fork_id(&mainnet, 1681338454), 0xf0afd0e3);
    assert_int_equal(coh_genesis_fork_id(&mainnet, 1681338455), 0xdce96c2d);
    assert_int_equal(coh_genesis_fork_id(&mainnet, 1710338134), 0xdce96c2d);
    assert_int_equal(coh_genesis_fork_id(&mainnet, 1710338135), 0x9f3d2254);
}

static void genesis_numbers_as_geth_takes_them(void **state)
{
    (void)state;
    static char const *const same[] = {"255", "\"255\"", "\"0xff\"", "\"0xFF\"", "\"0x00ff\""};
    for (size_t i = 0; i < COH_CNT(same); i++) {
        char json[512];
        (void)snprintf(
            json,
            sizeof(json),
            SMALL("", ", \"timestamp\": %s", ADDR_1 ": {\"balance\": %s, \"nonce\": %s}"),
            same[i],
            same[i],
            same[i]);
        assert_parses(json);
        assert_true(g.timestamp == 255 && g.alloc[0].balance.w[0] == 255 &&
                    g.alloc[0].nonce == 255);
    }
    static char const *const zero[] = {"0", "\"0\"", "\"0x\"", "\"0x0\"", "\"\""};
    for (size_t i = 0; i < COH_CNT(zero); i++) {
        char json[512];
        (void)snprintf(json, sizeof(json), SMALL("", "", ADDR_1 ": {\"balance\": %s}"), zero[i]);
        assert_parses(json);
        assert_true(coh_u256_is_zero(&g.alloc[0].balance));
    }
    static char const *const bad[] = {"-1",
                                      "1.5",
                                      "true",
                                      "null",
                                      "[]",
                                      "\"-1\"",
                                      "\"12a\"",
                                      "\"0xgg\"",
                                      "\" 1\"",
                                      "99999999999999999999"};
    for (size_t i = 0; i < COH_CNT(bad); i++) {
        char json[512];
        (void)snprintf(json, sizeof(json), SMALL("", "", ADDR_1 ": {\"balance\": %s}"), bad[i]);
        assert_int_equal(parse(json), COH_EINVAL);
        assert_why_has("balance");
        assert_why_has("0x0000000000000000000000000000000000000001");
    }
    assert_int_equal(
        parse(SMALL("", "", ADDR_1 ": {\"balance\": 1, \"nonce\": \"0x10000000000000000\"}")),
        COH_EINVAL);
    assert_why_has("nonce is above 2^64-1");
}

/* geth writes this member as a bare number that no 64-bit integer holds (here:
   the main network's). */
static void genesis_huge_total_difficulty(void **state)
{
    (void)state;
    assert_parses(
        SMALL(TO_LONDON
              ", \"terminalTotalDifficulty\": 58750000000000000000000, \"mergeNetsplitBlock\": 5",
              "",
              ADDR_1 ": {\"balance\": 9007199254740991}"));
    assert_true(g.fork_at[COH_FORK_PARIS] == 5);
    assert_true(g.alloc[0].balance.w[0] == 9007199254740991);
    /* other numbers in such a file must not lose digits quietly */
    assert_int_equal(parse(SMALL(TO_LONDON ", \"terminalTotalDifficulty\": 58750000000000000000000",
                                 "",
                                 ADDR_1 ": {\"balance\": 9007199254740993}")),
                     COH_EINVAL);
    assert_why_has("write it as text");
}

static void genesis_paris(void **state)
{
    (void)state;
    assert_parses(SMALL(TO_LONDON, "", ""));
    assert_true(g.fork_at[COH_FORK_PARIS] == UINT64_MAX);
    assert_parses(SMALL(TO_LONDON ", \"terminalTotalDifficulty\": \"0x0\"", "", ""));
    assert_true(g.fork_at[COH_FORK_PARIS] == 0);
    assert_parses(
        SMALL(TO_LONDON ", \"terminalTotalDifficulty\": 0, \"mergeNetsplitBlock\": 8", "", ""));
    assert_true(g.fork_at[COH_FORK_PARIS] == 0);
    assert_parses(SMALL(TO_LONDON ", \"terminalTotalDifficulty\": 5", "", ""));
    assert_true(g.fork_at[COH_FORK_PARIS] == UINT64_MAX);
}

static void genesis_petersburg_defaults_to_constantinople(void **state)
{
    (void)state;
    assert_parses(
        SMALL(", \"homesteadBlock\": 0, \"eip150Block\": 0, \"eip155Block\": 0, \"eip158Block\": 0,"
              "\"byzantiumBlock\": 0, \"constantinopleBlock\": 4",
              "",
              ""));
    assert_true(g.fork_at[COH_FORK_PETERSBURG] == 4);
}

static void genesis_fork_order_errors_name_both(void **state)
{
    (void)state;
    assert_int_equal(parse(SMALL(", \"homesteadBlock\": 5, \"eip150Block\": 4", "", "")),
                     COH_EINVAL);
    assert_why_has(coh_fork_name(COH_FORK_TANGERINE));
    assert_why_has("block 4");
    assert_why_has("Homestead");
    assert_why_has("block 5");
    assert_int_equal(parse(SMALL(", \"eip150Block\": 4", "", "")), COH_EINVAL);
    assert_why_has("Homestead, which must come before it, is not activated");
    assert_int_equal(parse(SMALL(TO_LONDON ", \"shanghaiTime\": 0", "", "")), COH_EINVAL);
    assert_why_has("Shanghai");
    assert_why_has("Paris");
    assert_int_equal(parse(SMALL(TO_PARIS ", \"shanghaiTime\": 9, \"cancunTime\": 8", "", "")),
                     COH_EINVAL);
    assert_why_has("Cancun is active from time 8");
    assert_why_has("Shanghai");
    assert_int_equal(parse(SMALL(TO_PARIS ", \"cancunTime\": 8", "", "")), COH_EINVAL);
    assert_int_equal(
        parse(SMALL(
            ", \"homesteadBlock\": 0, \"eip150Block\": 0, \"eip155Block\": 1, \"eip158Block\": 2",
            "",
            "")),
        COH_EUNSUPPORTED);
    assert_why_has("eip155Block");
    assert_why_has("eip158Block");
}

static void genesis_fork_of_a_block(void **state)
{
    (void)state;
    assert_parses(FULL);
    assert_int_equal(coh_genesis_fork(&g, 0, 0), COH_FORK_LONDON);
    assert_int_equal(coh_genesis_fork(&g, 1735370, 0), COH_FORK_LONDON);
    assert_int_equal(coh_genesis_fork(&g, 1735371, 0), COH_FORK_PARIS);
    assert_int_equal(coh_genesis_fork(&g, 1735371, 1677557087), COH_FORK_PARIS);
    assert_int_equal(coh_genesis_fork(&g, 1735371, 1677557088), COH_FORK_SHANGHAI);
    assert_int_equal(coh_genesis_fork(&g, 0, 1677557088),
                     COH_FORK_LONDON); /* no Shanghai without Paris */
    assert_int_equal(coh_genesis_fork(&g, 9999999, UINT64_MAX), COH_FORK_PRAGUE);
    assert_parses(SMALL("", "", ""));
    assert_int_equal(coh_genesis_fork(&g, UINT64_MAX, UINT64_MAX), COH_FORK_FRONTIER);
}

static void assert_blobs(uint64_t timestamp, uint32_t target, uint32_t max, uint64_t fraction)
{
    coh_blob_params_t got = coh_genesis_blob_params(&g, timestamp);
    assert_int_equal(got.target, target);
    assert_int_equal(got.max, max);
    assert_true(got.update_fraction == fraction);
}

/* Those of the official RPC tests' chain, those that are given, and those that are not. */
static void genesis_blob_parameters(void **state)
{
    (void)state;
    assert_parses(SMALL(
        TO_OSAKA ", \"bpo1Time\": 510, \"bpo2Time\": 540, \"blobSchedule\": {"
                 "\"cancun\": {\"target\": 3, \"max\": 6, \"baseFeeUpdateFraction\": 3338477},"
                 "\"prague\": {\"target\": 6, \"max\": 9, \"baseFeeUpdateFraction\": 5007716},"
                 "\"osaka\": {\"target\": 6, \"max\": 9, \"baseFeeUpdateFraction\": 5007716},"
                 "\"bpo1\": {\"target\": 10, \"max\": 15, \"baseFeeUpdateFraction\": 8346193},"
                 "\"bpo2\": {\"target\": 14, \"max\": 21, \"baseFeeUpdateFraction\": 11684671}}",
        "",
        ""));
    assert_blobs(0, 0, 0, 0);
    assert_blobs(419, 0, 0, 0);
    assert_blobs(420, 3, 6, 3338477);
    assert_blobs(449, 3, 6, 3338477);
    assert_blobs(450, 6, 9, 5007716);
    assert_blobs(509, 6, 9, 5007716);
    assert_blobs(510, 10, 15, 8346193);
    assert_blobs(539, 10, 15, 8346193);
    assert_blobs(UINT64_MAX, 14, 21, 11684671);
    assert_parses(SMALL(TO_OSAKA
                        ", \"bpo3Time\": 600, \"bpo5Time\": 600, \"blobSchedule\": {"
                        "\"prague\": {\"target\": \"0x0\", \"max\": \"0x1\", "
                        "\"baseFeeUpdateFraction\": 7}, \"bpo5\": {\"target\": 4294967295, "
                        "\"max\": 4294967295, \"baseFeeUpdateFraction\": 1},"
                        "\"bpo4\": {\"target\": 1, \"max\": 2, "
                        "\"baseFeeUpdateFraction\": 3}}",
                        "",
                        ""));
    assert_blobs(420, 3, 6, 3338477);
    assert_blobs(450, 0, 1, 7);
    assert_blobs(480, 6, 9, 5007716);
    assert_blobs(599, 6, 9, 5007716);
    assert_blobs(600, UINT32_MAX, UINT32_MAX, 1);
    assert_parses(SMALL(TO_OSAKA ", \"bpo3Time\": 600, \"bpo4Time\": 700", "", ""));
    assert_blobs(600, 21, 32, 20609697);
    assert_blobs(700, 14, 21, 13739630);
    assert_parses(SMALL("", "", ""));
    assert_blobs(UINT64_MAX, 0, 0, 0);
    /* One built by hand, which says nothing. */
    coh_genesis_free(&g);
    for (size_t fork = 0; fork < COH_FORK_CNT; fork++) {
        g.fork_at[fork] = fork <= COH_FORK_PRAGUE ? 0 : UINT64_MAX;
    }
    assert_blobs(5, 6, 9, 5007716);
}

static void genesis_refuses_wrong_blob_parameters(void **state)
{
    (void)state;
    struct {
        char const *config;
        coh_err_t err;
        char const *says;
    } const cases[] = {
        {", \"blobSchedule\": 5", COH_EMALFORMED, "blobSchedule must be an object"},
        {", \"blobSchedule\": {\"cancun\": 5}", COH_EMALFORMED, "cancun: must be an object"},
        {", \"blobSchedule\": {\"prague\": {\"max\": 5}}", COH_EINVAL, "target is missing"},
        {", \"blobSchedule\": {\"prague\": {\"target\": 5}}", COH_EINVAL, "max is missing"},
        {", \"blobSchedule\": {\"prague\": {\"target\": 5, \"max\": 5}}",
         COH_EINVAL,
         "baseFeeUpdateFraction not 0"},
        {", \"blobSchedule\": {\"prague\": {\"target\": 5, \"max\": 4, "
         "\"baseFeeUpdateFraction\": 1}}",
         COH_EINVAL,
         "target must not be above max"},
        {", \"blobSchedule\": {\"prague\": {\"target\": 0, \"max\": 0, "
         "\"baseFeeUpdateFraction\": 1}}",
         COH_EINVAL,
         "max and baseFeeUpdateFraction not 0"},
        {", \"blobSchedule\": {\"prague\": {\"target\": 0, \"max\": 4294967296, "
         "\"baseFeeUpdateFraction\": 1}}",
         COH_EINVAL,
         "max is above 2^32-1"},
        {", \"bpo5Time\": 600", COH_EINVAL, "blobSchedule has no bpo5"},
        {", \"bpo1Time\": 479", COH_EINVAL, "bpo1Time is before Osaka"},
        {", \"bpo1Time\": 481, \"bpo3Time\": 480", COH_EINVAL, "bpo3Time is before bpo1Time"},
        {", \"bpo2Time\": -1", COH_EINVAL, "bpo2Time"},
    };
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        char json[2048];
        (void)snprintf(json, sizeof(json), SMALL(TO_OSAKA "%s", "", ""), cases[i].config);
        assert_int_equal(parse(json), cases[i].err);
        assert_why_has(cases[i].says);
    }
    assert_int_equal(parse(SMALL(TO_PARIS ", \"bpo1Time\": 5", "", "")), COH_EINVAL);
    assert_why_has("bpo1Time is before Osaka");
}

static void genesis_base_fee(void **state)
{
    (void)state;
    assert_parses(SMALL("", ", \"baseFeePerGas\": 5", ""));
    assert_true(coh_u256_is_zero(&g.base_fee)); /* not before London */
    assert_parses(SMALL(TO_LONDON, "", ""));
    assert_true(g.base_fee.w[0] == 1000000000);
    assert_parses(SMALL(TO_LONDON, ", \"baseFeePerGas\": \"0x7\"", ""));
    assert_true(g.base_fee.w[0] == 7);
    assert_parses(SMALL(TO_LONDON, ", \"baseFeePerGas\": 0", ""));
    assert_true(coh_u256_is_zero(&g.base_fee));
}

/* The hash as above. */
static void genesis_reads_contracts(void **state)
{
    (void)state;
    assert_parses(SMALL(
        "",
        "",
        ADDR_1 ": {\"balance\": 1, \"code\": \"0x6001\", \"storage\": {"
               "\"0x8000000000000000000000000000000000000000000000000000000000000000\": \"0x05\","
               "\"01\": \"1234\", \"0x02\": \"0x00\"}}"));
    coh_genesis_account_t const *a = &g.alloc[0];
    assert_int_equal(a->code.n, 2);
    assert_memory_equal(a->code.p, "\x60\x01", 2);
    assert_int_equal(a->slot_cnt, 2); /* the zero is none */
    assert_true(a->slots[0].key.w[0] == 1 && a->slots[0].value.w[0] == 0x1234);
    assert_true(a->slots[1].key.w[3] == UINT64_C(1) << 63 && a->slots[1].value.w[0] == 5);
    assert_hash(&g.header.state_root,
                "eba2a048a844ec819e8d91a519dd8ed8c5474dd0dac0e7a1959e3e301de0eaad");
    assert_hash(&g.hash, "07659c917e2177e8be4f7b4ca105fcc38d66144ad878c13d303885c86c08a599");
    assert_parses(
        SMALL("",
              "",
              ADDR_1 ": {\"balance\": 1, \"code\": \"\", \"storage\": null, \"comment\": \"x\"}"));
    assert_int_equal(g.alloc[0].code.n + g.alloc[0].slot_cnt, 0);
}

static void genesis_refuses_contracts_that_are_wrong(void **state)
{
    (void)state;
    struct {
        char const *account;
        char const *why;
    } const cases[] = {
        {ADDR_1 ": {\"balance\": 1, \"code\": \"0x601\"}", "code must be"},
        {ADDR_1 ": {\"balance\": 1, \"code\": \"0xzz\"}", "code must be"},
        {ADDR_1 ": {\"balance\": 1, \"code\": 5}", "code must be"},
        {ADDR_1 ": {\"balance\": 1, \"storage\": []}", "storage must be"},
        {ADDR_1 ": {\"balance\": 1, \"storage\": {\"0x00\": 1}}", "storage: slots"},
        {ADDR_1 ": {\"balance\": 1, \"storage\": {\"0xg\": \"0x1\"}}", "storage: slots"},
        {ADDR_1 ": {\"balance\": 1, \"storage\": {\"0x1\": \"0x1\", \"0x01\": \"0x1\"}}",
         "a slot twice"},
    };
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        char json[512];
        (void)snprintf(json, sizeof(json), SMALL("", "", "%s"), cases[i].account);
        assert_int_not_equal(parse(json), COH_OK);
        assert_why_has("0x0000000000000000000000000000000000000001");
        assert_why_has(cases[i].why);
        assert_null(g.alloc);
    }
}

static void genesis_refuses_what_is_wrong(void **state)
{
    (void)state;
    struct {
        char const *json;
        coh_err_t err;
        char const *says;
    } const cases[] = {
        {"", COH_EMALFORMED, "line 1"},
        {"{", COH_EMALFORMED, "line 1"},
        {"[]", COH_EMALFORMED, "one JSON object"},
        {"{}", COH_EMALFORMED, "config is missing"},
        {"{\"config\": {\"chainId\": 1}, \"gasLimit\": 30000000}",
         COH_EMALFORMED,
         "alloc is missing"},
        {"{\"config\": [], \"alloc\": {}}", COH_EMALFORMED, "config is something else"},
        {"{\"config\": {}, \"gasLimit\": 30000000, \"alloc\": {}}", COH_EINVAL, "chainId"},
        {"{\"config\": {\"chainId\": 0}, \"gasLimit\": 30000000, \"alloc\": {}}",
         COH_EINVAL,
         "chainId"},
        {"{\"config\": {\"chainId\": 1}, \"alloc\": {}}", COH_EINVAL, "gasLimit"},
        {"{\"config\": {\"chainId\": 1}, \"gasLimit\": 4999, \"alloc\": {}}",
         COH_EINVAL,
         "gasLimit"},
        {SMALL("", ", \"coinbase\": \"0x12\"", ""), COH_EINVAL, "coinbase"},
        {SMALL("", "", "\"0x12\": {\"balance\": 1}"), COH_EINVAL, "0x12"},
        {SMALL("", "", ADDR_1 ": 5"), COH_EMALFORMED, "must be an object"},
        {SMALL("", "", ADDR_1 ": {}"), COH_EINVAL, "balance is missing"},
        {SMALL("", "", ADDR_1 ": {\"balance\": 1}," ADDR_1 ": {\"balance\": 1}"),
         COH_EMALFORMED,
         "duplicate"},
        {SMALL(
             "",
             "",
             ADDR_1
             ": {\"balance\": 1}, \"0000000000000000000000000000000000000001\": {\"balance\": 1}"),
         COH_EINVAL,
         "there twice"},
        {SMALL("",
               "",
               ADDR_1 ": {\"balance\": "
                      "\"0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\"},"
                      "\"0x0000000000000000000000000000000000000002\": {\"balance\": 1}"),
         COH_EINVAL,
         "sum of all balances"},
        {SMALL("",
               "",
               ADDR_1 ": {\"balance\": "
                      "\"0x10000000000000000000000000000000000000000000000000000000000000000\"}"),
         COH_EINVAL,
         "above 2^256-1"},
        {SMALL("", "", "\"a\\n\": {\"balance\": 1}"), COH_EINVAL, "\"a\\u000a\""},
    };
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        assert_int_equal(parse(cases[i].json), cases[i].err);
        assert_why_has(cases[i].says);
        assert_null(g.alloc);
    }
    assert_parses(SMALL(
        ", \"someNewTime\": 5", ", \"someNewField\": 5", ADDR_1 ": {\"balance\": 1, \"tag\": 2}"));
}

/* More accounts than one chunk of the hash, in no order: sorted, and each counted once. */
static void genesis_many_accounts(void **state)
{
    (void)state;
    uint32_t const cnt = 10000;
    coh_buf_t json     = COH_BUF_INIT;
    coh_buf_printf(&json, "{\"config\": {\"chainId\": 7}, \"gasLimit\": 30000000, \"alloc\": {");
    for (uint32_t i = 0; i < cnt; i++) {
        coh_buf_printf(&json,
                       "%s\"0x%08x00000000000000000000000000000000\": {\"balance\": \"2\"}",
                       i == 0 ? "" : ",",
                       i * 2654435761U);
    }
    coh_buf_printf(&json, "}}");
    assert_int_equal(coh_genesis_parse(&g, coh_buf_bytes(&json), &why), COH_OK);
    coh_buf_free(&json);
    assert_int_equal(g.alloc_cnt, cnt);
    assert_true(g.supply.w[0] == 2 * (uint64_t)cnt);
    for (size_t i = 1; i < g.alloc_cnt; i++) {
        assert_true(memcmp(g.alloc[i - 1].addr.b, g.alloc[i].addr.b, sizeof(coh_addr_t)) < 0);
    }
    coh_hash_t const before = g.hash;
    g.alloc[cnt - 1].nonce++;
    assert_int_equal(coh_genesis_finish(&g, &why), COH_OK);
    assert_false(coh_hash_eq(&g.hash, &before));
}

static void genesis_load_from_file(void **state)
{
    (void)state;
    char path[] = "/tmp/coh_test_genesis_XXXXXX";
    int fd      = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, FULL, sizeof(FULL) - 1), sizeof(FULL) - 1);
    assert_int_equal(coh_genesis_load(&g, path, &why), COH_OK);
    assert_int_equal(g.alloc_cnt, 3);
    coh_genesis_free(&g);
    assert_int_equal(write(fd, "x", 1), 1);
    assert_int_equal(coh_genesis_load(&g, path, &why), COH_EMALFORMED);
    assert_why_has(path);
    assert_int_equal(close(fd), 0);
    assert_int_equal(unlink(path), 0);
    coh_buf_clear(&why);
    assert_int_equal(coh_genesis_load(&g, path, &why), COH_ENOTFOUND);
    assert_why_has(path);
    assert_int_equal(coh_genesis_load(&g, "/tmp", &why), COH_EIO);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test_setup_teardown(genesis_reads_geths_file, setup, teardown),
        cmocka_unit_test_setup_teardown(genesis_hash_is_fixed, setup, teardown),
        cmocka_unit_test_setup_teardown(genesis_identity_covers_everything, setup, teardown),
        cmocka_unit_test_setup_teardown(genesis_fork_ids, setup, teardown),
        cmocka_unit_test_setup_teardown(genesis_numbers_as_geth_takes_them, setup, teardown),
        cmocka_unit_test_setup_teardown(genesis_huge_total_difficulty, setup, teardown),
        cmocka_unit_test_setup_teardown(genesis_paris, setup, teardown),
        cmocka_unit_test_setup_teardown(
            genesis_petersburg_defaults_to_constantinople, setup, teardown),
        cmocka_unit_test_setup_teardown(genesis_fork_order_errors_name_both, setup, teardown),
        cmocka_unit_test_setup_teardown(genesis_fork_of_a_block, setup, teardown),
        cmocka_unit_test_setup_teardown(genesis_blob_parameters, setup, teardown),
        cmocka_unit_test_setup_teardown(genesis_refuses_wrong_blob_parameters, setup, teardown),
        cmocka_unit_test_setup_teardown(genesis_base_fee, setup, teardown),
        cmocka_unit_test_setup_teardown(genesis_reads_contracts, setup, teardown),
        cmocka_unit_test_setup_teardown(genesis_refuses_contracts_that_are_wrong, setup, teardown),
        cmocka_unit_test_setup_teardown(genesis_refuses_what_is_wrong, setup, teardown),
        cmocka_unit_test_setup_teardown(genesis_many_accounts, setup, teardown),
        cmocka_unit_test_setup_teardown(genesis_load_from_file, setup, teardown),
    };
    return cmocka_run_group_tests_name("genesis", tests, NULL, NULL);
}
