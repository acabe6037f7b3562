/* args.c - from the arguments of a call to a location in the view.
 *
 * Rules: descriptors are 32 bits wide, whatever the register holds above; an absolute path makes its descriptor
 * meaningless; an empty path is ENOENT unless AT_EMPTY_PATH says otherwise.  path_resolution(7), fs/namei.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../process/descriptor.h"
#include "../process/memory.h"
#include "../process/object.h"
#include "../view/view.h"
#include "args.h"
#include "call.h"
#include "flags.h"
#include "inputs.h"
#include "scratch.h"
#include "session.h"
#include "shown/magic.h"
#include "table.h"
#include "tasks/cwd.h"
#include "tasks/place.h"
#include "tasks/task.h"
#include "verdict.h"

unsigned args_after(const struct call *call) {
    const struct operand *operand = &call->row->operand[0];
    return (unsigned)(operand->path != NO_ARG ? operand->path : operand->dirfd) + 1;
}

static unsigned at_flags(const struct call *call) {
    return call->row->at_flags == NO_ARG ? 0 : (unsigned)call->arg[call->row->at_flags];
}

int args_walk_flags(const struct call *call, unsigned *flags) {
    unsigned at = at_flags(call);
    if (at & ~call->row->at_allowed)
        return -EINVAL;
    *flags = call->row->walk;
    if (at & call->row->at_allowed & AT_SYMLINK_NOFOLLOW)
        *flags &= ~WALK_FOLLOW;
    if (at & call->row->at_allowed & AT_SYMLINK_FOLLOW)
        *flags |= WALK_FOLLOW;
    return 0;
}

static void given_link(const struct call *call, int fd, char link[PROC_LINK]) {
    if (fd == AT_FDCWD)
        cwd_link(call->session, call->task->tid, link);
    else
        descriptor_link(call->task->tid, fd, link);
}

/* The current directory is looked up later, in the view: it may be known. */
int args_fetch_directory(struct call *call, unsigned i) {
    struct given *given = &call->scratch->given[i];
    int8_t dirfd = call->row->operand[i].dirfd;
    int fd = dirfd == NO_ARG ? AT_FDCWD : (int)call->arg[dirfd];
    char link[PROC_LINK];
    given->fd = fd;
    if (fd == AT_FDCWD && !given->by_fd)
        return 0;
    if (fd < 0 && fd != AT_FDCWD)
        return -EBADF;
    given_link(call, fd, link);
    given->kind = place_read(link, given->real);
    if (given->kind == -ENOENT)
        return fd == AT_FDCWD ? -ENOENT : -EBADF;
    return given->kind < 0 ? given->kind : 0;
}

/* No path at all, so that the call is about its descriptor. */
static bool path_absent(const struct call *call, const struct operand *operand) {
    return operand->path == NO_ARG || (call->row->null_path == NULL_IS_DESCRIPTOR && call->arg[operand->path] == 0 &&
                                       (int)call->arg[operand->dirfd] != AT_FDCWD);
}

/* 1: an empty path that means the descriptor itself; 0; -errno. */
static int fetch_path(struct call *call, struct given *given, const struct operand *operand) {
    /* linkat has one flags argument, and it is about the first operand. */
    bool empty_ok = operand == &call->row->operand[0] && ((at_flags(call) & call->row->at_allowed & AT_EMPTY_PATH) ||
                                                          call->row->null_path == EMPTY_IS_DESCRIPTOR);
    uint64_t address = call->arg[operand->path];
    if (address == 0 && empty_ok && call->row->null_path == NULL_IS_EMPTY)
        return 1;
    ssize_t length = memory_read_string(&call->memory, address, given->path, sizeof given->path);
    if (length < 0)
        return (int)length;
    given->length = (size_t)length;
    if (length > 0)
        return 0;
    return empty_ok ? 1 : -ENOENT;
}

int args_fetch(struct call *call, unsigned i) {
    const struct operand *operand = &call->row->operand[i];
    struct given *given = &call->scratch->given[i];
    if (!task_cred(call))
        return -EPERM;
    given->bare = path_absent(call, operand);
    int error = given->bare ? 1 : fetch_path(call, given, operand);
    if (error < 0)
        return error;
    given->by_fd = error;
    given->kind = OBJECT_NAMED;
    given->absolute = !given->by_fd && given->path[0] == '/';
    return given->absolute ? 0 : args_fetch_directory(call, i);
}

