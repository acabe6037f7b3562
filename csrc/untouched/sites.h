/* sites.h - where the text of a program makes calls, and what is written there so that the stub is asked first.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_UNTOUCHED_SITES_H
#define PTOVERLAY_UNTOUCHED_SITES_H

#include <stdint.h>
#include <sys/types.h>

#include "../process/lock.h"

/* Bytes for one place of a file's text. */
struct patch {
    uint64_t address;   /* as the file has it (p_vaddr) */
    size_t length;
    unsigned char *bytes;
};

/* What is to be written into one file's text, wherever that is mapped. */
struct library {
    struct library *next;
    dev_t dev;
    ino_t ino;
    uint64_t offset;    /* in the file, of the text … */
    uint64_t address;   /* … and where it is to be */
    struct patch *patches;
    size_t n_patches;
    unsigned n_sites;   /* 0: nothing can be patched */
};

struct sites {
    struct library *libraries;
};
void sites_clear(struct sites *sites);

/* Patches the text of the task, which is alone in its address space and stands at a call: the file that ip is in the
 * text of, and those that have called before, in whatever task.  How many call sites more ask the stub now; -errno:
 * some may, and all others are as they were. */
int sites_patch(struct sites *sites, struct lock *lock, pid_t tid, uint64_t entry, uint64_t ip);

#endif
