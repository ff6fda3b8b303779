#include "common/client/client.h"

#include <errno.h>
#include <limits.h>
#include <nanomsg/nn.h>
#include <nanomsg/pubsub.h>
#include <nanomsg/reqrep.h>
#include <poll.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/clock.h"

/* ---- nanomsg --------------------------------------------------------------------------------- */

enum { RECONNECT_MS_MIN = 100, RECONNECT_MS_MAX = 1000 };

/* What the last nanomsg call failed with, as one of our errors. */
static coh_err_t nn_failure(void)
{
    switch (nn_errno()) {
    case ETIMEDOUT:
    case EINTR: /* the caller's signal handler has had its turn: let the caller have its */
        return COH_ETIMEOUT;
    case EAGAIN: return COH_EBUSY;
    case EINVAL:
    case ENODEV:
    case ENAMETOOLONG:
    case EADDRNOTAVAIL:
    case EPROTONOSUPPORT: return COH_EINVAL;
    case EMSGSIZE: return COH_ETOOBIG;
    default: return COH_EIO;
    }
}

static int set_int(int sock, int level, int option, int value)
{
    return nn_setsockopt(sock, level, option, &value, sizeof(value));
}

static coh_err_t open_failure(coh_buf_t *err_text, char const *addr)
{
    coh_err_t err = nn_failure();
    if (err_text != NULL) {
        coh_buf_printf(err_text, "%s: %s", addr, nn_strerror(nn_errno()));
    }
    return err;
}

/* Opens a socket that any message up to message_bytes fits through, and starts to connect it. */
static coh_err_t open_socket(int *out,
                             int protocol,
                             char const *addr,
                             uint32_t message_bytes,
                             coh_buf_t *err_text)
{
    int sock = nn_socket(AF_SP, protocol);
    if (sock < 0) {
        return open_failure(err_text, addr);
    }
    if (set_int(sock, NN_SOL_SOCKET, NN_RCVMAXSIZE, (int)message_bytes) < 0 ||
        set_int(sock, NN_SOL_SOCKET, NN_RECONNECT_IVL, RECONNECT_MS_MIN) < 0 ||
        set_int(sock, NN_SOL_SOCKET, NN_RECONNECT_IVL_MAX, RECONNECT_MS_MAX) < 0 ||
        nn_connect(sock, addr) < 0) {
        coh_err_t err = open_failure(err_text, addr);
        (void)nn_close(sock);
        return err;
    }
    *out = sock;
    return COH_OK;
}

/* The same for requests. nanomsg sends a request again at once when its connection breaks; it would
   also do so after an interval although the server is merely busy, which only adds to its work:
   never.

   A socket whose request was given up must be closed, not used for the next request: when the late
   answer follows on the heels of the answer to the next one, nanomsg 1.1.5 reads it into the place
   of the latter, which the caller has not fetched yet, frees it as stale, and hands the freed
   memory to the caller (nn_req_in). */
static coh_err_t open_request_socket(int *out,
                                     char const *addr,
                                     coh_client_options_t const *options,
                                     coh_buf_t *err_text)
{
    int sock = -1;
    COH_TRY(open_socket(&sock, NN_REQ, addr, options->message_bytes, err_text));
    if (set_int(sock, NN_REQ, NN_REQ_RESEND_IVL, INT_MAX) < 0 ||
        set_int(sock, NN_SOL_SOCKET, NN_RCVTIMEO, (int)options->timeout_ms) < 0 ||
        set_int(sock, NN_SOL_SOCKET, NN_SNDTIMEO, (int)options->timeout_ms) < 0) {
        coh_err_t err = open_failure(err_text, addr);
        (void)nn_close(sock);
        return err;
    }
    *out = sock;
    return COH_OK;
}

