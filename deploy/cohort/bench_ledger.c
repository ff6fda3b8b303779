#include "deploy/cohort/bench_ledger.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/hex.h"
#include "common/codec/block.h"

typedef enum { UNSENT, SENT, TAKEN, REFUSED } entry_state_t;

typedef struct {
    uint64_t sent_us;
    uint8_t state;
    uint8_t receipt_cnt; /* stays at 255 */
    bool dropped;
} entry_t;

struct coh_bench_ledger {
    coh_bench_load_t const *load;
    coh_bench_accounts_t const *accounts;
    entry_t *entries;
    /* Transaction by hash: open addressing, position + 1, 0 for none. */
    uint32_t *index;
    size_t index_mask;
    coh_u256_t *balances; /* of accounts, then of the coinbase */
    uint64_t *nonces;
    uint64_t head;
    coh_u256_t base_fee; /* of the block after head */
    uint64_t gas_limit;
    coh_u256_t burnt;
    coh_bench_counts_t counts;
    uint64_t open_cnt;
    uint32_t *latencies; /* counts.receipts of them */
    size_t latency_cnt;
    size_t recent_from;
    coh_bench_verdict_t verdicts[COH_BENCH_CHECK_CNT];
};

COH_PRINTF(3, 4)
static void fault(coh_bench_ledger_t *l, coh_bench_check_t check, char const *fmt, ...)
{
    coh_bench_verdict_t *v = &l->verdicts[check];
    if (v->fault_cnt++ < COH_BENCH_FAULTS_SHOWN) {
        char line[256];
        va_list args;
        va_start(args, fmt);
        int n = vsnprintf(line, sizeof(line), fmt, args);
        va_end(args);
        coh_buf_put(&v->text, line, COH_MIN((size_t)n, sizeof(line) - 1));
        coh_buf_put_u8(&v->text, '\n');
    }
}

static size_t slot_of(coh_bench_ledger_t const *l, coh_hash_t const *hash)
{
    return (size_t)coh_load_u64_le(hash->b) & l->index_mask;
}

/* Position of the transaction with this hash; false if we did not make it. */
static bool find_tx(coh_bench_ledger_t const *l, coh_hash_t const *hash, size_t *tx)
{
    for (size_t at = slot_of(l, hash); l->index[at] != 0; at = (at + 1) & l->index_mask) {
        *tx = l->index[at] - 1;
        if (coh_hash_eq(&l->load->v[*tx].hash, hash)) {
            return true;
        }
    }
    return false;
}

coh_bench_ledger_t *coh_bench_ledger_new(coh_bench_load_t const *load,
                                         coh_bench_accounts_t const *accounts,
                                         coh_u256_t const *coinbase_balance,
                                         uint64_t head,
                                         coh_u256_t const *base_fee,
                                         uint64_t gas_limit)
{
    coh_bench_ledger_t *l = coh_calloc(1, sizeof(*l));
    *l                    = (coh_bench_ledger_t){
                           .load      = load,
                           .accounts  = accounts,
                           .entries   = coh_calloc(load->cnt + 1, sizeof(*l->entries)),
                           .balances  = coh_calloc(accounts->cnt + 1, sizeof(*l->balances)),
                           .nonces    = coh_calloc(accounts->cnt, sizeof(*l->nonces)),
                           .head      = head,
                           .base_fee  = *base_fee,
                           .gas_limit = gas_limit,
                           .latencies = coh_calloc(load->cnt + 1, sizeof(*l->latencies)),
    };
    size_t slots = 16;
    while (slots < 2 * load->cnt) {
        slots *= 2;
    }
    l->index      = coh_calloc(slots, sizeof(*l->index));
    l->index_mask = slots - 1;
    for (size_t i = 0; i < load->cnt; i++) {
        size_t at = slot_of(l, &load->v[i].hash);
        while (l->index[at] != 0) {
            at = (at + 1) & l->index_mask;
        }
        l->index[at] = (uint32_t)i + 1;
    }
    for (size_t i = 0; i < accounts->cnt; i++) {
        l->balances[i] = accounts->v[i].balance;
        l->nonces[i]   = accounts->v[i].nonce;
    }
    l->balances[accounts->cnt] = *coinbase_balance;
    return l;
}

