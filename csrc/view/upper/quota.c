/* quota.c - what the uppers of a run take, and may take.
 *
 * Rules: it is counted as it changes, never measured; an object counts by its length, in whole blocks, and for one
 * block at least; what has no name does not count.  What a call that tracees make themselves will add is asked for
 * before (view_grow()), and what it has added is known when it is over.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "upper.h"

#define BLOCK 4096u
#define SIZE_MOST ((uint64_t)INT64_MAX)

/* A file that calls under way may make longer.  What of `used` is its own is `counted`. */
struct view_growth {
    struct view_growth *next;
    int fd;
    dev_t dev;
    ino_t ino;
    unsigned calls;
    uint64_t end; /* to which these calls may make it … */
    uint64_t more; /* … and by how many bytes others */
    uint64_t counted;
    bool gone; /* it has no name any more */
};

uint64_t quota_of(mode_t mode, uint64_t size) {
    if (S_ISSOCK(mode))   /* bind(2) cannot be refused when it is known to have made one */
        return 0;
    if (!S_ISREG(mode) || size == 0)
        return BLOCK;
    return size > SIZE_MOST - BLOCK ? SIZE_MOST : (size + BLOCK - 1) / BLOCK * BLOCK;
}

static int take(struct quota *quota, uint64_t bytes) {
    HELD(&quota->lock);
    if (bytes == 0)
        return 0;
    if (bytes > quota->limit || quota->used > (int64_t)(quota->limit - bytes))
        return -ENOSPC;
    quota->used += (int64_t)bytes;
    return 0;
}

/* Of a file that counts for `from` by now. */
static int change(struct quota *quota, uint64_t from, uint64_t to) {
    if (to > from)
        return take(quota, to - from);
    quota->used -= (int64_t)(from - to);
    return 0;
}

void view_no_room(pto_view *view) {
    __atomic_add_fetch(&view->base->stats.no_room, 1, __ATOMIC_RELAXED);
}

int quota_take(const struct overlay *ovl, uint64_t bytes) {
    struct quota *quota = &ovl->view->quota;
    if (!quota_counts(ovl))
        return 0;
    lock_take(&quota->lock);
    int error = take(quota, bytes);
    lock_leave(&quota->lock);
    if (error)
        view_no_room(ovl->view);
    return error;
}

void quota_give(const struct overlay *ovl, uint64_t bytes) {
    struct quota *quota = &ovl->view->quota;
    if (!quota_counts(ovl))
        return;
    lock_take(&quota->lock);
    quota->used -= (int64_t)bytes;
    lock_leave(&quota->lock);
}

static struct view_growth *find(const struct quota *quota, dev_t dev, ino_t ino) {
    HELD(&quota->lock);
    struct view_growth *growth = quota->growing;
    while (growth && (growth->ino != ino || growth->dev != dev || growth->gone))
        growth = growth->next;
    return growth;
}

int quota_resize(const struct overlay *ovl, const struct stat *st, uint64_t size) {
    struct quota *quota = &ovl->view->quota;
    if (!quota_counts(ovl))
        return 0;
    uint64_t from = quota_of(st->st_mode, (uint64_t)st->st_size), to = quota_of(st->st_mode, size);
    lock_take(&quota->lock);
    struct view_growth *growth = find(quota, st->st_dev, st->st_ino);
    int error = 0;
    if (!growth || to > growth->counted)
        error = change(quota, growth ? growth->counted : from, to);
    if (growth && !error && to > growth->counted)
        growth->counted = to;
    lock_leave(&quota->lock);
    if (error)
        view_no_room(ovl->view);
    return error;
}

void quota_gone(const struct overlay *ovl, const struct statx *stx) {
    struct quota *quota = &ovl->view->quota;
    if (!quota_counts(ovl))
        return;
    lock_take(&quota->lock);
    struct view_growth *growth = find(quota, makedev(stx->stx_dev_major, stx->stx_dev_minor), stx->stx_ino);
    quota->used -= (int64_t)(growth ? growth->counted : quota_of(stx->stx_mode, stx->stx_size));
    if (growth) {
        growth->counted = 0;
        growth->gone = true;
    }
    lock_leave(&quota->lock);
}

/* ---- calls that tracees make themselves ---- */

static bool lies_in(const struct quota *quota, const char *path) {
    size_t length = strlen(path);
    for (char **top = quota->tops; top && *top; top++)
        if (path_below(path, length, *top, strlen(*top)))
            return true;
    return false;
}

