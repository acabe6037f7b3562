/* newer.c - subject: calls of Linux 5 and 6: openat2 with its ways to resolve, clone3, close_range, and such.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "subject.h"

#include <linux/openat2.h>
#include <linux/sched.h>
#include <sched.h>

static long open2(int dirfd, const char *path, unsigned long long flags, unsigned mode, unsigned long long resolve) {
    struct open_how how = {flags, mode, resolve};
    return SYS(openat2, dirfd, path, &how, sizeof how);
}

static const struct {
    const char *name;
    unsigned long long flag;
} ways[] = {
    {"0", 0},
    {"NO_SYMLINKS", RESOLVE_NO_SYMLINKS},
    {"NO_MAGICLINKS", RESOLVE_NO_MAGICLINKS},
    {"BENEATH", RESOLVE_BENEATH},
    {"IN_ROOT", RESOLVE_IN_ROOT},
    {"NO_XDEV", RESOLVE_NO_XDEV},
};

/* A way that cannot be had may be refused so that programs fall back (ENOSYS); what is opened must be right. */
static void resolve(void) {
    static const char *const paths[] = {"file",        "dir/sub/deep", "link",    "dirlink/a", "../dir/a",
                                        "dir/../file", "/file",        "abslink", "absent",    "dir/absent/x",
                                        "loop",        "updir/file",   "file/x",  "",          "emptydir"};
    int base = hold(".", O_PATH | O_DIRECTORY), dir = hold("dir", O_RDONLY | O_DIRECTORY);
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++)
        for (size_t p = 0; p < sizeof paths / sizeof *paths; p++) {
            (void)ok(text("openat2 %s \"%s\"", ways[w].name, paths[p]),
                     open2(base, paths[p], O_RDONLY, 0, ways[w].flag));
            (void)ok(text("openat2 dir %s \"%s\"", ways[w].name, paths[p]),
                     open2(dir, paths[p], O_RDONLY, 0, ways[w].flag));
        }
    (void)ok("openat2 write", open2(base, "dir/a", O_RDWR, 0, 0));
    (void)ok("openat2 create", open2(dir, "made", O_WRONLY | O_CREAT | O_EXCL, 0640, 0));
    show("dir/made", "dir/made");
    (void)ok("openat2 create beneath", open2(dir, "beneath", O_WRONLY | O_CREAT | O_EXCL, 0600, RESOLVE_BENEATH));
    (void)ok("openat2 truncate beneath", open2(base, "dir/b", O_WRONLY | O_TRUNC, 0, RESOLVE_BENEATH));
    show("dir/b", "dir/b");
    (void)say("openat2 escape", open2(dir, "../../escaped", O_WRONLY | O_CREAT, 0600, RESOLVE_BENEATH));
    (void)say("openat2 mode without create", open2(base, "file", O_RDONLY, 0600, 0));
    (void)say("openat2 unknown flag", open2(base, "file", 1ULL << 40, 0, 0));
    struct open_how more[2] = {
        {.flags = O_RDONLY}};   /* of a kernel that knows more: it may, as long as it asks nothing */
    (void)ok("openat2 more room", SYS(openat2, AT_FDCWD, "file", &more, sizeof more));
    more[1].flags = 1;
    (void)say("openat2 more asked", SYS(openat2, AT_FDCWD, "file", &more, sizeof more));
    (void)say("openat2 unknown way", open2(base, "file", O_RDONLY, 0, 1ULL << 40));
    struct open_how how = {O_RDONLY, 0, 0};
    (void)say("openat2 short", SYS(openat2, base, "file", &how, 8));
    (void)say("openat2 NULL", SYS(openat2, base, "file", NULL, sizeof how));
    char large[64] = {0};
    (void)ok("openat2 longer, zero", SYS(openat2, base, "file", large, sizeof large));
    large[40] = 1;
    (void)say("openat2 longer, not zero", SYS(openat2, base, "file", large, sizeof large));
}

