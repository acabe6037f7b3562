/* namei.c - from a path to an object of the view, and from a real path back to one.
 *
 * Rules: a path is resolved one component at a time in the merged view, so that a symlink of any layer leads to
 * where the view has its target; `pass` may stay true only while the kernel, given the same path, would
 * take the same steps and be allowed the same searches.  path_resolution(7).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../layers/layers.h"
#include "../upper/upper.h"
#include "walk.h"

#define LINKS_MAX 40u   /* MAXSYMLINKS of include/linux/namei.h */

struct walk {
    pto_view *view;
    const struct walker *walker;
    struct location *loc;    /* path and length are where the walk is */
    struct overlay *ovl;     /* NULL: on the host, or hidden */
    uint32_t d;              /* ovl not NULL: the directory */
    mode_t type;             /* of where we are */
    bool pass;
    bool hidden;
    bool left;               /* the overlays, if only for a while */
    unsigned links;
    char *rest;              /* what is still to be walked, in buffer */
    char buffer[2 * PATH_MAX];
};

/* ---- where we are ---- */

static int path_append(const struct walk *walk, const char *name, size_t length) {
    struct location *loc = walk->loc;
    if (loc->length + 1 + length >= (walk->walker->any_length ? VIEW_PATH_MAX : PATH_MAX))
        return -ENAMETOOLONG;
    if (loc->length > 1)
        loc->path[loc->length++] = '/';
    memcpy(loc->path + loc->length, name, length);
    loc->length += length;
    loc->path[loc->length] = '\0';
    return 0;
}

static void path_parent(struct location *loc) {
    while (loc->length > 1 && loc->path[loc->length - 1] != '/')
        loc->length--;
    if (loc->length > 1)
        loc->length--;
    loc->path[loc->length] = '\0';
}

/* The path as a place holds it: "" for "/". */
static size_t place_size(const struct location *loc) {
    return loc->length == 1 ? 0 : loc->length;
}

/* True when the kernel, walking the lowers' own place, finds this directory too. */
static bool at_own_place(const struct overlay *ovl, uint32_t d) {
    const struct dentry *dentry = at(ovl, d);
    if (!ovl->own || !is_dir_kind(dentry->lower))
        return false;
    if (d == ovl->root)
        return true;
    if (!dentry->stack)
        return dentry->layer == ovl->own;
    const struct lower_stack *stack = arena_at(&ovl->view->index.arena, dentry->stack);
    for (uint32_t i = 0; i < stack->count; i++)
        if (stack->dirs[i].layer == ovl->own)
            return stack->dirs[i].path == 0;
    return false;
}

/* Whether the kernel may be left to look at this very object: nothing above it, topmost in its own place. */
static bool object_pass(const struct overlay *ovl, uint32_t d) {
    const struct dentry *dentry = at(ovl, d);
    if (dentry->upper != KIND_NONE || !ovl->own)
        return false;
    if (dentry->lower == KIND_NONE)
        return true;
    if ((dentry->flags & D_LINKED) && ovl->n_shared)
        return false;   /* its number of links may show otherwise */
    if (dentry->lower == KIND_WHITEOUT || dentry->lower == KIND_UNKNOWN || dentry->layer != ovl->own)
        return false;
    return !is_dir_kind(dentry->lower) || at_own_place(ovl, d);
}

static int host_type(struct walk *walk) {
    struct stat st;
    walk->left = true;
    if (lstat(walk->loc->path, &st) < 0) {
        walk->type = 0;
        return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
    }
    walk->type = st.st_mode & S_IFMT;
    return 0;
}

/* Leaves the buffer as it is: clearing it would cost more than the walk. */
static void walk_init(struct walk *walk, pto_view *view, struct location *loc) {
    walk->view = view;
    walk->walker = NULL;
    walk->loc = loc;
    walk->ovl = NULL;
    walk->d = 0;
    walk->type = S_IFDIR;
    walk->pass = walk->hidden = walk->left = false;
    walk->links = 0;
    walk->rest = walk->buffer;
    walk->buffer[0] = '\0';
}

