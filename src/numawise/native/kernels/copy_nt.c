/* Copy with stores around the caches: no target line is read first, and what is counted is all there is. */
#include "kernel.h"

#ifdef NUMAWISE_HAS_STREAM
NUMAWISE_PASS({
    const numawise_word *from = buffers[0];
    numawise_word *to = buffers[1];
    size_t i = 0;
    for (; i < elements && (uintptr_t)(to + i) % NUMAWISE_LINE != 0; i++) {
        numawise_stream_word(to + i, from[i]);
    }
    for (; i + 8 <= elements; i += 8) {
        vec line[8 / LANES];
        for (size_t v = 0; v < 8 / LANES; v++) {
            line[v] = *(const vec *)(from + i + v * LANES);
        }
        NUMAWISE_STREAM_LINE(to + i, line);
    }
    for (; i < elements; i++) {
        numawise_stream_word(to + i, from[i]);
    }
    numawise_stream_fence();
    return carry + elements;
})

NUMAWISE_KERNEL(copy_nt, .summary = "copy of 64-bit words, non-temporal stores", .passes = NUMAWISE_PASSES,
                .buffers = 2, .writes = NUMAWISE_WRITES_SECOND, .element_bytes = 8, .bytes_per_element = 16);
#endif
