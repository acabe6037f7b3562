/* session.c - what all tasks of one run share, from the first call to the last.
 *
 * Rule: the scratch of a call that ended is used again, so a call that changes nothing allocates nothing.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "../arch/arch.h"
#include "../ptoverlay.h"
#include "../view/view.h"
#include "fixed/fixed.h"
#include "handlers/watches.h"
#include "host/host.h"
#include "programs/programs.h"
#include "scratch.h"
#include "session.h"
#include "shown/sockets.h"
#include "tasks/cwd.h"
#include "tasks/common.h"
#include "tasks/identity.h"
#include "tasks/nest.h"
#include "tasks/seen.h"

bool session_compat(const struct session *session) {
    return ARCH_COMPAT && !(session->features & PTO_FEATURE_BUILD);
}

struct call_scratch *session_take_scratch(struct session *session) {
    lock_take(&session->lock);
    struct call_scratch *scratch = session->scratch;
    if (scratch)
        session->scratch = scratch->next;
    lock_leave(&session->lock);
    if (!scratch)
        scratch = malloc(sizeof *scratch);
    if (!scratch)
        return NULL;
    scratch->entered = false;
    scratch->exec_patch = false;
    scratch->short_name = -1;
    scratch->reach.count = 0;
    scratch->cred = NULL;
    scratch->generation = NULL;
    scratch->pending = NULL;
    scratch->writing = false;
    scratch->growth = NULL;
    scratch->plan.fd = -1;
    scratch->link = NULL;
    scratch->attribute = NULL;
    scratch->value_size = 0;
    scratch->touches = false;
    scratch->made = NULL;
    scratch->host[0] = scratch->host[1] = (struct host){.dir = -1, .object = -1};
    scratch->owned[0] = scratch->owned[1] = NULL;
    return scratch;
}

void session_give_scratch(struct session *session, struct call_scratch *scratch) {
    lock_take(&session->lock);
    scratch->next = session->scratch;
    session->scratch = scratch;
    lock_leave(&session->lock);
}

bool session_looks_closer(const struct session *session) {
    return session->inputs || session->fixed || seen_wanted(session);
}

void session_init(struct session *session, pto_view *view) {
    memset(session, 0, sizeof *session);
    session->view = view;
    session->message_fd = -1;
    session->umask_generation = 1;
    session->cwd_generation = 1;
    session->identity = identity_new();
    session->securebits = prctl(PR_GET_SECUREBITS) != 0;
    (void)lock_init(&session->lock);
    sockets_begin();
}

void session_clear(struct session *session) {
    while (session->scratch) {
        struct call_scratch *scratch = session->scratch;
        session->scratch = scratch->next;
        free(scratch);
    }
    nest_clear(session);
    seen_clear(session);
    sockets_end();
    programs_clear(session);
    cwd_clear(session);
    watches_clear(session);
    fixed_free(session->fixed);
    session->fixed = NULL;
    common_clear(session);
    identity_free(session->identity);
    session->identity = NULL;
    lock_destroy(&session->lock);
}
