/* untouched_race.c - is an answer ever older than the last change that was done before the call began?
 *
 * `untouched_race DIR list`: prints "WAY FORM", a line for each way of changing a name, FORM being what DIR is to hold of it:
 * file (of one byte, mode 0644), empty (an empty directory), parent (a directory with a file "x"), nothing.
 * `untouched_race DIR`: one thread changes names in DIR; each change raises a number before it begins and when it is done.
 * Eight threads ask, by absolute and by relative paths, and by descriptors, and compare what they are told with what
 * may be.  DIR holds NAMES / 2 names WAY-i, in dir as many more, and target, of three bytes.  Prints whether enough was
 * asked, how many answers were wrong, and the first of them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define NAMES 24
#define ASKERS 8
#define PAUSE 300   /* microseconds in which the askers ask */
#define STAMP 1000000000
#define ROOM 96

/* What a name shows, of stat(2), -1: something else. */
#define ABSENT 0
#define FILE_OF(size, mode, stamped) (1 | (size) << 4 | (mode) << 8 | (stamped) << 20)
#define OLD FILE_OF(1, 0644, 0)
#define NEW FILE_OF(2, 0644, 0)
#define DIRECTORY 2
#define FIFO 3
#define SOCKET 4

static int shown(const struct stat *st) {
    switch (st->st_mode & S_IFMT) {
    case S_IFREG:
        return FILE_OF((int)st->st_size, (int)(st->st_mode & 07777), st->st_mtime == STAMP);
    case S_IFDIR:
        return DIRECTORY;
    case S_IFIFO:
        return FIFO;
    case S_IFSOCK:
        return SOCKET;
    default:
        return -1;
    }
}

/* ---- the ways; each returns what the call did that must not fail ---- */

static void write_file(const char *name, int flags) {
    int fd = open(name, O_WRONLY | flags, 0644);
    if (fd < 0 || write(fd, "nn", 2) != 2 || close(fd) < 0)
        err(1, "%s", name);
}

static const char *other_of(const char *name) {
    static char other[ROOM + 8];
    snprintf(other, sizeof other, "%s.other", name);
    return other;
}

static const char *new_other(const char *name) {
    write_file(other_of(name), O_CREAT | O_EXCL);
    return other_of(name);
}

static int by_unlink(const char *name) {
    return unlink(name);
}

static int by_rename(const char *name) {
    return rename(name, other_of(name));
}

static int by_write(const char *name) {
    write_file(name, 0);
    return 0;
}

static int by_write_later(const char *name) {
    int fd = open(name, O_RDWR);
    return fd < 0 || pwrite(fd, "nn", 2, 0) != 2 ? -1 : close(fd);
}

static int by_link(const char *name) {
    return link(new_other(name), name);
}

static int by_rename_over(const char *name) {
    return rename(new_other(name), name);
}

static int by_exchange(const char *name) {
    return renameat2(AT_FDCWD, new_other(name), AT_FDCWD, name, RENAME_EXCHANGE);
}

static int by_truncate(const char *name) {
    return truncate(name, 2);
}

static int by_open_truncating(const char *name) {
    int fd = open(name, O_RDONLY | O_TRUNC);
    return fd < 0 ? -1 : close(fd);
}

static int by_creat(const char *name) {
    int fd = creat(name, 0644);
    return fd < 0 ? -1 : close(fd);
}

static int by_tmpfile(const char *name) {
    char path[64];
    int fd = open(strchr(name, '/') ? "dir" : ".", O_TMPFILE | O_RDWR, 0644);
    if (fd < 0 || write(fd, "nn", 2) != 2)
        return -1;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int failed = linkat(AT_FDCWD, path, AT_FDCWD, name, AT_SYMLINK_FOLLOW);
    close(fd);
    return failed;
}

static int by_chmod(const char *name) {
    return chmod(name, 0600);
}

static int by_utimens(const char *name) {
    const struct timespec times[2] = {{STAMP, 0}, {STAMP, 0}};
    return utimensat(AT_FDCWD, name, times, 0);
}

static int by_mkdir(const char *name) {
    return mkdir(name, 0755);
}

static int by_rmdir(const char *name) {
    return rmdir(name);
}

static int by_symlink(const char *name) {
    return symlink(strchr(name, '/') ? "../target" : "target", name);
}

static int by_mkfifo(const char *name) {
    return mkfifo(name, 0644);
}

static int by_bind(const char *name) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", name);
    return fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof address) < 0 ? -1 : close(fd);
}

/* Of the name's directory. */
static int by_renaming_above(const char *name) {
    char above[ROOM];
    snprintf(above, sizeof above, "%.*s", (int)(strrchr(name, '/') - name), name);
    return rename(above, other_of(above));
}

static const struct {
    const char *name;
    int (*change)(const char *name);
    int before, after;
    const char *below;  /* of the name that is asked for */
} ways[] = {
    {"unlink", by_unlink, OLD, ABSENT, ""},
    {"rename", by_rename, OLD, ABSENT, ""},
    {"write", by_write, OLD, NEW, ""},
    {"later", by_write_later, OLD, NEW, ""},
    {"link", by_link, ABSENT, NEW, ""},
    {"over", by_rename_over, OLD, NEW, ""},
    {"exchange", by_exchange, OLD, NEW, ""},
    {"truncate", by_truncate, OLD, NEW, ""},
    {"emptied", by_open_truncating, OLD, FILE_OF(0, 0644, 0), ""},
    {"creat", by_creat, ABSENT, FILE_OF(0, 0644, 0), ""},
    {"tmpfile", by_tmpfile, ABSENT, NEW, ""},
    {"chmod", by_chmod, OLD, FILE_OF(1, 0600, 0), ""},
    {"utimens", by_utimens, OLD, FILE_OF(1, 0644, 1), ""},
    {"mkdir", by_mkdir, ABSENT, DIRECTORY, ""},
    {"rmdir", by_rmdir, DIRECTORY, ABSENT, ""},
    {"symlink", by_symlink, ABSENT, FILE_OF(3, 0644, 0), ""},
    {"mkfifo", by_mkfifo, ABSENT, FIFO, ""},
    {"bind", by_bind, ABSENT, SOCKET, ""},
    {"above", by_renaming_above, OLD, ABSENT, "/x"},
};
#define WAYS (sizeof ways / sizeof *ways)

