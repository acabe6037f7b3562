/* linked.c - lower files with several names of which one was copied up or removed (links.c): found by the lower object,
 * and by the copy; how many names of them the view shows.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "layers.h"

void linked_name(const struct shared *shared, const char *suffix, char out[LINKED_NAME]) {
    snprintf(out, LINKED_NAME, "%llx-%llx%s", (unsigned long long)shared->dev, (unsigned long long)shared->ino, suffix);
}

static struct shared **chain_of(struct shared **heads, size_t chains, uint64_t ino) {
    return &heads[(size_t)((ino * 0x9e3779b97f4a7c15ull) >> 20) & (chains - 1)];
}

static void chain_in(struct overlay *ovl, struct shared *shared) {
    struct shared **lower = chain_of(ovl->by_lower, ovl->chains, shared->ino);
    struct shared **upper = chain_of(ovl->by_upper, ovl->chains, shared->upper_ino);
    shared->next_lower = *lower;
    *lower = shared;
    shared->next_upper = *upper;
    *upper = shared;
}

/* One block for both kinds of chains. */
static int grow_chains(struct overlay *ovl) {
    struct shared **old = ovl->by_lower;
    size_t n_old = ovl->chains, chains = n_old ? n_old * 2 : 64;
    struct shared **heads = calloc(2 * chains, sizeof *heads);
    if (!heads)
        return -ENOMEM;
    ovl->by_lower = heads;
    ovl->by_upper = heads + chains;
    ovl->chains = chains;
    for (size_t i = 0; i < n_old; i++)
        for (struct shared *shared = old[i], *next; shared; shared = next) {
            next = shared->next_lower;
            chain_in(ovl, shared);
        }
    free(old);
    return 0;
}

static struct shared *find_by_lower(const struct overlay *ovl, uint64_t ino, dev_t dev) {
    struct shared *shared = ovl->n_shared ? *chain_of(ovl->by_lower, ovl->chains, ino) : NULL;
    while (shared && (shared->ino != ino || shared->dev != dev))
        shared = shared->next_lower;
    return shared;
}

struct shared *linked_find(const struct overlay *ovl, const struct statx *lower) {
    return find_by_lower(ovl, lower->stx_ino, makedev(lower->stx_dev_major, lower->stx_dev_minor));
}

struct shared *linked_find_upper(const struct overlay *ovl, uint64_t upper_ino) {
    struct shared *shared = ovl->n_shared ? *chain_of(ovl->by_upper, ovl->chains, upper_ino) : NULL;
    while (shared && shared->upper_ino != upper_ino)
        shared = shared->next_upper;
    return shared;
}

/* The entry of a lower object, made when there is none. NULL: out of memory. */
struct shared *linked_obtain(struct overlay *ovl, uint64_t ino, dev_t dev) {
    struct shared *shared = find_by_lower(ovl, ino, dev);
    if (shared || (ovl->n_shared >= ovl->chains && grow_chains(ovl) < 0))
        return shared;
    shared = calloc(1, sizeof *shared);
    if (!shared)
        return NULL;
    touch_all(ovl->view, TOUCH_LINKED | TOUCH_INODE);
    shared->ino = ino;
    shared->dev = dev;
    chain_in(ovl, shared);
    ovl->n_shared++;
    return shared;
}

static void upper_out(struct overlay *ovl, struct shared *shared) {
    struct shared **at = chain_of(ovl->by_upper, ovl->chains, shared->upper_ino);
    while (*at != shared)
        at = &(*at)->next_upper;
    *at = shared->next_upper;
}

void linked_set_upper(struct overlay *ovl, struct shared *shared, uint64_t upper_ino) {
    upper_out(ovl, shared);
    shared->upper_ino = upper_ino;
    struct shared **upper = chain_of(ovl->by_upper, ovl->chains, upper_ino);
    shared->next_upper = *upper;
    *upper = shared;
}

void linked_drop(struct overlay *ovl, struct shared *shared) {
    upper_out(ovl, shared);
    struct shared **at = chain_of(ovl->by_lower, ovl->chains, shared->ino);
    while (*at != shared)
        at = &(*at)->next_lower;
    *at = shared->next_lower;
    free(shared->kernel_name);
    free(shared);
    ovl->n_shared--;
}

/* Where the copy lies: its directory, and its name there. */
int linked_copy_at(const struct overlay *ovl, const struct shared *shared, char room[LINKED_NAME], const char **name) {
    *name = shared->kernel_name ? shared->kernel_name : room;
    if (shared->kernel_name)
        return ovl->kernel_links;
    linked_name(shared, "", room);
    return ovl->links;
}

int linked_copy_path(const struct overlay *ovl, uint32_t d, char out[VIEW_PATH_MAX]) {
    struct statx lower;
    char room[LINKED_NAME];
    const char *name;
    int error = lower_statx(ovl, d, &lower);
    const struct shared *shared = error ? NULL : linked_find(ovl, &lower);
    if (!shared)
        return error ? error : -ENOENT;
    linked_copy_at(ovl, shared, room, &name);
    int length = snprintf(out, PATH_MAX, "%s/%s", shared->kernel_name ? "index" : "links", name);
    return length >= PATH_MAX ? -ENAMETOOLONG : (int)WORK_LAYER(ovl);
}

uint32_t linked_count(const struct overlay *ovl, const struct statx *stx, bool upper) {
    if (ovl->n_shared == 0 || stx->stx_nlink < 2 || S_ISDIR(stx->stx_mode))
        return stx->stx_nlink;
    const struct shared *shared = upper ? linked_find_upper(ovl, stx->stx_ino) : linked_find(ovl, stx);
    if (!shared)
        return stx->stx_nlink;
    return upper ? stx->stx_nlink - 1 + shared->left : stx->stx_nlink - shared->removed;
}

uint32_t linked_left(const struct overlay *ovl, const struct statx *stx) {
    const struct shared *shared = S_ISDIR(stx->stx_mode) || stx->stx_nlink < 2 ? NULL : linked_find(ovl, stx);
    return shared && !shared->upper_ino ? stx->stx_nlink - shared->removed : 0;
}

void linked_close(struct overlay *ovl) {
    fd_close(&ovl->links);
    fd_close(&ovl->kernel_links);
    for (size_t i = 0; i < ovl->chains; i++)
        while (ovl->by_lower[i]) {
            struct shared *shared = ovl->by_lower[i];
            ovl->by_lower[i] = shared->next_lower;
            free(shared->kernel_name);
            free(shared);
        }
    free(ovl->by_lower);
}
