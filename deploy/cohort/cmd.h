/* cmd.h: the subcommands of the program cohort. main.c finds the command in a table made from
   COH_COMMANDS and calls it with argv[0] being the command's name; what it returns is the exit code
   (args.h). */
#ifndef COH_CMD_H
#define COH_CMD_H

/* X(name, summary): the order is that of the help text. */
#define COH_COMMANDS(X)                                                                     \
    X(node, "run a cluster: the ranks of mpirun, or coordinator and shards in one process") \
    X(bench, "put load on a running or an embedded cluster and measure it")                 \
    X(import, "replay signed transactions or blocks and check the result")                  \
    X(export, "write the blocks of a data directory as an RLP chain")                       \
    X(verify, "re-execute the blocks of a data directory and compare all that is stored")   \
    X(statetest, "run official Ethereum state tests")                                       \
    X(blocktest, "run official Ethereum blockchain tests")                                  \
    X(check, "walk a data directory and say what is wrong with it")                         \
    X(backup, "copy the data of a running cluster, all ranks at one block")                 \
    X(restore, "make a data directory of a backup")                                         \
    X(reshard, "lay a data directory out for another number of shards")                     \
    X(status, "show what a running cluster is doing")                                       \
    X(version, "show the version of the program and of its libraries")

#define COH_COMMAND_DECLARE(name, summary) int coh_cmd_##name(int argc, char **argv);
COH_COMMANDS(COH_COMMAND_DECLARE)
#undef COH_COMMAND_DECLARE

#endif
