/* mpt_pool.h: memory of pages: blocks that begin with a cache line, out of large chunks for which huge pages are asked. A path through a large state touches a dozen places that
   are in no cache; with pages of 4 KiB each of them would cost a walk through the page tables besides.

   A chunk is a row of spans of 64 KiB, a span holds blocks of one size. A span without blocks is there for any size, a chunk without spans in use is given back,
   but for one. The first chunks are of one span each: small tries take little.

       chunk:  [span: head, block, block, ...][span: ...] ...        a block's span begins at its address rounded down to 64 KiB

   One thread at a time. */
#ifndef COH_MPT_POOL_H
#define COH_MPT_POOL_H

#include "common/base/base.h"

/* Largest block; what is larger comes from malloc. */
#define COH_MPT_BLOCK_MAX ((size_t)8192)
/* Sizes: each multiple of 64 up to 1024, of 256 beyond. */
#define COH_MPT_BLOCK_FINE  ((size_t)1024)
#define COH_MPT_BLOCK_KINDS (1024 / 64 + (8192 - 1024) / 256)

typedef struct coh_mpt_span coh_mpt_span_t;
typedef struct coh_mpt_chunk coh_mpt_chunk_t;

typedef struct {
    coh_mpt_span_t *open[COH_MPT_BLOCK_KINDS]; /* spans with room, by size */
    coh_mpt_chunk_t *first;                    /* chunks; those with free spans first */
    coh_mpt_chunk_t *last;
    size_t chunk_cnt;
    size_t empty_cnt; /* of those, without spans in use */
    size_t bytes;     /* of all chunks */
} coh_mpt_pool_t;

void coh_mpt_pool_init(coh_mpt_pool_t *pool);
/* All blocks have been given back. */
void coh_mpt_pool_fini(coh_mpt_pool_t *pool);
/* coh_mpt_pool_take returns n octets, n > 0, not zeroed; never NULL. coh_mpt_pool_give takes them back, NULL too: n as it was. */
void *coh_mpt_pool_take(coh_mpt_pool_t *pool, size_t n);
void coh_mpt_pool_give(coh_mpt_pool_t *pool, void *p, size_t n);

/* Octets that a block of n takes. */
static inline size_t coh_mpt_block_sz(size_t n)
{
    size_t step = n <= COH_MPT_BLOCK_FINE ? 64 : 256;
    return (n + step - 1) & ~(step - 1);
}

#endif
