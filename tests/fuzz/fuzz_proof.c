/* Proofs of tries (common/trie/proof.h). A fixed trie is known as a list of pairs, and its root is computed from that list. The input takes a true proof of one key and
   spoils it: what is still accepted under the true root must give the value that the list has. And it makes nodes of its own whose hashes
   fit each other: whatever they are, the check ends, and what it gives lies within the proof. */
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/rng.h"
#include "common/crypto/keccak.h"
#include "common/trie/proof.h"
#include "common/trie/root.h"
#include "tests/fuzz/fuzz.h"

enum { PAIR_CNT = 64, NODES_MAX = 16, MARK = 0xa5 };

/* What the trie holds. */
typedef struct {
    coh_hash_t key;
    uint8_t value[80];
    uint8_t n;
} pair_t;

static pair_t pairs[PAIR_CNT];
static coh_hash_t root;
static coh_proof_t proofs[PAIR_CNT];         /* of each key, */
static coh_proof_t missing_proofs[PAIR_CNT]; /* and of its neighbours */

static int compare(void const *a, void const *b)
{
    return memcmp(((pair_t const *)a)->key.b, ((pair_t const *)b)->key.b, sizeof(coh_hash_t));
}

/* The key of pair idx, but for one nibble. */
static coh_hash_t neighbour(size_t idx, uint32_t at)
{
    coh_hash_t key = pairs[idx].key;
    key.b[at % 64 / 2] ^= at % 2 == 0 ? 0x10 : 0x01;
    return key;
}

/* Of random keys every second one takes over the beginning of the one before, up to the last nibble but two: so all kinds of nodes occur at all
   depths, and leaves so short that they are part of their parents. */
static void make_pairs(void)
{
    coh_rng_t rng;
    coh_rng_seed(&rng, 1);
    for (size_t i = 0; i < PAIR_CNT; i++) {
        pair_t *p = &pairs[i];
        for (size_t b = 0; b < sizeof(p->key.b); b++) {
            p->key.b[b] = (uint8_t)coh_rng_next(&rng);
        }
        if (i % 2 == 1) {
            memcpy(p->key.b, pairs[i - 1].key.b, 1 + i / 2 % 31);
        }
        p->n = (uint8_t)(i % 3 == 0 ? 1 + i % 5 : sizeof(p->value) - i);
        memset(p->value, (int)(1 + i), sizeof(p->value));
    }
    qsort(pairs, PAIR_CNT, sizeof(*pairs), compare);
}

static void make_trie(void)
{
    coh_root_item_t items[PAIR_CNT];
    coh_mpt_change_t changes[PAIR_CNT];
    for (size_t i = 0; i < PAIR_CNT; i++) {
        coh_bytes_t value = coh_bytes(pairs[i].value, pairs[i].n);
        items[i] =
            (coh_root_item_t){.key = coh_bytes(pairs[i].key.b, sizeof(coh_hash_t)), .value = value};
        changes[i] = (coh_mpt_change_t){.key = pairs[i].key, .value = value};
    }
    coh_root_sorted(&root, items, PAIR_CNT);
    coh_kv_t *kv;
    COH_ASSERT(coh_kv_mem_open(&kv) == COH_OK);
    coh_mpt_config_t const config = {.kv              = kv,
                                     .table           = COH_KV_TRIE,
                                     .cache_bytes     = (size_t)1 << 20,
                                     .dirty_bytes_max = SIZE_MAX,
                                     .page_bytes      = COH_MPT_PAGE_MIN};
    coh_mpt_t *mpt                = coh_mpt_new(&config);
    coh_mpt_job_t job             = {
                    .id = coh_mpt_id_storage(&(coh_hash_t){{0}}, 0), .changes = changes, .cnt = PAIR_CNT};
    COH_ASSERT(coh_mpt_update(mpt, 1, &job, 1, NULL) == COH_OK);
    for (size_t i = 0; i < PAIR_CNT; i++) {
        coh_hash_t missing = neighbour(i, (uint32_t)i);
        COH_ASSERT(coh_mpt_prove(mpt, &proofs[i], &job.id, &pairs[i].key) == COH_OK);
        COH_ASSERT(coh_mpt_prove(mpt, &missing_proofs[i], &job.id, &missing) == COH_OK);
    }
    coh_mpt_free(mpt);
    kv->ops->close(kv);
}

/* By the list; empty: missing. */
static coh_bytes_t value_of(coh_hash_t const *key)
{
    for (size_t i = 0; i < PAIR_CNT; i++) {
        if (coh_hash_eq(&pairs[i].key, key)) {
            return coh_bytes(pairs[i].value, pairs[i].n);
        }
    }
    return coh_bytes(NULL, 0);
}

typedef struct {
    uint8_t const *p;
    size_t n;
} input_t;

static uint32_t take(input_t *in)
{
    if (in->n == 0) {
        return 0;
    }
    in->n--;
    return *in->p++;
}

