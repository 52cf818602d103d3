/* Sequential writes around the caches: no line is read before it is stored, and what is counted is all there is. */
#include "kernel.h"

#ifdef NUMAWISE_HAS_STREAM
static const uint64_t PATTERN = 0x6e756d6177697365u;

NUMAWISE_PASS({
    numawise_word *words = buffers[0];
    vec pattern[8 / LANES];
    size_t i = 0;
    for (size_t v = 0; v < 8 / LANES; v++) {
        pattern[v] = (vec){0} + PATTERN;
    }
    for (; i < elements && (uintptr_t)(words + i) % NUMAWISE_LINE != 0; i++) {
        numawise_stream_word(words + i, PATTERN);
    }
    for (; i + 8 <= elements; i += 8) {
        NUMAWISE_STREAM_LINE(words + i, pattern);
    }
    for (; i < elements; i++) {
        numawise_stream_word(words + i, PATTERN);
    }
    numawise_stream_fence();
    return carry + elements;
})

NUMAWISE_KERNEL(write_nt, .summary = "non-temporal store of 64-bit words", .passes = NUMAWISE_PASSES, .buffers = 1,
                .writes = NUMAWISE_WRITES_FIRST, .element_bytes = 8, .bytes_per_element = 8);
#endif