/* In a removed directory nothing has a name but "." and "..". */
static void resolve_removed(const char *name) {
    static const char *const paths[] = {"x", "./x", ".", "..", "../x", "../file", "./../dir/./a", "../dirlink/a", "/"};
    int fd = hold(name, O_RDONLY | O_DIRECTORY);
    (void)say(text("rmdir %s", name), SYS(rmdir, name));
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++)
        for (size_t p = 0; p < sizeof paths / sizeof *paths; p++) {
            const char *what = text("removed %s %s \"%s\"", name, ways[w].name, paths[p]);
            long got = open2(fd, paths[p], O_RDONLY, 0, ways[w].flag);
            struct stat st, was;
            bool same = got >= 0 && fstat((int)got, &st) == 0 && fstat(fd, &was) == 0 && st.st_ino == was.st_ino;
            (void)ok(what, got);
            printf("%s identity = %s\n", what, got < 0 ? "none" : same ? "itself" : "another");
            (void)ok(text("write %s", what), open2(fd, paths[p], O_RDWR, 0, ways[w].flag));
            (void)ok(text("create %s", what), open2(fd, paths[p], O_WRONLY | O_CREAT | O_EXCL, 0600, ways[w].flag));
            (void)unlink("x");
        }
    static const char *const dots[] = {"mkdirat", "unlinkat", "symlinkat", "mknodat", "linkat", "renameat"};
    long told[] = {SYS(mkdirat, fd, ".", 0755),
                   SYS(unlinkat, fd, ".", 0),
                   SYS(symlinkat, "x", fd, "."),
                   SYS(mknodat, fd, ".", S_IFREG | 0600, 0),
                   SYS(linkat, AT_FDCWD, "file", fd, ".", 0),
                   SYS(renameat, AT_FDCWD, "file", fd, ".")};
    for (size_t i = 0; i < sizeof dots / sizeof *dots; i++)
        (void)say(text("%s . of removed %s", dots[i], name), told[i]);
}

/* A child sees the flags that clone was called with where it has left them, whatever was done to the call.  (On other machines
 * the result stands there.) */
static void flags_seen(unsigned long flags) {
#ifdef __x86_64__
    unsigned long seen = flags;
    long pid;
    register unsigned long no_tid __asm__("r10") = 0, no_tls __asm__("r8") = 0;
    (void)fflush(stdout);
    __asm__ volatile("syscall"
                     : "=a"(pid), "+D"(seen)
                     : "0"((long)__NR_clone), "S"(0UL), "d"(0UL), "r"(no_tid), "r"(no_tls)
                     : "rcx", "r11", "memory");
    if (pid == 0)
        _exit(seen == flags ? 0 : 1);
    int status = 0;
    (void)waitpid((pid_t)pid, &status, 0);
    say_status(text("flags seen by child %lx", flags), status);
    (void)say(text("flags seen by parent %lx", flags), seen == flags);
#else
    (void)flags;
#endif
}

/* Children in every way: what they make is in the view as well. */
static void children(void) {
    static const unsigned long flags[] = {0, CLONE_UNTRACED, CLONE_PARENT, CLONE_FS, CLONE_FILES, CLONE_VFORK};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        (void)fflush(stdout);
        long pid = SYS(clone, flags[i] | (flags[i] == CLONE_PARENT ? 0 : SIGCHLD), NULL, NULL, NULL, 0UL);
        if (pid == 0)
            _exit(put(text("child-%zu", i), "made") == 4 ? 0 : 1);
        (void)say(text("clone %lx", flags[i]), pid > 0);
        int status = 0;
        if (flags[i] != CLONE_PARENT) {
            (void)waitpid((pid_t)pid, &status, 0);
            say_status(text("child %lx", flags[i]), status);
        } else {
            /* our parent waits for it; we see that it is done by its file */
            struct stat st;
            while (SYS(newfstatat, AT_FDCWD, text("child-%zu", i), &st, 0) < 0 || st.st_size != 4)
                (void)sched_yield();
        }
        show(text("made by child %lx", flags[i]), text("child-%zu", i));
    }
    struct clone_args args;
    memset(&args, 0, sizeof args);
    args.exit_signal = SIGCHLD;
    args.flags = CLONE_UNTRACED;
    long pid = SYS(clone3, &args, sizeof args);
    if (pid == 0)
        _exit(put("child-3", "made") == 4 ? 0 : 1);
    int status = 0;
    if (pid > 0)
        (void)waitpid((pid_t)pid, &status, 0);
    say_text("clone3", pid > 0 || pid == -ENOSYS ? "works or is not there" : error_name(pid));
}

#ifndef __NR_file_getattr
#define __NR_file_getattr 468
#define __NR_file_setattr 469
#endif

