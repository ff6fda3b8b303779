/* The multi-version store against a model that keeps every version in a list and recomputes each read from scratch: what readers see, who is
   retracted, when estimates make one wait, what settles, commits, aborts, flushes and is evicted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "shard/mvstore.h"
#include "tests/support/seed.h"

enum { KEYS = 6, TXS = 300, SELF = 1, OTHER = 2, RANKS = 3 };

typedef struct {
    bool there;
    bool estimate;
    bool assumes; /* that there is no code: COH_WRITE_NO_CODE, not retracted yet */
    uint32_t incarnation;
    uint32_t flags;
    uint64_t nonce;
    uint64_t word; /* small signed numbers: the model needs no 256 bits */
    uint32_t code; /* its number, 0 for none */
    uint32_t generation;
} model_version_t;

typedef struct {
    uint64_t nonce;
    int64_t word;
    uint32_t code;
    uint32_t generation;
    bool exists;
} model_value_t;

/* Reads of one transaction on one key, of its present incarnation. */
enum { READS = 3 };

typedef struct {
    uint32_t cnt; /* none: no longer registered */
    uint32_t incarnation;
    struct {
        uint32_t fields;
        int64_t bound;
        model_value_t seen;
    } v[READS];
} model_read_t;

typedef struct {
    model_value_t base[KEYS];
    model_version_t v[KEYS][TXS];
    model_read_t r[KEYS][TXS];
    uint32_t incarnation[TXS];
} model_t;

/* Flags that a version must have to be waited for by a reader of fields while it is an estimate. */
static uint32_t awaited(uint32_t fields)
{
    uint32_t flags = 0;
    flags |= (fields & COH_READ_NONCE) ? COH_WRITE_NONCE : 0;
    flags |= (fields & (COH_READ_WORD | COH_READ_AT_LEAST)) ? COH_WRITE_VALUE | COH_WRITE_DELTA : 0;
    flags |= (fields & COH_READ_CODE) ? COH_WRITE_CODE : 0;
    flags |= (fields & COH_READ_EXISTS) ? (uint32_t)COH_WRITE_MASK : 0;
    return flags;
}

static model_value_t model_see(model_t const *m, int key, uint32_t tx, uint32_t fields, bool *wait)
{
    model_value_t out = m->base[key];
    *wait             = false;
    for (uint32_t i = 0; i < tx; i++) {
        model_version_t const *v = &m->v[key][i];
        if (!v->there) {
            continue;
        }
        *wait = *wait || (v->estimate && (v->flags & awaited(fields)));
        if (v->flags & COH_WRITE_NONCE) {
            out.nonce = v->nonce;
        }
        if (v->flags & COH_WRITE_VALUE) {
            out.word = (int64_t)v->word;
        }
        if (v->flags & COH_WRITE_DELTA) {
            out.word += (int64_t)v->word;
        }
        if (v->flags & COH_WRITE_CODE) {
            out.code       = v->code;
            out.generation = v->generation;
        }
        if (v->flags != 0) {
            out.exists = !(v->flags & COH_WRITE_GONE);
        }
    }
    out.word = out.word < 0 ? 0 : out.word; /* only between incarnations; see sum_t */
    return out;
}

static bool model_still_holds(model_t const *m, int key, uint32_t tx)
{
    model_read_t const *r = &m->r[key][tx];
    for (uint32_t i = 0; i < r->cnt; i++) {
        bool wait;
        uint32_t fields        = r->v[i].fields;
        model_value_t const *s = &r->v[i].seen;
        model_value_t now      = model_see(m, key, tx, fields, &wait);
        int64_t bound          = r->v[i].bound;
        if (((fields & COH_READ_NONCE) && s->nonce != now.nonce) ||
            ((fields & COH_READ_WORD) && s->word != now.word) ||
            ((fields & COH_READ_AT_LEAST) && (s->word >= bound) != (now.word >= bound)) ||
            ((fields & COH_READ_CODE) &&
             (s->code != now.code || s->generation != now.generation)) ||
            ((fields & COH_READ_EXISTS) && s->exists != now.exists)) {
            return false;
        }
    }
    return true;
}

/* Whether the version of tx assumes rightly. */
static bool model_assumption_holds(model_t const *m, int key, uint32_t tx)
{
    bool wait;
    return !m->v[key][tx].assumes || model_see(m, key, tx, 0, &wait).code == 0;
}

static coh_u256_t word_of(int64_t v) { return coh_u256((uint64_t)(v < 0 ? -v : v)); }

