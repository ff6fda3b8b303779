#include "deploy/cohort/verifier.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/obs/log.h"
#include "deploy/cohort/chain_store.h"
#include "deploy/cohort/verify_chain.h"

#define MOD "verify"
/* Of the thread; the ranks' have 0. */
#define NICE 19
/* How often it looks for new blocks. */
#define WAIT_US 100000u

struct coh_verifier {
    coh_genesis_t const *genesis;
    coh_kv_t *kv;
    coh_metrics_t *metrics;
    uint64_t every;
    uint64_t root_every;
    _Atomic uint64_t head; /* release, acquire: what is below it can be read */
    _Atomic bool is_ending;
    pthread_t thread;
};

/* Verifies the next block. False: it differs, or cannot be read. */
static bool verify_next(coh_verifier_t *self, coh_verify_t *v, coh_buf_t *record)
{
    uint64_t number = coh_verify_last(v).number + 1;
    coh_buf_t why   = COH_BUF_INIT;
    coh_err_t err   = coh_stored_block_read(self->kv, record, number);
    bool ok         = err == COH_OK && coh_verify_block(v, coh_buf_bytes(record), &why);
    if (ok) {
        coh_metric_add(self->metrics, COH_M_verify_block, 1);
    } else {
        if (err != COH_OK) {
            coh_buf_printf(&why, "reading its decision record: %s", coh_err_str(err));
        }
        coh_metric_add(self->metrics, COH_M_verify_mismatch, 1);
        COH_LOG_ERR(MOD,
                    "MISMATCH: a committed block is not what executing it comes to; stop the "
                    "cluster, keep its data, and run cohort verify",
                    "block=%" PRIu64 " reason=\"%.*s\"",
                    number,
                    (int)why.n,
                    (char const *)why.p);
    }
    coh_buf_free(&why);
    return ok;
}

static bool is_ending(coh_verifier_t *self)
{
    return atomic_load_explicit(&self->is_ending, memory_order_relaxed);
}

static void *run(void *arg)
{
    coh_verifier_t *self = arg;
    coh_log_set_rank(0);
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICE);
    coh_verify_t *v  = coh_verify_new(self->genesis, self->root_every);
    coh_buf_t record = COH_BUF_INIT;
    bool ok          = v != NULL;
    COH_ASSERT(ok); /* the genesis' header follows from its state */
    while (ok && !is_ending(self)) {
        uint64_t last = coh_verify_last(v).number;
        uint64_t head = atomic_load_explicit(&self->head, memory_order_acquire);
        if (head < last + self->every) {
            (void)usleep(WAIT_US);
            continue;
        }
        for (uint64_t i = 0; ok && i < self->every && !is_ending(self); i++) {
            ok = verify_next(self, v, &record);
        }
    }
    coh_buf_free(&record);
    coh_verify_free(v);
    return NULL;
}

coh_verifier_t *coh_verifier_start(coh_genesis_t const *genesis,
                                   coh_kv_t *kv,
                                   coh_metrics_t *metrics,
                                   uint64_t every,
                                   uint64_t root_every)
{
    coh_verifier_t *self = coh_calloc(1, sizeof(*self));
    self->genesis        = genesis;
    self->kv             = kv;
    self->metrics        = metrics;
    self->every          = every;
    self->root_every     = root_every;
    atomic_init(&self->head, genesis->number);
    atomic_init(&self->is_ending, false);
    int rc = pthread_create(&self->thread, NULL, run, self);
    COH_ASSERT(rc == 0);
    (void)pthread_setname_np(self->thread, "coh-verify");
    return self;
}

void coh_verifier_note(coh_verifier_t *v, uint64_t head)
{
    atomic_store_explicit(&v->head, head, memory_order_release);
}

void coh_verifier_stop(coh_verifier_t *v)
{
    if (v == NULL) {
        return;
    }
    atomic_store_explicit(&v->is_ending, true, memory_order_relaxed);
    int rc = pthread_join(v->thread, NULL);
    COH_ASSERT(rc == 0);
    free(v);
}
