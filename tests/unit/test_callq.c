/* The calls of a shard and of the coordinator, message by message: what is refused, what waits, what is late; state asked of another shard and for another shard; and messages that nobody sends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/crypto/keccak.h"
#include "common/node/disk_req.h"
#include "coordinator/calls.h"
#include "coordinator/placement.h"
#include "shard/callq.h"
#include "tests/support/evmasm.h"

enum { RANKS = 3, HEAD = 40, TAG = 9 };

/* A shard of rank 1. */
typedef struct {
    coh_env_t env; /* first: it is cast back */
    coh_config_t config;
    coh_directory_t dir;
    coh_mvstore_t *mv;
    coh_past_t *past;
    coh_codes_t *codes;
    coh_reads_t *reads;
    coh_callq_t *q;
    uint64_t now_us;
    coh_buf_t outbox[RANKS];
    coh_disk_req_t *disk;
    coh_wire_reader_t *reader;
    coh_msg_t m; /* the last one that was sent */
    coh_buf_t raw;
} world_t;

static uint64_t now(coh_env_t *env) { return ((world_t *)env)->now_us; }

static coh_buf_t *outbox(coh_env_t *env, uint32_t dst)
{
    coh_buf_t *out = &((world_t *)env)->outbox[dst];
    if (out->n == 0) {
        coh_wire_put_envelope(out, &(coh_envelope_t){0});
    }
    return out;
}

static void take_disk(coh_env_t *env, coh_disk_req_t *req)
{
    world_t *w = (world_t *)env;
    assert_null(w->disk);
    assert_int_equal(req->tag, TAG);
    w->disk = req;
}

static void wake(coh_env_t *env) { (void)env; }

static void init(world_t *w)
{
    coh_buf_t why = COH_BUF_INIT;
    *w            = (world_t){.env    = {.rank         = 1,
                                         .rank_cnt     = RANKS,
                                         .mono_us      = now,
                                         .unix_us      = now,
                                         .outbox       = outbox,
                                         .disk         = take_disk,
                                         .wake_workers = wake,
                                         .wake_node    = wake},
                              .reader = coh_wire_reader_new()};
    coh_config_default(&w->config);
    w->config.call_inflight_max = 3;
    assert_int_equal(coh_placement_initial(&w->dir, "hash", RANKS - 1, &why), COH_OK);
    w->mv    = coh_mvstore_new(64, 1, 1, RANKS, NULL);
    w->past  = coh_past_new(4, 1 << 20, 1);
    w->codes = coh_codes_new(1 << 20);
    w->reads = coh_reads_new(w->mv, w->past, w->codes, &w->env, TAG);
    w->q     = coh_callq_new(&w->config, &w->env, &w->dir, w->past, w->reads, 1);
    coh_past_start(w->past, HEAD);
}

static void fini(world_t *w)
{
    coh_callq_free(w->q);
    coh_reads_free(w->reads);
    coh_codes_free(w->codes);
    coh_past_free(w->past);
    coh_mvstore_free(w->mv);
    coh_wire_reader_free(w->reader);
    coh_buf_free(&w->raw);
    for (int r = 0; r < RANKS; r++) {
        coh_buf_free(&w->outbox[r]);
    }
    if (w->disk != NULL) {
        coh_disk_req_free(w->disk);
    }
}

/* The one message for rank, into w->m; false: none. */
static bool sent(world_t *w, uint32_t rank, coh_msg_id_t id)
{
    coh_envelope_t envelope;
    coh_buf_t *out = &w->outbox[rank];
    if (out->n == 0) {
        return false;
    }
    assert_int_equal(coh_wire_reader_begin(w->reader, coh_buf_bytes(out), &envelope), COH_OK);
    assert_int_equal(coh_wire_reader_next(w->reader, &w->m), COH_OK);
    assert_int_equal(w->m.id, id);
    coh_buf_clear(out); /* its octets stay until the next message */
    return true;
}

static void work(world_t *w)
{
    while (coh_callq_poll(w->q) || coh_callq_work(w->q)) {
    }
    (void)coh_reads_poll(w->reads);
}

/* The disk has nothing. */
static void answer_disk(world_t *w)
{
    assert_non_null(w->disk);
    coh_disk_req_t *req = w->disk;
    w->disk             = NULL;
    for (size_t i = 0; i < req->key_cnt; i++) {
        req->errs[i] = COH_ENOTFOUND;
    }
    assert_int_equal(coh_reads_on_disk(w->reads, req), COH_OK);
    coh_disk_req_free(req);
}

