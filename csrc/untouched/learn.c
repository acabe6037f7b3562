/* learn.c - from calls that were passed to what stubs may answer.
 *
 * Rules: what is learnt is asked of the view anew, under its lock, so that no change can lie between.  Of a current
 * directory the stub's process is told what the kernel has for it, which is read while nobody of the process can change
 * it; a page that another process shares (vfork) is its owner's alone.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../calls/scratch.h"
#include "../calls/session.h"
#include "../calls/tasks/cwd.h"
#include "../calls/tasks/task.h"
#include "../process/descriptor.h"
#include "../process/family.h"
#include "../process/memory.h"
#include "../process/object.h"
#include "../process/proc.h"
#include "untouched.h"

#define DOT "/."

/* ---- what the view tells ---- */

static void on_touch(void *arg, uint32_t directory, const char *name, size_t length, unsigned what) {
    struct untouched *untouched = arg;
    struct table *table = &untouched->table;
    if (name)
        table_touch(table, directory, name, length);
    if (what & TOUCH_LINKED)
        table_set_option(table, STUB_LINKED);
    if (what & TOUCH_WAY)
        table_forget(table);
    if (what & TOUCH_INODE)
        table_forget_inodes(table);
}

static bool on_opened(void *arg, dev_t dev, ino_t ino) {
    const struct untouched *untouched = arg;
    return table_opened(&untouched->table, dev, ino);
}

bool untouched_ready(struct untouched *untouched) {
    if (__atomic_load_n(&untouched->open, __ATOMIC_ACQUIRE))
        return true;
    pthread_mutex_lock(&untouched->lock);
    if (!untouched->open && !untouched->failed && table_open(&untouched->table, untouched->options) == 0) {
        untouched->answers = (struct view_answers){untouched, on_touch, on_opened};
        view_set_answers(untouched->view, &untouched->answers);
        __atomic_store_n(&untouched->open, true, __ATOMIC_RELEASE);
    }
    untouched->failed = !untouched->open;
    pthread_mutex_unlock(&untouched->lock);
    return untouched->open;
}

/* ---- paths ---- */

/* A path as the stub takes it apart. */
struct split {
    const char *text;
    size_t length, above;   /* above: bytes of the directory's text */
    bool relative, alone;   /* alone: a name without a directory */
    bool special;           /* the last name is "", "." or ".." */
};

static struct split split_path(const char *text, size_t length) {
    size_t begin = length;
    while (begin && text[begin - 1] != '/')
        begin--;
    const char *name = text + begin;
    return (struct split){
        .text = text,
        .length = length,
        .above = begin ? begin - 1 : 0,
        .relative = text[0] != '/',
        .alone = begin == 0,
        .special = !*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0,
    };
}

static uint64_t need_of(const struct view_way *way) {
    return way->shown ? table_need(way->parent, way->name, way->name_length) : 0;
}

struct learning {
    struct untouched *untouched;
    struct call *call;
    const char *start;      /* the current directory in the view */
    uint32_t base;          /* its number, 0: the path is absolute */
};

/* Learns what the first `length` bytes of the text name, followed by `more`. */
static bool learn_text(const struct learning *learning, const char *text, size_t length, const char *more,
                       struct view_way *way) {
    char path[PATH_MAX];
    struct call *call = learning->call;
    if (length + strlen(more) >= sizeof path)
        return false;
    memcpy(path, text, length);
    strcpy(path + length, more);
    if (!view_find_way(learning->untouched->view, &call->task->cred, learning->start, path, &call->scratch->spare, way))
        return false;
    table_insert(&learning->untouched->table, learning->base, text, length, way->directory, need_of(way));
    return true;
}

/* Did the call end in another directory, or at another name, than its text says? */
static bool was_followed(const struct call *call, const struct split *split, uint32_t directory) {
    const struct location *loc = &call->scratch->loc[0];
    const char *name = strrchr(loc->path, '/') + 1;
    return loc->parent != directory || strcmp(name, split->text + (split->alone ? 0 : split->above + 1)) != 0;
}

static void learn_path(const struct learning *learning, const struct split *split) {
    struct view_way way = {.directory = learning->base};
    const struct table *table = &learning->untouched->table;
    const struct stub_entry *entry = NULL;
    if (!split->special && !split->alone) {
        entry = table_find(table, learning->base, split->text, split->above);
        if (entry)
            way.directory = entry->directory;
        else if (!learn_text(learning, split->text, split->above, DOT, &way))
            return;
    }
    bool whole = split->special || (way.directory && was_followed(learning->call, split, way.directory));
    if (whole && !table_find(table, learning->base, split->text, split->length))
        (void)learn_text(learning, split->text, split->length, "", &way);
}

