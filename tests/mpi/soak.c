/* soak: mixed load on a real cluster for a long time: 1 + 2 ranks under mpirun with RocksDB on disk, and JSON-RPC.

   For COHORT_SOAK_SECONDS (3600)
     - two connections hand in native and token transfers in batches of 200, COHORT_SOAK_RATE (3000) a second in all, or as many as are committed: they wait while what they handed
       in in BACKLOG_S seconds is in no block yet,
     - two more ask for balances, calls, estimates, access lists, logs, blocks, receipts, proofs, traces, and make, poll and end filters,
     - four WebSockets subscribe to heads, to logs, to receipts, and to all of them with pooled transactions,
     - and one reads every block's receipts, once it is committed.
   At the end every transaction that was taken must be in a block, and every subscription must have told of each block exactly what its receipts hold; so must the filters
   that were polled all the time. Memory and descriptors of each rank are sampled. In runs of COHORT_SOAK_FLAT_SECONDS (1800) and more (shorter ones are all warm-up: RocksDB fills its write buffers for up to 20 minutes) the median
   of the last quarter must not lie above that of the second by more than 5 % or 32 MiB of memory (beside what RocksDB's write buffers came to beyond the second quarter's), whichever is more, nor by more than 2 descriptors. Those of RocksDB's
   tables do not count there, for they grow in number with the chain, but have a bound of their own. Of what malloc has handed out beside RocksDB's write buffers, which fill and empty by
   64 MiB at a time, the slack is 5 % or 8 MiB.

   Prints how far it is each minute, and a JSON report at the end, also into the file COHORT_SOAK_REPORT. Exits with 1 and names what is wrong.

   Threads: one for each connection; each keeps its own counts, which the main thread reads after they have ended, or for show. */
#include <dirent.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/rng.h"
#include "common/crypto/keccak.h"
#include "coordinator/gateway/rpc_json.h"
#include "deploy/cohort/contracts.h"
#include "tests/mpi/cluster.h"
#include "tests/support/data.h"
#include "tests/support/jsonrpc.h"

#define SHARDS    2u
#define RANKS     (1u + SHARDS)
#define HOST      "127.0.0.1"
#define BATCH     200u
#define LANE_CNT  2u
#define BACKLOG_S 2u
/* Transactions of a block whose trace is asked for, and how many blocks back it may be. */
#define TRACED_TX_MAX   500u
#define TRACED_BACK_MAX 64u
#define SENDER_CNT      (LANE_CNT * BATCH)
#define RECEIVER_CNT    20000u
#define ASKER_CNT       2u
#define SUB_CNT         4u
#define SILENCE_S       30u
/* Blocks that there is room for: a block takes some tens of milliseconds, or waits for transactions. */
#define BLOCKS_PER_S   50u
#define SAMPLE_US_MAX  UINT64_C(5000000)
#define SAMPLES_MIN    60u
#define SETTLE_US_MAX  UINT64_C(60000000)
#define RSS_SLACK      (32.0 * 1024 * 1024)
#define RSS_SLACK_PART 0.05
#define OWN_SLACK      (8.0 * 1024 * 1024)
#define FD_SLACK       2.0
#define TABLE_FDS_MAX  512.0 /* TABLE_FILES_MAX of common/kv/kv_rocks.c */
#define CULPRIT_MAX    20u

/* What a block holds, or what was told of it. */
typedef struct {
    uint32_t heads;
    uint32_t receipts;
    uint32_t receipt_logs;
    uint32_t logs;
} told_t;

typedef struct {
    uint64_t base; /* first block of blocks */
    uint64_t cap;
    uint16_t port;
    uint64_t rate;
    uint64_t end_us;
    coh_bench_accounts_t accounts;
    coh_addr_t token;
    coh_hash_t transfer_topic;
    _Atomic bool load_over;
    _Atomic bool all_over;
    _Atomic uint64_t read_to; /* last block that the reader has read */
    _Atomic uint64_t small;   /* last one that is small enough to be traced; 0: none */
    _Atomic uint64_t taken;
    _Atomic uint64_t committed; /* in blocks that the reader has read */
    pthread_mutex_t lock;       /* over the rest */
    coh_buf_t culprits;         /* a JSON list's items */
    uint32_t culprit_cnt;
    coh_hash_t recent; /* a transaction of the block read last; zero: none yet */
} soak_t;

static soak_t soak = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* blame keeps what is wrong, and says it at once. */
COH_PRINTF(1, 2) static void blame(char const *fmt, ...)
{
    char text[400];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    pthread_mutex_lock(&soak.lock);
    if (soak.culprit_cnt++ < CULPRIT_MAX) {
        (void)fprintf(stderr, "soak: %s\n", text);
        coh_buf_printf(&soak.culprits, "%s", soak.culprits.n > 0 ? "," : "");
        coh_rpc_put_string(&soak.culprits, text, strlen(text));
    }
    pthread_mutex_unlock(&soak.lock);
}

static bool is_over(void) { return atomic_load(&soak.load_over); }

/* field_after reads the quantity behind name (with its quotes and colon) in text; UINT64_MAX: there is none. */
static uint64_t field_after(coh_bytes_t text, char const *name)
{
    uint8_t const *at = memmem(text.p, text.n, name, strlen(name));
    char digits[20]   = "";
    if (at == NULL || (size_t)(text.p + text.n - at) < strlen(name) + 3) {
        return UINT64_MAX;
    }
    at += strlen(name);
    memcpy(digits, at, COH_MIN(sizeof(digits) - 1, (size_t)(text.p + text.n - at)));
    return digits[0] == '"' ? strtoull(digits + 1, NULL, 16) : UINT64_MAX;
}

static void open_or_die(coh_test_rpc_t *rpc)
{
    if (!coh_test_rpc_open(rpc, HOST, soak.port, SILENCE_S)) {
        (void)fprintf(stderr, "soak: nobody listens on port %u\n", soak.port);
        exit(1);
    }
}

/* ask posts one call; the answer is borrowed until the next. */
COH_PRINTF(3, 4)
static bool ask(coh_test_rpc_t *rpc, coh_bytes_t *answer, char const *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    COH_ASSERT(n > 0 && (size_t)n < sizeof(text));
    return coh_test_rpc_post(rpc, answer, coh_bytes(text, (size_t)n));
}

#define CALL(method, params) \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"" method "\",\"params\":[" params "]}"

static uint64_t ask_number(coh_test_rpc_t *rpc, char const *call)
{
    coh_bytes_t answer;
    uint64_t n = ask(rpc, &answer, "%s", call) ? field_after(answer, "\"result\":") : UINT64_MAX;
    if (n == UINT64_MAX) {
        blame("no number came of %s", call);
    }
    return n;
}

static void put_hex(char out[COH_RPC_ADDR_SZ], coh_addr_t const *addr)
{
    coh_rpc_checksum(out, addr);
}

/* ---- transactions ---- */

typedef struct {
    coh_test_rpc_t rpc;
    pthread_t thread;
    uint32_t idx;
    uint64_t nonces[BATCH];
    uint64_t taken;
    uint64_t busy; /* refused for lack of room, and sent again */
} lane_t;

