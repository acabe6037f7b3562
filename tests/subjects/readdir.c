/* readdir.c - subject: getdents, getdents64, positions, small buffers, shared descriptors.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "subject.h"

#define MOST 2048

struct listing {
    size_t n;
    char *names[MOST];
    int64_t offsets[MOST];
    uint64_t inodes[MOST];
    unsigned char types[MOST];
    size_t calls;
};

struct entry_old {
    unsigned long d_ino;
    unsigned long d_off;
    unsigned short d_reclen;
    char d_name[];
};

/* Reads the whole stream, at most `size` bytes a call; the result of the last call. */
static long read_all(long fd, size_t size, struct listing *list) {
    char *buffer = malloc(size + 8);
    long got;
    memset(list, 0, sizeof *list);
    while ((got = SYS(getdents64, fd, buffer, size)) > 0) {
        list->calls++;
        for (long at = 0; at < got;) {
            struct entry64 *entry = (struct entry64 *)(buffer + at);
            if (list->n < MOST) {
                list->names[list->n] = strdup(entry->d_name);
                list->offsets[list->n] = entry->d_off;
                list->inodes[list->n] = entry->d_ino;
                list->types[list->n++] = entry->d_type;
            }
            at += entry->d_reclen;
        }
    }
    free(buffer);
    return got;
}

static int turn;   /* the second time each directory has something in the upper */

static unsigned long sum_of(const struct listing *list) {
    unsigned long sum = 0;
    for (size_t i = 0; i < list->n; i++) {
        unsigned long h = 5381;
        for (const char *p = list->names[i]; *p; p++)
            h = h * 33 + (unsigned char)*p;
        sum += h;
    }
    return sum;
}

