/* The driver: one thread that hands in signed transfers, keeps a bounded number of them without a receipt, and enters receipts into the ledger in
   the order of blocks. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/client/client.h"
#include "coordinator/placement.h"
#include "deploy/cohort/args.h"
#include "deploy/cohort/bench.h"
#include "deploy/cohort/bench_ledger.h"
#include "deploy/cohort/bench_report.h"
#include "deploy/cohort/bench_text.h"

/* Ranks report their metrics once a second: after this long without load the status shows all of them as they are. */
#define STATS_SETTLE_US 2200000u
/* A run without any receipt for so long has failed. */
#define STALL_US UINT64_C(30000000)
/* So long without a publication, the head is asked for: publications may be lost. */
#define SILENCE_US            UINT64_C(1000000)
#define BACKOFF_US_MIN        UINT64_C(2000)
#define BACKOFF_US_MAX        UINT64_C(100000)
#define PUBLICATION_BYTES_MAX (UINT32_C(64) << 20)

/* A request on its way. */
typedef struct {
    uint32_t *txs; /* positions in the load */
    uint32_t cnt;
    bool is_busy; /* on its way; else free */
} batch_t;

typedef struct {
    coh_bench_options_t const *options;
    coh_client_t *client;
    coh_client_pipeline_t *pipeline;
    coh_client_subscription_t *subscription;
    coh_bench_accounts_t accounts;
    coh_bench_load_t load;
    coh_bench_report_t report;
    /* of the run */
    batch_t *batches;
    size_t batch_tx_max;
    size_t next_tx;  /* of the load, not handed in yet */
    uint32_t *again; /* ring of load.cnt + 1: to be handed in again, oldest first */
    size_t again_first;
    size_t again_cnt;
    bool *is_unsure; /* by transaction: a request with it was lost, perhaps after it was taken */
    uint64_t backoff_us; /* 0: none */
    uint64_t resume_us;
    uint64_t first_us; /* first submission */
    uint64_t last_us;  /* last receipt, or the start */
    char const *fatal; /* why the run cannot go on */
} bench_t;

/* Says what failed on standard error; returns false. */
COH_PRINTF(1, 2) static bool fail(char const *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    (void)fprintf(stderr, "cohort bench: %s\n", text);
    return false;
}

/* ---- Before and after: what the cluster says of itself ---------------------------------------------------------------------- */

static bool take_stats(bench_t *b, coh_bench_stats_t *out)
{
    coh_op_status_answer_t answer;
    coh_op_status_request_t request = {0};
    if (coh_client_status(b->client, &answer, &request) != COH_OK) {
        return fail("%s", coh_client_error(b->client));
    }
    coh_buf_t err_text = COH_BUF_INIT;
    coh_err_t err      = coh_bench_stats_parse(out, answer.json, &err_text);
    if (err != COH_OK) {
        fail("%.*s", (int)err_text.n, (char const *)err_text.p);
    }
    coh_buf_free(&err_text);
    out->taken_us = coh_clock_mono_us();
    return err == COH_OK;
}

/* All accounts of the load, then the coinbase; *block is the committed block that they belong to. */
static bool read_accounts(bench_t *b, coh_op_account_t *out, uint64_t *block)
{
    size_t cnt        = b->accounts.cnt + 1;
    coh_addr_t *addrs = coh_calloc(cnt, sizeof(*addrs));
    for (size_t i = 0; i < b->accounts.cnt; i++) {
        addrs[i] = b->accounts.v[i].addr;
    }
    addrs[b->accounts.cnt] = b->accounts.coinbase;
    bool ok                = true;
    for (size_t at = 0; ok && at < cnt;) {
        coh_op_accounts_answer_t answer;
        coh_op_accounts_request_t request = {
            .addrs = {.v = addrs + at, .cnt = (uint32_t)COH_MIN(cnt - at, b->batch_tx_max)}};
        if (coh_client_accounts(b->client, &answer, &request) != COH_OK) {
            ok = fail("%s", coh_client_error(b->client));
        } else if (answer.accounts.cnt != request.addrs.cnt || (at > 0 && answer.block != *block)) {
            ok = fail(
                "accounts changed while they were read: is something else loading this cluster?");
        } else {
            memcpy(out + at, answer.accounts.v, answer.accounts.cnt * sizeof(*out));
            *block = answer.block;
            at += answer.accounts.cnt;
        }
    }
    free(addrs);
    return ok;
}

