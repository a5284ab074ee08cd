#include "health.h"

#include <stdio.h>

enum { ERROR_CORRECTED, ERROR_UNCORRECTED, ERROR_TYPES };
enum { COUNTER_VOLATILE, COUNTER_AGGREGATE, COUNTER_TYPES };
enum { ARCHITECTURE_AMPERE = 7 };

/* nvmlGpuRecoveryAction_t, the gravest first. */
static const struct { const char *report; unsigned action; } ACTIONS[] = {
    {"recovery-reboot", 2},
    {"recovery-drain-and-reset", 4},
    {"recovery-reset", 1},
    {"recovery-drain-p2p", 3},
};

/* The action that a fault asks for: its own word, or what the inventory says of its XID. */
static unsigned action_of(const struct machine *machine, const struct fault *fault)
{
    char xid[24];
    snprintf(xid, sizeof xid, "%lld", fault_is(fault, "xid") ? json_integer(fault->facts, "xid", 0) : 0);
    for (unsigned i = 0; i < sizeof ACTIONS / sizeof *ACTIONS; i++)
        if (fault_reports(fault, ACTIONS[i].report))
            return ACTIONS[i].action;
    return (unsigned)json_integer(json_get(machine->inventory, "xid_actions"), xid, 0);
}

unsigned recovery_action(const struct machine *machine, const struct gpu *gpu)
{
    struct fault *faults = faults_on(machine, gpu);
    unsigned gravest = 0;
    for (unsigned i = 0; i < sizeof ACTIONS / sizeof *ACTIONS && !gravest; i++)
        for (struct fault *one = faults; one && !gravest; one = one->next)
            gravest = action_of(machine, one) == ACTIONS[i].action ? ACTIONS[i].action : 0;
    faults_free(faults);
    return gravest;
}

/* Row remapping came with Ampere; before it pages were retired. */
static bool remaps_rows(const struct gpu *gpu)
{
    return json_integer(gpu->facts, "architecture", 0) >= ARCHITECTURE_AMPERE;
}

/* On a MIG device only what happened in its own memory counts. */
static int count_errors(const struct handle *device, unsigned type, unsigned counter, unsigned long long *count)
{
    struct json *record, *instance;
    struct call call = enter_instance(device, A_GPU | A_MIG_DEVICE, "health", &record, &instance);
    if (call.code == OK && (!count || type >= ERROR_TYPES || counter >= COUNTER_TYPES))
        call.code = INVALID_ARGUMENT;
    if (call.code == OK && instance && counter == COUNTER_AGGREGATE)
        call.code = NOT_SUPPORTED;
    if (call.code == OK)
        *count = type == ERROR_UNCORRECTED ? count_reports(call.machine, call.gpu, "ecc",
                                                           instance ? &call.handle->placement : NULL)
                                           : 0;
    json_free(record);
    return leave(&call);
}

EXPORT int nvmlDeviceGetTotalEccErrors(const struct handle *device, unsigned type, unsigned counter,
                                       unsigned long long *count)
{
    return count_errors(device, type, counter, count);
}

EXPORT int nvmlDeviceGetMemoryErrorCounter(const struct handle *device, unsigned type, unsigned counter,
                                           unsigned location, unsigned long long *count)
{
    enum { DEVICE_MEMORY = 2, LOCATIONS = 8 };
    if (location >= LOCATIONS)
        return INVALID_ARGUMENT;
    int code = count_errors(device, type, counter, count);
    if (code == OK && location != DEVICE_MEMORY)
        *count = 0;
    return code;
}

static int ecc_mode(const struct handle *device, unsigned *first, unsigned *second)
{
    struct call call = enter_on(device, A_GPU, "health", QUERY);
    if (call.code == OK && (!first || !second))
        call.code = INVALID_ARGUMENT;
    if (call.code == OK)
        *first = *second = 1;
    return leave(&call);
}

EXPORT int nvmlDeviceGetEccMode(const struct handle *device, unsigned *mode, unsigned *pending)
{
    return ecc_mode(device, mode, pending);
}

EXPORT int nvmlDeviceGetDefaultEccMode(const struct handle *device, unsigned *mode)
{
    return ecc_mode(device, mode, mode);
}

/* Refused while MIG is on, as real drivers do; the field values of the same name are not. */
EXPORT int nvmlDeviceGetRemappedRows(const struct handle *device, unsigned *corrected, unsigned *uncorrected,
                                     unsigned *pending, unsigned *failed)
{
    struct json *record, *none;
    struct call call = enter_instance(device, A_GPU, "health", &record, &none);
    if (call.code == OK && (!corrected || !uncorrected || !pending || !failed))
        call.code = INVALID_ARGUMENT;
    if (call.code == OK && (mig_enabled(record) || !remaps_rows(call.gpu)))
        call.code = NOT_SUPPORTED;
    if (call.code == OK) {
        *corrected = 0;
        *uncorrected = *pending = count_reports(call.machine, call.gpu, "remap-pending", NULL) > 0;
        *failed = count_reports(call.machine, call.gpu, "remap-failed", NULL) > 0;
    }
    json_free(record);
    return leave(&call);
}

EXPORT int nvmlDeviceGetRetiredPagesPendingStatus(const struct handle *device, unsigned *pending)
{
    struct call call = enter_on(device, A_GPU, "health", QUERY);
    if (call.code == OK && !pending)
        call.code = INVALID_ARGUMENT;
    if (call.code == OK && remaps_rows(call.gpu))
        call.code = NOT_SUPPORTED;
    if (call.code == OK)
        *pending = count_reports(call.machine, call.gpu, "remap-pending", NULL) > 0;
    return leave(&call);
}
