/* links.c - hard links of lower files stay one file when one of their names is copied up.
 *
 * Rules: a lower file with more names is copied up to <work>/links, named after the lower object, before any of its
 * names leads to the copy; each name that is looked up from then on becomes a link of it, or, where nothing may be
 * changed, stands for it (D_COPY).  st_nlink stays the number of names that the view shows, and what is needed to tell
 * it is on disk before a step that a crash could cut off.  The index=on of fs/overlayfs/copy_up.c, with names of our
 * own.
 *
 *   <work>/links/DEV-INO            the copy.  Its attribute LEFT: how many names still only a lower has, or "=N": N
 *                                   names are shown, however many of them are links already
 *   <work>/index/HANDLE             a copy that the kernel's overlayfs made: used where it is (handle.c)
 *   <work>/links/DEV-INO.removed    not copied up: its size, holes alone, is the number of names that were removed
 *   <work>/links/DEV-INO.pending    a symlink "N PATH": N will be that size once the upper has something at PATH
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "../layers/layers.h"
#include "upper.h"

#define LEFT "ptoverlay.left"
#define REMOVED ".removed"
#define PENDING ".pending"

/* ---- from run to run ---- */

/* fd: the copy. shown: the number is that of all names. */
static int store_left(const struct overlay *ovl, int fd, unsigned number, bool shown) {
    char text[16];
    int length = snprintf(text, sizeof text, "%s%u", shown ? "=" : "", number);
    int error = private_set(ovl, fd, LEFT, text, (size_t)length);
    return error == -EPERM || error == -EOPNOTSUPP
               ? 0
               : error;   /* a symlink of an ordinary user: st_nlink is too small later */
}

int links_mark(const struct overlay *ovl, int fd, unsigned left) {
    return store_left(ovl, fd, left, false);
}

static int update_left(const struct overlay *ovl, const struct shared *shared, unsigned number, bool shown) {
    char room[LINKED_NAME];
    const char *name;
    int dirfd = linked_copy_at(ovl, shared, room, &name);
    CLOSE_FD fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : store_left(ovl, fd, number, shown);
}

