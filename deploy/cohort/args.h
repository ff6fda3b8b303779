/* args.h: the command line of one subcommand. A command describes its own options in a small table;
   those of config.def come from that table, so that no option is written down twice.

   A configuration is filled in this order, the later wins: defaults, the file of --config, the
   environment (COH_NODE_THREADS), the command line. Options of config.def are --section-name; those
   of section "node" also answer to their bare name (--threads), unless the command has an option of
   that name itself. An option that takes no value on its own (BOOL of config.def) may get one as
   --option=false. Names are never abbreviated. */
#ifndef COH_ARGS_H
#define COH_ARGS_H

#include "common/config/config.h"

/* Exit codes of every command. */
typedef enum {
    COH_EXIT_OK     = 0,
    COH_EXIT_FAILED = 1, /* the command was understood and failed */
    COH_EXIT_USAGE  = 2, /* the command line, the environment or the configuration file is wrong */
} coh_exit_t;

/* coh_arg_fn_t takes one value of a COH_ARG_CALL option; value is NULL for one without arg, else
   borrowed from argv. An error makes the command line wrong; err_text may say why. */
typedef coh_err_t coh_arg_fn_t(void *dst, char const *value, coh_buf_t *err_text);

typedef enum {
    COH_ARG_FLAG, /* dst: bool *, set to true */
    COH_ARG_U64,  /* dst: uint64_t *, min..max */
    COH_ARG_STR,  /* dst: char const **, borrowed from argv */
    COH_ARG_CALL, /* call(dst, value); may be given several times */
} coh_arg_kind_t;

/* One option of a command. What *dst holds before parsing is the default, and is shown as such by
   --help. */
typedef struct {
    coh_arg_kind_t kind;
    char const *name; /* without dashes: "connect" */
    char const *arg;  /* its value in --help: "ADDRESS"; NULL: takes none (FLAG, CALL) */
    char const *doc;
    void *dst;
    uint64_t min, max; /* U64 */
    coh_arg_fn_t *call;
} coh_arg_t;

#define COH_ARG_FLAG_ROW(name_, dst_, doc_)                                 \
    {                                                                       \
        .kind = COH_ARG_FLAG, .name = (name_), .doc = (doc_), .dst = (dst_) \
    }
#define COH_ARG_U64_ROW(name_, arg_, dst_, min_, max_, doc_)                               \
    {                                                                                      \
        .kind = COH_ARG_U64, .name = (name_), .arg = (arg_), .doc = (doc_), .dst = (dst_), \
        .min = (min_), .max = (max_)                                                       \
    }
#define COH_ARG_STR_ROW(name_, arg_, dst_, doc_)                                          \
    {                                                                                     \
        .kind = COH_ARG_STR, .name = (name_), .arg = (arg_), .doc = (doc_), .dst = (dst_) \
    }
#define COH_ARG_CALL_ROW(name_, arg_, call_, dst_, doc_)                                    \
    {                                                                                       \
        .kind = COH_ARG_CALL, .name = (name_), .arg = (arg_), .doc = (doc_), .dst = (dst_), \
        .call = (call_)                                                                     \
    }

typedef struct {
    char const *name;     /* "status" */
    char const *operands; /* for the usage line: "FILE..."; NULL: takes none */
    char const *about;    /* one paragraph; wrapped by --help */
    char const *examples; /* lines, printed as they are; NULL: none */
    coh_arg_t const *args;
    size_t arg_cnt;
} coh_command_t;

/* coh_args_parse reads argv (argv[0] is the command's name) into the dst of cmd's options and,
   unless cfg is NULL, into *cfg, which it fills with defaults, file and environment first; with
   NULL, options of config.def are unknown to this command. It prints the help text to standard
   output, what is wrong to standard error.

   Returns: index in argv of the first operand (argc if there is none; argv is permuted, operands
            stand last); -1: the command is to return *exit_code now (help was shown, or usage was
            wrong)
   Thread:  one at a time, before others start (getopt and the environment are global) */
int coh_args_parse(coh_command_t const *cmd,
                   coh_config_t *cfg,
                   int argc,
                   char **argv,
                   int *exit_code);

#endif
