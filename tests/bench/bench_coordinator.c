/* bench_coordinator: CPU time of the coordinator's communication thread per transaction, from SUBMIT to the committed block, with one shard played
   by the bench: signatures are not recovered and nothing is executed or synced. Prints one line of JSON: the total, and the sections that the
   node measures itself.  usage: bench_coordinator [transactions] */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/rng.h"
#include "common/client/ops.h"
#include "common/codec/tx.h"
#include "common/node/version.h"
#include "common/state/directory.h"
#include "common/trie/node.h"
#include "common/wire/wire.h"
#include "coordinator/coordinator.h"

enum { BATCH = 1024, SENDERS = 8192, BLOCK_MAX = 8192 };

typedef struct {
    coh_env_t env;
    coh_buf_t outboxes[2];
    coh_disk_req_t *disk;
    uint64_t now_us;
    coh_rng_t rng;
    uint64_t recovered;
    coh_rec_result_t results[16][BLOCK_MAX];
    uint32_t homed[16];
} bench_t;

static uint64_t env_us(coh_env_t *env) { return ((bench_t *)(void *)env)->now_us; }
static coh_buf_t *env_outbox(coh_env_t *env, uint32_t dst)
{
    return &((bench_t *)(void *)env)->outboxes[dst];
}
static void env_wake(coh_env_t *env) { (void)env; }
static void env_disk(coh_env_t *env, coh_disk_req_t *req)
{
    bench_t *b = (bench_t *)(void *)env;
    req->next  = b->disk;
    b->disk    = req;
}

static coh_addr_t sender_of(uint64_t i)
{
    coh_addr_t a = {{0}};
    coh_store_u64_le(a.b, coh_mix64(i % SENDERS + 1));
    return a;
}

static void play_recover(bench_t *b, coh_buf_t *out, coh_msg_recover_t const *m)
{
    static coh_rec_recovered_tx_t txs[256];
    for (uint32_t i = 0; i < m->txs.cnt; i++) {
        coh_tx_t tx;
        COH_ASSERT(coh_tx_decode(&tx, m->txs.v[i].raw) == COH_TX_OK);
        txs[i] = (coh_rec_recovered_tx_t){.sender = sender_of(coh_load_u64_le(tx.to.b))};
        for (size_t k = 0; k < 4; k++) {
            coh_store_u64_le(txs[i].hash.b + 8 * k, coh_rng_next(&b->rng));
        }
    }
    coh_msg_recovered_t r = {.job = m->job, .txs = {.v = txs, .cnt = m->txs.cnt}};
    coh_wire_put_recovered(out, &r);
}

static void play_block(bench_t *b, coh_buf_t *out, coh_msg_block_t const *m)
{
    coh_rec_result_t *r           = b->results[m->number % 16];
    b->homed[m->number % 16]      = m->txs.cnt;
    coh_rec_digest_t const effect = {0};
    for (uint32_t i = 0; i < m->txs.cnt; i++) {
        r[i] = (coh_rec_result_t){.tx_idx = m->txs.v[i].tx_idx, .status = 1, .gas_used = 21000};
    }
    coh_msg_idle_t idle = {.block    = m->number,
                           .gas_used = UINT64_C(21000) * m->txs.cnt,
                           .effects  = {.v = &effect, .cnt = 1}};
    coh_wire_put_idle(out, &idle);
}

static void play_query(coh_buf_t *out, coh_msg_query_t const *m)
{
    static coh_rec_state_value_t values[256];
    for (uint32_t i = 0; i < m->keys.cnt; i++) {
        values[i] = (coh_rec_state_value_t){.word = {{0, 0, 1, 0}}};
    }
    coh_msg_answer_t a = {.query = m->query, .values = {.v = values, .cnt = m->keys.cnt}};
    coh_wire_put_answer(out, &a);
}

