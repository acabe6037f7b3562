/* identity.c - who the supervisor is: the credentials that a task may have in common with it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>

#include "../../process/status.h"
#include "../../view/view.h"
#include "../session.h"
#include "identity.h"

struct identity {
    struct status status;
    bool known;
};

struct identity *identity_new(void) {
    struct identity *identity = calloc(1, sizeof *identity);
    if (identity)
        identity->known = status_read("/proc/thread-self/status", &identity->status) == 0;
    return identity;
}

void identity_free(struct identity *identity) {
    if (identity)
        free(identity->status.groups);
    free(identity);
}

bool identity_cred(const struct session *session, struct cred *cred) {
    const struct identity *identity = session->identity;
    if (!identity || !identity->known)
        return false;
    const struct status *own = &identity->status;
    *cred = (struct cred){
        .own = true,
        .fsuid = own->uid[3],
        .fsgid = own->gid[3],
        .caps = own->effective,
        .umask = own->umask,
        .ngroups = own->ngroups,
        .groups = own->groups,
    };
    return true;
}

bool identity_traces_all(const struct session *session) {
    const struct identity *identity = session->identity;
    return identity && identity->known && identity->status.effective & (1ull << CAP_SYS_PTRACE);
}

/* Are these the supervisor's own? */
static bool are_own(const struct session *session, uid_t fsuid, gid_t fsgid, uint64_t effective, const gid_t *groups,
                    size_t ngroups) {
    if (!session->identity || !session->identity->known)
        return false;
    const struct status *own = &session->identity->status;
    return fsuid == own->uid[3] && fsgid == own->gid[3] && effective == own->effective && ngroups == own->ngroups &&
           (ngroups == 0 || memcmp(groups, own->groups, ngroups * sizeof *groups) == 0);
}

bool identity_acts_as(const struct session *session, const struct cred *cred) {
    return are_own(session, cred->fsuid, cred->fsgid, cred->ids ? 0 : cred->caps, cred->groups, cred->ngroups);
}

bool identity_is(const struct session *session, const struct status *status) {
    return are_own(session, status->uid[3], status->gid[3], status->effective, status->groups, status->ngroups);
}
