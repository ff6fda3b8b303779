/* vlog.h: large values on disk, each written once, in files of their own: a store keeps where a value
   lies (28 octets) in its place. Written through RocksDB such a value would cost a checksum and a
   copy into the page cache twice (write-ahead log, then table), and the page cache new pages for
   both; here it costs one checksum and one write past the cache, from memory that is used again.

   Files are named values-<number>.val, begin with a header that says their format, and are filled one after another; opening never goes on with an
   old one, so that what an interrupted append has left behind is no more than unused space. What is
   in them is found by references alone: an append is done, durably, before its reference is written
   anywhere. Nothing is ever removed. */
#ifndef COH_VLOG_H
#define COH_VLOG_H

#include "common/base/buf.h"
#include "common/base/err.h"

/* Octets of an encoded reference: file u64, offset u64, length u32, checksum u64, little-endian. */
#define COH_VLOG_REF_SZ 28u

typedef struct coh_vlog coh_vlog_t;

/* coh_vlog_open looks into folder (copied), which must exist and belong to this process.
   file_bytes: a file that has reached this size is not appended to any more.
   Returns: COH_OK; COH_EMISMATCH a file of another format; COH_EIO */
coh_err_t coh_vlog_open(coh_vlog_t **out, char const *folder, uint64_t file_bytes);
void coh_vlog_close(coh_vlog_t *vlog);

/* coh_vlog_append writes value, and returns when it is durable. COH_EIO: it may be there or not, and
   nothing refers to it; the next append begins another file. One thread at a time. */
coh_err_t coh_vlog_append(coh_vlog_t *vlog, coh_bytes_t value, uint8_t ref[COH_VLOG_REF_SZ]);

/* coh_vlog_link makes hard links to all files in another folder of the same file system; the one appended to so far is ended, so none of them changes any more. As an append, for its
   thread.    Returns: COH_OK; COH_EIO, logged */
coh_err_t coh_vlog_link(coh_vlog_t *vlog, char const *folder);

/* coh_vlog_read appends a value to out. Any thread, beside appends.
   Returns: COH_OK; COH_ECORRUPT ref is none, or what it names is not there or is damaged; COH_EIO; out
            is unchanged then */
coh_err_t coh_vlog_read(coh_vlog_t const *vlog, coh_bytes_t ref, coh_buf_t *out);

#endif
