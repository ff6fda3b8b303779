/* The overlay of one transaction against a model that copies everything at each mark, over a view that answers every first question by "not yet"
   and lies about all that was not asked for; and one by one the cases that have bitten other engines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/alloc.h"
#include "common/base/rng.h"
#include "common/crypto/keccak.h"
#include "common/state/memview.h"
#include "common/state/state.h"
#include "tests/support/ids.h"
#include "tests/support/seed.h"

static coh_u256_t const huge = {{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}};

/* Analysis that only counts: what is made must be given back. */
static int code_cnt;

static coh_code_t *make_code(coh_bytes_t bytes, coh_fork_t fork, coh_hash_t const *hash)
{
    (void)bytes;
    (void)fork;
    coh_hash_t *copy = coh_calloc(1, sizeof(*copy));
    *copy            = *hash;
    code_cnt++;
    return (coh_code_t *)copy;
}

static void release_code(coh_code_t const *code)
{
    code_cnt--;
    free((void *)(uintptr_t)code);
}

static coh_coder_t const coder = {.make = make_code, .release = release_code};

/* Repeats a call of the overlay until the view has everything; no call needs more than a few turns. */
#define UNTIL(call)                                         \
    for (int turn_ = 0; (call) == COH_VIEW_NEED; turn_++) { \
        assert_true(turn_ < 200);                           \
    }

static coh_bytes_t code_of(uint32_t number, coh_hash_t *hash)
{
    static uint8_t codes[256][2];
    codes[number][0] = (uint8_t)number;
    codes[number][1] = 0x5b;
    coh_keccak256(hash, codes[number], 2);
    return coh_bytes(codes[number], 2);
}

/* The model: a few accounts with a few slots each, in plain memory. */

#define ACCOUNTS 6u
#define SLOTS    4u
#define DEPTH    12u
#define LOGS     64u

typedef struct {
    bool exists, warm, touched, created, destroyed;
    uint64_t nonce;
    coh_u256_t balance;
    uint32_t code; /* 0: none */
    coh_u256_t slots[SLOTS];
    coh_u256_t transient[SLOTS];
    bool warm_slots[SLOTS];
} model_account_t;

typedef struct {
    model_account_t accounts[ACCOUNTS];
    int64_t refund;
    uint32_t log_cnt;
    uint8_t logs[LOGS];
} model_t;

typedef struct {
    coh_rng_t rng;
    coh_fork_t fork;
    coh_memview_t *mv;
    coh_state_t state;
    coh_account_t *accounts[ACCOUNTS];
    model_t model;
    model_t at_mark[DEPTH];
    coh_mark_t marks[DEPTH];
    uint32_t depth;
    model_t at_begin;
} run_t;

static bool model_is_empty(model_account_t const *m)
{
    return m->nonce == 0 && m->code == 0 && coh_u256_is_zero(&m->balance);
}

static bool model_has_storage(model_account_t const *m)
{
    for (uint32_t i = 0; i < SLOTS; i++) {
        if (!coh_u256_is_zero(&m->slots[i])) {
            return true;
        }
    }
    return false;
}

static void assert_word(coh_u256_t const *got, coh_u256_t const *want)
{
    for (int i = 0; i < 4; i++) {
        assert_int_equal(got->w[i], want->w[i]);
    }
}

static void touch(run_t *r, uint32_t i)
{
    model_account_t *m = &r->model.accounts[i];
    coh_state_set_flags(&r->state, r->accounts[i], COH_ACCT_TOUCHED);
    m->touched = true;
    m->exists  = m->exists || r->fork < COH_FORK_SPURIOUS;
}

static coh_u256_t small(run_t *r) { return coh_u256(coh_rng_below(&r->rng, 40)); }

static void do_credit(run_t *r, uint32_t i)
{
    model_account_t *m = &r->model.accounts[i];
    coh_u256_t amount  = small(r);
    touch(r, i);
    coh_state_credit(&r->state, r->accounts[i], &amount);
    (void)coh_u256_add(&m->balance, &m->balance, &amount);
    m->exists = m->exists || !coh_u256_is_zero(&amount);
}

static void do_debit(run_t *r, uint32_t i)
{
    model_account_t *m = &r->model.accounts[i];
    coh_account_t *a   = r->accounts[i];
    coh_u256_t amount  = coh_rng_percent(&r->rng, 5) ? huge : small(r);
    UNTIL(coh_state_read(&r->state, a, COH_READ_AT_LEAST, &amount));
    bool enough = !coh_u256_lt(&a->cur.word, &amount);
    assert_int_equal(enough, !coh_u256_lt(&m->balance, &amount));
    if (enough) {
        touch(r, i);
        coh_state_debit(&r->state, a, &amount);
        (void)coh_u256_sub(&m->balance, &m->balance, &amount);
    }
}

