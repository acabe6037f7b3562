/* restart.h - calls that a stop of ours, or a signal, has interrupted.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_RESTART_H
#define PTOVERLAY_RESTART_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../arch/arch.h"

/* In a PTRACE_EVENT_STOP that was asked for, with the number of the call that it is in (-1: none) and its signal
 * mask.  Some calls the kernel does not restart: epoll_wait, semop, sigtimedwait, those with SO_RCVTIMEO (signal(7)).
 * If no handler is about to run, EINTR is our doing, and registers and number become those of the call made again (a
 * timeout begins anew): true.  close(2) has closed. */
bool restart_after_stop(pid_t tid, struct registers *regs, int *nr, uint64_t mask);

/* A signal has interrupted the call and the kernel may restart it (ERESTART*). */
bool restart_comes(long result);

#endif
