#include "pci.h"

#include <stdio.h>
#include <string.h>

/* The long spelling has an eight-digit domain and capital letters, the legacy one four digits of it. */
void fill_pci(const struct json *pci, struct pci_info *info)
{
    memset(info, 0, sizeof *info);
    unsigned function = 0;
    sscanf(json_text(pci, "bus_id", ""), "%x:%x:%x.%x", &info->domain, &info->bus, &info->device, &function);
    info->pciDeviceId = (unsigned)json_integer(pci, "device_id", 0);
    info->pciSubSystemId = (unsigned)json_integer(pci, "subsystem_id", 0);
    snprintf(info->busId, sizeof info->busId, "%08X:%02X:%02X.%X", info->domain, info->bus & 0xFF,
             info->device & 0xFF, function & 0xF);
    snprintf(info->busIdLegacy, sizeof info->busIdLegacy, "%04X:%02X:%02X.%X", info->domain & 0xFFFF,
             info->bus & 0xFF, info->device & 0xFF, function & 0xF);
}

EXPORT int nvmlDeviceGetPciInfo_v3(const struct handle *device, struct pci_info *info)
{
    struct call call = enter_on(device, A_GPU, NULL, AT_ONCE);
    if (call.code == OK && !info)
        call.code = INVALID_ARGUMENT;
    if (call.code == OK)
        fill_pci(json_get(call.gpu->facts, "pci"), info);
    return leave(&call);
}

EXPORT int nvmlDeviceGetPciInfo_v2(const struct handle *device, struct pci_info_v2 *info)
{
    struct pci_info whole;
    int code = nvmlDeviceGetPciInfo_v3(device, info ? &whole : NULL);
    if (code != OK)
        return code;
    memset(info, 0, sizeof *info);
    memcpy(info->busId, whole.busIdLegacy, sizeof info->busId);
    info->domain = whole.domain;
    info->bus = whole.bus;
    info->device = whole.device;
    info->pciDeviceId = whole.pciDeviceId;
    info->pciSubSystemId = whole.pciSubSystemId;
    return OK;
}

EXPORT int nvmlDeviceGetPciInfo(const struct handle *device, struct pci_info_v2 *info)
{
    return nvmlDeviceGetPciInfo_v2(device, info);
}

EXPORT int nvmlDeviceGetPciInfoExt(const struct handle *device, struct pci_info_ext *info)
{
    struct pci_info whole;
    if (info && info->version != VERSION_OF(struct pci_info_ext, 1))
        return ARGUMENT_VERSION_MISMATCH;
    int code = nvmlDeviceGetPciInfo_v3(device, info ? &whole : NULL);
    if (code != OK)
        return code;
    info->domain = whole.domain;
    info->bus = whole.bus;
    info->device = whole.device;
    info->pciDeviceId = whole.pciDeviceId;
    info->pciSubSystemId = whole.pciSubSystemId;
    info->baseClass = 0x03; /* a display controller, without a display */
    info->subClass = 0x02;
    memcpy(info->busId, whole.busId, sizeof info->busId);
    return OK;
}
