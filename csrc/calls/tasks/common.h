/* common.h - credentials that all tasks of a run have alike.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_COMMON_H
#define PTOVERLAY_COMMON_H

#include <stdbool.h>

struct call;
struct session;
struct task;

/* The task's have been read, of the kernel: they are everybody's, if nobody can have others. */
void common_keep(struct task *task);
/* The task gets them, but for the umask.  False: they are to be read. */
bool common_take(struct task *task);
/* Somebody gets others, perhaps: before he does. */
void common_end(struct session *session);
/* A call that changes those of its own task. */
void common_forget(struct call *call);
void common_clear(struct session *session);

#endif
