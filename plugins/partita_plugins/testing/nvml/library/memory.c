/* Memory sizes. What programs use of it is not known here: all of it is free. */
#include <string.h>

#include "mig.h"

static struct call enter_memory(const struct handle *device, unsigned long long *bytes)
{
    struct json *record, *instance;
    struct call call = enter_instance(device, A_GPU | A_MIG_DEVICE, "discover", &record, &instance);
    if (call.code == OK) {
        const struct json *owner = instance ? profile_by_id(call.gpu, json_integer(instance, "profile_id", -1))
                                            : call.gpu->facts;
        *bytes = (unsigned long long)json_integer(owner, "memory_mib", 0) << 20;
    }
    json_free(record);
    return call;
}

EXPORT int nvmlDeviceGetMemoryInfo(const struct handle *device, struct memory *memory)
{
    unsigned long long bytes;
    struct call call = enter_memory(device, &bytes);
    if (call.code == OK && !memory)
        call.code = INVALID_ARGUMENT;
    if (call.code == OK)
        *memory = (struct memory){.total = bytes, .free = bytes};
    return leave(&call);
}

EXPORT int nvmlDeviceGetMemoryInfo_v2(const struct handle *device, struct memory_v2 *memory)
{
    unsigned long long bytes;
    struct call call = enter_memory(device, &bytes);
    if (call.code == OK && !memory)
        call.code = INVALID_ARGUMENT;
    if (call.code == OK && memory->version != VERSION_OF(struct memory_v2, 2))
        call.code = ARGUMENT_VERSION_MISMATCH;
    if (call.code == OK)
        *memory = (struct memory_v2){.version = memory->version, .total = bytes, .free = bytes};
    return leave(&call);
}

/* The window is the next power of two, as on boards with a resizable one. */
EXPORT int nvmlDeviceGetBAR1MemoryInfo(const struct handle *device, struct bar1_memory *memory)
{
    unsigned long long bytes, window = 1 << 20;
    struct call call = enter_memory(device, &bytes);
    if (call.code == OK && !memory)
        call.code = INVALID_ARGUMENT;
    while (call.code == OK && window < bytes)
        window <<= 1;
    if (call.code == OK)
        *memory = (struct bar1_memory){.bar1Total = window, .bar1Free = window};
    return leave(&call);
}
