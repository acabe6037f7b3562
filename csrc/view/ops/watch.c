/* watch.c - inotify watches of callers come to be: on the object that will be changed.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "../layers/layers.h"
#include "../upper/upper.h"

#define WATCHED_SIZE (1u << 30) /* bytes; a larger file is not copied for a watch alone */

/* What will be changed is what is watched: a watch on a lower object would never fire. */
static int copy_watched(struct overlay *ovl, const struct location *loc) {
    if (loc->read_only || loc->upper)
        return 0;
    if (S_ISDIR(loc->type))
        return copy_up_dir(ovl, loc->dentry);
    if (!S_ISREG(loc->type) && !S_ISLNK(loc->type))
        return 0;
    struct statx stx;
    int error = inode_getattr(ovl, loc->dentry, &stx);
    return error || stx.stx_size > WATCHED_SIZE ? error : copy_up(ovl, loc->dentry, KEEP_ALL);
}

#define CHANGES                                                                                                        \
    (IN_MODIFY | IN_ATTRIB | IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_DELETE_SELF |   \
     IN_MOVE_SELF)

int view_watch_ready(pto_view *view, const struct location *loc, uint32_t mask) {
    HELD(&view->base->lock);
    int error = mask & CHANGES ? copy_watched(loc->overlay, loc) : 0;
    return error == -VIEW_AGAIN ? error : 0;   /* else it is watched where it is */
}

int view_watch(pto_view *view, const struct location *loc, int instance, uint32_t mask) {
    char real[VIEW_PATH_MAX], path[FD_PATH];
    struct stat st;
    int error = view_real(view, loc, real, sizeof real);
    if (error)
        return error;
    CLOSE_FD fd = view_open_exact(real, O_PATH | O_NOFOLLOW, 0);
    if (fd < 0 || fstat(fd, &st) < 0)
        return fd < 0 ? fd : -errno;
    fd_path(fd, path);
    int wd = inotify_add_watch(instance, path, mask & ~(uint32_t)IN_DONT_FOLLOW);
    if (wd < 0)
        return -errno;
    error = quiet_note(view->base, instance, wd, mask, &st);
    return error ? error : wd;
}
