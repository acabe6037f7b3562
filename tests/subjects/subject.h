/* subject.h - what every subject shares: raw system calls and one line of output for each.
 *
 * A subject is run on a plain copy of a tree, on the kernel's overlayfs and in ptoverlay, always at the same
 * path, and must print the same lines each time.  So nothing that may differ between file systems is
 * printed: no inode numbers, no device numbers, no order of directories, no sizes of directories.
 *
 * Rules: calls go to the kernel as they are written (no C library in between); a line is `what = result`
 * with the errno's name for a failure; `what` is unique within a subject.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SUBJECT_H
#define SUBJECT_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "legacy.h"

#ifndef __NR_fchmodat2
#define __NR_fchmodat2 452
#endif

/* The result of a system call as the kernel gives it: -errno for a failure. */
#ifdef __NR_open
#define SYS(name, ...) raw(syscall(__NR_##name, ##__VA_ARGS__))
#else
#define SYS(name, ...) raw(legacy_call(__NR_##name, ##__VA_ARGS__, 0L, 0L, 0L, 0L, 0L, 0L))
#endif

static inline long raw(long result) {
    return result == -1 ? -errno : result;
}

/* A descriptor for use as an argument. */
static inline int hold(const char *path, int flags) {
    return (int)SYS(openat, AT_FDCWD, path, flags | O_CLOEXEC);
}

static inline const char *error_name(long result) {
    const char *name = strerrorname_np((int)-result);
    return name ? name : "E?";
}

/* A formatted text; it lasts for the next few dozen calls, keep() makes it last. */
__attribute__((format(printf, 1, 2))) static inline const char *text(const char *format, ...) {
    static char buffers[64][PATH_MAX + 256];
    static unsigned next;
    char *out = buffers[next++ % 64];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(out, sizeof buffers[0], format, args);
    va_end(args);
    return out;
}

static inline const char *keep(const char *string) {
    const char *copy = strdup(string);
    if (!copy)
        abort();
    return copy;
}

/* `what = value` or `what = -ERRNO`. */
static inline long say(const char *what, long result) {
    if (result < 0)
        printf("%s = -%s\n", what, error_name(result));
    else
        printf("%s = %ld\n", what, result);
    return result;
}

/* The same for results whose value is of no interest, such as descriptors. */
static inline long ok(const char *what, long result) {
    if (result < 0)
        printf("%s = -%s\n", what, error_name(result));
    else
        printf("%s = ok\n", what);
    return result;
}

static inline void say_text(const char *what, const char *value) {
    printf("%s = %s\n", what, value);
}

/* Ends the subject: what had to work for the rest to make sense did not. */
__attribute__((noreturn)) static inline void give_up(const char *what) {
    printf("%s = FAILED %s\n", what, strerror(errno));
    exit(99);
}

static inline const char *type_name(mode_t mode) {
    switch (mode & S_IFMT) {
    case S_IFREG:
        return "file";
    case S_IFDIR:
        return "dir";
    case S_IFLNK:
        return "link";
    case S_IFIFO:
        return "fifo";
    case S_IFSOCK:
        return "socket";
    case S_IFCHR:
        return "chr";
    case S_IFBLK:
        return "blk";
    default:
        return "none";
    }
}

/* What of a struct stat must be the same everywhere. */
static inline const char *stat_text(const struct stat *st) {
    if (S_ISDIR(st->st_mode))
        return text("dir %04o %u:%u", st->st_mode & 07777, st->st_uid, st->st_gid);
    return text("%s %04o %u:%u nlink=%lu size=%lld rdev=%llx", type_name(st->st_mode), st->st_mode & 07777, st->st_uid,
                st->st_gid, (unsigned long)st->st_nlink, (long long)st->st_size, (unsigned long long)st->st_rdev);
}

/* Times before this are set by somebody; later ones are "now". */
#define RECENT 1500000000

static inline const char *time_text(struct timespec t) {
    return t.tv_sec >= RECENT ? "now" : text("%lld.%09ld", (long long)t.tv_sec, t.tv_nsec);
}

/* Access times are shown only where a call has set them: reading changes them now or later (relatime), and so
 * does copying up. */
