/* dev.h: a chain for development (cohort node --dev): clients change accounts, time and the past, as tools for contracts want it.

   What changes state between blocks (patches, going back to a snapshot) is a block of the commit protocol that is never sealed, and then the head gets its old number again,
   or an older one, on all ranks (DEV REWIND). For that nothing else may be under way:

   IDLE ─▶ DRAINING ─quiet─┬▶ TAKING ──────────────────────────────────────────────────────────────▶ IDLE     (snapshot)
                           ├▶ CHECKING ─all shards can─▶ PATCHING ─committed─▶ REWINDING ─▶ REFILLING ─▶ IDLE  (revert)
                           ├──────────────────────────▶ PATCHING ─ as above                                    (patch)
                           └▶ REFILLING (a transaction is dropped)        IDLE ─▶ MINING ─▶ IDLE

   While it is not IDLE, asks wait, but those of clients under nanomsg do not. REFILLING gives the pool's transactions to a new pool: what the old one knew of accounts may be wrong.

   Nothing of this is durable: a dev chain ends with its process. Bounds: COH_DEV_SNAPSHOT_MAX snapshots; a shard restores what its past (state-past-blocks, state-past-bytes)
   remembers, and at most COH_STEP_PATCH_CNT_MAX changes.

   Communication thread. */
#ifndef COH_CO_DEV_H
#define COH_CO_DEV_H

#include "common/base/base.h"

/* What an ask of kind COH_ASK_DEV wants. */
typedef enum {
    COH_DEV_MINE,     /* a blocks, b seconds apart */
    COH_DEV_SNAPSHOT, /* result: its id */
    COH_DEV_REVERT, /* to snapshot a, which is forgotten with all after it; result: 0, there is none */
    COH_DEV_RESET, /* to genesis, and the clock's time */
    COH_DEV_INCREASE_TIME, /* by a seconds; result: all that it was increased by, in the 64 bits of two's complement */
    COH_DEV_NEXT_TIMESTAMP,  /* a */
    COH_DEV_AUTOMINE,        /* a: 1 on, 0 off, 2: only ask; result: as it was */
    COH_DEV_INTERVAL_MINING, /* a ms; 0: off */
    COH_DEV_COINBASE,        /* addr, from here on */
    COH_DEV_GAS_LIMIT,       /* a, of blocks from here on */
    COH_DEV_BASE_FEE,        /* hash as a word: of the next block, whose transactions must pay it */
    COH_DEV_PREV_RANDAO,     /* hash: of the next block */
    COH_DEV_PATCH,           /* bytes: entries of a step PATCH of the account addr */
    COH_DEV_DROP,            /* transaction hash, from the pool; result: 1 it was there */
    COH_DEV_SEND, /* bytes: a transaction of addr, encoded with no signature; a: 1 its nonce stands, 0 it gets the next one; verdict out. Signed here if the key is known, else it is somebody's whom the
                     client impersonates, and gets a signature that names him */
    COH_DEV_WAIT, /* until transaction hash is in a block, if blocks are made at once */
} coh_dev_kind_t;

#endif
