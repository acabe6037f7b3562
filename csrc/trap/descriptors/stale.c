/* stale.c - descriptors of a lower file that has got a copy in the upper, and what is to be in their place.
 *
 * Rules: descriptors that share an open file description (dup(2), fork(2)) share one afterwards, so each description
 * is opened anew once; kcmp(2) tells which is which, or, where it is refused, a mark on the description.  Only
 * descriptors for reading are stale: O_PATH names an object and no contents, and nobody has the lower open for
 * writing.  Locks that belong to the description are taken on the new one before anybody gets it.  A look at
 * /proc/PID/fd asks no file system (AT_STATX_DONT_SYNC), which a tracee may serve.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <linux/kcmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "../../process/family.h"
#include "../../process/proc.h"
#include "stale.h"

#define STATUS_FLAGS (O_APPEND | O_ASYNC | O_DIRECT | O_NOATIME | O_NONBLOCK)
#define INFO_SIZE 4096      /* bytes of /proc/PID/fdinfo/N: about 40 locks */
#define LINK_SIZE 48

void stale_add(struct stale *stale, struct copied_up *files) {
    struct copied_up **end = &stale->files;
    while (*end)
        end = &(*end)->next;
    *end = files;
}

void stale_clear(struct stale *stale) {
    view_free_copies(stale->files);
    stale->files = NULL;
    while (stale->descriptions) {
        struct description *description = stale->descriptions;
        stale->descriptions = description->next;
        close(description->stale);
        close(description->fresh);
        free(description);
    }
}

/* ---- looking for them ---- */

static struct copied_up *find_object(const struct stale *stale, dev_t dev, ino_t ino) {
    struct copied_up *file = stale->files;
    while (file && (file->ino != ino || file->dev != dev))
        file = file->next;
    return file;
}

static struct copied_up *find_file(const struct stale *stale, int directory, const char *number) {
    struct statx stx;
    if (syscall(SYS_statx, directory, number, AT_STATX_DONT_SYNC, STATX_INO | STATX_TYPE, &stx) < 0 ||
        !S_ISREG(stx.stx_mode))
        return NULL;
    return find_object(stale, makedev(stx.stx_dev_major, stx.stx_dev_minor), stx.stx_ino);
}

/* /proc/PID/fdinfo/N, ended by a NUL; false: it is gone. */
static bool read_info(pid_t tid, int number, char info[INFO_SIZE]) {
    char name[LINK_SIZE];
    snprintf(name, sizeof name, "fdinfo/%d", number);
    return proc_read(tid, name, info, INFO_SIZE);
}

static int flags_of(const char *info) {
    const char *at = strstr(info, "flags:");
    return at ? (int)strtoul(at + strlen("flags:"), NULL, 8) : O_PATH;
}

static bool reads(const char *info) {
    return (flags_of(info) & (O_ACCMODE | O_PATH)) == O_RDONLY;
}

/* Calls found for each; stops when it gives false. */
typedef bool found_fn(void *arg, int number, struct copied_up *file, const char *info);

static void each_stale(const struct stale *stale, pid_t tid, found_fn *found, void *arg) {
    char buffer[4096] __attribute__((aligned(8))), path[LINK_SIZE], info[INFO_SIZE];
    snprintf(path, sizeof path, "/proc/%d/fd", (int)tid);
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return;
    bool go_on = true;
    long size;
    while (go_on && (size = syscall(SYS_getdents64, directory, buffer, sizeof buffer)) > 0) {
        const struct dirent64 *entry;
        for (long at = 0; go_on && at < size; at += entry->d_reclen) {
            entry = (const struct dirent64 *)(const void *)(buffer + at);
            struct copied_up *file = entry->d_name[0] == '.' ? NULL : find_file(stale, directory, entry->d_name);
            int number = (int)strtol(entry->d_name, NULL, 10);
            if (file && read_info(tid, number, info) && reads(info))
                go_on = found(arg, number, file, info);
        }
    }
    close(directory);
}

static bool count_one(void *arg, int number, struct copied_up *file, const char *info) {
    (void)number, (void)file, (void)info;
    ++*(unsigned *)arg;
    return true;
}

unsigned stale_count(const struct stale *stale, pid_t tid) {
    unsigned n = 0;
    each_stale(stale, tid, count_one, &n);
    return n;
}

