#include "deploy/cohort/json_reader.h"

#include "common/base/hex.h"

void coh_json_fail(coh_json_reader_t *rd, char const *member, char const *what)
{
    if (rd->err != COH_OK) {
        return;
    }
    rd->err = COH_EMALFORMED;
    if (rd->where != NULL) {
        coh_buf_printf(rd->err_text, "%s: ", rd->where);
    }
    coh_buf_printf(rd->err_text, "member %s %s", member, what);
}

json_t *coh_json_member(coh_json_reader_t *rd, json_t const *obj, char const *key)
{
    json_t *v = json_object_get(obj, key);
    if (v == NULL) {
        coh_json_fail(rd, key, "is missing");
    }
    return v;
}

bool coh_json_parse_u256(coh_u256_t *out, json_t const *v)
{
    if (!json_is_string(v)) {
        return false;
    }
    char const *text = json_string_value(v);
    size_t len       = json_string_length(v);
    *out             = COH_U256_ZERO;
    return strcmp(text, "0x") == 0 || coh_u256_parse(out, text, len) == COH_OK;
}

bool coh_json_parse_u64(uint64_t *out, json_t const *v)
{
    coh_u256_t word;
    if (!coh_json_parse_u256(&word, v) || (word.w[1] | word.w[2] | word.w[3]) != 0) {
        return false;
    }
    *out = word.w[0];
    return true;
}

coh_u256_t coh_json_u256_value(coh_json_reader_t *rd, json_t const *v, char const *what)
{
    coh_u256_t out = COH_U256_ZERO;
    if (!coh_json_parse_u256(&out, v)) {
        coh_json_fail(rd, what, "is no quantity of 256 bits");
        return COH_U256_ZERO;
    }
    return out;
}

coh_u256_t coh_json_u256(coh_json_reader_t *rd, json_t const *obj, char const *key)
{
    return coh_json_u256_value(rd, coh_json_member(rd, obj, key), key);
}

uint64_t coh_json_u64(coh_json_reader_t *rd, json_t const *obj, char const *key)
{
    uint64_t out = 0;
    if (!coh_json_parse_u64(&out, coh_json_member(rd, obj, key))) {
        coh_json_fail(rd, key, "is no quantity of 64 bits");
        return 0;
    }
    return out;
}

void coh_json_fixed_text(coh_json_reader_t *rd,
                         void *out,
                         size_t n,
                         char const *text,
                         size_t len,
                         char const *what)
{
    if (text == NULL || coh_hex_decode(out, n, text, len) != COH_OK) {
        memset(out, 0, n);
        coh_json_fail(rd, what, "is not hexadecimal of the right length");
    }
}

void coh_json_fixed_value(coh_json_reader_t *rd,
                          void *out,
                          size_t n,
                          json_t const *v,
                          char const *what)
{
    coh_json_fixed_text(rd, out, n, json_string_value(v), json_string_length(v), what);
}

void coh_json_fixed(coh_json_reader_t *rd, void *out, size_t n, json_t const *obj, char const *key)
{
    coh_json_fixed_value(rd, out, n, coh_json_member(rd, obj, key), key);
}

coh_bytes_t coh_json_copy(coh_json_reader_t *rd, coh_buf_t const *buf)
{
    uint8_t *p = coh_arena_alloc(rd->arena, buf->n);
    if (buf->n != 0) {
        memcpy(p, buf->p, buf->n);
    }
    return coh_bytes(p, buf->n);
}

char *coh_json_copy_text(coh_json_reader_t *rd, char const *text)
{
    size_t n = strlen(text) + 1;
    return memcpy(coh_arena_alloc(rd->arena, n), text, n);
}

coh_bytes_t coh_json_octets(coh_json_reader_t *rd, json_t const *v, char const *what)
{
    coh_buf_t buf = COH_BUF_INIT;
    if (!json_is_string(v) ||
        coh_hex_append(&buf, json_string_value(v), json_string_length(v)) != COH_OK) {
        coh_json_fail(rd, what, "is not hexadecimal");
    }
    coh_bytes_t out = coh_json_copy(rd, &buf);
    coh_buf_free(&buf);
    return out;
}

void *coh_json_zeroed(coh_json_reader_t *rd, size_t cnt, size_t size)
{
    void *p = coh_arena_alloc(rd->arena, (cnt + 1) * size);
    memset(p, 0, (cnt + 1) * size);
    return p;
}

void coh_json_slots(coh_json_reader_t *rd,
                    coh_genesis_slot_t **out,
                    size_t *out_cnt,
                    json_t *storage)
{
    coh_genesis_slot_t *slots = coh_json_zeroed(rd, json_object_size(storage), sizeof(*slots));
    size_t cnt                = 0;
    char const *key;
    json_t *v;
    json_object_foreach (storage, key, v) {
        coh_genesis_slot_t *slot = &slots[cnt];
        if (coh_u256_parse(&slot->key, key, strlen(key)) != COH_OK) {
            coh_json_fail(rd, "storage", "has a slot that is no quantity");
        }
        slot->value = coh_json_u256_value(rd, v, "storage");
        cnt += !coh_u256_is_zero(&slot->value);
    }
    *out     = slots;
    *out_cnt = cnt;
}
