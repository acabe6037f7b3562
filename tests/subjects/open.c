/* open.c - subject: open(2), openat(2), creat(2) with every flag on every kind of object.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "subject.h"

struct flags {
    const char *name;
    int value;
};
#define F(name) {#name, name}
static const struct flags flags[] = {
    {"O_RDONLY", O_RDONLY},
    {"O_WRONLY", O_WRONLY},
    {"O_RDWR", O_RDWR},
    {"O_RDONLY|O_CREAT", O_RDONLY | O_CREAT},
    {"O_WRONLY|O_CREAT|O_EXCL", O_WRONLY | O_CREAT | O_EXCL},
    {"O_WRONLY|O_CREAT|O_NOFOLLOW", O_WRONLY | O_CREAT | O_NOFOLLOW},
    {"O_RDONLY|O_TRUNC", O_RDONLY | O_TRUNC},
    {"O_WRONLY|O_APPEND", O_WRONLY | O_APPEND},
    {"O_RDONLY|O_DIRECTORY", O_RDONLY | O_DIRECTORY},
    {"O_RDWR|O_DIRECTORY", O_RDWR | O_DIRECTORY},
    {"O_RDONLY|O_CREAT|O_DIRECTORY", O_RDONLY | O_CREAT | O_DIRECTORY},
    {"O_RDONLY|O_NOFOLLOW", O_RDONLY | O_NOFOLLOW},
    {"O_RDONLY|O_NOFOLLOW|O_DIRECTORY", O_RDONLY | O_NOFOLLOW | O_DIRECTORY},
    {"O_PATH", O_PATH},
    {"O_PATH|O_NOFOLLOW", O_PATH | O_NOFOLLOW},
    {"O_PATH|O_DIRECTORY", O_PATH | O_DIRECTORY},
    {"O_TMPFILE|O_RDONLY", O_TMPFILE | O_RDONLY},
    {"O_TMPFILE|O_RDWR", O_TMPFILE | O_RDWR},
    {"O_TMPFILE|O_WRONLY|O_EXCL", O_TMPFILE | O_WRONLY | O_EXCL},
    {"O_RDWR|O_TRUNC", O_RDWR | O_TRUNC},
    {"O_RDWR|O_CREAT|O_TRUNC", O_RDWR | O_CREAT | O_TRUNC},
    {"3", O_WRONLY | O_RDWR},
};

static const char *const paths[] = {
    "file",          "empty",    "ro",        "noaccess",     "dir",    "emptydir",     "link",   "link/",
    "dirlink",       "dirlink/", "loop",      "file/",        "file/.", "file/..",      "dir/",   "dir/.",
    "dir/..",        "fifo",     "abslink",   "dir/sub/deep", ".",      "..",           "file/x", "absent/x",
    "noaccessdir/x", "setuid",   "dirlink/a", "dir/../file",  "",       "sticky/other",
};

/* Names that are gone again before the next flag is tried. */
static const char *const fresh[] = {"absent",   "dir/absent", "dirlink/absent", "absent/",
                                    "dangling", "dangling/",  "emptydir/absent"};

static void show_open(const char *path, const struct flags *f) {
    const char *what = text("open \"%s\" %s", path, f->name);
    long fd = SYS(openat, AT_FDCWD, path, f->value | O_NONBLOCK | O_CLOEXEC, 0640);
    if (fd < 0) {
        (void)say(what, fd);
        return;
    }
    struct stat st;
    long stat_result = SYS(fstat, fd, &st);
    long status = SYS(fcntl, fd, F_GETFL);
    long close_on_exec = SYS(fcntl, fd, F_GETFD);
    say_text(what, text("flags %lo cloexec %ld %s", status & (O_ACCMODE | O_APPEND | O_PATH | O_NONBLOCK | O_DIRECTORY),
                        close_on_exec, stat_result < 0 ? error_name(stat_result) : stat_text(&st)));
    (void)SYS(close, fd);
}

static void matrix(void) {
    for (size_t f = 0; f < sizeof flags / sizeof *flags; f++)
        for (size_t p = 0; p < sizeof paths / sizeof *paths; p++)
            show_open(paths[p], &flags[f]);
    for (size_t f = 0; f < sizeof flags / sizeof *flags; f++)
        for (size_t p = 0; p < sizeof fresh / sizeof *fresh; p++) {
            show_open(fresh[p], &flags[f]);
            (void)SYS(unlink, "absent");
            (void)SYS(unlink, "dir/absent");
            (void)SYS(unlink, "nowhere");
            (void)SYS(unlink, "emptydir/absent");
        }
}

