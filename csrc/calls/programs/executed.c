/* executed.c - programs that were passed to execve(2) as they lie in a lower: most are executed again and again.
 *
 * Rule: what is in a lower does not change, and where its interpreter is found only with view_changes().  Who may
 * execute it the kernel says, since the call is passed.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "executed.h"

#include <sys/stat.h>

#include "../call.h"
#include "../session.h"

static struct executed *entry_of(const struct call *call, const struct location *loc) {
    struct session *session = call->session;
    bool may = loc->pass && loc->overlay && !loc->upper && !loc->hidden && loc->type == S_IFREG && !call->nest &&
               !call->compat && !session_looks_closer(session);
    return may ? &session->executed[loc->dentry % EXECUTED_PROGRAMS] : NULL;
}

void executed_keep(const struct call *call, const struct location *loc, bool plain) {
    struct executed *entry = entry_of(call, loc);
    if (entry)
        *entry = (struct executed){loc->changes, loc->dentry, plain};
}

bool executed_find(const struct call *call, const struct location *loc, bool *plain) {
    const struct executed *entry = entry_of(call, loc);
    if (!entry || entry->dentry != loc->dentry || entry->changes != loc->changes)
        return false;
    *plain = entry->plain;
    return true;
}
