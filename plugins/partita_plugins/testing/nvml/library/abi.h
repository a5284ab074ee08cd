/* What callers of libnvidia-ml.so.1 hand over and get back. Field names are those that pynvml uses, and a test
 * compares every size and offset with its structs. */
#ifndef PARTITA_ABI_H
#define PARTITA_ABI_H

#define EXPORT __attribute__((visibility("default")))

/* The version word of a struct that has one: its size, and the number of its revision above it. */
#define VERSION_OF(type, revision) ((unsigned)sizeof(type) | (unsigned)(revision) << 24)

enum code {
    OK = 0,
    UNINITIALIZED = 1,
    INVALID_ARGUMENT = 2,
    NOT_SUPPORTED = 3,
    NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7,
    DRIVER_NOT_LOADED = 9,
    TIMEOUT = 10,
    GPU_IS_LOST = 15,
    RESET_REQUIRED = 16,
    IN_USE = 19,
    INSUFFICIENT_RESOURCES = 23,
    ARGUMENT_VERSION_MISMATCH = 25,
    UNKNOWN = 999,
};

enum { NOT_A_VALUE = 0xFFFFFFFFu };

struct handle;    /* a GPU, a MIG device, a GPU instance or a compute instance */
struct event_set; /* events.c */

struct placement {
    unsigned start, size;
};

struct pci_info {
    char busIdLegacy[16];
    unsigned domain, bus, device, pciDeviceId, pciSubSystemId;
    char busId[32];
};

struct pci_info_v2 {
    char busId[16];
    unsigned domain, bus, device, pciDeviceId, pciSubSystemId, reserved0, reserved1, reserved2, reserved3;
};

struct pci_info_ext {
    unsigned version, domain, bus, device, pciDeviceId, pciSubSystemId, baseClass, subClass;
    char busId[32];
};

struct memory {
    unsigned long long total, free, used;
};

struct memory_v2 {
    unsigned version;
    unsigned long long total, reserved, free, used;
};

struct bar1_memory {
    unsigned long long bar1Total, bar1Free, bar1Used;
};

struct gpu_instance_profile {
    unsigned id, isP2pSupported, sliceCount, instanceCount, multiprocessorCount;
    unsigned copyEngineCount, decoderCount, encoderCount, jpegCount, ofaCount;
    unsigned long long memorySizeMB;
};

struct gpu_instance_profile_v2 {
    unsigned version, id, isP2pSupported, sliceCount, instanceCount, multiprocessorCount;
    unsigned copyEngineCount, decoderCount, encoderCount, jpegCount, ofaCount;
    unsigned long long memorySizeMB;
    char name[96];
};

/* As the second, with capabilities at the end instead of isP2pSupported; pynvml does not know it. */
struct gpu_instance_profile_v3 {
    unsigned version, id, sliceCount, instanceCount, multiprocessorCount;
    unsigned copyEngineCount, decoderCount, encoderCount, jpegCount, ofaCount;
    unsigned long long memorySizeMB;
    char name[96];
    unsigned capabilities;
};

struct gpu_instance_info {
    struct handle *device;
    unsigned id, profileId;
    struct placement placement;
};

struct compute_profile {
    unsigned id, sliceCount, instanceCount, multiprocessorCount;
    unsigned sharedCopyEngineCount, sharedDecoderCount, sharedEncoderCount, sharedJpegCount, sharedOfaCount;
};

struct compute_profile_v2 {
    unsigned version, id, sliceCount, instanceCount, multiprocessorCount;
    unsigned sharedCopyEngineCount, sharedDecoderCount, sharedEncoderCount, sharedJpegCount, sharedOfaCount;
    char name[96];
};

struct compute_profile_v3 {
    struct compute_profile_v2 second;
    unsigned capabilities;
};

struct compute_instance_info {
    struct handle *device, *gpuInstance;
    unsigned id, profileId;
    struct placement placement;
};

struct attributes {
    unsigned multiprocessorCount, sharedCopyEngineCount, sharedDecoderCount, sharedEncoderCount, sharedJpegCount;
    unsigned sharedOfaCount, gpuInstanceSliceCount, computeInstanceSliceCount;
    unsigned long long memorySizeMB;
};

struct event_data {
    struct handle *device;
    unsigned long long eventType, eventData;
    unsigned gpuInstanceId, computeInstanceId;
};

union value {
    double dVal;
    int siVal;
    unsigned uiVal;
    unsigned long ulVal;
    unsigned long long ullVal;
    long long sllVal;
    unsigned short usVal;
};

struct field_value {
    unsigned fieldId, scopeId;
    long long timestamp, latencyUsec;
    unsigned valueType, nvmlReturn;
    union value value;
};

struct process {
    unsigned pid;
    unsigned long long usedGpuMemory;
    unsigned gpuInstanceId, computeInstanceId;
};

struct fabric_info {
    unsigned char clusterUuid[16];
    unsigned status, cliqueId, state;
};

struct fabric_info_v2 {
    unsigned version;
    unsigned char clusterUuid[16];
    unsigned status, cliqueId, state, healthMask;
};

struct fabric_info_v3 {
    unsigned version;
    unsigned char clusterUuid[16];
    unsigned status, cliqueId, state, healthMask;
    unsigned char healthSummary;
};

#endif
