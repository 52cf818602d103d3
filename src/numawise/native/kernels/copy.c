/*
 * Sequential copy from the first buffer to the second. Counts the bytes read and the bytes stored, as STREAM does.
 * The build forbids turning this loop into memcpy, whose stores go around the cache above a size that differs from
 * one C library to the next.
 */
#include "kernel.h"

static uint64_t pass(void *first, void *second, size_t elements)
{
    const numawise_word *restrict from = first;
    numawise_word *restrict to = second;
    for (size_t i = 0; i < elements; i++) {
        to[i] = from[i];
    }
    return elements;
}

NUMAWISE_KERNEL(copy, .summary = "copy of 64-bit words", .pass = pass, .buffers = 2,
                .writes = NUMAWISE_WRITES_SECOND, .element_bytes = 8, .bytes_per_element = 16);
