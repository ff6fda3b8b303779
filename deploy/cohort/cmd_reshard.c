/* cohort reshard: other data for another number of shards, the same chain and state. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/hex.h"
#include "common/obs/log.h"
#include "deploy/cohort/args.h"
#include "deploy/cohort/cmd.h"
#include "deploy/cohort/reshard.h"

static void show(void *arg, char const *text)
{
    (void)arg;
    (void)fprintf(stderr, "%s\n", text);
}

static void print(bool json, coh_reshard_done_t const *done, uint64_t to, uint64_t us)
{
    char root[65];
    coh_hex_encode(root, done->state_root.b, sizeof(done->state_root.b));
    if (json) {
        printf("{\"result\":\"%s\",\"from\":%u,\"to\":%" PRIu64 ",\"head\":%" PRIu64
               ",\"state_root\":\"0x%s\",\"accounts\":%" PRIu64 ",\"slots\":%" PRIu64
               ",\"dropped\":%" PRIu64 ",\"us\":%" PRIu64 "}\n",
               done->was_finished ? "finished" : "done",
               done->from_cnt,
               to,
               done->head,
               root,
               done->account_cnt,
               done->slot_cnt,
               done->dropped_cnt,
               us);
    } else if (done->was_finished) {
        printf("an earlier reshard or restore had only to be finished; if that was not to %" PRIu64
               " shards, run this again\n",
               to);
    } else {
        printf("%u shards -> %" PRIu64 ": block %" PRIu64 ", state root 0x%s, %" PRIu64
               " accounts, %" PRIu64 " slots, in %.1f s\n",
               done->from_cnt,
               to,
               done->head,
               root,
               done->account_cnt,
               done->slot_cnt,
               (double)us / 1e6);
    }
}

int coh_cmd_reshard(int argc, char **argv)
{
    static coh_config_t config;
    static bool json;
    static uint64_t to;
    static coh_arg_t const args[] = {
        COH_ARG_U64_ROW("to", "SHARDS", &to, 0, COH_RESHARD_SHARDS_MAX, "shards to lay it out for"),
        COH_ARG_FLAG_ROW("json", &json, "the result as one line of JSON"),
    };
    static coh_command_t const command = {
        .name  = "reshard",
        .about = "Lays a data directory that no cluster uses out for another number of shards: the "
                 "same blocks, receipts and state root, and the chain goes on. All ranks' folders "
                 "must be in the directory, with room for another copy of the state. The new ones "
                 "are checked before they take the "
                 "place of the old ones, which stay in DIR/previous. Killed before that nothing "
                 "has changed; killed in the middle of changing places, the same command ends it.",
        .examples = "  cohort reshard --data ./data --to 5\n",
        .args     = args,
        .arg_cnt  = COH_CNT(args),
    };
    int exit_code = COH_EXIT_OK;
    if (coh_args_parse(&command, &config, argc, argv, &exit_code) < 0) {
        return exit_code;
    }
    if (config.node_data[0] == '\0' || to == 0) {
        (void)fprintf(stderr, "cohort reshard: --data DIR and --to SHARDS are needed\n");
        return COH_EXIT_USAGE;
    }
    (void)coh_log_init(strcmp(config.log_level, "info") == 0 ? "warn" : config.log_level, "");
    coh_reshard_options_t options = {
        .dir        = config.node_data,
        .genesis    = config.node_genesis[0] != '\0' ? config.node_genesis : NULL,
        .placement  = config.placement_policy,
        .shard_cnt  = (uint32_t)to,
        .root_every = config.block_root_every,
        .progress   = show,
    };
    coh_reshard_done_t done;
    coh_buf_t text    = COH_BUF_INIT;
    uint64_t start_us = coh_clock_mono_us();
    if (coh_reshard(&done, &options, &text) == COH_OK) {
        print(json, &done, to, coh_clock_mono_us() - start_us);
    } else {
        (void)fprintf(stderr, "cohort reshard: %.*s\n", (int)text.n, (char const *)text.p);
        exit_code = COH_EXIT_FAILED;
    }
    coh_buf_free(&text);
    return exit_code;
}
