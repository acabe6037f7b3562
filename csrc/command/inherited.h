/* inherited.h - descriptors of lower files that CMD has from before there was a view.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_INHERITED_H
#define PTOVERLAY_INHERITED_H

#include <sys/types.h>

#include "../view/view.h"

/* Those that this process has and hands on count as opened. */
void inherited_note(pto_view *view, pid_t pid);

#endif
