/* main.c: finds the subcommand and calls it. */
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "deploy/cohort/args.h"
#include "deploy/cohort/cmd.h"

typedef struct {
    char const *name;
    char const *summary;
    int (*run)(int argc, char **argv);
} command_t;

static command_t const commands[] = {
#define COH_COMMAND_ROW(name, summary) {#name, summary, coh_cmd_##name},
    COH_COMMANDS(COH_COMMAND_ROW)
#undef COH_COMMAND_ROW
};

static void print_usage(FILE *out)
{
    (void)fprintf(out,
                  "usage: cohort COMMAND [OPTION...]\n\n"
                  "A sharded execution cluster for Ethereum transactions.\n\n");
    for (size_t i = 0; i < COH_CNT(commands); i++) {
        (void)fprintf(out, "  %-9s  %s\n", commands[i].name, commands[i].summary);
    }
    (void)fprintf(out,
                  "\n'cohort COMMAND --help' explains a command and its options.\n"
                  "Exit codes: 0 success; 1 failure; 2 wrong command line, environment or "
                  "configuration file.\n");
}

/* Blocks and frames come and go in pieces of up to some MB. Left to its defaults, malloc maps and unmaps each of them, and on
   a virtual machine the page faults cost several times the work; with these it keeps them in the heap. 32 MiB is the highest threshold that
   glibc takes. */
#define MMAP_THRESHOLD_BYTES (32 << 20)
#define TRIM_THRESHOLD_BYTES (256 << 20)

int main(int argc, char **argv)
{
    (void)mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES);
    (void)mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD_BYTES);
    if (argc < 2) {
        print_usage(stderr);
        return COH_EXIT_USAGE;
    }
    char const *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        print_usage(stdout);
        return COH_EXIT_OK;
    }
    if (strcmp(name, "--version") == 0) {
        name = "version";
    }
    for (size_t i = 0; i < COH_CNT(commands); i++) {
        if (strcmp(name, commands[i].name) == 0) {
            return commands[i].run(argc - 1, argv + 1);
        }
    }
    (void)fprintf(stderr, "cohort: unknown command '%s'\n\n", name);
    print_usage(stderr);
    return COH_EXIT_USAGE;
}
