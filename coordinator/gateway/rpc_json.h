/* rpc_json.h: JSON as Ethereum's clients write and read it: quantities ("0x1f", no leading zeros), data ("0x00ff", two digits an octet), and the texts that geth
   answers to malformed ones, which tools match. Parsing is jansson's, behind a look at the text that bounds depth and number of values first: so neither its
   recursion nor its memory is for the client to choose. Any thread; no state. */
#ifndef COH_RPC_JSON_H
#define COH_RPC_JSON_H

#include <jansson.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/u256.h"

/* JSON-RPC 2.0 and EIP-1474 codes, as geth uses them. */
enum {
    COH_RPC_PARSE        = -32700,
    COH_RPC_INVALID      = -32600,
    COH_RPC_NO_METHOD    = -32601,
    COH_RPC_PARAMS       = -32602,
    COH_RPC_INTERNAL     = -32603,
    COH_RPC_SERVER       = -32000, /* the text says what */
    COH_RPC_TIMEOUT      = -32002,
    COH_RPC_TOO_LARGE    = -32003,
    COH_RPC_LIMIT        = -32005, /* busy, or more than one call may ask for */
    COH_RPC_UNAUTHORISED = -32006,
    COH_RPC_REVERTED     = 3,
    COH_RPC_SYNC_TIMEOUT = 4, /* EIP-7966 */
};

#define COH_RPC_FAULT_MAX 200

/* Why a call fails. */
typedef struct {
    int code;
    char text[COH_RPC_FAULT_MAX];
} coh_rpc_fault_t;

/* Sets fault and returns false, so that a reader may return it. */
COH_PRINTF(3, 4) bool coh_rpc_fault(coh_rpc_fault_t *fault, int code, char const *fmt, ...);

/* coh_rpc_parse parses one JSON text of at most depth_max open brackets and value_max values.
   Returns: the root, the caller's (json_decref); NULL with the reason in fault */
json_t *coh_rpc_parse(coh_bytes_t text,
                      unsigned depth_max,
                      size_t value_max,
                      coh_rpc_fault_t *fault);

/* ---- writing ---- */

/* With their quotes. */
void coh_rpc_put_quantity(coh_buf_t *out, uint64_t v);
void coh_rpc_put_u256(coh_buf_t *out, coh_u256_t const *v);
void coh_rpc_put_data(coh_buf_t *out, void const *p, size_t n);
/* text need not be UTF-8: what is none is replaced by '?'. */
void coh_rpc_put_string(coh_buf_t *out, char const *text, size_t n);
static inline void coh_rpc_put_hash(coh_buf_t *out, coh_hash_t const *hash)
{
    coh_rpc_put_data(out, hash->b, sizeof(hash->b));
}
static inline void coh_rpc_put_addr(coh_buf_t *out, coh_addr_t const *addr)
{
    coh_rpc_put_data(out, addr->b, sizeof(addr->b));
}
/* An address as EIP-55 writes it: 0x, 40 digits, NUL. */
#define COH_RPC_ADDR_SZ 43u
void coh_rpc_checksum(char out[COH_RPC_ADDR_SZ], coh_addr_t const *addr);
/* Appends a literal: COH_RPC_PUT(out, "null"). */
#define COH_RPC_PUT(out, literal) coh_buf_put(out, "" literal, sizeof(literal) - 1)

/* ---- reading arguments ----

   idx: the argument's place, for fault. All return false with fault (COH_RPC_PARAMS) for anything but what they read. */

/* A quantity. */
bool coh_rpc_get_quantity(uint64_t *out, json_t const *v, unsigned idx, coh_rpc_fault_t *fault);
bool coh_rpc_get_u256(coh_u256_t *out, json_t const *v, unsigned idx, coh_rpc_fault_t *fault);
/* A number in JSON's own form or a quantity, at most max. */
bool coh_rpc_get_number(uint64_t *out,
                        json_t const *v,
                        uint64_t max,
                        unsigned idx,
                        coh_rpc_fault_t *fault);
/* Data of any length, appended to out. */
bool coh_rpc_get_data(coh_buf_t *out, json_t const *v, unsigned idx, coh_rpc_fault_t *fault);
bool coh_rpc_get_addr(coh_addr_t *out, json_t const *v, unsigned idx, coh_rpc_fault_t *fault);
bool coh_rpc_get_hash(coh_hash_t *out, json_t const *v, unsigned idx, coh_rpc_fault_t *fault);
/* A storage slot: data or a quantity of at most 32 octets. */
bool coh_rpc_get_slot(coh_u256_t *out, json_t const *v, unsigned idx, coh_rpc_fault_t *fault);
/* null is false, as for geth. */
bool coh_rpc_get_bool(bool *out, json_t const *v, unsigned idx, coh_rpc_fault_t *fault);
/* coh_rpc_fault_type sets the fault of a value that is of another type than geth's type, and returns false. */
bool coh_rpc_fault_type(coh_rpc_fault_t *fault, unsigned idx, json_t const *v, char const *type);

/* Which block is meant. */
typedef enum {
    COH_RPC_AT_NUMBER,
    COH_RPC_AT_HASH,
    COH_RPC_AT_LATEST, /* also safe and finalized: what is committed is final */
    COH_RPC_AT_PENDING,
    COH_RPC_AT_EARLIEST,
} coh_rpc_at_kind_t;

typedef struct {
    coh_rpc_at_kind_t kind;
    uint64_t number;
    coh_hash_t hash;
} coh_rpc_at_t;

/* coh_rpc_get_block reads a tag, a number, or an object {blockNumber} or {blockHash, requireCanonical} (EIP-1898); a bare hash too. NULL or null means latest. */
bool coh_rpc_get_block(coh_rpc_at_t *out, json_t const *v, unsigned idx, coh_rpc_fault_t *fault);
/* coh_rpc_get_block_number reads a tag or a number only. */
bool coh_rpc_get_block_number(coh_rpc_at_t *out,
                              json_t const *v,
                              unsigned idx,
                              coh_rpc_fault_t *fault);

#endif
