/*
 * The sum of 64-bit words over two streams, the loop of `read` and `read_nt`: `ahead` is how many bytes before a line
 * is due it is asked for without a place in the outer caches, 0 for not at all. It may ask past the buffers' end, which
 * never faults.
 */
#ifndef NUMAWISE_SUM_H
#define NUMAWISE_SUM_H

#include "kernel.h"

#define NUMAWISE_SUM(ahead)                                                                   \
    NUMAWISE_PASS({                                                                           \
        enum { STREAMS = 2, LINES = 2, LINE_WORDS = NUMAWISE_LINE / 8, TURN = LINES * LINE_WORDS }; \
        const numawise_word *words = buffers[0];                                              \
        const size_t length = elements / STREAMS / TURN * TURN;                               \
        vec sums[STREAMS][LINE_WORDS / LANES] = {{{0}}};                                      \
        uint64_t total = carry;                                                               \
        for (size_t i = 0; i < length; i += TURN) {                                           \
            for (size_t stream = 0; stream < STREAMS; stream++) {                             \
                for (size_t at = 0; at < TURN; at += LINE_WORDS) {                            \
                    const numawise_word *line = words + stream * length + i + at;             \
                    if (ahead) {                                                              \
                        __builtin_prefetch((const void *)((uintptr_t)line + ahead), 0, 0);    \
                    }                                                                         \
                    for (size_t v = 0; v < LINE_WORDS / LANES; v++) {                         \
                        sums[stream][v] += *(const vec *)(line + v * LANES);                  \
                    }                                                                         \
                }                                                                             \
            }                                                                                 \
        }                                                                                     \
        for (size_t stream = 0; stream < STREAMS; stream++) {                                 \
            for (size_t v = 0; v < LINE_WORDS / LANES; v++) {                                 \
                for (size_t lane = 0; lane < LANES; lane++) {                                 \
                    total += sums[stream][v][lane];                                           \
                }                                                                             \
            }                                                                                 \
        }                                                                                     \
        for (size_t i = STREAMS * length; i < elements; i++) {                                \
            total += words[i];                                                                \
        }                                                                                     \
        return total;                                                                         \
    })

#endif
