/* exec.c - subject: execve, execveat and all that starts programs, on programs and scripts of the tree.
 *
 * The tree has bin/show (the subject `show`, static), bin/show-dynamic (its PT_INTERP is in the tree),
 * bin/show-library, bin/busy, and scripts; see tests/semantics/test_exec.py.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "subject.h"

#include <pthread.h>
#include <spawn.h>

static char *const environment[] = {"MARK=set", "PATH=/usr/bin:/bin", NULL};

/* Waits for a child whose exec either worked (its own output is there) or exits with 200 + errno. */
static void finish(const char *what, pid_t pid) {
    int status;
    if (waitpid(pid, &status, 0) != pid)
        give_up("waitpid");
    if (WIFEXITED(status) && WEXITSTATUS(status) >= 100)
        say_text(what, text("-%s", error_name(-(WEXITSTATUS(status) - 100))));
    else
        say_status(what, status);
}

static void run(const char *path, char *const argv[]) {
    const char *what = text("exec \"%.60s\"", path);
    printf("%s:\n", what);
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        long result = SYS(execve, path, argv, environment);
        _exit(100 + (int)-result);
    }
    finish(what, pid);
}

static void run_at(const char *what, int dirfd, const char *path, int flags) {
    char *argv[] = {"zero", "one", NULL};
    printf("%s:\n", what);
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        long result = SYS(execveat, dirfd, path, argv, environment, flags);
        _exit(100 + (int)-result);
    }
    finish(what, pid);
}

static void *from_thread(void *path) {
    char *argv[] = {"zero", "thread", NULL};
    long result = SYS(execve, path, argv, environment);
    _exit(100 + (int)-result);
}

static void other_ways(const char *path) {
    char *argv[] = {"zero", "other", NULL};
    printf("thread %s:\n", path);
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, from_thread, (void *)(uintptr_t)path) != 0)
            _exit(99);
        for (;;)
            (void)pause();
    }
    finish(text("thread %s", path), pid);
    printf("vfork %s:\n", path);
    (void)fflush(stdout);
    pid = vfork();
    if (pid == 0) {
        (void)execve(path, argv, environment);
        _exit(100 + errno);
    }
    finish(text("vfork %s", path), pid);
    printf("spawn %s:\n", path);
    (void)fflush(stdout);
    int error = posix_spawn(&pid, path, NULL, NULL, argv, environment);
    if (error)
        (void)say(text("spawn %s", path), -error);
    else
        finish(text("spawn %s", path), pid);
}

static void by_descriptor(const char *base) {
    run_at("execveat dirfd", hold("bin", O_PATH), "show", 0);
    run_at("execveat dirfd script", hold("scripts", O_RDONLY | O_DIRECTORY), "sh", 0);
    run_at("execveat link", AT_FDCWD, "bin/link", 0);
    run_at("execveat nofollow link", AT_FDCWD, "bin/link", AT_SYMLINK_NOFOLLOW);
    run_at("execveat nofollow", AT_FDCWD, "bin/show", AT_SYMLINK_NOFOLLOW);
    run_at("execveat empty", hold("bin/show", O_RDONLY), "", AT_EMPTY_PATH);
    run_at("execveat empty O_PATH", hold("bin/show", O_PATH), "", AT_EMPTY_PATH);
    run_at("execveat empty no flag", hold("bin/show", O_PATH), "", 0);
    run_at("execveat dir", hold("bin", O_PATH), "", AT_EMPTY_PATH);
    run_at("execveat bad fd", 999, "show", 0);
    run_at("execveat bad flags", AT_FDCWD, "bin/show", 0x8000);
    run_at("fexecve script closed on exec", hold("scripts/sh", O_RDONLY), "", AT_EMPTY_PATH);
    int fd = (int)SYS(openat, AT_FDCWD, "scripts/show", O_RDONLY);
    (void)SYS(dup2, fd, 50);
    run_at("fexecve script", 50, "", AT_EMPTY_PATH);
    char *argv[] = {"zero", NULL};
    (void)SYS(dup2, hold("bin/show", O_RDONLY), 51);
    run("/proc/self/fd/51", argv);
    run(text("/proc/self/root%s/bin/show", base), argv);
    run(text("/proc/self/cwd/bin/show"), argv);
}