static coh_bench_account_t *sender_of(lane_t const *lane, uint32_t i)
{
    return &soak.accounts.v[lane->idx * BATCH + i];
}

static coh_addr_t receiver(uint64_t no)
{
    coh_addr_t to = {{0}};
    coh_store_u64_le(to.b, coh_mix64(no % RECEIVER_CNT + 1));
    to.b[10] = 1; /* no precompile */
    return to;
}

static void put_token_transfer(coh_buf_t *data, coh_addr_t const *to, uint64_t amount)
{
    coh_abi_t args[] = {coh_abi_addr(to), coh_abi_u64(amount)};
    coh_abi_call(data, "transfer(address,uint256)", args, COH_CNT(args));
}

/* add_tx signs tx and adds it to a batch of calls. */
static void add_tx(coh_buf_t *calls, coh_tx_t *tx, coh_bench_account_t const *from, uint64_t nonce)
{
    coh_buf_t raw    = COH_BUF_INIT;
    tx->has_chain_id = true;
    tx->chain_id     = COH_BENCH_CHAIN_ID;
    tx->nonce        = nonce;
    tx->max_fee      = coh_bench_max_fee();
    tx->max_tip      = tx->type == COH_TX_DYNAMIC_FEE ? coh_bench_max_tip() : coh_bench_max_fee();
    coh_err_t err    = coh_tx_sign(tx, from->secret);
    COH_ASSERT(err == COH_OK);
    coh_tx_encode(&raw, tx);
    coh_buf_printf(
        calls,
        "%c{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_sendRawTransaction\",\"params\":[",
        calls->n == 0 ? '[' : ',');
    coh_rpc_put_data(calls, raw.p, raw.n);
    coh_buf_printf(calls, "]}");
    coh_buf_free(&raw);
}

/* add_transfer adds a native transfer, or one of the token. */
static void add_transfer(coh_buf_t *calls, lane_t *lane, uint32_t i, uint64_t no)
{
    coh_buf_t data = COH_BUF_INIT;
    coh_addr_t to  = receiver(coh_mix64(no));
    coh_tx_t tx    = {.gas_limit = 21000, .value = coh_u256(1), .to = to};
    tx.type        = no / 2 % 2 == 0 ? COH_TX_LEGACY : COH_TX_DYNAMIC_FEE;
    if (no % 2 == 1) {
        put_token_transfer(&data, &to, 1);
        tx.to        = soak.token;
        tx.value     = COH_U256_ZERO;
        tx.gas_limit = 80000;
        tx.data      = coh_buf_bytes(&data);
    }
    add_tx(calls, &tx, sender_of(lane, i), lane->nonces[i]);
    coh_buf_free(&data);
}

/* take_verdicts looks at the answers to a batch, in its order: what was taken moves its sender's nonce on. */
static void take_verdicts(lane_t *lane, coh_bytes_t answer, uint32_t cnt)
{
    uint8_t const *at  = answer.p;
    uint8_t const *end = answer.p + answer.n;
    for (uint32_t i = 0; i < cnt; i++) {
        uint8_t const *next = memmem(at, (size_t)(end - at), "\"jsonrpc\"", 9);
        uint8_t const *last =
            next == NULL ? NULL : memmem(next + 9, (size_t)(end - next) - 9, "\"jsonrpc\"", 9);
        if (next == NULL) {
            blame("lane %u: %u answers to %u transactions: %.100s",
                  lane->idx,
                  i,
                  cnt,
                  (char const *)answer.p);
            return;
        }
        coh_bytes_t one = coh_bytes(next, (size_t)((last == NULL ? end : last) - next));
        at              = next + 9;
        if (coh_test_count(one, "\"result\":\"0x") == 1) {
            lane->nonces[i]++;
            lane->taken++;
            atomic_fetch_add(&soak.taken, 1);
        } else if (coh_test_count(one, "-32005") == 1) {
            lane->busy++;
        } else {
            blame("lane %u: refused: %.*s",
                  lane->idx,
                  (int)COH_MIN(one.n, (size_t)200),
                  (char const *)one.p);
        }
    }
}

static void *run_lane(void *arg)
{
    lane_t *lane     = arg;
    coh_buf_t calls  = COH_BUF_INIT;
    uint64_t pace_us = UINT64_C(1000000) * BATCH * LANE_CNT / soak.rate;
    uint64_t due_us  = coh_clock_mono_us();
    uint64_t no      = lane->idx;
    coh_bytes_t answer;
    while (!is_over()) {
        coh_buf_clear(&calls);
        for (uint32_t i = 0; i < BATCH; i++) {
            add_transfer(&calls, lane, i, no);
            no += LANE_CNT + (i == 0); /* so that senders make both kinds */
        }
        coh_buf_put_u8(&calls, ']');
        uint64_t now_us = coh_clock_mono_us();
        if (now_us < due_us) {
            (void)usleep((useconds_t)(due_us - now_us));
        }
        while (atomic_load(&soak.taken) - atomic_load(&soak.committed) > BACKLOG_S * soak.rate &&
               !is_over()) {
            (void)usleep(10000);
        }
        due_us = COH_MAX(due_us, now_us) + pace_us;
        if (!coh_test_rpc_post(&lane->rpc, &answer, coh_buf_bytes(&calls))) {
            blame("lane %u: its connection was lost", lane->idx);
            break;
        }
        take_verdicts(lane, answer, BATCH);
    }
    coh_buf_free(&calls);
    return NULL;
}

/* wait_until_committed waits until the nonces of senders are those that follow what was taken. */
static void wait_until_committed(lane_t *lane, uint32_t cnt)
{
    uint64_t give_up_us = coh_clock_mono_us() + SETTLE_US_MAX;
    char addr[COH_RPC_ADDR_SZ];
    coh_bytes_t answer;
    for (uint32_t i = 0; i < cnt; i++) {
        put_hex(addr, &sender_of(lane, i)->addr);
        for (;;) {
            if (!ask(&lane->rpc,
                     &answer,
                     CALL("eth_getTransactionCount", "\"%s\",\"latest\""),
                     addr)) {
                blame("lane %u: its connection was lost", lane->idx);
                return;
            }
            uint64_t nonce = field_after(answer, "\"result\":");
            if (nonce == lane->nonces[i]) {
                break;
            }
            if (nonce > lane->nonces[i] || coh_clock_mono_us() > give_up_us) {
                blame("sender %s has nonce %llu, and had %llu transactions taken",
                      addr,
                      (unsigned long long)nonce,
                      (unsigned long long)lane->nonces[i]);
                return;
            }
            (void)usleep(20000);
        }
    }
}

