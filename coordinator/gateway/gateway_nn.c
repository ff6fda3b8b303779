#include "coordinator/gateway/gateway_nn.h"

#include <errno.h>
#include <nanomsg/nn.h>
#include <nanomsg/pubsub.h>
#include <nanomsg/reqrep.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/client/ops.h"
#include "common/crypto/hmac.h"
#include "common/obs/log.h"

/* Requests taken by one poll, so that the loop gets to its other duties. */
#define POLL_CNT_MAX 64
/* Socket buffers: room for answers and publications of a whole block. The kernel may grant less. */
#define SOCKET_BUF_BYTES (8 << 20)
/* A return address: one word for the connection, one for the request, one for each device in
 * between. */
#define RETURN_BYTES_MAX 112
/* nn_close drops what has not left yet. */
#define LINGER_US 20000

#define NO_SLOT UINT32_MAX

typedef struct {
    uint32_t generation; /* odd while in use */
    uint32_t next_free;
    uint32_t control_n;
    COH_ALIGNED(8) uint8_t control[RETURN_BYTES_MAX]; /* ancillary data as received */
} slot_t;

struct coh_gateway_nn {
    coh_gateway_sink_t sink; /* first: the sink is the gateway */
    int rep;
    int pub; /* -1: none */
    int rep_fd;
    coh_metrics_t *metrics;
    size_t message_bytes_max;
    slot_t *slots;
    uint32_t slot_cnt;
    uint32_t free_slot;
    bool pub_failed; /* told once */
    coh_buf_t token; /* empty: none */
    coh_op_reader_t *reader;
};

/* nanomsg reports failures by -1 and nn_errno. */
static coh_err_t nn_failed(char const *what, char const *addr, coh_buf_t *err_text)
{
    int number = nn_errno();
    coh_buf_printf(err_text, "cannot %s %s: %s", what, addr, nn_strerror(number));
    return number == EINVAL || number == EPROTONOSUPPORT || number == ENODEV ? COH_EINVAL : COH_EIO;
}

#define NN_TRY(call, what, addr, err_text)          \
    do {                                            \
        if ((call) < 0) {                           \
            return nn_failed(what, addr, err_text); \
        }                                           \
    } while (0)

static void send_answer(coh_gateway_nn_t *gw, uint8_t *control, size_t control_n, coh_bytes_t data)
{
    struct nn_iovec iov     = {.iov_base = (void *)(uintptr_t)data.p, .iov_len = data.n};
    struct nn_msghdr header = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = control_n};
    if (nn_sendmsg(gw->rep, &header, NN_DONTWAIT) < 0) {
        COH_LOG_DBG(
            "gateway", "answer not sent", "bytes=%zu text=\"%s\"", data.n, nn_strerror(nn_errno()));
    }
}

static void sink_reply(coh_gateway_sink_t *sink, uint64_t request, coh_bytes_t data)
{
    coh_gateway_nn_t *gw = (coh_gateway_nn_t *)sink;
    uint32_t idx         = (uint32_t)request;
    COH_ASSERT(idx < gw->slot_cnt);
    slot_t *slot = &gw->slots[idx];
    COH_ASSERT(slot->generation == (uint32_t)(request >> 32) && (slot->generation & 1) == 1);
    send_answer(gw, slot->control, slot->control_n, data);
    slot->generation++;
    slot->next_free = gw->free_slot;
    gw->free_slot   = idx;
}

static void sink_publish(coh_gateway_sink_t *sink, coh_bytes_t data)
{
    coh_gateway_nn_t *gw = (coh_gateway_nn_t *)sink;
    if (gw->pub < 0) {
        return;
    }
    if (nn_send(gw->pub, data.p, data.n, NN_DONTWAIT) < 0) {
        if (!gw->pub_failed) {
            COH_LOG_WRN("gateway",
                        "publication not sent",
                        "bytes=%zu text=\"%s\"",
                        data.n,
                        nn_strerror(nn_errno()));
        }
        gw->pub_failed = true;
        return;
    }
    gw->pub_failed = false;
    coh_metric_add(gw->metrics, COH_M_gateway_published, data.n);
}

static bool sink_has_subscribers(coh_gateway_sink_t *sink)
{
    coh_gateway_nn_t *gw = (coh_gateway_nn_t *)sink;
    return gw->pub >= 0 && nn_get_statistic(gw->pub, NN_STAT_CURRENT_CONNECTIONS) > 0;
}

