/* early.h - programs that are known to ask much get a stub at their first call.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_UNTOUCHED_EARLY_H
#define PTOVERLAY_UNTOUCHED_EARLY_H

#include <stdbool.h>
#include <stdint.h>

#include "layout.h"

/* What the starts of programs came to, by the numbers of their files in the view: struct history in one word each. */
struct early {
    uint64_t of[STUB_PROGRAMS]; /* atomic */
};

/* The program begins; 0: it has no number.  Is it to get its stub at once?  notes: NULL: there are none yet. */
bool early_begin(struct early *early, const struct stub_notes *notes, uint32_t program);
/* It has made the calls after which any program gets one. */
void early_asked(struct early *early, uint32_t program);
/* What a stub that came early reports by; never 0. */
uint32_t early_report(uint32_t program);

#endif
