/* tend.c - processes whose signal handlers would make calls fail that no worker has received yet.
 *
 * Until a worker has received a call, any signal ends it (seccomp_unotify(2), BUGS) with -ERESTARTSYS, which is EINTR
 * where the handler was installed without SA_RESTART: from stat(2), too.  So a process that may have such a handler
 * (interruptible.c) is traced, by a thread of its own here, with its children until they execute.  At the stop before a
 * signal is delivered -ERESTARTSYS becomes -ERESTARTNOINTR, and the call is made again after the handler (signal(7)).
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
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../process/clock.h"
#include "attach.h"
#include "../../calls/table.h"
#include "../../process/family.h"
#include "interruptible.h"
#include "../../process/memory.h"
#include "notify.h"
#include "renewals.h"

#define OPTIONS (ATTACH_OPTIONS | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE)
#define ERESTARTSYS 512             /* include/linux/errno.h */
#define RETRY_NS 1000000            /* of waking the tender, which may be about to wait */

enum request_kind {
    REQUEST_PROCESS,
    REQUEST_CALL,
    REQUEST_INTERRUPT,
    REQUEST_RELEASE,
    REQUEST_REAPED,
    REQUEST_RENEW,
};

/* On the stack of the thread that waits for it. */
struct tend_request {
    struct tend_request *next;
    enum request_kind kind;
    pid_t pid;
    struct attachment *at;          /* CALL */
    struct renewed *task;           /* RENEW */
    struct worker *worker; /* INTERRUPT; RELEASE: of the task itself, whose call is to be made again; or NULL */
    bool taken, served, done;
};

/* ---- who is tended ---- */

/* True if there was a thread that was not traced. */
static bool seize_threads(pid_t pid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *dir = opendir(path);
    if (!dir)
        return false;
    bool any = false;
    for (const struct dirent *entry; (entry = readdir(dir));) {
        pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (tid > 0 && ptrace(PTRACE_SEIZE, tid, NULL, (void *)(uintptr_t)OPTIONS) == 0)
            any = true;
    }
    closedir(dir);
    return any;
}

static void seize_process(pid_t tid) {
    pid_t pid = family_process(tid);
    while (pid && seize_threads(pid))
        continue; /* threads that were made meanwhile */
}

/* ---- requests ---- */

static void mark_served(struct tender *tender, struct tend_request *request, bool done) {
    pthread_mutex_lock(&tender->lock);
    request->done = done;
    request->served = true;
    pthread_cond_broadcast(&tender->served);
    pthread_mutex_unlock(&tender->lock);
}

static struct tend_request *take_request(struct tender *tender) {
    pthread_mutex_lock(&tender->lock);
    struct tend_request *request = tender->requests;
    if (request) {
        tender->requests = request->next;
        request->taken = true;
    }
    pthread_mutex_unlock(&tender->lock);
    return request;
}

static void *tend(void *arg);

/* With the lock held. */
static bool start_tender(struct tender *tender) {
    if (!tender->has_thread && crew_wake_signal())
        tender->has_thread = pthread_create(&tender->thread, NULL, tend, tender) == 0;
    return tender->has_thread;
}

/* True: it was done. */
static bool ask(struct tender *tender, struct tend_request *request, bool may_start) {
    pthread_mutex_lock(&tender->lock);
    bool can = may_start ? start_tender(tender) : tender->has_thread;
    if (can) {
        request->next = tender->requests;
        tender->requests = request;
        pthread_cond_signal(&tender->asked);
    }
    while (can && !request->served) {
        if (request->taken) {
            pthread_cond_wait(&tender->served, &tender->lock);
            continue;
        }
        struct timespec until = clock_in(RETRY_NS);
        pthread_kill(tender->thread, crew_wake_signal());
        pthread_cond_timedwait(&tender->served, &tender->lock, &until);
    }
    pthread_mutex_unlock(&tender->lock);
    return can && request->done;
}

void tend_process(struct worker *worker, pid_t pid) {
    struct tend_request request = {.kind = REQUEST_PROCESS, .pid = pid};
    crew_relieve(&worker->trap->crew);
    (void)ask(&worker->trap->tender, &request, true);
}

bool tend_release(struct worker *worker, pid_t pid, bool itself) {
    struct tend_request request = {.kind = REQUEST_RELEASE, .pid = pid, .worker = itself ? worker : NULL};
    crew_relieve(&worker->trap->crew);
    return ask(&worker->trap->tender, &request, false);
}

bool tend_call(struct attachment *at) {
    struct notify_trap *trap = at->worker->trap;
    struct tend_request request = {.kind = REQUEST_CALL, .pid = at->tid, .at = at};
    crew_relieve(&trap->crew);
    return ask(&trap->tender, &request, false);
}

bool tend_renew(struct tender *tender, struct renewed *task) {
    struct tend_request request = {.kind = REQUEST_RENEW, .task = task};
    return ask(tender, &request, true);
}

