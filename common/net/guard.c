#include "common/net/guard.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/crypto/hmac.h"

/* mark 1, kind 1, version 2, from 4, to 4, ranks 4, genesis 32, nonce 32, then the build to the end */
#define CHALLENGE_SZ_MIN 80u
#define BUILD_MAX        64u
#define CHALLENGE_SZ_MAX (CHALLENGE_SZ_MIN + BUILD_MAX)
#define NONCE_AT         48u
#define PROOF_SZ         34u
#define VERSION          1u

enum { KIND_CHALLENGE = 1, KIND_PROOF = 2 };
typedef enum { STRANGE, CHALLENGED, PROVEN } peer_state_t;

typedef struct {
    uint8_t b[CHALLENGE_SZ_MAX];
    uint32_t n;
} challenge_t;

typedef struct {
    peer_state_t state;
    bool challenge_due;
    bool proof_due;
    challenge_t mine;
    challenge_t its;
    coh_hmac_t *to; /* under the frame keys; NULL until CHALLENGED */
    coh_hmac_t *from;
    uint64_t sent; /* marked frames */
    uint64_t taken;
} peer_t;

struct coh_guard {
    uint32_t rank;
    uint32_t rank_cnt;
    coh_hmac_t *key; /* NULL: none */
    peer_t peers[];
};

static void make_challenge(challenge_t *c, coh_guard_options_t const *o, uint32_t peer)
{
    size_t build_n = strlen(o->build);
    COH_ASSERT(build_n <= BUILD_MAX);
    c->b[0] = COH_GUARD_MARK;
    c->b[1] = KIND_CHALLENGE;
    c->b[2] = VERSION;
    c->b[3] = 0;
    coh_store_u32_le(c->b + 4, o->rank);
    coh_store_u32_le(c->b + 8, peer);
    coh_store_u32_le(c->b + 12, o->rank_cnt);
    memcpy(c->b + 16, o->genesis->b, 32);
    coh_secret_random(c->b + NONCE_AT, 32);
    memcpy(c->b + CHALLENGE_SZ_MIN, o->build, build_n);
    c->n = (uint32_t)(CHALLENGE_SZ_MIN + build_n);
}

coh_guard_t *coh_guard_new(coh_guard_options_t const *options)
{
    COH_ASSERT(options->rank < options->rank_cnt);
    coh_guard_t *guard = coh_calloc(1, sizeof(*guard) + options->rank_cnt * sizeof(peer_t));
    guard->rank        = options->rank;
    guard->rank_cnt    = options->rank_cnt;
    if (options->key.n != 0) {
        guard->key = coh_hmac_new(options->key);
        for (uint32_t i = 0; i < options->rank_cnt; i++) {
            guard->peers[i].challenge_due = i != options->rank;
            make_challenge(&guard->peers[i].mine, options, i);
        }
    }
    return guard;
}

void coh_guard_free(coh_guard_t *guard)
{
    if (guard != NULL) {
        for (uint32_t i = 0; i < guard->rank_cnt; i++) {
            coh_hmac_free(guard->peers[i].to);
            coh_hmac_free(guard->peers[i].from);
        }
        coh_hmac_free(guard->key);
        free(guard);
    }
}

/* HMAC(key, what ∥ one ∥ other). A challenge's length follows from its parts' being bound to both ends' numbers and to nonces of fixed places: it is put in front all the same. */
static void derive(coh_guard_t *guard,
                   coh_hash_t *out,
                   char what,
                   challenge_t const *one,
                   challenge_t const *other)
{
    uint8_t lens[9];
    lens[0] = (uint8_t)what;
    coh_store_u32_le(lens + 1, one->n);
    coh_store_u32_le(lens + 5, other->n);
    coh_hmac_add(guard->key, lens, sizeof(lens));
    coh_hmac_add(guard->key, one->b, one->n);
    coh_hmac_add(guard->key, other->b, other->n);
    coh_hmac_end(guard->key, out);
}

static coh_hmac_t *frame_key(coh_guard_t *guard, challenge_t const *from, challenge_t const *to)
{
    coh_hash_t key;
    derive(guard, &key, 'F', from, to);
    coh_hmac_t *hmac = coh_hmac_new(coh_bytes(key.b, sizeof(key.b)));
    coh_secret_wipe(&key, sizeof(key));
    return hmac;
}

bool coh_guard_next(coh_guard_t *guard, uint32_t peer, coh_buf_t *frame)
{
    COH_ASSERT(peer < guard->rank_cnt && frame->n == 0);
    peer_t *p = &guard->peers[peer];
    if (p->challenge_due) {
        p->challenge_due = false;
        coh_buf_put(frame, p->mine.b, p->mine.n);
        return true;
    }
    if (p->proof_due) {
        coh_hash_t proof;
        p->proof_due = false;
        derive(guard, &proof, 'P', &p->mine, &p->its);
        coh_buf_put_u8(frame, COH_GUARD_MARK);
        coh_buf_put_u8(frame, KIND_PROOF);
        coh_buf_put(frame, proof.b, sizeof(proof.b));
        return true;
    }
    return false;
}

