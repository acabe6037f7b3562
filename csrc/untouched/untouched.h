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

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../calls/call.h"
#include "../process/lock.h"
#include "early.h"
#include "sites.h"
#include "table.h"

/* What is known of a program: of a thread's entry in the trap, and gone with the program. */
struct inside {
    uint16_t calls;     /* that a stub might have answered */
    uint8_t next_ip;
    uint64_t ips[4];    /* call sites that were looked at with the stub there … */
    uint8_t in_vain;    /* … in a row, and nothing was patched */
    uint8_t fruitless;  /* calls in a row that the stub had left to us, and that there was nothing to learn from … */
    uint8_t left_out;   /* … and that were not even looked at since then */
    bool same;          /* the program's last call was an execve of what is not there: it is the same one still */
    bool asked;         /* whether its address space has a stub: fork inherits it */
    bool here;
    bool fresh;         /* it was begun since it is known, so that it has none but what it is brought */
    bool never;
    bool early;         /* it gets one at its first call */
    uint32_t program;   /* the number of its file in the view, 0: not known */
};

struct untouched {
    pto_view *view;
    bool wanted;
    unsigned long filters;          /* of seccomp, that we are under */
    unsigned threshold;             /* calls of a program before it gets a stub */
    uint64_t options;
    struct lock lock;               /* of what follows, until `open` */
    bool stopped;                   /* atomic: nobody gets a stub any more, and none answers */
    bool open, failed;              /* atomic: there is a table; there will be none */
    struct table table;
    struct view_answers answers;
    struct sites sites;
    struct early early;
    int error;                      /* atomic: why a program has got none, the last one, -errno or 0 */
    uint64_t programs;              /* atomic: that have got one */
};

/* PTOVERLAY_INJECT in the environment: "0": nobody gets a stub; a number: the threshold less one; "always": 0, and
 * "check": the same, and each answer is compared with the supervisor's. */
/* alone: no other run has this view, and none had: one table is written for it. */
void untouched_init(struct untouched *untouched, pto_view *view, bool wanted, bool records, bool alone);
/* What is known at the end of a run. */
void untouched_count(const struct untouched *untouched, struct pto_result *result);
/* A program that was to get a stub has got none. */
void untouched_failed(struct untouched *untouched, int error);
void untouched_clear(struct untouched *untouched);
/* Is a stub of use in this run? */
bool untouched_wanted(const struct untouched *untouched);
/* The calls of stubs that the filter may let pass: where they come from; 0: none. */
uint64_t untouched_passing_ip(const struct untouched *untouched);

/* The program of that number begins. */
void untouched_executed(struct untouched *untouched, struct inside *inside, uint32_t program);
/* The program has got a stub, or not: error. */
void untouched_entered(struct untouched *untouched, struct inside *inside, int error);
/* A call is about to be passed that a stub might have answered: whether its program is to get one. */
bool untouched_due(const struct untouched *untouched, struct inside *inside);
/* The memory is there; false: there will be none. */
bool untouched_ready(struct untouched *untouched);
/* A call has been passed, and not been answered yet: such calls are to be answered inside. */
void untouched_learn(struct untouched *untouched, struct call *call, struct inside *inside);
/* A reading call has been recorded (calls/inputs.h): stubs may answer the same one without being asked for it. */
void untouched_note(struct untouched *untouched, struct call *call);
/* A call has been answered by what the view shows: of what only the upper has it could be answered inside. */
void untouched_learn_own(struct untouched *untouched, struct call *call, struct inside *inside);
bool untouched_stops_own(const struct untouched *untouched);
/* Is the call to be left out, as so many before taught nothing?  Who learns asks, and tells how it went, with what
 * table.learnt was: learning costs more than the trap. */
bool untouched_leaves_out(struct inside *inside);
void untouched_learnt(const struct untouched *untouched, struct inside *inside, uint64_t before);
/* Of what was learnt; 0: there is no table. */
uint64_t untouched_generation(const struct untouched *untouched);
/* Before a task changes its current directory, in whatever way. */
void untouched_moves(const struct untouched *untouched, pid_t tid);
/* From now on nothing is answered in the address space of the task; in none. */
void untouched_stop(const struct untouched *untouched, pid_t tid);
void untouched_stop_all(struct untouched *untouched);

/* map.c: one thread, to which our stops are nothing, and no seccomp filter but ours. */
bool untouched_can_enter(const struct untouched *untouched, pid_t tid);
unsigned long untouched_filters(void);  /* that we are under ourselves */
/* The way into a task in a ptrace-stop, with these registers when it stands behind its interrupted call. */
struct registers;
struct entering {
    pid_t tid;
    const struct registers *stopped;
    uint64_t mask;          /* its own */
    int stop;               /* a signal by which it was to stop meanwhile, 0: none */
};
/* Blocks signals.  0, or -errno. */
int entering_begin(struct entering *entering, pid_t tid, const struct registers *stopped);
/* Of a task that was resumed by this request, until the stop that it ends in.  -EINTR: it is another one; -ESRCH: the
 * task is dead, and not reaped. */
int entering_wait(struct entering *entering, int request);
/* With the two descriptors in the task's table (they are closed): its memory is as before then, but for the stub and
 * the patched sites.  0, or -errno: it has got nothing; -ESRCH: it is dead. */
int untouched_enter(struct untouched *untouched, struct entering *entering, const struct inside *inside, int table_fd,
                    int notes_fd);
/* The signal that it is to be resumed with: one that stops it came meanwhile; 0: none.  Only that way a SIGCONT that
 * comes later ends that stop.  Its registers are the caller's to write. */
int entering_end(struct entering *entering);
/* Of a task with a stub, whose call came from there: has nobody looked at that site yet, and is it not patched?  Then
 * its text is. */
bool untouched_new_site(struct inside *inside, pid_t tid, uint64_t ip);
void untouched_patch(struct untouched *untouched, struct inside *inside, pid_t tid, uint64_t ip);
/* Has the address space of the task a stub?  The other one remembers the answer. */
bool untouched_has(pid_t tid);
bool untouched_here(struct inside *inside, pid_t tid);

#endif
