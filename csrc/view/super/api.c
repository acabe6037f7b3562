/* api.c - the view without a tracee: what tests and the Python tools call, by absolute paths and with our own
 * credentials.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "../layers/layers.h"
#include "../upper/upper.h"

/* In a view of a fake root its tools see what he has seen. */
static const struct cred *asks(const pto_view *view) {
    static const struct cred root = {.own = true, .caps = UINT64_MAX, .umask = S_IWGRP | S_IWOTH};
    return view->base->faked ? &root : &view->own;
}

void pto_view_read_all(pto_view *view) {
    view_lock(view);
    view->own.caps |= 1ull << CAP_DAC_READ_SEARCH;
    view_unlock(view);
}

/* Locks the view for one call, until the end of the scope. */
struct api {
    pto_view *view;
    struct location loc;
};

static void api_end(struct api *api) {
    view_unlock(api->view);
}
#define API __attribute__((cleanup(api_end))) struct api

static int api_walk(pto_view *view, const char *path, unsigned flags, struct location *loc) {
    struct walker walker = {.cred = asks(view), .any_length = true};
    if (path[0] != '/')
        return -EINVAL;
    return view_walk(view, &walker, "/", path, flags, loc);
}

static int api_begin(struct api *api, pto_view *view, const char *path, unsigned flags) {
    api->view = view;
    view_lock(view);
    return api_walk(view, path, flags, &api->loc);
}

static unsigned follow_flag(int follow) {
    return follow ? WALK_FOLLOW : 0;
}

/* Changes are for what an overlay covers. */
static int covered(const struct api *api) {
    return api->loc.overlay || api->loc.hidden ? 0 : -EXDEV;
}

static int stat_of(pto_view *view, const struct location *loc, struct pto_stat *out) {
    struct statx stx;
    int error = view_getattr(view, loc, &stx);
    if (error)
        return error;
    *out = (struct pto_stat){
        .dev = makedev(stx.stx_dev_major, stx.stx_dev_minor),
        .ino = stx.stx_ino,
        .nlink = stx.stx_nlink,
        .size = stx.stx_size,
        .blocks = stx.stx_blocks,
        .rdev = makedev(stx.stx_rdev_major, stx.stx_rdev_minor),
        .mode = stx.stx_mode,
        .uid = stx.stx_uid,
        .gid = stx.stx_gid,
        .blksize = stx.stx_blksize,
        .mtime_sec = stx.stx_mtime.tv_sec,
        .atime_sec = stx.stx_atime.tv_sec,
        .ctime_sec = stx.stx_ctime.tv_sec,
        .mtime_nsec = stx.stx_mtime.tv_nsec,
        .atime_nsec = stx.stx_atime.tv_nsec,
        .ctime_nsec = stx.stx_ctime.tv_nsec,
    };
    return 0;
}

int pto_stat(pto_view *view, const char *path, int follow, struct pto_stat *out) {
    API api;
    int error = api_begin(&api, view, path, follow_flag(follow));
    return error ? error : stat_of(view, &api.loc, out);
}

int pto_real(pto_view *view, const char *path, int follow, char *out, size_t size) {
    API api;
    char real[PATH_MAX];
    int error = api_begin(&api, view, path, follow_flag(follow));
    if (!error && api.loc.type == 0)
        error = -ENOENT;
    if (!error)
        error = view_real(view, &api.loc, real, sizeof real);
    if (error)
        return error;
    if (strlen(real) >= size)
        return -ERANGE;
    strcpy(out, real);
    if (!api.loc.overlay)
        return PTO_FROM_HOST;
    const struct dentry *dentry = at(api.loc.overlay, api.loc.dentry);
    return (api.loc.upper ? PTO_FROM_UPPER : 0) | (!api.loc.upper || is_merged(dentry) ? PTO_FROM_LOWER : 0);
}

int pto_open(pto_view *view, const char *path, int flags, unsigned mode) {
    API api;
    struct open_plan plan = {.opens = true, .fd = -1};
    bool follow = !(flags & O_NOFOLLOW) && (flags & (O_CREAT | O_EXCL)) != (O_CREAT | O_EXCL);
    /* As in calls/handlers/open.c: with O_CREAT a trailing slash is EISDIR whatever is there. */
    int error = api_begin(&api, view, path, follow_flag(follow) | (flags & O_CREAT ? WALK_PARENT : 0));
    if (!error)
        error = covered(&api);
    if (!error && (flags & O_CREAT) && api.loc.slash)
        error = -EISDIR;
    if (!error)
        error = view_open(view, &api.loc, flags, mode, asks(view), &plan);
    if (error) {
        view_open_drop(&plan);
        return error;
    }
    int fd = view_open_plan(&plan, 0);
    error = fd < 0 ? fd : view_open_done(view, &plan);
    if (error && fd >= 0)
        close(fd);
    return error ? error : fd;
}

