#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "smi.h"

static const char HELP[] =
    "nvidia-smi of simulated GPUs:\n"
    "  -L                                           list GPUs and MIG devices\n"
    "  -c MODE                                      DEFAULT, EXCLUSIVE_PROCESS or PROHIBITED (0, 3, 2)\n"
    "  compute-policy --set-timeslice N             0 default, 1 short, 2 medium, 3 long\n"
    "  --query-gpu=FIELDS --format=csv[,noheader][,nounits]\n"
    "Each for every GPU, or with -i for one: by index, UUID or PCI address.\n";

struct options {
    const char *gpu, *compute_mode, *time_slice, *fields, *format;
};

int list(const struct handle *device, const char *unused)
{
    char name[256], uuid[128];
    unsigned index, count = 0;
    struct handle *mig;
    (void)unused;
    int code = nvmlDeviceGetIndex(device, &index);
    if (code != OK || (code = nvmlDeviceGetName(device, name, sizeof name)) != OK ||
        (code = nvmlDeviceGetUUID(device, uuid, sizeof uuid)) != OK)
        return code;
    printf("GPU %u: %s (UUID: %s)\n", index, name, uuid);
    nvmlDeviceGetMaxMigDeviceCount(device, &count);
    for (unsigned i = 0; i < count; i++)
        if (nvmlDeviceGetMigDeviceHandleByIndex(device, i, &mig) == OK &&
            nvmlDeviceGetName(mig, name, sizeof name) == OK && nvmlDeviceGetUUID(mig, uuid, sizeof uuid) == OK) {
            const char *profile = strstr(name, " MIG ");
            printf("  MIG %s Device %u: (UUID: %s)\n", profile ? profile + 5 : name, i, uuid);
        }
    return OK;
}

static int set_compute_mode(const struct handle *device, const char *mode)
{
    static const char *const names[] = {"DEFAULT", "EXCLUSIVE_THREAD", "PROHIBITED", "EXCLUSIVE_PROCESS"};
    for (unsigned number = 0; number < sizeof names / sizeof *names; number++)
        if (strcasecmp(names[number], mode) == 0 || (mode[0] == (char)('0' + number) && !mode[1]))
            return nvmlDeviceSetComputeMode(device, number);
    return INVALID_ARGUMENT;
}

static int set_time_slice(const struct handle *device, const char *number)
{
    return number[0] < '0' || number[0] > '9' || number[1] ? INVALID_ARGUMENT
                                                          : partitaDeviceSetTimeSlice(device, (unsigned)(number[0] - '0'));
}

/* The value of an option written "--name=value", "--name value" or "-n value"; moves on by the words it takes. */
static const char *value_of(char ***at, const char *name)
{
    size_t length = strlen(name);
    if (strncmp(**at, name, length) != 0)
        return NULL;
    if ((**at)[length] == '=')
        return **at + length + 1;
    if ((**at)[length] != '\0' || !(*at)[1])
        return NULL;
    return *++*at;
}

static int parse(char **arguments, struct options *options)
{
    const struct { const char *name; const char **value; } table[] = {
        {"-i", &options->gpu},       {"--id", &options->gpu},
        {"-c", &options->compute_mode},  {"--compute-mode", &options->compute_mode},
        {"--set-timeslice", &options->time_slice}, {"--query-gpu", &options->fields},
        {"--format", &options->format},
    };
    for (char **at = arguments; *at; at++) {
        int known = strcmp(*at, "compute-policy") == 0 || strcmp(*at, "-L") == 0 || strcmp(*at, "--list-gpus") == 0;
        for (size_t i = 0; i < sizeof table / sizeof *table && !known; i++) {
            const char *value = value_of(&at, table[i].name);
            if (value)
                *table[i].value = value;
            known = value != NULL;
        }
        if (!known) {
            printf("Option \"%s\" is not recognized here.\n%s", *at, HELP);
            return INVALID_ARGUMENT;
        }
    }
    return OK;
}

static int find(const char *wanted, struct handle **device)
{
    if (strncmp(wanted, "GPU-", 4) == 0)
        return nvmlDeviceGetHandleByUUID(wanted, device);
    if (strchr(wanted, ':'))
        return nvmlDeviceGetHandleByPciBusId_v2(wanted, device);
    return nvmlDeviceGetHandleByIndex_v2((unsigned)strtoul(wanted, NULL, 10), device);
}

/* On the GPU that was named, or on each that answers. */
static int on_gpus(const char *wanted, action *act, const char *option)
{
    struct handle *device;
    unsigned count = 0;
    int code = wanted ? find(wanted, &device) : nvmlDeviceGetCount_v2(&count);
    if (wanted)
        return code == OK ? act(device, option) : code;
    for (unsigned index = 0; index < count && (code == OK || code == GPU_IS_LOST); index++) {
        code = nvmlDeviceGetHandleByIndex_v2(index, &device);
        if (code == OK)
            code = act(device, option);
    }
    return code;
}

static int run(const struct options *options)
{
    int code = nvmlInit_v2();
    if (code != OK)
        return code;
    if (options->fields) {
        code = begin_query(options->fields, options->format ? options->format : "csv");
        return code == OK ? on_gpus(options->gpu, query, options->fields) : code;
    }
    if (options->compute_mode)
        return on_gpus(options->gpu, set_compute_mode, options->compute_mode);
    if (options->time_slice)
        return on_gpus(options->gpu, set_time_slice, options->time_slice);
    return on_gpus(options->gpu, list, NULL);
}

int main(int count, char **arguments)
{
    struct options options = {0};
    int code = parse(arguments + 1, &options);
    if (code != OK)
        return code;
    if (count < 2) {
        fputs(HELP, stdout);
        return OK;
    }
    code = run(&options);
    if (code != OK)
        printf("%s\n", nvmlErrorString(code));
    return code & 0xFF;
}