/* Which shard owns each account: the coordinator's first assignment, made here again from its policy. */
static bool place_accounts(bench_t *b)
{
    coh_directory_t dir;
    coh_buf_t err_text = COH_BUF_INIT;
    bool ok            = coh_placement_initial(
                  &dir, b->options->placement, b->report.idle.rank_cnt - 1, &err_text) == COH_OK;
    if (!ok) {
        fail("%.*s", (int)err_text.n, (char const *)err_text.p);
    } else {
        for (size_t i = 0; i < b->accounts.cnt; i++) {
            coh_addr_t const *addr = &b->accounts.v[i].addr;
            b->accounts.v[i].shard =
                (uint16_t)coh_directory_owner(&dir, addr, coh_directory_bucket(addr));
        }
        coh_directory_free(&dir);
    }
    coh_buf_free(&err_text);
    return ok;
}

/* Shards report their figures once a second: waits until what the status says is of a quiet cluster, and then for as long as the
   rest is measured. */
static bool measure_rest(bench_t *b)
{
    struct timespec const catch_up = {.tv_sec = 1, .tv_nsec = 200000000};
    struct timespec const rest     = {.tv_sec = 3};
    (void)nanosleep(&catch_up, NULL);
    coh_bench_stats_free(&b->report.idle);
    if (!take_stats(b, &b->report.idle)) {
        return false;
    }
    (void)nanosleep(&rest, NULL);
    return take_stats(b, &b->report.rested);
}

/* Learns chain, accounts and placement, and opens the books. */
static bool prepare(bench_t *b)
{
    coh_bench_options_t const *o = b->options;
    coh_op_head_answer_t head;
    coh_op_head_request_t head_request = {0};
    if (coh_client_head(b->client, &head, &head_request) != COH_OK) {
        return fail("%s: %s", o->requests, coh_client_error(b->client));
    }
    if (head.chain_id != COH_BENCH_CHAIN_ID) {
        return fail("the cluster runs chain %" PRIu64 ", not one made by --write-genesis",
                    head.chain_id);
    }
    b->batch_tx_max = COH_MIN(o->batch, (uint64_t)head.max_batch);
    coh_bench_accounts_new(&b->accounts, o->seed, o->account_cnt, o->thread_cnt);
    coh_op_account_t *state = coh_calloc(b->accounts.cnt + 1, sizeof(*state));
    uint64_t block          = 0;
    bool ok = take_stats(b, &b->report.idle) && place_accounts(b) && measure_rest(b) &&
              read_accounts(b, state, &block);
    if (ok && block != head.number) {
        ok = fail("blocks are being made: is something else loading this cluster?");
    }
    for (size_t i = 0; ok && i < b->accounts.cnt; i++) {
        b->accounts.v[i].nonce   = state[i].nonce;
        b->accounts.v[i].balance = state[i].balance;
        ok =
            !coh_u256_is_zero(&state[i].balance) ||
            fail("account %zu has no funds: same --seed and --accounts as for --write-genesis?", i);
    }
    coh_u256_t coinbase = state[b->accounts.cnt].balance;
    free(state);
    if (!ok) {
        return false;
    }
    b->report.recover_rate = coh_bench_recover_rate(o->thread_cnt);
    size_t cnt =
        o->tx_cnt != 0 ? o->tx_cnt : (size_t)((double)o->seconds * b->report.recover_rate * 1.1);
    coh_bench_load_plan(&b->load, &b->accounts, o->seed, cnt, (uint32_t)o->cross_percent, o->spot);
    coh_bench_load_sign(&b->load, &b->accounts, o->thread_cnt);
    b->report.ledger = coh_bench_ledger_new(
        &b->load, &b->accounts, &coinbase, head.number, &head.base_fee, head.gas_limit);
    return true;
}

/* ---- The run ---------------------------------------------------------------------------------------------------------------- */

