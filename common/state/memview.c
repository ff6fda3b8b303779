#include "common/state/memview.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/arena.h"
#include "common/base/assert.h"
#include "common/crypto/keccak.h"

#define NONE UINT32_MAX

/* Numbers of records by hash, open addressing: a number plus 1, and 0 where a place is free. The records are beside it, in an array. */
typedef struct {
    uint32_t *places;
    uint32_t mask;
} index_t;

typedef struct {
    coh_addr_t addr;
    uint32_t first_slot; /* of all generations; NONE: none */
    uint32_t hash;
    uint32_t seen; /* COH_READ_* by transaction seen_tx */
    uint64_t seen_tx;
    coh_value_t value;
} account_t;

typedef struct {
    coh_u256_t key;
    coh_u256_t word;
    uint32_t account;
    uint32_t generation;
    uint32_t next; /* of the same account */
    uint32_t hash;
    uint64_t seen_tx;
} slot_t;

typedef struct {
    coh_hash_t hash;
    coh_bytes_t bytes; /* in the arena */
    coh_code_t *code;  /* analysed; NULL: not yet */
    uint64_t seen_tx;
} code_t;

typedef struct {
    uint64_t number;
    uint64_t seen_tx;
} block_hash_t;

/* What restore puts back. */
typedef struct {
    bool is_slot;
    uint32_t at;
    coh_value_t was; /* of a slot the word alone */
} saved_t;

struct coh_memview {
    coh_view_t view;
    coh_coder_t const *coder;
    coh_fork_t fork;
    bool stutters;
    uint64_t tx; /* how often begin_tx was called */
    uint64_t seed[4];
    index_t account_index, slot_index, code_index;
    account_t *accounts;
    slot_t *slots;
    code_t *codes;
    uint32_t account_cnt, account_cap;
    uint32_t slot_cnt, slot_cap;
    uint32_t code_cnt, code_cap;
    block_hash_t block_hashes[256]; /* by number modulo 256: those asked for */
    coh_arena_t arena;              /* code */
    coh_memview_block_hash_fn *block_hash;
    void *block_hash_arg;
    bool saves;
    saved_t *saved;
    uint32_t saved_cnt, saved_cap;
};

/* Tables */

