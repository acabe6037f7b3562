/* passing.h - a descriptor is passed between us and a task that we trace, by calls that it makes for us.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_PASSING_H
#define PTOVERLAY_PASSING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../../arch/arch.h"

struct passing;

/* Of the memory of the task's that it takes. */
size_t passing_size(void);
/* The task gets fd, which is the passing's own from now on.  NULL: no memory. */
struct passing *passing_give(int fd, bool close_on_exec);
/* We get the task's descriptor of that number.  NULL: no memory. */
struct passing *passing_take(int number);
void passing_free(struct passing *passing);
/* Prepares the next call that the task is to make: arguments in *regs, its number.  -1: there is none left. */
int passing_next(struct passing *passing, pid_t tid, uint64_t area, struct registers *regs);
/* It has returned result. */
void passing_returned(struct passing *passing, pid_t tid, uint64_t area, long result);
/* The task's new descriptor, or ours, which is the caller's from now on; or -errno. */
long passing_result(struct passing *passing);

#endif