/* make_token deploys the token from the first sender, and gives each sender its part. */
static void make_token(lane_t lanes[LANE_CNT])
{
    coh_contract_t contract;
    coh_buf_t why   = COH_BUF_INIT;
    coh_buf_t code  = COH_BUF_INIT;
    coh_buf_t calls = COH_BUF_INIT;
    coh_bytes_t answer;
    lane_t *lane                    = &lanes[0];
    coh_bench_account_t const *from = sender_of(lane, 0);
    if (coh_contract_load(
            &contract, COHORT_SOURCE_DIR "/tests/contracts/artifacts", "Token", &why) != COH_OK) {
        (void)fprintf(stderr, "soak: %.*s\n", (int)why.n, (char const *)why.p);
        exit(1);
    }
    coh_buf_put(&code, contract.creation.p, contract.creation.n);
    coh_abi_t args[] = {coh_abi_string("Token"),
                        coh_abi_string("TKN"),
                        coh_abi_addr(&from->addr),
                        coh_abi_u64(UINT64_C(1) << 60)};
    coh_abi_encode(&code, args, COH_CNT(args));
    coh_tx_t creation = {.is_create = true, .gas_limit = 4000000, .data = coh_buf_bytes(&code)};
    soak.token        = coh_tx_created_address(&from->addr, 0);
    add_tx(&calls, &creation, from, 0);
    for (uint32_t i = 1; i < SENDER_CNT; i++) {
        coh_buf_t data = COH_BUF_INIT;
        put_token_transfer(&data, &soak.accounts.v[i].addr, UINT64_C(1) << 48);
        coh_tx_t tx = {.gas_limit = 80000, .to = soak.token, .data = coh_buf_bytes(&data)};
        add_tx(&calls, &tx, from, i);
        coh_buf_free(&data);
    }
    coh_buf_put_u8(&calls, ']');
    if (!coh_test_rpc_post(&lane->rpc, &answer, coh_buf_bytes(&calls)) ||
        coh_test_count(answer, "\"result\":\"0x") != SENDER_CNT) {
        blame("the token was not made");
    }
    lane->nonces[0] = SENDER_CNT;
    wait_until_committed(lane, 1);
    coh_contract_free(&contract);
    coh_buf_free(&code);
    coh_buf_free(&calls);
}

/* ---- subscriptions ---- */

enum { TELLS_HEADS = 1, TELLS_LOGS = 2, TELLS_RECEIPTS = 4, TELLS_POOLED = 8 };

typedef struct {
    coh_test_rpc_t rpc;
    pthread_t thread;
    uint32_t idx;
    unsigned kinds;
    told_t *blocks; /* owned */
    _Atomic uint64_t last;
    uint64_t events;
    uint64_t pooled;
} sub_t;

static unsigned const sub_kinds[SUB_CNT] = {TELLS_HEADS,
                                            TELLS_LOGS,
                                            TELLS_RECEIPTS,
                                            TELLS_HEADS | TELLS_LOGS | TELLS_RECEIPTS |
                                                TELLS_POOLED};

/* told_of returns where what is told of block number is counted; NULL, and somebody is blamed, if there is no room. */
static told_t *told_of(told_t *blocks, uint64_t number, char const *who)
{
    if (number < soak.base || number - soak.base >= soak.cap) {
        blame("%s: block %llu is not between %llu and %llu",
              who,
              (unsigned long long)number,
              (unsigned long long)soak.base,
              (unsigned long long)(soak.base + soak.cap));
        return NULL;
    }
    return &blocks[number - soak.base];
}

static void count_told(sub_t *sub, coh_bytes_t text)
{
    static char const is_pooled[] = "\"result\":\"0x";
    sub->events++;
    if (coh_test_count(text, is_pooled) == 1) { /* a hash */
        sub->pooled++;
        return;
    }
    bool is_head    = memmem(text.p, text.n, "\"parentHash\"", 12) != NULL;
    uint64_t number = field_after(text, is_head ? "\"number\":" : "\"blockNumber\":");
    told_t *told    = told_of(sub->blocks, number, "a subscription");
    if (told == NULL) {
        return;
    }
    uint32_t receipts = coh_test_count(text, "\"effectiveGasPrice\"");
    uint32_t logs     = coh_test_count(text, "\"logIndex\"");
    if (is_head) {
        told->heads++;
    } else if (receipts > 0) {
        told->receipts += receipts;
        told->receipt_logs += logs;
    } else {
        told->logs += logs;
    }
    if (number > atomic_load(&sub->last)) {
        atomic_store(&sub->last, number);
    }
}

static void *run_sub(void *arg)
{
    sub_t *sub = arg;
    while (!atomic_load(&soak.all_over)) {
        coh_bytes_t text;
        int rc = coh_test_ws_next(&sub->rpc, &text, 200);
        if (rc < 0) {
            blame("subscriber %u: its connection was lost", sub->idx);
            break;
        }
        if (rc > 0) {
            count_told(sub, text);
        }
    }
    return NULL;
}

static void put_log_filter(coh_buf_t *out)
{
    coh_buf_printf(out, "{\"address\":");
    coh_rpc_put_addr(out, &soak.token);
    coh_buf_printf(out, ",\"topics\":[");
    coh_rpc_put_hash(out, &soak.transfer_topic);
    coh_buf_printf(out, "]}");
}

/* subscribe asks for one kind and reads the answer; events of an earlier subscription may come before it. */
static void subscribe(sub_t *sub, char const *params)
{
    char call[512];
    int n = snprintf(call, sizeof(call), CALL("eth_subscribe", "%s"), params);
    coh_bytes_t text;
    COH_ASSERT(n > 0 && (size_t)n < sizeof(call));
    bool sent = coh_test_ws_send(&sub->rpc, coh_bytes(call, (size_t)n));
    while (sent && coh_test_ws_next(&sub->rpc, &text, 5000) == 1) {
        if (coh_test_count(text, "\"eth_subscription\"") == 0) {
            if (coh_test_count(text, "\"result\":\"0x") != 1) {
                blame("subscriber %u: refused: %.*s",
                      sub->idx,
                      (int)COH_MIN(text.n, (size_t)200),
                      (char const *)text.p);
            }
            return;
        }
        count_told(sub, text);
    }
    blame("subscriber %u: no answer to its subscription", sub->idx);
}

static void start_sub(sub_t *sub, uint32_t idx)
{
    coh_buf_t logs = COH_BUF_INIT;
    sub->idx       = idx;
    sub->kinds     = sub_kinds[idx];
    sub->blocks    = coh_calloc(soak.cap, sizeof(*sub->blocks));
    open_or_die(&sub->rpc);
    if (!coh_test_ws_start(&sub->rpc)) {
        blame("subscriber %u: no WebSocket", idx);
    }
    coh_buf_printf(&logs, "\"logs\",");
    put_log_filter(&logs);
    coh_buf_put_u8(&logs, 0);
    if ((sub->kinds & TELLS_POOLED) != 0) {
        subscribe(sub, "\"newPendingTransactions\"");
    }
    if ((sub->kinds & TELLS_HEADS) != 0) {
        subscribe(sub, "\"newHeads\"");
    }
    if ((sub->kinds & TELLS_LOGS) != 0) {
        subscribe(sub, (char const *)logs.p);
    }
    if ((sub->kinds & TELLS_RECEIPTS) != 0) {
        subscribe(sub, "\"transactionReceipts\"");
    }
    coh_buf_free(&logs);
}

/* ---- what blocks hold ---- */

typedef struct {
    coh_test_rpc_t rpc;
    pthread_t thread;
    told_t *blocks; /* owned */
    uint64_t txs;
    uint64_t logs;
} reader_t;

