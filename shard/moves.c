#include "shard/moves.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/checksum.h"
#include "common/crypto/keccak.h"
#include "common/node/disk_req.h"
#include "common/obs/log.h"

#define NOTE_VERSION 1u
/* version, epoch, count; address, generation, whether it was taken; checksum */
#define NOTE_HEAD_SZ  16u
#define NOTE_ENTRY_SZ 25u

static char const note_key[] = "node/move";

typedef enum { IDLE, WAITING, SENDING, READYING, VOTED, REFUSED, ENDING } state_t;

/* What a write was; with STEP_PIECE, the sender's rank is in the bits above. */
enum { STEP_BEGIN, STEP_PIECE, STEP_READY, STEP_END, STEP_DROP, STEP_BITS = 3 };

enum { JOB_NONE, JOB_QUEUED, JOB_RUNNING, JOB_DONE };

/* An account that is taken or given away. */
typedef struct {
    coh_addr_t addr;
    uint32_t peer; /* shard */
    uint32_t generation;
    bool is_in;
} note_t;

typedef struct {
    note_t *v; /* owned */
    size_t cnt;
} notes_t;

/* What another shard sends: one piece at a time. */
typedef struct {
    bool is_expected; /* it gives something to us */
    bool is_last;     /* the piece that is being written is */
    bool is_writing;
    uint64_t early_round; /* of early */
    coh_buf_t early;      /* MIGRATE that came before we were ready, encoded; empty: none */
} stream_t;

/* A piece that a worker makes. */
typedef struct {
    coh_rec_change_t *changes; /* owned; values are offsets into bytes until it is encoded */
    size_t cnt, cap;
    coh_rec_code_t *codes; /* likewise */
    size_t code_cnt, code_cap;
    coh_buf_t bytes;
    coh_err_t err;
} piece_t;

struct coh_moves {
    coh_env_t *env;
    coh_kv_t *kv;
    coh_directory_t *dir;
    coh_past_t *past;
    coh_wire_reader_t *reader;
    uint32_t tag;
    size_t round_bytes;
    state_t state;
    uint64_t round;
    uint64_t epoch;
    coh_rec_move_account_t *all; /* owned; of the round */
    size_t all_cnt;
    notes_t ins;  /* by address */
    notes_t outs; /* by peer */
    bool is_noted;
    stream_t *streams; /* owned; by shard */
    uint32_t streams_left;
    bool commits;
    /* Sending. */
    _Atomic int job;
    size_t out_at;                      /* of outs */
    bool out_begun;                     /* its account has been sent: its slots go on from... */
    uint8_t out_key[COH_STORE_KEY_MAX]; /* ...here */
    size_t out_bytes;                   /* of the round */
    bool too_big;
    bool piece_is_out; /* not acknowledged */
    uint32_t piece_peer;
    bool piece_is_last;
    coh_buf_t piece; /* MIGRATE, encoded */
    coh_err_t err;
    notes_t leftovers; /* by address */
    notes_t found;     /* by scan */
    uint64_t found_epoch;
};

coh_moves_t *coh_moves_new(coh_env_t *env,
                           coh_kv_t *kv,
                           coh_directory_t *dir,
                           coh_past_t *past,
                           size_t round_bytes,
                           uint32_t tag)
{
    coh_moves_t *m = coh_calloc(1, sizeof(*m));
    m->env         = env;
    m->kv          = kv;
    m->dir         = dir;
    m->past        = past;
    m->round_bytes = round_bytes;
    m->tag         = tag;
    m->reader      = coh_wire_reader_new();
    m->streams     = coh_calloc(env->rank_cnt, sizeof(*m->streams));
    return m;
}

static void free_notes(notes_t *notes)
{
    free(notes->v);
    *notes = (notes_t){0};
}

void coh_moves_free(coh_moves_t *m)
{
    if (m == NULL) {
        return;
    }
    for (uint32_t s = 0; s < m->env->rank_cnt; s++) {
        coh_buf_free(&m->streams[s].early);
    }
    free(m->streams);
    free(m->all);
    free_notes(&m->ins);
    free_notes(&m->outs);
    free_notes(&m->leftovers);
    free_notes(&m->found);
    coh_buf_free(&m->piece);
    coh_wire_reader_free(m->reader);
    free(m);
}

