#include "deploy/cohort/realblock.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/hex.h"
#include "common/codec/receipt.h"
#include "common/crypto/keccak.h"
#include "deploy/cohort/json_reader.h"

/* Names of rule sets in recordings; several are names of one. Those with blobs say with which parameters. */
static struct {
    char const *name;
    coh_fork_t fork;
    coh_blob_step_t blobs;
} const fork_names[] = {
    {"chainstart", COH_FORK_FRONTIER, COH_BLOB_STEP_CNT},
    {"homestead", COH_FORK_HOMESTEAD, COH_BLOB_STEP_CNT},
    {"dao", COH_FORK_HOMESTEAD, COH_BLOB_STEP_CNT},
    {"tangerineWhistle", COH_FORK_TANGERINE, COH_BLOB_STEP_CNT},
    {"spuriousDragon", COH_FORK_SPURIOUS, COH_BLOB_STEP_CNT},
    {"byzantium", COH_FORK_BYZANTIUM, COH_BLOB_STEP_CNT},
    {"constantinople", COH_FORK_CONSTANTINOPLE, COH_BLOB_STEP_CNT},
    {"petersburg", COH_FORK_PETERSBURG, COH_BLOB_STEP_CNT},
    {"istanbul", COH_FORK_ISTANBUL, COH_BLOB_STEP_CNT},
    {"muirGlacier", COH_FORK_ISTANBUL, COH_BLOB_STEP_CNT},
    {"berlin", COH_FORK_BERLIN, COH_BLOB_STEP_CNT},
    {"london", COH_FORK_LONDON, COH_BLOB_STEP_CNT},
    {"arrowGlacier", COH_FORK_LONDON, COH_BLOB_STEP_CNT},
    {"grayGlacier", COH_FORK_LONDON, COH_BLOB_STEP_CNT},
    {"paris", COH_FORK_PARIS, COH_BLOB_STEP_CNT},
    {"shanghai", COH_FORK_SHANGHAI, COH_BLOB_STEP_CNT},
    {"cancun", COH_FORK_CANCUN, COH_BLOB_CANCUN},
    {"prague", COH_FORK_PRAGUE, COH_BLOB_PRAGUE},
    {"osaka", COH_FORK_OSAKA, COH_BLOB_OSAKA},
    {"bpo1", COH_FORK_OSAKA, COH_BLOB_BPO1},
    {"bpo2", COH_FORK_OSAKA, COH_BLOB_BPO2},
};

static void load_header(coh_json_reader_t *rd, coh_realblock_t *out, json_t *root)
{
    json_t *header = coh_json_member(rd, root, "header");
    out->chain_id  = coh_json_u64(rd, root, "chainId");
    out->number    = coh_json_u64(rd, header, "number");
    out->timestamp = coh_json_u64(rd, header, "timestamp");
    out->gas_limit = coh_json_u64(rd, header, "gasLimit");
    out->gas_used  = coh_json_u64(rd, header, "gasUsed");
    coh_json_fixed(rd, out->coinbase.b, sizeof(out->coinbase.b), header, "coinbase");
    if (json_object_get(header, "baseFeePerGas") != NULL) {
        out->base_fee = coh_json_u256(rd, header, "baseFeePerGas");
    }

    coh_json_fixed(rd, out->hash.b, sizeof(out->hash.b), root, "hash");
    coh_hash_t hash;
    out->header_rlp = coh_json_octets(rd, coh_json_member(rd, root, "headerRlp"), "headerRlp");
    coh_keccak256(&hash, out->header_rlp.p, out->header_rlp.n);
    if (!coh_hash_eq(&hash, &out->hash)) {
        coh_json_fail(rd, "headerRlp", "does not have the recorded hash");
    }

    char const *fork = json_string_value(coh_json_member(rd, root, "fork"));
    for (size_t i = 0; i < COH_CNT(fork_names); i++) {
        if (fork != NULL && strcmp(fork, fork_names[i].name) == 0) {
            out->fork  = fork_names[i].fork;
            out->blobs = fork_names[i].blobs;
            return;
        }
    }
    coh_json_fail(rd, "fork", "names an unknown rule set");
}

