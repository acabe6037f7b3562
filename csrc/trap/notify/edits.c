/* edits.c - what stands in a tracee's memory for the length of one call.
 *
 * Rule: what the tracee, or who shares its memory, has written over an edit stays.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../process/memory.h"
#include "edits.h"

/* Read-only memory too, as a debugger does. */
static int write_anywhere(pid_t tid, uint64_t address, const void *data, size_t size) {
    int error = memory_write(&MEMORY(tid), address, data, size);
    if (error != -EFAULT)
        return error;
    char path[32];
    snprintf(path, sizeof path, "/proc/%d/mem", (int)tid);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    error = pwrite(fd, data, size, (off_t)address) == (ssize_t)size ? 0 : -EFAULT;
    close(fd);
    return error;
}

static bool stands(const struct edit *edit, pid_t pid, char *found) {
    return memory_read(&MEMORY(pid), edit->address, found, edit->size) == 0 &&
           memcmp(found, edit->new, edit->size) == 0;
}

bool edits_make(struct edits *edits, uint64_t address, const void *data, size_t size) {
    struct edit *edit = &edits->list[edits->count];
    if (edits->count == EDITS)
        return false;
    *edit = (struct edit){.address = address, .size = size, .old = malloc(2 * size)};
    if (!edit->old)
        return false;
    edit->new = edit->old + size;
    memcpy(edit->new, data, size);
    if (memory_read(&MEMORY(edits->tid), address, edit->old, size) != 0) {
        free(edit->old);
        return false;
    }
    edits->count++;
    if (write_anywhere(edits->tid, address, data, size) == 0)
        return true;
    (void)write_anywhere(edits->tid, address, edit->old, size);   /* part of it may have been written */
    free(edit->old);
    edits->count--;
    return false;
}

void edits_undo(const struct edits *edits, pid_t pid) {
    for (size_t i = edits->count; i-- > 0;) {
        const struct edit *edit = &edits->list[i];
        char *found = malloc(edit->size);
        if (found && stands(edit, pid, found))
            (void)write_anywhere(pid, edit->address, edit->old, edit->size);
        free(found);
    }
}

void edits_clear(struct edits *edits) {
    while (edits->count > 0)
        free(edits->list[--edits->count].old);
}
