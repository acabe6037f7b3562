/* nest.h - views within the view of the run.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_NEST_H
#define PTOVERLAY_NEST_H

#include <stdbool.h>
#include <stdint.h>

#include <sys/types.h>

struct call;
struct session;

/* Chooses the view that the task is in, and the flags that hold there; false: the verdict is there. */
bool nest_enter(struct call *call);
void nest_leave(struct call *call);
/* What nest_request.h asks. */
void nest_ask(struct call *call);
/* From now on the process of the call has this root, a canonical directory of its view.  0, or -errno. */
int nest_set_root(struct call *call, const char *path);
/* Roots follow a directory that has another name now, or none.  Paths of the call's view, which is entered. */
void nest_renamed(const struct call *call, const char *from, const char *to, bool exchanged);
void nest_removed(const struct call *call, const char *path);
/* The root of a process that has one of its own, into out[VIEW_PATH_MAX]. */
bool nest_root_of(struct session *session, pid_t pid, char *out);
/* The view is entered. */
void nest_hide(struct session *session, const char *path);
/* A mount namespace of the call's own, which nobody is in yet: what is marked so is (members.h).  locked: it may not
 * unmount what is there.  -EPERM: none can be had. */
int nest_unshare(struct call *call, bool locked);
uint64_t nest_made(const struct call *call);
/* Somebody is in it, or nobody will be. */
void nest_made_end(struct call *call, bool stays);
void nest_clear(struct session *session);

#endif