static bool read_block(reader_t *reader, uint64_t number)
{
    coh_bytes_t answer;
    told_t *told = told_of(reader->blocks, number, "the reader");
    if (told == NULL ||
        !ask(&reader->rpc,
             &answer,
             "[" CALL("eth_getBlockTransactionCountByNumber",
                      "\"0x%llx\"") "," CALL("eth_getBlockReceipts", "\"0x%llx\"") "]",
             (unsigned long long)number,
             (unsigned long long)number)) {
        blame("the reader's connection was lost");
        return false;
    }
    uint64_t txs       = field_after(answer, "\"result\":");
    told->heads        = 1;
    told->receipts     = coh_test_count(answer, "\"effectiveGasPrice\"");
    told->receipt_logs = coh_test_count(answer, "\"logIndex\"");
    told->logs         = told->receipt_logs;
    if (told->receipts != txs || coh_test_count(answer, "\"status\":\"0x1\"") != txs) {
        blame("block %llu: %llu transactions, %u receipts, %u of success",
              (unsigned long long)number,
              (unsigned long long)txs,
              told->receipts,
              coh_test_count(answer, "\"status\":\"0x1\""));
    }
    if (told->receipts > 0 && told->receipts <= TRACED_TX_MAX) {
        atomic_store(&soak.small, number);
    }
    reader->txs += told->receipts;
    atomic_store(&soak.committed, reader->txs);
    reader->logs += told->logs;
    uint8_t const *hash = memmem(answer.p, answer.n, "\"transactionHash\":\"0x", 21);
    if (hash != NULL) {
        char digits[65] = "";
        memcpy(digits, hash + 21, 64);
        pthread_mutex_lock(&soak.lock);
        soak.recent = coh_test_hash(digits);
        pthread_mutex_unlock(&soak.lock);
    }
    return true;
}

static void *run_reader(void *arg)
{
    reader_t *reader = arg;
    uint64_t next    = soak.base;
    bool ok          = true;
    while (ok && !atomic_load(&soak.all_over)) {
        uint64_t head = ask_number(&reader->rpc, CALL("eth_blockNumber", ""));
        ok            = head != UINT64_MAX;
        while (ok && next <= head) {
            ok = read_block(reader, next);
            atomic_store(&soak.read_to, next);
            next++;
        }
        (void)usleep(20000);
    }
    return NULL;
}

/* ---- questions ---- */

typedef struct {
    char const *method;
    char const *
        params; /* @A an account, @T the token, @H a recent transaction, @B a block lately committed, @S a small one, @F the log filter's object, @I the kept log filter, @N the kept block filter */
    uint32_t every; /* asked in each so-manieth round */
} question_t;

static question_t const questions[] = {
    {"eth_getBalance", "\"@A\",\"latest\"", 1},
    {"eth_call", "{\"to\":\"@T\",\"data\":\"0x70a08231000000000000000000000000@a\"},\"latest\"", 1},
    {"eth_getTransactionCount", "\"@A\",\"pending\"", 1},
    {"eth_estimateGas",
     "{\"from\":\"@A\",\"to\":\"@T\",\"data\":\"0xa9059cbb000000000000000000000000@"
     "a0000000000000000000000000000000000000000000000000000000000000001\"}",
     1},
    {"eth_getLogs", "{\"fromBlock\":\"@B\",\"toBlock\":\"@B\"}", 2},
    {"eth_getBlockByNumber", "\"@B\",true", 4},
    {"eth_getTransactionReceipt", "\"@H\"", 1},
    {"eth_getTransactionByHash", "\"@H\"", 1},
    {"eth_getStorageAt", "\"@T\",\"0x2\",\"latest\"", 1},
    {"eth_getCode", "\"@T\",\"latest\"", 2},
    {"eth_getProof", "\"@A\",[],\"latest\"", 4},
    {"eth_feeHistory", "\"0x5\",\"latest\",[10,50]", 2},
    {"eth_createAccessList",
     "{\"from\":\"@A\",\"to\":\"@T\",\"data\":\"0x70a08231000000000000000000000000@a\"},\"latest\"",
     4},
    {"debug_traceTransaction", "\"@H\",{\"tracer\":\"callTracer\"}", 8},
    {"debug_traceTransaction", "\"@H\"", 8},
    {"debug_traceCall",
     "{\"from\":\"@A\",\"to\":\"@T\",\"data\":\"0x70a08231000000000000000000000000@a\"},\"latest\","
     "{\"tracer\":\"prestateTracer\"}",
     8},
    {"debug_traceBlockByNumber", "\"@S\",{\"tracer\":\"callTracer\"}", 64},
    {"eth_newFilter", "@F", 8},
    {"eth_newBlockFilter", "", 8},
    {"eth_newPendingTransactionFilter", "", 8},
    {"eth_getFilterChanges", "\"@I\"", 8},
    {"eth_getFilterChanges", "\"@N\"", 8},
    {"txpool_status", "", 4},
    {"cohort_blockStats", "\"@B\"", 4},
    {"web3_clientVersion", "", 4},
};

typedef struct {
    coh_test_rpc_t rpc;
    pthread_t thread;
    uint32_t idx;
    uint64_t asked[COH_CNT(questions)];
    uint64_t busy;
    char log_filter[64]; /* kept all the time, and polled */
    char block_filter[64];
    uint64_t filter_head; /* head when they were made */
    uint64_t filter_logs;
    uint64_t filter_blocks;
    uint32_t *balance_us; /* owned: how long eth_getBalance took, sorted at the end */
    size_t balance_cnt, balance_cap;
} asker_t;

/* put_params writes the parameters of a question, with what @ stands for. */
static void put_params(coh_buf_t *out, asker_t const *asker, char const *params, coh_rng_t *rng)
{
    coh_addr_t const *addr = &soak.accounts.v[coh_rng_below(rng, SENDER_CNT)].addr;
    char hex[COH_RPC_ADDR_SZ];
    for (char const *p = params; *p != '\0'; p++) {
        if (*p != '@') {
            coh_buf_put_u8(out, (uint8_t)*p);
            continue;
        }
        switch (*++p) {
        case 'A':
        case 'a':
            put_hex(hex, addr);
            coh_buf_printf(out, "%s", *p == 'A' ? hex : hex + 2);
            break;
        case 'T':
            put_hex(hex, &soak.token);
            coh_buf_printf(out, "%s", hex);
            break;
        case 'H': {
            coh_buf_t quoted = COH_BUF_INIT;
            pthread_mutex_lock(&soak.lock);
            coh_rpc_put_hash(&quoted, &soak.recent);
            pthread_mutex_unlock(&soak.lock);
            coh_buf_put(out, quoted.p + 1, quoted.n - 2);
            coh_buf_free(&quoted);
            break;
        }
        case 'B':
            coh_buf_printf(out, "0x%llx", (unsigned long long)atomic_load(&soak.read_to));
            break;
        case 'S':
            coh_buf_printf(out, "0x%llx", (unsigned long long)atomic_load(&soak.small));
            break;
        case 'F': put_log_filter(out); break;
        case 'I': coh_buf_printf(out, "%s", asker->log_filter); break;
        case 'N': coh_buf_printf(out, "%s", asker->block_filter); break;
        default: COH_ASSERT(false);
        }
    }
}

