/* sharers.c - the runs that share a view, and what the view asks all of them: does somebody execute this
 * file?  And descriptors of a file that one run copies up are replaced in all of them (trap/descriptors/).
 *
 * Rule: `entering` is taken before the view's lock, `lock` inside of it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "sharers.h"

#include <pthread.h>

#include "../calls/tasks/busy.h"
#include "../calls/tasks/task.h"
#include "../trap/descriptors/stale.h"

static struct lock entering = LOCK_INITIALIZER, lock = LOCK_INITIALIZER;
static struct run *sharers; /* under both to be changed */
static pthread_cond_t left_alone = PTHREAD_COND_INITIALIZER; /* of `lock`: a visitor has gone */

static size_t count(const pto_view *view) {
    size_t n = 0;
    lock_take(&lock);
    for (const struct run *run = sharers; run; run = run->next_sharer)
        n += run->view == view;
    lock_leave(&lock);
    return n;
}

/* A view_busy_fn. */
static int executed_by_any(void *arg, const struct statx *file) {
    int error = 0;
    lock_take(&lock);
    for (struct run *run = sharers; run && !error; run = run->next_sharer)
        if (run->view == arg)
            error = busy_executed(&run->session, file);
    lock_leave(&lock);
    return error;
}

bool sharers_can_change(const pto_view *view) {
    bool can = true;
    lock_take(&lock);
    for (const struct run *run = sharers; run && can; run = run->next_sharer)
        can = run->view != view || __atomic_load_n(&run->session.n_nests, __ATOMIC_RELAXED) ==
                                       __atomic_load_n(&run->session.n_roots, __ATOMIC_RELAXED);
    lock_leave(&lock);
    return can;
}

void sharers_stop_answers(const pto_view *view) {
    lock_take(&lock);
    for (struct run *run = sharers; run; run = run->next_sharer)
        if (run->view == view)
            untouched_stop_all(&run->untouched);
    lock_leave(&lock);
}

/* ---- descriptors of what one of them has copied up ---- */

static unsigned count_stale(struct run *run, struct copied_up *copies) {
    unsigned n = 0;
    struct stale stale = {.files = copies};
    lock_take(&run->session.lock);
    for (const struct task *task = run->session.tasks; task; task = task->next) {
        pid_t tid = __atomic_load_n(&task->tid, __ATOMIC_RELAXED),
              tgid = __atomic_load_n(&task->tgid, __ATOMIC_RELAXED);
        if (!tgid || tgid == tid)
            n += stale_count(&stale, tid);
    }
    lock_leave(&run->session.lock);
    return n;
}

/* Nothing but the visit's lock is held: who is asked may need others. */
static unsigned visit(struct run *run, const struct copied_up *copies) {
    struct copied_up *clones = view_clone_copies(copies);
    unsigned left = view_count_copies(copies) - view_count_copies(clones);
    lock_take(&run->visit);
    if (run->replace) {
        left += run->replace(run->trap, clones);
    } else {
        left += count_stale(run, clones);
        view_free_copies(clones);
    }
    lock_leave(&run->visit);
    return left;
}

/* A run is not left, nor what comes behind it in the list, as long as somebody is here. */
static unsigned replace_elsewhere(struct run *of, const struct copied_up *copies) {
    unsigned left = 0;
    lock_take(&lock);
    for (struct run *run = sharers; run; run = run->next_sharer) {
        if (run == of || run->view != of->view)
            continue;
        run->visitors++;
        lock_leave(&lock);
        left += visit(run, copies);
        lock_take(&lock);
        run->visitors--;
        pthread_cond_broadcast(&left_alone);
    }
    lock_leave(&lock);
    return left;
}

bool sharers_enter(struct run *run) {
    lock_take(&entering);
    bool first = count(run->view) == 0;
    if (first) {
        view_set_busy(run->view, executed_by_any, run->view);
        view_report_copies(run->view, true);
    }
    run->replace_elsewhere = replace_elsewhere;
    lock_take(&lock);
    run->next_sharer = sharers;
    sharers = run;
    lock_leave(&lock);
    lock_leave(&entering);
    return first;
}

void sharers_leave(struct run *run) {
    lock_take(&entering);
    lock_take(&lock);
    while (run->visitors) /* who is here goes on to the next one */
        lock_wait(&lock, &left_alone);
    struct run **link = &sharers;
    while (*link != run)
        link = &(*link)->next_sharer;
    *link = run->next_sharer;
    lock_leave(&lock);
    if (count(run->view) == 0) {
        view_report_copies(run->view, false);
        view_set_busy(run->view, NULL, NULL);
    }
    lock_leave(&entering);
}
