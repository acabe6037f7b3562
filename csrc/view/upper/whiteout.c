/* whiteout.c - makes whiteouts, and marks directories opaque, in the form that the upper has (marks.c).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "../layers/layers.h"
#include "upper.h"

static int make_dot(int dirfd, const char *name) {
    int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    close(fd);
    return 0;
}

int whiteout_opaque(const struct overlay *ovl, int fd) {
    return ovl->layers[0].dot_form ? make_dot(fd, DOT_OPAQUE) : private_set(ovl, fd, "opaque", "y", 1);
}

/* All whiteouts are links of one device in the work directory, until it has as many links as it can have: a link costs
 * less than an inode.  ovl_whiteout() in fs/overlayfs/dir.c. */
#define SHARED_WHITEOUT "whiteout"

void whiteout_close(const struct overlay *ovl) {
    if (ovl->work >= 0)
        (void)!unlinkat(ovl->work, SHARED_WHITEOUT, 0);   /* removed at the next start in any case */
}

static int make_device(const struct overlay *ovl, int dirfd, const char *name) {
    if (linkat(ovl->work, SHARED_WHITEOUT, dirfd, name, 0) == 0)
        return 0;
    if (errno != ENOENT && errno != EMLINK)
        return mknodat(dirfd, name, S_IFCHR, makedev(0, 0)) < 0 ? -errno : 0;
    if (errno == EMLINK && unlinkat(ovl->work, SHARED_WHITEOUT, 0) < 0)
        return -errno;
    if (mknodat(ovl->work, SHARED_WHITEOUT, S_IFCHR, makedev(0, 0)) < 0)
        return -errno;
    return linkat(ovl->work, SHARED_WHITEOUT, dirfd, name, 0) < 0 ? -errno : 0;
}

/* Another overlay's layer shows no devices 0/0, so one that lies in it takes the kernel's other form, which an overlay
 * shows as it is (Documentation/filesystems/overlayfs.rst, "Nesting"). */
static int make_marked(const struct overlay *ovl, int dirfd, const char *name) {
    CLOSE_FD fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int error = private_set(ovl, fd, "whiteout", "", 0);
    if (error)
        (void)!unlinkat(dirfd, name, 0);
    return error;
}

int whiteout_expect(const struct overlay *ovl, int dirfd) {
    char value[2];
    if (!ovl->layers[0].marked_form || private_get(&ovl->layers[0], dirfd, "opaque", value, sizeof value) == 1)
        return 0;
    return private_set(ovl, dirfd, "opaque", "x", 1);
}

int whiteout_make(const struct overlay *ovl, int dirfd, const char *name) {
    char dotted[NAME_MAX + 1];
    if (ovl->layers[0].marked_form) {
        int unmarked = whiteout_expect(ovl, dirfd);
        return unmarked ? unmarked : make_marked(ovl, dirfd, name);
    }
    if (!ovl->layers[0].dot_form)
        return make_device(ovl, dirfd, name);
    int error = marks_dot_name(name, dotted);
    return error ? error : make_dot(dirfd, dotted);
}

int whiteout_in_work(struct overlay *ovl, struct work_object *object) {
    work_object_init(ovl, object);
    int error = whiteout_make(ovl, ovl->work, object->name);
    if (error)
        object->name[0] = '\0';
    return error;
}

static int take_away(struct overlay *ovl, int dirfd, const char *name, bool directory) {
    if (unlinkat(dirfd, name, directory ? AT_REMOVEDIR : 0) == 0)
        return 0;
    if (!directory || (errno != ENOTEMPTY && errno != EEXIST))
        return -errno;
    /* Only whiteouts are left in it: out of the view by one rename, then removed. */
    WORK_OBJECT object;
    work_object_init(ovl, &object);
    return upper_take(&object, dirfd, name);
}

/* An object gives way to a whiteout, or to nothing. */
int whiteout_replace(struct overlay *ovl, int dirfd, const char *name, bool directory, bool whiteout) {
    if (!whiteout)
        return take_away(ovl, dirfd, name, directory);
    if (ovl->layers[0].dot_form) {
        int error = whiteout_make(ovl, dirfd, name);
        return error ? error : take_away(ovl, dirfd, name, directory);
    }
    int error = whiteout_expect(ovl, dirfd);
    if (error)
        return error;
    WORK_OBJECT object;
    error = whiteout_in_work(ovl, &object);
    return error ? error : upper_put(&object, dirfd, name, directory ? PUT_EXCHANGE : PUT_OVER);
}

int whiteout_clear(struct overlay *ovl, uint32_t directory, int fd) {
    char name[NAME_MAX + 1];
    for (uint32_t d = at(ovl, directory)->child; d; d = at(ovl, d)->sibling) {
        if (at(ovl, d)->upper != KIND_WHITEOUT)
            continue;
        index_name(&ovl->view->index, d, name);
        if (unlinkat(fd, name, 0) < 0 && errno != ENOENT)
            return -errno;
        at(ovl, d)->upper = at(ovl, d)->lower = KIND_NONE;
    }
    return 0;
}

int whiteout_drop_dot(const struct overlay *ovl, int dirfd, const char *name) {
    char dotted[NAME_MAX + 1];
    if (!ovl->layers[0].dot_form)
        return 0;
    int error = marks_dot_name(name, dotted);
    return error ? error : unlinkat(dirfd, dotted, 0) < 0 && errno != ENOENT ? -errno : 0;
}

/* Other errors than those of one who cannot have such a device are told. */
static bool refuses_devices(int error) {
    static const int refusals[] = {EPERM, EINVAL, EOPNOTSUPP, ENOSYS, ENOENT, ENODEV, ENXIO};
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        if (error == refusals[i])
            return true;
    return false;
}

/* 1: a device 0/0 can be made and is one; 0: not here. */
static int try_device(const struct overlay *ovl, const char *name) {
    struct stat st;
    if (mknodat(ovl->work, name, S_IFCHR, makedev(0, 0)) < 0) {
        int error = errno;
        if (error == ENOENT) /* fuse-overlayfs knows it as a whiteout of its own, until it reads the directory again */
            (void)work_remove_children(ovl->work);
        return refuses_devices(error) ? 0 : -error;
    }
    bool is = fstatat(ovl->work, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && marks_is_whiteout(&st);
    return unlinkat(ovl->work, name, 0) < 0 ? -errno : is;
}

/* An upper must also take a whiteout: where devices are refused (Linux before 5.8, another overlay) the kernel's other
 * form. */
int whiteout_choose_form(struct overlay *ovl) {
    struct layer *upper = &ovl->layers[0];
    char name[WORK_NAME];
    marks_find_form(upper);
    work_name(ovl, name);
    if (upper->marked_form)
        return upper->dot_form ? -EOPNOTSUPP : 0;
    int devices = upper->dot_form ? 1 : try_device(ovl, name);
    if (devices != 0)
        return devices < 0 ? devices : 0;
    work_name(ovl, name);
    int error = make_marked(ovl, ovl->work, name);
    upper->marked_form = !error;
    upper->dot_form = error == -EPERM || error == -EOPNOTSUPP;
    if (error)
        return upper->dot_form ? 0 : error;
    return unlinkat(ovl->work, name, 0) < 0 ? -errno : 0;
}