/* ---- notes ---- */

static int by_address(void const *a, void const *b)
{
    return memcmp(((note_t const *)a)->addr.b, ((note_t const *)b)->addr.b, sizeof(coh_addr_t));
}

static int by_peer(void const *a, void const *b)
{
    note_t const *x = a;
    note_t const *y = b;
    return x->peer != y->peer ? (x->peer > y->peer) - (x->peer < y->peer) : by_address(a, b);
}

static note_t const *find_note(notes_t const *notes, coh_addr_t const *addr)
{
    note_t wanted = {.addr = *addr};
    return notes->cnt == 0 ? NULL
                           : bsearch(&wanted, notes->v, notes->cnt, sizeof(*notes->v), by_address);
}

static uint8_t *put_note(uint8_t *p, note_t const *note)
{
    memcpy(p, note->addr.b, sizeof(note->addr.b));
    coh_store_u32_le(p + 20, note->generation);
    p[24] = note->is_in;
    return p + NOTE_ENTRY_SZ;
}

static void put_notes(coh_moves_t const *m, coh_kv_batch_t *batch)
{
    size_t cnt  = m->ins.cnt + m->outs.cnt;
    size_t size = NOTE_HEAD_SZ + cnt * NOTE_ENTRY_SZ + 8;
    uint8_t *head =
        coh_kv_batch_put_space(batch, COH_KV_META, coh_bytes(note_key, sizeof(note_key) - 1), size);
    uint8_t *p = head + NOTE_HEAD_SZ;
    coh_store_u32_le(head, NOTE_VERSION);
    coh_store_u64_le(head + 4, m->epoch);
    coh_store_u32_le(head + 12, (uint32_t)cnt);
    for (size_t i = 0; i < m->ins.cnt; i++) {
        p = put_note(p, &m->ins.v[i]);
    }
    for (size_t i = 0; i < m->outs.cnt; i++) {
        p = put_note(p, &m->outs.v[i]);
    }
    coh_store_u64_le(p, coh_checksum64(head, size - 8));
}

static coh_err_t read_notes(coh_kv_t *kv, notes_t *out, uint64_t *epoch)
{
    coh_buf_t buf = COH_BUF_INIT;
    *out          = (notes_t){0};
    coh_err_t rc  = kv->ops->get(kv, COH_KV_META, coh_bytes(note_key, sizeof(note_key) - 1), &buf);
    if (rc == COH_OK) {
        uint64_t cnt = buf.n >= NOTE_HEAD_SZ ? coh_load_u32_le(buf.p + 12) : 0;
        if (buf.n != NOTE_HEAD_SZ + cnt * NOTE_ENTRY_SZ + 8 ||
            coh_load_u32_le(buf.p) != NOTE_VERSION ||
            coh_load_u64_le(buf.p + buf.n - 8) != coh_checksum64(buf.p, buf.n - 8)) {
            rc = COH_ECORRUPT;
        } else {
            *epoch = coh_load_u64_le(buf.p + 4);
            out->v = coh_calloc(cnt + 1, sizeof(*out->v));
            for (uint8_t const *p = buf.p + NOTE_HEAD_SZ; out->cnt < cnt; p += NOTE_ENTRY_SZ) {
                note_t *note = &out->v[out->cnt++];
                memcpy(note->addr.b, p, sizeof(note->addr.b));
                note->generation = coh_load_u32_le(p + 20);
                note->is_in      = p[24] != 0;
            }
        }
    }
    coh_buf_free(&buf);
    return rc == COH_ENOTFOUND ? COH_OK : rc;
}

static void drop_notes(coh_kv_batch_t *batch)
{
    coh_kv_batch_delete(batch, COH_KV_META, coh_bytes(note_key, sizeof(note_key) - 1));
}

/* Deletes all that the flat tables have of an account. */
static void delete_account(coh_kv_batch_t *batch, coh_addr_t const *addr)
{
    uint8_t end[COH_STORE_KEY_MAX + 1]; /* behind every key of the account */
    memset(end, 0xff, sizeof(end));
    memcpy(end, addr->b, sizeof(addr->b));
    coh_bytes_t first = coh_bytes(addr->b, sizeof(addr->b));
    coh_kv_batch_delete(batch, COH_KV_ACCOUNTS, first);
    coh_kv_batch_delete_range(batch, COH_KV_STORAGE, first, coh_bytes(end, sizeof(end)));
}

