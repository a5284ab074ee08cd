/* Between nvmlInit and the last nvmlShutdown: the machine, the handles that were given out, and what every call on
 * one of them meets first. */
#ifndef PARTITA_SESSION_H
#define PARTITA_SESSION_H

#include "faults.h"
#include "record.h"

enum handle_kind { A_GPU = 1, A_MIG_DEVICE = 2, A_GPU_INSTANCE = 4, A_COMPUTE_INSTANCE = 8 };

/* Handles are given out once for each thing and live as long as the session. Those of instances tell an instance from
 * a later one with the same number. */
struct handle {
    enum handle_kind kind;
    struct gpu *gpu;
    unsigned gpu_instance_id, profile_id, compute_instance_id;
    struct placement placement;
    char mig_uuid[64];
    struct handle *next;
};

enum pace { AT_ONCE, QUERY, CREATE, DESTROY };

/* One call in progress. The session stays alive until `leave`, even when it is shut down meanwhile. */
struct call {
    int code;
    struct session *session;
    struct machine *machine;
    struct handle *handle;
    struct gpu *gpu;
};

/* UNINITIALIZED before nvmlInit, and otherwise a call that names no device. */
struct call enter(void);

/* The same for a call on a handle of certain kinds: INVALID_ARGUMENT for any other, then the hang of the backend's
 * call by that name (NULL: it never hangs), the delay, and GPU_IS_LOST. */
struct call enter_on(const struct handle *handle, unsigned kinds, const char *backend_call, enum pace pace);

/* Tells the session of a call from every other one, also after it was shut down. */
unsigned long session_number(const struct call *call);

/* Ends a call; its code. */
int leave(struct call *call);

/* The handle of a GPU, or of the thing that `wanted` describes. */
struct handle *handle_of_gpu(struct call *call, int index);
struct handle *handle_of(struct call *call, const struct handle *wanted);

#endif
