/* stub.h - the code that runs inside of tracees, as bytes (image.c, which build.py writes).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_UNTOUCHED_STUB_H
#define PTOVERLAY_UNTOUCHED_STUB_H

#include <stddef.h>

#include "layout.h"

/* Begins with struct stub_head.  Size 0: this machine has none. */
extern const unsigned char stub_image[];
extern const size_t stub_image_size;

static inline const struct stub_head *stub_head(void) {
    return (const struct stub_head *)(const void *)stub_image;
}

#endif
