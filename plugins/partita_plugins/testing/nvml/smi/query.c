/* nvidia-smi --query-gpu. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "smi.h"

enum { TEXT = 256 };

static bool with_units;

static int mode_text(const struct handle *device, bool pending, char *out)
{
    unsigned modes[2];
    int code = nvmlDeviceGetMigMode(device, &modes[0], &modes[1]);
    snprintf(out, TEXT, "%s", code == NOT_SUPPORTED ? "[N/A]" : code == OK && modes[pending] ? "Enabled" : "Disabled");
    return code == NOT_SUPPORTED ? OK : code;
}

static int mig_current(const struct handle *device, char *out)
{
    return mode_text(device, false, out);
}

static int mig_pending(const struct handle *device, char *out)
{
    return mode_text(device, true, out);
}

static int index_of(const struct handle *device, char *out)
{
    unsigned index = 0;
    int code = nvmlDeviceGetIndex(device, &index);
    snprintf(out, TEXT, "%u", index);
    return code;
}

static int uuid(const struct handle *device, char *out)
{
    return nvmlDeviceGetUUID(device, out, TEXT);
}

static int name(const struct handle *device, char *out)
{
    return nvmlDeviceGetName(device, out, TEXT);
}

static int serial(const struct handle *device, char *out)
{
    return nvmlDeviceGetSerial(device, out, TEXT);
}

static int bus_id(const struct handle *device, char *out)
{
    struct pci_info info = {.busId = ""};
    int code = nvmlDeviceGetPciInfo_v3(device, &info);
    snprintf(out, TEXT, "%s", info.busId);
    return code;
}

static int memory_total(const struct handle *device, char *out)
{
    struct memory memory = {.total = 0};
    int code = nvmlDeviceGetMemoryInfo(device, &memory);
    snprintf(out, TEXT, "%llu%s", memory.total >> 20, with_units ? " MiB" : "");
    return code;
}

static int driver_version(const struct handle *device, char *out)
{
    (void)device;
    return nvmlSystemGetDriverVersion(out, TEXT);
}

static int compute_capability(const struct handle *device, char *out)
{
    int major = 0, minor = 0, code = nvmlDeviceGetCudaComputeCapability(device, &major, &minor);
    snprintf(out, TEXT, "%d.%d", major, minor);
    return code;
}

static int compute_mode(const struct handle *device, char *out)
{
    static const char *const names[] = {"Default", "Exclusive_Thread", "Prohibited", "Exclusive_Process"};
    unsigned mode = 0;
    int code = nvmlDeviceGetComputeMode(device, &mode);
    snprintf(out, TEXT, "%s", names[mode & 3]);
    return code;
}

static const struct field {
    const char *name, *unit;
    int (*answer)(const struct handle *device, char *out);
} FIELDS[] = {
    {"index", "", index_of},
    {"uuid", "", uuid},
    {"gpu_uuid", "", uuid},
    {"name", "", name},
    {"gpu_name", "", name},
    {"serial", "", serial},
    {"pci.bus_id", "", bus_id},
    {"memory.total", " [MiB]", memory_total},
    {"driver_version", "", driver_version},
    {"compute_cap", "", compute_capability},
    {"compute_mode", "", compute_mode},
    {"mig.mode.current", "", mig_current},
    {"mig.mode.pending", "", mig_pending},
};

/* The field at the start of a list, and where the next one begins (NULL: there is none). */
static const struct field *next_field(const char **list)
{
    size_t length = strcspn(*list, ",");
    const struct field *found = NULL;
    for (size_t i = 0; i < sizeof FIELDS / sizeof *FIELDS; i++)
        if (strlen(FIELDS[i].name) == length && strncmp(FIELDS[i].name, *list, length) == 0)
            found = &FIELDS[i];
    *list = (*list)[length] ? *list + length + 1 + strspn(*list + length + 1, " ") : NULL;
    return found;
}

int begin_query(const char *fields, const char *format)
{
    bool header = !strstr(format, "noheader");
    with_units = !strstr(format, "nounits");
    for (const char *at = fields; at;) {
        const char *asked = at;
        const struct field *field = next_field(&at);
        if (!field) {
            printf("Field \"%.*s\" is not a valid field to query.\n", (int)strcspn(asked, ","), asked);
            return INVALID_ARGUMENT;
        }
        if (header)
            printf("%s%s%s", field->name, with_units ? field->unit : "", at ? ", " : "\n");
    }
    return OK;
}

int query(const struct handle *device, const char *fields)
{
    for (const char *at = fields; at;) {
        char text[TEXT] = "";
        int code = next_field(&at)->answer(device, text);
        if (code != OK)
            return code;
        printf("%s%s", text, at ? ", " : "\n");
    }
    return OK;
}
