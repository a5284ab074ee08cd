/* Which processes may compute on a whole GPU. */
#include <string.h>

#include "mig.h"

/* By NVML's numbers; EXCLUSIVE_THREAD is gone. */
static const char *const MODES[] = {"Default", NULL, "Prohibited", "ExclusiveProcess"};
enum { MODE_COUNT = sizeof MODES / sizeof *MODES };

EXPORT int nvmlDeviceGetComputeMode(const struct handle *device, unsigned *mode)
{
    struct json *record, *instance;
    struct call call = enter_instance(device, A_GPU | A_MIG_DEVICE, "compute_mode", &record, &instance);
    if (call.code == OK && !mode)
        call.code = INVALID_ARGUMENT;
    if (call.code == OK) {
        const char *now = instance ? MODES[0] : json_text(record, "compute_mode", MODES[0]);
        *mode = 0;
        for (unsigned number = 0; number < MODE_COUNT; number++)
            if (MODES[number] && strcmp(MODES[number], now) == 0)
                *mode = number;
    }
    json_free(record);
    return leave(&call);
}

static int set_mode(struct json *record, const struct gpu *gpu, void *name)
{
    (void)gpu;
    if (mig_enabled(record))
        return NOT_SUPPORTED;
    json_set(record, "compute_mode", json_new(JSON_STRING, name));
    return OK;
}

EXPORT int nvmlDeviceSetComputeMode(const struct handle *device, unsigned mode)
{
    struct call call = enter_on(device, A_GPU, "set_compute_mode", QUERY);
    if (call.code == OK && (mode >= MODE_COUNT || !MODES[mode]))
        call.code = INVALID_ARGUMENT;
    if (call.code == OK)
        call.code = record_update(call.machine, call.gpu, set_mode, (void *)MODES[mode]);
    return leave(&call);
}