bool view_grows(pto_view *view, int fd, struct stat *st) {
    char link[FD_PATH], path[PATH_MAX];
    if (fstat(fd, st) < 0 || !S_ISREG(st->st_mode) || st->st_nlink == 0)
        return false;
    fd_path(fd, link);
    ssize_t length = readlink(link, path, sizeof path);
    if (length < 0)
        return errno == ENAMETOOLONG;
    if ((size_t)length >= sizeof path)
        return true;
    path[length] = '\0';
    return lies_in(&view->base->quota, path);
}

static struct view_growth *begin(struct quota *quota, int fd, const struct stat *st) {
    struct view_growth *growth = calloc(1, sizeof *growth);
    int own = growth ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    if (own < 0) {
        free(growth);
        return NULL;
    }
    *growth = (struct view_growth){
        .next = quota->growing, .fd = own, .dev = st->st_dev, .ino = st->st_ino, .end = (uint64_t)st->st_size};
    growth->counted = quota_of(st->st_mode, growth->end);
    quota->growing = growth;
    return growth;
}

/* Nobody makes it longer any more: it is as long as it is. */
static void end(struct quota *quota, struct view_growth *growth) {
    struct view_growth **link = &quota->growing;
    struct stat st;
    HELD(&quota->lock);
    if (!growth->gone && fstat(growth->fd, &st) == 0)
        quota->used += (int64_t)quota_of(st.st_mode, (uint64_t)st.st_size) - (int64_t)growth->counted;
    while (*link != growth)
        link = &(*link)->next;
    *link = growth->next;
    close(growth->fd);
    free(growth);
}

static uint64_t larger(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

static uint64_t sum(uint64_t a, uint64_t b) {
    return a > SIZE_MOST || b > SIZE_MOST - a ? SIZE_MOST : a + b;
}

int view_grow(pto_view *view, int fd, const struct stat *st, const struct growing *how, struct view_growth **out) {
    struct quota *quota = &view->base->quota;
    lock_take(&quota->lock);
    struct view_growth *growth = find(quota, st->st_dev, st->st_ino);
    if (!growth)
        growth = begin(quota, fd, st);
    if (!growth) {
        lock_leave(&quota->lock);
        return -ENOSPC;
    }
    uint64_t size = larger((uint64_t)st->st_size, larger(growth->end, how->end)), more = sum(growth->more, how->more);
    uint64_t counted = quota_of(S_IFREG, sum(size, more));
    int error = change(quota, growth->counted, counted);
    if (!error) {
        growth->counted = counted;
        growth->end = size;
        growth->more = more;
        growth->calls++;
        *out = growth;
    } else if (!growth->calls) {
        end(quota, growth);
    }
    lock_leave(&quota->lock);
    return error;
}

void view_grown(pto_view *view, struct view_growth *growth, uint64_t more) {
    struct quota *quota = &view->base->quota;
    lock_take(&quota->lock);
    growth->more = more > growth->more ? 0 : growth->more - more;
    if (--growth->calls == 0)
        end(quota, growth);
    lock_leave(&quota->lock);
}

/* ---- the limit ---- */

static int add_top(pto_view *view, size_t *n, const char *path) {
    char **tops = realloc(view->quota.tops, (*n + 2) * sizeof *tops);
    if (!tops)
        return -ENOMEM;
    view->quota.tops = tops;
    tops[*n] = strdup(path);
    tops[*n + 1] = NULL;
    return tops[(*n)++] ? 0 : -ENOMEM;
}

int pto_view_set_limit(pto_view *view, uint64_t limit, uint64_t used) {
    size_t n = 0;
    int error = 0;
    view_lock(view);
    quota_clear(view);
    if (view->room)
        error = add_top(view, &n, view->room);
    for (size_t i = 0; i < view->n_overlays && !error; i++)
        if (has_upper(view->overlays[i]))
            error = add_top(view, &n, view->overlays[i]->layers[0].root);
    view->quota.used = used > SIZE_MOST ? (int64_t)SIZE_MOST : (int64_t)used;
    view->quota.limit = error ? 0 : limit > SIZE_MOST ? SIZE_MOST : limit;
    view_unlock(view);
    return error;
}

uint64_t pto_view_used(pto_view *view) {
    struct quota *quota = &view->base->quota;
    lock_take(&quota->lock);
    int64_t used = quota->used;
    lock_leave(&quota->lock);
    return used < 0 ? 0 : (uint64_t)used;
}

void quota_clear(pto_view *view) {
    for (char **top = view->quota.tops; top && *top; top++)
        free(*top);
    free(view->quota.tops);
    view->quota.tops = NULL;
    while (view->quota.growing) {
        struct view_growth *growth = view->quota.growing;
        view->quota.growing = growth->next;
        close(growth->fd);
        free(growth);
    }
}
