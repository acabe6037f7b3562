/* listings.h - directories whose names come in the order of their bytes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_LISTINGS_H
#define PTOVERLAY_LISTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct call;
struct fixed;
struct location;

/* As view_iterate(), of the directory that the tracee has open as its first argument, covered or not; the view is
 * entered. -ENOTDIR, -EACCES…: it cannot be read here. */
ssize_t listings_iterate(struct call *call, const struct location *loc, uint64_t *pos, void *buf, size_t size,
                         bool wide);
void listings_clear(struct fixed *fixed);

#endif
