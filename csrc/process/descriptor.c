/* descriptor.c - a descriptor of a task: the link of /proc that leads to it, and what proc(5) tells of it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "descriptor.h"
#include "rlimit.h"

void descriptor_own_link(int fd, char out[PROC_LINK]) {
    snprintf(out, PROC_LINK, "/proc/self/fd/%d", fd);
}

void descriptor_link(pid_t tid, int fd, char out[PROC_LINK]) {
    if (fd == AT_FDCWD)
        snprintf(out, PROC_LINK, "/proc/%d/cwd", tid);
    else
        snprintf(out, PROC_LINK, "/proc/%d/fd/%d", tid, fd);
}

int descriptor_info(pid_t tid, int fd, struct descriptor_info *info) {
    char path[PROC_LINK], text[256];
    snprintf(path, sizeof path, "/proc/%d/fdinfo/%d", tid, fd);
    CLOSE_DESCRIPTOR file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return errno == ENOENT ? -EBADF : -errno;
    ssize_t length = read(file, text, sizeof text - 1);
    if (length < 0)
        return -errno;
    text[length] = '\0';
    const char *position = strstr(text, "pos:"), *flags = strstr(text, "flags:");
    if (!position || !flags)
        return -EBADF;
    info->position = strtoll(position + sizeof "pos:" - 1, NULL, 10);
    info->flags = (int)strtoul(flags + sizeof "flags:" - 1, NULL, 8);
    return 0;
}

int descriptor_flags(pid_t tid, int fd) {
    struct descriptor_info info;
    int error = descriptor_info(tid, fd, &info);
    return error < 0 ? error : info.flags;
}

/* Numbers of open descriptors below this one. */
static rlim_t used_below(pid_t tid, rlim_t limit) {
    char path[PROC_LINK];
    rlim_t used = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", tid);
    CLOSE_DIRECTORY *dir = opendir(path);
    for (const struct dirent *entry; dir && (entry = readdir(dir));)
        used += entry->d_name[0] != '.' && strtoul(entry->d_name, NULL, 10) < limit;
    return used;
}

/* The last number is free, as a rule, and then nothing else need be looked at. */
bool descriptor_is_left(pid_t tid) {
    char link[PROC_LINK];
    struct rlimit limit;
    if (rlimit_get(tid, RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > INT_MAX)
        return true;
    if (limit.rlim_cur == 0)
        return false;
    descriptor_link(tid, (int)limit.rlim_cur - 1, link);
    return faccessat(AT_FDCWD, link, F_OK, AT_SYMLINK_NOFOLLOW) < 0 || used_below(tid, limit.rlim_cur) < limit.rlim_cur;
}

int descriptor_write(int fd, const char *text, size_t length) {
    for (size_t at = 0; at < length;) {
        ssize_t n = write(fd, text + at, length - at);
        if (n < 0 && errno != EINTR)
            return -errno;
        at += n > 0 ? (size_t)n : 0;
    }
    return 0;
}
