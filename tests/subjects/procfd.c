/* procfd.c - subject: /proc/self, /dev/fd and other magic links: what they say, and opening through them again.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "subject.h"

#include <sys/mman.h>

static void show_link(const char *what, const char *path) {
    char target[PATH_MAX] = {0};
    long n = SYS(readlink, path, target, sizeof target - 1);
    if (n < 0)
        (void)say(what, n);
    else
        say_text(what, target);
}

static void reopen(const char *name, int flags) {
    const char *how = keep(text("%s %s", name, flags & O_PATH ? "O_PATH" : "rdonly"));
    long fd = ok(how, SYS(openat, AT_FDCWD, name, flags));
    const char *link = keep(text("/proc/self/fd/%ld", fd));
    show_link(text("%s link", how), link);
    struct stat st;
    (void)say(text("%s stat", how), SYS(newfstatat, AT_FDCWD, link, &st, 0));
    say_text(text("%s stat shows", how), stat_text(&st));
    long again = ok(text("%s again", how), SYS(openat, AT_FDCWD, link, O_RDWR));
    (void)say(text("%s write", how), SYS(write, again, "WRITTEN", 7));
    show_content(text("%s holds", how), name);
    (void)ok(text("%s append", how), SYS(openat, AT_FDCWD, text("/dev/fd/%ld", fd), O_WRONLY | O_APPEND));
    (void)ok(text("%s nofollow", how), SYS(openat, AT_FDCWD, link, O_RDONLY | O_NOFOLLOW));
    (void)ok(text("%s thread-self", how), SYS(openat, AT_FDCWD, text("/proc/thread-self/fd/%ld", fd), O_RDWR));
    (void)ok(text("%s pid", how), SYS(openat, AT_FDCWD, text("/proc/%d/fd/%ld", getpid(), fd), O_RDWR));
    (void)ok(text("%s task", how), SYS(openat, AT_FDCWD, text("/proc/self/task/%d/fd/%ld", getpid(), fd), O_RDWR));
    (void)say(text("%s truncate", how), SYS(truncate, link, 3));
    show(text("%s truncated", how), name);
    (void)say(text("%s chmod", how), SYS(chmod, link, 0620));
    show(text("%s chmodded", how), name);
    (void)say(text("%s link", how), SYS(linkat, AT_FDCWD, link, AT_FDCWD, text("%s.second", name), AT_SYMLINK_FOLLOW));
    show(text("%s linked", how), text("%s.second", name));
    (void)say(text("%s unlink", how), SYS(unlink, text("%s.second", name)));
    (void)say(text("%s dirfd", how), SYS(newfstatat, hold("/proc/self/fd", O_PATH), text("%ld", fd), &st, 0));
    say_text(text("%s dirfd shows", how), stat_text(&st));
}

static void directories(const char *base) {
    long fd = ok("dir", SYS(openat, AT_FDCWD, "dir", O_RDONLY | O_DIRECTORY));
    show_link("dir link", text("/proc/self/fd/%ld", fd));
    show_content("through dir", text("/proc/self/fd/%ld/a", fd));
    (void)say("write through dir", put(text("/proc/self/fd/%ld/b", fd), "through"));
    show_content("dir/b", "dir/b");
    (void)say("make through dir", put(text("/proc/self/fd/%ld/new", fd), "new"));
    (void)say("remove through dir", SYS(unlink, text("/proc/self/fd/%ld/c", fd)));
    show_content("dotdot through dir", text("/proc/self/fd/%ld/../ro", fd));
    show_list("dir", "dir");
    show_list("list through link", text("/proc/self/fd/%ld", fd));
    show_content("through cwd", "/proc/self/cwd/ro");
    (void)say("write through cwd", put("/proc/self/cwd/big", "small"));
    show("big", "big");
    show_content("through root", text("/proc/self/root%s/ro", base));
    (void)say("write through root", put(text("/proc/self/root%s/written", base), "x"));
    show_content("written", "written");
    show_link("cwd", "/proc/self/cwd");
    show_link("root", "/proc/self/root");
    show_link("thread-self cwd", "/proc/thread-self/cwd");
    (void)say("chdir fd", SYS(chdir, text("/proc/self/fd/%ld/sub", fd)));
    show_link("cwd after", "/proc/self/cwd");
    (void)say("chdir back", SYS(chdir, base));
}

static void others(void) {
    int ends[2];
    char target[64] = {0};
    (void)SYS(pipe2, ends, 0);
    (void)SYS(readlink, text("/proc/self/fd/%d", ends[0]), target, sizeof target - 1);
    say_text("pipe", text("%.6s", target));
    (void)ok("open pipe again", SYS(openat, AT_FDCWD, text("/proc/self/fd/%d", ends[0]), O_RDONLY | O_NONBLOCK));
    (void)ok("open pipe to write", SYS(openat, AT_FDCWD, text("/dev/fd/%d", ends[1]), O_WRONLY | O_NONBLOCK));
    long fd = ok("stdin from file", SYS(openat, AT_FDCWD, "ro", O_RDONLY));
    (void)SYS(dup2, fd, 0);
    show_content("/dev/stdin", "/dev/stdin");
    show_content("/proc/self/fd/0", "/proc/self/fd/0");
    fd = ok("null", SYS(openat, AT_FDCWD, "/dev/null", O_RDWR));
    show_link("null link", text("/proc/self/fd/%ld", fd));
    (void)ok("null again", SYS(openat, AT_FDCWD, text("/proc/self/fd/%ld", fd), O_WRONLY));
    show_link("absent fd", "/proc/self/fd/999");
    (void)say("open absent fd", SYS(openat, AT_FDCWD, "/proc/self/fd/999", O_RDONLY));
    (void)say("create in fd", SYS(openat, AT_FDCWD, "/proc/self/fd/absent", O_WRONLY | O_CREAT, 0644));
    (void)say("absent pid", SYS(openat, AT_FDCWD, "/proc/999999999/cwd", O_RDONLY));
    char name[16] = "subject-name";
    long comm = SYS(openat, AT_FDCWD, "/proc/self/comm", O_WRONLY);
    (void)say("write comm", SYS(write, comm, name, strlen(name)));
    show_content("comm", "/proc/self/comm");
}

/* Objects whose name is gone. */
static void deleted(void) {
    static const char *const names[] = {"hard1", "empty", "made"};
    (void)put("made", "made here");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *name = names[i];
        long fd = ok(text("deleted %s", name), SYS(openat, AT_FDCWD, name, O_RDWR));
        const char *link = keep(text("/proc/self/fd/%ld", fd));
        (void)say(text("deleted %s unlink", name), SYS(unlink, name));
        show_link(text("deleted %s link", name), link);
        struct stat st;
        (void)say(text("deleted %s stat", name), SYS(newfstatat, AT_FDCWD, link, &st, 0));
        say_text(text("deleted %s stat shows", name), stat_text(&st));
        long again = ok(text("deleted %s again", name), SYS(openat, AT_FDCWD, link, O_RDWR));
        (void)say(text("deleted %s write", name), SYS(pwrite64, again, "gone", 4, 0));
        char data[8] = {0};
        (void)say(text("deleted %s read", name), SYS(pread64, fd, data, 4, 0));
        say_text(text("deleted %s holds", name), data);
        (void)say(text("deleted %s fchmod", name), SYS(fchmod, fd, 0600));
        (void)say(text("deleted %s truncate", name), SYS(ftruncate, fd, 1));
        (void)put(name, "another");
        show_content(text("new %s", name), name);
        (void)SYS(pread64, fd, data, 4, 0);
        show_link(text("deleted %s link then", name), link);
    }
}

