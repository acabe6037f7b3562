/* stat.c - stat, lstat, fstat, newfstatat, statx; access, faccessat, faccessat2.
 *
 * Rules: while every object shows its real file's attributes a call about a descriptor is passed unseen; an
 * untouched path is passed.  Questions about writing are the view's: the lower may be read-only and the view not.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "../../process/descriptor.h"
#include "../../process/memory.h"
#include "../../process/object.h"
#include "../../view/view.h"
#include "../args.h"
#include "../call.h"
#include "../compat_layout.h"
#include "../faked/faked.h"
#include "../fixed/fixed.h"
#include "../fixed/objects.h"
#include "../flags.h"
#include "../scratch.h"
#include "../session.h"
#include "../settle.h"
#include "../shown/inodes.h"
#include "../table.h"
#include "../tasks/seen.h"
#include "../tasks/task.h"
#include "../tasks/userns.h"
#include "../verdict.h"
#include "handlers.h"

#ifndef STATX__RESERVED
#define STATX__RESERVED 0x80000000u
#endif

/* The kernel's struct stat is the C library's on the 64-bit architectures (asm/stat.h). */
static void to_stat(const struct statx *from, struct stat *to) {
    memset(to, 0, sizeof *to);
    to->st_dev = makedev(from->stx_dev_major, from->stx_dev_minor);
    to->st_ino = from->stx_ino;
    to->st_nlink = from->stx_nlink;
    to->st_mode = from->stx_mode;
    to->st_uid = from->stx_uid;
    to->st_gid = from->stx_gid;
    to->st_rdev = makedev(from->stx_rdev_major, from->stx_rdev_minor);
    to->st_size = (off_t)from->stx_size;
    to->st_blksize = from->stx_blksize;
    to->st_blocks = (blkcnt_t)from->stx_blocks;
    to->st_atim = (struct timespec){from->stx_atime.tv_sec, from->stx_atime.tv_nsec};
    to->st_mtim = (struct timespec){from->stx_mtime.tv_sec, from->stx_mtime.tv_nsec};
    to->st_ctim = (struct timespec){from->stx_ctime.tv_sec, from->stx_ctime.tv_nsec};
}

static void answer_compat(struct call *call, unsigned arg, const struct statx *stx) {
    char out[COMPAT_LAYOUT_MAX];
    int size = compat_stat(call->compat, stx, out);
    if (size < 0)
        return verdict_answer(call, size);
    verdict_answer_bytes(call, call->arg[arg], out, (size_t)size, 0);
}

static void answer_stat(struct call *call, unsigned arg, const struct statx *stx) {
    struct stat st;
    if (call->compat)
        return answer_compat(call, arg, stx);
    to_stat(stx, &st);
    verdict_answer_bytes(call, call->arg[arg], &st, sizeof st, 0);
}

static void answer_statx(struct call *call, unsigned arg, const struct statx *stx) {
    verdict_answer_bytes(call, call->arg[arg], stx, sizeof *stx, 0);
}

/* No descriptor can be of an object that the view shows otherwise than it is. */
static bool all_real(struct call *call) {
    verdict_enter_view(call);
    bool real = view_attr_is_real(call->view) && !call->session->lower_removed;
    verdict_leave_view(call);
    return real;
}

/* The call is about its descriptor; told without more than the first byte of the path. */
static bool names_nothing(struct call *call) {
    const struct call_row *row = call->row;
    char first;
    if (row->operand[0].path == NO_ARG)
        return true;
    if (row->at_flags == NO_ARG || !(call->arg[row->at_flags] & AT_EMPTY_PATH))
        return false;
    uint64_t address = call->arg[row->operand[0].path];
    return !address || memory_read_string(&call->memory, address, &first, 1) == 0;
}

static bool tells_truth(struct call *call) {
    bool real = !seen_wanted(call->session) && all_real(call);
    if (!(real || inodes_may_know(call)) || !names_nothing(call))
        return false;
    return real || inodes_show(call, (int)call->arg[call->row->operand[0].dirfd]);
}

/* A lower object that was removed from the view has fewer names than the lower layer says. */
static bool removed_attributes(struct call *call, struct statx *stx) {
    char link[PROC_LINK];
    descriptor_link(call->task->tid, call->scratch->given[0].fd, link);
    if (statx(AT_FDCWD, link, 0, STATX_BASIC_STATS | STATX_BTIME, stx) < 0)
        return false;
    int error = view_fix_attr(call->view, call->scratch->given[0].real, stx);
    if (error < 0)
        verdict_answer(call, error);
    else
        userns_show(call->task, stx);
    return error == 0;
}

#define STATX_OF_VIEW (STATX_BASIC_STATS | STATX_BTIME)
#define STATX_MOUNT 0x1000u        /* STATX_MNT_ID … */
#define STATX_MOUNT_UNIQUE 0x4000u /* … which this one takes the place of, include/uapi/linux/stat.h */
#define STATX_OWN_AT 0x90          /* stx_mnt_id, and all behind it */

/* What was asked for besides is the real file's own: the mount's unique number, alignments of direct reads. */
static void add_own(struct call *call, const struct location *loc, unsigned mask, struct statx *stx) {
    struct statx own = {0};
    mask &= ~(unsigned)(STATX_OF_VIEW | STATX_MOUNT);
    if (!mask || view_real(call->view, loc, call->scratch->real, VIEW_PATH_MAX) < 0)
        return;
    CLOSE_DESCRIPTOR fd = view_open_exact(call->scratch->real, O_PATH | O_NOFOLLOW, 0);
    if (fd < 0 || statx(fd, "", AT_EMPTY_PATH, mask, &own) < 0)
        return;
    if (own.stx_mask & STATX_MOUNT_UNIQUE)
        stx->stx_mask &= ~STATX_MOUNT;
    stx->stx_mask |= own.stx_mask & mask;
    memcpy((char *)stx + STATX_OWN_AT, (char *)&own + STATX_OWN_AT, sizeof own - STATX_OWN_AT);
}

