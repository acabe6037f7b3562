/* wake.h - ending the wait of a thread of ours.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_WAKE_H
#define PTOVERLAY_WAKE_H

/* A signal that does nothing but end the wait of a thread of ours that does not block it.  0: none can be had. */
int wake_signal(void);
/* The calling thread does not block it. */
void wake_let_through(void);

#endif
