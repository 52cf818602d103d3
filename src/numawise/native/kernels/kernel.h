/*
 * The one shape of a measuring kernel, and how one joins the table.
 *
 * To add a kernel: one file in this folder that ends in NUMAWISE_KERNEL(name, ...), and one test. The linker
 * collects the entries, so there is no list to edit. A kernel does one pass over its buffers and nothing else:
 * no allocation, no threads, no system calls. Which thread runs it, and where the pages are, is the caller's choice.
 */
#ifndef NUMAWISE_KERNEL_H
#define NUMAWISE_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#define NUMAWISE_API __attribute__((visibility("default")))

/* A 64-bit word at any address: buffers may begin anywhere, and hold any type. */
typedef uint64_t __attribute__((aligned(1), may_alias)) numawise_word;

/* Bits of `writes`. */
#define NUMAWISE_WRITES_FIRST 1u
#define NUMAWISE_WRITES_SECOND 2u

struct numawise_kernel {
    const char *name;
    const char *summary;
    /* One pass over `elements` elements of each buffer. The value returned keeps the work from being dropped. */
    uint64_t (*pass)(void *first, void *second, size_t elements);
    /* Fills the first buffer before the clock starts; NULL where the content does not matter. */
    void (*prepare)(void *first, size_t elements, uint64_t seed);
    uint32_t buffers;           /* 1 or 2 */
    uint32_t writes;            /* which buffers are overwritten */
    uint32_t element_bytes;     /* distance between elements in a buffer */
    uint32_t bytes_per_element; /* memory traffic counted per element and pass, all buffers together */
};

#define NUMAWISE_KERNEL(id, ...)                                                              \
    static const struct numawise_kernel id##_kernel = {.name = #id, __VA_ARGS__};             \
    static const struct numawise_kernel *const id##_entry                                     \
        __attribute__((used, section("numawise_table"))) = &id##_kernel

#endif
