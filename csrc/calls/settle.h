/* settle.h - the verdicts that calls have in common which read, and which change something.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_SETTLE_H
#define PTOVERLAY_SETTLE_H

#include <stdbool.h>

struct call;
struct location;
struct target;

/* What a reading call of an uncovered place gets: PASS, or the same call with its canonical path. */
void settle_host(struct call *call, unsigned i, struct location *loc);
/* The overlay place that a reading call asks about, the view entered; NULL: the verdict is there. */
struct location *settle_reading(struct call *call);
/* The same for a target that has been walked, with what the walk returned. */
struct location *settle_read(struct call *call, int error, const struct target *target);
/* The f… calls take no O_PATH descriptor (AT_EMPTY_PATH does). True: the verdict is there. */
bool settle_path_descriptor(struct call *call);
/* The place that a call changes, as settle_change(), the view entered; NULL: the verdict is there. */
struct location *settle_changing(struct call *call);
/* Settles a hidden place and errors of the walk, for a change of target.  What is returned has an overlay, or is on
 * the host and held by us (host_held()), an object without a name too. */
struct location *settle_change(struct call *call, unsigned i, int error, const struct target *target);

#endif
