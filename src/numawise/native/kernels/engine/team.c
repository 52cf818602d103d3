/*
 * Kernels on several threads at once, pinned and timed here: nothing of Python runs between a start and its stamp.
 *
 * Measured threads meet before every repeat, make the same number of passes and stamp their start and end. Background
 * threads go on meanwhile, in small pieces, so that they stop at once and can be slowed down by idle steps.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>

#include "barrier.h"
#include "engine.h"

enum {
    SHORTEST_NS = 50000,     /* a shorter pass is repeated: the clock costs 25 ns and the barrier's exit some 100 */
    UNTRIED_BYTES = 4 << 20, /* a pass over more takes longer than that anywhere */
    PIECE = 64 << 10,        /* of a background buffer between two looks at the flags */
    PAUSED_PIECE = 4 << 10   /* the same when it is slowed down: small, so that its traffic is even */
};

struct thread {
    struct team *team;
    struct numawise_task *task;
    numawise_pass *pass;
    size_t elements;
    uint64_t pass_ns;
    uint64_t room; /* stamps allocated */
    _Atomic uint64_t moved; /* background: bytes so far */
    char apart[NUMAWISE_LINE * 2]; /* no two threads' counters on one line, nor on neighbours fetched in pairs */
};

struct team {
    struct numawise_crew crew;
    struct numawise_member *members;
    struct thread *threads;
    struct numawise_task *tasks;
    size_t count, measured;
    struct numawise_plan plan;
    struct numawise_outcome outcome;
    uint64_t passes, first_ns, background_from;
    int done; /* written by the leader between two barriers */
    int gone; /* no thread of it is left */
    char apart[NUMAWISE_LINE * 2];
    atomic_size_t prepared, running; /* measured threads ready to start; background threads under way */
    atomic_int over;
    struct barrier barrier;
};

static int stopped(const struct team *team)
{
    return atomic_load_explicit(&team->crew.stop, memory_order_relaxed);
}

static void meet(struct team *team)
{
    barrier_meet(&team->barrier, team->measured, &team->crew.stop);
}

static void run_passes(struct thread *me, uint64_t passes)
{
    struct numawise_task *task = me->task;
    for (uint64_t i = 0; i < passes && !stopped(me->team); i++) {
        task->result = numawise_one_pass(task->kernel, me->pass, task->buffers, me->elements, &me->team->crew.stop);
    }
}

static uint64_t time_of(struct thread *me, uint64_t passes)
{
    const uint64_t started = numawise_now_ns();
    run_passes(me, passes);
    return numawise_now_ns() - started;
}

/* The time of one pass, from as many as the clock needs. The shorter of two, since a thread may lose its CPU. */
static uint64_t try_pass(struct thread *me)
{
    for (uint64_t passes = 1;; passes *= 2) {
        const uint64_t first = time_of(me, passes), second = time_of(me, passes);
        const uint64_t took = first < second ? first : second;
        if (took >= SHORTEST_NS || stopped(me->team)) {
            return took / passes;
        }
    }
}

static uint64_t passes_needed(const struct team *team)
{
    uint64_t slowest = 0;
    for (size_t i = 0; i < team->count; i++) {
        if (!team->tasks[i].background && team->threads[i].pass_ns > slowest) {
            slowest = team->threads[i].pass_ns;
        }
    }
    return slowest >= SHORTEST_NS ? 1 : SHORTEST_NS / (slowest + 1) + 1;
}

static uint64_t background_bytes(const struct team *team)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < team->count; i++) {
        bytes += atomic_load_explicit(&team->threads[i].moved, memory_order_relaxed);
    }
    return bytes;
}

static int keep(struct thread *me, uint64_t started, uint64_t ended)
{
    struct numawise_task *task = me->task;
    if (task->repeats == me->room) {
        const uint64_t room = me->room == 0 ? 64 : 2 * me->room;
        struct numawise_stamp *grown = realloc(task->stamps, room * sizeof *grown);
        if (grown == NULL) {
            task->failed = ENOMEM;
            return -1;
        }
        task->stamps = grown;
        me->room = room;
    }
    task->stamps[task->repeats].started_ns = started;
    task->stamps[task->repeats].ended_ns = ended;
    task->repeats++;
    return 0;
}

static void measure(struct thread *me)
{
    struct team *team = me->team;
    const int leader = me == &team->threads[0];
    await_count(&team->running, team->count - team->measured, &team->crew.stop);
    for (uint64_t i = 0; i < team->plan.warmups && !stopped(team); i++) {
        meet(team);
        run_passes(me, 1);
    }
    meet(team);
    me->pass_ns = me->task->bytes * me->task->kernel->buffers >= UNTRIED_BYTES ? SHORTEST_NS : try_pass(me);
    meet(team);
    if (stopped(team)) {
        return; /* a barrier left by a stop has ordered nothing: no look at what others write */
    }
    const uint64_t passes = passes_needed(team);
    if (leader) {
        team->outcome.passes = passes;
        team->first_ns = numawise_now_ns();
        team->background_from = background_bytes(team);
    }
    while (!stopped(team)) {
        meet(team);
        if (stopped(team) || team->done) {
            break;
        }
        const uint64_t started = numawise_now_ns();
        run_passes(me, passes);
        const uint64_t ended = numawise_now_ns();
        if (keep(me, started, ended) != 0) {
            atomic_store(&team->crew.stop, 1);
            break;
        }
        meet(team);
        if (leader && me->task->repeats >= team->plan.repeats && ended - team->first_ns >= team->plan.least_ns) {
            team->outcome.background_bytes = background_bytes(team) - team->background_from;
            team->outcome.background_ns = numawise_now_ns() - team->first_ns;
            team->outcome.complete = 1;
            team->done = 1;
        }
    }
    atomic_store(&team->over, 1);
}

