/* rename.c - rename and exchange, with redirects for directories that lowers have a part in.
 *
 * Rules: all that can be refused is refused before anything is changed; the name moves by one renameat2(2) in the
 * upper; a directory that merges lowers keeps them by a redirect, one that does not is made opaque before it moves to
 * where a lower has something.  ovl_rename() in fs/overlayfs/dir.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../layers/layers.h"
#include "../upper/upper.h"
#include "../walk/walk.h"
#include "ops.h"

/* Of a rename under way. */
struct move {
    struct overlay *ovl;
    const struct location *from, *to;
    uint32_t source, target;       /* entries; the target's exists even when it shows nothing */
    unsigned flags;                /* RENAME_EXCHANGE or 0 */
    bool whiteout;                 /* the old name is to become a whiteout */
    struct upper_dir from_dir, to_dir;
    char from_name[NAME_MAX + 1], to_name[NAME_MAX + 1];
};

static void move_close(struct move *move) {
    upper_dir_close(&move->from_dir);
    upper_dir_close(&move->to_dir);
}

/* ---- what is refused ---- */

static bool is_ancestor(const struct overlay *ovl, uint32_t ancestor, uint32_t d) {
    while (d != ancestor && d != ovl->root)
        d = at(ovl, d)->parent;
    return d == ancestor;
}

/* Neither a place itself nor anything that holds one can move. */
static bool holds_place(const pto_view *view, const struct location *loc) {
    for (size_t i = 0; i < view->n_places; i++)
        if (path_below(view->places[i].path, view->places[i].length, loc->path, loc->length))
            return true;
    return false;
}

/* The checks of do_renameat2() in fs/namei.c that look at the paths alone. */
static int check_paths(const struct location *from, const struct location *to, unsigned flags) {
    if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT))
        return -EINVAL;
    if ((flags & RENAME_EXCHANGE) && (flags & (RENAME_NOREPLACE | RENAME_WHITEOUT)))
        return -EINVAL;
    if (from->overlay != to->overlay || !from->overlay)
        return from->hidden ? -ENOENT : to->hidden ? -EACCES : -EXDEV;
    if (from->last != LAST_NORM)
        return -EBUSY;
    if (to->last != LAST_NORM)
        return flags & RENAME_NOREPLACE ? -EEXIST : -EBUSY;
    if (from->read_only || to->read_only)
        return -EROFS;
    if (from->type == 0)
        return -ENOENT;
    if ((flags & RENAME_NOREPLACE) && to->type)
        return -EEXIST;
    if ((flags & RENAME_EXCHANGE) && !to->type)
        return -ENOENT;
    if ((flags & RENAME_EXCHANGE) && to->slash && !S_ISDIR(to->type))
        return -ENOTDIR;
    if (!S_ISDIR(from->type) && (from->slash || (!(flags & RENAME_EXCHANGE) && to->slash)))
        return -ENOTDIR;
    return 0;
}

static int check_types(const struct move *move) {
    bool exchange = move->flags & RENAME_EXCHANGE;
    const struct location *from = move->from, *to = move->to;
    if (is_ancestor(move->ovl, from->dentry, to->parent))
        return -EINVAL;
    if (to->type && is_ancestor(move->ovl, to->dentry, from->parent))
        return exchange ? -EINVAL : -ENOTEMPTY;
    if (from->dentry == move->ovl->root || to->dentry == move->ovl->root)
        return -EBUSY;
    return 0;
}

