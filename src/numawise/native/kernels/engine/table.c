/* The table of kernels, and the loop that times one. The bindings in library.py mirror what is exported here. */
#include "engine.h"

/* Raised whenever a struct or a function of the library changes, so that an old one is refused and not misread. */
enum { ABI = 4 };

/* Bytes of each buffer between two looks at `stop`: some milliseconds; a chase makes as many lines in 30 and more. */
enum { SLICE = 64 << 20, WHOLE_SLICE = 1 << 24 };

/* Steps of a pass over no buffer: about 20 microseconds. */
enum { NO_BUFFER_STEPS = 1 << 16 };

/* The linker gives the bounds of a section whose name is a C identifier. */
extern const struct numawise_kernel *const __start_numawise_table[] __attribute__((visibility("hidden")));
extern const struct numawise_kernel *const __stop_numawise_table[] __attribute__((visibility("hidden")));

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

size_t numawise_elements(const struct numawise_kernel *kernel, size_t bytes)
{
    return kernel->buffers == 0 ? NO_BUFFER_STEPS : bytes / kernel->element_bytes;
}

uint64_t numawise_one_pass(const struct numawise_kernel *kernel, numawise_pass *pass, void *const *buffers,
                           size_t elements, const atomic_int *stop)
{
    const size_t slice = (kernel->whole ? WHOLE_SLICE : SLICE) / kernel->element_bytes;
    uint64_t carry = 0;
    for (size_t done = 0; done < elements; done += slice) {
        void *from[NUMAWISE_BUFFERS];
        if (stop != NULL && done != 0 && atomic_load_explicit(stop, memory_order_relaxed)) {
            break;
        }
        for (uint32_t i = 0; i < NUMAWISE_BUFFERS; i++) {
            from[i] = i >= kernel->buffers ? NULL
                                           : (char *)buffers[i] + (kernel->whole ? 0 : done * kernel->element_bytes);
        }
        carry = pass(from, elements - done < slice ? elements - done : slice, carry);
    }
    return carry;
}

/*
 * Runs whole passes until there were at least `passes` and at least `least_ns` went by. A tail of `bytes` too short
 * for an element is not touched. Returns 0, or -1 when there is nothing to run (no pass, not one element, no such set).
 */
int numawise_run_kernel(const struct numawise_kernel *kernel, uint32_t isa, void *const *buffers, size_t bytes,
                        uint64_t passes, uint64_t least_ns, uint64_t seed, struct numawise_run *out)
{
    numawise_pass *pass = numawise_pass_for(kernel, isa);
    const size_t elements = numawise_elements(kernel, bytes);
    if (elements == 0 || passes == 0 || pass == NULL) {
        return -1;
    }
    if (kernel->prepare != NULL) {
        kernel->prepare(buffers, elements, seed, NULL);
    }
    out->passes = 0;
    out->started_ns = numawise_now_ns();
    do {
        out->result = numawise_one_pass(kernel, pass, buffers, elements, NULL);
        out->passes++;
        out->ended_ns = numawise_now_ns();
    } while (out->passes < passes || out->ended_ns - out->started_ns < least_ns);
    return 0;
}
