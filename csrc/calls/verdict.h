/* verdict.h - what a handler does with a call: it enters and leaves the view, and decides.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_VERDICT_H
#define PTOVERLAY_VERDICT_H

#include <stddef.h>
#include <stdint.h>

struct call;

void verdict_enter_view(struct call *call);
void verdict_leave_view(struct call *call);
/* What it was told of an upper it will write after it has left the view; until call_end(). */
void verdict_writes(struct call *call);
void verdict_answer(struct call *call, long value);
/* Leaves the view, writes to the tracee, and answers value, or -EFAULT. */
void verdict_answer_bytes(struct call *call, uint64_t address, const void *data, size_t size, long value);
/* Answers -error because the call cannot be carried out; counted, and the end of the tracee with --strict. */
void verdict_refuse(struct call *call, int error, const char *reason);
void verdict_substitute(struct call *call, unsigned arg, uint64_t value);
void verdict_substitute_bytes(struct call *call, unsigned arg, const void *data, size_t size);
void verdict_substitute_string(struct call *call, unsigned arg, const char *string);
/* A finish_fn for who has to be at the exit, and changes nothing there. */
long verdict_keep(struct call *call, long result);
/* PASS with call_finish() at the exit; afterwards *generation is raised, and *pending is up meanwhile. */
void verdict_watch(struct call *call, uint64_t *generation, unsigned *pending);

#endif
