/* mapping.c - the files by which a user namespace gets its ids: /proc/PID/uid_map, gid_map, projid_map, setgroups.
 *
 * The kernel looks at who has opened the file: at his user namespace, his effective ids and his capabilities there
 * (user_namespaces(7), kernel/user_namespace.c map_write()).  So a short-lived process of ours becomes what the task
 * is, which a thread of ours may not: setns(2) wants a process with one thread, and the ids of ours must stay.
 *
 * Rule: between the fork and the end of the child there are system calls alone, since other threads may have held locks
 * of the C library.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../process/descriptor.h"
#include "../../view/view.h"
#include "../call.h"
#include "../session.h"
#include "../tasks/identity.h"
#include "../tasks/task.h"
#include "mapping.h"

bool mapping_is_of(const struct call *call, const struct location *loc) {
    static const char *const names[] = {"/uid_map", "/gid_map", "/projid_map", "/setgroups"};
    if (!__atomic_load_n(&call->session->user_namespaces, __ATOMIC_SEQ_CST) || strncmp(loc->path, "/proc/", 6) != 0)
        return false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t length = strlen(names[i]);
        if (loc->length > length && strcmp(loc->path + loc->length - length, names[i]) == 0)
            return true;
    }
    return false;
}

static long become(const struct cred *cred) {
    if (syscall(SYS_setgroups, cred->ngroups, cred->groups) < 0)
        return -errno;
    if (syscall(SYS_setresgid, cred->fsgid, cred->fsgid, cred->fsgid) < 0)
        return -errno;
    return syscall(SYS_setresuid, cred->fsuid, cred->fsuid, cred->fsuid) < 0 ? -errno : 0;
}

/* In the child. */
static long open_as(const struct call *call, const char *path, int flags, int namespace) {
    const struct cred *cred = &call->task->cred;
    long error = cred->own || identity_acts_as(call->session, cred) ? 0 : become(cred);
    if (error == 0 && cred->ids && syscall(SYS_setns, namespace, CLONE_NEWUSER) < 0)
        error = -errno;
    if (error < 0)
        return error;
    long fd = syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0);
    return fd < 0 ? -errno : fd;
}

static void tell(int pipe, long result) {
    while (syscall(SYS_write, pipe, &result, sizeof result) < 0 && errno == EINTR)
        continue;
    syscall(SYS_exit_group, 0);
}

int mapping_open(const struct call *call, const char *path, int flags) {
    char link[PROC_LINK];
    int ends[2];
    long result = -EIO;
    snprintf(link, sizeof link, "/proc/%d/ns/user", call->task->tid);
    CLOSE_DESCRIPTOR namespace = open(link, O_RDONLY | O_CLOEXEC);
    if (namespace < 0 || pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    long child = syscall(SYS_clone, CLONE_FILES, 0L, 0L, 0L, 0L);   /* no SIGCHLD: nobody else waits for it */
    if (child == 0)
        tell(ends[1], open_as(call, path, flags, namespace));
    if (child < 0)
        result = -errno;
    else {
        while (waitpid((pid_t)child, NULL, __WALL) < 0 && errno == EINTR)
            continue;
        if (fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0 || read(ends[0], &result, sizeof result) != sizeof result)
            result = -EIO;
    }
    close(ends[0]);
    close(ends[1]);
    return (int)result;
}
