/* cwd.h - current directories that the supervisor keeps for tasks.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_CWD_H
#define PTOVERLAY_CWD_H

#include <stdbool.h>
#include <sys/types.h>

#include "../../process/descriptor.h"

struct call;
struct session;

bool cwd_kept(const struct session *session, pid_t tid);
/* The link that leads to the task's directory: the kernel's, or to a descriptor of ours. */
void cwd_link(const struct session *session, pid_t tid, char out[PROC_LINK]);
/* From now on the process of the call is there for the view.  The view is entered; 0 or -errno. */
int cwd_keep(struct call *call, const char *real);
void cwd_clear(struct session *session);

#endif
