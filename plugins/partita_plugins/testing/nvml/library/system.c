/* The driver and the library as a whole. */
#include "session.h"

/* nvmlInit sets nothing up for these: the real library answers them too before it. */
EXPORT const char *nvmlErrorString(int code)
{
    static const struct { int code; const char *text; } texts[] = {
        {OK, "Success"},
        {UNINITIALIZED, "Uninitialized"},
        {INVALID_ARGUMENT, "Invalid Argument"},
        {NOT_SUPPORTED, "Not Supported"},
        {NOT_FOUND, "Not Found"},
        {INSUFFICIENT_SIZE, "Insufficient Size"},
        {DRIVER_NOT_LOADED, "Driver Not Loaded"},
        {TIMEOUT, "Timeout"},
        {GPU_IS_LOST, "GPU is lost"},
        {RESET_REQUIRED, "GPU requires reset"},
        {IN_USE, "In use by another client"},
        {INSUFFICIENT_RESOURCES, "Insufficient Resources"},
        {ARGUMENT_VERSION_MISMATCH, "Argument version mismatch"},
    };
    for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].code == code)
            return texts[i].text;
    return "Unknown Error";
}

static int system_text(const char *key, char *out, unsigned length)
{
    struct call call = enter();
    if (call.code == OK)
        call.code = copy_text(json_text(call.machine->inventory, key, ""), out, length);
    return leave(&call);
}

EXPORT int nvmlSystemGetDriverVersion(char *version, unsigned length)
{
    return system_text("driver_version", version, length);
}

EXPORT int nvmlSystemGetNVMLVersion(char *version, unsigned length)
{
    return system_text("nvml_version", version, length);
}

EXPORT int nvmlSystemGetCudaDriverVersion_v2(int *version)
{
    struct call call = enter();
    if (call.code == OK && !version)
        call.code = INVALID_ARGUMENT;
    if (call.code == OK)
        *version = (int)json_integer(call.machine->inventory, "cuda_version", 0);
    return leave(&call);
}

EXPORT int nvmlSystemGetCudaDriverVersion(int *version)
{
    return nvmlSystemGetCudaDriverVersion_v2(version);
}
