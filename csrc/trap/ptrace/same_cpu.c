/* same_cpu.c - keeps the supervisor on the CPU of the tracee that it serves.
 *
 * A stop served across CPUs costs several times one served on the same CPU, and the scheduler wakes a resumed
 * tracee on an idle CPU whenever there is one.  So while one tracee alone makes the calls, it and the supervisor are
 * tied to one CPU.  With several busy tracees the CPUs are busy, and the scheduler does better than we could.
 *
 * Rules: a tie is not seen and not inherited: sched_getaffinity, sched_setaffinity and fork untie first.  It does
 * not last: a tracee that makes no call for a tick may use all its CPUs again, so that a long computation is
 * balanced, and no tie gets older than a few ticks, so that two runs do not stay on one CPU. There is one tie at a
 * time; only the supervisor ties.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../../process/clock.h"
#include "same_cpu.h"

#define STREAK 4u               /* stops in a row by one tracee before it is tied */
#define TICK 2000000            /* ns between two looks at a tie */
#define TICKS_OF_A_TIE 10u
#define TICKS_TO_SLEEP 50u      /* without a tie, before the thread waits to be woken */

void same_cpu_init(struct same_cpu *same_cpu) {
    memset(same_cpu, 0, sizeof *same_cpu);
    same_cpu->self = gettid();
    lock_init(&same_cpu->lock);
    pthread_cond_init(&same_cpu->wake, NULL);
    same_cpu->off =
        sched_getaffinity(0, sizeof same_cpu->own_cpus, &same_cpu->own_cpus) < 0 || CPU_COUNT(&same_cpu->own_cpus) < 2;
}

static pid_t tied(const struct same_cpu *same_cpu) {
    return __atomic_load_n(&same_cpu->tied, __ATOMIC_RELAXED);
}

static void set_tied(struct same_cpu *same_cpu, pid_t tid) {
    __atomic_store_n(&same_cpu->tied, tid, __ATOMIC_RELAXED);
}

/* A tracee that is not there is dead or has got another id: which one, its event will tell. */
static void untie(struct same_cpu *same_cpu) {
    HELD(&same_cpu->lock);
    if (!tied(same_cpu))
        return;
    if (sched_setaffinity(tied(same_cpu), sizeof same_cpu->tracee_cpus, &same_cpu->tracee_cpus) < 0 && errno == ESRCH)
        return;
    set_tied(same_cpu, 0);
    (void)sched_setaffinity(same_cpu->self, sizeof same_cpu->own_cpus, &same_cpu->own_cpus);
}

/* ---- the thread that loosens ---- */

static void wait_a_tick(struct same_cpu *same_cpu) {
    struct timespec until = clock_in(TICK);
    (void)lock_wait_until(&same_cpu->lock, &same_cpu->wake, &until);
}

static void sleep_until_woken(struct same_cpu *same_cpu) {
    same_cpu->asleep = true;
    while (!same_cpu->ending && !tied(same_cpu))
        lock_wait(&same_cpu->lock, &same_cpu->wake);
    same_cpu->asleep = false;
}

static void *loosen_old_ties(void *arg) {
    struct same_cpu *same_cpu = arg;
    unsigned age = 0, idle = 0;
    uint64_t seen = 0;
    lock_take(&same_cpu->lock);
    while (!same_cpu->ending) {
        if (idle >= TICKS_TO_SLEEP)
            sleep_until_woken(same_cpu);
        wait_a_tick(same_cpu);
        uint64_t stops = __atomic_load_n(&same_cpu->stops, __ATOMIC_RELAXED);
        idle = tied(same_cpu) ? 0 : idle + 1;
        age = tied(same_cpu) ? age + 1 : 0;
        if (stops == seen || age >= TICKS_OF_A_TIE) {
            untie(same_cpu);
            age = 0;
        }
        seen = stops;
    }
    lock_leave(&same_cpu->lock);
    return NULL;
}

