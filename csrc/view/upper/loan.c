/* loan.c - an ordinary user's own object without write permission is lent it for as long as it is changed or moved.
 *
 * Rules: the mode to give back is noted in the work directory before it is changed, as a symlink INODE.lent to
 * "MODE INODE PATH", so that the next start can give it back when this run ends in between; root needs no loan, and
 * what belongs to another owner cannot be lent.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../layers/layers.h"
#include "upper.h"

static mode_t lent_mode(const struct stat *st, mode_t mode) {
    return mode | (S_ISDIR(st->st_mode) ? 0700 : 0200);
}

static bool needs_loan(const struct overlay *ovl, const struct stat *st) {
    mode_t wanted = S_ISDIR(st->st_mode) ? 0300 : 0200;
    return !S_ISLNK(st->st_mode) && (st->st_mode & wanted) != wanted && st->st_uid == ovl->view->own.fsuid;
}

/* path: relative to the upper, where the directory is or will be; what lies elsewhere needs no note. */
static int write_note(struct loan *loan, const struct stat *st, const char *path) {
    char text[PATH_MAX];
    int length = snprintf(text, sizeof text, "%o %llu %s", st->st_mode & 07777, (unsigned long long)st->st_ino, path);
    loan->note[0] = '\0';
    if (length >= (int)sizeof text)
        return -ENAMETOOLONG;
    snprintf(loan->note, sizeof loan->note, "%llx" LOAN_NOTE, (unsigned long long)st->st_ino);
    if (symlinkat(text, loan->ovl->work, loan->note) == 0)
        return 0;
    /* One that could not be removed when its loan had ended. */
    bool left = errno == EEXIST && unlinkat(loan->ovl->work, loan->note, 0) == 0;
    return left && symlinkat(text, loan->ovl->work, loan->note) == 0 ? 0 : -errno;
}

int loan_take(const struct overlay *ovl, int fd, const char *path, struct loan *loan) {
    struct stat st;
    char name[FD_PATH];
    *loan = (struct loan){.ovl = ovl, .fd = fd};
    if (cred_capable(&ovl->view->own, CAP_DAC_OVERRIDE))
        return 0;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!needs_loan(ovl, &st))
        return 0;
    int error = write_note(loan, &st, path);
    if (error)
        return error;
    fd_path(fd, name);
    loan->mode = st.st_mode & 07777;
    loan->taken = chmod(name, lent_mode(&st, loan->mode)) == 0;
    if (!loan->taken) {
        error = -errno;
        (void)!unlinkat(ovl->work, loan->note, 0);
    }
    return error;
}

void loan_end(struct loan *loan) {
    char name[FD_PATH];
    if (!loan->taken)
        return;
    loan->taken = false;
    fd_path(loan->fd, name);
    /* Tried twice, for memory or a descriptor may have been short; then it is the next start that tries. */
    if (chmod(name, loan->mode) == 0 || chmod(name, loan->mode) == 0)
        (void)!unlinkat(loan->ovl->work, loan->note, 0);
}

int loan_settle(struct overlay *ovl, const char *note) {
    char text[PATH_MAX], name[FD_PATH];
    struct stat st;
    unsigned mode;
    unsigned long long ino;
    int at = 0;
    ssize_t length = readlinkat(ovl->work, note, text, sizeof text - 1);
    text[length > 0 ? length : 0] = '\0';
    if (sscanf(text, "%o %llu %n", &mode, &ino, &at) != 2 || !at)
        return 0;
    CLOSE_FD fd = fd_beneath(ovl->layers[0].fd, text + at, O_PATH | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &st) < 0 || st.st_ino != ino || (st.st_mode & 07777) != lent_mode(&st, mode))
        return 0;   /* given back, or changed since */
    fd_path(fd, name);
    (void)!chmod(name, mode);   /* fails only where somebody changed its owner since */
    return 0;
}
