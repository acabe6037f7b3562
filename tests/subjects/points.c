/* points.c - linked into a core of the tests' own: the process is killed at the Nth call by which the view touches a layer.
 *
 * Rules: N is PTOVERLAY_KILL_AT, from 1; 0 or nothing: at none.  What only looks, or allocates, is not counted: between two
 * counted calls the layers are the same.  The calls are those of csrc/view alone (support/points.py, ld -r --wrap).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdatomic.h>

#include "wrap.h"

static const char *const touching[] = {
    "O_CREAT",      "O_TMPFILE", "chmod",     "copy_file_range", "fchmod",   "fchmodat",  "fchownat",
    "fremovexattr", "fsetxattr", "fsync",     "ftruncate",       "futimens", "ioctl",     "linkat",
    "mkdir",        "mkdirat",   "mknodat",   "pwrite",          "renameat", "renameat2", "removexattr",
    "sendfile",     "setxattr",  "symlinkat", "truncate",        "unlinkat", "utimensat",
};

static atomic_ulong calls;
static unsigned long last;

__attribute__((constructor)) static void read_number(void) {
    const char *number = getenv("PTOVERLAY_KILL_AT");
    last = number ? strtoul(number, NULL, 10) : 0;
}

static bool touches(const char *name) {
    for (size_t i = 0; i < sizeof touching / sizeof touching[0]; i++)
        if (strcmp(name, touching[i]) == 0)
            return true;
    return false;
}

static bool hit(const char *name, bool memory) {
    if (last && !memory && touches(name) && atomic_fetch_add(&calls, 1) + 1 == last) {
        kill(getpid(), SIGKILL);
        _exit(1); /* is not come to */
    }
    return false;
}
