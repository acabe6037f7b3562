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
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../arch/numbers.h"
#include "../calls/args.h"
#include "../calls/scratch.h"
#include "../calls/session.h"
#include "../calls/table.h"
#include "../calls/tasks/cwd.h"
#include "../calls/tasks/task.h"
#include "../process/descriptor.h"
#include "../process/family.h"
#include "../process/memory.h"
#include "../process/object.h"
#include "../process/proc.h"
#include "directory.h"
#include "untouched.h"

#define DOT "/."

/* ---- what the view tells ---- */

_Static_assert(STUB_OWN == VIEW_ALONE && STUB_POSITIONS == VIEW_POSITIONS && STUB_POSITIONS_NEAR == VIEW_POSITIONS_NEAR,
               "the stub knows what the view says");

static void on_touch(void *arg, uint32_t directory, const char *name, size_t length, unsigned what) {
    struct untouched *untouched = arg;
    struct table *table = &untouched->table;
    if (name)
        table_touch(table, directory, name, length);
    if (what & TOUCH_LINKED)
        table_set_option(table, STUB_LINKED);
    if (what & TOUCH_GONE)
        table_set_option(table, STUB_GONE);
    if (what & TOUCH_KEPT)
        table_set_option(table, STUB_KEPT);
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
    lock_take(&untouched->lock);
    int error = untouched->open || untouched->failed ? 0 : table_open(&untouched->table, untouched->options);
    if (error) {
        untouched_failed(untouched, error);
    } else if (!untouched->open && !untouched->failed) {
        dev_t twice[STUB_TWICE];
        table_set_twice(&untouched->table, twice, view_shown_twice(untouched->view, twice, STUB_TWICE));
        untouched->answers = (struct view_answers){untouched, on_touch, on_opened};
        view_set_answers(untouched->view, &untouched->answers);
        __atomic_store_n(&untouched->open, true, __ATOMIC_RELEASE);
    }
    untouched->failed = !untouched->open;
    lock_leave(&untouched->lock);
    return untouched->open;
}

/* ---- paths ---- */

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

