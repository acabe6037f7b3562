/* rename.c - subject: rename, renameat2 with every kind of source on every kind of target.
 *
 * The tree holds ren/SRC-DST-FLAG/ with `src` and `dst` in it, of the kinds that the letters say.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "subject.h"

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#define RENAME_EXCHANGE 2
#define RENAME_WHITEOUT 4
#endif

/* f file, e empty directory, d directory with things in it, l symlink, h second name of the source, n nothing */
static const char kinds[] = "fedln";
static const char targets[] = "fedlhn";

static void show_cell(const char *cell) {
    show_list(cell, cell);
    for (const char *const *name = (const char *const[]){"src", "dst", NULL}; *name; name++) {
        const char *path = text("%s/%s", cell, *name);
        struct stat st;
        if (SYS(lstat, path, &st) < 0)
            continue;
        show(path, path);
        if (S_ISDIR(st.st_mode)) {
            show_list(text("list %s", path), path);
            show_list(text("list %s/sub", path), text("%s/sub", path));
        } else if (S_ISREG(st.st_mode))
            show_content(text("content %s", path), path);
    }
}

static void matrix(void) {
    for (unsigned flags = 0; flags < 3; flags++)
        for (const char *s = kinds; *s; s++)
            for (const char *t = targets; *t; t++) {
                if (*t == 'h' && *s != 'f')
                    continue;
                const char *cell = keep(text("ren/%c-%c-%u", *s, *t, flags));
                (void)say(text("rename %s", cell),
                          SYS(renameat2, AT_FDCWD, text("%s/src", cell), AT_FDCWD, text("%s/dst", cell), flags));
                show_cell(cell);
            }
}

static void refused(void) {
    (void)say("onto itself", SYS(rename, "file", "file"));
    (void)say("dir onto itself", SYS(rename, "dir", "dir"));
    (void)say("into itself", SYS(rename, "dir", "dir/sub/x"));
    (void)say("into itself empty", SYS(rename, "dir", "dir/x"));
    (void)say("onto ancestor", SYS(rename, "dir/sub", "dir"));
    (void)say("exchange with ancestor", SYS(renameat2, AT_FDCWD, "dir/sub", AT_FDCWD, "dir", RENAME_EXCHANGE));
    (void)say("noreplace itself", SYS(renameat2, AT_FDCWD, "file", AT_FDCWD, "file", RENAME_NOREPLACE));
    (void)say("both flags", SYS(renameat2, AT_FDCWD, "file", AT_FDCWD, "dir", RENAME_NOREPLACE | RENAME_EXCHANGE));
    (void)say("unknown flag", SYS(renameat2, AT_FDCWD, "file", AT_FDCWD, "dir", 64));
    (void)say("dot", SYS(rename, ".", "x"));
    (void)say("dotdot", SYS(rename, "..", "x"));
    (void)say("dir/.", SYS(rename, "dir/.", "x"));
    (void)say("dir/..", SYS(rename, "dir/..", "x"));
    (void)say("to dot", SYS(rename, "dir", "emptydir/."));
    (void)say("to dotdot", SYS(rename, "dir", "emptydir/.."));
    (void)say("root", SYS(rename, "/", "x") < 0);
    (void)say("file/ to x", SYS(rename, "file/", "x"));
    (void)say("file to x/", SYS(rename, "file", "x/"));
    (void)say("file to emptydir/", SYS(rename, "file", "emptydir/"));
    (void)say("link/", SYS(rename, "dirlink/", "x"));
    (void)say("to dirlink/", SYS(rename, "emptydir", "dirlink/"));
    (void)say("to dangling/", SYS(rename, "emptydir", "dangling/"));
    (void)say("absent", SYS(rename, "absent", "x"));
    (void)say("absent dir", SYS(rename, "file", "absent/x"));
    (void)say("below file", SYS(rename, "file", "ro/x"));
    (void)say("empty from", SYS(rename, "", "x"));
    (void)say("empty to", SYS(rename, "file", ""));
    (void)say("across", SYS(rename, "file", "/dev/shm/ptoverlay-must-not-appear"));
    (void)say("from proc", SYS(rename, "/proc/self/status", "x"));
    (void)say("bad fd", SYS(renameat, 999, "file", AT_FDCWD, "x"));
    (void)say("noaccessdir", SYS(rename, "file", "noaccessdir/y"));
    (void)say("sticky other", SYS(rename, "sticky/other", "sticky/mine"));
    show_list("top after refusals", ".");
}

static void moves(void) {
    (void)say("dir/ to moved/", SYS(rename, "dir/", "moved/"));
    show("dir gone", "dir");
    show_list("moved", "moved");
    show_list("moved/sub", "moved/sub");
    show_content("moved/sub/deep", "moved/sub/deep");
    (void)say("put below", put("moved/sub/deep", "changed"));
    (void)say("made below", put("moved/sub/made", "made"));
    (void)say("unlink below", SYS(unlink, "moved/a"));
    show_list("moved changed", "moved");
    (void)say("mkdir dir", SYS(mkdir, "dir", 0755));
    show_list("dir is new", "dir");
    (void)say("move into dir", SYS(rename, "moved", "dir/again"));
    show_list("dir/again", "dir/again");
    show_list("dir/again/sub", "dir/again/sub");
    show_content("dir/again/sub/deep", "dir/again/sub/deep");
    (void)say("move sub out", SYS(rename, "dir/again/sub", "sub"));
    show_list("sub", "sub");
    show_list("again without sub", "dir/again");
    show_content("sub/deeper/leaf", "sub/deeper/leaf");
    (void)say("remove moved file", SYS(unlink, "sub/deep"));
    (void)say("remove made file", SYS(unlink, "sub/made"));
    (void)say("remove leaf", SYS(unlink, "sub/deeper/leaf"));
    (void)say("rmdir deeper", SYS(rmdir, "sub/deeper"));
    (void)say("rmdir sub", SYS(rmdir, "sub"));
    show("sub gone", "sub");
    (void)say("file over file", SYS(rename, "ro", "empty"));
    show("ro gone", "ro");
    show_content("empty holds", "empty");
    (void)say("file back", SYS(rename, "empty", "ro"));
    show("ro back", "ro");
    show("empty gone", "empty");
    (void)say("hard links", SYS(rename, "hard1", "hard2"));
    show("hard1 still", "hard1");
    show("hard2 still", "hard2");
    (void)say("hard link away", SYS(rename, "hard1", "emptydir/hard1"));
    show("hard1 elsewhere", "emptydir/hard1");
    (void)say("fifo", SYS(rename, "fifo", "emptydir/fifo"));
    show("fifo elsewhere", "emptydir/fifo");
    (void)say("symlink", SYS(rename, "link", "emptydir/link"));
    show("symlink elsewhere", "emptydir/link");
    (void)say("emptydir", SYS(rename, "emptydir", "filled"));
    show_list("filled", "filled");
    (void)say("dir over filled", SYS(rename, "full", "filled"));
    (void)say("exchange", SYS(renameat2, AT_FDCWD, "full", AT_FDCWD, "filled", RENAME_EXCHANGE));
    show_list("full", "full");
    (void)say("exchange file and dir", SYS(renameat2, AT_FDCWD, "file", AT_FDCWD, "full", RENAME_EXCHANGE));
    show_content("full is file", "full");
    show_list("file is dir", "file");
    show_list("top after moves", ".");
}

int main(int argc, char **argv) {
    (void)subject_start(argc, argv);
    matrix();
    refused();
    moves();
    return 0;
}
