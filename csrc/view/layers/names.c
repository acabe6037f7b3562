/* names.c - names that the upper ones of many merged lowers have, so that a name which none of them has is asked of the
 * last one alone.
 *
 * A directory that merges many lowers (the steps of a sandbox) costs a call a lower for each name that is looked up.
 * So their names are read once, at the second look-up, into bits of which each name sets three: a name with a bit
 * unset is in none of them.
 *
 * Rules: lowers never change, so what was read stays true as long as the directory merges the same ones; where it
 * cannot be read, or is too much, nothing is known and all are asked.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "layers.h"

#define MANY 4u /* directories */
#define ASKED 1u /* look-ups before the names are read */
#define NEVER UINT32_MAX /* … of what cannot be known */
#define NAMES_MAX 50000u
#define BITS_A_NAME 10u /* with three of them set, one name in 60 is asked in vain */

/* Hashes of names while they are collected. */
struct names {
    uint64_t *hashes;
    size_t count, room;
};

static void names_free(struct names *names) {
    free(names->hashes);
}

/* FNV-1a, and its bits mixed. */
static uint64_t hash(const char *name, size_t length) {
    uint64_t value = 0xcbf29ce484222325u;
    for (size_t i = 0; i < length; i++)
        value = (value ^ (unsigned char)name[i]) * 0x100000001b3u;
    value ^= value >> 32;
    value *= 0x9e3779b97f4a7c15u;
    return value ^ value >> 29;
}

static int add(struct names *names, const char *name) {
    if (names->count == NAMES_MAX)
        return -E2BIG;
    if (names->count == names->room) {
        size_t room = names->room ? 2 * names->room : 256;
        uint64_t *hashes = reallocarray(names->hashes, room, sizeof *hashes);
        if (!hashes)
            return -ENOMEM;
        names->hashes = hashes;
        names->room = room;
    }
    names->hashes[names->count++] = hash(name, strlen(name));
    return 0;
}

static int read_names(struct search *search, const struct lower_dir *dir, struct names *names) {
    struct overlay *ovl = search->ovl;
    char path[VIEW_PATH_MAX];
    int error = ovl->layers[dir->layer].dot_form ? -EINVAL : lower_path(ovl, search->parent, dir, path);
    if (error < 0)
        return error;
    QUIET quiet;
    CLOSE_FD fd = quiet_open(ovl, ovl->layers[dir->layer].fd, path, &quiet);
    if (fd < 0)
        return fd;
    STREAM *stream = NULL;
    const struct dirent *entry;
    error = faccessat(fd, ".", X_OK, AT_EACCESS) < 0 ? -errno : stream_open(fd, &stream);
    while (!error && !(error = stream_read(stream, &entry)) && entry)
        error = add(names, entry->d_name);
    return error;
}

/* ---- the bits ---- */

static struct known_names *known_of(const struct search *search) {
    struct overlay *ovl = search->ovl;
    const struct dentry *dentry = at(ovl, search->parent);
    if (search->parent == ovl->root)
        return &ovl->root_names;
    if (!dentry->stack)
        return NULL;
    struct lower_stack *stack = arena_at(&ovl->view->index.arena, dentry->stack);
    return &stack->names;
}

/* The byte and the bit of the nth that a name has. */
static unsigned char *bit_of(const struct index *index, const struct known_names *known, uint64_t hash, unsigned nth,
                             unsigned char *mask) {
    const uint32_t *blocks = arena_at(&index->arena, known->blocks);
    uint64_t bits = (uint64_t)known->count * INDEX_BLOCK * 8, bit = (hash + nth * (hash >> 33 | 1)) % bits;
    *mask = (unsigned char)(1u << bit % 8);
    unsigned char *block = arena_at(&index->arena, blocks[bit / 8 / INDEX_BLOCK]);
    return block + bit / 8 % INDEX_BLOCK;
}

static bool has(const struct index *index, const struct known_names *known, uint64_t hash) {
    unsigned char mask;
    for (unsigned nth = 0; nth < 3; nth++)
        if (!(*bit_of(index, known, hash, nth, &mask) & mask))
            return false;
    return true;
}

static int put_bits(struct index *index, struct known_names *known, const struct names *names) {
    unsigned char mask;
    size_t blocks = 1 + names->count * BITS_A_NAME / (8 * INDEX_BLOCK);
    int error = index_set_names(index, known, (uint32_t)blocks);
    for (size_t i = 0; !error && i < names->count; i++)
        for (unsigned nth = 0; nth < 3; nth++) {
            unsigned char *byte = bit_of(index, known, names->hashes[i], nth, &mask);
            *byte |= mask;
        }
    return error;
}

static int learn(struct search *search, struct known_names *known) {
    __attribute__((cleanup(names_free))) struct names names = {0};
    int error = 0;
    for (const struct lower_dir *dir = search->dirs; !error && dir < search->end - 1; dir++)
        error = read_names(search, dir, &names);
    return error ? error : put_bits(&search->ovl->view->index, known, &names);
}

unsigned search_first(struct search *search) {
    const struct sought *sought = &search->sought;
    unsigned last = search->end - search->dirs >= MANY ? search->end[-1].layer : 0;
    if (!last || sought->name[0] == '/' || search->ovl->stacked)
        return 1;
    struct known_names *known = known_of(search);
    if (!known || known->asked == NEVER)
        return 1;
    if (!known->blocks) {
        if (known->asked++ < ASKED)
            return 1;
        if (learn(search, known) < 0) {
            known->asked = NEVER;
            return 1;
        }
    }
    return has(&search->ovl->view->index, known, hash(sought->name, sought->length)) ? 1 : last;
}
