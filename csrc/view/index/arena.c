/* arena.c - the shared-memory block that the index lives in.
 *
 * Rule: the base address never changes while the arena is open, so pointers from arena_at() stay valid;
 * only the backed part of the reserved range grows.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "arena.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* With AddressSanitizer a block that is not handed out is out of bounds, as one of malloc's. */
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define CLOSE_MEMORY(at, size) ASAN_POISON_MEMORY_REGION(at, size)
#define OPEN_MEMORY(at, size) ASAN_UNPOISON_MEMORY_REGION(at, size)
#else
#define CLOSE_MEMORY(at, size) (void)(at), (void)(size)
#define OPEN_MEMORY(at, size) (void)(at), (void)(size)
#endif

/* 2^32 units of 8 bytes; address space only, memory is taken as it is used. */
#define ARENA_RESERVE (1ull << 35)
#define ARENA_STEP (1ull << 20)

int arena_open(struct arena *arena) {
    memset(arena, 0, sizeof *arena);
    arena->fd = memfd_create("ptoverlay-index", MFD_CLOEXEC);
    if (arena->fd < 0)
        return -errno;
    for (arena->reserved = ARENA_RESERVE; arena->reserved >= (1ull << 28); arena->reserved /= 2) {
        void *base = mmap(NULL, arena->reserved, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, arena->fd, 0);
        if (base != MAP_FAILED) {
            arena->base = base;
            arena->used = ARENA_UNIT;
            return 0;
        }
    }
    int error = -errno;
    close(arena->fd);
    arena->fd = -1;
    return error;
}

void arena_close(struct arena *arena) {
    if (arena->base) {
        OPEN_MEMORY(arena->base, arena->size);
        munmap(arena->base, arena->reserved);
    }
    if (arena->fd >= 0)
        close(arena->fd);
    arena->base = NULL;
    arena->fd = -1;
}

/* Backs the file up to `end`; doubling keeps the number of system calls small. */
static int arena_grow(struct arena *arena, uint64_t end) {
    uint64_t size = arena->size ? arena->size : ARENA_STEP;
    while (size < end)
        size += size < (64u << 20) ? size : (64u << 20);
    if (size > arena->reserved)
        return -ENOMEM;
    if (ftruncate(arena->fd, (off_t)size) < 0)
        return -errno;
    CLOSE_MEMORY(arena->base + arena->size, size - arena->size);
    arena->size = size;
    return 0;
}

uint32_t arena_alloc(struct arena *arena, size_t size) {
    uint64_t units = (size + ARENA_UNIT - 1) / ARENA_UNIT;
    uint32_t offset = units < ARENA_CLASSES ? arena->free[units] : 0;
    if (offset) {
        OPEN_MEMORY(arena_at(arena, offset), units * ARENA_UNIT);
        memcpy(&arena->free[units], arena_at(arena, offset), sizeof(uint32_t));
        memset(arena_at(arena, offset), 0, units * ARENA_UNIT);
    } else {
        uint64_t end = arena->used + units * ARENA_UNIT;
        if (end > arena->size && arena_grow(arena, end) < 0)
            return 0;
        offset = (uint32_t)(arena->used / ARENA_UNIT);
        OPEN_MEMORY(arena_at(arena, offset), units * ARENA_UNIT);
        arena->used = end;
    }
    arena->live += units * ARENA_UNIT;
    return offset;
}

void arena_free(struct arena *arena, uint32_t offset, size_t size) {
    uint64_t units = (size + ARENA_UNIT - 1) / ARENA_UNIT;
    if (!offset)
        return;
    arena->live -= units * ARENA_UNIT;
    if (units < ARENA_CLASSES) {   /* rare: large blocks are grown hash tables, and lost at most twice over */
        memcpy(arena_at(arena, offset), &arena->free[units], sizeof(uint32_t));
        arena->free[units] = offset;
    }
    CLOSE_MEMORY(arena_at(arena, offset), units * ARENA_UNIT);
}