static coh_key_t key_of(int i)
{
    coh_addr_t addr = {{0}};
    addr.b[0]       = (uint8_t)(i * 37 + 1);
    addr.b[19]      = (uint8_t)i;
    return coh_key_account(&addr);
}

static coh_hash_t code_hash(uint32_t code)
{
    coh_hash_t hash = {{0}};
    coh_store_u32_le(hash.b, code);
    return hash;
}

static coh_value_t value_of(model_value_t const *v)
{
    return (coh_value_t){.nonce      = v->nonce,
                         .word       = word_of(v->word),
                         .code_hash  = code_hash(v->code),
                         .generation = v->generation,
                         .flags      = v->exists ? COH_ACCOUNT_EXISTS : 0};
}

static uint64_t seed_of_run(void)
{
    uint64_t seed = coh_test_seed();
    return seed;
}

/* Loads what is asked for, with the model's base values. */
static void load_all(coh_mvstore_t *mv, coh_mv_ctx_t *ctx, model_t const *m)
{
    coh_key_t keys[KEYS];
    size_t cnt;
    while ((cnt = coh_mv_take_loads(mv, keys, KEYS)) != 0) {
        for (size_t i = 0; i < cnt; i++) {
            int k             = keys[i].addr.b[19];
            coh_value_t value = value_of(&m->base[k]);
            coh_mv_loaded(mv, ctx, &keys[i], &value);
        }
    }
}

typedef struct {
    coh_mvstore_t *mv;
    coh_mv_ctx_t ctx;
    model_t *m;
    coh_rng_t *rng;
    uint32_t tx_cnt;
    bool values; /* also writes of kind VALUE, CODE, EXISTS and GONE */
} run_t;

/* expected: readers; broken: writers that assumed wrongly. */
static void check_retracted(run_t *t, int key, bool const *expected, bool const *broken)
{
    bool got[TXS]        = {false};
    bool got_broken[TXS] = {false};
    for (uint32_t i = 0; i < t->ctx.retracted_cnt; i++) {
        coh_mv_tx_t tx = t->ctx.retracted[i].tx;
        assert_int_equal(tx.home, tx.tx_idx % 2 == 0 ? SELF : OTHER);
        if (t->ctx.retracted[i].reads_code) {
            assert_int_equal(tx.incarnation, t->m->v[key][tx.tx_idx].incarnation);
            assert_false(got_broken[tx.tx_idx]);
            got_broken[tx.tx_idx] = true;
        } else if (t->m->r[key][tx.tx_idx].cnt != 0 &&
                   tx.incarnation == t->m->r[key][tx.tx_idx].incarnation) {
            /* registrations of incarnations that are over may be retracted as well: the scheduler passes them over */
            got[tx.tx_idx] = true;
        }
    }
    for (uint32_t i = 0; i < t->tx_cnt; i++) {
        assert_int_equal(got[i], expected[i]);
        assert_int_equal(got_broken[i], broken[i]);
        if (got[i]) {
            t->m->r[key][i].cnt = 0;
        }
        if (got_broken[i]) {
            t->m->v[key][i].assumes = false;
        }
    }
    t->ctx.retracted_cnt = 0;
}

static void draw_write(run_t *t, model_version_t *now, coh_write_t *w, coh_write_code_t *code)
{
    coh_rng_t *rng = t->rng;
    uint64_t kind  = coh_rng_below(rng, 100);
    w->flags       = kind < 35 ? COH_WRITE_NONCE | COH_WRITE_DELTA : COH_WRITE_DELTA;
    if (t->values && kind >= 80) {
        w->flags = COH_WRITE_VALUE;
    } else if (t->values && kind >= 72) {
        w->flags = COH_WRITE_CODE | (coh_rng_percent(rng, 50) ? COH_WRITE_NONCE : 0);
    } else if (t->values && kind >= 70) {
        w->flags = COH_WRITE_EXISTS;
    } else if (t->values && kind >= 66) {
        w->flags = COH_WRITE_GONE | COH_WRITE_NONCE | COH_WRITE_VALUE | COH_WRITE_CODE;
    } else if (w->flags == COH_WRITE_DELTA && coh_rng_percent(rng, 50)) {
        w->flags |= COH_WRITE_NO_CODE;
        now->assumes = true;
    }
    bool gone    = (w->flags & COH_WRITE_GONE) != 0;
    now->flags   = w->flags & ~(uint32_t)COH_WRITE_NO_CODE;
    now->nonce   = gone ? 0 : coh_rng_below(rng, 3);
    int64_t word = (int64_t)coh_rng_below(rng, 21) - ((w->flags & COH_WRITE_VALUE) ? 0 : 10);
    word         = gone ? 0 : word;
    now->word    = (uint64_t)word;
    w->nonce     = now->nonce;
    w->word      = word_of(word);
    w->flags |= (w->flags & COH_WRITE_DELTA) && word < 0 ? COH_WRITE_NEGATIVE : 0;
    if (w->flags & COH_WRITE_CODE) {
        now->code       = gone ? 0 : (uint32_t)coh_rng_below(rng, 3);
        now->generation = (uint32_t)coh_rng_below(rng, 2);
        *code   = (coh_write_code_t){.hash = code_hash(now->code), .generation = now->generation};
        w->code = code;
    }
}