static void do_create(run_t *r, uint32_t i)
{
    model_account_t *m = &r->model.accounts[i];
    coh_account_t *a   = r->accounts[i];
    UNTIL(coh_state_need(&r->state, a, COH_READ_NONCE | COH_READ_CODE));
    bool taken = a->cur.nonce != 0 || coh_value_has_code(&a->cur) ||
                 (a->cur.flags & COH_ACCOUNT_HAS_STORAGE) != 0 ||
                 (a->flags & COH_ACCT_CREATED) != 0;
    assert_int_equal(taken, m->nonce != 0 || m->code != 0 || m->created || model_has_storage(m));
    if (taken) {
        return;
    }
    coh_state_set_flags(&r->state, a, COH_ACCT_CREATED | COH_ACCT_TOUCHED);
    m->created = true;
    m->touched = true;
    m->exists  = m->exists || r->fork < COH_FORK_SPURIOUS;
    if (r->fork >= COH_FORK_SPURIOUS) {
        coh_state_set_nonce(&r->state, a, 1);
        m->nonce  = 1;
        m->exists = true;
    }
}

static void do_code(run_t *r, uint32_t i)
{
    model_account_t *m = &r->model.accounts[i];
    coh_account_t *a   = r->accounts[i];
    if (!m->created && (m->nonce == 0 || r->fork < COH_FORK_PRAGUE)) { /* EIP-7702 */
        return;
    }
    uint32_t code = m->created ? 1 + (uint32_t)coh_rng_below(&r->rng, 200)
                               : (uint32_t)coh_rng_below(&r->rng, 3);
    coh_hash_t hash;
    coh_bytes_t bytes = code_of(code, &hash);
    UNTIL(coh_state_need(&r->state, a, COH_READ_CODE));
    coh_state_set_code(&r->state, a, code == 0 ? (coh_bytes_t){0} : bytes, &hash);
    m->code   = code;
    m->exists = true;
}

static void do_slot(run_t *r, uint32_t i)
{
    model_account_t *m = &r->model.accounts[i];
    coh_account_t *a   = r->accounts[i];
    uint32_t n         = (uint32_t)coh_rng_below(&r->rng, SLOTS);
    coh_u256_t key     = coh_u256(n);
    coh_u256_t value   = coh_u256(coh_rng_below(&r->rng, 3));
    coh_slot_t *slot   = NULL;
    if (coh_rng_percent(&r->rng, 20)) {
        slot = coh_state_slot_record(&r->state, a, &key);
        coh_state_warm_slot(&r->state, slot);
        m->warm_slots[n] = true;
        return;
    }
    if (coh_rng_percent(&r->rng, 20)) {
        slot = coh_state_slot_record(&r->state, a, &key);
        assert_word(&slot->transient, &m->transient[n]);
        coh_state_set_transient(&r->state, slot, &value);
        m->transient[n] = value;
        return;
    }
    UNTIL(coh_state_need(&r->state, a, COH_READ_CODE));
    UNTIL(coh_state_slot(&r->state, &slot, a, &key));
    assert_word(&slot->cur, &m->slots[n]);
    assert_word(&slot->base, &r->at_begin.accounts[i].slots[n]);
    assert_int_equal(slot->warm, m->warm_slots[n]);
    if (m->created || m->code != 0) {
        coh_state_set_slot(&r->state, slot, &value);
        m->slots[n] = value;
    }
}

static void do_destroy(run_t *r, uint32_t i)
{
    model_account_t *m = &r->model.accounts[i];
    coh_account_t *a   = r->accounts[i];
    if (!m->created && m->code == 0) {
        return;
    }
    UNTIL(coh_state_need(&r->state, a, COH_READ_WORD));
    coh_u256_t all = a->cur.word;
    assert_word(&all, &m->balance);
    uint32_t heir = (uint32_t)coh_rng_below(&r->rng, ACCOUNTS);
    coh_state_debit(&r->state, a, &all);
    m->balance = COH_U256_ZERO;
    if (heir != i) {
        touch(r, heir);
        coh_state_credit(&r->state, r->accounts[heir], &all);
        model_account_t *h = &r->model.accounts[heir];
        (void)coh_u256_add(&h->balance, &h->balance, &all);
        h->exists = h->exists || !coh_u256_is_zero(&all);
    }
    coh_state_set_flags(&r->state, a, COH_ACCT_DESTROYED);
    m->destroyed = true;
}

static void do_look(run_t *r, uint32_t i)
{
    model_account_t const *m = &r->model.accounts[i];
    coh_account_t *a         = r->accounts[i];
    bool is                  = false;
    coh_hash_t hash;
    switch (coh_rng_below(&r->rng, 7)) {
    case 0:
        UNTIL(coh_state_need(&r->state, a, COH_READ_WORD));
        assert_word(&a->cur.word, &m->balance);
        break;
    case 1:
        UNTIL(coh_state_need(&r->state, a, COH_READ_NONCE));
        assert_int_equal(a->cur.nonce, m->nonce);
        break;
    case 2:
        UNTIL(coh_state_code(&r->state, a));
        assert_int_equal(a->code != NULL, m->code != 0);
        if (m->code != 0) {
            (void)code_of(m->code, &hash);
            assert_memory_equal(&hash, &a->cur.code_hash, sizeof(hash));
            assert_memory_equal(&hash, a->code, sizeof(hash));
        }
        break;
    case 3:
        UNTIL(coh_state_is_dead(&r->state, a, &is));
        assert_int_equal(is, r->fork < COH_FORK_SPURIOUS ? !m->exists : model_is_empty(m));
        break;
    case 4:
        UNTIL(coh_state_exists(&r->state, a, &is));
        assert_int_equal(is, m->exists);
        break;
    case 5:
        assert_int_equal((a->flags & COH_ACCT_WARM) != 0, m->warm);
        coh_state_set_flags(&r->state, a, COH_ACCT_WARM);
        r->model.accounts[i].warm = true;
        break;
    default:
        r->state.refund += 3 - (int64_t)coh_rng_below(&r->rng, 6);
        r->model.refund = r->state.refund;
    }
}

