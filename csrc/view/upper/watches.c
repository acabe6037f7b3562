/* watches.c - changes of the upper that watches (layers/quiet.c) hear as what happens in the view.
 *
 * The upper changes in other ways than the view: a copy and a whiteout come to be where the view shows nothing new, and
 * a new object is moved to where the view shows it made.  So the watches on an upper directory are quiet (their mask
 * lacks names and attributes) while it is changed, and loud for the one call that is what the view shows; where the
 * upper needs no such call it is made for their sake, on a stand-in.
 *
 * Rule: while a name stands bare for a call that is made for watches, a note in the work directory, as loans have, says
 * that it is to be a whiteout.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../layers/layers.h"
#include "upper.h"

/* The name of a note, as of a loan: at the next start what it leads to gets its whiteout. */
static int note_bare(const struct upper_dir *dir, const char *name, char note[WORK_NAME + 8]) {
    char path[PATH_MAX], text[PATH_MAX];
    int error = path_of_fd(dir->ovl, dir->fd, path);
    if (error)
        return error;
    if (snprintf(text, sizeof text, "%s/%s", path, name) >= (int)sizeof text)
        return -ENAMETOOLONG;
    work_name(dir->ovl, note);
    strcat(note, BARE_NOTE);
    return symlinkat(text, dir->ovl->work, note) < 0 ? -errno : 0;
}

static void forget_note(const struct upper_dir *dir, const char *note) {
    (void)!unlinkat(dir->ovl->work, note, 0);   /* a whiteout that is made where one is changes nothing */
}

static int make_stand_in(const struct upper_dir *dir, const char *name, bool directory) {
    return (directory ? mkdirat(dir->fd, name, 0700) : mknodat(dir->fd, name, S_IFREG | 0600, 0)) < 0 ? -errno : 0;
}

static int remove_loudly(const struct upper_dir *dir, const char *name, bool directory) {
    quiet_lift(&dir->quiet);
    int error = unlinkat(dir->fd, name, directory ? AT_REMOVEDIR : 0) < 0 ? -errno : 0;
    quiet_return(&dir->quiet);
    return error;
}

bool watches_take_away(const struct upper_dir *dir, const char *name, bool directory) {
    return dir->quiet.watched && remove_loudly(dir, name, directory) == 0;
}

static int empty_quietly(const struct upper_dir *dir, const char *name, uint32_t d) {
    CLOSE_FD fd = openat(dir->fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    QUIET quiet;
    quiet_begin(dir->ovl, fd, &quiet);
    return whiteout_clear(dir->ovl, d, fd);
}

/* No descriptor of ours is to be left: the end of the object itself is heard when the last one is closed. */
int watches_remove_dir(const struct upper_dir *dir, const char *name, uint32_t d, bool whiteout) {
    char note[WORK_NAME + 8];
    int error = whiteout ? note_bare(dir, name, note) : 0;
    if (!error)
        error = empty_quietly(dir, name, d);
    upper_last_close(dir->ovl);
    if (!error)
        error = remove_loudly(dir, name, true);
    if (!error && whiteout)
        error = whiteout_make(dir->ovl, dir->fd, name);
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
        error = whiteout_make(dir->ovl, dir->fd, name);
    if (!error)
        forget_note(dir, note);
    return error;
}

int watches_tell_removed(const struct upper_dir *dir, const char *name, bool directory, bool whiteout) {
    if (!dir->quiet.watched)
        return 0;
    if (whiteout && !dir->ovl->layers[0].dot_form)
        return tell_by_whiteout(dir, name, directory);
    int error = make_stand_in(dir, name, directory);
    return error ? error : remove_loudly(dir, name, directory);
}

int watches_put(struct work_object *object, const struct upper_dir *dir, const char *name, enum putting putting,
                bool directory) {
    char note[WORK_NAME + 8] = "";
    if (!dir->quiet.watched)
        return upper_put(object, dir->fd, name, putting);
    int error = 0;
    if (putting != PUT_NEW) {
        error = note_bare(dir, name, note);
        if (!error && unlinkat(dir->fd, name, 0) < 0)
            error = -errno;
    }
    if (error)
        return error;
    quiet_lift(&dir->quiet);
    error = make_stand_in(dir, name, directory);
    quiet_return(&dir->quiet);
    if (!error)
        error = upper_put(object, dir->fd, name, PUT_OVER);
    if (!error && note[0])
        forget_note(dir, note);
    return error;
}

int watches_bare(const struct upper_dir *dir, const char *name, char note[WORK_NAME + 8]) {
    int error = note_bare(dir, name, note);
    return error ? error : unlinkat(dir->fd, name, 0) < 0 ? -errno : 0;
}

void watches_bare_over(const struct upper_dir *dir, const char *note) {
    forget_note(dir, note);
}

int watches_settle(struct overlay *ovl, const char *note) {
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
    int error = work_remove_tree(dir, name);
    if (error && error != -ENOENT)
        return error;
    return whiteout_make(ovl, dir, name);
}
