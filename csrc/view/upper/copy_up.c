/* copy_up.c - makes a lower object exist in the upper, with all that it is.
 *
 * Rules: parents first; the copy is complete before it gets its name, by one link or rename, and the parent's times
 * are put back.  fs/overlayfs/copy_up.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "../layers/layers.h"
#include "upper.h"

/* ---- attributes ---- */

/* A fake root's copy of what is our user's stays his, unless an earlier layer says otherwise. */
static int keep_faked(const struct overlay *ovl, int from, const struct statx *stx) {
    char text[160];     /* of private_store_shown(): it begins with whether there is an owner */
    struct stat st;
    if (fstat(from, &st) < 0)
        return -errno;
    bool own = faked_own(ovl->view, &st, stx->stx_mode) && stx->stx_uid == 0 && stx->stx_gid == 0;
    return !own || (private_get(&ovl->layers[0], from, PRIVATE_SHOWN, text, sizeof text) > 0 && text[0] != '0');
}

/* Gives the copy its owner. 1: it could not be had, so that it must be kept. */
static int set_owner(const struct overlay *ovl, int from, int fd, const struct statx *stx) {
    struct stat st;
    if (ovl->view->faked)
        return keep_faked(ovl, from, stx);
    if (fstat(fd, &st) < 0)
        return -errno;
    if (st.st_uid == stx->stx_uid && st.st_gid == stx->stx_gid)
        return 0;
    if (fchownat(fd, "", stx->stx_uid, stx->stx_gid, AT_EMPTY_PATH) == 0)
        return 0;
    if (errno != EPERM && errno != EINVAL)
        return -errno;
    if (fchownat(fd, "", (uid_t)-1, stx->stx_gid, AT_EMPTY_PATH) < 0 && errno != EPERM && errno != EINVAL)
        return -errno;
    return 1;
}

static int set_mode(int fd, mode_t mode) {
    char path[FD_PATH];
    if (S_ISLNK(mode))
        return 0;
    fd_path(fd, path);
    return chmod(path, mode & 07777) < 0 ? -errno : 0;
}

static int set_times(int fd, const struct statx *stx, bool cut) {
    struct timespec times[2] = {{stx->stx_atime.tv_sec, stx->stx_atime.tv_nsec},
                                {stx->stx_mtime.tv_sec, stx->stx_mtime.tv_nsec}};
    char path[FD_PATH];
    if (cut)
        times[1].tv_nsec = UTIME_NOW;
    fd_path(fd, path);
    return utimensat(AT_FDCWD, path, times, 0) < 0 ? -errno : 0;
}

/* What the lower object was when it was copied, so that a commit can tell whether it has changed since.  Where it
 * cannot be kept (symlinks and devices of an ordinary user) the commit goes by times. */
