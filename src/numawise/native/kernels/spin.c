/* No memory at all: keeps a core awake and its clock up while others are measured. An element is one step. */
#include "kernel.h"

static uint64_t pass(void *const *buffers, size_t elements, uint64_t carry)
{
    (void)buffers;
    for (size_t step = 0; step < elements; step++) {
        carry++;
        __asm__ volatile("" : "+r"(carry)); /* or the compiler would add them all at once */
    }
    return carry;
}

NUMAWISE_KERNEL(spin, .summary = "steps of an empty loop, no memory", .passes = {[NUMAWISE_PORTABLE] = pass},
                .element_bytes = 8);