/* vfs_rename() in fs/namei.c: may_delete, may_create, and write permission on a directory that gets another parent. */
static int check_permission(const struct move *move, const struct cred *cred) {
    const struct location *from = move->from, *to = move->to;
    struct overlay *ovl = move->ovl;
    bool exchange = move->flags & RENAME_EXCHANGE;
    int error = permission_delete(ovl, from->parent, from->dentry, cred);
    if (error)
        return error;
    error = to->type ? permission_delete(ovl, to->parent, to->dentry, cred)
                     : permission(ovl, to->parent, cred, W_OK | X_OK);
    if (error)
        return error;
    if (to->type && !exchange && S_ISDIR(from->type) != S_ISDIR(to->type))
        return S_ISDIR(from->type) ? -ENOTDIR : -EISDIR;
    if (from->parent == to->parent)
        return 0;
    if (S_ISDIR(from->type))
        error = permission(ovl, from->dentry, cred, W_OK);
    if (!error && exchange && S_ISDIR(to->type))
        error = permission(ovl, to->dentry, cred, W_OK);
    return error;
}

static bool same_object(const struct move *move) {
    struct statx a, b;
    if (!move->to->type)
        return false;
    if (move->from->dentry == move->to->dentry)
        return true;
    if (S_ISDIR(move->from->type) || inode_getattr(move->ovl, move->from->dentry, &a) < 0 ||
        inode_getattr(move->ovl, move->to->dentry, &b) < 0)
        return false;
    return a.stx_ino == b.stx_ino && a.stx_dev_major == b.stx_dev_major && a.stx_dev_minor == b.stx_dev_minor;
}

/* ---- directories that merge lowers ---- */

static bool merges_lower(const struct overlay *ovl, uint32_t d) {
    return is_dir_kind(shown_kind(at(ovl, d))) && is_dir_kind(at(ovl, d)->lower) && !(at(ovl, d)->flags & D_OPAQUE);
}

/* Without redirects the lowers could not be found under another name: ovl_can_move() in fs/overlayfs/dir.c. */
static bool cannot_move(const struct move *move) {
    const struct overlay *ovl = move->ovl;
    bool exchange = move->flags & RENAME_EXCHANGE;
    bool merging = merges_lower(ovl, move->from->dentry) || (exchange && merges_lower(ovl, move->to->dentry));
    return merging && ((ovl->flags & PTO_NO_REDIRECT) || ovl->layers[0].dot_form);
}

/* The redirect's value: the name alone while the directory stays where its lowers are, else the path from the root of
 * the layers.  Returns its length, 0: it says so already.  ovl_set_redirect() in fs/overlayfs/dir.c. */
static int redirect_value(struct overlay *ovl, uint32_t d, bool same_parent, char out[PATH_MAX]) {
    char path[VIEW_PATH_MAX];
    int length = 0;
    if (at(ovl, d)->flags & D_REDIRECT)
        length = path_in_upper(ovl, d, path);
    if (length > 0)
        length = (int)redirect_read(&ovl->layers[0], path, out);
    if (length < 0)
        return length;
    if (length > 0 && (out[0] == '/' || same_parent))
        return 0;
    if (!same_parent)
        return redirect_path(ovl, d, out);
    index_name(&ovl->view->index, d, out);
    return at(ovl, d)->name_length;
}

/* From here on the entry says itself where its lowers are, whatever name it has. */
static int pin_lowers(struct overlay *ovl, uint32_t d) {
    struct lower_dir dirs[LOWERS_MAX];
    char path[VIEW_PATH_MAX];
    uint32_t count = lower_dirs(ovl, d, dirs), done = 0;
    int error = 0;
    for (; done < count && !error; done++) {
        int length = lower_path(ovl, d, &dirs[done], path);
        dirs[done].path = length < 0 ? 0 : index_text(&ovl->view->index, path, (size_t)length);
        if (!dirs[done].path)
            error = length < 0 ? length : -ENOMEM;
    }
    if (!error)
        error = index_set_stack(&ovl->view->index, d, dirs, count);
    for (uint32_t i = 0; error && i < done; i++)
        index_free_text(&ovl->view->index, dirs[i].path);
    ovl->redirected = true;
    return error;
}

