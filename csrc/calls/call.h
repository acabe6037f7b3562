/* call.h - one trapped system call and the verdict on it.
 *
 * Rules: a handler reads the arguments and the tracee's memory, asks the view, and returns a verdict.  It
 * never touches registers, and never passes a call that writes below a place that an overlay covers.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_CALL_H
#define PTOVERLAY_CALL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../view/view.h"
#include "known.h"

/* One thread of the command.  The trap makes and frees it; calls/task.c fills what it caches. */
struct task {
    pid_t tid;                  /* the thread that calls */
    pid_t tgid;                 /* its process; 0: not asked yet */
    struct cred cred;           /* valid while cred_known */
    gid_t *groups;              /* owned; cred.groups points here */
    bool cred_known;            /* cleared by exec and by the set*id calls */
    uint64_t umask_generation;  /* cred.umask was read in this generation, 0: never */
    uid_t uid;                  /* real ids, for access(2); valid while cred_known */
    gid_t gid;
    uint64_t permitted;         /* capabilities, valid while cred_known */
    char *cwd;                  /* view path of the current directory, or NULL; owned */
    uint64_t cwd_generation;    /* cwd was read in this generation of the session, 0: never */
    uint64_t cwd_view;          /* … and in this one of the view */
    bool cwd_pass;              /* its real path is the same */
    int pidfd;                  /* -1: not open yet */
    int dumpable;               /* what its process has set by PR_SET_DUMPABLE, + 1, or 0; session->lock's */
    bool executed;              /* another program, since it is known */
    void *trap;                 /* the trap's own */
    struct session *session;
    struct task *next, **link;  /* in the session's list: the task after it, and what points here */
};
void task_init(struct task *task, struct session *session, pid_t tid);
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
    /* Where data holds pointers into itself (an argv, a msghdr): the places of n_relocations 8-byte words, each
     * of which is an offset into data until the trap, which knows where data goes, adds that address. */
    const uint32_t *relocations;
    size_t n_relocations;
};
#define REPLACEMENTS 4

struct call;
struct call_row;
/* Runs when the call that was opened or substituted has returned `result`; returns what the tracee is to get. */
typedef long finish_fn(struct call *call, long result);

struct call {
    /* in */
    struct task *task;
    struct session *session;    /* what all tasks of one run share */
    struct nest *nest;          /* from call_begin to call_end: whose view is `view`; NULL: the run's */
    int nr;
    uint64_t arg[6];
    const struct call_row *row; /* set by call_begin */
    pto_view *view;             /* set by call_begin */

    /* out */
    enum verdict_kind verdict;
    long value;                            /* RETURN: value or -errno */
    size_t n_replacements;                 /* OPEN, SUBSTITUTE */
    struct replacement replacements[REPLACEMENTS];
    int new_nr;                            /* OPEN, SUBSTITUTE: run this call instead, -1: the same */
    finish_fn *finish;                     /* OPEN, SUBSTITUTE: or NULL */
    int open_flags;                        /* OPEN: what to open, for a trap that opens for the tracee; one that
                                            * does not has openat2(AT_FDCWD, …) in new_nr and replacements */
    mode_t open_mode;
    const char *open_path;                 /* OPEN: absolute real path; valid until call_end */
    const char *again;                     /* PASS: the same call with this path, which is absolute, may be passed
                                            * unasked as long as view_changes() is what again_at says; NULL: not;
                                            * until call_end */
    size_t again_length;
    const struct location *again_at;
    bool made;                             /* OPEN: a new file, which call_open() has at hand */
    bool alone;                            /* OPEN, SUBSTITUTE: it can change something; a tracee that makes it is
                                            * alone with the memory and descriptors that tell what, until they were
                                            * read */
    bool watch_exit;                       /* PASS: finish is to run at the exit all the same */
    bool any_time;                         /* watch_exit: the result does not matter (finish may be given 0) and it is
                                            * in time before the task's next trapped call: the notify trap, which sees no
                                            * exits, then runs it at that call, soon after, or when the task is dead */
    bool kill;                             /* --strict: the tracee is to be killed, with reason */
    const char *reason;                    /* why a call was refused; static text, or NULL */
    struct copied_up *copied;              /* lower files that the call has copied up and tracees may have open: the
                                            * trap takes them, and replaces those descriptors before the verdict; what
                                            * it leaves call_end frees */
    const char *trace_path;                /* view path for --trace, or NULL; valid until call_end */
    /* Scratch that lives as long as the call: from call_begin to call_end. */
    struct call_scratch *scratch;
};

/* What the trap does at a stop: call_begin decides (fills the out part); the trap carries the verdict
 * out; call_finish runs at the exit if the verdict asked for it (and returns the result to hand over);
 * call_end frees.  The struct is the trap's and is used again for the next call.
 * Between call_begin and the exit the task may be killed: finish then gets -ESRCH.  A call that a signal has
 * interrupted and that the kernel will restart: finish gets -EINTR, and the restart is a new call.
 * OPEN by a trap that opens for the tracee: finish gets the trap's own descriptor, before the tracee has one. */
