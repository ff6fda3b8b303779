/* kv_private.h: what the stores share beyond kv.h. */
#ifndef COH_KV_PRIVATE_H
#define COH_KV_PRIVATE_H

#include "common/kv/kv.h"

/* coh_kv_compare orders keys: byte by byte, and a prefix before what it begins. */
static inline int coh_kv_compare(coh_bytes_t a, coh_bytes_t b)
{
    size_t n  = COH_MIN(a.n, b.n);
    int order = n == 0 ? 0 : memcmp(a.p, b.p, n);
    if (order != 0) {
        return order;
    }
    return (a.n > b.n) - (a.n < b.n);
}

/* coh_kv_batch_is_ingestable tells whether a batch is what ingest takes: PUTs of one table,
   ascending without repetition. An empty batch is. */
bool coh_kv_batch_is_ingestable(coh_kv_batch_t const *batch);

#endif
