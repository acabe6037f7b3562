/* status.h - the credentials of a task, and what else stands in /proc/PID/status.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_STATUS_H
#define PTOVERLAY_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The fields of /proc/PID/status that matter, in the kernel's order. fs/proc/array.c */
struct status {
    pid_t tgid;
    mode_t umask;
    uid_t uid[4];           /* real, effective, saved, file system */
    gid_t gid[4];
    uint64_t inheritable, permitted, effective, bounding, ambient;
    size_t ngroups;
    gid_t *groups;          /* to be freed */
};
/* Are they those of a program, too, that such a task executes and that has neither set-id bits nor capabilities of its
 * own? Securebits, which are not told, count for root. capabilities(7), "Transformation of capabilities during
 * execve()" */
bool status_stays(const struct status *status);
/* path: of such a file. 0; -EPERM: it cannot be read; -ENOMEM. */
int status_read(const char *path, struct status *status);

#endif
