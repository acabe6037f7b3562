/* lay.c - an overlay is laid in a view: its layers opened, locked and hidden, its places made.
 *
 * Rules: every layer is opened once and kept by descriptor, so it keeps its identity even where the view
 * covers it; an upper and its work directory belong to one run at a time (flock(2)); layer directories
 * that the view itself would show are hidden in it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "../layers/layers.h"
#include "../upper/upper.h"
#include "super.h"
#include "symlinks.h"

#define LOCK_TRIES 5u

int lay_fail(char *message, size_t size, int error, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int length = vsnprintf(message, size, format, args);
    va_end(args);
    if (length < 0 && size)
        message[0] = '\0';
    return error;
}

static int layer_open(struct layer *layer, const char *path, char *message, size_t size) {
    layer->fd = -1;
    char *real = realpath(path, NULL);
    if (!real)
        return lay_fail(message, size, -errno, "%s: %s", path, strerror(errno));
    layer->length = path_length(real);
    layer->root = real;
    real[layer->length] = '\0';
    const char *name = layer->length ? real : "/";
    layer->fd = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct stat st;
    if (layer->fd < 0 || fstat(layer->fd, &st) < 0 || faccessat(layer->fd, ".", R_OK | X_OK, AT_EACCESS) < 0)
        return lay_fail(message, size, -errno, "%s: %s", path, strerror(errno));
    layer->dev = st.st_dev;
    return 0;
}

static int open_lowers(struct overlay *ovl, const struct pto_overlay *spec, char *message, size_t size) {
    for (size_t i = 0; i < spec->n_lowers; i++) {
        struct layer *layer = &ovl->layers[i + 1];
        int error = layer_open(layer, spec->lowers[i], message, size);
        if (error)
            return error;
        if (!ovl->own && i < ovl->n_lowers && strcmp(layer->root, ovl->mount) == 0)
            ovl->own = (unsigned)i + 1;
    }
    return 0;
}

/* Who only asks whether a directory is locked locks it for a moment; so does what a killed run has just forked. */
static int try_lock(int fd) {
    const struct timespec pause = {.tv_nsec = 2000000};
    for (unsigned tries = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; tries++) {
        if (errno != EWOULDBLOCK)
            return errno;
        if (tries == LOCK_TRIES)
            return EBUSY;
        (void)nanosleep(&pause, NULL);
    }
    return 0;
}

/* A start that did not come to its end removes what it has made (layers.py), with the lock held. */
static int still_there(const char *path, int fd) {
    struct stat locked, now;
    if (fstat(fd, &locked) < 0)
        return errno;
    if (fstatat(AT_FDCWD, path, &now, 0) < 0)
        return errno == ENOENT ? EBUSY : errno;
    return locked.st_ino == now.st_ino && locked.st_dev == now.st_dev ? 0 : EBUSY;
}

/* A directory that a run writes to is locked by it, through the descriptor that stays open. */
static int lock_dir(const char *path, int *fd, char *message, size_t size) {
    *fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd < 0)
        return lay_fail(message, size, -errno, "%s: %s", path, strerror(errno));
    int error = try_lock(*fd);
    if (!error)
        error = still_there(path, *fd);
    if (error)
        return lay_fail(message, size, -error, "%s: %s", path,
                        error == EBUSY ? "in use by another run" : strerror(error));
    if (faccessat(*fd, ".", W_OK | X_OK, AT_EACCESS) < 0)
        return lay_fail(message, size, -errno, "%s: %s", path, strerror(errno));
    return 0;
}

/* The upper and the work directory may lie in a lower, where they are hidden; they may neither be nor hold
 * a lower, nor each other. */
static int check_overlap(const struct overlay *ovl, char *message, size_t size) {
    const struct layer *upper = &ovl->layers[0];
    const char *work = ovl->work_root;
    size_t work_length = strlen(work);
    if (path_below(work, work_length, upper->root, upper->length) ||
        path_below(upper->root, upper->length, work, work_length))
        return lay_fail(message, size, -EINVAL,
                        "%s: upper and work directory must be apart from each other (work directory: %s)", upper->root,
                        work);
    for (unsigned i = 1; i <= ovl->n_layers; i++) {
        const struct layer *lower = &ovl->layers[i];
        if (path_below(lower->root, lower->length, upper->root, upper->length))
            return lay_fail(message, size, -EINVAL, "%s: the upper may neither be nor hold the lower %s", upper->root,
                            lower->root);
        if (path_below(lower->root, lower->length, work, work_length))
            return lay_fail(message, size, -EINVAL, "%s: the work directory may neither be nor hold the lower %s", work,
                            lower->root);
    }
    return 0;
}

