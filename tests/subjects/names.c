/* names.c - subject: mkdir mknod symlink link unlink rmdir on every kind of object.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "subject.h"

#include <sys/sysmacros.h>

/* None of these may be made: they exist, or their directory does not. */
static const char *const taken[] = {
    "file",          "file/", "dir", "dir/",  "link",    "link/",    "dangling",      "loop",
    "loop/",         "fifo",  ".",   "..",    "dir/.",   "dir/..",   "file/x",        "absent/x",
    "noaccessdir/x", "",      "/",   "hard1", "dirlink", "dirlink/", "/dev/absent/x", "foreign",
};

static void make_taken(void) {
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
        const char *path = taken[i];
        (void)say(text("mkdir \"%s\"", path), SYS(mkdir, path, 0755));
        (void)say(text("mknod \"%s\"", path), SYS(mknod, path, S_IFIFO | 0644, 0));
        (void)say(text("symlink \"%s\"", path), SYS(symlink, "target", path));
        (void)say(text("link \"%s\"", path), SYS(link, "ro", path));
        long linked = SYS(link, path, "from-here");
        /* a directory of another mount is EXDEV, one of the same mount EPERM */
        (void)say(text("link from \"%s\"", path), linked == -EXDEV ? -EPERM : linked);
        (void)SYS(unlink, "from-here");
    }
}

static void make_new(void) {
    (void)say("mkdir new", SYS(mkdir, "new", 0777));
    show("new", "new");
    (void)say("mkdir new/", SYS(mkdir, "new2/", 02775));
    show("new2", "new2");
    (void)say("mkdir sticky", SYS(mkdirat, AT_FDCWD, "new3", 01777));
    show("new3", "new3");
    (void)say("mkdir in setgid", SYS(mkdir, "setgid/new", 0775));
    show("setgid/new", "setgid/new");
    (void)say("mkdir in dir", SYS(mkdir, "dir/new", 0700));
    show("dir/new", "dir/new");
    show_list("dir", "dir");
    (void)say("mkdir through dangling/", SYS(mkdir, "dangling/", 0700));
    (void)say("mknod reg", SYS(mknod, "node-reg", S_IFREG | 0666, 0));
    show("node-reg", "node-reg");
    (void)say("mknod 0", SYS(mknod, "node-0", 0640, 0));
    show("node-0", "node-0");
    (void)say("mknod fifo", SYS(mknodat, AT_FDCWD, "node-fifo", S_IFIFO | 0666, 0));
    show("node-fifo", "node-fifo");
    (void)say("mknod sock", SYS(mknod, "node-sock", S_IFSOCK | 0666, 0));
    show("node-sock", "node-sock");
    (void)say("mknod dir", SYS(mknod, "node-dir", S_IFDIR | 0666, 0));
    (void)say("mknod link", SYS(mknod, "node-link", S_IFLNK | 0666, 0));
    (void)say("mknod chr", SYS(mknod, "node-chr", S_IFCHR | 0600, makedev(1, 3)));
    show("node-chr", "node-chr");
    (void)say("mknod large numbers", SYS(mknod, "node-large", S_IFCHR | 0600, makedev(0xabc, 0xfedcb)));
    show("node-large", "node-large");
    (void)say("mknod reg/", SYS(mknod, "node-slash/", S_IFREG | 0666, 0));
    (void)say("symlink new", SYS(symlink, "file", "sym"));
    show("sym", "sym");
    show_content("sym content", "sym");
    (void)say("symlink empty", SYS(symlink, "", "sym2"));
    (void)say("symlink slash", SYS(symlink, "x", "sym3/"));
    (void)say("symlink long", SYS(symlink, text("%0*d", 4095, 0), "sym4"));
    show("sym4", "sym4");
    (void)say("symlink too long", SYS(symlink, text("%0*d", 4096, 0), "sym5"));
    (void)say("symlinkat", SYS(symlinkat, "a", hold("dir", O_PATH), "sym6"));
    show_content("dir/sym6", "dir/sym6");
}

static void links(void) {
    (void)say("link lower", SYS(link, "file", "ln-file"));
    show("file with two names", "file");
    show("ln-file", "ln-file");
    (void)say("put ln-file", put("ln-file", "through the other name"));
    show_content("file after", "file");
    (void)say("link fifo", SYS(link, "fifo", "ln-fifo"));
    show("ln-fifo", "ln-fifo");
    (void)say("link symlink", SYS(link, "link", "ln-link"));
    show("ln-link", "ln-link");
    (void)say("linkat follow", SYS(linkat, AT_FDCWD, "abslink", AT_FDCWD, "ln-followed", AT_SYMLINK_FOLLOW));
    show("ln-followed", "ln-followed");
    (void)say("linkat flags", SYS(linkat, AT_FDCWD, "file", AT_FDCWD, "ln-x", 0x100000));
    (void)say("link existing hard", SYS(link, "hard1", "dir/hard3"));
    show("hard1 with three", "hard1");
    show("hard2 with three", "hard2");
    (void)say("put hard2", put("hard2", "one for all"));
    show_content("hard1 shows", "hard1");
    show_content("hard3 shows", "dir/hard3");
    (void)say("chmod hard1", SYS(chmod, "hard1", 0600));
    show("hard2 shows", "hard2");
    (void)say("unlink hard1", SYS(unlink, "hard1"));
    show("hard2 left", "hard2");
    (void)say("link onto itself", SYS(link, "hard2", "hard2"));
    (void)say("link dir", SYS(link, "dir", "ln-dir"));
    (void)say("link across", SYS(link, "file", "/dev/ptoverlay-must-not-appear"));
    (void)say("link from proc", SYS(link, "/proc/self/status", "ln-proc"));
    (void)say("link dangling", SYS(link, "dangling", "ln-dangling"));
    show("ln-dangling", "ln-dangling");
    (void)say("link into sub", SYS(linkat, AT_FDCWD, "dir/a", hold("dir/sub", O_PATH), "ln-a", 0));
    show("dir/sub/ln-a", "dir/sub/ln-a");
    long fd = ok("O_PATH file", SYS(openat, AT_FDCWD, "ro", O_PATH));
    (void)say("linkat proc fd",
              SYS(linkat, AT_FDCWD, text("/proc/self/fd/%ld", fd), AT_FDCWD, "ln-ro", AT_SYMLINK_FOLLOW));
    show("ln-ro", "ln-ro");
    (void)say("linkat proc fd nofollow", SYS(linkat, AT_FDCWD, text("/proc/self/fd/%ld", fd), AT_FDCWD, "ln-ro2", 0));
}

