#include "coordinator/decision_log.h"

#include "common/base/assert.h"
#include "common/base/checksum.h"

#define RECORD_VERSION 3u
#define HEAD_SZ        96u /* fixed part */
#define TX_HEAD_SZ     40u /* before each raw transaction */
#define SUM_SZ         8u
_Static_assert(HEAD_SZ == 4 + 4 + 8 + 32 + 32 + 4 + 4 + 4 + 4, "the layout in the header");
_Static_assert(TX_HEAD_SZ == 8 + 4 + 4 + 4 + 20, "the layout in the header");

static void put_u256_le(uint8_t *p, coh_u256_t const *v)
{
    for (size_t i = 0; i < 4; i++) {
        coh_store_u64_le(p + 8 * i, v->w[i]);
    }
}

static coh_u256_t get_u256_le(uint8_t const *p)
{
    coh_u256_t v;
    for (size_t i = 0; i < 4; i++) {
        v.w[i] = coh_load_u64_le(p + 8 * i);
    }
    return v;
}

/* Octets before a transaction. */
static size_t tx_head_sz(bool has_roots)
{
    return TX_HEAD_SZ + (has_roots ? sizeof(coh_hash_t) : 0);
}

/* Receipts hold a state root (before EIP-658). */
static bool has_roots(coh_fork_t fork) { return fork < COH_FORK_BYZANTIUM; }

size_t coh_decision_size(coh_decision_t const *d)
{
    return HEAD_SZ + (size_t)d->shard_cnt * 8 + d->header.n + d->extra.n +
           (size_t)d->tx_cnt * tx_head_sz(has_roots(d->fork)) + d->raw_bytes + SUM_SZ;
}

void coh_decision_begin(coh_decision_cursor_t *cur, uint8_t *out, coh_decision_t const *d)
{
    uint8_t *p = out;
    coh_store_u32_le(p, RECORD_VERSION);
    coh_store_u32_le(p + 4, (uint32_t)d->fork);
    coh_store_u64_le(p + 8, d->number);
    put_u256_le(p + 16, &d->burnt);
    put_u256_le(p + 48, &d->burnt_total);
    coh_store_u32_le(p + 80, d->shard_cnt);
    coh_store_u32_le(p + 84, d->tx_cnt);
    coh_store_u32_le(p + 88, (uint32_t)d->header.n);
    coh_store_u32_le(p + 92, (uint32_t)d->extra.n);
    p += HEAD_SZ;
    for (uint32_t i = 0; i < d->shard_cnt; i++, p += 8) {
        coh_store_u64_le(p, d->last_redo[i]);
    }
    memcpy(p, d->header.p, d->header.n);
    p += d->header.n;
    if (d->extra.n != 0) {
        memcpy(p, d->extra.p, d->extra.n);
    }
    *cur = (coh_decision_cursor_t){
        .p         = p + d->extra.n,
        .end       = out + coh_decision_size(d),
        .left_cnt  = d->tx_cnt,
        .has_roots = has_roots(d->fork),
    };
}

void coh_decision_put_tx(coh_decision_cursor_t *cur, coh_decision_tx_t const *tx)
{
    COH_ASSERT(cur->left_cnt > 0 && (size_t)(cur->end - cur->p) >= tx_head_sz(cur->has_roots) +
                                                                       tx->raw.n + tx->logs.n +
                                                                       SUM_SZ);
    uint8_t *p = cur->p;
    coh_store_u64_le(p, tx->gas_used);
    coh_store_u32_le(p + 8, tx->status);
    coh_store_u32_le(p + 12, (uint32_t)tx->raw.n);
    coh_store_u32_le(p + 16, (uint32_t)tx->logs.n);
    memcpy(p + 20, tx->sender.b, sizeof(tx->sender.b));
    p += TX_HEAD_SZ;
    if (cur->has_roots) {
        memcpy(p, tx->root.b, sizeof(tx->root.b));
        p += sizeof(tx->root.b);
    }
    memcpy(p, tx->raw.p, tx->raw.n);
    p += tx->raw.n;
    if (tx->logs.n != 0) {
        memcpy(p, tx->logs.p, tx->logs.n);
    }
    cur->p = p + tx->logs.n;
    cur->left_cnt--;
}

