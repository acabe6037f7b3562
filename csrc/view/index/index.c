/* index.c - a hash of (directory, name) over the arena.
 *
 * Rules: an entry's offset is its identity and changes only in index_move(); every entry is on its
 * parent's child list; a directory's entry is dropped only together with all below it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "index.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define FIRST_BUCKETS 1024u

static size_t dentry_size(size_t name_length) {
    return offsetof(struct dentry, name) + name_length;
}

/* FNV-1a over the name, mixed with the directory. */
static uint32_t hash(uint32_t parent, const char *name, size_t length) {
    uint32_t h = 2166136261u ^ (parent * 2654435761u);
    for (size_t i = 0; i < length; i++)
        h = (h ^ (unsigned char)name[i]) * 16777619u;
    return h ^ (h >> 15);
}

static uint32_t *bucket(const struct index *index, uint32_t parent, const char *name, size_t length) {
    uint32_t *table = arena_at(&index->arena, index->buckets);
    return &table[hash(parent, name, length) & (index->n_buckets - 1)];
}

int index_open(struct index *index) {
    memset(index, 0, sizeof *index);
    int error = arena_open(&index->arena);
    if (error)
        return error;
    index->n_buckets = FIRST_BUCKETS;
    index->buckets = arena_alloc(&index->arena, FIRST_BUCKETS * sizeof(uint32_t));
    if (!index->buckets) {
        arena_close(&index->arena);
        return -ENOMEM;
    }
    return 0;
}

void index_close(struct index *index) {
    arena_close(&index->arena);
}

uint32_t index_root(struct index *index) {
    uint32_t d = arena_alloc(&index->arena, dentry_size(0));
    if (d)
        index->count++;
    return d;
}

uint32_t index_find(const struct index *index, uint32_t parent, const char *name, size_t length) {
    for (uint32_t d = *bucket(index, parent, name, length); d; d = index_at(index, d)->hash_next) {
        const struct dentry *dentry = index_at(index, d);
        if (dentry->parent == parent && dentry->name_length == length && memcmp(dentry->name, name, length) == 0)
            return d;
    }
    return 0;
}

void index_name(const struct index *index, uint32_t d, char out[NAME_MAX + 1]) {
    const struct dentry *dentry = index_at(index, d);
    memcpy(out, dentry->name, dentry->name_length);
    out[dentry->name_length] = '\0';
}

static void hash_in(struct index *index, uint32_t d) {
    struct dentry *dentry = index_at(index, d);
    uint32_t *head = bucket(index, dentry->parent, dentry->name, dentry->name_length);
    dentry->hash_next = *head;
    *head = d;
}

static void hash_out(struct index *index, uint32_t d) {
    struct dentry *dentry = index_at(index, d);
    uint32_t *at = bucket(index, dentry->parent, dentry->name, dentry->name_length);
    while (*at != d)
        at = &index_at(index, *at)->hash_next;
    *at = dentry->hash_next;
}

/* Doubles the table when the chains grow beyond one entry on average. */
static void rehash(struct index *index) {
    uint32_t n = index->n_buckets * 2;
    uint32_t buckets = arena_alloc(&index->arena, (size_t)n * sizeof(uint32_t));
    if (!buckets)
        return;   /* longer chains are slower, not wrong */
    uint32_t old = index->buckets, n_old = index->n_buckets;
    index->buckets = buckets;
    index->n_buckets = n;
    for (uint32_t i = 0; i < n_old; i++) {
        uint32_t d = ((uint32_t *)arena_at(&index->arena, old))[i];
        while (d) {
            uint32_t next = index_at(index, d)->hash_next;
            hash_in(index, d);
            d = next;
        }
    }
    arena_free(&index->arena, old, (size_t)n_old * sizeof(uint32_t));
}

static void child_in(struct index *index, uint32_t d) {
    struct dentry *dentry = index_at(index, d);
    struct dentry *parent = index_at(index, dentry->parent);
    dentry->sibling = parent->child;
    dentry->previous = 0;
    if (parent->child)
        index_at(index, parent->child)->previous = d;
    parent->child = d;
}

static void child_out(struct index *index, uint32_t d) {
    struct dentry *dentry = index_at(index, d);
    if (dentry->previous)
        index_at(index, dentry->previous)->sibling = dentry->sibling;
    else
        index_at(index, dentry->parent)->child = dentry->sibling;
    if (dentry->sibling)
        index_at(index, dentry->sibling)->previous = dentry->previous;
}

uint32_t index_add(struct index *index, uint32_t parent, const char *name, size_t length) {
    if (index->count >= index->n_buckets)
        rehash(index);
    uint32_t d = arena_alloc(&index->arena, dentry_size(length));
    if (!d)
        return 0;
    struct dentry *dentry = index_at(index, d);
    dentry->parent = parent;
    dentry->lower = KIND_UNKNOWN;
    dentry->name_length = (uint8_t)length;
    memcpy(dentry->name, name, length);
    hash_in(index, d);
    child_in(index, d);
    index->count++;
    return d;
}

void index_free_names(struct index *index, struct known_names *names) {
    const uint32_t *blocks = arena_at(&index->arena, names->blocks);
    for (uint32_t i = 0; names->blocks && i < names->count; i++)
        arena_free(&index->arena, blocks[i], INDEX_BLOCK);
    arena_free(&index->arena, names->blocks, names->count * sizeof blocks[0]);
    *names = (struct known_names){0};
}

