#include "deploy/cohort/bench_world_private.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "deploy/cohort/realblock_chain.h"
#include "deploy/cohort/realblock_import.h"

static struct {
    char const *name;
    coh_bench_uses_t uses;
    uint32_t txs;
} const works[] = {
#define COH_BENCH_WORK(ID, name, uses, txs, about) {name, uses, txs},
#include "deploy/cohort/bench_world.def"
#undef COH_BENCH_WORK
};

char const *coh_bench_work_str(coh_bench_work_t work) { return works[work].name; }

coh_bench_uses_t coh_bench_work_uses(coh_bench_work_t work) { return works[work].uses; }

uint32_t coh_bench_work_txs(coh_bench_work_t work) { return works[work].txs; }

coh_err_t coh_bench_work_parse(coh_bench_work_t *out, char const *text)
{
    for (int i = 0; i < COH_BENCH_WORK_CNT; i++) {
        if (strcmp(works[i].name, text) == 0) {
            *out = (coh_bench_work_t)i;
            return COH_OK;
        }
    }
    return COH_ENOTFOUND;
}

coh_err_t coh_bench_skew_parse(coh_bench_skew_t *out, char const *text)
{
    double theta = 0;
    char rest;
    if (strcmp(text, "uniform") == 0) {
        *out = (coh_bench_skew_t){.kind = COH_BENCH_SKEW_UNIFORM};
    } else if (strcmp(text, "hot") == 0) {
        *out = (coh_bench_skew_t){.kind = COH_BENCH_SKEW_HOT};
    } else if (sscanf(text, "zipf:%lf%c", &theta, &rest) == 1 && theta > 0 && theta < 10) {
        *out = (coh_bench_skew_t){.kind          = COH_BENCH_SKEW_ZIPF,
                                  .theta_percent = (uint32_t)(100 * theta + 0.5)};
    } else {
        return COH_EINVAL;
    }
    return COH_OK;
}

char const *coh_bench_skew_str(char out[COH_BENCH_SKEW_SZ], coh_bench_skew_t skew)
{
    if (skew.kind == COH_BENCH_SKEW_ZIPF) {
        (void)snprintf(out, COH_BENCH_SKEW_SZ, "zipf:%.2f", skew.theta_percent / 100.0);
    } else {
        (void)snprintf(
            out, COH_BENCH_SKEW_SZ, "%s", skew.kind == COH_BENCH_SKEW_UNIFORM ? "uniform" : "hot");
    }
    return out;
}

/* ---- the state as a genesis ---- */

typedef struct {
    coh_genesis_t *genesis;
    coh_memview_t *state;
    size_t cap;
} export_t;

static void export_slot(void *arg, coh_u256_t const *slot, coh_u256_t const *value)
{
    coh_genesis_account_t *a = arg;
    if ((a->slot_cnt & (a->slot_cnt - 1)) == 0) { /* full at each power of two */
        a->slots = coh_realloc(a->slots, COH_MAX(1, 2 * a->slot_cnt) * sizeof(*a->slots));
    }
    a->slots[a->slot_cnt++] = (coh_genesis_slot_t){.key = *slot, .value = *value};
}

static void export_account(void *arg, coh_addr_t const *addr, coh_value_t const *value)
{
    export_t *x      = arg;
    coh_genesis_t *g = x->genesis;
    if (g->alloc_cnt == x->cap) {
        x->cap   = COH_MAX(64, 2 * x->cap);
        g->alloc = coh_realloc(g->alloc, x->cap * sizeof(*g->alloc));
    }
    coh_genesis_account_t *a = &g->alloc[g->alloc_cnt++];
    *a = (coh_genesis_account_t){.addr = *addr, .nonce = value->nonce, .balance = value->word};
    if (coh_value_has_code(value)) {
        coh_bytes_t code = coh_memview_code(x->state, &value->code_hash);
        uint8_t *copy    = coh_calloc(1, code.n);
        memcpy(copy, code.p, code.n);
        a->code = coh_bytes(copy, code.n);
    }
    coh_memview_slots(x->state, addr, export_slot, a);
}

