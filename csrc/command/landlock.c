/* landlock.c - the kernel's own guard behind the trap: what tracees could change by themselves.
 *
 * Changes are the supervisor's to make, in an overlay and out of it.  So the tracees are forbidden to make them
 * anywhere (landlock(7)), and a call that raced or slipped past changes nothing.  By the trap that opens files for
 * them nothing is opened for writing, made, renamed or removed.  By the other one, whose tracees open and make regular
 * files themselves, it covers names but those of regular files; and where an overlay covers the whole file system these
 * too, and truncation, but in the upper, the work directory and direct places.
 *
 * Rules: a domain that knows of truncation makes the kernel walk up to the root at every open, for reading too
 * (security/landlock/fs.c, hook_file_open()).  By the first trap none can happen: what truncates is in registers, and
 * such a call is never passed (call.c, is_cut()).  Landlock can allow below a directory but not forbid below one that
 * it allows, so a place is allowed only where the kernel must let a tracee through. It does not know chmod, chown,
 * times and attributes.  A kernel without it, or one that refuses, is no error.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "landlock.h"

#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ull << 13)
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ull << 14)
#endif

#define OF_FILES (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE)
#define OF_NAMES                                                                                                       \
    (LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR |                   \
     LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |                        \
     LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM |                      \
     LANDLOCK_ACCESS_FS_REFER)
#define OF_MAKING                                                                                                      \
    (LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_TRUNCATE) /* files, by those who open them themselves */
#define WITH_TRUNCATE 3 /* the ABI that has all of them; older ones would forbid moves between directories for good */

static int create(uint64_t handled) {
    struct landlock_ruleset_attr attr = {.handled_access_fs = handled};
    int fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr.handled_access_fs, 0);
    return fd < 0 ? -errno : fd;
}

static int allow(int ruleset, uint64_t access, const char *path) {
    struct stat st;
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int error = fstat(fd, &st) < 0 ? -errno : 0;
    struct landlock_path_beneath_attr attr = {
        .allowed_access = S_ISDIR(st.st_mode) ? access : access & OF_FILES,
        .parent_fd = fd,
    };
    if (!error && attr.allowed_access &&
        syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &attr, 0) < 0)
        error = -errno;
    close(fd);
    return error;
}

/* names: a place where none may be made is left to be truncated in. */
static int allow_places(int ruleset, uint64_t access, pto_view *view) {
    const char *path;
    bool names;
    int error = 0;
    for (size_t i = 0; !error && (path = view_writable(view, i, &names)); i++)
        error = allow(ruleset, names ? access : access & OF_FILES, path);
    return error;
}

/* Will CMD inherit it, and may it write to it? */
static bool is_inherited_for_writing(int fd) {
    int own = fcntl(fd, F_GETFD), flags = fcntl(fd, F_GETFL);
    return own >= 0 && flags >= 0 && !(own & FD_CLOEXEC) && !(flags & O_PATH) && (flags & O_ACCMODE) != O_RDONLY;
}

/* Those that the kernel would never ask about (pipes, sockets) take no rule. */
static void allow_inherited(int ruleset, uint64_t access) {
    DIR *dir = opendir("/proc/self/fd");
    if (!dir)
        return;
    for (const struct dirent *entry; (entry = readdir(dir));) {
        char path[sizeof "/proc/self/fd/" + sizeof entry->d_name];
        if (entry->d_name[0] == '.' || !is_inherited_for_writing((int)strtol(entry->d_name, NULL, 10)))
            continue;
        snprintf(path, sizeof path, "/proc/self/fd/%s", entry->d_name);
        (void)allow(ruleset, access & OF_FILES, path);
    }
    closedir(dir);
}

int landlock_abi(void) {
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return abi < 0 ? 0 : (int)abi;
}

/* Where it cannot be had, a socket is bound by the tracee itself. */
static bool has_pidfd_getfd(void) {
    int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    int copy = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, pidfd, 0);
    if (copy >= 0)
        close(copy);
    if (pidfd >= 0)
        close(pidfd);
    return copy >= 0;
}

/* What is forbidden; *allowed: of that, what is let through in the places of the view. */
static uint64_t handled(const pto_view *view, bool opens, uint64_t *allowed) {
    uint64_t access = OF_NAMES | (opens ? LANDLOCK_ACCESS_FS_WRITE_FILE : LANDLOCK_ACCESS_FS_TRUNCATE);
    bool all = view_covers_all(view), socket = !has_pidfd_getfd();
    *allowed = opens || !all ? 0 : OF_MAKING;
    if (socket && all)
        *allowed |= LANDLOCK_ACCESS_FS_MAKE_SOCK;
    if (socket && !all)
        access &= ~LANDLOCK_ACCESS_FS_MAKE_SOCK;
    return opens || all ? access : access & ~OF_MAKING;
}

int landlock_open(pto_view *view, bool opens) {
    uint64_t allowed, access = handled(view, opens, &allowed);
    if (landlock_abi() < WITH_TRUNCATE)
        return -ENOSYS;
    int ruleset = create(access);
    if (ruleset < 0)
        return ruleset;
    int error = allowed ? allow_places(ruleset, allowed, view) : 0;
    if (error) {
        close(ruleset);
        return error;
    }
    allow_inherited(ruleset, allowed);
    return ruleset;
}

int landlock_enter(int ruleset) {
    return syscall(SYS_landlock_restrict_self, ruleset, 0) < 0 ? -errno : 0;
}