static uint64_t fold(uint64_t a, uint64_t b)
{
    coh_u128_t product = (coh_u128_t)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint32_t hash_addr(coh_memview_t const *mv, coh_addr_t const *addr)
{
    uint64_t h =
        fold(coh_load_u64_le(addr->b) ^ mv->seed[0], coh_load_u64_le(addr->b + 8) ^ mv->seed[1]);
    h = fold(h ^ mv->seed[2], coh_load_u32_le(addr->b + 16) ^ mv->seed[3]);
    return (uint32_t)(h ^ h >> 32);
}

static uint32_t hash_slot(coh_memview_t const *mv,
                          uint32_t account,
                          uint32_t generation,
                          coh_u256_t const *key)
{
    uint64_t h = fold(key->w[0] ^ mv->seed[0] ^ account, key->w[1] ^ mv->seed[1] ^ generation) ^
                 fold(key->w[2] ^ mv->seed[2], key->w[3] ^ mv->seed[3]);
    return (uint32_t)(h ^ h >> 32);
}

static uint32_t hash_code(coh_hash_t const *hash) { return coh_load_u32_le(hash->b); }

/* Puts record number at (counted already) where it belongs. */
static void put(index_t *index, uint32_t hash, uint32_t at)
{
    uint32_t i = hash & index->mask;
    while (index->places[i] != 0) {
        i = (i + 1) & index->mask;
    }
    index->places[i] = at + 1;
}

/* Makes an index with room for twice as many; the caller puts all records again. */
static void regrow(index_t *index, uint32_t cnt)
{
    uint32_t cap = 64;
    while (cap < cnt * 4) {
        cap *= 2;
    }
    free(index->places);
    index->places = coh_calloc(cap, sizeof(*index->places));
    index->mask   = cap - 1;
}

/* Room for one more record in an array of cnt. */
static void *reserve(void *records, uint32_t cnt, uint32_t *cap, size_t size)
{
    if (cnt < *cap) {
        return records;
    }
    *cap = COH_MAX(*cap * 2, 64u);
    return coh_realloc(records, *cap * size);
}

static uint32_t find_account(coh_memview_t const *mv, coh_addr_t const *addr, uint32_t hash)
{
    index_t const *index = &mv->account_index;
    for (uint32_t i = hash & index->mask; index->places[i] != 0; i = (i + 1) & index->mask) {
        account_t const *a = &mv->accounts[index->places[i] - 1];
        if (a->hash == hash && coh_addr_eq(&a->addr, addr)) {
            return index->places[i] - 1;
        }
    }
    return NONE;
}

static account_t *account_of(coh_memview_t *mv, coh_addr_t const *addr)
{
    uint32_t hash = hash_addr(mv, addr);
    uint32_t at   = find_account(mv, addr, hash);
    if (at == NONE) {
        at               = mv->account_cnt;
        mv->accounts     = reserve(mv->accounts, at, &mv->account_cap, sizeof(*mv->accounts));
        mv->accounts[at] = (account_t){.addr = *addr, .first_slot = NONE, .hash = hash};
        mv->account_cnt++;
        if (mv->account_cnt * 2 > mv->account_index.mask) {
            regrow(&mv->account_index, mv->account_cnt);
            for (uint32_t i = 0; i < mv->account_cnt; i++) {
                put(&mv->account_index, mv->accounts[i].hash, i);
            }
        } else {
            put(&mv->account_index, hash, at);
        }
    }
    return &mv->accounts[at];
}

static uint32_t find_slot(coh_memview_t const *mv,
                          uint32_t account,
                          uint32_t generation,
                          coh_u256_t const *key,
                          uint32_t hash)
{
    index_t const *index = &mv->slot_index;
    for (uint32_t i = hash & index->mask; index->places[i] != 0; i = (i + 1) & index->mask) {
        slot_t const *s = &mv->slots[index->places[i] - 1];
        if (s->hash == hash && s->account == account && s->generation == generation &&
            coh_u256_eq(&s->key, key)) {
            return index->places[i] - 1;
        }
    }
    return NONE;
}

static slot_t *slot_of(coh_memview_t *mv, account_t *a, uint32_t generation, coh_u256_t const *key)
{
    uint32_t account = (uint32_t)(a - mv->accounts);
    uint32_t hash    = hash_slot(mv, account, generation, key);
    uint32_t at      = find_slot(mv, account, generation, key, hash);
    if (at == NONE) {
        at            = mv->slot_cnt;
        mv->slots     = reserve(mv->slots, at, &mv->slot_cap, sizeof(*mv->slots));
        mv->slots[at] = (slot_t){.key        = *key,
                                 .account    = account,
                                 .generation = generation,
                                 .next       = a->first_slot,
                                 .hash       = hash};
        a->first_slot = at;
        mv->slot_cnt++;
        if (mv->slot_cnt * 2 > mv->slot_index.mask) {
            regrow(&mv->slot_index, mv->slot_cnt);
            for (uint32_t i = 0; i < mv->slot_cnt; i++) {
                put(&mv->slot_index, mv->slots[i].hash, i);
            }
        } else {
            put(&mv->slot_index, hash, at);
        }
    }
    return &mv->slots[at];
}

static code_t *find_code(coh_memview_t const *mv, coh_hash_t const *hash)
{
    index_t const *index = &mv->code_index;
    for (uint32_t i = hash_code(hash) & index->mask; index->places[i] != 0;
         i          = (i + 1) & index->mask) {
        code_t *c = &mv->codes[index->places[i] - 1];
        if (coh_hash_eq(&c->hash, hash)) {
            return c;
        }
    }
    return NULL;
}

static void put_code(coh_memview_t *mv, coh_hash_t const *hash, coh_bytes_t bytes)
{
    if (find_code(mv, hash) != NULL) {
        return;
    }
    uint32_t at   = mv->code_cnt;
    uint8_t *copy = coh_arena_alloc(&mv->arena, bytes.n);
    memcpy(copy, bytes.p, bytes.n);
    mv->codes     = reserve(mv->codes, at, &mv->code_cap, sizeof(*mv->codes));
    mv->codes[at] = (code_t){.hash = *hash, .bytes = coh_bytes(copy, bytes.n)};
    mv->code_cnt++;
    if (mv->code_cnt * 2 > mv->code_index.mask) {
        regrow(&mv->code_index, mv->code_cnt);
        for (uint32_t i = 0; i < mv->code_cnt; i++) {
            put(&mv->code_index, hash_code(&mv->codes[i].hash), i);
        }
    } else {
        put(&mv->code_index, hash_code(hash), at);
    }
}

/* The view */

/* Takes out of *out what was not asked for. */
static void obscure(coh_value_t *out, uint32_t fields, coh_u256_t const *bound)
{
    static coh_u256_t const most = {{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}};
    if ((fields & COH_READ_WORD) == 0) {
        bool enough = (fields & COH_READ_AT_LEAST) == 0 || !coh_u256_lt(&out->word, bound);
        out->word   = enough ? most : COH_U256_ZERO;
    }
    if ((fields & COH_READ_NONCE) == 0) {
        out->nonce = UINT64_C(0xdeadbeefdeadbeef);
    }
    if ((fields & COH_READ_CODE) == 0) {
        memset(&out->code_hash, 0xa5, sizeof(out->code_hash));
        out->generation = UINT32_C(0xdeadbeef);
        out->flags ^= COH_ACCOUNT_HAS_STORAGE;
    }
    if ((fields & COH_READ_EXISTS) == 0) {
        out->flags ^= COH_ACCOUNT_EXISTS;
    }
}

/* True if this transaction asks for something for the first time. */
static bool is_first_ask(coh_memview_t const *mv, uint64_t *seen_tx)
{
    bool first = *seen_tx != mv->tx;
    *seen_tx   = mv->tx;
    return first;
}

static coh_view_status_t read_account(coh_memview_t *mv,
                                      coh_value_t *out,
                                      coh_key_t const *key,
                                      uint32_t fields,
                                      coh_u256_t const *bound)
{
    if (!mv->stutters) {
        uint32_t at = find_account(mv, &key->addr, hash_addr(mv, &key->addr));
        *out        = at == NONE ? (coh_value_t){.flags = 0} : mv->accounts[at].value;
        return COH_VIEW_OK;
    }
    account_t *a = account_of(mv, &key->addr);
    if (is_first_ask(mv, &a->seen_tx)) {
        a->seen = 0;
    }
    if ((fields & ~a->seen) != 0) {
        a->seen |= fields;
        return COH_VIEW_NEED;
    }
    *out = a->value;
    obscure(out, fields, bound);
    return COH_VIEW_OK;
}

static coh_view_status_t read_slot(coh_memview_t *mv, coh_value_t *out, coh_key_t const *key)
{
    uint32_t generation = (uint32_t)key->generation;
    *out                = (coh_value_t){.flags = 0};
    if (mv->stutters) {
        slot_t *s = slot_of(mv, account_of(mv, &key->addr), generation, &key->slot);
        out->word = s->word;
        return is_first_ask(mv, &s->seen_tx) ? COH_VIEW_NEED : COH_VIEW_OK;
    }
    uint32_t account = find_account(mv, &key->addr, hash_addr(mv, &key->addr));
    if (account != NONE) {
        uint32_t hash = hash_slot(mv, account, generation, &key->slot);
        uint32_t at   = find_slot(mv, account, generation, &key->slot, hash);
        out->word     = at == NONE ? COH_U256_ZERO : mv->slots[at].word;
    }
    return COH_VIEW_OK;
}

static coh_view_status_t read_block_hash(coh_memview_t *mv, coh_value_t *out, uint64_t number)
{
    if (mv->stutters) {
        block_hash_t *asked = &mv->block_hashes[number % COH_CNT(mv->block_hashes)];
        bool other          = asked->number != number;
        asked->number       = number;
        if (is_first_ask(mv, &asked->seen_tx) || other) {
            return COH_VIEW_NEED;
        }
    }
    *out = (coh_value_t){.flags = 0};
    if (mv->block_hash != NULL) {
        mv->block_hash(mv->block_hash_arg, &out->word, number);
    }
    return COH_VIEW_OK;
}

static coh_view_status_t view_read(coh_view_t *view,
                                   coh_value_t *out,
                                   coh_key_t const *key,
                                   uint32_t fields,
                                   coh_u256_t const *bound)
{
    coh_memview_t *mv = (coh_memview_t *)view;
    switch (key->kind) {
    case COH_KEY_ACCOUNT: return read_account(mv, out, key, fields, bound);
    case COH_KEY_SLOT: return read_slot(mv, out, key);
    default: COH_ASSERT(key->kind == COH_KEY_BLOCK_HASH);
    }
    return read_block_hash(mv, out, key->slot.w[0]);
}

static coh_view_status_t view_code(coh_view_t *view,
                                   coh_code_t const **out,
                                   coh_addr_t const *addr,
                                   coh_hash_t const *hash)
{
    (void)addr;
    coh_memview_t *mv = (coh_memview_t *)view;
    code_t *c         = find_code(mv, hash);
    COH_ASSERT(c != NULL);
    if (mv->stutters && is_first_ask(mv, &c->seen_tx)) {
        return COH_VIEW_NEED;
    }
    if (c->code == NULL) {
        c->code = mv->coder->make(c->bytes, mv->fork, hash);
    }
    *out = c->code;
    return COH_VIEW_OK;
}

/* Life cycle */

coh_memview_t *coh_memview_new(coh_coder_t const *coder, coh_fork_t fork)
{
    coh_memview_t *mv = coh_calloc(1, sizeof(*mv));
    mv->view          = (coh_view_t){.read = view_read, .code = view_code};
    mv->coder         = coder;
    mv->fork          = fork;
    mv->tx            = 1;
    COH_ASSERT(getentropy(mv->seed, sizeof(mv->seed)) == 0);
    regrow(&mv->account_index, 0);
    regrow(&mv->slot_index, 0);
    regrow(&mv->code_index, 0);
    return mv;
}

void coh_memview_set_fork(coh_memview_t *mv, coh_fork_t fork)
{
    for (uint32_t i = 0; i < mv->code_cnt; i++) {
        if (mv->codes[i].code != NULL) {
            mv->coder->release(mv->codes[i].code);
            mv->codes[i].code = NULL;
        }
    }
    mv->fork = fork;
}

void coh_memview_free(coh_memview_t *mv)
{
    coh_memview_set_fork(mv, mv->fork); /* releases the code */
    free(mv->account_index.places);
    free(mv->slot_index.places);
    free(mv->code_index.places);
    free(mv->accounts);
    free(mv->slots);
    free(mv->codes);
    free(mv->saved);
    coh_arena_free(&mv->arena);
    free(mv);
}

coh_view_t *coh_memview_view(coh_memview_t *mv) { return &mv->view; }

void coh_memview_set_stutter(coh_memview_t *mv, bool on) { mv->stutters = on; }

void coh_memview_begin_tx(coh_memview_t *mv) { mv->tx++; }

void coh_memview_set_block_hash(coh_memview_t *mv, coh_memview_block_hash_fn *fn, void *arg)
{
    mv->block_hash     = fn;
    mv->block_hash_arg = arg;
}

/* Changing */

static void save(coh_memview_t *mv, bool is_slot, uint32_t at)
{
    if (!mv->saves) {
        return;
    }
    mv->saved = reserve(mv->saved, mv->saved_cnt, &mv->saved_cap, sizeof(*mv->saved));
    mv->saved[mv->saved_cnt++] = (saved_t){
        .is_slot = is_slot,
        .at      = at,
        .was     = is_slot ? (coh_value_t){.word = mv->slots[at].word} : mv->accounts[at].value};
}

void coh_memview_put_account(coh_memview_t *mv,
                             coh_addr_t const *addr,
                             uint64_t nonce,
                             coh_u256_t const *balance,
                             coh_bytes_t code)
{
    account_t *a = account_of(mv, addr);
    save(mv, false, (uint32_t)(a - mv->accounts));
    a->value.word      = *balance;
    a->value.nonce     = nonce;
    a->value.code_hash = (coh_hash_t){{0}};
    a->value.flags |= COH_ACCOUNT_EXISTS;
    if (code.n != 0) {
        coh_keccak256(&a->value.code_hash, code.p, code.n);
        put_code(mv, &a->value.code_hash, code);
    }
}

void coh_memview_put_slot(coh_memview_t *mv,
                          coh_addr_t const *addr,
                          coh_u256_t const *slot,
                          coh_u256_t const *value)
{
    account_t *a = account_of(mv, addr);
    COH_ASSERT(a->value.flags & COH_ACCOUNT_EXISTS);
    slot_t *s = slot_of(mv, a, a->value.generation, slot);
    save(mv, true, (uint32_t)(s - mv->slots));
    s->word = *value;
    if (a->value.nonce == 0 && !coh_value_has_code(&a->value) && !coh_u256_is_zero(value)) {
        save(mv, false, (uint32_t)(a - mv->accounts));
        a->value.flags |= COH_ACCOUNT_HAS_STORAGE;
    }
}

void coh_memview_apply(coh_memview_t *mv, coh_outcome_t const *outcome)
{
    for (uint32_t i = 0; i < outcome->write_cnt; i++) {
        coh_write_t const *w = &outcome->writes[i];
        account_t *a         = account_of(mv, &w->key.addr);
        if (w->key.kind == COH_KEY_SLOT) {
            slot_t *s = slot_of(mv, a, (uint32_t)w->key.generation, &w->key.slot);
            save(mv, true, (uint32_t)(s - mv->slots));
            coh_value_t value = {.word = s->word};
            coh_write_apply(&value, w);
            s->word = value.word;
            continue;
        }
        save(mv, false, (uint32_t)(a - mv->accounts));
        coh_write_apply(&a->value, w);
        if ((w->flags & COH_WRITE_CODE) != 0 && w->code->bytes.n != 0) {
            put_code(mv, &w->code->hash, w->code->bytes);
        }
    }
}

void coh_memview_save(coh_memview_t *mv)
{
    mv->saves     = true;
    mv->saved_cnt = 0;
}

void coh_memview_restore(coh_memview_t *mv)
{
    while (mv->saved_cnt > 0) {
        saved_t const *was = &mv->saved[--mv->saved_cnt];
        if (was->is_slot) {
            mv->slots[was->at].word = was->was.word;
        } else {
            mv->accounts[was->at].value = was->was;
        }
    }
}

/* Looking */

void coh_memview_put_alloc(coh_memview_t *mv, coh_genesis_account_t const *accounts, size_t cnt)
{
    for (size_t i = 0; i < cnt; i++) {
        coh_genesis_account_t const *a = &accounts[i];
        coh_memview_put_account(mv, &a->addr, a->nonce, &a->balance, a->code);
        for (size_t k = 0; k < a->slot_cnt; k++) {
            coh_memview_put_slot(mv, &a->addr, &a->slots[k].key, &a->slots[k].value);
        }
    }
}

coh_value_t coh_memview_account(coh_memview_t const *mv, coh_addr_t const *addr)
{
    uint32_t at = find_account(mv, addr, hash_addr(mv, addr));
    return at == NONE ? (coh_value_t){.flags = 0} : mv->accounts[at].value;
}

coh_u256_t coh_memview_slot(coh_memview_t const *mv, coh_addr_t const *addr, coh_u256_t const *slot)
{
    uint32_t account = find_account(mv, addr, hash_addr(mv, addr));
    if (account == NONE) {
        return COH_U256_ZERO;
    }
    uint32_t generation = mv->accounts[account].value.generation;
    uint32_t at =
        find_slot(mv, account, generation, slot, hash_slot(mv, account, generation, slot));
    return at == NONE ? COH_U256_ZERO : mv->slots[at].word;
}

void coh_memview_accounts(coh_memview_t const *mv, coh_memview_account_fn *fn, void *arg)
{
    for (uint32_t i = 0; i < mv->account_cnt; i++) {
        account_t const *a = &mv->accounts[i];
        if (a->value.flags & COH_ACCOUNT_EXISTS) {
            fn(arg, &a->addr, &a->value);
        }
    }
}

void coh_memview_slots(coh_memview_t const *mv,
                       coh_addr_t const *addr,
                       coh_memview_slot_fn *fn,
                       void *arg)
{
    uint32_t account = find_account(mv, addr, hash_addr(mv, addr));
    if (account == NONE) {
        return;
    }
    account_t const *a = &mv->accounts[account];
    for (uint32_t i = a->first_slot; i != NONE; i = mv->slots[i].next) {
        slot_t const *s = &mv->slots[i];
        if (s->generation == a->value.generation && !coh_u256_is_zero(&s->word)) {
            fn(arg, &s->key, &s->word);
        }
    }
}

coh_bytes_t coh_memview_code(coh_memview_t const *mv, coh_hash_t const *hash)
{
    code_t const *c = find_code(mv, hash);
    return c == NULL ? (coh_bytes_t){0} : c->bytes;
}
