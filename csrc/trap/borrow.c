/* borrow.c - execve of a program of the view by a task that a debugger inside traces.
 *
 * Registers belong to the debugger.  So the program's directory (or file) is given to the task as a descriptor, closed on
 * exec, and the text of the path in the task's memory is replaced by a path through it, which must not be longer.
 * An argv[i] that is the same text is made to point to a copy below the stack pointer.
 *
 * Rules: what was replaced is put back when the execve has failed, or when the memory turns out to be the parent's
 * too (vfork).  Only the path is replaced: a script, whose argv changes, or a call that needs more, is refused.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "borrow.h"
#include "family.h"
#include "memory.h"
#include "proc.h"

#define ARGUMENTS 8             /* argv[0…7] are looked at */
#define RED_ZONE 128u
#define LOOK_NS 500000          /* between two looks whether the execve is over */
#define LOOKS 2000

struct borrowing {
    struct worker *worker;
    pid_t tid, parent;
    uint64_t address;           /* of the path */
    size_t length;
    char path[PATH_MAX];        /* the task's own */
    char alias[PATH_MAX];       /* what stands there meanwhile */
    uint64_t argv;
    uint64_t pointers[ARGUMENTS];
    size_t n_pointers;
};

static bool only_path_differs(const struct call *call) {
    if (call->nr != __NR_execve || (call->new_nr >= 0 && call->new_nr != __NR_execve))
        return false;
    for (size_t i = 0; i < call->n_replacements; i++) {
        const struct replacement *replacement = &call->replacements[i];
        if (replacement->bytes ? replacement->arg != 0 : replacement->value != call->arg[replacement->arg])
            return false;
    }
    return call->n_replacements > 0 && call->replacements[0].bytes;
}

/* From a directory of the upper layer the kernel finds the program by itself. */
static bool is_found_from_cwd(const struct borrowing *b, const char *real) {
    char path[PATH_MAX + 32];
    struct stat theirs, ours;
    snprintf(path, sizeof path, "/proc/%d/cwd/%s", (int)b->tid, b->path);
    return b->path[0] != '/' && stat(path, &theirs) == 0 && stat(real, &ours) == 0 && theirs.st_dev == ours.st_dev &&
           theirs.st_ino == ours.st_ino;
}

/* ---- the path that leads through a descriptor ---- */

/* The number that a descriptor of ours gets in the task, or -errno. */
static int lend(struct worker *worker, const char *path, int flags) {
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    struct seccomp_notif_addfd addfd = {
        .id = worker->request->id,
        .srcfd = (uint32_t)fd,
        .newfd_flags = O_CLOEXEC,
    };
    int number = ioctl(worker->trap->listener, SECCOMP_IOCTL_NOTIF_ADDFD, &addfd);
    int err = number < 0 ? -errno : 0;
    close(fd);
    return err ? err : number;
}

/* Through the directory the program keeps its name, so that is tried first. */
static bool make_alias(struct borrowing *b, const char *real) {
    char directory[PATH_MAX];
    const char *name = strrchr(real, '/');
    if (!name || name == real)
        return false;
    snprintf(directory, sizeof directory, "%.*s", (int)(name - real), real);
    bool by_directory = strlen("/dev/fd/9") + strlen(name) <= b->length;
    int number = by_directory ? lend(b->worker, directory, O_RDONLY | O_DIRECTORY) : lend(b->worker, real, O_RDONLY);
    if (number < 0)
        return false;
    int length = snprintf(b->alias, sizeof b->alias, "/dev/fd/%d%s", number, by_directory ? name : "");
    return length > 0 && (size_t)length <= b->length;
}

/* ---- the task's memory ---- */

/* Read-only memory too, as a debugger does. */
static int write_anywhere(pid_t tid, uint64_t address, const void *data, size_t size) {
    int err = memory_write(tid, address, data, size);
    if (err != -EFAULT)
        return err;
    char path[32];
    snprintf(path, sizeof path, "/proc/%d/mem", (int)tid);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    err = pwrite(fd, data, size, (off_t)address) == (ssize_t)size ? 0 : -EFAULT;
    close(fd);
    return err;
}

