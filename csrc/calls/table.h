/* table.h - the system calls that are trapped: one row a call.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_TABLE_H
#define PTOVERLAY_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "known.h"

/* How the seccomp filter meets a call. */
enum filter_kind {
    FILTER_TRAP,        /* to the supervisor */
    FILTER_ERRNO,       /* refused by the filter itself with .filter_errno */
    FILTER_TRAP_IF_SET, /* trapped only if (argument .filter_arg & .filter_mask) != 0 */
    FILTER_TRAP_IF_IN,  /* trapped only if the low 32 bits of argument .filter_arg are one of .filter_values */
    FILTER_PASS_IF_KNOWN, /* trapped unless they are one of .filter_known */
};
struct call;

typedef void handler_fn(struct call *call);
struct call_row {
    int nr;                     /* __NR_*, or -1 where the architecture has no such call */
    const char *name;
    unsigned needs; /* PTO_FEATURE_*: trapped only in runs that have all of them, and let pass in others */
    unsigned always; /* PTO_FEATURE_*: trapped whatever its arguments are in runs that have one of them */
    handler_fn *handler; /* NULL for FILTER_ERRNO */
    enum filter_kind filter;
    int filter_errno;
    unsigned filter_arg;
    uint64_t filter_mask;
    const uint32_t *filter_values; /* ended by 0 */
    const struct known_values *filter_known;
    const uint32_t *more;       /* PASS_IF_KNOWN: those of them that runs with .more_needs trap; ended by 0 */
    unsigned more_needs;
    enum row_reads {
        READS_NOT,
        READS_ALWAYS, /* changes nothing, whatever its arguments are */
        READS_BY_FLAGS, /* the open flags behind its path say whether it does */
    } reads;
    /* May be answered again as it was (call->repeat): REPEATS_ALONE, or the argument that the answer depends on beside
     * path and flags; 0: not. */
    int8_t repeats;
    /* What becomes of the name that the first operand gives. */
    enum row_name {
        NAME_STAYS, /* what it leads to is meant */
        NAME_MADE,
        NAME_REMOVED,
        NAME_LINKED,
    } name_is;
    /* What becomes of the contents of what it leads to. */
    enum row_contents {
        CONTENTS_STAY,
        CONTENTS_OPENED, /* for writing, perhaps */
        CONTENTS_CUT,
    } contents;

    /* For the handlers: which argument is what. */
    struct operand {
        int8_t dirfd; /* NO_ARG: relative to the current directory */
        int8_t path; /* NO_ARG: dirfd is the object itself */
    } operand[2]; /* the second: of rename and link */
    int8_t at_flags; /* AT_* flags, or NO_ARG */
    unsigned at_allowed; /* those that are not EINVAL */
    unsigned walk; /* WALK_FOLLOW: what holds when the flags say nothing */
    enum null_path {
        NULL_IS_FAULT,
        NULL_IS_EMPTY, /* a NULL path is as good as "" where AT_EMPTY_PATH is given */
        NULL_IS_DESCRIPTOR, /* a NULL path means the descriptor itself */
        EMPTY_IS_DESCRIPTOR, /* "" does, without a flag */
    } null_path;
    bool opened; /* where AT_EMPTY_PATH means a descriptor, one by O_PATH is EBADF */
    int detail; /* what tells this call from others with the same handler */
};
#define NO_ARG (-1)
#define REPEATS_ALONE NO_ARG
/* What detail says. */
#define OPEN_CREAT 1 /* creat */
#define NAME_OF_PEER 1 /* getpeername */
#define DIRENT_WIDE 1 /* getdents64 */
#define UNLINK_DIRECTORY 1 /* rmdir */
#define GROW_OR_POSITION 1 /* pwritev2: an offset of -1 */
#define RLIMIT_GET 1 /* getrlimit */
#define RLIMIT_OLD_IN_3 2 /* prlimit64 */
extern const struct call_row table_rows[];
extern const size_t table_size;
/* Highest call number the table was checked against; the filter answers ENOSYS to higher ones. */
extern const int table_last;
const struct call_row *table_row(int nr); /* NULL: none */

#endif
