/* stat.c - subject: stat, lstat, fstat, newfstatat, statx, access, faccessat, faccessat2, readlink, statfs.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "subject.h"

#include <linux/stat.h>
#include <sys/statfs.h>

static const char *const paths[] = {
    "file",
    "empty",
    "ro",
    "noaccess",
    "setuid",
    "dir",
    "emptydir",
    "link",
    "link/",
    "dirlink",
    "dirlink/",
    "dangling",
    "dangling/",
    "loop",
    "loop/x",
    "file/",
    "file/x",
    "file/..",
    "dir/",
    "dir/.",
    "dir/..",
    "dir//sub///deep",
    "fifo",
    "fifo/",
    "abslink",
    "absent",
    "absent/",
    "absent/..",
    "hard1",
    "hard2",
    "sparse",
    "sticky",
    "sticky/other",
    "setgid",
    ".",
    "..",
    "./.",
    "noaccessdir",
    "noaccessdir/x",
    "",
    "updir",
    "updir/.",
    "escape",
    "./dirlink/../file",
    "socket",
    "foreign",
    "chain/l40",
    "chain/l41",
};

/* One object has one identity, however it is asked for. */
static void same(const char *what, const struct stat *a, const struct stat *b) {
    bool equal = a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_mode == b->st_mode &&
                 a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
                 a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_uid == b->st_uid;
    say_text(what, equal ? "same" : "differs");
}

