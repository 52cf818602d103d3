/*
 * Triad with stores around the caches: no target line is read first, and what is counted is all there is.
 *
 * Two lines at a time: 1 to 3% more than one or four on a Zen 5. Two streams far apart (six at once), software prefetch,
 * and blocks or pages in turn gave no more or less: two of its threads are at what its memory gives.
 */
#include "kernel.h"

#ifdef NUMAWISE_HAS_STREAM
NUMAWISE_INLINE void stream_real(void *at, double value)
{
    union {
        double real;
        uint64_t word;
    } bits = {.real = value};
    numawise_stream_word(at, bits.word);
}

NUMAWISE_PASS({
    enum { LINES = 2, LINE_WORDS = NUMAWISE_LINE / 8 };
    const numawise_real *first = buffers[0];
    const numawise_real *second = buffers[1];
    numawise_real *third = buffers[2];
    size_t i = 0;
    for (; i < elements && (uintptr_t)(third + i) % NUMAWISE_LINE != 0; i++) {
        stream_real(third + i, first[i] + 3.0 * second[i]);
    }
    for (; i + LINES * LINE_WORDS <= elements; i += LINES * LINE_WORDS) {
        vec lines[LINES][LINE_WORDS / LANES];
        for (size_t line = 0; line < LINES; line++) {
            for (size_t v = 0; v < LINE_WORDS / LANES; v++) {
                const size_t at = i + line * LINE_WORDS + v * LANES;
                lines[line][v] = (vec)(*(const reals *)(first + at) + 3.0 * *(const reals *)(second + at));
            }
        }
        for (size_t line = 0; line < LINES; line++) {
            NUMAWISE_STREAM_LINE(third + i + line * LINE_WORDS, lines[line]);
        }
    }
    for (; i < elements; i++) {
        stream_real(third + i, first[i] + 3.0 * second[i]);
    }
    numawise_stream_fence();
    return carry + elements;
})

NUMAWISE_KERNEL(triad_nt, .summary = "third = first + 3 * second, of doubles, non-temporal stores",
                .passes = NUMAWISE_PASSES, .buffers = 3, .writes = NUMAWISE_WRITES_THIRD, .element_bytes = 8,
                .bytes_per_element = 24);
#endif
