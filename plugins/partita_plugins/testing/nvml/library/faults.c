#define _GNU_SOURCE
#include "faults.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double HANG_SECONDS_MAX = 3600.0, HANG_POLL_SECONDS = 0.02;

static int names_a_fault(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);
    return entry->d_name[0] != '.' && length > 5 && strcmp(entry->d_name + length - 5, ".json") == 0;
}

/* The fault of one file if it is on the GPU: a file may go away meanwhile, and a damaged one is no fault. */
static struct fault *read_fault(const char *folder, const char *name, const struct gpu *gpu)
{
    char path[PATH_LENGTH];
    bool missing;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    struct json *facts = read_json(path, &missing);
    if (!facts || strcmp(json_text(facts, "gpu_uuid", ""), gpu->uuid) != 0) {
        json_free(facts);
        return NULL;
    }
    struct fault *fault = calloc(1, sizeof *fault);
    snprintf(fault->id, sizeof fault->id, "%.*s", (int)strlen(name) - 5, name);
    fault->facts = facts;
    return fault;
}

struct fault *faults_on(const struct machine *machine, const struct gpu *gpu)
{
    char folder[PATH_LENGTH - 256];
    struct dirent **names;
    struct fault *first = NULL, **end = &first;
    snprintf(folder, sizeof folder, "%s/faults", machine->state);
    int count = scandir(folder, &names, names_a_fault, alphasort);
    for (int i = 0; i < count; i++) {
        *end = read_fault(folder, names[i]->d_name, gpu);
        if (*end)
            end = &(*end)->next;
        free(names[i]);
    }
    if (count >= 0)
        free(names);
    return first;
}

void faults_free(struct fault *faults)
{
    while (faults) {
        struct fault *next = faults->next;
        json_free(faults->facts);
        free(faults);
        faults = next;
    }
}

bool fault_is(const struct fault *fault, const char *type)
{
    return strcmp(json_text(fault->facts, "type", ""), type) == 0;
}

bool fault_reports(const struct fault *fault, const char *report)
{
    return fault_is(fault, "self-report") && strcmp(json_text(fault->facts, "report", ""), report) == 0;
}

bool fault_touches(const struct fault *fault, const struct placement *seen)
{
    if (!seen || !json_present(fault->facts, "start"))
        return true;
    long long start = json_integer(fault->facts, "start", 0), size = json_integer(fault->facts, "size", 1);
    return start < (long long)seen->start + seen->size && seen->start < start + size;
}

unsigned count_reports(const struct machine *machine, const struct gpu *gpu, const char *report,
                       const struct placement *seen)
{
    struct fault *faults = faults_on(machine, gpu);
    unsigned count = 0;
    for (struct fault *one = faults; one; one = one->next)
        count += fault_reports(one, report) && fault_touches(one, seen);
    faults_free(faults);
    return count;
}

static bool any_fault(const struct machine *machine, const struct gpu *gpu, const char *type, const char *call)
{
    struct fault *faults = faults_on(machine, gpu);
    bool found = false;
    for (struct fault *one = faults; one && !found; one = one->next) {
        const char *hung = json_text(one->facts, "call", "");
        found = fault_is(one, type) && (!call || strcmp(hung, call) == 0 || strcmp(hung, "*") == 0);
    }
    faults_free(faults);
    return found;
}

int wait_while_hung(const struct machine *machine, const struct gpu *gpu, const char *call)
{
    double deadline = now_seconds() + HANG_SECONDS_MAX;
    while (any_fault(machine, gpu, "hung-call", call)) {
        if (now_seconds() > deadline)
            return TIMEOUT;
        sleep_seconds(HANG_POLL_SECONDS);
    }
    return OK;
}

bool is_lost(const struct machine *machine, const struct gpu *gpu)
{
    return any_fault(machine, gpu, "gpu-lost", NULL);
}
