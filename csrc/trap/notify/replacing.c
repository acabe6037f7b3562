/* replacing.c - calls that wait until descriptors of what they have copied up are replaced, as
 * ../descriptors/rounds.c says: the notify trap.  Workers wait; the tender (tender.c) traces those who replace them
 * for as long as it takes.
 *
 * Rules:
 * - Forks are not seen: the processes looked at are those that have called, and all that descend from them.
 * - `copies` of a call lives until the call and all tasks are done with it; all but its `stale` is under the
 *   tender's lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>

#include "../../process/clock.h"
#include "../../process/family.h"
#include "../descriptors/rounds.h"
#include "crew.h"
#include "replacing.h"
#include "seize.h"
#include "tender.h"
#include "trap.h"
#include "worker.h"

#define PATIENCE_NS 200000 /* between two looks at who does not stop */

struct replacer {
    struct replacer *next; /* of the call's */
    struct replacer *next_tended; /* of the tender's, until it is over */
    struct copies *copies;
    bool seized;                 /* the tender's: for this alone */
    struct renewer renewer;
    pid_t tid, pid;
    bool over, late;
    bool alone; /* other threads of the process are not asked */
    bool passed_over; /* … and as it does not stop, another one is to be */
};

/* What one call has copied up. */
struct copies {
    struct stale stale;
    struct replacer *tasks;
    unsigned users;
};

static void give_up_copies(const struct tender *tender, struct copies *copies) {
    HELD(&tender->requests.lock);
    if (--copies->users)
        return;
    stale_clear(&copies->stale);
    while (copies->tasks) {
        struct replacer *task = copies->tasks;
        copies->tasks = task->next;
        free(task);
    }
    free(copies);
}

/* ---- the tender's side ---- */

static struct replacer *find_replacer(const struct tender *tender, pid_t tid) {
    struct replacer *task = tender->replacers;
    while (task && task->tid != tid)
        task = task->next_tended;
    return task;
}

static void link_task(struct tender *tender, struct replacer *task) {
    lock_take(&tender->requests.lock);
    struct replacer **end = &tender->replacers;
    while (*end)
        end = &(*end)->next_tended;
    __atomic_store_n(end, task, __ATOMIC_RELAXED);
    lock_leave(&tender->requests.lock);
}

static void is_over(struct tender *tender, struct replacer *task) {
    struct pto_stats *stats = &tender->trap->run->result->stats;
    __atomic_add_fetch(&stats->repointed, task->renewer.n_done, __ATOMIC_RELAXED);
    renew_clear(&task->renewer);
    lock_take(&tender->requests.lock);
    struct replacer **link = &tender->replacers;
    while (*link && *link != task)
        link = &(*link)->next_tended;
    if (*link)
        __atomic_store_n(link, task->next_tended, __ATOMIC_RELAXED);
    task->over = true;
    pthread_cond_broadcast(&tender->requests.served);
    give_up_copies(tender, task->copies);
    lock_leave(&tender->requests.lock);
}

static void ask_task(struct tender *tender, struct replacer *task) {
    link_task(tender, task);
    if (renew_ask(&task->renewer, &task->copies->stale, task->tid) == 0)
        return; /* it is tended */
    task->seized = ptrace(PTRACE_SEIZE, task->tid, NULL, (void *)(uintptr_t)SEIZE_OPTIONS) == 0;
    if (!task->seized || renew_ask(&task->renewer, &task->copies->stale, task->tid))
        is_over(tender, task);
}

/* The task is traced from now on if it is not already. */
static void begin_asking(struct tender *tender, struct request *request) {
    ask_task(tender, request->task);
    requests_served(&tender->requests, request, true);
}

enum replacing_stop replacing_at_stop(struct tender *tender, pid_t tid, int status) {
    struct replacer *task = find_replacer(tender, tid);
    if (!task || !renew_stop(&task->renewer, tid, status))
        return REPLACING_NOT_MINE;
    bool seized = task->seized;
    if (task->renewer.step != RENEW_OVER)
        return REPLACING_MINE;
    is_over(tender, task);
    struct replacer *next = find_replacer(tender, tid);
    if (next) {
        next->seized = next->seized || seized;
        (void)renew_ask(&next->renewer, &next->copies->stale, tid);
        (void)ptrace(PTRACE_CONT, tid, NULL, 0L);
        return REPLACING_MINE;
    }
    return seized ? REPLACING_LET_GO : REPLACING_NOT_MINE;
}

void replacing_at_death(struct tender *tender, pid_t tid) {
    struct replacer *task;
    while ((task = find_replacer(tender, tid)))
        is_over(tender, task);
}