#define FIRST_ATIME 1000000000
static inline const char *access_text(struct timespec t) {
    return t.tv_sec >= RECENT || t.tv_sec == FIRST_ATIME ? "any" : time_text(t);
}

/* `what = type mode owner nlink size` of the name itself. */
static inline void show(const char *what, const char *path) {
    struct stat st;
    long result = SYS(newfstatat, AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW);
    if (result < 0)
        (void)say(what, result);
    else
        say_text(what, stat_text(&st));
}

static inline void show_times(const char *what, const char *path) {
    struct stat st;
    long result = SYS(newfstatat, AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW);
    if (result < 0)
        (void)say(what, result);
    else
        say_text(what, text("atime %s mtime %s", S_ISLNK(st.st_mode) ? "any" : access_text(st.st_atim),
                            time_text(st.st_mtim)));
}

/* The first bytes of a file, with control characters made visible. */
static inline void show_content(const char *what, const char *path) {
    long fd = SYS(openat, AT_FDCWD, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        (void)say(what, fd);
        return;
    }
    char data[64];
    long n = SYS(read, fd, data, sizeof data - 1);
    (void)SYS(close, fd);
    if (n < 0) {
        (void)say(what, n);
        return;
    }
    for (long i = 0; i < n; i++)
        if (data[i] < ' ')
            data[i] = '.';
    data[n] = 0;
    say_text(what, text("\"%s\"", data));
}

static inline long put(const char *path, const char *data) {
    long fd = SYS(openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return fd;
    long n = SYS(write, fd, data, strlen(data));
    (void)SYS(close, fd);
    return n;
}

static inline int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static inline char d_type_letter(unsigned char type) {
    switch (type) {
    case DT_REG:
        return 'f';
    case DT_DIR:
        return 'd';
    case DT_LNK:
        return 'l';
    case DT_FIFO:
        return 'p';
    case DT_SOCK:
        return 's';
    case DT_CHR:
        return 'c';
    case DT_BLK:
        return 'b';
    default:
        return '?';
    }
}

struct entry64 {
    uint64_t d_ino;
    int64_t d_off;
    uint16_t d_reclen;
    uint8_t d_type;
    char d_name[];
};

/* `what = name/type name/type …`, sorted, from the start of the stream. */
static inline void show_list_fd(const char *what, long fd) {
    char *names[4096];
    size_t n = 0;
    static char buffer[65536] __attribute__((aligned(8)));
    (void)SYS(lseek, fd, 0, SEEK_SET);
    long size;
    while ((size = SYS(getdents64, fd, buffer, sizeof buffer)) > 0)
        for (long at = 0; at < size;) {
            struct entry64 *entry = (struct entry64 *)(buffer + at);
            at += entry->d_reclen;
            if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
                continue;
            if (n < 4096 && asprintf(&names[n], "%s/%c", entry->d_name, d_type_letter(entry->d_type)) > 0)
                n++;
        }
    if (size < 0) {
        (void)say(what, size);
        return;
    }
    qsort(names, n, sizeof *names, by_name);
    printf("%s =", what);
    for (size_t i = 0; i < n; i++) {
        printf(" %s", names[i]);
        free(names[i]);
    }
    printf("\n");
}

static inline void show_list(const char *what, const char *path) {
    long fd = SYS(openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        (void)say(what, fd);
        return;
    }
    show_list_fd(what, fd);
    (void)SYS(close, fd);
}

/* The status of a child as text. */
static inline void say_status(const char *what, int status) {
    if (WIFSIGNALED(status))
        say_text(what, text("signal %d", WTERMSIG(status)));
    else
        say_text(what, text("exit %d", WEXITSTATUS(status)));
}

/* argv[1] is the directory to work in; the subject starts there with a known umask. */
static inline const char *subject_start(int argc, char **argv) {
    if (argc < 2)
        give_up("arguments");
    if (setvbuf(stdout, NULL, _IOLBF, 0) != 0)
        give_up("setvbuf");
    umask(022);
    if (chdir(argv[1]) != 0)
        give_up("chdir");
    return argv[1];
}

#endif
