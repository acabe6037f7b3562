/* metacopy.c - files of the upper that have their data in a layer below (metadata.c), and how they get their own.
 *
 * Rule: who writes gets the data copied first, and the mark is removed after the last byte, so that of a killed copy
 * nothing is seen but the time, as in the kernel.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../layers/layers.h"
#include "upper.h"

static int set_back_times(int out, const struct stat *st) {
    const struct timespec times[2] = {st->st_atim, st->st_mtim};
    return futimens(out, times) < 0 ? -errno : 0;
}

/* While the mark is there what is copied is not seen: all of it, for a size that is cut before would be. */
static int fill_data(struct overlay *ovl, int in, int out, const struct stat *st) {
    int error = in < 0 ? in : data_copy(ovl, in, out, st->st_size, true);
    if (!error)
        error = set_back_times(out, st);
    if (!error)
        error = upper_sync(ovl, out);
    if (!error)
        error = private_remove(ovl, out, METADATA_MARK);
    if (error)
        (void)set_back_times(out, st);   /* all that shows of what was copied */
    return error;
}

/* An empty file lacks nothing, and is shown as it is: with the mark, too. */
static int cut(struct overlay *ovl, int out, const struct stat *st) {
    if (ftruncate(out, 0) < 0)
        return -errno;
    int error = private_remove(ovl, out, METADATA_MARK);
    if (error && ftruncate(out, st->st_size) == 0)
        (void)set_back_times(out, st);
    return error;
}

int metacopy_fill(struct overlay *ovl, uint32_t d, off_t keep) {
    struct stat st;
    char path[VIEW_PATH_MAX];
    int error = path_in_upper(ovl, d, path);
    if (error < 0)
        return error;
    CLOSE_FD out = fd_beneath(ovl->layers[0].fd, path, O_WRONLY | O_NOFOLLOW);
    if (out < 0)
        return out;
    if (fstat(out, &st) < 0)
        return -errno;
    CLOSE_FD in = metadata_open(ovl, d);
    error = keep == 0 ? cut(ovl, out, &st) : fill_data(ovl, in, out, &st);
    if (error)
        return error;
    (void)private_remove(ovl, out, "redirect");   /* without the mark it says nothing */
    if (in >= 0)
        opened_copied(ovl, d, in);
    metadata_done(ovl, d);
    opened_put(ovl, d);
    return 0;
}

int metacopy_mark(struct overlay *ovl, uint32_t d, int fd, const struct statx *stx) {
    char path[VIEW_PATH_MAX];
    unsigned layer = at(ovl, d)->layer;
    if (ftruncate(fd, (off_t)stx->stx_size) < 0)
        return -errno;
    int error = private_set(ovl, fd, METADATA_MARK, "", 0);
    if (error || (at(ovl, d)->flags & D_METACOPY))
        return error;   /* the lower has no data either: where it is stands in the entry already */
    error = path_in_lower(ovl, d, layer, path);
    return error < 0 ? error : metadata_set_data(ovl, d, layer, path);
}

int metacopy_pin(struct overlay *ovl, uint32_t d) {
    char value[PATH_MAX];
    const struct dentry *dentry = at(ovl, d);
    if (!(dentry->flags & D_METACOPY) || !dentry->stack)
        return 0;
    int length = redirect_path(ovl, d, value);
    if (length < 0)
        return length;
    CLOSE_FD fd = backing_open(ovl, d);
    return fd < 0 ? fd : private_set(ovl, fd, "redirect", value, (size_t)length);
}