static coh_err_t put_genesis(coh_bench_build_t *b, coh_genesis_t *g)
{
    *g         = (coh_genesis_t){.chain_id  = b->solo.block.chain_id,
                                 .timestamp = COH_BENCH_START_S,
                                 .gas_limit = b->solo.block.gas_limit,
                                 .base_fee  = coh_u256(COH_BENCH_BASE_FEE)};
    export_t x = {.genesis = g, .state = b->solo.state};
    coh_memview_accounts(b->solo.state, export_account, &x);
    return coh_genesis_finish(g, b->why);
}

static void start(coh_bench_build_t *b)
{
    uint32_t cnt = b->spec->account_cnt;
    coh_rng_seed(&b->rng, b->spec->seed);
    coh_solo_init(&b->solo, COH_BENCH_FORK);
    coh_u256_t balance = coh_bench_power_of_ten(COH_BENCH_RICH_ZERO);
    b->rich            = coh_bench_addr(&b->rng);
    coh_solo_fund(&b->solo, &b->rich, &balance);
    b->accounts = coh_calloc(cnt, sizeof(*b->accounts));
    b->nonces   = coh_calloc(cnt, sizeof(*b->nonces));
    b->shards   = coh_calloc(cnt, sizeof(*b->shards));
    b->weights  = coh_calloc(cnt, sizeof(*b->weights));
    double sum  = 0;
    for (uint32_t i = 0; i < cnt; i++) {
        b->accounts[i] = coh_bench_addr(&b->rng);
        coh_solo_fund(&b->solo, &b->accounts[i], &balance);
        b->shards[i] = coh_bench_shard_of(b, &b->accounts[i]);
        sum += pow(i + 1.0, -(double)b->spec->skew.theta_percent / 100.0);
        b->weights[i] = sum;
    }
}

coh_err_t coh_bench_world_new(coh_bench_world_t *out,
                              coh_bench_world_spec_t const *spec,
                              coh_buf_t *why)
{
    COH_ASSERT(spec->account_cnt > 1);
    coh_bench_build_t b = {.spec = spec, .why = why};
    *out                = (coh_bench_world_t){0};
    if (works[spec->work].uses == COH_BENCH_PEERS && spec->peers == NULL) {
        coh_buf_printf(
            why, "%s needs published contracts (see --with-peers)", works[spec->work].name);
        return COH_ENOTFOUND;
    }
    COH_TRY(coh_placement_initial(&b.dir, "hash", COH_MAX(1, spec->shard_cnt), why));
    start(&b);
    coh_err_t rc = coh_bench_world_set_up(&b);
    if (rc == COH_OK) {
        rc = put_genesis(&b, &out->genesis);
    }
    if (rc == COH_OK) {
        coh_bench_world_put_blocks(&b, out);
    }
    free(b.accounts);
    free(b.nonces);
    free(b.shards);
    free(b.weights);
    free(b.singles);
    coh_solo_fini(&b.solo);
    return rc;
}

typedef struct {
    char *text; /* owned: the names, each with a NUL behind it */
    char const **names;
    coh_realblock_t *blocks;
    size_t cnt;
} recordings_t;

/* The names between the plus signs. */
static void split_paths(recordings_t *r, char const *paths)
{
    r->text = coh_strdup(paths);
    r->cnt  = 1;
    for (char *p = r->text; *p != '\0'; p++) {
        r->cnt += *p == '+';
    }
    r->names  = coh_calloc(r->cnt, sizeof(*r->names));
    r->blocks = coh_calloc(r->cnt, sizeof(*r->blocks));
    char *at  = r->text;
    for (size_t i = 0; i < r->cnt; i++) {
        size_t n    = strcspn(at, "+");
        r->names[i] = at;
        at[n]       = '\0';
        at += n + 1; /* not used behind the last */
    }
}

