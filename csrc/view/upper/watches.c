/* watches.c - inotify watches of the callers on objects of the upper: they see what happens in the view.
 *
 * The upper changes in other ways than the view: a copy and a whiteout come to be where the view shows nothing new, and a new
 * object is moved to where the view shows it made.  So the watches on an upper directory are quiet (their mask lacks names and
 * attributes) while it is changed, and loud for the one call that is what the view shows; where the upper needs no such call it is
 * made for their sake, on a stand-in.
 *
 * Rules: names and attributes change under the view's lock alone, so nobody's event falls into a quiet time; what writes contents is
 * heard always, and what reads them but for the moments when a directory of the upper is read for the view.  While a name stands bare for a call that is made for watches, a note in the work directory, as
 * loans have, says that it is to be a whiteout.  Nothing of this costs more than a comparison where nobody watches.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../internal.h"

#define NOTE ".bare"
#define WATCHED_SIZE (1u << 30) /* bytes; a larger file is not copied for a watch alone */
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
    unsigned quiet, unread;     /* depths */
};

static void set_mask(struct watch *watch, const char *path, uint32_t mask) {
    int wd = inotify_add_watch(watch->instance, path, mask & IN_ALL_EVENTS ? mask : mask | IN_UNMOUNT);
    if (wd < 0 || wd == watch->wd)
        return;
    (void)inotify_rm_watch(watch->instance, wd);   /* it had been removed */
    watch->wd = -1;
}

static bool is_of(const struct watch *watch, const struct stat *st) {
    return watch->wd >= 0 && watch->dev == st->st_dev && watch->ino == st->st_ino;
}

/* ---- quiet and loud ---- */

