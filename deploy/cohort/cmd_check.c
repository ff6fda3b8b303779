/* cohort check: walks a data directory that no cluster uses, and says what is wrong with it. */
#include <inttypes.h>
#include <stdio.h>

#include "deploy/cohort/args.h"
#include "deploy/cohort/check.h"
#include "deploy/cohort/cmd.h"

int coh_cmd_check(int argc, char **argv)
{
    uint64_t root_every    = 1;
    coh_arg_t const args[] = {
        COH_ARG_U64_ROW("root-every",
                        "BLOCKS",
                        &root_every,
                        1,
                        UINT64_MAX,
                        "block-root-every, as the cluster had it"),
    };
    coh_command_t const command = {
        .name     = "check",
        .operands = "DIR",
        .about    = "Walks a data directory that no cluster uses: marks, the checksums of redo and "
                    "decision records, blocks "
                    "without a gap, accounts, slots and code, every page of the tries against "
                    "those. On a host that holds only some "
                    "ranks, those; shards are held "
                    "against the decisions where rank 0 is there too, and where all ranks are, the "
                    "state's root against the last block's. Nothing is changed but for "
                    "what any opening of a store "
                    "does (its log is replayed). Exit code 1 if anything is wrong.",
        .examples = "  cohort check /var/lib/cohort\n",
        .args     = args,
        .arg_cnt  = COH_CNT(args),
    };
    int exit_code;
    int at = coh_args_parse(&command, NULL, argc, argv, &exit_code);
    if (at < 0) {
        return exit_code;
    }
    if (argc - at != 1) {
        (void)fprintf(stderr, "cohort check: expected one data directory\n");
        return COH_EXIT_USAGE;
    }
    coh_check_dir_t found;
    coh_buf_t text = COH_BUF_INIT;
    coh_check_dir(&found, &text, argv[at], root_every);
    (void)fwrite(text.p, 1, text.n, stdout);
    coh_buf_free(&text);
    if (found.rank_cnt == 0) {
        (void)fprintf(stderr, "cohort check: %s holds no rank's data\n", argv[at]);
        return COH_EXIT_FAILED;
    }
    (void)printf(
        "%u ranks, %s\n", found.rank_cnt, found.finding_cnt == 0 ? "nothing wrong" : "see above");
    return found.finding_cnt == 0 ? COH_EXIT_OK : COH_EXIT_FAILED;
}
