/* faked.h - calls by which a program asks who it is and becomes somebody else, as a fake root sees them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_FAKED_H
#define PTOVERLAY_FAKED_H

#include <stdbool.h>
#include <stdint.h>

#include "../args.h"
#include "../table.h"

struct statx;

/* What a row's detail says. */
#define FAKED_GROUP 16          /* of gids, not of uids */
enum faked_call {
    FAKED_GET_REAL,
    FAKED_GET_EFFECTIVE,
    FAKED_GET_ALL,
    FAKED_GET_GROUPS,
    FAKED_SET,
    FAKED_SET_RE,
    FAKED_SET_RES,
    FAKED_SET_FS,
    FAKED_SET_GROUPS,
    FAKED_SET_CAPS,
};

handler_fn do_faked_get, do_faked_caps, do_faked_peer;
extern const uint32_t faked_socket_options[];   /* of getsockopt(2), for do_faked_peer(); ended by 0 */
/* The set*id calls, setgroups and capset: false where the run has no fake root. */
bool faked_set(struct call *call);
/* The options of prctl(2) about capabilities: false where the run has no fake root, or for other options. */
bool faked_prctl(struct call *call);
extern const uint32_t faked_options[];  /* those that a plain run passes, ended by 0 */
/* stat(2) of anything that args_resolve() has found, or not (error), with the owner that is seen.  False: the verdict
 * is there. */
bool faked_attributes(struct call *call, int error, const struct target *target, struct statx *stx);
/* What only root may look into is made ready to be entered, and no longer passed then. */
int faked_ready(struct call *call, int error, struct target *target);
/* After the credentials, of a program that may be executed: 1 when the task will see others then, 0, or -errno. */
int faked_execute(struct call *call, const struct location *loc);
/* What has been executed is told who it is.  In a run with a fake root.  narrow: it is a 32-bit program. */
void faked_started(struct call *call, bool narrow);

#endif
