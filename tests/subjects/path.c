/* path.c - subject: how paths are read and resolved: lengths, loops, dots, descriptors, odd registers and addresses.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "subject.h"

#include <sys/mman.h>

#define MODE_GARBAGE 0x5a5a5a5a5a5a5a5aL

static char longest[2 * PATH_MAX];

/* base, then "/." until the path has `length` bytes. */
static const char *padded(const char *start, size_t length) {
    (void)snprintf(longest, sizeof longest, "%s", start);
    size_t n = strlen(longest);
    while (n + 1 < length) {
        memcpy(longest + n, "/.", 3);
        n += 2;
    }
    if (n < length)
        memcpy(longest + n, "/", 2);
    return longest;
}

static void lengths(const char *base) {
    struct stat st;
    static char name[300];
    for (size_t n = 254; n <= 257; n++) {
        memset(name, 'm', n);
        name[n] = 0;
        (void)say(text("create name of %zu", n), put(name, "x"));
        show(text("name of %zu", n), name);
        (void)say(text("absent name of %zu", n), SYS(newfstatat, AT_FDCWD, text("dir/%s", name), &st, 0));
        (void)say(text("rename to name of %zu", n), SYS(rename, "ro", name));
        (void)say(text("rename back from %zu", n), SYS(rename, name, "ro"));
        (void)say(text("unlink name of %zu", n), SYS(unlink, name));
        (void)say(text("below name of %zu", n), SYS(mkdir, text("%s/x", name), 0755));
    }
    for (size_t n = 4093; n <= 4097; n++) {
        (void)say(text("stat path of %zu", n), SYS(newfstatat, AT_FDCWD, padded(base, n), &st, 0));
        (void)ok(text("open path of %zu", n), SYS(openat, AT_FDCWD, padded(".", n), O_RDONLY | O_DIRECTORY));
        (void)say(text("chmod path of %zu", n), SYS(chmod, padded("dir", n), 0755));
        (void)say(text("mkdir path of %zu", n), SYS(mkdir, padded("dir", n), 0755));
        (void)say(text("symlink of %zu", n), SYS(symlink, padded("dir", n), "long-link"));
        (void)ok(text("through symlink of %zu", n), SYS(openat, AT_FDCWD, "long-link", O_RDONLY));
        (void)say(text("beyond symlink of %zu", n), SYS(newfstatat, AT_FDCWD, "long-link/a", &st, 0));
        (void)SYS(unlink, "long-link");
    }
    show("ro still there", "ro");
}

/* A walk that the kernel begins anew, as a mount anywhere on the machine makes it do, goes on counting the links that it
 * has followed (nameidata.total_link_count): a chain within the limit may then be too long, natively too. */
#define WALK(call)                                                                                                     \
    ({                                                                                                                 \
        long result_ = (call);                                                                                         \
        for (int tries_ = 0; result_ == -ELOOP && tries_ < 10; tries_++)                                               \
            result_ = (call);                                                                                          \
        result_;                                                                                                       \
    })

static void links(void) {
    struct stat st;
    for (int i = 38; i <= 42; i++) {
        (void)say(text("chain of %d", i), WALK(SYS(newfstatat, AT_FDCWD, text("chain/l%d", i), &st, 0)));
        (void)ok(text("open chain of %d", i), WALK(SYS(openat, AT_FDCWD, text("chain/l%d", i), O_RDWR)));
        (void)say(text("chmod chain of %d", i), WALK(SYS(chmod, text("chain/l%d", i), 0600)));
        (void)say(text("lstat chain of %d", i), SYS(lstat, text("chain/l%d", i), &st));
        (void)say(text("access chain of %d/", i), WALK(SYS(access, text("chain/l%d/", i), F_OK)));
    }
    (void)say("link onto link", SYS(symlink, "chain/l39", "l"));
    (void)say("chain and one", WALK(SYS(newfstatat, AT_FDCWD, "l", &st, 0)));
    (void)say("link onto that", SYS(symlink, "l", "ll"));
    (void)say("chain and two", WALK(SYS(newfstatat, AT_FDCWD, "ll", &st, 0)));
    (void)say("dirlinks", SYS(newfstatat, AT_FDCWD, "dirlink/../dirlink/../dirlink/../dirlink/a", &st, 0));
    (void)say("new link to dir", SYS(symlink, "dir/sub", "to-sub"));
    show_content("through new link", "to-sub/deep");
    show_content("dotdot of its target", "to-sub/../a");
    (void)say("create through it", put("to-sub/made", "x"));
    show("made", "dir/sub/made");
    (void)say("link replaced", SYS(rename, "emptydir", "to-sub"));
    (void)say("link removed", SYS(unlink, "to-sub"));
    (void)say("dir in its place", SYS(rename, "emptydir", "to-sub"));
    show_list("dir in its place", "to-sub");
    show_content("escape is the host's", "escape");
    show("abslink", "abslink");
    show_content("through abslink", "abslink");
}