static bool options_fit(coh_client_options_t const *o)
{
    return o->timeout_ms >= 1 && o->timeout_ms <= INT32_MAX && o->message_bytes >= 1 &&
           o->message_bytes <= INT32_MAX && o->in_flight_max >= 1 &&
           o->in_flight_max <= COH_CLIENT_IN_FLIGHT_MAX && o->token.n <= UINT16_MAX;
}

static coh_err_t check_options(coh_client_options_t const *options, coh_buf_t *err_text)
{
    if (options_fit(options)) {
        return COH_OK;
    }
    if (err_text != NULL) {
        coh_buf_printf(err_text, "client options out of range");
    }
    return COH_EINVAL;
}

/* Closes a socket if there is one. */
static void close_socket(int *sock)
{
    if (*sock >= 0) {
        (void)nn_close(*sock);
        *sock = -1;
    }
}

/* Releases what nn_recv handed over. */
static void free_message(void **message)
{
    if (*message != NULL) {
        (void)nn_freemsg(*message);
        *message = NULL;
    }
}

/* ---- One operation after another ------------------------------------------------------------- */

struct coh_client {
    int sock; /* -1 after a failed call, until the next */
    char *addr;
    coh_client_options_t options;
    coh_buf_t token; /* options.token is in it */
    coh_op_reader_t *reader;
    coh_buf_t request;
    void *received; /* by nn_recv; the last answer borrows from it */
    coh_buf_t error;
};

coh_err_t coh_client_open(coh_client_t **out,
                          char const *addr,
                          coh_client_options_t const *options,
                          coh_buf_t *err_text)
{
    int sock = -1;
    COH_TRY(check_options(options, err_text));
    COH_TRY(open_request_socket(&sock, addr, options, err_text));
    coh_client_t *c = coh_calloc(1, sizeof(*c));
    c->sock         = sock;
    c->addr         = coh_strdup(addr);
    c->options      = *options;
    coh_buf_put(&c->token, options->token.p, options->token.n);
    c->options.token = coh_buf_bytes(&c->token);
    c->reader        = coh_op_reader_new();
    *out             = c;
    return COH_OK;
}

void coh_client_close(coh_client_t *c)
{
    if (c == NULL) {
        return;
    }
    close_socket(&c->sock);
    free_message(&c->received);
    free(c->addr);
    coh_op_reader_free(c->reader);
    coh_buf_free(&c->request);
    coh_buf_free(&c->error);
    coh_buf_free(&c->token);
    free(c);
}

char const *coh_client_error(coh_client_t const *c)
{
    return c->error.n == 0 ? "" : (char const *)c->error.p;
}

/* Keeps text (len characters) as the reason of err. */
static coh_err_t fail(coh_client_t *c, coh_err_t err, char const *text, size_t len)
{
    coh_buf_clear(&c->error);
    coh_buf_put(&c->error, text, len);
    coh_buf_put_u8(&c->error, 0);
    return err;
}

static coh_err_t fail_with(coh_client_t *c, coh_err_t err, char const *text)
{
    return fail(c, err, text, strlen(text));
}

static coh_err_t fail_in_nanomsg(coh_client_t *c)
{
    coh_err_t err = fail_with(c, nn_failure(), nn_strerror(nn_errno()));
    close_socket(&c->sock);
    return err;
}

static coh_err_t reopen(coh_client_t *c)
{
    coh_buf_t text = COH_BUF_INIT;
    coh_err_t err  = open_request_socket(&c->sock, c->addr, &c->options, &text);
    if (err != COH_OK) {
        fail(c, err, (char const *)text.p, text.n);
    }
    coh_buf_free(&text);
    return err;
}

static void begin_request(coh_client_t *c)
{
    coh_buf_clear(&c->request);
    if (c->token.n != 0) {
        coh_op_put_token(&c->request, c->options.token);
    }
}

