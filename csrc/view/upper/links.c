/* links.c - hard links of lower files stay one file when one of their names is copied up.
 *
 * Rules: a lower file with more names is copied up to <work>/links, named after the lower object, before any of its names
 * leads to the copy; each name that is looked up from then on becomes a link of it, or, where nothing may be changed,
 * stands for it (D_COPY).  st_nlink stays the number of names
 * that the view shows, and what is needed to tell it is on disk before a step that a crash could cut off.  The
 * index=on of fs/overlayfs/copy_up.c, with names of our own.
 *
 *   <work>/links/DEV-INO            the copy.  Its attribute LEFT: how many names still only a lower has, or "=N": N names
 *                                   are shown, however many of them are links already
 *   <work>/index/HANDLE             a copy that the kernel's overlayfs made: used where it is (handle.c)
 *   <work>/links/DEV-INO.removed    not copied up: its size, holes alone, is the number of names that were removed
 *   <work>/links/DEV-INO.pending    a symlink "N PATH": N will be that size once the upper has something at PATH
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

#include "../internal.h"

#define LEFT "ptoverlay.left"
#define REMOVED ".removed"
#define PENDING ".pending"
#define LINK_NAME 64

static void link_name(const struct shared *shared, const char *suffix, char out[LINK_NAME]) {
    snprintf(out, LINK_NAME, "%llx-%llx%s", (unsigned long long)shared->dev, (unsigned long long)shared->ino, suffix);
}

/* ---- the table: found by the lower object, and by the copy ---- */

static struct shared **bucket(struct shared **heads, size_t chains, uint64_t ino) {
    return &heads[(size_t)((ino * 0x9e3779b97f4a7c15ull) >> 20) & (chains - 1)];
}

static void chain_in(struct overlay *ovl, struct shared *shared) {
    struct shared **lower = bucket(ovl->by_lower, ovl->chains, shared->ino);
    struct shared **upper = bucket(ovl->by_upper, ovl->chains, shared->upper_ino);
    shared->next_lower = *lower;
    *lower = shared;
    shared->next_upper = *upper;
    *upper = shared;
}

