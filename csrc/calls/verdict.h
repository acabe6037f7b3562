/* verdict.h - what a handler does with a call: it enters and leaves the view, and decides.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_VERDICT_H
#define PTOVERLAY_VERDICT_H

#include <stddef.h>
#include <stdint.h>

struct call;

void view_enter(struct call *call);
void view_leave(struct call *call);
void answer(struct call *call, long value);
/* Leaves the view, writes to the tracee, and answers value, or -EFAULT. */
void answer_bytes(struct call *call, uint64_t address, const void *data, size_t size, long value);
/* Answers -error because the call cannot be carried out; counted, and the end of the tracee with --strict. */
void refuse(struct call *call, int error, const char *reason);
void substitute_value(struct call *call, unsigned arg, uint64_t value);
void substitute_bytes(struct call *call, unsigned arg, const void *data, size_t size);
void substitute_string(struct call *call, unsigned arg, const char *string);
/* PASS with call_finish() at the exit; afterwards *generation is raised, and *pending is up meanwhile. */
void watch(struct call *call, uint64_t *generation, unsigned *pending);

#endif
