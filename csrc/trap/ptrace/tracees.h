/* tracees.h - the tracees of the ptrace trap, found by thread id.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_TRACEES_H
#define PTOVERLAY_TRACEES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../../arch/arch.h"
#include "../../calls/call.h"
#include "../../calls/tasks/task.h"
#include "../../untouched/untouched.h"
#include "files.h"
#include "space.h"

struct passing;
struct renewer;

enum tracee_state {
    TRACEE_FREE,        /* runs, no call under way */
    TRACEE_ANNOUNCED,   /* the parent's event named it, its own first stop is to come */
    TRACEE_HELD,        /* kept at its first stop until the parent's event tells what it inherits */
    TRACEE_GONE,        /* died before the parent's event */
    TRACEE_MAPPING,     /* a call is begun; the tracee runs mmap for us first */
    TRACEE_GIVEN,       /* a call is begun; the tracee runs one of those of passing.h for us */
    TRACEE_REWOUND,     /* a call is begun and mapped for; it comes to its seccomp stop again */
    TRACEE_CALL,        /* a call runs, to be finished at its exit stop */
    TRACEE_WAITING,     /* a call is begun and waits, see replacing.h */
};

struct tracee {
    struct tracee *next;          /* in its bucket */
    struct task task;
    struct call call;             /* from begin to end in the states MAPPING, REWOUND and CALL */
    uint64_t call_start;          /* CLOCK_MONOTONIC, ns */
    enum tracee_state state;
    bool substituted;             /* CALL: registers were changed and are to be put back from regs */
    bool untraced;                /* CALL: CLONE_UNTRACED was taken out of clone's flags */
    bool has_regs;                /* HELD, ANNOUNCED: argument 0 is to be put back from regs */
    bool visited;                 /* the call was one at which the tracee was to get a stub (way_in.h) */
    int stop;                     /* a signal that came during such a visit, 0: none */
    bool opens;                   /* was let open a file, and has not stopped since */
    bool alone;                   /* CALL: see alone.h, until it is resumed */
    bool interrupted;             /* was asked to stop for another's call, see alone.h */
    bool rewound;                 /* WAITING: is at its system call instruction again, and not at its seccomp stop */
    bool late;                    /* has a renewer, for which nobody waits */
    int first_signal;             /* HELD: what the first stop said; WAITING and rewound: the last one */
    int map_error;                /* REWOUND: why there is no area, -errno or 0 */
    struct registers regs;        /* as the tracee made the call */
    unsigned again;               /* how often the call was begun anew */
    uint64_t signal_mask;         /* REWOUND: the tracee's own */
    struct space *space;
    struct area *area;            /* taken by the call, or NULL */
    struct passing *passing;      /* what it is to get by its call, or NULL */
    struct files *files;          /* NULL: no memory */
    struct inside inside;
    uint64_t ip;                  /* behind the instruction of the call under way */
    struct renewer *renewer;      /* replacing.h: it is to replace descriptors; or NULL */
};

/* Lets a stopped tracee run on, delivering signal (0: none), to its exit stop if its call asks for one. */
void tracee_resume(const struct tracee *tracee, int signal);
/* The same after a PTRACE_EVENT_STOP, with the signal that it tells: in a group stop it stays, as it would without us,
 * until SIGCONT. */
void tracee_resume_from_stop(const struct tracee *tracee, int signal);

#define TRACEE_BUCKETS 1024u
struct tracees {
    struct tracee *buckets[TRACEE_BUCKETS];
    size_t count;
};

struct tracee *tracees_find(struct tracees *tracees, pid_t tid);
/* NULL: no memory.  The new one is FREE, has no space yet and descriptors of its own. */
struct tracee *tracees_add(struct tracees *tracees, struct session *session, pid_t tid);
/* Takes it out and frees it with what it owns; a call under way must have been ended, and replacing_forget() called. */
void tracees_remove(struct tracees *tracees, struct tracee *tracee);
/* The thread got another id: execve by a thread that is not the leader. */
void tracees_rename(struct tracees *tracees, struct tracee *tracee, pid_t tid);
/* Calls each for every tracee; each may remove the one it is given. */
void tracees_each(struct tracees *tracees, void (*each)(void *arg, struct tracee *tracee), void *arg);

#endif