static int redirect(struct overlay *ovl, uint32_t d, bool same_parent) {
    char value[PATH_MAX];
    CLOSE_FD fd = backing_open(ovl, d);
    if (fd < 0)
        return fd;
    QUIET quiet;
    quiet_begin(ovl, fd, &quiet);
    int length = redirect_value(ovl, d, same_parent, value);
    if (length < 0)
        return length;
    int error = length ? private_set(ovl, fd, "redirect", value, (size_t)length) : 0;
    if (!error)
        error = pin_lowers(ovl, d);
    if (!error)
        at(ovl, d)->flags |= D_REDIRECT;
    return error == -EOPNOTSUPP ? -EXDEV : error;
}

/* Readies an object for another name, at which `other` is the entry now. */
static int ready_object(const struct move *move, uint32_t d, uint32_t other) {
    struct overlay *ovl = move->ovl;
    if (!is_dir_kind(shown_kind(at(ovl, d))))
        return metacopy_pin(ovl, d);
    if (merges_lower(ovl, d))
        return redirect(ovl, d, move->from->parent == move->to->parent);
    if (at(ovl, d)->flags & D_OPAQUE)
        return 0;
    int positive = lookup_positive(ovl, other);
    if (positive <= 0)
        return positive;
    CLOSE_FD fd = backing_open(ovl, d);
    QUIET quiet;
    quiet_begin(ovl, fd, &quiet);
    int error = fd < 0 ? fd : whiteout_opaque(ovl, fd);
    if (!error)
        at(ovl, d)->flags |= D_OPAQUE;
    return error;
}

/* ---- in the upper ---- */

static int rename2(const struct move *move, unsigned flags) {
    quiet_lift(&move->from_dir.quiet);
    quiet_lift(&move->to_dir.quiet);
    long done = syscall(SYS_renameat2, move->from_dir.fd, move->from_name, move->to_dir.fd, move->to_name, flags);
    quiet_return(&move->to_dir.quiet);
    quiet_return(&move->from_dir.quiet);
    return done < 0 ? -errno : 0;
}

/* Where RENAME_WHITEOUT is not to be had, or makes another form of whiteout than the upper's. */
static int rename_then_whiteout(const struct move *move) {
    struct overlay *ovl = move->ovl;
    WORK_OBJECT object;
    int error = whiteout_in_work(ovl, &object);
    if (!error)
        error = whiteout_expect(ovl, move->from_dir.fd);
    if (!error)
        error = rename2(move, 0);
    return error ? error : upper_put(&object, move->from_dir.fd, move->from_name, PUT_NEW);
}

/* For those who watch the whiteout must not move. */
static int onto_bare_name(struct move *move) {
    char note[WORK_NAME + 8];
    int error = watches_bare(&move->to_dir, move->to_name, note);
    bool marked = move->ovl->layers[0].marked_form;
    unsigned flags = move->whiteout && !marked ? RENAME_WHITEOUT : 0;
    if (!error)
        error = rename2(move, flags);
    if (flags && (error == -EINVAL || error == -EPERM))   /* not here */
        error = rename2(move, flags = 0);
    if (move->whiteout && !flags && !error)
        error = whiteout_make(move->ovl, move->from_dir.fd, move->from_name);
    if (!error)
        watches_bare_over(&move->to_dir, note);
    return error;
}

/* Onto a whiteout: it changes places with the directory, and stays only where the old name needs one. */
static int onto_whiteout(struct move *move) {
    if (move->from_dir.quiet.watched || move->to_dir.quiet.watched)
        return onto_bare_name(move);
    int error = whiteout_expect(move->ovl, move->from_dir.fd);
    if (!error)
        error = rename2(move, RENAME_EXCHANGE);
    if (error == -EINVAL)   /* the file system exchanges no names */
        return onto_bare_name(move);
    if (!error && !move->whiteout)   /* one that stays hides nothing */
        move->whiteout = unlinkat(move->from_dir.fd, move->from_name, 0) < 0;
    return error;
}

