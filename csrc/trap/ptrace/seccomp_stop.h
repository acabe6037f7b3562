/* seccomp_stop.h - what a tracee asks for that stands in a PTRACE_EVENT_SECCOMP.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_SECCOMP_STOP_H
#define PTOVERLAY_SECCOMP_STOP_H

#include <sys/ptrace.h>
#include <sys/types.h>

/* arch, seccomp.nr and seccomp.args as PTRACE_GET_SYSCALL_INFO tells them. -ESRCH: it does not stand there. */
int seccomp_stop_info(pid_t tid, struct __ptrace_syscall_info *info);

#endif
