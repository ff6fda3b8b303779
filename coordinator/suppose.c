/* State roots of states that never were (simulated blocks): the owners of the accounts lay what is supposed over their tries and say what would stand at the roots of the buckets; merged with the
   other buckets, as of the block that it is laid on, that is the root. Nothing changes by it. */
#include <stdlib.h>

#include "common/base/alloc.h"
#include "coordinator/coordinator_private.h"

typedef struct {
    coh_ask_t *ask; /* open as long as frames are taken */
    uint32_t left;  /* shards that have not answered */
    coh_err_t err;
    bool *asked; /* owned; by shard */
    coh_bucket_nodes_t nodes;
} supposal_t;

static void free_supposal(supposal_t *p)
{
    coh_bucket_nodes_free(&p->nodes);
    free(p->asked);
    free(p);
}

/* Whose tries have the account: the owner of its bucket. */
static uint32_t owner_of(coh_coordinator_t const *c, coh_addr_t const *addr)
{
    return coh_directory_shard(&c->recovery.dir, coh_directory_bucket(addr));
}

/* Sends shard what of it is supposed. */
static void send(coh_coordinator_t *c, coh_ask_t const *ask, uint32_t shard, uint64_t query)
{
    coh_msg_suppose_t m             = {.query = query, .block = ask->u.root.block};
    coh_rec_sim_account_t *accounts = coh_calloc(ask->u.root.account_cnt + 1, sizeof(*accounts));
    coh_rec_sim_slot_t *slots       = coh_calloc(ask->u.root.slot_cnt + 1, sizeof(*slots));
    for (uint32_t i = 0; i < ask->u.root.account_cnt; i++) {
        if (owner_of(c, &ask->u.root.accounts[i].addr) == shard) {
            accounts[m.accounts.cnt++] = ask->u.root.accounts[i];
        }
    }
    for (uint32_t i = 0; i < ask->u.root.slot_cnt; i++) {
        if (owner_of(c, &ask->u.root.slots[i].addr) == shard) {
            slots[m.storage.cnt++] = ask->u.root.slots[i];
        }
    }
    m.accounts.v = accounts;
    m.storage.v  = slots;
    coh_wire_put_suppose(coh_co_outbox(c, shard), &m);
    free(accounts);
    free(slots);
}

static void finish(coh_coordinator_t *c, supposal_t *p)
{
    coh_ask_t *ask = p->ask;
    coh_err_t err  = p->err;
    if (err == COH_OK) {
        err = coh_state_roots_suppose(c->roots, ask->u.root.block, &ask->u.root.root, &p->nodes);
    }
    free_supposal(p);
    coh_co_supposed_for_ask(c, ask, err);
}

void coh_co_suppose_for_ask(coh_coordinator_t *c, coh_ask_t *ask)
{
    if (ask->u.root.block > coh_coordinator_head(c)) {
        coh_co_supposed_for_ask(c, ask, COH_ENOTFOUND);
        return;
    }
    supposal_t *p = coh_calloc(1, sizeof(*p));
    p->ask        = ask;
    p->asked      = coh_calloc(c->shard_cnt, sizeof(*p->asked));
    for (uint32_t i = 0; i < ask->u.root.account_cnt; i++) {
        p->asked[owner_of(c, &ask->u.root.accounts[i].addr)] = true;
    }
    for (uint32_t i = 0; i < ask->u.root.slot_cnt; i++) {
        p->asked[owner_of(c, &ask->u.root.slots[i].addr)] = true;
    }
    for (uint32_t s = 0; s < c->shard_cnt; s++) {
        p->left += p->asked[s];
    }
    if (p->left == 0) {
        finish(c, p);
        return;
    }
    uint64_t query = coh_ids_put(&c->supposals, p);
    for (uint32_t s = 0; s < c->shard_cnt; s++) {
        if (p->asked[s]) {
            send(c, ask, s, query);
        }
    }
}

coh_err_t coh_co_on_supposed(coh_coordinator_t *c, uint32_t shard, coh_msg_supposed_t const *m)
{
    supposal_t *p = coh_ids_get(&c->supposals, m->query);
    if (p == NULL || !p->asked[shard]) {
        return COH_EPROTO;
    }
    p->asked[shard] = false;
    if (m->failed != 0) {
        p->err = m->failed == 1 ? COH_ENOTFOUND : COH_EIO;
    } else {
        COH_TRY(coh_bucket_nodes_put(&p->nodes, &c->recovery.dir, shard, m->nodes.v, m->nodes.cnt));
    }
    if (--p->left == 0) {
        coh_ids_remove(&c->supposals, m->query);
        finish(c, p);
    }
    return COH_OK;
}

void coh_co_free_supposals(coh_coordinator_t *c)
{
    for (uint32_t i = 0; i < c->supposals.cap; i++) {
        if (c->supposals.slots[i].thing != NULL) {
            free_supposal(c->supposals.slots[i].thing);
        }
    }
    free(c->supposals.slots);
}
