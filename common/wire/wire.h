/* wire.h: encoder and decoder of the messages between ranks, made from messages.def. A message is
   one msgpack array [id, fields...]; a record is an array of its fields; a frame is an envelope
   followed by messages, back to back. Decoding is strict: right number and kind of fields, no
   trailing bytes; lengths and depth are checked against what is there before anything is allocated.
   BIN fields borrow from the frame. */
#ifndef COH_WIRE_H
#define COH_WIRE_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/wire/kinds.h"

#define COH_WIRE_VERSION 1u
/* In place of a block number: the last committed one. */
#define COH_BLOCK_LATEST UINT64_MAX

#define COH_REC_T_BLOCK_TX      coh_rec_block_tx_t
#define COH_REC_T_WRITE         coh_rec_write_t
#define COH_REC_T_RESULT        coh_rec_result_t
#define COH_REC_T_DIGEST        coh_rec_digest_t
#define COH_REC_T_KEY           coh_rec_key_t
#define COH_REC_T_NODE          coh_rec_node_t
#define COH_REC_T_CHANGE        coh_rec_change_t
#define COH_REC_T_CODE          coh_rec_code_t
#define COH_REC_T_LOAD          coh_rec_load_t
#define COH_REC_T_PAIR          coh_rec_pair_t
#define COH_REC_T_MOVE_ACCOUNT  coh_rec_move_account_t
#define COH_REC_T_TRAIL_NODE    coh_rec_trail_node_t
#define COH_REC_T_SLOT          coh_rec_slot_t
#define COH_REC_T_SLOT_PROOF    coh_rec_slot_proof_t
#define COH_REC_T_STATE_VALUE   coh_rec_state_value_t
#define COH_REC_T_RAW_TX        coh_rec_raw_tx_t
#define COH_REC_T_RECOVERED_TX  coh_rec_recovered_tx_t
#define COH_REC_T_FIGURE        coh_rec_figure_t
#define COH_REC_T_OVERRIDE      coh_rec_override_t
#define COH_REC_T_OVERRIDE_SLOT coh_rec_override_slot_t
#define COH_REC_T_TRACE         coh_rec_trace_t
#define COH_REC_T_PRECOMPILE    coh_rec_precompile_t
#define COH_REC_T_CALL_ENV      coh_rec_call_env_t
#define COH_REC_T_SIM_ACCOUNT   coh_rec_sim_account_t
#define COH_REC_T_SIM_SLOT      coh_rec_sim_slot_t
#define COH_REC_T_SIM_CODE      coh_rec_sim_code_t
#define COH_REC_T_SIM_RESULT    coh_rec_sim_result_t

/* coh_rec_<rec>_t, coh_msg_<msg>_t: the structs. */
#define COH_REC(REC, rec)                            \
    typedef struct {                                 \
        COH_FIELDS_##REC(COH_F_STRUCT, COH_L_STRUCT) \
    } coh_rec_##rec##_t;
#define COH_MSG(id, MSG, msg, route, doc)            \
    typedef struct {                                 \
        COH_FIELDS_##MSG(COH_F_STRUCT, COH_L_STRUCT) \
    } coh_msg_##msg##_t;
#include "common/wire/messages.def"
#undef COH_REC
#undef COH_MSG

typedef enum {
#define COH_REC(REC, rec)
#define COH_MSG(id, MSG, msg, route, doc) COH_MSG_##MSG = (id),
#include "common/wire/messages.def"
#undef COH_REC
#undef COH_MSG
    COH_MSG_ID_MAX = 63
} coh_msg_id_t;

/* A decoded message. */
typedef struct {
    coh_msg_id_t id;
    union {
#define COH_REC(REC, rec)
#define COH_MSG(id, MSG, msg, route, doc) coh_msg_##msg##_t msg;
#include "common/wire/messages.def"
#undef COH_REC
#undef COH_MSG
    } u;
} coh_msg_t;

/* coh_wire_put_<msg> appends one encoded message to an outbox. */
#define COH_REC(REC, rec)
#define COH_MSG(id, MSG, msg, route, doc) \
    void coh_wire_put_##msg(coh_buf_t *out, coh_msg_##msg##_t const *m);
#include "common/wire/messages.def"
#undef COH_REC
#undef COH_MSG

/* The envelope of every frame. */
typedef struct {
    uint64_t fingerprint; /* of chain, genesis and CLUSTER options; 0 before HELLO is accepted */
    uint32_t sender;      /* rank */
    uint64_t epoch;       /* directory epoch */
} coh_envelope_t;

/* coh_wire_put_envelope starts a frame. */
void coh_wire_put_envelope(coh_buf_t *out, coh_envelope_t const *env);

/* A reader over one frame. It owns the memory of decoded lists, kept and reused from frame to
   frame. */
typedef struct coh_wire_reader coh_wire_reader_t;

coh_wire_reader_t *coh_wire_reader_new(void);
void coh_wire_reader_free(coh_wire_reader_t *r);

/* coh_wire_reader_begin starts on a frame (borrowed until the next begin) and decodes its envelope.
   Returns: COH_OK; COH_EMALFORMED, COH_ETRUNCATED; COH_EMISMATCH another COH_WIRE_VERSION */
coh_err_t coh_wire_reader_begin(coh_wire_reader_t *r, coh_bytes_t frame, coh_envelope_t *env);

/* coh_wire_reader_next decodes the next message; its lists live until the next call of next or
   begin, its BIN fields as long as the frame. After an error the rest of the frame is lost, and
   next says the same again. A message is checked by form only: whether its sender may send it is
   for the receiver (coh_wire_route).
   Returns: COH_OK; COH_ENOTFOUND no more; COH_EMALFORMED, COH_ETRUNCATED;
            COH_EPROTO no message of this id */
coh_err_t coh_wire_reader_next(coh_wire_reader_t *r, coh_msg_t *out);

/* Who sends a message to whom. */
typedef enum {
    COH_ROUTE_NONE = 0, /* no message of this id */
    COH_ROUTE_S2C,      /* shard to coordinator */
    COH_ROUTE_C2S,      /* coordinator to shard */
    COH_ROUTE_S2S,      /* home and owner, both ways */
} coh_wire_route_t;

coh_wire_route_t coh_wire_route(uint32_t id);

/* coh_wire_msg_name: "VOTE"; "?" if there is none of this id. */
char const *coh_wire_msg_name(uint32_t id);

/* coh_wire_print appends a message as one readable line: lists as counts, BIN as sizes. */
void coh_wire_print(coh_buf_t *out, coh_msg_t const *m);

/* coh_wire_table_markdown appends the tables of messages and records that close PROTOCOL.md. */
void coh_wire_table_markdown(coh_buf_t *out);

#endif
