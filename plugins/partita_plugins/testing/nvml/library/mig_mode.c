/* MIG mode, and what a MIG device is made of. */
#include <string.h>

#include "mig.h"

EXPORT int nvmlDeviceGetMigMode(const struct handle *device, unsigned *mode, unsigned *pending)
{
    struct json *record, *none;
    struct call call = enter_instance(device, A_GPU, "discover", &record, &none);
    if (call.code == OK && (!mode || !pending))
        call.code = INVALID_ARGUMENT;
    if (call.code == OK && !call.gpu->mig)
        call.code = NOT_SUPPORTED;
    if (call.code == OK) {
        *mode = mig_enabled(record);
        *pending = mig_pending(record);
    }
    json_free(record);
    return leave(&call);
}

/* Why a wanted mode is not current yet: somebody holds the GPU, or only the reset is missing. Being in use is no
 * error of the call either: success only says that the wish was heard. */
static int activation(struct call *call, unsigned *status)
{
    struct json *record;
    *status = IN_USE;
    if (call->code == IN_USE)
        return OK;
    int code = record_load(call->machine, call->gpu, &record);
    *status = OK;
    if (code == OK && mig_enabled(record) != mig_pending(record))
        *status = json_count(json_get(record, "clients")) > 0 ? IN_USE : RESET_REQUIRED;
    json_free(record);
    return code;
}

EXPORT int nvmlDeviceSetMigMode(const struct handle *device, unsigned mode, unsigned *status)
{
    struct call call = enter_on(device, A_GPU, "set_mig_mode", CREATE);
    bool enabled = mode == 1;
    if (call.code == OK && (!status || mode > 1))
        call.code = INVALID_ARGUMENT;
    if (call.code == OK)
        call.code = record_update(call.machine, call.gpu, switch_mode, &enabled);
    if (call.code == OK || call.code == IN_USE)
        call.code = activation(&call, status);
    return leave(&call);
}

EXPORT int nvmlDeviceGetAttributes_v2(const struct handle *device, struct attributes *attributes)
{
    struct json *record, *instance;
    struct call call = enter_instance(device, A_GPU | A_MIG_DEVICE, "gpu_instances", &record, &instance);
    if (call.code == OK && !attributes)
        call.code = INVALID_ARGUMENT;
    if (call.code == OK && !instance)
        call.code = NOT_SUPPORTED;
    if (call.code == OK) {
        const struct json *profile = profile_by_id(call.gpu, json_integer(instance, "profile_id", -1));
        *attributes = (struct attributes){
            .multiprocessorCount = profile_number(profile, "multiprocessors"),
            .sharedCopyEngineCount = engine_number(profile, "copy"),
            .sharedDecoderCount = engine_number(profile, "decoder"),
            .sharedEncoderCount = engine_number(profile, "encoder"),
            .sharedJpegCount = engine_number(profile, "jpeg"),
            .sharedOfaCount = engine_number(profile, "ofa"),
            .gpuInstanceSliceCount = profile_number(profile, "slices"),
            .computeInstanceSliceCount = profile_number(profile, "slices"),
            .memorySizeMB = profile_number(profile, "memory_mib"),
        };
    }
    json_free(record);
    return leave(&call);
}

EXPORT int nvmlDeviceGetAttributes(const struct handle *device, struct attributes *attributes)
{
    return nvmlDeviceGetAttributes_v2(device, attributes);
}

/* Not in NVML's header: our nvidia-smi needs it, as the real one has a way of its own. */
EXPORT int partitaDeviceSetTimeSlice(const struct handle *device, unsigned number)
{
    struct call call = enter_on(device, A_GPU, "set_time_slice", QUERY);
    if (call.code == OK)
        call.code = record_update(call.machine, call.gpu, set_time_slice, &number);
    return leave(&call);
}