static int enter(struct walk *walk, const char *path);

/* A direct place of a view within another one is what it is there. */
static int enter_outer(struct walk *walk) {
    struct location loc;
    struct walk outer;
    walk_init(&outer, walk->view->outer, &loc);
    outer.walker = walk->walker;
    outer.pass = walk->pass;
    int error = enter(&outer, walk->loc->path);
    walk->ovl = outer.ovl;
    walk->d = outer.d;
    walk->type = outer.type;
    walk->pass = outer.pass;
    walk->left = true;
    walk->hidden = outer.hidden;
    return error;
}

/* Takes the place that loc->path is; walks on from it need no look at what is above. */
static int enter_place(struct walk *walk, const struct place *place) {
    walk->hidden = place->kind == PTO_HIDDEN;
    walk->ovl = place->overlay;
    if (walk->hidden) {
        walk->pass = false;
        walk->type = 0;
        return 0;
    }
    if (!place->overlay)
        return walk->view->outer ? enter_outer(walk) : host_type(walk);
    walk->d = place->overlay->root;
    walk->type = S_IFDIR;
    if (!at_own_place(walk->ovl, walk->d))
        walk->pass = false;
    return 0;
}

/* ---- permission to search ---- */

/* Whether something lies above the directory that the kernel, walking the lowers' own place, finds and asks. */
static bool is_above_own(const struct overlay *ovl, uint32_t d) {
    const struct dentry *dentry = at(ovl, d);
    unsigned top = d == ovl->root ? 1 : dentry->layer;
    return is_merged(dentry) ||
           (ovl->own && dentry->upper == KIND_NONE && is_dir_kind(dentry->lower) && top < ovl->own);
}

/* That directory's attributes. */
static int own_statx(const struct overlay *ovl, uint32_t d, struct statx *stx) {
    char path[VIEW_PATH_MAX];
    if (!ovl->own || !at_own_place(ovl, d))
        return lower_statx(ovl, d, stx);
    int length = path_in_upper(ovl, d, path);
    return length < 0 ? length : fd_statx(ovl->layers[ovl->own].fd, path, 0, stx);
}

/* Finds out once what a directory's mode means for all callers. */
static int learn_search(struct overlay *ovl, uint32_t d) {
    struct statx upper, lower;
    int error = inode_owner(ovl, d, &upper);
    if (error)
        return error;
    unsigned flags = D_SEARCH_KNOWN;
    if ((upper.stx_mode & 0111) == 0111 && !acl_present(ovl, d))
        flags |= D_SEARCH_ALL;
    if (is_above_own(ovl, d) && own_statx(ovl, d, &lower) == 0) {
        bool same = lower.stx_uid == upper.stx_uid && lower.stx_gid == upper.stx_gid;
        if (((flags & D_SEARCH_ALL) && (lower.stx_mode & 0111) == 0111) || (same && lower.stx_mode == upper.stx_mode))
            flags |= D_SAME_SEARCH;
    }
    at(ovl, d)->flags |= (uint16_t)flags;
    return 0;
}

/* May the caller look up names in the directory where the walk is?  What only a lower has and the supervisor may
 * search needs no question when the caller is allowed the same: the kernel asked it when the names were looked up. */
static int may_search(struct walk *walk) {
    struct overlay *ovl = walk->ovl;
    const struct cred *cred = walk->walker->cred;
    if (!ovl)
        return 0;   /* the kernel asks when the call is carried out there */
    const struct dentry *dentry = at(ovl, walk->d);
    bool above = is_above_own(ovl, walk->d);
    if (dentry->upper == KIND_NONE && cred->own && !above)
        return 0;
    if (!(dentry->flags & D_SEARCH_KNOWN)) {
        int error = learn_search(ovl, walk->d);
        if (error)
            return error;
    }
    if (above && !(dentry->flags & D_SAME_SEARCH))
        walk->pass = false;
    if (dentry->flags & D_SEARCH_ALL)
        return 0;
    int error = permission(ovl, walk->d, cred, 1);
    if (error && (above || dentry->upper != KIND_NONE))
        walk->pass = false;   /* the kernel would ask the lower directory */
    return error;
}