static coh_err_t open_socket(int *out,
                             int domain,
                             int protocol,
                             char const *addr,
                             size_t message_bytes_max,
                             coh_buf_t *err_text)
{
    int const buf_bytes = SOCKET_BUF_BYTES;
    /* nanomsg counts the return address in. */
    int const message_bytes = (int)(message_bytes_max + RETURN_BYTES_MAX);
    NN_TRY(*out = nn_socket(domain, protocol), "open a socket for", addr, err_text);
    NN_TRY(nn_setsockopt(*out, NN_SOL_SOCKET, NN_SNDBUF, &buf_bytes, sizeof(buf_bytes)),
           "set NN_SNDBUF of",
           addr,
           err_text);
    if (protocol == NN_REP) {
        NN_TRY(nn_setsockopt(*out, NN_SOL_SOCKET, NN_RCVBUF, &buf_bytes, sizeof(buf_bytes)),
               "set NN_RCVBUF of",
               addr,
               err_text);
        NN_TRY(nn_setsockopt(
                   *out, NN_SOL_SOCKET, NN_RCVMAXSIZE, &message_bytes, sizeof(message_bytes)),
               "set NN_RCVMAXSIZE of",
               addr,
               err_text);
    }
    if (nn_bind(*out, addr) < 0) {
        coh_err_t rc = nn_failed(
            protocol == NN_REP ? "serve client-listen" : "serve client-publish", addr, err_text);
        if (rc == COH_EINVAL) {
            coh_buf_printf(err_text, "; expected an address like tcp://127.0.0.1:7545");
        }
        return rc;
    }
    return COH_OK;
}

static coh_err_t open_sockets(coh_gateway_nn_t *gw,
                              char const *listen,
                              char const *publish,
                              size_t message_bytes_max,
                              coh_buf_t *err_text)
{
    COH_TRY(open_socket(&gw->rep, AF_SP_RAW, NN_REP, listen, message_bytes_max, err_text));
    size_t fd_sz = sizeof(gw->rep_fd);
    NN_TRY(nn_getsockopt(gw->rep, NN_SOL_SOCKET, NN_RCVFD, &gw->rep_fd, &fd_sz),
           "get NN_RCVFD of",
           listen,
           err_text);
    if (*publish != '\0') {
        COH_TRY(open_socket(&gw->pub, AF_SP, NN_PUB, publish, message_bytes_max, err_text));
    }
    return COH_OK;
}

static void close_sockets(coh_gateway_nn_t *gw)
{
    if (gw->rep >= 0) {
        (void)nn_close(gw->rep);
    }
    if (gw->pub >= 0) {
        (void)nn_close(gw->pub);
    }
}

coh_err_t coh_gateway_nn_open(coh_gateway_nn_t **out,
                              char const *listen,
                              char const *publish,
                              size_t message_bytes_max,
                              uint32_t request_max,
                              coh_metrics_t *metrics,
                              coh_buf_t *err_text)
{
    COH_ASSERT(request_max > 0 && request_max < NO_SLOT &&
               message_bytes_max <= INT32_MAX - RETURN_BYTES_MAX);
    coh_gateway_nn_t *gw = coh_calloc(1, sizeof(*gw));
    gw->sink             = (coh_gateway_sink_t){
                    .reply = sink_reply, .publish = sink_publish, .has_subscribers = sink_has_subscribers};
    gw->rep               = -1;
    gw->pub               = -1;
    gw->metrics           = metrics;
    gw->message_bytes_max = message_bytes_max;
    coh_err_t rc          = open_sockets(gw, listen, publish, message_bytes_max, err_text);
    if (rc != COH_OK) {
        close_sockets(gw);
        free(gw);
        return rc;
    }
    gw->reader   = coh_op_reader_new();
    gw->slots    = coh_calloc(request_max, sizeof(*gw->slots));
    gw->slot_cnt = request_max;
    for (uint32_t i = 0; i < request_max; i++) {
        gw->slots[i].next_free = i + 1 < request_max ? i + 1 : NO_SLOT;
    }
    *out = gw;
    return COH_OK;
}

void coh_gateway_nn_set_token(coh_gateway_nn_t *gw, coh_bytes_t token)
{
    coh_buf_clear(&gw->token);
    coh_buf_put(&gw->token, token.p, token.n);
}

coh_gateway_sink_t *coh_gateway_nn_sink(coh_gateway_nn_t *gw) { return &gw->sink; }

int coh_gateway_nn_fd(coh_gateway_nn_t const *gw) { return gw->rep_fd; }

