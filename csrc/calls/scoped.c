/* scoped.c - path resolution with the RESOLVE_* flags of openat2(2).
 *
 * Rules: every component is one walk of the view that follows nothing, so that each symlink, each ".." and each
 * change of file system is seen here before it is taken.  openat2(2), fs/namei.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>

#include "../view/view.h"
#include "args.h"
#include "call.h"
#include "scoped.h"
#include "scratch.h"
#include "shown/magic.h"
#include "tasks/task.h"

#define LINKS_MAX 40            /* MAXSYMLINKS of include/linux/namei.h */
#define SCOPED (RESOLVE_BENEATH | RESOLVE_IN_ROOT)

struct scoped {
    struct call *call;
    uint64_t resolve;
    unsigned flags;
    struct location *loc;       /* where the walk is */
    unsigned links;
    bool pass;
    bool removed;               /* the directory where it begins, which has no location */
    uint32_t major, minor;      /* the file system, for RESOLVE_NO_XDEV … */
    const struct overlay *overlay; /* … which a view is, too */
    size_t root_length;
    char root[VIEW_PATH_MAX];   /* what the walk must not leave, with SCOPED */
    char rest[2 * PATH_MAX];    /* what is still to be walked */
};

static int device(struct scoped *scoped, uint32_t *major, uint32_t *minor) {
    struct statx stx;
    int error = view_getattr(scoped->call->view, scoped->loc, &stx);
    if (error < 0)
        return error;
    *major = stx.stx_dev_major;
    *minor = stx.stx_dev_minor;
    return 0;
}

static int begin_here(struct scoped *scoped) {
    scoped->overlay = scoped->loc->overlay;
    return device(scoped, &scoped->major, &scoped->minor);
}

static int same_file_system(struct scoped *scoped) {
    uint32_t major, minor;
    if (!(scoped->resolve & RESOLVE_NO_XDEV) || scoped->loc->type == 0)
        return 0;
    if (scoped->loc->overlay != scoped->overlay)
        return -EXDEV;
    int error = device(scoped, &major, &minor);
    if (error < 0)
        return error;
    return major == scoped->major && minor == scoped->minor ? 0 : -EXDEV;
}

/* Goes to the one component name, or to an absolute path, from where the walk is. */
static int go(struct scoped *scoped, const char *name) {
    char start[VIEW_PATH_MAX];
    memcpy(start, scoped->loc->path, scoped->loc->length + 1);
    unsigned flags = scoped->pass ? WALK_START_PASS : 0;
    int error = view_walk(scoped->call->view, &scoped->call->scratch->walker, start, name, flags, scoped->loc);
    if (!scoped->loc->pass || scoped->loc->hidden)
        scoped->pass = false;
    return error;
}

static bool at_root(const struct scoped *scoped) {
    return scoped->loc->length == scoped->root_length &&
           memcmp(scoped->loc->path, scoped->root, scoped->root_length) == 0;
}

static int go_to_root(struct scoped *scoped) {
    if (scoped->resolve & RESOLVE_BENEATH)
        return -EXDEV;
    int error = go(scoped, scoped->resolve & RESOLVE_IN_ROOT ? scoped->root : "/");
    return error < 0 ? error : same_file_system(scoped);
}

static int go_up(struct scoped *scoped) {
    if ((scoped->resolve & SCOPED) && at_root(scoped))
        return scoped->resolve & RESOLVE_BENEATH ? -EXDEV : 0;
    int error = go(scoped, "..");
    return error < 0 ? error : same_file_system(scoped);
}

static int push_target(struct scoped *scoped, const char *target) {
    size_t length = strlen(target), rest = strlen(scoped->rest);
    if (length + rest + 2 > sizeof scoped->rest)
        return -ENAMETOOLONG;
    memmove(scoped->rest + length + 1, scoped->rest, rest + 1);
    memcpy(scoped->rest, target, length);
    scoped->rest[length] = '/';
    if (rest == 0)
        scoped->rest[length] = '\0';
    return 0;
}

static int follow_magic(struct scoped *scoped, const char *target) {
    if (scoped->resolve & RESOLVE_NO_MAGICLINKS)
        return -ELOOP;
    if (scoped->resolve & SCOPED)
        return -EXDEV;
    int error = go(scoped, target);
    return error < 0 ? error : same_file_system(scoped);
}

/* Follows the symlink where the walk is.  1: it is an object without a path, and the end. */
static int follow_link(struct scoped *scoped, const char *parent) {
    struct call *call = scoped->call;
    char target[VIEW_PATH_MAX];
    if ((scoped->resolve & RESOLVE_NO_SYMLINKS) || ++scoped->links > LINKS_MAX)
        return -ELOOP;
    int magic = scoped->loc->overlay ? 0 : magic_link(call, scoped->loc->path, target);
    if (magic < 0)
        return magic;
    if (magic == LEADS_ELSEWHERE)
        scoped->pass = false;
    if (magic > LEADS_BY_TEXT && strcmp(scoped->loc->path, "/proc/self") != 0 &&
        strcmp(scoped->loc->path, "/proc/thread-self") != 0) {
        scoped->loc->magic = magic == LEADS_TO_OBJECT;
        return magic == LEADS_TO_OBJECT ? (scoped->resolve & (SCOPED | RESOLVE_NO_MAGICLINKS) ? -ELOOP : 1)
                                        : follow_magic(scoped, target);
    }
    if (magic == LEADS_TO_PATH)   /* these two are ordinary links with a relative text */
        memmove(target, target + sizeof "/proc", strlen(target + sizeof "/proc") + 1);
    int length = magic ? (int)strlen(target) : view_readlink(call->view, scoped->loc, target, PATH_MAX - 1);
    if (length < 0)
        return length;
    target[length] = '\0';
    int error = push_target(scoped, target);
    if (error < 0)
        return error;
    return target[0] == '/' ? go_to_root(scoped) : go(scoped, parent);
}

