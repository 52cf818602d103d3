/* Threads that start together or not at all. */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine.h"

enum { MASK_WORDS = 1024, WORD_BITS = 8 * sizeof(unsigned long) }; /* 65 536 CPUs: more than Linux can be built for */

/* The system call itself, on the calling thread: a CPU that is offline or not ours is refused here and now. */
static int pin(int32_t cpu)
{
    unsigned long mask[MASK_WORDS];
    const size_t words = (size_t)cpu / WORD_BITS + 1;
    if (words > MASK_WORDS) {
        return EINVAL;
    }
    for (size_t i = 0; i < words; i++) {
        mask[i] = 0;
    }
    mask[words - 1] = 1ul << ((size_t)cpu % WORD_BITS);
    return syscall(SYS_sched_setaffinity, 0, words * sizeof *mask, mask) == 0 ? 0 : errno;
}

/* Time that the calling thread had a CPU. */
static uint64_t cpu_time_ns(void)
{
    struct timespec used;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

static void *life(void *argument)
{
    struct numawise_member *me = argument;
    struct numawise_crew *crew = me->crew;
    const int refused = me->cpu < 0 ? 0 : pin(me->cpu);
    pthread_mutex_lock(&crew->lock);
    me->failed = refused;
    me->pinning = refused != 0;
    crew->ready++;
    pthread_cond_broadcast(&crew->changed);
    while (crew->gate == 0) {
        pthread_cond_wait(&crew->changed, &crew->lock);
    }
    const int go = crew->gate == 1;
    pthread_mutex_unlock(&crew->lock);
    if (go) {
        const uint64_t started = numawise_now_ns(), ran = cpu_time_ns();
        me->work(me->argument);
        me->ran_ns = cpu_time_ns() - ran;
        me->worked_ns = numawise_now_ns() - started;
    }
    me->ran_on = (int32_t)sched_getcpu();
    pthread_mutex_lock(&crew->lock);
    crew->finished++;
    pthread_cond_broadcast(&crew->changed);
    pthread_mutex_unlock(&crew->lock);
    return NULL;
}

static void open_gate(struct numawise_crew *crew, int how)
{
    pthread_mutex_lock(&crew->lock);
    crew->gate = how;
    pthread_cond_broadcast(&crew->changed);
    pthread_mutex_unlock(&crew->lock);
}

/* Returns 0, or -1 when one could not be started or pinned: its `failed` says why, and all threads are gone. */
int numawise_crew_start(struct numawise_crew *crew, struct numawise_member *members, size_t count)
{
    pthread_condattr_t clock;
    sigset_t all, before;
    int failed = 0;
    atomic_init(&crew->stop, 0);
    crew->members = members;
    crew->count = count;
    crew->started = crew->ready = crew->finished = 0;
    crew->gate = 0;
    pthread_mutex_init(&crew->lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&crew->changed, &clock);
    pthread_condattr_destroy(&clock);

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* a thread inherits this: signals are for the program's own threads */
    for (size_t i = 0; i < count; i++) {
        members[i].crew = crew;
        members[i].failed = members[i].pinning = 0;
        members[i].ran_on = -1;
        members[i].worked_ns = members[i].ran_ns = 0;
        failed = pthread_create(&members[i].thread, NULL, life, &members[i]);
        if (failed != 0) {
            /* Its thread never was, so nobody else writes this. */
            members[i].failed = failed;
            break;
        }
        crew->started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);

    pthread_mutex_lock(&crew->lock);
    while (crew->ready < crew->started) {
        pthread_cond_wait(&crew->changed, &crew->lock);
    }
    for (size_t i = 0; i < crew->started; i++) {
        failed = failed != 0 ? failed : members[i].failed;
    }
    pthread_mutex_unlock(&crew->lock);
    open_gate(crew, failed == 0 ? 1 : -1);
    if (failed != 0) {
        numawise_crew_end(crew);
        return -1;
    }
    return 0;
}

int numawise_crew_wait(struct numawise_crew *crew, uint64_t most_ns)
{
    const uint64_t until = numawise_now_ns() + most_ns;
    const struct timespec deadline = {.tv_sec = (time_t)(until / 1000000000u), .tv_nsec = (long)(until % 1000000000u)};
    pthread_mutex_lock(&crew->lock);
    while (crew->finished < crew->started) {
        if (pthread_cond_timedwait(&crew->changed, &crew->lock, &deadline) == ETIMEDOUT) {
            break;
        }
    }
    const int all = crew->finished == crew->started;
    pthread_mutex_unlock(&crew->lock);
    return all;
}

void numawise_crew_end(struct numawise_crew *crew)
{
    atomic_store(&crew->stop, 1);
    for (size_t i = 0; i < crew->started; i++) {
        pthread_join(crew->members[i].thread, NULL);
    }
    pthread_cond_destroy(&crew->changed);
    pthread_mutex_destroy(&crew->lock);
}