static void do_log(run_t *r, uint32_t i)
{
    if (r->model.log_cnt < LOGS) {
        uint8_t data  = (uint8_t)coh_rng_next(&r->rng);
        coh_log_t log = {.addr = coh_test_nth_addr(i), .topic_cnt = 1, .data = coh_bytes(&data, 1)};
        coh_state_add_log(&r->state, &log);
        r->model.logs[r->model.log_cnt++] = data;
    }
}

static void do_nonce(run_t *r, uint32_t i)
{
    model_account_t *m = &r->model.accounts[i];
    UNTIL(coh_state_need(&r->state, r->accounts[i], COH_READ_NONCE));
    if (m->nonce != 0 || m->code != 0) {
        coh_state_set_nonce(&r->state, r->accounts[i], ++m->nonce);
    }
}

static void do_frame(run_t *r)
{
    if (coh_rng_percent(&r->rng, 55) && r->depth < DEPTH) {
        r->at_mark[r->depth] = r->model;
        r->marks[r->depth++] = coh_state_mark(&r->state);
    } else if (r->depth > 0) {
        uint32_t to = (uint32_t)coh_rng_below(&r->rng, r->depth);
        if (coh_rng_percent(&r->rng, 60)) {
            coh_state_rollback(&r->state, r->marks[to]);
            r->model = r->at_mark[to];
        }
        r->depth = to;
    }
}

static void begin(run_t *r)
{
    coh_memview_begin_tx(r->mv);
    coh_state_begin(&r->state, coh_memview_view(r->mv), r->fork);
    for (uint32_t i = 0; i < ACCOUNTS; i++) {
        coh_addr_t addr    = coh_test_nth_addr(i);
        model_account_t *m = &r->model.accounts[i];
        r->accounts[i]     = coh_state_account(&r->state, &addr);
        m->warm = m->touched = m->created = m->destroyed = false;
        memset(m->transient, 0, sizeof(m->transient));
        memset(m->warm_slots, 0, sizeof(m->warm_slots));
    }
    r->model.refund  = 0;
    r->model.log_cnt = 0;
    r->depth         = 0;
    r->at_begin      = r->model;
}

static coh_outcome_t diff(coh_state_t *s)
{
    UNTIL(coh_state_finalize(s));
    coh_outcome_t out = {.verdict = COH_TX_OK};
    out.writes        = coh_state_diff(s, &out.write_cnt);
    return out;
}

static void end(run_t *r)
{
    assert_int_equal(r->state.refund, r->model.refund);
    assert_int_equal(r->state.log_cnt, r->model.log_cnt);
    for (uint32_t i = 0; i < r->model.log_cnt; i++) {
        assert_int_equal(r->state.logs[i].data.n, 1);
        assert_int_equal(r->state.logs[i].data.p[0], r->model.logs[i]);
    }
    for (uint32_t i = 0; i < ACCOUNTS; i++) {
        model_account_t *m = &r->model.accounts[i];
        if ((m->destroyed && (r->fork < COH_FORK_CANCUN || m->created)) ||
            (m->touched && r->fork >= COH_FORK_SPURIOUS && model_is_empty(m))) {
            *m = (model_account_t){.exists = false};
        }
    }
    coh_outcome_t out = diff(&r->state);
    for (uint32_t i = 0; i < out.write_cnt; i++) {
        for (uint32_t j = 0; j < i; j++) {
            assert_false(coh_key_eq(&out.writes[i].key, &out.writes[j].key));
        }
        /* Nothing is written that changes nothing; before EIP-161 an account may be touched blindly. */
        coh_write_t const *w = &out.writes[i];
        if (w->key.kind == COH_KEY_ACCOUNT && w->flags != COH_WRITE_EXISTS) {
            coh_value_t old = coh_memview_account(r->mv, &w->key.addr);
            coh_value_t new = old;
            coh_write_apply(&new, w);
            assert_false(coh_value_eq(&old, &new));
        }
    }
    coh_memview_apply(r->mv, &out);
    for (uint32_t i = 0; i < ACCOUNTS; i++) {
        model_account_t const *m = &r->model.accounts[i];
        coh_addr_t addr          = coh_test_nth_addr(i);
        coh_value_t v            = coh_memview_account(r->mv, &addr);
        coh_hash_t hash          = {{0}};
        assert_int_equal((v.flags & COH_ACCOUNT_EXISTS) != 0, m->exists);
        assert_word(&v.word, &m->balance);
        assert_int_equal(v.nonce, m->nonce);
        if (m->code != 0) {
            coh_bytes_t want  = code_of(m->code, &hash);
            coh_bytes_t bytes = coh_memview_code(r->mv, &hash);
            assert_int_equal(bytes.n, want.n);
            assert_memory_equal(bytes.p, want.p, want.n);
        }
        assert_memory_equal(&v.code_hash, &hash, sizeof(hash));
        for (uint32_t n = 0; n < SLOTS; n++) {
            coh_u256_t key  = coh_u256(n);
            coh_u256_t word = coh_memview_slot(r->mv, &addr, &key);
            assert_word(&word, &m->slots[n]);
        }
    }
}

