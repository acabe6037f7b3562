/* space.h - scratch memory inside the tracees, where replaced arguments are placed.
 *
 * The stack is no place for them: a goroutine's or an alternate signal stack may end right below the stack
 * pointer, and with vfork and CLONE_VM it is somebody else's too.  So a tracee is made to map its own area, once,
 * and the areas of one address space are shared by all tasks that share it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_SPACE_H
#define PTOVERLAY_SPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Memory mapped in a tracee; taken by one call at a time. */
struct area {
    struct area *next;
    uint64_t address;
    size_t size;
    bool read_only;     /* to all but the supervisor */
    bool taken;
};

/* One address space (mm_struct of the kernel), counted by its tasks. */
struct space {
    unsigned users;
    struct area *areas;
};

struct space *space_new(void);                          /* one user; NULL: no memory */
struct space *space_share(struct space *space);         /* clone with CLONE_VM */
struct space *space_copy(const struct space *space);    /* fork: the same areas, all free; NULL: no memory */
void space_drop(struct space *space);                   /* one user less; NULL is fine */

/* A free area of at least size bytes, now taken; NULL: one must be mapped. */
struct area *space_take(struct space *space, size_t size, bool read_only, bool compat);
/* Adds a mapped area, taken; NULL: no memory. */
struct area *space_add(struct space *space, uint64_t address, size_t size, bool read_only);
void space_release(struct area *area);                   /* NULL is fine */

#endif
