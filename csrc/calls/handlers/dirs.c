/* dirs.c - getdents, getdents64; chdir, fchdir, getcwd, chroot.
 *
 * Rules: the position in a merged directory is kept where the kernel keeps it, in the open file description, so
 * that dup, fork, lseek and rewinddir mean what they always do; the current directory is the kernel's too,
 * and what the tracee reads of it is the view's path.
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

#include "../../process/descriptor.h"
#include "../../process/object.h"
#include "../../view/view.h"
#include "../args.h"
#include "../call.h"
#include "../compat_layout.h"
#include "../faked/faked.h"
#include "../fixed/fixed.h"
#include "../fixed/listings.h"
#include "../reach.h"
#include "../scratch.h"
#include "../session.h"
#include "../settle.h"
#include "../table.h"
#include "../shown/magic.h"
#include "../tasks/cwd.h"
#include "../tasks/nest.h"
#include "../tasks/place.h"
#include "../tasks/task.h"
#include "../verdict.h"
#include "dirs.h"
#include "handlers.h"

#define ENTRIES_SIZE 65536u     /* one call returns no more than this: a shorter answer is a legal one */
#define CAP_SYS_CHROOT_BIT (1ull << 18)

/* The tracee's descriptor is of the directory that getdents may be left to. */
static bool real_directory(struct call *call, const struct location *loc, const char *real) {
    return view_dir_is_real(call->view, loc) && view_real(call->view, loc, call->scratch->real, VIEW_PATH_MAX) == 0 &&
           strcmp(call->scratch->real, real) == 0;
}

/* Of the tracee's descriptor.  fd: ours of it; -1: there is none, then proc(5) tells, and the tracee sets it. */
struct position {
    int fd;
    int flags;
    off_t at;
};

static void close_position(const struct position *position) {
    if (position->fd >= 0)
        close(position->fd);
}

static int get_position(struct call *call, struct position *position) {
    struct descriptor_info info;
    int fd = (int)call->arg[0];
    position->fd = task_descriptor(call, fd);
    if (position->fd < 0) {
        int error = descriptor_info(call->task->tid, fd, &info);
        position->flags = info.flags;
        position->at = info.position;
        return error;
    }
    position->flags = fcntl(position->fd, F_GETFL);
    position->at = lseek(position->fd, 0, SEEK_CUR);
    return position->flags < 0 ? -EBADF : 0;
}

/* Where the positions of a stream that begins are to be: as its file system lets it be positioned.  narrow: they go
 * into 32 bits, for 32-bit programs. */
