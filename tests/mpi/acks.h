/* acks.h: receipts that a cluster has acknowledged, to be held against it after it was killed. One thread. */
#ifndef COH_TEST_ACKS_H
#define COH_TEST_ACKS_H

#include "common/client/client.h"

typedef struct {
    coh_op_receipt_t *v; /* owned */
    size_t cnt;
    size_t cap;
} coh_test_acks_t;

/* coh_test_acks_add takes down the receipts of a publication; others are ignored. */
void coh_test_acks_add(coh_test_acks_t *acks, coh_pub_t const *pub);
void coh_test_acks_free(coh_test_acks_t *acks);

/* coh_test_acks_ignore_answer takes the answer to a submission, for pipelines of whoever counts receipts alone. */
void coh_test_acks_ignore_answer(void *arg,
                                 uint64_t ticket,
                                 coh_err_t err,
                                 coh_op_submit_answer_t const *answer);

/* coh_test_acks_check asks the cluster for every acknowledged receipt: it must be among its block's, unchanged; one in a hundred is
   asked for by its hash as well. False, with the first that is not in err_text. */
bool coh_test_acks_check(coh_test_acks_t const *acks, coh_client_t *client, coh_buf_t *err_text);

/* coh_test_burnt gives the fees burnt in blocks 1..head, from their headers. COH_OK, or what a request failed with. */
coh_err_t coh_test_burnt(coh_u256_t *out, coh_client_t *client);

#endif
