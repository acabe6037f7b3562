/* arena.h - one growing block of shared memory, addressed by offsets.
 *
 * The index lives here so that a reader in another process can map it read-only: hence no pointers
 * inside, only offsets from the base.  One writer.  Offset 0 means "none" and is never handed out.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_ARENA_H
#define PTOVERLAY_ARENA_H

#include <stddef.h>
#include <stdint.h>

#define ARENA_UNIT 8u         /* every block is a multiple of this */
#define ARENA_CLASSES 65u     /* free lists for blocks of up to 64 units */

struct arena {
    int fd;                   /* memfd; -1: not open */
    char *base;               /* reserved address range; what is below `size` is backed */
    uint64_t reserved;
    uint64_t size;            /* bytes backed by the file */
    uint64_t used;            /* first byte never handed out */
    uint64_t live;            /* bytes in use */
    uint32_t free[ARENA_CLASSES];
};

/* 0, or -errno of memfd_create(2), mmap(2). */
int arena_open(struct arena *arena);
void arena_close(struct arena *arena);
/* Offset (in units) of a zeroed block, or 0 when memory is exhausted. */
uint32_t arena_alloc(struct arena *arena, size_t size);
void arena_free(struct arena *arena, uint32_t offset, size_t size);

static inline void *arena_at(const struct arena *arena, uint32_t offset) {
    return arena->base + (uint64_t)offset * ARENA_UNIT;
}

#endif
