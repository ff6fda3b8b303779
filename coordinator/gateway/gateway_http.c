#include "coordinator/gateway/gateway_http.h"

#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <wslay/wslay.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/config/secret.h"
#include "common/crypto/hmac.h"
#include "common/obs/httpd.h"
#include "common/obs/log.h"
#include "coordinator/gateway/rpc.h"
#include "coordinator/gateway/rpc_link.h"

#define MOD "http"

/* Request line and headers of one connection; longer ones are refused (431). */
#define HEADER_BYTES_MAX 16384
/* Octets read from one WebSocket before others have their turn. */
#define READ_BYTES_MAX 65536u
/* Requests of one WebSocket that are not answered; further ones wait in its socket. */
#define OPEN_MAX 256u
/* Frames waiting for a client to read them, however small. */
#define QUEUED_CNT_MAX 65536u
/* Fragments of one message, and the octets that wslay keeps each in, beside its payload. */
#define FRAGMENTS_MAX  16384u
#define FRAGMENT_BYTES 96u
/* IANA's registry of WebSocket close codes; wslay has no names for these. */
#define CODE_TRY_AGAIN_LATER 1013u
#define EVENT_CNT            256
/* WebSockets that are sent to before others have their turn. */
#define SETTLE_MAX 256u
/* Descriptors beside those of connections. */
#define SPARE_FDS 256u

/* A connection. While something is expected of its client, the rest of a request or of a message, or that it reads an answer, it stands in gw->waiting, since_us being
   when that began. All may take equally long, so the first there is due first. */
typedef struct conn {
    coh_gateway_http_t *gw;
    int fd;
    bool waits;
    uint64_t since_us;
    struct conn *prev, *next;
} conn_t;

/* An HTTP request.

   READING body ─whole─▶ ASKED ─answer─▶ ANSWERED ─queued─▶ (libmicrohttpd sends it; then it is freed)
           └─refused──────────────────────▲ */
typedef enum { HTTP_READING, HTTP_ASKED, HTTP_ANSWERED } http_state_t;

typedef struct http {
    coh_gateway_http_t *gw;
    struct MHD_Connection *connection;
    conn_t *conn;
    coh_rpc_peer_t *peer;
    http_state_t state;
    bool suspended;
    bool trusted;
    bool closes; /* the connection ends with the answer */
    unsigned status;
    coh_buf_t body;
    coh_buf_t answer;
    size_t charged;           /* octets counted in gw->memory */
    char const *refusal;      /* set while READING: why it is refused once its body is over */
    struct http *prev, *next; /* suspended ones */
} http_t;

/* A WebSocket. */
typedef struct ws {
    coh_gateway_http_t *gw;
    int fd; /* with TLS one end of a pair, at whose other end libmicrohttpd sits */
    conn_t *conn;
    struct MHD_UpgradeResponseHandle *handle;
    wslay_event_context_ptr frames;
    coh_rpc_peer_t *peer;
    coh_buf_t early; /* what came in one piece with the handshake */
    size_t early_at;
    size_t read_bytes;  /* in this turn */
    size_t charged;     /* octets counted in gw->memory: a message coming in, frames not sent yet */
    size_t incoming;    /* of these, the message coming in... */
    uint32_t fragments; /* ...in so many frames so far */
    uint32_t events;    /* asked of epoll */
    bool is_dirty;      /* has frames to send, or may read again */
    bool is_dead;       /* to be closed at the end of the turn */
    struct ws *dirty_next;
    struct ws *prev, *next;
} ws_t;

struct coh_gateway_http {
    coh_config_t const *config;
    coh_metrics_t *metrics;
    coh_rpc_link_t *link;
    coh_rpc_t *rpc;
    struct MHD_Daemon *daemon;
    int epoll;
    int stop_fd;
    pthread_t thread;
    bool runs;
    coh_buf_t token; /* empty: none */
    coh_tls_t tls;
    size_t memory; /* octets of bodies, answers and frames */
    conn_t *waiting, *waiting_last;
    http_t *suspended;
    bool mhd_due; /* requests were resumed */
    ws_t *sockets;
    ws_t *dirty_first, *dirty_last;
    uint64_t socket_cnt;
};

/* What an epoll event stands for, beside sockets. */
static char mark_mhd;
static char mark_link;
static char mark_stop;

/* ---- connections ---- */

static void stop_waiting(conn_t *c)
{
    if (c->waits) {
        coh_gateway_http_t *gw                                  = c->gw;
        c->waits                                                = false;
        *(c->prev != NULL ? &c->prev->next : &gw->waiting)      = c->next;
        *(c->next != NULL ? &c->next->prev : &gw->waiting_last) = c->prev;
    }
}

/* start_waiting gives the client of c its time anew. */
static void start_waiting(conn_t *c)
{
    coh_gateway_http_t *gw = c->gw;
    stop_waiting(c);
    c->waits                                           = true;
    c->since_us                                        = coh_clock_mono_us();
    c->next                                            = NULL;
    c->prev                                            = gw->waiting_last;
    *(c->prev != NULL ? &c->prev->next : &gw->waiting) = c;
    gw->waiting_last                                   = c;
}

/* How long a client may take in all, silence included, which has a bound of its own. */
static uint64_t patience_us(coh_gateway_http_t const *gw)
{
    return (gw->config->http_idle_seconds + gw->config->http_transfer_seconds) * 1000000;
}

/* end_waiting cuts those off whose time is over; libmicrohttpd, or the WebSocket's own event, finds them closed. */
static void end_waiting(coh_gateway_http_t *gw, uint64_t now_us)
{
    while (gw->waiting != NULL && now_us - gw->waiting->since_us >= patience_us(gw)) {
        conn_t *c = gw->waiting;
        stop_waiting(c);
        (void)shutdown(c->fd, SHUT_RDWR);
        coh_metric_add(gw->metrics, COH_M_rpc_reader_dropped, 1);
    }
}

/* MHD_NotifyConnectionCallback */
static void on_connection(void *arg,
                          struct MHD_Connection *connection,
                          void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        union MHD_ConnectionInfo const *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        COH_ASSERT(info != NULL);
        conn_t *c = coh_calloc(1, sizeof(*c));
        c->gw     = arg;
        c->fd     = info->connect_fd;
        *context  = c;
        start_waiting(c);
    } else if (*context != NULL) {
        stop_waiting(*context);
        free(*context);
        *context = NULL;
    }
}

