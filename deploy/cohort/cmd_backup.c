/* cohort backup: asks a running cluster for a backup and waits until it is whole. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/hex.h"
#include "common/client/client.h"
#include "common/config/secret.h"
#include "common/crypto/hmac.h"
#include "deploy/cohort/args.h"
#include "deploy/cohort/cmd.h"
#include "deploy/cohort/files.h"

#define POLL_NS     200000000L
#define PROGRESS_US UINT64_C(2000000)

static coh_err_t say(coh_client_t *client, coh_err_t rc)
{
    if (rc != COH_OK) {
        (void)fprintf(stderr, "cohort backup: %s\n", coh_client_error(client));
    }
    return rc;
}

static void print(bool json, char const *path, coh_op_backup_state_answer_t const *s, uint64_t us)
{
    char root[65];
    coh_hex_encode(root, s->state_root.b, sizeof(s->state_root.b));
    if (json) {
        printf("{\"result\":\"done\",\"block\":%" PRIu64
               ",\"state_root\":\"0x%s\",\"ranks\":%u,\"bytes\":%" PRIu64 ",\"us\":%" PRIu64 "}\n",
               s->block,
               root,
               s->rank_cnt,
               s->file_bytes,
               us);
    } else {
        printf("%s: block %" PRIu64 ", state root 0x%s, %u ranks, %.1f MB, in %.1f s\n",
               path,
               s->block,
               root,
               s->rank_cnt,
               (double)s->file_bytes / 1e6,
               (double)us / 1e6);
    }
}

/* Waits for the end of a backup. */
static coh_err_t wait_for(coh_client_t *client, uint64_t number, bool json, char const *path)
{
    uint64_t begun_us = coh_clock_mono_us();
    uint64_t shown_us = begun_us;
    for (;;) {
        coh_op_backup_state_request_t request = {.backup = number};
        coh_op_backup_state_answer_t state;
        COH_TRY(say(client, coh_client_backup_state(client, &state, &request)));
        uint64_t now_us = coh_clock_mono_us();
        if (state.state == COH_OP_BACKUP_DONE) {
            print(json, path, &state, now_us - begun_us);
            return COH_OK;
        }
        if (state.state != COH_OP_BACKUP_RUNNING) {
            (void)fprintf(
                stderr, "cohort backup: %.*s\n", (int)state.text.n, (char const *)state.text.p);
            return COH_EIO;
        }
        if (now_us - shown_us >= PROGRESS_US) {
            shown_us = now_us;
            (void)fprintf(stderr,
                          "%u of %u ranks are done, %.1f MB\n",
                          state.done_cnt,
                          state.rank_cnt,
                          (double)state.file_bytes / 1e6);
        }
        (void)nanosleep(&(struct timespec){.tv_nsec = POLL_NS}, NULL);
    }
}

/* Absolute, as the ranks need it; the caller frees it. */
static char *absolute(char const *path)
{
    char *here     = path[0] == '/' ? NULL : getcwd(NULL, 0);
    char *absolute = here != NULL ? coh_path_of("%s/%s", here, path) : coh_path_of("%s", path);
    free(here);
    return absolute;
}

static coh_err_t open_client(coh_client_t **client,
                             char const *connect,
                             char const *token_file,
                             uint32_t timeout_ms)
{
    coh_client_options_t options = COH_CLIENT_OPTIONS_DEFAULT;
    coh_buf_t text               = COH_BUF_INIT;
    coh_buf_t token              = COH_BUF_INIT;
    coh_err_t rc =
        coh_secret_load(&token, "client-token-file", token_file, COH_SECRET_TOKEN_MIN, &text);
    if (rc == COH_OK) {
        options.timeout_ms = timeout_ms;
        options.token      = coh_buf_bytes(&token);
        rc                 = coh_client_open(client, connect, &options, &text);
        coh_secret_wipe(token.p, token.n);
    }
    if (rc != COH_OK) {
        (void)fprintf(stderr, "cohort backup: %.*s\n", (int)text.n, (char const *)text.p);
    }
    coh_buf_free(&token);
    coh_buf_free(&text);
    return rc;
}

int coh_cmd_backup(int argc, char **argv)
{
    char const *connect    = "tcp://127.0.0.1:7545";
    char const *to         = "";
    char const *token_file = "";
    uint64_t timeout_ms    = 10000;
    bool json              = false;
    coh_arg_t const args[] = {
        COH_ARG_STR_ROW("to",
                        "DIR",
                        &to,
                        "folder to make, on each rank's host; below node-backups of each rank"),
        COH_ARG_STR_ROW(
            "connect", "ADDRESS", &connect, "nanomsg address of the cluster (its client-listen)"),
        COH_ARG_STR_ROW(
            "client-token-file",
            "FILE",
            &token_file,
            "file, mode 0600, with the operator's token: the cluster's client-token-file"),
        COH_ARG_U64_ROW(
            "timeout-ms", "N", &timeout_ms, 1, 3600000, "how long to wait for an answer, in ms"),
        COH_ARG_FLAG_ROW("json", &json, "the result as one line of JSON"),
    };
    coh_command_t const command = {
        .name  = "backup",
        .about = "Makes a backup of a running cluster: of all ranks, at one block, while blocks go "
                 "on. Each rank makes DIR/rank-N on its host, out of links to its files where DIR "
                 "is on the same file system; rank 0 adds DIR/manifest.json when all are done. "
                 "Without that it is no backup. The cluster must have been started with "
                 "--node-backups, below which DIR lies, and, rank 0, with --client-token-file.",
        .examples = "  cohort backup --client-token-file /etc/cohort/token --to /backups/monday\n",
        .args     = args,
        .arg_cnt  = COH_CNT(args),
    };
    int exit_code;
    if (coh_args_parse(&command, NULL, argc, argv, &exit_code) < 0) {
        return exit_code;
    }
    if (to[0] == '\0' || token_file[0] == '\0') {
        (void)fprintf(stderr, "cohort backup: --to DIR and --client-token-file FILE are needed\n");
        return COH_EXIT_USAGE;
    }
    coh_client_t *client = NULL;
    char *path           = absolute(to);
    coh_err_t rc         = open_client(&client, connect, token_file, (uint32_t)timeout_ms);
    if (rc == COH_OK) {
        coh_op_backup_request_t request = {.path = coh_bytes(path, strlen(path))};
        coh_op_backup_answer_t answer;
        rc = say(client, coh_client_backup(client, &answer, &request));
        if (rc == COH_OK) {
            rc = wait_for(client, answer.backup, json, path);
        }
        coh_client_close(client);
    }
    free(path);
    return rc == COH_OK ? COH_EXIT_OK : COH_EXIT_FAILED;
}
