/* task.c - what is known of a thread that calls: its credentials, its umask.
 *
 * Rules: all of it is the kernel's and only cached here.  Credentials belong to one thread and change by its
 * own calls alone (credentials(7), execve(2)), so those forget them before they run.  The umask and the
 * current directory may be shared with other tasks (CLONE_FS), so a change of one makes all tasks ask again.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../process/descriptor.h"
#include "../../process/family.h"
#include "../../process/status.h"
#include "../../view/view.h"
#include "../call.h"
#include "../session.h"
#include "../verdict.h"
#include "common.h"
#include "identity.h"
#include "members.h"
#include "seen.h"
#include "task.h"
#include "userns.h"

#define ANCESTORS 64

bool task_same_ids(const struct task *task, pid_t pid) {
    struct status status;
    char path[PROC_LINK];
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    if (status_read(path, &status) < 0)
        return false;
    free(status.groups);
    struct cred own = {.fsuid = task->uid, .fsgid = task->gid};
    if (seen_wanted(task->session))   /* all of them are the user's own */
        (void)identity_cred(task->session, &own);
    bool same = true;
    for (int i = 0; i < 3; i++)   /* that of the file system does not count */
        same = same && status.uid[i] == own.fsuid && status.gid[i] == own.fsgid;
    return same;
}

/* Of a fake root what it sees counts; what is asked of the kernel (own) is asked as ourselves. */
static int load_seen(struct task *task) {
    const struct seen *seen = seen_of(task);
    if (!seen)
        return -ENOMEM;
    task->uid = seen->uid[SEEN_REAL];
    task->gid = seen->gid[SEEN_REAL];
    task->permitted = seen->permitted;
    task->cred.fsuid = seen->uid[SEEN_FS];
    task->cred.fsgid = seen->gid[SEEN_FS];
    task->cred.caps = seen->effective;
    task->cred.ngroups = seen->ngroups;
    task->cred.groups = seen->groups;
    task->cred_stays = false;
    return 0;
}

static int load_cred(struct call *call) {
    struct task *task = call->task;
    struct session *session = call->session;
    struct status status;
    char path[PROC_LINK];
    bool pending = __atomic_load_n(&session->umask_pending, __ATOMIC_SEQ_CST) != 0;
    uint64_t generation = __atomic_load_n(&session->umask_generation, __ATOMIC_SEQ_CST);
    snprintf(path, sizeof path, "/proc/%d/status", task->tid);
    int error = status_read(path, &status);
    if (error < 0)
        return error;
    free(task->groups);
    task->groups = status.groups;
    error = userns_maps(session, task->tid, &task->ids);
    if (error < 0)
        return error;
    __atomic_store_n(&task->tgid, status.tgid, __ATOMIC_RELAXED);
    task->uid = status.uid[0];
    task->gid = status.gid[0];
    task->permitted = status.permitted;
    task->cred = (struct cred){
        .own = !task->ids && identity_is(session, &status),
        .fsuid = status.uid[3],
        .fsgid = status.gid[3],
        .caps = status.effective,
        .umask = status.umask,
        .ngroups = status.ngroups,
        .groups = status.groups,
        .ids = task->ids,
    };
    task->cred_known = !task->ids || (task->ids->uids.n && task->ids->gids.n);   /* written once, after a while */
    task->cred_stays = !task->ids && status_stays(&status) &&
                       (status.uid[0] != 0 || !__atomic_load_n(&call->session->securebits, __ATOMIC_SEQ_CST));
    task->umask_generation = pending ? 0 : generation;
    common_keep(task);
    return seen_wanted(session) ? load_seen(task) : 0;
}

static const struct cred *read_cred(struct call *call) {
    if (!call->task->cred_known && load_cred(call) < 0) {
        verdict_refuse(call, EPERM, "the credentials of the task cannot be read");
        return NULL;
    }
    return &call->task->cred;
}

const struct cred *task_cred(struct call *call) {
    struct task *task = call->task;
    return task->cred_known || common_take(task) ? &task->cred : read_cred(call);
}

const struct cred *task_cred_umask(struct call *call) {
    if (call->task->umask_generation != __atomic_load_n(&call->session->umask_generation, __ATOMIC_SEQ_CST) ||
        __atomic_load_n(&call->session->umask_pending, __ATOMIC_SEQ_CST) != 0)
        call->task->cred_known = false;
    return read_cred(call);
}

/* access(2) asks for the real ids; without root's the capabilities do not count, with it the permitted ones do.
 * fs/open.c, access_override_creds() */
const struct cred *task_real_cred(struct call *call, struct cred *out) {
    const struct task *task = call->task;
    uid_t root = 0;
    *out = task->cred;
    bool has_root = !task->ids || view_id_outside(&task->ids->uids, 0, &root);
    uint64_t caps = has_root && task->uid == root ? task->permitted : 0;
    if (task->uid == task->cred.fsuid && task->gid == task->cred.fsgid && caps == task->cred.caps)
        return out;
    out->own = seen_wanted(task->session) && task->cred.own;
    out->fsuid = task->uid;
    out->fsgid = task->gid;
    out->caps = caps;
    return out;
}

static int get_pidfd(struct task *task) {
    if (task->lent >= 0)
        return task->lent;
    if (task->pidfd < 0)
        task->pidfd = family_pidfd(task->tid);
    return task->pidfd;
}

int task_descriptor(struct call *call, int fd) {
    if (!task_cred(call))
        return -EPERM;
    int pidfd = get_pidfd(call->task);
    if (pidfd < 0)
        return pidfd;
    int ours = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
    return ours < 0 ? -errno : ours;
}

