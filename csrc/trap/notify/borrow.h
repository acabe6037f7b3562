/* borrow.h - execve and chdir by a task that a debugger traces.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_BORROW_H
#define PTOVERLAY_BORROW_H

#include "notify.h"

/* Ends the call and answers it if it can be done; false: it cannot, and nothing has happened. */
bool borrow_run(struct worker *worker, struct caller *caller);

#endif
