/* tender.c - processes whose signal handlers would make calls fail that no worker has received yet.
 *
 * Until a worker has received a call, any signal ends it (seccomp_unotify(2), BUGS) with -ERESTARTSYS, which is EINTR
 * where the handler was installed without SA_RESTART: from stat(2), too.  So a process that may have such a handler
 * (signals.c) is traced, by a thread of its own here, with its children until they execute.  At the stop before a
 * signal is delivered -ERESTARTSYS becomes -ERESTARTNOINTR, and the call is made again after the handler (signal(7));
 * where registers do not tell, the handler's frame says so (arch_restart_in_frame).
 *
 * Whose only such handler is that of SIGCHLD (shells, make) its children cannot be hit by it before they have children
 * themselves, and those of vfork have none: they are not traced, which saves three of the four stops that the start of
 * a program costs.
 *
 * Rules: no system call is stopped at, so what costs is signals, forks and execs of such processes only.  A call that
 * went on in the kernel and waited there (connect, open of a fifo) keeps its EINTR.  A thread that a worker traces just
 * then is missed.  Whoever wants to trace a task gets it: it is let go first.  ptrace belongs to a thread: the tender
 * does everything, for others when they ask.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../process/family.h"
#include "../stops.h"
#include "attachment.h"
#include "cmd.h"
#include "crew.h"
#include "interrupted.h"
#include "replacing.h"
#include "seize.h"
#include "tender.h"
#include "trap.h"
#include "wake.h"
#include "worker.h"

#define FEW_OPTIONS (SEIZE_OPTIONS | PTRACE_O_TRACEFORK | PTRACE_O_TRACECLONE)
#define OPTIONS (FEW_OPTIONS | PTRACE_O_TRACEVFORK)

/* ---- who is tended ---- */

/* A task that was tended with FEW_OPTIONS, perhaps, and is to be with all. */
struct widened {
    struct widened *next;
    pid_t tid;
};

static struct widened **find_widened(struct tender *tender, pid_t tid) {
    struct widened **link = &tender->widened;
    while (*link && (*link)->tid != tid)
        link = &(*link)->next;
    return link;
}

static void forget_widened(struct tender *tender, pid_t tid) {
    struct widened **link = find_widened(tender, tid), *found = *link;
    if (!found)
        return;
    *link = found->next;
    free(found);
}

/* Options change in a stop only; this one comes before the task makes a child, if it waits for the answer to a call. */
static void begin_widening(struct tender *tender, pid_t tid) {
    if (*find_widened(tender, tid))
        return;
    struct widened *widened = malloc(sizeof *widened);
    if (!widened)
        return;
    *widened = (struct widened){.next = tender->widened, .tid = tid};
    tender->widened = widened;
    if (ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) < 0)
        forget_widened(tender, tid); /* another traces it */
}

static void widen(struct tender *tender, pid_t tid) {
    if (*find_widened(tender, tid))
        (void)ptrace(PTRACE_SETOPTIONS, tid, NULL, (void *)(uintptr_t)OPTIONS);
    forget_widened(tender, tid);
}

/* True if there was a thread that was not traced. */
static bool seize_threads(struct tender *tender, pid_t pid, long options) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *dir = opendir(path);
    if (!dir)
        return false;
    bool any = false;
    for (const struct dirent *entry; (entry = readdir(dir));) {
        pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (tid > 0 && ptrace(PTRACE_SEIZE, tid, NULL, (void *)options) == 0)
            any = true;
        else if (tid > 0 && options == OPTIONS)
            begin_widening(tender, tid);
    }
    closedir(dir);
    return any;
}

static void seize_process(struct tender *tender, pid_t tid, long options) {
    pid_t pid = family_process(tid);
    while (pid && seize_threads(tender, pid, options))
        continue; /* threads that were made meanwhile */
}

/* ---- stops ---- */

static void end_attachment(struct tender *tender, struct attachment **link) {
    struct attachment *at = *link;
    *link = at->next;
    attachment_end(at);
    requests_served(&tender->requests, at->request, true);
}

static struct attachment **find_attachment(struct tender *tender, pid_t tid) {
    struct attachment **link = &tender->attachments;
    while (*link && (*link)->tid != tid)
        link = &(*link)->next;
    return link;
}

