/* attr.c - chmod, chown, utimes and truncate on an object of the view.
 *
 * Rules: permission is asked of what the view shows, as setattr_prepare() in fs/attr.c does, before anything is
 * copied up; truncation copies no data that it throws away.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "../layers/layers.h"
#include "../upper/upper.h"
#include "ops.h"

/* chown_common() in fs/open.c takes set-id bits off, whoever gives the file to whom. */
static mode_t without_set_id(mode_t mode, const struct statx *stx, const struct cred *cred) {
    if (S_ISDIR(mode))
        return mode;
    bool drop_group = (mode & S_IXGRP) || !permission_keep_setgid(stx, cred);
    return mode & ~(mode_t)(S_ISUID | (drop_group ? S_ISGID : 0));
}

/* notify_change() in fs/attr.c: bits that go with the owner are a change of the mode, even where both ids stay. */
static int may_chown(const struct statx *stx, const struct attr_change *change, const struct cred *cred) {
    if (without_set_id(stx->stx_mode, stx, cred) != stx->stx_mode && !ids_owner_or_capable(stx, cred))
        return -EPERM;
    if (ids_capable_over(stx, cred, CAP_CHOWN))
        return 0;
    bool owner = stx->stx_uid == cred->fsuid;
    if ((change->valid & ATTR_UID) && !(owner && change->uid == stx->stx_uid))
        return -EPERM;
    if ((change->valid & ATTR_GID) &&
        !(owner && (change->gid == stx->stx_gid || cred_may_give_group(cred, change->gid))))
        return -EPERM;
    return 0;
}

static int may_set_times(const struct location *loc, const struct statx *stx, const struct attr_change *change,
                         const struct cred *cred) {
    if (ids_owner_or_capable(stx, cred))
        return 0;
    if (!(change->valid & ATTR_TIMES_NOW))
        return -EPERM;
    return permission(loc->overlay, loc->dentry, cred, W_OK);
}

static int may_truncate(const struct location *loc, const struct statx *stx, const struct attr_change *change,
                        const struct cred *cred) {
    if (S_ISDIR(loc->type))
        return -EISDIR;
    if (!S_ISREG(loc->type))
        return -EINVAL;
    int error = permission(loc->overlay, loc->dentry, cred, W_OK);
    if (!error)
        error = busy_write_access(loc->overlay, loc->dentry);
    bool grows = (uint64_t)change->size > stx->stx_size;   /* inode_newsize_ok() in fs/attr.c */
    bool beyond = (change->valid & ATTR_LIMIT) && (uint64_t)change->size > change->size_limit;
    return !error && grows && beyond ? -EFBIG : error;
}

