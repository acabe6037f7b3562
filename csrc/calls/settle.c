/* settle.c - the verdicts that calls have in common which read, and which change something.
 *
 * Rules: a call that changes something is never passed; what cannot be told apart is refused.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "../process/descriptor.h"
#include "../process/object.h"
#include "../view/view.h"
#include "args.h"
#include "call.h"
#include "host/host.h"
#include "host/keeps.h"
#include "reach.h"
#include "scratch.h"
#include "settle.h"
#include "table.h"
#include "tasks/task.h"
#include "verdict.h"

void settle_host(struct call *call, unsigned i, struct location *loc) {
    if (loc->pass)
        return;
    const char *ending = host_ending(loc);
    size_t length = strlen(ending);
    if (loc->length + length >= VIEW_PATH_MAX)
        return verdict_answer(call, -ENAMETOOLONG);
    memcpy(loc->path + loc->length, ending, length + 1);
    loc->length += length;
    reach_substitute(call, (unsigned)call->row->operand[i].path, loc->path);
}

struct location *settle_read(struct call *call, int error, const struct target *target) {
    struct location *loc = target->loc;
    bool unnamed = target->by_fd && (target->kind != OBJECT_NAMED || loc->detached || !loc->overlay);
    if (target->pass)
        return NULL;
    if (error < 0)
        verdict_answer(call, error);
    else if (unnamed)
        return NULL;
    else if (loc->hidden || loc->type == 0)
        verdict_answer(call, -ENOENT);
    else if (!loc->overlay)
        settle_host(call, 0, loc);
    else
        return loc;
    return NULL;
}

struct location *settle_reading(struct call *call) {
    struct target target;
    int error = args_resolve(call, &target);
    return settle_read(call, error, &target);
}

bool settle_path_descriptor(struct call *call) {
    const struct given *given = &call->scratch->given[0];
    if (!given->bare && !(given->by_fd && given->fd >= 0 && call->row->opened))
        return false;
    int flags = descriptor_flags(call->task->tid, given->fd);
    if (flags >= 0 && !(flags & O_PATH))
        return false;
    verdict_answer(call, flags < 0 ? flags : -EBADF);
    return true;
}

/* The row's call makes the name that its operand gives. */
static bool makes_name(const struct call *call, unsigned i) {
    return call->row->name_is == NAME_MADE || i == 1;
}

/* The name is meant, and not what it leads to. */
static bool about_name(const struct call *call, unsigned i) {
    return call->row->name_is != NAME_STAYS || i == 1;
}

static int hold_location(struct call *call, unsigned i, const struct location *loc) {
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
        verdict_answer(call, error);
        return NULL;
    }
    if (!unnamed && loc->overlay)
        return loc;
    if (unnamed) {
        descriptor_link(call->task->tid, call->scratch->given[i].fd, link);
        error = host_hold_link(call, i, link);
    } else if (loc->magic || !host_keeps(call, loc, makes_name(call, i))) {
        error = hold_location(call, i, loc);
    } else {
        return NULL;
    }
    if (error < 0)
        verdict_answer(call, error);
    return error < 0 ? NULL : loc;
}

struct location *settle_changing(struct call *call) {
    struct target target;
    int error = args_resolve(call, &target);
    struct location *loc = settle_change(call, 0, error, &target);
    return loc && !settle_path_descriptor(call) ? loc : NULL;
}