/* A directory whose name is gone has nothing in it, nor anything below what it has not. */
static void deleted_directory(const char *name) {
    struct stat st;
    long fd = ok(text("deleted %s", name), SYS(openat, AT_FDCWD, name, O_RDONLY | O_DIRECTORY));
    (void)say(text("deleted %s rmdir", name), SYS(rmdir, name));
    const char *below = keep(text("/proc/self/fd/%ld/below", fd));
    (void)say(text("deleted %s stat below", name), SYS(newfstatat, AT_FDCWD, below, &st, 0));
    (void)say(text("deleted %s make below", name), SYS(openat, AT_FDCWD, below, O_WRONLY | O_CREAT, 0644));
    (void)say(text("deleted %s mkdir below", name), SYS(mkdir, below, 0755));
    (void)say(text("deleted %s far below", name), SYS(unlink, text("%s/below", below)));
}

/* Another process's links. */
static void child(const char *base) {
    int ready[2], done[2];
    (void)SYS(pipe2, ready, O_CLOEXEC);
    (void)SYS(pipe2, done, O_CLOEXEC);
    (void)fflush(stdout);
    pid_t pid = fork();
    char byte = 'x';
    if (pid == 0) {
        if (chdir("dir") != 0)
            _exit(1);
        int fd = hold("sub/deeper/leaf", O_RDONLY);
        (void)SYS(dup2, fd, 77);
        if (write(ready[1], &byte, 1) != 1 || read(done[0], &byte, 1) != 1)
            _exit(1);
        _exit(0);
    }
    if (read(ready[0], &byte, 1) != 1)
        give_up("child");
    show_link("child's cwd", text("/proc/%d/cwd", pid));
    show_link("child's fd", text("/proc/%d/fd/77", pid));
    show_content("child's file", text("/proc/%d/cwd/a", pid));
    (void)ok("child's fd to write", SYS(openat, AT_FDCWD, text("/proc/%d/fd/77", pid), O_RDWR | O_TRUNC));
    show_content("child's fd truncated", text("%s/dir/sub/deeper/leaf", base));
    if (write(done[1], &byte, 1) != 1)
        give_up("child");
    int status;
    (void)waitpid(pid, &status, 0);
    say_status("child", status);
}