/* An account whose tries may be here leaves its generation. */
static void note_generation(coh_kv_batch_t *batch, note_t const *note)
{
    if (note->generation != 0) {
        coh_store_put_guest(batch, &note->addr, note->generation);
    }
}

/* ---- at start ---- */

coh_err_t coh_moves_scan(coh_moves_t *m) { return read_notes(m->kv, &m->found, &m->found_epoch); }

/* Whether an account is not, or no longer, here, now that the round is settled. */
static bool is_left(note_t const *note, bool is_committed) { return note->is_in != is_committed; }

void coh_moves_recover(coh_moves_t *m, coh_kv_batch_t *batch)
{
    if (m->found.cnt == 0) {
        return;
    }
    bool is_committed = m->found_epoch <= m->dir->epoch;
    for (size_t i = 0; i < m->found.cnt; i++) {
        note_t const *note = &m->found.v[i];
        if (is_left(note, is_committed)) {
            delete_account(batch, &note->addr);
        }
        if (!note->is_in && is_committed) {
            note_generation(batch, note);
        }
    }
    drop_notes(batch);
    COH_LOG_INF("moves",
                "settled a round of an earlier run",
                "epoch=%llu committed=%d accounts=%zu",
                (unsigned long long)m->found_epoch,
                is_committed,
                m->found.cnt);
    free_notes(&m->found);
}

coh_err_t coh_moves_left(coh_kv_t *kv, uint64_t epoch, coh_addr_t **addrs, size_t *cnt)
{
    notes_t notes;
    uint64_t found_epoch = 0;
    COH_TRY(read_notes(kv, &notes, &found_epoch));
    if (notes.cnt != 0) {
        qsort(notes.v, notes.cnt, sizeof(*notes.v), by_address);
    }
    *addrs = coh_calloc(notes.cnt + 1, sizeof(**addrs));
    *cnt   = 0;
    for (size_t i = 0; i < notes.cnt; i++) {
        if (is_left(&notes.v[i], found_epoch <= epoch)) {
            (*addrs)[(*cnt)++] = notes.v[i].addr;
        }
    }
    free_notes(&notes);
    return COH_OK;
}

/* ---- writing and answering ---- */

static void write(coh_moves_t *m, coh_disk_req_t *req) { m->env->disk(m->env, req); }

static coh_disk_req_t *request(coh_moves_t const *m, coh_disk_kind_t kind, uint32_t step)
{
    return coh_disk_req_new(kind, m->tag, step);
}

static coh_buf_t *outbox(coh_moves_t *m, uint32_t rank)
{
    coh_metric_add(m->env->metrics, COH_M_net_message_sent, 1);
    return m->env->outbox(m->env, rank);
}

static void vote(coh_moves_t *m, coh_move_word_t word, coh_addr_t const *addr)
{
    coh_msg_move_vote_t msg = {.round = m->round, .word = word};
    if (addr != NULL) {
        msg.addr = *addr;
    }
    coh_wire_put_move_vote(outbox(m, 0), &msg);
    m->state = word == COH_MOVE_YES ? VOTED : REFUSED;
}

/* Ends the round: nothing of it is needed any more. */
static void finish(coh_moves_t *m)
{
    coh_wire_put_moved(outbox(m, 0), &(coh_msg_moved_t){.round = m->round});
    if (m->commits && m->outs.cnt != 0) {
        m->leftovers = m->outs;
        m->outs      = (notes_t){0};
        qsort(m->leftovers.v, m->leftovers.cnt, sizeof(*m->leftovers.v), by_address);
    }
    free(m->all);
    m->all     = NULL;
    m->all_cnt = 0;
    free_notes(&m->ins);
    free_notes(&m->outs);
    coh_buf_free(&m->piece);
    m->state = IDLE;
}