static bool have_thread(struct same_cpu *same_cpu) {
    HELD(&same_cpu->lock);
    if (!same_cpu->has_thread)
        same_cpu->has_thread = pthread_create(&same_cpu->thread, NULL, loosen_old_ties, same_cpu) == 0;
    else if (same_cpu->asleep)
        pthread_cond_signal(&same_cpu->wake);
    return same_cpu->has_thread;
}

void same_cpu_clear(struct same_cpu *same_cpu) {
    lock_take(&same_cpu->lock);
    untie(same_cpu);
    same_cpu->ending = true;
    pthread_cond_signal(&same_cpu->wake);
    lock_leave(&same_cpu->lock);
    if (same_cpu->has_thread)
        pthread_join(same_cpu->thread, NULL);
    pthread_cond_destroy(&same_cpu->wake);
    lock_destroy(&same_cpu->lock);
}

/* ---- the supervisor ---- */

static bool try_to_tie(struct same_cpu *same_cpu, pid_t tid, int cpu) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    if (sched_getaffinity(tid, sizeof same_cpu->tracee_cpus, &same_cpu->tracee_cpus) < 0 ||
        !CPU_ISSET(cpu, &same_cpu->tracee_cpus) || CPU_COUNT(&same_cpu->tracee_cpus) < 2 || !have_thread(same_cpu))
        return false;
    if (sched_setaffinity(tid, sizeof one, &one) < 0)
        return false;
    set_tied(same_cpu, tid);
    (void)sched_setaffinity(0, sizeof one, &one);
    return true;
}

static void tie(struct same_cpu *same_cpu, pid_t tid) {
    int cpu = sched_getcpu();
    if (cpu < 0 || cpu >= CPU_SETSIZE)
        return;
    lock_take(&same_cpu->lock);
    untie(same_cpu);
    set_tied(same_cpu, 0);
    if (!try_to_tie(same_cpu, tid, cpu))
        same_cpu->refused = tid;
    lock_leave(&same_cpu->lock);
}

void same_cpu_loosen(struct same_cpu *same_cpu) {
    same_cpu->last = 0;
    same_cpu->refused = 0;
    if (!tied(same_cpu))
        return;
    lock_take(&same_cpu->lock);
    untie(same_cpu);
    lock_leave(&same_cpu->lock);
}

void same_cpu_stop(struct same_cpu *same_cpu, pid_t tid) {
    if (same_cpu->off)
        return;
    __atomic_store_n(&same_cpu->stops, same_cpu->stops + 1, __ATOMIC_RELAXED);
    if (tid != same_cpu->last) {
        same_cpu_loosen(same_cpu);
        same_cpu->last = tid;
        same_cpu->streak = 1;
        return;
    }
    if (++same_cpu->streak >= STREAK && tied(same_cpu) != tid && same_cpu->refused != tid)
        tie(same_cpu, tid);
}

void same_cpu_child(struct same_cpu *same_cpu, pid_t parent, pid_t child) {
    if (!same_cpu->has_thread)
        return;   /* nobody was ever tied */
    cpu_set_t cpus;
    lock_take(&same_cpu->lock);
    if (tied(same_cpu) == parent)
        (void)sched_setaffinity(child, sizeof same_cpu->tracee_cpus, &same_cpu->tracee_cpus);
    else if (sched_getaffinity(parent, sizeof cpus, &cpus) >= 0)
        (void)sched_setaffinity(child, sizeof cpus, &cpus);
    lock_leave(&same_cpu->lock);
}

void same_cpu_death(struct same_cpu *same_cpu, pid_t tid) {
    if (same_cpu->off || tied(same_cpu) != tid)
        return;
    lock_take(&same_cpu->lock);
    set_tied(same_cpu, 0);
    (void)sched_setaffinity(0, sizeof same_cpu->own_cpus, &same_cpu->own_cpus);
    lock_leave(&same_cpu->lock);
}

void same_cpu_rename(struct same_cpu *same_cpu, pid_t former, pid_t tid) {
    lock_take(&same_cpu->lock);
    if (tied(same_cpu) == former)
        set_tied(same_cpu, tid);
    if (same_cpu->last == former)
        same_cpu->last = tid;
    lock_leave(&same_cpu->lock);
}