/* Sends c->request, waits for the answer and decodes it. */
static coh_err_t call(coh_client_t *c, coh_op_id_t op, coh_op_answer_t *answer)
{
    if (c->request.n > c->options.message_bytes) {
        return fail_with(c, COH_ETOOBIG, "request exceeds the client's largest message");
    }
    if (c->sock < 0) {
        COH_TRY(reopen(c));
    }
    if (nn_send(c->sock, c->request.p, c->request.n, 0) < 0) {
        return fail_in_nanomsg(c);
    }
    free_message(&c->received);
    int n = nn_recv(c->sock, &c->received, NN_MSG, 0);
    if (n < 0) {
        c->received = NULL;
        return fail_in_nanomsg(c);
    }
    if (coh_op_read_answer(c->reader, answer, op, coh_bytes(c->received, (size_t)n)) != COH_OK) {
        return fail_with(c, COH_EPROTO, "the server's answer does not decode");
    }
    if (answer->err != COH_OK) {
        return fail(c, answer->err, (char const *)answer->text.p, answer->text.n);
    }
    return COH_OK;
}

#define COH_OP_REC(REC, rec)
#define COH_OP(id, OP, op, doc)                                                               \
    coh_err_t coh_client_##op(                                                                \
        coh_client_t *c, coh_op_##op##_answer_t *out, coh_op_##op##_request_t const *request) \
    {                                                                                         \
        coh_op_answer_t answer;                                                               \
        begin_request(c);                                                                     \
        coh_op_put_##op##_request(&c->request, request);                                      \
        COH_TRY(call(c, COH_OP_##OP, &answer));                                               \
        *out = answer.u.op;                                                                   \
        return COH_OK;                                                                        \
    }
#define COH_PUB(topic, PUB, pub, doc)
#include "common/client/ops.def"
#undef COH_OP_REC
#undef COH_OP
#undef COH_PUB

/* ---- Many submissions at once ---------------------------------------------------------------- */

/* Each request in flight has a REQ socket, and so a connection, of its own. A raw REQ socket would
   carry many requests over one connection, but nanomsg's server side drops an answer without a word
   when the one before it is still being written to that connection (nn_xrep_send): of 500 answers
   of 300 kB, 64 in flight, 63 were lost. */
typedef struct {
    int sock;    /* -1 after a request timed out, until the next */
    int recv_fd; /* readable when the answer is there */
    uint64_t ticket;
    uint64_t deadline_us;
} lane_t;

struct coh_client_pipeline {
    char *addr;
    coh_client_options_t options;
    coh_client_answer_fn *on_answer;
    void *arg;
    coh_op_reader_t *reader;
    coh_buf_t request;
    lane_t *lanes;      /* options.in_flight_max */
    uint32_t *order;    /* lane numbers: the first in_flight are those in use, in no order */
    struct pollfd *fds; /* scratch of poll, parallel to order */
    uint32_t in_flight;
};

static void free_pipeline(coh_client_pipeline_t *p)
{
    for (uint32_t i = 0; i < p->options.in_flight_max; i++) {
        close_socket(&p->lanes[i].sock);
    }
    coh_op_reader_free(p->reader);
    coh_buf_free(&p->request);
    free(p->addr);
    free(p->lanes);
    free(p->order);
    free(p->fds);
    free(p);
}

static coh_err_t open_lane(coh_client_pipeline_t *p, lane_t *lane, coh_buf_t *err_text)
{
    size_t n = sizeof(lane->recv_fd);
    COH_TRY(open_request_socket(&lane->sock, p->addr, &p->options, err_text));
    if (nn_getsockopt(lane->sock, NN_SOL_SOCKET, NN_RCVFD, &lane->recv_fd, &n) < 0) {
        coh_err_t err = open_failure(err_text, p->addr);
        close_socket(&lane->sock);
        return err;
    }
    return COH_OK;
}

coh_err_t coh_client_pipeline_open(coh_client_pipeline_t **out,
                                   char const *addr,
                                   coh_client_options_t const *options,
                                   coh_buf_t *err_text,
                                   coh_client_answer_fn *on_answer,
                                   void *arg)
{
    COH_TRY(check_options(options, err_text));
    uint32_t cnt             = options->in_flight_max;
    coh_client_pipeline_t *p = coh_calloc(1, sizeof(*p));
    p->addr                  = coh_strdup(addr);
    p->options               = *options;
    p->on_answer             = on_answer;
    p->arg                   = arg;
    p->reader                = coh_op_reader_new();
    p->lanes                 = coh_calloc(cnt, sizeof(*p->lanes));
    p->order                 = coh_calloc(cnt, sizeof(*p->order));
    p->fds                   = coh_calloc(cnt, sizeof(*p->fds));
    for (uint32_t i = 0; i < cnt; i++) {
        p->lanes[i].sock = -1;
        p->order[i]      = i;
    }
    for (uint32_t i = 0; i < cnt; i++) {
        coh_err_t err = open_lane(p, &p->lanes[i], err_text);
        if (err != COH_OK) {
            free_pipeline(p);
            return err;
        }
    }
    *out = p;
    return COH_OK;
}

uint32_t coh_client_pipeline_in_flight(coh_client_pipeline_t const *p) { return p->in_flight; }

coh_err_t coh_client_pipeline_submit(coh_client_pipeline_t *p,
                                     coh_op_submit_request_t const *request,
                                     uint64_t ticket)
{
    if (p->in_flight == p->options.in_flight_max) {
        return COH_EBUSY;
    }
    coh_buf_clear(&p->request);
    coh_op_put_submit_request(&p->request, request);
    if (p->request.n > p->options.message_bytes) {
        return COH_ETOOBIG;
    }
    lane_t *lane = &p->lanes[p->order[p->in_flight]];
    if (lane->sock < 0) {
        COH_TRY(open_lane(p, lane, NULL));
    }
    /* Never waits: without a connection the socket keeps the request until there is one. */
    if (nn_send(lane->sock, p->request.p, p->request.n, NN_DONTWAIT) < 0) {
        return nn_failure();
    }
    lane->ticket      = ticket;
    lane->deadline_us = coh_clock_mono_us() + p->options.timeout_ms * UINT64_C(1000);
    p->in_flight++;
    return COH_OK;
}

/* Ends the request at place i of the order. Its lane is free before the callback is made. */
static void finish(coh_client_pipeline_t *p,
                   uint32_t i,
                   coh_err_t err,
                   coh_op_submit_answer_t const *answer)
{
    COH_ASSERT(i < p->in_flight);
    uint32_t lane          = p->order[i];
    p->order[i]            = p->order[--p->in_flight];
    p->order[p->in_flight] = lane;
    p->on_answer(p->arg, p->lanes[lane].ticket, err, answer);
}

/* Takes the answer of place i if it is there. Returns: false if it is not */
static bool take_answer(coh_client_pipeline_t *p, uint32_t i)
{
    void *received = NULL;
    int n          = nn_recv(p->lanes[p->order[i]].sock, &received, NN_MSG, NN_DONTWAIT);
    if (n < 0) {
        return false;
    }
    coh_op_answer_t answer;
    coh_err_t err =
        coh_op_read_answer(p->reader, &answer, COH_OP_SUBMIT, coh_bytes(received, (size_t)n));
    err = err != COH_OK ? COH_EPROTO : answer.err;
    finish(p, i, err, err == COH_OK ? &answer.u.submit : NULL);
    (void)nn_freemsg(received);
    return true;
}

/* Gives up the request of place i. */
static void time_out(coh_client_pipeline_t *p, uint32_t i)
{
    close_socket(&p->lanes[p->order[i]].sock);
    finish(p, i, COH_ETIMEOUT, NULL);
}

/* Milliseconds, rounded up, until the first request in flight times out; at most timeout_ms. */
static int poll_wait_ms(coh_client_pipeline_t const *p, uint32_t timeout_ms)
{
    uint64_t now_us  = coh_clock_mono_us();
    uint64_t wait_us = COH_MIN(timeout_ms, (uint32_t)INT_MAX) * UINT64_C(1000);
    for (uint32_t i = 0; i < p->in_flight; i++) {
        uint64_t deadline_us = p->lanes[p->order[i]].deadline_us;
        wait_us              = COH_MIN(wait_us, deadline_us > now_us ? deadline_us - now_us : 0);
    }
    return (int)((wait_us + 999) / 1000);
}

coh_err_t coh_client_pipeline_poll(coh_client_pipeline_t *p, uint32_t timeout_ms)
{
    uint32_t cnt = p->in_flight;
    if (cnt == 0) {
        return COH_OK;
    }
    for (uint32_t i = 0; i < cnt; i++) {
        p->fds[i] = (struct pollfd){.fd = p->lanes[p->order[i]].recv_fd, .events = POLLIN};
    }
    if (poll(p->fds, cnt, poll_wait_ms(p, timeout_ms)) < 0) {
        return errno == EINTR ? COH_OK : COH_EIO;
    }
    uint64_t now_us = coh_clock_mono_us();
    /* Downwards: finish moves the last place into the freed one, and new requests come after it, so
       the places below i are as they were polled. */
    for (uint32_t i = cnt; i-- > 0;) {
        if (p->fds[i].revents != 0 && take_answer(p, i)) {
            continue;
        }
        if (p->lanes[p->order[i]].deadline_us <= now_us) {
            time_out(p, i);
        }
    }
    return COH_OK;
}

void coh_client_pipeline_close(coh_client_pipeline_t *p)
{
    if (p == NULL) {
        return;
    }
    while (p->in_flight != 0) {
        finish(p, p->in_flight - 1, COH_ECLOSED, NULL);
    }
    free_pipeline(p);
}

/* ---- Publications ---------------------------------------------------------------------------- */

struct coh_client_subscription {
    int sock;
    coh_op_reader_t *reader;
    void *received; /* by nn_recv; the last publication borrows from it */
};

coh_err_t coh_client_subscribe(coh_client_subscription_t **out,
                               char const *addr,
                               char const *topics,
                               uint32_t message_bytes,
                               coh_buf_t *err_text)
{
    int sock                     = -1;
    coh_client_options_t options = COH_CLIENT_OPTIONS_DEFAULT;
    options.message_bytes        = message_bytes;
    COH_TRY(check_options(&options, err_text));
    COH_TRY(open_socket(&sock, NN_SUB, addr, message_bytes, err_text));
    for (; *topics != '\0'; topics++) {
        if (nn_setsockopt(sock, NN_SUB, NN_SUB_SUBSCRIBE, topics, 1) < 0) {
            coh_err_t err = open_failure(err_text, addr);
            (void)nn_close(sock);
            return err;
        }
    }
    coh_client_subscription_t *s = coh_calloc(1, sizeof(*s));
    s->sock                      = sock;
    s->reader                    = coh_op_reader_new();
    *out                         = s;
    return COH_OK;
}

void coh_client_unsubscribe(coh_client_subscription_t *s)
{
    if (s == NULL) {
        return;
    }
    (void)nn_close(s->sock);
    free_message(&s->received);
    coh_op_reader_free(s->reader);
    free(s);
}

coh_err_t coh_client_next(coh_client_subscription_t *s, coh_pub_t *out, uint32_t timeout_ms)
{
    free_message(&s->received);
    if (set_int(s->sock, NN_SOL_SOCKET, NN_RCVTIMEO, (int)COH_MIN(timeout_ms, (uint32_t)INT_MAX)) <
        0) {
        return nn_failure();
    }
    int n = nn_recv(s->sock, &s->received, NN_MSG, 0);
    if (n < 0) {
        s->received = NULL;
        return nn_failure();
    }
    coh_err_t err = coh_op_read_publication(s->reader, out, coh_bytes(s->received, (size_t)n));
    return err == COH_OK ? COH_OK : COH_EPROTO;
}
