/* object.c - what a link of /proc leads to.
 *
 * Rule: the text of such a link ends in " (deleted)" for an object without a name, and so may a name; only the
 * object itself tells them apart.  fs/d_path.c, proc(5).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "object.h"

static const char deleted[] = " (deleted)";

static bool leads_to(const char *link, const char *path) {
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
    if ((size_t)length <= tail || memcmp(real + length - tail, deleted, tail) != 0 || leads_to(link, real))
        return OBJECT_NAMED;
    real[(size_t)length - tail] = '\0';
    return OBJECT_DELETED;
}
