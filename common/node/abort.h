/* abort.h: why a shard votes no. Numbers travel in VOTE: append only. */
#ifndef COH_ABORT_H
#define COH_ABORT_H

#define COH_ABORTS(X)                                                                \
    X(NONE, "not refused")                                                           \
    X(EFFECTS, "effects that another shard says it sent are not those that arrived") \
    X(DISK, "the redo record could not be written")

typedef enum {
#define COH_ABORT_ENUM(name, text) COH_ABORT_##name,
    COH_ABORTS(COH_ABORT_ENUM)
#undef COH_ABORT_ENUM
        COH_ABORT_CNT
} coh_abort_t;

#define COH_ABORT_CASE(name, text) \
    case COH_ABORT_##name: return text;

/* The reason in words; never NULL. */
static inline char const *coh_abort_str(unsigned reason)
{
    switch (reason) {
        COH_ABORTS(COH_ABORT_CASE)
    default: return "unknown reason";
    }
}

#undef COH_ABORT_CASE

#endif
