/* The table of kernels, and the loop that times one. The binding in bindings.py mirrors what is exported here. */
#define _POSIX_C_SOURCE 200809L
#include <time.h>

#include "kernel.h"

/* Raised whenever a struct or a function here changes, so that an old library is refused and not misread. */
enum { ABI = 2 };

/* What one timed run did; times are CLOCK_MONOTONIC, so that runs of several threads can be laid side by side. */
struct numawise_run {
    uint64_t passes;
    uint64_t started_ns;
    uint64_t ended_ns;
    uint64_t result; /* of the last pass */
};

/* The linker gives the bounds of a section whose name is a C identifier. */
extern const struct numawise_kernel *const __start_numawise_table[] __attribute__((visibility("hidden")));
extern const struct numawise_kernel *const __stop_numawise_table[] __attribute__((visibility("hidden")));

NUMAWISE_API int numawise_abi(void);
NUMAWISE_API size_t numawise_kernel_count(void);
NUMAWISE_API const struct numawise_kernel *numawise_kernel_at(size_t index);
NUMAWISE_API int numawise_run_kernel(const struct numawise_kernel *kernel, void *first, void *second, size_t bytes,
                                     uint64_t passes, uint64_t least_ns, uint64_t seed, struct numawise_run *out);

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int numawise_abi(void)
{
    return ABI;
}

size_t numawise_kernel_count(void)
{
    return (size_t)(__stop_numawise_table - __start_numawise_table);
}

const struct numawise_kernel *numawise_kernel_at(size_t index)
{
    return index < numawise_kernel_count() ? __start_numawise_table[index] : NULL;
}

/*
 * Runs whole passes until there were at least `passes` and at least `least_ns` went by. A tail of `bytes` too short
 * for an element is not touched. Returns 0, or -1 when there is nothing to run (no pass, not one element).
 */
int numawise_run_kernel(const struct numawise_kernel *kernel, void *first, void *second, size_t bytes,
                        uint64_t passes, uint64_t least_ns, uint64_t seed, struct numawise_run *out)
{
    const size_t elements = bytes / kernel->element_bytes;
    if (elements == 0 || passes == 0) {
        return -1;
    }
    if (kernel->prepare != NULL) {
        kernel->prepare(first, elements, seed);
    }
    out->passes = 0;
    out->started_ns = now_ns();
    do {
        out->result = kernel->pass(first, second, elements);
        out->passes++;
        out->ended_ns = now_ns();
    } while (out->passes < passes || out->ended_ns - out->started_ns < least_ns);
    return 0;
}
