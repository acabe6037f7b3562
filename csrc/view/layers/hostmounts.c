/* hostmounts.c - what the host has mounted where a view shows a lower at its own place.
 *
 * Source: proc_pid_mountinfo(5).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "layers.h"

struct mount_line {
    dev_t dev; /* of the file system, which need not be what stat tells */
    char *root, *path; /* what of it is mounted, and where */
    char *type;
};

static void clear_line(struct mount_line *mount) {
    free(mount->root);
    free(mount->path);
    free(mount->type);
    *mount = (struct mount_line){0};
}

/* The octal escapes. */
static void unescape(char *path) {
    char *out = path;
    for (const char *in = path; *in; in++)
        if (in[0] == '\\' && in[1] >= '0' && in[1] <= '3' && in[2] && in[3]) {
            *out++ = (char)((in[1] - '0') << 6 | (in[2] - '0') << 3 | (in[3] - '0'));
            in += 3;
        } else {
            *out++ = *in;
        }
    *out = '\0';
}

/* 1, 0: this line tells of none; -ENOMEM. */
static int parse_line(const char *line, struct mount_line *mount) {
    unsigned major, minor;
    *mount = (struct mount_line){0};
    if (sscanf(line, "%*s %*s %u:%u %ms %ms", &major, &minor, &mount->root, &mount->path) != 4) {
        clear_line(mount);
        return 0;
    }
    const char *behind = strstr(line, " - "); /* spaces in paths are escaped */
    mount->dev = makedev(major, minor);
    mount->type = strndup(behind ? behind + 3 : "", behind ? strcspn(behind + 3, " ") : 0);
    unescape(mount->root);
    unescape(mount->path);
    if (mount->type)
        return 1;
    clear_line(mount);
    return -ENOMEM;
}

/* Calls it for each line until it returns not 0; what it returned last. */
static int each_mount(int (*take)(void *arg, const struct mount_line *mount), void *arg) {
    FILE *info = fopen("/proc/self/mountinfo", "re");
    if (!info)
        return -errno;
    char *line = NULL;
    size_t size = 0;
    int error = 0;
    while (!error && getline(&line, &size, info) > 0) {
        struct mount_line mount;
        error = parse_line(line, &mount);
        if (error == 1)
            error = take(arg, &mount);
        clear_line(&mount);
    }
    free(line);
    fclose(info);
    return error;
}

/* ---- below a lower ---- */

static int add_submount(void *arg, const struct mount_line *mount) {
    struct stat st;
    struct overlay *ovl = arg;
    size_t length = path_length(mount->path);
    if (length <= ovl->mount_length || !path_below(mount->path, length, ovl->mount, ovl->mount_length) ||
        lstat(mount->path, &st) < 0 || st.st_dev == ovl->dev)
        return 0;
    struct submount *submounts = realloc(ovl->submounts, (ovl->n_submounts + 1) * sizeof *submounts);
    if (!submounts)
        return -ENOMEM;
    ovl->submounts = submounts;
    char *copy = strdup(mount->path);
    if (!copy)
        return -ENOMEM;
    submounts[ovl->n_submounts++] = (struct submount){.path = copy, .length = length, .dev = st.st_dev};
    return 0;
}

int places_find_mounts(struct overlay *ovl) {
    int error = ovl->own ? each_mount(add_submount, ovl) : 0;
    return error == -ENOMEM ? error : 0;
}

/* ---- in two places ---- */

/* What overlays show of the host's mounts. */
struct shown_mounts {
    struct mount_line *mounts;
    size_t n;
};

static int add_shown(struct shown_mounts *shown, const struct mount_line *mount, const char *below, const char *path) {
    struct mount_line *mounts = realloc(shown->mounts, (shown->n + 1) * sizeof *mounts);
    if (!mounts)
        return -ENOMEM;
    shown->mounts = mounts;
    struct mount_line *copy = &mounts[shown->n++];
    *copy = (struct mount_line){.dev = mount->dev, .path = strdup(path), .type = strdup(mount->type)};
    if (asprintf(&copy->root, "%.*s%s", (int)path_length(mount->root), mount->root, below) < 0)
        copy->root = NULL;
    return copy->root && copy->path && copy->type ? 0 : -ENOMEM;
}

static int add_any(void *arg, const struct mount_line *mount) {
    return add_shown(arg, mount, "", mount->path);
}

/* The part that shows of the mount that an overlay lies in, the innermost one, and all mounts below: but none in places
 * that show the host and no lower. */
static int add_of_overlay(struct shown_mounts *shown, const struct shown_mounts *all, const pto_view *view,
                          const struct overlay *ovl) {
    const struct mount_line *around = NULL;
    int error = 0;
    for (size_t i = 0; i < all->n && !error; i++) {
        const struct mount_line *mount = &all->mounts[i];
        size_t length = path_length(mount->path);
        const struct place *place = place_of(view, mount->path, length);
        if (path_below(ovl->mount, ovl->mount_length, mount->path, length) &&
            (!around || length >= path_length(around->path)))
            around = mount;
        else if (path_below(mount->path, length, ovl->mount, ovl->mount_length) && place && place->overlay == ovl)
            error = add_shown(shown, mount, "", mount->path);
    }
    if (error || !around)
        return error;
    const char *rest = ovl->mount + path_length(around->path);
    return add_shown(shown, around, rest, ovl->mount_length ? ovl->mount : "/");
}

/* Has the one the other's root, at another place than its own? */
static bool shows_again(const struct mount_line *whole, const struct mount_line *part) {
    size_t root = path_length(whole->root), path = path_length(whole->path);
    return path_below(part->root, path_length(part->root), whole->root, root) &&
           !(strncmp(part->path, whole->path, path) == 0 && strcmp(part->path + path, part->root + root) == 0);
}

/* Does stat tell the same device of all that is in it?  Not of what has subvolumes, nor of overlays. */
static bool has_one_device(const char *type) {
    static const char *const types[] = {"ext2", "ext3", "ext4", "xfs", "f2fs", "tmpfs", "ramfs", "devtmpfs"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(type, types[i]) == 0)
            return true;
    return false;
}

static size_t add_device(dev_t *devs, size_t n, size_t most, const struct mount_line *mount) {
    for (size_t i = 0; i < n && i < most; i++)
        if (devs[i] == mount->dev)
            return n;
    if (n >= most || !has_one_device(mount->type))
        return most + 1;
    devs[n] = mount->dev;
    return n + 1;
}

static size_t find_twice(const struct shown_mounts *shown, dev_t *devs, size_t most) {
    size_t n = 0;
    for (size_t i = 0; i < shown->n; i++)
        for (size_t k = 0; k < i && n <= most; k++) {
            const struct mount_line *a = &shown->mounts[i], *b = &shown->mounts[k];
            if (a->dev == b->dev && (shows_again(a, b) || shows_again(b, a)))
                n = add_device(devs, n, most, a);
        }
    return n;
}

static void clear_shown(struct shown_mounts *shown) {
    for (size_t i = 0; i < shown->n; i++)
        clear_line(&shown->mounts[i]);
    free(shown->mounts);
}

size_t view_shown_twice(const pto_view *view, dev_t *devs, size_t most) {
    struct shown_mounts all = {0}, shown = {0};
    int error = each_mount(add_any, &all);
    for (size_t i = 0; i < view->n_overlays && !error; i++)
        error = add_of_overlay(&shown, &all, view, view->overlays[i]);
    size_t n = error ? most + 1 : find_twice(&shown, devs, most);
    clear_shown(&all);
    clear_shown(&shown);
    return n;
}
