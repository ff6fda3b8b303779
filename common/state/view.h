/* view.h: how a transition reads state: the one seam between rules and storage. A view answers with the value, or says that it is not at hand yet: then the
   transition gives up its turn and is run again, or resumed, when the key has come. */
#ifndef COH_VIEW_H
#define COH_VIEW_H

#include "common/state/key.h"

typedef enum { COH_VIEW_OK, COH_VIEW_NEED } coh_view_status_t;

typedef struct coh_view coh_view_t;

struct coh_view {
    /* Reads key. fields (COH_READ_*) says what the caller will depend on; with COH_READ_AT_LEAST the caller promises to use
       of the balance only whether it is at least *bound*, and out->word is then any balance on the same side of bound.
       Returns: COH_VIEW_OK; COH_VIEW_NEED the view has seen to it that the caller is woken when the key is at hand */
    coh_view_status_t (*read)(coh_view_t *view,
                              coh_value_t *out,
                              coh_key_t const *key,
                              uint32_t fields,
                              coh_u256_t const *bound);
};

#endif