/* Somebody waits for the tracee to be let go: it is not ours any more. */
static bool was_released(struct tender *tender, pid_t tid) {
    struct request **link = &tender->releases;
    while (*link && (*link)->pid != tid)
        link = &(*link)->next;
    struct request *request = *link;
    if (!request)
        return false;
    *link = request->next;
    requests_served(&tender->requests, request, true);
    return true;
}

static bool is_to_be_released(const struct tender *tender, pid_t tid) {
    const struct request *request = tender->releases;
    while (request && request->pid != tid)
        request = request->next;
    return request != NULL;
}

/* It runs on; how depends on who wants it. */
static void resume(struct tender *tender, pid_t tid, int signal, bool stays) {
    bool released = is_to_be_released(tender, tid);
    long how = released ? PTRACE_DETACH : stays ? PTRACE_LISTEN : PTRACE_CONT;
    (void)ptrace(how, tid, NULL, how == PTRACE_LISTEN ? 0L : (long)signal);
    if (released)
        (void)was_released(tender, tid);
}

/* In a PTRACE_EVENT_STOP: it is not traced any more.  False: it is, since a call of it is under way. */
static bool let_go(struct tender *tender, pid_t tid) {
    if (*find_attachment(tender, tid))
        return false;
    (void)ptrace(PTRACE_DETACH, tid, NULL, 0L);
    (void)was_released(tender, tid);
    return true;
}

static void at_death(struct tender *tender, pid_t tid) {
    replacing_at_death(tender, tid);
    interrupted_forget(&tender->steps, tid);
    forget_widened(tender, tid);
    struct attachment **link = find_attachment(tender, tid);
    if (*link)
        end_attachment(tender, link);
    while (was_released(tender, tid))
        continue;
}

/* The new program has no handlers: it is let go.  The caller's id, and the leader that was, are no more. */
static void at_exec(struct tender *tender, pid_t tid, int status) {
    unsigned long former = (unsigned long)tid;
    (void)ptrace(PTRACE_GETEVENTMSG, tid, NULL, &former);
    if ((pid_t)former != tid)
        at_death(tender, tid);
    struct attachment **link = find_attachment(tender, (pid_t)former);
    if (*link) {
        attachment_stop(*link, tid, status);
        end_attachment(tender, link);
    }
    (void)ptrace(PTRACE_DETACH, tid, NULL, NULL);
    at_death(tender, (pid_t)former);
    at_death(tender, tid);
}

/* A stop that no signal is behind; it has taken away what was asked with PTRACE_INTERRUPT (ptrace_stop() in
 * kernel/signal.c). */
static void at_handler(struct tender *tender, pid_t tid, int status) {
    if (replacing_at_stop(tender, tid, status) == REPLACING_MINE)
        return;
    if (*find_attachment(tender, tid) || is_to_be_released(tender, tid))
        (void)ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
    (void)ptrace(PTRACE_CONT, tid, NULL, 0L);
}

static void at_stop(struct tender *tender, pid_t tid, int status) {
    widen(tender, tid);
    if (interrupted_stepped(&tender->steps, tid, status)) {
        at_handler(tender, tid, status);
        return;
    }
    enum replacing_stop whose = replacing_at_stop(tender, tid, status);
    if (whose == REPLACING_MINE || (whose == REPLACING_LET_GO && let_go(tender, tid)))
        return;
    struct attachment **link = find_attachment(tender, tid);
    if (tid == tender->trap->start.pid)
        __atomic_store_n(&tender->cmd_stop, stops_for_terminal(status), __ATOMIC_RELAXED);
    if (stops_event(status) == PTRACE_EVENT_EXEC) {
        at_exec(tender, tid, status);
        return;
    }
    bool delivers = stops_at_signal(status);
    if (delivers && interrupted_mend(*link ? NULL : &tender->steps, &tender->trap->callers, tid)) {
        (void)ptrace(PTRACE_SINGLESTEP, tid, NULL, (long)WSTOPSIG(status));
        return;
    }
    if (*link) {
        attachment_stop(*link, tid, status);
        if ((*link)->phase != PHASE_OVER)
            return;
        bool visited = (*link)->visit;
        int signal = (*link)->signal;
        end_attachment(tender, link);
        if (visited) {
            resume(tender, tid, signal, false); /* it is in another stop than that one */
            return;
        }
    }
    resume(tender, tid, delivers ? WSTOPSIG(status) : 0, stops_in_group(status));
}

/* With no tracee left. */
static void end_waits(struct tender *tender) {
    while (tender->attachments)
        end_attachment(tender, &tender->attachments);
    while (tender->releases)
        (void)was_released(tender, tender->releases->pid);
    replacing_end(tender);
}

