/* The clients' door with real nanomsg clients: answers find their way in any order, a full table
   says busy, a request over the limit is not taken, subscribers are counted and served. */
/* links: coh_gateway */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <nanomsg/nn.h>
#include <nanomsg/pubsub.h>
#include <nanomsg/reqrep.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/client/ops.h"
#include "coordinator/gateway/gateway_nn.h"

enum { REQUESTS = 4, MESSAGE_BYTES_MAX = 65536 };

typedef struct {
    char listen[64];
    char publish[64];
    coh_gateway_nn_t *gw;
    uint64_t requests[REQUESTS + 1];
    uint8_t marks[REQUESTS + 1]; /* first octet of each request */
    uint32_t request_cnt;
} door_t;

static void on_request(void *arg, uint64_t request, coh_bytes_t data)
{
    door_t *door = arg;
    assert_true(door->request_cnt < REQUESTS && data.n > 0);
    door->marks[door->request_cnt]      = data.p[0];
    door->requests[door->request_cnt++] = request;
}

static int setup(void **state)
{
    door_t *door = calloc(1, sizeof(*door));
    assert_non_null(door);
    (void)snprintf(
        door->listen, sizeof(door->listen), "ipc:///tmp/coh-test-rep-%ld", (long)getpid());
    (void)snprintf(
        door->publish, sizeof(door->publish), "ipc:///tmp/coh-test-pub-%ld", (long)getpid());
    coh_buf_t text = COH_BUF_INIT;
    assert_int_equal(
        coh_gateway_nn_open(
            &door->gw, door->listen, door->publish, MESSAGE_BYTES_MAX, REQUESTS, NULL, &text),
        COH_OK);
    assert_int_equal(text.n, 0);
    *state = door;
    return 0;
}

static int teardown(void **state)
{
    door_t *door = *state;
    coh_gateway_nn_close(door->gw);
    free(door);
    return 0;
}

static int client_open(door_t const *door)
{
    int sock       = nn_socket(AF_SP, NN_REQ);
    int timeout_ms = 10000;
    assert_true(sock >= 0);
    assert_int_equal(
        nn_setsockopt(sock, NN_SOL_SOCKET, NN_RCVTIMEO, &timeout_ms, sizeof(timeout_ms)), 0);
    assert_true(nn_connect(sock, door->listen) >= 0);
    return sock;
}

static void client_send(int sock, uint8_t mark, size_t n)
{
    uint8_t *data = calloc(1, n);
    assert_non_null(data);
    data[0] = mark;
    assert_int_equal(nn_send(sock, data, n, 0), (int)n);
    free(data);
}

static void assert_answer(int sock, void const *want, size_t n)
{
    void *body = NULL;
    assert_int_equal(nn_recv(sock, &body, NN_MSG, 0), (int)n);
    assert_memory_equal(body, want, n);
    (void)nn_freemsg(body);
}

static void assert_refused(int sock, coh_err_t err)
{
    void *body = NULL;
    int n      = nn_recv(sock, &body, NN_MSG, 0);
    assert_true(n > 0);
    coh_op_reader_t *reader = coh_op_reader_new();
    coh_op_answer_t answer;
    assert_int_equal(coh_op_read_answer(reader, &answer, COH_OP_HEAD, coh_bytes(body, (size_t)n)),
                     COH_OK);
    assert_int_equal(answer.err, err);
    coh_op_reader_free(reader);
    (void)nn_freemsg(body);
}

/* Polls as the loop would: when the descriptor says so. */
static bool wait_and_poll(door_t *door, int timeout_ms)
{
    struct pollfd fd = {.fd = coh_gateway_nn_fd(door->gw), .events = POLLIN};
    return poll(&fd, 1, timeout_ms) == 1 && coh_gateway_nn_poll(door->gw, on_request, door);
}

static void wait_for_requests(door_t *door, uint32_t cnt)
{
    while (door->request_cnt < cnt) {
        assert_true(wait_and_poll(door, 10000));
    }
}

static void reply(door_t *door, uint32_t i)
{
    coh_gateway_sink_t *sink = coh_gateway_nn_sink(door->gw);
    sink->reply(sink, door->requests[i], coh_bytes(&door->marks[i], 1));
}

