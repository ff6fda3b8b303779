/* ops.h: encoder and decoder of what clients and the gateway say to each other, made from ops.def.
   Both sides use the same functions: a client puts requests and reads answers, the gateway reads
   requests and puts answers and publications. Decoding is as strict as between ranks (wire.h):
   right number and kind of fields, no trailing bytes, nothing allocated before its length is
   checked against what is there. */
#ifndef COH_CLIENT_OPS_H
#define COH_CLIENT_OPS_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/wire/kinds.h"

/* Where a transaction is, as RECEIPT answers. Numbers go over the wire.
   UNKNOWN ─submit─▶ PENDING ─in a committed block─▶ COMMITTED
                        └─────left out─▶ DROPPED   (kept for a while, then UNKNOWN) */
typedef enum {
    COH_OP_TX_UNKNOWN   = 0,
    COH_OP_TX_PENDING   = 1, /* in the pool or in a block that is not committed */
    COH_OP_TX_COMMITTED = 2,
    COH_OP_TX_DROPPED   = 3,
} coh_op_tx_state_t;

/* How far a backup is, as BACKUP_STATE answers. */
typedef enum {
    COH_OP_BACKUP_RUNNING = 0,
    COH_OP_BACKUP_DONE    = 1, /* whole, and durable */
    COH_OP_BACKUP_FAILED  = 2, /* what there is of it will not be restored */
} coh_op_backup_state_t;

#define COH_REC_T_SUBMITTED coh_op_submitted_t
#define COH_REC_T_ACCOUNT   coh_op_account_t
#define COH_REC_T_RECEIPT   coh_op_receipt_t
#define COH_REC_T_DROPPED   coh_op_dropped_t
#define COH_REC_T_ASKED     coh_op_asked_t
#define COH_REC_T_HELD      coh_op_held_t

#define COH_REC_T_ALTERED       coh_op_altered_t
#define COH_REC_T_ALTERED_SLOT  coh_op_altered_slot_t
#define COH_REC_T_STORAGE_PROOF coh_op_storage_proof_t

/* coh_op_<rec>_t, coh_op_<op>_request_t, coh_op_<op>_answer_t, coh_pub_<pub>_t: the structs. A
   request may have no fields, which C does not allow in a struct: none_ stands in, not sent. */
#define COH_OP_REC(REC, rec)                                       \
    typedef struct {                                               \
        COH_FIELDS_##REC(COH_F_STRUCT, COH_L_STRUCT, COH_A_STRUCT) \
    } coh_op_##rec##_t;
#define COH_OP(id, OP, op, doc)                                             \
    typedef struct {                                                        \
        uint8_t none_;                                                      \
        COH_FIELDS_##OP##_REQUEST(COH_F_STRUCT, COH_L_STRUCT, COH_A_STRUCT) \
    } coh_op_##op##_request_t;                                              \
    typedef struct {                                                        \
        COH_FIELDS_##OP##_ANSWER(COH_F_STRUCT, COH_L_STRUCT, COH_A_STRUCT)  \
    } coh_op_##op##_answer_t;
#define COH_PUB(topic, PUB, pub, doc)                                  \
    typedef struct {                                                   \
        COH_FIELDS_PUB_##PUB(COH_F_STRUCT, COH_L_STRUCT, COH_A_STRUCT) \
    } coh_pub_##pub##_t;
#include "common/client/ops.def"
#undef COH_OP_REC
#undef COH_OP
#undef COH_PUB

typedef enum {
#define COH_OP_REC(REC, rec)
#define COH_OP(id, OP, op, doc) COH_OP_##OP = (id),
#define COH_PUB(topic, PUB, pub, doc)
#include "common/client/ops.def"
#undef COH_OP_REC
#undef COH_OP
#undef COH_PUB
} coh_op_id_t;

typedef enum {
#define COH_OP_REC(REC, rec)
#define COH_OP(id, OP, op, doc)
#define COH_PUB(topic, PUB, pub, doc) COH_PUB_##PUB = (topic),
#include "common/client/ops.def"
#undef COH_OP_REC
#undef COH_OP
#undef COH_PUB
} coh_pub_topic_t;

/* A decoded request. */
typedef struct {
    coh_op_id_t op;
    union {
#define COH_OP_REC(REC, rec)
#define COH_OP(id, OP, op, doc) coh_op_##op##_request_t op;
#define COH_PUB(topic, PUB, pub, doc)
#include "common/client/ops.def"
#undef COH_OP_REC
#undef COH_OP
#undef COH_PUB
    } u;
} coh_op_request_t;

