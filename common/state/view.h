/* view.h: how a transition reads state: the one seam between rules and storage. A view answers with the value, or says that it is not
   at hand yet: then the transition gives up its turn, and is resumed at the same place when the key has come, or is started over. */
#ifndef COH_VIEW_H
#define COH_VIEW_H

#include "common/codec/fork.h"
#include "common/state/key.h"

/* Analysed code (common/evm/code.h). */
typedef struct coh_code coh_code_t;

/* How code gets analysed: coh_code_new's form, handed in because analysis lies above state. release gives back what make made. */
typedef struct {
    coh_code_t *(*make)(coh_bytes_t bytes, coh_fork_t fork, coh_hash_t const *hash);
    void (*release)(coh_code_t const *code);
} coh_coder_t;

typedef enum { COH_VIEW_OK, COH_VIEW_NEED } coh_view_status_t;

typedef struct coh_view coh_view_t;

struct coh_view {
    /* Reads key (ACCOUNT, SLOT, BLOCK_HASH). fields (COH_READ_*) says what the caller will depend on: only these members of *out need be
       right. With COH_READ_AT_LEAST the caller promises to use of the balance only whether it is at least *bound* (NULL otherwise), and
       out->word is then any balance on the same side of bound. A key may be read again for further fields, or for another bound.
       Returns: COH_VIEW_OK; COH_VIEW_NEED the view has seen to it that the caller is woken when the key is at hand */
    coh_view_status_t (*read)(coh_view_t *view,
                              coh_value_t *out,
                              coh_key_t const *key,
                              uint32_t fields,
                              coh_u256_t const *bound);
    /* The code whose hash the account addr was read with, analysed for the block's fork. *out is borrowed until the transition ends.
       Returns: as read */
    coh_view_status_t (*code)(coh_view_t *view,
                              coh_code_t const **out,
                              coh_addr_t const *addr,
                              coh_hash_t const *hash);
};

#endif
