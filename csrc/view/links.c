/* links.c - hard links of lower files stay one file when one of their names is copied up.
 *
 * Rules: a copied-up file that has more names in the lowers gets one more link in <work>/links, named after the lower
 * object; whoever next looks up another of its names finds that link and gets his name for it.  st_nlink stays the number of names
 * that the view shows.  The index=on of fs/overlayfs/copy_up.c, with names of our own.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "internal.h"

#define LEFT "ptoverlay.left"   /* private attribute: names that still only a lower has */
#define LINK_NAME 48

static void link_name(const struct shared *shared, char out[LINK_NAME]) {
    snprintf(out, LINK_NAME, "%llx-%llx", (unsigned long long)shared->dev, (unsigned long long)shared->ino);
}

struct shared *links_find(const struct overlay *ovl, const struct statx *lower) {
    dev_t dev = makedev(lower->stx_dev_major, lower->stx_dev_minor);
    for (size_t i = 0; i < ovl->n_shared; i++)
        if (ovl->shared[i].ino == lower->stx_ino && ovl->shared[i].dev == dev)
            return &ovl->shared[i];
    return NULL;
}

static struct shared *find_upper(const struct overlay *ovl, uint64_t upper_ino) {
    for (size_t i = 0; i < ovl->n_shared; i++)
        if (ovl->shared[i].upper_ino == upper_ino)
            return &ovl->shared[i];
    return NULL;
}

static struct shared *add(struct overlay *ovl, const struct shared *shared) {
    struct shared *all = realloc(ovl->shared, (ovl->n_shared + 1) * sizeof *all);
    if (!all)
        return NULL;
    ovl->shared = all;
    all[ovl->n_shared] = *shared;
    return &all[ovl->n_shared++];
}

/* ---- kept across runs ---- */

static void store_left(struct overlay *ovl, const struct shared *shared, int fd) {
    char text[16];
    int length = snprintf(text, sizeof text, "%u", shared->left);
    (void)private_set(ovl, fd, LEFT, text, (size_t)length);   /* without it st_nlink is too small in the next run */
}

static void update_left(struct overlay *ovl, const struct shared *shared) {
    char name[LINK_NAME];
    link_name(shared, name);
    CLOSE_FD fd = openat(ovl->links, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0)
        store_left(ovl, shared, fd);
}

/* How many names of a file that only a lower has were removed: the size of an empty file with holes alone. */
#define REMOVED ".removed"

static void store_removed(const struct overlay *ovl, const struct shared *shared) {
    char name[LINK_NAME + sizeof REMOVED];
    link_name(shared, name);
    strcat(name, REMOVED);
    CLOSE_FD fd = openat(ovl->links, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0)
        (void)!ftruncate(fd, shared->removed);   /* without it st_nlink is too large in the next run */
}

static void drop_removed(const struct overlay *ovl, const struct shared *shared) {
    char name[LINK_NAME + sizeof REMOVED];
    link_name(shared, name);
    strcat(name, REMOVED);
    (void)!unlinkat(ovl->links, name, 0);
}

