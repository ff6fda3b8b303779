/* config.h: every option of config.def as one struct, filled from defaults, a configuration file (INI), the environment and the command line. */
#ifndef COH_CONFIG_H
#define COH_CONFIG_H

#include "common/base/buf.h"
#include "common/base/err.h"

#define COH_CFG_STR_MAX 1024

typedef struct {
#define COH_CFG_U64(scope, section, name, def, min, max, doc) uint64_t section##_##name;
#define COH_CFG_BOOL(scope, section, name, def, doc)          bool section##_##name;
#define COH_CFG_STR(scope, section, name, def, doc)           char section##_##name[COH_CFG_STR_MAX];
#include "common/config/config.def"
#undef COH_CFG_U64
#undef COH_CFG_BOOL
#undef COH_CFG_STR
} coh_config_t;

/* coh_config_default fills in every default. */
void coh_config_default(coh_config_t *cfg);

/* coh_config_set sets one option by its long name ("block-tx-max"), with range check. err_text names option, value and range.
   Returns: COH_OK; COH_ENOTFOUND no such option; COH_EINVAL out of range or not a number */
coh_err_t coh_config_set(coh_config_t *cfg,
                         char const *option,
                         char const *value,
                         coh_buf_t *err_text);

/* coh_config_load_file reads an INI file; an unknown section or name is an error that names file and line. */
coh_err_t coh_config_load_file(coh_config_t *cfg, char const *path, coh_buf_t *err_text);

/* coh_config_load_env reads COH_<SECTION>_<NAME> variables. */
coh_err_t coh_config_load_env(coh_config_t *cfg, coh_buf_t *err_text);

/* coh_config_hash covers the CLUSTER options: all ranks must agree on it. */
uint64_t coh_config_hash(coh_config_t const *cfg);

typedef enum { COH_CFG_KIND_U64, COH_CFG_KIND_BOOL, COH_CFG_KIND_STR } coh_cfg_kind_t;

/* One row of the table, for --help, argument parsers and reference documents. */
typedef struct {
    char const *option; /* "block-tx-max" */
    char const *section;
    char const *name;
    char const *doc;
    char const *def; /* default as text */
    coh_cfg_kind_t kind;
    bool cluster;
    uint64_t min, max; /* U64 */
} coh_cfg_row_t;

/* coh_config_rows returns the table; *cnt rows. */
coh_cfg_row_t const *coh_config_rows(size_t *cnt);

#endif