/* What lands in the file, and where the descriptor's offset stands. */
static void contents(void) {
    long fd = ok("rdwr", SYS(openat, AT_FDCWD, "dir/a", O_RDWR));
    char data[32] = {0};
    (void)say("read before write", SYS(read, fd, data, 5));
    (void)say("write", SYS(write, fd, "WRITE", 5));
    (void)say("lseek", SYS(lseek, fd, 0, SEEK_CUR));
    show_content("after write", "dir/a");
    show("after write stat", "dir/a");
    (void)SYS(close, fd);

    fd = ok("append", SYS(openat, AT_FDCWD, "dir/b", O_WRONLY | O_APPEND));
    (void)say("append write", SYS(write, fd, "+tail", 5));
    (void)SYS(close, fd);
    show_content("after append", "dir/b");

    fd = ok("trunc", SYS(openat, AT_FDCWD, "dir/c", O_WRONLY | O_TRUNC));
    show("after trunc", "dir/c");
    (void)say("trunc write", SYS(write, fd, "new", 3));
    (void)SYS(close, fd);
    show_content("after trunc write", "dir/c");
    show_content("big start", "big");
    fd = ok("big rdwr", SYS(openat, AT_FDCWD, "big", O_RDWR));
    (void)say("big pwrite", SYS(pwrite64, fd, "middle", 6, 150000));
    (void)SYS(close, fd);
    show("big after", "big");
    fd = ok("sparse rdwr", SYS(openat, AT_FDCWD, "sparse", O_RDWR));
    (void)say("sparse hole", SYS(lseek, fd, 0, SEEK_HOLE) < 1000000);
    (void)say("sparse data", SYS(lseek, fd, 65536, SEEK_DATA) > 500000);
    (void)SYS(close, fd);
    show("sparse after", "sparse");
    show("truncate file", "file");
    (void)say("truncate longer", SYS(truncate, "file", 100));
    show("truncated longer", "file");
    (void)say("truncate shorter", SYS(truncate, "file", 3));
    show_content("truncated shorter", "file");
    (void)say("truncate dir", SYS(truncate, "dir", 0));
    (void)say("truncate negative", SYS(truncate, "file", -1));
    (void)say("truncate absent", SYS(truncate, "absent", 1));
    (void)say("truncate ro", SYS(truncate, "ro", 1));
    (void)say("truncate fifo", SYS(truncate, "fifo", 1));
    (void)say("truncate link", SYS(truncate, "link", 2));
    show("truncated through link", "file");
}

static void create_modes(void) {
    static const unsigned masks[] = {0, 022, 077, 0777, 027};
    static const unsigned modes[] = {0, 0666, 0777, 0400, 04755, 02755, 01644, 07777};
    for (size_t m = 0; m < sizeof masks / sizeof *masks; m++)
        for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
            umask(masks[m]);
            const char *what = text("create %05o umask %03o", modes[i], masks[m]);
            long fd = SYS(openat, AT_FDCWD, "made", O_RDWR | O_CREAT | O_EXCL, modes[i]);
            if (fd < 0) {
                (void)say(what, fd);
                continue;
            }
            show(what, "made");
            (void)say(text("%s write", what), SYS(write, fd, "x", 1));
            (void)SYS(close, fd);
            (void)say(text("%s unlink", what), SYS(unlink, "made"));
        }
    umask(022);
    (void)ok("creat", SYS(creat, "made", 0666));
    show("creat made", "made");
    (void)ok("creat existing", SYS(creat, "made", 0));
    show("creat existing keeps", "made");
    (void)ok("creat in setgid", SYS(creat, "setgid/made", 0666));
    show("made in setgid", "setgid/made");
    (void)ok("creat in sticky", SYS(creat, "sticky/made", 0666));
    show("made in sticky", "sticky/made");
}

