/* cohort export: the blocks of a data directory as an RLP chain, which other clients import. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/obs/log.h"
#include "deploy/cohort/args.h"
#include "deploy/cohort/chain_store.h"
#include "deploy/cohort/cmd.h"

/* Writes blocks from..to. */
static coh_err_t export_blocks(coh_chain_store_t *store,
                               FILE *out,
                               uint64_t from,
                               uint64_t to,
                               coh_buf_t *err_text)
{
    coh_buf_t record  = COH_BUF_INIT;
    coh_buf_t raw     = COH_BUF_INIT;
    coh_buf_t scratch = COH_BUF_INIT;
    coh_err_t err     = COH_OK;
    for (uint64_t n = from; err == COH_OK && n <= to; n++) {
        coh_buf_clear(&raw);
        err = coh_stored_block_read(coh_chain_store_kv(store), &record, n);
        if (err == COH_OK) {
            err = coh_stored_block_put(&raw, &scratch, coh_buf_bytes(&record));
        }
        if (err != COH_OK) {
            coh_buf_printf(err_text, "block %" PRIu64 ": %s", n, coh_err_str(err));
        } else if (fwrite(raw.p, 1, raw.n, out) != raw.n) {
            coh_buf_printf(err_text, "writing: %s", strerror(errno));
            err = COH_EIO;
        }
    }
    coh_buf_free(&record);
    coh_buf_free(&raw);
    coh_buf_free(&scratch);
    return err;
}

static coh_err_t export_file(coh_chain_store_t *store,
                             char const *path,
                             uint64_t from,
                             uint64_t to,
                             coh_buf_t *err_text)
{
    FILE *out = fopen(path, "wb");
    if (out == NULL) {
        coh_buf_printf(err_text, "%s: %s", path, strerror(errno));
        return COH_EIO;
    }
    coh_err_t err = export_blocks(store, out, from, to, err_text);
    if (fclose(out) != 0 && err == COH_OK) {
        coh_buf_printf(err_text, "%s: %s", path, strerror(errno));
        err = COH_EIO;
    }
    if (err != COH_OK) {
        (void)remove(path); /* half a file would look like a whole one */
    }
    return err;
}

int coh_cmd_export(int argc, char **argv)
{
    static coh_config_t config;
    static char const *path;
    static uint64_t from;
    static uint64_t to            = UINT64_MAX;
    static coh_arg_t const args[] = {
        COH_ARG_STR_ROW("out", "FILE", &path, "the file to write"),
        COH_ARG_U64_ROW(
            "from", "NUMBER", &from, 0, UINT64_MAX, "first block; 0: the one behind the genesis"),
        COH_ARG_U64_ROW("to", "NUMBER", &to, 0, UINT64_MAX, "last block; at most the head"),
    };
    static coh_command_t const command = {
        .name  = "export",
        .about = "Writes the blocks of a data directory, while no node uses it, as an RLP chain: "
                 "one block behind the other, as geth's export does, without the genesis.",
        .examples = "  cohort export --data ./data --out chain.rlp\n",
        .args     = args,
        .arg_cnt  = COH_CNT(args),
    };
    int exit_code = COH_EXIT_OK;
    if (coh_args_parse(&command, &config, argc, argv, &exit_code) < 0) {
        return exit_code;
    }
    if (config.node_data[0] == '\0' || path == NULL) {
        (void)fprintf(stderr, "cohort export: --data DIR and --out FILE are needed\n");
        return COH_EXIT_USAGE;
    }
    (void)coh_log_init(strcmp(config.log_level, "info") == 0 ? "warn" : config.log_level, "");
    coh_chain_store_t *store = NULL;
    coh_buf_t text           = COH_BUF_INIT;
    coh_err_t err =
        coh_chain_store_open(&store,
                             config.node_data,
                             config.node_genesis[0] != '\0' ? config.node_genesis : NULL,
                             &text);
    if (err == COH_OK) {
        uint64_t genesis = coh_chain_store_genesis(store)->number;
        from             = COH_MAX(from, genesis + 1);
        to               = COH_MIN(to, coh_chain_store_head(store));
        err              = export_file(store, path, from, to, &text);
    }
    if (err != COH_OK) {
        (void)fprintf(stderr, "cohort export: %.*s\n", (int)text.n, (char const *)text.p);
        exit_code = COH_EXIT_FAILED;
    } else {
        printf("%" PRIu64 " blocks written, %" PRIu64 " to %" PRIu64 "\n",
               to >= from ? to - from + 1 : 0,
               from,
               to);
    }
    coh_chain_store_close(store);
    coh_buf_free(&text);
    return exit_code;
}