bool stale_is(const struct stale *stale, pid_t tid, int number) {
    char path[LINK_SIZE];
    snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)tid, number);
    return find_file(stale, AT_FDCWD, path) != NULL;
}

/* ---- what is to be in their place ---- */

/* One line of fdinfo, "lock:\t1: FLOCK  ADVISORY  READ 123 08:01:456 0 EOF" (fs/locks.c, lock_get_status). */
struct lock_line {
    char kind[8];           /* FLOCK, POSIX, OFDLCK, LEASE … */
    struct flock lock;
};

static bool parse_lock(const char *line, struct lock_line *out) {
    char type[8], last[24];
    long long start;
    if (sscanf(line, "lock: %*d: %7s %*s %7s %*d %*s %lld %23s", out->kind, type, &start, last) != 4)
        return false;
    out->lock = (struct flock){
        .l_type = strcmp(type, "WRITE") == 0 ? F_WRLCK : F_RDLCK,
        .l_whence = SEEK_SET,
        .l_start = (off_t)start,
        .l_len = strcmp(last, "EOF") == 0 ? 0 : (off_t)(strtoll(last, NULL, 10) - start + 1),
    };
    return true;
}

/* The copy is new and whoever could lock it waits: they can be had. */
static void take_lock(int fresh, const struct lock_line *line) {
    if (strcmp(line->kind, "FLOCK") == 0)
        (void)flock(fresh, (line->lock.l_type == F_WRLCK ? LOCK_EX : LOCK_SH) | LOCK_NB);
    else if (strcmp(line->kind, "OFDLCK") == 0)
        (void)fcntl(fresh, F_OFD_SETLK, &line->lock);
}

static const char *next_lock(const char *at) {
    at = strstr(at, "\nlock:");
    return at ? at + 1 : NULL;
}

/* Where the mode forbids to open the copy again (chmod(2) was the call), one description can still be had. */
static int take_given(struct copied_up *file, int flags) {
    int fresh = file->given ? -1 : fcntl(file->fd, F_DUPFD_CLOEXEC, 0);
    file->given = file->given || fresh >= 0;
    if (fresh >= 0)
        (void)fcntl(fresh, F_SETFL, flags & STATUS_FLAGS);
    return fresh;
}

/* A description of its own, or -1. */
static int open_fresh(struct copied_up *file, int stale) {
    char path[LINK_SIZE];
    int flags = fcntl(stale, F_GETFL);
    if (flags < 0)
        return -1;
    snprintf(path, sizeof path, "/proc/self/fd/%d", file->fd);
    int fresh = open(path, O_RDONLY | O_CLOEXEC | (flags & STATUS_FLAGS));
    if (fresh < 0)
        fresh = open(path, O_RDONLY | O_CLOEXEC);   /* O_DIRECT, O_NOATIME: not here, or not for us */
    if (fresh < 0)
        fresh = take_given(file, flags);
    if (fresh >= 0)
        (void)lseek(fresh, lseek(stale, 0, SEEK_CUR), SEEK_SET);
    return fresh;
}

/* The signal of F_SETSIG belongs to the description; for a moment it is another one.  Of regular files it is only sent
 * for leases. */
static bool share_a_mark(int one, int other) {
    int own = fcntl(one, F_GETSIG);
    int mark = own == SIGRTMAX ? SIGRTMIN : SIGRTMAX;
    if (own < 0 || fcntl(other, F_GETSIG) != own || fcntl(one, F_SETSIG, mark) < 0)
        return false;
    bool same = fcntl(other, F_GETSIG) == mark;
    (void)fcntl(one, F_SETSIG, own);
    return same;
}

static bool is_same_description(int one, int other) {
    pid_t own = getpid();
    long order = syscall(SYS_kcmp, own, own, KCMP_FILE, one, other);
    return order < 0 ? share_a_mark(one, other) : order == 0;
}

static bool is_locked(const char *info, const char *kind) {
    struct lock_line line;
    for (const char *at = next_lock(info); at; at = next_lock(at))
        if (parse_lock(at, &line) && strcmp(line.kind, kind) == 0)
            return true;
    return false;
}

/* Position, flags and locks may have changed since: they are as those of the other once more.  A lock that is still
 * held is not let go meanwhile. */