void coh_bench_ledger_free(coh_bench_ledger_t *ledger)
{
    for (int i = 0; i < COH_BENCH_CHECK_CNT; i++) {
        coh_buf_free(&ledger->verdicts[i].text);
    }
    free(ledger->entries);
    free(ledger->index);
    free(ledger->balances);
    free(ledger->nonces);
    free(ledger->latencies);
    free(ledger);
}

void coh_bench_ledger_sent(coh_bench_ledger_t *ledger, size_t tx, uint64_t now_us)
{
    entry_t *e = &ledger->entries[tx];
    COH_ASSERT(e->state == UNSENT);
    e->state   = SENT;
    e->sent_us = now_us;
    ledger->counts.sent++;
    ledger->open_cnt++;
}

void coh_bench_ledger_answered(coh_bench_ledger_t *ledger, size_t tx, coh_tx_err_t err)
{
    entry_t *e = &ledger->entries[tx];
    COH_ASSERT(e->state == SENT);
    if (err == COH_TX_OK) {
        e->state = TAKEN;
        ledger->counts.taken++;
        return;
    }
    e->state = REFUSED;
    ledger->counts.refused++;
    if (e->receipt_cnt == 0 && !e->dropped) {
        ledger->open_cnt--;
    }
}

void coh_bench_ledger_dropped(coh_bench_ledger_t *ledger, coh_hash_t const *hash, uint32_t verdict)
{
    size_t tx;
    if (!find_tx(ledger, hash, &tx) || ledger->entries[tx].dropped) {
        return;
    }
    entry_t *e = &ledger->entries[tx];
    e->dropped = true;
    ledger->counts.dropped++;
    if (e->receipt_cnt == 0) {
        ledger->open_cnt--;
    } else {
        fault(ledger,
              COH_BENCH_CHECK_RECEIPTS,
              "transaction %zu has a receipt and is reported dropped (verdict %u)",
              tx,
              verdict);
    }
}

/* What one gas costs the sender of a transaction of this type (EIP-1559). */
static coh_u256_t price_of(coh_bench_ledger_t const *l, uint8_t type)
{
    coh_u256_t price = coh_bench_max_fee();
    if (type == COH_TX_DYNAMIC_FEE) {
        coh_u256_t tip = coh_bench_max_tip();
        (void)coh_u256_add(&tip, &tip, &l->base_fee);
        if (coh_u256_lt(&tip, &price)) {
            price = tip;
        }
    }
    return price;
}

static void check_fields(coh_bench_ledger_t *l,
                         size_t tx,
                         uint64_t number,
                         uint32_t tx_idx,
                         uint64_t gas_before,
                         coh_op_receipt_t const *r)
{
    coh_bench_tx_t const *plan = &l->load->v[tx];
    coh_u256_t price           = price_of(l, plan->type);
    char const *wrong          = NULL;
    if (!coh_addr_eq(&r->from, &l->accounts->v[plan->from].addr)) {
        wrong = "sender";
    } else if (!coh_addr_eq(&r->to, &l->accounts->v[plan->to].addr)) {
        wrong = "receiver";
    } else if (r->type != plan->type) {
        wrong = "type";
    } else if (r->status != 1) {
        wrong = "status";
    } else if (r->gas_used != plan->gas) {
        wrong = "gas used";
    } else if (!coh_u256_eq(&r->effective_price, &price)) {
        wrong = "effective price";
    } else if (r->block != number || r->tx_idx != tx_idx) {
        wrong = "position";
    } else if (r->cumulative_gas != gas_before + r->gas_used) {
        wrong = "cumulative gas";
    } else if (plan->nonce != l->nonces[plan->from]) {
        wrong = "order by nonce";
    }
    if (wrong != NULL) {
        fault(l,
              COH_BENCH_CHECK_FIELDS,
              "transaction %zu in block %llu: wrong %s",
              tx,
              (unsigned long long)number,
              wrong);
    }
}

/* Moves the money of one receipt. */
static void book(coh_bench_ledger_t *l, size_t tx, coh_op_receipt_t const *r)
{
    coh_bench_tx_t const *plan = &l->load->v[tx];
    coh_u256_t price           = price_of(l, plan->type);
    coh_u256_t value           = coh_u256(plan->value);
    coh_u256_t cost;
    coh_u256_t tip;
    (void)coh_u256_mul_u64(&cost, &price, r->gas_used);
    (void)coh_u256_add(&cost, &cost, &value);
    (void)coh_u256_sub(&tip, &price, &l->base_fee);
    (void)coh_u256_mul_u64(&tip, &tip, r->gas_used);
    coh_u256_t *from     = &l->balances[plan->from];
    coh_u256_t *to       = &l->balances[plan->to];
    coh_u256_t *coinbase = &l->balances[l->accounts->cnt];
    (void)coh_u256_sub(from, from, &cost);
    (void)coh_u256_add(to, to, &value);
    (void)coh_u256_add(coinbase, coinbase, &tip);
    l->nonces[plan->from]++;
}