int pto_mkdir(pto_view *view, const char *path, unsigned mode) {
    API api;
    int error = api_begin(&api, view, path, WALK_PARENT);
    if (!error)
        error = covered(&api);
    return error ? error : view_mkdir(view, &api.loc, mode, asks(view));
}

int pto_mknod(pto_view *view, const char *path, unsigned mode, uint64_t dev) {
    API api;
    int error = api_begin(&api, view, path, WALK_PARENT);
    if (!error)
        error = covered(&api);
    return error ? error : view_mknod(view, &api.loc, mode, dev, asks(view));
}

int pto_symlink(pto_view *view, const char *target, const char *path) {
    API api;
    int error = api_begin(&api, view, path, WALK_PARENT);
    if (!error)
        error = covered(&api);
    return error ? error : view_symlink(view, target, &api.loc, asks(view));
}

int pto_link(pto_view *view, const char *from, const char *to) {
    API api;
    struct location target;
    int error = api_begin(&api, view, from, 0);
    if (!error && api.loc.type == 0)
        error = -ENOENT;
    if (!error)
        error = api_walk(view, to, WALK_PARENT, &target);
    return error ? error : view_link(view, &api.loc, &target, asks(view));
}

int pto_unlink(pto_view *view, const char *path) {
    API api;
    int error = api_begin(&api, view, path, WALK_PARENT);
    if (!error)
        error = covered(&api);
    return error ? error : view_unlink(view, &api.loc, asks(view));
}

int pto_rmdir(pto_view *view, const char *path) {
    API api;
    int error = api_begin(&api, view, path, WALK_PARENT);
    if (!error)
        error = covered(&api);
    return error ? error : view_rmdir(view, &api.loc, asks(view));
}

int pto_rename(pto_view *view, const char *from, const char *to, unsigned flags) {
    API api;
    struct location target;
    int error = api_begin(&api, view, from, WALK_PARENT);
    if (!error)
        error = api_walk(view, to, WALK_PARENT, &target);
    return error ? error : view_rename(view, &api.loc, &target, flags, asks(view));
}

static int api_setattr(pto_view *view, const char *path, int follow, const struct attr_change *change) {
    API api;
    int error = api_begin(&api, view, path, follow_flag(follow));
    if (!error)
        error = covered(&api);
    return error ? error : view_setattr(view, &api.loc, change, asks(view));
}

int pto_chmod(pto_view *view, const char *path, unsigned mode) {
    return api_setattr(view, path, 1, &(struct attr_change){.valid = ATTR_MODE, .mode = mode});
}

int pto_truncate(pto_view *view, const char *path, int64_t size) {
    return api_setattr(view, path, 1, &(struct attr_change){.valid = ATTR_SIZE, .size = size});
}

int pto_chown(pto_view *view, const char *path, int follow, uint32_t uid, uint32_t gid) {
    struct attr_change change = {.uid = uid, .gid = gid};
    change.valid = ATTR_OWNER | (uid == UINT32_MAX ? 0 : ATTR_UID) | (gid == UINT32_MAX ? 0 : ATTR_GID);
    return api_setattr(view, path, follow, &change);
}

int pto_utimens(pto_view *view, const char *path, int follow, int64_t atime_sec, uint32_t atime_nsec, int64_t mtime_sec,
                uint32_t mtime_nsec) {
    struct attr_change change = {.atime = {atime_sec, atime_nsec}, .mtime = {mtime_sec, mtime_nsec}};
    change.valid = (atime_nsec == UTIME_OMIT ? 0 : ATTR_ATIME) | (mtime_nsec == UTIME_OMIT ? 0 : ATTR_MTIME);
    return api_setattr(view, path, follow, &change);
}

int pto_readlink(pto_view *view, const char *path, char *out, size_t size) {
    API api;
    int error = api_begin(&api, view, path, 0);
    return error ? error : view_readlink(view, &api.loc, out, size);
}

int64_t pto_getxattr(pto_view *view, const char *path, const char *name, void *value, size_t size) {
    API api;
    int error = api_begin(&api, view, path, 0);
    return error ? error : view_getxattr(view, &api.loc, name, value, size, asks(view));
}

