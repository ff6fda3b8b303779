/* sim_history.h: one simulated history, drawn whole from its seed: the cluster's shape and limits, its accounts, what clients send and ask, when
   things break. It runs until every transaction that can be executed is, then asks for everything that was ever acknowledged, takes the
   cluster down once more, and asks again. */
#ifndef COH_SIM_HISTORY_H
#define COH_SIM_HISTORY_H

#include "tests/sim/sim_oracle.h"
#include "tests/support/txgen.h"

typedef struct {
    uint64_t seed;
    sim_plant_t plant;
    bool verbose; /* print the scenario, and the last events if it fails */
} sim_history_params_t;

typedef struct {
    bool failed;
    char reason[512];
    uint64_t digest; /* of the history: equal for equal seeds */
    uint64_t events;
    uint64_t blocks;
    uint64_t included;
    uint64_t left_out;
    uint64_t runs;
    sim_counts_t counts;
    sim_drawn_t drawn;
} sim_history_result_t;

/* sim_history_run runs the history of a seed. gen: keys and signatures, shared by all histories of a process. */
void sim_history_run(sim_history_result_t *out,
                     sim_history_params_t const *params,
                     coh_txgen_t *gen);

#endif
