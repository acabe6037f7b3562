/* super.h - how a view is laid, and within another one.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_VIEW_SUPER_SUPER_H
#define PTOVERLAY_VIEW_SUPER_SUPER_H

#include "../overlay.h"

/* super.c */
/* Makes an overlay of the view by overlay_open(); within: what it then owns, or NULL. */
int overlay_add(pto_view *view, const struct pto_overlay *spec, struct within *within, char *message, size_t size);
/* Writes one line "what: why" for the user; returns error. */
int fail(char *message, size_t size, int error, const char *format, ...) __attribute__((format(printf, 4, 5)));

/* within.c */
void within_free(struct within *within);
/* How marks are read and written in the layers, as the view around has them; after the overlay's own way was chosen. */
void within_set_layers(struct overlay *ovl);
/* The names in the upper and the work directory have changed behind the back of the view around. */
void within_changed(const struct overlay *ovl);

#endif