static void note_balance(asker_t *asker, uint64_t us)
{
    if (asker->balance_cnt == asker->balance_cap) {
        asker->balance_cap = asker->balance_cap * 2 + 1024;
        asker->balance_us =
            coh_realloc(asker->balance_us, asker->balance_cap * sizeof(*asker->balance_us));
    }
    asker->balance_us[asker->balance_cnt++] = (uint32_t)us;
}

static bool poll_filter(asker_t *asker, bool logs);

/* ask_one asks question q; false: the connection is lost. */
static bool ask_one(asker_t *asker, size_t q, coh_rng_t *rng)
{
    char const *method = questions[q].method;
    coh_buf_t call     = COH_BUF_INIT;
    coh_bytes_t answer;
    if (strcmp(method, "eth_getFilterChanges") == 0) {
        asker->asked[q]++;
        return poll_filter(asker, strchr(questions[q].params, 'I') != NULL);
    }
    coh_buf_printf(&call, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":[", method);
    put_params(&call, asker, questions[q].params, rng);
    coh_buf_printf(&call, "]}");
    uint64_t start_us = coh_clock_mono_us();
    bool ok           = coh_test_rpc_post(&asker->rpc, &answer, coh_buf_bytes(&call));
    uint64_t took_us  = coh_clock_mono_us() - start_us;
    asker->asked[q]++;
    if (!ok) {
        blame("%s: the connection was lost", method);
    } else if (memmem(answer.p, answer.n, "\"error\":", 8) != NULL) {
        if (coh_test_count(answer, "-32005") > 0) {
            asker->busy++;
        } else {
            blame("%s: %.*s", method, (int)COH_MIN(answer.n, (size_t)250), (char const *)answer.p);
        }
    } else if (q == 0) {
        note_balance(asker, took_us);
    } else if (strncmp(method, "eth_new", 7) ==
               0) { /* a filter; one is polled and ended at once, others age */
        char id[64]       = "";
        uint8_t const *at = memmem(answer.p, answer.n, "\"result\":\"", 10);
        if (at != NULL && sscanf((char const *)at + 10, "%40[0-9a-fx]", id) == 1) {
            ok = ask(&asker->rpc, &answer, CALL("eth_getFilterChanges", "\"%s\""), id) &&
                 ask(&asker->rpc, &answer, CALL("eth_uninstallFilter", "\"%s\""), id);
        }
        if (!ok || coh_test_count(answer, "\"result\":true") != 1) {
            blame("%s: it could not be ended", method);
        }
    }
    coh_buf_free(&call);
    return ok;
}

static bool poll_filter(asker_t *asker, bool logs)
{
    coh_bytes_t answer;
    if (!ask(&asker->rpc,
             &answer,
             CALL("eth_getFilterChanges", "\"%s\""),
             logs ? asker->log_filter : asker->block_filter)) {
        blame("eth_getFilterChanges: the connection was lost");
        return false;
    }
    if (memmem(answer.p, answer.n, "\"result\":[", 10) == NULL) {
        blame("eth_getFilterChanges: %.*s",
              (int)COH_MIN(answer.n, (size_t)250),
              (char const *)answer.p);
    }
    if (logs) {
        asker->filter_logs += coh_test_count(answer, "\"logIndex\"");
    } else {
        asker->filter_blocks += coh_test_count(answer, "\"0x");
    }
    return true;
}

static void *run_asker(void *arg)
{
    asker_t *asker = arg;
    coh_rng_t rng;
    coh_rng_seed(&rng, asker->idx + 1);
    bool ok = true;
    for (uint32_t round = 0; ok && !is_over(); round++) {
        for (size_t q = 0; q < COH_CNT(questions) && ok && !is_over(); q++) {
            bool is_there =
                strstr(questions[q].params, "@S") == NULL ||
                (atomic_load(&soak.small) > 0 &&
                 atomic_load(&soak.small) + TRACED_BACK_MAX > atomic_load(&soak.read_to));
            if (round % questions[q].every == 0 && is_there) {
                ok = ask_one(asker, q, &rng);
            }
            (void)usleep(2000);
        }
    }
    return NULL;
}

/* start_asker opens its connection and makes the filters that it keeps. The head is read in the same batch, and so at the same moment. */
static void start_asker(asker_t *asker, uint32_t idx)
{
    coh_buf_t calls = COH_BUF_INIT;
    coh_bytes_t answer;
    asker->idx = idx;
    open_or_die(&asker->rpc);
    coh_buf_printf(&calls, "[" CALL("eth_blockNumber", "") "," CALL("eth_newBlockFilter", "") ",");
    coh_buf_printf(&calls,
                   "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_newFilter\",\"params\":[");
    put_log_filter(&calls);
    coh_buf_printf(&calls, "]}]");
    if (!coh_test_rpc_post(&asker->rpc, &answer, coh_buf_bytes(&calls)) ||
        coh_test_count(answer, "\"result\":\"0x") != 3) {
        blame("the filters were not made");
    } else {
        asker->filter_head = field_after(answer, "\"result\":");
        char *ids[]        = {NULL, asker->block_filter, asker->log_filter};
        uint8_t const *at  = answer.p;
        for (size_t i = 0; i < COH_CNT(ids); i++) {
            at = (uint8_t const *)memmem(
                     at, (size_t)(answer.p + answer.n - at), "\"result\":\"", 10) +
                 10;
            if (ids[i] != NULL && sscanf((char const *)at, "%40[0-9a-fx]", ids[i]) != 1) {
                blame("the filters have no ids");
            }
        }
    }
    coh_buf_free(&calls);
}

/* ---- memory and descriptors ---- */

typedef struct {
    double at_s;
    double rss[RANKS];     /* octets */
    double anon[RANKS];    /* of these, of no file */
    double buffers[RANKS]; /* write buffers of RocksDB */
    double own[RANKS];     /* handed out by malloc, but for what RocksDB accounts for */
    double fds[RANKS];     /* without: */
    double tables[RANKS];
} sample_t;

/* is_table tells whether a descriptor is that of a file in which RocksDB keeps tables. */
static bool is_table(pid_t pid, char const *fd)
{
    char path[64];
    char target[256];
    (void)snprintf(path, sizeof(path), "/proc/%d/fd/%.20s", (int)pid, fd);
    ssize_t n = readlink(path, target, sizeof(target));
    return n > 4 && memcmp(target + n - 4, ".sst", 4) == 0;
}

static void count_fds(sample_t *sample, uint32_t rank, pid_t pid)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    struct dirent const *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.') {
            *(is_table(pid, entry->d_name) ? &sample->tables[rank] : &sample->fds[rank]) += 1;
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
}

