/* sharers.h - the runs that share a view.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_SHARERS_H
#define PTOVERLAY_SHARERS_H

#include "../command/run.h"

/* The run is one of its view's from here to sharers_leave(), as long as its session is whole.  True: the first one,
 * and none had come before. */
bool sharers_enter(struct run *run);
void sharers_leave(struct run *run);
/* Whether its layers can change: not while another run is inside of one of these. */
bool sharers_can_change(const pto_view *view);
/* They do: programs answer nothing themselves any more. */
void sharers_stop_answers(const pto_view *view);

#endif
