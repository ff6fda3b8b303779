/* links: coh_client */
/* test_client: the client library against a real server: a thread with nanomsg sockets that decodes
   what comes and answers what the test wants. Nothing is measured; waits end by what happens, and
   their bound of 20 seconds only keeps a broken client from hanging. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <nanomsg/nn.h>
#include <nanomsg/pubsub.h>
#include <nanomsg/reqrep.h>
#include <pthread.h>

#include "common/base/assert.h"
#include "common/client/client.h"

enum { WAIT_MS = 20000, MESSAGE_BYTES = 16 << 20, LARGE = 3 << 20, HELD_MAX = 64 };

static char folder[] = "/tmp/test_client.XXXXXX";
static char request_addr[64];
static char publish_addr[64];

/* ---- Server ---------------------------------------------------------------------------------- */

/* What the server does with a request. */
typedef enum {
    ANSWER,  /* at once */
    MUTE,    /* never */
    HOLD,    /* answers all together, the last one first, when there are held_max of them */
    GARBAGE, /* answers with octets that are no answer */
} manner_t;

static atomic_int manner;
static atomic_uint held_max;
static atomic_uint request_cnt; /* that the server received */
static atomic_bool stopping;
static pthread_t server;

typedef struct {
    void *body;    /* nanomsg's, until answered */
    void *control; /* tells nanomsg whom to answer */
    size_t body_sz;
} request_t;

static void answer_submit(coh_buf_t *out, coh_op_submit_request_t const *m)
{
    coh_op_submitted_t *txs = calloc(m->raws.cnt + 1, sizeof(*txs));
    COH_ASSERT(txs != NULL);
    for (uint32_t i = 0; i < m->raws.cnt; i++) {
        txs[i].err       = i % 3;
        txs[i].hash.b[0] = m->raws.v[i].p[0];
    }
    coh_op_put_submit_answer(out, &(coh_op_submit_answer_t){.txs = {txs, m->raws.cnt}});
    free(txs);
}

static void answer_status(coh_buf_t *out)
{
    uint8_t *text = malloc(LARGE);
    COH_ASSERT(text != NULL);
    memset(text, ' ', LARGE);
    coh_op_put_status_answer(out, &(coh_op_status_answer_t){.json = coh_bytes(text, LARGE)});
    free(text);
}

/* Everything that is answered can be told from anything else. */
static void answer_request(coh_buf_t *out, coh_op_request_t const *m)
{
    coh_op_receipt_t receipt = {.block = 5, .tx_idx = 1, .type = 2, .status = 1, .gas_used = 21000};
    coh_op_account_t account = {.nonce = 3, .balance = coh_u256(1000)};
    coh_hash_t hash          = {{9}};
    switch (m->op) {
    case COH_OP_SUBMIT: answer_submit(out, &m->u.submit); break;
    case COH_OP_ACCOUNTS:
        account.nonce += m->u.accounts.addrs.v[0].b[0];
        coh_op_put_accounts_answer(
            out, &(coh_op_accounts_answer_t){.block = 8, .accounts = {&account, 1}});
        break;
    case COH_OP_BLOCK:
        coh_op_put_block_answer(
            out, &(coh_op_block_answer_t){.number = m->u.block.number, .txs = {&hash, 1}});
        break;
    case COH_OP_RECEIPT:
        receipt.tx_hash = m->u.receipt.hash;
        coh_op_put_receipt_answer(
            out,
            &(coh_op_receipt_answer_t){.state = COH_OP_TX_COMMITTED, .receipts = {&receipt, 1}});
        break;
    case COH_OP_BLOCK_RECEIPTS:
        coh_op_put_error(out, COH_ENOTFOUND, "block 77 is not there");
        break;
    case COH_OP_HEAD:
        coh_op_put_head_answer(
            out, &(coh_op_head_answer_t){.number = 5, .chain_id = 1337, .max_batch = 100});
        break;
    case COH_OP_STATUS: answer_status(out); break;
    case COH_OP_EXECUTE:
        coh_op_put_execute_answer(out,
                                  &(coh_op_execute_answer_t){.block  = m->u.execute.block,
                                                             .gas    = m->u.execute.mode,
                                                             .output = m->u.execute.tx,
                                                             .traces = {&m->u.execute.tx, 1}});
        break;
    case COH_OP_STATE: {
        coh_op_held_t held = {.nonce = m->u.state.keys.v[0].kind,
                              .word  = m->u.state.keys.v[0].slot,
                              .code  = coh_bytes("code", 4)};
        coh_op_put_state_answer(
            out, &(coh_op_state_answer_t){.block = m->u.state.block, .values = {&held, 1}});
        break;
    }
    case COH_OP_GET_PROOF:
        coh_op_put_get_proof_answer(
            out, &(coh_op_get_proof_answer_t){.block = m->u.get_proof.block, .exists = 1});
        break;
    case COH_OP_BACKUP:
        coh_op_put_backup_answer(out, &(coh_op_backup_answer_t){.backup = m->u.backup.path.n});
        break;
    case COH_OP_BACKUP_STATE:
        coh_op_put_backup_state_answer(
            out, &(coh_op_backup_state_answer_t){.block = m->u.backup_state.backup});
        break;
    }
}

