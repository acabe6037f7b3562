/* task.h - one thread of the command, and what is known of it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_TASK_H
#define PTOVERLAY_TASK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../../view/view.h"

struct birth;
struct call;
struct seen;
struct session;

/* One thread of the command.  The trap makes and frees it; task.c fills what it caches. */
struct task {
    pid_t tid;                  /* the thread that calls */
    pid_t tgid;                 /* its process; 0: not asked yet */
    struct cred cred;           /* valid while cred_known */
    gid_t *groups;              /* owned; cred.groups points here */
    struct id_maps *ids;        /* owned; cred.ids points here */
    bool cred_known;            /* cleared by exec and by the set*id calls */
    bool cred_stays;            /* by executing a plain program it would not change */
    bool executes_plain;        /* … which is what it has asked for last */
    uint32_t executes;          /* the number in the view of what it has asked for last, 0: of nothing */
    uint64_t umask_generation;  /* cred.umask was read in this generation, 0: never */
    uid_t uid;                  /* real ids, for access(2); valid while cred_known */
    gid_t gid;
    uint64_t permitted;         /* capabilities, valid while cred_known */
    char *cwd;                  /* view path of the current directory, or NULL; owned */
    uint64_t cwd_generation;    /* cwd was read in this generation of the session, 0: never */
    uint64_t cwd_view;          /* … and in this one of the view */
    bool cwd_pass;              /* its real path is the same */
    const struct seen *seen;    /* seen.c: of a fake root; NULL: not asked yet */
    struct seen *seen_next;     /* … and what it sees if the execve under way succeeds, NULL: the same; owned */
    int pidfd;                  /* -1: not open yet */
    int lent;                   /* the trap's own pidfd, which does as well, -1: it has none */
    unsigned looks;             /* shown/inodes.c: in vain, of the program */
    int dumpable;               /* what its process has set by PR_SET_DUMPABLE, + 1, or 0; session->lock's */
    uint64_t child_mark;        /* of its next child, which gets it before it begins (members.h); 0: none */
    bool executed;              /* another program, since it is known */
    uint32_t program;           /* inputs.c: the number of what it runs, 0: not asked yet */
    struct birth *birth;        /* fixed/births.c: its own, NULL: not asked yet */
    uint64_t waited;            /* fixed/clock.c: nanoseconds that it alone is told to have passed */
    void *trap;                 /* the trap's own */
    struct session *session;
    struct task *next, **link;  /* in the session's list: the task after it, and what points here */
};
void task_init(struct task *task, struct session *session, pid_t tid);
/* fork: what is inherited.  thread: it is one of the parent's process. */
void task_inherit(struct task *child, const struct task *parent, bool thread);
void task_exec(struct task *task);                               /* after a successful execve */
void task_clear(struct task *task);                              /* frees what it owns */

/* Credentials of the call's task, NULL with the verdict set when they cannot be had. */
const struct cred *task_cred(struct call *call);
/* The same with a umask that is right. */
const struct cred *task_cred_umask(struct call *call);
/* For access(2): those of the real ids. */
const struct cred *task_real_cred(struct call *call, struct cred *out);
/* Are all ids of a process the real ones of the task, whose credentials are known? */
bool task_same_ids(const struct task *task, pid_t pid);
/* Does the task run under a seccomp filter of its own, which may kill it for a call that it does not make? */
bool task_filtered(const struct call *call);
/* A descriptor of the tracee, as ours; -errno. */
int task_descriptor(struct call *call, int fd);
/* Has a thread with this id, or one of this process or of one that it descends from, called? */
bool task_in_run(struct session *session, pid_t pid);
/* What a process has set by PR_SET_DUMPABLE, or whom it has it from. */
int task_dumpable(struct session *session, pid_t process);
void task_keep_dumpable(struct task *task, int value);

#endif
