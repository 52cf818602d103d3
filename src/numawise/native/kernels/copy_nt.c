/*
 * Copy with stores around the caches: no target line is read first, and what is counted is all there is.
 *
 * Two streams far apart, four lines of each at a time: in trials on the same pages one thread of a Zen 5 copied 4 to 13%
 * more than with one stream, two threads 1 to 3% more (beside other programs: docs/benchmarks.md). Software prefetch,
 * blocks copied through the first cache, pages in turn as glibc's memcpy has them, and `rep movsb` gave no more.
 */
#include "kernel.h"

#ifdef NUMAWISE_HAS_STREAM
NUMAWISE_PASS({
    enum { STREAMS = 2, LINES = 4, LINE_WORDS = NUMAWISE_LINE / 8, TURN = LINES * LINE_WORDS };
    const numawise_word *from = buffers[0];
    numawise_word *to = buffers[1];
    size_t i = 0;
    for (; i < elements && (uintptr_t)(to + i) % NUMAWISE_LINE != 0; i++) {
        numawise_stream_word(to + i, from[i]);
    }
    const size_t length = (elements - i) / STREAMS / TURN * TURN;
    for (const size_t end = i + length; i < end; i += TURN) {
        for (size_t stream = 0; stream < STREAMS; stream++) {
            const numawise_word *source = from + i + stream * length;
            numawise_word *target = to + i + stream * length;
            vec lines[LINES][LINE_WORDS / LANES];
            for (size_t line = 0; line < LINES; line++) {
                for (size_t v = 0; v < LINE_WORDS / LANES; v++) {
                    lines[line][v] = *(const vec *)(source + line * LINE_WORDS + v * LANES);
                }
            }
            for (size_t line = 0; line < LINES; line++) {
                NUMAWISE_STREAM_LINE(target + line * LINE_WORDS, lines[line]);
            }
        }
    }
    for (i += (STREAMS - 1) * length; i < elements; i++) {
        numawise_stream_word(to + i, from[i]);
    }
    numawise_stream_fence();
    return carry + elements;
})

NUMAWISE_KERNEL(copy_nt, .summary = "copy of 64-bit words, non-temporal stores", .passes = NUMAWISE_PASSES,
                .buffers = 2, .writes = NUMAWISE_WRITES_SECOND, .element_bytes = 8, .bytes_per_element = 16);
#endif
