#include "common/config/config.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/crypto/keccak.h"

#define OPTION_SZ 64

/* The table's rows; option is filled in by make_options (a macro cannot turn
   tx_max into tx-max). */
static coh_cfg_row_t rows[] = {
#define COH_CFG_SCOPE_CLUSTER true
#define COH_CFG_SCOPE_LOCAL   false
#define COH_CFG_U64(scope_, section_, name_, def_, min_, max_, doc_) \
    {.section = #section_,                                           \
     .name    = #name_,                                              \
     .doc     = (doc_),                                              \
     .def     = #def_,                                               \
     .kind    = COH_CFG_KIND_U64,                                    \
     .cluster = COH_CFG_SCOPE_##scope_,                              \
     .min     = (min_),                                              \
     .max     = (max_)},
#define COH_CFG_BOOL(scope_, section_, name_, def_, doc_) \
    {.section = #section_,                                \
     .name    = #name_,                                   \
     .doc     = (doc_),                                   \
     .def     = (def_) ? "true" : "false",                \
     .kind    = COH_CFG_KIND_BOOL,                        \
     .cluster = COH_CFG_SCOPE_##scope_},
#define COH_CFG_STR(scope_, section_, name_, def_, doc_) \
    {.section = #section_,                               \
     .name    = #name_,                                  \
     .doc     = (doc_),                                  \
     .def     = (def_),                                  \
     .kind    = COH_CFG_KIND_STR,                        \
     .cluster = COH_CFG_SCOPE_##scope_},
#include "common/config/config.def"
#undef COH_CFG_U64
#undef COH_CFG_BOOL
#undef COH_CFG_STR
};

#define ROW_CNT COH_CNT(rows)

/* Where each row's value lies in coh_config_t. */
static size_t const offsets[ROW_CNT] = {
#define COH_CFG_U64(scope, section, name, def, min, max, doc) \
    offsetof(coh_config_t, section##_##name),
#define COH_CFG_BOOL(scope, section, name, def, doc) offsetof(coh_config_t, section##_##name),
#define COH_CFG_STR(scope, section, name, def, doc)  offsetof(coh_config_t, section##_##name),
#include "common/config/config.def"
#undef COH_CFG_U64
#undef COH_CFG_BOOL
#undef COH_CFG_STR
};

#define COH_CFG_U64(scope, section, name, def, min, max, doc) \
    _Static_assert((min) <= (def) && (def) <= (max),          \
                   "default of " #section " " #name " is out of range");
#define COH_CFG_BOOL(scope, section, name, def, doc)
#define COH_CFG_STR(scope, section, name, def, doc) \
    _Static_assert(sizeof(def) <= COH_CFG_STR_MAX, "default of " #section " " #name " is too long");
#include "common/config/config.def"
#undef COH_CFG_U64
#undef COH_CFG_BOOL
#undef COH_CFG_STR

static char options[ROW_CNT][OPTION_SZ];
static pthread_once_t options_once = PTHREAD_ONCE_INIT;

static void make_options(void)
{
    for (size_t i = 0; i < ROW_CNT; i++) {
        int n = snprintf(options[i], OPTION_SZ, "%s-%s", rows[i].section, rows[i].name);
        COH_ASSERT(n > 0 && n < OPTION_SZ);
        for (char *p = options[i]; *p != '\0'; p++) {
            if (*p == '_') {
                *p = '-';
            }
        }
        rows[i].option = options[i];
    }
}

coh_cfg_row_t const *coh_config_rows(size_t *cnt)
{
    int rc = pthread_once(&options_once, make_options);
    COH_ASSERT(rc == 0);
    *cnt = ROW_CNT;
    return rows;
}

static coh_err_t parse_u64(uint64_t *out, char const *text)
{
    if (*text == '\0') {
        return COH_EINVAL;
    }
    uint64_t v = 0;
    for (; *text != '\0'; text++) {
        unsigned d = (unsigned)(*text - '0');
        if (*text < '0' || *text > '9' || v > (UINT64_MAX - d) / 10) {
            return COH_EINVAL;
        }
        v = v * 10 + d;
    }
    *out = v;
    return COH_OK;
}

static coh_err_t parse_bool(bool *out, char const *text)
{
    static char const *const words[] = {"false", "true", "0", "1", "no", "yes", "off", "on"};
    for (size_t i = 0; i < COH_CNT(words); i++) {
        if (strcmp(text, words[i]) == 0) {
            *out = i % 2 == 1;
            return COH_OK;
        }
    }
    return COH_EINVAL;
}

/* Values come from outside: they are shown cut and without control characters. */
static void put_value(coh_buf_t *out, char const *value)
{
    size_t const shown_max = 80;
    coh_buf_put_u8(out, '\'');
    for (size_t i = 0; value[i] != '\0' && i < shown_max; i++) {
        coh_buf_put_u8(out, iscntrl((unsigned char)value[i]) ? '?' : (uint8_t)value[i]);
    }
    coh_buf_printf(out, strlen(value) > shown_max ? "...'" : "'");
}

static coh_err_t set_row(coh_config_t *cfg, size_t idx, char const *value, coh_buf_t *err_text)
{
    coh_cfg_row_t const *row = &rows[idx];
    void *field              = (char *)cfg + offsets[idx];
    switch (row->kind) {
    case COH_CFG_KIND_U64: {
        uint64_t v;
        if (parse_u64(&v, value) == COH_OK && v >= row->min && v <= row->max) {
            memcpy(field, &v, sizeof(v));
            return COH_OK;
        }
        coh_buf_printf(err_text, "%s: ", row->option);
        put_value(err_text, value);
        coh_buf_printf(
            err_text, " is not a whole number in %" PRIu64 "..%" PRIu64, row->min, row->max);
        return COH_EINVAL;
    }
    case COH_CFG_KIND_BOOL: {
        bool v;
        if (parse_bool(&v, value) == COH_OK) {
            memcpy(field, &v, sizeof(v));
            return COH_OK;
        }
        coh_buf_printf(err_text, "%s: ", row->option);
        put_value(err_text, value);
        coh_buf_printf(err_text, " is neither true nor false");
        return COH_EINVAL;
    }
    case COH_CFG_KIND_STR: {
        size_t n = strlen(value);
        if (n < COH_CFG_STR_MAX) {
            memcpy(field, value, n + 1);
            return COH_OK;
        }
        coh_buf_printf(err_text, "%s: ", row->option);
        put_value(err_text, value);
        coh_buf_printf(err_text, " is longer than %d bytes", COH_CFG_STR_MAX - 1);
        return COH_EINVAL;
    }
    }
    return COH_EINVAL;
}

void coh_config_default(coh_config_t *cfg)
{
    memset(cfg, 0, sizeof(*cfg)); /* the tails of strings too */
#define COH_CFG_U64(scope, section, name, def, min, max, doc) cfg->section##_##name = (def);
#define COH_CFG_BOOL(scope, section, name, def, doc)          cfg->section##_##name = (def) != 0;
#define COH_CFG_STR(scope, section, name, def, doc) \
    memcpy(cfg->section##_##name, (def), sizeof(def));
#include "common/config/config.def"
#undef COH_CFG_U64
#undef COH_CFG_BOOL
#undef COH_CFG_STR
}

coh_err_t coh_config_set(coh_config_t *cfg,
                         char const *option,
                         char const *value,
                         coh_buf_t *err_text)
{
    size_t cnt;
    coh_cfg_row_t const *row = coh_config_rows(&cnt);
    for (size_t i = 0; i < cnt; i++) {
        if (strcmp(row[i].option, option) == 0) {
            return set_row(cfg, i, value, err_text);
        }
    }
    put_value(err_text, option);
    coh_buf_printf(err_text, " is not an option");
    return COH_ENOTFOUND;
}

/* State of one run over an INI file. inih's handler is not told the line, so the lines are fed to
   it by read_line, which counts. */
typedef struct {
    coh_config_t *cfg;
    FILE *file;
    int line;
    int set_at[ROW_CNT]; /* line that set the row; 0: none */
    coh_err_t err;       /* the first error; reading stops there */
    coh_buf_t why;       /* its text, owned */
} ini_run_t;

/* ini_reader: one line of at most num - 1 bytes. A line that does not fit would be taken for two:
   it is refused. */
static char *read_line(char *line, int num, void *stream)
{
    ini_run_t *run = stream;
    if (run->err != COH_OK || fgets(line, num, run->file) == NULL) {
        return NULL;
    }
    run->line++;
    if (strchr(line, '\n') == NULL && !feof(run->file)) {
        int next = getc(run->file);
        if (next != EOF) {
            run->err = COH_EINVAL;
            coh_buf_printf(
                &run->why,
                "line is longer than %d bytes; give this value by its environment variable",
                num - 2);
            return NULL;
        }
    }
    return line;
}

/* ini_handler: nonzero for success. */
static int take_line(void *user, char const *section, char const *name, char const *value)
{
    ini_run_t *run = user;
    if (run->err != COH_OK) {
        return 0;
    }
    size_t idx = 0;
    while (idx < ROW_CNT &&
           (strcmp(rows[idx].section, section) != 0 || strcmp(rows[idx].name, name) != 0)) {
        idx++;
    }
    if (idx == ROW_CNT) {
        run->err = COH_ENOTFOUND;
        put_value(&run->why, name);
        coh_buf_printf(&run->why, " is not an option of section ");
        put_value(&run->why, section);
    } else if (run->set_at[idx] != 0) {
        run->err = COH_EINVAL;
        coh_buf_printf(&run->why,
                       "%s is already set in line %d (an indented line continues the one above)",
                       name,
                       run->set_at[idx]);
    } else {
        run->set_at[idx] = run->line;
        run->err         = set_row(run->cfg, idx, value, &run->why);
    }
    return run->err == COH_OK;
}

coh_err_t coh_config_load_file(coh_config_t *cfg, char const *path, coh_buf_t *err_text)
{
    size_t cnt;
    (void)coh_config_rows(&cnt);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        int error = errno;
        coh_buf_printf(err_text, "%s: %s", path, strerror(error));
        return error == ENOENT ? COH_ENOTFOUND : COH_EIO;
    }
    ini_run_t run = {.cfg = cfg, .file = file};
    int bad_line  = ini_parse_stream(read_line, &run, take_line, &run);
    coh_err_t rc  = run.err;
    if (bad_line != 0 && (rc == COH_OK || bad_line < run.line)) { /* inih goes on after it */
        rc = COH_EMALFORMED;
        coh_buf_printf(err_text, "%s:%d: neither [section] nor name = value", path, bad_line);
    } else if (rc != COH_OK) {
        coh_buf_printf(
            err_text, "%s:%d: %.*s", path, run.line, (int)run.why.n, (char const *)run.why.p);
    } else if (ferror(file) != 0) {
        rc = COH_EIO;
        coh_buf_printf(err_text, "%s: cannot be read", path);
    }
    coh_buf_free(&run.why);
    (void)fclose(file);
    return rc;
}

coh_err_t coh_config_load_env(coh_config_t *cfg, coh_buf_t *err_text)
{
    size_t cnt;
    coh_cfg_row_t const *row = coh_config_rows(&cnt);
    for (size_t i = 0; i < cnt; i++) {
        char name[4 + OPTION_SZ];
        (void)snprintf(name, sizeof(name), "COH_%s_%s", row[i].section, row[i].name);
        for (char *p = name; *p != '\0'; p++) {
            *p = (char)toupper((unsigned char)*p);
        }
        char const *value = getenv(name);
        if (value == NULL) {
            continue;
        }
        coh_buf_t why = COH_BUF_INIT;
        coh_err_t rc  = set_row(cfg, i, value, &why);
        if (rc != COH_OK) {
            coh_buf_printf(err_text, "environment variable %s: ", name);
            coh_buf_put(err_text, why.p, why.n);
        }
        coh_buf_free(&why);
        COH_TRY(rc);
    }
    return COH_OK;
}

uint64_t coh_config_hash(coh_config_t const *cfg)
{
    size_t cnt;
    coh_cfg_row_t const *row = coh_config_rows(&cnt);
    coh_buf_t text           = COH_BUF_INIT;
    for (size_t i = 0; i < cnt; i++) {
        if (!row[i].cluster) {
            continue;
        }
        void const *field = (char const *)cfg + offsets[i];
        coh_buf_printf(&text, "%s=", row[i].option);
        switch (row[i].kind) {
        case COH_CFG_KIND_U64: coh_buf_printf(&text, "%" PRIu64, *(uint64_t const *)field); break;
        case COH_CFG_KIND_BOOL: coh_buf_printf(&text, "%d", *(bool const *)field); break;
        case COH_CFG_KIND_STR: coh_buf_printf(&text, "%s", (char const *)field); break;
        }
        coh_buf_put_u8(&text, 0); /* no value can contain it: no two settings read the same */
    }
    coh_hash_t hash;
    coh_keccak256(&hash, text.p, text.n);
    coh_buf_free(&text);
    return coh_load_u64_be(hash.b);
}