static const char *const objects[] = {
    "dir/",          "dir",       "dir/.",        "dir/..",   ".",      "..",      "/",        "",
    "link/",         "dirlink/",  "file/",        "file/x",   "absent", "absent/", "absent/x", "loop/",
    "noaccessdir/x", "dangling/", "sticky/other", "foreign/", "fifo/",
};

static void remove_refused(void) {
    for (size_t i = 0; i < sizeof objects / sizeof *objects; i++) {
        (void)say(text("unlink \"%s\"", objects[i]), SYS(unlink, objects[i]));
        (void)say(text("rmdir \"%s\"", objects[i]), SYS(rmdir, objects[i]));
        (void)say(text("unlinkat \"%s\"", objects[i]), SYS(unlinkat, AT_FDCWD, objects[i], 0));
        (void)say(text("unlinkat dir \"%s\"", objects[i]), SYS(unlinkat, AT_FDCWD, objects[i], AT_REMOVEDIR));
    }
    (void)say("rmdir file", SYS(rmdir, "file"));
    (void)say("rmdir link", SYS(rmdir, "link"));
    (void)say("rmdir dirlink", SYS(rmdir, "dirlink"));
    (void)say("unlinkat flags", SYS(unlinkat, AT_FDCWD, "file", 0x1000));
    (void)say("unlinkat bad fd", SYS(unlinkat, 999, "file", 0));
}

static void remove_all(void) {
    static const char *const files[] = {"dangling", "loop",  "link",  "dirlink",
                                        "fifo",     "empty", "dir/a", "dir/sub/deep"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        (void)say(text("remove %s", files[i]), SYS(unlink, files[i]));
        show(text("removed %s", files[i]), files[i]);
        (void)say(text("remove %s again", files[i]), SYS(unlink, files[i]));
    }
    show_list("dir after removal", "dir");
    (void)say("rmdir emptydir/", SYS(rmdir, "emptydir/"));
    show("emptydir", "emptydir");
    (void)say("stat below removed", SYS(access, "emptydir/x", F_OK));
    (void)say("mkdir again", SYS(mkdir, "emptydir", 0711));
    show("emptydir again", "emptydir");
    (void)say("make below", put("emptydir/inside", "x"));
    show_list("emptydir list", "emptydir");
    (void)say("rmdir full", SYS(rmdir, "gone"));
    (void)say("unlink gone/x", SYS(unlink, "gone/x"));
    (void)say("unlink gone/y", SYS(unlink, "gone/y"));
    (void)say("rmdir gone/z", SYS(rmdir, "gone/z"));
    show_list("gone empty", "gone");
    (void)say("rmdir gone", SYS(rmdir, "gone"));
    (void)say("mkdir gone", SYS(mkdir, "gone", 0755));
    show_list("gone made again is empty", "gone");
    (void)say("old name below", SYS(access, "gone/x", F_OK));
    (void)say("mkdir gone/z", SYS(mkdir, "gone/z", 0755));
    show_list("gone/z made again is empty", "gone/z");
    (void)say("put gone/x", put("gone/x", "new x"));
    show_list("gone with x", "gone");
    (void)say("file where dir was", SYS(rmdir, "gone/z"));
    (void)say("put gone/z", put("gone/z", "a file now"));
    show("gone/z", "gone/z");
    (void)say("unlink gone/z", SYS(unlink, "gone/z"));
    (void)say("symlink where dir was", SYS(symlink, "../dir", "gone/z"));
    show_list("through it", "gone/z");
    (void)say("dir where file was", SYS(unlink, "ro"));
    (void)say("mkdir ro", SYS(mkdir, "ro", 0755));
    (void)say("put ro/x", put("ro/x", "x"));
    show_list("ro", "ro");
    (void)say("dir where link to dir was", SYS(mkdir, "dirlink", 0755));
    show_list("dirlink is empty", "dirlink");
}

int main(int argc, char **argv) {
    (void)subject_start(argc, argv);
    make_taken();
    make_new();
    remove_refused();
    links();
    remove_all();
    show_list("top", ".");
    return 0;
}
