/* callers.c - the threads that have called, as the notify trap keeps them.
 *
 * Rules: an id is trusted as long as a pidfd says that its thread lives; sweeps come much oftener than ids can be
 * used up and come round again.  Without a pidfd (Linux before 6.9 for threads, no descriptor left) nothing is
 * kept from call to call.  An entry that is busy belongs to its worker; all else is under the lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../command/record.h"
#include "../../process/clock.h"
#include "../../process/family.h"
#include "../../process/proc.h"
#include "callers.h"

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL         /* Linux 6.9 */
#endif
#define MEMORIES_MAX 256u           /* descriptors that may be spent on it */
#define FEW_FILES 256u
#define CALLS_OF_MANY 8u            /* most programs make no more, and do not repeat them */
#define CREDIT_MOST 64
#define PAUSE 64
#define HOLD_NS 20000000u           /* after which a held call is looked at */

static void limit_descriptors(struct callers *callers) {
    struct rlimit files;
    rlim_t all = getrlimit(RLIMIT_NOFILE, &files) < 0 ? FEW_FILES : files.rlim_cur;
    callers->most_pidfds = all / 4 < ROSTER_SLOTS ? (unsigned)(all / 4) : ROSTER_SLOTS;
    callers->most_memories = all / 8 < MEMORIES_MAX ? (unsigned)(all / 8) : MEMORIES_MAX;
}