void coh_decision_end(coh_decision_cursor_t *cur, uint8_t const *out)
{
    COH_ASSERT(cur->left_cnt == 0 && cur->end - cur->p == SUM_SZ);
    coh_store_u64_le(cur->p, coh_checksum64(out, (size_t)(cur->p - out)));
}

coh_err_t coh_decision_read(coh_decision_t *out, coh_decision_cursor_t *cur, coh_bytes_t in)
{
    if (in.n < HEAD_SZ + SUM_SZ) {
        return COH_ECORRUPT;
    }
    size_t n = in.n - SUM_SZ;
    if (coh_load_u64_le(in.p + n) != coh_checksum64(in.p, n) ||
        coh_load_u32_le(in.p) != RECORD_VERSION ||
        coh_load_u32_le(in.p + 4) >= (uint32_t)COH_FORK_CNT) {
        return COH_ECORRUPT;
    }
    *out = (coh_decision_t){
        .fork        = (coh_fork_t)coh_load_u32_le(in.p + 4),
        .number      = coh_load_u64_le(in.p + 8),
        .burnt       = get_u256_le(in.p + 16),
        .burnt_total = get_u256_le(in.p + 48),
        .shard_cnt   = coh_load_u32_le(in.p + 80),
        .tx_cnt      = coh_load_u32_le(in.p + 84),
    };
    size_t header_bytes = coh_load_u32_le(in.p + 88);
    size_t extra_bytes  = coh_load_u32_le(in.p + 92);
    size_t redo_bytes   = (size_t)out->shard_cnt * 8;
    size_t left         = n - HEAD_SZ;
    if (left < redo_bytes || left - redo_bytes < header_bytes ||
        left - redo_bytes - header_bytes < extra_bytes ||
        (left - redo_bytes - header_bytes - extra_bytes) / tx_head_sz(has_roots(out->fork)) <
            out->tx_cnt) {
        return COH_ECORRUPT;
    }
    out->header = coh_bytes(in.p + HEAD_SZ + redo_bytes, header_bytes);
    out->extra  = coh_bytes(out->header.p + header_bytes, extra_bytes);
    *cur        = (coh_decision_cursor_t){
               .has_roots = has_roots(out->fork),
               .at        = out->extra.p + extra_bytes,
               .end       = in.p + n,
               .last_redo = in.p + HEAD_SZ,
               .left_cnt  = out->tx_cnt,
    };
    return COH_OK;
}

coh_bytes_t coh_decision_peek_header(coh_bytes_t in)
{
    if (in.n < HEAD_SZ) {
        return (coh_bytes_t){0};
    }
    uint64_t at = HEAD_SZ + (uint64_t)coh_load_u32_le(in.p + 80) * 8;
    uint64_t n  = coh_load_u32_le(in.p + 88);
    return at + n <= in.n ? coh_bytes(in.p + at, n) : (coh_bytes_t){0};
}

coh_err_t coh_decision_next_tx(coh_decision_cursor_t *cur, coh_decision_tx_t *tx)
{
    size_t left = (size_t)(cur->end - cur->at);
    size_t head = tx_head_sz(cur->has_roots);
    if (cur->left_cnt == 0 || left < head) {
        return COH_ECORRUPT;
    }
    size_t raw_bytes = coh_load_u32_le(cur->at + 12);
    size_t log_bytes = coh_load_u32_le(cur->at + 16);
    if (left - head < raw_bytes || left - head - raw_bytes < log_bytes) {
        return COH_ECORRUPT;
    }
    tx->root = (coh_hash_t){{0}};
    if (cur->has_roots) {
        memcpy(tx->root.b, cur->at + TX_HEAD_SZ, sizeof(tx->root.b));
    }
    tx->gas_used = coh_load_u64_le(cur->at);
    tx->status   = coh_load_u32_le(cur->at + 8);
    memcpy(tx->sender.b, cur->at + 20, sizeof(tx->sender.b));
    tx->raw  = coh_bytes(cur->at + head, raw_bytes);
    tx->logs = coh_bytes(cur->at + head + raw_bytes, log_bytes);
    cur->at += head + raw_bytes + log_bytes;
    cur->left_cnt--;
    return cur->left_cnt == 0 && cur->at != cur->end ? COH_ECORRUPT : COH_OK;
}

uint64_t coh_decision_last_redo(coh_decision_cursor_t const *cur, uint32_t shard)
{
    return coh_load_u64_le(cur->last_redo + (size_t)shard * 8);
}
