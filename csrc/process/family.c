/* family.c - who belongs to whom among processes, from /proc.
 *
 * Rules: family_kill runs in the guard too, which was forked from a process with threads: no malloc, no stdio.  An id
 * that may be old is killed only if its owner runs under a seccomp filter, as every tracee does.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "family.h"
#include "proc.h"

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL     /* Linux 6.9 */
#endif
#define PID_LIMIT (4u << 20)    /* PID_MAX_LIMIT, include/linux/threads.h */

pid_t family_of(pid_t tid, pid_t *parent) {
    char text[4096];
    *parent = 0;
    if (!proc_read(tid, "status", text, sizeof text))
        return 0;
    *parent = (pid_t)proc_field(text, "\nPPid:\t", 10);
    return (pid_t)proc_field(text, "\nTgid:\t", 10);
}

pid_t family_process(pid_t tid) {
    pid_t parent;
    return family_of(tid, &parent);
}

/* proc_pid_stat(5): what follows the name, which may hold anything. */
pid_t family_parent(pid_t pid) {
    char text[2048], state;
    int parent = 0;
    const char *at = proc_read(pid, "stat", text, sizeof text) ? strrchr(text, ')') : NULL;
    return at && sscanf(at, ") %c %d", &state, &parent) == 2 ? parent : 0;
}

int family_pidfd(pid_t tid) {
    int fd = (int)syscall(SYS_pidfd_open, tid, PIDFD_THREAD);
    if (fd < 0)
        fd = (int)syscall(SYS_pidfd_open, family_process(tid), 0);
    return fd < 0 ? -errno : fd;
}

int family_take(pid_t tid, int number) {
    int pidfd = family_pidfd(tid);
    if (pidfd < 0)
        return pidfd;
    int copy = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);   /* close-on-exec by itself */
    int error = errno;
    close(pidfd);
    return copy < 0 ? -error : copy;
}

/* Seccomp filters that it runs under; 0 when it is gone. */
static long count_filters(pid_t pid, long *parent) {
    char text[8192];
    if (!proc_read(pid, "status", text, sizeof text))
        return 0;
    *parent = (long)proc_field(text, "\nPPid:\t", 10);
    return (long)proc_field(text, "\nSeccomp_filters:\t", 10);
}

/* Before Linux 5.9 it is told only whether there is one. */
uint64_t family_filters(pid_t pid) {
    char text[8192];
    if (!proc_read(pid, "status", text, sizeof text))
        return 0;
    bool counted = strstr(text, "\nSeccomp_filters:\t");
    return proc_field(text, counted ? "\nSeccomp_filters:\t" : "\nSeccomp:\t", 10);
}

bool family_filtered(pid_t tid) {
    long parent;
    return count_filters(tid, &parent) > count_filters(gettid(), &parent) + 1;
}

/* proc_task_getattr(), fs/proc/base.c: two links and one a thread.  status says the same, and much else that takes
 * long. */
bool family_alone(pid_t tid) {
    char path[48];
    struct stat st;
    snprintf(path, sizeof path, "/proc/%d/task", (int)tid);
    return stat(path, &st) == 0 && st.st_nlink == 3;
}

char family_state(pid_t tid) {
    static const char name[] = "\nState:\t";
    char text[512];
    const char *at = proc_read(tid, "status", text, sizeof text) ? strstr(text, name) : NULL;
    return at ? at[sizeof name - 1] : 0;
}

bool family_alive(pid_t tid) {
    char state = family_state(tid);
    return state && state != 'Z' && state != 'X';
}

int family_call(pid_t tid) {
    char text[32];
    bool known = proc_read(tid, "syscall", text, sizeof text) && text[0] >= '0' && text[0] <= '9';
    return known ? (int)strtol(text, NULL, 10) : -1;
}

static void each_child(int tasks, const char *tid, void (*each)(void *arg, pid_t child), void *arg) {
    char path[32], text[4096];
    strcpy(stpcpy(path, tid), "/children");
    int fd = openat(tasks, path, O_RDONLY | O_CLOEXEC);
    size_t kept = 0;    /* of a number that was cut */
    for (ssize_t n; fd >= 0 && (n = read(fd, text + kept, sizeof text - 1 - kept)) > 0;) {
        text[kept + (size_t)n] = '\0';
        char *at = text;
        for (char *space; (space = strchr(at, ' ')); at = space + 1)
            each(arg, (pid_t)strtol(at, NULL, 10));
        kept = strlen(at);
        memmove(text, at, kept);
    }
    if (fd >= 0)
        close(fd);
}

void family_children(pid_t pid, void (*each)(void *arg, pid_t child), void *arg) {
    char path[32] = "/proc/";
    strcpy(proc_number(path + strlen(path), (unsigned)pid), "/task");
    DIR *tasks = opendir(path);
    if (!tasks)
        return;
    for (const struct dirent *entry; (entry = readdir(tasks));)
        if (entry->d_name[0] != '.' && strlen(entry->d_name) < 12)
            each_child(dirfd(tasks), entry->d_name, each, arg);
    closedir(tasks);
}

void family_thread_children(pid_t tid, void (*each)(void *arg, pid_t child), void *arg) {
    char path[32] = "/proc/", name[12];
    *proc_number(name, (unsigned)tid) = '\0';
    strcpy(proc_number(path + strlen(path), (unsigned)tid), "/task");
    int tasks = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (tasks < 0)
        return;
    each_child(tasks, name, each, arg);
    close(tasks);
}

