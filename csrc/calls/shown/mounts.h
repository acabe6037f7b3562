/* mounts.h - /proc/PID/mountinfo and mounts, in a mount namespace of a program's own.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_MOUNTS_H
#define PTOVERLAY_MOUNTS_H

#include <stdbool.h>

#include "../../view/view.h"

struct call;

/* As maps_plan(): the text tells of what is mounted in the caller's namespace. */
bool mounts_plan(struct call *call, int flags);
/* Of the mount that the path is in, as that text has it.  The view has mounts, and is locked. */
unsigned mounts_id(const pto_view *view, const char *path);

#endif
