/*
 * Sequential reads: the bandwidth that weights can be streamed with.
 *
 * Two streams, one line of each at a time: a single running sum over one stream leaves a core short of loads under
 * way and fell behind NumPy's own loops (28 against 37 GB/s on one EPYC thread; four and eight streams fell again).
 */
#include "kernel.h"

enum { STREAMS = 2, LINE_WORDS = 8 };

static uint64_t pass(void *first, void *second, size_t elements)
{
    const numawise_word *words = first;
    const size_t length = elements / STREAMS / LINE_WORDS * LINE_WORDS;
    uint64_t sums[STREAMS][LINE_WORDS] = {{0}};
    uint64_t total = 0;
    (void)second;
    for (size_t i = 0; i < length; i += LINE_WORDS) {
        for (size_t stream = 0; stream < STREAMS; stream++) {
            for (size_t word = 0; word < LINE_WORDS; word++) {
                sums[stream][word] += words[stream * length + i + word];
            }
        }
    }
    for (size_t stream = 0; stream < STREAMS; stream++) {
        for (size_t word = 0; word < LINE_WORDS; word++) {
            total += sums[stream][word];
        }
    }
    for (size_t i = STREAMS * length; i < elements; i++) {
        total += words[i];
    }
    return total;
}

NUMAWISE_KERNEL(read, .summary = "sum of 64-bit words", .pass = pass, .buffers = 1, .element_bytes = 8,
                .bytes_per_element = 8);
