/* guard.c - a process that ends the tracees of the notify trap when the supervisor dies.
 *
 * ptrace kills tracees by itself (PTRACE_O_EXITKILL); a filter whose listener is gone answers ENOSYS, and the tracees
 * would go on in a world where every file has vanished.  The guard holds the listener too.  When the supervisor has
 * died it kills all that are on the roster and their descendants, and then whoever calls, until none is left.
 *
 * Rules: it keeps no descriptor of the supervisor's but those it needs, so that nobody waits for the end of a pipe
 * because of it, nor finds a layer locked by it after the supervisor's death: guard_start() returns when it has let
 * go of them.  It is in a session of its own, so that no terminal ends it.  Forked from a process with threads:
 * async-signal-safe functions only.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../process/family.h"
#include "guard.h"

#define NOTIFICATION_ROOM 512u      /* bytes; struct seccomp_notif has 80 now */
#define PATIENCE_MS 100             /* between two looks for tracees that make no calls */

/* Descriptors of the guard after keep_only. */
#define LIFE 0
#define LISTENER 1

static void keep_only(int life, int listener) {
    int kept = fcntl(listener, F_DUPFD_CLOEXEC, 3);
    if (kept < 0 || dup2(life, LIFE) < 0 || dup2(kept, LISTENER) < 0)
        _exit(1);
    if (syscall(SYS_close_range, 2, ~0u, 0) == 0)
        return;
    for (long fd = sysconf(_SC_OPEN_MAX); fd >= 2; fd--)
        close((int)fd);
}

/* Kills whoever calls; false: nobody is left who could. */
static bool kill_callers(const pid_t *ids, size_t n_ids) {
    char room[NOTIFICATION_ROOM] __attribute__((aligned(8)));
    struct pollfd pollfd = {.fd = LISTENER, .events = POLLIN};
    family_kill(ids, n_ids, false);
    if (poll(&pollfd, 1, PATIENCE_MS) <= 0)
        return true;
    if (pollfd.revents & POLLIN) {
        memset(room, 0, sizeof room);
        if (ioctl(LISTENER, SECCOMP_IOCTL_NOTIF_RECV, room) == 0)
            kill((pid_t)((struct seccomp_notif *)(void *)room)->pid, SIGKILL);
        return true;
    }
    return !(pollfd.revents & (POLLHUP | POLLERR | POLLNVAL));
}

static _Noreturn void watch(int life, int listener, const pid_t *ids, size_t n_ids) {
    char byte;
    keep_only(life, listener);
    (void)setsid();
    (void)prctl(PR_SET_NAME, "ptoverlay-guard", 0, 0, 0);
    if (chdir("/") < 0)
        _exit(1);
    ssize_t n;
    while ((n = read(LIFE, &byte, 1)) < 0 && errno == EINTR)
        continue;
    while (n == 0 && kill_callers(ids, n_ids))
        continue;
    _exit(0);
}

/* Until the guard has closed its copy of the pipe's other end. */
static void wait_until_closed(int fd) {
    char byte;
    while (read(fd, &byte, 1) < 0 && errno == EINTR)
        continue;
}

int guard_start(struct guard *guard, int listener, const pid_t *ids, size_t n_ids) {
    int life[2], let_go[2];
    if (pipe2(life, O_CLOEXEC) < 0)
        return -errno;
    if (pipe2(let_go, O_CLOEXEC) < 0) {
        int error = errno;
        close(life[0]);
        close(life[1]);
        return -error;
    }
    pid_t pid = fork();
    if (pid == 0)
        watch(life[0], listener, ids, n_ids);
    int error = pid < 0 ? errno : 0;
    close(life[0]);
    close(let_go[1]);
    if (!error)
        wait_until_closed(let_go[0]);
    close(let_go[0]);
    if (error) {
        close(life[1]);
        return -error;
    }
    *guard = (struct guard){.pid = pid, .life = life[1]};
    return 0;
}

void guard_stop(struct guard *guard) {
    if (!guard->pid)
        return;
    if (write(guard->life, "", 1) != 1)
        (void)kill(guard->pid, SIGKILL);
    close(guard->life);
    while (waitpid(guard->pid, NULL, __WALL) < 0 && errno == EINTR)
        continue;
    guard->pid = 0;
}
