/* The machine that a state folder holds: what it is made of (inventory.json, written by layout.py from the catalog)
 * and how slow its calls are. Read once at nvmlInit. */
#ifndef PARTITA_MACHINE_H
#define PARTITA_MACHINE_H

#include "abi.h"
#include "files.h"

enum { GPUS_MAX = 64 };

struct gpu {
    int index;
    const char *uuid, *pci;
    const struct json *facts;
    const struct json *mig; /* NULL where it cannot do MIG */
};

struct machine {
    char state[PATH_LENGTH - 512];
    struct json *inventory, *delays;
    int count;
    struct gpu gpus[GPUS_MAX];
};

/* The machine in $PARTITA_SIMULATED_DIR; NULL, with a line on stderr that says what to do, where there is none. */
struct machine *machine_open(void);
void machine_free(struct machine *machine);

/* A profile of a GPU by the number that create takes, or by the enum that a look-up takes; NULL if it has none. */
const struct json *profile_by_id(const struct gpu *gpu, long long id);
const struct json *profile_by_enum(const struct gpu *gpu, long long number);

/* A number of a profile, or of its engines. */
unsigned profile_number(const struct json *profile, const char *key);
unsigned engine_number(const struct json *profile, const char *key);

/* Copies a text that fits with its end; INSUFFICIENT_SIZE, INVALID_ARGUMENT on NULL. */
int copy_text(const char *text, char *out, unsigned length);

#endif
