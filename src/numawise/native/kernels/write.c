/* Sequential writes. Ordinary stores: the CPU also reads each line before it owns it, which is not counted. */
#include "kernel.h"

/* The letters "numawise". Not one byte repeated, so that no compiler turns the loop into memset. */
static const uint64_t PATTERN = 0x6e756d6177697365u;

NUMAWISE_PASS({
    numawise_word *words = buffers[0];
    const vec pattern = (vec){0} + PATTERN;
    size_t i = 0;
    for (; i + 8 <= elements; i += 8) {
        for (size_t v = 0; v < 8; v += LANES) {
            *(vec *)(words + i + v) = pattern;
        }
    }
    for (; i < elements; i++) {
        words[i] = PATTERN;
    }
    return carry + elements;
})

NUMAWISE_KERNEL(write, .summary = "store of 64-bit words", .passes = NUMAWISE_PASSES, .buffers = 1,
                .writes = NUMAWISE_WRITES_FIRST, .element_bytes = 8, .bytes_per_element = 8);
