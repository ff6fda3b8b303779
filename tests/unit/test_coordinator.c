/* The coordinator's state machine driven by hand: a store in memory, a clock that the test moves, and two shards played by the test, which
   answers as the protocol says, or as a case wants it to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/base/alloc.h"
#include "common/client/ops.h"
#include "common/codec/tx.h"
#include "common/config/genesis.h"
#include "common/crypto/keccak.h"
#include "common/node/abort.h"
#include "common/node/disk_req.h"
#include "common/node/version.h"
#include "common/state/directory.h"
#include "common/trie/node.h"
#include "common/trie/root.h"
#include "common/wire/wire.h"
#include "coordinator/ask.h"
#include "coordinator/coordinator.h"
#include "coordinator/decision_log.h"
#include "tests/support/ids.h"

#define SHARDS 2u
#define TX_GAS 21000u
#define PRICE  UINT64_C(2000000000)

typedef struct {
    uint64_t block;
    uint32_t homed_cnt;
    coh_rec_result_t results[64];
} played_block_t;

typedef struct {
    coh_env_t env;
    coh_gateway_sink_t sink;
    coh_config_t config;
    coh_genesis_t genesis;
    coh_kv_t *kv;
    coh_coordinator_t *c;
    coh_buf_t outboxes[1 + SHARDS];
    coh_disk_req_t *disk_first;
    coh_disk_req_t **disk_last;
    uint64_t now_us;
    coh_wire_reader_t *reader;
    coh_op_reader_t *ops;
    /* What the shards do. */
    played_block_t blocks[SHARDS][16];
    uint64_t gas_delta;    /* what IDLE says wrong */
    uint64_t refuse_block; /* shard 0 votes no on it... */
    uint32_t refuse_cnt;   /* ...so many times */
    uint32_t bad_idx;      /* this transaction of each block gets this verdict */
    coh_tx_err_t bad_verdict;
    uint64_t bad_block; /* not 0: of this block alone */
    bool hold_votes;
    bool hold_calls; /* and proofs */
    uint32_t prove_failed;
    bool wrong_proof;
    uint32_t prove_cnt;
    uint32_t call_cnt;
    uint64_t commits_before_write; /* COMMITs that left while a decision was not on disk */
    uint64_t commits[SHARDS];
    uint64_t aborts[SHARDS];
    uint32_t waves;
    uint32_t attempt;
    bool refused;
    bool sends_effects; /* each shard says it sent one message to the other in each block */
    bool fail_disk;
    coh_hash_t hello_genesis;
    uint64_t hello_prepared;
    coh_directory_t dir;
    uint64_t nonce;   /* of every account that is asked for... */
    coh_buf_t asked;  /* ...and the addresses of these */
    bool wrong_nodes; /* shard 0 speaks of a bucket of shard 1 */
    bool wrong_state; /* at start, shard 0 has an account that is in no block */
    /* What clients got. */
    coh_buf_t reply;
    uint64_t reply_request;
    uint32_t reply_cnt;
    coh_buf_t published; /* topics */
    coh_import_result_t results[16];
    uint32_t result_cnt;
} world_t;

static world_t *world_of(coh_env_t *env) { return (world_t *)(void *)env; }

static uint64_t env_mono_us(coh_env_t *env) { return world_of(env)->now_us; }
static uint64_t env_unix_us(coh_env_t *env)
{
    return UINT64_C(1700000000000000) + world_of(env)->now_us;
}
static coh_buf_t *env_outbox(coh_env_t *env, uint32_t dst) { return &world_of(env)->outboxes[dst]; }
static void env_wake(coh_env_t *env) { (void)env; }

static void env_disk(coh_env_t *env, coh_disk_req_t *req)
{
    world_t *w    = world_of(env);
    req->next     = NULL;
    *w->disk_last = req;
    w->disk_last  = &req->next;
}

static world_t *sink_world(coh_gateway_sink_t *sink)
{
    return (world_t *)(void *)((uint8_t *)sink - offsetof(world_t, sink));
}

static void sink_reply(coh_gateway_sink_t *sink, uint64_t request, coh_bytes_t data)
{
    world_t *w       = sink_world(sink);
    w->reply_request = request;
    w->reply_cnt++;
    coh_buf_clear(&w->reply);
    coh_buf_put(&w->reply, data.p, data.n);
}

static void sink_publish(coh_gateway_sink_t *sink, coh_bytes_t data)
{
    coh_buf_put_u8(&sink_world(sink)->published, data.p[0]);
}

static bool sink_has_subscribers(coh_gateway_sink_t *sink)
{
    (void)sink;
    return true;
}

/* ---- keys and transactions ---- */

/* Appends a signed transfer of 1 wei from who. */
static void put_transfer(coh_buf_t *out, uint32_t who, uint64_t nonce, coh_hash_t *hash)
{
    coh_tx_t tx = {
        .type         = COH_TX_DYNAMIC_FEE,
        .has_chain_id = true,
        .chain_id     = 1337,
        .nonce        = nonce,
        .gas_limit    = TX_GAS,
        .max_fee      = coh_u256(PRICE),
        .max_tip      = coh_u256(1),
        .value        = coh_u256(1),
        .to           = {{0xaa, (uint8_t)who}},
    };
    uint8_t secret[32];
    coh_test_secret(secret, who);
    assert_int_equal(coh_tx_sign(&tx, secret), COH_OK);
    size_t at = out->n;
    coh_tx_encode(out, &tx);
    if (hash != NULL) {
        coh_keccak256(hash, out->p + at, out->n - at);
    }
}

/* ---- the shards ---- */

static coh_buf_t *frame_from(coh_buf_t *frame, uint32_t shard)
{
    if (frame->n == 0) {
        coh_wire_put_envelope(frame, &(coh_envelope_t){.sender = shard + 1});
    }
    return frame;
}

static void play_block(world_t *w, uint32_t shard, coh_buf_t *out, coh_msg_block_t const *m)
{
    played_block_t *b = &w->blocks[shard][m->number % 16];
    assert_true(m->txs.cnt <= 64);
    assert_true(m->attempt >= w->attempt);
    w->attempt   = m->attempt;
    b->block     = m->number;
    b->homed_cnt = m->txs.cnt;
    uint64_t gas = 0;
    for (uint32_t i = 0; i < m->txs.cnt; i++) {
        if (m->txs.v[i].is_step) {
            b->results[i] =
                (coh_rec_result_t){.tx_idx = m->txs.v[i].tx_idx, .status = COH_STEP_NO_CODE};
            continue;
        }
        bool bad = m->txs.v[i].tx_idx == w->bad_idx && w->bad_verdict != COH_TX_OK &&
                   (w->bad_block == 0 || w->bad_block == m->number);
        b->results[i] = (coh_rec_result_t){.tx_idx   = m->txs.v[i].tx_idx,
                                           .verdict  = bad ? w->bad_verdict : COH_TX_OK,
                                           .status   = !bad,
                                           .gas_used = bad ? 0 : TX_GAS};
        gas += b->results[i].gas_used;
    }
    uint64_t sent               = w->sends_effects ? 1 : 0;
    coh_rec_digest_t effects[2] = {{.effects = 0}, {.effects = 0}};
    effects[1 - shard].effects  = 100 * sent + shard;
    coh_msg_idle_t idle         = {.block    = m->number,
                                   .sent     = sent,
                                   .received = sent,
                                   .gas_used = gas + w->gas_delta,
                                   .effects  = {.v = effects, .cnt = SHARDS}};
    coh_wire_put_idle(out, &idle);
}

static void play_wave(world_t *w, uint32_t shard, coh_buf_t *out, coh_msg_wave_t const *m)
{
    played_block_t *b           = &w->blocks[shard][m->block % 16];
    coh_rec_digest_t effects[2] = {{.effects = 0}, {.effects = 0}};
    effects[1 - shard].effects  = 100 + shard;
    uint64_t gas                = 0;
    for (uint32_t i = 0; i < b->homed_cnt; i++) {
        gas += b->results[i].gas_used;
    }
    coh_msg_idle_t idle = {.block    = m->block,
                           .wave     = m->wave,
                           .sent     = 1,
                           .received = 1,
                           .gas_used = gas,
                           .effects  = {.v = effects, .cnt = SHARDS}};
    coh_wire_put_idle(out, &idle);
    w->waves++;
}

/* The state of a shard: in its first bucket one account, whose value is the number of the last block that had a transaction here. */
static uint32_t bucket_of_shard(world_t *w, uint32_t shard)
{
    uint32_t b = 0;
    while (coh_directory_shard(&w->dir, b) != shard) {
        b++;
    }
    return b;
}

static void make_leaf(coh_mpt_node_t *node, uint64_t block)
{
    static uint8_t const key[32] = {0};
    uint8_t value[40]            = {0xa7}; /* a string of 39 octets */
    coh_store_u64_be(value + 1, block);
    node->kind = COH_NODE_LEAF;
    node->n    = (uint8_t)coh_node_put_leaf(node->b, key, 3, coh_bytes(value, sizeof(value)));
}

