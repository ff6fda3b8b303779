#include "deploy/cohort/statetest_case.h"

#include <regex.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/codec/blob.h"
#include "common/codec/rlp.h"
#include "deploy/cohort/json_reader.h"

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

/* ---- States ----------------------------------------------------------------------------------------------------------------- */

static void load_state(coh_json_reader_t *rd, coh_statetest_state_t *out, json_t *state)
{
    out->accounts = coh_json_zeroed(rd, json_object_size(state), sizeof(*out->accounts));
    char const *key;
    json_t *v;
    json_object_foreach (state, key, v) {
        coh_genesis_account_t *account = &out->accounts[out->account_cnt++];
        coh_json_fixed_text(
            rd, account->addr.b, sizeof(account->addr.b), key, strlen(key), "address");
        account->nonce   = coh_json_u64(rd, v, "nonce");
        account->balance = coh_json_u256(rd, v, "balance");
        account->code    = coh_json_octets(rd, coh_json_member(rd, v, "code"), "code");
        coh_json_slots(rd, &account->slots, &account->slot_cnt, coh_json_member(rd, v, "storage"));
    }
}

/* ---- Blocks ----------------------------------------------------------------------------------------------------------------- */

static coh_blob_params_t load_blob_params(coh_json_reader_t *rd, json_t *config, size_t fork_idx)
{
    coh_blob_params_t params = coh_blob_params_default(forks[fork_idx].blobs);
    json_t *own = json_object_get(json_object_get(config, "blobSchedule"), forks[fork_idx].name);
    if (own != NULL) {
        params.target          = (uint32_t)COH_MIN(coh_json_u64(rd, own, "target"), UINT32_MAX);
        params.max             = (uint32_t)COH_MIN(coh_json_u64(rd, own, "max"), UINT32_MAX);
        params.update_fraction = coh_json_u64(rd, own, "baseFeeUpdateFraction");
        if (params.update_fraction == 0) {
            coh_json_fail(rd, "baseFeeUpdateFraction", "is 0");
            params.update_fraction = 1;
        }
    }
    return params;
}

static void load_env(coh_json_reader_t *rd, coh_block_env_t *out, json_t *test, size_t fork_idx)
{
    json_t *env     = coh_json_member(rd, test, "env");
    json_t *config  = json_object_get(test, "config");
    coh_fork_t fork = forks[fork_idx].fork;
    *out            = (coh_block_env_t){
                   .number     = coh_json_u64(rd, env, "currentNumber"),
                   .timestamp  = coh_json_u64(rd, env, "currentTimestamp"),
                   .gas_limit  = coh_json_u64(rd, env, "currentGasLimit"),
                   .chain_id   = 1,
                   .fork       = fork,
                   .fees_exact = true,
    };
    coh_json_fixed(rd, out->coinbase.b, sizeof(out->coinbase.b), env, "currentCoinbase");
    if (json_object_get(config, "chainid") != NULL) {
        out->chain_id = coh_json_u64(rd, config, "chainid");
    }
    if (fork >= COH_FORK_LONDON) {
        out->base_fee = coh_json_u256(rd, env, "currentBaseFee");
    }
    out->prev_randao =
        coh_json_u256(rd, env, fork >= COH_FORK_PARIS ? "currentRandom" : "currentDifficulty");
    if (fork >= COH_FORK_CANCUN) {
        coh_blob_params_t params = load_blob_params(rd, config, fork_idx);
        out->blob_max            = params.max;
        out->blob_base_fee       = coh_blob_base_fee(coh_json_u64(rd, env, "currentExcessBlobGas"),
                                               params.update_fraction);
    }
}

/* ---- Transactions ----------------------------------------------------------------------------------------------------------- */

static void note(char const **tx_err, char const *what)
{
    if (*tx_err == NULL) {
        *tx_err = what;
    }
}

static json_t *element(coh_json_reader_t *rd, json_t *tx, char const *key, uint32_t idx)
{
    json_t *v = json_array_get(coh_json_member(rd, tx, key), idx);
    if (v == NULL) {
        coh_json_fail(rd, key, "has too few elements");
    }
    return v;
}

static void load_access_list(coh_json_reader_t *rd, coh_tx_t *out, json_t *list)
{
    coh_buf_t rlp = COH_BUF_INIT;
    size_t i;
    json_t *entry;
    json_array_foreach (list, i, entry) {
        size_t at = rlp.n;
        coh_addr_t addr;
        coh_json_fixed(rd, addr.b, sizeof(addr.b), entry, "address");
        coh_rlp_put_string(&rlp, addr.b, sizeof(addr.b));
        size_t keys_at = rlp.n;
        size_t k;
        json_t *key;
        json_array_foreach (coh_json_member(rd, entry, "storageKeys"), k, key) {
            uint8_t octets32[32];
            coh_u256_t slot = coh_json_u256_value(rd, key, "storageKeys");
            coh_u256_to_be(octets32, &slot);
            coh_rlp_put_string(&rlp, octets32, sizeof(octets32));
            out->access_key_cnt++;
        }
        coh_rlp_wrap_list(&rlp, keys_at);
        coh_rlp_wrap_list(&rlp, at);
        out->access_addr_cnt++;
    }
    out->access_list = coh_json_copy(rd, &rlp);
    coh_buf_free(&rlp);
}

static void load_blob_hashes(coh_json_reader_t *rd, coh_tx_t *out, json_t *hashes)
{
    coh_buf_t rlp = COH_BUF_INIT;
    size_t i;
    json_t *text;
    json_array_foreach (hashes, i, text) {
        coh_hash_t hash;
        coh_json_fixed_text(rd,
                            hash.b,
                            sizeof(hash.b),
                            json_string_value(text),
                            json_string_length(text),
                            "blobVersionedHashes");
        coh_rlp_put_string(&rlp, hash.b, sizeof(hash.b));
        out->blob_cnt++;
    }
    out->blob_hashes = coh_json_copy(rd, &rlp);
    coh_buf_free(&rlp);
}

