/* Sequential reads: the bandwidth that weights can be streamed with. */
#include "kernel.h"

static uint64_t pass(void *first, void *second, size_t elements)
{
    const numawise_word *words = first;
    uint64_t sum = 0;
    (void)second;
    for (size_t i = 0; i < elements; i++) {
        sum += words[i];
    }
    return sum;
}

NUMAWISE_KERNEL(read, .summary = "sum of 64-bit words", .pass = pass, .buffers = 1, .element_bytes = 8,
                .bytes_per_element = 8);
