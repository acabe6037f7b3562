/* maps.h - /proc/PID/maps and its like.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_MAPS_H
#define PTOVERLAY_MAPS_H

#include <stdbool.h>
#include <stddef.h>

struct call;

/* Is the call's location, to be opened with these flags, a file of /proc that tells real paths which the view has
 * elsewhere?  Then the plan is to open its text with the view's paths.  The view is entered, and left meanwhile. */
bool maps_plan(struct call *call, int flags);
/* The plan is to open this text in the place of the call's location; false: flags ask for more than to read it. */
bool maps_plan_text(struct call *call, const char *bytes, size_t length, int flags);

#endif