/* text may be NULL: the error's own. */
static void refuse(coh_gateway_nn_t *gw,
                   uint8_t *control,
                   size_t control_n,
                   coh_err_t err,
                   char const *text)
{
    coh_buf_t answer = COH_BUF_INIT;
    coh_op_put_error(&answer, err, text);
    send_answer(gw, control, control_n, coh_buf_bytes(&answer));
    coh_buf_free(&answer);
    coh_metric_add(gw->metrics, COH_M_gateway_request, 1);
    coh_metric_add(gw->metrics, COH_M_gateway_request_refused, 1);
}

/* Octets of the ancillary data that hold the return address; 0 if it is not there, as when it was
 * too long. */
static size_t return_address_n(uint8_t *control)
{
    struct nn_cmsghdr const *cmsg = (struct nn_cmsghdr const *)(void *)control;
    if (cmsg->cmsg_level != PROTO_SP || cmsg->cmsg_type != SP_HDR ||
        cmsg->cmsg_len < sizeof(*cmsg) || cmsg->cmsg_len > RETURN_BYTES_MAX) {
        return 0;
    }
    return cmsg->cmsg_len;
}

/* Cuts the token off a request. NULL: it may go on; else why not. */
static char const *unauthorised(coh_gateway_nn_t *gw, coh_bytes_t *data)
{
    coh_bytes_t token;
    if (coh_op_take_token(data, &token) != COH_OK) {
        return "unauthorised: no whole token";
    }
    if (token.n != 0) {
        return token.n == gw->token.n && coh_secret_eq(token.p, gw->token.p, token.n)
                   ? NULL
                   : "unauthorised: not the token of client-token-file";
    }
    return coh_op_is_private(gw->reader, *data)
               ? "unauthorised: this operation needs the token of client-token-file"
               : NULL;
}

/* Gives the request a slot and hands it over. */
static void take_request(coh_gateway_nn_t *gw,
                         uint8_t const *control,
                         size_t control_n,
                         coh_bytes_t data,
                         coh_gateway_nn_fn *fn,
                         void *arg)
{
    uint32_t idx = gw->free_slot;
    slot_t *slot = &gw->slots[idx];
    COH_ASSERT((slot->generation & 1) == 0);
    gw->free_slot = slot->next_free;
    slot->generation++;
    slot->control_n = (uint32_t)control_n;
    memcpy(slot->control, control, control_n);
    fn(arg, (uint64_t)slot->generation << 32 | idx, data);
}

bool coh_gateway_nn_poll(coh_gateway_nn_t *gw, coh_gateway_nn_fn *fn, void *arg)
{
    int taken = 0;
    while (taken < POLL_CNT_MAX) {
        COH_ALIGNED(8) uint8_t control[RETURN_BYTES_MAX] = {0};
        void *body                                       = NULL;
        struct nn_iovec iov                              = {.iov_base = &body, .iov_len = NN_MSG};
        struct nn_msghdr header                          = {.msg_iov        = &iov,
                                                            .msg_iovlen     = 1,
                                                            .msg_control    = control,
                                                            .msg_controllen = sizeof(control)};
        int n = nn_recvmsg(gw->rep, &header, NN_DONTWAIT);
        if (n < 0) {
            if (nn_errno() != EAGAIN && nn_errno() != EINTR) {
                COH_LOG_WRN("gateway", "receive failed", "text=\"%s\"", nn_strerror(nn_errno()));
            }
            break;
        }
        taken++;
        size_t control_n = return_address_n(control);
        if (control_n == 0) {
            COH_LOG_DBG("gateway", "request without a usable return address", "bytes=%d", n);
        } else if ((size_t)n > gw->message_bytes_max) {
            refuse(gw, control, control_n, COH_ETOOBIG, NULL);
        } else if (gw->free_slot == NO_SLOT) {
            refuse(gw, control, control_n, COH_EBUSY, NULL);
        } else {
            coh_bytes_t data = coh_bytes(body, (size_t)n);
            char const *why  = unauthorised(gw, &data);
            if (why == NULL) {
                take_request(gw, control, control_n, data, fn, arg);
            } else {
                refuse(gw, control, control_n, COH_EPERM, why);
            }
        }
        (void)nn_freemsg(body);
    }
    return taken != 0;
}

void coh_gateway_nn_close(coh_gateway_nn_t *gw)
{
    (void)usleep(LINGER_US);
    close_sockets(gw);
    coh_op_reader_free(gw->reader);
    if (gw->token.n != 0) {
        coh_secret_wipe(gw->token.p, gw->token.n);
    }
    coh_buf_free(&gw->token);
    free(gw->slots);
    free(gw);
}
