/* objects.h - the numbers and times of files that a build is told.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_FIXED_OBJECTS_H
#define PTOVERLAY_FIXED_OBJECTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct call;
struct fixed;
struct statx;

/* From the attributes that the view shows to those that are told.  covered: by an overlay; all of these lie on one
 * device, for which file system a tree happens to lie on is no input. */
void objects_show(struct fixed *fixed, struct statx *stx, bool covered);
/* The number that an object is told to have. */
uint64_t objects_number(struct fixed *fixed, dev_t dev, uint64_t ino);
/* The call was decided: what it has changed is newer than all else. */
void objects_changed(struct call *call);
void objects_clear(struct fixed *fixed);

#endif
