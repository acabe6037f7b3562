/* acting.h - the supervisor acts with the credentials of the task that it answers.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_ACTING_H
#define PTOVERLAY_ACTING_H

#include <stdbool.h>
#include <sys/types.h>

struct call;
struct session;

struct acting {
    const struct session *session;  /* NULL: the ids are the supervisor's own */
    mode_t umask;                   /* the thread's own, while masked */
    bool masked, locked;
};

/* From here to the end of the block the calling thread has the file system ids, groups and effective capabilities of
 * the call's task, and with `makes` its umask: task_cred() or task_cred_umask() has been asked.  0, or -errno: then
 * it has its own. */
int acting_begin(struct acting *acting, const struct call *call, bool makes);
void acting_end(const struct acting *acting);
#define ACTING __attribute__((cleanup(acting_end))) struct acting

#endif