/* An address of rank's. */
static coh_addr_t addr_of(world_t const *w, uint32_t rank)
{
    coh_addr_t addr = {.b = {0x77}};
    while (1 + coh_directory_owner(&w->dir, &addr, coh_directory_bucket(&addr)) != rank) {
        addr.b[1]++;
    }
    return addr;
}

static coh_err_t add(world_t *w, uint64_t id, uint64_t block, coh_addr_t from, coh_addr_t to)
{
    coh_tx_t tx = {.gas_limit = 100000, .to = to};
    coh_buf_clear(&w->raw);
    coh_tx_encode(&w->raw, &tx);
    coh_rec_block_tx_t raw = {.sender = from, .raw = coh_buf_bytes(&w->raw)};
    return coh_callq_add(w->q,
                         &(coh_msg_call_t){.call      = id,
                                           .block     = block,
                                           .fork      = COH_FORK_PRAGUE,
                                           .gas_limit = 30000000,
                                           .coinbase  = from,
                                           .txs       = {&raw, 1}});
}

static void assert_result(world_t *w, uint64_t id, coh_call_err_t err)
{
    assert_true(sent(w, 0, COH_MSG_CALL_RESULT));
    assert_int_equal(w->m.u.call_result.call, id);
    assert_int_equal(w->m.u.call_result.err, err);
}

static void calls_are_refused(void **state)
{
    (void)state;
    world_t w;
    init(&w);
    coh_addr_t here = addr_of(&w, 1);
    assert_int_equal(add(&w, 1, HEAD + 1, here, here), COH_EPROTO);
    assert_int_equal(add(&w, 2, HEAD - 1, here, here), COH_OK);
    assert_result(&w, 2, COH_CALL_GONE);
    assert_int_equal(coh_callq_add(w.q, &(coh_msg_call_t){.call = 3, .block = HEAD}), COH_OK);
    assert_result(&w, 3, COH_CALL_INVALID); /* without a transaction */
    for (uint64_t i = 0; i < 3; i++) {
        assert_int_equal(add(&w, 10 + i, HEAD, here, here), COH_OK);
    }
    assert_int_equal(add(&w, 13, HEAD, here, here), COH_OK);
    assert_result(&w, 13, COH_CALL_BUSY);
    fini(&w);
}

/* It asks the disk for what is here and rank 2 for what is there, each once. */
static void calls_read_here_and_there(void **state)
{
    (void)state;
    world_t w;
    init(&w);
    coh_addr_t here  = addr_of(&w, 1);
    coh_addr_t there = addr_of(&w, 2);
    assert_int_equal(add(&w, 1, HEAD, here, there), COH_OK);
    work(&w);
    answer_disk(&w);
    work(&w);
    assert_null(w.disk);
    assert_true(sent(&w, 2, COH_MSG_READ_STATE));
    coh_msg_read_state_t asked = w.m.u.read_state;
    assert_int_equal(asked.kind, COH_KEY_ACCOUNT);
    assert_int_equal(asked.block, HEAD);
    assert_true(coh_addr_eq(&asked.addr, &there));
    /* Only rank 2 may answer, and only this. */
    coh_msg_state_t answer = {.read = asked.read, .nonce = 1, .flags = COH_ACCOUNT_EXISTS};
    coh_buf_t code         = COH_BUF_INIT;
    coh_test_asm(&code, "NUMBER BALANCE 42 0 MSTORE 32 0 RETURN");
    coh_keccak256(&answer.code_hash, code.p, code.n);
    assert_int_equal(coh_callq_on_state(w.q, 1, &answer), COH_EPROTO);
    answer.read++;
    assert_int_equal(coh_callq_on_state(w.q, 2, &answer), COH_EPROTO);
    answer.read = 0;
    assert_int_equal(coh_callq_on_state(w.q, 2, &answer), COH_EPROTO);
    answer.read = asked.read;
    assert_int_equal(coh_callq_on_state(w.q, 2, &answer), COH_OK);
    assert_int_equal(coh_callq_on_state(w.q, 2, &answer), COH_EPROTO);
    work(&w);
    /* Its code, which is checked. */
    assert_true(sent(&w, 2, COH_MSG_READ_STATE));
    assert_int_equal(w.m.u.read_state.kind, COH_KEY_CODE);
    coh_msg_state_t bytes = {.read = w.m.u.read_state.read, .code = coh_bytes("\x00", 1)};
    assert_int_equal(coh_callq_on_state(w.q, 2, &bytes), COH_EPROTO);
    bytes.code = coh_buf_bytes(&code);
    bytes.gone = 1;
    assert_int_equal(coh_callq_on_state(w.q, 2, &bytes), COH_EPROTO);
    bytes.gone = 0;
    assert_int_equal(coh_callq_on_state(w.q, 2, &bytes), COH_OK);
    work(&w);
    /* The account at address 0, wherever that is. */
    if (sent(&w, 2, COH_MSG_READ_STATE)) {
        bytes = (coh_msg_state_t){.read = w.m.u.read_state.read};
        assert_int_equal(coh_callq_on_state(w.q, 2, &bytes), COH_OK);
    } else {
        answer_disk(&w);
    }
    work(&w);
    assert_result(&w, 1, COH_CALL_OK);
    assert_int_equal(w.m.u.call_result.status, COH_EVM_SUCCESS);
    assert_int_equal(w.m.u.call_result.output.p[31], 42);
    /* What rank 2 has forgotten ends the call. */
    assert_int_equal(add(&w, 2, HEAD, there, here), COH_OK);
    work(&w);
    assert_true(sent(&w, 2, COH_MSG_READ_STATE));
    bytes = (coh_msg_state_t){.read = w.m.u.read_state.read, .gone = 1};
    assert_int_equal(coh_callq_on_state(w.q, 2, &bytes), COH_OK);
    work(&w);
    assert_result(&w, 2, COH_CALL_GONE);
    coh_buf_free(&code);
    fini(&w);
}

