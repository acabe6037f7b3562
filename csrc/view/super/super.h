/* super.h - how a view comes to be: overlays laid in it, and views within it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_VIEW_SUPER_SUPER_H
#define PTOVERLAY_VIEW_SUPER_SUPER_H

#include "../layers/layers.h"

/* stacked.c */
/* A layer of the view around. */
struct source {
    char *root;
    const char *prefix;
    size_t base;
    unsigned group_end;
};
/* What an overlay is laid with whose layers are in the view around. */
struct stacked {
    pto_view *view;         /* in which the overlay is laid */
    char *escaped;          /* prefix of what is laid in it; NULL: no layer is covered by the view around */
    size_t root_prefix;
    bool upper_covered;
    char *upper, *work;     /* their paths in the view around, NULL: none */
    unsigned n_sources, n_data;
    struct source sources[LOWERS_MAX];
    const char *roots[LOWERS_MAX];
};
void stacked_free(struct stacked *stacked);
/* How marks are read and written in the layers, as the view around has them; after the overlay's own way was chosen. */
void stacked_set_layers(struct overlay *ovl);
/* The names in the upper and the work directory have changed behind the back of the view around. */
void stacked_changed(const struct overlay *ovl);

/* super.c */
#define VOLATILE_MARK "incompat/volatile" /* below <work>/work, as the kernel names it */
/* Lets others have the upper: another run, the view around. */
void super_release_overlay(struct overlay *ovl);
void super_free_overlay(struct overlay *ovl);
/* Frees overlays that have been replaced (relay.c) and that nobody uses any more. */
void view_free_retired(pto_view *view);

/* lay.c */
/* Lays an overlay in the view; stacked: what it then owns, or NULL. */
int lay_overlay(pto_view *view, const struct pto_overlay *spec, struct stacked *stacked, char *message, size_t size);
/* Writes one line "what: why" for the user; returns error. */
int lay_fail(char *message, size_t size, int error, const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
