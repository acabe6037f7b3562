/* shown.c - what an object of the upper shows but does not have: the identity from before its copy-up and, for
 * an ordinary user, an owner, mode and device number that could not be set.
 *
 * A table by the upper's inode number, open addressing.  It is filled when an object is copied up or first looked up.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>

#include "index.h"

#define FIRST_SIZE 64u

static size_t slot_of(const struct shown_table *table, uint64_t ino) {
    size_t at = (size_t)((ino * 0x9e3779b97f4a7c15ull) >> 20) & (table->size - 1);
    while (table->slots[at].upper_ino && table->slots[at].upper_ino != ino)
        at = (at + 1) & (table->size - 1);
    return at;
}

const struct shown *shown_find(const struct shown_table *table, uint64_t upper_ino) {
    if (table->count == 0)
        return NULL;
    const struct shown *shown = &table->slots[slot_of(table, upper_ino)];
    return shown->upper_ino ? shown : NULL;
}

static int grow_table(struct shown_table *table) {
    struct shown_table larger = {.size = table->size ? table->size * 2 : FIRST_SIZE, .count = table->count};
    larger.slots = calloc(larger.size, sizeof *larger.slots);
    if (!larger.slots)
        return -ENOMEM;
    for (size_t i = 0; i < table->size; i++)
        if (table->slots[i].upper_ino)
            larger.slots[slot_of(&larger, table->slots[i].upper_ino)] = table->slots[i];
    free(table->slots);
    *table = larger;
    return 0;
}

int shown_set(struct shown_table *table, const struct shown *shown) {
    if (table->count * 2 >= table->size) {
        int error = grow_table(table);
        if (error)
            return error;
    }
    struct shown *slot = &table->slots[slot_of(table, shown->upper_ino)];
    if (!slot->upper_ino)
        table->count++;
    *slot = *shown;
    return 0;
}

/* Deletion with open addressing: what follows in the same run is put in again. */
void shown_drop(struct shown_table *table, uint64_t upper_ino) {
    if (table->count == 0)
        return;
    size_t at = slot_of(table, upper_ino);
    if (!table->slots[at].upper_ino)
        return;
    table->slots[at].upper_ino = 0;
    table->count--;
    for (at = (at + 1) & (table->size - 1); table->slots[at].upper_ino; at = (at + 1) & (table->size - 1)) {
        struct shown moved = table->slots[at];
        table->slots[at].upper_ino = 0;
        table->slots[slot_of(table, moved.upper_ino)] = moved;
    }
}
