/* symlinks.h - symbolic links on the way to an upper or a work directory.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SYMLINKS_H
#define SYMLINKS_H

#include <limits.h>
#include <sys/types.h>

struct followed {
    uid_t owner;            /* of the directory */
    char refused[PATH_MAX]; /* the link that is not followed, "": none */
    uid_t user;             /* whose it is */
};

/* 0, also for a path that leads nowhere; -EPERM: there is one of somebody else, who is told; else a negative errno. */
int symlinks_check(const char *path, struct followed *followed);

#endif
