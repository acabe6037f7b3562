/* loop.c - what the rows of tools/bench run, with and without an overlay; prints seconds.
 *
 *   loop OPERATION DIRECTORY SECONDS    what one call takes, of as many as fit into SECONDS (table `operations`)
 *   loop once copy|copy-up FILE TARGET  how long it takes to copy a file to TARGET, or to open it for writing
 *   loop run N CMD…                     how long CMD takes, the mean of N runs; its output is thrown away
 *
 * Rules: only what a row is about is timed, not the start of this program; every call is checked; the time a call takes
 * is not bent by looking at the clock (`batch` calls between two looks); what is left of an operation does not disturb it
 * the next time.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BLOCK (64 << 10) /* of sequential reads and writes */
#define PAGE 4096        /* of random ones */

extern char **environ;

/* prepare: not timed, may be NULL; call: number i, from 0; batch: calls between two looks at the clock;
 * limit: calls that there is something for, 0 when there is no end to them. */
struct operation {
    const char *name;
    void (*prepare)(void);
    void (*call)(unsigned i);
    unsigned batch, limit;
};

static int data = -1;
static off_t data_size;
static char block[BLOCK];

static double now(void) {
    struct timespec t;
    if (clock_gettime(CLOCK_MONOTONIC, &t) < 0)
        err(1, "clock_gettime");
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void check(int result, const char *what) {
    if (result < 0)
        err(1, "%s", what);
}

static void close_checked(int fd, const char *what) {
    check(fd, what);
    check(close(fd), what);
}

/* ---- names ---- */

static void do_stat(unsigned i) {
    struct stat st;
    (void)i;
    check(stat("small", &st), "stat small");
}

static char deep[256];

static void go_down(unsigned depth) {
    for (unsigned i = 0; i < depth; i++)
        strcat(deep, "d/");
    strcat(deep, "small");
}

static void go_down_2(void) {
    go_down(2);
}

static void go_down_8(void) {
    go_down(8);
}

static void go_down_32(void) {
    go_down(32);
}

static void do_stat_deep(unsigned i) {
    struct stat st;
    (void)i;
    check(stat(deep, &st), deep);
}

static void do_stat_missing(unsigned i) {
    struct stat st;
    (void)i;
    if (stat("absent", &st) == 0)
        errx(1, "absent is there");
}

static void do_open(unsigned i) {
    (void)i;
    close_checked(open("small", O_RDONLY | O_CLOEXEC), "open small");
}

static void do_readlink(unsigned i) {
    char target[64];
    (void)i;
    check((int)readlink("link", target, sizeof target), "readlink link");
}

static void do_readdir(unsigned i) {
    (void)i;
    DIR *stream = opendir("many");
    if (!stream)
        err(1, "opendir many");
    unsigned entries = 0;
    while (readdir(stream))
        entries++;
    check(closedir(stream), "closedir many");
    if (entries < 10)
        errx(1, "many: %u entries", entries);
}

static void do_create(unsigned i) {
    (void)i;
    close_checked(open("new", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644), "create new");
    check(unlink("new"), "unlink new");
}

static void do_mkdir(unsigned i) {
    (void)i;
    check(mkdir("new-directory", 0755), "mkdir new-directory");
    check(rmdir("new-directory"), "rmdir new-directory");
}

static void make_file(void) {
    close_checked(open("even", O_WRONLY | O_CREAT | O_CLOEXEC, 0644), "create even");
}

static void do_rename(unsigned i) {
    static const char *const names[] = {"even", "odd"};
    check(rename(names[i % 2], names[(i + 1) % 2]), "rename even odd");
}

/* ---- copies ---- */

static const char *numbered(const char *format, unsigned i) {
    static char name[64];
    snprintf(name, sizeof name, format, i);
    return name;
}

static void copy(const char *from, const char *to) {
    struct stat st;
    int source = open(from, O_RDONLY | O_CLOEXEC);
    check(source, from);
    check(fstat(source, &st), from);
    int target = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    check(target, to);
    for (off_t done = 0; done < st.st_size;) {
        ssize_t copied = copy_file_range(source, NULL, target, NULL, (size_t)(st.st_size - done), 0);
        if (copied <= 0)
            err(1, "copy %s", from);
        done += copied;
    }
    close_checked(target, to);
    close_checked(source, from);
}

static void open_for_writing(const char *file) {
    close_checked(open(file, O_WRONLY | O_CLOEXEC), file);
}

static void do_copy(unsigned i) {
    char source[64];
    snprintf(source, sizeof source, "lower/%u", i);
    copy(source, numbered("tmp/%u", i));
}

static void do_copy_up(unsigned i) {
    open_for_writing(numbered("lower/%u", i));
}

/* ---- data ---- */

static void open_data(void) {
    data = open("data", O_RDWR | O_CLOEXEC);
    check(data, "open data");
    data_size = lseek(data, 0, SEEK_END);
    check(data_size < BLOCK ? -1 : 0, "data");
}

static void check_size(ssize_t done, size_t wanted, const char *what) {
    if (done != (ssize_t)wanted)
        err(1, "%s", what);
}

static void rewind_at_end(void) {
    off_t at = lseek(data, 0, SEEK_CUR);
    if (at + BLOCK > data_size)
        check((int)lseek(data, 0, SEEK_SET), "lseek data");
}

static void do_read(unsigned i) {
    if (i % 64 == 0)
        rewind_at_end();
    check_size(read(data, block, BLOCK), BLOCK, "read data");
}

static void do_write(unsigned i) {
    if (i % 64 == 0)
        rewind_at_end();
    check_size(write(data, block, BLOCK), BLOCK, "write data");
}

/* The same pages in the same order each time. */
static off_t random_page(void) {
    static unsigned state = 1;
    state = state * 1664525 + 1013904223;
    return (off_t)(state >> 4) % (data_size / PAGE) * PAGE;
}

static void do_pread(unsigned i) {
    (void)i;
    check_size(pread(data, block, PAGE, random_page()), PAGE, "pread data");
}

static void do_pwrite(unsigned i) {
    (void)i;
    check_size(pwrite(data, block, PAGE, random_page()), PAGE, "pwrite data");
}

/* ---- programs ---- */

/* actions: of posix_spawn, or NULL.  What a program that fails has to say it has said itself. */
static void run(char *const argv[], const posix_spawn_file_actions_t *actions) {
    pid_t pid;
    int status, error = posix_spawnp(&pid, argv[0], actions, NULL, argv, environ);
    if (error)
        errx(1, "%s: %s", argv[0], strerror(error));
    check(waitpid(pid, &status, 0), "waitpid");
    if (status)
        exit(1);
}

static void do_spawn(unsigned i) {
    static char name[] = "/bin/true";
    static char *const argv[] = {name, NULL};
    (void)i;
    run(argv, NULL);
}

/* $PATH: so many directories, of which the last alone has programs. */
static void set_path(unsigned n) {
    static char path[64 * (PATH_MAX + 16)];
    char here[PATH_MAX], *end = path;
    check(getcwd(here, sizeof here) ? 0 : -1, "getcwd");
    for (unsigned i = 1; i < n; i++)
        end += sprintf(end, "%s/path/%u:", here, i);
    strcpy(end, "/bin");
    check(setenv("PATH", path, 1), "PATH");
}

static void set_path_1(void) {
    set_path(1);
}

static void set_path_8(void) {
    set_path(8);
}

static void set_path_64(void) {
    set_path(64);
}

static void do_spawn_by_path(unsigned i) {
    static char name[] = "true";
    static char *const argv[] = {name, NULL};
    (void)i;
    run(argv, NULL);
}

static const struct operation operations[] = {
    {"stat", NULL, do_stat, 16, 0},
    {"stat-missing", NULL, do_stat_missing, 16, 0},
    {"open", NULL, do_open, 16, 0},
    {"readlink", NULL, do_readlink, 16, 0},
    {"readdir", NULL, do_readdir, 1, 0},
    {"create", NULL, do_create, 16, 0},
    {"mkdir", NULL, do_mkdir, 16, 0},
    {"rename", make_file, do_rename, 16, 0},
    {"copy", NULL, do_copy, 16, 512},
    {"copy-up", NULL, do_copy_up, 16, 512},
    {"read", open_data, do_read, 16, 0},
    {"write", open_data, do_write, 16, 0},
    {"pread", open_data, do_pread, 64, 0},
    {"pwrite", open_data, do_pwrite, 64, 0},
    {"spawn", NULL, do_spawn, 1, 0},
    {"depth-2", go_down_2, do_stat_deep, 16, 0},
    {"depth-8", go_down_8, do_stat_deep, 16, 0},
    {"depth-32", go_down_32, do_stat_deep, 16, 0},
    {"path-1", set_path_1, do_spawn_by_path, 1, 0},
    {"path-8", set_path_8, do_spawn_by_path, 1, 0},
    {"path-64", set_path_64, do_spawn_by_path, 1, 0},
};

/* The first batch is not timed, unless there is only so much to do. */
static void time_operation(const struct operation *operation, double seconds) {
    unsigned i = 0, first;
    if (operation->prepare)
        operation->prepare();
    while (!operation->limit && i < operation->batch)
        operation->call(i++);
    first = i;
    double start = now(), end = start;
    while (end - start < seconds && (!operation->limit || i < operation->limit)) {
        for (unsigned j = 0; j < operation->batch; j++)
            operation->call(i++);
        end = now();
    }
    printf("%.9f\n", (end - start) / (i - first));
}

static void time_copy(const char *how, const char *file, const char *target) {
    double start = now();
    if (strcmp(how, "copy") == 0)
        copy(file, target);
    else
        open_for_writing(file);
    printf("%.9f\n", now() - start);
}

static void time_runs(int n, char **argv) {
    posix_spawn_file_actions_t silent;
    if (posix_spawn_file_actions_init(&silent) ||
        posix_spawn_file_actions_addopen(&silent, STDOUT_FILENO, "/dev/null", O_WRONLY, 0))
        errx(1, "posix_spawn_file_actions");
    double start = now();
    for (int i = 0; i < n; i++)
        run(argv, &silent);
    printf("%.9f\n", (now() - start) / n);
    posix_spawn_file_actions_destroy(&silent);
}

int main(int argc, char **argv) {
    if (argc == 5 && strcmp(argv[1], "once") == 0) {
        time_copy(argv[2], argv[3], argv[4]);
        return 0;
    }
    if (argc > 3 && strcmp(argv[1], "run") == 0 && atoi(argv[2]) > 0) {
        time_runs(atoi(argv[2]), argv + 3);
        return 0;
    }
    for (size_t i = 0; argc == 4 && i < sizeof operations / sizeof operations[0]; i++)
        if (strcmp(argv[1], operations[i].name) == 0) {
            check(chdir(argv[2]), argv[2]);
            time_operation(&operations[i], atof(argv[3]));
            return 0;
        }
    errx(2, "usage: loop OPERATION DIRECTORY SECONDS, loop once copy|copy-up FILE TARGET, loop run N CMD…");
}