/* metric reads a metric out of what /metrics says. */
static double metric(coh_bytes_t text, char const *name)
{
    uint8_t const *at = memmem(text.p, text.n, name, strlen(name));
    char line[128]    = "";
    double value      = 0;
    if (at != NULL) {
        memcpy(line, at, COH_MIN(sizeof(line) - 1, (size_t)(text.p + text.n - at)));
    }
    if (at == NULL || sscanf(line + strlen(name), "{rank=\"%*u\"} %lf", &value) != 1) {
        blame("/metrics has no %s", name + 1);
    }
    return value;
}

/* sample_heap asks the rank itself, whose figures are up to 10 s old, but of one moment. */
static double sample_heap(uint16_t port, double *buffers)
{
    static char const request[] = "GET /metrics HTTP/1.1\r\nHost: " HOST "\r\n\r\n";
    coh_test_rpc_t rpc;
    coh_bytes_t text;
    double own = 0;
    if (!coh_test_rpc_open(&rpc, HOST, port, SILENCE_S)) {
        blame("nobody listens on port %u", port);
        return 0;
    }
    if (coh_test_rpc_exchange(&rpc, &text, coh_bytes(request, sizeof(request) - 1))) {
        *buffers = metric(text, "\ncohort_rocksdb_memtable_bytes");
        own      = metric(text, "\ncohort_process_heap_used_bytes") - *buffers -
              metric(text, "\ncohort_rocksdb_cache_bytes") -
              metric(text, "\ncohort_rocksdb_reader_bytes");
    } else {
        blame("/metrics on port %u does not answer", port);
    }
    coh_test_rpc_close(&rpc);
    return own;
}

static void take_sample(sample_t *sample, coh_test_cluster_t const *cluster)
{
    pid_t pids[COH_TEST_RANKS_MAX];
    if (coh_test_cluster_ranks(cluster, pids) != RANKS) {
        blame("a rank is gone");
        return;
    }
    for (uint32_t r = 0; r < RANKS; r++) {
        char path[64];
        char line[256];
        (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pids[r]);
        FILE *file = fopen(path, "re");
        while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
            unsigned long long kib;
            if (sscanf(line, "VmRSS: %llu", &kib) == 1) {
                sample->rss[r] = (double)kib * 1024;
            } else if (sscanf(line, "RssAnon: %llu", &kib) == 1) {
                sample->anon[r] = (double)kib * 1024;
            }
        }
        if (file != NULL) {
            (void)fclose(file);
        }
        count_fds(sample, r, pids[r]);
        sample->own[r] =
            sample_heap((uint16_t)(cluster->status_port + (int)r), &sample->buffers[r]);
    }
}

static int by_value(void const *a, void const *b)
{
    double x = *(double const *)a;
    double y = *(double const *)b;
    return (x > y) - (x < y);
}

/* median_of is that of one figure, found at offset in a sample, in the quarter from..from+1 of the run. */
static double median_of(sample_t const *samples, size_t cnt, size_t offset, unsigned quarter)
{
    size_t first = cnt * quarter / 4;
    size_t end   = cnt * (quarter + 1) / 4;
    double *v    = coh_calloc(end - first + 1, sizeof(*v));
    for (size_t i = first; i < end; i++) {
        memcpy(&v[i - first], (char const *)&samples[i] + offset, sizeof(double));
    }
    qsort(v, end - first, sizeof(*v), by_value);
    double median = end > first ? v[(end - first) / 2] : 0;
    free(v);
    return median;
}

/* put_figure reports a figure of a rank, and judges it: slack is what it may grow by. */
static void put_figure(coh_buf_t *out,
                       char const *name,
                       uint32_t rank,
                       sample_t const *samples,
                       size_t cnt,
                       size_t offset,
                       double slack_part,
                       double slack,
                       bool judged)
{
    double early = median_of(samples, cnt, offset, 1);
    double late  = median_of(samples, cnt, offset, 3);
    coh_buf_printf(
        out, ",\"%s_second_quarter\":%.0f,\"%s_last_quarter\":%.0f", name, early, name, late);
    if (judged && late - early > COH_MAX(slack, slack_part * early)) {
        blame("%s of rank %u grows: median %.0f in the second quarter, %.0f in the last",
              name,
              rank,
              early,
              late);
    }
}

/* ---- the run ---- */

typedef struct {
    lane_t lanes[LANE_CNT];
    asker_t askers[ASKER_CNT];
    sub_t subs[SUB_CNT];
    reader_t reader;
    sample_t *samples;
    size_t sample_cnt;
    uint64_t seconds;
    uint64_t head; /* the last block that counts */
} run_t;

static uint64_t env_u64(char const *name, uint64_t otherwise)
{
    char const *text = getenv(name);
    return text != NULL && *text != '\0' ? strtoull(text, NULL, 10) : otherwise;
}

static void start_thread(pthread_t *thread, void *(*fn)(void *), void *arg)
{
    int rc = pthread_create(thread, NULL, fn, arg);
    COH_ASSERT(rc == 0);
}

static uint64_t taken_of(run_t const *run)
{
    uint64_t sum = 0;
    for (uint32_t l = 0; l < LANE_CNT; l++) {
        sum += run->lanes[l].taken;
    }
    return sum;
}

static void say_progress(run_t const *run, sample_t const *s)
{
    printf("%5.0f s: block %llu, %llu transactions taken; MiB resident, MiB of its own, and "
           "descriptors of each rank:",
           s->at_s,
           (unsigned long long)atomic_load(&soak.read_to),
           (unsigned long long)taken_of(run));
    for (uint32_t r = 0; r < RANKS; r++) {
        printf(" %.0f, %.0f, %.0f + %.0f%s",
               s->rss[r] / 1048576,
               s->own[r] / 1048576,
               s->fds[r],
               s->tables[r],
               r + 1 < RANKS ? ";" : "\n");
    }
    (void)fflush(stdout);
}

/* watch takes samples until the time is over. */
static void watch(run_t *run, coh_test_cluster_t const *cluster)
{
    uint64_t start_us  = coh_clock_mono_us();
    uint64_t sample_us = COH_MIN(SAMPLE_US_MAX, run->seconds * 1000000 / SAMPLES_MIN + 1);
    uint64_t say_us    = COH_MIN(UINT64_C(60000000), run->seconds * 1000000 / 6 + 1);
    size_t cap         = (size_t)(run->seconds * 1000000 / sample_us + 2);
    uint64_t said      = 0;
    run->samples       = coh_calloc(cap, sizeof(*run->samples));
    for (uint64_t i = 1; run->sample_cnt < cap; i++) {
        uint64_t due_us = start_us + i * sample_us;
        uint64_t now_us = coh_clock_mono_us();
        if (now_us < due_us) {
            (void)usleep((useconds_t)(due_us - now_us));
        }
        sample_t *s = &run->samples[run->sample_cnt++];
        take_sample(s, cluster);
        uint64_t past_us = coh_clock_mono_us() - start_us;
        s->at_s          = (double)past_us / 1e6;
        if (past_us / say_us > said) {
            said = past_us / say_us;
            say_progress(run, s);
        }
        pthread_mutex_lock(&soak.lock);
        bool is_hopeless = soak.culprit_cnt >= CULPRIT_MAX;
        pthread_mutex_unlock(&soak.lock);
        if (past_us >= run->seconds * 1000000 || is_hopeless) {
            break;
        }
    }
}

