/* edits.h - what stands in a tracee's memory for the length of one call.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_EDITS_H
#define PTOVERLAY_EDITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define EDITS 32u

struct edit {
    uint64_t address;
    size_t size;
    char *old, *new;    /* owned, one block */
};

struct edits {
    pid_t tid;
    size_t count;
    struct edit list[EDITS];
};

/* Writes data there, into memory that may only be read too, and keeps what it was.  False: not done. */
bool edits_make(struct edits *edits, uint64_t address, const void *data, size_t size);
/* Puts back, in the memory of pid, what is still as it was written. */
void edits_undo(const struct edits *edits, pid_t pid);
void edits_clear(struct edits *edits);

#endif