/* What it has, of an object that a lower may have; 0: its file system has none, or we may not ask. */
static unsigned present_flags(const struct location *loc) {
    char path[VIEW_PATH_MAX];
    int flags = 0, layer = backing_at_top(loc->overlay, loc->dentry, path);
    if (layer < 0)
        return 0;
    CLOSE_FD fd = fd_beneath(loc->overlay->layers[layer].fd, path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
    return fd < 0 || ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0 ? 0 : (unsigned)flags;
}

/* fileattr_set_prepare() in fs/ioctl.c, and fs/ext4/ioctl.c. */
static int may_set_flags(const struct location *loc, const struct statx *stx, const struct attr_change *change,
                         const struct cred *cred) {
    if (!ids_owner_or_capable(stx, cred))
        return -EPERM;
    bool guards = cred_capable(cred, CAP_LINUX_IMMUTABLE), journals = cred_capable(cred, CAP_SYS_RESOURCE);
    unsigned changed = guards && journals ? 0 : present_flags(loc) ^ change->fsflags;
    if ((changed & (FS_APPEND_FL | FS_IMMUTABLE_FL)) && !guards)
        return -EPERM;
    return (changed & FS_JOURNAL_DATA_FL) && !journals ? -EPERM : 0;
}

static int may_change(const struct location *loc, const struct statx *stx, const struct attr_change *change,
                      const struct cred *cred) {
    int error = 0;
    if (change->valid & ATTR_MODE)
        error = ids_owner_or_capable(stx, cred) ? 0 : -EPERM;
    if (!error && (change->valid & ATTR_FLAGS))
        error = may_set_flags(loc, stx, change, cred);
    if (!error && (change->valid & ATTR_OWNER))
        error = may_chown(stx, change, cred);
    if (!error && (change->valid & (ATTR_ATIME | ATTR_MTIME)))
        error = may_set_times(loc, stx, change, cred);
    if (!error && (change->valid & ATTR_SIZE))
        error = may_truncate(loc, stx, change, cred);
    return error;
}

/* What is shown of an object whose owner or group cannot be set; its own mode follows. */
static int change_shown(struct overlay *ovl, int fd, const char *path, const struct shown *changed) {
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    mode_t own = acl_on_fd(fd) ? changed->mode & 0777 : private_own_mode(fd, &st, changed);
    if (!S_ISLNK(st.st_mode) && (st.st_mode & 07777) != own && chmod(path, own) < 0)
        return -errno;
    touch_all(ovl->view, TOUCH_KEPT);
    return private_store_shown(ovl, fd, changed);
}

/* What can be set is set; what cannot (another owner, by an ordinary user) is kept beside the object. */
static int change_mode(struct overlay *ovl, int fd, const char *path, mode_t mode, const struct shown *shown) {
    if (!shown || !shown->owner)
        return chmod(path, mode) < 0 ? -errno : 0;
    struct shown changed = *shown;
    changed.mode = (shown->mode & S_IFMT) | mode;
    return change_shown(ovl, fd, path, &changed);
}

int attr_follow_acl(struct overlay *ovl, uint32_t d, int fd, const struct cred *cred) {
    char path[FD_PATH];
    struct stat st;
    struct statx stx;
    int error = inode_owner(ovl, d, &stx);
    if (error || fstat(fd, &st) < 0)
        return error ? error : -errno;
    mode_t mode = (stx.stx_mode & 07000u) | (st.st_mode & 0777);
    if (!permission_keep_setgid(&stx, cred))
        mode &= ~(mode_t)S_ISGID;
    if (mode == (stx.stx_mode & 07777))
        return 0;
    fd_path(fd, path);
    return change_mode(ovl, fd, path, mode, shown_find(&ovl->shown, st.st_ino));
}

int attr_drop_set_id(struct overlay *ovl, uint32_t d, const struct cred *cred, bool ours) {
    char path[FD_PATH];
    struct statx stx;
    if (cred_capable(cred, CAP_FSETID) || (!ours && ovl->shown.count == 0))
        return 0;
    int error = inode_owner(ovl, d, &stx);
    mode_t mode = error ? 0 : without_set_id(stx.stx_mode, &stx, cred);
    if (error || mode == stx.stx_mode)
        return error;
    CLOSE_FD fd = backing_open(ovl, d);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return fd < 0 ? fd : -errno;
    const struct shown *shown = shown_find(&ovl->shown, st.st_ino);
    if (!ours && (!shown || !shown->owner))
        return 0;
    fd_path(fd, path);
    return change_mode(ovl, fd, path, mode & 07777, shown);
}

/* The kernel does that itself to a file whose owner can be set. */
static int change_owner(struct overlay *ovl, int fd, const char *path, const struct attr_change *change,
                        const struct shown *shown, mode_t shown_mode) {
    uid_t uid = change->valid & ATTR_UID ? change->uid : (uid_t)-1;
    gid_t gid = change->valid & ATTR_GID ? change->gid : (gid_t)-1;
    if (shown && shown->owner) {
        struct shown changed = *shown;
        changed.uid = uid == (uid_t)-1 ? shown->uid : uid;
        changed.gid = gid == (gid_t)-1 ? shown->gid : gid;
        changed.mode = shown_mode;
        return change_shown(ovl, fd, path, &changed);
    }
    return fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

/* Of a fake root all that he sets is kept but for what our user may do to his own: what nothing was kept of shows what
 * it showed. */
static int keep_all(struct overlay *ovl, const struct stat *st, const struct statx *stx,
                    const struct attr_change *change) {
    const struct shown *shown = shown_find(&ovl->shown, st->st_ino);
    if (!ovl->view->faked || (shown && shown->owner))
        return 0;
    mode_t mode = (stx->stx_mode & (mode_t)~07777) | (change->mode & 07777);
    if (!(change->valid & ATTR_OWNER) && faked_own(ovl->view, st, mode))
        return 0;
    struct shown kept = shown ? *shown : (struct shown){.upper_ino = st->st_ino};
    kept.owner = true;
    kept.uid = stx->stx_uid;
    kept.gid = stx->stx_gid;
    kept.mode = stx->stx_mode;
    kept.rdev = makedev(stx->stx_rdev_major, stx->stx_rdev_minor);
    return shown_set(&ovl->shown, &kept);
}

static int change_flags(const char *path, unsigned fsflags) {
    CLOSE_FD fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    int flags = (int)fsflags;
    return fd < 0 || ioctl(fd, FS_IOC_SETFLAGS, &flags) < 0 ? -errno : 0;
}

int view_cut(const char *path, off_t size, bool leased) {
    if (!leased)
        return truncate(path, size) < 0 ? -errno : 0;
    CLOSE_FD fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return errno == EWOULDBLOCK ? -EINTR : -errno;
    return ftruncate(fd, size) < 0 ? -errno : 0;
}

static int resize(struct overlay *ovl, const char *path, const struct stat *st, off_t size, bool leased) {
    bool grows = size > st->st_size;
    int error = grows ? quota_resize(ovl, st, (uint64_t)size) : 0;
    if (error)
        return error;
    struct stat now = *st;
    now.st_size = grows ? size : st->st_size;
    error = view_cut(path, size, leased);
    if (!error)
        return grows ? 0 : quota_resize(ovl, st, (uint64_t)size);
    return quota_resize(ovl, &now, (uint64_t)st->st_size) < 0 ? -ENOSPC : error;
}

static int apply(struct overlay *ovl, uint32_t d, const struct attr_change *change, const struct statx *stx,
                 const struct cred *cred) {
    char path[FD_PATH];
    struct stat st;
    CLOSE_FD fd = backing_open(ovl, d);
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        return -errno;
    int error = change->valid & (ATTR_OWNER | ATTR_MODE) ? keep_all(ovl, &st, stx, change) : 0;
    const struct shown *shown = shown_find(&ovl->shown, st.st_ino);
    fd_path(fd, path);
    if (!error && (change->valid & ATTR_SIZE))
        error = resize(ovl, path, &st, change->size, change->valid & ATTR_LEASED);
    if (!error && (change->valid & ATTR_OWNER))
        error = change_owner(ovl, fd, path, change, shown, shown ? without_set_id(shown->mode, stx, cred) : 0);
    if (!error && (change->valid & ATTR_MODE)) {
        mode_t mode = change->mode & 07777;
        if (!permission_keep_setgid(stx, cred))
            mode &= ~(mode_t)S_ISGID;
        error = change_mode(ovl, fd, path, mode, shown_find(&ovl->shown, st.st_ino));
    }
    if (!error && (change->valid & (ATTR_ATIME | ATTR_MTIME))) {
        struct timespec times[2] = {change->atime, change->mtime};
        if (!(change->valid & ATTR_ATIME))
            times[0].tv_nsec = UTIME_OMIT;
        if (!(change->valid & ATTR_MTIME))
            times[1].tv_nsec = UTIME_OMIT;
        error = utimensat(AT_FDCWD, path, times, 0) < 0 ? -errno : 0;
    }
    if (!error && (change->valid & ATTR_FLAGS))
        error = change_flags(path, change->fsflags);
    return error;
}

int view_setattr(pto_view *view, const struct location *loc, const struct attr_change *change,
                 const struct cred *cred) {
    struct statx stx;
    HELD(&view->base->lock);
    if (loc->type == 0)
        return -ENOENT;
    struct overlay *ovl = loc->overlay;
    if ((change->valid & ATTR_MODE) && S_ISLNK(loc->type))
        return -EOPNOTSUPP;
    int error = inode_getattr(ovl, loc->dentry, &stx);
    if (error)
        return error;
    if (loc->read_only)
        return -EROFS;
    error = may_change(loc, &stx, change, cred);
    if (!error)
        error = copy_up(ovl, loc->dentry, change->valid & ATTR_SIZE ? change->size : KEEP_NONE_YET);
    if (!error && (change->valid & ATTR_SIZE))
        error = attr_drop_set_id(ovl, loc->dentry, cred, true);
    touch_search(ovl, loc->dentry);
    if (!error)
        error = apply(ovl, loc->dentry, change, &stx, cred);
    view_changed(ovl);
    if (!error)
        at(ovl, loc->dentry)->flags &= (uint16_t)~(D_SEARCH_KNOWN | D_SEARCH_ALL | D_SAME_SEARCH);
    return error;
}

/* ---- fsync ---- */

int view_sync(pto_view *view, const struct location *loc, const char *real) {
    char upper[VIEW_PATH_MAX];
    struct overlay *ovl = loc->overlay;
    HELD(&view->base->lock);
    if (ovl->flags & (PTO_TEMPORARY | PTO_VOLATILE))
        return 0;
    if (loc->detached || !loc->upper)
        return VIEW_SYNC_REAL;
    int error = backing_path(ovl, loc->dentry, upper, sizeof upper);
    if (error < 0)
        return error;
    if (strcmp(upper, real) == 0 || (!S_ISDIR(loc->type) && !S_ISREG(loc->type)))
        return VIEW_SYNC_REAL;
    error = path_in_upper(ovl, loc->dentry, upper);
    CLOSE_FD fd = error < 0 ? error : fd_beneath(ovl->layers[0].fd, upper, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
    if (fd < 0)
        return fd;
    return fsync(fd) < 0 ? -errno : 0;
}
