/* busy.h - what tasks execute.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_BUSY_H
#define PTOVERLAY_BUSY_H

/* arg: the session. -ETXTBSY when a task executes the file that the view shows with this identity, else 0. */
struct statx;

int busy_executed(void *arg, const struct statx *file);

#endif