/* A known current directory stays right until a task of the run changes one, or a directory moves. */
static bool directory_known(const struct call *call) {
    const struct task *task = call->task;
    return task->cwd && task->cwd_view == view_generation(call->view) &&
           task->cwd_generation == __atomic_load_n(&call->session->cwd_generation, __ATOMIC_SEQ_CST) &&
           __atomic_load_n(&call->session->cwd_pending, __ATOMIC_SEQ_CST) == 0;
}

static void remember_directory(struct call *call, uint64_t generation, const struct location *loc) {
    struct task *task = call->task;
    task->cwd_generation = 0;
    if (!loc->overlay)   /* the host's directories move without our knowledge */
        return;
    if (!task->cwd)
        task->cwd = malloc(VIEW_PATH_MAX);
    if (!task->cwd)
        return;
    memcpy(task->cwd, loc->path, loc->length + 1);
    task->cwd_pass = loc->way;
    task->cwd_view = view_generation(call->view);
    task->cwd_generation = generation;
}

int args_current_directory(struct call *call, const char **path, bool *pass) {
    ENTERED(call);
    struct location *start = &call->scratch->start;
    char link[PROC_LINK];
    *pass = false;
    if (directory_known(call)) {
        *path = call->task->cwd;
        *pass = call->task->cwd_pass;
        return 0;
    }
    bool pending = __atomic_load_n(&call->session->cwd_pending, __ATOMIC_SEQ_CST) != 0;
    uint64_t generation = __atomic_load_n(&call->session->cwd_generation, __ATOMIC_SEQ_CST);
    bool kept = cwd_kept(call->session, call->task->tid);
    cwd_link(call->session, call->task->tid, link);
    int kind = place_read(link, call->scratch->text);
    if (kind < 0)
        return kind;
    int error = view_locate(call->view, call->scratch->text, start);
    if (error == 0 && start->bound)
        error = view_name(call->view, start);
    *path = start->path;
    start->way = start->way && !kept;
    *pass = error == 0 && start->way;
    if (error < 0)
        return error;
    if (kind != OBJECT_NAMED || start->detached)
        return -ENOENT;
    remember_directory(call, pending ? 0 : generation, start);
    return 0;
}

/* Of one without a name. */
static bool is_directory(const struct call *call, int fd) {
    char link[PROC_LINK];
    struct stat st;
    given_link(call, fd, link);
    return stat(link, &st) < 0 || S_ISDIR(st.st_mode);
}

/* The directory that a relative path starts from. */
static int start_directory(struct call *call, const struct given *given, const char **path, bool *pass) {
    struct location *start = &call->scratch->start;
    if (given->fd == AT_FDCWD)
        return args_current_directory(call, path, pass);
    if (given->kind == OBJECT_ANONYMOUS)
        return -ENOTDIR;
    int error = view_locate(call->view, given->real, start);
    if (error == 0 && start->bound)
        error = view_name(call->view, start);
    *path = start->path;
    *pass = error == 0 && start->way;
    if (error < 0)
        return error;
    if (given->kind == OBJECT_DELETED || start->detached)
        return is_directory(call, given->fd) ? -ENOENT : -ENOTDIR;
    return start->type == S_IFDIR ? 0 : -ENOTDIR;
}

static const struct walker *set_walker(struct call *call) {
    struct walker *walker = &call->scratch->walker;
    const struct cred *cred = call->scratch->cred ? call->scratch->cred : &call->task->cred;
    *walker = (struct walker){.cred = cred,
                              .magic = magic_link,
                              .followed = call->session->inputs ? inputs_followed : NULL,
                              .arg = call,
                              .root = call->root,
                              .any_length = true};
    return walker;
}

/* The descriptor itself. */
static int locate_given(struct call *call, const struct given *given, struct target *target) {
    target->by_fd = true;
    target->kind = given->kind;
    if (given->kind != OBJECT_NAMED)
        return 0;
    int error = view_locate(call->view, given->real, target->loc);
    if (error < 0)
        return error;
    target->pass = target->loc->pass && !target->loc->detached &&
                   !(given->fd == AT_FDCWD && cwd_kept(call->session, call->task->tid));
    call->trace_path = target->loc->path;
    return 0;
}

/* "." of a removed directory is still the directory, for the kernel, where it knows it. */
static int locate_removed(struct call *call, struct given *given, struct target *target) {
    char link[PROC_LINK];
    if (given->fd == AT_FDCWD && cwd_kept(call->session, call->task->tid))
        return -ENOENT;
    given_link(call, given->fd, link);
    given->by_fd = true;
    given->kind = place_read(link, given->real);
    return given->kind < 0 ? given->kind : locate_given(call, given, target);
}

