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
    const struct place *bind; /* … at another path of the host, NULL: at loc->path */
    uint32_t d;              /* ovl not NULL: the directory */
    mode_t type;             /* of where we are */
    bool pass;
    bool executes;           /* WALK_EXECUTES */
    bool hidden;
    bool strayed;            /* on the host it went elsewhere than straight down to a place, see view.h */
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

/* Whether the kernel finds this very object: nothing above it, topmost in its own place. */
static bool object_found(const struct overlay *ovl, uint32_t d) {
    const struct dentry *dentry = at(ovl, d);
    if (dentry->upper != KIND_NONE || !ovl->own)
        return false;
    if (dentry->lower == KIND_NONE)
        return true;
    if (dentry->lower == KIND_WHITEOUT || dentry->lower == KIND_UNKNOWN || dentry->layer != ovl->own)
        return false;
    return !is_dir_kind(dentry->lower) || at_own_place(ovl, d);
}

/* Whether the kernel may be left to look at it, too: else its number of links may show otherwise. */
static bool object_pass(const struct walk *walk, const struct overlay *ovl, uint32_t d) {
    bool links = (at(ovl, d)->flags & D_LINKED) && ovl->n_shared && !walk->executes;
    return !links && object_found(ovl, d);
}

/* The host's path of where we are, which is its own or in text[VIEW_PATH_MAX]; NULL: it is too long. */
static const char *host_path(const struct walk *walk, char *text) {
    const struct location *loc = walk->loc;
    if (!walk->bind)
        return loc->path;
    return place_source(walk->bind, loc->path, loc->length, text) < 0 ? NULL : text;
}