static bool is_watched(const pto_view *view, const struct stat *st) {
    const struct watch *watch = view->watches;
    while (watch && !is_of(watch, st))
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
        if (!is_of(watch, &st))
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

int open_unheard(struct overlay *ovl, int layer, const char *path, struct quiet *quiet) {
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
        if (is_of(watch, &st))
            set_mask(watch, path, loud ? watch->mask : quiet_mask(watch));
}

void loud_begin(const struct quiet *quiet) {
    set_loud(quiet, true);
}

void loud_end(const struct quiet *quiet) {
    int error = errno;
    set_loud(quiet, false);
    errno = error;
}

/* ---- calls that are made for watches ---- */

/* The name of a note, as of a loan: at the next start what it leads to gets its whiteout. */
static int note_bare(const struct upper_dir *dir, const char *name, char note[WORK_NAME + 8]) {
    char path[PATH_MAX], text[PATH_MAX];
    int error = path_of_fd(dir->ovl, dir->fd, path);
    if (error)
        return error;
    if (snprintf(text, sizeof text, "%s/%s", path, name) >= (int)sizeof text)
        return -ENAMETOOLONG;
    work_name(dir->ovl, note);
    strcat(note, NOTE);
    return symlinkat(text, dir->ovl->work, note) < 0 ? -errno : 0;
}

static void forget_note(const struct upper_dir *dir, const char *note) {
    (void)!unlinkat(dir->ovl->work, note, 0);   /* a whiteout that is made where one is changes nothing */
}

static int make_stand_in(const struct upper_dir *dir, const char *name, bool directory) {
    return (directory ? mkdirat(dir->fd, name, 0700) : mknodat(dir->fd, name, S_IFREG | 0600, 0)) < 0 ? -errno : 0;
}

static int remove_loudly(const struct upper_dir *dir, const char *name, bool directory) {
    loud_begin(&dir->quiet);
    int error = unlinkat(dir->fd, name, directory ? AT_REMOVEDIR : 0) < 0 ? -errno : 0;
    loud_end(&dir->quiet);
    return error;
}

bool take_away_loudly(const struct upper_dir *dir, const char *name, bool directory) {
    return dir->quiet.watched && remove_loudly(dir, name, directory) == 0;
}

bool watches_any(const pto_view *view) {
    return view->base->watches;
}

static int empty_quietly(const struct upper_dir *dir, const char *name, uint32_t d) {
    CLOSE_FD fd = openat(dir->fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    QUIET quiet;
    quiet_begin(dir->ovl, fd, &quiet);
    return clear_whiteouts(dir->ovl, d, fd);
}

/* No descriptor of ours is to be left: the end of the object itself is heard when the last one is closed. */
int remove_watched_dir(const struct upper_dir *dir, const char *name, uint32_t d, bool whiteout) {
    char note[WORK_NAME + 8];
    int error = whiteout ? note_bare(dir, name, note) : 0;
    if (!error)
        error = empty_quietly(dir, name, d);
    last_dir_close(dir->ovl);
    if (!error)
        error = remove_loudly(dir, name, true);
    if (!error && whiteout)
        error = make_whiteout(dir->ovl, dir->fd, name);
    if (!error && whiteout)
        forget_note(dir, note);
    return error;
}

/* A whiteout of a file is its own stand-in. */
static int tell_by_whiteout(const struct upper_dir *dir, const char *name, bool directory) {
    char note[WORK_NAME + 8];
    int error = note_bare(dir, name, note);
    if (!error && directory)
        error = unlinkat(dir->fd, name, 0) < 0 ? -errno : make_stand_in(dir, name, true);
    if (!error)
        error = remove_loudly(dir, name, directory);
    if (!error)
        error = make_whiteout(dir->ovl, dir->fd, name);
    if (!error)
        forget_note(dir, note);
    return error;
}

int tell_removed(const struct upper_dir *dir, const char *name, bool directory, bool whiteout) {
    if (!dir->quiet.watched)
        return 0;
    if (whiteout && !dir->ovl->layers[0].dot_form)
        return tell_by_whiteout(dir, name, directory);
    int error = make_stand_in(dir, name, directory);
    return error ? error : remove_loudly(dir, name, directory);
}

int place_made(struct work_object *object, const struct upper_dir *dir, const char *name, enum placing placing,
               bool directory) {
    char note[WORK_NAME + 8] = "";
    if (!dir->quiet.watched)
        return work_place(object, dir->fd, name, placing);
    int error = 0;
    if (placing != PLACE_NEW) {
        error = note_bare(dir, name, note);
        if (!error && unlinkat(dir->fd, name, 0) < 0)
            error = -errno;
    }
    if (error)
        return error;
    loud_begin(&dir->quiet);
    error = make_stand_in(dir, name, directory);
    loud_end(&dir->quiet);
    if (!error)
        error = work_place(object, dir->fd, name, PLACE_OVER);
    if (!error && note[0])
        forget_note(dir, note);
    return error;
}

int bare_name(const struct upper_dir *dir, const char *name, char note[WORK_NAME + 8]) {
    int error = note_bare(dir, name, note);
    return error ? error : unlinkat(dir->fd, name, 0) < 0 ? -errno : 0;
}

void bare_over(const struct upper_dir *dir, const char *note) {
    forget_note(dir, note);
}

static int settle_bare(struct overlay *ovl, const char *note) {
    char text[PATH_MAX];
    ssize_t length = readlinkat(ovl->work, note, text, sizeof text - 1);
    text[length > 0 ? length : 0] = '\0';
    char *name = strrchr(text, '/');
    if (!name)
        return 0;
    *name++ = '\0';
    CLOSE_FD dir = fd_beneath(ovl->layers[0].fd, text, O_PATH | O_DIRECTORY);
    if (dir < 0)
        return 0;   /* it has gone altogether */
    int error = remove_tree(dir, name);
    if (error && error != -ENOENT)
        return error;
    return make_whiteout(ovl, dir, name);
}

int bare_settle(struct overlay *ovl) {
    return work_notes(ovl, NOTE, settle_bare);
}

/* ---- which there are ---- */

static int note_watch(pto_view *view, int instance, int wd, uint32_t mask, const struct stat *st) {
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
    bool again = watch->wd == wd && is_of(watch, st);
    watch->mask = (mask & IN_MASK_ADD && again ? watch->mask : 0) | (mask & ~(uint32_t)OF_A_CALL);
    watch->instance = instance;
    watch->wd = wd;
    watch->dev = st->st_dev;
    watch->ino = st->st_ino;
    return 0;
}

/* What will be changed is what is watched: a watch on a lower object would never fire. */
static int copy_watched(struct overlay *ovl, const struct location *loc) {
    if (loc->read_only || loc->upper)
        return 0;
    if (S_ISDIR(loc->type))
        return copy_up_dir(ovl, loc->dentry);
    if (!S_ISREG(loc->type))
        return 0;
    struct statx stx;
    int error = dentry_getattr(ovl, loc->dentry, &stx);
    return error || stx.stx_size > WATCHED_SIZE ? error : copy_up(ovl, loc->dentry, KEEP_ALL);
}

#define CHANGES                                                                                                        \
    (IN_MODIFY | IN_ATTRIB | IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_DELETE_SELF |   \
     IN_MOVE_SELF)

int view_watch_ready(pto_view *view, const struct location *loc, uint32_t mask) {
    (void)view;
    int error = mask & CHANGES ? copy_watched(loc->overlay, loc) : 0;
    return error == -VIEW_AGAIN ? error : 0;   /* else it is watched where it is */
}

int view_watch(pto_view *view, const struct location *loc, int instance, uint32_t mask) {
    char real[PATH_MAX], path[FD_PATH];
    struct stat st;
    int error = view_real(view, loc, real);
    if (error)
        return error;
    CLOSE_FD fd = view_open_exact(real, O_PATH | O_NOFOLLOW, 0);
    if (fd < 0 || fstat(fd, &st) < 0)
        return fd < 0 ? fd : -errno;
    fd_path(fd, path);
    int wd = inotify_add_watch(instance, path, mask & ~(uint32_t)IN_DONT_FOLLOW);
    if (wd < 0)
        return -errno;
    error = note_watch(view->base, instance, wd, mask, &st);
    return error ? error : wd;
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

void watches_clear(pto_view *view) {
    while (view->watches) {
        struct watch *watch = view->watches;
        view->watches = watch->next;
        free(watch);
    }
}
