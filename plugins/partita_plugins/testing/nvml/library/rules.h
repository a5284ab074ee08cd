/* How MIG hardware answers, as backends/simulated/rules.py says it: changes of one GPU's record. A test plays both
 * against each other. */
#ifndef PARTITA_RULES_H
#define PARTITA_RULES_H

#include "record.h"

bool mig_enabled(const struct json *record);
bool mig_pending(const struct json *record);

/* Arguments: a bool, the wanted mode. IN_USE with clients or instances. */
int switch_mode(struct json *record, const struct gpu *gpu, void *enabled);

struct new_gpu_instance {
    unsigned profile_id;
    struct placement placement;
    unsigned gpu_instance_id; /* answered */
};

int add_gpu_instance(struct json *record, const struct gpu *gpu, void *new_gpu_instance);

/* What an instance is: a later one with the same number is NOT_FOUND. */
struct instance {
    unsigned gpu_instance_id, profile_id, start;
    unsigned compute_instance_id;
    char mig_uuid[64]; /* answered by add_compute_instance, asked by remove_compute_instance */
};

int remove_gpu_instance(struct json *record, const struct gpu *gpu, void *instance);
int add_compute_instance(struct json *record, const struct gpu *gpu, void *instance);
int remove_compute_instance(struct json *record, const struct gpu *gpu, void *instance);

/* Arguments: the number of a time slice, Default to Long. */
int set_time_slice(struct json *record, const struct gpu *gpu, void *number);

/* An instance of a record by its number, or NULL; its compute instance, or NULL. */
struct json *find_instance(const struct json *record, unsigned gpu_instance_id);
struct json *compute_of(const struct json *instance);
struct placement placement_of(const struct json *instance);

/* OK where another instance of a profile fits at a placement: INSUFFICIENT_RESOURCES otherwise. */
int check_room(const struct json *record, const struct gpu *gpu, const struct json *profile, struct placement wanted);

/* "MIG-" and the version-5 UUID of a number under a GPU's UUID. */
void make_mig_uuid(const char *gpu_uuid, long long number, char mig_uuid[64]);

#endif
