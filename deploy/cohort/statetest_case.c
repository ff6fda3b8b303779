#include "deploy/cohort/statetest_case.h"

#include <jansson.h>
#include <regex.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/hex.h"
#include "common/codec/blob.h"
#include "common/codec/rlp.h"

/* Names of rule sets; those with blob parameters of their own say which. */
static struct {
    char const *name;
    coh_fork_t fork;
    coh_blob_step_t blobs;
} const forks[] = {
    {"Frontier", COH_FORK_FRONTIER, COH_BLOB_CANCUN},
    {"Homestead", COH_FORK_HOMESTEAD, COH_BLOB_CANCUN},
    {"EIP150", COH_FORK_TANGERINE, COH_BLOB_CANCUN},
    {"EIP158", COH_FORK_SPURIOUS, COH_BLOB_CANCUN},
    {"Byzantium", COH_FORK_BYZANTIUM, COH_BLOB_CANCUN},
    {"Constantinople", COH_FORK_CONSTANTINOPLE, COH_BLOB_CANCUN},
    {"ConstantinopleFix", COH_FORK_PETERSBURG, COH_BLOB_CANCUN},
    {"Istanbul", COH_FORK_ISTANBUL, COH_BLOB_CANCUN},
    {"Berlin", COH_FORK_BERLIN, COH_BLOB_CANCUN},
    {"London", COH_FORK_LONDON, COH_BLOB_CANCUN},
    {"Merge", COH_FORK_PARIS, COH_BLOB_CANCUN},
    {"Paris", COH_FORK_PARIS, COH_BLOB_CANCUN},
    {"Shanghai", COH_FORK_SHANGHAI, COH_BLOB_CANCUN},
    {"Cancun", COH_FORK_CANCUN, COH_BLOB_CANCUN},
    {"Prague", COH_FORK_PRAGUE, COH_BLOB_PRAGUE},
    {"Osaka", COH_FORK_OSAKA, COH_BLOB_OSAKA},
    {"BPO1", COH_FORK_OSAKA, COH_BLOB_BPO1},
    {"BPO2", COH_FORK_OSAKA, COH_BLOB_BPO2},
    {"BPO3", COH_FORK_OSAKA, COH_BLOB_BPO3},
    {"BPO4", COH_FORK_OSAKA, COH_BLOB_BPO4},
};

static bool find_fork(size_t *out, char const *name)
{
    for (size_t i = 0; i < COH_CNT(forks); i++) {
        if (strcmp(name, forks[i].name) == 0) {
            *out = i;
            return true;
        }
    }
    return false;
}

bool coh_statetest_fork(coh_fork_t *out, char const *name)
{
    size_t i;
    if (!find_fork(&i, name)) {
        return false;
    }
    *out = forks[i].fork;
    return true;
}

/* ---- Reading members. The first failure is kept; later reads return zeros. -------------------------------------------------------- */

typedef struct {
    coh_arena_t *arena;
    char const *test; /* what is being read */
    coh_buf_t *err_text;
    coh_err_t err;
} reader_t;

static void fail(reader_t *rd, char const *member, char const *what)
{
    if (rd->err == COH_OK) {
        rd->err = COH_EMALFORMED;
        coh_buf_printf(rd->err_text, "test %s: member %s %s", rd->test, member, what);
    }
}

static json_t *member(reader_t *rd, json_t *obj, char const *key)
{
    json_t *v = json_object_get(obj, key);
    if (v == NULL) {
        fail(rd, key, "is missing");
    }
    return v;
}

static char *copy_text(reader_t *rd, char const *text)
{
    size_t n  = strlen(text) + 1;
    char *out = coh_arena_alloc(rd->arena, n);
    memcpy(out, text, n);
    return out;
}

static bool parse_u256(coh_u256_t *out, json_t const *v)
{
    if (!json_is_string(v)) {
        return false;
    }
    /* "0x" alone stands for zero. */
    char const *text = json_string_value(v);
    size_t len       = json_string_length(v);
    *out             = COH_U256_ZERO;
    return strcmp(text, "0x") == 0 || coh_u256_parse(out, text, len) == COH_OK;
}

static bool parse_u64(uint64_t *out, json_t const *v)
{
    coh_u256_t word;
    if (!parse_u256(&word, v) || (word.w[1] | word.w[2] | word.w[3]) != 0) {
        return false;
    }
    *out = word.w[0];
    return true;
}

static coh_u256_t word_value(reader_t *rd, json_t const *v, char const *what)
{
    coh_u256_t out = COH_U256_ZERO;
    if (!parse_u256(&out, v)) {
        fail(rd, what, "is no quantity of 256 bits");
        return COH_U256_ZERO;
    }
    return out;
}

