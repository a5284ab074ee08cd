#include "record.h"

#include <stdio.h>

static void path_of(const struct machine *machine, const struct gpu *gpu, const char *ending, char path[PATH_LENGTH])
{
    snprintf(path, PATH_LENGTH, "%s/gpus/%s.%s", machine->state, gpu->uuid, ending);
}

int record_load(const struct machine *machine, const struct gpu *gpu, struct json **record)
{
    char path[PATH_LENGTH];
    bool missing;
    path_of(machine, gpu, "json", path);
    *record = read_json(path, &missing);
    if (missing)
        *record = json_new(JSON_OBJECT, NULL);
    return *record && (*record)->kind == JSON_OBJECT ? OK : UNKNOWN;
}

static int change_and_store(const struct machine *machine, const struct gpu *gpu, change *apply, void *arguments)
{
    struct json *record;
    char path[PATH_LENGTH];
    int code = record_load(machine, gpu, &record);
    if (code == OK)
        code = apply(record, gpu, arguments);
    path_of(machine, gpu, "json", path);
    if (code == OK && !write_json(path, record))
        code = UNKNOWN;
    json_free(record);
    return code;
}

int record_update(const struct machine *machine, const struct gpu *gpu, change *apply, void *arguments)
{
    char path[PATH_LENGTH];
    path_of(machine, gpu, "lock", path);
    int lock = lock_file(path);
    if (lock < 0)
        return TIMEOUT;
    int code = change_and_store(machine, gpu, apply, arguments);
    unlock_file(lock);
    return code;
}