/* The nodes of all buckets: what a block of some thousand transfers changes. */
static void put_nodes(bench_t *b, coh_buf_t *out, uint64_t block)
{
    static coh_rec_node_t recs[COH_BUCKET_CNT];
    static uint8_t refs[COH_BUCKET_CNT][32];
    for (uint32_t i = 0; i < COH_BUCKET_CNT; i++) {
        coh_store_u64_le(refs[i], coh_rng_next(&b->rng));
        recs[i] = (coh_rec_node_t){
            .bucket = i, .kind = COH_NODE_BRANCH, .node = coh_bytes(refs[i], sizeof(refs[i]))};
    }
    coh_wire_put_nodes(
        out, &(coh_msg_nodes_t){.block = block, .nodes = {.v = recs, .cnt = COH_BUCKET_CNT}});
}

/* Answers everything in the shard's outbox into out. False if there was nothing. */
static bool play_shard(bench_t *b, coh_wire_reader_t *reader, coh_buf_t *out)
{
    coh_buf_t in   = b->outboxes[1];
    b->outboxes[1] = COH_BUF_INIT;
    if (in.n == 0) {
        return false;
    }
    coh_envelope_t env;
    coh_msg_t m;
    COH_ASSERT(coh_wire_reader_begin(reader, coh_buf_bytes(&in), &env) == COH_OK);
    coh_buf_clear(out);
    coh_wire_put_envelope(out, &(coh_envelope_t){.sender = 1});
    while (coh_wire_reader_next(reader, &m) == COH_OK) {
        uint64_t n = m.u.prepare.block;
        switch (m.id) {
        case COH_MSG_WELCOME:
            coh_wire_put_nodes(out, &(coh_msg_nodes_t){0});
            coh_wire_put_ready(out, &(coh_msg_ready_t){0});
            break;
        case COH_MSG_RECOVER: play_recover(b, out, &m.u.recover); break;
        case COH_MSG_QUERY: play_query(out, &m.u.query); break;
        case COH_MSG_BLOCK: play_block(b, out, &m.u.block); break;
        case COH_MSG_PREPARE: {
            coh_msg_vote_t vote = {.block = n, .yes = 1, .has_redo = 1};
            vote.results.v      = b->results[n % 16];
            vote.results.cnt    = b->homed[n % 16];
            put_nodes(b, out, n);
            coh_wire_put_vote(out, &vote);
            break;
        }
        case COH_MSG_COMMIT:
            coh_wire_put_ack(out, &(coh_msg_ack_t){.block = m.u.commit.block});
            break;
        default: break;
        }
    }
    coh_buf_free(&in);
    return true;
}

static void put_request(coh_buf_t *out, uint64_t first)
{
    static uint8_t raw[BATCH * 160];
    static coh_bytes_t raws[BATCH];
    coh_buf_t space = {.p = raw, .cap = sizeof(raw)};
    for (uint64_t i = 0; i < BATCH; i++) {
        coh_tx_t tx = {.type         = COH_TX_DYNAMIC_FEE,
                       .has_chain_id = true,
                       .chain_id     = 1337,
                       .nonce        = (first + i) / SENDERS,
                       .gas_limit    = 21000,
                       .max_fee      = {{UINT64_C(1) << 60, 0, 0, 0}},
                       .value        = coh_u256(1)};
        coh_store_u64_le(tx.to.b, first + i);
        memset(tx.r, 1, sizeof(tx.r));
        memset(tx.s, 1, sizeof(tx.s));
        size_t at = space.n;
        coh_tx_encode(&space, &tx);
        raws[i] = coh_bytes(raw + at, space.n - at);
    }
    COH_ASSERT(space.p == raw);
    coh_buf_clear(out);
    coh_op_put_submit_request(out, &(coh_op_submit_request_t){.raws = {.v = raws, .cnt = BATCH}});
}

