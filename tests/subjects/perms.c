/* perms.c - subject: a root program whose children give up their privileges, in several ways.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "subject.h"

#include <grp.h>
#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/xattr.h>

static void attempts(const char *who) {
    struct stat st;
    static const char *const paths[] = {"file",         "noaccess", "noaccessdir/x", "foreign", "foreign-writable",
                                        "sticky/other", "setuid",   "setgid",        "dir",     "private/inside",
                                        "attrs",        "private"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        const char *p = paths[i];
        (void)ok(text("%s read %s", who, p), SYS(openat, AT_FDCWD, p, O_RDONLY));
        (void)ok(text("%s write %s", who, p), SYS(openat, AT_FDCWD, p, O_WRONLY));
        (void)say(text("%s stat %s", who, p), SYS(newfstatat, AT_FDCWD, p, &st, 0));
        for (int mode = 1; mode < 5; mode *= 2) {
            (void)say(text("%s access %s %d", who, p, mode), SYS(access, p, mode));
            (void)say(text("%s eaccess %s %d", who, p, mode), SYS(faccessat2, AT_FDCWD, p, mode, AT_EACCESS));
        }
        (void)say(text("%s chmod %s", who, p), SYS(chmod, p, p[0] == 'd' ? 0755 : 0644));
        (void)say(text("%s chown %s", who, p), SYS(chown, p, 1234, 1234));
        (void)say(text("%s utimes now %s", who, p), SYS(utimensat, AT_FDCWD, p, NULL, 0));
        (void)say(text("%s setxattr %s", who, p), SYS(setxattr, p, "user.perms", "x", 1, 0));
        (void)say(text("%s trusted %s", who, p), SYS(setxattr, p, "trusted.perms", "x", 1, 0));
        (void)say(text("%s chdir %s", who, p), SYS(chdir, p));
        show(text("%s leaves %s", who, p), p);
        if (SYS(fchdir, 60) < 0)
            give_up("fchdir");
    }
    (void)say(text("%s mkdir", who), SYS(mkdir, text("by-%s", who), 0777));
    show(text("%s made", who), text("by-%s", who));
    (void)say(text("%s mkdir in sticky", who), SYS(mkdir, text("sticky/by-%s", who), 0777));
    show(text("%s made in sticky", who), text("sticky/by-%s", who));
    (void)say(text("%s rename in sticky", who), SYS(rename, "sticky/other", "sticky/taken"));
    (void)say(text("%s rename back", who), SYS(rename, "sticky/taken", "sticky/other"));
    (void)say(text("%s unlink in sticky", who), SYS(unlink, "sticky/other"));
    (void)ok(text("%s create in setgid", who),
             SYS(openat, AT_FDCWD, text("setgid/by-%s", who), O_WRONLY | O_CREAT, 02777));
    show(text("%s created in setgid", who), text("setgid/by-%s", who));
    (void)ok(text("%s create in open", who), SYS(openat, AT_FDCWD, text("open/by-%s", who), O_WRONLY | O_CREAT, 0666));
    show(text("%s created in open", who), text("open/by-%s", who));
    (void)say(text("%s link foreign", who), SYS(link, "foreign", text("open/link-%s", who)));
    (void)say(text("%s mknod", who), SYS(mknod, text("open/node-%s", who), S_IFCHR | 0666, 0x103));
    (void)say(text("%s symlink", who), SYS(symlink, "x", text("open/symlink-%s", who)));
    show(text("%s symlink made", who), text("open/symlink-%s", who));
    (void)say(text("%s unlink in open", who), SYS(unlink, "open/one"));
    (void)say(text("%s rmdir emptydir", who), SYS(rmdir, "emptydir"));
    (void)say(text("%s unlink dir/c", who), SYS(unlink, "dir/c"));
    (void)say(text("%s rename dir/b", who), SYS(rename, "dir/b", "dir/bb"));
}

static void no_capabilities(void) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0, 0, 0}, {0, 0, 0}};
    if (SYS(capset, &header, data) < 0)
        give_up("capset");
}

static void become(const char *who) {
    gid_t group = 4321;
    if (!strcmp(who, "foreign") && (setgroups(0, NULL) || setresgid(1234, 1234, 1234) || setresuid(1234, 1234, 1234)))
        give_up(who);
    if (!strcmp(who, "grouped") && (setgroups(1, &group) || setresgid(77, 77, 77) || setresuid(77, 77, 77)))
        give_up(who);
    if (!strcmp(who, "fsuid")) {
        (void)setfsgid(1234);
        (void)setfsuid(1234);
    }
    if (!strcmp(who, "effective") && setresuid(0, 77, 0))
        give_up(who);
    if (!strcmp(who, "real") && setresuid(77, 0, 0))
        give_up(who);
    if (!strcmp(who, "capless"))
        no_capabilities();
    umask(!strcmp(who, "grouped") ? 027 : 022);
}

int main(int argc, char **argv) {
    (void)subject_start(argc, argv);
    (void)SYS(mkdir, "open", 0777);
    (void)SYS(chmod, "open", 0777);
    (void)put("open/one", "x");
    (void)SYS(mkdir, "private", 0700);
    (void)put("private/inside", "x");
    (void)SYS(dup2, hold(".", O_RDONLY | O_DIRECTORY), 60);
    static const char *const all[] = {"grouped", "foreign", "fsuid", "effective", "real", "capless"};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        (void)fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) {
            become(all[i]);
            attempts(all[i]);
            exit(0);
        }
        int status;
        (void)waitpid(pid, &status, 0);
        say_status(all[i], status);
    }
    return 0;
}
