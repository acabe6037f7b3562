/* open.c - all of open(2) that comes before there is a descriptor.
 *
 * Rules: a file that is opened for writing is in the upper before the caller opens it; what would be truncated is not
 * copied; devices, fifos and sockets are used where they are.  Once the view is left others may put symlinks, which
 * would lead out of the layer, into the path that was prepared: whoever opens it follows none (RESOLVE_NO_SYMLINKS).
 * do_open() and may_open() in fs/namei.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../layers/layers.h"
#include "../upper/upper.h"
#include "ops.h"

static bool writes(int flags) {
    return (flags & O_ACCMODE) != O_RDONLY;
}

static int plan_real(const struct location *loc, uint32_t d, int flags, struct open_plan *plan) {
    bool elsewhere = (at(loc->overlay, d)->flags & D_METACOPY) && !(flags & O_PATH);
    int length = elsewhere ? metadata_path(loc->overlay, d, plan->path, sizeof plan->path)
                           : backing_path(loc->overlay, d, plan->path, sizeof plan->path);
    if (length < 0)
        return length;
    plan->flags = (flags & ~(O_CREAT | O_EXCL)) | O_NOFOLLOW;
    plan->unasked = flags & (O_NOFOLLOW | O_PATH) ? 0 : O_NOFOLLOW;
    return 0;
}

/* With others the kernel may refuse to open what it has made. */
#define FLAGS_AS_MADE                                                                                                  \
    (O_ACCMODE | O_CREAT | O_EXCL | O_TRUNC | O_APPEND | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC | O_LARGEFILE)

static int give_mode(const struct overlay *ovl, uint32_t d, mode_t mode) {
    char path[FD_PATH];
    CLOSE_FD fd = backing_open(ovl, d);
    if (fd < 0)
        return fd;
    fd_path(fd, path);
    return chmod(path, mode) < 0 ? -errno : 0;
}

/* The caller opens it before its mode forbids that. */
static int open_new(const struct location *loc, int flags, mode_t mode, const struct cred *cred,
                    struct open_plan *plan) {
    uint32_t made;
    if (loc->slash)
        return -EISDIR;
    struct creation creation = {.mode = S_IFREG | (mode & 07777), .open_flags = flags & ~O_TRUNC};
    if (plan->opens && !(flags & ~FLAGS_AS_MADE))
        creation.fd = &plan->fd;
    int error = create(loc, &creation, cred, &made);
    if (!error)
        error = plan_real(loc, made, flags & ~O_TRUNC, plan);
    if (error || plan->fd >= 0)
        return error;
    struct statx stx;
    mode_t wanted = writes(flags) ? 0600 : 0400;
    if (backing_upper_statx(loc->overlay, made, &stx) < 0 || (stx.stx_mode & wanted) == wanted)
        return 0;   /* it is made: what else goes wrong the caller meets when it opens it */
    plan->fix_mode = true;
    plan->mode = stx.stx_mode & 07777;
    return give_mode(loc->overlay, made, plan->mode | wanted);
}

static int open_tmpfile(const struct location *loc, int flags, mode_t mode, const struct cred *cred,
                        struct open_plan *plan) {
    struct overlay *ovl = loc->overlay;
    if (!S_ISDIR(loc->type))
        return loc->type ? -ENOTDIR : -ENOENT;
    if (loc->read_only)
        return -EROFS;
    int error = permission(ovl, loc->dentry, cred, W_OK | X_OK);
    if (!error)
        error = copy_up_dir(ovl, loc->dentry);
    if (!error)
        error = plan_real(loc, loc->dentry, flags, plan);
    plan->flags = flags & ~O_NOFOLLOW;
    plan->mode = mode & 07777 & ~(acl_has_default(ovl, loc->dentry) ? 0 : cred->umask);
    return error;
}

static int check_type(const struct location *loc, int flags) {
    if ((flags & O_DIRECTORY) && !S_ISDIR(loc->type))
        return -ENOTDIR;
    if (flags & O_PATH)
        return 0;
    if (S_ISLNK(loc->type))
        return -ELOOP;
    if (S_ISDIR(loc->type) && (writes(flags) || (flags & (O_CREAT | O_TRUNC))))
        return -EISDIR;
    if (S_ISSOCK(loc->type))
        return -ENXIO;
    return 0;
}

/* fs.protected_regular and fs.protected_fifos guard O_CREAT in sticky directories, against root too:
 * may_create_in_sticky(). */
static int may_create_in_sticky(const struct location *loc, const struct cred *cred) {
    const pto_view *view = loc->overlay->view;
    int level = S_ISREG(loc->type) ? view->protected_regular : S_ISFIFO(loc->type) ? view->protected_fifos : 1;
    struct statx directory, object;
    int error = level ? inode_owner(loc->overlay, loc->parent, &directory) : 0;
    if (error || !level || !(directory.stx_mode & S_ISVTX))
        return error;
    error = inode_owner(loc->overlay, loc->dentry, &object);
    if (error || object.stx_uid == directory.stx_uid || object.stx_uid == cred->fsuid)
        return error;
    return directory.stx_mode & S_IWOTH || (directory.stx_mode & S_IWGRP && level >= 2) ? -EACCES : 0;
}

static int mask_of(int flags) {
    static const int masks[] = {
        [O_RDONLY] = R_OK, [O_WRONLY] = W_OK, [O_RDWR] = R_OK | W_OK, [O_ACCMODE] = R_OK | W_OK};
    return masks[flags & O_ACCMODE] | (flags & O_TRUNC ? W_OK : 0);
}