int callers_init(struct callers *callers, struct run *run) {
    memset(callers, 0, sizeof *callers);
    callers->run = run;
    limit_descriptors(callers);
    callers->roster = mmap(NULL, sizeof *callers->roster, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (callers->roster == MAP_FAILED)
        return -errno;
    return -lock_init(&callers->lock);
}

/* A sweep may look while a worker gives it up (callers_peeked()). */
static void set_busy(struct caller *caller, bool busy) {
    __atomic_store_n(&caller->busy, busy, __ATOMIC_RELEASE);
}

static bool is_busy(const struct caller *caller) {
    return __atomic_load_n(&caller->busy, __ATOMIC_ACQUIRE);
}

static bool is_attached(const struct caller *caller) {
    return __atomic_load_n(&caller->attached, __ATOMIC_ACQUIRE);
}

static struct caller **bucket_of(struct callers *callers, pid_t tid) {
    return &callers->buckets[(unsigned)tid % CALLER_BUCKETS];
}

static struct caller *find_caller(struct callers *callers, pid_t tid) {
    HELD(&callers->lock);
    struct caller *caller = *bucket_of(callers, tid);
    while (caller && (caller->task.tid != tid || caller->disowned))
        caller = caller->next;
    return caller;
}

static void unlink_caller(struct callers *callers, struct caller *caller) {
    HELD(&callers->lock);
    struct caller **link = bucket_of(callers, caller->task.tid);
    while (*link != caller)
        link = &(*link)->next;
    *link = caller->next;
}

static void link_caller(struct callers *callers, struct caller *caller) {
    HELD(&callers->lock);
    struct caller **bucket = bucket_of(callers, caller->task.tid);
    caller->next = *bucket;
    *bucket = caller;
}

/* ---- the roster ---- */

static int roster_enter(struct callers *callers, pid_t tid) {
    HELD(&callers->lock);
    for (int i = 0; i < ROSTER_SLOTS; i++) {
        int slot = (callers->next_slot + i) % ROSTER_SLOTS;
        if (callers->roster->ids[slot])
            continue;
        callers->roster->ids[slot] = tid;
        callers->next_slot = (slot + 1) % ROSTER_SLOTS;
        return slot;
    }
    return -1;   /* the guard then meets it at its next call */
}

static void roster_leave(struct callers *callers, struct caller *caller) {
    HELD(&callers->lock);
    if (caller->slot >= 0)
        callers->roster->ids[caller->slot] = 0;
    caller->slot = -1;
}

/* ---- entries ---- */

static void close_pidfd(struct callers *callers, struct caller *caller) {
    HELD(&callers->lock);
    if (caller->pidfd >= 0) {
        close(caller->pidfd);
        callers->pidfds--;
    }
    caller->pidfd = caller->task.lent = -1;
}

/* A pidfd of a process's leader can be had everywhere; one that can is a new process. */
static void identify(struct callers *callers, struct caller *caller) {
    HELD(&callers->lock);
    caller->pidfd = (int)syscall(SYS_pidfd_open, caller->task.tid, 0);
    if (caller->pidfd >= 0) {
        caller->task.tgid = caller->task.tid;
        callers->run->result->stats.processes++;
    } else {
        caller->pidfd = (int)syscall(SYS_pidfd_open, caller->task.tid, PIDFD_THREAD);
    }
    if (caller->pidfd < 0)
        return;
    callers->pidfds++;
    if (callers->pidfds > callers->most_pidfds)
        close_pidfd(callers, caller);
    else
        caller->slot = roster_enter(callers, caller->task.tid);
    caller->task.lent = caller->pidfd;
}

static struct caller *add(struct callers *callers, pid_t tid) {
    struct caller *caller = calloc(1, sizeof *caller);
    if (!caller)
        return NULL;
    task_init(&caller->task, &callers->run->session, tid);
    caller->pidfd = caller->slot = caller->memory = -1;
    caller->call.session = &callers->run->session;
    caller->call.task = &caller->task;
    identify(callers, caller);
    link_caller(callers, caller);
    callers->count++;
    return caller;
}

static void end_held(struct callers *callers, struct caller *caller, long result) {
    HELD(&callers->lock);
    if (!caller->held)
        return;
    caller->held = false;
    caller->call.value = call_finish(&caller->call, result);
    record_call(callers->run, &caller->call, caller->call_start);
    call_end(&caller->call);
}

static void close_memory(struct callers *callers, struct caller *caller) {
    HELD(&callers->lock);
    if (caller->memory >= 0) {
        close(caller->memory);
        callers->memories--;
    }
    caller->memory = -1;
    caller->passed = 0;
    caller->credit = 0;
}

/* It runs another program, or will when it calls next. */
static void forget_program(struct callers *callers, struct caller *caller) {
    untouched_executed(&callers->run->untouched, &caller->inside, caller->task.executes);
    task_exec(&caller->task);
    caller->tended = false;
    close_memory(callers, caller);
}

/* Its execve is over, which mostly leaves another program there. */
static void forget_executed(struct callers *callers, struct caller *caller) {
    const struct inside before = caller->inside;
    forget_program(callers, caller);
    if (before.same)
        caller->inside = (struct inside){
            .calls = before.calls, .fresh = before.fresh, .early = before.early, .program = before.program};
}

static void remove_caller(struct callers *callers, struct caller *caller) {
    HELD(&callers->lock);
    end_held(callers, caller, -ESRCH);
    unlink_caller(callers, caller);
    roster_leave(callers, caller);
    callers->count--;
    close_memory(callers, caller);
    close_pidfd(callers, caller);
    task_clear(&caller->task);
    free(caller);
}

/* Another thread of the process may have executed in the name of its leader. */
static void program_changed(struct callers *callers, pid_t tgid) {
    struct caller *leader = find_caller(callers, tgid);
    if (leader)
        leader->executes = true;
}

/* The entry of tid.  A call that was received ends before its answer only by the death of its thread: so if one calls
 * whose entry is still busy it is another, which an execve has put in the place of its leader, say. */
static struct caller *find_living(struct callers *callers, pid_t tid) {
    HELD(&callers->lock);
    struct caller *caller = find_caller(callers, tid);
    if (!caller || !is_busy(caller) || is_attached(caller))
        return caller;
    caller->disowned = true;
    return NULL;
}

struct caller *callers_enter(struct callers *callers, pid_t tid, bool *attached) {
    lock_take(&callers->lock);
    struct caller *caller = find_living(callers, tid);
    if (!caller)
        caller = add(callers, tid);
    *attached = caller && is_attached(caller);
    if (caller && !*attached) {
        set_busy(caller, true);
        __atomic_store_n(&caller->continued, false, __ATOMIC_RELAXED);
        end_held(callers, caller, 0);
        if (caller->executes)
            forget_executed(callers, caller);
        caller->executes = false;
    }
    lock_leave(&callers->lock);
    return caller;
}

void callers_leave(struct callers *callers, struct caller *caller) {
    lock_take(&callers->lock);
    set_busy(caller, false);
    __atomic_store_n(&caller->attached, false, __ATOMIC_RELEASE);
    caller->claimed = 0;
    if (caller->executes && caller->task.tgid != caller->task.tid)
        program_changed(callers, caller->task.tgid ? caller->task.tgid : family_process(caller->task.tid));
    if (caller->pidfd < 0 && !caller->held)
        remove_caller(callers, caller);
    lock_leave(&callers->lock);
}

void callers_done(struct callers *callers, struct caller *caller) {
    record_call(callers->run, &caller->call, caller->call_start);
    call_end(&caller->call);
    callers_leave(callers, caller);
}

void callers_hold(struct callers *callers, struct caller *caller) {
    caller->held = true;
    __atomic_store_n(&caller->continued, true, __ATOMIC_RELAXED);
    caller->held_since = clock_now();
    callers_leave(callers, caller);
}

/* The leader's entry is that of a thread which is no more. */
void callers_executed(struct callers *callers, struct caller *caller, pid_t tid) {
    lock_take(&callers->lock);
    forget_program(callers, caller);
    caller->area = 0;
    struct caller *leader = tid == caller->task.tid ? NULL : find_caller(callers, tid);
    if (leader && is_busy(leader))
        leader->disowned = true;
    else if (leader)
        remove_caller(callers, leader);
    if (tid != caller->task.tid) {
        unlink_caller(callers, caller);
        roster_leave(callers, caller);
        close_pidfd(callers, caller);
        caller->task.tid = tid;
        identify(callers, caller);
        link_caller(callers, caller);
    }
    lock_leave(&callers->lock);
}

struct caller *callers_peek(struct callers *callers, pid_t tid) {
    lock_take(&callers->lock);
    struct caller *caller = find_caller(callers, tid);
    bool may = caller && caller->memory >= 0 && !is_busy(caller) && !caller->held && !caller->executes &&
               caller->task.cred_known && caller->task.cred.own;
    if (may && caller->credit < 0) {
        caller->credit++;
        may = false;
    }
    if (may)
        set_busy(caller, true);
    lock_leave(&callers->lock);
    return may ? caller : NULL;
}

void callers_peeked(struct caller *caller, bool hit) {
    caller->credit += hit ? 1 : -1;
    if (caller->credit > CREDIT_MOST)
        caller->credit = CREDIT_MOST;
    else if (caller->credit < 0)
        caller->credit = -PAUSE;
    set_busy(caller, false);
}

void callers_note_pass(struct callers *callers, struct caller *caller) {
    if (++caller->passed != CALLS_OF_MANY || caller->pidfd < 0)
        return;
    lock_take(&callers->lock);
    if (callers->memories < callers->most_memories) {
        caller->memory = proc_open(caller->task.tid, "mem"); /* -1: its calls are all begun */
        callers->memories += caller->memory >= 0;
    }
    caller->credit = CREDIT_MOST;
    lock_leave(&callers->lock);
}

bool callers_note_tended(struct callers *callers, pid_t tid) {
    lock_take(&callers->lock);
    struct caller *caller = find_caller(callers, tid);
    bool first = caller && !caller->tended;
    if (first)
        caller->tended = true;
    lock_leave(&callers->lock);
    return first;
}

/* Of a 32-bit call the number says enough. */
bool callers_continued(struct callers *callers, pid_t tid, int nr, const uint64_t arg[6], bool compat) {
    lock_take(&callers->lock);
    const struct caller *caller = find_caller(callers, tid);
    bool same = caller && __atomic_load_n(&caller->continued, __ATOMIC_RELAXED) && compat_made(&caller->call) == nr;
    for (unsigned i = 0; same && !compat && i < 6; i++)
        same = caller->call.arg[i] == arg[i];
    lock_leave(&callers->lock);
    return same;
}

void callers_each(struct callers *callers, void (*each)(void *arg, const struct caller *caller), void *arg) {
    lock_take(&callers->lock);
    for (size_t i = 0; i < CALLER_BUCKETS; i++)
        for (const struct caller *caller = callers->buckets[i]; caller; caller = caller->next)
            each(arg, caller);
    lock_leave(&callers->lock);
}

/* ---- sweeps ---- */

/* Is the thread still in the call that is held, as far as it matters? */
static bool still_in_call(const struct caller *caller) {
    int nr = family_call(caller->task.tid);
    return nr == compat_made(&caller->call) || (nr < 0 && caller->call.lasts);
}

static bool is_dead(const struct caller *caller) {
    if (caller->pidfd < 0)
        return kill(caller->task.tid, 0) < 0 && errno == ESRCH;
    struct pollfd pollfd = {.fd = caller->pidfd, .events = POLLIN};
    return poll(&pollfd, 1, 0) > 0;
}

static void sweep_one(struct callers *callers, struct caller *caller, uint64_t now) {
    if (is_busy(caller))
        return;
    if (caller->disowned) {
        remove_caller(callers, caller);
    } else if (is_dead(caller)) {
        if (caller->task.tid != callers->cmd)
            (void)waitpid(caller->task.tid, NULL, __WALL | WNOHANG);   /* an orphan, if we are its reaper */
        remove_caller(callers, caller);
    } else if (caller->held && now - caller->held_since > HOLD_NS && !still_in_call(caller))
        end_held(callers, caller, 0);
}

static void sweep(struct callers *callers) {
    HELD(&callers->lock);
    uint64_t now = clock_now();
    for (size_t i = 0; i < CALLER_BUCKETS; i++) {
        struct caller *next;
        for (struct caller *caller = callers->buckets[i]; caller; caller = next) {
            next = caller->next;
            sweep_one(callers, caller, now);
        }
    }
}

void callers_sweep(struct callers *callers) {
    lock_take(&callers->lock);
    sweep(callers);
    lock_leave(&callers->lock);
}

void callers_kill(struct callers *callers) {
    lock_take(&callers->lock);
    family_kill(callers->roster->ids, ROSTER_SIZE, true);
    lock_leave(&callers->lock);
}

/* ---- areas ---- */

static size_t push_area(const struct caller *caller, uint64_t areas[CALLER_AREAS], size_t n) {
    if (caller && caller->area)
        areas[n++] = caller->area;
    return n;
}

size_t callers_areas(struct callers *callers, const struct caller *caller, uint64_t areas[CALLER_AREAS]) {
    pid_t parent, process = family_of(caller->task.tid, &parent);
    lock_take(&callers->lock);
    size_t n = push_area(caller, areas, 0);
    if (process != caller->task.tid)
        n = push_area(find_caller(callers, process), areas, n);
    n = push_area(find_caller(callers, parent), areas, n);
    lock_leave(&callers->lock);
    return n;
}

static bool is_claimed(const struct callers *callers, uint64_t area) {
    HELD(&callers->lock);
    for (size_t i = 0; i < CALLER_BUCKETS; i++)
        for (const struct caller *caller = callers->buckets[i]; caller; caller = caller->next)
            if (caller->claimed == area)
                return true;
    return false;
}

bool callers_claim(struct callers *callers, struct caller *caller, uint64_t area) {
    lock_take(&callers->lock);
    bool free_area = !is_claimed(callers, area);
    if (free_area)
        caller->claimed = area;
    lock_leave(&callers->lock);
    return free_area;
}

/* The process's entry is where its other threads look. */
void callers_keep_area(struct callers *callers, struct caller *caller, uint64_t area) {
    pid_t process = family_process(caller->task.tid);
    lock_take(&callers->lock);
    struct caller *leader = find_caller(callers, process);
    if (leader && !leader->area)
        leader->area = area;
    caller->area = caller->claimed = area;
    lock_leave(&callers->lock);
}

void callers_clear(struct callers *callers) {
    lock_take(&callers->lock);
    for (size_t i = 0; i < CALLER_BUCKETS; i++)
        while (callers->buckets[i])
            remove_caller(callers, callers->buckets[i]);
    lock_leave(&callers->lock);
    munmap(callers->roster, sizeof *callers->roster);
    lock_destroy(&callers->lock);
}
