/* times.c - subject: utime, utimes, futimesat, utimensat in all their forms.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "subject.h"

#include <sys/time.h>
#include <utime.h>

static void forms(const char *path) {
    struct timespec now[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
    struct timespec omit[2] = {{5, UTIME_OMIT}, {6, UTIME_OMIT}};
    struct timespec mtime[2] = {{5, UTIME_OMIT}, {1000000003, 3}};
    struct timespec atime[2] = {{1000000004, 4}, {5, UTIME_OMIT}};
    struct timespec mixed[2] = {{0, UTIME_NOW}, {1000000005, 999999999}};
    struct timespec bad[2] = {{0, 1000000000}, {0, 0}};
    struct timespec old[2] = {{-5, 1}, {0, 0}};
    const struct {
        const char *name;
        const struct timespec *times;
    } all[] = {{"omit", omit}, {"mtime", mtime}, {"atime", atime}, {"mixed", mixed},
               {"bad", bad},   {"old", old},     {"now", now},     {"NULL", NULL}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        (void)say(text("utimensat %s %s", all[i].name, path), SYS(utimensat, AT_FDCWD, path, all[i].times, 0));
        show_times(text("after %s %s", all[i].name, path), path);
        (void)say(text("utimensat nofollow %s %s", all[i].name, path),
                  SYS(utimensat, AT_FDCWD, path, all[i].times, AT_SYMLINK_NOFOLLOW));
        show_times(text("after nofollow %s %s", all[i].name, path), path);
    }
    struct utimbuf buf = {1000000006, 1000000007};
    (void)say(text("utime %s", path), SYS(utime, path, &buf));
    show_times(text("after utime %s", path), path);
    (void)say(text("utime NULL %s", path), SYS(utime, path, NULL));
    struct timeval tv[2] = {{1000000008, 8}, {1000000009, 9}};
    (void)say(text("utimes %s", path), SYS(utimes, path, tv));
    show_times(text("after utimes %s", path), path);
    tv[1].tv_usec = 1000000;
    (void)say(text("utimes bad %s", path), SYS(utimes, path, tv));
    tv[1].tv_usec = 10;
    (void)say(text("futimesat %s", path), SYS(futimesat, AT_FDCWD, path, tv));
    show_times(text("after futimesat %s", path), path);
}

int main(int argc, char **argv) {
    (void)subject_start(argc, argv);
    static const char *const paths[] = {
        "file", "dir",      "link",    "dirlink",          "ro", "fifo",  "dangling", "absent",   "absent/x", "file/x",
        "loop", "noaccess", "foreign", "foreign-writable", "",   "file/", "dir/",     "emptydir", "hard1"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        forms(paths[i]);
    show_times("hard2", "hard2");
    struct timespec set[2] = {{1000000010, 10}, {1000000011, 11}};
    (void)say("flags", SYS(utimensat, AT_FDCWD, "file", set, 0x4000));
    (void)say("NULL path cwd", SYS(utimensat, AT_FDCWD, NULL, set, 0));
    (void)say("empty cwd", SYS(utimensat, AT_FDCWD, "", set, AT_EMPTY_PATH));
    show_times("cwd", ".");
    (void)say("NULL path nofollow", SYS(utimensat, hold("file", O_RDONLY), NULL, set, AT_SYMLINK_NOFOLLOW));
    (void)say("futimesat fd", SYS(futimesat, hold("file", O_RDONLY), NULL, NULL));
    (void)say("dirfd", SYS(utimensat, hold("dir", O_RDONLY), "a", set, 0));
    show_times("dir/a", "dir/a");
    (void)say("bad address", SYS(utimensat, AT_FDCWD, "file", (void *)8, 0));
    (void)say("bad fd", SYS(utimensat, 999, "file", set, 0));
    /* what happens below does not change the times that were set, what changes the directory does */
    (void)say("set dir", SYS(utimensat, AT_FDCWD, "dir", set, 0));
    (void)say("write below", put("dir/b", "written"));
    show_times("dir after write below", "dir");
    (void)say("chmod below", SYS(chmod, "dir/sub", 0700));
    show_times("dir after chmod below", "dir");
    (void)say("make below sub", put("dir/sub/made", "x"));
    show_times("dir after make below sub", "dir");
    (void)say("make in dir", put("dir/made", "x"));
    show_times("dir after make", "dir");
    (void)say("set dir again", SYS(utimensat, AT_FDCWD, "dir", set, 0));
    (void)say("remove in dir", SYS(unlink, "dir/a"));
    show_times("dir after remove", "dir");
    show_times("big before", "big");
    (void)ok("open big for reading and writing", SYS(openat, AT_FDCWD, "big", O_RDWR));
    show_times("big opened, not written", "big");
    return 0;
}