/* ---- steps ---- */

static int step_host(struct walk *walk, const char *name, size_t length) {
    if (walk->type != S_IFDIR)
        return walk->type ? -ENOTDIR : -ENOENT;
    int error = path_append(walk, name, length);
    if (error)
        return error;
    const struct place *place = place_at(walk->view, walk->loc->path, place_size(walk->loc));
    return place ? enter_place(walk, place) : host_type(walk);
}

static int step_overlay(struct walk *walk, const char *name, size_t length, bool checked) {
    struct overlay *ovl = walk->ovl;
    if (walk->type != S_IFDIR)
        return walk->type ? -ENOTDIR : -ENOENT;
    int error = checked ? may_search(walk) : 0;
    if (!error)
        error = path_append(walk, name, length);
    if (error)
        return error;
    const struct place *place = place_at(walk->view, walk->loc->path, place_size(walk->loc));
    if (place)
        return enter_place(walk, place);
    uint32_t child;
    error = entry_lookup(ovl, walk->d, name, length, &child);
    if (error)
        return error;
    const struct dentry *dentry = at(ovl, child);
    walk->type = kind_type(shown_kind(dentry));
    bool directory = walk->type == S_IFDIR;
    walk->loc->parent = walk->d;
    walk->d = child;
    if (walk->pass && !(directory ? at_own_place(ovl, child) && !(dentry->flags & D_OPAQUE) : object_pass(ovl, child)))
        walk->pass = false;
    return 0;
}

static int step(struct walk *walk, const char *name, size_t length, bool checked) {
    if (walk->hidden)
        return -ENOENT;
    return walk->ovl ? step_overlay(walk, name, length, checked) : step_host(walk, name, length);
}

/* Goes to a canonical path of the view without asking for permission on the way. */
static int enter(struct walk *walk, const char *path) {
    struct location *loc = walk->loc;
    loc->length = 1;
    strcpy(loc->path, "/");
    walk->ovl = NULL;
    walk->hidden = false;
    walk->type = S_IFDIR;
    const struct place *root = place_at(walk->view, "", 0);
    int error = root ? enter_place(walk, root) : 0;
    while (!error && *path) {
        while (*path == '/')
            path++;
        size_t length = strcspn(path, "/");
        if (length)
            error = step(walk, path, length, false);
        path += length;
    }
    return error;
}

static int step_up(struct walk *walk) {
    struct location *loc = walk->loc;
    if (walk->type != S_IFDIR)
        return walk->type ? -ENOTDIR : -ENOENT;
    int error = may_search(walk);
    if (error || loc->length == 1)
        return error;
    bool at_place = walk->view->outer && place_at(walk->view, loc->path, place_size(loc));
    path_parent(loc);
    if (walk->ovl && walk->d != walk->ovl->root && !at_place) {
        walk->d = at(walk->ovl, walk->d)->parent;
        return 0;
    }
    char parent[VIEW_PATH_MAX];
    memcpy(parent, loc->path, loc->length + 1);
    return enter(walk, parent);
}

/* ---- symlinks ---- */

/* Puts what a link says before what is still to be walked. */
static int push(struct walk *walk, const char *target, size_t length) {
    size_t rest = strlen(walk->rest);
    if (length + 1 + rest >= sizeof walk->buffer)
        return -ENAMETOOLONG;
    memmove(walk->buffer + length + 1, walk->rest, rest + 1);
    walk->buffer[length] = '/';
    if (rest == 0)
        walk->buffer[length] = '\0';
    memcpy(walk->buffer, target, length);
    walk->rest = walk->buffer;
    return 0;
}

