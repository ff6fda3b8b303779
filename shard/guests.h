/* guests.h: accounts that live apart from their bucket, by an override of the directory. The *host* has all that is read and executed: flat record, code, storage. The tries
   stay where the bucket is: an account's leaf and its storage's trie belong to the owner of its bucket. So at the end of each block every host tells the owners of its guests'
   buckets what the block changed in them (CHANGES, be it nothing), and an owner puts that into its redo record and its tries together with its own changes, as if
   it had executed them.

   Why so, and not the tries with the host: a leaf can only be where its bucket is, and roots, proofs and old states need leaf and storage at one block; a move then leaves the tries as they are.
   It costs one message from each host to each owner and block, which waits for nothing but settlement, and the guests' changes twice on disk.

   Why nothing waits for ever: CHANGES of a block leave when PREPARE of it comes, whatever else is under way; the redo record and the vote of an owner wait for those of its own hosts alone. */
#ifndef COH_GUESTS_H
#define COH_GUESTS_H

#include "common/kv/kv.h"
#include "common/state/directory.h"
#include "common/wire/wire.h"
#include "shard/mvstore.h"

/* What hosts said of one block. */
typedef struct {
    coh_mv_item_t *items; /* owned; marked is_guest */
    size_t cnt, cap;
    coh_mv_step_t *trail; /* owned; before Byzantium */
    size_t trail_cnt, trail_cap;
} coh_guest_changes_t;

void coh_guest_changes_free(coh_guest_changes_t *changes);

typedef struct {
    coh_directory_t const *dir;
    uint32_t shard;
    uint8_t *is_host;  /* owned; by shard: has guests of our buckets */
    uint8_t *is_owner; /* owned; by shard: we have guests of its buckets */
    uint32_t host_cnt;
    uint32_t owner_cnt;
} coh_guests_t;

/* coh_guests_init finds out from dir (borrowed) who has to do with whom. */
void coh_guests_init(coh_guests_t *g, coh_directory_t const *dir, uint32_t shard);
void coh_guests_fini(coh_guests_t *g);

/* coh_guests_trie_shard is the shard in whose tries an account is that lives here. */
uint32_t coh_guests_trie_shard(coh_guests_t const *g, coh_addr_t const *addr);

/* coh_guests_keep leaves those among items, in their order, that belong into the tries here, and returns how many. */
size_t coh_guests_keep(coh_guests_t const *g, coh_mv_item_t *items, size_t cnt);
size_t coh_guests_keep_steps(coh_guests_t const *g, coh_mv_step_t *steps, size_t cnt);

/* coh_guests_put_changes writes CHANGES for an owner: what it must know of items, and of trail. */
void coh_guests_put_changes(coh_guests_t const *g,
                            coh_buf_t *out,
                            uint32_t owner,
                            uint64_t block,
                            uint32_t attempt,
                            coh_mv_item_t const *items,
                            size_t cnt,
                            coh_mv_step_t const *trail,
                            size_t trail_cnt);

/* coh_guests_take_changes adds what host says. COH_OK; COH_EPROTO it is no change of a guest of its that belongs into the tries here */
coh_err_t coh_guests_take_changes(coh_guests_t const *g,
                                  coh_guest_changes_t *out,
                                  uint32_t host,
                                  coh_msg_changes_t const *m);

/* coh_guests_note appends to batch the generations of those among items that are guests whose storage was wiped. */
void coh_guests_note(coh_kv_batch_t *batch, coh_mv_item_t const *items, size_t cnt);

#endif
