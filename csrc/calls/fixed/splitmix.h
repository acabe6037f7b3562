/* splitmix.h - numbers that follow from a seed: Steele, Lea and Flood, "Fast splittable pseudorandom number generators"
 * (2014), SplitMix64.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_SPLITMIX_H
#define PTOVERLAY_SPLITMIX_H

#include <stdint.h>

/* The next one of the stream whose state this is. */
static inline uint64_t splitmix_next(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* A number that is made of this one, and does not show it. */
static inline uint64_t splitmix_of(uint64_t number) {
    return splitmix_next(&number);
}

#endif
