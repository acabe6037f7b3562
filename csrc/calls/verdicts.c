/* verdicts.c - the verdicts that handlers have in common.
 *
 * Rules: a call that changes something is never passed; what cannot be told apart is refused.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "host.h"
#include "internal.h"

void view_enter(struct call *call) {
    if (call->scratch->entered)
        return;
    view_lock(call->view);
    view_may_ask_again(call->view);
    call->scratch->entered = true;
}

static void add_copies(struct call *call, struct copied_up *copies) {
    struct copied_up **end = &call->copied;
    while (*end)
        end = &(*end)->next;
    *end = copies;
}

void view_leave(struct call *call) {
    if (!call->scratch || !call->scratch->entered)
        return;
    call->scratch->entered = false;
    add_copies(call, view_take_copies(call->view));
    view_unlock(call->view);
}

void answer(struct call *call, long value) {
    call->verdict = VERDICT_RETURN;
    call->value = value;
}

void answer_bytes(struct call *call, uint64_t address, const void *data, size_t size, long value) {
    view_leave(call);
    int rc = size ? memory_write(call->task->tid, address, data, size) : 0;
    answer(call, rc < 0 ? rc : value);
}

void refuse(struct call *call, int error, const char *reason) {
    answer(call, -error);
    call->reason = reason;
    call->kill = call_flags(call) & PTO_STRICT;
    if (call->session->stats)
        __atomic_add_fetch(&call->session->stats->refused, 1, __ATOMIC_RELAXED);
}

static struct replacement *next_replacement(struct call *call, unsigned arg) {
    struct replacement *replacement = &call->replacements[call->n_replacements++];
    call->verdict = VERDICT_SUBSTITUTE;
    replacement->arg = arg;
    return replacement;
}

void substitute_value(struct call *call, unsigned arg, uint64_t value) {
    struct replacement *replacement = next_replacement(call, arg);
    replacement->value = value;
}

void substitute_bytes(struct call *call, unsigned arg, const void *data, size_t size) {
    struct replacement *replacement = next_replacement(call, arg);
    replacement->bytes = true;
    replacement->data = data;
    replacement->size = size;
}

void substitute_string(struct call *call, unsigned arg, const char *string) {
    substitute_bytes(call, arg, string, strlen(string) + 1);
}

/* The canonical path has lost what the call may be refused for: keep a slash or a dot at its end. */
static int keep_ending(struct location *loc) {
    const char *ending = loc->last == LAST_DOT || loc->last == LAST_DOTDOT ? "/." : loc->slash ? "/" : "";
    size_t length = strlen(ending);
    if (loc->length + length >= sizeof loc->path)
        return -ENAMETOOLONG;
    memcpy(loc->path + loc->length, ending, length + 1);
    loc->length += length;
    return 0;
}

void host_verdict(struct call *call, unsigned i, struct location *loc) {
    if (loc->pass)
        return;
    int rc = keep_ending(loc);
    if (rc < 0)
        return answer(call, rc);
    substitute_string(call, (unsigned)call->row->operand[i].path, loc->path);
}

struct location *settle_read(struct call *call, int error, const struct target *target) {
    struct location *loc = target->loc;
    bool unnamed = target->by_fd && (target->kind != OBJECT_NAMED || loc->detached || !loc->overlay);
    if (target->pass)
        return NULL;
    if (error < 0)
        answer(call, error);
    else if (unnamed)
        return NULL;
    else if (loc->hidden || loc->type == 0)
        answer(call, -ENOENT);
    else if (!loc->overlay)
        host_verdict(call, 0, loc);
    else
        return loc;
    return NULL;
}

struct location *reading(struct call *call) {
    struct target target;
    int rc = resolve(call, &target);
    return settle_read(call, rc, &target);
}

bool refuse_path_descriptor(struct call *call) {
    if (!call->scratch->given[0].bare)
        return false;
    int flags = descriptor_flags(call->task->tid, call->scratch->given[0].fd);
    if (flags >= 0 && !(flags & O_PATH))
        return false;
    answer(call, flags < 0 ? flags : -EBADF);
    return true;
}

/* The row's call makes the name that its operand gives. */
static bool makes_name(const struct call *call, unsigned i) {
    return call->row->name_is == NAME_MADE || i == 1;
}

/* mnt_want_write() comes before the last name is looked up where it is to go away, and after that where it is to be
 * made or changed (fs/namei.c); truncate(2) looks at the type before (fs/open.c). */
static int before_read_only(const struct call *call, const struct location *loc, bool makes) {
    if (loc->read_only && call->row->name_is == NAME_REMOVED)
        return 0;
    if (makes != (loc->type == 0))
        return makes ? -EEXIST : -ENOENT;
    if (call->row->contents == CONTENTS_CUT && loc->type != S_IFREG)
        return loc->type == S_IFDIR ? -EISDIR : -EINVAL;
    return 0;
}

bool host_keeps(struct call *call, const struct location *loc, bool makes) {
    if (loc->overlay || (!loc->read_only && !loc->fixed))
        return false;
    /* Nobody makes names there, and the kernel says so in its own way. */
    if (makes && !loc->read_only && strncmp(loc->path, "/proc/", 6) == 0)
        return false;
    int error = before_read_only(call, loc, makes);
    if (error)
        answer(call, error);
    else if (loc->read_only)
        answer(call, -EROFS);
    else
        refuse(call, EPERM, "names and attributes of the host's own places stay");
    return true;
}

/* The name is meant, and not what it leads to. */
static bool about_name(const struct call *call, unsigned i) {
    return call->row->name_is != NAME_STAYS || i == 1;
}

static int hold_place(struct call *call, unsigned i, const struct location *loc) {
    if (loc->magic)
        return host_hold_link(call, i, loc->path);
    if (about_name(call, i))
        return host_hold_name(call, i, loc);
    return loc->type ? host_hold_object(call, i, loc) : -ENOENT;
}

struct location *settle_change(struct call *call, unsigned i, int error, const struct target *target) {
    char link[PROC_LINK];
    struct location *loc = target->loc;
    bool unnamed = target->by_fd && (target->kind != OBJECT_NAMED || loc->detached || !loc->overlay);
    if (error == 0 && !unnamed && loc->hidden)
        error = makes_name(call, i) ? -EACCES : -ENOENT;
    if (error < 0) {
        answer(call, error);
        return NULL;
    }
    if (!unnamed && loc->overlay)
        return loc;
    if (unnamed) {
        descriptor_link(call->task->tid, call->scratch->given[i].fd, link);
        error = host_hold_link(call, i, link);
    } else if (loc->magic || !host_keeps(call, loc, makes_name(call, i))) {
        error = hold_place(call, i, loc);
    } else {
        return NULL;
    }
    if (error < 0)
        answer(call, error);
    return error < 0 ? NULL : loc;
}

struct location *changing(struct call *call) {
    struct target target;
    int rc = resolve(call, &target);
    struct location *loc = settle_change(call, 0, rc, &target);
    return loc && !refuse_path_descriptor(call) ? loc : NULL;
}

static long nothing_more(struct call *call, long result) {
    (void)call;
    return result;
}

void watch(struct call *call, uint64_t *generation, unsigned *pending) {
    __atomic_add_fetch(pending, 1, __ATOMIC_SEQ_CST);
    call->scratch->generation = generation;
    call->scratch->pending = pending;
    call->watch_exit = true;
    call->any_time = true;
    call->finish = nothing_more;
}