static void push_again(bench_t *b, uint32_t tx)
{
    COH_ASSERT(b->again_cnt <= b->load.cnt);
    b->again[(b->again_first + b->again_cnt++) % (b->load.cnt + 1)] = tx;
}

static uint32_t pop_again(bench_t *b)
{
    COH_ASSERT(b->again_cnt > 0);
    uint32_t tx    = b->again[b->again_first];
    b->again_first = (b->again_first + 1) % (b->load.cnt + 1);
    b->again_cnt--;
    return tx;
}

/* Each busy answer in a row waits twice as long as the one before. */
static void back_off(bench_t *b)
{
    uint64_t now = coh_clock_mono_us();
    if (b->resume_us > now) {
        return; /* an answer to a request sent before the first busy one */
    }
    b->backoff_us =
        b->backoff_us == 0 ? BACKOFF_US_MIN : COH_MIN(2 * b->backoff_us, BACKOFF_US_MAX);
    b->resume_us = now + b->backoff_us;
}

static bool is_busy_err(coh_tx_err_t err)
{
    return err == COH_TX_BUSY || err == COH_TX_POOL_FULL || err == COH_TX_SENDER_LIMIT;
}

static void on_answer(void *arg,
                      uint64_t ticket,
                      coh_err_t err,
                      coh_op_submit_answer_t const *answer)
{
    bench_t *b     = arg;
    batch_t *batch = &b->batches[ticket];
    batch->is_busy = false;
    if (err == COH_OK && answer->txs.cnt != batch->cnt) {
        err = COH_EPROTO;
    }
    if (err != COH_OK) {
        if (err == COH_EBUSY) {
            b->report.busy_cnt += batch->cnt;
            back_off(b);
        } else if (err != COH_ETIMEOUT && err != COH_ECLOSED) {
            b->fatal = coh_err_str(err);
        }
        for (uint32_t i = 0; i < batch->cnt; i++) {
            b->is_unsure[batch->txs[i]] |= err != COH_EBUSY;
            push_again(b, batch->txs[i]);
        }
        return;
    }
    bool was_busy = false;
    for (uint32_t i = 0; i < batch->cnt; i++) {
        uint32_t tx         = batch->txs[i];
        coh_tx_err_t tx_err = (coh_tx_err_t)answer->txs.v[i].err;
        if (is_busy_err(tx_err)) {
            was_busy = true;
            b->report.busy_cnt++;
            push_again(b, tx);
            continue;
        }
        if (b->is_unsure[tx] && (tx_err == COH_TX_KNOWN || tx_err == COH_TX_NONCE_TOO_LOW)) {
            tx_err = COH_TX_OK; /* the lost request had been carried out */
        }
        if (tx_err != COH_TX_OK && b->fatal == NULL) {
            b->fatal = coh_tx_err_str(tx_err);
        }
        coh_bench_ledger_answered(b->report.ledger, tx, tx_err);
    }
    if (was_busy) {
        back_off(b);
    } else {
        b->backoff_us = 0;
    }
}

static bool sending_is_over(bench_t const *b, uint64_t now)
{
    return b->next_tx == b->load.cnt || b->fatal != NULL ||
           (b->options->tx_cnt == 0 && b->first_us != 0 &&
            now - b->first_us > b->options->seconds * 1000000);
}