static void store_base(struct overlay *ovl, int from, int to) {
    struct stat st;
    char text[160];
    if (fstat(from, &st) < 0)
        return;
    int length = snprintf(text, sizeof text, "%llx:%llu:%o:%u:%u:%lld:%lld:%ld", (unsigned long long)st.st_dev,
                          (unsigned long long)st.st_ino, st.st_mode, st.st_uid, st.st_gid, (long long)st.st_size,
                          (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    (void)private_set(ovl, to, "ptoverlay.base", text, (size_t)length);
}

/* Where a copy gets its name. */
struct target {
    int dirfd;
    const char *name;
    unsigned left;          /* a file with several names goes to <work>/links first: how many, else 0 */
    bool cut;               /* its data is about to be truncated, and that is now */
};

/* stx: what the view shows of the lower object. */
static int copy_attributes(struct overlay *ovl, int from, int to, const struct statx *stx,
                           const struct target *target) {
    struct stat st;
    int unowned = set_owner(ovl, from, to, stx);
    if (unowned < 0 || fstat(to, &st) < 0)
        return unowned < 0 ? unowned : -errno;
    int error = private_copy(ovl, from, to);
    struct shown shown = {.upper_ino = st.st_ino, .identity = !S_ISDIR(stx->stx_mode), .owner = unowned == 1};
    shown.ino = stx->stx_ino;
    shown.dev = makedev(stx->stx_dev_major, stx->stx_dev_minor);
    shown.uid = stx->stx_uid;
    shown.gid = stx->stx_gid;
    shown.mode = stx->stx_mode;
    shown.rdev = makedev(stx->stx_rdev_major, stx->stx_rdev_minor);
    if (!error && (shown.identity || shown.owner))
        error = private_store_shown(ovl, to, &shown);
    if (!error)
        store_base(ovl, from, to);
    if (!error && target->left)
        error = links_mark(ovl, to, target->left);
    mode_t mode = unowned ? (stx->stx_mode & S_IFMT) | private_own_mode(to, &st, &shown) : stx->stx_mode;
    if (!error)
        error = set_mode(to, mode);   /* after the attributes: who may not write may not set them either */
    return error ? error : set_times(to, stx, target->cut);
}

/* ---- one object ---- */

/* A file without a name where the file system can do it: nothing is left of it when we are killed. */
static int open_copy(struct work_object *object) {
    int fd = openat(object->ovl->work, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0) {
        object->name[0] = '\0';
        return fd;
    }
    if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)
        return -errno;
    fd = openat(object->ovl->work, object->name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    return fd < 0 ? -errno : fd;
}

static int put_copy(struct work_object *object, int fd, const struct target *target) {
    char path[FD_PATH];
    if (object->name[0])
        return upper_put(object, target->dirfd, target->name, PUT_NEW);
    fd_path(fd, path);
    return linkat(AT_FDCWD, path, target->dirfd, target->name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

/* A file of the work directory, or without a name, that holds the first `size` bytes of the source. */
static int fill_copy(struct overlay *ovl, struct work_object *object, int source, off_t size, bool whole) {
    int fd = whole ? copy_ahead_take(ovl, source) : -ENODATA;
    if (fd != -ENODATA) {
        object->name[0] = '\0';
        return fd;
    }
    fd = open_copy(object);
    if (fd < 0) {
        object->name[0] = '\0';
        return fd;
    }
    int error = data_copy(ovl, source, fd, size, whole);
    if (error)
        close(fd);
    return error ? error : fd;
}

/* A copy that has its attributes from the lower and its data still there. */
static int copy_attributes_only(struct overlay *ovl, uint32_t d, const struct target *target, const struct statx *stx) {
    CLOSE_FD in = lower_open(ovl, d, O_PATH | O_NOFOLLOW);
    if (in < 0)
        return in;
    WORK_OBJECT object;
    work_object_init(ovl, &object);
    CLOSE_FD out = open_copy(&object);
    if (out < 0) {
        object.name[0] = '\0';
        return out;
    }
    int error = metacopy_mark(ovl, d, out, stx);
    if (!error)
        error = copy_attributes(ovl, in, out, stx, target);
    if (!error)
        error = put_copy(&object, out, target);
    if (!error)
        at(ovl, d)->flags |= D_METACOPY;
    return error;
}

/* What a fake root may not read he can replace all the same; nothing is missing of what is empty. */
static int open_source(struct overlay *ovl, uint32_t d, bool empty) {
    int fd = lower_open(ovl, d, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    return fd == -EACCES && empty && ovl->view->faked ? lower_open(ovl, d, O_PATH | O_NOFOLLOW) : fd;
}

static int copy_file(struct overlay *ovl, uint32_t d, off_t keep, struct target *target, const struct statx *stx) {
    bool lacks = at(ovl, d)->flags & D_METACOPY;
    CLOSE_FD in = open_source(ovl, d, keep == 0 || stx->stx_size == 0);
    if (in < 0)
        return in;
    CLOSE_FD data = lacks ? metadata_open(ovl, d) : -1;
    if (lacks && data < 0)
        return data;
    WORK_OBJECT object;
    work_object_init(ovl, &object);
    off_t size = (off_t)stx->stx_size;
    bool whole = keep < 0 || keep >= size;
    target->cut = !whole;
    CLOSE_FD out = fill_copy(ovl, &object, lacks ? data : in, whole ? size : keep, whole && size > 0);
    if (out < 0)
        return out;
    int error = copy_attributes(ovl, in, out, stx, target);
    if (!error)
        error = upper_sync(ovl, out);
    if (!error)
        error = put_copy(&object, out, target);
    if (!error)
        opened_copied(ovl, d, lacks ? data : in);
    if (!error && lacks)
        metadata_done(ovl, d);
    return error;
}

static int make_node(struct overlay *ovl, uint32_t d, const char *work, const struct statx *stx) {
    char target[PATH_MAX];
    mode_t type = stx->stx_mode & S_IFMT;
    if (type == S_IFDIR)
        return mkdirat(ovl->work, work, 0700) < 0 ? -errno : 0;
    if ((type == S_IFCHR || type == S_IFBLK) && ovl->view->faked)
        type = S_IFREG;
    if (type != S_IFLNK)
        return mknodat(ovl->work, work, type | 0600, makedev(stx->stx_rdev_major, stx->stx_rdev_minor)) < 0 ? -errno
                                                                                                            : 0;
    ssize_t length = backing_readlink(ovl, d, target, sizeof target);
    if (length < 0 || length >= (ssize_t)sizeof target)
        return length < 0 ? (int)length : -ENAMETOOLONG;
    target[length] = '\0';
    return symlinkat(target, ovl->work, work) < 0 ? -errno : 0;
}

static int copy_node(struct overlay *ovl, uint32_t d, const struct target *target, const struct statx *stx) {
    CLOSE_FD in = lower_open(ovl, d, O_PATH | O_NOFOLLOW);
    if (in < 0)
        return in;
    WORK_OBJECT object;
    work_object_init(ovl, &object);
    int error = make_node(ovl, d, object.name, stx);
    if (error) {
        object.name[0] = '\0';
        return error;
    }
    CLOSE_FD out = openat(ovl->work, object.name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (out < 0)
        return -errno;
    error = copy_attributes(ovl, in, out, stx, target);
    return error ? error : upper_put(&object, target->dirfd, target->name, PUT_NEW);
}

static void now_in_upper(struct overlay *ovl, uint32_t d) {
    struct dentry *dentry = at(ovl, d);
    view_changed(ovl);
    dentry->upper = dentry->lower;
    dentry->flags |= D_CHECKED;
    dentry->flags &= (uint16_t)~(D_SEARCH_KNOWN | D_SEARCH_ALL | D_SAME_SEARCH | D_NO_DEFAULT_ACL);
    if (is_dir_kind(dentry->upper))
        dentry->flags |= D_LOADED;
    ovl->view->stats.copy_ups++;
    opened_put(ovl, d);
}

/* The data cannot be read by the fake root that changes the file's attributes. */
static bool is_closed(const struct overlay *ovl, uint32_t d) {
    CLOSE_FD fd = ovl->view->faked ? lower_open(ovl, d, O_RDONLY | O_NOFOLLOW | O_NONBLOCK) : -1;
    return fd == -EACCES;
}

/* A copy at its target: whole, or for the beginning without its data. */
static int place_object(struct overlay *ovl, uint32_t d, off_t keep, struct target *target, const struct statx *stx) {
    if (!S_ISREG(stx->stx_mode))
        return copy_node(ovl, d, target, stx);
    bool meta = keep == KEEP_NONE_YET && !ovl->layers[0].dot_form && stx->stx_size > 0 &&
                ((ovl->flags & PTO_METACOPY) || is_closed(ovl, d));
    return meta ? copy_attributes_only(ovl, d, target, stx) : copy_file(ovl, d, keep, target, stx);
}

static int copy_object(struct overlay *ovl, uint32_t d, off_t keep, struct target *target, const struct statx *stx) {
    uint64_t size = keep >= 0 && (uint64_t)keep < stx->stx_size ? (uint64_t)keep : stx->stx_size;
    uint64_t taken = quota_of(stx->stx_mode, size);
    int error = quota_take(ovl, taken);
    if (error)
        return error;
    error = place_object(ovl, d, keep, target, stx);
    if (error)
        quota_give(ovl, taken);
    return error;
}

/* A file with several names. 1: by way of <work>/links, 0: it is to be copied as any other. */
static int copy_linked(struct overlay *ovl, uint32_t d, off_t keep, const struct statx *stx) {
    struct statx lower;
    char name[LINKED_NAME];
    struct target target = {.name = name};
    int error = lower_statx(ovl, d, &lower);
    if (!error)
        error = links_begin(ovl, &lower, name, &target.left);
    if (error || !target.left)
        return error;
    target.dirfd = ovl->links;
    error = copy_object(ovl, d, keep, &target, stx);
    if (!error)
        error = links_copied(ovl, &lower, name, target.left);
    if (!error)
        error = links_join(ovl, d, linked_find(ovl, &lower));
    return error ? error : 1;
}

/* The parent is in the upper already. */
static int copy_up_one(struct overlay *ovl, uint32_t d, off_t keep) {
    struct statx stx;
    struct timespec times[2];
    char name[NAME_MAX + 1];
    UPPER_DIR dir;
    int error = upper_dir_open(ovl, at(ovl, d)->parent, &dir);
    touch_copied(ovl, d);
    odd_tell(ovl, d);
    if (!error)
        error = inode_getattr(ovl, d, &stx);
    if (!error)
        base_keep(ovl, d);
    int placed = error || !(at(ovl, d)->flags & D_LINKED) ? error : copy_linked(ovl, d, keep, &stx);
    if (placed < 0)
        return placed;
    if (!placed) {
        struct target target = {.dirfd = dir.fd, .name = name};
        index_name(&ovl->view->index, d, name);
        upper_keep_times(dir.fd, times);
        error = copy_object(ovl, d, keep, &target, &stx);
        upper_restore_times(dir.fd, times);
    }
    if (!error)
        now_in_upper(ovl, d);
    return error;
}

#define DEPTH_MAX (VIEW_PATH_MAX / 2)

int copy_up_dir(struct overlay *ovl, uint32_t d) {
    uint32_t chain[DEPTH_MAX];
    size_t depth = 0;
    if (!has_upper(ovl))
        return -EROFS;
    for (; !upper_exists(at(ovl, d)); d = at(ovl, d)->parent) {
        if (!is_dir_kind(shown_kind(at(ovl, d))))
            return -ENOENT;   /* removed behind an open descriptor */
        if (depth == DEPTH_MAX)
            return -ENAMETOOLONG;
        chain[depth++] = d;
    }
    if (!is_dir_kind(at(ovl, d)->upper))
        return -ENOENT;
    int error = lookup_check_upper(ovl, d);
    while (!error && depth > 0)
        error = copy_up_one(ovl, chain[--depth], -1);
    return error;
}

int copy_up(struct overlay *ovl, uint32_t d, off_t keep) {
    HELD(&ovl->view->lock);
    const struct dentry *dentry = at(ovl, d);
    if (upper_exists(dentry)) {
        int error = lookup_check_upper(ovl, d);
        bool lacks = !error && (at(ovl, d)->flags & D_METACOPY) && keep != KEEP_NONE_YET;
        return lacks ? metacopy_fill(ovl, d, keep) : error;
    }
    if (dentry->upper == KIND_WHITEOUT || !lower_exists(dentry) || dentry->lower == KIND_WHITEOUT)
        return -ENOENT;
    if (is_dir_kind(dentry->lower))
        return copy_up_dir(ovl, d);
    int error = copy_up_dir(ovl, dentry->parent);
    return error ? error : copy_up_one(ovl, d, keep);
}
