#include "deploy/cohort/realblock.h"

#include <jansson.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/hex.h"
#include "common/crypto/keccak.h"

/* Names of rule sets in recordings; several are names of one. */
static struct {
    char const *name;
    coh_fork_t fork;
} const fork_names[] = {
    {"chainstart", COH_FORK_FRONTIER},
    {"homestead", COH_FORK_HOMESTEAD},
    {"dao", COH_FORK_HOMESTEAD},
    {"tangerineWhistle", COH_FORK_TANGERINE},
    {"spuriousDragon", COH_FORK_SPURIOUS},
    {"byzantium", COH_FORK_BYZANTIUM},
    {"constantinople", COH_FORK_CONSTANTINOPLE},
    {"petersburg", COH_FORK_PETERSBURG},
    {"istanbul", COH_FORK_ISTANBUL},
    {"muirGlacier", COH_FORK_ISTANBUL},
    {"berlin", COH_FORK_BERLIN},
    {"london", COH_FORK_LONDON},
    {"arrowGlacier", COH_FORK_LONDON},
    {"grayGlacier", COH_FORK_LONDON},
    {"paris", COH_FORK_PARIS},
    {"shanghai", COH_FORK_SHANGHAI},
    {"cancun", COH_FORK_CANCUN},
    {"prague", COH_FORK_PRAGUE},
    {"osaka", COH_FORK_OSAKA},
    {"bpo1", COH_FORK_OSAKA},
    {"bpo2", COH_FORK_OSAKA},
};

/* Reading members. The first failure is kept; later reads return zeros. */
typedef struct {
    coh_buf_t *err_text;
    coh_err_t err;
} reader_t;