/* A name that is removed and made again is new: nothing of the lower object may shine through. */
static void again(void) {
    (void)say("unlink hard1", SYS(unlink, "hard1"));
    (void)say("open removed", SYS(openat, AT_FDCWD, "hard1", O_RDONLY));
    (void)say("open removed rdwr", SYS(openat, AT_FDCWD, "hard1", O_RDWR));
    show("removed", "hard1");
    (void)ok("excl after unlink", SYS(openat, AT_FDCWD, "hard1", O_WRONLY | O_CREAT | O_EXCL, 0600));
    show("made again", "hard1");
    show_content("made again holds", "hard1");
    (void)say("excl again", SYS(openat, AT_FDCWD, "hard1", O_WRONLY | O_CREAT | O_EXCL, 0600));
    show("other name", "hard2");
    (void)say("unlink fifo", SYS(unlink, "fifo"));
    (void)ok("create where fifo was", SYS(openat, AT_FDCWD, "fifo", O_WRONLY | O_CREAT, 0600));
    show("file where fifo was", "fifo");
    (void)say("unlink link", SYS(unlink, "link"));
    (void)ok("create where link was", SYS(openat, AT_FDCWD, "link", O_WRONLY | O_CREAT, 0600));
    show("file where link was", "link");
    show("its former target", "file");
    (void)ok("create through dangling", SYS(openat, AT_FDCWD, "dangling", O_WRONLY | O_CREAT, 0600));
    show("target of dangling", "nowhere");
}

static void temporary(const char *base) {
    long fd = ok("tmpfile", SYS(openat, AT_FDCWD, "dir", O_TMPFILE | O_RDWR, 0640));
    (void)say("tmpfile write", SYS(write, fd, "temporary", 9));
    struct stat st;
    (void)SYS(fstat, fd, &st);
    say_text("tmpfile stat", stat_text(&st));
    (void)say("tmpfile link",
              SYS(linkat, AT_FDCWD, text("/proc/self/fd/%ld", fd), AT_FDCWD, "dir/named", AT_SYMLINK_FOLLOW));
    show("tmpfile named", "dir/named");
    show_content("tmpfile holds", "dir/named");
    (void)say("tmpfile link again", SYS(linkat, AT_FDCWD, text("/proc/self/fd/%ld", fd), AT_FDCWD,
                                        text("%s/dir/named2", base), AT_SYMLINK_FOLLOW));
    show("tmpfile two names", "dir/named");
    (void)say("tmpfile link existing",
              SYS(linkat, AT_FDCWD, text("/proc/self/fd/%ld", fd), AT_FDCWD, "ro", AT_SYMLINK_FOLLOW));
    (void)SYS(close, fd);
    fd = ok("tmpfile excl", SYS(openat, AT_FDCWD, ".", O_TMPFILE | O_RDWR | O_EXCL, 0640));
    (void)say("tmpfile excl link",
              SYS(linkat, AT_FDCWD, text("/proc/self/fd/%ld", fd), AT_FDCWD, "named3", AT_SYMLINK_FOLLOW));
    (void)SYS(close, fd);
    show_list("dir after", "dir");
}

static void relative_to(void) {
    long dir = ok("dirfd", SYS(openat, AT_FDCWD, "dir", O_RDONLY | O_DIRECTORY));
    long path = ok("dirfd O_PATH", SYS(openat, AT_FDCWD, "dir", O_PATH | O_DIRECTORY));
    long file = ok("dirfd file", SYS(openat, AT_FDCWD, "ro", O_RDONLY));
    (void)ok("openat dir", SYS(openat, dir, "sub/deep", O_RDONLY));
    (void)ok("openat path", SYS(openat, path, "sub/deep", O_RDWR));
    (void)ok("openat dotdot", SYS(openat, path, "../ro", O_RDONLY));
    (void)ok("openat create", SYS(openat, path, "relative", O_WRONLY | O_CREAT, 0644));
    show("created", "dir/relative");
    (void)say("openat file", SYS(openat, file, "x", O_RDONLY));
    (void)say("openat file empty", SYS(openat, file, "", O_RDONLY));
    (void)say("openat bad", SYS(openat, 999, "x", O_RDONLY));
    (void)ok("openat bad absolute", SYS(openat, 999, "/proc/self/status", O_RDONLY));
    (void)say("open NULL", SYS(openat, AT_FDCWD, NULL, O_RDONLY));
    (void)ok("open", SYS(open, "ro", O_RDONLY));
    (void)ok("open create", SYS(open, "plain-open", O_WRONLY | O_CREAT, 0604));
    show("open created", "plain-open");
}

int main(int argc, char **argv) {
    const char *base = subject_start(argc, argv);
    matrix();
    contents();
    create_modes();
    again();
    temporary(base);
    relative_to();
    return 0;
}
