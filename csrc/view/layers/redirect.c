/* redirect.c - what a layer says of the place that a directory has in the layers below it.
 *
 * Rule: redirects of layers are data: no component is "", "." or "..", and none is a symlink.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>

#include "layers.h"

/* 0: a relative one, or an absolute one without empty components, as ovl_get_redirect_xattr() has it. */
static int check_redirect(const char *redirect) {
    if (!redirect[0])
        return -EINVAL;
    if (redirect[0] != '/')
        return strchr(redirect, '/') ? -EINVAL : 0;
    for (const char *slash = redirect; slash; slash = strchr(slash + 1, '/'))
        if (slash[1] == '/' || slash[1] == '\0')
            return -EINVAL;
    return 0;
}

ssize_t redirect_read(const struct layer *layer, const char *path, char redirect[PATH_MAX]) {
    ssize_t length = private_get_at(layer, path, "redirect", redirect, PATH_MAX - 1);
    if (length == -ERANGE)
        return -ENAMETOOLONG;
    if (length < 0)
        return private_error(length);
    redirect[length] = '\0';
    int error = length && !redirect[0] ? -EACCES : check_redirect(redirect);
    return error ? error : (ssize_t)strlen(redirect);
}

/* What the upper says of an entry: its redirect, or its own name.  The length. */
static int name_below(const struct overlay *ovl, uint32_t d, char name[PATH_MAX]) {
    char path[VIEW_PATH_MAX];
    ssize_t length = 0;
    if (at(ovl, d)->flags & (D_REDIRECT | D_METACOPY)) {
        int layer = backing_at_upper(ovl, d, path);
        length = layer < 0 ? layer : redirect_read(&ovl->layers[layer], path, name);
    }
    if (length == 0) {
        index_name(&ovl->view->index, d, name);
        length = at(ovl, d)->name_length;
    }
    return (int)length;
}

int redirect_path(const struct overlay *ovl, uint32_t d, char out[PATH_MAX]) {
    char name[PATH_MAX];
    size_t from = PATH_MAX - 1;
    bool whole = false;
    out[from] = '\0';
    for (; d != ovl->root && !whole; d = at(ovl, d)->parent) {
        int length = name_below(ovl, d, name);
        if (length < 0)
            return length;
        whole = name[0] == '/';
        if ((size_t)length + !whole > from)
            return -ENAMETOOLONG;
        from -= (size_t)length;
        memcpy(out + from, name, (size_t)length);
        if (!whole)
            out[--from] = '/';
    }
    memmove(out, out + from, PATH_MAX - from);
    return (int)(PATH_MAX - 1 - from);
}
