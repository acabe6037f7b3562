/* fdmeta.c - subject: metadata changed through read-only and O_PATH descriptors, and by every call of that kind.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "subject.h"

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>

static const char *path;   /* of the object at hand */

static void agree(const char *what, long fd) {
    struct stat by_name, by_fd;
    (void)SYS(lstat, path, &by_name);
    if (SYS(fstat, fd, &by_fd) < 0)
        return;
    bool equal = by_name.st_mode == by_fd.st_mode && by_name.st_uid == by_fd.st_uid && by_name.st_gid == by_fd.st_gid &&
                 by_name.st_mtim.tv_sec == by_fd.st_mtim.tv_sec && by_name.st_ino == by_fd.st_ino;
    say_text(text("%s: name and descriptor", what), equal ? "agree" : "differ");
}

static void modes(const char *how, long fd) {
    (void)say(text("%s fchmod", how), SYS(fchmod, fd, 0751));
    show(text("%s after fchmod", how), path);
    agree(text("%s fchmod", how), fd);
    (void)say(text("%s fchmodat2 empty", how), SYS(fchmodat2, fd, "", 0640, AT_EMPTY_PATH));
    show(text("%s after fchmodat2", how), path);
    (void)say(text("%s fchmodat2 nofollow", how), SYS(fchmodat2, AT_FDCWD, path, 0644, AT_SYMLINK_NOFOLLOW));
    (void)say(text("%s fchmodat2 bad flags", how), SYS(fchmodat2, AT_FDCWD, path, 0644, 0x8000));
    (void)say(text("%s chmod proc", how), SYS(chmod, text("/proc/self/fd/%ld", fd), 0711));
    show(text("%s after chmod proc", how), path);
}

static void owners(const char *how, long fd) {
    unsigned uid = geteuid() ? geteuid() : 1234, gid = geteuid() ? getegid() : 4321;
    (void)say(text("%s fchown none", how), SYS(fchown, fd, -1, -1));
    (void)say(text("%s fchown", how), SYS(fchown, fd, uid, gid));
    show(text("%s after fchown", how), path);
    agree(text("%s fchown", how), fd);
    (void)say(text("%s fchownat empty", how), SYS(fchownat, fd, "", uid, -1, AT_EMPTY_PATH));
    (void)say(text("%s fchown to root", how), SYS(fchown, fd, 0, 0));
    show(text("%s owner in the end", how), path);
}

static void times(const char *how, long fd) {
    struct timespec set[2] = {{1000000001, 111111111}, {1000000002, 222222222}};
    (void)say(text("%s futimens", how), SYS(utimensat, fd, NULL, set, 0));
    show_times(text("%s after futimens", how), path);
    agree(text("%s futimens", how), fd);
    set[1].tv_sec++;
    (void)say(text("%s utimensat empty", how), SYS(utimensat, fd, "", set, AT_EMPTY_PATH));
    show_times(text("%s after utimensat empty", how), path);
    (void)say(text("%s futimens now", how), SYS(utimensat, fd, NULL, NULL, 0));
    show_times(text("%s after now", how), path);
    (void)say(text("%s utimensat proc", how), SYS(utimensat, AT_FDCWD, text("/proc/self/fd/%ld", fd), set, 0));
    show_times(text("%s after utimensat proc", how), path);
}

static void attributes(const char *how, long fd) {
    char value[64] = {0};
    (void)say(text("%s fsetxattr", how), SYS(fsetxattr, fd, "user.fd", how, strlen(how), 0));
    (void)say(text("%s fgetxattr", how), SYS(fgetxattr, fd, "user.fd", value, sizeof value));
    (void)say(text("%s lgetxattr", how), SYS(lgetxattr, path, "user.fd", value, sizeof value));
    (void)say(text("%s flistxattr", how), SYS(flistxattr, fd, NULL, 0));
    (void)say(text("%s fremovexattr", how), SYS(fremovexattr, fd, "user.fd"));
    (void)say(text("%s lgetxattr gone", how), SYS(lgetxattr, path, "user.fd", value, sizeof value));
    (void)say(text("%s fremovexattr again", how), SYS(fremovexattr, fd, "user.fd"));
    (void)say(text("%s setxattr proc", how), SYS(setxattr, text("/proc/self/fd/%ld", fd), "user.proc", "p", 1, 0));
    (void)say(text("%s lgetxattr proc", how), SYS(lgetxattr, path, "user.proc", value, sizeof value));
}

static void synced(const char *how, long fd) {
    (void)say(text("%s fsync", how), SYS(fsync, fd));
    (void)say(text("%s fdatasync", how), SYS(fdatasync, fd));
    (void)say(text("%s syncfs", how), SYS(syncfs, fd));
}

static void inode_flags(const char *how, long fd) {
    int flags = 0;
    (void)say(text("%s GETFLAGS", how), SYS(ioctl, fd, FS_IOC_GETFLAGS, &flags));
    flags |= FS_NODUMP_FL;
    (void)say(text("%s SETFLAGS", how), SYS(ioctl, fd, FS_IOC_SETFLAGS, &flags));
    flags = 0;
    (void)SYS(ioctl, fd, FS_IOC_GETFLAGS, &flags);
    (void)say(text("%s flags by fd", how), flags & FS_NODUMP_FL);
    struct fsxattr fsx;
    memset(&fsx, 0, sizeof fsx);
    (void)say(text("%s FSGETXATTR", how), SYS(ioctl, fd, FS_IOC_FSGETXATTR, &fsx));
    fsx.fsx_xflags &= ~(unsigned)FS_XFLAG_NODUMP;
    (void)say(text("%s FSSETXATTR", how), SYS(ioctl, fd, FS_IOC_FSSETXATTR, &fsx));
    (void)say(text("%s SETFLAGS NULL", how), SYS(ioctl, fd, FS_IOC_SETFLAGS, NULL));
}

