/* record.h - what a run tells: counters, trace records, warnings, and why it failed.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_RECORD_H
#define PTOVERLAY_RECORD_H

#include "run.h"

/* Sets stage, error and the message "what: why" (why NULL: strerror); returns -error. */
int record_failure(struct run *run, int stage, int error, const char *what, const char *why);

/* One line `ptoverlay: …` to the message descriptor, unless there is none. */
void record_warning(const struct run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A call of another architecture (i386, x32, arm) was refused: says so once (record_call does of a program). */
void record_foreign(struct run *run, pid_t tid);
/* --strict: why the tracee is being killed. */
void record_killed(const struct run *run, const struct call *call);

/* Counts a call that has been answered and writes its trace record; call->value is what the tracee got. */
void record_call(struct run *run, const struct call *call, uint64_t start);
/* Counts a call that was passed unasked, and the time spent on it. */
void record_passed(struct run *run, int nr, uint64_t nanoseconds);
/* Adds time spent on a call. */
void record_spent(struct run *run, int nr, uint64_t nanoseconds);

#endif
