/* domain.c - the Landlock domain of a run, without a trap before it: what a call that slipped past could do.
 *
 * domain names|contents HOST UPPER WORK DIRECT COVERED: for a view over COVERED, / or HOST, it enters the domain and makes calls as they are.  HOST
 * holds file, fifo, dir and empty, a directory; standard output goes to a file that is there too.  Linked with the view and with landlock.c.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "subject.h"

#include "../../csrc/command/landlock.h"
#include <sys/prctl.h>

static pto_view *open_view(char **argv) {
    static char message[256];
    const char *const root[] = {argv[6]};
    const struct pto_overlay overlay = {
        .lowers = root, .n_lowers = 1, .upper = argv[3], .work = argv[4], .mount = argv[6], .flags = PTO_USERXATTR};
    pto_view *view = pto_view_new();
    if (!view || pto_view_add_overlay(view, &overlay, message, sizeof message) < 0 ||
        pto_view_add_place(view, PTO_DIRECT, "/dev", message, sizeof message) < 0 ||
        pto_view_add_place(view, PTO_DIRECT, argv[5], message, sizeof message) < 0)
        give_up(message);
    return view;
}

static void enter(char **argv) {
    pto_view *view = open_view(argv);
    int ruleset = landlock_open(view, strcmp(argv[1], "contents") == 0);
    if (ruleset < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || landlock_enter(ruleset) != 0)
        give_up("landlock");
    (void)SYS(close, ruleset);
    pto_view_free(view);
}

static void change_contents(const char *where, const char *directory) {
    const char *file = keep(text("%s/file", directory));
    (void)ok(text("%s read", where), SYS(openat, AT_FDCWD, file, O_RDONLY));
    (void)ok(text("%s write", where), SYS(openat, AT_FDCWD, file, O_WRONLY));
    (void)ok(text("%s both", where), SYS(openat, AT_FDCWD, file, O_RDWR));
    (void)ok(text("%s append", where), SYS(openat, AT_FDCWD, file, O_WRONLY | O_APPEND));
    (void)ok(text("%s open to truncate", where), SYS(openat, AT_FDCWD, file, O_RDONLY | O_TRUNC));
    (void)ok(text("%s truncate", where), SYS(truncate, file, 1));
    (void)ok(text("%s unnamed", where), SYS(openat, AT_FDCWD, directory, O_WRONLY | O_TMPFILE, 0644));
    (void)ok(text("%s fifo", where), SYS(openat, AT_FDCWD, text("%s/fifo", directory), O_RDWR));
}

static void change_names(const char *where, const char *directory) {
    const char *made = keep(text("%s/made", directory)), *dir = keep(text("%s/dir", directory));
    (void)ok(text("%s create", where), SYS(openat, AT_FDCWD, made, O_RDONLY | O_CREAT, 0644));
    (void)ok(text("%s mkdir", where), SYS(mkdir, text("%s/new", directory), 0755));
    (void)ok(text("%s symlink", where), SYS(symlink, "x", text("%s/symlink", directory)));
    (void)ok(text("%s mkfifo", where), SYS(mknod, text("%s/pipe", directory), S_IFIFO | 0644, 0));
    (void)ok(text("%s link", where), SYS(link, text("%s/file", directory), text("%s/hard", directory)));
    (void)ok(text("%s rename", where), SYS(rename, dir, text("%s/moved", directory)));
    (void)ok(text("%s rmdir", where), SYS(rmdir, text("%s/empty", directory)));
    (void)ok(text("%s unlink", where), SYS(unlink, text("%s/fifo", directory)));
}

int main(int argc, char **argv) {
    if (argc != 7)
        give_up("arguments");
    enter(argv);
    change_contents("host", argv[2]);
    change_names("host", argv[2]);
    change_contents("upper", argv[3]);
    change_names("upper", argv[3]);
    change_contents("direct", argv[5]);
    change_names("direct", argv[5]);
    (void)ok("device", SYS(openat, AT_FDCWD, "/dev/null", O_WRONLY));
    (void)ok("standard output", SYS(openat, AT_FDCWD, "/dev/stdout", O_WRONLY));
    return 0;
}
