/* view.c - what a look-up in the view costs: `view DIR LOWERS ENTRIES`; linked with csrc/view.
 *
 * Makes, below DIR, an upper with ENTRIES files and LOWERS lowers, of which the lowest holds the files that are
 * looked up, and prints one line: look-ups a second of a path that was looked up before, and of paths that were not;
 * entries of the index once all of the upper is in it, and the bytes that each takes.
 *
 * Rules: no path that is timed has anything above the lowest layer; only look-ups are timed.
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

#include "../../csrc/ptoverlay.h"

#define PATH 4096
#define FILES 2000          /* in the lowest lower */
#define PER_DIRECTORY 1000
#define BATCHES 20          /* the fastest of them counts: what else the machine does is not measured */
#define FIRST 99            /* look-ups of a batch */
#define AGAIN 10000

static const char *base;
static unsigned n_lowers;

static double now(void) {
    struct timespec t;
    if (clock_gettime(CLOCK_MONOTONIC, &t) < 0)
        err(1, "clock_gettime");
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void make_directory(const char *path) {
    if (mkdir(path, 0755) < 0)
        err(1, "%s", path);
}

static void make_files(const char *directory, unsigned count) {
    char path[PATH];
    for (unsigned i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/file%07u", directory, i);
        if (mknod(path, S_IFREG | 0644, 0) < 0)
            err(1, "%s", path);
    }
}

static void make_lowers(void) {
    char path[PATH];
    for (unsigned i = 0; i < n_lowers; i++) {
        static const char *const below[] = {"", "/usr", "/usr/share", "/usr/share/names"};
        for (size_t j = 0; j < sizeof below / sizeof below[0]; j++) {
            snprintf(path, sizeof path, "%s/lower%u%s", base, i, below[j]);
            make_directory(path);
        }
    }
    make_files(path, FILES);   /* of the last one, which is the lowest */
}

static void make_upper(unsigned entries) {
    char path[PATH];
    static const char *const names[] = {"upper", "work", "mnt", "upper/data"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", base, names[i]);
        make_directory(path);
    }
    for (unsigned done = 0; done < entries; done += PER_DIRECTORY) {
        snprintf(path, sizeof path, "%s/upper/data/%u", base, done / PER_DIRECTORY);
        make_directory(path);
        make_files(path, entries - done < PER_DIRECTORY ? entries - done : PER_DIRECTORY);
    }
}

static pto_view *open_view(void) {
    char *lowers[512], paths[3][PATH], message[1024];
    static const char *const names[] = {"upper", "work", "mnt"};
    for (size_t i = 0; i < 3; i++)
        snprintf(paths[i], sizeof paths[i], "%s/%s", base, names[i]);
    for (unsigned i = 0; i < n_lowers; i++)
        if (asprintf(&lowers[i], "%s/lower%u", base, i) < 0)
            err(1, "asprintf");
    struct pto_overlay overlay;
    memset(&overlay, 0, sizeof overlay);
    overlay.lowers = (const char *const *)lowers;
    overlay.n_lowers = n_lowers;
    overlay.upper = paths[0];
    overlay.work = paths[1];
    overlay.mount = paths[2];
    pto_view *view = pto_view_new();
    if (!view || pto_view_add_overlay(view, &overlay, message, sizeof message) < 0)
        errx(1, "%s", view ? message : "no memory");
    for (unsigned i = 0; i < n_lowers; i++)
        free(lowers[i]);
    return view;
}

/* All of the upper into the index, as a walk through the view would. */
static void load(pto_view *view, unsigned entries) {
    static char names[PER_DIRECTORY * 64];
    char path[PATH];
    for (unsigned done = 0; done < entries; done += PER_DIRECTORY) {
        snprintf(path, sizeof path, "%s/mnt/data/%u", base, done / PER_DIRECTORY);
        if (pto_upper_list(view, path, names, sizeof names) < 0)
            errx(1, "%s", path);
    }
}

static void look_up(pto_view *view, unsigned number) {
    char path[PATH];
    struct pto_stat st;
    snprintf(path, sizeof path, "%s/mnt/usr/share/names/file%07u", base, number);
    int error = pto_stat(view, path, 0, &st);
    if (error)
        errx(1, "%s: %s", path, strerror(-error));
}

/* Look-ups a second of files number, number + step… */
static double time_look_ups(pto_view *view, unsigned number, unsigned step, unsigned count) {
    double start = now();
    for (unsigned i = 0; i < count; i++)
        look_up(view, number + i * step);
    return count / (now() - start);
}

static double best(double a, double b) {
    return a > b ? a : b;
}

int main(int argc, char **argv) {
    uint64_t before, entries, bytes_before, bytes;
    if (argc != 4)
        errx(2, "usage: view DIR LOWERS ENTRIES");
    base = realpath(argv[1], NULL);
    n_lowers = (unsigned)atoi(argv[2]);
    unsigned upper = (unsigned)atoi(argv[3]);
    if (!base || n_lowers < 1 || n_lowers > 500)
        errx(2, "DIR has to exist, LOWERS to be between 1 and 500");
    make_lowers();
    make_upper(upper);
    pto_view *view = open_view();
    look_up(view, 0);
    pto_index_size(view, &before, &bytes_before);
    load(view, upper);
    pto_index_size(view, &entries, &bytes);
    double first = 0, again = 0;
    for (unsigned i = 0; i < BATCHES; i++) {
        first = best(first, time_look_ups(view, 1 + i * FIRST, 1, FIRST));
        again = best(again, time_look_ups(view, 1, 0, AGAIN));
    }
    printf("%.0f %.0f %llu %.1f\n", again, first, (unsigned long long)(entries - before),
           entries > before ? (double)(bytes - bytes_before) / (double)(entries - before) : 0.0);
    pto_view_free(view);
    return 0;
}