/* The two READ_STATEs for rank 2, which came together. */
static void take_two(world_t *w, coh_msg_read_state_t asked[2])
{
    coh_envelope_t envelope;
    coh_buf_t *out = &w->outbox[2];
    assert_int_equal(coh_wire_reader_begin(w->reader, coh_buf_bytes(out), &envelope), COH_OK);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(coh_wire_reader_next(w->reader, &w->m), COH_OK);
        assert_int_equal(w->m.id, COH_MSG_READ_STATE);
        asked[i] = w->m.u.read_state;
    }
    assert_int_equal(coh_wire_reader_next(w->reader, &w->m), COH_ENOTFOUND);
    coh_buf_clear(out);
}

/* What is wanted together is asked for together, may come in any order, and all of it comes before the call goes on or ends. */
static void calls_ask_for_much_at_once(void **state)
{
    (void)state;
    for (uint32_t gone = 0; gone < 2; gone++) {
        world_t w;
        init(&w);
        coh_addr_t here                = addr_of(&w, 1);
        coh_addr_t there               = addr_of(&w, 2);
        coh_rec_override_t overrides[] = {
            {.addr = there, .fields = COH_OVERRIDE_NONCE, .nonce = 11},
            {.addr = here, .fields = COH_OVERRIDE_NONCE, .nonce = 12},
            {.addr = there, .fields = COH_OVERRIDE_NONCE, .nonce = 13}};
        do {
            overrides[2].addr.b[2]++;
        } while (1 + coh_directory_owner(
                         &w.dir, &overrides[2].addr, coh_directory_bucket(&overrides[2].addr)) !=
                 2);
        assert_int_equal(coh_callq_add(w.q,
                                       &(coh_msg_call_t){.call      = 1,
                                                         .mode      = COH_CALL_SIMULATE,
                                                         .block     = HEAD,
                                                         .fork      = COH_FORK_PRAGUE,
                                                         .gas_limit = 30000000,
                                                         .overrides = {overrides, 3}}),
                         COH_OK);
        work(&w);
        coh_msg_read_state_t asked[2];
        take_two(&w, asked);
        assert_true(coh_addr_eq(&asked[0].addr, &there));
        assert_true(coh_addr_eq(&asked[1].addr, &overrides[2].addr));
        coh_msg_state_t answer = {
            .read = asked[1].read, .word = coh_u256(33), .flags = COH_ACCOUNT_EXISTS};
        assert_int_equal(coh_callq_on_state(w.q, 2, &answer), COH_OK);
        assert_int_equal(coh_callq_on_state(w.q, 2, &answer), COH_EPROTO); /* twice */
        answer = (coh_msg_state_t){.read = asked[0].read, .word = coh_u256(31), .gone = gone};
        assert_int_equal(coh_callq_on_state(w.q, 1, &answer), COH_EPROTO);
        assert_int_equal(coh_callq_on_state(w.q, 2, &answer), COH_OK);
        work(&w);
        assert_int_equal(w.outbox[0].n, 0); /* its own disk has not answered */
        answer_disk(&w);
        work(&w);
        assert_result(&w, 1, gone != 0 ? COH_CALL_GONE : COH_CALL_OK);
        if (gone == 0) {
            coh_msg_call_result_t const *r = &w.m.u.call_result;
            assert_int_equal(r->accounts.cnt, 3);
            for (uint32_t i = 0; i < 3; i++) {
                bool is_there = coh_addr_eq(&r->accounts.v[i].addr, &there);
                bool is_here  = coh_addr_eq(&r->accounts.v[i].addr, &here);
                assert_int_equal(r->accounts.v[i].nonce, is_there ? 11 : is_here ? 12 : 13);
                assert_int_equal(r->accounts.v[i].balance.w[0], is_there ? 31 : is_here ? 0 : 33);
            }
        }
        fini(&w);
    }
}