static void do_write(run_t *t)
{
    int key              = (int)coh_rng_below(t->rng, KEYS);
    uint32_t tx          = (uint32_t)coh_rng_below(t->rng, t->tx_cnt);
    model_version_t *v   = &t->m->v[key][tx];
    uint32_t incarnation = v->there ? v->incarnation + 1 : (uint32_t)coh_rng_below(t->rng, 2);
    if (coh_rng_percent(t->rng, 5) && v->there && v->incarnation > 0) {
        incarnation = v->incarnation - 1; /* overtaken: must change nothing */
    }
    model_version_t now   = {.there = true, .incarnation = incarnation};
    coh_write_t w         = {.key = key_of(key)};
    coh_write_code_t code = {0};
    if (v->there && coh_rng_percent(t->rng, 10)) {
        w.flags = COH_WRITE_REMOVED;
    } else {
        draw_write(t, &now, &w, &code);
    }
    bool stale = v->there && incarnation <= v->incarnation;
    if (!stale) {
        *v = now;
    }
    bool expected[TXS] = {false};
    bool broken[TXS]   = {false};
    for (uint32_t r = 0; r < t->tx_cnt; r++) {
        expected[r] = !stale && r > tx && !model_still_holds(t->m, key, r);
        broken[r]   = !stale && r >= tx && !model_assumption_holds(t->m, key, r);
    }
    coh_mv_publish(t->mv,
                   &t->ctx,
                   &w,
                   (coh_mv_tx_t){.tx_idx      = tx,
                                 .incarnation = incarnation,
                                 .home        = tx % 2 == 0 ? SELF : OTHER});
    check_retracted(t, key, expected, broken);
}

/* A read by the transaction's present incarnation, beside what it has read, or by a new one. */
static void do_read(run_t *t)
{
    int key                         = (int)coh_rng_below(t->rng, KEYS);
    uint32_t tx                     = (uint32_t)coh_rng_below(t->rng, t->tx_cnt);
    static uint32_t const choices[] = {COH_READ_NONCE,
                                       COH_READ_WORD,
                                       COH_READ_NONCE | COH_READ_CODE | COH_READ_AT_LEAST,
                                       COH_READ_AT_LEAST,
                                       COH_READ_NONCE | COH_READ_WORD,
                                       COH_READ_CODE,
                                       COH_READ_EXISTS,
                                       COH_READ_CODE | COH_READ_EXISTS,
                                       COH_READ_MASK & ~(uint32_t)COH_READ_AT_LEAST};
    uint32_t fields                 = choices[coh_rng_below(t->rng, COH_CNT(choices))];
    int64_t bound                   = (int64_t)coh_rng_below(t->rng, 100);
    coh_key_t k                     = key_of(key);
    coh_u256_t b                    = word_of(bound);
    model_read_t *r                 = &t->m->r[key][tx];
    if (r->cnt == 0 || r->cnt == READS || coh_rng_percent(t->rng, 50)) {
        *r = (model_read_t){.incarnation = t->m->incarnation[tx]++};
    }
    coh_value_t got;
    coh_mv_tx_t reader = {
        .tx_idx = tx, .incarnation = r->incarnation, .home = tx % 2 == 0 ? SELF : OTHER};
    coh_waiter_t waiter    = {.kind = COH_WAIT_CHAIN, .chain = tx};
    bool wait              = false;
    model_value_t want     = model_see(t->m, key, tx, fields, &wait);
    coh_mv_status_t status = coh_mv_read(t->mv, &t->ctx, &got, &k, reader, fields, &b, &waiter);
    assert_int_equal(status, wait ? COH_MV_WAIT : COH_MV_OK);
    if (wait) {
        return;
    }
    coh_value_t should = value_of(&want);
    assert_int_equal(got.nonce, should.nonce);
    assert_true(coh_u256_eq(&got.word, &should.word));
    if (fields & COH_READ_CODE) {
        assert_true(coh_hash_eq(&got.code_hash, &should.code_hash));
        assert_int_equal(got.generation, should.generation);
    }
    if (fields & COH_READ_EXISTS) {
        assert_int_equal(got.flags, should.flags);
    }
    r->v[r->cnt].fields = fields;
    r->v[r->cnt].bound  = bound;
    r->v[r->cnt].seen   = want;
    r->cnt++;
}

