#include "machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char STATE_VARIABLE[] = "PARTITA_SIMULATED_DIR";

static struct json *read_part(const struct machine *machine, const char *name)
{
    char path[PATH_LENGTH];
    bool missing;
    snprintf(path, sizeof path, "%s/%s", machine->state, name);
    return read_json(path, &missing);
}

static void read_gpus(struct machine *machine)
{
    json_each(facts, json_get(machine->inventory, "gpus")) {
        if (machine->count == GPUS_MAX)
            return;
        struct gpu *gpu = &machine->gpus[machine->count];
        gpu->index = machine->count++;
        gpu->facts = facts;
        gpu->uuid = json_text(facts, "uuid", "");
        gpu->pci = json_text(json_get(facts, "pci"), "bus_id", "");
        gpu->mig = json_present(facts, "mig") ? json_get(facts, "mig") : NULL;
    }
}

struct machine *machine_open(void)
{
    const char *state = getenv(STATE_VARIABLE);
    if (!state || !*state)
        return NULL;
    struct machine *machine = calloc(1, sizeof *machine);
    snprintf(machine->state, sizeof machine->state, "%s", state);
    machine->inventory = read_part(machine, "inventory.json");
    if (!machine->inventory) {
        fprintf(stderr,
                "%s=%s holds no machine for NVML; lay one out there: python -m partita_plugins.testing.nvml --help\n",
                STATE_VARIABLE, state);
        free(machine);
        return NULL;
    }
    machine->delays = read_part(machine, "delays.json");
    read_gpus(machine);
    return machine;
}

void machine_free(struct machine *machine)
{
    if (!machine)
        return;
    json_free(machine->inventory);
    json_free(machine->delays);
    free(machine);
}

static const struct json *find_profile(const struct gpu *gpu, const char *key, long long number)
{
    json_each(profile, json_get(gpu->mig, "profiles"))
        if (json_integer(profile, key, -1) == number)
            return profile;
    return NULL;
}

const struct json *profile_by_id(const struct gpu *gpu, long long id)
{
    return find_profile(gpu, "id", id);
}

const struct json *profile_by_enum(const struct gpu *gpu, long long number)
{
    return find_profile(gpu, "enum", number);
}

unsigned profile_number(const struct json *profile, const char *key)
{
    return (unsigned)json_integer(profile, key, 0);
}

unsigned engine_number(const struct json *profile, const char *key)
{
    return (unsigned)json_integer(json_get(profile, "engines"), key, 0);
}

int copy_text(const char *text, char *out, unsigned length)
{
    if (!out)
        return INVALID_ARGUMENT;
    if (strlen(text) >= length)
        return INSUFFICIENT_SIZE;
    memcpy(out, text, strlen(text) + 1);
    return OK;
}
