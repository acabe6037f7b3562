/* programs.c - the directory of a run, and what is kept there: links with a program's last component, copies of
 * programs whose ELF interpreter the kernel would look for in the wrong place, short names of socket paths, texts that
 * a tracee opens by their path.
 *
 * Rules: made when first needed, preferably where no overlay can be, hidden in the view, gone with the run; open to
 * tracees with other ids for passing through and executing, and to nobody for writing; one that a killed supervisor
 * left is removed by the next run of the same user.  The view is entered in all of these functions but programs_clear()
 * and programs_unshorten(): that is their lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "../../process/descriptor.h"
#include "../../ptoverlay.h"
#include "../../view/view.h"
#include "../session.h"
#include "../tasks/nest.h"
#include "elf.h"
#include "programs.h"

#define DIRECTORY_SIZE 64       /* bytes of the directory's path */
#define DIRECTORY_MODE 0711
#define DIRECTORY_NAME "ptoverlay-run-"
#define RANDOM_LENGTH 6         /* of the XXXXXX of mkdtemp(3) */
#define YOUNG 60                /* seconds */

struct copy {
    struct copy *next;
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec mtime;
    char *view_path;
    char *interpreter;
    char *path;
};

struct programs {
    char directory[DIRECTORY_SIZE];     /* "": not made */
    bool failed;                        /* … and cannot be */
    int lock;                           /* the directory, locked while the run lasts */
    unsigned sequence;
    struct copy *copies;
};

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st;
    (void)ftw;
    (void)(type == FTW_DP ? rmdir(path) : unlink(path));
    return 0;
}

static void remove_directory(const char *path) {
    (void)nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* A directory of ours that nobody holds was left by a supervisor that was killed; a young one may not be held yet. */
static void sweep_left(const char *path) {
    struct stat st;
    CLOSE_DESCRIPTOR fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0 || st.st_uid != geteuid() || time(NULL) - st.st_ctim.tv_sec < YOUNG)
        return;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        remove_directory(path);
}

static void sweep_parent(const char *parent) {
    char path[DIRECTORY_SIZE];
    const struct dirent *entry;
    DIR *dir = opendir(parent);
    while (dir && (entry = readdir(dir))) {
        if (strncmp(entry->d_name, DIRECTORY_NAME, sizeof DIRECTORY_NAME - 1) != 0 ||
            strlen(entry->d_name) != sizeof DIRECTORY_NAME - 1 + RANDOM_LENGTH)
            continue;
        int length = snprintf(path, sizeof path, "%s/%s", parent, entry->d_name);
        if (length > 0 && length < DIRECTORY_SIZE)
            sweep_left(path);
    }
    if (dir)
        (void)closedir(dir);
}