#define TOKEN "0123456789abcdef"
static atomic_uint token_cnt; /* requests that brought it */

static void answer(int sock, coh_op_reader_t *reader, request_t *r)
{
    coh_buf_t out = COH_BUF_INIT;
    coh_op_request_t m;
    coh_bytes_t token;
    coh_bytes_t in = coh_bytes(r->body, r->body_sz);
    COH_ASSERT(coh_op_take_token(&in, &token) == COH_OK);
    if (token.n != 0 && !coh_bytes_eq(token, coh_bytes(TOKEN, strlen(TOKEN)))) {
        coh_op_put_error(&out, COH_EPERM, NULL);
    } else if (atomic_load(&manner) == GARBAGE) {
        coh_buf_put_u8(&out, 0xc1);
    } else {
        atomic_fetch_add(&token_cnt, token.n != 0);
        COH_ASSERT(coh_op_read_request(reader, &m, in) == COH_OK);
        answer_request(&out, &m);
    }
    struct nn_iovec iov     = {.iov_base = out.p, .iov_len = out.n};
    struct nn_msghdr header = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &r->control, .msg_controllen = NN_MSG};
    COH_ASSERT(nn_sendmsg(sock, &header, 0) >= 0); /* takes control */
    (void)nn_freemsg(r->body);
    coh_buf_free(&out);
}

static void drop(request_t *r)
{
    (void)nn_freemsg(r->body);
    (void)nn_freemsg(r->control);
}

static int open_server_socket(int domain, int protocol, char const *addr)
{
    int max  = MESSAGE_BYTES;
    int wait = 10;
    int sock = nn_socket(domain, protocol);
    COH_ASSERT(sock >= 0);
    if (protocol == NN_REP) {
        COH_ASSERT(nn_setsockopt(sock, NN_SOL_SOCKET, NN_RCVMAXSIZE, &max, sizeof(max)) == 0);
        COH_ASSERT(nn_setsockopt(sock, NN_SOL_SOCKET, NN_RCVTIMEO, &wait, sizeof(wait)) == 0);
    }
    /* Just after a restart the old listener may still be closing. */
    for (int ms = 0; nn_bind(sock, addr) < 0; ms++) {
        COH_ASSERT(nn_errno() == EADDRINUSE && ms < WAIT_MS);
        (void)usleep(1000);
    }
    return sock;
}