/* The attributes that the view shows: of what a descriptor leads to, too, though it may be of the file from before a
 * copy-up. mask: statx(2)'s. False: the verdict is there. */
static bool attributes(struct call *call, unsigned mask, struct statx *stx) {
    struct target target;
    uint64_t changes = view_changes(call->view, 0);
    int error = args_resolve(call, &target);
    if (error == 0 && target.by_fd && target.kind == OBJECT_NAMED && target.loc->detached && !target.loc->upper)
        return removed_attributes(call, stx);
    if (seen_wanted(call->session))
        return faked_attributes(call, error, &target, stx);
    struct location *loc = settle_read(call, error, &target);
    if (!loc) {
        inodes_keep(call, &target, changes);
        return false;
    }
    error = view_getattr(call->view, loc, stx);
    if (error < 0) {
        verdict_answer(call, error);
        return false;
    }
    add_own(call, loc, mask, stx);
    userns_show(call->task, stx);
    return true;
}

/* What no location of an overlay is: of the host, or without a name. */
static bool host_attributes(const struct call *call, const struct target *target, struct statx *stx) {
    char link[PROC_LINK];
    const unsigned mask = STATX_BASIC_STATS | STATX_BTIME;
    if (!target->by_fd)
        return statx(AT_FDCWD, target->loc->path, AT_SYMLINK_NOFOLLOW, mask, stx) == 0;
    descriptor_link(call->task->tid, call->scratch->given[0].fd, link);
    return statx(AT_FDCWD, link, 0, mask, stx) == 0;
}

/* As attributes(), of all that there is, for a build.  False: the verdict is there, or the kernel knows best. */
static bool fixed_attributes(struct call *call, struct statx *stx) {
    struct target target;
    int error = args_resolve(call, &target);
    const struct location *loc = target.loc;
    bool named = !target.by_fd || target.kind == OBJECT_NAMED;
    if (error < 0 || (named && !target.by_fd && (loc->hidden || !loc->type))) {
        verdict_answer(call, error < 0 ? error : -ENOENT);
        return false;
    }
    if (named && loc->detached && loc->overlay && !loc->upper) {
        if (!removed_attributes(call, stx))
            return false;
    } else if (named && loc->overlay && !loc->detached) {
        error = view_getattr(call->view, loc, stx);
        if (error < 0) {
            verdict_answer(call, error);
            return false;
        }
    } else if (loc->magic || !host_attributes(call, &target, stx)) {
        return false;
    }
    if (S_ISREG(stx->stx_mode) || S_ISDIR(stx->stx_mode) || S_ISLNK(stx->stx_mode))
        objects_show(call->session->fixed, stx, loc->overlay);
    return true;
}

void do_stat(struct call *call) {
    struct statx stx;
    if (fixed_has(call->session, PTO_BUILD_FILES)) {
        if (fixed_attributes(call, &stx))
            answer_stat(call, args_after(call), &stx);
        return;
    }
    if (!tells_truth(call) && attributes(call, 0, &stx))
        answer_stat(call, args_after(call), &stx);
}

void do_statx(struct call *call) {
    struct statx stx;
    unsigned flags = (unsigned)call->arg[2], mask = (unsigned)call->arg[3];
    if ((flags & AT_STATX_SYNC_TYPE) == AT_STATX_SYNC_TYPE || (mask & STATX__RESERVED))
        return verdict_answer(call, -EINVAL);
    if (fixed_has(call->session, PTO_BUILD_FILES) ? fixed_attributes(call, &stx)
                                                  : !tells_truth(call) && attributes(call, mask, &stx))
        answer_statx(call, 4, &stx);
}

/* What a read-only file system keeps from being written (fs/namei.c sb_permission()), where no overlay is. */
static bool kept_from_writing(const struct target *target) {
    const struct location *loc = target->loc;
    if ((target->by_fd && target->kind != OBJECT_NAMED) || loc->overlay || !loc->read_only)
        return false;
    return loc->type == S_IFREG || loc->type == S_IFDIR || loc->type == S_IFLNK;
}

void do_access(struct call *call) {
    struct target target;
    struct cred cred;
    int mode = (int)call->arg[args_after(call)];
    if (mode & ~(R_OK | W_OK | X_OK))
        return verdict_answer(call, -EINVAL);
    if (!task_cred(call))
        return;
    bool effective = call->row->at_flags != NO_ARG && (call->arg[call->row->at_flags] & AT_EACCESS);
    call->scratch->cred = effective ? &call->task->cred : task_real_cred(call, &cred);
    int error = args_resolve(call, &target);
    if (seen_wanted(call->session))
        target.pass = false;
    if (error == 0 && (mode & W_OK) && kept_from_writing(&target))
        return verdict_answer(call, -EROFS);
    if (error == 0 && (mode & W_OK) && target.loc->overlay)
        target.pass = false;
    const struct location *loc = settle_read(call, error, &target);
    if (!loc)
        return;
    verdict_answer(call, view_permission(call->view, loc, call->scratch->cred, mode));
}
