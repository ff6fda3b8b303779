#include "shard/kept.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"

static void append(coh_kept_list_t *list, coh_kept_t *k)
{
    k->next     = NULL;
    *list->last = k;
    list->last  = &k->next;
}

void coh_kept_init(coh_kept_list_t *list)
{
    list->first = NULL;
    list->last  = &list->first;
}

void coh_kept_fini(coh_kept_list_t *list)
{
    coh_kept_t *k;
    while ((k = coh_kept_pop(list)) != NULL) {
        coh_kept_free(k);
    }
}

coh_kept_t *coh_kept_add(coh_kept_list_t *list, uint32_t src, uint64_t block, uint32_t attempt)
{
    coh_kept_t *k = coh_calloc(1, sizeof(*k));
    k->src        = src;
    k->block      = block;
    k->attempt    = attempt;
    coh_wire_put_envelope(&k->frame, &(coh_envelope_t){.sender = src});
    append(list, k);
    return k;
}

coh_kept_t *coh_kept_pop(coh_kept_list_t *list)
{
    coh_kept_t *k = list->first;
    if (k != NULL) {
        list->first = k->next;
        if (list->first == NULL) {
            list->last = &list->first;
        }
    }
    return k;
}

void coh_kept_free(coh_kept_t *k)
{
    coh_buf_free(&k->frame);
    free(k);
}

void coh_kept_move(coh_kept_list_t *to, coh_kept_list_t *from, uint64_t block, uint32_t attempt)
{
    coh_kept_t **link = &from->first;
    while (*link != NULL) {
        coh_kept_t *k = *link;
        if (k->block == block && k->attempt == attempt) {
            *link = k->next;
            append(to, k);
        } else {
            link = &k->next;
        }
    }
    from->last = link;
}

void coh_kept_drop(coh_kept_list_t *list, uint64_t first, uint32_t attempt)
{
    coh_kept_t **link = &list->first;
    while (*link != NULL) {
        coh_kept_t *k = *link;
        if (k->block >= first && k->attempt < attempt) {
            *link = k->next;
            coh_kept_free(k);
        } else {
            link = &k->next;
        }
    }
    list->last = link;
}

void coh_kept_open(coh_kept_t const *k, coh_wire_reader_t *reader, coh_msg_t *m)
{
    coh_envelope_t envelope;
    coh_err_t rc = coh_wire_reader_begin(reader, coh_buf_bytes(&k->frame), &envelope);
    rc           = rc == COH_OK ? coh_wire_reader_next(reader, m) : rc;
    COH_ASSERT(rc == COH_OK); /* we encoded it */
}
