/*
 * Sequential reads behind non-temporal prefetches, which ask for a line nearest the core only (x86: PREFETCHNTA,
 * aarch64: PRFM PLDL1STRM). There is no load that goes around the caches: on ordinary (write-back) memory MOVNTDQA is a
 * load like any other (Intel SDM volume 2, MOVNTDQA). Two threads of a Zen 5 read up to 7% more this way, or as much.
 */
#include "sum.h"

NUMAWISE_SUM(2048)

NUMAWISE_KERNEL(read_nt, .summary = "sum of 64-bit words behind non-temporal prefetches", .passes = NUMAWISE_PASSES,
                .buffers = 1, .element_bytes = 8, .bytes_per_element = 8);