static bool make_directory_in(struct programs *programs, const char *parent) {
    struct statvfs file_system;
    int length = snprintf(programs->directory, DIRECTORY_SIZE, "%s/" DIRECTORY_NAME "XXXXXX", parent);
    if (length < 0 || length >= DIRECTORY_SIZE || statvfs(parent, &file_system) < 0 ||
        (file_system.f_flag & ST_NOEXEC) || !mkdtemp(programs->directory)) {
        programs->directory[0] = '\0';
        return false;
    }
    programs->lock = open(programs->directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (programs->lock >= 0 && flock(programs->lock, LOCK_EX | LOCK_NB) == 0 &&
        chmod(programs->directory, DIRECTORY_MODE) == 0) {
        sweep_parent(parent);
        return true;
    }
    descriptor_close(&programs->lock);
    (void)rmdir(programs->directory);
    programs->directory[0] = '\0';
    return false;
}

static struct programs *programs_of(struct session *session) {
    if (!session->programs)
        session->programs = calloc(1, sizeof *session->programs);
    return session->programs;
}

const char *programs_directory(struct session *session) {
    struct programs *programs = programs_of(session);
    char message[256];
    if (!programs || programs->failed)
        return NULL;
    if (programs->directory[0])
        return programs->directory;
    const char *temporary = getenv("TMPDIR");
    const char *const parents[] = {"/dev/shm", temporary && temporary[0] == '/' ? temporary : "/tmp", "/tmp"};
    for (size_t i = 0; i < sizeof parents / sizeof *parents && !programs->directory[0]; i++)
        (void)make_directory_in(programs, parents[i]);
    programs->failed = !programs->directory[0];
    if (programs->failed)
        return NULL;
    /* Shown, it would be in the way of nobody: no reason to do without. */
    (void)view_add_place(session->view, PTO_HIDDEN, programs->directory, message, sizeof message);
    nest_hide(session, programs->directory);
    return programs->directory;
}

void programs_clear(struct session *session) {
    struct programs *programs = session->programs;
    if (!programs)
        return;
    while (programs->copies) {
        struct copy *copy = programs->copies;
        programs->copies = copy->next;
        free(copy->view_path);
        free(copy->interpreter);
        free(copy->path);
        free(copy);
    }
    if (programs->directory[0]) {
        remove_directory(programs->directory);
        descriptor_close(&programs->lock);
    }
    free(programs);
    session->programs = NULL;
}

/* ---- links ---- */

/* FNV-1a */
static uint64_t hash_of(const char *text) {
    uint64_t h = 0xcbf29ce484222325u;
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 0x100000001b3u;
    return h;
}

int programs_link(struct session *session, const char *name, const char *target, char *out) {
    char found[PATH_MAX];
    const char *directory = programs_directory(session);
    if (!directory)
        return -ENOENT;
    int length = snprintf(out, PATH_MAX, "%s/%016llx/%s", directory, (unsigned long long)hash_of(target), name);
    if (length < 0 || length >= PATH_MAX)
        return -ENAMETOOLONG;
    char *slash = strrchr(out, '/');
    *slash = '\0';
    int error = mkdir(out, DIRECTORY_MODE) < 0 && errno != EEXIST ? -errno
                : chmod(out, DIRECTORY_MODE) < 0                  ? -errno
                                                                  : 0;
    *slash = '/';
    if (error < 0)
        return error;
    if (symlink(target, out) == 0)
        return 0;
    ssize_t got = errno == EEXIST ? readlink(out, found, sizeof found - 1) : -1;
    if (got < 0)
        return -errno;
    found[got] = '\0';
    return strcmp(found, target) == 0 ? 0 : -EEXIST;
}

/* ---- copies ---- */

static struct copy *find_copy(struct programs *programs, const char *view_path, const struct stat *st,
                              const char *interpreter) {
    for (struct copy *copy = programs->copies; copy; copy = copy->next)
        if (copy->dev == st->st_dev && copy->ino == st->st_ino && copy->size == st->st_size &&
            copy->mtime.tv_sec == st->st_mtim.tv_sec && copy->mtime.tv_nsec == st->st_mtim.tv_nsec &&
            strcmp(copy->view_path, view_path) == 0 && strcmp(copy->interpreter, interpreter) == 0)
            return copy;
    return NULL;
}

static int copy_bytes(int from, int to, off_t size) {
    for (off_t at = 0; at < size;) {
        ssize_t n = sendfile(to, from, &at, (size_t)(size - at));
        if (n < 0)
            return -errno;
        if (n == 0)
            return -ETXTBSY;   /* cut while we copied */
    }
    return 0;
}

static int make_copy(int from, const struct stat *st, const char *interpreter, const char *path) {
    CLOSE_DESCRIPTOR to = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (to < 0)
        return -errno;
    int error = copy_bytes(from, to, st->st_size);
    if (error == 0)
        error = elf_set_interpreter(to, interpreter);
    if (error == 0 && fchmod(to, 0755) < 0)
        error = -errno;
    if (error < 0)
        (void)unlink(path);
    return error;
}

/* Takes path. */
static int add_copy(struct programs *programs, const char *view_path, const struct stat *st, const char *interpreter,
                    char *path) {
    struct copy *copy = calloc(1, sizeof *copy);
    char *view_copy = strdup(view_path), *interpreter_copy = strdup(interpreter);
    if (!copy || !view_copy || !interpreter_copy) {
        free(copy);
        free(view_copy);
        free(interpreter_copy);
        free(path);
        return -ENOMEM;
    }
    *copy = (struct copy){programs->copies, st->st_dev, st->st_ino,       st->st_size,
                          st->st_mtim,      view_copy,  interpreter_copy, path};
    programs->copies = copy;
    return 0;
}

int programs_copy(struct session *session, const char *view_path, const char *real, const char *interpreter,
                  char *out) {
    struct stat st;
    const char *directory = programs_directory(session);
    if (!directory)
        return -ENOENT;
    struct programs *programs = session->programs;
    CLOSE_DESCRIPTOR from = open(real, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (from < 0 || fstat(from, &st) < 0)
        return -errno;
    const struct copy *known = find_copy(programs, view_path, &st, interpreter);
    if (known) {
        strcpy(out, known->path);
        return 0;
    }
    const char *name = strrchr(view_path, '/');
    int length = snprintf(out, PATH_MAX, "%s/%u%s", directory, programs->sequence++, name ? name : "/program");
    if (length < 0 || length >= PATH_MAX)
        return -ENAMETOOLONG;
    char *slash = strrchr(out, '/');
    *slash = '\0';
    int error = mkdir(out, DIRECTORY_MODE) < 0 || chmod(out, DIRECTORY_MODE) < 0 ? -errno : 0;
    *slash = '/';
    if (error == 0)
        error = make_copy(from, &st, interpreter, out);
    char *path = error == 0 ? strdup(out) : NULL;
    if (error == 0)
        error = path ? add_copy(programs, view_path, &st, interpreter, path) : -ENOMEM;
    return error;
}

const char *programs_original(struct session *session, const char *real) {
    const struct programs *programs = session->programs;
    if (!programs || !programs->copies || strncmp(real, programs->directory, strlen(programs->directory)) != 0)
        return NULL;
    for (const struct copy *copy = programs->copies; copy; copy = copy->next)
        if (strcmp(copy->path, real) == 0)
            return copy->view_path;
    return NULL;
}

/* ---- short names ---- */

/* A new one; -1: there is no directory. */
static int short_name(struct session *session, char out[SHORT_NAME]) {
    const char *directory = programs_directory(session);
    if (!directory)
        return -1;
    int number = (int)(session->programs->sequence++ & 0xffffff);
    snprintf(out, SHORT_NAME, "%s/s%d", directory, number);
    return number;
}

int programs_shorten(struct session *session, const char *path, char out[SHORT_NAME]) {
    int number = short_name(session, out);
    if (number < 0)
        return -ENAMETOOLONG;
    return symlink(path, out) < 0 ? -errno : number;
}

/* Of "before" and the start of rest, up to a slash, what fits into out[PATH_MAX]; how much of rest that is, 0: none. */
static size_t piece_of(const char *before, const char *rest, char *out) {
    size_t length = strlen(before), room = strnlen(rest, PATH_MAX - 1 - length);
    memcpy(out, before, length);
    memcpy(out + length, rest, room);
    out[length + room] = '\0';
    char *slash = strrchr(out + length + 1, '/');
    if (!slash)
        return 0;
    *slash = '\0';
    return (size_t)(slash - out) - length;
}

int programs_reach(struct session *session, const char *path, struct reach *reach, char *out) {
    char name[SHORT_NAME] = "";
    while (strlen(name) + strlen(path) >= PATH_MAX) {
        size_t taken = reach->count < REACH_LINKS ? piece_of(name, path, out) : 0;
        int number = taken ? programs_shorten(session, out, name) : -ENAMETOOLONG;
        if (number < 0)
            return number;
        reach->numbers[reach->count++] = number;
        path += taken;
    }
    return snprintf(out, PATH_MAX, "%s%s", name, path) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

int programs_text(struct session *session, const struct cred *cred, const char *text, size_t length,
                  char out[SHORT_NAME]) {
    int number = short_name(session, out);
    if (number < 0)
        return -ENOENT;
    CLOSE_DESCRIPTOR fd = open(out, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    int error = descriptor_write(fd, text, length);
    if (error == 0 && fchmod(fd, 0400) < 0)
        error = -errno;
    if (error == 0 && !cred->own && fchown(fd, cred->fsuid, cred->fsgid) < 0)
        error = -errno;
    if (error < 0)
        (void)unlink(out);
    return error < 0 ? error : number;
}

void programs_unshorten(struct session *session, int number) {
    char path[SHORT_NAME];
    const struct programs *programs = session->programs;
    if (!programs || !programs->directory[0])
        return;
    snprintf(path, sizeof path, "%s/s%d", programs->directory, number);
    (void)unlink(path);
}
