#include "coordinator/gateway/gateway.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"

/* An open ticket's place; a ticket is generation << 32 | place, so that an answer to a closed ticket finds another generation. */
typedef struct {
    uint64_t request;
    uint32_t generation;
    bool open;
} slot_t;

struct coh_gateway {
    coh_gateway_sink_t *sink;
    coh_gateway_backend_t const *backend;
    void *arg;
    coh_metrics_t *metrics;
    coh_op_reader_t *reader;
    coh_buf_t out; /* kept from answer to answer */
    slot_t *slots;
    uint32_t *vacant; /* stack of free places */
    uint32_t slot_cnt;
    uint32_t vacant_cnt;
    bool closed;
};

coh_gateway_t *coh_gateway_new(coh_gateway_sink_t *sink,
                               coh_gateway_backend_t const *backend,
                               void *arg,
                               coh_metrics_t *metrics,
                               uint32_t request_max)
{
    coh_gateway_t *gw = coh_calloc(1, sizeof(*gw));
    gw->sink          = sink;
    gw->backend       = backend;
    gw->arg           = arg;
    gw->metrics       = metrics;
    gw->reader        = coh_op_reader_new();
    gw->slot_cnt      = request_max;
    gw->vacant_cnt    = request_max;
    gw->slots         = coh_calloc(request_max, sizeof(*gw->slots));
    gw->vacant        = coh_calloc(request_max, sizeof(*gw->vacant));
    for (uint32_t i = 0; i < request_max; i++) {
        gw->vacant[i] = request_max - 1 - i;
    }
    return gw;
}

void coh_gateway_free(coh_gateway_t *gw)
{
    if (gw != NULL) {
        coh_op_reader_free(gw->reader);
        coh_buf_free(&gw->out);
        free(gw->slots);
        free(gw->vacant);
        free(gw);
    }
}

static void reply_error(coh_gateway_t *gw, uint64_t request, coh_err_t err, char const *text)
{
    coh_metric_add(gw->metrics, COH_M_gateway_request_refused, 1);
    coh_buf_clear(&gw->out);
    coh_op_put_error(&gw->out, err, text);
    if (gw->sink != NULL) {
        gw->sink->reply(gw->sink, request, coh_buf_bytes(&gw->out));
    }
}

static uint64_t open_ticket(coh_gateway_t *gw, uint64_t request)
{
    uint32_t place = gw->vacant[--gw->vacant_cnt];
    slot_t *slot   = &gw->slots[place];
    COH_ASSERT(!slot->open);
    slot->open    = true;
    slot->request = request;
    slot->generation++;
    return (uint64_t)slot->generation << 32 | place;
}

/* close_ticket returns false if the ticket was closed before, by coh_gateway_close. */
static bool close_ticket(coh_gateway_t *gw, uint64_t ticket, uint64_t *request)
{
    uint32_t place = (uint32_t)ticket;
    COH_ASSERT(place < gw->slot_cnt);
    slot_t *slot = &gw->slots[place];
    if (!slot->open || slot->generation != (uint32_t)(ticket >> 32)) {
        COH_ASSERT(gw->closed);
        return false;
    }
    slot->open                   = false;
    gw->vacant[gw->vacant_cnt++] = place;
    *request                     = slot->request;
    return true;
}

void coh_gateway_on_request(coh_gateway_t *gw, uint64_t request, coh_bytes_t data)
{
    coh_metric_add(gw->metrics, COH_M_gateway_request, 1);
    if (gw->closed) {
        reply_error(gw, request, COH_ECLOSED, "the node is stopping");
        return;
    }
    coh_op_request_t req;
    coh_err_t err = coh_op_read_request(gw->reader, &req, data);
    if (err != COH_OK) {
        reply_error(gw, request, err, NULL);
        return;
    }
    if (gw->vacant_cnt == 0) {
        reply_error(gw, request, COH_EBUSY, "busy: too many requests in flight");
        return;
    }
    uint64_t ticket = open_ticket(gw, request);
    switch (req.op) {
#define COH_OP_REC(REC, rec)
#define COH_OP(id, OP, op, doc)                      \
    case COH_OP_##OP:                                \
        gw->backend->op(gw->arg, ticket, &req.u.op); \
        break;
#define COH_PUB(topic, PUB, pub, doc)
#include "common/client/ops.def"
#undef COH_OP_REC
#undef COH_OP
#undef COH_PUB
    }
}

void coh_gateway_close(coh_gateway_t *gw)
{
    gw->closed = true;
    for (uint32_t i = 0; i < gw->slot_cnt; i++) {
        uint64_t request;
        if (gw->slots[i].open &&
            close_ticket(gw, (uint64_t)gw->slots[i].generation << 32 | i, &request)) {
            reply_error(gw, request, COH_ECLOSED, "the node is stopping");
        }
    }
}

void coh_gateway_refuse(coh_gateway_t *gw, uint64_t ticket, coh_err_t err, char const *text)
{
    uint64_t request;
    if (close_ticket(gw, ticket, &request)) {
        reply_error(gw, request, err, text);
    }
}

bool coh_gateway_has_subscribers(coh_gateway_t const *gw)
{
    return gw->sink != NULL && gw->sink->has_subscribers != NULL &&
           gw->sink->has_subscribers(gw->sink);
}

static void publish(coh_gateway_t *gw)
{
    coh_metric_add(gw->metrics, COH_M_gateway_published, gw->out.n);
    gw->sink->publish(gw->sink, coh_buf_bytes(&gw->out));
}

#define COH_OP_REC(REC, rec)
#define COH_OP(id, OP, op, doc)                                              \
    void coh_gateway_answer_##op(                                            \
        coh_gateway_t *gw, uint64_t ticket, coh_op_##op##_answer_t const *m) \
    {                                                                        \
        uint64_t request;                                                    \
        if (close_ticket(gw, ticket, &request) && gw->sink != NULL) {        \
            coh_buf_clear(&gw->out);                                         \
            coh_op_put_##op##_answer(&gw->out, m);                           \
            gw->sink->reply(gw->sink, request, coh_buf_bytes(&gw->out));     \
        }                                                                    \
    }
#define COH_PUB(topic, PUB, pub, doc)                                             \
    void coh_gateway_publish_##pub(coh_gateway_t *gw, coh_pub_##pub##_t const *m) \
    {                                                                             \
        if (coh_gateway_has_subscribers(gw)) {                                    \
            coh_buf_clear(&gw->out);                                              \
            coh_pub_put_##pub(&gw->out, m);                                       \
            publish(gw);                                                          \
        }                                                                         \
    }
#include "common/client/ops.def"
#undef COH_OP_REC
#undef COH_OP
#undef COH_PUB
