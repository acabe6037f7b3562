/* sync.c - fsync, fdatasync and syncfs: to the object that the view has now.
 *
 * Rules: a descriptor from before a copy-up leads to the lower, and what was changed since is in the upper; where
 * nobody will look at the upper after a crash nothing is written out (the volatile option of overlayfs).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <sys/stat.h>
#include <sys/syscall.h>

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
    int error = args_resolve(call, &target);
    const struct location *loc = target.loc;
    bool has_data = error == 0 && (loc->type == S_IFREG || loc->type == S_IFDIR || call->nr == __NR_syncfs);
    if (!has_data || !target.by_fd || target.kind != OBJECT_NAMED || !loc->overlay || settle_path_descriptor(call))
        return;   /* also what the kernel will refuse */
    error = view_sync(call->view, loc, call->scratch->given[0].real);
    if (error != VIEW_SYNC_REAL)
        verdict_answer(call, error);
}
