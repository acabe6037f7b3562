/* private.c - the attributes that an overlay keeps for itself, as layers have them: marks, and what an object of the
 * upper shows but does not have.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "layers.h"

int private_name(const struct layer *layer, const char *name, char out[XATTR_NAME_MAX + 1]) {
    int length = snprintf(out, XATTR_NAME_MAX + 1, "%s%s", layer->prefix, name);
    return length > XATTR_NAME_MAX ? -ERANGE : 0;
}

ssize_t private_get(const struct layer *layer, int fd, const char *name, void *value, size_t size) {
    char full[XATTR_NAME_MAX + 1], path[FD_PATH];
    int error = private_name(layer, name, full);
    if (error)
        return error;
    fd_path(fd, path);
    ssize_t length = getxattr(path, full, value, size);
    return length < 0 ? -errno : length;
}

ssize_t private_get_at(const struct layer *layer, const char *path, const char *name, void *value, size_t size) {
    char full[XATTR_NAME_MAX + 1];
    int error = private_name(layer, name, full);
    return error ? error : fd_getxattr_at(layer->fd, path, full, value, size);
}

int private_error(ssize_t length) {
    switch (length) {
    case -ENODATA:
    case -EOPNOTSUPP:
    case -ERANGE: /* longer than any of ours */
    case -EACCES: /* user.* of what we may not read */
    case -EPERM:
    case -ENOENT:
        return 0;
    default:
        return length < 0 ? (int)length : 0;
    }
}

bool private_is_name(const struct overlay *ovl, const char *name) {
    return strncmp(name, ovl->prefix, ovl->root_prefix) == 0;
}

static bool known_dev(const struct overlay *ovl, dev_t dev) {
    for (size_t i = 0; i < ovl->n_submounts; i++)
        if (ovl->submounts[i].dev == dev)
            return true;
    return dev == ovl->dev;
}

/* What the attribute says of an object of a layer; false for what none of ours says. */
static bool parse_shown(const struct overlay *ovl, const struct layer *layer, const char *text, const struct stat *st,
                        struct shown *out) {
    int owner, identity;
    unsigned long long rdev, dev, ino;
    bool believed = (ovl->flags & PTO_TRUST) || is_believed(ovl, layer, st);
    *out = (struct shown){.upper_ino = st->st_ino, .foreign = !believed};
    if (sscanf(text, "%d:%u:%u:%o:%llx:%d:%llx:%llu", &owner, &out->uid, &out->gid, &out->mode, &rdev, &identity, &dev,
               &ino) != 8)
        return false;
    out->owner = owner && (!out->foreign || (S_ISDIR(st->st_mode) && S_ISDIR(out->mode)));
    out->identity = identity;
    out->rdev = (dev_t)rdev;
    out->dev = known_dev(ovl, (dev_t)dev) ? (dev_t)dev : ovl->dev;
    out->ino = ino;
    return true;
}

int private_load_shown(struct overlay *ovl, int fd, const struct stat *st) {
    char text[160];
    struct shown shown;
    ssize_t size = shown_find(&ovl->shown, st->st_ino)
                       ? 0
                       : private_get(&ovl->layers[0], fd, PRIVATE_SHOWN, text, sizeof text - 1);
    if (size <= 0)
        return 0;
    text[size] = '\0';
    return parse_shown(ovl, &ovl->layers[0], text, st, &shown) ? shown_set(&ovl->shown, &shown) : 0;
}

bool private_shown_below(const struct overlay *ovl, unsigned layer, const char *path, const struct stat *st,
                         struct shown *out) {
    char text[160];
    if (layer >= ovl->n_lowers || layer == ovl->own)
        return false;
    ssize_t size = private_get_at(&ovl->layers[layer], path, PRIVATE_SHOWN, text, sizeof text - 1);
    if (size <= 0)
        return false;
    text[size] = '\0';
    return parse_shown(ovl, &ovl->layers[layer], text, st, out);
}
