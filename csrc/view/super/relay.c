/* relay.c - an overlay that is in use gets a new upper, and its old one becomes the topmost lower.
 *
 * Files that somebody may be writing would go on changing what is to stay as it is from now on.  So their objects go to
 * the new upper, where they are written, and copies take their place below: descriptors, mappings, locks and watches
 * stay what they are.
 *
 * Rules: copies are made before anything has changed, so that a full disk leaves all as it was; an object and its copy
 * change places by one rename, so that each layer always has one of them; the overlay that was is freed later, when
 * nobody is in the middle of a copy for it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "../upper/upper.h"
#include "../walk/walk.h"
#include "super.h"

/* An object that may be written, and its copy in the new work directory. */
struct held {
    struct held *next;
    dev_t dev;
    ino_t ino;
    bool linked;            /* it has several names */
    uint64_t taken;         /* quota_take() */
    char copy[WORK_NAME];
    size_t length;
    char path[];            /* in the old upper */
};

struct view_relay {
    pto_view *view;
    struct overlay *old, *fresh;
    struct held *held;
};

void view_writing(pto_view *view, int more) {
    __atomic_add_fetch(&view->base->writing, more, __ATOMIC_SEQ_CST);
}

static struct overlay *overlay_at(const pto_view *view, const char *mount) {
    size_t length = path_length(mount);
    for (size_t i = 0; i < view->n_overlays; i++)
        if (view->overlays[i]->mount_length == length && strncmp(view->overlays[i]->mount, mount, length) == 0)
            return view->overlays[i];
    return NULL;
}

static void forget_overlay(pto_view *view, const struct overlay *ovl) {
    size_t left = 0;
    for (size_t i = 0; i < view->n_overlays; i++)
        if (view->overlays[i] != ovl)
            view->overlays[left++] = view->overlays[i];
    view->n_overlays = left;
    left = 0;
    for (size_t i = 0; i < view->n_places; i++) {
        if (view->places[i].overlay == ovl)
            place_clear(&view->places[i]);
        else
            view->places[left++] = view->places[i];
    }
    view->n_places = left;
}

int view_relay_begin(pto_view *view, const struct pto_overlay *spec, struct view_relay **out, char *message,
                     size_t size) {
    HELD(&view->base->lock);
    struct overlay *old = overlay_at(view, spec->mount);
    if (!old || !has_upper(old) || old->stacked || view->outer)
        return lay_fail(message, size, -EINVAL, "%s: %s", spec->mount, strerror(EINVAL));
    if (quiet_any(view))
        return lay_fail(message, size, -EBUSY, "%s: a program watches for changes (inotify)", spec->mount);
    if (__atomic_load_n(&view->writing, __ATOMIC_SEQ_CST))
        return -EAGAIN;
    struct view_relay *relay = calloc(1, sizeof *relay);
    if (!relay)
        return lay_fail(message, size, -ENOMEM, "%s: %s", spec->mount, strerror(ENOMEM));
    int error = lay_overlay(view, spec, NULL, message, size);
    if (error) {
        free(relay);
        return error;
    }
    *relay = (struct view_relay){.view = view, .old = old, .fresh = view->overlays[view->n_overlays - 1]};
    relay->fresh->dev = old->dev;
    *out = relay;
    return 0;
}

/* ---- copies ---- */

