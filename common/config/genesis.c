#include "common/config/genesis.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/hex.h"
#include "common/crypto/keccak.h"
#include "common/obs/log.h"

#define NEVER         UINT64_MAX
#define GWEI          UINT64_C(1000000000)
#define GAS_LIMIT_MIN 5000 /* Yellow Paper, 4.4.4 */
/* Ethash's difficulty where none is given, as geth has it. */
#define DIFFICULTY_DEFAULT 131072

/* Members of config that activate a rule set, in the order in which they must be active. SPURIOUS
   has two names (EIP-155 and EIP-158 were activated together); PARIS is derived from two members
   and comes last of the block numbers. */
typedef struct {
    char const *member;
    coh_fork_t fork;
} fork_member_t;

static fork_member_t const fork_members[] = {
    {"homesteadBlock", COH_FORK_HOMESTEAD},
    {"eip150Block", COH_FORK_TANGERINE},
    {"eip155Block", COH_FORK_SPURIOUS},
    {"eip158Block", COH_FORK_SPURIOUS},
    {"byzantiumBlock", COH_FORK_BYZANTIUM},
    {"constantinopleBlock", COH_FORK_CONSTANTINOPLE},
    {"petersburgBlock", COH_FORK_PETERSBURG},
    {"istanbulBlock", COH_FORK_ISTANBUL},
    {"berlinBlock", COH_FORK_BERLIN},
    {"londonBlock", COH_FORK_LONDON},
    {"mergeNetsplitBlock", COH_FORK_PARIS},
    {"shanghaiTime", COH_FORK_SHANGHAI},
    {"cancunTime", COH_FORK_CANCUN},
    {"pragueTime", COH_FORK_PRAGUE},
    {"osakaTime", COH_FORK_OSAKA},
};

/* Names of the steps in blobSchedule, and of the members of config that give their times from BPO1
   on. */
static struct {
    char const *name;
    char const *time;
} const blob_steps[COH_BLOB_STEP_CNT] = {
    [COH_BLOB_CANCUN] = {"cancun", NULL},
    [COH_BLOB_PRAGUE] = {"prague", NULL},
    [COH_BLOB_OSAKA]  = {"osaka", NULL},
    [COH_BLOB_BPO1]   = {"bpo1", "bpo1Time"},
    [COH_BLOB_BPO2]   = {"bpo2", "bpo2Time"},
    [COH_BLOB_BPO3]   = {"bpo3", "bpo3Time"},
    [COH_BLOB_BPO4]   = {"bpo4", "bpo4Time"},
    [COH_BLOB_BPO5]   = {"bpo5", "bpo5Time"},
};

/* Members of config with block numbers that fork.h has no name for. */
static char const *const other_members[COH_GENESIS_OTHER_CNT] = {"daoForkBlock",
                                                                 "muirGlacierBlock",
                                                                 "arrowGlacierBlock",
                                                                 "grayGlacierBlock",
                                                                 "mergeNetsplitBlock"};

/* Members of config that are read elsewhere, or that change nothing for the rules above: difficulty
   bombs, the DAO's balance move, engines. */
static char const *const config_known[] = {
    "chainId",
    "terminalTotalDifficulty",
    "terminalTotalDifficultyPassed",
    "daoForkBlock",
    "daoForkSupport",
    "eip150Hash",
    "muirGlacierBlock",
    "arrowGlacierBlock",
    "grayGlacierBlock",
    "depositContractAddress",
    "blobSchedule",
    "ethash",
    "clique",
};

/* Members of the genesis itself. The state's root is not read: it follows from alloc. */
static char const *const top_known[] = {
    "config",
    "nonce",
    "timestamp",
    "extraData",
    "gasLimit",
    "difficulty",
    "mixHash",
    "mixhash",
    "coinbase",
    "alloc",
    "number",
    "gasUsed",
    "parentHash",
    "baseFeePerGas",
    "excessBlobGas",
    "blobGasUsed",
    "stateRoot",
    "stateHash",
};

/* Members of an account. Some tools keep test keys and remarks there. */
static char const *const account_known[] = {
    "balance",
    "nonce",
    "code",
    "storage",
    "secretKey",
    "privateKey",
    "comment",
};

