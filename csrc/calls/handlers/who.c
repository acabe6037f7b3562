/* who.c - umask, the set*id calls, capset, prctl: what a task says of itself that the supervisor has to know, or to
 * keep.
 *
 * PR_SET_DUMPABLE: a process that is not dumpable is closed to a supervisor without CAP_SYS_PTRACE, so there it stays
 * open and the answer is kept here; nobody writes a core of it in any case (limits.c).  It is a child's too until that
 * executes something (prctl(2)); what a child, of whose fork the notify trap does not hear, says for the first time is
 * its parent's.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/prctl.h>

#include "../call.h"
#include "../faked/faked.h"
#include "../session.h"
#include "../tasks/common.h"
#include "../tasks/identity.h"
#include "../tasks/nest.h"
#include "../tasks/nest_request.h"
#include "../tasks/task.h"
#include "../verdict.h"
#include "handlers.h"

static void do_dumpable(struct call *call, bool set) {
    if (identity_traces_all(call->session) || (set && call->arg[1] > 1) || !task_cred(call))
        return;
    if (set)
        task_keep_dumpable(call->task, (int)call->arg[1]);
    verdict_answer(call, set ? 0 : task_dumpable(call->session, call->task->tgid));
}

void do_seccomp(struct call *call) {
    __atomic_store_n(&call->session->filtered, true, __ATOMIC_SEQ_CST);
}

/* What capabilities a program that is executed later will have. */
static void do_capabilities(struct call *call, bool securebits) {
    if (securebits)
        __atomic_store_n(&call->session->securebits, true, __ATOMIC_SEQ_CST);
    common_forget(call);
}

void do_prctl(struct call *call) {
    uint32_t option = (uint32_t)call->arg[0];
    if (faked_prctl(call))
        return;
    if (option == NEST_PRCTL)
        nest_ask(call);
    else if (option == PR_SET_SECCOMP)
        __atomic_store_n(&call->session->filtered, true, __ATOMIC_SEQ_CST);
    else if (option == PR_SET_DUMPABLE || option == PR_GET_DUMPABLE)
        do_dumpable(call, option == PR_SET_DUMPABLE);
    else if (option == PR_CAPBSET_DROP || option == PR_CAP_AMBIENT || option == PR_SET_SECUREBITS)
        do_capabilities(call, option == PR_SET_SECUREBITS);
    else
        do_unknown(call);
}

void do_umask(struct call *call) {
    call->task->cred_known = false;
    verdict_watch(call, &call->session->umask_generation, &call->session->umask_pending);
}

/* make(1) and others set the ids that they have.  A task of which each id is the same in all places (cred_stays)
 * changes nothing by giving that, or -1, which leaves it. */
static bool gives_own_ids(struct call *call) {
    static const uint8_t n_given[FAKED_GROUP] = {
        [FAKED_SET] = 1, [FAKED_SET_RE] = 2, [FAKED_SET_RES] = 3, [FAKED_SET_FS] = 1};
    const struct task *task = call->task;
    unsigned n = n_given[call->row->detail % FAKED_GROUP];
    if (!n || !(task->cred_known || common_take(call->task)) || !task->cred_stays)
        return false;
    uint32_t own = call->row->detail & FAKED_GROUP ? task->gid : task->uid;
    for (unsigned i = 0; i < n; i++)
        if ((uint32_t)call->arg[i] != own && (uint32_t)call->arg[i] != UINT32_MAX)
            return false;
    return true;
}

/* The set*id calls and capset: the thread's next call asks anew. */
void do_set_credentials(struct call *call) {
    if (!faked_set(call) && !gives_own_ids(call))
        common_forget(call);
}