static int host_type(struct walk *walk) {
    struct stat st;
    char text[VIEW_PATH_MAX];
    const char *path = host_path(walk, text);
    if (!path)
        return -ENAMETOOLONG;
    if (fd_lstat(AT_FDCWD, path, &st) < 0) {
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
    walk->bind = NULL;
    walk->d = 0;
    walk->type = S_IFDIR;
    walk->pass = walk->hidden = walk->strayed = false;
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
    walk->strayed = true;
    walk->hidden = outer.hidden;
    return error;
}

/* What an overlay's place shows that is not the top of it. */
static int enter_source(struct walk *walk, const struct place *place) {
    struct overlay *ovl = place->overlay;
    walk->d = ovl->root;
    int error = walk_descend(ovl, &walk->d, place->source + ovl->mount_length);
    const struct dentry *dentry = at(ovl, walk->d);
    bool directory = is_dir_kind(shown_kind(dentry)), same = strcmp(place->path, place->source) == 0;
    walk->type = error ? 0 : kind_type(shown_kind(dentry));
    walk->loc->parent = walk->d == ovl->root ? walk->d : dentry->parent;
    if (!same ||
        !(directory ? at_own_place(ovl, walk->d) && !(dentry->flags & D_OPAQUE) : object_pass(walk, ovl, walk->d)))
        walk->pass = false;
    return error;
}

/* Takes the place that loc->path is; walks on from it need no look at what is above. */
static int enter_place(struct walk *walk, const struct place *place) {
    walk->hidden = place->kind == PTO_HIDDEN;
    walk->ovl = place->overlay;
    walk->bind = place->source && !place->overlay ? place : NULL;
    if (walk->bind)
        walk->pass = false;
    if (walk->hidden) {
        walk->pass = false;
        walk->type = 0;
        return 0;
    }
    if (!place->overlay)
        return walk->view->outer && !walk->bind ? enter_outer(walk) : host_type(walk);
    if (place->source)
        return enter_source(walk, place);
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
    if (error) {
        walk->pass = false;   /* what the layers say of a name the kernel would not find */
        return error;
    }
    const struct dentry *dentry = at(ovl, child);
    walk->type = kind_type(shown_kind(dentry));
    bool directory = walk->type == S_IFDIR;
    walk->loc->parent = walk->d;
    walk->d = child;
    if (walk->pass &&
        !(directory ? at_own_place(ovl, child) && !(dentry->flags & D_OPAQUE) : object_pass(walk, ovl, child)))
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
    walk->bind = NULL;
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

static const char *root_of(const struct walker *walker) {
    return walker->root ? walker->root : "/";
}

static bool at_root(const struct walk *walk) {
    return walk->walker->root && strcmp(walk->loc->path, walk->walker->root) == 0;
}

static int step_up(struct walk *walk) {
    struct location *loc = walk->loc;
    if (walk->type != S_IFDIR)
        return walk->type ? -ENOTDIR : -ENOENT;
    int error = may_search(walk);
    if (error || loc->length == 1 || at_root(walk))
        return error;
    walk->strayed = walk->strayed || !walk->ovl;
    bool at_place = walk->view->outer && place_at(walk->view, loc->path, place_size(loc));
    path_parent(loc);
    if (walk->ovl && walk->d != walk->ovl->root && !at_place) {
        walk->d = at(walk->ovl, walk->d)->parent;
        return 0;
    }
    walk->strayed = true;
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
    char text[VIEW_PATH_MAX];
    const char *path = walk->ovl ? NULL : host_path(walk, text);
    if (!walk->ovl && !path)
        return -ENAMETOOLONG;
    ssize_t got = walk->ovl ? backing_readlink(walk->ovl, walk->d, target, PATH_MAX)
                            : fd_readlink(AT_FDCWD, path, target, PATH_MAX);
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

static int may_follow_last(struct walk *walk) {
    char text[VIEW_PATH_MAX];
    const char *path = host_path(walk, text);
    return path ? walk_may_follow(walk->view, walk->ovl, walk->d, path, walk->walker->cred) : -ENAMETOOLONG;
}

/* /proc/self and /proc/thread-self lead to their neighbours, wherever the place is. */
static int follow_self(struct walk *walk, const char *link, const char *target) {
    char text[VIEW_PATH_MAX];
    const struct place *bind = walk->bind;
    size_t from = bind->source_length;
    if (strncmp(target, bind->source, from) != 0 || strcmp(link, target) == 0 ||
        path_exchange_front(target, strlen(target), from, bind->path, bind->length, text) < 0)
        return -ENOENT;
    return enter(walk, text);
}

static bool is_self(const char *link) {
    return strcmp(link, "/proc/self") == 0 || strcmp(link, "/proc/thread-self") == 0;
}

/* The host's path of a link below /proc, as host_path(); NULL: it is none. */
static const char *link_of_proc(const struct walk *walk, char *text) {
    const char *path = walk->ovl || !walk->walker->magic ? NULL : host_path(walk, text);
    return path && strncmp(path, "/proc/", 6) == 0 ? path : NULL;
}

static void tell_followed(const struct walk *walk) {
    struct location *loc = walk->loc;
    loc->overlay = walk->ovl;
    loc->type = S_IFLNK;
    loc->upper = walk->ovl && upper_exists(at(walk->ovl, walk->d));
    walk->walker->followed(walk->walker->arg, loc);
}

/* Follows the symlink where the walk is. 1: a magic link to an object without a path, the walk ends. */
static int follow(struct walk *walk) {
    char target[VIEW_PATH_MAX], text[VIEW_PATH_MAX];
    size_t length = 0;
    if (++walk->links > LINKS_MAX)
        return -ELOOP;
    walk->strayed = walk->strayed || !walk->ovl;
    const char *link = link_of_proc(walk, text);
    if (link) {
        int magic = walk->walker->magic(walk->walker->arg, link, target);
        if (magic < 0)
            return magic;
        if (magic == LEADS_TO_OBJECT)
            return 1;
        if (magic == LEADS_TO_PATH || magic == LEADS_ELSEWHERE) {
            int entered = walk->bind && is_self(link) ? follow_self(walk, link, target) : enter(walk, target);
            if (magic == LEADS_ELSEWHERE)
                walk->pass = false;
            return entered;
        }
    }
    if (walk->walker->followed)
        tell_followed(walk);
    int error = link_target(walk, target, &length);
    if (!error)
        error = push(walk, target, length);
    if (error)
        return error;
    if (target[0] == '/')
        return enter(walk, root_of(walk->walker));
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

/* The walk is to go on below a magic link to an object without a path: a removed directory has nothing in it. */
static int below_object(const char *link) {
    struct stat st;
    return stat(link, &st) == 0 && S_ISDIR(st.st_mode) ? -ENOENT : -ENOTDIR;
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
            error = may_follow_last(walk);
        if (!error && followed)
            error = follow(walk);
        if (error == 1) {
            loc->magic = true;
            return last ? 0 : below_object(loc->path);
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

/* On the host by another path: that is what is told, and nothing of it is passed. */
static int finish_bound(struct walk *walk) {
    char text[VIEW_PATH_MAX];
    struct location *loc = walk->loc;
    const char *path = host_path(walk, text);
    if (!path)
        return -ENAMETOOLONG;
    loc->length = strlen(path);
    memcpy(loc->path, path, loc->length + 1);
    loc->bound = true;
    loc->bind = walk->bind;
    return 0;
}

static int finish(struct walk *walk) {
    struct location *loc = walk->loc;
    loc->pass = walk->pass;
    loc->hidden = walk->hidden;
    loc->type = walk->type;
    if (walk->hidden || !walk->ovl) {
        loc->overlay = NULL;
        loc->read_only = place_read_only(walk->view, loc->path, place_size(loc));
        loc->fixed = place_fixed(walk->view, loc->path, place_size(loc));
        return walk->bind && !walk->hidden ? finish_bound(walk) : 0;
    }
    uint32_t parent = walk->d == walk->ovl->root ? walk->d : at(walk->ovl, walk->d)->parent;
    namei_fill(walk->view, walk->ovl, parent, walk->d, loc);
    loc->pass = walk->pass && object_pass(walk, walk->ovl, walk->d);
    return 0;
}

static void location_init(struct location *loc) {
    loc->overlay = NULL;
    loc->dentry = loc->parent = 0;
    loc->type = 0;
    loc->last = LAST_ROOT;
    loc->pass = loc->upper = loc->read_only = loc->fixed = loc->slash = loc->magic = loc->hidden = loc->detached =
        loc->aside = loc->way = loc->inside = loc->bound = false;
    loc->missing = 0;
    loc->bind = NULL;
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
    walk.executes = flags & WALK_EXECUTES;
    walk.pass = !walker->root && (path[0] == '/' || (flags & WALK_START_PASS));
    memcpy(walk.buffer, path, length + 1);
    walk.rest = walk.buffer;
    int error = enter(&walk, path[0] == '/' ? root_of(walker) : start);
    if (!error)
        error = walk_rest(&walk, flags);
    loc->inside = !walk.strayed && walk.ovl;
    loc->way = walk.pass;
    loc->missing = loc->inside && walk.type == 0 ? at(walk.ovl, walk.d)->parent : 0;
    loc->changes = view_changes(view, loc->missing);
    if (loc->missing && !(flags & WALK_PARENT))
        at(walk.ovl, walk.d)->flags |= D_PASSED;
    if (error) {
        loc->pass = walk.pass && (!walk.ovl || object_pass(&walk, walk.ovl, walk.d) || walk.type == S_IFDIR);
        return error;
    }
    return finish(&walk);
}
