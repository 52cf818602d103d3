/*
 * Runs every kernel with every instruction set over odd sizes and addresses, in buffers of exactly that size, and teams
 * of threads that end in every way: the sanitizers watch the edges and the threads. With the argument "threads" only
 * the latter.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/api.h"

enum { CPU_NOT_THERE = 60000, LONGEST_WAIT_S = 100 };

static int failures;

static void expect(int holds, const char *what, const char *kernel, size_t bytes, size_t offset)
{
    if (!holds) {
        fprintf(stderr, "%s: %s, %zu bytes at offset %zu\n", kernel, what, bytes, offset);
        failures++;
    }
}

static char *buffer(size_t bytes, int fill)
{
    char *made = malloc(bytes != 0 ? bytes : 1);
    if (made == NULL) {
        abort();
    }
    memset(made, fill, bytes);
    return made;
}

static void try_kernel(const struct numawise_kernel *kernel, uint32_t isa, size_t bytes, size_t offset)
{
    char *memory[NUMAWISE_BUFFERS];
    void *buffers[NUMAWISE_BUFFERS];
    struct numawise_run run;
    for (size_t i = 0; i < NUMAWISE_BUFFERS; i++) {
        /* Each lies differently against a line. */
        memory[i] = buffer(bytes + offset * (i + 1), (int)i);
        buffers[i] = i < kernel->buffers ? memory[i] + offset * (i + 1) : NULL;
    }
    const int done = numawise_run_kernel(kernel, isa, buffers, bytes, 2, 0, bytes, &run);
    const int fits = kernel->buffers == 0 || bytes >= kernel->element_bytes;
    expect((done == 0) == fits, "ran or refused wrongly", kernel->name, bytes, offset);
    if (done == 0) {
        expect(run.passes == 2, "two passes", kernel->name, bytes, offset);
        expect(run.ended_ns >= run.started_ns, "time goes forward", kernel->name, bytes, offset);
    }
    for (size_t i = 0; i < NUMAWISE_BUFFERS; i++) {
        for (size_t at = 0; at < offset * (i + 1); at++) {
            expect(memory[i][at] == (char)i, "wrote before the buffer", kernel->name, bytes, offset);
        }
        free(memory[i]);
    }
}

static void try_kernels(size_t count)
{
    static const size_t sizes[] = {0,   1,   7,   8,   9,   15,  16,   17,   63,   64,   65,
                                   129, 256, 520, 576, 777, 1000, 1088, 4096, 4103, 65536};
    struct numawise_run run;
    for (size_t k = 0; k < count; k++) {
        for (uint32_t isa = 0; isa < NUMAWISE_ISAS; isa++) {
            for (size_t s = 0; s < sizeof sizes / sizeof *sizes && numawise_isa_here(isa); s++) {
                for (size_t offset = 0; offset < 9; offset++) {
                    try_kernel(numawise_kernel_at(k), isa, sizes[s], offset);
                }
            }
        }
    }
    expect(numawise_kernel_at(count) == NULL, "nothing past the end", "table", 0, 0);
    expect(numawise_isa_name(NUMAWISE_ISAS) == NULL, "no set past the last", "table", 0, 0);
    expect(numawise_isa_here(NUMAWISE_PORTABLE), "the portable set", "table", 0, 0);
    expect(!numawise_isa_here(NUMAWISE_ISAS), "no other set", "table", 0, 0);
    expect(numawise_abi() > 0, "an ABI number", "table", 0, 0);
    char word[64] = {0};
    void *buffers[NUMAWISE_BUFFERS] = {word};
    expect(numawise_run_kernel(numawise_kernel_at(0), 0, buffers, 64, 0, 0, 0, &run) == -1, "no pass", "table", 64, 0);
    expect(numawise_run_kernel(numawise_kernel_at(0), NUMAWISE_ISAS, buffers, 64, 1, 0, 0, &run) == -1, "no such set",
           "table", 64, 0);
}

static struct numawise_task task(const struct numawise_kernel *kernel, size_t bytes, int background)
{
    struct numawise_task made = {.kernel = kernel, .bytes = kernel->buffers ? bytes : 0, .cpu = -1, .background = background};
    for (uint32_t i = 0; i < kernel->buffers; i++) {
        made.buffers[i] = buffer(bytes, 0);
    }
    return made;
}

static void release(struct numawise_task *tasks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (uint32_t b = 0; b < tasks[i].kernel->buffers; b++) {
            free(tasks[i].buffers[b]);
        }
    }
}

