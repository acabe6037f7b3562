/* call.h - one trapped system call and the verdict on it.
 *
 * Rules: a handler reads the arguments and the tracee's memory, asks the view, and returns a verdict.  It
 * never touches registers, and never passes a call that writes below a place that an overlay covers.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_CALL_H
#define PTOVERLAY_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../view/view.h"

/* One thread of the command.  The trap makes and frees it; calls/task.c fills what it caches. */
struct task {
    pid_t tid;                  /* the thread that calls */
    pid_t tgid;                 /* its process; 0: not asked yet */
    struct cred cred;           /* valid while cred_known */
    gid_t *groups;              /* owned; cred.groups points here */
    bool cred_known;            /* cleared by exec and by the set*id calls */
    uint64_t umask_generation;  /* cred.umask was read in this generation, 0: never */
    char *exe;                  /* view path of a program that runs from a patched copy, or NULL; owned */
    int pidfd;                  /* -1: not open yet */
    void *trap;                 /* the trap's own */
};
void task_init(struct task *task, pid_t tid);
void task_copy(struct task *child, const struct task *parent);   /* fork: what is inherited */
void task_exec(struct task *task);                               /* after a successful execve */
void task_clear(struct task *task);                              /* frees what it owns */

enum verdict_kind {
    VERDICT_PASS = PTO_VERDICT_PASS,
    VERDICT_RETURN = PTO_VERDICT_RETURN,
    VERDICT_OPEN = PTO_VERDICT_OPEN,
    VERDICT_SUBSTITUTE = PTO_VERDICT_SUBSTITUTE,
};

/* One argument that the tracee's call gets instead of its own. */
struct replacement {
    unsigned arg;               /* 0 to 5 */
    bool bytes;                 /* true: data is placed in the tracee's memory, the argument is its address */
    uint64_t value;             /* bytes false: the argument itself */
    const void *data;
    size_t size;
};
#define REPLACEMENTS 4

struct call;
/* Runs when the call that was opened or substituted has returned `result`; returns what the tracee is to get. */
typedef long finish_fn(struct call *call, long result);

struct call {
    /* in */
    pto_view *view;
    struct task *task;
    struct session *session;    /* what all tasks of one run share; calls/session.h */
    int nr;
    uint64_t arg[6];

    /* out */
    enum verdict_kind verdict;
    long value;                            /* RETURN: value or -errno */
    size_t n_replacements;                 /* OPEN, SUBSTITUTE */
    struct replacement replacements[REPLACEMENTS];
    int new_nr;                            /* OPEN, SUBSTITUTE: run this call instead, -1: the same */
    finish_fn *finish;                     /* OPEN, SUBSTITUTE: or NULL */
    int open_flags;                        /* OPEN: what to open, for a trap that opens for the tracee */
    mode_t open_mode;
    const char *open_path;                 /* OPEN: absolute real path; valid until call_end */
    bool watch_exit;                       /* PASS: finish is to run at the exit all the same */
    bool kill;                             /* --strict: the tracee is to be killed, with reason */
    const char *reason;                    /* why a call was refused; static text, or NULL */
    const char *trace_path;                /* view path for --trace, or NULL; valid until call_end */
    /* Scratch that lives as long as the call: from call_begin to call_end. */
    struct call_scratch *scratch;
};

/* What the trap does at a stop: call_begin decides (fills the out part); the trap carries the verdict
 * out; call_finish runs at the exit if the verdict asked for it (and returns the result to hand over);
 * call_end frees.  The struct is the trap's and is used again for the next call. */
void call_begin(struct call *call);
long call_finish(struct call *call, long result);
/* After execve succeeded: no exit with an error, the task has a new program. */
void call_exec_done(struct call *call);
void call_end(struct call *call);

/* One row a system call.  How the seccomp filter meets it. */
enum filter_kind {
    FILTER_TRAP,        /* to the supervisor */
    FILTER_ERRNO,       /* refused by the filter itself with .filter_errno */
    FILTER_TRAP_IF_SET, /* trapped only if (argument .filter_arg & .filter_mask) != 0 */
    FILTER_TRAP_IF_IN,  /* trapped only if the low 32 bits of argument .filter_arg are one of .filter_values */
};
typedef void handler_fn(struct call *call);
struct call_row {
    int nr;                     /* __NR_*, or -1 where the architecture has no such call */
    const char *name;
    handler_fn *handler;        /* NULL for FILTER_ERRNO */
    enum filter_kind filter;
    int filter_errno;
    unsigned filter_arg;
    uint64_t filter_mask;
    const uint32_t *filter_values;  /* ended by 0 */
};
extern const struct call_row call_table[];
extern const size_t call_table_size;
/* Highest call number the table was checked against; the filter answers ENOSYS to higher ones. */
extern const int call_table_last;
const struct call_row *call_row(int nr);    /* NULL: no row */

/* What all tasks of one run share. */
struct session {
    pto_view *view;
    unsigned flags;                 /* PTO_STRICT … */
    int message_fd;
    uint64_t umask_generation;      /* starts at 1; raised when a umask call has returned */
    unsigned umask_pending;         /* umask calls under way: nothing is cached meanwhile */
    struct pto_stats *stats;
    void *sockets;                  /* calls/socket.c's names of bound sockets */
    void *programs;                 /* calls/exec.c's patched copies */
};
void session_init(struct session *session, pto_view *view);
void session_clear(struct session *session);

#endif
