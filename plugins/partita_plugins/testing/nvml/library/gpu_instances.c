/* GPU instances: made, found, listed, destroyed. */
#include <stdio.h>

#include "mig.h"

/* A call about the GPU instances of a GPU with MIG on, with its record, to be freed. */
static struct call enter_gpu(const struct handle *device, const char *backend_call, struct json **record)
{
    struct json *none;
    struct call call = enter_instance(device, A_GPU, backend_call, record, &none);
    if (call.code == OK && !mig_enabled(*record))
        call.code = NOT_SUPPORTED;
    return call;
}

static int create(const struct handle *device, unsigned profile_id, const struct placement *placement,
                  struct handle **made)
{
    struct call call = enter_on(device, A_GPU, "create_gpu_instance", CREATE);
    if (call.code == OK && (!placement || !made))
        call.code = INVALID_ARGUMENT;
    if (call.code != OK)
        return leave(&call);
    struct new_gpu_instance wanted = {.profile_id = profile_id, .placement = *placement};
    call.code = record_update(call.machine, call.gpu, add_gpu_instance, &wanted);
    if (call.code == OK)
        *made = handle_of(&call, &(struct handle){
                                     .kind = A_GPU_INSTANCE,
                                     .gpu = call.gpu,
                                     .gpu_instance_id = wanted.gpu_instance_id,
                                     .profile_id = profile_id,
                                     .placement = *placement,
                                 });
    return leave(&call);
}

EXPORT int nvmlDeviceCreateGpuInstanceWithPlacement(const struct handle *device, unsigned profile_id,
                                                    const struct placement *placement, struct handle **made)
{
    return create(device, profile_id, placement, made);
}

/* The placements of a profile that are free now, the last one first: drivers put a 3g at 4 before 0. */
static unsigned free_placements(const struct json *record, const struct gpu *gpu, const struct json *profile,
                                struct placement *last)
{
    unsigned count = 0;
    json_each(start, json_get(profile, "starts")) {
        struct placement one = {(unsigned)json_number(start, 0), profile_number(profile, "size")};
        if (check_room(record, gpu, profile, one) == OK) {
            *last = one;
            count++;
        }
    }
    return count;
}

EXPORT int nvmlDeviceCreateGpuInstance(const struct handle *device, unsigned profile_id, struct handle **made)
{
    struct json *record;
    struct placement chosen = {0, 0};
    struct call call = enter_gpu(device, "create_gpu_instance", &record);
    const struct json *profile = call.code == OK ? profile_by_id(call.gpu, profile_id) : NULL;
    if (call.code == OK && !profile)
        call.code = INVALID_ARGUMENT;
    if (call.code == OK && free_placements(record, call.gpu, profile, &chosen) == 0)
        call.code = INSUFFICIENT_RESOURCES;
    json_free(record);
    return leave(&call) == OK ? create(device, profile_id, &chosen, made) : call.code;
}

/* How many more fit: placements of one profile never overlap each other. */
EXPORT int nvmlDeviceGetGpuInstanceRemainingCapacity(const struct handle *device, unsigned profile_id, unsigned *count)
{
    struct json *record;
    struct placement unused;
    struct call call = enter_gpu(device, "gpu_instances", &record);
    const struct json *profile = call.code == OK ? profile_by_id(call.gpu, profile_id) : NULL;
    if (call.code == OK && (!profile || !count))
        call.code = INVALID_ARGUMENT;
    if (call.code == OK) {
        unsigned left = profile_number(profile, "max_instances");
        json_each(instance, json_get(record, "instances"))
            left -= json_integer(instance, "profile_id", -1) == profile_id;
        unsigned free = free_placements(record, call.gpu, profile, &unused);
        *count = free < left ? free : left;
    }
    json_free(record);
    return leave(&call);
}

EXPORT int nvmlDeviceGetGpuInstances(const struct handle *device, unsigned profile_id, struct handle **instances,
                                     unsigned *count)
{
    struct json *record;
    struct call call = enter_gpu(device, "gpu_instances", &record);
    if (call.code == OK && (!instances || !count || !profile_by_id(call.gpu, profile_id)))
        call.code = INVALID_ARGUMENT;
    if (call.code == OK) {
        *count = 0;
        json_each(instance, json_get(record, "instances"))
            if (json_integer(instance, "profile_id", -1) == profile_id)
                instances[(*count)++] = gpu_instance_handle(&call, call.gpu, instance);
    }
    json_free(record);
    return leave(&call);
}

EXPORT int nvmlDeviceGetGpuInstanceById(const struct handle *device, unsigned id, struct handle **found)
{
    struct json *record;
    struct call call = enter_gpu(device, NULL, &record);
    const struct json *instance = call.code == OK ? find_instance(record, id) : NULL;
    if (call.code == OK && !found)
        call.code = INVALID_ARGUMENT;
    if (call.code == OK && !instance)
        call.code = NOT_FOUND;
    if (call.code == OK)
        *found = gpu_instance_handle(&call, call.gpu, instance);
    json_free(record);
    return leave(&call);
}

EXPORT int nvmlGpuInstanceGetInfo(const struct handle *gpu_instance, struct gpu_instance_info *info)
{
    struct json *record, *instance;
    struct call call = enter_instance(gpu_instance, A_GPU_INSTANCE, NULL, &record, &instance);
    if (call.code == OK && !info)
        call.code = INVALID_ARGUMENT;
    if (call.code == OK)
        *info = (struct gpu_instance_info){
            .device = handle_of_gpu(&call, call.gpu->index),
            .id = call.handle->gpu_instance_id,
            .profileId = call.handle->profile_id,
            .placement = call.handle->placement,
        };
    json_free(record);
    return leave(&call);
}

EXPORT int nvmlGpuInstanceDestroy(const struct handle *gpu_instance)
{
    struct call call = enter_on(gpu_instance, A_GPU_INSTANCE, "destroy_gpu_instance", DESTROY);
    if (call.code != OK)
        return leave(&call);
    struct instance wanted = instance_of(call.handle);
    call.code = record_update(call.machine, call.gpu, remove_gpu_instance, &wanted);
    return leave(&call);
}
