#include "tests/mpi/cluster.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/clock.h"

#define PATIENCE_US UINT64_C(30000000)

static int connect_to(int port)
{
    int fd                  = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in addr = {.sin_family      = AF_INET,
                               .sin_port        = htons((uint16_t)port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = 2};
    COH_ASSERT(fd >= 0 &&
               setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0);
    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* The first of cnt neighbouring ports on which nobody listens, below those for outgoing connections. */
static int free_ports(int cnt)
{
    for (;;) {
        int base = 12000 + (int)(coh_mix64(coh_clock_mono_us() ^ (uint64_t)getpid()) % 18000);
        int i    = 0;
        for (; i < cnt; i++) {
            int fd = connect_to(base + i);
            if (fd >= 0) {
                close(fd);
                break;
            }
        }
        if (i == cnt) {
            return base;
        }
    }
}

void coh_test_sh(char const *fmt, ...)
{
    char command[1024];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(command, sizeof(command), fmt, args);
    va_end(args);
    COH_ASSERT(n > 0 && (size_t)n < sizeof(command));
    COH_ASSERT(system(command) == 0);
}

void coh_test_cluster_init(coh_test_cluster_t *c,
                           uint32_t shard_cnt,
                           coh_bench_accounts_t const *accounts)
{
    *c = (coh_test_cluster_t){.shard_cnt = shard_cnt};
    (void)snprintf(c->dir, sizeof(c->dir), "/tmp/cohort-test.XXXXXX");
    COH_ASSERT(mkdtemp(c->dir) != NULL);
    (void)snprintf(c->data, sizeof(c->data), "%s/data", c->dir);
    (void)snprintf(c->genesis, sizeof(c->genesis), "%s/genesis.json", c->dir);
    coh_buf_t text = COH_BUF_INIT;
    coh_bench_genesis_put(&text, accounts);
    FILE *file = fopen(c->genesis, "we");
    COH_ASSERT(file != NULL && fwrite(text.p, 1, text.n, file) == text.n && fclose(file) == 0);
    coh_buf_free(&text);
}

void coh_test_cluster_fini(coh_test_cluster_t *c)
{
    if (c->mpirun != 0) {
        coh_test_cluster_kill(c, -1);
    }
    coh_test_sh("rm -rf '%s'", c->dir);
}

void coh_test_cluster_start(coh_test_cluster_t *c)
{
    COH_ASSERT(c->mpirun == 0);
    int port = free_ports((int)c->shard_cnt + 4);
    (void)snprintf(c->requests, sizeof(c->requests), "tcp://127.0.0.1:%d", port);
    (void)snprintf(c->publications, sizeof(c->publications), "tcp://127.0.0.1:%d", port + 1);
    c->status_port = port + 2;
    c->http_port   = port + 3 + (int)c->shard_cnt; /* each rank has a status port */
    coh_test_sh("rm -rf '%s/logs' && mkdir '%s/logs'", c->dir, c->dir);

    coh_buf_t cmd = COH_BUF_INIT;
    coh_buf_printf(&cmd,
                   ". %s/deploy/mpi-env.sh && exec mpirun -n %u %s node --data '%s' --genesis '%s' "
                   "--client-listen %s --client-publish %s "
                   "--status-listen 127.0.0.1:%d --log-file '%s/logs/log'",
                   COH_SOURCE_DIR,
                   c->shard_cnt + 1,
                   COHORT_PROGRAM,
                   c->data,
                   c->genesis,
                   c->requests,
                   c->publications,
                   c->status_port,
                   c->dir);
    if (c->serves_http) {
        coh_buf_printf(&cmd, " --http 127.0.0.1:%d", c->http_port);
    }
    for (size_t i = 0; c->options[i] != NULL; i++) {
        coh_buf_printf(&cmd, " %s", c->options[i]);
    }
    coh_buf_printf(&cmd, " </dev/null >'%s/logs/mpirun' 2>&1", c->dir);
    coh_buf_put_u8(&cmd, 0);
    c->mpirun = fork();
    COH_ASSERT(c->mpirun >= 0);
    if (c->mpirun == 0) {
        (void)setsid();
        execl("/bin/sh", "sh", "-c", (char const *)cmd.p, (char *)NULL);
        _exit(127);
    }
    coh_buf_free(&cmd);
}

static int exit_code_of(int status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Exit code if mpirun has ended, else -1. */
static int poll_end(coh_test_cluster_t *c)
{
    int status;
    if (waitpid(c->mpirun, &status, WNOHANG) != c->mpirun) {
        return -1;
    }
    c->mpirun = 0;
    return exit_code_of(status);
}

int coh_test_cluster_wait_ready(coh_test_cluster_t *c)
{
    static char const request[] = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    uint64_t start              = coh_clock_mono_us();
    while (coh_clock_mono_us() - start < PATIENCE_US) {
        if (coh_test_http(c, coh_bytes(request, sizeof(request) - 1)) == 200) {
            return (int)((coh_clock_mono_us() - start) / 1000);
        }
        if (poll_end(c) >= 0) {
            return -1;
        }
        usleep(20000);
    }
    return -1;
}

size_t coh_test_cluster_ranks(coh_test_cluster_t const *c, pid_t out[COH_TEST_RANKS_MAX])
{
    /* mpirun starts them in their order. */
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)c->mpirun, (int)c->mpirun);
    FILE *file = fopen(path, "re");
    size_t cnt = 0;
    int pid;
    while (file != NULL && cnt < COH_TEST_RANKS_MAX && fscanf(file, "%d", &pid) == 1) {
        out[cnt++] = pid;
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return cnt;
}

int coh_test_cluster_wait(coh_test_cluster_t *c)
{
    uint64_t start = coh_clock_mono_us();
    while (c->mpirun != 0 && coh_clock_mono_us() - start < PATIENCE_US) {
        int code = poll_end(c);
        if (code >= 0) {
            return code;
        }
        usleep(10000);
    }
    return -1;
}

int coh_test_cluster_stop(coh_test_cluster_t *c)
{
    pid_t ranks[COH_TEST_RANKS_MAX];
    size_t cnt = coh_test_cluster_ranks(c, ranks);
    for (size_t i = 0; i < cnt; i++) {
        (void)kill(ranks[i], SIGTERM);
    }
    return coh_test_cluster_wait(c);
}

void coh_test_cluster_kill(coh_test_cluster_t *c, int rank)
{
    pid_t ranks[COH_TEST_RANKS_MAX];
    size_t cnt = coh_test_cluster_ranks(c, ranks);
    COH_ASSERT(rank < (int)cnt);
    if (rank < 0) {
        (void)kill(c->mpirun, SIGKILL);
    }
    for (size_t i = 0; i < cnt; i++) {
        if (rank < 0 || (size_t)rank == i) {
            (void)kill(ranks[i], SIGKILL);
        }
    }
    COH_ASSERT(coh_test_cluster_wait(c) >= 0);
    /* Ranks whose mpirun was killed are nobody's children any more: wait until they are gone. */
    for (size_t i = 0; i < cnt; i++) {
        for (int try = 0; kill(ranks[i], 0) == 0 && try < 500; try++) {
            usleep(10000);
        }
    }
}

void coh_test_cluster_signal(coh_test_cluster_t const *c, int rank, int number)
{
    pid_t ranks[COH_TEST_RANKS_MAX];
    size_t cnt = coh_test_cluster_ranks(c, ranks);
    COH_ASSERT(rank >= 0 && (size_t)rank < cnt && kill(ranks[rank], number) == 0);
}

char *coh_test_cluster_log(coh_test_cluster_t const *c)
{
    coh_buf_t text = COH_BUF_INIT;
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/logs", c->dir);
    DIR *dir = opendir(path);
    struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        (void)snprintf(path, sizeof(path), "%s/logs/%s", c->dir, entry->d_name);
        FILE *file = entry->d_name[0] == '.' ? NULL : fopen(path, "re");
        if (file != NULL) {
            char chunk[4096];
            size_t n;
            while ((n = fread(chunk, 1, sizeof(chunk), file)) > 0) {
                coh_buf_put(&text, chunk, n);
            }
            (void)fclose(file);
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    coh_buf_put_u8(&text, 0);
    return (char *)text.p;
}

bool coh_test_cluster_crashed(coh_test_cluster_t const *c)
{
    static char const *const signs[] = {"exited on signal",
                                        "Signal code:",
                                        "COH_ASSERT",
                                        "assertion",
                                        "AddressSanitizer",
                                        "runtime error:"};
    char *log                        = coh_test_cluster_log(c);
    bool crashed                     = false;
    for (size_t i = 0; i < COH_CNT(signs); i++) {
        crashed |= strstr(log, signs[i]) != NULL;
    }
    if (crashed) {
        (void)fprintf(stderr, "--- logs\n%s---\n", log);
    }
    free(log);
    return crashed;
}

int coh_test_http(coh_test_cluster_t const *c, coh_bytes_t request)
{
    int fd = connect_to(c->status_port);
    if (fd < 0) {
        return 0;
    }
    char answer[64] = "";
    int status      = 0;
    if (send(fd, request.p, request.n, MSG_NOSIGNAL) == (ssize_t)request.n &&
        recv(fd, answer, sizeof(answer) - 1, MSG_WAITALL) > 12) {
        (void)sscanf(answer, "HTTP/1.1 %d", &status);
    }
    close(fd);
    return status;
}

bool coh_test_tcp(int port, coh_bytes_t bytes)
{
    int fd = connect_to(port);
    if (fd < 0) {
        return false;
    }
    (void)send(fd, bytes.p, bytes.n, MSG_NOSIGNAL);
    close(fd);
    return true;
}

coh_client_t *coh_test_client(coh_test_cluster_t const *c, uint32_t timeout_ms)
{
    coh_client_options_t options = COH_CLIENT_OPTIONS_DEFAULT;
    options.timeout_ms           = timeout_ms;
    coh_client_t *client;
    COH_ASSERT(coh_client_open(&client, c->requests, &options, NULL) == COH_OK);
    return client;
}

coh_u256_t coh_test_refresh(coh_client_t *client, coh_bench_accounts_t *accounts)
{
    size_t cnt        = accounts->cnt + 1;
    coh_addr_t *addrs = coh_calloc(cnt, sizeof(*addrs));
    for (size_t i = 0; i < accounts->cnt; i++) {
        addrs[i] = accounts->v[i].addr;
    }
    addrs[accounts->cnt]              = accounts->coinbase;
    coh_op_accounts_request_t request = {.addrs = {.v = addrs, .cnt = (uint32_t)cnt}};
    coh_op_accounts_answer_t answer;
    coh_err_t err = coh_client_accounts(client, &answer, &request);
    if (err != COH_OK) {
        (void)fprintf(stderr, "accounts: %s\n", coh_client_error(client));
    }
    COH_ASSERT(err == COH_OK && answer.accounts.cnt == cnt);
    coh_u256_t sum = COH_U256_ZERO;
    for (size_t i = 0; i < cnt; i++) {
        coh_op_account_t const *a = &answer.accounts.v[i];
        COH_ASSERT(!coh_u256_add(&sum, &sum, &a->balance));
        if (i < accounts->cnt) {
            accounts->v[i].nonce   = a->nonce;
            accounts->v[i].balance = a->balance;
        }
    }
    free(addrs);
    return sum;
}
