/* Blocks that a cluster makes itself, as anybody else sees them: `cohort node` under the rules of Osaka, with the system contracts in its genesis, takes a mixed workload (transfers of three types, deployments,
   calls that succeed and fail, a withdrawal request, blobs, delegations); the chain that `cohort export` writes is then replayed by the sequential reference, imported anew, and verified, in the node
   while it was made and afterwards. And what `cohort verify` says where an octet of what is stored is another. */
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/checksum.h"
#include "common/base/clock.h"
#include "common/base/hex.h"
#include "common/chain/replay.h"
#include "common/client/client.h"
#include "common/crypto/keccak.h"
#include "common/kv/kv.h"
#include "tests/support/data.h"
#include "tests/support/evmasm.h"
#include "tests/support/txgen.h"

#define CHAIN_ID    77u
#define GWEI        UINT64_C(1000000000)
#define KEY_CNT     8u
#define SHARDS      "3"
#define PATIENCE_US UINT64_C(60000000)

/* EIP-7002 */
static coh_addr_t const withdrawals = {{0x00, 0x00, 0x09, 0x61, 0xef, 0x48, 0x0e,
                                        0xb5, 0x5e, 0x80, 0xd1, 0x9a, 0xd8, 0x35,
                                        0x79, 0xa6, 0x4c, 0x00, 0x70, 0x02}};
/* EIP-2935 */
static coh_addr_t const history = {{0x00, 0x00, 0xf9, 0x08, 0x27, 0xf1, 0xc5, 0x3a, 0x10, 0xcb,
                                    0x7a, 0x02, 0x33, 0x5b, 0x17, 0x53, 0x20, 0x00, 0x29, 0x35}};

typedef struct {
    char folder[64];
    char data[96];
    char genesis[96];
    char rlp[96];
    char addr[96];
    char const *root_every; /* block-root-every */
    coh_txgen_t *gen;
    coh_client_t *client;
    pid_t node;
    uint64_t nonces[KEY_CNT];
    uint64_t submitted;
} world_t;

/* ---- The genesis ----------------------------------------------------------------------------------------------------------------- */

static void put_account(json_t *alloc,
                        coh_addr_t const *addr,
                        char const *balance,
                        char const *code)
{
    char key[43]    = "0x";
    json_t *account = json_object();
    coh_hex_encode(key + 2, addr->b, sizeof(addr->b));
    json_object_set_new(account, "balance", json_string(balance));
    if (code != NULL) {
        json_object_set_new(account, "code", json_string(code));
    }
    json_object_set_new(alloc, key, account);
}

/* fork: the last that is active. Contracts of the system are those of a test of our own, whose hashes an independent implementation made. */
static void write_genesis(world_t *w, bool has_system, bool is_merged)
{
    static char const *const members[] = {"homesteadBlock",
                                          "eip150Block",
                                          "eip155Block",
                                          "eip158Block",
                                          "byzantiumBlock",
                                          "constantinopleBlock",
                                          "petersburgBlock",
                                          "istanbulBlock",
                                          "berlinBlock",
                                          "londonBlock"};
    json_t *json                       = json_object();
    json_t *config                     = json_object();
    json_t *alloc                      = json_object();
    json_object_set_new(config, "chainId", json_integer(CHAIN_ID));
    for (size_t i = 0; i < COH_CNT(members); i++) {
        json_object_set_new(config, members[i], json_integer(0));
    }
    if (is_merged) {
        json_object_set_new(config, "terminalTotalDifficulty", json_integer(0));
        json_object_set_new(config, "shanghaiTime", json_integer(0));
        json_object_set_new(config, "cancunTime", json_integer(0));
        json_object_set_new(config, "pragueTime", json_integer(0));
        json_object_set_new(config, "osakaTime", json_integer(0));
    }
    for (uint32_t key = 0; key < KEY_CNT; key++) {
        coh_addr_t addr = coh_txgen_addr(w->gen, key);
        put_account(alloc, &addr, "1000000000000000000000", NULL);
    }
    json_t *tests = coh_test_json(COHORT_SOURCE_DIR "/tests/conformance/own_blocks/chains.json");
    json_t *pre   = json_object_get(json_object_get(tests, "own_chain_Osaka"), "pre");
    char const *key;
    json_t *account;
    json_object_foreach (pre, key, account) {
        if (has_system && strncmp(key, "0x0000000000", 12) != 0 && strncmp(key, "0x00", 4) == 0) {
            json_object_set(alloc, key, account);
        }
    }
    assert_int_equal(json_object_size(alloc), KEY_CNT + (has_system ? 4 : 0));
    json_decref(tests);
    json_object_set_new(json, "config", config);
    json_object_set_new(json, "alloc", alloc);
    json_object_set_new(json, "gasLimit", json_string("30000000"));
    json_object_set_new(json, "difficulty", json_string(is_merged ? "0" : "131072"));
    json_object_set_new(
        json, "coinbase", json_string("0xc000000000000000000000000000000000000001"));
    if (is_merged) {
        json_object_set_new(
            json, "excessBlobGas", json_string("30000000")); /* it falls from there */
    }
    assert_int_equal(json_dump_file(json, w->genesis, 0), 0);
    json_decref(json);
}