static void gateway_nn_answers_in_any_order(void **state)
{
    door_t *door = *state;
    int socks[REQUESTS];
    for (uint8_t i = 0; i < REQUESTS; i++) {
        socks[i] = client_open(door);
        client_send(socks[i], i, 100);
    }
    wait_for_requests(door, REQUESTS);
    for (uint32_t i = REQUESTS; i-- > 0;) {
        reply(door, i);
    }
    for (uint8_t i = 0; i < REQUESTS; i++) {
        assert_answer(socks[i], &i, 1);
    }
    /* Slots are used again, under other numbers. */
    uint64_t before[REQUESTS];
    memcpy(before, door->requests, sizeof(before));
    door->request_cnt = 0;
    client_send(socks[0], 77, 1);
    wait_for_requests(door, 1);
    for (int i = 0; i < REQUESTS; i++) {
        assert_true(door->requests[0] != before[i]);
    }
    reply(door, 0);
    uint8_t want = 77;
    assert_answer(socks[0], &want, 1);
    for (int i = 0; i < REQUESTS; i++) {
        (void)nn_close(socks[i]);
    }
}

static void gateway_nn_says_busy_when_full(void **state)
{
    door_t *door = *state;
    int socks[REQUESTS + 1];
    for (uint8_t i = 0; i < REQUESTS; i++) {
        socks[i] = client_open(door);
        client_send(socks[i], i, 10);
    }
    wait_for_requests(door, REQUESTS);
    socks[REQUESTS] = client_open(door);
    client_send(socks[REQUESTS], 9, 10);
    assert_true(wait_and_poll(door, 10000));
    assert_refused(socks[REQUESTS], COH_EBUSY);
    /* A client that has gone does not keep its slot, nor does its answer hurt. */
    (void)nn_close(socks[0]);
    for (uint32_t i = 0; i < REQUESTS; i++) {
        reply(door, i);
    }
    for (uint8_t i = 1; i < REQUESTS; i++) {
        assert_answer(socks[i], &i, 1);
    }
    for (int i = 1; i <= REQUESTS; i++) {
        (void)nn_close(socks[i]);
    }
}

static void gateway_nn_bounds_messages(void **state)
{
    door_t *door = *state;
    int big      = client_open(door);
    int good     = client_open(door);
    client_send(big, 1, MESSAGE_BYTES_MAX + 1000);
    client_send(good, 2, MESSAGE_BYTES_MAX);
    wait_for_requests(door, 1);
    assert_int_equal(door->marks[0], 2);
    while (wait_and_poll(door, 100)) {
    }
    assert_int_equal(door->request_cnt, 1);
    reply(door, 0);
    uint8_t want = 2;
    assert_answer(good, &want, 1);
    /* Slightly too big: an answer says so. */
    client_send(good, 3, MESSAGE_BYTES_MAX + 1);
    assert_true(wait_and_poll(door, 10000));
    assert_int_equal(door->request_cnt, 1);
    assert_refused(good, COH_ETOOBIG);
    (void)nn_close(big);
    (void)nn_close(good);
}

#define TOKEN "0123456789abcdef"

static void send_with_token(int sock, char const *token, coh_bytes_t request)
{
    coh_buf_t out = COH_BUF_INIT;
    if (token != NULL) {
        coh_op_put_token(&out, coh_bytes(token, strlen(token)));
    }
    coh_buf_put(&out, request.p, request.n);
    assert_int_equal(nn_send(sock, out.p, out.n, 0), (int)out.n);
    coh_buf_free(&out);
}

