/* notify.h - the notify trap.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_NOTIFY_H
#define PTOVERLAY_NOTIFY_H

struct run;

/* As ptrace_run().  With result->stage SETUP nothing of CMD has run: the other trap may be tried. */
int notify_run(struct run *run);

#endif
