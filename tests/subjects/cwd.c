/* cwd.c - subject: chdir, fchdir, getcwd in directories that are new, renamed, removed, deep.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "subject.h"

static void where(const char *what) {
    char path[PATH_MAX];
    memset(path, '#', sizeof path);
    long n = SYS(getcwd, path, sizeof path);
    if (n < 0)
        (void)say(what, n);
    else
        say_text(what, text("%s (%ld)", path, n));
    char target[PATH_MAX] = {0};
    n = SYS(readlink, "/proc/self/cwd", target, sizeof target - 1);
    if (n < 0)
        (void)say(text("%s, link", what), n);
    else
        say_text(text("%s, link", what), target);
}

static void simple(void) {
    where("start");
    char path[PATH_MAX];
    (void)say("size 0", SYS(getcwd, path, 0));
    (void)say("size 1", SYS(getcwd, path, 1));
    (void)say("too small", SYS(getcwd, path, strlen(getcwd(path, sizeof path) ? path : "")));
    (void)say("bad address", SYS(getcwd, (char *)8, sizeof path));
    (void)say("chdir dir", SYS(chdir, "dir"));
    where("in dir");
    (void)say("chdir sub/deeper", SYS(chdir, "sub/deeper"));
    where("in deeper");
    show_content("relative", "leaf");
    (void)say("chdir ../../..", SYS(chdir, "../../.."));
    where("back");
    (void)say("chdir dirlink", SYS(chdir, "dirlink"));
    where("through a link");
    (void)say("chdir ..", SYS(chdir, ".."));
    (void)say("chdir updir", SYS(chdir, "updir"));
    where("above");
    (void)ok("root", SYS(chdir, "/"));
    where("at root");
    (void)say("chdir .. at root", SYS(chdir, ".."));
    where("still at root");
    (void)say("chdir proc", SYS(chdir, "/proc/self"));
    (void)say("chdir dev", SYS(chdir, "/dev"));
    where("on another mount");
}

static void refused(const char *base) {
    (void)say("back", SYS(chdir, base));
    static const char *const paths[] = {"file", "file/",       "absent", "absent/x", "dangling",
                                        "loop", "noaccessdir", "",       "fifo",     "file/.."};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        (void)say(text("chdir \"%s\"", paths[i]), SYS(chdir, paths[i]));
    where("nothing changed");
    (void)say("fchdir file", SYS(fchdir, hold("file", O_RDONLY)));
    (void)say("fchdir bad", SYS(fchdir, 999));
    (void)say("fchdir path", SYS(fchdir, hold("dir", O_PATH)));
    where("fchdir");
    (void)say("fchdir noaccessdir", SYS(fchdir, hold("../noaccessdir", O_PATH)));
    (void)say("back", SYS(chdir, base));
}

static void changed(const char *base) {
    (void)say("mkdir new", SYS(mkdir, "new", 0755));
    (void)say("chdir new", SYS(chdir, "new"));
    where("new");
    (void)say("put", put("here", "x"));
    (void)say("rename new", SYS(rename, text("%s/new", base), text("%s/newer", base)));
    where("renamed");
    show_content("relative after rename", "here");
    (void)say("put after rename", put("there", "y"));
    show_content("absolute after rename", text("%s/newer/there", base));
    (void)say("rename into dir", SYS(rename, text("%s/newer", base), text("%s/dir/newest", base)));
    where("renamed into dir");
    (void)say("dotdot", SYS(chdir, ".."));
    where("dotdot of renamed");
    show_list("dir", ".");
    (void)say("chdir newest", SYS(chdir, "newest"));
    (void)say("rename parent", SYS(rename, text("%s/dir", base), text("%s/moved", base)));
    where("parent renamed");
    show_content("still there", "there");
    show_content("uncle", "../a");
    (void)say("sub of lower", SYS(chdir, "../sub/deeper"));
    where("lower below renamed");
    (void)say("change there", put("leaf", "changed"));
    show_content("changed by name", text("%s/moved/sub/deeper/leaf", base));
    (void)say("back", SYS(chdir, base));
    (void)say("chdir emptydir", SYS(chdir, "emptydir"));
    (void)say("rename emptydir", SYS(rename, text("%s/emptydir", base), text("%s/other", base)));
    where("lower directory renamed");
    (void)say("put in it", put("inside", "z"));
    show_list("by name", text("%s/other", base));
    (void)say("back", SYS(chdir, base));
}

static void removed(const char *base) {
    struct stat st;
    for (int lower = 0; lower < 2; lower++) {
        const char *name = lower ? "gone/z" : "made";
        (void)SYS(mkdir, "made", 0755);
        (void)say(text("chdir %s", name), SYS(chdir, name));
        long fd = SYS(openat, AT_FDCWD, ".", O_RDONLY | O_DIRECTORY);
        (void)say(text("rmdir %s", name), SYS(rmdir, text("%s/%s", base, name)));
        char path[PATH_MAX];
        (void)say(text("getcwd %s", name), SYS(getcwd, path, sizeof path));
        (void)say(text("stat . %s", name), SYS(newfstatat, AT_FDCWD, ".", &st, 0));
        (void)say(text("nlink %s", name), (long)st.st_nlink);
        (void)say(text("mkdir in %s", name), SYS(mkdir, "x", 0755));
        (void)say(text("create in %s", name), SYS(openat, AT_FDCWD, "x", O_WRONLY | O_CREAT, 0644));
        (void)say(text("create at %s", name), SYS(openat, fd, "x", O_WRONLY | O_CREAT, 0644));
        (void)say(text("stat x in %s", name), SYS(newfstatat, AT_FDCWD, "x", &st, 0));
        (void)say(text("rmdir . in %s", name), SYS(rmdir, "."));
        (void)say(text("list %s", name), SYS(getdents64, fd, path, sizeof path));
        (void)say(text("fchdir %s", name), SYS(fchdir, fd));
        (void)ok(text("open . in %s", name), SYS(openat, AT_FDCWD, ".", O_RDONLY | O_DIRECTORY));
        (void)say(text("chmod . in %s", name), SYS(chmod, ".", 0700));
        (void)say(text("stat .. of %s", name), SYS(newfstatat, AT_FDCWD, "..", &st, 0));
        (void)say(text("stat above %s", name), SYS(newfstatat, fd, "./.././file", &st, 0));
        (void)say(text("nothing above %s", name), SYS(newfstatat, fd, "../nothing/..", &st, 0));
        (void)say(text("mkdir above %s", name), SYS(mkdir, "../above", 0755));
        (void)say(text("rmdir above %s", name), SYS(rmdir, "../above"));
        (void)say(text("chdir .. of %s", name), SYS(chdir, ".."));
        (void)say(text("getcwd above %s", name), SYS(getcwd, path, sizeof path));
        printf("above %s = %s\n", name, path);
        (void)say(text("back from %s", name), SYS(chdir, base));
        show(text("%s is gone", name), name);
    }
}

/* As deep as a path can name. */
static void deep(const char *base) {
    static char name[256];
    memset(name, 'n', 250);
    long result = 0;
    for (int i = 0; i < 15 && result == 0; i++) {
        result = SYS(mkdir, name, 0755);
        if (result == 0)
            result = SYS(chdir, name);
    }
    (void)say("fifteen levels of 250", result);
    where("down there");
    (void)say("create there", put("x", "deep"));
    show_content("read there", "x");
    show_list("list there", ".");
    (void)SYS(unlink, "x");
    result = 0;
    for (int i = 0; i < 15 && result == 0; i++) {
        result = SYS(chdir, "..");
        if (result == 0)
            result = SYS(rmdir, name);
    }
    (void)say("removed again", result);
    where("after that");
    (void)say("back", SYS(chdir, base));
}

int main(int argc, char **argv) {
    const char *base = subject_start(argc, argv);
    simple();
    refused(base);
    removed(base);
    changed(base);
    deep(base);
    return 0;
}