static int link_target(struct walk *walk, char *target, size_t *length) {
    ssize_t got = walk->ovl ? backing_readlink(walk->ovl, walk->d, target, PATH_MAX)
                            : readlink(walk->loc->path, target, PATH_MAX);
    if (got < 0)
        return walk->ovl ? (int)got : -errno;
    if (got >= PATH_MAX)
        return -ENAMETOOLONG;
    if (got == 0)
        return -ENOENT;
    target[got] = '\0';
    *length = (size_t)got;
    return 0;
}

static int host_owner(const char *path, size_t length, struct statx *stx) {
    char text[VIEW_PATH_MAX];
    memcpy(text, path, length);
    text[length] = '\0';
    return statx(AT_FDCWD, text, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS, stx) < 0 ? -errno : 0;
}

/* fs.protected_symlinks: who follows the link at the end of a path in a sticky directory that all may write is its
 * owner, or the owner of both is the same. */
static int may_follow(pto_view *view, struct overlay *ovl, uint32_t d, const struct location *loc,
                      const struct cred *cred) {
    struct statx link, directory;
    if (!view->protected_symlinks)
        return 0;
    int error = ovl ? inode_owner(ovl, d, &link) : host_owner(loc->path, loc->length, &link);
    if (error || link.stx_uid == cred->fsuid)
        return error;
    size_t parent = loc->length;
    while (parent > 1 && loc->path[parent - 1] != '/')
        parent--;
    error = ovl ? inode_owner(ovl, at(ovl, d)->parent, &directory) : host_owner(loc->path, parent, &directory);
    bool guarded = (directory.stx_mode & (S_ISVTX | S_IWOTH)) == (S_ISVTX | S_IWOTH);
    return !error && guarded && link.stx_uid != directory.stx_uid ? -EACCES : error;
}

int view_may_follow(pto_view *view, const struct location *loc, const struct cred *cred) {
    return may_follow(view, loc->overlay, loc->dentry, loc, cred);
}

static bool below_proc(const struct location *loc) {
    return loc->length > 6 && memcmp(loc->path, "/proc/", 6) == 0;
}

/* Follows the symlink where the walk is. 1: a magic link to an object without a path, the walk ends. */
static int follow(struct walk *walk) {
    char target[PATH_MAX];
    size_t length = 0;
    if (++walk->links > LINKS_MAX)
        return -ELOOP;
    if (!walk->ovl && walk->walker->magic && below_proc(walk->loc)) {
        int magic = walk->walker->magic(walk->walker->arg, walk->loc->path, target);
        if (magic < 0)
            return magic;
        if (magic == LEADS_TO_OBJECT)
            return 1;
        if (magic == LEADS_TO_PATH || magic == LEADS_ELSEWHERE) {
            int entered = enter(walk, target);
            if (magic == LEADS_ELSEWHERE)
                walk->pass = false;
            return entered;
        }
    }
    int error = link_target(walk, target, &length);
    if (!error)
        error = push(walk, target, length);
    if (error)
        return error;
    if (target[0] == '/')
        return enter(walk, "/");
    path_parent(walk->loc);
    if (walk->ovl)
        walk->d = at(walk->ovl, walk->d)->parent;
    walk->type = S_IFDIR;
    return 0;
}

/* ---- the walk ---- */

static enum last last_kind(const char *name, size_t length) {
    if (length == 1 && name[0] == '.')
        return LAST_DOT;
    return length == 2 && name[0] == '.' && name[1] == '.' ? LAST_DOTDOT : LAST_NORM;
}

