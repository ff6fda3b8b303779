#include "common/state/state.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"

/* What a large transaction leaves allocated for the next one. */
#define TABLE_MIN         64u
#define TABLE_KEEP        4096u
#define JOURNAL_MIN       64u
#define JOURNAL_KEEP      4096u
#define LOGS_KEEP         1024u
#define WRITES_MIN        8u
#define ARENA_KEEP        COH_ARENA_CHUNK_SZ
#define BLOCK_HASH_WINDOW 256u

/* Undo entries: what each does, and how it is undone. */
typedef enum {
    UNDO_CREDIT,    /* word was added to the balance: take it away; bits: see EXISTENCE */
    UNDO_DEBIT,     /* word was taken from the balance: add it */
    UNDO_NONCE,     /* the nonce was word.w[0]; bits */
    UNDO_CODE,      /* code was saved_code_t; bits */
    UNDO_FLAGS,     /* COH_ACCT_* bits were added, perhaps EXISTENCE too */
    UNDO_SLOT,      /* the slot was word */
    UNDO_TRANSIENT, /* the transient slot was word */
    UNDO_WARM_SLOT, /* the slot was cold */
} undo_t;

/* Among the bits of an entry: the change made the account exist. */
#define EXISTENCE (UINT32_C(1) << 31)

struct coh_journal_entry {
    void *target; /* account or slot */
    undo_t undo;
    uint32_t bits;
    union {
        coh_u256_t word;
        struct saved_code *code; /* in the arena */
    } was;
};

typedef struct saved_code {
    coh_hash_t hash;
    coh_code_t const *code;
    coh_bytes_t bytes;
} saved_code_t;

struct coh_state_analysed {
    coh_code_t *code;
    struct coh_state_analysed *next;
};

struct coh_state_block_hash {
    bool have;
    uint64_t number;
    coh_u256_t hash;
};

/* Life cycle */

static void release_analysed(coh_state_t *s)
{
    for (struct coh_state_analysed *it = s->analysed; it != NULL; it = it->next) {
        s->coder->release(it->code);
    }
    s->analysed = NULL;
}

static void set_table(coh_state_t *s, uint32_t cap)
{
    free(s->table);
    s->table      = coh_calloc(cap, sizeof(*s->table));
    s->table_mask = cap - 1;
    s->epoch      = 1;
}

void coh_state_init(coh_state_t *s, coh_coder_t const *coder)
{
    *s = (coh_state_t){.coder = coder};
    COH_ASSERT(getentropy(s->seed, sizeof(s->seed)) == 0);
    set_table(s, TABLE_MIN);
    s->journal_cap = JOURNAL_MIN;
    s->journal     = coh_calloc(s->journal_cap, sizeof(*s->journal));
}

void coh_state_fini(coh_state_t *s)
{
    release_analysed(s);
    free(s->table);
    free(s->journal);
    free(s->logs);
    coh_arena_free(&s->arena);
    *s = (coh_state_t){0};
}

size_t coh_state_bytes(coh_state_t const *s)
{
    return s->arena.total + ((size_t)s->table_mask + 1) * sizeof(*s->table) +
           s->journal_cap * sizeof(*s->journal) + s->log_cap * sizeof(*s->logs);
}

void coh_state_begin(coh_state_t *s, coh_view_t *view, coh_fork_t fork)
{
    release_analysed(s);
    s->view = view;
    s->fork = fork;
    coh_arena_reset(&s->arena, ARENA_KEEP);
    s->first        = NULL;
    s->last         = NULL;
    s->account_cnt  = 0;
    s->slot_cnt     = 0;
    s->journal_cnt  = 0;
    s->log_cnt      = 0;
    s->refund       = 0;
    s->block_hashes = NULL;
    s->epoch++;
    if (s->table_mask + 1 > TABLE_KEEP || s->epoch == 0) {
        set_table(s, TABLE_MIN);
    }
    if (s->journal_cap > JOURNAL_KEEP) {
        s->journal_cap = JOURNAL_MIN;
        s->journal     = coh_realloc(s->journal, s->journal_cap * sizeof(*s->journal));
    }
    if (s->log_cap > LOGS_KEEP) {
        free(s->logs);
        s->logs    = NULL;
        s->log_cap = 0;
    }
}

