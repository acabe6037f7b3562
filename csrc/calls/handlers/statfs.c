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
#include "../compat_layout.h"
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

#define STATFS64_SIZE 84u       /* of i386's structure, which the call is told */

static void answer_compat(struct call *call, const struct statfs *buffer) {
    char out[COMPAT_LAYOUT_MAX];
    unsigned arg = args_after(call) + (call->compat == COMPAT_STATFS64 ? 1 : 0);
    int size = compat_statfs(call->compat, buffer, out);
    if (size < 0)
        return verdict_answer(call, size);
    verdict_answer_bytes(call, call->arg[arg], out, (size_t)size, 0);
}

void do_statfs(struct call *call) {
    struct statfs buffer;
    if (call->compat == COMPAT_STATFS64 && call->arg[1] != STATFS64_SIZE)
        return verdict_answer(call, -EINVAL);
    struct location *loc = find_filesystem(call);
    if (!loc)
        return;
    memset(&buffer, 0, sizeof buffer);
    int error = view_statfs(call->view, loc, &buffer);
    if (error < 0)
        return verdict_answer(call, error);
    if (call->compat)
        return answer_compat(call, &buffer);
    verdict_answer_bytes(call, call->arg[args_after(call)], &buffer, sizeof buffer, 0);
}