static void *serve(void *arg)
{
    (void)arg;
    request_t held[HELD_MAX];
    unsigned held_cnt       = 0;
    coh_op_reader_t *reader = coh_op_reader_new();
    int sock                = open_server_socket(AF_SP_RAW, NN_REP, request_addr);
    while (!atomic_load(&stopping)) {
        request_t r;
        struct nn_iovec iov     = {.iov_base = &r.body, .iov_len = NN_MSG};
        struct nn_msghdr header = {
            .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &r.control, .msg_controllen = NN_MSG};
        int n = nn_recvmsg(sock, &header, 0);
        if (n < 0) {
            continue;
        }
        r.body_sz    = (size_t)n;
        manner_t now = (manner_t)atomic_load(&manner);
        if (now == MUTE) {
            drop(&r);
        } else if (now == HOLD) {
            COH_ASSERT(held_cnt < HELD_MAX);
            held[held_cnt++] = r;
        } else {
            answer(sock, reader, &r);
        }
        if (held_cnt >= atomic_load(&held_max)) {
            while (held_cnt > 0) {
                answer(sock, reader, &held[--held_cnt]);
            }
        }
        atomic_fetch_add(&request_cnt, 1);
    }
    while (held_cnt > 0) {
        drop(&held[--held_cnt]);
    }
    (void)nn_close(sock);
    coh_op_reader_free(reader);
    return NULL;
}

static void start_server(manner_t how)
{
    atomic_store(&manner, (int)how);
    atomic_store(&held_max, HELD_MAX);
    atomic_store(&request_cnt, 0);
    atomic_store(&stopping, false);
    assert_int_equal(pthread_create(&server, NULL, serve, NULL), 0);
}

static void stop_server(void)
{
    atomic_store(&stopping, true);
    assert_int_equal(pthread_join(server, NULL), 0);
}

static void wait_for_requests(unsigned cnt)
{
    for (int ms = 0; atomic_load(&request_cnt) < cnt; ms++) {
        assert_true(ms < WAIT_MS);
        (void)usleep(1000);
    }
}

/* ---- One operation after another ------------------------------------------------------------- */

static coh_client_options_t options(uint32_t timeout_ms, uint32_t in_flight_max)
{
    return (coh_client_options_t){
        .timeout_ms = timeout_ms, .message_bytes = MESSAGE_BYTES, .in_flight_max = in_flight_max};
}

static coh_client_t *open_client(uint32_t timeout_ms)
{
    coh_client_t *c        = NULL;
    coh_client_options_t o = options(timeout_ms, 1);
    assert_int_equal(coh_client_open(&c, request_addr, &o, NULL), COH_OK);
    return c;
}

static void client_carries_out_every_operation(void **state)
{
    (void)state;
    start_server(ANSWER);
    coh_client_t *c    = open_client(WAIT_MS);
    coh_bytes_t raws[] = {coh_bytes("\x01", 1), coh_bytes("\x02\x03", 2)};
    coh_op_submit_answer_t submitted;
    assert_int_equal(
        coh_client_submit(c, &submitted, &(coh_op_submit_request_t){.raws = {raws, 2}}), COH_OK);
    assert_int_equal(submitted.txs.cnt, 2);
    assert_int_equal(submitted.txs.v[1].err, 1);
    assert_int_equal(submitted.txs.v[1].hash.b[0], 2);
    coh_op_accounts_answer_t accounts;
    coh_addr_t addr = {{40}};
    assert_int_equal(
        coh_client_accounts(c, &accounts, &(coh_op_accounts_request_t){.addrs = {&addr, 1}}),
        COH_OK);
    assert_int_equal(accounts.block, 8);
    assert_int_equal(accounts.accounts.v[0].nonce, 43);
    coh_op_block_answer_t block;
    assert_int_equal(coh_client_block(c, &block, &(coh_op_block_request_t){.number = 12}), COH_OK);
    assert_int_equal(block.number, 12);
    assert_int_equal(block.txs.v[0].b[0], 9);
    coh_op_receipt_answer_t receipt;
    assert_int_equal(coh_client_receipt(c, &receipt, &(coh_op_receipt_request_t){.hash = {{77}}}),
                     COH_OK);
    assert_int_equal(receipt.state, COH_OP_TX_COMMITTED);
    assert_int_equal(receipt.receipts.v[0].tx_hash.b[0], 77);
    coh_op_head_answer_t head;
    assert_int_equal(coh_client_head(c, &head, &(coh_op_head_request_t){0}), COH_OK);
    assert_int_equal(head.chain_id, 1337);
    coh_op_asked_t asked = {.kind = 2, .slot = coh_u256(9)};
    coh_op_state_answer_t held;
    assert_int_equal(
        coh_client_state(c, &held, &(coh_op_state_request_t){.block = 6, .keys = {&asked, 1}}),
        COH_OK);
    assert_int_equal(held.block, 6);
    assert_int_equal(held.values.v[0].nonce, 2);
    assert_int_equal(held.values.v[0].word.w[0], 9);
    assert_true(coh_bytes_eq(held.values.v[0].code, coh_bytes("code", 4)));
    coh_op_execute_answer_t called;
    assert_int_equal(coh_client_execute(c,
                                        &called,
                                        &(coh_op_execute_request_t){
                                            .block = 4, .mode = 1, .tx = coh_bytes("tx", 2)}),
                     COH_OK);
    assert_int_equal(called.block, 4);
    assert_int_equal(called.gas, 1);
    assert_true(coh_bytes_eq(called.traces.v[0], coh_bytes("tx", 2)));
    /* A refusal comes with its text. */
    coh_op_block_receipts_answer_t receipts;
    assert_int_equal(
        coh_client_block_receipts(c, &receipts, &(coh_op_block_receipts_request_t){.number = 77}),
        COH_ENOTFOUND);
    assert_string_equal(coh_client_error(c), "block 77 is not there");
    coh_client_close(c);
    stop_server();
}

