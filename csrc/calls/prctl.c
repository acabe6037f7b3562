/* prctl.c - what a process says of itself that the supervisor has to know, or to keep for it.
 *
 * PR_SET_DUMPABLE: a process that is not dumpable is closed to a supervisor without CAP_SYS_PTRACE, so there it stays open
 * and the answer is kept here; nobody writes a core of it in any case (limits.c).  It is a child's too until that executes
 * something (prctl(2)); what a child, of whose fork the notify trap does not hear, says for the first time is its parent's.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/prctl.h>

#include "internal.h"
#include "members.h"
#include "nest.h"

#define GENERATIONS 64

/* Of the first thread that is known of the process: -1: of none it is known. */
static int known_dumpable(struct session *session, pid_t process, bool *executed) {
    int known = -1;
    pthread_mutex_lock(&session->lock);
    for (const struct task *task = session->tasks; task && known < 0; task = task->next) {
        if (task->tgid != process && __atomic_load_n(&task->tid, __ATOMIC_RELAXED) != process)
            continue;
        *executed = *executed || task->executed;
        if (task->dumpable)
            known = task->dumpable - 1;
    }
    pthread_mutex_unlock(&session->lock);
    return known;
}

static int dumpable(struct session *session, pid_t process) {
    bool executed = false;
    for (int i = 0; process > 1 && i < GENERATIONS && !executed; i++, process = family_parent(process)) {
        int known = known_dumpable(session, process, &executed);
        if (known >= 0)
            return known;
    }
    return 1;
}

static void keep_dumpable(struct session *session, struct task *self, int value) {
    pthread_mutex_lock(&session->lock);
    for (struct task *task = session->tasks; task; task = task->next)
        if (task == self || task->tgid == self->tgid)
            task->dumpable = value + 1;
    pthread_mutex_unlock(&session->lock);
}

void dumpable_again(struct task *self) {
    struct session *session = self->session;
    pthread_mutex_lock(&session->lock);
    for (struct task *task = self->tgid ? session->tasks : NULL; task; task = task->next)
        if (task->tgid == self->tgid)
            task->dumpable = 0;
    self->dumpable = 0;
    self->executed = true;
    pthread_mutex_unlock(&session->lock);
}

static void do_dumpable(struct call *call, bool set) {
    if (identity_traces_all(call->session) || (set && call->arg[1] > 1) || !task_cred(call))
        return;
    if (set)
        keep_dumpable(call->session, call->task, (int)call->arg[1]);
    answer(call, set ? 0 : dumpable(call->session, call->task->tgid));
}

void do_prctl(struct call *call) {
    uint32_t option = (uint32_t)call->arg[0];
    if (option == NEST_PRCTL)
        do_nest(call);
    else if (option == PR_SET_SECCOMP)
        __atomic_store_n(&call->session->filtered, true, __ATOMIC_SEQ_CST);
    else if (option == PR_SET_DUMPABLE || option == PR_GET_DUMPABLE)
        do_dumpable(call, option == PR_SET_DUMPABLE);
    else
        do_unknown(call);
}
