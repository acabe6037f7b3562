/* steps.c - steps of a walk that need not know where it has come from: down a path without symlinks, through a symlink.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "../layers/layers.h"
#include "../upper/upper.h"
#include "walk.h"

int walk_descend(struct overlay *ovl, uint32_t *d, const char *path) {
    while (*path) {
        size_t length = strcspn(path, "/");
        if (length && !is_dir_kind(shown_kind(at(ovl, *d))))
            return -ENOENT;
        int error = length ? entry_lookup(ovl, *d, path, length, d) : 0;
        if (error)
            return error;
        path += length + (path[length] == '/');
    }
    return shown_kind(at(ovl, *d)) == KIND_NONE ? -ENOENT : 0;
}

static int host_owner(const char *path, size_t length, struct statx *stx) {
    char text[VIEW_PATH_MAX];
    memcpy(text, path, length);
    text[length] = '\0';
    return fd_statx(AT_FDCWD, text, 0, stx);
}

/* fs.protected_symlinks: who follows the link at the end of a path in a sticky directory that all may write is its
 * owner, or the owner of both is the same. */
int walk_may_follow(pto_view *view, struct overlay *ovl, uint32_t d, const char *path, const struct cred *cred) {
    struct statx link, directory;
    if (!view->base->protected_symlinks)
        return 0;
    size_t parent = strlen(path);
    int error = ovl ? inode_owner(ovl, d, &link) : host_owner(path, parent, &link);
    if (error || link.stx_uid == cred->fsuid)
        return error;
    while (parent > 1 && path[parent - 1] != '/')
        parent--;
    error = ovl ? inode_owner(ovl, at(ovl, d)->parent, &directory) : host_owner(path, parent, &directory);
    bool guarded = (directory.stx_mode & (S_ISVTX | S_IWOTH)) == (S_ISVTX | S_IWOTH);
    return !error && guarded && link.stx_uid != directory.stx_uid ? -EACCES : error;
}

int view_may_follow(pto_view *view, const struct location *loc, const struct cred *cred) {
    return walk_may_follow(view, loc->overlay, loc->dentry, loc->path, cred);
}
