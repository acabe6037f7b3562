/* busy.c - ETXTBSY: does a task execute the file that another one wants to write?
 *
 * Rules: what a task executes is the kernel's to know (/proc/TID/exe, proc(5)), and it is asked when somebody wants to
 * write a file that the view has seen executed.  It is the last interpreter of a script that is busy, not the script,
 * and no ELF interpreter or library: fs/exec.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "../../process/descriptor.h"
#include "../../process/object.h"
#include "../../view/view.h"
#include "../flags.h"
#include "../programs/programs.h"
#include "../session.h"
#include "busy.h"
#include "task.h"

/* The attributes, as the view shows them, of what a task executes. */
static int executed_by(struct session *session, const struct task *task, struct statx *stx) {
    char link[PROC_LINK], real[PATH_MAX];
    struct location loc;
    snprintf(link, sizeof link, "/proc/%d/exe", __atomic_load_n(&task->tid, __ATOMIC_RELAXED));
    int kind = object_read(link, real);
    if (kind != OBJECT_NAMED)
        return kind < 0 ? kind : -ENOENT;
    const char *original = programs_original(session, real);
    if (original) {
        static const struct cred own = {.own = true, .caps = UINT64_MAX};
        struct walker walker = {.cred = &own};
        int error = view_walk(session->view, &walker, "/", original, 0, &loc);
        return error < 0 ? error : view_getattr(session->view, &loc, stx);
    }
    if (statx(AT_FDCWD, link, 0, STATX_BASIC_STATS, stx) < 0)
        return -errno;
    return view_fix_attr(session->view, real, stx);
}

/* A view_busy_fn. */
int busy_executed(void *arg, const struct statx *file) {
    struct session *session = arg;
    struct statx stx;
    bool busy = false;
    lock_take(&session->lock);
    for (const struct task *task = session->tasks; task && !busy; task = task->next)
        busy = executed_by(session, task, &stx) == 0 && stx.stx_ino == file->stx_ino &&
               stx.stx_dev_major == file->stx_dev_major && stx.stx_dev_minor == file->stx_dev_minor;
    lock_leave(&session->lock);
    return busy ? -ETXTBSY : 0;
}
