/* clock.h - what time it is.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_CLOCK_H
#define PTOVERLAY_CLOCK_H

#include <stdint.h>
#include <time.h>

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t clock_now(void);
/* A time that far away, for functions of pthread.h that wait until then. */
struct timespec clock_in(long nanoseconds);

#endif
