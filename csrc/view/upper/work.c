/* work.c - the work directory: new objects are made in it, and what is to go ends in it.
 *
 * Rule: what stays in it is removed by the same scope that made it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../layers/layers.h"
#include "upper.h"

void work_name(struct overlay *ovl, char out[WORK_NAME]) {
    snprintf(out, WORK_NAME, "#%llx", (unsigned long long)++ovl->sequence);
}

int work_notes(struct overlay *ovl, const char *ending, int (*settle)(struct overlay *ovl, const char *note)) {
    STREAM *stream;
    const struct dirent *entry;
    int error = stream_open(ovl->work, &stream);
    while (!error && !(error = stream_read(stream, &entry)) && entry) {
        size_t length = strlen(entry->d_name), tail = strlen(ending);
        if (length > tail && strcmp(entry->d_name + length - tail, ending) == 0)
            error = settle(ovl, entry->d_name);
    }
    return error;
}

void work_object_init(struct overlay *ovl, struct work_object *object) {
    object->ovl = ovl;
    work_name(ovl, object->name);
}

void work_remove(struct overlay *ovl, const char *name) {
    if (unlinkat(ovl->work, name, 0) < 0 && (errno == EISDIR || errno == EPERM))
        (void)work_remove_tree(ovl->work, name);   /* what stays is removed at the next start */
}

void work_object_drop(struct work_object *object) {
    if (object->name[0])
        work_remove(object->ovl, object->name);
}

static int open_to_empty(int dirfd, const char *name) {
    int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == EACCES && fchmodat(dirfd, name, 0700, 0) == 0)
        fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int remove_entry(int dirfd, const struct dirent *entry) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
        return 0;
    if (entry->d_type != DT_DIR && unlinkat(dirfd, entry->d_name, 0) == 0)
        return 0;
    if (entry->d_type != DT_DIR && errno != EISDIR && errno != EPERM && errno != EACCES)
        return -errno;
    return work_remove_tree(dirfd, entry->d_name);
}

int work_remove_children(int dir) {
    STREAM *stream;
    const struct dirent *entry;
    int error = stream_open(dir, &stream);
    if (!error)
        (void)!fchmod(dirfd(stream), 0700);   /* fails only where it is not needed */
    while (!error && !(error = stream_read(stream, &entry)) && entry)
        error = remove_entry(dir, entry);
    return error;
}

int work_remove_tree(int dirfd, const char *name) {
    if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0)
        return 0;
    if (errno == ENOTDIR)
        return unlinkat(dirfd, name, 0) < 0 ? -errno : 0;
    if (errno != ENOTEMPTY && errno != EEXIST)
        return -errno;
    CLOSE_FD fd = open_to_empty(dirfd, name);
    if (fd < 0)
        return fd;
    int error = work_remove_children(fd);
    if (error)
        return error;
    return unlinkat(dirfd, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}
