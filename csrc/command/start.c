/* start.c - making CMD: the fork, the filter and the execve.
 *
 * Rules: between fork and execve only async-signal-safe functions (this process has threads).  The filter is
 * on before chdir and execve, so both happen in the view.  What CMD inherits is what it would have had without us:
 * signals that are ignored stay ignored (nohup(1), background jobs), except those that Python ignores for itself.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../calls/tasks/limits.h"
#include "join.h"
#include "landlock.h"
#include "network.h"
#include "record.h"
#include "slot.h"
#include "start.h"

#define STATUS_NEVER_RAN 127

struct start_report {
    int stage;
    int error;
};

bool start_has_capability(int capability) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};
    if (syscall(SYS_capget, &header, data) < 0)
        return false;
    return data[CAP_TO_INDEX(capability)].effective & CAP_TO_MASK(capability);
}

/* Without CAP_SYS_ADMIN a filter needs no_new_privs (seccomp(2)).  Otherwise it stays off: programs can see it. */
static int gain_right(void) {
    return !start_has_capability(CAP_SYS_ADMIN) && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

static int install_filter(const struct filter *filter, unsigned flags) {
    struct sock_fprog program = {
        .len = (unsigned short)filter->length,
        .filter = (struct sock_filter *)filter->code,
    };
    long fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
    return fd < 0 ? -errno : (int)fd;
}

/* What execve would do to handlers, but before signals are let through: a handler of ours must not run here. */
static void restore_signal(int signal, bool python) {
    struct sigaction action;
    if (sigaction(signal, NULL, &action) < 0)
        return;   /* the C library keeps a few for itself */
    bool ours = action.sa_handler != SIG_IGN && action.sa_handler != SIG_DFL;
    if (!ours && (!python || (signal != SIGPIPE && signal != SIGXFSZ)))
        return;
    action = (struct sigaction){.sa_handler = SIG_DFL};
    if (sigaction(signal, &action, NULL) < 0)
        _exit(STATUS_NEVER_RAN);
}

/* Python ignores two signals itself, and nobody knows any more whether they were ignored before. */
static void restore_signals(const struct pto_command *command) {
    sigset_t blocked;
    bool made = sigemptyset(&blocked) == 0;
    for (int signal = 1; signal < NSIG; signal++) {
        restore_signal(signal, command->flags & PTO_BY_PYTHON);
        if (command->blocked >> (signal - 1) & 1)
            (void)sigaddset(&blocked, signal);   /* the C library keeps a few for itself */
    }
    if (!made || sigprocmask(SIG_SETMASK, &blocked, NULL) < 0)
        _exit(STATUS_NEVER_RAN);
}

/* What comes from CMD before it is one comes by a call that no filter of ours traps. */
#define REPORTS (SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK)

static int open_reports(int report[2], ino_t *ino) {
    struct stat st;
    if (socketpair(AF_UNIX, REPORTS, 0, report) < 0)
        return -1;
    *ino = fstat(report[1], &st) < 0 ? 0 : st.st_ino;
    return 0;
}

static void tell(int fd, int stage, int error) {
    struct start_report message = {.stage = stage, .error = error};
    if (send(fd, &message, sizeof message, MSG_NOSIGNAL) != sizeof message)   /* write(2) may wait for us */
        _exit(STATUS_NEVER_RAN);
}

static _Noreturn void report_and_exit(int fd, int stage, int error) {
    tell(fd, stage, error);
    _exit(STATUS_NEVER_RAN);
}

/* A call that is trapped already. */
static void send_listener(int socket, int listener) {
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof listener)];
    } control = {.header = {.cmsg_len = CMSG_LEN(sizeof listener), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    char byte = 0;
    struct iovec vector = {&byte, 1};
    const struct msghdr message = {
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
    memcpy(CMSG_DATA(&control.header), &listener, sizeof listener);
    (void)sendmsg(socket, &message, MSG_NOSIGNAL);   /* else nothing is handed over */
}

int start_receive_listener(int socket) {
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    char byte;
    int listener;
    struct iovec vector = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
    if (recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0)
        return -errno;
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (!header || header->cmsg_type != SCM_RIGHTS || header->cmsg_len != CMSG_LEN(sizeof listener))
        return -ENOENT;
    memcpy(&listener, CMSG_DATA(header), sizeof listener);
    return listener;
}

/* From here on all calls are trapped.  Stage NONE carries the listener. */
int start_enter_filter(const struct run *run, const void *arg) {
    const struct start_filter *entered = arg;
    int error = gain_right();
    if (!error)
        error = limits_hold();
    if (error)
        return error;
    if (run->landlock >= 0)
        (void)landlock_enter(run->landlock);   /* a second line of defence: without it the first holds */
    int listener = install_filter(entered->filter, entered->flags);
    if (listener < 0 && entered->socket >= 0)
        return install_filter(entered->filter, entered->flags & ~(SECCOMP_FILTER_FLAG_NEW_LISTENER |
                                                                  SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV));
    if (listener >= 0 && entered->socket >= 0)
        send_listener(entered->socket, listener);
    if (listener >= 0 && entered->report >= 0)
        tell(entered->report, PTO_STAGE_NONE, listener);
    return listener < 0 ? listener : 0;
}

/* What CMD is to have less of than we. */
static int give_less(const struct pto_command *command) {
    struct rlimit data;
    if (command->data_limit) {
        if (getrlimit(RLIMIT_DATA, &data) < 0)
            return -errno;
        data.rlim_max = data.rlim_max < command->data_limit ? data.rlim_max : command->data_limit;
        data.rlim_cur = data.rlim_max;
        if (setrlimit(RLIMIT_DATA, &data) < 0)
            return -errno;
    }
    if (!(command->flags & PTO_NO_NETWORK))
        return 0;
    int error = gain_right();
    return error ? error : network_forbid();
}

/* All of them at once, by the calls themselves: this process has one thread. */
static int become(const struct pto_command *command) {
    if (syscall(SYS_setgroups, command->n_groups, command->groups) < 0 ||
        syscall(SYS_setresgid, command->gid, command->gid, command->gid) < 0 ||
        syscall(SYS_setresuid, command->uid, command->uid, command->uid) < 0)
        return -errno;
    return 0;
}

static _Noreturn void child(const struct run *run, start_enter_fn *enter, const void *arg, int fd) {
    const struct pto_command *command = run->command;
    if (run->host)
        (void)prctl(PR_SET_PTRACER, run->host, 0, 0, 0);   /* where Yama restricts; elsewhere it is no option */
    (void)setrlimit(RLIMIT_NOFILE, &run->files);   /* not above what it is now, so that it cannot fail */
    int error = give_less(command);
    if (command->build & PTO_BUILD_ADDRESSES)
        (void)personality(PER_LINUX | ADDR_NO_RANDOMIZE);   /* where it is forbidden addresses stay as they are */
    if (!error)
        error = enter(run, arg);
    if (!error && (command->flags & PTO_BECOME))
        error = become(command);
    if (error)
        report_and_exit(fd, PTO_STAGE_SETUP, -error);
    if (command->chdir && chdir(command->chdir) < 0)
        report_and_exit(fd, PTO_STAGE_CHDIR, errno);
    environ = (char **)command->envp;   /* execvp searches the PATH of the environment it is in */
    restore_signals(command);
    execvp(command->argv[0], (char *const *)command->argv);
    report_and_exit(fd, PTO_STAGE_EXEC, errno);
}

static void close_pair(int pair[2]) {
    for (int i = 0; i < 2; i++)
        if (pair[i] >= 0)
            close(pair[i]);
}

/* Until there is a guard, and for a guest, whose supervisor is another process, nobody else would end it; its listener,
 * which it may share, would keep it waiting for ever. */
static void die_with(pid_t parent) {
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent)
        _exit(STATUS_NEVER_RAN);
}

int start_fork(struct run *run, start_enter_fn *enter, const void *arg, struct start *start) {
    const struct start_filter *entered = arg;
    if (run->channel >= 0 && !run->host)
        return join_start(run, entered->filter, entered->flags, false, start);
    pid_t us = getpid();
    int go[2] = {-1, -1}, report[2] = {-1, -1};
    ino_t ino;
    if (pipe2(go, O_CLOEXEC) < 0 || open_reports(report, &ino) < 0) {
        int error = errno;
        close_pair(go);
        return record_failure(run, PTO_STAGE_SETUP, error, "pipe", NULL);
    }
    pid_t pid = fork();
    if (pid == 0) {
        char byte;
        close(go[1]);   /* so that the supervisor's death ends the wait */
        if (read(go[0], &byte, 1) != 1)
            _exit(STATUS_NEVER_RAN);
        if (run->host)
            die_with(us);
        child(run, enter, arg, report[1]);
    }
    int error = errno;
    close(go[0]);
    close(report[1]);
    *start = (struct start){.pid = pid > 0 ? pid : 0,
                            .go = go[1],
                            .report = report[0],
                            .report_in = -1,
                            .report_in_cmd = report[1],
                            .report_ino = ino};
    return pid < 0 ? record_failure(run, PTO_STAGE_SETUP, error, "fork", NULL) : 0;
}

/* The first report of a CMD that listens: its listener, or -errno. */
static int wait_for_listener(struct run *run, const struct start *start) {
    struct pollfd pollfd = {.fd = start->report, .events = POLLIN};
    struct start_report message;
    while (poll(&pollfd, 1, -1) < 0)
        if (errno != EINTR)
            return record_failure(run, PTO_STAGE_SETUP, errno, "poll", NULL);
    if (read(start->report, &message, sizeof message) != sizeof message)
        return record_failure(run, PTO_STAGE_SETUP, EIO, "start", NULL);
    if (message.stage != PTO_STAGE_NONE)
        return record_failure(run, message.stage, message.error, "seccomp filter", NULL);
    return message.error;
}

int start_listening(struct run *run, const struct filter *filter, unsigned filter_flags, struct start *start) {
    int report[2];
    ino_t ino;
    if (run->channel >= 0 && !run->host)
        return join_start(run, filter, filter_flags, true, start);
    if (open_reports(report, &ino) < 0)
        return record_failure(run, PTO_STAGE_SETUP, errno, "socketpair", NULL);
    pid_t us = getpid(), pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) {
        const struct start_filter entered = {
            .filter = filter, .flags = filter_flags, .report = report[1], .socket = -1};
        die_with(us);
        child(run, start_enter_filter, &entered, report[1]);
    }
    int error = errno;
    *start = (struct start){.pid = pid > 0 ? pid : 0,
                            .go = -1,
                            .report = report[0],
                            .report_in = report[1],
                            .report_in_cmd = report[1],
                            .report_ino = ino};
    return pid < 0 ? record_failure(run, PTO_STAGE_SETUP, error, "clone", NULL) : wait_for_listener(run, start);
}

int start_go(struct start *start) {
    ssize_t n = write(start->go, "", 1);
    int error = n == 1 ? 0 : n < 0 ? -errno : -EPIPE;
    close(start->go);
    start->go = -1;
    return error;
}

static const char *what_failed(const struct run *run, int stage) {
    if (stage == PTO_STAGE_CHDIR)
        return run->command->chdir;
    if (stage == PTO_STAGE_EXEC)
        return run->command->argv[0];
    return run->nested ? "run inside a run: RLIMIT_LOCKS" : "seccomp filter";
}

int start_outcome(struct run *run, struct start *start) {
    struct start_report message;
    slot_over(run->slot);
    if (read(start->report, &message, sizeof message) != sizeof message)
        return 0;
    return record_failure(run, message.stage, message.error, what_failed(run, message.stage), NULL);
}

bool start_failed(int report) {
    struct start_report message;
    return recv(report, &message, sizeof message, MSG_PEEK | MSG_DONTWAIT) > 0;
}

void start_close(struct start *start) {
    if (start->go >= 0)
        close(start->go);
    if (start->report >= 0)
        close(start->report);
    if (start->report_in >= 0)
        close(start->report_in);
    *start = (struct start){.go = -1, .report = -1, .report_in = -1};
}
