#include "common/state/write.h"

#include "common/codec/receipt.h"

void coh_write_apply(coh_value_t *value, coh_write_t const *write)
{
    uint32_t flags = write->flags;
    if (flags & COH_WRITE_GONE) {
        *value = (coh_value_t){.generation = write->code->generation};
        return;
    }
    if (flags & COH_WRITE_VALUE) {
        value->word = write->word;
    } else if (flags & COH_WRITE_DELTA) {
        if (flags & COH_WRITE_NEGATIVE) {
            (void)coh_u256_sub(&value->word, &value->word, &write->word);
        } else {
            (void)coh_u256_add(&value->word, &value->word, &write->word);
        }
    }
    if (flags & COH_WRITE_NONCE) {
        value->nonce = write->nonce;
    }
    if (flags & COH_WRITE_CODE) {
        value->code_hash  = write->code->hash;
        value->generation = write->code->generation;
        value->flags = (value->flags & ~(uint32_t)COH_ACCOUNT_HAS_STORAGE) | write->code->flags;
    }
    if (write->key.kind == COH_KEY_ACCOUNT && (flags & ~(uint32_t)COH_WRITE_REMOVED) != 0) {
        value->flags |= COH_ACCOUNT_EXISTS;
    }
}

void coh_outcome_put_logs(coh_buf_t *out, coh_outcome_t const *outcome)
{
    size_t at = out->n;
    for (uint32_t i = 0; i < outcome->log_cnt; i++) {
        coh_log_t const *log = &outcome->logs[i];
        coh_log_put(out, &log->addr, log->topics, log->topic_cnt, log->data);
    }
    coh_rlp_wrap_list(out, at);
}
