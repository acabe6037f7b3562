/* again.c - subject: what has been asked often is told anew once something changed, by whomever.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "subject.h"

#define OFTEN 40

static char top[PATH_MAX];

/* An absolute path: what is relative depends on the task. */
static const char *below_top(const char *name) {
    return text("%s/%s", top, name);
}

static long size_of(const char *path) {
    struct stat st;
    long result = SYS(newfstatat, AT_FDCWD, path, &st, 0);
    return result < 0 ? result : S_ISREG(st.st_mode) ? (long)st.st_size : -EISDIR;
}

static long first_byte(const char *path) {
    char c = 0;
    long fd = SYS(openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fd;
    long n = SYS(read, fd, &c, 1);
    (void)SYS(close, fd);
    return n < 0 ? n : c;
}

static long link_length(const char *path) {
    char target[PATH_MAX];
    return SYS(readlinkat, AT_FDCWD, path, target, sizeof target);
}

struct answers {
    long size, access, first, link, lstat;
};

static struct answers ask(const char *path) {
    struct stat st;
    return (struct answers){
        .size = size_of(path),
        .access = SYS(faccessat, AT_FDCWD, path, R_OK),
        .first = first_byte(path),
        .link = link_length(path),
        .lstat = SYS(newfstatat, AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -ENOENT : (long)(st.st_mode & S_IFMT),
    };
}

/* The same again and again, and then what it is. */
static void ask_often(const char *what, const char *name) {
    const char *path = keep(below_top(name));
    struct answers first = ask(path), last = first;
    for (int i = 0; i < OFTEN; i++)
        last = ask(path);
    (void)say(text("%s: %s: repeats", what, name), memcmp(&first, &last, sizeof first) == 0);
    (void)say(text("%s: %s: size", what, name), last.size == -EISDIR ? 0 : last.size);
    (void)say(text("%s: %s: access", what, name), last.access);
    (void)say(text("%s: %s: first", what, name), last.first);
    (void)say(text("%s: %s: link", what, name), last.link < 0 ? last.link : 1);
    (void)say(text("%s: %s: lstat", what, name), last.lstat);
}

static const char *const names[] = {
    "file",      "empty",       "dir/a",         "dir/b",      "dir/sub/deep", "dir/sub/deeper/leaf",
    "dirlink/a", "dir/none",    "none",          "none/below", "link",         "mixed/keep",
    "gone/x",    "gone/new",    "emptydir/made", "full/a",     "dir/sub/none", "renamed",
    "renamed/a", "dir/b/below", "links/none",
};

static void ask_all(const char *what) {
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        ask_often(what, names[i]);
}

/* ---- what changes ---- */

static long rename_in(const char *from, const char *to) {
    return SYS(renameat, AT_FDCWD, keep(below_top(from)), AT_FDCWD, keep(below_top(to)));
}

static long remove_in(const char *name) {
    return SYS(unlinkat, AT_FDCWD, below_top(name), 0);
}

static long write_file(void) {
    return put(below_top("file"), "another content\n");
}
static long append_lower(void) {
    long fd = SYS(openat, AT_FDCWD, below_top("dir/a"), O_WRONLY | O_APPEND);
    long n = SYS(write, fd, "more\n", 5);
    (void)SYS(close, fd);
    return n;
}
static long make_missing(void) {
    return put(below_top("dir/none"), "n");
}
static long make_above_missing(void) {
    return SYS(mkdirat, AT_FDCWD, below_top("none"), 0755);
}
static long make_below(void) {
    return put(below_top("none/below"), "below");
}
static long make_elsewhere(void) {
    return put(below_top("emptydir/made"), "made");
}
static long remove_lower(void) {
    return remove_in("dir/b");
}
static long directory_for_file(void) {
    return SYS(mkdirat, AT_FDCWD, below_top("dir/b"), 0755);
}
static long remove_made(void) {
    return remove_in("dir/none");
}
static long make_removed(void) {
    return put(below_top("dir/none"), "again");
}
static long link_for_missing(void) {
    return SYS(symlinkat, "../file", AT_FDCWD, below_top("dir/sub/none"));
}
static long link_elsewhere(void) {
    return remove_in("link") < 0 ? -1 : SYS(symlinkat, "dir/a", AT_FDCWD, below_top("link"));
}
static long rename_over(void) {
    return rename_in("none/below", "mixed/keep");
}
static long rename_directory(void) {
    return rename_in("dir", "renamed");
}
static long rename_back(void) {
    return rename_in("renamed", "dir");
}
static long close_directory(void) {
    return SYS(fchmodat, AT_FDCWD, below_top("dir/sub"), 0000);
}
static long open_directory(void) {
    return SYS(fchmodat, AT_FDCWD, below_top("dir/sub"), 0755);
}
static long close_file(void) {
    return SYS(fchmodat, AT_FDCWD, below_top("empty"), 0000);
}
static long truncate_lower(void) {
    return SYS(truncate, below_top("gone/x"), 2L);
}
static long link_name(void) {
    return SYS(linkat, AT_FDCWD, keep(below_top("file")), AT_FDCWD, keep(below_top("gone/new")), 0);
}
static long exchange(void) {
    return SYS(renameat2, AT_FDCWD, keep(below_top("gone/x")), AT_FDCWD, keep(below_top("mixed/keep")), 2);
}

static const struct change {
    const char *what;
    long (*make)(void);
} changes[] = {
    {"write", write_file},
    {"append", append_lower},
    {"make missing", make_missing},
    {"make above missing", make_above_missing},
    {"make below", make_below},
    {"make elsewhere", make_elsewhere},
    {"remove lower", remove_lower},
    {"directory for file", directory_for_file},
    {"remove made", remove_made},
    {"make removed", make_removed},
    {"link for missing", link_for_missing},
    {"link elsewhere", link_elsewhere},
    {"rename over", rename_over},
    {"rename directory", rename_directory},
    {"rename back", rename_back},
    {"close directory", close_directory},
    {"open directory", open_directory},
    {"close file", close_file},
    {"truncate", truncate_lower},
    {"link", link_name},
    {"exchange", exchange},
};

/* By another process, which has asked nothing. */
static long by_child(long (*make)(void)) {
    int status;
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        _exit(make() < 0);
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        give_up("child");
    return status ? -1 : 0;
}

int main(int argc, char **argv) {
    (void)subject_start(argc, argv);
    if (!getcwd(top, sizeof top))
        give_up("getcwd");
    ask_all("before");
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        const struct change *change = &changes[i];
        (void)say(text("%s: result", change->what), (i % 2 ? by_child(change->make) : change->make()) < 0);
        ask_all(change->what);
    }
    return 0;
}
