/* maps.h - /proc/PID/maps and its like.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_MAPS_H
#define PTOVERLAY_MAPS_H

#include <stdbool.h>

struct call;

/* Is the call's location, to be opened with these flags, a file of /proc that tells real paths which the view has
 * elsewhere?  Then the plan is to open its text with the view's paths.  The view is entered, and left meanwhile. */
bool maps_plan(struct call *call, int flags);

#endif