static void client_brings_its_token(void **state)
{
    (void)state;
    start_server(ANSWER);
    static char const *const tokens[] = {"", TOKEN, "another"};
    for (size_t i = 0; i < COH_CNT(tokens); i++) {
        char text[32];
        (void)snprintf(text, sizeof(text), "%s", tokens[i]);
        coh_client_options_t o = options(WAIT_MS, 1);
        o.token                = coh_bytes(text, strlen(text));
        coh_client_t *c        = NULL;
        assert_int_equal(coh_client_open(&c, request_addr, &o, NULL), COH_OK);
        memset(text, 'x', sizeof(text)); /* it was copied */
        coh_op_head_answer_t head;
        for (unsigned k = 1; k <= 2; k++) {
            assert_int_equal(coh_client_head(c, &head, &(coh_op_head_request_t){0}),
                             i < 2 ? COH_OK : COH_EPERM);
            assert_int_equal(atomic_load(&token_cnt), i == 0 ? 0 : i == 1 ? k : 2);
        }
        coh_client_close(c);
    }
    stop_server();
}

static void client_passes_large_messages_both_ways(void **state)
{
    (void)state;
    start_server(ANSWER);
    coh_client_t *c = open_client(WAIT_MS);
    coh_op_status_answer_t status; /* above nanomsg's own bound of 1 MiB */
    assert_int_equal(coh_client_status(c, &status, &(coh_op_status_request_t){0}), COH_OK);
    assert_int_equal(status.json.n, LARGE);
    assert_int_equal(status.json.p[LARGE - 1], ' ');
    uint8_t *raw = calloc(1, MESSAGE_BYTES);
    assert_non_null(raw);
    raw[0] = 0xab;
    coh_op_submit_answer_t submitted;
    coh_bytes_t large = coh_bytes(raw, LARGE);
    assert_int_equal(
        coh_client_submit(c, &submitted, &(coh_op_submit_request_t){.raws = {&large, 1}}), COH_OK);
    assert_int_equal(submitted.txs.v[0].hash.b[0], 0xab);
    /* Beyond the handle's bound nothing is sent, and the handle stays good. */
    large = coh_bytes(raw, MESSAGE_BYTES);
    assert_int_equal(
        coh_client_submit(c, &submitted, &(coh_op_submit_request_t){.raws = {&large, 1}}),
        COH_ETOOBIG);
    wait_for_requests(2);
    assert_int_equal(coh_client_status(c, &status, &(coh_op_status_request_t){0}), COH_OK);
    wait_for_requests(3);
    assert_int_equal(atomic_load(&request_cnt), 3);
    free(raw);
    coh_client_close(c);
    stop_server();
}

