#include "tests/mpi/acks.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/codec/block.h"

void coh_test_acks_add(coh_test_acks_t *acks, coh_pub_t const *pub)
{
    for (uint32_t i = 0; pub->topic == COH_PUB_RECEIPTS && i < pub->u.receipts.receipts.cnt; i++) {
        if (acks->cnt == acks->cap) {
            acks->cap = 2 * acks->cap + 1024;
            acks->v   = coh_realloc(acks->v, acks->cap * sizeof(*acks->v));
        }
        acks->v[acks->cnt++] = pub->u.receipts.receipts.v[i];
    }
}

void coh_test_acks_free(coh_test_acks_t *acks)
{
    free(acks->v);
    *acks = (coh_test_acks_t){0};
}

static bool receipt_eq(coh_op_receipt_t const *a, coh_op_receipt_t const *b)
{
    return coh_hash_eq(&a->tx_hash, &b->tx_hash) && a->block == b->block &&
           a->tx_idx == b->tx_idx && a->status == b->status && a->gas_used == b->gas_used &&
           a->cumulative_gas == b->cumulative_gas && coh_addr_eq(&a->from, &b->from) &&
           coh_addr_eq(&a->to, &b->to) && coh_u256_eq(&a->effective_price, &b->effective_price);
}

void coh_test_acks_ignore_answer(void *arg,
                                 uint64_t ticket,
                                 coh_err_t err,
                                 coh_op_submit_answer_t const *answer)
{
    (void)arg;
    (void)ticket;
    (void)err;
    (void)answer;
}

bool coh_test_acks_check(coh_test_acks_t const *acks, coh_client_t *client, coh_buf_t *err_text)
{
    uint64_t block                        = UINT64_MAX;
    coh_op_block_receipts_answer_t answer = {0};
    for (size_t i = 0; i < acks->cnt; i++) {
        coh_op_receipt_t const *ack = &acks->v[i];
        coh_err_t rc                = COH_OK;
        bool found                  = true;
        if (i % 100 == 0) {
            coh_op_receipt_request_t request = {.hash = ack->tx_hash};
            coh_op_receipt_answer_t one;
            rc    = coh_client_receipt(client, &one, &request);
            found = rc == COH_OK && one.state == COH_OP_TX_COMMITTED && one.receipts.cnt == 1 &&
                    receipt_eq(&one.receipts.v[0], ack);
            block = UINT64_MAX; /* the client's answer before is gone */
        }
        if (found && ack->block != block) {
            block                                   = ack->block;
            coh_op_block_receipts_request_t request = {.number = block};
            rc    = coh_client_block_receipts(client, &answer, &request);
            found = rc == COH_OK;
        }
        if (!found || ack->tx_idx >= answer.receipts.cnt ||
            !receipt_eq(&answer.receipts.v[ack->tx_idx], ack)) {
            coh_buf_printf(err_text,
                           "receipt %zu of %zu, acknowledged in block %llu, is gone or another%s%s",
                           i,
                           acks->cnt,
                           (unsigned long long)ack->block,
                           rc == COH_OK ? "" : ": ",
                           rc == COH_OK ? "" : coh_client_error(client));
            return false;
        }
    }
    return true;
}

coh_err_t coh_test_burnt(coh_u256_t *out, coh_client_t *client)
{
    coh_op_head_request_t head_request = {0};
    coh_op_head_answer_t head;
    COH_TRY(coh_client_head(client, &head, &head_request));
    uint64_t last = head.number;
    *out          = COH_U256_ZERO;
    for (uint64_t number = 1; number <= last; number++) {
        coh_op_block_request_t request = {.number = number};
        coh_op_block_answer_t block;
        COH_TRY(coh_client_block(client, &block, &request));
        coh_header_t header;
        coh_fork_t fork;
        COH_TRY(coh_header_decode(&header, &fork, block.header));
        coh_u256_t burnt;
        if (coh_u256_mul_u64(&burnt, &header.base_fee, header.gas_used)) {
            return COH_EMALFORMED;
        }
        (void)coh_u256_add(out, out, &burnt);
    }
    return COH_OK;
}
