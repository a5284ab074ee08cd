/* NVLinks: their state and what is at their other end. */
#include <stdio.h>
#include <string.h>

#include "pci.h"

enum { CAPABILITY_P2P = 0, CAPABILITY_VALID = 5, CAPABILITIES = 6 };

/* A call on one link of a GPU: NOT_SUPPORTED without any, INVALID_ARGUMENT for one it does not have. */
static struct call enter_link(const struct handle *device, unsigned link, const void *answer, const struct json **found)
{
    struct call call = enter_on(device, A_GPU, "discover", AT_ONCE);
    if (call.code != OK)
        return call;
    const struct json *links = json_get(call.gpu->facts, "nvlinks");
    *found = json_at(links, (int)link);
    if (json_count(links) == 0)
        call.code = NOT_SUPPORTED;
    else if (!*found || !answer)
        call.code = INVALID_ARGUMENT;
    return call;
}

EXPORT int nvmlDeviceGetNvLinkState(const struct handle *device, unsigned link, unsigned *active)
{
    const struct json *found;
    struct call call = enter_link(device, link, active, &found);
    if (call.code == OK)
        *active = 1;
    return leave(&call);
}

EXPORT int nvmlDeviceGetNvLinkVersion(const struct handle *device, unsigned link, unsigned *version)
{
    const struct json *found;
    struct call call = enter_link(device, link, version, &found);
    if (call.code == OK)
        *version = (unsigned)json_integer(call.gpu->facts, "nvlink_version", 0);
    return leave(&call);
}

EXPORT int nvmlDeviceGetNvLinkCapability(const struct handle *device, unsigned link, unsigned capability,
                                         unsigned *supported)
{
    const struct json *found;
    struct call call = enter_link(device, link, supported, &found);
    if (call.code == OK && capability >= CAPABILITIES)
        call.code = INVALID_ARGUMENT;
    if (call.code == OK)
        *supported = capability == CAPABILITY_P2P || capability == CAPABILITY_VALID;
    return leave(&call);
}

EXPORT int nvmlDeviceGetNvLinkRemoteDeviceType(const struct handle *device, unsigned link, unsigned *type)
{
    const struct json *found;
    struct call call = enter_link(device, link, type, &found);
    if (call.code == OK)
        *type = (unsigned)json_integer(found, "type", 0);
    return leave(&call);
}

EXPORT int nvmlDeviceGetNvLinkRemotePciInfo_v2(const struct handle *device, unsigned link, struct pci_info *info)
{
    const struct json *found;
    struct call call = enter_link(device, link, info, &found);
    if (call.code == OK)
        fill_pci(found, info);
    return leave(&call);
}

EXPORT int nvmlDeviceGetNvLinkErrorCounter(const struct handle *device, unsigned link, unsigned counter,
                                           unsigned long long *count)
{
    const struct json *found;
    struct call call = enter_link(device, link, count, &found);
    (void)counter;
    if (call.code == OK)
        *count = 0;
    return leave(&call);
}
