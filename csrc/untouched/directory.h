/* directory.h - what the parts that learn from calls have in common.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_UNTOUCHED_DIRECTORY_H
#define PTOVERLAY_UNTOUCHED_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct call;
struct location;
struct untouched;
struct view_alone;

/* A path as the stub takes it apart. */
struct split {
    const char *text;
    size_t length, above; /* above: bytes of the directory's text */
    bool relative, alone; /* alone: a name without a directory */
    bool special;         /* the last name is "", "." or ".." */
};
struct split directory_split(const char *text, size_t length);

/* The number of the current directory, which the stub is told, and its path in the view, of PATH_MAX bytes; 0: it is
 * not to be known.  With the view's lock. */
uint32_t directory_current(struct untouched *untouched, struct call *call, char *path);

/* The number of a directory that the lower has at this path of the view, in PATH_MAX bytes; 0: it has none.  With the
 * view's lock. */
uint32_t directory_of_lower(struct untouched *untouched, struct call *call, char *path);

/* Learns of the directory that the call's path begins in, a descriptor that no stub has seen opened, what its path is.
 * With the view's lock. */
void directory_learn_start(struct untouched *untouched, struct call *call);

/* The number of a directory that only the upper has, which the stub is told by its inode, and its path in the view; 0:
 * it is none.  With the view's lock. */
uint32_t directory_own(struct untouched *untouched, const struct location *loc, char *path);
/* The same, and its real path. */
uint32_t directory_find_own(struct untouched *untouched, const struct location *loc, struct view_alone *alone,
                            char *real);

#endif