static void do_estimate(run_t *t)
{
    int key            = (int)coh_rng_below(t->rng, KEYS);
    uint32_t tx        = (uint32_t)coh_rng_below(t->rng, t->tx_cnt);
    model_version_t *v = &t->m->v[key][tx];
    if (!v->there) {
        return;
    }
    coh_key_t k          = key_of(key);
    uint32_t incarnation = v->incarnation + (coh_rng_percent(t->rng, 20) ? 1 : 0);
    coh_mv_estimate(
        t->mv, &k, (coh_mv_tx_t){.tx_idx = tx, .incarnation = incarnation, .home = SELF});
    v->estimate = v->estimate || incarnation == v->incarnation;
}

/* Runs every transaction that is still withdrawn once more, so that the block can settle. */
static void clear_estimates(run_t *t)
{
    for (int key = 0; key < KEYS; key++) {
        for (uint32_t tx = 0; tx < t->tx_cnt; tx++) {
            model_version_t *v = &t->m->v[key][tx];
            if (v->there && v->estimate) {
                v->estimate = false;
                v->incarnation++;
                v->flags      = COH_WRITE_DELTA;
                v->word       = 1;
                v->assumes    = false;
                coh_write_t w = {.key = key_of(key), .flags = COH_WRITE_DELTA, .word = coh_u256(1)};
                coh_mv_publish(t->mv,
                               &t->ctx,
                               &w,
                               (coh_mv_tx_t){.tx_idx      = tx,
                                             .incarnation = v->incarnation,
                                             .home        = tx % 2 == 0 ? SELF : OTHER});
            }
        }
    }
    /* Retractions of that are not compared; of assumptions they are taken note of. */
    for (uint32_t i = 0; i < t->ctx.retracted_cnt; i++) {
        coh_mv_tx_t tx = t->ctx.retracted[i].tx;
        for (int key = 0; key < KEYS && t->ctx.retracted[i].reads_code; key++) {
            model_version_t *v = &t->m->v[key][tx.tx_idx];
            v->assumes         = v->assumes && model_assumption_holds(t->m, key, tx.tx_idx);
        }
    }
    t->ctx.retracted_cnt = 0;
    t->ctx.woken_cnt     = 0;
}

static void settle_and_check(run_t *t)
{
    coh_value_t want[KEYS];
    model_value_t seen[KEYS];
    for (int key = 0; key < KEYS; key++) {
        bool wait;
        seen[key] = model_see(t->m, key, t->tx_cnt, COH_READ_MASK, &wait);
        want[key] = value_of(&seen[key]);
        assert_false(wait);
    }
    coh_mv_diff_t diff = {0};
    coh_mv_settle(t->mv, &diff, NULL, NULL);
    bool changed[KEYS] = {false};
    for (size_t i = 0; i < diff.cnt; i++) {
        int key = coh_mv_entry_key(t->mv, diff.v[i].entry)->addr.b[19];
        assert_true(coh_value_eq(&diff.v[i].value, &want[key]));
        assert_int_equal(diff.v[i].new_code,
                         seen[key].code != 0 && seen[key].code != t->m->base[key].code);
        changed[key] = true;
    }
    for (int key = 0; key < KEYS; key++) {
        coh_value_t base = value_of(&t->m->base[key]);
        assert_int_equal(changed[key], !coh_value_eq(&want[key], &base));
        t->m->base[key] = seen[key];
    }
    coh_mv_commit(t->mv, &diff);
    coh_mv_diff_free(&diff);
}

/* Payments that arrive before the accounts are loaded: whether these have code shows when they come. */
static void publish_early(run_t *t)
{
    for (int key = 0; key < KEYS; key++) {
        model_version_t *v = &t->m->v[key][2];
        if (v->there || coh_rng_percent(t->rng, 50)) {
            continue;
        }
        *v = (model_version_t){.there = true, .assumes = true, .flags = COH_WRITE_DELTA, .word = 3};
        coh_write_t w = {
            .key = key_of(key), .flags = COH_WRITE_DELTA | COH_WRITE_NO_CODE, .word = coh_u256(3)};
        coh_mv_publish(t->mv, &t->ctx, &w, (coh_mv_tx_t){.tx_idx = 2, .home = SELF});
    }
}

