/* callers.h - the threads that have called, as the notify trap keeps them.
 *
 * The notify trap sees no fork, exec or exit, so an entry is made at a thread's first call and goes when a sweep
 * finds it dead.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_CALLERS_H
#define PTOVERLAY_CALLERS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../../calls/call.h"
#include "../../untouched/untouched.h"
#include "../../calls/tasks/task.h"
#include "../../process/lock.h"

struct caller {
    struct caller *next;      /* in its bucket */
    struct task task;
    struct call call;         /* from begin to end */
    uint64_t call_start;      /* CLOCK_MONOTONIC, ns */
    int pidfd;                /* of the thread: tells that it is dead; -1: none, the entry does not outlive a call */
    int slot;                 /* in the roster, -1: none */
    bool busy;                /* atomic: a worker has it */
    bool disowned;            /* its thread is dead, and its id another one's: goes when its worker is done with it */
    bool attached;            /* atomic: that worker traces it: what it calls now is passed */
    bool continued;           /* atomic: its last call went on in the kernel, where it may have waited */
    bool executes;            /* an execve was passed: its next call is perhaps another program's */
    bool held;                /* a passed call waits for its finish (call.any_time) … */
    uint64_t held_since;      /* … since then, ns */
    int memory;               /* /proc/TID/mem of the program that it runs, -1: not open */
    bool tended;              /* the program's process, for signals that it gets (interruptible.c) */
    unsigned passed;          /* calls of this program that were passed … */
    int credit;               /* … and whether they repeat one another; below 0: not asked until it is 0 again */
    struct inside inside;     /* of the program, too */
    uint64_t area;            /* scratch memory in its address space, perhaps; 0: none known */
    uint64_t claimed;         /* the scratch memory that its call uses, 0: none */
};

/* Process and thread ids in memory that the guard shares. */
#define ROSTER_SLOTS 16384
#define ROSTER_WORKERS 1024
#define ROSTER_SIZE (ROSTER_SLOTS + ROSTER_WORKERS)
struct roster {
    pid_t ids[ROSTER_SIZE];   /* 0: free; of callers, and behind them whose call each worker has received */
};

#define CALLER_BUCKETS 1024u
struct callers {
    struct lock lock;
    struct caller *buckets[CALLER_BUCKETS];
    size_t count;
    struct roster *roster;
    unsigned pidfds,
        most_pidfds; /* descriptors of ours that are spent on them, and may be: what is over is for the calls */
    unsigned memories, most_memories;
    int next_slot;            /* where the search for a free slot starts */
    struct run *run;
    pid_t cmd;                /* is waited for elsewhere */
};

/* 0, or -errno. */
int callers_init(struct callers *callers, struct run *run);
void callers_clear(struct callers *callers);

/* The entry of tid for a call that has just been notified, now busy; what its last call left to do is done.
 * NULL: no memory.  *attached: it is returned as it is, busy with its worker, and may be gone when that is done. */
struct caller *callers_enter(struct callers *callers, pid_t tid, bool *attached);
/* The worker is done with it, before the call is answered. */
void callers_leave(struct callers *callers, struct caller *caller);
/* The same, and its call is counted and ended: what remains is the answer. */
void callers_done(struct callers *callers, struct caller *caller);
/* The same for a call that goes on in the kernel and whose finish may come at any time (call.any_time): it is in
 * time at the task's next call, or when a sweep finds it over. */
void callers_hold(struct callers *callers, struct caller *caller);
/* The thread executed: tid is its id from now on. */
void callers_executed(struct callers *callers, struct caller *caller, pid_t tid);

/* For repeats.c: the entry of a task whose calls may be passed unasked, now busy, or NULL; how it went. */
struct caller *callers_peek(struct callers *callers, pid_t tid);
void callers_peeked(struct caller *caller, bool hit);
/* A busy one's call was passed that may come again: its program's memory is opened when it makes many. */
void callers_note_pass(struct callers *callers, struct caller *caller);
/* To be tended for a signal that it gets.  False: it is already, or it has not called, and may not be of this run. */
bool callers_note_tended(struct callers *callers, pid_t tid);
/* Is this call, which a signal has interrupted, perhaps one that was answered and went on in the kernel? */
bool callers_continued(struct callers *callers, pid_t tid, int nr, const uint64_t arg[6], bool compat);

/* Ends what is due: entries of dead threads, calls that were held long enough. */
void callers_sweep(struct callers *callers);
/* Calls each for every entry; under the lock. */
void callers_each(struct callers *callers, void (*each)(void *arg, const struct caller *caller), void *arg);
/* SIGKILL to all, and to their children. */
void callers_kill(struct callers *callers);
/* Scratch memory in tracees.  Forks copy it and vforks and threads share it, unseen by us, so whether an address is
 * one is found out by looking, and one address is used by one call at a time. */
#define CALLER_AREAS 3
/* Where some may be for the caller: its own, its process's, its parent's.  Returns how many. */
size_t callers_areas(struct callers *callers, const struct caller *caller, uint64_t areas[CALLER_AREAS]);
/* Until callers_leave; false: another call uses that address. */
bool callers_claim(struct callers *callers, struct caller *caller, uint64_t area);
/* A new one, claimed. */
void callers_keep_area(struct callers *callers, struct caller *caller, uint64_t area);

#endif
