/* What one GPU remembers, in gpus/<uuid>.json: modes, instances, clients. Kept as a tree, so that members this
 * library does not know survive it. A GPU without a file is as it left the factory. */
#ifndef PARTITA_RECORD_H
#define PARTITA_RECORD_H

#include "machine.h"

/* The record as it is now, to be freed; UNKNOWN for a damaged one. */
int record_load(const struct machine *machine, const struct gpu *gpu, struct json **record);

/* Changes a record in place, or refuses with a code and leaves the stored one as it was. */
typedef int change(struct json *record, const struct gpu *gpu, void *arguments);

/* Applies a change under the GPU's lock and stores it; TIMEOUT while another process keeps the lock. */
int record_update(const struct machine *machine, const struct gpu *gpu, change *apply, void *arguments);

#endif
