/* cohort verify: re-executes the blocks of a data directory and compares all that is stored. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/hex.h"
#include "common/crypto/keccak.h"
#include "common/obs/log.h"
#include "deploy/cohort/args.h"
#include "deploy/cohort/chain_store.h"
#include "deploy/cohort/cmd.h"
#include "deploy/cohort/verify_chain.h"

#define PROGRESS_US UINT64_C(2000000)

/* The block's entry among the headers, which clients are answered from. */
static bool check_header_entry(coh_chain_store_t *store,
                               coh_hash_t const *hash,
                               uint64_t number,
                               coh_buf_t *why)
{
    coh_buf_t entry = COH_BUF_INIT;
    coh_hash_t own;
    bool same = coh_chain_store_header(store, &entry, number) == COH_OK && entry.n > sizeof(own);
    if (same) {
        coh_keccak256(&own, entry.p + sizeof(own), entry.n - sizeof(own));
        same = memcmp(entry.p, hash->b, sizeof(own)) == 0 && coh_hash_eq(&own, hash);
    }
    if (!same) {
        coh_buf_printf(why, "the stored header is not the block's");
    }
    coh_buf_free(&entry);
    return same;
}

/* Verifies all blocks. False: block *at differs or cannot be read, and why says more. */
static bool verify_all(coh_verify_t *v, coh_chain_store_t *store, uint64_t *at, coh_buf_t *why)
{
    coh_buf_t record  = COH_BUF_INIT;
    uint64_t head     = coh_chain_store_head(store);
    uint64_t start_us = coh_clock_mono_us();
    uint64_t shown_us = start_us;
    uint64_t first    = coh_verify_last(v).number + 1;
    bool ok           = true;
    for (*at = first; ok && *at <= head; ++*at) {
        coh_err_t err = coh_stored_block_read(coh_chain_store_kv(store), &record, *at);
        if (err != COH_OK) {
            coh_buf_printf(why, "reading its decision record: %s", coh_err_str(err));
            ok = false;
            break;
        }
        ok = coh_verify_block(v, coh_buf_bytes(&record), why);
        if (ok) {
            coh_verified_t last = coh_verify_last(v);
            ok                  = check_header_entry(store, &last.hash, *at, why);
        }
        if (!ok) {
            break;
        }
        uint64_t now_us = coh_clock_mono_us();
        if (now_us - shown_us >= PROGRESS_US) {
            shown_us = now_us;
            (void)fprintf(stderr,
                          "block %" PRIu64 " of %" PRIu64 ", %.0f blocks/s\n",
                          *at,
                          head,
                          (double)(*at - first + 1) * 1e6 / (double)(now_us - start_us));
        }
    }
    coh_buf_free(&record);
    return ok;
}

static void print(bool json,
                  bool ok,
                  coh_verified_t const *last,
                  uint64_t at,
                  coh_buf_t const *why,
                  uint64_t us)
{
    char hash[65];
    coh_hex_encode(hash, last->hash.b, sizeof(last->hash.b));
    if (json) {
        printf("{\"result\":\"%s\",\"verified\":%" PRIu64 ",\"hash\":\"0x%s\",\"txs\":%" PRIu64
               ",\"gas\":%" PRIu64 ",\"us\":%" PRIu64,
               ok ? "passed" : "FAILED",
               last->number,
               hash,
               last->tx_cnt,
               last->gas,
               us);
        if (!ok) {
            printf(",\"block\":%" PRIu64 ",\"reason\":\"%.*s\"",
                   at,
                   (int)why->n,
                   (char const *)why->p);
        }
        printf("}\n");
        return;
    }
    if (!ok) {
        printf("block %" PRIu64 ": %.*s\n", at, (int)why->n, (char const *)why->p);
    }
    printf("verified up to block %" PRIu64 " 0x%s: %" PRIu64 " transactions, %" PRIu64
           " gas, in %.1f s\n",
           last->number,
           hash,
           last->tx_cnt,
           last->gas,
           (double)us / 1e6);
}

static int verify(coh_chain_store_t *store, uint64_t root_every, bool json)
{
    coh_verify_t *v = coh_verify_new(coh_chain_store_genesis(store), root_every);
    if (v == NULL) {
        (void)fprintf(stderr,
                      "cohort verify: the genesis' state has another root than its header\n");
        return COH_EXIT_FAILED;
    }
    coh_buf_t why       = COH_BUF_INIT;
    uint64_t start_us   = coh_clock_mono_us();
    uint64_t at         = 0;
    bool ok             = verify_all(v, store, &at, &why);
    coh_verified_t last = coh_verify_last(v);
    print(json, ok, &last, at, &why, coh_clock_mono_us() - start_us);
    coh_buf_free(&why);
    coh_verify_free(v);
    return ok ? COH_EXIT_OK : COH_EXIT_FAILED;
}

int coh_cmd_verify(int argc, char **argv)
{
    static coh_config_t config;
    static bool json;
    static coh_arg_t const args[] = {
        COH_ARG_FLAG_ROW("json", &json, "the result as one line of JSON"),
    };
    static coh_command_t const command = {
        .name  = "verify",
        .about = "Re-executes the blocks of a data directory, while no node uses it, one after the "
                 "other on one core, from the genesis in it, and compares all that is stored: "
                 "header fields, roots, receipts, senders, burnt fees. Exits with 1 at the first "
                 "block where something differs, and names it. Holds the whole state in memory.",
        .examples = "  cohort verify --data ./data\n"
                    "  cohort verify --data ./data --block-root-every 8   # as the node had it\n",
        .args     = args,
        .arg_cnt  = COH_CNT(args),
    };
    int exit_code = COH_EXIT_OK;
    if (coh_args_parse(&command, &config, argc, argv, &exit_code) < 0) {
        return exit_code;
    }
    if (config.node_data[0] == '\0') {
        (void)fprintf(stderr, "cohort verify: --data DIR is needed\n");
        return COH_EXIT_USAGE;
    }
    (void)coh_log_init(strcmp(config.log_level, "info") == 0 ? "warn" : config.log_level, "");
    coh_chain_store_t *store = NULL;
    coh_buf_t text           = COH_BUF_INIT;
    if (coh_chain_store_open(&store,
                             config.node_data,
                             config.node_genesis[0] != '\0' ? config.node_genesis : NULL,
                             &text) == COH_OK) {
        exit_code = verify(store, config.block_root_every, json);
    } else {
        (void)fprintf(stderr, "cohort verify: %.*s\n", (int)text.n, (char const *)text.p);
        exit_code = COH_EXIT_FAILED;
    }
    coh_chain_store_close(store);
    coh_buf_free(&text);
    return exit_code;
}
