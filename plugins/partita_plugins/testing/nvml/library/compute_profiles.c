/* Compute instance profiles of a GPU instance. The machine makes only the one that takes all of it: smaller ones are
 * NOT_SUPPORTED, as on a board whose instance has no room for them. */
#include <stdio.h>
#include <string.h>

#include "mig.h"

enum { PROFILE_ENUMS = 9, SHARED_ENGINES = 0 };

/* Compute slices of each profile; their ids on real boards are the same numbers as their enums. */
static const unsigned SLICES[PROFILE_ENUMS] = {1, 2, 3, 4, 7, 8, 6, 0, 0};

static struct call enter_profile(const struct handle *gpu_instance, unsigned number, struct json **record,
                                 const struct json **profile)
{
    struct json *instance;
    struct call call = enter_instance(gpu_instance, A_GPU_INSTANCE, NULL, record, &instance);
    if (call.code == OK && number >= PROFILE_ENUMS)
        call.code = INVALID_ARGUMENT;
    if (call.code != OK)
        return call;
    *profile = profile_by_id(call.gpu, call.handle->profile_id);
    if (SLICES[number] != profile_number(*profile, "slices"))
        call.code = NOT_SUPPORTED;
    return call;
}

static void fill(const struct json *profile, unsigned number, struct compute_profile_v2 *info)
{
    *info = (struct compute_profile_v2){
        .version = info->version,
        .id = number,
        .sliceCount = SLICES[number],
        .instanceCount = 1,
        .multiprocessorCount = profile_number(profile, "multiprocessors"),
        .sharedCopyEngineCount = engine_number(profile, "copy"),
        .sharedDecoderCount = engine_number(profile, "decoder"),
        .sharedEncoderCount = engine_number(profile, "encoder"),
        .sharedJpegCount = engine_number(profile, "jpeg"),
        .sharedOfaCount = engine_number(profile, "ofa"),
    };
    snprintf(info->name, sizeof info->name, "MIG %s", json_text(profile, "name", ""));
}

EXPORT int nvmlGpuInstanceGetComputeInstanceProfileInfo(const struct handle *gpu_instance, unsigned number,
                                                        unsigned engines, struct compute_profile *info)
{
    struct json *record;
    const struct json *profile;
    struct compute_profile_v2 second = {.version = 0};
    struct call call = enter_profile(gpu_instance, number, &record, &profile);
    if (call.code == OK && (!info || engines != SHARED_ENGINES))
        call.code = INVALID_ARGUMENT;
    if (call.code == OK) {
        fill(profile, number, &second);
        memcpy(info, (char *)&second + sizeof second.version, sizeof *info);
    }
    json_free(record);
    return leave(&call);
}

EXPORT int nvmlGpuInstanceGetComputeInstanceProfileInfoV(const struct handle *gpu_instance, unsigned number,
                                                         unsigned engines, struct compute_profile_v2 *info)
{
    struct json *record;
    const struct json *profile;
    struct call call = enter_profile(gpu_instance, number, &record, &profile);
    if (call.code == OK && (!info || engines != SHARED_ENGINES))
        call.code = INVALID_ARGUMENT;
    if (call.code == OK && info->version == VERSION_OF(struct compute_profile_v3, 3))
        ((struct compute_profile_v3 *)(void *)info)->capabilities = 0;
    else if (call.code == OK && info->version != VERSION_OF(struct compute_profile_v2, 2))
        call.code = ARGUMENT_VERSION_MISMATCH;
    if (call.code == OK)
        fill(profile, number, info);
    json_free(record);
    return leave(&call);
}

EXPORT int nvmlGpuInstanceGetComputeInstanceRemainingCapacity(const struct handle *gpu_instance, unsigned id,
                                                              unsigned *count)
{
    struct json *record;
    const struct json *profile;
    struct call call = enter_profile(gpu_instance, id, &record, &profile);
    if (call.code == OK && !count)
        call.code = INVALID_ARGUMENT;
    if (call.code == OK)
        *count = !compute_of(find_instance(record, call.handle->gpu_instance_id));
    json_free(record);
    return leave(&call);
}

EXPORT int nvmlGpuInstanceGetComputeInstancePossiblePlacements(const struct handle *gpu_instance, unsigned id,
                                                               struct placement *placements, unsigned *count)
{
    struct json *record;
    const struct json *profile;
    struct call call = enter_profile(gpu_instance, id, &record, &profile);
    if (call.code == OK && !count)
        call.code = INVALID_ARGUMENT;
    if (call.code == OK && placements && *count < 1)
        call.code = INSUFFICIENT_SIZE;
    if (call.code == OK) {
        *count = 1;
        if (placements)
            *placements = (struct placement){.start = 0, .size = SLICES[id]};
    }
    json_free(record);
    return leave(&call);
}
