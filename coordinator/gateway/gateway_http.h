/* gateway_http.h: JSON-RPC's sockets: HTTP and WebSocket on one port, in one thread of its own beside the communication thread. What the texts mean is
   rpc.h's business; this is the only file that knows libmicrohttpd (HTTP) and wslay (WebSocket frames, RFC 6455) for them.

   Who may call: the Host header must be an IP address or named in http-hosts, else a web page could reach the port under a name of its own (DNS rebinding). Pages of other
   origins get CORS headers only if named in http-cors; others' requests with a JSON body fail in the browser, for a body of another type is refused (415).
   A request that two readers might take apart differently is refused and its connection closed: several Host, Content-Length, Authorization headers and the like, Content-Length beside
   Transfer-Encoding, another coding than chunked, folded lines, lines ended by CR or LF alone, names that are no tokens, control characters.
   Private methods are for who brings the bearer token of http-token-file.

   Bounds: connections, size of headers, of a body, of all bodies and unread answers together, silence, unread notifications of one client, fragments of a message, and the time that a client takes to send a
   request or message whole, or to read what it was sent (http-idle-seconds and http-transfer-seconds together): who sends or reads an octet now and then does not hold memory for ever. A client
   that is refused is told why; one that does not read is disconnected. */
#ifndef COH_GATEWAY_HTTP_H
#define COH_GATEWAY_HTTP_H

#include "common/config/config.h"
#include "common/config/genesis.h"
#include "common/obs/metrics.h"
#include "coordinator/coordinator.h"

typedef struct coh_gateway_http coh_gateway_http_t;

/* coh_gateway_http_open listens and starts the thread; everything is answered with "busy" until a coordinator is attached and runs.
   config, genesis, metrics (may be NULL): borrowed until free.
   Returns: COH_OK; COH_EINVAL, COH_EIO with the reason in err_text */
coh_err_t coh_gateway_http_open(coh_gateway_http_t **out,
                                coh_config_t const *config,
                                coh_genesis_t const *genesis,
                                coh_metrics_t *metrics,
                                coh_buf_t *err_text);

/* The port that it listens on: of an address with port 0 the one that was free. */
uint16_t coh_gateway_http_port(coh_gateway_http_t const *gw);

/* Communication thread: coh_gateway_http_attach before the coordinator runs; coh_gateway_http_poll when fd is readable, true if there was anything. */
void coh_gateway_http_attach(coh_gateway_http_t *gw, coh_coordinator_t *c);
int coh_gateway_http_fd(coh_gateway_http_t const *gw);
bool coh_gateway_http_poll(coh_gateway_http_t *gw, coh_coordinator_t *c);

/* coh_gateway_http_stop closes all connections and ends the thread; the coordinator may still answer. coh_gateway_http_free: after the coordinator is
   gone; stops first if that has not been done. */
void coh_gateway_http_stop(coh_gateway_http_t *gw);
void coh_gateway_http_free(coh_gateway_http_t *gw);

#endif
