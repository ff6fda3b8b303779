#include "coordinator/backup.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/hex.h"
#include "common/node/disk_req.h"
#include "common/node/version.h"
#include "common/obs/log.h"
#include "coordinator/coordinator_private.h"

#define MOD "backup"
/* Text of a failure that is kept. */
#define FAILED_MAX 500u

void coh_backup_fini(coh_backup_t *backup)
{
    coh_buf_free(&backup->path);
    coh_buf_free(&backup->failed);
    free(backup->ranks);
    *backup = (coh_backup_t){0};
}

/* The last block whose decision record was handed out: committed, or about to be. */
static coh_sealed_t const *last_decided(coh_coordinator_t const *c)
{
    coh_sealed_t const *head = coh_chain_head(c->chain);
    if (head->header.number == c->decided) {
        return head;
    }
    coh_flight_t const *f = &c->flights[c->decided % COH_COMMIT_WINDOW];
    COH_ASSERT(f->live && f->env.number == c->decided && f->sealed != NULL);
    return f->sealed;
}

/* A path that every rank understands alike; where it may lie is each rank's to judge. */
static bool is_path(coh_bytes_t path)
{
    return path.n > 1 && path.n <= COH_BACKUP_PATH_MAX && path.p[0] == '/' &&
           memchr(path.p, 0, path.n) == NULL && memchr(path.p, '"', path.n) == NULL &&
           memchr(path.p, '\\', path.n) == NULL;
}

void coh_co_backup(coh_coordinator_t *c, uint64_t ticket, coh_op_backup_request_t const *req)
{
    coh_backup_t *b = &c->backup;
    char const *why = c->state != COH_CO_RUNNING ? "the cluster is not ready, or is stopping"
                      : b->number != 0 && b->state == COH_OP_BACKUP_RUNNING
                          ? "a backup is being made"
                          : NULL;
    if (why != NULL) {
        coh_gateway_refuse(c->gateway, ticket, COH_EBUSY, why);
        return;
    }
    if (!is_path(req->path)) {
        coh_gateway_refuse(
            c->gateway, ticket, COH_EINVAL, "the folder's path must be absolute, and no text");
        return;
    }
    coh_sealed_t const *last = last_decided(c);
    uint64_t number          = b->number + 1;
    coh_backup_fini(b);
    *b = (coh_backup_t){
        .number     = number,
        .state      = COH_OP_BACKUP_RUNNING,
        .block      = c->decided,
        .hash       = last->hash,
        .state_root = last->header.state_root,
        .unix_s     = c->env->unix_us(c->env) / 1000000,
        .begun_us   = c->env->mono_us(c->env),
        .ranks      = coh_calloc(c->shard_cnt + 1, sizeof(*b->ranks)),
    };
    coh_buf_put(&b->path, req->path.p, req->path.n);
    /* All in this call: see the argument in backup.h. */
    c->env->disk(c->env,
                 coh_disk_backup_new(COH_DISK_BACKUP, COH_CO_DISK_BACKUP, number, req->path));
    for (uint32_t s = 0; s < c->shard_cnt; s++) {
        coh_wire_put_backup(coh_co_outbox(c, s),
                            &(coh_msg_backup_t){.backup = number, .path = req->path});
    }
    COH_LOG_INF(MOD,
                "backup begins",
                "block=%" PRIu64 " path=\"%.*s\"",
                b->block,
                (int)b->path.n,
                (char const *)b->path.p);
    coh_gateway_answer_backup(
        c->gateway, ticket, &(coh_op_backup_answer_t){.backup = number, .block = b->block});
}

void coh_co_backup_state(coh_coordinator_t *c,
                         uint64_t ticket,
                         coh_op_backup_state_request_t const *req)
{
    coh_backup_t const *b = &c->backup;
    if (req->backup == 0 || req->backup != b->number) {
        coh_gateway_refuse(
            c->gateway, ticket, COH_ENOTFOUND, "no such backup, or a later one has begun");
        return;
    }
    coh_op_backup_state_answer_t m = {
        .state      = (uint32_t)b->state,
        .block      = b->block,
        .hash       = b->hash,
        .state_root = b->state_root,
        .rank_cnt   = c->shard_cnt + 1,
        .done_cnt   = b->done_cnt,
        .text       = coh_buf_bytes(&b->failed),
    };
    for (uint32_t r = 0; r <= c->shard_cnt; r++) {
        m.file_bytes += b->ranks[r].file_bytes;
    }
    coh_gateway_answer_backup_state(c->gateway, ticket, &m);
}

static void put_hash(coh_buf_t *out, char const *name, coh_hash_t const *hash)
{
    char hex[65];
    coh_hex_encode(hex, hash->b, sizeof(hash->b));
    coh_buf_printf(out, "\"%s\":\"0x%s\"", name, hex);
}

