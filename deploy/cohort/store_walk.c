#include "deploy/cohort/store_walk.h"

#include "shard/store.h"

typedef struct {
    coh_kv_t *const *kvs;
    uint32_t kv_cnt;
    coh_store_walker_t const *walker;
    coh_kv_t *kv;    /* the one that is walked */
    coh_addr_t addr; /* of the slots that come, in their order */
    uint32_t generation;
    bool is_known;
    coh_err_t err;
} visit_t;

/* Code is stored where it was made or used first, not with each account that has it. */
static coh_err_t keep_account(visit_t const *visit, coh_addr_t const *addr, coh_value_t const *v)
{
    coh_buf_t code = COH_BUF_INIT;
    coh_err_t err  = coh_value_has_code(v) ? COH_ENOTFOUND : COH_OK;
    for (uint32_t i = 0; i < visit->kv_cnt && err == COH_ENOTFOUND; i++) {
        coh_kv_t *kv    = visit->kvs[i];
        coh_bytes_t key = coh_bytes(v->code_hash.b, sizeof(v->code_hash.b));
        err             = kv->ops->get(kv, COH_KV_CODE, key, &code);
    }
    if (err == COH_OK) {
        coh_memview_put_account(
            visit->walker->state, addr, v->nonce, &v->word, coh_buf_bytes(&code));
    }
    coh_buf_free(&code);
    return err == COH_ENOTFOUND ? COH_ECORRUPT : err;
}

static coh_err_t keep_slot(coh_memview_t *state, coh_key_t const *key, coh_u256_t const *word)
{
    coh_value_t account = coh_memview_account(state, &key->addr);
    if (!(account.flags & COH_ACCOUNT_EXISTS)) {
        return COH_ECORRUPT;
    }
    coh_memview_put_slot(state, &key->addr, &key->slot, word);
    return COH_OK;
}

static bool visit_code(void *arg, coh_bytes_t key, coh_bytes_t value)
{
    visit_t *v = arg;
    coh_hash_t hash;
    memcpy(hash.b, key.p, sizeof(hash.b));
    v->walker->code(v->walker->arg, &hash, value);
    return true;
}

static bool visit_account(void *arg, coh_bytes_t key, coh_bytes_t in)
{
    visit_t *v = arg;
    coh_key_t k;
    coh_value_t value;
    v->err = coh_store_read_key(&k, COH_KV_ACCOUNTS, key);
    v->err = v->err == COH_OK ? coh_store_get_value(&value, COH_KEY_ACCOUNT, in) : v->err;
    if (v->err == COH_OK && (value.flags & COH_ACCOUNT_EXISTS)) {
        if (v->walker->account != NULL) {
            v->walker->account(v->walker->arg, &k.addr, &value);
        }
        if (v->walker->state != NULL) {
            v->err = keep_account(v, &k.addr, &value);
        }
    }
    return v->err == COH_OK;
}

/* Generation of the account that slots belong to. */
static coh_err_t find_generation(visit_t *v, coh_addr_t const *addr)
{
    coh_buf_t in      = COH_BUF_INIT;
    coh_value_t value = {0};
    coh_kv_t *kv      = v->kv;
    coh_err_t err     = kv->ops->get(kv, COH_KV_ACCOUNTS, coh_bytes(addr->b, sizeof(addr->b)), &in);
    if (err == COH_OK) {
        err = coh_store_get_value(&value, COH_KEY_ACCOUNT, coh_buf_bytes(&in));
    }
    coh_buf_free(&in);
    v->addr       = *addr;
    v->generation = value.generation;
    v->is_known   = true;
    return err == COH_ENOTFOUND ? COH_OK : err;
}

static bool visit_slot(void *arg, coh_bytes_t key, coh_bytes_t in)
{
    visit_t *v = arg;
    coh_key_t k;
    coh_value_t value;
    v->err = coh_store_read_key(&k, COH_KV_STORAGE, key);
    v->err = v->err == COH_OK ? coh_store_get_value(&value, COH_KEY_SLOT, in) : v->err;
    if (v->err == COH_OK && (!v->is_known || !coh_addr_eq(&v->addr, &k.addr))) {
        v->err = find_generation(v, &k.addr);
    }
    if (v->err == COH_OK && k.generation == v->generation) {
        if (v->walker->slot != NULL) {
            v->walker->slot(v->walker->arg, &k.addr, &k.slot, &value.word);
        }
        if (v->walker->state != NULL) {
            v->err = keep_slot(v->walker->state, &k, &value.word);
        }
    }
    return v->err == COH_OK;
}

static coh_err_t walk_table(visit_t *v, coh_kv_table_t table, coh_kv_visit_t *visit)
{
    for (uint32_t i = 0; i < v->kv_cnt; i++) {
        v->kv       = v->kvs[i];
        v->is_known = false;
        COH_TRY(v->kv->ops->iterate(v->kv, table, coh_bytes(NULL, 0), false, visit, v));
        COH_TRY(v->err);
    }
    return COH_OK;
}

coh_err_t coh_store_walk(coh_kv_t *const *kvs, uint32_t cnt, coh_store_walker_t const *walker)
{
    visit_t v = {.kvs = kvs, .kv_cnt = cnt, .walker = walker};
    if (walker->code != NULL) {
        COH_TRY(walk_table(&v, COH_KV_CODE, visit_code));
    }
    if (walker->account != NULL || walker->state != NULL) {
        COH_TRY(walk_table(&v, COH_KV_ACCOUNTS, visit_account));
    }
    if (walker->slot != NULL || walker->state != NULL) {
        COH_TRY(walk_table(&v, COH_KV_STORAGE, visit_slot));
    }
    return COH_OK;
}
