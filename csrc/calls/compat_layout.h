/* compat_layout.h - structures of i386, where they are not those of the machine's own calls.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_COMPAT_LAYOUT_H
#define PTOVERLAY_COMPAT_LAYOUT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <time.h>

#include "compat.h"

struct memory;

#define COMPAT_LAYOUT_MAX 96u
/* Into out[COMPAT_LAYOUT_MAX]: how many bytes, or -EOVERFLOW where a value does not fit, as the kernel says. */
int compat_stat(enum compat_form form, const struct statx *from, void *out);
int compat_statfs(enum compat_form form, const struct statfs *from, void *out);
size_t compat_limit(enum compat_form form, const struct rlimit *from, void *out);

/* Of struct linux_dirent, in their own place: how many bytes they have then. */
size_t compat_entries(char *entries, size_t length);

/* From the tracee's memory.  0, or -errno. */
int compat_read_limit(const struct memory *memory, uint64_t at, struct rlimit *limit);
/* The second number of each may be of microseconds (utimes). */
int compat_read_times(const struct memory *memory, uint64_t at, enum compat_form form, struct timespec times[2]);
/* What execve(2) takes: n pointers. */
int compat_read_pointers(const struct memory *memory, uint64_t at, uint64_t *pointers, size_t n);

/* As it lies in memory. */
struct compat_iovec {
    uint32_t base, length;
};
struct compat_msghdr {
    uint32_t name, name_length, iov, iov_length, control, control_length, flags;
};
struct compat_mmsghdr {
    struct compat_msghdr header;
    uint32_t length;
};

#endif
