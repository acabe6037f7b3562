/* openings.c - opens by the notify trap's workers that may wait: of fifos and devices.
 *
 * The worker waits in open(2) as the tracee would, so that it meets its peer by the kernel's own rules.  The tracee
 * waits for the answer meanwhile, where nothing but its death ends the wait (notify.c); so a look at it now and then
 * (proc(5), status) tells whether it would have been woken, and then the worker is.
 *
 * Rules: the worker's place is taken by another one before it waits.  Nobody meets one who is dead: who died before
 * an open began waits no more when it is made, by a worker or by the kernel that it is left to, nor begins to wait
 * after that.  An answer of -ERESTARTSYS is for a thread that finds a signal when it returns, else the program would
 * see that number: a signal for the whole process may go to another thread, so the thread is interrupted by ptrace(2)
 * then.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../../arch/arch.h"
#include "../../calls/handlers/open.h"
#include "../../process/clock.h"
#include "../../process/family.h"
#include "../../process/proc.h"
#include "attach.h"
#include "callers.h"
#include "openings.h"
#include "trap.h"
#include "wake.h"
#include "worker.h"

#define AGAIN_NS 1000000        /* until one that does not end its wait is woken again */
#define THREADS_LOOKED_AT 4u     /* of a process: all but those that wait as ours does stop at once */
#define STATUS_SIZE 4096u       /* of /proc/PID/status: what is wanted comes in time */

struct opening {
    struct opening *next;
    struct worker *worker;
    pthread_t thread;
    pid_t tid;
    bool over;                  /* the wait is to end */
};

/* Signals that the thread would be woken by. */
struct pending {
    uint64_t own, shared;
    unsigned long threads;
};

void openings_init(struct openings *openings) {
    lock_init(&openings->lock);
    pthread_cond_init(&openings->left, NULL);
    openings->first = NULL;
}

void openings_clear(struct openings *openings) {
    pthread_cond_destroy(&openings->left);
    lock_destroy(&openings->lock);
}

/* ---- signals of a thread ---- */

static struct pending pending_signals(pid_t tid) {
    char status[STATUS_SIZE];
    if (!proc_read(tid, "status", status, sizeof status))
        return (struct pending){.threads = 1};
    uint64_t blocked = proc_field(status, "\nSigBlk:\t", 16);
    return (struct pending){
        .own = proc_field(status, "\nSigPnd:\t", 16) & ~blocked,
        .shared = proc_field(status, "\nShdPnd:\t", 16) & ~blocked,
        .threads = proc_field(status, "\nThreads:\t", 10),
    };
}

static bool is_stopped(pid_t tid) {
    char state = family_state(tid);
    return state == 'T' || state == 't';
}

/* A stop of the whole process takes its signal away when the first thread obeys; it is complete when all have.  A
 * debugger's stop of another thread looks the same to those that are traced: then the call is made again for
 * nothing. */
static bool has_stopped_threads(pid_t tid) {
    char path[32];
    snprintf(path, sizeof path, "/proc/%d/task", (int)tid);
    DIR *dir = opendir(path);
    if (!dir)
        return false;
    bool any = false;
    unsigned looks = 0;
    for (const struct dirent *entry; !any && looks < THREADS_LOOKED_AT && (entry = readdir(dir));) {
        pid_t other = (pid_t)strtol(entry->d_name, NULL, 10);
        looks += other > 0;
        any = other > 0 && is_stopped(other);
    }
    closedir(dir);
    return any;
}

/* ---- those that wait ---- */

static bool caller_is_dead(const struct opening *opening) {
    return reply_awaited(&opening->worker->reply) != 0;
}

static bool is_signalled(const struct opening *opening) {
    struct pending pending = pending_signals(opening->tid);
    return pending.own || pending.shared || (pending.threads > 1 && has_stopped_threads(opening->tid));
}

/* It may be just about to wait, and is to be woken again then. */
static void wake(struct opening *opening) {
    __atomic_store_n(&opening->over, true, __ATOMIC_RELAXED);
    (void)pthread_kill(opening->thread, wake_signal());
}

bool openings_check(struct openings *openings) {
    lock_take(&openings->lock);
    bool any = openings->first != NULL;
    for (struct opening *opening = openings->first; opening; opening = opening->next)
        if (opening->over || caller_is_dead(opening) || is_signalled(opening))
            wake(opening);
    lock_leave(&openings->lock);
    return any;
}

static bool wake_dead(const struct openings *openings) {
    HELD(&openings->lock);
    bool any = false;
    for (struct opening *opening = openings->first; opening; opening = opening->next) {
        if (!caller_is_dead(opening))
            continue;
        wake(opening);
        any = true;
    }
    return any;
}

static void end_dead(struct openings *openings) {
    HELD(&openings->lock);
    while (wake_dead(openings)) {
        struct timespec until = clock_in(AGAIN_NS);
        (void)lock_wait_until(&openings->lock, &openings->left, &until);
    }
}

void openings_meet_none_dead(struct openings *openings, struct crew *crew) {
    if (!__atomic_load_n(&openings->first, __ATOMIC_SEQ_CST))
        return;   /* who begins to wait from now on looks whether its caller lives after it has been noted */
    lock_take(&openings->lock);
    bool any = wake_dead(openings);
    lock_leave(&openings->lock);
    if (!any)
        return;
    crew_relieve(crew);
    lock_take(&openings->lock);
    end_dead(openings);
    lock_leave(&openings->lock);
}

static void begin_wait(struct openings *openings, struct opening *opening) {
    lock_take(&openings->lock);
    end_dead(openings);
    opening->next = openings->first;
    __atomic_store_n(&openings->first, opening, __ATOMIC_SEQ_CST);
    lock_leave(&openings->lock);
}

static void end_wait(struct openings *openings, struct opening *opening) {
    lock_take(&openings->lock);
    struct opening **link = &openings->first;
    while (*link != opening)
        link = &(*link)->next;
    __atomic_store_n(link, opening->next, __ATOMIC_SEQ_CST);
    pthread_cond_broadcast(&openings->left);
    lock_leave(&openings->lock);
}

/* ---- the wait ---- */

int opening_wait(struct worker *worker, struct caller *caller) {
    struct notify_trap *trap = worker->trap;
    struct opening opening = {.worker = worker, .thread = pthread_self(), .tid = caller->task.tid};
    (void)wake_signal();
    crew_relieve(&trap->crew);
    begin_wait(&trap->openings, &opening);
    int fd = -EINTR;
    bool over = false;
    while (fd == -EINTR && !over && reply_awaited(&worker->reply) == 0) {
        fd = open_call(&caller->call);
        over = __atomic_load_n(&opening.over, __ATOMIC_RELAXED);
    }
    end_wait(&trap->openings, &opening);
    return fd;
}

void opening_interrupted(struct worker *worker, struct caller *caller) {
    struct notify_trap *trap = worker->trap;
    pid_t tid = caller->task.tid;
    struct pending pending = pending_signals(tid);
    caller->call.value = -EINTR;
    __atomic_store_n(&caller->continued, true, __ATOMIC_RELAXED);   /* the call has waited */
    callers_done(&trap->callers, caller);
    if (pending.own || (pending.shared && pending.threads == 1))
        reply_value(&worker->reply, -ERESTARTSYS);
    else
        attach_interrupt(worker, tid);
}