static void random_transactions(uint64_t seed, coh_fork_t fork, bool stutter)
{
    run_t *r = coh_calloc(1, sizeof(*r));
    r->fork  = fork;
    r->mv    = coh_memview_new(&coder, fork);
    coh_rng_seed(&r->rng, seed);
    coh_memview_set_stutter(r->mv, stutter);
    coh_state_init(&r->state, &coder);
    for (uint32_t i = 0; i < ACCOUNTS / 2; i++) {
        coh_addr_t addr    = coh_test_nth_addr(i);
        model_account_t *m = &r->model.accounts[i];
        *m                 = (model_account_t){.exists = true, .balance = small(r), .nonce = i};
        coh_memview_put_account(r->mv, &addr, m->nonce, &m->balance, (coh_bytes_t){0});
    }
    for (int tx = 0; tx < 30; tx++) {
        begin(r);
        uint32_t steps = 1 + (uint32_t)coh_rng_below(&r->rng, 80);
        for (uint32_t step = 0; step < steps; step++) {
            uint32_t i = (uint32_t)coh_rng_below(&r->rng, ACCOUNTS);
            switch (coh_rng_below(&r->rng, 14)) {
            case 0: do_credit(r, i); break;
            case 1:
            case 2: do_debit(r, i); break;
            case 3: do_create(r, i); break;
            case 4: do_code(r, i); break;
            case 5:
            case 6: do_slot(r, i); break;
            case 7: do_log(r, i); break;
            case 8: do_nonce(r, i); break;
            case 9: touch(r, i); break;
            case 10:
                if (coh_rng_percent(&r->rng, 25)) {
                    do_destroy(r, i);
                }
                break;
            case 11: do_look(r, i); break;
            default: do_frame(r);
            }
        }
        end(r);
    }
    coh_state_fini(&r->state);
    coh_memview_free(r->mv);
    free(r);
    assert_int_equal(code_cnt, 0);
}

static void state_equals_a_model_that_copies_everything(void **state)
{
    (void)state;
    uint64_t seed                   = coh_test_seed();
    static coh_fork_t const forks[] = {COH_FORK_FRONTIER,
                                       COH_FORK_TANGERINE,
                                       COH_FORK_SPURIOUS,
                                       COH_FORK_LONDON,
                                       COH_FORK_CANCUN,
                                       COH_FORK_PRAGUE};
    for (uint64_t round = 0; round < 100; round++) {
        for (size_t i = 0; i < COH_CNT(forks); i++) {
            random_transactions(seed + round, forks[i], round % 2 == 0);
        }
    }
}

/* Cases by name. */

typedef struct {
    coh_memview_t *mv;
    coh_state_t s;
    coh_fork_t fork;
} fixture_t;

static void start(fixture_t *f)
{
    coh_memview_begin_tx(f->mv);
    coh_state_begin(&f->s, coh_memview_view(f->mv), f->fork);
}

static void open_fixture(fixture_t *f, coh_fork_t fork)
{
    f->fork = fork;
    f->mv   = coh_memview_new(&coder, fork);
    coh_memview_set_stutter(f->mv, true);
    coh_state_init(&f->s, &coder);
    start(f);
}

static void close_fixture(fixture_t *f)
{
    coh_state_fini(&f->s);
    coh_memview_free(f->mv);
}

static coh_account_t *get(fixture_t *f, uint32_t number)
{
    coh_addr_t addr = coh_test_nth_addr(number);
    return coh_state_account(&f->s, &addr);
}

static void put(fixture_t *f, uint32_t number, uint64_t nonce, uint64_t balance, uint32_t code)
{
    coh_addr_t addr = coh_test_nth_addr(number);
    coh_u256_t word = coh_u256(balance);
    coh_hash_t hash;
    coh_memview_put_account(
        f->mv, &addr, nonce, &word, code == 0 ? (coh_bytes_t){0} : code_of(code, &hash));
}

static void put_slot(fixture_t *f, uint32_t number, uint64_t key, uint64_t value)
{
    coh_addr_t addr = coh_test_nth_addr(number);
    coh_u256_t slot = coh_u256(key);
    coh_u256_t word = coh_u256(value);
    coh_memview_put_slot(f->mv, &addr, &slot, &word);
}

static coh_slot_t *slot_at(fixture_t *f, coh_account_t *a, uint64_t key)
{
    coh_u256_t word  = coh_u256(key);
    coh_slot_t *slot = NULL;
    UNTIL(coh_state_need(&f->s, a, COH_READ_CODE));
    UNTIL(coh_state_slot(&f->s, &slot, a, &word));
    return slot;
}

/* Finishes the transaction, makes its writes part of the state, and begins the next. Returns how many writes it had; the last one into *out. */
static uint32_t finish(fixture_t *f, coh_write_t *out)
{
    coh_outcome_t outcome = diff(&f->s);
    coh_memview_apply(f->mv, &outcome);
    if (outcome.write_cnt != 0) {
        *out = outcome.writes[outcome.write_cnt - 1];
    }
    start(f);
    return outcome.write_cnt;
}

static void count_read(void *arg, coh_key_t const *key, uint32_t fields)
{
    (void)key;
    *(uint32_t *)arg += 1 + 100 * fields;
}

