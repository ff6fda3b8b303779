/* rpc_typed_data.h: the digest of typed structured data (EIP-712), of the JSON that eth_signTypedData_v4 takes. No state; any thread. */
#ifndef COH_RPC_TYPED_DATA_H
#define COH_RPC_TYPED_DATA_H

#include "coordinator/gateway/rpc_json.h"

/* coh_rpc_typed_digest computes keccak256(0x19 0x01 || hashStruct(domain) || hashStruct(message)) of {types, primaryType, domain, message}; without types.EIP712Domain, that has
   the members that domain has. False with fault: types that are not there or depend on more than 64 others, values that do not fit their type, or what is nested deeper than 32. */
bool coh_rpc_typed_digest(coh_hash_t *out, json_t const *data, coh_rpc_fault_t *fault);

#endif