static void client_goes_on_after_a_timeout(void **state)
{
    (void)state;
    start_server(HOLD);
    coh_client_t *c = open_client(50);
    coh_op_head_answer_t head;
    coh_op_block_answer_t block;
    /* More than once if there is no connection within so short a time. */
    do {
        assert_int_equal(coh_client_head(c, &head, &(coh_op_head_request_t){0}), COH_ETIMEOUT);
        assert_true(coh_client_error(c)[0] != '\0');
    } while (atomic_load(&request_cnt) == 0);
    /* HEAD's answer is sent right behind that to BLOCK, and must neither be taken for it nor harm
       it. Here, too, more than one attempt may be needed; those after the first are answered at
       once. */
    atomic_store(&held_max, 2);
    coh_err_t err = COH_ETIMEOUT;
    for (int ms = 0; err == COH_ETIMEOUT && ms < WAIT_MS; ms += 50) {
        err = coh_client_block(c, &block, &(coh_op_block_request_t){.number = 12});
        atomic_store(&manner, ANSWER);
    }
    assert_int_equal(err, COH_OK);
    assert_int_equal(block.number, 12);
    coh_client_close(c);
    stop_server();
}

static void client_reports_an_answer_that_is_none(void **state)
{
    (void)state;
    start_server(GARBAGE);
    coh_client_t *c = open_client(WAIT_MS);
    coh_op_head_answer_t head;
    assert_int_equal(coh_client_head(c, &head, &(coh_op_head_request_t){0}), COH_EPROTO);
    atomic_store(&manner, ANSWER);
    assert_int_equal(coh_client_head(c, &head, &(coh_op_head_request_t){0}), COH_OK);
    coh_client_close(c);
    stop_server();
}

static void *restart_server(void *arg)
{
    (void)arg;
    wait_for_requests(1);
    stop_server();
    start_server(ANSWER);
    return NULL;
}

static void client_waits_for_the_server_and_survives_its_restart(void **state)
{
    (void)state;
    coh_client_t *c = open_client(WAIT_MS);
    coh_op_head_answer_t head;
    /* No server yet; it comes while the client waits. It takes the request, and goes away without
       an answer; the next one gets it again. */
    pthread_t restarter;
    atomic_store(&request_cnt, 0);
    start_server(MUTE);
    assert_int_equal(pthread_create(&restarter, NULL, restart_server, NULL), 0);
    assert_int_equal(coh_client_head(c, &head, &(coh_op_head_request_t){0}), COH_OK);
    assert_int_equal(pthread_join(restarter, NULL), 0);
    wait_for_requests(1);
    assert_int_equal(atomic_load(&request_cnt), 1);
    /* Idle while the server restarts. */
    stop_server();
    start_server(ANSWER);
    assert_int_equal(coh_client_head(c, &head, &(coh_op_head_request_t){0}), COH_OK);
    wait_for_requests(1);
    assert_int_equal(atomic_load(&request_cnt), 1);
    coh_client_close(c);
    stop_server();
}