/* Number of keys read, plus 100 times the sum of the fields. */
static uint32_t reads(fixture_t *f)
{
    uint32_t sum = 0;
    coh_state_reads(&f->s, count_read, &sum);
    return sum;
}

#define GONE (COH_WRITE_GONE | COH_WRITE_NONCE | COH_WRITE_VALUE | COH_WRITE_CODE)

static void create(fixture_t *f, coh_account_t *a, uint32_t code)
{
    UNTIL(coh_state_need(&f->s, a, COH_READ_NONCE | COH_READ_CODE));
    coh_state_set_flags(&f->s, a, COH_ACCT_CREATED | COH_ACCT_TOUCHED);
    coh_state_set_nonce(&f->s, a, 1);
    coh_hash_t hash;
    coh_bytes_t bytes = code_of(code, &hash);
    coh_state_set_code(&f->s, a, bytes, &hash);
}

static void state_destroyed_storage_stays_away_after_recreation(void **state)
{
    (void)state;
    coh_fork_t const forks[] = {COH_FORK_CONSTANTINOPLE, COH_FORK_SHANGHAI};
    for (size_t i = 0; i < COH_CNT(forks); i++) {
        fixture_t f;
        open_fixture(&f, forks[i]);
        put(&f, 1, 1, 5, 7);
        put_slot(&f, 1, 1, 11);
        put_slot(&f, 1, 2, 22);
        coh_account_t *a = get(&f, 1);
        coh_u256_t three = coh_u256(3);
        coh_state_set_slot(&f.s, slot_at(&f, a, 2), &three);
        coh_state_set_flags(&f.s, a, COH_ACCT_DESTROYED);
        coh_write_t w;
        assert_int_equal(finish(&f, &w), 1); /* the slot is not among them */
        assert_int_equal(w.flags, GONE);
        coh_addr_t addr = coh_test_nth_addr(1);
        coh_value_t v   = coh_memview_account(f.mv, &addr);
        assert_int_equal(v.generation, 1);
        assert_int_equal(v.flags, 0);

        create(&f, a = get(&f, 1), 8);
        assert_true(coh_u256_is_zero(&slot_at(&f, a, 1)->cur));
        coh_state_set_slot(&f.s, slot_at(&f, a, 2), &three);
        assert_int_equal(finish(&f, &w), 2);
        assert_int_equal(w.key.generation, 1);
        a               = get(&f, 1);
        coh_u256_t zero = COH_U256_ZERO;
        assert_word(&slot_at(&f, a, 1)->base, &zero);
        assert_word(&slot_at(&f, a, 2)->base, &three);
        close_fixture(&f);
    }
}

static void state_since_cancun_only_what_is_new_is_destroyed(void **state)
{
    (void)state;
    fixture_t f;
    open_fixture(&f, COH_FORK_CANCUN);
    put(&f, 1, 1, 5, 7);
    put_slot(&f, 1, 1, 11);
    coh_account_t *old = get(&f, 1);
    coh_state_set_flags(&f.s, old, COH_ACCT_DESTROYED | COH_ACCT_TOUCHED);
    UNTIL(coh_state_need(&f.s, old, COH_READ_WORD));
    coh_state_debit(&f.s, old, &(coh_u256_t){{5}});
    coh_account_t *fresh = get(&f, 2);
    create(&f, fresh, 8);
    coh_slot_t *slot = NULL; /* known to be zero: EIP-7610 */
    assert_int_equal(coh_state_slot(&f.s, &slot, fresh, &(coh_u256_t){{1}}), COH_VIEW_OK);
    coh_state_set_slot(&f.s, slot, &(coh_u256_t){{9}});
    coh_state_set_flags(&f.s, fresh, COH_ACCT_DESTROYED);
    coh_write_t w;
    assert_int_equal(finish(&f, &w), 1);
    assert_int_equal(w.flags, COH_WRITE_DELTA | COH_WRITE_NEGATIVE);
    assert_true(coh_addr_eq(&w.key.addr, &(coh_addr_t){{0xad, [16] = 1}}));
    /* Money at the address of a new one that goes again: the account is removed, its generation unused. */
    put(&f, 3, 0, 4, 0);
    create(&f, get(&f, 3), 8);
    coh_state_set_flags(&f.s, get(&f, 3), COH_ACCT_DESTROYED);
    assert_int_equal(finish(&f, &w), 1);
    assert_int_equal(w.flags, GONE);
    coh_addr_t addr = coh_test_nth_addr(3);
    assert_int_equal(coh_memview_account(f.mv, &addr).generation, 0);
    close_fixture(&f);
}

static void state_money_sent_to_the_destroyed_is_gone(void **state)
{
    (void)state;
    fixture_t f; /* the coinbase destroys itself, and is then paid the tip */
    open_fixture(&f, COH_FORK_SHANGHAI);
    put(&f, 1, 1, 5, 7);
    coh_account_t *a = get(&f, 1);
    coh_state_set_flags(&f.s, a, COH_ACCT_DESTROYED);
    coh_state_credit(&f.s, a, &huge);
    coh_write_t w;
    assert_int_equal(finish(&f, &w), 1);
    assert_int_equal(w.flags, GONE);
    assert_true(coh_u256_is_zero(&w.word));
    close_fixture(&f);
}

