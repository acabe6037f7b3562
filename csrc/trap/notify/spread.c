/* spread.c - several busy tracees and their workers, spread over the CPUs.
 *
 * With SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP a worker is woken on the tracee's CPU and the tracee on the worker's,
 * which makes a call cheap and has a price: a worker that receives the call of a tracee from another CPU draws it
 * over, and soon all tracees take turns on one CPU while the others idle.  The scheduler does not mend that, they
 * never sleep long enough.  So where several are busy (demand.c) each CPU has a worker of its own, tied to it, and a
 * tracee whose call was received by another CPU's worker is woken without that flag: the scheduler then puts it
 * where it was, or on an idle CPU.
 *
 * Rules: only workers are tied; the affinity of a tracee is its own, which it sees and its children inherit.  A home is
 * had by calling and lost by not calling, or by straying: then the scheduler had its reasons.  What is read here
 * without a lock may be stale: a wrong home costs time, nothing else.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "spread.h"

#include <string.h>

#define QUIET_NS 1000000u       /* without a call: another tracee may have the home */
#define STRAYED_MAX 8u
#define HOMELESS_MAX 64         /* calls before one home more is opened */

void spread_init(struct spread *spread) {
    memset(spread, 0, sizeof *spread);
    if (sched_getaffinity(0, sizeof spread->own, &spread->own) < 0)
        return;
    for (int cpu = 0; cpu < CPU_SETSIZE && spread->n < SPREAD_MAX; cpu++)
        if (CPU_ISSET(cpu, &spread->own))
            spread->homes[spread->n++].cpu = cpu;
}

void spread_init_post(struct post *post) {
    *post = (struct post){.place = -1, .tied_to = -1};
}

static int open_homes(const struct spread *spread) {
    return __atomic_load_n(&spread->open, __ATOMIC_RELAXED);
}

void spread_open(struct spread *spread, int homes) {
    __atomic_store_n(&spread->open, homes, __ATOMIC_RELAXED);
    __atomic_store_n(&spread->homeless, 0, __ATOMIC_RELAXED);
}

static void only(cpu_set_t *cpus, int cpu) {
    CPU_ZERO(cpus);
    CPU_SET(cpu, cpus);
}

/* ---- workers ---- */

static bool try_place(struct spread *spread, struct post *post, int place) {
    unsigned bit = 1u << place;
    if (__atomic_fetch_or(&spread->taken, bit, __ATOMIC_SEQ_CST) & bit)
        return false;
    post->place = place;
    return true;
}

/* The same as before, if that is free. */
static void take_place(struct spread *spread, struct post *post) {
    post->place = -1;
    if (post->tied_to >= 0 && post->tied_to < open_homes(spread) && try_place(spread, post, post->tied_to))
        return;
    for (int i = 0; i < open_homes(spread); i++)
        if (try_place(spread, post, i))
            return;
}

/* A tied one is woken at every call, and is not to preempt the tracee on its CPU for another one's. */
static void set_policy(int policy) {
    const struct sched_param unused = {0};
    (void)sched_setscheduler(0, policy, &unused);
}

static void tie_post(const struct spread *spread, struct post *post, int place) {
    cpu_set_t one;
    only(&one, spread->homes[place].cpu);
    if (sched_setaffinity(0, sizeof one, &one) < 0)
        return;
    if (post->tied_to < 0)
        set_policy(SCHED_BATCH);
    post->tied_to = place;
}

void spread_take(struct spread *spread, struct post *post) {
    take_place(spread, post);
    if (post->place >= 0 && post->place != post->tied_to)
        tie_post(spread, post, post->place);
}

void spread_none(const struct spread *spread, struct post *post) {
    post->place = -1;
    if (post->tied_to < 0 || sched_setaffinity(0, sizeof spread->own, &spread->own) < 0)
        return;
    set_policy(SCHED_OTHER);
    post->tied_to = -1;
}

void spread_leave(struct spread *spread, const struct post *post) {
    if (post->place >= 0)
        __atomic_fetch_and(&spread->taken, ~(1u << post->place), __ATOMIC_SEQ_CST);
}

bool spread_is_full(const struct spread *spread) {
    return open_homes(spread) < spread->n && __atomic_load_n(&spread->homeless, __ATOMIC_RELAXED) > HOMELESS_MAX;
}

/* ---- tracees ---- */

static bool is_quiet(const struct home *home, uint64_t now) {
    return now - __atomic_load_n(&home->seen, __ATOMIC_RELAXED) > QUIET_NS;
}

static void settle(struct home *home, pid_t tid, uint64_t now) {
    __atomic_store_n(&home->tid, tid, __ATOMIC_RELAXED);
    __atomic_store_n(&home->seen, now, __ATOMIC_RELAXED);
    __atomic_store_n(&home->strayed, 0, __ATOMIC_RELAXED);
}

/* The home that tid has, or -1. */
static int home_of(const struct spread *spread, pid_t tid) {
    for (int i = 0; i < open_homes(spread); i++)
        if (__atomic_load_n(&spread->homes[i].tid, __ATOMIC_RELAXED) == tid)
            return i;
    return -1;
}

/* One that nobody has, preferably here; -1: none. */
static int quiet_home(const struct spread *spread, int place, uint64_t now) {
    if (is_quiet(&spread->homes[place], now))
        return place;
    for (int i = 0; i < open_homes(spread); i++)
        if (is_quiet(&spread->homes[i], now))
            return i;
    return -1;
}

bool spread_strays(struct spread *spread, int place, pid_t tid, uint64_t now) {
    int found = home_of(spread, tid);
    if (found >= 0 && found != place) {
        struct home *home = &spread->homes[found];
        __atomic_store_n(&home->seen, now, __ATOMIC_RELAXED);
        if (__atomic_add_fetch(&home->strayed, 1, __ATOMIC_RELAXED) <= STRAYED_MAX)
            return true;
        settle(home, 0, 0);
        found = place;   /* whoever is at home there finds another one */
    }
    if (found < 0)
        found = quiet_home(spread, place, now);
    if (found < 0)
        __atomic_add_fetch(&spread->homeless, 1, __ATOMIC_RELAXED);
    else
        settle(&spread->homes[found], tid, now);
    return found >= 0 && found != place;
}
