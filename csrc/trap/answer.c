/* answer.c - one notified call, from its receipt to its answer.
 *
 * Rules: everything that is to be done for a call is done before the answer, since with it the tracee runs on and may
 * call again, served by another worker.  A notification may die at any time with its thread, so every look at the
 * tracee's memory is followed by the question whether the call is still waiting, and nothing is done for one that is
 * not.  OPEN is done here and the descriptor handed over, in one step with the answer; what might block or means something
 * to the one who opens it (a fifo, a device, a socket), O_TMPFILE with its umask, and O_PATH, whose descriptors the kernel
 * does not hand over, the tracee opens itself.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arch.h"
#include "memory.h"
#include "notify.h"
#include "renewals.h"

static void send_response(struct worker *worker, long value, uint32_t flags) {
    memset(worker->response, 0, worker->trap->crew.sizes.seccomp_notif_resp);
    worker->response->id = worker->request->id;
    worker->response->val = value > 0 ? value : 0;
    worker->response->error = value < 0 ? (int32_t)value : 0;
    worker->response->flags = flags;
    struct aim aim;
    aim_begin(&aim, &worker->trap->crew.spread, worker->home, (pid_t)worker->request->pid);
    /* It fails when the thread has been killed, and then nobody waits for it. */
    (void)ioctl(worker->trap->listener, SECCOMP_IOCTL_NOTIF_SEND, worker->response);
    aim_end(&aim);
}

void answer_value(struct worker *worker, long value) {
    send_response(worker, value, 0);
}