void coh_bench_ledger_block(coh_bench_ledger_t *ledger,
                            uint64_t number,
                            coh_op_receipt_t const *receipts,
                            uint32_t cnt,
                            uint64_t now_us)
{
    COH_ASSERT(number == ledger->head + 1);
    uint64_t gas_used = 0;
    for (uint32_t i = 0; i < cnt; i++) {
        coh_op_receipt_t const *r = &receipts[i];
        size_t tx;
        if (!find_tx(ledger, &r->tx_hash, &tx) || ledger->entries[tx].state == UNSENT) {
            fault(ledger,
                  COH_BENCH_CHECK_RECEIPTS,
                  "block %llu holds a transaction that this bench did not send",
                  (unsigned long long)number);
            gas_used += r->gas_used;
            continue;
        }
        entry_t *e = &ledger->entries[tx];
        check_fields(ledger, tx, number, i, gas_used, r);
        gas_used += r->gas_used;
        if (e->receipt_cnt < UINT8_MAX) {
            e->receipt_cnt++;
        }
        if (e->receipt_cnt > 1) {
            fault(ledger,
                  COH_BENCH_CHECK_RECEIPTS,
                  "transaction %zu has a second receipt, in block %llu",
                  tx,
                  (unsigned long long)number);
            continue;
        }
        if (e->dropped) {
            fault(ledger,
                  COH_BENCH_CHECK_RECEIPTS,
                  "transaction %zu was reported dropped and has a receipt",
                  tx);
        } else {
            ledger->open_cnt -= e->state != REFUSED;
        }
        book(ledger, tx, r);
        ledger->counts.receipts++;
        ledger->latencies[ledger->latency_cnt++] =
            (uint32_t)COH_MIN(now_us - e->sent_us, (uint64_t)UINT32_MAX);
    }
    coh_u256_t burnt;
    (void)coh_u256_mul_u64(&burnt, &ledger->base_fee, gas_used);
    (void)coh_u256_add(&ledger->burnt, &ledger->burnt, &burnt);
    ledger->counts.blocks += cnt > 0;
    ledger->counts.gas_used += gas_used;
    ledger->base_fee = coh_base_fee_next(&ledger->base_fee, gas_used, ledger->gas_limit);
    ledger->head     = number;
}

uint64_t coh_bench_ledger_head(coh_bench_ledger_t const *ledger) { return ledger->head; }

coh_bench_counts_t coh_bench_ledger_counts(coh_bench_ledger_t const *ledger)
{
    return ledger->counts;
}

uint64_t coh_bench_ledger_open_cnt(coh_bench_ledger_t const *ledger) { return ledger->open_cnt; }

static int compare_u32(void const *a, void const *b)
{
    uint32_t x = *(uint32_t const *)a;
    uint32_t y = *(uint32_t const *)b;
    return (x > y) - (x < y);
}

/* Nearest-rank quantile of sorted values. */
static uint32_t quantile_of(uint32_t const *sorted, size_t cnt, double quantile)
{
    if (cnt == 0) {
        return 0;
    }
    size_t at = (size_t)(quantile * (double)cnt);
    return sorted[COH_MIN(at, cnt - 1)];
}

uint32_t coh_bench_ledger_latency(coh_bench_ledger_t *ledger, double quantile)
{
    qsort(ledger->latencies, ledger->latency_cnt, sizeof(*ledger->latencies), compare_u32);
    ledger->recent_from = ledger->latency_cnt;
    return quantile_of(ledger->latencies, ledger->latency_cnt, quantile);
}

void coh_bench_ledger_recent(coh_bench_ledger_t *ledger, uint32_t *p50, uint32_t *p99)
{
    uint32_t *from = ledger->latencies + ledger->recent_from;
    size_t cnt     = ledger->latency_cnt - ledger->recent_from;
    qsort(from, cnt, sizeof(*from), compare_u32);
    *p50                = quantile_of(from, cnt, 0.50);
    *p99                = quantile_of(from, cnt, 0.99);
    ledger->recent_from = ledger->latency_cnt;
}