/* Programs and interpreters that only the upper layer has, or that changed there. */
static void copy(const char *from, const char *to, mode_t mode) {
    int in = hold(from, O_RDONLY), out = (int)SYS(openat, AT_FDCWD, to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    static char data[1 << 16];
    long n;
    while ((n = SYS(read, in, data, sizeof data)) > 0)
        if (SYS(write, out, data, (size_t)n) != n)
            give_up("copy");
    (void)SYS(close, in);
    (void)SYS(close, out);
}

static void script(const char *path, const char *line) {
    (void)put(path, line);
    (void)SYS(chmod, path, 0755);
}

static void new_programs(const char *base) {
    char *argv[] = {"zero", "one", "", "three words", NULL};
    copy("bin/show", "bin/new", 0755);
    run("bin/new", argv);
    (void)SYS(rename, "bin/new", "new-place");
    run("./new-place", argv);
    (void)SYS(rename, "bin", "bin2");
    run("bin/show", argv);
    run("bin2/show", argv);
    (void)SYS(rename, "bin2", "bin");
    (void)SYS(chmod, "bin/show", 0711);
    run("bin/show", argv);
    copy("bin/show", "interpreter", 0755);
    script("s-new", text("#!%s/interpreter opt\n", base));
    run("./s-new", argv);
    script("s-nested", text("#!%s/s-new\n", base));
    run("./s-nested", argv);
    (void)SYS(unlink, "interpreter");
    run("./s-new", argv);
    (void)SYS(symlink, "bin/show", "interpreter");
    run("./s-new", argv);
    script("s-relative", "#!bin/show\n");
    run("./s-relative", argv);
    (void)SYS(chdir, "dir");
    run("../s-relative", argv);
    run("../s-new", argv);
    (void)SYS(chdir, base);
    script("scripts/sh", "#!/bin/sh\necho \"changed $0 $*\"\n");
    run("scripts/sh", argv);
    (void)SYS(unlink, "bin/link");
    run("bin/link", argv);
    copy("bin/show-dynamic", "dynamic", 0755);
    run("./dynamic", argv);
    copy("lib/interpreter", "lib/again", 0755);
    (void)SYS(rename, "lib/again", "lib/interpreter");
    run("./dynamic", argv);
    run("bin/show-dynamic", argv);
    (void)SYS(unlink, "lib/interpreter");
    run("bin/show-dynamic", argv);
    run("./dynamic", argv);
}

static void limits(void) {
    static char *many[4];
    static char big[200000];
    memset(big, 'x', sizeof big - 1);
    many[0] = "zero";
    many[1] = big;
    run("bin/show", many);
    run("scripts/show", many);
    char *argv[] = {"zero", NULL};
    run(NULL, argv);
    static char *const *volatile wild = (char *const *)8;
    run("bin/show", wild);
    run("bin/show", NULL);
}

int main(int argc, char **argv) {
    const char *base = subject_start(argc, argv);
    static const char *const paths[] = {
        "bin/show",
        "bin/link",
        "./bin/show",
        "bin/show/",
        "bin",
        "bin/absent",
        "bin/plain",
        "bin/dangling",
        "bin/loop",
        "bin/empty",
        "bin/text",
        "bin/noexec-script",
        "bin/short",
        "bin/broken",
        "bin/show-dynamic",
        "scripts/show",
        "scripts/sh",
        "scripts/opt",
        "scripts/spaces",
        "scripts/tabs",
        "scripts/relative",
        "scripts/missing",
        "scripts/missing-dir",
        "scripts/no-newline",
        "scripts/only-marks",
        "scripts/blank",
        "scripts/carriage",
        "scripts/directory",
        "scripts/plain",
        "scripts/long-option",
        "scripts/long-name",
        "scripts/nested1",
        "scripts/nested2",
        "scripts/nested3",
        "scripts/nested4",
        "scripts/nested5",
        "scripts/nested6",
        "scripts/loop",
        "scripts/link",
        "scripts/env",
        "",
        "/bin/sh/",
        "file",
        "fifo",
    };
    char *arguments[] = {"zero", "one", "", "three words", NULL};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        run(paths[i], arguments);
    run(text("%s/bin/show", base), arguments);
    run(text("%s/scripts/nested3", base), arguments);
    char *empty[] = {NULL};
    run("bin/show", empty);
    run("scripts/show", empty);
    other_ways("bin/show");
    other_ways("scripts/show");
    other_ways("bin/absent");
    other_ways("bin/show-dynamic");
    by_descriptor(base);
    limits();
    new_programs(base);
    return 0;
}
