/* run.h - one run of a command: what both traps share.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_RUN_H
#define PTOVERLAY_RUN_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <time.h>

#include "../calls/call.h"

struct run_slot;
struct start;

struct run {
    pto_view *view;
    const struct pto_command *command;
    struct pto_result *result;
    struct session session;
    struct run_slot *slot;      /* where pto_signal finds CMD */
    bool foreign_noted;         /* the warning about 32-bit calls was given */
    uint32_t nested; /* the nest, in a run inside a run, which has no view and session of its own; else 0 */
    struct rlimit files; /* RLIMIT_NOFILE as it was: CMD's own; ours is raised as far as it can be */
    int landlock; /* ruleset that CMD enters, -1: none */
    int trace_fd; /* -1: no trace, or nobody reads it any more */
    pthread_mutex_t trace_lock; /* one record is written as a whole */
};

/* Start CMD and live until it and what it started have ended.  0, or -errno with result->stage and
 * result->message set. */
int ptrace_run(struct run *run);
/* The same by user notification.  With result->stage SETUP nothing of CMD has run: the other trap may be tried. */
int notify_run(struct run *run);

/* pto_signal and pto_began reach CMD from run_announce on (0, or -errno); signals sent before that are delivered then. */
int run_announce(struct run *run, const struct start *start);
/* CMD has been waited for: pto_left tells what is left, which the notify trap knows by these ids (ptrace: NULL, by who traces
 * them).  Before they are no more: run_forget_left. */
void run_cmd_ended(struct run *run, const pid_t *ids, size_t n);
void run_forget_left(struct run *run);
/* What CMD may have reported is about to be read. */
void run_over(struct run *run);

/* CMD has been stopped by a signal of the terminal's (not SIGSTOP) and still is: the shell that waits for us must see a
 * stopped job, so we stop as well, if we are one.  news: of waitid(2), what tells that CMD is stopped no more. */
void run_stop_with_cmd(pid_t cmd, int signal, int news);

/* Sets stage, error and the message "what: why" (why NULL: strerror); returns -error. */
int run_fail(struct run *run, int stage, int error, const char *what, const char *why);

/* One line `ptoverlay: …` to the message descriptor, unless there is none. */
void run_warn(const struct run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A call of another architecture (i386, x32, arm) was refused: says so once. */
void run_warn_foreign(struct run *run, pid_t tid);
/* --strict: why the tracee is being killed. */
void run_warn_killed(const struct run *run, const struct call *call);

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t run_clock(void);
/* A time that far away, for functions of pthread.h that wait until then. */
struct timespec run_time_limit(long nanoseconds);
/* Counts a call that has been answered and writes its trace record; call->value is what the tracee got. */
void run_record(struct run *run, const struct call *call, uint64_t start);
/* Counts a call that was passed unasked, and the time spent on it. */
void run_passed(struct run *run, int nr, uint64_t nanoseconds);
/* Adds time spent on a call. */
void run_spent(struct run *run, int nr, uint64_t nanoseconds);

#endif
