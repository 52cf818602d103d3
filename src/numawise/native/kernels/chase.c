/*
 * Dependent loads: the latency of memory. The first word of every 64-byte line holds the address of the next line; the
 * lines form one random cycle, so neither prefetcher nor out-of-order execution can run ahead. Addresses and not
 * offsets: on many CPUs a load from a sum of two registers takes a cycle more, a fifth of the first cache's latency.
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

/* Lines between two looks at `stop`: some milliseconds. */
enum { PATIENCE = 1 << 16 };

static int given_up(size_t line, const atomic_int *stop)
{
    return line % PATIENCE == 0 && stop != NULL && atomic_load_explicit(stop, memory_order_relaxed);
}

/* Sattolo's shuffle (1986): of all permutations exactly those that are one cycle through every line. */
static void prepare(void *const *buffers, size_t elements, uint64_t seed, const atomic_int *stop)
{
    void *first = buffers[0];
    uint64_t state = seed ^ 0x9E3779B97F4A7C15u;
    state = state ? state : 1; /* the one state that xorshift never leaves */
    for (size_t line = 0; line < elements && !given_up(line, stop); line++) {
        *link_of(first, line) = (uintptr_t)link_of(first, line);
    }
    for (size_t line = elements - 1; line > 0 && !given_up(line, stop); line--) {
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
    const uintptr_t base = (uintptr_t)buffers[0];
    uintptr_t at = base + carry;
    for (size_t step = 0; step < elements; step++) {
        at = *(const numawise_word *)at;
    }
    return at - base;
}

NUMAWISE_KERNEL(chase, .summary = "dependent loads around a random ring of 64-byte lines",
                .passes = {[NUMAWISE_PORTABLE] = pass}, .prepare = prepare, .buffers = 1,
                .writes = NUMAWISE_WRITES_FIRST, .element_bytes = NUMAWISE_LINE,
                .bytes_per_element = NUMAWISE_LINE, .whole = 1);