/* cnt: 0 or 1 */
static void put_nodes(world_t *w, uint32_t shard, coh_buf_t *out, uint64_t block, uint64_t last)
{
    coh_mpt_node_t node;
    make_leaf(&node, last);
    coh_rec_node_t rec    = {.bucket = bucket_of_shard(w, w->wrong_nodes && shard == 0 ? 1 : shard),
                             .kind   = node.kind,
                             .node   = coh_bytes(node.b, node.n)};
    coh_msg_nodes_t nodes = {.block = block, .nodes = {.v = &rec, .cnt = last != 0}};
    coh_wire_put_nodes(out, &nodes);
}

static void play_welcome(world_t *w, uint32_t shard, coh_buf_t *out, coh_msg_welcome_t const *m)
{
    assert_int_equal(coh_directory_decode(&w->dir, m->epoch, SHARDS, m->directory), COH_OK);
    uint64_t last = m->head;
    while (last > 0) {
        played_block_t const *b = &w->blocks[shard][last % 16];
        if (b->block == last && b->homed_cnt > 0) {
            break;
        }
        last--;
    }
    put_nodes(w, shard, out, m->head, w->wrong_state && shard == 0 ? last + 1 : last);
    coh_wire_put_ready(out, &(coh_msg_ready_t){.head = m->head});
}

static void play_prepare(world_t *w, uint32_t shard, coh_buf_t *out, coh_msg_prepare_t const *m)
{
    played_block_t *b = &w->blocks[shard][m->block % 16];
    assert_int_equal(b->block, m->block);
    assert_int_equal(m->effects.cnt, SHARDS);
    if (w->sends_effects) { /* what the other shard said of us comes to us */
        assert_int_equal(m->effects.v[1 - shard].effects, 100 + (1 - shard));
    }
    coh_msg_vote_t vote = {.block = m->block, .yes = 1, .has_redo = b->homed_cnt > 0};
    vote.results.v      = b->results;
    vote.results.cnt    = b->homed_cnt;
    if (shard == 0 && m->block == w->refuse_block && w->refuse_cnt > 0) {
        w->refuse_cnt--;
        vote = (coh_msg_vote_t){.block = m->block, .reason = COH_ABORT_EFFECTS};
    }
    if (vote.has_redo != 0) {
        put_nodes(w, shard, out, m->block, m->block);
    }
    coh_wire_put_vote(out, &vote);
}

/* A call returns what it is called with, and its trace is a number; block FORGOTTEN is not remembered. */
#define FORGOTTEN 0u

static void play_call(world_t *w, coh_buf_t *out, coh_msg_call_t const *m)
{
    coh_tx_t tx;
    coh_rec_trace_t trace = {.json = coh_bytes("17", 2)};
    w->call_cnt++;
    assert_int_equal(coh_tx_decode(&tx, m->txs.v[m->txs.cnt - 1].raw), COH_TX_OK);
    if (!w->hold_calls) {
        coh_wire_put_call_result(out,
                                 &(coh_msg_call_result_t){.call   = m->call,
                                                          .output = tx.data,
                                                          .traces = {.v = &trace, .cnt = 1}});
    }
}

/* The state has no account: all tries are empty. */
static void play_prove(world_t *w, coh_buf_t *out, coh_msg_prove_t const *m)
{
    static coh_rec_slot_proof_t const slots[] = {{.nodes = {(uint8_t const *)"\xc0", 1}},
                                                 {.nodes = {(uint8_t const *)"\xc0", 1}}};
    assert_true(m->slots.cnt <= COH_CNT(slots));
    w->prove_cnt++;
    if (!w->hold_calls) {
        coh_wire_put_proof(out,
                           &(coh_msg_proof_t){.query  = m->query,
                                              .failed = w->prove_failed,
                                              .nodes = w->wrong_proof ? coh_bytes("\xc2\x81\x80", 3)
                                                                      : coh_bytes("\xc0", 1),
                                              .slots = {.v = slots, .cnt = m->slots.cnt}});
    }
}

static void play_query(world_t *w, coh_buf_t *out, coh_msg_query_t const *m)
{
    if (m->block == FORGOTTEN) {
        coh_wire_put_answer(out, &(coh_msg_answer_t){.query = m->query, .gone = 1});
        return;
    }
    coh_rec_state_value_t values[64];
    assert_true(m->keys.cnt <= 64);
    for (uint32_t i = 0; i < m->keys.cnt; i++) {
        values[i] = (coh_rec_state_value_t){.nonce = w->nonce, .word = {{0, 1, 0, 0}}};
        coh_buf_put(&w->asked, &m->keys.v[i].addr, sizeof(coh_addr_t));
    }
    coh_wire_put_answer(out,
                        &(coh_msg_answer_t){.query  = m->query,
                                            .block  = 0,
                                            .values = {.v = values, .cnt = m->keys.cnt}});
}

static void play_recover(coh_buf_t *out, coh_msg_recover_t const *m)
{
    coh_rec_recovered_tx_t txs[256];
    coh_buf_t authorities[256] = {COH_BUF_INIT};
    for (uint32_t i = 0; i < m->txs.cnt; i++) {
        coh_tx_t tx;
        coh_tx_recover_t r = {.tx = &tx, .err = coh_tx_decode(&tx, m->txs.v[i].raw)};
        coh_buf_t scratch  = COH_BUF_INIT;
        (void)coh_tx_recover_batch(&r, 1, &scratch);
        coh_buf_free(&scratch);
        txs[i] = (coh_rec_recovered_tx_t){.err = r.err, .hash = r.hash, .sender = r.sender};
        coh_tx_find_authorities(&authorities[i], &tx);
        txs[i].authorities = coh_buf_bytes(&authorities[i]);
    }
    coh_wire_put_recovered(
        out, &(coh_msg_recovered_t){.job = m->job, .txs = {.v = txs, .cnt = m->txs.cnt}});
    for (uint32_t i = 0; i < m->txs.cnt; i++) {
        coh_buf_free(&authorities[i]);
    }
}

static bool decision_on_disk(world_t *w, uint64_t block)
{
    uint8_t key[COH_DECISION_KEY_SZ];
    coh_decision_key(key, block);
    coh_buf_t value = COH_BUF_INIT;
    bool there =
        w->kv->ops->get(w->kv, COH_KV_BLOCKS, coh_bytes(key, sizeof(key)), &value) == COH_OK;
    coh_buf_free(&value);
    return there;
}

/* Carries out what lies in shard's outbox and sends the answers back. True if there was something. */
static bool play_shard(world_t *w, uint32_t shard)
{
    coh_buf_t in           = w->outboxes[shard + 1];
    w->outboxes[shard + 1] = COH_BUF_INIT;
    coh_buf_t out          = COH_BUF_INIT;
    coh_envelope_t envelope;
    if (in.n == 0) {
        return false;
    }
    assert_int_equal(coh_wire_reader_begin(w->reader, coh_buf_bytes(&in), &envelope), COH_OK);
    assert_int_equal(envelope.sender, 0);
    coh_msg_t m;
    coh_err_t err;
    while ((err = coh_wire_reader_next(w->reader, &m)) == COH_OK) {
        coh_buf_t *to = frame_from(&out, shard);
        switch (m.id) {
        case COH_MSG_WELCOME: play_welcome(w, shard, to, &m.u.welcome); break;
        case COH_MSG_REFUSE: w->refused = true; break;
        case COH_MSG_BLOCK: play_block(w, shard, to, &m.u.block); break;
        case COH_MSG_WAVE: play_wave(w, shard, to, &m.u.wave); break;
        case COH_MSG_PREPARE: play_prepare(w, shard, to, &m.u.prepare); break;
        case COH_MSG_COMMIT:
            w->commits_before_write += decision_on_disk(w, m.u.commit.block) ? 0 : 1;
            w->commits[shard] = m.u.commit.block;
            coh_wire_put_ack(to, &(coh_msg_ack_t){.block = m.u.commit.block});
            break;
        case COH_MSG_ABORT:
            w->aborts[shard]++;
            coh_wire_put_ack(to, &(coh_msg_ack_t){.block = m.u.abort.block, .aborted = 1});
            break;
        case COH_MSG_QUERY: play_query(w, to, &m.u.query); break;
        case COH_MSG_CALL: play_call(w, to, &m.u.call); break;
        case COH_MSG_PROVE: play_prove(w, to, &m.u.prove); break;
        case COH_MSG_RECOVER: play_recover(to, &m.u.recover); break;
        case COH_MSG_STOP: coh_wire_put_stopped(to, &(coh_msg_stopped_t){0}); break;
        default: fail_msg("a shard got %s", coh_wire_msg_name((uint32_t)m.id));
        }
    }
    assert_int_equal(err, COH_ENOTFOUND);
    coh_node_t *node = coh_coordinator_node(w->c);
    node->ops->on_frame(node, shard + 1, coh_buf_bytes(&out));
    coh_buf_free(&in);
    coh_buf_free(&out);
    return true;
}

