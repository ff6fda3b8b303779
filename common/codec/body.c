#include "common/codec/body.h"

#include "common/base/assert.h"
#include "common/crypto/keccak.h"

static coh_err_t read_list(coh_rlp_t *r, coh_bytes_t *payload, coh_hash_t *hash)
{
    coh_rlp_kind_t kind;
    coh_bytes_t item;
    COH_TRY(coh_rlp_next_raw(r, &kind, payload, &item));
    if (kind != COH_RLP_LIST) {
        return COH_EMALFORMED;
    }
    if (hash != NULL) {
        coh_keccak256(hash, item.p, item.n);
    }
    return COH_OK;
}

/* A legacy transaction is a list, the others are strings that begin with their type (EIP-2718). */
static coh_err_t read_tx(coh_rlp_t *list, coh_bytes_t *raw)
{
    coh_rlp_kind_t kind;
    coh_bytes_t payload;
    coh_bytes_t item;
    COH_TRY(coh_rlp_next_raw(list, &kind, &payload, &item));
    if (kind == COH_RLP_LIST) {
        *raw = item;
        return COH_OK;
    }
    *raw = payload;
    return payload.n == 0 || payload.p[0] > 0x7f ? COH_EMALFORMED : COH_OK;
}

static coh_err_t read_withdrawal(coh_rlp_t *list, coh_withdrawal_t *out)
{
    coh_rlp_t fields;
    COH_TRY(coh_rlp_list(list, &fields));
    COH_TRY(coh_rlp_u64(&fields, &out->index));
    COH_TRY(coh_rlp_u64(&fields, &out->validator));
    COH_TRY(coh_rlp_fixed(&fields, out->addr.b, sizeof(out->addr.b)));
    COH_TRY(coh_rlp_u64(&fields, &out->amount_gwei));
    return coh_rlp_end(&fields);
}

static coh_err_t read_ommer(coh_rlp_t *list, coh_bytes_t *raw)
{
    coh_rlp_kind_t kind;
    coh_bytes_t payload;
    return coh_rlp_next_raw(list, &kind, &payload, raw);
}

static coh_err_t check_lists(coh_block_t *b)
{
    coh_rlp_t list = coh_rlp_reader(b->txs);
    coh_bytes_t raw;
    for (; !coh_rlp_at_end(&list); b->tx_cnt++) {
        COH_TRY(read_tx(&list, &raw));
    }
    list = coh_rlp_reader(b->ommers);
    for (; !coh_rlp_at_end(&list); b->ommer_cnt++) {
        coh_header_t header;
        coh_fork_t fork;
        COH_TRY(read_ommer(&list, &raw));
        COH_TRY(coh_header_decode(&header, &fork, raw));
    }
    list = coh_rlp_reader(b->withdrawals);
    for (; !coh_rlp_at_end(&list); b->withdrawal_cnt++) {
        coh_withdrawal_t withdrawal;
        COH_TRY(read_withdrawal(&list, &withdrawal));
    }
    return COH_OK;
}

coh_err_t coh_block_decode(coh_block_t *out, coh_bytes_t raw)
{
    *out            = (coh_block_t){.raw = raw};
    coh_rlp_t whole = coh_rlp_reader(raw);
    coh_rlp_t r;
    coh_rlp_kind_t kind;
    coh_bytes_t payload;
    coh_bytes_t header;
    COH_TRY(coh_rlp_list(&whole, &r));
    COH_TRY(coh_rlp_end(&whole));
    COH_TRY(coh_rlp_next_raw(&r, &kind, &payload, &header));
    COH_TRY(coh_header_decode(&out->header, &out->header_fork, header));
    coh_keccak256(&out->hash, header.p, header.n);
    COH_TRY(read_list(&r, &out->txs, NULL));
    COH_TRY(read_list(&r, &out->ommers, &out->ommers_hash));
    if (!coh_rlp_at_end(&r)) {
        out->has_withdrawals = true;
        COH_TRY(read_list(&r, &out->withdrawals, NULL));
    }
    COH_TRY(coh_rlp_end(&r));
    return check_lists(out);
}

coh_err_t coh_block_next_raw(coh_bytes_t *out, coh_bytes_t chain, size_t *at)
{
    COH_ASSERT(*at <= chain.n);
    if (*at == chain.n) {
        return COH_ENOTFOUND;
    }
    coh_rlp_t r = coh_rlp_reader(coh_bytes(chain.p + *at, chain.n - *at));
    coh_rlp_kind_t kind;
    coh_bytes_t payload;
    COH_TRY(coh_rlp_next_raw(&r, &kind, &payload, out));
    *at += out->n;
    return kind == COH_RLP_LIST ? COH_OK : COH_EMALFORMED;
}

coh_rlp_t coh_block_tx_iter(coh_block_t const *block) { return coh_rlp_reader(block->txs); }

bool coh_block_tx_next(coh_rlp_t *list, coh_bytes_t *raw)
{
    return !coh_rlp_at_end(list) && read_tx(list, raw) == COH_OK;
}

coh_rlp_t coh_block_ommer_iter(coh_block_t const *block) { return coh_rlp_reader(block->ommers); }

bool coh_block_ommer_next(coh_rlp_t *list, coh_bytes_t *raw)
{
    return !coh_rlp_at_end(list) && read_ommer(list, raw) == COH_OK;
}

coh_rlp_t coh_block_withdrawal_iter(coh_block_t const *block)
{
    return coh_rlp_reader(block->withdrawals);
}

bool coh_block_withdrawal_next(coh_rlp_t *list, coh_withdrawal_t *out)
{
    return !coh_rlp_at_end(list) && read_withdrawal(list, out) == COH_OK;
}

static void put_payload(coh_buf_t *out, coh_bytes_t payload)
{
    coh_rlp_put_list_header(out, payload.n);
    coh_buf_put(out, payload.p, payload.n);
}

void coh_block_put(coh_buf_t *out,
                   coh_header_t const *header,
                   coh_fork_t fork,
                   coh_bytes_t const *txs,
                   size_t tx_cnt,
                   coh_bytes_t ommers,
                   coh_bytes_t withdrawals)
{
    size_t at = out->n;
    coh_header_encode(out, header, fork);
    size_t txs_at = out->n;
    for (size_t i = 0; i < tx_cnt; i++) {
        COH_ASSERT(txs[i].n != 0);
        if (txs[i].p[0] > 0x7f) {
            coh_buf_put(out, txs[i].p, txs[i].n);
        } else {
            coh_rlp_put_string(out, txs[i].p, txs[i].n);
        }
    }
    coh_rlp_wrap_list(out, txs_at);
    put_payload(out, ommers);
    if (fork >= COH_FORK_SHANGHAI) {
        put_payload(out, withdrawals);
    }
    coh_rlp_wrap_list(out, at);
}
