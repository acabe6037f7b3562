/* statfs.c - statfs and fstatfs.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/statfs.h>

#include "../../process/object.h"
#include "../../view/view.h"
#include "../args.h"
#include "../call.h"
#include "../settle.h"
#include "../verdict.h"
#include "handlers.h"

/* A file system answers for all that is in it, also where the kernel would find the same object by itself. */
static struct location *find_filesystem(struct call *call) {
    struct target target;
    int error = args_resolve(call, &target);
    bool named = !target.by_fd || (target.kind == OBJECT_NAMED && !target.loc->detached);
    if (error == 0 && named && target.loc->overlay)
        target.pass = false;
    return settle_read(call, error, &target);
}

void do_statfs(struct call *call) {
    struct statfs buffer;
    struct location *loc = find_filesystem(call);
    if (!loc)
        return;
    memset(&buffer, 0, sizeof buffer);
    int error = view_statfs(call->view, loc, &buffer);
    if (error < 0)
        return verdict_answer(call, error);
    verdict_answer_bytes(call, call->arg[args_after(call)], &buffer, sizeof buffer, 0);
}
