/* Proofs for clients (EIP-1186): a shard proves within an account's bucket and its storage, the coordinator adds the top, and checks all before it is told. */
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/codec/rlp.h"
#include "common/crypto/keccak.h"
#include "common/obs/log.h"
#include "common/trie/account.h"
#include "common/trie/proof.h"
#include "coordinator/coordinator_private.h"

#define HEAD UINT64_MAX
_Static_assert(COH_BLOCK_LATEST == HEAD, "asks and clients name the head alike");

typedef struct {
    coh_ask_t *ask;  /* open as long as frames are taken; NULL: it is a client's... */
    uint64_t ticket; /* ...with this ticket */
    uint64_t block;
    uint32_t shard;
    coh_addr_t addr;
    coh_u256_t *slots; /* owned */
    uint32_t slot_cnt;
} proof_t;

static void free_proof(proof_t *p)
{
    free(p->slots);
    free(p);
}

/* begin asks the owner of its bucket; of says for whom, of what account, and how many slots, which are copied. Returns: COH_OK; COH_ETOOBIG, COH_ENOTFOUND, with *why */
static coh_err_t begin(coh_coordinator_t *c,
                       proof_t const *of,
                       coh_u256_t const *slots,
                       char const **why)
{
    uint64_t head = coh_coordinator_head(c);
    if (of->slot_cnt > COH_ASK_PROOF_SLOTS_MAX) {
        *why = "too many slots in one request";
        return COH_ETOOBIG;
    }
    if (of->block != HEAD && of->block > head) {
        *why = "no such block yet";
        return COH_ENOTFOUND;
    }
    uint32_t cnt         = of->slot_cnt;
    uint32_t bucket      = coh_directory_bucket(&of->addr);
    coh_rec_slot_t *recs = coh_calloc((size_t)cnt + 1, sizeof(*recs));
    proof_t *p           = coh_calloc(1, sizeof(*p));
    *p                   = *of;
    p->block             = of->block == HEAD ? head : of->block;
    p->shard             = coh_directory_shard(&c->recovery.dir, bucket); /* it has the tries */
    p->slots             = coh_calloc((size_t)cnt + 1, sizeof(*p->slots));
    for (uint32_t i = 0; i < cnt; i++) {
        p->slots[i]  = slots[i];
        recs[i].slot = slots[i];
    }
    coh_msg_prove_t m = {.query = coh_ids_put(&c->proofs, p), .block = p->block, .addr = p->addr};
    m.slots.v         = recs;
    m.slots.cnt       = cnt;
    coh_wire_put_prove(coh_co_outbox(c, p->shard), &m);
    free(recs);
    return COH_OK;
}

void coh_co_get_proof(coh_coordinator_t *c, uint64_t ticket, coh_op_get_proof_request_t const *req)
{
    if (c->state != COH_CO_RUNNING && c->state != COH_CO_DRAINING) {
        coh_gateway_refuse(c->gateway, ticket, COH_EBUSY, "the cluster is starting or stopping");
        return;
    }
    if (c->proofs.cnt - c->asks.proof_cnt >= COH_PROOFS_MAX) {
        coh_gateway_refuse(c->gateway, ticket, COH_EBUSY, "busy: too many proofs under way");
        return;
    }
    char const *why;
    proof_t of = {
        .ticket = ticket, .block = req->block, .addr = req->addr, .slot_cnt = req->slots.cnt};
    coh_err_t rc = begin(c, &of, req->slots.v, &why);
    if (rc != COH_OK) {
        coh_gateway_refuse(c->gateway, ticket, rc, why);
    }
}

static void begin_for_ask(coh_coordinator_t *c, coh_ask_t *ask)
{
    char const *why;
    if (ask->u.proof.block == HEAD) {
        ask->u.proof.block = coh_coordinator_head(c);
    }
    proof_t of   = {.ask      = ask,
                    .block    = ask->u.proof.block,
                    .addr     = ask->u.proof.addr,
                    .slot_cnt = ask->u.proof.slot_cnt};
    coh_err_t rc = begin(c, &of, ask->u.proof.slots, &why);
    if (rc == COH_OK) {
        c->asks.proof_cnt++;
    } else {
        coh_co_proved_for_ask(c, ask, rc, NULL);
    }
}

void coh_co_prove_for_ask(coh_coordinator_t *c, coh_ask_t *ask)
{
    if (c->asks.proof_cnt < COH_ASK_PROOFS_MAX) {
        begin_for_ask(c, ask);
        return;
    }
    ask->next_waiting = NULL;
    if (c->asks.proofs_first == NULL) {
        c->asks.proofs_first = ask;
    } else {
        c->asks.proofs_last->next_waiting = ask;
    }
    c->asks.proofs_last = ask;
}

/* begin_waiting begins the proofs whose turn has come; none once the shards stop. */
static void begin_waiting(coh_coordinator_t *c)
{
    while (c->state <= COH_CO_DRAINING && c->asks.proofs_first != NULL &&
           c->asks.proof_cnt < COH_ASK_PROOFS_MAX) {
        coh_ask_t *ask       = c->asks.proofs_first;
        c->asks.proofs_first = ask->next_waiting;
        begin_for_ask(c, ask);
    }
}

