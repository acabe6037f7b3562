/* tend.h - processes whose signal handlers would make calls fail that no worker has received yet.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_TEND_H
#define PTOVERLAY_TEND_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

struct attachment;
struct notify_trap;
struct renewed;
struct tend_request;
struct worker;

struct tender {
    struct notify_trap *trap;
    pthread_mutex_t lock;
    pthread_cond_t asked;               /* for the tender, while it has no tracee */
    pthread_cond_t served;              /* for those who ask */
    pthread_t thread;
    bool made, has_thread, ending;
    struct tend_request *requests;
    struct tend_request *releases;      /* the tender's own: whose task is to be let go at its next stop */
    struct attachment *attachments;     /* the tender's own: calls that are under way */
    struct renewed *renewed;            /* tasks that replace descriptors (renewals.h) */
    int cmd_stop; /* atomic: CMD, traced, has been stopped by this signal of the terminal's; 0 */
};

void tend_init(struct tender *tender, struct notify_trap *trap);
void tend_clear(struct tender *tender); /* when no tracee is left, or all are to be killed */

/* The process of this task is tended from now on. */
void tend_process(struct worker *worker, pid_t pid);
/* Another wants to trace pid, which is let go if it is tended.  itself: it is the caller, and the answer is that its call is
 * to be made again.  False: it is not tended, and nothing has happened. */
bool tend_release(struct worker *worker, pid_t pid, bool itself);
/* Runs the call of a task that is tended; false: it is not, and nothing has happened. */
bool tend_call(struct attachment *at);
/* Begins that the task replaces descriptors, for renewals.h; false: there is no tender. */
bool tend_renew(struct tender *tender, struct renewed *task);
/* By the tender: a task in a PTRACE_EVENT_STOP is not traced any more.  False: it is, since a call of it is under way. */
bool tend_let_go(struct tender *tender, pid_t tid);
/* Answers that the call of a task that is tended is to be restarted; false: it is not, and nothing has happened. */
bool tend_interrupt(struct worker *worker);
/* The run's thread has reaped the process. */
void tend_reaped(struct notify_trap *trap, pid_t pid);

#endif