/* Hands in what there is room for; true if anything. */
static bool submit_some(bench_t *b)
{
    bool did = false;
    for (size_t slot = 0; slot < b->options->pipeline; slot++) {
        batch_t *batch = &b->batches[slot];
        uint64_t now   = coh_clock_mono_us();
        if (batch->is_busy || now < b->resume_us) {
            continue;
        }
        uint64_t open = coh_bench_ledger_open_cnt(b->report.ledger);
        uint64_t room = open < b->options->window ? b->options->window - open : 0;
        size_t left   = sending_is_over(b, now) ? 0 : b->load.cnt - b->next_tx;
        size_t fresh  = COH_MIN(left, b->batch_tx_max - COH_MIN(b->again_cnt, b->batch_tx_max));
        if (fresh > room) {
            fresh = 0; /* whole batches: wait for room */
        }
        batch->cnt = 0;
        while (b->again_cnt > 0 && batch->cnt < b->batch_tx_max) {
            batch->txs[batch->cnt++] = pop_again(b);
        }
        for (size_t i = 0; i < fresh; i++) {
            batch->txs[batch->cnt++] = (uint32_t)(b->next_tx + i);
        }
        if (batch->cnt == 0) {
            break;
        }
        coh_bytes_t *raws = coh_calloc(batch->cnt, sizeof(*raws));
        for (uint32_t i = 0; i < batch->cnt; i++) {
            raws[i] = b->load.v[batch->txs[i]].raw;
        }
        coh_op_submit_request_t request = {.raws = {.v = raws, .cnt = batch->cnt}};
        coh_err_t err                   = coh_client_pipeline_submit(b->pipeline, &request, slot);
        free(raws);
        if (err != COH_OK) {
            for (uint32_t i = 0; i < batch->cnt - fresh; i++) {
                push_again(b, batch->txs[i]);
            }
            if (err != COH_EBUSY) {
                b->fatal = coh_err_str(err);
            }
            break;
        }
        batch->is_busy = true;
        did            = true;
        if (b->first_us == 0) {
            b->first_us = now;
            b->last_us  = now;
        }
        for (size_t i = 0; i < fresh; i++) {
            coh_bench_ledger_sent(b->report.ledger, b->next_tx++, now);
        }
    }
    return did;
}

/* Enters the receipts of all blocks after the ledger's head up to last, asking for each. */
static void fetch_blocks(bench_t *b, uint64_t last)
{
    for (uint64_t number = coh_bench_ledger_head(b->report.ledger) + 1;
         number <= last && b->fatal == NULL;
         number++) {
        coh_op_block_receipts_answer_t answer;
        coh_op_block_receipts_request_t request = {.number = number};
        if (coh_client_block_receipts(b->client, &answer, &request) != COH_OK) {
            b->fatal = coh_client_error(b->client);
            return;
        }
        b->report.gap_cnt++;
        b->last_us = coh_clock_mono_us();
        coh_bench_ledger_block(
            b->report.ledger, number, answer.receipts.v, answer.receipts.cnt, b->last_us);
    }
}

static void on_publication(bench_t *b, coh_pub_t const *pub)
{
    if (pub->topic == COH_PUB_DROPPED) {
        for (uint32_t i = 0; i < pub->u.dropped.txs.cnt; i++) {
            coh_bench_ledger_dropped(b->report.ledger,
                                     &pub->u.dropped.txs.v[i].tx_hash,
                                     pub->u.dropped.txs.v[i].verdict);
        }
    } else if (pub->topic == COH_PUB_RECEIPTS &&
               pub->u.receipts.number > coh_bench_ledger_head(b->report.ledger)) {
        uint64_t now = coh_clock_mono_us();
        fetch_blocks(b, pub->u.receipts.number - 1);
        if (b->fatal == NULL) {
            b->last_us = now;
            coh_bench_ledger_block(b->report.ledger,
                                   pub->u.receipts.number,
                                   pub->u.receipts.receipts.v,
                                   pub->u.receipts.receipts.cnt,
                                   now);
        }
    }
}

/* Takes in all publications that are there, waiting up to timeout_ms for the first; true if there was any. */
static bool drain_publications(bench_t *b, uint32_t timeout_ms)
{
    bool did = false;
    for (;;) {
        coh_pub_t pub;
        coh_err_t err = coh_client_next(b->subscription, &pub, did ? 0 : timeout_ms);
        if (err == COH_ETIMEOUT) {
            return did;
        }
        if (err == COH_OK) {
            on_publication(b, &pub);
        } else if (err != COH_EPROTO) {
            b->fatal = coh_err_str(err);
            return did;
        }
        did = true;
    }
}

