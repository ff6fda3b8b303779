/* What rank 0 takes of clients' transactions before they have a verdict (coordinator/admission.h) is bounded, in number and in octets, blobs included, whoever recovers them: what would be too much is answered busy at once,
   the rest is answered for, and then there is room again. The transactions here are of no form, so that each verdict is known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "common/base/alloc.h"
#include "coordinator/admission.h"

#define TXS_MAX 4096u
/* The most octets of a transaction without blobs, and with them. */
#define PLAIN_BYTES COH_TX_RAW_MAX
#define BLOB_BYTES  COH_TX_NETWORK_MAX

static coh_block_env_t const next_block = {.number    = 1,
                                           .fork      = COH_FORK_PRAGUE,
                                           .gas_limit = 30000000,
                                           .chain_id  = 1,
                                           .blob_max  = 9};

/* What became of a request. */
typedef struct {
    uint32_t answered_cnt; /* 1, once */
    uint32_t cnt;
    uint32_t busy_cnt;
    uint32_t refused_cnt; /* for their form */
    coh_tx_err_t errs[TXS_MAX];
} told_t;

typedef struct {
    coh_env_t env;
    coh_admission_t *adm;
    coh_buf_t outbox; /* for the shard, if there is one */
    coh_buf_t large;  /* octets to submit */
    coh_bytes_t raws[TXS_MAX];
} world_t;

static uint64_t mono_us(coh_env_t *env)
{
    (void)env;
    return 1000;
}

static void wake(coh_env_t *env) { (void)env; }

static coh_buf_t *outbox(void *arg, uint32_t shard)
{
    assert_int_equal(shard, 0);
    return &((world_t *)arg)->outbox;
}

static world_t *new_world(uint32_t rank_cnt, uint32_t inflight_tx_max)
{
    world_t *w = coh_calloc(1, sizeof(*w));
    w->env     = (coh_env_t){.rank_cnt     = rank_cnt,
                             .metrics      = coh_metrics_new(0),
                             .mono_us      = mono_us,
                             .wake_workers = wake,
                             .wake_node    = wake};
    w->adm     = coh_admission_new(&(coh_admission_deps_t){.env             = &w->env,
                                                           .outbox          = outbox,
                                                           .outbox_arg      = w,
                                                           .chain_id        = 1,
                                                           .gas_limit       = 30000000,
                                                           .inflight_tx_max = inflight_tx_max});
    memset(coh_buf_extend(&w->large, BLOB_BYTES), 0, BLOB_BYTES);
    return w;
}

static void free_world(world_t *w)
{
    coh_admission_free(w->adm);
    coh_metrics_free(w->env.metrics);
    coh_buf_free(&w->outbox);
    coh_buf_free(&w->large);
    free(w);
}

static void take_answer(void *arg,
                        uint64_t tag,
                        coh_op_submit_answer_t const *answer,
                        coh_addr_t const *senders)
{
    (void)senders;
    told_t *told = arg;
    assert_int_equal(tag, 77);
    told->answered_cnt++;
    told->cnt = answer->txs.cnt;
    for (uint32_t i = 0; i < told->cnt; i++) {
        told->errs[i] = (coh_tx_err_t)answer->txs.v[i].err;
        told->busy_cnt += told->errs[i] == COH_TX_BUSY;
        told->refused_cnt += told->errs[i] == COH_TX_MALFORMED || told->errs[i] == COH_TX_TOO_LARGE;
    }
}

/* Submits cnt transactions of so many octets each. */
static void submit(world_t *w, told_t *told, uint32_t cnt, size_t bytes)
{
    assert_true(cnt <= TXS_MAX && bytes <= w->large.n);
    w->large.p[0] = bytes > PLAIN_BYTES ? COH_TX_BLOB : COH_TX_DYNAMIC_FEE;
    for (uint32_t i = 0; i < cnt; i++) {
        w->raws[i] = coh_bytes(w->large.p, bytes);
    }
    *told                       = (told_t){0};
    coh_op_submit_request_t req = {.raws = {.v = w->raws, .cnt = cnt}};
    coh_admission_submit(w->adm, &req, &next_block, take_answer, told, 77);
}

