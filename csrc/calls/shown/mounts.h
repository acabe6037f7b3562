/* mounts.h - /proc/PID/mountinfo and mounts, in a mount namespace of a program's own.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_MOUNTS_H
#define PTOVERLAY_MOUNTS_H

#include <stdbool.h>

struct call;

/* As maps_plan(): the text tells of what is mounted in the caller's namespace. */
bool mounts_plan(struct call *call, int flags);

#endif
