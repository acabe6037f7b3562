/* kept.h - what an object of the upper shows and does not have.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_VIEW_INDEX_KEPT_H
#define PTOVERLAY_VIEW_INDEX_KEPT_H

#include "../overlay.h"

/* kept.c */
const struct kept *kept_find(const struct overlay *ovl, uint64_t upper_ino);
int kept_set(struct overlay *ovl, const struct kept *kept);
void kept_drop(struct overlay *ovl, uint64_t upper_ino);

#endif
