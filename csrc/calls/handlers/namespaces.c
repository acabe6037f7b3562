/* namespaces.c - clone, unshare, setns.
 *
 * A user namespace changes ids and capabilities and no path: it is let happen, and from then on tasks are asked which
 * one they are in (tasks/userns.h).  A mount namespace is a nest, whose places mount(2) changes (mount.c).  The others
 * are nothing to a view.
 *
 * Rule: the real mount namespace stays, since all paths of the supervisor mean what they mean in it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <string.h>

#include "../../process/descriptor.h"
#include "../../process/family.h"
#include "../../process/object.h"
#include "../call.h"
#include "../fixed/births.h"
#include "../fixed/fixed.h"
#include "../scratch.h"
#include "../session.h"
#include "../tasks/clones.h"
#include "../tasks/common.h"
#include "../tasks/members.h"
#include "../tasks/nest.h"
#include "../tasks/task.h"
#include "../tasks/userns.h"
#include "../verdict.h"
#include "handlers.h"

/* What the task is from now on, and its children, is asked anew. */
static void new_user_namespace(struct call *call) {
    userns_begin(call->session);
    common_forget(call);
}

/* ---- mount namespaces: a view's answer ---- */

/* May it have one?  Then it is made.  False: the verdict is there. */
static bool new_mounts(struct call *call) {
    if (!task_cred(call))
        return false;
    if (!(call->arg[0] & CLONE_NEWUSER) && !(call->task->cred.caps & 1ull << CAP_SYS_ADMIN)) {
        verdict_answer(call, -EPERM);
        return false;
    }
    int error = nest_unshare(call, call->arg[0] & CLONE_NEWUSER);
    if (error == -EPERM)
        verdict_refuse(call, EPERM, "a mount namespace in a run within a run");
    else if (error < 0)
        verdict_answer(call, error);
    call->task->cwd_generation = 0;
    return error == 0;
}

static void keep(void *arg, pid_t child) {
    *(pid_t *)arg = child;
}

/* A child of the task by the id that it was told, which may be one of another pid namespace: 0, it is dead. */
static pid_t child_of(const struct call *call, pid_t told) {
    pid_t last = 0;
    if (family_parent(told) == call->task->tgid)
        return told;
    family_thread_children(call->task->tid, keep, &last);
    return last;
}

static long cloned(struct call *call, long result) {
    pid_t child = call->session->opens && result > 0 ? child_of(call, (pid_t)result) : 0;
    if (child)
        (void)members_set_mark(child, nest_made(call));
    nest_made_end(call, result > 0);
    return result;
}

/* By vfork the caller stands still until its child executes, which by notify would wait for it. */
static void clone_mounts(struct call *call) {
    if (call->session->opens && call->arg[0] & CLONE_VFORK)
        return verdict_refuse(call, EPERM, "a mount namespace by vfork");
    if (!new_mounts(call))
        return;
    verdict_substitute(call, 0, call->arg[0] & ~(uint64_t)CLONE_NEWNS);
    call->finish = cloned;
    if (call->session->opens)
        clones_begin(call);
    else
        call->task->child_mark = nest_made(call);
}

static long unshared(struct call *call, long result) {
    if (result == 0)
        (void)members_set_mark(call->task->tgid, nest_made(call));
    nest_made_end(call, result == 0);
    return result;
}

/* The rest of it is the kernel's; current directory and umask are its own then, as with a mount namespace. */
static void unshare_mounts(struct call *call) {
    if (!new_mounts(call))
        return;
    verdict_substitute(call, 0, (call->arg[0] & ~(uint64_t)CLONE_NEWNS) | CLONE_FS);
    call->finish = unshared;
}

/* That the task has called is all that counts. */
void do_born(struct call *call) {
    (void)call;
}

void do_fork(struct call *call) {
    if (call->session->fixed)
        births_begin(call);
}

/* The filter traps clone for CLONE_UNTRACED too, which is the trap's business. */
void do_clone(struct call *call) {
    do_fork(call);
    if (call->arg[0] & CLONE_NEWNS)
        clone_mounts(call);
    if (call->arg[0] & CLONE_NEWUSER)
        new_user_namespace(call);
}

void do_unshare(struct call *call) {
    if (call->arg[0] & ~(uint64_t)(UNSHARE_KNOWN | CLONE_NEWUSER | CLONE_NEWNS))
        return verdict_refuse(call, EINVAL, "not all of this is known to leave paths alone");
    if (call->arg[0] & CLONE_NEWNS)
        unshare_mounts(call);
    if (call->arg[0] & CLONE_NEWUSER)
        new_user_namespace(call);
}

/* Which namespace a link of /proc/PID/ns is of, by its text; 0: of none. */
static unsigned kind_of(const char *text) {
    static const struct {
        const char *prefix;
        unsigned kind;
    } kinds[] = {
        {"user:", CLONE_NEWUSER}, {"pid:", CLONE_NEWPID},       {"net:", CLONE_NEWNET},   {"uts:", CLONE_NEWUTS},
        {"ipc:", CLONE_NEWIPC},   {"cgroup:", CLONE_NEWCGROUP}, {"time:", CLONE_NEWTIME}, {"mnt:", CLONE_NEWNS},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strncmp(text, kinds[i].prefix, strlen(kinds[i].prefix)) == 0)
            return kinds[i].kind;
    return 0;
}

/* With a kind of 0 the descriptor tells which namespace it is, or that it is a process, which is EINVAL.  The kernel
 * gets the kind that was found: by then the number may be of another descriptor. */
void do_setns(struct call *call) {
    char link[PROC_LINK];
    unsigned asked = (unsigned)call->arg[1], kind = asked;
    char *text = call->scratch->real;
    if (!kind) {
        descriptor_link(call->task->tid, (int)call->arg[0], link);
        int object = object_read(link, text);
        if (object < 0)
            return verdict_answer(call, object == -ENOENT ? -EBADF : object);
        kind = kind_of(text);
        if (!kind)
            return verdict_answer(call, -EINVAL);
    }
    if (kind & CLONE_NEWNS)
        return verdict_refuse(call, EPERM, "entering mount namespaces is not supported");
    if (kind & CLONE_NEWUSER)
        new_user_namespace(call);
    if (!asked)
        verdict_substitute(call, 1, kind);
}
