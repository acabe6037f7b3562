/* search.c - under which path each layer has what is looked for, as redirects change it on the way down.
 *
 * Rules: what a layer says holds in the layers below it.  A relative redirect takes the place of the last component of
 * the path that was walked in that layer, an absolute one of the whole path; those of the directories on the way count
 * as much as the last one's.  ovl_lookup_layer() and ovl_check_redirect() in fs/overlayfs/namei.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "layers.h"

static int sought_set(struct sought *sought, const char *name, size_t length, bool derived) {
    if (length >= sizeof sought->name)
        return -ENAMETOOLONG;
    memcpy(sought->name, name, length);
    sought->name[length] = '\0';
    sought->length = length;
    sought->derived = derived;
    sought->grouped = false;
    return 0;
}

int search_begin(struct search *search, struct overlay *ovl, uint32_t parent, const char *name, size_t length,
                 bool own_name) {
    search->ovl = ovl;
    search->parent = parent;
    search->next = search->dirs;
    search->end = search->dirs + lower_dirs(ovl, parent, search->dirs);
    search->saved = false;
    return sought_set(&search->sought, name, length, own_name);
}

void search_leave(struct search *search, unsigned layer) {
    unsigned group_end = search->ovl->layers[layer].group_end;
    if (!search->saved || !group_end || layer < group_end)
        return;
    search->sought = search->before;
    search->saved = false;
}

unsigned search_hidden(const struct overlay *ovl, unsigned layer) {
    unsigned group_end = ovl->layers[layer].group_end;
    return group_end && group_end < ovl->n_lowers ? group_end : ovl->n_layers;
}

/* Puts a redirect in the place of bytes [from, to) of what is sought, or of all that is before `to`. */
static int take_redirect(struct search *search, unsigned layer, const char *redirect, size_t length, size_t from,
                         size_t to) {
    struct sought *sought = &search->sought;
    bool absolute = redirect[0] == '/';
    size_t rest = sought->length - to;
    from = absolute ? 0 : from;
    bool grouped = search->ovl->layers[layer].group_end != 0;
    if (from + length + rest >= sizeof sought->name)
        return -ENAMETOOLONG;
    if (grouped && !search->saved) {
        search->before = *sought;
        search->saved = true;
    }
    memmove(sought->name + from + length, sought->name + to, rest + 1);
    memcpy(sought->name + from, redirect, length);
    sought->length = from + length + rest;
    sought->derived = false;
    if (absolute)
        sought->grouped = grouped;
    return 0;
}

/* Follows the redirect of the object at path, which is [from, to) of what is sought. */
static int follow_redirect(struct search *search, unsigned layer, const char *path, size_t from, size_t to,
                           bool *stop) {
    char redirect[PATH_MAX];
    struct stat st;
    ssize_t length = redirect_read(&search->ovl->layers[layer], path, redirect);
    if (length <= 0)
        return (int)length;
    if (fstatat(search->ovl->layers[layer].fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (!may_redirect(search->ovl, &search->ovl->layers[layer], &st))
        return -EPERM;
    if (redirect[0] == '/')
        *stop = false;   /* what is opaque above it hides another place */
    return take_redirect(search, layer, redirect, (size_t)length, from, to);
}

int search_redirect(struct search *search, unsigned layer, const char *path, bool *stop) {
    const struct sought *sought = &search->sought;
    const char *slash = strrchr(sought->name, '/');
    return follow_redirect(search, layer, path, slash ? (size_t)(slash + 1 - sought->name) : 0, sought->length, stop);
}

static bool is_dots(const char *name, size_t length) {
    return length == 0 || (name[0] == '.' && (length == 1 || (length == 2 && name[1] == '.')));
}

/* A directory on the way, which is [from, to) of what is sought: 1 when it is there, 0 when not. */
static int pass_way(struct search *search, unsigned number, const char *path, size_t from, size_t to, bool *stop) {
    const struct layer *layer = &search->ovl->layers[number];
    struct stat st;
    if (fd_lstat(layer->fd, path, &st) < 0) {
        *stop |= errno == ENOENT && marks_has_dot(layer, path);
        return errno == ENOENT || errno == ENAMETOOLONG ? 0 : -errno;
    }
    if (!S_ISDIR(st.st_mode)) {
        *stop = true;
        return 0;
    }
    if (number >= search->ovl->n_lowers)   /* nothing lies below it, or only data */
        return 1;
    int opaque = marks_is_opaque(layer, path);
    *stop |= opaque > 0;
    int error = opaque ? opaque : follow_redirect(search, number, path, from, to, stop);
    return error < 0 ? error : 1;
}

/* An absolute path, one component after the other.  They are counted from the end, since what is before may change. */
static int walk_way(struct search *search, unsigned number, char path[VIEW_PATH_MAX], bool *stop) {
    const struct layer *layer = &search->ovl->layers[number];
    const struct sought *sought = &search->sought;
    size_t base = sought->grouped ? layer->base : 0, rest = sought->length - base;
    if (!path_below(sought->name, sought->length, layer->root + layer->length - base, base))
        return -EIO;
    int at = path_join(path, ".", 1, ".", 1);
    while (rest) {
        const char *name = sought->name + sought->length - rest + 1;
        size_t length = strcspn(name, "/");
        if (is_dots(name, length))
            return -EACCES;
        at = path_join(path, path, (size_t)at, name, length);
        if (at < 0)
            return at;
        size_t from = (size_t)(name - sought->name);
        rest -= length + 1;
        int there = rest ? pass_way(search, number, path, from, from + length, stop) : 1;
        if (there <= 0)
            return there;
    }
    return at;
}

int search_path(struct search *search, unsigned layer, char path[VIEW_PATH_MAX], bool *stop) {
    const struct sought *sought = &search->sought;
    if (sought->name[0] == '/')
        return walk_way(search, layer, path, stop);
    if (is_dots(sought->name, sought->length))
        return -EACCES;
    while (search->next < search->end && search->next->layer < layer)
        ++search->next;
    if (search->next == search->end || search->next->layer != layer)
        return 0;
    int at = lower_path(search->ovl, search->parent, search->next, path);
    return at < 0 ? at : path_join(path, path, (size_t)at, sought->name, sought->length);
}
