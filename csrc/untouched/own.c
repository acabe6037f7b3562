/* own.c - from calls that were answered to what stubs may answer of directories that only the upper has.
 *
 * Rules: as in learn.c.  The kernel comes to such a directory by descriptors and from current directories, and by a
 * text only where that was tried; else the stub is told the real path.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "../arch/numbers.h"
#include "../calls/scratch.h"
#include "../calls/tasks/task.h"
#include "../process/descriptor.h"
#include "../process/object.h"
#include "directory.h"
#include "untouched.h"

#define DOT "/."
#define BELOW_MOST 512u
#define BELOW_DEPTH 8u

/* Does the kernel come there from the task's current directory? */
static bool leads_there(pid_t tid, const char *text, const struct view_alone *alone) {
    char path[PATH_MAX];
    struct stat st;
    int length = snprintf(path, sizeof path, "/proc/%d/cwd/%s", tid, text);
    if (length >= (int)sizeof path)
        return false;
    CLOSE_DESCRIPTOR fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && fstat(fd, &st) == 0 && st.st_dev == alone->dev && st.st_ino == alone->ino;
}

/* Is nothing more to be learnt of the text?  More may be told of a directory that the lower has. */
static bool is_learnt(const struct untouched *untouched, const struct split *split, uint32_t base, size_t length) {
    const struct stub_entry *entry = table_find(&untouched->table, base, split->text, length);
    return entry && (split->special || entry->real || !entry->directory || entry->directory & STUB_OWN);
}

/* Of the directory that the path names, or that its name is in. */
static void learn_text(struct untouched *untouched, struct call *call, const struct split *split, uint32_t base,
                       const char *start) {
    char text[PATH_MAX], real[PATH_MAX];
    struct view_alone alone;
    const struct walker walker = {.cred = &call->task->cred};
    struct location *loc = &call->scratch->spare;
    size_t length = split->special ? split->length : split->above;
    unsigned flags = WALK_FOLLOW | (base & STUB_OWN ? 0 : WALK_START_PASS);
    if (length + sizeof DOT > sizeof text || is_learnt(untouched, split, base, length))
        return;
    memcpy(text, split->text, length);
    strcpy(text + length, split->special ? "" : split->alone ? "." : DOT);
    if (view_walk(untouched->view, &walker, start, text, flags, loc) < 0 || !loc->inside)
        return;
    text[length] = '\0';
    if (directory_find_own(untouched, loc, &alone, real)) {
        bool there = split->relative && leads_there(call->task->tid, text, &alone);
        table_insert_own(&untouched->table, base, text, length, alone.directory, there ? NULL : real);
    } else if (!split->special && view_find_merged(untouched->view, loc, real)) {
        table_insert_merged(&untouched->table, base, text, length, loc->dentry, real);
    }
}

/* Of the current directory all is known by its number, but for where the upper has it. */
static void learn_path(struct untouched *untouched, struct call *call) {
    char start[PATH_MAX] = "/";
    const struct given *given = &call->scratch->given[0];
    struct split split = directory_split(given->path, given->length);
    uint32_t base = split.relative ? directory_current(untouched, call, start) : 0;
    bool named = !split.alone || (base && !(base & STUB_OWN));   /* a name in the current directory is in no text */
    if ((base || !split.relative) && (split.special || named))
        learn_text(untouched, call, &split, base, start);
}

/* Who lists a directory is about to list those in it, and those beside it. */
static void learn_below(struct untouched *untouched, const struct location *loc, uint32_t directory, unsigned depth,
                        unsigned *left) {
    struct view_alone alone;
    uint32_t found = 0;
    while (*left && (found = view_next_alone(untouched->view, loc, directory, found, &alone))) {
        --*left;
        table_insert_inode(&untouched->table, alone.dev, alone.ino, alone.directory, alone.lists);
        if (depth)
            learn_below(untouched, loc, alone.directory, depth - 1, left);
    }
}

static bool is_known(const struct untouched *untouched, const char *real) {
    struct stat st;
    return lstat(real, &st) < 0 || table_find_inode(&untouched->table, st.st_dev, st.st_ino);
}

static void learn_descriptor(struct untouched *untouched, struct call *call) {
    char path[PATH_MAX];
    unsigned left = BELOW_MOST;
    const struct given *given = &call->scratch->given[0];
    struct location *loc = &call->scratch->spare;
    if (given->kind != OBJECT_NAMED || is_known(untouched, given->real) ||
        view_locate(untouched->view, given->real, loc) < 0 || loc->detached || !loc->upper ||
        !directory_own(untouched, loc, path) || call->nr != __NR_getdents64)
        return;
    learn_below(untouched, loc, loc->dentry, BELOW_DEPTH, &left);
    learn_below(untouched, loc, loc->parent, BELOW_DEPTH, &left);
}

void untouched_learn_own(struct untouched *untouched, struct call *call, struct inside *inside) {
    const struct given *given = &call->scratch->given[0];
    if (!__atomic_load_n(&untouched->open, __ATOMIC_ACQUIRE) || !call->task->cred_known || !call->task->cred.own ||
        untouched_stops_own(untouched) || !untouched_here(inside, call->task->tid) || untouched_leaves_out(inside))
        return;
    view_lock(untouched->view);
    uint64_t before = untouched->table.learnt;
    bool below = !given->by_fd && !given->absolute && given->fd != AT_FDCWD;
    if (below || given->by_fd)
        learn_descriptor(untouched, call);
    if (below)
        directory_learn_start(untouched, call);
    if (!below && !given->by_fd)
        learn_path(untouched, call);
    untouched_learnt(untouched, inside, before);
    view_unlock(untouched->view);
}
