/* link.c - a second name for an object, and names for objects that have none yet: O_TMPFILE files, sockets.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../layers/layers.h"
#include "../upper/upper.h"
#include "../walk/walk.h"
#include "ops.h"

/* Everything up to the new name: permission, the parent in the upper, its descriptor. */
static int begin_name(const struct location *to, const struct cred *cred, uint32_t *d, struct upper_dir *dir) {
    struct overlay *ovl = to->overlay;
    int error = permission_create(ovl, to, cred);
    if (!error && to->slash)
        error = -ENOENT;
    if (!error)
        error = entry_locate(to, d);
    if (!error && shown_kind(at(ovl, *d)) != KIND_NONE)
        error = -EEXIST;
    if (!error)
        error = copy_up_dir(ovl, to->parent);
    if (!error)
        touch(ovl, *d);
    return error ? error : upper_dir_open(ovl, to->parent, dir);
}

/* The name now leads to an object of the upper. */
static void named(struct overlay *ovl, uint32_t d, uint8_t kind) {
    struct dentry *dentry = at(ovl, d);
    index_free_stack(&ovl->view->index, dentry);
    dentry->upper = kind;
    dentry->lower = KIND_NONE;
    dentry->layer = 0;
    dentry->flags = 0;
    readdir_changed(ovl, dentry->parent);
}

/* Links from/old at the entry's name, over a whiteout by way of the work directory. */
static int link_over(struct overlay *ovl, int from, const char *old, int flags, const struct upper_dir *dir,
                     uint32_t d) {
    char name[NAME_MAX + 1];
    index_name(&ovl->view->index, d, name);
    if (at(ovl, d)->upper != KIND_WHITEOUT || ovl->layers[0].dot_form) {
        quiet_lift(&dir->quiet);
        int linked = linkat(from, old, dir->fd, name, flags);
        quiet_return(&dir->quiet);
        return linked < 0 ? -errno : whiteout_drop_dot(ovl, dir->fd, name);
    }
    WORK_OBJECT object;
    work_object_init(ovl, &object);
    if (linkat(from, old, ovl->work, object.name, flags) < 0) {
        object.name[0] = '\0';
        return -errno;
    }
    return watches_put(&object, dir, name, PUT_OVER, false);
}

/* may_linkat() in fs/namei.c: where fs.protected_hardlinks is set only what one owns, or may read and write. */
static int may_link(struct overlay *ovl, uint32_t d, const struct cred *cred) {
    struct statx stx;
    int error = ovl->view->protected_hardlinks ? inode_getattr(ovl, d, &stx) : 0;
    if (error || !ovl->view->protected_hardlinks || ids_owner_or_capable(&stx, cred))
        return error;
    bool special = !S_ISREG(stx.stx_mode) || (stx.stx_mode & S_ISUID) ||
                   (stx.stx_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP);
    return special || permission(ovl, d, cred, R_OK | W_OK) ? -EPERM : 0;
}

int view_link(pto_view *view, const struct location *from, const struct location *to, const struct cred *cred) {
    HELD(&view->base->lock);
    if (from->type == 0)
        return -ENOENT;
    if (to->type || to->slash)
        return to->type ? -EEXIST : -ENOENT;
    if (!from->overlay || from->overlay != to->overlay)
        return -EXDEV;
    struct overlay *ovl = to->overlay;
    int error = may_link(ovl, from->dentry, cred);
    if (!error)
        error = permission_create(ovl, to, cred);
    if (!error && S_ISDIR(from->type))
        error = -EPERM;
    uint32_t d;
    UPPER_DIR dir = {.fd = -1}, source = {.fd = -1};
    if (!error)
        error = begin_name(to, cred, &d, &dir);
    if (!error)
        error = copy_up(ovl, from->dentry, KEEP_NONE_YET);
    if (!error)
        error = metacopy_pin(ovl, from->dentry);
    if (!error)
        error = upper_dir_open(ovl, at(ovl, from->dentry)->parent, &source);
    if (error)
        return error;
    odd_put(ovl, d, from->dentry);
    char old[NAME_MAX + 1];
    index_name(&ovl->view->index, from->dentry, old);
    error = link_over(ovl, source.fd, old, 0, &dir, d);
    if (!error)
        named(ovl, d, at(ovl, from->dentry)->upper);
    return error;
}