static uint64_t first_position(const struct position *position, const char *real, bool narrow) {
    CLOSE_DESCRIPTOR own = position->fd >= 0 ? -1 : open(real, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int fd = position->fd >= 0 ? position->fd : own;
    bool far = !narrow && (fd < 0 || lseek(fd, (off_t)VIEW_POSITIONS, SEEK_SET) >= 0);
    if (fd >= 0 && far)
        (void)lseek(fd, 0, SEEK_SET);
    return far ? VIEW_POSITIONS : VIEW_POSITIONS_NEAR;
}

/* After the tracee's lseek. */
static long positioned(struct call *call, long result) {
    return result < 0 ? result : call->scratch->size;
}

/* The call returns length. */
static void set_position(struct call *call, const struct position *position, off_t at, long length) {
    if (position->fd >= 0) {
        if (lseek(position->fd, at, SEEK_SET) < 0)
            verdict_answer(call, -errno);
        return;
    }
    call->scratch->size = (int)length;
    call->finish = positioned;
    call->new_nr = SYS_lseek;
    verdict_substitute(call, 1, (uint64_t)at);
    verdict_substitute(call, 2, SEEK_SET);
}

static void iterate(struct call *call, const struct location *loc, const struct position *position) {
    char entries[ENTRIES_SIZE];
    size_t size = (uint32_t)call->arg[2] < sizeof entries ? (uint32_t)call->arg[2] : sizeof entries;
    uint64_t at =
        position->at ? (uint64_t)position->at : first_position(position, call->scratch->given[0].real, call->compat);
    bool wide = call->row->detail == DIRENT_WIDE, sorted = fixed_has(call->session, PTO_BUILD_LISTINGS);
    ssize_t length = sorted ? listings_iterate(call, loc, &at, entries, size, wide)
                            : view_iterate(call->view, loc, &at, entries, size, wide);
    if (length == -ESTALE || (length < 0 && !loc->overlay))
        return;   /* the stream began on the real directory and ends there; or the kernel says what is wrong */
    if (length <= 0)
        return verdict_answer(call, length);
    if (call->compat && !wide)
        length = (ssize_t)compat_entries(entries, (size_t)length);
    verdict_answer_bytes(call, call->arg[1], entries, (size_t)length, length);
    if (call->value == length)
        set_position(call, position, (off_t)at, length);
}

void do_getdents(struct call *call) {
    struct target target;
    int error = args_resolve(call, &target);
    struct location *loc = target.loc;
    if (error < 0)
        return verdict_answer(call, error);
    bool sorted = fixed_has(call->session, PTO_BUILD_LISTINGS);
    if (target.kind != OBJECT_NAMED || (!loc->overlay && !sorted))
        return;
    if (loc->overlay && loc->detached)
        return loc->upper ? (void)0 : verdict_answer(call, -ENOENT);
    if (loc->overlay && loc->type != S_IFDIR)
        return verdict_answer(call, -ENOTDIR);
    if (!sorted && real_directory(call, loc, call->scratch->given[0].real))
        return;
    __attribute__((cleanup(close_position))) struct position position = {.fd = -1};
    error = get_position(call, &position);
    if (error == -EBADF || (error == 0 && position.flags & O_PATH))
        return verdict_answer(call, -EBADF);
    if (error == 0 && position.fd < 0 && call->compat)
        error = -EIO;   /* i386's lseek(2) takes 32 bits */
    if (error < 0 || position.at < 0)
        return verdict_refuse(call, error < 0 ? -error : EIO, "the position in a merged directory cannot be read");
    iterate(call, loc, &position);
}

/* ---- the current directory ---- */

/* Into real[VIEW_PATH_MAX]: where loc is, for the kernel. */
static int may_enter(struct call *call, const struct location *loc, char *real) {
    int error = loc->type == S_IFDIR ? view_permission(call->view, loc, &call->task->cred, X_OK) : -ENOTDIR;
    return error == 0 ? view_real(call->view, loc, real, VIEW_PATH_MAX) : error;
}

/* A lower's part of a merged directory is as good as the upper's, and the kernel, coming there by itself, finds there
 * what the upper has not. */
static bool may_stay_below(const struct call *call, const struct location *loc) {
    return loc->overlay && loc->way && loc->upper && call->task->cred.own &&
           faccessat(AT_FDCWD, loc->path, X_OK, AT_EACCESS) == 0;
}

void do_chdir(struct call *call) {
    char *real = call->scratch->real;
    struct target target;
    int ready = faked_ready(call, args_resolve(call, &target), &target);
    struct location *loc = settle_read(call, ready, &target);
    bool asked = call->verdict == VERDICT_RETURN, kept = cwd_kept(call->session, call->task->tid);
    if (asked)
        return;
    if (loc || kept) {
        int error = may_enter(call, loc ? loc : &call->scratch->loc[0], real);
        if (error < 0 || kept)
            return verdict_answer(call, error < 0 ? error : cwd_keep(call, real));
        if (!may_stay_below(call, loc))
            reach_substitute(call, 0, real);
        if (call->verdict == VERDICT_RETURN)
            return;
    }
    verdict_watch(call, &call->session->cwd_generation, &call->session->cwd_pending);
}

int dirs_chdir_keep(struct call *call) {
    if (call->n_replacements != 1)
        return -EPERM;
    verdict_enter_view(call);
    int error = cwd_keep(call, call->replacements[0].data);
    verdict_leave_view(call);
    return error;
}

/* By the kernel the task would come to the same directory, or to the lower's part of it. */
bool dirs_chdir_stands(struct call *call) {
    char link[PROC_LINK];
    struct call_scratch *scratch = call->scratch;
    const struct location *loc = &scratch->loc[0];
    const struct given *given = &scratch->given[0];
    snprintf(scratch->text, sizeof scratch->text, "/proc/%d/%s", call->task->tid, given->absolute ? "root" : "cwd");
    CLOSE_DESCRIPTOR start = open(scratch->text, O_PATH | O_CLOEXEC);
    const char *rest = given->path + strspn(given->path, "/");
    CLOSE_DESCRIPTOR fd = start < 0 ? -1 : openat(start, *rest ? rest : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    descriptor_own_link(fd, link);
    if (place_read(link, scratch->text) != OBJECT_NAMED)
        return false;
    verdict_enter_view(call);
    bool same = view_locate(call->view, scratch->text, &scratch->spare) == 0 && !scratch->spare.detached &&
                scratch->spare.overlay == loc->overlay && strcmp(scratch->spare.path, loc->path) == 0;
    verdict_leave_view(call);
    return same;
}

/* fchdir where the supervisor keeps the directory. */
static void keep_descriptor(struct call *call) {
    char link[PROC_LINK];
    struct stat st;
    descriptor_link(call->task->tid, (int)call->arg[0], link);
    if (!task_cred(call))
        return;
    if (stat(link, &st) < 0 || !S_ISDIR(st.st_mode))
        return verdict_answer(call, access(link, F_OK) < 0 ? -EBADF : -ENOTDIR);
    verdict_enter_view(call);
    int error = place_read(link, call->scratch->text) == OBJECT_NAMED &&
                        view_locate(call->view, call->scratch->text, &call->scratch->spare) == 0 &&
                        !call->scratch->spare.detached
                    ? view_permission(call->view, &call->scratch->spare, &call->task->cred, X_OK)
                    : 0;
    verdict_answer(call, error < 0 ? error : cwd_keep(call, link));
}

void do_fchdir(struct call *call) {
    if (cwd_kept(call->session, call->task->tid))
        return keep_descriptor(call);
    verdict_watch(call, &call->session->cwd_generation, &call->session->cwd_pending);
}

/* A path of the view as a task with a root of its own sees it, in the scratch's real. */
static const char *from_own_root(struct call *call, const char *path) {
    static const char unreachable[] = "(unreachable)";
    char *out = call->scratch->real;
    size_t length = strlen(path), before = sizeof unreachable - 1;
    memcpy(out, path, length + 1);
    if (!magic_from_root(call, out) && length + before < VIEW_PATH_MAX) {
        memmove(out + before, out, length + 1);
        memcpy(out, unreachable, before);
    }
    return out;
}

void do_getcwd(struct call *call) {
    const char *path;
    bool pass;
    if (!task_cred(call))
        return;
    verdict_enter_view(call);
    int error = args_current_directory(call, &path, &pass);
    if (pass && !call->root)
        return;
    if (error < 0)
        return verdict_answer(call, error);
    if (call->root)
        path = from_own_root(call, path);
    size_t size = strlen(path) + 1;
    if (size > PATH_MAX)
        return verdict_answer(call, -ENAMETOOLONG);
    if (call->arg[1] < size)
        return verdict_answer(call, -ERANGE);
    memmove(call->scratch->real, path, size);
    verdict_answer_bytes(call, call->arg[0], call->scratch->real, size, (long)size);
}

static bool may_chroot(const struct call *call) {
    return call->task->cred.caps & CAP_SYS_CHROOT_BIT;
}

/* The kernel's root stays: all that the task names is walked from its own one in the view (tasks/nest.c), and a real
 * root would keep it from the layers beside it. */
void do_chroot(struct call *call) {
    struct target target;
    int error = args_resolve(call, &target);
    if (error < 0 || target.by_fd)
        return verdict_answer(call, error < 0 ? error : -ENOENT);
    if (target.loc->hidden || target.loc->type != S_IFDIR)
        return verdict_answer(call, target.loc->type && !target.loc->hidden ? -ENOTDIR : -ENOENT);
    error = view_permission(call->view, target.loc, &call->task->cred, X_OK);
    if (error == 0 && !may_chroot(call))
        error = -EPERM;
    if (error == 0)
        error = view_name(call->view, target.loc);
    if (error == 0 && strcmp(target.loc->path, call->root ? call->root : "/") != 0)
        error = nest_set_root(call, target.loc->path);
    verdict_answer(call, error);
}
