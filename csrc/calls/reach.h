/* reach.h - real paths that the tracee is given, however long they are.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_REACH_H
#define PTOVERLAY_REACH_H

#include <stdbool.h>

struct call;

bool reach_is_far(const char *path);
/* The tracee's call gets the path as this argument, by links where it is too long; or it is ENAMETOOLONG.  For calls
 * that change nothing: the kernel follows the links.  The view must be entered. */
void reach_substitute(struct call *call, unsigned arg, const char *path);

#endif