static void client_refuses_what_cannot_be(void **state)
{
    (void)state;
    coh_client_t *c        = NULL;
    coh_buf_t text         = COH_BUF_INIT;
    coh_client_options_t o = COH_CLIENT_OPTIONS_DEFAULT;
    assert_int_equal(coh_client_open(&c, "nonsense", &o, &text), COH_EINVAL);
    assert_true(text.n > strlen("nonsense: "));
    assert_memory_equal(text.p, "nonsense: ", strlen("nonsense: "));
    assert_int_equal(coh_client_open(&c, "carrier-pigeon://here", &o, NULL), COH_EINVAL);
    o.timeout_ms = 0;
    assert_int_equal(coh_client_open(&c, request_addr, &o, NULL), COH_EINVAL);
    o                        = COH_CLIENT_OPTIONS_DEFAULT;
    o.in_flight_max          = COH_CLIENT_IN_FLIGHT_MAX + 1;
    coh_client_pipeline_t *p = NULL;
    assert_int_equal(coh_client_pipeline_open(&p, request_addr, &o, NULL, NULL, NULL), COH_EINVAL);
    coh_client_subscription_t *s = NULL;
    assert_int_equal(coh_client_subscribe(&s, "nonsense", "B", MESSAGE_BYTES, NULL), COH_EINVAL);
    assert_true(c == NULL && p == NULL && s == NULL);
    coh_client_close(c);
    coh_client_pipeline_close(p);
    coh_client_unsubscribe(s);
    coh_buf_free(&text);
}

/* ---- Pipeline -------------------------------------------------------------------------------- */

enum { TICKETS = 400 };

/* What came back; a ticket's request carries its number in its one transaction. */
typedef struct {
    coh_client_pipeline_t *p;
    unsigned cnt;
    unsigned refill; /* submissions that the callback still makes by itself */
    uint8_t seen[TICKETS];
    coh_err_t err[TICKETS];
    uint64_t order[TICKETS];
} answers_t;

static coh_err_t submit_ticket(coh_client_pipeline_t *p, uint64_t ticket)
{
    uint8_t raw[]    = {(uint8_t)ticket, (uint8_t)(ticket >> 8)};
    coh_bytes_t raws = coh_bytes(raw, sizeof(raw));
    return coh_client_pipeline_submit(p, &(coh_op_submit_request_t){.raws = {&raws, 1}}, ticket);
}

static void on_answer(void *arg,
                      uint64_t ticket,
                      coh_err_t err,
                      coh_op_submit_answer_t const *answer)
{
    answers_t *a = arg;
    assert_true(ticket < TICKETS);
    assert_true((answer != NULL) == (err == COH_OK));
    if (answer != NULL) {
        assert_int_equal(answer->txs.cnt, 1);
        assert_int_equal(answer->txs.v[0].hash.b[0], (uint8_t)ticket);
    }
    a->seen[ticket]++;
    a->err[ticket]     = err;
    a->order[a->cnt++] = ticket;
    if (a->refill != 0) {
        assert_int_equal(submit_ticket(a->p, TICKETS - a->refill), COH_OK);
        a->refill--;
    }
}

static void open_pipeline(answers_t *a, uint32_t timeout_ms, uint32_t in_flight_max)
{
    coh_client_options_t o = options(timeout_ms, in_flight_max);
    *a                     = (answers_t){0};
    assert_int_equal(coh_client_pipeline_open(&a->p, request_addr, &o, NULL, on_answer, a), COH_OK);
}

