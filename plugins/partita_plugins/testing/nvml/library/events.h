/* Event sets: which GPUs they watch, and what they have been told already. */
#ifndef PARTITA_EVENTS_H
#define PARTITA_EVENTS_H

#include "health.h"

enum event_type {
    DOUBLE_BIT_ERROR = 0x2,
    XID = 0x8,
    MIG_CHANGE = 0x100,
    ROW_REMAP = 0x400,
    ROW_REMAP_FAILURE = 0x800,
    GPU_UNAVAILABLE = 0x4000,
    RECOVERY_ACTION = 0x8000,
    SUPPORTED_EVENTS =
        DOUBLE_BIT_ERROR | XID | MIG_CHANGE | ROW_REMAP | ROW_REMAP_FAILURE | GPU_UNAVAILABLE | RECOVERY_ACTION,
};

/* One GPU in one set. Faults that were there at registration are no news, as with NVML. */
struct watch {
    struct gpu *gpu;
    unsigned long long types;
    struct json *told; /* ids of faults that are there and were told */
    char *instances;   /* as they were, as text */
    struct watch *next;
};

struct watch *watch_new(const struct machine *machine, struct gpu *gpu, unsigned long long types);
void watch_free(struct watch *watch);

/* The next event of a watch that is news; false where there is none. */
bool watch_step(struct call *call, struct watch *watch, struct event_data *event);

#endif
