/* adversary.h - what the parts of adversary.c share: a victim, the one who turns its operands, and small helpers.
 *
 * A way is a flip and a call.  A flip gives the call's operand two meanings, good (a place that is nobody's business) and
 * bad (the lower), and turns it from one to the other while the call is under way.  Both threads, or processes, see one
 * `struct pair` in shared memory.  What is turned is never a path outside of the three directories that were given.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef ADVERSARY_H
#define ADVERSARY_H

#include "subject.h"

#include <linux/openat2.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/xattr.h>

enum { N_DIRS = 2 };

/* What a call needs at the name that it is given. */
enum want { A_FILE = 1, A_DIR = 2, NOTHING = 4 };

/* What it needs beside that. */
enum use { PATH2 = 1, OWN = 2, OUT = 4 };

/* How a call names its object. */
enum form {
    BY_PATH = 1,         /* a path alone */
    BY_AT = 2,           /* a directory's descriptor and a path */
    BY_FD = 4,           /* a descriptor */
    BY_EMPTY = 8,        /* a descriptor, "" and AT_EMPTY_PATH */
    BY_HOW = 16,         /* a path, and what may be done is in struct open_how */
    BY_ADDRESS = 32,     /* a struct sockaddr_un */
    BY_VALUE = 64,       /* a path or descriptor that stays; what is to be set is in memory */
    BY_FD_ALONE = 128,   /* a descriptor that nobody turns: nothing would come of it */
};

struct operand {
    int dirfd;
    int fd;
    int at;            /* AT_EMPTY_PATH, or 0 */
    char *path;
    char *path2;       /* a name beside it, which turns with it */
};

/* struct xattr_args of the kernel, which the C library does not have yet. */
struct xattr_value {
    uint64_t value;
    uint32_t size, flags;
};

struct pair {
    /* turned in memory */
    char path[PATH_MAX], path2[PATH_MAX];
    struct open_how how;
    struct sockaddr_un address;
    socklen_t address_size;
    struct timespec times[2];
    char attribute[32];
    struct xattr_value value;
    int flags;
    uint32_t extended[7];       /* struct fsxattr */

    /* where */
    char good[PATH_MAX], bad[PATH_MAX];       /* the two directories, padded to one length */
    char aside[PATH_MAX];                     /* what this way makes for itself; good is below it */
    char own[PATH_MAX], out[PATH_MAX];        /* a file and a missing name in the good directory */
    int good_dir, bad_dir, number;
    _Atomic int good_fd, bad_fd;
    char name[8], name2[8];
    struct operand operand;

    const struct flip *flip;
    const struct hostile *call;
    bool is_bad;                        /* by the one who turns alone: which way round it stands */
    _Atomic uint32_t turn;              /* odd while the call is under way */
    _Atomic uint32_t armed;             /* the turn that who turns has seen */
    _Atomic bool stop;
    uint64_t random, turner_random;
    unsigned long tries, done;
};

struct hostile {
    const char *name;
    unsigned want, forms, uses;
    long (*make)(struct pair *p, const struct operand *o);
};

struct flip {
    const char *name;
    unsigned forms, wants;
    const char *place;                        /* beside, shm, or NULL: the good side is in the view as well */
    bool in_memory;                           /* nothing but memory is turned: another process can do it */
    bool (*begin)(struct pair *p);            /* once a way; false: cannot be had here */
    void (*fresh)(struct pair *p);            /* before each call */
    void (*turn)(struct pair *p, bool bad);
    void (*end)(struct pair *p);
};

static inline uint64_t next_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static inline unsigned pick(struct pair *p, unsigned n) {
    return (unsigned)(next_random(&p->random) >> 20) % n;
}

/* A flag, one time in four. */
static inline int at_times(struct pair *p, int flag) {
    return pick(p, 4) ? 0 : flag;
}

__attribute__((format(printf, 2, 3))) static inline void set_path(char *out, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(out, PATH_MAX, format, args);
    va_end(args);
    if (n >= PATH_MAX)
        give_up("path");
}

static inline void join(char *out, const char *directory, const char *name) {
    set_path(out, "%s/%s", directory, name);
}

static inline void close_fd(long fd) {
    if (fd >= 0)
        (void)SYS(close, fd);
}

#endif