void replacing_end(struct tender *tender) {
    while (tender->replacers)
        is_over(tender, tender->replacers);
}

bool replacing_runs(struct tender *tender, pid_t tid) {
    if (!__atomic_load_n(&tender->replacers, __ATOMIC_RELAXED))
        return false;
    lock_take(&tender->requests.lock);
    const struct replacer *task = find_replacer(tender, tid);
    bool runs = task && renew_begun(&task->renewer);
    lock_leave(&tender->requests.lock);
    return runs;
}

/* ---- who is looked at ---- */

struct ids {
    pid_t *ids;
    size_t n, room;
};

/* With every id once.  Without memory it is left out. */
static void add_id(void *arg, pid_t id) {
    struct ids *ids = arg;
    for (size_t i = 0; i < ids->n; i++)
        if (ids->ids[i] == id)
            return;
    if (ids->n == ids->room) {
        size_t room = ids->room ? 2 * ids->room : 64;
        pid_t *more = realloc(ids->ids, room * sizeof *more);
        if (!more)
            return;
        ids->ids = more;
        ids->room = room;
    }
    if (id)
        ids->ids[ids->n++] = id;
}

struct crowd {
    struct ids processes;
    struct ids threads; /* that have called, and whose process is not known */
    struct ids opening; /* threads that may be in an open */
};

static void free_crowd(const struct crowd *crowd) {
    free(crowd->processes.ids);
    free(crowd->threads.ids);
    free(crowd->opening.ids);
}

static void add_caller(void *arg, const struct caller *caller) {
    struct crowd *crowd = arg;
    bool in_call =
        __atomic_load_n(&caller->busy, __ATOMIC_ACQUIRE) || __atomic_load_n(&caller->continued, __ATOMIC_RELAXED);
    if (in_call && call_is_open(__atomic_load_n(&caller->call.nr, __ATOMIC_RELAXED)))
        add_id(&crowd->opening, caller->task.tid);
    pid_t process = __atomic_load_n(&caller->task.tgid, __ATOMIC_RELAXED);
    if (process)
        add_id(&crowd->processes, process);
    else
        add_id(&crowd->threads, caller->task.tid);
}

static void look_around(struct notify_trap *trap, struct crowd *crowd) {
    crowd->processes.n = crowd->threads.n = crowd->opening.n = 0;
    callers_each(&trap->callers, add_caller, crowd);
    for (size_t i = 0; i < crowd->threads.n; i++)
        add_id(&crowd->processes, family_process(crowd->threads.ids[i]));
    for (size_t i = 0; i < crowd->processes.n; i++)
        family_children(crowd->processes.ids[i], add_id, &crowd->processes);
}

/* ---- asking ---- */

/* False: somebody is asked already. */
static bool is_new(struct tender *tender, const struct copies *copies, pid_t pid, pid_t tid) {
    lock_take(&tender->requests.lock);
    const struct replacer *task = copies->tasks;
    while (task && (task->over || task->passed_over || (task->pid != pid && task->tid != tid)))
        task = task->next;
    lock_leave(&tender->requests.lock);
    return !task;
}

/* pid 0: the thread alone. */
static void ask(struct tender *tender, struct copies *copies, pid_t pid, pid_t tid, bool alone) {
    struct replacer *task = calloc(1, sizeof *task);
    if (!task)
        return;
    *task = (struct replacer){.copies = copies, .tid = tid, .pid = pid ? pid : -1, .alone = alone};
    lock_take(&tender->requests.lock);
    task->next = copies->tasks;
    copies->tasks = task;
    copies->users++;
    lock_leave(&tender->requests.lock);
    struct request request = {.begin = begin_asking, .task = task};
    if (requests_ask(&tender->requests, &request, true))
        return;
    lock_take(&tender->requests.lock);
    task->over = true; /* there is no tender */
    copies->users--;
    lock_leave(&tender->requests.lock);
}

/* Asks one thread of the process that could stop at once; where none can, all: whichever runs first replaces them. */
static void ask_process(struct tender *tender, struct copies *copies, pid_t pid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *dir = opendir(path);
    pid_t chosen = 0;
    for (const struct dirent *entry; dir && !chosen && (entry = readdir(dir));) {
        pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (tid && rounds_can_stop(tid))
            chosen = tid;
    }
    if (chosen)
        ask(tender, copies, pid, chosen, true);
    else if (dir)
        rewinddir(dir);
    for (const struct dirent *entry; dir && !chosen && (entry = readdir(dir));)
        if (entry->d_name[0] != '.')
            ask(tender, copies, pid, (pid_t)strtol(entry->d_name, NULL, 10), false);
    if (dir)
        closedir(dir);
}

