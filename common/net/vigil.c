#include "common/net/vigil.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"

#define SIGN_US_MAX UINT64_C(1000000)
/* Two rounds this far apart: the watcher stood still (stopped, swapped out, or busy), and frames may wait to be read. */
#define GAP_US UINT64_C(500000)

/* Longest time without a frame to a peer. */
static uint64_t sign_us(coh_vigil_t const *vigil)
{
    return COH_MIN(vigil->silence_us / 4, SIGN_US_MAX);
}

void coh_vigil_init(coh_vigil_t *vigil,
                    uint32_t rank,
                    uint32_t rank_cnt,
                    uint64_t silence_us,
                    uint64_t now_us)
{
    COH_ASSERT(rank < rank_cnt);
    *vigil = (coh_vigil_t){
        .silence_us = silence_us,
        .round_us   = now_us,
        .look_us    = silence_us == 0 ? UINT64_MAX : now_us,
        .rank       = rank,
        .rank_cnt   = rank_cnt,
        .peers      = coh_calloc(rank_cnt, sizeof(*vigil->peers)),
    };
}

void coh_vigil_fini(coh_vigil_t *vigil) { free(vigil->peers); }

void coh_vigil_heard(coh_vigil_t *vigil, uint32_t peer, uint64_t now_us)
{
    COH_ASSERT(peer < vigil->rank_cnt);
    coh_vigil_peer_t *p = &vigil->peers[peer];
    p->heard_us         = now_us;
    p->watched          = !p->gone;
}

void coh_vigil_sent(coh_vigil_t *vigil, uint32_t peer, uint64_t now_us)
{
    COH_ASSERT(peer < vigil->rank_cnt);
    vigil->peers[peer].sent_us = now_us;
}

void coh_vigil_left(coh_vigil_t *vigil, uint32_t peer)
{
    COH_ASSERT(peer < vigil->rank_cnt);
    vigil->peers[peer].gone    = true;
    vigil->peers[peer].watched = false;
}

bool coh_vigil_round(coh_vigil_t *vigil, uint64_t now_us)
{
    uint64_t gap_us = now_us - vigil->round_us;
    vigil->round_us = now_us;
    if (gap_us > GAP_US) {
        for (uint32_t i = 0; i < vigil->rank_cnt; i++) {
            coh_vigil_peer_t *p = &vigil->peers[i];
            p->heard_us         = COH_MIN(p->heard_us + gap_us, now_us);
        }
    }
    if (now_us < vigil->look_us) {
        return false;
    }
    vigil->look_us = now_us + sign_us(vigil) / 2;
    return true;
}

bool coh_vigil_owes(coh_vigil_t const *vigil, uint32_t peer, uint64_t now_us)
{
    coh_vigil_peer_t const *p = &vigil->peers[peer];
    return peer != vigil->rank && !p->gone && now_us - p->sent_us >= sign_us(vigil);
}

uint64_t coh_vigil_silent(coh_vigil_t const *vigil, uint32_t peer, uint64_t now_us)
{
    coh_vigil_peer_t const *p = &vigil->peers[peer];
    return p->watched && now_us - p->heard_us > vigil->silence_us ? now_us - p->heard_us : 0;
}
