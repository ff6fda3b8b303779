/* gateway.h: requests of clients in, answers and publications out; bytes on one side, plain values on the other. It knows the operations
   (client/ops.def) and no socket: gateway_nn.h carries the bytes.

   A request that is well formed becomes a call to the backend with a ticket; the backend answers the ticket, now or later, exactly once.
   The tickets open at a time are bounded; beyond that, and for bytes that are no request, the gateway answers itself. When it is closed, open tickets
   are answered with COH_ECLOSED, and answers that come later are dropped.

   Communication thread only. */
#ifndef COH_GATEWAY_H
#define COH_GATEWAY_H

#include "common/client/ops.h"
#include "common/obs/metrics.h"
#include "coordinator/coordinator.h"

typedef struct coh_gateway coh_gateway_t;

/* What carries the operations out. Everything that a request points to is borrowed for the call. */
typedef struct {
#define COH_OP_REC(REC, rec)
#define COH_OP(id, OP, op, doc) \
    void (*op)(void *arg, uint64_t ticket, coh_op_##op##_request_t const *request);
#define COH_PUB(topic, PUB, pub, doc)
#include "common/client/ops.def"
#undef COH_OP_REC
#undef COH_OP
#undef COH_PUB
} coh_gateway_backend_t;

/* coh_gateway_new: sink may be NULL: then answers and publications go nowhere. All but request_max is borrowed until free. */
coh_gateway_t *coh_gateway_new(coh_gateway_sink_t *sink,
                               coh_gateway_backend_t const *backend,
                               void *arg,
                               coh_metrics_t *metrics,
                               uint32_t request_max);
void coh_gateway_free(coh_gateway_t *gw);

/* coh_gateway_on_request decodes data and calls the backend, or answers request at once. */
void coh_gateway_on_request(coh_gateway_t *gw, uint64_t request, coh_bytes_t data);
/* coh_gateway_close answers all open tickets with COH_ECLOSED, and every request from now on. */
void coh_gateway_close(coh_gateway_t *gw);

/* coh_gateway_answer_<op> answers a ticket; m is borrowed for the call. */
#define COH_OP_REC(REC, rec)
#define COH_OP(id, OP, op, doc)   \
    void coh_gateway_answer_##op( \
        coh_gateway_t *gw, uint64_t ticket, coh_op_##op##_answer_t const *m);
#define COH_PUB(topic, PUB, pub, doc) \
    void coh_gateway_publish_##pub(coh_gateway_t *gw, coh_pub_##pub##_t const *m);
#include "common/client/ops.def"
#undef COH_OP_REC
#undef COH_OP
#undef COH_PUB

/* coh_gateway_refuse answers a ticket with an error; text may be NULL. */
void coh_gateway_refuse(coh_gateway_t *gw, uint64_t ticket, coh_err_t err, char const *text);

/* True if somebody listens to publications: ask before preparing one. */
bool coh_gateway_has_subscribers(coh_gateway_t const *gw);

#endif
