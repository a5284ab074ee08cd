/* The processes on a GPU and its instances: clients of the simulated machine, which have names and no pages. */
#include <stdio.h>
#include <string.h>

#include "mig.h"

enum { PID_MAX = 1 << 22 };

static const unsigned long long MEMORY_NOT_KNOWN = ~0ULL;

/* As backends/simulated/clients.py makes it of the name: FNV-1a. */
static unsigned pid_of(const char *client)
{
    unsigned value = 0x811C9DC5u;
    for (; *client; client++)
        value = (value ^ (unsigned char)*client) * 0x01000193u;
    return 2 + value % (PID_MAX - 2);
}

struct list {
    struct process *room;
    unsigned length, count;
};

static void add(struct list *list, const struct json *clients, unsigned gpu_instance_id, unsigned compute_instance_id)
{
    json_each(client, clients) {
        if (list->room && list->count < list->length)
            list->room[list->count] = (struct process){
                .pid = pid_of(client->text),
                .usedGpuMemory = MEMORY_NOT_KNOWN,
                .gpuInstanceId = gpu_instance_id,
                .computeInstanceId = compute_instance_id,
            };
        list->count++;
    }
}

static void add_instance(struct list *list, const struct json *instance)
{
    const struct json *compute = compute_of(instance);
    add(list, json_get(compute, "clients"), (unsigned)json_integer(instance, "gpu_instance_id", 0),
        (unsigned)json_integer(compute, "compute_instance_id", 0));
}

EXPORT int nvmlDeviceGetComputeRunningProcesses_v3(const struct handle *device, unsigned *count, struct process *found)
{
    struct json *record, *instance;
    struct call call = enter_instance(device, A_GPU | A_MIG_DEVICE, "processes", &record, &instance);
    if (call.code == OK && !count)
        call.code = INVALID_ARGUMENT;
    if (call.code == OK) {
        struct list list = {found, *count, 0};
        if (instance) {
            add_instance(&list, instance);
        } else {
            add(&list, json_get(record, "clients"), NOT_A_VALUE, NOT_A_VALUE);
            json_each(one, json_get(record, "instances"))
                add_instance(&list, one);
        }
        call.code = list.count > *count ? INSUFFICIENT_SIZE : OK;
        *count = list.count;
    }
    json_free(record);
    return leave(&call);
}

EXPORT int nvmlDeviceGetComputeRunningProcesses_v2(const struct handle *device, unsigned *count, struct process *found)
{
    return nvmlDeviceGetComputeRunningProcesses_v3(device, count, found);
}

/* Nobody draws here, and nobody is an MPS client. */
static int nobody(const struct handle *device, unsigned *count)
{
    struct call call = enter_on(device, A_GPU | A_MIG_DEVICE, "processes", AT_ONCE);
    if (call.code == OK && !count)
        call.code = INVALID_ARGUMENT;
    if (call.code == OK)
        *count = 0;
    return leave(&call);
}

EXPORT int nvmlDeviceGetGraphicsRunningProcesses_v3(const struct handle *device, unsigned *count, struct process *found)
{
    (void)found;
    return nobody(device, count);
}

EXPORT int nvmlDeviceGetMPSComputeRunningProcesses_v3(const struct handle *device, unsigned *count,
                                                      struct process *found)
{
    (void)found;
    return nobody(device, count);
}

static const char *name_among(const struct json *clients, unsigned pid)
{
    json_each(client, clients)
        if (pid_of(client->text) == pid)
            return client->text;
    return NULL;
}

static const char *name_in(const struct json *record, unsigned pid)
{
    const char *name = name_among(json_get(record, "clients"), pid);
    json_each(instance, json_get(record, "instances"))
        if (!name)
            name = name_among(json_get(compute_of(instance), "clients"), pid);
    return name;
}

EXPORT int nvmlSystemGetProcessName(unsigned pid, char *name, unsigned length)
{
    struct call call = enter();
    if (call.code != OK)
        return leave(&call);
    call.code = NOT_FOUND;
    for (int index = 0; index < call.machine->count && call.code == NOT_FOUND; index++) {
        struct json *record;
        const char *found = NULL;
        if (record_load(call.machine, &call.machine->gpus[index], &record) == OK)
            found = name_in(record, pid);
        if (found)
            call.code = copy_text(found, name, length);
        json_free(record);
    }
    return leave(&call);
}