static coh_u256_t word(reader_t *rd, json_t *obj, char const *key)
{
    return word_value(rd, member(rd, obj, key), key);
}

static uint64_t number_value(reader_t *rd, json_t const *v, char const *what)
{
    uint64_t out = 0;
    if (!parse_u64(&out, v)) {
        fail(rd, what, "is no quantity of 64 bits");
        return 0;
    }
    return out;
}

static uint64_t number(reader_t *rd, json_t *obj, char const *key)
{
    return number_value(rd, member(rd, obj, key), key);
}

static void fixed_text(reader_t *rd,
                       void *out,
                       size_t n,
                       char const *text,
                       size_t len,
                       char const *what)
{
    if (text == NULL || coh_hex_decode(out, n, text, len) != COH_OK) {
        memset(out, 0, n);
        fail(rd, what, "is not hexadecimal of the right length");
    }
}

static void fixed(reader_t *rd, void *out, size_t n, json_t *obj, char const *key)
{
    json_t *v = member(rd, obj, key);
    fixed_text(rd, out, n, json_string_value(v), json_string_length(v), key);
}

static coh_bytes_t to_arena(reader_t *rd, coh_buf_t const *buf)
{
    uint8_t *p = coh_arena_alloc(rd->arena, buf->n);
    if (buf->n != 0) {
        memcpy(p, buf->p, buf->n);
    }
    return coh_bytes(p, buf->n);
}

static coh_bytes_t octets(reader_t *rd, json_t const *v, char const *what)
{
    coh_buf_t buf = COH_BUF_INIT;
    if (!json_is_string(v) ||
        coh_hex_append(&buf, json_string_value(v), json_string_length(v)) != COH_OK) {
        fail(rd, what, "is not hexadecimal");
    }
    coh_bytes_t out = to_arena(rd, &buf);
    coh_buf_free(&buf);
    return out;
}

static void *zeroed(reader_t *rd, size_t cnt, size_t size)
{
    void *p = coh_arena_alloc(rd->arena, (cnt + 1) * size);
    memset(p, 0, (cnt + 1) * size);
    return p;
}

/* ---- States ----------------------------------------------------------------------------------------------------------------- */

static void load_state(reader_t *rd, coh_statetest_state_t *out, json_t *state)
{
    out->accounts = zeroed(rd, json_object_size(state), sizeof(*out->accounts));
    char const *key;
    json_t *v;
    json_object_foreach (state, key, v) {
        coh_statetest_account_t *account = &out->accounts[out->account_cnt++];
        fixed_text(rd, account->addr.b, sizeof(account->addr.b), key, strlen(key), "address");
        account->nonce   = number(rd, v, "nonce");
        account->balance = word(rd, v, "balance");
        account->code    = octets(rd, member(rd, v, "code"), "code");
        json_t *storage  = member(rd, v, "storage");
        account->slots   = zeroed(rd, json_object_size(storage), sizeof(*account->slots));
        char const *slot_text;
        json_t *value;
        json_object_foreach (storage, slot_text, value) {
            coh_statetest_slot_t *slot = &account->slots[account->slot_cnt];
            if (coh_u256_parse(&slot->slot, slot_text, strlen(slot_text)) != COH_OK) {
                fail(rd, "storage", "has a key that is no quantity");
            }
            slot->value = word_value(rd, value, "storage");
            account->slot_cnt += !coh_u256_is_zero(&slot->value);
        }
    }
}

/* ---- Blocks ----------------------------------------------------------------------------------------------------------------- */

static coh_blob_params_t load_blob_params(reader_t *rd, json_t *config, size_t fork_idx)
{
    coh_blob_params_t params = coh_blob_params_default(forks[fork_idx].blobs);
    json_t *own = json_object_get(json_object_get(config, "blobSchedule"), forks[fork_idx].name);
    if (own != NULL) {
        params.target          = (uint32_t)COH_MIN(number(rd, own, "target"), UINT32_MAX);
        params.max             = (uint32_t)COH_MIN(number(rd, own, "max"), UINT32_MAX);
        params.update_fraction = number(rd, own, "baseFeeUpdateFraction");
        if (params.update_fraction == 0) {
            fail(rd, "baseFeeUpdateFraction", "is 0");
            params.update_fraction = 1;
        }
    }
    return params;
}

