/* magic.h - the links of /proc that lead to an object and not along a path.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_MAGIC_H
#define PTOVERLAY_MAGIC_H

#include <stdbool.h>
#include <sys/types.h>

struct call;

int magic_link(void *arg, const char *link, char *target);
/* Text that readlink of a magic link shows in the view, into out[VIEW_PATH_MAX]; 0: it is no such link. -errno. */
int magic_text(struct call *call, const char *link, char *out);
/* From a real path, without " (deleted)", to what the view has there, both in path[VIEW_PATH_MAX]; *kind:
 * OBJECT_NAMED or OBJECT_DELETED; *same: the kernel comes to the same object by that path.  -errno. */
int magic_shown(struct call *call, char *path, int *kind, bool *same);

/* A path of the view becomes the one that the task of the call knows: from its own root.  False: it is not below
 * that, and stays. */
bool magic_from_root(const struct call *call, char *path);

#endif