/* What only contracts see of a header, and their logs' bloom: zero where a recording of none leaves it out. */
static void load_context(coh_json_reader_t *rd, coh_realblock_t *out, json_t *root)
{
    json_t *header = coh_json_member(rd, root, "header");
    json_t *bloom  = json_object_get(header, "logsBloom");
    json_t *mix    = json_object_get(header, "mixHash");
    if (bloom != NULL) {
        coh_json_fixed_value(rd, out->bloom, sizeof(out->bloom), bloom, "logsBloom");
    }
    if (out->fork >= COH_FORK_PARIS && mix != NULL) {
        uint8_t be[32];
        coh_json_fixed_value(rd, be, sizeof(be), mix, "mixHash");
        out->prev_randao = coh_u256_from_be(be, sizeof(be));
    } else if (out->fork < COH_FORK_PARIS && json_object_get(header, "difficulty") != NULL) {
        out->prev_randao = coh_json_u256(rd, header, "difficulty");
    }
    if (out->fork >= COH_FORK_CANCUN) {
        coh_blob_params_t blobs = coh_blob_params_default(out->blobs);
        out->blob_max           = blobs.max;
        uint64_t excess         = json_object_get(header, "excessBlobGas") != NULL
                                      ? coh_json_u64(rd, header, "excessBlobGas")
                                      : 0;
        out->blob_base_fee      = coh_blob_base_fee(excess, blobs.update_fraction);
    }
    char const *key;
    json_t *v;
    json_object_foreach (json_object_get(root, "blockHashes"), key, v) {
        uint64_t back = out->number - strtoull(key, NULL, 10);
        if (back < 1 || back > COH_CNT(out->ancestors)) {
            coh_json_fail(rd, "blockHashes", "are not of blocks that this one can see");
            return;
        }
        coh_hash_t *hash = &out->ancestors[COH_CNT(out->ancestors) - back];
        coh_json_fixed_value(rd, hash->b, sizeof(hash->b), v, "blockHashes");
    }
}

/* What the body has behind the transactions. */
static void load_lists(coh_json_reader_t *rd, coh_realblock_t *out, json_t *root)
{
    json_t *ommers  = json_object_get(root, "ommers");
    out->has_ommers = json_is_array(ommers);
    coh_buf_t list  = COH_BUF_INIT;
    size_t i;
    json_t *v;
    json_array_foreach (ommers, i, v) {
        coh_bytes_t rlp = coh_json_octets(rd, v, "ommers");
        coh_buf_put(&list, rlp.p, rlp.n);
    }
    out->ommers = coh_json_copy(rd, &list);
    coh_buf_clear(&list);
    json_t *withdrawals =
        out->fork >= COH_FORK_SHANGHAI ? coh_json_member(rd, root, "withdrawals") : NULL;
    json_array_foreach (withdrawals, i, v) {
        coh_withdrawal_t w = {.index       = coh_json_u64(rd, v, "index"),
                              .validator   = coh_json_u64(rd, v, "validatorIndex"),
                              .amount_gwei = coh_json_u64(rd, v, "amountGwei")};
        coh_json_fixed(rd, w.addr.b, sizeof(w.addr.b), v, "address");
        coh_withdrawal_put(&list, &w);
    }
    out->withdrawals = coh_json_copy(rd, &list);
    coh_buf_free(&list);
}

static void load_witness(coh_json_reader_t *rd, coh_realblock_t *out, json_t *witness)
{
    out->has_witness = json_is_object(witness);
    if (!out->has_witness) {
        return;
    }
    json_t *nodes = coh_json_member(rd, witness, "nodes");
    json_t *hints = coh_json_member(rd, witness, "branchHints");
    coh_json_fixed(rd, out->parent_root.b, sizeof(out->parent_root.b), witness, "parentStateRoot");
    out->node_cnt        = json_array_size(nodes);
    out->nodes           = coh_json_zeroed(rd, out->node_cnt, sizeof(*out->nodes));
    out->branch_hint_cnt = json_array_size(hints);
    out->branch_hints    = coh_json_zeroed(rd, out->branch_hint_cnt, sizeof(*out->branch_hints));
    size_t i;
    json_t *v;
    json_array_foreach (nodes, i, v) {
        out->nodes[i] = coh_json_octets(rd, v, "nodes");
    }
    json_array_foreach (hints, i, v) {
        coh_json_fixed_value(
            rd, out->branch_hints[i].b, sizeof(out->branch_hints[i].b), v, "branchHints");
    }
}