/* ---- headers ---- */

static char const *header(struct MHD_Connection *c, char const *name)
{
    return MHD_lookup_connection_value(c, MHD_HEADER_KIND, name);
}

/* What is looked for in the headers: how often those appear that decide who asks, for what, and where the request ends; and whether two readers would take the head apart
   alike. libmicrohttpd takes more than RFC 9112 lets it: lines folded or ended by CR or LF alone, NUL in values, spaces before the colon. It hands out names and values where
   they stand in its buffer, ended by NUL in place of colon and CR LF: what does not stand there as one line after the other was not sent so. */
typedef struct {
    unsigned host;
    unsigned length;
    unsigned encoding;
    unsigned once; /* all others that may appear once */
    bool is_odd;
    char const *next; /* where the next line begins; NULL before the first */
} head_t;

/* RFC 9110, 5.6.2 */
static bool is_token(char const *text)
{
    size_t n = strspn(
        text, "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
    return n > 0 && text[n] == '\0';
}

/* RFC 9110, 5.5 */
static bool is_field_value(char const *text)
{
    for (; *text != '\0'; text++) {
        uint8_t c = (uint8_t)*text;
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return true;
}

static enum MHD_Result look_at_header(void *arg,
                                      enum MHD_ValueKind kind,
                                      char const *name,
                                      char const *value)
{
    static char const *const once[] = {MHD_HTTP_HEADER_CONTENT_TYPE,
                                       MHD_HTTP_HEADER_AUTHORIZATION,
                                       MHD_HTTP_HEADER_ORIGIN,
                                       MHD_HTTP_HEADER_UPGRADE};
    head_t *head                    = arg;
    (void)kind;
    if (value == NULL || !is_token(name) || !is_field_value(value) ||
        (head->next != NULL && name != head->next)) {
        head->is_odd = true;
        return MHD_NO;
    }
    char const *at = name + strlen(name) + 1;
    at += strspn(at, " \t");
    char const *end = value + strlen(value);
    head->is_odd    = head->is_odd || at != value || end[1] != '\0';
    head->next      = end + 2;
    head->host += strcasecmp(name, MHD_HTTP_HEADER_HOST) == 0;
    head->length += strcasecmp(name, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0;
    head->encoding += strcasecmp(name, MHD_HTTP_HEADER_TRANSFER_ENCODING) == 0;
    for (size_t i = 0; i < COH_CNT(once); i++) {
        bool same    = strcasecmp(name, once[i]) == 0;
        head->is_odd = head->is_odd || (same && (head->once >> i & 1) != 0);
        head->once |= (unsigned)same << i;
    }
    return MHD_YES;
}

/* head_is_plain: every reader would see the same headers, and the request's end at the same place. */
static bool head_is_plain(head_t const *head, struct MHD_Connection *c, char const *version)
{
    if (head->is_odd || head->host > 1 || head->length + head->encoding > 1 ||
        (head->next != NULL && (head->next[0] != '\0' || head->next[1] != '\0'))) {
        return false; /* the last: it ends with something else than an empty line, which is two NULs by now */
    }
    if (head->encoding > 0) {
        return strcmp(version, MHD_HTTP_VERSION_1_1) == 0 &&
               strcasecmp(header(c, MHD_HTTP_HEADER_TRANSFER_ENCODING), "chunked") == 0;
    }
    char const *length = head->length > 0 ? header(c, MHD_HTTP_HEADER_CONTENT_LENGTH) : "0";
    return *length != '\0' && length[strspn(length, "0123456789")] == '\0';
}

/* origin_of returns the Origin header if pages of that origin may call, else NULL. */
static char const *allowed_origin(coh_gateway_http_t const *gw, struct MHD_Connection *c)
{
    char const *origin = header(c, MHD_HTTP_HEADER_ORIGIN);
    return origin != NULL && coh_httpd_is_listed(gw->config->http_cors, origin, strlen(origin))
               ? origin
               : NULL;
}

/* ---- answers ---- */

static bool is_utf8_json(char const *type)
{
    static char const *const types[] = {
        "application/json", "application/json-rpc", "application/jsonrequest"};
    size_t n = strcspn(type, "; ");
    for (size_t i = 0; i < COH_CNT(types); i++) {
        if (strlen(types[i]) == n && strncasecmp(types[i], type, n) == 0) {
            return true;
        }
    }
    return false;
}

static void allow_origin(struct MHD_Response *r, char const *origin, bool is_preflight)
{
    if (origin != NULL) {
        (void)MHD_add_response_header(r, MHD_HTTP_HEADER_ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        (void)MHD_add_response_header(r, MHD_HTTP_HEADER_VARY, MHD_HTTP_HEADER_ORIGIN);
        if (is_preflight) {
            (void)MHD_add_response_header(r, "Access-Control-Allow-Methods", "POST, GET");
            (void)MHD_add_response_header(
                r, "Access-Control-Allow-Headers", "Content-Type, Authorization");
            (void)MHD_add_response_header(r, "Access-Control-Max-Age", "600");
        }
    }
}

/* queue hands the answer of h over. */
static enum MHD_Result queue(http_t *h, char const *type, bool is_preflight)
{
    struct MHD_Response *r = MHD_create_response_from_buffer(
        h->answer.n, h->answer.n > 0 ? (void *)h->answer.p : "", MHD_RESPMEM_PERSISTENT);
    if (r == NULL) {
        return MHD_NO;
    }
    (void)MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    allow_origin(r, allowed_origin(h->gw, h->connection), is_preflight);
    if (h->closes) {
        (void)MHD_add_response_header(r, MHD_HTTP_HEADER_CONNECTION, "close");
    }
    if (h->status == MHD_HTTP_METHOD_NOT_ALLOWED) {
        (void)MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, "GET, OPTIONS, POST");
    }
    enum MHD_Result rc = MHD_queue_response(h->connection, h->status, r);
    MHD_destroy_response(r);
    start_waiting(h->conn);
    return rc;
}

static enum MHD_Result refuse(http_t *h, unsigned status, char const *why)
{
    coh_metric_add(h->gw->metrics, COH_M_rpc_refused, 1);
    h->state  = HTTP_ANSWERED;
    h->status = status;
    coh_buf_clear(&h->answer);
    coh_buf_printf(&h->answer, "%s\n", why);
    return queue(h, "text/plain; charset=utf-8", false);
}

/* charge counts n more octets; false if there is no room for them. */
static bool charge(coh_gateway_http_t *gw, size_t *charged, size_t n)
{
    if (n > gw->config->http_memory_bytes_max -
                COH_MIN(gw->memory, (size_t)gw->config->http_memory_bytes_max)) {
        return false;
    }
    gw->memory += n;
    *charged += n;
    return true;
}

static void discharge(coh_gateway_http_t *gw, size_t *charged, size_t n)
{
    COH_ASSERT(n <= *charged && *charged <= gw->memory);
    gw->memory -= n;
    *charged -= n;
}

/* ---- WebSockets ---- */

static void mark_dirty(ws_t *ws)
{
    if (!ws->is_dirty) {
        coh_gateway_http_t *gw                                                      = ws->gw;
        ws->is_dirty                                                                = true;
        ws->dirty_next                                                              = NULL;
        *(gw->dirty_first == NULL ? &gw->dirty_first : &gw->dirty_last->dirty_next) = ws;
        gw->dirty_last                                                              = ws;
    }
}

static void kill_socket(ws_t *ws)
{
    ws->is_dead = true;
    mark_dirty(ws);
}

/* refuse_socket closes it, with a reason for who reads. */
static void refuse_socket(ws_t *ws, uint16_t code, char const *why)
{
    if (!ws->is_dead) {
        (void)wslay_event_queue_close(ws->frames, code, (uint8_t const *)why, strlen(why));
        coh_metric_add(ws->gw->metrics, COH_M_rpc_reader_dropped, 1);
        kill_socket(ws);
    }
}

/* recount keeps ws->charged at what it holds: the message coming in, and the frames to go out. */
static void recount(ws_t *ws)
{
    size_t now = ws->incoming + wslay_event_get_queued_msg_length(ws->frames);
    if (now < ws->charged) {
        discharge(ws->gw, &ws->charged, ws->charged - now);
    } else if (!charge(ws->gw, &ws->charged, now - ws->charged)) {
        refuse_socket(ws, CODE_TRY_AGAIN_LATER, "busy: too much memory is in use");
    }
}

static size_t unread(ws_t const *ws) { return wslay_event_get_queued_msg_length(ws->frames); }

/* may_read: it keeps up with what it has asked for. */
static bool may_read(ws_t const *ws)
{
    return !ws->is_dead && coh_rpc_peer_open_cnt(ws->peer) < OPEN_MAX &&
           unread(ws) <= ws->gw->config->http_queue_bytes_max / 2 &&
           wslay_event_get_queued_msg_count(ws->frames) <= QUEUED_CNT_MAX / 2;
}

static ssize_t on_recv(wslay_event_context_ptr frames, uint8_t *buf, size_t n, int flags, void *arg)
{
    ws_t *ws = arg;
    (void)flags;
    if (ws->is_dead || ws->read_bytes >= READ_BYTES_MAX || !may_read(ws)) {
        wslay_event_set_error(frames, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    ssize_t got;
    if (ws->early_at < ws->early.n) {
        got = (ssize_t)COH_MIN(n, ws->early.n - ws->early_at);
        memcpy(buf, ws->early.p + ws->early_at, (size_t)got);
        ws->early_at += (size_t)got;
    } else {
        do {
            got = recv(ws->fd, buf, n, MSG_DONTWAIT);
        } while (got < 0 && errno == EINTR);
    }
    if (got > 0) {
        ws->read_bytes += (size_t)got;
        return got;
    }
    bool later = got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    wslay_event_set_error(frames, later ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static ssize_t on_send(wslay_event_context_ptr frames,
                       uint8_t const *data,
                       size_t n,
                       int flags,
                       void *arg)
{
    ws_t *ws = arg;
    int more = (flags & WSLAY_MSG_MORE) != 0 ? MSG_MORE : 0;
    ssize_t sent;
    do {
        sent = send(ws->fd, data, n, MSG_DONTWAIT | MSG_NOSIGNAL | more);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0) {
        bool later = errno == EAGAIN || errno == EWOULDBLOCK;
        wslay_event_set_error(frames, later ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
    }
    return sent;
}

static void on_frame(wslay_event_context_ptr frames,
                     struct wslay_event_on_frame_recv_start_arg const *frame,
                     void *arg)
{
    ws_t *ws = arg;
    (void)frames;
    if (!wslay_is_ctrl_frame(frame->opcode)) {
        if (ws->incoming == 0) {
            start_waiting(ws->conn);
        }
        /* Bounded by wslay: a longer one does not come here. */
        ws->incoming += frame->payload_length + FRAGMENT_BYTES;
        if (++ws->fragments > FRAGMENTS_MAX) {
            refuse_socket(ws, WSLAY_CODE_POLICY_VIOLATION, "a message in too many fragments");
        }
        recount(ws);
    }
}

static void on_message(wslay_event_context_ptr frames,
                       struct wslay_event_on_msg_recv_arg const *msg,
                       void *arg)
{
    ws_t *ws = arg;
    (void)frames;
    if (wslay_is_ctrl_frame(msg->opcode)) {
        return; /* pings and closes are wslay's */
    }
    if (!ws->is_dead) {
        coh_rpc_request(ws->peer, coh_bytes(msg->msg, msg->msg_length));
    }
    ws->incoming  = 0;
    ws->fragments = 0;
    recount(ws);
}

static struct wslay_event_callbacks const ws_callbacks = {
    .recv_callback                = on_recv,
    .send_callback                = on_send,
    .on_frame_recv_start_callback = on_frame,
    .on_msg_recv_callback         = on_message,
};

static void ws_send(void *arg, coh_buf_t *text, bool is_answer)
{
    ws_t *ws = arg;
    (void)is_answer;
    struct wslay_event_msg msg = {
        .opcode = WSLAY_TEXT_FRAME, .msg = text->p, .msg_length = text->n};
    if (!ws->is_dead && text->n > 0) {
        /* What comes at once is not held against the client: the receipts of one block may be more than it may leave unread. */
        bool is_behind = unread(ws) > ws->gw->config->http_queue_bytes_max;
        (void)wslay_event_queue_msg(ws->frames, &msg); /* fails once the client has said good-bye */
        if (is_behind || wslay_event_get_queued_msg_count(ws->frames) > QUEUED_CNT_MAX) {
            refuse_socket(ws, WSLAY_CODE_POLICY_VIOLATION, "what was sent is not read");
        }
        recount(ws);
    }
    mark_dirty(ws);
    coh_buf_free(text);
}

static void ws_read(ws_t *ws)
{
    if (wslay_event_recv(ws->frames) != 0) {
        kill_socket(ws);
    }
    recount(ws);
}

static void close_socket(ws_t *ws)
{
    coh_gateway_http_t *gw = ws->gw;
    if (wslay_event_want_write(ws->frames)) {
        (void)wslay_event_send(
            ws->frames); /* a good-bye with its reason, if there is room for it */
    }
    stop_waiting(ws->conn);
    coh_rpc_peer_free(ws->peer);
    wslay_event_context_free(ws->frames);
    discharge(gw, &ws->charged, ws->charged);
    (void)epoll_ctl(gw->epoll, EPOLL_CTL_DEL, ws->fd, NULL);
    (void)MHD_upgrade_action(ws->handle, MHD_UPGRADE_ACTION_CLOSE);
    gw->mhd_due                                          = true;
    *(ws->prev != NULL ? &ws->prev->next : &gw->sockets) = ws->next;
    if (ws->next != NULL) {
        ws->next->prev = ws->prev;
    }
    coh_metric_set(gw->metrics, COH_M_rpc_connection, --gw->socket_cnt);
    coh_buf_free(&ws->early);
    free(ws);
}

/* watch_reader, after frames were sent of which there were queued before: the time of a client starts when it leaves something unread, and anew with every frame that it has read. */
static void watch_reader(ws_t *ws, size_t queued)
{
    size_t left = wslay_event_get_queued_msg_count(ws->frames);
    if (ws->incoming > 0) {
        return; /* it runs because of that */
    }
    if (left == 0) {
        stop_waiting(ws->conn);
    } else if (left < queued || !ws->conn->waits) {
        start_waiting(ws->conn);
    }
}

/* settle_socket sends what can be sent, goes on reading what it had to leave, and says what it waits for. */
static void settle_socket(ws_t *ws)
{
    size_t queued = wslay_event_get_queued_msg_count(ws->frames);
    if (!ws->is_dead && wslay_event_want_write(ws->frames) && wslay_event_send(ws->frames) != 0) {
        ws->is_dead = true;
    }
    watch_reader(ws, queued);
    if (!ws->is_dead && (ws->events & EPOLLIN) == 0 && may_read(ws)) {
        ws->read_bytes = 0;
        ws_read(ws); /* part of what comes next may be in wslay's hands already */
        watch_reader(ws, wslay_event_get_queued_msg_count(ws->frames));
    }
    recount(ws);
    if (!wslay_event_want_read(ws->frames) && !wslay_event_want_write(ws->frames)) {
        ws->is_dead = true;
    }
    uint32_t events = EPOLLRDHUP;
    events |= may_read(ws) ? (uint32_t)EPOLLIN : 0;
    events |= wslay_event_want_write(ws->frames) ? (uint32_t)EPOLLOUT : 0;
    if (!ws->is_dead && events != ws->events) {
        struct epoll_event ev = {.events = events, .data.ptr = ws};
        ws->events            = events;
        if (epoll_ctl(ws->gw->epoll, EPOLL_CTL_MOD, ws->fd, &ev) != 0) {
            ws->is_dead = true;
        }
    }
}

/* settle_sockets does that for the first max of those that were touched, and closes those that are over. Requests read meanwhile may touch some again. */
static void settle_sockets(coh_gateway_http_t *gw, uint32_t max)
{
    for (uint32_t i = 0; i < max && gw->dirty_first != NULL; i++) {
        ws_t *ws        = gw->dirty_first;
        gw->dirty_first = ws->dirty_next;
        settle_socket(ws); /* still marked: it is not put there again meanwhile */
        ws->is_dirty = false;
        if (ws->is_dead) {
            close_socket(ws);
        }
    }
}

static void set_keepalive(int fd)
{
    int const one  = 1;
    int const idle = 60;
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

/* MHD_UpgradeHandler: the handshake is answered, the socket is ours. */
static void on_upgrade(void *arg,
                       struct MHD_Connection *connection,
                       void *request,
                       char const *early,
                       size_t early_n,
                       MHD_socket fd,
                       struct MHD_UpgradeResponseHandle *handle)
{
    coh_gateway_http_t *gw = arg;
    http_t const *h        = request;
    (void)connection;
    ws_t *ws   = coh_calloc(1, sizeof(*ws));
    ws->gw     = gw;
    ws->fd     = fd;
    ws->conn   = h->conn;
    ws->handle = handle;
    coh_buf_put(&ws->early, early, early_n);
    ws->peer = coh_rpc_peer_new(gw->rpc, true, h->trusted, ws_send, ws);
    int rc   = wslay_event_context_server_init(&ws->frames, &ws_callbacks, ws);
    COH_ASSERT(rc == 0);
    wslay_event_config_set_max_recv_msg_length(ws->frames, gw->config->http_body_bytes_max);
    stop_waiting(ws->conn);
    set_keepalive(ws->conn->fd);
    int flags = fcntl(fd, F_GETFL);
    (void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    ws->next = gw->sockets;
    if (ws->next != NULL) {
        ws->next->prev = ws;
    }
    gw->sockets = ws;
    coh_metric_set(gw->metrics, COH_M_rpc_connection, ++gw->socket_cnt);
    ws->events            = EPOLLIN | EPOLLRDHUP;
    struct epoll_event ev = {.events = ws->events, .data.ptr = ws};
    if (epoll_ctl(gw->epoll, EPOLL_CTL_ADD, fd, &ev) != 0) {
        ws->is_dead = true;
    } else if (early_n > 0) {
        ws_read(ws);
    }
    mark_dirty(ws);
}

/* websocket_accept is Sec-WebSocket-Accept for key (RFC 6455, 4.2.2). */
static bool websocket_accept(char out[32], char const *key)
{
    static char const guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char text[128];
    uint8_t digest[20];
    unsigned n = 0;
    int len    = snprintf(text, sizeof(text), "%s%s", key, guid);
    if (len < 0 || (size_t)len >= sizeof(text) ||
        EVP_Digest(text, (size_t)len, digest, &n, EVP_sha1(), NULL) != 1) {
        return false;
    }
    (void)EVP_EncodeBlock((unsigned char *)out, digest, (int)n);
    return true;
}

static enum MHD_Result upgrade(http_t *h)
{
    struct MHD_Connection *c = h->connection;
    char const *key          = header(c, "Sec-WebSocket-Key");
    char const *version      = header(c, "Sec-WebSocket-Version");
    char const *origin       = header(c, MHD_HTTP_HEADER_ORIGIN);
    char accept[32];
    if (origin != NULL && allowed_origin(h->gw, c) == NULL) {
        return refuse(h, MHD_HTTP_FORBIDDEN, "this origin is not named in http-cors");
    }
    if (key == NULL || strlen(key) != 24 || version == NULL || strcmp(version, "13") != 0 ||
        !websocket_accept(accept, key)) {
        return refuse(h, MHD_HTTP_BAD_REQUEST, "not a WebSocket handshake of version 13");
    }
    struct MHD_Response *r = MHD_create_response_for_upgrade(on_upgrade, h->gw);
    if (r == NULL) {
        return MHD_NO;
    }
    h->state = HTTP_ANSWERED;
    (void)MHD_add_response_header(r, MHD_HTTP_HEADER_UPGRADE, "websocket");
    (void)MHD_add_response_header(r, "Sec-WebSocket-Accept", accept);
    enum MHD_Result rc = MHD_queue_response(c, MHD_HTTP_SWITCHING_PROTOCOLS, r);
    MHD_destroy_response(r);
    start_waiting(h->conn);
    return rc;
}

/* ---- HTTP ---- */

static void http_send(void *arg, coh_buf_t *text, bool is_answer)
{
    http_t *h              = arg;
    coh_gateway_http_t *gw = h->gw;
    COH_ASSERT(is_answer && h->state == HTTP_ASKED);
    h->state  = HTTP_ANSWERED;
    h->status = MHD_HTTP_OK;
    h->answer = *text;
    *text     = COH_BUF_INIT;
    if (!charge(gw, &h->charged, h->answer.n)) {
        coh_buf_free(&h->answer);
        coh_buf_printf(&h->answer, "busy: too many answers wait to be read\n");
        h->status = MHD_HTTP_SERVICE_UNAVAILABLE;
    }
    if (h->suspended) {
        h->suspended                                         = false;
        *(h->prev != NULL ? &h->prev->next : &gw->suspended) = h->next;
        if (h->next != NULL) {
            h->next->prev = h->prev;
        }
        gw->mhd_due = true;
        MHD_resume_connection(h->connection);
    }
}

/* ask hands the whole body over, and waits unless it is answered at once. */
static enum MHD_Result ask(http_t *h)
{
    coh_gateway_http_t *gw = h->gw;
    h->state               = HTTP_ASKED;
    stop_waiting(h->conn);
    h->peer = coh_rpc_peer_new(gw->rpc, false, h->trusted, http_send, h);
    coh_rpc_request(h->peer, coh_buf_bytes(&h->body));
    size_t n = h->body.n;
    coh_buf_free(&h->body);
    discharge(gw, &h->charged, n);
    if (h->state == HTTP_ANSWERED) {
        return queue(h, "application/json", false);
    }
    h->suspended = true;
    h->prev      = NULL;
    h->next      = gw->suspended;
    if (h->next != NULL) {
        h->next->prev = h;
    }
    gw->suspended = h;
    MHD_suspend_connection(h->connection);
    return MHD_YES;
}

/* authorise reads the bearer token. False: it is a wrong one. */
static bool authorise(http_t *h)
{
    static char const scheme[] = "Bearer ";
    char const *given          = header(h->connection, MHD_HTTP_HEADER_AUTHORIZATION);
    if (given == NULL) {
        return true;
    }
    size_t n = strlen(given);
    if (h->gw->token.n == 0 || strncasecmp(given, scheme, sizeof(scheme) - 1) != 0) {
        return false;
    }
    given += sizeof(scheme) - 1;
    n -= sizeof(scheme) - 1;
    h->trusted = n == h->gw->token.n && coh_secret_eq(given, h->gw->token.p, n);
    return h->trusted;
}

/* begin judges a request by its head. */
static enum MHD_Result begin(http_t *h, char const *path, char const *method, char const *version)
{
    struct MHD_Connection *c = h->connection;
    coh_gateway_http_t *gw   = h->gw;
    head_t head              = {0};
    (void)MHD_get_connection_values(c, MHD_HEADER_KIND, look_at_header, &head);
    h->closes = true; /* a body that is not read must not be taken for the next request */
    if (!head_is_plain(&head, c, version)) {
        return refuse(h, MHD_HTTP_BAD_REQUEST, "ambiguous headers");
    }
    if (head.host == 0 ||
        !coh_httpd_host_is_allowed(header(c, MHD_HTTP_HEADER_HOST), gw->config->http_hosts)) {
        return refuse(h,
                      MHD_HTTP_FORBIDDEN,
                      "invalid host specified: neither an IP address nor a name of http-hosts");
    }
    if (strcmp(path, "/") != 0) {
        return refuse(h, MHD_HTTP_NOT_FOUND, "JSON-RPC is at /");
    }
    if (!authorise(h)) {
        return refuse(
            h, MHD_HTTP_UNAUTHORIZED, "unauthorised: not the bearer token of http-token-file");
    }
    char const *upgrade_to = header(c, MHD_HTTP_HEADER_UPGRADE);
    if (strcmp(method, MHD_HTTP_METHOD_GET) == 0) {
        if (upgrade_to != NULL && strcasecmp(upgrade_to, "websocket") == 0) {
            return upgrade(h);
        }
        h->closes = head.length > 0 || head.encoding > 0;
        h->state  = HTTP_ANSWERED;
        h->status = MHD_HTTP_OK;
        return queue(h,
                     "text/plain; charset=utf-8",
                     false); /* for who only asks whether somebody is there */
    }
    if (strcmp(method, MHD_HTTP_METHOD_OPTIONS) == 0) {
        h->closes = head.length > 0 || head.encoding > 0;
        h->state  = HTTP_ANSWERED;
        h->status = MHD_HTTP_NO_CONTENT;
        return queue(h, "text/plain; charset=utf-8", true);
    }
    if (strcmp(method, MHD_HTTP_METHOD_POST) != 0) {
        return refuse(h, MHD_HTTP_METHOD_NOT_ALLOWED, "POST a JSON-RPC request");
    }
    if (head.length + head.encoding == 0) {
        return refuse(h, MHD_HTTP_LENGTH_REQUIRED, "no Content-Length, and not in chunks");
    }
    char const *type = header(c, MHD_HTTP_HEADER_CONTENT_TYPE);
    if (type == NULL || !is_utf8_json(type)) {
        return refuse(h,
                      MHD_HTTP_UNSUPPORTED_MEDIA_TYPE,
                      "invalid content type, only application/json is supported");
    }
    char const *length = header(c, MHD_HTTP_HEADER_CONTENT_LENGTH);
    if (length != NULL && strtoull(length, NULL, 10) > gw->config->http_body_bytes_max) {
        return refuse(h, MHD_HTTP_CONTENT_TOO_LARGE, "content length too large");
    }
    h->closes = false;
    return MHD_YES;
}

/* take_body keeps a piece of the body; one that is refused is read to its end, and forgotten. */
static void take_body(http_t *h, char const *piece, size_t n)
{
    coh_gateway_http_t *gw = h->gw;
    if (h->refusal != NULL) {
        return;
    }
    if (h->body.n + n > gw->config->http_body_bytes_max) {
        h->refusal = "content length too large";
        h->status  = MHD_HTTP_CONTENT_TOO_LARGE;
    } else if (!charge(gw, &h->charged, n)) {
        h->refusal = "busy: too many requests are being received";
        h->status  = MHD_HTTP_SERVICE_UNAVAILABLE;
    } else {
        coh_buf_put(&h->body, piece, n);
        return;
    }
    n = h->body.n;
    coh_buf_free(&h->body);
    discharge(gw, &h->charged, n);
}

/* MHD_AccessHandlerCallback: once with the head, again for each piece of the body, once more at its end, and when it is resumed. */
static enum MHD_Result on_request(void *arg,
                                  struct MHD_Connection *connection,
                                  char const *path,
                                  char const *method,
                                  char const *version,
                                  char const *piece,
                                  size_t *piece_n,
                                  void **request)
{
    http_t *h = *request;
    if (h == NULL) {
        h             = coh_calloc(1, sizeof(*h));
        h->gw         = arg;
        h->connection = connection;
        h->conn =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
        *request = h;
        return begin(h, path, method, version);
    }
    if (*piece_n > 0) {
        take_body(h, piece, *piece_n);
        *piece_n = 0;
        return MHD_YES;
    }
    if (h->state == HTTP_ANSWERED) {
        return queue(
            h, h->status == MHD_HTTP_OK ? "application/json" : "text/plain; charset=utf-8", false);
    }
    if (h->refusal != NULL) {
        h->closes = true;
        return refuse(h, h->status, h->refusal);
    }
    return h->state == HTTP_READING ? ask(h) : MHD_YES;
}

/* MHD_RequestCompletedCallback */
static void on_completed(void *arg,
                         struct MHD_Connection *connection,
                         void **request,
                         enum MHD_RequestTerminationCode code)
{
    http_t *h = *request;
    (void)arg;
    (void)connection;
    if (h != NULL) {
        COH_ASSERT(!h->suspended);
        if (code == MHD_REQUEST_TERMINATED_COMPLETED_OK) {
            start_waiting(h->conn); /* for the next one */
        }
        coh_rpc_peer_free(h->peer);
        coh_buf_free(&h->body);
        coh_buf_free(&h->answer);
        discharge(h->gw, &h->charged, h->charged);
        free(h);
        *request = NULL;
    }
}

/* ---- the thread ---- */

/* take_asks hands answers over; true if records were freed, for which others may wait. */
static bool take_asks(coh_gateway_http_t *gw, coh_ask_t *asks)
{
    bool freed = false;
    for (coh_ask_t const *ask = asks; ask != NULL; ask = ask->next) {
        freed = freed || ask->record_cnt != NULL;
    }
    coh_rpc_answered(gw->rpc, asks);
    return freed;
}

static void take_news(coh_gateway_http_t *gw)
{
    coh_rpc_link_news_t news;
    coh_rpc_link_take(gw->link, &news);
    bool freed = take_asks(gw, news.old_asks);
    if (news.gone_cnt != 0) {
        coh_rpc_gone(gw->rpc, news.gone, news.gone_cnt);
    }
    if (news.head != NULL) {
        coh_rpc_head(gw->rpc, news.head, &news.next);
    }
    if (take_asks(gw, news.asks) || freed) {
        coh_rpc_link_ring(gw->link);
    }
    coh_rpc_pooled(gw->rpc,
                   (coh_hash_t const *)(void const *)news.pooled.p,
                   news.pooled.n / sizeof(coh_hash_t));
    coh_buf_free(&news.pooled);
}

static void on_socket(ws_t *ws, uint32_t events)
{
    if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
        ws->is_dead = true;
    } else if ((events & (EPOLLIN | EPOLLRDHUP)) != 0 && may_read(ws)) {
        ws->read_bytes = 0;
        ws_read(ws);
    } else if ((events & EPOLLRDHUP) != 0) {
        ws->is_dead = true; /* it does not read, and has closed */
    }
    mark_dirty(ws);
}

/* run_mhd lets libmicrohttpd do what there is to do. Who is resumed or newly read may be answered at once: so until nothing is left. */
static void run_mhd(coh_gateway_http_t *gw)
{
    do {
        gw->mhd_due = false;
        (void)MHD_run(gw->daemon);
    } while (gw->mhd_due);
}

static int wait_ms(coh_gateway_http_t *gw, uint32_t tick_ms)
{
    if (gw->waiting != NULL) {
        uint64_t due_us = gw->waiting->since_us + patience_us(gw);
        uint64_t now_us = coh_clock_mono_us();
        uint64_t ms     = due_us > now_us ? (due_us - now_us) / 1000 + 1 : 0;
        tick_ms         = ms < tick_ms ? (uint32_t)ms : tick_ms;
    }
    MHD_UNSIGNED_LONG_LONG mhd_ms;
    if (MHD_get_timeout(gw->daemon, &mhd_ms) == MHD_YES && mhd_ms < tick_ms) {
        return (int)mhd_ms;
    }
    return (int)tick_ms;
}

static bool turn(coh_gateway_http_t *gw)
{
    struct epoll_event events[EVENT_CNT];
    uint64_t now_us  = coh_clock_mono_us();
    uint32_t tick_ms = coh_rpc_tick(gw->rpc, now_us);
    end_waiting(gw, now_us);
    if (gw->mhd_due) { /* who was resumed by that */
        run_mhd(gw);
    }
    settle_sockets(gw, SETTLE_MAX);
    bool goes_on = gw->dirty_first != NULL;
    if (!goes_on) { /* what came of the last block is sent */
        goes_on = coh_rpc_tell(gw->rpc) || gw->dirty_first != NULL;
    }
    coh_rpc_flush(gw->rpc);
    int idle_ms = wait_ms(gw, tick_ms);
    int n       = epoll_wait(gw->epoll, events, EVENT_CNT, goes_on ? 0 : idle_ms);
    bool mhd    = idle_ms == 0 || (n <= 0 && !goes_on);
    bool news   = false;
    bool stop   = false;
    for (int i = 0; i < n; i++) {
        void *what = events[i].data.ptr;
        if (what == &mark_mhd) {
            mhd = true;
        } else if (what == &mark_link) {
            news = true;
        } else if (what == &mark_stop) {
            stop = true;
        } else {
            on_socket(what, events[i].events);
        }
    }
    if (news) {
        take_news(gw);
    }
    if (mhd || gw->mhd_due) {
        run_mhd(gw);
    }
    return !stop;
}

/* end answers and closes everything. */
static void end(coh_gateway_http_t *gw)
{
    while (gw->suspended != NULL) {
        http_t *h      = gw->suspended;
        coh_buf_t text = COH_BUF_INIT;
        coh_rpc_peer_free(h->peer);
        h->peer = NULL;
        coh_buf_printf(&text, "the node is stopping\n");
        http_send(h, &text, true);
        h->status = MHD_HTTP_SERVICE_UNAVAILABLE;
        h->closes = true;
    }
    run_mhd(gw);
    for (ws_t *ws = gw->sockets; ws != NULL; ws = ws->next) {
        (void)wslay_event_queue_close(ws->frames, WSLAY_CODE_GOING_AWAY, NULL, 0);
        (void)wslay_event_send(ws->frames);
        ws->is_dead = true;
        mark_dirty(ws);
    }
    settle_sockets(gw, UINT32_MAX);
    run_mhd(gw);
}

static void *run(void *arg)
{
    coh_gateway_http_t *gw = arg;
    coh_log_set_rank(0);
    while (turn(gw)) {
    }
    end(gw);
    return NULL;
}

/* ---- opening and closing ---- */

static coh_err_t read_token(coh_gateway_http_t *gw, coh_buf_t *err_text)
{
    char const *path = gw->config->http_token_file;
    if (path[0] == '\0') {
        return COH_OK;
    }
    return coh_secret_load(&gw->token, "http-token-file", path, COH_SECRET_TOKEN_MIN, err_text);
}

/* raise_fds lets the process have as many descriptors as the connections need, as far as the system lets it. */
static void raise_fds(coh_gateway_http_t const *gw)
{
    struct rlimit limit;
    /* A WebSocket over TLS has a pair of sockets beside its own. */
    rlim_t wanted = gw->config->http_connections_max * (gw->tls.cert != NULL ? 3 : 1) + SPARE_FDS;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < wanted) {
        limit.rlim_cur = COH_MIN(wanted, limit.rlim_max);
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < wanted) {
            COH_LOG_WRN(MOD,
                        "fewer descriptors than connections",
                        "limit=%llu connections_max=%llu",
                        (unsigned long long)limit.rlim_cur,
                        (unsigned long long)gw->config->http_connections_max);
        }
    }
}

COH_PRINTF(2, 0) static void on_log(void *arg, char const *fmt, va_list args)
{
    (void)arg;
    if (coh_log_enabled(COH_LOG_DEBUG)) {
        char text[256];
        char quoted[512];
        int n      = vsnprintf(text, sizeof(text), fmt, args);
        size_t len = n < 0 ? 0 : COH_MIN((size_t)n, sizeof(text) - 1);
        COH_LOG_DBG(MOD, "library", "text=%s", coh_log_quote(quoted, sizeof(quoted), text, len));
    }
}

static coh_err_t start_daemon(coh_gateway_http_t *gw, coh_buf_t *err_text)
{
    coh_config_t const *cfg = gw->config;
    struct addrinfo *found  = NULL;
    if (coh_httpd_resolve(&found, cfg->http_listen) != COH_OK) {
        coh_buf_printf(
            err_text,
            "http-listen %s: expected host:port, of an address or a name that is known here",
            cfg->http_listen);
        return COH_EINVAL;
    }
    unsigned flags =
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE | MHD_USE_ERROR_LOG;
    if (found->ai_family == AF_INET6) {
        flags |= MHD_USE_IPv6;
    }
    struct MHD_OptionItem options[] = {
        {MHD_OPTION_SOCK_ADDR, 0, found->ai_addr},
        {MHD_OPTION_CONNECTION_LIMIT, (intptr_t)cfg->http_connections_max, NULL},
        {MHD_OPTION_CONNECTION_TIMEOUT, (intptr_t)cfg->http_idle_seconds, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, HEADER_BYTES_MAX, NULL},
        {MHD_OPTION_STRICT_FOR_CLIENT, 1, NULL},
        {MHD_OPTION_LISTEN_BACKLOG_SIZE, 1024, NULL},
        {MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)on_completed, gw},
        {MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)on_connection, gw},
        {MHD_OPTION_END, 0, NULL}, /* in place of those of TLS */
        {MHD_OPTION_HTTPS_MEM_KEY, 0, gw->tls.key},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, COH_TLS_PRIORITIES},
        {MHD_OPTION_END, 0, NULL},
    };
    if (gw->tls.cert != NULL) {
        flags |= MHD_USE_TLS;
        options[8] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, gw->tls.cert};
    }
    errno      = 0;
    gw->daemon = MHD_start_daemon(flags,
                                  0,
                                  NULL,
                                  NULL,
                                  on_request,
                                  gw,
                                  MHD_OPTION_EXTERNAL_LOGGER,
                                  on_log,
                                  NULL,
                                  MHD_OPTION_ARRAY,
                                  options,
                                  MHD_OPTION_END);
    int number = errno;
    freeaddrinfo(found);
    if (gw->daemon == NULL) {
        coh_buf_printf(err_text,
                       "http-listen: cannot listen on %s: %s",
                       cfg->http_listen,
                       number != 0 ? strerror(number) : "the server does not start");
        return COH_EIO;
    }
    return COH_OK;
}

static coh_err_t watch(coh_gateway_http_t *gw, int fd, void *mark)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = mark};
    return epoll_ctl(gw->epoll, EPOLL_CTL_ADD, fd, &ev) == 0 ? COH_OK : COH_EIO;
}

static void post(void *arg, coh_ask_t *first)
{
    coh_gateway_http_t *gw = arg;
    coh_rpc_link_post(gw->link, first);
}

static void want_pooled(void *arg, bool wanted)
{
    coh_gateway_http_t *gw = arg;
    coh_rpc_link_want_pooled(gw->link, wanted);
}

static coh_err_t open_all(coh_gateway_http_t *gw, coh_genesis_t const *genesis, coh_buf_t *err_text)
{
    COH_TRY(read_token(gw, err_text));
    COH_TRY(coh_tls_load(
        &gw->tls, "http", gw->config->http_tls_cert, gw->config->http_tls_key, err_text));
    raise_fds(gw);
    COH_TRY(coh_rpc_link_new(&gw->link));
    gw->rpc     = coh_rpc_new(&(coh_rpc_deps_t){.config      = gw->config,
                                                .genesis     = genesis,
                                                .metrics     = gw->metrics,
                                                .post        = post,
                                                .want_pooled = want_pooled,
                                                .arg         = gw});
    gw->epoll   = epoll_create1(EPOLL_CLOEXEC);
    gw->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (gw->epoll < 0 || gw->stop_fd < 0) {
        return COH_EIO;
    }
    COH_TRY(start_daemon(gw, err_text));
    coh_tls_free(&gw->tls); /* GnuTLS has its own copy */
    union MHD_DaemonInfo const *info = MHD_get_daemon_info(gw->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    COH_ASSERT(info != NULL);
    COH_TRY(watch(gw, info->epoll_fd, &mark_mhd));
    COH_TRY(watch(gw, coh_rpc_link_fd(gw->link), &mark_link));
    COH_TRY(watch(gw, gw->stop_fd, &mark_stop));
    if (pthread_create(&gw->thread, NULL, run, gw) != 0) {
        return COH_EIO;
    }
    gw->runs = true;
    return COH_OK;
}

coh_err_t coh_gateway_http_open(coh_gateway_http_t **out,
                                coh_config_t const *config,
                                coh_genesis_t const *genesis,
                                coh_metrics_t *metrics,
                                coh_buf_t *err_text)
{
    coh_gateway_http_t *gw = coh_calloc(1, sizeof(*gw));
    gw->config             = config;
    gw->metrics            = metrics;
    gw->epoll              = -1;
    gw->stop_fd            = -1;
    coh_err_t err          = open_all(gw, genesis, err_text);
    if (err != COH_OK) {
        if (err_text->n == 0) {
            coh_buf_printf(err_text, "cannot serve JSON-RPC: %s", strerror(errno));
        }
        coh_gateway_http_free(gw);
        return err;
    }
    *out = gw;
    return COH_OK;
}

uint16_t coh_gateway_http_port(coh_gateway_http_t const *gw)
{
    union MHD_DaemonInfo const *info = MHD_get_daemon_info(gw->daemon, MHD_DAEMON_INFO_BIND_PORT);
    COH_ASSERT(info != NULL);
    return info->port;
}

void coh_gateway_http_attach(coh_gateway_http_t *gw, coh_coordinator_t *c)
{
    coh_rpc_link_attach(gw->link, c);
}

int coh_gateway_http_fd(coh_gateway_http_t const *gw)
{
    return coh_rpc_link_coordinator_fd(gw->link);
}

bool coh_gateway_http_poll(coh_gateway_http_t *gw, coh_coordinator_t *c)
{
    return coh_rpc_link_poll(gw->link, c);
}

void coh_gateway_http_stop(coh_gateway_http_t *gw)
{
    if (gw->runs) {
        uint64_t one = 1;
        ssize_t n    = write(gw->stop_fd, &one, sizeof(one));
        COH_ASSERT(n == sizeof(one));
        int rc = pthread_join(gw->thread, NULL);
        COH_ASSERT(rc == 0);
        gw->runs = false;
    }
    if (gw->daemon != NULL) {
        MHD_stop_daemon(gw->daemon);
        gw->daemon = NULL;
    }
}

void coh_gateway_http_free(coh_gateway_http_t *gw)
{
    if (gw == NULL) {
        return;
    }
    coh_gateway_http_stop(gw);
    if (gw->link != NULL) {
        coh_rpc_link_news_t news;
        coh_rpc_link_take(gw->link, &news);
        coh_sealed_free(news.head);
        coh_buf_free(&news.pooled);
        coh_rpc_discard(news.asks);
        coh_rpc_discard(coh_rpc_link_take_posted(gw->link));
    }
    coh_rpc_free(gw->rpc);
    coh_rpc_link_free(gw->link);
    if (gw->epoll >= 0) {
        (void)close(gw->epoll);
    }
    if (gw->stop_fd >= 0) {
        (void)close(gw->stop_fd);
    }
    if (gw->token.n != 0) {
        coh_secret_wipe(gw->token.p, gw->token.n);
    }
    coh_buf_free(&gw->token);
    coh_tls_free(&gw->tls);
    free(gw);
}