bool tend_interrupt(struct worker *worker) {
    struct tend_request request = {.kind = REQUEST_INTERRUPT, .pid = (pid_t)worker->request->pid, .worker = worker};
    return ask(&worker->trap->tender, &request, false);
}

void tend_reaped(struct notify_trap *trap, pid_t pid) {
    struct tend_request request = {.kind = REQUEST_REAPED, .pid = pid};
    (void)ask(&trap->tender, &request, false);
}

/* ---- calls that a signal has interrupted ---- */

/* Of the trapped ones. */
static bool waits_on_socket(int nr) {
    static const int calls[] = {
        __NR_connect, __NR_sendto,   __NR_sendmsg, __NR_sendmmsg, __NR_accept,
        __NR_accept4, __NR_recvfrom, __NR_recvmsg, __NR_recvmmsg,
    };
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        if (calls[i] == nr)
            return true;
    return false;
}

/* An open that went on in the kernel waits if it is of a fifo, say.  What cannot be looked at is taken for one. */
static bool opens_what_waits(pid_t tid, int nr, const struct registers *regs) {
    char path[PATH_MAX];
    struct stat st;
    unsigned arg = nr == __NR_openat || nr == __NR_openat2 ? 1 : 0;
    if (memory_read_string(&MEMORY(tid), registers_arg(regs, arg), path, sizeof path) <= 0 || path[0] != '/')
        return true;
    return stat(path, &st) < 0 || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode));
}

static bool is_due(struct tender *tender, pid_t tid, int nr, const struct registers *regs) {
    uint64_t arg[6];
    for (unsigned i = 0; i < 6; i++)
        arg[i] = registers_arg(regs, i);
    if (!table_row(nr) && !interruptible_traps(nr, arg))
        return false;
    if (!waits_on_socket(nr) && !call_is_open(nr))
        return true;
    if (!callers_continued(&tender->trap->callers, tid, nr, arg))
        return true;
    return call_is_open(nr) && !opens_what_waits(tid, nr, regs);
}

/* At a signal-delivery-stop. */
static void mend_call(struct tender *tender, pid_t tid) {
    struct registers regs;
    if (registers_read(tid, &regs) || !registers_is_interrupted(&regs))
        return;
    int nr = arch_call_number(tid, &regs);
    if (is_due(tender, tid, nr, &regs))
        (void)registers_restart(tid, &regs, nr);
}

/* ---- stops ---- */

static bool is_stopping_signal(int signal) {
    return signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
}

static void end_attachment(struct tender *tender, struct attachment **link) {
    struct attachment *at = *link;
    *link = at->next;
    attach_end(at);
    mark_served(tender, at->request, true);
}

static struct attachment **find_attachment(struct tender *tender, pid_t tid) {
    struct attachment **link = &tender->attachments;
    while (*link && (*link)->tid != tid)
        link = &(*link)->next;
    return link;
}

/* Somebody waits for the tracee to be let go: it is not ours any more. */
static bool was_released(struct tender *tender, pid_t tid) {
    struct tend_request **link = &tender->releases;
    while (*link && (*link)->pid != tid)
        link = &(*link)->next;
    struct tend_request *request = *link;
    if (!request)
        return false;
    *link = request->next;
    mark_served(tender, request, true);
    return true;
}

static bool is_to_be_released(const struct tender *tender, pid_t tid) {
    const struct tend_request *request = tender->releases;
    while (request && request->pid != tid)
        request = request->next;
    return request != NULL;
}

/* It runs on; how depends on who wants it. */
static void resume(struct tender *tender, pid_t tid, int signal, bool stays) {
    bool released = is_to_be_released(tender, tid);
    long how = released ? PTRACE_DETACH : stays ? PTRACE_LISTEN : PTRACE_CONT;
    (void)ptrace((enum __ptrace_request)how, tid, NULL, how == PTRACE_LISTEN ? 0L : (long)signal);
    if (released)
        (void)was_released(tender, tid);
}

bool tend_let_go(struct tender *tender, pid_t tid) {
    if (*find_attachment(tender, tid))
        return false;
    (void)ptrace(PTRACE_DETACH, tid, NULL, 0L);
    (void)was_released(tender, tid);
    return true;
}

static void at_death(struct tender *tender, pid_t tid) {
    renewals_at_death(tender, tid);
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
        attach_stop(*link, tid, status);
        end_attachment(tender, link);
    }
    (void)ptrace(PTRACE_DETACH, tid, NULL, NULL);
    at_death(tender, (pid_t)former);
    at_death(tender, tid);
}

static void note_stop_of_cmd(struct tender *tender, int event, int signal) {
    bool stops = event == PTRACE_EVENT_STOP && is_stopping_signal(signal) && signal != SIGSTOP;
    __atomic_store_n(&tender->cmd_stop, stops ? signal : 0, __ATOMIC_RELAXED);
}

