/*
 * STREAM's triad on doubles: third = first + 3 * second. Counts two reads and one store, as STREAM does; the read of
 * each target line before it is owned is not counted (triad_nt has none).
 */
#include "kernel.h"

NUMAWISE_PASS({
    const numawise_real *first = buffers[0];
    const numawise_real *second = buffers[1];
    numawise_real *third = buffers[2];
    size_t i = 0;
    for (; i + 8 <= elements; i += 8) {
        for (size_t v = 0; v < 8; v += LANES) {
            *(reals *)(third + i + v) =
                *(const reals *)(first + i + v) + 3.0 * *(const reals *)(second + i + v);
        }
    }
    for (; i < elements; i++) {
        third[i] = first[i] + 3.0 * second[i];
    }
    return carry + elements;
})

NUMAWISE_KERNEL(triad, .summary = "third = first + 3 * second, of doubles", .passes = NUMAWISE_PASSES, .buffers = 3,
                .writes = NUMAWISE_WRITES_THIRD, .element_bytes = 8, .bytes_per_element = 24);
