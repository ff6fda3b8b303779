/* kinds.h: the kinds of fields that messages (wire/messages.def) and client operations
   (client/ops.def) are made of, as C types.

   kind   C              msgpack
   U32    uint32_t       unsigned integer of any width, at most 2^32 - 1
   U64    uint64_t       unsigned integer of any width
   U256   coh_u256_t     bin, big-endian, no leading zero octet; zero is empty
   ADDR   coh_addr_t     bin of 20
   HASH   coh_hash_t     bin of 32
   BIN    coh_bytes_t    bin; decoded, it borrows from the received bytes */
#ifndef COH_KINDS_H
#define COH_KINDS_H

#include "common/base/u256.h"

#define COH_C_U32  uint32_t
#define COH_C_U64  uint64_t
#define COH_C_U256 coh_u256_t
#define COH_C_ADDR coh_addr_t
#define COH_C_HASH coh_hash_t
#define COH_C_BIN  coh_bytes_t

/* Members of structs: a field, a list of records, a list of plain values. */
#define COH_F_STRUCT(kind, name, doc) COH_C_##kind name;
#define COH_L_STRUCT(rec, name, doc) \
    struct {                         \
        COH_REC_T_##rec const *v;    \
        uint32_t cnt;                \
    } name;
#define COH_A_STRUCT(kind, name, doc) \
    struct {                          \
        COH_C_##kind const *v;        \
        uint32_t cnt;                 \
    } name;

#endif
