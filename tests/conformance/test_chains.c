/* Exported chains through the sequential reference: every block validated and executed, all of its roots compared with its header, from the genesis to the
   last block; and refused where one octet is changed. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/base/rng.h"
#include "common/chain/replay.h"
#include "tests/support/data.h"
#include "tests/support/seed.h"

#define HIVECHAIN_LAST "0x36a166f0dcd160fc5e5c61c9a7c2d7f236d9175bf27f43aaa2150e291f092ef7"
#define RPC_LAST       "0xd226371d0b1551adb03fb52b71f08e3e11247fe9b1af994768af8cdaa8e7dcd7"
#define MAINNET_LAST   "0xa6860fefa339c963e1bb622526cc8dd4344eedd2a9b969e74de5cccc445fbed4"

typedef struct {
    coh_genesis_t genesis;
    coh_schedule_t schedule;
    coh_header_t header;
    coh_buf_t rlp;
    coh_execute_t *execute;
} chain_t;

/* Members of the genesis header that coh_genesis_t has not. */
static void load_header(chain_t *c, char const *dir, coh_world_roots_t roots)
{
    coh_buf_t path = COH_BUF_INIT;
    coh_buf_printf(&path, "%s/genesis.json", dir);
    coh_buf_put_u8(&path, 0);
    json_error_t error; /* difficulties are longer than jansson's integers */
    json_t *json = json_load_file((char const *)path.p, JSON_DECODE_INT_AS_REAL, &error);
    assert_non_null(json);
    coh_header_t *h = &c->header;
    *h              = (coh_header_t){.ommers_hash   = COH_EMPTY_LIST_HASH,
                                     .tx_root       = COH_EMPTY_TRIE_ROOT,
                                     .receipts_root = COH_EMPTY_TRIE_ROOT,
                                     .difficulty    = coh_test_u256(coh_test_str(json, "difficulty")),
                                     .gas_limit     = c->genesis.gas_limit,
                                     .timestamp     = c->genesis.timestamp,
                                     .coinbase      = c->genesis.coinbase};
    uint64_t nonce  = coh_test_u64(coh_test_str(json, "nonce"));
    for (int i = 0; i < 8; i++) {
        h->nonce[i] = (uint8_t)(nonce >> (56 - 8 * i));
    }
    coh_buf_t extra = COH_BUF_INIT;
    assert_true(coh_test_hex(&extra, coh_test_str(json, "extraData")));
    h->extra_sz = (uint32_t)extra.n;
    memcpy(h->extra, extra.p, extra.n);
    coh_buf_free(&extra);
    coh_world_t *w = coh_world_new(COH_FORK_FRONTIER, roots);
    coh_replay_fill(&c->genesis, coh_world_state(w));
    coh_world_root(w, &h->state_root);
    coh_world_free(w);
    json_decref(json);
    coh_buf_free(&path);
}

/* besu's file of mainnet leaves out forks that follow from others, and the Merge's number. */
static void complete_mainnet(coh_buf_t *json)
{
    static char const key[]  = "\"homesteadBlock\"";
    static char const more[] = "\"eip155Block\": 2675000, \"constantinopleBlock\": 7280000, "
                               "\"mergeNetsplitBlock\": 15537394, ";
    coh_buf_put_u8(json, 0);
    char const *text = (char const *)json->p;
    char const *at   = strstr(text, key);
    coh_buf_t out    = COH_BUF_INIT;
    assert_non_null(at);
    coh_buf_put(&out, text, (size_t)(at - text));
    coh_buf_printf(&out, "%s%s", more, at);
    coh_buf_free(json);
    *json = out;
}

static void open_chain(chain_t *c, char const *dir, coh_world_roots_t roots)
{
    *c             = (chain_t){.rlp = COH_BUF_INIT, .execute = coh_execute_new()};
    coh_buf_t json = COH_BUF_INIT;
    coh_buf_t why  = COH_BUF_INIT;
    coh_test_file(&json, dir, "genesis.json");
    if (strstr(dir, "/mainnet-0") != NULL) {
        complete_mainnet(&json);
    }
    if (coh_genesis_parse(&c->genesis, coh_buf_bytes(&json), &why) != COH_OK) {
        fail_msg("%.*s", (int)why.n, (char const *)why.p);
    }
    coh_replay_schedule(&c->schedule, &c->genesis);
    load_header(c, dir, roots);
    coh_test_file(&c->rlp, dir, "chain.rlp");
    coh_buf_free(&json);
    coh_buf_free(&why);
}

static void close_chain(chain_t *c)
{
    coh_execute_free(c->execute);
    coh_genesis_free(&c->genesis);
    coh_buf_free(&c->rlp);
}

static coh_branches_t *begin(chain_t *c, coh_world_roots_t roots)
{
    coh_branches_config_t const config = {.schedule      = c->schedule,
                                          .roots         = roots,
                                          .fill          = coh_replay_fill,
                                          .fill_arg      = &c->genesis,
                                          .genesis       = c->header,
                                          .genesis_shape = COH_FORK_FRONTIER,
                                          .executor      = c->execute};
    coh_branches_t *b                  = coh_branches_new(&config);
    assert_non_null(b);
    return b;
}

