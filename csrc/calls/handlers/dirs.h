/* dirs.h - chdir(2), as the trap carries it out.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_DIRS_H
#define PTOVERLAY_DIRS_H

#include <stdbool.h>

struct call;

/* Of a chdir to SUBSTITUTE, for a trap that cannot give the tracee other arguments: does the kernel, by the tracee's
 * own path, come to the same directory of the view? */
bool dirs_chdir_stands(struct call *call);
/* If not, it is answered with this: the supervisor keeps the directory. */
int dirs_chdir_keep(struct call *call);

#endif
