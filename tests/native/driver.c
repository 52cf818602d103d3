/* Runs every kernel over odd sizes and addresses, in buffers of exactly that size: the sanitizers watch the edges. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel.h"

struct run {
    uint64_t passes, started_ns, ended_ns, result;
};

int numawise_abi(void);
size_t numawise_kernel_count(void);
const struct numawise_kernel *numawise_kernel_at(size_t index);
int numawise_run_kernel(const struct numawise_kernel *kernel, void *first, void *second, size_t bytes,
                        uint64_t passes, uint64_t least_ns, uint64_t seed, struct run *out);

static int failures;

static void expect(int holds, const char *what, const char *kernel, size_t bytes, size_t offset)
{
    if (!holds) {
        fprintf(stderr, "%s: %s, %zu bytes at offset %zu\n", kernel, what, bytes, offset);
        failures++;
    }
}

static void try_kernel(const struct numawise_kernel *kernel, size_t bytes, size_t offset)
{
    char *first = malloc(bytes + offset), *second = malloc(bytes + offset);
    struct run run;
    if (first == NULL || second == NULL) {
        abort();
    }
    memset(first, 1, bytes + offset);
    memset(second, 2, bytes + offset);
    const int done = numawise_run_kernel(kernel, first + offset, kernel->buffers == 2 ? second + offset : NULL, bytes,
                                         2, 0, bytes, &run);
    expect((done == 0) == (bytes >= kernel->element_bytes), "ran or refused wrongly", kernel->name, bytes, offset);
    if (done == 0) {
        expect(run.passes == 2, "two passes", kernel->name, bytes, offset);
        expect(run.ended_ns >= run.started_ns, "time goes forward", kernel->name, bytes, offset);
    }
    for (size_t i = 0; i < offset; i++) {
        expect(first[i] == 1 && second[i] == 2, "wrote before the buffer", kernel->name, bytes, offset);
    }
    free(first);
    free(second);
}

int main(void)
{
    static const size_t sizes[] = {0, 1, 7, 8, 9, 15, 16, 17, 63, 64, 65, 129, 1000, 4096, 4103, 65536};
    struct run run;
    const size_t count = numawise_kernel_count();
    for (size_t k = 0; k < count; k++) {
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            for (size_t offset = 0; offset < 9; offset++) {
                try_kernel(numawise_kernel_at(k), sizes[s], offset);
            }
        }
    }
    expect(count >= 4, "at least four kernels", "table", 0, 0);
    expect(numawise_kernel_at(count) == NULL, "nothing past the end", "table", 0, 0);
    expect(numawise_abi() > 0, "an ABI number", "table", 0, 0);
    char word[8] = {0};
    expect(numawise_run_kernel(numawise_kernel_at(0), word, NULL, 8, 0, 0, 0, &run) == -1, "no pass", "table", 8, 0);
    printf("%zu kernels\n", count);
    return failures != 0;
}