static void show_progress(bench_t *b, uint64_t *shown_us, uint64_t *shown_cnt)
{
    uint64_t now = coh_clock_mono_us();
    if (now - *shown_us < 1000000) {
        return;
    }
    uint32_t p50;
    uint32_t p99;
    char rate[COH_BENCH_GROUP_SZ];
    uint64_t cnt = coh_bench_ledger_counts(b->report.ledger).receipts;
    coh_bench_ledger_recent(b->report.ledger, &p50, &p99);
    coh_bench_group(rate, (cnt - *shown_cnt) * 1000000 / COH_MAX(now - *shown_us, UINT64_C(1)));
    coh_bench_progress(false,
                       "running   %5.1f s  %9s tx/s  p50 %6.1f ms  p99 %6.1f ms  %" PRIu64
                       " without receipt  %" PRIu64 " busy",
                       (double)(now - b->first_us) / 1e6,
                       rate,
                       p50 / 1e3,
                       p99 / 1e3,
                       coh_bench_ledger_open_cnt(b->report.ledger),
                       b->report.busy_cnt);
    *shown_us  = now;
    *shown_cnt = cnt;
}

/* Drives the load through the cluster until everything that was handed in is closed. */
static void run(bench_t *b)
{
    uint64_t shown_us  = coh_clock_mono_us();
    uint64_t shown_cnt = 0;
    uint64_t asked_us  = shown_us;
    while (b->fatal == NULL || coh_client_pipeline_in_flight(b->pipeline) > 0) {
        bool did           = submit_some(b);
        uint32_t in_flight = coh_client_pipeline_in_flight(b->pipeline);
        if (coh_client_pipeline_poll(b->pipeline, 0) != COH_OK) {
            b->fatal = "the connection for requests failed";
            break;
        }
        did |= coh_client_pipeline_in_flight(b->pipeline) != in_flight;
        did |= drain_publications(b, did ? 0 : 1);
        uint64_t now    = coh_clock_mono_us();
        bool all_closed = b->again_cnt == 0 && coh_client_pipeline_in_flight(b->pipeline) == 0 &&
                          coh_bench_ledger_open_cnt(b->report.ledger) == 0;
        if (sending_is_over(b, now) && all_closed) {
            break;
        }
        if (b->first_us != 0 && now - b->last_us > STALL_US) {
            b->fatal = "no receipt for 30 seconds";
            break;
        }
        if (b->first_us != 0 && now - b->last_us > SILENCE_US && now - asked_us > SILENCE_US) {
            asked_us = now;
            coh_op_head_answer_t head;
            coh_op_head_request_t request = {0};
            if (coh_client_head(b->client, &head, &request) == COH_OK) {
                fetch_blocks(b, head.number);
            }
        }
        show_progress(b, &shown_us, &shown_cnt);
    }
    char cnt[COH_BENCH_GROUP_SZ];
    coh_bench_progress(true,
                       "finished  %s receipts in %.1f s",
                       coh_bench_group(cnt, coh_bench_ledger_counts(b->report.ledger).receipts),
                       (double)(b->last_us - b->first_us) / 1e6);
}

static bool close_books(bench_t *b)
{
    usleep(STATS_SETTLE_US);
    if (!take_stats(b, &b->report.after)) {
        return false;
    }
    coh_op_account_t *state = coh_calloc(b->accounts.cnt + 1, sizeof(*state));
    uint64_t block          = 0;
    bool ok                 = read_accounts(b, state, &block);
    if (ok && block != coh_bench_ledger_head(b->report.ledger)) {
        ok = fail("the cluster is at block %" PRIu64 ", the last receipts were of block %" PRIu64,
                  block,
                  coh_bench_ledger_head(b->report.ledger));
    }
    if (ok) {
        coh_u256_t supply = coh_bench_supply(&b->accounts);
        coh_bench_ledger_close(
            b->report.ledger, state, &supply, &b->report.before.burnt, &b->report.after.burnt);
    }
    free(state);
    return ok;
}

static bool write_json(bench_t *b)
{
    coh_buf_t text = COH_BUF_INIT;
    coh_bench_report_json(&text, &b->report);
    FILE *file = fopen(b->options->json_path, "w");
    bool ok    = file != NULL && fwrite(text.p, 1, text.n, file) == text.n;
    ok         = (file != NULL && fclose(file) == 0) && ok;
    coh_buf_free(&text);
    return ok || fail("cannot write %s", b->options->json_path);
}

