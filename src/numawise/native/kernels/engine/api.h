/* What the library exports: library.py mirrors it. Whoever changes anything here raises the ABI in table.c. */
#ifndef NUMAWISE_API_H
#define NUMAWISE_API_H

#include "../kernel.h"

/* What one timed run did; times are CLOCK_MONOTONIC, so that runs of several threads can be laid side by side. */
struct numawise_run {
    uint64_t passes;
    uint64_t started_ns;
    uint64_t ended_ns;
    uint64_t result; /* of the last pass */
};

NUMAWISE_API int numawise_abi(void);
NUMAWISE_API size_t numawise_kernel_count(void);
NUMAWISE_API const struct numawise_kernel *numawise_kernel_at(size_t index); /* NULL past the last */
NUMAWISE_API int numawise_run_kernel(const struct numawise_kernel *kernel, uint32_t isa, void *const *buffers,
                                     size_t bytes, uint64_t passes, uint64_t least_ns, uint64_t seed,
                                     struct numawise_run *out);

/* How many elements one pass over buffers of this many bytes has. */
NUMAWISE_API size_t numawise_elements(const struct numawise_kernel *kernel, size_t bytes);

NUMAWISE_API const char *numawise_isa_name(uint32_t isa); /* NULL past the last */
NUMAWISE_API int numawise_isa_here(uint32_t isa);

struct numawise_stamp {
    uint64_t started_ns;
    uint64_t ended_ns;
};

/* One thread's work, and what came of it. */
struct numawise_task {
    const struct numawise_kernel *kernel;
    void *buffers[NUMAWISE_BUFFERS];
    uint64_t bytes; /* of each buffer */
    uint64_t seed;
    uint64_t pause; /* background: steps of an empty loop between pieces */
    int32_t cpu;    /* -1: wherever the caller may run */
    int32_t background;
    /* Filled by the run: */
    int32_t failed;  /* errno, of the thread or of its memory for stamps */
    int32_t pinning; /* whether it was the pinning that failed */
    int32_t ran_on;
    int32_t unused;
    uint64_t worked_ns; /* its time by the clock ... */
    uint64_t ran_ns;    /* ... and on a CPU */
    uint64_t result; /* measured: of the last pass */
    uint64_t repeats;
    struct numawise_stamp *stamps; /* one a repeat; freed with the team */
};

struct numawise_plan {
    uint64_t repeats;
    uint64_t least_ns;
    uint64_t warmups;
    uint32_t isa;
    uint32_t unused;
};

struct numawise_outcome {
    uint64_t passes; /* in each repeat, of each measured thread */
    uint64_t background_bytes;
    uint64_t background_ns;
    int32_t complete; /* 0 when it was stopped before its end */
    int32_t unused;
};

NUMAWISE_API int numawise_team_start(struct numawise_task *tasks, size_t count, const struct numawise_plan *plan,
                                     void **team);
NUMAWISE_API int numawise_team_wait(void *team, uint64_t most_ns);
NUMAWISE_API void numawise_team_stop(void *team, struct numawise_outcome *out);
NUMAWISE_API void numawise_team_free(void *team);

NUMAWISE_API int numawise_pingpong_start(int32_t first, int32_t second, uint64_t round_trips, uint64_t samples,
                                         uint64_t *sample_ns, int32_t *failed_cpu, void **out);
NUMAWISE_API int numawise_pingpong_wait(void *table, uint64_t most_ns);
NUMAWISE_API void numawise_pingpong_end(void *table, uint64_t *worked_ns, uint64_t *ran_ns);

#endif