/* Says yes once all is here, and all of ours is there. */
static void maybe_ready(coh_moves_t *m)
{
    /* The job first: while a worker has it, where it stands is the worker's. */
    if (m->state == SENDING && m->streams_left == 0 && atomic_load(&m->job) == JOB_NONE &&
        m->out_at == m->outs.cnt && !m->piece_is_out) {
        m->state            = READYING;
        coh_disk_req_t *req = request(m, COH_DISK_WRITE_SYNC, STEP_READY);
        put_notes(m, &req->batch); /* with the generations that are known now */
        write(m, req);
    }
}

/* ---- the old shard: a worker makes pieces ---- */

static size_t add_bytes(piece_t *piece, coh_bytes_t bytes)
{
    size_t at = piece->bytes.n;
    coh_buf_put(&piece->bytes, bytes.p, bytes.n);
    return at;
}

static void add_change(piece_t *piece, coh_key_t const *key, coh_bytes_t value)
{
    if (piece->cnt == piece->cap) {
        piece->cap     = 2 * piece->cap + 64;
        piece->changes = coh_realloc(piece->changes, piece->cap * sizeof(*piece->changes));
    }
    size_t at                    = add_bytes(piece, value);
    piece->changes[piece->cnt++] = (coh_rec_change_t){.kind       = key->kind,
                                                      .addr       = key->addr,
                                                      .slot       = key->slot,
                                                      .generation = key->generation,
                                                      .value.p    = (uint8_t const *)at,
                                                      .value.n    = value.n};
}

static void add_code(piece_t *piece, coh_bytes_t code)
{
    if (piece->code_cnt == piece->code_cap) {
        piece->code_cap = 2 * piece->code_cap + 16;
        piece->codes    = coh_realloc(piece->codes, piece->code_cap * sizeof(*piece->codes));
    }
    size_t at = add_bytes(piece, code);
    piece->codes[piece->code_cnt++] =
        (coh_rec_code_t){.code.p = (uint8_t const *)at, .code.n = code.n};
}

/* Begins the account at out_at: its record and its code. *here: there is such an account. */
static coh_err_t begin_account(coh_moves_t *m, piece_t *piece, bool *here)
{
    note_t *note   = &m->outs.v[m->out_at];
    coh_key_t key  = coh_key_account(&note->addr);
    coh_buf_t flat = COH_BUF_INIT;
    coh_buf_t code = COH_BUF_INIT;
    coh_value_t value;
    coh_err_t rc = m->kv->ops->get(
        m->kv, COH_KV_ACCOUNTS, coh_bytes(note->addr.b, sizeof(note->addr.b)), &flat);
    *here = rc == COH_OK;
    if (rc == COH_OK) {
        rc = coh_store_get_value(&value, COH_KEY_ACCOUNT, coh_buf_bytes(&flat));
    }
    if (rc == COH_OK) {
        note->generation = value.generation;
        add_change(piece, &key, coh_buf_bytes(&flat));
    }
    if (rc == COH_OK && coh_value_has_code(&value)) {
        rc = m->kv->ops->get(
            m->kv, COH_KV_CODE, coh_bytes(value.code_hash.b, sizeof(value.code_hash.b)), &code);
        add_code(piece, coh_buf_bytes(&code));
    }
    coh_buf_free(&flat);
    coh_buf_free(&code);
    key          = coh_key_slot(&note->addr, note->generation, &COH_U256_ZERO);
    m->out_begun = *here;
    (void)coh_store_key(m->out_key, &key);
    return !*here && rc == COH_ENOTFOUND ? COH_OK : rc == COH_ENOTFOUND ? COH_ECORRUPT : rc;
}

typedef struct {
    coh_moves_t *m;
    piece_t *piece;
    bool is_full;
} slots_t;

static bool is_piece_full(piece_t const *piece)
{
    return piece->bytes.n + piece->cnt * COH_STORE_KEY_MAX >= COH_MOVES_PIECE;
}