static void check_early(run_t *t)
{
    uint32_t broken = 0;
    for (int key = 0; key < KEYS; key++) {
        if (!model_assumption_holds(t->m, key, 2)) {
            t->m->v[key][2].assumes = false;
            broken++;
        }
    }
    assert_int_equal(t->ctx.retracted_cnt, broken);
    for (uint32_t i = 0; i < broken; i++) {
        assert_int_equal(t->ctx.retracted[i].tx.tx_idx, 2);
        assert_true(t->ctx.retracted[i].reads_code);
    }
    t->ctx.retracted_cnt = 0;
}

static void run_blocks(uint64_t seed, uint32_t tx_cnt, bool values)
{
    coh_rng_t rng;
    coh_rng_seed(&rng, seed);
    model_t *m = calloc(1, sizeof(*m));
    for (int k = 0; k < KEYS; k++) {
        m->base[k] = (model_value_t){.nonce  = coh_rng_below(&rng, 3),
                                     .word   = (int64_t)coh_rng_below(&rng, 200),
                                     .code   = values ? (uint32_t)coh_rng_below(&rng, 2) : 0,
                                     .exists = coh_rng_percent(&rng, 70)};
    }
    coh_mvstore_t *mv = coh_mvstore_new(64, seed, SELF, RANKS, NULL);
    run_t t           = {.mv = mv, .m = m, .rng = &rng, .tx_cnt = tx_cnt, .values = values};
    for (int block = 0; block < 4; block++) {
        memset(m->v, 0, sizeof(m->v));
        memset(m->r, 0, sizeof(m->r));
        memset(m->incarnation, 0, sizeof(m->incarnation));
        coh_mv_ctx_reset(&t.ctx);
        assert_true(coh_mv_block_begin(mv, tx_cnt, KEYS));
        for (int k = 0; k < KEYS; k++) {
            coh_key_t key = key_of(k);
            coh_mv_touch(mv, &key);
        }
        publish_early(&t);
        load_all(mv, &t.ctx, m);
        check_early(&t);
        for (int step = 0; step < 2000; step++) {
            uint64_t what = coh_rng_below(&rng, 100);
            if (what < 50) {
                do_write(&t);
            } else if (what < 96) {
                do_read(&t);
            } else {
                do_estimate(&t);
            }
            if (step % 400 == 399) {
                clear_estimates(&t);
                memset(m->r, 0, sizeof(m->r)); /* retractions of that were not compared */
            }
        }
        clear_estimates(&t);
        settle_and_check(&t);
    }
    coh_mv_ctx_free(&t.ctx);
    coh_mvstore_free(mv);
    free(m);
}

static void mvstore_equals_model_over_random_blocks(void **state)
{
    (void)state;
    uint64_t seed = seed_of_run();
    for (uint64_t i = 0; i < 12; i++) {
        run_blocks(seed + i, i % 2 == 0 ? 20 : TXS, i % 4 >= 2);
    }
}

static void mvstore_wakes_readers_of_an_estimate(void **state)
{
    (void)state;
    coh_mvstore_t *mv = coh_mvstore_new(64, 1, SELF, RANKS, NULL);
    coh_mv_ctx_t ctx  = {0};
    assert_true(coh_mv_block_begin(mv, 4, 8));
    coh_key_t key = key_of(0);
    coh_mv_touch(mv, &key);
    coh_key_t loads[2];
    assert_int_equal(coh_mv_take_loads(mv, loads, 2), 1);
    coh_mv_loaded(mv, &ctx, &key, &(coh_value_t){.word = coh_u256(7)});

    coh_mv_tx_t writer = {.tx_idx = 1, .incarnation = 0, .home = SELF};
    coh_write_t w      = {.key = key, .flags = COH_WRITE_DELTA, .word = coh_u256(5)};
    coh_mv_publish(mv, &ctx, &w, writer);
    coh_mv_estimate(mv, &key, writer);
    coh_value_t value;
    coh_mv_tx_t reader  = {.tx_idx = 3, .home = SELF};
    coh_waiter_t waiter = {.kind = COH_WAIT_CHAIN, .chain = 42};
    assert_int_equal(coh_mv_read(mv, &ctx, &value, &key, reader, COH_READ_WORD, NULL, &waiter),
                     COH_MV_WAIT);
    /* a reader below the writer does not wait */
    coh_mv_tx_t lower = {.tx_idx = 1, .home = SELF};
    assert_int_equal(coh_mv_read(mv, &ctx, &value, &key, lower, COH_READ_WORD, NULL, &waiter),
                     COH_MV_OK);
    assert_int_equal(value.word.w[0], 7);
    assert_int_equal(ctx.woken_cnt, 0);
    writer.incarnation = 1;
    coh_mv_publish(mv, &ctx, &w, writer);
    assert_int_equal(ctx.woken_cnt, 1);
    assert_int_equal(ctx.woken[0].chain, 42);
    assert_int_equal(coh_mv_read(mv, &ctx, &value, &key, reader, COH_READ_WORD, NULL, &waiter),
                     COH_MV_OK);
    assert_int_equal(value.word.w[0], 12);
    coh_mv_discard_block(mv);
    coh_mv_ctx_free(&ctx);
    coh_mvstore_free(mv);
}

