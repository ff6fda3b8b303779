/* requests.h: what a block asks of the consensus layer (EIP-7685): lists by type, of deposits, which the deposit contract logs (EIP-6110), and of what the
   withdrawal and consolidation contracts return (EIP-7002, EIP-7251). */
#ifndef COH_REQUESTS_H
#define COH_REQUESTS_H

#include "common/base/buf.h"

#define COH_REQUEST_TYPE_CNT 3u

/* By type; each begins with the type's octet. */
typedef struct {
    coh_buf_t lists[COH_REQUEST_TYPE_CNT];
} coh_requests_t;

void coh_requests_init(coh_requests_t *r);
void coh_requests_fini(coh_requests_t *r);
/* coh_requests_clear: no requests. */
void coh_requests_clear(coh_requests_t *r);
/* coh_requests_add appends to the list of a type below COH_REQUEST_TYPE_CNT. */
void coh_requests_add(coh_requests_t *r, uint32_t type, coh_bytes_t data);
/* coh_requests_add_deposits appends the deposits among the logs of a transaction, those of contract. logs: as coh_logs_check has them; may be empty.
   False: an event that has not the layout that EIP-6110 wants; the block is invalid */
bool coh_requests_add_deposits(coh_requests_t *r, coh_bytes_t logs, coh_addr_t const *contract);
void coh_requests_hash_all(coh_hash_t *out, coh_requests_t const *r);

#endif
