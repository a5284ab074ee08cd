#include "mig.h"

#include <stdio.h>
#include <string.h>

static struct handle describe(struct gpu *gpu, const struct json *instance, enum handle_kind kind)
{
    return (struct handle){
        .kind = kind,
        .gpu = gpu,
        .gpu_instance_id = (unsigned)json_integer(instance, "gpu_instance_id", 0),
        .profile_id = (unsigned)json_integer(instance, "profile_id", 0),
        .placement = placement_of(instance),
    };
}

struct handle *gpu_instance_handle(struct call *call, struct gpu *gpu, const struct json *instance)
{
    struct handle wanted = describe(gpu, instance, A_GPU_INSTANCE);
    return handle_of(call, &wanted);
}

struct handle *mig_device_of(struct call *call, struct gpu *gpu, const struct json *instance)
{
    const struct json *compute = compute_of(instance);
    if (!compute)
        return NULL;
    struct handle wanted = describe(gpu, instance, A_MIG_DEVICE);
    wanted.compute_instance_id = (unsigned)json_integer(compute, "compute_instance_id", 0);
    snprintf(wanted.mig_uuid, sizeof wanted.mig_uuid, "%s", json_text(compute, "mig_uuid", ""));
    return handle_of(call, &wanted);
}

struct handle *mig_device_by_uuid(struct call *call, struct gpu *gpu, const struct json *record, const char *uuid)
{
    json_each(instance, json_get(record, "instances"))
        if (strcmp(json_text(compute_of(instance), "mig_uuid", ""), uuid) == 0)
            return mig_device_of(call, gpu, instance);
    return NULL;
}

struct instance instance_of(const struct handle *handle)
{
    struct instance instance = {
        .gpu_instance_id = handle->gpu_instance_id,
        .profile_id = handle->profile_id,
        .start = handle->placement.start,
        .compute_instance_id = handle->compute_instance_id,
    };
    snprintf(instance.mig_uuid, sizeof instance.mig_uuid, "%s", handle->mig_uuid);
    return instance;
}

static struct json *still_there(const struct json *record, const struct handle *handle)
{
    struct json *instance = find_instance(record, handle->gpu_instance_id);
    if (!instance || json_integer(instance, "profile_id", -1) != handle->profile_id ||
        placement_of(instance).start != handle->placement.start)
        return NULL;
    if (handle->kind == A_GPU_INSTANCE || strcmp(json_text(compute_of(instance), "mig_uuid", ""), handle->mig_uuid) == 0)
        return instance;
    return NULL;
}

struct call enter_instance(const struct handle *handle, unsigned kinds, const char *backend_call,
                           struct json **record, struct json **instance)
{
    *record = *instance = NULL;
    struct call call = enter_on(handle, kinds, backend_call, backend_call ? QUERY : AT_ONCE);
    if (call.code == OK)
        call.code = record_load(call.machine, call.gpu, record);
    if (call.code != OK || call.handle->kind == A_GPU)
        return call;
    *instance = still_there(*record, call.handle);
    if (!*instance)
        call.code = INVALID_ARGUMENT;
    return call;
}

void name_mig_device(const struct gpu *gpu, const struct json *instance, char name[160])
{
    const struct json *profile = profile_by_id(gpu, json_integer(instance, "profile_id", -1));
    snprintf(name, 160, "%s MIG %s", json_text(gpu->facts, "product", ""), json_text(profile, "name", ""));
}

EXPORT int nvmlDeviceIsMigDeviceHandle(const struct handle *device, unsigned *answer)
{
    struct call call = enter_on(device, A_GPU | A_MIG_DEVICE, NULL, AT_ONCE);
    if (call.code == GPU_IS_LOST)
        call.code = OK;
    if (call.code == OK && !answer)
        call.code = INVALID_ARGUMENT;
    if (call.code == OK)
        *answer = call.handle->kind == A_MIG_DEVICE;
    return leave(&call);
}

static int number_of_mig(const struct handle *device, bool compute, unsigned *number)
{
    struct json *record, *instance;
    struct call call = enter_instance(device, A_MIG_DEVICE, "gpu_instances", &record, &instance);
    if (call.code == OK && !number)
        call.code = INVALID_ARGUMENT;
    if (call.code == OK)
        *number = compute ? call.handle->compute_instance_id : call.handle->gpu_instance_id;
    json_free(record);
    return leave(&call);
}

EXPORT int nvmlDeviceGetGpuInstanceId(const struct handle *device, unsigned *id)
{
    return number_of_mig(device, false, id);
}

EXPORT int nvmlDeviceGetComputeInstanceId(const struct handle *device, unsigned *id)
{
    return number_of_mig(device, true, id);
}

EXPORT int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(const struct handle *device, struct handle **parent)
{
    struct json *record, *instance;
    struct call call = enter_instance(device, A_MIG_DEVICE, "gpu_instances", &record, &instance);
    if (call.code == OK && !parent)
        call.code = INVALID_ARGUMENT;
    if (call.code == OK)
        *parent = handle_of_gpu(&call, call.gpu->index);
    json_free(record);
    return leave(&call);
}

EXPORT int nvmlDeviceGetMaxMigDeviceCount(const struct handle *device, unsigned *count)
{
    struct json *record, *none;
    struct call call = enter_instance(device, A_GPU, "gpu_instances", &record, &none);
    if (call.code == OK && !count)
        call.code = INVALID_ARGUMENT;
    if (call.code == OK)
        *count = mig_enabled(record) ? (unsigned)json_integer(call.gpu->mig, "max_devices", 0) : 0;
    json_free(record);
    return leave(&call);
}

unsigned mig_index(const struct gpu *gpu, struct placement placement)
{
    return placement.start / (unsigned)json_integer(gpu->mig, "unit", 1);
}

EXPORT int nvmlDeviceGetMigDeviceHandleByIndex(const struct handle *device, unsigned index, struct handle **mig)
{
    struct json *record, *none;
    struct call call = enter_instance(device, A_GPU, "gpu_instances", &record, &none);
    unsigned most = (unsigned)json_integer(call.gpu ? call.gpu->mig : NULL, "max_devices", 0);
    if (call.code == OK && !mig_enabled(record))
        call.code = NOT_SUPPORTED;
    if (call.code == OK && (!mig || index >= most))
        call.code = INVALID_ARGUMENT;
    if (call.code == OK) {
        *mig = NULL;
        json_each(instance, json_get(record, "instances"))
            if (mig_index(call.gpu, placement_of(instance)) == index)
                *mig = mig_device_of(&call, call.gpu, instance);
        call.code = *mig ? OK : NOT_FOUND;
    }
    json_free(record);
    return leave(&call);
}