/* Everything that our own workers have. */
static void work(world_t *w)
{
    while (coh_admission_work(w->adm)) {
    }
    (void)coh_admission_poll(w->adm);
}

static void assert_told(told_t const *told, uint32_t refused_cnt, uint32_t busy_cnt)
{
    assert_int_equal(told->answered_cnt, 1);
    assert_int_equal(told->refused_cnt, refused_cnt);
    assert_int_equal(told->busy_cnt, busy_cnt);
    assert_int_equal(told->cnt, refused_cnt + busy_cnt);
}

/* 256 MiB fit, to the octet. bytes: a part of that. */
static void fill(size_t bytes)
{
    world_t *w    = new_world(1, TXS_MAX);
    told_t *first = coh_calloc(3, sizeof(*first));
    told_t *more  = first + 1;
    told_t *rest  = first + 2;
    uint32_t fit  = (uint32_t)(COH_ADMISSION_BYTES_MAX / bytes);
    assert_true(COH_ADMISSION_BYTES_MAX == (size_t)256 << 20 &&
                fit * bytes == COH_ADMISSION_BYTES_MAX);
    submit(w, first, fit - 1, bytes);
    submit(w, more, 3, bytes); /* one of them fits */
    assert_int_equal(first->answered_cnt + more->answered_cnt, 0);
    submit(w, rest, 2, 1);
    assert_told(rest, 0, 2); /* at once */
    work(w);
    assert_told(first, fit - 1, 0);
    assert_told(more, 1, 2);
    assert_int_not_equal(more->errs[0], COH_TX_BUSY);
    /* All of it is free again. */
    submit(w, first, fit + 1, bytes);
    assert_int_equal(first->answered_cnt, 0);
    work(w);
    assert_told(first, fit, 1);
    assert_int_equal(first->errs[fit], COH_TX_BUSY);
    free_world(w);
    free(first);
}

static void admission_holds_so_many_octets(void **state)
{
    (void)state;
    fill(PLAIN_BYTES);
}

static void admission_counts_the_octets_of_blobs(void **state)
{
    (void)state;
    fill(BLOB_BYTES);
}

/* What is larger than a transaction may be is no load. */
static void admission_takes_nothing_too_large(void **state)
{
    (void)state;
    world_t *w    = new_world(1, 2);
    told_t *told  = coh_calloc(1, sizeof(*told));
    *told         = (told_t){0};
    w->large.p[0] = COH_TX_DYNAMIC_FEE;
    for (uint32_t i = 0; i < 5; i++) {
        w->raws[i] = coh_bytes(w->large.p, i < 3 ? PLAIN_BYTES + 1 : 10);
    }
    coh_op_submit_request_t req = {.raws = {.v = w->raws, .cnt = 5}};
    coh_admission_submit(w->adm, &req, &next_block, take_answer, told, 77);
    work(w);
    assert_int_equal(told->answered_cnt, 1);
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(told->errs[i], i < 3 ? COH_TX_TOO_LARGE : COH_TX_MALFORMED);
    }
    free_world(w);
    free(told);
}

static void admission_holds_so_many_transactions(void **state)
{
    (void)state;
    enum { MAX = 1000 };
    world_t *w    = new_world(1, MAX);
    told_t *first = coh_calloc(2, sizeof(*first));
    told_t *more  = first + 1;
    submit(w, first, MAX + 7, 10);
    assert_int_equal(first->answered_cnt, 0);
    submit(w, more, 1, 10);
    assert_told(more, 0, 1);
    work(w);
    assert_told(first, MAX, 7);
    for (uint32_t i = 0; i < MAX + 7; i++) {
        assert_int_equal(first->errs[i], i < MAX ? COH_TX_MALFORMED : COH_TX_BUSY);
    }
    submit(w, more, MAX, 10);
    work(w);
    assert_told(more, MAX, 0);
    assert_int_equal(coh_metric_get(w->env.metrics, COH_M_gateway_tx_received), MAX + 7 + 1 + MAX);
    assert_int_equal(coh_metric_get(w->env.metrics, COH_M_gateway_tx_busy), 7 + 1);
    assert_int_equal(coh_metric_get(w->env.metrics, COH_M_gateway_tx_refused), 2 * MAX);
    free_world(w);
    free(first);
}

