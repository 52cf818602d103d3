/*
 * The one shape of a measuring kernel, and how one joins the table.
 *
 * To add a kernel: one file in this folder that writes its loop once, in NUMAWISE_PASS({ ... }), and ends in
 * NUMAWISE_KERNEL(name, .passes = NUMAWISE_PASSES, ...); and one test of what it computes (the C driver of the tests
 * runs every kernel of the table over odd sizes, addresses and instruction sets by itself). The linker collects the
 * entries, so there is no list to edit. A kernel does one pass over its buffers and nothing else: no allocation, no
 * threads, no system calls. Which thread runs it, and where the pages are, is the caller's choice (engine/).
 *
 * NUMAWISE_PASS compiles the loop once for each instruction set of the architecture (vector.h). What the machine has
 * is asked at run time (engine/isa.c), so any C11 compiler builds a library that runs anywhere.
 */
#ifndef NUMAWISE_KERNEL_H
#define NUMAWISE_KERNEL_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define NUMAWISE_API __attribute__((visibility("default")))

enum { NUMAWISE_LINE = 64, NUMAWISE_BUFFERS = 3 };

/* In rising order: a kernel that has no loop for one set runs that of the nearest set below. */
enum numawise_isa { NUMAWISE_PORTABLE, NUMAWISE_NEON, NUMAWISE_AVX2, NUMAWISE_AVX512, NUMAWISE_ISAS };

/* A 64-bit word, and a double, at any address: buffers may begin anywhere, and hold any type. */
typedef uint64_t __attribute__((aligned(1), may_alias)) numawise_word;
typedef double __attribute__((aligned(1), may_alias)) numawise_real;

/* Bits of `writes`. */
#define NUMAWISE_WRITES_FIRST 1u
#define NUMAWISE_WRITES_SECOND 2u
#define NUMAWISE_WRITES_THIRD 4u

/*
 * One pass over `elements` elements of each buffer. A long pass is made in slices so that it can be stopped: `carry`
 * is what the slice before returned, and 0 at first. The value returned keeps the work from being dropped.
 */
typedef uint64_t numawise_pass(void *const *buffers, size_t elements, uint64_t carry);

struct numawise_kernel {
    const char *name;
    const char *summary;
    numawise_pass *passes[NUMAWISE_ISAS]; /* NULL where there is none */
    /* Fills the first buffer before the clock starts, and gives up once *stop is set (NULL: never); NULL where the
       content does not matter. */
    void (*prepare)(void *const *buffers, size_t elements, uint64_t seed, const atomic_int *stop);
    uint32_t buffers;           /* 0 to 3; one that is overwritten comes last */
    uint32_t writes;            /* which buffers are overwritten */
    uint32_t element_bytes;     /* distance between elements in a buffer */
    uint32_t bytes_per_element; /* memory traffic counted per element and pass, all buffers together */
    uint32_t whole;             /* every slice is given the buffers' beginning: `carry` says where it goes on */
};

#define NUMAWISE_KERNEL(id, ...)                                                              \
    static const struct numawise_kernel id##_kernel = {.name = #id, __VA_ARGS__};             \
    static const struct numawise_kernel *const id##_entry                                     \
        __attribute__((used, section("numawise_table"))) = &id##_kernel

#include "vector.h"

#endif
