/* Faults that any process plants in faults/<id>.json, and what they do to calls. */
#ifndef PARTITA_FAULTS_H
#define PARTITA_FAULTS_H

#include "machine.h"

struct fault {
    char id[256];
    struct json *facts;
    struct fault *next;
};

/* The faults on one GPU now, by id in order, to be freed; NULL where there are none. */
struct fault *faults_on(const struct machine *machine, const struct gpu *gpu);
void faults_free(struct fault *faults);

/* Whether a fault is of a type, as "gpu-lost"; whether it is a self-report of that name. */
bool fault_is(const struct fault *fault, const char *type);
bool fault_reports(const struct fault *fault, const char *report);

/* How many faults on a GPU report something by themselves that is seen from a placement (NULL: the whole GPU). */
unsigned count_reports(const struct machine *machine, const struct gpu *gpu, const char *report,
                       const struct placement *seen);

/* Whether a fault touches a placement; one that names no part touches all of them. */
bool fault_touches(const struct fault *fault, const struct placement *seen);

/* Comes back when no fault hangs a call of the backend by this name; TIMEOUT after an hour. */
int wait_while_hung(const struct machine *machine, const struct gpu *gpu, const char *call);
bool is_lost(const struct machine *machine, const struct gpu *gpu);

#endif