/* A directory that shows nothing may still hold whiteouts.  Opaque and without them it shows the same, and then one
 * rename replaces it. */
static int clear_target(struct move *move) {
    struct overlay *ovl = move->ovl;
    char path[VIEW_PATH_MAX];
    int error = path_in_upper(ovl, move->target, path);
    CLOSE_FD fd = error < 0 ? -1 : fd_beneath(ovl->layers[0].fd, path, O_PATH | O_DIRECTORY);
    if (error < 0 || fd < 0)
        return error < 0 ? error : fd;
    QUIET quiet;
    quiet_begin(ovl, fd, &quiet);
    error = whiteout_opaque(ovl, fd);
    if (error)
        return error;
    at(ovl, move->target)->flags |= D_OPAQUE;
    at(ovl, move->target)->lower = KIND_NONE;
    return whiteout_clear(ovl, move->target, fd);
}

/* With whiteouts that stand beside their names: the old name's first, the new name's last. */
static int rename_dotted(const struct move *move) {
    struct overlay *ovl = move->ovl;
    bool cleared = S_ISDIR(move->from->type) && is_dir_kind(at(ovl, move->target)->upper);
    int error = cleared ? whiteout_replace(ovl, move->to_dir.fd, move->to_name, true, true) : 0;
    if (!error && move->whiteout)
        error = whiteout_make(ovl, move->from_dir.fd, move->from_name);
    if (!error)
        error = rename2(move, 0);
    return error ? error : whiteout_drop_dot(ovl, move->to_dir.fd, move->to_name);
}

static int rename_upper(struct move *move) {
    bool directory = S_ISDIR(move->from->type);
    uint8_t there = at(move->ovl, move->target)->upper;
    if (move->flags & RENAME_EXCHANGE)
        return rename2(move, RENAME_EXCHANGE);
    if (move->ovl->layers[0].dot_form)
        return rename_dotted(move);
    if (directory && there == KIND_WHITEOUT)
        return onto_whiteout(move);
    bool marked = move->ovl->layers[0].marked_form;
    unsigned flags = move->whiteout ? RENAME_WHITEOUT : 0;
    int error = flags && marked ? -EINVAL : rename2(move, flags);
    if (directory && is_dir_kind(there) && (error == -ENOTEMPTY || error == -EEXIST)) {
        error = clear_target(move);
        error = error ? error : rename2(move, flags);
    }
    return move->whiteout && (error == -EINVAL || error == -EPERM) ? rename_then_whiteout(move) : error;
}

/* ---- in the index ---- */

/* A file's lowers stay behind at its old name. */
static void leave_lower(struct overlay *ovl, uint32_t d) {
    struct dentry *dentry = at(ovl, d);
    if (is_dir_kind(dentry->upper))
        return;
    dentry->lower = KIND_NONE;
}

static int move_entry(struct overlay *ovl, uint32_t d, uint32_t parent, const char *name) {
    uint32_t moved;
    leave_lower(ovl, d);
    return index_move(&ovl->view->index, d, parent, name, strlen(name), &moved);
}

static int exchange_entries(const struct move *move) {
    struct overlay *ovl = move->ovl;
    uint32_t aside;
    int error = index_move(&ovl->view->index, move->source, move->from->parent, "/", 1, &aside);
    if (!error)
        error = move_entry(ovl, move->target, move->from->parent, move->from_name);
    return error ? error : move_entry(ovl, aside, move->to->parent, move->to_name);
}

static int replace_entry(const struct move *move) {
    struct overlay *ovl = move->ovl;
    uint32_t from_parent = move->from->parent;
    index_drop(&ovl->view->index, move->target);
    int error = move_entry(ovl, move->source, move->to->parent, move->to_name);
    if (error || !move->whiteout)
        return error;
    uint32_t old = index_add(&ovl->view->index, from_parent, move->from_name, strlen(move->from_name));
    if (!old)
        return -ENOMEM;
    at(ovl, old)->upper = KIND_WHITEOUT;
    at(ovl, old)->lower = KIND_NONE;
    return 0;
}