static void count_cross(bench_t *b)
{
    /* Transactions are handed in by position, and all that were sent are closed: the first sent of the load. */
    for (uint64_t i = 0; i < b->report.counts.sent; i++) {
        b->report.cross_cnt += b->load.v[i].is_cross;
    }
}

static bool connect_all(bench_t *b)
{
    coh_bench_options_t const *o        = b->options;
    coh_client_options_t client_options = COH_CLIENT_OPTIONS_DEFAULT;
    client_options.in_flight_max        = (uint32_t)o->pipeline;
    coh_buf_t err_text                  = COH_BUF_INIT;
    bool ok =
        coh_client_open(&b->client, o->requests, &client_options, &err_text) == COH_OK &&
        coh_client_pipeline_open(
            &b->pipeline, o->requests, &client_options, &err_text, on_answer, b) == COH_OK &&
        coh_client_subscribe(
            &b->subscription, o->publications, "RD", PUBLICATION_BYTES_MAX, &err_text) == COH_OK;
    if (!ok) {
        fail("%.*s", (int)err_text.n, (char const *)err_text.p);
    }
    coh_buf_free(&err_text);
    return ok;
}

static int bench(bench_t *b)
{
    coh_bench_options_t const *o = b->options;
    if (!connect_all(b) || !prepare(b)) {
        return COH_EXIT_FAILED;
    }
    b->batches = coh_calloc(o->pipeline, sizeof(*b->batches));
    for (size_t i = 0; i < o->pipeline; i++) {
        b->batches[i].txs = coh_calloc(b->batch_tx_max, sizeof(*b->batches[i].txs));
    }
    b->again     = coh_calloc(b->load.cnt + 1, sizeof(*b->again));
    b->is_unsure = coh_calloc(b->load.cnt + 1, sizeof(*b->is_unsure));
    if (!take_stats(b, &b->report.before)) {
        return COH_EXIT_FAILED;
    }
    run(b);
    if (b->fatal != NULL) {
        fail("%s", b->fatal);
    }
    b->report.counts  = coh_bench_ledger_counts(b->report.ledger);
    b->report.seconds = (double)(b->last_us - b->first_us) / 1e6;
    count_cross(b);
    if (!close_books(b)) {
        return COH_EXIT_FAILED;
    }
    coh_buf_t text = COH_BUF_INIT;
    coh_bench_report_text(&text, &b->report);
    (void)fwrite(text.p, 1, text.n, stdout);
    coh_buf_free(&text);
    if (o->json_path != NULL && !write_json(b)) {
        return COH_EXIT_FAILED;
    }
    return coh_bench_report_ok(&b->report) && b->fatal == NULL ? COH_EXIT_OK : COH_EXIT_FAILED;
}

int coh_bench_transfers(coh_bench_options_t const *options)
{
    bench_t b = {
        .options = options,
        .report  = {.seed          = options->seed,
                    .account_cnt   = options->account_cnt,
                    .cross_percent = (uint32_t)options->cross_percent,
                    .spot          = options->spot,
                    .core_cnt      = options->thread_cnt},
    };
    int exit_code = bench(&b);
    if (b.pipeline != NULL) {
        coh_client_pipeline_close(b.pipeline); /* calls back: while the rest is there */
    }
    if (b.client != NULL) {
        coh_client_close(b.client);
    }
    if (b.subscription != NULL) {
        coh_client_unsubscribe(b.subscription);
    }
    if (b.report.ledger != NULL) {
        coh_bench_ledger_free(b.report.ledger);
    }
    for (size_t i = 0; b.batches != NULL && i < options->pipeline; i++) {
        free(b.batches[i].txs);
    }
    free(b.batches);
    free(b.again);
    free(b.is_unsure);
    coh_bench_load_free(&b.load);
    coh_bench_accounts_free(&b.accounts);
    coh_bench_stats_free(&b.report.idle);
    coh_bench_stats_free(&b.report.rested);
    coh_bench_stats_free(&b.report.before);
    coh_bench_stats_free(&b.report.after);
    return exit_code;
}
