/* What a GPU or a MIG device is. The library knows it without asking the hardware: nothing here hangs. */
#include <stdio.h>
#include <string.h>

#include "mig.h"

EXPORT int nvmlDeviceGetUUID(const struct handle *device, char *uuid, unsigned length)
{
    struct call call = enter_on(device, A_GPU | A_MIG_DEVICE, NULL, AT_ONCE);
    if (call.code == OK)
        call.code = copy_text(call.handle->kind == A_GPU ? call.gpu->uuid : call.handle->mig_uuid, uuid, length);
    return leave(&call);
}

EXPORT int nvmlDeviceGetName(const struct handle *device, char *name, unsigned length)
{
    struct json *record, *instance;
    char text[160];
    struct call call = enter_instance(device, A_GPU | A_MIG_DEVICE, NULL, &record, &instance);
    if (call.code == OK) {
        snprintf(text, sizeof text, "%s", json_text(call.gpu->facts, "product", ""));
        if (instance)
            name_mig_device(call.gpu, instance, text);
        call.code = copy_text(text, name, length);
    }
    json_free(record);
    return leave(&call);
}

EXPORT int nvmlDeviceGetSerial(const struct handle *device, char *serial, unsigned length)
{
    struct call call = enter_on(device, A_GPU, NULL, AT_ONCE);
    if (call.code == OK)
        call.code = copy_text(json_text(call.gpu->facts, "serial", ""), serial, length);
    return leave(&call);
}

/* Of a MIG device: among those of its GPU. */
EXPORT int nvmlDeviceGetIndex(const struct handle *device, unsigned *index)
{
    struct call call = enter_on(device, A_GPU | A_MIG_DEVICE, NULL, AT_ONCE);
    if (call.code == OK && !index)
        call.code = INVALID_ARGUMENT;
    if (call.code == OK)
        *index = call.handle->kind == A_GPU ? (unsigned)call.gpu->index : mig_index(call.gpu, call.handle->placement);
    return leave(&call);
}

/* N of /dev/nvidiaN. Where the machine shuffles them, each mode switch, reset or reboot moves it on. */
EXPORT int nvmlDeviceGetMinorNumber(const struct handle *device, unsigned *minor)
{
    struct json *record, *none;
    struct call call = enter_instance(device, A_GPU, "device_nodes", &record, &none);
    if (call.code == OK && !minor)
        call.code = INVALID_ARGUMENT;
    if (call.code == OK) {
        const struct json *inventory = call.machine->inventory;
        long long turn = json_integer(record, "moves", 0) % json_integer(inventory, "minor_sets", 1);
        *minor = (unsigned)(json_integer(call.gpu->facts, "minor", 0) +
                            turn * json_integer(inventory, "minor_step", 0));
    }
    json_free(record);
    return leave(&call);
}

/* A number of the inventory that needs no words. */
static int fixed_number(const struct handle *device, const char *key, unsigned *number)
{
    struct call call = enter_on(device, A_GPU, NULL, AT_ONCE);
    if (call.code == OK && !number)
        call.code = INVALID_ARGUMENT;
    if (call.code == OK && !json_present(call.gpu->facts, key))
        call.code = NOT_SUPPORTED;
    if (call.code == OK)
        *number = (unsigned)json_integer(call.gpu->facts, key, 0);
    return leave(&call);
}

#define FIXED_NUMBER(function, key)                              \
    EXPORT int function(const struct handle *device, unsigned *number) \
    {                                                            \
        return fixed_number(device, key, number);                \
    }

FIXED_NUMBER(nvmlDeviceGetArchitecture, "architecture")
FIXED_NUMBER(nvmlDeviceGetBrand, "brand")
FIXED_NUMBER(nvmlDeviceGetNumGpuCores, "cores")
FIXED_NUMBER(nvmlDeviceGetModuleId, "module_id")
FIXED_NUMBER(nvmlDeviceGetBoardId, "board_id")
FIXED_NUMBER(nvmlDeviceGetMultiGpuBoard, "multi_gpu_board")
FIXED_NUMBER(nvmlDeviceGetPersistenceMode, "persistence_mode")
FIXED_NUMBER(nvmlDeviceGetNumaNodeId, "memory_numa_node")
FIXED_NUMBER(nvmlDeviceGetMaxPcieLinkGeneration, "pcie_generation")
FIXED_NUMBER(nvmlDeviceGetGpuMaxPcieLinkGeneration, "pcie_generation")
FIXED_NUMBER(nvmlDeviceGetCurrPcieLinkGeneration, "pcie_generation")
FIXED_NUMBER(nvmlDeviceGetMaxPcieLinkWidth, "pcie_width")
FIXED_NUMBER(nvmlDeviceGetCurrPcieLinkWidth, "pcie_width")

EXPORT int nvmlDeviceGetCudaComputeCapability(const struct handle *device, int *major, int *minor)
{
    struct call call = enter_on(device, A_GPU | A_MIG_DEVICE, NULL, AT_ONCE);
    if (call.code == OK && (!major || !minor))
        call.code = INVALID_ARGUMENT;
    if (call.code == OK && sscanf(json_text(call.gpu->facts, "compute_capability", ""), "%d.%d", major, minor) != 2)
        call.code = UNKNOWN;
    return leave(&call);
}