/* Each way of holding the object, on a fresh object each time: NAME.0, NAME.1 … */
static void object(const char *name) {
    static const struct {
        const char *how;
        int flags;
    } ways[] = {{"rdonly", O_RDONLY | O_NONBLOCK}, {"O_PATH", O_PATH}, {"O_PATH nofollow", O_PATH | O_NOFOLLOW}};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        path = keep(text("meta/%s.%zu", name, i));
        const char *how = keep(text("%s %s", name, ways[i].how));
        long fd = ok(text("%s open", how), SYS(openat, AT_FDCWD, path, ways[i].flags | O_CLOEXEC));
        if (fd < 0)
            continue;
        synced(how, fd);
        modes(how, fd);
        times(how, fd);
        attributes(how, fd);
        owners(how, fd);
        synced(keep(text("%s changed", how)), fd);
        (void)SYS(close, fd);
    }
    path = keep(text("meta/%s.3", name));
    long fd = SYS(openat, AT_FDCWD, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0 && strcmp(name, "fifo"))
        inode_flags(keep(text("%s flags", name)), fd);
    path = keep(text("meta/%s.4", name));
    fd = SYS(openat, AT_FDCWD, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    /* an ordinary user: what cannot be done must leave nothing behind */
    (void)say(text("%s unlinked", name), SYS(unlinkat, AT_FDCWD, path, strcmp(name, "dir") ? 0 : AT_REMOVEDIR));
    struct stat st;
    (void)say(text("%s fstat unlinked", name), SYS(fstat, fd, &st));
    (void)say(text("%s nlink", name), strcmp(name, "dir") ? (long)st.st_nlink : 0);
}

static void by_path(void) {
    (void)say("chmod", SYS(chmod, "file", 0123));
    show("chmod file", "file");
    (void)say("chmod link", SYS(chmod, "link", 0666));
    show("chmod link file", "file");
    show("chmod link link", "link");
    (void)say("chmod dangling", SYS(chmod, "dangling", 0666));
    (void)say("chmod loop", SYS(chmod, "loop", 0666));
    (void)say("chmod file/", SYS(chmod, "file/", 0666));
    (void)say("chmod foreign", SYS(chmod, "foreign", 0666));
    (void)say("chmod setgid", SYS(chmod, "file", 06755));
    show("chmod setgid file", "file");
    (void)say("chown clears", SYS(chown, "file", -1, getegid()));
    show("chown clears file", "file");
    (void)say("chown dir", SYS(chown, "dir", geteuid(), getegid()));
    (void)say("lchown link", SYS(lchown, "link", geteuid(), getegid()));
    (void)say("lchown dangling", SYS(lchown, "dangling", geteuid(), getegid()));
    (void)say("chown dangling", SYS(chown, "dangling", geteuid(), getegid()));
    (void)say("chown foreign", SYS(chown, "foreign", geteuid(), -1));
    (void)say("chown same foreign", SYS(chown, "foreign", -1, -1));
    (void)say("fchownat flags", SYS(fchownat, AT_FDCWD, "file", -1, -1, 0x4000));
    (void)say("fchownat nofollow", SYS(fchownat, AT_FDCWD, "link", -1, -1, AT_SYMLINK_NOFOLLOW));
    (void)say("fchmodat", SYS(fchmodat, AT_FDCWD, "dir/a", 0600));
    show("fchmodat dir/a", "dir/a");
    (void)say("fchmodat dirfd", SYS(fchmodat, hold("dir", O_PATH), "b", 0604));
    show("fchmodat dir/b", "dir/b");
    (void)say("write clears setuid", put("setuid", "new contents"));
    show("setuid after write", "setuid");
    (void)say("chmod emptydir", SYS(chmod, "emptydir", 01777));
    show("chmod emptydir shows", "emptydir");
    (void)say("chmod .", SYS(chmod, ".", 0750));
    show("chmod . shows", ".");
    (void)say("chmod . back", SYS(chmod, ".", 0755));
}

static void wrong_descriptors(void) {
    int ends[2];
    (void)SYS(pipe2, ends, O_CLOEXEC);
    (void)say("fchmod bad", SYS(fchmod, 999, 0600));
    (void)say("fchmod pipe", SYS(fchmod, ends[0], 0600));
    (void)say("fchown bad", SYS(fchown, 999, -1, -1));
    (void)say("futimens bad", SYS(utimensat, 999, NULL, NULL, 0));
    (void)say("fsetxattr bad", SYS(fsetxattr, 999, "user.x", "x", 1, 0));
    (void)say("fgetxattr pipe", SYS(fgetxattr, ends[0], "user.x", NULL, 0));
    (void)say("SETFLAGS bad", SYS(ioctl, 999, FS_IOC_SETFLAGS, NULL));
    (void)say("SETFLAGS pipe", SYS(ioctl, ends[0], FS_IOC_SETFLAGS, &ends[0]));
    (void)say("ftruncate rdonly", SYS(ftruncate, hold("ro", O_RDONLY), 0));
    (void)say("fchmodat2 empty cwd", SYS(fchmodat2, AT_FDCWD, "", 0755, AT_EMPTY_PATH));
    (void)say("fchownat empty cwd", SYS(fchownat, AT_FDCWD, "", -1, -1, AT_EMPTY_PATH));
}

int main(int argc, char **argv) {
    (void)subject_start(argc, argv);
    object("file");
    object("dir");
    object("link");
    object("fifo");
    by_path();
    wrong_descriptors();
    return 0;
}
