#include "deploy/cohort/blocktest_case.h"

#include <jansson.h>
#include <regex.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/hex.h"

/* ---- Networks -------------------------------------------------------------------------------------------------------------------- */

/* What comes with rules beside a fork. */
typedef enum { EXTRA_NONE, EXTRA_DAO, EXTRA_MUIR, EXTRA_ARROW, EXTRA_GRAY } extra_t;

/* blobs: whose parameters the name stands for in config.blobSchedule; STEP_CNT: none. */
static struct {
    char const *name;
    coh_fork_t fork;
    coh_blob_step_t blobs;
    extra_t extra;
} const networks[] = {
    {"Frontier", COH_FORK_FRONTIER, COH_BLOB_STEP_CNT, EXTRA_NONE},
    {"Homestead", COH_FORK_HOMESTEAD, COH_BLOB_STEP_CNT, EXTRA_NONE},
    {"Dao", COH_FORK_HOMESTEAD, COH_BLOB_STEP_CNT, EXTRA_DAO},
    {"EIP150", COH_FORK_TANGERINE, COH_BLOB_STEP_CNT, EXTRA_NONE},
    {"EIP158", COH_FORK_SPURIOUS, COH_BLOB_STEP_CNT, EXTRA_NONE},
    {"Byzantium", COH_FORK_BYZANTIUM, COH_BLOB_STEP_CNT, EXTRA_NONE},
    {"Constantinople", COH_FORK_CONSTANTINOPLE, COH_BLOB_STEP_CNT, EXTRA_NONE},
    {"ConstantinopleFix", COH_FORK_PETERSBURG, COH_BLOB_STEP_CNT, EXTRA_NONE},
    {"Istanbul", COH_FORK_ISTANBUL, COH_BLOB_STEP_CNT, EXTRA_NONE},
    {"MuirGlacier", COH_FORK_ISTANBUL, COH_BLOB_STEP_CNT, EXTRA_MUIR},
    {"Berlin", COH_FORK_BERLIN, COH_BLOB_STEP_CNT, EXTRA_NONE},
    {"London", COH_FORK_LONDON, COH_BLOB_STEP_CNT, EXTRA_NONE},
    {"ArrowGlacier", COH_FORK_LONDON, COH_BLOB_STEP_CNT, EXTRA_ARROW},
    {"GrayGlacier", COH_FORK_LONDON, COH_BLOB_STEP_CNT, EXTRA_GRAY},
    {"Merge", COH_FORK_PARIS, COH_BLOB_STEP_CNT, EXTRA_NONE},
    {"Paris", COH_FORK_PARIS, COH_BLOB_STEP_CNT, EXTRA_NONE},
    {"Shanghai", COH_FORK_SHANGHAI, COH_BLOB_STEP_CNT, EXTRA_NONE},
    {"Cancun", COH_FORK_CANCUN, COH_BLOB_CANCUN, EXTRA_NONE},
    {"Prague", COH_FORK_PRAGUE, COH_BLOB_PRAGUE, EXTRA_NONE},
    {"Osaka", COH_FORK_OSAKA, COH_BLOB_OSAKA, EXTRA_NONE},
    {"BPO1", COH_FORK_OSAKA, COH_BLOB_BPO1, EXTRA_NONE},
    {"BPO2", COH_FORK_OSAKA, COH_BLOB_BPO2, EXTRA_NONE},
    {"BPO3", COH_FORK_OSAKA, COH_BLOB_BPO3, EXTRA_NONE},
    {"BPO4", COH_FORK_OSAKA, COH_BLOB_BPO4, EXTRA_NONE},
};

static bool find_network(size_t *out, char const *name, size_t n)
{
    for (size_t i = 0; i < COH_CNT(networks); i++) {
        if (strlen(networks[i].name) == n && memcmp(name, networks[i].name, n) == 0) {
            *out = i;
            return true;
        }
    }
    return false;
}

