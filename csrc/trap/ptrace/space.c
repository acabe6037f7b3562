/* space.c - scratch memory inside the tracees.
 *
 * The rule to keep: an area belongs to one call from space_take to space_release; other threads of the same
 * address space have calls of their own under way.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <stdlib.h>

#include "../inject.h"
#include "space.h"

struct space *space_new(void) {
    struct space *space = calloc(1, sizeof *space);
    if (space)
        space->users = 1;
    return space;
}

struct space *space_share(struct space *space) {
    space->users++;
    return space;
}

struct area *space_add(struct space *space, uint64_t address, size_t size, bool read_only) {
    struct area *area = malloc(sizeof *area);
    if (!area)
        return NULL;
    *area =
        (struct area){.next = space->areas, .address = address, .size = size, .read_only = read_only, .taken = true};
    space->areas = area;
    return area;
}

struct space *space_copy(const struct space *space) {
    struct space *copy = space_new();
    if (!copy)
        return NULL;
    for (const struct area *area = space->areas; area; area = area->next) {
        struct area *same = space_add(copy, area->address, area->size, area->read_only);
        if (!same) {
            space_drop(copy);
            return NULL;
        }
        same->taken = false;
    }
    return copy;
}

void space_drop(struct space *space) {
    if (!space || --space->users)
        return;
    while (space->areas) {
        struct area *next = space->areas->next;
        free(space->areas);
        space->areas = next;
    }
    free(space);
}

struct area *space_take(struct space *space, size_t size, bool read_only, bool compat) {
    for (struct area *area = space->areas; area; area = area->next) {
        if (area->taken || area->read_only != read_only || area->size < size ||
            !inject_reaches(compat, area->address, area->size))
            continue;
        area->taken = true;
        return area;
    }
    return NULL;
}

void space_release(struct area *area) {
    if (area)
        area->taken = false;
}
