/* Turning what is planted and changed on one GPU into events, each told once. */
#include <stdlib.h>
#include <string.h>

#include "events.h"

static bool was_told(const struct watch *watch, const char *id)
{
    json_each(one, watch->told)
        if (strcmp(one->text, id) == 0)
            return true;
    return false;
}

/* The modes and instances of a GPU, without the processes on it, to be freed. */
static char *instances_of(const struct machine *machine, const struct gpu *gpu)
{
    struct json *record;
    char *text = NULL;
    if (record_load(machine, gpu, &record) == OK) {
        json_set(record, "clients", json_new(JSON_NULL, NULL));
        json_each(instance, json_get(record, "instances"))
            if (compute_of(instance))
                json_set(compute_of(instance), "clients", json_new(JSON_NULL, NULL));
        struct json *seen = json_new(JSON_OBJECT, NULL);
        static const char *keys[] = {"mig_enabled", "mig_pending", "instances"};
        for (unsigned i = 0; i < sizeof keys / sizeof *keys; i++) {
            char *part = json_get(record, keys[i]) ? json_write(json_get(record, keys[i])) : NULL;
            json_set(seen, keys[i], json_new(JSON_STRING, part ? part : ""));
            free(part);
        }
        text = json_write(seen);
        json_free(seen);
    }
    json_free(record);
    return text;
}

struct watch *watch_new(const struct machine *machine, struct gpu *gpu, unsigned long long types)
{
    struct watch *watch = calloc(1, sizeof *watch);
    struct fault *faults = faults_on(machine, gpu);
    watch->gpu = gpu;
    watch->types = types;
    watch->told = json_new(JSON_ARRAY, NULL);
    for (struct fault *one = faults; one; one = one->next)
        json_append(watch->told, json_new(JSON_STRING, one->id));
    faults_free(faults);
    watch->instances = instances_of(machine, gpu);
    return watch;
}

void watch_free(struct watch *watch)
{
    json_free(watch->told);
    free(watch->instances);
    free(watch);
}

/* What the driver reports about a fault: the first type in this table that the watch wants, or none. */
static bool event_of(const struct fault *fault, const struct watch *watch, struct event_data *event)
{
    static const struct { const char *type, *report; unsigned long long event, data; } table[] = {
        {"gpu-lost", "", GPU_UNAVAILABLE, 0},
        {"gpu-lost", "", XID, 79},
        {"self-report", "ecc", DOUBLE_BIT_ERROR, 0},
        {"self-report", "remap-pending", ROW_REMAP, 0},
        {"self-report", "remap-pending", XID, 63},
        {"self-report", "remap-failed", ROW_REMAP_FAILURE, 0},
        {"self-report", "remap-failed", XID, 64},
        {"self-report", "recovery-reset", RECOVERY_ACTION, 1},
        {"self-report", "recovery-reboot", RECOVERY_ACTION, 2},
        {"self-report", "recovery-drain-p2p", RECOVERY_ACTION, 3},
        {"self-report", "recovery-drain-and-reset", RECOVERY_ACTION, 4},
        {"xid", "", XID, 0},
    };
    const char *report = json_text(fault->facts, "report", "");
    for (unsigned i = 0; i < sizeof table / sizeof *table; i++)
        if (fault_is(fault, table[i].type) && strcmp(table[i].report, report) == 0 && table[i].event & watch->types) {
            event->eventType = table[i].event;
            event->eventData = (unsigned long long)json_integer(fault->facts, "xid", (long long)table[i].data);
            return true;
        }
    return false;
}

/* The instance that a fault's part of the GPU belongs to; all bits where it has none. */
static void fill_instance(struct call *call, const struct watch *watch, const struct fault *fault,
                          struct event_data *event)
{
    struct json *record;
    event->gpuInstanceId = event->computeInstanceId = NOT_A_VALUE;
    if (!json_present(fault->facts, "start"))
        return;
    if (record_load(call->machine, watch->gpu, &record) == OK)
        json_each(instance, json_get(record, "instances")) {
            struct placement placement = placement_of(instance);
            if (!fault_touches(fault, &placement))
                continue;
            event->gpuInstanceId = (unsigned)json_integer(instance, "gpu_instance_id", 0);
            if (compute_of(instance))
                event->computeInstanceId = (unsigned)json_integer(compute_of(instance), "compute_instance_id", 0);
        }
    json_free(record);
}

/* Forgets faults that were lifted: planted again they are news. */
static void forget_lifted(struct watch *watch, const struct fault *faults)
{
    struct json *kept = json_new(JSON_ARRAY, NULL);
    for (const struct fault *one = faults; one; one = one->next)
        if (was_told(watch, one->id))
            json_append(kept, json_new(JSON_STRING, one->id));
    json_free(watch->told);
    watch->told = kept;
}

static bool next_fault(struct call *call, struct watch *watch, struct event_data *event)
{
    struct fault *faults = faults_on(call->machine, watch->gpu);
    bool found = false;
    forget_lifted(watch, faults);
    for (struct fault *one = faults; one && !found; one = one->next) {
        if (was_told(watch, one->id))
            continue;
        json_append(watch->told, json_new(JSON_STRING, one->id));
        found = event_of(one, watch, event);
        if (found)
            fill_instance(call, watch, one, event);
    }
    faults_free(faults);
    return found;
}

static bool next_change(struct call *call, struct watch *watch, struct event_data *event)
{
    if (!(watch->types & MIG_CHANGE))
        return false;
    char *now = instances_of(call->machine, watch->gpu);
    bool changed = now && watch->instances && strcmp(now, watch->instances) != 0;
    free(watch->instances);
    watch->instances = now;
    *event = (struct event_data){
        .eventType = MIG_CHANGE, .gpuInstanceId = NOT_A_VALUE, .computeInstanceId = NOT_A_VALUE};
    return changed;
}

bool watch_step(struct call *call, struct watch *watch, struct event_data *event)
{
    if (!next_fault(call, watch, event) && !next_change(call, watch, event))
        return false;
    event->device = handle_of_gpu(call, watch->gpu->index);
    return true;
}
