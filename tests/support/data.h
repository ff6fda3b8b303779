/* data.h: the conformance data (real blocks, Ethereum's published test suites), which lies
   outside the source tree, and JSON fixtures from it. Tests find it by the environment variable
   COHORT_TEST_DATA (the folder that holds realblocks/ and its siblings), else beside the project
   in ../shared/data, unpacked once into a cache. A test that finds none says so loudly through
   coh_test_skip and passes on the cases of its own.

   All functions are for one thread, and stop the process on what only a damaged fixture or
   machine can cause. */
#ifndef COH_TEST_DATA_H
#define COH_TEST_DATA_H

#include <jansson.h>

#include "common/base/buf.h"
#include "common/base/u256.h"

/* coh_test_data_dir returns the data folder, or NULL if there is none. The string lives as long
   as the process. */
char const *coh_test_data_dir(void);

/* coh_test_skip reports that cases of kind what were not run for lack of data. */
void coh_test_skip(char const *what);

/* coh_test_files lists the regular files below dir/sub, whose names end in suffix, by full path
   and in sorted order.
   Returns: how many; *out is NULL-terminated, release it with coh_test_files_free */
size_t coh_test_files(char ***out, char const *dir, char const *sub, char const *suffix);
void coh_test_files_free(char **files);

/* coh_test_file appends the contents of dir/name; stops if it cannot be read. */
void coh_test_file(coh_buf_t *out, char const *dir, char const *name);

/* coh_test_json loads a file; the caller releases it with json_decref. */
json_t *coh_test_json(char const *path);

/* The member key of obj as text; stops if it is absent or no string. Borrowed from obj. */
char const *coh_test_str(json_t const *obj, char const *key);

/* coh_test_hex replaces out's contents by the bytes that text spells, with or without 0x.
   Returns false, out empty, if text is not an even number of digits. */
bool coh_test_hex(coh_buf_t *out, char const *text);
/* coh_test_decode writes the n octets that text spells; stops if it spells another number of them. */
void coh_test_decode(void *out, size_t n, char const *text);
/* The same as values; stop if text has another length. */
coh_hash_t coh_test_hash(char const *text);
coh_addr_t coh_test_addr(char const *text);
/* A quantity ("0x1b", or decimal); stops if it does not fit. */
coh_u256_t coh_test_u256(char const *text);
uint64_t coh_test_u64(char const *text);

#endif
