/* args.h - from the arguments of a call to a location in the view.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_ARGS_H
#define PTOVERLAY_ARGS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "../view/view.h"

struct call;

struct given {
    bool by_fd;             /* the descriptor itself is meant */
    bool bare;              /* … by a call that takes no O_PATH descriptor */
    bool absolute;
    int fd;                 /* the descriptor that the path is relative to, or AT_FDCWD */
    int kind;               /* of what fd leads to: enum object_kind */
    size_t length;
    char path[PATH_MAX];    /* as the tracee gave it */
    char real[VIEW_PATH_MAX]; /* where fd leads, as place_read() tells it */
};
struct target {
    struct location *loc;
    bool by_fd;
    int kind;               /* by_fd: enum object_kind */
    bool pass;              /* loc->pass; false while there has been no walk */
};
/* Reads path and directory of operand i into the scratch. -EFAULT, -ENOENT, -EBADF, -ENAMETOOLONG. */
int args_fetch(struct call *call, unsigned i);
/* The directory alone, which an absolute path makes meaningless and args_fetch() does not look at then. -EBADF. */
int args_fetch_directory(struct call *call, unsigned i);
/* WALK_FOLLOW or 0, from the AT_* flags of the row; -EINVAL. */
int args_walk_flags(const struct call *call, unsigned *flags);
/* Walks what args_fetch() has read.  The view must be entered. */
int args_walk(struct call *call, unsigned i, unsigned flags, struct target *target);
/* After args_walk() has found "." of a removed directory (by_fd): its link of /proc becomes the location's path. */
void args_own_directory(struct call *call, unsigned i);
/* Walks a path from the tracee's current directory. */
int args_walk_path(struct call *call, const char *path, unsigned flags, struct location *loc);
/* args_fetch(), verdict_enter_view() and args_walk() of the first operand. */
int args_resolve(struct call *call, struct target *target);
/* The first argument behind the first operand. */
unsigned args_after(const struct call *call);
/* The tracee's current directory as a path in the view, into out.  The view must be entered. -ENOENT: removed. */
int args_current_directory(struct call *call, const char **path, bool *pass);

#endif
