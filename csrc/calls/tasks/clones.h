/* clones.h - a child that gets a mount namespace of its own by clone(2).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_CLONES_H
#define PTOVERLAY_CLONES_H

struct call;

/* The call's process makes one: what its children ask waits until … */
void clones_begin(struct call *call);
/* … it is marked, or never will be; nothing if the process does not make one. */
void clones_end(const struct call *call);
void clones_wait(const struct call *call);

#endif