static void load_txs(coh_json_reader_t *rd, coh_realblock_t *out, json_t *root)
{
    json_t *raws     = coh_json_member(rd, root, "transactions");
    json_t *senders  = coh_json_member(rd, root, "senders");
    json_t *outcomes = coh_json_member(rd, coh_json_member(rd, root, "txOnly"), "txs");
    size_t cnt       = json_array_size(raws);
    if (json_array_size(senders) != cnt || json_array_size(outcomes) != cnt) {
        coh_json_fail(rd, "senders", "or txOnly has another length than transactions");
        return;
    }
    out->tx_cnt  = cnt;
    out->raws    = coh_calloc(cnt + 1, sizeof(*out->raws));
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
            coh_json_fail(rd, "transactions", "holds something that is not hexadecimal");
        }
        ends[i + 1] = out->bytes.n;
        coh_json_fixed_value(rd,
                             out->senders[i].b,
                             sizeof(out->senders[i].b),
                             json_array_get(senders, i),
                             "senders");
        out->gas[i] = coh_json_u64(rd, json_array_get(outcomes, i), "gasUsed");
    }
    for (size_t i = 0; i < cnt; i++) {
        out->raws[i] = coh_bytes(out->bytes.p + ends[i], ends[i + 1] - ends[i]);
        out->errs[i] = coh_tx_decode(&out->txs[i], out->raws[i]);
    }
    free(ends);
}

static coh_genesis_account_t *find_account(coh_genesis_account_t *accounts,
                                           size_t cnt,
                                           coh_addr_t const *addr)
{
    coh_genesis_account_t key = {.addr = *addr};
    return cnt == 0 ? NULL
                    : bsearch(&key, accounts, cnt, sizeof(*accounts), coh_genesis_account_cmp);
}

