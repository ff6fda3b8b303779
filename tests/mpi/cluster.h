/* cluster.h: a real cluster for tests: 1 + N ranks of the program under mpirun, with a data directory, ports and logs of its own below a
   temporary folder. Failures of the harness itself stop the test. One thread. */
#ifndef COH_TEST_CLUSTER_H
#define COH_TEST_CLUSTER_H

#include <sys/types.h>

#include "common/client/client.h"
#include "deploy/cohort/bench_load.h"

#define COH_TEST_OPTIONS_MAX 16

typedef struct {
    char dir[64];      /* temporary folder: genesis.json, data/, logs */
    char data[128];    /* data directory to start on */
    char genesis[128]; /* genesis to start with */
    char requests[64]; /* addresses, new at each start */
    char publications[64];
    int status_port;
    int http_port;    /* of JSON-RPC, new at each start */
    bool serves_http; /* false: it is not served */
    uint32_t shard_cnt;
    char const *options
        [COH_TEST_OPTIONS_MAX]; /* further options of `cohort node`, NULL-terminated; borrowed */
    pid_t mpirun;               /* 0: not running */
} coh_test_cluster_t;

/* coh_test_cluster_init makes the folder and a genesis that funds accounts (bench_load.h); nothing is started. */
void coh_test_cluster_init(coh_test_cluster_t *c,
                           uint32_t shard_cnt,
                           coh_bench_accounts_t const *accounts);
/* coh_test_cluster_fini kills what still runs and removes the folder. */
void coh_test_cluster_fini(coh_test_cluster_t *c);

void coh_test_cluster_start(coh_test_cluster_t *c);
/* coh_test_cluster_wait_ready waits until /readyz says 200. Returns the milliseconds since the start, or -1: it ended, or 30 s were over. */
int coh_test_cluster_wait_ready(coh_test_cluster_t *c);
/* coh_test_cluster_stop asks for a clean end by SIGTERM to the ranks; returns mpirun's exit code (128 + signal if it died of one). */
int coh_test_cluster_stop(coh_test_cluster_t *c);
/* coh_test_cluster_wait waits up to 30 s for it to end by itself; returns as stop does, or -1. */
int coh_test_cluster_wait(coh_test_cluster_t *c);
/* coh_test_cluster_kill sends SIGKILL to one rank, or to all and mpirun with rank -1, and waits until all have gone. */
void coh_test_cluster_kill(coh_test_cluster_t *c, int rank);
/* coh_test_cluster_ranks writes the processes of the ranks, coordinator first, and returns how many there are. */
#define COH_TEST_RANKS_MAX 16
size_t coh_test_cluster_ranks(coh_test_cluster_t const *c, pid_t out[COH_TEST_RANKS_MAX]);
/* coh_test_cluster_signal sends a signal to one rank. */
void coh_test_cluster_signal(coh_test_cluster_t const *c, int rank, int number);

/* coh_test_cluster_log reads all logs of the last start into one NUL-terminated text; the caller frees it. */
char *coh_test_cluster_log(coh_test_cluster_t const *c);
/* coh_test_cluster_crashed is true if the logs tell of a signal, a failed assertion or a sanitizer's finding. */
bool coh_test_cluster_crashed(coh_test_cluster_t const *c);

/* coh_test_http sends bytes to the status port of rank 0 and returns the HTTP status of the answer, 0 without one. */
int coh_test_http(coh_test_cluster_t const *c, coh_bytes_t request);
/* coh_test_tcp opens a connection to 127.0.0.1:port, sends bytes and closes; false if nobody listens. */
bool coh_test_tcp(int port, coh_bytes_t bytes);

/* coh_test_client opens a client that waits at most timeout_ms for an answer. */
coh_client_t *coh_test_client(coh_test_cluster_t const *c, uint32_t timeout_ms);
/* coh_test_refresh fills in nonces and balances of accounts, and returns their sum with the coinbase's. */
coh_u256_t coh_test_refresh(coh_client_t *client, coh_bench_accounts_t *accounts);

/* Runs a shell command; stops the test if it fails. */
COH_PRINTF(1, 2) void coh_test_sh(char const *fmt, ...);

#endif