static void file_attributes_of(const char *path) {
    struct {
        uint64_t xflags;
        uint32_t extsize, nextents, projid, cowextsize;
        char more[8];
    } attr = {.xflags = 0x80};  /* FS_XFLAG_NODUMP */
    int fd = hold(path, O_RDONLY | O_NONBLOCK);
    (void)say(text("file_setattr %s", path), SYS(file_setattr, AT_FDCWD, path, &attr, 24, 0));
    (void)say(text("file_getattr %s", path), SYS(file_getattr, AT_FDCWD, path, &attr, sizeof attr, 0));
    (void)say(text("flags of %s", path), (long)attr.xflags);
    (void)say(text("file_setattr nofollow %s", path),
              SYS(file_setattr, AT_FDCWD, path, &attr, 24, AT_SYMLINK_NOFOLLOW));
    (void)say(text("file_getattr nofollow %s", path),
              SYS(file_getattr, AT_FDCWD, path, &attr, 24, AT_SYMLINK_NOFOLLOW));
    (void)say(text("file_getattr fd %s", path), SYS(file_getattr, fd, "", &attr, 24, AT_EMPTY_PATH));
    (void)say(text("file_getattr O_PATH %s", path),
              SYS(file_getattr, hold(path, O_PATH), "", &attr, 24, AT_EMPTY_PATH));
    (void)say(text("file_getattr no path %s", path), SYS(file_getattr, fd, NULL, &attr, 24, 0));
    (void)say(text("file_getattr empty %s", path), SYS(file_getattr, fd, "", &attr, 24, 0));
    (void)say(text("file_getattr bad flags %s", path), SYS(file_getattr, AT_FDCWD, path, &attr, 24, 4));
    (void)say(text("file_getattr short %s", path), SYS(file_getattr, AT_FDCWD, path, &attr, 23, 0));
    (void)say(text("file_getattr long %s", path), SYS(file_getattr, AT_FDCWD, path, &attr, 4097, 0));
    (void)say(text("file_getattr fault %s", path), SYS(file_getattr, AT_FDCWD, path, NULL, 24, 0));
    attr.more[3] = 1;
    (void)say(text("file_setattr longer, not zero %s", path), SYS(file_setattr, AT_FDCWD, path, &attr, sizeof attr, 0));
    attr.xflags = 1ULL << 40;
    (void)say(text("file_setattr unknown %s", path), SYS(file_setattr, AT_FDCWD, path, &attr, 24, 0));
    attr.xflags = 0x80000000; /* FS_XFLAG_HASATTR, which is for reading */
    (void)say(text("file_setattr none %s", path), SYS(file_setattr, fd, NULL, &attr, 24, AT_EMPTY_PATH));
    (void)say(text("file_getattr again %s", path), SYS(file_getattr, AT_FDCWD, path, &attr, 24, 0));
    (void)say(text("flags of %s in the end", path), (long)attr.xflags);
}

/* fcntl(2) tells the flags that were asked for, whoever has opened the file. */
static void flags_told(void) {
    static const int flags[] = {O_RDWR,           O_WRONLY | O_APPEND,   O_TRUNC, O_RDWR | O_SYNC | O_NONBLOCK,
                                O_RDWR | O_CREAT, O_WRONLY | O_NOFOLLOW, 3,       O_CREAT | O_RDWR | O_DIRECT};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        long fd = SYS(openat, AT_FDCWD, "file", flags[i], 0600);
        (void)say(text("F_GETFL %o", flags[i]), SYS(fcntl, fd, F_GETFL));
    }
    long made = SYS(openat, AT_FDCWD, "told", O_CREAT | O_WRONLY | O_SYNC | O_NONBLOCK, 0600);
    (void)say("F_GETFL made", SYS(fcntl, made, F_GETFL));
    long outside = SYS(openat, AT_FDCWD, "/dev/null", O_RDWR | O_APPEND);
    (void)say("F_GETFL outside", SYS(fcntl, outside, F_GETFL));
}

/* Which of a mount's two numbers is told, of what has changed and of what has not: STATX_MNT_ID and _UNIQUE. */
static void mounts(void) {
    static const char *const paths[] = {".", "file", "dir", "dir/sub/deep", "link"};
    for (unsigned flag = 0x1000; flag <= 0x5000; flag += 0x1000)
        for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
            struct statx stx = {0};
            (void)SYS(statx, AT_FDCWD, paths[i], AT_SYMLINK_NOFOLLOW, flag, &stx);
            (void)say(text("statx %x of %s tells", flag, paths[i]), (long)(stx.stx_mask & 0x5000));
        }
}

int main(int argc, char **argv) {
    (void)subject_start(argc, argv);
    static const char *const paths[] = {"file", "dir", "link", "absent", "noaccess", "fifo"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        file_attributes_of(paths[i]);
    resolve();
    (void)say("mkdir", SYS(mkdir, "new-directory", 0755));
    resolve_removed("new-directory");
    resolve_removed("emptydir");
    children();
    flags_told();
    mounts();
    flags_seen(CLONE_UNTRACED | SIGCHLD);
    flags_seen(CLONE_UNTRACED | CLONE_FS | SIGCHLD);
    return 0;
}