/* One block that pays amount to key 0, settled. */
static coh_mv_diff_t pay(coh_mvstore_t *mv, coh_mv_ctx_t *ctx, uint64_t amount)
{
    coh_key_t key = key_of(0);
    assert_true(coh_mv_block_begin(mv, 1, 2));
    coh_write_t w = {.key = key, .flags = COH_WRITE_DELTA, .word = coh_u256(amount)};
    coh_mv_publish(mv, ctx, &w, (coh_mv_tx_t){.home = SELF});
    coh_key_t loads[2];
    if (coh_mv_take_loads(mv, loads, 2) != 0) {
        coh_mv_loaded(mv, ctx, &key, &(coh_value_t){.word = coh_u256(100)});
    }
    coh_mv_diff_t diff = {0};
    coh_mv_settle(mv, &diff, NULL, NULL);
    assert_int_equal(diff.cnt, 1);
    return diff;
}

static uint64_t committed(coh_mvstore_t *mv)
{
    coh_key_t key = key_of(0);
    coh_value_t value;
    assert_true(coh_mv_query_begin(mv, 1));
    assert_int_equal(coh_mv_committed(mv, &key, &value, NULL), COH_MV_OK);
    return value.word.w[0];
}

static void mvstore_shows_committed_and_takes_aborted_blocks_back(void **state)
{
    (void)state;
    coh_mvstore_t *mv = coh_mvstore_new(64, 1, SELF, RANKS, NULL);
    coh_mv_ctx_t ctx  = {0};
    coh_mv_diff_t a   = pay(mv, &ctx, 1);
    coh_mv_diff_t b   = pay(mv, &ctx, 10);
    coh_mv_diff_t c   = pay(mv, &ctx, 1000);
    assert_int_equal(a.v[0].value.word.w[0], 101);
    assert_int_equal(b.v[0].value.word.w[0], 111);
    assert_int_equal(c.v[0].value.word.w[0], 1111);
    assert_int_equal(committed(mv), 100);
    /* c and b are discarded while a is undecided: the next block stands on a */
    coh_mv_diff_t *gone[] = {&b, &c};
    coh_mv_diff_t *stay[] = {&a};
    coh_mv_abort(mv, gone, 2, stay, 1);
    coh_mv_diff_t d = pay(mv, &ctx, 5);
    assert_int_equal(d.v[0].value.word.w[0], 106);
    coh_mv_commit(mv, &a);
    assert_int_equal(committed(mv), 101);
    coh_mv_commit(mv, &d);
    assert_int_equal(committed(mv), 106);
    coh_mv_diff_free(&a);
    coh_mv_diff_free(&b);
    coh_mv_diff_free(&c);
    coh_mv_diff_free(&d);
    coh_mv_ctx_free(&ctx);
    coh_mvstore_free(mv);
}

static void mvstore_evicts_only_what_is_clean_and_decided(void **state)
{
    (void)state;
    coh_mvstore_t *mv = coh_mvstore_new(64, 1, SELF, RANKS, NULL);
    coh_mv_ctx_t ctx  = {0};
    coh_mv_diff_t a   = pay(mv, &ctx, 1);
    assert_false(coh_mv_block_begin(mv, 1, 64)); /* undecided */
    coh_mv_commit(mv, &a);
    assert_false(coh_mv_block_begin(mv, 1, 64)); /* dirty */
    coh_mv_item_t *items = NULL;
    assert_int_equal(coh_mv_flush_begin(mv, &items), 1);
    assert_int_equal(items[0].value.word.w[0], 101);
    free(items);
    assert_false(coh_mv_block_begin(mv, 1, 64)); /* being flushed */
    coh_mv_diff_t b = pay(mv, &ctx, 1);          /* changed meanwhile: stays dirty */
    coh_mv_commit(mv, &b);
    coh_mv_flush_end(mv);
    assert_int_equal(coh_mv_dirty_cnt(mv), 1);
    assert_false(coh_mv_block_begin(mv, 1, 64));
    assert_int_equal(coh_mv_flush_begin(mv, &items), 1);
    assert_int_equal(items[0].value.word.w[0], 102);
    free(items);
    coh_mv_flush_end(mv);
    assert_true(coh_mv_block_begin(mv, 1, 64));
    assert_int_equal(coh_mv_entry_cnt(mv), 0);
    coh_mv_diff_free(&a);
    coh_mv_diff_free(&b);
    coh_mv_discard_block(mv);
    coh_mv_ctx_free(&ctx);
    coh_mvstore_free(mv);
}

