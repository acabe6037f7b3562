/* identity.h - who the supervisor is.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_IDENTITY_H
#define PTOVERLAY_IDENTITY_H

#include <stdbool.h>

#include "../../process/status.h"
#include "../../view/view.h"

struct identity;
struct session;

struct identity *identity_new(void);
void identity_free(struct identity *identity);
/* Has it CAP_SYS_PTRACE, for which no process is closed? */
bool identity_traces_all(const struct session *session);
/* Is a task as it is: what the kernel answers to us, it answers to it? */
bool identity_is(const struct session *session, const struct status *status);
/* May it act for the task as it is itself?  Capabilities in another user namespace are none on the host. */
bool identity_acts_as(const struct session *session, const struct cred *cred);
/* Its own; the groups belong to the session.  False: they are not known. */
bool identity_cred(const struct session *session, struct cred *cred);

#endif
