/*
 * Dependent loads: the latency of memory. The first word of every 64-byte line holds the offset, in bytes, of the
 * next line; the lines form one random cycle, so neither prefetcher nor out-of-order execution can run ahead.
 * Seconds divided by elements is the time of one load, including the TLB miss that the page size brings.
 */
#include "kernel.h"

static numawise_word *link_of(void *base, size_t line)
{
    return (numawise_word *)(void *)((char *)base + line * NUMAWISE_LINE);
}

/* xorshift64* (Vigna, 2016): enough randomness to defeat a prefetcher, and the same ring for the same seed. */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545F4914F6CDD1Du;
}

/* Sattolo's shuffle (1986): of all permutations exactly those that are one cycle through every line. */
static void prepare(void *const *buffers, size_t elements, uint64_t seed)
{
    void *first = buffers[0];
    uint64_t state = seed ^ 0x9E3779B97F4A7C15u;
    state = state ? state : 1; /* the one state that xorshift never leaves */
    for (size_t line = 0; line < elements; line++) {
        *link_of(first, line) = (uint64_t)line * NUMAWISE_LINE;
    }
    for (size_t line = elements - 1; line > 0; line--) {
        numawise_word *mine = link_of(first, line);
        numawise_word *other = link_of(first, (size_t)(next_random(&state) % line));
        const uint64_t kept = *mine;
        *mine = *other;
        *other = kept;
    }
}

/* Returns the offset where the walk ended: 0 again after a whole pass, which is one full turn. */
static uint64_t pass(void *const *buffers, size_t elements, uint64_t carry)
{
    const char *base = buffers[0];
    uint64_t offset = carry;
    for (size_t step = 0; step < elements; step++) {
        offset = *(const numawise_word *)(const void *)(base + offset);
    }
    return offset;
}

NUMAWISE_KERNEL(chase, .summary = "dependent loads around a random ring of 64-byte lines",
                .passes = {[NUMAWISE_PORTABLE] = pass}, .prepare = prepare, .buffers = 1,
                .writes = NUMAWISE_WRITES_FIRST, .element_bytes = NUMAWISE_LINE,
                .bytes_per_element = NUMAWISE_LINE, .whole = 1);
