/* objects.c - what a fake root sees of objects: whose they are, and what becomes of who executes them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "../../process/descriptor.h"
#include "../../process/object.h"
#include "../../view/view.h"
#include "../call.h"
#include "../scratch.h"
#include "../session.h"
#include "../tasks/seen.h"
#include "../tasks/task.h"
#include "../verdict.h"
#include "faked.h"

#define ALL_OF_STAT (STATX_BASIC_STATS | STATX_BTIME)

/* Of what no overlay covers. */
static int real_attributes(const struct call *call, const char *path, int flags, struct statx *stx) {
    if (statx(AT_FDCWD, path, flags, ALL_OF_STAT, stx) < 0)
        return -errno;
    view_fake_ids(call->view, stx);
    return 0;
}

bool faked_attributes(struct call *call, int error, const struct target *target, struct statx *stx) {
    char link[PROC_LINK];
    const struct location *loc = target->loc;
    bool unnamed = !error && target->by_fd && (target->kind != OBJECT_NAMED || loc->detached || !loc->overlay);
    if (!error && unnamed) {
        descriptor_link(call->task->tid, call->scratch->given[0].fd, link);
        error = real_attributes(call, link, 0, stx);
    } else if (!error && (loc->hidden || loc->type == 0)) {
        error = -ENOENT;
    } else if (!error && loc->overlay) {
        error = view_getattr(call->view, loc, stx);
    } else if (!error) {
        error = real_attributes(call, loc->path, loc->magic ? 0 : AT_SYMLINK_NOFOLLOW, stx);
    }
    if (error)
        verdict_answer(call, error);
    return error == 0;
}

int faked_ready(struct call *call, int error, struct target *target) {
    if (error || !seen_wanted(call->session) || target->by_fd || !target->loc->overlay || target->loc->hidden)
        return error;
    int ready = view_open_closed(call->view, target->loc);
    if (ready == 1)
        target->pass = false;
    return ready < 0 ? ready : 0;
}

int faked_execute(struct call *call, const struct location *loc) {
    struct task *task = call->task;
    struct statx stx;
    free(task->seen_next);
    task->seen_next = NULL;
    const struct seen *seen = seen_of(task);
    if (!seen)
        return -ENOMEM;
    int error = view_getattr(call->view, loc, &stx);
    if (!error)
        error = seen_after_exec(seen, loc->overlay ? stx.stx_mode : 0, stx.stx_uid, stx.stx_gid, &task->seen_next);
    if (error || !seen_equal(seen, task->seen_next))
        return error ? error : 1;
    free(task->seen_next);
    task->seen_next = NULL;
    return 0;
}
