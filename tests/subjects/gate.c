/* gate.c - what changes something, by int 0x80 from 64-bit code: one call after the other, once by the first thread and
 * once by another one.
 *
 *     gate DIRECTORY, which holds f, d/, e and l -> f
 *
 * Each line is `what = result`.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ROOM 4096

/* The registers' upper halves are not the gate's business. */
#define GARBAGE 0x1234567800000000ull

static char *low; /* memory below 4 GiB */

static long gate(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e) {
    long result;
    __asm__ volatile("int $0x80"
                     : "=a"(result)
                     : "a"(nr), "b"(a | GARBAGE), "c"(b | GARBAGE), "d"(c | GARBAGE), "S"(d | GARBAGE), "D"(e | GARBAGE)
                     : "memory", "r8", "r9", "r10", "r11");
    return (int)result;
}

static uint64_t text(unsigned place, const char *string) {
    strcpy(low + place * 256, string);
    return (uintptr_t)(low + place * 256);
}

static void say(const char *what, long result) {
    printf("%s = %ld\n", what, result);
}

static uint64_t words(unsigned place, const uint32_t *from, size_t n) {
    memcpy(low + place * 256, from, n * sizeof *from);
    return (uintptr_t)(low + place * 256);
}

static void names(void) {
    say("mkdir", gate(39, text(0, "made"), 0755, 0, 0, 0));
    say("mkdirat", gate(296, (uint32_t)AT_FDCWD, text(0, "made-at"), 0755, 0, 0));
    say("mknod", gate(14, text(0, "node"), 0100644, 0, 0, 0));
    say("symlink", gate(83, text(0, "f"), text(1, "link"), 0, 0, 0));
    say("link", gate(9, text(0, "f"), text(1, "hard"), 0, 0, 0));
    say("linkat", gate(303, (uint32_t)AT_FDCWD, text(0, "f"), (uint32_t)AT_FDCWD, text(1, "hard-at"), 0));
    say("rename", gate(38, text(0, "e"), text(1, "e2"), 0, 0, 0));
    say("renameat2", gate(353, (uint32_t)AT_FDCWD, text(0, "e2"), (uint32_t)AT_FDCWD, text(1, "e3"), 0));
    say("unlink", gate(10, text(0, "e3"), 0, 0, 0, 0));
    say("unlinkat", gate(301, (uint32_t)AT_FDCWD, text(0, "hard-at"), 0, 0, 0));
    say("rmdir", gate(40, text(0, "d"), 0, 0, 0, 0));
}

static void attributes(void) {
    const uint32_t times[4] = {1, 2, 3, 4};
    int fd = open("f", O_RDONLY | O_CLOEXEC);
    say("chmod", gate(15, text(0, "f"), 0600, 0, 0, 0));
    say("fchmod", gate(94, (unsigned)fd, 0640, 0, 0, 0));
    say("fchmodat", gate(306, (uint32_t)AT_FDCWD, text(0, "f"), 0644, 0, 0));
    say("chown16", gate(182, text(0, "f"), 0xffff, 0xffff, 0, 0));
    say("chown32", gate(212, text(0, "f"), UINT32_MAX, UINT32_MAX, 0, 0));
    say("utime", gate(30, text(0, "f"), words(1, times, 2), 0, 0, 0));
    say("utimes", gate(271, text(0, "f"), words(1, times, 4), 0, 0, 0));
    say("utimensat", gate(320, (uint32_t)AT_FDCWD, text(0, "f"), words(1, times, 4), 0, 0));
    say("utimensat by fd", gate(320, (unsigned)fd, 0, words(1, times, 4), 0, 0));
    say("utimensat_time64", gate(412, (uint32_t)AT_FDCWD, text(0, "f"), 0, 0, 0));
    say("setxattr", gate(226, text(0, "f"), text(1, "user.a"), text(2, "v"), 1, 0));
    say("fsetxattr", gate(228, (unsigned)fd, text(1, "user.b"), text(2, "v"), 1, 0));
    say("removexattr", gate(235, text(0, "f"), text(1, "user.a"), 0, 0, 0));
    say("ioctl", gate(54, (unsigned)fd, 0x40046602, words(1, (uint32_t[]){0x40}, 1), 0, 0) == 0);
    say("truncate", gate(92, text(0, "f"), 3, 0, 0, 0));
    say("truncate64", gate(193, text(0, "f"), 2, 0, 0, 0));
    close(fd);
}

static void contents(void) {
    const uint32_t how[6] = {O_WRONLY | O_CREAT, 0, 0644, 0, 0, 0};
    struct {
        uint16_t family;
        char path[16];
    } address = {1, "socket"};
    uint32_t call[3] = {0, 0, sizeof address};
    long fd = gate(5, text(0, "f"), O_WRONLY | O_APPEND, 0, 0, 0);
    say("open", fd >= 0 ? 0 : fd);
    say("write", gate(4, (uint64_t)fd, text(0, "text"), 4, 0, 0));
    close((int)fd);
    fd = gate(8, text(0, "created"), 0644, 0, 0, 0);
    say("creat", fd >= 0 ? 0 : fd);
    close((int)fd);
    fd = gate(295, (uint32_t)AT_FDCWD, text(0, "made/new"), O_RDWR | O_CREAT | O_EXCL, 0600, 0);
    say("openat", fd >= 0 ? 0 : fd);
    close((int)fd);
    fd = gate(437, (uint32_t)AT_FDCWD, text(0, "opened"), words(1, how, 6), 24, 0);
    say("openat2", fd >= 0 ? 0 : fd);
    close((int)fd);
    call[0] = (uint32_t)gate(359, 1, 1, 0, 0, 0);
    call[1] = (uint32_t)(uintptr_t)(low + 3 * 256);
    memcpy(low + 3 * 256, &address, sizeof address);
    say("bind", gate(102, 2, words(2, call, 3), 0, 0, 0));
    say("bind again", gate(361, call[0], call[1], sizeof address, 0, 0) < 0);
    close((int)call[0]);
}

static void *all(void *arg) {
    (void)arg;
    names();
    attributes();
    contents();
    return NULL;
}

/* What no handler knows. */
static void refused(void) {
    say("oldstat", gate(18, text(0, "f"), text(1, ""), 0, 0, 0));
    say("readdir", gate(89, 0, text(1, ""), 1, 0, 0));
    say("uselib", gate(86, text(0, "f"), 0, 0, 0, 0));
    say("io_uring_setup", gate(425, 1, text(1, ""), 0, 0, 0));
    say("open_by_handle_at", gate(342, 0, text(1, ""), 0, 0, 0));
    say("call 600", gate(600, 0, 0, 0, 0, 0));
    say("x32 mkdir", gate(0x40000000 + 83, text(0, "x32"), 0755, 0, 0, 0));
}

int main(int argc, char **argv) {
    pthread_t thread;
    low = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    if (argc != 3 || low == MAP_FAILED || chdir(argv[1]) < 0)
        return 1;
    if (strcmp(argv[2], "refused") == 0)
        refused();
    else if (strcmp(argv[2], "thread") != 0)
        all(NULL);
    else if (pthread_create(&thread, NULL, all, NULL) != 0 || pthread_join(thread, NULL) != 0)
        return 1;
    return 0;
}
