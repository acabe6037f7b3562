/* inside.c - asks the same many times, so that it is answered inside of this program: `inside CASE DIR`.
 *
 * DIR holds file (text), empty, link (to file), dangling, sub/inner, gone, named (with user.name = value).  Prints what
 * the answers are; what differs from one round to the next is an error of its own.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#define ROUNDS 60
#define PATTERN 0xa5

static char text[4096], before[4096];
static size_t used;
static void *volatile nowhere = (void *)8, *volatile nothing;

static void tell(const char *what, long result) {
    used += (size_t)snprintf(text + used, sizeof text - used, "%s %s\n", what,
                             result < 0 ? strerrorname_np(errno)
                             : result   ? "some"
                                        : "0");
}

static void tell_value(const char *what, long result, const char *value) {
    if (result < 0)
        return tell(what, result);
    used += (size_t)snprintf(text + used, sizeof text - used, "%s %ld %.*s\n", what, result, (int)result, value);
}

/* ---- attributes, and files without content ---- */

static void ask_attributes(const char *path) {
    char value[64] = "";
    tell(path, 0);
    tell_value("getxattr", getxattr(path, "user.name", value, sizeof value), value);
    tell_value("lgetxattr", lgetxattr(path, "user.name", value, sizeof value), value);
    tell_value("its size", getxattr(path, "user.name", NULL, 0), "     ");
    tell_value("too short", getxattr(path, "user.name", value, 2), value);
    tell_value("another", lgetxattr(path, "user.other", value, sizeof value), value);
    tell_value("of none", lgetxattr(path, "none.such", value, sizeof value), value);
    tell("listxattr", listxattr(path, value, sizeof value) > 0);
    tell("llistxattr", llistxattr(path, value, sizeof value) > 0);
    tell("nowhere", getxattr(path, "user.name", nowhere, sizeof value));
    tell("no name", getxattr(path, nowhere, value, sizeof value));
}

static void ask_file(const char *path) {
    struct stat st;
    struct statx stx;
    char value[8] = "";
    tell(path, stat(path, &st) ? -1 : st.st_size);
    tell("lstat", lstat(path, &st) ? -1 : S_ISLNK(st.st_mode));
    tell("statx", statx(AT_FDCWD, path, 0, STATX_SIZE, &stx) ? -1 : (long)stx.stx_size);
    tell("access", access(path, R_OK));
    tell("to write", access(path, W_OK));
    tell("faccessat", faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW));
    tell_value("readlink", readlink(path, value, 3), value);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    tell("open", fd < 0 ? fd : 1);
    if (fd < 0)
        return;
    tell("fstat", fstat(fd, &st) ? -1 : st.st_size);
    tell("statx of it", statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &stx) ? -1 : (long)stx.stx_size);
    tell("read", read(fd, value, sizeof value));
    close(fd);
}

static char top[4096];

/* Where it is told what it is called depends on where it runs. */
static void current(void) {
    char path[4096], small[8];
    tell("getcwd", getcwd(path, sizeof path) ? strcmp(path, top) == 0 : -1);
    tell("too short", syscall(SYS_getcwd, small, sizeof small));
    tell("nothing of it", syscall(SYS_getcwd, path, 0));
    tell("nowhere", syscall(SYS_getcwd, nowhere, sizeof path));
    if (chdir("sub") < 0)
        return tell("chdir", -1);
    tell("below", getcwd(path, sizeof path) ? strcmp(path + strlen(top), "/sub") == 0 : -1);
    tell("again", getcwd(path, sizeof path) ? strcmp(path + strlen(top), "/sub") == 0 : -1);
    tell("and back", chdir(".."));
}

static void answers(void) {
    static const char *const paths[] = {"file", "empty", "link", "dangling", "sub", "missing", "file/x", "named"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        ask_attributes(paths[i]);
        ask_file(paths[i]);
    }
}

/* ---- descriptors from before ---- */

static int pipes[2], held = -1;

static void descriptors(void) {
    struct stat st;
    tell("pipe", fstat(pipes[0], &st) ? -1 : S_ISFIFO(st.st_mode));
    tell("null", fstat(0, &st) ? -1 : S_ISCHR(st.st_mode));
    tell("file", fstat(held, &st) ? -1 : st.st_size);
}

/* ---- what is left in the buffer ---- */

static int is_untouched(const void *bytes, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (((const unsigned char *)bytes)[i] != PATTERN)
            return 0;
    return 1;
}

/* Also where it ends with its page, and behind that is nothing. */
static void left_in(char *buffer, size_t size, size_t room) {
    memset(buffer, PATTERN, room);
    tell("stat", stat("gone", (struct stat *)buffer));
    tell("lstat", lstat("gone", (struct stat *)buffer));
    tell("fstatat", fstatat(AT_FDCWD, "./gone", (struct stat *)buffer, 0));
    tell("readlink", readlink("gone-link", buffer, size));
    if (size >= sizeof(struct statx))
        tell("statx", statx(AT_FDCWD, "gone", 0, STATX_BASIC_STATS, (struct statx *)buffer));
    tell("untouched", is_untouched(buffer, room));
    tell("stat of a file", stat("file", (struct stat *)buffer));
    tell("its size", ((struct stat *)buffer)->st_size);
    memset(buffer, PATTERN, room);
    tell_value("readlink of a link", readlink("link", buffer, size), buffer);
    tell("no more", is_untouched(buffer + 4, room - 4));
}

static void buffers(void) {
    char stack[sizeof(struct statx)] __attribute__((aligned(8)));
    char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED || munmap(pages + 4096, 4096) < 0)
        err(1, "mmap");
    left_in(stack, sizeof stack, sizeof stack);
    left_in(pages + 4096 - sizeof(struct stat), sizeof(struct stat), sizeof(struct stat));
    left_in(pages + 4096 - 16 - sizeof(struct stat), sizeof(struct stat), sizeof(struct stat) + 16);
    tell("stat past the end", stat("file", (struct stat *)(pages + 4096 - 16)));
    tell("statx past the end", statx(AT_FDCWD, "file", 0, STATX_SIZE, (struct statx *)(pages + 4096 - 64)));
    if (mprotect(pages, 4096, PROT_READ) < 0)
        err(1, "mprotect");
    tell("stat into what is read", stat("file", (struct stat *)pages));
    tell("stat into nothing", stat("file", (struct stat *)nothing));
    munmap(pages, 4096);
}

int main(int argc, char **argv) {
    if (argc != 3 || chdir(argv[2]) < 0 || !realpath(argv[2], top))
        errx(1, "usage: inside CASE DIR");
    void (*ask)(void) = strcmp(argv[1], "answers") == 0   ? answers
                        : strcmp(argv[1], "buffers") == 0 ? buffers
                        : strcmp(argv[1], "current") == 0 ? current
                                                          : descriptors;
    held = open("file", O_RDONLY | O_CLOEXEC);
    if (pipe2(pipes, O_CLOEXEC) < 0 || held < 0)
        err(1, "before");
    if (ask == buffers && (unlink("gone") < 0 || unlink("gone-link") < 0))
        err(1, "unlink");
    for (int i = 0; i < ROUNDS; i++) {
        used = 0;
        ask();
        if (i && strcmp(text, before) != 0)
            printf("round %d differs:\n%s", i, text);
        memcpy(before, text, sizeof before);
    }
    fputs(text, stdout);
    return 0;
}