/* The kernel leaves its work directory without any permission.  A symlink in its place is another's trap. */
static int open_own_dir(const char *path) {
    char name[FD_PATH];
    CLOSE_FD there = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (there < 0)
        return -errno;
    fd_path(there, name);
    (void)!chmod(name, 0700);
    int fd = openat(there, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* <work>/work is ours alone: what a killed run left in it is removed. */
static int open_work(struct overlay *ovl, char *message, size_t size) {
    if (asprintf(&ovl->work_path, "%s/work", ovl->work_root) < 0) {
        ovl->work_path = NULL;
        return -ENOMEM;
    }
    if (mkdir(ovl->work_path, 0700) < 0 && errno != EEXIST)
        return lay_fail(message, size, -errno, "%s: %s", ovl->work_path, strerror(errno));
    ovl->work = open_own_dir(ovl->work_path);
    if (ovl->work < 0)
        return lay_fail(message, size, ovl->work, "%s: %s", ovl->work_path, strerror(-ovl->work));
    if (faccessat(ovl->work, VOLATILE_MARK, F_OK, 0) == 0)
        return lay_fail(message, size, -EINVAL,
                        "%s: the upper was used with \"volatile\" and not ended cleanly: throw it away, or remove "
                        "%s/" VOLATILE_MARK,
                        ovl->layers[0].root, ovl->work_path);
    int error = work_notes(ovl, LOAN_NOTE, loan_settle);
    if (!error)
        error = work_notes(ovl, BARE_NOTE, watches_settle);
    if (!error)
        error = work_remove_children(ovl->work);
    if (error)
        return lay_fail(message, size, error, "%s: %s", ovl->work_path, strerror(-error));
    if (!(ovl->flags & PTO_VOLATILE))
        return 0;
    if (mkdirat(ovl->work, "incompat", 0700) < 0 || mkdirat(ovl->work, VOLATILE_MARK, 0700) < 0)
        return lay_fail(message, size, -errno, "%s: %s", ovl->work_path, strerror(errno));
    return 0;
}

#define OWN_PREFIX "user.ptoverlay.overlay."

/* fuse-overlayfs lets its own attributes be set, which have the kernel's names, and shows none. */
static bool hides_marks(const struct overlay *ovl) {
    bool hides = ovl->work >= 0 && fsetxattr(ovl->work, "user.overlay.probe", "y", 1, 0) == 0 &&
                 fgetxattr(ovl->work, "user.overlay.probe", NULL, 0) < 0 && errno == ENODATA;
    if (ovl->work >= 0)
        (void)!fremovexattr(ovl->work, "user.overlay.probe");
    return hides;
}

/* trusted.overlay.* where the kernel lets us, user.overlay.* elsewhere (as "userxattr"), and names that nobody else
 * reads where these are hidden and no tool will look for them. */
static void choose_prefix(struct overlay *ovl) {
    bool trusted = !(ovl->flags & PTO_USERXATTR) && (ovl->view->own.caps & (1ull << CAP_SYS_ADMIN));
    if (trusted && ovl->work >= 0 && fsetxattr(ovl->work, "trusted.overlay.probe", "y", 1, 0) < 0 && errno == EPERM)
        trusted = false;   /* root of a user namespace */
    if (trusted && ovl->work >= 0 && fremovexattr(ovl->work, "trusted.overlay.probe") < 0 && errno == EPERM)
        trusted = false;
    ovl->prefix = trusted ? "trusted.overlay." : hides_marks(ovl) ? OWN_PREFIX : "user.overlay.";
    ovl->root_prefix = strlen(ovl->prefix);
    if (!trusted)
        ovl->flags |= PTO_USERXATTR;
    for (unsigned i = 0; i <= WORK_LAYER(ovl); i++)
        ovl->layers[i].prefix = ovl->prefix;
}

static int check_way(const char *path, char *message, size_t size) {
    struct followed followed;
    int error = symlinks_check(path, &followed);
    if (error && *followed.refused)
        return lay_fail(message, size, error, "%s: a symbolic link of user %u: give the directory itself",
                        followed.refused, (unsigned)followed.user);
    return error ? lay_fail(message, size, error, "%s: %s", path, strerror(-error)) : 0;
}

/* An upper that is only looked at may be in use: nothing of it or of its work directory is locked or made. */
static int open_upper_to_look(struct overlay *ovl, const struct pto_overlay *spec, char *message, size_t size) {
    int error = check_way(spec->upper, message, size);
    if (!error)
        error = layer_open(&ovl->layers[0], spec->upper, message, size);
    if (!error && spec->work)
        error = check_way(spec->work, message, size);
    if (error || !spec->work)
        return error;
    ovl->work_root = realpath(spec->work, NULL);
    if (!ovl->work_root)
        return errno == ENOENT ? 0 : lay_fail(message, size, -errno, "%s: %s", spec->work, strerror(errno));
    return layer_open(&ovl->layers[WORK_LAYER(ovl)], spec->work, message, size);
}

static int open_upper(struct overlay *ovl, const struct pto_overlay *spec, char *message, size_t size) {
    if (spec->flags & PTO_READ_ONLY)
        return open_upper_to_look(ovl, spec, message, size);
    int error = check_way(spec->upper, message, size);
    if (!error)
        error = check_way(spec->work, message, size);
    if (!error)
        error = lock_dir(spec->upper, &ovl->locks[0], message, size);
    if (!error)
        error = layer_open(&ovl->layers[0], spec->upper, message, size);
    if (error)
        return error;
    ovl->work_root = realpath(spec->work, NULL);
    if (!ovl->work_root)
        return lay_fail(message, size, -errno, "%s: %s", spec->work, strerror(errno));
    error = check_overlap(ovl, message, size);
    if (!error)
        error = lock_dir(spec->work, &ovl->locks[1], message, size);
    if (error)
        return error;
    struct stat st;
    if (fstat(ovl->locks[1], &st) < 0)
        return lay_fail(message, size, -errno, "%s: %s", spec->work, strerror(errno));
    if (st.st_dev != ovl->layers[0].dev)
        return lay_fail(message, size, -EXDEV, "%s: the work directory must be on the file system of the upper %s",
                        spec->work, spec->upper);
    return open_work(ovl, message, size);
}

/* Where a lower shows a layer directory, the view hides it. */
static int hide_layer(pto_view *view, struct overlay *ovl, const char *root) {
    size_t length = strlen(root);
    for (unsigned i = 1; i <= ovl->n_lowers; i++) {
        const struct layer *lower = &ovl->layers[i];
        if (length <= lower->length || !path_below(root, length, lower->root, lower->length))
            continue;
        char *shown;
        if (asprintf(&shown, "%s%s", ovl->mount, root + lower->length) < 0)
            return -ENOMEM;
        int error = place_insert(view, PTO_HIDDEN, shown, NULL);
        free(shown);
        if (error)
            return error;
    }
    return 0;
}

static int make_places(pto_view *view, struct overlay *ovl) {
    places_cover(view, ovl->mount, ovl->mount_length);
    int error = place_insert(view, 0, ovl->mount, ovl);
    if (!error && has_upper(ovl))
        error = hide_layer(view, ovl, ovl->layers[0].root);
    if (!error && ovl->work_root)
        error = hide_layer(view, ovl, ovl->work_root);
    for (unsigned i = 1; !error && i <= ovl->n_layers; i++)
        error = hide_layer(view, ovl, ovl->layers[i].root);
    return error;
}

static int set_forms(struct overlay *ovl) {
    if (strcmp(ovl->prefix, OWN_PREFIX) == 0 && !(ovl->flags & PTO_TEMPORARY))
        return -EOPNOTSUPP;
    for (unsigned i = 1; i <= ovl->n_layers; i++)
        if (i != ovl->own || ovl->n_layers > 1)
            marks_find_form(&ovl->layers[i]);
    return ovl->work >= 0 ? whiteout_choose_form(ovl) : 0;
}

/* The upper's names at the top, and the owner that its top shows. */
static int load_root(struct overlay *ovl) {
    struct stat st;
    if (fstat(ovl->layers[0].fd, &st) < 0)
        return -errno;
    int error = private_load_shown(ovl, ovl->layers[0].fd, &st);
    return error ? error : lookup_load_upper(ovl, ovl->root);
}

/* The mount point: a directory of the host, or one that an overlay which was laid before has made. */
static char *find_mount(pto_view *view, const char *path) {
    struct walker walker = {.cred = &view->own};
    struct location loc;
    char *real = realpath(path, NULL);
    if (real || errno != ENOENT || path[0] != '/')
        return real;
    bool made = view_walk(view, &walker, "/", path, WALK_FOLLOW, &loc) == 0 && loc.overlay && loc.type == S_IFDIR;
    errno = ENOENT;
    return made ? strdup(loc.path) : NULL;
}

static int overlay_open(pto_view *view, struct overlay *ovl, const struct pto_overlay *spec, char *message,
                        size_t size) {
    if (spec->n_lowers <= spec->n_data || spec->n_lowers > LOWERS_MAX)
        return lay_fail(message, size, -EINVAL, "lower: between 1 and %u directories are needed", LOWERS_MAX);
    ovl->layers = calloc(spec->n_lowers + 2, sizeof *ovl->layers);
    if (!ovl->layers)
        return -ENOMEM;
    ovl->n_layers = (unsigned)spec->n_lowers;
    for (size_t i = 0; i <= WORK_LAYER(ovl); i++)
        ovl->layers[i].fd = -1;
    ovl->n_lowers = (unsigned)(spec->n_lowers - spec->n_data);
    ovl->mount = ovl->stacked ? strdup(spec->mount) : find_mount(view, spec->mount);
    if (!ovl->mount)
        return lay_fail(message, size, -errno, "%s: %s", spec->mount, strerror(errno));
    ovl->mount_length = path_length(ovl->mount);
    ovl->mount[ovl->mount_length] = '\0';
    int error = open_lowers(ovl, spec, message, size);
    if (!error && spec->upper)
        error = open_upper(ovl, spec, message, size);
    if (error)
        return error;
    choose_prefix(ovl);
    stacked_set_layers(ovl);
    error = set_forms(ovl);
    if (error)
        return lay_fail(message, size, error, "%s: %s", ovl->work_path ? ovl->work_path : spec->mount,
                        strerror(-error));
    error = ovl->work_root ? links_open(ovl) : 0;
    if (error)
        return lay_fail(message, size, error, "%s/links: %s", ovl->work_root, strerror(-error));
    ovl->dev = ovl->layers[1].dev;
    ovl->root = index_root(&ovl->view->index);
    if (!ovl->root)
        return -ENOMEM;
    struct dentry *root = at(ovl, ovl->root);
    root->upper = has_upper(ovl) ? DT_DIR : KIND_NONE;
    root->lower = DT_DIR;
    root->layer = 1;
    root->flags = D_CHECKED;
    ovl->inherited = ovl->n_lowers > 1;
    if (has_upper(ovl)) {
        error = load_root(ovl);
        if (error)
            return lay_fail(message, size, error, "%s: %s", ovl->layers[0].root, strerror(-error));
        ovl->inherited |= at(ovl, ovl->root)->child != 0;
    }
    error = places_find_mounts(ovl);
    return error ? error : make_places(view, ovl);
}

int lay_overlay(pto_view *view, const struct pto_overlay *spec, struct stacked *stacked, char *message, size_t size) {
    struct overlay *ovl = calloc(1, sizeof *ovl);
    struct overlay **overlays = realloc(view->overlays, (view->n_overlays + 1) * sizeof *overlays);
    if (overlays)
        view->overlays = overlays;
    if (!ovl || !overlays) {
        free(ovl);
        stacked_free(stacked);
        return lay_fail(message, size, -ENOMEM, "%s", strerror(ENOMEM));
    }
    if (size)
        message[0] = '\0';
    ovl->view = view->base;
    ovl->stacked = stacked;
    ovl->flags = spec->flags;
    ovl->work = ovl->links = ovl->kernel_links = ovl->locks[0] = ovl->locks[1] = -1;
    int error = overlay_open(view, ovl, spec, message, size);
    if (error) {
        ovl->flags &= ~(unsigned)PTO_VOLATILE;   /* the mark, if there is one, is another run's */
        super_free_overlay(ovl);
        if (size && !message[0])
            return lay_fail(message, size, error, "%s: %s", spec->mount, strerror(-error));
        return error;
    }
    view->overlays[view->n_overlays++] = ovl;
    return 0;
}

int pto_view_add_overlay(pto_view *view, const struct pto_overlay *spec, char *message, size_t size) {
    view_lock(view);
    int error = lay_overlay(view, spec, NULL, message, size);
    view_unlock(view);
    return error;
}

int view_add_place(pto_view *view, int kind, const char *path, char *message, size_t size) {
    char cwd[PATH_MAX] = "/";
    struct walker walker = {.cred = &view->own};
    struct location loc;
    if (path[0] != '/' && !getcwd(cwd, sizeof cwd))
        return lay_fail(message, size, -errno, "%s: %s", path, strerror(errno));
    int error = view_walk(view, &walker, cwd, path, WALK_FOLLOW, &loc);
    bool hide = kind == PTO_HIDDEN, missing = !error && loc.type == 0;
    if (hide && (error == -ENOENT || error == -ENOTDIR))
        return 1;
    if (missing && !hide)   /* what is to be hidden, and comes to be later, is hidden then */
        error = -ENOENT;
    if (!error && !view->outer && (kind == PTO_DIRECT || kind == PTO_PLACE_FIXED) && access(loc.path, F_OK) < 0)
        error = -errno;
    if (!error)
        error = view_name(view, &loc);
    if (!error)
        error = place_insert(view, kind, loc.path, NULL);
    return error ? lay_fail(message, size, error, "%s: %s", path, strerror(-error)) : missing;
}

/* Does a layer hold this path of the host, or lie in it, and what is changed there is not the host's own business? */
static bool is_of_layers(const pto_view *view, const char *real) {
    size_t length = path_length(real);
    const struct place *place = place_of(view, real, length);
    if (place && place->kind == PTO_DIRECT && !place->source)
        return false;
    for (size_t i = 0; i < view->n_overlays; i++) {
        const struct overlay *ovl = view->overlays[i];
        for (unsigned n = 0; n <= WORK_LAYER(ovl); n++) {
            const struct layer *layer = &ovl->layers[n];
            if (layer->root && (path_below(real, length, layer->root, layer->length) ||
                                path_below(layer->root, layer->length, real, length)))
                return true;
        }
    }
    return false;
}

/* real: canonical. */
static int insert_bind(pto_view *view, const char *real, const char *path, char *message, size_t size) {
    struct walker walker = {.cred = &view->own};
    struct location loc;
    struct stat st;
    if (view->outer)
        return lay_fail(message, size, -EOPNOTSUPP, "%s: within a run nothing is shown at another path", path);
    int error = view_walk(view, &walker, "/", path, WALK_FOLLOW, &loc);
    if (error == -ENOENT)   /* a symlink to what is not there: it is covered itself */
        error = view_walk(view, &walker, "/", path, 0, &loc);
    if (!error && lstat(real, &st) < 0)
        error = -errno;
    if (!error && loc.type && S_ISDIR(loc.type) != S_ISDIR(st.st_mode))
        error = S_ISDIR(loc.type) ? -EISDIR : -ENOTDIR;
    if (!error)
        error = view_name(view, &loc);
    bool same = !error && strcmp(loc.path, real) == 0;
    if (!error && !same && is_of_layers(view, real))
        return lay_fail(message, size, -EINVAL, "%s: a layer shows it, holds it or lies in it", real);
    if (!error)
        error = place_insert(view, PTO_DIRECT, loc.path, NULL);
    if (error)
        return lay_fail(message, size, error, "%s: %s", path, strerror(-error));
    if (same)
        return 0;
    struct place *place = place_at(view, loc.path, path_length(loc.path));
    place->source_length = path_length(real);
    place->source = strndup(real, place->source_length);
    return place->source ? 0 : -ENOMEM;
}

int view_add_bind(pto_view *view, const char *source, const char *path, char *message, size_t size) {
    char *real = realpath(source, NULL);
    if (!real)
        return lay_fail(message, size, -errno, "%s: %s", source, strerror(errno));
    int error = insert_bind(view, real, path, message, size);
    free(real);
    return error;
}

int pto_view_add_bind(pto_view *view, const char *source, const char *path, char *message, size_t size) {
    view_lock(view);
    int error = view_add_bind(view, source, path, message, size);
    view_unlock(view);
    return error;
}

int pto_view_add_place(pto_view *view, int kind, const char *path, char *message, size_t size) {
    view_lock(view);
    int error = view_add_place(view, kind, path, message, size);
    view_unlock(view);
    return error;
}
