/* capabilities.h - capset as a fake root sees it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_FAKED_CAPABILITIES_H
#define PTOVERLAY_FAKED_CAPABILITIES_H

struct call;
struct seen;

/* new: a copy of what was, to be changed as the call says.  0, or -errno. */
int capabilities_set(struct call *call, const struct seen *old, struct seen *new);

#endif