bool coh_guard_is_open(coh_guard_t const *guard, uint32_t peer)
{
    COH_ASSERT(peer < guard->rank_cnt);
    peer_t const *p = &guard->peers[peer];
    return guard->key == NULL || (p->state == PROVEN && !p->challenge_due && !p->proof_due);
}

static void make_tag(coh_hmac_t *hmac, coh_hash_t *tag, uint64_t number, coh_bytes_t frame)
{
    uint8_t n[8];
    coh_store_u64_le(n, number);
    coh_hmac_add(hmac, n, sizeof(n));
    coh_hmac_add(hmac, frame.p, frame.n);
    coh_hmac_end(hmac, tag);
}

void coh_guard_seal(coh_guard_t *guard, uint32_t peer, coh_buf_t *frame)
{
    COH_ASSERT(coh_guard_is_open(guard, peer));
    if (guard->key != NULL) {
        coh_hash_t tag;
        peer_t *p = &guard->peers[peer];
        make_tag(p->to, &tag, p->sent++, coh_buf_bytes(frame));
        coh_buf_put(frame, tag.b, COH_GUARD_TAG_SZ);
    }
}

static coh_guard_verdict_t take_challenge(coh_guard_t *guard, uint32_t peer, coh_bytes_t frame)
{
    peer_t *p = &guard->peers[peer];
    if (frame.n < CHALLENGE_SZ_MIN || frame.n > CHALLENGE_SZ_MAX || frame.p[2] != VERSION ||
        frame.p[3] != 0 || coh_load_u32_le(frame.p + 4) != peer ||
        coh_load_u32_le(frame.p + 8) != guard->rank ||
        coh_load_u32_le(frame.p + 12) != guard->rank_cnt) {
        return COH_GUARD_BAD;
    }
    memcpy(p->its.b, frame.p, frame.n);
    p->its.n     = (uint32_t)frame.n;
    p->to        = frame_key(guard, &p->mine, &p->its);
    p->from      = frame_key(guard, &p->its, &p->mine);
    p->state     = CHALLENGED;
    p->proof_due = true;
    return COH_GUARD_OWN;
}

static coh_guard_verdict_t take_proof(coh_guard_t *guard, uint32_t peer, coh_bytes_t frame)
{
    peer_t *p = &guard->peers[peer];
    coh_hash_t proof;
    if (frame.n != PROOF_SZ) {
        return COH_GUARD_BAD;
    }
    derive(guard, &proof, 'P', &p->its, &p->mine);
    if (!coh_secret_eq(frame.p + 2, proof.b, sizeof(proof.b))) {
        return COH_GUARD_WRONG;
    }
    p->state = PROVEN;
    return COH_GUARD_OWN;
}

static coh_guard_verdict_t take_marked(peer_t *p, coh_bytes_t *frame)
{
    coh_hash_t tag;
    if (frame->n < COH_GUARD_TAG_SZ) {
        return COH_GUARD_TAG;
    }
    coh_bytes_t inner = coh_bytes(frame->p, frame->n - COH_GUARD_TAG_SZ);
    make_tag(p->from, &tag, p->taken++, inner);
    if (!coh_secret_eq(frame->p + inner.n, tag.b, COH_GUARD_TAG_SZ)) {
        return COH_GUARD_TAG;
    }
    *frame = inner;
    return COH_GUARD_PASS;
}

coh_guard_verdict_t coh_guard_take(coh_guard_t *guard, uint32_t peer, coh_bytes_t *frame)
{
    COH_ASSERT(peer < guard->rank_cnt && peer != guard->rank);
    peer_t *p = &guard->peers[peer];
    bool own  = frame->n >= 2 && frame->p[0] == COH_GUARD_MARK;
    if (guard->key == NULL) {
        return own ? COH_GUARD_ASKED : COH_GUARD_PASS;
    }
    if (p->state == PROVEN) {
        return take_marked(p, frame);
    }
    if (!own) {
        return COH_GUARD_BARE;
    }
    if (p->state == STRANGE && frame->p[1] == KIND_CHALLENGE) {
        return take_challenge(guard, peer, *frame);
    }
    if (p->state == CHALLENGED && frame->p[1] == KIND_PROOF) {
        return take_proof(guard, peer, *frame);
    }
    return COH_GUARD_BAD;
}

char const *coh_guard_text(coh_guard_verdict_t verdict)
{
    switch (verdict) {
    case COH_GUARD_PASS:
    case COH_GUARD_OWN: break;
    case COH_GUARD_BARE:
        return "sends messages without proof of the job key: it was started without one";
    case COH_GUARD_WRONG: return "does not hold this job's key: its proof is wrong";
    case COH_GUARD_ASKED:
        return "asks for proof of the job key, and this rank was started without one";
    case COH_GUARD_BAD: return "breaks the rules by which ranks prove the job key to each other";
    case COH_GUARD_TAG:
        return "sent a frame that does not carry its mark: it was altered, repeated, lost, or "
               "comes from elsewhere";
    }
    return "is a rank of the job";
}
