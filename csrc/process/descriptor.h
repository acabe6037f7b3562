/* descriptor.h - a descriptor of a task: the link of /proc that leads to it, and what proc(5) tells of it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_DESCRIPTOR_H
#define PTOVERLAY_DESCRIPTOR_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <unistd.h>

/* One of ours that is closed at the end of the block; negative: there is none. */
static inline void descriptor_close(const int *fd) {
    if (*fd >= 0)
        close(*fd);
}
#define CLOSE_DESCRIPTOR __attribute__((cleanup(descriptor_close))) int
static inline void descriptor_close_directory(DIR **dir) {
    if (*dir)
        (void)closedir(*dir);
}
#define CLOSE_DIRECTORY __attribute__((cleanup(descriptor_close_directory))) DIR

#define PROC_LINK 64    /* bytes of "/proc/PID/fd/N" */
/* AT_FDCWD: the current directory. */
void descriptor_link(pid_t tid, int fd, char out[PROC_LINK]);
/* The same of a descriptor of ours. */
void descriptor_own_link(int fd, char out[PROC_LINK]);

struct descriptor_info {
    int flags;      /* O_*, O_CLOEXEC included */
    off_t position;
};
/* 0, or -errno: -EBADF. */
int descriptor_info(pid_t tid, int fd, struct descriptor_info *info);
/* Its flags alone, or -errno. */
int descriptor_flags(pid_t tid, int fd);
/* Has the task a number left for one more, as the kernel asks before it looks at what is to be opened?  True also
 * where that cannot be known. */
bool descriptor_is_left(pid_t tid);
/* Writes all of it by one of ours. 0 or -errno. */
int descriptor_write(int fd, const char *text, size_t length);

#endif