static void put_manifest(coh_coordinator_t const *c, coh_buf_t *out)
{
    coh_backup_t const *b = &c->backup;
    coh_buf_printf(out,
                   "{\"kind\":\"cohort backup\",\"format\":%u,\"version\":\"" COH_VERSION
                   "\",\"time\":%" PRIu64 ",\"chain_id\":%" PRIu64 ",",
                   COH_BACKUP_MANIFEST_FORMAT,
                   b->unix_s,
                   c->genesis->chain_id);
    put_hash(out, "genesis", &c->genesis->hash);
    coh_buf_printf(out, ",\"block\":%" PRIu64 ",", b->block);
    put_hash(out, "hash", &b->hash);
    coh_buf_printf(out, ",");
    put_hash(out, "state_root", &b->state_root);
    coh_buf_printf(out,
                   ",\"root_every\":%" PRIu64 ",\"shards\":%u,\"epoch\":%" PRIu64 ",\"ranks\":[",
                   c->config->block_root_every,
                   c->shard_cnt,
                   c->recovery.dir.epoch);
    for (uint32_t r = 0; r <= c->shard_cnt; r++) {
        coh_backup_rank_t const *rank = &b->ranks[r];
        coh_buf_printf(out, "%s\n{\"rank\":%u,", r == 0 ? "" : ",", r);
        put_hash(out, "files_sha256", &rank->list);
        coh_buf_printf(
            out, ",\"files\":%" PRIu64 ",\"bytes\":%" PRIu64 "}", rank->file_cnt, rank->file_bytes);
    }
    coh_buf_printf(out, "]}\n");
}

static void end(coh_coordinator_t *c, coh_op_backup_state_t state)
{
    coh_backup_t *b = &c->backup;
    b->state        = state;
    uint64_t ms     = (c->env->mono_us(c->env) - b->begun_us) / 1000;
    if (state == COH_OP_BACKUP_DONE) {
        COH_LOG_INF(MOD, "backup is whole", "block=%" PRIu64 " ms=%" PRIu64, b->block, ms);
    } else {
        COH_LOG_WRN(MOD,
                    "backup failed",
                    "block=%" PRIu64 " reason=\"%.*s\"",
                    b->block,
                    (int)b->failed.n,
                    (char const *)b->failed.p);
    }
}

static void note_failure(coh_backup_t *b, uint32_t rank, coh_bytes_t text)
{
    if (b->failed.n == 0) {
        coh_buf_printf(&b->failed,
                       "rank %u: %.*s",
                       rank,
                       (int)COH_MIN(text.n, FAILED_MAX),
                       (char const *)text.p);
    }
}

/* A rank is done; the last one leads to the manifest. failed is empty if it did what was asked. */
static void rank_done(coh_coordinator_t *c,
                      uint32_t rank,
                      coh_bytes_t failed,
                      coh_backup_rank_t const *part)
{
    coh_backup_t *b        = &c->backup;
    b->ranks[rank]         = *part;
    b->ranks[rank].is_done = true;
    if (failed.n != 0) {
        note_failure(b, rank, failed);
    }
    if (++b->done_cnt <= c->shard_cnt) {
        return;
    }
    if (b->failed.n != 0) {
        end(c, COH_OP_BACKUP_FAILED);
        return;
    }
    coh_disk_req_t *req = coh_disk_backup_new(
        COH_DISK_MANIFEST, COH_CO_DISK_MANIFEST, b->number, coh_buf_bytes(&b->path));
    put_manifest(c, &req->backup->text);
    c->env->disk(c->env, req);
}

coh_err_t coh_co_on_backed_up(coh_coordinator_t *c, uint32_t shard, coh_msg_backed_up_t const *m)
{
    coh_backup_t *b = &c->backup;
    if (m->backup == 0 || m->backup != b->number || b->ranks[shard + 1].is_done) {
        return COH_EPROTO;
    }
    rank_done(c,
              shard + 1,
              m->failed,
              &(coh_backup_rank_t){
                  .list = m->list, .file_cnt = m->file_cnt, .file_bytes = m->file_bytes});
    return COH_OK;
}

void coh_co_disk_backup_done(coh_coordinator_t *c, coh_disk_req_t *req)
{
    coh_backup_t *b            = &c->backup;
    coh_disk_backup_t const *d = req->backup;
    char const *err            = coh_err_str(req->err);
    coh_bytes_t failed         = {0};
    if (req->err != COH_OK) {
        failed = d->failed.n != 0 ? coh_buf_bytes(&d->failed) : coh_bytes(err, strlen(err));
    }
    if (req->tag == COH_CO_DISK_BACKUP) {
        rank_done(c,
                  0,
                  failed,
                  &(coh_backup_rank_t){
                      .list = d->list, .file_cnt = d->file_cnt, .file_bytes = d->file_bytes});
    } else if (failed.n != 0) {
        note_failure(b, 0, failed);
        end(c, COH_OP_BACKUP_FAILED);
    } else {
        end(c, COH_OP_BACKUP_DONE);
    }
    coh_disk_req_free(req);
}
