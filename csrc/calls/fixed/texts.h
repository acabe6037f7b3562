/* texts.h - files of /proc and /sys that tell of the machine.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_FIXED_TEXTS_H
#define PTOVERLAY_FIXED_TEXTS_H

#include <stdbool.h>

struct call;

/* Is the call's location, to be opened with these flags, a file that tells of the machine, of chance or of the time?
 * Then the plan is to open another text.  The view is entered. */
bool texts_plan(struct call *call, int flags);

#endif
