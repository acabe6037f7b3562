/* metacopy.c - files of which a layer has the attributes alone (overlay.metacopy) and a layer below it the data.
 *
 * Rules: where the data lies is found once, when the file is looked up, and stands in the entry's stack; who writes
 * gets the data copied first, and the mark is removed after the last byte, so that of a killed copy nothing is seen but
 * the time, as in the kernel.  ovl_check_metacopy_xattr() and ovl_lookup() in fs/overlayfs.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../internal.h"

#define MARK "metacopy"

/* 1, 0 or -errno. */
static int is_marked(const struct layer *layer, const char *path, const struct stat *st) {
    if (!S_ISREG(st->st_mode) || st->st_size == 0)
        return 0;
    ssize_t length = private_get_at(layer, path, MARK, NULL, 0);
    return length >= 0 ? 1 : attribute_error(length);
}

static int keep_place(struct overlay *ovl, uint32_t d, unsigned layer, const char *path) {
    struct lower_dir data = {.layer = (uint16_t)layer, .path = index_text(&ovl->view->index, path, strlen(path))};
    if (!data.path)
        return -ENOMEM;
    ovl->metacopies = true;
    int error = index_set_stack(&ovl->view->index, d, &data, 1);
    if (error)
        index_free_text(&ovl->view->index, data.path);
    return error;
}