/* From number or time at on, the rules of networks[idx] hold. */
static void activate(coh_schedule_t *s, size_t idx, uint64_t at)
{
    for (int fork = 1; fork <= (int)networks[idx].fork; fork++) {
        s->fork_at[fork] = COH_MIN(s->fork_at[fork], at);
    }
    coh_blob_step_t blobs = networks[idx].blobs;
    for (int step = COH_BLOB_BPO1; blobs != COH_BLOB_STEP_CNT && step <= (int)blobs; step++) {
        s->blob_at[step] = COH_MIN(s->blob_at[step], at);
    }
    switch (networks[idx].extra) {
    case EXTRA_NONE: break;
    case EXTRA_DAO: s->dao_at = at; break;
    case EXTRA_MUIR: s->muir_at = at; break;
    case EXTRA_ARROW: s->arrow_at = at; break;
    case EXTRA_GRAY: s->gray_at = at; break;
    }
}

/* "5", "15k" */
static bool parse_at(uint64_t *out, char const *text)
{
    char *end;
    *out = strtoull(text, &end, 10);
    if (*end == 'k') {
        *out *= 1000;
        end++;
    }
    return end != text && *end == '\0';
}

static bool parse_transition(coh_schedule_t *s, char const *to)
{
    char const *at = strstr(to, "At");
    size_t idx;
    uint64_t when;
    if (at == NULL || !find_network(&idx, to, (size_t)(at - to))) {
        return false;
    }
    if (strncmp(at, "AtDiff", 6) == 0) {
        s->has_ttd = true;
        char digits[70];
        int n = snprintf(digits, sizeof(digits), "0x%s", at + 6);
        return n > 2 && n < (int)sizeof(digits) && networks[idx].fork == COH_FORK_PARIS &&
               coh_u256_parse(&s->ttd, digits, (size_t)n) == COH_OK;
    }
    bool by_time = strncmp(at, "AtTime", 6) == 0;
    if (!parse_at(&when, at + (by_time ? 6 : 2)) ||
        by_time != (networks[idx].fork > COH_FORK_PARIS)) {
        return false;
    }
    activate(s, idx, when);
    return true;
}

bool coh_blocktest_network(coh_schedule_t *out, char const *name, uint64_t chain_id)
{
    char const *to = strstr(name, "To");
    size_t n       = to == NULL ? strlen(name) : (size_t)(to - name);
    size_t idx;
    if (!find_network(&idx, name, n)) {
        return false;
    }
    coh_schedule_init(out, networks[idx].fork, chain_id);
    activate(out, idx, 0);
    return to == NULL || parse_transition(out, to + 2);
}

/* ---- Reading members. The first failure is kept; later reads return zeros. ------------------------------------------------------ */

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

static char *copy_text(reader_t *rd, json_t const *v)
{
    char const *text = json_is_string(v) ? json_string_value(v) : "";
    size_t n         = strlen(text) + 1;
    char *out        = coh_arena_alloc(rd->arena, n);
    memcpy(out, text, n);
    return out;
}

static coh_u256_t word_value(reader_t *rd, json_t const *v, char const *what)
{
    coh_u256_t out   = COH_U256_ZERO;
    char const *text = json_string_value(v);
    if (text == NULL ||
        (strcmp(text, "0x") != 0 && coh_u256_parse(&out, text, json_string_length(v)) != COH_OK)) {
        fail(rd, what, "is no quantity of 256 bits");
    }
    return out;
}

static uint64_t number(reader_t *rd, json_t *obj, char const *key)
{
    coh_u256_t out = word_value(rd, member(rd, obj, key), key);
    if (!coh_u256_fits_u64(&out)) {
        fail(rd, key, "is no quantity of 64 bits");
    }
    return out.w[0];
}

static void fixed(reader_t *rd, void *out, size_t n, char const *text, char const *what)
{
    if (text == NULL || coh_hex_decode(out, n, text, strlen(text)) != COH_OK) {
        memset(out, 0, n);
        fail(rd, what, "is not hexadecimal of the right length");
    }
}