static int store_removed(const struct overlay *ovl, const struct shared *shared) {
    char name[LINKED_NAME];
    linked_name(shared, REMOVED, name);
    CLOSE_FD fd = openat(ovl->links, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    return fd < 0 || ftruncate(fd, shared->removed) < 0 ? -errno : 0;
}

static void drop_file(const struct overlay *ovl, const struct shared *shared, const char *suffix) {
    char name[LINKED_NAME];
    linked_name(shared, suffix, name);
    (void)!unlinkat(ovl->links, name, 0);   /* a file too many costs space, not truth */
}

/* lower_links: of the lower file, for what the kernel says relative to it ("U+1", "L-1": overlay.nlink). */
static int load_copy(struct overlay *ovl, int dirfd, const char *name, struct shared *shared, unsigned lower_links) {
    struct stat st;
    char text[16], relative[16];
    CLOSE_FD fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    ssize_t length = private_get(&ovl->layers[0], fd, LEFT, text, sizeof text - 1);
    if (length <= 0 && lower_links) {
        ssize_t size = private_get(&ovl->layers[0], fd, "nlink", relative, sizeof relative - 1);
        relative[size > 0 ? size : 0] = '\0';
        int base = relative[0] == 'U' ? (int)st.st_nlink : (int)lower_links;
        length = snprintf(text, sizeof text, "=%d", base + (size > 1 ? atoi(relative + 1) : 0));
    }
    text[length > 0 ? length : 0] = '\0';
    linked_set_upper(ovl, shared, st.st_ino);
    unsigned linked = (unsigned)st.st_nlink - 1, shown = text[0] == '=' ? (unsigned)atoi(text + 1) : 0;
    shared->left = text[0] != '=' ? (unsigned)atoi(text) : shown > linked ? shown - linked : 0;
    return 0;
}

/* Whether what was to be removed when the file was written has been. */
static int load_pending(struct overlay *ovl, const char *name, struct shared *shared) {
    char text[PATH_MAX + 16];
    struct stat st;
    unsigned removed;
    int at = 0;
    ssize_t length = readlinkat(ovl->links, name, text, sizeof text - 1);
    if (length < 0)
        return -errno;
    text[length] = '\0';
    bool done = sscanf(text, "%u %n", &removed, &at) == 1 && at && removed > shared->removed &&
                (fd_lstat(ovl->layers[0].fd, text + at, &st) == 0 || marks_has_dot(&ovl->layers[0], text + at));
    if (done)
        shared->removed = removed;
    if (ovl->flags & PTO_READ_ONLY)
        return 0;
    int error = done ? store_removed(ovl, shared) : 0;
    if (error)
        return error;
    drop_file(ovl, shared, PENDING);
    return 0;
}

static int load_one(struct overlay *ovl, const char *name, bool pending) {
    unsigned long long dev, ino;
    struct stat st;
    char suffix[sizeof PENDING] = "";
    if (sscanf(name, "%llx-%llx%8s", &dev, &ino, suffix) < 2 || (strcmp(suffix, PENDING) == 0) != pending)
        return 0;
    struct shared *shared = linked_obtain(ovl, ino, (dev_t)dev);
    if (!shared)
        return -ENOMEM;
    if (pending)
        return load_pending(ovl, name, shared);
    if (!*suffix)
        return load_copy(ovl, ovl->links, name, shared, 0);
    if (fstatat(ovl->links, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    shared->removed = (unsigned)st.st_size;
    return 0;
}

/* First all that is settled, then what was pending. */
static int load(struct overlay *ovl, bool pending) {
    STREAM *stream;
    const struct dirent *entry;
    int error = stream_open(ovl->links, &stream);
    while (!error && !(error = stream_read(stream, &entry)) && entry)
        error = load_one(ovl, entry->d_name, pending);
    return error;
}

/* The directory is made when the first link needs it. */
static int open_dir(struct overlay *ovl, bool make) {
    char path[PATH_MAX];
    if (ovl->links >= 0)
        return 0;
    int length = snprintf(path, sizeof path, "%s/links", ovl->work_root);
    if (length >= (int)sizeof path)
        return -ENAMETOOLONG;
    if (make && mkdir(path, 0700) < 0 && errno != EEXIST)
        return -errno;
    ovl->links = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return ovl->links < 0 ? -errno : 0;
}

/* The kernel's, when there is anything in it. */
static void open_kernel_dir(struct overlay *ovl) {
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/index", ovl->work_root) >= (int)sizeof path)
        return;
    ovl->kernel_links = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (ovl->kernel_links < 0)
        return;
    STREAM *stream;
    const struct dirent *entry;
    bool found = false;
    int error = stream_open(ovl->kernel_links, &stream);
    while (!error && !found && !(error = stream_read(stream, &entry)) && entry)
        found = entry->d_name[0] != '.';
    if (!found) {
        fd_close(&ovl->kernel_links);
        ovl->kernel_links = -1;
    }
}

int links_open(struct overlay *ovl) {
    open_kernel_dir(ovl);
    int error = open_dir(ovl, false);
    if (error)
        return error == -ENOENT ? 0 : error;
    error = load(ovl, false);
    return error ? error : load(ovl, true);
}

/* ---- in a run ---- */

int links_begin(struct overlay *ovl, const struct statx *lower, char *name, unsigned *left) {
    dev_t dev = makedev(lower->stx_dev_major, lower->stx_dev_minor);
    const struct shared *known = linked_find(ovl, lower);
    *left = lower->stx_nlink - (known ? known->removed : 0);
    if (lower->stx_nlink < 2 || *left < 2) {
        *left = 0;   /* the others were removed */
        return 0;
    }
    struct shared *shared = linked_obtain(ovl, lower->stx_ino, dev);
    if (!shared)
        return -ENOMEM;
    linked_name(shared, "", name);
    return open_dir(ovl, true);
}

int links_copied(struct overlay *ovl, const struct statx *lower, const char *name, unsigned left) {
    struct stat st;
    struct shared *shared = linked_find(ovl, lower);
    if (!shared || fstatat(ovl->links, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return shared ? -errno : -ENOENT;
    linked_set_upper(ovl, shared, st.st_ino);
    shared->left = left;
    if (shared->removed)
        drop_file(ovl, shared, REMOVED);
    shared->removed = 0;
    return 0;
}

/* All its names are in the upper: they are links of one file there, and need nothing more from us. */
static void forget(struct overlay *ovl, struct shared *shared) {
    char room[LINKED_NAME];
    const char *name;
    int dirfd = linked_copy_at(ovl, shared, room, &name);
    shared->left = 0;
    if (unlinkat(dirfd, name, 0) == 0)
        linked_drop(ovl, shared);
    else
        (void)update_left(ovl, shared, 0, false);
}

/* The name that a lower has becomes a link of the copy. */
static int link_copy(struct overlay *ovl, uint32_t d, struct shared *shared) {
    char name[NAME_MAX + 1], room[LINKED_NAME];
    const char *link;
    struct timespec times[2];
    struct stat st;
    UPPER_DIR dir = {.fd = -1};
    int error = upper_dir_open(ovl, at(ovl, d)->parent, &dir);
    if (error)
        return error;
    index_name(&ovl->view->index, d, name);
    int copies = linked_copy_at(ovl, shared, room, &link);
    if (fstatat(copies, link, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    QUIET quiet;
    quiet_begin_at(ovl, copies, link, &quiet);
    error = update_left(ovl, shared, (unsigned)st.st_nlink - 1 + shared->left, true);
    if (error)
        return error;
    upper_keep_times(dir.fd, times);
    if (linkat(copies, link, dir.fd, name, 0) < 0)
        return -errno;
    upper_restore_times(dir.fd, times);
    shared->left -= shared->left > 0;
    if (shared->left == 0)
        forget(ovl, shared);
    else
        (void)update_left(ovl, shared, shared->left, false);   /* what it says until then is true as well */
    return 0;
}

/* The copy that the kernel has of a lower file, if it has one. */
static int adopt(struct overlay *ovl, uint32_t d, const struct statx *lower) {
    char name[HANDLE_NAME];
    struct stat st;
    int error = handle_name(ovl, d, name);
    if (error == -EOPNOTSUPP || error == -EOVERFLOW)
        return 0;   /* then the kernel has none either */
    if (error || fstatat(ovl->kernel_links, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return error ? error : errno == ENOENT ? 0 : -errno;
    if ((st.st_mode & S_IFMT) != (lower->stx_mode & S_IFMT))
        return 0;   /* a whiteout: all its names were removed */
    struct shared *shared = linked_obtain(ovl, lower->stx_ino, makedev(lower->stx_dev_major, lower->stx_dev_minor));
    char *copy = shared ? strdup(name) : NULL;
    if (!copy)
        return -ENOMEM;
    free(shared->kernel_name);
    shared->kernel_name = copy;
    return load_copy(ovl, ovl->kernel_links, name, shared, lower->stx_nlink);
}

/* What only a lower had is now what the copy is. */
static int in_upper(struct overlay *ovl, uint32_t d) {
    if (!(at(ovl, d)->flags & D_TARGET))
        index_free_stack(&ovl->view->index, at(ovl, d));
    view_changed(ovl);
    at(ovl, d)->upper = at(ovl, d)->lower;
    at(ovl, d)->flags &= (uint16_t)~(D_CHECKED | D_METACOPY);
    return lookup_check_upper(ovl, d);
}

int links_copy_of(struct overlay *ovl, uint32_t d, struct shared **copy) {
    struct statx lower;
    *copy = NULL;
    int error = lower_statx(ovl, d, &lower);
    if (error)
        return error;
    struct shared *shared = linked_find(ovl, &lower);
    if (!shared && ovl->kernel_links >= 0) {
        error = adopt(ovl, d, &lower);
        shared = linked_find(ovl, &lower);
    }
    *copy = !error && shared && shared->upper_ino ? shared : NULL;
    return error;
}

int links_stand_for(struct overlay *ovl, uint32_t d) {
    touch(ovl, d);
    odd_tell(ovl, d);
    at(ovl, d)->flags |= D_COPY;
    return in_upper(ovl, d);
}

int links_join(struct overlay *ovl, uint32_t d, struct shared *copy) {
    touch(ovl, d);
    odd_tell(ovl, d);
    int error = link_copy(ovl, d, copy);
    return error ? error : in_upper(ovl, d);
}

int links_removing(struct overlay *ovl, uint32_t d, const struct statx *lower) {
    char name[LINKED_NAME], text[VIEW_PATH_MAX + 16], path[VIEW_PATH_MAX];
    if (lower->stx_nlink < 2)
        return 0;
    struct shared *shared = linked_obtain(ovl, lower->stx_ino, makedev(lower->stx_dev_major, lower->stx_dev_minor));
    int error = shared ? open_dir(ovl, true) : -ENOMEM;
    if (!error)
        error = path_in_upper(ovl, d, path);
    if (error < 0)
        return error;
    int length = snprintf(text, sizeof text, "%u %s", shared->removed + 1, path);
    if (length >= PATH_MAX)
        return 0;   /* no symlink can hold it: after a crash st_nlink may be too large */
    linked_name(shared, PENDING, name);
    if (symlinkat(text, ovl->links, name) == 0)
        return 0;
    if (errno != EEXIST)
        return -errno;
    drop_file(ovl, shared, PENDING);
    return symlinkat(text, ovl->links, name) < 0 ? -errno : 0;
}

void links_removed(struct overlay *ovl, const struct statx *stx, bool upper) {
    if (stx->stx_nlink < 2 || S_ISDIR(stx->stx_mode))
        return;
    struct shared *shared = upper ? linked_find_upper(ovl, stx->stx_ino) : linked_find(ovl, stx);
    if (!shared)
        return;
    if (upper) {
        if (stx->stx_nlink <= 2 && shared->left == 0)   /* the last name that the view showed */
            forget(ovl, shared);
        return;
    }
    if (++shared->removed < stx->stx_nlink) {
        if (store_removed(ovl, shared) == 0)   /* else what is pending says it */
            drop_file(ovl, shared, PENDING);
        return;
    }
    drop_file(ovl, shared, REMOVED);
    drop_file(ovl, shared, PENDING);
    linked_drop(ovl, shared);
}
