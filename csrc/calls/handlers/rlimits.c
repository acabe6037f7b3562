/* rlimits.c - getrlimit, setrlimit, prlimit64: of the limits that are not what a tracee sees (tasks/limits.c).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../process/memory.h"
#include "../../process/rlimit.h"
#include "../call.h"
#include "../compat_layout.h"
#include "../table.h"
#include "../tasks/cwd.h"
#include "../tasks/limits.h"
#include "../tasks/seen.h"
#include "../tasks/task.h"
#include "../verdict.h"
#include "handlers.h"

static bool is_narrow(const struct call *call) {
    return call->compat == COMPAT_LIMIT || call->compat == COMPAT_LIMIT_OLD;
}

static int read_limit(struct call *call, uint64_t at, struct rlimit *limit) {
    return is_narrow(call) ? compat_read_limit(&call->memory, at, limit)
                           : memory_read(&call->memory, at, limit, sizeof *limit);
}

/* at 0: nobody wants to know. */
static void answer_limit(struct call *call, uint64_t at, const struct rlimit *limit) {
    char out[COMPAT_LAYOUT_MAX];
    if (is_narrow(call))
        return verdict_answer_bytes(call, at, out, at ? compat_limit(call->compat, limit, out) : 0, 0);
    verdict_answer_bytes(call, at, limit, at ? sizeof *limit : 0, 0);
}

/* The limit as the process knows it. */
static int shown_core(pid_t pid, struct rlimit *shown) {
    struct rlimit locks;
    int error = rlimit_get(pid, RLIMIT_CORE, shown);
    if (error == 0)
        error = rlimit_get(pid, RLIMIT_LOCKS, &locks);
    if (error == 0)
        shown->rlim_cur = limits_least(limits_core(&locks), shown->rlim_max);
    return error;
}

/* As root without CAP_SYS_RESOURCE (containers) we may only with the real ids that the process has, and this thread
 * alone gets them: it stays root by the others. */
static int set_as(const struct task *task, pid_t pid, int resource, const struct rlimit *limit) {
    if (prlimit(pid, resource, limit, NULL) == 0)
        return 0;
    uid_t uid = getuid();
    gid_t gid = getgid();
    if (errno != EPERM || geteuid() != 0 || (uid == task->uid && gid == task->gid))
        return -errno;
    if (syscall(SYS_setresgid, task->gid, -1, -1) < 0)
        return -EPERM;
    int error = -EPERM;
    if (syscall(SYS_setresuid, task->uid, -1, -1) == 0) {
        error = prlimit(pid, resource, limit, NULL) < 0 ? -errno : 0;
        if (syscall(SYS_setresuid, uid, -1, -1) < 0)
            abort();
    }
    if (syscall(SYS_setresgid, gid, -1, -1) < 0)
        abort();
    return error;
}

static int set_core(const struct task *task, pid_t pid, const struct rlimit *wanted) {
    const struct rlimit core = {.rlim_cur = limits_least(LIMITS_NO_CORE, wanted->rlim_max),
                                .rlim_max = wanted->rlim_max};
    struct rlimit locks;
    int error = rlimit_get(pid, RLIMIT_LOCKS, &locks);
    if (error == 0)
        error = set_as(task, pid, RLIMIT_CORE, &core);
    if (error < 0)
        return error;
    locks.rlim_cur = limits_least(wanted->rlim_cur, locks.rlim_max);
    return set_as(task, pid, RLIMIT_LOCKS, &locks);
}

/* do_prlimit() in kernel/sys.c. */
static int may_set_limit(const struct call *call, const struct rlimit *wanted, const struct rlimit *old) {
    if (wanted->rlim_cur > wanted->rlim_max)
        return -EINVAL;
    return wanted->rlim_max > old->rlim_max && !cred_capable(&call->task->cred, CAP_SYS_RESOURCE) ? -EPERM : 0;
}

/* Is it one of the run, which the caller may ask about?  check_prlimit_permission() in kernel/sys.c. */
static int may_ask(struct call *call, pid_t pid) {
    if (pid == call->task->tid || pid == call->task->tgid)
        return 0;
    if (!task_in_run(call->session, pid))
        return -ESRCH;
    return task_same_ids(call->task, pid) || cred_capable(&call->task->cred, CAP_SYS_RESOURCE) ? 0 : -EPERM;
}

/* Others than those of the run are the host's, and what they are given is. */
static void core_of(struct call *call, pid_t pid, uint64_t new_at, uint64_t old_at) {
    struct rlimit old, wanted;
    int error = new_at ? read_limit(call, new_at, &wanted) : 0;
    if (error < 0)
        return verdict_answer(call, error);
    if (!task_cred(call))
        return;
    error = may_ask(call, pid);
    if (error == -ESRCH)
        return new_at ? verdict_refuse(call, EPERM, "the process is not one of the run") : (void)0;
    if (error == 0)
        error = shown_core(pid, &old);
    if (error == 0 && new_at)
        error = may_set_limit(call, &wanted, &old);
    if (error == 0 && new_at)
        error = set_core(call->task, pid, &wanted);
    if (error < 0)
        return verdict_answer(call, error);
    answer_limit(call, old_at, &old);
}

/* Setting RLIMIT_LOCKS has no effect in any case, and it shows as nobody changes it. */
static void locks_of(struct call *call, uint64_t old_at) {
    static const struct rlimit unlimited = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
    answer_limit(call, old_at, &unlimited);
}

/* Where it tells of a directory (cwd.c) it stays. */
static void rss_of(struct call *call, pid_t pid, uint64_t old_at) {
    struct rlimit limit;
    if (seen_wanted(call->session))   /* the hard one is a mark */
        return locks_of(call, old_at);
    if (!cwd_kept(call->session, pid) || rlimit_get(pid, RLIMIT_RSS, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    answer_limit(call, old_at, &limit);
}

void do_rlimit(struct call *call) {
    bool any = call->row->detail == RLIMIT_OLD_IN_3, get = call->row->detail == RLIMIT_GET;
    uint32_t resource = (uint32_t)call->arg[call->row->filter_arg];
    uint64_t new_at = any ? call->arg[2] : get ? 0 : call->arg[1];
    uint64_t old_at = any ? call->arg[3] : get ? call->arg[1] : 0;
    pid_t pid = any && (pid_t)call->arg[0] ? (pid_t)call->arg[0] : call->task->tid;
    if (resource == RLIMIT_LOCKS)
        locks_of(call, old_at);
    else if (resource == RLIMIT_RSS)
        rss_of(call, pid, old_at);
    else if (resource == RLIMIT_CORE)
        core_of(call, pid, new_at, old_at);
}