static void show_stat(const char *path) {
    struct stat st, other;
    long result = SYS(stat, path, &st);
    say_text(text("stat \"%s\"", path),
             result < 0 ? text("-%s", error_name(result)) : text("%s mtime %s", stat_text(&st), time_text(st.st_mtim)));
    result = SYS(lstat, path, &st);
    say_text(text("lstat \"%s\"", path),
             result < 0 ? text("-%s", error_name(result)) : text("%s mtime %s", stat_text(&st), time_text(st.st_mtim)));
    if (result < 0)
        return;
    (void)SYS(newfstatat, AT_FDCWD, path, &other, AT_SYMLINK_NOFOLLOW);
    same(text("newfstatat \"%s\"", path), &st, &other);
    long fd = SYS(openat, AT_FDCWD, path, O_PATH | O_NOFOLLOW);
    if (ok(text("O_PATH \"%s\"", path), fd) < 0)
        return;
    (void)SYS(fstat, fd, &other);
    same(text("fstat \"%s\"", path), &st, &other);
    (void)SYS(newfstatat, fd, "", &other, AT_EMPTY_PATH);
    same(text("empty path \"%s\"", path), &st, &other);
    (void)SYS(close, fd);
    struct statx stx;
    result = SYS(statx, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &stx);
    if (result < 0) {
        (void)say(text("statx \"%s\"", path), result);
        return;
    }
    bool equal = stx.stx_ino == st.st_ino && stx.stx_mode == st.st_mode && stx.stx_uid == st.st_uid &&
                 stx.stx_size == (uint64_t)st.st_size && stx.stx_mtime.tv_sec == st.st_mtim.tv_sec &&
                 stx.stx_mtime.tv_nsec == (uint32_t)st.st_mtim.tv_nsec &&
                 stx.stx_dev_major == (uint32_t)(st.st_dev >> 8) && stx.stx_blocks == (uint64_t)st.st_blocks;
    say_text(text("statx \"%s\"", path), equal ? "same" : "differs");
    (void)say(text("statx mask \"%s\"", path), (stx.stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS);
}

static void show_access(const char *path) {
    for (int mode = 0; mode < 8; mode++)
        (void)say(text("access \"%s\" %d", path, mode), SYS(access, path, mode));
    (void)say(text("faccessat \"%s\"", path), SYS(faccessat, AT_FDCWD, path, R_OK));
    (void)say(text("faccessat2 eaccess \"%s\"", path), SYS(faccessat2, AT_FDCWD, path, W_OK, AT_EACCESS));
    (void)say(text("faccessat2 nofollow \"%s\"", path), SYS(faccessat2, AT_FDCWD, path, R_OK, AT_SYMLINK_NOFOLLOW));
}

static void show_readlink(const char *path) {
    char target[PATH_MAX + 1];
    static const size_t sizes[] = {1, 2, 3, 64, PATH_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        memset(target, '#', sizeof target);
        long n = say(text("readlink \"%s\" %zu", path, sizes[i]), SYS(readlink, path, target, sizes[i]));
        if (n < 0)
            continue;
        say_text(text("readlink text \"%s\" %zu", path, sizes[i]), text("%.*s", (int)n, target));
        say_text(text("readlink past \"%s\" %zu", path, sizes[i]), target[n] == '#' ? "untouched" : "written");
    }
    (void)say(text("readlink 0 \"%s\"", path), SYS(readlink, path, target, 0));
    (void)say(text("readlinkat \"%s\"", path), SYS(readlinkat, AT_FDCWD, path, target, sizeof target));
}

static void odd_arguments(void) {
    struct stat st;
    struct statx stx;
    (void)say("mode 8", SYS(access, "file", 8));
    (void)say("faccessat2 flags", SYS(faccessat2, AT_FDCWD, "file", 0, 0x4000));
    (void)say("newfstatat flags", SYS(newfstatat, AT_FDCWD, "file", &st, 0x40));
    (void)say("newfstatat empty", SYS(newfstatat, AT_FDCWD, "", &st, 0));
    (void)say("newfstatat empty cwd", SYS(newfstatat, AT_FDCWD, "", &st, AT_EMPTY_PATH));
    (void)say("newfstatat bad fd", SYS(newfstatat, 999, "file", &st, 0));
    (void)say("newfstatat bad fd empty", SYS(newfstatat, 999, "", &st, AT_EMPTY_PATH));
    (void)say("newfstatat NULL buffer", SYS(newfstatat, AT_FDCWD, "file", NULL, 0));
    (void)say("stat NULL", SYS(stat, NULL, &st));
    (void)say("stat bad address", SYS(stat, (char *)1, &st));
    (void)say("statx flags", SYS(statx, AT_FDCWD, "file", 0x8000000, STATX_ALL, &stx));
    (void)say("statx mask reserved", SYS(statx, AT_FDCWD, "file", 0, 0x80000000u, &stx));
    (void)say("statx sync both",
              SYS(statx, AT_FDCWD, "file", AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC, STATX_ALL, &stx));
    (void)say("statx empty", SYS(statx, AT_FDCWD, "", 0, STATX_ALL, &stx));
    (void)say("statx empty cwd", SYS(statx, AT_FDCWD, "", AT_EMPTY_PATH, STATX_ALL, &stx));
    (void)say("readlinkat empty", SYS(readlinkat, AT_FDCWD, "", &st, 10));
    long fd = ok("O_PATH link", SYS(openat, AT_FDCWD, "link", O_PATH | O_NOFOLLOW));
    char target[64] = {0};
    (void)say("readlinkat fd", SYS(readlinkat, fd, "", target, sizeof target));
    say_text("readlinkat fd text", target);
    (void)say("readlinkat file fd", SYS(readlinkat, hold("file", O_PATH), "", target, sizeof target));
    (void)say("faccessat2 empty", SYS(faccessat2, fd, "", F_OK, AT_EMPTY_PATH));
    struct statfs fs;
    (void)say("statfs", SYS(statfs, "file", &fs));
    (void)say("statfs blocks", fs.f_blocks > 0 && fs.f_bsize > 0 && fs.f_namelen >= 255);
    (void)say("statfs absent", SYS(statfs, "absent", &fs));
    (void)say("statfs under file", SYS(statfs, "file/x", &fs));
    (void)say("statfs dangling", SYS(statfs, "dangling", &fs));
    (void)say("fstatfs", SYS(fstatfs, hold("dir", O_RDONLY), &fs));
    (void)say("fstatfs bad", SYS(fstatfs, 999, &fs));
}

/* The identity stays when the object is written, renamed, linked or has its attributes changed. */
static void identity(const char *path) {
    struct stat before, after;
    (void)SYS(lstat, path, &before);
    (void)say(text("identity chmod %s", path), SYS(chmod, path, 0751));
    (void)SYS(lstat, path, &after);
    (void)say(text("identity after chmod %s", path), before.st_ino == after.st_ino && before.st_dev == after.st_dev);
    (void)ok(text("identity open %s", path), SYS(openat, AT_FDCWD, path, S_ISDIR(before.st_mode) ? O_RDONLY : O_RDWR));
    (void)SYS(lstat, path, &after);
    (void)say(text("identity after open %s", path), before.st_ino == after.st_ino && before.st_dev == after.st_dev);
    (void)say(text("identity rename %s", path), SYS(rename, path, "moved"));
    (void)SYS(lstat, "moved", &after);
    (void)say(text("identity after rename %s", path), before.st_ino == after.st_ino && before.st_dev == after.st_dev);
    (void)say(text("identity rename back %s", path), SYS(rename, "moved", path));
    (void)SYS(lstat, path, &after);
    (void)say(text("identity after rename back %s", path),
              before.st_ino == after.st_ino && before.st_dev == after.st_dev);
}

int main(int argc, char **argv) {
    (void)subject_start(argc, argv);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        show_stat(paths[i]);
        show_access(paths[i]);
        show_readlink(paths[i]);
    }
    odd_arguments();
    identity("file");
    identity("emptydir");
    identity("hard1");
    (void)say("sparse blocks", SYS(chmod, "sparse", 0600));
    struct stat st;
    (void)SYS(stat, "sparse", &st);
    (void)say("sparse stays sparse", st.st_blocks * 512 < 500000);
    return 0;
}