static void fail(reader_t *rd, char const *member, char const *what)
{
    if (rd->err == COH_OK) {
        rd->err = COH_EMALFORMED;
        coh_buf_printf(rd->err_text, "member %s %s", member, what);
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

static coh_u256_t quantity_value(reader_t *rd, json_t *v, char const *what)
{
    coh_u256_t out = COH_U256_ZERO;
    if (!json_is_string(v) ||
        coh_u256_parse(&out, json_string_value(v), json_string_length(v)) != COH_OK) {
        fail(rd, what, "is no quantity");
        return COH_U256_ZERO;
    }
    return out;
}

static coh_u256_t quantity(reader_t *rd, json_t *obj, char const *key)
{
    return quantity_value(rd, member(rd, obj, key), key);
}

static uint64_t quantity_u64(reader_t *rd, json_t *obj, char const *key)
{
    coh_u256_t v = quantity(rd, obj, key);
    if ((v.w[1] | v.w[2] | v.w[3]) != 0) {
        fail(rd, key, "exceeds 64 bits");
    }
    return v.w[0];
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

static void fixed(reader_t *rd, void *out, size_t n, json_t *v, char const *what)
{
    fixed_text(rd, out, n, json_string_value(v), json_string_length(v), what);
}

static void load_header(reader_t *rd, coh_realblock_t *out, json_t *root)
{
    json_t *header = member(rd, root, "header");
    out->chain_id  = quantity_u64(rd, root, "chainId");
    out->number    = quantity_u64(rd, header, "number");
    out->timestamp = quantity_u64(rd, header, "timestamp");
    out->gas_limit = quantity_u64(rd, header, "gasLimit");
    out->gas_used  = quantity_u64(rd, header, "gasUsed");
    fixed(rd, out->coinbase.b, sizeof(out->coinbase.b), member(rd, header, "coinbase"), "coinbase");
    if (json_object_get(header, "baseFeePerGas") != NULL) {
        out->base_fee = quantity(rd, header, "baseFeePerGas");
    }

    fixed(rd, out->hash.b, sizeof(out->hash.b), member(rd, root, "hash"), "hash");
    json_t *rlp     = member(rd, root, "headerRlp");
    coh_buf_t raw   = COH_BUF_INIT;
    coh_hash_t hash = {{0}};
    if (rlp != NULL &&
        coh_hex_append(&raw, json_string_value(rlp), json_string_length(rlp)) == COH_OK) {
        coh_keccak256(&hash, raw.p, raw.n);
    }
    coh_buf_free(&raw);
    if (!coh_hash_eq(&hash, &out->hash)) {
        fail(rd, "headerRlp", "does not have the recorded hash");
    }

    char const *fork = json_string_value(member(rd, root, "fork"));
    for (size_t i = 0; i < COH_CNT(fork_names); i++) {
        if (fork != NULL && strcmp(fork, fork_names[i].name) == 0) {
            out->fork = fork_names[i].fork;
            return;
        }
    }
    fail(rd, "fork", "names an unknown rule set");
}

/* What only contracts see of a header, and their logs' bloom: zero where a recording of none leaves it out. */
static void load_context(reader_t *rd, coh_realblock_t *out, json_t *root)
{
    json_t *header = member(rd, root, "header");
    json_t *bloom  = json_object_get(header, "logsBloom");
    json_t *mix    = json_object_get(header, "mixHash");
    if (bloom != NULL) {
        fixed(rd, out->bloom, sizeof(out->bloom), bloom, "logsBloom");
    }
    if (out->fork >= COH_FORK_PARIS && mix != NULL) {
        uint8_t be[32];
        fixed(rd, be, sizeof(be), mix, "mixHash");
        out->prev_randao = coh_u256_from_be(be, sizeof(be));
    } else if (out->fork < COH_FORK_PARIS && json_object_get(header, "difficulty") != NULL) {
        out->prev_randao = quantity(rd, header, "difficulty");
    }
    if (out->fork >= COH_FORK_CANCUN) {
        char const *fork        = json_string_value(member(rd, root, "fork"));
        coh_blob_step_t step    = out->fork == COH_FORK_CANCUN   ? COH_BLOB_CANCUN
                                  : out->fork == COH_FORK_PRAGUE ? COH_BLOB_PRAGUE
                                                                 : COH_BLOB_OSAKA;
        step                    = strcmp(fork, "bpo1") == 0 ? COH_BLOB_BPO1 : step;
        step                    = strcmp(fork, "bpo2") == 0 ? COH_BLOB_BPO2 : step;
        coh_blob_params_t blobs = coh_blob_params_default(step);
        out->blob_max           = blobs.max;
        uint64_t excess         = json_object_get(header, "excessBlobGas") != NULL
                                      ? quantity_u64(rd, header, "excessBlobGas")
                                      : 0;
        out->blob_base_fee      = coh_blob_base_fee(excess, blobs.update_fraction);
    }
    char const *key;
    json_t *v;
    json_object_foreach (json_object_get(root, "blockHashes"), key, v) {
        uint64_t back = out->number - strtoull(key, NULL, 10);
        if (back < 1 || back > COH_CNT(out->ancestors)) {
            fail(rd, "blockHashes", "are not of blocks that this one can see");
            return;
        }
        coh_hash_t *hash = &out->ancestors[COH_CNT(out->ancestors) - back];
        fixed(rd, hash->b, sizeof(hash->b), v, "blockHashes");
    }
}

static void load_txs(reader_t *rd, coh_realblock_t *out, json_t *root)
{
    json_t *raws     = member(rd, root, "transactions");
    json_t *senders  = member(rd, root, "senders");
    json_t *outcomes = member(rd, member(rd, root, "txOnly"), "txs");
    size_t cnt       = json_array_size(raws);
    if (json_array_size(senders) != cnt || json_array_size(outcomes) != cnt) {
        fail(rd, "senders", "or txOnly has another length than transactions");
        return;
    }
    out->tx_cnt  = cnt;
    out->txs     = coh_calloc(cnt + 1, sizeof(*out->txs));
    out->errs    = coh_calloc(cnt + 1, sizeof(*out->errs));
    out->senders = coh_calloc(cnt + 1, sizeof(*out->senders));
    out->gas     = coh_calloc(cnt + 1, sizeof(*out->gas));
    size_t *ends = coh_calloc(cnt + 1, sizeof(*ends));
    for (size_t i = 0; i < cnt; i++) {
        json_t *raw = json_array_get(raws, i);
        if (!json_is_string(raw) ||
            coh_hex_append(&out->bytes, json_string_value(raw), json_string_length(raw)) !=
                COH_OK) {
            fail(rd, "transactions", "holds something that is not hexadecimal");
        }
        ends[i + 1] = out->bytes.n;
        fixed(rd,
              out->senders[i].b,
              sizeof(out->senders[i].b),
              json_array_get(senders, i),
              "senders");
        out->gas[i] = quantity_u64(rd, json_array_get(outcomes, i), "gasUsed");
    }
    for (size_t i = 0; i < cnt; i++) {
        out->errs[i] =
            coh_tx_decode(&out->txs[i], coh_bytes(out->bytes.p + ends[i], ends[i + 1] - ends[i]));
    }
    free(ends);
}

static int compare_accounts(void const *a, void const *b)
{
    coh_realblock_account_t const *x = a;
    coh_realblock_account_t const *y = b;
    return memcmp(x->addr.b, y->addr.b, sizeof(x->addr.b));
}

static coh_realblock_account_t *find_account(coh_realblock_account_t *accounts,
                                             size_t cnt,
                                             coh_addr_t const *addr)
{
    coh_realblock_account_t key = {.addr = *addr};
    return cnt == 0 ? NULL : bsearch(&key, accounts, cnt, sizeof(*accounts), compare_accounts);
}

/* Code and slots of an account. */
static void load_contract(reader_t *rd,
                          coh_realblock_t *out,
                          coh_realblock_account_t *a,
                          json_t *account,
                          json_t *codes)
{
    json_t *hash    = json_object_get(account, "codeHash");
    json_t *storage = json_object_get(account, "storage");
    a->has_code     = hash != NULL;
    if (hash != NULL) {
        coh_buf_t code     = COH_BUF_INIT;
        json_t const *text = json_object_get(codes, json_string_value(hash));
        if (!json_is_string(text) ||
            coh_hex_append(&code, json_string_value(text), json_string_length(text)) != COH_OK) {
            fail(rd, "codes", "lacks one, or it is not hexadecimal");
        } else if (code.n != 0) {
            a->code =
                coh_bytes(memcpy(coh_arena_alloc(&out->arena, code.n), code.p, code.n), code.n);
        }
        coh_buf_free(&code);
    }
    a->slots = coh_arena_alloc(&out->arena, json_object_size(storage) * sizeof(*a->slots));
    char const *key;
    json_t *v;
    json_object_foreach (storage, key, v) {
        coh_genesis_slot_t *slot = &a->slots[a->slot_cnt++];
        slot->value              = quantity_value(rd, v, "storage");
        if (coh_u256_parse(&slot->key, key, strlen(key)) != COH_OK) {
            fail(rd, "storage", "has a slot that is no quantity");
        }
    }
}

static void load_accounts(reader_t *rd, coh_realblock_t *out, json_t *root)
{
    json_t *pre     = member(rd, root, "pre");
    json_t *codes   = json_object_get(root, "codes");
    json_t *omitted = member(rd, root, "codeOmitted");
    out->accounts   = coh_calloc(json_object_size(pre) + 1, sizeof(*out->accounts));
    char const *key;
    json_t *v;
    json_object_foreach (pre, key, v) {
        coh_realblock_account_t *a = &out->accounts[out->account_cnt++];
        fixed_text(rd, a->addr.b, sizeof(a->addr.b), key, strlen(key), "pre");
        a->nonce   = quantity_u64(rd, v, "nonce");
        a->balance = quantity(rd, v, "balance");
        load_contract(rd, out, a, v, codes);
    }
    qsort(out->accounts, out->account_cnt, sizeof(*out->accounts), compare_accounts);
    size_t i;
    json_array_foreach (omitted, i, v) {
        coh_addr_t addr;
        fixed(rd, addr.b, sizeof(addr.b), v, "codeOmitted");
        coh_realblock_account_t *a = find_account(out->accounts, out->account_cnt, &addr);
        if (a != NULL) {
            a->has_code = true;
        }
    }
}

coh_err_t coh_realblock_load(coh_realblock_t *out, char const *path, coh_buf_t *err_text)
{
    *out = (coh_realblock_t){0};
    json_error_t error;
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL) {
        coh_buf_printf(err_text, "%s", error.text);
        return json_error_code(&error) == json_error_cannot_open_file ? COH_EIO : COH_EMALFORMED;
    }
    reader_t rd        = {.err_text = err_text};
    char const *format = json_string_value(member(&rd, root, "format"));
    if (format == NULL || strcmp(format, "realblock-1") != 0) {
        fail(&rd, "format", "is not realblock-1");
    }
    load_header(&rd, out, root);
    load_context(&rd, out, root);
    load_txs(&rd, out, root);
    load_accounts(&rd, out, root);
    json_decref(root);
    return rd.err;
}

void coh_realblock_free(coh_realblock_t *block)
{
    free(block->txs);
    free(block->errs);
    free(block->senders);
    free(block->gas);
    free(block->accounts);
    coh_buf_free(&block->bytes);
    coh_arena_free(&block->arena);
    *block = (coh_realblock_t){0};
}

/* By its own terms: init code, or a precompile as receiver. */
static bool runs_code(coh_tx_t const *tx, coh_fork_t fork)
{
    return tx->is_create ? tx->data.n != 0 : coh_fork_is_precompile(fork, &tx->to);
}

coh_realblock_kind_t coh_realblock_kind(coh_realblock_t const *block)
{
    coh_realblock_kind_t kind = block->tx_cnt == 0 ? COH_REALBLOCK_EMPTY : COH_REALBLOCK_TRANSFERS;
    for (size_t i = 0; i < block->tx_cnt; i++) {
        if (block->errs[i] != COH_TX_OK) {
            return COH_REALBLOCK_TYPE;
        }
        coh_addr_t receiver = coh_tx_receiver(&block->txs[i], &block->senders[i]);
        coh_realblock_account_t const *to =
            find_account(block->accounts, block->account_cnt, &receiver);
        if (runs_code(&block->txs[i], block->fork) || (to != NULL && to->has_code) ||
            block->txs[i].type > COH_TX_DYNAMIC_FEE) {
            kind = COH_REALBLOCK_CODE;
        }
    }
    return kind;
}

char const *coh_realblock_kind_str(coh_realblock_kind_t kind)
{
    switch (kind) {
    case COH_REALBLOCK_TRANSFERS: return "plain transfers";
    case COH_REALBLOCK_EMPTY: return "no transactions";
    case COH_REALBLOCK_CODE: return "contracts";
    case COH_REALBLOCK_TYPE: return "a transaction that does not decode";
    }
    return "?";
}

coh_err_t coh_realblock_genesis(coh_genesis_t *out,
                                coh_realblock_t const *block,
                                coh_buf_t *err_text)
{
    *out = (coh_genesis_t){
        .chain_id  = block->chain_id,
        .number    = block->number - 1,
        .gas_limit = block->gas_limit,
        .base_fee  = block->base_fee,
        .coinbase  = block->coinbase,
        .alloc_cnt = block->account_cnt,
    };
    /* The block's rule set has been in force since the beginning, the later ones never come. */
    for (int fork = 0; fork < COH_FORK_CNT; fork++) {
        out->fork_at[fork] = fork <= (int)block->fork ? 0 : UINT64_MAX;
    }
    out->alloc = coh_calloc(block->account_cnt + 1, sizeof(*out->alloc));
    for (size_t i = 0; i < block->account_cnt; i++) {
        coh_realblock_account_t const *a = &block->accounts[i];
        coh_genesis_account_t *to        = &out->alloc[i];
        *to                              = (coh_genesis_account_t){.addr     = a->addr,
                                                                   .nonce    = a->nonce,
                                                                   .balance  = a->balance,
                                                                   .slots    = coh_calloc(a->slot_cnt, sizeof(*a->slots)),
                                                                   .slot_cnt = a->slot_cnt};
        if (a->slot_cnt != 0) {
            memcpy(to->slots, a->slots, a->slot_cnt * sizeof(*a->slots));
        }
        if (a->code.n != 0) {
            to->code = coh_bytes(memcpy(coh_calloc(1, a->code.n), a->code.p, a->code.n), a->code.n);
        }
    }
    out->ancestor_cnt = (uint32_t)COH_MIN(COH_CNT(block->ancestors), block->number);
    out->ancestors    = coh_calloc(out->ancestor_cnt, sizeof(*out->ancestors));
    memcpy(out->ancestors,
           block->ancestors + (COH_CNT(block->ancestors) - out->ancestor_cnt),
           out->ancestor_cnt * sizeof(*out->ancestors));
    return coh_genesis_finish(out, err_text);
}

/* price = what a transaction pays for each gas (EIP-1559; the gas price before); false if it cannot pay the base fee. */
static bool gas_price(coh_u256_t *price, coh_tx_t const *tx, coh_u256_t const *base_fee)
{
    if (coh_u256_lt(&tx->max_fee, base_fee)) {
        return false;
    }
    *price = tx->max_fee;
    if (tx->type == COH_TX_DYNAMIC_FEE) {
        coh_u256_t with_tip;
        bool carry = coh_u256_add(&with_tip, base_fee, &tx->max_tip);
        if (!carry && coh_u256_lt(&with_tip, price)) {
            *price = with_tip;
        }
    }
    return true;
}

coh_err_t coh_realblock_expect(coh_realblock_account_t **out,
                               size_t *out_cnt,
                               coh_realblock_t const *block,
                               coh_buf_t *err_text)
{
    /* Every account that the block may touch, once, sorted. */
    size_t room                  = block->account_cnt + 2 * block->tx_cnt + 1;
    coh_realblock_account_t *all = coh_calloc(room, sizeof(*all));
    size_t cnt                   = 0;
    for (size_t i = 0; i < block->account_cnt; i++) {
        all[cnt++] = block->accounts[i];
    }
    for (size_t i = 0; i < block->tx_cnt; i++) {
        all[cnt++].addr = block->senders[i];
        all[cnt++].addr = coh_tx_receiver(&block->txs[i], &block->senders[i]);
    }
    all[cnt++].addr = block->coinbase;
    qsort(all, cnt, sizeof(*all), compare_accounts);
    size_t kept = 0;
    for (size_t i = 0; i < cnt; i++) {
        if (kept > 0 && coh_addr_eq(&all[kept - 1].addr, &all[i].addr)) {
            /* Of equals at most one is not all zero: that of the pre-state. */
            all[kept - 1].nonce |= all[i].nonce;
            for (int w = 0; w < 4; w++) {
                all[kept - 1].balance.w[w] |= all[i].balance.w[w];
            }
        } else {
            all[kept++] = all[i];
        }
    }
    *out     = all;
    *out_cnt = kept;

    coh_realblock_account_t *coinbase = find_account(all, kept, &block->coinbase);
    for (size_t i = 0; i < block->tx_cnt; i++) {
        coh_tx_t const *tx            = &block->txs[i];
        coh_realblock_account_t *from = find_account(all, kept, &block->senders[i]);
        coh_addr_t receiver           = coh_tx_receiver(tx, &block->senders[i]);
        coh_realblock_account_t *to   = find_account(all, kept, &receiver);
        bool taken                    = tx->is_create && to->nonce != 0;
        coh_u256_t value              = taken ? COH_U256_ZERO : tx->value;
        coh_u256_t price;
        coh_u256_t tip;
        coh_u256_t cost;
        bool bad = from->nonce != tx->nonce || !gas_price(&price, tx, &block->base_fee);
        if (!bad) {
            (void)coh_u256_sub(&tip, &price, &block->base_fee);
            bad = coh_u256_mul_u64(&tip, &tip, block->gas[i]) ||
                  coh_u256_mul_u64(&cost, &price, block->gas[i]) ||
                  coh_u256_add(&cost, &cost, &value) ||
                  coh_u256_sub(&from->balance, &from->balance, &cost) ||
                  coh_u256_add(&to->balance, &to->balance, &value) ||
                  coh_u256_add(&coinbase->balance, &coinbase->balance, &tip);
        }
        if (bad) {
            coh_buf_printf(err_text, "transaction %zu does not fit the recorded state", i);
            return COH_EINVAL;
        }
        from->nonce++;
        if (tx->is_create && !taken && block->fork >= COH_FORK_SPURIOUS) {
            to->nonce = 1;
        }
    }
    return COH_OK;
}
