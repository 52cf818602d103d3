/*
 * Two reads to one write: the first buffer is added to the second in place. A line is read because it is needed, so
 * ordinary stores move nothing uncounted.
 */
#include "kernel.h"

NUMAWISE_PASS({
    const numawise_word *first = buffers[0];
    numawise_word *second = buffers[1];
    size_t i = 0;
    for (; i + 8 <= elements; i += 8) {
        for (size_t v = 0; v < 8; v += LANES) {
            *(vec *)(second + i + v) += *(const vec *)(first + i + v);
        }
    }
    for (; i < elements; i++) {
        second[i] += first[i];
    }
    return carry + elements;
})

NUMAWISE_KERNEL(mix, .summary = "second += first, of 64-bit words: two reads to one write",
                .passes = NUMAWISE_PASSES, .buffers = 2, .writes = NUMAWISE_WRITES_SECOND, .element_bytes = 8,
                .bytes_per_element = 24);
