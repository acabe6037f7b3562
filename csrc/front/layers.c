/* layers.c - the upper and the work directory of a plain run: those that are there, or temporary ones.
 *
 * It does what ptoverlay/layers.py does for them; an upper or a work directory that is to be made is left to that.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "layers.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../ptoverlay.h"

static bool is_there(const char *directory, const char *below) {
    char path[2 * PATH_MAX];
    struct stat st;
    snprintf(path, sizeof path, "%s%s", directory, below);
    return lstat(path, &st) == 0;
}

static bool is_directory(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* As it was named, for messages of a later run. */
static bool set_absolute(const char *path, char *out, size_t size) {
    char here[PATH_MAX] = "";
    if (path[0] != '/' && !getcwd(here, sizeof here))
        return false;
    int length = snprintf(out, size, "%s%s%s", here, *here ? "/" : "", path);
    return length > 0 && length < PATH_MAX;
}

/* Beside the upper: .NAME.work. */
static bool set_usual_work(struct front_layers *layers) {
    char real[PATH_MAX];
    if (!realpath(layers->upper, real))
        return false;
    char *name = strrchr(real, '/') + 1;
    int length = snprintf(layers->work, sizeof layers->work, "%.*s.%s.work", (int)(name - real), real, name);
    return *name && length > 0 && length < PATH_MAX;
}

static bool find(struct front_layers *layers, const struct words *words) {
    if (!set_absolute(words->upper, layers->upper, sizeof layers->upper) || !is_directory(layers->upper))
        return false;
    bool named = words->work ? set_absolute(words->work, layers->work, sizeof layers->work) : set_usual_work(layers);
    layers->unused = named && !is_there(layers->work, "/work");
    return named && is_directory(layers->work) && !is_there(layers->work, "/commit/journal");
}

static bool make(struct front_layers *layers, const char *lower) {
    if (pto_make_temporary(lower, layers->top, sizeof layers->top - 8) < 0) {
        layers->top[0] = '\0';
        return false;
    }
    snprintf(layers->upper, sizeof layers->upper, "%s/upper", layers->top);
    snprintf(layers->work, sizeof layers->work, "%s/work", layers->top);
    return true;
}

bool front_layers_find(struct front_layers *layers, const struct words *words) {
    return words->upper ? find(layers, words) : !words->work && make(layers, words->lowers[0]);
}

/* Locked as a run locks it; -1: it is in use. */
static int lock(const char *path) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

void front_layers_take_back(const struct front_layers *layers) {
    if (*layers->top || !layers->unused)
        return;
    int upper = lock(layers->upper);
    if (upper < 0)
        return;
    int work = lock(layers->work);
    if (work >= 0) {
        (void)!unlinkat(work, "work/incompat", AT_REMOVEDIR);
        (void)!unlinkat(work, "work", AT_REMOVEDIR);
        (void)close(work);
    }
    (void)close(upper);
}