/* settle ends the load, and waits until all is in blocks and everybody has been told. */
static void settle(run_t *run)
{
    atomic_store(&soak.load_over, true);
    for (uint32_t l = 0; l < LANE_CNT; l++) {
        (void)pthread_join(run->lanes[l].thread, NULL);
    }
    for (uint32_t a = 0; a < ASKER_CNT; a++) {
        (void)pthread_join(run->askers[a].thread, NULL);
    }
    for (uint32_t l = 0; l < LANE_CNT; l++) {
        wait_until_committed(&run->lanes[l], BATCH);
    }
    run->head           = ask_number(&run->lanes[0].rpc, CALL("eth_blockNumber", ""));
    uint64_t give_up_us = coh_clock_mono_us() + SETTLE_US_MAX;
    while (atomic_load(&soak.read_to) < run->head && coh_clock_mono_us() < give_up_us) {
        (void)usleep(10000);
    }
    /* Notifications leave in order; those of the head's come after whatever else is missing. */
    (void)sleep(2);
    atomic_store(&soak.all_over, true);
    (void)pthread_join(run->reader.thread, NULL);
    for (uint32_t s = 0; s < SUB_CNT; s++) {
        (void)pthread_join(run->subs[s].thread, NULL);
    }
}

static uint32_t expected(sub_t const *sub, unsigned kind, uint32_t what)
{
    return (sub->kinds & kind) != 0 ? what : 0;
}

/* compare_sub holds what a subscriber was told against the blocks. */
static void compare_sub(run_t const *run, sub_t const *sub)
{
    for (uint64_t i = 0; soak.base + i <= run->head; i++) {
        told_t const *told = &sub->blocks[i];
        told_t const *held = &run->reader.blocks[i];
        told_t wanted      = {.heads        = expected(sub, TELLS_HEADS, held->heads),
                              .receipts     = expected(sub, TELLS_RECEIPTS, held->receipts),
                              .receipt_logs = expected(sub, TELLS_RECEIPTS, held->receipt_logs),
                              .logs         = expected(sub, TELLS_LOGS, held->logs)};
        if (memcmp(told, &wanted, sizeof(wanted)) != 0) {
            blame("subscriber %u, block %llu: told of %u heads, %u receipts with %u logs, %u logs; "
                  "there are %u, %u with %u, %u",
                  sub->idx,
                  (unsigned long long)(soak.base + i),
                  told->heads,
                  told->receipts,
                  told->receipt_logs,
                  told->logs,
                  wanted.heads,
                  wanted.receipts,
                  wanted.receipt_logs,
                  wanted.logs);
            return;
        }
    }
}

static void compare_filters(run_t const *run, asker_t *asker)
{
    /* What was not polled yet; the head may have moved on by an empty block. */
    (void)poll_filter(asker, false);
    (void)poll_filter(asker, true);
    uint64_t head   = ask_number(&asker->rpc, CALL("eth_blockNumber", ""));
    uint64_t blocks = head - asker->filter_head;
    if (asker->filter_blocks + 1 < blocks || asker->filter_blocks > blocks ||
        asker->filter_logs != run->reader.logs) {
        blame("filters: told of %llu blocks and %llu logs; there are %llu and %llu",
              (unsigned long long)asker->filter_blocks,
              (unsigned long long)asker->filter_logs,
              (unsigned long long)blocks,
              (unsigned long long)run->reader.logs);
    }
}

static int by_us(void const *a, void const *b)
{
    uint32_t x = *(uint32_t const *)a;
    uint32_t y = *(uint32_t const *)b;
    return (x > y) - (x < y);
}

static void put_askers(coh_buf_t *out, run_t *run)
{
    uint64_t busy = 0;
    coh_buf_printf(out, ",\"questions\":{");
    for (size_t q = 0; q < COH_CNT(questions); q++) {
        uint64_t asked = 0;
        for (uint32_t a = 0; a < ASKER_CNT; a++) {
            asked += run->askers[a].asked[q];
        }
        coh_buf_printf(out,
                       "%s\"%s %zu\":%llu",
                       q == 0 ? "" : ",",
                       questions[q].method,
                       q,
                       (unsigned long long)asked);
        if (asked == 0) {
            blame("%s was never asked", questions[q].method);
        }
    }
    coh_buf_printf(out, "}");
    for (uint32_t a = 0; a < ASKER_CNT; a++) {
        asker_t *asker = &run->askers[a];
        busy += asker->busy;
        qsort(asker->balance_us, asker->balance_cnt, sizeof(*asker->balance_us), by_us);
        if (a == 0 && asker->balance_cnt > 0) {
            coh_buf_printf(out,
                           ",\"balance_us_p50\":%u,\"balance_us_p99\":%u",
                           asker->balance_us[asker->balance_cnt / 2],
                           asker->balance_us[asker->balance_cnt * 99 / 100]);
        }
    }
    coh_buf_printf(out, ",\"questions_busy\":%llu", (unsigned long long)busy);
}

/* By how much the write buffers of a rank were ever larger than in the second quarter: malloc keeps what the largest had. */
static double buffers_growth(run_t const *run, uint32_t rank)
{
    size_t at  = offsetof(sample_t, buffers) + rank * sizeof(double);
    double max = 0;
    for (size_t i = 0; i < run->sample_cnt; i++) {
        max = COH_MAX(max, run->samples[i].buffers[rank]);
    }
    return max - median_of(run->samples, run->sample_cnt, at, 1);
}

static void put_ranks(coh_buf_t *out, run_t const *run)
{
    bool judged = run->seconds >= env_u64("COHORT_SOAK_FLAT_SECONDS", 1800);
    coh_buf_printf(out, ",\"flatness_judged\":%s,\"ranks\":[", judged ? "true" : "false");
    for (uint32_t r = 0; r < RANKS; r++) {
        size_t at        = r * sizeof(double);
        double rss_slack = RSS_SLACK + buffers_growth(run, r);
        coh_buf_printf(out, "%s{\"rank\":%u", r == 0 ? "" : ",", r);
        put_figure(out,
                   "rss",
                   r,
                   run->samples,
                   run->sample_cnt,
                   offsetof(sample_t, rss) + at,
                   RSS_SLACK_PART,
                   rss_slack,
                   judged);
        put_figure(out,
                   "anon",
                   r,
                   run->samples,
                   run->sample_cnt,
                   offsetof(sample_t, anon) + at,
                   RSS_SLACK_PART,
                   rss_slack,
                   judged);
        put_figure(out,
                   "own",
                   r,
                   run->samples,
                   run->sample_cnt,
                   offsetof(sample_t, own) + at,
                   RSS_SLACK_PART,
                   OWN_SLACK,
                   judged);
        put_figure(out,
                   "fds",
                   r,
                   run->samples,
                   run->sample_cnt,
                   offsetof(sample_t, fds) + at,
                   0,
                   FD_SLACK,
                   judged);
        double tables = 0;
        for (size_t i = 0; i < run->sample_cnt; i++) {
            tables = COH_MAX(tables, run->samples[i].tables[r]);
        }
        coh_buf_printf(out, ",\"table_fds_max\":%.0f", tables);
        if (tables > TABLE_FDS_MAX) {
            blame("rank %u has %.0f tables open", r, tables);
        }
        coh_buf_printf(out, "}");
    }
    coh_buf_printf(out, "],\"samples\":[");
    for (size_t i = 0; i < run->sample_cnt; i++) {
        sample_t const *s = &run->samples[i];
        coh_buf_printf(out, "%s[%.0f", i == 0 ? "" : ",", s->at_s);
        for (uint32_t r = 0; r < RANKS; r++) {
            coh_buf_printf(
                out, ",%.0f,%.0f,%.0f,%.0f", s->rss[r], s->own[r], s->fds[r], s->tables[r]);
        }
        coh_buf_printf(out, "]");
    }
    coh_buf_printf(out, "]");
}

