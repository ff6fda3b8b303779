#include "deploy/cohort/contracts.h"

#include <jansson.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/hex.h"
#include "common/crypto/keccak.h"

static bool load_code(coh_buf_t *out, json_t const *artifact, char const *key)
{
    char const *text = json_string_value(json_object_get(artifact, key));
    return text != NULL && coh_hex_append(out, text, strlen(text)) == COH_OK;
}

static bool load_methods(coh_contract_t *out, json_t *artifact)
{
    json_t *listed = json_object_get(artifact, "methodIdentifiers");
    if (!json_is_object(listed)) {
        return false;
    }
    out->methods = coh_calloc(json_object_size(listed) + 1, sizeof(*out->methods));
    char const *signature;
    json_t *value;
    json_object_foreach (listed, signature, value) {
        coh_contract_method_t *method = &out->methods[out->method_cnt];
        char const *text              = json_string_value(value);
        if (text == NULL ||
            coh_hex_decode(method->selector, COH_ABI_SELECTOR_SZ, text, strlen(text)) != COH_OK) {
            return false;
        }
        method->signature = coh_strdup(signature);
        out->method_cnt++;
    }
    return true;
}

coh_err_t coh_contract_load(coh_contract_t *out, char const *dir, char const *name, coh_buf_t *why)
{
    coh_buf_t path = COH_BUF_INIT;
    json_error_t error;
    *out = (coh_contract_t){.name = coh_strdup(name)};
    coh_buf_printf(&path, "%s/%s.json", dir, name);
    coh_buf_put_u8(&path, 0);
    json_t *artifact = json_load_file((char const *)path.p, 0, &error);
    coh_err_t rc     = COH_OK;
    if (artifact == NULL) {
        rc =
            json_error_code(&error) == json_error_cannot_open_file ? COH_ENOTFOUND : COH_EMALFORMED;
        coh_buf_printf(why, "%s: %s", (char const *)path.p, error.text);
    } else if (!load_code(&out->creation, artifact, "bytecode") ||
               !load_code(&out->runtime, artifact, "deployedBytecode") ||
               !load_methods(out, artifact)) {
        rc = COH_EMALFORMED;
        coh_buf_printf(why, "%s is no artifact of a contract", (char const *)path.p);
    }
    json_decref(artifact);
    coh_buf_free(&path);
    if (rc != COH_OK) {
        coh_contract_free(out);
    }
    return rc;
}

void coh_contract_free(coh_contract_t *contract)
{
    for (size_t i = 0; i < contract->method_cnt; i++) {
        free(contract->methods[i].signature);
    }
    free(contract->methods);
    free(contract->name);
    coh_buf_free(&contract->creation);
    coh_buf_free(&contract->runtime);
    *contract = (coh_contract_t){0};
}

uint8_t const *coh_contract_selector(coh_contract_t const *contract, char const *signature)
{
    for (size_t i = 0; i < contract->method_cnt; i++) {
        if (strcmp(contract->methods[i].signature, signature) == 0) {
            return contract->methods[i].selector;
        }
    }
    return NULL;
}

coh_abi_t coh_abi_u256(coh_u256_t const *v)
{
    coh_abi_t arg = {.kind = COH_ABI_WORD};
    coh_u256_to_be(arg.word, v);
    return arg;
}

coh_abi_t coh_abi_u64(uint64_t v)
{
    coh_u256_t word = coh_u256(v);
    return coh_abi_u256(&word);
}

coh_abi_t coh_abi_addr(coh_addr_t const *addr)
{
    coh_abi_t arg = {.kind = COH_ABI_WORD};
    memcpy(arg.word + sizeof(arg.word) - sizeof(addr->b), addr->b, sizeof(addr->b));
    return arg;
}

coh_abi_t coh_abi_bool(bool v) { return coh_abi_u64(v ? 1 : 0); }

coh_abi_t coh_abi_fixed(void const *p, size_t n)
{
    coh_abi_t arg = {.kind = COH_ABI_WORD};
    COH_ASSERT(n <= sizeof(arg.word));
    memcpy(arg.word, p, n);
    return arg;
}

coh_abi_t coh_abi_bytes(coh_bytes_t bytes)
{
    return (coh_abi_t){.kind = COH_ABI_BYTES, .bytes = bytes};
}

coh_abi_t coh_abi_string(char const *text) { return coh_abi_bytes(coh_bytes(text, strlen(text))); }

coh_abi_t coh_abi_array(coh_abi_t const *items, size_t cnt)
{
    return (coh_abi_t){.kind = COH_ABI_ARRAY, .items = items, .item_cnt = cnt};
}

static void put_word(coh_buf_t *out, coh_abi_t const *arg)
{
    COH_ASSERT(arg->kind == COH_ABI_WORD);
    coh_buf_put(out, arg->word, sizeof(arg->word));
}

static void put_number(coh_buf_t *out, uint64_t v)
{
    coh_abi_t word = coh_abi_u64(v);
    put_word(out, &word);
}

/* A dynamic argument stands behind the heads: its length, then its contents, filled up to whole words. */
static void put_tail(coh_buf_t *out, coh_abi_t const *arg)
{
    if (arg->kind == COH_ABI_ARRAY) {
        put_number(out, arg->item_cnt);
        for (size_t i = 0; i < arg->item_cnt; i++) {
            put_word(out, &arg->items[i]);
        }
    } else {
        put_number(out, arg->bytes.n);
        coh_buf_put(out, arg->bytes.p, arg->bytes.n);
        for (size_t n = arg->bytes.n; n % 32 != 0; n++) {
            coh_buf_put_u8(out, 0);
        }
    }
}

static size_t tail_len(coh_abi_t const *arg)
{
    switch (arg->kind) {
    case COH_ABI_WORD: return 0;
    case COH_ABI_BYTES: return 32 + (arg->bytes.n + 31) / 32 * 32;
    case COH_ABI_ARRAY: return 32 + 32 * arg->item_cnt;
    }
    return 0;
}

void coh_abi_encode(coh_buf_t *out, coh_abi_t const *args, size_t cnt)
{
    size_t tail_at = 32 * cnt;
    for (size_t i = 0; i < cnt; i++) {
        if (args[i].kind == COH_ABI_WORD) {
            put_word(out, &args[i]);
        } else {
            put_number(out, tail_at);
            tail_at += tail_len(&args[i]);
        }
    }
    for (size_t i = 0; i < cnt; i++) {
        if (args[i].kind != COH_ABI_WORD) {
            put_tail(out, &args[i]);
        }
    }
}

void coh_abi_selector(uint8_t out[COH_ABI_SELECTOR_SZ], char const *signature)
{
    coh_hash_t hash;
    coh_keccak256(&hash, signature, strlen(signature));
    memcpy(out, hash.b, COH_ABI_SELECTOR_SZ);
}

void coh_abi_call(coh_buf_t *out, char const *signature, coh_abi_t const *args, size_t cnt)
{
    coh_abi_selector(coh_buf_extend(out, COH_ABI_SELECTOR_SZ), signature);
    coh_abi_encode(out, args, cnt);
}
