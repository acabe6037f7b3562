/* mapping.h - the files by which a user namespace gets its ids.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_MAPPING_H
#define PTOVERLAY_MAPPING_H

#include <stdbool.h>

struct call;
struct location;

/* Is it /proc/PID/uid_map, gid_map, projid_map or setgroups, while there may be such namespaces? */
bool mapping_is_of(const struct call *call, const struct location *loc);
/* Opened as the task would: a descriptor of ours, or -errno. */
int mapping_open(const struct call *call, const char *path, int flags);

#endif
