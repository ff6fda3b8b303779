/* guard.h: lets in only ranks of the job. MPI knows its peers by address and number, and so does whoever reaches its ports. Ranks that share a secret, the job key, prove
   it to each other before any message passes between them, and mark every frame afterwards. None of it depends on the transport.

     a ──CHALLENGE(build, genesis, a, b, nonce a)──▶ b      the first frame of each rank to each other
     a ◀─CHALLENGE(build, genesis, b, a, nonce b)─── b
     a ──PROOF: HMAC(key, challenge a ∥ challenge b)─▶ b     in answer to the other's challenge
     a ◀─PROOF: HMAC(key, challenge b ∥ challenge a)── b
     a ──frame ∥ tag──▶ b                                    once b has proven itself

   A proof binds both nonces, both numbers with their order, build and genesis: it is worth nothing in another run, towards another rank, or sent back to where it came
   from. The tag is HMAC(frame key of this run and direction, number of the frame ∥ frame), cut to 16 octets: a frame that was altered, left out, repeated, or put in by
   somebody else is noticed. Nothing is hidden: frames stay readable.

   Without a key nothing is added, asked for or checked, but a challenge is recognised: it means that the other rank has a key.

   State of a peer:  STRANGE ─its challenge─▶ CHALLENGED ─its proof─▶ PROVEN ─marked frames─▶ PROVEN; all else is an error, after which the guard is of no more use.
   Bookkeeping without I/O. One thread. */
#ifndef COH_GUARD_H
#define COH_GUARD_H

#include "common/base/buf.h"

#define COH_GUARD_TAG_SZ  16u
#define COH_GUARD_KEY_MIN 32u
/* The first octet of challenges and proofs: msgpack never uses it, so that no frame of messages begins with it. */
#define COH_GUARD_MARK 0xc1u

typedef struct coh_guard coh_guard_t;

typedef struct {
    uint32_t rank;
    uint32_t rank_cnt;
    coh_bytes_t key;           /* copied; empty: none */
    char const *build;         /* program version, at most 64 characters; copied */
    coh_hash_t const *genesis; /* identity of the genesis; copied */
} coh_guard_options_t;

coh_guard_t *coh_guard_new(coh_guard_options_t const *options);
/* coh_guard_free wipes the key. NULL: nothing happens. */
void coh_guard_free(coh_guard_t *guard);

/* coh_guard_next appends the guard's own frame that is due to peer, a challenge or a proof, to *frame (empty), to be sent as it is and before any other. False: none is due. */
bool coh_guard_next(coh_guard_t *guard, uint32_t peer, coh_buf_t *frame);

/* coh_guard_is_open: peer has proven itself, and frames may be sent to it. */
bool coh_guard_is_open(coh_guard_t const *guard, uint32_t peer);

/* coh_guard_seal appends the tag to a frame for peer, which must be open; frames must leave in the order sealed. */
void coh_guard_seal(coh_guard_t *guard, uint32_t peer, coh_buf_t *frame);

typedef enum {
    COH_GUARD_PASS, /* a frame of a peer that has proven itself: *frame is it without its tag */
    COH_GUARD_OWN, /* a frame of the guard's: there is nothing for others in it; coh_guard_next may have an answer */
    COH_GUARD_BARE,  /* a message before proof */
    COH_GUARD_WRONG, /* a wrong proof */
    COH_GUARD_ASKED, /* it asks for proof, and there is no key here */
    COH_GUARD_BAD, /* a challenge or proof that is malformed, out of turn, or not meant for here */
    COH_GUARD_TAG, /* a wrong tag */
} coh_guard_verdict_t;

/* coh_guard_take judges a frame from peer. */
coh_guard_verdict_t coh_guard_take(coh_guard_t *guard, uint32_t peer, coh_bytes_t *frame);

/* coh_guard_text says of an error what the peer did: "gave a wrong proof ...", to follow its name. */
char const *coh_guard_text(coh_guard_verdict_t verdict);

#endif