/* ---- The node -------------------------------------------------------------------------------------------------------------------- */

static void open_world(world_t *w, bool has_system, bool is_merged)
{
    char const *parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    *w                 = (world_t){.gen = coh_txgen_new(), .root_every = "1"};
    (void)snprintf(w->folder, sizeof(w->folder), "%s/test_produced.XXXXXX", parent);
    assert_non_null(mkdtemp(w->folder));
    (void)snprintf(w->data, sizeof(w->data), "%s/data", w->folder);
    (void)snprintf(w->genesis, sizeof(w->genesis), "%s/genesis.json", w->folder);
    (void)snprintf(w->rlp, sizeof(w->rlp), "%s/chain.rlp", w->folder);
    (void)snprintf(w->addr, sizeof(w->addr), "ipc://%s/requests", w->folder);
    write_genesis(w, has_system, is_merged);
}

static void close_world(world_t *w)
{
    char command[128];
    (void)snprintf(command, sizeof(command), "rm -r '%s'", w->folder);
    assert_int_equal(system(command), 0);
    coh_txgen_free(w->gen);
}

static void start_node(world_t *w)
{
    char publish[128];
    char log[128];
    (void)snprintf(publish, sizeof(publish), "ipc://%s/publications", w->folder);
    (void)snprintf(log, sizeof(log), "%s/log", w->folder);
    pid_t self = getpid();
    w->node    = fork();
    assert_true(w->node >= 0);
    if (w->node == 0) {
        /* A test that fails leaves no node behind. */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != self) {
            _exit(127);
        }
        (void)execl(COHORT_PROGRAM,
                    "cohort",
                    "node",
                    "--data",
                    w->data,
                    "--genesis",
                    w->genesis,
                    "--shards",
                    SHARDS,
                    "--threads",
                    "2",
                    "--client-listen",
                    w->addr,
                    "--client-publish",
                    publish,
                    "--status-listen",
                    "",
                    "--block-interval-ms",
                    "5",
                    "--pool-delegated-tx-max",
                    "1000",
                    "--verify-every",
                    "2",
                    "--block-root-every",
                    w->root_every,
                    "--log-file",
                    log,
                    (char *)NULL);
        _exit(127);
    }
    coh_client_options_t options = COH_CLIENT_OPTIONS_DEFAULT;
    options.timeout_ms           = PATIENCE_US / 1000;
    assert_int_equal(coh_client_open(&w->client, w->addr, &options, NULL), COH_OK);
}

/* A figure of rank 0. */
static uint64_t metric(world_t *w, char const *name)
{
    coh_op_status_answer_t answer;
    json_error_t error;
    assert_int_equal(coh_client_status(w->client, &answer, &(coh_op_status_request_t){0}), COH_OK);
    json_t *json = json_loadb((char const *)answer.json.p, answer.json.n, 0, &error);
    json_t *v    = json_object_get(
        json_object_get(json_array_get(json_object_get(json, "ranks"), 0), "metrics"), name);
    assert_true(json_is_integer(v));
    uint64_t got = (uint64_t)json_integer_value(v);
    json_decref(json);
    return got;
}