/* A store below that has the keys with even numbers in memory. While it is asked for key 0 another transaction wants that key too, and a query asks for it. */
typedef struct {
    coh_mvstore_t *mv;
    coh_mv_ctx_t other;
    bool inside;
    uint32_t asked_cnt;
} below_t;

static bool below_has(void *arg, coh_key_t const *key, coh_buf_t *scratch, coh_value_t *out)
{
    (void)scratch;
    below_t *below = arg;
    coh_key_t zero = key_of(0);
    below->asked_cnt++;
    if (below->inside) {
        return false; /* to the query */
    }
    if (coh_key_eq(key, &zero)) {
        below->inside = true;
        coh_value_t value;
        coh_waiter_t waits  = {.kind = COH_WAIT_CHAIN, .chain = 42};
        coh_waiter_t asks   = {.kind = COH_WAIT_QUERY, .query_pos = 7};
        coh_mv_tx_t another = {.tx_idx = 2, .home = SELF};
        assert_int_equal(
            coh_mv_read(
                below->mv, &below->other, &value, key, another, COH_READ_WORD, NULL, &waits),
            COH_MV_WAIT);
        assert_true(coh_mv_query_begin(below->mv, 1));
        assert_int_equal(coh_mv_committed(below->mv, key, &value, &asks), COH_MV_WAIT);
        below->inside = false;
    }
    for (int k = 0; k < KEYS; k += 2) {
        coh_key_t even = key_of(k);
        if (coh_key_eq(key, &even)) {
            *out = (coh_value_t){.word = coh_u256(100 + (uint64_t)k)};
            return true;
        }
    }
    return false;
}

static void mvstore_reads_at_once_what_the_store_below_has(void **state)
{
    (void)state;
    coh_mvstore_t *mv = coh_mvstore_new(64, 1, SELF, RANKS, NULL);
    coh_mv_ctx_t ctx  = {0};
    below_t below     = {.mv = mv};
    coh_mv_set_source(mv, below_has, &below);
    assert_true(coh_mv_block_begin(mv, 4, 8));
    coh_mv_tx_t reader  = {.tx_idx = 3, .home = SELF};
    coh_waiter_t waiter = {.kind = COH_WAIT_CHAIN, .chain = 9};
    coh_value_t value;
    coh_key_t key = key_of(0);
    assert_int_equal(coh_mv_read(mv, &ctx, &value, &key, reader, COH_READ_WORD, NULL, &waiter),
                     COH_MV_OK);
    assert_int_equal(value.word.w[0], 100);
    assert_int_equal(ctx.woken_cnt, 1);
    assert_int_equal(ctx.woken[0].chain, 42);
    ctx.woken_cnt = 0;
    /* the query counts until it is taken */
    assert_int_equal(coh_mv_loads_outstanding(mv), 1);
    coh_waiter_t query;
    assert_true(coh_mv_take_query(mv, &query));
    assert_int_equal(query.query_pos, 7);
    assert_false(coh_mv_take_query(mv, &query));
    assert_int_equal(coh_mv_loads_outstanding(mv), 0);
    coh_key_t loads[4];
    assert_int_equal(coh_mv_take_loads(mv, loads, 4), 0);

    /* what it has not got is loaded as ever */
    key = key_of(1);
    assert_int_equal(coh_mv_read(mv, &ctx, &value, &key, reader, COH_READ_WORD, NULL, &waiter),
                     COH_MV_WAIT);
    assert_int_equal(coh_mv_take_loads(mv, loads, 4), 1);
    assert_true(coh_key_eq(&loads[0], &key));
    coh_mv_loaded(mv, &ctx, &key, &(coh_value_t){.word = coh_u256(5)});
    assert_int_equal(ctx.woken_cnt, 1);
    assert_int_equal(ctx.woken[0].chain, 9);
    assert_int_equal(coh_mv_read(mv, &ctx, &value, &key, reader, COH_READ_WORD, NULL, &waiter),
                     COH_MV_OK);
    assert_int_equal(value.word.w[0], 5);
    uint32_t asked_cnt = below.asked_cnt;
    assert_int_equal(coh_mv_read(mv, &ctx, &value, &key, reader, COH_READ_WORD, NULL, &waiter),
                     COH_MV_OK);
    assert_int_equal(below.asked_cnt, asked_cnt);
    coh_mv_discard_block(mv);

    /* a query leaves nothing in memory */
    size_t cnt = coh_mv_entry_cnt(mv);
    key        = key_of(2);
    assert_true(coh_mv_query_begin(mv, 1));
    assert_int_equal(coh_mv_committed(mv, &key, &value, NULL), COH_MV_OK);
    assert_int_equal(value.word.w[0], 102);
    assert_true(coh_mv_peek(mv, &key, &value));
    key = key_of(3);
    assert_false(coh_mv_peek(mv, &key, &value));
    assert_int_equal(coh_mv_entry_cnt(mv), cnt);
    coh_mv_ctx_free(&ctx);
    coh_mv_ctx_free(&below.other);
    coh_mvstore_free(mv);
}