void call_begin(struct call *call);
/* Of a call whose in part is filled: it changes nothing, not even if it is the wrong task's. */
bool call_reads(const struct call *call);
/* Whether such a call is one for call->again: which argument is its path, and what else it depends on. */
bool call_repeats(int nr, const uint64_t arg[6], unsigned *path, uint64_t *key);
long call_finish(struct call *call, long result);
/* After an execve that was substituted has succeeded, after task_exec: there is no exit, and no finish. */
void call_exec_done(struct call *call);
void call_end(struct call *call);
/* Of a chdir to SUBSTITUTE, for a trap that cannot give the tracee other arguments: does the kernel, by the tracee's own path, come
 * to the same directory of the view? */
bool call_chdir_stands(struct call *call);
/* If not, it is answered with this: the supervisor keeps the directory. */
int call_chdir_keep(struct call *call);
/* The same of an execve: the real path of the program or script that was asked for, when whatever else the kernel opens for it is
 * where it looks; else NULL. */
const char *call_exec_alone(struct call *call, bool *script);
/* OPEN: opens it for the tracee.  A descriptor, close-on-exec, or -errno.  -ELOOP, as from the tracee's own open: names have
 * changed since call_begin, and the call is to be begun anew. */
int call_open(const struct call *call);
/* With `alone`, once no other task runs: the tracee's descriptor by which the object was found leads to it still. */
bool call_leads_there(const struct call *call);
/* OPEN: what is there now, unless it is made. 0, or -errno. */
int call_open_stat(const struct call *call, struct stat *st);

/* One row a system call.  How the seccomp filter meets it. */
enum filter_kind {
    FILTER_TRAP,        /* to the supervisor */
    FILTER_ERRNO,       /* refused by the filter itself with .filter_errno */
    FILTER_TRAP_IF_SET, /* trapped only if (argument .filter_arg & .filter_mask) != 0 */
    FILTER_TRAP_IF_IN,  /* trapped only if the low 32 bits of argument .filter_arg are one of .filter_values */
    FILTER_PASS_IF_KNOWN, /* trapped unless they are one of .filter_known */
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
    const struct known_values *filter_known;
    enum row_reads {
        READS_NOT,
        READS_ALWAYS,               /* changes nothing, whatever its arguments are */
        READS_BY_FLAGS,             /* the open flags behind its path say whether it does */
    } reads;
    /* May be answered again as it was (call->again): REPEATS_ALONE, or the argument that the answer depends on beside
     * path and flags; 0: not. */
    int8_t repeats;
    enum row_name {                 /* what becomes of the name that the first operand gives */
                    NAME_STAYS,                 /* what it leads to is meant */
                    NAME_MADE,
                    NAME_REMOVED,
                    NAME_LINKED,
    } name_is;
    enum row_contents {
        CONTENTS_STAY,
        CONTENTS_OPENED,            /* for writing, perhaps */
        CONTENTS_CUT,
    } contents;

    /* For the handlers: which argument is what. */
    struct operand {
        int8_t dirfd;               /* NO_ARG: relative to the current directory */
        int8_t path;                /* NO_ARG: dirfd is the object itself */
    } operand[2];                   /* the second: of rename and link */
    int8_t at_flags;                /* AT_* flags, or NO_ARG */
    unsigned at_allowed;            /* those that are not EINVAL */
    unsigned walk;                  /* WALK_FOLLOW: what holds when the flags say nothing */
    enum null_path {
        NULL_IS_FAULT,
        NULL_IS_EMPTY,              /* a NULL path is as good as "" where AT_EMPTY_PATH is given */
        NULL_IS_DESCRIPTOR,         /* a NULL path means the descriptor itself */
        EMPTY_IS_DESCRIPTOR,        /* "" does, without a flag */
    } null_path;
    int detail;                     /* what tells this call from others with the same handler */
};
#define NO_ARG (-1)
#define REPEATS_ALONE NO_ARG
/* What detail says. */
#define OPEN_CREAT 1                /* creat */
#define NAME_OF_PEER 1              /* getpeername */
#define DIRENT_WIDE 1               /* getdents64 */
#define UNLINK_DIRECTORY 1          /* rmdir */
#define RLIMIT_GET 1                /* getrlimit */
#define RLIMIT_OLD_IN_3 2           /* prlimit64 */
extern const struct call_row call_table[];
extern const size_t call_table_size;
/* open, creat, openat, openat2. */
bool call_is_open(int nr);
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
    uint64_t cwd_generation;        /* the same for chdir and fchdir */
    unsigned cwd_pending;
    bool opens;                     /* set by the trap: it carries out OPEN by call_open() */
    bool lower_removed;             /* a lower object lost its name: descriptors may be of it.  view_lock's */
    bool filtered;                  /* atomic: a task has asked for a seccomp filter of its own */
    struct pto_stats *stats;        /* set by the trap: only .refused is counted here */
    struct sockets *sockets;        /* calls/names.h: names of bound sockets */
    struct programs *programs;      /* calls/programs.c's patched copies, and the directory of a run */
    struct identity *identity;      /* calls/task.c: the supervisor's own */
    struct nest *nests;             /* calls/nest.c: views within the view */
    unsigned n_nests;               /* atomic: those that are not over */
    unsigned last_nest;             /* id */
    uint64_t mark;                  /* of its members, less the id */
    struct cwds *cwds;              /* calls/cwd.c */
    struct instances *instances;    /* calls/watches.c */
    struct call_scratch *scratch;   /* unused ones */
    struct task *tasks;             /* all of them */
    pthread_mutex_t lock;           /* of tasks, sockets, nests and scratch; the generations are atomic */
};
void session_init(struct session *session, pto_view *view);
void session_clear(struct session *session);

#endif