void family_threads(pid_t pid, void (*each)(void *arg, pid_t tid), void *arg) {
    char path[32] = "/proc/";
    strcpy(proc_number(path + strlen(path), (unsigned)pid), "/task");
    DIR *tasks = opendir(path);
    for (const struct dirent *entry; tasks && (entry = readdir(tasks));)
        if (entry->d_name[0] != '.')
            each(arg, (pid_t)strtol(entry->d_name, NULL, 10));
    if (tasks)
        closedir(tasks);
}

uint64_t family_pending(pid_t tid) {
    char text[8192];
    if (!proc_read(tid, "status", text, sizeof text))
        return 0;
    return proc_field(text, "\nSigPnd:\t", 16) | proc_field(text, "\nShdPnd:\t", 16);
}

/* ---- killing ---- */

static bool set_has(const uint8_t *set, long pid) {
    return pid > 0 && pid < (long)PID_LIMIT && (set[pid / 8] & (1u << (pid % 8)));
}

/* True if it is new. */
static bool set_put(uint8_t *set, long pid) {
    if (pid <= 0 || pid >= (long)PID_LIMIT || set_has(set, pid))
        return false;
    set[pid / 8] |= (uint8_t)(1u << (pid % 8));
    return true;
}

static void put_tracees(uint8_t *set, const pid_t *ids, size_t n) {
    char text[8192];
    for (size_t i = 0; i < n; i++)
        if (ids[i] && proc_read(ids[i], "status", text, sizeof text) && proc_field(text, "\nSeccomp:\t", 10) == 2)
            (void)set_put(set, (long)proc_field(text, "\nTgid:\t", 10));
}

typedef bool each_process_fn(uint8_t *set, pid_t pid);

static bool put_child(uint8_t *set, pid_t pid) {
    pid_t parent;
    return !set_has(set, pid) && family_of(pid, &parent) && set_has(set, parent) && set_put(set, pid);
}

static bool put_orphan(uint8_t *set, pid_t pid) {
    long parent = 0, none;
    pid_t own = getpid();
    return !set_has(set, pid) && count_filters(pid, &parent) > count_filters(own, &none) && parent == own &&
           set_put(set, pid);
}

static bool kill_member(uint8_t *set, pid_t pid) {
    if (!set_has(set, pid) || kill(pid, SIGKILL) < 0)
        return false;
    (void)waitpid(pid, NULL, __WALL);   /* unless it is an orphan of ours, somebody else does */
    return true;
}

static pid_t to_pid(const char *name) {
    long number = 0;
    for (; *name >= '0' && *name <= '9' && number < (long)PID_LIMIT; name++)
        number = number * 10 + (*name - '0');
    return *name ? 0 : (pid_t)number;
}

/* Calls each for every process; true if it was true for one. */
static bool each_process(uint8_t *set, each_process_fn *each) {
    char buffer[4096] __attribute__((aligned(8)));
    int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool any = false;
    long n;
    while ((n = syscall(SYS_getdents64, fd, buffer, sizeof buffer)) > 0) {
        for (long at = 0; at < n;) {
            const struct dirent64 *entry = (const struct dirent64 *)(const void *)(buffer + at);
            pid_t pid = to_pid(entry->d_name);
            any = (pid && each(set, pid)) || any;
            at += entry->d_reclen;
        }
    }
    close(fd);
    return any;
}

void family_kill(const pid_t *ids, size_t n, bool orphans) {
    size_t size = PID_LIMIT / 8;
    uint8_t *set = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (set == MAP_FAILED)
        return;
    put_tracees(set, ids, n);
    if (orphans)
        (void)each_process(set, put_orphan);
    while (each_process(set, put_child))
        continue;
    (void)each_process(set, kill_member);
    munmap(set, size);
}

/* ---- what is left of a run ---- */

/* Whose tracees are looked for. */
static _Thread_local pid_t tracer_of;

static bool put_traced(uint8_t *set, pid_t pid) {
    char text[8192];
    if (set_has(set, pid) || !proc_read(pid, "status", text, sizeof text))
        return false;
    return (pid_t)proc_field(text, "\nTracerPid:\t", 10) == tracer_of && set_put(set, pid);
}

/* Whoever has more filters than we do and a child or a parent in the run is in it too. */
static bool put_relative(uint8_t *set, pid_t pid) {
    long parent = 0, none = 0;
    if (!set_has(set, pid))
        return put_child(set, pid);
    (void)count_filters(pid, &parent);
    return parent > 0 && !set_has(set, parent) &&
           count_filters((pid_t)parent, &none) > count_filters(getpid(), &none) && set_put(set, parent);
}

/* One that has made no call, and whose parent is gone: an orphan of our session, under more filters than we have. */
static bool put_orphan_of_session(uint8_t *set, pid_t pid) {
    long parent = 0, none = 0;
    pid_t session = getsid(0);
    return !set_has(set, pid) && getsid(pid) == session &&
           count_filters(pid, &parent) > count_filters(getpid(), &none) && parent > 0 &&
           (parent == 1 || getsid((pid_t)parent) != session) && set_put(set, pid);
}

size_t family_left(const pid_t *ids, size_t n, pid_t tracer, pid_t *found, size_t room) {
    size_t count = 0;
    uint8_t *set = mmap(NULL, PID_LIMIT / 8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (set == MAP_FAILED)
        return 0;
    if (ids) {
        put_tracees(set, ids, n);
        (void)each_process(set, put_orphan_of_session);
        while (each_process(set, put_relative))
            continue;
    } else {
        tracer_of = tracer;
        (void)each_process(set, put_traced);
    }
    for (pid_t pid = 1; pid < (pid_t)PID_LIMIT; pid += set[pid / 8] ? 1 : 8 - pid % 8) {
        if (!set_has(set, pid) || !family_alive(pid))
            continue;
        if (count < room)
            found[count] = pid;
        count++;
    }
    munmap(set, PID_LIMIT / 8);
    return count;
}
