/* upper.c - the few ways in which the upper is changed.
 *
 * Rules: an upper directory is opened below the layer's descriptor without following any symlink; a new object is made
 * in the work directory and put in place by one rename, so that at every moment the upper holds the old or the new
 * state; what stays in the work directory is removed by the same scope that made it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../internal.h"

/* ---- directories ---- */

void last_dir_close(struct overlay *ovl) {
    if (ovl->last_dir.d)
        close(ovl->last_dir.fd);
    ovl->last_dir.d = 0;
}

/* Takes what is kept, or opens it. */
static int take_dir(struct overlay *ovl, uint32_t d, const char *path) {
    int fd = backing_last_dir(ovl, d);
    if (fd < 0)
        return fd_beneath(ovl->layers[0].fd, path, O_PATH | O_DIRECTORY);
    ovl->last_dir.d = 0;
    return fd;
}

int upper_dir_open(struct overlay *ovl, uint32_t d, struct upper_dir *dir) {
    char path[PATH_MAX];
    *dir = (struct upper_dir){.fd = -1};
    int error = path_in_upper(ovl, d, path);
    if (error < 0)
        return error;
    int fd = take_dir(ovl, d, path);
    if (fd < 0)
        return fd;
    *dir = (struct upper_dir){.ovl = ovl, .d = d, .fd = fd};
    quiet_begin(ovl, fd, &dir->quiet);
    error = loan_take(ovl, fd, path, &dir->loan);
    if (error)
        upper_dir_close(dir);
    return error;
}

void upper_dir_close(struct upper_dir *dir) {
    if (dir->fd < 0)
        return;
    loan_end(&dir->loan);
    quiet_end(&dir->quiet);
    last_dir_close(dir->ovl);
    dir->ovl->last_dir = (struct last_dir){.d = dir->d, .fd = dir->fd, .generation = dir->ovl->view->generation};
    dir->fd = -1;
}

void keep_times(int dirfd, struct timespec times[2]) {
    struct stat st;
    times[0].tv_nsec = times[1].tv_nsec = UTIME_OMIT;
    if (fstat(dirfd, &st) == 0) {
        times[0] = st.st_atim;
        times[1] = st.st_mtim;
    }
}

void restore_times(int dirfd, const struct timespec times[2]) {
    char path[FD_PATH];
    fd_path(dirfd, path);
    (void)!utimensat(AT_FDCWD, path, times, 0);   /* of no account for what the call was to do */
}

int sync_object(const struct overlay *ovl, int fd) {
    if (ovl->flags & (PTO_TEMPORARY | PTO_VOLATILE))
        return 0;
    return fsync(fd) < 0 && errno != EINVAL && errno != EBADF ? -errno : 0;
}

/* ---- the work directory ---- */

void work_name(struct overlay *ovl, char out[WORK_NAME]) {
    snprintf(out, WORK_NAME, "#%llx", (unsigned long long)++ovl->sequence);
}

int work_notes(struct overlay *ovl, const char *ending, int (*settle)(struct overlay *ovl, const char *note)) {
    STREAM *stream;
    const struct dirent *entry;
    int error = open_stream(ovl->work, &stream);
    while (!error && !(error = read_stream(stream, &entry)) && entry) {
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
        (void)remove_tree(ovl->work, name);   /* what stays is removed at the next start */
}

void work_object_drop(struct work_object *object) {
    if (object->name[0])
        work_remove(object->ovl, object->name);
}

static int rename_flags(int from, const char *old, int to, const char *new, unsigned flags) {
    if (syscall(SYS_renameat2, from, old, to, new, flags) == 0)
        return 0;
    if (errno == EINVAL && flags == RENAME_NOREPLACE)   /* a file system without the flag; nobody else writes there */
        return renameat(from, old, to, new) < 0 ? -errno : 0;
    return -errno;
}

/* Of a name in an upper directory. */
static int path_of(const struct overlay *ovl, int dirfd, const char *name, char out[PATH_MAX]) {
    char directory[PATH_MAX];
    int error = path_of_fd(ovl, dirfd, directory);
    if (error)
        return error;
    return snprintf(out, PATH_MAX, "%s/%s", directory, name) >= PATH_MAX ? -ENAMETOOLONG : 0;
}

/* *fd: the directory of that name, -1 when it is none. */
static int open_directory(int dirfd, const char *name, int *fd) {
    *fd = openat(dirfd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return *fd >= 0 || errno == ENOTDIR ? 0 : -errno;
}

/* A directory that moves to another one must be writable itself: rename(2). */
static int rename_lent(struct overlay *ovl, int from, const char *old, int to, const char *new, unsigned flags) {
    char path[PATH_MAX];
    CLOSE_FD moved = -1;
    CLOSE_FD other = -1;
    bool away = to == ovl->work;
    LOAN loan = {.taken = false};
    LOAN second = {.taken = false};
    int error = open_directory(from, old, &moved);
    if (!error && (flags & RENAME_EXCHANGE))
        error = open_directory(to, new, &other);
    if (!error)
        error = moved < 0 && other < 0 ? -EACCES : path_of(ovl, away ? from : to, away ? old : new, path);
    if (!error && moved >= 0)
        error = loan_take(ovl, moved, path, &loan);
    if (!error && other >= 0)
        error = loan_take(ovl, other, path, &second);
    return error ? error : rename_flags(from, old, to, new, flags);
}

int work_take(struct work_object *object, int dirfd, const char *name) {
    struct overlay *ovl = object->ovl;
    int error = rename_flags(dirfd, name, ovl->work, object->name, 0);
    if (error == -EACCES)
        error = rename_lent(ovl, dirfd, name, ovl->work, object->name, 0);
    if (error)
        object->name[0] = '\0';
    return error;
}

int work_place(struct work_object *object, int dirfd, const char *name, enum placing placing) {
    static const unsigned flags[] = {
        [PLACE_NEW] = RENAME_NOREPLACE, [PLACE_OVER] = 0, [PLACE_EXCHANGE] = RENAME_EXCHANGE};
    struct overlay *ovl = object->ovl;
    int error = rename_flags(ovl->work, object->name, dirfd, name, flags[placing]);
    if (error == -EACCES)
        error = rename_lent(ovl, ovl->work, object->name, dirfd, name, flags[placing]);
    if (!error && placing != PLACE_EXCHANGE)
        object->name[0] = '\0';
    return error;   /* after an exchange the scope removes what was there */
}

/* ---- removal ---- */

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
    return remove_tree(dirfd, entry->d_name);
}

int remove_children(int dir) {
    STREAM *stream;
    const struct dirent *entry;
    int error = open_stream(dir, &stream);
    if (!error)
        (void)!fchmod(dirfd(stream), 0700);   /* fails only where it is not needed */
    while (!error && !(error = read_stream(stream, &entry)) && entry)
        error = remove_entry(dir, entry);
    return error;
}

int remove_tree(int dirfd, const char *name) {
    if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0)
        return 0;
    if (errno == ENOTDIR)
        return unlinkat(dirfd, name, 0) < 0 ? -errno : 0;
    if (errno != ENOTEMPTY && errno != EEXIST)
        return -errno;
    CLOSE_FD fd = open_to_empty(dirfd, name);
    if (fd < 0)
        return fd;
    int error = remove_children(fd);
    if (error)
        return error;
    return unlinkat(dirfd, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}
