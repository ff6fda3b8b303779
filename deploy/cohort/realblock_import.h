/* realblock_import.h: a recorded block as a cluster takes it. */
#ifndef COH_REALBLOCK_IMPORT_H
#define COH_REALBLOCK_IMPORT_H

#include "coordinator/coordinator.h"
#include "deploy/cohort/realblock.h"

/* Borrows from block. Whether its transactions decode is for the cluster to say. */
coh_import_block_t coh_realblock_import(coh_realblock_t const *block);

#endif
