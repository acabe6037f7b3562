/* walk.h - from names to entries, and the names of a directory.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_VIEW_WALK_WALK_H
#define PTOVERLAY_VIEW_WALK_WALK_H

#include "../layers/overlay.h"

/* namei.c */
void namei_fill(const pto_view *view, struct overlay *ovl, uint32_t parent, uint32_t d, struct location *loc);

/* steps.c */
/* From an entry down a path without symlinks. -ENOENT: there is nothing. */
int walk_descend(struct overlay *ovl, uint32_t *d, const char *path);
/* May who asks follow the symlink at the end of path (d of ovl, or NULL: the host's)? 0, or -EACCES. */
int walk_may_follow(pto_view *view, struct overlay *ovl, uint32_t d, const char *path, const struct cred *cred);

/* readdir.c */
void readdir_free(pto_view *view);
void readdir_forget(const struct overlay *ovl);
/* 0 when the directory shows nothing but "." and "..", else -ENOTEMPTY. */
int readdir_is_empty(struct overlay *ovl, uint32_t d);
/* The names of a directory changed; the other one says so to view_changed(), too. */
void readdir_names_changed(const struct overlay *ovl, uint32_t d);
void readdir_changed(struct overlay *ovl, uint32_t d);

#endif