int main(int argc, char **argv)
{
    uint64_t total = argc > 1 ? strtoull(argv[1], NULL, 10) : 200000;
    static bench_t b;
    static coh_config_t config;
    static coh_genesis_t genesis;
    b.env = (coh_env_t){.rank_cnt     = 2,
                        .metrics      = coh_metrics_new(0),
                        .mono_us      = env_us,
                        .unix_us      = env_us,
                        .outbox       = env_outbox,
                        .disk         = env_disk,
                        .wake_workers = env_wake,
                        .wake_node    = env_wake};
    coh_rng_seed(&b.rng, 1);
    coh_config_default(&config);
    genesis =
        (coh_genesis_t){.chain_id = 1337, .gas_limit = UINT64_C(1) << 40, .base_fee = coh_u256(7)};
    for (int f = COH_FORK_CANCUN; f < COH_FORK_CNT; f++) {
        genesis.fork_at[f] = UINT64_MAX;
    }
    coh_buf_t text = COH_BUF_INIT;
    coh_kv_t *kv;
    coh_coordinator_t *c;
    COH_ASSERT(coh_genesis_finish(&genesis, &text) == COH_OK && coh_kv_mem_open(&kv) == COH_OK);
    COH_ASSERT(coh_coordinator_new(&c, &config, &genesis, &b.env, kv, NULL, &text) == COH_OK);
    coh_node_t *node          = coh_coordinator_node(c);
    coh_wire_reader_t *reader = coh_wire_reader_new();
    coh_buf_t out             = COH_BUF_INIT;
    coh_msg_hello_t hello     = {.build    = coh_bytes(COH_VERSION, strlen(COH_VERSION)),
                                 .chain_id = 1337,
                                 .genesis  = genesis.identity,
                                 .config   = coh_config_hash(&config)};
    coh_wire_put_envelope(&out, &(coh_envelope_t){.sender = 1});
    coh_wire_put_hello(&out, &hello);
    node->ops->on_frame(node, 1, coh_buf_bytes(&out));

    uint64_t spent_ns = 0;
    uint64_t sent     = 0;
    coh_buf_t request = COH_BUF_INIT;
    bool primed       = false;
    while (coh_metric_get(b.env.metrics, COH_M_chain_tx) < total) {
        if (coh_coordinator_is_ready(c) && !primed) {
            /* Load rank 0's own workers, which nobody runs here, with more than one request:
               from then on the shard has the fewest outstanding, and gets everything. */
            put_request(&request, UINT64_C(1) << 40);
            for (int i = 0; i < 4; i++) {
                coh_coordinator_on_request(c, UINT64_MAX, coh_buf_bytes(&request));
            }
            primed = true;
        } else if (primed && sent < total &&
                   coh_metric_get(b.env.metrics, COH_M_pool_tx) < 4 * BLOCK_MAX) {
            put_request(&request, sent);
            uint64_t start = coh_clock_thread_cpu_ns();
            coh_coordinator_on_request(c, sent, coh_buf_bytes(&request));
            spent_ns += coh_clock_thread_cpu_ns() - start;
            sent += BATCH;
        }
        bool any       = play_shard(&b, reader, &out);
        uint64_t start = coh_clock_thread_cpu_ns();
        if (any) {
            node->ops->on_frame(node, 1, coh_buf_bytes(&out));
        }
        while (b.disk != NULL) {
            coh_disk_req_t *req = b.disk;
            b.disk              = req->next;
            node->ops->on_disk_done(node, req);
        }
        (void)node->ops->on_tick(node);
        spent_ns += coh_clock_thread_cpu_ns() - start;
        b.now_us += 1000;
        COH_ASSERT(node->ops->failed(node) == NULL);
    }
    double n = (double)coh_metric_get(b.env.metrics, COH_M_chain_tx);
    printf("{\"bench\":\"coordinator\",\"tx\":%.0f,\"blocks\":%lu,\"ns_per_tx\":%.0f,\"admit_ns\":%"
           ".0f,\"order_ns\":%.0f,\"seal_ns\":%.0f}\n",
           n,
           (unsigned long)coh_coordinator_head(c),
           (double)spent_ns / n,
           (double)coh_metric_get(b.env.metrics, COH_M_coordinator_cpu_admit) / n,
           (double)coh_metric_get(b.env.metrics, COH_M_coordinator_cpu_order) / n,
           (double)coh_metric_get(b.env.metrics, COH_M_coordinator_cpu_seal) / n);
    node->ops->free(node);
    return 0;
}