/* Takes a slot of the account at out_at; past its last one, or where the piece is full, it stops. */
static bool visit_slot(void *arg, coh_bytes_t key, coh_bytes_t value)
{
    slots_t *w = arg;
    coh_key_t k;
    if (coh_store_read_key(&k, COH_KV_STORAGE, key) != COH_OK) {
        w->piece->err = COH_ECORRUPT;
        return false;
    }
    /* The address and the generation are the same. */
    if (memcmp(key.p, w->m->out_key, sizeof(coh_addr_t) + 4) != 0) {
        return false;
    }
    if (is_piece_full(w->piece)) {
        memcpy(w->m->out_key, key.p, sizeof(w->m->out_key));
        w->is_full = true;
        return false;
    }
    add_change(w->piece, &k, value);
    return true;
}

/* Makes the next piece, for the peer of out_at. */
static void make_piece(coh_moves_t *m)
{
    piece_t piece = {0};
    uint32_t peer = m->outs.v[m->out_at].peer;
    while (piece.err == COH_OK && m->out_at < m->outs.cnt && m->outs.v[m->out_at].peer == peer &&
           !is_piece_full(&piece)) {
        bool here  = true;
        slots_t w  = {.m = m, .piece = &piece};
        size_t was = piece.bytes.n + piece.cnt * COH_STORE_KEY_MAX;
        if (!m->out_begun) {
            piece.err = begin_account(m, &piece, &here);
        }
        if (piece.err == COH_OK && here) {
            coh_err_t rc = m->kv->ops->iterate(m->kv,
                                               COH_KV_STORAGE,
                                               coh_bytes(m->out_key, sizeof(m->out_key)),
                                               false,
                                               visit_slot,
                                               &w);
            piece.err    = piece.err == COH_OK ? rc : piece.err;
        }
        m->out_bytes += piece.bytes.n + piece.cnt * COH_STORE_KEY_MAX - was;
        if (m->out_bytes > m->round_bytes) {
            m->too_big = true;
            break;
        }
        if (!w.is_full) {
            m->out_at++;
            m->out_begun = false;
        }
    }
    for (size_t i = 0; i < piece.cnt; i++) {
        piece.changes[i].value.p = piece.bytes.p + (size_t)piece.changes[i].value.p;
    }
    for (size_t i = 0; i < piece.code_cnt; i++) {
        piece.codes[i].code.p = piece.bytes.p + (size_t)piece.codes[i].code.p;
    }
    m->err           = piece.err;
    m->piece_peer    = peer;
    m->piece_is_last = m->out_at == m->outs.cnt || m->outs.v[m->out_at].peer != peer;
    coh_buf_clear(&m->piece);
    if (piece.err == COH_OK && !m->too_big) {
        coh_msg_migrate_t msg = {.round = m->round, .last = m->piece_is_last};
        msg.changes.v         = piece.changes;
        msg.changes.cnt       = (uint32_t)piece.cnt;
        msg.codes.v           = piece.codes;
        msg.codes.cnt         = (uint32_t)piece.code_cnt;
        coh_wire_put_migrate(&m->piece, &msg);
    }
    free(piece.changes);
    free(piece.codes);
    coh_buf_free(&piece.bytes);
}

bool coh_moves_work(coh_moves_t *m)
{
    int queued = JOB_QUEUED;
    if (!atomic_compare_exchange_strong(&m->job, &queued, JOB_RUNNING)) {
        return false;
    }
    make_piece(m);
    atomic_store(&m->job, JOB_DONE);
    m->env->wake_node(m->env);
    return true;
}

/* Has the next piece made, if there is one. */
static void next_piece(coh_moves_t *m)
{
    if (m->out_at < m->outs.cnt) {
        atomic_store(&m->job, JOB_QUEUED);
        m->env->wake_workers(m->env);
    }
}

coh_err_t coh_moves_on_migrated(coh_moves_t *m, uint32_t src, coh_msg_migrated_t const *msg)
{
    if (msg->round < m->round || (msg->round == m->round && m->state != SENDING)) {
        return COH_OK; /* of a round that is over */
    }
    if (msg->round != m->round || !m->piece_is_out || m->piece_peer + 1 != src) {
        return COH_EPROTO;
    }
    m->piece_is_out = false;
    next_piece(m);
    maybe_ready(m);
    return COH_OK;
}

/* ---- the new shard ---- */

