/* client.h: talking to a running cluster over nanomsg, for programs that want throughput. Three
   handles, each for one thread at a time:

   - coh_client_t               one operation after another: call and wait for the answer
   - coh_client_pipeline_t      many SUBMITs on their way at once, answers by callback in the order
                                they come
   - coh_client_subscription_t  publications: blocks, receipts, dropped transactions

   All connect by themselves, at open and again after the server was away. A request that has no
   answer when its connection breaks is sent again once there is a new one; never because the server
   takes long. Doing an operation twice is harmless: a transaction that was already taken is
   answered with KNOWN. A request that timed out is forgotten here, but may still be carried out
   there. */
#ifndef COH_CLIENT_H
#define COH_CLIENT_H

#include "common/client/ops.h"

/* timeout_ms     for the answer to one request, waiting for a connection included; 1..INT32_MAX
   message_bytes  largest message either way, 1..INT32_MAX; the server has a bound of its own
   in_flight_max  of a pipeline: requests without an answer, each on a connection of its own;
                  1..COH_CLIENT_IN_FLIGHT_MAX
   token          of coh_client_t: brought with every request, for the operator's operations
                  (client-token-file); copied; at most UINT16_MAX octets; empty: none */
typedef struct {
    uint32_t timeout_ms;
    uint32_t message_bytes;
    uint32_t in_flight_max;
    coh_bytes_t token;
} coh_client_options_t;

/* nanomsg has 512 sockets in a process. */
#define COH_CLIENT_IN_FLIGHT_MAX 256u
#define COH_CLIENT_OPTIONS_DEFAULT \
    ((coh_client_options_t){.timeout_ms = 10000, .message_bytes = 64u << 20, .in_flight_max = 16})

/* ---- One operation after another ------------------------------------------------------------- */

typedef struct coh_client coh_client_t;

/* coh_client_open makes a handle for the server at addr; it returns at once, whether or not there
   is one yet.
   In:      addr      nanomsg address of requests, tcp://host:port or ipc://path; copied
            options   copied
            err_text  gets the reason of a failure; may be NULL
   Returns: COH_OK; COH_EINVAL an address or option that cannot be; COH_EIO out of sockets */
coh_err_t coh_client_open(coh_client_t **out,
                          char const *addr,
                          coh_client_options_t const *options,
                          coh_buf_t *err_text);
void coh_client_close(coh_client_t *c);

/* coh_client_<op> carries out one operation of ops.def and waits for the answer. out lives until
   the next call with this handle.
   In:      request  borrowed for the call
   Returns: COH_OK; what the server refused with; COH_ETIMEOUT no answer in time, or a signal came;
            COH_ETOOBIG request above message_bytes, nothing sent; COH_EPROTO an answer that does
            not decode; COH_EIO. coh_client_error says more. */
#define COH_OP_REC(REC, rec)
#define COH_OP(id, OP, op, doc) \
    coh_err_t coh_client_##op(  \
        coh_client_t *c, coh_op_##op##_answer_t *out, coh_op_##op##_request_t const *request);
#define COH_PUB(topic, PUB, pub, doc)
#include "common/client/ops.def"
#undef COH_OP_REC
#undef COH_OP
#undef COH_PUB

/* coh_client_error: the last failed call in words; lives until the next call with this handle. */
char const *coh_client_error(coh_client_t const *c);

/* ---- Many submissions at once ---------------------------------------------------------------- */

typedef struct coh_client_pipeline coh_client_pipeline_t;

/* Called once for each accepted submit, from within coh_client_pipeline_poll or _close. It may
   submit again (not from _close).
   In:      ticket  as given to submit
            err     COH_OK; what the server refused with; COH_ETIMEOUT; COH_EPROTO; COH_ECLOSED the
                    pipeline was closed first
            answer  borrowed for the call; NULL unless err is COH_OK */
typedef void coh_client_answer_fn(void *arg,
                                  uint64_t ticket,
                                  coh_err_t err,
                                  coh_op_submit_answer_t const *answer);

/* coh_client_pipeline_open: as coh_client_open. arg is borrowed until close. */
coh_err_t coh_client_pipeline_open(coh_client_pipeline_t **out,
                                   char const *addr,
                                   coh_client_options_t const *options,
                                   coh_buf_t *err_text,
                                   coh_client_answer_fn *on_answer,
                                   void *arg);
void coh_client_pipeline_close(coh_client_pipeline_t *p);

/* coh_client_pipeline_submit sends one SUBMIT and does not wait.
   In:      request  borrowed for the call
            ticket   of the caller's choice; comes back with the answer
   Returns: COH_OK; COH_EBUSY in_flight_max requests are without an answer: poll, then try again;
            COH_ETOOBIG; COH_EIO. Only after COH_OK is there a callback. */
coh_err_t coh_client_pipeline_submit(coh_client_pipeline_t *p,
                                     coh_op_submit_request_t const *request,
                                     uint64_t ticket);

/* coh_client_pipeline_poll waits up to timeout_ms for an answer or for a request to time out, and
   makes the callbacks of all that is there. With nothing in flight it returns at once.
   Returns: COH_OK, also if nothing came or a signal did; COH_EIO */
coh_err_t coh_client_pipeline_poll(coh_client_pipeline_t *p, uint32_t timeout_ms);

/* Requests without an answer. */
uint32_t coh_client_pipeline_in_flight(coh_client_pipeline_t const *p);

/* ---- Publications ---------------------------------------------------------------------------- */

typedef struct coh_client_subscription coh_client_subscription_t;

/* coh_client_subscribe listens to publications; those made before the connection stands are missed.
   A subscriber that is slower than the cluster loses publications (the server never waits for one):
   block numbers show the gap, and BLOCK_RECEIPTS closes it.
   In:      addr    nanomsg address of publications; copied
            topics  a string of coh_pub_topic_t octets, "BR" say
            message_bytes  largest publication
   Returns: as coh_client_open */
coh_err_t coh_client_subscribe(coh_client_subscription_t **out,
                               char const *addr,
                               char const *topics,
                               uint32_t message_bytes,
                               coh_buf_t *err_text);
void coh_client_unsubscribe(coh_client_subscription_t *s);

/* coh_client_next waits up to timeout_ms for a publication; out lives until the next call.
   Returns: COH_OK; COH_ETIMEOUT none came, or a signal did; COH_EPROTO one that does not
            decode (skipped); COH_EIO */
coh_err_t coh_client_next(coh_client_subscription_t *s, coh_pub_t *out, uint32_t timeout_ms);

#endif