static void state_empty_accounts_by_fork(void **state)
{
    (void)state;
    fixture_t f;
    coh_write_t w;
    /* Before EIP-161 a touch makes an account, and an empty one stays. */
    open_fixture(&f, COH_FORK_TANGERINE);
    coh_state_set_flags(&f.s, get(&f, 1), COH_ACCT_TOUCHED);
    assert_int_equal(reads(&f), 0);
    assert_int_equal(finish(&f, &w), 1);
    assert_int_equal(w.flags, COH_WRITE_EXISTS);
    bool dead = true;
    UNTIL(coh_state_is_dead(&f.s, get(&f, 1), &dead));
    assert_false(dead);
    coh_mark_t mark = coh_state_mark(&f.s);
    coh_state_set_flags(&f.s, get(&f, 2), COH_ACCT_TOUCHED);
    UNTIL(coh_state_is_dead(&f.s, get(&f, 2), &dead));
    assert_false(dead);
    coh_state_rollback(&f.s, mark);
    UNTIL(coh_state_is_dead(&f.s, get(&f, 2), &dead));
    assert_true(dead);
    assert_int_equal(finish(&f, &w), 0);
    close_fixture(&f);
    /* Since then it makes none, and removes an empty one. */
    open_fixture(&f, COH_FORK_SPURIOUS);
    coh_state_set_flags(&f.s, get(&f, 1), COH_ACCT_TOUCHED);
    assert_int_equal(finish(&f, &w), 0);
    put(&f, 1, 0, 0, 0);
    UNTIL(coh_state_is_dead(&f.s, get(&f, 1), &dead));
    assert_true(dead);
    assert_int_equal(finish(&f, &w), 0); /* looked at, not touched */
    coh_state_set_flags(&f.s, get(&f, 1), COH_ACCT_TOUCHED);
    assert_int_equal(finish(&f, &w), 1);
    assert_int_equal(w.flags, GONE);
    assert_int_equal(w.code->generation, 0);
    close_fixture(&f);
}

static void state_touch_of_ripemd_outlives_the_rollback(void **state)
{
    (void)state;
    for (coh_fork_t fork = COH_FORK_TANGERINE; fork <= COH_FORK_SPURIOUS; fork++) {
        for (uint8_t number = 2; number <= 4; number++) {
            fixture_t f;
            open_fixture(&f, fork);
            coh_addr_t addr = {{[19] = number}};
            coh_u256_t zero = COH_U256_ZERO;
            coh_memview_put_account(f.mv, &addr, 0, &zero, (coh_bytes_t){0});
            coh_mark_t mark = coh_state_mark(&f.s);
            coh_state_set_flags(
                &f.s, coh_state_account(&f.s, &addr), COH_ACCT_TOUCHED | COH_ACCT_WARM);
            coh_state_rollback(&f.s, mark);
            assert_false(coh_state_account(&f.s, &addr)->flags & COH_ACCT_WARM);
            coh_write_t w;
            uint32_t want = number == 3 && fork == COH_FORK_SPURIOUS;
            assert_int_equal(finish(&f, &w), want);
            close_fixture(&f);
        }
    }
}

static void state_credits_read_nothing(void **state)
{
    (void)state;
    fixture_t f;
    open_fixture(&f, COH_FORK_PRAGUE);
    coh_account_t *a = get(&f, 1);
    coh_state_set_flags(&f.s, a, COH_ACCT_TOUCHED);
    coh_state_credit(&f.s, a, &(coh_u256_t){{7}});
    bool dead = true;
    assert_int_equal(coh_state_is_dead(&f.s, a, &dead), COH_VIEW_OK);
    assert_false(dead);
    coh_write_t w;
    coh_outcome_t out = diff(&f.s);
    assert_int_equal(reads(&f), 0);
    assert_int_equal(out.write_cnt, 1);
    assert_int_equal(finish(&f, &w), 1);
    assert_int_equal(w.flags, COH_WRITE_DELTA);
    assert_int_equal(w.word.w[0], 7);
    close_fixture(&f);
}