/* ---- rounds ---- */

struct replacing {
    struct notify_trap *trap;
    pid_t caller; /* 0: another run's */
    struct copies *copies;
    struct crowd crowd; /* of this round */
    bool looked_around;
    struct ids stale; /* processes that have stale descriptors, and of which nobody is asked */
};

static void free_replacing(const struct replacing *replacing) {
    free_crowd(&replacing->crowd);
    free(replacing->stale.ids);
}

static void ask_opening(void *arg) {
    struct replacing *replacing = arg;
    struct tender *tender = &replacing->trap->tender;
    look_around(replacing->trap, &replacing->crowd);
    replacing->looked_around = true;
    for (size_t i = 0; i < replacing->crowd.opening.n; i++) {
        pid_t tid = replacing->crowd.opening.ids[i];
        int nr = family_call(tid);
        if (tid != replacing->caller && (nr < 0 || call_is_open(nr)) && is_new(tender, replacing->copies, 0, tid))
            ask(tender, replacing->copies, 0, tid, false);
    }
}

static unsigned look(void *arg) {
    struct replacing *replacing = arg;
    struct copies *copies = replacing->copies;
    unsigned found = 0;
    if (!replacing->looked_around)
        look_around(replacing->trap, &replacing->crowd);
    replacing->looked_around = false;
    replacing->stale.n = 0;
    for (size_t i = 0; i < replacing->crowd.processes.n; i++) {
        pid_t pid = replacing->crowd.processes.ids[i];
        unsigned n = is_new(&replacing->trap->tender, copies, pid, 0) ? stale_count(&copies->stale, pid) : 0;
        found += n;
        if (n)
            add_id(&replacing->stale, pid);
    }
    return found;
}

static void ask_stale(void *arg) {
    struct replacing *replacing = arg;
    for (size_t i = 0; i < replacing->stale.n; i++)
        ask_process(&replacing->trap->tender, replacing->copies, replacing->stale.ids[i]);
}

static const struct rounds_way way = {ask_opening, look, ask_stale};

/* ---- waiting ---- */

static bool is_awaited(const struct replacer *task) {
    return !task->over && !task->late && !task->passed_over;
}

static void wait_for(struct tender *tender, struct copies *copies) {
    lock_take(&tender->requests.lock);
    for (struct replacer *task = copies->tasks; task; task = task->next) {
        while (is_awaited(task)) {
            struct timespec until = clock_in(PATIENCE_NS);
            if (!lock_wait_until(&tender->requests.lock, &tender->requests.served, &until) || !is_awaited(task))
                continue;
            bool stuck = rounds_is_stuck(&task->renewer, task->tid);
            *(task->alone ? &task->passed_over : &task->late) = stuck;
        }
    }
    lock_leave(&tender->requests.lock);
}

/* In this trap's tasks.  Takes the copied; how many descriptors are left. */
static unsigned replace(struct notify_trap *trap, pid_t caller, struct copied_up *copied) {
    struct tender *tender = &trap->tender;
    struct copies *copies = calloc(1, sizeof *copies);
    if (!copies) {
        unsigned left = view_count_copies(copied);
        view_free_copies(copied);
        return left;
    }
    copies->users = 1;
    stale_add(&copies->stale, copied);
    struct replacing replacing
        __attribute__((cleanup(free_replacing))) = {.trap = trap, .caller = caller, .copies = copies};
    struct rounds rounds = {.n = 0};
    while (rounds_next(&rounds, &way, &replacing))
        wait_for(tender, copies);
    wait_for(tender, copies);
    lock_take(&tender->requests.lock);
    give_up_copies(tender, copies);
    lock_leave(&tender->requests.lock);
    return rounds.left;
}

unsigned replacing_for_another(void *trap, struct copied_up *copied) {
    return replace(trap, 0, copied);
}

void replacing_run(struct worker *worker, struct caller *caller) {
    struct call *call = &caller->call;
    struct notify_trap *trap = worker->trap;
    struct copied_up *copied = call->copied;
    if (!copied)
        return;
    call->copied = NULL;
    crew_relieve(&trap->crew);
    unsigned left = trap->run->replace_elsewhere(trap->run, copied);
    left += replace(trap, (pid_t)worker->reply.request->pid, copied);
    if (rounds_report(trap->run, left))
        rounds_refuse(call);
}
