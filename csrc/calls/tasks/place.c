/* place.c - where a link of /proc leads, however long the path is.
 *
 * The kernel tells no path of PATH_MAX bytes and more of a descriptor or a working directory.  Of a directory it is
 * found by climbing to the first one above of which it is told, and reading there who has which name; of a regular file
 * by mapping it, since what is mapped is told by paths of any length (proc(5), maps).
 *
 * Rules: names may change meanwhile, as they may after any readlink(2): who acts on the path looks again.  What cannot
 * be found, because we may not read there, is ENAMETOOLONG, as it is for the kernel.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../process/descriptor.h"
#include "place.h"

static const char deleted[] = " (deleted)";
/* Stands for the name that a removed directory had, of which nothing tells. */
#define REMOVED "removed"

/* ---- directories ---- */

/* A path that grows to the left. */
struct left {
    char *start, *at;
};

static bool put_before(struct left *left, const char *name) {
    size_t length = strlen(name);
    if ((size_t)(left->at - left->start) < length + 1)
        return false;
    left->at -= length;
    memcpy(left->at, name, length);
    *--left->at = '/';
    return true;
}

static bool is_same(const struct stat *one, const struct stat *other) {
    return one->st_dev == other->st_dev && one->st_ino == other->st_ino;
}

/* The name of a directory in the one above it; every: also names that the listing has other numbers for, as those of
 * mount points.  false: it has none that can be found. */
static bool find_name(DIR *above, const struct stat *wanted, bool every, char name[NAME_MAX + 1]) {
    struct stat st;
    const struct dirent *entry;
    rewinddir(above);
    while ((entry = readdir(above))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            (!every && entry->d_ino != wanted->st_ino))
            continue;
        if (fstatat(dirfd(above), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && is_same(&st, wanted)) {
            strcpy(name, entry->d_name);
            return true;
        }
    }
    return false;
}

/* One step up, from *fd, with the name before the path.  false: it has no name; -errno in *error. */
static bool climb(int *fd, struct left *left, int *error) {
    char name[NAME_MAX + 1];
    struct stat st;
    *error = -ENAMETOOLONG;
    int up = openat(*fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLOSE_DIRECTORY *above = up < 0 ? NULL : fdopendir(up);
    if (!above || fstat(*fd, &st) < 0) {
        if (up >= 0 && !above)
            close(up);
        return true;
    }
    bool found = find_name(above, &st, false, name) || find_name(above, &st, true, name);
    if (!put_before(left, found ? name : REMOVED))
        return true;
    close(*fd);
    *fd = openat(up, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    *error = *fd < 0 ? -ENAMETOOLONG : 0;
    return found;
}

static int of_directory(int held, char *real) {
    char link[PROC_LINK], top[PATH_MAX];
    struct left left = {.start = real, .at = real + VIEW_PATH_MAX - 1};
    CLOSE_DESCRIPTOR fd = fcntl(held, F_DUPFD_CLOEXEC, 0);
    int kind = OBJECT_NAMED, error = fd < 0 ? -errno : 0, found = -ENAMETOOLONG;
    *left.at = '\0';
    for (bool first = true; !error && found == -ENAMETOOLONG; first = false) {
        if (!climb(&fd, &left, &error) && first)
            kind = OBJECT_DELETED;
        if (error)
            return error;
        descriptor_own_link(fd, link);
        found = object_read(link, top);
    }
    if (error || found != OBJECT_NAMED)
        return error ? error : found < 0 ? found : OBJECT_DELETED;
    size_t above = strcmp(top, "/") == 0 ? 0 : strlen(top), below = (size_t)(real + VIEW_PATH_MAX - left.at);
    if (above + below > VIEW_PATH_MAX)
        return -ENAMETOOLONG;
    memmove(real + above, left.at, below);
    memcpy(real, top, above);
    return kind;
}

/* ---- regular files ---- */

/* The path of the mapping that begins at that address, as a line of /proc/self/maps has it; its length, or -errno. */
static ssize_t mapped_path(const void *address, char *real) {
    char text[2 * VIEW_PATH_MAX];
    char wanted[32];
    size_t kept = 0;
    ssize_t n;
    CLOSE_DESCRIPTOR maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    int length = snprintf(wanted, sizeof wanted, "%08" PRIxPTR "-", (uintptr_t)address);
    while (maps >= 0 && (n = read(maps, text + kept, sizeof text - kept)) > 0) {
        kept += (size_t)n;
        char *line = text;
        for (char *end; (end = memchr(line, '\n', kept - (size_t)(line - text))); line = end + 1) {
            *end = '\0';
            const char *path = strncmp(line, wanted, (size_t)length) == 0 ? strchr(line, '/') : NULL;
            if (path && end - path < VIEW_PATH_MAX) {
                memcpy(real, path, (size_t)(end - path) + 1);
                return end - path;
            }
        }
        kept -= (size_t)(line - text);
        memmove(text, line, kept);
    }
    return -ENAMETOOLONG;
}

static bool leads_to(const char *path, const struct stat *wanted) {
    struct stat st;
    CLOSE_DESCRIPTOR fd = view_open_exact(path, O_PATH | O_NOFOLLOW, 0);
    return fd >= 0 && fstat(fd, &st) == 0 && is_same(&st, wanted);
}

/* A newline is written as \012, and a backslash as itself. */
static void with_newlines(const char *path, char *out) {
    for (; *path; path++) {
        bool newline = strncmp(path, "\\012", 4) == 0;
        *out++ = newline ? '\n' : *path;
        path += newline ? 3 : 0;
    }
    *out = '\0';
}

static int of_file(int held, char *real) {
    char link[PROC_LINK], plain[VIEW_PATH_MAX];
    struct stat st;
    descriptor_own_link(held, link);
    CLOSE_DESCRIPTOR fd = open(link, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    void *map = fd < 0 ? MAP_FAILED : mmap(NULL, 1, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED)
        return -ENAMETOOLONG;
    ssize_t length = fstat(fd, &st) < 0 ? -ENAMETOOLONG : mapped_path(map, plain);
    (void)munmap(map, 1);
    if (length < 0)
        return (int)length;
    with_newlines(plain, real);
    if (leads_to(real, &st))
        return OBJECT_NAMED;
    memcpy(real, plain, (size_t)length + 1);
    size_t tail = sizeof deleted - 1;
    if (leads_to(real, &st) || (size_t)length <= tail || strcmp(real + length - tail, deleted) != 0)
        return OBJECT_NAMED;
    real[(size_t)length - tail] = '\0';
    return OBJECT_DELETED;
}

int place_read(const char *link, char *real) {
    struct stat st;
    int kind = object_read(link, real);
    if (kind != -ENAMETOOLONG)
        return kind;
    CLOSE_DESCRIPTOR fd = open(link, O_PATH | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if (S_ISDIR(st.st_mode))
        return of_directory(fd, real);
    return S_ISREG(st.st_mode) ? of_file(fd, real) : -ENAMETOOLONG;
}