/* ---- */

static int prepare(struct move *move) {
    struct overlay *ovl = move->ovl;
    bool exchange = move->flags & RENAME_EXCHANGE;
    int error = copy_up(ovl, move->source, KEEP_NONE_YET);
    if (!error)
        error = exchange ? copy_up(ovl, move->target, KEEP_NONE_YET) : copy_up_dir(ovl, move->to->parent);
    if (error)
        return error;
    error = upper_dir_open(ovl, move->from->parent, &move->from_dir);
    if (!error)
        error = upper_dir_open(ovl, move->to->parent, &move->to_dir);
    if (!error)
        error = ready_object(move, move->source, move->target);
    if (!error && exchange)
        error = ready_object(move, move->target, move->source);
    int whiteout = error || exchange ? 0 : remove_needs_whiteout(ovl, move->source);
    if (whiteout < 0)
        error = whiteout;
    move->whiteout = whiteout > 0;
    index_name(&ovl->view->index, move->source, move->from_name);
    index_name(&ovl->view->index, move->target, move->to_name);
    touch_going(ovl, move->source);
    odd_put(ovl, move->target, move->source);
    if (exchange && !error)
        odd_put(ovl, move->source, move->target);
    return error;
}

static int carry_out(struct move *move) {
    struct overlay *ovl = move->ovl;
    int error = prepare(move);
    if (error)
        return error;
    struct last_look look;
    error = remove_look(ovl, move->target, &look);
    if (!error && !(move->flags & RENAME_EXCHANGE))
        base_keep(ovl, move->target);
    if (!error && S_ISDIR(move->to->type) && !(move->flags & RENAME_EXCHANGE))
        gone_note(ovl, move->target);
    if (!error)
        error = rename_upper(move);
    if (error)
        return error;
    if (!(move->flags & RENAME_EXCHANGE))
        remove_forget(ovl, &look);
    if (S_ISDIR(move->from->type) || S_ISDIR(move->to->type)) {
        ovl->view->generation++;
        gone_moved(ovl->view, move->from->path, move->to->path, move->flags & RENAME_EXCHANGE);
    }
    ovl->view->stats.whiteouts += move->whiteout;
    readdir_changed(ovl, move->from->parent);
    readdir_changed(ovl, move->to->parent);
    return move->flags & RENAME_EXCHANGE ? exchange_entries(move) : replace_entry(move);
}

int view_rename(pto_view *view, const struct location *from, const struct location *to, unsigned flags,
                const struct cred *cred) {
    int error = check_paths(from, to, flags);
    if (error)
        return error;
    __attribute__((cleanup(move_close))) struct move move = {.ovl = from->overlay,
                                                             .from = from,
                                                             .to = to,
                                                             .flags = flags & RENAME_EXCHANGE,
                                                             .from_dir = {.fd = -1},
                                                             .to_dir = {.fd = -1}};
    error = check_types(&move);
    if (error)
        return error;
    if (same_object(&move))
        return 0;
    error = check_permission(&move, cred);
    if (error)
        return error;
    if ((S_ISDIR(from->type) && holds_place(view, from)) || (S_ISDIR(to->type) && holds_place(view, to)))
        return -EBUSY;
    if (flags & RENAME_WHITEOUT)   /* an overlay shows no whiteouts: ovl_rename() refuses them last of all */
        return -EINVAL;
    if (cannot_move(&move))
        return -EXDEV;
    if (S_ISDIR(to->type) && !(flags & RENAME_EXCHANGE))
        error = readdir_is_empty(to->overlay, to->dentry);
    if (!error)
        error = entry_locate(to, &move.target);
    if (error)
        return error;
    move.source = from->dentry;
    return carry_out(&move);
}