static void put_nodes(coh_buf_t *out, coh_proof_t const *proof)
{
    for (size_t i = 0; i < proof->cnt; i++) {
        coh_bytes_t node = coh_proof_node(proof, i);
        coh_rlp_put_string(out, node.p, node.n);
    }
    coh_rlp_wrap_list(out, 0);
}

/* Fills in what the proof of the account says, checked up to the state root of p's block. nodes: for the answer. */
static coh_err_t take_account(coh_coordinator_t *c,
                              proof_t const *p,
                              coh_bytes_t in,
                              coh_op_get_proof_answer_t *out,
                              coh_buf_t *nodes)
{
    coh_proof_t in_bucket = COH_PROOF_INIT;
    coh_proof_t proof     = COH_PROOF_INIT;
    coh_bytes_t value     = {0};
    coh_hash_t key;
    coh_keccak256(&key, p->addr.b, sizeof(p->addr.b));
    coh_err_t rc = coh_proof_read(&in_bucket, in);
    if (rc == COH_OK) {
        rc = coh_state_roots_prove(
            c->roots, p->block, &out->state_root, &proof, &value, &in_bucket, &key);
    }
    coh_trie_account_t account = {.storage_root = COH_EMPTY_TRIE_ROOT,
                                  .code_hash    = COH_KECCAK_EMPTY};
    if (rc == COH_OK && value.n != 0) {
        out->exists = 1;
        rc          = coh_trie_account_get(&account, value);
    }
    if (rc == COH_OK) {
        out->nonce        = account.nonce;
        out->balance      = account.balance;
        out->storage_root = account.storage_root;
        out->code_hash    = account.code_hash;
        put_nodes(nodes, &proof);
    }
    coh_proof_free(&in_bucket);
    coh_proof_free(&proof);
    return rc;
}

static coh_err_t take_slot(coh_op_storage_proof_t *out,
                           coh_u256_t const *slot,
                           coh_bytes_t in,
                           coh_hash_t const *storage_root)
{
    coh_proof_t proof = COH_PROOF_INIT;
    coh_bytes_t value = {0};
    uint8_t text[32];
    coh_hash_t key;
    coh_u256_to_be(text, slot);
    coh_keccak256(&key, text, sizeof(text));
    *out         = (coh_op_storage_proof_t){.slot = *slot, .nodes = in};
    coh_err_t rc = coh_proof_read(&proof, in);
    rc           = rc == COH_OK ? coh_proof_verify(&value, &proof, storage_root, &key) : rc;
    if (rc == COH_OK && value.n != 0) {
        coh_rlp_t reader = coh_rlp_reader(value);
        rc               = coh_rlp_u256(&reader, &out->value);
    }
    coh_proof_free(&proof);
    return rc;
}

static void answer(coh_coordinator_t *c, proof_t const *p, coh_msg_proof_t const *m)
{
    coh_op_get_proof_answer_t out = {.block = p->block};
    coh_op_storage_proof_t *slots = coh_calloc(p->slot_cnt + 1, sizeof(*slots));
    coh_buf_t nodes               = COH_BUF_INIT;
    coh_err_t rc = m->failed == 1 ? COH_ENOTFOUND : m->failed == 0 ? COH_OK : COH_EIO;
    rc           = rc == COH_OK ? take_account(c, p, m->nodes, &out, &nodes) : rc;
    for (uint32_t i = 0; i < p->slot_cnt && rc == COH_OK; i++) {
        rc = take_slot(&slots[i], &p->slots[i], m->slots.v[i].nodes, &out.storage_root);
    }
    if (rc == COH_OK) {
        out.nodes     = coh_buf_bytes(&nodes);
        out.slots.v   = slots;
        out.slots.cnt = p->slot_cnt;
    } else if (rc != COH_ENOTFOUND) {
        COH_LOG_ERR("coordinator", "a proof does not hold", "rank=%u", p->shard + 1);
        rc = COH_EIO;
    }
    if (p->ask != NULL) {
        coh_co_proved_for_ask(c, p->ask, rc, &out);
    } else if (rc == COH_OK) {
        coh_gateway_answer_get_proof(c->gateway, p->ticket, &out);
    } else {
        coh_gateway_refuse(c->gateway,
                           p->ticket,
                           rc,
                           rc == COH_ENOTFOUND ? "the state of that block is not kept"
                                               : "the tries cannot be read");
    }
    coh_buf_free(&nodes);
    free(slots);
}

coh_err_t coh_co_on_proof(coh_coordinator_t *c, uint32_t shard, coh_msg_proof_t const *m)
{
    proof_t *p = coh_ids_get(&c->proofs, m->query);
    if (p == NULL || p->shard != shard || m->slots.cnt != p->slot_cnt) {
        return COH_EPROTO;
    }
    coh_ids_remove(&c->proofs, m->query);
    c->asks.proof_cnt -= p->ask != NULL ? 1 : 0;
    answer(c, p, m);
    free_proof(p);
    begin_waiting(c);
    return COH_OK;
}

void coh_co_free_proofs(coh_coordinator_t *c)
{
    for (uint32_t i = 0; i < c->proofs.cap; i++) {
        if (c->proofs.slots[i].thing != NULL) {
            free_proof(c->proofs.slots[i].thing);
        }
    }
    free(c->proofs.slots);
}
