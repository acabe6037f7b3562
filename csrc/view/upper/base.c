/* base.c - what a text of the host's was when the layer took its name over, kept for who merges both sides' changes of
 * it later (ptoverlay commit --merge).
 *
 * A text lies in <work>/bases under the hash of its path in the lower: the path, a NUL, the text.
 *
 * Rules: only in sandboxes with a name (PTO_BASES); nothing of it is an error, what could not be kept is not merged.
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
#include <unistd.h>

#include "../layers/layers.h"
#include "upper.h"

#define BASES "bases"
#define LARGEST (256u << 10) /* bytes of a text */
#define LOOKED_AT 8000u      /* a file with a NUL before that is no text */

static void free_text(char **text) {
    free(*text);
}

/* FNV-1a. */
static unsigned long long hash(const char *path) {
    uint64_t value = 0xcbf29ce484222325u;
    for (; *path; path++)
        value = (value ^ (unsigned char)*path) * 0x100000001b3u;
    return value;
}

static bool put_all(int fd, const char *data, size_t size) {
    while (size) {
        ssize_t put = write(fd, data, size);
        if (put <= 0)
            return false;
        data += put;
        size -= (size_t)put;
    }
    return true;
}

/* The whole file, if it is a text: its length, else 0. */
static size_t read_text(int fd, char **out) {
    struct stat st;
    if (fstat(fd, &st) < 0 || st.st_size <= 0 || st.st_size > (off_t)LARGEST)
        return 0;
    size_t size = (size_t)st.st_size, done = 0;
    *out = malloc(size);
    while (*out && done < size) {
        ssize_t got = pread(fd, *out + done, size - done, (off_t)done);
        if (got <= 0 || (!done && memchr(*out, 0, (size_t)got < LOOKED_AT ? (size_t)got : LOOKED_AT)))
            return 0;
        done += (size_t)got;
    }
    return *out ? size : 0;
}

static void put_text(struct overlay *ovl, const char *path, const char *text, size_t size) {
    WORK_OBJECT object;
    char name[sizeof BASES + 20];
    work_object_init(ovl, &object);
    CLOSE_FD fd = openat(ovl->work, object.name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        object.name[0] = '\0';
        return;
    }
    if (!put_all(fd, path, strlen(path) + 1) || !put_all(fd, text, size))
        return;
    snprintf(name, sizeof name, BASES "/%016llx", hash(path));
    int done = renameat(ovl->work, object.name, ovl->locks[1], name);
    if (done < 0 && errno == ENOENT && mkdirat(ovl->locks[1], BASES, 0700) == 0)
        done = renameat(ovl->work, object.name, ovl->locks[1], name);
    if (done == 0)
        object.name[0] = '\0';
}

void base_keep(struct overlay *ovl, uint32_t d) {
    const struct dentry *dentry = at(ovl, d);
    if (!(ovl->flags & PTO_BASES) || ovl->stacked || ovl->locks[1] < 0)
        return;
    if (dentry->upper != KIND_NONE || dentry->lower != DT_REG || dentry->layer != ovl->n_lowers)
        return; /* nothing of the host's shows here */
    char path[VIEW_PATH_MAX];
    if (path_in_lower(ovl, d, dentry->layer, path) < 0)
        return;
    CLOSE_FD fd = lower_open(ovl, d, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    __attribute__((cleanup(free_text))) char *text = NULL;
    size_t size = fd < 0 ? 0 : read_text(fd, &text);
    if (size)
        put_text(ovl, path, text, size);
}
