/* untouched.h - answers inside of tracees: when, what, and who has them.
 *
 * A program that makes many calls about what the view shows as the lower has it gets a stub (stub/) into its address
 * space, which makes such calls itself; the filter lets those pass that come from its one system call instruction and
 * can change nothing. What it may answer it finds in a table (table.h), which is filled here from what has been
 * decided, and from the view, which tells of each change before it is done.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_UNTOUCHED_UNTOUCHED_H
#define PTOVERLAY_UNTOUCHED_UNTOUCHED_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../calls/call.h"
#include "sites.h"
#include "table.h"

/* What is known of a program: of a thread's entry in the trap, and gone with the program. */
struct inside {
    uint16_t calls;     /* that a stub might have answered */
    uint8_t next_ip;
    uint64_t ips[4];    /* call sites that were looked at with the stub there */
    bool asked;         /* whether its address space has a stub: fork inherits it */
    bool here;
    bool never;
};

struct untouched {
    pto_view *view;
    bool wanted;
    unsigned threshold;             /* calls of a program before it gets a stub */
    uint64_t options;
    pthread_mutex_t lock;           /* of what follows, until `open` */
    bool stopped;                   /* atomic: nobody gets a stub any more, and none answers */
    bool open, failed;              /* atomic: there is a table; there will be none */
    struct table table;
    struct view_answers answers;
    struct sites sites;
    uint64_t programs;              /* atomic: that have got one */
};

/* PTOVERLAY_INJECT in the environment: "0": nobody gets a stub; a number: the threshold less one; "always": 0, and
 * "check": the same, and each answer is compared with the supervisor's. */
void untouched_init(struct untouched *untouched, pto_view *view, bool wanted);
/* What is known at the end of a run. */
void untouched_count(const struct untouched *untouched, struct pto_stats *stats);
void untouched_clear(struct untouched *untouched);
/* Is a stub of use in this run? */
bool untouched_wanted(const struct untouched *untouched);
/* The calls of stubs that the filter may let pass: where they come from; 0: none. */
uint64_t untouched_passing_ip(const struct untouched *untouched);

/* A call is about to be passed that a stub might have answered: whether its program is to get one. */
bool untouched_due(const struct untouched *untouched, struct inside *inside);
/* The memory is there; false: there will be none. */
bool untouched_ready(struct untouched *untouched);
/* A call has been passed, and not been answered yet: such calls are to be answered inside. */
void untouched_learn(struct untouched *untouched, struct call *call, struct inside *inside);
/* Of what was learnt; 0: there is no table. */
uint64_t untouched_generation(const struct untouched *untouched);
/* Before a task changes its current directory, in whatever way. */
void untouched_moves(const struct untouched *untouched, pid_t tid);
/* From now on nothing is answered in the address space of the task; in none. */
void untouched_stop(const struct untouched *untouched, pid_t tid);
void untouched_stop_all(struct untouched *untouched);

/* map.c: one thread, to which our stops are nothing. */
bool untouched_can_enter(pid_t tid);
/* With the task in a ptrace-stop behind its interrupted call, and the two descriptors in its table (they are closed).
 * Its registers and its memory are as before, but for the stub and the patched sites.  0, or -errno: it has got
 * nothing; -ESRCH: it is dead. */
struct registers;
int untouched_enter(struct untouched *untouched, pid_t tid, const struct registers *stopped, int table_fd,
                    int notes_fd);
/* Of a task with a stub, whose call came from there: has nobody looked at that site yet, and is it not patched?  Then
 * its text is. */
bool untouched_new_site(struct inside *inside, pid_t tid, uint64_t ip);
void untouched_patch(struct untouched *untouched, pid_t tid);
/* Has the address space of the task a stub?  The other one remembers the answer. */
bool untouched_has(pid_t tid);
bool untouched_here(struct inside *inside, pid_t tid);

#endif