/* One component, which name is.  1: the walk ends here. */
static int walk_component(struct scoped *scoped, const char *name, bool last, bool slash) {
    char parent[VIEW_PATH_MAX];
    memcpy(parent, scoped->loc->path, scoped->loc->length + 1);
    if (strcmp(name, "..") == 0)
        return go_up(scoped);
    int error = go(scoped, name);
    if (error < 0)
        return error;
    bool wanted = !last || (slash ? !(scoped->flags & WALK_PARENT) : scoped->flags & WALK_FOLLOW);
    if (scoped->loc->type == S_IFLNK && wanted) {
        error = last ? view_may_follow(scoped->call->view, scoped->loc, &scoped->call->task->cred) : 0;
        return error < 0 ? error : follow_link(scoped, parent);
    }
    error = same_file_system(scoped);
    if (error == 0 && slash && scoped->loc->type != S_IFDIR && scoped->loc->type != 0 && !(scoped->flags & WALK_PARENT))
        return -ENOTDIR;
    scoped->loc->slash = slash;
    return error;
}

static int walk_components(struct scoped *scoped) {
    char name[NAME_MAX + 2];
    for (;;) {
        char *at = scoped->rest + strspn(scoped->rest, "/");
        size_t length = strcspn(at, "/");
        if (length == 0)
            return 0;
        if (length > NAME_MAX)
            return -ENAMETOOLONG;
        memcpy(name, at, length);
        name[length] = '\0';
        bool slash = at[length] == '/';
        bool last = at[length + strspn(at + length, "/")] == '\0';
        memmove(scoped->rest, at + length, strlen(at + length) + 1);
        if (last)
            scoped->rest[0] = '\0';
        int error = walk_component(scoped, name, last, last && slash);
        if (error == 1)
            return scoped->rest[0] ? -ENOTDIR : 0;
        if (error < 0)
            return error;
    }
}

/* The directory where the walk begins, which is what it must not leave.  Walks into the scratch's first location. */
static int find_scope(struct scoped *scoped) {
    struct target target;
    struct call *call = scoped->call;
    struct given *first = &call->scratch->given[0];
    memcpy(scoped->rest, first->path, first->length + 1);
    if (first->absolute && (scoped->resolve & RESOLVE_BENEATH))
        return -EXDEV;
    /* "." of the directory: what an absolute path is taken from too, in a scope of its own. */
    bool relative = !first->absolute || (scoped->resolve & RESOLVE_IN_ROOT);
    strcpy(first->path, relative ? "." : "/");
    first->length = 1;
    first->absolute = !relative;
    int error = args_walk(call, 0, 0, &target);
    scoped->pass = target.pass;
    scoped->removed = target.by_fd;
    if (error < 0 || target.by_fd)
        return error;
    scoped->root_length = scoped->loc->length;
    memcpy(scoped->root, scoped->loc->path, scoped->loc->length + 1);
    return begin_here(scoped);
}

/* In a removed directory there are "." and "..", and no name.  1: it stays there; 0: the walk goes on above. */
static int leave_removed(struct scoped *scoped) {
    struct target target;
    struct given *first = &scoped->call->scratch->given[0];
    const char *at = scoped->rest;
    for (;;) {
        at += strspn(at, "/");
        size_t length = strcspn(at, "/");
        bool up = length == 2 && memcmp(at, "..", 2) == 0;
        if (length == 0)
            return SCOPED_REMOVED;
        if (!up && !(length == 1 && *at == '.'))
            return -ENOENT;
        if (up && scoped->resolve & RESOLVE_BENEATH)
            return -EXDEV;
        at += length;
        if (up && !(scoped->resolve & RESOLVE_IN_ROOT))
            break;
    }
    memmove(scoped->rest, at, strlen(at) + 1);
    strcpy(first->path, "..");
    first->by_fd = false;
    int error = args_walk(scoped->call, 0, 0, &target);
    scoped->pass = target.pass;
    return error < 0 ? error : begin_here(scoped);
}

int scoped_walk(struct call *call, uint64_t resolve, unsigned flags) {
    ENTERED(call);
    struct location *loc = &call->scratch->loc[0];
    struct scoped scoped = {.call = call, .resolve = resolve, .flags = flags, .loc = loc};
    int error = find_scope(&scoped);
    if (error == 0 && scoped.removed)
        error = leave_removed(&scoped);
    if (error == 0)
        error = walk_components(&scoped);
    if (error <= 0)
        call->trace_path = loc->path;
    return error;
}