static bool play_disk(world_t *w)
{
    coh_disk_req_t *req = w->disk_first;
    if (req == NULL) {
        return false;
    }
    w->disk_first = req->next;
    if (w->disk_first == NULL) {
        w->disk_last = &w->disk_first;
    }
    if (w->fail_disk && (req->kind == COH_DISK_WRITE || req->kind == COH_DISK_WRITE_SYNC)) {
        req->err = COH_EIO;
    } else {
        coh_disk_req_carry_out(req, w->kv, true);
    }
    coh_node_t *node = coh_coordinator_node(w->c);
    node->ops->on_disk_done(node, req);
    return true;
}

/* Runs until nothing moves any more. */
static void run(world_t *w)
{
    coh_node_t *node = coh_coordinator_node(w->c);
    for (int i = 0; i < 10000; i++) {
        bool any = node->ops->on_tick(node);
        any |= node->ops->work(node, 0);
        for (uint32_t s = 0; s < SHARDS; s++) {
            any |= play_shard(w, s);
        }
        any |= play_disk(w);
        w->now_us += 100;
        if (!any) {
            return;
        }
    }
    fail_msg("it does not come to rest");
}

static void run_ms(world_t *w, uint64_t ms)
{
    w->now_us += ms * 1000;
    run(w);
}

static char const *failure(world_t *w)
{
    coh_node_t *node = coh_coordinator_node(w->c);
    return node->ops->failed(node);
}

static void hello(world_t *w, uint32_t shard)
{
    coh_buf_t out       = COH_BUF_INIT;
    coh_msg_hello_t msg = {
        .build    = coh_bytes(COH_VERSION, strlen(COH_VERSION)),
        .chain_id = 1337,
        .genesis  = w->hello_genesis,
        .config   = coh_config_hash(&w->config),
        .prepared = w->hello_prepared,
    };
    coh_wire_put_hello(frame_from(&out, shard), &msg);
    coh_node_t *node = coh_coordinator_node(w->c);
    node->ops->on_frame(node, shard + 1, coh_buf_bytes(&out));
    coh_buf_free(&out);
}

static void open_coordinator(world_t *w)
{
    coh_buf_t text = COH_BUF_INIT;
    coh_err_t err =
        coh_coordinator_new(&w->c, &w->config, &w->genesis, &w->env, w->kv, &w->sink, &text);
    if (err != COH_OK) {
        fail_msg("%.*s", (int)text.n, (char const *)text.p);
    }
    coh_buf_free(&text);
}

static void close_coordinator(world_t *w)
{
    coh_node_t *node = coh_coordinator_node(w->c);
    node->ops->free(node);
    while (w->disk_first != NULL) {
        coh_disk_req_t *req = w->disk_first;
        w->disk_first       = req->next;
        coh_disk_req_free(req);
    }
    w->disk_last = &w->disk_first;
    for (uint32_t r = 0; r <= SHARDS; r++) {
        coh_buf_free(&w->outboxes[r]);
    }
}

static int setup(void **state)
{
    world_t *w              = coh_calloc(1, sizeof(*w));
    w->env.rank_cnt         = 1 + SHARDS;
    w->env.mono_us          = env_mono_us;
    w->env.unix_us          = env_unix_us;
    w->env.outbox           = env_outbox;
    w->env.disk             = env_disk;
    w->env.wake_workers     = env_wake;
    w->env.wake_node        = env_wake;
    w->env.metrics          = coh_metrics_new(0);
    w->sink.reply           = sink_reply;
    w->sink.publish         = sink_publish;
    w->sink.has_subscribers = sink_has_subscribers;
    w->disk_last            = &w->disk_first;
    w->now_us               = 1000000;
    coh_config_default(&w->config);
    w->genesis =
        (coh_genesis_t){.chain_id = 1337, .gas_limit = 30000000, .base_fee = coh_u256(1000000000)};
    for (int f = COH_FORK_SHANGHAI; f < COH_FORK_CNT; f++) {
        w->genesis.fork_at[f] = f == COH_FORK_SHANGHAI ? 0 : UINT64_MAX;
    }
    coh_buf_t text = COH_BUF_INIT;
    assert_int_equal(coh_genesis_finish(&w->genesis, &text), COH_OK);
    w->hello_genesis = w->genesis.identity;
    assert_int_equal(coh_kv_mem_open(&w->kv), COH_OK);
    w->reader = coh_wire_reader_new();
    w->ops    = coh_op_reader_new();
    open_coordinator(w);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world_t *w = *state;
    close_coordinator(w);
    coh_metrics_free(w->env.metrics);
    w->kv->ops->close(w->kv);
    coh_wire_reader_free(w->reader);
    coh_op_reader_free(w->ops);
    coh_genesis_free(&w->genesis);
    coh_buf_free(&w->reply);
    coh_buf_free(&w->published);
    coh_buf_free(&w->asked);
    free(w);
    return 0;
}

/* begin_with takes another genesis, of a chain that begins with fork. */
static void begin_with(world_t *w, coh_fork_t fork)
{
    coh_buf_t text = COH_BUF_INIT;
    close_coordinator(w);
    w->kv->ops->close(w->kv);
    coh_genesis_free(&w->genesis);
    w->genesis =
        (coh_genesis_t){.chain_id = 1337, .gas_limit = 30000000, .base_fee = coh_u256(1000000000)};
    for (int f = 0; f < COH_FORK_CNT; f++) {
        w->genesis.fork_at[f] = f <= (int)fork ? 0 : UINT64_MAX;
    }
    assert_int_equal(coh_genesis_finish(&w->genesis, &text), COH_OK);
    w->hello_genesis = w->genesis.identity;
    assert_int_equal(coh_kv_mem_open(&w->kv), COH_OK);
    open_coordinator(w);
}

static void start(world_t *w)
{
    hello(w, 0);
    hello(w, 1);
    run(w);
    assert_null(failure(w));
    assert_true(coh_coordinator_is_ready(w->c));
}

/* ---- clients ---- */

static void request(world_t *w, coh_buf_t *bytes)
{
    uint32_t before = w->reply_cnt;
    coh_coordinator_on_request(w->c, 7000 + before, coh_buf_bytes(bytes));
    coh_buf_free(bytes);
}

static coh_op_answer_t answer(world_t *w, coh_op_id_t op)
{
    coh_op_answer_t a;
    assert_int_equal(coh_op_read_answer(w->ops, &a, op, coh_buf_bytes(&w->reply)), COH_OK);
    return a;
}

/* Submits transfers of nonces first..first+cnt-1 from who, waits for the verdicts, and expects all to be the same. */
static void submit(world_t *w,
                   uint32_t who,
                   uint64_t first,
                   uint32_t cnt,
                   coh_tx_err_t expected,
                   coh_hash_t *hashes)
{
    coh_buf_t raw = COH_BUF_INIT;
    coh_bytes_t raws[32];
    size_t ends[33] = {0};
    for (uint32_t i = 0; i < cnt; i++) {
        put_transfer(&raw, who, first + i, hashes != NULL ? &hashes[i] : NULL);
        ends[i + 1] = raw.n;
    }
    for (uint32_t i = 0; i < cnt; i++) {
        raws[i] = coh_bytes(raw.p + ends[i], ends[i + 1] - ends[i]);
    }
    coh_buf_t bytes = COH_BUF_INIT;
    coh_op_put_submit_request(&bytes, &(coh_op_submit_request_t){.raws = {.v = raws, .cnt = cnt}});
    uint32_t before = w->reply_cnt;
    request(w, &bytes);
    coh_buf_free(&raw);
    run(w);
    assert_int_equal(w->reply_cnt, before + 1);
    coh_op_answer_t a = answer(w, COH_OP_SUBMIT);
    assert_int_equal(a.err, COH_OK);
    assert_int_equal(a.u.submit.txs.cnt, cnt);
    for (uint32_t i = 0; i < cnt; i++) {
        assert_int_equal(a.u.submit.txs.v[i].err, expected);
    }
}

static coh_op_receipt_answer_t receipt(world_t *w, coh_hash_t const *hash)
{
    coh_buf_t bytes = COH_BUF_INIT;
    coh_op_put_receipt_request(&bytes, &(coh_op_receipt_request_t){.hash = *hash});
    request(w, &bytes);
    run(w);
    coh_op_answer_t a = answer(w, COH_OP_RECEIPT);
    assert_int_equal(a.err, COH_OK);
    return a.u.receipt;
}

/* ---- cases ---- */