static bool is_any(void *arg, coh_addr_t const *addr)
{
    (void)arg;
    (void)addr;
    return true;
}

static void mvstore_reads_at_once_what_is_on_its_way(void **state)
{
    (void)state;
    coh_mvstore_t *mv = coh_mvstore_new(64, 1, SELF, RANKS, NULL);
    coh_mv_ctx_t ctx  = {0};
    below_t below     = {.mv = mv, .inside = true};
    coh_mv_set_source(mv, below_has, &below);
    assert_true(coh_mv_block_begin(mv, 4, 8));
    coh_mv_tx_t early   = {.tx_idx = 1, .home = SELF};
    coh_mv_tx_t reader  = {.tx_idx = 3, .home = SELF};
    coh_waiter_t waiter = {.kind = COH_WAIT_CHAIN, .chain = 9};
    coh_value_t value;
    coh_key_t loads[4];
    coh_key_t key = key_of(2);
    (void)coh_mv_touch(mv, &key);
    assert_int_equal(coh_mv_take_loads(mv, loads, 4), 1);
    /* not in memory yet: the first reader waits */
    assert_int_equal(coh_mv_read(mv, &ctx, &value, &key, early, COH_READ_WORD, NULL, &waiter),
                     COH_MV_WAIT);
    assert_int_equal(coh_mv_take_loads(mv, loads, 4), 0);
    below.inside = false;
    assert_int_equal(coh_mv_read(mv, &ctx, &value, &key, reader, COH_READ_WORD, NULL, NULL),
                     COH_MV_OK);
    assert_int_equal(value.word.w[0], 102);
    assert_int_equal(ctx.woken_cnt, 1);
    assert_int_equal(ctx.woken[0].chain, 9);
    coh_mv_discard_block(mv);

    /* the disk still has to answer: until then the key stays, and after it, too, as it was read */
    coh_mv_forget(mv, is_any, NULL);
    assert_int_equal(coh_mv_entry_cnt(mv), 1);
    assert_false(coh_mv_block_begin(mv, 4, 64)); /* which would have to evict it */
    assert_int_equal(coh_mv_entry_cnt(mv), 1);
    assert_true(coh_mv_block_begin(mv, 4, 8));
    assert_int_equal(coh_mv_loads_outstanding(mv), 1);
    coh_mv_loaded(mv, &ctx, &key, &(coh_value_t){.word = coh_u256(7)});
    assert_int_equal(coh_mv_loads_outstanding(mv), 0);
    assert_int_equal(coh_mv_read(mv, &ctx, &value, &key, reader, COH_READ_WORD, NULL, NULL),
                     COH_MV_OK);
    assert_int_equal(value.word.w[0], 102);
    coh_mv_discard_block(mv);
    coh_mv_forget(mv, is_any, NULL);
    assert_int_equal(coh_mv_entry_cnt(mv), 0);
    coh_mv_ctx_free(&ctx);
    coh_mv_ctx_free(&below.other);
    coh_mvstore_free(mv);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(mvstore_equals_model_over_random_blocks),
        cmocka_unit_test(mvstore_wakes_readers_of_an_estimate),
        cmocka_unit_test(mvstore_shows_committed_and_takes_aborted_blocks_back),
        cmocka_unit_test(mvstore_evicts_only_what_is_clean_and_decided),
        cmocka_unit_test(mvstore_reads_at_once_what_the_store_below_has),
        cmocka_unit_test(mvstore_reads_at_once_what_is_on_its_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
