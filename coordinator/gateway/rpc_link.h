/* rpc_link.h: what stands between the JSON-RPC thread and the communication thread: asks one way, answers, heads and hashes of pooled transactions the other. Each
   side has a descriptor that is readable when the other has left something.

   Bounds: asks by calls in flight (rpc.h); of heads only the last is kept, for whoever needs those between asks for them; hashes that are not fetched in time are
   left out. */
#ifndef COH_RPC_LINK_H
#define COH_RPC_LINK_H

#include "coordinator/ask.h"
#include "coordinator/coordinator.h"

typedef struct coh_rpc_link coh_rpc_link_t;

/* COH_EIO without descriptors. */
coh_err_t coh_rpc_link_new(coh_rpc_link_t **out);
/* After both threads are done with it, and the coordinator is gone. */
void coh_rpc_link_free(coh_rpc_link_t *link);

/* ---- JSON-RPC thread ---- */

/* What was left; the taker's. */
typedef struct {
    coh_ask_t *old_asks; /* linked by next; answered before the last block was gone */
    coh_sealed_t *
        *gone; /* owned, with the references: blocks that are gone, as coh_asker_t tells them */
    size_t gone_cnt;
    coh_sealed_t *head; /* a reference, or NULL; older than the asks */
    coh_block_env_t next;
    coh_ask_t *asks;  /* linked by next */
    coh_buf_t pooled; /* coh_hash_t, one after another */
} coh_rpc_link_news_t;

int coh_rpc_link_fd(coh_rpc_link_t const *link);
/* Takes a list of asks. */
void coh_rpc_link_post(coh_rpc_link_t *link, coh_ask_t *first);
void coh_rpc_link_take(coh_rpc_link_t *link, coh_rpc_link_news_t *news);
/* At the end: asks that the coordinator never saw. */
coh_ask_t *coh_rpc_link_take_posted(coh_rpc_link_t *link);
void coh_rpc_link_want_pooled(coh_rpc_link_t *link, bool wanted);
/* Asks that held records were freed: the coordinator may go on. */
void coh_rpc_link_ring(coh_rpc_link_t *link);

/* ---- communication thread ---- */

int coh_rpc_link_coordinator_fd(coh_rpc_link_t const *link);
/* coh_rpc_link_attach makes the link the one that asks c. */
void coh_rpc_link_attach(coh_rpc_link_t *link, coh_coordinator_t *c);
/* coh_rpc_link_poll hands over what was posted; true if there was anything. */
bool coh_rpc_link_poll(coh_rpc_link_t *link, coh_coordinator_t *c);

#endif
