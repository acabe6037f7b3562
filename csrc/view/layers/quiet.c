/* quiet.c - inotify watches of the callers on objects of the upper, which they do not hear while it is changed or read
 * for the view.
 *
 * Rules: names and attributes change under the view's lock alone, so nobody's event falls into a quiet time; what
 * writes contents is heard always, and what reads them but for the moments when a directory of the upper is read for
 * the view.  Nothing of this costs more than a comparison where nobody watches.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "layers.h"

#define NAMES (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF)
#define READS (IN_OPEN | IN_ACCESS | IN_CLOSE_NOWRITE)
#define OF_A_CALL (IN_MASK_ADD | IN_MASK_CREATE | IN_DONT_FOLLOW | IN_ONLYDIR)

/* One watch of one instance. */
struct watch {
    struct watch *next;
    int instance, wd;
    uint32_t mask;
    dev_t dev;
    ino_t ino;
    unsigned quiet, unread; /* depths */
};

static void set_mask(struct watch *watch, const char *path, uint32_t mask) {
    int wd = inotify_add_watch(watch->instance, path, mask & IN_ALL_EVENTS ? mask : mask | IN_UNMOUNT);
    if (wd < 0 || wd == watch->wd)
        return;
    (void)inotify_rm_watch(watch->instance, wd); /* it had been removed */
    watch->wd = -1;
}

static bool is_on(const struct watch *watch, const struct stat *st) {
    return watch->wd >= 0 && watch->dev == st->st_dev && watch->ino == st->st_ino;
}

static bool is_watched(const pto_view *view, const struct stat *st) {
    const struct watch *watch = view->watches;
    while (watch && !is_on(watch, st))
        watch = watch->next;
    return watch;
}

static uint32_t quiet_mask(const struct watch *watch) {
    return watch->mask & ~(uint32_t)((watch->quiet ? NAMES : 0) | (watch->unread ? READS : 0));
}

static void change_quiet(pto_view *view, int fd, int by, bool reading) {
    struct stat st;
    char path[FD_PATH];
    if (fd < 0 || fstat(fd, &st) < 0)
        return;
    fd_path(fd, path);
    for (struct watch *watch = view->watches; watch; watch = watch->next) {
        if (!is_on(watch, &st))
            continue;
        uint32_t before = quiet_mask(watch);
        watch->quiet += (unsigned)by;
        watch->unread += reading ? (unsigned)by : 0;
        if (before != quiet_mask(watch))
            set_mask(watch, path, quiet_mask(watch));
    }
}

static void begin(struct overlay *ovl, int fd, struct quiet *quiet, bool reading) {
    struct stat st;
    HELD(&ovl->view->base->lock);
    *quiet = (struct quiet){.view = ovl->view->base, .fd = -1, .above = -1};
    if (!quiet->view->watches || fd < 0 || fstat(fd, &st) < 0)
        return;
    quiet->watched = is_watched(quiet->view, &st);
    quiet->fd = openat(fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    quiet->above = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
    quiet->reading = reading;
    change_quiet(quiet->view, quiet->fd, 1, reading);
    change_quiet(quiet->view, quiet->above, 1, reading);
}

void quiet_begin(struct overlay *ovl, int fd, struct quiet *quiet) {
    begin(ovl, fd, quiet, false);
}

void quiet_begin_at(struct overlay *ovl, int dirfd, const char *name, struct quiet *quiet) {
    HELD(&ovl->view->base->lock);
    *quiet = (struct quiet){.view = ovl->view->base, .fd = -1, .above = -1};
    if (!quiet->view->watches)
        return;
    quiet->fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    change_quiet(quiet->view, quiet->fd, 1, false);
}

int quiet_open(struct overlay *ovl, int layer, const char *path, struct quiet *quiet) {
    *quiet = (struct quiet){.fd = -1, .above = -1};
    if (!ovl->view->base->watches)
        return fd_beneath(layer, path, O_RDONLY | O_DIRECTORY);
    CLOSE_FD place = fd_beneath(layer, path, O_PATH | O_DIRECTORY);
    if (place < 0)
        return place;
    begin(ovl, place, quiet, true);
    int fd = openat(place, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

void quiet_end(struct quiet *quiet) {
    if (!quiet->view)
        return;
    change_quiet(quiet->view, quiet->above, -1, quiet->reading);
    change_quiet(quiet->view, quiet->fd, -1, quiet->reading);
    fd_close(&quiet->above);
    fd_close(&quiet->fd);
    *quiet = (struct quiet){.fd = -1, .above = -1};
}

static void set_loud(const struct quiet *quiet, bool loud) {
    struct stat st;
    char path[FD_PATH];
    if (!quiet->watched || fstat(quiet->fd, &st) < 0)
        return;
    fd_path(quiet->fd, path);
    for (struct watch *watch = quiet->view->watches; watch; watch = watch->next)
        if (is_on(watch, &st))
            set_mask(watch, path, loud ? watch->mask : quiet_mask(watch));
}

void quiet_lift(const struct quiet *quiet) {
    set_loud(quiet, true);
}

void quiet_return(const struct quiet *quiet) {
    int error = errno;
    set_loud(quiet, false);
    errno = error;
}

/* ---- which there are ---- */

bool quiet_any(const pto_view *view) {
    return view->base->watches;
}

int quiet_note(pto_view *view, int instance, int wd, uint32_t mask, const struct stat *st) {
    struct watch *watch = view->watches;
    while (watch && !(watch->instance == instance && (watch->wd == wd || watch->wd < 0)))
        watch = watch->next;
    if (!watch) {
        watch = calloc(1, sizeof *watch);
        if (!watch)
            return -ENOMEM;
        watch->next = view->watches;
        view->watches = watch;
    }
    bool known = watch->wd == wd && is_on(watch, st);
    watch->mask = (mask & IN_MASK_ADD && known ? watch->mask : 0) | (mask & ~(uint32_t)OF_A_CALL);
    watch->instance = instance;
    watch->wd = wd;
    watch->dev = st->st_dev;
    watch->ino = st->st_ino;
    return 0;
}

bool view_unwatch(pto_view *view, int instance, int wd) {
    bool any = false;
    for (struct watch **link = &view->base->watches; *link;) {
        struct watch *watch = *link;
        any |= watch->instance == instance && (watch->wd == wd || wd < 0);
        if (watch->instance != instance || (watch->wd != wd && wd >= 0)) {
            link = &watch->next;
            continue;
        }
        *link = watch->next;
        free(watch);
    }
    return any;
}

void quiet_clear(pto_view *view) {
    while (view->watches) {
        struct watch *watch = view->watches;
        view->watches = watch->next;
        free(watch);
    }
}