static bool is_known(char const *const *names, size_t cnt, char const *name)
{
    for (size_t i = 0; i < cnt; i++) {
        if (strcmp(names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_fork_member(char const *name)
{
    for (size_t i = 0; i < COH_CNT(fork_members); i++) {
        if (strcmp(fork_members[i].member, name) == 0) {
            return true;
        }
    }
    for (size_t i = COH_BLOB_BPO1; i < COH_BLOB_STEP_CNT; i++) {
        if (strcmp(blob_steps[i].time, name) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_blob_step(char const *name)
{
    for (size_t i = 0; i < COH_BLOB_STEP_CNT; i++) {
        if (strcmp(blob_steps[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static void warn_ignored(char const *where, char const *member)
{
    char quoted[96];
    COH_LOG_WRN("genesis",
                "unknown member ignored",
                "in=%s member=%s",
                where,
                coh_log_quote(quoted, sizeof(quoted), member, strlen(member)));
}

/* Reads a number as geth does: a JSON integer, or text in decimal or, after 0x, hexadecimal; "0x"
   and "" are 0. Here and below, why gets the reason of a failure without the object it is about:
   read_root and read_alloc put that before it. */
static coh_err_t read_number(coh_u256_t *out, json_t const *v, char const *member, coh_buf_t *why)
{
    if (json_is_integer(v) && json_integer_value(v) >= 0) {
        *out = coh_u256((uint64_t)json_integer_value(v));
        return COH_OK;
    }
    double const exact_max = 9007199254740992.0; /* 2^53: below it doubles have no gaps */
    if (json_is_real(v) && json_real_value(v) >= 0 && json_real_value(v) < exact_max &&
        floor(json_real_value(v)) == json_real_value(v)) {
        *out = coh_u256((uint64_t)json_real_value(v));
        return COH_OK;
    }
    if (json_is_string(v)) {
        char const *text = json_string_value(v);
        size_t len       = json_string_length(v);
        if (len == 0 || strcmp(text, "0x") == 0 || strcmp(text, "0X") == 0) {
            *out = COH_U256_ZERO;
            return COH_OK;
        }
        coh_err_t rc = coh_u256_parse(out, text, len);
        if (rc == COH_OK) {
            return COH_OK;
        }
        coh_buf_printf(
            why,
            "%s is %s; write a decimal number or hexadecimal digits after 0x, at most 256 bits",
            member,
            rc == COH_ETOOBIG ? "above 2^256-1" : "not a number");
        return COH_EINVAL;
    }
    coh_buf_printf(why,
                   "%s is %s; write it as text, \"123\" or \"0x7b\"",
                   member,
                   json_is_number(v) ? "negative, not whole, or too large for a JSON number"
                                     : "not a number");
    return COH_EINVAL;
}

static coh_err_t read_u64(uint64_t *out, json_t const *v, char const *member, coh_buf_t *why)
{
    coh_u256_t wide;
    COH_TRY(read_number(&wide, v, member, why));
    if ((wide.w[1] | wide.w[2] | wide.w[3]) != 0) {
        coh_buf_printf(why, "%s is above 2^64-1", member);
        return COH_EINVAL;
    }
    *out = wide.w[0];
    return COH_OK;
}

/* As read_u64, for a member that may be missing or null: *out stays as it is. */
static coh_err_t read_optional(uint64_t *out,
                               json_t const *object,
                               char const *member,
                               coh_buf_t *why)
{
    json_t const *v = json_object_get(object, member);
    return v == NULL || json_is_null(v) ? COH_OK : read_u64(out, v, member, why);
}

static coh_err_t want_object(json_t **out,
                             json_t const *parent,
                             char const *member,
                             coh_buf_t *err_text)
{
    *out = json_object_get(parent, member);
    if (!json_is_object(*out)) {
        coh_buf_printf(err_text,
                       "genesis: %s is %s; it must be an object",
                       member,
                       *out == NULL ? "missing" : "something else");
        return COH_EMALFORMED;
    }
    return COH_OK;
}

static char const *fork_unit(coh_fork_t fork)
{
    return fork >= COH_FORK_SHANGHAI ? "time" : "block";
}

/* A fork must not be active before the one below it. Block numbers and times cannot be compared:
   there only "never" counts. */
static coh_err_t check_fork_order(coh_genesis_t const *g, coh_buf_t *why)
{
    for (coh_fork_t fork = COH_FORK_HOMESTEAD; fork < COH_FORK_CNT; fork++) {
        uint64_t below = g->fork_at[fork - 1];
        uint64_t at    = g->fork_at[fork];
        bool same_unit = (fork - 1 >= COH_FORK_SHANGHAI) == (fork >= COH_FORK_SHANGHAI);
        if (at == NEVER || (same_unit ? below <= at : below != NEVER)) {
            continue;
        }
        coh_buf_printf(why,
                       "%s is active from %s %" PRIu64 ", but %s, which must come before it, ",
                       coh_fork_name(fork),
                       fork_unit(fork),
                       at,
                       coh_fork_name(fork - 1));
        if (below == NEVER) {
            coh_buf_printf(why, "is not activated");
        } else {
            coh_buf_printf(why, "only from %s %" PRIu64, fork_unit(fork - 1), below);
        }
        return COH_EINVAL;
    }
    return COH_OK;
}

static coh_err_t read_forks(coh_genesis_t *out, json_t const *config, coh_buf_t *why)
{
    for (size_t i = 0; i < COH_FORK_CNT; i++) {
        out->fork_at[i] = NEVER;
    }
    out->fork_at[COH_FORK_FRONTIER] = 0;
    for (size_t i = 0; i < COH_CNT(fork_members); i++) {
        COH_TRY(read_optional(
            &out->fork_at[fork_members[i].fork], config, fork_members[i].member, why));
    }

    uint64_t eip155 = NEVER;
    uint64_t eip158 = NEVER;
    COH_TRY(read_optional(&eip155, config, "eip155Block", why));
    COH_TRY(read_optional(&eip158, config, "eip158Block", why));
    /* Some files name only one of two forks that came together. */
    eip155                          = eip155 == NEVER ? eip158 : eip155;
    eip158                          = eip158 == NEVER ? eip155 : eip158;
    out->fork_at[COH_FORK_SPURIOUS] = eip158;
    if (out->fork_at[COH_FORK_CONSTANTINOPLE] == NEVER) {
        out->fork_at[COH_FORK_CONSTANTINOPLE] = out->fork_at[COH_FORK_PETERSBURG];
    }
    if (eip155 != eip158) {
        coh_buf_printf(why,
                       "eip155Block and eip158Block differ; Cohort knows them as one fork "
                       "(EIP-607): set both alike");
        return COH_EUNSUPPORTED;
    }
    if (out->fork_at[COH_FORK_PETERSBURG] == NEVER) { /* geth: then together with Constantinople */
        out->fork_at[COH_FORK_PETERSBURG] = out->fork_at[COH_FORK_CONSTANTINOPLE];
    }
    json_t const *ttd = json_object_get(config, "terminalTotalDifficulty");
    if (json_is_string(ttd)) {
        coh_u256_t v;
        COH_TRY(read_number(&v, ttd, "terminalTotalDifficulty", why));
        if (coh_u256_is_zero(&v)) {
            out->fork_at[COH_FORK_PARIS] = 0;
        }
    } else if (json_is_number(ttd) &&
               json_number_value(ttd) == 0.0) { /* 0 or not: all that counts */
        out->fork_at[COH_FORK_PARIS] = 0;
    }
    return check_fork_order(out, why);
}

static coh_err_t read_count(uint32_t *out, json_t const *row, char const *member, coh_buf_t *why)
{
    uint64_t v          = 0;
    json_t const *value = json_object_get(row, member);
    if (value == NULL) {
        coh_buf_printf(why, "%s is missing", member);
        return COH_EINVAL;
    }
    COH_TRY(read_u64(&v, value, member, why));
    if (v > UINT32_MAX) {
        coh_buf_printf(why, "%s is above 2^32-1", member);
        return COH_EINVAL;
    }
    *out = (uint32_t)v;
    return COH_OK;
}

/* One row of blobSchedule (EIP-7840). */
static coh_err_t read_blob_params(coh_blob_params_t *out, json_t const *row, coh_buf_t *why)
{
    if (!json_is_object(row)) {
        coh_buf_printf(why, "must be an object with target, max and baseFeeUpdateFraction");
        return COH_EMALFORMED;
    }
    *out = (coh_blob_params_t){0};
    COH_TRY(read_count(&out->target, row, "target", why));
    COH_TRY(read_count(&out->max, row, "max", why));
    COH_TRY(read_optional(&out->update_fraction, row, "baseFeeUpdateFraction", why));
    if (out->max == 0 || out->target > out->max || out->update_fraction == 0) {
        coh_buf_printf(why,
                       "target must not be above max, and max and baseFeeUpdateFraction not 0");
        return COH_EINVAL;
    }
    return COH_OK;
}

/* The times of the BPO forks ascend, none comes before Osaka (EIP-7892). */
static coh_err_t check_bpo_order(coh_genesis_t const *g, coh_blob_step_t step, coh_buf_t *why)
{
    char const *last = "Osaka";
    uint64_t last_at = g->fork_at[COH_FORK_OSAKA];
    for (coh_blob_step_t below = COH_BLOB_BPO1; below < step; below++) {
        if (g->blob_params[below].max != 0) {
            last    = blob_steps[below].time;
            last_at = g->bpo_at[below - COH_BLOB_BPO1];
        }
    }
    if (last_at == NEVER || g->bpo_at[step - COH_BLOB_BPO1] < last_at) {
        coh_buf_printf(why, "%s is before %s", blob_steps[step].time, last);
        return COH_EINVAL;
    }
    return COH_OK;
}

/* Reads blobSchedule and the times of the BPO forks. What a fork lacks there is the default. */
static coh_err_t read_blob_schedule(coh_genesis_t *out, json_t const *config, coh_buf_t *why)
{
    json_t *schedule = json_object_get(config, "blobSchedule");
    if (schedule != NULL && !json_is_null(schedule) && !json_is_object(schedule)) {
        coh_buf_printf(why, "blobSchedule must be an object");
        return COH_EMALFORMED;
    }
    char const *name;
    json_t *v;
    json_object_foreach (schedule, name, v) {
        if (!is_blob_step(name)) {
            warn_ignored("blobSchedule", name);
        }
    }
    for (coh_blob_step_t step = COH_BLOB_CANCUN; step < COH_BLOB_STEP_CNT; step++) {
        uint64_t at = 0;
        if (step >= COH_BLOB_BPO1) {
            at = NEVER;
            COH_TRY(read_optional(&at, config, blob_steps[step].time, why));
            out->bpo_at[step - COH_BLOB_BPO1] = at;
        }
        json_t const *row        = json_object_get(schedule, blob_steps[step].name);
        coh_blob_params_t params = coh_blob_params_default(step);
        if (row != NULL && !json_is_null(row)) {
            coh_buf_t detail = COH_BUF_INIT; /* allocates only on failure */
            coh_err_t rc     = read_blob_params(&params, row, &detail);
            if (rc != COH_OK) {
                coh_buf_printf(why,
                               "blobSchedule: %s: %.*s",
                               blob_steps[step].name,
                               (int)detail.n,
                               (char const *)detail.p);
                coh_buf_free(&detail);
                return rc;
            }
        }
        if (at == NEVER) {
            continue;
        }
        if (params.max == 0) {
            coh_buf_printf(why,
                           "%s is given, but blobSchedule has no %s",
                           blob_steps[step].time,
                           blob_steps[step].name);
            return COH_EINVAL;
        }
        out->blob_params[step] = params;
        if (step >= COH_BLOB_BPO1) {
            COH_TRY(check_bpo_order(out, step, why));
        }
    }
    return COH_OK;
}

static coh_err_t read_deposit_addr(coh_genesis_t *out, json_t const *config, coh_buf_t *why)
{
    json_t const *v       = json_object_get(config, "depositContractAddress");
    out->has_deposit_addr = v != NULL && !json_is_null(v);
    if (out->has_deposit_addr &&
        (!json_is_string(v) || coh_hex_decode(out->deposit_addr.b,
                                              sizeof(out->deposit_addr.b),
                                              json_string_value(v),
                                              json_string_length(v)) != COH_OK)) {
        coh_buf_printf(why, "depositContractAddress is no address; write 40 hexadecimal digits");
        return COH_EINVAL;
    }
    return COH_OK;
}

static coh_err_t read_config(coh_genesis_t *out, json_t *config, coh_buf_t *why)
{
    char const *member;
    json_t *v;
    json_object_foreach (config, member, v) {
        if (!is_fork_member(member) && !is_known(config_known, COH_CNT(config_known), member)) {
            warn_ignored("config", member);
        }
    }
    COH_TRY(read_optional(&out->chain_id, config, "chainId", why));
    if (out->chain_id == 0) {
        coh_buf_printf(why, "chainId is missing or 0; give the chain a number above 0 (EIP-155)");
        return COH_EINVAL;
    }
    COH_TRY(read_forks(out, config, why));
    for (size_t i = 0; i < COH_CNT(other_members); i++) {
        out->other_at[i] = NEVER;
        COH_TRY(read_optional(&out->other_at[i], config, other_members[i], why));
    }
    COH_TRY(read_deposit_addr(out, config, why));
    return read_blob_schedule(out, config, why);
}

/* Digits of a hexadecimal text behind its 0x, if it has one. */
static coh_bytes_t hex_digits(char const *text, size_t len)
{
    size_t skip = len >= 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X') ? 2 : 0;
    return coh_bytes(text + skip, len - skip);
}

/* A hash that may be missing. */
static coh_err_t read_hash(coh_hash_t *out, json_t const *root, char const *member, coh_buf_t *why)
{
    json_t const *v = json_object_get(root, member);
    if (v == NULL || json_is_null(v)) {
        return COH_OK;
    }
    coh_bytes_t digits = {0};
    if (json_is_string(v)) {
        digits = hex_digits(json_string_value(v), json_string_length(v));
    }
    if (coh_hex_decode(out->b, sizeof(out->b), (char const *)digits.p, digits.n) != COH_OK) {
        coh_buf_printf(why, "%s is no hash; write 64 hexadecimal digits", member);
        return COH_EINVAL;
    }
    return COH_OK;
}

static coh_err_t read_extra(coh_header_t *h, json_t const *root, coh_buf_t *why)
{
    json_t const *v = json_object_get(root, "extraData");
    if (v == NULL || json_is_null(v)) {
        return COH_OK;
    }
    coh_bytes_t digits = {0};
    if (json_is_string(v)) {
        digits = hex_digits(json_string_value(v), json_string_length(v));
    }
    h->extra_sz = (uint32_t)COH_MIN(digits.n / 2, (size_t)COH_EXTRA_MAX + 1);
    if (!json_is_string(v) || digits.n % 2 != 0 || h->extra_sz > COH_EXTRA_MAX ||
        (digits.n != 0 &&
         coh_hex_decode(h->extra, h->extra_sz, (char const *)digits.p, digits.n) != COH_OK)) {
        coh_buf_printf(why,
                       "extraData must be text: 0x and at most %d times two hexadecimal digits",
                       COH_EXTRA_MAX);
        return COH_EINVAL;
    }
    return COH_OK;
}

/* What only the genesis block's header says. */
static coh_err_t read_block(coh_genesis_t *out, json_t const *root, coh_buf_t *why)
{
    coh_header_t *h = &out->header;
    uint64_t nonce  = 0;
    COH_TRY(read_optional(&nonce, root, "nonce", why));
    coh_store_u64_be(h->nonce, nonce);
    COH_TRY(read_extra(h, root, why));
    COH_TRY(read_hash(&h->mix_hash, root, "mixhash", why));
    COH_TRY(read_hash(&h->mix_hash, root, "mixHash", why));
    COH_TRY(read_hash(&h->parent_hash, root, "parentHash", why));
    COH_TRY(read_optional(&h->gas_used, root, "gasUsed", why));
    COH_TRY(read_optional(&h->excess_blob_gas, root, "excessBlobGas", why));
    COH_TRY(read_optional(&h->blob_gas_used, root, "blobGasUsed", why));
    json_t const *difficulty = json_object_get(root, "difficulty");
    if (difficulty != NULL && !json_is_null(difficulty)) {
        return read_number(&h->difficulty, difficulty, "difficulty", why);
    }
    if (json_object_get(json_object_get(root, "config"), "ethash") != NULL) {
        h->difficulty = coh_u256(DIFFICULTY_DEFAULT);
    }
    return COH_OK;
}

static coh_err_t read_header(coh_genesis_t *out, json_t const *root, coh_buf_t *why)
{
    COH_TRY(read_optional(&out->number, root, "number", why));
    COH_TRY(read_optional(&out->timestamp, root, "timestamp", why));
    COH_TRY(read_optional(&out->gas_limit, root, "gasLimit", why));
    if (out->gas_limit < GAS_LIMIT_MIN || out->gas_limit > INT64_MAX) {
        coh_buf_printf(why, "gasLimit is missing or not in %d..2^63-1", GAS_LIMIT_MIN);
        return COH_EINVAL;
    }
    json_t const *coinbase = json_object_get(root, "coinbase");
    if (coinbase != NULL && !json_is_null(coinbase) &&
        (!json_is_string(coinbase) || coh_hex_decode(out->coinbase.b,
                                                     sizeof(out->coinbase.b),
                                                     json_string_value(coinbase),
                                                     json_string_length(coinbase)) != COH_OK)) {
        coh_buf_printf(why, "coinbase is no address; write 40 hexadecimal digits");
        return COH_EINVAL;
    }
    if (coh_genesis_fork(out, out->number, out->timestamp) >= COH_FORK_LONDON) { /* EIP-1559 */
        out->base_fee          = coh_u256(GWEI);
        json_t const *base_fee = json_object_get(root, "baseFeePerGas");
        if (base_fee != NULL && !json_is_null(base_fee)) {
            COH_TRY(read_number(&out->base_fee, base_fee, "baseFeePerGas", why));
        }
    }
    return read_block(out, root, why);
}

static coh_err_t read_code(coh_genesis_account_t *out, json_t const *v, coh_buf_t *why)
{
    if (v == NULL || json_is_null(v)) {
        return COH_OK;
    }
    coh_bytes_t digits = {0};
    if (json_is_string(v)) {
        digits = hex_digits(json_string_value(v), json_string_length(v));
    }
    if (json_is_string(v) && digits.n == 0) {
        return COH_OK;
    }
    uint8_t *code = coh_calloc(1, digits.n / 2 + 1);
    if (!json_is_string(v) || digits.n % 2 != 0 ||
        coh_hex_decode(code, digits.n / 2, (char const *)digits.p, digits.n) != COH_OK) {
        free(code);
        coh_buf_printf(why, "code must be text: 0x and an even number of hexadecimal digits");
        return COH_EINVAL;
    }
    out->code = coh_bytes(code, digits.n / 2);
    return COH_OK;
}

/* Up to 64 digits, fewer stand for a smaller number, as geth has it. */
static bool read_word(coh_u256_t *out, char const *text, size_t len)
{
    coh_bytes_t digits = hex_digits(text, len);
    char padded[64];
    uint8_t be[32];
    if (digits.n > sizeof(padded)) {
        return false;
    }
    memset(padded, '0', sizeof(padded));
    memcpy(padded + sizeof(padded) - digits.n, digits.p, digits.n);
    if (coh_hex_decode(be, sizeof(be), padded, sizeof(padded)) != COH_OK) {
        return false;
    }
    *out = coh_u256_from_be(be, sizeof(be));
    return true;
}

static coh_err_t read_storage(coh_genesis_account_t *out, json_t *v, coh_buf_t *why)
{
    if (v == NULL || json_is_null(v)) {
        return COH_OK;
    }
    if (!json_is_object(v)) {
        coh_buf_printf(why, "storage must be an object of slots");
        return COH_EMALFORMED;
    }
    out->slots = coh_calloc(json_object_size(v), sizeof(*out->slots));
    char const *key;
    json_t *value;
    json_object_foreach (v, key, value) {
        coh_genesis_slot_t *slot = &out->slots[out->slot_cnt];
        if (!json_is_string(value) || !read_word(&slot->key, key, strlen(key)) ||
            !read_word(&slot->value, json_string_value(value), json_string_length(value))) {
            coh_buf_printf(
                why, "storage: slots and their values are 0x and up to 64 hexadecimal digits");
            return COH_EINVAL;
        }
        out->slot_cnt++;
    }
    return COH_OK;
}

static coh_err_t read_account(coh_genesis_account_t *out,
                              char const *key,
                              json_t *account,
                              coh_buf_t *why)
{
    if (coh_hex_decode(out->addr.b, sizeof(out->addr.b), key, strlen(key)) != COH_OK) {
        coh_buf_printf(why, "no address; write 40 hexadecimal digits");
        return COH_EINVAL;
    }
    if (!json_is_object(account)) {
        coh_buf_printf(why, "must be an object with a balance");
        return COH_EMALFORMED;
    }
    COH_TRY(read_code(out, json_object_get(account, "code"), why));
    COH_TRY(read_storage(out, json_object_get(account, "storage"), why));
    json_t const *balance = json_object_get(account, "balance");
    if (balance == NULL) {
        coh_buf_printf(why, "balance is missing");
        return COH_EINVAL;
    }
    COH_TRY(read_number(&out->balance, balance, "balance", why));
    return read_optional(&out->nonce, account, "nonce", why);
}

static coh_err_t read_alloc(coh_genesis_t *out, json_t *alloc, coh_buf_t *why)
{
    out->alloc = coh_calloc(json_object_size(alloc), sizeof(*out->alloc));
    char const *key;
    json_t *account;
    bool warned = false;
    json_object_foreach (alloc, key, account) {
        coh_buf_t detail = COH_BUF_INIT; /* allocates only on failure */
        coh_err_t rc     = read_account(&out->alloc[out->alloc_cnt++], key, account, &detail);
        if (rc != COH_OK) {
            char quoted[64];
            coh_buf_printf(why,
                           "account %s: %.*s",
                           coh_log_quote(quoted, sizeof(quoted), key, strlen(key)),
                           (int)detail.n,
                           (char const *)detail.p);
            coh_buf_free(&detail);
            return rc;
        }
        char const *member;
        json_t *v;
        json_object_foreach (account, member, v) {
            if (!warned && !is_known(account_known, COH_CNT(account_known), member)) {
                warn_ignored("alloc", member); /* once: there may be a million accounts */
                warned = true;
            }
        }
    }
    return COH_OK;
}

static coh_err_t read_root(coh_genesis_t *out, json_t *root, coh_buf_t *err_text)
{
    if (!json_is_object(root)) {
        coh_buf_printf(err_text, "genesis: the file must hold one JSON object");
        return COH_EMALFORMED;
    }
    json_t *config;
    json_t *alloc;
    COH_TRY(want_object(&config, root, "config", err_text));
    COH_TRY(want_object(&alloc, root, "alloc", err_text));
    char const *member;
    json_t *v;
    json_object_foreach (root, member, v) {
        if (!is_known(top_known, COH_CNT(top_known), member)) {
            warn_ignored("genesis", member);
        }
    }
    coh_buf_t why    = COH_BUF_INIT;
    char const *part = "config";
    coh_err_t rc     = read_config(out, config, &why);
    if (rc == COH_OK) {
        part = "genesis";
        rc   = read_header(out, root, &why);
    }
    if (rc == COH_OK) {
        part = "alloc";
        rc   = read_alloc(out, alloc, &why);
    }
    if (rc != COH_OK) {
        coh_buf_printf(err_text, "%s: %.*s", part, (int)why.n, (char const *)why.p);
    }
    coh_buf_free(&why);
    return rc;
}

int coh_genesis_account_cmp(void const *a, void const *b)
{
    coh_genesis_account_t const *x = a;
    coh_genesis_account_t const *y = b;
    return memcmp(x->addr.b, y->addr.b, sizeof(x->addr.b));
}

int coh_genesis_slot_cmp(void const *a, void const *b)
{
    coh_genesis_slot_t const *x = a;
    coh_genesis_slot_t const *y = b;
    return coh_u256_lt(&x->key, &y->key) ? -1 : coh_u256_lt(&y->key, &x->key);
}

/* Sorts the slots and drops those that are zero. False: one is there twice. */
static bool finish_slots(coh_genesis_account_t *account)
{
    size_t kept = 0;
    if (account->slot_cnt > 1) {
        qsort(account->slots, account->slot_cnt, sizeof(*account->slots), coh_genesis_slot_cmp);
    }
    for (size_t i = 0; i < account->slot_cnt; i++) {
        if (i > 0 && coh_u256_eq(&account->slots[i - 1].key, &account->slots[i].key)) {
            return false;
        }
        account->slots[kept] = account->slots[i];
        kept += !coh_u256_is_zero(&account->slots[i].value);
    }
    account->slot_cnt = kept;
    return true;
}

void coh_genesis_put_alloc(coh_genesis_t *g, coh_genesis_account_t const *accounts, size_t cnt)
{
    COH_ASSERT(g->alloc == NULL);
    g->alloc     = coh_calloc(cnt, sizeof(*g->alloc));
    g->alloc_cnt = cnt;
    for (size_t i = 0; i < cnt; i++) {
        coh_genesis_account_t const *in = &accounts[i];
        coh_genesis_account_t *out      = &g->alloc[i];
        *out =
            (coh_genesis_account_t){.addr = in->addr, .nonce = in->nonce, .balance = in->balance};
        if (in->code.n != 0) {
            uint8_t *code = coh_calloc(1, in->code.n);
            out->code     = coh_bytes(memcpy(code, in->code.p, in->code.n), in->code.n);
        }
        out->slots = coh_calloc(in->slot_cnt, sizeof(*out->slots));
        for (size_t k = 0; k < in->slot_cnt; k++) {
            if (!coh_u256_is_zero(&in->slots[k].value)) {
                out->slots[out->slot_cnt++] = in->slots[k];
            }
        }
    }
}

coh_err_t coh_genesis_finish(coh_genesis_t *g, coh_buf_t *err_text)
{
    if (g->alloc_cnt > 1) {
        qsort(g->alloc, g->alloc_cnt, sizeof(*g->alloc), coh_genesis_account_cmp);
    }
    g->supply = COH_U256_ZERO;
    for (size_t i = 0; i < g->alloc_cnt; i++) {
        char addr[2 * sizeof(coh_addr_t) + 1];
        if (i > 0 && coh_addr_eq(&g->alloc[i - 1].addr, &g->alloc[i].addr)) {
            coh_hex_encode(addr, g->alloc[i].addr.b, sizeof(g->alloc[i].addr.b));
            coh_buf_printf(err_text, "alloc: account 0x%s is there twice", addr);
            return COH_EINVAL;
        }
        if (!finish_slots(&g->alloc[i])) {
            coh_hex_encode(addr, g->alloc[i].addr.b, sizeof(g->alloc[i].addr.b));
            coh_buf_printf(err_text, "alloc: account 0x%s has a slot twice", addr);
            return COH_EINVAL;
        }
        if (coh_u256_add(&g->supply, &g->supply, &g->alloc[i].balance)) {
            coh_buf_printf(err_text, "alloc: the sum of all balances is above 2^256-1");
            return COH_EINVAL;
        }
    }
    coh_genesis_seal(g);
    return COH_OK;
}

/* Integers above 2^63-1 are no text for jansson, but geth writes terminalTotalDifficulty so. Only
   then are all integers read as doubles; read_number takes those that are exact and asks for text
   otherwise. */
static json_t *parse_json(coh_bytes_t json, json_error_t *error)
{
    json_t *root = json_loadb((char const *)json.p, json.n, JSON_REJECT_DUPLICATES, error);
    if (root == NULL && json_error_code(error) == json_error_numeric_overflow) {
        root = json_loadb(
            (char const *)json.p, json.n, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, error);
    }
    return root;
}

coh_err_t coh_genesis_parse(coh_genesis_t *out, coh_bytes_t json, coh_buf_t *err_text)
{
    *out = (coh_genesis_t){0};
    json_error_t error;
    json_t *root = parse_json(json.p == NULL ? coh_bytes("", 0) : json, &error);
    if (root == NULL) {
        coh_buf_printf(
            err_text, "genesis: line %d, column %d: %s", error.line, error.column, error.text);
        return COH_EMALFORMED;
    }
    coh_err_t rc = read_root(out, root, err_text);
    json_decref(root);
    if (rc == COH_OK) {
        rc = coh_genesis_finish(out, err_text);
    }
    if (rc != COH_OK) {
        coh_genesis_free(out);
    }
    return rc;
}

static coh_err_t read_file(coh_buf_t *out, char const *path, coh_buf_t *err_text)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        int error = errno;
        coh_buf_printf(err_text, "%s: %s", path, strerror(error));
        return error == ENOENT ? COH_ENOTFOUND : COH_EIO;
    }
    size_t const piece = 1 << 20;
    size_t got;
    do {
        got = fread(coh_buf_extend(out, piece), 1, piece, file);
        out->n -= piece - got;
    } while (got == piece);
    coh_err_t rc = COH_OK;
    if (ferror(file) != 0) {
        coh_buf_printf(err_text, "%s: %s", path, strerror(errno));
        rc = COH_EIO;
    }
    (void)fclose(file);
    return rc;
}

coh_err_t coh_genesis_load(coh_genesis_t *out, char const *path, coh_buf_t *err_text)
{
    *out           = (coh_genesis_t){0};
    coh_buf_t json = COH_BUF_INIT;
    coh_buf_t why  = COH_BUF_INIT;
    coh_err_t rc   = read_file(&json, path, err_text);
    if (rc == COH_OK) {
        rc = coh_genesis_parse(out, coh_buf_bytes(&json), &why);
        if (rc != COH_OK) {
            coh_buf_printf(err_text, "%s: ", path);
            coh_buf_put(err_text, why.p, why.n);
        }
    }
    coh_buf_free(&why);
    coh_buf_free(&json);
    return rc;
}

void coh_genesis_free(coh_genesis_t *g)
{
    for (size_t i = 0; i < g->alloc_cnt; i++) {
        free((void *)(uintptr_t)g->alloc[i].code.p);
        free(g->alloc[i].slots);
    }
    free(g->alloc);
    free(g->ancestors);
    *g = (coh_genesis_t){0};
}

coh_fork_t coh_genesis_fork(coh_genesis_t const *g, uint64_t number, uint64_t timestamp)
{
    coh_fork_t fork = COH_FORK_FRONTIER;
    while (fork + 1 < COH_FORK_CNT) {
        uint64_t at = g->fork_at[fork + 1];
        if (at == NEVER || at > (fork + 1 >= COH_FORK_SHANGHAI ? timestamp : number)) {
            break;
        }
        fork++;
    }
    return fork;
}

/* The checksum of IEEE 802.3, going on from crc. */
static uint32_t checksum(uint32_t crc, uint8_t const *p, size_t n)
{
    crc = ~crc;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (0xedb88320u & (0u - (crc & 1)));
        }
    }
    return ~crc;
}

static uint32_t add_fork(uint32_t crc, uint64_t at)
{
    uint8_t be[8];
    for (size_t i = 0; i < sizeof(be); i++) {
        be[i] = (uint8_t)(at >> (56 - 8 * i));
    }
    return checksum(crc, be, sizeof(be));
}

/* Goes on from crc with what is above floor and at most last, each once, ascending. */
static uint32_t add_forks(uint32_t crc,
                          uint64_t const *at,
                          size_t cnt,
                          uint64_t floor,
                          uint64_t last)
{
    for (;;) {
        uint64_t next = NEVER;
        for (size_t i = 0; i < cnt; i++) {
            next = at[i] > floor ? COH_MIN(next, at[i]) : next;
        }
        if (next == NEVER || next > last) {
            return crc;
        }
        crc   = add_fork(crc, next);
        floor = next;
    }
}

uint32_t coh_genesis_fork_id(coh_genesis_t const *g, uint64_t timestamp)
{
    uint64_t numbers[COH_FORK_PARIS + COH_GENESIS_OTHER_CNT]; /* Paris has none */
    uint64_t times[COH_FORK_CNT - COH_FORK_SHANGHAI + COH_CNT(g->bpo_at)];
    size_t time_cnt = COH_FORK_CNT - COH_FORK_SHANGHAI;
    memcpy(numbers, g->fork_at, COH_FORK_PARIS * sizeof(*numbers));
    memcpy(numbers + COH_FORK_PARIS, g->other_at, sizeof(g->other_at));
    memcpy(times, g->fork_at + COH_FORK_SHANGHAI, time_cnt * sizeof(*times));
    for (size_t i = 0; i < COH_CNT(g->bpo_at); i++) { /* in one built by hand 0 stands for none */
        times[time_cnt + i] = g->blob_params[COH_BLOB_BPO1 + i].max != 0 ? g->bpo_at[i] : NEVER;
    }
    uint32_t crc = checksum(0, g->hash.b, sizeof(g->hash.b));
    crc          = add_forks(crc, numbers, COH_CNT(numbers), 0, NEVER);
    return add_forks(crc, times, COH_CNT(times), g->timestamp, timestamp);
}

coh_blob_params_t coh_genesis_blob_params(coh_genesis_t const *g, uint64_t timestamp)
{
    _Static_assert(COH_FORK_PRAGUE - COH_FORK_CANCUN == COH_BLOB_PRAGUE - COH_BLOB_CANCUN &&
                       COH_FORK_OSAKA - COH_FORK_CANCUN == COH_BLOB_OSAKA - COH_BLOB_CANCUN,
                   "steps are named after forks");
    for (size_t i = COH_BLOB_STEP_CNT; i-- > 0;) {
        coh_blob_step_t step     = (coh_blob_step_t)i;
        coh_blob_params_t params = g->blob_params[step];
        bool is_bpo              = step >= COH_BLOB_BPO1;
        uint64_t at              = is_bpo ? g->bpo_at[step - COH_BLOB_BPO1]
                                          : g->fork_at[COH_FORK_CANCUN + (step - COH_BLOB_CANCUN)];
        if (at == NEVER || at > timestamp || (is_bpo && params.max == 0)) {
            continue;
        }
        return params.max == 0 ? coh_blob_params_default(step) : params;
    }
    return (coh_blob_params_t){0};
}
