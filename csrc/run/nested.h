/* nested.h - a run inside a run: the supervisor of the one around serves CMD.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_NESTED_H
#define PTOVERLAY_NESTED_H

#include "../command/run.h"

/* As ptrace_run(), for a run whose `nested` is set. */
int nested_run(struct run *run);
/* A process in this nest, 0: none is left, or -errno; SIGKILL to all of them. */
long nested_member(uint32_t nested);
void nested_kill(uint32_t nested);
uint32_t nested_id(const pto_nested *nested);

#endif
