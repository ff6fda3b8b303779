#include "deploy/cohort/cluster.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"

typedef struct {
    coh_cluster_t *cluster;
    coh_transport_t *transport;
    coh_rank_t *rank;
    pthread_t thread;
} member_t;

struct coh_cluster {
    uint32_t member_cnt;
    pthread_mutex_t lock;
    coh_err_t err;      /* lock: the first failure */
    coh_buf_t err_text; /* lock */
    member_t members[];
};

/* Runs one rank; if it fails, all others leave too. */
static void *run_member(void *arg)
{
    member_t *member       = arg;
    coh_cluster_t *cluster = member->cluster;
    coh_buf_t text         = COH_BUF_INIT;
    coh_err_t rc           = coh_rank_run(member->rank, &text);
    if (rc != COH_OK && rc != COH_ECLOSED) {
        int lock_rc = pthread_mutex_lock(&cluster->lock);
        COH_ASSERT(lock_rc == 0);
        if (cluster->err == COH_OK) {
            cluster->err = rc;
            coh_buf_printf(&cluster->err_text,
                           "rank %u: %.*s",
                           member->transport->rank,
                           (int)text.n,
                           (char const *)text.p);
        }
        lock_rc = pthread_mutex_unlock(&cluster->lock);
        COH_ASSERT(lock_rc == 0);
        for (uint32_t i = 0; i < cluster->member_cnt; i++) {
            coh_rank_abandon(cluster->members[i].rank);
        }
    }
    coh_buf_free(&text);
    return NULL;
}

coh_err_t coh_cluster_open(coh_cluster_t **out,
                           coh_cluster_options_t const *options,
                           coh_buf_t *err_text)
{
    uint32_t member_cnt    = (uint32_t)options->config->node_shards + 1;
    coh_cluster_t *cluster = coh_calloc(1, sizeof(*cluster) + member_cnt * sizeof(member_t));
    cluster->member_cnt    = member_cnt;
    int lock_rc            = pthread_mutex_init(&cluster->lock, NULL);
    COH_ASSERT(lock_rc == 0);
    coh_transport_t **ends = coh_calloc(member_cnt, sizeof(*ends));
    coh_err_t rc           = coh_transport_local_new(ends, member_cnt);
    for (uint32_t i = 0; rc == COH_OK && i < member_cnt; i++) {
        member_t *member  = &cluster->members[i];
        member->cluster   = cluster;
        member->transport = ends[i];
    }
    free(ends);
    for (uint32_t i = 0; rc == COH_OK && i < member_cnt; i++) {
        coh_rank_options_t rank = {
            .config         = options->config,
            .transport      = cluster->members[i].transport,
            .owns_process   = i == 0,
            .serves_clients = options->serves_clients,
            .sink           = options->sink,
            .genesis        = options->genesis,
            .sibling        = i == 0 ? NULL : cluster->members[0].rank,
        };
        rc = coh_rank_open(&cluster->members[i].rank, &rank, err_text);
    }
    if (rc != COH_OK) {
        coh_cluster_close(cluster);
        return rc;
    }
    *out = cluster;
    return COH_OK;
}

coh_err_t coh_cluster_run(coh_cluster_t *cluster, coh_buf_t *err_text)
{
    for (uint32_t i = 1; i < cluster->member_cnt; i++) {
        member_t *member = &cluster->members[i];
        int rc           = pthread_create(&member->thread, NULL, run_member, member);
        COH_ASSERT(rc == 0);
        (void)pthread_setname_np(member->thread, "coh-shard");
    }
    (void)run_member(&cluster->members[0]);
    for (uint32_t i = 1; i < cluster->member_cnt; i++) {
        int rc = pthread_join(cluster->members[i].thread, NULL);
        COH_ASSERT(rc == 0);
    }
    coh_buf_put(err_text, cluster->err_text.p, cluster->err_text.n);
    return cluster->err;
}

void coh_cluster_stop(coh_cluster_t *cluster) { coh_rank_stop(cluster->members[0].rank); }

coh_rank_t *coh_cluster_rank(coh_cluster_t *cluster, uint32_t rank)
{
    COH_ASSERT(rank < cluster->member_cnt);
    return cluster->members[rank].rank;
}

void coh_cluster_close(coh_cluster_t *cluster)
{
    /* In reverse: the first rank's genesis is shared. */
    for (uint32_t i = cluster->member_cnt; i-- > 0;) {
        member_t *member = &cluster->members[i];
        if (member->rank != NULL) {
            coh_rank_close(member->rank);
        }
        if (member->transport != NULL) {
            member->transport->ops->close(member->transport);
        }
    }
    coh_buf_free(&cluster->err_text);
    (void)pthread_mutex_destroy(&cluster->lock);
    free(cluster);
}
