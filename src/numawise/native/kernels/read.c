/*
 * Sequential reads: the bandwidth that weights can be streamed with. There is no non-temporal variant: on ordinary
 * (write-back) memory the non-temporal load is the ordinary one (Intel SDM, MOVNTDQA; AMD's manual says the same).
 *
 * Two streams, one line of each at a time: a single running sum over one stream leaves a core short of loads under
 * way and fell behind NumPy's own loops (28 against 37 GB/s on one EPYC thread; four and eight streams fell again).
 */
#include "kernel.h"

NUMAWISE_PASS({
    enum { STREAMS = 2, LINE_VECTORS = NUMAWISE_LINE / 8 / LANES };
    const numawise_word *words = buffers[0];
    const size_t length = elements / STREAMS / 8 * 8;
    vec sums[STREAMS][LINE_VECTORS] = {{{0}}};
    uint64_t total = carry;
    for (size_t i = 0; i < length; i += 8) {
        for (size_t stream = 0; stream < STREAMS; stream++) {
            for (size_t v = 0; v < LINE_VECTORS; v++) {
                sums[stream][v] += *(const vec *)(words + stream * length + i + v * LANES);
            }
        }
    }
    for (size_t stream = 0; stream < STREAMS; stream++) {
        for (size_t v = 0; v < LINE_VECTORS; v++) {
            for (size_t lane = 0; lane < LANES; lane++) {
                total += sums[stream][v][lane];
            }
        }
    }
    for (size_t i = STREAMS * length; i < elements; i++) {
        total += words[i];
    }
    return total;
})

NUMAWISE_KERNEL(read, .summary = "sum of 64-bit words", .passes = NUMAWISE_PASSES, .buffers = 1, .element_bytes = 8,
                .bytes_per_element = 8);