static void load_env(reader_t *rd, coh_block_env_t *out, json_t *test, size_t fork_idx)
{
    json_t *env     = member(rd, test, "env");
    json_t *config  = json_object_get(test, "config");
    coh_fork_t fork = forks[fork_idx].fork;
    *out            = (coh_block_env_t){
                   .number     = number(rd, env, "currentNumber"),
                   .timestamp  = number(rd, env, "currentTimestamp"),
                   .gas_limit  = number(rd, env, "currentGasLimit"),
                   .chain_id   = 1,
                   .fork       = fork,
                   .fees_exact = true,
    };
    fixed(rd, out->coinbase.b, sizeof(out->coinbase.b), env, "currentCoinbase");
    if (json_object_get(config, "chainid") != NULL) {
        out->chain_id = number(rd, config, "chainid");
    }
    if (fork >= COH_FORK_LONDON) {
        out->base_fee = word(rd, env, "currentBaseFee");
    }
    out->prev_randao =
        word(rd, env, fork >= COH_FORK_PARIS ? "currentRandom" : "currentDifficulty");
    if (fork >= COH_FORK_CANCUN) {
        coh_blob_params_t params = load_blob_params(rd, config, fork_idx);
        out->blob_max            = params.max;
        out->blob_base_fee =
            coh_blob_base_fee(number(rd, env, "currentExcessBlobGas"), params.update_fraction);
    }
}

/* ---- Transactions ----------------------------------------------------------------------------------------------------------- */

static void note(char const **tx_err, char const *what)
{
    if (*tx_err == NULL) {
        *tx_err = what;
    }
}

static json_t *element(reader_t *rd, json_t *tx, char const *key, uint32_t idx)
{
    json_t *v = json_array_get(member(rd, tx, key), idx);
    if (v == NULL) {
        fail(rd, key, "has too few elements");
    }
    return v;
}

static void load_access_list(reader_t *rd, coh_tx_t *out, json_t *list)
{
    coh_buf_t rlp = COH_BUF_INIT;
    size_t i;
    json_t *entry;
    json_array_foreach (list, i, entry) {
        size_t at = rlp.n;
        coh_addr_t addr;
        fixed(rd, addr.b, sizeof(addr.b), entry, "address");
        coh_rlp_put_string(&rlp, addr.b, sizeof(addr.b));
        size_t keys_at = rlp.n;
        size_t k;
        json_t *key;
        json_array_foreach (member(rd, entry, "storageKeys"), k, key) {
            uint8_t octets32[32];
            coh_u256_t slot = word_value(rd, key, "storageKeys");
            coh_u256_to_be(octets32, &slot);
            coh_rlp_put_string(&rlp, octets32, sizeof(octets32));
            out->access_key_cnt++;
        }
        coh_rlp_wrap_list(&rlp, keys_at);
        coh_rlp_wrap_list(&rlp, at);
        out->access_addr_cnt++;
    }
    out->access_list = to_arena(rd, &rlp);
    coh_buf_free(&rlp);
}

static void load_blob_hashes(reader_t *rd, coh_tx_t *out, json_t *hashes)
{
    coh_buf_t rlp = COH_BUF_INIT;
    size_t i;
    json_t *text;
    json_array_foreach (hashes, i, text) {
        coh_hash_t hash;
        fixed_text(rd,
                   hash.b,
                   sizeof(hash.b),
                   json_string_value(text),
                   json_string_length(text),
                   "blobVersionedHashes");
        coh_rlp_put_string(&rlp, hash.b, sizeof(hash.b));
        out->blob_cnt++;
    }
    out->blob_hashes = to_arena(rd, &rlp);
    coh_buf_free(&rlp);
}

/* Members of authorizations may be of any size: they are put as they are. */
static void load_auth_list(reader_t *rd, coh_tx_t *out, json_t *list, char const **tx_err)
{
    static char const *const keys[] = {"chainId", "address", "nonce", "yParity", "r", "s"};
    coh_buf_t rlp                   = COH_BUF_INIT;
    size_t i;
    json_t *entry;
    json_array_foreach (list, i, entry) {
        size_t at = rlp.n;
        for (size_t k = 0; k < COH_CNT(keys); k++) {
            if (k == 1) {
                coh_addr_t addr;
                fixed(rd, addr.b, sizeof(addr.b), entry, keys[k]);
                coh_rlp_put_string(&rlp, addr.b, sizeof(addr.b));
                continue;
            }
            coh_u256_t v = COH_U256_ZERO;
            if (!parse_u256(&v, member(rd, entry, keys[k]))) {
                note(tx_err, "authorizationList holds a quantity above 256 bits");
            }
            coh_rlp_put_u256(&rlp, &v);
        }
        coh_rlp_wrap_list(&rlp, at);
        out->auth_cnt++;
    }
    out->auth_list = to_arena(rd, &rlp);
    coh_buf_free(&rlp);
}

