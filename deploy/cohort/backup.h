/* backup.h: a rank's part of a backup, on disk. coordinator/backup.h says when it is taken and why the parts belong together.

     DIR/manifest.json         of the whole, by rank 0, last: without it nothing is restored
     DIR/rank-2/files          list of all that follows: format, rank, data format; then SHA-256, size and path of each file
     DIR/rank-2/genesis.json   copy of the rank's
     DIR/rank-2/db/            what the rank's store was
     DIR/rank-2.partial/       being copied, or given up

   A checkpoint is made in the rank's own folder, where it is a matter of links; then its files are read once for their checksums and linked into the backup, or copied, if that is on
   another file system. Nothing that is there is ever overwritten. Ranks on several hosts make DIR on each. */
#ifndef COH_DEPLOY_BACKUP_H
#define COH_DEPLOY_BACKUP_H

#include "deploy/cohort/disk.h"

#define COH_BACKUP_FILES_FORMAT 1u

/* A rank's store; all borrowed. */
typedef struct {
    coh_kv_t *kv;        /* RocksDB */
    char const *folder;  /* the rank's */
    char const *genesis; /* path of the genesis in it; may not be there */
    char const *under;   /* node-backups: where backups may be */
    uint32_t rank, rank_cnt;
} coh_backup_source_t;

/* coh_backup_of is how the disk threads of a rank make backups of source (borrowed). */
coh_disk_backups_t coh_backup_of(coh_backup_source_t *source);

/* coh_backup_clear removes from a rank's folder the checkpoint that an interrupted backup has left. COH_EIO with err_text */
coh_err_t coh_backup_clear(char const *folder, coh_buf_t *err_text);

/* What a list of files says, for restoring. */
typedef struct {
    char *path; /* relative to the rank's folder; owned */
    coh_hash_t sha256;
    uint64_t bytes;
} coh_backup_file_t;

typedef struct {
    coh_backup_file_t *v; /* owned */
    size_t cnt, cap;
} coh_backup_files_t;

/* coh_backup_files_read reads the list in folder, which must have the checksum sha256 and be rank's of rank_cnt. The caller frees it.
   Returns: COH_OK; COH_ENOTFOUND, COH_ECORRUPT, COH_EMISMATCH, COH_EIO with err_text */
coh_err_t coh_backup_files_read(coh_backup_files_t *out,
                                char const *folder,
                                coh_hash_t const *sha256,
                                uint32_t rank,
                                uint32_t rank_cnt,
                                coh_buf_t *err_text);
void coh_backup_files_free(coh_backup_files_t *files);

#endif
