/* dev_chain.h: the chain of cohort node --dev: chain id 31337, every fork from its beginning with the contracts that blocks call, and ten accounts with 10,000 ether each, whose keys everybody knows: those of the
   mnemonic below (BIP-39, BIP-44 path m/44'/60'/0'/0/i), as other development chains have them. */
#ifndef COH_DEV_CHAIN_H
#define COH_DEV_CHAIN_H

#include "common/config/genesis.h"

#define COH_DEV_CHAIN_ID        31337u
#define COH_DEV_MNEMONIC        "test test test test test test test test test test test junk"
#define COH_DEV_ACCOUNT_CNT     10u
#define COH_DEV_CHAIN_GAS_LIMIT UINT64_C(30000000)

extern uint8_t const COH_DEV_SECRETS[COH_DEV_ACCOUNT_CNT][32];

/* coh_dev_accounts derives the addresses. */
void coh_dev_accounts(coh_addr_t out[COH_DEV_ACCOUNT_CNT]);

/* coh_dev_genesis makes the genesis; free it. Its block is of timestamp; its identity is that of timestamp 0, so that ranks agree whose clocks do not. */
void coh_dev_genesis(coh_genesis_t *out, uint64_t timestamp);

#endif
