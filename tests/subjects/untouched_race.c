/* untouched_race.c - is an answer ever older than the last change that was done before the call began?
 *
 * `untouched_race DIR`: one thread changes names in DIR; each change raises a number before it begins and when it is done.
 * Eight threads ask, by absolute and by relative paths, and by descriptors, and compare what they are told with what
 * may be.  DIR holds for each way of changing a name 32 files WAY-i, and in dir as many more, of one byte; of "made" none.  Prints how many
 * questions were asked and how many answers were wrong, and the first of them.
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
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NAMES 64
#define ASKERS 8
#define PAUSE 300   /* microseconds in which the askers ask */

/* What a name shows: nothing, or a file of this size. */
#define ABSENT 0
#define OLD 1
#define NEW 2

enum way { UNLINK, RENAME, WRITE, MADE, OVER, TRUNCATED, WAYS };
static const char *const ways[WAYS] = {"unlink", "rename", "write", "made", "over", "truncate"};

/* Twice the steps that are done, and 1 while the next one is under way. */
static atomic_uint steps[WAYS][NAMES];
static const int shown[WAYS][2] = {{OLD, ABSENT}, {OLD, ABSENT}, {OLD, NEW}, {ABSENT, NEW}, {OLD, NEW}, {OLD, NEW}};
static atomic_bool over;
static atomic_ulong asked, wrong;
static char top[256], first[512];
static int directory;

static void name_of(enum way way, int i, bool below, char out[64]) {
    snprintf(out, 64, "%s%s-%d", below ? "dir/" : "", ways[way], i);
}

static void write_file(const char *name, int flags) {
    int fd = open(name, O_WRONLY | flags, 0644);
    if (fd < 0 || write(fd, "nn", NEW) != NEW || close(fd) < 0)
        err(1, "%s", name);
}

static void change(enum way way, const char *name) {
    char other[80];
    snprintf(other, sizeof other, "%s.other", name);
    int failed = 0;
    switch (way) {
    case UNLINK:
        failed = unlink(name);
        break;
    case RENAME:
        failed = rename(name, other);
        break;
    case WRITE:
        write_file(name, 0);
        break;
    case MADE:
        write_file(other, O_CREAT | O_EXCL);
        failed = link(other, name);
        break;
    case OVER:
        write_file(other, O_CREAT | O_EXCL);
        failed = rename(other, name);
        break;
    case TRUNCATED:
        failed = truncate(name, NEW);
        break;
    case WAYS:
        break;
    }
    if (failed)
        err(1, "%s %s", ways[way], name);
}

static void change_all(void) {
    char name[64];
    for (int slot = 0; slot < NAMES; slot++)
        for (enum way way = 0; way < WAYS; way++) {
            name_of(way, slot, slot >= NAMES / 2, name);
            atomic_fetch_add(&steps[way][slot], 1);
            change(way, name);
            atomic_fetch_add(&steps[way][slot], 1);
            usleep(PAUSE);
        }
}

/* What the answer to a question shows; -1: neither. */
static int ask(unsigned how, const char *name) {
    char path[400];
    struct stat st;
    int fd, error;
    snprintf(path, sizeof path, "%s/%s", top, name);
    switch (how % 6) {
    case 0:
        error = stat(path, &st);
        break;
    case 1:
        error = lstat(name, &st);
        break;
    case 2:
        error = fstatat(directory, name, &st, 0);
        break;
    case 3:
        fd = open(path, O_RDONLY | O_CLOEXEC);
        error = fd < 0 ? -1 : fstat(fd, &st);
        if (fd >= 0)
            close(fd);
        break;
    case 4:
        fd = openat(AT_FDCWD, name, O_RDONLY | O_CLOEXEC);
        error = fd < 0 ? -1 : fstat(fd, &st);
        if (fd >= 0)
            close(fd);
        break;
    default:
        error = access(path, R_OK) < 0 ? -1 : stat(path, &st);
        break;
    }
    return error ? (errno == ENOENT ? ABSENT : -1) : (int)st.st_size;
}

static void complain(enum way way, const char *name, unsigned how, int answer, unsigned before) {
    if (atomic_fetch_add(&wrong, 1) == 0)
        snprintf(first, sizeof first, "%s of %s by %u: %d after step %u", ways[way], name, how % 6, answer, before);
}

static void *asker(void *arg) {
    unsigned seed = (unsigned)(uintptr_t)arg, how;
    char name[64];
    while (!atomic_load(&over)) {
        enum way way = rand_r(&seed) % WAYS;
        int slot = rand_r(&seed) % NAMES;
        how = (unsigned)rand_r(&seed);
        name_of(way, slot, slot >= NAMES / 2, name);
        unsigned before = atomic_load(&steps[way][slot]);
        int answer = ask(how, name);
        unsigned after = atomic_load(&steps[way][slot]);
        atomic_fetch_add(&asked, 1);
        if (before != after || before % 2)   /* under way: anything from one to the other */
            continue;
        if (answer != shown[way][before / 2])
            complain(way, name, how, answer, before);
    }
    return NULL;
}

int main(int argc, char **argv) {
    pthread_t threads[ASKERS];
    if (argc != 2)
        errx(2, "usage: untouched_race DIR");
    snprintf(top, sizeof top, "%s", argv[1]);
    if (chdir(top) < 0)
        err(1, "%s", top);
    directory = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 40; i++)   /* so that it has a stub before there are threads, and all is known */
        for (enum way way = 0; way < WAYS; way++)
            for (int slot = 0; slot < NAMES; slot += NAMES - 1) {
                char name[64];
                name_of(way, slot, slot >= NAMES / 2, name);
                if (ask((unsigned)i, name) != shown[way][0])
                    errx(1, "%s: not as it was made", name);
            }
    for (uintptr_t i = 0; i < ASKERS; i++)
        if (pthread_create(&threads[i], NULL, asker, (void *)(i + 1)))
            errx(1, "pthread_create");
    change_all();
    atomic_store(&over, true);
    for (int i = 0; i < ASKERS; i++)
        pthread_join(threads[i], NULL);
    printf("%s wrong %lu%s%s\n", atomic_load(&asked) > 1000 ? "asked" : "not asked", atomic_load(&wrong),
           *first ? ": " : "", first);
    return 0;
}
