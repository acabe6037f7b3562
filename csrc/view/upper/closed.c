/* closed.c - what only root may read in a lower, of which a fake root is to see something.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "../layers/layers.h"
#include "upper.h"

static int closed_file(struct overlay *ovl, uint32_t d) {
    struct statx stx;
    CLOSE_FD fd = lower_open(ovl, d, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (fd != -EACCES)
        return 0;
    int error = lower_statx(ovl, d, &stx);
    if (!error && stx.stx_size == 0)
        return copy_up(ovl, d, KEEP_ALL);
    return error || faked_closed(ovl, -EACCES) ? -EACCES : 0;
}

static int closed_dir(struct overlay *ovl, uint32_t d) {
    CLOSE_FD fd = lower_open(ovl, d, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    CLOSE_FD inside = fd < 0 ? -1 : openat(fd, ".", O_PATH | O_CLOEXEC);
    bool closed = fd == -EACCES || (fd >= 0 && inside < 0 && errno == EACCES);
    return closed && has_upper(ovl) ? copy_up_dir(ovl, d) : 0;
}

int closed_open(struct overlay *ovl, uint32_t d) {
    const struct dentry *dentry = at(ovl, d);
    if (!ovl->view->faked || upper_exists(dentry) || !lower_exists(dentry))
        return 0;
    if (is_dir_kind(dentry->lower))
        return closed_dir(ovl, d);
    return dentry->lower == DT_REG ? closed_file(ovl, d) : 0;
}
