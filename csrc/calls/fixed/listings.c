/* listings.c - directories whose names come in the order of their bytes, or in another one that is always the same.
 *
 * Rules: who begins to read a directory gets a list of what is in it then, and reads it to its end whatever is made and
 * removed meanwhile, as readdir(3) allows; a position is the list's number and an entry's place in it, so that it means
 * the same to whoever holds it.  A list that was dropped, because many others were begun since, is made anew.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "../../process/descriptor.h"
#include "../../view/view.h"
#include "../call.h"
#include "../session.h"
#include "../tasks/task.h"
#include "fixed.h"
#include "listings.h"
#include "objects.h"

#define LISTINGS_MAX 512u
#define PIECE 65536u        /* bytes that are read at once */

struct listing {
    struct listing *next;
    uint32_t number;
    uint32_t count, room;
    struct dirent64 **entries;
};

/* ---- positions ---- */

/* Bits of an entry's place; the number of the list stands above them, and above it the base. */
static unsigned place_bits(uint64_t pos) {
    return pos >= VIEW_POSITIONS ? 24 : 17;
}

static uint64_t base_of(uint64_t pos) {
    return pos >= VIEW_POSITIONS ? VIEW_POSITIONS : VIEW_POSITIONS_NEAR;
}

static uint32_t number_of(uint64_t pos) {
    return (uint32_t)((pos - base_of(pos)) >> place_bits(pos));
}

static uint32_t place_in(uint64_t pos) {
    return (uint32_t)(pos & ((1u << place_bits(pos)) - 1));
}

/* Numbers begin with 1, so that no place has the position of a stream that begins. */
static uint32_t next_number(struct fixed *fixed) {
    fixed->last_listing = fixed->last_listing % 4000u + 1;
    return fixed->last_listing;
}

/* ---- lists ---- */

static void listing_free(struct listing *listing) {
    for (uint32_t i = 0; i < listing->count; i++)
        free(listing->entries[i]);
    free(listing->entries);
    free(listing);
}

void listings_clear(struct fixed *fixed) {
    while (fixed->listings) {
        struct listing *listing = fixed->listings;
        fixed->listings = listing->next;
        listing_free(listing);
    }
}

static int listing_add(struct listing *listing, const struct dirent64 *entry) {
    if (listing->count == listing->room) {
        uint32_t room = listing->room ? 2 * listing->room : 64;
        struct dirent64 **entries = realloc(listing->entries, room * sizeof *entries);
        if (!entries)
            return -ENOMEM;
        listing->entries = entries;
        listing->room = room;
    }
    struct dirent64 *copy = malloc(entry->d_reclen);
    if (!copy)
        return -ENOMEM;
    listing->entries[listing->count++] = memcpy(copy, entry, entry->d_reclen);
    return 0;
}

static int add_all(struct listing *listing, const char *bytes, ssize_t length) {
    int error = 0;
    for (ssize_t at = 0; at < length && !error;) {
        const struct dirent64 *entry = (const struct dirent64 *)(const void *)(bytes + at);
        error = listing_add(listing, entry);
        at += entry->d_reclen;
    }
    return error;
}

static int read_overlay(const struct call *call, const struct location *loc, struct listing *listing, char *bytes) {
    uint64_t at = VIEW_POSITIONS;
    ssize_t length;
    int error = 0;
    while (!error && (length = view_iterate(call->view, loc, &at, bytes, PIECE, true)) != 0)
        error = length < 0 ? (int)length : add_all(listing, bytes, length);
    return error;
}