/* A decoded answer: u if err is COH_OK, else text. */
typedef struct {
    coh_op_id_t op;
    coh_err_t err;
    coh_bytes_t text; /* not NUL-terminated */
    union {
#define COH_OP_REC(REC, rec)
#define COH_OP(id, OP, op, doc) coh_op_##op##_answer_t op;
#define COH_PUB(topic, PUB, pub, doc)
#include "common/client/ops.def"
#undef COH_OP_REC
#undef COH_OP
#undef COH_PUB
    } u;
} coh_op_answer_t;

/* A decoded publication. */
typedef struct {
    coh_pub_topic_t topic;
    union {
#define COH_OP_REC(REC, rec)
#define COH_OP(id, OP, op, doc)
#define COH_PUB(topic, PUB, pub, doc) coh_pub_##pub##_t pub;
#include "common/client/ops.def"
#undef COH_OP_REC
#undef COH_OP
#undef COH_PUB
    } u;
} coh_pub_t;

/* coh_op_put_<op>_request, coh_op_put_<op>_answer, coh_pub_put_<pub> append one whole request,
   answer (code 0) or publication (topic octet included) to out. The struct and what it points to
   are borrowed for the call. */
#define COH_OP_REC(REC, rec)
#define COH_OP(id, OP, op, doc)                                                       \
    void coh_op_put_##op##_request(coh_buf_t *out, coh_op_##op##_request_t const *m); \
    void coh_op_put_##op##_answer(coh_buf_t *out, coh_op_##op##_answer_t const *m);
#define COH_PUB(topic, PUB, pub, doc) \
    void coh_pub_put_##pub(coh_buf_t *out, coh_pub_##pub##_t const *m);
#include "common/client/ops.def"
#undef COH_OP_REC
#undef COH_OP
#undef COH_PUB

/* coh_op_put_error appends a refusal of any operation; err must not be COH_OK. text may be NULL:
   the error's own text. */
void coh_op_put_error(coh_buf_t *out, coh_err_t err, char const *text);

/* Ids of the operator's operations, which need a token. */
#define COH_OP_PRIVATE_MIN 40u
#define COH_OP_PRIVATE_MAX 59u

/* coh_op_put_token begins a request that brings a token, at most UINT16_MAX octets; the request itself is to follow. */
void coh_op_put_token(coh_buf_t *out, coh_bytes_t token);

/* coh_op_take_token cuts the token off a request; *token is empty if it brings none. It borrows from *in. COH_ETRUNCATED: it is not whole. */
coh_err_t coh_op_take_token(coh_bytes_t *in, coh_bytes_t *token);

/* A reader owns the memory of decoded lists, kept and reused from call to call. One thread at a
   time. Each function below decodes one whole message; its lists live until the next call with this
   reader, its BIN fields as long as the bytes in. */
typedef struct coh_op_reader coh_op_reader_t;

coh_op_reader_t *coh_op_reader_new(void);
void coh_op_reader_free(coh_op_reader_t *r);

/* coh_op_read_request decodes a request.
   Returns: COH_OK; COH_EUNSUPPORTED no such operation; COH_EMALFORMED, COH_ETRUNCATED */
coh_err_t coh_op_read_request(coh_op_reader_t *r, coh_op_request_t *out, coh_bytes_t in);

/* coh_op_is_private tells whether a request, without its token, asks for one of the operator's operations, there or not. */
bool coh_op_is_private(coh_op_reader_t *r, coh_bytes_t in);

/* coh_op_read_answer decodes the answer to an operation. A refusal is a well-formed answer: look at
   out->err.
   Returns: COH_OK; COH_EMALFORMED, COH_ETRUNCATED */
coh_err_t coh_op_read_answer(coh_op_reader_t *r,
                             coh_op_answer_t *out,
                             coh_op_id_t op,
                             coh_bytes_t in);

/* coh_op_read_publication decodes a publication with its topic octet.
   Returns: COH_OK; COH_EUNSUPPORTED no such topic; COH_EMALFORMED, COH_ETRUNCATED */
coh_err_t coh_op_read_publication(coh_op_reader_t *r, coh_pub_t *out, coh_bytes_t in);

/* coh_op_name: "SUBMIT"; "?" if there is none of this id. */
char const *coh_op_name(uint32_t id);

#endif
