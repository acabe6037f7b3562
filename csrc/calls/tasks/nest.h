/* nest.h - views within the view of the run.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_NEST_H
#define PTOVERLAY_NEST_H

#include <stdbool.h>

struct call;
struct session;

/* Chooses the view that the task is in, and the flags that hold there; false: the verdict is there. */
bool nest_enter(struct call *call);
void nest_leave(struct call *call);
/* What nest_request.h asks. */
void nest_ask(struct call *call);
/* The view is entered. */
void nest_hide(struct session *session, const char *path);
void nest_clear(struct session *session);

#endif
