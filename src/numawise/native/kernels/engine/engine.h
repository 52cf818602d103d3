/* What the engine's files share: the clock, the table, the instruction sets, and a crew of pinned threads. */
#ifndef NUMAWISE_ENGINE_H
#define NUMAWISE_ENGINE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "api.h"

/* CLOCK_MONOTONIC, so that the stamps of threads and processes of one machine can be laid side by side. */
static inline uint64_t numawise_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline void numawise_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* The loop of a kernel for an instruction set, or of the nearest one below; NULL past the end of the sets. */
numawise_pass *numawise_pass_for(const struct numawise_kernel *kernel, uint32_t isa);

/*
 * One pass in slices of some milliseconds, given up at once when *stop is set; `stop` may be NULL. Returns what the
 * pass computed.
 */
uint64_t numawise_one_pass(const struct numawise_kernel *kernel, numawise_pass *pass, void *const *buffers,
                           size_t elements, const atomic_int *stop);

/* A thread of a crew. The caller fills the first part. */
struct numawise_member {
    void (*work)(void *argument);
    void *argument;
    int32_t cpu;    /* pinned there; -1: wherever the caller may run */
    int32_t failed; /* errno of pinning it, or of starting it */
    int32_t pinning; /* whether `failed` is of the pinning */
    int32_t ran_on; /* the CPU it was last on */
    uint64_t worked_ns; /* how long its work took by the clock */
    uint64_t ran_ns;    /* how much of that it had a CPU: the rest it waited for one, since work never sleeps */
    struct numawise_crew *crew;
    pthread_t thread;
};

/*
 * Threads that are all started and pinned before one of them works: when one cannot be, none works and all are gone.
 * They take no signals. `stop` is only a wish: work must look at it now and then, and wherever it waits.
 */
struct numawise_crew {
    atomic_int stop;
    size_t count, started, ready, finished;
    int gate; /* 0 closed, 1 open, -1: go home */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct numawise_member *members;
};

int numawise_crew_start(struct numawise_crew *crew, struct numawise_member *members, size_t count);
int numawise_crew_wait(struct numawise_crew *crew, uint64_t most_ns); /* 1 when all have finished */
void numawise_crew_end(struct numawise_crew *crew);                   /* stops them, and returns when all are gone */

#endif
