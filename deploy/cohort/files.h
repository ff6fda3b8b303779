/* files.h: what is done with files and folders as wholes: copies that are durable and hashed, trees that are removed or listed. Paths are NUL-terminated text. */
#ifndef COH_FILES_H
#define COH_FILES_H

#include "common/base/buf.h"
#include "common/base/err.h"

/* coh_path_of makes a path of text; the caller frees it. */
COH_PRINTF(1, 2) char *coh_path_of(char const *fmt, ...);

/* coh_file_failed says what failed with path, by errno, in err_text.    Returns: COH_ENOTFOUND for ENOENT, else COH_EIO */
coh_err_t coh_file_failed(coh_buf_t *err_text, char const *what, char const *path);

/* coh_file_sync_dir makes the names in a folder durable. COH_EIO, COH_ENOTFOUND with err_text, as all that follow */
coh_err_t coh_file_sync_dir(char const *path, coh_buf_t *err_text);
/* coh_file_remove_tree removes a folder with all in it; it need not be there. */
coh_err_t coh_file_remove_tree(char const *path, coh_buf_t *err_text);
/* coh_file_make_dir makes a folder, which may be there; its parent must be. */
coh_err_t coh_file_make_dir(char const *path, coh_buf_t *err_text);
/* coh_file_is_dir tells whether a folder is there. */
bool coh_file_is_dir(char const *path);

/* coh_file_copy copies a file to one that is not there yet, and syncs the copy. Out: sha256, bytes  of it; or NULL */
coh_err_t coh_file_copy(char const *to,
                        char const *from,
                        coh_hash_t *sha256,
                        uint64_t *bytes,
                        coh_buf_t *err_text);
/* coh_file_hash reads a file, and syncs it. Out: as above */
coh_err_t coh_file_hash(char const *path, coh_hash_t *sha256, uint64_t *bytes, coh_buf_t *err_text);
/* coh_file_write writes all of a file so that it is there whole or, after a crash, as before: path.tmp, synced, renamed; the folder is synced too. */
coh_err_t coh_file_write(char const *path, coh_bytes_t text, coh_buf_t *err_text);
/* coh_file_read appends all of a file, at most bytes_max octets (COH_ETOOBIG). */
coh_err_t coh_file_read(char const *path, size_t bytes_max, coh_buf_t *out, coh_buf_t *err_text);

#endif
