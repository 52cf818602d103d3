/*
 * Sequential copy from the first buffer to the second. Counts the bytes read and the bytes stored, as STREAM does; the
 * read of each target line before it is owned is not counted (copy_nt has none).
 */
#include "kernel.h"

NUMAWISE_PASS({
    const numawise_word *from = buffers[0];
    numawise_word *to = buffers[1];
    size_t i = 0;
    for (; i + 8 <= elements; i += 8) {
        for (size_t v = 0; v < 8; v += LANES) {
            *(vec *)(to + i + v) = *(const vec *)(from + i + v);
        }
    }
    for (; i < elements; i++) {
        to[i] = from[i];
    }
    return carry + elements;
})

NUMAWISE_KERNEL(copy, .summary = "copy of 64-bit words", .passes = NUMAWISE_PASSES, .buffers = 2,
                .writes = NUMAWISE_WRITES_SECOND, .element_bytes = 8, .bytes_per_element = 16);