static void pipeline_keeps_many_on_their_way(void **state)
{
    (void)state;
    enum { LANES = 8 };
    answers_t a;
    start_server(HOLD);
    open_pipeline(&a, WAIT_MS, LANES);
    assert_int_equal(coh_client_pipeline_poll(a.p, WAIT_MS), COH_OK); /* nothing to wait for */
    for (uint64_t i = 0; i < LANES; i++) {
        assert_int_equal(submit_ticket(a.p, i), COH_OK);
    }
    assert_int_equal(submit_ticket(a.p, LANES), COH_EBUSY);
    assert_int_equal(coh_client_pipeline_in_flight(a.p), LANES);
    /* The server has all of them before it answers any. */
    wait_for_requests(LANES);
    assert_int_equal(a.cnt, 0);
    assert_int_equal(coh_client_pipeline_poll(a.p, 1), COH_OK);
    assert_int_equal(a.cnt, 0);
    atomic_store(&held_max, LANES - 1);
    /* A request is needed to make the server look; a lane for it is not free, so another
       pipeline's. */
    answers_t b;
    open_pipeline(&b, WAIT_MS, 1);
    assert_int_equal(submit_ticket(b.p, 0), COH_OK);
    while (a.cnt < LANES) {
        assert_int_equal(coh_client_pipeline_poll(a.p, WAIT_MS), COH_OK);
    }
    while (b.cnt < 1) {
        assert_int_equal(coh_client_pipeline_poll(b.p, WAIT_MS), COH_OK);
    }
    /* And on: the callback itself submits. */
    atomic_store(&manner, ANSWER);
    a.refill = TICKETS - 2 * LANES;
    for (uint64_t i = LANES; i < 2 * LANES; i++) {
        assert_int_equal(submit_ticket(a.p, i), COH_OK);
    }
    while (a.cnt < TICKETS) {
        assert_int_equal(coh_client_pipeline_poll(a.p, WAIT_MS), COH_OK);
    }
    assert_int_equal(coh_client_pipeline_in_flight(a.p), 0);
    for (int i = 0; i < TICKETS; i++) {
        assert_int_equal(a.seen[i], 1);
        assert_int_equal(a.err[i], COH_OK);
    }
    wait_for_requests(TICKETS + 1);
    assert_int_equal(atomic_load(&request_cnt), TICKETS + 1);
    coh_client_pipeline_close(a.p);
    coh_client_pipeline_close(b.p);
    stop_server();
}

static void pipeline_times_out_and_closes(void **state)
{
    (void)state;
    answers_t a;
    start_server(MUTE);
    open_pipeline(&a, 30, 4);
    for (uint64_t i = 0; i < 3; i++) {
        assert_int_equal(submit_ticket(a.p, i), COH_OK);
    }
    while (a.cnt < 3) {
        assert_int_equal(coh_client_pipeline_poll(a.p, WAIT_MS), COH_OK);
    }
    for (int i = 0; i < 3; i++) {
        assert_true(a.seen[i] == 1 && a.err[i] == COH_ETIMEOUT);
    }
    /* Lanes are usable again, and what is open at the end is said to be closed. */
    assert_int_equal(submit_ticket(a.p, 3), COH_OK);
    assert_int_equal(submit_ticket(a.p, 4), COH_OK);
    assert_int_equal(coh_client_pipeline_in_flight(a.p), 2);
    coh_client_pipeline_close(a.p);
    assert_true(a.seen[3] == 1 && a.err[3] == COH_ECLOSED && a.seen[4] == 1 &&
                a.err[4] == COH_ECLOSED);
    stop_server();
}

static void pipeline_survives_a_restart_of_the_server(void **state)
{
    (void)state;
    enum { LANES = 5 };
    answers_t a;
    open_pipeline(&a, WAIT_MS, LANES);
    start_server(MUTE);
    for (uint64_t i = 0; i < LANES; i++) {
        assert_int_equal(submit_ticket(a.p, i), COH_OK);
    }
    wait_for_requests(LANES);
    stop_server();
    start_server(ANSWER);
    while (a.cnt < LANES) {
        assert_int_equal(coh_client_pipeline_poll(a.p, WAIT_MS), COH_OK);
    }
    for (int i = 0; i < LANES; i++) {
        assert_true(a.seen[i] == 1 && a.err[i] == COH_OK);
    }
    wait_for_requests(LANES);
    assert_int_equal(atomic_load(&request_cnt), LANES);
    coh_client_pipeline_close(a.p);
    stop_server();
}

/* ---- Publications ---------------------------------------------------------------------------- */

static void publish(int sock, coh_buf_t *out)
{
    assert_int_equal(nn_send(sock, out->p, out->n, 0), out->n);
    coh_buf_clear(out);
}

/* Publishes DROPPED until the subscriber hears it, which is when it is connected; then takes those
   that are still on their way. */
