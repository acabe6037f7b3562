/* answer.h - one notified call, from its receipt to its answer.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_ANSWER_H
#define PTOVERLAY_ANSWER_H

struct worker;

void answer_request(struct worker *worker);

#endif
