/* MIG devices: pairs of a GPU instance and its compute instance. */
#ifndef PARTITA_MIG_H
#define PARTITA_MIG_H

#include "rules.h"
#include "session.h"

/* The MIG device with a UUID in a GPU's record, or of one of its GPU instances; NULL where there is none. */
struct handle *mig_device_by_uuid(struct call *call, struct gpu *gpu, const struct json *record, const char *uuid);
struct handle *mig_device_of(struct call *call, struct gpu *gpu, const struct json *instance);

/* The handle of a GPU instance of a record. */
struct handle *gpu_instance_handle(struct call *call, struct gpu *gpu, const struct json *instance);

/* A call on a handle of an instance or a MIG device, with the record (to be freed) and the instance it still has:
 * INVALID_ARGUMENT where that is gone. On a GPU's own handle `instance` is NULL. */
struct call enter_instance(const struct handle *handle, unsigned kinds, const char *backend_call,
                           struct json **record, struct json **instance);

/* What a handle stands for, as the rules take it. */
struct instance instance_of(const struct handle *handle);

/* Where a placement starts, in units of the smallest: a MIG device's index. Indexes have holes, as on real boards. */
unsigned mig_index(const struct gpu *gpu, struct placement placement);

/* The name of a MIG device: "NVIDIA H100 80GB HBM3 MIG 3g.40gb". */
void name_mig_device(const struct gpu *gpu, const struct json *instance, char name[160]);

#endif