/* A member of the transaction that may be out of range. */
static void tx_word(coh_u256_t *out, json_t *v, char const *what, char const **tx_err)
{
    if (!parse_u256(out, v)) {
        *out = COH_U256_ZERO;
        note(tx_err, what);
    }
}

static void tx_number(uint64_t *out, json_t *v, char const *what, char const **tx_err)
{
    if (!parse_u64(out, v)) {
        *out = 0;
        note(tx_err, what);
    }
}

static void load_tx(reader_t *rd, coh_statetest_case_t *out, json_t *tx)
{
    coh_tx_t *fields     = &out->fields;
    char const **err     = &out->tx_err;
    json_t *access_lists = json_object_get(tx, "accessLists");
    json_t *access_list  = json_array_get(access_lists, out->idx.data);
    json_t *max_fee      = json_object_get(tx, "maxFeePerGas");
    json_t *blob_fee     = json_object_get(tx, "maxFeePerBlobGas");
    json_t *auths        = json_object_get(tx, "authorizationList");

    fields->chain_id     = out->env.chain_id;
    fields->has_chain_id = true;
    if (auths != NULL) {
        fields->type = COH_TX_SET_CODE;
        load_auth_list(rd, fields, auths, err);
    } else if (blob_fee != NULL) {
        fields->type = COH_TX_BLOB;
        tx_word(&fields->max_fee_per_blob_gas, blob_fee, "maxFeePerBlobGas is out of range", err);
        load_blob_hashes(rd, fields, member(rd, tx, "blobVersionedHashes"));
    } else if (max_fee != NULL) {
        fields->type = COH_TX_DYNAMIC_FEE;
    } else if (json_is_array(access_list)) {
        fields->type = COH_TX_ACCESS_LIST;
    } else {
        fields->type         = COH_TX_LEGACY;
        fields->has_chain_id = false;
    }
    if (json_is_array(access_list)) {
        load_access_list(rd, fields, access_list);
    }
    if (max_fee != NULL) {
        json_t *max_tip = member(rd, tx, "maxPriorityFeePerGas");
        tx_word(&fields->max_fee, max_fee, "maxFeePerGas is out of range", err);
        tx_word(&fields->max_tip, max_tip, "maxPriorityFeePerGas is out of range", err);
    } else {
        tx_word(&fields->max_fee, member(rd, tx, "gasPrice"), "gasPrice is out of range", err);
        fields->max_tip = fields->max_fee;
    }
    tx_number(&fields->nonce, member(rd, tx, "nonce"), "nonce is out of range", err);
    tx_number(&fields->gas_limit,
              element(rd, tx, "gasLimit", out->idx.gas),
              "gasLimit is out of range",
              err);
    tx_word(&fields->value, element(rd, tx, "value", out->idx.value), "value is out of range", err);
    fields->data      = octets(rd, element(rd, tx, "data", out->idx.data), "data");
    char const *to    = json_string_value(member(rd, tx, "to"));
    fields->is_create = to != NULL && (to[0] == '\0' || strcmp(to, "0x") == 0);
    if (!fields->is_create) {
        fixed(rd, fields->to.b, sizeof(fields->to.b), tx, "to");
    }
    fixed(rd, out->sender.b, sizeof(out->sender.b), tx, "sender");
    if (json_object_get(tx, "secretKey") != NULL) {
        out->has_secret = true;
        fixed(rd, out->secret, sizeof(out->secret), tx, "secretKey");
    }
}

/* ---- Tests ------------------------------------------------------------------------------------------------------------------ */

typedef struct {
    reader_t rd;
    coh_statetest_select_t const *select;
    bool has_regex;
    regex_t regex;
    coh_statetest_file_t *file;
    size_t case_cap;
} loader_t;

static bool takes_test(loader_t const *ld, char const *id)
{
    return ld->select->filter == NULL || strstr(id, ld->select->filter) != NULL ||
           (ld->has_regex && regexec(&ld->regex, id, 0, NULL, 0) == 0);
}

static bool takes_fork(loader_t const *ld, size_t fork_idx)
{
    char const *want = ld->select->fork;
    return want == NULL || strcmp(want, forks[fork_idx].name) == 0;
}

static uint32_t index_of(reader_t *rd, json_t *indexes, char const *key)
{
    json_t *v = member(rd, indexes, key);
    if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > UINT32_MAX) {
        fail(rd, key, "is no index");
        return 0;
    }
    return (uint32_t)json_integer_value(v);
}

