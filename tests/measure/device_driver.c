/* A stand-in for libcuda.so.1 and libnvidia-ml.so.1 on machines without a GPU: "device memory" is the host's, copies are memcpy on the CPU,
   and two made-up GPUs are shown in CUDA's order, which is not that of PCI. It proves that the calls go through the real
   cuda-bindings with the arguments the driver expects, in an order that frees what was taken; its times mean nothing. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define OK 0
#define INVALID 1
#define OUT_OF_MEMORY 2
#define NO_DEVICE 100
#define NOT_REGISTERED 713

static const char *ADDRESSES[] = {"0000:65:00.0", "0000:17:00.0"};
static uintptr_t pinned;
static size_t pinned_bytes;
static int contexts, streams, events, buffers;

static const char *mode(void) { const char *said = getenv("DEVICE_DRIVER"); return said ? said : ""; }
static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

int cuInit(unsigned flags) { return flags ? INVALID : strcmp(mode(), "no device") ? OK : NO_DEVICE; }
int cuDriverGetVersion(int *v) { *v = 12080; return OK; }
int cuDeviceGetCount(int *n) { *n = 2; return OK; }
int cuDeviceGet(int *device, int i) { *device = i; return i < 2 ? OK : INVALID; }
int cuDeviceGetPCIBusId(char *text, int length, int device) { snprintf(text, length, "%s", ADDRESSES[device]); return OK; }
int cuDeviceGetName(char *text, int length, int device) { (void)device; snprintf(text, length, "Stand-in GPU"); return OK; }
int cuDevicePrimaryCtxRetain(void **context, int device) { *context = (void *)(uintptr_t)(16 + device); contexts++; return OK; }
int cuDevicePrimaryCtxRelease_v2(int device) { (void)device; contexts--; return OK; }
int cuCtxPushCurrent_v2(void *context) { return context ? OK : INVALID; }
int cuCtxPopCurrent_v2(void **context) { *context = NULL; return OK; }
int cuMemGetInfo_v2(size_t *free, size_t *total) { *free = *total = (size_t)256 << 20; return OK; }
int cuMemHostRegister_v2(void *address, size_t bytes, unsigned flags) {
    if (!strcmp(mode(), "no pinning")) return OUT_OF_MEMORY;
    if (flags || pinned || (uintptr_t)address % 4096) return INVALID;
    pinned = (uintptr_t)address, pinned_bytes = bytes;
    return OK;
}
int cuMemHostUnregister(void *address) {
    if ((uintptr_t)address != pinned) return NOT_REGISTERED;
    pinned = 0;
    return OK;
}
int cuMemAlloc_v2(uintptr_t *device, size_t bytes) { *device = (uintptr_t)malloc(bytes); buffers++; return *device ? OK : OUT_OF_MEMORY; }
int cuMemFree_v2(uintptr_t device) { free((void *)device); buffers--; return OK; }
int cuStreamCreate(void **stream, unsigned flags) { *stream = (void *)(uintptr_t)(64 + flags); streams++; return flags == 1 ? OK : INVALID; }
int cuStreamDestroy_v2(void *stream) { (void)stream; streams--; return OK; }
int cuStreamSynchronize(void *stream) { return stream == (void *)65 ? OK : INVALID; }
int cuEventCreate(double **event, unsigned flags) { *event = calloc(1, sizeof(double)); events++; return flags ? INVALID : OK; }
int cuEventRecord(double *event, void *stream) { *event = now_ms(); return stream == (void *)65 ? OK : INVALID; }
int cuEventSynchronize(double *event) { return event ? OK : INVALID; }
int cuEventElapsedTime(float *ms, double *before, double *behind) { *ms = *behind - *before; return OK; }
int cuEventElapsedTime_v2(float *ms, double *before, double *behind) { return cuEventElapsedTime(ms, before, behind); }
int cuEventDestroy_v2(double *event) { free(event); events--; return OK; }
static int copy(void *to, const void *from, uintptr_t host, size_t bytes, void *stream) {
    if (stream != (void *)65 || host < pinned || host + bytes > pinned + pinned_bytes) return INVALID;
    if (strcmp(mode(), "lost copies")) memcpy(to, from, bytes);
    return OK;
}
int cuMemcpyHtoDAsync_v2(uintptr_t device, const void *host, size_t bytes, void *stream) {
    return copy((void *)device, host, (uintptr_t)host, bytes, stream);
}
int cuMemcpyDtoHAsync_v2(void *host, uintptr_t device, size_t bytes, void *stream) {
    return copy(host, (void *)device, (uintptr_t)host, bytes, stream);
}
int cuGetErrorString(int error, const char **text) {
    *text = error == NO_DEVICE ? "no CUDA-capable device is detected" : error == OUT_OF_MEMORY ? "out of memory" : "invalid argument";
    return OK;
}
int cuGetErrorName(int error, const char **text) { (void)error; *text = "CUDA_ERROR"; return OK; }

/* Newer headers give a function under a numbered name; the bindings ask for the plain one. */
int cuGetProcAddress_v2(const char *symbol, void **function, int version, uint64_t flags, int *status) {
    char name[128];
    (void)version, (void)flags;
    snprintf(name, sizeof name, "%s_v2", symbol);
    *function = strcmp(symbol, "cuGetProcAddress") ? dlsym(RTLD_DEFAULT, name) : (void *)cuGetProcAddress_v2;
    if (!*function) {
        Dl_info mine;
        void *self = dladdr((void *)cuGetProcAddress_v2, &mine) ? dlopen(mine.dli_fname, RTLD_LAZY | RTLD_NOLOAD) : NULL;
        *function = self ? dlsym(self, name) : NULL;
        if (!*function && self) *function = dlsym(self, symbol);
    }
    if (!strcmp(mode(), "old") && !strcmp(symbol, "cuMemHostRegister")) *function = NULL;
    if (status) *status = *function ? 0 : 1;
    return *function ? OK : 500;
}
int cuGetProcAddress(const char *symbol, void **function, int version, uint64_t flags) {
    return cuGetProcAddress_v2(symbol, function, version, flags, NULL);
}