static void state_compares_without_the_exact_balance(void **state)
{
    (void)state;
    fixture_t f;
    open_fixture(&f, COH_FORK_PRAGUE);
    put(&f, 1, 1, 100, 0);
    coh_account_t *a        = get(&f, 1);
    coh_u256_t const sixty  = {{60}};
    coh_u256_t const forty  = {{40}};
    coh_u256_t const twenty = {{20}};
    UNTIL(coh_state_read(&f.s, a, COH_READ_AT_LEAST, &sixty));
    assert_false(coh_u256_lt(&a->cur.word, &sixty));
    coh_state_debit(&f.s, a, &sixty);
    /* What follows from what is known asks nobody. */
    assert_int_equal(coh_state_read(&f.s, a, COH_READ_AT_LEAST, &COH_U256_ZERO), COH_VIEW_OK);
    UNTIL(coh_state_read(&f.s, a, COH_READ_AT_LEAST, &sixty));
    assert_true(coh_u256_lt(&a->cur.word, &sixty));
    assert_int_equal(coh_state_read(&f.s, a, COH_READ_AT_LEAST, &huge), COH_VIEW_OK);
    assert_true(coh_u256_lt(&a->cur.word, &huge));
    UNTIL(coh_state_read(&f.s, a, COH_READ_AT_LEAST, &forty));
    assert_false(coh_u256_lt(&a->cur.word, &forty));
    assert_int_equal(reads(&f), 1 + 100 * COH_READ_AT_LEAST);
    coh_memview_begin_tx(f.mv); /* from here on, whoever asks is put off */
    coh_u256_t const fifty = {{50}};
    assert_int_equal(coh_state_read(&f.s, a, COH_READ_AT_LEAST, &twenty), COH_VIEW_OK);
    assert_false(coh_u256_lt(&a->cur.word, &twenty));
    assert_int_equal(coh_state_read(&f.s, a, COH_READ_AT_LEAST, &sixty), COH_VIEW_OK);
    assert_true(coh_u256_lt(&a->cur.word, &sixty));
    assert_int_equal(coh_state_read(&f.s, a, COH_READ_AT_LEAST, &fifty), COH_VIEW_NEED);
    /* The exact one moves under a rollback. */
    coh_mark_t mark = coh_state_mark(&f.s);
    coh_state_debit(&f.s, a, &twenty);
    UNTIL(coh_state_need(&f.s, a, COH_READ_WORD));
    assert_int_equal(a->cur.word.w[0], 20);
    coh_state_rollback(&f.s, mark);
    assert_word(&a->cur.word, &forty);
    coh_write_t w;
    assert_int_equal(finish(&f, &w), 1);
    assert_int_equal(w.flags, COH_WRITE_DELTA | COH_WRITE_NEGATIVE);
    assert_word(&w.word, &sixty);
    close_fixture(&f);
}

static void state_there_and_back_is_no_write(void **state)
{
    (void)state;
    fixture_t f;
    open_fixture(&f, COH_FORK_PRAGUE);
    put(&f, 1, 1, 100, 7);
    put_slot(&f, 1, 1, 11);
    coh_account_t *a     = get(&f, 1);
    coh_slot_t *slot     = slot_at(&f, a, 1);
    coh_u256_t const old = slot->cur;
    coh_state_set_slot(&f.s, slot, &huge);
    coh_state_set_slot(&f.s, slot, &old);
    coh_state_set_flags(&f.s, a, COH_ACCT_TOUCHED | COH_ACCT_WARM);
    coh_state_credit(&f.s, a, &(coh_u256_t){{7}});
    coh_state_debit(&f.s, a, &(coh_u256_t){{7}});
    coh_hash_t hash;
    coh_bytes_t bytes = code_of(9, &hash);
    coh_state_set_code(&f.s, a, bytes, &hash);
    UNTIL(coh_state_code(&f.s, a));
    bytes = code_of(7, &hash);
    coh_state_set_code(&f.s, a, bytes, &hash);
    coh_write_t w;
    assert_int_equal(finish(&f, &w), 0);
    close_fixture(&f);
    assert_int_equal(code_cnt, 0);
}

static void state_delegation_keeps_the_storage(void **state)
{
    (void)state;
    fixture_t f;
    open_fixture(&f, COH_FORK_PRAGUE);
    put(&f, 1, 1, 100, 7);
    put_slot(&f, 1, 1, 11);
    coh_account_t *a = get(&f, 1);
    UNTIL(coh_state_code(&f.s, a));
    assert_non_null(a->code);
    coh_hash_t hash;
    coh_bytes_t bytes = code_of(9, &hash);
    UNTIL(coh_state_need(&f.s, a, COH_READ_NONCE));
    coh_state_set_nonce(&f.s, a, 2);
    coh_state_set_code(&f.s, a, bytes, &hash);
    assert_null(a->code);
    UNTIL(coh_state_code(&f.s, a));
    assert_memory_equal(a->code, &hash, sizeof(hash));
    coh_mark_t mark = coh_state_mark(&f.s);
    coh_state_set_code(&f.s, a, (coh_bytes_t){0}, NULL);
    UNTIL(coh_state_code(&f.s, a));
    assert_null(a->code);
    coh_state_rollback(&f.s, mark);
    assert_memory_equal(a->code, &hash, sizeof(hash));
    coh_write_t w;
    assert_int_equal(finish(&f, &w), 1);
    assert_int_equal(w.flags, COH_WRITE_CODE | COH_WRITE_NONCE);
    assert_int_equal(w.nonce, 2);
    a = get(&f, 1);
    assert_int_equal(slot_at(&f, a, 1)->cur.w[0], 11);
    UNTIL(coh_state_need(&f.s, a, COH_READ_CODE));
    coh_state_set_code(&f.s, a, (coh_bytes_t){0}, NULL);
    assert_int_equal(finish(&f, &w), 1);
    assert_int_equal(w.flags, COH_WRITE_CODE);
    a = get(&f, 1);
    assert_int_equal(slot_at(&f, a, 1)->cur.w[0], 11);
    assert_false(coh_value_has_code(&a->cur));
    close_fixture(&f);
}