/* … and no name that could be made or go away: what the calls of fs/namei.c say of LAST_DOT. */
static int dot_of_removed(const struct call *call, unsigned i) {
    const struct call_row *row = call->row;
    if (row->name_is == NAME_MADE || row->name_is == NAME_LINKED)
        return i || row->name_is == NAME_MADE ? -EEXIST : -EPERM;
    if (row->operand[1].path != NO_ARG)
        return -EBUSY;
    return row->detail == UNLINK_DIRECTORY || at_flags(call) & AT_REMOVEDIR ? -EINVAL : -EISDIR;
}

/* Takes "." and ".." off the front of a path, and for each ".." the last component off the directory. False: the path
 * begins with something else. */
static bool cut_front(char *real, const char **path) {
    size_t length = strcspn(*path, "/");
    bool up = length == 2 && memcmp(*path, "..", 2) == 0;
    char *slash = strrchr(real, '/');
    if (!slash || !(up || (length == 1 && **path == '.')))
        return false;
    if (up)
        slash[slash == real] = '\0';
    *path += length + strspn(*path + length, "/");
    return true;
}

/* ".." of a removed directory is still the directory that it was in.  *rest: what comes after. */
static int start_above_removed(struct call *call, struct given *given, const char **start_path, const char **rest) {
    char link[PROC_LINK];
    struct location *start = &call->scratch->start;
    given_link(call, given->fd, link);
    int error = place_read(link, given->real);
    start->detached = true;
    while (error >= 0 && start->detached) {
        if (!cut_front(given->real, rest))
            return -ENOENT;
        error = view_locate(call->view, given->real, start);
    }
    if (error == 0)
        error = view_name(call->view, start);
    if (**rest == '\0')
        *rest = ".";
    *start_path = start->path;
    return error < 0 ? error : 0;
}

void args_own_directory(struct call *call, unsigned i) {
    char link[PROC_LINK];
    struct location *loc = &call->scratch->loc[i];
    given_link(call, call->scratch->given[i].fd, link);
    loc->length = strlen(link);
    memcpy(loc->path, link, loc->length + 1);
}

int args_walk(struct call *call, unsigned i, unsigned flags, struct target *target) {
    ENTERED(call);
    struct given *given = &call->scratch->given[i];
    struct location *loc = &call->scratch->loc[i];
    *target = (struct target){.loc = loc};
    if (given->by_fd)
        return locate_given(call, given, target);
    const char *start = "/";
    bool pass = true;
    int error = given->absolute ? 0 : start_directory(call, given, &start, &pass);
    if (error == -ENOENT && strcmp(given->path, ".") == 0)
        return flags & WALK_PARENT && call->row->contents != CONTENTS_OPENED ? dot_of_removed(call, i)
                                                                             : locate_removed(call, given, target);
    const char *path = given->path;
    if (error == -ENOENT) {
        pass = false;
        error = start_above_removed(call, given, &start, &path);
    }
    if (error < 0)
        return error;
    error = view_walk(call->view, set_walker(call), start, path, flags | (pass ? WALK_START_PASS : 0), loc);
    target->pass = loc->pass && !loc->hidden;
    if (target->pass && loc->inside && given->absolute && !(flags & WALK_PARENT)) {
        call->repeat = given->path;
        call->repeat_length = given->length;
        call->repeat_at = loc;
    }
    if (error == 0 && !call->trace_path)
        call->trace_path = loc->path;
    if (call->session->inputs)
        inputs_walked(call, i, error);
    return error;
}

int args_walk_path(struct call *call, const char *path, unsigned flags, struct location *loc) {
    ENTERED(call);
    const char *start = "/";
    bool pass = true;
    int error = path[0] == '/' ? 0 : args_current_directory(call, &start, &pass);
    if (error < 0)
        return error;
    return view_walk(call->view, set_walker(call), start, path, flags | (pass ? WALK_START_PASS : 0), loc);
}

int args_resolve(struct call *call, struct target *target) {
    unsigned flags;
    *target = (struct target){.loc = &call->scratch->loc[0]};
    int error = args_walk_flags(call, &flags);
    if (error == 0)
        error = args_fetch(call, 0);
    if (error < 0)
        return error;
    verdict_enter_view(call);
    return args_walk(call, 0, flags, target);
}
