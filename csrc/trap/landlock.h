/* landlock.h - the kernel's own guard behind the trap (landlock(7)).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_LANDLOCK_H
#define PTOVERLAY_LANDLOCK_H

#include "../view/view.h"

/* The ABI of this kernel, 0: none. */
int landlock_abi(void);
/* A ruleset that lets tracees change names, and with `data` contents, only where the view says; for landlock_enter.  -errno: no guard can be had (-ENOSYS: not
 * on this kernel, or not for a view that leaves part of the host uncovered). */
int landlock_open(pto_view *view, bool data);
/* Restricts the calling thread for good; async-signal-safe.  Needs no_new_privs or CAP_SYS_ADMIN. */
int landlock_enter(int ruleset);

#endif
