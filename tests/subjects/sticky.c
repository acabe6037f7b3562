/* sticky.c - subject: what is opened and followed in sticky directories: fs.protected_regular, protected_fifos, protected_symlinks.
 *
 * sticky BASE UID: below BASE are directories MODE-OWNER, and in each file-OWNER, fifo-OWNER, link-OWNER to ../target, and
 * dirlink-OWNER to `..`.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "subject.h"

#include <dirent.h>
#include <grp.h>
#include <linux/openat2.h>
#include <stdlib.h>

static long open2(const char *path, unsigned long long flags, unsigned long long resolve) {
    struct open_how how = {flags, flags & O_CREAT ? 0600 : 0, resolve};
    long fd;
    do
        fd = SYS(openat2, AT_FDCWD, path, &how, sizeof how);
    while (fd == -EAGAIN); /* something was renamed or mounted anywhere meanwhile: openat2(2) */
    return fd;
}

static void object(const char *path) {
    struct stat st;
    int flags = O_RDWR | O_NONBLOCK;
    (void)ok(text("%s create", path), SYS(openat, AT_FDCWD, path, flags | O_CREAT, 0600));
    (void)ok(text("%s open", path), SYS(openat, AT_FDCWD, path, flags));
    (void)ok(text("%s exclusive", path), SYS(openat, AT_FDCWD, path, flags | O_CREAT | O_EXCL, 0600));
    (void)ok(text("%s not followed", path), SYS(openat, AT_FDCWD, path, flags | O_CREAT | O_NOFOLLOW, 0600));
    (void)ok(text("%s beneath", path), open2(path, (unsigned)flags, RESOLVE_BENEATH));
    (void)ok(text("%s beneath create", path), open2(path, (unsigned)(flags | O_CREAT), RESOLVE_BENEATH));
    (void)say(text("%s stat", path), SYS(newfstatat, AT_FDCWD, path, &st, 0));
    (void)say(text("%s lstat", path), SYS(newfstatat, AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW));
    (void)say(text("%s chmod", path), SYS(chmod, path, 0666));
    (void)say(text("%s truncate", path), SYS(truncate, path, 3));
}

static void directory(const char *name) {
    DIR *dir = opendir(name);
    struct dirent **entries;
    struct stat st;
    if (dir)
        (void)closedir(dir);
    int n = scandir(name, &entries, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        const char *entry = entries[i]->d_name;
        if (strncmp(entry, "dirlink-", 8) == 0) {
            (void)say(text("%s/%s/target", name, entry),
                      SYS(newfstatat, AT_FDCWD, text("%s/%s/target", name, entry), &st, 0));
            (void)say(text("%s/%s/", name, entry), SYS(newfstatat, AT_FDCWD, text("%s/%s/", name, entry), &st, 0));
        } else if (entry[0] != '.') {
            object(keep(text("%s/%s", name, entry)));
        }
    }
}

int main(int argc, char **argv) {
    const char *base = subject_start(2, argv);
    unsigned id = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
    struct dirent **entries;
    if (id && (setgroups(0, NULL) < 0 || setgid(id) < 0 || setuid(id) < 0))
        return 1;
    int n = scandir(base, &entries, NULL, alphasort);
    for (int i = 0; i < n; i++)
        if (entries[i]->d_name[0] >= '0' && entries[i]->d_name[0] <= '9')
            directory(entries[i]->d_name);
    return 0;
}