/* Late, wherever it is: the answer that it still waited for is taken and changes nothing. */
static void calls_end_in_time(void **state)
{
    (void)state;
    world_t w;
    init(&w);
    coh_addr_t here  = addr_of(&w, 1);
    coh_addr_t there = addr_of(&w, 2);
    assert_int_equal(add(&w, 1, HEAD, there, here), COH_OK);
    work(&w);
    assert_true(sent(&w, 2, COH_MSG_READ_STATE));
    coh_msg_state_t answer = {.read = w.m.u.read_state.read};
    w.env.due_us           = UINT64_MAX;
    (void)coh_callq_poll(w.q);
    assert_int_equal(w.env.due_us, w.config.call_time_ms * 1000);
    w.now_us = w.env.due_us;
    work(&w);
    assert_result(&w, 1, COH_CALL_TIMEOUT);
    assert_int_equal(coh_callq_on_state(w.q, 2, &answer), COH_OK);
    work(&w);
    assert_false(sent(&w, 0, COH_MSG_CALL_RESULT));
    /* From disk; and one that nobody had begun. */
    assert_int_equal(add(&w, 2, HEAD, here, here), COH_OK);
    work(&w);
    assert_int_equal(add(&w, 3, HEAD, here, here), COH_OK);
    w.now_us *= 2;
    assert_true(coh_callq_poll(w.q));
    coh_envelope_t envelope;
    assert_int_equal(coh_wire_reader_begin(w.reader, coh_buf_bytes(&w.outbox[0]), &envelope),
                     COH_OK);
    for (uint64_t i = 2; i <= 3; i++) {
        assert_int_equal(coh_wire_reader_next(w.reader, &w.m), COH_OK);
        assert_int_equal(w.m.u.call_result.call, i);
        assert_int_equal(w.m.u.call_result.err, COH_CALL_TIMEOUT);
    }
    coh_buf_clear(&w.outbox[0]);
    answer_disk(&w);
    work(&w);
    assert_false(sent(&w, 0, COH_MSG_CALL_RESULT));
    fini(&w);
}

/* ---- for other shards ---- */

static void reads_of_other_shards(void **state)
{
    (void)state;
    world_t w;
    init(&w);
    coh_msg_read_state_t m = {.read = 5, .block = HEAD, .addr = addr_of(&w, 1)};
    assert_int_equal(coh_reads_on_message(w.reads, 2, &m, false), COH_EPROTO);
    m.kind = COH_KEY_BLOCK_HASH;
    assert_int_equal(coh_reads_on_message(w.reads, 2, &m, true), COH_EPROTO);
    m.kind       = COH_KEY_SLOT;
    m.generation = UINT64_C(1) << 32;
    assert_int_equal(coh_reads_on_message(w.reads, 2, &m, true), COH_EPROTO);
    m.kind       = COH_KEY_ACCOUNT;
    m.generation = 1;
    assert_int_equal(coh_reads_on_message(w.reads, 2, &m, true), COH_EPROTO);
    m.generation = 0;
    m.slot       = coh_u256(1);
    assert_int_equal(coh_reads_on_message(w.reads, 2, &m, true), COH_EPROTO);
    m.slot = coh_u256(0);
    /* Of a block that is not committed here yet: when it is. */
    m.block = HEAD + 1;
    assert_int_equal(coh_reads_on_message(w.reads, 2, &m, true), COH_OK);
    assert_false(coh_reads_poll(w.reads));
    assert_null(w.disk);
    coh_key_t key = coh_key_account(&m.addr);
    coh_past_begin(w.past);
    assert_true(coh_reads_poll(w.reads));
    /* While the disk reads, the next block changes the account: what it had is the answer. */
    coh_past_begin(w.past);
    coh_past_add(w.past,
                 coh_past_hash(w.past, &key),
                 &key,
                 &(coh_value_t){.nonce = 6, .generation = 2, .flags = COH_ACCOUNT_EXISTS});
    answer_disk(&w);
    assert_true(sent(&w, 2, COH_MSG_STATE));
    assert_int_equal(w.m.u.state.read, 5);
    assert_int_equal(w.m.u.state.gone, 0);
    assert_int_equal(w.m.u.state.nonce, 6);
    assert_int_equal(w.m.u.state.generation, 2);
    /* Of one that is forgotten. */
    m.block = HEAD - 1;
    assert_int_equal(coh_reads_on_message(w.reads, 2, &m, true), COH_OK);
    assert_true(sent(&w, 2, COH_MSG_STATE));
    assert_int_equal(w.m.u.state.gone, 1);
    /* No more at a time than so many. */
    m.block = HEAD + 9;
    for (uint32_t i = 0; i < COH_READS_REMOTE_MAX; i++) {
        assert_int_equal(coh_reads_on_message(w.reads, 2, &m, true), COH_OK);
    }
    assert_int_equal(coh_reads_on_message(w.reads, 2, &m, true), COH_ETOOBIG);
    fini(&w);
}