static coh_bytes_t octets(reader_t *rd, json_t const *v, char const *what)
{
    coh_buf_t buf = COH_BUF_INIT;
    if (!json_is_string(v) ||
        coh_hex_append(&buf, json_string_value(v), json_string_length(v)) != COH_OK) {
        fail(rd, what, "is not hexadecimal");
    }
    uint8_t *p = coh_arena_alloc(rd->arena, buf.n);
    if (buf.n != 0) {
        memcpy(p, buf.p, buf.n);
    }
    coh_bytes_t out = coh_bytes(p, buf.n);
    coh_buf_free(&buf);
    return out;
}

static void *zeroed(reader_t *rd, size_t cnt, size_t size)
{
    void *p = coh_arena_alloc(rd->arena, (cnt + 1) * size);
    memset(p, 0, (cnt + 1) * size);
    return p;
}

static void load_state(reader_t *rd, coh_genesis_account_t **out, size_t *cnt, json_t *state)
{
    *out = zeroed(rd, json_object_size(state), sizeof(**out));
    char const *key;
    json_t *v;
    json_object_foreach (state, key, v) {
        coh_genesis_account_t *account = &(*out)[(*cnt)++];
        fixed(rd, account->addr.b, sizeof(account->addr.b), key, "address");
        account->nonce   = number(rd, v, "nonce");
        account->balance = word_value(rd, member(rd, v, "balance"), "balance");
        account->code    = octets(rd, member(rd, v, "code"), "code");
        json_t *storage  = member(rd, v, "storage");
        account->slots   = zeroed(rd, json_object_size(storage), sizeof(*account->slots));
        char const *slot_text;
        json_t *value;
        json_object_foreach (storage, slot_text, value) {
            coh_genesis_slot_t *slot = &account->slots[account->slot_cnt];
            if (coh_u256_parse(&slot->key, slot_text, strlen(slot_text)) != COH_OK) {
                fail(rd, "storage", "has a key that is no quantity");
            }
            slot->value = word_value(rd, value, "storage");
            account->slot_cnt += !coh_u256_is_zero(&slot->value);
        }
    }
}

void coh_blocktest_fill(coh_memview_t *mv, coh_genesis_account_t const *accounts, size_t cnt)
{
    for (size_t i = 0; i < cnt; i++) {
        coh_genesis_account_t const *a = &accounts[i];
        coh_memview_put_account(mv, &a->addr, a->nonce, &a->balance, a->code);
        for (size_t k = 0; k < a->slot_cnt; k++) {
            coh_memview_put_slot(mv, &a->addr, &a->slots[k].key, &a->slots[k].value);
        }
    }
}

/* ---- Tests ----------------------------------------------------------------------------------------------------------------------- */

static void load_blob_schedule(reader_t *rd, coh_schedule_t *out, json_t *blobs)
{
    char const *name;
    json_t *v;
    json_object_foreach (blobs, name, v) {
        size_t idx;
        if (!find_network(&idx, name, strlen(name)) || networks[idx].blobs == COH_BLOB_STEP_CNT) {
            fail(rd, "blobSchedule", "names rules that this build does not know");
            return;
        }
        coh_blob_params_t *params = &out->blob_params[networks[idx].blobs];
        params->target            = (uint32_t)COH_MIN(number(rd, v, "target"), UINT32_MAX);
        params->max               = (uint32_t)COH_MIN(number(rd, v, "max"), UINT32_MAX);
        params->update_fraction   = number(rd, v, "baseFeeUpdateFraction");
        if (params->update_fraction == 0 || params->max == 0 || params->target > params->max) {
            fail(rd, "blobSchedule", "is no schedule");
            *params = coh_blob_params_default(networks[idx].blobs);
        }
    }
}

static void load_blocks(reader_t *rd, coh_blocktest_case_t *out, json_t *blocks)
{
    out->blocks = zeroed(rd, json_array_size(blocks), sizeof(*out->blocks));
    size_t i;
    json_t *v;
    json_array_foreach (blocks, i, v) {
        coh_blocktest_block_t *block = &out->blocks[out->block_cnt++];
        block->raw                   = octets(rd, member(rd, v, "rlp"), "rlp");
        json_t *exception            = json_object_get(v, "expectException");
        block->exception             = exception == NULL ? NULL : copy_text(rd, exception);
    }
}