/* By a description of our own, so that the tracee's position stays. */
static int read_host(const struct call *call, struct listing *listing, char *bytes) {
    char link[PROC_LINK];
    ssize_t length;
    int error = 0;
    descriptor_link(call->task->tid, (int)call->arg[0], link);
    CLOSE_DESCRIPTOR fd = open(link, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    while (!error && (length = syscall(SYS_getdents64, fd, bytes, PIECE)) != 0)
        error = length < 0 ? -errno : add_all(listing, bytes, length);
    return error;
}

static bool is_dots(const char *name) {
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* "." and ".." come first, as they do everywhere. */
static int by_name(const void *a, const void *b) {
    const struct dirent64 *const *one = a, *const *other = b;
    bool first = is_dots((*one)->d_name), second = is_dots((*other)->d_name);
    return first != second ? second - first : strcmp((*one)->d_name, (*other)->d_name);
}

/* A number that says nothing of a name's place in the alphabet. */
static uint32_t scattered(const char *name) {
    uint32_t hash = 2166136261u;   /* FNV-1a */
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 16777619u;
    return hash ^ hash >> 15;
}

static int by_chance(const void *a, const void *b) {
    const struct dirent64 *const *one = a, *const *other = b;
    uint32_t first = scattered((*one)->d_name), second = scattered((*other)->d_name);
    return first != second ? (first > second) - (first < second) : strcmp((*one)->d_name, (*other)->d_name);
}

static void reverse(struct dirent64 **entries, uint32_t count) {
    for (uint32_t i = 0; i < count / 2; i++) {
        struct dirent64 *entry = entries[i];
        entries[i] = entries[count - 1 - i];
        entries[count - 1 - i] = entry;
    }
}

/* The order that was asked for, which is another one than the sorted one wherever there are two names. */
static void arrange(struct listing *listing, unsigned switches) {
    if (!listing->count)
        return;
    qsort(listing->entries, listing->count, sizeof(struct dirent64 *), by_name);
    uint32_t dots = 0;
    while (dots < listing->count && is_dots(listing->entries[dots]->d_name))
        dots++;
    struct dirent64 **names = listing->entries + dots;
    uint32_t count = listing->count - dots;
    bool sorted = true;
    if (switches & PTO_BUILD_SHUFFLED) {
        qsort(names, count, sizeof *names, by_chance);
        for (uint32_t i = 1; i < count && sorted; i++)
            sorted = strcmp(names[i - 1]->d_name, names[i]->d_name) < 0;
    }
    if (sorted && (switches & (PTO_BUILD_REVERSED | PTO_BUILD_SHUFFLED)))
        reverse(names, count);
}

/* Those that stat(2) tells. */
static void renumber(const struct call *call, const struct location *loc, struct listing *listing) {
    char link[PROC_LINK];
    struct statx stx;
    descriptor_link(call->task->tid, (int)call->arg[0], link);
    int error = loc->overlay ? view_getattr(call->view, loc, &stx) : statx(AT_FDCWD, link, 0, STATX_BASIC_STATS, &stx);
    for (uint32_t i = 0; error == 0 && i < listing->count; i++)
        listing->entries[i]->d_ino = objects_number(call->session->fixed, makedev(stx.stx_dev_major, stx.stx_dev_minor),
                                                    listing->entries[i]->d_ino);
}

static int listing_read(const struct call *call, const struct location *loc, struct listing **out) {
    char *bytes = malloc(PIECE);
    struct listing *listing = calloc(1, sizeof *listing);
    int error = bytes && listing ? 0 : -ENOMEM;
    if (!error)
        error = loc->overlay ? read_overlay(call, loc, listing, bytes) : read_host(call, listing, bytes);
    free(bytes);
    if (error) {
        if (listing)
            listing_free(listing);
        return error;
    }
    arrange(listing, call->session->fixed->switches);
    if (fixed_has(call->session, PTO_BUILD_FILES))
        renumber(call, loc, listing);
    *out = listing;
    return 0;
}

/* Keeps it as the one that was used last. */
static void listing_keep(struct fixed *fixed, struct listing *listing) {
    unsigned n = 0;
    HELD(&fixed->lock);
    listing->next = fixed->listings;
    fixed->listings = listing;
    struct listing **at = &fixed->listings;
    while (*at && n++ < LISTINGS_MAX)
        at = &(*at)->next;
    if (*at) {
        listing_free(*at);   /* there was one too many */
        *at = NULL;
    }
}

/* The list of this number, taken out. */
static struct listing *listing_take(struct fixed *fixed, uint32_t number) {
    HELD(&fixed->lock);
    for (struct listing **at = &fixed->listings; *at; at = &(*at)->next) {
        struct listing *listing = *at;
        if (listing->number != number)
            continue;
        *at = listing->next;
        return listing;
    }
    return NULL;
}

/* ---- what the tracee gets ---- */

struct linux_dirent {
    uint64_t d_ino, d_off;
    uint16_t d_reclen;
    char d_name[];
};

static size_t record_size(const char *name, bool wide) {
    size_t head = wide ? offsetof(struct dirent64, d_name) : offsetof(struct linux_dirent, d_name) + 1;
    return (head + strlen(name) + 1 + 7) & ~(size_t)7;
}

static void put_record(char *at, const struct dirent64 *entry, uint64_t next, bool wide) {
    size_t size = record_size(entry->d_name, wide);
    memset(at, 0, size);
    if (wide) {
        struct dirent64 *record = (struct dirent64 *)(void *)at;
        record->d_ino = entry->d_ino;
        record->d_off = (off_t)next;
        record->d_reclen = (uint16_t)size;
        record->d_type = entry->d_type;
        memcpy(at + offsetof(struct dirent64, d_name), entry->d_name, strlen(entry->d_name));
        return;
    }
    struct linux_dirent *record = (struct linux_dirent *)(void *)at;
    record->d_ino = entry->d_ino;
    record->d_off = next;
    record->d_reclen = (uint16_t)size;
    memcpy(record->d_name, entry->d_name, strlen(entry->d_name));
    at[size - 1] = (char)entry->d_type;   /* getdents(2) */
}

static ssize_t put_records(const struct listing *listing, uint64_t *pos, char *buf, size_t size, bool wide) {
    size_t used = 0;
    uint32_t i = place_in(*pos);
    uint64_t start = *pos - i;
    for (; i < listing->count; i++) {
        const struct dirent64 *entry = listing->entries[i];
        size_t need = record_size(entry->d_name, wide);
        if (used + need > size)
            break;
        put_record(buf + used, entry, start + i + 1, wide);
        used += need;
    }
    *pos = start + i;
    return used == 0 && i < listing->count ? -EINVAL : (ssize_t)used;
}

ssize_t listings_iterate(struct call *call, const struct location *loc, uint64_t *pos, void *buf, size_t size,
                         bool wide) {
    struct fixed *fixed = call->session->fixed;
    struct listing *listing = NULL;
    bool begins = *pos == base_of(*pos);
    if (*pos < VIEW_POSITIONS_NEAR)
        return -ESTALE;
    if (!begins) {
        lock_take(&fixed->lock);
        listing = listing_take(fixed, number_of(*pos));
        lock_leave(&fixed->lock);
    }
    int error = listing ? 0 : listing_read(call, loc, &listing);
    if (error)
        return error;
    lock_take(&fixed->lock);
    if (begins)
        *pos += (uint64_t)next_number(fixed) << place_bits(*pos);
    listing->number = number_of(*pos);
    ssize_t length = listing->count < 1u << place_bits(*pos) ? put_records(listing, pos, buf, size, wide) : -EOVERFLOW;
    listing_keep(fixed, listing);
    lock_leave(&fixed->lock);
    return length;
}
