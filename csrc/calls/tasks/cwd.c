/* cwd.c - the current directory of tasks that cannot be made to go where the view has it: those that a debugger traces
 * (trap/notify/debugged.c).
 *
 * Their process keeps the directory that the kernel knows, and the supervisor keeps the one that it is in for the view.
 * Which that is must be inherited as a directory is, so it is a number in a resource limit (as in members.c): the soft
 * RLIMIT_RSS, which has had no meaning since Linux 2.4.30 (getrlimit(2)), and shows as the hard one.
 *
 * Rules: a process that has one goes on with the supervisor's for good, chdir and fchdir included; no relative path of
 * its is passed.  Threads and vforks share the limit as they share the directory; CLONE_FS between processes is not
 * told apart.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../process/descriptor.h"
#include "../../process/rlimit.h"
#include "../call.h"
#include "../flags.h"
#include "../scratch.h"
#include "../session.h"
#include "cwd.h"
#include "task.h"

#define DIRECTORIES 1024u

struct cwds {
    uint64_t base;              /* at random, so that a limit that was set outside is none of ours */
    unsigned count;             /* atomic */
    int fds[DIRECTORIES];       /* O_PATH */
};

static int of_process(const struct session *session, pid_t tid) {
    const struct cwds *cwds = __atomic_load_n(&session->cwds, __ATOMIC_ACQUIRE);
    if (!cwds)
        return -1;
    struct rlimit limit;
    uint64_t number = rlimit_get(tid, RLIMIT_RSS, &limit) < 0 ? UINT64_MAX : limit.rlim_cur - cwds->base;
    return number < __atomic_load_n(&cwds->count, __ATOMIC_ACQUIRE) ? cwds->fds[number] : -1;
}

bool cwd_kept(const struct session *session, pid_t tid) {
    return of_process(session, tid) >= 0;
}

void cwd_link(const struct session *session, pid_t tid, char out[PROC_LINK]) {
    int fd = of_process(session, tid);
    if (fd < 0)
        descriptor_link(tid, AT_FDCWD, out);
    else
        descriptor_own_link(fd, out);
}

static struct cwds *make_cwds(struct session *session) {
    struct cwds *cwds = session->cwds;
    uint64_t base;
    if (cwds || getrandom(&base, sizeof base, 0) != sizeof base)
        return cwds;
    cwds = calloc(1, sizeof *cwds);
    if (!cwds)
        return NULL;
    cwds->base = (base >> 8) | (UINT64_C(1) << 48);
    __atomic_store_n(&session->cwds, cwds, __ATOMIC_RELEASE);
    return cwds;
}

/* The number of a directory; the view is entered, which is the lock. */
static long find_or_add(struct cwds *cwds, const char *real) {
    struct stat wanted, st;
    int fd = open(real, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENAMETOOLONG)
        fd = view_open_exact(real, O_PATH | O_DIRECTORY, 0);
    if (fd < 0 || fstat(fd, &wanted) < 0)
        return -errno;
    for (unsigned i = 0; i < cwds->count; i++) {
        if (fstat(cwds->fds[i], &st) < 0 || st.st_dev != wanted.st_dev || st.st_ino != wanted.st_ino)
            continue;
        close(fd);
        return i;
    }
    if (cwds->count == DIRECTORIES) {
        close(fd);
        return -ENFILE;
    }
    cwds->fds[cwds->count] = fd;
    return __atomic_fetch_add(&cwds->count, 1, __ATOMIC_RELEASE);
}

int cwd_keep(struct call *call, const char *real) {
    ENTERED(call);
    struct session *session = call->session;
    struct cwds *cwds = make_cwds(session);
    long number = cwds ? find_or_add(cwds, real) : -ENOMEM;
    if (number < 0)
        return (int)number;
    struct rlimit limit;
    int error = rlimit_get(call->task->tgid, RLIMIT_RSS, &limit);
    limit.rlim_cur = cwds->base + (uint64_t)number;
    if (error == 0)
        error = prlimit(call->task->tgid, RLIMIT_RSS, &limit, NULL) < 0 ? -errno : 0;
    __atomic_add_fetch(&session->cwd_generation, 1, __ATOMIC_SEQ_CST);
    return error;
}

void cwd_clear(struct session *session) {
    struct cwds *cwds = session->cwds;
    for (unsigned i = 0; cwds && i < cwds->count; i++)
        close(cwds->fds[i]);
    free(cwds);
    session->cwds = NULL;
}
