/* known.h - what is passed of the calls that are many in one.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_KNOWN_H
#define PTOVERLAY_KNOWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Values of an argument's low 32 bits. */
struct known_values {
    const uint32_t *values;
    size_t n;
    const uint8_t *types;   /* and all those of which one of these is byte 1: an ioctl's type */
    size_t n_types;
};
bool known_holds(const struct known_values *known, uint32_t value);

extern const struct known_values known_requests;    /* ioctl */
extern const uint32_t known_to_grow[];              /* … of which files may get longer; ended by 0 */
extern const struct known_values known_commands;    /* fcntl */
extern const struct known_values known_options;     /* prctl */
extern const struct known_values known_keys;        /* keyctl */
extern const struct known_values known_bpf;
extern const struct known_values known_families;    /* socket */

/* A request of a type that file systems have: of one that is not known it is not even asked what it goes to. */
bool known_is_of_files(uint32_t request);

#endif
