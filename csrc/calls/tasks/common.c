/* common.c - credentials that all tasks of a run have alike.
 *
 * Most runs are of one user's programs that never change theirs: what was read of the first task is right for all that
 * come from it, and to read /proc/PID/status of each program costs more than all else that its start does here.
 *
 * Rules: they end for good, before, with the first call that could give somebody others: set*id calls, capabilities,
 * user namespaces, a program that is not plain.  A umask is each process's own, and is read when one is needed.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "common.h"

#include <stdlib.h>
#include <string.h>

#include "../call.h"
#include "../session.h"
#include "seen.h"
#include "task.h"

struct common {
    struct cred cred;
    uid_t uid;
    gid_t gid;
    uint64_t permitted;
    gid_t groups[];         /* cred.groups points here */
};

void common_keep(struct task *task) {
    struct session *session = task->session;
    if (__atomic_load_n(&session->common, __ATOMIC_ACQUIRE) || __atomic_load_n(&session->varied, __ATOMIC_SEQ_CST) ||
        !task->cred_known || !task->cred_stays || !task->cred.own || task->ids || seen_wanted(session))
        return;
    struct common *none = NULL, *common = malloc(sizeof *common + task->cred.ngroups * sizeof *common->groups);
    if (!common)
        return;
    *common = (struct common){.cred = task->cred, .uid = task->uid, .gid = task->gid, .permitted = task->permitted};
    if (task->cred.ngroups)
        memcpy(common->groups, task->cred.groups, task->cred.ngroups * sizeof(gid_t));
    common->cred.groups = common->groups;
    if (!__atomic_compare_exchange_n(&session->common, &none, common, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
        free(common);
}

/* A thread's process is to be asked for. */
bool common_take(struct task *task) {
    struct session *session = task->session;
    const struct common *common = __atomic_load_n(&session->common, __ATOMIC_ACQUIRE);
    if (!common || !task->tgid || __atomic_load_n(&session->varied, __ATOMIC_SEQ_CST))
        return false;
    free(task->groups);
    free(task->ids);
    task->groups = NULL;
    task->ids = NULL;
    task->cred = common->cred;
    task->uid = common->uid;
    task->gid = common->gid;
    task->permitted = common->permitted;
    task->cred_known = task->cred_stays = true;
    task->umask_generation = 0;
    return true;
}

void common_end(struct session *session) {
    __atomic_store_n(&session->varied, true, __ATOMIC_SEQ_CST);
}

void common_forget(struct call *call) {
    common_end(call->session);
    call->task->cred_known = false;
}

void common_clear(struct session *session) {
    free(session->common);
    session->common = NULL;
}
