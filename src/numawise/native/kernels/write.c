/* Sequential writes. Ordinary stores: the CPU also reads each line before it owns it, which is not counted. */
#include "kernel.h"

/* The letters "numawise". Not one byte repeated, so that no compiler turns the loop into memset. */
static const uint64_t PATTERN = 0x6e756d6177697365u;

static uint64_t pass(void *first, void *second, size_t elements)
{
    numawise_word *words = first;
    (void)second;
    for (size_t i = 0; i < elements; i++) {
        words[i] = PATTERN;
    }
    return elements;
}

NUMAWISE_KERNEL(write, .summary = "store of 64-bit words", .pass = pass, .buffers = 1,
                .writes = NUMAWISE_WRITES_FIRST, .element_bytes = 8, .bytes_per_element = 8);