static void coordinator_commits_what_clients_submit(void **state)
{
    world_t *w = *state;
    start(w);
    coh_hash_t hashes[5];
    submit(w, 0, 0, 5, COH_TX_OK, hashes);
    run_ms(w, 100);
    assert_null(failure(w));
    assert_int_equal(coh_coordinator_head(w->c), 1);
    assert_int_equal(w->commits[0], 1);
    assert_int_equal(w->commits[1], 1);
    assert_int_equal(w->commits_before_write, 0);
    assert_memory_equal(w->published.p, "BR", 2);
    coh_op_receipt_answer_t r = receipt(w, &hashes[3]);
    assert_int_equal(r.state, COH_OP_TX_COMMITTED);
    assert_int_equal(r.receipts.cnt, 1);
    assert_int_equal(r.receipts.v[0].tx_idx, 3);
    assert_int_equal(r.receipts.v[0].cumulative_gas, 4 * TX_GAS);
    coh_addr_t from = coh_test_secret_addr(0);
    assert_memory_equal(r.receipts.v[0].from.b, from.b, 20);
    /* Genesis used no gas: block 1's base fee is 7/8 of genesis' 1 gwei (EIP-1559). */
    assert_int_equal(r.receipts.v[0].effective_price.w[0], 875000001);
    submit(w, 0, 0, 1, COH_TX_KNOWN, NULL);
}

/* Expected roots: coh_root_list and coh_root_sorted, over encodings spelt out here. */
static void coordinator_seals_roots_of_input_and_results(void **state)
{
    world_t *w = *state;
    start(w);
    coh_hash_t hashes[2];
    submit(w, 3, 0, 2, COH_TX_OK, hashes);
    run_ms(w, 100);
    coh_buf_t bytes = COH_BUF_INIT;
    coh_op_put_block_request(&bytes, &(coh_op_block_request_t){.number = 1});
    request(w, &bytes);
    coh_op_answer_t a = answer(w, COH_OP_BLOCK);
    assert_int_equal(a.err, COH_OK);
    coh_header_t h;
    coh_fork_t fork;
    assert_int_equal(coh_header_decode(&h, &fork, a.u.block.header), COH_OK);
    assert_int_equal(fork, COH_FORK_SHANGHAI);
    coh_hash_t want;
    coh_bytes_t values[2];
    uint8_t receipts[2][268] = {{0}};
    for (uint32_t i = 0; i < 2; i++) { /* type 2, [1, gas so far, 256 zeros, []] */
        uint64_t gas = (i + 1) * (uint64_t)TX_GAS;
        assert_true(gas < 65536);
        memcpy(receipts[i], "\x02\xf9\x01\x08\x01\x82", 6);
        receipts[i][6] = (uint8_t)(gas >> 8);
        receipts[i][7] = (uint8_t)gas;
        memcpy(receipts[i] + 8, "\xb9\x01\x00", 3);
        receipts[i][267] = 0xc0;
        values[i]        = coh_bytes(receipts[i], sizeof(receipts[i]));
    }
    coh_root_list(&want, values, 2);
    assert_memory_equal(h.receipts_root.b, want.b, 32);
    coh_buf_t raws[2] = {COH_BUF_INIT, COH_BUF_INIT};
    for (uint32_t i = 0; i < 2; i++) {
        put_transfer(&raws[i], 3, i, NULL);
        values[i] = coh_buf_bytes(&raws[i]);
    }
    coh_root_list(&want, values, 2);
    assert_memory_equal(h.tx_root.b, want.b, 32);
    coh_buf_free(&raws[0]);
    coh_buf_free(&raws[1]);
    /* The sender's home has changed its account. */
    uint32_t home              = w->blocks[0][1].homed_cnt != 0 ? 0 : 1;
    uint8_t key[32]            = {0};
    uint8_t value[40]          = {0xa7, 0, 0, 0, 0, 0, 0, 0, 1};
    uint32_t bucket            = bucket_of_shard(w, home);
    key[0]                     = (uint8_t)(bucket >> 4);
    key[1]                     = (uint8_t)(bucket << 4);
    coh_root_item_t const leaf = {.key   = coh_bytes(key, sizeof(key)),
                                  .value = coh_bytes(value, sizeof(value))};
    assert_int_equal(w->blocks[1 - home][1].homed_cnt, 0);
    coh_root_sorted(&want, &leaf, 1);
    assert_memory_equal(h.state_root.b, want.b, 32);
    assert_memory_equal(h.parent_hash.b, w->genesis.hash.b, 32);
    assert_int_equal(h.gas_used, 2 * TX_GAS);
    coh_keccak256(&want, a.u.block.header.p, a.u.block.header.n);
    assert_memory_equal(a.u.block.hash.b, want.b, 32);
}

static void coordinator_refuses_nodes_of_others(void **state)
{
    world_t *w = *state;
    start(w);
    w->wrong_nodes = true;
    submit(w, 0, 0, 4, COH_TX_OK, NULL);
    submit(w, 1, 0, 4, COH_TX_OK, NULL);
    submit(w, 2, 0, 4, COH_TX_OK, NULL);
    submit(w, 3, 0, 4, COH_TX_OK, NULL);
    run_ms(w, 100);
    assert_true(w->blocks[0][1].homed_cnt != 0); /* so shard 0 spoke */
    assert_non_null(strstr(failure(w), "NODES"));
    assert_int_equal(coh_coordinator_head(w->c), 0);
}

static void coordinator_refuses_another_state(void **state)
{
    world_t *w     = *state;
    w->wrong_state = true;
    hello(w, 0);
    hello(w, 1);
    run_ms(w, 100);
    assert_false(coh_coordinator_is_ready(w->c));
    assert_non_null(strstr(failure(w), "state has root"));
}

static void coordinator_asks_a_second_wave_after_messages_between_shards(void **state)
{
    world_t *w       = *state;
    w->sends_effects = true;
    start(w);
    submit(w, 0, 0, 3, COH_TX_OK, NULL);
    run_ms(w, 100);
    assert_null(failure(w));
    assert_int_equal(coh_coordinator_head(w->c), 1);
    assert_int_equal(w->waves, 2); /* one for each shard */
}

static void coordinator_retries_a_refused_block(void **state)
{
    world_t *w      = *state;
    w->refuse_block = 1;
    w->refuse_cnt   = 2;
    start(w);
    coh_hash_t hashes[4];
    submit(w, 0, 0, 4, COH_TX_OK, hashes);
    run_ms(w, 100);
    run_ms(w, 100);
    run_ms(w, 100);
    assert_null(failure(w));
    assert_int_equal(w->aborts[0], 2);
    assert_int_equal(w->aborts[1], 2);
    assert_int_equal(w->attempt, 2);
    assert_int_equal(coh_coordinator_head(w->c), 1);
    assert_int_equal(receipt(w, &hashes[3]).receipts.v[0].tx_idx, 3);
}

static void coordinator_fails_when_a_block_is_refused_three_times(void **state)
{
    world_t *w      = *state;
    w->refuse_block = 1;
    w->refuse_cnt   = 9;
    start(w);
    submit(w, 0, 0, 1, COH_TX_OK, NULL);
    run_ms(w, 100);
    run_ms(w, 100);
    run_ms(w, 100);
    assert_non_null(failure(w));
    assert_non_null(strstr(failure(w), "rank 1 refused block 1"));
    assert_int_equal(w->refuse_cnt, 6);
    assert_int_equal(coh_coordinator_head(w->c), 0);
}

static void coordinator_reports_what_is_left_out(void **state)
{
    world_t *w     = *state;
    w->bad_idx     = 1;
    w->bad_verdict = COH_TX_FUNDS;
    start(w);
    coh_hash_t hashes[2];
    submit(w, 0, 0, 2, COH_TX_OK, hashes);
    run_ms(w, 100);
    assert_null(failure(w));
    coh_op_receipt_answer_t r = receipt(w, &hashes[1]);
    assert_int_equal(r.state, COH_OP_TX_DROPPED);
    assert_int_equal(r.verdict, COH_TX_FUNDS);
    assert_int_equal(receipt(w, &hashes[0]).state, COH_OP_TX_COMMITTED);
    assert_memory_equal(w->published.p, "DBR", 3);
    coh_hash_t unknown = {{1}};
    assert_int_equal(receipt(w, &unknown).state, COH_OP_TX_UNKNOWN);
}

/* submit_raw submits one transaction and returns its verdict. */
static coh_tx_err_t submit_raw(world_t *w, coh_bytes_t raw)
{
    coh_buf_t bytes = COH_BUF_INIT;
    coh_op_put_submit_request(&bytes, &(coh_op_submit_request_t){.raws = {.v = &raw, .cnt = 1}});
    request(w, &bytes);
    run(w);
    coh_op_answer_t a = answer(w, COH_OP_SUBMIT);
    assert_int_equal(a.err, COH_OK);
    return (coh_tx_err_t)a.u.submit.txs.v[0].err;
}

