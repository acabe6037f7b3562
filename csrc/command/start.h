/* start.h - making CMD: the fork, the filter and the execve.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_START_H
#define PTOVERLAY_START_H

#include <stdbool.h>
#include <sys/types.h>

#include "filter.h"
#include "run.h"

/* CMD before its execve.  It waits until start_go, so that a tracer can seize it first. */
struct start {
    pid_t pid;
    int go;            /* written to by start_go; closed early: CMD gives up */
    int report;        /* CMD writes struct start_report here when it cannot become the command */
    int report_in;     /* its other end, where CMD shares our descriptors */
    int report_in_cmd; /* the number of that end in CMD, whose execve closes it … */
    ino_t report_ino; /* … and its inode */
};

/* What CMD does before its execve, so that its calls are trapped from then on.  0, or -errno.  Async-signal-safe. */
typedef int start_enter_fn(const struct run *run, const void *arg);
/* One of them: arg is a struct start_filter. */
start_enter_fn start_enter_filter;
struct start_filter {
    const struct filter *filter;
    unsigned flags;     /* of seccomp(2), SECCOMP_SET_MODE_FILTER */
    int report;         /* where the listener is told, -1: nowhere */
    int socket;         /* over which it is sent, where there may be one: without it all goes on; -1: there is none */
};

/* Forks CMD, which will wait for start_go and then enter; the calling thread becomes its parent, or who is at the other
 * end of the run's channel (join.h), and then arg is a struct start_filter.  0, or -errno (record_failure was
 * called). */
int start_fork(struct run *run, start_enter_fn *enter, const void *arg, struct start *start);
/* Lets CMD enter, change to its directory and execute: all calls from here are trapped. */
int start_go(struct start *start);
/* The same for a filter with a listener (SECCOMP_FILTER_FLAG_NEW_LISTENER): does not wait, and returns the listener,
 * which is closed on exec.  Until its execve CMD shares our descriptors, so that no call of its is needed to hand it
 * over. */
int start_listening(struct run *run, const struct filter *filter, unsigned filter_flags, struct start *start);
/* What came over the other end of start_filter's socket, or -errno.  Does not wait. */
int start_receive_listener(int socket);
/* After CMD has ended: did it ever become the command?  0, or -errno with stage and message set. */
int start_outcome(struct run *run, struct start *start);
/* So far: has CMD told there (struct start's report; -1: never) that it cannot become the command?  Its end is closed
 * without a word by an execve that succeeds. */
bool start_failed(int report);
void start_close(struct start *start);
/* Do we have it, in the effective set? */
bool start_has_capability(int capability);

#endif