static void put_addr(char out[2 * sizeof(coh_addr_t) + 1],
                     coh_bench_accounts_t const *accounts,
                     size_t i)
{
    coh_addr_t const *addr = i < accounts->cnt ? &accounts->v[i].addr : &accounts->coinbase;
    coh_hex_encode(out, addr->b, sizeof(addr->b));
}

void coh_bench_ledger_close(coh_bench_ledger_t *ledger,
                            coh_op_account_t const *state,
                            coh_u256_t const *supply,
                            coh_u256_t const *burnt_before,
                            coh_u256_t const *burnt_after)
{
    for (size_t i = 0; i < ledger->load->cnt; i++) {
        entry_t const *e = &ledger->entries[i];
        if ((e->state == TAKEN || e->state == SENT) && e->receipt_cnt == 0 && !e->dropped) {
            fault(ledger,
                  COH_BENCH_CHECK_RECEIPTS,
                  "transaction %zu was %s and has no receipt",
                  i,
                  e->state == TAKEN ? "taken" : "never answered");
        } else if (e->state == REFUSED && e->receipt_cnt != 0) {
            fault(ledger,
                  COH_BENCH_CHECK_RECEIPTS,
                  "transaction %zu was refused and has a receipt",
                  i);
        }
    }
    coh_u256_t sum = *burnt_before;
    bool carry     = coh_u256_add(&sum, &sum, &ledger->burnt);
    if (!coh_u256_eq(&sum, burnt_after)) {
        char is[COH_U256_DEC_SZ];
        char want[COH_U256_DEC_SZ];
        coh_u256_to_dec(is, burnt_after);
        coh_u256_to_dec(want, &sum);
        fault(ledger,
              COH_BENCH_CHECK_SUPPLY,
              "the cluster says that %s wei were burnt, expected %s",
              is,
              want);
    }
    for (size_t i = 0; i <= ledger->accounts->cnt; i++) {
        char addr[2 * sizeof(coh_addr_t) + 1];
        put_addr(addr, ledger->accounts, i);
        uint64_t nonce = i < ledger->accounts->cnt ? ledger->nonces[i] : 0;
        if (state[i].nonce != nonce) {
            fault(ledger,
                  COH_BENCH_CHECK_NONCES,
                  "0x%s: nonce %llu, expected %llu",
                  addr,
                  (unsigned long long)state[i].nonce,
                  (unsigned long long)nonce);
        }
        if (!coh_u256_eq(&state[i].balance, &ledger->balances[i])) {
            char is[COH_U256_DEC_SZ];
            char want[COH_U256_DEC_SZ];
            coh_u256_to_dec(is, &state[i].balance);
            coh_u256_to_dec(want, &ledger->balances[i]);
            fault(
                ledger, COH_BENCH_CHECK_BALANCES, "0x%s: balance %s, expected %s", addr, is, want);
        }
        carry |= coh_u256_add(&sum, &sum, &state[i].balance);
    }
    if (carry || !coh_u256_eq(&sum, supply)) {
        char is[COH_U256_DEC_SZ];
        char want[COH_U256_DEC_SZ];
        coh_u256_to_dec(is, &sum);
        coh_u256_to_dec(want, supply);
        fault(ledger,
              COH_BENCH_CHECK_SUPPLY,
              "balances and burnt fees are %s wei, genesis gave %s",
              is,
              want);
    }
}

coh_bench_verdict_t const *coh_bench_ledger_verdict(coh_bench_ledger_t const *ledger,
                                                    coh_bench_check_t check)
{
    return &ledger->verdicts[check];
}

char const *coh_bench_check_str(coh_bench_check_t check)
{
    switch (check) {
    case COH_BENCH_CHECK_RECEIPTS:
        return "every transaction taken has exactly one receipt, or is reported dropped";
    case COH_BENCH_CHECK_FIELDS:
        return "receipts say what was sent, at the right price, in nonce order";
    case COH_BENCH_CHECK_NONCES: return "every account's nonce is right";
    case COH_BENCH_CHECK_BALANCES: return "every account's balance is right, to the wei";
    case COH_BENCH_CHECK_SUPPLY: return "all balances and burnt fees add up to what genesis gave";
    case COH_BENCH_CHECK_CNT: break;
    }
    return "?";
}

coh_u256_t coh_bench_ledger_burnt(coh_bench_ledger_t const *ledger) { return ledger->burnt; }
