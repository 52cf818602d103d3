/*
 * Sequential reads: the bandwidth that weights can be streamed with.
 *
 * Two streams, two lines of each at a time: over one stream a core is left short of loads under way and fell behind
 * NumPy's own loops (28 against 37 GB/s on one EPYC thread). Four streams, and pages in turn, gave nothing more.
 */
#include "sum.h"

NUMAWISE_SUM(0)

NUMAWISE_KERNEL(read, .summary = "sum of 64-bit words", .passes = NUMAWISE_PASSES, .buffers = 1, .element_bytes = 8,
                .bytes_per_element = 8);
