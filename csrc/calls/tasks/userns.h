/* userns.h - in which user namespace a task is, and what its ids are in ours.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_USERNS_H
#define PTOVERLAY_USERNS_H

#include <sys/types.h>

#include "../../view/view.h"

struct session;
struct task;

/* A task is about to get into another one: from now on all are asked. */
void userns_begin(struct session *session);
/* *maps is NULL, or what an earlier call has put there; afterwards NULL: it is in ours.  0, -errno. */
int userns_maps(struct session *session, pid_t tid, struct id_maps **maps);
/* From an id as the task says it to ours: false, it has none.  -1 is no id, and stays. */
bool userns_uid(const struct task *task, uid_t *uid);
bool userns_gid(const struct task *task, gid_t *gid);
/* Puts what the task is to see of the owners: overflowuid (proc(5)) for those that its namespace does not have. */
void userns_show(const struct task *task, struct statx *stx);

#endif
