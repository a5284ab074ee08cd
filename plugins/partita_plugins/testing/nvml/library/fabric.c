/* The NVLink fabric that a GPU is a member of: Hopper and later, behind switches. */
#include <stdio.h>
#include <string.h>

#include "session.h"

/* The 16 bytes of a UUID in its usual spelling; zeros where the fabric ends at the machine. */
static void fill_uuid(const char *text, unsigned char bytes[16])
{
    memset(bytes, 0, 16);
    for (int i = 0; i < 16 && sscanf(text, "%2hhx", &bytes[i]) == 1; i++) {
        text += 2;
        text += *text == '-';
    }
}

static struct call enter_fabric(const struct handle *device, const void *info, struct fabric_info *answer)
{
    struct call call = enter_on(device, A_GPU, "discover", QUERY);
    const struct json *fabric = call.gpu ? json_get(call.gpu->facts, "fabric") : NULL;
    if (call.code == OK && !info)
        call.code = INVALID_ARGUMENT;
    if (call.code == OK && (!fabric || fabric->kind != JSON_OBJECT))
        call.code = NOT_SUPPORTED;
    if (call.code != OK)
        return call;
    fill_uuid(json_text(fabric, "cluster_uuid", ""), answer->clusterUuid);
    answer->status = (unsigned)json_integer(fabric, "status", OK);
    answer->cliqueId = (unsigned)json_integer(fabric, "clique_id", 0);
    answer->state = (unsigned)json_integer(fabric, "state", 0);
    return call;
}

EXPORT int nvmlDeviceGetGpuFabricInfo(const struct handle *device, struct fabric_info *info)
{
    struct fabric_info answer;
    struct call call = enter_fabric(device, info, &answer);
    if (call.code == OK)
        *info = answer;
    return leave(&call);
}

/* The version word says which of two structs the caller has; the third is the second and one member more. */
EXPORT int nvmlDeviceGetGpuFabricInfoV(const struct handle *device, struct fabric_info_v2 *info)
{
    struct fabric_info answer;
    struct call call = enter_fabric(device, info, &answer);
    if (call.code == OK && info->version == VERSION_OF(struct fabric_info_v3, 3))
        ((struct fabric_info_v3 *)(void *)info)->healthSummary = 0;
    else if (call.code == OK && info->version != VERSION_OF(struct fabric_info_v2, 2))
        call.code = ARGUMENT_VERSION_MISMATCH;
    if (call.code == OK) {
        memcpy(info->clusterUuid, answer.clusterUuid, sizeof info->clusterUuid);
        info->status = answer.status;
        info->cliqueId = answer.cliqueId;
        info->state = answer.state;
        info->healthMask = 0;
    }
    return leave(&call);
}