int index_set_names(struct index *index, struct known_names *names, uint32_t count) {
    index_free_names(index, names);
    names->blocks = arena_alloc(&index->arena, count * sizeof(uint32_t));
    names->count = names->blocks ? count : 0;
    uint32_t *blocks = arena_at(&index->arena, names->blocks);
    for (uint32_t i = 0; i < names->count; i++)
        if (!(blocks[i] = arena_alloc(&index->arena, INDEX_BLOCK))) {
            index_free_names(index, names);
            return -ENOMEM;
        }
    return names->blocks ? 0 : -ENOMEM;
}

void index_free_stack(struct index *index, struct dentry *dentry) {
    if (!dentry->stack)
        return;
    if (dentry->flags & D_TARGET) {
        index_free_text(index, dentry->stack);
        dentry->flags &= (uint16_t)~D_TARGET;
    } else {
        struct lower_stack *stack = arena_at(&index->arena, dentry->stack);
        for (uint32_t i = 0; i < stack->count; i++)
            index_free_text(index, stack->dirs[i].path);
        index_free_names(index, &stack->names);
        arena_free(&index->arena, dentry->stack, sizeof *stack + stack->count * sizeof stack->dirs[0]);
    }
    dentry->stack = 0;
}

int index_set_stack(struct index *index, uint32_t d, const struct lower_dir *dirs, uint32_t count) {
    uint32_t offset = 0;
    if (count) {
        offset = arena_alloc(&index->arena, sizeof(struct lower_stack) + count * sizeof dirs[0]);
        if (!offset)
            return -ENOMEM;
        struct lower_stack *stack = arena_at(&index->arena, offset);
        stack->count = count;
        memcpy(stack->dirs, dirs, count * sizeof dirs[0]);
    }
    index_free_stack(index, index_at(index, d));
    index_at(index, d)->stack = offset;
    return 0;
}

/* Frees one entry that has no children any more and is off its parent's list. */
static void release(struct index *index, uint32_t d) {
    struct dentry *dentry = index_at(index, d);
    index_free_stack(index, dentry);
    hash_out(index, d);
    arena_free(&index->arena, d, dentry_size(dentry->name_length));
    index->count--;
}

/* Without recursion: a tree may be as deep as a path is long. */
void index_drop_children(struct index *index, uint32_t top) {
    uint32_t d = top;
    for (;;) {
        uint32_t child = index_at(index, d)->child;
        if (child) {
            d = child;
            continue;
        }
        if (d == top)
            return;
        struct dentry *dentry = index_at(index, d);
        uint32_t parent = dentry->parent;
        child_out(index, d);
        release(index, d);
        d = parent;
    }
}

void index_drop(struct index *index, uint32_t d) {
    index_drop_children(index, d);
    child_out(index, d);
    release(index, d);
}

void index_drop_root(struct index *index, uint32_t root) {
    index_drop_children(index, root);
    index_free_stack(index, index_at(index, root));
    arena_free(&index->arena, root, dentry_size(0));
    index->count--;
}

int index_move(struct index *index, uint32_t d, uint32_t parent, const char *name, size_t length, uint32_t *moved) {
    uint32_t new = arena_alloc(&index->arena, dentry_size(length));
    if (!new)
        return -ENOMEM;
    struct dentry *from = index_at(index, d), *to = index_at(index, new);
    child_out(index, d);
    hash_out(index, d);
    memcpy(to, from, offsetof(struct dentry, name));
    to->parent = parent;
    to->name_length = (uint8_t)length;
    memcpy(to->name, name, length);
    /* The children's hash holds their parent's offset: hash them again under the new one. */
    for (uint32_t c = to->child; c; c = index_at(index, c)->sibling) {
        hash_out(index, c);
        index_at(index, c)->parent = new;
        hash_in(index, c);
    }
    arena_free(&index->arena, d, dentry_size(from->name_length));
    hash_in(index, new);
    child_in(index, new);
    *moved = new;
    return 0;
}

/* True when the entry only caches what the lower has, and nothing below it says more. */
/* It alone knows under which name the view has what lies there in a lower: locate.c. */
static bool has_paths(const struct index *index, const struct dentry *dentry) {
    const struct lower_stack *stack = dentry->stack ? arena_at(&index->arena, dentry->stack) : NULL;
    for (uint32_t i = 0; stack && !(dentry->flags & D_TARGET) && i < stack->count; i++)
        if (stack->dirs[i].path)
            return true;
    return false;
}

static bool droppable(const struct index *index, const struct dentry *dentry) {
    return dentry->upper == KIND_NONE && !dentry->child && !(dentry->flags & (D_LOADED | D_EXECUTED)) &&
           !has_paths(index, dentry);
}

/* The first entry of a post-order walk below d. */
static uint32_t deepest(const struct index *index, uint32_t d) {
    while (index_at(index, d)->child)
        d = index_at(index, d)->child;
    return d;
}

void index_shrink(struct index *index, uint32_t root, uint32_t limit) {
    if (index->count <= limit)
        return;
    for (uint32_t d = deepest(index, root); d != root;) {
        const struct dentry *dentry = index_at(index, d);
        uint32_t next = dentry->sibling ? deepest(index, dentry->sibling) : dentry->parent;
        if (droppable(index, dentry)) {
            index->forgot_opened = index->forgot_opened || (dentry->flags & D_OPENED);
            index_drop(index, d);
        }
        d = next;
    }
}

uint32_t index_text(struct index *index, const char *bytes, size_t length) {
    uint32_t offset = arena_alloc(&index->arena, sizeof(struct text) + length + 1);
    if (!offset)
        return 0;
    struct text *text = arena_at(&index->arena, offset);
    text->length = (uint32_t)length;
    memcpy(text->bytes, bytes, length);
    return offset;
}

void index_free_text(struct index *index, uint32_t text) {
    if (text)
        arena_free(&index->arena, text, sizeof(struct text) + index_text_at(index, text)->length + 1);
}