int view_link_real(pto_view *view, const char *real, const struct location *to, const struct cred *cred) {
    struct stat st;
    uint32_t d;
    UPPER_DIR dir = {.fd = -1};
    HELD(&view->base->lock);
    if (stat(real, &st) < 0)
        return -errno;
    if (S_ISDIR(st.st_mode))
        return -EPERM;
    if (!to->overlay || !has_upper(to->overlay) || st.st_dev != to->overlay->layers[0].dev)
        return -EXDEV;
    int error = begin_name(to, cred, &d, &dir);
    if (!error && shown_find(&to->overlay->shown, st.st_ino))
        odd_tell(to->overlay, d);
    uint64_t taken = st.st_nlink ? 0 : quota_of(st.st_mode, (uint64_t)st.st_size);
    if (!error)
        error = quota_take(to->overlay, taken);
    if (error)
        return error;
    error = link_over(to->overlay, AT_FDCWD, real, AT_SYMLINK_FOLLOW, &dir, d);
    if (error)
        quota_give(to->overlay, taken);
    else
        named(to->overlay, d, (uint8_t)IFTODT(st.st_mode));
    return error;
}

/* ---- sockets ---- */

/* Of the name itself a longer one leaves no room for a directory in an address of 108 bytes. */
#define SHORT_BASENAME 12u

/* Its own path in the upper. */
static int path_of_new(const struct overlay *ovl, const struct location *loc, uint32_t d, char *real) {
    char name[NAME_MAX + 1], upper[VIEW_PATH_MAX], path[VIEW_PATH_MAX];
    int length = path_in_upper(ovl, loc->parent, upper);
    if (length >= 0)
        length = path_absolute(&ovl->layers[0], upper, path, sizeof path);
    if (length < 0)
        return length;
    index_name(&ovl->view->index, d, name);
    length = path_join(path, path, (size_t)length, name, strlen(name));
    if (length >= PATH_MAX)
        return -ENAMETOOLONG;
    memcpy(real, path, (size_t)length + 1);
    return length;
}

int view_bind(pto_view *view, const struct location *loc, const struct cred *cred, char *real) {
    uint32_t d;
    UPPER_DIR dir = {.fd = -1};
    struct overlay *ovl = loc->overlay;
    HELD(&view->base->lock);
    int error = begin_name(loc, cred, &d, &dir);
    if (error)
        return error == -EEXIST ? -EADDRINUSE : error;
    int length = path_of_new(ovl, loc, d, real);
    if (length < 0 && length != -ENAMETOOLONG)
        return length;
    bool replaces = at(ovl, d)->upper == KIND_WHITEOUT && !ovl->layers[0].dot_form;
    bool fits = length >= 0 && ((size_t)length < sizeof((struct sockaddr_un *)0)->sun_path ||
                                at(ovl, d)->name_length <= SHORT_BASENAME);
    if (fits && !replaces)
        return 0;
    char work[WORK_NAME];
    work_name(ovl, work);
    length = snprintf(real, PATH_MAX, "%s/%s", ovl->work_path, work);
    return length >= PATH_MAX ? -ENAMETOOLONG : 0;
}

/* What was made in the work directory gets its name. */
static int put_bound(struct overlay *ovl, const struct location *loc, uint32_t d, const char *real) {
    UPPER_DIR dir = {.fd = -1};
    char name[NAME_MAX + 1];
    WORK_OBJECT object = {.ovl = ovl};
    size_t length = strlen(ovl->work_path);
    bool whiteout = at(ovl, d)->upper == KIND_WHITEOUT;
    bool in_work = path_below(real, strlen(real), ovl->work_path, length);
    if (!in_work && !whiteout)
        return 0;
    int error = upper_dir_open(ovl, loc->parent, &dir);
    if (error)
        return error;
    index_name(&ovl->view->index, d, name);
    if (in_work) {
        snprintf(object.name, sizeof object.name, "%s", real + length + 1);
        error = watches_put(&object, &dir, name, whiteout && !ovl->layers[0].dot_form ? PUT_OVER : PUT_NEW, false);
    }
    return !error && ovl->layers[0].dot_form ? whiteout_drop_dot(ovl, dir.fd, name) : error;
}

int view_bind_done(pto_view *view, const struct location *loc, const char *real, const struct cred *cred) {
    uint32_t d;
    struct overlay *ovl = loc->overlay;
    struct stat st;
    HELD(&view->base->lock);
    int error = entry_locate(loc, &d);
    if (error)
        return error;
    struct statx parent;
    error = inode_owner(ovl, loc->parent, &parent);
    if (error)
        return error;
    if (lstat(real, &st) < 0)
        return -errno;
    struct shown owner = {
        .uid = cred->fsuid, .gid = parent.stx_mode & S_ISGID ? parent.stx_gid : cred->fsgid, .mode = st.st_mode};
    error = create_give_owner(ovl, AT_FDCWD, real, &owner);
    if (error)
        return error;
    error = put_bound(ovl, loc, d, real);
    if (error)
        return error;
    named(ovl, d, DT_SOCK);
    return 0;
}
