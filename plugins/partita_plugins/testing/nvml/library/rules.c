#include "rules.h"

#include <string.h>

static const char *const TIME_SLICES[] = {"Default", "Short", "Medium", "Long"};

bool mig_enabled(const struct json *record)
{
    return json_flag(record, "mig_enabled");
}

bool mig_pending(const struct json *record)
{
    return json_flag(record, "mig_pending");
}

static void set_mode(struct json *record, bool enabled, bool pending)
{
    json_set(record, "mig_enabled", json_new_flag(enabled));
    json_set(record, "mig_pending", json_new_flag(pending));
}

static void count_up(struct json *record, const char *key)
{
    json_set(record, key, json_new_number(json_integer(record, key, 0) + 1));
}

int switch_mode(struct json *record, const struct gpu *gpu, void *enabled)
{
    bool wanted = *(bool *)enabled;
    if (!gpu->mig)
        return NOT_SUPPORTED;
    if (mig_enabled(record) == wanted && mig_pending(record) == wanted)
        return OK;
    if (json_count(json_get(record, "instances")) > 0)
        return IN_USE;
    if (json_flag(gpu->mig, "mode_needs_reset")) {
        set_mode(record, mig_enabled(record), wanted);
        return OK;
    }
    if (json_count(json_get(record, "clients")) > 0)
        return IN_USE;
    set_mode(record, wanted, wanted);
    json_set(record, "compute_mode", json_new(JSON_STRING, "Default"));
    count_up(record, "moves");
    return OK;
}

/* The first number free of those that a profile's size gets, in the order in which real boards give them out. */
static int free_id(const struct json *record, const struct json *profile, unsigned *id)
{
    json_each(number, json_get(profile, "instance_ids")) {
        *id = (unsigned)json_number(number, 0);
        if (!find_instance(record, *id))
            return OK;
    }
    return INSUFFICIENT_RESOURCES;
}

int add_gpu_instance(struct json *record, const struct gpu *gpu, void *new_gpu_instance)
{
    struct new_gpu_instance *made = new_gpu_instance;
    if (!gpu->mig || !mig_enabled(record))
        return NOT_SUPPORTED;
    const struct json *profile = profile_by_id(gpu, made->profile_id);
    if (!profile || made->placement.size != profile_number(profile, "size") ||
        !json_holds(json_get(profile, "starts"), made->placement.start))
        return INVALID_ARGUMENT;
    int code = check_room(record, gpu, profile, made->placement);
    if (code == OK)
        code = free_id(record, profile, &made->gpu_instance_id);
    if (code != OK)
        return code;
    struct json *instance = json_new(JSON_OBJECT, NULL);
    json_set(instance, "gpu_instance_id", json_new_number(made->gpu_instance_id));
    json_set(instance, "profile_id", json_new_number(made->profile_id));
    json_set(instance, "start", json_new_number(made->placement.start));
    json_set(instance, "size", json_new_number(made->placement.size));
    json_append(json_list(record, "instances"), instance);
    return OK;
}

struct json *find_instance(const struct json *record, unsigned gpu_instance_id)
{
    json_each(instance, json_get(record, "instances"))
        if (json_integer(instance, "gpu_instance_id", -1) == gpu_instance_id)
            return instance;
    return NULL;
}

struct json *compute_of(const struct json *instance)
{
    return json_at(json_get(instance, "compute"), 0);
}

static int find_same(struct json *record, const struct gpu *gpu, const struct instance *wanted, struct json **found)
{
    if (!gpu->mig || !mig_enabled(record))
        return NOT_SUPPORTED;
    *found = find_instance(record, wanted->gpu_instance_id);
    if (!*found || json_integer(*found, "profile_id", -1) != wanted->profile_id ||
        placement_of(*found).start != wanted->start)
        return NOT_FOUND;
    return OK;
}

int remove_gpu_instance(struct json *record, const struct gpu *gpu, void *instance)
{
    struct json *found;
    int code = find_same(record, gpu, instance, &found);
    if (code == OK && compute_of(found))
        code = IN_USE;
    if (code == OK)
        json_remove(json_get(record, "instances"), found);
    return code;
}

int add_compute_instance(struct json *record, const struct gpu *gpu, void *instance)
{
    struct instance *wanted = instance;
    struct json *found;
    int code = find_same(record, gpu, wanted, &found);
    if (code == OK && compute_of(found))
        code = INSUFFICIENT_RESOURCES;
    if (code != OK)
        return code;
    wanted->compute_instance_id = 0;
    make_mig_uuid(gpu->uuid, json_integer(record, "made", 0), wanted->mig_uuid);
    struct json *compute = json_new(JSON_OBJECT, NULL);
    json_set(compute, "compute_instance_id", json_new_number(0));
    json_set(compute, "mig_uuid", json_new(JSON_STRING, wanted->mig_uuid));
    json_append(json_list(found, "compute"), compute);
    count_up(record, "made");
    return OK;
}

int remove_compute_instance(struct json *record, const struct gpu *gpu, void *instance)
{
    struct instance *wanted = instance;
    struct json *found, *compute;
    int code = find_same(record, gpu, wanted, &found);
    if (code != OK)
        return code;
    compute = compute_of(found);
    if (!compute || strcmp(json_text(compute, "mig_uuid", ""), wanted->mig_uuid) != 0)
        return NOT_FOUND;
    if (json_count(json_get(compute, "clients")) > 0)
        return IN_USE;
    json_remove(json_get(found, "compute"), compute);
    return OK;
}

int set_time_slice(struct json *record, const struct gpu *gpu, void *number)
{
    unsigned wanted = *(unsigned *)number;
    (void)gpu;
    if (wanted >= sizeof TIME_SLICES / sizeof *TIME_SLICES)
        return INVALID_ARGUMENT;
    if (mig_enabled(record))
        return NOT_SUPPORTED;
    json_set(record, "time_slice", json_new(JSON_STRING, TIME_SLICES[wanted]));
    return OK;
}
