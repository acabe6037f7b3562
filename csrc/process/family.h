/* family.h - who belongs to whom among processes, from /proc.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_FAMILY_H
#define PTOVERLAY_FAMILY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The process of a thread and that process's parent; 0 when it is gone. */
pid_t family_of(pid_t tid, pid_t *parent);
pid_t family_process(pid_t tid);
/* The parent of a process, 0: it is gone.  In fewer steps. */
pid_t family_parent(pid_t pid);
/* A pidfd of the thread, or where those are only of processes (Linux before 6.9) of its process; -errno. */
int family_pidfd(pid_t tid);
/* A copy of its descriptor, -errno: it has none of that number (EBADF), or such copies are refused here. */
int family_take(pid_t tid, int number);
/* Has it filters beside those that this thread has, and the one of the trap? */
bool family_filtered(pid_t tid);
/* Is it the only thread of its process? */
bool family_alone(pid_t tid);
/* Its state as proc(5) names it (R, S, D …); 0 when it is gone. */
char family_state(pid_t tid);
/* It is there, and more than what its parent has not waited for. */
bool family_alive(pid_t tid);
/* Calls each for the children of all its threads (CONFIG_PROC_CHILDREN). */
void family_children(pid_t pid, void (*each)(void *arg, pid_t child), void *arg);
/* The same of one thread alone, oldest first. */
void family_thread_children(pid_t tid, void (*each)(void *arg, pid_t child), void *arg);
/* Calls each for its threads. */
void family_threads(pid_t pid, void (*each)(void *arg, pid_t tid), void *arg);
/* The system call that it is in, -1: none, or it is running and in any or none. */
int family_call(pid_t tid);
/* Signals that are pending for it, 1 << (signal - 1), blocked ones too. */
uint64_t family_pending(pid_t tid);
/* The processes of a run whose CMD has ended, as far as they can be told: those in ids (0s are skipped), with ids
 * NULL those that this thread of ours traces, and their families.  How many there are; found has room for `room` of
 * them. */
size_t family_left(const pid_t *ids, size_t n, pid_t tracer, pid_t *found, size_t room);
/* SIGKILL to the processes and threads in ids (0s are skipped) that run under a seccomp filter, and to all that
 * descend from them.  orphans: also to children of this process that run under more filters than it does itself, which
 * are orphans when it is their reaper (PR_SET_CHILD_SUBREAPER); they are waited for.  Async-signal-safe. */
void family_kill(const pid_t *ids, size_t n, bool orphans);

/* Seccomp filters that it runs under, or, before Linux 5.9, its mode: more than ours for all that run in a view of
 * ours; 0 when it is gone. */
uint64_t family_filters(pid_t pid);

#endif
