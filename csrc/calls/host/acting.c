/* acting.c - the supervisor acts with the credentials of the task that it answers, for the length of a few calls.
 *
 * Rules: credentials and the umask belong to the calling thread here, not to the process: the system calls themselves
 * are made, since the C library's functions change all threads (setgroups(2), NOTES).  What is taken on is given back
 * in the same function (ACTING); a supervisor that cannot take its own ids on again must not go on.  The permitted
 * capabilities stay, so it always can.  credentials(7), capabilities(7), unshare(2) CLONE_FS.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../view/view.h"
#include "../call.h"
#include "../tasks/identity.h"
#include "../tasks/task.h"
#include "acting.h"

/* ---- the umask ---- */

/* Where unshare(2) is refused all threads have one, which is changed by one of them at a time. */
static pthread_mutex_t umask_lock = PTHREAD_MUTEX_INITIALIZER;

static bool has_own_umask(void) {
    static _Thread_local enum { UNKNOWN, SHARED, OWN } state;
    if (state == UNKNOWN)
        state = unshare(CLONE_FS) == 0 ? OWN : SHARED;
    return state == OWN;
}

static void take_umask(struct acting *acting, mode_t mask) {
    acting->locked = !has_own_umask();
    if (acting->locked)
        pthread_mutex_lock(&umask_lock);
    acting->umask = umask(mask);
    acting->masked = true;
}

static void give_umask(const struct acting *acting) {
    if (!acting->masked)
        return;
    (void)umask(acting->umask);
    if (acting->locked)
        pthread_mutex_unlock(&umask_lock);
}

/* ---- the credentials ---- */

static int set_capabilities(uint64_t effective) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    if (syscall(SYS_capget, &header, data) < 0)
        return -errno;
    for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
        data[i].effective = (uint32_t)(effective >> (32 * i)) & data[i].permitted;
    return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

static int set_groups(const struct cred *cred) {
    return syscall(SYS_setgroups, cred->ngroups, cred->groups) < 0 ? -errno : 0;
}

/* setfsuid(2) tells no error: what it returns the next time does. */
static int set_ids(const struct cred *cred) {
    (void)syscall(SYS_setfsgid, cred->fsgid);
    (void)syscall(SYS_setfsuid, cred->fsuid);
    bool set = (gid_t)syscall(SYS_setfsgid, -1L) == cred->fsgid && (uid_t)syscall(SYS_setfsuid, -1L) == cred->fsuid;
    return set ? 0 : -EPERM;
}

/* The ids are changed with all capabilities: those of the task may not do for the way back. */
static void become_ourselves(const struct cred *own) {
    if (set_capabilities(UINT64_MAX) < 0 || set_ids(own) < 0 || set_groups(own) < 0 || set_capabilities(own->caps) < 0)
        abort();
}

static int take_on(const struct cred *cred, const struct cred *own) {
    int error = set_groups(cred);
    if (error < 0)
        return error;   /* nothing is changed */
    error = set_ids(cred);
    if (error == 0)
        error = set_capabilities(cred->ids ? 0 : cred->caps);
    if (error < 0)
        become_ourselves(own);
    return error;
}

int acting_begin(struct acting *acting, const struct call *call, bool makes) {
    const struct cred *cred = &call->task->cred;
    *acting = (struct acting){.session = NULL};
    if (!cred->own && !identity_acts_as(call->session, cred)) {
        struct cred own;
        if (!identity_cred(call->session, &own))
            return -EPERM;
        int error = take_on(cred, &own);
        if (error < 0)
            return error;
        acting->session = call->session;
    }
    if (makes)
        take_umask(acting, cred->umask);
    return 0;
}

void acting_end(const struct acting *acting) {
    int error = errno;
    struct cred own;
    give_umask(acting);
    if (acting->session && identity_cred(acting->session, &own))
        become_ourselves(&own);
    errno = error;
}
