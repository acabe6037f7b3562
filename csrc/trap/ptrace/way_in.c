/* way_in.c - answers inside of tracees, by the ptrace trap.
 *
 *     seccomp stop ── the call becomes one that is notified ─▶ descriptors, answer ─▶ stop behind it
 *     ── the stub is brought in ─▶ back to the instruction: the call is made again
 *
 * Rules: a tracee that may not look into us (Landlock) can be given a descriptor by a listener alone.  Where there is
 * none, since another one is in the way or the kernel is older than 5.19, no program gets a stub.  The loop serves
 * nobody else meanwhile, so nothing is waited for but the tracee's own next stop.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../inside.h"
#include "../../arch/arch.h"
#include "../../untouched/untouched.h"
#include "seccomp_stop.h"
#include "trap.h"
#include "way_in.h"

#define NO_POINTER (UINT64_C(1) << 63)  /* nobody makes the call with such an address by itself */
#define LOOK_MS 1                       /* between two looks whether the tracee has stopped or died instead */
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1ul << 5)   /* Linux 5.19 */
#endif

void way_in_init(struct way_in *way, const struct untouched *untouched) {
    int pair[2];
    uint64_t cookie;
    *way = (struct way_in){.ours = -1, .theirs = -1, .reply = {.listener = -1}};
    if (!untouched_wanted(untouched) || getrandom(&cookie, sizeof cookie, GRND_NONBLOCK) != sizeof cookie ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return;
    way->ours = pair[0];
    way->theirs = pair[1];
    way->cookie = cookie | NO_POINTER;
}

unsigned way_in_flags(const struct way_in *way) {
    return way->cookie ? SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV : 0;
}

static void close_end(int *fd) {
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void way_in_started(struct way_in *way) {
    close_end(&way->theirs);
}

void way_in_clear(struct way_in *way) {
    close_end(&way->ours);
    close_end(&way->theirs);
    close_end(&way->reply.listener);
    reply_clear(&way->reply);
}

static bool is_open(struct way_in *way) {
    if (!way->asked && way->cookie) {
        int listener = start_receive_listener(way->ours);
        if (listener >= 0 && reply_init(&way->reply, listener) < 0) {
            close(listener);
            way->reply.listener = -1;
        }
        close_end(&way->ours);
    }
    way->asked = true;
    return way->reply.listener >= 0;
}

/* ---- descriptors ---- */

struct visit {
    struct way_in *way;
    const struct table *table;
    struct tracee *tracee;
    struct registers regs;      /* as the tracee made the call */
    struct entering entering;
    int table_fd, notes_fd;     /* in the tracee */
};

static bool has_stopped(pid_t tid) {
    siginfo_t info = {.si_pid = 0};
    return waitid(P_PID, (id_t)tid, &info, WEXITED | WSTOPPED | WNOHANG | WNOWAIT | __WALL | __WNOTHREAD) < 0 ||
           info.si_pid != 0;
}

/* Of a call that is notified.  False: it is another task's, which has guessed the cookie. */
static bool answer(struct visit *visit) {
    struct reply *reply = &visit->way->reply;
    if (reply->request->pid != (uint32_t)visit->tracee->task.tid) {
        reply_value(reply, -ENOSYS);
        return false;
    }
    visit->table_fd = reply_hand_over(reply, visit->table->image, O_CLOEXEC);
    visit->notes_fd = visit->table_fd < 0 ? -1 : reply_hand_over(reply, visit->table->notes_image, O_CLOEXEC);
    reply_value(reply, 0);
    return true;
}

/* Has the tracee made its call, and got an answer?  Once received the call takes no signal before it. */
static bool hand_over(struct visit *visit) {
    struct reply *reply = &visit->way->reply;
    struct pollfd pollfd = {.fd = reply->listener, .events = POLLIN};
    for (;;) {
        int ready = poll(&pollfd, 1, LOOK_MS);
        if (ready > 0 && !(pollfd.revents & POLLIN))
            return false;
        if (ready > 0 && reply_receive(reply) == 0 && answer(visit))
            return true;
        if (ready <= 0 && has_stopped(visit->tracee->task.tid))
            return false;
    }
}

/* Instead of its call the tracee makes another one, and stops behind it: also where a stop has ended that call before
 * it was received, after which the step's own SIGTRAP is still to come. */
static int get_descriptors(struct visit *visit) {
    struct registers regs = visit->regs;
    pid_t tid = visit->tracee->task.tid;
    registers_set_arg(&regs, 0, UINT32_MAX);    /* to the kernel this is EINVAL */
    registers_set_arg(&regs, 1, 0);
    registers_set_arg(&regs, 2, visit->way->cookie);
    int error = registers_write(tid, &regs, __NR_seccomp);
    if (!error && ptrace(PTRACE_SINGLESTEP, tid, NULL, NULL) < 0)
        error = -errno;
    if (error)
        return error;
    bool handed = hand_over(visit);
    error = entering_wait(&visit->entering, PTRACE_SINGLESTEP);
    visit->tracee->interrupted = false; /* that stop is among those */
    return error || handed ? error : -EINTR;
}

/* ---- */

/* 0, or -errno: it has got nothing; -ESRCH: it is dead. */
static int bring_in(struct untouched *untouched, struct visit *visit) {
    pid_t tid = visit->tracee->task.tid;
    int error = registers_read(tid, &visit->regs);
    if (!error)
        error = entering_begin(&visit->entering, tid, &visit->regs);
    if (error)
        return error;
    error = get_descriptors(visit);
    if (!error)
        error = visit->table_fd < 0 ? visit->table_fd
                                    : untouched_enter(untouched, &visit->entering, &visit->tracee->inside,
                                                      visit->table_fd, visit->notes_fd);
    if (error == -ESRCH)
        return error;
    visit->tracee->stop = entering_end(&visit->entering);
    registers_rewind(&visit->regs, visit->tracee->call.nr);
    int written = registers_write(tid, &visit->regs, -1);
    return written ? written : error;
}

/* It has been seen to be alone: if it stands at its call still, no execve of another thread can replace it. */
static bool still_calls(const struct tracee *tracee) {
    struct __ptrace_syscall_info info;
    return seccomp_stop_info(tracee->task.tid, &info) == 0;
}

bool way_in_passed(struct ptrace_trap *trap, struct tracee *tracee) {
    struct untouched *untouched = &trap->run->untouched;
    int error;
    struct visit visit = {.way = &trap->way_in, .table = &untouched->table, .tracee = tracee};
    switch (inside_learn(trap->run, &tracee->call, &tracee->inside, tracee->ip)) {
    case INSIDE_ENTER:
        if (!still_calls(tracee))
            return false;
        if (!is_open(&trap->way_in)) {
            untouched_failed(untouched, -EBUSY);
            return false;
        }
        error = bring_in(untouched, &visit);
        untouched_entered(untouched, &tracee->inside, error);
        return true;
    case INSIDE_PATCH:
        untouched_patch(untouched, &tracee->inside, tracee->task.tid, tracee->ip);
        return false;
    case INSIDE_NOTHING:
        break;
    }
    return false;
}