static uint64_t head(world_t *w)
{
    coh_op_head_answer_t answer;
    assert_int_equal(coh_client_head(w->client, &answer, &(coh_op_head_request_t){0}), COH_OK);
    return answer.number;
}

/* Waits until the figure is at least want. */
static void wait_metric(world_t *w, char const *name, uint64_t want)
{
    uint64_t start = coh_clock_mono_us();
    while (metric(w, name) < want) {
        assert_true(coh_clock_mono_us() - start < PATIENCE_US);
        (void)usleep(5000);
    }
}

static void stop_node(world_t *w)
{
    int status;
    coh_client_close(w->client);
    assert_int_equal(kill(w->node, SIGTERM), 0);
    assert_int_equal(waitpid(w->node, &status, 0), w->node);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void submit_raw(world_t *w, coh_bytes_t raw)
{
    coh_op_submit_answer_t answer;
    coh_op_submit_request_t const request = {.raws = {&raw, 1}};
    uint64_t start                        = coh_clock_mono_us();
    coh_err_t err;
    while ((err = coh_client_submit(w->client, &answer, &request)) == COH_EBUSY) { /* it starts */
        assert_true(coh_clock_mono_us() - start < PATIENCE_US);
        (void)usleep(5000);
    }
    assert_int_equal(err, COH_OK);
    assert_int_equal(answer.txs.cnt, 1);
    assert_int_equal(answer.txs.v[0].err, COH_TX_OK);
    w->submitted++;
}

static coh_txgen_tx_t const *make(world_t *w, coh_txgen_spec_t spec)
{
    spec.chain_id = CHAIN_ID;
    spec.nonce    = w->nonces[spec.key]++;
    spec.max_fee  = coh_u256(100 * GWEI);
    spec.max_tip  = coh_u256(GWEI);
    return coh_txgen_make(w->gen, &spec);
}

static void submit(world_t *w, coh_txgen_spec_t spec) { submit_raw(w, make(w, spec)->raw); }

/* cnt blobs of zeros: commitment and proof are the point at infinity, 0xc0 and 47 zeros (EIP-4844), and the versioned hash is that of it. Behind the transaction
   come three lists, each of cnt equal strings. */
static void submit_blobs(world_t *w, uint32_t key, uint32_t cnt)
{
    static uint8_t const zeros[131072];
    static uint8_t const infinity[48]   = {0xc0};
    static coh_hash_t const of_infinity = {{0x01, 0x06, 0x57, 0xf3, 0x75, 0x54, 0xc7, 0x81,
                                            0x40, 0x2a, 0x22, 0x91, 0x7d, 0xee, 0x2f, 0x75,
                                            0xde, 0xf7, 0xab, 0x96, 0x6d, 0x7b, 0x77, 0x09,
                                            0x05, 0x39, 0x8e, 0xba, 0x3c, 0x44, 0x40, 0x14}};
    coh_bytes_t const parts[3]          = {
                 {zeros, sizeof(zeros)}, {infinity, sizeof(infinity)}, {infinity, sizeof(infinity)}};
    coh_txgen_tx_t const *tx = make(w,
                                    (coh_txgen_spec_t){.key       = key,
                                                       .type      = COH_TX_BLOB,
                                                       .to        = coh_txgen_addr(w->gen, 3),
                                                       .gas_limit = 21000,
                                                       .value     = coh_u256(1),
                                                       .max_fee_per_blob_gas = coh_u256(GWEI),
                                                       .blob_cnt             = cnt,
                                                       .blob_hash            = &of_infinity});
    coh_buf_t network        = COH_BUF_INIT;
    coh_buf_put(&network, tx->raw.p, tx->raw.n);
    for (size_t part = 0; part < COH_CNT(parts); part++) {
        size_t at = network.n;
        for (uint32_t i = 0; i < cnt; i++) {
            coh_rlp_put_string(&network, parts[part].p, parts[part].n);
        }
        coh_rlp_wrap_list(&network, at);
    }
    coh_rlp_wrap_list(&network, 1);
    submit_raw(w, coh_buf_bytes(&network));
    coh_buf_free(&network);
}

/* An account delegates its code to `to` and is called at once; an authorization that is not at its turn does nothing (EIP-7702). */
static void submit_delegation(world_t *w, uint32_t key, uint32_t authority, coh_addr_t to)
{
    coh_txgen_auth_t const auths[] = {
        {.key      = authority,
         .chain_id = CHAIN_ID,
         .nonce    = authority < KEY_CNT ? w->nonces[authority] : 0,
         .addr     = to},
        {.key = 3, .chain_id = CHAIN_ID, .nonce = w->nonces[3] + 7, .addr = to}};
    submit(w,
           (coh_txgen_spec_t){.key        = key,
                              .type       = COH_TX_SET_CODE,
                              .to         = coh_txgen_addr(w->gen, authority),
                              .gas_limit  = 400000,
                              .data_bytes = 4,
                              .auths      = auths,
                              .auth_cnt   = COH_CNT(auths)});
}

/* Deploys code by key; returns where it will be. */
static coh_addr_t deploy(world_t *w, uint32_t key, char const *text)
{
    coh_buf_t runtime = COH_BUF_INIT;
    coh_buf_t init    = COH_BUF_INIT;
    char source[128];
    coh_test_asm(&runtime, text);
    /* CODECOPY of what is behind these 12 octets. */
    (void)snprintf(source,
                   sizeof(source),
                   "PUSH1 %zu DUP1 PUSH1 11 PUSH1 0 CODECOPY PUSH1 0 RETURN",
                   runtime.n);
    coh_test_asm(&init, source);
    assert_int_equal(init.n, 11);
    coh_buf_put(&init, runtime.p, runtime.n);
    coh_addr_t sender       = coh_txgen_addr(w->gen, key);
    coh_tx_t const creation = {.is_create = true, .nonce = w->nonces[key]};
    submit(w,
           (coh_txgen_spec_t){
               .key = key, .is_create = true, .gas_limit = 500000, .data = coh_buf_bytes(&init)});
    coh_buf_free(&runtime);
    coh_buf_free(&init);
    return coh_tx_receiver(&creation, &sender);
}

/* So many rounds of a bit of everything. */
static void work(world_t *w, uint32_t round_cnt, bool has_system)
{
    coh_addr_t notes = deploy(
        w,
        0,
        "CALLER 0 SSTORE NUMBER 1 SSTORE COINBASE BALANCE 2 SSTORE 1 NUMBER SUB BLOCKHASH "
        "3 SSTORE TIMESTAMP 4 SSTORE PREVRANDAO 5 SSTORE NUMBER 0 MSTORE CALLER 32 0 LOG1 STOP");
    coh_addr_t reverts               = deploy(w, 1, "1 1 SSTORE 0 0 REVERT");
    coh_addr_t burns                 = deploy(w, 2, "again: @again JUMP");
    uint64_t before                  = 0;
    static uint8_t const request[56] = {[0] = 0xaa, [47] = 0xbb, [55] = 1};
    for (uint32_t r = 0; r < round_cnt; r++) {
        coh_addr_t to = coh_txgen_addr(w->gen, 100 + r);
        submit(
            w,
            (coh_txgen_spec_t){.key = 3, .to = to, .gas_limit = 21000, .value = coh_u256(r + 1)});
        submit(w,
               (coh_txgen_spec_t){.key              = 4,
                                  .type             = COH_TX_ACCESS_LIST,
                                  .to               = to,
                                  .gas_limit        = 50000,
                                  .value            = coh_u256(5),
                                  .access_addr_cnt  = 1,
                                  .access_keys_each = 2});
        submit(w,
               (coh_txgen_spec_t){.key       = 5,
                                  .type      = COH_TX_DYNAMIC_FEE,
                                  .to        = coh_txgen_addr(w->gen, 3),
                                  .gas_limit = 21000,
                                  .value     = coh_u256(GWEI)});
        if (r % 3 != 1) { /* blocks of transfers alone too */
            submit(w,
                   (coh_txgen_spec_t){.key        = 6,
                                      .type       = COH_TX_DYNAMIC_FEE,
                                      .to         = notes,
                                      .gas_limit  = 300000,
                                      .data_bytes = 4});
            submit(
                w,
                (coh_txgen_spec_t){.key = 6, .to = reverts, .gas_limit = 100000, .data_bytes = 4});
            submit(w,
                   (coh_txgen_spec_t){.key        = 7,
                                      .type       = COH_TX_DYNAMIC_FEE,
                                      .to         = burns,
                                      .gas_limit  = 60000,
                                      .data_bytes = 1});
        }
        if (has_system && r % 4 == 0) {
            submit(w,
                   (coh_txgen_spec_t){.key       = 7,
                                      .to        = withdrawals,
                                      .gas_limit = 300000,
                                      .value     = coh_u256(1000),
                                      .data      = coh_bytes(request, sizeof(request))});
        }
        if (has_system && r % 3 == 0) { /* a delegated account sends too */
            submit_blobs(w, 4, 1 + r % 6);
            submit_delegation(w, 6, 200 + r, notes);
            submit_blobs(w, 5, 3);
            submit_delegation(w, 7, 0, r % 2 == 0 ? notes : (coh_addr_t){{0}});
            w->nonces[0]++;
            submit(
                w,
                (coh_txgen_spec_t){.key = 0, .to = coh_txgen_addr(w->gen, 1), .gas_limit = 21000});
        }
        wait_metric(w, "chain_tx", w->submitted);
        assert_true(head(w) > before);
        before = head(w);
    }
}

/* ---- What it comes to ------------------------------------------------------------------------------------------------------------ */

/* Runs a command of the program and returns its line of JSON. */
static json_t *run(world_t const *w, char const *command, int *exit_code)
{
    char line[1024];
    char out[4096] = "";
    (void)snprintf(line,
                   sizeof(line),
                   "'%s' %s --log-level error 2>'%s/errors'",
                   COHORT_PROGRAM,
                   command,
                   w->folder);
    FILE *pipe = popen(line, "r");
    assert_non_null(pipe);
    size_t n   = fread(out, 1, sizeof(out) - 1, pipe);
    out[n]     = '\0';
    int status = pclose(pipe);
    assert_true(WIFEXITED(status));
    *exit_code = WEXITSTATUS(status);
    json_error_t error;
    return json_loads(out, 0, &error);
}

/* Verifies; reason: NULL if all is well, else what is wrong with block number. */
static void verify(world_t const *w, uint64_t number, char const *reason)
{
    char command[256];
    int exit_code;
    (void)snprintf(command,
                   sizeof(command),
                   "verify --json --data '%s' --block-root-every %s",
                   w->data,
                   w->root_every);
    json_t *row = run(w, command, &exit_code);
    assert_non_null(row);
    char const *result = coh_test_str(row, "result");
    if (reason == NULL && strcmp(result, "passed") != 0) {
        fail_msg("block %d: %s",
                 (int)json_integer_value(json_object_get(row, "block")),
                 coh_test_str(row, "reason"));
    }
    assert_int_equal(exit_code, reason != NULL);
    uint64_t verified = (uint64_t)json_integer_value(json_object_get(row, "verified"));
    if (reason != NULL) {
        assert_string_equal(result, "FAILED");
        assert_string_equal(coh_test_str(row, "reason"), reason);
        assert_int_equal(json_integer_value(json_object_get(row, "block")), number);
    } else {
        assert_int_equal(verified, number);
    }
    json_decref(row);
}

static void export_chain(world_t const *w)
{
    char command[512];
    (void)snprintf(command,
                   sizeof(command),
                   "'%s' export --data '%s' --out '%s' >'%s/out'",
                   COHORT_PROGRAM,
                   w->data,
                   w->rlp,
                   w->folder);
    assert_int_equal(system(command), 0);
}

/* What the reference saw. */
typedef struct {
    uint64_t equal_time_cnt;
    uint64_t last_time;
    uint64_t request_cnt;
    coh_hash_t hashes[4096]; /* by number */
    uint64_t cnt;
} seen_t;

static void see(void *arg, coh_ancestor_t const *h)
{
    seen_t *seen = arg;
    seen->equal_time_cnt += h->self.header.timestamp == seen->last_time;
    seen->last_time = h->self.header.timestamp;
    seen->request_cnt += !coh_hash_eq(&h->self.header.requests_hash, &COH_EMPTY_REQUESTS_HASH);
    assert_true(h->self.header.number < COH_CNT(seen->hashes));
    seen->hashes[h->self.header.number] = h->self.hash;
    seen->cnt++;
}

/* The exported chain through the sequential reference. Strictly: under Ethereum's own rules, but for equal timestamps. */
static void replay(world_t const *w, seen_t *seen, bool strictly)
{
    coh_genesis_t genesis;
    coh_schedule_t schedule;
    coh_buf_t rlp = COH_BUF_INIT;
    coh_buf_t why = COH_BUF_INIT;
    uint64_t cnt;
    *seen = (seen_t){0};
    assert_int_equal(coh_genesis_load(&genesis, w->genesis, &why), COH_OK);
    coh_test_file(&rlp, w->folder, "chain.rlp");
    coh_replay_schedule(&schedule, &genesis);
    coh_replay_produced(&schedule, &genesis, strtoull(w->root_every, NULL, 10));
    if (strictly) {
        schedule.steps_off = 0;
    }
    coh_execute_t *ex                  = coh_execute_new();
    coh_branches_config_t const config = {
        .schedule      = schedule,
        .roots         = COH_WORLD_REBUILD,
        .fill          = coh_replay_fill,
        .fill_arg      = &genesis,
        .genesis       = genesis.header,
        .genesis_shape = genesis.fork_at[COH_FORK_PRAGUE] == 0 ? COH_FORK_PRAGUE : COH_FORK_LONDON,
        .executor      = ex};
    coh_branches_t *b = coh_branches_new(&config);
    assert_non_null(b);
    coh_block_fault_t const *fault = coh_replay(b, &cnt, coh_buf_bytes(&rlp), see, seen);
    if (fault != NULL) {
        coh_block_fault_put(&why, fault);
        fail_msg("block %" PRIu64 ": %.*s", cnt + 1, (int)why.n, (char const *)why.p);
    }
    /* EIP-2935: slot (number - 1) modulo 8191 holds the parent's hash. */
    coh_u256_t slot   = coh_u256(cnt - 1);
    coh_u256_t stored = coh_memview_slot(coh_branches_state(b), &history, &slot);
    coh_u256_t want   = coh_u256_from_be(seen->hashes[cnt - 1].b, 32);
    assert_int_equal(coh_u256_eq(&stored, &want), strictly);
    coh_branches_free(b);
    coh_execute_free(ex);
    coh_genesis_free(&genesis);
    coh_buf_free(&rlp);
    coh_buf_free(&why);
}

/* Imported into a cluster of another size, on a data directory, all is as it was, and verifies too. */
static void import_again(world_t *w, uint64_t cnt)
{
    char command[512];
    char data[96];
    int exit_code;
    (void)snprintf(data, sizeof(data), "%s/again", w->folder);
    (void)snprintf(command,
                   sizeof(command),
                   "import --json --produced --rlp '%s' --genesis '%s' --shards 2 --data '%s' "
                   "--block-root-every %s",
                   w->rlp,
                   w->genesis,
                   data,
                   w->root_every);
    json_t *row = run(w, command, &exit_code);
    assert_int_equal(exit_code, 0);
    assert_int_equal(json_integer_value(json_object_get(row, "imported")), cnt);
    json_decref(row);
    (void)snprintf(w->data, sizeof(w->data), "%s", data);
    verify(w, cnt, NULL);
}

/* ---- Octets that are changed ----------------------------------------------------------------------------------------------------- */

/* Where to find things in a record: coordinator/decision_log.h, of a cluster of three shards. */
enum { RECORD_HEADER = 96 + 3 * 8, RECORD_SUM = 8 };

/* Changes the octet at of block number's value in table. sums: the record's checksum is made right again. Calling it again takes it back. */
static void change(world_t const *w, coh_kv_table_t table, uint64_t number, size_t at, bool sums)
{
    char path[128];
    coh_kv_t *kv;
    uint8_t key[8];
    coh_buf_t value = COH_BUF_INIT;
    coh_kv_batch_t batch;
    (void)snprintf(path, sizeof(path), "%s/rank-0/db", w->data);
    assert_int_equal(coh_kv_rocks_open(&kv, path, (size_t)1 << 20, NULL), COH_OK);
    coh_store_u64_be(key, number);
    assert_int_equal(kv->ops->get(kv, table, coh_bytes(key, sizeof(key)), &value), COH_OK);
    assert_true(at < value.n);
    value.p[at] ^= 1;
    if (sums) {
        size_t n = value.n - RECORD_SUM;
        coh_store_u64_le(value.p + n, coh_checksum64(value.p, n));
    }
    coh_kv_batch_init(&batch);
    coh_kv_batch_put(&batch, table, coh_bytes(key, sizeof(key)), coh_buf_bytes(&value));
    assert_int_equal(kv->ops->write(kv, &batch, true), COH_OK);
    coh_kv_batch_free(&batch);
    kv->ops->close(kv);
    coh_buf_free(&value);
}

static void check_change(world_t const *w,
                         coh_kv_table_t table,
                         uint64_t number,
                         size_t at,
                         bool sums,
                         char const *reason)
{
    change(w, table, number, at, sums);
    verify(w, number, reason);
    change(w, table, number, at, sums);
}

/* Places of header fields: the list's header takes 3 octets, and each field one before it; in this order 32 + 32 + 20 + 32 + 32 + 32 + 256 octets, the last with 3 before it. */
enum {
    AT_STATE_ROOT    = RECORD_HEADER + 3 + 33 + 33 + 21 + 1,
    AT_TX_ROOT       = AT_STATE_ROOT + 33,
    AT_RECEIPTS_ROOT = AT_TX_ROOT + 33,
    AT_BLOOM         = AT_RECEIPTS_ROOT + 32 + 3,
};

static size_t first_tx_at(world_t const *w, uint64_t number)
{
    char path[128];
    coh_kv_t *kv;
    uint8_t key[8];
    coh_buf_t value = COH_BUF_INIT;
    (void)snprintf(path, sizeof(path), "%s/rank-0/db", w->data);
    assert_int_equal(coh_kv_rocks_open(&kv, path, (size_t)1 << 20, NULL), COH_OK);
    coh_store_u64_be(key, number);
    assert_int_equal(kv->ops->get(kv, COH_KV_BLOCKS, coh_bytes(key, sizeof(key)), &value), COH_OK);
    size_t at = RECORD_HEADER + coh_load_u32_le(value.p + 88) + coh_load_u32_le(value.p + 92);
    assert_true(coh_load_u32_le(value.p + 84) > 0);
    kv->ops->close(kv);
    coh_buf_free(&value);
    return at;
}

static void notice_changes(world_t const *w, uint64_t number)
{
    size_t tx = first_tx_at(w, number);
    check_change(w, COH_KV_BLOCKS, number, AT_STATE_ROOT, false, "the decision record is damaged");
    check_change(w, COH_KV_BLOCKS, number, AT_STATE_ROOT, true, "wrong state root");
    check_change(w, COH_KV_BLOCKS, number, AT_TX_ROOT, true, "wrong root of transactions");
    check_change(w, COH_KV_BLOCKS, number, AT_RECEIPTS_ROOT, true, "wrong root of receipts");
    check_change(w, COH_KV_BLOCKS, number, AT_BLOOM, true, "wrong bloom filter");
    check_change(w, COH_KV_BLOCKS, number, tx, true, "transaction 0: gas is not as stored");
    check_change(w, COH_KV_BLOCKS, number, tx + 8, true, "transaction 0: status is not as stored");
    check_change(w, COH_KV_BLOCKS, number, tx + 20, true, "transaction 0: sender is not as stored");
    check_change(w, COH_KV_BLOCKS, number, 16, true, "burnt fees are not as stored");
    check_change(w, COH_KV_HEADERS, number, 5, false, "the stored header is not the block's");
    check_change(w, COH_KV_HEADERS, number, 100, false, "the stored header is not the block's");
}

/* ---- Cases ----------------------------------------------------------------------------------------------------------------------- */

static void produced_blocks_are_ethereums(void **state)
{
    (void)state;
    world_t w;
    static seen_t seen;
    open_world(&w, true, true);
    start_node(&w);
    work(&w, 12, true);
    uint64_t cnt = head(&w);
    assert_true(cnt >= 12);
    wait_metric(&w, "verify_block", cnt - 1); /* two at a time */
    assert_int_equal(metric(&w, "verify_mismatch"), 0);
    stop_node(&w);
    verify(&w, cnt, NULL);
    export_chain(&w);
    replay(&w, &seen, true);
    assert_int_equal(seen.cnt, cnt);
    assert_true(seen.equal_time_cnt > 0);
    assert_int_equal(seen.request_cnt, 3); /* one for each of the withdrawal requests */
    notice_changes(&w, 2);
    verify(&w, cnt, NULL);

    /* The node goes on where it was, and the check on itself from the beginning. */
    start_node(&w);
    submit(&w,
           (coh_txgen_spec_t){
               .key = 3, .to = history, .gas_limit = 21000 + 2000, .value = coh_u256(0)});
    wait_metric(&w, "chain_tx", 1);
    wait_metric(&w, "verify_block", cnt);
    assert_int_equal(metric(&w, "verify_mismatch"), 0);
    stop_node(&w);
    verify(&w, cnt + 1, NULL);
    export_chain(&w);
    import_again(&w, cnt + 1);
    close_world(&w);
}

/* A chain without system contracts: verified, replayed by the rules of produced blocks, imported again. */
static void live_without_system_contracts(seen_t *seen, bool is_merged)
{
    world_t w;
    open_world(&w, false, is_merged);
    start_node(&w);
    work(&w, 3, false);
    uint64_t cnt = head(&w);
    stop_node(&w);
    verify(&w, cnt, NULL);
    export_chain(&w);
    replay(&w, seen, false);
    assert_int_equal(seen->cnt, cnt);
    import_again(&w, cnt);
    close_world(&w);
}

/* Without the contracts they are not called, which Ethereum's rules would want from Prague on. */
static void produced_blocks_without_system_contracts(void **state)
{
    (void)state;
    static seen_t seen;
    live_without_system_contracts(&seen, true);
    assert_int_equal(seen.request_cnt, 0);
}

/* Before the Merge: difficulty and rewards. */
static void produced_blocks_before_the_merge(void **state)
{
    (void)state;
    static seen_t seen;
    live_without_system_contracts(&seen, false);
}

/* With a state root in every fourth block, those between carry the last; who expects one in each finds the first that has none. */
static void produced_blocks_with_few_roots(void **state)
{
    (void)state;
    world_t w;
    static seen_t seen;
    open_world(&w, true, true);
    w.root_every = "4";
    start_node(&w);
    work(&w, 8, true);
    uint64_t cnt = head(&w);
    wait_metric(&w, "verify_block", cnt - 1);
    assert_int_equal(metric(&w, "verify_mismatch"), 0);
    stop_node(&w);
    start_node(&w); /* mostly between two roots */
    for (uint64_t i = 1; i <= 3; i++) {
        submit(&w,
               (coh_txgen_spec_t){
                   .key = 3, .to = history, .gas_limit = 21000 + 2000, .value = coh_u256(0)});
        wait_metric(&w, "chain_tx", i);
    }
    assert_int_equal(head(&w), cnt + 3);
    cnt += 3;
    stop_node(&w);
    verify(&w, cnt, NULL);
    export_chain(&w);
    replay(&w, &seen, true);
    assert_int_equal(seen.cnt, cnt);
    w.root_every = "1";
    verify(&w, 1, "wrong state root");
    w.root_every = "4";
    import_again(&w, cnt);
    close_world(&w);
}

/* A node finds it out by itself: its store says something else than it did. */
static void node_notices_a_mismatch(void **state)
{
    (void)state;
    world_t w;
    open_world(&w, true, true);
    start_node(&w);
    work(&w, 2, true);
    stop_node(&w);
    change(&w, COH_KV_BLOCKS, 1, first_tx_at(&w, 1) + 8, true);
    start_node(&w);
    wait_metric(&w, "verify_mismatch", 1);
    assert_int_equal(metric(&w, "verify_block"), 0);
    stop_node(&w);
    close_world(&w);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(produced_blocks_are_ethereums),
        cmocka_unit_test(produced_blocks_without_system_contracts),
        cmocka_unit_test(produced_blocks_before_the_merge),
        cmocka_unit_test(produced_blocks_with_few_roots),
        cmocka_unit_test(node_notices_a_mismatch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
