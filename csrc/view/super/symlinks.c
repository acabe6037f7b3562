/* symlinks.c - symbolic links on the way to an upper or a work directory.
 *
 * What lies in directories of another user he may replace by a link to what only we may change.
 *
 * Rule: a link is followed if it is root's, ours, or of the owner of the directory that it leads to, as
 * fs.protected_symlinks has it (proc(5), may_follow_link() in fs/namei.c), but in all directories.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "symlinks.h"

#define DEPTH 40u /* links within links: MAXSYMLINKS */

static int follow(struct followed *followed, const char *path, unsigned depth);

/* `link` is the start of a path, up to the end of a name. */
static int follow_link(struct followed *followed, const char *link, const struct stat *st, unsigned depth) {
    char target[PATH_MAX];
    if (st->st_uid != 0 && st->st_uid != geteuid() && st->st_uid != followed->owner) {
        snprintf(followed->refused, sizeof followed->refused, "%s", link);
        followed->user = st->st_uid;
        return -EPERM;
    }
    ssize_t length = readlink(link, target, sizeof target - 1);
    if (length < 0)
        return -errno;
    target[length] = '\0';
    const char *name = strrchr(link, '/');
    int above = target[0] != '/' && name ? (int)(name - link) + 1 : 0;
    char *path;
    if (asprintf(&path, "%.*s%s", above, link, target) < 0)
        return -ENOMEM;
    int error = depth < DEPTH ? follow(followed, path, depth + 1) : -ELOOP;
    free(path);
    return error;
}

static int follow(struct followed *followed, const char *path, unsigned depth) {
    char *text = strdup(path);
    if (!text)
        return -ENOMEM;
    int error = 0;
    for (size_t end = 1, length = strlen(path); end <= length && !error; end++) {
        struct stat st;
        if (path[end] != '/' && path[end] != '\0')
            continue;
        text[end] = '\0';
        if (lstat(text, &st) < 0)
            error = -errno;
        else if (S_ISLNK(st.st_mode))
            error = follow_link(followed, text, &st, depth);
        text[end] = path[end];
    }
    free(text);
    return error;
}

int symlinks_check(const char *path, struct followed *followed) {
    struct stat st;
    followed->refused[0] = '\0';
    if (stat(path, &st) < 0)
        return 0; /* who opens it says so */
    followed->owner = st.st_uid;
    return follow(followed, path, 0);
}
