/* create.c - objects that come to be: mkdir, mknod, symlink, link, and the file that open(2) makes.
 *
 * Rules: a name that a lower shows, or showed, gets its new object by one rename over the whiteout; a new directory
 * where a lower could have one is opaque from its first moment; owner, group and mode are those the kernel would
 * have given the caller.  ovl_create_object() in fs/overlayfs/dir.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "../layers/layers.h"
#include "../upper/upper.h"
#include "../walk/walk.h"
#include "ops.h"

#define DEFAULT_ACL "system.posix_acl_default"

/* What the kernel would give the new object. */
struct given {
    uid_t uid;
    gid_t gid;
    mode_t mode;            /* without the type */
    bool inherits;          /* the parent has a default ACL */
    bool setgid;            /* the parent gives its group */
};

static int find_given(const struct location *loc, const struct creation *creation, const struct cred *cred,
                      struct given *given) {
    struct statx parent;
    struct overlay *ovl = loc->overlay;
    int error = inode_owner(ovl, loc->parent, &parent);
    if (error)
        return error;
    *given = (struct given){.uid = cred->fsuid, .gid = cred->fsgid, .mode = creation->mode & 07777};
    given->inherits = !S_ISLNK(creation->mode) && acl_has_default(ovl, loc->parent);
    if (!given->inherits)
        given->mode &= ~cred->umask;
    if (S_ISLNK(creation->mode))
        given->mode = 0777;
    if (!(parent.stx_mode & S_ISGID))
        return 0;
    given->setgid = true;
    given->gid = parent.stx_gid;
    if (S_ISDIR(creation->mode))
        given->mode |= S_ISGID;
    else if ((given->mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && !permission_keep_setgid(&parent, cred))
        given->mode &= ~(mode_t)S_ISGID;
    return 0;
}

/* Its descriptor is the caller's even where the mode would not let the caller open it again: open(2).  False: it is to
 * be made without. */
static bool make_open(int dirfd, const char *name, const struct creation *creation, mode_t mode, int *error) {
    int flags = creation->open_flags | O_CREAT | O_EXCL | O_NOCTTY | O_CLOEXEC;
    int fd = openat(dirfd, name, flags, mode);
    *error = fd < 0 ? -errno : 0;
    if (fd >= 0)
        *creation->fd = fd;
    else if (*error != -EEXIST)
        (void)!unlinkat(dirfd, name, 0);   /* it may have been made, and then not opened */
    return *error != -EMFILE && *error != -ENFILE;
}

static int make(int dirfd, const char *name, const struct creation *creation, mode_t mode) {
    int error;
    if (creation->fd && make_open(dirfd, name, creation, mode, &error))
        return error;
    switch (creation->mode & S_IFMT) {
    case S_IFDIR:
        return mkdirat(dirfd, name, mode & 01777) < 0 ? -errno : 0;
    case S_IFLNK:
        return symlinkat(creation->target, dirfd, name) < 0 ? -errno : 0;
    default:
        return mknodat(dirfd, name, (creation->mode & S_IFMT) | mode, creation->dev) < 0 ? -errno : 0;
    }
}

/* A device that only root can make is kept as an empty file. */
static int make_device(int dirfd, const char *name) {
    return mknodat(dirfd, name, S_IFREG | 0600, 0) < 0 ? -errno : 0;
}

static bool is_device(mode_t mode) {
    return S_ISCHR(mode) || S_ISBLK(mode);
}

int create_give_owner(struct overlay *ovl, int dirfd, const char *name, const struct shown *owner) {
    struct stat st;
    if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (!ovl->view->faked && st.st_uid == owner->uid && st.st_gid == owner->gid)
        return 0;
    if (!ovl->view->faked && fchownat(dirfd, name, owner->uid, owner->gid, AT_SYMLINK_NOFOLLOW) == 0)
        return 0;
    if (!ovl->view->faked && errno != EPERM)
        return -errno;
    struct shown shown = *owner;
    shown.upper_ino = st.st_ino;
    shown.owner = true;
    CLOSE_FD fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    touch_all(ovl->view, TOUCH_KEPT);
    return fd < 0 ? -errno : private_store_shown(ovl, fd, &shown);
}

/* Owner and mode of what was made by the supervisor. With a default ACL the kernel has worked out the mode. */
static int adjust(struct overlay *ovl, int dirfd, const char *name, const struct creation *creation,
                  const struct given *given) {
    struct stat st;
    struct shown owner = {.uid = given->uid, .gid = given->gid, .rdev = creation->dev};
    owner.mode = (creation->mode & S_IFMT) | given->mode;
    int error = create_give_owner(ovl, dirfd, name, &owner);
    if (error)
        return error;
    if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    mode_t mode = given->inherits ? (st.st_mode & 0777) | (given->mode & 07000) : given->mode;
    const struct shown *shown = shown_find(&ovl->shown, st.st_ino);
    if (shown && shown->owner && !given->inherits)
        mode = private_own_mode(-1, &st, shown);
    if (S_ISLNK(st.st_mode) || (st.st_mode & 07777) == mode)
        return 0;
    return fchmodat(dirfd, name, mode, 0) < 0 ? -errno : 0;
}

static int mark_new_opaque(struct overlay *ovl, int dirfd, const char *name) {
    CLOSE_FD fd = openat(dirfd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : whiteout_opaque(ovl, fd);
}

static int finish_object(struct overlay *ovl, int dirfd, const char *name, const struct creation *creation,
                         const struct given *given, bool opaque) {
    int error = adjust(ovl, dirfd, name, creation, given);
    return error || !opaque ? error : mark_new_opaque(ovl, dirfd, name);
}

/* The kernel works a default ACL out when an object is made below it, so the work directory is lent the parent's. */
static int lend_default_acl(struct overlay *ovl, uint32_t parent) {
    char value[4096], path[FD_PATH];
    ssize_t size = backing_getxattr(ovl, parent, DEFAULT_ACL, value, sizeof value);
    if (size < 0)
        return (int)size;
    fd_path(ovl->work, path);
    return setxattr(path, DEFAULT_ACL, value, (size_t)size, 0) < 0 ? -errno : 0;
}

static void take_default_acl(struct overlay *ovl) {
    char path[FD_PATH];
    fd_path(ovl->work, path);
    (void)!removexattr(path, DEFAULT_ACL);   /* removed again at the next start */
}

static int make_in_work(const struct location *loc, struct work_object *object, const struct creation *creation,
                        const struct given *given, bool opaque) {
    struct overlay *ovl = loc->overlay;
    int error = given->inherits ? lend_default_acl(ovl, loc->parent) : 0;
    if (!error)
        error = ovl->view->faked && is_device(creation->mode) ? make_device(ovl->work, object->name)
                                                              : make(ovl->work, object->name, creation, given->mode);
    if (given->inherits)
        take_default_acl(ovl);
    if (error) {
        object->name[0] = '\0';
        return error;
    }
    return finish_object(ovl, ovl->work, object->name, creation, given, opaque);
}

static void created(struct overlay *ovl, uint32_t d, mode_t mode, bool opaque) {
    struct dentry *dentry = at(ovl, d);
    bool file = S_ISREG(mode) && dentry->upper == KIND_NONE, missed = dentry->flags & D_PASSED;
    index_free_stack(&ovl->view->index, dentry);
    dentry->upper = (uint8_t)IFTODT(mode);
    dentry->lower = KIND_NONE;
    dentry->layer = 0;
    dentry->flags = D_CHECKED;
    if (S_ISDIR(mode))
        dentry->flags |= (uint16_t)(D_LOADED | (opaque ? D_OPAQUE : 0));
    readdir_names_changed(ovl, dentry->parent);
    if (!file)
        view_changed(ovl);
    else if (missed)
        __atomic_add_fetch(appeared_in(ovl->view, dentry->parent), 1, __ATOMIC_SEQ_CST);
}

/* Where and as what an object comes to be. */
struct creating {
    const struct location *loc;
    const struct creation *creation;
    struct given given;
    char name[NAME_MAX + 1];
    bool whiteout, opaque;      /* what has the name now; what the new directory is */
};

/* One call makes it as it is to be. */
static bool is_one_call(const struct creating *creating, const struct cred *cred) {
    const struct overlay *ovl = creating->loc->overlay;
    const struct given *given = &creating->given;
    const struct cred *own = &ovl->view->own;
    return !ovl->view->faked && !creating->whiteout && !given->setgid && given->uid == own->fsuid &&
           cred->fsgid == own->fsgid &&
           (given->inherits || !(given->mode & ovl->view->umask) || S_ISLNK(creating->creation->mode)) &&
           !(given->mode & 07000);
}

static int create_in_place(const struct creating *creating, struct upper_dir *dir) {
    quiet_lift(&dir->quiet);
    int error = make(dir->fd, creating->name, creating->creation, creating->given.mode);
    quiet_return(&dir->quiet);
    if (!error && creating->opaque)
        error = mark_new_opaque(creating->loc->overlay, dir->fd, creating->name);
    if (error && creating->opaque)   /* without the mark a lower could show through one day */
        (void)!unlinkat(dir->fd, creating->name, AT_REMOVEDIR);
    return error;
}

static int create_by_work(const struct creating *creating, struct upper_dir *dir) {
    struct overlay *ovl = creating->loc->overlay;
    bool directory = S_ISDIR(creating->creation->mode), in_place = creating->whiteout && !ovl->layers[0].dot_form;
    WORK_OBJECT object;
    work_object_init(ovl, &object);
    struct creation unopened = *creating->creation;
    if (dir->quiet.watched)
        unopened.fd = NULL;   /* its open is to be heard here */
    int error = make_in_work(creating->loc, &object, &unopened, &creating->given, creating->opaque);
    if (error)
        return error;
    enum putting how = !in_place ? PUT_NEW : directory ? PUT_EXCHANGE : PUT_OVER;
    return watches_put(&object, dir, creating->name, how, directory);
}

/* What is to come under the name, which nothing has: 0, or -errno. */
static int create_look(struct creating *creating, const struct cred *cred, uint32_t *d) {
    const struct location *loc = creating->loc;
    int error = permission_create(loc->overlay, loc, cred);
    if (!error)
        error = entry_locate(loc, d);
    if (error)
        return error;
    if (shown_kind(at(loc->overlay, *d)) != KIND_NONE)
        return -EEXIST;
    error = copy_up_dir(loc->overlay, loc->parent);
    return error ? error : find_given(loc, creating->creation, cred, &creating->given);
}

/* Straight into its directory when one call does it all, else by way of the work directory. */
int create(const struct location *loc, const struct creation *creation, const struct cred *cred, uint32_t *made) {
    struct overlay *ovl = loc->overlay;
    struct creating creating = {.loc = loc, .creation = creation};
    uint32_t d;
    UPPER_DIR dir = {.fd = -1};
    int error = create_look(&creating, cred, &d);
    if (!error)
        error = upper_dir_open(ovl, loc->parent, &dir);
    if (error)
        return error;
    index_name(&ovl->view->index, d, creating.name);
    touch(ovl, d);
    creating.whiteout = at(ovl, d)->upper == KIND_WHITEOUT;
    creating.opaque = S_ISDIR(creation->mode) && (creating.whiteout || is_dir_kind(at(ovl, loc->parent)->lower));
    error = quota_take(ovl, quota_of(creation->mode, 0));
    if (error)
        return error;
    error = is_one_call(&creating, cred) ? create_in_place(&creating, &dir) : create_by_work(&creating, &dir);
    if (!error && creating.whiteout)
        error = whiteout_drop_dot(ovl, dir.fd, creating.name);
    if (error) {
        quota_give(ovl, quota_of(creation->mode, 0));
        return error;
    }
    created(ovl, d, creation->mode, creating.opaque);
    *made = d;
    return 0;
}

/* ---- the calls ---- */

int view_mkdir(pto_view *view, const struct location *loc, mode_t mode, const struct cred *cred) {
    uint32_t made;
    HELD(&view->base->lock);
    return create(loc, &(struct creation){.mode = S_IFDIR | (mode & 01777)}, cred, &made);
}

int view_mknod(pto_view *view, const struct location *loc, mode_t mode, dev_t dev, const struct cred *cred) {
    uint32_t made;
    HELD(&view->base->lock);
    mode_t type = mode & S_IFMT ? mode & S_IFMT : S_IFREG;
    if (loc->slash && loc->type == 0)
        return -ENOENT;
    if (type == S_IFDIR)
        return -EPERM;
    if (type == S_IFLNK)
        return -EINVAL;
    int error = permission_create(loc->overlay, loc, cred);
    if (error)
        return error;
    bool whiteout = type == S_IFCHR && dev == makedev(0, 0); /* would remove a name: not made by the kernel's either */
    if (whiteout || ((type == S_IFCHR || type == S_IFBLK) && !cred_capable(cred, CAP_MKNOD)))
        return -EPERM;
    return create(loc, &(struct creation){.mode = type | (mode & 07777), .dev = dev}, cred, &made);
}

int view_symlink(pto_view *view, const char *target, const struct location *loc, const struct cred *cred) {
    uint32_t made;
    HELD(&view->base->lock);
    if (loc->slash && loc->type == 0)
        return -ENOENT;
    return create(loc, &(struct creation){.mode = S_IFLNK | 0777, .target = target}, cred, &made);
}
