/* loop.c - repeats one operation and prints how long it took: what tools/bench runs with and without ptoverlay.
 *
 *   loop stat|open PATH N     nanoseconds for one of N calls
 *   loop read PATH            nanoseconds for reading the file from its start to its end, once it is open
 *   loop pause PATH N         opens and closes PATH N times between two pauses: prints a line, waits for a line, twice
 *
 * Rules: only the loop is timed, so what it costs to start a program does not come in; every call is checked.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define WARM_UP 1000
#define BUFFER (1 << 20)

static uint64_t now(void) {
    struct timespec t;
    if (clock_gettime(CLOCK_MONOTONIC, &t) < 0)
        err(1, "clock_gettime");
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void do_stat(const char *path) {
    struct stat st;
    if (stat(path, &st) < 0)
        err(1, "stat %s", path);
}

static void do_open(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || close(fd) < 0)
        err(1, "open %s", path);
}

static void repeat(void (*operation)(const char *path), const char *path, long n) {
    for (long i = 0; i < n; i++)
        operation(path);
}

static void time_calls(void (*operation)(const char *path), const char *path, long n) {
    repeat(operation, path, WARM_UP);
    uint64_t start = now();
    repeat(operation, path, n);
    printf("%.1f\n", (double)(now() - start) / (double)n);
}

static void time_read(const char *path) {
    static char buffer[BUFFER];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        err(1, "open %s", path);
    uint64_t start = now();
    ssize_t got;
    while ((got = read(fd, buffer, sizeof buffer)) > 0)
        ;
    if (got < 0)
        err(1, "read %s", path);
    printf("%llu\n", (unsigned long long)(now() - start));
    close(fd);
}

static void wait_for_line(void) {
    printf("ready\n");
    if (fflush(stdout) != 0 || getchar() == EOF)
        errx(1, "nobody is there");
}

static void open_between_pauses(const char *path, long n) {
    repeat(do_open, path, WARM_UP);
    wait_for_line();
    repeat(do_open, path, n);
    wait_for_line();
}

int main(int argc, char **argv) {
    const char *what = argc > 2 ? argv[1] : "";
    long n = argc > 3 ? strtol(argv[3], NULL, 10) : 0;
    if (strcmp(what, "read") == 0)
        time_read(argv[2]);
    else if (n <= 0)
        errx(2, "usage: loop stat|open|pause PATH N, loop read PATH");
    else if (strcmp(what, "stat") == 0)
        time_calls(do_stat, argv[2], n);
    else if (strcmp(what, "open") == 0)
        time_calls(do_open, argv[2], n);
    else if (strcmp(what, "pause") == 0)
        open_between_pauses(argv[2], n);
    else
        errx(2, "no such operation: %s", what);
    return 0;
}
