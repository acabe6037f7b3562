/* landlock.h - the kernel's own guard behind the trap (landlock(7)).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_LANDLOCK_H
#define PTOVERLAY_LANDLOCK_H

#include "../view/view.h"

/* The ABI of this kernel, 0: none. */
int landlock_abi(void);
/* A ruleset that forbids tracees what the supervisor does for them; for landlock_enter.  opens: the trap opens files
 * for them, else they open and make regular files themselves.  -errno: no guard can be had (-ENOSYS: not on this
 * kernel). */
int landlock_open(pto_view *view, bool opens);
/* Restricts the calling thread for good; async-signal-safe.  Needs no_new_privs or CAP_SYS_ADMIN. */
int landlock_enter(int ruleset);

#endif
