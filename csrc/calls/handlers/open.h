/* open.h - open(2), as the trap carries it out.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_OPEN_H
#define PTOVERLAY_OPEN_H

#include <stdbool.h>
#include <sys/stat.h>

struct call;

/* An open with these flags may change something, or would if another process made or removed a name meanwhile. */
bool open_may_change(int flags);
/* OPEN: opens it for the tracee.  A descriptor, close-on-exec, or -errno.  -ELOOP, as from the tracee's own open: names
 * have changed since call_begin, and the call is to be begun anew. */
int open_call(const struct call *call);
/* With `alone`, once no other task runs: the tracee's descriptor by which the object was found leads to it still. */
bool open_leads_there(const struct call *call);
/* OPEN: what is there now, unless it is made. 0, or -errno. */
int open_call_stat(const struct call *call, struct stat *st);

#endif