static void dots(const char *base) {
    struct stat st, root;
    (void)SYS(newfstatat, AT_FDCWD, "/", &root, 0);
    (void)SYS(newfstatat, AT_FDCWD, "/../../..", &st, 0);
    (void)say("above root", st.st_ino == root.st_ino);
    static const char *const paths[] = {"./file",
                                        ".//file",
                                        "dir/./a",
                                        "dir/../file",
                                        "dir/sub/../a",
                                        "dir/sub/deeper/../../../file",
                                        "absent/../file",
                                        "file/../file",
                                        "file/.",
                                        "dirlink/..",
                                        "dangling/..",
                                        "dir/a/..",
                                        "..",
                                        "../mnt/file"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        (void)say(text("stat %s", paths[i]), SYS(newfstatat, AT_FDCWD, paths[i], &st, 0));
    (void)say("up and down",
              SYS(newfstatat, AT_FDCWD, text("%s/../../../../../../../../..%s/file", base, base), &st, 0));
    (void)say("double slashes", SYS(newfstatat, AT_FDCWD, text("/%s//file", base), &st, 0));
    (void)say("after removal", SYS(unlink, "dir/sub/deep"));
    (void)say("removed/..", SYS(newfstatat, AT_FDCWD, "dir/sub/deep/..", &st, 0));
    (void)say("proc and back", SYS(newfstatat, AT_FDCWD, text("/proc/self/..%s", "/self/status"), &st, 0));
    (void)say("dev null", SYS(newfstatat, AT_FDCWD, "/dev/null", &st, 0));
    (void)say("dev null is a device", S_ISCHR(st.st_mode));
}

/* What the upper half of a register, or one that the call does not have, holds does not matter. */
static void registers(void) {
    struct stat st;
    const long cwd_32 = (long)0x00000000ffffff9c, cwd_garbage = (long)0x12345678ffffff9c;   /* of 32 bits: the same */
    (void)say("AT_FDCWD 32 bits", SYS(newfstatat, cwd_32, "file", &st, 0L));
    (void)say("AT_FDCWD garbage above", SYS(newfstatat, cwd_garbage, "file", &st, 0L));
    (void)ok("openat garbage above", SYS(openat, cwd_garbage, "file", (long)O_RDWR, 0L));
    (void)say("mkdirat garbage above", SYS(mkdirat, cwd_garbage, "garbage", 0755L));
    show("made with garbage", "garbage");
    (void)say("unlinkat garbage above", SYS(unlinkat, cwd_garbage, "garbage", (long)AT_REMOVEDIR));
    (void)say("linkat garbage above", SYS(linkat, cwd_garbage, "file", cwd_32, "garbage-link", 0L));
    (void)say("renameat2 garbage above", SYS(renameat2, cwd_garbage, "garbage-link", cwd_garbage, "garbage-2", 0L));
    show("renamed with garbage", "garbage-2");
    long dir = hold("dir", O_PATH) | 0x7654321000000000L;
    (void)say("dirfd garbage above", SYS(newfstatat, dir, "a", &st, 0L));
    (void)say("symlinkat dirfd garbage above", SYS(symlinkat, "a", dir, "garbage-3"));
    show("dir/garbage-3", "dir/garbage-3");
    (void)say("faccessat 4th", SYS(faccessat, AT_FDCWD, "file", R_OK, MODE_GARBAGE));
    (void)say("faccessat 4th link", SYS(faccessat, AT_FDCWD, "dangling", F_OK, MODE_GARBAGE));
    (void)say("fchmodat 4th", SYS(fchmodat, AT_FDCWD, "file", 0604, MODE_GARBAGE));
    (void)say("fchmodat 4th link", SYS(fchmodat, AT_FDCWD, "link", 0640, MODE_GARBAGE));
    show("fchmodat 4th", "file");
    (void)say("mode garbage above", SYS(chmod, "file", 0x1234567800000000L | 0644));
    show("mode garbage above", "file");
    (void)say("mode more bits", SYS(chmod, "file", 0177777644L & 0x7fffffff));
    show("mode more bits", "file");
    (void)say("absolute ignores dirfd", SYS(newfstatat, 987654L, "/dev/null", &st, 0L));
    (void)say("dirfd -1", SYS(newfstatat, -1L, "file", &st, 0L));
    (void)say("empty", SYS(newfstatat, cwd_32, "", &st, 0L));
    (void)say("empty mkdir", SYS(mkdir, "", 0755));
    (void)say("empty unlink", SYS(unlink, ""));
    (void)say("empty chmod", SYS(chmod, "", 0755));
    (void)say("empty chdir", SYS(chdir, ""));
    (void)say("empty truncate", SYS(truncate, "", 0));
}

/* A path may end where its page ends; one that runs on into nothing is EFAULT. */
static void addresses(void) {
    struct stat st;
    char *pages = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED || mprotect(pages + 8192, 4096, PROT_NONE) != 0)
        give_up("mmap");
    char *end = pages + 8192;
    memcpy(end - 5, "file", 5);
    (void)say("ends with the page", SYS(newfstatat, AT_FDCWD, end - 5, &st, 0));
    (void)ok("open ends with the page", SYS(openat, AT_FDCWD, end - 5, O_RDWR));
    memcpy(pages + 4096 - 2, "dir/a", 6);
    (void)say("across pages", SYS(newfstatat, AT_FDCWD, pages + 4096 - 2, &st, 0));
    memcpy(end - 4, "file", 4);
    (void)say("no end", SYS(newfstatat, AT_FDCWD, end - 4, &st, 0));
    (void)say("no end mkdir", SYS(mkdir, end - 4, 0755));
    (void)say("NULL", SYS(newfstatat, AT_FDCWD, NULL, &st, 0));
    (void)say("NULL mkdir", SYS(mkdir, NULL, 0755));
    (void)say("NULL unlink", SYS(unlink, NULL));
    (void)say("NULL rename", SYS(rename, "file", NULL));
    (void)say("NULL symlink", SYS(symlink, NULL, "x"));
    (void)say("wild", SYS(newfstatat, AT_FDCWD, (char *)0xdead00000000beefUL, &st, 0));
    (void)say("result to nothing", SYS(newfstatat, AT_FDCWD, "file", end, 0));
    (void)say("result to read-only", SYS(newfstatat, AT_FDCWD, "file", "text", 0));
    (void)say("readlink to nothing", SYS(readlink, "link", end, 64));
    (void)say("readlink across the end", SYS(readlink, "link", end - 2, 64));
    (void)say("readlink fits before the end", SYS(readlink, "link", end - 4, 64));
    memset(pages, 'q', 8191);
    pages[8191] = 0;
    (void)say("too long", SYS(newfstatat, AT_FDCWD, pages, &st, 0));
}

int main(int argc, char **argv) {
    const char *base = subject_start(argc, argv);
    lengths(base);
    links();
    dots(base);
    registers();
    addresses();
    return 0;
}