/* Only here the signal that wakes is let through: no other call of ours is to be interrupted. */
static pid_t wait_for_stop(const sigset_t *wake, int *status) {
    pthread_sigmask(SIG_UNBLOCK, wake, NULL);
    pid_t tid = wait4(-1, status, __WALL | __WNOTHREAD, NULL);
    int error = errno;
    pthread_sigmask(SIG_BLOCK, wake, NULL);
    errno = error;
    return tid;
}

static void *tend(void *arg) {
    struct tender *tender = arg;
    sigset_t wake;
    (void)sigemptyset(&wake); /* these cannot fail */
    (void)sigaddset(&wake, wake_signal());
    pthread_sigmask(SIG_BLOCK, &wake, NULL);
    for (;;) {
        struct request *request;
        while ((request = requests_take(&tender->requests)))
            request->begin(tender, request);
        int status;
        pid_t tid = wait_for_stop(&wake, &status);
        if (tid > 0 && WIFSTOPPED(status)) {
            at_stop(tender, tid, status);
        } else if (tid > 0) {
            at_death(tender, tid);
            cmd_reaped(tender->trap, tid, status);
        } else if (errno == ECHILD) {
            end_waits(tender);
            if (!requests_wait(&tender->requests))
                return NULL;
        }
    }
}

/* ---- what others ask ---- */

static void begin_process(struct tender *tender, struct request *request) {
    seize_process(tender, request->pid, request->options);
    requests_served(&tender->requests, request, true);
}

static void begin_attachment(struct tender *tender, struct request *request) {
    if (ptrace(PTRACE_INTERRUPT, request->pid, NULL, NULL) < 0) {
        requests_served(&tender->requests, request, false);
        return;
    }
    request->at->next = tender->attachments;
    tender->attachments = request->at;
    request->at->request = request;
    attachment_begin(request->at);
}

/* The stop that follows is one as any other. */
static void begin_interrupt(struct tender *tender, struct request *request) {
    bool can = ptrace(PTRACE_INTERRUPT, request->pid, NULL, NULL) == 0;
    if (can)
        reply_value(&request->worker->reply, -ERESTARTSYS);
    requests_served(&tender->requests, request, can);
}

static void begin_release(struct tender *tender, struct request *request) {
    if (ptrace(PTRACE_INTERRUPT, request->pid, NULL, NULL) < 0) {
        requests_served(&tender->requests, request, false);
        return;
    }
    request->next = tender->releases;
    tender->releases = request;
    if (request->worker)
        reply_value(&request->worker->reply, -ERESTARTSYS);
}

static void begin_reaped(struct tender *tender, struct request *request) {
    at_death(tender, request->pid);
    requests_served(&tender->requests, request, true);
}

void tender_process(struct worker *worker, pid_t pid, bool only_parent) {
    struct request request = {.begin = begin_process, .pid = pid, .options = only_parent ? FEW_OPTIONS : OPTIONS};
    crew_relieve(&worker->trap->crew);
    (void)requests_ask(&worker->trap->tender.requests, &request, true);
}

bool tender_release(struct worker *worker, pid_t pid, bool itself) {
    struct request request = {.begin = begin_release, .pid = pid, .worker = itself ? worker : NULL};
    crew_relieve(&worker->trap->crew);
    return requests_ask(&worker->trap->tender.requests, &request, false);
}

bool tender_call(struct attachment *at) {
    struct notify_trap *trap = at->worker->trap;
    struct request request = {.begin = begin_attachment, .pid = at->tid, .at = at};
    crew_relieve(&trap->crew);
    return requests_ask(&trap->tender.requests, &request, false);
}

bool tender_interrupt(struct worker *worker) {
    struct request request = {.begin = begin_interrupt, .pid = (pid_t)worker->reply.request->pid, .worker = worker};
    return requests_ask(&worker->trap->tender.requests, &request, false);
}

void tender_reaped(struct notify_trap *trap, pid_t pid) {
    struct request request = {.begin = begin_reaped, .pid = pid};
    (void)requests_ask(&trap->tender.requests, &request, false);
}

void tender_init(struct tender *tender, struct notify_trap *trap) {
    tender->trap = trap;
    requests_init(&tender->requests, tend, tender);
}

void tender_clear(struct tender *tender) {
    requests_clear(&tender->requests);
}