static void list_ways(void) {
    for (size_t way = 0; way < WAYS; way++)
        printf("%s %s\n", ways[way].name,
               *ways[way].below                ? "parent"
               : ways[way].before == OLD       ? "file"
               : ways[way].before == DIRECTORY ? "empty"
                                               : "nothing");
}

/* ---- changing ---- */

/* Twice the steps that are done, and 1 while the next one is under way. */
static atomic_uint steps[WAYS][NAMES];
static atomic_bool over;
static atomic_ulong asked, wrong;
static char top[256], first[512];
static int directory;

static void name_of(size_t way, int i, char out[ROOM]) {
    snprintf(out, ROOM, "%s%s-%d%s", i >= NAMES / 2 ? "dir/" : "", ways[way].name, i, ways[way].below);
}

static void change_all(void) {
    char name[ROOM];
    for (int slot = 0; slot < NAMES; slot++)
        for (size_t way = 0; way < WAYS; way++) {
            name_of(way, slot, name);
            atomic_fetch_add(&steps[way][slot], 1);
            if (ways[way].change(name) < 0)
                err(1, "%s %s", ways[way].name, name);
            atomic_fetch_add(&steps[way][slot], 1);
            usleep(PAUSE);
        }
}

/* ---- asking ---- */

static int stat_opened(int fd, struct stat *st) {
    int error = fd < 0 ? -1 : fstat(fd, st);
    if (fd >= 0)
        close(fd);
    return error;
}

/* What the answer to a question shows; -1: neither. */
static int ask(unsigned how, const char *name) {
    char path[400];
    struct stat st;
    int error;
    snprintf(path, sizeof path, "%s/%s", top, name);
    switch (how % 6) {
    case 0:
        error = stat(path, &st);
        break;
    case 1:
        error = stat(name, &st);
        break;
    case 2:
        error = fstatat(directory, name, &st, 0);
        break;
    case 3:
        error = stat_opened(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), &st);
        break;
    case 4:
        error = stat_opened(openat(AT_FDCWD, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK), &st);
        break;
    default:
        error = access(path, R_OK) < 0 ? -1 : lstat(path, &st);
        if (!error && S_ISLNK(st.st_mode))
            error = stat(path, &st);
        break;
    }
    if (error && errno == ENXIO)    /* open(2) of a socket */
        return SOCKET;
    return error ? (errno == ENOENT ? ABSENT : -1) : shown(&st);
}

static void complain(size_t way, const char *name, unsigned how, int answer, unsigned before) {
    if (atomic_fetch_add(&wrong, 1) == 0)
        snprintf(first, sizeof first, "%s of %s by %u: %x after step %u", ways[way].name, name, how % 6,
                 (unsigned)answer, before);
}

static void *asker(void *arg) {
    unsigned seed = (unsigned)(uintptr_t)arg, how;
    char name[ROOM];
    while (!atomic_load(&over)) {
        size_t way = (size_t)rand_r(&seed) % WAYS;
        int slot = rand_r(&seed) % NAMES;
        how = (unsigned)rand_r(&seed);
        name_of(way, slot, name);
        unsigned before = atomic_load(&steps[way][slot]);
        int answer = ask(how, name);
        unsigned after = atomic_load(&steps[way][slot]);
        atomic_fetch_add(&asked, 1);
        if (before != after || before % 2)   /* under way: anything from one to the other */
            continue;
        if (answer != (before ? ways[way].after : ways[way].before))
            complain(way, name, how, answer, before);
    }
    return NULL;
}

/* So that it has a stub before there are threads, and all is known. */
static void warm(void) {
    char name[ROOM];
    for (int i = 0; i < 40; i++)
        for (size_t way = 0; way < WAYS; way++)
            for (int slot = 0; slot < NAMES; slot += NAMES - 1) {
                name_of(way, slot, name);
                if (ask((unsigned)i, name) != ways[way].before)
                    errx(1, "%s: not as it was made", name);
            }
}

int main(int argc, char **argv) {
    pthread_t threads[ASKERS];
    if (argc == 3 && strcmp(argv[2], "list") == 0) {
        list_ways();
        return 0;
    }
    if (argc != 2)
        errx(2, "usage: untouched_race DIR [list]");
    snprintf(top, sizeof top, "%s", argv[1]);
    if (chdir(top) < 0)
        err(1, "%s", top);
    directory = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    (void)umask(022);
    warm();
    for (uintptr_t i = 0; i < ASKERS; i++)
        if (pthread_create(&threads[i], NULL, asker, (void *)(i + 1)))
            errx(1, "pthread_create");
    change_all();
    atomic_store(&over, true);
    for (int i = 0; i < ASKERS; i++)
        pthread_join(threads[i], NULL);
    printf("%s wrong %lu%s%s\n", atomic_load(&asked) > 1000 ? "asked" : "not asked", atomic_load(&wrong),
           *first ? ": " : "", first);
    fprintf(stderr, "%lu questions\n", atomic_load(&asked));
    return 0;
}