void answer_continue(struct worker *worker) {
    send_response(worker, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
}

int answer_awaited(struct worker *worker) {
    uint64_t id = worker->request->id;
    return ioctl(worker->trap->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) < 0 ? -ESRCH : 0;
}

static int check_awaited(void *arg) {
    return answer_awaited(arg);
}

void answer_done(struct worker *worker, struct caller *caller) {
    struct notify_trap *trap = worker->trap;
    run_record(trap->run, &caller->call, caller->call_start);
    call_end(&caller->call);
    callers_leave(&trap->callers, caller);
}

static void return_value(struct worker *worker, struct caller *caller, long value) {
    caller->call.value = value;
    answer_done(worker, caller);
    answer_value(worker, value);
}

/* ---- OPEN ---- */

#define O_ONLY_TMPFILE (O_TMPFILE & ~O_DIRECTORY)

/* A descriptor of ours, or -errno; -EOPNOTSUPP: the tracee is to open it. */
static int open_for(const struct call *call) {
    struct stat st;
    if (call->open_flags & (O_ONLY_TMPFILE | O_PATH))
        return -EOPNOTSUPP;
    if (lstat(call->open_path, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
        return -EOPNOTSUPP;
    int fd = open(call->open_path, call->open_flags | O_CLOEXEC | O_NOCTTY, call->open_mode);
    if (fd >= 0)
        return fd;
    return errno == EMFILE || errno == ENFILE ? -EOPNOTSUPP : -errno;
}

/* Gives the tracee our descriptor: its number there, or -errno. */
static long hand_over(struct worker *worker, int fd, int open_flags, uint32_t how) {
    struct seccomp_notif_addfd addfd = {
        .id = worker->request->id,
        .flags = how,
        .srcfd = (uint32_t)fd,
        .newfd_flags = open_flags & O_CLOEXEC ? O_CLOEXEC : 0,
    };
    struct aim aim;
    aim_begin(&aim, &worker->trap->crew.spread, how ? worker->home : -1, (pid_t)worker->request->pid);
    int number = ioctl(worker->trap->listener, SECCOMP_IOCTL_NOTIF_ADDFD, &addfd);
    long result = number < 0 ? -errno : number;
    aim_end(&aim);
    return result;
}

/* With a trace the number is wanted before the answer. */
static void hand_over_traced(struct worker *worker, struct caller *caller, int fd) {
    return_value(worker, caller, hand_over(worker, fd, caller->call.open_flags, 0));
}

static void open_verdict(struct worker *worker, struct caller *caller) {
    struct call *call = &caller->call;
    int fd = open_for(call);
    if (fd == -EOPNOTSUPP) {
        attach_run(worker, caller);
        return;
    }
    long result = call->finish ? call_finish(call, fd) : fd;
    int open_flags = call->open_flags;
    if (result < 0) {
        return_value(worker, caller, result);
    } else if (worker->trap->run->trace_fd >= 0) {
        hand_over_traced(worker, caller, fd);
    } else {
        answer_done(worker, caller);
        result = hand_over(worker, fd, open_flags, SECCOMP_ADDFD_FLAG_SEND);
        if (result < 0)
            answer_value(worker, result);
    }
    if (fd >= 0)
        close(fd);
}

/* ---- the others ---- */

/* The finish of such a call is in time at the task's next call, or when a sweep finds it over. */
static void hold(struct worker *worker, struct caller *caller) {
    caller->held = true;
    caller->continued = true;
    caller->held_since = run_clock();
    callers_leave(&worker->trap->callers, caller);
    answer_continue(worker);
}

static void pass(struct worker *worker, struct caller *caller) {
    const struct call *call = &caller->call;
    if (call->watch_exit && !call->any_time) {
        attach_run(worker, caller);
        return;
    }
    if (call->watch_exit) {
        hold(worker, caller);
        return;
    }
    caller->continued = true;
    caller->executes = call->nr == __NR_execve || call->nr == __NR_execveat;
    answer_done(worker, caller);
    answer_continue(worker);
}

static void kill_caller(struct worker *worker, struct caller *caller) {
    run_warn_killed(worker->trap->run, &caller->call);
    if (answer_awaited(worker) == 0)
        (void)kill((pid_t)worker->request->pid, SIGKILL);
    return_value(worker, caller, -EPERM);
}

static void carry_out(struct worker *worker, struct caller *caller) {
    const struct call *call = &caller->call;
    if (call->kill) {
        kill_caller(worker, caller);
        return;
    }
    switch (call->verdict) {
    case VERDICT_PASS:
        pass(worker, caller);
        break;
    case VERDICT_RETURN:
        return_value(worker, caller, call->value);
        break;
    case VERDICT_OPEN:
        open_verdict(worker, caller);
        break;
    case VERDICT_SUBSTITUTE:
        attach_run(worker, caller);
        break;
    }
}

static void begin(struct worker *worker, struct caller *caller) {
    const struct seccomp_data *data = &worker->request->data;
    caller->call_start = run_clock();
    if (worker->post.place >= 0)
        worker->home =
            spread_home(&worker->trap->crew.spread, worker->post.place, caller->task.tid, caller->call_start);
    caller->call.nr = data->nr;
    for (unsigned i = 0; i < 6; i++)
        caller->call.arg[i] = data->args[i];
    memory_check(check_awaited, worker);
    call_begin(&caller->call);
    memory_check(NULL, NULL);
    renewals_run(worker, caller);
    run_spent(worker->trap->run, &caller->call, run_clock() - caller->call_start);
    carry_out(worker, caller);
}

void answer_request(struct worker *worker) {
    const struct seccomp_notif *request = worker->request;
    struct notify_trap *trap = worker->trap;
    worker->home = -1;
    if (__atomic_load_n(&trap->ending, __ATOMIC_RELAXED)) {
        if (answer_awaited(worker) == 0)
            (void)kill((pid_t)request->pid, SIGKILL);
        return;
    }
    if (request->data.arch != ARCH_AUDIT) {
        run_warn_foreign(trap->run, (pid_t)request->pid);
        answer_value(worker, -ENOSYS);
        return;
    }
    if (tend_notified(worker))
        return;
    if (renewals_runs(&trap->tender, (pid_t)request->pid)) {
        answer_continue(worker);
        return;
    }
    struct caller *caller = callers_enter(&trap->callers, (pid_t)request->pid);
    if (!caller)
        answer_value(worker, -ENOMEM);
    else if (caller->attached)
        answer_continue(worker);
    else
        begin(worker, caller);
}