/* The table */

static inline uint64_t fold(uint64_t a, uint64_t b)
{
    coh_u128_t product = (coh_u128_t)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint32_t hash_addr(coh_state_t const *s, coh_addr_t const *addr)
{
    uint64_t h =
        fold(coh_load_u64_le(addr->b) ^ s->seed[0], coh_load_u64_le(addr->b + 8) ^ s->seed[1]);
    h = fold(h ^ s->seed[2], coh_load_u32_le(addr->b + 16) ^ s->seed[3]);
    return (uint32_t)(h ^ h >> 32);
}

static inline uint32_t hash_slot(coh_state_t const *s, uint32_t account, coh_u256_t const *key)
{
    uint64_t h = fold(key->w[0] ^ s->seed[0] ^ account, key->w[1] ^ s->seed[1]) ^
                 fold(key->w[2] ^ s->seed[2], key->w[3] ^ s->seed[3]);
    return (uint32_t)(h ^ h >> 32);
}

static void grow_table(coh_state_t *s)
{
    coh_state_place_t *old = s->table;
    uint32_t old_cap       = s->table_mask + 1;
    uint32_t old_epoch     = s->epoch;
    s->table               = NULL;
    set_table(s, old_cap * 2);
    for (uint32_t i = 0; i < old_cap; i++) {
        if (old[i].epoch == old_epoch) {
            uint32_t at = old[i].hash & s->table_mask;
            while (s->table[at].epoch == s->epoch) {
                at = (at + 1) & s->table_mask;
            }
            s->table[at]       = old[i];
            s->table[at].epoch = s->epoch;
        }
    }
    free(old);
}

/* Puts object, which is not there yet and has been counted, at the free place at. */
static void put(coh_state_t *s, coh_state_place_t *at, uint32_t hash, uintptr_t object)
{
    *at = (coh_state_place_t){.epoch = s->epoch, .hash = hash, .object = object};
    if ((s->account_cnt + s->slot_cnt) * 2 > s->table_mask) {
        grow_table(s);
    }
}

coh_account_t *coh_state_account(coh_state_t *s, coh_addr_t const *addr)
{
    uint32_t hash            = hash_addr(s, addr);
    uint32_t i               = hash & s->table_mask;
    coh_state_place_t *place = &s->table[i];
    for (; place->epoch == s->epoch; i = (i + 1) & s->table_mask, place = &s->table[i]) {
        if (place->hash == hash && (place->object & 1) == 0) {
            coh_account_t *a = (coh_account_t *)place->object;
            if (coh_addr_eq(&a->addr, addr)) {
                return a;
            }
        }
    }
    coh_account_t *a = coh_arena_alloc(&s->arena, sizeof(*a));
    *a               = (coh_account_t){.addr = *addr, .hash = hash};
    if (s->last == NULL) {
        s->first = a;
    } else {
        s->last->next = a;
    }
    s->last = a;
    s->account_cnt++;
    put(s, place, hash, (uintptr_t)a);
    return a;
}

coh_slot_t *coh_state_slot_record(coh_state_t *s, coh_account_t *a, coh_u256_t const *key)
{
    uint32_t hash            = hash_slot(s, a->hash, key);
    uint32_t i               = hash & s->table_mask;
    coh_state_place_t *place = &s->table[i];
    for (; place->epoch == s->epoch; i = (i + 1) & s->table_mask, place = &s->table[i]) {
        if (place->hash == hash && (place->object & 1) != 0) {
            coh_slot_t *slot = (coh_slot_t *)(place->object - 1);
            if (slot->account == a && coh_u256_eq(&slot->key, key)) {
                return slot;
            }
        }
    }
    coh_slot_t *slot = coh_arena_alloc(&s->arena, sizeof(*slot));
    *slot            = (coh_slot_t){.key = *key, .account = a, .next = a->slots, .hash = hash};
    a->slots         = slot;
    s->slot_cnt++;
    put(s, place, hash, (uintptr_t)slot + 1);
    return slot;
}

/* Reading */

/* Moves the stand-in of a's balance, and with it what the transaction made of it. */
static void rebase(coh_account_t *a, coh_u256_t const *word)
{
    coh_u256_t moved;
    (void)coh_u256_sub(&moved, word, &a->base.word);
    (void)coh_u256_add(&a->cur.word, &a->cur.word, &moved);
    a->base.word = *word;
}

/* Whether only the view knows if cur is at least bound; *ask: what base must then be at least. */
static bool must_ask(coh_account_t const *a, coh_u256_t const *bound, coh_u256_t *ask)
{
    if (!coh_u256_lt(&a->cur.word, bound)) {
        return false;
    }
    (void)coh_u256_sub(ask, bound, &a->cur.word);
    if (coh_u256_add(ask, ask, &a->base.word)) {
        return false; /* no balance is that large */
    }
    return coh_u256_is_zero(&a->below) || coh_u256_lt(ask, &a->below);
}

coh_view_status_t coh_state_read(coh_state_t *s,
                                 coh_account_t *a,
                                 uint32_t fields,
                                 coh_u256_t const *bound)
{
    uint32_t ask = fields & ~a->have & ~(uint32_t)COH_READ_AT_LEAST;
    coh_u256_t base_bound;
    if ((fields & COH_READ_AT_LEAST) != 0 && ((a->have | ask) & COH_READ_WORD) == 0 &&
        must_ask(a, bound, &base_bound)) {
        ask |= COH_READ_AT_LEAST;
    }
    if (ask == 0) {
        return COH_VIEW_OK;
    }
    coh_key_t key = coh_key_account(&a->addr);
    coh_value_t v;
    if (s->view->read(s->view, &v, &key, ask, (ask & COH_READ_AT_LEAST) ? &base_bound : NULL) ==
        COH_VIEW_NEED) {
        return COH_VIEW_NEED;
    }
    a->have |= ask;
    if (ask & COH_READ_NONCE) {
        a->base.nonce = v.nonce;
        a->cur.nonce  = v.nonce;
    }
    if (ask & COH_READ_CODE) {
        uint32_t flags     = v.flags & COH_ACCOUNT_HAS_STORAGE;
        a->base.code_hash  = v.code_hash;
        a->base.generation = v.generation;
        a->base.flags |= flags;
        a->cur.code_hash  = v.code_hash;
        a->cur.generation = v.generation;
        a->cur.flags |= flags;
    }
    if (ask & COH_READ_EXISTS) {
        uint32_t flags = v.flags & COH_ACCOUNT_EXISTS;
        a->base.flags |= flags;
        a->cur.flags |= flags;
    }
    if (ask & COH_READ_WORD) {
        rebase(a, &v.word);
    }
    if (ask & COH_READ_AT_LEAST) {
        if (coh_u256_lt(&v.word, &base_bound)) {
            a->below = base_bound;
        } else {
            rebase(a, &base_bound);
        }
    }
    return COH_VIEW_OK;
}

coh_view_status_t coh_state_code(coh_state_t *s, coh_account_t *a)
{
    if (coh_state_need(s, a, COH_READ_CODE) == COH_VIEW_NEED) {
        return COH_VIEW_NEED;
    }
    if (a->code != NULL || !coh_value_has_code(&a->cur)) {
        return COH_VIEW_OK;
    }
    if (a->new_code.n == 0) {
        return s->view->code(s->view, &a->code, &a->addr, &a->cur.code_hash);
    }
    struct coh_state_analysed *made = coh_arena_alloc(&s->arena, sizeof(*made));
    made->code                      = s->coder->make(a->new_code, s->fork, &a->cur.code_hash);
    made->next                      = s->analysed;
    s->analysed                     = made;
    a->code                         = made->code;
    return COH_VIEW_OK;
}

coh_view_status_t coh_state_exists(coh_state_t *s, coh_account_t *a, bool *out)
{
    if ((a->cur.flags & COH_ACCOUNT_EXISTS) == 0 &&
        coh_state_need(s, a, COH_READ_EXISTS) == COH_VIEW_NEED) {
        return COH_VIEW_NEED;
    }
    *out = (a->cur.flags & COH_ACCOUNT_EXISTS) != 0;
    return COH_VIEW_OK;
}

coh_view_status_t coh_state_is_dead(coh_state_t *s, coh_account_t *a, bool *out)
{
    static coh_u256_t const one = {{1, 0, 0, 0}};
    if (s->fork < COH_FORK_SPURIOUS) {
        bool exists = false;
        if (coh_state_exists(s, a, &exists) == COH_VIEW_NEED) {
            return COH_VIEW_NEED;
        }
        *out = !exists;
        return COH_VIEW_OK;
    }
    /* What is not known is zero in cur, so that nothing but zeros needs asking. */
    if (coh_value_is_empty(&a->cur) &&
        coh_state_read(s, a, COH_READ_NONCE | COH_READ_CODE | COH_READ_AT_LEAST, &one) ==
            COH_VIEW_NEED) {
        return COH_VIEW_NEED;
    }
    *out = coh_value_is_empty(&a->cur); /* EIP-161 */
    return COH_VIEW_OK;
}

coh_view_status_t coh_state_slot(coh_state_t *s,
                                 coh_slot_t **out,
                                 coh_account_t *a,
                                 coh_u256_t const *key)
{
    coh_slot_t *slot = coh_state_slot_record(s, a, key);
    if (COH_UNLIKELY(!slot->have)) {
        COH_ASSERT(a->have & COH_READ_CODE);
        if ((a->flags & COH_ACCT_CREATED) == 0) { /* EIP-7610: no account is created over storage */
            coh_key_t k = coh_key_slot(&a->addr, a->base.generation, key);
            coh_value_t v;
            if (s->view->read(s->view, &v, &k, COH_READ_WORD, NULL) == COH_VIEW_NEED) {
                return COH_VIEW_NEED;
            }
            slot->base = v.word;
            slot->cur  = v.word;
            slot->read = true;
        }
        slot->have = true;
    }
    *out = slot;
    return COH_VIEW_OK;
}

coh_view_status_t coh_state_block_hash(coh_state_t *s, coh_u256_t *out, uint64_t number)
{
    if (s->block_hashes == NULL) {
        size_t size     = BLOCK_HASH_WINDOW * sizeof(*s->block_hashes);
        s->block_hashes = coh_arena_alloc(&s->arena, size);
        memset(s->block_hashes, 0, size);
    }
    struct coh_state_block_hash *known = &s->block_hashes[number % BLOCK_HASH_WINDOW];
    if (!known->have || known->number != number) {
        coh_key_t key = {.slot = coh_u256(number), .kind = COH_KEY_BLOCK_HASH};
        coh_value_t v;
        if (s->view->read(s->view, &v, &key, COH_READ_WORD, NULL) == COH_VIEW_NEED) {
            return COH_VIEW_NEED;
        }
        *known = (struct coh_state_block_hash){.have = true, .number = number, .hash = v.word};
    }
    *out = known->hash;
    return COH_VIEW_OK;
}

/* Changing */

static coh_journal_entry_t *journal(coh_state_t *s, undo_t undo, void *target)
{
    if (COH_UNLIKELY(s->journal_cnt == s->journal_cap)) {
        s->journal_cap *= 2;
        s->journal = coh_realloc(s->journal, s->journal_cap * sizeof(*s->journal));
    }
    coh_journal_entry_t *e = &s->journal[s->journal_cnt++];
    e->target              = target;
    e->undo                = undo;
    e->bits                = 0;
    return e;
}

static void make_exist(coh_account_t *a, coh_journal_entry_t *e)
{
    if ((a->cur.flags & COH_ACCOUNT_EXISTS) == 0) {
        a->cur.flags |= COH_ACCOUNT_EXISTS;
        e->bits |= EXISTENCE;
    }
}

void coh_state_set_slot(coh_state_t *s, coh_slot_t *slot, coh_u256_t const *value)
{
    COH_ASSERT(slot->have);
    journal(s, UNDO_SLOT, slot)->was.word = slot->cur;
    slot->cur                             = *value;
}

void coh_state_set_transient(coh_state_t *s, coh_slot_t *slot, coh_u256_t const *value)
{
    journal(s, UNDO_TRANSIENT, slot)->was.word = slot->transient;
    slot->transient                            = *value;
}

void coh_state_warm_slot(coh_state_t *s, coh_slot_t *slot)
{
    if (!slot->warm) {
        (void)journal(s, UNDO_WARM_SLOT, slot);
        slot->warm = true;
    }
}

void coh_state_set_nonce(coh_state_t *s, coh_account_t *a, uint64_t nonce)
{
    COH_ASSERT(a->have & COH_READ_NONCE);
    coh_journal_entry_t *e = journal(s, UNDO_NONCE, a);
    e->was.word            = coh_u256(a->cur.nonce);
    a->cur.nonce           = nonce;
    make_exist(a, e);
}

void coh_state_credit(coh_state_t *s, coh_account_t *a, coh_u256_t const *amount)
{
    if (coh_u256_is_zero(amount)) {
        return;
    }
    coh_journal_entry_t *e = journal(s, UNDO_CREDIT, a);
    e->was.word            = *amount;
    (void)coh_u256_add(&a->cur.word, &a->cur.word, amount);
    make_exist(a, e);
}

void coh_state_debit(coh_state_t *s, coh_account_t *a, coh_u256_t const *amount)
{
    if (coh_u256_is_zero(amount)) {
        return;
    }
    journal(s, UNDO_DEBIT, a)->was.word = *amount;
    (void)coh_u256_sub(&a->cur.word, &a->cur.word, amount);
}

void coh_state_set_code(coh_state_t *s, coh_account_t *a, coh_bytes_t bytes, coh_hash_t const *hash)
{
    COH_ASSERT(a->have & COH_READ_CODE);
    saved_code_t *was      = coh_arena_alloc(&s->arena, sizeof(*was));
    *was                   = (saved_code_t){a->cur.code_hash, a->code, a->new_code};
    coh_journal_entry_t *e = journal(s, UNDO_CODE, a);
    e->was.code            = was;
    a->code                = NULL;
    a->new_code            = (coh_bytes_t){0};
    a->cur.code_hash       = (coh_hash_t){{0}};
    if (bytes.n != 0) {
        uint8_t *copy = coh_arena_alloc(&s->arena, bytes.n);
        memcpy(copy, bytes.p, bytes.n);
        a->new_code      = coh_bytes(copy, bytes.n);
        a->cur.code_hash = *hash;
    }
    make_exist(a, e);
}

void coh_state_set_flags(coh_state_t *s, coh_account_t *a, uint32_t flags)
{
    uint32_t added = flags & ~a->flags;
    if (added == 0) {
        return;
    }
    coh_journal_entry_t *e = journal(s, UNDO_FLAGS, a);
    e->bits                = added;
    a->flags |= added;
    if (s->fork < COH_FORK_SPURIOUS && (added & (COH_ACCT_TOUCHED | COH_ACCT_CREATED)) != 0) {
        make_exist(a, e);
    }
}

void coh_state_add_log(coh_state_t *s, coh_log_t const *log)
{
    if (s->log_cnt == s->log_cap) {
        s->log_cap = COH_MAX(s->log_cap * 2, 8u);
        s->logs    = coh_realloc(s->logs, s->log_cap * sizeof(*s->logs));
    }
    coh_log_t *copy = &s->logs[s->log_cnt++];
    *copy           = *log;
    if (log->data.n != 0) {
        uint8_t *data = coh_arena_alloc(&s->arena, log->data.n);
        memcpy(data, log->data.p, log->data.n);
        copy->data.p = data;
    }
}

coh_mark_t coh_state_mark(coh_state_t const *s)
{
    return (coh_mark_t){.journal_cnt = s->journal_cnt, .log_cnt = s->log_cnt, .refund = s->refund};
}

static bool is_ripemd(coh_addr_t const *addr)
{
    static coh_addr_t const ripemd = {{[19] = 3}};
    return coh_addr_eq(addr, &ripemd);
}

static void undo_account(coh_state_t *s, coh_journal_entry_t const *e)
{
    coh_account_t *a = e->target;
    switch (e->undo) {
    case UNDO_CREDIT: (void)coh_u256_sub(&a->cur.word, &a->cur.word, &e->was.word); break;
    case UNDO_DEBIT: (void)coh_u256_add(&a->cur.word, &a->cur.word, &e->was.word); break;
    case UNDO_NONCE: a->cur.nonce = e->was.word.w[0]; break;
    case UNDO_CODE:
        a->cur.code_hash = e->was.code->hash;
        a->code          = e->was.code->code;
        a->new_code      = e->was.code->bytes;
        break;
    default: {
        uint32_t bits = e->bits & ~EXISTENCE;
        if (s->fork >= COH_FORK_SPURIOUS && is_ripemd(&a->addr)) {
            bits &= ~(uint32_t)COH_ACCT_TOUCHED;
        }
        a->flags &= ~bits;
    }
    }
    if (e->bits & EXISTENCE) { /* what was read since then stays */
        a->cur.flags =
            (a->cur.flags & ~(uint32_t)COH_ACCOUNT_EXISTS) | (a->base.flags & COH_ACCOUNT_EXISTS);
    }
}

void coh_state_rollback(coh_state_t *s, coh_mark_t mark)
{
    COH_ASSERT(mark.journal_cnt <= s->journal_cnt && mark.log_cnt <= s->log_cnt);
    while (s->journal_cnt > mark.journal_cnt) {
        coh_journal_entry_t const *e = &s->journal[--s->journal_cnt];
        coh_slot_t *slot             = e->target;
        switch (e->undo) {
        case UNDO_SLOT: slot->cur = e->was.word; break;
        case UNDO_TRANSIENT: slot->transient = e->was.word; break;
        case UNDO_WARM_SLOT: slot->warm = false; break;
        default: undo_account(s, e);
        }
    }
    s->log_cnt = mark.log_cnt;
    s->refund  = mark.refund;
}

/* The end of a transaction */

coh_view_status_t coh_state_finalize(coh_state_t *s)
{
    for (coh_account_t *a = s->first; a != NULL; a = a->next) {
        bool gone =
            (a->flags & COH_ACCT_DESTROYED) != 0 &&
            (s->fork < COH_FORK_CANCUN || (a->flags & COH_ACCT_CREATED) != 0); /* EIP-6780 */
        if (!gone && s->fork >= COH_FORK_SPURIOUS && (a->flags & COH_ACCT_TOUCHED) != 0 &&
            coh_state_is_dead(s, a, &gone) == COH_VIEW_NEED) { /* EIP-161 */
            return COH_VIEW_NEED;
        }
        if (gone) {
            if (coh_state_need(s, a, COH_READ_CODE | COH_READ_EXISTS) == COH_VIEW_NEED) {
                return COH_VIEW_NEED;
            }
            a->flags |= COH_ACCT_REMOVED;
        }
    }
    return COH_VIEW_OK;
}

typedef struct {
    coh_state_t *state;
    coh_write_t *writes;
    uint32_t cnt;
    uint32_t cap;
} diff_t;

static coh_write_t *add_write(diff_t *d)
{
    d->writes = coh_arena_grow(
        &d->state->arena, d->writes, d->cnt, &d->cap, (size_t)d->cnt + 1, sizeof(*d->writes));
    return &d->writes[d->cnt++];
}

static coh_write_code_t *new_write_code(diff_t *d)
{
    return coh_arena_alloc(&d->state->arena, sizeof(coh_write_code_t));
}

static void diff_removed(diff_t *d, coh_account_t const *a)
{
    if ((a->base.flags & COH_ACCOUNT_EXISTS) == 0) {
        return;
    }
    bool had_storage = coh_value_has_code(&a->base) || (a->base.flags & COH_ACCOUNT_HAS_STORAGE);
    coh_write_code_t *code = new_write_code(d);
    *code = (coh_write_code_t){.generation = a->base.generation + (had_storage ? 1 : 0)};
    *add_write(d) =
        (coh_write_t){.key   = coh_key_account(&a->addr),
                      .code  = code,
                      .flags = COH_WRITE_GONE | COH_WRITE_NONCE | COH_WRITE_VALUE | COH_WRITE_CODE};
}

/* Storage of an account without code or nonce: creation that returned no code did that before EIP-161. */
static bool is_left_with_storage(coh_state_t const *s, coh_account_t const *a)
{
    if (s->fork >= COH_FORK_SPURIOUS || (a->flags & COH_ACCT_CREATED) == 0 || a->cur.nonce != 0 ||
        coh_value_has_code(&a->cur)) {
        return false;
    }
    for (coh_slot_t const *slot = a->slots; slot != NULL; slot = slot->next) {
        if (!coh_u256_is_zero(&slot->cur)) {
            return true;
        }
    }
    return false;
}

static void diff_account(diff_t *d, coh_account_t const *a)
{
    coh_write_t w = {.flags = 0};
    if (a->cur.nonce != a->base.nonce) {
        w.flags |= COH_WRITE_NONCE;
        w.nonce = a->cur.nonce;
    }
    if (!coh_u256_eq(&a->cur.word, &a->base.word)) {
        w.flags |= COH_WRITE_DELTA;
        if (coh_u256_sub(&w.word, &a->cur.word, &a->base.word)) {
            (void)coh_u256_sub(&w.word, &a->base.word, &a->cur.word);
            w.flags |= COH_WRITE_NEGATIVE;
        }
    }
    uint32_t storage = a->cur.flags & COH_ACCOUNT_HAS_STORAGE; /* a patch may change it */
    if (is_left_with_storage(d->state, a)) {
        storage = COH_ACCOUNT_HAS_STORAGE; /* EIP-7610 */
    }
    if (!coh_hash_eq(&a->cur.code_hash, &a->base.code_hash) ||
        storage != (a->base.flags & COH_ACCOUNT_HAS_STORAGE)) {
        coh_write_code_t *code = new_write_code(d);
        *code                  = (coh_write_code_t){.hash       = a->cur.code_hash,
                                                    .generation = a->base.generation,
                                                    .flags      = storage,
                                                    .bytes      = a->new_code};
        w.flags |= COH_WRITE_CODE;
        w.code = code;
    }
    if (w.flags == 0 && d->state->fork < COH_FORK_SPURIOUS &&
        (a->cur.flags & ~a->base.flags & COH_ACCOUNT_EXISTS) != 0) {
        w.flags |= COH_WRITE_EXISTS;
    }
    if (w.flags != 0) {
        w.key         = coh_key_account(&a->addr);
        *add_write(d) = w;
    }
    for (coh_slot_t const *slot = a->slots; slot != NULL; slot = slot->next) {
        if (!coh_u256_eq(&slot->cur, &slot->base)) {
            *add_write(d) =
                (coh_write_t){.key   = coh_key_slot(&a->addr, a->base.generation, &slot->key),
                              .word  = slot->cur,
                              .flags = COH_WRITE_VALUE};
        }
    }
}

coh_write_t const *coh_state_diff(coh_state_t *s, uint32_t *cnt)
{
    diff_t d = {.state  = s,
                .writes = coh_arena_alloc(&s->arena, WRITES_MIN * sizeof(coh_write_t)),
                .cap    = WRITES_MIN};
    for (coh_account_t const *a = s->first; a != NULL; a = a->next) {
        if (a->flags & COH_ACCT_REMOVED) {
            diff_removed(&d, a);
        } else {
            diff_account(&d, a);
        }
    }
    *cnt = d.cnt;
    return d.writes;
}

void coh_state_reads(coh_state_t const *s, coh_state_read_fn *fn, void *arg)
{
    for (coh_account_t const *a = s->first; a != NULL; a = a->next) {
        if (a->have != 0) {
            coh_key_t key = coh_key_account(&a->addr);
            fn(arg, &key, a->have);
        }
        for (coh_slot_t const *slot = a->slots; slot != NULL; slot = slot->next) {
            if (slot->read) {
                coh_key_t key = coh_key_slot(&a->addr, a->base.generation, &slot->key);
                fn(arg, &key, COH_READ_WORD);
            }
        }
    }
    for (uint32_t i = 0; s->block_hashes != NULL && i < BLOCK_HASH_WINDOW; i++) {
        if (s->block_hashes[i].have) {
            coh_key_t key = {.slot = coh_u256(s->block_hashes[i].number),
                             .kind = COH_KEY_BLOCK_HASH};
            fn(arg, &key, COH_READ_WORD);
        }
    }
}