int pto_setxattr(pto_view *view, const char *path, const char *name, const void *value, size_t size, int flags) {
    API api;
    int error = api_begin(&api, view, path, 0);
    if (!error)
        error = covered(&api);
    return error ? error : view_setxattr(view, &api.loc, name, value, size, flags, asks(view));
}

int64_t pto_listxattr(pto_view *view, const char *path, char *list, size_t size) {
    API api;
    int error = api_begin(&api, view, path, 0);
    return error ? error : view_listxattr(view, &api.loc, list, size, asks(view));
}

int pto_removexattr(pto_view *view, const char *path, const char *name) {
    API api;
    int error = api_begin(&api, view, path, 0);
    if (!error)
        error = covered(&api);
    return error ? error : view_removexattr(view, &api.loc, name, asks(view));
}

/* The bytes that the records of one buffer add to the list of names; they are put there when there is room. */
static size_t take_names(const char *records, size_t size, char *list, size_t at, size_t room) {
    for (size_t done = 0; done < size;) {
        unsigned short length;
        memcpy(&length, records + done + 16, sizeof length);   /* d_reclen */
        const char *name = records + done + 19;                /* d_name */
        size_t bytes = strlen(name) + 1;
        if (at + bytes <= room)
            memcpy(list + at, name, bytes);
        at += bytes;
        done += length;
    }
    return at;
}

int64_t pto_list(pto_view *view, const char *path, char *list, size_t size) {
    API api;
    _Alignas(8) char records[8192];
    int error = api_begin(&api, view, path, WALK_FOLLOW);
    if (!error && !S_ISDIR(api.loc.type))
        error = api.loc.type ? -ENOTDIR : -ENOENT;
    if (!error)
        error = covered(&api);
    uint64_t pos = 0;
    size_t at = 0;
    ssize_t got = error;
    while (!error && (got = view_iterate(view, &api.loc, &pos, records, sizeof records, true)) > 0)
        at = take_names(records, (size_t)got, list, at, size);
    if (got < 0)
        return got;
    return size && at > size ? -ERANGE : (int64_t)at;
}

/* ---- what the layers hold ---- */

static int describe(struct overlay *ovl, uint32_t d, struct pto_entry *out) {
    char relative[VIEW_PATH_MAX];
    uint8_t kind = DT_DIR;
    unsigned layer = 1;
    const struct dentry *dentry = at(ovl, d);
    strcpy(relative, ".");
    int error = d == ovl->root ? 0 : lookup_below(ovl, d, &kind, &layer, relative);
    if (error)
        return error;
    out->upper = dentry->upper;
    out->lower = kind;
    out->layer = layer;
    out->flags =
        (dentry->flags & D_OPAQUE ? PTO_ENTRY_OPAQUE : 0) | (dentry->flags & D_REDIRECT ? PTO_ENTRY_REDIRECT : 0);
    if (layer)
        error = path_absolute(&ovl->layers[layer], relative, out->lower_path, sizeof out->lower_path);
    if (error < 0 || !has_upper(ovl))
        return error < 0 ? error : 0;
    int top = backing_at_upper(ovl, d, relative);
    error = top < 0 ? top : path_absolute(&ovl->layers[top], relative, out->upper_path, sizeof out->upper_path);
    return error < 0 ? error : 0;
}

int pto_entry(pto_view *view, const char *path, struct pto_entry *out) {
    API api;
    uint32_t d;
    memset(out, 0, sizeof *out);
    int error = api_begin(&api, view, path, WALK_PARENT);
    if (error)
        return error;
    if (!api.loc.overlay) {
        out->flags = api.loc.hidden ? PTO_ENTRY_HIDDEN : PTO_ENTRY_DIRECT;
        return api.loc.type || api.loc.hidden ? 0 : -ENOENT;
    }
    if (api.loc.type == 0 && api.loc.last != LAST_NORM)
        return -ENOENT;
    error = entry_locate(&api.loc, &d);
    if (!error)
        error = describe(api.loc.overlay, d, out);
    return error ? error : out->upper || out->lower ? 0 : -ENOENT;
}

/* A directory whose names in the upper are known then.  1; 0: the upper does not have it. */
static int begin_upper(struct api *api, pto_view *view, const char *path) {
    int error = api_begin(api, view, path, WALK_FOLLOW);
    if (!error)
        error = covered(api);
    if (!error && !S_ISDIR(api->loc.type))
        error = api->loc.type ? -ENOTDIR : -ENOENT;
    if (error || !api->loc.upper)
        return error;
    error = lookup_load_upper(api->loc.overlay, api->loc.dentry);
    return error ? error : 1;
}

