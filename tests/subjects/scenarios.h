/* scenarios.h - what faults.c does: its lowers, and calls on them, each of which goes through another part of the view.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SCENARIOS_H
#define SCENARIOS_H

#include <ftw.h>
#include <stdbool.h>
#include <sys/xattr.h>

#include "wrap.h"

/* Ends the program when the result is negative. */
static void must(int result, const char *what);
static void give_up(const char *what) __attribute__((noreturn));

static void put(const char *path, const char *text, mode_t mode) {
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    must(fd, path);
    if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        give_up(path);
    must(fchmod(fd, mode), path);
    must(close(fd), path);
}

static int age_one(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
    const struct timespec times[2] = {{1000000000, 5}, {1000000000, 5}};
    (void)st;
    (void)flag;
    (void)ftw;
    return utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW);
}

static void make_lowers(void) {
    must(mkdir("lower", 0755), "lower");
    must(mkdir("lower/dir", 0755), "lower/dir");
    must(mkdir("lower/dir/sub", 0755), "lower/dir/sub");
    must(mkdir("lower/closed", 0755), "lower/closed");
    must(mkdir("lower/empty", 0755), "lower/empty");
    put("lower/file", "a lower file\n", 0644);
    put("lower/ro", "read only\n", 0444);
    put("lower/dir/a", "a\n", 0644);
    put("lower/dir/b", "b\n", 0644);
    put("lower/dir/sub/x", "x\n", 0600);
    put("lower/closed/in", "in a directory without write permission\n", 0644);
    put("lower/hard1", "one file\n", 0644);
    must(link("lower/hard1", "lower/hard2"), "lower/hard2");
    must(symlink("file", "lower/link"), "lower/link");
    must(mkfifo("lower/fifo", 0644), "lower/fifo");
    put("lower/big", "data", 0644);
    must(truncate("lower/big", 300000), "lower/big");
    must(setxattr("lower/file", "user.test", "1", 1, 0), "user.test");
    must(mkdir("lower2", 0755), "lower2");
    must(mkdir("lower2/dir", 0755), "lower2/dir");
    must(mkdir("lower2/both", 0755), "lower2/both");
    put("lower2/dir/c", "c\n", 0644);
    put("lower2/both/d", "d\n", 0644);
    must(mkdir("lower/both", 0711), "lower/both");
    must(mkdir("lower/shut", 0555), "lower/shut");
    must(chmod("lower/closed", 0555), "lower/closed");
    must(nftw("lower", age_one, 8, FTW_PHYS | FTW_DEPTH), "lower");
    must(nftw("lower2", age_one, 8, FTW_PHYS | FTW_DEPTH), "lower2");
}

/* Calls are words: OP PATH [PATH|NUMBER|TEXT]. */
struct scenario {
    const char *before; /* calls, one a line, that make the layers what they are */
    const char *call;
    bool either; /* it has more than one step: with an error, the new state is as good as the old one */
};

static const struct scenario scenarios[] = {
    {"", "create new", true},
    {"", "create dir/sub/new", true},
    {"unlink file", "create file", true},
    {"unlink file", "mkdir file 755", false},
    {"unlink file", "symlink file target", false},
    {"unlink file", "mkfifo file 644", false},
    {"unlink file", "link ro file", false},
    {"unlink file", "rename ro file", false},
    {"unlink file", "rename dir file", false},
    {"rmdir empty", "mkdir empty 755", false},
    {"", "mkdir new 2775", false},
    {"", "mkdir dir/new 755", false},
    {"", "symlink new target", false},
    {"", "mkfifo dir/new 600", false},
    {"", "chmod file 600", false},
    {"", "chmod ro 400", false},
    {"", "chmod dir/sub/x 640", false},
    {"", "chmod closed/in 600", false},
    {"", "chmod dir/sub 700", false},
    {"", "rmdir shut", false},
    {"chmod shut 511", "rmdir shut", false},
    {"", "rename closed moved", false},
    {"rmdir empty", "mkdir empty 555", false},
    {"", "chmod fifo 600", false},
    {"", "open big", false},
    {"", "chmod big 600", false},
    {"chmod big 600", "open big", false},
    {"chmod big 600", "truncate big 3", true},
    {"chmod big 600", "truncate big 0", true},
    {"chmod big 600", "rename big dir/moved", false},
    {"chmod big 600\nrename big moved", "read moved", false},
    {"", "open file", false},
    {"", "create file", true},
    {"", "truncate file 3", true},
    {"", "utimes link", false},
    {"", "utimes dir", false},
    {"", "setxattr file value", false},
    {"", "setxattr dir value", false},
    {"", "removexattr file user.test", false},
    {"chmod file 600", "removexattr file user.test", false},
    {"chmod file 600", "chmod file 640", false},
    {"", "unlink file", false},
    {"", "unlink dir/a", false},
    {"chmod file 600", "unlink file", false},
    {"write new text", "unlink new", false},
    {"", "rmdir empty", false},
    {"mkdir new 755", "rmdir new", false},
    {"unlink both/d", "rmdir both", false},
    {"mkdir empty/in 755\nrmdir empty/in", "rmdir empty", false},
    {"unlink both/d\nwrite both/e text\nunlink both/e", "rmdir both", false},
    {"", "rename file moved", false},
    {"", "rename file ro", false},
    {"", "rename file dir/moved", false},
    {"", "rename link moved", false},
    {"", "rename fifo moved", false},
    {"", "rename dir moved", false},
    {"", "rename dir both/moved", false},
    {"chmod dir 700\nwrite dir/new text", "rename dir moved", false},
    {"rename dir moved", "rename moved again", false},
    {"rename dir moved", "rename moved both/again", false},
    {"mkdir new 755", "rename new empty", false},
    {"mkdir new 755\nunlink both/d", "rename new both", false},
    {"unlink both/d", "rename dir both", false},
    {"", "exchange file ro", false},
    {"", "exchange file dir", false},
    {"", "exchange dir both", false},
    {"", "link file dir/hard", false},
    {"", "link link hardlink", false},
    {"write new text", "link new newer", false},
    {"", "chmod hard1 600", false},
    {"", "unlink hard1", false},
    {"", "rename hard1 moved", false},
    {"chmod hard1 600", "open hard2", false},
    {"chmod hard1 600", "stat hard2", false},
    {"chmod hard1 600", "unlink hard2", false},
    {"chmod hard1 600", "unlink hard1", false},
    {"unlink hard1", "chmod hard2 600", false},
    {"", "stat dir/sub/x", false},
    {"rename dir moved", "stat moved/sub/x", false},
    {"", "read file", false},
    {"", "list .", false},
    {"", "list dir", false},
    {"write dir/new text", "list dir", false},
    {"rename dir both/moved", "list both/moved", false},
};

#endif
