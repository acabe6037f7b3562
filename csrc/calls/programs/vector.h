/* vector.h - where the auxiliary vector of a program lies that is about to begin (getauxval(3)).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_VECTOR_H
#define PTOVERLAY_VECTOR_H

#include <elf.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../../process/memory.h"

struct vector {
    struct memory memory;
    bool narrow;            /* it is a 32-bit program's */
    uint64_t at;            /* of the entry that vector_next() has read */
    unsigned left;          /* entries that may follow */
    Elf64_auxv_t entry;
};
void vector_begin(struct vector *vector, pid_t tid, bool narrow);
/* False: that was the last one, or it is not known where they are. */
bool vector_next(struct vector *vector);
/* The entry as it has been changed.  A failure leaves the kernel's. */
void vector_put(const struct vector *vector);

#endif
