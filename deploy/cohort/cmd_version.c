/* cmd_version.c: what was built, from what, with what. Versions of libraries are those at run time
   where a library can tell, else those at build time. */
#include <jansson.h>
#include <microhttpd.h>
#include <stdio.h>

#include "common/crypto/keccak.h"
#include "common/crypto/kzg.h"
#include "common/crypto/modexp.h"
#include "common/crypto/sha256.h"
#include "deploy/cohort/args.h"
#include "deploy/cohort/cmd.h"

#ifdef __clang__
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

typedef struct {
    char const *name;
    char const *value;
} fact_t;

static void print_facts(fact_t const *facts,
                        size_t cnt,
                        fact_t const *libraries,
                        size_t library_cnt)
{
    (void)printf("cohort %s\n", COHORT_VERSION);
    for (size_t i = 1; i < cnt; i++) {
        (void)printf("  %-13s %s\n", facts[i].name, facts[i].value);
    }
    for (size_t i = 0; i < library_cnt; i++) {
        (void)printf("  %-13s %s\n", libraries[i].name, libraries[i].value);
    }
}

static bool print_json(fact_t const *facts, size_t cnt, fact_t const *libraries, size_t library_cnt)
{
    json_t *root = json_object();
    json_t *sub  = json_object();
    for (size_t i = 0; i < cnt; i++) {
        (void)json_object_set_new(root, facts[i].name, json_string(facts[i].value));
    }
    for (size_t i = 0; i < library_cnt; i++) {
        (void)json_object_set_new(sub, libraries[i].name, json_string(libraries[i].value));
    }
    (void)json_object_set_new(root, "libraries", sub);
    bool printed = json_dumpf(root, stdout, JSON_INDENT(2)) == 0 && putchar('\n') != EOF;
    json_decref(root);
    return printed;
}

int coh_cmd_version(int argc, char **argv)
{
    bool json                   = false;
    coh_arg_t const args[]      = {COH_ARG_FLAG_ROW("json", &json, "print one JSON object")};
    coh_command_t const command = {
        .name     = "version",
        .about    = "Shows the version of the program, the commit that it was configured from, its "
                    "compiler and its libraries.",
        .examples = "  cohort version\n  cohort version --json | jq -r .commit\n",
        .args     = args,
        .arg_cnt  = COH_CNT(args),
    };
    int exit_code;
    if (coh_args_parse(&command, NULL, argc, argv, &exit_code) < 0) {
        return exit_code;
    }
    fact_t const facts[] = {
        {"version", COHORT_VERSION},
        {"commit", *COHORT_GIT == '\0' ? "unknown" : COHORT_GIT},
        {"build", *COHORT_BUILD_TYPE == '\0' ? "plain" : COHORT_BUILD_TYPE},
        {"compiler", COMPILER},
        {"keccak", coh_keccak_backend()},
    };
    fact_t const libraries[] = {
        {"mpi", "MPI " COHORT_MPI_VERSION},
        {"rocksdb", COHORT_ROCKSDB_VERSION},
        {"nanomsg", COHORT_NANOMSG_VERSION},
        {"msgpack-c", COHORT_MSGPACK_VERSION},
        {"libsecp256k1", COHORT_SECP256K1_VERSION},
        {"openssl", coh_sha256_library()},
        {"gmp", coh_modexp_library()},
        {"c-kzg", coh_kzg_library()},
        {"jansson", jansson_version_str()},
        {"libmicrohttpd", MHD_get_version()},
        {"inih", COHORT_INIH_VERSION},
    };
    bool printed = true;
    if (json) {
        printed = print_json(facts, COH_CNT(facts), libraries, COH_CNT(libraries));
    } else {
        print_facts(facts, COH_CNT(facts), libraries, COH_CNT(libraries));
    }
    return printed && fflush(stdout) == 0 ? COH_EXIT_OK : COH_EXIT_FAILED;
}