static coh_err_t take_piece(coh_moves_t *m, uint32_t from, coh_msg_migrate_t const *msg)
{
    stream_t *stream    = &m->streams[from];
    coh_disk_req_t *req = request(m, COH_DISK_WRITE, STEP_PIECE | (from + 1) << STEP_BITS);
    coh_err_t rc        = COH_OK;
    for (uint32_t i = 0; i < msg->changes.cnt && rc == COH_OK; i++) {
        coh_rec_change_t const *rec = &msg->changes.v[i];
        note_t const *note          = find_note(&m->ins, &rec->addr);
        coh_value_t value;
        if (note == NULL || note->peer != from || rec->after != 0 || rec->wiped != 0 ||
            rec->generation > UINT32_MAX ||
            (rec->kind != COH_KEY_ACCOUNT && rec->kind != COH_KEY_SLOT) ||
            coh_store_get_value(&value, rec->kind, rec->value) != COH_OK) {
            rc = COH_EPROTO;
            break;
        }
        coh_key_t key = rec->kind == COH_KEY_SLOT
                            ? coh_key_slot(&rec->addr, (uint32_t)rec->generation, &rec->slot)
                            : coh_key_account(&rec->addr);
        coh_store_put_value(&req->batch, &key, &value);
    }
    for (uint32_t i = 0; i < msg->codes.cnt && rc == COH_OK; i++) {
        coh_bytes_t code = msg->codes.v[i].code;
        coh_hash_t hash;
        coh_keccak256(&hash, code.p, code.n);
        coh_store_put_code(&req->batch, &hash, code);
    }
    if (rc != COH_OK) {
        coh_disk_req_free(req);
        return rc;
    }
    stream->is_writing = true;
    stream->is_last    = msg->last != 0;
    write(m, req);
    return COH_OK;
}

coh_err_t coh_moves_on_migrate(coh_moves_t *m, uint32_t src, coh_msg_migrate_t const *msg)
{
    if (src == 0 || src == m->env->rank) {
        return COH_EPROTO;
    }
    stream_t *stream = &m->streams[src - 1];
    if (msg->round < m->round ||
        (msg->round == m->round && m->state != WAITING && m->state != SENDING)) {
        return COH_OK; /* of a round that is over */
    }
    if (msg->round == m->round && m->state == SENDING) {
        return stream->is_expected && !stream->is_writing ? take_piece(m, src - 1, msg)
                                                          : COH_EPROTO;
    }
    if (stream->early.n != 0 && stream->early_round == msg->round) {
        return COH_EPROTO; /* it sends the next one when we have asked for it */
    }
    coh_buf_clear(&stream->early);
    coh_wire_put_envelope(&stream->early, &(coh_envelope_t){.sender = m->env->rank});
    coh_wire_put_migrate(&stream->early, msg);
    stream->early_round = msg->round;
    return COH_OK;
}

/* Takes the pieces that came before we were ready. */
static coh_err_t take_early(coh_moves_t *m)
{
    coh_err_t rc = COH_OK;
    for (uint32_t s = 0; s < m->dir->shard_cnt; s++) {
        stream_t *stream = &m->streams[s];
        if (stream->early.n != 0 && stream->early_round == m->round && rc == COH_OK) {
            coh_envelope_t envelope;
            coh_msg_t msg;
            coh_err_t opened =
                coh_wire_reader_begin(m->reader, coh_buf_bytes(&stream->early), &envelope);
            opened = opened == COH_OK ? coh_wire_reader_next(m->reader, &msg) : opened;
            COH_ASSERT(opened == COH_OK); /* we encoded it */
            rc = stream->is_expected ? take_piece(m, s, &msg.u.migrate) : COH_EPROTO;
        }
        coh_buf_free(&stream->early);
    }
    return rc;
}

/* ---- a round ---- */

