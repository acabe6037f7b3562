/* walk.h - from names to entries, and the names of a directory.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_VIEW_WALK_WALK_H
#define PTOVERLAY_VIEW_WALK_WALK_H

#include "../overlay.h"

/* namei.c */
void fill_location(const pto_view *view, struct overlay *ovl, uint32_t parent, uint32_t d, struct location *loc);

/* readdir.c */
void lists_free(pto_view *view);
void lists_forget(const struct overlay *ovl);
/* 0 when the directory shows nothing but "." and "..", else -ENOTEMPTY. */
int dir_is_empty(struct overlay *ovl, uint32_t d);
/* The names of a directory changed; the other one says so to view_changed(), too. */
void dir_names_changed(const struct overlay *ovl, uint32_t d);
void dir_changed(struct overlay *ovl, uint32_t d);

#endif