/* Two measured threads and two in the background, one of them slowed down; run to the end, or stopped under way. */
static void try_team(const struct numawise_kernel *kernel, int to_the_end)
{
    enum { TASKS = 4, BYTES = 70000, REPEATS = 70 };
    struct numawise_task tasks[TASKS] = {task(kernel, BYTES, 0), task(kernel, BYTES, 0), task(kernel, BYTES, 1),
                                         task(kernel, BYTES, 1)};
    struct numawise_plan plan = {.repeats = to_the_end ? REPEATS : UINT64_MAX, .warmups = 1};
    struct numawise_outcome outcome = {0};
    void *team = NULL;
    tasks[3].pause = 1000;
    const int started = numawise_team_start(tasks, TASKS, &plan, &team);
    expect(started == 0 && team != NULL, "started", kernel->name, BYTES, 0);
    if (team != NULL) {
        int waits = 0;
        while (!numawise_team_wait(team, 10000000) && to_the_end && waits < LONGEST_WAIT_S * 100) {
            waits++;
        }
        numawise_team_stop(team, &outcome);
        expect(outcome.complete == to_the_end, "ended as it should", kernel->name, BYTES, 0);
        for (size_t i = 0; i < 2 && to_the_end; i++) {
            expect(tasks[i].repeats == REPEATS, "all repeats", kernel->name, BYTES, i);
            for (size_t r = 0; r < tasks[i].repeats; r++) {
                expect(tasks[i].stamps[r].started_ns <= tasks[i].stamps[r].ended_ns, "stamps", kernel->name, BYTES, i);
            }
        }
        numawise_team_free(team);
    }
    release(tasks, TASKS);
}

static void try_refusals(const struct numawise_kernel *kernel)
{
    struct numawise_task tasks[2] = {task(kernel, 4096, 0), task(kernel, 4096, 0)};
    struct numawise_plan plan = {.repeats = 1};
    void *team = NULL;
    tasks[1].cpu = CPU_NOT_THERE;
    expect(numawise_team_start(tasks, 2, &plan, &team) == EINVAL, "no such CPU", kernel->name, 4096, 0);
    expect(team == NULL && tasks[1].failed == EINVAL && tasks[1].pinning, "who failed", kernel->name, 4096, 0);
    expect(tasks[0].failed == 0, "who did not", kernel->name, 4096, 0);
    plan.isa = NUMAWISE_ISAS;
    expect(numawise_team_start(tasks, 1, &plan, &team) == EINVAL, "no such set", kernel->name, 4096, 0);
    expect(numawise_team_start(tasks, 0, &plan, &team) == EINVAL, "no task", kernel->name, 4096, 0);
    release(tasks, 2);
}

static void try_pingpong(void)
{
    uint64_t samples[3] = {0};
    int32_t failed = 0;
    uint64_t worked = 0, ran = 0;
    void *table = NULL;
    expect(numawise_pingpong_start(-1, CPU_NOT_THERE, 10, 3, samples, &failed, &table) == EINVAL, "refused", "ball", 0, 0);
    expect(table == NULL && failed == CPU_NOT_THERE, "who failed", "ball", 0, 0);
    expect(numawise_pingpong_start(-1, -1, 10, 3, samples, &failed, &table) == 0, "started", "ball", 0, 0);
    for (int waits = 0; !numawise_pingpong_wait(table, 100000000) && waits < LONGEST_WAIT_S * 10; waits++) {
    }
    numawise_pingpong_end(table, &worked, &ran);
    expect(worked > 0 && ran > 0, "times", "ball", 0, 0);
    expect(samples[0] > 0 && samples[2] > 0, "samples", "ball", 0, 0);
    expect(numawise_pingpong_start(-1, -1, UINT32_MAX, 3, samples, &failed, &table) == 0, "started", "ball", 0, 0);
    expect(numawise_pingpong_wait(table, 1000000) == 0, "still at it", "ball", 0, 0);
    numawise_pingpong_end(table, &worked, &ran);
}

int main(int argc, char **argv)
{
    const size_t count = numawise_kernel_count();
    if (argc < 2 || strcmp(argv[1], "threads") != 0) {
        try_kernels(count);
    }
    for (size_t k = 0; k < count; k++) {
        try_team(numawise_kernel_at(k), 1);
        try_team(numawise_kernel_at(k), 0);
        try_refusals(numawise_kernel_at(k));
    }
    try_pingpong();
    expect(count >= 9, "at least nine kernels", "table", 0, 0);
    printf("%zu kernels\n", count);
    return failures != 0;
}
