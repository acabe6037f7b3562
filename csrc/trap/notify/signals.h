/* signals.h - the calls by which a signal handler comes to be that would make calls fail, and a tracer.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_SIGNALS_H
#define PTOVERLAY_SIGNALS_H

#include <stdbool.h>
#include <stdint.h>

#include "../../command/filter.h"

/* What a filter wants to see of them. */
#define SIGNALS_EXTRAS 10
extern const struct filter_extra signals_extras[SIGNALS_EXTRAS];

/* Is this one of them? */
bool signals_traps(int nr, const uint64_t arg[6]);

#endif