/* What is the operator's, 40 to 59, is so for all others, whether there is such an operation or not; a wrong token is refused for whatever it is brought. */
static void gateway_nn_asks_operators_for_their_token(void **state)
{
    door_t *door                        = *state;
    static uint8_t const head[]         = {0x91, COH_OP_HEAD};
    static uint8_t const operators[][2] = {{0x91, 40}, {0x92, 41}, {0x91, 59}};
    static char const *const wrong[]    = {
           "0123456789abcdeF", "0123456789abcde", "0123456789abcdef0", "x"};
    int sock = client_open(door);
    for (int configured = 0; configured < 2; configured++) {
        if (configured == 1) {
            coh_gateway_nn_set_token(door->gw, coh_bytes(TOKEN, strlen(TOKEN)));
        }
        send_with_token(sock, NULL, coh_bytes(head, sizeof(head)));
        door->request_cnt = 0;
        wait_for_requests(door, 1);
        assert_int_equal(door->marks[0], 0x91);
        reply(door, 0);
        assert_answer(sock, head, 1);
        door->request_cnt = 0;
        for (size_t i = 0; i < COH_CNT(operators); i++) {
            send_with_token(sock, NULL, coh_bytes(operators[i], 2));
            assert_true(wait_and_poll(door, 10000));
            assert_refused(sock, COH_EPERM);
            for (size_t k = 0; k < COH_CNT(wrong); k++) {
                send_with_token(sock, wrong[k], coh_bytes(operators[i], 2));
                assert_true(wait_and_poll(door, 10000));
                assert_refused(sock, COH_EPERM);
                send_with_token(sock, wrong[k], coh_bytes(head, 2));
                assert_true(wait_and_poll(door, 10000));
                assert_refused(sock, COH_EPERM);
            }
            send_with_token(sock, "", coh_bytes(operators[i], 2)); /* none */
            assert_true(wait_and_poll(door, 10000));
            assert_refused(sock, COH_EPERM);
        }
        send_with_token(sock, NULL, coh_bytes("\xc1\x10\x00short", 8));
        assert_true(wait_and_poll(door, 10000));
        assert_refused(sock, COH_EPERM);
        assert_int_equal(door->request_cnt, 0);
        if (configured == 0) {
            send_with_token(sock, TOKEN, coh_bytes(operators[0], 2));
            assert_true(wait_and_poll(door, 10000));
            assert_refused(sock, COH_EPERM);
        }
    }
    for (size_t i = 0; i < COH_CNT(operators); i++) {
        send_with_token(sock, TOKEN, coh_bytes(operators[i], 2));
        wait_for_requests(door, 1);
        assert_int_equal(door->marks[0], operators[i][0]); /* without the token */
        reply(door, 0);
        assert_answer(sock, operators[i], 1);
        door->request_cnt = 0;
    }
    (void)nn_close(sock);
}

static void gateway_nn_publishes(void **state)
{
    door_t *door             = *state;
    coh_gateway_sink_t *sink = coh_gateway_nn_sink(door->gw);
    assert_false(sink->has_subscribers(sink));
    sink->publish(sink, coh_bytes("Bnobody", 7));
    int sub        = nn_socket(AF_SP, NN_SUB);
    int timeout_ms = 10000;
    assert_true(sub >= 0);
    assert_int_equal(
        nn_setsockopt(sub, NN_SOL_SOCKET, NN_RCVTIMEO, &timeout_ms, sizeof(timeout_ms)), 0);
    assert_int_equal(nn_setsockopt(sub, NN_SUB, NN_SUB_SUBSCRIBE, "B", 1), 0);
    assert_true(nn_connect(sub, door->publish) >= 0);
    while (!sink->has_subscribers(sink)) {
        (void)usleep(1000);
    }
    sink->publish(sink, coh_bytes("Rother", 6));
    sink->publish(sink, coh_bytes("Bblock", 6));
    assert_answer(sub, "Bblock", 6);
    (void)nn_close(sub);
    while (sink->has_subscribers(sink)) {
        (void)usleep(1000);
    }
}

static void gateway_nn_names_a_bad_address(void **state)
{
    (void)state;
    coh_gateway_nn_t *gw = NULL;
    coh_buf_t text       = COH_BUF_INIT;
    assert_int_equal(coh_gateway_nn_open(&gw, "nonsense", "", MESSAGE_BYTES_MAX, 1, NULL, &text),
                     COH_EINVAL);
    coh_buf_put_u8(&text, 0);
    assert_non_null(strstr((char *)text.p, "nonsense"));
    coh_buf_free(&text);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test_setup_teardown(gateway_nn_answers_in_any_order, setup, teardown),
        cmocka_unit_test_setup_teardown(gateway_nn_says_busy_when_full, setup, teardown),
        cmocka_unit_test_setup_teardown(gateway_nn_bounds_messages, setup, teardown),
        cmocka_unit_test_setup_teardown(gateway_nn_asks_operators_for_their_token, setup, teardown),
        cmocka_unit_test_setup_teardown(gateway_nn_publishes, setup, teardown),
        cmocka_unit_test(gateway_nn_names_a_bad_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