/* EIP-7702: who signed an authorization is a nonce further once it is used, which only his shard knows. It is asked, and what waits in the pool for that
   nonce goes on. */
static void coordinator_asks_for_accounts_whose_authorization_was_used(void **state)
{
    world_t *w = *state;
    begin_with(w, COH_FORK_PRAGUE);
    start(w);
    coh_hash_t waiting[1];
    submit(w, 1, 1, 1, COH_TX_OK, waiting);
    run_ms(w, 200);
    assert_int_equal(coh_coordinator_head(w->c), 0);

    coh_tx_auth_t auth   = {.chain_id = coh_u256(1337), .addr = {{0xbb}}};
    coh_buf_t auths      = COH_BUF_INIT;
    coh_buf_t raw        = COH_BUF_INIT;
    coh_addr_t const who = coh_test_secret_addr(1);
    coh_tx_t tx          = {.type         = COH_TX_SET_CODE,
                            .has_chain_id = true,
                            .chain_id     = 1337,
                            .gas_limit    = 46000,
                            .max_fee      = coh_u256(PRICE),
                            .to           = {{0xaa}},
                            .auth_cnt     = 1};
    uint8_t secret[32];
    coh_test_secret(secret, 1);
    assert_int_equal(coh_tx_auth_sign(&auth, secret), COH_OK);
    coh_tx_auth_put(&auths, &auth);
    tx.auth_list = coh_buf_bytes(&auths);
    coh_test_secret(secret, 0);
    assert_int_equal(coh_tx_sign(&tx, secret), COH_OK);
    coh_tx_encode(&raw, &tx);
    assert_int_equal(submit_raw(w, coh_buf_bytes(&raw)), COH_TX_OK);
    coh_buf_clear(&w->asked);
    w->nonce = 1;
    run_ms(w, 400);
    assert_null(failure(w));
    assert_int_equal(w->asked.n, sizeof(who));
    assert_memory_equal(w->asked.p, &who, sizeof(who));
    assert_int_equal(coh_coordinator_head(w->c), 2);
    for (size_t i = 0; i < COH_CNT(waiting); i++) {
        assert_int_equal(receipt(w, &waiting[i]).state, COH_OP_TX_COMMITTED);
    }
    coh_buf_free(&auths);
    coh_buf_free(&raw);
}

/* Likewise if a transaction is left out for a nonce that is past. */
static void coordinator_asks_for_accounts_that_have_moved_on(void **state)
{
    world_t *w     = *state;
    w->bad_idx     = 0;
    w->bad_verdict = COH_TX_NONCE_TOO_LOW;
    w->bad_block   = 1;
    start(w);
    coh_hash_t hashes[2];
    submit(w, 0, 2, 1, COH_TX_OK, &hashes[1]);
    submit(w, 0, 0, 1, COH_TX_OK, &hashes[0]);
    w->nonce = 2;
    run_ms(w, 400);
    assert_null(failure(w));
    assert_int_equal(receipt(w, &hashes[0]).verdict, COH_TX_NONCE_TOO_LOW);
    assert_int_equal(receipt(w, &hashes[1]).state, COH_OP_TX_COMMITTED);
}

/* A first transaction whose nonce is above what was known of its sender some blocks ago asks again before it waits. */
static void coordinator_asks_before_a_nonce_waits(void **state)
{
    world_t *w = *state;
    start(w);
    submit(w, 0, 0, 1, COH_TX_OK, NULL);
    run_ms(w, 200);
    assert_int_equal(coh_coordinator_head(w->c), 1);
    w->nonce = 5;
    coh_hash_t hash;
    submit(w, 0, 5, 1, COH_TX_OK, &hash);
    run_ms(w, 200);
    assert_int_equal(receipt(w, &hash).state, COH_OP_TX_COMMITTED);
}

static void coordinator_fails_when_the_decision_cannot_be_written(void **state)
{
    world_t *w = *state;
    start(w);
    w->fail_disk = true;
    submit(w, 0, 0, 1, COH_TX_OK, NULL);
    run_ms(w, 100);
    assert_non_null(failure(w));
    assert_int_equal(w->commits[0], 0);
    assert_int_equal(w->aborts[0], 0); /* in doubt: the log decides at the next start */
    assert_int_equal(coh_coordinator_head(w->c), 0);
}

static void coordinator_fails_on_gas_that_changes_between_settlement_and_vote(void **state)
{
    world_t *w   = *state;
    w->gas_delta = 1;
    start(w);
    submit(w, 0, 0, 1, COH_TX_OK, NULL);
    run_ms(w, 100);
    assert_non_null(failure(w));
    assert_non_null(strstr(failure(w), "gas"));
}

static void coordinator_answers_hostile_requests_with_errors(void **state)
{
    world_t *w = *state;
    start(w);
    static uint8_t const junk[][4] = {
        {0xc1, 0, 0, 0}, {0x91, 0x7f, 0, 0}, {0x92, 1, 0xdd, 0xff}, {0x91, 6, 0, 0}};
    for (size_t i = 0; i < COH_CNT(junk); i++) {
        coh_buf_t bytes = COH_BUF_INIT;
        coh_buf_put(&bytes, junk[i], sizeof(junk[i]));
        request(w, &bytes);
        assert_int_equal(w->reply_cnt, i + 1);
        assert_true(answer(w, COH_OP_HEAD).err != COH_OK);
    }
    /* Bytes that are no transaction, inside a good request. */
    coh_buf_t bytes    = COH_BUF_INIT;
    coh_bytes_t raws[] = {coh_bytes("\x02garbage", 8), coh_bytes(NULL, 0)};
    coh_op_put_submit_request(&bytes, &(coh_op_submit_request_t){.raws = {.v = raws, .cnt = 2}});
    request(w, &bytes);
    run(w);
    coh_op_answer_t a = answer(w, COH_OP_SUBMIT);
    assert_int_equal(a.u.submit.txs.v[0].err, COH_TX_MALFORMED);
    assert_int_equal(a.u.submit.txs.v[1].err, COH_TX_MALFORMED);
    assert_null(failure(w));
}

static void coordinator_fails_on_malformed_frames_with_rank_and_message(void **state)
{
    world_t *w = *state;
    start(w);
    coh_buf_t frame = COH_BUF_INIT;
    coh_wire_put_ack(frame_from(&frame, 1), &(coh_msg_ack_t){.block = 9});
    coh_node_t *node = coh_coordinator_node(w->c);
    node->ops->on_frame(node, 2, coh_buf_bytes(&frame));
    coh_buf_free(&frame);
    assert_non_null(strstr(failure(w), "rank 2: ACK"));
}

static void coordinator_refuses_a_shard_of_another_genesis(void **state)
{
    world_t *w = *state;
    w->hello_genesis.b[0] ^= 1;
    hello(w, 1);
    (void)play_shard(w, 1);
    assert_true(w->refused);
    assert_non_null(strstr(failure(w), "rank 2: genesis"));
}

static void reopen(world_t *w)
{
    close_coordinator(w);
    open_coordinator(w);
}

static void coordinator_recovers_head_receipts_and_index(void **state)
{
    world_t *w = *state;
    start(w);
    coh_hash_t hashes[3];
    submit(w, 0, 0, 3, COH_TX_OK, hashes);
    run_ms(w, 100);
    assert_int_equal(coh_coordinator_head(w->c), 1);
    for (int round = 0; round < 2; round++) { /* the second time the index comes from its table */
        reopen(w);
        assert_int_equal(coh_coordinator_head(w->c), 1);
        w->hello_prepared = 1;
        start(w);
        coh_op_receipt_answer_t r = receipt(w, &hashes[2]);
        assert_int_equal(r.state, COH_OP_TX_COMMITTED);
        assert_int_equal(r.receipts.v[0].cumulative_gas, 3 * TX_GAS);
        assert_int_equal(r.receipts.v[0].effective_price.w[0], 875000001);
        run_ms(w, 60000);
    }
    /* It goes on from there. */
    submit(w, 1, 0, 1, COH_TX_OK, NULL);
    run_ms(w, 100);
    assert_int_equal(coh_coordinator_head(w->c), 2);
}

static void coordinator_refuses_a_shard_that_lost_its_state(void **state)
{
    world_t *w = *state;
    start(w);
    submit(w, 0, 0, 1, COH_TX_OK, NULL);
    run_ms(w, 100);
    reopen(w);
    hello(w, 0);
    hello(w, 1);
    assert_non_null(failure(w));
    assert_non_null(strstr(failure(w), "lost its state"));
}

