/* upper.c - the few ways in which the upper is changed.
 *
 * Rules: an upper directory is opened below the layer's descriptor without following any symlink; a new object is made
 * in the work directory (work.c) and put where it belongs by one rename, so that at every moment the upper holds the
 * old or the new state.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../layers/layers.h"
#include "upper.h"

void upper_last_close(struct overlay *ovl) {
    if (ovl->last_dir.d)
        close(ovl->last_dir.fd);
    ovl->last_dir.d = 0;
}

/* Takes the one that was open, or opens it. */
static int take_dir(struct overlay *ovl, uint32_t d, const char *path) {
    int fd = backing_last_dir(ovl, d);
    if (fd < 0)
        return fd_beneath(ovl->layers[0].fd, path, O_PATH | O_DIRECTORY);
    ovl->last_dir.d = 0;
    return fd;
}

int upper_dir_open(struct overlay *ovl, uint32_t d, struct upper_dir *dir) {
    char path[VIEW_PATH_MAX];
    HELD(&ovl->view->lock);
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
    upper_last_close(dir->ovl);
    dir->ovl->last_dir = (struct last_dir){.d = dir->d, .fd = dir->fd, .generation = dir->ovl->view->generation};
    dir->fd = -1;
}

void upper_keep_times(int dirfd, struct timespec times[2]) {
    struct stat st;
    times[0].tv_nsec = times[1].tv_nsec = UTIME_OMIT;
    if (fstat(dirfd, &st) == 0) {
        times[0] = st.st_atim;
        times[1] = st.st_mtim;
    }
}

void upper_restore_times(int dirfd, const struct timespec times[2]) {
    char path[FD_PATH];
    fd_path(dirfd, path);
    (void)!utimensat(AT_FDCWD, path, times, 0);   /* of no account for what the call was to do */
}

int upper_sync(const struct overlay *ovl, int fd) {
    if (ovl->flags & (PTO_TEMPORARY | PTO_VOLATILE))
        return 0;
    return fsync(fd) < 0 && errno != EINVAL && errno != EBADF ? -errno : 0;
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
    char path[VIEW_PATH_MAX];
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

int upper_take(struct work_object *object, int dirfd, const char *name) {
    struct overlay *ovl = object->ovl;
    int error = rename_flags(dirfd, name, ovl->work, object->name, 0);
    if (error == -EACCES)
        error = rename_lent(ovl, dirfd, name, ovl->work, object->name, 0);
    if (error)
        object->name[0] = '\0';
    else
        memcpy(ovl->aside, object->name, sizeof ovl->aside);
    return error;
}

/* Where the file system exchanges no names.  The note makes a whiteout of the name if we are killed meanwhile: what was
 * there before, or what is put there. */
static int exchange_by_steps(struct work_object *object, int dirfd, const char *name) {
    char note[WORK_NAME + sizeof BARE_NOTE], path[PATH_MAX];
    struct overlay *ovl = object->ovl;
    int error = path_of(ovl, dirfd, name, path);
    if (error)
        return error;
    WORK_OBJECT old;
    work_object_init(ovl, &old);
    snprintf(note, sizeof note, "%s" BARE_NOTE, old.name);
    if (symlinkat(path, ovl->work, note) < 0 && errno != EPERM)   /* a file system without symlinks */
        return -errno;
    error = upper_take(&old, dirfd, name);
    if (!error)
        error = upper_put(object, dirfd, name, PUT_NEW);
    if (error && old.name[0])
        (void)upper_put(&old, dirfd, name, PUT_NEW);
    (void)!unlinkat(ovl->work, note, 0);   /* else the next start makes a whiteout of the name */
    return error;
}

int upper_put(struct work_object *object, int dirfd, const char *name, enum putting putting) {
    static const unsigned flags[] = {[PUT_NEW] = RENAME_NOREPLACE, [PUT_OVER] = 0, [PUT_EXCHANGE] = RENAME_EXCHANGE};
    struct overlay *ovl = object->ovl;
    int error = rename_flags(ovl->work, object->name, dirfd, name, flags[putting]);
    if (error == -EACCES)
        error = rename_lent(ovl, ovl->work, object->name, dirfd, name, flags[putting]);
    if (error == -EINVAL && putting == PUT_EXCHANGE)
        return exchange_by_steps(object, dirfd, name);
    if (!error && putting == PUT_EXCHANGE)
        memcpy(ovl->aside, object->name, sizeof ovl->aside);
    else if (!error)
        object->name[0] = '\0';
    return error;   /* after an exchange the scope removes what was there */
}
