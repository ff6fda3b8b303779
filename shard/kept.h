/* kept.h: messages that a shard keeps until their block begins, or until the others that it takes are here too. Each is encoded again, as the one message of a frame: what the transport
   delivered is gone by then. */
#ifndef COH_KEPT_H
#define COH_KEPT_H

#include "common/wire/wire.h"

typedef struct coh_kept {
    struct coh_kept *next;
    uint32_t src; /* rank */
    uint64_t block;
    uint32_t attempt;
    coh_buf_t frame; /* an envelope; the caller of coh_kept_add puts the message behind it */
} coh_kept_t;

/* In the order in which they came. */
typedef struct {
    coh_kept_t *first;
    coh_kept_t **last;
} coh_kept_list_t;

void coh_kept_init(coh_kept_list_t *list);
void coh_kept_fini(coh_kept_list_t *list);

/* coh_kept_add appends a message without content; the list's. */
coh_kept_t *coh_kept_add(coh_kept_list_t *list, uint32_t src, uint64_t block, uint32_t attempt);

/* coh_kept_pop takes the first out; the caller's. NULL: there is none */
coh_kept_t *coh_kept_pop(coh_kept_list_t *list);
void coh_kept_free(coh_kept_t *k);

/* coh_kept_move moves those of a block and attempt behind what to has. */
void coh_kept_move(coh_kept_list_t *to, coh_kept_list_t *from, uint64_t block, uint32_t attempt);

/* coh_kept_drop drops those of blocks from first on that are of an attempt before attempt. */
void coh_kept_drop(coh_kept_list_t *list, uint64_t first, uint32_t attempt);

/* coh_kept_open decodes the message; it borrows from k, and from reader until that begins another. */
void coh_kept_open(coh_kept_t const *k, coh_wire_reader_t *reader, coh_msg_t *m);

#endif
