/* messages.h: any message between ranks and any message of clients, by number: made at random,
   compared, encoded. All of it is expanded from messages.def and ops.def, so a new message is
   tested and fuzzed from its first day. Random lists and octets live in the arena given. */
#ifndef COH_TEST_MESSAGES_H
#define COH_TEST_MESSAGES_H

#include "common/base/arena.h"
#include "common/base/rng.h"
#include "common/client/ops.h"
#include "common/wire/wire.h"

/* All ids, in the order of messages.def. */
extern uint32_t const coh_test_msg_ids[];
extern size_t const coh_test_msg_cnt;

void coh_test_msg_random(coh_msg_t *out, uint32_t id, coh_rng_t *rng, coh_arena_t *arena);
bool coh_test_msg_eq(coh_msg_t const *a, coh_msg_t const *b);
void coh_test_msg_put(coh_buf_t *out, coh_msg_t const *m);

/* The same for requests, answers without an error, and publications. */
extern uint32_t const coh_test_op_ids[];
extern size_t const coh_test_op_cnt;
extern uint32_t const coh_test_pub_topics[];
extern size_t const coh_test_pub_cnt;

void coh_test_request_random(coh_op_request_t *out,
                             uint32_t op,
                             coh_rng_t *rng,
                             coh_arena_t *arena);
bool coh_test_request_eq(coh_op_request_t const *a, coh_op_request_t const *b);
void coh_test_request_put(coh_buf_t *out, coh_op_request_t const *m);

void coh_test_answer_random(coh_op_answer_t *out, uint32_t op, coh_rng_t *rng, coh_arena_t *arena);
bool coh_test_answer_eq(coh_op_answer_t const *a, coh_op_answer_t const *b);
void coh_test_answer_put(coh_buf_t *out, coh_op_answer_t const *m);

void coh_test_pub_random(coh_pub_t *out, uint32_t topic, coh_rng_t *rng, coh_arena_t *arena);
bool coh_test_pub_eq(coh_pub_t const *a, coh_pub_t const *b);
void coh_test_pub_put(coh_buf_t *out, coh_pub_t const *m);

#endif
