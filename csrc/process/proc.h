/* proc.h - what proc(5) tells of a thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_PROC_H
#define PTOVERLAY_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/sysmacros.h>
#include <sys/types.h>

/* /proc/TID/name, for reading, or -1.  Async-signal-safe. */
int proc_open(pid_t tid, const char *name);
/* The start of /proc/TID/name into text[size], ended by a NUL; false: there is nothing, or the thread is gone.
 * Async-signal-safe. */
bool proc_read(pid_t tid, const char *name, char *text, size_t size);
/* The number behind name ("\nTgid:\t") in /proc/TID/status, base 10 or 16; 0: no such field.  Async-signal-safe. */
uint64_t proc_field(const char *text, const char *name, unsigned base);
/* The field of this number (3: the state) in /proc/TID/stat, which is read into text[size]; NULL: it is not known. */
const char *proc_stat_field(pid_t tid, unsigned field, char *text, size_t size);
/* The value of this type (getauxval(3)) in /proc/TID/auxv, 0: there is none.  narrow: it is a 32-bit program. */
uint64_t proc_auxiliary(pid_t tid, uint64_t type, bool narrow);
/* A device number as system calls and proc(5) have it: new_decode_dev() in include/linux/kdev_t.h. */
static inline dev_t proc_device(uint32_t dev) {
    return makedev((dev & 0xfff00) >> 8, (dev & 0xff) | ((dev >> 12) & 0xfff00));
}
/* What follows "/proc/PID/" or "/proc/PID/task/TID/"; NULL: path is not of that form. */
const char *proc_process(const char *path, pid_t *pid);
/* Writes a number in decimal and returns its end; no NUL.  Async-signal-safe. */
char *proc_number(char *at, unsigned number);

#endif
