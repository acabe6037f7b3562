/* places.c - the places that every run has.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stddef.h>

#include "../ptoverlay.h"

/* Of the kernel's own making: never an overlay's business, whatever covers "/".  What root does to all of "/" (rm -r,
 * chown -R) must not take the host's devices away, so names and attributes stay, but where programs make names. */
static const struct {
    int kind;
    const char *path;
} places[] = {
    {PTO_DIRECT, "/proc"},     {PTO_DIRECT, "/sys"},      {PTO_DIRECT, "/dev"},           {PTO_DIRECT, "/dev/mqueue"},
    {PTO_DIRECT, "/dev/pts"},  {PTO_DIRECT, "/dev/shm"},  {PTO_DIRECT, "/sys/fs/cgroup"}, {PTO_PLACE_FIXED, "/proc"},
    {PTO_PLACE_FIXED, "/sys"}, {PTO_PLACE_FIXED, "/dev"},
};

const char *pto_usual_place(int i, int *kind) {
    if (i < 0 || (size_t)i >= sizeof places / sizeof *places)
        return NULL;
    *kind = places[i].kind;
    return places[i].path;
}
