/* sync.c - fsync, fdatasync and syncfs: to the object that the view has now.
 *
 * Rules: a descriptor from before a copy-up leads to the lower, and what was changed since is in the upper; where
 * nobody will look at the upper after a crash nothing is written out (the volatile option of overlayfs).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "../../process/object.h"
#include "../../view/view.h"
#include "../args.h"
#include "../call.h"
#include "../scratch.h"
#include "../settle.h"
#include "../verdict.h"
#include "handlers.h"

void do_sync(struct call *call) {
    struct target target;
    int rc = resolve(call, &target);
    const struct location *loc = target.loc;
    if (rc < 0 || !target.by_fd || target.kind != OBJECT_NAMED || !loc->overlay || refuse_path_descriptor(call))
        return;   /* also what the kernel will refuse */
    rc = view_sync(call->view, loc, call->scratch->given[0].real);
    if (rc != VIEW_SYNC_REAL)
        answer(call, rc);
}
