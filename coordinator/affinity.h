/* affinity.h: a placement that learns. Shards report what was used how much, and what together (USAGE, shard/usage.h); this makes of it a graph of accounts that forgets with time, finds
   groups of accounts that belong together, and says which accounts should live elsewhere, so that each group is on one shard and load is even.

   A plan, after each window of blocks that all shards have reported:
     1. What was known counts half, the reports are added. What has faded away is forgotten.
     2. Groups: pairs that were seen more than once, the heaviest first, join the groups of their two accounts, if they are a good part of what one of the two does at all, and the group stays below
        half a shard's fair load, or below all of it if one of the two is small beside the other.
     3. Groups that lie on one shard already stay where they are. The others go, those first that cost most messages, to the shard that has most of them, if it has room, else to the emptiest; one that
        has room nowhere is gathered where most of it is.
     4. If a shard has had more than a fifth above its fair load in two windows, whole groups go from the fullest shard to the emptiest, the biggest first that makes the two more even; none is split. An
        account that is a shard's load by itself stays, and others leave it.
   Hysteresis: no plan unless a good part of all use goes across shards within groups, or load is uneven; an account moves at most COH_AFFINITY_MOVES_MAX times as long as it is remembered.

   This is the agglomeration of TxAllo-like placements without its recomputation of everything: a plan costs a sort of the pairs. Deterministic: the same reports give the same plan.

   Communication thread only. Bounded: COH_AFFINITY_NODES accounts and COH_AFFINITY_EDGES pairs, about 20 MB. */
#ifndef COH_AFFINITY_H
#define COH_AFFINITY_H

#include "common/state/directory.h"
#include "common/wire/wire.h"

#define COH_AFFINITY_NODES     65536u
#define COH_AFFINITY_EDGES     131072u
#define COH_AFFINITY_MOVES_MAX 3u
/* Accounts in one plan. */
#define COH_AFFINITY_PLAN_MAX 8192u

typedef struct coh_affinity coh_affinity_t;

coh_affinity_t *coh_affinity_new(uint32_t shard_cnt);
void coh_affinity_free(coh_affinity_t *af);

/* coh_affinity_report takes a shard's report in. True: all shards have reported, a plan is due. */
bool coh_affinity_report(coh_affinity_t *af, uint32_t shard, coh_msg_usage_t const *m);

/* coh_affinity_plan fills out with up to COH_AFFINITY_PLAN_MAX accounts and the shards where they should be, and returns their number. */
size_t coh_affinity_plan(coh_affinity_t *af, coh_directory_t const *dir, coh_override_t *out);

/* coh_affinity_moved: these have moved. coh_affinity_too_big: a plan of cnt accounts was more than a shard gives away at once, which it found at this one: the next plan has half of them; alone, the
   account does not move any more. */
void coh_affinity_moved(coh_affinity_t *af, coh_rec_move_account_t const *moves, size_t cnt);
void coh_affinity_too_big(coh_affinity_t *af, size_t cnt, coh_addr_t const *at);

/* Share of transactions that used several shards: in the last window, and in the one before the first plan that moved something (or the last, as long as there was none); in thousandths. */
typedef struct {
    uint32_t now;
    uint32_t before;
    uint32_t moves_max; /* that any account has behind it */
} coh_affinity_figures_t;

coh_affinity_figures_t coh_affinity_figures(coh_affinity_t const *af);

#endif
