/* GPU instance profiles: what a GPU can be cut into, MIG on or off. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "mig.h"

enum { PROFILE_ENUMS = 18, CAN_DO_GRAPHICS = 2 };

/* A call about a profile of a GPU, found by its enum or by its id. */
static struct call enter_profile(const struct handle *device, unsigned number, bool by_enum, const struct json **profile)
{
    struct call call = enter_on(device, A_GPU, "discover", AT_ONCE);
    if (call.code != OK)
        return call;
    *profile = by_enum ? profile_by_enum(call.gpu, number) : profile_by_id(call.gpu, number);
    if (!call.gpu->mig)
        call.code = NOT_SUPPORTED;
    else if (by_enum && number >= PROFILE_ENUMS)
        call.code = INVALID_ARGUMENT;
    else if (!*profile)
        call.code = by_enum ? NOT_SUPPORTED : INVALID_ARGUMENT;
    return call;
}

static void fill_v3(const struct json *profile, struct gpu_instance_profile_v3 *info)
{
    *info = (struct gpu_instance_profile_v3){
        .version = info->version,
        .id = profile_number(profile, "id"),
        .sliceCount = profile_number(profile, "slices"),
        .instanceCount = profile_number(profile, "max_instances"),
        .multiprocessorCount = profile_number(profile, "multiprocessors"),
        .copyEngineCount = engine_number(profile, "copy"),
        .decoderCount = engine_number(profile, "decoder"),
        .encoderCount = engine_number(profile, "encoder"),
        .jpegCount = engine_number(profile, "jpeg"),
        .ofaCount = engine_number(profile, "ofa"),
        .memorySizeMB = profile_number(profile, "memory_mib"),
        .capabilities = json_flag(profile, "graphics") ? CAN_DO_GRAPHICS : 0,
    };
    snprintf(info->name, sizeof info->name, "MIG %s", json_text(profile, "name", ""));
}

static void fill_v2(const struct json *profile, struct gpu_instance_profile_v2 *info)
{
    struct gpu_instance_profile_v3 third = {.version = info->version};
    fill_v3(profile, &third);
    *info = (struct gpu_instance_profile_v2){
        .version = third.version,
        .id = third.id,
        .sliceCount = third.sliceCount,
        .instanceCount = third.instanceCount,
        .multiprocessorCount = third.multiprocessorCount,
        .copyEngineCount = third.copyEngineCount,
        .decoderCount = third.decoderCount,
        .encoderCount = third.encoderCount,
        .jpegCount = third.jpegCount,
        .ofaCount = third.ofaCount,
        .memorySizeMB = third.memorySizeMB,
    };
    memcpy(info->name, third.name, sizeof info->name);
}

/* The oldest form is the second without its version and its name. */
static void fill_v1(const struct json *profile, struct gpu_instance_profile *info)
{
    struct gpu_instance_profile_v2 second = {.version = 0};
    fill_v2(profile, &second);
    memcpy(info, (char *)&second + offsetof(struct gpu_instance_profile_v2, id),
           offsetof(struct gpu_instance_profile, memorySizeMB));
    info->memorySizeMB = second.memorySizeMB;
}

EXPORT int nvmlDeviceGetGpuInstanceProfileInfo(const struct handle *device, unsigned number,
                                               struct gpu_instance_profile *info)
{
    const struct json *profile;
    struct call call = enter_profile(device, number, true, &profile);
    if (call.code == OK && !info)
        call.code = INVALID_ARGUMENT;
    if (call.code == OK)
        fill_v1(profile, info);
    return leave(&call);
}

/* The version word says which of two structs the caller has. */
static int fill_versioned(const struct json *profile, void *info)
{
    if (!info)
        return INVALID_ARGUMENT;
    unsigned version = *(unsigned *)info;
    if (version == VERSION_OF(struct gpu_instance_profile_v2, 2))
        fill_v2(profile, info);
    else if (version == VERSION_OF(struct gpu_instance_profile_v3, 3))
        fill_v3(profile, info);
    else
        return ARGUMENT_VERSION_MISMATCH;
    return OK;
}

EXPORT int nvmlDeviceGetGpuInstanceProfileInfoV(const struct handle *device, unsigned number, void *info)
{
    const struct json *profile;
    struct call call = enter_profile(device, number, true, &profile);
    if (call.code == OK)
        call.code = fill_versioned(profile, info);
    return leave(&call);
}

EXPORT int nvmlDeviceGetGpuInstanceProfileInfoByIdV(const struct handle *device, unsigned id, void *info)
{
    const struct json *profile;
    struct call call = enter_profile(device, id, false, &profile);
    if (call.code == OK)
        call.code = fill_versioned(profile, info);
    return leave(&call);
}

EXPORT int nvmlDeviceGetGpuInstancePossiblePlacements_v2(const struct handle *device, unsigned id,
                                                         struct placement *placements, unsigned *count)
{
    const struct json *profile;
    struct call call = enter_profile(device, id, false, &profile);
    if (call.code == OK && !count)
        call.code = INVALID_ARGUMENT;
    if (call.code != OK)
        return leave(&call);
    const struct json *starts = json_get(profile, "starts");
    unsigned room = *count, needed = (unsigned)json_count(starts);
    *count = needed;
    if (placements && room < needed)
        call.code = INSUFFICIENT_SIZE;
    for (unsigned i = 0; placements && call.code == OK && i < needed; i++) {
        placements[i].size = profile_number(profile, "size");
        placements[i].start = (unsigned)json_number(json_at(starts, (int)i), 0);
    }
    return leave(&call);
}

/* The older form promises that the array is large enough. */
EXPORT int nvmlDeviceGetGpuInstancePossiblePlacements(const struct handle *device, unsigned id,
                                                      struct placement *placements, unsigned *count)
{
    if (count && placements)
        *count = NOT_A_VALUE;
    return nvmlDeviceGetGpuInstancePossiblePlacements_v2(device, id, placements, count);
}
