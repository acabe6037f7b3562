/* crew.c - the worker threads of the notify trap.
 *
 * A notification wakes all threads that wait for one (kernel/seccomp.c, recv_wait_event: the waits are not
 * exclusive), so as a rule one worker waits, handles what comes, and waits again.  Only when several tracees are
 * busy at a time do more workers wait, each on a CPU of its own (spread.c).
 *
 * Rules: a worker that may be held up calls crew_relieve first; one that is held up unexpectedly (a slow file
 * system) is noticed by crew_check.  So there is always somebody to answer.
 * Since Linux 6.11 a worker that waits learns of the hang-up by itself; before, crew_stop wakes it by a signal.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "../../process/clock.h"
#include "../../process/thread.h"
#include "crew.h"
#include "repeats.h"
#include "trap.h"
#include "wake.h"
#include "worker.h"

#define WORKERS_MAX ROSTER_WORKERS
#define PATIENCE_NS 20000000    /* for a worker to notice the end */

/* ---- roles ---- */

static bool try_to_receive(struct crew *crew) {
    int receiving = __atomic_load_n(&crew->receiving, __ATOMIC_SEQ_CST);
    while (receiving < __atomic_load_n(&crew->wanted, __ATOMIC_RELAXED))
        if (__atomic_compare_exchange_n(&crew->receiving, &receiving, receiving + 1, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST))
            return true;
    return false;
}

/* False: the crew is ending. */
static bool rest(struct crew *crew) {
    lock_take(&crew->lock);
    crew->resting++;
    while (!crew->ending && !crew->called)
        lock_wait(&crew->lock, &crew->call);
    if (crew->called)
        crew->called--;
    crew->resting--;
    bool go_on = !crew->ending;
    lock_leave(&crew->lock);
    return go_on;
}

static void take_post(struct worker *worker) {
    struct crew *crew = &worker->trap->crew;
    if (__atomic_load_n(&crew->wanted, __ATOMIC_RELAXED) > 1)
        spread_take(&crew->spread, &worker->post);
    else
        spread_none(&crew->spread, &worker->post);
}

static bool take_turn(struct worker *worker) {
    struct crew *crew = &worker->trap->crew;
    while (!try_to_receive(crew))
        if (!rest(crew))
            return false;
    take_post(worker);
    return true;
}

static void want(struct crew *crew, int workers) {
    spread_open(&crew->spread, workers);
    __atomic_store_n(&crew->wanted, workers, __ATOMIC_RELAXED);
    crew_relieve(crew);
}

static void review(struct crew *crew) {
    lock_take(&crew->lock);
    int wanted = __atomic_load_n(&crew->wanted, __ATOMIC_RELAXED);
    int better = demand_look(&crew->demand, wanted, crew->spread.n, spread_is_full(&crew->spread));
    lock_leave(&crew->lock);
    if (better != wanted)
        want(crew, better);
}

/* ---- the workers ---- */

static bool hung_up(int listener) {
    struct pollfd pollfd = {.fd = listener};
    return poll(&pollfd, 1, 0) > 0;
}

/* 0, or -errno; -EINTR: crew_stop has sent a signal. */
static int receive(struct worker *worker) {
    struct crew *crew = &worker->trap->crew;
    int error = reply_receive(&worker->reply);
    if (!error)
        __atomic_store_n(worker->received, (pid_t)worker->reply.request->pid, __ATOMIC_RELAXED);
    spread_leave(&crew->spread, &worker->post);
    __atomic_sub_fetch(&crew->receiving, 1, __ATOMIC_SEQ_CST);
    if (error)
        return error;
    demand_count(&crew->demand, worker->reply.request->pid);
    if (__atomic_add_fetch(&crew->handled, 1, __ATOMIC_RELAXED) % DEMAND_CALLS == 0)
        review(crew);
    return 0;
}

bool crew_next(struct worker *worker) {
    __atomic_store_n(worker->received, 0, __ATOMIC_RELAXED);
    while (take_turn(worker)) {
        if (receive(worker) == 0)
            return true;
        if (hung_up(worker->reply.listener))
            break;
    }
    return false;
}

static void free_worker(struct worker *worker) {
    free(worker->repeats);
    reply_clear(&worker->reply);
    free(worker);
}

static struct worker *new_worker(struct notify_trap *trap) {
    struct worker *worker = calloc(1, sizeof *worker);
    if (!worker)
        return NULL;
    worker->trap = trap;
    worker->received = &trap->callers.roster->ids[ROSTER_SLOTS + trap->crew.n_workers];
    spread_init_post(&worker->post);
    worker->repeats = repeats_new();
    if (reply_init(&worker->reply, trap->listener) == 0)
        return worker;
    free_worker(worker);
    return NULL;
}

static int add_worker(struct crew *crew, struct notify_trap *trap) {
    HELD(&crew->lock);
    struct worker *worker = crew->n_workers < WORKERS_MAX ? new_worker(trap) : NULL;
    if (!worker)
        return -ENOMEM;
    int error = thread_begin(&worker->thread, crew->work, worker);
    if (error) {
        free_worker(worker);
        return -error;
    }
    worker->next = crew->workers;
    crew->workers = worker;
    crew->n_workers++;
    return 0;
}

void crew_relieve(struct crew *crew) {
    if (__atomic_load_n(&crew->receiving, __ATOMIC_SEQ_CST) >= __atomic_load_n(&crew->wanted, __ATOMIC_RELAXED))
        return;
    lock_take(&crew->lock);
    if (crew->resting > crew->called) {
        crew->called++;
        pthread_cond_signal(&crew->call);
    } else if (!crew->ending) {
        (void)add_worker(crew, crew->workers->trap); /* else crew_check tries again */
    }
    lock_leave(&crew->lock);
}

bool crew_check(struct crew *crew, uint64_t *seen) {
    uint64_t handled = __atomic_load_n(&crew->handled, __ATOMIC_RELAXED);
    bool progress = handled != *seen;
    *seen = handled;
    if (!progress && __atomic_load_n(&crew->receiving, __ATOMIC_SEQ_CST) == 0)
        crew_relieve(crew);
    return progress;
}

int crew_start(struct crew *crew, struct notify_trap *trap, void *(*work)(void *worker)) {
    crew->wanted = 1;
    crew->work = work;
    spread_init(&crew->spread);
    lock_init(&crew->lock);
    pthread_cond_init(&crew->call, NULL);
    lock_take(&crew->lock);
    int error = add_worker(crew, trap);
    lock_leave(&crew->lock);
    return error;
}

/* Joins it; one that still waits after a while is woken, as often as it takes. */
static void join(struct worker *worker) {
    struct timespec until = clock_in(PATIENCE_NS);
    if (pthread_timedjoin_np(worker->thread, NULL, &until) == 0)
        return;
    if (!wake_signal())
        return;
    do {
        pthread_kill(worker->thread, wake_signal());
        until = clock_in(PATIENCE_NS);
    } while (pthread_timedjoin_np(worker->thread, NULL, &until) != 0);
}

void crew_stop(struct crew *crew) {
    lock_take(&crew->lock);
    crew->ending = true;
    pthread_cond_broadcast(&crew->call);
    lock_leave(&crew->lock);
    while (crew->workers) {
        struct worker *worker = crew->workers;
        join(worker);
        crew->workers = worker->next;
        free_worker(worker);
    }
    pthread_cond_destroy(&crew->call);
    lock_destroy(&crew->lock);
}
