/* debugged.c - execve and chdir into the upper by a task that a debugger traces, inside or around the run.
 *
 * Registers belong to the debugger.  So the task makes its own call, and the text of its path is another meanwhile:
 * one that leads to the program of the upper through a descriptor that is lent to the task.  A script keeps that
 * descriptor, since the kernel gives its interpreter the path through it.  What shows the path to the program is put
 * right before a call of its own is answered.  A chdir comes to a lower's part of the directory, or to nothing, and
 * the supervisor knows where the task is (calls/tasks/cwd.c).
 *
 * Rules: a call that comes to the same as it stands is left alone.  Text that needs more room than there was is
 * written only where nobody can look before it is put back: where no other task has this memory, or where the kernel
 * waits, with the path in its hands, until we have: a lease on the program (F_SETLEASE in fcntl(2)) holds its open
 * up.  Strings of the call that would be written over move below the stack pointer.  All is put back when the execve
 * has failed, or when the memory turns out to be the parent's too (vfork), unless somebody has written there since.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/kcmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../../calls/handlers/dirs.h"
#include "../../calls/handlers/exec.h"
#include "../../process/family.h"
#include "../../process/memory.h"
#include "../../process/proc.h"
#include "edits.h"
#include "hand_over.h"
#include "trap.h"
#include "worker.h"

#define POINTERS 4096u          /* of argv and of the environment that are looked at */
#define MOVED_MAX 16384u        /* bytes of strings that move */
#define SHOWN_MAX 16384u        /* bytes of the new program's arguments that are looked at */
#define RED_ZONE 128u
#define LOOK_NS 200000          /* between two looks how far the call is */
#define LOOKS 5000

struct borrowing {
    struct worker *worker;
    pid_t tid, parent;
    uint64_t address;           /* of the path */
    size_t length;
    char path[PATH_MAX];        /* the task's own */
    char real[PATH_MAX];        /* of the program */
    char alias[PATH_MAX];       /* what stands there meanwhile */
    bool script;
    int lease;                  /* a descriptor of the program that holds its open up, -1: none */
    struct edits text, pointers;
    uint64_t below;             /* where moved strings go */
    size_t n_moved;             /* bytes of them */
    char moved[MOVED_MAX];
};

/* ---- what is the same as it stands ---- */

static bool is_same_file(const char *path, const char *real) {
    struct stat theirs, ours;
    return stat(path, &theirs) == 0 && stat(real, &ours) == 0 && theirs.st_dev == ours.st_dev &&
           theirs.st_ino == ours.st_ino;
}

/* From a directory of the upper layer the kernel finds the program by itself. */
static bool is_found(const struct borrowing *b) {
    char path[PATH_MAX + 32];
    snprintf(path, sizeof path, "/proc/%d/%s/%s", (int)b->tid, b->path[0] == '/' ? "root" : "cwd", b->path);
    return is_same_file(path, b->real);
}

/* ---- who else may look ---- */

