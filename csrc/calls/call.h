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

#include "../process/memory.h"
#include "../view/view.h"
#include "compat.h"

struct nest;
struct session;
struct task;

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
    /* Where data holds pointers into itself (an argv, a msghdr): the places of n_relocations words, of 8 bytes or with
     * call->compat of 4, each of which is an offset into data until the trap, which knows where data goes, adds that
     * address. */
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
    struct memory memory;       /* the task's: the trap says how it is checked, call_begin whose it is */
    struct nest *nest;          /* from call_begin to call_end: whose view is `view`; NULL: the run's */
    const char *root;           /* as long as nest: the task's own root, a path of `view`; NULL: it has none */
    int nr;                     /* the machine's own number; -1: of one of the 32-bit architecture that it has not */
    uint64_t arg[6];
    enum compat_form compat;    /* compat_arrive(): made as a call of the 32-bit architecture … */
    int compat_nr;              /* … by this number */
    const struct call_row *row; /* set by call_begin */
    pto_view *view;             /* set by call_begin */
    unsigned flags;             /* PTO_STRICT: of the run or the nest; set by call_begin */

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
    const char *repeat;                    /* PASS: the same call with this path, which is absolute, may be passed
                                            * unasked as long as view_changes() is what repeat_at says; NULL: not;
                                            * until call_end */
    size_t repeat_length;
    const struct location *repeat_at;
    int wants;                             /* SUBSTITUTE: finish alone carries it out, by what this descriptor of the
                                            * tracee's is of, and the tracee does not make the call; -1: none */
    int brought;                           /* … as ours, the call's own; -1: it cannot be had */
    bool handed;                           /* OPEN: the tracee gets what open_call() gives, by a trap too that has it
                                            * open by itself as a rule: nothing can be trusted to lead it there */
    bool made;                             /* OPEN: a new file, which open_call() has at hand */
    bool alone;                            /* OPEN, SUBSTITUTE: it can change something; a tracee that makes it is
                                            * alone with the memory and descriptors that tell what, until they were
                                            * read */
    bool watch_exit;                       /* PASS: finish is to run at the exit all the same */
    bool any_time;                         /* watch_exit: the result does not matter (finish may be given 0) and it is
                                            * in time before the task's next trapped call: the notify trap, which sees
                                            * no exits, then runs it at that call, soon after, or when the task is
                                            * dead */
    bool lasts;                            /* any_time: but not while the thread runs, who may still be in it */
    bool kill;                             /* --strict: the tracee is to be killed, with reason */
    bool foreign;                          /* refused for being of another architecture: reason is for the user */
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
/* Whether such a call is one for call->repeat: which argument is its path, and what else it depends on. */
bool call_repeats(int nr, const uint64_t arg[6], unsigned *path, uint64_t *key);
long call_finish(struct call *call, long result);
void call_end(struct call *call);
/* open, creat, openat, openat2. */
bool call_is_open(int nr);

#endif