/* A device that is kept as an empty file: what every user may open is there, and no other. */
static bool kept_device(struct overlay *ovl, const struct location *loc, struct open_plan *plan, int flags) {
    static const struct {
        unsigned major, minor;
        const char *path;
    } open_to_all[] = {{1, 3, "/dev/null"},   {1, 5, "/dev/zero"},    {1, 7, "/dev/full"},
                       {1, 8, "/dev/random"}, {1, 9, "/dev/urandom"}, {5, 0, "/dev/tty"}};
    struct statx real, stx;
    char path[VIEW_PATH_MAX];
    if (!S_ISCHR(loc->type) && !S_ISBLK(loc->type))
        return false;
    int layer = backing_at_top(ovl, loc->dentry, path);
    if (layer < 0 || fd_statx(ovl->layers[layer].fd, path, 0, &real) < 0 || !S_ISREG(real.stx_mode))
        return false;
    plan->path[0] = '\0';
    plan->flags = flags & ~(O_CREAT | O_EXCL | O_TRUNC);
    if (inode_owner(ovl, loc->dentry, &stx) < 0 || !S_ISCHR(loc->type))
        return true;
    for (size_t i = 0; i < sizeof open_to_all / sizeof *open_to_all; i++)
        if (open_to_all[i].major == stx.stx_rdev_major && open_to_all[i].minor == stx.stx_rdev_minor)
            strcpy(plan->path, open_to_all[i].path);
    return true;
}

/* Of what the upper has: whoever opens it gets it empty. */
static int cut(const struct overlay *ovl, uint32_t d) {
    struct stat st;
    if (!quota_counts(ovl) || !upper_exists(at(ovl, d)))
        return 0;
    CLOSE_FD fd = backing_open(ovl, d);
    if (fd < 0)
        return fd;
    return fstat(fd, &st) < 0 ? -errno : quota_resize(ovl, &st, 0);
}

static int open_existing(const struct location *loc, int flags, const struct cred *cred, struct open_plan *plan) {
    struct overlay *ovl = loc->overlay;
    int error = (flags & O_CREAT) && !S_ISDIR(loc->type) ? may_create_in_sticky(loc, cred) : 0;
    if (!error)
        error = check_type(loc, flags);
    if (error)
        return error;
    if (flags & O_PATH)
        return plan_real(loc, loc->dentry, flags, plan);
    int mask = mask_of(flags);
    error = permission(ovl, loc->dentry, cred, mask);
    if (error)
        return error;
    struct statx stx;
    if (flags & O_NOATIME) {
        error = inode_getattr(ovl, loc->dentry, &stx);
        if (error || !ids_owner_or_capable(&stx, cred))
            return error ? error : -EPERM;
    }
    if ((mask & W_OK) && S_ISREG(loc->type)) {
        if (loc->read_only)
            return -EROFS;
        error = busy_write_access(ovl, loc->dentry);
        if (!error && (flags & O_TRUNC))
            error = cut(ovl, loc->dentry);
        if (!error)
            error = copy_up(ovl, loc->dentry, flags & O_TRUNC ? 0 : KEEP_ALL);
        if (!error)
            error = attr_drop_set_id(ovl, loc->dentry, cred, flags & O_TRUNC);
        if (error)
            return error;
    } else {
        error = closed_open(ovl, loc->dentry);
        if (error)
            return error;
    }
    if (kept_device(ovl, loc, plan, flags))
        return plan->path[0] ? 0 : -EACCES;
    const struct dentry *dentry = at(ovl, loc->dentry);
    if (!(mask & W_OK) && S_ISREG(loc->type) && (!upper_exists(dentry) || (dentry->flags & D_METACOPY))) {
        opened(ovl, loc->dentry);
    }
    return plan_real(loc, loc->dentry, flags, plan);
}

int view_open(pto_view *view, const struct location *loc, int flags, mode_t mode, const struct cred *cred,
              struct open_plan *plan) {
    HELD(&view->base->lock);
    plan->fix_mode = false;
    plan->unasked = 0;
    plan->mode = 0;
    plan->fd = -1;
    if (loc->hidden)
        return flags & O_CREAT ? -EACCES : -ENOENT;
    if ((flags & O_TMPFILE) == O_TMPFILE && !(flags & O_PATH))
        return open_tmpfile(loc, flags, mode, cred, plan);
    bool make = (flags & O_CREAT) && !(flags & O_PATH);
    if (loc->type)
        return make && (flags & O_EXCL) ? -EEXIST : open_existing(loc, flags & (make ? -1 : ~O_EXCL), cred, plan);
    return make ? open_new(loc, flags, mode, cred, plan) : -ENOENT;
}

int view_open_closed(pto_view *view, struct location *loc) {
    HELD(&view->base->lock);
    if (!loc->overlay || loc->type == 0)
        return 0;
    int error = loc->type == S_IFDIR && !loc->read_only ? closed_open(loc->overlay, loc->dentry) : 0;
    if (error)
        return error;
    bool above = !loc->upper && upper_exists(at(loc->overlay, loc->dentry));
    loc->upper |= above;
    return above;
}

int view_open_done(pto_view *view, const struct open_plan *plan) {
    HELD(&view->base->lock);
    if (!plan->fix_mode)
        return 0;
    char name[FD_PATH];
    CLOSE_FD fd = view_open_exact(plan->path, O_PATH | O_NOFOLLOW, 0);
    if (fd < 0)
        return fd;
    fd_path(fd, name);
    return chmod(name, plan->mode) < 0 ? -errno : 0;
}

void view_open_drop(struct open_plan *plan) {
    if (plan->fd >= 0)
        close(plan->fd);
    plan->fd = -1;
}

int view_open_plan(struct open_plan *plan, int more) {
    int fd = plan->fd;
    plan->fd = -1;
    return fd >= 0 ? fd : view_open_exact(plan->path, (plan->flags & ~plan->unasked) | more, plan->mode);
}