/* Of a file without content the stub cannot know that it is no whiteout. */
static void learn_empty(const struct learning *learning) {
    struct stat st;
    const struct location *loc = &learning->call->scratch->loc[0];
    if (loc->type == S_IFREG && loc->pass && lstat(loc->path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0)
        table_teach(&learning->untouched->table, st.st_dev, st.st_ino);
}

static void learn_path(const struct learning *learning, const struct split *split, bool asked_inside) {
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
    if (entry && asked_inside && !learning->call->scratch->given[0].by_fd)
        learn_empty(learning);
    bool whole = split->special || (way.directory && was_followed(learning->call, split, way.directory));
    if (whole && !table_find(table, learning->base, split->text, split->length))
        (void)learn_text(learning, split->text, split->length, "", &way);
}

/* ---- */

static bool can_learn(const struct call *call) {
    return call->task->cred_known && call->task->cred.own && call->scratch->loc[0].inside &&
           !call->scratch->given[0].by_fd;
}

static void learn_text_of(struct untouched *untouched, struct call *call, bool asked_inside) {
    char real[PATH_MAX];
    const struct given *given = &call->scratch->given[0];
    struct split split = directory_split(given->path, given->length);
    struct learning learning = {.untouched = untouched, .call = call, .start = "/"};
    if (split.relative) {
        learning.base = directory_current(untouched, call, real);
        learning.start = real;
    }
    if (!split.relative || (learning.base && !(learning.base & STUB_OWN)))
        learn_path(&learning, &split, asked_inside);
}

static bool may_name_nothing(const struct call *call) {
    if (call->nr == __NR_fstat)
        return true;
    if (call->nr != __NR_newfstatat && call->nr != __NR_statx)
        return false;
    return call->arg[call->nr == __NR_statx ? 2 : 3] & AT_EMPTY_PATH;
}

/* The call is about its descriptor, and shows what that shows natively; false: it is not known that it is. */
static bool names_nothing(const struct call *call) {
    char first;
    return may_name_nothing(call) &&
           (call->nr == __NR_fstat || memory_read_string(&call->memory, call->arg[1], &first, 1) == 0);
}

/* Is the object still what the view shows, and no copy?  kind: of object_read(). */
static bool shows_itself(pto_view *view, int kind, const char *real, struct location *loc) {
    if (kind != OBJECT_NAMED)
        return kind == OBJECT_ANONYMOUS;
    return view_locate(view, real, loc) == 0 && !loc->detached && !loc->upper && strcmp(loc->path, real) == 0;
}

/* Directories are more than what they show. */
static void learn_descriptor(struct untouched *untouched, const struct call *call, struct inside *inside) {
    struct stat st;
    char link[PROC_LINK], real[PATH_MAX];
    descriptor_link(call->task->tid, (int)call->arg[0], link);
    view_lock(untouched->view);
    uint64_t before = untouched->table.learnt;
    int kind = object_read(link, real);
    if (stat(link, &st) == 0 && !S_ISDIR(st.st_mode) &&
        shows_itself(untouched->view, kind, real, &call->scratch->spare))
        table_teach(&untouched->table, st.st_dev, st.st_ino);
    untouched_learnt(untouched, inside, before);
    view_unlock(untouched->view);
}

static void learn_current(struct untouched *untouched, struct call *call, struct inside *inside) {
    char real[PATH_MAX];
    if (!untouched_here(inside, call->task->tid) || !call->task->cred_known || !call->task->cred.own)
        return;
    view_lock(untouched->view);
    uint64_t before = untouched->table.learnt;
    (void)directory_current(untouched, call, real);
    untouched_learnt(untouched, inside, before);
    view_unlock(untouched->view);
}

/* ---- questions ---- */

static unsigned asks_of(const struct call *call) {
    unsigned walk = 0;
    const struct call_row *row = call->row;
    (void)args_walk_flags(call, &walk);
    unsigned asks = walk & WALK_FOLLOW ? 0 : STUB_ASKS_LINK;
    if (row->contents != CONTENTS_OPENED)
        return asks;
    uint64_t flags = call->arg[row->operand[0].path + 1];
    return (flags & O_NOFOLLOW ? STUB_ASKS_LINK : 0) | (flags & O_PATH ? 0 : STUB_ASKS_CONTENT);
}

/* What the text begins in, as a stub will call it; 0: it cannot. */
static uint64_t base_of(struct untouched *untouched, struct call *call) {
    struct stat st;
    char link[PROC_LINK], real[PATH_MAX];
    const struct given *given = &call->scratch->given[0];
    if (given->fd == AT_FDCWD)
        return directory_current(untouched, call, real);
    descriptor_link(call->task->tid, given->fd, link);
    return given->fd >= 0 && stat(link, &st) == 0 ? stub_base_of(st.st_dev, st.st_ino) : 0;
}

void untouched_note(struct untouched *untouched, struct call *call) {
    const struct given *given = &call->scratch->given[0];
    if (!(untouched->options & STUB_RECORDS) || !__atomic_load_n(&untouched->open, __ATOMIC_ACQUIRE) || given->by_fd ||
        call->row->operand[0].path == NO_ARG)
        return;
    view_lock(untouched->view);
    uint64_t base = given->absolute ? 0 : base_of(untouched, call);
    if (base || given->absolute)
        table_note(&untouched->table, stub_question(base, given->path, (uint32_t)given->length,
                                                    untouched_generation(untouched), asks_of(call)));
    view_unlock(untouched->view);
}

/* Did a stub leave the call to us, perhaps?  What one file is is learnt for it; the programs that end before they get
 * one have each the same files to open.  Of what is executed it answers only that it is not there. */
static bool may_have_asked(const struct call *call, const struct inside *inside) {
    return call->nr != __NR_execve && (inside->here || !inside->fresh);
}

void untouched_learn(struct untouched *untouched, struct call *call, struct inside *inside) {
    const struct given *given = &call->scratch->given[0];
    if (!__atomic_load_n(&untouched->open, __ATOMIC_ACQUIRE) || untouched_leaves_out(inside))
        return;
    bool asked_inside = may_have_asked(call, inside);
    if (!asked_inside && may_name_nothing(call))
        return;
    if (names_nothing(call))
        return learn_descriptor(untouched, call, inside);
    if (call->nr == __NR_getcwd)
        return learn_current(untouched, call, inside);
    if (!can_learn(call) || (!given->absolute && !untouched_here(inside, call->task->tid)))
        return;
    view_lock(untouched->view);
    uint64_t before = untouched->table.learnt;
    if (given->absolute || given->fd == AT_FDCWD)
        learn_text_of(untouched, call, asked_inside);
    else
        directory_learn_start(untouched, call);
    untouched_learnt(untouched, inside, before);
    view_unlock(untouched->view);
}
