/* alone.h - a call that no other task may have a say in: the ptrace trap.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_ALONE_H
#define PTOVERLAY_ALONE_H

#include <stdbool.h>

struct call;
struct ptrace_trap;
struct tracee;

/* The tracee is in its seccomp stop.  From here on until it is resumed, and alone_end() has returned, no task runs
 * that shares its memory or its descriptors.  False: none does. */
bool alone_begin(struct ptrace_trap *trap, struct tracee *tracee);
/* Could a symlink lead it elsewhere?  Then nothing else is to be served until alone_end() either. */
bool alone_walks(const struct call *call);
/* After the tracee was resumed: returns when the kernel has read the call's arguments, and walked the path. */
void alone_end(const struct tracee *tracee);
/* At a PTRACE_EVENT_STOP that alone_begin() may have asked for: a call that it has interrupted is made again. */
void alone_stopped(struct tracee *tracee);

#endif