int64_t pto_upper_list(pto_view *view, const char *path, char *list, size_t size) {
    API api;
    int there = begin_upper(&api, view, path);
    if (there <= 0)
        return there;
    struct overlay *ovl = api.loc.overlay;
    size_t used = 0;
    for (uint32_t child = at(ovl, api.loc.dentry)->child; child; child = at(ovl, child)->sibling) {
        const struct dentry *dentry = at(ovl, child);
        if (dentry->upper == KIND_NONE)
            continue;
        if (used + dentry->name_length + 2u <= size) {
            list[used] = (char)dentry->upper;
            index_name(&ovl->view->index, child, list + used + 1);
        }
        used += dentry->name_length + 2u;
    }
    return size && used > size ? -ERANGE : (int64_t)used;
}

/* pto_stat() of a name in a directory.  Where no place begins the entry says all, and nothing above it is looked at
 * again. */
static int stat_child(const struct location *dir, uint32_t child, struct pto_stat *out) {
    struct overlay *ovl = dir->overlay;
    struct location loc = {.overlay = ovl, .dentry = child};
    char name[NAME_MAX + 1];
    index_name(&ovl->view->index, child, name);
    size_t above = dir->length > 1 ? dir->length : 0;
    int length = snprintf(loc.path, sizeof loc.path, "%.*s/%s", (int)above, dir->path, name);
    if ((size_t)length >= sizeof loc.path)
        return -ENAMETOOLONG;
    int error;
    if (place_at(ovl->view, loc.path, (size_t)length)) {
        error = api_walk(ovl->view, loc.path, 0, &loc);
    } else {
        error = lookup_check_upper(ovl, child);
        loc.type = kind_type(shown_kind(at(ovl, child)));
    }
    return error ? error : stat_of(ovl->view, &loc, out);
}

int64_t pto_upper_stats(pto_view *view, const char *path, struct pto_stat *stats, size_t count) {
    API api;
    int there = begin_upper(&api, view, path);
    if (there <= 0)
        return there;
    struct overlay *ovl = api.loc.overlay;
    size_t used = 0;
    for (uint32_t child = at(ovl, api.loc.dentry)->child; child; child = at(ovl, child)->sibling) {
        if (at(ovl, child)->upper == KIND_NONE)
            continue;
        if (used == count)
            return -ERANGE;
        if (stat_child(&api.loc, child, &stats[used]) < 0)
            stats[used].mode = 0;
        used++;
    }
    return (int64_t)used;
}

int64_t pto_lower_dirs(pto_view *view, const char *path, char *list, size_t size) {
    API api;
    struct lower_dir dirs[LOWERS_MAX];
    char relative[VIEW_PATH_MAX], real[VIEW_PATH_MAX], text[VIEW_PATH_MAX + 16];
    size_t used = 0;
    int error = api_begin(&api, view, path, WALK_FOLLOW);
    if (!error)
        error = covered(&api);
    if (!error && !S_ISDIR(api.loc.type))
        error = api.loc.type ? -ENOTDIR : -ENOENT;
    if (error || !api.loc.overlay)
        return error;
    struct overlay *ovl = api.loc.overlay;
    bool opaque = at(ovl, api.loc.dentry)->flags & D_OPAQUE;
    uint32_t count = opaque ? 0 : lower_dirs(ovl, api.loc.dentry, dirs);
    for (uint32_t i = 0; i < count; i++) {
        error = lower_path(ovl, api.loc.dentry, &dirs[i], relative);
        if (error >= 0)
            error = path_absolute(&ovl->layers[dirs[i].layer], relative, real, sizeof real);
        if (error < 0)
            return error;
        size_t length = (size_t)snprintf(text, sizeof text, "%u %s", dirs[i].layer, real) + 1;
        if (used + length <= size)
            memcpy(list + used, text, length);
        used += length;
    }
    return size && used > size ? -ERANGE : (int64_t)used;
}

/* ---- layers that come to be ---- */

int pto_put_new(const char *made, const char *name) {
    if (syscall(SYS_renameat2, AT_FDCWD, made, AT_FDCWD, name, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL)
        return -errno;
    /* A file system without the flag. */
    if (mkdirat(AT_FDCWD, name, 0700) < 0)
        return -errno;
    return renameat(AT_FDCWD, made, AT_FDCWD, name) < 0 ? -errno : 0;
}