/* Puts node, or a spoilt form of it, into out. */
static void put_spoilt(coh_proof_t *out, coh_bytes_t node, input_t *in)
{
    uint32_t how = take(in) % 8;
    if (how == 1) {
        return; /* left out */
    }
    coh_buf_t rlp = COH_BUF_INIT;
    coh_buf_put(&rlp, node.p, node.n);
    if (how == 2) {
        size_t at = (take(in) * 256) % rlp.n;
        at        = (at + take(in)) % rlp.n;
        rlp.p[at] ^= (uint8_t)(1u << take(in) % 8);
    } else if (how == 3) {
        rlp.n -= take(in) % (rlp.n + 1);
    } else if (how == 4) {
        coh_buf_put_u8(&rlp, (uint8_t)take(in));
    } else if (how == 5) {
        coh_proof_t const *other = &proofs[take(in) % PAIR_CNT];
        coh_bytes_t foreign      = coh_proof_node(other, take(in) % other->cnt);
        coh_buf_clear(&rlp);
        coh_buf_put(&rlp, foreign.p, foreign.n);
    } else if (how == 6 && out->cnt + 1 < COH_PROOF_NODE_MAX) {
        coh_proof_add(out, node);
    }
    if (out->cnt < COH_PROOF_NODE_MAX) {
        coh_proof_add(out, coh_buf_bytes(&rlp));
    }
    coh_buf_free(&rlp);
}

static void check_spoilt(input_t *in)
{
    size_t idx               = take(in) % PAIR_CNT;
    uint32_t what            = take(in);
    coh_proof_t const *whole = what % 2 == 0 ? &proofs[idx] : &missing_proofs[idx];
    coh_proof_t const *only =
        what % 2 == 0 ? whole : NULL; /* that may be accepted; NULL: not known */
    coh_hash_t key = what % 2 == 0 ? pairs[idx].key : neighbour(idx, (uint32_t)idx);
    bool is_whole  = what % 4 < 2; /* of this very key, and not spoilt */
    if (!is_whole) {
        bool is_there = take(in) % 2 == 0;
        size_t other  = take(in) % PAIR_CNT;
        only          = is_there ? &proofs[other] : NULL;
        key           = is_there ? pairs[other].key : neighbour(other, take(in));
    }
    coh_proof_t proof = COH_PROOF_INIT;
    for (size_t i = 0; i < whole->cnt; i++) {
        if (is_whole) {
            coh_proof_add(&proof, coh_proof_node(whole, i));
        } else {
            put_spoilt(&proof, coh_proof_node(whole, i), in);
        }
    }
    coh_bytes_t value;
    coh_err_t err = coh_proof_verify(&value, &proof, &root, &key);
    COH_ASSERT(err == COH_OK || err == COH_EMISMATCH);
    COH_ASSERT(err == COH_OK || !is_whole);
    COH_ASSERT(err != COH_OK || coh_bytes_eq(value, value_of(&key)));
    COH_ASSERT(err != COH_OK || only == NULL ||
               coh_bytes_eq(coh_buf_bytes(&proof.rlp), coh_buf_bytes(&only->rlp)));
    coh_proof_free(&proof);
}

/* Nodes of the input's own, each as long as its first octet says. From the last to the first, 32 octets MARK in one become the hash of the next. */
static void check_own(input_t *in)
{
    coh_hash_t key;
    for (size_t i = 0; i < sizeof(key.b); i++) {
        key.b[i] = (uint8_t)(i < 4 ? take(in) : 0);
    }
    coh_buf_t nodes[NODES_MAX];
    size_t cnt = 0;
    for (; cnt < NODES_MAX && in->n != 0; cnt++) {
        nodes[cnt] = COH_BUF_INIT;
        size_t n   = (size_t)take(in) * 4;
        n          = COH_MIN(n, in->n);
        coh_buf_put(&nodes[cnt], in->p, n);
        in->p += n;
        in->n -= n;
    }
    coh_hash_t hash = {{0}};
    for (size_t i = cnt; i-- > 0;) {
        size_t run = 0;
        for (size_t b = 0; b < nodes[i].n; b++) {
            run = nodes[i].p[b] == MARK ? run + 1 : 0;
            if (run == sizeof(hash.b)) {
                memcpy(nodes[i].p + b + 1 - run, hash.b, run);
                run = 0;
            }
        }
        coh_keccak256(&hash, nodes[i].p, nodes[i].n);
    }
    coh_proof_t proof = COH_PROOF_INIT;
    for (size_t i = 0; i < cnt; i++) {
        coh_proof_add(&proof, coh_buf_bytes(&nodes[i]));
        coh_buf_free(&nodes[i]);
    }
    coh_bytes_t value;
    if (coh_proof_verify(&value, &proof, &hash, &key) == COH_OK && value.n != 0) {
        COH_ASSERT(value.p >= proof.rlp.p && value.p + value.n <= proof.rlp.p + proof.rlp.n);
    } else {
        COH_ASSERT(value.n == 0);
    }
    coh_proof_free(&proof);
}

int LLVMFuzzerTestOneInput(uint8_t const *data, size_t size)
{
    static bool is_made;
    if (!is_made) {
        make_pairs();
        make_trie();
        is_made = true;
    }
    input_t in = {.p = data, .n = size};
    if (take(&in) % 2 == 0) {
        check_spoilt(&in);
    } else {
        check_own(&in);
    }
    return 0;
}
