/* session.h - what all tasks of one run share.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_SESSION_H
#define PTOVERLAY_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "../process/lock.h"
#include "programs/executed.h"
#include "shown/inodes.h"
#include "../view/view.h"

/* What all tasks of one run share. */
struct session {
    pto_view *view;
    unsigned flags;                 /* PTO_STRICT … */
    unsigned features;              /* PTO_FEATURE_* */
    int message_fd;
    uint64_t umask_generation;      /* starts at 1; raised when a umask call has returned */
    unsigned umask_pending;         /* umask calls under way: nothing is cached meanwhile */
    uint64_t cwd_generation;        /* the same for chdir and fchdir */
    unsigned cwd_pending;
    bool opens;                     /* set by the trap: it carries out OPEN by open_call() */
    bool guarded;                   /* Landlock keeps tracees from making names by themselves */
    bool lower_removed;             /* a lower object lost its name: descriptors may be of it.  view_lock's */
    bool filtered;                  /* atomic: a task has asked for a seccomp filter of its own */
    bool leased;                    /* atomic: a task has asked for a lease */
    bool user_namespaces;           /* atomic: a task may be in another user namespace than the supervisor */
    ino_t user_ns;                  /* atomic: the supervisor's own, 0: not asked yet */
    bool securebits;                /* atomic: somebody may have set one, which execve(2) minds */
    struct pto_stats *stats;        /* set by the trap: only .refused is counted here */
    struct executed executed[EXECUTED_PROGRAMS];
    struct shown_inodes shown_inodes;
    struct programs *programs;      /* programs/programs.c's patched copies, and the directory of a run */
    struct common *common;          /* tasks/common.c: atomic: credentials of all tasks, NULL: not read yet */
    bool varied;                    /* atomic: … a task may have others */
    struct identity *identity;      /* tasks/identity.c: the supervisor's own */
    struct seen_book *seen;         /* tasks/seen.c: what tasks of a fake root see; NULL: not asked yet */
    struct nest *nests;             /* tasks/nest.c: views within the view */
    unsigned n_nests;               /* atomic: those that are not over */
    unsigned n_roots;               /* atomic: of these, those that are roots within a view */
    pid_t cloning;                  /* atomic: a process that is making a child with a mount namespace of its own */
    unsigned last_nest;             /* id */
    uint64_t mark;                  /* of its members, less the id */
    struct cwds *cwds;              /* tasks/cwd.c */
    struct fixed *fixed;            /* fixed/fixed.c; NULL: no build */
    struct instances *instances;    /* handlers/watches.c */
    struct inputs *inputs;          /* inputs.c; NULL: nobody wants to know */
    struct call_scratch *scratch;   /* unused ones */
    struct task *tasks;             /* all of them */
    struct lock lock;               /* of tasks, nests and scratch; the generations are atomic.  It is taken
                                     * inside of the view's, never the other way */
};
void session_init(struct session *session, pto_view *view);
void session_clear(struct session *session);
/* Are calls of the 32-bit architecture carried out (compat.h)? */
bool session_compat(const struct session *session);
/* Are calls of interest for more than their verdicts: recorded, made equal, faked? */
bool session_looks_closer(const struct session *session);
/* For a call: NULL when there is no memory. */
struct call_scratch *session_take_scratch(struct session *session);
void session_give_scratch(struct session *session, struct call_scratch *scratch);

#endif
