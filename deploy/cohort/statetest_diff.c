#include "deploy/cohort/statetest_diff.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/hex.h"

typedef struct {
    coh_buf_t *out;
    coh_memview_t const *mv;
    size_t line_cnt;
    char addr[43];
} diff_t;

/* What mv holds. */
typedef struct {
    coh_addr_t addr;
    coh_value_t value;
} account_t;

typedef struct {
    account_t *v;
    size_t cnt;
} accounts_t;

typedef struct {
    coh_genesis_slot_t *v;
    size_t cnt;
} slots_t;

static void add_account(void *arg, coh_addr_t const *addr, coh_value_t const *value)
{
    accounts_t *all    = arg;
    all->v             = coh_realloc(all->v, (all->cnt + 1) * sizeof(*all->v));
    all->v[all->cnt++] = (account_t){.addr = *addr, .value = *value};
}

static void add_slot(void *arg, coh_u256_t const *slot, coh_u256_t const *value)
{
    slots_t *all       = arg;
    all->v             = coh_realloc(all->v, (all->cnt + 1) * sizeof(*all->v));
    all->v[all->cnt++] = (coh_genesis_slot_t){.key = *slot, .value = *value};
}

/* Both kinds of account begin with their address. */
_Static_assert(offsetof(account_t, addr) == 0 && offsetof(coh_genesis_account_t, addr) == 0,
               "compared by what they begin with");

static int compare_accounts(void const *a, void const *b)
{
    return memcmp(a, b, sizeof(coh_addr_t));
}

static int compare_slots(void const *a, void const *b)
{
    coh_u256_t const *x = &((coh_genesis_slot_t const *)a)->key;
    coh_u256_t const *y = &((coh_genesis_slot_t const *)b)->key;
    return coh_u256_lt(x, y) ? -1 : coh_u256_lt(y, x);
}

/* A sorted copy of cnt elements; the caller frees it. */
static void *sorted(void const *v,
                    size_t cnt,
                    size_t size,
                    int (*compare)(void const *, void const *))
{
    void *copy = coh_calloc(cnt + 1, size);
    if (cnt != 0) {
        memcpy(copy, v, cnt * size);
        qsort(copy, cnt, size, compare);
    }
    return copy;
}

/* Whether there is room for another line; counts it anyway. */
static bool next_line(diff_t *d) { return d->line_cnt++ < COH_STATETEST_DIFF_MAX; }

static void diff_word(diff_t *d, char const *what, coh_u256_t const *got, coh_u256_t const *want)
{
    if (!coh_u256_eq(got, want) && next_line(d)) {
        char got_text[COH_HEX_QUANTITY_SZ];
        char want_text[COH_HEX_QUANTITY_SZ];
        (void)coh_hex_quantity(got_text, got);
        (void)coh_hex_quantity(want_text, want);
        coh_buf_printf(d->out, "%s %s %s, expected %s\n", d->addr, what, got_text, want_text);
    }
}

static void diff_slots(diff_t *d, slots_t const *got, coh_genesis_account_t const *want)
{
    coh_genesis_slot_t *x = sorted(got->v, got->cnt, sizeof(*x), compare_slots);
    coh_genesis_slot_t *y = sorted(want->slots, want->slot_cnt, sizeof(*y), compare_slots);
    size_t i              = 0;
    size_t k              = 0;
    while (i < got->cnt || k < want->slot_cnt) {
        int order = 1;
        if (i < got->cnt) {
            order = k == want->slot_cnt ? -1 : compare_slots(&x[i], &y[k]);
        }
        char slot_text[COH_HEX_QUANTITY_SZ];
        char what[80];
        (void)coh_hex_quantity(slot_text, order <= 0 ? &x[i].key : &y[k].key);
        (void)snprintf(what, sizeof(what), "slot %s:", slot_text);
        diff_word(d,
                  what,
                  order <= 0 ? &x[i].value : &COH_U256_ZERO,
                  order >= 0 ? &y[k].value : &COH_U256_ZERO);
        i += order <= 0;
        k += order >= 0;
    }
    free(x);
    free(y);
}

static void diff_account(diff_t *d, account_t const *got, coh_genesis_account_t const *want)
{
    coh_u256_t got_nonce  = coh_u256(got->value.nonce);
    coh_u256_t want_nonce = coh_u256(want->nonce);
    diff_word(d, "nonce", &got_nonce, &want_nonce);
    diff_word(d, "balance", &got->value.word, &want->balance);
    coh_bytes_t code = coh_value_has_code(&got->value)
                           ? coh_memview_code(d->mv, &got->value.code_hash)
                           : coh_bytes(NULL, 0);
    if (!coh_bytes_eq(code, want->code) && next_line(d)) {
        coh_buf_printf(
            d->out, "%s code of %zu octets, expected %zu\n", d->addr, code.n, want->code.n);
    }
    slots_t slots = {0};
    coh_memview_slots(d->mv, &got->addr, add_slot, &slots);
    diff_slots(d, &slots, want);
    free(slots.v);
}

void coh_statetest_diff(coh_buf_t *out,
                        coh_memview_t const *mv,
                        coh_statetest_state_t const *expected)
{
    diff_t d       = {.out = out, .mv = mv, .addr = "0x"};
    accounts_t got = {0};
    coh_memview_accounts(mv, add_account, &got);
    account_t *x = sorted(got.v, got.cnt, sizeof(*x), compare_accounts);
    coh_genesis_account_t *y =
        sorted(expected->accounts, expected->account_cnt, sizeof(*y), compare_accounts);
    size_t i = 0;
    size_t k = 0;
    while (i < got.cnt || k < expected->account_cnt) {
        int order = 1;
        if (i < got.cnt) {
            order = k == expected->account_cnt ? -1 : compare_accounts(&x[i], &y[k]);
        }
        coh_addr_t const *addr = order <= 0 ? &x[i].addr : &y[k].addr;
        coh_hex_encode(d.addr + 2, addr->b, sizeof(addr->b));
        if (order == 0) {
            diff_account(&d, &x[i], &y[k]);
        } else if (next_line(&d)) {
            coh_buf_printf(
                out, "%s %s\n", d.addr, order < 0 ? "exists, expected not to" : "is missing");
        }
        i += order <= 0;
        k += order >= 0;
    }
    free(x);
    free(y);
    if (d.line_cnt > COH_STATETEST_DIFF_MAX) {
        coh_buf_printf(out, "and %zu more\n", d.line_cnt - COH_STATETEST_DIFF_MAX);
    }
    free(got.v);
}
