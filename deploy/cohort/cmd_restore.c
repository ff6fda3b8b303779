/* cohort restore: makes a data directory of a backup. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/hex.h"
#include "common/obs/log.h"
#include "deploy/cohort/args.h"
#include "deploy/cohort/cmd.h"
#include "deploy/cohort/restore.h"

typedef struct {
    uint32_t v[COH_RESTORE_RANKS_MAX];
    size_t cnt;
} ranks_t;

static coh_err_t take_rank(void *dst, char const *value, coh_buf_t *err_text)
{
    ranks_t *ranks     = dst;
    char *end          = NULL;
    unsigned long rank = strtoul(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end != '\0' || rank >= COH_RESTORE_RANKS_MAX ||
        ranks->cnt == COH_RESTORE_RANKS_MAX) {
        coh_buf_printf(err_text, "expected the number of a rank");
        return COH_EINVAL;
    }
    ranks->v[ranks->cnt++] = (uint32_t)rank;
    return COH_OK;
}

static void show(void *arg, char const *text)
{
    (void)arg;
    (void)fprintf(stderr, "%s\n", text);
}

static void print(bool json, bool was_checked_only, coh_restore_done_t const *d)
{
    char root[65];
    char hash[65];
    coh_hex_encode(root, d->state_root.b, sizeof(d->state_root.b));
    coh_hex_encode(hash, d->hash.b, sizeof(d->hash.b));
    if (json) {
        printf("{\"result\":\"%s\",\"chain_id\":%" PRIu64 ",\"block\":%" PRIu64
               ",\"hash\":\"0x%s\",\"state_root\":\"0x%s\",\"shards\":%u,\"time\":%" PRIu64
               ",\"files\":%" PRIu64 ",\"bytes\":%" PRIu64 "}\n",
               d->was_finished    ? "finished"
               : was_checked_only ? "sound"
                                  : "done",
               d->chain_id,
               d->block,
               hash,
               root,
               d->shard_cnt,
               d->unix_s,
               d->file_cnt,
               d->file_bytes);
    } else if (d->was_finished) {
        printf("an earlier restore had only to be finished\n");
    } else {
        printf("%s: block %" PRIu64 " 0x%s of chain %" PRIu64 ", %u shards, %" PRIu64
               " files, %.1f MB\n",
               was_checked_only ? "the backup is sound" : "restored",
               d->block,
               hash,
               d->chain_id,
               d->shard_cnt,
               d->file_cnt,
               (double)d->file_bytes / 1e6);
    }
}

int coh_cmd_restore(int argc, char **argv)
{
    static coh_config_t config;
    static bool json;
    static char const *from = "";
    static ranks_t ranks;
    static coh_arg_t const args[] = {
        COH_ARG_STR_ROW("from", "DIR", &from, "the backup"),
        COH_ARG_CALL_ROW("rank",
                         "RANK",
                         take_rank,
                         &ranks,
                         "restore only this one, and others that are named likewise: on a host "
                         "that has only some"),
        COH_ARG_FLAG_ROW("json", &json, "the result as one line of JSON"),
    };
    static coh_command_t const command = {
        .name  = "restore",
        .about = "Makes a data directory of a backup (cohort backup), which goes on at the block "
                 "of the backup when a cluster starts on it. The manifest and every file's "
                 "checksum are compared; nothing is restored of a backup that is not whole, and "
                 "nothing over data that is there. Without --data the backup is only looked at.",
        .examples = "  cohort restore --from /backups/monday\n"
                    "  cohort restore --from /backups/monday --data /var/lib/cohort\n",
        .args     = args,
        .arg_cnt  = COH_CNT(args),
    };
    int exit_code = COH_EXIT_OK;
    if (coh_args_parse(&command, &config, argc, argv, &exit_code) < 0) {
        return exit_code;
    }
    if (from[0] == '\0') {
        (void)fprintf(stderr, "cohort restore: --from DIR is needed\n");
        return COH_EXIT_USAGE;
    }
    (void)coh_log_init(strcmp(config.log_level, "info") == 0 ? "warn" : config.log_level, "");
    coh_restore_options_t options = {
        .from     = from,
        .data     = config.node_data[0] != '\0' ? config.node_data : NULL,
        .genesis  = config.node_genesis[0] != '\0' ? config.node_genesis : NULL,
        .only     = ranks.cnt != 0 ? ranks.v : NULL,
        .only_cnt = ranks.cnt,
        .progress = show,
    };
    coh_restore_done_t done;
    coh_buf_t text = COH_BUF_INIT;
    if (coh_restore(&done, &options, &text) == COH_OK) {
        print(json, options.data == NULL, &done);
    } else {
        (void)fprintf(stderr, "cohort restore: %.*s\n", (int)text.n, (char const *)text.p);
        exit_code = COH_EXIT_FAILED;
    }
    coh_buf_free(&text);
    return exit_code;
}
