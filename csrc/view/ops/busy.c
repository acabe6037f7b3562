/* busy.c - a program that may be running is not written without asking who knows.
 *
 * Rules: a file that was never executed costs no system call; it is asked after the permissions and before anything is
 * copied up, as the kernel does (get_write_access() in fs/open.c and fs/namei.c); what is asked about is the
 * identity that the view shows, which is the same before and after copy-up and under all names.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <sys/stat.h>

#include "../layers/layers.h"
#include "ops.h"

void view_set_busy(pto_view *view, view_busy_fn *busy, void *arg) {
    view->busy = busy;
    view->busy_arg = arg;
}

void view_executed(pto_view *view, const struct location *loc) {
    if (!loc->overlay)
        return;
    at(loc->overlay, loc->dentry)->flags |= D_EXECUTED;
    HELD(&view->base->lock);
}

void view_executed_before(pto_view *view, const char *real) {
    struct location loc;
    view_lock(view);
    if (view_locate(view, real, &loc) == 0 && !loc.detached)
        view_executed(view, &loc);
    view_unlock(view);
}

/* Another name may be the one that was executed. */
static bool perhaps_executed(const struct dentry *dentry) {
    return (dentry->flags & D_EXECUTED) || (!upper_exists(dentry) && (dentry->flags & D_LINKED));
}

int busy_write_access(struct overlay *ovl, uint32_t d) {
    struct statx stx;
    const pto_view *view = ovl->view;
    if (!view->busy || !perhaps_executed(at(ovl, d)))
        return 0;
    int error = inode_getattr(ovl, d, &stx);
    return error ? error : view->busy(view->busy_arg, &stx);
}
