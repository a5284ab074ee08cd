/* From numbers and names to handles. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "mig.h"

EXPORT int nvmlDeviceGetCount_v2(unsigned *count)
{
    struct call call = enter();
    if (call.code == OK && !count)
        call.code = INVALID_ARGUMENT;
    if (call.code == OK)
        *count = (unsigned)call.machine->count;
    return leave(&call);
}

EXPORT int nvmlDeviceGetCount(unsigned *count)
{
    return nvmlDeviceGetCount_v2(count);
}

/* Hands a GPU out unless it is lost. */
static int hand_out(struct call *call, int index, struct handle **device)
{
    if (is_lost(call->machine, &call->machine->gpus[index]))
        return GPU_IS_LOST;
    *device = handle_of_gpu(call, index);
    return OK;
}

EXPORT int nvmlDeviceGetHandleByIndex_v2(unsigned index, struct handle **device)
{
    struct call call = enter();
    if (call.code == OK && (!device || index >= (unsigned)call.machine->count))
        call.code = INVALID_ARGUMENT;
    if (call.code == OK)
        call.code = hand_out(&call, (int)index, device);
    return leave(&call);
}

EXPORT int nvmlDeviceGetHandleByIndex(unsigned index, struct handle **device)
{
    return nvmlDeviceGetHandleByIndex_v2(index, device);
}

static int hand_out_mig(struct call *call, const char *mig_uuid, struct handle **device)
{
    for (int index = 0; index < call->machine->count; index++) {
        struct json *record;
        struct gpu *gpu = &call->machine->gpus[index];
        *device = NULL;
        if (record_load(call->machine, gpu, &record) == OK)
            *device = mig_device_by_uuid(call, gpu, record, mig_uuid);
        json_free(record);
        if (*device)
            return is_lost(call->machine, gpu) ? GPU_IS_LOST : OK;
    }
    return NOT_FOUND;
}

EXPORT int nvmlDeviceGetHandleByUUID(const char *uuid, struct handle **device)
{
    struct call call = enter();
    if (call.code == OK && (!uuid || !device))
        call.code = INVALID_ARGUMENT;
    if (call.code != OK)
        return leave(&call);
    int index = 0;
    while (index < call.machine->count && strcmp(call.machine->gpus[index].uuid, uuid) != 0)
        index++;
    call.code = index < call.machine->count ? hand_out(&call, index, device) : hand_out_mig(&call, uuid, device);
    return leave(&call);
}

/* Two spellings of one address: the domain has four digits, eight, or is left out where it is 0. */
static bool same_address(const char *a, const char *b)
{
    unsigned first[4] = {0}, second[4] = {0};
    const char *texts[] = {a, b};
    unsigned *parts[] = {first, second};
    for (int i = 0; i < 2; i++)
        if (sscanf(texts[i], "%x:%x:%x.%x", &parts[i][0], &parts[i][1], &parts[i][2], &parts[i][3]) != 4 &&
            sscanf(texts[i], "%x:%x.%x", &parts[i][1], &parts[i][2], &parts[i][3]) != 3)
            return false;
    return memcmp(first, second, sizeof first) == 0;
}

EXPORT int nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, struct handle **device)
{
    struct call call = enter();
    if (call.code == OK && (!bus_id || !device))
        call.code = INVALID_ARGUMENT;
    if (call.code != OK)
        return leave(&call);
    call.code = NOT_FOUND;
    for (int index = 0; index < call.machine->count; index++)
        if (same_address(call.machine->gpus[index].pci, bus_id))
            call.code = hand_out(&call, index, device);
    return leave(&call);
}

EXPORT int nvmlDeviceGetHandleByPciBusId(const char *bus_id, struct handle **device)
{
    return nvmlDeviceGetHandleByPciBusId_v2(bus_id, device);
}

EXPORT int nvmlDeviceGetHandleBySerial(const char *serial, struct handle **device)
{
    struct call call = enter();
    if (call.code == OK && (!serial || !device))
        call.code = INVALID_ARGUMENT;
    if (call.code != OK)
        return leave(&call);
    call.code = NOT_FOUND;
    for (int index = 0; index < call.machine->count; index++)
        if (strcmp(json_text(call.machine->gpus[index].facts, "serial", ""), serial) == 0)
            call.code = hand_out(&call, index, device);
    return leave(&call);
}
