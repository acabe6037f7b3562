/* nest_mounts.c - mount namespaces of programs: nests without an owner, which end with the last of their members.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>

#include "../../view/view.h"
#include "../call.h"
#include "../scratch.h"
#include "../session.h"
#include "clones.h"
#include "nest.h"
#include "nests.h"
#include "task.h"

/* The root that the call's process has, in the new one.  0, -ENOMEM. */
static int keep_root(struct call *call, struct nest *nest) {
    pto_view *around = call->view;
    nest->begins_as = nest->mark;
    if (!call->root)
        return 0;
    call->view = nest->view;
    struct nest *root = nests_new_root(call, nest, call->root);
    call->view = around;
    if (!root)
        return -ENOMEM;
    nest->begins_as = root->mark;
    nests_put(root);
    return 0;
}

int nest_unshare(struct call *call, bool locked) {
    struct session *session = call->session;
    nests_sweep(session);
    int error = nests_choose_mark(session);
    if (error)
        return error;
    struct nest *nest = calloc(1, sizeof *nest);
    if (!nest)
        return -ENOMEM;
    *nest = (struct nest){.session = session, .parent = call->nest, .pidfd = -1, .wake = -1, .begins = true};
    if (call->nest && call->nest->root)
        nest->parent = call->nest->parent;
    nest->flags = nest->parent ? nest->parent->flags : 0;
    nest->view = view_mounts(call->view, locked);
    if (!nest->view) {
        free(nest);
        return -EPERM;
    }
    (void)nests_enlist(nest);
    call->scratch->made = nest;
    error = keep_root(call, nest);
    if (error)
        nest_made_end(call, false);
    return error;
}

uint64_t nest_made(const struct call *call) {
    return call->scratch->made->begins_as;
}

void nest_made_end(struct call *call, bool stays) {
    struct nest *nest = call->scratch->made;
    call->scratch->made = NULL;
    call->task->child_mark = 0;
    clones_end(call);
    if (!nest)
        return;
    __atomic_store_n(&nest->begins, false, __ATOMIC_SEQ_CST);
    if (!stays && !__atomic_exchange_n(&nest->empty, true, __ATOMIC_SEQ_CST)) {
        nests_put_roots(nest);
        nests_put(nest);
    }
    nests_put(nest);
}
