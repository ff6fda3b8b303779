/* gateway_nn.h: the clients' door over nanomsg: a REP socket for requests, a PUB socket for publications. Bytes only; what
   they mean is the coordinator's business.

   The REP socket is raw: each request comes with its return address, which is kept in a bounded table until the answer is there,
   so any number of requests may be open and be answered in any order. A slot's number and generation make the request's number, so a slot
   that is used again is never mistaken for its predecessor. With the table full, requests are answered with busy at once.

   nanomsg keeps at most what the connection's socket buffer takes of outgoing messages: an answer to a client that has several
   requests open on one connection and does not read, and a publication to a subscriber that does not keep up, are dropped. Clients
   therefore open one connection for each request in flight (common/client/client.h does).

   All functions: communication thread. */
#ifndef COH_GATEWAY_NN_H
#define COH_GATEWAY_NN_H

#include "coordinator/coordinator.h"

typedef struct coh_gateway_nn coh_gateway_nn_t;

/* coh_gateway_nn_open binds both sockets.
   In:      listen, publish   nanomsg addresses ("tcp://127.0.0.1:7545"); publish may be empty: no publications
            message_bytes_max a larger request is refused; a much larger one closes its connection
            request_max       requests not answered yet
            metrics           borrowed until close; may be NULL
   Returns: COH_OK; COH_EINVAL, COH_EIO with the address and the reason in err_text */
coh_err_t coh_gateway_nn_open(coh_gateway_nn_t **out,
                              char const *listen,
                              char const *publish,
                              size_t message_bytes_max,
                              uint32_t request_max,
                              coh_metrics_t *metrics,
                              coh_buf_t *err_text);

/* coh_gateway_nn_set_token, before the first poll: token (copied; empty, as without this call: none) is what a request of the operator's (client/ops.def) must bring. Without
   one nobody may ask for those. A token that is wrong is refused whatever it is brought for. */
void coh_gateway_nn_set_token(coh_gateway_nn_t *gw, coh_bytes_t token);

/* The sink to build the coordinator with; lives as long as the gateway. */
coh_gateway_sink_t *coh_gateway_nn_sink(coh_gateway_nn_t *gw);

/* A file descriptor that is readable when poll has requests to take. */
int coh_gateway_nn_fd(coh_gateway_nn_t const *gw);

/* Takes one request; it is answered through the sink's reply, now or later, exactly once. data is borrowed for the call. */
typedef void coh_gateway_nn_fn(void *arg, uint64_t request, coh_bytes_t data);

/* coh_gateway_nn_poll takes a bounded number of requests and hands them to fn; true if there were any. */
bool coh_gateway_nn_poll(coh_gateway_nn_t *gw, coh_gateway_nn_fn *fn, void *arg);

/* coh_gateway_nn_close waits a little for the last answers to leave, then closes; after the coordinator is gone. */
void coh_gateway_nn_close(coh_gateway_nn_t *gw);

#endif
