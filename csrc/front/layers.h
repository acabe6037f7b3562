/* layers.h - the upper and the work directory of a plain run.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_FRONT_LAYERS_H
#define PTOVERLAY_FRONT_LAYERS_H

#include <limits.h>
#include <stdbool.h>

#include "words.h"

/* top: what holds both and goes away with the run, "" where they are there already; unused: the work directory has
 * nothing yet of what the core makes in it. */
struct front_layers {
    char top[PATH_MAX], upper[PATH_MAX + 8], work[PATH_MAX + 8];
    bool unused;
};

/* Those that the words ask for; false: Python is to look for them, or to make them. */
bool front_layers_find(struct front_layers *layers, const struct words *words);
/* Of a run whose CMD never ran, when its view is freed: the work directory is as it was, unless somebody uses it. */
void front_layers_take_back(const struct front_layers *layers);

#endif
