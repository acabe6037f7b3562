/* statfs.c - statfs and fstatfs; inotify_add_watch and fanotify_mark, which watch where a path leads.
 *
 * Rule: a watch is set on the real object, which is the tracee's to do: it gets the real path.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/statfs.h>

#include "internal.h"

#define CHANGES                                                                                                        \
    (IN_MODIFY | IN_ATTRIB | IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_DELETE_SELF |   \
     IN_MOVE_SELF)

/* A file system answers for all that is in it, also where the kernel would find the same object by itself. */
static struct location *find_filesystem(struct call *call) {
    struct target target;
    int rc = resolve(call, &target);
    bool named = !target.by_fd || (target.kind == OBJECT_NAMED && !target.loc->detached);
    if (rc == 0 && named && target.loc->overlay)
        target.pass = false;
    return settle_read(call, rc, &target);
}

void do_statfs(struct call *call) {
    struct statfs buffer;
    struct location *loc = find_filesystem(call);
    if (!loc)
        return;
    memset(&buffer, 0, sizeof buffer);
    int rc = view_statfs(call->view, loc, &buffer);
    if (rc < 0)
        return answer(call, rc);
    answer_bytes(call, call->arg[after_operand(call)], &buffer, sizeof buffer, 0);
}

/* The same call on the real path of what the path names, followed or not.  Who watches for changes gets what will be
 * changed: a watch on a lower object would never fire. */
static void watch_real(struct call *call, bool follow, bool changes) {
    struct target target;
    struct location *loc = &call->scratch->loc[0];
    int rc = fetch(call, 0);
    if (rc < 0)
        return answer(call, rc);
    view_enter(call);
    rc = walk_given(call, 0, follow ? WALK_FOLLOW : 0, &target);
    bool copy = rc == 0 && changes && loc->overlay && loc->type && !loc->read_only;
    if (target.by_fd || (target.pass && !copy))
        return;
    if (rc < 0)
        return answer(call, rc);
    if (loc->hidden || loc->type == 0)
        return answer(call, -ENOENT);
    if (!loc->overlay)
        return host_verdict(call, 0, loc);
    rc = view_permission(call->view, loc, &call->task->cred, R_OK);
    if (rc == 0 && copy && view_watch(call->view, loc) == 0)
        rc = walk_given(call, 0, follow ? WALK_FOLLOW : 0, &target);   /* it has moved to the upper */
    if (rc == 0)
        rc = view_real(call->view, loc, call->scratch->real);
    if (rc < 0)
        return answer(call, rc);
    substitute_string(call, (unsigned)call->row->operand[0].path, call->scratch->real);
}

void do_inotify_add_watch(struct call *call) {
    watch_real(call, !(call->arg[2] & IN_DONT_FOLLOW), call->arg[2] & CHANGES);
}

void do_fanotify_mark(struct call *call) {
    watch_real(call, !(call->arg[1] & FAN_MARK_DONT_FOLLOW), false);
}
