/* names.c - mkdir, mknod, symlink, unlink, rmdir, link, rename; readlink.
 *
 * Rules: what a call does to names of an overlay is done by the view and answered.  Between an overlay and the host, or
 * another overlay, rename and link are EXDEV as between file systems.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "../../process/descriptor.h"
#include "../../process/memory.h"
#include "../../process/object.h"
#include "../../process/proc.h"
#include "../../view/view.h"
#include "../args.h"
#include "../call.h"
#include "../flags.h"
#include "../host/host.h"
#include "../host/keeps.h"
#include "../scratch.h"
#include "../session.h"
#include "../settle.h"
#include "../shown/magic.h"
#include "../table.h"
#include "../tasks/nest.h"
#include "../tasks/place.h"
#include "../tasks/task.h"
#include "../verdict.h"
#include "handlers.h"

/* settle_changing(), by a call that makes an object: the umask counts. */
static struct location *making(struct call *call) {
    return task_cred_umask(call) ? settle_changing(call) : NULL;
}

void do_mkdir(struct call *call) {
    struct location *loc = making(call);
    if (!loc)
        return;
    mode_t mode = (mode_t)call->arg[args_after(call)] & 07777;
    verdict_answer(call,
                   host_held(call, 0) ? host_mkdir(call, mode) : view_mkdir(call->view, loc, mode, &call->task->cred));
}

void do_mknod(struct call *call) {
    unsigned at = args_after(call);
    mode_t mode = (mode_t)call->arg[at];
    dev_t dev = proc_device((uint32_t)call->arg[at + 1]);
    if (!(mode & S_IFMT))
        mode |= S_IFREG;
    if (S_ISDIR(mode))
        return verdict_answer(call, -EPERM);
    if (!S_ISREG(mode) && !S_ISFIFO(mode) && !S_ISSOCK(mode) && !S_ISCHR(mode) && !S_ISBLK(mode))
        return verdict_answer(call, -EINVAL);
    struct location *loc = making(call);
    if (!loc)
        return;
    mode &= S_IFMT | 07777;
    verdict_answer(call, host_held(call, 0) ? host_mknod(call, mode, dev)
                                            : view_mknod(call->view, loc, mode, dev, &call->task->cred));
}

void do_symlink(struct call *call) {
    char target[PATH_MAX];
    ssize_t length = memory_read_string(&call->memory, call->arg[0], target, sizeof target);
    if (length <= 0)
        return verdict_answer(call, length < 0 ? length : -ENOENT);
    struct location *loc = making(call);
    if (!loc)
        return;
    verdict_answer(call, host_held(call, 0) ? host_symlink(call, target)
                                            : view_symlink(call->view, target, loc, &call->task->cred));
}

/* The name may be the last of a lower object. */
static void note_removal(struct call *call, const struct location *loc) {
    if (loc->overlay && loc->type && !loc->upper)
        call->session->lower_removed = true;
}

/* unlink, rmdir, unlinkat */
void do_unlink(struct call *call) {
    bool directory = call->row->detail == UNLINK_DIRECTORY;
    if (call->row->at_flags != NO_ARG)
        directory = call->arg[call->row->at_flags] & AT_REMOVEDIR;
    struct target target;
    int error = args_resolve(call, &target);
    if (error == 0 && directory && !target.by_fd && target.loc->last == LAST_DOTDOT)
        return verdict_answer(call, -ENOTEMPTY);
    struct location *loc = settle_change(call, 0, error, &target);
    if (!loc)
        return;
    bool host = host_held(call, 0);
    if (!host)
        note_removal(call, loc);
    long result = host        ? host_unlink(call, directory)
                  : directory ? view_rmdir(call->view, loc, &call->task->cred)
                              : view_unlink(call->view, loc, &call->task->cred);
    if (directory && result == 0) {
        verdict_enter_view(call);   /* what the host was asked for was asked without it */
        nest_removed(call, loc->path);
    }
    verdict_answer(call, result);
}

/* ---- two names ---- */

/* Both walked, the view entered.  False: the verdict is there. */
static bool walk_two(struct call *call, unsigned flags, struct target targets[2]) {
    int error = args_fetch(call, 0);
    if (error == 0)
        error = args_fetch(call, 1);
    if (error < 0) {
        verdict_answer(call, error);
        return false;
    }
    verdict_enter_view(call);
    error = args_walk(call, 0, flags, &targets[0]);
    /* What link(2) is to link must exist before the other path is looked at; rename(2) walks both first. */
    bool absent = error == 0 && !targets[0].by_fd && targets[0].loc->type == 0 && !targets[0].loc->magic;
    if (absent && !(flags & WALK_PARENT))
        error = -ENOENT;
    if (error == 0)
        error = args_walk(call, 1, WALK_PARENT, &targets[1]);
    if (error == 0 && targets[1].loc->hidden)
        error = -EACCES;
    if (error == 0 && targets[0].loc->hidden)
        error = -ENOENT;
    if (error < 0)
        verdict_answer(call, error);
    return error == 0;
}

/* Both on the host.  False: the verdict is there. */
static bool hold_two(struct call *call, const struct target targets[2]) {
    return settle_change(call, 0, 0, &targets[0]) && settle_change(call, 1, 0, &targets[1]);
}

