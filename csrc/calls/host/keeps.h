/* keeps.h - what the host keeps as it is.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_KEEPS_H
#define PTOVERLAY_KEEPS_H

#include <stdbool.h>

struct call;
struct call_scratch;
struct location;

/* Answers when the host's object, or with `makes` the name, must stay as it is: a read-only or fixed place. */
bool host_keeps(struct call *call, const struct location *loc, bool makes);
/* The call sets file capabilities that mean nothing, which is EINVAL for everybody. */
bool keeps_no_capability(const struct call_scratch *scratch);
/* A name that proc does not have: it says so before anything else is looked at. */
bool keeps_no_name(const struct location *loc);

#endif