/* Sorts out what concerns us. False: the list is not what it can be. */
static bool read_list(coh_moves_t *m, coh_msg_move_t const *msg)
{
    uint32_t here = m->env->rank - 1;
    m->ins.v      = coh_calloc(msg->moves.cnt + 1, sizeof(*m->ins.v));
    m->outs.v     = coh_calloc(msg->moves.cnt + 1, sizeof(*m->outs.v));
    for (uint32_t i = 0; i < msg->moves.cnt; i++) {
        coh_rec_move_account_t const *rec = &msg->moves.v[i];
        uint32_t owner = coh_directory_owner(m->dir, &rec->addr, coh_directory_bucket(&rec->addr));
        if (rec->from != owner || rec->to == owner || rec->to >= m->dir->shard_cnt) {
            return false;
        }
        m->all[m->all_cnt++] = *rec;
        if (rec->to == here) {
            m->ins.v[m->ins.cnt++] = (note_t){.addr = rec->addr, .peer = rec->from, .is_in = true};
        } else if (rec->from == here) {
            m->outs.v[m->outs.cnt++] = (note_t){.addr = rec->addr, .peer = rec->to};
        }
    }
    qsort(m->ins.v, m->ins.cnt, sizeof(*m->ins.v), by_address);
    qsort(m->outs.v, m->outs.cnt, sizeof(*m->outs.v), by_peer);
    return true;
}

coh_err_t coh_moves_on_move(coh_moves_t *m, coh_msg_move_t const *msg, bool is_quiet)
{
    if (m->state != IDLE || !is_quiet || msg->round <= m->round ||
        msg->epoch != m->dir->epoch + 1 || msg->moves.cnt > COH_MOVES_MAX) {
        return COH_EPROTO;
    }
    m->round    = msg->round;
    m->epoch    = msg->epoch;
    m->commits  = false;
    m->is_noted = false;
    m->all      = coh_calloc(msg->moves.cnt + 1, sizeof(*m->all));
    if (!read_list(m, msg)) {
        return COH_EPROTO;
    }
    if (m->leftovers.cnt != 0) {
        vote(m, COH_MOVE_BUSY, NULL);
    } else {
        m->state = WAITING;
    }
    return COH_OK;
}

bool coh_moves_is_active(coh_moves_t const *m) { return m->state != IDLE; }

bool coh_moves_is_waiting(coh_moves_t const *m, bool *needs_flush)
{
    *needs_flush = m->outs.cnt != 0;
    return m->state == WAITING;
}

coh_err_t coh_moves_go(coh_moves_t *m)
{
    COH_ASSERT(m->state == WAITING);
    if (m->ins.cnt + m->outs.cnt == 0) {
        vote(m, COH_MOVE_YES, NULL);
        return COH_OK;
    }
    m->state        = SENDING;
    m->is_noted     = true;
    m->streams_left = 0;
    m->out_at       = 0;
    m->out_begun    = false;
    m->out_bytes    = 0;
    m->too_big      = false;
    m->piece_is_out = false;
    for (uint32_t s = 0; s < m->dir->shard_cnt; s++) {
        m->streams[s].is_expected = false;
        m->streams[s].is_writing  = false;
    }
    coh_disk_req_t *req = request(m, COH_DISK_WRITE, STEP_BEGIN);
    coh_addr_t *addrs   = coh_calloc(m->ins.cnt + 1, sizeof(*addrs));
    for (size_t i = 0; i < m->ins.cnt; i++) {
        stream_t *stream = &m->streams[m->ins.v[i].peer];
        m->streams_left += !stream->is_expected;
        stream->is_expected = true;
        delete_account(&req->batch, &m->ins.v[i].addr);
        addrs[i] = m->ins.v[i].addr;
    }
    coh_past_forget(m->past, addrs, m->ins.cnt);
    free(addrs);
    put_notes(m, &req->batch);
    write(m, req);
    next_piece(m);
    COH_TRY(take_early(m));
    maybe_ready(m);
    return COH_OK;
}

/* Deletes what has been taken, if the round got that far; waits for the worker. */
static void undo(coh_moves_t *m)
{
    if (atomic_load(&m->job) == JOB_QUEUED || atomic_load(&m->job) == JOB_RUNNING) {
        return; /* poll comes back here */
    }
    atomic_store(&m->job, JOB_NONE);
    if (!m->is_noted) {
        finish(m);
        return;
    }
    m->is_noted         = false;
    coh_disk_req_t *req = request(m, COH_DISK_WRITE_SYNC, STEP_END);
    for (size_t i = 0; i < m->ins.cnt; i++) {
        delete_account(&req->batch, &m->ins.v[i].addr);
    }
    drop_notes(&req->batch);
    write(m, req);
}