static void load_case(loader_t *ld,
                      json_t *test,
                      json_t *entry,
                      size_t fork_idx,
                      coh_statetest_case_t const *base)
{
    reader_t *rd                    = &ld->rd;
    json_t *indexes                 = member(rd, entry, "indexes");
    coh_statetest_case_t one        = *base;
    one.idx                         = (coh_statetest_idx_t){.data  = index_of(rd, indexes, "data"),
                                                            .gas   = index_of(rd, indexes, "gas"),
                                                            .value = index_of(rd, indexes, "value")};
    coh_statetest_idx_t const *want = &ld->select->idx;
    if (ld->select->has_idx &&
        (one.idx.data != want->data || one.idx.gas != want->gas || one.idx.value != want->value)) {
        return;
    }
    one.fork_name = forks[fork_idx].name;
    load_tx(rd, &one, member(rd, test, "transaction"));
    json_t *raw = json_object_get(entry, "txbytes");
    if (raw != NULL) {
        one.raw = octets(rd, raw, "txbytes");
    }
    json_t *exception = json_object_get(entry, "expectException");
    if (exception != NULL) {
        one.exception =
            copy_text(rd, json_is_string(exception) ? json_string_value(exception) : "");
    }
    fixed(rd, one.root.b, sizeof(one.root.b), entry, "hash");
    fixed(rd, one.logs_hash.b, sizeof(one.logs_hash.b), entry, "logs");
    json_t *state = json_object_get(entry, "state");
    if (state != NULL) {
        one.has_post = true;
        load_state(rd, &one.post, state);
    }

    coh_statetest_file_t *file = ld->file;
    if (file->case_cnt == ld->case_cap) {
        ld->case_cap = ld->case_cap == 0 ? 16 : ld->case_cap * 2;
        file->cases  = coh_realloc(file->cases, ld->case_cap * sizeof(*file->cases));
    }
    file->cases[file->case_cnt++] = one;
}

static void load_test(loader_t *ld, char const *id, json_t *test)
{
    reader_t *rd              = &ld->rd;
    rd->test                  = id;
    coh_statetest_case_t base = {.id        = copy_text(rd, id),
                                 .is_legacy = json_object_get(test, "config") == NULL};
    char const *fork_name;
    json_t *entries;
    json_object_foreach (member(rd, test, "post"), fork_name, entries) {
        size_t fork_idx;
        if (!find_fork(&fork_idx, fork_name)) {
            fail(rd, fork_name, "is no rule set that this build knows");
            return;
        }
        if (!takes_fork(ld, fork_idx)) {
            continue;
        }
        if (base.pre == NULL) {
            coh_statetest_state_t *pre = zeroed(rd, 1, sizeof(*pre));
            load_state(rd, pre, member(rd, test, "pre"));
            base.pre = pre;
        }
        load_env(rd, &base.env, test, fork_idx);
        size_t i;
        json_t *entry;
        json_array_foreach (entries, i, entry) {
            load_case(ld, test, entry, fork_idx, &base);
        }
    }
}

coh_err_t coh_statetest_load(coh_statetest_file_t *out,
                             char const *path,
                             coh_statetest_select_t const *select,
                             coh_buf_t *err_text)
{
    *out        = (coh_statetest_file_t){.arena = COH_ARENA_INIT};
    loader_t ld = {.rd     = {.arena = &out->arena, .test = "", .err_text = err_text},
                   .select = select,
                   .file   = out};
    json_error_t error;
    json_t *root = json_load_file(path, 0, &error);
    if (root == NULL) {
        coh_buf_printf(err_text, "%s (line %d)", error.text, error.line);
        return json_error_code(&error) == json_error_cannot_open_file ? COH_EIO : COH_EMALFORMED;
    }
    if (select->filter != NULL) {
        ld.has_regex = regcomp(&ld.regex, select->filter, REG_EXTENDED | REG_NOSUB) == 0;
    }
    if (!json_is_object(root)) {
        fail(&ld.rd, "(root)", "is no object");
    }
    char const *id;
    json_t *test;
    json_object_foreach (root, id, test) {
        if (takes_test(&ld, id)) {
            load_test(&ld, id, test);
        }
    }
    if (ld.has_regex) {
        regfree(&ld.regex);
    }
    json_decref(root);
    return ld.rd.err;
}

void coh_statetest_free(coh_statetest_file_t *file)
{
    free(file->cases);
    coh_arena_free(&file->arena);
    *file = (coh_statetest_file_t){.arena = COH_ARENA_INIT};
}
