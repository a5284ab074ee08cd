/* Field values: one number each, by its field id. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "health.h"

enum { TYPE_UNSIGNED_INT = 1, ARCHITECTURE_HOPPER = 9, REMOTE_SWITCH = 2, ALL_LINKS = 0xFFFFFFFF };

typedef int field(const struct call *call, unsigned scope, unsigned *value);

static int reports(const struct call *call, const char *report, unsigned *value)
{
    *value = count_reports(call->machine, call->gpu, report, NULL) > 0;
    return OK;
}

static int none(const struct call *call, unsigned scope, unsigned *value)
{
    (void)call, (void)scope;
    *value = 0;
    return OK;
}

static int uncorrected(const struct call *call, unsigned scope, unsigned *value)
{
    (void)scope;
    *value = count_reports(call->machine, call->gpu, "ecc", NULL);
    return OK;
}

static int remap_pending(const struct call *call, unsigned scope, unsigned *value)
{
    (void)scope;
    return reports(call, "remap-pending", value);
}

static int remap_failed(const struct call *call, unsigned scope, unsigned *value)
{
    (void)scope;
    return reports(call, "remap-failed", value);
}

static int recovery(const struct call *call, unsigned scope, unsigned *value)
{
    (void)scope;
    *value = recovery_action(call->machine, call->gpu);
    return OK;
}

static int resetless_mig(const struct call *call, unsigned scope, unsigned *value)
{
    (void)scope;
    *value = !json_flag(call->gpu->mig, "mode_needs_reset");
    return call->gpu->mig ? OK : NOT_SUPPORTED;
}

static int mig_query(const struct call *call, unsigned scope, unsigned *value)
{
    (void)scope;
    *value = 1;
    return call->gpu->mig ? OK : NOT_SUPPORTED;
}

static int links(const struct call *call, unsigned scope, unsigned *value)
{
    (void)scope;
    *value = (unsigned)json_count(json_get(call->gpu->facts, "nvlinks"));
    return *value > 0 ? OK : NOT_SUPPORTED;
}

static int links_to_switches(const struct call *call, unsigned scope, unsigned *value)
{
    unsigned all;
    *value = 0;
    json_each(link, json_get(call->gpu->facts, "nvlinks"))
        *value += json_integer(link, "type", -1) == REMOTE_SWITCH;
    return links(call, scope, &all);
}

/* Of one link by its number in the scope, or of any. */
static int of_link(const struct call *call, unsigned scope, const char *key, unsigned *value)
{
    unsigned count;
    int code = links(call, scope, &count);
    if (code == OK && scope != ALL_LINKS && scope >= count)
        code = INVALID_ARGUMENT;
    *value = key ? (unsigned)json_integer(call->gpu->facts, key, 0) : 1;
    return code;
}

static int link_speed(const struct call *call, unsigned scope, unsigned *value)
{
    return of_link(call, scope, "nvlink_mbps", value);
}

static int link_state(const struct call *call, unsigned scope, unsigned *value)
{
    return of_link(call, scope, NULL, value);
}

static int link_version(const struct call *call, unsigned scope, unsigned *value)
{
    return of_link(call, scope, "nvlink_version", value);
}

static const struct { unsigned id; field *answer; } FIELDS[] = {
    {4, uncorrected}, {90, link_speed},     {91, links},         {142, none},          {143, remap_pending},
    {144, remap_pending}, {145, remap_failed}, {147, links_to_switches}, {164, link_speed}, {165, link_state},
    {166, link_version}, {184, resetless_mig}, {199, mig_query},  {230, recovery},
};

static int answer(const struct call *call, const struct field_value *wanted, unsigned *value)
{
    for (unsigned i = 0; i < sizeof FIELDS / sizeof *FIELDS; i++)
        if (FIELDS[i].id == wanted->fieldId)
            return FIELDS[i].answer(call, wanted->scopeId, value);
    return NOT_SUPPORTED;
}

/* Every value has a code of its own; the call itself succeeds. */
EXPORT int nvmlDeviceGetFieldValues(const struct handle *device, int count, struct field_value *values)
{
    struct call call = enter_on(device, A_GPU, "health", QUERY);
    if (call.code == OK && (!values || count < 1))
        call.code = INVALID_ARGUMENT;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    for (int i = 0; call.code == OK && i < count; i++) {
        unsigned value = 0;
        values[i].nvmlReturn = (unsigned)answer(&call, &values[i], &value);
        values[i].valueType = TYPE_UNSIGNED_INT;
        values[i].timestamp = (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000;
        values[i].latencyUsec = 0;
        values[i].value = (union value){.ullVal = value};
    }
    return leave(&call);
}