static void commit(coh_moves_t *m, coh_store_mark_t *mark)
{
    for (size_t i = 0; i < m->all_cnt; i++) {
        coh_err_t rc = coh_directory_pin(m->dir, &m->all[i].addr, m->all[i].to);
        COH_ASSERT(rc == COH_OK); /* the coordinator's has the same room */
    }
    m->dir->epoch       = m->epoch;
    mark->epoch         = m->epoch;
    m->commits          = true;
    coh_disk_req_t *req = request(m, COH_DISK_WRITE_SYNC, STEP_END);
    coh_store_put_mark(&req->batch, mark);
    for (size_t i = 0; i < m->outs.cnt; i++) {
        note_generation(&req->batch, &m->outs.v[i]);
    }
    if (m->outs.cnt == 0) {
        drop_notes(&req->batch);
    }
    write(m, req);
}

coh_err_t coh_moves_on_end(coh_moves_t *m, coh_msg_move_end_t const *msg, coh_store_mark_t *mark)
{
    if (msg->round != m->round || m->state == IDLE || m->state == ENDING ||
        (msg->committed != 0 && m->state != VOTED)) {
        return COH_EPROTO;
    }
    m->state = ENDING;
    if (msg->committed != 0) {
        commit(m, mark);
    } else {
        undo(m);
    }
    return COH_OK;
}

bool coh_moves_poll(coh_moves_t *m)
{
    if (atomic_load(&m->job) != JOB_DONE) {
        return false;
    }
    atomic_store(&m->job, JOB_NONE);
    if (m->state == ENDING) {
        undo(m);
        return true;
    }
    if (m->err != COH_OK || m->state != SENDING) {
        return true;
    }
    if (m->too_big) {
        vote(m, COH_MOVE_TOO_BIG, &m->outs.v[m->out_at].addr);
        return true;
    }
    coh_buf_t *out = outbox(m, m->piece_peer + 1);
    coh_buf_put(out, m->piece.p, m->piece.n);
    m->piece_is_out = true;
    return true;
}

coh_err_t coh_moves_err(coh_moves_t const *m)
{
    int job = atomic_load(&m->job);
    return job == JOB_QUEUED || job == JOB_RUNNING ? COH_OK : m->err;
}

void coh_moves_on_disk(coh_moves_t *m, coh_disk_req_t const *req)
{
    uint32_t step = (uint32_t)req->arg & ((1u << STEP_BITS) - 1);
    switch (step) {
    case STEP_PIECE: {
        uint32_t src     = (uint32_t)(req->arg >> STEP_BITS);
        stream_t *stream = &m->streams[src - 1];
        if (m->state != SENDING || !stream->is_writing) {
            break; /* the round is over */
        }
        stream->is_writing  = false;
        stream->is_expected = !stream->is_last;
        m->streams_left -= stream->is_last;
        coh_wire_put_migrated(outbox(m, src), &(coh_msg_migrated_t){.round = m->round});
        maybe_ready(m);
        break;
    }
    case STEP_READY:
        if (m->state == READYING) {
            vote(m, COH_MOVE_YES, NULL);
        }
        break;
    case STEP_END: finish(m); break;
    default: break;
    }
}

/* ---- what was given away ---- */

bool coh_moves_has_leftovers(coh_moves_t const *m) { return m->leftovers.cnt != 0; }

static bool is_leftover(void *arg, coh_addr_t const *addr)
{
    return find_note(&((coh_moves_t *)arg)->leftovers, addr) != NULL;
}

void coh_moves_drop(coh_moves_t *m, coh_mvstore_t *mv)
{
    coh_disk_req_t *req = request(m, COH_DISK_WRITE, STEP_DROP);
    for (size_t i = 0; i < m->leftovers.cnt; i++) {
        delete_account(&req->batch, &m->leftovers.v[i].addr);
    }
    drop_notes(&req->batch);
    write(m, req);
    coh_mv_forget(mv, is_leftover, m);
    free_notes(&m->leftovers);
}

bool coh_moves_has(coh_moves_t const *m, coh_addr_t const *addr)
{
    return find_note(&m->leftovers, addr) != NULL ||
           (m->state != WAITING && m->state != REFUSED && find_note(&m->ins, addr) != NULL);
}
