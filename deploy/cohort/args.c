#include "deploy/cohort/args.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"

#define HELP_COLUMNS 100
#define HELP_INDENT  6
#define LONG_BASE \
    256 /* getopt returns LONG_BASE + index for long options, characters for short ones */

/* Every long option that a command understands, in the order of getopt's table. */
typedef enum { ENTRY_HELP, ENTRY_CONFIG, ENTRY_ARG, ENTRY_ROW } entry_kind_t;

typedef struct {
    entry_kind_t kind;
    size_t idx; /* into cmd->args or coh_config_rows() */
} entry_t;

typedef struct {
    coh_command_t const *cmd;
    coh_config_t *cfg;      /* NULL: options of config.def are not for this command */
    struct option *options; /* cnt entries and getopt's terminator */
    entry_t *entries;
    size_t cnt;
} parser_t;

static void add_option(parser_t *p, char const *name, int has_arg, entry_kind_t kind, size_t idx)
{
    p->options[p->cnt] = (struct option){
        .name = name, .has_arg = has_arg, .flag = NULL, .val = LONG_BASE + (int)p->cnt};
    p->entries[p->cnt] = (entry_t){.kind = kind, .idx = idx};
    p->cnt++;
}

static bool has_option(parser_t const *p, char const *name)
{
    for (size_t i = 0; i < p->cnt; i++) {
        if (strcmp(p->options[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Options of section node go by their bare name too. */
static char const *bare_name(coh_cfg_row_t const *row)
{
    static char const prefix[] = "node-";
    return strncmp(row->option, prefix, sizeof(prefix) - 1) == 0 ? row->option + sizeof(prefix) - 1
                                                                 : NULL;
}

static void parser_init(parser_t *p, coh_command_t const *cmd, coh_config_t *cfg)
{
    size_t row_cnt            = 0;
    coh_cfg_row_t const *rows = coh_config_rows(&row_cnt);
    size_t cnt_max            = 2 + cmd->arg_cnt + 2 * row_cnt;
    *p                        = (parser_t){.cmd = cmd, .cfg = cfg};
    p->options                = coh_calloc(cnt_max + 1, sizeof(*p->options));
    p->entries                = coh_calloc(cnt_max, sizeof(*p->entries));

    add_option(p, "help", no_argument, ENTRY_HELP, 0);
    for (size_t i = 0; i < cmd->arg_cnt; i++) {
        COH_ASSERT(!has_option(p, cmd->args[i].name));
        add_option(p,
                   cmd->args[i].name,
                   cmd->args[i].arg == NULL ? no_argument : required_argument,
                   ENTRY_ARG,
                   i);
    }
    if (cfg == NULL) {
        return;
    }
    if (!has_option(p, "config")) {
        add_option(p, "config", required_argument, ENTRY_CONFIG, 0);
    }
    for (size_t i = 0; i < row_cnt; i++) {
        int has_arg = rows[i].kind == COH_CFG_KIND_BOOL ? optional_argument : required_argument;
        COH_ASSERT(!has_option(p, rows[i].option));
        add_option(p, rows[i].option, has_arg, ENTRY_ROW, i);
    }
    for (size_t i = 0; i < row_cnt; i++) {
        char const *bare = bare_name(&rows[i]);
        if (bare != NULL && !has_option(p, bare)) {
            int has_arg = rows[i].kind == COH_CFG_KIND_BOOL ? optional_argument : required_argument;
            add_option(p, bare, has_arg, ENTRY_ROW, i);
        }
    }
}

static void parser_fini(parser_t *p)
{
    free(p->options);
    free(p->entries);
}

/* Levenshtein distance of a to b, with one row of the matrix; b has at most 63 characters. */
static size_t edit_distance(char const *a, size_t a_len, char const *b)
{
    size_t row[64];
    size_t b_len = strlen(b);
    COH_ASSERT(b_len < COH_CNT(row));
    for (size_t j = 0; j <= b_len; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= a_len; i++) {
        size_t diagonal = row[0];
        row[0]          = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            diagonal        = row[j];
            row[j]          = COH_MIN(replaced, COH_MIN(row[j], row[j - 1]) + 1);
        }
    }
    return row[b_len];
}

/* The known option that is meant by name (len characters), or NULL if none is near. */
static char const *nearest_option(parser_t const *p, char const *name, size_t len)
{
    char const *best     = NULL;
    size_t best_distance = len / 3 + 2; /* farther is a guess, not a typo */
    for (size_t i = 0; i < p->cnt; i++) {
        char const *option = p->options[i].name;
        /* a name without its section, or the beginning of a name, is as good as a typo */
        size_t option_len = strlen(option);
        bool part =
            len >= 4 && option_len > len &&
            (strncmp(option, name, len) == 0 || strncmp(option + option_len - len, name, len) == 0);
        size_t distance = part ? 1 : edit_distance(name, len, option);
        /* of equally near ones the shorter */
        if (distance < best_distance ||
            (distance == best_distance && best != NULL && option_len < strlen(best))) {
            best_distance = distance;
            best          = option;
        }
    }
    return best;
}

static void print_wrapped(FILE *out, char const *text, int indent)
{
    int column = 0;
    while (*text != '\0') {
        int len = (int)strcspn(text, " ");
        if (column == 0) {
            column = fprintf(out, "%*s", indent, "");
        } else if (column + 1 + len > HELP_COLUMNS) {
            (void)fputc('\n', out);
            column = fprintf(out, "%*s", indent, "");
        } else {
            column += fprintf(out, " ");
        }
        column += fprintf(out, "%.*s", len, text);
        text += len;
        text += strspn(text, " ");
    }
    (void)fputc('\n', out);
}

static void print_option(FILE *out,
                         char const *option,
                         char const *alias,
                         char const *arg,
                         coh_buf_t *doc)
{
    (void)fprintf(out, "  --%s%s%s", option, arg == NULL ? "" : " ", arg == NULL ? "" : arg);
    if (alias != NULL) {
        (void)fprintf(out, ", --%s", alias);
    }
    (void)fputc('\n', out);
    coh_buf_put_u8(doc, 0);
    print_wrapped(out, (char const *)doc->p, HELP_INDENT);
    coh_buf_clear(doc);
}

static void print_args(FILE *out, parser_t const *p)
{
    coh_buf_t doc = COH_BUF_INIT;
    (void)fprintf(out, "\nOPTIONS\n");
    for (size_t i = 0; i < p->cmd->arg_cnt; i++) {
        coh_arg_t const *arg = &p->cmd->args[i];
        coh_buf_printf(&doc, "%s", arg->doc);
        if (arg->kind == COH_ARG_U64) {
            coh_buf_printf(&doc,
                           " [%" PRIu64 "; %" PRIu64 "..%" PRIu64 "]",
                           *(uint64_t const *)arg->dst,
                           arg->min,
                           arg->max);
        } else if (arg->kind == COH_ARG_STR && *(char const *const *)arg->dst != NULL) {
            coh_buf_printf(&doc, " [%s]", *(char const *const *)arg->dst);
        }
        print_option(out, arg->name, NULL, arg->arg, &doc);
    }
    if (p->cfg != NULL) {
        coh_buf_printf(&doc, "read options from this INI file: name = value under [section]");
        print_option(out, "config", NULL, "FILE", &doc);
    }
    coh_buf_printf(&doc, "show this text");
    print_option(out, "help", NULL, NULL, &doc);
    coh_buf_free(&doc);
}

static void print_rows(FILE *out, parser_t const *p)
{
    size_t cnt                = 0;
    coh_cfg_row_t const *rows = coh_config_rows(&cnt);
    coh_buf_t doc             = COH_BUF_INIT;
    (void)fprintf(out, "\nCONFIGURATION\n");
    print_wrapped(out,
                  "Defaults, then the file of --config, then the environment (COH_NODE_THREADS for "
                  "--node-threads), "
                  "then the command line; the later wins. In [brackets]: default; range. "
                  "Options marked (cluster) must be equal on all ranks.",
                  2);
    for (size_t i = 0; i < cnt; i++) {
        if (i == 0 || strcmp(rows[i].section, rows[i - 1].section) != 0) {
            (void)fprintf(out, "\n [%s]\n", rows[i].section);
        }
        char const *bare = bare_name(&rows[i]);
        bool shadowed    = false;
        for (size_t a = 0; bare != NULL && a < p->cmd->arg_cnt; a++) {
            shadowed = shadowed || strcmp(bare, p->cmd->args[a].name) == 0;
        }
        coh_buf_printf(&doc, "%s", rows[i].doc);
        if (rows[i].kind == COH_CFG_KIND_U64) {
            coh_buf_printf(
                &doc, " [%s; %" PRIu64 "..%" PRIu64 "]", rows[i].def, rows[i].min, rows[i].max);
        } else if (*rows[i].def != '\0') {
            coh_buf_printf(&doc, " [%s]", rows[i].def);
        }
        coh_buf_printf(&doc, rows[i].cluster ? " (cluster)" : "");
        print_option(out,
                     rows[i].option,
                     shadowed ? NULL : bare,
                     rows[i].kind == COH_CFG_KIND_U64   ? "N"
                     : rows[i].kind == COH_CFG_KIND_STR ? "TEXT"
                                                        : NULL,
                     &doc);
    }
    coh_buf_free(&doc);
}

static void print_help(FILE *out, parser_t const *p)
{
    coh_command_t const *cmd = p->cmd;
    (void)fprintf(out,
                  "usage: cohort %s [OPTION...]%s%s\n\n",
                  cmd->name,
                  cmd->operands == NULL ? "" : " ",
                  cmd->operands == NULL ? "" : cmd->operands);
    print_wrapped(out, cmd->about, 0);
    print_args(out, p);
    if (p->cfg != NULL) {
        print_rows(out, p);
    }
    if (cmd->examples != NULL) {
        (void)fprintf(out, "\nEXAMPLES\n%s", cmd->examples);
    }
    (void)fprintf(out,
                  "\nEXIT CODES\n  0 success; 1 failure; 2 wrong command line, environment or "
                  "configuration file\n");
}

static void complain(parser_t const *p, coh_buf_t const *text)
{
    (void)fprintf(stderr, "cohort %s: %.*s\n", p->cmd->name, (int)text->n, (char const *)text->p);
}

/* The option as it was typed, of which getopt has just taken value: "--name", "--name=value" or
   "--name" "value". */
static char const *typed_option(char *const *argv, char const *value)
{
    return value != NULL && value == argv[optind - 1] ? argv[optind - 2] : argv[optind - 1];
}

static coh_err_t set_u64(coh_arg_t const *arg, char const *value, coh_buf_t *why)
{
    char *end            = NULL;
    errno                = 0;
    unsigned long long v = strtoull(value, &end, 10);
    if (*value < '0' || *value > '9' || *end != '\0' || errno != 0 || v < arg->min ||
        v > arg->max) {
        coh_buf_printf(why,
                       "--%s: '%s' is not a whole number in %" PRIu64 "..%" PRIu64,
                       arg->name,
                       value,
                       arg->min,
                       arg->max);
        return COH_EINVAL;
    }
    *(uint64_t *)arg->dst = v;
    return COH_OK;
}

static coh_err_t set_arg(coh_arg_t const *arg, char const *value, coh_buf_t *why)
{
    switch (arg->kind) {
    case COH_ARG_FLAG: *(bool *)arg->dst = true; return COH_OK;
    case COH_ARG_U64: return set_u64(arg, value, why);
    case COH_ARG_STR: *(char const **)arg->dst = value; return COH_OK;
    case COH_ARG_CALL: {
        coh_buf_t detail = COH_BUF_INIT;
        coh_err_t rc     = arg->call(arg->dst, value, &detail);
        if (rc != COH_OK) {
            coh_buf_printf(
                why, "--%s%s%s: ", arg->name, value == NULL ? "" : " ", value == NULL ? "" : value);
            if (detail.n != 0) {
                coh_buf_put(why, detail.p, detail.n);
            } else {
                coh_buf_printf(why, "%s", coh_err_str(rc));
            }
        }
        coh_buf_free(&detail);
        return rc;
    }
    }
    return COH_EINVAL;
}

static coh_err_t set_config_row(coh_config_t *cfg, size_t idx, char const *value, coh_buf_t *why)
{
    size_t cnt               = 0;
    coh_cfg_row_t const *row = &coh_config_rows(&cnt)[idx];
    coh_buf_t detail         = COH_BUF_INIT;
    coh_err_t rc = coh_config_set(cfg, row->option, value == NULL ? "true" : value, &detail);
    if (rc != COH_OK) {
        coh_buf_printf(why, "--%.*s", (int)detail.n, (char const *)detail.p);
    }
    coh_buf_free(&detail);
    return rc;
}

static void say_unknown(parser_t const *p, char const *typed, coh_buf_t *why)
{
    char const *name = typed + strspn(typed, "-");
    size_t len       = strcspn(name, "=");
    coh_buf_printf(
        why, "unknown option %.*s", (int)(name - typed) + (int)COH_MIN(len, (size_t)80), typed);
    char const *near = len <= 80 ? nearest_option(p, name, len) : NULL;
    if (near != NULL) {
        coh_buf_printf(why, "; did you mean --%s?", near);
    }
}

/* What one walk over the command line does with an option: the first walk looks for --help and
   --config only, since the file comes before the environment, and that before the options. */
typedef enum { WALK_FIND, WALK_SET } walk_t;

typedef struct {
    bool help;
    char const *config_file; /* NULL: none */
} found_t;

static coh_err_t take_option(parser_t const *p,
                             walk_t walk,
                             int option_idx,
                             char **argv,
                             found_t *found,
                             coh_buf_t *why)
{
    struct option const *option = &p->options[option_idx];
    entry_t const *entry        = &p->entries[option_idx];
    char const *typed           = typed_option(argv, optarg);
    size_t typed_len            = strcspn(typed + 2, "=");
    if (strlen(option->name) !=
        typed_len) { /* getopt takes abbreviations, which later options would break */
        say_unknown(p, typed, why);
        return COH_ENOTFOUND;
    }
    switch (entry->kind) {
    case ENTRY_HELP: found->help = true; return COH_OK;
    case ENTRY_CONFIG: found->config_file = optarg; return COH_OK;
    case ENTRY_ARG:
        return walk == WALK_SET ? set_arg(&p->cmd->args[entry->idx], optarg, why) : COH_OK;
    case ENTRY_ROW:
        return walk == WALK_SET ? set_config_row(p->cfg, entry->idx, optarg, why) : COH_OK;
    }
    return COH_EINVAL;
}

static coh_err_t walk_options(parser_t const *p,
                              walk_t walk,
                              int argc,
                              char **argv,
                              found_t *found,
                              coh_buf_t *why)
{
    optind = 0; /* glibc: start afresh */
    opterr = 0;
    for (;;) {
        int c = getopt_long(argc, argv, ":h", p->options, NULL);
        if (c == -1) {
            return COH_OK;
        }
        if (c >= LONG_BASE) {
            COH_TRY(take_option(p, walk, c - LONG_BASE, argv, found, why));
            continue;
        }
        switch (c) {
        case 'h': found->help = true; break;
        case ':': coh_buf_printf(why, "%s needs a value", argv[optind - 1]); return COH_EINVAL;
        default:
            if (optopt >= LONG_BASE) {
                coh_buf_printf(why,
                               "%.*s takes no value",
                               (int)strcspn(argv[optind - 1], "="),
                               argv[optind - 1]);
            } else if (optopt != 0) {
                coh_buf_printf(why, "unknown option -%c", optopt);
            } else {
                say_unknown(p, argv[optind - 1], why);
            }
            return COH_ENOTFOUND;
        }
    }
}

/* The steps of coh_args_parse after the first walk, in the order in which settings win. */
static coh_err_t fill(parser_t const *p, int argc, char **argv, found_t *found, coh_buf_t *why)
{
    if (p->cfg != NULL) {
        coh_config_default(p->cfg);
        if (found->config_file != NULL) {
            COH_TRY(coh_config_load_file(p->cfg, found->config_file, why));
        }
        COH_TRY(coh_config_load_env(p->cfg, why));
    }
    COH_TRY(walk_options(p, WALK_SET, argc, argv, found, why));
    if (optind < argc && p->cmd->operands == NULL) {
        coh_buf_printf(why, "unexpected argument '%s'", argv[optind]);
        return COH_EINVAL;
    }
    return COH_OK;
}

int coh_args_parse(coh_command_t const *cmd,
                   coh_config_t *cfg,
                   int argc,
                   char **argv,
                   int *exit_code)
{
    parser_t parser;
    parser_init(&parser, cmd, cfg);
    coh_buf_t why   = COH_BUF_INIT;
    found_t found   = {0};
    int operand_idx = -1;
    *exit_code      = COH_EXIT_USAGE;
    coh_err_t rc    = walk_options(&parser, WALK_FIND, argc, argv, &found, &why);
    if (rc == COH_OK && found.help) {
        print_help(stdout, &parser);
        *exit_code = COH_EXIT_OK;
        goto out;
    }
    if (rc == COH_OK) {
        rc = fill(&parser, argc, argv, &found, &why);
    }
    if (rc == COH_OK) {
        operand_idx = optind;
        *exit_code  = COH_EXIT_OK;
    } else {
        complain(&parser, &why);
        (void)fprintf(stderr, "Try 'cohort %s --help'.\n", cmd->name);
    }
out:
    coh_buf_free(&why);
    parser_fini(&parser);
    return operand_idx;
}