static void begin_anew(struct description *known, const char *info) {
    const struct flock none = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
    int flags = fcntl(known->stale, F_GETFL);
    known->ahead = false;
    (void)lseek(known->fresh, lseek(known->stale, 0, SEEK_CUR), SEEK_SET);
    if (flags >= 0)
        (void)fcntl(known->fresh, F_SETFL, flags & STATUS_FLAGS);
    if (!is_locked(info, "FLOCK"))
        (void)flock(known->fresh, LOCK_UN);
    if (!is_locked(info, "OFDLCK"))
        (void)fcntl(known->fresh, F_OFD_SETLK, &none);
}

/* The one that takes the place of this description, which is closed unless it is kept; NULL: it cannot be had. */
static struct description *description_of(struct stale *set, struct copied_up *file, int stale) {
    for (struct description *known = set->descriptions; known; known = known->next)
        if (is_same_description(known->stale, stale)) {
            close(stale);
            return known;
        }
    struct description *made = malloc(sizeof *made);
    if (made)
        *made = (struct description){.next = set->descriptions, .stale = stale, .fresh = open_fresh(file, stale)};
    if (made && made->fresh >= 0)
        return set->descriptions = made;
    free(made);
    close(stale);
    return NULL;
}

static bool note_one(void *arg, int number, struct copied_up *file, const char *info) {
    struct renewal *renewal = arg;
    (void)file;
    renewal->replaced[renewal->n_replaced++] =
        (struct replaced){.number = number, .close_on_exec = flags_of(info) & O_CLOEXEC, .fresh = -1};
    return renewal->n_replaced < STALE_MOST;
}

void stale_find(const struct stale *stale, pid_t tid, struct renewal *renewal) {
    renewal->n_replaced = renewal->n_locks = 0;
    each_stale(stale, tid, note_one, renewal);
}

/* False: it is not stale any more, or cannot be had. */
static bool open_one(struct stale *stale, pid_t tid, struct renewal *renewal, struct replaced *replaced, int copy) {
    char info[INFO_SIZE];
    struct stat st;
    struct copied_up *file = copy >= 0 && fstat(copy, &st) == 0 ? find_object(stale, st.st_dev, st.st_ino) : NULL;
    if (!file || !read_info(tid, replaced->number, info)) {
        if (copy >= 0)
            close(copy);
        return false;
    }
    struct description *description = description_of(stale, file, copy);
    if (!description)
        return false;
    if (description->ahead)
        begin_anew(description, info);
    replaced->fresh = description->fresh;
    struct lock_line line;
    for (const char *at = next_lock(info); at; at = next_lock(at)) {
        if (!parse_lock(at, &line))
            continue;
        take_lock(description->fresh, &line);
        if (strcmp(line.kind, "POSIX") == 0 && renewal->n_locks < STALE_MOST)
            renewal->locks[renewal->n_locks++] = (struct process_lock){.number = replaced->number, .lock = line.lock};
    }
    return true;
}

struct holding {
    struct stale *stale;
    pid_t tid;
};

/* The one for this number, if it is not known yet; NULL: it has what it needs, or cannot be had. */
static struct description *open_ahead(const struct holding *holding, int number, struct copied_up *file) {
    const struct description *first = holding->stale->descriptions;
    int copy = family_take(holding->tid, number);
    struct description *made = copy < 0 ? NULL : description_of(holding->stale, file, copy);
    if (!made || holding->stale->descriptions == first)
        return NULL;
    made->ahead = true;
    return made;
}

static bool hold_one(void *arg, int number, struct copied_up *file, const char *info) {
    const struct holding *holding = arg;
    struct description *description = NULL;
    struct lock_line line;
    for (const char *at = next_lock(info); at; at = next_lock(at)) {
        if (!parse_lock(at, &line) || (strcmp(line.kind, "FLOCK") != 0 && strcmp(line.kind, "OFDLCK") != 0))
            continue;
        if (!description)
            description = open_ahead(holding, number, file);
        if (!description)
            break;
        take_lock(description->fresh, &line);
    }
    return true;
}

void stale_hold(struct stale *stale, pid_t tid) {
    struct holding holding = {stale, tid};
    each_stale(stale, tid, hold_one, &holding);
}

void stale_open(struct stale *stale, pid_t tid, struct renewal *renewal, const int copies[STALE_MOST]) {
    size_t n = 0;
    for (size_t i = 0; i < renewal->n_replaced; i++) {
        struct replaced replaced = renewal->replaced[i];
        if (open_one(stale, tid, renewal, &replaced, copies[i]))
            renewal->replaced[n++] = replaced;
    }
    renewal->n_replaced = n;
}