static void renamed(struct call *call, const struct target targets[2], unsigned flags, long result) {
    if (result == 0) {
        verdict_enter_view(call);
        nest_renamed(call, targets[0].loc->path, targets[1].loc->path, flags & RENAME_EXCHANGE);
    }
    verdict_answer(call, result);
}

void do_rename(struct call *call) {
    struct target targets[2];
    unsigned flags = call->row->at_flags == NO_ARG ? 0 : (unsigned)call->arg[call->row->at_flags];
    if (!walk_two(call, WALK_PARENT, targets))
        return;
    const struct location *from = targets[0].loc, *to = targets[1].loc;
    if (!from->overlay && !to->overlay) {
        if (view_place_below(call->view, from) || view_place_below(call->view, to))
            return verdict_refuse(call, EBUSY, "an overlay is mounted below the directory");
        if (host_keeps(call, from, false) || host_keeps(call, to, to->type == 0))
            return;
        return hold_two(call, targets) ? renamed(call, targets, flags, host_rename(call, flags)) : (void)0;
    }
    /* "." and ".." are names in the directory before them; "/" is one in the root. */
    bool dots = from->last == LAST_DOT || from->last == LAST_DOTDOT || to->last == LAST_DOT || to->last == LAST_DOTDOT;
    if (from->overlay != to->overlay && !dots)
        return verdict_answer(call, -EXDEV);
    if (dots || from->last == LAST_ROOT || to->last == LAST_ROOT)
        return verdict_answer(call, -EBUSY);
    note_removal(call, to);
    renamed(call, targets, flags, view_rename(call->view, from, to, flags, &call->task->cred));
}

/* The new name is for an object without one: of O_TMPFILE, of a deleted file.  Never a second one for a lower file. */
static void link_unnamed(struct call *call, const struct target targets[2], bool by_descriptor) {
    char link[PROC_LINK], *real = call->scratch->text;
    struct location *was = &call->scratch->spare;
    const struct location *to = targets[1].loc;
    if (!settle_change(call, 0, 0, &targets[0]))
        return;
    if (!to->overlay)
        return settle_change(call, 1, 0, &targets[1]) ? verdict_answer(call, host_link(call, by_descriptor)) : (void)0;
    host_object_path(call, 0, link);
    if (place_read(link, real) != OBJECT_DELETED || view_locate(call->view, real, was) < 0 ||
        was->overlay != to->overlay)
        return verdict_answer(call, -EXDEV);
    verdict_answer(call, view_link_real(call->view, link, to, &call->task->cred));
}

void do_link(struct call *call) {
    struct target targets[2];
    unsigned flags;
    int error = args_walk_flags(call, &flags);
    if (error < 0)
        return verdict_answer(call, error);
    if (!walk_two(call, flags, targets))
        return;
    const struct location *from = targets[0].loc, *to = targets[1].loc;
    if (targets[0].by_fd ? targets[0].kind != OBJECT_NAMED || from->detached || (!from->overlay && !to->overlay)
                         : from->magic)
        return link_unnamed(call, targets, targets[0].by_fd);
    if (!to->overlay && (to->read_only || !from->overlay) && host_keeps(call, to, true))
        return;
    if (!from->overlay && !to->overlay)
        return hold_two(call, targets) ? verdict_answer(call, host_link(call, false)) : (void)0;
    if (from->type == 0)
        return verdict_answer(call, -ENOENT);
    if (to->type != 0)
        return verdict_answer(call, -EEXIST);
    if (from->overlay != to->overlay)
        return verdict_answer(call, keeps_no_name(to) ? -ENOENT : -EXDEV);
    verdict_answer(call, view_link(call->view, from, to, &call->task->cred));
}

/* ---- readlink ---- */

static void answer_text(struct call *call, unsigned at, const char *text, size_t length) {
    size_t size = (size_t)(int)call->arg[at + 1];
    size_t part = length < size ? length : size;
    verdict_answer_bytes(call, call->arg[at], text, part, (long)part);
}

static bool is_proc_link(const struct location *loc) {
    return !loc->overlay && loc->type == S_IFLNK && strncmp(loc->path, "/proc/", 6) == 0;
}

void do_readlink(struct call *call) {
    struct target target;
    char *text = call->scratch->real;
    unsigned at = args_after(call);
    if ((int)call->arg[at + 1] <= 0)
        return verdict_answer(call, -EINVAL);
    int error = args_resolve(call, &target);
    struct location *loc = target.loc;
    bool found = error == 0 && !loc->hidden && (!target.by_fd || target.kind == OBJECT_NAMED);
    if (found && is_proc_link(loc)) {
        error = magic_text(call, loc->path, text);
        if (error > 0)
            return answer_text(call, at, text, strlen(text));
        if (error < 0)
            return verdict_answer(call, error);
    }
    /* A descriptor is of the symlink itself, and its text is the same in all layers. */
    if (target.pass || (error == 0 && target.by_fd))
        return;
    if (error < 0)
        return verdict_answer(call, error);
    if (loc->hidden || loc->type == 0)
        return verdict_answer(call, -ENOENT);
    if (!loc->overlay)
        return settle_host(call, 0, loc);
    ssize_t length = view_readlink(call->view, loc, text, PATH_MAX);
    if (length < 0)
        return verdict_answer(call, length);
    answer_text(call, at, text, (size_t)length);
}