/* ---- the list of tasks, under the session's lock ---- */

static void enlist(struct session *session, struct task *task) {
    lock_take(&session->lock);
    task->session = session;
    task->next = session->tasks;
    if (task->next)
        task->next->link = &task->next;
    task->link = &session->tasks;
    session->tasks = task;
    lock_leave(&session->lock);
}

static void strike(struct task *task) {
    lock_take(&task->session->lock);
    *task->link = task->next;
    if (task->next)
        task->next->link = task->link;
    lock_leave(&task->session->lock);
}

/* Of a task that may be another's, who is learning it just then. */
static pid_t tgid_of(const struct task *task) {
    return __atomic_load_n(&task->tgid, __ATOMIC_RELAXED);
}

static bool has_called(struct session *session, pid_t pid) {
    bool found = false;
    lock_take(&session->lock);
    for (const struct task *task = session->tasks; task && !found; task = task->next)
        found = __atomic_load_n(&task->tid, __ATOMIC_RELAXED) == pid || tgid_of(task) == pid;
    lock_leave(&session->lock);
    return found;
}

bool task_in_run(struct session *session, pid_t pid) {
    for (int i = 0; pid > 1 && i < ANCESTORS; i++, pid = family_parent(pid))
        if (has_called(session, pid))
            return true;
    return false;
}

/* Of the first thread that is known of the process: -1: of none it is known. */
static int known_dumpable(struct session *session, pid_t process, bool *executed) {
    int known = -1;
    lock_take(&session->lock);
    for (const struct task *task = session->tasks; task && known < 0; task = task->next) {
        if (tgid_of(task) != process && __atomic_load_n(&task->tid, __ATOMIC_RELAXED) != process)
            continue;
        *executed = *executed || task->executed;
        if (task->dumpable)
            known = task->dumpable - 1;
    }
    lock_leave(&session->lock);
    return known;
}

int task_dumpable(struct session *session, pid_t process) {
    bool executed = false;
    for (int i = 0; process > 1 && i < ANCESTORS && !executed; i++, process = family_parent(process)) {
        int known = known_dumpable(session, process, &executed);
        if (known >= 0)
            return known;
    }
    return 1;
}

void task_keep_dumpable(struct task *self, int value) {
    struct session *session = self->session;
    lock_take(&session->lock);
    for (struct task *task = session->tasks; task; task = task->next)
        if (task == self || tgid_of(task) == self->tgid)
            task->dumpable = value + 1;
    lock_leave(&session->lock);
}

/* Threads that its process had may be known still. */
static void forget_dumpable(struct task *self) {
    struct session *session = self->session;
    lock_take(&session->lock);
    for (struct task *task = self->tgid ? session->tasks : NULL; task; task = task->next)
        if (tgid_of(task) == self->tgid)
            task->dumpable = 0;
    self->dumpable = 0;
    self->executed = true;
    lock_leave(&session->lock);
}

/* ---- from the first call to the last ---- */

static gid_t *copy_groups(const struct cred *cred) {
    gid_t *groups = malloc(cred->ngroups * sizeof *groups);
    return groups ? memcpy(groups, cred->groups, cred->ngroups * sizeof *groups) : NULL;
}

void task_init(struct task *task, struct session *session, pid_t tid) {
    memset(task, 0, sizeof *task);
    task->tid = tid;
    task->pidfd = task->lent = -1;
    enlist(session, task);
}

/* Its copy of the umask is right as long as the parent's would be. */
void task_inherit(struct task *child, const struct task *parent, bool thread) {
    if (parent->child_mark && !thread)
        (void)members_set_mark(child->tid, parent->child_mark);   /* it is dead otherwise */
    child->dumpable = parent->dumpable;
    child->seen = parent->seen;
    child->cwd_generation = 0;
    child->program = parent->program;
    gid_t *groups = NULL;
    child->cred_known =
        parent->cred_known && !parent->ids && (!parent->cred.ngroups || (groups = copy_groups(&parent->cred)));
    if (!child->cred_known)
        return;
    free(child->groups);
    child->groups = groups;
    child->tgid = thread ? parent->tgid : child->tid;
    child->cred = parent->cred;
    child->cred.groups = groups;
    child->cred_stays = parent->cred_stays;
    child->umask_generation = parent->umask_generation;
    child->uid = parent->uid;
    child->gid = parent->gid;
    child->permitted = parent->permitted;
}

void task_exec(struct task *task) {
    if (task->seen_next)
        (void)seen_set(task, task->seen_next);
    free(task->seen_next);
    task->seen_next = NULL;
    forget_dumpable(task);
    task->program = 0;
    task->looks = 0;
    task->birth = NULL;
    bool known = task->cred_known && task->cred_stays && task->executes_plain;
    task->executes_plain = false;
    task->executes = 0;
    task->cred_known = known;
    if (!known)
        __atomic_store_n(&task->tgid, 0, __ATOMIC_RELAXED);
    if (task->pidfd >= 0)
        close(task->pidfd);
    task->pidfd = -1;
}

void task_clear(struct task *task) {
    strike(task);
    free(task->seen_next);
    free(task->groups);
    free(task->ids);
    free(task->cwd);
    if (task->pidfd >= 0)
        close(task->pidfd);
    task->groups = NULL;
    task->ids = NULL;
    task->cwd = NULL;
    task->pidfd = -1;
}

bool task_filtered(const struct call *call) {
    return __atomic_load_n(&call->session->filtered, __ATOMIC_SEQ_CST) && family_filtered(call->task->tid);
}