/* judge holds everything against everything, and writes the report. */
static void judge(run_t *run, coh_buf_t *out)
{
    uint64_t taken = taken_of(run);
    if (run->reader.txs != taken) {
        blame("%llu transactions were taken, and blocks hold %llu",
              (unsigned long long)taken,
              (unsigned long long)run->reader.txs);
    }
    coh_buf_printf(
        out,
        "{\"bench\":\"soak\",\"seconds\":%llu,\"rate_asked\":%llu,\"taken\":%llu,\"taken_per_s\":%."
        "0f,"
        "\"refused_busy\":%llu,\"committed\":%llu,\"blocks\":%llu,\"logs\":%llu,\"subscribers\":[",
        (unsigned long long)run->seconds,
        (unsigned long long)soak.rate,
        (unsigned long long)taken,
        (double)taken / (double)run->seconds,
        (unsigned long long)(run->lanes[0].busy + run->lanes[1].busy),
        (unsigned long long)run->reader.txs,
        (unsigned long long)(run->head - soak.base + 1),
        (unsigned long long)run->reader.logs);
    for (uint32_t s = 0; s < SUB_CNT; s++) {
        sub_t const *sub = &run->subs[s];
        compare_sub(run, sub);
        coh_buf_printf(out,
                       "%s{\"events\":%llu,\"pooled\":%llu}",
                       s == 0 ? "" : ",",
                       (unsigned long long)sub->events,
                       (unsigned long long)sub->pooled);
    }
    coh_buf_printf(out, "]");
    for (uint32_t a = 0; a < ASKER_CNT; a++) {
        compare_filters(run, &run->askers[a]);
    }
    put_askers(out, run);
    put_ranks(out, run);
}

static void end_report(coh_buf_t *out)
{
    coh_buf_printf(out,
                   ",\"ok\":%s,\"culprits\":[%.*s]}\n",
                   soak.culprit_cnt == 0 ? "true" : "false",
                   (int)soak.culprits.n,
                   (char const *)soak.culprits.p);
}

static void start_all(run_t *run)
{
    static char const signature[] = "Transfer(address,address,uint256)";
    coh_keccak256(&soak.transfer_topic, signature, sizeof(signature) - 1);
    for (uint32_t l = 0; l < LANE_CNT; l++) {
        run->lanes[l].idx = l;
        open_or_die(&run->lanes[l].rpc);
    }
    make_token(run->lanes);
    (void)sleep(2); /* the empty block behind it */
    open_or_die(&run->reader.rpc);
    soak.base          = ask_number(&run->reader.rpc, CALL("eth_blockNumber", "")) + 1;
    run->reader.blocks = coh_calloc(soak.cap, sizeof(told_t));
    for (uint32_t s = 0; s < SUB_CNT; s++) {
        start_sub(&run->subs[s], s);
        start_thread(&run->subs[s].thread, run_sub, &run->subs[s]);
    }
    for (uint32_t a = 0; a < ASKER_CNT; a++) {
        start_asker(&run->askers[a], a);
    }
    start_thread(&run->reader.thread, run_reader, &run->reader);
    for (uint32_t l = 0; l < LANE_CNT; l++) {
        start_thread(&run->lanes[l].thread, run_lane, &run->lanes[l]);
    }
    while (atomic_load(&soak.read_to) < soak.base + 1) { /* there is a transaction to ask about */
        (void)usleep(10000);
    }
    for (uint32_t a = 0; a < ASKER_CNT; a++) {
        start_thread(&run->askers[a].thread, run_asker, &run->askers[a]);
    }
}

static void close_all(run_t *run)
{
    for (uint32_t l = 0; l < LANE_CNT; l++) {
        coh_test_rpc_close(&run->lanes[l].rpc);
    }
    for (uint32_t a = 0; a < ASKER_CNT; a++) {
        coh_test_rpc_close(&run->askers[a].rpc);
        free(run->askers[a].balance_us);
    }
    for (uint32_t s = 0; s < SUB_CNT; s++) {
        coh_test_rpc_close(&run->subs[s].rpc);
        free(run->subs[s].blocks);
    }
    coh_test_rpc_close(&run->reader.rpc);
    free(run->reader.blocks);
    free(run->samples);
}

int main(void)
{
    static run_t run;
    coh_test_cluster_t cluster;
    coh_buf_t report = COH_BUF_INIT;
    run.seconds      = env_u64("COHORT_SOAK_SECONDS", 3600);
    soak.rate        = env_u64("COHORT_SOAK_RATE", 3000);
    soak.cap         = (run.seconds + 300) * BLOCKS_PER_S;
    COH_ASSERT(run.seconds > 0 && soak.rate > 0);
    coh_bench_accounts_new(&soak.accounts, 1, SENDER_CNT, 2);
    coh_test_cluster_init(&cluster, SHARDS, &soak.accounts);
    cluster.serves_http = true;
    /* Traces of blocks read one key after another from other shards: on a busy machine that takes its time. */
    cluster.options[0] = "--call-time-ms 20000";
    coh_test_cluster_start(&cluster);
    if (coh_test_cluster_wait_ready(&cluster) < 0) {
        char *log = coh_test_cluster_log(&cluster);
        (void)fprintf(stderr, "soak: the cluster did not start:\n%s\n", log);
        free(log);
        coh_test_cluster_fini(&cluster);
        return 1;
    }
    soak.port = (uint16_t)cluster.http_port;
    start_all(&run);
    watch(&run, &cluster);
    settle(&run);
    judge(&run, &report);
    if (coh_test_cluster_stop(&cluster) != 0) {
        blame("the cluster did not end well");
    }
    if (coh_test_cluster_crashed(&cluster)) {
        blame("a rank crashed");
    }
    end_report(&report);
    char const *path = getenv("COHORT_SOAK_REPORT");
    FILE *file       = path != NULL ? fopen(path, "we") : NULL;
    if (file != NULL) {
        (void)fwrite(report.p, 1, report.n, file);
        (void)fclose(file);
    }
    (void)fwrite(report.p, 1, report.n, stdout);
    close_all(&run);
    coh_test_cluster_fini(&cluster);
    coh_bench_accounts_free(&soak.accounts);
    coh_buf_free(&report);
    coh_buf_free(&soak.culprits);
    return soak.culprit_cnt == 0 ? 0 : 1;
}