static void sizes(const char *path) {
    static const size_t tried[] = {24, 32, 48, 64, 280, 512, 1000, 32768, 1 << 20};
    for (size_t i = 0; i < sizeof tried / sizeof *tried; i++) {
        long fd = SYS(openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
        struct listing list;
        long last = read_all(fd, tried[i], &list);
        (void)say(text("%d %s last call, buffer %zu", turn, path, tried[i]), last);
        if (!last)
            say_text(text("%d %s all, buffer %zu", turn, path, tried[i]),
                     text("%zu names sum %lx", list.n, sum_of(&list)));
        (void)SYS(close, fd);
    }
}

static void old_call(const char *path) {
    long fd = SYS(openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
    static char buffer[4096] __attribute__((aligned(8)));
    size_t n = 0, bad_types = 0;
    unsigned long sum = 0;
    long got;
    while ((got = SYS(getdents, fd, buffer, sizeof buffer)) > 0)
        for (long at = 0; at < got;) {
            struct entry_old *entry = (struct entry_old *)(buffer + at);
            struct stat st;
            unsigned char type = (unsigned char)buffer[at + entry->d_reclen - 1];
            if (strcmp(entry->d_name, "..") && SYS(newfstatat, fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
                bad_types += type != (st.st_mode >> 12) || st.st_ino != entry->d_ino;
            unsigned long h = 5381;
            for (const char *p = entry->d_name; *p; p++)
                h = h * 33 + (unsigned char)*p;
            sum += h;
            n++;
            at += entry->d_reclen;
        }
    (void)say(text("%d %s getdents last", turn, path), got);
    say_text(text("%d %s getdents", turn, path), text("%zu names sum %lx, %zu wrong", n, sum, bad_types));
    (void)SYS(close, fd);
}

static void identity(const char *path) {
    long fd = SYS(openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
    struct listing list;
    (void)read_all(fd, 32768, &list);
    size_t wrong = 0, twice = 0, dots = 0;
    bool below = path[0] != '/' && path[0] != '.';   /* what lies above a mount point is another file system's */
    for (size_t i = 0; i < list.n; i++) {
        struct stat st;
        if (!strcmp(list.names[i], ".") || !strcmp(list.names[i], ".."))
            dots++;
        if (SYS(newfstatat, fd, list.names[i], &st, AT_SYMLINK_NOFOLLOW) < 0)
            wrong++;
        else if (below || strcmp(list.names[i], ".."))
            wrong += st.st_ino != list.inodes[i] || (st.st_mode >> 12) != list.types[i];
        for (size_t j = 0; j < i; j++)
            twice += !strcmp(list.names[i], list.names[j]);
    }
    say_text(text("%d %s identity", turn, path), text("%zu wrong %zu twice %zu dots", wrong, twice, dots));
    (void)SYS(close, fd);
}

/* telldir and seekdir: from every position on the same names follow. */
static void positions(const char *path) {
    long fd = SYS(openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
    struct listing list, rest;
    (void)read_all(fd, 32768, &list);
    size_t wrong = 0;
    for (size_t i = 0; i < list.n; i += list.n > 60 ? 23 : 1) {
        if (SYS(lseek, fd, list.offsets[i], SEEK_SET) != list.offsets[i]) {
            wrong++;
            continue;
        }
        (void)read_all(fd, 512, &rest);
        if (rest.n != list.n - i - 1)
            wrong++;
        for (size_t j = 0; j < rest.n && i + 1 + j < list.n; j++)
            wrong += strcmp(rest.names[j], list.names[i + 1 + j]) != 0;
    }
    say_text(text("%d %s positions", turn, path), text("%zu wrong", wrong));
    (void)say(text("%d %s rewind", turn, path), SYS(lseek, fd, 0, SEEK_SET));
    (void)read_all(fd, 4096, &rest);
    (void)say(text("%d %s after rewind", turn, path), rest.n == list.n);
    (void)say(text("%d %s at end", turn, path), SYS(getdents64, fd, &rest, 4096));
    (void)say(text("%d %s at end again", turn, path), SYS(getdents64, fd, &rest, 4096));
    (void)SYS(close, fd);
}

/* dup and fork share one position, another open has its own. */
static void sharing(const char *path) {
    long fd = SYS(openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
    long other = SYS(openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
    long copy = SYS(dup, fd);
    struct listing all, part;
    (void)read_all(other, 32768, &all);
    char buffer[512] __attribute__((aligned(8)));
    (void)say(text("%d %s first bytes", turn, path), SYS(getdents64, fd, buffer, sizeof buffer) > 0);
    size_t first = 0;
    /* what one call gave cannot be told from its bytes alone: count it on the second descriptor */
    (void)SYS(lseek, other, 0, SEEK_SET);
    long got = SYS(getdents64, other, buffer, sizeof buffer);
    for (long at = 0; at < got; at += ((struct entry64 *)(buffer + at))->d_reclen)
        first++;
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        (void)SYS(getdents64, fd, buffer, sizeof buffer);
        _exit(0);
    }
    (void)waitpid(pid, NULL, 0);
    (void)SYS(getdents64, other, buffer, sizeof buffer);
    (void)read_all(copy, 32768, &part);
    struct listing rest;
    (void)read_all(other, 32768, &rest);
    say_text(text("%d %s shared by fork and dup", turn, path),
             part.n == rest.n && part.n < all.n - first ? "yes" : "no");
    (void)SYS(close, fd);
    (void)SYS(close, other);
    (void)SYS(close, copy);
}

/* Changes are seen after a rewind at the latest, and removal while reading removes all. */
static void changes(void) {
    long fd = SYS(openat, AT_FDCWD, "dir", O_RDONLY | O_DIRECTORY);
    show_list_fd("dir before", fd);
    (void)say("make", put("dir/zz-made", "x"));
    (void)say("remove", SYS(unlink, "dir/a"));
    show_list_fd("dir rewound", fd);
    (void)SYS(close, fd);
    fd = SYS(openat, AT_FDCWD, "full", O_RDONLY | O_DIRECTORY);
    char buffer[600] __attribute__((aligned(8)));
    size_t removed = 0, failed = 0;
    long got;
    while ((got = SYS(getdents64, fd, buffer, sizeof buffer)) > 0)
        for (long at = 0; at < got;) {
            struct entry64 *entry = (struct entry64 *)(buffer + at);
            at += entry->d_reclen;
            if (entry->d_name[0] == '.')
                continue;
            if (SYS(unlinkat, fd, entry->d_name, 0) == 0)
                removed++;
            else
                failed++;
        }
    say_text("removed while reading", text("%zu, failed %zu", removed, failed));
    show_list_fd("full now", fd);
    (void)say("rmdir full", SYS(rmdir, "full"));
    (void)say("getdents of removed", SYS(getdents64, fd, buffer, sizeof buffer));
    (void)SYS(close, fd);
    fd = SYS(openat, AT_FDCWD, "emptydir", O_RDONLY | O_DIRECTORY);
    (void)say("copied up between open and read", put("emptydir/inside", "x"));
    show_list_fd("emptydir", fd);
    (void)SYS(close, fd);
}

static void refused(void) {
    char buffer[512];
    (void)say("not a dir", SYS(getdents64, hold("file", O_RDONLY), buffer, sizeof buffer));
    (void)say("O_PATH", SYS(getdents64, hold("dir", O_PATH), buffer, sizeof buffer));
    (void)say("bad fd", SYS(getdents64, 999, buffer, sizeof buffer));
    (void)say("zero", SYS(getdents64, hold("dir", O_RDONLY), buffer, 0));
    (void)say("bad address", SYS(getdents64, hold("dir", O_RDONLY), (void *)8, sizeof buffer));
    (void)say("read", SYS(read, hold("dir", O_RDONLY), buffer, sizeof buffer));
    (void)say("pread", SYS(pread64, hold("dir", O_RDONLY), buffer, sizeof buffer, 0));
}

int main(int argc, char **argv) {
    (void)subject_start(argc, argv);
    static const char *const dirs[] = {"dir", "emptydir", "full", "long", ".", "mixed"};
    refused();
    for (; turn < 2; turn++) {
        for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
            sizes(dirs[i]);
            old_call(dirs[i]);
            identity(dirs[i]);
            positions(dirs[i]);
        }
        sharing("full");
        for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++)
            (void)ok(text("%d add to %s", turn, dirs[i]), put(text("%s/added-%d", dirs[i], turn), "added"));
    }
    (void)say("remove one", SYS(unlink, "mixed/keep"));
    identity("mixed");
    changes();
    return 0;
}
