/* relay.c - pto_relay_begin and pto_relay_end: the view of runs that are under way gets a new upper.
 *
 * What programs may be writing is found in /proc: descriptors that are open for writing, and shared mappings.  All
 * that run in the view are under one seccomp filter more than we are.
 *
 * Rule: the view's lock is held from pto_relay_begin() to pto_relay_end(), which the same thread calls.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "../process/descriptor.h"
#include "../process/family.h"
#include "../process/proc.h"
#include "../ptoverlay.h"
#include "../view/view.h"
#include "sharers.h"

#define TRIES 10000u /* of a moment when nobody is about to write: 2 s */
#define PAUSE_NS 200000
#define LINE 8192

struct pto_relay {
    pto_view *view;
    struct view_relay *relay;
};

/* ---- who runs in the view ---- */

typedef int each_fn(void *arg, pid_t pid);

/* Calls it for each process that may, until it fails. */
static int each_process(each_fn *each, void *arg) {
    CLOSE_DIRECTORY *dir = opendir("/proc");
    int error = dir ? 0 : -errno;
    uint64_t own = family_filters(getpid());
    for (const struct dirent *entry; !error && (entry = readdir(dir));) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (pid > 0 && family_filters(pid) > own)
            error = each(arg, pid);
    }
    return error;
}

/* ---- what it may be writing ---- */

static int hold(const struct pto_relay *relay, const char *real, dev_t dev, ino_t ino) {
    return view_relay_hold(relay->relay, real, dev, ino);
}

static int hold_descriptor(const struct pto_relay *relay, int fds, pid_t pid, const char *name) {
    char real[PATH_MAX];
    struct stat st;
    int flags = descriptor_flags(pid, (int)strtol(name, NULL, 10));
    if (flags < 0 || (flags & O_PATH) || (flags & O_ACCMODE) == O_RDONLY)
        return 0;
    ssize_t length = readlinkat(fds, name, real, sizeof real - 1);
    if (length <= 0 || real[0] != '/' || fstatat(fds, name, &st, 0) < 0 || !S_ISREG(st.st_mode))
        return 0;
    real[length] = '\0';
    return hold(relay, real, st.st_dev, st.st_ino);
}

/* The octal escapes of maps: a newline alone. */
static void unescape(char *path) {
    char *out = path;
    for (const char *in = path; *in; in++)
        if (strncmp(in, "\\012", 4) == 0) {
            *out++ = '\n';
            in += 3;
        } else {
            *out++ = *in;
        }
    *out = '\0';
}

/* "start-end rw-s offset 08:01 inode  path", proc_pid_maps(5): a shared mapping that can be written. */
static int hold_mapping(const struct pto_relay *relay, char *line) {
    char access[5];
    unsigned major, minor;
    unsigned long long ino;
    int at = 0;
    if (sscanf(line, "%*s %4s %*s %x:%x %llu %n", access, &major, &minor, &ino, &at) < 4 || !at || line[at] != '/' ||
        access[3] != 's')
        return 0;
    line[strcspn(line, "\n")] = '\0';
    unescape(line + at);
    struct stat st;
    /* Some file systems have another device there than stat(2) tells. */
    if (lstat(line + at, &st) < 0 || st.st_ino != ino)
        return 0;
    return hold(relay, line + at, st.st_dev, st.st_ino);
}

static int hold_mappings(const struct pto_relay *relay, pid_t pid) {
    char name[64];
    snprintf(name, sizeof name, "/proc/%d/maps", (int)pid);
    FILE *maps = fopen(name, "re");
    char *line = NULL;
    size_t size = 0;
    int error = 0;
    while (maps && !error && getline(&line, &size, maps) > 0)
        if (strstr(line, "s "))
            error = hold_mapping(relay, line);
    free(line);
    if (maps)
        (void)fclose(maps);
    return error;
}

static int hold_all(void *arg, pid_t pid) {
    const struct pto_relay *relay = arg;
    char name[64];
    snprintf(name, sizeof name, "/proc/%d/fd", (int)pid);
    CLOSE_DIRECTORY *dir = opendir(name);
    int error = 0;
    for (const struct dirent *entry; dir && !error && (entry = readdir(dir));)
        if (entry->d_name[0] != '.')
            error = hold_descriptor(relay, dirfd(dir), pid, entry->d_name);
    return error ? error : hold_mappings(relay, pid);
}

/* ---- what the index has forgotten ---- */

static void note_descriptors(pto_view *view, pid_t pid) {
    char name[64], real[PATH_MAX];
    struct stat st;
    snprintf(name, sizeof name, "/proc/%d/fd", (int)pid);
    CLOSE_DIRECTORY *dir = opendir(name);
    for (const struct dirent *entry; dir && (entry = readdir(dir));) {
        ssize_t length = entry->d_name[0] == '.' ? -1 : readlinkat(dirfd(dir), entry->d_name, real, sizeof real - 1);
        if (length <= 0 || real[0] != '/' || fstatat(dirfd(dir), entry->d_name, &st, 0) < 0 || !S_ISREG(st.st_mode))
            continue;
        real[length] = '\0';
        view_opened_before(view, real);
    }
}

static int note_process(void *arg, pid_t pid) {
    char name[64], real[PATH_MAX];
    snprintf(name, sizeof name, "/proc/%d/exe", (int)pid);
    ssize_t length = readlink(name, real, sizeof real - 1);
    if (length > 0) {
        real[length] = '\0';
        view_executed_before(arg, real);
    }
    note_descriptors(arg, pid);
    return 0;
}

/* ---- the two ends ---- */

static int fail(char *message, size_t size, int error, const char *what) {
    if (!message[0])
        snprintf(message, size, "%s: %s", what,
                 error == -EBUSY || error == -EAGAIN ? "it is being written all the time" : strerror(-error));
    return error;
}

/* With the lock held when it is 0. */
static int begin_at_rest(pto_view *view, const struct pto_overlay *spec, struct view_relay **out, char *message,
                         size_t size) {
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    for (unsigned i = 0;; i++) {
        view_lock(view);
        int error = view_relay_begin(view, spec, out, message, size);
        if (!error)
            return 0;
        view_unlock(view);
        if (error != -EAGAIN || i == TRIES)
            return error;
        (void)nanosleep(&pause, NULL);
    }
}

pto_relay *pto_relay_begin(pto_view *view, const struct pto_overlay *spec, int *error, char *message, size_t size) {
    pto_relay *relay = calloc(1, sizeof *relay);
    message[0] = '\0';
    *error = !relay ? -ENOMEM : sharers_can_change(view) ? 0 : -EBUSY;
    if (*error == -EBUSY)
        snprintf(message, size, "%s: a run inside of it is under way", spec->mount);
    if (!*error)
        *error = begin_at_rest(view, spec, &relay->relay, message, size);
    if (*error) {
        *error = fail(message, size, *error, spec->mount);
        free(relay);
        return NULL;
    }
    relay->view = view;
    *error = each_process(hold_all, relay);
    if (!*error)
        return relay;
    *error = fail(message, size, *error, "what is open for writing");
    (void)pto_relay_end(relay, false);
    return NULL;
}

int pto_relay_end(pto_relay *relay, int go) {
    pto_view *view = relay->view;
    if (go)
        sharers_stop_answers(view);
    int left = view_relay_end(relay->relay, go);
    view_unlock(view);
    free(relay);
    if (go)
        sharers_stop_answers(view);   /* of a run that has begun meanwhile */
    if (go)
        (void)each_process(note_process, view);
    return left;
}