static void coordinator_finds_damage_in_the_log(void **state)
{
    world_t *w = *state;
    start(w);
    submit(w, 0, 0, 1, COH_TX_OK, NULL);
    run_ms(w, 100);
    uint8_t key[COH_DECISION_KEY_SZ];
    coh_decision_key(key, 1);
    coh_buf_t value = COH_BUF_INIT;
    assert_int_equal(w->kv->ops->get(w->kv, COH_KV_BLOCKS, coh_bytes(key, sizeof(key)), &value),
                     COH_OK);
    value.p[value.n / 2] ^= 1;
    coh_kv_batch_t batch;
    coh_kv_batch_init(&batch);
    coh_kv_batch_put(&batch, COH_KV_BLOCKS, coh_bytes(key, sizeof(key)), coh_buf_bytes(&value));
    assert_int_equal(w->kv->ops->write(w->kv, &batch, true), COH_OK);
    coh_kv_batch_free(&batch);
    coh_buf_free(&value);
    coh_coordinator_t *c = NULL;
    coh_buf_t text       = COH_BUF_INIT;
    assert_int_equal(
        coh_coordinator_new(&c, &w->config, &w->genesis, &w->env, w->kv, &w->sink, &text),
        COH_ECORRUPT);
    assert_true(text.n > 0);
    coh_buf_free(&text);
}

static void coordinator_stops_cleanly(void **state)
{
    world_t *w = *state;
    start(w);
    coh_hash_t hash;
    submit(w, 0, 0, 1, COH_TX_OK, &hash);
    run_ms(w, 100);
    coh_node_t *node = coh_coordinator_node(w->c);
    node->ops->stop(node);
    run(w);
    assert_true(node->ops->finished(node));
    assert_null(failure(w));
    /* The index is on disk. */
    coh_buf_t value = COH_BUF_INIT;
    assert_int_equal(w->kv->ops->get(w->kv, COH_KV_TX_INDEX, coh_bytes(hash.b, 32), &value),
                     COH_OK);
    assert_int_equal(coh_load_u64_le(value.p), 1);
    coh_buf_free(&value);
    coh_buf_t bytes = COH_BUF_INIT;
    coh_op_put_head_request(&bytes, &(coh_op_head_request_t){0});
    request(w, &bytes);
    assert_int_equal(answer(w, COH_OP_HEAD).err, COH_ECLOSED);
}

static void import_done(void *arg, coh_import_result_t const *result)
{
    world_t *w                  = arg;
    w->results[w->result_cnt++] = *result;
}

static coh_err_t import_block(world_t *w, uint64_t number, uint32_t tx_cnt)
{
    coh_buf_t raw = COH_BUF_INIT;
    coh_bytes_t raws[8];
    coh_addr_t senders[8];
    size_t ends[9] = {0};
    for (uint32_t i = 0; i < tx_cnt; i++) {
        put_transfer(&raw, 5, number * 8 + i, NULL);
        senders[i]  = coh_test_secret_addr(5);
        ends[i + 1] = raw.n;
    }
    for (uint32_t i = 0; i < tx_cnt; i++) {
        raws[i] = coh_bytes(raw.p + ends[i], ends[i + 1] - ends[i]);
    }
    coh_import_block_t b = {
        .number    = number,
        .fork      = COH_FORK_SHANGHAI,
        .timestamp = 1700000000,
        .gas_limit = 30000000,
        .base_fee  = coh_u256(7),
        .tx_cnt    = tx_cnt,
        .raws      = raws,
        .senders   = senders,
    };
    coh_err_t err = coh_coordinator_import(w->c, &b, import_done, w);
    coh_buf_free(&raw);
    return err;
}

static void coordinator_imports_blocks_in_order(void **state)
{
    world_t *w = *state;
    start(w);
    assert_int_equal(import_block(w, 0, 1), COH_EINVAL);
    assert_int_equal(import_block(w, 2, 1), COH_EINVAL);
    assert_int_equal(import_block(w, 1, 1), COH_OK);
    assert_int_equal(import_block(w, 3, 1), COH_EINVAL);
    assert_int_equal(import_block(w, 2, 2), COH_OK);
    assert_int_equal(import_block(w, 3, 0), COH_OK);
    run(w);
    assert_null(failure(w));
    assert_int_equal(coh_coordinator_head(w->c), 3);
    assert_int_equal(w->result_cnt, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(w->results[i].err, COH_OK);
        assert_int_equal(w->results[i].number, 1 + i);
        assert_int_equal(w->results[i].gas_used, i == 0 ? TX_GAS : i == 1 ? 2 * TX_GAS : 0);
    }
}

static void coordinator_gives_up_an_invalid_import_and_those_above(void **state)
{
    world_t *w = *state;
    start(w);
    w->bad_idx     = 1;
    w->bad_verdict = COH_TX_NONCE_TOO_LOW;
    assert_int_equal(import_block(w, 1, 1), COH_OK);
    assert_int_equal(import_block(w, 2, 3), COH_OK);
    assert_int_equal(import_block(w, 3, 1), COH_OK);
    run(w);
    assert_null(failure(w));
    assert_int_equal(coh_coordinator_head(w->c), 1);
    assert_int_equal(w->result_cnt, 3);
    assert_int_equal(w->results[0].err, COH_OK);
    assert_int_equal(w->results[1].err, COH_EINVAL);
    assert_int_equal(w->results[1].fault.idx, 1);
    assert_int_equal(w->results[1].fault.tx_err, COH_TX_NONCE_TOO_LOW);
    assert_int_equal(w->results[2].err, COH_EINVAL);
    assert_int_equal(w->results[2].fault.err, COH_BLOCK_UNKNOWN_PARENT);
    w->bad_verdict = COH_TX_OK;
    assert_int_equal(import_block(w, 2, 1), COH_OK);
    run(w);
    assert_int_equal(coh_coordinator_head(w->c), 2);
}

static void coordinator_answers_status_as_json(void **state)
{
    world_t *w = *state;
    start(w);
    coh_buf_t json = COH_BUF_INIT;
    coh_coordinator_status_json(w->c, &json);
    coh_buf_put_u8(&json, 0);
    assert_non_null(strstr((char const *)json.p, "\"chain_id\":1337"));
    assert_non_null(strstr((char const *)json.p, "\"state\":\"running\""));
    assert_non_null(strstr((char const *)json.p, "\"burnt\":\"0\""));
    coh_buf_free(&json);
}

static json_int_t integer_at(json_t const *root, char const *a, char const *b, char const *c)
{
    json_t const *v = json_object_get(root, a);
    v               = b != NULL ? json_object_get(v, b) : v;
    v               = c != NULL ? json_object_get(v, c) : v;
    if (!json_is_integer(v)) {
        fail_msg("no integer %s %s %s", a, b != NULL ? b : "", c != NULL ? c : "");
    }
    return json_integer_value(v);
}

