/* temporary.c - the layers of a run that go away with it, and what a new upper takes over from the lower below it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "../ptoverlay.h"

/* What only the view reads: an owner that the file itself has not, in the form of private_store_shown()
 * (csrc/view/upper/private_set.c). */
#define KEPT "user.overlay.ptoverlay.kept"

static void keep_owner(const char *upper, const struct stat *st) {
    char kept[96];
    int length = snprintf(kept, sizeof kept, "1:%u:%u:%o:0:0:0:0", st->st_uid, st->st_gid, st->st_mode);
    (void)!chown(upper, (uid_t)-1, st->st_gid);   /* nor the group, maybe */
    (void)setxattr(upper, KEPT, kept, (size_t)length, 0); /* where there are no attributes the root is the user's own */
}

int pto_copy_root(const char *lower, const char *upper) {
    struct stat st;
    if (stat(lower, &st) < 0)
        return 0; /* the view says what is wrong with the lower */
    mode_t mode = st.st_mode & 07777;
    if (chown(upper, st.st_uid, st.st_gid) < 0) {
        if (errno != EPERM && errno != EINVAL)
            return -errno;
        keep_owner(upper, &st);
        mode = (mode & 0777) | 0700;
    }
    const struct timespec times[] = {st.st_atim, st.st_mtim};
    /* the mode after the owner, which takes the set-id bits away */
    return chmod(upper, mode) < 0 || utimensat(AT_FDCWD, upper, times, 0) < 0 ? -errno : 0;
}

/* The view's root is never more open than what it lies on, not even for the moment before its mode is set. */
static mode_t root_mode(const char *lower) {
    struct stat st;
    return stat(lower, &st) < 0 ? 0755 : st.st_mode & 07777;
}

static int make_below(const char *top, const char *lower) {
    char path[PATH_MAX + 8];
    /* Programs that change their ids must get through to the upper, but need not see what else is there. */
    if (chmod(top, 0711) < 0)
        return -errno;
    snprintf(path, sizeof path, "%s/work", top);
    if (mkdir(path, 0755) < 0)
        return -errno;
    snprintf(path, sizeof path, "%s/upper", top);
    return mkdir(path, root_mode(lower)) < 0 ? -errno : pto_copy_root(lower, path);
}

int pto_make_temporary(const char *lower, char *top, size_t size) {
    uint64_t number;
    const char *place = getenv("TMPDIR");
    if (getrandom(&number, sizeof number, 0) != sizeof number)
        return -errno;
    int length =
        snprintf(top, size, "%s/ptoverlay-%016llx", place && *place ? place : "/tmp", (unsigned long long)number);
    if (length < 0 || (size_t)length >= size || length >= PATH_MAX)
        return -ENAMETOOLONG;
    if (mkdir(top, 0700) < 0)
        return -errno;
    int error = make_below(top, lower);
    if (error) {
        char failed[NAME_MAX + 1];
        (void)pto_remove_tree(top, failed, sizeof failed);
    }
    return error;
}