/* One block for both kinds of chains. */
static int grow(struct overlay *ovl) {
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

static struct shared *find_lower(const struct overlay *ovl, uint64_t ino, dev_t dev) {
    struct shared *shared = ovl->n_shared ? *bucket(ovl->by_lower, ovl->chains, ino) : NULL;
    while (shared && (shared->ino != ino || shared->dev != dev))
        shared = shared->next_lower;
    return shared;
}

struct shared *links_find(const struct overlay *ovl, const struct statx *lower) {
    return find_lower(ovl, lower->stx_ino, makedev(lower->stx_dev_major, lower->stx_dev_minor));
}

static struct shared *find_upper(const struct overlay *ovl, uint64_t upper_ino) {
    struct shared *shared = ovl->n_shared ? *bucket(ovl->by_upper, ovl->chains, upper_ino) : NULL;
    while (shared && shared->upper_ino != upper_ino)
        shared = shared->next_upper;
    return shared;
}

/* The entry of a lower object, made when there is none. NULL: out of memory. */
static struct shared *obtain(struct overlay *ovl, uint64_t ino, dev_t dev) {
    struct shared *shared = find_lower(ovl, ino, dev);
    if (shared || (ovl->n_shared >= ovl->chains && grow(ovl) < 0))
        return shared;
    shared = calloc(1, sizeof *shared);
    if (!shared)
        return NULL;
    shared->ino = ino;
    shared->dev = dev;
    chain_in(ovl, shared);
    ovl->n_shared++;
    return shared;
}

static void upper_out(struct overlay *ovl, struct shared *shared) {
    struct shared **at = bucket(ovl->by_upper, ovl->chains, shared->upper_ino);
    while (*at != shared)
        at = &(*at)->next_upper;
    *at = shared->next_upper;
}

static void set_upper(struct overlay *ovl, struct shared *shared, uint64_t upper_ino) {
    upper_out(ovl, shared);
    shared->upper_ino = upper_ino;
    struct shared **upper = bucket(ovl->by_upper, ovl->chains, upper_ino);
    shared->next_upper = *upper;
    *upper = shared;
}

static void drop(struct overlay *ovl, struct shared *shared) {
    upper_out(ovl, shared);
    struct shared **at = bucket(ovl->by_lower, ovl->chains, shared->ino);
    while (*at != shared)
        at = &(*at)->next_lower;
    *at = shared->next_lower;
    free(shared->kernel_name);
    free(shared);
    ovl->n_shared--;
}

/* ---- kept across runs ---- */

/* fd: the copy. shown: the number is that of all names. */
static int store_left(const struct overlay *ovl, int fd, unsigned number, bool shown) {
    char text[16];
    int length = snprintf(text, sizeof text, "%s%u", shown ? "=" : "", number);
    int error = private_set(ovl, fd, LEFT, text, (size_t)length);
    return error == -EPERM || error == -EOPNOTSUPP
               ? 0
               : error;   /* a symlink of an ordinary user: st_nlink is too small later */
}

int links_mark(const struct overlay *ovl, int fd, unsigned left) {
    return store_left(ovl, fd, left, false);
}

/* Where the copy lies: its directory, and its name there. */
static int copy_at(const struct overlay *ovl, const struct shared *shared, char room[LINK_NAME], const char **name) {
    *name = shared->kernel_name ? shared->kernel_name : room;
    if (shared->kernel_name)
        return ovl->kernel_links;
    link_name(shared, "", room);
    return ovl->links;
}

static int update_left(const struct overlay *ovl, const struct shared *shared, unsigned number, bool shown) {
    char room[LINK_NAME];
    const char *name;
    int dirfd = copy_at(ovl, shared, room, &name);
    CLOSE_FD fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : store_left(ovl, fd, number, shown);
}

static int store_removed(const struct overlay *ovl, const struct shared *shared) {
    char name[LINK_NAME];
    link_name(shared, REMOVED, name);
    CLOSE_FD fd = openat(ovl->links, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    return fd < 0 || ftruncate(fd, shared->removed) < 0 ? -errno : 0;
}

static void drop_file(const struct overlay *ovl, const struct shared *shared, const char *suffix) {
    char name[LINK_NAME];
    link_name(shared, suffix, name);
    (void)!unlinkat(ovl->links, name, 0);   /* a file too many costs space, not truth */
}

/* lower_links: of the lower file, for what the kernel says relative to it ("U+1", "L-1": overlay.nlink). */
static int load_copy(struct overlay *ovl, int dirfd, const char *name, struct shared *shared, unsigned lower_links) {
    struct stat st;
    char text[16], relative[16];
    CLOSE_FD fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    ssize_t length = private_get(&ovl->layers[0], fd, LEFT, text, sizeof text - 1);
    if (length <= 0 && lower_links) {
        ssize_t size = private_get(&ovl->layers[0], fd, "nlink", relative, sizeof relative - 1);
        relative[size > 0 ? size : 0] = '\0';
        int base = relative[0] == 'U' ? (int)st.st_nlink : (int)lower_links;
        length = snprintf(text, sizeof text, "=%d", base + (size > 1 ? atoi(relative + 1) : 0));
    }
    text[length > 0 ? length : 0] = '\0';
    set_upper(ovl, shared, st.st_ino);
    unsigned linked = (unsigned)st.st_nlink - 1, shown = text[0] == '=' ? (unsigned)atoi(text + 1) : 0;
    shared->left = text[0] != '=' ? (unsigned)atoi(text) : shown > linked ? shown - linked : 0;
    return 0;
}

/* Whether what was to be removed when the file was written has been. */
static int load_pending(struct overlay *ovl, const char *name, struct shared *shared) {
    char text[PATH_MAX + 16];
    struct stat st;
    unsigned removed;
    int at = 0;
    ssize_t length = readlinkat(ovl->links, name, text, sizeof text - 1);
    if (length < 0)
        return -errno;
    text[length] = '\0';
    bool done = sscanf(text, "%u %n", &removed, &at) == 1 && at && removed > shared->removed &&
                (fstatat(ovl->layers[0].fd, text + at, &st, AT_SYMLINK_NOFOLLOW) == 0 ||
                 has_dot_whiteout(&ovl->layers[0], text + at));
    if (done)
        shared->removed = removed;
    if (ovl->flags & PTO_READ_ONLY)
        return 0;
    int error = done ? store_removed(ovl, shared) : 0;
    if (error)
        return error;
    drop_file(ovl, shared, PENDING);
    return 0;
}

static int load_one(struct overlay *ovl, const char *name, bool pending) {
    unsigned long long dev, ino;
    struct stat st;
    char suffix[sizeof PENDING] = "";
    if (sscanf(name, "%llx-%llx%8s", &dev, &ino, suffix) < 2 || (strcmp(suffix, PENDING) == 0) != pending)
        return 0;
    struct shared *shared = obtain(ovl, ino, (dev_t)dev);
    if (!shared)
        return -ENOMEM;
    if (pending)
        return load_pending(ovl, name, shared);
    if (!*suffix)
        return load_copy(ovl, ovl->links, name, shared, 0);
    if (fstatat(ovl->links, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    shared->removed = (unsigned)st.st_size;
    return 0;
}

/* First all that is settled, then what was pending. */
static int load(struct overlay *ovl, bool pending) {
    STREAM *stream;
    const struct dirent *entry;
    int error = open_stream(ovl->links, &stream);
    while (!error && !(error = read_stream(stream, &entry)) && entry)
        error = load_one(ovl, entry->d_name, pending);
    return error;
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

/* The kernel's, when there is anything in it. */
static void open_kernel_dir(struct overlay *ovl) {
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/index", ovl->work_root) >= (int)sizeof path)
        return;
    ovl->kernel_links = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (ovl->kernel_links < 0)
        return;
    STREAM *stream;
    const struct dirent *entry;
    bool found = false;
    int error = open_stream(ovl->kernel_links, &stream);
    while (!error && !found && !(error = read_stream(stream, &entry)) && entry)
        found = entry->d_name[0] != '.';
    if (!found) {
        fd_close(&ovl->kernel_links);
        ovl->kernel_links = -1;
    }
}

int links_open(struct overlay *ovl) {
    open_kernel_dir(ovl);
    int error = open_dir(ovl, false);
    if (error)
        return error == -ENOENT ? 0 : error;
    error = load(ovl, false);
    return error ? error : load(ovl, true);
}

/* ---- in a run ---- */

int links_begin(struct overlay *ovl, const struct statx *lower, char *name, unsigned *left) {
    dev_t dev = makedev(lower->stx_dev_major, lower->stx_dev_minor);
    const struct shared *known = links_find(ovl, lower);
    *left = lower->stx_nlink - (known ? known->removed : 0);
    if (lower->stx_nlink < 2 || *left < 2) {
        *left = 0;   /* the others were removed */
        return 0;
    }
    struct shared *shared = obtain(ovl, lower->stx_ino, dev);
    if (!shared)
        return -ENOMEM;
    link_name(shared, "", name);
    return open_dir(ovl, true);
}

int links_copied(struct overlay *ovl, const struct statx *lower, const char *name, unsigned left) {
    struct stat st;
    struct shared *shared = links_find(ovl, lower);
    if (!shared || fstatat(ovl->links, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return shared ? -errno : -ENOENT;
    set_upper(ovl, shared, st.st_ino);
    shared->left = left;
    if (shared->removed)
        drop_file(ovl, shared, REMOVED);
    shared->removed = 0;
    return 0;
}

/* All its names are in the upper: they are links of one file there, and need nothing more from us. */
static void forget(struct overlay *ovl, struct shared *shared) {
    char room[LINK_NAME];
    const char *name;
    int dirfd = copy_at(ovl, shared, room, &name);
    shared->left = 0;
    if (unlinkat(dirfd, name, 0) == 0)
        drop(ovl, shared);
    else
        (void)update_left(ovl, shared, 0, false);
}

/* The name that a lower has becomes a link of the copy. */
static int join(struct overlay *ovl, uint32_t d, struct shared *shared) {
    char name[NAME_MAX + 1], room[LINK_NAME];
    const char *link;
    struct timespec times[2];
    struct stat st;
    UPPER_DIR dir = {.fd = -1};
    int error = upper_dir_open(ovl, at(ovl, d)->parent, &dir);
    if (error)
        return error;
    index_name(&ovl->view->index, d, name);
    int copies = copy_at(ovl, shared, room, &link);
    if (fstatat(copies, link, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    error = update_left(ovl, shared, (unsigned)st.st_nlink - 1 + shared->left, true);
    if (error)
        return error;
    keep_times(dir.fd, times);
    if (linkat(copies, link, dir.fd, name, 0) < 0)
        return -errno;
    restore_times(dir.fd, times);
    shared->left -= shared->left > 0;
    if (shared->left == 0)
        forget(ovl, shared);
    else
        (void)update_left(ovl, shared, shared->left, false);   /* what it says until then is true as well */
    return 0;
}

/* The copy that the kernel has of a lower file, if it has one. */
static int adopt(struct overlay *ovl, uint32_t d, const struct statx *lower) {
    char name[KERNEL_INDEX_NAME];
    struct stat st;
    int error = handle_name(ovl, d, name);
    if (error == -EOPNOTSUPP || error == -EOVERFLOW)
        return 0;   /* then the kernel has none either */
    if (error || fstatat(ovl->kernel_links, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return error ? error : errno == ENOENT ? 0 : -errno;
    if ((st.st_mode & S_IFMT) != (lower->stx_mode & S_IFMT))
        return 0;   /* a whiteout: all its names were removed */
    struct shared *shared = obtain(ovl, lower->stx_ino, makedev(lower->stx_dev_major, lower->stx_dev_minor));
    char *copy = shared ? strdup(name) : NULL;
    if (!copy)
        return -ENOMEM;
    free(shared->kernel_name);
    shared->kernel_name = copy;
    return load_copy(ovl, ovl->kernel_links, name, shared, lower->stx_nlink);
}

/* What only a lower had is now what the copy is. */
static int in_upper(struct overlay *ovl, uint32_t d) {
    if (!(at(ovl, d)->flags & D_TARGET))
        index_free_stack(&ovl->view->index, at(ovl, d));
    view_changed(ovl);
    at(ovl, d)->upper = at(ovl, d)->lower;
    at(ovl, d)->flags &= (uint16_t)~(D_CHECKED | D_METACOPY);
    return check_upper(ovl, d);
}

int links_join(struct overlay *ovl, uint32_t d) {
    struct statx lower;
    int error = lower_statx(ovl, d, &lower);
    if (error)
        return error;
    struct shared *shared = links_find(ovl, &lower);
    if (!shared && ovl->kernel_links >= 0) {
        error = adopt(ovl, d, &lower);
        shared = links_find(ovl, &lower);
    }
    if (error || !shared || !shared->upper_ino)
        return error;
    if (ovl->flags & PTO_READ_ONLY) {
        at(ovl, d)->flags |= D_COPY;
        return in_upper(ovl, d);
    }
    error = copy_up_dir(ovl, at(ovl, d)->parent);
    if (!error)
        error = join(ovl, d, shared);
    return error ? error : in_upper(ovl, d);
}

int links_copy_path(const struct overlay *ovl, uint32_t d, char out[PATH_MAX]) {
    struct statx lower;
    char room[LINK_NAME];
    const char *name;
    int error = lower_statx(ovl, d, &lower);
    const struct shared *shared = error ? NULL : links_find(ovl, &lower);
    if (!shared)
        return error ? error : -ENOENT;
    copy_at(ovl, shared, room, &name);
    int length = snprintf(out, PATH_MAX, "%s/%s", shared->kernel_name ? "index" : "links", name);
    return length >= PATH_MAX ? -ENAMETOOLONG : (int)WORK_LAYER(ovl);
}

uint32_t links_count(const struct overlay *ovl, const struct statx *stx, bool upper) {
    if (ovl->n_shared == 0 || stx->stx_nlink < 2 || S_ISDIR(stx->stx_mode))
        return stx->stx_nlink;
    const struct shared *shared = upper ? find_upper(ovl, stx->stx_ino) : links_find(ovl, stx);
    if (!shared)
        return stx->stx_nlink;
    return upper ? stx->stx_nlink - 1 + shared->left : stx->stx_nlink - shared->removed;
}

uint32_t links_left(const struct overlay *ovl, const struct statx *stx) {
    const struct shared *shared = S_ISDIR(stx->stx_mode) || stx->stx_nlink < 2 ? NULL : links_find(ovl, stx);
    return shared && !shared->upper_ino ? stx->stx_nlink - shared->removed : 0;
}

int links_removing(struct overlay *ovl, uint32_t d, const struct statx *lower) {
    char name[LINK_NAME], text[PATH_MAX + 16], path[PATH_MAX];
    if (lower->stx_nlink < 2)
        return 0;
    struct shared *shared = obtain(ovl, lower->stx_ino, makedev(lower->stx_dev_major, lower->stx_dev_minor));
    int error = shared ? open_dir(ovl, true) : -ENOMEM;
    if (!error)
        error = path_in_upper(ovl, d, path);
    if (error < 0)
        return error;
    int length = snprintf(text, sizeof text, "%u %s", shared->removed + 1, path);
    if (length >= PATH_MAX)
        return 0;   /* no symlink can hold it: after a crash st_nlink may be too large */
    link_name(shared, PENDING, name);
    if (symlinkat(text, ovl->links, name) == 0)
        return 0;
    if (errno != EEXIST)
        return -errno;
    drop_file(ovl, shared, PENDING);
    return symlinkat(text, ovl->links, name) < 0 ? -errno : 0;
}

void links_removed(struct overlay *ovl, const struct statx *stx, bool upper) {
    if (stx->stx_nlink < 2 || S_ISDIR(stx->stx_mode))
        return;
    struct shared *shared = upper ? find_upper(ovl, stx->stx_ino) : links_find(ovl, stx);
    if (!shared)
        return;
    if (upper) {
        if (stx->stx_nlink <= 2 && shared->left == 0)   /* the last name that the view showed */
            forget(ovl, shared);
        return;
    }
    if (++shared->removed < stx->stx_nlink) {
        if (store_removed(ovl, shared) == 0)   /* else what is pending says it */
            drop_file(ovl, shared, PENDING);
        return;
    }
    drop_file(ovl, shared, REMOVED);
    drop_file(ovl, shared, PENDING);
    drop(ovl, shared);
}

void links_close(struct overlay *ovl) {
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
