#include "shard/shard_private.h"

#include "common/base/hex.h"
#include "common/crypto/keccak.h"

/* Keys in one read request to the disk. */
#define LOAD_MAX 1024u

void coh_sh_request_loads(coh_shard_t *s)
{
    coh_key_t keys[LOAD_MAX];
    size_t cnt;
    while ((cnt = coh_mv_take_loads(s->mv, keys, LOAD_MAX)) != 0) {
        for (uint32_t kind = COH_KEY_ACCOUNT; kind <= COH_KEY_SLOT; kind++) {
            coh_kv_table_t table = kind == COH_KEY_ACCOUNT ? COH_KV_ACCOUNTS : COH_KV_STORAGE;
            coh_disk_req_t *req = coh_disk_read_new(COH_SH_TAG_LOAD, table, cnt, COH_STORE_KEY_MAX);
            uint8_t *space      = (uint8_t *)(req->keys + cnt);
            for (size_t i = 0; i < cnt; i++) {
                if (keys[i].kind == kind) {
                    req->keys[req->key_cnt++] = coh_store_key(space, &keys[i]);
                    space += COH_STORE_KEY_MAX;
                }
            }
            coh_sh_hand_out_read(s, req);
        }
    }
    coh_hash_t hashes[64];
    while ((cnt = coh_codes_take_loads(s->codes, hashes, COH_CNT(hashes))) != 0) {
        coh_disk_req_t *req =
            coh_disk_read_new(COH_SH_TAG_LOAD_CODE, COH_KV_CODE, cnt, sizeof(hashes[0]));
        req->key_cnt   = cnt;
        uint8_t *space = (uint8_t *)(req->keys + cnt);
        memcpy(space, hashes, cnt * sizeof(hashes[0]));
        for (size_t i = 0; i < cnt; i++) {
            req->keys[i] = coh_bytes(space + i * sizeof(hashes[0]), sizeof(hashes[0]));
        }
        coh_sh_hand_out_read(s, req);
    }
}

void coh_sh_finish_queries(coh_shard_t *s)
{
    coh_waiter_t waiter;
    while (coh_mv_take_query(s->mv, &waiter) || coh_codes_take_query(s->codes, &waiter)) {
        coh_queries_on_loaded(s->queries, &waiter);
    }
}

bool coh_sh_read_at_once(void *arg, coh_key_t const *key, coh_buf_t *scratch, coh_value_t *out)
{
    coh_shard_t const *s = arg;
    uint8_t space[COH_STORE_KEY_MAX];
    coh_buf_clear(scratch);
    coh_err_t rc = s->env->peek(s->env, coh_store_table(key), coh_store_key(space, key), scratch);
    return rc == COH_ENOTFOUND ||
           (rc == COH_OK && coh_store_get_value(out, key->kind, coh_buf_bytes(scratch)) == COH_OK);
}

bool coh_sh_read_code_at_once(void *arg, coh_hash_t const *hash, coh_buf_t *out)
{
    coh_shard_t const *s = arg;
    coh_hash_t is;
    if (s->env->peek(s->env, COH_KV_CODE, coh_bytes(hash->b, sizeof(hash->b)), out) != COH_OK) {
        return false;
    }
    coh_keccak256(&is, out->p, out->n);
    return coh_hash_eq(&is, hash);
}

static void fail_damaged(coh_shard_t *s, char const *what, coh_bytes_t key)
{
    char hex[2 * COH_STORE_KEY_MAX + 1];
    coh_hex_encode(hex, key.p, key.n);
    coh_sh_fail(
        s, "the stored %s 0x%s is damaged; restore this rank's directory from a backup", what, hex);
}

void coh_sh_on_loads(coh_shard_t *s, coh_disk_req_t *req)
{
    s->reads_outstanding--;
    if (req->err != COH_OK) {
        coh_sh_fail(s, "accounts cannot be read from disk: %s", coh_err_str(req->err));
        return;
    }
    size_t at = 0;
    for (size_t i = 0; i < req->key_cnt; i++) {
        coh_key_t key;
        coh_value_t value = {0};
        coh_err_t rc      = coh_store_read_key(&key, req->table, req->keys[i]);
        COH_ASSERT(rc == COH_OK); /* we wrote it */
        if (req->errs[i] == COH_OK) {
            coh_bytes_t in = coh_bytes(req->values.p + at, req->lens[i]);
            if (coh_store_get_value(&value, key.kind, in) != COH_OK) {
                fail_damaged(s, "value of", req->keys[i]);
                return;
            }
            at += req->lens[i];
        }
        coh_executor_on_loaded(s->ex, &key, &value);
    }
    coh_sh_finish_queries(s);
}

void coh_sh_on_codes_loaded(coh_shard_t *s, coh_disk_req_t *req)
{
    s->reads_outstanding--;
    if (req->err != COH_OK) {
        coh_sh_fail(s, "code cannot be read from disk: %s", coh_err_str(req->err));
        return;
    }
    size_t at = 0;
    for (size_t i = 0; i < req->key_cnt; i++) {
        coh_hash_t hash;
        coh_hash_t is = {{0}};
        memcpy(hash.b, req->keys[i].p, sizeof(hash.b));
        coh_bytes_t code = {0};
        if (req->errs[i] == COH_OK) {
            code = coh_bytes(req->values.p + at, req->lens[i]);
            at += req->lens[i];
            coh_keccak256(&is, code.p, code.n);
        }
        if (!coh_hash_eq(&is, &hash)) { /* an account that was read has it */
            fail_damaged(s, "code", req->keys[i]);
            return;
        }
        coh_executor_on_code_loaded(s->ex, &hash, code);
    }
    coh_sh_finish_queries(s);
}
