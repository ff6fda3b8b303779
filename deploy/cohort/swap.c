#include "deploy/cohort/swap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "deploy/cohort/files.h"

/* The file says how many ranks the new folders are of. */
#define MARK           "cohort swap 1, ranks "
#define MARK_BYTES_MAX 64u

coh_err_t coh_swap_begin(char const *dir, coh_buf_t *err_text)
{
    char *next   = coh_path_of("%s/next", dir);
    coh_err_t rc = coh_file_remove_tree(next, err_text);
    if (rc == COH_OK) {
        rc = coh_file_make_dir(next, err_text);
    }
    free(next);
    return rc;
}

coh_err_t coh_swap_commit(char const *dir, uint32_t rank_cnt, coh_buf_t *err_text)
{
    char *next     = coh_path_of("%s/next", dir);
    char *previous = coh_path_of("%s/previous", dir);
    char *mark     = coh_path_of("%s/swap", dir);
    coh_buf_t text = COH_BUF_INIT;
    coh_buf_printf(&text, MARK "%u\n", rank_cnt);
    coh_err_t rc = coh_file_remove_tree(previous, err_text);
    if (rc == COH_OK) {
        rc = coh_file_make_dir(previous, err_text);
    }
    if (rc == COH_OK) {
        rc = coh_file_sync_dir(next, err_text);
    }
    if (rc == COH_OK) {
        rc = coh_file_write(mark, coh_buf_bytes(&text), err_text);
    }
    if (rc == COH_OK) {
        rc = coh_swap_finish(dir, err_text);
    }
    coh_buf_free(&text);
    free(mark);
    free(previous);
    free(next);
    return rc;
}

bool coh_swap_is_pending(char const *dir)
{
    char *mark = coh_path_of("%s/swap", dir);
    bool is    = access(mark, F_OK) == 0;
    free(mark);
    return is;
}

static coh_err_t move(char const *dir,
                      char const *from,
                      char const *to,
                      uint32_t rank,
                      coh_buf_t *err_text)
{
    char *a      = coh_path_of("%s/%srank-%u", dir, from, rank);
    char *b      = coh_path_of("%s/%srank-%u", dir, to, rank);
    coh_err_t rc = rename(a, b) == 0 ? COH_OK : coh_file_failed(err_text, "rename", a);
    free(a);
    free(b);
    return rc;
}

static bool has_rank(char const *dir, char const *below, uint32_t rank)
{
    char *path = coh_path_of("%s/%srank-%u", dir, below, rank);
    bool has   = coh_file_is_dir(path);
    free(path);
    return has;
}

/* A new folder that is still in next has not changed places; one that is not there has. Old ones beyond the new number of ranks just go. */
static coh_err_t move_all(char const *dir, uint32_t rank_cnt, coh_buf_t *err_text)
{
    for (uint32_t rank = 0; rank < rank_cnt; rank++) {
        if (!has_rank(dir, "next/", rank)) {
            continue;
        }
        if (has_rank(dir, "", rank)) {
            COH_TRY(move(dir, "", "previous/", rank, err_text));
        }
        COH_TRY(move(dir, "next/", "", rank, err_text));
    }
    for (uint32_t rank = rank_cnt; has_rank(dir, "", rank) || has_rank(dir, "previous/", rank);
         rank++) {
        if (has_rank(dir, "", rank)) {
            COH_TRY(move(dir, "", "previous/", rank, err_text));
        }
    }
    return COH_OK;
}

static coh_err_t sync_all(char const *dir, coh_buf_t *err_text)
{
    char *next     = coh_path_of("%s/next", dir);
    char *previous = coh_path_of("%s/previous", dir);
    coh_err_t rc   = coh_file_sync_dir(previous, err_text);
    if (rc == COH_OK) {
        rc = coh_file_sync_dir(dir, err_text);
    }
    if (rc == COH_OK) {
        rc = coh_file_remove_tree(next, err_text);
    }
    free(previous);
    free(next);
    return rc;
}

/* Reads the mark, which is open and locked. */
static coh_err_t read_mark(int fd, char const *mark, uint32_t *rank_cnt, coh_buf_t *err_text)
{
    char text[MARK_BYTES_MAX + 1];
    ssize_t n = read(fd, text, MARK_BYTES_MAX);
    if (n < 0) {
        return coh_file_failed(err_text, "read", mark);
    }
    text[n]             = '\0';
    size_t head         = sizeof(MARK) - 1;
    char *end           = text;
    unsigned long ranks = strncmp(text, MARK, head) == 0 ? strtoul(text + head, &end, 10) : 0;
    *rank_cnt           = (uint32_t)ranks;
    if (ranks == 0 || ranks > UINT32_MAX || *end != '\n') {
        coh_buf_printf(err_text, "%s is not of this program's format", mark);
        return COH_EMISMATCH;
    }
    return COH_OK;
}

coh_err_t coh_swap_finish(char const *dir, coh_buf_t *err_text)
{
    char *mark        = coh_path_of("%s/swap", dir);
    uint32_t rank_cnt = 0;
    int fd            = open(mark, O_RDONLY | O_CLOEXEC);
    coh_err_t rc      = fd >= 0 ? COH_OK : coh_file_failed(err_text, "open", mark);
    if (rc == COH_OK && flock(fd, LOCK_EX | LOCK_NB) != 0) {
        coh_buf_printf(err_text, "%s is being worked on by another process", dir);
        rc = COH_ELOCKED;
    }
    if (rc == COH_OK) {
        rc = read_mark(fd, mark, &rank_cnt, err_text);
    }
    if (rc == COH_OK) {
        rc = move_all(dir, rank_cnt, err_text);
    }
    if (rc == COH_OK) {
        rc = sync_all(dir, err_text);
    }
    if (rc == COH_OK && unlink(mark) != 0) {
        rc = coh_file_failed(err_text, "remove", mark);
    }
    if (rc == COH_OK) {
        rc = coh_file_sync_dir(dir, err_text);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    free(mark);
    return rc;
}
