/* Compute instances: made, found, listed, destroyed. */
#include <stdio.h>
#include <string.h>

#include "mig.h"

/* Ids of compute profiles on real boards, by the slices they take. */
static unsigned profile_of(const struct gpu *gpu, unsigned gpu_profile_id)
{
    static const unsigned ids[] = {0, 0, 1, 2, 3, 0, 6, 4, 5};
    unsigned slices = profile_number(profile_by_id(gpu, gpu_profile_id), "slices");
    return slices < sizeof ids / sizeof *ids ? ids[slices] : 0;
}

static struct handle *handle_of_compute(struct call *call, const struct instance *instance)
{
    struct handle wanted = {
        .kind = A_COMPUTE_INSTANCE,
        .gpu = call->gpu,
        .gpu_instance_id = call->handle->gpu_instance_id,
        .profile_id = call->handle->profile_id,
        .compute_instance_id = instance->compute_instance_id,
        .placement = call->handle->placement,
    };
    snprintf(wanted.mig_uuid, sizeof wanted.mig_uuid, "%s", instance->mig_uuid);
    return handle_of(call, &wanted);
}

EXPORT int nvmlGpuInstanceCreateComputeInstance(const struct handle *gpu_instance, unsigned profile_id,
                                                struct handle **made)
{
    struct call call = enter_on(gpu_instance, A_GPU_INSTANCE, "create_compute_instance", CREATE);
    if (call.code == OK && !made)
        call.code = INVALID_ARGUMENT;
    if (call.code == OK && profile_id != profile_of(call.gpu, call.handle->profile_id))
        call.code = NOT_SUPPORTED;
    if (call.code != OK)
        return leave(&call);
    struct instance wanted = instance_of(call.handle);
    call.code = record_update(call.machine, call.gpu, add_compute_instance, &wanted);
    if (call.code == OK)
        *made = handle_of_compute(&call, &wanted);
    return leave(&call);
}

EXPORT int nvmlGpuInstanceCreateComputeInstanceWithPlacement(const struct handle *gpu_instance, unsigned profile_id,
                                                             const struct placement *placement, struct handle **made)
{
    if (!placement || placement->start != 0)
        return INVALID_ARGUMENT;
    return nvmlGpuInstanceCreateComputeInstance(gpu_instance, profile_id, made);
}

/* The compute instance of a GPU instance, or NULL. */
static struct handle *compute_handle(struct call *call, const struct json *instance)
{
    const struct json *compute = compute_of(instance);
    struct instance found = {.compute_instance_id = (unsigned)json_integer(compute, "compute_instance_id", 0)};
    snprintf(found.mig_uuid, sizeof found.mig_uuid, "%s", json_text(compute, "mig_uuid", ""));
    return compute ? handle_of_compute(call, &found) : NULL;
}

EXPORT int nvmlGpuInstanceGetComputeInstances(const struct handle *gpu_instance, unsigned profile_id,
                                              struct handle **instances, unsigned *count)
{
    struct json *record, *instance;
    struct call call = enter_instance(gpu_instance, A_GPU_INSTANCE, "gpu_instances", &record, &instance);
    if (call.code == OK && (!instances || !count))
        call.code = INVALID_ARGUMENT;
    if (call.code == OK) {
        struct handle *found = compute_handle(&call, instance);
        *count = found && profile_id == profile_of(call.gpu, call.handle->profile_id);
        if (*count)
            *instances = found;
    }
    json_free(record);
    return leave(&call);
}

EXPORT int nvmlGpuInstanceGetComputeInstanceById(const struct handle *gpu_instance, unsigned id,
                                                 struct handle **found)
{
    struct json *record, *instance;
    struct call call = enter_instance(gpu_instance, A_GPU_INSTANCE, NULL, &record, &instance);
    if (call.code == OK && !found)
        call.code = INVALID_ARGUMENT;
    if (call.code == OK) {
        *found = compute_handle(&call, instance);
        call.code = *found && (*found)->compute_instance_id == id ? OK : NOT_FOUND;
    }
    json_free(record);
    return leave(&call);
}

/* `device` is the handle of the MIG device itself, not of its GPU. */
EXPORT int nvmlComputeInstanceGetInfo_v2(const struct handle *compute_instance, struct compute_instance_info *info)
{
    struct json *record, *instance;
    struct call call = enter_instance(compute_instance, A_COMPUTE_INSTANCE, NULL, &record, &instance);
    if (call.code == OK && !info)
        call.code = INVALID_ARGUMENT;
    if (call.code == OK)
        *info = (struct compute_instance_info){
            .device = mig_device_of(&call, call.gpu, instance),
            .gpuInstance = gpu_instance_handle(&call, call.gpu, instance),
            .id = call.handle->compute_instance_id,
            .profileId = profile_of(call.gpu, call.handle->profile_id),
            .placement = {.size = profile_number(profile_by_id(call.gpu, call.handle->profile_id), "slices")},
        };
    json_free(record);
    return leave(&call);
}

EXPORT int nvmlComputeInstanceDestroy(const struct handle *compute_instance)
{
    struct call call = enter_on(compute_instance, A_COMPUTE_INSTANCE, "destroy_compute_instance", DESTROY);
    if (call.code != OK)
        return leave(&call);
    struct instance wanted = instance_of(call.handle);
    call.code = record_update(call.machine, call.gpu, remove_compute_instance, &wanted);
    return leave(&call);
}
