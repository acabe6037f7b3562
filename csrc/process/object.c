/* object.c - what a link of /proc leads to, and how a descriptor was opened.
 *
 * Rule: the text of such a link ends in " (deleted)" for an object without a name, and so may a name; only the
 * object itself tells them apart.  fs/d_path.c, proc(5).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "../calls/internal.h"

static const char deleted[] = " (deleted)";

static bool same_object(const char *link, const char *path) {
    struct stat object, name;
    return stat(link, &object) == 0 && lstat(path, &name) == 0 && object.st_dev == name.st_dev &&
           object.st_ino == name.st_ino;
}

int object_read(const char *link, char *real) {
    ssize_t length = readlink(link, real, PATH_MAX);
    if (length < 0)
        return -errno;
    if (length == PATH_MAX)
        return -ENAMETOOLONG;
    real[length] = '\0';
    if (real[0] != '/')
        return OBJECT_ANONYMOUS;
    size_t tail = sizeof deleted - 1;
    if ((size_t)length <= tail || memcmp(real + length - tail, deleted, tail) != 0 || same_object(link, real))
        return OBJECT_NAMED;
    real[(size_t)length - tail] = '\0';
    return OBJECT_DELETED;
}

void own_descriptor_link(int fd, char out[PROC_LINK]) {
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
    int rc = descriptor_info(tid, fd, &info);
    return rc < 0 ? rc : info.flags;
}
