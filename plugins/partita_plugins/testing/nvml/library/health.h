/* What a GPU reports about itself, as planted self-reports say. */
#ifndef PARTITA_HEALTH_H
#define PARTITA_HEALTH_H

#include "mig.h"

/* nvmlGpuRecoveryAction_t of the gravest action that is asked for now. */
unsigned recovery_action(const struct machine *machine, const struct gpu *gpu);

#endif
