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
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "start.h"

#define STATUS_NEVER_RAN 127

struct start_report {
    int stage;
    int error;
};

/* Without CAP_SYS_ADMIN a filter needs no_new_privs (seccomp(2)).  Otherwise it stays off: programs can see it. */
static bool may_filter(void) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};
    if (syscall(SYS_capget, &header, data) < 0)
        return false;
    return data[CAP_TO_INDEX(CAP_SYS_ADMIN)].effective & CAP_TO_MASK(CAP_SYS_ADMIN);
}

static int install_filter(const struct filter *filter, unsigned flags) {
    struct sock_fprog program = {
        .len = (unsigned short)filter->length,
        .filter = (struct sock_filter *)filter->code,
    };
    if (!may_filter() && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    long fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
    return fd < 0 ? -errno : (int)fd;
}

/* What execve would do to handlers, but before signals are let through: a handler of ours must not run here. */
static void restore_signal(int signal) {
    struct sigaction action;
    if (sigaction(signal, NULL, &action) < 0)
        return;   /* the C library keeps a few for itself */
    bool ours = action.sa_handler != SIG_IGN && action.sa_handler != SIG_DFL;
    if (!ours && signal != SIGPIPE && signal != SIGXFSZ)
        return;
    action = (struct sigaction){.sa_handler = SIG_DFL};
    if (sigaction(signal, &action, NULL) < 0)
        _exit(STATUS_NEVER_RAN);
}

static void restore_signals(void) {
    for (int signal = 1; signal < NSIG; signal++)
        restore_signal(signal);
    sigset_t none;
    if (sigemptyset(&none) < 0 || sigprocmask(SIG_SETMASK, &none, NULL) < 0)
        _exit(STATUS_NEVER_RAN);
}

static _Noreturn void give_up(int report, int stage, int error) {
    struct start_report message = {.stage = stage, .error = error};
    if (write(report, &message, sizeof message) != sizeof message)
        _exit(STATUS_NEVER_RAN);
    _exit(STATUS_NEVER_RAN);
}

static _Noreturn void child(const struct pto_command *command, const struct filter *filter, unsigned flags, int go,
                            int report) {
    char byte;
    if (read(go, &byte, 1) != 1)
        _exit(STATUS_NEVER_RAN);
    int err = install_filter(filter, flags);
    if (err < 0)
        give_up(report, PTO_STAGE_SETUP, -err);
    if (command->chdir && chdir(command->chdir) < 0)
        give_up(report, PTO_STAGE_CHDIR, errno);
    environ = (char **)command->envp;   /* execvp searches the PATH of the environment it is in */
    restore_signals();
    execvp(command->argv[0], (char *const *)command->argv);
    give_up(report, PTO_STAGE_EXEC, errno);
}

static void close_pair(int pair[2]) {
    for (int i = 0; i < 2; i++)
        if (pair[i] >= 0)
            close(pair[i]);
}

int start_fork(struct run *run, const struct filter *filter, unsigned filter_flags, struct start *start) {
    int go[2] = {-1, -1}, report[2] = {-1, -1};
    if (pipe2(go, O_CLOEXEC) < 0 || pipe2(report, O_CLOEXEC | O_NONBLOCK) < 0) {
        int error = errno;
        close_pair(go);
        return run_fail(run, PTO_STAGE_SETUP, error, "pipe", NULL);
    }
    pid_t pid = fork();
    if (pid == 0) {
        close(go[1]);   /* so that the supervisor's death ends the wait */
        child(run->command, filter, filter_flags, go[0], report[1]);
    }
    int error = errno;
    close(go[0]);
    close(report[1]);
    if (pid < 0) {
        close(go[1]);
        close(report[0]);
        return run_fail(run, PTO_STAGE_SETUP, error, "fork", NULL);
    }
    *start = (struct start){.pid = pid, .go = go[1], .report = report[0]};
    return 0;
}

int start_go(struct start *start) {
    ssize_t n = write(start->go, "", 1);
    int err = n == 1 ? 0 : n < 0 ? -errno : -EPIPE;
    close(start->go);
    start->go = -1;
    return err;
}

static const char *what_failed(const struct run *run, int stage) {
    if (stage == PTO_STAGE_CHDIR)
        return run->command->chdir;
    return stage == PTO_STAGE_EXEC ? run->command->argv[0] : "seccomp filter";
}

int start_outcome(struct run *run, struct start *start) {
    struct start_report message;
    if (read(start->report, &message, sizeof message) != sizeof message)
        return 0;
    return run_fail(run, message.stage, message.error, what_failed(run, message.stage), NULL);
}

void start_close(struct start *start) {
    if (start->go >= 0)
        close(start->go);
    if (start->report >= 0)
        close(start->report);
    *start = (struct start){.go = -1, .report = -1};
}
