/* place.h - where a link of /proc leads, however long the path is.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_PLACE_H
#define PTOVERLAY_PLACE_H

#include "../../process/object.h"
#include "../../view/view.h"

/* As object_read(), by paths of any length: into real[VIEW_PATH_MAX]. */
int place_read(const char *link, char *real);

#endif
