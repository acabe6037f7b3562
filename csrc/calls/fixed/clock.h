/* clock.h - the time that a build is told.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_FIXED_CLOCK_H
#define PTOVERLAY_FIXED_CLOCK_H

struct call;

/* After a successful execve, the task being stopped: calls that the C library answers without the kernel it makes from
 * now on, and the 16 random bytes of the program are those of the seed. */
void fixed_clock_program(struct call *call);

#endif
