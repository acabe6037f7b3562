/* scoped.h - path resolution with the RESOLVE_* flags of openat2(2).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_SCOPED_H
#define PTOVERLAY_SCOPED_H

#include <stdint.h>

struct call;

/* Walks the path that args_fetch() and args_fetch_directory() have read as first operand, within what resolve allows,
 * into the scratch's first location; flags: WALK_FOLLOW, WALK_PARENT.  The view must be entered.  Beside view_walk()'s
 * errors -EXDEV: the path leaves its scope or the file system; -ELOOP: a symlink that is not allowed.  SCOPED_REMOVED:
 * it leads to the directory where it begins, which is removed and has no location. */
#define SCOPED_REMOVED 1
int scoped_walk(struct call *call, uint64_t resolve, unsigned flags);

#endif