static coh_err_t load_recordings(recordings_t *r, coh_buf_t *why)
{
    for (size_t i = 0; i < r->cnt; i++) {
        coh_buf_t what = COH_BUF_INIT;
        coh_err_t rc   = coh_realblock_load(&r->blocks[i], r->names[i], &what);
        if (rc == COH_OK && coh_realblock_kind(&r->blocks[i]) == COH_REALBLOCK_TYPE) {
            coh_buf_printf(&what, "%s", coh_realblock_kind_str(COH_REALBLOCK_TYPE));
            rc = COH_EUNSUPPORTED;
        }
        if (rc == COH_EIO) {
            coh_buf_printf(why,
                           "%s: neither a WORK nor a FILE that can be read; 'cohort bench blocks "
                           "--help' lists the works",
                           r->names[i]);
        } else if (rc != COH_OK) {
            coh_buf_printf(why, "%s: %.*s", r->names[i], (int)what.n, (char const *)what.p);
        }
        coh_buf_free(&what);
        COH_TRY(rc);
    }
    return COH_OK;
}

/* The blocks, under consecutive numbers. */
static void put_recorded(coh_bench_world_t *out, recordings_t const *r)
{
    size_t tx_cnt = 0;
    size_t size   = 0;
    for (size_t b = 0; b < r->cnt; b++) {
        tx_cnt += r->blocks[b].tx_cnt;
        size += r->blocks[b].bytes.n;
    }
    out->is_recorded = true;
    out->block_cnt   = r->cnt;
    out->blocks      = coh_calloc(r->cnt, sizeof(*out->blocks));
    out->raws        = coh_calloc(tx_cnt + 1, sizeof(*out->raws));
    out->senders     = coh_calloc(tx_cnt + 1, sizeof(*out->senders));
    coh_buf_grow(&out->bytes, size); /* so that it does not move */
    size_t at = 0;
    for (size_t b = 0; b < r->cnt; b++) {
        coh_realblock_t const *block = &r->blocks[b];
        out->blocks[b]               = coh_realblock_import(block);
        out->blocks[b].number        = r->blocks[0].number + b;
        out->blocks[b].raws          = out->raws + at;
        out->blocks[b].senders       = out->senders + at;
        for (size_t i = 0; i < block->tx_cnt; i++, at++) {
            coh_bytes_t raw  = block->raws[i];
            out->senders[at] = block->senders[i];
            out->raws[at]    = coh_bytes(out->bytes.p + out->bytes.n, raw.n);
            coh_buf_put(&out->bytes, raw.p, raw.n);
        }
    }
}

coh_err_t coh_bench_world_load(coh_bench_world_t *out, char const *paths, coh_buf_t *why)
{
    recordings_t r = {0};
    *out           = (coh_bench_world_t){0};
    split_paths(&r, paths);
    coh_err_t rc = load_recordings(&r, why);
    if (rc == COH_OK && r.cnt == 1) {
        rc = coh_realblock_genesis(&out->genesis, &r.blocks[0], why);
    } else if (rc == COH_OK) {
        coh_realblock_chain_t chain;
        rc                 = coh_realblock_chain(&chain, r.blocks, r.names, r.cnt, why);
        out->genesis       = chain.genesis;
        out->tx_cnt        = chain.tx_cnt;
        out->gas_used      = chain.gas_used;
        out->other_gas_cnt = chain.other_gas_cnt;
    }
    if (rc == COH_OK) {
        put_recorded(out, &r);
    }
    for (size_t i = 0; i < r.cnt; i++) {
        coh_realblock_free(&r.blocks[i]);
    }
    free(r.blocks);
    free(r.names);
    free(r.text);
    return rc;
}

void coh_bench_world_free(coh_bench_world_t *world)
{
    coh_genesis_free(&world->genesis);
    free(world->blocks);
    free(world->raws);
    free(world->senders);
    coh_buf_free(&world->bytes);
    *world = (coh_bench_world_t){0};
}