/* A RECOVER that was sent, answered by the shard that nothing of it is of any form. */
static void answer_recover(world_t *w, coh_buf_t const *sent, coh_err_t expected)
{
    coh_wire_reader_t *reader = coh_wire_reader_new();
    coh_buf_t frame           = COH_BUF_INIT;
    coh_envelope_t envelope   = {0};
    coh_msg_t msg;
    coh_wire_put_envelope(&frame, &envelope);
    coh_buf_put(&frame, sent->p, sent->n);
    assert_int_equal(coh_wire_reader_begin(reader, coh_buf_bytes(&frame), &envelope), COH_OK);
    while (coh_wire_reader_next(reader, &msg) == COH_OK) {
        assert_int_equal(msg.id, COH_MSG_RECOVER);
        uint32_t cnt                  = msg.u.recover.txs.cnt;
        coh_rec_recovered_tx_t *found = coh_calloc(cnt, sizeof(*found));
        for (uint32_t i = 0; i < cnt; i++) {
            found[i].err = COH_TX_MALFORMED;
        }
        coh_msg_recovered_t m = {.job = msg.u.recover.job, .txs = {.v = found, .cnt = cnt}};
        assert_int_equal(coh_admission_recovered(w->adm, 0, &m), expected);
        free(found);
    }
    coh_wire_reader_free(reader);
    coh_buf_free(&frame);
}

/* What a shard recovers is in flight until it has answered: the queue of our own workers being empty says nothing. */
static void admission_counts_what_shards_have(void **state)
{
    (void)state;
    world_t *w    = new_world(2, TXS_MAX);
    told_t *first = coh_calloc(2, sizeof(*first));
    told_t *more  = first + 1;
    uint32_t fit  = (uint32_t)(COH_ADMISSION_BYTES_MAX / PLAIN_BYTES);
    submit(w, first, fit, PLAIN_BYTES);
    assert_true(w->outbox.n > COH_ADMISSION_BYTES_MAX / 4); /* the shard has its share */
    coh_buf_t sent = w->outbox;
    w->outbox      = (coh_buf_t){0};
    work(w);
    assert_int_equal(first->answered_cnt, 0);
    submit(w, more, fit, PLAIN_BYTES); /* as much of it as our own workers have finished */
    work(w);
    assert_int_equal(first->answered_cnt, 0);
    answer_recover(w, &sent, COH_OK);
    assert_told(first, fit, 0);
    answer_recover(w, &sent, COH_EPROTO); /* once only */
    answer_recover(w, &w->outbox, COH_OK);
    assert_int_equal(more->answered_cnt, 1);
    assert_int_equal(more->busy_cnt + more->refused_cnt, fit);
    /* Both had a part, and neither was taken for the other's. */
    assert_true(more->busy_cnt > 0 && more->refused_cnt > 0);
    coh_buf_clear(&w->outbox);
    submit(w, more, fit + 1, PLAIN_BYTES);
    work(w);
    answer_recover(w, &w->outbox, COH_OK);
    assert_told(more, fit, 1);
    coh_buf_free(&sent);
    free_world(w);
    free(first);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(admission_holds_so_many_octets),
        cmocka_unit_test(admission_counts_the_octets_of_blobs),
        cmocka_unit_test(admission_takes_nothing_too_large),
        cmocka_unit_test(admission_holds_so_many_transactions),
        cmocka_unit_test(admission_counts_what_shards_have),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
