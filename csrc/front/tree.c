/* tree.c - removes a whole directory, whatever a program has left in it.
 *
 * A directory found inside is emptied of its own directories by moving them up into the top, so that neither the depth
 * of the tree nor the length of its paths matters.
 *
 * Rules: no symbolic link is followed; every name is taken relative to an open directory, so nothing outside the
 * directory that was given can be reached, however the tree is changed meanwhile.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../ptoverlay.h"

#define DIRECTORY (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define NUMBER sizeof ".18446744073709551615"

struct removal {
    int top;
    unsigned long moved;           /* numbers the directories that were moved up */
    char *failed;                  /* gets the name of what could not be removed */
    size_t size;
};

/* Takes from a file or directory what its mode and its flags (chattr(1)) forbid its owner; failing is no error. */
static void unlock(int directory, const char *name) {
    char path[sizeof "/proc/self/fd/" + 11];
    struct stat st;
    int handle = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC), flags = 0;
    if (handle < 0)
        return;
    snprintf(path, sizeof path, "/proc/self/fd/%d", handle);
    bool known = fstat(handle, &st) == 0;
    if (known && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))) {
        int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        if (fd >= 0) {
            (void)ioctl(fd, FS_IOC_SETFLAGS, &flags);
            close(fd);
        }
    }
    if (known && S_ISDIR(st.st_mode))
        (void)!chmod(path, 0700);
    close(handle);
}

/* After what was forbidden: whether it is worth another try, now that the object and its directory are unlocked. */
static bool may_try_again(int fd, const char *name) {
    if (errno != EACCES && errno != EPERM)
        return false;
    unlock(fd, ".");
    unlock(fd, name);
    return true;
}

static int give_up(const struct removal *removal, const char *name) {
    int error = errno;
    snprintf(removal->failed, removal->size, "%s", name);
    return -error;
}

static int insist_unlink(const struct removal *removal, int fd, const char *name, int flags) {
    if (unlinkat(fd, name, flags) == 0 || (may_try_again(fd, name) && unlinkat(fd, name, flags) == 0))
        return 0;
    return give_up(removal, name);
}

/* Moves a directory into the top under a number that no name there has. */
static int move_up(struct removal *removal, int fd, const char *name) {
    char number[NUMBER];
    struct stat st;
    do
        snprintf(number, sizeof number, ".%lu", ++removal->moved);
    while (fstatat(removal->top, number, &st, AT_SYMLINK_NOFOLLOW) == 0);
    if (errno != ENOENT)
        return give_up(removal, name);
    if (renameat(fd, name, removal->top, number) == 0 ||
        (may_try_again(fd, name) && renameat(fd, name, removal->top, number) == 0))
        return 0;
    return give_up(removal, name);
}

static bool is_dots(const char *name) {
    return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

static bool is_directory(int fd, const struct dirent *entry) {
    struct stat st;
    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type == DT_DIR;
    return fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

typedef int entry_fn(struct removal *removal, int fd, const char *name);

static int unlink_entry(struct removal *removal, int fd, const char *name) {
    return insist_unlink(removal, fd, name, 0);
}

/* Empties an open directory: `directories` takes away one that is in it.  Names that come or go while it is read may be
 * missed, so it is read until it has none.  It takes fd over. */
static int empty(struct removal *removal, int fd, entry_fn *directories) {
    DIR *dir = fdopendir(fd);
    int error = dir ? 0 : -errno;
    bool found = dir != NULL;
    if (!dir)
        close(fd);
    while (found && !error) {
        found = false;
        rewinddir(dir);
        for (const struct dirent *entry; !error && (errno = 0, entry = readdir(dir));) {
            if (is_dots(entry->d_name))
                continue;
            found = true;
            error = (is_directory(dirfd(dir), entry) ? directories : unlink_entry)(removal, dirfd(dir), entry->d_name);
        }
        if (!error)
            error = -errno;
    }
    if (dir)
        closedir(dir);
    return error;
}

static int remove_directory(struct removal *removal, int top, const char *name) {
    int fd = openat(top, name, DIRECTORY);
    if (fd < 0 && errno == EACCES) {
        unlock(top, name);
        fd = openat(top, name, DIRECTORY);
    }
    if (fd < 0)
        return give_up(removal, name);
    int error = empty(removal, fd, move_up);
    return error ? error : insist_unlink(removal, top, name, AT_REMOVEDIR);
}

int pto_remove_tree(const char *path, char *failed, size_t size) {
    struct removal removal = {.top = open(path, DIRECTORY), .failed = failed, .size = size};
    if (removal.top < 0)
        return give_up(&removal, path);
    int again = openat(removal.top, ".", DIRECTORY);
    int error = again < 0 ? give_up(&removal, path) : empty(&removal, again, remove_directory);
    close(removal.top);
    return error ? error : rmdir(path) < 0 ? give_up(&removal, path) : 0;
}
