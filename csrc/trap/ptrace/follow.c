/* follow.c - keeps the supervisor on the CPU of the tracee that it serves.
 *
 * A stop served across CPUs costs several times one served on the same CPU, and the scheduler wakes a resumed
 * tracee on an idle CPU whenever there is one.  So while one tracee alone makes the calls, it and the supervisor are
 * tied to one CPU.  With several busy tracees the CPUs are busy, and the scheduler does better than we could.
 *
 * Rules: a tie is not seen and not inherited: sched_getaffinity, sched_setaffinity and fork untie first.  It does not last:
 * a tracee that makes no call for a tick may use all its CPUs again, so that a long computation is
 * balanced, and no tie gets older than a few ticks, so that two runs do not stay on one CPU.
 * There is one tie at a time; only the supervisor ties.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "follow.h"

#define STREAK 4u               /* stops in a row by one tracee before it is tied */
#define TICK 2000000            /* ns between two looks at a tie */
#define TICKS_OF_A_TIE 10u
#define TICKS_TO_SLEEP 50u      /* without a tie, before the thread waits to be woken */

void follow_init(struct follow *follow) {
    memset(follow, 0, sizeof *follow);
    follow->self = gettid();
    pthread_mutex_init(&follow->lock, NULL);
    pthread_cond_init(&follow->wake, NULL);
    follow->off =
        sched_getaffinity(0, sizeof follow->own_cpus, &follow->own_cpus) < 0 || CPU_COUNT(&follow->own_cpus) < 2;
}

static pid_t tied(const struct follow *follow) {
    return __atomic_load_n(&follow->tied, __ATOMIC_RELAXED);
}

static void set_tied(struct follow *follow, pid_t tid) {
    __atomic_store_n(&follow->tied, tid, __ATOMIC_RELAXED);
}

/* With the lock held.  A tracee that is not there is dead or has got another id: which one, its event will tell. */
static void untie(struct follow *follow) {
    if (!tied(follow))
        return;
    if (sched_setaffinity(tied(follow), sizeof follow->tracee_cpus, &follow->tracee_cpus) < 0 && errno == ESRCH)
        return;
    set_tied(follow, 0);
    (void)sched_setaffinity(follow->self, sizeof follow->own_cpus, &follow->own_cpus);
}

/* ---- the thread that loosens ---- */

static void wait_a_tick(struct follow *follow) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += TICK;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_cond_timedwait(&follow->wake, &follow->lock, &until);
}

static void sleep_until_woken(struct follow *follow) {
    follow->asleep = true;
    while (!follow->ending && !tied(follow))
        pthread_cond_wait(&follow->wake, &follow->lock);
    follow->asleep = false;
}

static void *loosen_old_ties(void *arg) {
    struct follow *follow = arg;
    unsigned age = 0, idle = 0;
    uint64_t seen = 0;
    pthread_mutex_lock(&follow->lock);
    while (!follow->ending) {
        if (idle >= TICKS_TO_SLEEP)
            sleep_until_woken(follow);
        wait_a_tick(follow);
        uint64_t stops = __atomic_load_n(&follow->stops, __ATOMIC_RELAXED);
        idle = tied(follow) ? 0 : idle + 1;
        age = tied(follow) ? age + 1 : 0;
        if (stops == seen || age >= TICKS_OF_A_TIE) {
            untie(follow);
            age = 0;
        }
        seen = stops;
    }
    pthread_mutex_unlock(&follow->lock);
    return NULL;
}

/* With the lock held. */
static bool have_thread(struct follow *follow) {
    if (!follow->has_thread)
        follow->has_thread = pthread_create(&follow->thread, NULL, loosen_old_ties, follow) == 0;
    else if (follow->asleep)
        pthread_cond_signal(&follow->wake);
    return follow->has_thread;
}

void follow_clear(struct follow *follow) {
    pthread_mutex_lock(&follow->lock);
    untie(follow);
    follow->ending = true;
    pthread_cond_signal(&follow->wake);
    pthread_mutex_unlock(&follow->lock);
    if (follow->has_thread)
        pthread_join(follow->thread, NULL);
    pthread_cond_destroy(&follow->wake);
    pthread_mutex_destroy(&follow->lock);
}

/* ---- the supervisor ---- */

/* With the lock held. */
static bool try_to_tie(struct follow *follow, pid_t tid, int cpu) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    if (sched_getaffinity(tid, sizeof follow->tracee_cpus, &follow->tracee_cpus) < 0 ||
        !CPU_ISSET(cpu, &follow->tracee_cpus) || CPU_COUNT(&follow->tracee_cpus) < 2 || !have_thread(follow))
        return false;
    if (sched_setaffinity(tid, sizeof one, &one) < 0)
        return false;
    set_tied(follow, tid);
    (void)sched_setaffinity(0, sizeof one, &one);
    return true;
}

static void tie(struct follow *follow, pid_t tid) {
    int cpu = sched_getcpu();
    if (cpu < 0 || cpu >= CPU_SETSIZE)
        return;
    pthread_mutex_lock(&follow->lock);
    untie(follow);
    set_tied(follow, 0);
    if (!try_to_tie(follow, tid, cpu))
        follow->refused = tid;
    pthread_mutex_unlock(&follow->lock);
}

void follow_loosen(struct follow *follow) {
    follow->last = 0;
    follow->refused = 0;
    if (!tied(follow))
        return;
    pthread_mutex_lock(&follow->lock);
    untie(follow);
    pthread_mutex_unlock(&follow->lock);
}

void follow_stop(struct follow *follow, pid_t tid) {
    if (follow->off)
        return;
    __atomic_store_n(&follow->stops, follow->stops + 1, __ATOMIC_RELAXED);
    if (tid != follow->last) {
        follow_loosen(follow);
        follow->last = tid;
        follow->streak = 1;
        return;
    }
    if (++follow->streak >= STREAK && tied(follow) != tid && follow->refused != tid)
        tie(follow, tid);
}

void follow_child(struct follow *follow, pid_t parent, pid_t child) {
    if (!follow->has_thread)
        return;   /* nobody was ever tied */
    cpu_set_t cpus;
    pthread_mutex_lock(&follow->lock);
    if (tied(follow) == parent)
        (void)sched_setaffinity(child, sizeof follow->tracee_cpus, &follow->tracee_cpus);
    else if (sched_getaffinity(parent, sizeof cpus, &cpus) >= 0)
        (void)sched_setaffinity(child, sizeof cpus, &cpus);
    pthread_mutex_unlock(&follow->lock);
}

void follow_death(struct follow *follow, pid_t tid) {
    if (follow->off || tied(follow) != tid)
        return;
    pthread_mutex_lock(&follow->lock);
    set_tied(follow, 0);
    (void)sched_setaffinity(0, sizeof follow->own_cpus, &follow->own_cpus);
    pthread_mutex_unlock(&follow->lock);
}

void follow_rename(struct follow *follow, pid_t former, pid_t tid) {
    pthread_mutex_lock(&follow->lock);
    if (tied(follow) == former)
        set_tied(follow, tid);
    if (follow->last == former)
        follow->last = tid;
    pthread_mutex_unlock(&follow->lock);
}
