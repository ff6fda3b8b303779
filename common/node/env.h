/* env.h: what a protocol state machine may ask of the world. Coordinator and shard do no I/O: they are called with
   frames, ticks and finished disk requests, and answer by appending messages to outboxes and by handing out disk requests.
   The runtime of a real rank and the simulator both implement this, so the same code runs in each.

   All functions are called, and the state machines run, on one thread per rank (the communication thread);
   only peek, wake_workers and wake_node may be called from any. */
#ifndef COH_ENV_H
#define COH_ENV_H

#include "common/kv/kv.h"
#include "common/obs/metrics.h"

typedef enum {
    COH_DISK_WRITE,      /* batch, without sync */
    COH_DISK_WRITE_SYNC, /* batch, durable when done */
    COH_DISK_INGEST, /* batch of sorted PUTs of one table, then after (optional, unsynced), in this order */
    COH_DISK_READ,   /* keys of one table */
    COH_DISK_BACKUP, /* copy the store as it is after all writes and ingests handed out before, and before those handed out later; they need not wait for the copy */
    COH_DISK_MANIFEST, /* write what makes a backup whole */
} coh_disk_kind_t;

/* A backup of a rank, or its manifest. The runtime knows how; where there is none (simulation), it is refused with COH_EUNSUPPORTED. */
typedef struct {
    char *path;       /* owned; of the backup: the rank's own is below it */
    coh_buf_t text;   /* owned; MANIFEST: what it says */
    coh_buf_t failed; /* owned; out: why it failed */
    coh_hash_t list;  /* out, as the rest: SHA-256 of the list of files */
    uint64_t file_cnt;
    uint64_t file_bytes;
} coh_disk_backup_t;

/* One request to a rank's store. Writes and ingests are carried out one after another in the order handed out; reads
   run beside them and see some prefix of them. The request is the state machine's to allocate; it is taken by the runtime until it
   comes back through on_disk_done. */
typedef struct coh_disk_req {
    coh_disk_kind_t kind;
    coh_kv_batch_t batch;
    coh_kv_batch_t after;
    /* READ */
    coh_kv_table_t table;
    size_t key_cnt;
    coh_bytes_t *keys;         /* borrowed until done */
    coh_err_t *errs;           /* key_cnt; out: COH_OK or COH_ENOTFOUND */
    size_t *lens;              /* key_cnt; out */
    coh_buf_t values;          /* out: values one after another */
    coh_disk_backup_t *backup; /* owned; BACKUP, MANIFEST */
    /* all */
    coh_err_t err;             /* out */
    uint64_t elapsed_us;       /* out: time that the store took */
    uint32_t tag;              /* the state machine's own */
    uint64_t arg;              /* the state machine's own */
    struct coh_disk_req *next; /* the runtime's own */
} coh_disk_req_t;

typedef struct coh_env coh_env_t;

struct coh_env {
    uint32_t rank;          /* 0: coordinator */
    uint32_t rank_cnt;      /* 1 + shards */
    coh_metrics_t *metrics; /* of this rank; may be NULL */
    /* For on_tick to lower, on the clock of mono_us: when it wants to be called again at the latest. UINT64_MAX before each call. */
    uint64_t due_us;
    uint64_t (*mono_us)(coh_env_t *env);
    uint64_t (*unix_us)(coh_env_t *env);
    /* The messages waiting for rank dst, to append encoded ones to (wire.h); sent after the current call returns. */
    coh_buf_t *(*outbox)(coh_env_t *env, uint32_t dst);
    void (*disk)(coh_env_t *env, coh_disk_req_t *req);
    /* Reads a key of the rank's store at once, out of memory (kv.h, peek): COH_OK and the value appended to out; COH_ENOTFOUND; anything else: ask the disk. It sees all
       writes and ingests that have come back, and perhaps some that have not. Any thread. NULL: nothing can be read so. */
    coh_err_t (*peek)(coh_env_t *env, coh_kv_table_t table, coh_bytes_t key, coh_buf_t *out);
    void (*wake_workers)(coh_env_t *env); /* any thread: there is work for coh_*_work */
    void (*wake_node)(coh_env_t *env);    /* any thread: call on_tick soon */
};

/* What the runtime calls; both state machines fill one of these. All but work: communication thread only. */
typedef struct coh_node coh_node_t;

typedef struct {
    /* One frame of messages from rank src. A malformed frame is logged and makes the node fail (see failed). */
    void (*on_frame)(coh_node_t *node, uint32_t src, coh_bytes_t frame);
    void (*on_disk_done)(coh_node_t *node, coh_disk_req_t *req);
    /* Regularly, and after the above: housekeeping. Returns true if it did something. */
    bool (*on_tick)(coh_node_t *node);
    /* Any worker thread, worker < worker_cnt: does one piece of work (bounded to a few ms); false if there is none. */
    bool (*work)(coh_node_t *node, uint32_t worker);
    /* Asks for a clean end: finish the block in hand, flush, stop the shards (coordinator). Idempotent. */
    void (*stop)(coh_node_t *node);
    /* True when the node has stopped or failed and the runtime should leave its loop. */
    bool (*finished)(coh_node_t const *node);
    /* The reason if it failed, else NULL. */
    char const *(*failed)(coh_node_t const *node);
    void (*free)(coh_node_t *node);
} coh_node_ops_t;

struct coh_node {
    coh_node_ops_t const *ops;
};

#endif