/* Members of authorizations may be of any size: they are put as they are. */
static void load_auth_list(coh_json_reader_t *rd, coh_tx_t *out, json_t *list, char const **tx_err)
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
                coh_json_fixed(rd, addr.b, sizeof(addr.b), entry, keys[k]);
                coh_rlp_put_string(&rlp, addr.b, sizeof(addr.b));
                continue;
            }
            coh_u256_t v = COH_U256_ZERO;
            if (!coh_json_parse_u256(&v, coh_json_member(rd, entry, keys[k]))) {
                note(tx_err, "authorizationList holds a quantity above 256 bits");
            }
            coh_rlp_put_u256(&rlp, &v);
        }
        coh_rlp_wrap_list(&rlp, at);
        out->auth_cnt++;
    }
    out->auth_list = coh_json_copy(rd, &rlp);
    coh_buf_free(&rlp);
}

/* A member of the transaction that may be out of range. */
static void tx_word(coh_u256_t *out, json_t *v, char const *what, char const **tx_err)
{
    if (!coh_json_parse_u256(out, v)) {
        *out = COH_U256_ZERO;
        note(tx_err, what);
    }
}

static void tx_number(uint64_t *out, json_t *v, char const *what, char const **tx_err)
{
    if (!coh_json_parse_u64(out, v)) {
        *out = 0;
        note(tx_err, what);
    }
}

static void load_tx(coh_json_reader_t *rd, coh_statetest_case_t *out, json_t *tx)
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
        load_blob_hashes(rd, fields, coh_json_member(rd, tx, "blobVersionedHashes"));
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
        json_t *max_tip = coh_json_member(rd, tx, "maxPriorityFeePerGas");
        tx_word(&fields->max_fee, max_fee, "maxFeePerGas is out of range", err);
        tx_word(&fields->max_tip, max_tip, "maxPriorityFeePerGas is out of range", err);
    } else {
        tx_word(
            &fields->max_fee, coh_json_member(rd, tx, "gasPrice"), "gasPrice is out of range", err);
        fields->max_tip = fields->max_fee;
    }
    tx_number(&fields->nonce, coh_json_member(rd, tx, "nonce"), "nonce is out of range", err);
    tx_number(&fields->gas_limit,
              element(rd, tx, "gasLimit", out->idx.gas),
              "gasLimit is out of range",
              err);
    tx_word(&fields->value, element(rd, tx, "value", out->idx.value), "value is out of range", err);
    fields->data      = coh_json_octets(rd, element(rd, tx, "data", out->idx.data), "data");
    char const *to    = json_string_value(coh_json_member(rd, tx, "to"));
    fields->is_create = to != NULL && (to[0] == '\0' || strcmp(to, "0x") == 0);
    if (!fields->is_create) {
        coh_json_fixed(rd, fields->to.b, sizeof(fields->to.b), tx, "to");
    }
    coh_json_fixed(rd, out->sender.b, sizeof(out->sender.b), tx, "sender");
    if (json_object_get(tx, "secretKey") != NULL) {
        out->has_secret = true;
        coh_json_fixed(rd, out->secret, sizeof(out->secret), tx, "secretKey");
    }
}

/* ---- Tests ------------------------------------------------------------------------------------------------------------------ */

typedef struct {
    coh_json_reader_t rd;
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

static uint32_t index_of(coh_json_reader_t *rd, json_t *indexes, char const *key)
{
    json_t *v = coh_json_member(rd, indexes, key);
    if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > UINT32_MAX) {
        coh_json_fail(rd, key, "is no index");
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
    coh_json_reader_t *rd           = &ld->rd;
    json_t *indexes                 = coh_json_member(rd, entry, "indexes");
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
    load_tx(rd, &one, coh_json_member(rd, test, "transaction"));
    json_t *raw = json_object_get(entry, "txbytes");
    if (raw != NULL) {
        one.raw = coh_json_octets(rd, raw, "txbytes");
    }
    json_t *exception = json_object_get(entry, "expectException");
    if (exception != NULL) {
        one.exception =
            coh_json_copy_text(rd, json_is_string(exception) ? json_string_value(exception) : "");
    }
    coh_json_fixed(rd, one.root.b, sizeof(one.root.b), entry, "hash");
    coh_json_fixed(rd, one.logs_hash.b, sizeof(one.logs_hash.b), entry, "logs");
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
    coh_json_reader_t *rd     = &ld->rd;
    rd->where                 = id;
    coh_statetest_case_t base = {.id        = coh_json_copy_text(rd, id),
                                 .is_legacy = json_object_get(test, "config") == NULL};
    char const *fork_name;
    json_t *entries;
    json_object_foreach (coh_json_member(rd, test, "post"), fork_name, entries) {
        size_t fork_idx;
        if (!find_fork(&fork_idx, fork_name)) {
            coh_json_fail(rd, fork_name, "is no rule set that this build knows");
            return;
        }
        if (!takes_fork(ld, fork_idx)) {
            continue;
        }
        if (base.pre == NULL) {
            coh_statetest_state_t *pre = coh_json_zeroed(rd, 1, sizeof(*pre));
            load_state(rd, pre, coh_json_member(rd, test, "pre"));
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
    loader_t ld = {
        .rd = {.arena = &out->arena, .err_text = err_text}, .select = select, .file = out};
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
        coh_json_fail(&ld.rd, "(root)", "is no object");
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
