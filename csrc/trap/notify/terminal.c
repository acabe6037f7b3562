/* terminal.c - terminals that the notify trap opens for tracees.
 *
 * What open(2) makes of a terminal depends on who opens it: it may become the controlling one of the session, and
 * /dev/tty is whatever that is.  So ours is opened without becoming anything, and the tracee takes it by TIOCSCTTY,
 * whose arguments are all in registers (ioctl_tty(2)).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/major.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "../../calls/handlers/open.h"
#include "../../process/family.h"
#include "../../process/proc.h"
#include "terminal.h"

#define UNIX98_PTY_MAJOR_COUNT 8
#define OWN_MINOR 0         /* of TTYAUX_MAJOR: /dev/tty */
#define PTMX_MINOR 2
#define MINORS_OF_A_PTY_MAJOR 256u
#define STAT_SIZE 1024u     /* of /proc/PID/stat */
#define TTY_FIELD 7         /* tty_nr: proc_pid_stat(5) */

bool terminal_is_own(const struct stat *st) {
    return S_ISCHR(st->st_mode) && st->st_rdev == makedev(TTYAUX_MAJOR, OWN_MINOR);
}

static bool is_pty(unsigned number) {
    return number >= UNIX98_PTY_SLAVE_MAJOR && number < UNIX98_PTY_SLAVE_MAJOR + UNIX98_PTY_MAJOR_COUNT;
}

static bool is_terminal(const struct stat *st) {
    unsigned number = S_ISCHR(st->st_mode) ? major(st->st_rdev) : 0;
    if (number == TTYAUX_MAJOR)
        return minor(st->st_rdev) != OWN_MINOR && minor(st->st_rdev) != PTMX_MINOR;
    return number == TTY_MAJOR || is_pty(number);
}

/* The device number of the task's controlling terminal, 0: none.  fs/proc/array.c. */
static dev_t own_terminal(pid_t tid) {
    char text[STAT_SIZE];
    const char *at = proc_stat_field(tid, TTY_FIELD, text, sizeof text);
    uint32_t dev = at ? (uint32_t)strtol(at, NULL, 10) : 0;
    return proc_device(dev);
}

/* Where the kernel's driver has it. */
static int find_path(dev_t dev, char *path, size_t size) {
    char link[64], uevent[256];
    if (is_pty(major(dev))) {
        snprintf(path, size, "/dev/pts/%u", (major(dev) - UNIX98_PTY_SLAVE_MAJOR) * MINORS_OF_A_PTY_MAJOR + minor(dev));
        return 0;
    }
    snprintf(link, sizeof link, "/sys/dev/char/%u:%u/uevent", major(dev), minor(dev));
    int fd = open(link, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, uevent, sizeof uevent - 1);
    if (fd >= 0)
        close(fd);
    uevent[length > 0 ? length : 0] = '\0';
    const char *name = strstr(uevent, "DEVNAME=");
    if (!name)
        return -ENXIO;
    name += strlen("DEVNAME=");
    snprintf(path, size, "/dev/%.*s", (int)strcspn(name, "\n"), name);
    return 0;
}

int terminal_open_own(pid_t tid, const struct call *call) {
    char path[512];
    if (getsid(tid) == getsid(0))
        return open_call(call);
    dev_t dev = own_terminal(tid);
    int error = dev ? find_path(dev, path, sizeof path) : -ENXIO;
    if (error)
        return error;
    int flags = (call->open_flags & ~(O_CREAT | O_EXCL | O_TRUNC)) | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC;
    int fd = open(path, flags);
    return fd < 0 ? -errno : fd;
}

bool terminal_becomes_own(pid_t tid, const struct stat *st, int flags) {
    return !(flags & O_NOCTTY) && (flags & O_ACCMODE) != O_WRONLY && is_terminal(st) &&
           getsid(tid) == family_process(tid) && own_terminal(tid) == 0;
}

static long taken(struct call *call, long result) {
    (void)result;   /* the terminal of another session is not taken, and yet opened */
    return call->value;
}

void terminal_take(struct call *call, int descriptor) {
    call->verdict = VERDICT_SUBSTITUTE;
    call->new_nr = SYS_ioctl;
    call->replacements[0] = (struct replacement){.arg = 0, .value = (uint64_t)descriptor};
    call->replacements[1] = (struct replacement){.arg = 1, .value = TIOCSCTTY};
    call->replacements[2] = (struct replacement){.arg = 2, .value = 0};
    call->n_replacements = 3;
    call->value = descriptor;
    call->finish = taken;
}
