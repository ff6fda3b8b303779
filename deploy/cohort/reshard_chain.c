/* The coordinator's part of a reshard. */
#include <stdlib.h>

#include "common/base/clock.h"
#include "coordinator/placement.h"
#include "coordinator/recovery.h"
#include "deploy/cohort/datadir.h"
#include "deploy/cohort/reshard.h"

/* As the coordinator has it: transactions above the mark of the index are gathered in memory. */
#define INDEX_TX_MAX 65536u

coh_err_t coh_reshard_read_chain(coh_reshard_chain_t *out,
                                 coh_kv_t *kv,
                                 coh_genesis_t const *genesis,
                                 uint32_t rank_cnt,
                                 coh_buf_t *err_text)
{
    static coh_config_t config;
    coh_config_default(&config);
    coh_chain_limits_t limits = {.recent_cnt = 1, .index_tx_max = INDEX_TX_MAX, .dropped_max = 1};
    coh_recovery_t rec;
    coh_err_t rc = coh_recovery_open(
        &rec, kv, genesis, &config, &limits, rank_cnt, coh_clock_mono_us(), 0, err_text);
    COH_TRY(rc);
    *out = (coh_reshard_chain_t){.head = rec.head, .dir = rec.dir, .last_redo = rec.last_redo};
    coh_chain_free(rec.chain);
    coh_buf_free(&rec.hashes);
    if (rec.fresh) {
        coh_buf_printf(err_text, "rank 0 has never been started: start the cluster once");
        free(out->last_redo);
        coh_directory_free(&out->dir);
        *out = (coh_reshard_chain_t){0};
        return COH_EMISMATCH;
    }
    return COH_OK;
}

coh_err_t coh_reshard_write_chain(coh_kv_t *kv,
                                  coh_genesis_t const *genesis,
                                  coh_directory_t const *dir,
                                  uint64_t head)
{
    coh_kv_batch_t batch;
    coh_kv_batch_init(&batch);
    coh_datadir_put_identity(&batch, 0, dir->shard_cnt + 1, genesis);
    coh_recovery_relayout(&batch, genesis, dir, head);
    coh_err_t rc = kv->ops->write(kv, &batch, true);
    coh_kv_batch_free(&batch);
    return rc;
}

coh_err_t coh_reshard_place(coh_directory_t *out,
                            coh_directory_t const *before,
                            char const *placement,
                            uint32_t shard_cnt,
                            coh_buf_t *err_text)
{
    COH_TRY(coh_placement_initial(out, placement, shard_cnt, err_text));
    out->epoch = before->epoch + 1;
    return COH_OK;
}