/* ---- the coordinator ---- */

typedef struct {
    uint32_t done_cnt;
    uint64_t tag;
    uint64_t block;
    uint32_t err;
} told_t;

static void on_done(void *arg, uint64_t tag, uint64_t block, coh_msg_call_result_t const *r)
{
    told_t *told = arg;
    told->done_cnt++;
    told->tag   = tag;
    told->block = block;
    told->err   = r->err;
}

static coh_buf_t *shard_outbox(void *arg, uint32_t shard)
{
    return outbox(&((world_t *)arg)->env, 1 + shard);
}

static void coordinator_counts_its_calls(void **state)
{
    (void)state;
    world_t w;
    init(&w);
    coh_calls_t cs;
    told_t told = {0};
    coh_calls_init(&cs, RANKS - 1, 2, &w.dir, shard_outbox, &w);
    coh_addr_t here  = addr_of(&w, 1);
    coh_addr_t there = addr_of(&w, 2);
    coh_tx_t tx      = {.to = there};
    coh_msg_call_t m = {.block = 7};
    assert_int_equal(coh_calls_begin(&cs, &m, &tx, &here, on_done, &told, 55), COH_OK);
    assert_true(sent(&w, 2, COH_MSG_CALL)); /* the callee's owner */
    uint64_t id = w.m.u.call.call;
    assert_int_equal(coh_calls_begin(&cs, &m, &tx, &here, on_done, &told, 56), COH_OK);
    assert_int_equal(coh_calls_begin(&cs, &m, &tx, &here, on_done, &told, 57), COH_EBUSY);
    tx.is_create = true;
    assert_int_equal(coh_calls_begin(&cs, &m, &tx, &here, on_done, &told, 58), COH_OK);
    assert_true(sent(&w, 1, COH_MSG_CALL)); /* a creation: the sender's */
    coh_msg_call_result_t r = {.call = id, .err = COH_CALL_GONE};
    assert_int_equal(coh_calls_answer(&cs, 0, &r), COH_EPROTO);
    assert_int_equal(coh_calls_answer(&cs, 1, &r), COH_OK);
    assert_int_equal(told.done_cnt, 1);
    assert_int_equal(told.tag, 55);
    assert_int_equal(told.block, 7);
    assert_int_equal(told.err, COH_CALL_GONE);
    assert_int_equal(coh_calls_answer(&cs, 1, &r), COH_EPROTO); /* once */
    coh_calls_stop(&cs);
    assert_int_equal(told.done_cnt, 3);
    assert_int_equal(told.err, COH_CALL_CLOSED);
    assert_int_equal(coh_calls_begin(&cs, &m, &tx, &here, on_done, &told, 59), COH_ECLOSED);
    /* A result that comes later is nobody's. */
    r.call = w.m.u.call.call;
    assert_int_equal(coh_calls_answer(&cs, 0, &r), COH_OK);
    assert_int_equal(told.done_cnt, 3);
    coh_calls_fini(&cs);
    fini(&w);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(calls_are_refused),
        cmocka_unit_test(calls_read_here_and_there),
        cmocka_unit_test(calls_ask_for_much_at_once),
        cmocka_unit_test(calls_end_in_time),
        cmocka_unit_test(reads_of_other_shards),
        cmocka_unit_test(coordinator_counts_its_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