/* A program that is running or open already, or another's, cannot be leased. */
static int take_lease(const char *real) {
    int fd = open(real, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    if (fd < 0)
        return -1;
    if (fcntl(fd, F_SETSIG, SIGURG) == 0 && fcntl(fd, F_SETLEASE, F_WRLCK) == 0)   /* a signal that does nothing */
        return fd;
    close(fd);
    return -1;
}

static void end_lease(struct borrowing *b) {
    if (b->lease >= 0)
        close(b->lease);
    b->lease = -1;
}

/* After vfork the memory is the parent's, who waits; he may run before we have put it back, and his other threads do
 * all the time. */
static bool may_grow(struct borrowing *b) {
    if (!family_alone(b->tid))
        return false;
    if (syscall(SYS_kcmp, b->tid, b->parent, KCMP_VM, 0, 0) > 0)
        return true;
    return family_alone(b->parent) && (b->lease = take_lease(b->real)) >= 0;
}

/* ---- the path that leads through a descriptor ---- */

/* The number that a descriptor of ours gets in the task, or -errno. */
static int lend(struct worker *worker, const char *path, int flags, bool keep) {
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int number = reply_hand_over(&worker->reply, fd, keep ? 0 : O_CLOEXEC);
    close(fd);
    return number;
}

/* The task's own path is to fit into what the program is shown. */
static void lengthen(char *path, size_t length, size_t wanted) {
    if (length >= wanted)
        return;
    memmove(path + wanted - length, path, length + 1);
    memset(path, '/', wanted - length);
}

/* Through the directory the program keeps its name, so that is tried first. */
static bool make_alias(struct borrowing *b) {
    char directory[PATH_MAX];
    const char *name = strrchr(b->real, '/');
    if (!name || name == b->real)
        return false;
    snprintf(directory, sizeof directory, "%.*s", (int)(name - b->real), b->real);
    bool by_directory = strlen("/dev/fd/99") + strlen(name) <= b->length || may_grow(b);
    int number = by_directory ? lend(b->worker, directory, O_RDONLY | O_DIRECTORY, b->script)
                              : lend(b->worker, b->real, O_RDONLY, b->script);
    if (number < 0)
        return false;
    int length = snprintf(b->alias, sizeof b->alias, "/dev/fd/%d%s", number, by_directory ? name : "");
    if (length <= 0 || (size_t)length >= (by_directory ? sizeof b->alias : b->length + 1))
        return false;
    lengthen(b->alias, (size_t)length, b->length);
    return true;
}

/* ---- strings of the call that would be written over ---- */

/* proc(5), /proc/PID/syscall: the number, six arguments, the stack pointer. */
static uint64_t stack_pointer(pid_t tid) {
    char text[256], *at = text;
    if (!proc_read(tid, "syscall", text, sizeof text))
        return 0;
    for (int i = 0; i < 7; i++)
        (void)strtoull(at, &at, 0);
    return strtoull(at, NULL, 0);
}

static size_t text_size(const struct borrowing *b) {
    size_t alias = strlen(b->alias);
    return (alias > b->length ? alias : b->length) + 1;
}

static bool is_written_over(const struct borrowing *b, uint64_t address, size_t size) {
    return address < b->address + text_size(b) && b->address < address + size;
}

/* Makes the pointer at `place` lead to a copy of its string. */
static bool move_string(struct borrowing *b, uint64_t place, uint64_t pointer) {
    char text[PATH_MAX];
    ssize_t length = memory_read_string(&MEMORY(b->tid), pointer, text, sizeof text);
    if (length < 0 || (size_t)length >= MOVED_MAX - b->n_moved)
        return false;
    uint64_t moved = b->below + b->n_moved;
    memcpy(b->moved + b->n_moved, text, (size_t)length + 1);
    b->n_moved += (size_t)length + 1;
    return edits_make(&b->pointers, place, &moved, sizeof moved);
}

/* The strings of argv or of the environment.  The array itself cannot move. */
static bool move_strings(struct borrowing *b, uint64_t array) {
    for (uint64_t place = array; array && place < array + POINTERS * sizeof place; place += sizeof place) {
        uint64_t pointer;
        if (is_written_over(b, place, sizeof place) ||
            memory_read(&MEMORY(b->tid), place, &pointer, sizeof pointer) != 0)
            return false;
        if (!pointer)
            return true;
        if (is_written_over(b, pointer, 1) && !move_string(b, place, pointer))
            return false;
    }
    return !array;
}

static bool write_alias(struct borrowing *b, const struct call *call) {
    uint64_t below = stack_pointer(b->tid);
    if (below < RED_ZONE + MOVED_MAX)
        return false;
    b->below = (below - RED_ZONE - MOVED_MAX) & ~UINT64_C(15);
    return move_strings(b, call->arg[1]) && move_strings(b, call->arg[2]) &&
           memory_write(&MEMORY(b->tid), b->below, b->moved, b->n_moved) == 0 &&
           edits_make(&b->text, b->address, b->alias, strlen(b->alias) + 1);
}

static bool prepare_text(struct borrowing *b, struct call *call) {
    const char *real = exec_alone(call, &b->script);
    ssize_t length = memory_read_string(&MEMORY(b->tid), b->address, b->path, sizeof b->path);
    if (!real || length <= 0)
        return false;
    b->length = (size_t)length;
    snprintf(b->real, sizeof b->real, "%s", real);
    (void)family_of(b->tid, &b->parent);
    return is_found(b) || (make_alias(b) && write_alias(b, call));
}

/* ---- until it is over ---- */

static void pause_between(void) {
    const struct timespec pause = {.tv_nsec = LOOK_NS};
    nanosleep(&pause, NULL);
}

/* The task is over its execve when it has other memory, or is in another call or none. */
static bool is_in_execve(const struct borrowing *b) {
    char text[16];
    if (!proc_read(b->tid, "syscall", text, sizeof text))
        return false;
    return text[0] == 'r' || strtol(text, NULL, 10) == __NR_execve;   /* "running" */
}

/* The kernel has the path when it opens the program. */
static void wait_for_open(struct borrowing *b) {
    for (int i = 0; i < LOOKS && b->lease >= 0 && fcntl(b->lease, F_GETLEASE) == F_WRLCK && is_in_execve(b); i++)
        pause_between();
    if (b->lease >= 0)
        edits_undo(&b->text, b->tid);
    end_lease(b);
}

/* The new program's copy of what it was called by, if it is there already. */
static uint64_t shown_name(const struct borrowing *b) {
    char found[PATH_MAX];
    uint64_t address = proc_auxiliary(b->tid, AT_EXECFN, false);
    bool there = address && memory_read_string(&MEMORY(b->tid), address, found, sizeof found) > 0;
    return there && strcmp(found, b->alias) == 0 ? address : 0;
}

static void show_path(const struct borrowing *b, uint64_t address) {
    char text[PATH_MAX] = {0};
    size_t size = strlen(b->alias) + 1;
    memcpy(text, b->path, b->length);
    (void)memory_write(&MEMORY(b->tid), address, text, size);
}

/* proc(5), /proc/PID/stat: arg_start and arg_end are the fields 48 and 49. */
static bool find_arguments(pid_t tid, uint64_t *start, uint64_t *end) {
    char text[2048];
    const char *at = proc_stat_field(tid, 48, text, sizeof text);
    if (!at)
        return false;
    char *next;
    *start = strtoull(at, &next, 10);
    *end = strtoull(next, NULL, 10);
    return *start && *end > *start;
}

/* The argument of a script's interpreter. */
static void show_argument(const struct borrowing *b) {
    char text[SHOWN_MAX];
    uint64_t start, end;
    if (!find_arguments(b->tid, &start, &end))
        return;
    size_t size = end - start < sizeof text ? (size_t)(end - start) : sizeof text;
    if (memory_read(&MEMORY(b->tid), start, text, size) != 0)
        return;
    text[size - 1] = '\0';
    for (size_t at = 0; at < size; at += strlen(text + at) + 1) {
        if (strcmp(text + at, b->alias) != 0)
            continue;
        show_path(b, start + at);
        return;
    }
}

static void wait_and_give_back(struct borrowing *b) {
    uint64_t shown = 0;
    wait_for_open(b);
    for (int i = 0; i < LOOKS && !(shown = shown_name(b)) && is_in_execve(b); i++)
        pause_between();
    if (!shown)
        shown = shown_name(b);   /* it may have come out of its execve between the two looks */
    if (shown && b->script)
        show_argument(b);
    if (shown)
        show_path(b, shown);
    const pid_t memories[] = {shown ? 0 : b->tid, b->parent};
    for (size_t i = 0; i < sizeof memories / sizeof *memories; i++) {
        if (!memories[i])
            continue;
        edits_undo(&b->text, memories[i]);
        edits_undo(&b->pointers, memories[i]);
    }
}

/* By the id that the task has when it has executed: its process's.  NULL: too many at a time, nobody waits for it. */
static pid_t *note_borrower(struct borrowers *borrowers, pid_t tid) {
    pid_t process = family_process(tid);
    for (size_t i = 0; i < BORROWERS; i++) {
        pid_t none = 0;
        if (__atomic_compare_exchange_n(&borrowers->tids[i], &none, process, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            return &borrowers->tids[i];
    }
    return NULL;
}

static bool is_borrower(const struct borrowers *borrowers, pid_t tid) {
    for (size_t i = 0; i < BORROWERS; i++)
        if (__atomic_load_n(&borrowers->tids[i], __ATOMIC_SEQ_CST) == tid)
            return true;
    return false;
}

void debugged_wait(const struct borrowers *borrowers, pid_t tid) {
    for (int i = 0; i < LOOKS && is_borrower(borrowers, tid); i++)
        pause_between();
}

static bool run_execve(struct borrowing *b, struct caller *caller) {
    struct call *call = &caller->call;
    if (!prepare_text(b, call))
        return false;
    pid_t *borrower = b->text.count ? note_borrower(&b->worker->trap->borrowers, b->tid) : NULL;
    caller->executes = true;
    call->value = 0;
    crew_relieve(&b->worker->trap->crew);
    callers_done(&b->worker->trap->callers, caller);
    reply_continue(&b->worker->reply);
    if (b->text.count)
        wait_and_give_back(b);
    if (borrower)
        __atomic_store_n(borrower, 0, __ATOMIC_SEQ_CST);
    return true;
}

static bool run_chdir(struct worker *worker, struct caller *caller) {
    struct call *call = &caller->call;
    if (dirs_chdir_stands(call)) {
        callers_hold(&worker->trap->callers, caller);
        reply_continue(&worker->reply);
        return true;
    }
    long value = dirs_chdir_keep(call);
    if (value < 0)
        return false;
    call->value = 0;
    callers_done(&worker->trap->callers, caller);
    reply_value(&worker->reply, 0);
    return true;
}

bool debugged_run(struct worker *worker, struct caller *caller) {
    const struct call *call = &caller->call;
    if (call->nr == __NR_chdir)
        return run_chdir(worker, caller);
    bool executes = call->nr == __NR_execve && !call->compat;   /* of which argv is another one */
    struct borrowing *b = executes ? calloc(1, sizeof *b) : NULL;
    if (!b)
        return false;
    b->worker = worker;
    b->tid = b->text.tid = b->pointers.tid = call->task->tid;
    b->address = call->arg[0];
    b->lease = -1;
    bool done = run_execve(b, caller);
    if (!done) {
        edits_undo(&b->text, b->tid);
        edits_undo(&b->pointers, b->tid);
    }
    end_lease(b);
    edits_clear(&b->text);
    edits_clear(&b->pointers);
    free(b);
    return done;
}
