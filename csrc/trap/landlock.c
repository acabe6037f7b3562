/* landlock.c - the kernel's own guard behind the trap: where the tracees can change something by themselves.
 *
 * All that is made, renamed, removed or truncated is the supervisor's to do, but for direct places.  So the tracees are
 * forbidden that anywhere else (landlock(7)), and a call that raced or slipped past changes no name on the host.
 * Opening a file for writing is forbidden too where the supervisor opens fifos and devices of the lowers for the tracee;
 * else it cannot be: they are used in place, and rules cannot be added when one turns up.  Files that were open for
 * writing before may be opened again (/dev/stdout).  Landlock does not know chmod, chown, times and attributes.
 *
 * Rules: only where an overlay covers the whole file system, since Landlock can allow below a directory but not forbid below one that
 * it allows; a kernel without it, or one that refuses, is no error.
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

#define OF_DATA LANDLOCK_ACCESS_FS_WRITE_FILE
#define OF_FILES (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE)
#define OF_NAMES                                                                                                       \
    (LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR |                   \
     LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |                        \
     LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM |                      \
     LANDLOCK_ACCESS_FS_REFER)
#define WITH_TRUNCATE 3 /* the ABI that has all of them; older ones would forbid moves between directories for good */

static int create(uint64_t handled) {
    struct landlock_ruleset_attr attr = {.handled_access_fs = handled};
    int fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr.handled_access_fs, 0);
    return fd < 0 ? -errno : fd;
}

static int allow(int ruleset, uint64_t handled, const char *path, bool names) {
    struct stat st;
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int err = fstat(fd, &st) < 0 ? -errno : 0;
    struct landlock_path_beneath_attr attr = {
        .allowed_access = handled & (S_ISDIR(st.st_mode) && names ? OF_FILES | OF_NAMES : OF_FILES),
        .parent_fd = fd,
    };
    if (!err && syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &attr, 0) < 0)
        err = -errno;
    close(fd);
    return err;
}

static int allow_places(int ruleset, uint64_t handled, pto_view *view) {
    const char *path;
    bool names;
    int err = 0;
    for (size_t i = 0; !err && (path = view_writable(view, i, &names)); i++)
        err = allow(ruleset, handled, path, names);
    return err;
}

/* Will CMD inherit it, and may it write to it? */
static bool is_inherited_for_writing(int fd) {
    int own = fcntl(fd, F_GETFD), flags = fcntl(fd, F_GETFL);
    return own >= 0 && flags >= 0 && !(own & FD_CLOEXEC) && !(flags & O_PATH) && (flags & O_ACCMODE) != O_RDONLY;
}

/* Those that the kernel would never ask about (pipes, sockets) take no rule. */
static void allow_inherited(int ruleset, uint64_t handled) {
    DIR *dir = opendir("/proc/self/fd");
    if (!dir)
        return;
    for (const struct dirent *entry; (entry = readdir(dir));) {
        char path[sizeof "/proc/self/fd/" + sizeof entry->d_name];
        if (entry->d_name[0] == '.' || !is_inherited_for_writing((int)strtol(entry->d_name, NULL, 10)))
            continue;
        snprintf(path, sizeof path, "/proc/self/fd/%s", entry->d_name);
        (void)allow(ruleset, handled, path, false);
    }
    closedir(dir);
}

int landlock_abi(void) {
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return abi < 0 ? 0 : (int)abi;
}

int landlock_open(pto_view *view, bool data) {
    uint64_t handled = (OF_FILES | OF_NAMES) & ~(data ? 0 : OF_DATA);
    if (!view_covers_all(view) || landlock_abi() < WITH_TRUNCATE)
        return -ENOSYS;
    int ruleset = create(handled);
    if (ruleset < 0)
        return ruleset;
    int err = allow_places(ruleset, handled, view);
    if (err) {
        close(ruleset);
        return err;
    }
    allow_inherited(ruleset, handled);
    return ruleset;
}

int landlock_enter(int ruleset) {
    return syscall(SYS_landlock_restrict_self, ruleset, 0) < 0 ? -errno : 0;
}