/* One layer: 1 when the search ends there, 0 when not. */
static int look_for_data(struct search *search, uint32_t d, unsigned number, const char *path, bool *stop) {
    const struct layer *layer = &search->ovl->layers[number];
    struct stat st;
    if (fstatat(layer->fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        bool absent = errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG;
        *stop |= absent && has_dot_whiteout(layer, path);
        return absent ? 0 : -errno;
    }
    int whiteout = is_marked_at(layer, path, &st);
    if (whiteout || !S_ISREG(st.st_mode)) {
        *stop = true;
        return whiteout < 0 ? whiteout : 0;
    }
    int marked = is_marked(layer, path, &st);
    int error = marked > 0    ? search_redirect(search, number, path, stop)
                : marked == 0 ? keep_place(search->ovl, d, number, path)
                              : marked;
    return error ? error : !marked;
}

/* Searches the layers below `above` for the data of the file there. Without any the file cannot be opened: -EIO then. */
static int find_data(struct overlay *ovl, uint32_t d, unsigned above, const char *path_above) {
    char name[NAME_MAX + 1], path[PATH_MAX];
    struct search search;
    bool stop = false;
    index_name(&ovl->view->index, d, name);
    int error = search_begin(&search, ovl, at(ovl, d)->parent, name, strlen(name), false);
    if (!error)
        error = search_redirect(&search, above, path_above, &stop);
    for (unsigned layer = above > ovl->n_layers ? 1 : above + 1; !error && layer <= ovl->n_layers; layer++) {
        int length = search_path(&search, layer, path, &stop);
        error = length > 0 ? look_for_data(&search, d, layer, path, &stop) : length;
        layer = stop ? search_hidden(ovl, layer) : layer;
        stop = false;
        search_leave(&search, layer);
    }
    return error < 0 ? error : 0;
}

int metacopy_check(struct overlay *ovl, uint32_t d, unsigned layer, const char *path, const struct stat *st) {
    int marked = layer == ovl->n_layers ? 0 : is_marked(&ovl->layers[layer], path, st);
    if (marked <= 0)
        return marked;
    /* Who says so may not be allowed to read what it leads to; as the kernel with userxattr. */
    if (!is_believed(ovl, &ovl->layers[layer], st))
        return -EPERM;
    at(ovl, d)->flags |= D_METACOPY;
    return find_data(ovl, d, layer, path);
}

int metacopy_open(const struct overlay *ovl, uint32_t d) {
    char path[PATH_MAX];
    const struct dentry *dentry = at(ovl, d);
    if (!dentry->stack)
        return -EIO;
    const struct lower_stack *stack = arena_at(&ovl->view->index.arena, dentry->stack);
    int length = lower_path(ovl, d, &stack->dirs[0], path);
    return length < 0 ? length
                      : fd_beneath(ovl->layers[stack->dirs[0].layer].fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
}

int metacopy_real(const struct overlay *ovl, uint32_t d, char *out) {
    const struct dentry *dentry = at(ovl, d);
    if (!dentry->stack)
        return -EIO;
    const struct lower_stack *stack = arena_at(&ovl->view->index.arena, dentry->stack);
    const struct text *text = index_text_at(&ovl->view->index, stack->dirs[0].path);
    return path_absolute(&ovl->layers[stack->dirs[0].layer], text->bytes, out);
}

void metacopy_done(struct overlay *ovl, uint32_t d) {
    index_free_stack(&ovl->view->index, at(ovl, d));
    at(ovl, d)->flags &= (uint16_t)~D_METACOPY;
}

int metacopy_again(struct overlay *ovl, uint32_t d) {
    char path[PATH_MAX];
    int layer = backing_at_upper(ovl, d, path);
    if (layer < 0)
        return layer;
    ssize_t mark = private_get_at(&ovl->layers[layer], path, MARK, NULL, 0);
    if (mark == -ENODATA)
        metacopy_done(ovl, d);
    return attribute_error(mark);
}

static int set_back_times(int out, const struct stat *st) {
    const struct timespec times[2] = {st->st_atim, st->st_mtim};
    return futimens(out, times) < 0 ? -errno : 0;
}

/* While the mark is there what is copied is not seen: all of it, for a size that is cut before would be. */
static int fill(struct overlay *ovl, int in, int out, const struct stat *st) {
    int error = in < 0 ? in : copy_data(ovl, in, out, st->st_size, true);
    if (!error)
        error = set_back_times(out, st);
    if (!error)
        error = sync_object(ovl, out);
    if (!error)
        error = private_remove(ovl, out, MARK);
    if (error)
        (void)set_back_times(out, st);   /* all that shows of what was copied */
    return error;
}

/* An empty file lacks nothing, and is shown as it is: with the mark, too. */
static int cut(struct overlay *ovl, int out, const struct stat *st) {
    if (ftruncate(out, 0) < 0)
        return -errno;
    int error = private_remove(ovl, out, MARK);
    if (error && ftruncate(out, st->st_size) == 0)
        (void)set_back_times(out, st);
    return error;
}

int metacopy_fill(struct overlay *ovl, uint32_t d, off_t keep) {
    struct stat st;
    char path[PATH_MAX];
    int error = path_in_upper(ovl, d, path);
    if (error < 0)
        return error;
    CLOSE_FD out = fd_beneath(ovl->layers[0].fd, path, O_WRONLY | O_NOFOLLOW);
    if (out < 0)
        return out;
    if (fstat(out, &st) < 0)
        return -errno;
    CLOSE_FD in = metacopy_open(ovl, d);
    error = keep == 0 ? cut(ovl, out, &st) : fill(ovl, in, out, &st);
    if (error)
        return error;
    (void)private_remove(ovl, out, "redirect");   /* without the mark it says nothing */
    if (in >= 0)
        opened_copied(ovl, d, in);
    metacopy_done(ovl, d);
    opened_placed(ovl, d);
    return 0;
}

int metacopy_mark(struct overlay *ovl, uint32_t d, int fd, const struct statx *stx) {
    char path[PATH_MAX];
    unsigned layer = at(ovl, d)->layer;
    if (ftruncate(fd, (off_t)stx->stx_size) < 0)
        return -errno;
    int error = private_set(ovl, fd, MARK, "", 0);
    if (error || (at(ovl, d)->flags & D_METACOPY))
        return error;   /* the lower has no data either: where it is stands in the entry already */
    error = path_in_lower(ovl, d, layer, path);
    return error < 0 ? error : keep_place(ovl, d, layer, path);
}

int metacopy_pin(struct overlay *ovl, uint32_t d) {
    char value[PATH_MAX];
    const struct dentry *dentry = at(ovl, d);
    if (!(dentry->flags & D_METACOPY) || !dentry->stack)
        return 0;
    int length = path_in_lowers(ovl, d, value);
    if (length < 0)
        return length;
    CLOSE_FD fd = backing_open(ovl, d);
    return fd < 0 ? fd : private_set(ovl, fd, "redirect", value, (size_t)length);
}