static void state_leaves_storage_without_code_behind(void **state)
{
    (void)state;
    fixture_t f; /* EIP-7610 */
    open_fixture(&f, COH_FORK_HOMESTEAD);
    coh_account_t *a = get(&f, 1);
    UNTIL(coh_state_need(&f.s, a, COH_READ_NONCE | COH_READ_CODE));
    coh_state_set_flags(&f.s, a, COH_ACCT_CREATED | COH_ACCT_TOUCHED);
    coh_state_set_slot(&f.s, slot_at(&f, a, 1), &huge);
    coh_write_t w;
    assert_int_equal(finish(&f, &w), 2);
    a = get(&f, 1);
    UNTIL(coh_state_need(&f.s, a, COH_READ_CODE | COH_READ_EXISTS));
    assert_int_equal(a->cur.flags, COH_ACCOUNT_EXISTS | COH_ACCOUNT_HAS_STORAGE);
    assert_word(&slot_at(&f, a, 1)->cur, &huge);
    close_fixture(&f);
}

static void state_nothing_leaks_into_the_next_transaction(void **state)
{
    (void)state;
    fixture_t f;
    open_fixture(&f, COH_FORK_PRAGUE);
    put(&f, 1, 1, 100, 7);
    put_slot(&f, 1, 1, 11);
    for (int incarnation = 0; incarnation < 2; incarnation++) {
        coh_account_t *a = get(&f, 1);
        coh_slot_t *slot = slot_at(&f, a, 1);
        assert_int_equal(a->flags, 0);
        assert_int_equal(a->have, COH_READ_CODE);
        assert_false(slot->warm);
        assert_true(coh_u256_is_zero(&slot->transient));
        assert_int_equal(slot->cur.w[0], 11);
        assert_int_equal(f.s.refund, 0);
        assert_int_equal(f.s.log_cnt, 0);
        f.s.refund = 4800;
        coh_state_warm_slot(&f.s, slot);
        coh_state_set_transient(&f.s, slot, &huge);
        coh_state_set_slot(&f.s, slot, &huge);
        coh_state_set_flags(&f.s, a, COH_ACCT_WARM);
        coh_state_add_log(&f.s, &(coh_log_t){.topic_cnt = 0});
        start(&f);
    }
    close_fixture(&f);
}

static void state_holds_many_slots(void **state)
{
    (void)state;
    fixture_t f;
    open_fixture(&f, COH_FORK_PRAGUE);
    coh_memview_set_stutter(f.mv, false);
    put(&f, 1, 1, 100, 7);
    put(&f, 2, 1, 100, 7);
    size_t const fixed = coh_state_bytes(&f.s);
    for (uint64_t i = 0; i < 20000; i++) {
        coh_u256_t value = coh_u256(i + 1);
        coh_state_set_slot(&f.s, slot_at(&f, get(&f, 1 + (uint32_t)(i & 1)), i), &value);
    }
    for (uint64_t i = 0; i < 20000; i++) {
        coh_slot_t *slot = slot_at(&f, get(&f, 1 + (uint32_t)(i & 1)), i);
        assert_int_equal(slot->cur.w[0], i + 1);
        assert_true(coh_u256_is_zero(&slot_at(&f, get(&f, 2 - (uint32_t)(i & 1)), i)->cur));
    }
    assert_true(coh_state_bytes(&f.s) > (size_t)40000 * sizeof(coh_slot_t));
    coh_write_t w;
    assert_int_equal(finish(&f, &w), 20000);
    assert_true(coh_state_bytes(&f.s) < fixed + ((size_t)1 << 19));
    assert_int_equal(slot_at(&f, get(&f, 1), 100)->cur.w[0], 101);
    assert_int_equal(slot_at(&f, get(&f, 2), 100)->cur.w[0], 0);
    close_fixture(&f);
}

static void number_as_hash(void *arg, coh_u256_t *out, uint64_t number)
{
    ++*(uint32_t *)arg;
    *out = (coh_u256_t){{number, 1}};
}

static void state_asks_for_a_block_hash_once(void **state)
{
    (void)state;
    fixture_t f;
    open_fixture(&f, COH_FORK_PRAGUE);
    uint32_t asked = 0;
    coh_memview_set_block_hash(f.mv, number_as_hash, &asked);
    for (int round = 0; round < 2; round++) {
        for (uint64_t number = 1000; number < 1256; number++) {
            coh_u256_t hash;
            UNTIL(coh_state_block_hash(&f.s, &hash, number));
            assert_int_equal(hash.w[0], number);
            assert_int_equal(hash.w[1], 1);
        }
    }
    assert_int_equal(asked, 256);
    assert_int_equal(reads(&f), 256 * (1 + 100 * COH_READ_WORD));
    close_fixture(&f);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(state_equals_a_model_that_copies_everything),
        cmocka_unit_test(state_destroyed_storage_stays_away_after_recreation),
        cmocka_unit_test(state_since_cancun_only_what_is_new_is_destroyed),
        cmocka_unit_test(state_money_sent_to_the_destroyed_is_gone),
        cmocka_unit_test(state_empty_accounts_by_fork),
        cmocka_unit_test(state_touch_of_ripemd_outlives_the_rollback),
        cmocka_unit_test(state_credits_read_nothing),
        cmocka_unit_test(state_compares_without_the_exact_balance),
        cmocka_unit_test(state_there_and_back_is_no_write),
        cmocka_unit_test(state_delegation_keeps_the_storage),
        cmocka_unit_test(state_leaves_storage_without_code_behind),
        cmocka_unit_test(state_nothing_leaks_into_the_next_transaction),
        cmocka_unit_test(state_holds_many_slots),
        cmocka_unit_test(state_asks_for_a_block_hash_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