static int load_one(struct overlay *ovl, const char *name) {
    unsigned long long dev, ino;
    struct stat st;
    char text[16], rest[sizeof REMOVED] = "";
    if (sscanf(name, "%llx-%llx%8s", &dev, &ino, rest) < 2)
        return 0;
    if (strcmp(rest, REMOVED) == 0) {
        struct shared gone = {.ino = ino, .dev = (dev_t)dev};
        if (fstatat(ovl->links, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            return -errno;
        gone.removed = (unsigned)st.st_size;
        return add(ovl, &gone) ? 0 : -ENOMEM;
    }
    CLOSE_FD fd = openat(ovl->links, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    ssize_t length = private_get(ovl, fd, LEFT, text, sizeof text - 1);
    text[length > 0 ? length : 0] = '\0';
    struct shared shared = {.ino = ino, .dev = (dev_t)dev, .upper_ino = st.st_ino, .left = (unsigned)atoi(text)};
    return add(ovl, &shared) ? 0 : -ENOMEM;
}

static void close_stream(DIR **stream) {
    if (*stream)
        closedir(*stream);
}

static int load(struct overlay *ovl) {
    int fd = openat(ovl->links, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    __attribute__((cleanup(close_stream))) DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    if (!stream)
        return -errno;
    for (const struct dirent *entry; (entry = readdir(stream));) {
        int error = load_one(ovl, entry->d_name);
        if (error)
            return error;
    }
    return 0;
}

/* The directory is made when the first link needs it. */
static int open_dir(struct overlay *ovl, bool make) {
    char path[PATH_MAX];
    if (ovl->links >= 0)
        return 0;
    int length = snprintf(path, sizeof path, "%s/links", ovl->work_root);
    if (length >= (int)sizeof path)
        return -ENAMETOOLONG;
    if (make && mkdir(path, 0700) < 0 && errno != EEXIST)
        return -errno;
    ovl->links = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return ovl->links < 0 ? -errno : 0;
}

int links_open(struct overlay *ovl) {
    int error = open_dir(ovl, false);
    if (error)
        return error == -ENOENT ? 0 : error;
    return load(ovl);
}

/* ---- in a run ---- */

/* All its names are in the upper: they are links of one file there, and need nothing more from us. */
static void forget(struct overlay *ovl, struct shared *shared) {
    char link[LINK_NAME];
    link_name(shared, link);
    (void)!unlinkat(ovl->links, link, 0);   /* a link too many costs space, not truth */
    *shared = ovl->shared[--ovl->n_shared];
}

int links_copied(struct overlay *ovl, const struct statx *lower, int dirfd, const char *name) {
    struct stat st;
    char link[LINK_NAME];
    struct shared *known = links_find(ovl, lower);
    if (known && lower->stx_nlink <= known->removed + 1)
        return 0;   /* the others were removed */
    int error = open_dir(ovl, true);
    if (error)
        return error;
    if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    struct shared *shared = links_find(ovl, lower);
    if (!shared) {
        struct shared new = {.ino = lower->stx_ino, .dev = makedev(lower->stx_dev_major, lower->stx_dev_minor)};
        shared = add(ovl, &new);
    }
    if (!shared)
        return -ENOMEM;
    link_name(shared, link);
    if (linkat(dirfd, name, ovl->links, link, 0) < 0 && errno != EEXIST)
        return -errno;
    shared->upper_ino = st.st_ino;
    shared->left = lower->stx_nlink - shared->removed - 1;
    drop_removed(ovl, shared);
    update_left(ovl, shared);
    return 0;
}

int links_join(struct overlay *ovl, uint32_t d) {
    struct statx lower;
    char name[NAME_MAX + 1], link[LINK_NAME];
    struct timespec times[2];
    int error = lower_statx(ovl, d, &lower);
    if (error)
        return error;
    struct shared *shared = links_find(ovl, &lower);
    if (!shared || !shared->upper_ino)
        return 0;
    error = copy_up_dir(ovl, at(ovl, d)->parent);
    UPPER_DIR dir = {.fd = -1};
    if (!error)
        error = upper_dir_open(ovl, at(ovl, d)->parent, &dir);
    if (error)
        return error;
    entry_name(ovl, d, name);
    link_name(shared, link);
    keep_times(dir.fd, times);
    if (linkat(ovl->links, link, dir.fd, name, 0) < 0)
        return -errno;
    restore_times(dir.fd, times);
    if (!(at(ovl, d)->flags & D_TARGET))
        index_free_stack(&ovl->view->index, at(ovl, d));
    at(ovl, d)->upper = at(ovl, d)->lower;
    at(ovl, d)->flags &= (uint16_t)~(D_CHECKED | D_METACOPY);
    if (shared->left <= 1)
        forget(ovl, shared);
    else {
        shared->left--;
        update_left(ovl, shared);
    }
    return check_upper(ovl, d);
}

uint32_t links_count(const struct overlay *ovl, const struct statx *stx, bool upper) {
    if (ovl->n_shared == 0 || S_ISDIR(stx->stx_mode))
        return stx->stx_nlink;
    const struct shared *shared = upper ? find_upper(ovl, stx->stx_ino) : links_find(ovl, stx);
    if (!shared)
        return stx->stx_nlink;
    return upper ? stx->stx_nlink - 1 + shared->left : stx->stx_nlink - shared->removed;
}

void links_removed(struct overlay *ovl, const struct statx *stx, bool upper) {
    struct shared *shared = upper ? find_upper(ovl, stx->stx_ino) : links_find(ovl, stx);
    if (upper && shared && stx->stx_nlink <= 2 && shared->left == 0) {   /* the last name that the view showed */
        forget(ovl, shared);
        return;
    }
    if (upper || stx->stx_nlink < 2)
        return;
    struct shared new = {.ino = stx->stx_ino, .dev = makedev(stx->stx_dev_major, stx->stx_dev_minor)};
    if (!shared)
        shared = add(ovl, &new);
    if (!shared || open_dir(ovl, true) < 0)
        return;   /* st_nlink stays as the lower has it */
    if (++shared->removed < stx->stx_nlink) {
        store_removed(ovl, shared);
        return;
    }
    drop_removed(ovl, shared);
    *shared = ovl->shared[--ovl->n_shared];
}

void links_close(struct overlay *ovl) {
    close_fd(&ovl->links);
    free(ovl->shared);
}