/* Replays dir; its last block has this number and hash, after so many transactions. */
static void replay(char const *sub, coh_world_roots_t roots, uint64_t want_cnt, char const *last)
{
    char const *data = coh_test_data_dir();
    if (data == NULL) {
        coh_test_skip(sub);
        return;
    }
    coh_buf_t dir = COH_BUF_INIT;
    coh_buf_printf(&dir, "%s/%s", data, sub);
    coh_buf_put_u8(&dir, 0);
    chain_t c;
    open_chain(&c, (char const *)dir.p, roots);
    coh_branches_t *b = begin(&c, roots);
    uint64_t start    = coh_clock_mono_us();
    uint64_t cnt;
    coh_block_fault_t const *fault = coh_replay(b, &cnt, coh_buf_bytes(&c.rlp), NULL, NULL);
    coh_buf_t why                  = COH_BUF_INIT;
    if (fault != NULL) {
        coh_block_fault_put(&why, fault);
        fail_msg("%s: block %" PRIu64 ": %.*s", sub, cnt + 1, (int)why.n, (char const *)why.p);
    }
    printf("%s: %" PRIu64 " blocks in %.2f s\n",
           sub,
           cnt,
           (double)(coh_clock_mono_us() - start) / 1e6);
    assert_int_equal(cnt, want_cnt);
    assert_int_equal(coh_branches_head(b)->self.header.number, want_cnt);
    coh_hash_t hash = coh_test_hash(last);
    assert_memory_equal(coh_branches_head(b)->self.hash.b, hash.b, 32);
    coh_branches_free(b);
    close_chain(&c);
    coh_buf_free(&dir);
}

/* Hashes of last blocks: of hivechain and rpc from their headers, of mainnet as every client knows it. */
static void chains_hivechain_rebuilt(void **state)
{
    (void)state;
    replay("chains/hivechain-500", COH_WORLD_REBUILD, 500, HIVECHAIN_LAST);
}
static void chains_hivechain_incremental(void **state)
{
    (void)state;
    replay("chains/hivechain-500", COH_WORLD_INCREMENTAL, 500, HIVECHAIN_LAST);
}
static void chains_rpc(void **state)
{
    (void)state;
    replay("rpc", COH_WORLD_INCREMENTAL, 54, RPC_LAST);
}
static void chains_mainnet(void **state)
{
    (void)state;
    replay("chains/mainnet-0", COH_WORLD_INCREMENTAL, 8191, MAINNET_LAST);
}

/* Where an octet of block raw may be changed so that it is invalid whatever the change: in the header all hashes and the bloom filter, but not the coinbase, which
   a block without fees and rewards is free to choose; and the whole body. */
static size_t draw_octet(coh_bytes_t raw, coh_rng_t *rng)
{
    static size_t const fields[] = {
        0, 33, 87, 120, 153}; /* parent, ommers, state, transactions, receipts */
    coh_rlp_t whole = coh_rlp_reader(raw);
    coh_rlp_t r;
    coh_rlp_kind_t kind;
    coh_bytes_t header;
    assert_int_equal(coh_rlp_list(&whole, &r), COH_OK);
    assert_int_equal(coh_rlp_next(&r, &kind, &header), COH_OK);
    size_t at   = (size_t)(header.p - raw.p);
    size_t body = at + header.n;
    switch (coh_rng_below(rng, 3)) {
    case 0: return at + fields[coh_rng_below(rng, COH_CNT(fields))] + 1 + coh_rng_below(rng, 32);
    case 1: return at + 186 + 3 + coh_rng_below(rng, 256);
    default: return body + coh_rng_below(rng, (uint32_t)(raw.n - body));
    }
}

/* All or nothing: what is refused leaves the state as it was, on which the right block then stands. */
static void chains_refuse_what_was_changed(void **state)
{
    (void)state;
    char const *data = coh_test_data_dir();
    if (data == NULL) {
        coh_test_skip("changed blocks");
        return;
    }
    uint64_t seed = coh_test_seed();
    coh_rng_t rng;
    coh_rng_seed(&rng, seed);
    coh_buf_t dir = COH_BUF_INIT;
    coh_buf_printf(&dir, "%s/chains/hivechain-500", data);
    coh_buf_put_u8(&dir, 0);
    chain_t c;
    open_chain(&c, (char const *)dir.p, COH_WORLD_INCREMENTAL);
    coh_branches_t *b = begin(&c, COH_WORLD_INCREMENTAL);
    coh_buf_t changed = COH_BUF_INIT;
    size_t at         = 0;
    coh_bytes_t raw;
    uint32_t met[COH_BLOCK_ERR_CNT] = {0};
    while (coh_block_next_raw(&raw, coh_buf_bytes(&c.rlp), &at) == COH_OK) {
        uint64_t number = coh_branches_head(b)->self.header.number;
        coh_buf_clear(&changed);
        coh_buf_put(&changed, raw.p, raw.n);
        changed.p[draw_octet(raw, &rng)] ^= (uint8_t)(1u << coh_rng_below(&rng, 8));
        coh_block_fault_t const *fault = coh_branches_import(b, coh_buf_bytes(&changed));
        assert_non_null(fault);
        met[fault->err]++;
        assert_int_equal(coh_branches_head(b)->self.header.number, number);
        assert_null(coh_branches_import(b, raw));
    }
    assert_int_equal(coh_branches_head(b)->self.header.number, 500);
    for (int err = 0; err < COH_BLOCK_ERR_CNT; err++) {
        if (met[err] != 0) {
            printf("%4" PRIu32 " %s\n", met[err], coh_block_err_str((coh_block_err_t)err));
        }
    }
    coh_branches_free(b);
    close_chain(&c);
    coh_buf_free(&dir);
    coh_buf_free(&changed);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(chains_hivechain_rebuilt),
        cmocka_unit_test(chains_hivechain_incremental),
        cmocka_unit_test(chains_rpc),
        cmocka_unit_test(chains_mainnet),
        cmocka_unit_test(chains_refuse_what_was_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