static void load_accounts(coh_json_reader_t *rd, coh_realblock_t *out, json_t *root)
{
    json_t *pre     = coh_json_member(rd, root, "pre");
    json_t *codes   = json_object_get(root, "codes");
    json_t *omitted = coh_json_member(rd, root, "codeOmitted");
    out->accounts   = coh_calloc(json_object_size(pre) + 1, sizeof(*out->accounts));
    char const *key;
    json_t *v;
    json_object_foreach (pre, key, v) {
        coh_genesis_account_t *a = &out->accounts[out->account_cnt++];
        coh_json_fixed_text(rd, a->addr.b, sizeof(a->addr.b), key, strlen(key), "pre");
        a->nonce     = coh_json_u64(rd, v, "nonce");
        a->balance   = coh_json_u256(rd, v, "balance");
        json_t *hash = json_object_get(v, "codeHash");
        if (hash != NULL) {
            a->code = coh_json_octets(rd, json_object_get(codes, json_string_value(hash)), "codes");
        }
        coh_json_slots(rd, &a->slots, &a->slot_cnt, json_object_get(v, "storage"));
        if (a->slot_cnt != 0) {
            qsort(a->slots, a->slot_cnt, sizeof(*a->slots), coh_genesis_slot_cmp);
        }
    }
    qsort(out->accounts, out->account_cnt, sizeof(*out->accounts), coh_genesis_account_cmp);
    out->omitted_cnt = json_array_size(omitted);
    out->omitted     = coh_json_zeroed(rd, out->omitted_cnt, sizeof(*out->omitted));
    size_t i;
    json_array_foreach (omitted, i, v) {
        coh_json_fixed_value(rd, out->omitted[i].b, sizeof(out->omitted[i].b), v, "codeOmitted");
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
    coh_json_reader_t rd = {.arena = &out->arena, .err_text = err_text};
    char const *format   = json_string_value(coh_json_member(&rd, root, "format"));
    if (format == NULL || strcmp(format, "realblock-1") != 0) {
        coh_json_fail(&rd, "format", "is not realblock-1");
    }
    out->blobs = COH_BLOB_STEP_CNT;
    load_header(&rd, out, root);
    load_context(&rd, out, root);
    load_lists(&rd, out, root);
    load_witness(&rd, out, json_object_get(root, "witness"));
    load_txs(&rd, out, root);
    load_accounts(&rd, out, root);
    json_decref(root);
    return rd.err;
}

coh_block_env_t coh_realblock_env(coh_realblock_t const *block)
{
    return (coh_block_env_t){.number        = block->number,
                             .timestamp     = block->timestamp,
                             .gas_limit     = block->gas_limit,
                             .chain_id      = block->chain_id,
                             .base_fee      = block->base_fee,
                             .blob_base_fee = block->blob_base_fee,
                             .blob_max      = block->blob_max,
                             .prev_randao   = block->prev_randao,
                             .coinbase      = block->coinbase,
                             .fork          = block->fork,
                             .fees_exact    = true};
}

void coh_realblock_free(coh_realblock_t *block)
{
    free(block->raws);
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

static bool has_code(coh_realblock_t const *block, coh_addr_t const *addr)
{
    coh_genesis_account_t const *a = find_account(block->accounts, block->account_cnt, addr);
    if (a != NULL && a->code.n != 0) {
        return true;
    }
    for (size_t i = 0; i < block->omitted_cnt; i++) {
        if (coh_addr_eq(&block->omitted[i], addr)) {
            return true;
        }
    }
    return false;
}

coh_realblock_kind_t coh_realblock_kind(coh_realblock_t const *block)
{
    coh_realblock_kind_t kind = block->tx_cnt == 0 ? COH_REALBLOCK_EMPTY : COH_REALBLOCK_TRANSFERS;
    for (size_t i = 0; i < block->tx_cnt; i++) {
        if (block->errs[i] != COH_TX_OK) {
            return COH_REALBLOCK_TYPE;
        }
        coh_addr_t receiver = coh_tx_receiver(&block->txs[i], &block->senders[i]);
        if (runs_code(&block->txs[i], block->fork) || has_code(block, &receiver) ||
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
    };
    /* The block's rule set has been in force since the beginning, the later ones never come. */
    for (int fork = 0; fork < COH_FORK_CNT; fork++) {
        out->fork_at[fork] = fork <= (int)block->fork ? 0 : UINT64_MAX;
    }
    coh_genesis_put_alloc(out, block->accounts, block->account_cnt);
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

static coh_rlp_t credit_iter(coh_step_t const *credits)
{
    static coh_step_t const none = {.kind = COH_STEP_CREDIT};
    return coh_step_credit_iter(credits != NULL ? credits : &none);
}

static size_t count(coh_step_t const *credits)
{
    coh_rlp_t it = credit_iter(credits);
    coh_addr_t addr;
    coh_u256_t amount;
    size_t cnt = 0;
    while (coh_step_credit_next(&it, &addr, &amount)) {
        cnt++;
    }
    return cnt;
}

coh_err_t coh_realblock_expect(coh_genesis_account_t **out,
                               size_t *out_cnt,
                               coh_realblock_t const *block,
                               coh_step_t const *credits,
                               coh_buf_t *err_text)
{
    /* Every account that the block may touch, once, sorted. */
    size_t room                = block->account_cnt + 2 * block->tx_cnt + 2 + count(credits);
    coh_genesis_account_t *all = coh_calloc(room, sizeof(*all));
    size_t cnt                 = 0;
    for (size_t i = 0; i < block->account_cnt; i++) {
        all[cnt++] = block->accounts[i];
    }
    for (size_t i = 0; i < block->tx_cnt; i++) {
        all[cnt++].addr = block->senders[i];
        all[cnt++].addr = coh_tx_receiver(&block->txs[i], &block->senders[i]);
    }
    all[cnt++].addr = block->coinbase;
    coh_rlp_t it    = credit_iter(credits);
    coh_u256_t amount;
    while (coh_step_credit_next(&it, &all[cnt].addr, &amount)) {
        cnt++;
    }
    qsort(all, cnt, sizeof(*all), coh_genesis_account_cmp);
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

    coh_genesis_account_t *coinbase = find_account(all, kept, &block->coinbase);
    for (size_t i = 0; i < block->tx_cnt; i++) {
        coh_tx_t const *tx          = &block->txs[i];
        coh_genesis_account_t *from = find_account(all, kept, &block->senders[i]);
        coh_addr_t receiver         = coh_tx_receiver(tx, &block->senders[i]);
        coh_genesis_account_t *to   = find_account(all, kept, &receiver);
        bool taken                  = tx->is_create && to->nonce != 0;
        coh_u256_t value            = taken ? COH_U256_ZERO : tx->value;
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
    coh_addr_t addr;
    it = credit_iter(credits);
    while (coh_step_credit_next(&it, &addr, &amount)) {
        coh_genesis_account_t *to = find_account(all, kept, &addr);
        (void)coh_u256_add(&to->balance, &to->balance, &amount); /* below the supply */
    }
    return COH_OK;
}
