/* How GPUs reach each other, and which memory is near them. */
#include <string.h>

#include "session.h"

enum { LEVEL_INTERNAL = 0, P2P_OK = 0, P2P_NOT_SUPPORTED = 5, P2P_OF_NVLINK = 2, P2P_KINDS = 5 };
enum { REMOTE_SWITCH = 2, BITS = 8 * sizeof(unsigned long) };

/* A call about two GPUs: either one may hang or be lost. The first keeps the session, and with it the other, alive. */
static struct call enter_pair(const struct handle *a, const struct handle *b, const void *answer, struct gpu **other)
{
    struct call call = enter_on(a, A_GPU, "discover", AT_ONCE);
    struct call second = enter_on(b, A_GPU, "discover", AT_ONCE);
    *other = second.gpu;
    if (call.code == OK && second.session != call.session)
        call.code = UNINITIALIZED;
    int code = leave(&second);
    if (call.code == OK)
        call.code = code != OK ? code : answer ? OK : INVALID_ARGUMENT;
    return call;
}

static unsigned level(const struct gpu *a, const struct gpu *b)
{
    return (unsigned)json_number(json_at(json_get(a->facts, "ancestors"), b->index), LEVEL_INTERNAL);
}

EXPORT int nvmlDeviceGetTopologyCommonAncestor(const struct handle *a, const struct handle *b, unsigned *answer)
{
    struct gpu *other;
    struct call call = enter_pair(a, b, answer, &other);
    if (call.code == OK)
        *answer = level(call.gpu, other);
    return leave(&call);
}

EXPORT int nvmlDeviceGetTopologyNearestGpus(const struct handle *device, unsigned wanted, unsigned *count,
                                            struct handle **found)
{
    struct call call = enter_on(device, A_GPU, "discover", AT_ONCE);
    if (call.code == OK && !count)
        call.code = INVALID_ARGUMENT;
    unsigned room = call.code == OK ? *count : 0, near = 0;
    for (int index = 0; call.code == OK && index < call.machine->count; index++)
        if (index != call.gpu->index && level(call.gpu, &call.machine->gpus[index]) == wanted) {
            if (found && near < room)
                found[near] = handle_of_gpu(&call, index);
            near++;
        }
    if (call.code == OK)
        *count = near;
    return leave(&call);
}

EXPORT int nvmlDeviceOnSameBoard(const struct handle *a, const struct handle *b, int *answer)
{
    struct gpu *other;
    struct call call = enter_pair(a, b, answer, &other);
    if (call.code == OK)
        *answer = call.gpu == other;
    return leave(&call);
}

/* A link to the other GPU, or both behind switches. */
static bool linked(const struct gpu *a, const struct gpu *b)
{
    const struct json *theirs = json_at(json_get(b->facts, "nvlinks"), 0);
    json_each(link, json_get(a->facts, "nvlinks")) {
        if (strcmp(json_text(link, "bus_id", ""), b->pci) == 0)
            return true;
        if (json_integer(link, "type", -1) == REMOTE_SWITCH && json_integer(theirs, "type", -1) == REMOTE_SWITCH)
            return true;
    }
    return false;
}

EXPORT int nvmlDeviceGetP2PStatus(const struct handle *a, const struct handle *b, unsigned kind, unsigned *status)
{
    struct gpu *other;
    struct call call = enter_pair(a, b, status, &other);
    if (call.code == OK && kind >= P2P_KINDS)
        call.code = INVALID_ARGUMENT;
    if (call.code == OK)
        *status = kind != P2P_OF_NVLINK || linked(call.gpu, other) ? P2P_OK : P2P_NOT_SUPPORTED;
    return leave(&call);
}

/* One bit for each NUMA node that is near. */
EXPORT int nvmlDeviceGetMemoryAffinity(const struct handle *device, unsigned words, unsigned long *nodes, unsigned scope)
{
    struct call call = enter_on(device, A_GPU, "discover", AT_ONCE);
    if (call.code == OK && (!nodes || words == 0 || scope > 1))
        call.code = INVALID_ARGUMENT;
    if (call.code == OK && !json_present(call.gpu->facts, "numa_node"))
        call.code = NOT_SUPPORTED;
    if (call.code == OK) {
        unsigned node = (unsigned)json_integer(call.gpu->facts, "numa_node", 0);
        memset(nodes, 0, words * sizeof *nodes);
        if (node / BITS < words)
            nodes[node / BITS] |= 1UL << node % BITS;
    }
    return leave(&call);
}
