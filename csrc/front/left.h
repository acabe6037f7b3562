/* left.h - what CMD leaves running.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_FRONT_LEFT_H
#define PTOVERLAY_FRONT_LEFT_H

#include <stdbool.h>

/* Tells who sits at the terminal why there is no prompt: `command` has ended, and others are still running.  False:
 * nothing is left, and nothing was told. */
bool left_tell(const void *run, const char *command);

#endif