/* ---- current directories ---- */

static int read_cwd(pid_t tid, struct stub_cwd *cwd) {
    return memory_read(&MEMORY(tid), STUB_CWD, cwd, sizeof *cwd);
}

static void write_cwd(pid_t tid, struct stub_cwd *cwd) {
    cwd->changes++;
    (void)memory_write(&MEMORY(tid), STUB_CWD, cwd, sizeof *cwd);
}

/* Nobody else uses the address space, as a child does between vfork and execve. */
static bool has_own_memory(pid_t process) {
    pid_t parent;
    (void)family_of(process, &parent);
    return parent > 0 && syscall(SYS_kcmp, process, parent, KCMP_VM, 0, 0) > 0;
}

static pid_t process_of(const struct call *call) {
    return call->task->tgid ? call->task->tgid : family_process(call->task->tid);
}

/* The real path of the task's current directory if it is the lower's own place; the directory's number, 0: it is
 * not. */
static uint32_t find_cwd(struct untouched *untouched, struct call *call, char *real) {
    struct view_way way;
    char link[PROC_LINK];
    descriptor_link(call->task->tid, AT_FDCWD, link);
    struct location *loc = &call->scratch->spare;
    if (object_read(link, real) != OBJECT_NAMED || strlen(real) + sizeof DOT >= PATH_MAX ||
        view_locate(untouched->view, real, loc) < 0 || loc->detached || strcmp(loc->path, real) != 0)
        return 0;
    size_t length = strlen(real);
    strcpy(real + length, DOT);
    bool known = view_find_way(untouched->view, &call->task->cred, "/", real, loc, &way);
    real[length] = '\0';
    return known && strcmp(loc->path, real) == 0 ? way.directory : 0;
}

/* The number of the current directory, which the stub is told; 0: it is not to be known. */
static uint32_t learn_cwd(struct untouched *untouched, struct call *call, char *real) {
    struct stub_cwd cwd;
    pid_t tid = call->task->tid, process = process_of(call);
    if (cwd_kept(call->session, tid) || read_cwd(tid, &cwd) < 0 || cwd.generation == STUB_CWD_OFF)
        return 0;
    if (cwd.owner == 0 && has_own_memory(process))
        cwd.owner = (uint64_t)process;
    if (cwd.owner != (uint64_t)process)
        return 0;
    uint32_t directory = find_cwd(untouched, call, real);
    uint64_t generation = untouched->table.shared->generation;
    if (directory && (cwd.generation != generation || cwd.directory != directory)) {
        cwd.directory = directory;
        cwd.generation = generation;
        write_cwd(tid, &cwd);
    }
    return directory;
}

void untouched_moves(const struct untouched *untouched, pid_t tid) {
    struct stub_cwd cwd;
    char text[4096];
    if (!__atomic_load_n(&untouched->open, __ATOMIC_ACQUIRE) || read_cwd(tid, &cwd) < 0 ||
        cwd.generation == STUB_CWD_OFF)
        return;
    bool alone = proc_read(tid, "status", text, sizeof text) && proc_field(text, "\nThreads:\t", 10) == 1;
    cwd.generation = alone ? 0 : STUB_CWD_OFF;
    write_cwd(tid, &cwd);
}

/* ---- */

static bool can_learn(const struct call *call) {
    const struct location *loc = &call->scratch->loc[0];
    const struct given *given = &call->scratch->given[0];
    return call->task->cred_known && call->task->cred.own && loc->inside && !given->by_fd &&
           (given->absolute || given->fd == AT_FDCWD);
}

void untouched_learn(struct untouched *untouched, struct call *call, struct inside *inside) {
    char real[PATH_MAX];
    const struct given *given = &call->scratch->given[0];
    if (!__atomic_load_n(&untouched->open, __ATOMIC_ACQUIRE) || !can_learn(call))
        return;
    if (!given->absolute && !untouched_here(inside, call->task->tid))
        return;
    struct split split = split_path(given->path, given->length);
    struct learning learning = {.untouched = untouched, .call = call, .start = "/"};
    view_lock(untouched->view);
    if (split.relative) {
        learning.base = learn_cwd(untouched, call, real);
        learning.start = real;
    }
    if (!split.relative || learning.base)
        learn_path(&learning, &split);
    view_unlock(untouched->view);
}
