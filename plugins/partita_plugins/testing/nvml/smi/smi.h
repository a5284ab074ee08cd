/* nvidia-smi as far as scripts and drivers use it: what it asks of NVML, and its parts. Exit codes are NVML's. */
#ifndef PARTITA_SMI_H
#define PARTITA_SMI_H

#include "../library/abi.h"

int nvmlInit_v2(void);
const char *nvmlErrorString(int code);
int nvmlSystemGetDriverVersion(char *version, unsigned length);
int nvmlDeviceGetCount_v2(unsigned *count);
int nvmlDeviceGetHandleByIndex_v2(unsigned index, struct handle **device);
int nvmlDeviceGetHandleByUUID(const char *uuid, struct handle **device);
int nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, struct handle **device);
int nvmlDeviceGetIndex(const struct handle *device, unsigned *index);
int nvmlDeviceGetUUID(const struct handle *device, char *uuid, unsigned length);
int nvmlDeviceGetName(const struct handle *device, char *name, unsigned length);
int nvmlDeviceGetSerial(const struct handle *device, char *serial, unsigned length);
int nvmlDeviceGetPciInfo_v3(const struct handle *device, struct pci_info *info);
int nvmlDeviceGetMemoryInfo(const struct handle *device, struct memory *memory);
int nvmlDeviceGetCudaComputeCapability(const struct handle *device, int *major, int *minor);
int nvmlDeviceGetMigMode(const struct handle *device, unsigned *mode, unsigned *pending);
int nvmlDeviceGetComputeMode(const struct handle *device, unsigned *mode);
int nvmlDeviceSetComputeMode(const struct handle *device, unsigned mode);
int nvmlDeviceGetMaxMigDeviceCount(const struct handle *device, unsigned *count);
int nvmlDeviceGetMigDeviceHandleByIndex(const struct handle *device, unsigned index, struct handle **mig);
int partitaDeviceSetTimeSlice(const struct handle *device, unsigned number);

/* Does something to one GPU, with the option that was given. */
typedef int action(const struct handle *device, const char *option);

/* One line a GPU, and one below it for each of its MIG devices. */
int list(const struct handle *device, const char *unused);

/* One CSV line a GPU, for a list of fields; `format` has csv and perhaps noheader and nounits. Both are checked, and
 * the header printed, before any GPU is asked. */
int begin_query(const char *fields, const char *format);
int query(const struct handle *device, const char *fields);

#endif
