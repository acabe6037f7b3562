/* xattr.c - subject: the twelve xattr calls, and the four that take a directory descriptor.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "subject.h"

#include <sys/xattr.h>

#ifndef __NR_setxattrat
#define __NR_setxattrat 463
#define __NR_getxattrat 464
#define __NR_listxattrat 465
#define __NR_removexattrat 466
#endif

struct at_args {
    uint64_t value;
    uint32_t size;
    uint32_t flags;
};

static void show_all(const char *what, const char *path) {
    static char list[65536];
    long n = SYS(llistxattr, path, list, sizeof list);
    if (n < 0) {
        (void)say(what, n);
        return;
    }
    char *names[256];
    size_t count = 0;
    for (char *p = list; p < list + n && count < 256; p += strlen(p) + 1)
        names[count++] = p;
    qsort(names, count, sizeof *names, by_name);
    printf("%s =", what);
    for (size_t i = 0; i < count; i++) {
        static char value[65536];
        long size = SYS(lgetxattr, path, names[i], value, sizeof value);
        unsigned sum = 0;
        for (long j = 0; j < size; j++)
            sum = sum * 31 + (unsigned char)value[j];
        printf(" %s:%ld:%x", names[i], size, sum);
    }
    printf(" size %ld\n", n);
}

static void each(const char *path) {
    char value[256];
    const char *const names[] = {"user.one",  "trusted.one", "security.one", "system.posix_acl_access",
                                 "bogus.one", "user.",       "one",          ""};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        (void)say(text("getxattr %s %s", path, names[i]), SYS(getxattr, path, names[i], value, sizeof value));
        (void)say(text("lgetxattr %s %s", path, names[i]), SYS(lgetxattr, path, names[i], value, sizeof value));
        (void)say(text("setxattr %s %s", path, names[i]), SYS(setxattr, path, names[i], "value", 5, 0));
        (void)say(text("lsetxattr %s %s", path, names[i]), SYS(lsetxattr, path, names[i], "longer value", 12, 0));
        show_all(text("list %s after %s", path, names[i]), path);
        (void)say(text("removexattr %s %s", path, names[i]), SYS(removexattr, path, names[i]));
        (void)say(text("lremovexattr %s %s", path, names[i]), SYS(lremovexattr, path, names[i]));
    }
    (void)say(text("listxattr %s 0", path), SYS(listxattr, path, NULL, 0));
    (void)say(text("listxattr %s 1", path), SYS(listxattr, path, value, 1));
    show_all(text("list %s", path), path);
}

static void sizes(void) {
    char value[64];
    static char big[70000];
    memset(big, 'v', sizeof big);
    (void)say("existing", SYS(getxattr, "file", "user.test", value, sizeof value));
    (void)say("existing size", SYS(getxattr, "file", "user.test", NULL, 0));
    (void)say("existing short", SYS(getxattr, "file", "user.test", value, 3));
    (void)say("create existing", SYS(setxattr, "file", "user.test", "x", 1, XATTR_CREATE));
    (void)say("replace absent", SYS(setxattr, "file", "user.absent", "x", 1, XATTR_REPLACE));
    (void)say("replace", SYS(setxattr, "file", "user.test", "replaced", 8, XATTR_REPLACE));
    (void)say("bad flags", SYS(setxattr, "file", "user.test", "x", 1, 8));
    (void)say("empty value", SYS(setxattr, "file", "user.empty", "", 0, 0));
    (void)say("get empty value", SYS(getxattr, "file", "user.empty", value, sizeof value));
    (void)say("NULL value", SYS(setxattr, "file", "user.null", NULL, 0, 0));
    (void)say("name of 255", SYS(setxattr, "file", text("user.%0250d", 0), "x", 1, 0));
    (void)say("name of 256", SYS(setxattr, "file", text("user.%0251d", 0), "x", 1, 0));
    (void)say("value over 64K", SYS(setxattr, "file", "user.big", big, 65537, 0));
    (void)say("value of 3000", SYS(setxattr, "dir/a", "user.big", big, 3000, 0));
    (void)say("get value of 3000", SYS(getxattr, "dir/a", "user.big", big, sizeof big));
    (void)say("get huge size", SYS(getxattr, "dir/a", "user.big", big, (size_t)-1));
    (void)say("bad name address", SYS(getxattr, "file", (char *)8, value, sizeof value));
    (void)say("bad value address", SYS(setxattr, "file", "user.bad", (char *)8, 5, 0));
    show_all("file at the end", "file");
}

static void at_calls(void) {
    struct at_args args = {(uintptr_t)"by at", 5, 0};
    char value[64] = {0};
    long dir = SYS(openat, AT_FDCWD, "dir", O_PATH);
    (void)say("setxattrat", SYS(setxattrat, dir, "b", 0, "user.at", &args, sizeof args));
    args = (struct at_args){(uintptr_t)value, sizeof value, 0};
    (void)say("getxattrat", SYS(getxattrat, dir, "b", 0, "user.at", &args, sizeof args));
    say_text("getxattrat value", value);
    (void)say("listxattrat", SYS(listxattrat, dir, "b", 0, value, sizeof value));
    (void)say("getxattrat empty",
              SYS(getxattrat, hold("dir/b", O_RDONLY), "", AT_EMPTY_PATH, "user.at", &args, sizeof args));
    int opath = hold("dir/b", O_PATH);
    (void)say("setxattrat O_PATH", SYS(setxattrat, opath, "", AT_EMPTY_PATH, "user.no", &args, sizeof args));
    (void)say("getxattrat O_PATH", SYS(getxattrat, opath, "", AT_EMPTY_PATH, "user.at", &args, sizeof args));
    (void)say("listxattrat O_PATH", SYS(listxattrat, opath, "", AT_EMPTY_PATH, value, sizeof value));
    (void)say("removexattrat O_PATH", SYS(removexattrat, opath, "", AT_EMPTY_PATH, "user.at"));
    struct at_args longer[2] = {args};
    (void)say("getxattrat longer, zero", SYS(getxattrat, dir, "b", 0, "user.at", longer, sizeof longer));
    longer[1].flags = 1;
    (void)say("getxattrat longer, not zero", SYS(getxattrat, dir, "b", 0, "user.at", longer, sizeof longer));
    (void)say("getxattrat flags", SYS(getxattrat, dir, "b", 0x8000, "user.at", &args, sizeof args));
    (void)say("removexattrat", SYS(removexattrat, dir, "b", 0, "user.at"));
    (void)say("removexattrat link", SYS(removexattrat, AT_FDCWD, "link", AT_SYMLINK_NOFOLLOW, "user.at"));
    show_all("dir/b", "dir/b");
}

int main(int argc, char **argv) {
    (void)subject_start(argc, argv);
    static const char *const paths[] = {"file",     "dir",    "link",    "dirlink",  "fifo",  "ro",
                                        "dangling", "absent", "foreign", "noaccess", "sticky"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        each(paths[i]);
    sizes();
    at_calls();
    /* attributes come along at copy-up */
    show_all("attrs before", "attrs");
    (void)ok("attrs open", SYS(openat, AT_FDCWD, "attrs", O_RDWR));
    show_all("attrs after", "attrs");
    (void)say("attrs chmod dir", SYS(chmod, "attrsdir", 0711));
    show_all("attrsdir after", "attrsdir");
    return 0;
}