static void load_test(reader_t *rd, coh_blocktest_case_t *out, char const *network, json_t *test)
{
    json_t *config    = json_object_get(test, "config");
    bool has_id       = json_object_get(config, "chainid") != NULL;
    uint64_t chain_id = has_id ? number(rd, config, "chainid") : 1;
    if (!coh_blocktest_network(&out->schedule, network, chain_id)) {
        fail(rd, network, "is no network that this build knows");
        return;
    }
    load_blob_schedule(rd, &out->schedule, json_object_get(config, "blobSchedule"));
    json_t *header   = member(rd, test, "genesisBlockHeader");
    char const *hash = json_string_value(member(rd, header, "hash"));
    fixed(rd, out->genesis_hash.b, sizeof(out->genesis_hash.b), hash, "hash");
    out->genesis_raw = octets(rd, member(rd, test, "genesisRLP"), "genesisRLP");
    load_state(rd, &out->pre, &out->pre_cnt, member(rd, test, "pre"));
    load_blocks(rd, out, member(rd, test, "blocks"));
    char const *last = json_string_value(member(rd, test, "lastblockhash"));
    fixed(rd, out->last_hash.b, sizeof(out->last_hash.b), last, "lastblockhash");
    json_t *post = json_object_get(test, "postState");
    if (json_is_object(post)) {
        out->has_post = true;
        load_state(rd, &out->post, &out->post_cnt, post);
    } else {
        char const *root = json_string_value(member(rd, test, "postStateHash"));
        fixed(rd, out->post_root.b, sizeof(out->post_root.b), root, "postStateHash");
    }
}

coh_err_t coh_blocktest_load(coh_blocktest_file_t *out,
                             char const *path,
                             coh_blocktest_select_t const *select,
                             coh_buf_t *err_text)
{
    *out        = (coh_blocktest_file_t){.arena = COH_ARENA_INIT};
    reader_t rd = {.arena = &out->arena, .test = "", .err_text = err_text};
    json_error_t error;
    regex_t regex;
    bool has_regex = false;
    json_t *root   = json_load_file(path, 0, &error);
    if (root == NULL) {
        coh_buf_printf(err_text, "%s (line %d)", error.text, error.line);
        return json_error_code(&error) == json_error_cannot_open_file ? COH_EIO : COH_EMALFORMED;
    }
    if (!json_is_object(root)) {
        fail(&rd, "(root)", "is no object");
    }
    if (select->filter != NULL) {
        has_regex = regcomp(&regex, select->filter, REG_EXTENDED | REG_NOSUB) == 0;
    }
    out->cases = coh_calloc(json_object_size(root) + 1, sizeof(*out->cases));
    char const *id;
    json_t *test;
    json_object_foreach (root, id, test) {
        rd.test         = id;
        json_t *network = member(&rd, test, "network");
        char const *net = json_is_string(network) ? json_string_value(network) : "";
        if ((select->network != NULL && strcmp(select->network, net) != 0) ||
            (select->filter != NULL && strstr(id, select->filter) == NULL &&
             !(has_regex && regexec(&regex, id, 0, NULL, 0) == 0))) {
            continue;
        }
        coh_blocktest_case_t *one = &out->cases[out->case_cnt++];
        json_t *name              = json_string(id);
        one->id                   = copy_text(&rd, name);
        one->network              = copy_text(&rd, network);
        json_decref(name);
        load_test(&rd, one, one->network, test);
    }
    if (has_regex) {
        regfree(&regex);
    }
    json_decref(root);
    return rd.err;
}

void coh_blocktest_free(coh_blocktest_file_t *file)
{
    free(file->cases);
    coh_arena_free(&file->arena);
    *file = (coh_blocktest_file_t){.arena = COH_ARENA_INIT};
}