/* proc(5), /proc/PID/syscall: the number, six arguments, the stack pointer. */
static uint64_t stack_pointer(pid_t tid) {
    char text[256], *at = text;
    if (!proc_read(tid, "syscall", text, sizeof text))
        return 0;
    for (int i = 0; i < 7; i++)
        (void)strtoull(at, &at, 0);
    return strtoull(at, NULL, 0);
}

static bool is_in_path(const struct borrowing *b, uint64_t pointer) {
    return pointer >= b->address && pointer <= b->address + b->length;
}

/* The arguments that are the path itself, or its end, are to stay what they are. */
static void redirect_arguments(struct borrowing *b) {
    uint64_t below = stack_pointer(b->tid);
    uint64_t copy = (below - RED_ZONE - b->length - 1) & ~UINT64_C(15);
    bool copied = false;
    for (b->n_pointers = 0; below && b->argv && b->n_pointers < ARGUMENTS; b->n_pointers++) {
        uint64_t *pointer = &b->pointers[b->n_pointers];
        uint64_t place = b->argv + b->n_pointers * sizeof *pointer;
        if (memory_read(b->tid, place, pointer, sizeof *pointer) || !*pointer)
            break;
        if (!is_in_path(b, *pointer))
            continue;
        if (!copied && memory_write(b->tid, copy, b->path, b->length + 1))
            return;
        copied = true;
        uint64_t other = *pointer - b->address + copy;
        (void)write_anywhere(b->tid, place, &other, sizeof other);   /* else the argument shows the alias */
    }
}

static bool shows_alias(const struct borrowing *b, pid_t pid) {
    char found[PATH_MAX];
    return b->alias[0] && memory_read(pid, b->address, found, strlen(b->alias) + 1) == 0 &&
           strcmp(found, b->alias) == 0;
}

static void give_back(const struct borrowing *b, pid_t pid) {
    if (!shows_alias(b, pid))
        return;
    for (size_t i = 0; i < b->n_pointers; i++)
        if (is_in_path(b, b->pointers[i]))
            (void)write_anywhere(pid, b->argv + i * sizeof b->pointers[i], &b->pointers[i], sizeof b->pointers[i]);
    (void)write_anywhere(pid, b->address, b->path, b->length + 1);
}

/* The task is over its execve when it has other memory, or is in another call or none. */
static bool is_in_execve(const struct borrowing *b) {
    char text[16];
    if (!shows_alias(b, b->tid) || !proc_read(b->tid, "syscall", text, sizeof text))
        return false;
    return text[0] == 'r' || strtol(text, NULL, 10) == __NR_execve;   /* "running" */
}

static void wait_and_give_back(const struct borrowing *b) {
    const struct timespec look = {.tv_nsec = LOOK_NS};
    for (int i = 0; i < LOOKS && is_in_execve(b); i++)
        nanosleep(&look, NULL);
    give_back(b, b->tid);
    give_back(b, b->parent);
}

static bool prepare(struct borrowing *b, const struct call *call) {
    ssize_t length = memory_read_string(b->tid, b->address, b->path, sizeof b->path);
    if (length <= 0)
        return false;
    b->length = (size_t)length;
    if (is_found_from_cwd(b, call->replacements[0].data))
        return true;
    (void)family_of(b->tid, &b->parent);
    if (!make_alias(b, call->replacements[0].data))
        return false;
    redirect_arguments(b);
    return write_anywhere(b->tid, b->address, b->alias, strlen(b->alias) + 1) == 0;
}

bool borrow_run(struct worker *worker, struct caller *caller) {
    struct call *call = &caller->call;
    if (!only_path_differs(call))
        return false;
    struct borrowing *b = calloc(1, sizeof *b);
    if (!b)
        return false;
    *b = (struct borrowing){.worker = worker, .tid = call->task->tid, .address = call->arg[0], .argv = call->arg[1]};
    bool can = prepare(b, call);
    if (can) {
        caller->executes = true;
        call->value = 0;
        crew_relieve(&worker->trap->crew);
        answer_done(worker, caller);
        answer_continue(worker);
        wait_and_give_back(b);
    } else {
        give_back(b, b->tid);
    }
    free(b);
    return can;
}