static void at_stop(struct tender *tender, pid_t tid, int status) {
    int event = status >> 16, signal = WSTOPSIG(status);
    if (renewals_at_stop(tender, tid, status))
        return;
    struct attachment **link = find_attachment(tender, tid);
    if (tid == tender->trap->start.pid)
        note_stop_of_cmd(tender, event, signal);
    if (event == PTRACE_EVENT_EXEC) {
        at_exec(tender, tid, status);
        return;
    }
    bool delivers = event == 0 && signal != (SIGTRAP | 0x80);
    if (delivers)
        mend_call(tender, tid);
    if (*link) {
        attach_stop(*link, tid, status);
        if ((*link)->phase != PHASE_OVER)
            return;
        end_attachment(tender, link);
    }
    resume(tender, tid, delivers ? signal : 0, event == PTRACE_EVENT_STOP && is_stopping_signal(signal));
}

/* ---- the tender ---- */

static void begin_call(struct tender *tender, struct tend_request *request) {
    if (ptrace(PTRACE_INTERRUPT, request->pid, NULL, NULL) < 0) {
        mark_served(tender, request, false);
        return;
    }
    request->at->next = tender->attachments;
    tender->attachments = request->at;
    request->at->request = request;
    attach_begin(request->at);
}

/* The stop that follows is one as any other. */
static void interrupt(struct tender *tender, struct tend_request *request) {
    bool can = ptrace(PTRACE_INTERRUPT, request->pid, NULL, NULL) == 0;
    if (can)
        answer_value(request->worker, -ERESTARTSYS);
    mark_served(tender, request, can);
}

static void begin_release(struct tender *tender, struct tend_request *request) {
    if (ptrace(PTRACE_INTERRUPT, request->pid, NULL, NULL) < 0) {
        mark_served(tender, request, false);
        return;
    }
    request->next = tender->releases;
    tender->releases = request;
    if (request->worker)
        answer_value(request->worker, -ERESTARTSYS);
}

static void serve_request(struct tender *tender, struct tend_request *request) {
    switch (request->kind) {
    case REQUEST_PROCESS:
        seize_process(request->pid);
        mark_served(tender, request, true);
        break;
    case REQUEST_CALL:
        begin_call(tender, request);
        break;
    case REQUEST_INTERRUPT:
        interrupt(tender, request);
        break;
    case REQUEST_RELEASE:
        begin_release(tender, request);
        break;
    case REQUEST_RENEW:
        renewals_begin(tender, request->task);
        mark_served(tender, request, true);
        break;
    case REQUEST_REAPED:
        at_death(tender, request->pid);
        mark_served(tender, request, true);
        break;
    }
}

/* With no tracee left. */
static void end_all(struct tender *tender) {
    while (tender->attachments)
        end_attachment(tender, &tender->attachments);
    while (tender->releases)
        (void)was_released(tender, tender->releases->pid);
    renewals_end(tender);
}

/* False: the run is over. */
static bool wait_for_request(struct tender *tender) {
    pthread_mutex_lock(&tender->lock);
    while (!tender->requests && !tender->ending)
        pthread_cond_wait(&tender->asked, &tender->lock);
    bool go_on = !tender->ending;
    pthread_mutex_unlock(&tender->lock);
    return go_on;
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
    (void)sigaddset(&wake, crew_wake_signal());
    pthread_sigmask(SIG_BLOCK, &wake, NULL);
    for (;;) {
        struct tend_request *request;
        while ((request = take_request(tender)))
            serve_request(tender, request);
        int status;
        pid_t tid = wait_for_stop(&wake, &status);
        if (tid > 0 && WIFSTOPPED(status)) {
            at_stop(tender, tid, status);
        } else if (tid > 0) {
            at_death(tender, tid);
            notify_reaped(tender->trap, tid, status);
        } else if (errno == ECHILD) {
            end_all(tender);
            if (!wait_for_request(tender))
                return NULL;
        }
    }
}

void tend_init(struct tender *tender, struct notify_trap *trap) {
    tender->trap = trap;
    pthread_mutex_init(&tender->lock, NULL);
    pthread_cond_init(&tender->asked, NULL);
    pthread_cond_init(&tender->served, NULL);
    tender->made = true;
}

void tend_clear(struct tender *tender) {
    if (!tender->made)
        return;
    pthread_mutex_lock(&tender->lock);
    tender->ending = true;
    pthread_cond_signal(&tender->asked);
    pthread_mutex_unlock(&tender->lock);
    if (tender->has_thread)
        pthread_join(tender->thread, NULL);
    pthread_cond_destroy(&tender->asked);
    pthread_cond_destroy(&tender->served);
    pthread_mutex_destroy(&tender->lock);
}