/* Background traffic. */
static void fill(struct thread *me)
{
    const struct team *team = me->team;
    const struct numawise_kernel *kernel = me->task->kernel;
    const size_t piece_bytes = me->task->pause != 0 ? PAUSED_PIECE : PIECE;
    const size_t piece = kernel->buffers == 0 ? me->elements : piece_bytes / kernel->element_bytes;
    uint64_t carry = 0;
    size_t at = 0;
    int under_way = 0;
    while (!atomic_load_explicit(&team->over, memory_order_relaxed) && !stopped(team)) {
        void *from[NUMAWISE_BUFFERS] = {NULL};
        const size_t left = me->elements - at;
        const size_t now = left < piece ? left : piece;
        for (uint32_t i = 0; i < kernel->buffers; i++) {
            from[i] = (char *)me->task->buffers[i] + (kernel->whole ? 0 : at * kernel->element_bytes);
        }
        carry = me->pass(from, now, carry);
        at = at + now == me->elements ? 0 : at + now;
        atomic_fetch_add_explicit(&me->moved, now * kernel->bytes_per_element, memory_order_relaxed);
        if (!under_way) {
            under_way = 1;
            atomic_fetch_add(&me->team->running, 1);
        }
        for (uint64_t step = 0; step < me->task->pause; step++) {
            __asm__ volatile("");
        }
    }
    me->task->result = carry;
}

static void work(void *argument)
{
    struct thread *me = argument;
    struct team *team = me->team;
    if (me->task->kernel->prepare != NULL) {
        me->task->kernel->prepare(me->task->buffers, me->elements, me->task->seed, &team->crew.stop);
    }
    if (stopped(team)) {
        return; /* before anything runs over what was given up half-way */
    }
    if (me->task->background) {
        await_count(&team->prepared, team->measured, &team->crew.stop); /* rings are laid at full speed */
        fill(me);
    } else {
        atomic_fetch_add(&team->prepared, 1);
        measure(me);
    }
}

/* The measured tasks come first. Returns 0, or an errno; the failing task says more in its `failed`. */
int numawise_team_start(struct numawise_task *tasks, size_t count, const struct numawise_plan *plan, void **out)
{
    struct team *team = aligned_alloc(_Alignof(struct team), sizeof *team);
    struct numawise_member *members = calloc(count, sizeof *members);
    struct thread *threads = calloc(count, sizeof *threads);
    *out = NULL;
    if (team == NULL || members == NULL || threads == NULL) {
        free(team);
        free(members);
        free(threads);
        return ENOMEM;
    }
    *team = (struct team){.members = members, .threads = threads, .tasks = tasks, .count = count, .plan = *plan};
    int failed = count == 0 ? EINVAL : 0;
    for (size_t i = 0; i < count; i++) {
        tasks[i].failed = tasks[i].pinning = 0;
        tasks[i].repeats = tasks[i].result = 0;
        tasks[i].stamps = NULL;
        threads[i].team = team;
        threads[i].task = &tasks[i];
        threads[i].pass = numawise_pass_for(tasks[i].kernel, plan->isa);
        threads[i].elements = numawise_elements(tasks[i].kernel, tasks[i].bytes);
        if (threads[i].pass == NULL || threads[i].elements == 0 || (i == 0 && tasks[i].background)) {
            failed = EINVAL;
        }
        team->measured += !tasks[i].background;
        members[i].work = work;
        members[i].argument = &threads[i];
        members[i].cpu = tasks[i].cpu;
    }
    if (failed == 0 && numawise_crew_start(&team->crew, members, count) != 0) {
        for (size_t i = 0; i < count; i++) {
            tasks[i].failed = members[i].failed;
            tasks[i].pinning = members[i].pinning;
            failed = failed != 0 ? failed : members[i].failed;
        }
    }
    if (failed != 0) {
        team->gone = 1;
        numawise_team_free(team);
        return failed;
    }
    *out = team;
    return 0;
}

/* 1 when the run is over. Returns after `most_ns` at the latest, so that the caller can look after its signals. */
int numawise_team_wait(void *team, uint64_t most_ns)
{
    return numawise_crew_wait(&((struct team *)team)->crew, most_ns);
}

/* Ends the run wherever it is; on return no thread of it is left. */
void numawise_team_stop(void *handle, struct numawise_outcome *out)
{
    struct team *team = handle;
    if (!team->gone) {
        numawise_crew_end(&team->crew);
        team->gone = 1;
    }
    for (size_t i = 0; i < team->count; i++) {
        team->tasks[i].ran_on = team->members[i].ran_on;
        team->tasks[i].worked_ns = team->members[i].worked_ns;
        team->tasks[i].ran_ns = team->members[i].ran_ns;
    }
    *out = team->outcome;
}

/* Stops it first where that was not done. The stamps of the tasks go with it. */
void numawise_team_free(void *handle)
{
    struct team *team = handle;
    struct numawise_outcome unread;
    numawise_team_stop(team, &unread);
    for (size_t i = 0; i < team->count; i++) {
        free(team->tasks[i].stamps);
        team->tasks[i].stamps = NULL;
    }
    free(team->members);
    free(team->threads);
    free(team);
}