/* What the status page shows beside totals: two blocks, and shards that have not reported. */
static void coordinator_status_shows_the_last_blocks(void **state)
{
    world_t *w = *state;
    start(w);
    submit(w, 0, 0, 4, COH_TX_OK, NULL);
    run_ms(w, 100);
    submit(w, 1, 0, 3, COH_TX_OK, NULL);
    run_ms(w, 250);
    assert_int_equal(coh_coordinator_head(w->c), 2);
    coh_buf_t json = COH_BUF_INIT;
    coh_coordinator_status_json(w->c, &json);
    json_t *root = json_loadb((char const *)json.p, json.n, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    assert_int_equal(integer_at(root, "totals", "tx", NULL), 7);
    assert_int_equal(integer_at(root, "totals", "gas", NULL), 7 * TX_GAS);
    assert_int_equal(integer_at(root, "totals", "incarnations", NULL), 0); /* shards say how many */
    assert_int_equal(integer_at(root, "pool", "tx_max", NULL), w->config.pool_tx_max);
    assert_int_equal(integer_at(root, "recent", "blocks", NULL), 2);
    json_t const *blocks = json_object_get(root, "blocks");
    assert_int_equal(json_array_size(blocks), 2);
    static unsigned const cnts[] = {3, 4}; /* the newest first */
    for (unsigned i = 0; i < 2; i++) {
        json_t const *b = json_array_get(blocks, i);
        assert_int_equal(integer_at(b, "number", NULL, NULL), 2 - i);
        assert_int_equal(integer_at(b, "tx", NULL, NULL), cnts[i]);
        assert_int_equal(integer_at(b, "gas_used", NULL, NULL), cnts[i] * TX_GAS);
        json_int_t stages = integer_at(b, "settle_us", NULL, NULL) +
                            integer_at(b, "prepare_us", NULL, NULL) +
                            integer_at(b, "decide_us", NULL, NULL);
        assert_true(stages > 0 && stages < 100000);
    }
    json_int_t uptime = integer_at(root, "uptime_us", NULL, NULL);
    assert_int_equal(integer_at(root, "uptime_s", NULL, NULL), uptime / 1000000);
    json_int_t first  = integer_at(json_array_get(blocks, 1), "committed_us", NULL, NULL);
    json_int_t second = integer_at(json_array_get(blocks, 0), "committed_us", NULL, NULL);
    assert_true(0 < first && first < second && second <= uptime);
    /* A transaction waits for its block to begin, then to be committed. */
    json_t const *waited =
        json_object_get(json_object_get(json_object_get(root, "recent"), "latency_us"), "tx");
    assert_true(integer_at(waited, "p50", NULL, NULL) > 0);
    assert_int_equal(coh_metric_get(w->env.metrics, COH_M_chain_tx_latency), 7);
    json_t const *ranks = json_object_get(root, "ranks");
    assert_int_equal(json_array_size(ranks), SHARDS + 1);
    assert_int_equal(integer_at(json_array_get(ranks, 0), "at_us", NULL, NULL), uptime);
    assert_int_equal(integer_at(json_array_get(ranks, 1), "at_us", NULL, NULL),
                     0); /* no STATS yet */
    json_decref(root);
    coh_buf_free(&json);
}

/* ---- asks ---- */

static _Atomic uint32_t record_cnt;

static void ask_done(void *arg, coh_ask_t *ask)
{
    coh_ask_t **got = arg;
    ask->next       = *got;
    *got            = ask;
}

static void head_told(void *arg, coh_sealed_t *block, coh_block_env_t const *next)
{
    (void)arg;
    assert_int_equal(next->number, block->header.number + 1);
    coh_sealed_free(block);
}

static void pooled_told(void *arg, coh_hash_t const *hash)
{
    (void)arg;
    (void)hash;
}

/* Asks; the answer is the caller's. */
static coh_ask_t *ask(world_t *w, coh_ask_t **got, coh_ask_t *what)
{
    *got = NULL;
    coh_coordinator_ask(w->c, what);
    run(w);
    assert_ptr_equal(*got, what);
    return what;
}

static coh_ask_t *ask_block(world_t *w, coh_ask_t **got, uint64_t number, bool record)
{
    coh_ask_t *a           = coh_ask_new(COH_ASK_BLOCK);
    a->u.block.number      = number;
    a->u.block.want_record = record;
    return ask(w, got, a);
}

static coh_ask_t *ask_hash(world_t *w, coh_ask_t **got, coh_ask_kind_t kind, coh_hash_t const *hash)
{
    coh_ask_t *a = coh_ask_new(kind);
    if (kind == COH_ASK_TX) {
        a->u.tx.hash = *hash;
    } else {
        a->u.block.by_hash = true;
        a->u.block.hash    = *hash;
    }
    return ask(w, got, a);
}

/* What was committed is found by number and by hash, as long as it is in memory and afterwards. */
static void coordinator_answers_asks(void **state)
{
    world_t *w     = *state;
    coh_ask_t *got = NULL;
    coh_hash_t hashes[3];
    coh_hash_t block;
    start(w);
    submit(w, 0, 0, 3, COH_TX_OK, hashes);
    coh_asker_t asker = {.done       = ask_done,
                         .head       = head_told,
                         .pooled     = pooled_told,
                         .arg        = &got,
                         .record_cnt = &record_cnt};
    coh_coordinator_listen(w->c, &asker);
    coh_ask_t *a = ask_hash(w, &got, COH_ASK_TX, &hashes[1]);
    assert_int_equal(a->u.tx.state, COH_ASK_TX_PENDING);
    coh_addr_t sender = coh_test_secret_addr(0);
    assert_memory_equal(a->u.tx.sender.b, sender.b, 20);
    coh_hash_t again;
    coh_keccak256(&again, a->bytes.p, a->bytes.n);
    assert_memory_equal(again.b, hashes[1].b, 32);
    coh_ask_free(a);
    a                   = coh_ask_new(COH_ASK_POOL);
    a->u.pool.max       = 2;
    a->u.pool.bytes_max = 1 << 20;
    a                   = ask(w, &got, a);
    assert_int_equal(a->u.pool.cnt, 2);
    assert_true(a->u.pool.is_cut);
    coh_ask_free(a);
    w->config.block_follow_ms = 0;
    run_ms(w, 100);
    assert_int_equal(coh_coordinator_head(w->c), 1);
    for (int restarted = 0; restarted < 2; restarted++) {
        a = ask_hash(w, &got, COH_ASK_TX, &hashes[1]);
        assert_int_equal(a->u.tx.state, COH_ASK_TX_COMMITTED);
        assert_int_equal(a->u.tx.number, 1);
        assert_int_equal(a->u.tx.idx, 1);
        coh_ask_free(a);
        a = ask_block(w, &got, 1, false);
        assert_int_equal(a->err, COH_OK);
        if (restarted == 0) {
            block = a->u.block.sealed->hash;
        }
        coh_ask_free(a);
        a = ask_block(w, &got, 1, true); /* with its bodies it comes from disk */
        coh_sealed_t *sealed;
        assert_null(a->u.block.sealed);
        assert_int_equal(record_cnt, 1);
        assert_int_equal(coh_seal_restore(&sealed, coh_buf_bytes(&a->bytes)), COH_OK);
        assert_memory_equal(sealed->hash.b, block.b, 32);
        assert_int_equal(sealed->tx_cnt, 3);
        coh_sealed_free(sealed);
        coh_ask_free(a);
        assert_int_equal(record_cnt, 0);
        a = ask_hash(w, &got, COH_ASK_BLOCK, &block);
        assert_int_equal(a->err, COH_OK);
        assert_int_equal(a->u.block.number, 1);
        coh_ask_free(a);
        a = ask_hash(w, &got, COH_ASK_BLOCK, &hashes[1]); /* no block's hash */
        assert_int_equal(a->err, COH_ENOTFOUND);
        coh_ask_free(a);
        a = ask_hash(w, &got, COH_ASK_TX, &block); /* no transaction's hash */
        assert_int_equal(a->u.tx.state, COH_ASK_TX_UNKNOWN);
        coh_ask_free(a);
        assert_int_equal(receipt(w, &block).state, COH_OP_TX_UNKNOWN);
        a = ask_block(w, &got, 0, true); /* the genesis block has no record */
        assert_non_null(a->u.block.sealed);
        coh_ask_free(a);
        a = ask_block(w, &got, 5, false);
        assert_int_equal(a->err, COH_ENOTFOUND);
        coh_ask_free(a);
        a                  = coh_ask_new(COH_ASK_HEADERS);
        a->u.headers.first = 0;
        a->u.headers.cnt   = 3;
        a                  = ask(w, &got, a);
        assert_true(a->u.headers.headers[0].found && a->u.headers.headers[1].found);
        assert_int_equal(a->u.headers.headers[2].found, restarted == 1);
        assert_memory_equal(a->u.headers.headers[1].hash.b, block.b, 32);
        coh_keccak256(
            &again, a->bytes.p + a->u.headers.headers[1].rlp.at, a->u.headers.headers[1].rlp.n);
        assert_memory_equal(again.b, block.b, 32);
        coh_ask_free(a);
        if (restarted ==
            0) { /* two more blocks, so that block 1 is not even the head of the next start */
            submit(w, 1, 0, 1, COH_TX_OK, NULL);
            run_ms(w, 100);
            coh_node_t *node = coh_coordinator_node(w->c);
            node->ops->stop(node);
            run(w);
            assert_true(node->ops->finished(node));
            a = ask_block(w, &got, 1, false);
            assert_int_equal(a->err, COH_ECLOSED);
            coh_ask_free(a);
            close_coordinator(w);
            w->hello_prepared = 2;
            open_coordinator(w);
            start(w);
            coh_coordinator_listen(w->c, &asker);
            w->config.block_follow_ms = 0;
        }
    }
}

static coh_ask_t *new_call(coh_bytes_t raw)
{
    coh_ask_t *a        = coh_ask_new(COH_ASK_CALL);
    a->u.call.txs       = coh_calloc(1, sizeof(*a->u.call.txs));
    a->u.call.m.txs.cnt = 1;
    a->u.call.m.txs.v   = a->u.call.txs;
    coh_buf_put(&a->bytes, raw.p, raw.n);
    a->u.call.txs[0].raw = coh_buf_bytes(&a->bytes);
    return a;
}

static coh_ask_t *new_proof(uint32_t slot_cnt)
{
    coh_ask_t *a        = coh_ask_new(COH_ASK_PROOF);
    a->u.proof.block    = COH_BLOCK_LATEST;
    a->u.proof.addr     = (coh_addr_t){{0xee}};
    a->u.proof.slot_cnt = slot_cnt;
    a->u.proof.slots    = coh_calloc(slot_cnt + 1u, sizeof(*a->u.proof.slots));
    a->u.proof.slots[0] = coh_u256(7);
    return a;
}

/* A proof comes back checked, whatever the shard sends; none is left without an answer. */
static void coordinator_brings_proofs(void **state)
{
    world_t *w     = *state;
    coh_ask_t *got = NULL;
    start(w);
    coh_asker_t asker = {.done       = ask_done,
                         .head       = head_told,
                         .pooled     = pooled_told,
                         .arg        = &got,
                         .record_cnt = &record_cnt};
    coh_coordinator_listen(w->c, &asker);
    coh_ask_t *a = ask(w, &got, new_proof(2));
    assert_int_equal(a->err, COH_OK);
    assert_int_equal(a->u.proof.is.exists, 0);
    assert_int_equal(a->u.proof.is.block, 0);
    assert_int_equal(a->u.proof.is.slots.cnt, 2);
    assert_true(coh_u256_eq(&a->u.proof.is.slots.v[0].slot, &a->u.proof.slots[0]));
    assert_memory_equal(a->u.proof.is.slots.v[1].nodes.p, "\xc0", 1);
    coh_ask_free(a);

    w->wrong_proof = true;
    a              = ask(w, &got, new_proof(0));
    assert_int_equal(a->err, COH_EIO);
    coh_ask_free(a);
    w->wrong_proof  = false;
    w->prove_failed = 1;
    a               = ask(w, &got, new_proof(1));
    assert_int_equal(a->err, COH_ENOTFOUND);
    assert_int_equal(a->u.proof.block, 0); /* which was the latest */
    coh_ask_free(a);
    w->prove_failed = 0;
    a               = ask(w, &got, new_proof(COH_ASK_PROOF_SLOTS_MAX + 1));
    assert_int_equal(a->err, COH_ETOOBIG);
    coh_ask_free(a);
    a                = new_proof(0);
    a->u.proof.block = 1;
    a                = ask(w, &got, a);
    assert_int_equal(a->err, COH_ENOTFOUND);
    coh_ask_free(a);

    /* 32 at a time, the others in their turn; a stop, and a sudden end, answer all. */
    got = NULL;
    for (int i = 0; i < 80; i++) {
        coh_coordinator_ask(w->c, new_proof(1));
    }
    run(w);
    for (int i = 0; i < 80; i++) {
        assert_non_null(got);
        assert_int_equal(got->err, COH_OK);
        a   = got;
        got = a->next;
        coh_ask_free(a);
    }
    w->hold_calls = true;
    for (int stopped = 0; stopped < 2; stopped++) {
        got          = NULL;
        w->prove_cnt = 0;
        for (int i = 0; i < 64; i++) {
            coh_coordinator_ask(w->c, new_proof(1));
        }
        run(w);
        assert_null(got);
        assert_int_equal(w->prove_cnt, 32);
        if (stopped == 0) {
            coh_node_t *node = coh_coordinator_node(w->c);
            node->ops->stop(node);
            run(w);
            assert_true(node->ops->finished(node));
        }
        close_coordinator(w);
        for (int i = 0; i < 64; i++) {
            assert_non_null(got);
            assert_int_equal(got->err, COH_ECLOSED);
            a   = got;
            got = a->next;
            coh_ask_free(a);
        }
        assert_null(got);
        open_coordinator(w);
        start(w);
        coh_coordinator_listen(w->c, &asker);
    }
}

/* Calls and states of asks come back, whatever becomes of the shard's answer. */
static void coordinator_brings_what_calls_ask(void **state)
{
    world_t *w     = *state;
    coh_ask_t *got = NULL;
    coh_buf_t raw  = COH_BUF_INIT;
    coh_tx_encode(&raw, &(coh_tx_t){.gas_limit = 21000, .to = {{7}}, .data = coh_bytes("abc", 3)});
    start(w);
    coh_asker_t asker = {.done       = ask_done,
                         .head       = head_told,
                         .pooled     = pooled_told,
                         .arg        = &got,
                         .record_cnt = &record_cnt};
    coh_coordinator_listen(w->c, &asker);
    coh_ask_t *a = ask(w, &got, new_call(coh_buf_bytes(&raw)));
    assert_int_equal(a->err, COH_OK);
    assert_int_equal(a->u.call.result.err, COH_CALL_OK);
    assert_int_equal(a->u.call.result.output.n, 3);
    assert_memory_equal(a->u.call.result.output.p, "abc", 3);
    assert_int_equal(a->u.call.result.traces.cnt, 1);
    assert_memory_equal(a->u.call.result.traces.v[0].json.p, "17", 2);
    coh_ask_free(a);
    a = ask(w, &got, new_call(coh_bytes("none", 4)));
    assert_int_equal(a->u.call.result.err, COH_CALL_INVALID);
    coh_ask_free(a);
    assert_int_equal(w->call_cnt, 1);

    a                       = coh_ask_new(COH_ASK_STATE);
    a->u.state.cnt          = 1;
    a->u.state.keys         = coh_calloc(1, sizeof(*a->u.state.keys));
    a->u.state.keys[0].kind = COH_KEY_ACCOUNT;
    a->u.state.block        = FORGOTTEN;
    a                       = ask(w, &got, a);
    assert_int_equal(a->err, COH_ENOTFOUND);
    coh_ask_free(a);

    /* One under way at the end: a stop answers it; so does a sudden end. */
    w->hold_calls = true;
    for (int stopped = 0; stopped < 2; stopped++) {
        got = NULL;
        coh_coordinator_ask(w->c, new_call(coh_buf_bytes(&raw)));
        run(w);
        assert_null(got);
        if (stopped == 0) {
            coh_node_t *node = coh_coordinator_node(w->c);
            node->ops->stop(node);
            run(w);
            assert_non_null(got);
            assert_int_equal(got->u.call.result.err, COH_CALL_CLOSED);
            coh_ask_free(got);
        }
        close_coordinator(w);
        if (stopped == 1) {
            assert_non_null(got);
            assert_int_equal(got->err, COH_ECLOSED);
            coh_ask_free(got);
        }
        open_coordinator(w);
        start(w);
        coh_coordinator_listen(w->c, &asker);
    }
    coh_buf_free(&raw);
}

/* One empty block follows transactions, once JSON-RPC listens, and then none. */
static void coordinator_lets_an_empty_block_follow(void **state)
{
    world_t *w     = *state;
    coh_ask_t *got = NULL;
    start(w);
    submit(w, 0, 0, 1, COH_TX_OK, NULL);
    run_ms(w, 100);
    run_ms(w, 5000);
    assert_int_equal(coh_coordinator_head(w->c), 1);
    coh_asker_t asker = {.done       = ask_done,
                         .head       = head_told,
                         .pooled     = pooled_told,
                         .arg        = &got,
                         .record_cnt = &record_cnt};
    coh_coordinator_listen(w->c, &asker);
    submit(w, 0, 1, 1, COH_TX_OK, NULL);
    run_ms(w, 100);
    assert_int_equal(coh_coordinator_head(w->c), 2);
    run_ms(w, 900);
    assert_int_equal(coh_coordinator_head(w->c), 2);
    run_ms(w, 200);
    assert_int_equal(coh_coordinator_head(w->c), 3);
    coh_ask_t *a = ask_block(w, &got, 3, false);
    assert_int_equal(a->u.block.sealed->tx_cnt, 0);
    coh_ask_free(a);
    run_ms(w, 60000);
    assert_int_equal(coh_coordinator_head(w->c), 3);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    struct CMUnitTest const tests[] = {
        CASE(coordinator_commits_what_clients_submit),
        CASE(coordinator_seals_roots_of_input_and_results),
        CASE(coordinator_refuses_nodes_of_others),
        CASE(coordinator_refuses_another_state),
        CASE(coordinator_asks_a_second_wave_after_messages_between_shards),
        CASE(coordinator_retries_a_refused_block),
        CASE(coordinator_fails_when_a_block_is_refused_three_times),
        CASE(coordinator_reports_what_is_left_out),
        CASE(coordinator_asks_for_accounts_whose_authorization_was_used),
        CASE(coordinator_asks_for_accounts_that_have_moved_on),
        CASE(coordinator_asks_before_a_nonce_waits),
        CASE(coordinator_fails_when_the_decision_cannot_be_written),
        CASE(coordinator_fails_on_gas_that_changes_between_settlement_and_vote),
        CASE(coordinator_answers_hostile_requests_with_errors),
        CASE(coordinator_fails_on_malformed_frames_with_rank_and_message),
        CASE(coordinator_refuses_a_shard_of_another_genesis),
        CASE(coordinator_recovers_head_receipts_and_index),
        CASE(coordinator_refuses_a_shard_that_lost_its_state),
        CASE(coordinator_finds_damage_in_the_log),
        CASE(coordinator_stops_cleanly),
        CASE(coordinator_imports_blocks_in_order),
        CASE(coordinator_gives_up_an_invalid_import_and_those_above),
        CASE(coordinator_answers_status_as_json),
        CASE(coordinator_status_shows_the_last_blocks),
        CASE(coordinator_answers_asks),
        CASE(coordinator_brings_what_calls_ask),
        CASE(coordinator_brings_proofs),
        CASE(coordinator_lets_an_empty_block_follow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