static int walk_rest(struct walk *walk, unsigned flags) {
    struct location *loc = walk->loc;
    for (;;) {
        while (*walk->rest == '/')
            walk->rest++;
        if (!*walk->rest)
            return 0;
        const char *name = walk->rest;
        size_t length = strcspn(name, "/");
        walk->rest += length;
        bool last = walk->rest[strspn(walk->rest, "/")] == '\0';
        loc->last = last_kind(name, length);
        loc->slash = last && *walk->rest == '/';
        int error;
        if (loc->last == LAST_DOTDOT)
            error = step_up(walk);
        else if (loc->last == LAST_DOT)
            error = walk->type != S_IFDIR ? (walk->type ? -ENOTDIR : -ENOENT) : may_search(walk);
        else
            error = step(walk, name, length, true);
        if (error)
            return error;
        bool wanted = !last || (loc->slash ? !(flags & WALK_PARENT) : flags & WALK_FOLLOW);
        bool followed = walk->type == S_IFLNK && wanted;
        if (followed && last)
            error = may_follow(walk->view, walk->ovl, walk->d, loc, walk->walker->cred);
        if (!error && followed)
            error = follow(walk);
        if (error == 1) {
            loc->magic = true;
            return last ? 0 : -ENOTDIR;
        }
        if (error)
            return error;
        bool directory = walk->type == S_IFDIR || walk->type == 0;
        if (last && loc->slash && !followed && !(flags & WALK_PARENT) && !directory)
            return -ENOTDIR;
    }
}

void namei_fill(const pto_view *view, struct overlay *ovl, uint32_t parent, uint32_t d, struct location *loc) {
    const struct dentry *dentry = at(ovl, d);
    loc->overlay = ovl;
    loc->type = kind_type(shown_kind(dentry));
    loc->dentry = loc->type ? d : 0;
    loc->parent = parent;
    loc->upper = upper_exists(dentry);
    loc->read_only =
        !has_upper(ovl) || (ovl->flags & PTO_READ_ONLY) || place_read_only(view, loc->path, place_size(loc));
}

static void finish(struct walk *walk) {
    struct location *loc = walk->loc;
    loc->pass = walk->pass;
    loc->hidden = walk->hidden;
    loc->type = walk->type;
    if (walk->hidden || !walk->ovl) {
        loc->overlay = NULL;
        loc->read_only = place_read_only(walk->view, loc->path, place_size(loc));
        loc->fixed = place_fixed(walk->view, loc->path, place_size(loc));
        return;
    }
    uint32_t parent = walk->d == walk->ovl->root ? walk->d : at(walk->ovl, walk->d)->parent;
    namei_fill(walk->view, walk->ovl, parent, walk->d, loc);
    loc->pass = walk->pass && object_pass(walk->ovl, walk->d);
}

static void location_init(struct location *loc) {
    loc->overlay = NULL;
    loc->dentry = loc->parent = 0;
    loc->type = 0;
    loc->last = LAST_ROOT;
    loc->pass = loc->upper = loc->read_only = loc->fixed = loc->slash = loc->magic = loc->hidden = loc->detached =
        loc->way = loc->inside = false;
    loc->missing = 0;
    loc->length = 1;
    strcpy(loc->path, "/");
}

int view_walk(pto_view *view, const struct walker *walker, const char *start, const char *path, unsigned flags,
              struct location *loc) {
    HELD(&view->base->lock);
    location_init(loc);
    view->base->asked = 0;
    size_t length = strlen(path);
    if (length == 0)
        return -ENOENT;
    if (length >= PATH_MAX)
        return -ENAMETOOLONG;
    struct walk walk;
    walk_init(&walk, view, loc);
    walk.walker = walker;
    walk.pass = path[0] == '/' || (flags & WALK_START_PASS);
    memcpy(walk.buffer, path, length + 1);
    walk.rest = walk.buffer;
    int error = enter(&walk, path[0] == '/' ? "/" : start);
    if (!error)
        error = walk_rest(&walk, flags);
    loc->inside = !walk.left && walk.ovl;
    loc->way = walk.pass;
    loc->missing = loc->inside && walk.type == 0 ? at(walk.ovl, walk.d)->parent : 0;
    loc->changes = view_changes(view, loc->missing);
    if (loc->missing && !(flags & WALK_PARENT))
        at(walk.ovl, walk.d)->flags |= D_PASSED;
    if (error) {
        loc->pass = walk.pass && (!walk.ovl || object_pass(walk.ovl, walk.d) || walk.type == S_IFDIR);
        return error;
    }
    finish(&walk);
    return 0;
}
