/* floor.c - what the kernel takes to trap a call and let it go on, whatever a supervisor does meanwhile.
 *
 *   floor notify|ptrace FILE SECONDS    prints the seconds that one stat of FILE takes, of as many as fit into SECONDS
 *
 * The supervisor does nothing but answer: SECCOMP_USER_NOTIF_FLAG_CONTINUE, or PTRACE_CONT. It does so in the best way there is:
 * with SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP where the kernel has it (6.6), and under ptrace on the tracee's CPU.
 *
 * Rules: supervisor and tracee are two processes with an address space each, as they are in ptoverlay; only stat is trapped.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP 1
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#endif

#define BATCH 16   /* calls between two looks at the clock */

static double now(void) {
    struct timespec t;
    if (clock_gettime(CLOCK_MONOTONIC, &t) < 0)
        err(1, "clock_gettime");
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static long checked(long result, const char *what) {
    if (result < 0)
        err(1, "%s", what);
    return result;
}

/* The filter on this process: `action` for stat, nothing for the rest; the listener, if it has one. */
static int install(unsigned action, unsigned flags) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_newfstatat, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, action),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof code[0], code};
    checked(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
    return (int)checked(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program), "seccomp");
}

/* The tracee: prints what a call takes. */
static _Noreturn void stat_for(const char *file, double seconds) {
    struct stat st;
    unsigned calls = 0;
    for (; calls < BATCH; calls++)
        checked(stat(file, &st), file);
    double start = now(), end = start;
    for (calls = 0; end - start < seconds; end = now())
        for (unsigned i = 0; i < BATCH; i++, calls++)
            checked(stat(file, &st), file);
    printf("%.9f\n", (end - start) / calls);
    exit(fflush(stdout) == 0 ? 0 : 1);
}

static int status_of(pid_t tracee) {
    int status;
    checked(waitpid(tracee, &status, 0), "waitpid");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* The tracee shares the supervisor's descriptors, so that the listener does not have to be sent. */
static int notify(const char *file, double seconds) {
    int ready[2];
    checked(pipe(ready), "pipe");
    pid_t tracee = (pid_t)checked(syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0), "clone");
    if (tracee == 0) {
        int listener = install(SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER);
        checked(write(ready[1], &listener, sizeof listener), "write");
        stat_for(file, seconds);
    }
    int listener;
    checked(read(ready[0], &listener, sizeof listener), "read");
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP) < 0 && errno != EINVAL)
        err(1, "SECCOMP_IOCTL_NOTIF_SET_FLAGS");
    struct seccomp_notif request;
    struct seccomp_notif_resp answer = {.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
    for (;;) {
        memset(&request, 0, sizeof request);
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request) < 0)
            break;   /* ENOENT: the tracee has ended */
        answer.id = request.id;
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer) < 0 && errno != ENOENT)
            err(1, "SECCOMP_IOCTL_NOTIF_SEND");
    }
    return status_of(tracee);
}

static void stay_on_this_cpu(void) {
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET((size_t)checked(sched_getcpu(), "sched_getcpu"), &cpus);
    checked(sched_setaffinity(0, sizeof cpus, &cpus), "sched_setaffinity");
}

static int ptraced(const char *file, double seconds) {
    int status;
    stay_on_this_cpu();
    pid_t tracee = (pid_t)checked(fork(), "fork");
    if (tracee == 0) {
        checked(ptrace(PTRACE_TRACEME, 0, NULL, NULL), "PTRACE_TRACEME");
        checked(raise(SIGSTOP), "raise");
        install(SECCOMP_RET_TRACE, 0);
        stat_for(file, seconds);
    }
    checked(waitpid(tracee, &status, 0), "waitpid");
    checked(ptrace(PTRACE_SETOPTIONS, tracee, NULL, PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL), "PTRACE_SETOPTIONS");
    while (WIFSTOPPED(status)) {
        checked(ptrace(PTRACE_CONT, tracee, NULL, NULL), "PTRACE_CONT");
        checked(waitpid(tracee, &status, 0), "waitpid");
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int main(int argc, char **argv) {
    if (argc == 4 && strcmp(argv[1], "notify") == 0)
        return notify(argv[2], atof(argv[3]));
    if (argc == 4 && strcmp(argv[1], "ptrace") == 0)
        return ptraced(argv[2], atof(argv[3]));
    errx(2, "usage: floor notify|ptrace FILE SECONDS");
}
