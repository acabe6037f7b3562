/* inject.h - giving a stopped tracee other arguments than its own: what both traps share.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_INJECT_H
#define PTOVERLAY_INJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../arch/arch.h"
#include "../calls/call.h"

/* Bytes that the replacements of a call take in the tracee's memory; 0: none is placed there. */
size_t inject_size(const struct call *call);
/* Places the bytes at address, which has inject_size() bytes, and the arguments in regs.  0, or -errno. */
/* read_only: the area is one that nobody may write, and the caller traces the task. */
int inject_arguments(const struct call *call, pid_t tid, uint64_t address, bool read_only, struct registers *regs);
/* The number of the call to run instead of the tracee's, of the architecture that it has called by; -1: there is none
 * there. */
int inject_number(const struct call *call);

/* Size of an area to map for a call that needs this much. */
size_t inject_area_size(size_t need);
/* Arguments of the mmap that makes such an area; its number. */
int inject_mmap(struct registers *regs, size_t need, bool read_only);
bool inject_mmap_failed(long result);

/* Can a call of the tracee's have its data there? */
bool inject_reaches(bool compat, uint64_t address, size_t size);

/* No handler of the tracee runs until inject_unblock gives it back its own signal mask.  0, or -errno. */
int inject_block(pid_t tid, uint64_t *own);
void inject_unblock(pid_t tid, uint64_t own);

#endif
