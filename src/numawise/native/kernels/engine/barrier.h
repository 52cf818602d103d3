/* How threads of one team wait for each other: spinning, so that all go on at once, and never beyond a stop. */
#ifndef NUMAWISE_BARRIER_H
#define NUMAWISE_BARRIER_H

#include <sched.h>

#include "engine.h"

enum { BARRIER_SPINS = 20000 }; /* turns of waiting, about a millisecond, before the CPU is offered to other threads */

struct barrier {
    _Alignas(2 * NUMAWISE_LINE) atomic_size_t arrived;
    _Alignas(2 * NUMAWISE_LINE) atomic_size_t turn;
};

/* One turn of waiting. Where there are more threads than CPUs the one waited for needs this CPU. */
static inline void barrier_linger(unsigned *turns)
{
    if (++*turns < BARRIER_SPINS) {
        numawise_relax();
    } else {
        sched_yield();
    }
}

/* Until `counter` is `wanted` or *stop is set. */
static inline void await_count(atomic_size_t *counter, size_t wanted, const atomic_int *stop)
{
    unsigned turns = 0;
    while (atomic_load(counter) < wanted && !atomic_load_explicit(stop, memory_order_relaxed)) {
        barrier_linger(&turns);
    }
}

/*
 * Until `count` threads are here or *stop is set. All leave within the time a line takes from core to core. After a stop
 * it has ordered nothing: whoever leaves must look at *stop before at what others wrote.
 */
static inline void barrier_meet(struct barrier *barrier, size_t count, const atomic_int *stop)
{
    const size_t turn = atomic_load(&barrier->turn);
    unsigned turns = 0;
    if (atomic_fetch_add(&barrier->arrived, 1) + 1 == count) {
        atomic_store(&barrier->arrived, 0);
        atomic_store(&barrier->turn, turn + 1);
        return;
    }
    while (atomic_load(&barrier->turn) == turn && !atomic_load_explicit(stop, memory_order_relaxed)) {
        barrier_linger(&turns);
    }
}

#endif
