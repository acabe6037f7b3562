/* outside.h - descriptors that came from outside and are opened again; the view is entered.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_OUTSIDE_H
#define PTOVERLAY_OUTSIDE_H

#include <stdbool.h>
#include <sys/types.h>

struct call;

/* Does link, which is …/fd/N in /proc, lead to a lower's file that such a descriptor may write? */
bool outside_leads(struct call *call, const char *link);
/* Opens that file for the caller: a descriptor of ours, or -errno; -ENOENT: it is none. */
int outside_open(struct call *call, const char *link, int flags);
/* False: it is none. */
bool outside_truncate(struct call *call, const char *link, off_t length);

#endif
