/* inodes.c - files that a descriptor shows as they lie in a lower.
 *
 * Each program begins with fstat of the libraries that the last one had, too.  To look at a descriptor by a copy of it
 * costs a third of what its link in /proc does, which is the first look there into a process.
 *
 * Rules: kept are files that were passed while the view has been as it is now, so that none of several names had been
 * touched if it has them, and where the lower is what the host shows in one place.  Who asks for others is not looked
 * at so any more until it executes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "inodes.h"

#include <sys/stat.h>

#include "../../process/descriptor.h"
#include "../../process/object.h"
#include "../../view/view.h"
#include "../args.h"
#include "../call.h"
#include "../session.h"
#include "../tasks/task.h"
#include "../verdict.h"

#define LOOKS 4u    /* in vain, of one program */

static struct shown_inode *entry_of(struct session *session, ino_t ino) {
    return &session->shown_inodes.of[ino % SHOWN_INODES];
}

bool inodes_may_know(const struct call *call) {
    struct session *session = call->session;
    return call->task->looks < LOOKS && !call->nest && !call->root && !call->compat && !session_looks_closer(session) &&
           view_is_plain(session->view);
}

bool inodes_show(struct call *call, int fd) {
    struct stat st;
    CLOSE_DESCRIPTOR ours = fd < 0 ? -1 : task_descriptor(call, fd);
    bool file = ours >= 0 && fstat(ours, &st) == 0 && S_ISREG(st.st_mode);
    bool shows = false;
    if (file) {
        verdict_enter_view(call);
        const struct shown_inode *entry = entry_of(call->session, st.st_ino);
        shows = entry->ino == st.st_ino && entry->dev == st.st_dev && entry->changes == view_changes(call->view, 0);
        verdict_leave_view(call);
    }
    call->task->looks += !shows;
    return shows;
}

static bool is_shown_twice(struct call *call, dev_t dev) {
    struct shown_inodes *shown = &call->session->shown_inodes;
    if (!shown->asked)
        shown->n_twice = view_shown_twice(call->view, shown->twice, SHOWN_TWICE);
    shown->asked = true;
    for (size_t i = 0; i < shown->n_twice && i < SHOWN_TWICE; i++)
        if (shown->twice[i] == dev)
            return true;
    return shown->n_twice > SHOWN_TWICE;
}

void inodes_keep(struct call *call, const struct target *target, uint64_t changes) {
    struct stat st;
    const struct location *loc = target->loc;
    if (!inodes_may_know(call) || call->verdict != VERDICT_PASS || !target->by_fd || target->kind != OBJECT_NAMED ||
        !loc->overlay || !loc->pass || loc->upper || loc->detached || loc->type != S_IFREG)
        return;
    if (lstat(loc->path, &st) < 0 || !S_ISREG(st.st_mode))
        return;
    verdict_enter_view(call);
    if (!is_shown_twice(call, st.st_dev))
        *entry_of(call->session, st.st_ino) =
            (struct shown_inode){.changes = changes, .dev = st.st_dev, .ino = st.st_ino};
    verdict_leave_view(call);
}