static void wait_for_subscriber(int sock, coh_client_subscription_t *s)
{
    coh_buf_t out = COH_BUF_INIT;
    coh_pub_t pub;
    coh_err_t err = COH_ETIMEOUT;
    for (int ms = 0; err == COH_ETIMEOUT; ms += 10) {
        assert_true(ms < WAIT_MS);
        coh_pub_put_dropped(&out, &(coh_pub_dropped_t){0});
        publish(sock, &out);
        err = coh_client_next(s, &pub, 10);
    }
    assert_int_equal(err, COH_OK);
    assert_int_equal(pub.topic, COH_PUB_DROPPED);
    while (coh_client_next(s, &pub, 100) == COH_OK) {
    }
    coh_buf_free(&out);
}

static void subscription_hears_its_topics(void **state)
{
    (void)state;
    int sock                     = open_server_socket(AF_SP, NN_PUB, publish_addr);
    coh_client_subscription_t *s = NULL;
    coh_buf_t out                = COH_BUF_INIT;
    coh_pub_t pub;
    assert_int_equal(coh_client_subscribe(&s, publish_addr, "BD", MESSAGE_BYTES, NULL), COH_OK);
    wait_for_subscriber(sock, s);
    uint8_t *header = calloc(1, LARGE);
    assert_non_null(header);
    header[LARGE - 1] = 7;
    coh_pub_put_receipts(&out, &(coh_pub_receipts_t){.number = 1}); /* not subscribed to */
    publish(sock, &out);
    coh_pub_put_block(
        &out, &(coh_pub_block_t){.number = 2, .header = coh_bytes(header, LARGE), .tx_cnt = 3});
    publish(sock, &out);
    assert_int_equal(coh_client_next(s, &pub, WAIT_MS), COH_OK);
    assert_int_equal(pub.topic, COH_PUB_BLOCK);
    assert_int_equal(pub.u.block.number, 2);
    assert_int_equal(pub.u.block.tx_cnt, 3);
    assert_int_equal(pub.u.block.header.n, LARGE);
    assert_int_equal(pub.u.block.header.p[LARGE - 1], 7);
    /* One that does not decode is reported, and the next is heard. */
    coh_buf_put(&out, "B?", 2);
    publish(sock, &out);
    assert_int_equal(coh_client_next(s, &pub, WAIT_MS), COH_EPROTO);
    coh_pub_put_block(&out, &(coh_pub_block_t){.number = 3});
    publish(sock, &out);
    assert_int_equal(coh_client_next(s, &pub, WAIT_MS), COH_OK);
    assert_int_equal(pub.u.block.number, 3);
    /* After a restart of the publisher the topics still hold. */
    assert_int_equal(nn_close(sock), 0);
    sock = open_server_socket(AF_SP, NN_PUB, publish_addr);
    wait_for_subscriber(sock, s);
    assert_int_equal(coh_client_next(s, &pub, 0), COH_ETIMEOUT);
    free(header);
    coh_client_unsubscribe(s);
    assert_int_equal(nn_close(sock), 0);
    coh_buf_free(&out);
}

int main(void)
{
    COH_ASSERT(mkdtemp(folder) != NULL);
    (void)snprintf(request_addr, sizeof(request_addr), "ipc://%s/request", folder);
    (void)snprintf(publish_addr, sizeof(publish_addr), "ipc://%s/publish", folder);
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(client_carries_out_every_operation),
        cmocka_unit_test(client_brings_its_token),
        cmocka_unit_test(client_passes_large_messages_both_ways),
        cmocka_unit_test(client_goes_on_after_a_timeout),
        cmocka_unit_test(client_reports_an_answer_that_is_none),
        cmocka_unit_test(client_waits_for_the_server_and_survives_its_restart),
        cmocka_unit_test(client_refuses_what_cannot_be),
        cmocka_unit_test(pipeline_keeps_many_on_their_way),
        cmocka_unit_test(pipeline_times_out_and_closes),
        cmocka_unit_test(pipeline_survives_a_restart_of_the_server),
        cmocka_unit_test(subscription_hears_its_topics),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)unlink(request_addr + strlen("ipc://"));
    (void)unlink(publish_addr + strlen("ipc://"));
    (void)rmdir(folder);
    return failed;
}
