/* memory.h - the tracee's memory, by process_vm_readv(2) and process_vm_writev(2).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_MEMORY_H
#define PTOVERLAY_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Whose memory: of a thread. */
struct memory {
    pid_t tid;
    /* Precedes each write, and with checks_reads follows each read: unless it gives 0 the access fails with what it
     * gives (-errno).  For a tracee that may die meanwhile and leave its id to another.  NULL: no check. */
    int (*check)(void *arg);
    void *arg;
    bool checks_reads;
};
#define MEMORY(thread) ((struct memory){.tid = (thread)})

/* All of size bytes, or -EFAULT (-EPERM when the tracee's memory is closed to us). */
int memory_read(const struct memory *memory, uint64_t address, void *out, size_t size);
/* copy_struct_from_user(), include/linux/uaccess.h: what the tracee says has `given` bytes, size or more; -E2BIG: more
 * than we know of it is not 0. */
int memory_read_struct(const struct memory *memory, uint64_t address, size_t given, void *out, size_t size);
int memory_write(const struct memory *memory, uint64_t address, const void *data, size_t size);
/* A string with its NUL: returns its length; -EFAULT; -ENAMETOOLONG when no NUL is within size
 * bytes.  Never reads past the end of the page that holds the NUL. */
ssize_t memory_read_string(const struct memory *memory, uint64_t address, char *out, size_t size);

/* From fd, /proc/PID/mem, which reads pages that the tracee cannot read, too: up to size bytes, but not beyond the
 * page where they begin.  How many, 0 or less: none. */
ssize_t memory_peek(int fd, uint64_t address, void *out, size_t size);

/* May we look into pid, which was forked from us and has not executed?  0, or -errno: -EPERM, -ENOSYS. */
int memory_probe(pid_t pid);

#endif
