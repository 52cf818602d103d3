/* How long a cache line takes from core to core: two pinned threads answer each other on one line. */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdlib.h>

#include "engine.h"

/* Turns without an answer before the CPU is offered to others: the partner may have lost its own. */
enum { PATIENCE = 1 << 16 };

struct table {
    struct numawise_crew crew;
    struct numawise_member members[2];
    uint64_t round_trips, samples;
    uint64_t *sample_ns;
    /* The line, alone on it and on the neighbour that is fetched with it. */
    _Alignas(2 * NUMAWISE_LINE) _Atomic uint64_t ball;
    char apart[2 * NUMAWISE_LINE];
};

/* Waits for the ball to come with this number; 0 when it was stopped meanwhile. */
static int await(struct table *table, uint64_t number)
{
    for (unsigned turns = 1; atomic_load_explicit(&table->ball, memory_order_acquire) != number; turns++) {
        if (turns % PATIENCE == 0) {
            if (atomic_load(&table->crew.stop)) {
                return 0;
            }
            sched_yield();
        }
    }
    return 1;
}

/* The first sample warms up and is not kept. */
static void serve(void *argument)
{
    struct table *table = argument;
    uint64_t number = 0;
    for (uint64_t sample = 0; sample <= table->samples && !atomic_load(&table->crew.stop); sample++) {
        const uint64_t started = numawise_now_ns();
        for (uint64_t trip = 0; trip < table->round_trips; trip++) {
            atomic_store_explicit(&table->ball, ++number, memory_order_release);
            if (!await(table, ++number)) {
                return;
            }
        }
        if (sample > 0) {
            table->sample_ns[sample - 1] = numawise_now_ns() - started;
        }
    }
}

static void answer(void *argument)
{
    struct table *table = argument;
    const uint64_t last = 2 * table->round_trips * (table->samples + 1);
    for (uint64_t number = 1; number < last; number += 2) {
        if (!await(table, number)) {
            return;
        }
        atomic_store_explicit(&table->ball, number + 1, memory_order_release);
    }
}

/* Returns 0, or an errno; *failed_cpu is then the CPU that a thread could not be pinned to, or -1. */
int numawise_pingpong_start(int32_t first, int32_t second, uint64_t round_trips, uint64_t samples,
                            uint64_t *sample_ns, int32_t *failed_cpu, void **out)
{
    struct table *table = aligned_alloc(_Alignof(struct table), sizeof *table);
    *failed_cpu = -1;
    *out = NULL;
    if (table == NULL) {
        return ENOMEM;
    }
    *table = (struct table){.round_trips = round_trips, .samples = samples, .sample_ns = sample_ns};
    table->members[0] = (struct numawise_member){.work = serve, .argument = table, .cpu = first};
    table->members[1] = (struct numawise_member){.work = answer, .argument = table, .cpu = second};
    if (numawise_crew_start(&table->crew, table->members, 2) != 0) {
        const struct numawise_member *refused = &table->members[table->members[0].failed != 0 ? 0 : 1];
        const int failed = refused->failed;
        *failed_cpu = refused->pinning ? refused->cpu : -1;
        free(table);
        return failed;
    }
    *out = table;
    return 0;
}

int numawise_pingpong_wait(void *table, uint64_t most_ns)
{
    return numawise_crew_wait(&((struct table *)table)->crew, most_ns);
}

/* Ends it wherever it is; on return no thread of it is left. The time of both by the clock, and on a CPU. */
void numawise_pingpong_end(void *handle, uint64_t *worked_ns, uint64_t *ran_ns)
{
    struct table *table = handle;
    numawise_crew_end(&table->crew);
    *worked_ns = table->members[0].worked_ns + table->members[1].worked_ns;
    *ran_ns = table->members[0].ran_ns + table->members[1].ran_ns;
    free(table);
}