/* What /proc itself has is cut as natively: as far as it may be written. */
static void cut(void) {
    static const char *const names[] = {"/proc/self/status", "/proc/self/comm", "/proc/version", "/proc/self/fd",
                                        "/proc/self/nothing"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        (void)say(text("truncate %s", names[i]), SYS(truncate, names[i], 0));
        (void)ok(text("open %s to cut", names[i]), SYS(openat, AT_FDCWD, names[i], O_WRONLY | O_TRUNC));
    }
}

/* map_files is for the few, and leads to the view's file, too. */
static void mapped(const char *name) {
    int fd = hold(name, O_RDONLY);
    char *at = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
    const char *link = keep(text("/proc/self/map_files/%lx-%lx", (unsigned long)at, (unsigned long)at + 4096));
    show_link(text("map of %s", name), link);
    (void)say(text("map of %s O_PATH", name), SYS(openat, AT_FDCWD, link, O_PATH | O_NOFOLLOW) >= 0);
    long again = ok(text("map of %s again", name), SYS(openat, AT_FDCWD, link, O_WRONLY));
    (void)say(text("map of %s write", name), SYS(write, again, "MAP", 3));
    (void)say(text("map of %s chmod", name), SYS(chmod, link, 0640));
    (void)say(text("map of %s truncate", name), SYS(truncate, link, 5));
    show_content(text("map of %s holds", name), name);
}

int main(int argc, char **argv) {
    const char *base = subject_start(argc, argv);
    reopen("file", O_RDONLY);
    reopen("dir/a", O_PATH);
    reopen("dir/sub/deep", O_PATH | O_NOFOLLOW);
    directories(base);
    child(base);
    mapped("dir/b");
    cut();
    others();
    deleted();
    (void)say("mkdir", SYS(mkdir, "new-directory", 0755));
    deleted_directory("new-directory");
    deleted_directory("emptydir");
    return 0;
}