static int open_to_read(int layer, const char *path) {
    int fd = fd_beneath(layer, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    struct stat st;
    if (fd != -EACCES || fd_lstat(layer, path, &st) < 0 || !S_ISREG(st.st_mode))
        return fd;
    char name[FD_PATH];
    CLOSE_FD object = fd_beneath(layer, path, O_PATH | O_NOFOLLOW);
    if (object < 0)
        return object;
    fd_path(object, name);
    if (chmod(name, (st.st_mode & 07777) | 0400) < 0)
        return -EACCES;
    fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int error = errno;
    (void)!chmod(name, st.st_mode & 07777);
    return fd < 0 ? -error : fd;
}

/* All of them, as they are. */
static int copy_xattrs(int from, int to) {
    char names[XATTR_LIST_MAX / 8], value[XATTR_SIZE_MAX];
    ssize_t length = flistxattr(from, names, sizeof names);
    if (length < 0)
        return errno == EOPNOTSUPP ? 0 : -errno;
    for (const char *name = names; name < names + length; name += strlen(name) + 1) {
        ssize_t size = fgetxattr(from, name, value, sizeof value);
        if (size < 0)
            return -errno;
        if (fsetxattr(to, name, value, (size_t)size, 0) < 0 && strncmp(name, "security.", 9) != 0)
            return -errno;
    }
    return 0;
}

static int fill_held(struct overlay *ovl, int from, int to, const struct stat *st) {
    const struct timespec times[2] = {st->st_atim, st->st_mtim};
    int error = data_copy(ovl, from, to, st->st_size, true);
    if (!error && fchown(to, st->st_uid, st->st_gid) < 0 && errno != EPERM)
        error = -errno;
    if (!error)
        error = copy_xattrs(from, to);
    if (!error && (fchmod(to, st->st_mode & 07777) < 0 || futimens(to, times) < 0))
        error = -errno;
    return error;
}

static const struct held *find_held(const struct view_relay *relay, const struct stat *st) {
    const struct held *held = relay->held;
    while (held && (held->ino != st->st_ino || held->dev != st->st_dev))
        held = held->next;
    return held;
}

int view_relay_hold(struct view_relay *relay, const char *real, dev_t dev, ino_t ino) {
    const struct layer *upper = &relay->old->layers[0];
    struct overlay *fresh = relay->fresh;
    struct stat st;
    HELD(&relay->view->base->lock);
    if (strncmp(real, upper->root, upper->length) != 0 || real[upper->length] != '/')
        return 0;
    const char *path = real + upper->length + 1;
    if (fd_lstat(upper->fd, path, &st) < 0 || st.st_ino != ino || st.st_dev != dev || !S_ISREG(st.st_mode) ||
        find_held(relay, &st))
        return 0;   /* it has no name any more, or another one was found */
    size_t length = strlen(path);
    struct held *held = calloc(1, sizeof *held + length + 1);
    if (!held)
        return -ENOMEM;
    *held = (struct held){.next = relay->held, .dev = dev, .ino = ino, .linked = st.st_nlink > 1, .length = length};
    memcpy(held->path, path, length + 1);
    held->taken = quota_of(st.st_mode, (uint64_t)st.st_size);
    work_name(fresh, held->copy);
    CLOSE_FD from = open_to_read(upper->fd, path);
    CLOSE_FD to = from < 0 ? from : openat(fresh->work, held->copy, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    int error = from < 0 ? from : to < 0 ? -errno : quota_take(fresh, held->taken);
    if (!error && (error = fill_held(fresh, from, to, &st)) < 0)
        quota_give(fresh, held->taken);
    if (error) {
        if (to >= 0)
            work_remove(fresh, held->copy);
        free(held);
        return error;
    }
    relay->held = held;
    return 0;
}

/* ---- changing places ---- */

static int exchange_names(struct overlay *fresh, int new_dir, int old_dir, const char *name) {
    char work[WORK_NAME];
    if (syscall(SYS_renameat2, new_dir, name, old_dir, name, RENAME_EXCHANGE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -errno;
    /* A file system without: for a moment both layers have the object. */
    work_name(fresh, work);
    if (linkat(old_dir, name, fresh->work, work, 0) < 0)
        return -errno;
    if (renameat(new_dir, name, old_dir, name) < 0 || renameat(fresh->work, work, new_dir, name) < 0)
        return -errno;
    return 0;
}

/* The directory of a path in the view, in the fresh upper.  0: there is none that an overlay of ours shows. */
static int directory_of(const struct view_relay *relay, const char *path, size_t length, uint32_t *d) {
    struct overlay *fresh = relay->fresh;
    char text[VIEW_PATH_MAX];
    struct walker walker = {.cred = &relay->view->own, .any_length = true};
    struct location loc;
    int n = snprintf(text, sizeof text, "%s/%.*s", fresh->mount, (int)length, path);
    if (n < 0 || (size_t)n >= sizeof text)
        return -ENAMETOOLONG;
    int error = view_walk(relay->view, &walker, "/", text, 0, &loc);
    if (!error && (loc.overlay != fresh || !S_ISDIR(loc.type)))
        error = -ENOENT;
    if (!error)
        error = copy_up_dir(fresh, loc.dentry);
    *d = loc.dentry;
    return error;
}

/* made: the copy's name in the work directory. */
static int change_places(const struct view_relay *relay, const char *path, const char *made) {
    struct overlay *fresh = relay->fresh, *old = relay->old;
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    char directory[VIEW_PATH_MAX];
    struct timespec times[2], old_times[2];
    uint32_t d;
    snprintf(directory, sizeof directory, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
    int error = directory_of(relay, path, slash ? (size_t)(slash - path) : 0, &d);
    if (error)
        return error;
    CLOSE_FD old_dir = fd_beneath(old->layers[0].fd, directory, O_PATH | O_DIRECTORY);
    if (old_dir < 0)
        return old_dir;
    LOAN loan = {.taken = false};
    UPPER_DIR dir;
    error = loan_take(old, old_dir, directory, &loan);
    if (!error)
        error = upper_dir_open(fresh, d, &dir);
    else
        dir.fd = -1;
    if (error)
        return error;
    upper_keep_times(dir.fd, times);
    upper_keep_times(old_dir, old_times);
    if (renameat(fresh->work, made, dir.fd, name) < 0)
        return -errno;
    error = exchange_names(fresh, dir.fd, old_dir, name);
    upper_restore_times(dir.fd, times);
    upper_restore_times(old_dir, old_times);
    index_drop_children(&relay->view->index, d);
    at(fresh, d)->flags &= (uint16_t)~D_LOADED;
    readdir_changed(fresh, d);
    return error;
}

/* ---- further names ---- */

/* Looks for names of the held object, which lies below by now, in a directory of the old upper. */
static int other_names(const struct view_relay *relay, const struct held *held, char path[VIEW_PATH_MAX]);

static int other_name(const struct view_relay *relay, const struct held *held, char path[VIEW_PATH_MAX]) {
    struct overlay *fresh = relay->fresh;
    struct stat st;
    int layer = relay->old->layers[0].fd;
    char name[WORK_NAME], from[VIEW_PATH_MAX];
    if (fd_lstat(layer, path, &st) < 0 || st.st_dev != held->dev || st.st_ino != held->ino)
        return 0;
    work_name(fresh, name);
    const char *slash = strrchr(held->path, '/');
    snprintf(from, sizeof from, "%.*s", slash ? (int)(slash - held->path) : 1, slash ? held->path : ".");
    CLOSE_FD directory = fd_beneath(layer, from, O_PATH | O_DIRECTORY);
    if (directory < 0)
        return directory;
    if (linkat(directory, slash ? slash + 1 : held->path, fresh->work, name, 0) < 0)
        return -errno;
    int error = change_places(relay, path, name);
    work_remove(fresh, name);
    return error;
}

static int other_names(const struct view_relay *relay, const struct held *held, char path[VIEW_PATH_MAX]) {
    size_t length = strlen(path);
    CLOSE_FD fd = fd_beneath(relay->old->layers[0].fd, length ? path : ".", O_RDONLY | O_DIRECTORY);
    STREAM *stream;
    const struct dirent *entry;
    int error = fd < 0 ? fd : stream_open(fd, &stream);
    if (fd < 0)
        return error;
    while (!error && !(error = stream_read(stream, &entry)) && entry) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        int n = snprintf(path + length, VIEW_PATH_MAX - length, "%s%s", length ? "/" : "", entry->d_name);
        if (n < 0 || (size_t)n >= VIEW_PATH_MAX - length)
            error = -ENAMETOOLONG;
        else if (entry->d_type == DT_DIR)
            error = other_names(relay, held, path);
        else if (entry->d_ino == held->ino)
            error = other_name(relay, held, path);
        path[length] = '\0';
    }
    return error;
}

/* ---- the end ---- */

static void drop_held(struct view_relay *relay) {
    while (relay->held) {
        struct held *held = relay->held;
        relay->held = held->next;
        free(held);
    }
}

static void retire(pto_view *view, struct overlay *ovl) {
    forget_overlay(view, ovl);
    readdir_forget(ovl);
    super_release_overlay(ovl);
    ovl->next_retired = view->retired;
    view->retired = ovl;
}

int view_relay_end(struct view_relay *relay, bool go) {
    pto_view *view = relay->view;
    int left = 0;
    HELD(&view->base->lock);
    if (go) {
        struct overlay *old = relay->old;
        forget_overlay(view, old);   /* who walks from now on finds the new one */
        view->generation++;
        for (const struct held *held = relay->held; held; held = held->next) {
            char path[VIEW_PATH_MAX] = "";
            int error = change_places(relay, held->path, held->copy);
            if (!error && held->linked)
                error = other_names(relay, held, path);
            left += error < 0;
        }
        retire(view, old);
    } else {
        for (const struct held *held = relay->held; held; held = held->next)
            quota_give(relay->fresh, held->taken);
        forget_overlay(view, relay->fresh);
        super_free_overlay(relay->fresh);
    }
    drop_held(relay);
    free(relay);
    __atomic_add_fetch(&view->changes, 1, __ATOMIC_SEQ_CST);
    touch_all(view, TOUCH_WAY | TOUCH_INODE);
    return left;
}

void pto_relay_clean(pto_view *view) {
    view_lock(view);
    view_free_retired(view);
    view_unlock(view);
}
