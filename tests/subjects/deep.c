/* deep.c - subject: directories deeper than PATH_MAX, reached step by step.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "subject.h"

#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/un.h>
#include <sys/xattr.h>

#define LEVELS 20

static char name[256];

static int at(int fd, const char *path, int flags) {
    return (int)SYS(openat, fd, path, flags | O_CLOEXEC, 0644);
}

static void mode_of(const char *what, int fd, const char *path, int flags) {
    struct stat st;
    long result = SYS(newfstatat, fd, path, &st, flags);
    (void)say(what, result < 0 ? result : (long)(st.st_mode & 07777));
}

static void by_path(void) {
    char path[3 * PATH_MAX];
    struct statfs fs;
    (void)say("getcwd", SYS(getcwd, path, sizeof path));
    (void)say("getcwd of no room", SYS(getcwd, path, 10));
    (void)say("readlink cwd", SYS(readlink, "/proc/self/cwd", path, sizeof path));
    (void)say("create", put("x", "deep"));
    (void)say("create exclusively", SYS(open, "x", O_CREAT | O_EXCL | O_RDWR, 0600));
    show_content("read", "x");
    int more = at(AT_FDCWD, "x", O_WRONLY | O_APPEND);
    (void)say("append", SYS(write, more, "er", 2));
    (void)say("size", SYS(lseek, more, 0, SEEK_END));
    (void)SYS(close, more);
    show_content("read again", "x");
    (void)say("chmod", SYS(chmod, "x", 0640));
    mode_of("mode", AT_FDCWD, "x", 0);
    (void)say("access", SYS(access, "x", W_OK));
    (void)say("truncate", SYS(truncate, "x", 2));
    show_content("cut", "x");
    (void)say("link", SYS(link, "x", "y"));
    (void)say("symlink", SYS(symlink, "y", "z"));
    show_content("through it", "z");
    (void)say("rename", SYS(rename, "y", "w"));
    (void)say("mkdir", SYS(mkdir, "sub", 0755));
    (void)say("rename into", SYS(rename, "w", "sub/w"));
    (void)say("mknod", SYS(mknod, "fifo", S_IFIFO | 0644, 0));
    (void)say("setxattr", SYS(setxattr, "x", "user.a", "b", 1, 0));
    (void)say("getxattr", SYS(getxattr, "x", "user.a", path, sizeof path));
    (void)say("statfs", SYS(statfs, ".", &fs));
    (void)say("exchange", SYS(renameat2, AT_FDCWD, "x", AT_FDCWD, "z", 2));
    (void)say("and back", SYS(renameat2, AT_FDCWD, "x", AT_FDCWD, "z", 2));
    (void)say("name too long", SYS(mkdir, text("%s%s", name, name), 0755));
    show_list("list", ".");
    show_list("list sub", "sub");
}

static void by_descriptor(void) {
    struct stat st;
    char found[64];
    int here = at(AT_FDCWD, ".", O_RDONLY | O_DIRECTORY), sub = at(here, "sub", O_PATH);
    int file = at(here, "x", O_RDONLY), path = at(sub, "w", O_PATH);
    (void)say("descriptors", here < 0 ? here : sub < 0 ? sub : file < 0 ? file : path < 0 ? path : 0);
    (void)say("fstat", SYS(fstat, file, &st));
    (void)say("fchmod", SYS(fchmod, file, 0600));
    mode_of("fchmod's mode", here, "x", 0);
    mode_of("of the descriptor", file, "", AT_EMPTY_PATH);
    mode_of("by O_PATH", path, "", AT_EMPTY_PATH);
    (void)say("fsetxattr", SYS(fsetxattr, file, "user.c", "d", 1, 0));
    (void)say("fgetxattr", SYS(fgetxattr, file, "user.c", found, sizeof found));
    (void)say("fsync", SYS(fsync, file));
    (void)say("openat for writing", SYS(close, at(sub, "w", O_WRONLY | O_TRUNC)));
    (void)say("openat new", SYS(close, at(sub, "new", O_WRONLY | O_CREAT | O_EXCL)));
    (void)say("opened again", SYS(close, at(AT_FDCWD, text("/proc/self/fd/%d", file), O_RDONLY)));
    (void)say("opened again for writing", SYS(close, at(AT_FDCWD, text("/proc/self/fd/%d", file), O_WRONLY)));
    (void)say("readlink", SYS(readlink, text("/proc/self/fd/%d", here), found, sizeof found));
    (void)say("from descriptor to descriptor", SYS(renameat, sub, "new", here, "new"));
    (void)say("dot-dot", SYS(mkdirat, sub, "../made", 0755));
    (void)say("fchdir", SYS(fchdir, sub));
    (void)say("there", SYS(access, "w", F_OK));
    (void)say("and back up", SYS(chdir, ".."));
    (void)say("here", SYS(access, "made", F_OK));
    (void)say("unlinkat", SYS(unlinkat, sub, "w", 0));
    (void)say("removed sub", SYS(unlinkat, here, "sub", AT_REMOVEDIR));
    (void)say("in what is removed", at(sub, "w", O_CREAT | O_WRONLY));
    (void)say("list of it", SYS(getdents64, sub, found, sizeof found));
    (void)say("unlinked", SYS(unlink, "x"));
    (void)say("fstat of it", SYS(fstat, file, &st));
    (void)say("its names", (long)st.st_nlink);
}

static void others(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
    int server = (int)SYS(socket, AF_UNIX, SOCK_STREAM, 0), client = (int)SYS(socket, AF_UNIX, SOCK_STREAM, 0);
    (void)say("bind", SYS(bind, server, &address, sizeof address));
    (void)say("listen", SYS(listen, server, 1));
    (void)say("connect", SYS(connect, client, &address, sizeof address));
    int watch = inotify_init1(IN_CLOEXEC);
    (void)say("watch", inotify_add_watch(watch, ".", IN_CREATE) < 0 ? -errno : 0);
    (void)say("script", put("script", "#!/bin/sh\nexit 7\n") < 0 ? -1 : SYS(chmod, "script", 0755));
    pid_t pid = fork();
    if (pid == 0) {
        execl("script", "script", NULL);
        _exit(99);
    }
    int status = 0;
    (void)waitpid(pid, &status, 0);
    (void)say("its status", WEXITSTATUS(status));
    (void)say("temporary", SYS(close, at(AT_FDCWD, ".", O_TMPFILE | O_RDWR)));
}

static void clear(void) {
    static const char *const names[] = {"new", "z", "fifo", "socket", "script", "x"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        (void)say(text("unlink %s", names[i]), SYS(unlink, names[i]));
    (void)say("rmdir", SYS(rmdir, "made"));
    show_list("empty", ".");
}

int main(int argc, char **argv) {
    (void)subject_start(argc, argv);
    memset(name, 'n', 250);
    long result = 0;
    int depth = 0;
    for (; depth < LEVELS && result == 0; depth++) {
        result = SYS(mkdir, name, 0755);
        if (result == 0)
            result = SYS(chdir, name);
    }
    (void)say("levels of 250", result ? result : depth);
    by_path();
    by_descriptor();
    others();
    clear();
    result = 0;
    while (depth-- > 0 && result == 0) {
        result = SYS(chdir, "..");
        if (result == 0)
            result = SYS(rmdir, name);
    }
    (void)say("removed again", result);
    show_list("all gone", ".");
    return 0;
}