/* NVML: the two GPUs with 12 NVLinks of version 3.0 each to one NVSwitch, on two sockets, as 8x A100 machines show. */
struct pci { char legacy[16]; unsigned domain, bus, device, id, subsystem; char address[32]; };
#define NVML_INVALID 2
#define NVML_NOT_SUPPORTED 3
#define NVML_NOT_FOUND 6

static int number(void *gpu) { return (int)(uintptr_t)gpu - 1; }
int nvmlInitWithFlags(unsigned flags) { return flags ? NVML_INVALID : strcmp(mode(), "not loaded") ? OK : 9; }
int nvmlShutdown(void) { return OK; }
int nvmlDeviceGetHandleByPciBusId_v2(const char *address, void **gpu) {
    for (int i = 0; i < 2; i++) {
        if (!strcmp(address, ADDRESSES[i])) return *gpu = (void *)(uintptr_t)(i + 1), OK;
    }
    return NVML_NOT_FOUND;
}
int nvmlDeviceGetTopologyCommonAncestor(void *one, void *other, int *level) { *level = one == other ? 0 : 50; return OK; }
int nvmlDeviceGetNvLinkState(void *gpu, unsigned link, int *active) {
    if (number(gpu) > 1 || !strcmp(mode(), "no nvlink")) return NVML_NOT_SUPPORTED;
    return *active = link < 12, link < 18 ? OK : NVML_INVALID;
}
int nvmlDeviceGetNvLinkRemotePciInfo_v2(void *gpu, unsigned link, struct pci *info) {
    (void)gpu;
    memset(info, 0, sizeof *info);
    info->bus = 0xc4 + link / 6;
    snprintf(info->address, sizeof info->address, "00000000:%02X:00.0", info->bus);
    return OK;
}
int nvmlDeviceGetNvLinkRemoteDeviceType(void *gpu, unsigned link, int *type) { (void)gpu, (void)link; *type = 2; return OK; }
int nvmlDeviceGetNvLinkVersion(void *gpu, unsigned link, unsigned *version) { (void)gpu, (void)link; *version = 4; return OK; }
int nvmlDeviceGetP2PStatus(void *one, void *other, int index, int *status) {
    (void)one, (void)other;
    *status = index == 2 && strcmp(mode(), "partitioned") ? 0 : 5;
    return OK;
}
int nvmlDeviceGetCurrPcieLinkGeneration(void *gpu, unsigned *generation) { (void)gpu; *generation = 4; return OK; }
int nvmlDeviceGetCurrPcieLinkWidth(void *gpu, unsigned *width) { (void)gpu; *width = 16; return OK; }
const char *nvmlErrorString(int error) { return error == 9 ? "Driver Not Loaded" : "Not Found"; }

__attribute__((destructor)) static void tell(void) {
    fprintf(stderr, "left: %d contexts, %d streams, %d events, %d buffers, pinned %d\n", contexts, streams, events, buffers, pinned != 0);
}
