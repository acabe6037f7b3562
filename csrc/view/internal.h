/* internal.h - what the files of the view share among themselves: the headers of its rooms, from the ground up.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_VIEW_INTERNAL_H
#define PTOVERLAY_VIEW_INTERNAL_H

#include "overlay.h"

#include "index/kept.h"
#include "index/stream.h"
#include "layers/layers.h"
#include "upper/upper.h"
#include "walk/walk.h"
#include "ops/ops.h"
#include "super/super.h"

#endif
